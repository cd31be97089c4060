"""Indices that are known to be inside their axis: what a compiled loop reads elements by, without a question in each of its turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray
from fad.core.primitive import Primitive
from fad.core.samples import case, i64, literal
from fad.primitives.indexing import check_bounds, indices_shape

__all__ = ["checked_indices"]


def _impl(xp: Any, index: Any, *, length: int) -> Any:
    index = xp.asarray(index)
    check_bounds("indexing", (length,), (0,), [index])
    index = index.astype(np.int64)
    return xp.where(index < 0, index + length, index)[()]


def _shape(index: ShapedArray, *, length: int) -> ShapedArray:
    return ShapedArray(indices_shape("checked_indices", [index]), np.dtype(np.int64))


def _batch(size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
    return checked_indices.bind(args[0], **params), True


checked_indices = Primitive(
    "checked_indices",
    impl=_impl,
    shape=_shape,
    jvp=None,
    vjp=None,
    batch=_batch,
    kernel="checked_indices",
    samples=[
        case(i64(5, low=-4, high=4), length=4),
        case(i64(2, 3, low=0, high=9), length=9),
        case(i64(low=-2, high=2), length=2),
        case(i64(0, low=0, high=1), length=1),
        case(literal(np.array([3, 0, 2], np.uint8)), length=4),
    ],
    doc="Positions 0 ... length - 1 of indices that may count from the end; an error if one is outside.",
)
