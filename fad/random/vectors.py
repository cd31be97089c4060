"""Random vectors and matrices made from normal numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy.conversion import operand, shape_tuple
from fad.primitives.arithmetic import less, maximum, select
from fad.primitives.linalg_factorizations import cholesky, qr_factor
from fad.primitives.linalg_matrices import diagonal, product, scale_columns, transpose_matrix
from fad.primitives.linalg_spectral import eigh
from fad.primitives.math_functions import sqrt
from fad.primitives.structural import broadcast_to, convert, reshape
from fad.random.arguments import float_dtype
from fad.random.elementary import standard_normal
from fad.random.keys import key_words

__all__ = ["multivariate_normal", "orthogonal"]


def multivariate_normal(
    key: Array, mean: Any, cov: Any, shape: Any = None, dtype: Any = float, method: str = "cholesky"
) -> Array:
    """Normal vectors with a given mean and covariance.

    Parameters
    ----------
    key : Array
        A key.
    mean : array_like
        Shape (..., n).
    cov : array_like
        Shape (..., n, n): symmetric positive definite for ``"cholesky"``, semi-definite for ``"eigh"``. The vectors are differentiable in both.
    shape : int or tuple of int, optional
        The shape of the array of vectors; by default the common leading shape of the parameters.
    dtype : dtype
        A real floating dtype.
    method : {"cholesky", "eigh"}
        The factorisation of ``cov`` that standard normal vectors are multiplied by.

    Returns
    -------
    Array
        Shape ``(*shape, n)``.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ArgumentError
        If the method is unknown.

    Examples
    --------
    >>> import fad
    >>> fad.random.multivariate_normal(fad.random.key(0), [0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]], (100,)).shape
    (100, 2)
    """
    words = key_words(key, "multivariate_normal")
    found = float_dtype("multivariate_normal", dtype)
    center, spread = (convert(operand(v, "fad.random.multivariate_normal"), found) for v in (mean, cov))
    if not shape_of(center) or shape_of(spread)[-2:] != shape_of(center)[-1:] * 2:
        raise ShapeError(
            f"fad.random.multivariate_normal needs mean of shape (..., n) and cov of shape (..., n, n), got {shape_of(center)} and {shape_of(spread)}"
        )
    if method not in ("cholesky", "eigh"):
        raise ArgumentError(f"fad.random.multivariate_normal: method must be 'cholesky' or 'eigh', got {method!r}")
    size = shape_of(center)[-1]
    wanted = _vectors_shape(shape, shape_of(center)[:-1], shape_of(spread)[:-2])
    factor = cholesky(spread) if method == "cholesky" else _eigen_factor(spread)
    drawn = standard_normal(words, (*wanted, size), found)
    factor = broadcast_to(factor, (*wanted, size, size))
    return wrap(center + reshape(product(factor, reshape(drawn, (*wanted, size, 1))), (*wanted, size)))


def _vectors_shape(shape: Any, *leads: tuple[int, ...]) -> tuple[int, ...]:
    wanted = () if shape is None else shape_tuple(shape, "fad.random.multivariate_normal")
    try:
        common = np.broadcast_shapes(wanted, *leads)
    except ValueError:
        common = None
    if common is None or (shape is not None and common != wanted):
        raise ShapeError(
            f"fad.random.multivariate_normal: leading shapes {leads[0]} of mean and {leads[1]} of cov do not broadcast to shape={shape}"
        )
    return common


def _eigen_factor(spread: Any) -> Any:
    values, vectors = eigh(spread)
    return scale_columns(vectors, sqrt.bind(maximum.bind(values, 0.0)))


def orthogonal(key: Array, n: int, shape: Any = (), dtype: Any = float, m: int | None = None) -> Array:
    """Matrices with orthonormal columns (or rows), uniformly distributed.

    F. Mezzadri, "How to generate random matrices from the classical compact groups" (2007).

    Parameters
    ----------
    key : Array
        A key.
    n : int
        Rows.
    shape : int or tuple of int
        The shape of the array of matrices.
    dtype : dtype
        A real floating dtype.
    m : int, optional
        Columns; by default ``n``.

    Returns
    -------
    Array
        Shape ``(*shape, n, m)``.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> q = fad.random.orthogonal(fad.random.key(0), 3)
    >>> bool(fnp.abs(q @ q.T - fnp.eye(3)).max() < 1e-12)
    True
    """
    words = key_words(key, "orthogonal")
    found = float_dtype("orthogonal", dtype)
    rows, columns = shape_tuple((n, n if m is None else m), "fad.random.orthogonal")
    lead = shape_tuple(shape, "fad.random.orthogonal")
    q, r = qr_factor(standard_normal(words, (*lead, max(rows, columns), min(rows, columns)), found))
    signs = select.bind(less.bind(diagonal(r), 0), found.type(-1), found.type(1))
    q = scale_columns(q, signs)
    return wrap(transpose_matrix(q) if rows < columns else q)
