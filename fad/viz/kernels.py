"""Compiled functions as graphs: kernels with their statements, loops as frames, coloured by time or by bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import fad
from fad import errors

__all__ = ["HEAT", "Graph", "kernel_graph"]

HEAT = {f"heat{k}": c for k, c in enumerate(("#ffffff", "#fff3e0", "#ffe0b2", "#ffcc80", "#ffab66", "#ff8a50"))}
"""From nothing to more than half of the whole."""
_STEPS = (0.01, 0.05, 0.12, 0.25, 0.5)
_MOST_LINES = 14


@dataclass
class Graph:
    """Nodes with label, kind and group; edges, dashed ones to what is inside an operation; groups with title and the group around them."""

    nodes: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    edges: list[tuple[str, str, bool]] = field(default_factory=list)
    groups: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, label: str, kind: str, group: str) -> str:
        """A new node; gives its name."""
        name = f"n{len(self.nodes)}"
        self.nodes[name] = (label, kind, group)
        return name


def heat(share: float) -> str:
    """The kind of a node with a share of the whole: the stronger its colour, the more."""
    return f"heat{sum(share >= step for step in _STEPS)}"


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _size(nbytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1024:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:.3g} GiB"


class _Painter:
    def __init__(self, outline: Any, profile: Any, by: str):
        self.graph, self.by = Graph(), by
        self._made: dict[Any, str] = {}
        self._seconds = {k.number: k.seconds for k in profile.kernels if k.number} if profile else {}
        self._host = [k.seconds for k in profile.kernels if not k.number][::-1] if profile else []
        kernels = [k for k in outline.all_kernels() if not k.inner]
        moved = sum(k.cost.bytes_read + k.cost.bytes_written for k in kernels)
        self._whole = (profile.seconds if by == "time" else float(moved)) or 1.0
        self._draw(outline)

    def _draw(self, outline: Any) -> None:
        names, program = outline.names, outline.program
        for v in program.inputs:
            self._made[v] = self._node([names[v], str(v.aval.update())], "input", "")
        for v in program.constants:
            self._made[v] = self._node([f"constant {names[v]}", str(v.aval.update())], "constant", "")
        for step in outline.steps:
            if hasattr(step, "kernels"):
                for kernel in step.kernels:
                    self._kernel(kernel, "", 1)
            else:
                self._host_step(step, names)
        for k, v in enumerate(program.outputs):
            node = self._node([f"result {k}", str(v.aval.update())], "output", "")
            self._edges([v], node)

    def _node(self, lines: list[str], kind: str, frame: str) -> str:
        return self.graph.add("\n".join(lines), kind, frame)

    def _edges(self, reads: Any, node: str) -> None:
        sources = dict.fromkeys(self._made[v] for v in reads if v in self._made)
        self.graph.edges += [(source, node, False) for source in sources if source != node]

    def _host_step(self, step: Any, names: Any) -> None:
        seconds = self._host.pop() if self._host else 0.0
        nbytes = sum(
            v.aval.nbytes for v in (*step.equation.inputs, *step.equation.outputs) if hasattr(v.aval, "nbytes")
        )
        share = (seconds if self.by == "time" else nbytes) / self._whole
        title = f"Python: {step.equation.primitive.name} · {self._amount(seconds, nbytes, share)}"
        node = self._node([title, f"{step.reason}"], heat(share), "")
        self._edges(step.equation.inputs, node)
        self._made.update(dict.fromkeys(step.equation.outputs, node))

    def _amount(self, seconds: float, nbytes: float, share: float) -> str:
        return f"{_time(seconds) if self.by == 'time' else _size(nbytes)} ({100 * share:.0f} %)"

    def _kernel(self, kernel: Any, frame: str, turns: int) -> None:
        lines = ["  " * line.indent + line.text for line in kernel.lines]
        if len(lines) > _MOST_LINES:
            lines = [*lines[: _MOST_LINES - 1], f"... and {len(lines) - _MOST_LINES + 1} more"]
        nbytes = (kernel.cost.bytes_read + kernel.cost.bytes_written) * turns
        seconds = self._seconds.get(kernel.number, 0.0)
        if kernel.inner:
            self._loop(kernel, frame, turns, lines)
            return
        share = (seconds if self.by == "time" else nbytes) / self._whole
        title = f"{kernel.number}  {kernel.kind} · {self._amount(seconds, nbytes, share)}"
        node = self._node([title, *lines], heat(share), frame)
        self._edges(kernel.reads, node)
        self._made.update(dict.fromkeys(kernel.writes, node))

    def _loop(self, kernel: Any, frame: str, turns: int, lines: list[str]) -> None:
        inside = f"g{len(self.graph.groups)}"
        count = "" if kernel.turns is None else f", {kernel.turns} turns" if kernel.kind == "scan" else ""
        self.graph.groups[inside] = (f"{kernel.number}  {kernel.kind}{count}", frame)
        entry = self._node([f"{kernel.kind} starts", *lines[1:]], "loop", inside)
        self._edges(kernel.reads, entry)
        before = dict(self._made)
        first = len(self.graph.nodes)
        for inner in kernel.inner:
            self._kernel(inner, inside, turns * (kernel.turns or 1))
        own = {name for name in list(self.graph.nodes)[first:] if self.graph.nodes[name][2] == inside}
        reached = {b for a, b, _ in self.graph.edges if a in own}
        self.graph.edges += [(entry, name, True) for name in own if name not in reached]
        left = {a for a, b, _ in self.graph.edges if b in own}
        exit_node = self._node([f"{kernel.kind} ends"], "loop", inside)
        self.graph.edges += [(name, exit_node, True) for name in sorted(own - left)]
        self._made = {**before, **dict.fromkeys(kernel.writes, exit_node)}


def kernel_graph(what: Any, by: str | None, function: str) -> Graph:
    """The graph of a lowered, compiled or profiled function."""
    profile = what if isinstance(what, fad.debug.Profile) else None
    by = by or ("time" if profile else "bytes")
    if by not in ("time", "bytes"):
        raise errors.ArgumentError(f"fad.viz.{function}: by must be 'time' or 'bytes', got {by!r}")
    if by == "time" and profile is None:
        raise errors.ArgumentError(
            f"fad.viz.{function}: colours by time need a profile: pass fad.debug.profile(f)(*args) in place of the lowered function"
        )
    lowered = profile.lowered if profile else what
    return _Painter(lowered.outline(), profile, by).graph
