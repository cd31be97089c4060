"""Positions: of the elements that are not zero, of blocks, and in one dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, shape_of
from fad.core.errors import ArgumentError, IndexOutOfBoundsError, ShapeError
from fad.core.trace import concrete_value
from fad.numpy.conversion import operand, shape_tuple
from fad.numpy.elementwise import known_value
from fad.numpy.indexing import concrete_mask
from fad.numpy.taking import bounded_index, integer_operand
from fad.primitives.arithmetic import floor_divide, remainder
from fad.primitives.structural import convert, reshape

__all__ = ["argwhere", "flatnonzero", "ix_", "nonzero", "ravel_multi_index", "unravel_index"]


def nonzero(a: Any) -> tuple[Array, ...]:
    """Positions of the elements that are not zero, one array for each axis.

    Parameters
    ----------
    a : array_like
        The elements; their values must be known when the function runs, because they decide how many positions there are.

    Returns
    -------
    tuple of Array
        Positions along each axis, int64.

    Raises
    ------
    ConcretizationError
        If the values are traced by ``jit`` or ``vmap``.
    ShapeError
        If ``a`` has no axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nonzero([0.0, 2.0, 0.0, 1.0])
    (Array([1, 3]),)
    """
    x = known_value(operand(a, "nonzero"), "nonzero", "the array")
    if not x.ndim:
        raise ShapeError("nonzero: a 0-d array has no positions; use fad.numpy.atleast_1d(x)")
    return tuple(wrap(i) for i in np.nonzero(x))


def flatnonzero(a: Any) -> Array:
    """Positions of the elements that are not zero, counting in one dimension.

    Parameters and errors are those of :func:`nonzero`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.flatnonzero([[0.0, 2.0], [0.0, 1.0]])
    Array([1, 3])
    """
    return wrap(np.flatnonzero(known_value(operand(a, "flatnonzero"), "flatnonzero", "the array")))


def argwhere(a: Any) -> Array:
    """Positions of the elements that are not zero, one row for each.

    Parameters and errors are those of :func:`nonzero`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.argwhere([[0.0, 2.0], [3.0, 0.0]])
    Array([[0, 1],
           [1, 0]])
    """
    return wrap(np.argwhere(known_value(operand(a, "argwhere"), "argwhere", "the array")))


def ix_(*args: Any) -> tuple[Array, ...]:
    """Index arrays that select a block: ``x[fnp.ix_(rows, columns)]``.

    Parameters
    ----------
    *args : array_like of int or bool
        One one-dimensional sequence for each axis; masks stand for the positions where they are true.

    Returns
    -------
    tuple of Array
        The sequences, each along an axis of its own.

    Raises
    ------
    ShapeError
        If a sequence is not one-dimensional.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> x = fnp.arange(12.0).reshape(3, 4)
    >>> x[fnp.ix_([0, 2], [1, 3])]
    Array([[ 1.,  3.],
           [ 9., 11.]])
    """
    out = []
    for k, arg in enumerate(args):
        found = operand(arg, "ix_")
        if len(shape_of(found)) != 1:
            raise ShapeError(f"ix_: each argument must have one axis, got shape {shape_of(found)}")
        if dtype_of(found).kind == "b":
            found = np.flatnonzero(concrete_mask(found, "ix_"))
        index = integer_operand(arg, "ix_", "arguments") if found is None or 0 in shape_of(found) else found
        out.append(wrap(reshape(index, (1,) * k + shape_of(found) + (1,) * (len(args) - k - 1))))
    return tuple(out)


def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Array, ...]:
    """Positions along each axis of elements that are counted in one dimension.

    Parameters
    ----------
    indices : array_like of int
        Positions in one dimension.
    shape : tuple of int
        The shape of the array.
    order : {'C', 'F'}
        Whether the last or the first axis runs fastest.

    Returns
    -------
    tuple of Array
        Positions along each axis.

    Raises
    ------
    IndexOutOfBoundsError
        If a position is outside the array (found only where the values are known).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> [int(i) for i in fnp.unravel_index(7, (3, 4))]
    [1, 3]
    """
    position = integer_operand(indices, "unravel_index", "indices")
    sizes = shape_tuple(shape, "unravel_index")
    known = concrete_value(position)
    total = math.prod(sizes)
    if known is not None and ((known < 0) | (known >= total)).any():
        raise IndexOutOfBoundsError(f"unravel_index: a position is out of bounds for an array of shape {sizes}")
    found: list[Any] = [None] * len(sizes)
    for axis in range(len(sizes)) if order == "F" else reversed(range(len(sizes))):
        found[axis] = wrap(remainder.bind(position, max(sizes[axis], 1)))
        position = floor_divide.bind(position, max(sizes[axis], 1))
    return tuple(found)


def ravel_multi_index(multi_index: Sequence[Any], dims: Any, mode: Any = "raise", order: str = "C") -> Array:
    """Positions in one dimension of elements given by their positions along each axis; undoes :func:`unravel_index`.

    Parameters
    ----------
    multi_index : tuple of array_like of int
        Positions along each axis.
    dims : tuple of int
        The shape of the array.
    mode : str or tuple of str
        For each axis what a position out of bounds does: "raise", "wrap" or "clip".
    order : {'C', 'F'}
        Whether the last or the first axis runs fastest.

    Returns
    -------
    Array
        Positions in one dimension.

    Raises
    ------
    IndexOutOfBoundsError
        If a position is outside its axis and the mode is "raise" (found only where the values are known).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.ravel_multi_index(([1, 2], [3, 0]), (3, 4))
    Array([7, 8])
    """
    sizes = shape_tuple(dims, "ravel_multi_index")
    parts = [integer_operand(p, "ravel_multi_index", "positions") for p in multi_index]
    if len(parts) != len(sizes):
        raise ArgumentError(f"ravel_multi_index: {len(parts)} positions for the {len(sizes)} axes of shape {sizes}")
    modes = mode if isinstance(mode, tuple | list) else (mode,) * len(sizes)
    total: Any = np.int64(0)
    for axis in reversed(range(len(sizes))) if order == "F" else range(len(sizes)):
        part, left = bounded_index(parts[axis], sizes[axis], modes[axis], "ravel_multi_index")
        known = concrete_value(part)
        if left == "raise" and known is not None and ((known < 0) | (known >= sizes[axis])).any():
            raise IndexOutOfBoundsError(
                f"ravel_multi_index: a position is out of bounds for axis {axis} of size {sizes[axis]} of shape {sizes}"
            )
        total = total * sizes[axis] + convert(part, np.dtype(np.int64))
    return wrap(total)
