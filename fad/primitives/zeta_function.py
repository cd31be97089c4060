"""Hurwitz's zeta function and its derivatives, of any order and in both arguments."""

from __future__ import annotations

import math
from functools import lru_cache
from math import comb, factorial
from typing import Any

import numpy as np

from fad.core.samples import case, f32, f64, literal
from fad.primitives.arithmetic import greater, less, select
from fad.primitives.elementwise_rules import of_reals
from fad.primitives.math_functions import cos, exp, sin
from fad.primitives.special import digamma, lgamma, special_function

__all__ = ["riemann_zeta", "zeta", "zeta_logarithms"]

_SUMMED = 20
"""Terms that are added up one by one; what follows them is Euler and Maclaurin's: an integral, half a term, and corrections."""
_CORRECTIONS = 11
_LOWEST = -1.0
"""The lowest exponent at which they are used: they continue the sum to exponents below 1, but lose digits."""


@lru_cache(maxsize=1)
def _correction_factors() -> list[float]:
    """``B(2j) / (2j)!`` for the first corrections, with Bernoulli's numbers from their recurrence, DLMF 24.5.3."""
    numbers = [1.0]
    for m in range(1, 2 * _CORRECTIONS + 1):
        numbers.append(-sum(comb(m + 1, k) * numbers[k] for k in range(m)) / (m + 1))
    return [numbers[2 * j] / factorial(2 * j) for j in range(1, _CORRECTIONS + 1)]


def _polynomial(xp: Any, coefficients: list[Any], at: Any) -> Any:
    total = xp.zeros_like(at)
    for c in reversed(coefficients):
        total = total * at + c
    return total


def _sum(xp: Any, order: int, x: Any, q: Any) -> Any:
    """The sum of ``log(k + q)**order * (k + q)**-x`` over k >= 0 in double precision, DLMF 2.10.1."""
    total = xp.zeros(np.broadcast_shapes(x.shape, q.shape))
    for k in range(_SUMMED):
        total = total + xp.log(k + q) ** order * (k + q) ** -x
    end = _SUMMED + q
    log = xp.log(end)
    integral = sum(
        factorial(order) // factorial(order - i) * log ** (order - i) / (x - 1) ** (i + 1) for i in range(order + 1)
    )
    total = total + end ** (1 - x) * integral + log**order * end**-x / 2
    # The m-th derivative of log(t)**order * t**-x is t**(-x-m) times a polynomial of log(t).
    polynomial: list[Any] = [0.0] * order + [1.0]
    power = end**-x
    for m in range(2 * _CORRECTIONS - 1):
        raised = [(k + 1) * polynomial[k + 1] if k < order else 0.0 for k in range(order + 1)]
        polynomial = [up - (x + m) * c for up, c in zip(raised, polynomial, strict=True)]
        power = power / end
        if m % 2 == 0:
            total = total - _correction_factors()[m // 2] * power * _polynomial(xp, polynomial, log)
    return total


def _zeta_logarithms(xp: Any, special: Any, order: Any, x: Any, q: Any) -> Any:
    order, x, q = xp.broadcast_arrays(order, xp.asarray(x, np.float64), xp.asarray(q, np.float64))
    with np.errstate(all="ignore"):
        found = xp.full(x.shape, np.nan)
        for n in {int(n) for n in xp.unique(order)}:
            found = xp.where((order == n) & (x >= _LOWEST) & (q > 0), _sum(xp, n, x, q), found)
    return found


zeta_logarithms = special_function(
    "zeta_logarithms",
    [
        None,
        lambda _, n, x, q: -zeta_logarithms.bind(n + 1, x, q),
        of_reals(
            lambda _, n, x, q: n * zeta_logarithms.bind(n - (n > 0), x + 1, q) - x * zeta_logarithms.bind(n, x + 1, q)
        ),
    ],
    [
        *[case(literal(n), f64(2, 3, low=1.5, high=4), f64(3, low=0.5, high=3)) for n in (0.0, 1.0, 2.0)],
        case(literal(1.0), f32(3, low=1.5, high=4), f32(low=0.5, high=3)),
    ],
    function=_zeta_logarithms,
    doc="The sum of log(k + q)**n * (k + q)**-x over k >= 0, continued below x = 1: zeta's n-th derivative by x, but for the sign, DLMF 25.11.18.",
)
zeta = special_function(
    "zeta",
    [
        # Where the sum diverges it has no derivative, whatever continues it.
        lambda _, x, q: select.bind(greater.bind(x, 1), -zeta_logarithms.bind(1.0, x, q), math.nan),
        of_reals(lambda _, x, q: -x * zeta.bind(x + 1, q)),  # 25.11.17
    ],
    [
        *[case(literal(s), f64(2, 3, low=0.5, high=3)) for s in (1.5, 2.0, 3.2)],
        case(f64(2, 3, low=1.5, high=4), f64(3, low=0.5, high=3)),
        case(f32(3, low=1.5, high=4), f32(3, low=0.5, high=3)),
    ],
    doc="Hurwitz's zeta function, the sum of (k + q)**-x over k >= 0, DLMF 25.11.1.",
)


# --- Riemann's function, which SciPy continues below 1 -----------------------------------------------------------------------------------


def _riemann_zeta_slope(_: Any, s: Any) -> Any:
    """The derivative: from the sums, and below their exponents that of the functional equation, DLMF 25.4.1."""
    reflects = less.bind(s, _LOWEST)
    direct = -zeta_logarithms.bind(1.0, select.bind(reflects, 2.0, s), 1.0)
    low = select.bind(reflects, s, -1.5)
    mirrored, angle = 1 - low, math.pi / 2 * low
    scale = 2 * exp.bind(_LOG_2PI * (low - 1) + lgamma.bind(mirrored))
    values = zeta.bind(mirrored, 1.0)
    slope = scale * (
        sin.bind(angle) * ((_LOG_2PI - digamma.bind(mirrored)) * values + zeta_logarithms.bind(1.0, mirrored, 1.0))
        + math.pi / 2 * cos.bind(angle) * values
    )
    return select.bind(reflects, slope, direct)


_LOG_2PI = math.log(2 * math.pi)


def _riemann_zeta(xp: Any, special: Any, s: Any) -> Any:
    if xp is not np:
        raise NotImplementedError("its zeta is NaN below 1")  # so that it is computed on the host
    return special.zeta(s)


riemann_zeta = special_function(
    "riemann_zeta",
    [_riemann_zeta_slope],
    [case(f64(2, 3, low=low, high=high)) for low, high in ((1.5, 4.0), (0.2, 0.8), (-0.8, -0.1), (-6.0, -1.2))]
    + [case(f32(3, low=-3.0, high=0.5))],
    function=_riemann_zeta,
    doc="Riemann's zeta function, DLMF 25.2.1, continued to exponents below 1.",
)
