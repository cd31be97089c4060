"""Samples against the distribution functions of SciPy, with fixed keys, and samples under transforms."""

import mpmath
import numpy as np
import pytest
from scipy import stats

import fad
import fad.numpy as fnp
from fad import random as r
from fad.core.errors import ArgumentError
from fad.primitives.incomplete import gamma_log_slope, gamma_moment_by_quadrature
from fad.testing import check_grads

COUNT = 20000
LEAST = 1e-3  # with fixed keys a test either always passes or never

CONTINUOUS = {
    "uniform": (lambda k: r.uniform(k, (COUNT,), minval=-1.0, maxval=3.0), stats.uniform(-1, 4)),
    "normal": (lambda k: r.normal(k, (COUNT,)), stats.norm()),
    "exponential": (lambda k: r.exponential(k, (COUNT,)), stats.expon()),
    "gumbel": (lambda k: r.gumbel(k, (COUNT,)), stats.gumbel_r()),
    "laplace": (lambda k: r.laplace(k, (COUNT,)), stats.laplace()),
    "logistic": (lambda k: r.logistic(k, (COUNT,)), stats.logistic()),
    "cauchy": (lambda k: r.cauchy(k, (COUNT,)), stats.cauchy()),
    "truncated_normal": (lambda k: r.truncated_normal(k, -0.5, 2.0, (COUNT,)), stats.truncnorm(-0.5, 2)),
    "lognormal": (lambda k: r.lognormal(k, 0.7, (COUNT,)), stats.lognorm(0.7)),
    "pareto": (lambda k: r.pareto(k, 2.5, (COUNT,)), stats.pareto(2.5)),
    "weibull_min": (lambda k: r.weibull_min(k, 2.0, 1.5, (COUNT,)), stats.weibull_min(1.5, scale=2)),
    "rayleigh": (lambda k: r.rayleigh(k, 2.0, (COUNT,)), stats.rayleigh(scale=2)),
    "maxwell": (lambda k: r.maxwell(k, (COUNT,)), stats.maxwell()),
    "triangular": (lambda k: r.triangular(k, 1.0, 1.5, 4.0, (COUNT,)), stats.triang(0.5 / 3, 1, 3)),
    "wald": (lambda k: r.wald(k, 2.0, (COUNT,)), stats.invgauss(2.0)),
    "gamma": (lambda k: r.gamma(k, 2.5, (COUNT,)), stats.gamma(2.5)),
    "gamma_small": (lambda k: r.gamma(k, 0.2, (COUNT,)), stats.gamma(0.2)),
    "gamma_large": (lambda k: r.gamma(k, 1e5, (COUNT,)), stats.gamma(1e5)),
    "loggamma": (lambda k: r.loggamma(k, 0.05, (COUNT,)), stats.loggamma(0.05)),
    "beta": (lambda k: r.beta(k, 0.5, 2.0, (COUNT,)), stats.beta(0.5, 2)),
    "dirichlet": (lambda k: r.dirichlet(k, [0.5, 1.0, 2.0], (COUNT,))[:, 1], stats.beta(1, 2.5)),
    "chisquare": (lambda k: r.chisquare(k, 3.0, (COUNT,)), stats.chi2(3)),
    "student_t": (lambda k: r.student_t(k, 3.0, (COUNT,)), stats.t(3)),
    "f": (lambda k: r.f(k, 3.0, 5.0, (COUNT,)), stats.f(3, 5)),
    "generalized_normal": (lambda k: r.generalized_normal(k, 1.5, (COUNT,)), stats.gennorm(1.5)),
    "ball": (lambda k: fnp.sqrt((r.ball(k, 3, shape=(COUNT,)) ** 2).sum(axis=-1)) ** 3, stats.uniform()),
    "ball_of_sums": (lambda k: fnp.abs(r.ball(k, 2, 1.0, shape=(COUNT,))).sum(axis=-1) ** 2, stats.uniform()),
    "multivariate_normal": (
        lambda k: r.multivariate_normal(k, [1.0, 2.0], [[2.0, 0.5], [0.5, 1.0]], (COUNT,)) @ np.array([1.0, -1.0]),
        stats.norm(-1, np.sqrt(2)),
    ),
    "multivariate_normal_eigh": (
        lambda k: r.multivariate_normal(k, [0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]], (COUNT,), method="eigh")[:, 0],
        stats.norm(),
    ),
    # a corner of a uniformly distributed rotation of the plane is a cosine of a uniform angle
    "orthogonal": (lambda k: r.orthogonal(k, 2, (COUNT,))[:, 0, 0], stats.arcsine(-1, 2)),
    "complex": (lambda k: r.normal(k, (COUNT,), complex).imag, stats.norm(0, np.sqrt(0.5))),
}
DISCRETE = {
    "bernoulli": (lambda k: r.bernoulli(k, 0.3, (COUNT,)), stats.bernoulli(0.3)),
    "rademacher": (lambda k: (r.rademacher(k, (COUNT,)) + 1) // 2, stats.bernoulli(0.5)),
    "randint": (lambda k: r.randint(k, (COUNT,), -3, 9), stats.randint(-3, 9)),
    "geometric": (lambda k: r.geometric(k, 0.3, (COUNT,)), stats.geom(0.3)),
    "poisson_small": (lambda k: r.poisson(k, 3.5, (COUNT,)), stats.poisson(3.5)),
    "poisson_nearly": (lambda k: r.poisson(k, 9.99, (COUNT,)), stats.poisson(9.99)),
    "poisson_middle": (lambda k: r.poisson(k, 10.5, (COUNT,)), stats.poisson(10.5)),
    "poisson_large": (lambda k: r.poisson(k, 300.0, (COUNT,)), stats.poisson(300.0)),
    "binomial_small": (lambda k: r.binomial(k, 12, 0.3, (COUNT,)), stats.binom(12, 0.3)),
    "binomial_likely": (lambda k: r.binomial(k, 12, 0.95, (COUNT,)), stats.binom(12, 0.95)),
    "binomial_middle": (lambda k: r.binomial(k, 40, 0.3, (COUNT,)), stats.binom(40, 0.3)),
    "binomial_large": (lambda k: r.binomial(k, 3000, 0.7, (COUNT,)), stats.binom(3000, 0.7)),
    "multinomial": (lambda k: r.multinomial(k, 30, [0.2, 0.5, 0.3], (COUNT,))[:, 1], stats.binom(30, 0.5)),
    "multinomial_last": (lambda k: r.multinomial(k, 30, [0.2, 0.5, 0.3], (COUNT,))[:, 2], stats.binom(30, 0.3)),
    "categorical": (lambda k: r.categorical(k, np.log([0.2, 0.8]), shape=(COUNT,)), stats.bernoulli(0.8)),
    "choice": (lambda k: r.choice(k, 2, (COUNT,), p=[0.2, 0.8]), stats.bernoulli(0.8)),
    "permutation": (
        lambda k: fad.vmap(lambda one: r.permutation(one, 6)[0])(r.split(k, COUNT)),
        stats.randint(0, 6),
    ),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_kolmogorov_smirnov(name, seed):
    draw, law = CONTINUOUS[name]
    sample = np.asarray(draw(r.key(seed)))
    assert sample.shape == (COUNT,)
    assert stats.kstest(sample, law.cdf).pvalue > LEAST


@pytest.mark.parametrize("name", DISCRETE)
def test_chi_square(name):
    draw, law = DISCRETE[name]
    sample = np.asarray(draw(r.key(3))).astype(int)
    values = np.arange(law.ppf(1e-12), law.ppf(1 - 1e-12) + 1)
    expected = COUNT * law.pmf(values)
    seen = np.array([(sample == v).sum() for v in values])
    assert seen.sum() == COUNT
    few = expected < 10
    groups = [(seen[~few], expected[~few]), (np.array([seen[few].sum()]), np.array([expected[few].sum()]))]
    seen, expected = (np.concatenate(part) for part in zip(*groups, strict=True))
    seen, expected = seen[expected > 0], expected[expected > 0]
    assert stats.chisquare(seen, expected * COUNT / expected.sum()).pvalue > LEAST


def test_single_precision_follows_the_law():
    for name in ("normal", "exponential", "gumbel"):
        sample = getattr(r, name)(r.key(5), (COUNT,), np.float32)
        assert sample.dtype == np.float32
        assert stats.kstest(np.asarray(sample, float), CONTINUOUS[name][1].cdf).pvalue > LEAST


def test_neighbouring_keys_are_independent():
    rows = fad.vmap(lambda seed: r.normal(r.key(seed), (500,)))(np.arange(40))
    correlation = np.corrcoef(np.asarray(rows))
    assert np.abs(correlation[~np.eye(40, dtype=bool)]).max() < 0.2
    assert stats.kstest(np.asarray(rows).ravel(), stats.norm.cdf).pvalue > LEAST


SMALL = {
    "uniform": lambda k: r.uniform(k, (3,)),
    "normal32": lambda k: r.normal(k, (3,), np.float32),
    "split": lambda k: r.split(k, 3),
    "fold_in": lambda k: r.fold_in(k, 3),
    "truncated_normal": lambda k: r.truncated_normal(k, -1.0, 2.0, (3,)),
    "gamma": lambda k: r.gamma(k, [0.3, 1.0, 4.0]),
    "beta": lambda k: r.beta(k, 0.5, 2.0, (3,)),
    "student_t": lambda k: r.student_t(k, 3.0, (3,)),
    "poisson": lambda k: r.poisson(k, [0.5, 5.0, 50.0]),
    "binomial": lambda k: r.binomial(k, 30, [0.1, 0.5, 0.9]),
    "multinomial": lambda k: r.multinomial(k, 30, [0.1, 0.5, 0.4]),
    "categorical": lambda k: r.categorical(k, np.zeros((2, 4))),
    "randint": lambda k: r.randint(k, (3,), 0, 100),
    "permutation": lambda k: r.permutation(k, 5),
    "choice": lambda k: r.choice(k, 5, (3,), p=[0.1, 0.2, 0.3, 0.3, 0.1]),
    "multivariate_normal": lambda k: r.multivariate_normal(k, [0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]]),
    "bernoulli": lambda k: r.bernoulli(k, 0.5, (4,)),
}


@pytest.mark.parametrize("name", SMALL)
def test_samples_under_transforms(name):
    draw, keys = SMALL[name], r.split(r.key(9), 3)
    alone = [np.asarray(draw(k)) for k in keys]
    tolerance = 1e-5 if alone[0].dtype == np.float32 else 1e-12
    for many in (fad.vmap(draw)(keys), fad.jit(fad.vmap(draw))(keys)):
        np.testing.assert_allclose(np.asarray(many), np.stack(alone), rtol=tolerance)
    np.testing.assert_allclose(np.asarray(fad.jit(draw)(keys[0])), alone[0], rtol=tolerance)
    assert not np.array_equal(alone[0], alone[1]) or name == "bernoulli"


def test_traced_seed():
    assert fad.vmap(r.key)(np.arange(3)).tolist() == [[0, 0], [0, 1], [0, 2]]
    assert fad.jit(r.key)(-1).tolist() == [2**32 - 1, 2**32 - 1]
    folded = fad.vmap(lambda i: r.fold_in(r.key(0), i))(np.arange(3))
    assert folded.tolist() == [r.fold_in(r.key(0), i).tolist() for i in range(3)]


# Each of these is the inverse of its distribution function, so that its derivative is that of the function as it is written.
SMOOTH = {
    "uniform": (lambda k, a, b: r.uniform(k, (4,), minval=a, maxval=b), (0.5, 2.0)),
    "truncated_normal": (lambda k, a, b: r.truncated_normal(k, a, b, (4,)), (-1.0, 1.5)),
    "lognormal": (lambda k, s: r.lognormal(k, s, (4,)), (0.7,)),
    "pareto": (lambda k, b: r.pareto(k, b, (4,)), (2.5,)),
    "weibull_min": (lambda k, s, c: r.weibull_min(k, s, c, (4,)), (2.0, 1.5)),
    "rayleigh": (lambda k, s: r.rayleigh(k, s, (4,)), (2.0,)),
    "triangular": (lambda k, a, m, b: r.triangular(k, a, m, b, (4,)), (1.0, 1.6, 4.0)),
    "multivariate_normal": (
        lambda k, m, s: r.multivariate_normal(k, m, s @ s.T + np.eye(2)),
        (np.array([0.5, 1.0]), np.array([[1.0, 0.3], [0.2, 0.7]])),
    ),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_samples_are_differentiable(name):
    draw, point = SMOOTH[name]
    check_grads(lambda *a: draw(r.key(11), *a), point, order=2)


@pytest.mark.parametrize("a", [0.05, 0.5, 1.0, 3.0, 80.0])
def test_gamma_derivative_keeps_the_quantile(a):
    """Implicit reparameterisation: d P(a, x(a)) / da = 0, checked by finite differences of the quantile."""
    x, slope = fad.value_and_grad(lambda a: r.loggamma(r.key(2), a))(a)
    level, step = stats.gamma(a).cdf(np.exp(x)), 1e-5 * a
    moved = [np.log(stats.gamma(a + s).ppf(level)) for s in (-step, step)]
    assert float(slope) == pytest.approx((moved[1] - moved[0]) / (2 * step), rel=1e-5)


def test_gamma_derivatives_of_expectations():
    concentration = np.array([0.5, 1.0, 4.0])

    def mean(a):
        return r.gamma(r.key(4), a, (COUNT, 3)).mean(axis=0).sum()

    # E x = a, so the derivative is 1 up to the sample's noise, and the second derivative 0
    np.testing.assert_allclose(fad.grad(mean)(concentration), 1, atol=0.05)
    np.testing.assert_allclose(fad.hvp(mean, (concentration,), (np.ones(3),)), 0, atol=0.2)


@pytest.mark.parametrize("a", [1e-8, 0.05, 0.3, 0.999, 1.0, 2.5, 40.0, 1e4])
def test_compiled_gamma_derivatives_are_those_of_evaluation(a):
    def first(a):
        return fad.grad(lambda a: r.loggamma(r.key(2), a, (30,)).sum())(a)

    for function in (first, fad.grad(first)):
        assert float(fad.jit(function)(a)) == pytest.approx(float(function(a)), rel=1e-12)
    assert fad.jit(first).lower(a).compile().native.reasons == {}


@pytest.mark.parametrize("a", [1e-3, 0.3, 0.7, 1.0, 3.0, 20.0])
@pytest.mark.parametrize("x", [1e-5, 0.3, 0.9999, 1.0, 3.0, 20.0])
def test_slope_of_gamma_quantiles_against_mpmath(a, x):
    with mpmath.workdps(120):
        by_a = mpmath.diff(lambda a: mpmath.gammainc(a, 0, x, regularized=True), mpmath.mpf(a), h=mpmath.mpf(10) ** -40)
        exact = -by_a * mpmath.exp(x + mpmath.loggamma(a) - a * mpmath.log(x))
    for moment in (None, gamma_moment_by_quadrature):
        found = gamma_log_slope(np.array([a]), np.log([x]), moment=moment)
        np.testing.assert_allclose(found, float(exact), rtol=5e-14)


def test_gamma_derivative_under_transforms():
    def f(a):
        return r.gamma(r.key(4), a)

    point = np.array([0.5, 1.0, 4.0])
    alone = np.array([float(fad.grad(f)(a)) for a in point])
    np.testing.assert_allclose(fad.vmap(fad.grad(f))(point), alone, rtol=1e-12)
    np.testing.assert_allclose(fad.jit(fad.vmap(fad.grad(f)))(point), alone, rtol=1e-12)
    forward = [float(fad.jvp(f, (a,), (1.0,))[1]) for a in point]
    np.testing.assert_allclose(forward, alone, rtol=1e-12)


@pytest.mark.parametrize("name", ["beta", "dirichlet", "student_t", "chisquare", "f", "generalized_normal", "ball"])
def test_what_is_made_from_gamma_is_differentiable(name):
    draws = {
        "beta": lambda a: r.beta(r.key(1), a, 2.0, (COUNT,)).mean(),
        "dirichlet": lambda a: r.dirichlet(r.key(1), fnp.stack([a, 2.0]), (COUNT,))[:, 0].mean(),
        "student_t": lambda a: (r.student_t(r.key(1), a + 8.0, (COUNT,)) ** 2).mean(),
        "chisquare": lambda a: r.chisquare(r.key(1), a, (COUNT,)).mean(),
        "f": lambda a: r.f(r.key(1), 3.0, a + 10.0, (COUNT,)).mean(),
        "generalized_normal": lambda a: (r.generalized_normal(r.key(1), a, (COUNT,)) ** 2).mean(),
        "ball": lambda a: (r.ball(r.key(1), 2, a + 1.0, (COUNT,)) ** 2).mean(),
    }
    exact = {
        "beta": lambda a: a / (a + 2),
        "dirichlet": lambda a: a / (a + 2),
        "student_t": lambda a: (a + 8) / (a + 6),
        "chisquare": lambda a: a,
        "f": lambda a: (a + 10) / (a + 8),
        "generalized_normal": lambda a: stats.gennorm(a).var(),
    }
    a, step = 1.5, 1e-4
    slope = float(fad.grad(draws[name])(a))
    if name in exact:
        expected = (exact[name](a + step) - exact[name](a - step)) / (2 * step)
        assert slope == pytest.approx(expected, rel=0.1)
    else:
        assert np.isfinite(slope) and slope > 0  # the ball grows with the exponent


def test_counts_carry_no_derivative():
    for f in (
        lambda p: r.poisson(r.key(0), p, dtype=int).astype(float),
        lambda p: r.binomial(r.key(0), 10, p),
        lambda p: r.bernoulli(r.key(0), p).astype(float),
    ):
        assert float(fad.grad(f)(0.5)) == 0


def test_parameters_that_make_no_sense():
    assert int(r.poisson(r.key(0), np.nan)) == -1
    assert np.isnan(fad.jit(lambda p: r.binomial(r.key(0), 10, p))(1.5))
    assert np.isnan(fad.jit(lambda a: r.gamma(r.key(0), a))(-1.0))


def test_edges():
    assert r.t is r.student_t
    assert r.poisson(r.key(0), 0.0).tolist() == 0
    assert r.binomial(r.key(0), 10, [0.0, 1.0]).tolist() == [0, 10]
    assert r.bernoulli(r.key(0), [0.0, 1.0]).tolist() == [False, True]
    assert r.geometric(r.key(0), 1.0).tolist() == 1
    assert r.normal(r.key(0), (0, 3)).shape == (0, 3)
    assert r.permutation(r.key(0), 0).shape == (0,)
    assert r.choice(r.key(0), 5, (0,)).shape == (0,)
    assert r.gamma(r.key(0), np.ones((0,))).shape == (0,)
    assert float(r.loggamma(r.key(0), 1e-6)) < -1000
    wide = r.orthogonal(r.key(0), 2, (4,), m=5)
    np.testing.assert_allclose(wide @ wide.mT, np.broadcast_to(np.eye(2), (4, 2, 2)), atol=1e-12)


def test_permutation_is_differentiable_in_the_entries():
    check_grads(lambda x: r.permutation(r.key(0), x) * np.arange(4.0), (np.array([1.0, 2.0, 3.0, 4.0]),), order=1)


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (np.array([0.0, 3.0]), np.array([1.0, 2.0])), (0, -1)])
def test_uniform_refuses_bounds_in_the_wrong_order(bounds):
    low, high = bounds
    with pytest.raises(
        ArgumentError, match=r"uniform needs minval <= maxval, got (2\.0 and 1\.0|3\.0 and 2\.0|0 and -1)"
    ):
        r.uniform(r.key(0), (2,), minval=low, maxval=high)
    with pytest.raises(ArgumentError, match="minval <= maxval"):
        fad.grad(lambda low: r.uniform(r.key(0), (2,), minval=low, maxval=high).sum())(
            fnp.asarray(low, dtype=float).max()
        )


def test_uniform_between_equal_bounds_is_constant():
    np.testing.assert_array_equal(r.uniform(r.key(0), (3,), minval=2.0, maxval=2.0), np.full(3, 2.0))
