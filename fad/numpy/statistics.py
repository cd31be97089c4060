"""Weighted averages, covariances and correlations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, inexact_dtype, result_dtype, shape_of, weak_operand
from fad.core.errors import ShapeError
from fad.numpy import contractions, matrices, reductions
from fad.numpy.conversion import axis_numbers, operand
from fad.primitives import arithmetic, slicing
from fad.primitives.structural import broadcast_to, convert, permute, reduce_sum, reshape

__all__ = ["average", "corrcoef", "cov"]


def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: bool = False) -> Any:
    """The weighted mean along axes, differentiable in values and weights.

    Parameters
    ----------
    a : array_like
        The values.
    axis : int, tuple of int or None
        The axes; all by default.
    weights : array_like, optional
        Weights of the shape of ``a``, or of its sizes along ``axis``.
    returned : bool
        Whether to give the sum of the weights too.
    keepdims : bool
        Whether to keep the reduced axes at size 1.

    Returns
    -------
    Array, or (Array, Array) with ``returned``

    Raises
    ------
    ShapeError
        If the shape of the weights does not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.average([1.0, 2.0], weights=[3.0, 1.0])
    Array(1.25)
    """
    x = operand(a, "average")
    keep = bool(keepdims) and keepdims is not np._NoValue
    axes = axis_numbers(axis, len(shape_of(x)), "average")
    if weights is None:
        result = reductions.mean(x, axis, keepdims=keep)
        if not returned:
            return result
        count = dtype_of(operand(result)).type(math.prod(shape_of(x)[i] for i in axes))
        return result, wrap(broadcast_to(count, result.shape))
    w = operand(weights, "average")
    if shape_of(w) != shape_of(x):
        w = _weights_along(w, x, axis, axes)
    dtype = inexact_dtype(result_dtype(weak_operand(x), weak_operand(w)))
    x, w = convert(x, dtype), convert(w, dtype)
    total = operand(reductions.sum(w, axis, keepdims=keep))
    result = operand(reductions.sum(x * w, axis, keepdims=keep)) / total
    return (wrap(result), wrap(broadcast_to(total, shape_of(result)))) if returned else wrap(result)


def _weights_along(w: Any, x: Any, axis: Any, axes: tuple[int, ...]) -> Any:
    """Weights for some axes, broadcast to the shape of the values."""
    if axis is None or shape_of(w) != tuple(shape_of(x)[i] for i in axes):
        raise ShapeError(
            f"average: weights of shape {shape_of(w)} do not fit values of shape {shape_of(x)}; they need that shape, or the sizes along axis"
        )
    order = sorted(range(len(axes)), key=lambda k: axes[k])
    w = permute(w, tuple(order))
    sizes = iter(shape_of(w))
    return broadcast_to(
        reshape(w, tuple(next(sizes) if i in axes else 1 for i in range(len(shape_of(x))))), shape_of(x)
    )


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Array:
    """The covariance matrix of variables.

    Parameters
    ----------
    m : array_like
        Observations, one variable per row; a vector is one variable.
    y : array_like, optional
        Further variables.
    rowvar : bool
        Whether the variables are the rows, not the columns.
    bias : bool
        Whether to divide by the number of observations instead of one less.
    ddof : int, optional
        What to subtract from the number of observations instead.
    fweights : array_like of int, optional
        How often each observation occurs.
    aweights : array_like, optional
        Weights of the observations.
    dtype : dtype, optional
        The dtype to compute in.

    Returns
    -------
    Array
        Of shape ``(variables, variables)``; 0-d for one variable.

    Raises
    ------
    ShapeError
        If there are more than two axes, or weights do not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.cov([[1.0, 2.0, 3.0], [1.0, 0.0, -1.0]])
    Array([[ 1., -1.],
           [-1.,  1.]])
    """
    x = _variables(m, rowvar, "cov")
    if y is not None:
        other = _variables(y, rowvar, "cov")
        common = result_dtype(dtype_of(x), dtype_of(other))
        x = slicing.concatenate([convert(x, common), convert(other, common)], 0)
    target = np.promote_types(inexact_dtype(dtype_of(x)), np.float64) if dtype is None else np.dtype(dtype)
    x = convert(x, target)
    ddof = (0 if bias else 1) if ddof is None else ddof
    count = shape_of(x)[1]
    w: Any = None
    for weights in (fweights, aweights):
        if weights is not None:
            found = convert(operand(weights, "cov"), np.dtype(np.float64))
            if shape_of(found) != (count,):
                raise ShapeError(f"cov: weights of shape {shape_of(found)} do not fit {count} observations")
            w = found if w is None else w * found
    if w is None:
        center = reshape(reduce_sum(x, (1,)), (shape_of(x)[0], 1)) / count
        factor: Any = max(count - ddof, 0)
        weighted = x - center
    else:
        total = reduce_sum(w, (0,))
        center = reshape(reduce_sum(x * w, (1,)), (shape_of(x)[0], 1)) / total
        factor = total - ddof
        if aweights is not None and ddof:
            factor = total - ddof * reduce_sum(w * convert(operand(aweights), np.dtype(np.float64)), (0,)) / total
        weighted = (x - center) * w
    centred = x - center
    product = contractions.matmul_operands(weighted, arithmetic.conj_if_complex(permute(centred, (1, 0))))
    with np.errstate(all="ignore"):
        result = product / (factor if type(factor) is not int or factor else np.float64(0))
    return wrap(reshape(result, ()) if shape_of(result) == (1, 1) else result)


def _variables(m: Any, rowvar: bool, function: str) -> Any:
    x = operand(m, function)
    shape = shape_of(x)
    if len(shape) > 2:
        raise ShapeError(f"{function} takes vectors and matrices, got shape {shape}")
    if len(shape) < 2:
        return reshape(x, (1, math.prod(shape)))
    return x if rowvar or shape[0] == 1 else permute(x, (1, 0))


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Array:
    """The matrix of correlation coefficients of variables; see :func:`cov`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.corrcoef([[1.0, 2.0], [2.0, 1.0]])
    Array([[ 1., -1.],
           [-1.,  1.]])
    """
    c = operand(cov(x, y, rowvar, dtype=dtype))
    if not shape_of(c):
        return wrap(c / c)
    deviation = operand(matrices.diagonal(c))
    deviation = operand(wrap(arithmetic.real.bind(deviation) if dtype_of(c).kind == "c" else deviation) ** 0.5)
    size = shape_of(c)[0]
    return wrap(c / reshape(deviation, (size, 1)) / reshape(deviation, (1, size)))
