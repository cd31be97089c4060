"""Differences, gradients on grids, integration, interpolation, convolution and unwrapping."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, dtype_of, is_complex, result_dtype, shape_of, weak_operand
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.numpy.conversion import axis_number, axis_numbers, operand, operands, zero_like
from fad.primitives import arithmetic, slicing
from fad.primitives.contraction import dot_general
from fad.primitives.cumulative import cumsum
from fad.primitives.indexing import gather
from fad.primitives.placing import together
from fad.primitives.slicing import slice_axis
from fad.primitives.sorting import argsort, searchsorted
from fad.primitives.structural import broadcast_to, convert, reduce_sum, reshape

__all__ = [
    "convolve",
    "correlate",
    "diff",
    "ediff1d",
    "gradient",
    "interp",
    "trapezoid",
    "unwrap",
]


def _neighbours(x: Any, axis: int) -> tuple[Any, Any]:
    """All elements but the first and all but the last along an axis."""
    size = shape_of(x)[axis]
    return slice_axis(x, axis, min(1, size), size), slice_axis(x, axis, 0, max(size - 1, 0))


def _difference(x: Any, axis: int) -> Any:
    upper, lower = _neighbours(x, axis)
    return arithmetic.not_equal.bind(upper, lower) if dtype_of(x).kind == "b" else upper - lower


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Array:
    """Differences of neighbours along an axis, ``n`` times.

    Parameters
    ----------
    a : array_like
        The values.
    n : int
        How often to take differences.
    axis : int
        The axis.
    prepend, append : array_like, optional
        Values before the start and after the end of the axis.

    Returns
    -------
    Array
        With ``n`` elements less along the axis.

    Raises
    ------
    ArgumentError
        If ``n`` is negative.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.diff([1, 4, 9, 16])
    Array([3, 5, 7])
    """
    if n < 0:
        raise ArgumentError(f"diff: n must not be negative, got {n}")
    x = operand(a, "diff")
    if not shape_of(x):
        raise ShapeError("diff needs at least one axis, got a 0-d array")
    if n == 0:
        return wrap(x)
    axis = axis_number(axis, len(shape_of(x)), "diff")
    ends = [x]
    for place, extra in ((0, prepend), (len(ends), append)):
        if extra is not None and extra is not np._NoValue:
            ends.insert(place if place == 0 else len(ends), _end(extra, x, axis))
    dtype = result_dtype(*[dtype_of(part) for part in ends])
    x = slicing.concatenate([convert(part, dtype) for part in ends], axis)
    for _ in range(int(n)):
        x = _difference(x, axis)
    return wrap(x)


def _end(extra: Any, x: Any, axis: int) -> Any:
    value = operand(extra, "diff")
    if not shape_of(value):
        shape = shape_of(x)
        return broadcast_to(convert(value, dtype_of(value)), (*shape[:axis], 1, *shape[axis + 1 :]))
    return value


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Array:
    """Differences of neighbours of the flattened array, between optional values at both ends.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.ediff1d([1, 2, 4], to_begin=0)
    Array([0, 1, 2])
    """
    x = operand(ary, "ediff1d")
    x = reshape(x, (math.prod(shape_of(x)),))
    parts = [_difference(x, 0)]
    for place, extra in ((0, to_begin), (1, to_end)):
        if extra is not None:
            value = operand(extra, "ediff1d")
            parts.insert(place * len(parts), convert(reshape(value, (math.prod(shape_of(value)),)), dtype_of(x)))
    return wrap(slicing.concatenate(parts, 0))


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    """Derivatives of grid values by second-order central differences, one-sided at the ends.

    Parameters
    ----------
    f : array_like
        Values on a grid.
    *varargs : array_like
        The spacing: one number for all axes, or for each axis a number or the coordinates; 1 by default. They may be traced.
    axis : int or tuple of int, optional
        Along which axes; all by default.
    edge_order : {1, 2}
        Order of accuracy at the ends.

    Returns
    -------
    Array, or tuple of Array for several axes

    Raises
    ------
    ShapeError
        If an axis has too few elements.
    ArgumentError
        If the number of spacings does not fit.

    Notes
    -----
    For uneven spacing: the three-point formula, exact for quadratic polynomials (Fornberg, Math. Comp. 51, 1988).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.gradient([1.0, 2.0, 4.0, 7.0])
    Array([1. , 1.5, 2.5, 3. ])
    """
    x = operand(f, "gradient")
    ndim = len(shape_of(x))
    axes = axis_numbers(axis, ndim, "gradient")
    if dtype_of(x).kind in "biu":
        x = convert(x, np.dtype(np.float64))
    x, *spacings = together([x, *[operand(v, "gradient") for v in varargs or [1.0]]])
    if len(spacings) == 1 and not shape_of(spacings[0]):
        spacings = spacings * len(axes)
    if len(spacings) != len(axes):
        raise ArgumentError(
            f"gradient: {len(varargs)} spacings but {len(axes)} axes; give one number, or one spacing for each axis"
        )
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order must be 1 or 2, got {edge_order!r}")
    results = tuple(
        wrap(convert(_gradient_along(x, a, s, edge_order), dtype_of(x))) for a, s in zip(axes, spacings, strict=True)
    )
    return results[0] if len(results) == 1 else results


def _gradient_along(x: Any, axis: int, spacing: Any, edge_order: int) -> Any:
    size, ndim = shape_of(x)[axis], len(shape_of(x))
    if size < edge_order + 1:
        raise ShapeError(
            f"gradient: axis {axis} of size {size} is too short; edge_order={edge_order} needs {edge_order + 1} elements"
        )
    steps = spacing
    if shape_of(spacing):
        if shape_of(spacing) != (size,):
            raise ShapeError(
                f"gradient: coordinates of shape {shape_of(spacing)} do not fit axis {axis} of size {size}"
            )
        steps = reshape(_difference(spacing, 0), (size - 1,) + (1,) * (ndim - axis - 1))

    def part(start: int, stop: int) -> Any:
        return slice_axis(x, axis, start, stop)

    def step(k: int) -> Any:
        return slice_axis(steps, 0, k % (size - 1), k % (size - 1) + 1) if shape_of(spacing) else steps

    slopes = (part(1, size) - part(0, size - 1)) / steps
    inner = []
    if size > 2:
        before, after = slice_axis(slopes, axis, 0, size - 2), slice_axis(slopes, axis, 1, size - 1)
        if shape_of(spacing):
            low, high = slice_axis(steps, 0, 0, size - 2), slice_axis(steps, 0, 1, size - 1)
            inner = [(before * high + after * low) / (low + high)]
        else:
            inner = [(before + after) / 2]
    first, last = slice_axis(slopes, axis, 0, 1), slice_axis(slopes, axis, size - 2, size - 1)
    if edge_order == 2:
        second, fore = slice_axis(slopes, axis, 1, 2), slice_axis(slopes, axis, size - 3, size - 2)
        first = first + (first - second) * (step(0) / (step(0) + step(1)))
        last = last + (last - fore) * (step(-1) / (step(-1) + step(-2)))
    return slicing.concatenate([first, *inner, last], axis)


def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Array:
    """Integral along an axis by the trapezoidal rule.

    Parameters
    ----------
    y : array_like
        The values.
    x : array_like, optional
        The points; by default they are ``dx`` apart.
    dx : scalar
        The distance of the points.
    axis : int
        The axis.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.trapezoid([1.0, 2.0, 3.0])
    Array(4.)
    """
    values = operand(y, "trapezoid")
    ndim = len(shape_of(values))
    axis = axis_number(axis, ndim, "trapezoid")
    if x is None:
        widths = operand(dx, "trapezoid")
    else:
        points = operand(x, "trapezoid")
        if len(shape_of(points)) == 1:
            widths = _difference(points, 0)
            widths = reshape(widths, shape_of(widths) + (1,) * (ndim - axis - 1))
        else:
            widths = _difference(points, axis_number(axis - ndim, len(shape_of(points)), "trapezoid"))
    upper, lower = _neighbours(values, axis)
    dtype = result_dtype(weak_operand(values), weak_operand(widths), float)
    areas = convert(widths * (upper + lower) / 2.0, dtype)
    return wrap(reduce_sum(areas, (axis + len(shape_of(areas)) - ndim,)))


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * math.pi) -> Array:
    """Jumps of more than half a period between neighbours replaced by their complement.

    Parameters
    ----------
    p : array_like
        Angles or other periodic values.
    discont : scalar, optional
        Jumps below it are kept; half a period by default.
    axis : int
        The axis.
    period : scalar
        The period.

    Returns
    -------
    Array
        The derivative with respect to ``p`` is that of the identity: only whole periods are added.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.unwrap([0.0, 3.0, 6.5], period=6.0)
    Array([0. , 3. , 0.5])
    """
    x = operand(p, "unwrap")
    axis = axis_number(axis, len(shape_of(x)), "unwrap")
    if dtype_of(x).kind in "biu" and isinstance(period, float):
        x = convert(x, np.dtype(np.float64))
    x, period = operands("unwrap", x, period)
    whole = dtype_of(x).kind in "iu"
    half = period // 2 if whole else period / 2
    jump = _difference(x, axis)
    reduced = arithmetic.remainder.bind(jump + half, period) - half
    if not (whole and period % 2):
        # A jump of exactly half a period keeps its sign.
        at_edge = arithmetic.logical_and.bind(arithmetic.equal.bind(reduced, -half), arithmetic.greater.bind(jump, 0))
        reduced = arithmetic.select.bind(at_edge, half, reduced)
    correction = reduced - jump
    bound = period / 2 if discont is None else operand(discont, "unwrap")
    small = arithmetic.less.bind(arithmetic.absolute.bind(jump), bound)
    correction = arithmetic.select.bind(small, zero_like(correction), correction)
    start = slice_axis(x, axis, 0, 1)
    rest = _neighbours(x, axis)[0] + cumsum(correction, axis)
    return wrap(slicing.concatenate([convert(start, dtype_of(rest)), rest], axis))


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None) -> Array:
    """Piecewise linear interpolation, differentiable in the points, the nodes and the values.

    Parameters
    ----------
    x : array_like
        The points.
    xp : array_like
        The nodes, a growing vector (in any order with ``period``).
    fp : array_like
        The values at the nodes.
    left, right : scalar, optional
        The values outside the nodes; the first and the last value by default.
    period : scalar, optional
        The period of the nodes; ``left`` and ``right`` mean nothing then.

    Returns
    -------
    Array
        Of the shape of ``x``.

    Raises
    ------
    ShapeError
        If nodes and values are not vectors of one length.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.interp(1.5, [1.0, 2.0], [10.0, 20.0])
    Array(15.)
    """
    points, nodes, values = operands("interp", x, xp, fp)
    if len(shape_of(nodes)) != 1 or shape_of(nodes) != shape_of(values) or not shape_of(nodes)[0]:
        raise ShapeError(
            f"interp: the nodes and values must be vectors of one positive length, got shapes {shape_of(nodes)} and {shape_of(values)}"
        )
    if is_complex(dtype_of(points)) or is_complex(dtype_of(nodes)):
        raise DTypeError("interp: complex points and nodes have no order; only the values may be complex")
    dtype = np.dtype(np.complex128) if is_complex(dtype_of(values)) else np.dtype(np.float64)
    points, nodes, values = (
        convert(points, np.dtype(np.float64)),
        convert(nodes, np.dtype(np.float64)),
        convert(values, dtype),
    )
    if period is not None:
        points, nodes, values = _periodic(points, nodes, values, operand(period, "interp"))
        left = right = None
    count = shape_of(nodes)[0]
    if count == 1:
        inside = broadcast_to(values, (*shape_of(points), 1))
        inside = reshape(inside, shape_of(points))
    else:
        upper = searchsorted(nodes, points, side="right")
        upper = arithmetic.minimum.bind(arithmetic.maximum.bind(upper, 1), count - 1)
        lower = upper - 1
        x0, x1 = gather(nodes, [lower], (0,)), gather(nodes, [upper], (0,))
        y0, y1 = gather(values, [lower], (0,)), gather(values, [upper], (0,))
        width = x1 - x0
        width = arithmetic.select.bind(arithmetic.equal.bind(width, 0), 1.0, width)
        inside = y0 + (y1 - y0) * ((points - x0) / width)
    first, last = slice_axis(nodes, 0, 0, 1), slice_axis(nodes, 0, count - 1, count)
    low = slice_axis(values, 0, 0, 1) if left is None else convert(operand(left, "interp"), dtype)
    high = slice_axis(values, 0, count - 1, count) if right is None else convert(operand(right, "interp"), dtype)
    low, high, first, last = (reshape(v, ()) for v in (low, high, first, last))
    result = arithmetic.select.bind(arithmetic.less.bind(points, first), low, inside)
    return wrap(arithmetic.select.bind(arithmetic.greater.bind(points, last), high, result))


def _periodic(points: Any, nodes: Any, values: Any, period: Any) -> tuple[Any, Any, Any]:
    """Points and nodes within one period, nodes sorted and continued by one on each side."""
    period = arithmetic.absolute.bind(convert(period, np.dtype(np.float64)))
    points, nodes = arithmetic.remainder.bind(points, period), arithmetic.remainder.bind(nodes, period)
    order = argsort(nodes, 0)
    nodes, values = gather(nodes, [order], (0,)), gather(values, [order], (0,))
    count = shape_of(nodes)[0]
    last, first = (count - 1, count), (0, 1)
    nodes = slicing.concatenate([slice_axis(nodes, 0, *last) - period, nodes, slice_axis(nodes, 0, *first) + period], 0)
    values = slicing.concatenate([slice_axis(values, 0, *last), values, slice_axis(values, 0, *first)], 0)
    return points, nodes, values


# --- convolution of vectors --------------------------------------------------------------------------------------------------------------


def _sliding_products(x: Any, kernel: Any, mode: str, function: str) -> Any:
    """Products of the kernel with every window of the longer vector, zeros around it."""
    if mode not in ("full", "same", "valid"):
        raise ArgumentError(f"{function}: mode must be 'full', 'same' or 'valid', got {mode!r}")
    n, m = shape_of(x)[0], shape_of(kernel)[0]
    # 'same' keeps n results, the extra zero of an even kernel in front.
    low, high = {"full": (m - 1, m - 1), "same": (m // 2, m - 1 - m // 2), "valid": (0, 0)}[mode]
    if low or high:
        x = slicing.pad(x, ((low, high, 0),))
    count = n + low + high - m + 1
    windows = gather(x, [np.arange(count)[:, None] + np.arange(m)], (0,))
    return dot_general(windows, kernel, ((1,), (0,)))


def _vectors(function: str, a: Any, v: Any) -> tuple[Any, Any]:
    x, y = operands(function, a, v)
    dtype = result_dtype(weak_operand(x), weak_operand(y))
    found = []
    for value in (x, y):
        shape = shape_of(value)
        if len(shape) > 1 or 0 in shape:
            raise ShapeError(f"{function} takes two vectors that are not empty, got {aval_of(x)} and {aval_of(y)}")
        found.append(reshape(convert(value, dtype), (math.prod(shape),)))
    return found[0], found[1]


def convolve(a: Any, v: Any, mode: str = "full") -> Array:
    """The convolution of two vectors.

    Parameters
    ----------
    a, v : array_like
        Vectors of lengths m and n.
    mode : {'full', 'same', 'valid'}
        All products (length m + n - 1), the middle max(m, n) of them, or those where the vectors overlap completely.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.convolve([1, 2, 3], [0, 1])
    Array([0, 1, 2, 3])
    """
    x, y = _vectors("convolve", a, v)
    if shape_of(y)[0] > shape_of(x)[0]:
        x, y = y, x
    return wrap(_sliding_products(x, slicing.flip(y, (0,)), mode, "convolve"))


def correlate(a: Any, v: Any, mode: str = "valid") -> Array:
    """The cross-correlation of two vectors, the second one conjugated.

    Parameters
    ----------
    a, v : array_like
        Vectors of lengths m and n.
    mode : {'valid', 'same', 'full'}
        As in :func:`convolve`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.correlate([1, 2, 3], [0, 1, 0.5])
    Array([3.5])
    """
    x, y = _vectors("correlate", a, v)
    y = arithmetic.conj_if_complex(y)
    if shape_of(y)[0] <= shape_of(x)[0]:
        return wrap(_sliding_products(x, y, mode, "correlate"))
    # The shorter one slides over the longer one, which gives the result in reverse order.
    return wrap(slicing.flip(_sliding_products(y, x, mode, "correlate"), (0,)))
