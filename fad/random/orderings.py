"""Random orders and choices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, dtype_of, shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy.conversion import axis_number, float_operand, operand, shape_tuple
from fad.primitives.arithmetic import minimum
from fad.primitives.cumulative import cumsum
from fad.primitives.indexing import basic_index, gather, take_along_axis
from fad.primitives.math_functions import log
from fad.primitives.slicing import slice_axis
from fad.primitives.sorting import argsort, searchsorted, top_k
from fad.primitives.structural import iota, reshape
from fad.random.arguments import require
from fad.random.discrete import randint
from fad.random.elementary import standard_gumbel, unit_uniform
from fad.random.keys import Words, key_words, random_bits, split_words

__all__ = ["choice", "permutation"]


def permutation(key: Array, x: Any, axis: int = 0, independent: bool = False) -> Array:
    """A random order of the numbers below ``x``, or of the entries of ``x`` along an axis.

    Parameters
    ----------
    key : Array
        A key.
    x : int or array_like
        How many numbers, or the entries.
    axis : int
        The axis to shuffle.
    independent : bool
        Whether every line along the axis gets an order of its own.

    Returns
    -------
    Array
        ``arange(x)`` or ``x``, shuffled; it is differentiable in ``x``.

    Raises
    ------
    ArgumentError
        If ``x`` is a scalar that is no known non-negative integer.

    Examples
    --------
    >>> import fad
    >>> fad.random.permutation(fad.random.key(42), 5)
    Array([4, 2, 3, 0, 1])
    """
    words = key_words(key, "permutation")
    found = operand(x, "fad.random.permutation")
    shape = shape_of(found)
    if not shape:
        return wrap(_shuffled(words, iota(_count(found, "permutation")), 0))
    along = axis_number(axis, len(shape), "fad.random.permutation")
    if independent or len(shape) == 1:
        return wrap(_shuffled(words, found, along))
    return wrap(gather(found, [_shuffled(words, iota(shape[along]), 0)], (along,), unique=True))


def _count(found: Any, function: str) -> int:
    if type(found) is not int and not (isinstance(found, np.ndarray | np.generic) and found.dtype.kind in "iu"):
        raise ArgumentError(
            f"fad.random.{function}: a scalar argument is the number of entries, an int known when the function runs; got {aval_of(found)}"
        )
    count = int(found)
    if count < 0:
        raise ArgumentError(f"fad.random.{function}: the number of entries is {count}, below zero")
    return count


def _shuffled(words: Words, x: Any, axis: int) -> Any:
    """Sorted by random words, as often as it takes for no two entries to have had equal words all along."""
    shape = shape_of(x)
    rounds = math.ceil(3 * math.log(max(1, math.prod(shape))) / math.log(2**32 - 1))
    for _ in range(rounds):
        words, drawn = split_words(words)
        x = take_along_axis(x, argsort(random_bits(drawn, shape, 32), axis), axis, unique=True)
    return x


def choice(key: Array, a: Any, shape: Any = (), replace: bool = True, p: Any = None, axis: int = 0) -> Array:
    """Random entries of an array, or random numbers below an integer.

    Parameters
    ----------
    key : Array
        A key.
    a : int or array_like
        How many numbers, or the entries.
    shape : int or tuple of int
        The shape of the sample.
    replace : bool
        Whether an entry may be chosen more than once.
    p : array_like, optional
        Probabilities of the entries, with one axis; by default equal. They need not sum to 1.
    axis : int
        The axis of ``a`` along which the entries lie.

    Returns
    -------
    Array
        ``shape`` in place of the axis.

    Raises
    ------
    ArgumentError
        If there is nothing to choose from, or not enough without replacement, or a known probability is negative.
    ShapeError
        If ``p`` does not have one probability for each entry.

    Examples
    --------
    >>> import fad
    >>> sample = fad.random.choice(fad.random.key(0), 10, (4,), replace=False)
    >>> sample.shape, len(set(sample.tolist()))
    ((4,), 4)
    """
    words = key_words(key, "choice")
    found = operand(a, "fad.random.choice")
    wanted = shape_tuple(shape, "fad.random.choice")
    seen = shape_of(found)
    along = axis_number(axis, len(seen), "fad.random.choice") if seen else 0
    count = seen[along] if seen else _count(found, "choice")
    draws = math.prod(wanted)
    if draws and not count:
        raise ArgumentError("fad.random.choice: there is nothing to choose from")
    if not replace and draws > count:
        raise ArgumentError(
            f"fad.random.choice: {draws} entries without replacement from {count}; pass replace=True or a smaller shape"
        )
    index = (
        _uniform_choice(key, words, count, wanted, replace)
        if p is None
        else _weighted(words, count, wanted, replace, p)
    )
    return wrap(gather(found, [index], (along,)) if seen else index)


def _uniform_choice(key: Array, words: Words, count: int, shape: tuple[int, ...], replace: bool) -> Any:
    if replace:
        return operand(randint(key, shape, 0, max(count, 1)))
    return reshape(slice_axis(_shuffled(words, iota(count), 0), 0, 0, math.prod(shape)), shape)


def _weighted(words: Words, count: int, shape: tuple[int, ...], replace: bool, p: Any) -> Any:
    chances = float_operand(p, "fad.random.choice")
    if shape_of(chances) != (count,):
        raise ShapeError(
            f"fad.random.choice: p has shape {shape_of(chances)}, and there are {count} entries to choose from"
        )
    require("choice", "probabilities that are not negative", chances, 0, math.inf, closed=True)
    if not replace:
        with np.errstate(divide="ignore"):
            scores = standard_gumbel(words, (count,), dtype_of(chances)) + log.bind(chances)
        return reshape(top_k(scores, math.prod(shape), 0)[1], shape)
    total = cumsum(chances, 0)
    drawn = basic_index(total, (count - 1,)) * (1 - unit_uniform(words, shape, dtype_of(chances)))
    return minimum.bind(searchsorted(total, drawn), count - 1)
