"""The stages of a compiled Program as text, and what it costs as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fad.compiler.report.code import Written, held_bytes, known_bytes, peak_memory
from fad.compiler.report.costs import Cost
from fad.compiler.report.outline import HostOutline, Kernel, Outline, outline_of
from fad.compiler.report.statements import Line
from fad.core.errors import ArgumentError
from fad.core.formulas import Text, formula
from fad.core.program import Literal, Program, Var, program_text, variable_names

__all__ = ["STAGES", "bytes_text", "cost_report", "count_text", "overview", "stage_text"]

_COMMENT = 64
_WIDEST = 110


def bytes_text(size: int) -> str:
    """A number of bytes in a unit that suits it."""
    return _scaled(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def count_text(count: int) -> str:
    """A count with a letter for thousands, millions and so on."""
    return _scaled(count, 1000, ("", "k", "M", "G", "T")).replace(" ", "")


def _scaled(amount: float, step: int, units: Sequence[str]) -> str:
    number = 0
    while abs(amount) >= step and number + 1 < len(units):
        amount, number = amount / step, number + 1
    return f"{amount:.0f} {units[0]}" if number == 0 else f"{amount:.1f} {units[number]}"


def _commented(lines: Sequence[tuple[str, str]]) -> list[str]:
    """Lines with comments in one column."""
    column = min(max([len(text) for text, comment in lines if comment], default=0), _COMMENT)
    return [f"{text:<{column}}  # {comment}" if comment else text for text, comment in lines]


# --- the Program -----------------------------------------------------------------------------------------------------------------


def _program(program: Program, view: Outline, names: tuple[str, ...]) -> str:
    return program_text(
        program, names=variable_names(program, names, view.letters), sources=True, reserved=view.letters
    )


def _simplified(program: Program, view: Outline, names: tuple[str, ...]) -> str:
    return program_text(view.program, names=view.names, sources=True, reserved=view.letters)


# --- segments and kernels --------------------------------------------------------------------------------------------------------


def _typed(variables: Sequence[Any], names: dict[Var, str]) -> str:
    return ", ".join(f"{names[v]}: {v.aval}" for v in variables) or "nothing"


def _host_text(step: HostOutline, names: dict[Var, str]) -> str:
    equation = step.equation
    operands = [Text(repr(a) if isinstance(a, Literal) else names[a]) for a in equation.inputs]
    results = ", ".join(names[v] for v in equation.outputs)
    written = formula(equation, operands).text
    return f"{results} = {written}" if results else written


def _segments(program: Program, view: Outline, names: tuple[str, ...]) -> str:
    parts = []
    for step in view.steps:
        if isinstance(step, HostOutline):
            source = f" ({step.equation.source.short})" if step.equation.source else ""
            parts.append(f"Python: {_host_text(step, view.names)}{source}\n  because {step.reason}")
            continue
        numbers = [k.number for k in step.all_kernels()]
        kernels = (
            f"kernel {numbers[0]}"
            if len(numbers) == 1
            else f"kernels {numbers[0]} to {numbers[-1]}"
            if numbers
            else "no kernels"
        )
        parts.append(
            f"segment {step.number}, native code: {kernels}\n"
            f"  reads {_typed(step.program.inputs, view.names)}\n"
            f"  gives {_typed(step.program.outputs, view.names)}"
        )
    return "\n".join(parts)


def cost_text(cost: Cost) -> str:
    """A cost in a few words."""
    parts = [f"{count_text(cost.flops)} flops"] if cost.flops else []
    parts += [f"{count_text(cost.transcendentals)} transcendentals"] if cost.transcendentals else []
    return ", ".join([*parts, f"reads {bytes_text(cost.bytes_read)}", f"writes {bytes_text(cost.bytes_written)}"])


def _kernel_lines(kernel: Kernel, indent: int) -> list[tuple[str, str]]:
    pad = "  " * indent
    repeats = (
        ""
        if kernel.turns == 1
        else ", as long as its condition holds"
        if kernel.turns is None
        else f", {kernel.turns} turns"
    )
    lines = [(f"{pad}kernel {kernel.number}, {kernel.kind}{repeats}: {cost_text(kernel.cost)}", "")]
    written: list[Line] = list(kernel.lines)
    lines += [(pad + "  " * (1 + n) + text, source.short if source else "") for n, text, source in written]
    for inner in kernel.inner:
        lines += _kernel_lines(inner, indent + 1)
    return lines


def _kernels(program: Program, view: Outline, names: tuple[str, ...]) -> str:
    lines: list[tuple[str, str]] = []
    for step in view.steps:
        if isinstance(step, HostOutline):
            lines.append(
                (f"Python: {_host_text(step, view.names)}", step.equation.source.short if step.equation.source else "")
            )
            continue
        if len(view.steps) > 1:
            lines.append((f"segment {step.number}", ""))
        lines += [
            (f"{view.names[v]} is {view.names[source]} in the shape {v.aval.shape}", "") for v, source in step.aliases
        ]
        for kernel in step.kernels:
            lines += _kernel_lines(kernel, 0)
    return "\n".join(_commented(lines))


# --- memory ------------------------------------------------------------------------------------------------------------------------


def _memory(program: Program, view: Outline, names: tuple[str, ...]) -> str:
    parts = []
    written = {s.number: Written(s, view.names) for s in view.segments}
    sizes = [
        ("arguments", sum(a.nbytes for a in view.program.in_avals)),
        ("constants", held_bytes(view.program)),
        ("results", sum(map(known_bytes, view.program.out_avals))),
        *[(f"arena of segment {n}", w.arena_size) for n, w in written.items()],
        ("at most at once", peak_memory(view, written)),
    ]
    width = max(len(name) for name, _ in sizes)
    parts.append("\n".join(f"{name:<{width}}  {bytes_text(size):>10}" for name, size in sizes))
    reused = [(view.names[out], view.names[taken]) for w in written.values() for out, taken in w.reused]
    if reused:
        parts.append("\n".join(f"{out} takes the memory of {taken}, which is donated" for out, taken in reused))
    for number, segment in written.items():
        rows = [("temporary", "shape", "bytes", "offset", "kernels")]
        for t in segment.temporaries:
            life = f"{t.born}" if t.born == t.died else f"{t.born} to {t.died}"
            rows.append((t.name or "(work space)", str(t.shape).replace(" ", ""), str(t.nbytes), str(t.offset), life))
        if len(rows) > 1:
            parts.append(f"segment {number}:\n" + table(rows, right=(2, 3)))
    return "\n\n".join(parts)


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows of text in columns, the first one a heading."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join(
            f"{cell:>{w}}" if k in right else f"{cell:<{w}}"
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(f"  {line}" for line in lines)


# --- code ----------------------------------------------------------------------------------------------------------------------------


def _code(attribute: str) -> Callable[[Program, Outline, tuple[str, ...]], str]:
    def text(program: Program, view: Outline, names: tuple[str, ...]) -> str:
        return "\n\n".join(getattr(Written(s, view.names), attribute) for s in view.segments)

    return text


STAGES: dict[str, Callable[[Program, Outline, tuple[str, ...]], str]] = {
    "program": _program,
    "simplified": _simplified,
    "segments": _segments,
    "kernels": _kernels,
    "memory": _memory,
    "llvm": _code("llvm"),
    "optimised_llvm": _code("optimised_llvm"),
    "assembly": _code("assembly"),
}
"""How each stage is written, in the order in which a Program goes through them."""


def stage_text(program: Program, stage: str, names: tuple[str, ...]) -> str:
    """One stage of a Program's way to machine code as text."""
    if stage not in STAGES:
        raise ArgumentError(f"as_text: there is no stage {stage!r}; the stages are {', '.join(map(repr, STAGES))}")
    return STAGES[stage](program, outline_of(program, names), names)


def overview(program: Program, names: tuple[str, ...]) -> str:
    """All stages down to the memory plan, each below a heading."""
    view = outline_of(program, names)
    headings = {
        "program": f"Program as traced ({len(program.equations)} equations)",
        "simplified": f"Program after all passes ({len(view.program.equations)} equations)",
        "segments": "Segments",
        "kernels": "Kernels",
        "memory": "Memory",
    }
    parts = []
    for stage, heading in headings.items():
        parts.append(f"{heading}\n{'-' * len(heading)}\n{STAGES[stage](program, view, names)}")
    return "\n\n".join(parts)


def cost_report(program: Program, names: tuple[str, ...]) -> dict[str, Any]:
    """What a run costs: counts for the whole Program, and for each kernel."""
    view = outline_of(program, names)
    written = {s.number: Written(s, view.names) for s in view.segments}
    total = view.cost
    kernels = [
        {
            "kernel": k.number,
            "kind": k.kind,
            "lines": tuple(dict.fromkeys(e.source.short for e in k.equations if e.source)),
            **k.cost._asdict(),
        }
        for k in view.all_kernels()
    ]
    return {
        **total._asdict(),
        "argument_bytes": sum(a.nbytes for a in view.program.in_avals),
        "result_bytes": sum(map(known_bytes, view.program.out_avals)),
        "arena_bytes": max([w.arena_size for w in written.values()], default=0),
        "peak_memory": peak_memory(view, written),
        "kernels": kernels,
    }
