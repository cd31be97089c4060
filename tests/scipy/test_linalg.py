"""fad.scipy.linalg against SciPy, and its derivatives against differences."""

import numpy as np
import pytest
import scipy.linalg

import fad
import fad.scipy.linalg as ours
from fad.core.errors import ArgumentError, LinAlgError, ShapeError
from fad.testing import check_grads

KINDS = ["float64", "complex128"]


def draw(*shape, dtype="float64", seed=0):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape)
    return (values + 1j * generator.normal(size=shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)


def dominant(n, dtype="float64", seed=0):
    return draw(n, n, dtype=dtype, seed=seed) + 4 * np.eye(n, dtype=dtype)


def positive(n, dtype="float64", seed=0):
    x = draw(n, n, dtype=dtype, seed=seed)
    return x @ x.conj().T + np.eye(n)


def assert_same(found, expected, rtol=1e-10):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def check_modes(function, *args):
    check_grads(function, args, rtol=1e-5, atol=1e-5)
    assert_same(fad.jit(function)(*args), function(*args))
    stacked = [np.stack([a, a * 1.1]) for a in args]
    rows = [np.asarray(function(*[s[k] for s in stacked])) for k in range(2)]
    assert_same(fad.vmap(function)(*stacked), np.stack(rows))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("unit_diagonal", [False, True])
@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("trans", [0, 1, 2, "N", "T", "C"])
def test_solve_triangular(trans, lower, unit_diagonal, dtype):
    a, options = dominant(3, dtype=dtype), {"trans": trans, "lower": lower, "unit_diagonal": unit_diagonal}
    for b in (draw(3, dtype=dtype), draw(3, 2, dtype=dtype)):
        assert_same(ours.solve_triangular(a, b, **options), scipy.linalg.solve_triangular(a, b, **options))
    check_modes(lambda a, b: ours.solve_triangular(a, b, **options), a, draw(3, dtype=dtype))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("lower", [False, True])
def test_cholesky_and_solving_with_it(lower, dtype):
    a, b = positive(3, dtype=dtype), draw(3, 2, dtype=dtype, seed=1)
    assert_same(ours.cholesky(a, lower=lower), scipy.linalg.cholesky(a, lower=lower))
    factor, flag = ours.cho_factor(a, lower)
    assert flag == lower
    assert_same(ours.cho_solve((factor, lower), b), np.linalg.solve(a, b))
    assert_same(ours.cho_solve(scipy.linalg.cho_factor(a, lower), b[:, 0]), np.linalg.solve(a, b[:, 0]))
    check_modes(lambda a, b: ours.cho_solve(ours.cho_factor(a, lower), b), a, b)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_lu(shape, dtype):
    x = draw(*shape, dtype=dtype)
    for options in ({}, {"permute_l": True}, {"p_indices": True}):
        for found, expected in zip(ours.lu(x, **options), scipy.linalg.lu(x, **options), strict=True):
            assert_same(found, expected)
    check_modes(lambda m: ours.lu(m)[1], x)
    check_modes(lambda m: ours.lu(m)[2], x)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("trans", [0, 1, 2])
def test_lu_solve(trans, dtype):
    a, b = dominant(3, dtype=dtype)[::-1], draw(3, 2, dtype=dtype, seed=1)
    packed, pivots = ours.lu_factor(a)
    expected = scipy.linalg.lu_factor(a)
    assert_same(packed, expected[0])
    assert_same(pivots, expected[1])
    assert_same(ours.lu_solve((packed, pivots), b, trans), scipy.linalg.lu_solve(expected, b, trans))
    check_modes(lambda a, b: ours.lu_solve(ours.lu_factor(a), b, trans), a, b)


def test_solve():
    a, b = positive(3), draw(3, seed=1)
    for kind in (None, "gen", "sym", "her", "pos"):
        assert_same(ours.solve(a, b, assume_a=kind), np.linalg.solve(a, b))
    assert_same(ours.solve(a, b, assume_a="lower triangular"), np.linalg.solve(np.tril(a), b))
    assert_same(ours.solve(a, b, assume_a="upper triangular"), np.linalg.solve(np.triu(a), b))
    tilted = dominant(3)
    assert_same(ours.solve(tilted, b, transposed=True), np.linalg.solve(tilted.T, b))
    check_modes(lambda a, b: ours.solve(a, b, assume_a="pos"), a, b)


@pytest.mark.parametrize("dtype", KINDS)
def test_solve_sylvester(dtype):
    a, b, q = dominant(3, dtype=dtype), dominant(2, dtype=dtype, seed=1), draw(3, 2, dtype=dtype, seed=2)
    assert_same(ours.solve_sylvester(a, b, q), scipy.linalg.solve_sylvester(a, b, q))
    check_modes(ours.solve_sylvester, a, b, q)


@pytest.mark.parametrize("dtype", KINDS)
def test_eigh_of_a_pair(dtype):
    a, b = draw(3, 3, dtype=dtype), positive(3, dtype=dtype, seed=1)
    a = a + a.conj().T
    values, vectors = ours.eigh(a, b)
    vectors = np.asarray(vectors)
    assert_same(values, scipy.linalg.eigh(a, b, eigvals_only=True))
    assert_same(ours.eigh(a, b, eigvals_only=True), values)
    assert_same(a @ vectors, b @ vectors * np.asarray(values))
    assert_same(vectors.conj().T @ b @ vectors, np.eye(3))
    assert_same(ours.eigh(a)[0], scipy.linalg.eigh(a)[0])
    check_modes(lambda a, b: ours.eigh(a, b)[0], a, b)
    check_modes(lambda a, b: abs(ours.eigh(a, b)[1]) ** 2, a, b)


def test_factors_with_scipys_conventions():
    x = draw(4, 3)
    for mode in ("full", "economic", "r"):
        for found, expected in zip(ours.qr(x, mode=mode), scipy.linalg.qr(x, mode=mode), strict=True):
            assert_same(found, expected)
    for found, expected in zip(ours.svd(x), scipy.linalg.svd(x), strict=True):
        assert_same(found, expected)
    assert_same(ours.svd(x, compute_uv=False), ours.svdvals(x))
    assert_same(np.sort_complex(np.asarray(ours.eigvals(x[:3]))), np.sort_complex(scipy.linalg.eigvals(x[:3])))
    for name in ("det", "inv", "norm", "pinv"):
        assert_same(getattr(ours, name)(x[:3]), getattr(scipy.linalg, name)(x[:3]))
    assert_same(ours.eigvalsh(x.T @ x), scipy.linalg.eigvalsh(x.T @ x))


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_polar(side, dtype):
    x = draw(3, 3, dtype=dtype)
    for found, expected in zip(ours.polar(x, side), scipy.linalg.polar(x, side), strict=True):
        assert_same(found, expected)
    check_modes(lambda m: ours.polar(m, side)[0], x)
    check_modes(lambda m: ours.polar(m, side)[1], x)
    turn = np.linalg.qr(x)[0]  # all singular values are equal here
    check_grads(lambda m: ours.polar(m, side), (turn,), order=1)


@pytest.mark.parametrize("dtype", KINDS)
def test_expm_and_sqrtm(dtype):
    x, y = 0.5 * draw(3, 3, dtype=dtype), dominant(3, dtype=dtype)
    assert_same(ours.expm(x), scipy.linalg.expm(x))
    assert_same(ours.expm(np.stack([x, 2 * x]))[1], scipy.linalg.expm(2 * x))
    assert_same(ours.sqrtm(y), scipy.linalg.sqrtm(y))
    check_modes(ours.expm, x)
    check_modes(ours.sqrtm, y)


def test_expm_differentiates_where_eigenvalues_are_equal():
    direction = draw(3, 3)
    tangent = fad.jvp(ours.expm, (np.eye(3),), (direction,))[1]
    assert_same(tangent, np.e * direction)


@pytest.mark.parametrize("dtype", KINDS)
def test_special_matrices(dtype):
    a, b = draw(3, dtype=dtype), draw(4, dtype=dtype, seed=1)
    assert_same(ours.toeplitz(a), scipy.linalg.toeplitz(a))
    assert_same(ours.toeplitz(a, b), scipy.linalg.toeplitz(a, b))
    assert_same(ours.circulant(a), scipy.linalg.circulant(a))
    blocks = (draw(2, 2), a, 3.0, draw(1, 3))
    assert_same(ours.block_diag(*blocks), scipy.linalg.block_diag(*blocks))
    check_modes(ours.toeplitz, a, b)
    check_modes(ours.circulant, a)
    check_modes(lambda x, y: ours.block_diag(x, y, 1.0), a, b)


def test_linalg_is_an_attribute_of_its_package():
    assert fad.scipy.linalg is ours


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ours.solve_triangular(np.diag([1.0, 0.0]), np.ones(2)), LinAlgError, ["diagonal element is 0"]),
        (lambda: ours.cho_factor(-np.eye(2)), LinAlgError, ["not positive definite"]),
        (lambda: ours.sqrtm(-np.eye(2)), LinAlgError, ["no real principal square root", "astype(complex)"]),
        (lambda: ours.solve_triangular(np.eye(2), np.ones(2), trans=3), ArgumentError, ["trans", "3"]),
        (lambda: ours.cholesky(np.eye(2), upper=True), ArgumentError, ["does not take upper"]),
        (lambda: ours.polar(np.eye(2), "up"), ArgumentError, ["'right'", "'up'"]),
        (lambda: ours.qr(np.eye(2), mode="raw"), ArgumentError, ["'economic'", "'raw'"]),
        (lambda: ours.expm(np.ones((2, 3))), ShapeError, ["square", "(2, 3)"]),
        (lambda: ours.toeplitz(np.eye(2)), ShapeError, ["vectors", "(2, 2)"]),
        (lambda: ours.circulant(np.eye(2)), ShapeError, ["vector"]),
        (lambda: ours.block_diag(np.ones((1, 1, 1))), ShapeError, ["at most 2-d"]),
        (lambda: ours.solve_sylvester(np.eye(2), np.eye(3), np.eye(2)), ShapeError, ["a @ x + x @ b"]),
        (lambda: ours.solve(np.eye(2), np.ones(3)), ShapeError, ["2 rows"]),
    ],
)
def test_refusals_teach(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
