"""Factorisations of stacks of matrices by elimination and orthogonalisation: Cholesky, QR and LU.

Derivatives of Cholesky and QR: S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions with application in
optimum experimental design" (2010) and M. Giles (2008), extended to complex matrices: LAPACK makes the diagonal of R real.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, shape_of
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, f32, f64
from fad.primitives.arithmetic import add, conj_if_complex, equal
from fad.primitives.linalg_matrices import (
    adjoint,
    diagonal,
    embed_diagonal,
    hermitian_part,
    lapack_errors,
    lower,
    product,
    real_part,
    require_matrices,
    require_square,
    stacked,
    strictly_lower,
    transpose_matrix,
    upper,
)
from fad.primitives.linalg_solving import dominant, solve_triangular_matrices
from fad.primitives.slicing import concatenate, slice_axis
from fad.primitives.structural import convert, iota, reshape

__all__ = ["cholesky", "lu_factor", "lu_parts", "permutation_matrix", "qr_factor", "row_order"]


def positive_definite(x: np.ndarray) -> np.ndarray:
    """A Hermitian positive definite sample."""
    return x @ x.conj().swapaxes(-1, -2) + np.eye(x.shape[-1], dtype=x.dtype)


# --- Cholesky -------------------------------------------------------------------------------------------------------------------------------------


def _cholesky_impl(xp: Any, a: Any) -> Any:
    if 0 in a.shape:
        return xp.zeros(a.shape, a.dtype)
    with lapack_errors(
        "cholesky", a, "Add a small multiple of the identity (jitter) if it should be positive definite up to rounding"
    ):
        return xp.linalg.cholesky((a + xp.conj(xp.swapaxes(a, -1, -2))) * a.dtype.type(0.5))


def _cholesky_shape(a: ShapedArray) -> ShapedArray:
    require_square("cholesky", a)
    return a.update()


def _lower_with_half_diagonal(x: Any) -> Any:
    return lower(x) - embed_diagonal(diagonal(x) * 0.5)


def _cholesky_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    factor = cholesky_p.bind(*primals)
    half = solve_triangular_matrices(factor, hermitian_part(tangents[0]), lower=True)
    both = adjoint(solve_triangular_matrices(factor, adjoint(half), lower=True))
    return factor, product(factor, _lower_with_half_diagonal(both))


def _cholesky_vjp(a: Any) -> Any:
    factor = cholesky_p.bind(a)

    def pullback(ct: Any) -> list[Any]:
        middle = _lower_with_half_diagonal(product(adjoint(factor), conj_if_complex(ct)))
        conjugate = conj_if_complex(factor)
        half = solve_triangular_matrices(conjugate, middle, lower=True, transpose=True)
        both = adjoint(solve_triangular_matrices(conjugate, adjoint(half), lower=True, transpose=True))
        return [conj_if_complex(hermitian_part(both))]

    return factor, pullback


cholesky_p = Primitive(
    "cholesky",
    impl=_cholesky_impl,
    shape=_cholesky_shape,
    jvp=_cholesky_jvp,
    vjp=_cholesky_vjp,
    batch=stacked(lambda: cholesky_p),
    kernel="cholesky",
    samples=[
        case(f64(3, 3, transform=positive_definite)),
        case(f64(2, 2, 2, transform=positive_definite)),
        case(f64(1, 1, transform=positive_definite)),
        case(f64(0, 0)),
        case(f64(0, 2, 2)),
        case(f32(2, 2, transform=positive_definite)),
        case(c128(3, 3, transform=positive_definite)),
    ],
    doc="Lower Cholesky factor of the Hermitian part.",
)


def cholesky(a: Any) -> Any:
    """Lower Cholesky factors of the Hermitian parts."""
    return cholesky_p.bind(a)


# --- QR -------------------------------------------------------------------------------------------------------------------------------------------


def _qr_impl(xp: Any, a: Any, *, complete: bool) -> Any:
    rows, columns = a.shape[-2:]
    if 0 in a.shape:
        size = rows if complete else columns
        q = xp.zeros((*a.shape[:-2], rows, size), a.dtype)
        q[...] = xp.eye(rows, size, dtype=a.dtype)
        return [q, xp.zeros((*a.shape[:-2], size, columns), a.dtype)]
    return list(xp.linalg.qr(a, mode="complete" if complete else "reduced"))


def _qr_shape(a: ShapedArray, *, complete: bool) -> list[ShapedArray]:
    require_matrices("qr", a)
    *lead, rows, columns = a.shape
    size = rows if complete else columns
    return [a.update((*lead, rows, size)), a.update((*lead, size, columns))]


def _real_diagonal(x: Any) -> Any:
    return embed_diagonal(convert(real_part(diagonal(x)), dtype_of(x)))


def _upper_with_real_diagonal(x: Any) -> Any:
    """The upper triangular K with real diagonal for which x - K is skew-Hermitian."""
    return upper(x, 1) + adjoint(strictly_lower(x)) + _real_diagonal(x)


def _from_upper_with_real_diagonal(x: Any) -> Any:
    """The adjoint of that map."""
    above = upper(x, 1)
    return above + strictly_lower(adjoint(x)) + _real_diagonal(x)


def _right_solve(x: Any, r: Any, conjugate: bool = False) -> Any:
    """X r^-1, or x r^-H, for upper triangular r."""
    if conjugate:
        return adjoint(solve_triangular_matrices(r, adjoint(x), lower=False))
    return transpose_matrix(solve_triangular_matrices(r, transpose_matrix(x), lower=False, transpose=True))


def _split_columns(x: Any, size: int) -> tuple[Any, Any]:
    axis = len(shape_of(x)) - 1
    return slice_axis(x, axis, 0, size), slice_axis(x, axis, size, shape_of(x)[-1])


def _top(x: Any, size: int) -> Any:
    return slice_axis(x, len(shape_of(x)) - 2, 0, size)


def _qr_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, complete: bool) -> Any:
    (a,), (change,) = primals, tangents
    columns = shape_of(a)[-1]
    q_all, r_all = qr_p.bind(a, complete=complete)
    (q, rest), r = _split_columns(q_all, columns), _top(r_all, columns)
    scaled = _right_solve(change, r)
    inside = _upper_with_real_diagonal(product(adjoint(q), scaled))
    q_tangent, r_tangent = scaled - product(q, inside), product(inside, r)
    if complete and shape_of(rest)[-1]:
        axis = len(shape_of(q)) - 1
        below = product(adjoint(rest), scaled)
        q_tangent = concatenate([q_tangent, -product(q, adjoint(below))], axis)
        r_tangent = concatenate([r_tangent, product(below, r) * 0], axis - 1)
    return [q_all, r_all], [q_tangent, r_tangent]


def _qr_vjp(a: Any, *, complete: bool) -> Any:
    columns = shape_of(a)[-1]
    q_all, r_all = qr_p.bind(a, complete=complete)
    (q, rest), r = _split_columns(q_all, columns), _top(r_all, columns)

    def pullback(cts: Sequence[Any]) -> list[Any]:
        # g = conj(ct): the pairing becomes the real inner product.
        q_all_g, r_g = conj_if_complex(cts[0]), _top(conj_if_complex(cts[1]), columns)
        q_g, rest_g = _split_columns(q_all_g, columns)
        inside = product(r_g, adjoint(r)) - product(adjoint(q), q_g)
        out = q_g + product(q, _from_upper_with_real_diagonal(inside))
        if complete and shape_of(rest)[-1]:
            out = out - product(rest, adjoint(product(adjoint(q), rest_g)))
        return [conj_if_complex(_right_solve(out, r, conjugate=True))]

    return [q_all, r_all], pullback


qr_p = Primitive(
    "qr",
    impl=_qr_impl,
    shape=_qr_shape,
    jvp=_qr_jvp,
    vjp=_qr_vjp,
    batch=stacked(lambda: qr_p),
    kernel="qr",
    multiple_results=True,
    samples=[
        case(f64(4, 3), complete=False),
        case(f64(3, 3, transform=dominant), complete=False),
        case(f64(2, 3, 2), complete=False),
        case(f64(3, 3, transform=dominant), complete=True),
        case(f64(4, 3), complete=True),
        case(
            f64(5, 2),
            complete=True,
            check_order=0,
            check_reason="LAPACK's basis of the complement turns with the matrix",
        ),
        case(f64(1, 1, low=1.0), complete=False),
        case(f64(0, 0), complete=False),
        case(f64(3, 0), complete=True),
        case(f32(3, 2), complete=False),
        case(c128(3, 2), complete=False),
        case(c128(3, 3, transform=dominant), complete=True),
    ],
    doc="Q and R of matrices with at least as many rows as columns; the derivative needs full rank.",
)


def qr_factor(a: Any, complete: bool = False) -> list[Any]:
    """Q and R of matrices of any shape; wide ones are factored by their first columns."""
    rows, columns = shape_of(a)[-2:]
    if rows >= columns:
        return qr_p.bind(a, complete=complete)
    head, tail = _split_columns(a, rows)
    q, r = qr_p.bind(head, complete=False)
    return [q, concatenate([r, product(adjoint(q), tail)], len(shape_of(a)) - 1)]


# --- LU -------------------------------------------------------------------------------------------------------------------------------------------


def _lu_impl(xp: Any, a: Any) -> Any:
    """Packed factors and the exchanges of rows, by LAPACK's getrf for each matrix."""
    pivots_shape = (*a.shape[:-2], min(a.shape[-2:]))
    if 0 in a.shape:
        return [xp.array(a), xp.zeros(pivots_shape, np.int32)]
    host = a if xp is np else a.get()
    from scipy.linalg.lapack import get_lapack_funcs

    (factor,) = get_lapack_funcs(("getrf",), (host,))
    packed, pivots = np.empty(host.shape, host.dtype), np.empty(pivots_shape, np.int32)
    for index in np.ndindex(host.shape[:-2]):
        packed[index], pivots[index], _ = factor(host[index])
    return [xp.asarray(packed), xp.asarray(pivots)]


def _lu_shape(a: ShapedArray) -> list[ShapedArray]:
    require_matrices("lu", a)
    return [a.update(), ShapedArray((*a.shape[:-2], min(a.shape[-2:])), np.dtype(np.int32))]


def _order_impl(xp: Any, pivots: Any, *, rows: int) -> Any:
    order = np.zeros((*pivots.shape[:-1], rows), np.int64) + np.arange(rows)
    host = pivots if xp is np else pivots.get()
    for index in np.ndindex(host.shape[:-1]):
        here = order[index]
        for row, other in enumerate(host[index]):
            here[row], here[other] = here[other], here[row]
    return xp.asarray(order)


row_order_p = Primitive(
    "row_order",
    impl=_order_impl,
    shape=lambda pivots, *, rows: ShapedArray((*pivots.shape[:-1], rows), np.dtype(np.int64)),
    jvp=None,
    vjp=None,
    batch=stacked(lambda: row_order_p),
    kernel="row_order",
    samples=[case(np.array([2, 1, 2], np.int32), rows=3), case(np.array([[1], [0]], np.int32), rows=2)],
    doc="The order of the rows after the exchanges of an LU factorisation.",
)


def row_order(pivots: Any, rows: int) -> Any:
    """The order that the rows have after the exchanges."""
    return row_order_p.bind(pivots, rows=rows)


def permutation_matrix(order: Any, dtype: np.dtype) -> Any:
    """P with ``(P @ a)[i] = a[order[i]]``."""
    size = shape_of(order)[-1]
    return convert(equal.bind(reshape(order, (*shape_of(order), 1)), iota(size)), dtype)


def lu_parts(packed: Any) -> tuple[Any, Any]:
    """The unit lower triangular and the upper triangular factor."""
    rows, columns = shape_of(packed)[-2:]
    size = min(rows, columns)
    axis = len(shape_of(packed)) - 1
    left = add.bind(strictly_lower(slice_axis(packed, axis, 0, size)), np.eye(rows, size, dtype=dtype_of(packed)))
    return left, upper(slice_axis(packed, axis - 1, 0, size))


def _lu_blocks(packed: Any) -> tuple[Any, Any, Any, Any]:
    """The square packed factor, the rows of L below it, the columns of U right of it, and their common size."""
    rows, columns = shape_of(packed)[-2:]
    size, axis = min(rows, columns), len(shape_of(packed)) - 1
    top, wide = _top(packed, size), slice_axis(packed, axis, 0, size)
    return (
        slice_axis(top, axis, 0, size),
        slice_axis(wide, axis - 1, size, rows),
        slice_axis(top, axis, size, columns),
        size,
    )


def _left(square: Any, x: Any, transpose: bool = False) -> Any:
    return solve_triangular_matrices(square, x, lower=True, transpose=transpose, unit=True)


def _right(square: Any, x: Any, transpose: bool = False) -> Any:
    """X u^-1, or x u^-T."""
    return transpose_matrix(
        solve_triangular_matrices(square, transpose_matrix(x), lower=False, transpose=not transpose)
    )


def _lu_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    packed, pivots = lu_p.bind(*primals)
    order = row_order(pivots, shape_of(packed)[-2])
    square, below, beside, size = _lu_blocks(packed)
    (l_square, u_square), axis = lu_parts(square), len(shape_of(packed)) - 1
    change = product(permutation_matrix(order, dtype_of(packed)), tangents[0])
    c_square, c_below, c_beside, _ = _lu_blocks(change)
    middle = _right(square, _left(square, c_square))
    l_inside, u_inside = strictly_lower(middle), upper(middle)
    out = product(l_square, l_inside) + product(u_inside, u_square)
    if shape_of(packed)[-2] > size:
        out_below = _right(square, c_below) - product(below, u_inside)
        out = concatenate([out, out_below], axis - 1)
    elif shape_of(packed)[-1] > size:
        out_beside = _left(square, c_beside) - product(l_inside, beside)
        out = concatenate([out, out_beside], axis)
    return [packed, pivots], [out, None]


def _lu_vjp(a: Any) -> Any:
    packed, pivots = lu_p.bind(a)
    order = row_order(pivots, shape_of(packed)[-2])
    square, below, beside, size = _lu_blocks(packed)
    (l_square, u_square), axis = lu_parts(square), len(shape_of(packed)) - 1

    def pullback(cts: Sequence[Any]) -> list[Any]:
        ct_square, ct_below, ct_beside, _ = _lu_blocks(cts[0])
        l_inside = product(transpose_matrix(l_square), strictly_lower(ct_square))
        u_inside = product(upper(ct_square), transpose_matrix(u_square))
        if shape_of(packed)[-2] > size:
            u_inside = u_inside - product(transpose_matrix(below), ct_below)
        elif shape_of(packed)[-1] > size:
            l_inside = l_inside - product(ct_beside, transpose_matrix(beside))
        middle = strictly_lower(l_inside) + upper(u_inside)
        out = _right(square, _left(square, middle, transpose=True), transpose=True)
        if shape_of(packed)[-2] > size:
            out = concatenate([out, _right(square, ct_below, transpose=True)], axis - 1)
        elif shape_of(packed)[-1] > size:
            out = concatenate([out, _left(square, ct_beside, transpose=True)], axis)
        return [product(transpose_matrix(permutation_matrix(order, dtype_of(out))), out)]

    return [packed, pivots], pullback


lu_p = Primitive(
    "lu",
    impl=_lu_impl,
    shape=_lu_shape,
    jvp=_lu_jvp,
    vjp=_lu_vjp,
    batch=stacked(lambda: lu_p),
    kernel="lu",
    multiple_results=True,
    samples=[
        case(f64(3, 3)),
        case(f64(2, 3, 3)),
        case(f64(4, 2)),
        case(f64(2, 4)),
        case(f64(1, 1)),
        case(f64(0, 0)),
        case(f64(3, 0)),
        case(f32(2, 2, transform=dominant)),
        case(c128(3, 3)),
    ],
    doc="L and U in one matrix, and the exchanges of rows: each row k with row pivots[k], one after the other.",
)


def lu_factor(a: Any) -> list[Any]:
    """Packed L and U, and the exchanges of rows."""
    return lu_p.bind(a)
