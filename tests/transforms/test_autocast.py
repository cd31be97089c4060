"""``autocast``: what is rounded and what is not, through every transform and every nested Program."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.optim as optim
from fad import errors

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(4, 5)).astype(np.float32)
W = {
    "first": GENERATOR.normal(size=(5, 6)).astype(np.float32),
    "second": GENERATOR.normal(size=(6, 3)).astype(np.float32),
}


def network(w, x):
    return fnp.tanh(x @ w["first"]) @ w["second"]


def loss(w, x):
    return fnp.mean(fnp.exp(network(w, x)) ** 0.5)


def rounded(x, dtype):
    return np.asarray(fnp.asarray(x).astype(dtype)).astype(np.float32)


def half_product(a, b, dtype):
    return rounded(rounded(a, dtype) @ rounded(b, dtype), dtype)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_products_are_rounded_and_nothing_else(dtype):
    found = fad.autocast(network, dtype=dtype)(W, X)
    expected = half_product(np.tanh(half_product(X, W["first"], dtype)), W["second"], dtype)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.abs(np.asarray(found) - network(W, X)).max() > 1e-5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "transformed",
    [
        lambda f: lambda w, x: fad.jit(f)(w, x),
        lambda f: lambda w, x: fad.grad(f)(w, x),
        lambda f: lambda w, x: fad.jit(fad.grad(f))(w, x),
        lambda f: lambda w, x: fad.grad(fad.jit(f))(w, x),
        lambda f: lambda w, x: fad.vmap(lambda row: f(w, row[None]))(x),
        lambda f: lambda w, x: fad.jvp(lambda v: f(v, x), (w,), (w,)),
        lambda f: lambda w, x: fad.hvp(lambda v: f(v, x), (w,), (w,)),
        lambda f: lambda w, x: fad.grad(fad.checkpoint(f))(w, x),
    ],
    ids=["jit", "grad", "jit grad", "grad jit", "vmap", "jvp", "hvp", "checkpoint"],
)
def test_every_transform_is_near_full_precision(dtype, transformed):
    low, high = transformed(fad.autocast(loss, dtype=dtype))(W, X), transformed(loss)(W, X)
    tolerance = 0.02 if dtype == "float16" else 0.1
    assert fad.tree.structure(low) == fad.tree.structure(high)
    for a, b in zip(fad.tree.leaves(low), fad.tree.leaves(high)):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(np.asarray(b)).max())


def test_the_backward_products_are_in_half_precision():
    program = str(fad.make_program(fad.grad(fad.autocast(loss, dtype="float16")))(W, X))
    products = [line for line in program.splitlines() if " @ " in line]
    assert len(products) == 5
    assert all(":float16[" in line.split("=")[0] for line in products)


def dense_scan(w, x):
    return fad.scan(lambda carry, _: (fnp.tanh(carry @ w), None), x, None, length=3)[0]


def dense_while(w, x):
    return fad.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, fnp.tanh(s[1] @ w)), (0, x))[1]


def dense_cond(w, x):
    return fad.cond(x.sum() > -1e9, lambda: fnp.tanh(x @ w), lambda: x)


def dense_jit(w, x):
    return fad.jit(lambda x: fnp.tanh(x @ w))(x)


def dense_checkpoint(w, x):
    return fad.checkpoint(lambda x: fnp.tanh(x @ w))(x)


@pytest.mark.parametrize(
    "function, turns", [(dense_scan, 3), (dense_while, 3), (dense_cond, 1), (dense_jit, 1), (dense_checkpoint, 1)]
)
def test_products_inside_loops_and_calls(function, turns):
    w = GENERATOR.normal(size=(5, 5)).astype(np.float32)
    found = fad.autocast(function, dtype="float16")(w, X)
    expected = X
    for _ in range(turns):
        expected = np.tanh(half_product(expected, w, "float16"))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-6)
    assert not np.array_equal(found, function(w, X))
    assert "1 contraction in float16" in fad.autocast(function, dtype="float16").report(w, X)
    gradient = fad.grad(lambda v: fad.autocast(function, dtype="float16")(v, X).sum())(w)
    full = fad.grad(lambda v: function(v, X).sum())(w)
    np.testing.assert_allclose(gradient, full, rtol=0.05, atol=0.05)


def test_custom_derivatives_run_as_written():
    @fad.custom_vjp
    def product(x, w):
        return x @ w

    product.defvjp(lambda x, w: (x @ w, (x, w)), lambda saved, ct: (ct @ saved[1].T, saved[0].T @ ct))
    found = fad.autocast(lambda x: product(x, W["first"]).sum(), dtype="float16")(X)
    np.testing.assert_allclose(found, (X @ W["first"]).sum(), rtol=1e-5)


def test_integers_doubles_and_complex_numbers():
    integers = fnp.arange(4).reshape(2, 2) * 1000
    f = fad.autocast(lambda a, b: a @ b, dtype="float16")
    np.testing.assert_array_equal(f(integers, integers), np.asarray(integers) @ np.asarray(integers))
    double = f(X.astype(float), X.T.astype(float))
    assert double.dtype == np.float64
    assert np.abs(np.asarray(double) - X.astype(float) @ X.T.astype(float)).max() > 1e-6
    c = X + 1j
    np.testing.assert_array_equal(f(c, c.T), c @ c.T)


def test_report_says_what_it_did():
    report = fad.autocast(loss).report(W, X)
    assert report.startswith("autocast(loss): 2 contractions in bfloat16")
    assert "dot_general float32[4,5] x float32[5,6]" in report
    assert "test_autocast.py" in report
    assert "in float32" in report.splitlines()[-1]


def test_training_in_float16_with_loss_scaling_reaches_the_same_loss():
    scaling, optimizer = optim.dynamic_loss_scaling(), optim.apply_if_finite(optim.adam(0.02), 1000)
    target = fnp.asarray(np.sin(X @ np.ones((5, 3), np.float32)))

    def fitted(f, scaled):
        def mean_square(w):
            return fnp.mean((f(w, X) - target) ** 2)

        @fad.jit
        def step(w, state, scale_state):
            if scaled:
                (value, gradient), scale_state = scaling.value_and_grad(mean_square)(scale_state, w)
            else:
                value, gradient = fad.value_and_grad(mean_square)(w)
            updates, state = optimizer.update(gradient, state, w)
            return optim.apply_updates(w, updates), state, scale_state, value

        w = {name: fnp.asarray(value) for name, value in W.items()}
        state, scale_state = optimizer.init(w), scaling.init()
        for _ in range(200):
            w, state, scale_state, value = step(w, state, scale_state)
        return float(value)

    full, half = fitted(network, False), fitted(fad.autocast(network, dtype="float16"), True)
    assert half < max(2 * full, 1e-4)


@pytest.mark.parametrize("dtype", ["float32", "int8", "complex64"])
def test_only_half_precision(dtype):
    with pytest.raises(errors.ArgumentError, match="must be float16 or bfloat16"):
        fad.autocast(loss, dtype=dtype)


def test_as_decorator_and_by_name():
    @fad.autocast(dtype="float16")
    def doubled(x):
        """Twice."""
        return 2 * x

    assert doubled.__doc__ == "Twice."
    assert repr(doubled) == "autocast(doubled, dtype=float16)"
    with pytest.raises(errors.ArgumentError, match="takes a function"):
        fad.autocast(3.0)
