"""Reductions: sums, products, means, variances, extremes, logic and log-sum-exp along axes."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import (
    PYTHON_SCALARS,
    canonical_dtype,
    dtype_of,
    inexact_dtype,
    is_bfloat16,
    is_complex,
    real_dtype,
    result_dtype,
    shape_of,
    weak_operand,
)
from fad.core.errors import ArgumentError
from fad.core.trace import CURRENT
from fad.numpy.conversion import axis_numbers, float_operand, operand, refuse_out
from fad.primitives import reduction
from fad.primitives.arithmetic import absolute, divide, equal, select, square
from fad.primitives.arithmetic import maximum as maximum_p
from fad.primitives.cumulative import reduce_prod
from fad.primitives.math_functions import sqrt
from fad.primitives.structural import (
    broadcast_to,
    convert,
    keepdims_shape,
    reduce_sum,
    reshape,
    sum_of_wide,
    with_kept_axes,
)
from fad.transforms.reverse import VJPTracer

__all__ = ["logsumexp", "mean", "prod", "std", "sum", "var"]

_NO_VALUE = np._NoValue  # what NumPy's own functions pass for "not given"


def given(value: Any) -> bool:
    """Whether an optional argument is given."""
    return value is not None and value is not _NO_VALUE


def restricts(where: Any) -> bool:
    """Whether a ``where`` argument is given."""
    return where is not True and where is not _NO_VALUE


def kept_axes(out: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: Any) -> Any:
    """The result with the reduced axes at size 1 if they are to be kept."""
    if keepdims is False or not (keepdims is True or flag_set(keepdims)):
        return out
    return CURRENT.get().unary(with_kept_axes(shape, axes), out) if axes else out


def flag_set(flag: Any) -> bool:
    """Whether an optional boolean argument is given and true."""
    return flag is not _NO_VALUE and bool(flag)


def accumulator_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype in which NumPy adds up and multiplies: integers and booleans at least as wide as int64."""
    if dtype.kind == "b" or (dtype.kind == "i" and dtype.itemsize < 8):
        return np.dtype(np.int64)
    return np.dtype(np.uint64) if dtype.kind == "u" else dtype


def masked(x: Any, where: Any, neutral: Any, function: str) -> tuple[Any, Any]:
    """``x`` with a neutral value where the mask is false, and the mask broadcast to its shape."""
    mask = convert(operand(where, function), np.dtype(bool))
    shape = np.broadcast_shapes(shape_of(x), shape_of(mask))
    mask = broadcast_to(mask, shape)
    return select.bind(mask, x, neutral), mask


def _fold(function: str, bind: Any, neutral: int, combine: Any, a: Any, axis: Any, dtype: Any, options: Any) -> Any:
    """Sum or product."""
    keepdims, initial, where = options
    x = operand(a, function)
    x = convert(x, accumulator_dtype(dtype_of(x)) if dtype is None else canonical_dtype(dtype))
    if restricts(where):
        x, _ = masked(x, where, dtype_of(x).type(neutral), function)
    shape = shape_of(x)
    axes = axis_numbers(axis, len(shape), function)
    out = kept_axes(bind(x, axes), shape, axes, keepdims)
    return wrap(combine(out, operand(initial, function)) if given(initial) else out)


def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Array:
    """Sum of the elements along axes.

    Parameters
    ----------
    a : array_like
        The elements.
    axis : int, tuple of int or None
        Axes to sum over; all of them by default.
    dtype : dtype, optional
        Dtype of the sum; by default that of ``a``, for booleans and small integers int64.
    out : None
        Refused: arrays are immutable.
    keepdims : bool
        Keep the summed axes at size 1.
    initial : scalar, optional
        Added to the sum.
    where : array_like of bool
        Which elements count.

    Returns
    -------
    Array
        The sums.

    Raises
    ------
    ShapeError
        If an axis does not exist or is named twice.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    Array([4., 6.])
    >>> fad.grad(fnp.sum)(fnp.array([1.0, 2.0]))
    Array([1., 1.])
    """
    if dtype is None and out is None and keepdims is False and initial is None and where is True:
        x = a if type(a) is VJPTracer else operand(a, "sum")
        known = x.primal if type(x) is VJPTracer else x
        if type(known) is np.ndarray and known.dtype.kind in "fc":
            axes = (axis,) if type(axis) is int and 0 <= axis < known.ndim else axis_numbers(axis, known.ndim, "sum")
            wide = axes and known.itemsize > 2
            found = CURRENT.get().unary(sum_of_wide(axes), x) if wide else reduce_sum(x, axes)
            return found if type(found) is VJPTracer else wrap(found)
        if dtype_of(x).kind in "fc":
            return wrap(reduce_sum(x, axis_numbers(axis, len(shape_of(x)), "sum")))
    refuse_out("sum", out)
    return _fold("sum", reduce_sum, 0, lambda x, y: x + y, a, axis, dtype, (keepdims, initial, where))


def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Array:
    """Product of the elements along axes; its derivatives are right with any number of zeros.

    Parameters and errors are those of :func:`sum`.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fad.grad(fnp.prod)(fnp.array([0.0, 2.0, 3.0]))
    Array([6., 0., 0.])
    """
    refuse_out("prod", out)
    return _fold("prod", reduce_prod, 1, lambda x, y: x * y, a, axis, dtype, (keepdims, initial, where))


def _divided(total: Any, count: Any) -> Any:
    if type(count) in PYTHON_SCALARS:
        return total / count if count else total * math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return divide.bind(total, count)


def _mean_of(x: Any, axes: tuple[int, ...], where: Any, function: str) -> tuple[Any, Any]:
    """Mean with the axes kept at size 1, and the number of elements in it."""
    count: Any = math.prod(shape_of(x)[a] for a in axes)
    if restricts(where):
        x, mask = masked(x, where, dtype_of(x).type(0), function)
        count = reduce_sum(convert(mask, np.dtype(np.int64)), axes)
        count = reshape(count, keepdims_shape(shape_of(x), axes))
    total = reshape(reduce_sum(x, axes), keepdims_shape(shape_of(x), axes))
    if type(count) is not int:
        count = convert(count, dtype_of(total))
    return _divided(total, count), count


def _computing(x: Any, dtype: Any) -> tuple[Any, np.dtype]:
    """The operand in the dtype to compute in (float32 for half precision, as in NumPy), and the dtype of the result."""
    target = inexact_dtype(dtype_of(x)) if dtype is None else canonical_dtype(dtype)
    half = dtype is None and (target == np.float16 or is_bfloat16(target))
    return convert(x, np.dtype(np.float32) if half else target), target


def mean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, where: Any = True
) -> Array:
    """Arithmetic mean along axes.

    Parameters
    ----------
    a : array_like
        The elements; integers and booleans are averaged in float64.
    axis, dtype, out, keepdims, where
        As in :func:`sum`.

    Returns
    -------
    Array
        The means; NaN of no elements.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.mean([[1, 2], [3, 5]], axis=1)
    Array([1.5, 4. ])
    """
    x = a if type(a) is VJPTracer else operand(a, "mean")
    if dtype is None and out is None and keepdims is False and where is True:
        known = x.primal if type(x) is VJPTracer else x
        own = dtype_of(known)
        if own.kind in "fc" and own.itemsize > 2 and type(known) not in PYTHON_SCALARS:  # nothing to convert
            shape = known.shape
            axes = axis_numbers(axis, len(shape), "mean")
            count = shape[axes[0]] if len(axes) == 1 else math.prod([shape[i] for i in axes])
            if axes and count:
                trace = CURRENT.get()
                found = trace.binary(divide, trace.unary(sum_of_wide(axes), x), count)
            else:
                found = _divided(reduce_sum(x, axes), count)
            return found if type(found) is VJPTracer else wrap(found)
    refuse_out("mean", out)
    x, target = _computing(x, dtype)
    shape = shape_of(x)
    axes = axis_numbers(axis, len(shape), "mean")
    if not restricts(where):
        found = kept_axes(_divided(reduce_sum(x, axes), math.prod(shape[i] for i in axes)), shape, axes, keepdims)
    else:
        kept, _ = _mean_of(x, axes, where, "mean")
        found = kept if flag_set(keepdims) else _dropped(kept, axes)
    return wrap(convert(found, target))


def _dropped(x: Any, axes: tuple[int, ...]) -> Any:
    return reshape(x, tuple(n for i, n in enumerate(shape_of(x)) if i not in axes))


def variance(
    function: str, a: Any, axis: Any, dtype: Any, ddof: Any, keepdims: Any, where: Any, mean: Any
) -> tuple[Any, np.dtype]:
    """The variance as an operand, and the dtype that it should get."""
    x, target = _computing(operand(a, function), dtype)
    axes = axis_numbers(axis, len(shape_of(x)), function)
    if given(mean):
        center = operand(mean, function)
        count: Any = _mean_of(x, axes, where, function)[1] if where is not True else None
        count = math.prod(shape_of(x)[i] for i in axes) if count is None else count
    else:
        center, count = _mean_of(x, axes, where, function)
    deviation = x - center
    if restricts(where):
        # Before squaring: the slope of a NaN that does not count would be NaN.
        deviation, _ = masked(deviation, where, dtype_of(deviation).type(0), function)
    squares = square.bind(absolute.bind(deviation) if is_complex(dtype_of(x)) else deviation)
    total = reduce_sum(squares, axes)
    if type(count) is int:
        found = _divided(total, builtins.max(count - ddof, 0))
    else:
        found = _divided(total, _dropped(maximum_p.bind(count - ddof, 0), axes))
    return kept_axes(found, shape_of(squares), axes, keepdims), real_dtype(target)


def degrees(function: str, ddof: Any, correction: Any) -> Any:
    """What is taken off the number of elements."""
    if not given(correction):
        return ddof
    if ddof != 0:
        raise ArgumentError(f"{function}: ddof and correction are the same; give one of them")
    return correction


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Array:
    """Variance along axes: the mean of the squared distances from the mean.

    Parameters
    ----------
    a : array_like
        The elements.
    axis, dtype, out, keepdims, where
        As in :func:`sum`.
    ddof : number
        The divisor is the number of elements less ``ddof``.
    mean : array_like, optional
        The mean, with the reduced axes kept, if it is known.
    correction : number, optional
        Another name of ``ddof`` (the array API's).

    Returns
    -------
    Array
        The variances, real also for complex elements.

    Raises
    ------
    ArgumentError
        If both ``ddof`` and ``correction`` are given.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.var([1.0, 2.0, 3.0, 4.0], ddof=1)
    Array(1.66666667)
    """
    refuse_out("var", out)
    found, target = variance("var", a, axis, dtype, degrees("var", ddof, correction), keepdims, where, mean)
    return wrap(convert(found, target))


def count_true(mask: Any, shape: tuple[int, ...], axis: Any, keepdims: Any, function: str) -> Any:
    """How many elements of a mask, broadcast to ``shape``, are true along axes."""
    axes = axis_numbers(axis, len(shape), function)
    counts = reduce_sum(broadcast_to(convert(operand(mask, function), np.dtype(np.int64)), shape), axes)
    return kept_axes(counts, shape, axes, keepdims)


def root_of_variance(found: Any) -> Any:
    """The square root, with derivative 0 where the variance is 0, as for a norm."""
    flat = equal.bind(found, 0)
    return select.bind(flat, dtype_of(found).type(0), sqrt.bind(select.bind(flat, dtype_of(found).type(1), found)))


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = True,
    mean: Any = None,
    correction: Any = None,
) -> Array:
    """Standard deviation along axes; its derivative is 0 where all elements are equal, as that of a norm at 0.

    Parameters and errors are those of :func:`var`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.std([1.0, 3.0])
    Array(1.)
    """
    refuse_out("std", out)
    found, target = variance("std", a, axis, dtype, degrees("std", ddof, correction), keepdims, where, mean)
    return wrap(convert(root_of_variance(found), target))


def logsumexp(a: Any, axis: Any = None, b: Any = None, keepdims: bool = False) -> Array:
    """``log(sum(b * exp(a)))`` along axes, without overflow; its derivative is the softmax.

    Parameters
    ----------
    a : array_like
        The exponents.
    axis, keepdims
        As in :func:`sum`.
    b : array_like, optional
        Weights, broadcast with ``a``.

    Returns
    -------
    Array
        -inf, with derivative 0, where all terms vanish.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.logsumexp([1000.0, 1000.0])
    Array(1000.69314718)
    >>> fad.grad(fnp.logsumexp)(fnp.array([1.0, 1.0]))
    Array([0.5, 0.5])
    """
    x = float_operand(a, "logsumexp")
    if b is not None:
        weights = operand(b, "logsumexp")
        dtype = result_dtype(weak_operand(x), weak_operand(weights))
        shape = np.broadcast_shapes(shape_of(x), shape_of(weights))
        x, b = broadcast_to(convert(x, dtype), shape), convert(weights, dtype)
    axes = axis_numbers(axis, len(shape_of(x)), "logsumexp")
    return wrap(kept_axes(reduction.logsumexp(x, axes, b), shape_of(x), axes, keepdims))
