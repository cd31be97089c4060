"""Building matrices and picking their parts: diagonals, triangles, Kronecker and Vandermonde matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, shape_of
from fad.core.errors import ShapeError
from fad.numpy.conversion import axis_numbers, operand, operands, zero_like
from fad.primitives import arithmetic, math_functions, slicing, structural
from fad.primitives.structural import convert, permute, reshape

__all__ = [
    "diag",
    "diag_indices",
    "diag_indices_from",
    "diagflat",
    "diagonal",
    "kron",
    "mask_indices",
    "trace",
    "tril",
    "tril_indices",
    "tril_indices_from",
    "triu",
    "triu_indices",
    "triu_indices_from",
    "vander",
]


def _diagonal(x: Any, offset: int, axis1: int, axis2: int, function: str) -> Any:
    """A diagonal of two axes as the last axis: a strided slice of the flattened matrix."""
    shape = shape_of(x)
    ndim = len(shape)
    if ndim < 2:
        raise ShapeError(f"{function} needs at least two axes, got shape {shape}")
    first, second = axis_numbers((axis1, axis2), ndim, function)
    lead = tuple(i for i in range(ndim) if i not in (first, second))
    x = permute(x, (*lead, first, second))
    rows, columns = shape[first], shape[second]
    start_row, start_column = max(-offset, 0), max(offset, 0)
    count = max(0, min(rows - start_row, columns - start_column))
    outer = tuple(shape[i] for i in lead)
    if not count:
        return structural.full((*outer, 0), 0, dtype_of(x))
    flat = reshape(x, (*outer, rows * columns))
    start = start_row * columns + start_column
    return slicing.slice_axis(flat, len(outer), start, start + (count - 1) * (columns + 1) + 1, columns + 1)


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Elements on a diagonal of two axes, which come as the last axis of the result.

    Parameters
    ----------
    a : array_like
        Array with at least two axes.
    offset : int
        Which diagonal: above the main one where positive.
    axis1, axis2 : int
        The two axes.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If there are fewer than two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.diagonal([[1, 2], [3, 4]])
    Array([1, 4])
    """
    return wrap(_diagonal(operand(a, "diagonal"), int(offset), axis1, axis2, "diagonal"))


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Array:
    """Sum of the elements on a diagonal.

    Parameters
    ----------
    a : array_like
        Array with at least two axes.
    offset : int
        Which diagonal: above the main one where positive.
    axis1, axis2 : int
        The two axes.
    dtype : dtype, optional
        The dtype to sum in.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.trace([[1, 2], [3, 4]])
    Array(5)
    """
    x = _diagonal(operand(a, "trace"), int(offset), axis1, axis2, "trace")
    if dtype is not None:
        x = convert(x, np.dtype(dtype))
    elif dtype_of(x).kind in "bi" and dtype_of(x).itemsize < 8:
        x = convert(x, np.dtype(np.int64))
    elif dtype_of(x).kind == "u" and dtype_of(x).itemsize < 8:
        x = convert(x, np.dtype(np.uint64))
    return wrap(structural.reduce_sum(x, (len(shape_of(x)) - 1,)))


def diag(v: Any, k: int = 0) -> Array:
    """The matrix with a vector on its diagonal, or the diagonal of a matrix.

    Parameters
    ----------
    v : array_like
        Vector or matrix.
    k : int
        Which diagonal: above the main one where positive.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If ``v`` has neither one nor two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.diag([1, 2])
    Array([[1, 0],
           [0, 2]])
    """
    x = operand(v, "diag")
    if len(shape_of(x)) == 2:
        return diagonal(x, k)
    if len(shape_of(x)) != 1:
        raise ShapeError(
            f"diag takes a vector or a matrix, got shape {shape_of(x)}; use fad.numpy.linalg.diagonal for stacks"
        )
    k, count = int(k), shape_of(x)[0]
    size = count + abs(k)
    start = k if k >= 0 else -k * size
    # Elements size + 1 apart in the flattened matrix, then zeros to its end.
    covered = (count - 1) * (size + 1) + 1 if count else 0
    flat = (
        slicing.pad(x, ((start, size * size - start - covered, size),))
        if count
        else structural.full((size * size,), 0, dtype_of(x))
    )
    return wrap(reshape(flat, (size, size)))


def diagflat(v: Any, k: int = 0) -> Array:
    """The matrix with all elements of ``v`` on its diagonal.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.diagflat([[1], [2]])
    Array([[1, 0],
           [0, 2]])
    """
    x = operand(v, "diagflat")
    return diag(reshape(convert(x, dtype_of(x)), (math.prod(shape_of(x)),)), k)


def _triangle(m: Any, k: int, function: str, lower: bool) -> Array:
    x = operand(m, function)
    shape = shape_of(x)
    if not shape:
        raise ShapeError(f"{function} needs at least one axis, got a 0-d array")
    rows, columns = (shape[-2], shape[-1]) if len(shape) > 1 else (shape[0], shape[0])
    mask = np.tri(rows, columns, int(k) if lower else int(k) - 1, dtype=bool)
    zero = zero_like(x)
    return wrap(arithmetic.select.bind(mask, x, zero) if lower else arithmetic.select.bind(mask, zero, x))


def tril(m: Any, k: int = 0) -> Array:
    """Zeros above a diagonal of the last two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.tril([[1, 2], [3, 4]])
    Array([[1, 0],
           [3, 4]])
    """
    return _triangle(m, k, "tril", True)


def triu(m: Any, k: int = 0) -> Array:
    """Zeros below a diagonal of the last two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.triu([[1, 2], [3, 4]])
    Array([[1, 2],
           [0, 4]])
    """
    return _triangle(m, k, "triu", False)


def kron(a: Any, b: Any) -> Array:
    """The Kronecker product: ``a`` with each element replaced by the element times ``b``.

    Parameters
    ----------
    a, b : array_like
        The factors; the one with fewer axes gets new ones in front.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.kron([1, 10], [1, 2])
    Array([ 1,  2, 10, 20])
    """
    x, y = operands("kron", a, b)
    ndim = max(len(shape_of(x)), len(shape_of(y)))
    left = (1,) * (ndim - len(shape_of(x))) + shape_of(x)
    right = (1,) * (ndim - len(shape_of(y))) + shape_of(y)
    if not ndim:
        return wrap(arithmetic.multiply.bind(x, y))
    product = arithmetic.multiply.bind(
        reshape(x, tuple(s for n in left for s in (n, 1))), reshape(y, tuple(s for n in right for s in (1, n)))
    )
    return wrap(reshape(product, tuple(m * n for m, n in zip(left, right, strict=True))))


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Array:
    """The matrix of powers of a vector's elements.

    Parameters
    ----------
    x : array_like
        Vector of shape ``(n,)``.
    N : int, optional
        How many columns; ``n`` by default.
    increasing : bool
        Whether the powers grow from left to right.

    Returns
    -------
    Array
        Of shape ``(n, N)``.

    Raises
    ------
    ShapeError
        If ``x`` is not a vector.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.vander([1, 2], 3)
    Array([[1, 1, 1],
           [4, 2, 1]])
    """
    value = operand(x, "vander")
    shape = shape_of(value)
    if len(shape) != 1:
        raise ShapeError(f"vander takes a vector, got shape {shape}")
    count = shape[0] if N is None else int(N)
    kind = dtype_of(value)
    kind = np.promote_types(kind, int) if kind.kind in "biu" else kind
    value = convert(value, kind)
    columns = [structural.full(shape, 1, kind)]
    for k in range(1, count):
        columns.append(value if k == 1 else _power(value, k))
    columns = columns[:count] if increasing else columns[:count][::-1]
    if not columns:
        return wrap(structural.full((shape[0], 0), 0, kind))
    return wrap(slicing.concatenate([reshape(c, (shape[0], 1)) for c in columns], 1))


def _power(x: Any, exponent: int) -> Any:
    if dtype_of(x).kind in "fcV":
        return math_functions.integer_power.bind(x, exponent=exponent)
    return math_functions.power.bind(x, exponent)


# --- index arrays ------------------------------------------------------------------------------------------------------------------------


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """Row and column indices of the elements at and below a diagonal.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.tril_indices(2)
    (Array([0, 1, 1]), Array([0, 0, 1]))
    """
    rows, columns = np.tril_indices(n, k, m)
    return wrap(rows), wrap(columns)


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple[Array, Array]:
    """Row and column indices of the elements at and above a diagonal.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.triu_indices(2)
    (Array([0, 0, 1]), Array([0, 1, 1]))
    """
    rows, columns = np.triu_indices(n, k, m)
    return wrap(rows), wrap(columns)


def _matrix_shape(arr: Any, function: str) -> tuple[int, int]:
    shape = shape_of(operand(arr, function))
    if len(shape) != 2:
        raise ShapeError(f"{function} takes a matrix, got shape {shape}")
    return shape


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Array, Array]:
    """:func:`tril_indices` for the shape of a matrix.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.tril_indices_from(fnp.eye(1))
    (Array([0]), Array([0]))
    """
    rows, columns = _matrix_shape(arr, "tril_indices_from")
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Array, Array]:
    """:func:`triu_indices` for the shape of a matrix.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.triu_indices_from(fnp.eye(1))
    (Array([0]), Array([0]))
    """
    rows, columns = _matrix_shape(arr, "triu_indices_from")
    return triu_indices(rows, k, columns)


def diag_indices(n: int, ndim: int = 2) -> tuple[Array, ...]:
    """Indices of the main diagonal of an array with ``ndim`` axes of size ``n``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.diag_indices(2)
    (Array([0, 1]), Array([0, 1]))
    """
    return (wrap(np.arange(n)),) * ndim


def diag_indices_from(arr: Any) -> tuple[Array, ...]:
    """:func:`diag_indices` for the shape of an array with equal sizes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.diag_indices_from(fnp.eye(2))[0]
    Array([0, 1])
    """
    shape = shape_of(operand(arr, "diag_indices_from"))
    if len(shape) < 2 or len(set(shape)) != 1:
        raise ShapeError(f"diag_indices_from needs at least two axes, all of one size, got shape {shape}")
    return diag_indices(shape[0], len(shape))


def mask_indices(n: int, mask_func: Any, k: Any = 0) -> tuple[Array, ...]:
    """Indices of the elements of a square matrix that a mask function such as :func:`triu` keeps.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.mask_indices(2, fnp.triu, 1)
    (Array([0]), Array([1]))
    """
    kept = np.asarray(mask_func(np.ones((n, n), int), k))
    return tuple(wrap(i) for i in np.nonzero(kept != 0))
