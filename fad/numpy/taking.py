"""Functions that read and place elements by index, windows and segments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_name, dtype_of, result_dtype, shape_of, weak_operand
from fad.core.config import config
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.numpy.conversion import axis_number, axis_or_flat, host_integers, operand, refuse_out, shape_tuple
from fad.numpy.elementwise import known_value
from fad.numpy.indexing import check_staged, concrete_mask
from fad.numpy.updates import fitted
from fad.primitives import windows
from fad.primitives.arithmetic import maximum, minimum, remainder
from fad.primitives.indexing import along_axis, gather
from fad.primitives.scattering import scatter, segment_reduce
from fad.primitives.slicing import concatenate
from fad.primitives.structural import broadcast_to, convert, iota, reshape

__all__ = [
    "choose",
    "compress",
    "dynamic_slice",
    "dynamic_update_slice",
    "extract",
    "put_along_axis",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "take",
    "take_along_axis",
]


def integer_operand(value: Any, function: str, argument: str) -> Any:
    """An operand of integers; an empty list has no dtype of its own and will do."""
    found = operand(value, function)
    kind = dtype_of(found).kind
    if kind == "b" or (0 in shape_of(found) and isinstance(value, list | tuple)):
        return convert(found, np.dtype(np.int64))
    if kind not in "iu":
        raise DTypeError(
            f"{function}: {argument} must be integers, got {dtype_name(dtype_of(found))}; convert with x.astype(int)"
        )
    return found


def bounded_index(index: Any, size: int, mode: str | None, function: str) -> tuple[Any, str]:
    """An index brought into its axis as the mode asks, and the mode that remains for ``gather``."""
    mode = config.out_of_bounds if mode is None else mode
    if mode in ("raise", "drop"):
        return index, mode
    if mode == "fill":
        return index, "drop"
    if dtype_of(index).itemsize < 8:
        index = convert(index, np.dtype(np.int64))  # the size may be more than a narrow dtype holds
    if mode == "clip":
        return minimum.bind(maximum.bind(index, 0), max(size - 1, 0)), "raise"
    if mode == "wrap":
        return remainder.bind(index, max(size, 1)), "raise"
    raise ArgumentError(f"{function}: mode must be 'raise', 'wrap', 'clip' or 'drop', got {mode!r}")


def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: str | None = None) -> Array:
    """Elements at indices along an axis.

    Parameters
    ----------
    a : array_like
        The elements.
    indices : array_like of int
        Which to take; may be traced.
    axis : int or None
        The axis; by default the elements count in one dimension, in C order.
    out : None
        Refused: arrays are immutable.
    mode : {'raise', 'wrap', 'clip', 'drop'}, optional
        What an index out of bounds does: raise, count modulo the size, clip to the range (negative indices to 0, as in NumPy), or
        read 0. By default ``fad.config.out_of_bounds``.

    Returns
    -------
    Array
        The axis is replaced by the axes of the indices.

    Raises
    ------
    IndexOutOfBoundsError
        If an index is out of bounds and the mode is "raise".
    DTypeError
        If the indices are not integers.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.take([10.0, 20.0, 30.0], [2, 0, 0])
    Array([30., 10., 10.])
    """
    refuse_out("take", out)
    x, number = axis_or_flat(a, axis, "take")
    index = integer_operand(indices, "take", "indices")
    index, mode = bounded_index(index, shape_of(x)[number], mode, "take")
    if mode == "raise":
        check_staged(shape_of(x), (number,), [index])
    return wrap(gather(x, [index], (number,), mode))


def _along(function: str, arr: Any, indices: Any, axis: Any) -> tuple[Any, Any, int]:
    x = operand(arr, function)
    index = integer_operand(indices, function, "indices")
    if axis is None:
        return reshape(x, (math.prod(shape_of(x)),)), index, 0
    if len(shape_of(index)) != len(shape_of(x)):
        raise ShapeError(
            f"{function}: indices of shape {shape_of(index)} and an array of shape {shape_of(x)} must have the same number of axes"
        )
    return x, index, axis_number(axis, len(shape_of(x)), function)


def take_along_axis(arr: Any, indices: Any, axis: Any = -1, mode: str | None = None) -> Array:
    """Elements picked along an axis by an index array that matches the other axes, as :func:`argsort` and its kin give it.

    Parameters
    ----------
    arr : array_like
        The elements.
    indices : array_like of int
        One index for each result; its other axes broadcast against those of ``arr``.
    axis : int or None
        The axis; ``None`` takes the elements in one dimension.
    mode : str, optional
        As in :func:`take`.

    Returns
    -------
    Array
        Of the shape of ``indices``, broadcast.

    Raises
    ------
    ShapeError
        If the numbers of axes differ.
    IndexOutOfBoundsError
        If an index is out of bounds.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> x = fnp.array([[3.0, 1.0], [2.0, 5.0]])
    >>> fnp.take_along_axis(x, fnp.argsort(x, axis=1), axis=1)
    Array([[1., 3.],
           [2., 5.]])
    """
    x, index, number = _along("take_along_axis", arr, indices, axis)
    index, mode = bounded_index(index, shape_of(x)[number], mode, "take_along_axis")
    axes = tuple(range(len(shape_of(x))))
    places = along_axis(index, number, shape_of(x))
    if mode == "raise":
        check_staged(shape_of(x), axes, places)
    return wrap(gather(x, places, axes, mode))


def put_along_axis(arr: Any, indices: Any, values: Any, axis: Any, mode: str | None = None) -> Array:
    """The array with values placed along an axis; what NumPy's function writes in place, as a new array.

    Parameters
    ----------
    arr, indices, axis, mode
        As in :func:`take_along_axis`.
    values : array_like
        What to place, broadcast to the shape of ``indices``.

    Returns
    -------
    Array
        ``arr`` with the values in place; of several for one element the last stays.

    Raises
    ------
    ShapeError
        If the numbers of axes differ.
    IndexOutOfBoundsError
        If an index is out of bounds.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.put_along_axis(fnp.zeros((2, 3)), [[1], [2]], 5.0, axis=1)
    Array([[0., 5., 0.],
           [0., 0., 5.]])
    """
    original = shape_of(operand(arr, "put_along_axis"))
    x, index, number = _along("put_along_axis", arr, indices, axis)
    index, mode = bounded_index(index, shape_of(x)[number], mode, "put_along_axis")
    places = along_axis(index, number, shape_of(x))
    shape = np.broadcast_shapes(*[shape_of(p) for p in places])
    filled = fitted("put_along_axis", operand(values, "put_along_axis"), shape, dtype_of(x))
    out = scatter("set", x, filled, places, tuple(range(len(shape_of(x)))), mode)
    return wrap(reshape(out, original))


def choose(a: Any, choices: Any, out: Any = None, mode: str | None = None) -> Array:
    """Elementwise one of several arrays, by number.

    Parameters
    ----------
    a : array_like of int
        The number of the choice.
    choices : sequence of array_like
        The arrays, broadcast against each other and ``a``.
    out, mode
        As in :func:`take`.

    Returns
    -------
    Array
        The chosen elements.

    Raises
    ------
    IndexOutOfBoundsError
        If there is no choice of that number.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.choose([0, 1, 0], [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    Array([ 1., 20.,  3.])
    """
    refuse_out("choose", out)
    index = integer_operand(a, "choose", "the numbers of the choices")
    parts = [operand(c, "choose") for c in choices]
    if not parts:
        raise ArgumentError("choose needs at least one choice")
    shape = np.broadcast_shapes(shape_of(index), *[shape_of(p) for p in parts])
    dtype = result_dtype(*[weak_operand(p) for p in parts])
    rows = [reshape(broadcast_to(convert(p, dtype), shape), (1, *shape)) for p in parts]
    index, mode = bounded_index(index, len(parts), mode, "choose")
    places = [reshape(broadcast_to(index, shape), (1, *shape))]
    places += [reshape(iota(n), (1,) * (k + 1) + (n,) + (1,) * (len(shape) - k - 1)) for k, n in enumerate(shape)]
    picked = gather(concatenate(rows, 0), places, tuple(range(len(shape) + 1)), mode)
    return wrap(reshape(picked, shape))


# --- selection by masks: the shape depends on values -------------------------------------------------------------------------------------


def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Array:
    """Slices along an axis where a condition holds; the condition must be known when the function runs.

    Parameters
    ----------
    condition : array_like of bool
        One-dimensional, at most as long as the axis.
    a : array_like
        The elements.
    axis : int or None
        The axis; by default the elements count in one dimension.
    out : None
        Refused: arrays are immutable.

    Returns
    -------
    Array
        The selected slices.

    Raises
    ------
    ShapeError
        If the condition is not one-dimensional.
    ConcretizationError
        If the condition is traced by ``jit`` or ``vmap``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.compress([True, False, True], [1.0, 2.0, 3.0])
    Array([1., 3.])
    """
    refuse_out("compress", out)
    mask = concrete_mask(operand(condition, "compress"), "compress")
    if mask.ndim != 1:
        raise ShapeError(f"compress: the condition must have one axis, got shape {mask.shape}")
    return take(a, np.flatnonzero(mask), axis, mode="raise")


def extract(condition: Any, arr: Any) -> Array:
    """The elements where a condition of the same size holds, in one dimension.

    Parameters and errors are those of :func:`compress`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> x = fnp.array([[1.0, -2.0], [3.0, -4.0]])
    >>> fnp.extract(x > 0, x)
    Array([1., 3.])
    """
    mask = concrete_mask(operand(condition, "extract"), "extract")
    return take(arr, np.flatnonzero(mask), mode="raise")


# --- windows and segments ----------------------------------------------------------------------------------------------------------------


def _starts(function: str, starts: Any, ndim: int) -> list[Any]:
    if not isinstance(starts, list | tuple):
        found = operand(starts, function)
        starts = [found] if not shape_of(found) else [wrap(found)[k] for k in range(shape_of(found)[0])]
    if len(starts) != ndim:
        raise ShapeError(f"{function}: {len(starts)} starts for an array with {ndim} axes; give one for each")
    return [integer_operand(s, function, "starts") for s in starts]


operand_of = operand  # dynamic_slice has a parameter of that name, as its users know it


def _window_mode() -> str:
    return "raise" if config.out_of_bounds == "raise" else "clip"


def dynamic_slice(operand: Any, start_indices: Any, slice_sizes: Any) -> Array:
    """A window of fixed sizes at starts that may be traced.

    Parameters
    ----------
    operand : array_like
        The array.
    start_indices : sequence of int
        The first element of the window along each axis; negative ones count from the end.
    slice_sizes : sequence of int
        The sizes of the window, known when the function runs.

    Returns
    -------
    Array
        The window.

    Raises
    ------
    IndexOutOfBoundsError
        If the window is not inside the array; with ``fad.config.out_of_bounds`` other than "raise" it is moved inside.
    ShapeError
        If the window is larger than the array.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> x = fnp.arange(5.0)
    >>> fad.jit(lambda x, i: fnp.dynamic_slice(x, (i,), (2,)))(x, 3)
    Array([3., 4.])
    """
    x = operand_of(operand, "dynamic_slice")
    starts = _starts("dynamic_slice", start_indices, len(shape_of(x)))
    return wrap(windows.dynamic_slice(x, starts, shape_tuple(slice_sizes, "dynamic_slice"), _window_mode()))


def dynamic_update_slice(operand: Any, update: Any, start_indices: Any) -> Array:
    """The array with a window of it replaced, at starts that may be traced.

    Parameters
    ----------
    operand : array_like
        The array.
    update : array_like
        The new values, with as many axes as the array.
    start_indices : sequence of int
        As in :func:`dynamic_slice`.

    Returns
    -------
    Array
        The array with the window replaced.

    Raises
    ------
    IndexOutOfBoundsError, ShapeError
        As :func:`dynamic_slice`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.dynamic_update_slice(fnp.zeros(4), [1.0, 2.0], (1,))
    Array([0., 1., 2., 0.])
    """
    x = operand_of(operand, "dynamic_update_slice")
    values = operand_of(update, "dynamic_update_slice")
    starts = _starts("dynamic_update_slice", start_indices, len(shape_of(x)))
    values = fitted("dynamic_update_slice", values, shape_of(values), dtype_of(x))
    return wrap(windows.dynamic_update_slice(x, values, starts, _window_mode()))


def _segments(function: str, op: str, data: Any, segment_ids: Any, num_segments: Any) -> Any:
    x = operand(data, function)
    segments = integer_operand(segment_ids, function, "segment_ids")
    if shape_of(segments) != shape_of(x)[: len(shape_of(segments))] or not shape_of(segments):
        raise ShapeError(
            f"{function}: segment_ids of shape {shape_of(segments)} must have the leading axes of the data, shape {shape_of(x)}"
        )
    if num_segments is None:
        known = known_value(segments, function, "segment_ids (or pass num_segments)")
        num_segments = int(known.max()) + 1 if known.size else 0
    count = int(host_integers(num_segments, function, "num_segments"))
    return wrap(segment_reduce(op, x, segments, count, config.out_of_bounds))


def segment_sum(data: Any, segment_ids: Any, num_segments: int | None = None) -> Array:
    """Sums of the rows that share a segment number.

    Parameters
    ----------
    data : array_like
        The rows.
    segment_ids : array_like of int
        The segment of each row, in any order.
    num_segments : int, optional
        How many segments there are; needed under ``jit`` and ``vmap``, else the largest number plus one.

    Returns
    -------
    Array
        One row for each segment, zeros for a segment without rows.

    Raises
    ------
    IndexOutOfBoundsError
        If a segment number is not below ``num_segments``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.segment_sum([1.0, 2.0, 3.0], [0, 2, 0], 3)
    Array([4., 0., 2.])
    """
    return _segments("segment_sum", "add", data, segment_ids, num_segments)


def segment_prod(data: Any, segment_ids: Any, num_segments: int | None = None) -> Array:
    """Products of the rows that share a segment number; ones for a segment without rows.

    Parameters and errors are those of :func:`segment_sum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.segment_prod([2.0, 5.0, 3.0], [0, 2, 0], 3)
    Array([6., 1., 5.])
    """
    return _segments("segment_prod", "mul", data, segment_ids, num_segments)


def segment_max(data: Any, segment_ids: Any, num_segments: int | None = None) -> Array:
    """Largest elements of the rows that share a segment number; the lowest value of the dtype for a segment without rows.

    Parameters and errors are those of :func:`segment_sum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.segment_max([2.0, 5.0, 3.0], [0, 1, 0])
    Array([3., 5.])
    """
    return _segments("segment_max", "max", data, segment_ids, num_segments)


def segment_min(data: Any, segment_ids: Any, num_segments: int | None = None) -> Array:
    """Smallest elements of the rows that share a segment number; the highest value of the dtype for a segment without rows.

    Parameters and errors are those of :func:`segment_sum`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.segment_min([2.0, 5.0, 3.0], [0, 1, 0])
    Array([2., 5.])
    """
    return _segments("segment_min", "min", data, segment_ids, num_segments)
