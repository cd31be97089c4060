"""Hurwitz's zeta function and its derivatives, of any order and in both arguments."""

from __future__ import annotations

from functools import lru_cache
from math import comb, factorial
from typing import Any

import numpy as np

from fad.core.samples import case, f32, f64, literal
from fad.primitives.special import special_function

__all__ = ["zeta", "zeta_logarithms"]

_SUMMED = 20
"""Terms that are added up one by one; what follows them is Euler and Maclaurin's: an integral, half a term, and corrections."""
_CORRECTIONS = 11


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
            found = xp.where((order == n) & (x > 1) & (q > 0), _sum(xp, n, x, q), found)
    return found


zeta_logarithms = special_function(
    "zeta_logarithms",
    [
        None,
        lambda _, n, x, q: -zeta_logarithms.bind(n + 1, x, q),
        lambda _, n, x, q: n * zeta_logarithms.bind(n - (n > 0), x + 1, q) - x * zeta_logarithms.bind(n, x + 1, q),
    ],
    [
        *[case(literal(n), f64(2, 3, low=1.5, high=4), f64(3, low=0.5, high=3)) for n in (0.0, 1.0, 2.0)],
        case(literal(1.0), f32(3, low=1.5, high=4), f32(low=0.5, high=3)),
    ],
    function=_zeta_logarithms,
    doc="The sum of log(k + q)**n * (k + q)**-x over k >= 0: zeta's n-th derivative by x, but for the sign, DLMF 25.11.18.",
)
zeta = special_function(
    "zeta",
    [
        lambda _, x, q: -zeta_logarithms.bind(1.0, x, q),
        lambda _, x, q: -x * zeta.bind(x + 1, q),  # 25.11.17
    ],
    [
        *[case(literal(s), f64(2, 3, low=0.5, high=3)) for s in (1.5, 2.0, 3.2)],
        case(f64(2, 3, low=1.5, high=4), f64(3, low=0.5, high=3)),
        case(f32(3, low=1.5, high=4), f32(3, low=0.5, high=3)),
    ],
    doc="Hurwitz's zeta function, the sum of (k + q)**-x over k >= 0, DLMF 25.11.1.",
)
