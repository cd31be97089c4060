"""Sorting along an axis, and positions in sorted arrays.

Elements are turned into unsigned integers of the same order first: NaN behind everything else, and for orders -0.0 equal to 0.0.
"""

from __future__ import annotations

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, Index
from fad.compiler.llvm.outlined import Outlined, Sharing
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.scalar_value import BOOL, Value
from fad.compiler.llvm.sort_functions import sort_function
from fad.core.avals import result_dtype, weak_operand
from fad.core.program import Equation

__all__ = [
    "argsort_scratch",
    "searchsorted_refusal",
    "searchsorted_sharing",
    "sort_scratch",
    "sort_sharing",
    "write_argsort",
    "write_searchsorted",
    "write_sort",
]

Scratch = list[tuple[tuple[int, ...], np.dtype]]
_INT64 = np.dtype(np.int64)


def _key_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.uint64 if dtype.itemsize == 8 else np.uint32)


def sort_scratch(equation: Equation) -> Scratch:
    """What sorting needs: the keys of one row, twice."""
    x = equation.inputs[0].aval
    return [((x.shape[equation.params["axis"]],), _key_dtype(x.dtype))] * 2


def argsort_scratch(equation: Equation) -> Scratch:
    """What an order needs: keys and positions of one row, twice."""
    keys = sort_scratch(equation)
    return [*keys, *[(shape, _INT64) for shape, _ in keys]]


def sort_sharing(equation: Equation) -> Sharing | None:
    """Threads share the rows."""
    shape, axis = equation.inputs[0].aval.shape, equation.params["axis"]
    rest = (*shape[:axis], *shape[axis + 1 :])
    return Sharing(rest[0], shape, (400, 1)) if rest else None


def _key(kernel: Outlined, value: Value, is_order: bool) -> ir.Value:
    """An element as an unsigned integer of the same order."""
    k = kernel.emitter.scalar
    dtype = value.dtype
    if dtype.kind == "f" and dtype.itemsize == 2:
        value = k.astype(value, np.dtype(np.float32))
    kind = ir.IntType(64 if dtype.itemsize == 8 else 32)
    if dtype.kind != "f":
        wide = value.ir
        if wide.type.width < kind.width:
            wide = k.builder.sext(wide, kind) if dtype.kind == "i" else k.builder.zext(wide, kind)
        return k.builder.xor(wide, ir.Constant(kind, 1 << (kind.width - 1))) if dtype.kind == "i" else wide
    if is_order:
        value = k.add(value, k.zero(value))  # -0.0 + 0.0 is 0.0
    bits = k.builder.bitcast(value.ir, kind)
    sign = k.builder.ashr(bits, ir.Constant(kind, kind.width - 1))
    # Negative numbers in reverse: all their bits flipped; of the others the sign.
    ordered = k.builder.xor(bits, k.builder.or_(sign, ir.Constant(kind, 1 << (kind.width - 1))))
    return k.builder.select(k.isnan(value).ir, ir.Constant(kind, (1 << kind.width) - 1), ordered)


def _element(kernel: Outlined, key: ir.Value, dtype: np.dtype) -> Value:
    """The element that a key stands for."""
    k, kind = kernel.emitter.scalar, key.type
    if dtype.kind != "f":
        bits = k.builder.xor(key, ir.Constant(kind, 1 << (kind.width - 1))) if dtype.kind == "i" else key
        width = 1 if dtype == BOOL else 8 * dtype.itemsize
        return Value(k.builder.trunc(bits, ir.IntType(width)) if width < kind.width else bits, dtype)
    wide = np.dtype(np.float64 if kind.width == 64 else np.float32)
    positive = k.builder.ashr(key, ir.Constant(kind, kind.width - 1))
    flipped = k.builder.or_(k.builder.not_(positive), ir.Constant(kind, 1 << (kind.width - 1)))
    bits = k.builder.xor(key, flipped)
    number = Value(k.builder.bitcast(bits, ir.DoubleType() if kind.width == 64 else ir.FloatType()), wide)
    last = k.builder.icmp_signed("==", key, ir.Constant(kind, (1 << kind.width) - 1))
    value = Value(k.builder.select(last, k.constant(np.nan, wide).ir, number.ir), wide)
    return k.astype(value, dtype)


def _write_rows(kernel: Outlined, equation: Equation, is_order: bool) -> None:
    (x,), axis = equation.inputs, equation.params["axis"]
    shape, emitter, elements = x.aval.shape, kernel.emitter, kernel.elements
    if 0 in shape:
        return
    keys, spare = kernel.scratch[:2]
    positions = kernel.scratch[2:] if is_order else []
    function = sort_function(emitter.function.module, 8 * keys.dtype.itemsize, is_order)
    nothing = ir.Constant(I64.as_pointer(), None)
    count = emitter.size(shape[axis])
    others = (*shape[:axis], *shape[axis + 1 :])
    with kernel.loops(others, shared=bool(others), plain=True) as rest:

        def at(i: Index) -> Ixs:
            return (*rest[:axis], i, *rest[axis:])

        with emitter.loop(0, count) as i:
            key = _key(kernel, kernel.value(x, at(i)), is_order)
            elements.store(Value(key, keys.dtype), keys, (i,))
            if is_order:
                elements.store(Value(i.value, _INT64), positions[0], (i,))
        places = [p.pointer for p in positions] or [nothing, nothing]
        emitter.builder.call(function, [keys.pointer, spare.pointer, *places, emitter.raw(count)])
        with emitter.loop(0, count) as i:
            if is_order:
                kernel.store(elements.load(positions[0], (i,)), at(i))
            else:
                kernel.store(_element(kernel, elements.load(keys, (i,)).ir, x.aval.dtype), at(i))


def write_sort(kernel: Outlined, equation: Equation) -> None:
    """Write ``sort``."""
    _write_rows(kernel, equation, False)


def write_argsort(kernel: Outlined, equation: Equation) -> None:
    """Write ``argsort``."""
    _write_rows(kernel, equation, True)


# --- positions in sorted arrays ----------------------------------------------------------------------------------------------------------


def _common_dtype(equation: Equation) -> np.dtype:
    return result_dtype(*[weak_operand(a.aval) for a in equation.inputs])


def searchsorted_refusal(equation: Equation) -> str | None:
    """``None`` if kernels compare values of these dtypes, else why not."""
    dtype = _common_dtype(equation)
    return f"positions of {dtype}" if dtype.kind not in "iuf" or dtype.itemsize > 8 else None


def searchsorted_sharing(equation: Equation) -> Sharing | None:
    """Threads share the values."""
    shape = equation.inputs[1].aval.shape
    return Sharing(shape[0], shape, (2000, 1)) if shape else None


def write_searchsorted(kernel: Outlined, equation: Equation) -> None:
    """Write a binary search for each value.

    How many steps it takes depends on the size alone, and no step branches: a processor cannot guess which half a value is in.
    """
    a, v = equation.inputs
    dtype = _common_dtype(equation)
    if 0 in v.aval.shape:
        return
    emitter, one = kernel.emitter, ir.Constant(I64, 1)
    low, length = emitter.variable(I64), emitter.variable(I64)
    with kernel.loops(v.aval.shape, shared=bool(v.aval.shape)) as index:
        value = kernel.value(v, index, dtype)
        emitter.builder.store(ir.Constant(I64, 0), low)
        emitter.builder.store(emitter.raw(emitter.size(a.aval.shape[-1])), length)
        with emitter.repeat() as leave_unless:
            left = emitter.builder.load(length)
            leave_unless(emitter.builder.icmp_signed(">", left, one))
            builder = emitter.builder
            half, first = builder.lshr(left, one), builder.load(low)
            last = builder.sub(builder.add(first, half), one)
            behind = _is_behind(kernel, equation, index, Index(last, emitter.depth), value)
            step = builder.select(behind, half, ir.Constant(I64, 0))
            step.set_metadata("unpredictable", emitter.function.module.add_metadata([]))
            builder.store(builder.add(first, step), low)
            builder.store(builder.sub(left, half), length)
        place = emitter.builder.load(low)
        if a.aval.shape[-1]:
            behind = _is_behind(kernel, equation, index, Index(place, emitter.depth), value)
            place = emitter.builder.add(place, emitter.builder.zext(behind, I64))
        kernel.store(Value(place, _INT64), index)


def _is_behind(kernel: Outlined, equation: Equation, index: Ixs, at: Index, value: Value) -> ir.Value:
    """Whether a value belongs behind an element of the sorted array; NaN stands behind everything else."""
    k = kernel.emitter.scalar
    found = kernel.value(equation.inputs[0], (*index[: equation.params["batched"]], at), value.dtype)
    is_left = equation.params["side"] == "left"
    behind = k.less(found, value) if is_left else k.less_equal(found, value)
    if value.dtype.kind == "f":
        to_end = k.isnan(value)
        behind = k.logical_or(behind, k.logical_and(to_end, k.logical_not(k.isnan(found))) if is_left else to_end)
    return behind.ir
