"""Norms and condition numbers, in ``fad.numpy.linalg``.

Where a norm is 0 its derivative is taken to be 0, a subgradient: ``grad(norm)(zeros)`` is zeros and not NaN.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, dtype_of, real_dtype, shape_of
from fad.core.config import config
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy.conversion import axis_numbers, float_operand
from fad.numpy.linalg_systems import matrix_operand, squared_magnitude
from fad.primitives.arithmetic import absolute, equal, not_equal, select
from fad.primitives.linalg_solving import inverse
from fad.primitives.linalg_spectral import svd
from fad.primitives.math_functions import power, sqrt
from fad.primitives.reduction import reduce_max, reduce_min
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import convert, keepdims_shape, permute, reduce_sum, reshape

__all__ = ["cond", "matrix_norm", "norm", "vector_norm"]


# --- on operands ------------------------------------------------------------------------------------------------------------------------------------


def _away_from_zero(function: Any, x: Any) -> Any:
    """``function(x)``, and 0 with derivative 0 where x is 0."""
    if config.strict_derivatives:
        return function(x)
    zero = equal.bind(x, 0)
    return select.bind(zero, 0.0, function(select.bind(zero, 1.0, x)))


def _two_norm(x: Any, axes: tuple[int, ...]) -> Any:
    return _away_from_zero(sqrt.bind, reduce_sum(squared_magnitude(x), axes))


def _general_norm(x: Any, order: float, axes: tuple[int, ...]) -> Any:
    powers = _away_from_zero(lambda v: power.bind(v, order), absolute.bind(x))
    if order < 0:
        # A zero element makes a negative norm 0.
        powers = power.bind(absolute.bind(x), order)
    found = _away_from_zero(lambda v: power.bind(v, 1.0 / order), reduce_sum(powers, axes))
    return convert(found, real_dtype(dtype_of(x)))


def _vector_norm(x: Any, order: Any, axes: tuple[int, ...], function: str) -> Any:
    if order is None or order == 2:
        return _two_norm(x, axes)
    if isinstance(order, str) or not isinstance(order, int | float | np.integer | np.floating):
        raise ArgumentError(
            f"{function}: the order of a vector norm must be a number known when the function runs, got {order!r}"
        )
    if order == 0:
        return reduce_sum(convert(not_equal.bind(x, 0), real_dtype(dtype_of(x))), axes)
    if order == math.inf:
        return reduce_max(absolute.bind(x), axes)
    if order == -math.inf:
        return reduce_min(absolute.bind(x), axes)
    if order == 1:
        return reduce_sum(absolute.bind(x), axes)
    return _general_norm(x, float(order), axes)


def _singular_values(x: Any) -> Any:
    return svd(x, vectors=False)[0]


def _end_value(values: Any, position: int) -> Any:
    axis = len(shape_of(values)) - 1
    return reshape(slice_axis(values, axis, position, position + 1), shape_of(values)[:-1])


def _matrix_norm(x: Any, order: Any, function: str) -> Any:
    """The norm of the matrices along the last two axes."""
    rows, columns = len(shape_of(x)) - 2, len(shape_of(x)) - 1
    if order is None or order == "fro":
        return _two_norm(x, (rows, columns))
    if order == "nuc":
        return reduce_sum(_singular_values(x), (rows,))
    if order in (2, -2):
        values = _singular_values(x)
        return _end_value(values, 0 if order == 2 else shape_of(values)[-1] - 1)
    if order in (1, -1, math.inf, -math.inf):
        sums = reduce_sum(absolute.bind(x), (rows if abs(order) == 1 else columns,))
        return (reduce_max if order > 0 else reduce_min)(sums, (rows,))
    raise ArgumentError(
        f"{function}: the order of a matrix norm must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {order!r}"
    )


def _matrices_last(x: Any, axes: tuple[int, ...]) -> Any:
    return permute(x, (*(k for k in range(len(shape_of(x))) if k not in axes), *axes))


def _inexact_order(order: Any) -> Any:
    return order if order is None or isinstance(order, str) else _plain_number(order)


def _plain_number(order: Any) -> Any:
    return (
        order.item() if isinstance(order, np.generic) or (isinstance(order, np.ndarray) and order.ndim == 0) else order
    )


# --- public --------------------------------------------------------------------------------------------------------------------------------------------


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Array:
    """Norm of a vector or matrix.

    Parameters
    ----------
    x : array_like
        Real or complex; integers are computed in float64.
    ord : None, number, "fro" or "nuc"
        Vectors: ``sum(abs(x)**ord)**(1/ord)``, also 0 (count of nonzeros), ``inf`` and ``-inf``; 2 by default. Matrices: ``"fro"`` (default), ``"nuc"``,
        1, -1, 2, -2, ``inf``, ``-inf``.
    axis : None, int or pair of ints
        One axis for vectors, two for matrices. ``None`` takes the whole array: flattened if ``ord`` is ``None``.
    keepdims : bool
        Keep the reduced axes with size 1.

    Returns
    -------
    Array
        Real. Where the norm is 0 its derivative is 0.

    Raises
    ------
    ArgumentError
        For an unknown order or more than two axes.
    ShapeError
        If ``ord`` is given for an array of more than two axes without ``axis``.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.linalg.norm([3.0, 4.0])
    Array(5.)
    >>> fad.grad(fnp.linalg.norm)(fnp.zeros(2))
    Array([0., 0.])
    """
    value, ord = float_operand(x, "norm"), _inexact_order(ord)
    shape = shape_of(value)
    if axis is None:
        axes = tuple(range(len(shape)))
        if ord is None:
            return _finished(_two_norm(value, axes), shape, axes, keepdims)
        if len(shape) not in (1, 2):
            raise ShapeError(
                f"norm: ord={ord!r} of an array of shape {shape} needs axis: one int for vectors, two for matrices"
            )
    else:
        axes = axis_numbers(axis, len(shape), "norm")
    if len(axes) == 1:
        return _finished(_vector_norm(value, ord, axes, "norm"), shape, axes, keepdims)
    if len(axes) == 2:
        return _finished(_matrix_norm(_matrices_last(value, axes), ord, "norm"), shape, axes, keepdims)
    raise ArgumentError(f"norm: axis must be one int (vectors) or two (matrices), got {axis!r}")


def _finished(out: Any, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: bool) -> Any:
    return wrap(reshape(out, keepdims_shape(shape, axes)) if keepdims else out)


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """Norm of vectors, over any number of axes together.

    Parameters
    ----------
    x : array_like
        Real or complex.
    axis : None, int or tuple of ints
        Axes that hold the elements of a vector; all by default.
    keepdims : bool
        Keep the reduced axes with size 1.
    ord : number
        As for vectors in :func:`norm`.

    Returns
    -------
    Array
        Real. Where the norm is 0 its derivative is 0.

    Raises
    ------
    ArgumentError
        If ``ord`` is not a number.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.vector_norm([[3.0, 4.0]], ord=1)
    Array(7.)
    """
    value = float_operand(x, "vector_norm")
    axes = axis_numbers(axis, len(shape_of(value)), "vector_norm")
    return _finished(_vector_norm(value, _inexact_order(ord), axes, "vector_norm"), shape_of(value), axes, keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """Norm of the matrices along the last two axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., m, n)``.
    keepdims : bool
        Keep the reduced axes with size 1.
    ord : "fro", "nuc", 1, -1, 2, -2, inf or -inf
        As for matrices in :func:`norm`.

    Returns
    -------
    Array
        Real, shape ``(...)``. Where the norm is 0 its derivative is 0.

    Raises
    ------
    ArgumentError
        For another order.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.matrix_norm(fnp.eye(3), ord="nuc")
    Array(3.)
    """
    value = matrix_operand("matrix_norm", x)
    ndim = len(shape_of(value))
    out = _matrix_norm(value, _inexact_order(ord), "matrix_norm")
    return _finished(out, shape_of(value), (ndim - 2, ndim - 1), keepdims)


def cond(x: Any, p: Any = None) -> Array:
    """Condition number: norm of a matrix times norm of its inverse.

    Parameters
    ----------
    x : array_like
        Shape ``(..., m, n)``, square unless ``p`` is ``None``, 2 or -2.
    p : None, number, "fro" or "nuc"
        Order of the norm; ``None`` and 2 give the ratio of the largest to the smallest singular value.

    Returns
    -------
    Array
        Shape ``(...)``.

    Raises
    ------
    LinAlgError
        If the matrix is singular and ``p`` is not ``None``, 2 or -2.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.cond([[1.0, 0.0], [0.0, 4.0]])
    Array(4.)
    """
    value, p = matrix_operand("cond", x), _inexact_order(p)
    if p in (None, 2, -2):
        values = _singular_values(value)
        ends = _end_value(values, 0), _end_value(values, shape_of(values)[-1] - 1)
        largest, smallest = ends if p != -2 else ends[::-1]
        return wrap(largest / smallest)
    if aval_of(value).shape[-1] != aval_of(value).shape[-2]:
        raise ShapeError(f"cond with p={p!r} needs square matrices, got shape {shape_of(value)}; use p=None")
    return wrap(_matrix_norm(value, p, "cond") * _matrix_norm(inverse(value), p, "cond"))
