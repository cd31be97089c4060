"""Functions of square matrices: determinants, the exponential, the square root and Sylvester's equation.

The determinant is a polynomial, so its derivatives exist at singular matrices too. Its gradient is the matrix of cofactors; the derivative of
that is a bilinear form in products of singular values that leave out two of them. Third and higher derivatives go through the inverse.

Derivative of the exponential: the off-diagonal block of the exponential of a block triangular matrix (C. Van Loan, IEEE Trans. Automatic Control
23, 1978; R. Mathias, SIAM J. Matrix Anal. Appl. 17, 1996).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, is_complex, real_dtype, shape_of
from fad.core.errors import LinAlgError, ShapeError
from fad.core.placement import beside, lies_on_device
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, f32, f64
from fad.primitives.linalg_matrices import (
    diagonal,
    imaginary_part,
    product,
    real_part,
    require_square,
    stacked,
    transpose_matrix,
    with_imaginary,
)
from fad.primitives.linalg_solving import dominant, inverse
from fad.primitives.slicing import concatenate, slice_axis
from fad.primitives.structural import broadcast_to, reduce_sum, reshape, zeros

__all__ = [
    "cofactors",
    "determinant",
    "expm_p",
    "exponential_change",
    "matrix_square_root",
    "signed_log_determinant",
    "solve_sylvester_matrices",
]


def of_rank_one_less(x: np.ndarray) -> np.ndarray:
    """A singular sample: the last row is the sum of the others."""
    out = np.array(x)
    out[..., -1, :] = out[..., :-1, :].sum(axis=-2)
    return out


def _scaled(factor: Any, x: Any) -> Any:
    """A number for each matrix times the matrix."""
    return reshape(factor, (*shape_of(factor), 1, 1)) * x


def _pairing(x: Any, y: Any) -> Any:
    """Sum of the elementwise products of matrices, without conjugation."""
    axis = len(shape_of(x)) - 1
    return reduce_sum(x * y, (axis - 1, axis))


# --- determinant ------------------------------------------------------------------------------------------------------------------------------------


def _number_shape(function: str, a: ShapedArray) -> ShapedArray:
    require_square(function, a)
    return a.update(a.shape[:-2])


def _determinant_vjp(a: Any) -> Any:
    return determinant_p.bind(a), lambda ct: [_scaled(ct, cofactors_p.bind(a))]


determinant_p = Primitive(
    "determinant",
    impl=lambda xp, a: xp.linalg.det(a),
    shape=lambda a: _number_shape("det", a),
    jvp=lambda primals, tangents: (
        determinant_p.bind(*primals),
        _pairing(cofactors_p.bind(*primals), tangents[0]),
    ),
    vjp=_determinant_vjp,
    batch=stacked(lambda: determinant_p),
    kernel="determinant",
    samples=[
        case(f64(3, 3)),
        case(f64(2, 2, 2)),
        case(f64(4, 4, transform=of_rank_one_less)),
        case(f64(2, 2, transform=np.zeros_like)),
        case(f64(1, 1)),
        case(f64(0, 0)),
        case(f64(0, 2, 2)),
        case(f32(2, 2, transform=dominant)),
        case(c128(3, 3)),
        case(c128(3, 3, transform=of_rank_one_less)),
    ],
)


def determinant(a: Any) -> Any:
    """Determinants."""
    return determinant_p.bind(a)


def _svd_parts(xp: Any, a: Any) -> tuple[Any, Any, Any, Any]:
    """Singular factors and values, NaN for NaN, and the determinant of the unitary part: a = u s vh, det a = phase * prod s."""
    finite = xp.isfinite(a).all((-2, -1), keepdims=True)
    u, s, vh = xp.linalg.svd(xp.where(finite, a, a.dtype.type(0)))
    return u, xp.where(finite[..., 0], s, s.dtype.type(np.nan)), vh, xp.linalg.det(xp.matmul(u, vh))


def _products_without_one(xp: Any, s: Any) -> Any:
    """The product of all other values, for each value along the last axis."""
    ones = xp.ones((*s.shape[:-1], 1), s.dtype)
    before = xp.cumprod(xp.concatenate([ones, s[..., :-1]], -1), -1)
    after = xp.cumprod(xp.concatenate([ones, s[..., :0:-1]], -1), -1)[..., ::-1]
    return before * after


def _cofactors_impl(xp: Any, a: Any) -> Any:
    """det(a) a^-T where that is accurate, else from the singular values."""
    if a.shape[-1] == 0 or a.size == 0:
        return xp.zeros(a.shape, a.dtype)
    try:
        inverse_transpose = xp.swapaxes(xp.linalg.inv(a), -1, -2)
    except np.linalg.LinAlgError:
        return _cofactors_by_svd(xp, a)
    condition = xp.abs(a).sum(-1).max(-1) * xp.abs(inverse_transpose).sum(-2).max(-1)
    if not bool((condition < np.finfo(a.dtype).eps ** -0.5).all()):
        return _cofactors_by_svd(xp, a)
    return xp.linalg.det(a)[..., None, None] * inverse_transpose


def _cofactors_by_svd(xp: Any, a: Any) -> Any:
    u, s, vh, phase = _svd_parts(xp, a)
    scale = phase[..., None] * _products_without_one(xp, s)
    return xp.matmul(xp.conj(u) * scale[..., None, :], xp.conj(vh)).astype(a.dtype)


def _square_shape(function: str, a: ShapedArray) -> ShapedArray:
    require_square(function, a)
    return a.update()


def _cofactors_vjp(a: Any) -> Any:
    # The second derivative of det is a symmetric bilinear form: its transpose is itself.
    return cofactors_p.bind(a), lambda ct: [cofactors_change_p.bind(a, ct)]


cofactors_p = Primitive(
    "cofactors",
    impl=_cofactors_impl,
    shape=lambda a: _square_shape("cofactors", a),
    jvp=lambda primals, tangents: (cofactors_p.bind(*primals), cofactors_change_p.bind(*primals, *tangents)),
    vjp=_cofactors_vjp,
    batch=stacked(lambda: cofactors_p),
    kernel="cofactors",
    samples=[
        case(f64(3, 3)),
        case(f64(2, 2, 2)),
        case(f64(3, 3, transform=of_rank_one_less), check_order=1),
        case(f64(1, 1)),
        case(f64(0, 0)),
        case(f32(2, 2, transform=dominant)),
        case(c128(3, 3)),
    ],
    doc="The gradient of the determinant: signed minors.",
)


def cofactors(a: Any) -> Any:
    """Matrices of signed minors."""
    return cofactors_p.bind(a)


def _cofactors_change_impl(xp: Any, a: Any, change: Any) -> Any:
    size = a.shape[-1]
    if a.size == 0 or size == 1:
        return xp.zeros(a.shape, a.dtype)
    u, s, vh, phase = _svd_parts(xp, a)
    uh, v = xp.conj(xp.swapaxes(u, -1, -2)), xp.conj(xp.swapaxes(vh, -1, -2))
    inside = xp.matmul(xp.matmul(uh, change), v)
    pairs = _products_without_two(xp, s) * phase[..., None, None]
    # d cofactor[i, j] = -inside[j, i] p[i, j] off the diagonal, sum over k of inside[k, k] p[i, k] on it.
    middle = -xp.swapaxes(inside, -1, -2) * pairs
    on_diagonal = xp.matmul(pairs, xp.diagonal(inside, axis1=-2, axis2=-1)[..., None])
    middle = middle + on_diagonal * xp.eye(size, dtype=a.dtype)
    return xp.matmul(xp.matmul(xp.conj(u), middle), xp.conj(vh)).astype(a.dtype)


def _products_without_two(xp: Any, s: Any) -> Any:
    """The product of all values but two, for each pair of distinct ones; 0 on the diagonal."""
    size = s.shape[-1]
    left_out = xp.where(xp.eye(size, dtype=bool), xp.ones((), s.dtype), s[..., None, :])  # row i: without s[i]
    return _products_without_one(xp, left_out) * (1 - xp.eye(size, dtype=s.dtype))


def _cofactors_change_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    (a, change), (a_tangent, change_tangent) = primals, tangents
    out = cofactors_change_p.bind(a, change)
    total = None if change_tangent is None else cofactors_change_p.bind(a, change_tangent)
    if a_tangent is not None:
        third = _third_derivative(a, change, a_tangent)
        total = third if total is None else total + third
    return out, total


def _third_derivative(a: Any, first: Any, second: Any) -> Any:
    """The gradient by the last of three directions of the third derivative of det; symmetric, and for nonsingular matrices.

    With x = inv(a) and y, z = x @ first, x @ second: det(a) times the terms of the expansion of det(1 + r y + s z + t w) that have r s t.
    """
    x = inverse(a)
    y, z = product(x, first), product(x, second)
    trace_y, trace_z = (reduce_sum(diagonal(v), (len(shape_of(v)) - 2,)) for v in (y, z))
    yz = product(y, z)
    trace_yz = reduce_sum(diagonal(yz), (len(shape_of(yz)) - 2,))
    inner = yz + product(z, y) - _scaled(trace_y, z) - _scaled(trace_z, y)
    terms = product(inner, x) + _scaled(trace_y * trace_z - trace_yz, x)
    return _scaled(determinant_p.bind(a), transpose_matrix(terms))


def _cofactors_change_vjp(a: Any, change: Any) -> Any:
    def pullback(ct: Any) -> list[Any]:
        return [_third_derivative(a, change, ct), cofactors_change_p.bind(a, ct)]

    return cofactors_change_p.bind(a, change), pullback


cofactors_change_p = Primitive(
    "cofactors_change",
    impl=_cofactors_change_impl,
    shape=lambda a, change: _square_shape("cofactors_change", a),
    jvp=_cofactors_change_jvp,
    vjp=_cofactors_change_vjp,
    batch=stacked(lambda: cofactors_change_p),
    kernel=None,
    samples=[
        case(f64(3, 3), f64(3, 3)),
        case(f64(2, 4, 4), f64(2, 4, 4)),
        case(f64(1, 1), f64(1, 1)),
        case(f64(0, 0), f64(0, 0)),
        case(f32(2, 2, transform=dominant), f32(2, 2)),
        case(c128(3, 3), c128(3, 3)),
    ],
    doc="The derivative of the cofactors in a direction.",
)


# --- slogdet -----------------------------------------------------------------------------------------------------------------------------------------


def _slogdet_shape(a: ShapedArray) -> list[ShapedArray]:
    require_square("slogdet", a)
    return [a.update(a.shape[:-2]), ShapedArray(a.shape[:-2], real_dtype(a.dtype))]


def _slogdet_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    sign, logarithm = slogdet_p.bind(*primals)
    change = _pairing(transpose_matrix(inverse(primals[0])), tangents[0])
    if is_complex(dtype_of(sign)):
        return [sign, logarithm], [sign * with_imaginary(imaginary_part(change)), real_part(change)]
    constant = beside(zeros(ShapedArray(shape_of(sign), dtype_of(sign))), lies_on_device(sign))
    return [sign, logarithm], [constant, change]


def _slogdet_vjp(a: Any) -> Any:
    sign, logarithm = slogdet_p.bind(a)

    def pullback(cts: Sequence[Any]) -> list[Any]:
        factor = cts[1]
        if is_complex(dtype_of(sign)):
            # sign changes by 1j * sign * Im(change): its cotangent reaches the imaginary part only.
            factor = factor + with_imaginary(imaginary_part(cts[0] * sign))
        return [_scaled(factor, transpose_matrix(inverse(a)))]

    return [sign, logarithm], pullback


slogdet_p = Primitive(
    "slogdet",
    impl=lambda xp, a: list(xp.linalg.slogdet(a)),
    shape=_slogdet_shape,
    jvp=_slogdet_jvp,
    vjp=_slogdet_vjp,
    batch=stacked(lambda: slogdet_p),
    kernel="slogdet",
    multiple_results=True,
    samples=[
        case(f64(3, 3)),
        case(f64(2, 2, 2)),
        case(f64(1, 1)),
        case(f64(0, 0)),
        case(f32(2, 2, transform=dominant)),
        case(c128(3, 3)),
    ],
    doc="Sign (or phase) of the determinant and the logarithm of its magnitude.",
)


def signed_log_determinant(a: Any) -> list[Any]:
    """Sign and log of the magnitude of determinants."""
    return slogdet_p.bind(a)


# --- exponential --------------------------------------------------------------------------------------------------------------------------------------


def _expm_impl(xp: Any, a: Any) -> Any:
    if a.size == 0:
        return xp.zeros(a.shape, a.dtype)
    if xp is not np:
        from cupyx.scipy.linalg import expm
    else:
        from scipy.linalg import expm
    return expm(a).astype(a.dtype, copy=False)


def exponential_change(a: Any, change: Any, exponential: Callable[[Any], Any]) -> Any:
    """The derivative of the exponential at ``a`` in a direction, by the exponential of a block triangular matrix."""
    size, axis = shape_of(a)[-1], len(shape_of(a)) - 1
    nothing = broadcast_to(dtype_of(a).type(0), shape_of(a))
    blocks = concatenate(
        [concatenate([a, change], axis), concatenate([nothing, a], axis)],
        axis - 1,
    )
    out = exponential(blocks)
    return slice_axis(slice_axis(out, axis - 1, 0, size), axis, size, 2 * size)


expm_p = Primitive(
    "expm",
    impl=_expm_impl,
    shape=lambda a: _square_shape("expm", a),
    jvp=lambda primals, tangents: (expm_p.bind(*primals), exponential_change(primals[0], tangents[0], expm_p.bind)),
    vjp=lambda a: (expm_p.bind(a), lambda ct: [exponential_change(transpose_matrix(a), ct, expm_p.bind)]),
    batch=stacked(lambda: expm_p),
    kernel=None,
    samples=[
        case(f64(3, 3)),
        case(f64(2, 2, 2)),
        case(f64(3, 3, transform=np.zeros_like)),
        case(f64(1, 1)),
        case(f64(0, 0)),
        case(f32(2, 2, low=-1.0, high=1.0)),
        case(c128(2, 2, low=-1.0, high=1.0)),
    ],
    doc="The exponential of square matrices.",
)


# --- Sylvester's equation and the square root ----------------------------------------------------------------------------------------------------------


def _sylvester_impl(xp: Any, a: Any, b: Any, q: Any) -> Any:
    if q.size == 0:
        return xp.zeros(q.shape, q.dtype)
    from scipy.linalg import solve_sylvester

    out = np.empty(q.shape, q.dtype)
    for index in np.ndindex(q.shape[:-2]):
        out[index] = solve_sylvester(a[index], b[index], q[index])
    return out


def _sylvester_shape(a: ShapedArray, b: ShapedArray, q: ShapedArray) -> ShapedArray:
    require_square("solve_sylvester", a, b)
    if q.shape != (*a.shape[:-1], b.shape[-1]) or a.shape[:-2] != b.shape[:-2] or not a.dtype == b.dtype == q.dtype:
        raise ShapeError(
            f"solve_sylvester: a @ x + x @ b = q needs a (m, m), b (n, n) and q (m, n) of one dtype, got {a}, {b} and {q}"
        )
    return q.update()


def _sylvester_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    a, b, q = primals
    x = sylvester_p.bind(a, b, q)
    right = tangents[2]
    for term in (
        None if tangents[0] is None else product(tangents[0], x),
        None if tangents[1] is None else product(x, tangents[1]),
    ):
        if term is not None:
            right = -term if right is None else right - term
    return x, sylvester_p.bind(a, b, right)


def _sylvester_vjp(a: Any, b: Any, q: Any) -> Any:
    x = sylvester_p.bind(a, b, q)

    def pullback(ct: Any) -> list[Any]:
        q_cotangent = sylvester_p.bind(transpose_matrix(a), transpose_matrix(b), ct)
        x_transposed = transpose_matrix(x)
        return [-product(q_cotangent, x_transposed), -product(x_transposed, q_cotangent), q_cotangent]

    return x, pullback


sylvester_p = Primitive(
    "solve_sylvester",
    impl=_sylvester_impl,
    shape=_sylvester_shape,
    jvp=_sylvester_jvp,
    vjp=_sylvester_vjp,
    batch=stacked(lambda: sylvester_p),
    kernel=None,
    samples=[
        case(f64(3, 3, transform=dominant), f64(2, 2, transform=dominant), f64(3, 2)),
        case(f64(2, 2, 2, transform=dominant), f64(2, 2, 2, transform=dominant), f64(2, 2, 2)),
        case(f64(1, 1, transform=dominant), f64(1, 1, transform=dominant), f64(1, 1)),
        case(f64(0, 0), f64(2, 2), f64(0, 2)),
        case(f32(2, 2, transform=dominant), f32(2, 2, transform=dominant), f32(2, 2)),
        case(c128(2, 2, transform=dominant), c128(2, 2, transform=dominant), c128(2, 2)),
    ],
    doc="The solution x of a @ x + x @ b = q.",
)


def solve_sylvester_matrices(a: Any, b: Any, q: Any) -> Any:
    """The solution x of ``a @ x + x @ b = q``, all of one dtype and with equal leading axes."""
    return sylvester_p.bind(a, b, q)


def _square_root_impl(xp: Any, a: Any) -> Any:
    if a.size == 0:
        return xp.zeros(a.shape, a.dtype)
    from scipy.linalg import sqrtm

    out = np.empty(a.shape, a.dtype)
    for index in np.ndindex(a.shape[:-2]):
        root = sqrtm(a[index])
        if root.dtype.kind == "c" and a.dtype.kind != "c":
            if np.abs(root.imag).max() > np.sqrt(np.finfo(a.dtype).eps) * np.abs(root).max():
                raise LinAlgError(
                    f"sqrtm of {a.dtype.name}{list(a.shape)}: a real matrix with negative eigenvalues has no real principal square root; "
                    "convert it first with x.astype(complex)"
                )
            root = root.real
        out[index] = root
    return out


def _square_root_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    root = sqrtm_p.bind(*primals)
    return root, sylvester_p.bind(root, root, tangents[0])


def _square_root_vjp(a: Any) -> Any:
    root = sqrtm_p.bind(a)

    def pullback(ct: Any) -> list[Any]:
        transposed = transpose_matrix(root)
        return [sylvester_p.bind(transposed, transposed, ct)]

    return root, pullback


sqrtm_p = Primitive(
    "sqrtm",
    impl=_square_root_impl,
    shape=lambda a: _square_shape("sqrtm", a),
    jvp=_square_root_jvp,
    vjp=_square_root_vjp,
    batch=stacked(lambda: sqrtm_p),
    kernel=None,
    samples=[
        case(f64(3, 3, transform=dominant)),
        case(f64(2, 2, 2, transform=dominant)),
        case(f64(1, 1, transform=dominant)),
        case(f64(0, 0)),
        case(f32(2, 2, transform=dominant)),
        case(c128(2, 2, transform=dominant)),
    ],
    doc="The principal square root; its derivative solves Sylvester's equation.",
)


def matrix_square_root(a: Any) -> Any:
    """Principal square roots of square matrices."""
    return sqrtm_p.bind(a)
