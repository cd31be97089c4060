"""Extremes and their positions, logical reductions and counts along axes."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, shape_of
from fad.core.errors import ArgumentError
from fad.numpy.conversion import axis_number, axis_numbers, operand, refuse_out
from fad.numpy.reductions import flag_set, given, kept_axes, masked, restricts
from fad.primitives import reduction
from fad.primitives.arithmetic import maximum, minimum, not_equal, subtract
from fad.primitives.reduction import highest, lowest, reduce_max, reduce_min
from fad.primitives.structural import broadcast_to, convert, reduce_sum, reshape
from fad.transforms.reverse import VJPTracer

__all__ = ["all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "max", "min", "ptp"]


def _extreme(function: str, a: Any, axis: Any, out: Any, keepdims: Any, initial: Any, where: Any) -> Any:
    bind = reduce_max if function == "max" else reduce_min
    x = a if type(a) is VJPTracer else operand(a, function)
    if initial is None and where is True and out is None:
        shape = shape_of(x.primal if type(x) is VJPTracer else x)
        axes = axis_numbers(axis, len(shape), function)
        found = bind(x, axes) if keepdims is False else kept_axes(bind(x, axes), shape, axes, keepdims)
        return found if type(found) is VJPTracer else wrap(found)
    refuse_out(function, out)
    combine, neutral = (maximum, lowest) if function == "max" else (minimum, highest)
    has_initial = given(initial)
    if restricts(where):
        if not has_initial:
            raise ArgumentError(f"{function}: where= needs initial=, the result where no element counts")
        x, _ = masked(x, where, neutral(dtype_of(x)), function)
    shape = shape_of(x)
    axes = axis_numbers(axis, len(shape), function)
    if has_initial and builtins.any(shape[i] == 0 for i in axes):
        out = broadcast_to(neutral(dtype_of(x)), tuple(n for i, n in enumerate(shape) if i not in axes))
    else:
        out = bind(x, axes)
    out = kept_axes(out, shape, axes, keepdims)
    return wrap(combine.bind(out, operand(initial, function)) if has_initial else out)


def max(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """Largest element along axes; NaN wins. Elements that tie share the cotangent equally.

    Parameters
    ----------
    a : array_like
        The elements.
    axis, out, keepdims, where
        As in :func:`fad.numpy.sum`; ``where`` needs ``initial``.
    initial : scalar, optional
        A further candidate, and the result of no elements.

    Returns
    -------
    Array
        The largest elements.

    Raises
    ------
    ShapeError
        If there are no elements and no ``initial``.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.max([[1.0, 5.0], [3.0, 2.0]], axis=1)
    Array([5., 3.])
    >>> fad.grad(fnp.max)(fnp.array([1.0, 4.0, 4.0]))
    Array([0. , 0.5, 0.5])
    """
    return _extreme("max", a, axis, out, keepdims, initial, where)


def min(
    a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """Smallest element along axes; NaN wins. Elements that tie share the cotangent equally.

    Parameters and errors are those of :func:`max`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.min([[1.0, 5.0], [3.0, 2.0]], axis=0)
    Array([1., 2.])
    """
    return _extreme("min", a, axis, out, keepdims, initial, where)


amax, amin = max, min


def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False) -> Array:
    """Largest less smallest element along axes.

    Parameters and errors are those of :func:`max`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.ptp([3.0, 8.0, 5.0])
    Array(5.)
    """
    refuse_out("ptp", out)
    x = operand(a, "ptp")
    shape = shape_of(x)
    axes = axis_numbers(axis, len(shape), "ptp")
    return wrap(
        kept_axes(subtract.bind(reduction.reduce_max(x, axes), reduction.reduce_min(x, axes)), shape, axes, keepdims)
    )


def position(function: str, bind: Any, x: Any, axis: Any, keepdims: Any) -> Any:
    """Argmax or argmin as an operand; ``axis=None`` counts in C order through all elements."""
    shape = shape_of(x)
    if axis is None:
        out = bind(reshape(x, (math.prod(shape),)), 0)
        return reshape(out, (1,) * len(shape)) if flag_set(keepdims) else out
    number = axis_number(axis, len(shape), function)
    return kept_axes(bind(x, number), shape, (number,), keepdims)


def argmax(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Array:
    """Position of the largest element along an axis: the first of several, the first NaN if there is one.

    Parameters
    ----------
    a : array_like
        The elements.
    axis : int or None
        The axis; by default the position counts through all elements in C order.
    out : None
        Refused: arrays are immutable.
    keepdims : bool
        Keep the axis at size 1.

    Returns
    -------
    Array
        Positions, int64; they carry no derivative.

    Raises
    ------
    ShapeError
        If there are no elements.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.argmax([[1.0, 5.0], [3.0, 2.0]], axis=1)
    Array([1, 0])
    """
    refuse_out("argmax", out)
    return wrap(position("argmax", reduction.argmax, operand(a, "argmax"), axis, keepdims))


def argmin(a: Any, axis: Any = None, out: Any = None, *, keepdims: bool = False) -> Array:
    """Position of the smallest element along an axis: the first of several, the first NaN if there is one.

    Parameters and errors are those of :func:`argmax`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.argmin([4.0, 1.0, 1.0])
    Array(1)
    """
    refuse_out("argmin", out)
    return wrap(position("argmin", reduction.argmin, operand(a, "argmin"), axis, keepdims))


# --- logic and counting ------------------------------------------------------------------------------------------------------------------


def _logical(function: str, bind: Any, neutral: bool, a: Any, axis: Any, keepdims: Any, where: Any) -> Any:
    x = operand(a, function)
    if dtype_of(x).kind != "b":
        x = not_equal.bind(x, 0)
    if restricts(where):
        x, _ = masked(x, where, np.bool_(neutral), function)
    shape = shape_of(x)
    axes = axis_numbers(axis, len(shape), function)
    return wrap(kept_axes(bind(x, axes), shape, axes, keepdims))


def any(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Array:
    """Whether some element along axes is true (not zero).

    Parameters are those of :func:`fad.numpy.sum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.any([[True, False], [False, False]], axis=1)
    Array([ True, False])
    """
    refuse_out("any", out)
    return _logical("any", reduction.reduce_any, False, a, axis, keepdims, where)


def all(a: Any, axis: Any = None, out: Any = None, keepdims: bool = False, *, where: Any = True) -> Array:
    """Whether every element along axes is true (not zero).

    Parameters are those of :func:`fad.numpy.sum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.all([1.0, 2.0, 0.0])
    Array(False)
    """
    refuse_out("all", out)
    return _logical("all", reduction.reduce_all, True, a, axis, keepdims, where)


def count_nonzero(a: Any, axis: Any = None, *, keepdims: bool = False) -> Array:
    """How many elements along axes are not zero; int64, without derivative.

    Parameters are those of :func:`fad.numpy.sum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.count_nonzero([0.0, 2.0, -1.0])
    Array(2)
    """
    x = operand(a, "count_nonzero")
    axes = axis_numbers(axis, len(shape_of(x)), "count_nonzero")
    counts = reduce_sum(convert(not_equal.bind(x, 0), np.dtype(np.int64)), axes)
    return wrap(kept_axes(counts, shape_of(x), axes, keepdims))
