"""Linear algebra: values against NumPy, derivatives against differences, and what is particular: singular points, equal values, phases."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DTypeError, FadError, ImmutableArrayError, LinAlgError, ShapeError
from fad.numpy.linalg import EighResult, EigResult, QRResult, SlogdetResult, SVDResult
from fad.testing import check_grads

KINDS = ["float64", "complex128"]


def draw(*shape, dtype="float64", seed=0):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape)
    return (values + 1j * generator.normal(size=shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)


def dominant(*shape, dtype="float64", seed=0):
    return draw(*shape, dtype=dtype, seed=seed) + 4 * np.eye(shape[-1], dtype=dtype)


def positive(*shape, dtype="float64", seed=0):
    x = draw(*shape, dtype=dtype, seed=seed)
    return x @ x.conj().swapaxes(-1, -2) + np.eye(shape[-1], dtype=dtype)


def hermitian(*shape, dtype="float64", seed=0):
    x = draw(*shape, dtype=dtype, seed=seed)
    return x + x.conj().swapaxes(-1, -2)


def assert_same(found, expected, rtol=1e-10):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def check_modes(function, *args):
    """Derivatives to second order; staged and mapped calls agree with eager ones."""
    check_grads(function, args, rtol=1e-5, atol=1e-5)
    assert_same(fad.jit(function)(*args), function(*args))
    stacked = [np.stack([a, a * 1.1]) for a in args]
    assert_same(
        fad.vmap(function)(*stacked), np.stack([np.asarray(function(*[s[k] for s in stacked])) for k in range(2)])
    )


# --- systems, inverses, determinants ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*KINDS, "float32", "complex64"])
def test_systems_are_numpys(dtype):
    rtol = 1e-3 if np.dtype(dtype).itemsize < 16 and dtype != "float64" else 1e-10
    a, stack = dominant(3, 3, dtype=dtype), dominant(2, 3, 3, dtype=dtype, seed=1)
    b, c = draw(3, dtype=dtype, seed=2), draw(3, 2, dtype=dtype, seed=3)
    for x, y in ((a, b), (a, c), (stack, c), (a, draw(4, 3, 2, dtype=dtype)), (stack, b), (stack[:, None], stack)):
        assert_same(fnp.linalg.solve(x, y), np.linalg.solve(x, y), rtol)
    for x in (a, stack):
        assert_same(fnp.linalg.inv(x), np.linalg.inv(x), rtol)
        assert_same(fnp.linalg.det(x), np.linalg.det(x), rtol)
        assert_same(fnp.linalg.slogdet(x).sign, np.linalg.slogdet(x).sign, rtol)
        assert_same(fnp.linalg.slogdet(x).logabsdet, np.linalg.slogdet(x).logabsdet, rtol)
        assert_same(fnp.linalg.pinv(x[..., :2]), np.linalg.pinv(x[..., :2]), rtol)
        for n in (-2, 0, 1, 5):
            assert_same(fnp.linalg.matrix_power(x, n), np.linalg.matrix_power(x, n), rtol * 10)
    assert isinstance(fnp.linalg.slogdet(a), SlogdetResult)


@pytest.mark.parametrize("dtype", KINDS)
def test_systems_differentiate(dtype):
    a, b, c = dominant(3, 3, dtype=dtype), draw(3, dtype=dtype, seed=1), draw(4, 3, 2, dtype=dtype, seed=2)
    check_modes(fnp.linalg.solve, a, b)
    check_modes(fnp.linalg.solve, a, c)
    check_modes(fnp.linalg.solve, dominant(4, 3, 3, dtype=dtype), c)
    check_modes(fnp.linalg.inv, a)
    check_modes(fnp.linalg.det, a)
    check_modes(lambda x: fnp.linalg.slogdet(x).logabsdet, a)
    check_modes(lambda x: fnp.linalg.slogdet(x).sign * fnp.linalg.slogdet(x)[1], a)
    check_modes(fnp.linalg.pinv, draw(4, 2, dtype=dtype))
    check_modes(lambda x: fnp.linalg.matrix_power(x, -3), a)


def test_one_matrix_solves_all_mapped_right_hand_sides_at_once():
    a, b = dominant(3, 3), draw(5, 3, 2)
    program = fad.make_program(lambda a, b: fad.vmap(fnp.linalg.solve, in_axes=(None, 0))(a, b))(a, b)
    (solve,) = [e for e in program.equations if e.primitive.name == "solve"]
    assert [v.aval.shape for v in solve.inputs] == [(3, 3), (3, 10)]
    assert_same(fad.vmap(fnp.linalg.solve, in_axes=(None, 0))(a, b), np.linalg.solve(a, b))


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", KINDS)
def test_det_differentiates_at_singular_matrices(dtype, rank):
    x = draw(4, rank, dtype=dtype) @ draw(rank, 4, dtype=dtype, seed=1)
    check_grads(fnp.linalg.det, (x,), order=2)
    gradient = np.asarray(fad.grad(lambda m: fnp.linalg.det(m).real)(x))
    minors = np.array(
        [[(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(4)] for i in range(4)]
    )
    np.testing.assert_allclose(gradient, minors, atol=1e-10)


def test_third_derivative_of_det():
    x, t = dominant(3, 3), draw(3, 3, seed=1)

    def along(s):
        return fnp.linalg.det(x + s * t)  # a cubic in s

    third = fad.grad(fad.grad(fad.grad(along)))(0.3)
    np.testing.assert_allclose(third, 6 * np.linalg.det(t), rtol=1e-9)


def test_lstsq():
    for m, n, k in ((5, 3, ()), (5, 3, (2,)), (2, 4, ()), (3, 3, (2,))):
        a, b = draw(m, n), draw(m, *k, seed=1)
        for found, expected in zip(fnp.linalg.lstsq(a, b), np.linalg.lstsq(a, b), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
            assert np.shape(found) == np.shape(expected)
        check_modes(lambda a, b: fnp.linalg.lstsq(a, b)[0], a, b)
    check_modes(lambda a, b: fnp.linalg.lstsq(a, b)[1], draw(5, 3), draw(5, seed=1))
    deficient = np.ones((4, 2))
    assert fnp.linalg.lstsq(deficient, np.ones(4))[1].shape == np.linalg.lstsq(deficient, np.ones(4))[1].shape
    assert int(fnp.linalg.lstsq(deficient, np.ones(4))[2]) == 1


def test_ranks():
    for x in (
        draw(3, 4),
        np.ones((3, 3)),
        np.zeros((2, 2)),
        draw(2, 3, 1) @ draw(2, 1, 3),
        np.arange(3.0),
        np.zeros(3),
    ):
        assert_same(
            fnp.linalg.matrix_rank(x), np.int64(np.linalg.matrix_rank(x)) if x.ndim < 3 else np.linalg.matrix_rank(x)
        )
    x = np.diag([1.0, 1e-3, 1e-9])
    for options in ({"tol": 1e-5}, {"rtol": 1e-2}, {"tol": 1e-12}):
        assert int(fnp.linalg.matrix_rank(x, **options)) == np.linalg.matrix_rank(x, **options)
    assert np.all(np.asarray(fad.grad(lambda m: fnp.linalg.matrix_rank(m) * m.sum())(np.eye(2))) == 2.0)


def test_tensor_systems():
    a, b = draw(2, 3, 6) + np.eye(6).reshape(2, 3, 6) * 4, draw(2, 3, seed=1)
    assert_same(fnp.linalg.tensorsolve(a, b), np.linalg.tensorsolve(a, b))
    moved = a.transpose(2, 0, 1)
    assert_same(fnp.linalg.tensorsolve(moved, b, axes=(0,)), np.linalg.tensorsolve(moved, b, axes=(0,)))
    assert_same(fnp.linalg.tensorinv(a, ind=2), np.linalg.tensorinv(a, ind=2))
    check_modes(fnp.linalg.tensorsolve, a, b)


def test_products_and_parts_in_linalg():
    x, y, z = draw(2, 3, 4), draw(2, 4, 5, seed=1), draw(4, seed=2)
    assert_same(fnp.linalg.matmul(x, y), x @ y)
    assert_same(fnp.linalg.tensordot(x, y, axes=((2,), (1,))), np.linalg.tensordot(x, y, axes=((2,), (1,))))
    assert_same(fnp.linalg.vecdot(x, z), x @ z)
    assert_same(fnp.linalg.matrix_transpose(x), x.mT)
    assert_same(fnp.linalg.outer(z, z), np.outer(z, z))
    assert_same(fnp.linalg.cross(x[:, :, :3], y[0, 0, :3]), np.cross(x[:, :, :3], y[0, 0, :3]))
    assert_same(fnp.linalg.diagonal(x, offset=1), np.linalg.diagonal(x, offset=1))
    assert_same(fnp.linalg.trace(x, offset=-1), np.linalg.trace(x, offset=-1))
    assert_same(fnp.linalg.multi_dot([z, x[0].T, x[0], z]), z @ x[0].T @ x[0] @ z)
    check_modes(lambda a, b: fnp.linalg.multi_dot([a, b, a[0]]), draw(3, 4), draw(4, 4))


# --- norms --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("order", [None, 0, 1, 2, 3, 0.5, -1, -2, np.inf, -np.inf])
def test_vector_norms(order, dtype):
    x = draw(3, 4, dtype=dtype)
    for options in ({"axis": 1}, {"axis": -2, "keepdims": True}):
        assert_same(fnp.linalg.norm(x, order, **options), np.linalg.norm(x, order, **options))
    if order is not None:
        for axis in (None, (0, 1), 0):
            assert_same(fnp.linalg.vector_norm(x, ord=order, axis=axis), np.linalg.vector_norm(x, ord=order, axis=axis))
    if order != 0:
        check_modes(lambda v: fnp.linalg.norm(v, order, axis=1), x)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("order", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
def test_matrix_norms(order, dtype):
    x = draw(2, 3, 4, dtype=dtype)
    assert_same(fnp.linalg.norm(x[0], order), np.linalg.norm(x[0], order))
    for axis in ((0, 2), (2, 1)):
        assert_same(
            fnp.linalg.norm(x, order, axis=axis, keepdims=True), np.linalg.norm(x, order, axis=axis, keepdims=True)
        )
    if order is not None:
        assert_same(fnp.linalg.matrix_norm(x, ord=order), np.linalg.matrix_norm(x, ord=order))
    check_modes(lambda m: fnp.linalg.norm(m, order), x[0])


@pytest.mark.parametrize("order", [None, 1, 2, 3, 1.5, 0.5])
def test_the_gradient_of_a_norm_at_zero_is_zero(order):
    def norm(x):
        return fnp.linalg.norm(x, order)

    assert np.all(np.asarray(fad.grad(norm)(np.zeros(3))) == 0)
    assert np.all(np.asarray(fad.jvp(norm, (np.zeros(3),), (np.ones(3),))[1]) == 0)
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    gradient = np.asarray(fad.grad(lambda x: fnp.sum(fnp.linalg.norm(x, axis=1)))(rows))
    np.testing.assert_allclose(gradient, [[0, 0], [0.6, 0.8]])
    assert np.all(np.isfinite(np.asarray(fad.hessian(norm)(np.zeros(3)))))


def test_an_element_that_is_zero_does_not_spoil_the_gradient_of_a_norm():
    gradient = np.asarray(fad.grad(lambda x: fnp.linalg.norm(x, 1.5))(np.array([0.0, 1.0, -2.0])))
    total = 1 + 2**1.5
    np.testing.assert_allclose(gradient, [0, total ** (-1 / 3), -(2**0.5) * total ** (-1 / 3)])


def test_strict_derivatives_of_norms():
    with fad.config.using(strict_derivatives=True), np.errstate(all="ignore"):
        assert np.isnan(np.asarray(fad.grad(fnp.linalg.norm)(np.zeros(2)))).all()


@pytest.mark.parametrize("p", [None, 2, -2, 1, -1, np.inf, -np.inf, "fro", "nuc"])
def test_condition_numbers(p):
    x = dominant(2, 3, 3)
    assert_same(fnp.linalg.cond(x, p), np.linalg.cond(x, p))
    check_modes(lambda m: fnp.linalg.cond(m, p), x[0])


# --- factorisations -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", KINDS)
def test_cholesky(dtype):
    x = positive(2, 3, 3, dtype=dtype)
    assert_same(fnp.linalg.cholesky(x), np.linalg.cholesky(x))
    assert_same(fnp.linalg.cholesky(x, upper=True), np.linalg.cholesky(x, upper=True))
    check_modes(fnp.linalg.cholesky, x[0])
    gradient = np.asarray(fad.grad(lambda m: fnp.sum(fnp.abs(fnp.linalg.cholesky(m))))(x[0]))
    np.testing.assert_allclose(gradient, gradient.T.conj(), atol=1e-12)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (2, 4), (2, 4, 2)])
def test_qr(shape, dtype):
    x = draw(*shape, dtype=dtype)
    for mode in ("reduced", "complete"):
        found, expected = fnp.linalg.qr(x, mode), np.linalg.qr(x, mode)
        assert isinstance(found, QRResult)
        assert_same(found.Q, expected.Q)
        assert_same(found.R, expected.R)
    assert_same(fnp.linalg.qr(x, "r"), np.linalg.qr(x, "r"))
    check_modes(lambda m: fnp.linalg.qr(m).Q, x)
    check_modes(lambda m: fnp.linalg.qr(m).R, x)


def test_the_projector_on_the_complement_differentiates():
    def projector(m):
        rest = fnp.linalg.qr(m, "complete").Q[:, 2:]
        return rest @ rest.T

    check_modes(projector, draw(5, 2))
    check_modes(lambda m: fnp.linalg.svd(m).U[:, 2:] @ fnp.linalg.svd(m).U[:, 2:].T, draw(5, 2))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (2, 4), (2, 4, 2)])
def test_svd(shape, dtype):
    x = draw(*shape, dtype=dtype)
    for full in (False, True):
        found, expected = fnp.linalg.svd(x, full_matrices=full), np.linalg.svd(x, full_matrices=full)
        assert isinstance(found, SVDResult)
        for f, e in zip(found, expected, strict=True):
            assert_same(f, e)
    assert_same(fnp.linalg.svd(x, compute_uv=False), np.linalg.svd(x, compute_uv=False))
    assert_same(fnp.linalg.svdvals(x), np.linalg.svdvals(x))
    check_modes(fnp.linalg.svdvals, x)
    check_modes(lambda m: fnp.linalg.svd(m, full_matrices=False).U, x)
    check_modes(lambda m: fnp.linalg.svd(m, full_matrices=False).Vh, x)


@pytest.mark.parametrize("dtype", KINDS)
def test_eigh(dtype):
    x = hermitian(2, 3, 3, dtype=dtype)
    found, expected = fnp.linalg.eigh(x), np.linalg.eigh(x)
    assert isinstance(found, EighResult)
    assert_same(found.eigenvalues, expected.eigenvalues)
    assert_same(found.eigenvectors, expected.eigenvectors)
    assert_same(fnp.linalg.eigvalsh(x, "U"), np.linalg.eigvalsh(x, "U"))
    check_modes(fnp.linalg.eigvalsh, x[0])
    check_modes(lambda m: fnp.linalg.eigh(m).eigenvectors, x[0])


@pytest.mark.parametrize("dtype", KINDS)
def test_eig(dtype):
    x = 0.3 * draw(3, 3, dtype=dtype) + np.array([[0.5, -2.0, 0.3], [1.0, 0.7, 0.1], [0.2, 0.4, -3.0]])
    found, expected = fnp.linalg.eig(x), np.linalg.eig(x)
    assert isinstance(found, EigResult)
    assert_same(found.eigenvalues, expected.eigenvalues)
    assert_same(found.eigenvectors, expected.eigenvectors)
    assert_same(fnp.linalg.eigvals(x), np.linalg.eigvals(x))
    check_modes(fnp.linalg.eigvals, x)
    check_modes(lambda m: fnp.linalg.eig(m).eigenvectors, x)


def test_eig_is_complex_whatever_the_values():
    assert fnp.linalg.eig(np.diag([1.0, 2.0])).eigenvalues.dtype == np.complex128
    assert fnp.linalg.eigvals(np.eye(2, dtype=np.float32)).dtype == np.complex64


# --- equal eigenvalues and singular values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fun", "gradient"),
    [
        (lambda m: fnp.linalg.eigvalsh(m).sum(), np.eye(3)),
        (lambda m: fnp.linalg.eigvalsh(m).prod(), 4 * np.eye(3)),
        (lambda m: (fnp.linalg.eigvals(m) ** 2).sum().real, 4 * np.eye(3)),
        (lambda m: fnp.linalg.svdvals(m).sum(), np.eye(3)),
        (lambda m: fnp.linalg.norm(m, "nuc"), np.eye(3)),
        (lambda m: fnp.linalg.det(m), 4 * np.eye(3)),
        (lambda m: fnp.linalg.slogdet(m)[1], np.eye(3) / 2),
    ],
    ids=["trace", "product", "squares", "singular", "nuclear", "det", "logdet"],
)
def test_symmetric_functions_of_equal_values(fun, gradient):
    np.testing.assert_allclose(fad.grad(fun)(2 * np.eye(3)), gradient, atol=1e-12)
    np.testing.assert_allclose(fad.jit(fad.grad(fun))(2 * np.eye(3)), gradient, atol=1e-12)


def test_eigenvectors_of_equal_values_have_finite_derivatives():
    jacobian = fad.jacobian(lambda m: fnp.linalg.eigh(m).eigenvectors)(np.eye(3))
    assert np.isfinite(np.asarray(jacobian)).all()
    hessian = fad.hessian(lambda m: fnp.linalg.svd(m).U.sum())(np.eye(3))
    assert np.isfinite(np.asarray(hessian)).all()


def test_the_projector_on_an_eigenspace_of_equal_values():
    turn = np.linalg.qr(draw(4, 4))[0]
    x = turn @ np.diag([1.0, 1.0, 1.0, 3.0]) @ turn.T

    def projector(m):
        vectors = fnp.linalg.eigh(m).eigenvectors[:, :3]
        return vectors @ vectors.T

    check_grads(projector, (x,), order=1)


@pytest.mark.parametrize("dtype", KINDS)
def test_the_polar_factor_of_a_unitary_matrix(dtype):
    x = np.linalg.qr(draw(3, 3, dtype=dtype))[0]

    def polar(m):
        u, _, vh = fnp.linalg.svd(m)
        return u @ vh

    check_grads(polar, (x,), order=1)


def test_singular_vectors_of_a_rank_deficient_matrix_are_finite():
    x = np.outer([1.0, 2.0, 3.0], [1.0, -1.0])
    for k in range(3):
        gradient = fad.grad(lambda m, k=k: fnp.linalg.svd(m, full_matrices=False)[k].sum())(x)
        assert np.isfinite(np.asarray(gradient)).all()


# --- refusals -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fnp.linalg.inv(np.zeros((2, 2))), ["inv of float64[2, 2]", "Singular", "pinv"]),
        (lambda: fnp.linalg.solve(np.ones((2, 2)), np.ones(2)), ["solve", "Singular", "lstsq"]),
        (lambda: fnp.linalg.cholesky(-np.eye(2)), ["cholesky", "not positive definite", "multiple of the identity"]),
        (lambda: fad.grad(lambda x: fnp.linalg.slogdet(x)[1])(np.zeros((2, 2))), ["Singular"]),
        (lambda: fad.grad(lambda x: fnp.linalg.qr(x).R.sum())(np.zeros((2, 2))), ["diagonal element is 0"]),
        (lambda: fad.jit(fnp.linalg.inv)(np.zeros((2, 2))), ["Singular"]),
    ],
)
def test_what_does_not_exist_is_said(call, words):
    with pytest.raises(LinAlgError) as caught:
        call()
    assert isinstance(caught.value, np.linalg.LinAlgError)
    assert isinstance(caught.value, FadError)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fnp.linalg.inv(np.ones((2, 3))), ShapeError, ["inv needs square", "(2, 3)"]),
        (lambda: fnp.linalg.svd(np.ones(3)), ShapeError, ["svd needs matrices", "(3,)"]),
        (lambda: fnp.linalg.inv(np.eye(2, dtype=np.float16)), DTypeError, ["float16", "astype"]),
        (lambda: fnp.linalg.solve(np.eye(3), np.ones(2)), ShapeError, ["3 rows", "(2, 1)"]),
        (lambda: fnp.linalg.solve(np.ones((2, 3, 3)), np.ones((4, 3, 1))), ShapeError, ["do not broadcast"]),
        (lambda: fnp.linalg.matrix_power(np.eye(2), 0.5), ArgumentError, ["int", "0.5"]),
        (lambda: fnp.linalg.norm(np.ones((2, 2)), 3), ArgumentError, ["'fro'", "3"]),
        (lambda: fnp.linalg.norm(np.ones(2), "fro"), ArgumentError, ["vector norm", "'fro'"]),
        (lambda: fnp.linalg.norm(np.ones((2, 2, 2)), 2), ShapeError, ["needs axis"]),
        (lambda: fnp.linalg.norm(np.ones((2, 2, 2)), axis=(0, 1, 2)), ArgumentError, ["one int", "two"]),
        (lambda: fnp.linalg.qr(np.eye(2), "raw"), ArgumentError, ["'raw'"]),
        (lambda: fnp.linalg.eigh(np.eye(2), "X"), ArgumentError, ["UPLO"]),
        (lambda: fnp.linalg.pinv(np.eye(2), 1e-3, rtol=1e-3), ArgumentError, ["not both"]),
        (lambda: fnp.linalg.matrix_rank(np.eye(2), 1e-3, rtol=1e-3), ArgumentError, ["not both"]),
        (lambda: fnp.linalg.lstsq(np.eye(2), np.ones(3)), ShapeError, ["(2, 2)", "(3,)"]),
        (lambda: fnp.linalg.tensorsolve(np.ones((2, 3)), np.ones(2)), ShapeError, ["not square"]),
        (lambda: fnp.linalg.tensorinv(np.ones((2, 3)), 1), ShapeError, ["not square"]),
        (lambda: fnp.linalg.tensorinv(np.ones((2, 3)), 0), ArgumentError, ["positive"]),
        (lambda: fnp.linalg.cond(np.ones((2, 3)), 1), ShapeError, ["square"]),
        (lambda: fnp.linalg.outer(np.eye(2), np.ones(2)), ShapeError, ["1-d"]),
        (lambda: fnp.linalg.matrix_transpose(np.ones(2)), ShapeError, ["two axes"]),
        (lambda: fnp.linalg.multi_dot([np.eye(2)]), ArgumentError, ["at least two"]),
        (lambda: fnp.linalg.multi_dot([np.eye(2), np.ones(2), np.eye(2)]), ShapeError, ["2-d"]),
        (lambda: fnp.linalg.multi_dot([np.eye(2), np.eye(2)], out=1), ImmutableArrayError, ["out="]),
    ],
)
def test_refusals_teach(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
