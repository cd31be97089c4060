"""Positions of extremes as reductions, which vectorise and fuse: the smallest position whose element equals the extreme."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.compiler.passes.redundancy import replaced
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var

__all__ = ["expand_positions"]

_REDUCTIONS = {"argmax": "reduce_max", "argmin": "reduce_min"}
_BOOL, _INT32, _INT64 = np.dtype(bool), np.dtype(np.int32), np.dtype(np.int64)


def expand_positions(program: Program) -> Program:
    """Write ``argmax`` and ``argmin`` of real arrays as two reductions."""
    return replaced(program, _is_expanded, _expanded)


def _is_expanded(equation: Equation) -> bool:
    if equation.primitive.name not in _REDUCTIONS:
        return False
    aval = equation.inputs[0].aval
    wide = aval.dtype.kind in "iu" or (aval.dtype.kind == "f" and aval.dtype.itemsize in (4, 8))
    return wide and all(type(n) is int for n in aval.shape) and aval.shape[equation.params["axis"]] > 0


def _expanded(equation: Equation) -> list[Equation]:
    (x,), (out,), axis = equation.inputs, equation.outputs, equation.params["axis"]
    shape, found = x.aval.shape, []

    def apply(name: str, inputs: list[Atom], aval: ShapedArray, **params: Any) -> Var:
        var = Var(aval)
        found.append(Equation(REGISTRY[name], inputs, params, [var], equation.source))
        return var

    extreme = apply(_REDUCTIONS[equation.primitive.name], [x], ShapedArray(out.aval.shape, x.aval.dtype), axes=(axis,))
    kept = (*shape[:axis], 1, *shape[axis + 1 :])
    spread = apply("reshape", [extreme], ShapedArray(kept, x.aval.dtype), shape=kept)
    hit = apply("equal", [x, spread], ShapedArray(shape, _BOOL))
    if x.aval.dtype.kind == "f":
        # If the extreme is NaN nothing equals it, and what counts are the NaNs; if it is not, there are none.
        missing = apply("isnan", [x], ShapedArray(shape, _BOOL))
        hit = apply("logical_or", [hit, missing], ShapedArray(shape, _BOOL))
    # Positions of the width of the elements fill as many lanes of a vector.
    size = shape[axis]
    dtype = _INT32 if x.aval.dtype.itemsize <= 4 and size < 2**31 else _INT64
    positions = apply("iota", [], ShapedArray((size,), dtype), size=size, dtype=dtype)
    along = (*(1,) * axis, size, *(1,) * (len(shape) - axis - 1))
    row = apply("reshape", [positions], ShapedArray(along, dtype), shape=along)
    candidates = apply("select", [hit, row, Literal(dtype.type(size))], ShapedArray(shape, dtype))
    first = apply("reduce_min", [candidates], ShapedArray(out.aval.shape, dtype), axes=(axis,))
    found.append(Equation(REGISTRY["convert"], [first], {"dtype": out.aval.dtype}, [out], equation.source))
    return found
