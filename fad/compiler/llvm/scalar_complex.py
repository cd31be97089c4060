"""Complex numbers in kernels: pairs of real values, with NumPy's formulas.

`FUNCTIONS` lists what there is. Elementary functions use their real and imaginary parts in closed form; at infinities
and NaN they need not agree with C's tables of special values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fad.compiler.llvm.scalar_value import Value

if TYPE_CHECKING:
    from fad.compiler.llvm.scalar import ScalarBuilder


def part_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the two parts."""
    return np.dtype(f"f{dtype.itemsize // 2}")


def parts(z: Value) -> tuple[Value, Value]:
    """The real and the imaginary part."""
    dtype = part_dtype(z.dtype)
    return Value(z.ir[0], dtype), Value(z.ir[1], dtype)


def join(real: Value, imaginary: Value) -> Value:
    """The complex value with these parts."""
    return Value((real.ir, imaginary.ir), np.dtype(f"c{2 * real.dtype.itemsize}"))


def _partwise(name: str) -> Callable[..., Value]:
    def function(k: ScalarBuilder, *operands: Value) -> Value:
        operation = getattr(k, name)
        return join(*[operation(*both) for both in zip(*map(parts, operands))])

    return function


def _either(name: str, combine: str) -> Callable[..., Value]:
    def function(k: ScalarBuilder, *operands: Value) -> Value:
        operation = getattr(k, name)
        return getattr(k, combine)(*[operation(*both) for both in zip(*map(parts, operands))])

    return function


def _multiply(k: ScalarBuilder, z: Value, w: Value) -> Value:
    (a, b), (c, d) = parts(z), parts(w)
    real = k.subtract(k.multiply(a, c), k.multiply(b, d))
    return join(real, k.add(k.multiply(a, d), k.multiply(b, c)))


def _divide(k: ScalarBuilder, z: Value, w: Value) -> Value:
    """Scale by the larger part of the divisor. R. Smith, "Algorithm 116: Complex division" (1962)."""
    (a, b), (c, d) = parts(z), parts(w)
    flat = k.greater_equal(k.absolute(c), k.absolute(d))
    large, small = k.select(flat, c, d), k.select(flat, d, c)
    ratio = k.select(k.equal(large, 0), large, k.divide(small, large))
    scale = k.reciprocal(k.add(large, k.multiply(small, ratio)))
    first, second = k.select(flat, a, b), k.select(flat, b, a)
    real = k.multiply(k.add(first, k.multiply(second, ratio)), scale)
    turned = k.multiply(k.subtract(second, k.multiply(first, ratio)), scale)
    return join(real, k.select(flat, turned, k.negative(turned)))


def _reciprocal(k: ScalarBuilder, z: Value) -> Value:
    one, _ = parts(z)
    return _divide(k, join(k.one(one), k.zero(one)), z)


def _conjugate(k: ScalarBuilder, z: Value) -> Value:
    a, b = parts(z)
    return join(a, k.negative(b))


def _sign(k: ScalarBuilder, z: Value) -> Value:
    """Return z / |z|, and 0 for 0."""
    a, b = parts(z)
    size = k.hypot(a, b)
    size = k.select(k.equal(size, 0), k.one(size), size)
    return join(k.divide(a, size), k.divide(b, size))


def _exp(k: ScalarBuilder, z: Value) -> Value:
    a, b = parts(z)
    size = k.exp(a)
    return join(k.multiply(size, k.cos(b)), k.select(k.equal(b, 0), b, k.multiply(size, k.sin(b))))


def _log(k: ScalarBuilder, z: Value) -> Value:
    a, b = parts(z)
    return join(k.log(k.hypot(a, b)), k.arctan2(b, a))


def _sin(k: ScalarBuilder, z: Value) -> Value:
    a, b = parts(z)
    return join(k.multiply(k.sin(a), k.cosh(b)), k.multiply(k.cos(a), k.sinh(b)))


def _cos(k: ScalarBuilder, z: Value) -> Value:
    a, b = parts(z)
    return join(k.multiply(k.cos(a), k.cosh(b)), k.negative(k.multiply(k.sin(a), k.sinh(b))))


def _sinh(k: ScalarBuilder, z: Value) -> Value:
    a, b = parts(z)
    return join(k.multiply(k.sinh(a), k.cos(b)), k.multiply(k.cosh(a), k.sin(b)))


def _cosh(k: ScalarBuilder, z: Value) -> Value:
    a, b = parts(z)
    return join(k.multiply(k.cosh(a), k.cos(b)), k.multiply(k.sinh(a), k.sin(b)))


def select(k: ScalarBuilder, condition: Value, z: Value, w: Value) -> Value:
    """Return z where the condition holds, else w."""
    return join(*[k.select(condition, *both) for both in zip(parts(z), parts(w))])


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "add": _partwise("add"),
    "subtract": _partwise("subtract"),
    "negative": _partwise("negative"),
    "multiply": _multiply,
    "divide": _divide,
    "square": lambda k, z: _multiply(k, z, z),
    "reciprocal": _reciprocal,
    "conjugate": _conjugate,
    "real": lambda k, z: parts(z)[0],
    "imag": lambda k, z: parts(z)[1],
    "absolute": lambda k, z: k.hypot(*parts(z)),
    "sign": _sign,
    "equal": _either("equal", "logical_and"),
    "not_equal": _either("not_equal", "logical_or"),
    "isnan": _either("isnan", "logical_or"),
    "isinf": _either("isinf", "logical_or"),
    "isfinite": _either("isfinite", "logical_and"),
    "exp": _exp,
    "log": _log,
    "sin": _sin,
    "cos": _cos,
    "sinh": _sinh,
    "cosh": _cosh,
}
