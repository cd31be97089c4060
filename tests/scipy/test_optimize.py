"""Minima and roots: every method, implicit derivatives, transforms, failures."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, ConcretizationError, DTypeError, NonDifferentiableError, ShapeError
from fad.scipy import optimize
from fad.testing import check_grads

MINIMIZERS = (
    "BFGS Nelder-Mead Powell COBYLA COBYQA CG L-BFGS-B TNC SLSQP Newton-CG trust-ncg trust-krylov trust-constr dogleg "
    "trust-exact"
).split()
ROOTS = "newton hybr lm broyden1 broyden2 anderson krylov df-sane".split()


def rosenbrock(x, a=1.0, b=100.0):
    return fnp.sum(b * (x[1:] - x[:-1] ** 2) ** 2 + (a - x[:-1]) ** 2)


def bowl(x, a):
    return fnp.sum(fnp.cosh(x - a)) + 0.5 * fnp.sum(x * x)


def equations(x, a):
    return fnp.stack([x[0] ** 2 + x[1] ** 2 - a, x[0] - fnp.sin(x[1])])


@pytest.mark.parametrize("method", MINIMIZERS)
def test_every_minimizer_finds_the_minimum(method):
    a = np.array([0.3, -0.5])
    found = optimize.minimize(bowl, [0.1, 0.2], (a,), method=method, tol=1e-8)
    assert bool(found.success), found.message
    assert isinstance(found, optimize.OptimizeResult)
    np.testing.assert_allclose(found.jac, 0, atol=2e-4)
    assert float(found.fun) == pytest.approx(float(bowl(found.x, a)))
    exact = optimize.minimize(bowl, [0.1, 0.2], (a,), tol=1e-12).x
    np.testing.assert_allclose(found.x, exact, atol=1e-4)


@pytest.mark.parametrize("size", [2, 5, 20])
def test_bfgs_on_a_curved_valley(size):
    found = optimize.minimize(rosenbrock, np.linspace(-1.2, 1.0, size), tol=1e-8)
    assert bool(found.success) and int(found.status) == 0
    np.testing.assert_allclose(found.x, 1, atol=1e-6)
    assert int(found.nfev) < 60 * size


def test_bfgs_keeps_shapes_and_precision():
    target = np.arange(6.0).reshape(2, 3)
    found = optimize.minimize(lambda x: fnp.sum((x - target) ** 4 + (x - target) ** 2), np.zeros((2, 3)), tol=1e-9)
    assert found.x.shape == (2, 3)
    np.testing.assert_allclose(found.x, target, atol=1e-8)
    scalar = optimize.minimize(lambda x: (x - 2.0) ** 2, 0.0)
    assert scalar.x.shape == () and float(scalar.x) == pytest.approx(2.0)
    single = optimize.minimize(lambda x: fnp.sum((x - 2) ** 2), np.zeros(3, np.float32), tol=1e-3)
    assert single.x.dtype == np.float32
    assert bool(single.success)
    already = optimize.minimize(lambda x: fnp.sum(x * x), np.zeros(2))
    assert int(already.nit) == 0 and bool(already.success)


def minimum(a):
    return optimize.minimize(bowl, np.zeros(2), (a,), tol=1e-11).x


def test_minimum_is_differentiable():
    a = np.array([0.3, -0.5])
    check_grads(minimum, (a,), order=2)
    # at the minimum sinh(x - a) + x = 0, so dx/da = cosh(x - a) / (cosh(x - a) + 1)
    curvature = np.cosh(np.asarray(minimum(a)) - a)
    np.testing.assert_allclose(np.diag(fad.jacrev(minimum)(a)), curvature / (curvature + 1), rtol=1e-9)
    by_scipy = fad.jacrev(lambda a: optimize.minimize(bowl, np.zeros(2), (a,), method="Newton-CG", tol=1e-10).x)(a)
    np.testing.assert_allclose(by_scipy, fad.jacrev(minimum)(a), rtol=1e-5, atol=1e-8)
    envelope = fad.grad(lambda a: optimize.minimize(bowl, np.zeros(2), (a,), tol=1e-11).fun)(a)
    np.testing.assert_allclose(envelope, -np.sinh(np.asarray(minimum(a)) - a), rtol=1e-7)


def test_minimum_under_transforms():
    points = np.array([[0.3, -0.5], [1.0, 0.1], [0.0, 0.0]])
    alone = np.stack([np.asarray(minimum(p)) for p in points])
    np.testing.assert_allclose(fad.vmap(minimum)(points), alone, atol=1e-9)
    np.testing.assert_allclose(fad.jit(minimum)(points[0]), alone[0], atol=1e-9)
    slopes = np.stack([np.asarray(fad.jacrev(minimum)(p)) for p in points])
    np.testing.assert_allclose(fad.jit(fad.vmap(fad.jacrev(minimum)))(points), slopes, atol=1e-8)


def test_arguments_may_be_trees_and_integers():
    def f(x, params, power):
        return fnp.sum((x - params["center"]) ** power) + params["offset"]

    def solved(params):
        return optimize.minimize(f, np.zeros(2), (params, 2), tol=1e-10).x

    slopes = fad.jacrev(solved)({"center": np.array([1.0, 2.0]), "offset": 3.0})
    np.testing.assert_allclose(slopes["center"], np.eye(2), atol=1e-9)
    np.testing.assert_allclose(slopes["offset"], 0, atol=1e-12)


def test_closing_over_a_variable_is_refused():
    for method in ("BFGS", "CG"):
        with pytest.raises(NonDifferentiableError, match="Pass it as an argument"):
            fad.grad(lambda a, method=method: optimize.minimize(lambda x: (x - a) ** 2, 0.0, method=method).x)(1.0)
    for method in ("newton", "hybr"):
        with pytest.raises(NonDifferentiableError, match="Pass it as an argument"):
            fad.grad(lambda a, method=method: optimize.root(lambda x: x**3 - a, 1.0, method=method).x)(2.0)
    assert float(fad.jit(lambda a: optimize.root(lambda x: x**3 - a, 1.0).x)(8.0)) == pytest.approx(2.0)
    with pytest.raises(NonDifferentiableError, match="Pass it as an argument"):
        fad.grad(fad.jit(lambda a: optimize.root(lambda x: x**3 - a, 1.0).x))(8.0)


def test_bounds_and_constraints():
    def f(x, a):
        return fnp.sum((x - a) ** 2)

    a = np.array([1.0, 2.0])
    found = optimize.minimize(f, [0.0, 0.0], (a,), method="L-BFGS-B", bounds=[(0, 0.5), (0, 5)])
    np.testing.assert_allclose(found.x, [0.5, 2.0], atol=1e-6)
    held = optimize.minimize(
        f, [0.0, 0.0], (a,), method="SLSQP", constraints={"type": "eq", "fun": lambda x: x[0] + x[1] - 1}
    )
    np.testing.assert_allclose(held.x, [0.0, 1.0], atol=1e-6)
    with pytest.raises(NonDifferentiableError, match="bounds or constraints"):
        fad.jacrev(lambda a: optimize.minimize(f, [0.0, 0.0], (a,), method="L-BFGS-B", bounds=[(0, 0.5), (0, 5)]).x)(a)
    with pytest.raises(ArgumentError, match="BFGS takes no bounds"):
        optimize.minimize(f, [0.0, 0.0], (a,), bounds=[(0, 1), (0, 1)])


def test_failures_are_reported():
    short = optimize.minimize(rosenbrock, np.linspace(-1.2, 1.0, 5), options={"maxiter": 3})
    assert not bool(short.success) and int(short.status) == 1 and "limit" in short.message
    falling = optimize.minimize(lambda x: x, 0.0, options={"maxiter": 30})
    assert not bool(falling.success)
    with np.errstate(all="ignore"):
        undefined = optimize.minimize(lambda x: fnp.sum(fnp.sqrt(x)), np.array([-1.0]))
    assert int(undefined.status) == 3 and "finite" in undefined.message
    no_root = optimize.root(lambda x: x * x + 1.0, 1.5, options={"maxiter": 20})
    assert not bool(no_root.success) and int(no_root.status) in (1, 2)
    scipys = optimize.minimize(rosenbrock, np.linspace(-1.2, 1.0, 5), method="CG", options={"maxiter": 2})
    assert int(scipys.status) == 9 and "SciPy" in scipys.message


@pytest.mark.parametrize("method", ROOTS)
def test_every_root_finder(method):
    found = optimize.root(equations, [1.0, 1.2], (2.0,), method=method, tol=1e-9)
    assert bool(found.success), found.message
    np.testing.assert_allclose(found.fun, 0, atol=1e-6)
    np.testing.assert_allclose(found.jac, fad.jacfwd(lambda x: equations(x, 2.0))(found.x), rtol=1e-12)
    exact = optimize.root(equations, [1.0, 1.2], (2.0,)).x
    np.testing.assert_allclose(found.x, exact, atol=1e-5)


def test_roots_are_differentiable():
    def solution(a):
        return optimize.root(equations, np.array([1.0, 1.2]), (a,), tol=1e-13).x

    check_grads(solution, (2.0,), order=2)
    points = np.array([1.0, 2.0, 4.0])
    alone = np.stack([np.asarray(solution(p)) for p in points])
    np.testing.assert_allclose(fad.vmap(solution)(points), alone, rtol=1e-10)
    np.testing.assert_allclose(fad.jit(fad.vmap(solution))(points), alone, rtol=1e-10)
    slopes = np.stack([np.asarray(fad.jacrev(solution)(p)) for p in points])
    np.testing.assert_allclose(fad.vmap(fad.jacfwd(solution))(points), slopes, rtol=1e-9)
    by_scipy = fad.jacrev(lambda a: optimize.root(equations, np.array([1.0, 1.2]), (a,), method="hybr").x)(2.0)
    np.testing.assert_allclose(by_scipy, slopes[1], rtol=1e-6)


def test_newton_shortens_steps_that_lead_away():
    found = optimize.root(lambda x: fnp.arctan(x), 20.0)  # the full steps diverge from here
    assert bool(found.success)
    assert abs(float(found.x)) < 1e-9


def test_errors():
    with pytest.raises(ArgumentError, match="unknown method 'bfgs'; there are BFGS"):
        optimize.minimize(rosenbrock, [0.0, 0.0], method="bfgs")
    with pytest.raises(ArgumentError, match="unknown method 'secant'; there are newton"):
        optimize.root(equations, [0.0, 0.0], (1.0,), method="secant")
    with pytest.raises(ArgumentError, match=r"args must be a tuple.*write \(a,\)"):
        optimize.minimize(bowl, [0.0, 0.0], np.zeros(2))
    with pytest.raises(ArgumentError, match="options maxiter and gtol, got ..ftol"):
        optimize.minimize(rosenbrock, [0.0, 0.0], options={"ftol": 1.0})
    with pytest.raises(ArgumentError, match="option maxiter, got ..xtol"):
        optimize.root(equations, [0.0, 0.0], (1.0,), options={"xtol": 1.0})
    with pytest.raises(ShapeError, match=r"must give a scalar, got shape \(2,\)"):
        optimize.minimize(lambda x: x, [0.0, 0.0])
    with pytest.raises(ShapeError, match=r"1 equations \(shape \(\)\) for 2 unknowns"):
        optimize.root(lambda x: x.sum(), [0.0, 0.0])
    with pytest.raises(DTypeError, match="x0 must be real"):
        optimize.minimize(rosenbrock, [1j, 0.0])
    with pytest.raises(ConcretizationError, match="'CG' is SciPy's.*inside jit or vmap.*method='BFGS'"):
        fad.jit(lambda a: optimize.minimize(bowl, [0.0, 0.0], (a,), method="CG").x)(np.zeros(2))
    with pytest.raises(ConcretizationError, match="method='newton'"):
        fad.jit(lambda a: optimize.root(equations, [0.0, 0.0], (a,), method="hybr").x)(1.0)
