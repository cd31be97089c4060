"""Every wrapper, nested three deep, around and inside grad, jvp and hessian, gives the same numbers."""

import itertools

import numpy as np
import pytest

import fad
from tests.transforms.functions import WRAPPERS, X, smooth, smooth_gradient

T = np.array([1.0, -0.5, 0.25])
EXPECTED_HESSIAN = np.stack([(smooth_gradient(X + e) - smooth_gradient(X - e)) / 2e-5 for e in 1e-5 * np.eye(3)])

DERIVATIVES = {
    "grad": (fad.grad, lambda h: smooth_gradient(X), 1e-12),
    "value_and_grad": (lambda f: lambda x: fad.value_and_grad(f)(x)[1], lambda h: smooth_gradient(X), 1e-12),
    "jvp": (lambda f: lambda x: fad.jvp(f, (x,), (T,))[1], lambda h: smooth_gradient(X) @ T, 1e-12),
    "linearize": (lambda f: lambda x: fad.linearize(f, x)[1](T), lambda h: smooth_gradient(X) @ T, 1e-12),
    "jacfwd": (fad.jacfwd, lambda h: smooth_gradient(X), 1e-12),
    "jacrev": (fad.jacrev, lambda h: smooth_gradient(X), 1e-12),
    "hessian": (fad.hessian, lambda h: h, 1e-8),
    "hvp": (lambda f: lambda x: fad.hvp(f, (x,), (T,)), lambda h: h @ T, 1e-8),
    "jvp of grad": (lambda f: lambda x: fad.jvp(fad.grad(f), (x,), (T,))[1], lambda h: h @ T, 1e-8),
    "grad of jvp": (lambda f: fad.grad(lambda x: fad.jvp(f, (x,), (T,))[1]), lambda h: h @ T, 1e-8),
    "jacrev of jacfwd": (lambda f: fad.jacrev(fad.jacfwd(f)), lambda h: h, 1e-8),
    "jacrev of grad": (lambda f: fad.jacrev(fad.grad(f)), lambda h: h, 1e-8),
}

TRIPLES = list(itertools.product(WRAPPERS, repeat=3))


@pytest.mark.parametrize("wrappers", TRIPLES, ids=["-".join(t) for t in TRIPLES])
@pytest.mark.parametrize("derivative", ["grad", "jvp", "hessian"])
def test_three_wrappers_inside(derivative, wrappers):
    take, expected, tolerance = DERIVATIVES[derivative]
    f = smooth
    for name in wrappers:
        f = WRAPPERS[name](f)
    np.testing.assert_allclose(take(f)(X), expected(EXPECTED_HESSIAN), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("wrappers", TRIPLES, ids=["-".join(t) for t in TRIPLES])
@pytest.mark.parametrize("derivative", ["grad", "jvp", "hessian"])
def test_one_wrapper_inside_and_two_around(derivative, wrappers):
    take, expected, tolerance = DERIVATIVES[derivative]
    inside, middle, outside = (WRAPPERS[name] for name in wrappers)
    run = outside(middle(take(inside(smooth))))
    np.testing.assert_allclose(run(X), expected(EXPECTED_HESSIAN), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("derivative", DERIVATIVES)
def test_every_derivative_on_both_sides(derivative, wrapper):
    take, expected, tolerance = DERIVATIVES[derivative]
    wrap = WRAPPERS[wrapper]
    np.testing.assert_allclose(wrap(take(wrap(smooth)))(X), expected(EXPECTED_HESSIAN), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_between_two_derivatives(wrapper):
    wrap = WRAPPERS[wrapper]
    hessian = fad.jacfwd(wrap(fad.grad(wrap(smooth))))(X)
    np.testing.assert_allclose(hessian, EXPECTED_HESSIAN, rtol=1e-8, atol=1e-8)
    third = fad.jacrev(wrap(fad.jacfwd(wrap(fad.grad(smooth)))))(X)
    np.testing.assert_allclose(third, np.transpose(third, (2, 0, 1)), rtol=1e-9, atol=1e-9)
    step = 1e-5 * T
    numeric = (np.asarray(fad.hessian(smooth)(X + step)) - np.asarray(fad.hessian(smooth)(X - step))) / 2e-5
    np.testing.assert_allclose(np.asarray(third) @ T, numeric, rtol=1e-6, atol=1e-6)


def test_per_example_gradients_of_a_batch():
    batch = np.stack([X, 2 * X, -X])
    expected = [smooth_gradient(x) for x in batch]
    np.testing.assert_allclose(fad.vmap(fad.grad(smooth))(batch), expected, rtol=1e-12)
    np.testing.assert_allclose(fad.jit(fad.vmap(fad.jit(fad.grad(fad.jit(smooth)))))(batch), expected, rtol=1e-12)
    np.testing.assert_allclose(fad.grad(lambda b: fad.vmap(smooth)(b).sum())(batch), expected, rtol=1e-12)


def test_jit_inside_a_function_that_closes_over_a_traced_value():
    def f(x):
        scaled = fad.jit(lambda y: y * x)
        return scaled(x) + fad.checkpoint(lambda y: y * x)(x)

    assert float(fad.grad(f)(3.0)) == 12.0
    assert float(fad.grad(fad.grad(f))(3.0)) == 4.0
    assert fad.vmap(fad.grad(f))(np.array([1.0, 2.0])).tolist() == [4.0, 8.0]
    assert float(fad.jit(fad.grad(f))(3.0)) == 12.0
