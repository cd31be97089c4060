"""Elements in another order, or repeated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, shape_of
from fad.core.errors import ShapeError
from fad.numpy.conversion import (
    axis_number,
    axis_numbers,
    axis_or_flat,
    host_integers,
    known_value,
    operand,
    shape_tuple,
)
from fad.primitives import structural
from fad.primitives.indexing import gather
from fad.primitives.slicing import concatenate, slice_axis
from fad.primitives.slicing import flip as flip_axes
from fad.primitives.structural import permute

__all__ = ["flip", "fliplr", "flipud", "repeat", "resize", "roll", "rot90", "tile", "trim_zeros"]


def flip(m: Any, axis: Any = None) -> Array:
    """The elements in reverse order along axes, all of them by default.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.flip([1, 2, 3])
    Array([3, 2, 1])
    """
    x = operand(m, "flip")
    return wrap(flip_axes(x, axis_numbers(axis, len(shape_of(x)), "flip")))


def fliplr(m: Any) -> Array:
    """The order of the columns reversed.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fliplr([[1, 2]])
    Array([[2, 1]])
    """
    x = operand(m, "fliplr")
    if len(shape_of(x)) < 2:
        raise ShapeError(f"fliplr needs at least two axes, got shape {shape_of(x)}")
    return wrap(flip_axes(x, (1,)))


def flipud(m: Any) -> Array:
    """The order of the rows reversed.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.flipud([1, 2])
    Array([2, 1])
    """
    x = operand(m, "flipud")
    if not shape_of(x):
        raise ShapeError("flipud needs at least one axis, got a 0-d array")
    return wrap(flip_axes(x, (0,)))


def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Array:
    """Rotated by ``k`` quarter turns in the plane of two axes, from the first towards the second.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.rot90([[1, 2], [3, 4]])
    Array([[2, 4],
           [1, 3]])
    """
    x = operand(m, "rot90")
    first, second = axis_numbers(tuple(axes), len(shape_of(x)), "rot90")
    k = int(k) % 4
    order = list(range(len(shape_of(x))))
    order[first], order[second] = second, first
    if k == 1:
        x = permute(flip_axes(x, (second,)), tuple(order))
    elif k == 2:
        x = flip_axes(x, (first, second))
    elif k == 3:
        x = flip_axes(permute(x, tuple(order)), (second,))
    return wrap(x)


def roll(a: Any, shift: Any, axis: Any = None) -> Array:
    """Elements moved along axes; what leaves at the end comes back at the start.

    Parameters
    ----------
    a : array_like
        The array.
    shift : int or tuple of int
        By how many places; one for each axis or one for all.
    axis : int or tuple of int, optional
        Which axes; by default the array is rolled as one flat sequence.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.roll([1, 2, 3], 1)
    Array([3, 1, 2])
    """
    x = operand(a, "roll")
    shape = shape_of(x)
    if axis is None:
        flat = structural.reshape(x, (math.prod(shape),))
        for step in host_integers(shift, "roll", "shift").ravel().tolist():
            flat = _rolled(flat, 0, step)
        return wrap(structural.reshape(flat, shape))
    # An axis may be named several times: its shifts add up.
    axes = [axis_number(n, len(shape), "roll") for n in (axis if isinstance(axis, tuple | list) else (axis,))]
    shifts = host_integers(shift, "roll", "shift").ravel()
    if len(shifts) not in (1, len(axes)) and len(axes) != 1:
        raise ShapeError(f"roll: {len(shifts)} shifts but {len(axes)} axes")
    count = max(len(shifts), len(axes))
    for n, step in zip(
        axes * (count if len(axes) == 1 else 1), np.broadcast_to(shifts, (count,)).tolist(), strict=True
    ):
        x = _rolled(x, n, step)
    return wrap(x)


def _rolled(x: Any, axis: int, shift: int) -> Any:
    size = shape_of(x)[axis]
    cut = -shift % size if size else 0
    if not cut:
        return x
    return concatenate([slice_axis(x, axis, cut, size), slice_axis(x, axis, 0, cut)], axis)


def tile(A: Any, reps: Any) -> Array:
    """The array repeated as a whole along axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.tile([1, 2], 2)
    Array([1, 2, 1, 2])
    """
    x = operand(A, "tile")
    x = structural.convert(x, dtype_of(x))
    counts = tuple(host_integers(reps, "tile", "reps").ravel().tolist())
    shape = shape_of(x)
    ndim = max(len(shape), len(counts))
    shape = (1,) * (ndim - len(shape)) + shape
    counts = (1,) * (ndim - len(counts)) + counts
    paired = structural.reshape(x, tuple(n for size in shape for n in (1, size)))
    spread = structural.broadcast_to(paired, tuple(n for pair in zip(counts, shape, strict=True) for n in pair))
    return wrap(structural.reshape(spread, tuple(c * n for c, n in zip(counts, shape, strict=True))))


def repeat(a: Any, repeats: Any, axis: int | None = None) -> Array:
    """Each element repeated along an axis.

    Parameters
    ----------
    a : array_like
        The array.
    repeats : int or array_like of int
        How often, for all elements or for each; concrete numbers, as they decide the shape.
    axis : int, optional
        The axis; by default the array is flattened first.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.repeat([1, 2], 2)
    Array([1, 1, 2, 2])
    """
    x, axis = axis_or_flat(a, axis, "repeat")
    counts = host_integers(repeats, "repeat", "repeats")
    shape = shape_of(x)
    if (counts < 0).any():
        raise ShapeError(f"repeat: repeats must not be negative, got {counts.tolist()}")
    if counts.size == 1:
        each = int(counts.ravel()[0])
        lead, rest = shape[: axis + 1], shape[axis + 1 :]
        spread = structural.broadcast_to(structural.reshape(x, (*lead, 1, *rest)), (*lead, each, *rest))
        return wrap(structural.reshape(spread, (*shape[:axis], shape[axis] * each, *rest)))
    if counts.shape != (shape[axis],):
        raise ShapeError(f"repeat: {counts.size} repeats do not fit axis {axis} of size {shape[axis]}")
    return wrap(gather(x, [np.repeat(np.arange(shape[axis]), counts)], (axis,)))


def resize(a: Any, new_shape: Any) -> Array:
    """The elements in another shape, repeated from the start where they do not suffice.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.resize([1, 2, 3], (2, 2))
    Array([[1, 2],
           [3, 1]])
    """
    x = operand(a, "resize")
    shape = shape_tuple(new_shape, "resize")
    flat = structural.reshape(x, (math.prod(shape_of(x)),))
    needed, given = math.prod(shape), shape_of(flat)[0]
    if given == 0 or needed == 0:
        return wrap(structural.full(shape, 0, dtype_of(x)))
    copies = -(-needed // given)
    flat = concatenate([flat] * copies, 0)
    return wrap(structural.reshape(slice_axis(flat, 0, 0, needed), shape))


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Array:
    """The array without the zeros at its front and back; they must be known, as they decide the shape.

    Parameters
    ----------
    filt : array_like
        The array.
    trim : {'fb', 'f', 'b'}
        Whether to trim the front, the back or both.
    axis : int or sequence of int, optional
        Along which axes; all by default.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.trim_zeros([0, 0, 1, 0, 2, 0])
    Array([1, 0, 2])
    """
    x = operand(filt, "trim_zeros")
    filled = np.nonzero(known_value(x, "trim_zeros", "filt"))
    for n in axis_numbers(tuple(axis) if isinstance(axis, list) else axis, len(shape_of(x)), "trim_zeros"):
        size = shape_of(x)[n]
        low, high = (int(filled[n].min()), int(filled[n].max()) + 1) if len(filled[n]) else (0, 0)
        if len(filled[n]):
            low, high = low if "f" in trim.lower() else 0, high if "b" in trim.lower() else size
        x = slice_axis(x, n, low, high)
    return wrap(x)
