"""Cumulative sums, products and extremes along an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import canonical_dtype, dtype_of, shape_of
from fad.core.errors import ArgumentError
from fad.numpy.conversion import axis_or_flat, float_operand, refuse_out
from fad.numpy.reductions import accumulator_dtype
from fad.primitives import cumulative
from fad.primitives.arithmetic import isnan, select
from fad.primitives.slicing import concatenate
from fad.primitives.structural import convert, full, keepdims_shape

__all__ = [
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "nancumprod",
    "nancumsum",
]


def _running(function: str, bind: Any, a: Any, axis: Any, dtype: Any, neutral: int | None = None) -> Any:
    """A running sum or product; NaN counts as the neutral element if one is given."""
    x, number = axis_or_flat(a, axis, function)
    x = convert(x, accumulator_dtype(dtype_of(x)) if dtype is None else canonical_dtype(dtype))
    if neutral is not None and dtype_of(x).kind in "fcV":
        x = select.bind(isnan.bind(x), dtype_of(x).type(neutral), x)
    return wrap(bind(x, number))


def cumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Array:
    """Running sum along an axis.

    Parameters
    ----------
    a : array_like
        The elements.
    axis : int or None
        The axis; by default the elements are taken in one dimension, in C order.
    dtype : dtype, optional
        Dtype of the result; by default that of ``a``, for booleans and small integers int64.
    out : None
        Refused: arrays are immutable.

    Returns
    -------
    Array
        The sums up to and including each element.

    Raises
    ------
    ShapeError
        If the axis does not exist.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.cumsum([1.0, 2.0, 3.0])
    Array([1., 3., 6.])
    >>> fad.grad(lambda x: fnp.cumsum(x)[1])(fnp.array([1.0, 2.0, 3.0]))
    Array([1., 1., 0.])
    """
    refuse_out("cumsum", out)
    return _running("cumsum", cumulative.cumsum, a, axis, dtype)


def cumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Array:
    """Running product along an axis; its derivatives are right with any number of zeros.

    Parameters and errors are those of :func:`cumsum`.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.cumprod([1.0, 2.0, 3.0])
    Array([1., 2., 6.])
    >>> fad.grad(lambda x: fnp.cumprod(x)[-1])(fnp.array([0.0, 2.0, 3.0]))
    Array([6., 0., 0.])
    """
    refuse_out("cumprod", out)
    return _running("cumprod", cumulative.cumprod, a, axis, dtype)


def nancumsum(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Array:
    """Running sum along an axis, NaN counting as 0.

    Parameters and errors are those of :func:`cumsum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nancumsum([1.0, float("nan"), 3.0])
    Array([1., 1., 4.])
    """
    refuse_out("nancumsum", out)
    return _running("nancumsum", cumulative.cumsum, a, axis, dtype, 0)


def nancumprod(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Array:
    """Running product along an axis, NaN counting as 1.

    Parameters and errors are those of :func:`cumsum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nancumprod([2.0, float("nan"), 3.0])
    Array([2., 2., 6.])
    """
    refuse_out("nancumprod", out)
    return _running("nancumprod", cumulative.cumprod, a, axis, dtype, 1)


def _standard(function: str, bind: Any, x: Any, axis: Any, dtype: Any, include_initial: bool, initial: int) -> Any:
    """The array API's running sum or product."""
    shape = np.shape(x) if isinstance(x, list | tuple) else shape_of(x)
    if axis is None and len(shape) != 1:
        raise ArgumentError(
            f"{function}: an array of shape {shape} needs axis=; only one-dimensional arrays may leave it out"
        )
    out = _running(function, bind, x, 0 if axis is None else axis, dtype)
    if not include_initial:
        return out
    value, number = axis_or_flat(out, 0 if axis is None else axis, function)
    start = full(keepdims_shape(shape_of(value), (number,)), initial, dtype_of(value))
    return wrap(concatenate([start, value], number))


def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Array:
    """Running sum along an axis, as the array API has it.

    Parameters
    ----------
    x : array_like
        The elements.
    axis : int or None
        The axis; ``None`` is for one-dimensional arrays only.
    dtype, out
        As in :func:`cumsum`.
    include_initial : bool
        Begin with a 0, so that the result is one longer.

    Returns
    -------
    Array
        The sums.

    Raises
    ------
    ArgumentError
        If ``axis`` is missing for an array of several dimensions.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.cumulative_sum(fnp.array([1.0, 2.0]), include_initial=True)
    Array([0., 1., 3.])
    """
    refuse_out("cumulative_sum", out)
    return _standard("cumulative_sum", cumulative.cumsum, x, axis, dtype, include_initial, 0)


def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Array:
    """Running product along an axis, as the array API has it.

    Parameters and errors are those of :func:`cumulative_sum`; the initial element is 1.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.cumulative_prod(fnp.array([2.0, 3.0]))
    Array([2., 6.])
    """
    refuse_out("cumulative_prod", out)
    return _standard("cumulative_prod", cumulative.cumprod, x, axis, dtype, include_initial, 1)


def cummax(a: Any, axis: Any = None, reverse: bool = False) -> Array:
    """Running maximum along an axis; elements that tie so far share the cotangent equally.

    Parameters
    ----------
    a : array_like
        The elements.
    axis : int or None
        The axis; by default the elements are taken in one dimension, in C order.
    reverse : bool
        Run from the end.

    Returns
    -------
    Array
        The largest element up to and including each.

    Raises
    ------
    ShapeError
        If the axis does not exist.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.cummax([1.0, 3.0, 2.0])
    Array([1., 3., 3.])
    """
    x, number = axis_or_flat(a, axis, "cummax")
    return wrap(cumulative.cummax(x, number, bool(reverse)))


def cummin(a: Any, axis: Any = None, reverse: bool = False) -> Array:
    """Running minimum along an axis; elements that tie so far share the cotangent equally.

    Parameters and errors are those of :func:`cummax`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.cummin([3.0, 1.0, 2.0], reverse=True)
    Array([1., 1., 2.])
    """
    x, number = axis_or_flat(a, axis, "cummin")
    return wrap(cumulative.cummin(x, number, bool(reverse)))


def cumlogsumexp(a: Any, axis: Any = None, reverse: bool = False) -> Array:
    """Running ``log(sum(exp(a)))`` along an axis, without overflow.

    Parameters and errors are those of :func:`cummax`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.cumlogsumexp([1000.0, 1000.0])
    Array([1000.        , 1000.69314718])
    """
    x, number = axis_or_flat(float_operand(a, "cumlogsumexp"), axis, "cumlogsumexp")
    return wrap(cumulative.cumlogsumexp(x, number, bool(reverse)))
