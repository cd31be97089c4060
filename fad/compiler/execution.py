"""Compiled Programs: native segments, Python between them, and one cache of code for the whole process."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Hashable
from typing import Any

import numpy as np

from fad.compiler.canonical import Canonical, canonical_form
from fad.compiler.llvm.caller import make_caller
from fad.compiler.llvm.linking import engine
from fad.compiler.llvm.lowering import lower_segment
from fad.compiler.memory_plan import MemoryPlan
from fad.compiler.nested import body_program, nested_constants
from fad.compiler.outcomes import NativeFailure
from fad.compiler.segments import HostStep, split
from fad.core.program import Literal, Program, Var

__all__ = ["CompiledProgram", "NativeSegment"]

_LONG_WORK = 20_000
_numbers = itertools.count()
_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Code:
    """The machine code of a segment, for any sizes.

    Attributes
    ----------
    address : int
        Of the native function.
    sizes : tuple of int
        The sizes that it was first compiled for, in the order of their symbols.
    memory : MemoryPlan
        Its temporary arrays.
    """

    def __init__(self, program: Program, canonical: Canonical):
        name = f"fad_segment{next(_numbers)}"
        module = engine().new_module(name)
        lowering = lower_segment(module, name, program, canonical)
        self.address = engine().load(module, name)
        self.sizes = tuple(canonical.sizes)
        self.memory: MemoryPlan = lowering.memory
        self.kernels = lowering.kernels
        self.call = _CALL(self.address)


_codes: dict[Hashable, Code] = {}
_locks: dict[Hashable, threading.Lock] = {}
_lock = threading.Lock()


def _code(program: Program, canonical: Canonical) -> Code:
    """The code for a Program, compiled once even if many threads ask."""
    found = _codes.get(canonical.key)
    if found is not None:
        return found
    with _lock:
        lock = _locks.setdefault(canonical.key, threading.Lock())
    with lock:
        if canonical.key not in _codes:
            _codes[canonical.key] = Code(program, canonical)
        return _codes[canonical.key]


class NativeSegment:
    """A segment ready to run for one set of sizes."""

    def __init__(self, program: Program):
        canonical = canonical_form(program)
        self.program = program
        self.code = _code(program, canonical)
        renamed = dict(zip(self.code.sizes, canonical.sizes, strict=True))
        offsets, self.arena_size = self.code.memory.offsets(renamed)
        scalars = [int.from_bytes(np.asarray(v).tobytes(), "little") for v in canonical.scalars]
        values = [*canonical.sizes, *scalars, *offsets, 0]
        self.sizes = np.array([v - (1 << 64) if v >= 1 << 63 else v for v in values], np.int64)
        constants = [*program.constants.items(), *nested_constants(program)]
        self.constants = [native_buffer(c, v.aval.dtype) for v, c in constants]
        self.in_dtypes = [v.aval.dtype for v in program.inputs]
        self.out_types = [(v.aval.shape, v.aval.dtype) for v in program.outputs]
        self.is_long = _is_long(program)

    def __call__(self, *args: Any) -> list[np.ndarray]:
        """Run it on buffers."""
        held = [native_buffer(a, d) for a, d in zip(args, self.in_dtypes, strict=True)]
        outs = [np.empty(shape, dtype) for shape, dtype in self.out_types]
        addresses = np.array([b.ctypes.data for b in (*held, *self.constants, *outs)], np.uint64)
        arena = np.empty(self.arena_size + 64, np.uint8)
        base = -(-arena.ctypes.data // 64) * 64
        if self.code.call(addresses.ctypes.data, self.sizes.ctypes.data, base):
            raise NativeFailure(self.program.name)
        return outs


def _is_long(program: Program) -> bool:
    """Whether a run takes so long that other Python threads should run meanwhile."""
    work = sum(a.aval.size for e in program.equations for a in (*e.inputs, *e.outputs))
    return work > _LONG_WORK or any(e.primitive.higher_order for e in program.equations)


def native_buffer(value: Any, dtype: np.dtype) -> np.ndarray:
    """The value as an aligned C-contiguous array of native byte order; itself where it is one."""
    return np.require(value, dtype, ["C_CONTIGUOUS", "ALIGNED"])


class CompiledProgram:
    """A Program as native segments and equations that Python evaluates."""

    def __init__(self, program: Program):
        self.program = program
        flat = body_program(program)
        steps = split(flat)
        self.reasons = {s.equation.primitive.name: s.reason for s in steps if isinstance(s, HostStep)}
        self.steps: list[Any] = [s if isinstance(s, HostStep) else NativeSegment(s.program) for s in steps]
        self._flat = flat

    def native_caller(self, single: bool) -> Any:
        """A C function from arguments to arrays, see :mod:`fad.compiler.llvm.caller`; ``None`` if some of it runs in Python."""
        if len(self.steps) != 1 or not isinstance(self.steps[0], NativeSegment):
            return None
        segment = self.steps[0]
        if list(segment.program.outputs) != list(self._flat.outputs):
            return None
        numbers = {v: k for k, v in enumerate(segment.program.inputs)}
        positions = [numbers.get(v, -1) for v in self._flat.inputs]
        return make_caller(self._flat.in_avals, positions, segment, single)

    def __call__(self, *args: Any) -> list[Any]:
        """Run the Program on buffers."""
        env: dict[Var, Any] = {**self._flat.constants, **dict(zip(self._flat.inputs, args, strict=True))}
        for step in self.steps:
            if isinstance(step, NativeSegment):
                env.update(zip(step.program.outputs, step(*[env[v] for v in step.program.inputs]), strict=True))
            else:
                equation = step.equation
                values = [a.value if isinstance(a, Literal) else env[a] for a in equation.inputs]
                out = equation.primitive.bind(*values, **equation.params)
                env.update(zip(equation.outputs, out if equation.primitive.multiple_results else [out], strict=True))
        return [env[v] for v in self._flat.outputs]
