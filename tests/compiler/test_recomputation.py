"""What later loops compute again is not kept in memory, and comes out the same."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.fusion import Group, plan_steps
from fad.compiler.passes.pipeline import simplified
from tests.compiler.compiled_programs import check_compiled

RNG = np.random.default_rng(0)
X, W, V = RNG.normal(size=(40, 30)), RNG.normal(size=(30, 50)) / 5, RNG.normal(size=(50, 20)) / 5


def kept(function, *args):
    """The names of the operations whose results loops leave in memory for later steps."""
    program = simplified(fad.make_program(function)(*args))
    plan = plan_steps(program)
    found = [v for step in plan.steps if isinstance(step, Group) for v in step.members if v in plan.stored]
    return sorted(plan.producers[v].primitive.name for v in found if v not in program.outputs)


def gelu(h):
    return 0.5 * h * (1.0 + fnp.tanh(0.8 * (h + 0.04 * h * h * h)))


def softmax(h):
    e = fnp.exp(h - fad.stop_gradient(fnp.max(h, axis=-1, keepdims=True)))
    return e / fnp.sum(e, axis=-1, keepdims=True)


def norm(h):
    centred = h - fnp.mean(h, axis=-1, keepdims=True)
    return centred / fnp.sqrt(fnp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5)


def between_products(activation):
    return lambda w: fnp.sum((activation(X @ w) @ V) ** 2)


def rectified_columns(h):
    """A batch norm and a ReLU."""
    centred = h - fnp.mean(h, axis=0)
    scaled = centred * (1.5 / fnp.sqrt(fnp.mean(centred * centred, axis=0) + 1e-5)) + 0.1
    return fnp.where(scaled <= 0, 0.0, scaled)


ACTIVATIONS = [
    rectified_columns,
    gelu,
    softmax,
    norm,
    fnp.tanh,
    lambda h: 1 / (1 + fnp.exp(-h)),
    lambda h: fnp.maximum(h, 0.1 * h),
]


def test_an_activation_keeps_its_result_and_its_costly_part():
    # Forwards tanh and the result; backwards what goes into each of the two products.
    assert kept(fad.grad(between_products(gelu)), W) == ["add", "multiply", "multiply", "tanh"]


def test_what_a_rectifier_leaves_out_is_asked_again_where_its_input_is_read_anyway():
    # Forwards the result; backwards what goes into each of the two products, and the norm's part of it.
    assert "less_equal" not in kept(fad.grad(between_products(rectified_columns)), W)
    # Else a mask stays: it takes less room than what it follows from.
    assert "less_equal" in kept(lambda w: fnp.where((h := X @ w) <= 0, 0.0, fnp.sin(h) @ V @ V.T) @ V, W)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_the_same(activation, dtype):
    w, tolerance = W.astype(dtype), 2000 * np.finfo(dtype).eps
    x, v = X.astype(dtype), V.astype(dtype)

    def loss(w):
        return fnp.sum((activation(x @ w) @ v) ** 2)

    check_compiled(fad.value_and_grad(loss), w, tolerance=tolerance)
    check_compiled(lambda w: fad.jvp(fad.grad(loss), (w,), (fnp.cos(w),)), w, tolerance=tolerance)


def test_results_stay_results():
    def f(w):
        h = X @ w
        a, b = 1.0 + h, 2.0 * h
        return a, b, (a * b) @ V, fnp.sin(a)

    check_compiled(f, W)


def test_what_is_read_beside_its_place_stays():
    x = np.linspace(0.0, 3.0, 300)

    def f(x):
        h = fnp.cumsum(x)
        a = 2.0 * h + fnp.cos(x)
        return a[1:] * a[:-1], fnp.cumsum(a), fnp.sort(a)

    check_compiled(f, x)
    check_compiled(fad.grad(lambda x: sum(fnp.sum(out**2) for out in f(x))), x)


def test_not_a_number_and_infinities_are_computed_again_as_they_were():
    h = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0] * 4).reshape(4, 6)

    def f(h):
        first = fnp.cumsum(h, axis=0)
        return fnp.cumsum(fnp.tanh(1.0 - first), axis=1), (1.0 - first) * fnp.cumsum(fnp.exp(1.0 - first), axis=1)

    check_compiled(f, h)
