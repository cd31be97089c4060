"""Conversions between dtypes, defined for every argument.

LLVM leaves the conversion of a float outside the integer's range undefined. Here it gives what x86 gives, and so NumPy
there: the smallest int32 (for results of up to 32 bits) or int64, cut to the width of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm import scalar_complex
from fad.compiler.llvm.scalar_value import BOOL, FLOAT32, Value, llvm_type
from fad.core.avals import bfloat16, real_dtype

if TYPE_CHECKING:
    from fad.compiler.llvm.scalar import ScalarBuilder


def convert(k: ScalarBuilder, x: Value, dtype: np.dtype) -> Value:
    """`x` as a value of `dtype`."""
    if x.dtype == dtype:
        return x
    if x.dtype == bfloat16:
        return convert(k, _from_bfloat16(k, x), dtype)
    if dtype == bfloat16:
        return _to_bfloat16(k, convert(k, x, FLOAT32))
    if dtype == BOOL:
        return k.truth(x)
    if dtype.kind == "c":
        part = real_dtype(dtype)
        source = scalar_complex.parts(x) if x.dtype.kind == "c" else (x, k.zero(x))
        return scalar_complex.join(*[convert(k, v, part) for v in source])
    if x.dtype.kind == "c":
        return convert(k, scalar_complex.parts(x)[0], dtype)
    target, builder = llvm_type(dtype), k.builder
    if x.dtype.kind == "f":
        if dtype.kind == "f":
            if dtype.itemsize == 2 and x.dtype.itemsize == 8:
                x = _to_odd_single(k, x)
            return Value((builder.fpext if dtype.itemsize > x.dtype.itemsize else builder.fptrunc)(x.ir, target), dtype)
        return _float_to_integer(k, x, dtype)
    if dtype.kind == "f":
        if dtype.itemsize == 2:  # float64 holds every integer whose float16 is not infinite
            return convert(k, convert(k, x, np.dtype(np.float64)), dtype)
        return Value((builder.sitofp if x.dtype.kind == "i" else builder.uitofp)(x.ir, target), dtype)
    if target.width == x.ir.type.width:
        return Value(x.ir, dtype)
    if target.width < x.ir.type.width:
        return Value(builder.trunc(x.ir, target), dtype)
    return Value((builder.sext if x.dtype.kind == "i" else builder.zext)(x.ir, target), dtype)


def _from_bfloat16(k: ScalarBuilder, x: Value) -> Value:
    """A bfloat16 is the upper half of the same float32."""
    i32 = ir.IntType(32)
    bits = k.builder.shl(k.builder.zext(x.ir, i32), ir.Constant(i32, 16))
    return Value(k.builder.bitcast(bits, ir.FloatType()), FLOAT32)


def _to_bfloat16(k: ScalarBuilder, x: Value) -> Value:
    """The nearest bfloat16, the even one of two; every NaN becomes the quiet one of its sign, as in ml_dtypes."""
    builder, i32, i16 = k.builder, ir.IntType(32), ir.IntType(16)
    bits = builder.bitcast(x.ir, i32)
    upper = builder.lshr(bits, ir.Constant(i32, 16))
    odd = builder.and_(upper, ir.Constant(i32, 1))
    rounded = builder.lshr(builder.add(builder.add(bits, ir.Constant(i32, 0x7FFF)), odd), ir.Constant(i32, 16))
    quiet = builder.or_(builder.and_(upper, ir.Constant(i32, 0x8000)), ir.Constant(i32, 0x7FC0))
    chosen = builder.select(k.isnan(x).ir, quiet, rounded)
    return Value(builder.trunc(chosen, i16), bfloat16)


def _to_odd_single(k: ScalarBuilder, x: Value) -> Value:
    """A float64 as float32, rounded to odd, so that rounding again to float16 gives what one rounding gives.

    S. Boldo and G. Melquiond, "When double rounding is odd" (2005). The direct conversion is a call into a run-time
    library on most CPUs.
    """
    builder, i32 = k.builder, ir.IntType(32)
    near = builder.fptrunc(x.ir, ir.FloatType())
    back = Value(builder.fpext(near, ir.DoubleType()), x.dtype)
    beyond, inexact = k.greater(k.absolute(back), k.absolute(x)), k.not_equal(back, x)
    inexact = k.logical_and(inexact, k.logical_not(k.isnan(x)))
    bits = builder.sub(builder.bitcast(near, i32), builder.zext(beyond.ir, i32))
    return Value(builder.bitcast(builder.or_(bits, builder.zext(inexact.ir, i32)), ir.FloatType()), FLOAT32)


def _float_to_integer(k: ScalarBuilder, x: Value, dtype: np.dtype) -> Value:
    if x.dtype.itemsize == 2:
        x = convert(k, x, FLOAT32)
    if dtype == np.uint64:
        return _float_to_uint64(k, x)
    wide = dtype.itemsize == 8 or dtype == np.uint32
    whole = _signed(k, x, 64 if wide else 32)
    target = llvm_type(dtype)
    return Value(k.builder.trunc(whole, target) if target.width < whole.type.width else whole, dtype)


def _signed(k: ScalarBuilder, x: Value, bits: int) -> ir.Value:
    """`x` cut to a signed integer, the smallest one where it does not fit."""
    limit = 2.0 ** (bits - 1)
    fits = k.logical_and(k.greater_equal(x, -limit), k.less(x, limit))
    whole = k.builder.fptosi(k.select(fits, x, k.zero(x)).ir, ir.IntType(bits))
    return k.builder.select(fits.ir, whole, ir.Constant(whole.type, -(2 ** (bits - 1))))


def _float_to_uint64(k: ScalarBuilder, x: Value) -> Value:
    """Below 2**63 like int64, above by subtracting 2**63 first."""
    half = 2.0**63
    large = k.greater_equal(x, half)
    whole = _signed(k, k.select(large, k.subtract(x, half), x), 64)
    top = k.builder.select(large.ir, ir.Constant(whole.type, 1 << 63), ir.Constant(whole.type, 0))
    return Value(k.builder.xor(whole, top), np.dtype(np.uint64))
