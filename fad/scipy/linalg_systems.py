"""Factors to solve linear systems with, under SciPy's names, in ``fad.scipy.linalg``."""

from __future__ import annotations

from typing import Any

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, shape_of
from fad.core.errors import ArgumentError
from fad.numpy.conversion import operand
from fad.numpy.linalg_systems import inexact_operands, matrix_operand, solved, square_operand
from fad.primitives.arithmetic import conj_if_complex
from fad.primitives.linalg_factorizations import cholesky as cholesky_operand
from fad.primitives.linalg_factorizations import lu_factor as lu_operands
from fad.primitives.linalg_factorizations import lu_parts, permutation_matrix, row_order
from fad.primitives.linalg_functions import solve_sylvester_matrices
from fad.primitives.linalg_matrices import adjoint, product, transpose_matrix
from fad.primitives.linalg_solving import solve_matrices, solve_triangular_matrices
from fad.primitives.structural import broadcast_to

__all__ = [
    "cho_factor",
    "cho_solve",
    "cholesky",
    "lu",
    "lu_factor",
    "lu_solve",
    "solve",
    "solve_sylvester",
    "solve_triangular",
]


def _transposed_kind(function: str, trans: Any) -> tuple[bool, bool]:
    """Whether to transpose, and whether to conjugate."""
    kinds = {
        0: (False, False),
        "N": (False, False),
        1: (True, False),
        "T": (True, False),
        2: (True, True),
        "C": (True, True),
    }
    if trans not in kinds:
        raise ArgumentError(f"{function}: trans must be 0, 1, 2, 'N', 'T' or 'C', got {trans!r}")
    return kinds[trans]


def solve_triangular(
    a: Any, b: Any, trans: Any = 0, lower: bool = False, unit_diagonal: bool = False, **unused: Any
) -> Array:
    """Solution x of ``a @ x = b`` for triangular ``a``.

    Parameters
    ----------
    a : array_like
        Shape ``(..., n, n)``; the other triangle is not read.
    b : array_like
        Shape ``(n,)`` or ``(..., n, k)``.
    trans : {0, 1, 2, "N", "T", "C"}
        Solve with ``a``, its transpose or its adjoint.
    lower : bool
        Whether ``a`` is lower triangular.
    unit_diagonal : bool
        Take the diagonal as ones.

    Returns
    -------
    Array
        Shaped like ``b``.

    Raises
    ------
    LinAlgError
        If a diagonal element is 0.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.solve_triangular([[2.0, 0.0], [1.0, 1.0]], [2.0, 3.0], lower=True)
    Array([1., 2.])
    """
    ignore_hints("solve_triangular", unused)
    x, y = inexact_operands("solve_triangular", a, b)
    transpose, conjugate = _transposed_kind("solve_triangular", trans)
    x = conj_if_complex(x) if conjugate else x
    return wrap(
        solved(
            "solve_triangular",
            x,
            y,
            lambda m, r: solve_triangular_matrices(m, r, lower, transpose, bool(unit_diagonal)),
        )
    )


def ignore_hints(function: str, keywords: dict[str, Any]) -> None:
    """SciPy's permissions to overwrite and to skip checks change no result."""
    unknown = set(keywords) - {"overwrite_a", "overwrite_b", "overwrite_ab", "check_finite", "lapack_driver"}
    if unknown:
        raise ArgumentError(f"{function} does not take {', '.join(sorted(unknown))}")


def solve(
    a: Any, b: Any, lower: bool = False, assume_a: str | None = None, transposed: bool = False, **unused: Any
) -> Array:
    """Solution x of ``a @ x = b``.

    Parameters
    ----------
    a : array_like
        Shape ``(..., n, n)``.
    b : array_like
        Shape ``(n,)`` or ``(..., n, k)``.
    lower : bool
        Which triangle to use, with ``assume_a`` a triangular kind.
    assume_a : str, optional
        ``"pos"`` solves by Cholesky, ``"lower triangular"`` and ``"upper triangular"`` by substitution, all others by LU.
    transposed : bool
        Solve with the transpose.

    Returns
    -------
    Array
        Shaped like ``b``.

    Raises
    ------
    LinAlgError
        If a matrix is singular, or not positive definite with ``"pos"``.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0], assume_a="pos")
    Array([0.5 , 0.25])
    """
    ignore_hints("solve", unused)
    if assume_a in ("pos", "positive definite"):
        return cho_solve(cho_factor(a, lower=True), b)
    if assume_a in ("lower triangular", "upper triangular"):
        return solve_triangular(a, b, int(transposed), lower=assume_a.startswith("lower"))
    x, y = inexact_operands("solve", a, b)
    return wrap(solved("solve", transpose_matrix(x) if transposed else x, y, solve_matrices))


def cholesky(a: Any, lower: bool = False, **unused: Any) -> Array:
    """Cholesky factor; upper by default, as in SciPy.

    Parameters
    ----------
    a : array_like
        Hermitian positive definite, shape ``(..., n, n)``.
    lower : bool
        Give L with ``L @ L^H = a`` instead of U with ``U^H @ U = a``.

    Returns
    -------
    Array
        The factor.

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.cholesky([[4.0, 2.0], [2.0, 5.0]])
    Array([[2., 1.],
           [0., 2.]])
    """
    ignore_hints("cholesky", unused)
    factor = cholesky_operand(square_operand("cholesky", a))
    return wrap(factor if lower else adjoint(factor))


def cho_factor(a: Any, lower: bool = False, **unused: Any) -> tuple[Array, bool]:
    """Cholesky factor to solve with, see :func:`cho_solve`.

    Parameters
    ----------
    a : array_like
        Hermitian positive definite, shape ``(..., n, n)``.
    lower : bool
        Which factor.

    Returns
    -------
    c : Array
        The factor; the other triangle is 0.
    lower : bool
        As given.

    Raises
    ------
    LinAlgError
        If a matrix is not positive definite.

    Examples
    --------
    >>> import fad.scipy.linalg as sl
    >>> sl.cho_solve(sl.cho_factor([[4.0, 0.0], [0.0, 2.0]]), [4.0, 4.0])
    Array([1., 2.])
    """
    return cholesky(a, lower, **unused), lower


def cho_solve(c_and_lower: tuple[Any, bool], b: Any, **unused: Any) -> Array:
    """Solution of a positive definite system from its Cholesky factor.

    Parameters
    ----------
    c_and_lower : tuple
        What :func:`cho_factor` gives.
    b : array_like
        Shape ``(n,)`` or ``(..., n, k)``.

    Returns
    -------
    Array
        Shaped like ``b``.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import fad.scipy.linalg as sl
    >>> sl.cho_solve(sl.cho_factor([[4.0, 0.0], [0.0, 2.0]]), [4.0, 4.0])
    Array([1., 2.])
    """
    ignore_hints("cho_solve", unused)
    factor, lower = c_and_lower
    x, y = inexact_operands("cho_solve", factor, b)

    def both(m: Any, r: Any) -> Any:
        conjugate = conj_if_complex(m)
        if lower:
            half = solve_triangular_matrices(m, r, lower=True)
            return solve_triangular_matrices(conjugate, half, lower=True, transpose=True)
        half = solve_triangular_matrices(conjugate, r, lower=False, transpose=True)
        return solve_triangular_matrices(m, half, lower=False)

    return wrap(solved("cho_solve", x, y, both))


def lu(a: Any, permute_l: bool = False, p_indices: bool = False, **unused: Any) -> tuple[Array, ...]:
    """LU factorisation with row exchanges: ``a = p @ l @ u``.

    Parameters
    ----------
    a : array_like
        Shape ``(..., m, n)``.
    permute_l : bool
        Give ``(p @ l, u)``.
    p_indices : bool
        Give the order ``p`` with ``a = l[p] @ u`` instead of a matrix.

    Returns
    -------
    tuple of Array
        ``(p, l, u)`` or ``(p @ l, u)``.

    Raises
    ------
    LinAlgError
        If the derivative is asked for at a singular matrix.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> p, l, u = fad.scipy.linalg.lu([[1.0, 2.0], [2.0, 2.0]])
    >>> u
    Array([[2., 2.],
           [0., 1.]])
    """
    ignore_hints("lu", unused)
    x = matrix_operand("lu", a)
    packed, pivots = lu_operands(x)
    left, right = lu_parts(packed)
    order = row_order(pivots, shape_of(x)[-2])
    exchange = transpose_matrix(permutation_matrix(order, dtype_of(x)))
    if permute_l:
        return wrap(product(exchange, left)), wrap(right)
    if p_indices:
        return wrap(wrap(order).argsort(axis=-1)), wrap(left), wrap(right)
    return wrap(exchange), wrap(left), wrap(right)


def lu_factor(a: Any, **unused: Any) -> tuple[Array, Array]:
    """LU factors to solve with, see :func:`lu_solve`.

    Parameters
    ----------
    a : array_like
        Shape ``(..., m, n)``.

    Returns
    -------
    lu : Array
        U in and above the diagonal, L below it without its ones.
    piv : Array
        Row k was exchanged with row ``piv[k]``, one after the other.

    Raises
    ------
    LinAlgError
        If the derivative is asked for at a singular matrix.

    Examples
    --------
    >>> import fad.scipy.linalg as sl
    >>> sl.lu_solve(sl.lu_factor([[0.0, 2.0], [1.0, 0.0]]), [4.0, 1.0])
    Array([1., 2.])
    """
    ignore_hints("lu_factor", unused)
    packed, pivots = lu_operands(matrix_operand("lu_factor", a))
    return wrap(packed), wrap(pivots)


def lu_solve(lu_and_piv: tuple[Any, Any], b: Any, trans: int = 0, **unused: Any) -> Array:
    """Solution of a system from its LU factors.

    Parameters
    ----------
    lu_and_piv : tuple
        What :func:`lu_factor` gives for a square matrix.
    b : array_like
        Shape ``(n,)`` or ``(..., n, k)``.
    trans : {0, 1, 2}
        Solve with the matrix, its transpose or its adjoint.

    Returns
    -------
    Array
        Shaped like ``b``.

    Raises
    ------
    LinAlgError
        If the matrix is singular.

    Examples
    --------
    >>> import fad.scipy.linalg as sl
    >>> sl.lu_solve(sl.lu_factor([[0.0, 2.0], [1.0, 0.0]]), [4.0, 1.0])
    Array([1., 2.])
    """
    ignore_hints("lu_solve", unused)
    x, y = inexact_operands("lu_solve", lu_and_piv[0], b)
    order = row_order(operand(lu_and_piv[1], "lu_solve"), shape_of(x)[-1])
    transpose, conjugate = _transposed_kind("lu_solve", trans)
    x = conj_if_complex(x) if conjugate else x
    exchange = permutation_matrix(order, dtype_of(x))

    def substituted(m: Any, r: Any) -> Any:
        rows = broadcast_to(exchange, (*shape_of(r)[:-2], *shape_of(exchange)[-2:]))
        if transpose:
            half = solve_triangular_matrices(m, r, lower=False, transpose=True)
            half = solve_triangular_matrices(m, half, lower=True, transpose=True, unit=True)
            return product(transpose_matrix(rows), half)
        half = solve_triangular_matrices(m, product(rows, r), lower=True, unit=True)
        return solve_triangular_matrices(m, half, lower=False)

    return wrap(solved("lu_solve", x, y, substituted))


def solve_sylvester(a: Any, b: Any, q: Any) -> Array:
    """Solution x of ``a @ x + x @ b = q``.

    Parameters
    ----------
    a, b, q : array_like
        Shapes ``(m, m)``, ``(n, n)`` and ``(m, n)``.

    Returns
    -------
    Array
        Shape ``(m, n)``.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import fad.scipy.linalg
    >>> fad.scipy.linalg.solve_sylvester([[1.0]], [[3.0]], [[8.0]])
    Array([[2.]])
    """
    return wrap(solve_sylvester_matrices(*inexact_operands("solve_sylvester", a, b, q)))
