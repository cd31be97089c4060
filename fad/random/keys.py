"""Keys, and the random bits that a key stands for.

A key is a ``uint32`` array of shape (2,): the key words of Threefry-2x32. The bits of a key are the encrypted counters 0, 1, 2, ..., so they depend
only on the key, the shape and the width, not on order, threads or transforms. The streams are those of JAX's default generator
(``threefry2x32`` with ``jax_threefry_partitionable``), so that a model drawn there can be drawn here.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, canonical_dtype, dtype_of, shape_of
from fad.core.errors import ArgumentError, DTypeError, FadError, ShapeError
from fad.numpy.conversion import operand, shape_tuple, stack_operands
from fad.primitives.indexing import basic_index
from fad.primitives.random_bits import threefry2x32
from fad.primitives.structural import convert, iota, reshape

__all__ = ["bits", "fold_in", "key", "key_words", "random_bits", "split", "split_words"]

_WORD = np.dtype(np.uint32)
_UNSIGNED: dict[int, np.dtype] = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16), 32: _WORD, 64: np.dtype(np.uint64)}
Words = tuple[Any, Any]


def key(seed: Any) -> Array:
    """A key from an integer seed.

    Parameters
    ----------
    seed : int or integer array
        A scalar; negative seeds count as 64-bit two's complement. It may be traced, so ``vmap(key)(seeds)`` gives a stack of keys.

    Returns
    -------
    Array
        Shape (2,), ``uint32``.

    Raises
    ------
    DTypeError
        If the seed is not an integer.
    ShapeError
        If it is not a scalar.

    Examples
    --------
    >>> import fad
    >>> fad.random.key(42)
    Array([ 0, 42], dtype=uint32)
    """
    if isinstance(seed, int) and not isinstance(seed, bool):
        if not -(2**63) <= seed < 2**64:
            raise ArgumentError(f"fad.random.key: a seed has 64 bits, got {seed}; use fold_in to mix in more")
        return wrap(np.array([seed >> 32 & 0xFFFFFFFF, seed & 0xFFFFFFFF], np.uint32))
    found = operand(seed, "fad.random.key")
    if dtype_of(found).kind not in "iu":
        raise DTypeError(f"fad.random.key: a seed is an integer, got {aval_of(found)}")
    if shape_of(found):
        raise ShapeError(
            f"fad.random.key: a seed is a scalar, got shape {shape_of(found)}; use fad.vmap(fad.random.key)(seeds) for many keys"
        )
    wide = convert(found, np.dtype(np.uint64))
    return wrap(stack_operands([convert(wide >> np.uint64(32), _WORD), convert(wide, _WORD)], 0))


def key_words(key: Any, function: str) -> Words:
    """The two words of a key, as operands; raises for anything that is no key."""
    try:
        found = operand(key, f"fad.random.{function}")
    except FadError:
        found = None
    if found is None or dtype_of(found) != _WORD or shape_of(found)[-1:] != (2,):
        seen = (
            repr(key) if isinstance(key, int | float) else type(key).__name__ if found is None else str(aval_of(found))
        )
        raise DTypeError(
            f"fad.random.{function}: the first argument must be a key, uint32 of shape (2,), got {seen}. Make one with "
            "key = fad.random.key(seed) and derive others with fad.random.split(key)."
        )
    if shape_of(found) != (2,):
        raise ShapeError(
            f"fad.random.{function} takes one key, and got {shape_of(found)[:-1]} of them; use fad.vmap over the axis of keys"
        )
    return basic_index(found, (0,)), basic_index(found, (1,))


def counters(size: int) -> Words:
    """The counters 0, 1, ..., size - 1 as upper and lower words."""
    if size <= 2**32:
        return np.uint32(0), iota(size, _WORD)
    wide = iota(size, np.uint64)
    return convert(wide >> np.uint64(32), _WORD), convert(wide, _WORD)


def split_words(words: Words, count: int = 2) -> list[Words]:
    """Several keys from one, as pairs of words."""
    encrypted = threefry2x32.bind(*words, *counters(count))
    upper, lower = convert(encrypted >> np.uint64(32), _WORD), convert(encrypted, _WORD)
    return [(basic_index(upper, (k,)), basic_index(lower, (k,))) for k in range(count)]


def random_bits(words: Words, shape: tuple[int, ...], width: int) -> Any:
    """Uniform unsigned integers of 8, 16, 32 or 64 bits, as an operand."""
    encrypted = threefry2x32.bind(*words, *counters(math.prod(shape)))
    if width < 64:
        encrypted = convert(encrypted ^ encrypted >> np.uint64(32), _UNSIGNED[width])
    return reshape(encrypted, shape)


def split(key: Array, num: int | tuple[int, ...] = 2) -> Array:
    """New keys from a key, independent of each other; do not use the old key afterwards.

    Parameters
    ----------
    key : Array
        A key, from :func:`key` or :func:`split`.
    num : int or tuple of int
        How many, or the shape of the array of keys.

    Returns
    -------
    Array
        Shape ``(num, 2)``, or the shape ``num`` followed by 2; ``uint32``.

    Raises
    ------
    DTypeError, ShapeError
        If ``key`` is not one key.

    Examples
    --------
    >>> import fad
    >>> first, second = fad.random.split(fad.random.key(0))
    >>> fad.random.split(first, (3, 4)).shape
    (3, 4, 2)
    """
    words = key_words(key, "split")
    shape = shape_tuple(num, "fad.random.split")
    encrypted = reshape(threefry2x32.bind(*words, *counters(math.prod(shape))), shape)
    return wrap(stack_operands([convert(encrypted >> np.uint64(32), _WORD), convert(encrypted, _WORD)], len(shape)))


def fold_in(key: Array, data: Any) -> Array:
    """A new key from a key and an integer: the step of a loop, the index of a layer.

    Parameters
    ----------
    key : Array
        A key.
    data : int or integer array
        A scalar, of which 32 bits count; it may be traced.

    Returns
    -------
    Array
        Shape (2,), ``uint32``.

    Raises
    ------
    DTypeError, ShapeError
        If ``key`` is not one key, or ``data`` not one integer.

    Examples
    --------
    >>> import fad
    >>> key = fad.random.key(0)
    >>> [fad.random.normal(fad.random.fold_in(key, step)).shape for step in range(2)]
    [(), ()]
    """
    words = key_words(key, "fold_in")
    found = operand(data, "fad.random.fold_in")
    if dtype_of(found).kind not in "iu" or shape_of(found):
        raise DTypeError(f"fad.random.fold_in: data must be one integer, got {aval_of(found)}")
    if isinstance(found, int):
        found = np.uint32(found & 0xFFFFFFFF)
    encrypted = threefry2x32.bind(*words, np.uint32(0), convert(found, _WORD))
    return wrap(stack_operands([convert(encrypted >> np.uint64(32), _WORD), convert(encrypted, _WORD)], 0))


def bits(key: Array, shape: Any = (), dtype: Any = np.uint32) -> Array:
    """Uniform random bits.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        ``uint8``, ``uint16``, ``uint32`` or ``uint64``.

    Returns
    -------
    Array

    Raises
    ------
    DTypeError
        If the dtype is not an unsigned integer, or ``key`` is no key.

    Examples
    --------
    >>> import fad
    >>> fad.random.bits(fad.random.key(42), (2,))
    Array([2098992034, 2919706841], dtype=uint32)
    """
    words = key_words(key, "bits")
    found = canonical_dtype(dtype)
    if found.kind != "u":
        raise DTypeError(f"fad.random.bits gives unsigned integers, got dtype {found}; randint gives others")
    return wrap(random_bits(words, shape_tuple(shape, "fad.random.bits"), found.itemsize * 8))
