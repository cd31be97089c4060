"""Shapes and orders of axes and elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy.conversion import axis_number, axis_numbers, operand, shape_tuple
from fad.primitives import structural
from fad.primitives.structural import permute

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "expand_dims",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "ravel",
    "reshape",
    "rollaxis",
    "squeeze",
    "swapaxes",
    "transpose",
]


def reshape(a: Any, /, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: bool | None = None) -> Array:
    """The same elements in another shape.

    Parameters
    ----------
    a : array_like
        The array.
    shape : int or tuple of int
        The new shape; one size may be -1, which follows from the others.
    order : {'C', 'F'}
        Whether the last or the first index changes fastest. ``'A'``, which asks how the array lies in memory, is taken for vectors only.
    newshape, copy : optional
        For compatibility.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If the numbers of elements differ.
    ArgumentError
        If the order depends on memory.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.reshape([1, 2, 3, 4], (2, -1))
    Array([[1, 2],
           [3, 4]])
    """
    x = operand(a, "reshape")
    target = _resolved_shape(shape_of(x), newshape if shape is None else shape)
    if order == "F":
        reversed_axes = permute(x, tuple(reversed(range(len(shape_of(x))))))
        return wrap(permute(structural.reshape(reversed_axes, target[::-1]), tuple(reversed(range(len(target))))))
    _check_order("reshape", order, len(shape_of(x)))
    return wrap(structural.reshape(x, target))


def _check_order(function: str, order: Any, axes: int) -> None:
    if order not in ("C", "A", "K", None):
        raise ArgumentError(f"{function}: order must be 'C', 'F', 'A' or 'K', got {order!r}")
    if order in ("A", "K") and axes > 1:
        raise ArgumentError(
            f"{function}: order={order!r} asks how the array lies in memory, which fad's arrays do not tell; say 'C' (rows first) or 'F' (columns first)"
        )


def _resolved_shape(old: tuple[int, ...], new: Any) -> tuple[int, ...]:
    """The target of a reshape, its -1 replaced."""
    if type(new) is int:
        new = (new,)
    try:
        sizes = tuple(
            int(n.__index__()) for n in (new if isinstance(new, tuple | list) else np.atleast_1d(np.asarray(new)))
        )
    except (AttributeError, TypeError):
        raise ArgumentError(
            f"reshape: the shape must be an int or a tuple of ints known when the function runs, got {new!r}. "
            "Under jit, make it a static argument (static_argnums)."
        ) from None
    if -1 in sizes:
        known = math.prod(n for n in sizes if n != -1)
        total = math.prod(old)
        if sizes.count(-1) > 1 or known == 0 or total % known:
            raise ShapeError(f"cannot reshape an array of shape {old} ({total} elements) into {sizes}")
        sizes = tuple(total // known if n == -1 else n for n in sizes)
    if math.prod(sizes) != math.prod(old) or any(n < 0 for n in sizes):
        raise ShapeError(f"cannot reshape an array of shape {old} ({math.prod(old)} elements) into {sizes}")
    return sizes


def ravel(a: Any, order: str = "C") -> Array:
    """All elements along one axis.

    Parameters
    ----------
    a : array_like
        The array.
    order : {'C', 'F'}
        Whether the last or the first index changes fastest. ``'A'`` and ``'K'``, which ask how the array lies in memory, are taken for vectors only.

    Returns
    -------
    Array
        Of shape ``(a.size,)``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.ravel([[1, 2], [3, 4]], order="F")
    Array([1, 3, 2, 4])
    """
    x = operand(a, "ravel")
    return reshape(structural.convert(x, dtype_of(x)), (math.prod(shape_of(x)),), order)


def transpose(a: Any, axes: Any = None) -> Array:
    """Axes permuted.

    Parameters
    ----------
    a : array_like
        The array.
    axes : sequence of int, optional
        Which axis of ``a`` comes at each place; reversed by default.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.transpose([[1, 2, 3]]).shape
    (3, 1)
    """
    x = operand(a, "transpose")
    ndim = len(shape_of(x))
    if axes is None:
        return wrap(permute(x, tuple(range(ndim - 1, -1, -1))))
    order = axis_numbers(tuple(axes), ndim, "transpose")
    if len(order) != ndim:
        raise ShapeError(
            f"transpose: axes {tuple(axes)} do not name each of the {ndim} axes of an array of shape {shape_of(x)}"
        )
    return wrap(permute(x, order))


def permute_dims(a: Any, /, axes: Any) -> Array:
    """Axes permuted: the array API's name of :func:`transpose`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.permute_dims([[1, 2, 3]], (1, 0)).shape
    (3, 1)
    """
    return transpose(a, axes)


def matrix_transpose(x: Any, /) -> Array:
    """The last two axes exchanged.

    Parameters
    ----------
    x : array_like
        Matrices of shape ``(..., m, n)``.

    Returns
    -------
    Array
        Of shape ``(..., n, m)``.

    Raises
    ------
    ShapeError
        If there are fewer than two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.matrix_transpose([[1, 2, 3]]).shape
    (3, 1)
    """
    found = operand(x, "matrix_transpose")
    ndim = len(shape_of(found))
    if ndim < 2:
        raise ShapeError(f"matrix_transpose (x.mT) needs at least two axes, got shape {shape_of(found)}")
    return wrap(permute(found, (*range(ndim - 2), ndim - 1, ndim - 2)))


def moveaxis(a: Any, source: Any, destination: Any) -> Array:
    """Axes moved to new places, the others in their order.

    Parameters
    ----------
    a : array_like
        The array.
    source, destination : int or sequence of int
        Where the axes are and where they go.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.moveaxis(fnp.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    x = operand(a, "moveaxis")
    ndim = len(shape_of(x))
    sources = axis_numbers(source, ndim, "moveaxis")
    targets = axis_numbers(destination, ndim, "moveaxis")
    if len(sources) != len(targets):
        raise ShapeError(f"moveaxis: {len(sources)} source axes but {len(targets)} destinations")
    order = [n for n in range(ndim) if n not in sources]
    for target, taken in sorted(zip(targets, sources, strict=True)):
        order.insert(target, taken)
    return wrap(permute(x, tuple(order)))


def rollaxis(a: Any, axis: int, start: int = 0) -> Array:
    """One axis moved before the position ``start``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.rollaxis(fnp.zeros((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    x = operand(a, "rollaxis")
    ndim = len(shape_of(x))
    axis = axis_number(axis, ndim, "rollaxis")
    start = start + ndim if start < 0 else start
    if not 0 <= start <= ndim:
        raise ShapeError(f"rollaxis: start {start} is out of bounds for an array with {ndim} axes")
    return wrap(structural.move_axis(x, axis, start - 1 if axis < start else start))


def swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    """Two axes exchanged.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.swapaxes(fnp.zeros((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    x = operand(a, "swapaxes")
    ndim = len(shape_of(x))
    first, second = axis_number(axis1, ndim, "swapaxes"), axis_number(axis2, ndim, "swapaxes")
    order = list(range(ndim))
    order[first], order[second] = second, first
    return wrap(permute(x, tuple(order)))


def squeeze(a: Any, axis: Any = None) -> Array:
    """Axes of size 1 removed.

    Parameters
    ----------
    a : array_like
        The array.
    axis : int or tuple of int, optional
        Which axes; all of size 1 by default.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If a named axis has another size.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.squeeze([[[1], [2]]]).shape
    (2,)
    """
    x = operand(a, "squeeze")
    shape = shape_of(x)
    axes = (
        tuple(i for i, n in enumerate(shape) if n == 1) if axis is None else axis_numbers(axis, len(shape), "squeeze")
    )
    for i in axes:
        if shape[i] != 1:
            raise ShapeError(f"squeeze: axis {i} of an array of shape {shape} has size {shape[i]}, not 1")
    return wrap(structural.reshape(x, tuple(n for i, n in enumerate(shape) if i not in axes)))


def expand_dims(a: Any, axis: Any) -> Array:
    """New axes of size 1 at the given places of the result.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.expand_dims([1, 2], (0, 2)).shape
    (1, 2, 1)
    """
    x = operand(a, "expand_dims")
    count = len(axis) if isinstance(axis, tuple | list) else 1
    ndim = len(shape_of(x)) + count
    places = axis_numbers(axis, ndim, "expand_dims")
    sizes = iter(shape_of(x))
    return wrap(structural.reshape(x, tuple(1 if i in places else next(sizes) for i in range(ndim))))


def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Array:
    """The array repeated along new axes and axes of size 1.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.broadcast_to([1, 2], (2, 2))
    Array([[1, 2],
           [1, 2]])
    """
    x = operand(array, "broadcast_to")
    return wrap(structural.broadcast_to(structural.convert(x, dtype_of(x)), shape_tuple(shape, "broadcast_to")))


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The common shape of several shapes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.broadcast_shapes((2, 1), (3,))
    (2, 3)
    """
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"shapes {', '.join(map(str, shapes))} do not broadcast: sizes must be equal or 1, from the right"
        ) from None


def broadcast_arrays(*args: Any, subok: bool = False) -> tuple[Array, ...]:
    """Arrays broadcast against each other.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.broadcast_arrays([1, 2], 3)[1]
    Array([3, 3])
    """
    found = [operand(a, "broadcast_arrays") for a in args]
    shape = broadcast_shapes(*[shape_of(f) for f in found])
    return tuple(broadcast_to(f, shape) for f in found)


def _at_least(function: str, arrays: Sequence[Any], expand: Any) -> Any:
    results = []
    for a in arrays:
        x = operand(a, function)
        x = structural.convert(x, dtype_of(x))
        results.append(wrap(structural.reshape(x, expand(shape_of(x)))))
    return results[0] if len(results) == 1 else tuple(results)


def atleast_1d(*arys: Any) -> Any:
    """Arrays with at least one axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.atleast_1d(3.0)
    Array([3.])
    """
    return _at_least("atleast_1d", arys, lambda shape: shape or (1,))


def atleast_2d(*arys: Any) -> Any:
    """Arrays with at least two axes; new ones come first.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.atleast_2d([1, 2]).shape
    (1, 2)
    """
    return _at_least("atleast_2d", arys, lambda shape: (1,) * (2 - len(shape)) + shape)


def atleast_3d(*arys: Any) -> Any:
    """Arrays with at least three axes: a vector becomes ``(1, n, 1)``, a matrix ``(m, n, 1)``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.atleast_3d([1, 2]).shape
    (1, 2, 1)
    """
    padded = {0: lambda s: (1, 1, 1), 1: lambda s: (1, s[0], 1), 2: lambda s: (*s, 1)}
    return _at_least("atleast_3d", arys, lambda shape: padded.get(len(shape), lambda s: s)(shape))
