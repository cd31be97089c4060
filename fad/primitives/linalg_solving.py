"""Linear systems and inverses of stacks of matrices.

Derivatives: M. Giles, "An extended collection of matrix derivative results for forward and reverse mode automatic differentiation" (2008);
of the pseudoinverse: G. Golub and V. Pereyra, SIAM J. Numer. Anal. 10 (1973). Transposes are without conjugation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray
from fad.core.errors import LinAlgError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, f32, f64
from fad.primitives.arithmetic import conj_if_complex
from fad.primitives.linalg_matrices import (
    adjoint,
    columns_of_stack,
    lapack_errors,
    lower,
    mapped_front,
    product,
    require_matrices,
    require_square,
    stack_of_columns,
    stacked,
    transpose_matrix,
    upper,
)

__all__ = ["inverse", "pseudoinverse", "solve_matrices", "solve_triangular_matrices"]

_SINGULAR = "Add a multiple of the identity, or use fad.numpy.linalg.lstsq or pinv for a least-squares solution"


def dominant(x: np.ndarray) -> np.ndarray:
    """A well-conditioned sample: the draw plus a multiple of the identity."""
    return x + 4 * np.eye(x.shape[-1], dtype=x.dtype)


# --- solve --------------------------------------------------------------------------------------------------------------------------------------


def _solve_impl(xp: Any, a: Any, b: Any) -> Any:
    with lapack_errors("solve", a, _SINGULAR):
        return xp.linalg.solve(a, b)


def _system_shape(function: str, a: ShapedArray, b: ShapedArray) -> ShapedArray:
    require_square(function, a)
    require_matrices(function, b)
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2] or a.dtype != b.dtype:
        raise ShapeError(f"{function}: a system with matrices {a} and right-hand sides {b} does not fit")
    return b.update()


def _solve_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (a, b), (a_tangent, b_tangent) = primals, tangents
    x = solve_p.bind(a, b)
    right = None if a_tangent is None else -product(a_tangent, x)
    if b_tangent is not None:
        right = b_tangent if right is None else right + b_tangent
    return x, solve_p.bind(a, right)


def _solve_vjp(a: Any, b: Any) -> Any:
    x = solve_p.bind(a, b)

    def pullback(ct: Any) -> list[Any]:
        b_cotangent = solve_p.bind(transpose_matrix(a), ct)
        return [-product(b_cotangent, transpose_matrix(x)), b_cotangent]

    return x, pullback


def _system_batch(primitive: Any) -> Any:
    def batch(size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        a, b = args
        if mapped[0] or size == 0:
            return primitive().bind(*mapped_front(size, args, mapped), **params), True
        # One matrix for all: its right-hand sides stand side by side.
        return stack_of_columns(primitive().bind(a, columns_of_stack(b), **params), size), True

    return batch


solve_p = Primitive(
    "solve",
    impl=_solve_impl,
    shape=lambda a, b: _system_shape("solve", a, b),
    jvp=_solve_jvp,
    vjp=_solve_vjp,
    batch=_system_batch(lambda: solve_p),
    kernel="solve",
    samples=[
        case(f64(3, 3, transform=dominant), f64(3, 2)),
        case(f64(2, 3, 3, transform=dominant), f64(2, 3, 1)),
        case(f64(1, 1, transform=dominant), f64(1, 1)),
        case(f64(0, 0), f64(0, 2)),
        case(f64(0, 2, 2, transform=dominant), f64(0, 2, 2)),
        case(f32(2, 2, transform=dominant), f32(2, 2)),
        case(c128(2, 2, transform=dominant), c128(2, 3)),
    ],
    doc="The solution x of a @ x = b, for stacks with equal leading axes.",
)


def solve_matrices(a: Any, b: Any) -> Any:
    """The solution x of ``a @ x = b``; both of one dtype and with equal leading axes."""
    return solve_p.bind(a, b)


# --- triangular systems ---------------------------------------------------------------------------------------------------------------------------


def _triangular_impl(xp: Any, a: Any, b: Any, *, lower: bool, transpose: bool, unit: bool) -> Any:
    if not unit and (xp.diagonal(a, axis1=-2, axis2=-1) == 0).any():
        raise LinAlgError(
            f"triangular solve of {a.dtype.name}{list(a.shape)}: a diagonal element is 0, the matrix is singular. {_SINGULAR}"
        )
    if b.size == 0:
        return xp.zeros(b.shape, b.dtype)
    if xp is not np:
        matrices = _explicit_triangle(xp, a, lower, unit)
        return xp.linalg.solve(xp.swapaxes(matrices, -1, -2) if transpose else matrices, b)
    from scipy.linalg.blas import get_blas_funcs

    (solver,) = get_blas_funcs(("trsm",), (a, b))
    options = {"lower": int(lower), "trans_a": int(transpose), "diag": int(unit)}
    if a.ndim == 2:
        return _solved(solver, a, b, options)
    out = np.empty(b.shape, b.dtype)
    for index in np.ndindex(a.shape[:-2]):
        out[index] = _solved(solver, a[index], b[index], options)
    return out


def _solved(solver: Any, a: Any, b: Any, options: dict[str, int]) -> Any:
    # BLAS counts by columns: a C-ordered matrix is its transpose, so (a x = b) is solved as (x^T a^T = b^T) without copies.
    if a.flags.c_contiguous:
        return solver(
            1.0, a.T, b.T, side=1, lower=1 - options["lower"], trans_a=options["trans_a"], diag=options["diag"]
        ).T
    return solver(1.0, a, b, **options)


def _explicit_triangle(xp: Any, a: Any, is_lower: bool, unit: bool) -> Any:
    triangle = xp.tril(a, -1 if unit else 0) if is_lower else xp.triu(a, 1 if unit else 0)
    return triangle + xp.eye(a.shape[-1], dtype=a.dtype) if unit else triangle


def _triangle(x: Any, is_lower: bool, unit: bool) -> Any:
    return lower(x, -1 if unit else 0) if is_lower else upper(x, 1 if unit else 0)


def _triangular_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (a, b), (a_tangent, b_tangent) = primals, tangents
    x = solve_triangular_p.bind(a, b, **params)
    right = None
    if a_tangent is not None:
        change = _triangle(a_tangent, params["lower"], params["unit"])
        right = -product(transpose_matrix(change) if params["transpose"] else change, x)
    if b_tangent is not None:
        right = b_tangent if right is None else right + b_tangent
    return x, solve_triangular_p.bind(a, right, **params)


def _triangular_vjp(a: Any, b: Any, *, lower: bool, transpose: bool, unit: bool) -> Any:
    x = solve_triangular_p.bind(a, b, lower=lower, transpose=transpose, unit=unit)

    def pullback(ct: Any) -> list[Any]:
        b_cotangent = solve_triangular_p.bind(a, ct, lower=lower, transpose=not transpose, unit=unit)
        outer = product(x, transpose_matrix(b_cotangent)) if transpose else product(b_cotangent, transpose_matrix(x))
        return [-_triangle(outer, lower, unit), b_cotangent]

    return x, pullback


solve_triangular_p = Primitive(
    "solve_triangular",
    impl=_triangular_impl,
    shape=lambda a, b, **params: _system_shape("solve_triangular", a, b),
    jvp=_triangular_jvp,
    vjp=_triangular_vjp,
    batch=_system_batch(lambda: solve_triangular_p),
    kernel="solve_triangular",
    samples=[
        case(f64(3, 3, transform=dominant), f64(3, 2), lower=True, transpose=False, unit=False),
        case(f64(3, 3, transform=dominant), f64(3, 2), lower=False, transpose=True, unit=False),
        case(f64(2, 3, 3), f64(2, 3, 2), lower=True, transpose=True, unit=True),
        case(f64(2, 3, 3), f64(2, 3, 2), lower=False, transpose=False, unit=True),
        case(f64(1, 1, transform=dominant), f64(1, 1), lower=True, transpose=False, unit=False),
        case(f64(0, 0), f64(0, 2), lower=True, transpose=False, unit=False),
        case(f32(2, 2, transform=dominant), f32(2, 2), lower=True, transpose=False, unit=False),
        case(c128(2, 2, transform=dominant), c128(2, 1), lower=False, transpose=True, unit=False),
    ],
    doc="The solution x of a @ x = b (or a.T @ x = b) for triangular a; the other triangle is not read.",
)


def solve_triangular_matrices(a: Any, b: Any, lower: bool, transpose: bool = False, unit: bool = False) -> Any:
    """The solution of a triangular system; both of one dtype and with equal leading axes."""
    return solve_triangular_p.bind(a, b, lower=lower, transpose=transpose, unit=unit)


# --- inverse and pseudoinverse ----------------------------------------------------------------------------------------------------------------------


def _inverse_impl(xp: Any, a: Any) -> Any:
    with lapack_errors("inv", a, _SINGULAR):
        return xp.linalg.inv(a)


def _inverse_shape(a: ShapedArray) -> ShapedArray:
    require_square("inv", a)
    return a.update()


def _inverse_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    x = inverse_p.bind(*primals)
    return x, -product(x, tangents[0], x)


def _inverse_vjp(a: Any) -> Any:
    x = inverse_p.bind(a)

    def pullback(ct: Any) -> list[Any]:
        transposed = transpose_matrix(x)
        return [-product(transposed, ct, transposed)]

    return x, pullback


inverse_p = Primitive(
    "inverse",
    impl=_inverse_impl,
    shape=_inverse_shape,
    jvp=_inverse_jvp,
    vjp=_inverse_vjp,
    batch=stacked(lambda: inverse_p),
    kernel="inverse",
    samples=[
        case(f64(3, 3, transform=dominant)),
        case(f64(2, 2, 2, transform=dominant)),
        case(f64(1, 1, transform=dominant)),
        case(f64(0, 0)),
        case(f32(2, 2, transform=dominant)),
        case(c128(2, 2, transform=dominant)),
    ],
)


def inverse(a: Any) -> Any:
    """Inverse matrices."""
    return inverse_p.bind(a)


def _pseudoinverse_impl(xp: Any, a: Any, *, rcond: float, hermitian: bool) -> Any:
    if 0 in a.shape:
        return xp.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    with lapack_errors("pinv", a, "Check the matrix for NaN and infinity"):
        # CuPy knows no hermitian=, which only chooses the algorithm.
        return np.linalg.pinv(a, rcond=rcond, hermitian=hermitian) if xp is np else xp.linalg.pinv(a, rcond=rcond)


def _pseudoinverse_shape(a: ShapedArray, **params: Any) -> ShapedArray:
    require_matrices("pinv", a)
    return a.update((*a.shape[:-2], a.shape[-1], a.shape[-2]))


def _pseudoinverse_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (a,), (change,) = primals, tangents
    x = pseudoinverse_p.bind(a, **params)
    x_adjoint, change_adjoint = adjoint(x), adjoint(change)
    head = product(x, x_adjoint, change_adjoint)
    tail = product(change_adjoint, x_adjoint, x)
    out = -product(x, change, x) + head - product(head, a, x) + tail - product(x, a, tail)
    return x, out


def _pseudoinverse_vjp(a: Any, **params: Any) -> Any:
    x = pseudoinverse_p.bind(a, **params)

    def pullback(ct: Any) -> list[Any]:
        # In terms of g = conj(ct) the pairing is the real inner product, whose adjoint of each term is written down directly.
        g = conj_if_complex(ct)
        x_adjoint, g_adjoint = adjoint(x), adjoint(g)
        out = -product(x_adjoint, g, x_adjoint)
        left = g_adjoint - product(a, x, g_adjoint)  # (I - A X) G^H, since A X is Hermitian
        right = g_adjoint - product(g_adjoint, x, a)  # G^H (I - X A)
        out = out + product(left, x, x_adjoint) + product(x_adjoint, x, right)
        return [conj_if_complex(out)]

    return x, pullback


pseudoinverse_p = Primitive(
    "pseudoinverse",
    impl=_pseudoinverse_impl,
    shape=_pseudoinverse_shape,
    jvp=_pseudoinverse_jvp,
    vjp=_pseudoinverse_vjp,
    batch=stacked(lambda: pseudoinverse_p),
    kernel=None,
    samples=[
        case(f64(3, 2), rcond=1e-15, hermitian=False),
        case(f64(2, 2, 3), rcond=1e-15, hermitian=False),
        case(f64(2, 2, transform=dominant), rcond=1e-15, hermitian=False),
        case(f64(1, 1), rcond=1e-15, hermitian=False),
        case(f64(0, 3), rcond=1e-15, hermitian=False),
        case(f32(3, 2), rcond=1e-6, hermitian=False),
        case(c128(3, 2), rcond=1e-15, hermitian=False),
    ],
    doc="The Moore-Penrose inverse; its derivative holds where the rank does not change.",
)


def pseudoinverse(a: Any, rcond: float, hermitian: bool = False) -> Any:
    """Moore-Penrose inverses; singular values below ``rcond`` times the largest count as 0."""
    return pseudoinverse_p.bind(a, rcond=rcond, hermitian=hermitian)
