"""Joining arrays and taking them apart; inserting and deleting elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import canonical_dtype, dtype_of, result_dtype, shape_of
from fad.core.errors import ArgumentError, IndexOutOfBoundsError, ShapeError
from fad.numpy import manipulation
from fad.numpy.conversion import axis_number, axis_or_flat, host_integers, operand, refuse_out
from fad.primitives import slicing
from fad.primitives.indexing import gather
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import broadcast_to, convert, reshape

__all__ = [
    "append",
    "array_split",
    "block",
    "column_stack",
    "concat",
    "concatenate",
    "delete",
    "dsplit",
    "dstack",
    "hsplit",
    "hstack",
    "insert",
    "split",
    "stack",
    "unstack",
    "vsplit",
    "vstack",
]


def _strong_operands(arrays: Any, function: str, dtype: Any = None) -> list[Any]:
    """Operands in their common dtype, Python scalars counting as arrays."""
    if not isinstance(arrays, list | tuple | np.ndarray | Array):
        try:
            arrays = list(arrays)
        except TypeError:
            raise ArgumentError(f"{function} takes a sequence of arrays, got {type(arrays).__name__}") from None
    found = [operand(a, function) for a in arrays]
    if not found:
        raise ArgumentError(f"{function} needs at least one array")
    common = result_dtype(*[dtype_of(f) for f in found]) if dtype is None else canonical_dtype(dtype)
    return [convert(f, common) for f in found]


def concatenate(
    arrays: Sequence[Any], /, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Array:
    """Arrays one after another along an existing axis.

    Parameters
    ----------
    arrays : sequence of array_like
        Arrays whose shapes agree outside ``axis``.
    axis : int, optional
        The axis; with ``None`` the arrays are flattened first.
    dtype : dtype, optional
        The dtype of the result, by default the arrays' common one.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If the shapes do not agree.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.concatenate([[1, 2], [3]])
    Array([1, 2, 3])
    """
    refuse_out("concatenate", out)
    found = _strong_operands(arrays, "concatenate", dtype)
    if axis is None:
        found, axis = [reshape(f, (math.prod(shape_of(f)),)) for f in found], 0
    ndim = len(shape_of(found[0]))
    if not ndim:
        raise ShapeError("concatenate: 0-d arrays have no axis to join along; use stack")
    return wrap(slicing.concatenate(found, axis_number(axis, ndim, "concatenate")))


def concat(
    arrays: Sequence[Any], /, axis: int | None = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Array:
    """The array API's name of :func:`concatenate`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.concat([[1, 2], [3]])
    Array([1, 2, 3])
    """
    return concatenate(arrays, axis, out, dtype=dtype)


def stack(arrays: Sequence[Any], axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = None) -> Array:
    """Arrays of one shape along a new axis.

    Parameters
    ----------
    arrays : sequence of array_like
        Arrays of one shape.
    axis : int
        Where the new axis goes.
    dtype : dtype, optional
        The dtype of the result, by default the arrays' common one.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.stack([[1, 2], [3, 4]], axis=1)
    Array([[1, 3],
           [2, 4]])
    """
    refuse_out("stack", out)
    found = _strong_operands(arrays, "stack", dtype)
    shape = shape_of(found[0])
    if any(shape_of(f) != shape for f in found):
        raise ShapeError(f"stack: all arrays must have one shape, got {', '.join(str(shape_of(f)) for f in found)}")
    axis = axis_number(axis, len(shape) + 1, "stack")
    expanded = (*shape[:axis], 1, *shape[axis:])
    return wrap(slicing.concatenate([reshape(f, expanded) for f in found], axis))


def vstack(tup: Sequence[Any], *, dtype: Any = None, casting: Any = None) -> Array:
    """Arrays below each other; vectors become rows.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.vstack([[1, 2], [3, 4]])
    Array([[1, 2],
           [3, 4]])
    """
    return concatenate([manipulation.atleast_2d(a) for a in tup], 0, dtype=dtype)


def hstack(tup: Sequence[Any], *, dtype: Any = None, casting: Any = None) -> Array:
    """Arrays beside each other: along the second axis, vectors along their only one.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.hstack([[1, 2], [3]])
    Array([1, 2, 3])
    """
    arrays = [manipulation.atleast_1d(a) for a in tup]
    return concatenate(arrays, 0 if arrays and arrays[0].ndim == 1 else 1, dtype=dtype)


def dstack(tup: Sequence[Any]) -> Array:
    """Arrays behind each other, along the third axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.dstack([[1], [2]])
    Array([[[1, 2]]])
    """
    return concatenate([manipulation.atleast_3d(a) for a in tup], 2)


def column_stack(tup: Sequence[Any]) -> Array:
    """Vectors as the columns of a matrix.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.column_stack([[1, 2], [3, 4]])
    Array([[1, 3],
           [2, 4]])
    """
    columns = []
    for a in tup:
        x = operand(a, "column_stack")
        shape = shape_of(x)
        columns.append(reshape(convert(x, dtype_of(x)), (math.prod(shape), 1)) if len(shape) < 2 else x)
    return concatenate(columns, 1)


def block(arrays: Any) -> Array:
    """An array from nested lists of blocks: the innermost lists join along the last axis, the next along the one before.

    Parameters
    ----------
    arrays : nested list of array_like
        The blocks.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If the nesting is uneven or a list is empty.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.block([[fnp.eye(1), fnp.zeros((1, 1))], [fnp.ones((1, 2))]])
    Array([[1., 0.],
           [1., 1.]])
    """
    depth = _block_depth(arrays)
    ndim = max(depth, _block_ndim(arrays))
    return wrap(_joined_blocks(arrays, depth, ndim))


def _block_depth(arrays: Any) -> int:
    if not isinstance(arrays, list):
        return 0
    if not arrays:
        raise ArgumentError("block: a list of blocks is empty")
    depths = {_block_depth(a) for a in arrays}
    if len(depths) > 1:
        raise ArgumentError(f"block: lists must be nested evenly, got depths {sorted(depths)}")
    return 1 + depths.pop()


def _block_ndim(arrays: Any) -> int:
    if isinstance(arrays, list):
        return max(_block_ndim(a) for a in arrays)
    return len(shape_of(operand(arrays, "block")))


def _joined_blocks(arrays: Any, depth: int, ndim: int) -> Any:
    if depth == 0:
        x = operand(arrays, "block")
        shape = shape_of(x)
        return reshape(convert(x, dtype_of(x)), (1,) * (ndim - len(shape)) + shape)
    return operand(concatenate([_joined_blocks(a, depth - 1, ndim) for a in arrays], ndim - depth))


# --- taking apart ------------------------------------------------------------------------------------------------------------------------


def _cut(x: Any, cuts: Sequence[int], axis: int) -> list[Array]:
    size = shape_of(x)[axis]
    bounds = [0, *cuts, size]
    parts = []
    for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
        first, last, _ = slice(start, stop).indices(size)
        parts.append(wrap(slice_axis(x, axis, first, max(first, last))))
    return parts


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Parts of nearly equal size along an axis, or the parts between given positions.

    Parameters
    ----------
    ary : array_like
        The array.
    indices_or_sections : int or sequence of int
        How many parts, or where to cut.
    axis : int
        The axis.

    Returns
    -------
    list of Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> [len(part) for part in fnp.array_split([1, 2, 3], 2)]
    [2, 1]
    """
    x = operand(ary, "array_split")
    axis = axis_number(axis, len(shape_of(x)), "array_split")
    places = host_integers(indices_or_sections, "array_split", "indices_or_sections")
    if places.ndim:
        return _cut(x, [int(p) for p in places.tolist()], axis)
    count, size = int(places), shape_of(x)[axis]
    if count <= 0:
        raise ArgumentError(f"array_split: the number of parts must be positive, got {count}")
    larger = size % count
    sizes = [size // count + 1] * larger + [size // count] * (count - larger)
    return _cut(x, np.cumsum(sizes)[:-1].tolist(), axis)


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Array]:
    """Parts of equal size along an axis, or the parts between given positions.

    Parameters
    ----------
    ary : array_like
        The array.
    indices_or_sections : int or sequence of int
        How many parts, or where to cut.
    axis : int
        The axis.

    Returns
    -------
    list of Array

    Raises
    ------
    ShapeError
        If the axis cannot be divided equally.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.split([1, 2, 3, 4], 2)
    [Array([1, 2]), Array([3, 4])]
    """
    x = operand(ary, "split")
    axis = axis_number(axis, len(shape_of(x)), "split")
    places = host_integers(indices_or_sections, "split", "indices_or_sections")
    if not places.ndim and (int(places) <= 0 or shape_of(x)[axis] % int(places)):
        raise ShapeError(
            f"split: axis {axis} of size {shape_of(x)[axis]} does not divide into {int(places)} equal parts; use array_split"
        )
    return array_split(x, places, axis)


def hsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """:func:`split` along the second axis, a vector along its only one.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.hsplit([[1, 2]], 2)[1]
    Array([[2]])
    """
    x = operand(ary, "hsplit")
    if not shape_of(x):
        raise ShapeError("hsplit needs at least one axis, got a 0-d array")
    return split(x, indices_or_sections, 1 if len(shape_of(x)) > 1 else 0)


def vsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """:func:`split` along the first of at least two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.vsplit([[1], [2]], 2)[1]
    Array([[2]])
    """
    x = operand(ary, "vsplit")
    if len(shape_of(x)) < 2:
        raise ShapeError(f"vsplit needs at least two axes, got shape {shape_of(x)}")
    return split(x, indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> list[Array]:
    """:func:`split` along the third axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.dsplit([[[1, 2]]], 2)[1]
    Array([[[2]]])
    """
    x = operand(ary, "dsplit")
    if len(shape_of(x)) < 3:
        raise ShapeError(f"dsplit needs at least three axes, got shape {shape_of(x)}")
    return split(x, indices_or_sections, 2)


def unstack(x: Any, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The sub-arrays along an axis, without that axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.unstack([[1, 2], [3, 4]], axis=1)[0]
    Array([1, 3])
    """
    value = operand(x, "unstack")
    shape = shape_of(value)
    if not shape:
        raise ShapeError("unstack needs at least one axis, got a 0-d array")
    axis = axis_number(axis, len(shape), "unstack")
    rest = shape[:axis] + shape[axis + 1 :]
    return tuple(wrap(reshape(slice_axis(value, axis, k, k + 1), rest)) for k in range(shape[axis]))


# --- inserting and deleting --------------------------------------------------------------------------------------------------------------


def append(arr: Any, values: Any, axis: int | None = None) -> Array:
    """Values after the end of an axis; without ``axis`` both are flattened.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.append([1, 2], 3)
    Array([1, 2, 3])
    """
    if axis is None:
        return concatenate([manipulation.ravel(arr), manipulation.ravel(values)])
    return concatenate([arr, values], axis)


def _selected(obj: Any, size: int, function: str) -> np.ndarray:
    """Positions named by an integer, slice, mask or integers, possibly negative."""
    if isinstance(obj, slice):
        return np.arange(size)[obj]
    found = host_integers(obj, function, "obj")
    if found.dtype.kind == "b":
        if found.shape != (size,):
            raise ShapeError(f"{function}: a mask of shape {found.shape} does not fit an axis of size {size}")
        return np.flatnonzero(found)
    return found


def _checked_positions(positions: np.ndarray, size: int, last: int, function: str) -> np.ndarray:
    wrong = (positions < -size) | (positions > last)
    if wrong.any():
        raise IndexOutOfBoundsError(
            f"{function}: index {int(positions[wrong].flat[0])} is out of bounds for an axis of size {size}"
        )
    return np.where(positions < 0, positions + size, positions)


def delete(arr: Any, obj: Any, axis: int | None = None) -> Array:
    """Elements or sub-arrays left out.

    Parameters
    ----------
    arr : array_like
        The array.
    obj : int, slice, or array_like of int or bool
        Which positions along the axis; they must be known, as they decide the shape.
    axis : int, optional
        The axis; by default the array is flattened first.

    Returns
    -------
    Array

    Raises
    ------
    IndexOutOfBoundsError
        If a position is outside the axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.delete([1, 2, 3], 1)
    Array([1, 3])
    """
    x, axis = axis_or_flat(arr, axis, "delete")
    size = shape_of(x)[axis]
    dropped = _checked_positions(_selected(obj, size, "delete").ravel(), size, size - 1, "delete")
    kept = np.delete(np.arange(size), dropped)
    return wrap(gather(x, [kept], (axis,), unique=True))


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Array:
    """Values inserted before positions of an axis.

    Parameters
    ----------
    arr : array_like
        The array.
    obj : int, slice, or array_like of int or bool
        Before which positions of ``arr``; they must be known.
    values : array_like
        What to insert, converted to the dtype of ``arr``; they may be traced.
    axis : int, optional
        The axis; by default the array is flattened first.

    Returns
    -------
    Array

    Raises
    ------
    IndexOutOfBoundsError
        If a position is outside the axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.insert([1, 2], 1, 7)
    Array([1, 7, 2])
    """
    x, axis = axis_or_flat(arr, axis, "insert")
    shape = shape_of(x)
    size, ndim = shape[axis], len(shape)
    positions = _selected(obj, size, "insert")
    single = positions.ndim == 0
    positions = _checked_positions(positions.ravel(), size, size, "insert")
    new = operand(values, "insert")
    new = reshape(new, (1,) * (ndim - len(shape_of(new))) + shape_of(new)) if len(shape_of(new)) < ndim else new
    if single:
        # With one position NumPy lays the first axis of the values along the insertion axis.
        axes = list(range(1, ndim))
        axes.insert(axis, 0)
        new = operand(manipulation.transpose(new, axes))
        places = np.full(shape_of(new)[axis], positions[0])
    else:
        places = positions
    rest = (*shape[:axis], len(places), *shape[axis + 1 :])
    new = broadcast_to(convert(new, dtype_of(x)), rest)
    joined = slicing.concatenate([x, new], axis)
    order = np.argsort(np.concatenate([np.arange(size) + 0.5, places.astype(float)]), kind="stable")
    return wrap(gather(joined, [order], (axis,), unique=True))
