"""Cotangents of pieces: what reading ``x[i]`` sends back, kept small until it is added to the rest.

A loop that reads a vector element by element would otherwise make a vector of zeros for every element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["KEPT_APART", "IndexedCotangent", "SumInPlace", "accumulate", "as_value"]


_LARGE = 4096  # elements from which on adding in place saves more than it takes to remember that it is allowed


class IndexedCotangent:
    """A cotangent that is zero but at a basic index: ``value`` at ``index`` of zeros of a shape and dtype."""

    __slots__ = ("dtype", "index", "shape", "value")

    def __init__(self, value: Any, index: tuple[Any, ...], shape: tuple[int, ...], dtype: np.dtype):
        self.value, self.index, self.shape, self.dtype = value, index, shape, dtype


class SumInPlace:
    """A sum of cotangents in a buffer that nobody else has seen, so that adding to it may write into it."""

    __slots__ = ("buffer",)

    def __init__(self, buffer: np.ndarray):
        self.buffer = buffer


KEPT_APART = frozenset({IndexedCotangent, SumInPlace})
"""What a cotangent may be besides an ordinary value."""


def accumulate(seen: Any, piece: Any) -> Any:
    """The sum of what arrived so far and another cotangent, either of which may be kept small.

    The sum of two large arrays is a third that nobody else has seen, so that what follows is added in place: a weight that is used at every step of a
    loop needs one such array, not one for each step.
    """
    if type(seen) is IndexedCotangent:
        seen = _filled(seen)
    if type(seen) is SumInPlace:
        if type(piece) is IndexedCotangent:
            seen.buffer[piece.index] += piece.value
            return seen
        if type(piece) is np.ndarray and piece.shape == seen.buffer.shape and piece.dtype == seen.buffer.dtype:
            seen.buffer += piece
            return seen
        return seen.buffer + piece
    if type(piece) is not IndexedCotangent:
        total = seen + piece
        return SumInPlace(total) if type(total) is np.ndarray and total.size >= _LARGE else total
    if type(seen) is np.ndarray and seen.dtype == piece.dtype:
        buffer = seen.copy()
        buffer[piece.index] += piece.value
        return SumInPlace(buffer)
    return seen + as_value(piece)


def _filled(piece: IndexedCotangent) -> SumInPlace:
    buffer = np.zeros(piece.shape, piece.dtype)
    buffer[piece.index] = piece.value
    return SumInPlace(buffer)


def as_value(cotangent: Any) -> Any:
    """The cotangent as an ordinary value, whatever form it was kept in."""
    if type(cotangent) is IndexedCotangent:
        cotangent = _filled(cotangent)
    return cotangent.buffer if type(cotangent) is SumInPlace else cotangent
