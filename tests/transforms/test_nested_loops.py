"""Loops of unknown length inside other loops and branches, in reverse mode: their residuals cannot be stacked."""

import numpy as np

import fad
import fad.numpy as fnp

X = np.array([1.7, 2.3, 0.4])


def halved(x):
    return fad.while_loop(lambda v: v > 1.0, lambda v: v * 0.5, x)


def halved_by_python(x):
    while x > 1.0:
        x = x * 0.5
    return x


def nested(xs):
    carry, ys = fad.scan(lambda c, x: (c + halved(x * x), halved(c + x)), 0.5, xs)
    return carry + ys.sum()


def nested_by_python(xs):
    carry, total = 0.5, 0.0
    for i in range(3):
        total = total + halved_by_python(carry + xs[i])
        carry = carry + halved_by_python(xs[i] * xs[i])
    return carry + total


def test_a_while_loop_inside_a_scan():
    expected = fad.grad(nested_by_python)(X)
    np.testing.assert_allclose(fad.grad(nested)(X), expected)
    np.testing.assert_allclose(fad.jit(fad.grad(nested))(X), expected)
    batch = np.stack([X, X * 1.3])
    np.testing.assert_allclose(fad.vmap(fad.grad(nested))(batch), [expected, fad.grad(nested_by_python)(X * 1.3)])


def test_second_order_in_every_mode():
    expected = fad.hessian(nested_by_python)(X)
    np.testing.assert_allclose(fad.hessian(nested)(X), expected, atol=1e-12)
    np.testing.assert_allclose(fad.jacrev(fad.grad(nested))(X), expected, atol=1e-12)
    np.testing.assert_allclose(fad.jacfwd(fad.jacfwd(nested))(X), expected, atol=1e-12)


def test_a_while_loop_inside_a_branch():
    def branch(x):
        return fad.cond(x > 0, lambda v: halved(v * v), lambda v: v, x)

    slope = fad.jit(fad.grad(branch))
    assert slope(3.0) == 0.375
    assert slope(-1.0) == 1.0
    np.testing.assert_allclose(fad.vmap(fad.grad(branch))(fnp.array([3.0, -1.0])), [0.375, 1.0])
