"""Distributions of truth values, categories and integers made from a fixed number of random words each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, dtype_of, is_inexact, shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy.conversion import axis_number, float_operand, operand, shape_tuple
from fad.primitives.arithmetic import add, equal, less, maximum, multiply, remainder, select, subtract
from fad.primitives.math_functions import log1p
from fad.primitives.reduction import argmax
from fad.primitives.sorting import top_k
from fad.primitives.structural import broadcast_to, convert, move_axis, reshape
from fad.random.arguments import integer_dtype, parameters, require, sample_shape
from fad.random.elementary import standard_exponential, standard_gumbel, unit_uniform
from fad.random.keys import Words, key_words, random_bits, split_words

__all__ = ["bernoulli", "categorical", "geometric", "rademacher", "randint"]


def bernoulli(key: Array, p: Any = 0.5, shape: Any = None) -> Array:
    """Truth values that are true with probability ``p``.

    Parameters
    ----------
    key : Array
        A key.
    p : array_like
        Probabilities in [0, 1]; their dtype decides how finely they are resolved.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``p``.

    Returns
    -------
    Array
        Of dtype bool.

    Raises
    ------
    ArgumentError
        If a known probability lies outside [0, 1].
    ShapeError
        If ``p`` does not broadcast to ``shape``.

    Examples
    --------
    >>> import fad
    >>> fad.random.bernoulli(fad.random.key(42), 0.5, (4,))
    Array([ True,  True, False, False])
    """
    words = key_words(key, "bernoulli")
    chance = float_operand(p, "fad.random.bernoulli")
    wanted, chance = parameters("bernoulli", shape, dtype_of(chance), chance)
    require("bernoulli", "probabilities in [0, 1]", chance, 0, 1, closed=True)
    return wrap(less.bind(unit_uniform(words, wanted, dtype_of(chance)), chance))


def rademacher(key: Array, shape: Any = (), dtype: Any = int) -> Array:
    """-1 or 1 with equal probability.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        The dtype of the result: signed integers or floating point.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.rademacher(fad.random.key(42), (4,))
    Array([ 1,  1, -1, -1])
    """
    words = key_words(key, "rademacher")
    found = np.dtype(dtype)
    if not is_inexact(found):
        integer_dtype("rademacher", found)
    heads = less.bind(unit_uniform(words, shape_tuple(shape, "fad.random.rademacher"), np.dtype(float)), 0.5)
    return wrap(select.bind(heads, found.type(1), found.type(-1)))


def randint(key: Array, shape: Any, minval: Any, maxval: Any, dtype: Any = int) -> Array:
    """Uniform integers in [minval, maxval).

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    minval, maxval : int or integer array
        The bounds, which broadcast to ``shape``; ``maxval`` is excluded.
    dtype : dtype
        An integer dtype; int64 by default.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If known bounds leave no integer, or do not fit the dtype.

    Notes
    -----
    Two random words make each number, so that the remainder by the width of the range has a bias below 2**-32 (2**-64 for 64 bits).

    Examples
    --------
    >>> import fad
    >>> fad.random.randint(fad.random.key(42), (5,), 0, 10)
    Array([5, 8, 3, 1, 5])
    """
    words = key_words(key, "randint")
    found = integer_dtype("randint", dtype)
    low, high = (_bound(v, found) for v in (minval, maxval))
    wanted = sample_shape("randint", shape, low, high)
    if math.prod(wanted):
        _check_range(low, high)
    wide = np.dtype(np.uint64 if found.itemsize == 8 else np.uint32)
    first, last = (_modular(v, wide) for v in (low, high))
    offset = _remainder(words, wanted, subtract.bind(last, first))
    return wrap(convert(add.bind(offset, first), found))


def _bound(value: Any, dtype: np.dtype) -> Any:
    found = operand(value, "fad.random.randint")
    if dtype_of(found).kind not in "iu":
        raise ArgumentError(f"fad.random.randint: bounds are integers, got {aval_of(found)}")
    info = np.iinfo(dtype)
    require("randint", f"bounds in [{info.min}, {info.max + 1}] for dtype {dtype}", found, info.min, info.max + 1, True)
    return found


def _check_range(low: Any, high: Any) -> None:
    if isinstance(low, int) and isinstance(high, int):
        if high <= low:
            raise ArgumentError(f"fad.random.randint: [{low}, {high}) holds no integer; minval must be below maxval")
        return
    wide = np.dtype(np.float64)
    require("randint", "minval < maxval", convert(high, wide) - convert(low, wide), 0)


def _modular(bound: Any, dtype: np.dtype) -> Any:
    """A bound as an unsigned integer modulo the number of them."""
    if isinstance(bound, int):
        return dtype.type(bound % 2 ** (8 * dtype.itemsize))
    return convert(bound, dtype)


def _remainder(words: Words, shape: tuple[int, ...], span: Any) -> Any:
    """``(upper * 2**width + lower) % span`` for two random words; ``span`` 0 stands for 2**width."""
    dtype = dtype_of(span)
    width = 8 * dtype.itemsize
    upper, lower = (random_bits(w, shape, width) for w in split_words(words))
    known = isinstance(span, np.generic)
    if known and not span:
        return lower
    divisor = maximum.bind(span, dtype.type(1))
    half = remainder.bind(dtype.type(2 ** (width // 2)), divisor)
    scale = remainder.bind(multiply.bind(half, half), divisor)
    mixed = add.bind(multiply.bind(remainder.bind(upper, divisor), scale), remainder.bind(lower, divisor))
    mixed = remainder.bind(mixed, divisor)
    return mixed if known else select.bind(equal.bind(span, dtype.type(0)), lower, mixed)


def categorical(key: Array, logits: Any, axis: int = -1, shape: Any = None, replace: bool = True) -> Array:
    """Categories with probabilities proportional to ``exp(logits)``.

    W. Kool, H. van Hoof, M. Welling, "Stochastic beams and where to find them" (2019), for sampling without replacement.

    Parameters
    ----------
    key : Array
        A key.
    logits : array_like
        Unnormalised logarithms of probabilities.
    axis : int
        The axis of the categories; the others are independent.
    shape : tuple of int, optional
        The shape of the result. Its last axes are those of ``logits`` without ``axis``, which is also the default; axes in front of them are
        further samples.
    replace : bool
        Whether the same category may come again among the samples along the front axes.

    Returns
    -------
    Array
        Indices along ``axis``, int64.

    Raises
    ------
    ArgumentError
        If more samples are asked for without replacement than there are categories.
    ShapeError
        If the shapes do not fit, or there is no category.

    Examples
    --------
    >>> import fad
    >>> fad.random.categorical(fad.random.key(42), [0.0, 1.0, -1.0], shape=(5,))
    Array([0, 1, 1, 1, 1])
    """
    words = key_words(key, "categorical")
    scores = float_operand(logits, "fad.random.categorical")
    seen = shape_of(scores)
    if not seen:
        raise ShapeError("fad.random.categorical: logits need an axis of categories, got a scalar")
    along = axis_number(axis, len(seen), "fad.random.categorical")
    scores, count = move_axis(scores, along, len(seen) - 1), seen[along]
    if not count:
        raise ShapeError(f"fad.random.categorical: no category along axis {along} of logits of shape {seen}")
    batch = (*seen[:along], *seen[along + 1 :])
    wanted = batch if shape is None else shape_tuple(shape, "fad.random.categorical")
    full = sample_shape("categorical", wanted, np.broadcast_to(0, batch))
    front = full[: len(full) - len(batch)]
    if replace:
        # the noise has the axis of the categories where the logits have it, as in JAX
        inner = full[len(front) :]
        noise = standard_gumbel(words, (*front, *inner[:along], count, *inner[along:]), dtype_of(scores))
        return wrap(argmax(move_axis(noise, len(front) + along, len(full)) + scores, len(full)))
    number = math.prod(front)
    if number > count:
        raise ArgumentError(f"fad.random.categorical: {number} samples without replacement from {count} categories")
    noise = standard_gumbel(words, seen, dtype_of(scores))
    chosen = top_k(move_axis(noise, along, len(batch)) + scores, number, len(batch))[1]
    return wrap(broadcast_to(reshape(move_axis(chosen, len(batch), 0), (*front, *batch)), full))


def geometric(key: Array, p: Any, shape: Any = None, dtype: Any = int) -> Array:
    """The number of trials up to the first success, each successful with probability ``p``.

    Parameters
    ----------
    key : Array
        A key.
    p : array_like
        Probabilities in (0, 1].
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``p``.
    dtype : dtype
        An integer dtype.

    Returns
    -------
    Array
        At least 1.

    Raises
    ------
    ArgumentError
        If a known probability lies outside (0, 1].

    Examples
    --------
    >>> import fad
    >>> bool((fad.random.geometric(fad.random.key(0), 0.3, (100,)) >= 1).all())
    True
    """
    words = key_words(key, "geometric")
    found = integer_dtype("geometric", dtype)
    wanted, chance = parameters("geometric", shape, np.dtype(np.float64), p)
    require("geometric", "probabilities in (0, 1]", chance, 0, np.nextafter(1, 2))
    with np.errstate(divide="ignore"):
        waiting = standard_exponential(words, wanted, np.dtype(np.float64)) / -log1p.bind(-chance)
    return wrap(add.bind(convert(waiting, found), found.type(1)))
