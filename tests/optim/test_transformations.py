"""Single transformations and schedules, by their definitions; whole optimizers are compared with optax beside this file."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.optim as optim

G = {"w": fnp.array([[3.0, -4.0], [0.5, 2.0]]), "b": fnp.array([1.0, -2.0])}
P = {"w": fnp.array([[1.0, 2.0], [3.0, 4.0]]), "b": fnp.array([0.5, 0.5])}


def first_step(transformation, gradient=G, params=P):
    """Updates of the first step."""
    return transformation.update(gradient, transformation.init(params), params)[0]


TRANSFORMATIONS = {
    "adam": optim.scale_by_adam(),
    "amsgrad": optim.scale_by_amsgrad(),
    "radam": optim.scale_by_radam(),
    "rms": optim.scale_by_rms(),
    "stddev": optim.scale_by_stddev(),
    "rss": optim.scale_by_rss(),
    "adadelta": optim.scale_by_adadelta(),
    "lion": optim.scale_by_lion(),
    "trust": optim.scale_by_trust_ratio(),
    "factored": optim.scale_by_factored_rms(),
    "block": optim.scale_by_param_block_rms(),
    "clip": optim.clip_by_block_rms(1.0),
    "agc": optim.adaptive_grad_clip(0.1),
    "trace": optim.trace(0.9, nesterov=True),
    "centralize": optim.centralize(),
    "adagrad": optim.adagrad(0.1),
    "adadelta_optimizer": optim.adadelta(),
    "amsgrad_optimizer": optim.amsgrad(0.1),
    "nadamw": optim.nadamw(0.1),
    "radam_optimizer": optim.radam(0.1),
    "muon": optim.muon(0.1),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_keep_types_and_agree_with_jit(name, dtype):
    transformation = TRANSFORMATIONS[name]
    gradient = fad.tree.map(lambda x: x.astype(dtype), G)
    params = fad.tree.map(lambda x: x.astype(dtype), P)
    state = transformation.init(params)
    eager, eager_state = transformation.update(gradient, state, params)
    compiled, compiled_state = fad.jit(transformation.update)(gradient, state, params)
    rounding = 1e-5 if dtype == np.float32 else 1e-12
    for a, b in zip(fad.tree.leaves((eager, eager_state)), fad.tree.leaves((compiled, compiled_state))):
        assert fnp.asarray(a).dtype == fnp.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=rounding, atol=rounding)
    assert all(u.dtype == dtype for u in fad.tree.leaves(eager))
    assert fad.tree.structure(eager) == fad.tree.structure(gradient)


def test_pieces_of_the_protocol():
    assert isinstance(optim.identity(), optim.GradientTransformation)
    assert optim.identity().init(P) == optim.EmptyState()
    doubled = first_step(optim.stateless(lambda updates, params: fad.tree.map(lambda u: 2 * u, updates)))
    np.testing.assert_array_equal(doubled["b"], [2.0, -4.0])
    np.testing.assert_allclose(first_step(optim.scale_by_learning_rate(0.1))["b"], [-0.1, 0.2])
    falling = optim.chain(optim.scale_by_schedule(lambda count: 1.0 / (count + 1)))
    state = falling.init(P)
    _, state = falling.update(G, state, P)
    np.testing.assert_allclose(falling.update(G, state, P)[0]["b"], [0.5, -1.0])
    with pytest.raises(fad.errors.ArgumentError, match="which has no init and update"):
        optim.chain(optim.adam)
    with pytest.raises(fad.errors.ArgumentError, match="needs the parameters"):
        optim.adamw(0.1).update(G, optim.adamw(0.1).init(P))


def test_scale_by_muon_orthogonalises():
    step = first_step(optim.scale_by_muon(), {"w": G["w"]}, {"w": P["w"]})["w"]
    singular = np.linalg.svd(np.asarray(step), compute_uv=False)
    # The quintic iteration leaves singular values in about [0.7, 1.2] (Jordan et al. 2024).
    assert np.all((singular > 0.6) & (singular < 1.3))


SCHEDULES: dict[str, tuple[optim.Schedule, dict[int, float]]] = {
    "constant": (optim.constant_schedule(0.3), {0: 0.3, 99: 0.3}),
    "polynomial": (optim.polynomial_schedule(1.0, 0.2, 2.0, 10, 5), {5: 1.0, 10: 0.4, 20: 0.2}),
    "exponential": (optim.exponential_decay(1.0, 10, 0.5, staircase=True), {9: 1.0, 10: 0.5, 25: 0.25}),
    "joined": (
        optim.join_schedules([optim.constant_schedule(1.0), optim.constant_schedule(2.0)], [3]),
        {2: 1.0, 3: 2.0},
    ),
    "warm constant": (optim.warmup_constant_schedule(0.0, 1.0, 4), {0: 0.0, 2: 0.5, 9: 1.0}),
    "warm cosine": (optim.warmup_cosine_decay_schedule(0.0, 1.0, 10, 110), {5: 0.5, 10: 1.0, 60: 0.5, 110: 0.0}),
    "warm exponential": (optim.warmup_exponential_decay_schedule(0.0, 1.0, 10, 10, 0.5), {10: 1.0, 20: 0.5}),
    "pieces": (optim.piecewise_constant_schedule(1.0, {10: 0.5, 20: 0.1}), {9: 1.0, 10: 0.5, 20: 0.05}),
    "interpolated": (optim.piecewise_interpolate_schedule("cosine", 1.0, {10: 3.0}), {0: 1.0, 5: 2.0, 10: 3.0}),
    "one cycle": (optim.linear_onecycle_schedule(100, 1.0), {0: 0.04, 30: 1.0, 85: 0.04}),
    "one cosine": (optim.cosine_onecycle_schedule(100, 1.0), {0: 0.04, 30: 1.0}),
    "restarts": (
        optim.sgdr_schedule([{"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 5, "decay_steps": 20}] * 2),
        {5: 1.0, 20: 0.0, 25: 1.0},
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    schedule, values = SCHEDULES[name]
    for count, value in values.items():
        np.testing.assert_allclose(schedule(count), value, atol=1e-12)
        np.testing.assert_allclose(fad.jit(schedule)(count), value, atol=1e-12)


def test_schedules_refuse_bad_arguments():
    with pytest.raises(fad.errors.ArgumentError, match="must be positive"):
        optim.exponential_decay(1.0, 0, 0.5)
    with pytest.raises(fad.errors.ArgumentError, match="2 schedules need 1 boundaries"):
        optim.join_schedules([optim.constant_schedule(1.0)] * 2, [])
    with pytest.raises(fad.errors.ArgumentError, match="'linear' or 'cosine'"):
        optim.piecewise_interpolate_schedule("cubic", 1.0)


def test_incremental_update_follows_slowly():
    found = optim.incremental_update({"w": fnp.array([1.0, 3.0])}, {"w": fnp.array([0.0, 1.0])}, 0.25)
    np.testing.assert_array_equal(found["w"], [0.25, 1.5])


@pytest.mark.parametrize(
    "make", ["adabelief", "yogi", "adamax", "adamaxw", "signum", "lars", "optimistic_gradient_descent"]
)
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_relatives_keep_the_dtype_of_parameters(make, dtype):
    optimizer, params = getattr(optim, make)(0.1), {"w": fnp.ones(3, dtype), "e": fnp.zeros((0, 2), dtype)}
    state = optimizer.init(params)
    updates, again = optimizer.update(params, state, params)
    assert updates["w"].dtype == updates["e"].dtype == dtype
    assert fad.tree.structure(again) == fad.tree.structure(state)
    assert [x.dtype for x in fad.tree.leaves(again)] == [x.dtype for x in fad.tree.leaves(state)]


@pytest.mark.parametrize(
    ("part", "whole"),
    [
        ("scale_by_adamax", "adamax"),
        ("scale_by_belief", "adabelief"),
        ("scale_by_optimistic_gradient", "optimistic_gradient_descent"),
        ("scale_by_sign", "sign_sgd"),
        ("scale_by_yogi", "yogi"),
    ],
)
def test_optimizers_are_their_transformation_times_the_rate(part, whole):
    params, gradients = fnp.array([1.0, -2.0]), [fnp.array([0.5, 3.0]), fnp.array([-1.0, 2.0])]
    scaled, optimizer = getattr(optim, part)(), getattr(optim, whole)(0.1)
    states = scaled.init(params), optimizer.init(params)
    for gradient in gradients:
        (first, one), (second, two) = (
            t.update(gradient, s, params) for t, s in zip((scaled, optimizer), states, strict=True)
        )
        states = one, two
        np.testing.assert_allclose(second, -0.1 * first, rtol=1e-12)


def test_parameters_stay_at_zero_or_above():
    optimizer = optim.chain(optim.sgd(1.0), optim.keep_params_nonnegative())
    params = {"w": fnp.array([1.0, 1.0])}
    updates, _ = optimizer.update({"w": fnp.array([3.0, 0.25])}, optimizer.init(params), params)
    np.testing.assert_array_equal(optim.apply_updates(params, updates)["w"], [0.0, 0.75])
    with pytest.raises(fad.errors.ArgumentError, match="params"):
        optim.keep_params_nonnegative().update(params, ())
