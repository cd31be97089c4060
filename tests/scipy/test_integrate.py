"""Integrals and differential equations: values against SciPy or formulas, derivatives, transforms, errors."""

import numpy as np
import pytest
import scipy.integrate as reference

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, ShapeError, TreeError
from fad.scipy import integrate
from fad.testing import check_grads

GENERATOR = np.random.default_rng(0)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("axis", [0, 1])
def test_samples_against_scipy(count, axis):
    y = GENERATOR.normal(size=(count, 3) if axis == 0 else (3, count))
    x = np.cumsum(GENERATOR.uniform(0.2, 1, count))
    for name in ("simpson", "trapezoid", "cumulative_trapezoid"):
        ours, theirs = getattr(integrate, name), getattr(reference, name)
        np.testing.assert_allclose(ours(y, axis=axis), theirs(y, axis=axis), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(ours(y, dx=0.3, axis=axis), theirs(y, dx=0.3, axis=axis), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(ours(y, x, axis=axis), theirs(y, x, axis=axis), rtol=1e-12, atol=1e-14)
    check_grads(lambda y, x: integrate.simpson(y, x, axis=axis), (y, x), order=2)
    check_grads(lambda y, x: integrate.cumulative_trapezoid(y, x, axis=axis, initial=0), (y, x), order=1)


def test_samples_edges():
    assert integrate.simpson([3.0]).tolist() == 0
    assert integrate.cumulative_trapezoid([3.0], initial=0).tolist() == [0]
    with pytest.raises(ShapeError, match="no sample"):
        integrate.simpson(np.zeros((2, 0)))
    with pytest.raises(ShapeError, match=r"x has \(2,\) points and y has \(3,\)"):
        integrate.simpson(np.zeros(3), np.zeros(2))
    with pytest.raises(ArgumentError, match="initial must be 0 or None"):
        integrate.cumulative_trapezoid([1.0, 2.0], initial=1)


def test_fixed_quad():
    value, none = integrate.fixed_quad(np.exp, 0.0, 2.0, n=12)
    assert none is None
    assert float(value) == pytest.approx(np.expm1(2), rel=1e-14)
    check_grads(lambda a, b, s: integrate.fixed_quad(lambda x, s: fnp.sin(s * x), a, b, (s,))[0], (0.1, 1.3, 2.0))


QUAD = {
    "smooth": (lambda x: fnp.exp(-x) * fnp.sin(5 * x), 0.0, 3.0),
    "backwards": (lambda x: fnp.exp(-x), 3.0, 0.0),
    "peak": (lambda x: 1 / (1e-4 + (x - 0.3) ** 2), 0.0, 1.0),
    "root": (lambda x: fnp.sqrt(x), 0.0, 1.0),
    "logarithm": (lambda x: fnp.log(x), 0.0, 1.0),
    "line": (lambda x: fnp.exp(-x * x), -np.inf, np.inf),
    "line_backwards": (lambda x: fnp.exp(-x * x), np.inf, -np.inf),
    "above": (lambda x: 1 / (1 + x * x), 1.0, np.inf),
    "below": (lambda x: fnp.exp(x), -np.inf, 1.0),
    "from_infinity": (lambda x: fnp.exp(-x), np.inf, 1.0),
    "to_minus_infinity": (lambda x: fnp.exp(x), 1.0, -np.inf),
    "constant": (lambda x: 2.0, 0.0, 3.0),
}


@pytest.mark.parametrize("name", QUAD)
def test_quad_against_scipy(name):
    function, a, b = QUAD[name]
    value, error = integrate.quad(function, a, b)
    with np.errstate(all="ignore"):
        expected = reference.quad(lambda x: float(function(x)), a, b)[0]
    assert float(value) == pytest.approx(expected, rel=1e-7, abs=1e-9)
    assert abs(float(value) - expected) <= max(float(error), 1e-9 * abs(expected) + 1e-9)


def test_quad_derivatives():
    def f(a, b, s):
        return integrate.quad(lambda x, s: fnp.exp(-s * x) * x, a, b, (s,))[0]

    check_grads(f, (0.2, 2.5, 1.3), order=2)
    assert float(fad.grad(f, argnums=1)(0.2, 2.5, 1.3)) == pytest.approx(2.5 * np.exp(-1.3 * 2.5), rel=1e-10)

    def gaussian(s):  # closes over what it is differentiated in
        return integrate.quad(lambda x: fnp.exp(-s * x * x), -np.inf, np.inf)[0]

    assert float(gaussian(2.0)) == pytest.approx(np.sqrt(np.pi / 2))
    assert float(fad.grad(fad.grad(gaussian))(2.0)) == pytest.approx(0.75 * np.sqrt(np.pi) * 2.0**-2.5, rel=1e-6)
    np.testing.assert_allclose(fad.vmap(gaussian)(np.array([0.5, 2.0])), np.sqrt(np.pi / np.array([0.5, 2.0])))
    np.testing.assert_allclose(fad.jit(fad.grad(gaussian))(2.0), fad.grad(gaussian)(2.0), rtol=1e-10)


def test_quad_says_when_it_fails():
    value, error = integrate.quad(lambda x: fnp.sin(1 / x), 1e-6, 1.0, limit=4)
    assert float(error) > 1e-6
    with pytest.raises(ArgumentError, match="limit must be at least 1"):
        integrate.quad(fnp.sin, 0.0, 1.0, limit=0)
    with pytest.raises(ShapeError, match=r"must give a scalar, got shape \(2,\)"):
        integrate.quad(lambda x: fnp.stack([x, x]), 0.0, 1.0)


def oscillator(y, t, stiffness):
    return {"x": y["v"], "v": -stiffness * y["x"]}


def test_odeint_follows_the_exact_solution():
    times = np.linspace(0.0, 5.0, 7)
    found = integrate.odeint(oscillator, {"x": 1.0, "v": 0.0}, times, (4.0,))
    np.testing.assert_allclose(found["x"], np.cos(2 * times), atol=2e-7)
    np.testing.assert_allclose(found["v"], -2 * np.sin(2 * times), atol=2e-7)


def test_odeint_against_scipy():
    def lotka(y, t, a, b):
        return [a * y[0] - b * y[0] * y[1], b * y[0] * y[1] - y[1] + 0.1 * np.sin(t)]

    times = np.array([0.5, 1.0, 1.1, 4.0])
    found = integrate.odeint(lambda y, t, a, b: fnp.stack(lotka(y, t, a, b)), [1.5, 0.7], times, (1.2, 0.6))
    expected = reference.odeint(lotka, [1.5, 0.7], times, args=(1.2, 0.6), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_odeint_backwards_tighter_and_complex():
    times = np.array([2.0, 1.0, -1.0])
    found = integrate.odeint(lambda y, t: y * t, 1.0, times, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found, np.exp((times**2 - 4) / 2), rtol=1e-9)
    turning = integrate.odeint(lambda y, t: 1j * y, 1.0 + 0j, [0.0, np.pi])
    np.testing.assert_allclose(turning, [1, -1], atol=1e-7)
    single = integrate.odeint(lambda y, t: -y, np.float32(1.0), np.float32([0, 1]), rtol=1e-5, atol=1e-5)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, [1, np.exp(-1)], rtol=1e-4)


def test_odeint_steps_suit_the_equation():
    """A fast transient costs small steps, and hmax bounds them."""
    stiff = integrate.odeint(lambda y, t: -200 * (y - fnp.cos(t)), 0.0, [0.0, 1.0], rtol=1e-6, atol=1e-8)
    expected = reference.solve_ivp(lambda t, y: -200 * (y - np.cos(t)), (0, 1), [0.0], "Radau", rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(stiff[-1], expected.y[0, -1], rtol=1e-5)
    # the pulse is missed by the steps of a solution that stands still, unless they are bounded
    pulse = integrate.odeint(lambda y, t: fnp.exp(-(((t - 5) / 0.01) ** 2)), 0.0, [0.0, 10.0], hmax=0.02)
    np.testing.assert_allclose(pulse[-1], 0.01 * np.sqrt(np.pi), rtol=1e-5)


def test_odeint_derivatives():
    times = np.array([0.0, 0.4, 1.5])

    def f(x0, k, t):
        found = integrate.odeint(oscillator, {"x": x0, "v": 0.3}, t, (k,), rtol=1e-10, atol=1e-10)
        return found["x"]

    check_grads(f, (1.0, 2.0, times), order=1)
    jacobian = fad.jacrev(f, argnums=2)(1.0, 2.0, times)
    found = integrate.odeint(oscillator, {"x": 1.0, "v": 0.3}, times, (2.0,), rtol=1e-10, atol=1e-10)
    # moving a time moves the solution there along its slope; moving the first moves all the others against the slope at the start
    np.testing.assert_allclose(np.diag(jacobian)[1:], found["v"][1:], rtol=1e-6)
    slow = fad.hvp(lambda k: f(1.0, k, times)[-1], (2.0,), (1.0,))
    step = 1e-3
    values = [float(fad.grad(lambda k: f(1.0, k, times)[-1])(2.0 + s)) for s in (-step, step)]
    assert float(slow) == pytest.approx((values[1] - values[0]) / (2 * step), rel=1e-5)


def test_odeint_under_transforms():
    times = np.array([0.0, 0.4, 1.5])

    def last(rate, start):
        return integrate.odeint(lambda y, t: -rate * y, start, times)[-1]

    rates = np.array([0.5, 1.0, 3.0])
    expected = -1.5 * 2.0 * np.exp(-1.5 * rates)
    np.testing.assert_allclose([float(fad.grad(last)(r, 2.0)) for r in rates], expected, rtol=1e-6)
    np.testing.assert_allclose(fad.vmap(fad.grad(last), (0, None))(rates, 2.0), expected, rtol=1e-6)
    np.testing.assert_allclose(fad.jit(fad.vmap(fad.grad(last), (0, None)))(rates, 2.0), expected, rtol=1e-6)
    np.testing.assert_allclose(float(fad.jvp(lambda r: last(r, 2.0), (0.5,), (1.0,))[1]), expected[0], rtol=1e-6)
    np.testing.assert_allclose(fad.grad(fad.jit(last))(0.5, 2.0), expected[0], rtol=1e-6)


def test_odeint_edges_and_errors():
    assert integrate.odeint(lambda y, t: y, 2.0, [1.0]).tolist() == [2.0]
    assert integrate.odeint(lambda y, t: y, 2.0, [1.0, 1.0]).tolist() == [2.0, 2.0]
    assert np.isnan(integrate.odeint(lambda y, t: y * y, 1.0, [0.0, 2.0], mxstep=50)[-1])  # infinite at t = 1
    np.testing.assert_allclose(integrate.odeint(lambda y, t: 0 * y, 0.0, [0.0, 5.0]), 0)
    with pytest.raises(ShapeError, match="t needs one axis"):
        integrate.odeint(lambda y, t: y, 1.0, 2.0)
    with pytest.raises(ShapeError, match=r"func gives shapes \[\(2,\)\], and the solution has \[\(\)\]"):
        integrate.odeint(lambda y, t: fnp.ones(2), 1.0, [0.0, 1.0])
    with pytest.raises(TreeError, match="func gives"):
        integrate.odeint(lambda y, t: {"a": y["a"]}, {"a": 1.0, "b": 1.0}, [0.0, 1.0])
    with pytest.raises(ArgumentError, match="must be callable"):
        integrate.odeint(3.0, 1.0, [0.0, 1.0])
    with pytest.raises(ArgumentError, match="mxstep"):
        integrate.odeint(lambda y, t: y, 1.0, [0.0, 1.0], mxstep=0)
