"""Objects that build arrays from index expressions: ``mgrid[0:3]``, ``r_[x, 1.0]``, ``s_[::2]``."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import shape_of
from fad.core.errors import ArgumentError
from fad.numpy import joining, manipulation
from fad.numpy.conversion import operand

__all__ = ["c_", "index_exp", "mgrid", "ogrid", "r_", "s_"]

s_ = np.s_
index_exp = np.index_exp


class _Grid:
    """Coordinates of a grid given by slices; a step of ``nj`` means ``n`` points, the last one included.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.mgrid[0:3]
    Array([0, 1, 2])
    >>> fnp.ogrid[0:2, 0:1][0].shape
    (2, 1)
    """

    def __init__(self, source: Any):
        self._source = source

    def __getitem__(self, key: Any) -> Any:
        found = self._source[key]
        return tuple(wrap(f) for f in found) if isinstance(found, tuple | list) else wrap(found)


mgrid = _Grid(np.mgrid)
ogrid = _Grid(np.ogrid)


class _Joiner:
    """Arrays, numbers and ranges joined along an axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.r_[fnp.ones(2), 5.0, 0:2]
    Array([1., 1., 5., 0., 1.])
    >>> fnp.c_[[1, 2], [3, 4]]
    Array([[1, 3],
           [2, 4]])
    """

    def __init__(self, columns: bool):
        self._columns = columns

    def __getitem__(self, key: Any) -> Array:
        parts = []
        for item in key if isinstance(key, tuple) else (key,):
            if isinstance(item, str):
                raise ArgumentError(
                    "r_ and c_: directives as strings are not supported; use concatenate or stack with axis="
                )
            value = wrap(np.r_[item]) if isinstance(item, slice) else wrap(operand(item, "r_"))
            value = manipulation.atleast_1d(value)
            parts.append(
                manipulation.reshape(value, (-1, 1)) if self._columns and len(shape_of(operand(value))) == 1 else value
            )
        return joining.concatenate(parts, -1 if self._columns else 0)


r_ = _Joiner(columns=False)
c_ = _Joiner(columns=True)
