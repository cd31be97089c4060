"""Large NumPy arrays that a tape reads and that somebody else may write: too large to copy, so a few of their elements are remembered."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import aval_of
from fad.core.errors import ImmutableArrayError
from fad.core.trace import Source, user_source

__all__ = ["WatchedArray"]

_REMEMBERED = 64


class WatchedArray:
    """An array, elements of it as they were when it was used first, and the user's line that used it. The array is not kept alive."""

    __slots__ = ("array", "sample", "source")

    def __init__(self, array: np.ndarray):
        self.array = weakref.ref(array)
        self.sample = _sample(array).tobytes()
        self.source: Source | None = user_source()

    def check(self, tape: Sequence[Any]) -> None:
        """Raise if the array has changed and the tape reads it."""
        array = self.array()
        if array is None or _sample(array).tobytes() == self.sample:
            return
        if any(_reads(value, array) for entry in tape if type(entry) is tuple for value in entry):
            raise ImmutableArrayError(
                f"a NumPy array ({aval_of(array)}) that the backward pass reads was written into after it had been used at {self.source}. "
                "The gradient would be that of another function. Use a copy there, numpy.copy(x), or write into a new array."
            )


def _sample(array: np.ndarray) -> np.ndarray:
    each = max(2, round(_REMEMBERED ** (1 / array.ndim)))
    return array[tuple([slice(None, None, max(1, n // each)) for n in array.shape])]


def _reads(value: Any, array: np.ndarray) -> bool:
    if type(value) is tuple:
        return any(_reads(v, array) for v in value)
    return value is array or (type(value) is np.ndarray and value.base is array)
