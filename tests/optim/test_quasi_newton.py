"""L-BFGS and line searches: minima of known functions, Wolfe's conditions, hard losses, misuse."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.optim as optim
from fad import errors


def rosenbrock(x):
    return fnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def minimize(loss, x, optimizer, steps, compiled=True):
    value_and_grad = optim.value_and_grad_from_state(loss)

    def step(x, state):
        value, grad = value_and_grad(x, state=state)
        updates, state = optimizer.update(grad, state, x, value=value, grad=grad, value_fn=loss)
        return optim.apply_updates(x, updates), state, value

    step = fad.jit(step) if compiled else step
    state, losses = optimizer.init(x), []
    for _ in range(steps):
        x, state, value = step(x, state)
        losses.append(float(value))
    return x, losses


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("size", [2, 10])
def test_rosenbrock(size, compiled):
    x, losses = minimize(rosenbrock, fnp.zeros(size) - 0.5, optim.lbfgs(), 80, compiled)
    np.testing.assert_allclose(x, np.ones(size), rtol=1e-7)
    assert all(b <= a * (1 + 1e-6) for a, b in zip(losses, losses[1:]))


def test_quadratic_in_few_steps_and_mixed_dtypes():
    matrix = np.diag([1.0, 10.0, 100.0])

    def loss(p):
        return 0.5 * p["a"] @ fnp.asarray(matrix) @ p["a"] + fnp.sum((p["b"] - 1.0) ** 2)

    start = {"a": fnp.asarray([1.0, 1.0, 1.0]), "b": fnp.zeros((2, 2), dtype="float32")}
    x, _ = minimize(loss, start, optim.lbfgs(), 25)
    np.testing.assert_allclose(x["a"], np.zeros(3), atol=1e-6)
    np.testing.assert_allclose(x["b"], np.ones((2, 2)), rtol=1e-5)
    assert x["b"].dtype == np.float32


def test_backtracking_decreases_always():
    optimizer = optim.lbfgs(linesearch=optim.scale_by_backtracking_linesearch(30))
    x, losses = minimize(rosenbrock, fnp.zeros(3), optimizer, 60)
    assert all(b <= a for a, b in zip(losses, losses[1:]))
    np.testing.assert_allclose(x, np.ones(3), rtol=1e-5)


@pytest.mark.parametrize("start", [0.01, 1.0, 300.0])
def test_zoom_meets_wolfe_conditions(start):
    def loss(x):
        return fnp.sum(-x / (x**2 + 2.0)) + 1e-3 * fnp.sum(x**2)  # More and Thuente's first function, tamed

    x = fnp.asarray([0.3])
    direction = -start * fad.grad(loss)(x)
    search = optim.scale_by_zoom_linesearch(30)
    value, grad = fad.value_and_grad(loss)(x)
    moved, state = search.update(direction, search.init(x), x, value=value, grad=grad, value_fn=loss)
    slope = float(fnp.sum(grad * direction))
    new_slope = float(fnp.sum(fad.grad(loss)(x + moved) * direction))
    assert float(loss(x + moved)) <= float(value) + 1e-4 * float(state.learning_rate) * slope
    assert abs(new_slope) <= 0.9 * abs(slope)
    np.testing.assert_allclose(float(state.value), float(loss(x + moved)), rtol=1e-14)
    np.testing.assert_allclose(state.grad, fad.grad(loss)(x + moved), rtol=1e-12)


def test_zoom_steps_back_from_where_the_loss_is_not_finite():
    def loss(x):
        return fnp.sum(x) - fnp.log(fnp.sum(x))  # infinite at zero, NaN below

    with np.errstate(invalid="ignore", divide="ignore"):
        x, losses = minimize(
            loss, fnp.asarray([30.0]), optim.chain(optim.sgd(40.0), optim.scale_by_zoom_linesearch(30)), 40
        )
    np.testing.assert_allclose(x, [1.0], atol=1e-3)
    assert np.isfinite(losses).all()


def test_longest_step():
    search = optim.scale_by_zoom_linesearch(20, max_learning_rate=0.5)
    loss = lambda x: fnp.sum(-x)  # noqa: E731
    x = fnp.zeros(1)
    value, grad = fad.value_and_grad(loss)(x)
    _, state = search.update(-grad, search.init(x), x, value=value, grad=grad, value_fn=loss)
    assert float(state.learning_rate) == 0.5


def test_extra_arguments_reach_the_loss():
    search = optim.chain(optim.sgd(1.0), optim.scale_by_zoom_linesearch(20))
    loss = lambda x, target: fnp.sum((x - target) ** 2)  # noqa: E731
    x, target = fnp.zeros(2), fnp.asarray([1.0, 2.0])
    value, grad = fad.value_and_grad(loss)(x, target)
    updates, _ = search.update(grad, search.init(x), x, value=value, grad=grad, value_fn=loss, target=target)
    np.testing.assert_allclose(x + updates, target)
    with pytest.raises(errors.ArgumentError, match="'other'.*does not take"):
        search.update(grad, search.init(x), x, value=value, grad=grad, value_fn=loss, target=target, other=1.0)


def test_misuse_is_explained():
    optimizer, x = optim.lbfgs(), fnp.ones(2)
    with pytest.raises(errors.ArgumentError, match="value=loss, grad=gradient, value_fn"):
        optimizer.update(x, optimizer.init(x), x)
    with pytest.raises(errors.ArgumentError, match="needs the parameters"):
        optim.scale_by_lbfgs().update(x, optim.scale_by_lbfgs().init(x))
    with pytest.raises(errors.ArgumentError, match="memory_size"):
        optim.lbfgs(memory_size=0)
    with pytest.raises(errors.ArgumentError, match="'keep' or 'one'"):
        optim.scale_by_zoom_linesearch(3, initial_guess_strategy="two")
    with pytest.raises(errors.ArgumentError, match="0 line searches"):
        optim.value_and_grad_from_state(rosenbrock)(x, state=optim.adam(1.0).init(x))


def test_extra_arguments_go_only_where_they_are_wanted():
    wants = optim.GradientTransformationExtraArgs(
        lambda params: (), lambda updates, state, params=None, *, factor, **others: (updates * factor, state)
    )
    both = optim.apply_if_finite(optim.chain(optim.scale(2.0), wants), 3)
    moved, _ = both.update(fnp.ones(1), both.init(fnp.ones(1)), fnp.ones(1), factor=3.0)
    assert float(moved[0]) == 6.0
    injected = optim.inject_hyperparams(lambda learning_rate: optim.chain(optim.sgd(learning_rate), wants))(0.5)
    moved, _ = injected.update(fnp.ones(1), injected.init(fnp.ones(1)), fnp.ones(1), factor=3.0)
    assert float(moved[0]) == -1.5
