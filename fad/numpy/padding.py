"""``pad``: arrays grown at their ends, in all of NumPy's modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, is_inexact, shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy.conversion import host_integers, operand
from fad.primitives import arithmetic, slicing
from fad.primitives.indexing import gather
from fad.primitives.reduction import reduce_max, reduce_min
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import broadcast_to, convert, keepdims_shape, reduce_sum, reshape

__all__ = ["pad"]

_STATISTICS = ("maximum", "mean", "median", "minimum")
_KEYWORDS = {
    "constant": {"constant_values"},
    "linear_ramp": {"end_values"},
    "reflect": {"reflect_type"},
    "symmetric": {"reflect_type"},
    **dict.fromkeys(_STATISTICS, {"stat_length"}),
}
_MODES = ("constant", "edge", "empty", "linear_ramp", "reflect", "symmetric", "wrap", *_STATISTICS)


def pad(array: Any, pad_width: Any, mode: Any = "constant", **kwargs: Any) -> Array:
    """The array with elements added before and after along its axes.

    Parameters
    ----------
    array : array_like
        The array.
    pad_width : int, pair, sequence of pairs or dict
        How many elements before and after, for all axes or for each; a dict gives them by axis.
    mode : str or callable
        ``'constant'``, ``'edge'``, ``'linear_ramp'``, ``'maximum'``, ``'mean'``, ``'minimum'``, ``'reflect'``, ``'symmetric'``, ``'wrap'``
        or ``'empty'`` (zeros here).
    **kwargs
        ``constant_values``, ``end_values``, ``stat_length`` or ``reflect_type``, as the mode allows.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If the mode does not exist, or does not take a keyword.
    ShapeError
        If widths are negative or do not fit the axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.pad([1, 2, 3], (1, 2), mode="reflect")
    Array([2, 1, 2, 3, 2, 1])
    """
    x = operand(array, "pad")
    x = convert(x, dtype_of(x))
    if callable(mode) or mode not in _MODES or mode == "median":
        raise ArgumentError(
            f"pad: mode {mode!r} is not supported; it must be one of {', '.join(m for m in _MODES if m != 'median')}"
        )
    unknown = sorted(kwargs.keys() - _KEYWORDS.get(mode, set()))
    if unknown:
        raise ArgumentError(f"pad: mode {mode!r} does not take {', '.join(unknown)}")
    widths = _widths(pad_width, len(shape_of(x)))
    if mode in ("constant", "empty"):
        return wrap(_constant(x, widths, kwargs.get("constant_values", 0)))
    one_axis = _axis_padder(mode, kwargs, len(widths))
    for axis, (low, high) in enumerate(widths):
        if low or high:
            x = one_axis(x, axis, low, high)
    return wrap(x)


def _widths(pad_width: Any, ndim: int) -> list[tuple[int, int]]:
    if isinstance(pad_width, dict):
        by_axis = {int(k) % ndim if ndim else 0: v for k, v in pad_width.items()}
        pad_width = [by_axis.get(axis, 0) for axis in range(ndim)]
        pad_width = [(w, w) if np.ndim(w) == 0 else tuple(w) for w in pad_width]
    given = host_integers(pad_width, "pad", "pad_width")
    if (given < 0).any():
        raise ShapeError(f"pad: widths must not be negative, got {given.tolist()}")
    try:
        return [(int(a), int(b)) for a, b in np.broadcast_to(given, (ndim, 2))]
    except ValueError:
        raise ShapeError(
            f"pad: pad_width of shape {given.shape} does not fit {ndim} axes; give (before, after) for each"
        ) from None


def _pairs(values: Any, ndim: int, function: str) -> list[tuple[Any, Any]]:
    """(before, after) for each axis of values that may be traced."""
    found = operand(values, function)
    found = convert(found, dtype_of(found))
    spread = broadcast_to(found, (ndim, 2))
    cells = [
        [reshape(slice_axis(slice_axis(spread, 0, i, i + 1), 1, j, j + 1), ()) for j in (0, 1)] for i in range(ndim)
    ]
    return [(a, b) for a, b in cells]


def _constant(x: Any, widths: list[tuple[int, int]], values: Any) -> Any:
    if type(values) in (int, float) and values == 0:
        return slicing.pad(x, tuple((low, high, 0) for low, high in widths))
    for axis, ((low, high), ends) in enumerate(zip(widths, _pairs(values, len(widths), "pad"), strict=True)):
        x = _with_ends(x, axis, low, high, *ends)
    return x


def _with_ends(x: Any, axis: int, low: int, high: int, before: Any, after: Any) -> Any:
    """Constant elements at both ends of one axis."""
    shape = shape_of(x)
    parts = []
    for width, value in ((low, before), (high, after)):
        parts.append(
            broadcast_to(convert(value, dtype_of(x)), (*shape[:axis], width, *shape[axis + 1 :])) if width else None
        )
    return slicing.concatenate([p for p in (parts[0], x, parts[1]) if p is not None], axis)


def _axis_padder(mode: str, kwargs: dict[str, Any], ndim: int) -> Callable[..., Any]:
    if mode == "linear_ramp":
        ends = _pairs(kwargs.get("end_values", 0), ndim, "pad")
        return lambda x, axis, low, high: _ramp(x, axis, low, high, *ends[axis])
    if mode in _STATISTICS:
        lengths = kwargs.get("stat_length")
        pairs = None if lengths is None else np.broadcast_to(host_integers(lengths, "pad", "stat_length"), (ndim, 2))
        return lambda x, axis, low, high: _statistic(x, axis, low, high, mode, None if pairs is None else pairs[axis])
    odd = kwargs.get("reflect_type", "even") == "odd"
    if odd:
        return lambda x, axis, low, high: _odd_reflection(x, axis, low, high, mode)
    return lambda x, axis, low, high: _gathered(x, axis, low, high, mode)


def _gathered(x: Any, axis: int, low: int, high: int, mode: str) -> Any:
    """Modes that only copy elements: one gather with the positions that NumPy's own pad gives."""
    size = shape_of(x)[axis]
    if not size:
        raise ShapeError(f"pad: an axis of size 0 has no element to repeat in mode {mode!r}")
    positions = np.pad(np.arange(size), (low, high), mode=mode)  # type: ignore[call-overload]
    return gather(x, [positions], (axis,))


def _odd_reflection(x: Any, axis: int, low: int, high: int, mode: str) -> Any:
    """Reflections through the end points: 2 * edge - reflected, several times where the axis is short."""
    while low or high:
        size = shape_of(x)[axis]
        most = size - 1 if mode == "reflect" else size
        if most == 0:
            return _gathered(x, axis, low, high, "edge")
        first, last = min(low, most), min(high, most)
        inner = _gathered(x, axis, first, last, mode)
        total = shape_of(inner)[axis]
        start, end = slice_axis(x, axis, 0, 1), slice_axis(x, axis, size - 1, size)
        before = 2 * start - slice_axis(inner, axis, 0, first)
        after = 2 * end - slice_axis(inner, axis, total - last, total)
        x = slicing.concatenate([p for p, n in ((before, first), (x, 1), (after, last)) if n], axis)
        low, high = low - first, high - last
    return x


def _ramp(x: Any, axis: int, low: int, high: int, before: Any, after: Any) -> Any:
    """A straight line from the edge to the end value."""
    shape, dtype = shape_of(x), dtype_of(x)

    def line(edge: Any, end: Any, share: np.ndarray) -> Any:
        weights = share.reshape((len(share),) + (1,) * (len(shape) - axis - 1))
        values = end * weights + edge * (1 - weights)
        return convert(values if is_inexact(dtype) else arithmetic.trunc.bind(values), dtype)

    size = shape[axis]
    start, stop = slice_axis(x, axis, 0, 1), slice_axis(x, axis, size - 1, size)
    parts = [x]
    if low:
        parts.insert(0, line(start, before, 1 - np.arange(low) / low))
    if high:
        parts.append(line(stop, after, (np.arange(high) + 1) / high))
    return slicing.concatenate(parts, axis)


def _statistic(x: Any, axis: int, low: int, high: int, mode: str, lengths: Any) -> Any:
    """The maximum, minimum or mean of the elements next to the end."""
    size, dtype = shape_of(x)[axis], dtype_of(x)
    counts = (size, size) if lengths is None else (min(int(lengths[0]), size), min(int(lengths[1]), size))

    def value(part: Any) -> Any:
        kept = keepdims_shape(shape_of(part), (axis,))
        if mode == "maximum":
            return reshape(reduce_max(part, (axis,)), kept)
        if mode == "minimum":
            return reshape(reduce_min(part, (axis,)), kept)
        total = reshape(reduce_sum(part, (axis,)), kept) / shape_of(part)[axis]
        return convert(total if is_inexact(dtype) else arithmetic.rint.bind(total), dtype)

    before, after = value(slice_axis(x, axis, 0, counts[0])), value(slice_axis(x, axis, size - counts[1], size))
    shape = shape_of(x)
    spread = [broadcast_to(v, (*shape[:axis], n, *shape[axis + 1 :])) for v, n in ((before, low), (after, high))]
    return slicing.concatenate([p for p, n in ((spread[0], low), (x, 1), (spread[1], high)) if n], axis)
