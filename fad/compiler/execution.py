"""Compiled Programs: native segments, and Python between them."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from fad.compiler.canonical import program_form
from fad.compiler.code import Code, code_of
from fad.compiler.fetched_memory import FetchedArrays, fetched_arrays
from fad.compiler.finite_flags import flagged
from fad.compiler.foreign import ForeignKernel
from fad.compiler.host_loops import Way, run_on_host
from fad.compiler.llvm.caller import is_checked, make_caller
from fad.compiler.llvm.pool import limited_threads
from fad.compiler.llvm.spare_time import use_spare_time
from fad.compiler.memory_plan import ALIGNMENT
from fad.compiler.nested import body_program, nested_constants
from fad.compiler.outcomes import FAILED, MISS, NativeFailure
from fad.compiler.precedence import is_brief
from fad.compiler.segments import HostStep, split
from fad.core.config import config
from fad.core.program import Atom, Literal, Program, Var

__all__ = ["CompiledProgram", "NativeSegment", "compile_program"]

_LONG_WORK = 20_000


class NativeSegment:
    """A segment ready to run for one set of sizes.

    Attributes
    ----------
    program : Program
        What it computes.
    code : Code
        Its code.
    sizes : numpy.ndarray
        The sizes, scalars and offsets that the code gets.
    arena_size : int
        Bytes of its temporary arrays.
    constants : list of numpy.ndarray
        Closed-over arrays.
    out_types : list of (shape, dtype)
        The types of its results.
    is_brief : bool
        Whether little work was done on its code, for it runs for less time than Python takes to call it.
    is_long : bool
        Whether a run takes so long that other Python threads should run meanwhile.
    records : list of numpy.ndarray
        What code that measures itself writes into, besides its results.
    fetched : list of FetchedArrays
        For the results of one run, if they are on their way already.
    """

    def __init__(self, program: Program, code: Code | None = None, donated: Sequence[int] = (), is_brief: bool = False):
        canonical = program_form(program, donated)
        self.program, self.is_brief = program, is_brief
        self.code = code_of(program, canonical, is_brief) if code is None else code
        self.records: list[np.ndarray] = []
        self.fetched: list[FetchedArrays] = []
        renamed = dict(zip(self.code.sizes, canonical.sizes, strict=True))
        offsets, self.arena_size = self.code.memory.offsets(renamed)
        scalars = [int.from_bytes(np.asarray(v).tobytes(), "little") for v in canonical.scalars]
        values = [*canonical.sizes, *scalars, *offsets, 0]
        self.sizes = np.array([v - (1 << 64) if v >= 1 << 63 else v for v in values], np.int64)
        constants = [*program.constants.items(), *nested_constants(program)]
        self.constants = [native_buffer(c, v.aval.dtype) for v, c in constants]
        self.out_types = [(v.aval.shape, v.aval.dtype) for v in program.outputs]
        self.is_long = _is_long(program)
        self._caller: Any = None
        self._calls = 0

    def __call__(self, *args: Any) -> list[np.ndarray]:
        """Run it on buffers; from the second call on through the native caller."""
        self._calls += 1
        if self._calls == 2 and not self.code.reused:
            self._caller = make_caller(self.program.in_avals, range(len(args)), self, False)
        results = MISS if self._caller is None else self._caller(*args)
        if results is FAILED:
            raise NativeFailure(self.program.name)
        return self._run(args) if results is MISS else [r._buffer for r in results]

    def _run(self, args: Any) -> list[np.ndarray]:
        """Run it on whatever NumPy can bring into the wanted types."""
        held = [native_buffer(a, v.aval.dtype) for a, v in zip(args, self.program.inputs, strict=True)]
        taken = dict(self.code.reused)
        # Whoever calls with arrays that may be overwritten uses the native caller; here results take the memory of copies.
        held = [h.copy() if k in taken.values() else h for k, h in enumerate(held)]
        results, arena = self._new_memory()
        outs = [held[taken[k]] if k in taken else new for k, new in enumerate(results)]
        addresses = np.array([b.ctypes.data for b in (*held, *self.constants, *outs, *self.records)], np.uint64)
        base = -(-arena.ctypes.data // ALIGNMENT) * ALIGNMENT
        if self.code.call(addresses.ctypes.data, self.sizes.ctypes.data, base):
            raise NativeFailure(self.program.name)
        use_spare_time()
        return outs

    def _new_memory(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Arrays for the results, and bytes for temporary arrays."""
        count = self.arena_size + ALIGNMENT
        try:
            fetched = self.fetched.pop()
        except IndexError:
            return [np.empty(*t) for t in self.out_types], np.empty(count, np.uint8)
        return fetched.take(), fetched.like_them(count)


def _is_long(program: Program) -> bool:
    if any(e.primitive.higher_order or isinstance(e.primitive.kernel, ForeignKernel) for e in program.equations):
        return True
    return sum(a.aval.size for e in program.equations for a in (*e.inputs, *e.outputs)) > _LONG_WORK


def native_buffer(value: Any, dtype: np.dtype) -> np.ndarray:
    """The value as an aligned C-contiguous array of native byte order; itself where it is one."""
    return np.require(value, dtype, ["C_CONTIGUOUS", "ALIGNED"])


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep Python's cycle collector from running, which would look through all objects several times during one compilation."""
    was_on = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if was_on:
            gc.enable()


class CompiledProgram:
    """A Program as native segments and equations that Python evaluates.

    Parameters
    ----------
    program : Program
        What to compile.
    runs_next : bool
        Whether it is compiled because it is about to run, so that memory for its results is needed.
    way_of : callable, optional
        Gives what runs a Program inside a loop that Python turns; such loops are evaluated without it.

    Attributes
    ----------
    program : Program
        What was compiled.
    steps : list of NativeSegment or HostStep
        What runs, in order.
    reasons : dict of str to str
        Why operations are left to Python, by their names.
    """

    def __init__(self, program: Program, runs_next: bool = False, way_of: Callable[[Program], Way] | None = None):
        self.program = program
        self._way_of = way_of
        fetched = fetched_arrays(program.out_avals) if runs_next else None
        with _without_collection():
            self._flat = body_program(program)
            steps = split(self._flat)
            donated = donated_inputs(program, self._flat, steps)
            self.steps: list[Any] = [
                s if isinstance(s, HostStep) else NativeSegment(s.program, None, donated, is_brief(s.program))
                for s in steps
            ]
        self.reasons = {s.equation.primitive.name: s.reason for s in steps if isinstance(s, HostStep)}
        self._reads = [_reads(s) for s in self.steps]
        self._dead = _dead_after(self._reads, self._flat)
        placed = self.only_segment()
        if fetched is not None and placed is not None and not placed[0].code.reused:
            placed[0].fetched.append(fetched)

    def native_caller(self, single: bool) -> Any:
        """A C function from arguments to arrays, see :mod:`fad.compiler.llvm.caller`; ``None`` if some of it runs in Python."""
        placed = self.only_segment()
        return None if placed is None else make_caller(self._flat.in_avals, placed[1], placed[0], single)

    def only_segment(self) -> tuple[NativeSegment, list[int]] | None:
        """The segment that is all of it, and the number of each argument among its inputs, -1 for one that it does not read."""
        if len(self.steps) != 1 or not isinstance(self.steps[0], NativeSegment):
            return None
        segment = self.steps[0]
        if list(segment.program.outputs) != list(self._flat.outputs):
            return None
        numbers = {v: k for k, v in enumerate(segment.program.inputs)}
        return segment, [numbers.get(v, -1) for v in self._flat.inputs]

    @property
    def overwritten(self) -> tuple[int, ...]:
        """The numbers of the Program's inputs whose memory results take."""
        placed = self.only_segment()
        if placed is None:
            return ()
        taken = {k for _, k in placed[0].code.reused}
        return tuple(k for k, place in enumerate(placed[1]) if place in taken)

    def __call__(self, *args: Any) -> list[Any]:
        """Run the Program on buffers."""
        if config.stamp() is not None:
            return self._run(args)
        with limited_threads():
            return self._run(args)

    def _run(self, args: Sequence[Any]) -> list[Any]:
        env: dict[Var, Any] = {**self._flat.constants, **dict(zip(self._flat.inputs, args, strict=True))}
        for step, reads, dead in zip(self.steps, self._reads, self._dead, strict=True):
            values = [a.value if isinstance(a, Literal) else env[a] for a in reads]
            if isinstance(step, NativeSegment):
                env.update(zip(step.program.outputs, step(*values), strict=True))
            else:
                env.update(zip(step.equation.outputs, run_on_host(step.equation, values, self._way_of), strict=True))
            del values
            for var in dead:
                del env[var]
        return [env[v] for v in self._flat.outputs]


def compile_program(
    program: Program, infs: bool | None, runs_next: bool, way_of: Callable[[Program], Way]
) -> CompiledProgram:
    """Compile a Program; with ``infs`` its last result tells whether a NaN, or if it is true an infinity, may have been made."""
    if infs is not None:
        return CompiledProgram(flagged(program, infs), runs_next)
    return CompiledProgram(program, runs_next, way_of)


def donated_inputs(program: Program, flat: Program, steps: Sequence[Any]) -> tuple[int, ...]:
    """The numbers of the inputs of a Program's only segment that are donated; none if it cannot be called natively."""
    if not program.donated or len(steps) != 1 or isinstance(steps[0], HostStep) or not is_checked(flat.in_avals):
        return ()
    donated = {flat.inputs[k] for k in program.donated}
    return tuple(k for k, v in enumerate(steps[0].program.inputs) if v in donated)


def _reads(step: Any) -> list[Atom]:
    return list(step.program.inputs if isinstance(step, NativeSegment) else step.equation.inputs)


def _dead_after(reads: list[list[Atom]], program: Program) -> list[list[Var]]:
    """The variables that are read for the last time in each step."""
    seen: set[Atom] = {*program.outputs, *program.inputs, *program.constants}
    dead: list[list[Var]] = []
    for atoms in reversed(reads):
        ended = [a for a in dict.fromkeys(atoms) if isinstance(a, Var) and a not in seen]
        seen.update(ended)
        dead.append(ended)
    return dead[::-1]
