"""Linear algebra under SciPy's names and conventions: factors to solve with, matrix functions, special matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy.conversion import operand, promoted
from fad.numpy.linalg import det, eigvals, eigvalsh, inv, norm, pinv, svdvals
from fad.numpy.linalg_spectra import eigh as _eigh
from fad.numpy.linalg_spectra import qr as _qr
from fad.numpy.linalg_spectra import svd as _svd
from fad.numpy.linalg_systems import inexact_operands, matrix_operand, square_operand
from fad.primitives.arithmetic import conj_if_complex
from fad.primitives.linalg_factorizations import cholesky as cholesky_operand
from fad.primitives.linalg_functions import matrix_square_root
from fad.primitives.linalg_matrices import adjoint, product
from fad.primitives.linalg_solving import solve_triangular_matrices
from fad.primitives.linalg_spectral import svd as svd_operands
from fad.primitives.slicing import concatenate, flip, pad
from fad.primitives.structural import reshape
from fad.scipy.linalg_systems import (
    cho_factor,
    cho_solve,
    cholesky,
    ignore_hints,
    lu,
    lu_factor,
    lu_solve,
    solve,
    solve_sylvester,
    solve_triangular,
)
from fad.scipy.scaling_and_squaring import matrix_exponential

__all__ = [
    "block_diag",
    "cho_factor",
    "cho_solve",
    "cholesky",
    "circulant",
    "det",
    "eigh",
    "eigvals",
    "eigvalsh",
    "expm",
    "inv",
    "lu",
    "lu_factor",
    "lu_solve",
    "norm",
    "pinv",
    "polar",
    "qr",
    "solve",
    "solve_sylvester",
    "solve_triangular",
    "sqrtm",
    "svd",
    "svdvals",
    "toeplitz",
]


# --- spectra ------------------------------------------------------------------------------------------------------------------------------------------


def eigh(a: Any, b: Any = None, lower: bool = True, eigvals_only: bool = False, **unused: Any) -> Any:
    """Eigenvalues and eigenvectors of a Hermitian matrix, or of the pair ``a v = w b v`` with positive definite ``b``.

    Parameters
    ----------
    a, b : array_like
        Shape ``(..., n, n)``; Hermitian parts are used.
    lower : bool
        Accepted as in SciPy.
    eigvals_only : bool
        Give the eigenvalues alone.

    Returns
    -------
    tuple of Array, or Array
        Ascending eigenvalues, and eigenvectors as columns with ``v^H b v = 1``. Notes on derivatives: :func:`fad.numpy.linalg.eigh`.

    Raises
    ------
    LinAlgError
        If ``b`` is not positive definite.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.eigh([[2.0, 0.0], [0.0, 1.0]], eigvals_only=True)
    Array([1., 2.])
    """
    ignore_hints("eigh", unused)
    if b is None:
        if eigvals_only:
            return eigvalsh(a)
        return tuple(_eigh(a))
    x, y = inexact_operands("eigh", a, b)
    factor = cholesky_operand(square_operand("eigh", y))
    half = solve_triangular_matrices(factor, square_operand("eigh", x), lower=True)
    reduced = adjoint(solve_triangular_matrices(factor, adjoint(half), lower=True))
    if eigvals_only:
        return eigvalsh(reduced)
    values, vectors = _eigh(reduced)
    back = solve_triangular_matrices(conj_if_complex(factor), operand(vectors), lower=True, transpose=True)
    return values, wrap(back)


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, **unused: Any) -> Any:
    """Singular value decomposition; see :func:`fad.numpy.linalg.svd`.

    Parameters
    ----------
    a : array_like
        Shape ``(..., m, n)``.
    full_matrices, compute_uv : bool
        Square factors; whether to give the vectors.

    Returns
    -------
    tuple of Array, or Array
        ``(u, s, vh)``, or ``s``.

    Raises
    ------
    LinAlgError
        If the algorithm does not converge.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.svd([[3.0, 0.0], [0.0, 4.0]], compute_uv=False)
    Array([4., 3.])
    """
    ignore_hints("svd", unused)
    out = _svd(a, full_matrices, compute_uv)
    return tuple(out) if compute_uv else out


def qr(a: Any, mode: str = "full", **unused: Any) -> Any:
    """QR factorisation; see :func:`fad.numpy.linalg.qr`.

    Parameters
    ----------
    a : array_like
        Shape ``(..., m, n)``.
    mode : {"full", "economic", "r"}
        Q of ``m`` or of ``min(m, n)`` columns, or R alone.

    Returns
    -------
    tuple of Array
        ``(q, r)``, or ``(r,)`` for ``mode="r"``.

    Raises
    ------
    ArgumentError
        For another mode.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> [m.shape for m in fad.scipy.linalg.qr([[3.0], [4.0]])]
    [(2, 2), (2, 1)]
    """
    ignore_hints("qr", unused)
    if mode not in ("full", "economic", "r"):
        raise ArgumentError(f"qr: mode must be 'full', 'economic' or 'r', got {mode!r}")
    q, r = _qr(a, "reduced" if mode == "economic" else "complete")
    return (r,) if mode == "r" else (q, r)


def polar(a: Any, side: str = "right") -> tuple[Array, Array]:
    """Polar decomposition ``a = u @ p`` (or ``p @ u``) with orthonormal u and positive semidefinite p.

    Parameters
    ----------
    a : array_like
        Shape ``(..., m, n)``.
    side : {"right", "left"}
        On which side p stands.

    Returns
    -------
    u, p : Array
        The factors. Their derivative is exact for equal singular values too.

    Raises
    ------
    ArgumentError
        For another side.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.polar([[0.0, -2.0], [3.0, 0.0]])[1]
    Array([[3., 0.],
           [0., 2.]])
    """
    if side not in ("right", "left"):
        raise ArgumentError(f"polar: side must be 'right' or 'left', got {side!r}")
    x = matrix_operand("polar", a)
    u, _, vh = svd_operands(x)
    turn = product(u, vh)
    # p from a and the polar factor, not from the singular vectors: their derivative would miss turns among equal singular values.
    p = product(adjoint(turn), x) if side == "right" else product(x, adjoint(turn))
    return wrap(turn), wrap((p + adjoint(p)) * 0.5)


# --- functions of matrices --------------------------------------------------------------------------------------------------------------------------------


def expm(A: Any) -> Array:
    """Exponential of square matrices.

    Parameters
    ----------
    A : array_like
        Shape ``(..., n, n)``.

    Returns
    -------
    Array
        ``1 + A + A @ A / 2 + ...``, evaluated by SciPy and compiled as products and one solve (Al-Mohy and Higham, 2009); the derivative comes from a
        block triangular exponential (Van Loan, 1978).

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.expm([[0.0, 1.0], [0.0, 0.0]])
    Array([[1., 1.],
           [0., 1.]])
    """
    return wrap(matrix_exponential(square_operand("expm", A)))


def sqrtm(A: Any, **unused: Any) -> Array:
    """Principal square root of square matrices.

    Parameters
    ----------
    A : array_like
        Shape ``(..., n, n)``. A real result is given for a real argument.

    Returns
    -------
    Array
        R with ``R @ R = A``; its derivative solves Sylvester's equation.

    Raises
    ------
    LinAlgError
        If a real matrix has no real principal root; convert it to complex then.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.sqrtm([[4.0, 0.0], [0.0, 9.0]])
    Array([[2., 0.],
           [0., 3.]])
    """
    ignore_hints("sqrtm", unused)
    return wrap(matrix_square_root(square_operand("sqrtm", A)))


# --- special matrices -----------------------------------------------------------------------------------------------------------------------------------


def block_diag(*arrs: Any) -> Array:
    """A matrix with the given ones along its diagonal, zeros elsewhere.

    Parameters
    ----------
    *arrs : array_like
        At most 2-d; vectors are rows.

    Returns
    -------
    Array
        2-d, promoted dtype.

    Raises
    ------
    ShapeError
        If an argument has more than two axes.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.block_diag([[1.0]], [[2.0, 3.0]])
    Array([[1., 0., 0.],
           [0., 2., 3.]])
    """
    blocks = promoted("block_diag", *(arrs or ([],)))
    if any(len(shape_of(b)) > 2 for b in blocks):
        raise ShapeError(f"block_diag takes at most 2-d arrays, got shapes {[shape_of(b) for b in blocks]}")
    blocks = [b if len(shape_of(b)) == 2 else reshape(b, (1, aval_of(b).size)) for b in blocks]
    total, before, rows = sum(shape_of(b)[1] for b in blocks), 0, []
    for block in blocks:
        width = shape_of(block)[1]
        rows.append(pad(block, ((0, 0, 0), (before, total - before - width, 0))))
        before += width
    return wrap(concatenate(rows, 0))


def toeplitz(c: Any, r: Any = None) -> Array:
    """A matrix that is constant along its diagonals.

    Parameters
    ----------
    c : array_like
        First column.
    r : array_like, optional
        First row, of which the first element is not read; the conjugate of ``c`` by default.

    Returns
    -------
    Array
        Shape ``(c.size, r.size)``.

    Raises
    ------
    ShapeError
        If an argument is not a vector.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.toeplitz([1.0, 2.0], [9.0, 3.0, 4.0])
    Array([[1., 3., 4.],
           [2., 1., 3.]])
    """
    column = operand(c, "toeplitz")
    column, row = promoted("toeplitz", column, conj_if_complex(column) if r is None else r)
    column, row = (reshape(v, (1,)) if not shape_of(v) else v for v in (column, row))
    if len(shape_of(column)) != 1 or len(shape_of(row)) != 1:
        raise ShapeError(f"toeplitz needs vectors, got shapes {shape_of(column)} and {shape_of(row)}")
    rows, columns = shape_of(column)[0], shape_of(row)[0]
    values = wrap(concatenate([flip(column, (0,)), operand(wrap(row)[1:])], 0))
    return values[np.arange(columns)[None, :] - np.arange(rows)[:, None] + (rows - 1)]


def circulant(c: Any) -> Array:
    """The matrix of the circular convolution with a vector.

    Parameters
    ----------
    c : array_like
        First column.

    Returns
    -------
    Array
        Shape ``(n, n)``.

    Raises
    ------
    ShapeError
        If ``c`` is not a vector.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.circulant([1.0, 2.0, 3.0])
    Array([[1., 3., 2.],
           [2., 1., 3.],
           [3., 2., 1.]])
    """
    column = operand(c, "circulant")
    if len(shape_of(column)) != 1:
        raise ShapeError(f"circulant needs a vector, got shape {shape_of(column)}")
    size = shape_of(column)[0]
    return wrap(column)[(np.arange(size)[:, None] - np.arange(size)[None, :]) % max(size, 1)]
