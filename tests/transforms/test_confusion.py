"""Perturbation confusion: nested derivatives that close over each other's variables."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp


def forward(f):
    return lambda x: fad.jvp(f, (x,), (1.0,))[1]


def linearized(f):
    return lambda x: fad.linearize(f, x)[1](1.0)


DERIVATIVES = {
    "grad": fad.grad,
    "jvp": forward,
    "linearize": linearized,
    "jit": lambda f: fad.jit(fad.grad(fad.jit(f))),
}
PAIRS = [(a, b) for a in DERIVATIVES for b in DERIVATIVES]


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_inner_derivative_does_not_see_the_outer_variable(outer, inner):
    outer, inner = DERIVATIVES[outer], DERIVATIVES[inner]
    # d/dx [x * d/dy (x + y)] = 1, and 2 if the two perturbations are confused.
    assert float(outer(lambda x: x * inner(lambda y: x + y)(1.0))(1.0)) == 1.0
    # d/dx [x * d/dy (x * y)] = d/dx x**2
    assert float(outer(lambda x: x * inner(lambda y: x * y)(2.0))(3.0)) == 6.0
    assert float(outer(lambda x: inner(lambda y: x**2 * y**3)(x))(2.0)) == pytest.approx(3 * 4 * 2**3)


@pytest.mark.parametrize(("outer", "inner"), PAIRS)
def test_inner_function_that_ignores_its_variable(outer, inner):
    outer, inner = DERIVATIVES[outer], DERIVATIVES[inner]
    assert float(outer(lambda x: inner(lambda y: x * x)(1.0))(3.0)) == 0.0


def test_three_levels():
    f = fad.grad(lambda x: fad.grad(lambda y: fad.grad(lambda z: x * y**2 * z**3)(y))(x))

    # d/dz at y: 3 x y**2 z**2 -> 3 x y**4 holds only if z is put equal to y after the derivative.
    def expected(x):
        def of_y(x, y):
            return 3 * x * y**2 * y**2

        h = 1e-4

        def slope(x, at):
            return (of_y(x, at + h) - of_y(x, at - h)) / (2 * h)

        return (slope(x + h, x + h) - slope(x - h, x - h)) / (2 * h)

    assert float(f(1.3)) == pytest.approx(expected(1.3), rel=1e-6)


def test_vmap_inside_grad_of_the_same_variable():
    x = np.array([1.0, 2.0, 3.0])
    total = fad.grad(lambda x: fad.vmap(lambda a: (a * x).sum())(x).sum())(x)
    np.testing.assert_allclose(total, 2 * x.sum() * np.ones(3))


def test_grad_inside_vmap_closes_over_the_example():
    xs = np.array([1.0, 2.0])
    out = fad.vmap(lambda x: fad.grad(lambda y: x * y * y)(x))(xs)
    np.testing.assert_allclose(out, 2 * xs**2)
    nested = fad.vmap(lambda x: fad.vmap(lambda y: x * y)(xs))(xs)
    np.testing.assert_allclose(nested, np.outer(xs, xs))


def test_a_function_that_differentiates_itself():
    def newton(f, x, steps):
        for _ in range(steps):
            x = x - f(x) / fad.grad(f)(x)
        return x

    root = fad.grad(lambda a: newton(lambda x: x * x - a, a, 8))(2.0)
    assert float(root) == pytest.approx(0.5 / np.sqrt(2.0), rel=1e-9)


def test_pullbacks_used_inside_another_derivative():
    out, pullback = fad.vjp(lambda x: fnp.sin(x) * 2.0, 0.5)
    assert float(fad.grad(lambda c: pullback(c)[0] ** 2)(1.0)) == pytest.approx(2 * (2 * np.cos(0.5)) ** 2)


def test_linearized_function_used_inside_another_derivative():
    _, pushforward = fad.linearize(lambda x: x**3, 2.0)
    assert float(fad.grad(lambda t: pushforward(t) ** 2)(1.0)) == 2 * 12.0**2
