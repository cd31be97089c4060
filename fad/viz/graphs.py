"""Programs and parameter trees as graphs: Mermaid and Graphviz text, and SVG drawn here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fad
import fad.tree as tree
from fad import errors
from fad.viz.kernels import HEAT, Graph, kernel_graph
from fad.viz.layout import Box, Frame, drawing

__all__ = ["graphviz", "mermaid", "svg"]

_COLOURS = {
    "input": "#dbeafe",
    "constant": "#f3f4f6",
    "operation": "#ffffff",
    "output": "#dcfce7",
    "loop": "#f1f5f9",
    **HEAT,
}


def _shown(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | tuple) and len(str(value)) <= 24


def _programs_in(params: dict[str, Any]) -> list[tuple[str, fad.Program]]:
    found = []
    for key, value in params.items():
        several = isinstance(value, tuple) and bool(value)
        for k, part in enumerate(value if several else (value,)):
            if isinstance(part, fad.Program):
                found.append((f"{key}[{k}]" if several else key, part))
    return found


def _number(atom: Any) -> str:
    return f"{np.asarray(atom.value).item():.6g}" if np.asarray(atom.value).dtype.kind != "c" else str(atom.value)


def _add_program(graph: Graph, program: fad.Program, group: str) -> str | None:
    """Add a Program's equations; gives its first node."""
    made: dict[Any, str] = {}
    count = len(graph.nodes)
    for k, v in enumerate(program.inputs):
        made[v] = graph.add(f"input {k}\n{v.aval.update()}", "input", group)
    for v in program.constants:
        made[v] = graph.add(f"constant\n{v.aval.update()}", "constant", group)
    for equation in program.equations:
        literals = [_number(a) for a in equation.inputs if hasattr(a, "value")]
        settings = [f"{k}={v}" for k, v in equation.params.items() if v not in ((), None) and _shown(v)]
        note = ", ".join([*literals, *settings])
        label = f"{equation.primitive.name}{f' ({note})' if note and len(note) < 48 else ''}"
        types = ", ".join(str(v.aval.update()) for v in equation.outputs)
        node = graph.add(f"{label}\n{types}", "operation", group)
        graph.edges += [(made[a], node, False) for a in dict.fromkeys(equation.inputs) if a in made]
        made.update(dict.fromkeys(equation.outputs, node))
        for key, inner in _programs_in(equation.params):
            inside = f"g{len(graph.groups)}"
            graph.groups[inside] = (f"{equation.primitive.name}: {key}", group)
            first = _add_program(graph, inner, inside)
            if first is not None:
                graph.edges.append((node, first, True))
    for k, out in enumerate(program.outputs):
        constant = "" if out in made else f" = {_number(out)}"
        node = graph.add(f"output {k}{constant}\n{out.aval.update()}", "output", group)
        if out in made:
            graph.edges.append((made[out], node, False))
    return f"n{count}" if len(graph.nodes) > count else None


def _add_tree(graph: Graph, params: Any) -> None:
    """Add a parameter tree: a node for each key on the way to a leaf."""
    made = {(): graph.add("parameters", "input", "")}

    def note(path: tuple[Any, ...], leaf: Any) -> None:
        for k in range(1, len(path) + 1):
            part = path[:k]
            if part not in made:
                kind = f"\n{np.asarray(leaf).dtype}{list(np.shape(leaf))}".replace(" ", "") if k == len(path) else ""
                made[part] = graph.add(f"{path[k - 1]}{kind}", "operation" if kind else "constant", "")
                graph.edges.append((made[part[:-1]], made[part], False))

    tree.map_with_path(note, params)


def _graph(what: Any, by: str | None, function: str) -> Graph:
    if isinstance(what, fad.debug.Profile) or hasattr(what, "outline"):
        return kernel_graph(what, by, function)
    graph = Graph()
    if isinstance(what, fad.Program):
        _add_program(graph, what, "")
        return graph
    leaves = tree.leaves(what)
    if not leaves or any(callable(leaf) for leaf in leaves):
        raise errors.ArgumentError(
            f"fad.viz.{function} draws a Program, a lowered function, a profile or a pytree of arrays, and got {type(what).__name__}; for a function f, pass fad.make_program(f)(*args), fad.jit(f).lower(*args) or fad.debug.profile(f)(*args)"
        )
    _add_tree(graph, what)
    return graph


def _nested(
    graph: Graph,
    node: Callable[[str, str, str], str],
    frame: Callable[[str, str], tuple[str, str]],
    outer: str = "",
    indent: str = "  ",
) -> Iterator[str]:
    """Lines of the nodes of a group and, between the lines of their frames, of the groups in it."""
    for name, (label, kind, own) in graph.nodes.items():
        if own == outer:
            yield indent + node(name, label, kind)
    for group, (title, around) in graph.groups.items():
        if around == outer:
            begin, end = frame(group, title)
            yield indent + begin
            yield from _nested(graph, node, frame, group, indent + "  ")
            yield indent + end


def mermaid(what: Any, by: str | None = None) -> str:
    """A Program, a compiled function's kernels, or a tree of parameters as Mermaid text, which Markdown pages and many editors draw.

    Parameters
    ----------
    what : Program, Lowered, Compiled, Profile or pytree
        What ``fad.make_program(f)(*args)``, ``fad.jit(f).lower(*args)`` or ``fad.debug.profile(f)(*args)`` gives, or parameters.
    by : str, optional
        What the colours of kernels mean: ``"bytes"`` that they read and write, or ``"time"``, which needs a profile and is its default.

    Returns
    -------
    str

    Raises
    ------
    ArgumentError
        For anything else, such as a function; for colours by time without a profile.

    Examples
    --------
    >>> import fad, fad.viz
    >>> import fad.numpy as fnp
    >>> print(fad.viz.mermaid(fad.make_program(lambda x: fnp.sin(x) * 2.0)(1.0)))
    flowchart TD
      n0["input 0<br/>float64[]"]:::input
      n1["sin<br/>float64[]"]:::operation
      n2["multiply (2)<br/>float64[]"]:::operation
      n3["output 0<br/>float64[]"]:::output
      n0 --> n1
      n1 --> n2
      n2 --> n3
      classDef input fill:#dbeafe,stroke:#555
      classDef operation fill:#ffffff,stroke:#555
      classDef output fill:#dcfce7,stroke:#555
    """
    graph = _graph(what, by, "mermaid")
    lines = ["flowchart TD"]

    def quoted(label: str) -> str:
        return label.replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;").replace("\n", "<br/>")

    def node(name: str, label: str, kind: str) -> str:
        return f'{name}["{quoted(label)}"]:::{kind}'

    def frame(group: str, title: str) -> tuple[str, str]:
        return f'subgraph {group}["{quoted(title)}"]', "end"

    lines += _nested(graph, node, frame)
    kinds = {kind for _, kind, _ in graph.nodes.values()}
    lines += [f"  {a} {'-.->' if dashed else '-->'} {b}" for a, b, dashed in graph.edges]
    lines += [f"  classDef {kind} fill:{colour},stroke:#555" for kind, colour in _COLOURS.items() if kind in kinds]
    return "\n".join(lines)


def graphviz(what: Any, by: str | None = None) -> str:
    r"""A Program, a compiled function's kernels, or a tree of parameters in the DOT language of Graphviz.

    Parameters
    ----------
    what : Program, Lowered, Compiled, Profile or pytree
        What ``fad.make_program(f)(*args)``, ``fad.jit(f).lower(*args)`` or ``fad.debug.profile(f)(*args)`` gives, or parameters.
    by : str, optional
        What the colours of kernels mean: ``"bytes"`` that they read and write, or ``"time"``, which needs a profile and is its default.

    Returns
    -------
    str
        To be drawn by ``dot -Tsvg``.

    Raises
    ------
    ArgumentError
        For anything else, such as a function; for colours by time without a profile.

    Examples
    --------
    >>> import fad.viz, numpy as np
    >>> print(fad.viz.graphviz({"w": np.zeros((2, 3))}))
    digraph {
      node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=10]
      n0 [label="parameters", fillcolor="#dbeafe"]
      n1 [label="w\nfloat64[2,3]", fillcolor="#ffffff"]
      n0 -> n1
    }
    """
    graph = _graph(what, by, "graphviz")
    lines = ["digraph {", '  node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=10]']

    def quoted(label: str) -> str:
        return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    def node(name: str, label: str, kind: str) -> str:
        return f'{name} [label="{quoted(label)}", fillcolor="{_COLOURS[kind]}"]'

    def frame(group: str, title: str) -> tuple[str, str]:
        return f'subgraph cluster_{group} {{ label="{quoted(title)}"', "}"

    lines += _nested(graph, node, frame)
    lines += [f"  {a} -> {b}{' [style=dashed]' if dashed else ''}" for a, b, dashed in graph.edges]
    return "\n".join([*lines, "}"])


def svg(what: Any, by: str | None = None) -> str:
    """A Program, a compiled function's kernels, or a tree of parameters as an SVG picture, without any other program.

    Parameters
    ----------
    what : Program, Lowered, Compiled, Profile or pytree
        What ``fad.make_program(f)(*args)``, ``fad.jit(f).lower(*args)`` or ``fad.debug.profile(f)(*args)`` gives, or parameters.
    by : str, optional
        What the colours of kernels mean: ``"bytes"`` that they read and write, or ``"time"``, which needs a profile and is its default.

    Returns
    -------
    str
        The text of an ``.svg`` file; each operation stands below what it needs.

    Raises
    ------
    ArgumentError
        For anything else, such as a function; for colours by time without a profile.

    Examples
    --------
    >>> import fad, fad.viz
    >>> picture = fad.viz.svg(fad.make_program(lambda x: fad.numpy.sin(x) + 1.0)(2.0))
    >>> picture[:4], picture.count("<rect")
    ('<svg', 4)
    """
    graph = _graph(what, by, "svg")
    boxes = {
        name: Box(label.split("\n"), _COLOURS[kind], group, kind.startswith(("heat", "loop")))
        for name, (label, kind, group) in graph.nodes.items()
    }
    frames = {name: Frame(title, frame=around) for name, (title, around) in graph.groups.items()}
    return drawing(boxes, graph.edges, frames)
