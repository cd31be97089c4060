"""The exponential of matrices in compiled code: against mpmath where algorithms lose digits, and its derivatives."""

import mpmath
import numpy as np
import pytest
import scipy.linalg

import fad
import fad.numpy as fnp
from fad.scipy.linalg import expm
from fad.testing import check_grads

compiled = fad.jit(expm)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


HARD = {
    "overscaled triangular": np.diag([0.32346, 0.30089, 0.3221, 0.30744]) + 3e4 * np.triu(np.ones((4, 4)), 1),
    "nilpotent": np.triu(draw(6, 6), 1) * 1e4,
    "lower nilpotent": np.tril(draw(6, 6), -1) * 1e3,
    "shear": np.array([[1, 1e8], [0, -1.0]]),
    "nearly equal eigenvalues": np.array([[1 + 2**-52, 1], [0, 1 - 2**-52]]),
    "cancelling": np.array([[-131.0, 19, 18], [-390, 56, 54], [-387, 57, 52]]),
    "negative": np.array([[-49.0, 24], [-64, 31]]),
    "badly scaled": np.array([[0, 1e-8, 0], [-(2e10 + 4e8 / 6), -3, 2e10], [200 / 3, 0, -200 / 3]]),
    "graded": np.diag([1e3, 1, 1e-3, 1e-6]) @ draw(4, 4) @ np.diag([1e-6, 1e-3, 1, 1e3]),
    "large": draw(5, 5) * 30,
    "rotation": np.array([[0, -1e3], [1e3, 0]]),
    "falling": draw(3, 3) - 700 * np.eye(3),
    "tiny": draw(3, 3) * 1e-300,
    "zero": np.zeros((3, 3)),
    "number": np.array([[2.5]]),
    "diagonal": np.diag([1.0, -300, 3]),
    "complex": draw(4, 4) + 20j * draw(4, 4, seed=1),
    "complex triangular": np.triu(draw(4, 4) + 1j * draw(4, 4, seed=1)) * 30,
}


@pytest.mark.parametrize("name", HARD)
def test_is_right_where_algorithms_lose_digits(name):
    a = HARD[name]
    with mpmath.workdps(120):
        exact = mpmath.expm(mpmath.matrix(a.tolist()))
        exact = np.array(exact.apply(complex).tolist()).reshape(a.shape)
    size = np.abs(a).sum(0).max()
    error = np.abs(np.asarray(compiled(a)) - exact).sum(0).max() / np.abs(exact).sum(0).max()
    assert error <= 10 * np.finfo(float).eps * max(size, 1)


@pytest.mark.parametrize("name", ["overscaled triangular", "nilpotent", "shear", "diagonal", "complex triangular"])
def test_triangular_matrices_keep_each_digit_of_the_diagonal(name):
    a = HARD[name]
    np.testing.assert_allclose(np.diagonal(compiled(a)), np.exp(np.diagonal(a)), rtol=2e-14)


@pytest.mark.parametrize(
    ("dtype", "rtol"), [("float32", 2e-6), ("complex64", 2e-6), ("float64", 1e-13), ("complex128", 1e-13)]
)
def test_each_matrix_of_a_stack_is_scaled_for_itself(dtype, rtol):
    stack = (draw(2, 4, 3, 3) * np.array([1e-3, 1, 3, 6])[:, None, None]).astype(dtype)
    if stack.dtype.kind == "c":
        stack = stack * np.exp(0.5j).astype(dtype)
    found = compiled(stack)
    assert found.dtype == stack.dtype
    for index in np.ndindex(2, 4):
        expected = scipy.linalg.expm(stack[index].astype(complex))
        assert np.abs(found[index] - expected).max() <= rtol * np.abs(expected).max() * 6
    np.testing.assert_allclose(fad.jit(fad.vmap(expm))(stack), found, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3, 3), (2, 0, 0)])
def test_nothing_gives_nothing(shape):
    assert compiled(np.zeros(shape)).shape == shape


def test_what_is_not_finite_stays_so_and_touches_no_other_matrix():
    stack = np.stack([np.full((2, 2), np.nan), np.eye(2), np.diag([np.inf, 0.0])])
    found = np.asarray(compiled(stack))
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], np.e * np.eye(2), rtol=1e-15)
    assert not np.isfinite(found[2]).all()


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_derivatives_of_each_order_in_compiled_code(kind):
    a = draw(3, 3) if kind == "real" else draw(3, 3) + 1j * draw(3, 3, seed=1)
    check_grads(compiled, (a,), order=2, rtol=1e-5, atol=1e-5)
    direction = draw(3, 3, seed=2).astype(a.dtype)
    for function in (lambda x: fad.jvp(expm, (x,), (direction,))[1], lambda x: fad.vjp(expm, x)[1](direction)[0]):
        np.testing.assert_allclose(fad.jit(function)(a), function(a), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_runs_natively(dtype):
    gradient = fad.jit(fad.grad(lambda a: fnp.sum(fnp.abs(expm(a)))))
    assert gradient.lower(draw(3, 3).astype(dtype)).compile().native.reasons == {}
