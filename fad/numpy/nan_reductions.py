"""Reductions that leave NaN out.

Where nothing but NaN is left the result is NaN, without NumPy's warning; its derivative is 0. The positions ``nanargmax`` and ``nanargmin``
raise there, as NumPy's do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, is_inexact, shape_of
from fad.core.errors import ArgumentError
from fad.core.trace import concrete_value
from fad.numpy import reductions
from fad.numpy.conversion import axis_numbers, operand, refuse_out
from fad.numpy.extremes import max as max_
from fad.numpy.extremes import min as min_
from fad.numpy.extremes import position
from fad.numpy.reductions import kept_axes, masked, restricts, root_of_variance, variance
from fad.primitives import reduction
from fad.primitives.arithmetic import isnan, logical_and, logical_not, select
from fad.primitives.reduction import highest, lowest, reduce_all
from fad.primitives.structural import convert

__all__ = [
    "nanargmax",
    "nanargmin",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]


def _has_nan(x: Any) -> bool:
    return is_inexact(dtype_of(x))


def _without_nan(function: str, a: Any, neutral: int) -> Any:
    x = operand(a, function)
    return select.bind(isnan.bind(x), dtype_of(x).type(neutral), x) if _has_nan(x) else x


def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Array:
    """Sum along axes, NaN counting as 0.

    Parameters and errors are those of :func:`fad.numpy.sum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nansum([1.0, float("nan"), 2.0])
    Array(3.)
    """
    return reductions.sum(_without_nan("nansum", a, 0), axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = True,
) -> Array:
    """Product along axes, NaN counting as 1.

    Parameters and errors are those of :func:`fad.numpy.prod`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanprod([3.0, float("nan"), 2.0])
    Array(6.)
    """
    return reductions.prod(_without_nan("nanprod", a, 1), axis, dtype, out, keepdims, initial, where)


def _numbers(function: str, a: Any, where: Any) -> tuple[Any, Any]:
    """The operand and the mask of the elements that count: not NaN, and not left out by ``where``."""
    x = operand(a, function)
    if not _has_nan(x):
        return x, where
    mask = logical_not.bind(isnan.bind(x))
    return x, logical_and.bind(mask, operand(where, function)) if restricts(where) else mask


def nanmean(
    a: Any, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True
) -> Array:
    """Mean along axes, NaN left out.

    Parameters and errors are those of :func:`fad.numpy.mean`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanmean([1.0, float("nan"), 2.0])
    Array(1.5)
    """
    x, where = _numbers("nanmean", a, where)
    return reductions.mean(x, axis, dtype, out, keepdims, where)


def nanvar(
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
    """Variance along axes, NaN left out.

    Parameters and errors are those of :func:`fad.numpy.var`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanvar([1.0, float("nan"), 3.0])
    Array(1.)
    """
    refuse_out("nanvar", out)
    found, target = _variance("nanvar", a, axis, dtype, ddof, keepdims, where, mean, correction)
    return wrap(convert(found, target))


def nanstd(
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
    """Standard deviation along axes, NaN left out.

    Parameters and errors are those of :func:`fad.numpy.std`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanstd([1.0, float("nan"), 3.0])
    Array(1.)
    """
    refuse_out("nanstd", out)
    found, target = _variance("nanstd", a, axis, dtype, ddof, keepdims, where, mean, correction)
    return wrap(convert(root_of_variance(found), target))


def _variance(
    function: str, a: Any, axis: Any, dtype: Any, ddof: Any, keepdims: Any, where: Any, mean: Any, correction: Any
) -> Any:
    x, where = _numbers(function, a, where)
    found, target = variance(
        function, x, axis, dtype, reductions.degrees(function, ddof, correction), keepdims, where, mean
    )
    if not _has_nan(x):
        return found, target
    # Fewer numbers than degrees of freedom: NaN, where var of a short axis has inf or NaN.
    count = reductions.count_true(where, shape_of(x), axis, keepdims, function)
    few = count - reductions.degrees(function, ddof, correction) <= 0
    return select.bind(operand(few), dtype_of(found).type(np.nan), found), target


def _extreme(
    function: str, reduce: Any, neutral: Any, a: Any, axis: Any, keepdims: Any, initial: Any, where: Any
) -> Any:
    x = operand(a, function)
    if not _has_nan(x):
        return reduce(x, axis, None, keepdims, initial, where)
    fill = neutral(dtype_of(x))
    missing = isnan.bind(x)
    found = operand(reduce(select.bind(missing, fill, x), axis, None, keepdims, initial, where))
    if restricts(where):
        missing, _ = masked(missing, where, np.bool_(True), function)
    axes = axis_numbers(axis, len(shape_of(missing)), function)
    nothing = kept_axes(reduce_all(missing, axes), shape_of(missing), axes, keepdims)
    if initial is not None:
        return wrap(found)
    return wrap(select.bind(nothing, dtype_of(x).type(np.nan), found))


def nanmax(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """Largest element along axes, NaN left out.

    Parameters and errors are those of :func:`fad.numpy.max`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanmax([1.0, float("nan"), 2.0])
    Array(2.)
    """
    refuse_out("nanmax", out)
    return _extreme("nanmax", max_, lowest, a, axis, keepdims, initial, where)


def nanmin(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """Smallest element along axes, NaN left out.

    Parameters and errors are those of :func:`fad.numpy.min`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanmin([1.0, float("nan"), 2.0])
    Array(1.)
    """
    refuse_out("nanmin", out)
    return _extreme("nanmin", min_, highest, a, axis, keepdims, initial, where)


def _position(function: str, bind: Any, fill: Any, a: Any, axis: Any, keepdims: Any) -> Any:
    x = operand(a, function)
    if _has_nan(x):
        missing = isnan.bind(x)
        axes = axis_numbers(axis, len(shape_of(x)), function)
        nothing = concrete_value(reduce_all(missing, axes))
        if nothing is not None and nothing.any():
            raise ArgumentError(f"{function}: a slice holds nothing but NaN, so it has no position to give")
        x = select.bind(missing, fill(dtype_of(x)), x)
    return wrap(position(function, bind, x, axis, keepdims))


def nanargmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Array:
    """Position of the largest element along an axis, NaN left out.

    Parameters are those of :func:`fad.numpy.argmax`.

    Raises
    ------
    ArgumentError
        If a slice holds nothing but NaN (found only where the values are known, not inside ``jit`` and ``vmap``).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanargmax([1.0, float("nan"), 2.0])
    Array(2)
    """
    refuse_out("nanargmax", out)
    return _position("nanargmax", reduction.argmax, lowest, a, axis, keepdims)


def nanargmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Array:
    """Position of the smallest element along an axis, NaN left out.

    Parameters and errors are those of :func:`nanargmax`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nanargmin([2.0, float("nan"), 1.0])
    Array(2)
    """
    refuse_out("nanargmin", out)
    return _position("nanargmin", reduction.argmin, highest, a, axis, keepdims)
