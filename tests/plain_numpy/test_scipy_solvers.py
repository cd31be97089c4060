"""SciPy's solvers take fad's functions and derivatives as they are: their results become NumPy arrays at the door."""

import numpy as np
import pytest
from scipy import integrate, optimize

import fad
import fad.numpy as fnp


def rosenbrock(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def residuals(x):
    return np.stack([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


def decay(t, y):
    return -y * t


START = np.array([-0.5, 0.8])
WITH_GRADIENT = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP"]
WITH_HESSIAN = ["Newton-CG", "trust-constr", "trust-exact", "trust-ncg", "trust-krylov"]


@pytest.mark.parametrize("method", WITH_GRADIENT + WITH_HESSIAN)
def test_minimize(method):
    hessian = {"hess": fad.jit(fad.hessian(rosenbrock))} if method in WITH_HESSIAN else {}
    apart = optimize.minimize(fad.jit(rosenbrock), START, method=method, jac=fad.jit(fad.grad(rosenbrock)), **hessian)
    both = optimize.minimize(fad.jit(fad.value_and_grad(rosenbrock)), START, method=method, jac=True, **hessian)
    np.testing.assert_allclose([apart.x, both.x], 1.0, atol=1e-2)


@pytest.mark.parametrize("method", ["SLSQP", "trust-constr"])
def test_constraints(method):
    constraint = optimize.NonlinearConstraint(
        fad.jit(lambda x: x * x), 0.0, 0.25, jac=fad.jit(fad.jacrev(lambda x: x * x)), hess=optimize.BFGS()
    )
    gradient = fad.jit(fad.grad(rosenbrock))
    found = optimize.minimize(rosenbrock, [0.1, 0.1], method=method, jac=gradient, constraints=constraint)
    np.testing.assert_allclose(found.x, [0.5, 0.25], atol=1e-3)


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(method):
    found = optimize.least_squares(fad.jit(residuals), START, jac=fad.jit(fad.jacfwd(residuals)), method=method)
    np.testing.assert_allclose(found.x, 1.0, rtol=1e-6)


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA"])
def test_differential_equations(method):
    jacobian = fad.jit(fad.jacfwd(decay, argnums=1))
    found = integrate.solve_ivp(fad.jit(decay), (0.0, 1.0), [1.0, 2.0], method=method, jac=jacobian, rtol=1e-6)
    np.testing.assert_allclose(found.y[:, -1], np.exp(-0.5) * np.array([1.0, 2.0]), rtol=1e-4)


@pytest.mark.parametrize("convert", [np.atleast_1d, np.atleast_2d, np.atleast_3d])
def test_conversions_give_arrays_of_numpy_where_values_are_concrete(convert):
    x = fnp.arange(3.0)
    assert type(convert(x)) is np.ndarray
    assert all(type(v) is np.ndarray for v in convert(x, 1.0))
    np.testing.assert_array_equal(convert(x), convert(np.arange(3.0)))
    assert isinstance(getattr(fnp, convert.__name__)(x), fad.Array)
    np.testing.assert_array_equal(fad.grad(lambda x: convert(x).sum())(x), np.ones(3))
