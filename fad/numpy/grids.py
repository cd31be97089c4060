"""Grids and patterns: evenly spaced values, index arrays, identity and triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, host_buffer, wrap
from fad.core.avals import PYTHON_SCALARS, canonical_dtype, dtype_of, inexact_dtype, shape_of
from fad.core.errors import ArgumentError
from fad.core.trace import Tracer
from fad.numpy.conversion import axis_number, check_device, operand, operands, promoted, shape_tuple
from fad.primitives import arithmetic, math_functions, structural
from fad.primitives.structural import broadcast_to, convert, reshape

__all__ = [
    "arange",
    "eye",
    "fromfunction",
    "geomspace",
    "identity",
    "indices",
    "linspace",
    "logspace",
    "meshgrid",
    "tri",
]


def _host_number(function: str, argument: str, value: Any) -> Any:
    """A concrete number: it decides a size."""
    found = operand(value, function)
    if isinstance(found, Tracer):
        if dtype_of(found).kind in "iub":
            return int(found)
        raise found._refuse(
            f"{function}: the argument {argument}, which decides the size of the result,",
            "Ways out: a grid of constant size times the value, as in fad.numpy.linspace(start, stop, n).",
        )
    return found if type(found) in PYTHON_SCALARS else host_buffer(found)[()]


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    """Evenly spaced values from ``start`` up to, without, ``stop``.

    Parameters
    ----------
    start, stop, step : scalar
        Concrete numbers: they decide the size. With one argument, from 0 up to it.
    dtype : dtype, optional
        The dtype, by default NumPy's choice for the numbers.
    device : str, optional
        ``"cpu"`` or None.

    Returns
    -------
    Array
        Of shape ``(ceil((stop - start) / step),)``.

    Raises
    ------
    ConcretizationError
        If an argument is not known while the function runs.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.arange(1, 7, 2)
    Array([1, 3, 5])
    """
    check_device("arange", device)
    numbers = [
        _host_number("arange", n, v) for n, v in (("start", start), ("stop", stop), ("step", step)) if v is not None
    ]
    values = np.arange(*numbers, dtype=dtype) if stop is not None else np.arange(0, numbers[0], numbers[1], dtype=dtype)
    return Array(values)


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    """``num`` evenly spaced values from ``start`` to ``stop``, differentiable in both.

    Parameters
    ----------
    start, stop : array_like
        First and last values.
    num : int
        How many.
    endpoint : bool
        Whether ``stop`` is the last value.
    retstep : bool
        Whether to give the step too.
    dtype : dtype, optional
        The dtype of the result.
    axis : int
        Where the new axis goes.
    device : str, optional
        ``"cpu"`` or None.

    Returns
    -------
    Array, or (Array, Array) with ``retstep``

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linspace(0.0, 1.0, 3)
    Array([0. , 0.5, 1. ])
    """
    check_device("linspace", device)
    num = int(_host_number("linspace", "num", num))
    if num < 0:
        raise ArgumentError(f"linspace: num must not be negative, got {num}")
    first, last = promoted("linspace", start, stop)
    kind = inexact_dtype(dtype_of(first))
    first, last = convert(first, kind), convert(last, kind)
    first, last = _broadcast_pair(first, last)
    intervals = num - 1 if endpoint else num
    positions = np.arange(num, dtype=np.float64).astype(kind).reshape((num,) + (1,) * len(shape_of(first)))
    step = (last - first) / max(intervals, 1)
    values = first + arithmetic.multiply.bind(positions, step)
    if endpoint and num > 1:
        # The last value exactly, whatever was rounded on the way.
        values = arithmetic.select.bind(positions == intervals, last, values)
    values = structural.move_axis(values, 0, axis_number(axis, len(shape_of(values)), "linspace"))
    if dtype is not None:
        target = canonical_dtype(dtype)
        values = convert(arithmetic.floor.bind(values) if target.kind in "iu" else values, target)
    return (wrap(values), wrap(step)) if retstep else wrap(values)


def _broadcast_pair(x: Any, y: Any) -> tuple[Any, Any]:
    shape = np.broadcast_shapes(shape_of(x), shape_of(y))
    return broadcast_to(x, shape), broadcast_to(y, shape)


def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Array:
    """``base`` to the power of evenly spaced exponents, differentiable in all three.

    Parameters
    ----------
    start, stop : array_like
        First and last exponents.
    num : int
        How many.
    endpoint : bool
        Whether ``stop`` is the last exponent.
    base : array_like
        The base.
    dtype : dtype, optional
        The dtype of the result.
    axis : int
        Where the new axis goes.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.logspace(0, 2, 3)
    Array([  1.,  10., 100.])
    """
    exponents = operand(linspace(start, stop, num, endpoint, axis=axis), "logspace")
    values = math_functions.power.bind(*operands("logspace", base, exponents))
    return wrap(values if dtype is None else convert(values, canonical_dtype(dtype)))


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0) -> Array:
    """``num`` values from ``start`` to ``stop`` with a constant ratio, differentiable in both.

    Parameters
    ----------
    start, stop : array_like
        First and last values, not zero and of one sign.
    num : int
        How many.
    endpoint : bool
        Whether ``stop`` is the last value.
    dtype : dtype, optional
        The dtype of the result.
    axis : int
        Where the new axis goes.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.geomspace(1, 8, 4)
    Array([1., 2., 4., 8.])
    """
    first, last = promoted("geomspace", start, stop)
    kind = inexact_dtype(dtype_of(first))
    first, last = _broadcast_pair(convert(first, kind), convert(last, kind))
    ratio = math_functions.log10.bind(last / first)
    exponents = operand(linspace(0 * ratio, ratio, num, endpoint), "geomspace")
    values = first * math_functions.power.bind(10.0, exponents)
    if endpoint and num > 1:
        ends = np.arange(num).reshape((num,) + (1,) * len(shape_of(first))) == num - 1
        values = arithmetic.select.bind(ends, last, values)
    values = structural.move_axis(values, 0, axis_number(axis, len(shape_of(values)), "geomspace"))
    return wrap(convert(values, kind if dtype is None else canonical_dtype(dtype)))


# --- patterns ----------------------------------------------------------------------------------------------------------------------------


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = float, *, device: Any = None) -> Array:
    """Ones on a diagonal, zeros elsewhere.

    Parameters
    ----------
    N, M : int
        Numbers of rows and columns; square without ``M``.
    k : int
        Which diagonal: above the main one where positive.
    dtype : dtype
        The dtype, float64 by default.
    device : str, optional
        ``"cpu"`` or None.

    Returns
    -------
    Array
        Of shape ``(N, M)``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.eye(2)
    Array([[1., 0.],
           [0., 1.]])
    """
    check_device("eye", device)
    rows, columns = shape_tuple((N, N if M is None else M), "eye")
    return wrap(np.eye(rows, columns, int(k), dtype=canonical_dtype(dtype)))


def identity(n: int, dtype: Any = None) -> Array:
    """The identity matrix.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.identity(1)
    Array([[1.]])
    """
    return eye(n, dtype=float if dtype is None else dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float) -> Array:
    """Ones at and below a diagonal, zeros elsewhere.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.tri(2)
    Array([[1., 0.],
           [1., 1.]])
    """
    rows, columns = shape_tuple((N, N if M is None else M), "tri")
    return wrap(np.tri(rows, columns, int(k), dtype=canonical_dtype(dtype)))


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> tuple[Array, ...]:
    """Coordinate arrays of the grid that one-dimensional coordinates span.

    Parameters
    ----------
    *xi : array_like
        Coordinates along each axis.
    copy : bool
        For compatibility.
    sparse : bool
        Whether to leave out the broadcasting to the full grid.
    indexing : {'xy', 'ij'}
        Whether the first two axes are swapped (Cartesian) or not (matrix).

    Returns
    -------
    tuple of Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.meshgrid([1, 2], [3])[0]
    Array([[1, 2]])
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing must be 'xy' or 'ij', got {indexing!r}")
    found = [operand(x, "meshgrid") for x in xi]
    count = len(found)
    axes = list(range(count))
    if indexing == "xy" and count > 1:
        axes[0], axes[1] = 1, 0
    grids = []
    sizes = [1] * count
    for axis, x in zip(axes, found, strict=True):
        size = int(np.prod(shape_of(x), dtype=np.intp))
        sizes[axis] = size
        grids.append(reshape(x, tuple(size if i == axis else 1 for i in range(count))))
    return tuple(wrap(g if sparse else broadcast_to(g, tuple(sizes))) for g in grids)


def indices(dimensions: Any, dtype: Any = int, sparse: bool = False) -> Any:
    """The index of every element of a grid along each axis.

    Parameters
    ----------
    dimensions : tuple of int
        The shape of the grid.
    dtype : dtype
        The dtype of the indices.
    sparse : bool
        Whether to give one broadcastable array per axis.

    Returns
    -------
    Array of shape ``(len(dimensions), *dimensions)``, or a tuple of Array with ``sparse``

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.indices((1, 2))
    Array([[[0, 0]],
           [[0, 1]]])
    """
    sizes, kind = shape_tuple(dimensions, "indices"), canonical_dtype(dtype)
    if sparse:
        return tuple(wrap(v) for v in np.indices(sizes, kind, sparse=True))
    return wrap(np.indices(sizes, kind))


def fromfunction(function: Any, shape: Any, *, dtype: Any = float, **keywords: Any) -> Any:
    """The result of ``function`` on the index arrays of a grid.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fromfunction(lambda i, j: i + j, (2, 2))
    Array([[0., 1.],
           [1., 2.]])
    """
    return function(*indices(shape, dtype=dtype), **keywords)
