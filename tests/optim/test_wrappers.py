"""Transformations of transformations, loss scaling, clipping and norms: what they promise, and what they say about misuse."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.optim as optim
from fad import errors

PARAMS = {"w": fnp.asarray([1.0, -2.0]), "b": fnp.asarray(0.5)}
GRADIENT = {"w": fnp.asarray([0.5, 0.25]), "b": fnp.asarray(-1.0)}


def values(tree):
    return {name: np.asarray(leaf) for name, leaf in tree.items()}


def assert_trees_equal(first, second):
    assert fad.tree.structure(first) == fad.tree.structure(second)
    for a, b in zip(fad.tree.leaves(first), fad.tree.leaves(second)):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def run(optimizer, steps=5, params=PARAMS, compiled=False):
    def step(params, state):
        gradient = fad.grad(lambda p: fnp.sum((p["w"] - 3.0) ** 2) + fnp.cos(p["b"]))(params)
        updates, state = optimizer.update(gradient, state, params)
        return optim.apply_updates(params, updates), state

    step = fad.jit(step) if compiled else step
    state = optimizer.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params, state


def test_masked_leaves_the_others_alone():
    updates = optim.masked(optim.scale(-2.0), {"w": True, "b": False})
    moved, _ = updates.update(GRADIENT, updates.init(PARAMS), PARAMS)
    np.testing.assert_array_equal(moved["w"], [-1.0, -0.5])
    assert moved["b"] is GRADIENT["b"]


def test_masked_takes_a_function_and_a_prefix():
    nested = {"layer": PARAMS, "free": fnp.ones(2)}
    by_function = optim.masked(optim.set_to_zero(), lambda p: fad.tree.map(lambda leaf: leaf.ndim == 0, p))
    by_prefix = optim.masked(optim.set_to_zero(), {"layer": True, "free": False})
    first, _ = by_function.update(nested, by_function.init(nested), nested)
    second, _ = by_prefix.update(nested, by_prefix.init(nested), nested)
    assert float(first["layer"]["b"]) == 0.0
    np.testing.assert_array_equal(first["layer"]["w"], PARAMS["w"])
    assert not np.asarray(second["layer"]["w"]).any()
    np.testing.assert_array_equal(second["free"], 1.0)


def test_multi_transform_is_each_transform_on_its_own_leaves():
    both = optim.multi_transform({"a": optim.adam(0.1), "s": optim.sgd(0.1)}, {"w": "a", "b": "s"})
    found, _ = run(both)
    alone_w, _ = run(optim.adam(0.1))
    alone_b, _ = run(optim.sgd(0.1))
    np.testing.assert_array_equal(found["w"], alone_w["w"])
    np.testing.assert_array_equal(found["b"], alone_b["b"])


def test_multi_transform_names_labels_without_a_transformation():
    both = optim.multi_transform({"a": optim.sgd(0.1)}, {"w": "a", "b": "z"})
    with pytest.raises(errors.ArgumentError, match="'z'.*there are"):
        both.init(PARAMS)


def test_multi_steps_is_one_step_of_the_mean_gradient():
    gradients = [fad.tree.map(lambda g, k=k: g * k, GRADIENT) for k in (1.0, 2.0, 6.0)]
    accumulated = optim.multi_steps(optim.adam(0.1), 3)
    state = accumulated.init(PARAMS)
    for gradient in gradients:
        updates, state = accumulated.update(gradient, state, PARAMS)
        if gradient is not gradients[-1]:
            assert not any(np.asarray(u).any() for u in fad.tree.leaves(updates))
    plain = optim.adam(0.1)
    expected, _ = plain.update(fad.tree.map(lambda g: g * 3.0, GRADIENT), plain.init(PARAMS), PARAMS)
    for name in PARAMS:
        np.testing.assert_allclose(updates[name], expected[name], rtol=1e-14)
    assert int(state.gradient_step) == 1
    assert optim.MultiSteps is optim.multi_steps


@pytest.mark.parametrize("compiled", [False, True])
def test_apply_if_finite_skips_and_then_gives_up(compiled):
    optimizer = optim.apply_if_finite(optim.sgd(1.0, momentum=0.9), 2)
    update = fad.jit(optimizer.update) if compiled else optimizer.update
    state = optimizer.init(PARAMS)
    bad = {"w": fnp.asarray([np.nan, 1.0]), "b": fnp.asarray(0.0)}
    updates, state = update(GRADIENT, state, PARAMS)
    np.testing.assert_array_equal(updates["w"], -GRADIENT["w"])
    momentum = fad.tree.leaves(state.inner_state)
    for _ in range(2):
        updates, state = update(bad, state, PARAMS)
        assert not any(np.asarray(u).any() for u in fad.tree.leaves(updates))
    assert_trees_equal(momentum, fad.tree.leaves(state.inner_state))
    assert (int(state.notfinite_count), int(state.total_notfinite), bool(state.last_finite)) == (2, 2, False)
    updates, state = update(bad, state, PARAMS)
    assert np.isnan(np.asarray(updates["w"])[0])


def test_lookahead_synchronises_after_its_period():
    optimizer = optim.lookahead(optim.sgd(1.0), sync_period=2, slow_step_size=0.5)
    params = optim.LookaheadParams.init_synced({"x": fnp.asarray(4.0)})
    state = optimizer.init(params)
    for expected_fast, expected_slow in ((3.0, 4.0), (3.0, 3.0), (2.0, 3.0), (2.0, 2.0)):
        updates, state = optimizer.update({"x": fnp.asarray(1.0)}, state, params)
        params = optim.apply_updates(params, updates)
        assert (float(params.fast["x"]), float(params.slow["x"])) == (expected_fast, expected_slow)


def test_lookahead_wants_pairs_of_parameters():
    with pytest.raises(errors.ArgumentError, match="init_synced"):
        optim.lookahead(optim.sgd(1.0), 2, 0.5).init(PARAMS)
    with pytest.raises(errors.ArgumentError, match="sync_period"):
        optim.lookahead(optim.sgd(1.0), 0, 0.5)


def test_injected_hyperparameters_can_be_changed_between_steps():
    optimizer = optim.inject_hyperparams(optim.sgd)(learning_rate=1.0)
    update = fad.jit(optimizer.update)
    state = optimizer.init(PARAMS)
    first, state = update(GRADIENT, state, PARAMS)
    state.hyperparams["learning_rate"] = fnp.asarray(0.25)
    second, state = update(GRADIENT, state, PARAMS)
    np.testing.assert_array_equal(np.asarray(second["w"]), np.asarray(first["w"]) / 4)
    assert update.traces == 1


def test_injected_schedules_show_their_value():
    optimizer = optim.inject_hyperparams(optim.adam)(learning_rate=optim.linear_schedule(1.0, 0.0, 4))
    _, state = run(optimizer, steps=3)
    assert float(state.hyperparams["learning_rate"]) == 0.5


def test_ema_of_parameters():
    average = optim.ema(0.5, debias=True)
    state = average.init(fnp.zeros(1))
    seen = []
    for value in (1.0, 3.0):
        out, state = average.update(fnp.asarray([value]), state)
        seen.append(float(out[0]))
    np.testing.assert_allclose(seen, [1.0, (0.25 * 1 + 0.5 * 3) / 0.75])


def test_clipping_and_norms():
    gradient = {"w": fnp.asarray([3.0, 0.0]), "b": fnp.asarray(4.0)}
    assert float(optim.global_norm(gradient)) == 5.0
    assert {name: float(n) for name, n in optim.norms(gradient).items()} == {"w": 3.0, "b": 4.0}
    clipped, _ = optim.clip_by_global_norm(1.0).update(gradient, ())
    np.testing.assert_allclose(float(optim.global_norm(clipped)), 1.0, rtol=1e-15)
    untouched, _ = optim.clip_by_global_norm(6.0).update(gradient, ())
    assert_trees_equal(untouched, gradient)
    by_value, _ = optim.clip(1.0).update(gradient, ())
    assert values(by_value)["w"].tolist() == [1.0, 0.0]


def test_clip_by_global_norm_of_zero_and_complex_gradients():
    nothing, _ = optim.clip_by_global_norm(1.0).update(fnp.zeros(3), ())
    assert not np.asarray(nothing).any()
    turned, _ = optim.clip_by_global_norm(1.0).update(fnp.asarray([3.0j, 4.0]), ())
    np.testing.assert_allclose(np.abs(np.asarray(turned)), [0.6, 0.8])


def test_zero_nans_says_where():
    repair = optim.zero_nans()
    fixed, state = repair.update({"w": fnp.asarray([np.nan, 1.0]), "b": fnp.asarray(2.0)}, repair.init(PARAMS))
    assert values(fixed)["w"].tolist() == [0.0, 1.0]
    assert values(state.found_nan) == {"w": True, "b": False}


def test_noise_has_its_variance_and_its_key():
    big = fnp.zeros(20_000)
    noise = optim.add_noise(4.0, 0.5, 0)
    first, state = noise.update(big, noise.init(big))
    second, _ = noise.update(big, state)
    np.testing.assert_allclose(np.asarray(first).std(), 2.0, rtol=0.02)
    np.testing.assert_allclose(np.asarray(second).std(), 2.0 / 2**0.25, rtol=0.02)
    assert not np.array_equal(first, second)
    again, _ = noise.update(big, noise.init(big))
    np.testing.assert_array_equal(first, again)


def test_weight_decay_masks_and_needs_parameters():
    decay = optim.add_decayed_weights(0.1, mask={"w": True, "b": False})
    moved, _ = decay.update(GRADIENT, decay.init(PARAMS), PARAMS)
    np.testing.assert_allclose(moved["w"], np.asarray(GRADIENT["w"]) + 0.1 * np.asarray(PARAMS["w"]))
    assert float(moved["b"]) == -1.0
    with pytest.raises(errors.ArgumentError, match="needs the parameters"):
        decay.update(GRADIENT, decay.init(PARAMS))


def test_chain_says_what_is_wrong():
    with pytest.raises(errors.ArgumentError, match="call the optimizer first"):
        optim.chain(optim.adam)
    two = optim.chain(optim.scale(1.0), optim.scale(2.0))
    with pytest.raises(errors.ArgumentError, match="3 parts for 2"):
        two.update(GRADIENT, ((), (), ()))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: optim.sgd(0.1, momentum=0.9),
        lambda: optim.adam(0.1),
        lambda: optim.adamw(optim.cosine_decay_schedule(0.1, 5)),
        lambda: optim.rmsprop(0.1),
        lambda: optim.lion(0.1),
        lambda: optim.lamb(0.1),
        lambda: optim.adafactor(0.1),
        lambda: optim.multi_steps(optim.adam(0.1), 2),
        lambda: optim.inject_hyperparams(optim.adam)(0.1),
        lambda: optim.chain(optim.clip_by_global_norm(1.0), optim.add_decayed_weights(0.1), optim.nadam(0.1)),
    ],
)
def test_low_precision_stays_low_precision_and_finite(make, dtype):
    params = {"w": fnp.asarray([1.0, -2.0], dtype=dtype), "b": fnp.asarray(0.5, dtype=dtype)}
    eager, _ = run(make(), params=params)
    compiled, _ = run(make(), params=params, compiled=True)
    for name in params:
        assert eager[name].dtype == compiled[name].dtype == np.dtype(dtype)
        assert np.isfinite(np.asarray(eager[name])).all()
        tolerance = 1e-5 if dtype == "float32" else 2e-2
        np.testing.assert_allclose(eager[name], compiled[name], rtol=tolerance, atol=tolerance)


def test_float32_adam_follows_float64():
    single, _ = run(
        optim.adam(0.05), 20, {"w": fnp.asarray([1, -2], dtype="float32"), "b": fnp.asarray(0.5, dtype="float32")}
    )
    double, _ = run(optim.adam(0.05), 20)
    np.testing.assert_allclose(single["w"], double["w"], rtol=1e-5)


def test_a_wrong_gradient_structure_is_said():
    optimizer = optim.adam(0.1)
    with pytest.raises(errors.TreeError, match="structure"):
        optimizer.update({"w": GRADIENT["w"]}, optimizer.init(PARAMS), PARAMS)


class TestLossScaling:
    def test_small_half_precision_gradients_survive(self):
        def loss(x):
            return fnp.sum(x * fnp.float16(2e-4) * fnp.float16(2e-4))

        x = fnp.ones(3, dtype="float16")
        assert not np.asarray(fad.grad(loss)(x)).any() or np.asarray(fad.grad(loss)(x)).max() < 1e-7
        scaling = optim.dynamic_loss_scaling()
        (value, gradient), state = scaling.value_and_grad(lambda x: fnp.sum(x.astype("float32") * 4e-8))(
            scaling.init(), x.astype("float16")
        )
        assert np.asarray(gradient).dtype == np.float16
        np.testing.assert_allclose(float(value), 1.2e-7, rtol=1e-6)
        assert bool(state.finite)

    def test_it_backs_off_and_grows(self):
        scaling = optim.dynamic_loss_scaling(initial=8.0, growth_interval=2)
        state = scaling.init()
        scales = []
        for finite in (True, True, True, False, False, True, True):
            state = scaling.adjust(state, fnp.asarray(finite))
            scales.append(float(state.scale))
        assert scales == [8.0, 16.0, 16.0, 8.0, 4.0, 4.0, 8.0]

    def test_overflow_is_noticed_and_the_step_left_out(self):
        scaling = optim.dynamic_loss_scaling(initial=2.0**15)
        optimizer = optim.apply_if_finite(optim.sgd(1.0), 100)

        @fad.jit
        def step(x, state, scale_state):
            (value, gradient), scale_state = scaling.value_and_grad(lambda x: fnp.sum(x * x))(scale_state, x)
            updates, state = optimizer.update(gradient, state, x)
            return optim.apply_updates(x, updates), state, scale_state

        x = fnp.asarray([100.0], dtype="float16")
        state, scale_state = optimizer.init(x), scaling.init()
        with np.errstate(over="ignore"):
            moved, state, scale_state = step(x, state, scale_state)
        assert float(moved[0]) == 100.0
        assert float(scale_state.scale) == 2.0**14
        assert not bool(scale_state.finite)

    def test_aux_and_argnums(self):
        scaling = optim.dynamic_loss_scaling(initial=4.0)
        (value, gradient), _ = scaling.value_and_grad(lambda a, b: (a * b, a + b), argnums=1, has_aux=True)(
            scaling.init(), 3.0, 5.0
        )
        assert [float(v) for v in value] == [15.0, 8.0]
        assert float(gradient) == 3.0

    def test_nonsense_is_refused(self):
        with pytest.raises(errors.ArgumentError, match="backoff_factor between 0 and 1"):
            optim.dynamic_loss_scaling(backoff_factor=2.0)
        assert isinstance(optim.dynamic_loss_scaling(), optim.LossScaling)
