"""Linear algebra: the names of ``numpy.linalg``, on stacks of matrices along the last two axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fad.core.array import Array, wrap
from fad.core.avals import shape_of
from fad.core.errors import ImmutableArrayError, LinAlgError, ShapeError
from fad.numpy.contractions import cross as _cross
from fad.numpy.contractions import matmul, multi_dot_operands, tensordot, vecdot
from fad.numpy.contractions import outer as _outer
from fad.numpy.conversion import operand
from fad.numpy.linalg_norms import cond, matrix_norm, norm, vector_norm
from fad.numpy.linalg_spectra import (
    EighResult,
    EigResult,
    QRResult,
    SVDResult,
    cholesky,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    qr,
    svd,
    svdvals,
)
from fad.numpy.linalg_systems import (
    SlogdetResult,
    det,
    inv,
    lstsq,
    matrix_power,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    tensorinv,
    tensorsolve,
)
from fad.numpy.matrices import diagonal as _diagonal
from fad.numpy.matrices import trace as _trace
from fad.primitives.linalg_matrices import transpose_matrix

__all__ = [
    "EigResult",
    "EighResult",
    "LinAlgError",
    "QRResult",
    "SVDResult",
    "SlogdetResult",
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]


def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Array:
    """Product of several matrices in the cheapest order.

    Parameters
    ----------
    arrays : sequence of array_like
        2-d arrays; the first and the last may be 1-d.

    Returns
    -------
    Array
        The product, promoted dtype.

    Raises
    ------
    ShapeError
        If an array has another rank or the sizes do not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.multi_dot([fnp.ones((2, 3)), fnp.ones((3, 4)), fnp.ones(4)])
    Array([12., 12.])
    """
    if out is not None:
        raise ImmutableArrayError("multi_dot: out= is not supported, arrays are immutable; use the returned array")
    return wrap(multi_dot_operands([operand(a, "multi_dot") for a in arrays], "multi_dot"))


def matrix_transpose(x: Any, /) -> Array:
    """The last two axes exchanged.

    Parameters
    ----------
    x : array_like
        Shape ``(..., m, n)``.

    Returns
    -------
    Array
        Shape ``(..., n, m)``.

    Raises
    ------
    ShapeError
        If ``x`` has fewer than two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.matrix_transpose(fnp.ones((5, 2, 3))).shape
    (5, 3, 2)
    """
    value = operand(x, "matrix_transpose")
    if len(shape_of(value)) < 2:
        raise ShapeError(f"matrix_transpose needs at least two axes, got shape {shape_of(value)}")
    return wrap(transpose_matrix(value))


def outer(x1: Any, x2: Any, /) -> Array:
    """All products of an element of one vector and an element of another.

    Parameters
    ----------
    x1, x2 : array_like
        1-d arrays.

    Returns
    -------
    Array
        Shape ``(n, m)``.

    Raises
    ------
    ShapeError
        If an argument is not 1-d.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.outer([1.0, 2.0], [3.0])
    Array([[3.],
           [6.]])
    """
    shapes = [shape_of(operand(v, "outer")) for v in (x1, x2)]
    if any(len(s) != 1 for s in shapes):
        raise ShapeError(
            f"linalg.outer needs 1-d arrays, got shapes {shapes[0]} and {shapes[1]}; fad.numpy.outer flattens"
        )
    return _outer(x1, x2)


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """Cross product of vectors in three dimensions.

    Parameters
    ----------
    x1, x2 : array_like
        Arrays with 3 elements along ``axis``; the others broadcast.
    axis : int
        The axis of the vectors.

    Returns
    -------
    Array
        The broadcast shape.

    Raises
    ------
    ShapeError
        If ``axis`` does not have 3 elements.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    Array([0., 0., 1.])
    """
    return _cross(x1, x2, axis=axis)


def diagonal(x: Any, /, *, offset: int = 0) -> Array:
    """Diagonals of the matrices along the last two axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., m, n)``.
    offset : int
        Which diagonal: above the main one if positive.

    Returns
    -------
    Array
        Shape ``(..., k)``.

    Raises
    ------
    ShapeError
        If ``x`` has fewer than two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.diagonal([[1.0, 2.0], [3.0, 4.0]])
    Array([1., 4.])
    """
    return _diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """Sums of diagonals of the matrices along the last two axes.

    Parameters
    ----------
    x : array_like
        Shape ``(..., m, n)``.
    offset : int
        Which diagonal: above the main one if positive.
    dtype : dtype, optional
        Of the sum.

    Returns
    -------
    Array
        Shape ``(...)``.

    Raises
    ------
    ShapeError
        If ``x`` has fewer than two axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.trace([[1.0, 2.0], [3.0, 4.0]])
    Array(5.)
    """
    return _trace(x, offset, -2, -1, dtype)
