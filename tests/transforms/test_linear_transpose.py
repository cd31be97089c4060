"""Transposes of linear functions, and refusals of others."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp

MATRIX = np.random.default_rng(0).normal(size=(3, 3))

LINEAR = {
    "product": lambda x: MATRIX @ x,
    "reversal": lambda x: x[::-1],
    "running sum": lambda x: fnp.cumsum(x),
    "transform": lambda x: {"a": x, "b": fnp.fft.fft(x).real},
    "badly conditioned": lambda x: fnp.linalg.solve(1 / (1.0 + np.add.outer(np.arange(3), np.arange(3))), x),
    "nothing": lambda x: 0 * x,
    "constant zero": lambda x: fnp.zeros(2),
    "recursion": lambda x: fad.scan(lambda c, u: (c * 0.5 + u, c), 0.0, x)[1],
    "single precision": lambda x: x.astype("f4"),
}

OTHERS = {
    "square": lambda x: x * x,
    "cube": lambda x: x**3,
    "sine": lambda x: fnp.sin(x),
    "shifted": lambda x: x + 1,
    "absolute value": lambda x: fnp.abs(x),
    "ramp": lambda x: fnp.maximum(x, 0),
    "median": lambda x: fnp.median(x),
    "norm": lambda x: fnp.linalg.norm(x),
    "compiled": lambda x: fad.jit(lambda y: y * y)(x),
    "one part of two": lambda x: (x, x[0] * x),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_functions_are_transposed(name):
    fun, x = LINEAR[name], np.array([1.0, -2.0, 0.5])
    out = fun(fnp.asarray(x))
    (found,) = fad.linear_transpose(fun, x)(out)
    (expected,) = fad.vjp(fun, x)[1](out)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions_are_refused(name):
    with pytest.raises(fad.errors.ArgumentError, match=r"linear_transpose.*the function is not linear.*Use fad\.vjp"):
        fad.linear_transpose(OTHERS[name], np.ones(3))


def test_inside_other_transforms():
    def scaled(a):
        return fad.linear_transpose(lambda x: a * x, 1.0)(2.0)[0]

    assert float(fad.jit(scaled)(3.0)) == 6.0
    np.testing.assert_array_equal(fad.vmap(scaled)(fnp.arange(3.0)), [0.0, 2.0, 4.0])
    assert float(fad.grad(scaled)(3.0)) == 2.0


def test_arguments_without_elements_and_complex_ones():
    nothing = np.zeros((0, 2))
    assert [a.shape for a in fad.linear_transpose(lambda x, y: x + 2 * y, nothing, nothing)(nothing)] == [(0, 2)] * 2
    np.testing.assert_array_equal(fad.linear_transpose(lambda z: (1 + 2j) * z, 1j)(1.0)[0], 1 + 2j)
