"""Functions on the representation of floats: neighbours, spacing and scaling by powers of two."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.scalar_value import Value, llvm_type

if TYPE_CHECKING:
    from fad.compiler.llvm.scalar import ScalarBuilder


def bits(k: ScalarBuilder, x: Value) -> Value:
    """The bit pattern of a float as a signed integer."""
    size = x.dtype.itemsize
    return Value(k.builder.bitcast(x.ir, ir.IntType(8 * size)), np.dtype(f"i{size}"))


def from_bits(k: ScalarBuilder, pattern: Value, dtype: np.dtype) -> Value:
    """The float with this bit pattern."""
    return Value(k.builder.bitcast(pattern.ir, llvm_type(dtype)), dtype)


def nextafter(k: ScalarBuilder, x: Value, y: Value) -> Value:
    """The next float from x towards y: patterns of one sign are ordered like their magnitudes."""
    pattern = bits(k, x)
    outwards = k.logical_not(k.logical_xor(k.greater(y, x), k.greater(x, 0)))
    step = k.select(outwards, k.one(pattern), k.constant(-1, pattern.dtype))
    near = from_bits(k, k.add(pattern, step), x.dtype)
    smallest = from_bits(k, k.one(pattern), x.dtype)
    near = k.select(k.equal(x, 0), k.copysign(smallest, y), near)
    near = k.select(k.equal(x, y), y, near)
    return k.select(k.isnan(x), x, k.select(k.isnan(y), y, near))


def spacing(k: ScalarBuilder, x: Value) -> Value:
    """The distance to the next float away from zero, with the sign of x, for float16 to the next higher one, as in NumPy; NaN for infinities."""
    endless = k.constant(math.inf, x.dtype)
    gap = k.subtract(nextafter(k, x, endless if x.dtype == np.float16 else k.copysign(endless, x)), x)
    gap = k.select(k.equal(x, 0), k.absolute(gap), gap)  # as NumPy, positive at -0.0
    return k.select(k.isfinite(x), gap, k.constant(math.nan, x.dtype))


def ldexp(k: ScalarBuilder, x: Value, n: Value) -> Value:
    """Return x * 2**n, rounded once."""
    i32, limit = np.dtype(np.int32), 5000
    if n.dtype.itemsize > 2:
        n = k.clip(n, -limit if n.dtype.kind == "i" else 0, limit)
    power = k.astype(n, i32)
    kind = ir.FunctionType(x.ir.type, [x.ir.type, power.ir.type])
    function = k.builder.module.declare_intrinsic("llvm.ldexp", [x.ir.type, power.ir.type], kind)
    return Value(k.builder.call(function, [x.ir, power.ir]), x.dtype)
