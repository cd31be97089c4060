"""Medians, quantiles and percentiles, also of arrays with missing values (NaN).

The estimation methods are those of Hyndman and Fan, The American Statistician 50 (1996), under NumPy's names.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, dtype_of, inexact_dtype, is_complex, is_inexact, result_dtype, shape_of
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.core.trace import Tracer
from fad.numpy.conversion import axis_numbers, operand, refuse_out, zero_like
from fad.primitives import arithmetic
from fad.primitives.cumulative import cumsum
from fad.primitives.indexing import take_along_axis
from fad.primitives.placing import together
from fad.primitives.slicing import slice_axis
from fad.primitives.sorting import argsort, sort
from fad.primitives.structural import broadcast_to, convert, keepdims_shape, permute, reduce_sum, reshape

__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]

# Plotting positions (alpha, beta) of the continuous methods: position = n q + alpha + q (1 - alpha - beta) - 1.
_CONTINUOUS = {
    "linear": (1.0, 1.0),
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
_OF_ELEMENTS = ("lower", "higher", "nearest", "inverted_cdf", "closest_observation")
_STEPPED = ("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "lower", "higher", "midpoint", "nearest")


def _floor(x: Any) -> Any:
    return arithmetic.floor.bind(x)


def _chosen(condition: Any, x: Any, y: Any) -> Any:
    return arithmetic.select.bind(condition, x, y)


def _lower_and_share(method: str, n: Any, q: Any) -> tuple[Any, Any]:
    """The position below the quantile, and the share of the element after it."""
    if method in _CONTINUOUS:
        alpha, beta = _CONTINUOUS[method]
        position = (n - 1) * q if method == "linear" else n * q + (alpha + q * (1 - alpha - beta)) - 1
        last = n - 1
        position = arithmetic.minimum.bind(arithmetic.maximum.bind(position, 0), last)
        below = _floor(position)
        return below, position - below
    if method in ("lower", "higher", "midpoint", "nearest"):
        position = (n - 1) * q
        below = _floor(position)
        if method == "lower":
            return below, zero_like(q)
        if method == "higher":
            return arithmetic.ceil.bind(position), zero_like(q)
        if method == "nearest":
            return arithmetic.rint.bind(position), zero_like(q)
        return below, _chosen(arithmetic.equal.bind(position, below), 0.0, 0.5)
    position = n * q - (1.5 if method == "closest_observation" else 1)
    below = _floor(position)
    exact = arithmetic.equal.bind(position, below)
    if method == "averaged_inverted_cdf":
        return below, _chosen(exact, 0.5, 1.0)
    if method == "closest_observation":
        odd = arithmetic.not_equal.bind(arithmetic.remainder.bind(below, 2), 0)
        exact = arithmetic.logical_and.bind(exact, odd)
    return below + _chosen(exact, 0.0, 1.0), zero_like(q)


def _as_probabilities(function: str, q: Any, scale: float, dtype: np.dtype) -> Any:
    value = operand(q, function)
    weak = aval_of(value).weak
    if weak or dtype_of(value).kind in "biu":
        value = convert(value, dtype if weak else np.dtype(np.float64))
    value = convert(value / scale, dtype_of(value)) if scale != 1 else value
    if not isinstance(value, Tracer) and not ((np.asarray(value) >= 0) & (np.asarray(value) <= 1)).all():
        raise ArgumentError(f"{function}: q must be between 0 and {scale:g}, got {q!r}")
    return value


def _quantiles(
    function: str, a: Any, q: Any, scale: float, axis: Any, method: str, keepdims: Any, weights: Any, ignore_nan: bool
) -> Array:
    """Quantiles along axes; those of ``q`` come first in the result."""
    if method not in _CONTINUOUS and method not in _STEPPED:
        raise ArgumentError(f"{function}: method {method!r} is not one of {', '.join((*_CONTINUOUS, *_STEPPED))}")
    if weights is not None and method != "inverted_cdf":
        raise ArgumentError(f'{function}: weights need method="inverted_cdf", as in NumPy, got {method!r}')
    x = operand(a, function)
    if is_complex(dtype_of(x)):
        raise DTypeError(f"{function}: complex numbers have no order")
    if method not in _OF_ELEMENTS or dtype_of(x).kind == "b":
        x = convert(x, inexact_dtype(dtype_of(x)))
    shape = shape_of(x)
    axes = axis_numbers(axis, len(shape), function)
    lead = tuple(i for i in range(len(shape)) if i not in axes)
    kept = tuple(shape[i] for i in lead)
    size = math.prod(shape[i] for i in axes)
    if not size:
        raise ShapeError(f"{function} of no elements: axes {axes} of an array of shape {shape}")
    probabilities = _as_probabilities(function, q, scale, inexact_dtype(dtype_of(x)))
    q_shape = shape_of(probabilities)
    flat = reshape(probabilities, (math.prod(q_shape),))
    rows = reshape(permute(x, (*lead, *axes)), (*kept, size))
    if weights is None:
        ordered, chosen = sort(rows, len(kept)), None
    else:
        shares = permute(_weights(function, weights, shape, axes), (*lead, *axes))
        ordered, chosen = _weighted(rows, reshape(shares, (*kept, size)), flat, ignore_nan)
    if not is_inexact(dtype_of(x)):
        values = _interpolated(ordered, size, flat, kept, size, method) if chosen is None else chosen
    else:
        missing = convert(arithmetic.isnan.bind(ordered), np.dtype(np.int64))
        missing = reshape(reduce_sum(missing, (len(kept),)), (*kept, 1))
        count: Any = size - missing if ignore_nan else size
        values = _interpolated(ordered, count, flat, kept, size, method) if chosen is None else chosen
        no_value = arithmetic.equal.bind(count, 0) if ignore_nan else arithmetic.greater.bind(missing, 0)
        values = _chosen(no_value, dtype_of(values).type(np.nan), values)
    values = permute(values, (len(kept), *range(len(kept))))
    rest = keepdims_shape(shape, axes) if keepdims and keepdims is not np._NoValue else kept
    return wrap(reshape(values, (*q_shape, *rest)))


def _interpolated(ordered: Any, count: Any, q: Any, kept: tuple[int, ...], size: int, method: str) -> Any:
    """The quantiles of sorted rows, ``count`` of whose elements count, along the last axis."""
    if type(count) is not int:
        count, q = together((convert(count, dtype_of(q)), q))
    below, share = _lower_and_share(method, count, q)
    index = convert(below, np.dtype(np.int64))
    last: Any = size - 1 if type(count) is int else convert(count - 1, np.dtype(np.int64))

    def element(position: Any) -> Any:
        bounded = arithmetic.maximum.bind(arithmetic.minimum.bind(position, last), 0)
        bounded = broadcast_to(bounded, (*kept, shape_of(q)[0]))
        return take_along_axis(ordered, bounded, len(kept))

    low = element(index)
    if method in _OF_ELEMENTS:
        return low
    high = element(index + 1)
    # An infinite neighbour counts only where it has a share; beside an infinite lower one a finite upper one does not count.
    unread = arithmetic.logical_and.bind(arithmetic.equal.bind(share, 0), arithmetic.isinf.bind(high))
    level = arithmetic.logical_or.bind(arithmetic.equal.bind(low, high), unread)
    start = _chosen(arithmetic.logical_or.bind(level, arithmetic.isinf.bind(low)), zero_like(low), low)
    found = low + arithmetic.multiply.bind(_chosen(level, zero_like(high), high - start), share)
    return convert(found, result_dtype(dtype_of(ordered), dtype_of(q)))


def _weights(function: str, weights: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """Weights in double precision and of the shape of the values."""
    value = convert(operand(weights, function), np.dtype(np.float64))
    if not isinstance(value, Tracer) and not ((value >= 0) & (value < np.inf)).all():
        raise ArgumentError(f"{function}: weights must be finite and not negative")
    found = shape_of(value)
    if found == shape:
        return value
    if len(axes) != 1 or found != (shape[axes[0]],):
        raise ShapeError(
            f"{function}: weights have shape {found}; they need the values' shape {shape}, or one axis as long as the one axis of the quantiles"
        )
    return broadcast_to(reshape(value, tuple(n if k == axes[0] else 1 for k, n in enumerate(shape))), shape)


def _weighted(rows: Any, weights: Any, q: Any, ignore_nan: bool) -> tuple[Any, Any]:
    """Sorted rows, and the first element of each whose share of the weight so far is at least q."""
    last = len(shape_of(rows)) - 1
    size, (count,) = shape_of(rows)[last], shape_of(q)
    order = argsort(rows, last)
    ordered = take_along_axis(rows, order, last)
    weights = take_along_axis(weights, order, last)
    if ignore_nan and is_inexact(dtype_of(rows)):
        weights = _chosen(arithmetic.isnan.bind(ordered), 0.0, weights)
    share = cumsum(weights, last)
    share = convert(share / slice_axis(share, last, size - 1, size), dtype_of(q))
    # What has no weight is no quantile, that of 0 neither.
    share = _chosen(arithmetic.equal.bind(share, 0), -1.0, share)
    kept = shape_of(rows)[:last]
    below = arithmetic.less.bind(reshape(share, (*kept, 1, size)), reshape(q, (count, 1)))
    position = reduce_sum(convert(below, np.dtype(np.int64)), (last + 1,))
    return ordered, take_along_axis(ordered, arithmetic.minimum.bind(position, size - 1), last)


def median(a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False) -> Array:
    """The median along axes: the middle element, or the mean of the two middle ones.

    Parameters
    ----------
    a : array_like
        Real values.
    axis : int, tuple of int or None
        The axes; all by default.
    keepdims : bool
        Whether to keep the reduced axes at size 1.

    Returns
    -------
    Array
        NaN where an element is NaN.

    Raises
    ------
    DTypeError
        If the values are complex.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.median([3.0, 1.0, 2.0])
    Array(2.)
    """
    refuse_out("median", out)
    return _quantiles("median", a, 0.5, 1.0, axis, "linear", keepdims, None, False)


def nanmedian(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False, keepdims: bool = False
) -> Array:
    """The median along axes, NaN left out.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanmedian([3.0, float("nan"), 1.0])
    Array(2.)
    """
    refuse_out("nanmedian", out)
    return _quantiles("nanmedian", a, 0.5, 1.0, axis, "linear", keepdims, None, True)


def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """Quantiles along axes, differentiable in the values and, for the continuous methods, in ``q``.

    Parameters
    ----------
    a : array_like
        Real values.
    q : array_like
        Probabilities between 0 and 1.
    axis : int, tuple of int or None
        The axes; all by default.
    method : str
        How to estimate between elements; see ``numpy.quantile``.
    keepdims : bool
        Whether to keep the reduced axes at size 1.
    weights : array_like, optional
        The weight of each element, not negative, for ``method="inverted_cdf"``: of the shape of ``a``, or one axis for the one ``axis``. The quantile is
        the least element that has, with those below it, at least the share ``q`` of the weight. Weights carry no derivative.

    Returns
    -------
    Array
        The axes of ``q`` first, then those that are left; NaN where an element is NaN.

    Raises
    ------
    ArgumentError
        If a probability is out of range, the method does not exist or does not take weights, or a weight is negative.
    ShapeError
        If the weights do not fit the values.
    DTypeError
        If the values are complex.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.quantile([1.0, 2.0, 3.0, 4.0], [0.0, 0.5])
    Array([1. , 2.5])
    """
    refuse_out("quantile", out)
    return _quantiles("quantile", a, q, 1.0, axis, method, keepdims, weights, False)


def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """:func:`quantile` with probabilities in percent.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.percentile([1.0, 2.0, 3.0], 50)
    Array(2.)
    """
    refuse_out("percentile", out)
    return _quantiles("percentile", a, q, 100.0, axis, method, keepdims, weights, False)


def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """:func:`quantile`, NaN left out.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanquantile([1.0, float("nan"), 3.0], 0.5)
    Array(2.)
    """
    refuse_out("nanquantile", out)
    return _quantiles("nanquantile", a, q, 1.0, axis, method, keepdims, weights, True)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    out: Any = None,
    overwrite_input: bool = False,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Array:
    """:func:`percentile`, NaN left out.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanpercentile([1.0, float("nan"), 3.0], 50)
    Array(2.)
    """
    refuse_out("nanpercentile", out)
    return _quantiles("nanpercentile", a, q, 100.0, axis, method, keepdims, weights, True)
