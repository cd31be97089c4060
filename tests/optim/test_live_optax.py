"""The recorded steps of optax are those of the optax that is installed, where one is."""

import json
from pathlib import Path

import numpy as np
import pytest

import fad.optim as optim

RECORDED = json.loads((Path(__file__).parent / "optax_steps.json").read_text())


@pytest.mark.peer
@pytest.mark.parametrize("kind, name", [(kind, name) for kind in ("steps", "searches") for name in RECORDED[kind]])
def test_recorded_steps_are_those_of_optax_today(kind, name):
    pytest.importorskip("optax", reason="compares with optax, of the bench extra")
    from tools.record_optax_steps import CALLS, path_of

    path = path_of(CALLS[kind][name], kind == "steps")
    for now, then in zip(path, RECORDED[kind][name]["path"]):
        assert (now is None) == (then is None)
        for leaf, value in (then or {}).items():
            np.testing.assert_allclose(now[leaf], value, rtol=1e-7, atol=1e-7, err_msg=leaf)


@pytest.mark.peer
def test_defaults_are_those_of_optax():
    from inspect import signature

    optax = pytest.importorskip("optax", reason="compares with optax, of the bench extra")
    for name in (
        "sgd",
        "adam",
        "adamw",
        "nadam",
        "radam",
        "adagrad",
        "adadelta",
        "rmsprop",
        "lion",
        "lamb",
        "adafactor",
        "adabelief",
        "yogi",
        "adamax",
        "adamaxw",
        "sign_sgd",
        "signum",
        "optimistic_gradient_descent",
        "lars",
    ):
        theirs = signature(getattr(optax, name)).parameters
        for parameter in signature(getattr(optim, name)).parameters.values():
            assert parameter.name in theirs, f"{name}: {parameter.name}"
            default = theirs[parameter.name].default
            if isinstance(default, bool | int | float) and isinstance(parameter.default, bool | int | float):
                assert parameter.default == default, f"{name}: {parameter.name}"
