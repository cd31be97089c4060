"""NaN checks of jitted functions: the operation and the user's line are named, forward and backward, inside loops and branches too."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import NonFiniteError


def in_scan(x):
    def step(c, y):
        c = fnp.log(c - y)
        return c, c

    return fad.scan(step, 1.0, x)[0]


def in_while(x):
    def body(s):
        return s[0] + 1, fnp.sqrt(s[1] - 2.0)

    return fad.while_loop(lambda s: s[0] < 3, body, (0, x.sum()))[1]


def in_cond(x):
    def root():
        return fnp.sqrt(x.sum() - 10.0)

    return fad.cond(x.sum() > 0, root, lambda: x.sum())


def backward_in_scan(x):
    def step(c, y):
        c = c * fnp.sqrt(y)
        return c, None

    return fad.scan(step, 1.0, x)[0]


CASES = {
    "scan": (in_scan, fad.jit, np.ones(3), "log", 2, False),
    "while": (in_while, fad.jit, np.ones(3), "sqrt", 2, False),
    "cond": (in_cond, fad.jit, np.ones(3), "sqrt", 2, False),
    "scan under grad": (in_scan, lambda f: fad.jit(fad.grad(f)), np.ones(3), "log", 2, False),
    "backward": (backward_in_scan, lambda f: fad.jit(fad.grad(f)), np.array([1.0, 0.0, 1.0]), "sqrt", 2, True),
    "backward of jit": (backward_in_scan, lambda f: fad.grad(fad.jit(f)), np.array([1.0, 0.0, 1.0]), "sqrt", 2, True),
}


@pytest.mark.parametrize("name", CASES)
def test_the_operation_and_the_line_are_named(name):
    function, transform, x, operation, offset, backward = CASES[name]
    with fad.config.using(check_nans=True, check_infs=True), pytest.raises(NonFiniteError) as caught:
        transform(function)(x)
    text = str(caught.value)
    line = function.__code__.co_firstlineno + offset
    assert f"test_finite_in_programs.py:{line} (" in text
    assert ("backward pass of" in text) is backward
    assert operation in text


def test_native_code_runs_again_after_the_checks():
    jitted = fad.jit(lambda x: fnp.sqrt(x))
    with fad.config.using(check_nans=True), pytest.raises(NonFiniteError):
        jitted(-1.0)
    assert np.isnan(jitted(-1.0))
