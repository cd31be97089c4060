"""Distributions against SciPy, their derivatives against finite differences, edges, errors, transforms."""

import doctest

import numpy as np
import pytest
import scipy.stats as reference

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DTypeError, LinAlgError, ShapeError
from fad.scipy import stats
from fad.testing import check_grads

# shape parameters, and points inside the support
CONTINUOUS = {
    "norm": ((), (-3.0, -0.2, 0.7, 2.5)),
    "uniform": ((), (0.1, 0.4, 0.9)),
    "expon": ((), (0.1, 1.0, 7.0)),
    "gamma": ((2.3,), (0.1, 1.0, 2.4, 9.0)),
    "chi2": ((3.0,), (0.1, 1.0, 2.4, 9.0)),
    "beta": ((0.7, 2.5), (0.05, 0.3, 0.8)),
    "t": ((3.5,), (-4.0, -0.3, 0.6, 2.0)),
    "cauchy": ((), (-40.0, -0.3, 0.6, 2.0)),
    "laplace": ((), (-3.0, -0.2, 0.7, 2.5)),
    "logistic": ((), (-30.0, -0.2, 0.7, 2.5)),
    "gumbel_r": ((), (-1.5, -0.2, 0.7, 8.0)),
    "lognorm": ((0.8,), (0.1, 0.9, 3.0)),
    "pareto": ((2.5,), (1.1, 2.0, 9.0)),
    "weibull_min": ((1.7,), (0.1, 0.9, 3.0)),
}
DISCRETE = {
    "poisson": ((3.5,), (0, 1, 3, 12)),
    "bernoulli": ((0.3,), (0, 1)),
    "binom": ((9, 0.3), (0, 1, 4, 9)),
    "geom": ((0.3,), (1, 2, 7)),
    "nbinom": ((2.5, 0.3), (0, 2, 9)),
}
LEVELS = np.array([0.01, 0.3, 0.5, 0.8, 0.999])


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("place", [{}, {"loc": 0.5, "scale": 2.0}])
def test_continuous_against_scipy(name, place):
    shapes, points = CONTINUOUS[name]
    ours, theirs = getattr(stats, name), getattr(reference, name)
    x = np.array(points) * place.get("scale", 1) + place.get("loc", 0)
    for method in ("logpdf", "pdf", "cdf", "logcdf", "sf", "logsf"):
        found = getattr(ours, method)(x, *shapes, **place)
        np.testing.assert_allclose(
            found, getattr(theirs, method)(x, *shapes, **place), rtol=1e-11, atol=1e-14, err_msg=method
        )
    for method in ("ppf", "isf"):
        found = getattr(ours, method)(LEVELS, *shapes, **place)
        np.testing.assert_allclose(found, getattr(theirs, method)(LEVELS, *shapes, **place), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("loc", [0, 2])
def test_discrete_against_scipy(name, loc):
    shapes, points = DISCRETE[name]
    ours, theirs = getattr(stats, name), getattr(reference, name)
    k = np.array([*points, points[0] - 1, points[-1] + 2]) + loc
    for method in ("logpmf", "pmf", "cdf", "logcdf", "sf", "logsf"):
        with np.errstate(divide="ignore"):
            found = getattr(ours, method)(k, *shapes, loc=loc)
            expected = getattr(theirs, method)(k, *shapes, loc=loc)
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14, err_msg=method)
    assert float(ours.pmf(points[1] + 0.5, *shapes)) == 0
    np.testing.assert_allclose(ours.cdf(points[1] + 0.5, *shapes), theirs.cdf(points[1], *shapes), rtol=1e-11)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_derivatives(name):
    shapes, points = CONTINUOUS[name]
    ours = getattr(stats, name)
    x = np.array(points) * 1.5 + 0.37
    for method in ("logpdf", "cdf", "logcdf", "sf", "logsf"):
        check_grads(
            lambda x, loc, scale, *s, method=method: getattr(ours, method)(x, *s, loc=loc, scale=scale),
            (x, 0.3, 1.5, *shapes),
            order=2,
        )
    check_grads(lambda q, *s: ours.ppf(q, *s), (np.array([0.2, 0.45, 0.8]), *shapes), order=1)


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_derivatives(name):
    shapes, points = DISCRETE[name]
    ours, fixed, moving = getattr(stats, name), shapes[:-1], shapes[-1]
    for method in ("logpmf", "cdf", "sf"):
        check_grads(lambda p, method=method: getattr(ours, method)(np.array(points), *fixed, p), (moving,), order=2)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_density_is_the_derivative_of_the_distribution_function(name):
    shapes, points = CONTINUOUS[name]
    ours = getattr(stats, name)
    slope = fad.vmap(fad.grad(lambda x: ours.cdf(x, *shapes)))(np.array(points))
    np.testing.assert_allclose(slope, ours.pdf(np.array(points), *shapes), rtol=1e-10)


def test_laplace_and_t_at_their_centre():
    assert float(fad.grad(stats.laplace.cdf)(0.0)) == 0.5
    assert float(fad.grad(stats.laplace.sf)(0.0)) == -0.5
    assert float(fad.grad(stats.t.cdf)(0.0, 3.0)) == pytest.approx(float(stats.t.pdf(0.0, 3.0)))
    assert float(fad.grad(lambda df: stats.t.cdf(0.0, df))(3.0)) == 0


@pytest.mark.parametrize("name", CONTINUOUS)
def test_edges_of_the_support(name):
    shapes, _ = CONTINUOUS[name]
    ours, theirs = getattr(stats, name), getattr(reference, name)
    low, high = theirs.support(*shapes)
    outside = np.array([low - 1 if np.isfinite(low) else low, high + 1 if np.isfinite(high) else high])
    for method, ends in {
        "logpdf": [-np.inf, -np.inf],
        "pdf": [0, 0],
        "cdf": [0, 1],
        "sf": [1, 0],
        "logcdf": [-np.inf, 0],
        "logsf": [0, -np.inf],
    }.items():
        assert getattr(ours, method)(outside, *shapes).tolist() == ends, method
        slope = fad.grad(lambda x, method=method: fnp.sum(getattr(ours, method)(x, *shapes)))(outside)
        assert np.isfinite(slope).all(), method
    np.testing.assert_array_equal(ours.ppf([0.0, 1.0], *shapes), [low, high])
    assert np.isnan(ours.ppf([-0.1, 1.1], *shapes)).all()
    assert np.isnan(ours.logpdf(np.nan, *shapes))
    with np.errstate(invalid="ignore"):
        assert np.isnan(ours.pdf(1.5, *shapes, scale=-1.0))


def test_parameters_that_make_no_sense_give_nan():
    with np.errstate(all="ignore"):
        assert np.isnan(stats.gamma.pdf(1.0, -1.0))
        assert np.isnan(stats.beta.cdf(0.5, 1.0, 0.0))
        assert np.isnan(stats.poisson.pmf(1, -1.0))
        assert np.isnan(stats.bernoulli.pmf(1, 1.5))
        assert np.isnan(stats.binom.pmf(1, 2.5, 0.5))


def test_probabilities_zero_and_one():
    assert stats.bernoulli.logpmf([0, 1], 0.0).tolist() == [0, -np.inf]
    assert stats.bernoulli.logpmf([0, 1], 1.0).tolist() == [-np.inf, 0]
    assert stats.binom.pmf([0, 3], 3, 1.0).tolist() == [0, 1]
    assert float(stats.poisson.pmf(0, 0.0)) == 1
    assert float(stats.geom.pmf(1, 1.0)) == 1


def test_frozen_distributions():
    frozen = stats.gamma(2.0, scale=3.0)
    assert float(frozen.cdf(1.5)) == float(stats.gamma.cdf(1.5, 2.0, scale=3.0))
    assert "gamma" in repr(frozen) and "gamma" in repr(stats.gamma)
    with pytest.raises(AttributeError, match="gamma has no method 'rvs'; it has logpdf"):
        frozen.rvs(3)
    with pytest.raises(ArgumentError, match="parameters a, loc, scale"):
        stats.gamma(1.0, 2.0, 3.0, 4.0)


def test_errors():
    with pytest.raises(ArgumentError, match=r"gamma.pdf takes the parameters a, loc, scale; got 0 by position"):
        stats.gamma.pdf(1.0)
    with pytest.raises(ArgumentError, match="norm.cdf takes the parameters loc, scale"):
        stats.norm.cdf(1.0, 0.0, loc=0.0)
    with pytest.raises(ArgumentError, match="by name"):
        stats.norm.cdf(1.0, width=0.0)
    with pytest.raises(DTypeError, match="norm.pdf is for real arguments"):
        stats.norm.pdf(1j)
    with pytest.raises(ShapeError, match=r"mean of shape \(2,\)"):
        stats.multivariate_normal.logpdf([1.0, 2.0], [0.0, 0.0], [[1.0]])
    with pytest.raises(ShapeError, match=r"x of shape \(n,\) or \(n, m\)"):
        stats.dirichlet.logpdf([0.5, 0.5], [1.0, 1.0, 1.0])
    with pytest.raises(LinAlgError):
        stats.multivariate_normal.logpdf([1.0, 2.0], [0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]])


def test_multivariate_normal():
    mean, cov = np.array([0.5, -1.0, 2.0]), np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 0.7]])
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    theirs = reference.multivariate_normal(mean, cov)
    np.testing.assert_allclose(stats.multivariate_normal.logpdf(x, mean, cov), theirs.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(stats.multivariate_normal.pdf(x[0, 0], mean, cov), theirs.pdf(x[0, 0]), rtol=1e-12)
    np.testing.assert_allclose(
        stats.multivariate_normal.logpdf(x, mean, 2.0), reference.multivariate_normal(mean, 2.0).logpdf(x), rtol=1e-12
    )
    np.testing.assert_allclose(stats.multivariate_normal.logpdf(0.3), reference.norm.logpdf(0.3), rtol=1e-12)
    check_grads(
        lambda x, m, c: stats.multivariate_normal.logpdf(x, m, c @ c.T + fnp.eye(3)), (x[0], mean, cov), order=2
    )
    mapped = fad.vmap(stats.multivariate_normal.logpdf, in_axes=(0, None, None))(x, mean, cov)
    np.testing.assert_allclose(mapped, theirs.logpdf(x), rtol=1e-12)
    np.testing.assert_allclose(fad.jit(stats.multivariate_normal.logpdf)(x, mean, cov), theirs.logpdf(x), rtol=1e-12)


def test_dirichlet():
    alpha, x = np.array([0.7, 2.0, 3.0]), np.array([[0.2, 0.1], [0.3, 0.8], [0.5, 0.1]])
    np.testing.assert_allclose(stats.dirichlet.logpdf(x, alpha), reference.dirichlet.logpdf(x, alpha), rtol=1e-12)
    np.testing.assert_allclose(stats.dirichlet.pdf(x[:, 0], alpha), reference.dirichlet.pdf(x[:, 0], alpha), rtol=1e-12)
    check_grads(stats.dirichlet.logpdf, (x, alpha), order=2)
    assert float(stats.dirichlet.logpdf([-0.1, 0.6, 0.5], alpha)) == -np.inf


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
def test_transforms_and_precision(name):
    shapes, points = CONTINUOUS.get(name) or DISCRETE[name]
    ours, x = getattr(stats, name), np.array(points, float)
    expected = np.asarray(ours.cdf(x, *shapes))
    np.testing.assert_allclose(fad.vmap(lambda x: ours.cdf(x, *shapes))(x), expected, rtol=1e-12)
    np.testing.assert_allclose(fad.jit(lambda x, *s: ours.cdf(x, *s))(x, *shapes), expected, rtol=1e-10)
    single = ours.cdf(x.astype(np.float32), *shapes)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-4)


@pytest.mark.parametrize("name", stats.__all__)
def test_examples(name):
    value = getattr(stats, name)
    example = doctest.DocTestParser().get_doctest(value.__doc__, {}, name, None, 0)
    assert example.examples
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    assert doctest.DocTestRunner(optionflags=flags, verbose=False).run(example).failed == 0


@pytest.mark.parametrize("method", ["logpdf", "pdf", "cdf", "logsf", "ppf"])
def test_a_scale_that_is_none_gives_nan_without_a_warning(method):
    x, scale = np.array([0.2, 0.4, 0.6]), np.array([-1.0, 0.0, 2.0])
    for distribution in (stats.norm, stats.expon, stats.cauchy):
        found = getattr(distribution, method)(x, 0.0, scale)
        assert np.isnan(found).tolist() == [True, True, False]
        assert found[2] == getattr(distribution, method)(x[2], 0.0, 2.0)
        slope = fad.grad(lambda s, d=distribution: getattr(d, method)(x[2], 0.0, s))(2.0)
        assert np.isfinite(slope)
