"""Segments lowered once more, for their LLVM code, their assembly and their memory plan; nothing of it is kept or run."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fad.compiler.canonical import program_form
from fad.compiler.llvm.linking import Source, engine
from fad.compiler.llvm.lowering import lower_segment
from fad.compiler.nested import nested_constants
from fad.compiler.precedence import is_brief
from fad.compiler.report.outline import HostOutline, Outline, SegmentOutline
from fad.core.avals import ShapedArray
from fad.core.program import Program, Var

__all__ = ["Temporary", "Written", "held_bytes", "known_bytes", "peak_memory"]


@dataclass(frozen=True)
class Temporary:
    """One temporary array in the arena.

    Attributes
    ----------
    name : str
        The variable that it holds; empty for work space and for what loops carry.
    shape : tuple of int
    nbytes, offset : int
        Its size and its place, in bytes.
    born, died : int
        Numbers of the kernels that write it first and read it last.
    """

    name: str
    shape: tuple[int, ...]
    nbytes: int
    offset: int
    born: int
    died: int


class Written:
    """A segment as LLVM code.

    Attributes
    ----------
    sources : dict of str to Source
        Its modules by what they define: kernels, and the segment's function at the end.
    lowering : Lowering
        What wrote it.
    """

    def __init__(self, segment: SegmentOutline, names: dict[Var, str], name: str = "segment", clock: Any = None):
        self.segment, self._names = segment, names
        self.canonical = program_form(segment.program, segment.donated)
        self.name = f"{name}{segment.number}"
        self.sources: dict[str, Source] = {}

        def take(part: str, source: Source, likely: list[str]) -> None:
            self.sources[part] = source

        self.lowering = lower_segment(
            self.name, segment.program, self.canonical, take, clock, None, is_brief(segment.program)
        )

    @property
    def llvm(self) -> str:
        """LLVM code as it was written."""
        return _joined(source.text for source in self.sources.values())

    @property
    def optimised_llvm(self) -> str:
        """LLVM code after LLVM's passes, where they are run."""
        return _joined(engine().optimised(s) if s.passes else s.text for s in self.sources.values())

    @property
    def assembly(self) -> str:
        """Machine code for this processor."""
        return _joined(engine().assembly(source) for source in self.sources.values())

    @cached_property
    def _offsets(self) -> tuple[list[int], int]:
        return self.lowering.memory.offsets({})

    @property
    def reused(self) -> list[tuple[Var, Var]]:
        """Results, and the arguments whose memory they take."""
        return list(self.lowering.reused.items())

    @property
    def arena_size(self) -> int:
        """Bytes of all temporary arrays together, each in its place."""
        return self._offsets[1]

    @property
    def temporaries(self) -> list[Temporary]:
        """The temporary arrays, in the order in which they are born."""
        names: dict[int, str] = {}
        for var, block in self.lowering.blocks.items():
            before = names.get(block.number, "") if var in self.lowering.overwritten else ""
            names[block.number] = ", ".join(filter(None, (before, self._names.get(var, ""))))
        first = self.segment.all_kernels()[0].number if self.segment.kernels else 1
        return [
            Temporary(
                names.get(b.number, ""),
                b.shape,
                math.prod(b.shape) * b.itemsize,
                self._offsets[0][b.number],
                first + self._first_step(b.born),
                first + self._last_step(b.died),
            )
            for b in self.lowering.memory.blocks
        ]

    def _last_step(self, moment: int) -> int:
        return max((k for k, start in enumerate(self.lowering.starts) if start <= moment), default=0)

    def _first_step(self, moment: int) -> int:
        starts = self.lowering.starts
        return starts.index(starts[self._last_step(moment)]) if starts else 0


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(text.strip() for text in texts)


def held_bytes(program: Program) -> int:
    """Bytes of a Program's constants, those of the Programs inside it included."""
    arrays = [*program.constants.values(), *[c for _, c in nested_constants(program)]]
    return sum(getattr(c, "nbytes", 0) for c in arrays)


def known_bytes(aval: ShapedArray) -> int:
    """Bytes of a value; none where its size is known only at run time."""
    return aval.nbytes if aval.is_sized else 0


def peak_memory(outline: Outline, segments: dict[int, Written]) -> int:
    """The most bytes alive at once: arguments, constants, results, what passes between segments, and the arena of the segment that runs."""
    program = outline.program
    kept: set[Any] = {*program.inputs, *program.outputs}
    now = sum(a.nbytes for a in program.in_avals) + held_bytes(program)
    last: dict[Any, int] = {}
    for number, step in enumerate(outline.steps):
        reads = step.equation.inputs if isinstance(step, HostOutline) else step.program.inputs
        last.update(dict.fromkeys(reads, number))
    highest = now
    for number, step in enumerate(outline.steps):
        made = step.equation.outputs if isinstance(step, HostOutline) else step.program.outputs
        now += sum(known_bytes(v.aval) for v in made)
        if not isinstance(step, HostOutline):
            now -= sum(out.aval.nbytes for out, _ in segments[step.number].reused)
        highest = max(highest, now + (0 if isinstance(step, HostOutline) else segments[step.number].arena_size))
        now -= sum(
            known_bytes(v.aval) for v, end in last.items() if end == number and isinstance(v, Var) and v not in kept
        )
    return highest
