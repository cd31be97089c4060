"""The incomplete gamma and beta functions with derivatives in all arguments, and of any order.

With ``g = x**a exp(-x) / gamma(a)`` the derivative of the regularised function P(a, x) by its parameter is ``-g ((log x - digamma(a)) W0 + W1)``,
where ``W_k`` is the integral of ``s**k exp(a s - x (exp(s) - 1))`` over s > 0, or minus that over s < 0: both give the same derivative, and one of
them does so without cancellation, because its integrand keeps one sign. Such moments are each other's derivatives. It follows from DLMF
8.2.1 and 8.2.4 with ``t = x exp(s)``; the beta function goes the same way, from DLMF 8.17.1, on the scale of log(t / (1 - t)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, inexact_dtype, result_dtype, shape_of, weak_operand
from fad.core.primitive import Primitive
from fad.core.samples import case, f32, f64, reals
from fad.primitives.arithmetic import equal, greater, greater_equal, less, logical_and, maximum, minimum, select, sign
from fad.primitives.elementwise_rules import broadcast_shapes
from fad.primitives.math_functions import exp, expm1, hypot, log, log1p, sqrt
from fad.primitives.special import betaln, digamma, lgamma, special_function, xlog1py, xlogy
from fad.primitives.structural import convert, expand_front, match, match_out, reduce_sum, reshape

__all__ = [
    "beta_moment",
    "betainc",
    "betaincinv",
    "gamma_log_slope",
    "gamma_moment",
    "gamma_moment_by_quadrature",
    "gammainc",
    "gammaincc",
    "gammaincinv",
    "stdtr",
    "stdtrit",
]

_DOUBLE = np.dtype(np.float64)
_DROP = 45.0  # integrands below exp(-45) of their start do not count in double precision
_STEP = 1 / 16
_LONGEST = 60.0  # the half line ends at exp(60) times the scale of the integrand at most
_SHORT = 4.5  # and where a >= 1 at this


# --- quadrature -------------------------------------------------------------------------------------------------------------------


def _half_line(most: float) -> tuple[np.ndarray, np.ndarray]:
    """Points up to ``exp(most)`` and weights on the half line for integrands that fall off exponentially, with features from 1 on.

    H. Takahasi, M. Mori, "Double exponential formulas for numerical integration" (1974): r = exp(w - exp(-w)).
    """
    w = np.arange(-3.7, min(most, _LONGEST) + _STEP, _STEP)
    r = np.exp(w - np.exp(-w))
    return r, _STEP * r * (1 + np.exp(-w))


def _furthest(reach: np.ndarray, scale: np.ndarray) -> float:
    """The logarithm of how many times their scale integrands reach."""
    return np.log(np.maximum(np.max(reach / scale, initial=1.0), 50.0)) + 0.5


@cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(64)


_NATIVE = SimpleNamespace(
    exp=exp.bind,
    expm1=expm1.bind,
    hypot=hypot.bind,
    sqrt=sqrt.bind,
    maximum=maximum.bind,
    minimum=minimum.bind,
    expand_dims=lambda x, axis: reshape(x, (*shape_of(x), 1)),
    sum=lambda x, axis: reduce_sum(x, (len(shape_of(x)) - 1,)),
)
"""In NumPy's place: operations that compiled code runs natively, along the last axis."""


def _gamma_scale(xp: Any, a: Any, x: Any) -> Any:
    """Where the integrand of the moment over s < 0 has its features."""
    slope = a - x
    return 2 / (slope + xp.hypot(slope, xp.sqrt(2 * x)))


def _gamma_below(xp: Any, a: Any, x: Any, power: int, excess: int, most: float) -> Any:
    """The moment over s = -r < 0."""
    points, weights = _half_line(most)
    a, x, scale = (xp.expand_dims(v, -1) for v in (a, x, _gamma_scale(xp, a, x)))
    r = scale * points
    fall = xp.expm1(-r)
    return -xp.sum(scale * weights * xp.exp(-a * r - x * fall) * (-r) ** power * fall**excess, -1)


def _gamma_above(xp: Any, a: Any, x: Any, power: int, excess: int) -> Any:
    """The moment over s > 0, cut where the integrand has fallen, by the points of Gauss and Legendre."""
    end = xp.minimum(xp.sqrt(2 * _DROP / x) + 1 / x, 6.0)
    for _ in range(5):  # Newton's iteration from above for a convex function
        end = end - (x * xp.expm1(end) - a * end - _DROP) / xp.maximum(x * xp.exp(end) - a, 1e-3)
    nodes, weights = _legendre()
    a, x, end = (xp.expand_dims(v, -1) for v in (a, x, end))
    s = end * (0.5 * (nodes + 1))
    rise = xp.expm1(s)
    return xp.sum(end * (0.5 * weights) * xp.exp(a * s - x * rise) * s**power * rise**excess, -1)


def gamma_moment_by_quadrature(a: Any, x: Any, power: int, excess: int) -> Any:
    """What ``gamma_moment`` computes where a >= 1 or x >= 1, for arguments of one shape in double precision, by operations that compiled code runs natively."""
    valid = logical_and.bind(
        logical_and.bind(greater.bind(a, 0), greater_equal.bind(x, 0)),
        logical_and.bind(less.bind(a, np.inf), less.bind(x, np.inf)),
    )
    a, x = select.bind(valid, a, 1.0), select.bind(valid, x, 1.0)
    far = greater_equal.bind(x, maximum.bind(a - 0.5, 1.0))
    below = _gamma_below(_NATIVE, a, select.bind(far, 0.0, x), power, excess, _SHORT)
    above = _gamma_above(_NATIVE, a, select.bind(far, x, maximum.bind(a, 1.0)), power, excess)
    return select.bind(valid, select.bind(far, above, below), np.nan)


def _beta_below(a: np.ndarray, b: np.ndarray, x: np.ndarray, powers: tuple[int, int, int]) -> np.ndarray:
    """The integral over log odds below those of x, not negated."""
    a, b, x = a[:, None], b[:, None], x[:, None]
    slope = np.maximum(a - (a + b) * x, 0)
    # where x is near 1, the integrand is flat until t leaves the neighbourhood of 1, a few units of r away
    scale = np.minimum(2 / (slope + np.sqrt(slope * slope + 2 * (a + b) * x * (1 - x))), 1)
    points, weights = _half_line(_furthest((_DROP - (a + b) * np.log1p(-x)) / a, scale))
    r, weights = scale * points, scale * weights
    fall = np.expm1(-r)
    q = -np.log1p(x * fall)  # log((1 - t) / (1 - x))
    p = q - r  # log(t / x)
    first, second, third = powers
    terms = weights * np.exp(a * p + b * q) * p**first * q**second
    if third:
        terms = terms * (-x * (1 - x) * fall * np.exp(q)) ** third
    return np.sum(terms, axis=1)


def _where_valid(
    valid: np.ndarray, arrays: Sequence[np.ndarray], pick: np.ndarray, functions: Sequence[Callable[..., np.ndarray]]
) -> np.ndarray:
    """Each function where it is picked, in blocks that fit in memory; NaN where the arguments are not valid."""
    out = np.full(valid.shape, np.nan)
    for flag, function in enumerate(functions):
        (chosen,) = np.nonzero(valid & (pick == bool(flag)))
        for start in range(0, len(chosen), 4096):
            block = chosen[start : start + 4096]
            out[block] = function(*[x[block] for x in arrays])
    return out


def _elements(xp: Any, args: Sequence[Any]) -> tuple[list[np.ndarray], tuple[int, ...], np.dtype]:
    """The broadcast arguments in one dimension and double precision on the host, their shape and the result's dtype."""
    dtype = inexact_dtype(result_dtype(*[weak_operand(a) for a in args]))
    host = [np.asarray(a.get() if hasattr(a, "get") else a, _DOUBLE) for a in args]
    whole = np.broadcast_arrays(*host)
    return [w.reshape(-1) for w in whole], whole[0].shape, dtype


def _gamma_moment_impl(xp: Any, *args: Any, power: int, excess: int) -> Any:
    (a, x), shape, dtype = _elements(xp, args)
    valid = (a > 0) & (x >= 0) & (x < np.inf) & (a < np.inf)
    with np.errstate(all="ignore"):
        out = _where_valid(
            valid,
            (a, x),
            x >= np.maximum(a - 0.5, 1.0),
            [
                lambda a, x: _gamma_below(np, a, x, power, excess, _furthest((_DROP + x) / a, _gamma_scale(np, a, x))),
                lambda a, x: _gamma_above(np, a, x, power, excess),
            ],
        )
    return xp.asarray(out.reshape(shape).astype(dtype))[()]


def _beta_moment_impl(xp: Any, *args: Any, powers: tuple[int, int, int]) -> Any:
    (a, b, x), shape, dtype = _elements(xp, args)
    valid = (a > 0) & (b > 0) & (x > 0) & (x < 1) & (a < np.inf) & (b < np.inf)
    first, second, third = powers
    with np.errstate(all="ignore"):
        out = _where_valid(
            valid,
            (a, b, x),
            x > a / (a + b),
            [
                lambda a, b, x: -_beta_below(a, b, x, powers),
                lambda a, b, x: (-1) ** third * _beta_below(b, a, 1 - x, (second, first, third)),
            ],
        )
    return xp.asarray(out.reshape(shape).astype(dtype))[()]


# --- the moments as primitives --------------------------------------------------------------------------------------------------------


def _moment(name: str, impl: Any, slopes: Callable[..., list[Any]], samples: Any, doc: str) -> Primitive:
    """An elementwise operation with params; ``slopes(*primals, **params)`` gives a thunk of each partial derivative."""

    def shape(*avals: ShapedArray, **params: Any) -> ShapedArray:
        return ShapedArray(
            broadcast_shapes(name, *avals), inexact_dtype(result_dtype(*[weak_operand(a) for a in avals]))
        )

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        terms = [t * s() for t, s in zip(tangents, slopes(*primals, **params), strict=True) if t is not None]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return out, match_out(total, shape_of(out), dtype_of(out))

    def vjp(*primals: Any, **params: Any) -> Any:
        def pullback(ct: Any) -> list[Any]:
            pairs = zip(primals, slopes(*primals, **params), strict=True)
            return [match(ct * slope(), shape_of(x), dtype_of(x)) for x, slope in pairs]

        return primitive.bind(*primals, **params), pullback

    def batch(size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        ndim = max(len(shape_of(a)) - m for a, m in zip(args, mapped, strict=True))
        return primitive.bind(*[expand_front(a, m, ndim) for a, m in zip(args, mapped, strict=True)], **params), True

    primitive = Primitive(
        name, impl=impl, shape=shape, jvp=jvp, vjp=vjp, batch=batch, kernel=None, samples=samples, doc=doc
    )
    return primitive


def _gamma_slopes(a: Any, x: Any, *, power: int, excess: int) -> list[Any]:
    return [
        lambda: gamma_moment.bind(a, x, power=power + 1, excess=excess),
        lambda: -gamma_moment.bind(a, x, power=power, excess=excess + 1),
    ]


gamma_moment = _moment(
    "gamma_moment",
    _gamma_moment_impl,
    _gamma_slopes,
    [
        case(f64(2, 3, low=0.3, high=2), f64(2, 3, low=2.5, high=5), power=0, excess=0),
        case(f64(2, 1, low=3, high=5), f64(3, low=0.5, high=2), power=1, excess=0),
        case(f64(low=0.3, high=2), f64(low=2.5, high=5), power=1, excess=1),
        case(f64(0, 2, low=1, high=2), f64(0, 2, low=1, high=2), power=0, excess=0),
        case(f32(3, low=0.3, high=2), f32(3, low=2.5, high=5), power=0, excess=0),
    ],
    "The integral of s**power (exp(s) - 1)**excess exp(a s - x (exp(s) - 1)) over s > 0, or minus that over s < 0 where x is small.",
)


def _beta_slopes(a: Any, b: Any, x: Any, *, powers: tuple[int, int, int]) -> list[Any]:
    j, k, m = powers

    def at(j: int, k: int, m: int) -> Any:
        return beta_moment.bind(a, b, x, powers=(j, k, m))

    def by_odds() -> Any:
        total = (a + b + m) * at(j, k, m + 1)
        for factor, indices in ((j, (j - 1, k, m + 1)), (k, (j, k - 1, m + 1))):
            total = total + factor * at(*indices) if factor else total
        total = total + m * (1 - 2 * x) * at(j, k, m) if m else total
        return total / (x * (1 - x))

    return [lambda: at(j + 1, k, m), lambda: at(j, k + 1, m), by_odds]


beta_moment = _moment(
    "beta_moment",
    _beta_moment_impl,
    _beta_slopes,
    [
        case(f64(2, 3, low=2, high=4), f64(2, 3, low=0.5, high=1), f64(2, 3, low=0.1, high=0.6), powers=(0, 0, 0)),
        case(f64(2, 1, low=0.5, high=1), f64(3, low=2, high=4), f64(low=0.5, high=0.9), powers=(1, 0, 0)),
        case(f64(low=2, high=4), f64(low=0.5, high=1), f64(low=0.1, high=0.6), powers=(1, 1, 1)),
        case(f64(0, low=2, high=4), f64(0, low=1, high=2), f64(0, low=0.1, high=0.6), powers=(0, 0, 0)),
        case(f32(3, low=2, high=4), f32(3, low=0.5, high=1), f32(3, low=0.1, high=0.6), powers=(0, 0, 0)),
    ],
    "The integral of p**j q**k (x - t)**m exp(a p + b q) over the log odds of t above (minus that below) those of x, with p = log(t / x) and "
    "q = log((1 - t) / (1 - x)).",
)


# --- the functions ------------------------------------------------------------------------------------------------------------------------


def _in_doubles(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compute in double precision, since log-gamma has few digits to spare below it, and give the arguments' dtype."""

    def computed(*args: Any, **keywords: Any) -> Any:
        dtype = inexact_dtype(result_dtype(*[weak_operand(a) for a in args]))
        doubles = [a if type(a) in (int, float) else convert(a, _DOUBLE) for a in args]
        return convert(function(*doubles, **keywords), dtype)

    return computed


@_in_doubles
def _gamma_density(a: Any, x: Any) -> Any:
    """The derivative of P by x: the density of the gamma distribution, DLMF 8.8.13."""
    return exp.bind(xlogy.bind(a - 1, x) - x - lgamma.bind(a))


@_in_doubles
def gamma_log_slope(a: Any, y: Any, *, moment: Callable[..., Any] | None = None) -> Any:
    """The derivative by ``a`` of the logarithm y of a gamma quantile: of log x at constant P(a, x). ``moment`` takes the place of ``gamma_moment.bind``.

    Below 1 it follows from that at a + 1 by DLMF 8.8.5, as the integrals there are short.
    """
    x, moment = exp.bind(y), moment or gamma_moment.bind
    small = logical_and.bind(less.bind(a, 1), less.bind(x, 1))
    raised = select.bind(small, a + 1, a)
    slope = y - digamma.bind(raised)
    whole = slope * moment(raised, x, power=0, excess=0) + moment(raised, x, power=1, excess=0)
    return select.bind(small, (x * whole - slope) / select.bind(small, a, 1.0), whole)


@_in_doubles
def _gamma_by_a(a: Any, x: Any) -> Any:
    """The derivative of P by a."""
    inside = logical_and.bind(greater.bind(x, 0), less.bind(x, np.inf))
    safe = select.bind(inside, x, 1.0)
    slope = gamma_log_slope(a, log.bind(safe))
    return select.bind(inside, -exp.bind(a * log.bind(safe) - safe - lgamma.bind(a)) * slope, 0.0)


gammainc = special_function(
    "gammainc",
    [lambda _, a, x: _gamma_by_a(a, x), lambda _, a, x: _gamma_density(a, x)],
    [*reals((0.3, 2), (2.5, 5)), *reals((3, 5), (0.5, 2))],
    singular=True,
    doc="The regularised lower incomplete gamma function P(a, x), DLMF 8.2.4.",
)
gammaincc = special_function(
    "gammaincc",
    [lambda _, a, x: -_gamma_by_a(a, x), lambda _, a, x: -_gamma_density(a, x)],
    [*reals((0.3, 2), (2.5, 5)), *reals((3, 5), (0.5, 2))],
    singular=True,
    doc="The regularised upper incomplete gamma function Q(a, x), DLMF 8.2.4.",
)
gammaincinv = special_function(
    "gammaincinv",
    [lambda out, a, _y: out * gamma_log_slope(a, log.bind(out)), lambda out, a, _y: 1 / _gamma_density(a, out)],
    reals((0.5, 4), (0.1, 0.9)),
    singular=True,
    doc="The x at which P(a, x) = y.",
)


@_in_doubles
def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """The derivative of I by x, DLMF 8.17.1."""
    return exp.bind(xlogy.bind(a - 1, x) + xlog1py.bind(b - 1, -x) - betaln.bind(a, b))


def _beta_by_parameter(a: Any, b: Any, x: Any, second: bool) -> Any:
    inside = logical_and.bind(greater.bind(x, 0), less.bind(x, 1))
    safe = select.bind(inside, x, 0.5)
    below, above = log.bind(safe), log1p.bind(-safe)
    middle = (above - digamma.bind(b) if second else below - digamma.bind(a)) + digamma.bind(a + b)
    moments = middle * beta_moment.bind(a, b, safe, powers=(0, 0, 0)) + beta_moment.bind(
        a, b, safe, powers=(0, 1, 0) if second else (1, 0, 0)
    )
    return select.bind(inside, -exp.bind(a * below + b * above - betaln.bind(a, b)) * moments, 0.0)


@_in_doubles
def _beta_by_a(a: Any, b: Any, x: Any) -> Any:
    """The derivative of I by a."""
    return _beta_by_parameter(a, b, x, False)


@_in_doubles
def _beta_by_b(a: Any, b: Any, x: Any) -> Any:
    """The derivative of I by b."""
    return _beta_by_parameter(a, b, x, True)


betainc = special_function(
    "betainc",
    [
        lambda _, a, b, x: _beta_by_a(a, b, x),
        lambda _, a, b, x: _beta_by_b(a, b, x),
        lambda _, a, b, x: _beta_density(a, b, x),
    ],
    [*reals((2, 4), (0.5, 1), (0.1, 0.6)), *reals((0.5, 1), (2, 4), (0.5, 0.9))],
    singular=True,
    doc="The regularised incomplete beta function I_x(a, b), DLMF 8.17.2.",
)
betaincinv = special_function(
    "betaincinv",
    [
        lambda out, a, b, _y: -_beta_by_a(a, b, out) / _beta_density(a, b, out),
        lambda out, a, b, _y: -_beta_by_b(a, b, out) / _beta_density(a, b, out),
        lambda out, a, b, _y: 1 / _beta_density(a, b, out),
    ],
    reals((0.8, 4), (0.8, 4), (0.2, 0.8)),
    singular=True,
    doc="The x at which I_x(a, b) = y.",
)


# --- Student's distribution ---------------------------------------------------------------------------------------------------------


@_in_doubles
def _student_density(df: Any, t: Any) -> Any:
    return exp.bind(-0.5 * (df + 1) * log1p.bind(t * t / df) - betaln.bind(0.5 * df, 0.5)) / sqrt.bind(df)


@_in_doubles
def _student_by_df(df: Any, t: Any) -> Any:
    """By F(t) = I_x(df / 2, 1/2) / 2 for t < 0 with x = df / (df + t**2), and symmetry."""
    centered = equal.bind(t, 0)
    square = select.bind(centered, 1.0, t * t)
    x = df / (df + square)
    below = 0.25 * _beta_by_a(0.5 * df, 0.5, x) + 0.5 * _beta_density(0.5 * df, 0.5, x) * x * (1 - x) / df
    return select.bind(centered, 0.0, -sign.bind(t) * below)


stdtr = special_function(
    "stdtr",
    [lambda _, df, t: _student_by_df(df, t), lambda _, df, t: _student_density(df, t)],
    [*reals((0.5, 4), (-3, -0.2)), *reals((3, 9), (0.2, 3))],
    doc="The distribution function of Student's t with df degrees of freedom.",
)
stdtrit = special_function(
    "stdtrit",
    [
        lambda out, df, _p: -_student_by_df(df, out) / _student_density(df, out),
        lambda out, df, _p: 1 / _student_density(df, out),
    ],
    reals((1.5, 6), (0.1, 0.9)),
    singular=True,
    doc="The t at which stdtr(df, t) = p.",
)
