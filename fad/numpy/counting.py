"""Counts: of integers, and of values in bins. Weights carry derivatives, counts do not."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, inexact_dtype, shape_of
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.core.trace import concrete_value
from fad.numpy.conversion import host_integers, operand, promoted
from fad.numpy.elementwise import known_value
from fad.numpy.taking import integer_operand
from fad.primitives import sorting
from fad.primitives.arithmetic import equal, greater_equal, less, less_equal, logical_and, minimum, multiply, select
from fad.primitives.indexing import gather_transpose, signed
from fad.primitives.reduction import reduce_max, reduce_min
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import convert, full, iota, reduce_sum, reshape

__all__ = ["bincount", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]


def _flat(x: Any) -> Any:
    return reshape(x, (math.prod(shape_of(x)),))


def bincount(x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Array:
    """How often each of 0, 1, 2, ... occurs, or the sum of the weights where it occurs.

    Parameters
    ----------
    x : array_like of int
        Numbers that are not negative, one-dimensional.
    weights : array_like, optional
        What each occurrence counts; differentiable.
    minlength : int
        The least length of the result.
    length : int, optional
        The length of the result, which otherwise depends on the largest number; needed under ``jit`` and ``vmap``. Larger numbers are
        left out.

    Returns
    -------
    Array
        Counts (int64), or sums of weights.

    Raises
    ------
    ShapeError
        If ``x`` is not one-dimensional, or the weights have another shape.
    ArgumentError, IndexOutOfBoundsError
        If a number is negative, and known while the function runs, or under ``jit`` and ``vmap``.
    ConcretizationError
        If the numbers are traced and there is no ``length``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.bincount([0, 2, 2])
    Array([1, 0, 2])
    >>> fnp.bincount([0, 2, 2], weights=[0.5, 1.0, 2.0])
    Array([0.5, 0. , 3. ])
    """
    numbers = integer_operand(x, "bincount", "the numbers")
    if len(shape_of(numbers)) != 1:
        raise ShapeError(f"bincount: the numbers must have one axis, got shape {shape_of(numbers)}")
    known = concrete_value(numbers)
    if known is not None and (known < 0).any():
        raise ArgumentError(f"bincount: numbers must not be negative, got {known.min()}")
    if length is None:
        known = known_value(numbers, "bincount", "the numbers (or pass length)")
        largest = int(known.max()) + 1 if known.size else 0
        length = max(largest, int(host_integers(minlength, "bincount", "minlength")))
    values = full(shape_of(numbers), 1, np.dtype(np.int64)) if weights is None else operand(weights, "bincount")
    if shape_of(values) != shape_of(numbers):
        raise ShapeError(f"bincount: weights of shape {shape_of(values)} for numbers of shape {shape_of(numbers)}")
    if weights is not None:
        values = convert(values, inexact_dtype(dtype_of(values)))
    if known is not None:
        return wrap(gather_transpose(values, [numbers], (int(length),), (0,), "drop"))
    counts = gather_transpose(values, [_bins(numbers, int(length))], (int(length) + 1,), (0,), "raise")
    return wrap(slice_axis(counts, 0, 0, int(length)))


def _bins(numbers: Any, length: int) -> Any:
    """Numbers that nobody knows yet as indices of ``length`` bins and one for larger ones; negative ones are out of bounds, not counted from the end."""
    index = minimum.bind(convert(signed(numbers), np.dtype(np.int64)), length)
    return select.bind(less.bind(index, 0), index - (length + 1), index)


# --- histograms --------------------------------------------------------------------------------------------------------------------------


def _outer_edges(x: Any, range: Any, dtype: np.dtype) -> tuple[Any, Any]:
    """The first and the last edge; values that are all equal get bins around them."""
    if range is not None:
        first, last = (operand(r, "histogram") for r in range)
        if all(type(r) in (int, float) for r in range) and not range[0] <= range[1]:
            raise ArgumentError(f"histogram: the range {range} must ascend")
    elif 0 in shape_of(x):
        first, last = 0.0, 1.0
    else:
        first, last = reduce_min(x, (0,)), reduce_max(x, (0,))
    first, last = convert(first, dtype), convert(last, dtype)
    same = equal.bind(first, last)
    half = dtype.type(0.5)
    return select.bind(same, first - half, first), select.bind(same, last + half, last)


def _edges(function: str, x: Any, bins: Any, range: Any, weights: Any = None) -> Any:
    """The edges of the bins as an operand."""
    if isinstance(bins, str):
        known = known_value(x, function, "the values")
        return np.histogram_bin_edges(known, bins, range, weights)
    given = operand(bins, function)
    if len(shape_of(given)) == 1:
        known = concrete_value(given)
        if known is not None and (known[1:] < known[:-1]).any():
            raise ArgumentError(f"{function}: the edges of the bins must ascend")
        return given
    if len(shape_of(given)) > 1:
        raise ShapeError(f"{function}: bins must be a number or one-dimensional edges, got shape {shape_of(given)}")
    count = int(host_integers(bins, function, "bins"))
    if count < 1:
        raise ArgumentError(f"{function}: the number of bins must be positive, got {count}")
    dtype = inexact_dtype(dtype_of(x))
    first, last = _outer_edges(x, range, dtype)
    steps = convert(iota(count + 1), dtype)
    # The last edge exactly: sums of rounded steps may miss it.
    inner = first + multiply.bind(steps, (last - first) / count)
    return select.bind(equal.bind(steps, count), last, inner)


def _bin_numbers(x: Any, edges: Any) -> Any:
    """The bin of each value; the last bin contains its right edge, and values outside get the number of bins."""
    x, edges = promoted("histogram", x, edges)
    count = shape_of(edges)[0] - 1
    first, last = (reshape(slice_axis(edges, 0, k, k + 1), ()) for k in (0, count))
    number = sorting.searchsorted(edges, x, "right") - 1
    number = select.bind(equal.bind(x, last), count - 1, number)
    inside = logical_and.bind(greater_equal.bind(x, first), less_equal.bind(x, last))
    return select.bind(inside, number, count)


def _weights(function: str, weights: Any, count: int) -> Any:
    if weights is None:
        return full((count,), 1, np.dtype(np.int64))
    values = operand(weights, function)
    if math.prod(shape_of(values)) != count:
        raise ShapeError(f"{function}: weights of shape {shape_of(values)} for {count} values")
    return convert(_flat(values), np.dtype(np.int64)) if dtype_of(values).kind == "b" else _flat(values)


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Array:
    """The edges that :func:`histogram` uses.

    Parameters and errors are those of :func:`histogram`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.histogram_bin_edges([0.0, 1.0, 4.0], bins=2)
    Array([0., 2., 4.])
    """
    return wrap(_edges("histogram_bin_edges", _flat(operand(a, "histogram_bin_edges")), bins, range, weights))


def histogram(
    a: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Array, Array]:
    """How many values fall into each bin.

    Parameters
    ----------
    a : array_like
        The values.
    bins : int, array_like or str
        The number of bins of one width, their edges, or the name of a rule of ``numpy.histogram_bin_edges`` (known values only).
    range : (float, float), optional
        The first and the last edge; by default the smallest and the largest value.
    density : bool
        Divide so that the integral is 1.
    weights : array_like, optional
        What each value counts; differentiable.

    Returns
    -------
    tuple of Array
        Counts or sums of weights, and the edges.

    Raises
    ------
    ArgumentError
        If edges do not ascend or the number of bins is not positive.
    ShapeError
        If there is not one weight for each value.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.histogram([0.5, 1.5, 1.7, 2.0], bins=[0.0, 1.0, 2.0])
    (Array([1, 3]), Array([0., 1., 2.]))
    """
    x = _real_values("histogram", a)
    edges = _edges("histogram", x, bins, range, weights)
    count = shape_of(edges)[0] - 1
    values = _weights("histogram", weights, shape_of(x)[0])
    found = gather_transpose(values, [_bin_numbers(x, edges)], (count,), (0,), "drop")
    if density:
        widths = slice_axis(edges, 0, 1, count + 1) - slice_axis(edges, 0, 0, count)
        found = found / widths / reduce_sum(found, (0,))
    return wrap(found), wrap(edges)


def _real_values(function: str, a: Any) -> Any:
    x = _flat(operand(a, function))
    if dtype_of(x).kind == "c":
        raise DTypeError(f"{function}: complex values have no order; use real parts or absolute values")
    return convert(x, np.dtype(np.uint8)) if dtype_of(x).kind == "b" else x


def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Array, tuple[Array, ...]]:
    """How many points fall into each cell of a grid.

    Parameters
    ----------
    sample : array_like, or sequence of array_like
        Points as rows; or one sequence of coordinates for each dimension.
    bins : int, or sequence
        As in :func:`histogram`, one for all dimensions or one for each.
    range : sequence of (float, float) or None
        As in :func:`histogram`, one for each dimension.
    density, weights
        As in :func:`histogram`.

    Returns
    -------
    tuple
        Counts or sums of weights, and the edges of each dimension.

    Raises
    ------
    ArgumentError
        If there is not one ``bins`` for each dimension.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> counts, edges = fnp.histogramdd([[0.0, 0.0], [1.0, 1.0], [0.9, 0.1]], bins=2)
    >>> counts
    Array([[1., 0.],
           [1., 1.]])
    """
    columns = _columns(sample)
    each = list(bins) if isinstance(bins, list | tuple | np.ndarray) else [bins] * len(columns)
    if len(each) != len(columns):
        raise ArgumentError(f"histogramdd: {len(each)} entries in bins for {len(columns)} dimensions")
    ranges = [None] * len(columns) if range is None else list(range)
    edges = [_edges("histogramdd", x, b, r) for x, b, r in zip(columns, each, ranges, strict=True)]
    sizes = tuple(shape_of(e)[0] - 1 for e in edges)
    numbers = [_bin_numbers(x, e) for x, e in zip(columns, edges, strict=True)]
    values = _weights("histogramdd", weights, shape_of(columns[0])[0])
    values = convert(values, inexact_dtype(dtype_of(values)))
    found = gather_transpose(values, numbers, sizes, tuple(builtins.range(len(sizes))), "drop")
    if density:
        total = reduce_sum(found, tuple(builtins.range(len(sizes))))
        for axis, (edge, size) in enumerate(zip(edges, sizes, strict=True)):
            widths = slice_axis(edge, 0, 1, size + 1) - slice_axis(edge, 0, 0, size)
            found = found / reshape(widths, (size,) + (1,) * (len(sizes) - axis - 1))
        found = found / total
    return wrap(found), tuple(wrap(e) for e in edges)


def _columns(sample: Any) -> list[Any]:
    """One operand of coordinates for each dimension."""
    if isinstance(sample, tuple) or (isinstance(sample, list) and isinstance(sample[0], Array | np.ndarray)):
        return [_real_values("histogramdd", column) for column in sample]
    x = operand(sample, "histogramdd")
    if len(shape_of(x)) == 1:
        return [_real_values("histogramdd", x)]
    if len(shape_of(x)) != 2:
        raise ShapeError(f"histogramdd: points must be the rows of an array with two axes, got shape {shape_of(x)}")
    return [_flat(slice_axis(x, 1, k, k + 1)) for k in builtins.range(shape_of(x)[1])]


def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: bool | None = None, weights: Any = None
) -> tuple[Array, Array, Array]:
    """How many points fall into each cell of a grid in the plane.

    Parameters
    ----------
    x, y : array_like
        Coordinates of the points.
    bins : int, array_like, or pair of them
        As in :func:`histogram`; a sequence that is no pair is the edges of both dimensions.
    range, density, weights
        As in :func:`histogramdd`.

    Returns
    -------
    tuple of Array
        Counts or sums of weights, the edges along x and the edges along y.

    Raises
    ------
    ArgumentError
        As :func:`histogramdd`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.histogram2d([0.0, 1.0, 0.9], [0.0, 1.0, 0.1], bins=2)[0]
    Array([[1., 0.],
           [1., 1.]])
    """
    try:
        pair = len(bins) == 2
    except TypeError:
        pair = True
    found, edges = histogramdd((x, y), bins if pair else [bins, bins], range, density, weights)
    return found, edges[0], edges[1]
