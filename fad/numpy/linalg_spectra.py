"""Factorisations and spectra, in ``fad.numpy.linalg``."""

from __future__ import annotations

from typing import Any, NamedTuple

from fad.core.array import Array, wrap
from fad.core.avals import shape_of
from fad.core.errors import ArgumentError
from fad.numpy.linalg_systems import matrix_operand, square_operand
from fad.primitives.linalg_factorizations import cholesky as cholesky_factor
from fad.primitives.linalg_factorizations import qr_factor
from fad.primitives.linalg_matrices import adjoint
from fad.primitives.linalg_spectral import eig as eig_operands
from fad.primitives.linalg_spectral import eigh as eigh_operands
from fad.primitives.linalg_spectral import svd as svd_operands

__all__ = [
    "EigResult",
    "EighResult",
    "QRResult",
    "SVDResult",
    "cholesky",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "qr",
    "svd",
    "svdvals",
]


class EigResult(NamedTuple):
    """Eigenvalues and right eigenvectors (as columns).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.eig(fnp.eye(2)).eigenvalues
    Array([1.+0.j, 1.+0.j])
    """

    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    """Eigenvalues in ascending order and eigenvectors (as columns).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.eigh(fnp.eye(2)).eigenvalues
    Array([1., 1.])
    """

    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    """Orthonormal columns and an upper triangle.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.qr(fnp.eye(2)).R.shape
    (2, 2)
    """

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """Left singular vectors (columns), singular values in descending order, right singular vectors (rows, conjugated).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.svd(fnp.eye(2)).S
    Array([1., 1.])
    """

    U: Any
    S: Any
    Vh: Any


def cholesky(a: Any, /, *, upper: bool = False) -> Array:
    """Cholesky factors of Hermitian positive definite matrices.

    Parameters
    ----------
    a : array_like
        Shape ``(..., n, n)``. The Hermitian part ``(a + a^H) / 2`` is factored, so the derivative by ``a`` is Hermitian.
    upper : bool
        Give the upper factor, the adjoint of the lower one.

    Returns
    -------
    Array
        L with ``L @ L^H = a``, or its adjoint. Derivative: Giles (2008).

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.cholesky([[4.0, 2.0], [2.0, 5.0]])
    Array([[2., 0.],
           [1., 2.]])
    """
    factor = cholesky_factor(square_operand("cholesky", a))
    return wrap(adjoint(factor) if upper else factor)


def qr(a: Any, mode: str = "reduced") -> Any:
    """Orthonormal columns Q and upper triangle R with ``Q @ R = a``.

    Parameters
    ----------
    a : array_like
        Shape ``(..., m, n)``.
    mode : {"reduced", "complete", "r"}
        Q of ``min(m, n)`` columns, of ``m`` columns, or only R.

    Returns
    -------
    QRResult or Array
        ``(Q, R)``, or R for ``mode="r"``. The derivative (Walter and Lehmann, 2010) needs the first ``min(m, n)`` columns to be independent; the
        columns that ``"complete"`` adds are differentiated as a subspace.

    Raises
    ------
    ArgumentError
        For another mode.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> q, r = fnp.linalg.qr([[3.0], [4.0]])
    >>> fnp.abs(r)
    Array([[5.]])
    """
    if mode not in ("reduced", "complete", "r"):
        raise ArgumentError(f"qr: mode must be 'reduced', 'complete' or 'r', got {mode!r}")
    q, r = qr_factor(matrix_operand("qr", a), mode == "complete")
    return wrap(r) if mode == "r" else QRResult(wrap(q), wrap(r))


def _check_triangle(function: str, UPLO: str) -> None:
    if UPLO not in ("L", "U", "l", "u"):
        raise ArgumentError(f"{function}: UPLO must be 'L' or 'U', got {UPLO!r}")


def eigh(a: Any, UPLO: str = "L") -> EighResult:
    """Eigenvalues and eigenvectors of Hermitian matrices.

    Parameters
    ----------
    a : array_like
        Shape ``(..., n, n)``. The Hermitian part ``(a + a^H) / 2`` is used, so the derivative by ``a`` is Hermitian.
    UPLO : {"L", "U"}
        Accepted as in NumPy; both triangles of a Hermitian matrix say the same.

    Returns
    -------
    EighResult
        Eigenvalues, shape ``(..., n)``, ascending, and eigenvectors, shape ``(..., n, n)``, as columns.

    Raises
    ------
    LinAlgError
        If the algorithm does not converge.

    Notes
    -----
    Derivative: Giles (2008). Turns among eigenvectors of equal eigenvalues count as 0: the derivative is exact for functions that do not depend
    on them, such as sums over equal eigenvalues or projectors on whole eigenspaces. The first component of complex eigenvectors is real
    and stays so.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.eigh([[2.0, 0.0], [0.0, 1.0]]).eigenvalues
    Array([1., 2.])
    """
    _check_triangle("eigh", UPLO)
    return EighResult(*map(wrap, eigh_operands(square_operand("eigh", a))))


def eigvalsh(a: Any, UPLO: str = "L") -> Array:
    """Eigenvalues of Hermitian matrices, ascending.

    Parameters
    ----------
    a : array_like
        Shape ``(..., n, n)``; the Hermitian part is used.
    UPLO : {"L", "U"}
        Accepted as in NumPy.

    Returns
    -------
    Array
        Real, shape ``(..., n)``.

    Raises
    ------
    LinAlgError
        If the algorithm does not converge.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.eigvalsh([[0.0, 1.0], [1.0, 0.0]])
    Array([-1.,  1.])
    """
    _check_triangle("eigvalsh", UPLO)
    return wrap(eigh_operands(square_operand("eigvalsh", a), vectors=False)[0])


def eig(a: Any) -> EigResult:
    """Eigenvalues and right eigenvectors of general matrices, always complex.

    Parameters
    ----------
    a : array_like
        Shape ``(..., n, n)``.

    Returns
    -------
    EigResult
        Eigenvalues, shape ``(..., n)``, and eigenvectors of length 1, shape ``(..., n, n)``, as columns. NumPy gives real arrays where all eigenvalues
        happen to be real; here the dtype does not depend on values.

    Raises
    ------
    LinAlgError
        If the algorithm does not converge, or the derivative is asked for at a matrix without a basis of eigenvectors.

    Notes
    -----
    Eigenvectors have length 1 and a real largest component, and the derivative keeps both. Turns among eigenvectors of equal
    eigenvalues count as 0.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.eig([[0.0, -1.0], [1.0, 0.0]]).eigenvalues
    Array([0.+1.j, 0.-1.j])
    """
    return EigResult(*map(wrap, eig_operands(square_operand("eig", a))))


def eigvals(a: Any) -> Array:
    """Eigenvalues of general matrices, always complex.

    Parameters
    ----------
    a : array_like
        Shape ``(..., n, n)``.

    Returns
    -------
    Array
        Complex, shape ``(..., n)``.

    Raises
    ------
    LinAlgError
        If the algorithm does not converge, or the derivative is asked for at a matrix without a basis of eigenvectors.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.eigvals([[1.0, 0.0], [0.0, 2.0]])
    Array([1.+0.j, 2.+0.j])
    """
    return wrap(eig_operands(square_operand("eigvals", a), vectors=False)[0])


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    """Singular value decomposition ``a = U @ diag(S) @ Vh``.

    Parameters
    ----------
    a : array_like
        Shape ``(..., m, n)``.
    full_matrices : bool
        Square U and Vh, or ``min(m, n)`` singular vectors.
    compute_uv : bool
        Whether to give the vectors too.
    hermitian : bool
        Accepted as in NumPy; the result is the same.

    Returns
    -------
    SVDResult or Array
        ``(U, S, Vh)``, or S alone.

    Raises
    ------
    LinAlgError
        If the algorithm does not converge.

    Notes
    -----
    Derivative: Townsend (2016). Turns among vectors of equal singular values count as 0 where they are free, and the polar factor ``U @ Vh`` is
    differentiated exactly. The vectors that ``full_matrices`` adds are differentiated as a subspace.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.svd([[3.0, 0.0], [0.0, 4.0]]).S
    Array([4., 3.])
    """
    x = matrix_operand("svd", a)
    if not compute_uv:
        return wrap(svd_operands(x, vectors=False)[0])
    rows, columns = shape_of(x)[-2:]
    return SVDResult(*map(wrap, svd_operands(x, bool(full_matrices) and rows != columns)))


def svdvals(x: Any, /) -> Array:
    """Singular values, descending.

    Parameters
    ----------
    x : array_like
        Shape ``(..., m, n)``.

    Returns
    -------
    Array
        Real, shape ``(..., min(m, n))``.

    Raises
    ------
    LinAlgError
        If the algorithm does not converge.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.svdvals([[3.0, 0.0], [0.0, 4.0]])
    Array([4., 3.])
    """
    return wrap(svd_operands(matrix_operand("svdvals", x), vectors=False)[0])
