"""Complex arithmetic on pairs of real values, by NumPy's formulas, for any builder ``k`` of real operations.

``FORMULAS`` lists what there is. Elementary functions use their real and imaginary parts in closed form; but for ``exp`` they need not agree
with C's tables of special values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["EXACT", "FORMULAS"]

Pair = tuple[Any, Any]


def _partwise(name: str) -> Callable[..., Pair]:
    def formula(k: Any, *operands: Pair) -> Pair:
        operation = getattr(k, name)
        real, imaginary = [operation(*both) for both in zip(*operands, strict=True)]
        return real, imaginary

    return formula


def _either(name: str, combine: str) -> Callable[..., Any]:
    def formula(k: Any, *operands: Pair) -> Any:
        operation = getattr(k, name)
        return getattr(k, combine)(*[operation(*both) for both in zip(*operands, strict=True)])

    return formula


def _multiply(k: Any, z: Pair, w: Pair) -> Pair:
    (a, b), (c, d) = z, w
    return k.subtract(k.multiply(a, c), k.multiply(b, d)), k.add(k.multiply(a, d), k.multiply(b, c))


def _divide(k: Any, z: Pair, w: Pair) -> Pair:
    """Scale by the larger part of the divisor. R. Smith, "Algorithm 116: Complex division" (1962)."""
    (a, b), (c, d) = z, w
    flat = k.greater_equal(k.absolute(c), k.absolute(d))
    large, small = k.select(flat, c, d), k.select(flat, d, c)
    nothing = k.logical_and(k.equal(large, 0), k.equal(small, 0))
    ratio = k.divide(small, large)
    scale = k.reciprocal(k.add(large, k.multiply(small, ratio)))
    first, second = k.select(flat, a, b), k.select(flat, b, a)
    real = k.multiply(k.add(first, k.multiply(second, ratio)), scale)
    turned = k.multiply(k.subtract(second, k.multiply(first, ratio)), scale)
    turned = k.select(flat, turned, k.negative(turned))
    size = k.absolute(c)
    return k.select(nothing, k.divide(a, size), real), k.select(nothing, k.divide(b, size), turned)


def _reciprocal(k: Any, z: Pair) -> Pair:
    a, b = z
    flat = k.greater_equal(k.absolute(a), k.absolute(b))
    large, small = k.select(flat, a, b), k.select(flat, b, a)
    ratio = k.divide(small, large)
    scale = k.add(large, k.multiply(small, ratio))
    whole, part = k.divide(k.one(a), scale), k.divide(ratio, scale)
    return k.select(flat, whole, part), k.negative(k.select(flat, part, whole))


def _sign(k: Any, z: Pair) -> Pair:
    """Return z / |z|, and 0 for 0; an infinite part is all that counts, and two are no direction."""
    size = k.hypot(*z)
    endless = k.isinf(size)
    size = k.select(k.logical_or(endless, k.equal(size, 0)), k.one(size), size)
    a, b = [k.select(endless, k.select(k.isinf(v), k.copysign(k.one(v), v), k.zero(v)), v) for v in z]
    nowhere = k.logical_and(k.isinf(z[0]), k.isinf(z[1]))
    lost = k.subtract(z[0], z[0])  # NaN
    return k.select(nowhere, lost, k.divide(a, size)), k.select(nowhere, lost, k.divide(b, size))


def _exp(k: Any, z: Pair) -> Pair:
    """Where the angle is infinite or NaN, and the size 0 or infinite, the size alone counts (C99, Annex G)."""
    a, b = z
    size = k.exp(a)
    lost = k.logical_and(k.isinf(a), k.logical_not(k.isfinite(b)))
    vanishes = k.logical_and(lost, k.equal(size, 0))
    real = k.select(lost, size, k.multiply(size, k.cos(b)))
    turned = k.select(k.equal(b, 0), b, k.multiply(size, k.sin(b)))
    return real, k.select(vanishes, size, turned)


def _sqrt(k: Any, z: Pair) -> Pair:
    """The root with a real part that is not negative, without the difference of two numbers; special values as in C99, Annex G."""
    a, b = z
    size = k.hypot(a, b)
    larger = k.sqrt(k.add(k.multiply(k.absolute(a), 0.5), k.multiply(size, 0.5)))
    smaller = k.divide(k.absolute(b), k.multiply(larger, 2.0))
    smaller = k.select(k.equal(size, 0), k.absolute(b), smaller)
    right = k.greater_equal(a, 0)
    real, turned = k.select(right, larger, smaller), k.copysign(k.select(right, smaller, larger), b)
    endless = k.isinf(b)
    return k.select(endless, k.absolute(b), real), k.select(endless, b, turned)


def _log(k: Any, z: Pair) -> Pair:
    a, b = z
    return k.log(k.hypot(a, b)), k.arctan2(b, a)


def _sin(k: Any, z: Pair) -> Pair:
    a, b = z
    return k.multiply(k.sin(a), k.cosh(b)), k.multiply(k.cos(a), k.sinh(b))


def _cos(k: Any, z: Pair) -> Pair:
    a, b = z
    return k.multiply(k.cos(a), k.cosh(b)), k.negative(k.multiply(k.sin(a), k.sinh(b)))


def _sinh(k: Any, z: Pair) -> Pair:
    a, b = z
    return k.multiply(k.sinh(a), k.cos(b)), k.multiply(k.cosh(a), k.sin(b))


def _cosh(k: Any, z: Pair) -> Pair:
    a, b = z
    return k.multiply(k.cosh(a), k.cos(b)), k.multiply(k.sinh(a), k.sin(b))


FORMULAS: dict[str, Callable[..., Any]] = {
    "add": _partwise("add"),
    "subtract": _partwise("subtract"),
    "negative": _partwise("negative"),
    "multiply": _multiply,
    "divide": _divide,
    "square": lambda k, z: _multiply(k, z, z),
    "reciprocal": _reciprocal,
    "conjugate": lambda k, z: (z[0], k.negative(z[1])),
    "real": lambda k, z: z[0],
    "imag": lambda k, z: z[1],
    "absolute": lambda k, z: k.hypot(*z),
    "sign": _sign,
    "sqrt": _sqrt,
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

EXACT = frozenset(FORMULAS) - {"log", "sin", "cos", "sinh", "cosh"}
"""Formulas that agree with NumPy's results for infinities and NaN too; ``exp`` but where its size alone would overflow."""
