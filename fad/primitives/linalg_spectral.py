"""Spectral factorisations of stacks of matrices: ``eigh``, ``eig`` and ``svd``.

Derivatives: M. Giles (2008); of singular vectors: J. Townsend, "Differentiating the singular value decomposition" (2016). In the vjp rules ``g`` is the conjugate cotangent, for which the pairing is the
real inner product, so that each term of the jvp rule is transposed by adjoints.

Equal values. Vectors of equal eigenvalues or singular values may turn freely among themselves, and their derivative does not exist. Those
turns count as 0 here. So the derivative is exact for every function that does not depend on them: functions of the values alone that
treat equal ones alike, projectors on whole eigenspaces, the polar factor ``u @ vh``. A matrix function that goes through the
eigenvectors of equal eigenvalues (``v @ diag(f(w)) @ v.T``) loses the part of its derivative inside that eigenspace: it is in
neither ``w`` nor ``v``. Use a function of the matrix itself there (``expm``, ``inv``, ``matrix_power``).

Phases. Each complex vector carries a free phase, which LAPACK fixes: ``eigh`` makes the first component of every eigenvector real, ``svd`` that
of every right (of wide matrices: left) singular vector, ``eig`` a largest component. The derivative keeps it so, unless that component
is negligible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, is_complex, real_dtype, shape_of
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, f32, f64
from fad.primitives.arithmetic import absolute, conj_if_complex, equal, less_equal, maximum, select
from fad.primitives.linalg_factorizations import positive_definite
from fad.primitives.linalg_matrices import (
    adjoint,
    column_inner,
    diagonal,
    embed_diagonal,
    hermitian_part,
    imaginary_part,
    lapack_errors,
    one_over,
    product,
    real_aval,
    real_part,
    require_matrices,
    require_square,
    scale_columns,
    skew_part,
    stacked,
    transpose_matrix,
    with_imaginary,
)
from fad.primitives.linalg_solving import solve_matrices
from fad.primitives.reduction import argmax, reduce_max
from fad.primitives.slicing import concatenate, slice_axis
from fad.primitives.structural import convert, iota, reduce_sum, reshape

__all__ = ["eig", "eigh", "svd"]

_CHECK = "Check the matrix for NaN and infinity"


# --- gaps between values, phases of vectors --------------------------------------------------------------------------------------------------------


def _tolerance(values: Any) -> float:
    return float(np.finfo(real_dtype(dtype_of(values))).eps) * max(shape_of(values)[-1], 1)


def _differences(values: Any) -> Any:
    """``values[j] - values[i]`` at ``[i, j]``."""
    *lead, size = shape_of(values)
    return reshape(values, (*lead, 1, size)) - reshape(values, (*lead, size, 1))


def _inverse_gaps(values: Any, scale: Any) -> Any:
    """1 / (values[j] - values[i]), and 0 for values that are equal up to rounding at this scale."""
    gaps = _differences(values)
    allowed = reshape(scale * _tolerance(values), (*shape_of(scale), 1, 1))
    return one_over(gaps, less_equal.bind(absolute.bind(gaps), allowed))


def _entry(x: Any, position: int) -> Any:
    """One element of each vector along the last axis."""
    axis = len(shape_of(x)) - 1
    return reshape(slice_axis(x, axis, position, position + 1), shape_of(x)[:-1])


def _first_row(x: Any) -> Any:
    axis = len(shape_of(x)) - 2
    return slice_axis(x, axis, 0, 1)


def _inverse_anchor(vectors: Any) -> Any:
    """1 / first component (a real number) of each vector as a row; 0 where it is negligible, so that no noise is amplified."""
    anchor = real_part(_first_row(vectors))
    negligible = less_equal.bind(absolute.bind(anchor), float(np.sqrt(np.finfo(dtype_of(anchor)).eps)))
    return one_over(anchor, negligible)


def _turn(vectors_tangent: Any, vectors: Any) -> Any:
    """The rates, as a row, at which phases must turn back so that first components stay real; times 1j."""
    return with_imaginary(imaginary_part(_first_row(vectors_tangent)) * _inverse_anchor(vectors))


def _into_first_row(x: Any, row: Any) -> Any:
    axis = len(shape_of(x)) - 2
    return concatenate([slice_axis(x, axis, 0, 1) + row, slice_axis(x, axis, 1, shape_of(x)[-2])], axis)


def _row(x: Any) -> Any:
    return reshape(x, (*shape_of(x)[:-1], 1, shape_of(x)[-1]))


# --- eigh -------------------------------------------------------------------------------------------------------------------------------------------


def _eigh_impl(xp: Any, a: Any, *, vectors: bool) -> Any:
    a = (a + xp.conj(xp.swapaxes(a, -1, -2))) * a.dtype.type(0.5)
    with lapack_errors("eigh" if vectors else "eigvalsh", a, _CHECK):
        return list(xp.linalg.eigh(a)) if vectors else [xp.linalg.eigvalsh(a)]


def _eigh_shape(a: ShapedArray, *, vectors: bool) -> list[ShapedArray]:
    require_square("eigh", a)
    return [real_aval(a, a.shape[:-1]), a.update()][: 1 + vectors]


def _eigh_gaps(values: Any) -> Any:
    # Ascending order: the largest in magnitude is at an end.
    scale = maximum.bind(absolute.bind(_entry(values, 0)), absolute.bind(_entry(values, shape_of(values)[-1] - 1)))
    return _inverse_gaps(values, scale)


def _eigh_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, vectors: bool) -> Any:
    values, basis = eigh_p.bind(*primals, vectors=True)
    if 0 in shape_of(basis):
        return [values, basis][: 1 + vectors], [values, basis][: 1 + vectors]
    inside = product(adjoint(basis), hermitian_part(tangents[0]), basis)
    values_tangent = real_part(diagonal(inside))
    if not vectors:
        return [values], [values_tangent]
    basis_tangent = product(basis, _eigh_gaps(values) * inside)
    if is_complex(dtype_of(basis)):
        basis_tangent = basis_tangent - basis * _turn(basis_tangent, basis)
    return [values, basis], [values_tangent, basis_tangent]


def _eigh_vjp(a: Any, *, vectors: bool) -> Any:
    values, basis = eigh_p.bind(a, vectors=True)

    def pullback(cts: Sequence[Any]) -> list[Any]:
        if 0 in shape_of(basis):
            return [basis]
        if not vectors:
            inside = scale_columns(basis, cts[0])
            return [conj_if_complex(product(inside, adjoint(basis)))]
        g = conj_if_complex(cts[1])
        if is_complex(dtype_of(basis)):
            rate = -imaginary_part(column_inner(basis, g))
            g = _into_first_row(g, with_imaginary(_row(rate) * _inverse_anchor(basis)))
        middle = embed_diagonal(convert(cts[0], dtype_of(basis))) + _eigh_gaps(values) * product(adjoint(basis), g)
        return [conj_if_complex(hermitian_part(product(basis, middle, adjoint(basis))))]

    return ([values, basis] if vectors else [values]), pullback


eigh_p = Primitive(
    "eigh",
    impl=_eigh_impl,
    shape=_eigh_shape,
    jvp=_eigh_jvp,
    vjp=_eigh_vjp,
    batch=stacked(lambda: eigh_p),
    kernel=None,
    multiple_results=True,
    samples=[
        case(f64(3, 3, transform=positive_definite), vectors=True),
        case(f64(2, 3, 3), vectors=True),
        case(f64(2, 3, 3), vectors=False),
        case(f64(1, 1), vectors=True),
        case(f64(0, 0), vectors=True),
        case(f64(0, 2, 2), vectors=True),
        case(f32(2, 2), vectors=True),
        case(c128(3, 3), vectors=True),
        case(c128(2, 2, 2), vectors=False),
    ],
    doc="Eigenvalues in ascending order, and eigenvectors, of the Hermitian part.",
)


def eigh(a: Any, vectors: bool = True) -> list[Any]:
    """Eigenvalues, and with ``vectors`` eigenvectors, of the Hermitian parts."""
    return eigh_p.bind(a, vectors=vectors)


# --- svd --------------------------------------------------------------------------------------------------------------------------------------------


def _svd_impl(xp: Any, a: Any, *, full: bool, vectors: bool) -> Any:
    with lapack_errors("svd", a, _CHECK):
        if not vectors:
            return [xp.linalg.svd(a, compute_uv=False)]
        return list(xp.linalg.svd(a, full_matrices=full))


def _svd_shape(a: ShapedArray, *, full: bool, vectors: bool) -> list[ShapedArray]:
    require_matrices("svd", a)
    *lead, rows, columns = a.shape
    size = min(rows, columns)
    values = real_aval(a, (*lead, size))
    if not vectors:
        return [values]
    left, right = (rows, columns) if full else (size, size)
    return [a.update((*lead, rows, left)), values, a.update((*lead, right, columns))]


class _ThinSvd:
    """The thin factors, the rest of full ones, and the tables that both derivative rules need."""

    def __init__(self, u: Any, s: Any, vh: Any):
        size, axis = shape_of(s)[-1], len(shape_of(u)) - 1
        v = adjoint(vh)
        self.u, self.u_rest = (slice_axis(u, axis, *bounds) for bounds in ((0, size), (size, shape_of(u)[-1])))
        self.v, self.v_rest = (slice_axis(v, axis, *bounds) for bounds in ((0, size), (size, shape_of(v)[-1])))
        self.rows, self.columns, self.size = shape_of(u)[-2], shape_of(v)[-2], size
        self.anchored_on_v = self.rows >= self.columns
        largest = _entry(s, 0)
        limit = largest * _tolerance(s)
        self.differences = _inverse_gaps(s, largest)
        sums = reshape(s, (*shape_of(s)[:-1], 1, size)) + reshape(s, (*shape_of(s), 1))
        self.sums = one_over(sums, less_equal.bind(sums, reshape(limit, (*shape_of(limit), 1, 1))))
        self.inverse = one_over(s, less_equal.bind(s, reshape(limit, (*shape_of(limit), 1))))
        self.complex = is_complex(dtype_of(u))


def _outside(basis: Any, x: Any) -> Any:
    """The part of the columns of x that is orthogonal to the basis."""
    return x - product(basis, product(adjoint(basis), x))


def _svd_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, full: bool, vectors: bool) -> Any:
    (change,) = tangents
    u, s, vh = svd_p.bind(*primals, full=full and vectors, vectors=True)
    if shape_of(s)[-1] == 0 or 0 in shape_of(s):
        outs = [u, s, vh] if vectors else [s]
        return outs, [o * 0 for o in outs]
    thin = _ThinSvd(u, s, vh)
    inside = product(adjoint(thin.u), change, thin.v)
    s_tangent = real_part(diagonal(inside))
    if not vectors:
        return [s], [s_tangent]
    together, against = thin.differences * hermitian_part(inside), thin.sums * skew_part(inside)
    u_tangent, v_tangent = product(thin.u, together + against), product(thin.v, together - against)
    if thin.rows > thin.size:
        u_tangent = u_tangent + scale_columns(_outside(thin.u, product(change, thin.v)), thin.inverse)
    if thin.columns > thin.size:
        v_tangent = v_tangent + scale_columns(_outside(thin.v, product(adjoint(change), thin.u)), thin.inverse)
    if thin.complex:
        turn = _turn(v_tangent, thin.v) if thin.anchored_on_v else _turn(u_tangent, thin.u)
        u_tangent, v_tangent = u_tangent - thin.u * turn, v_tangent - thin.v * turn
    u_tangent = _with_rest(u_tangent, thin.u, thin.u_rest)
    v_tangent = _with_rest(v_tangent, thin.v, thin.v_rest)
    return [u, s, vh], [u_tangent, s_tangent, adjoint(v_tangent)]


def _with_rest(tangent: Any, basis: Any, rest: Any) -> Any:
    """The tangent of a full basis: the complement follows without turning in itself."""
    if not shape_of(rest)[-1]:
        return tangent
    follow = -product(basis, product(adjoint(tangent), rest))
    return concatenate([tangent, follow], len(shape_of(basis)) - 1)


def _thin_cotangent(g: Any, basis: Any, rest: Any) -> Any:
    """The transpose of :func:`_with_rest`."""
    size, axis = shape_of(basis)[-1], len(shape_of(basis)) - 1
    head = slice_axis(g, axis, 0, size)
    if not shape_of(rest)[-1]:
        return head
    return head - product(rest, product(adjoint(slice_axis(g, axis, size, shape_of(g)[-1])), basis))


def _svd_vjp(a: Any, *, full: bool, vectors: bool) -> Any:
    u, s, vh = svd_p.bind(a, full=full and vectors, vectors=True)

    def pullback(cts: Sequence[Any]) -> list[Any]:
        if 0 in shape_of(a):
            return [a]
        thin = _ThinSvd(u, s, vh)
        if not vectors:
            return [conj_if_complex(product(scale_columns(thin.u, cts[0]), adjoint(thin.v)))]
        u_g = _thin_cotangent(conj_if_complex(cts[0]), thin.u, thin.u_rest)
        # The cotangent of the adjoint of v: conjugating it back leaves the plain transpose.
        v_g = _thin_cotangent(transpose_matrix(cts[2]), thin.v, thin.v_rest)
        if thin.complex:
            u_g, v_g = _svd_phases(thin, u_g, v_g)
        u_inside, v_inside = product(adjoint(thin.u), u_g), product(adjoint(thin.v), v_g)
        middle = hermitian_part(thin.differences * (u_inside + v_inside))
        middle = middle + skew_part(thin.sums * (u_inside - v_inside))
        middle = middle + embed_diagonal(convert(cts[1], dtype_of(u)))
        left = product(thin.u, middle)
        if thin.rows > thin.size:
            left = left + scale_columns(_outside(thin.u, u_g), thin.inverse)
        out = product(left, adjoint(thin.v))
        if thin.columns > thin.size:
            out = out + product(thin.u, adjoint(scale_columns(_outside(thin.v, v_g), thin.inverse)))
        return [conj_if_complex(out)]

    return ([u, s, vh] if vectors else [s]), pullback


def _svd_phases(thin: _ThinSvd, u_g: Any, v_g: Any) -> tuple[Any, Any]:
    rate = -(imaginary_part(column_inner(thin.u, u_g)) + imaginary_part(column_inner(thin.v, v_g)))
    if thin.anchored_on_v:
        return u_g, _into_first_row(v_g, with_imaginary(_row(rate) * _inverse_anchor(thin.v)))
    return _into_first_row(u_g, with_imaginary(_row(rate) * _inverse_anchor(thin.u))), v_g


_TURNS = "LAPACK's basis of the complement turns with the matrix"

svd_p = Primitive(
    "svd",
    impl=_svd_impl,
    shape=_svd_shape,
    jvp=_svd_jvp,
    vjp=_svd_vjp,
    batch=stacked(lambda: svd_p),
    kernel=None,
    multiple_results=True,
    samples=[
        case(f64(3, 3), full=False, vectors=True),
        case(f64(4, 2), full=False, vectors=True),
        case(f64(2, 4), full=False, vectors=True),
        case(f64(2, 3, 2), full=True, vectors=True),
        case(f64(2, 3), full=True, vectors=True),
        case(f64(4, 2), full=True, vectors=True, check_order=0, check_reason=_TURNS),
        case(f64(2, 3, 2), full=False, vectors=False),
        case(f64(1, 1), full=False, vectors=True),
        case(f64(0, 0), full=False, vectors=True),
        case(f64(0, 3), full=False, vectors=True),
        case(f32(3, 2), full=False, vectors=True),
        case(c128(3, 3), full=False, vectors=True),
        case(c128(4, 2), full=False, vectors=True),
        case(c128(2, 4), full=False, vectors=True),
        case(c128(2, 2), full=False, vectors=False),
    ],
    doc="Singular value decomposition, thin or full, or the singular values alone.",
)


def svd(a: Any, full: bool = False, vectors: bool = True) -> list[Any]:
    """``[u, s, vh]``, or ``[s]`` without vectors."""
    return svd_p.bind(a, full=full, vectors=vectors)


# --- eig --------------------------------------------------------------------------------------------------------------------------------------------


def _eig_impl(xp: Any, a: Any, *, vectors: bool) -> Any:
    dtype = np.result_type(a.dtype, np.complex64)
    with lapack_errors("eig" if vectors else "eigvals", a, _CHECK):
        outs = list(xp.linalg.eig(a)) if vectors else [xp.linalg.eigvals(a)]
    return [o.astype(dtype) for o in outs]


def _eig_shape(a: ShapedArray, *, vectors: bool) -> list[ShapedArray]:
    require_square("eig", a)
    dtype = np.result_type(a.dtype, np.complex64)
    return [ShapedArray(a.shape[:-1], dtype), ShapedArray(a.shape, dtype)][: 1 + vectors]


def _eig_gaps(values: Any) -> Any:
    return _inverse_gaps(values, reduce_max(absolute.bind(values), (len(shape_of(values)) - 1,)))


def _pivots(basis: Any) -> tuple[Any, Any]:
    """Where each eigenvector's real largest component is, as ones in a matrix of zeros, and 1 / that component as a row."""
    axis, rows = len(shape_of(basis)) - 2, shape_of(basis)[-2]
    size = absolute.bind(basis) * convert(equal.bind(imaginary_part(basis), 0), real_dtype(dtype_of(basis)))
    place = reshape(argmax(size, axis), (*shape_of(basis)[:axis], 1, rows))
    chosen = equal.bind(reshape(iota(rows), (rows, 1)), place)
    value = reduce_sum(select.bind(chosen, real_part(basis), 0.0), (axis,))
    return chosen, _row(1.0 / value)


def _eig_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, vectors: bool) -> Any:
    values, basis = eig_p.bind(*primals, vectors=True)
    if 0 in shape_of(basis):
        return [values, basis][: 1 + vectors], [values, basis][: 1 + vectors]
    inside = solve_matrices(basis, product(convert(tangents[0], dtype_of(basis)), basis))
    values_tangent = diagonal(inside)
    if not vectors:
        return [values], [values_tangent]
    turned = product(basis, _eig_gaps(values) * inside)
    turned = turned - basis * _row(real_part(column_inner(basis, turned)))
    chosen, inverse = _pivots(basis)
    slip = reduce_sum(select.bind(chosen, imaginary_part(turned), 0.0), (len(shape_of(basis)) - 2,))
    return [values, basis], [values_tangent, turned - basis * with_imaginary(_row(slip) * inverse)]


def _eig_vjp(a: Any, *, vectors: bool) -> Any:
    values, basis = eig_p.bind(a, vectors=True)
    dtype = dtype_of(a)

    def pullback(cts: Sequence[Any]) -> list[Any]:
        if 0 in shape_of(basis):
            return [a]
        middle = embed_diagonal(conj_if_complex(cts[0]))
        if vectors:
            g = conj_if_complex(cts[1])
            chosen, inverse = _pivots(basis)
            rate = _row(-imaginary_part(column_inner(basis, g))) * inverse
            g = g + with_imaginary(select.bind(chosen, rate, 0.0))
            g = g - basis * _row(real_part(column_inner(basis, g)))
            middle = middle + conj_if_complex(_eig_gaps(values)) * product(adjoint(basis), g)
        out = solve_matrices(adjoint(basis), product(middle, adjoint(basis)))
        return [convert(conj_if_complex(out), dtype)]

    return ([values, basis] if vectors else [values]), pullback


def separated(x: np.ndarray) -> np.ndarray:
    """A sample with well separated eigenvalues."""
    return 0.3 * x + np.diag(np.arange(x.shape[-1]) + 1.0)


def rotating(x: np.ndarray) -> np.ndarray:
    """A real 3 x 3 sample with a complex pair of eigenvalues."""
    return 0.1 * x + np.array([[0.5, -2.0, 0.3], [1.0, 0.7, 0.1], [0.2, 0.4, -3.0]])


eig_p = Primitive(
    "eig",
    impl=_eig_impl,
    shape=_eig_shape,
    jvp=_eig_jvp,
    vjp=_eig_vjp,
    batch=stacked(lambda: eig_p),
    kernel=None,
    multiple_results=True,
    samples=[
        case(f64(3, 3, transform=separated), vectors=True),
        case(f64(3, 3, transform=rotating), vectors=True),
        case(f64(2, 3, 3, transform=rotating), vectors=False),
        case(f64(1, 1), vectors=True),
        case(f64(0, 0), vectors=True),
        case(f32(2, 2, transform=separated), vectors=True),
        case(c128(3, 3, transform=separated), vectors=True),
        case(c128(2, 2, 2, transform=separated), vectors=False),
    ],
    doc="Complex eigenvalues, and eigenvectors of length 1, of general matrices.",
)


def eig(a: Any, vectors: bool = True) -> list[Any]:
    """Eigenvalues, and with ``vectors`` right eigenvectors, both complex."""
    return eig_p.bind(a, vectors=vectors)
