"""Programs that Hypothesis makes up, in every way of running them: eagerly, staged, batched, differentiated, by finite differences."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import fad
import fad.numpy as fnp
from fad.testing import arrays, check_grads
from tests.transforms.functions import function_of_recipe

# Smooth and bounded on the values that arise, so that finite differences stay accurate.
UNARY = {
    "sin": fnp.sin,
    "tanh": fnp.tanh,
    "softplus": lambda x: fnp.logaddexp(x, 0.0),
    "rational": lambda x: x / (1.0 + x * x),
    "neg": lambda x: -x,
    "root": lambda x: fnp.sqrt(1.0 + x * x),
    "gauss": lambda x: fnp.exp(-x * x),
    "flip": lambda x: x[::-1],
    "transpose": lambda x: x.T,
    "cumsum": lambda x: 0.25 * fnp.cumsum(x, axis=0),
    "center": lambda x: x - x.mean(axis=1, keepdims=True),
    "softmax": lambda x: (
        fnp.exp(x - fnp.logaddexp.reduce(x, axis=0)) if hasattr(fnp.logaddexp, "reduce") else fnp.sin(x)
    ),
    "roll": lambda x: fnp.concatenate([x[1:], x[:1]], axis=0),
    "gather": lambda x: x[np.array([2, 0, 0])],
    "scatter": lambda x: x.at[np.array([0, 2]), 1].add(x[1, :2]),
    "where": lambda x: fnp.where(np.eye(3, dtype=bool), x, fnp.sin(x)),
    "jit": fad.jit(lambda x: fnp.sin(x) * 0.5 + x),
    "checkpoint": fad.checkpoint(lambda x: fnp.tanh(x) * x),
    "vmap": fad.vmap(lambda row: row * row.sum() * 0.25),
    "scan": lambda x: fad.scan(lambda c, row: (fnp.sin(c + row), c * row), x[0], x)[1],
    "loop": lambda x: fad.fori_loop(0, 2, lambda i, y: fnp.sin(y) + 0.5 * x, x),
    "cond": lambda x: fad.cond(x.sum() > 1e3, lambda y: y, lambda y: y * 0.5, x),
}
BINARY = {
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (1.5 + fnp.tanh(y)),
    "matmul": lambda x, y: 0.3 * (x @ y),
    "broadcast": lambda x, y: x + y[0],
    "outer": lambda x, y: x[:, :1] * y[:1, :],
    "hypot": lambda x, y: fnp.hypot(x, 1.0 + y * y),
    "einsum": lambda x, y: 0.3 * fnp.einsum("ij,kj->ki", x, y),
}

steps = st.lists(
    st.tuples(st.sampled_from(sorted(UNARY)), st.just(None), st.integers(0, 9))
    | st.tuples(st.sampled_from(sorted(BINARY)), st.integers(0, 9), st.integers(0, 9)),
    min_size=2,
    max_size=7,
)
matrices = arrays(shape=(3, 3), low=-1.5, high=1.5)


def program(recipe):
    return function_of_recipe(recipe, UNARY, BINARY)


def scalar(f):
    weights = np.array([[0.5, -1.0, 2.0], [1.0, 0.25, -0.5], [-2.0, 1.5, 1.0]])
    return lambda *args: (f(*args) * weights).sum()


def close(seen, expected):
    for s, e in zip(fad.tree.leaves(seen), fad.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(s, e, rtol=1e-9, atol=1e-9)


@given(steps, matrices, matrices)
def test_eager_staged_and_batched_values_agree(recipe, a, b):
    f = program(recipe)
    expected = f(a, b)
    close(fad.jit(f)(a, b), expected)
    close(fad.vmap(f)(fnp.stack([a, b]), fnp.stack([b, a])), np.stack([expected, f(b, a)]))
    close(fad.vmap(f, in_axes=(0, None), out_axes=1)(fnp.stack([a, b]), b), np.stack([expected, f(b, b)], axis=1))
    close(fad.jit(fad.vmap(fad.jit(f)))(fnp.stack([a]), fnp.stack([b])), expected[None])
    assert fad.eval_shape(f, a, b).shape == expected.shape


@given(steps, matrices, matrices)
def test_gradients_agree_however_they_are_taken(recipe, a, b):
    f = scalar(program(recipe))
    expected = fad.grad(f, argnums=(0, 1))(a, b)
    close(fad.jit(fad.grad(f, argnums=(0, 1)))(a, b), expected)
    close(fad.grad(fad.jit(f), argnums=(0, 1))(a, b), expected)
    close(fad.grad(fad.checkpoint(f), argnums=(0, 1))(a, b), expected)
    close(fad.jacfwd(f, argnums=(0, 1))(a, b), expected)
    batched = fad.vmap(fad.grad(f, argnums=(0, 1)))(fnp.stack([b, a]), fnp.stack([a, b]))
    close(fad.tree.map(lambda g: g[1], batched), expected)


@settings(max_examples=40)
@given(steps, matrices, matrices)
def test_derivatives_agree_with_finite_differences(recipe, a, b):
    check_grads(program(recipe), (a, b), order=2)


@settings(max_examples=40)
@given(steps, matrices, matrices)
def test_second_derivatives_agree_however_they_are_taken(recipe, a, b):
    f = scalar(program(recipe))
    t = np.cos(np.arange(9.0)).reshape(3, 3)
    expected = fad.jvp(fad.grad(f), (a, b), (t, t))[1]
    close(fad.grad(lambda a, b: fad.jvp(f, (a, b), (t, t))[1])(a, b), expected)
    close(fad.jit(lambda a, b: fad.jvp(fad.grad(f), (a, b), (t, t))[1])(a, b), expected)
    close(fad.grad(lambda a, b: sum((g * t).sum() for g in fad.grad(fad.jit(f), (0, 1))(a, b)))(a, b), expected)
