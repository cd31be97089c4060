"""Calls of code from outside, see :mod:`fad.compiler.foreign`."""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, POINTER
from fad.core.program import Atom, Equation, Var

__all__ = ["write_foreign"]


def write_foreign(lowering: Any, equation: Equation) -> None:
    """Write the call; where it returns an error, leave the segment's function."""
    emitter = lowering.emitter
    builder = emitter.builder
    outs = [lowering.elements.storage[v].pointer for v in equation.outputs]
    pointers = [builder.bitcast(p, POINTER) for p in [*[_pointer(lowering, a) for a in equation.inputs], *outs]]
    sizes = [n for a in (*equation.inputs, *equation.outputs) for n in a.aval.shape]
    place = emitter.small_array(np.dtype(np.int64), max(len(sizes), 1))
    for number, n in enumerate(sizes):
        builder.store(emitter.raw(emitter.size(n)), builder.gep(place, [ir.Constant(I64, number)]))
    kind = ir.FunctionType(I64, [*[POINTER] * len(pointers), I64.as_pointer()])
    function = builder.inttoptr(ir.Constant(I64, equation.primitive.kernel.address(equation)), kind.as_pointer())
    emitter.leave_unless_zero(builder.call(function, [*pointers, place]))


def _pointer(lowering: Any, atom: Atom) -> ir.Value:
    """The address of an input's elements; a constant is put on the stack."""
    if isinstance(atom, Var):
        return lowering.place(atom).pointer
    pointer = lowering.emitter.small_array(atom.aval.dtype, 1)
    lowering.emitter.scalar.store(lowering.scalar_value(atom), pointer)
    return pointer
