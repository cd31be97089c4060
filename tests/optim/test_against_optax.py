"""Steps of every optimizer against optax's, recorded by tools/record_optax_steps.py."""

import json
from pathlib import Path

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.optim as optim
from tests.optim.problem import loss, start

RECORDED = json.loads((Path(__file__).parent / "optax_steps.json").read_text())

# From an int32 count optax computes these factors in float32; fad computes them in float64.
SINGLE_PRECISION_IN_OPTAX = {
    "accumulated",  # its mean gradient
    "adafactor",
    "adafactor_plain",
    "scheduled",
    "warm",
    "onecycle",
    "cosine_onecycle",
    "exponential",
    "polynomial",
    "piecewise",
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", RECORDED["steps"])
def test_steps_agree_with_optax(name, compiled):
    record = RECORDED["steps"][name]
    optimizer = eval(record["call"], {n: getattr(optim, n) for n in optim.__all__})

    def one_step(params, state, step):
        gradient = fad.grad(lambda p: loss(fnp, p, step))(params)
        updates, state = optimizer.update(gradient, state, params)
        return optim.apply_updates(params, updates), state

    one_step = fad.jit(one_step) if compiled else one_step
    params = {k: fnp.asarray(v) for k, v in start().items()}
    state = optimizer.init(params)
    rounding = 3e-6 if name in SINGLE_PRECISION_IN_OPTAX else 1e-10
    for step, expected in enumerate(record["path"]):
        params, state = one_step(params, state, float(step))
        if expected is not None:
            for leaf, value in expected.items():
                np.testing.assert_allclose(
                    np.asarray(params[leaf]), value, rtol=rounding, atol=rounding, err_msg=f"{leaf} at step {step}"
                )


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", RECORDED["searches"])
def test_line_searches_agree_with_optax(name, compiled):
    record = RECORDED["searches"][name]
    optimizer = eval(record["call"], {n: getattr(optim, n) for n in optim.__all__})

    def value_fn(p):
        return loss(fnp, p, 0)

    def one_step(params, state):
        value, gradient = fad.value_and_grad(value_fn)(params)
        extra = {} if "linesearch=None" in record["call"] else {"value": value, "grad": gradient, "value_fn": value_fn}
        updates, state = optimizer.update(gradient, state, params, **extra)
        return optim.apply_updates(params, updates), state

    one_step = fad.jit(one_step) if compiled else one_step
    params = {k: fnp.asarray(v) for k, v in start().items()}
    state = optimizer.init(params)
    for step, expected in enumerate(record["path"]):
        params, state = one_step(params, state)
        if expected is not None:
            # Near the minimum a line search compares losses that differ by rounding only.
            rounding = 1e-10 if step < 2 else 1e-7
            for leaf, value in expected.items():
                np.testing.assert_allclose(
                    np.asarray(params[leaf]), value, rtol=rounding, atol=rounding, err_msg=f"{leaf} at step {step}"
                )
