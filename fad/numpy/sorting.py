"""Sorting, partial sorting and searching."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, is_complex, result_dtype, shape_of
from fad.core.errors import ArgumentError, IndexOutOfBoundsError, ShapeError
from fad.core.trace import concrete_value
from fad.numpy.conversion import axis_number, axis_or_flat, host_integers, operand, operands
from fad.numpy.taking import integer_operand
from fad.primitives import sorting
from fad.primitives.indexing import gather, take_along_axis
from fad.primitives.slicing import flip, slice_axis
from fad.primitives.structural import convert, reshape

__all__ = [
    "argpartition",
    "argsort",
    "digitize",
    "lexsort",
    "partition",
    "searchsorted",
    "sort",
    "sort_complex",
    "top_k",
]

_KINDS = (None, "quicksort", "heapsort", "mergesort", "stable")


def _check_options(function: str, kind: Any, order: Any) -> None:
    if kind not in _KINDS:
        raise ArgumentError(f"{function}: kind must be one of {', '.join(map(repr, _KINDS))}, got {kind!r}")
    if order is not None:
        raise ArgumentError(f"{function}: order= is for structured arrays, which fad does not have")


def _ordered(function: str, a: Any, axis: Any) -> tuple[Any, int]:
    x, number = axis_or_flat(a, axis, function) if axis is None else (operand(a, function), 0)
    if axis is not None:
        if not shape_of(x):
            raise ShapeError(f"{function}: a 0-d array has no axis to sort along; use axis=None")
        number = axis_number(axis, len(shape_of(x)), function)
    return x, number


def sort(
    a: Any,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    stable: bool | None = None,
    descending: bool = False,
) -> Array:
    """A sorted copy along an axis; NaN comes last.

    Parameters
    ----------
    a : array_like
        The elements.
    axis : int or None
        The axis; ``None`` sorts the elements in one dimension.
    kind, stable
        Accepted for NumPy's sake: sorting is always stable.
    order : None
        For structured arrays, which fad does not have.
    descending : bool
        Largest first.

    Returns
    -------
    Array
        The sorted elements. Each carries its own derivative to its place; equal ones keep their order.

    Raises
    ------
    ShapeError
        If the axis does not exist.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.sort([3.0, 1.0, 2.0])
    Array([1., 2., 3.])
    >>> fad.grad(lambda x: fnp.sort(x)[0])(fnp.array([3.0, 1.0, 2.0]))
    Array([0., 1., 0.])
    """
    _check_options("sort", kind, order)
    x, number = _ordered("sort", a, axis)
    if not descending:
        return wrap(sorting.sort(x, number))
    # From the other end and back, so that equal elements keep their order here too.
    return wrap(flip(sorting.sort(flip(x, (number,)), number), (number,)))


def argsort(
    a: Any,
    axis: int | None = -1,
    kind: str | None = None,
    order: None = None,
    *,
    stable: bool | None = None,
    descending: bool = False,
) -> Array:
    """The order that sorts along an axis, always stable; it carries no derivative.

    Parameters and errors are those of :func:`sort`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.argsort([3.0, 1.0, 2.0])
    Array([1, 2, 0])
    """
    _check_options("argsort", kind, order)
    x, number = _ordered("argsort", a, axis)
    if not descending:
        return wrap(sorting.argsort(x, number))
    order_back = flip(sorting.argsort(flip(x, (number,)), number), (number,))
    return wrap((shape_of(x)[number] - 1) - order_back)


def _positions(function: str, kth: Any, size: int) -> tuple[int, ...]:
    numbers = [int(k) for k in np.atleast_1d(host_integers(kth, function, "kth"))]
    if any(not -size <= k < size for k in numbers):
        raise IndexOutOfBoundsError(f"{function}: kth {numbers} is out of bounds for an axis of size {size}")
    return tuple(sorted({k % size for k in numbers}))


def argpartition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None) -> Array:
    """An order that puts the elements at positions ``kth`` where sorting would, smaller ones before and larger ones behind.

    Parameters
    ----------
    a : array_like
        The elements.
    kth : int or sequence of int
        The positions.
    axis : int or None
        The axis; ``None`` takes the elements in one dimension.
    kind, order
        Accepted for NumPy's sake.

    Returns
    -------
    Array
        The order, int64.

    Raises
    ------
    IndexOutOfBoundsError
        If a position is outside the axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> x = fnp.array([3.0, 1.0, 2.0])
    >>> x[fnp.argpartition(x, 0)[0]]
    Array(1.)
    """
    x, number = _ordered("argpartition", a, axis)
    return wrap(sorting.argpartition(x, _positions("argpartition", kth, shape_of(x)[number]), number))


def partition(a: Any, kth: Any, axis: int | None = -1, kind: str = "introselect", order: None = None) -> Array:
    """The elements with those at positions ``kth`` where sorting would put them, smaller ones before and larger ones behind.

    Parameters and errors are those of :func:`argpartition`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.partition([3.0, 1.0, 2.0], 1)[1]
    Array(2.)
    """
    x, number = _ordered("partition", a, axis)
    positions = sorting.argpartition(x, _positions("partition", kth, shape_of(x)[number]), number)
    return wrap(take_along_axis(x, positions, number, unique=True))


def top_k(x: Any, k: int, axis: int = -1) -> tuple[Array, Array]:
    """The ``k`` largest elements along an axis in descending order, and their positions.

    Parameters
    ----------
    x : array_like
        The elements.
    k : int
        How many.
    axis : int
        The axis.

    Returns
    -------
    tuple of Array
        Values and positions. Of equal elements the first come first; NaN counts as largest.

    Raises
    ------
    ShapeError
        If the axis has fewer than ``k`` elements.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.top_k([3.0, 1.0, 2.0], 2)
    (Array([3., 2.]), Array([0, 2]))
    """
    value, number = _ordered("top_k", x, axis)
    count = int(host_integers(k, "top_k", "k"))
    if not 0 <= count <= shape_of(value)[number]:
        raise ShapeError(
            f"top_k: k is {count}, but axis {number} of an array of shape {shape_of(value)} has fewer elements"
        )
    found, positions = sorting.top_k(value, count, number)
    return wrap(found), wrap(positions)


def lexsort(keys: Any, axis: int = -1) -> Array:
    """The stable order that sorts by the last key, then by those before it.

    Parameters
    ----------
    keys : sequence of array_like
        The keys, all of one shape; or one array whose rows they are.
    axis : int
        The axis to sort along.

    Returns
    -------
    Array
        The order, int64.

    Raises
    ------
    ArgumentError
        If there is no key.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.lexsort(([1, 0, 2], [1, 1, 0]))
    Array([2, 1, 0])
    """
    if isinstance(keys, Sequence):
        parts = operands("lexsort", *keys)
    else:
        rows = operand(keys, "lexsort")
        shape = shape_of(rows)
        parts = [reshape(slice_axis(rows, 0, k, k + 1), shape[1:]) for k in range(shape[0])] if shape else []
    if not parts:
        raise ArgumentError("lexsort needs at least one key")
    if not shape_of(parts[0]):
        return wrap(np.int64(0))
    if any(shape_of(p) != shape_of(parts[0]) for p in parts):
        raise ShapeError(f"lexsort: keys of one shape, please; got {', '.join(str(shape_of(p)) for p in parts)}")
    return wrap(sorting.lexsort(parts, axis_number(axis, len(shape_of(parts[0])), "lexsort")))


def _comparable(function: str, *values: Any) -> list[Any]:
    """Operands in a dtype that holds them all, Python numbers too: NumPy makes arrays of those here, so that 300 stays 300 beside uint8."""
    found = operands(function, *values)
    dtype = result_dtype(*[dtype_of(f) for f in found])
    return [convert(f, dtype) for f in found]


def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Array:
    """Where values would be inserted into a sorted one-dimensional array to keep it sorted.

    Parameters
    ----------
    a : array_like
        The sorted array.
    v : array_like
        The values.
    side : {'left', 'right'}
        Before or behind equal elements.
    sorter : array_like of int, optional
        The order that sorts ``a``.

    Returns
    -------
    Array
        Positions, int64; they carry no derivative.

    Raises
    ------
    ShapeError
        If ``a`` is not one-dimensional.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.searchsorted([1.0, 2.0, 3.0], [2.0, 2.5])
    Array([1, 2])
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side must be 'left' or 'right', got {side!r}")
    x, values = _comparable("searchsorted", a, v)
    if sorter is not None:
        x = gather(x, [integer_operand(sorter, "searchsorted", "sorter")], (0,))
    return wrap(sorting.searchsorted(x, values, side))


def digitize(x: Any, bins: Any, right: bool = False) -> Array:
    """The number of the bin that each value falls into.

    Parameters
    ----------
    x : array_like
        The values.
    bins : array_like
        The edges, ascending or descending; where they are traced they must ascend.
    right : bool
        Whether a bin contains its right edge instead of its left one.

    Returns
    -------
    Array
        0 for values before the first edge, ``len(bins)`` for those behind the last.

    Raises
    ------
    ArgumentError
        If the edges are not monotonic.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.digitize([0.2, 1.5, 9.0], [0.0, 1.0, 2.0])
    Array([1, 2, 3])
    """
    values, edges = _comparable("digitize", x, bins)
    known = concrete_value(edges)
    steps = np.diff(known) if known is not None and known.ndim == 1 else np.zeros(0)
    descending = bool(steps.size and (steps <= 0).all() and (steps < 0).any())
    if not descending and (steps < 0).any():
        raise ArgumentError("digitize: bins must ascend or descend throughout")
    side = "left" if right else "right"
    if not descending:
        return wrap(sorting.searchsorted(edges, values, side))
    return wrap(shape_of(edges)[0] - sorting.searchsorted(flip(edges, (0,)), values, side))


def sort_complex(a: Any) -> Array:
    """The elements as complex numbers, sorted by real, then by imaginary part.

    Parameters
    ----------
    a : array_like
        The elements.

    Returns
    -------
    Array
        Sorted along the last axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.sort_complex([2.0, 1.0])
    Array([1.+0.j, 2.+0.j])
    """
    x = operand(a, "sort_complex")
    dtype = dtype_of(x)
    if not is_complex(dtype):
        x = convert(x, result_dtype(dtype, np.dtype(np.complex64)))
    return sort(wrap(x))
