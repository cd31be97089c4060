"""Reductions of NumPy's arrays, in an order of the elements that is quick and keeps the rounding error of sums small.

NumPy adds neighbours up pairwise, so that the error grows with the logarithm of their number, but rows one after another (as it says in the notes of
``numpy.sum``), with loops as short as a row. Here many rows are added in two steps or more: first those that lie a fixed number of rows apart, by a
reduction of few rows that are as long as all the results of this step together.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["reduced"]

_SHORT, _MANY = 10, 512
_FEW_ROWS, _MORE_ROWS = 32, 128
"""So many rows are added up one after another, of fewer or more than as many times ``_FEW_ROWS``."""


def reduced(ufunc: np.ufunc, x: np.ndarray, axes: tuple[int, ...]) -> Any:
    """``ufunc.reduce(x, axes)``; sums may differ from it by rounding.

    NumPy spends up to twenty times as long on short rows as it takes column by column.

    Examples
    --------
    >>> import numpy as np
    >>> reduced(np.add, np.ones((4096, 3), np.float32), (0,)).tolist()
    [4096.0, 4096.0, 4096.0]
    """
    shape = x.shape
    if x.size >= _MANY and axes and x.flags.c_contiguous:
        first, last = axes[0], axes[-1]
        if last == len(shape) - 1:
            if first == last > 0 < shape[-1] <= _SHORT:
                if last == 1:
                    return ufunc.reduce(x.T.copy(), 0)
                return ufunc.reduce(x.reshape(-1, shape[-1]).T.copy(), 0).reshape(shape[:-1])
        elif ufunc is np.add and axes == tuple(range(first, last + 1)):
            rows = math.prod(shape[first : last + 1])
            if rows >= _MANY:
                before, after = shape[:first], shape[last + 1 :]
                return _sum_of_rows(x.reshape(math.prod(before), rows, -1)).reshape(before + after)
    return ufunc.reduce(x, axes)


def _sum_of_rows(x: np.ndarray) -> np.ndarray:
    """The sum over the second of three axes."""
    lead, rows, size = x.shape
    if rows < _MANY:
        return np.add.reduce(x, 1)
    count = _FEW_ROWS if rows < _FEW_ROWS * _MORE_ROWS else _MORE_ROWS
    parts, rest = divmod(rows, count)
    whole = x[:, : rows - rest].reshape(lead, count, parts * size)
    total = _sum_of_rows(np.add.reduce(whole, 1).reshape(lead, parts, size))
    return total + np.add.reduce(x[:, rows - rest :], 1) if rest else total
