"""What derivatives obey, whatever the function: linearity, the chain rule, transposition, symmetry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fad
import fad.numpy as fnp
from fad.testing import arrays

vectors = arrays(shape=(3,))
numbers = st.integers(-8, 8).map(lambda k: k / 4)

FUNCTIONS = {
    "elementwise": lambda x: fnp.sin(x) * fnp.exp(-x),
    "mixing": lambda x: fnp.tanh(fnp.array([[1.0, 2.0, -1.0], [0.5, -1.5, 2.0], [0.0, 1.0, 1.0]]) @ x) * x[::-1],
    "shapes": lambda x: fnp.concatenate([x[1:], (x**2).sum()[None], x[:1] * x[2]])[:3],
    "jitted": fad.jit(lambda x: fnp.cos(x) * x.sum()),
    "loop": lambda x: fad.fori_loop(0, 3, lambda i, y: fnp.sin(y) + x, x),
    "scan": lambda x: fad.scan(lambda c, a: (c * 0.5 + a, fnp.sin(c)), fnp.sum(x), x)[1],
    "checkpoint": fad.checkpoint(lambda x: fnp.sin(fnp.sin(x)) * x[0]),
}
each = pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@each
@given(x=vectors, s=vectors, t=vectors, a=numbers)
def test_jvp_is_linear_in_the_tangent(f, x, s, t, a):
    def push(t):
        return fad.jvp(f, (x,), (t,))[1]

    close(push(s + a * t), push(s) + a * push(t))


@each
@given(x=vectors, c=vectors, d=vectors, a=numbers)
def test_vjp_is_linear_in_the_cotangent(f, x, c, d, a):
    pull = fad.vjp(f, x)[1]
    close(pull(c + a * d)[0], pull(c)[0] + a * pull(d)[0])


@each
@given(x=vectors, t=vectors, c=vectors)
def test_vjp_is_the_transpose_of_jvp(f, x, t, c):
    close(fad.vjp(f, x)[1](c)[0] @ t, c @ fad.jvp(f, (x,), (t,))[1])


@each
@given(x=vectors, c=vectors)
def test_the_transpose_of_the_linearization_is_the_pullback(f, x, c):
    _, pushforward = fad.linearize(f, x)
    close(fad.linear_transpose(pushforward, x)(c)[0], fad.vjp(f, x)[1](c)[0])


@each
@given(x=vectors, t=vectors)
def test_linearize_is_jvp(f, x, t):
    out, pushforward = fad.linearize(f, x)
    expected = fad.jvp(f, (x,), (t,))
    close(out, expected[0])
    close(pushforward(t), expected[1])


@each
@given(x=vectors)
def test_chain_rule(f, x):
    def g(y):
        return fnp.sin(y) + y[0] * y

    close(fad.jacobian(lambda x: g(f(x)))(x), fad.jacobian(g)(f(x)) @ fad.jacobian(f)(x))


@each
@given(x=vectors)
def test_jacobians_of_both_modes_agree(f, x):
    close(fad.jacfwd(f)(x), fad.jacrev(f)(x))


@each
@given(x=vectors)
def test_hessians_are_symmetric(f, x):
    hessian = fad.hessian(lambda x: f(x) @ fnp.array([1.0, -2.0, 0.5]))(x)
    close(hessian, hessian.T)


@each
@given(x=vectors, y=vectors)
def test_product_rule(f, x, y):
    both = fad.jacobian(lambda x: f(x) * fnp.cos(x))(x)
    close(both, fad.jacobian(f)(x) * fnp.cos(x)[:, None] + fnp.diag(-fnp.sin(x)) * f(x)[:, None])


@each
@given(x=arrays(shape=(4, 3)))
def test_vmap_is_a_loop(f, x):
    close(fad.vmap(f)(x), np.stack([f(row) for row in x]))
    close(fad.vmap(fad.jacobian(f))(x), np.stack([fad.jacobian(f)(row) for row in x]))


def test_sum_rule_for_repeated_use():
    x = np.array([2.0, 3.0])
    close(fad.grad(lambda x: sum((x * k).sum() for k in range(5)))(x), [10.0, 10.0])
