"""Means, variances and their kin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, is_inexact, shape_of
from fad.numpy.conversion import axis_numbers, float_operand, operand
from fad.primitives.structural import convert, keepdims_shape, reduce_sum, reshape

__all__ = ["mean", "sum"]


def sum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Array:
    """Sum."""
    x = operand(a, "sum")
    if dtype_of(x).kind == "b":
        x = convert(x, np.dtype(np.int64))
    axes = axis_numbers(axis, len(shape_of(x)), "sum")
    out = reduce_sum(x, axes)
    return wrap(reshape(out, keepdims_shape(shape_of(x), axes)) if keepdims else out)


def mean(a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> Array:
    """Mean."""
    x = float_operand(a, "mean")
    axes = axis_numbers(axis, len(shape_of(x)), "mean")
    return sum(x, axis, keepdims=keepdims) / max(1, math.prod(shape_of(x)[i] for i in axes))


_ = is_inexact
