"""The loops of a segment as modules of their own, which are compiled side by side.

A part is one function. Its name comes from its text, so that equal loops of a segment, and of all segments of a process, are compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

import llvmlite.ir as ir

from fad.compiler.llvm.assembly import dismantle, module_text
from fad.compiler.llvm.beside import NotWidened, has_neighbours
from fad.compiler.llvm.emission import Emitter
from fad.compiler.llvm.linking import Source
from fad.compiler.llvm.math_library import definitions
from fad.compiler.llvm.modules import likely_symbols, new_module
from fad.compiler.llvm.widening import expected_version, has_loops, widen_loops

__all__ = ["Expect", "Parts", "Take", "make_cold"]

Take = Callable[[str, Source, list[str]], None]
"""Gets the name, the assembly and symbols that are likely to be called of a part, as soon as it is written."""
Expect = Callable[[str], None]
"""Gets a symbol that a part is likely to call, before the part is written."""

_UNNAMED = "part"
_LONG = 200
"""So many instructions are long code."""
_CALLS = 8
"""Where one of so many instructions calls a math function, the others take little time beside the calls."""


class Parts:
    """The parts of one segment.

    Parameters
    ----------
    take : callable
        Gets each different part once.
    expect : callable, optional
        Gets the math functions that a loop will call, while it is written.
    """

    def __init__(self, take: Take, expect: Expect | None = None):
        self._take, self._expect = take, expect
        self._taken: set[str] = set()

    def new(self, types: Sequence[ir.Type]) -> ir.Function:
        """A function to be written, in a module of its own."""
        return ir.Function(new_module(_UNNAMED), ir.FunctionType(ir.VoidType(), list(types)), _UNNAMED)

    def announce(self, module: ir.Module, turns: Callable[[], int | None]) -> None:
        """Let it be known which math functions the loops of a part call as soon as each is first needed: their compilation need not wait for the rest.

        ``turns`` gives how many turns these loops make, where that is known by then.
        """
        expect = self._expect
        if expect is not None:
            definitions(module).when_used = lambda name, dtype: expect(expected_version(module, name, dtype, turns()))

    def finish(self, emitter: Emitter, label: str, user: ir.Module) -> ir.Function:
        """Hand over a written function; gives its declaration in the module that calls it."""
        function = emitter.function
        is_wide = widen_loops(function, emitter.most_turns, emitter.whole)
        if not is_wide and has_neighbours(function):
            raise NotWidened
        passes = "few" if is_wide and has_loops(function) else "all"
        text = module_text(function.module)
        name = f"{label}_{sha256(text.encode()).hexdigest()[:20]}"
        if name not in self._taken:
            self._taken.add(name)
            level = 0 if passes == "few" and _mostly_calls(function) else 2
            source = Source(text.replace(f'@"{_UNNAMED}"(', f'@"{name}"(', 1), level, passes)
            self._take(name, source, likely_symbols(function.module, True))
        found, kind = user.globals.get(name), function.ftype
        dismantle(function.module)
        return ir.Function(user, kind, name) if found is None else found


def _mostly_calls(function: ir.Function) -> bool:
    """Whether a function is long code that is as fast without much work on it: across each call of a math function all values wait in memory anyway.

    Choosing registers between them is what takes LLVM longest.
    """
    instructions = [i for block in function.blocks for i in block.instructions]
    calls = sum(isinstance(i, ir.CallInstr) and getattr(i.callee, "name", "").startswith("fad_") for i in instructions)
    return len(instructions) >= _LONG and calls * _CALLS >= len(instructions)


def make_cold(function: ir.Function) -> None:
    """Spend no time on making a function fast: it prepares and calls others."""
    for attribute in ("optnone", "noinline"):
        function.attributes.add(attribute)
