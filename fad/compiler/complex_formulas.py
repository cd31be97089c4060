"""Complex arithmetic on pairs of real values, by NumPy's formulas, for any builder ``k`` of real operations.

``FORMULAS`` lists what there is. Elementary functions use their real and imaginary parts in closed form, with the values that C99 (Annex G) lists for zeros,
infinities and NaN. Each part is right to a few units in the last place; a power to as many times its exponent's size, as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["FORMULAS"]

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


def _of_conditions(name: str) -> Callable[..., Any]:
    """An operation on booleans; a number stands for whether it is not zero."""

    def formula(k: Any, *operands: Pair) -> Any:
        return getattr(k, name)(*[FORMULAS["not_equal"](k, z, (0, 0)) for z in operands])

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


def _halved(k: Any, a: Any) -> tuple[Any, Any]:
    """Half of numbers so large that their exponential may overflow where its product with a sine does not, others as they are; and which those are."""
    large = k.greater(k.absolute(a), math.log(k.limits(a).max) - 1)
    return k.select(large, k.multiply(a, 0.5), a), large


def _squared(k: Any, large: Any, root: Any, value: Any, factor: float) -> Any:
    """The product with ``factor * root`` where the exponent was halved."""
    return k.select(large, k.multiply(value, k.multiply(root, factor)), value)


def _exp(k: Any, z: Pair) -> Pair:
    """Where the angle is infinite or NaN, and the size 0 or infinite, the size alone counts (C99, Annex G)."""
    a, b = z
    part, large = _halved(k, a)
    size = k.exp(part)
    lost = k.logical_and(k.isinf(a), k.logical_not(k.isfinite(b)))
    vanishes = k.logical_and(lost, k.equal(size, 0))
    real = k.select(lost, size, _squared(k, large, size, k.multiply(size, k.cos(b)), 1.0))
    turned = k.select(k.equal(b, 0), b, _squared(k, large, size, k.multiply(size, k.sin(b)), 1.0))
    return real, k.select(vanishes, size, turned)


def _sqrt(k: Any, z: Pair) -> Pair:
    """The root with a real part that is not negative, without the difference of two numbers; special values as in C99, Annex G."""
    x, y = z
    limits, one = k.limits(x), k.one(x)
    most = k.select(k.greater(k.absolute(x), k.absolute(y)), k.absolute(x), k.absolute(y))
    huge, tiny = k.greater(most, limits.max / 8), k.less(most, limits.tiny / limits.eps)
    scale, back = [
        k.select(huge, k.constant_like(x, down), k.select(tiny, k.constant_like(x, up), one))
        for down, up in ((0.25, 2.0**54), (2.0, 2.0**-27))
    ]
    a, b = k.multiply(x, scale), k.multiply(y, scale)
    size = k.hypot(a, b)
    larger = k.sqrt(k.add(k.multiply(k.absolute(a), 0.5), k.multiply(size, 0.5)))
    smaller = k.divide(k.absolute(b), k.multiply(larger, 2.0))
    smaller = k.select(k.equal(size, 0), k.absolute(b), smaller)
    larger, smaller = k.multiply(larger, back), k.multiply(smaller, back)
    right = k.greater_equal(a, 0)
    real, turned = k.select(right, larger, smaller), k.copysign(k.select(right, smaller, larger), b)
    endless = k.isinf(b)
    return k.select(endless, k.absolute(b), real), k.select(endless, b, turned)


def _log(k: Any, z: Pair) -> Pair:
    a, b = z
    return k.log_hypot(a, b), k.arctan2(b, a)


def _scaled_log(factor: float) -> Callable[..., Pair]:
    def formula(k: Any, z: Pair) -> Pair:
        a, b = _log(k, z)
        return k.multiply(a, factor), k.multiply(b, factor)

    return formula


def _exp2(k: Any, z: Pair) -> Pair:
    return _exp(k, (k.multiply(z[0], math.log(2)), k.multiply(z[1], math.log(2))))


def _expm1(k: Any, z: Pair) -> Pair:
    a, b = z
    half = k.sin(k.multiply(b, 0.5))
    real = k.subtract(k.multiply(k.expm1(a), k.cos(b)), k.multiply(k.multiply(half, half), 2.0))
    return real, k.multiply(k.exp(a), k.sin(b))


def _log1p(k: Any, z: Pair) -> Pair:
    return _log(k, (k.add(z[0], 1.0), z[1]))


def _sinh(k: Any, z: Pair) -> Pair:
    """Where the angle is infinite or NaN, a real part of 0 or infinity stays."""
    a, b = z
    part, large = _halved(k, a)
    rise, size = k.sinh(part), k.cosh(part)
    stays = k.logical_and(k.logical_not(k.isfinite(b)), k.logical_or(k.equal(a, 0), k.isinf(a)))
    real = k.select(
        stays, k.select(k.isinf(a), k.absolute(a), a), _squared(k, large, size, k.multiply(rise, k.cos(b)), 2.0)
    )
    return real, k.select(k.equal(b, 0), b, _squared(k, large, size, k.multiply(size, k.sin(b)), 2.0))


def _cosh(k: Any, z: Pair) -> Pair:
    """As :func:`_sinh`."""
    a, b = z
    part, large = _halved(k, a)
    rise, size = k.sinh(part), k.cosh(part)
    nowhere = k.logical_not(k.isfinite(b))
    real = k.select(k.logical_and(nowhere, k.isinf(a)), size, _squared(k, large, size, k.multiply(size, k.cos(b)), 2.0))
    turned = _squared(k, large, size, k.multiply(rise, k.sin(b)), 2.0)
    turned = k.select(k.equal(b, 0), k.multiply(b, k.copysign(k.one(a), a)), turned)
    return real, k.select(k.logical_and(nowhere, k.equal(a, 0)), a, turned)


def _tanh(k: Any, z: Pair) -> Pair:
    """``(sinh(a) cosh(a) + i sin(b) cos(b)) / (sinh(a)**2 + cos(b)**2)``, which is 1 and nearly nothing for a large real part."""
    a, b = z
    far = k.greater(k.absolute(a), math.log(k.limits(a).max) / 4)
    part = k.select(far, k.multiply(a, 0.5), a)
    rise, cosine = k.sinh(part), k.cos(b)
    below = k.add(k.multiply(rise, rise), k.multiply(cosine, cosine))
    nowhere = k.logical_not(k.isfinite(b))
    real = k.divide(k.multiply(rise, k.cosh(part)), below)
    lost = k.logical_and(nowhere, k.isfinite(a))
    limit = k.select(lost, k.select(k.equal(a, 0), a, k.constant_like(a, math.nan)), k.copysign(k.one(a), a))
    real = k.select(k.logical_or(far, lost), limit, real)
    turned = k.divide(k.multiply(k.sin(b), cosine), below)
    turned = k.select(far, k.divide(turned, k.multiply(below, 4.0)), turned)
    still = k.logical_or(k.equal(b, 0), k.logical_and(nowhere, k.isinf(a)))
    return real, k.select(still, k.copysign(k.zero(b), b), turned)


def _turned(formula: Callable[..., Pair]) -> Callable[..., Pair]:
    """``-i f(i z)`` of an odd function of which ``f(conj(z))`` is ``conj(f(z))``."""

    def turned(k: Any, z: Pair) -> Pair:
        real, imaginary = formula(k, z[::-1])
        return imaginary, real

    return turned


def _multiply_as_c(k: Any, z: Pair, w: Pair) -> Pair:
    """The product where an infinite factor counts even beside NaN (C99, Annex G)."""
    plain = _multiply(k, z, w)
    ends = [k.logical_or(k.isinf(a), k.isinf(b)) for a, b in (z, w)]
    rescued = k.logical_and(k.logical_and(*map(k.isnan, plain)), k.logical_or(*ends))

    def boxed(end: Any, v: Any) -> Any:
        nothing = k.copysign(k.zero(v), v)
        other = k.select(k.isnan(v), nothing, v)
        return k.select(end, k.select(k.isinf(v), k.copysign(k.one(v), v), nothing), other)

    pairs = [tuple([boxed(end, v) for v in pair]) for end, pair in zip(ends, (z, w), strict=True)]
    real, turned = [
        k.select(rescued, k.multiply(v, math.inf), p) for v, p in zip(_multiply(k, *pairs), plain, strict=True)
    ]
    return real, turned


def _power(k: Any, z: Pair, w: Pair) -> Pair:
    """``exp(w log(z))``; 1 for an exponent of zero. Powers of zero are 0 if the exponent's real part is positive, else NaN."""
    (a, b), (c, d) = z, w
    real, turned = _exp(k, _multiply_as_c(k, _log(k, z), w))
    origin = k.logical_and(k.equal(a, 0), k.equal(b, 0))
    at_origin = k.select(k.greater(c, 0), k.zero(c), k.constant_like(c, math.nan))
    nothing = k.logical_and(k.equal(c, 0), k.equal(d, 0))
    real, turned = [k.select(origin, at_origin, v) for v in (real, turned)]
    return k.select(nothing, k.one(real), real), k.select(nothing, k.zero(turned), turned)


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
    **{name: _of_conditions(name) for name in ("logical_and", "logical_or", "logical_xor", "logical_not")},
    "isnan": _either("isnan", "logical_or"),
    "isinf": _either("isinf", "logical_or"),
    "isfinite": _either("isfinite", "logical_and"),
    "exp": _exp,
    "exp2": _exp2,
    "expm1": _expm1,
    "log": _log,
    "log1p": _log1p,
    "log2": _scaled_log(1 / math.log(2)),
    "log10": _scaled_log(1 / math.log(10)),
    "sin": _turned(_sinh),
    "cos": lambda k, z: _cosh(k, (k.negative(z[1]), z[0])),
    "tan": _turned(_tanh),
    "sinh": _sinh,
    "cosh": _cosh,
    "tanh": _tanh,
    "power": _power,
}
