"""Numbers of events: Poisson, binomial and multinomial. They are integers, and carry no derivative. Values are not those of other libraries.

Small expectations are drawn by going up the distribution function, large ones by W. Hormann's transformed rejection: "The transformed rejection method
for generating Poisson random variables" and "The generation of binomial random variates" (both 1993).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import canonical_dtype, is_inexact, shape_of
from fad.core.errors import ShapeError
from fad.numpy.conversion import operand, shape_tuple
from fad.primitives.arithmetic import (
    absolute,
    floor,
    greater_equal,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    maximum,
    minimum,
    select,
    stop_gradient,
)
from fad.primitives.cumulative import cumsum
from fad.primitives.math_functions import exp, log, log1p, sqrt
from fad.primitives.reduction import reduce_any
from fad.primitives.special import lgamma
from fad.primitives.structural import broadcast_to, convert, full, move_axis
from fad.random.arguments import integer_dtype, parameters, require
from fad.random.elementary import unit_uniform
from fad.random.keys import Words, key_words, split_words
from fad.random.rejection import until_accepted
from fad.transforms.looping import while_loop
from fad.transforms.scanning import scan

__all__ = ["binomial", "multinomial", "poisson"]

_DOUBLE = np.dtype(np.float64)
_FEW = 10.0  # expectations below this are drawn by inversion
_MOST = 200.0  # no number drawn by inversion reaches it: the probability is below 2**-53


def _climb(u: Any, first: Any, ratio: Any) -> Any:
    """The smallest k at which the distribution function exceeds u; ``ratio(k)`` is probability k over probability k - 1."""

    def higher(state: Any) -> Any:
        count, _, total = map(operand, state)
        return logical_and.bind(less_equal.bind(total, u), less.bind(count, _MOST))

    def step(state: Any) -> Any:
        count, chance, total = map(operand, state)
        going = higher(state)
        above = count + 1
        following = chance * ratio(above)
        moved = (above, following, total + following)
        return tuple(wrap(select.bind(going, m, s)) for m, s in zip(moved, (count, chance, total), strict=True))

    axes = tuple(range(len(shape_of(u))))
    start = tuple(map(wrap, (full(shape_of(u), 0.0, _DOUBLE), first, first)))
    return operand(while_loop(lambda s: wrap(reduce_any(higher(s), axes)), step, start)[0])


def _poisson_large(words: Words, shape: tuple[int, ...], mean: Any, busy: Any) -> Any:
    b = 0.931 + 2.53 * sqrt.bind(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    squeeze = 0.9277 - 3.6224 / (b - 2)

    def propose(keys: list[Words]) -> tuple[Any, Any]:
        u, v, room = _table_point(keys, shape)
        k = floor.bind((2 * a / room + b) * u + mean + 0.43)
        surely = logical_and.bind(greater_equal.bind(room, 0.07), less_equal.bind(v, squeeze))
        possible = logical_and.bind(
            greater_equal.bind(k, 0), logical_or.bind(greater_equal.bind(room, 0.013), less_equal.bind(v, room))
        )
        level = log.bind(v * inverse_alpha / (a / (room * room) + b))
        under = less_equal.bind(level, -mean + k * log.bind(mean) - lgamma.bind(maximum.bind(k, 0.0) + 1))
        return k, logical_or.bind(surely, logical_and.bind(possible, under))

    return until_accepted(words, propose, 2, full(shape, 0.0, _DOUBLE), logical_not.bind(busy))


def _table_point(keys: list[Words], shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """A point (u, v) of the square, u in [-1/2, 1/2), v in (0, 1], and the distance of u from the nearer side."""
    u = unit_uniform(keys[0], shape, _DOUBLE) - 0.5
    v = 1 - unit_uniform(keys[1], shape, _DOUBLE)
    return u, v, maximum.bind(0.5 - absolute.bind(u), 2.0**-54)


def poisson(key: Array, lam: Any, shape: Any = None, dtype: Any = int) -> Array:
    """Poisson numbers: how many events happen where ``lam`` are expected.

    Parameters
    ----------
    key : Array
        A key.
    lam : array_like
        The expectation, not negative. There is no derivative in it.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``lam``.
    dtype : dtype
        An integer dtype.

    Returns
    -------
    Array
        -1 where ``lam`` is NaN.

    Raises
    ------
    ArgumentError
        If ``lam`` is known and negative or infinite.

    Examples
    --------
    >>> import fad
    >>> fad.random.poisson(fad.random.key(0), [0.5, 100.0], (3, 2)).shape
    (3, 2)
    """
    words = key_words(key, "poisson")
    found = integer_dtype("poisson", dtype)
    wanted, mean = parameters("poisson", shape, _DOUBLE, lam)
    mean = stop_gradient.bind(mean)
    require("poisson", "a finite lam >= 0", mean, 0, np.finfo(float).max, closed=True)
    for_few, for_many = split_words(words)
    few = less.bind(mean, _FEW)
    low = select.bind(few, mean, 0.0)
    small = _climb(unit_uniform(for_few, wanted, _DOUBLE), exp.bind(-low), lambda k: low / k)
    many = logical_and.bind(greater_equal.bind(mean, _FEW), less.bind(mean, math.inf))
    large = _poisson_large(for_many, wanted, select.bind(many, mean, 1e5), many)
    counts = select.bind(many, large, small)
    return wrap(convert(select.bind(isnan.bind(mean), -1.0, counts), found))


def _binomial_large(words: Words, shape: tuple[int, ...], n: Any, p: Any, busy: Any) -> Any:
    deviation = sqrt.bind(n * p * (1 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    squeeze = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * deviation
    mode = floor.bind((n + 1) * p)
    odds = log.bind(p / (1 - p))
    top = lgamma.bind(mode + 1) + lgamma.bind(n - mode + 1)

    def propose(keys: list[Words]) -> tuple[Any, Any]:
        u, v, room = _table_point(keys, shape)
        k = floor.bind((2 * a / room + b) * u + n * p + 0.5)
        surely = logical_and.bind(greater_equal.bind(room, 0.07), less_equal.bind(v, squeeze))
        possible = logical_and.bind(greater_equal.bind(k, 0), less_equal.bind(k, n))
        inside = minimum.bind(maximum.bind(k, 0.0), n)
        level = log.bind(v * alpha / (a / (room * room) + b))
        bound = top - lgamma.bind(inside + 1) - lgamma.bind(n - inside + 1) + (inside - mode) * odds
        return inside, logical_and.bind(possible, logical_or.bind(surely, less_equal.bind(level, bound)))

    return until_accepted(words, propose, 2, full(shape, 0.0, _DOUBLE), logical_not.bind(busy))


def _binomial(words: Words, shape: tuple[int, ...], n: Any, p: Any) -> Any:
    """Binomial numbers in double precision; NaN for parameters that make no sense."""
    valid = logical_and.bind(
        logical_and.bind(greater_equal.bind(n, 0), less.bind(n, math.inf)),
        logical_and.bind(greater_equal.bind(p, 0), less_equal.bind(p, 1)),
    )
    n = select.bind(valid, floor.bind(n), 0.0)
    p = select.bind(valid, p, 0.0)
    q = minimum.bind(p, 1 - p)
    few = less.bind(n * q, _FEW)
    for_few, for_many = split_words(words)
    rare, tries = select.bind(few, q, 0.0), select.bind(few, n, 0.0)
    odds = rare / (1 - rare)
    start = exp.bind(tries * log1p.bind(-rare))
    small = _climb(unit_uniform(for_few, shape, _DOUBLE), start, lambda k: (tries - k + 1) / k * odds)
    large = _binomial_large(for_many, shape, select.bind(few, 1e3, n), select.bind(few, 0.5, q), logical_not.bind(few))
    counts = select.bind(few, minimum.bind(small, tries), large)
    counts = select.bind(less.bind(p, 0.5), counts, n - counts)
    return select.bind(valid, counts, math.nan)


def binomial(key: Array, n: Any, p: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Binomial numbers: how many of ``n`` trials succeed, each with probability ``p``.

    Parameters
    ----------
    key : Array
        A key.
    n : array_like
        Numbers of trials, not negative.
    p : array_like
        Probabilities in [0, 1]. There is no derivative in either.
    shape : int or tuple of int, optional
        The shape of the result; by default that of the parameters.
    dtype : dtype
        A real floating or integer dtype.

    Returns
    -------
    Array
        Whole numbers; NaN in floating point where a traced parameter makes no sense.

    Raises
    ------
    ArgumentError
        If a known parameter lies outside its range.

    Examples
    --------
    >>> import fad
    >>> x = fad.random.binomial(fad.random.key(0), 10, [0.2, 0.8], (100, 2))
    >>> x.shape, bool((x <= 10).all())
    ((100, 2), True)
    """
    words = key_words(key, "binomial")
    found = canonical_dtype(dtype)
    if not is_inexact(found):
        integer_dtype("binomial", found)
    wanted, tries, chance = parameters("binomial", shape, _DOUBLE, n, p)
    tries, chance = stop_gradient.bind(tries), stop_gradient.bind(chance)
    require("binomial", "n >= 0", tries, 0, math.inf, closed=True)
    require("binomial", "probabilities in [0, 1]", chance, 0, 1, closed=True)
    return wrap(convert(_binomial(words, wanted, tries, chance), found))


def multinomial(key: Array, n: Any, p: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Multinomial numbers: how many of ``n`` trials fall in each category.

    Parameters
    ----------
    key : Array
        A key.
    n : array_like
        Numbers of trials.
    p : array_like
        Probabilities of the categories along the last axis, which sum to 1.
    shape : int or tuple of int, optional
        The shape of the result without its last axis; by default that of the parameters.
    dtype : dtype
        A real floating or integer dtype.

    Returns
    -------
    Array
        Shape ``(*shape, p.shape[-1])``; the last axis sums to ``n``.

    Raises
    ------
    ShapeError
        If ``p`` is a scalar.
    ArgumentError
        If a known parameter lies outside its range.

    Examples
    --------
    >>> import fad
    >>> x = fad.random.multinomial(fad.random.key(0), 20, [0.2, 0.3, 0.5], (4,))
    >>> x.shape, x.sum(axis=-1).tolist()
    ((4, 3), [20.0, 20.0, 20.0, 20.0])
    """
    words = key_words(key, "multinomial")
    chances = operand(p, "fad.random.multinomial")
    if not shape_of(chances):
        raise ShapeError("fad.random.multinomial: p needs an axis of categories, got a scalar")
    categories = shape_of(chances)[-1]
    tries = operand(n, "fad.random.multinomial")
    lead = np.broadcast_shapes(shape_of(tries), shape_of(chances)[:-1])
    wanted = lead if shape is None else shape_tuple(shape, "fad.random.multinomial")
    _, chances = parameters("multinomial", (*wanted, categories), _DOUBLE, chances)
    require("multinomial", "probabilities in [0, 1]", chances, 0, 1, closed=True)
    left = broadcast_to(convert(stop_gradient.bind(tries), _DOUBLE), wanted)
    shares = move_axis(stop_gradient.bind(chances), len(wanted), 0)
    rest = cumsum(shares, 0, reverse=True)

    def draw(state: Any, row: Any) -> Any:
        first, second, remaining = map(operand, state)
        share, total = map(operand, row)
        following, now = split_words((first, second))
        chance = minimum.bind(share / maximum.bind(total, np.finfo(float).tiny), 1.0)
        count = _binomial(now, wanted, remaining, chance)
        return tuple(map(wrap, (*following, remaining - count))), wrap(count)

    counts = operand(scan(draw, tuple(map(wrap, (*words, left))), (wrap(shares), wrap(rest)))[1])
    return wrap(convert(move_axis(counts, 0, len(wanted)), canonical_dtype(dtype)))
