"""Operations that copy whole arrays into parts of another one."""

from __future__ import annotations

import math
from typing import Any

from fad.compiler.llvm.elements import Memory, Registers
from fad.compiler.llvm.emission import Ix
from fad.core.program import Equation

__all__ = ["write_concatenate"]


def write_concatenate(lowering: Any, equation: Equation) -> None:
    """Copy every input to its place where it is not there already, a run of neighbouring elements at a time."""
    emitter, axis = lowering.emitter, equation.params["axis"]
    whole = equation.outputs[0]
    out = lowering.elements.storage[whole]
    start: Ix = 0
    for number, atom in enumerate(equation.inputs):
        n = atom.aval.shape[axis]
        held = lowering.elements.storage.get(atom)
        if isinstance(held, Registers):
            _store_each(lowering, held, out, axis, start)
        elif atom.aval.size:
            place = lowering.place(atom)
            if lowering.part_numbers.get(place.pointer) != (whole, number):
                _copy_runs(lowering, place, out, axis, start)
        start = emitter.add(start, emitter.size(n))


def _store_each(lowering: Any, source: Registers, target: Memory, axis: int, start: Ix) -> None:
    """The same of values in registers, one by one: through memory, LLVM would take a time that is quadratic in how many there are."""
    emitter, elements = lowering.emitter, lowering.elements
    for index, value in source.values.items():
        at = (*index[:axis], emitter.add(start, index[axis]), *index[axis + 1 :])
        elements.store(emitter.scalar.astype(value, target.dtype), target, at)


def _copy_runs(lowering: Any, source: Memory, target: Memory, axis: int, start: Ix) -> None:
    """``target[..., start : start + n, ...] = source`` along one axis, converted to the target's dtype."""
    emitter, elements = lowering.emitter, lowering.elements
    run = emitter.product(source.shape[axis:])
    stride = emitter.product(target.shape[axis:])
    offset = emitter.multiply(start, emitter.product(target.shape[axis + 1 :]))
    rows = emitter.product(source.shape[:axis])
    flat_source = Memory(source.pointer, (math.prod(source.shape),), source.dtype, source.floor)
    flat_target = Memory(target.pointer, (math.prod(target.shape),), target.dtype, target.floor)
    with emitter.loop(0, rows, plain=True) as row:
        first = emitter.add(emitter.multiply(row, stride), offset)
        if source.dtype == target.dtype:
            begin, end = emitter.multiply(row, run), emitter.multiply(run, source.dtype.itemsize)
            lowering.copy_bytes(
                elements.pointer(flat_source, (begin,)), elements.pointer(flat_target, (first,)), emitter.raw(end)
            )
            return
        with emitter.loop(0, run) as i:
            value = elements.load(flat_source, (emitter.add(emitter.multiply(row, run), i),))
            converted = emitter.scalar.astype(value, target.dtype)
            elements.store(converted, flat_target, (emitter.add(first, i),))
