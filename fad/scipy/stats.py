"""``scipy.stats`` on differentiable arrays: densities, distribution functions and quantiles, differentiable in everything, also in shape parameters.

Distributions have SciPy's names, parameters and methods. Random numbers come from :mod:`fad.random`.

Examples
--------
>>> import fad
>>> from fad.scipy import stats
>>> stats.norm.logpdf(1.0, loc=0.0, scale=2.0)
Array(-1.73708571)
>>> fad.grad(lambda a: stats.gamma.cdf(2.0, a))(3.0)
Array(-0.23184867)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fad.core.array import Array, wrap
from fad.core.avals import result_dtype, shape_of, weak_operand
from fad.core.errors import ShapeError
from fad.numpy.conversion import float_operand
from fad.primitives.arithmetic import (
    absolute,
    equal,
    floor,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    select,
)
from fad.primitives.incomplete import betainc, betaincinv, gammainc, gammaincc, gammaincinv, stdtr, stdtrit
from fad.primitives.linalg_factorizations import cholesky
from fad.primitives.linalg_matrices import diagonal
from fad.primitives.linalg_solving import solve_triangular_matrices
from fad.primitives.math_functions import arctan2, exp, expm1, log, log1p, power, tan
from fad.primitives.reduction import reduce_all
from fad.primitives.special import (
    betaln,
    expit,
    lgamma,
    log_expit,
    log_ndtr,
    logit,
    ndtr,
    ndtri,
    xlog1py,
    xlogy,
)
from fad.primitives.structural import broadcast_to, convert, reduce_sum, reshape
from fad.scipy.distributions import Continuous, Discrete, inside

__all__ = [
    "bernoulli",
    "beta",
    "binom",
    "cauchy",
    "chi2",
    "dirichlet",
    "expon",
    "gamma",
    "geom",
    "gumbel_r",
    "laplace",
    "logistic",
    "lognorm",
    "multivariate_normal",
    "nbinom",
    "norm",
    "pareto",
    "poisson",
    "t",
    "uniform",
    "weibull_min",
]

_LINE = (-math.inf, math.inf)
_HALF_LINE = (0.0, math.inf)
_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


def _positive(*shapes: Any) -> Any:
    """Whether all shape parameters are positive."""
    condition = greater.bind(shapes[0], 0)
    for shape in shapes[1:]:
        condition = logical_and.bind(condition, greater.bind(shape, 0))
    return condition


# --- continuous distributions ------------------------------------------------------------------------------------------------------

norm = Continuous(
    "norm",
    "",
    "The normal distribution with mean ``loc`` and standard deviation ``scale``.",
    "stats.norm.cdf(1.0, loc=0.5, scale=2.0)",
    support=_LINE,
    logpdf=lambda x: -0.5 * x * x - _LOG_ROOT_2PI,
    cdf=ndtr.bind,
    sf=lambda x: ndtr.bind(-x),
    logcdf=log_ndtr.bind,
    logsf=lambda x: log_ndtr.bind(-x),
    ppf=ndtri.bind,
    isf=lambda q: -ndtri.bind(q),
)
uniform = Continuous(
    "uniform",
    "",
    "The uniform distribution on [loc, loc + scale].",
    "stats.uniform.pdf(1.0, 0.0, 4.0)",
    support=(0.0, 1.0),
    logpdf=lambda x: 0 * x,
    cdf=lambda x: x,
    ppf=lambda q: q,
)
expon = Continuous(
    "expon",
    "",
    "The exponential distribution with mean ``scale`` above ``loc``.",
    "stats.expon.logpdf(1.0, scale=2.0)",
    support=_HALF_LINE,
    logpdf=lambda x: -x,
    cdf=lambda x: -expm1.bind(-x),
    sf=lambda x: exp.bind(-x),
    logsf=lambda x: -x,
    ppf=lambda q: -log1p.bind(-q),
    isf=lambda q: -log.bind(q),
)
gamma = Continuous(
    "gamma",
    "a",
    "The gamma distribution with concentration ``a``.",
    "stats.gamma.cdf(1.0, 2.5, scale=2.0)",
    support=_HALF_LINE,
    valid=_positive,
    logpdf=lambda x, a: xlogy.bind(a - 1, x) - x - lgamma.bind(a),
    cdf=lambda x, a: gammainc.bind(a, x),
    sf=lambda x, a: gammaincc.bind(a, x),
    ppf=lambda q, a: gammaincinv.bind(a, q),
)
chi2 = Continuous(
    "chi2",
    "df",
    "The chi-square distribution with ``df`` degrees of freedom.",
    "stats.chi2.sf(3.0, 2.0)",
    support=_HALF_LINE,
    valid=_positive,
    logpdf=lambda x, df: xlogy.bind(0.5 * df - 1, 0.5 * x) - 0.5 * x - lgamma.bind(0.5 * df) - math.log(2),
    cdf=lambda x, df: gammainc.bind(0.5 * df, 0.5 * x),
    sf=lambda x, df: gammaincc.bind(0.5 * df, 0.5 * x),
    ppf=lambda q, df: 2 * gammaincinv.bind(0.5 * df, q),
)
beta = Continuous(
    "beta",
    "a, b",
    "The beta distribution.",
    "stats.beta.cdf(0.3, 2.0, 0.5)",
    support=(0.0, 1.0),
    valid=_positive,
    logpdf=lambda x, a, b: xlogy.bind(a - 1, x) + xlog1py.bind(b - 1, -x) - betaln.bind(a, b),
    cdf=lambda x, a, b: betainc.bind(a, b, x),
    sf=lambda x, a, b: betainc.bind(b, a, 1 - x),
    ppf=lambda q, a, b: betaincinv.bind(a, b, q),
    isf=lambda q, a, b: 1 - betaincinv.bind(b, a, q),
)
t = Continuous(
    "t",
    "df",
    "Student's t distribution with ``df`` degrees of freedom.",
    "stats.t.logpdf(1.0, 3.0)",
    support=_LINE,
    valid=_positive,
    logpdf=lambda x, df: -0.5 * (df + 1) * log1p.bind(x * x / df) - betaln.bind(0.5 * df, 0.5) - 0.5 * log.bind(df),
    cdf=lambda x, df: stdtr.bind(df, x),
    sf=lambda x, df: stdtr.bind(df, -x),
    ppf=lambda q, df: stdtrit.bind(df, q),
    isf=lambda q, df: -stdtrit.bind(df, q),
)
cauchy = Continuous(
    "cauchy",
    "",
    "The Cauchy distribution.",
    "stats.cauchy.cdf(1.0)",
    support=_LINE,
    logpdf=lambda x: -log1p.bind(x * x) - math.log(math.pi),
    cdf=lambda x: arctan2.bind(1.0, -x) / math.pi,
    sf=lambda x: arctan2.bind(1.0, x) / math.pi,
    ppf=lambda q: tan.bind(math.pi * (q - 0.5)),
    isf=lambda q: tan.bind(math.pi * (0.5 - q)),
)


def _laplace_cdf(x: Any) -> Any:
    """Each half sees only its own side, so that the derivative at 0 is the density."""
    left = less.bind(x, 0)
    return select.bind(left, 0.5 * exp.bind(select.bind(left, x, 0.0)), 1 - 0.5 * exp.bind(-select.bind(left, 0.0, x)))


def _laplace_ppf(q: Any) -> Any:
    left = less.bind(q, 0.5)
    return select.bind(left, log.bind(2 * select.bind(left, q, 0.5)), -log.bind(2 * (1 - select.bind(left, 0.5, q))))


laplace = Continuous(
    "laplace",
    "",
    "The Laplace distribution.",
    "stats.laplace.logpdf(1.0, scale=2.0)",
    support=_LINE,
    logpdf=lambda x: -absolute.bind(x) - math.log(2),
    cdf=_laplace_cdf,
    sf=lambda x: _laplace_cdf(-x),
    ppf=_laplace_ppf,
    isf=lambda q: -_laplace_ppf(q),
)
logistic = Continuous(
    "logistic",
    "",
    "The logistic distribution.",
    "stats.logistic.cdf(1.0)",
    support=_LINE,
    logpdf=lambda x: log_expit.bind(x) + log_expit.bind(-x),
    cdf=expit.bind,
    sf=lambda x: expit.bind(-x),
    logcdf=log_expit.bind,
    logsf=lambda x: log_expit.bind(-x),
    ppf=logit.bind,
    isf=lambda q: -logit.bind(q),
)
gumbel_r = Continuous(
    "gumbel_r",
    "",
    "The Gumbel distribution of largest values.",
    "stats.gumbel_r.cdf(1.0)",
    support=_LINE,
    logpdf=lambda x: -x - exp.bind(-x),
    cdf=lambda x: exp.bind(-exp.bind(-x)),
    sf=lambda x: -expm1.bind(-exp.bind(-x)),
    logcdf=lambda x: -exp.bind(-x),
    ppf=lambda q: -log.bind(-log.bind(q)),
    isf=lambda q: -log.bind(-log1p.bind(-q)),
)
lognorm = Continuous(
    "lognorm",
    "s",
    "The distribution of numbers whose logarithm is normal with mean ``log(scale)`` and standard deviation ``s``.",
    "stats.lognorm.cdf(1.0, 0.5)",
    support=_HALF_LINE,
    valid=_positive,
    logpdf=lambda x, s: -0.5 * (log.bind(x) / s) ** 2 - _LOG_ROOT_2PI - log.bind(s) - log.bind(x),
    cdf=lambda x, s: ndtr.bind(log.bind(x) / s),
    sf=lambda x, s: ndtr.bind(-log.bind(x) / s),
    logcdf=lambda x, s: log_ndtr.bind(log.bind(x) / s),
    logsf=lambda x, s: log_ndtr.bind(-log.bind(x) / s),
    ppf=lambda q, s: exp.bind(s * ndtri.bind(q)),
    isf=lambda q, s: exp.bind(-s * ndtri.bind(q)),
)
pareto = Continuous(
    "pareto",
    "b",
    "The Pareto distribution: density ``b / x**(b + 1)`` for x >= 1.",
    "stats.pareto.pdf(2.0, 3.0)",
    support=(1.0, math.inf),
    valid=_positive,
    logpdf=lambda x, b: log.bind(b) - (b + 1) * log.bind(x),
    cdf=lambda x, b: -expm1.bind(-b * log.bind(x)),
    sf=lambda x, b: exp.bind(-b * log.bind(x)),
    logsf=lambda x, b: -b * log.bind(x),
    ppf=lambda q, b: exp.bind(-log1p.bind(-q) / b),
    isf=lambda q, b: exp.bind(-log.bind(q) / b),
)
weibull_min = Continuous(
    "weibull_min",
    "c",
    "The Weibull distribution of smallest values: ``1 - exp(-x**c)``.",
    "stats.weibull_min.cdf(2.0, 1.5)",
    support=_HALF_LINE,
    valid=_positive,
    logpdf=lambda x, c: log.bind(c) + xlogy.bind(c - 1, x) - power.bind(x, c),
    cdf=lambda x, c: -expm1.bind(-power.bind(x, c)),
    sf=lambda x, c: exp.bind(-power.bind(x, c)),
    logsf=lambda x, c: -power.bind(x, c),
    ppf=lambda q, c: power.bind(-log1p.bind(-q), 1 / c),
    isf=lambda q, c: power.bind(-log.bind(q), 1 / c),
)

# --- distributions of whole numbers ----------------------------------------------------------------------------------------------------


def _probability(p: Any) -> Any:
    return inside(p, 0, 1)


def _counted(n: Any, p: Any) -> Any:
    """Whether n is a number of trials and p a probability."""
    whole = logical_and.bind(greater_equal.bind(n, 0), equal.bind(floor.bind(n), n))
    return logical_and.bind(whole, inside(p, 0, 1))


def _above(low: float) -> Callable[..., Any]:
    return lambda *shapes: (low, math.inf)


poisson = Discrete(
    "poisson",
    "mu",
    "The Poisson distribution with mean ``mu``.",
    "stats.poisson.logpmf(3, 2.5)",
    support=_above(0.0),
    valid=lambda mu: greater_equal.bind(mu, 0),
    logpmf=lambda k, mu: xlogy.bind(k, mu) - mu - lgamma.bind(k + 1),
    cdf=lambda k, mu: gammaincc.bind(k + 1, mu),
    sf=lambda k, mu: gammainc.bind(k + 1, mu),
)
bernoulli = Discrete(
    "bernoulli",
    "p",
    "1 with probability ``p``, else 0.",
    "stats.bernoulli.logpmf(1, 0.3)",
    support=lambda p: (0.0, 1.0),
    valid=_probability,
    logpmf=lambda k, p: xlogy.bind(k, p) + xlog1py.bind(1 - k, -p),
    cdf=lambda k, p: 1 - p + 0 * k,
    sf=lambda k, p: p + 0 * k,
)
binom = Discrete(
    "binom",
    "n, p",
    "The number of successes in ``n`` trials, each with probability ``p``.",
    "stats.binom.logpmf(3, 10, 0.3)",
    support=lambda n, p: (0.0, n),
    valid=_counted,
    logpmf=lambda k, n, p: xlogy.bind(k, p) + xlog1py.bind(n - k, -p) - betaln.bind(k + 1, n - k + 1) - log1p.bind(n),
    cdf=lambda k, n, p: betainc.bind(n - k, k + 1, 1 - p),
    sf=lambda k, n, p: betainc.bind(k + 1, n - k, p),
)
geom = Discrete(
    "geom",
    "p",
    "The number of trials up to the first success, each with probability ``p``.",
    "stats.geom.pmf(3, 0.3)",
    support=_above(1.0),
    valid=lambda p: logical_and.bind(greater.bind(p, 0), less_equal.bind(p, 1)),
    logpmf=lambda k, p: xlog1py.bind(k - 1, -p) + log.bind(p),
    cdf=lambda k, p: -expm1.bind(k * log1p.bind(-p)),
    sf=lambda k, p: exp.bind(k * log1p.bind(-p)),
)
nbinom = Discrete(
    "nbinom",
    "n, p",
    "The number of failures before the ``n``-th success, each trial with probability ``p``.",
    "stats.nbinom.pmf(3, 2.0, 0.3)",
    support=_above(0.0),
    valid=lambda n, p: logical_and.bind(
        greater.bind(n, 0), logical_and.bind(greater.bind(p, 0), less_equal.bind(p, 1))
    ),
    logpmf=lambda k, n, p: (
        lgamma.bind(k + n) - lgamma.bind(k + 1) - lgamma.bind(n) + n * log.bind(p) + xlog1py.bind(k, -p)
    ),
    cdf=lambda k, n, p: betainc.bind(n, k + 1, p),
    sf=lambda k, n, p: betainc.bind(k + 1, n, 1 - p),
)


# --- distributions of vectors ----------------------------------------------------------------------------------------------------------------


def _vectors(function: str, *values: Any) -> list[Any]:
    found = [float_operand(v, f"fad.scipy.stats.{function}") for v in values]
    dtype = result_dtype(*[weak_operand(f) for f in found])
    return [convert(f, dtype) for f in found]


class MultivariateNormal:
    """The normal distribution of vectors.

    Examples
    --------
    >>> from fad.scipy import stats
    >>> stats.multivariate_normal.logpdf([1.0, 0.0], mean=[0.0, 0.0], cov=[[2.0, 0.5], [0.5, 1.0]])
    Array(-2.40339925)
    """

    def __repr__(self) -> str:
        return "<fad.scipy.stats.multivariate_normal>"

    def logpdf(self, x: Any, mean: Any = 0.0, cov: Any = 1.0) -> Array:
        """The logarithm of the density.

        Parameters
        ----------
        x : array_like
            Shape (..., n).
        mean : array_like
            Shape (n,), or a scalar for all components.
        cov : array_like
            Shape (n, n), symmetric positive definite; a scalar stands for that variance in all directions.

        Returns
        -------
        Array
            Shape (...).

        Raises
        ------
        ShapeError
            If the shapes do not fit.
        """
        point, center, spread = _vectors("multivariate_normal.logpdf", x, mean, cov)
        size = (shape_of(point)[-1:] or shape_of(center)[-1:] or (1,))[0]
        if len(shape_of(center)) > 1 or shape_of(spread) not in ((), (size, size)):
            raise ShapeError(
                f"fad.scipy.stats.multivariate_normal: vectors of {size} components need mean of shape ({size},) and cov of shape "
                f"({size}, {size}), got {shape_of(center)} and {shape_of(spread)}"
            )
        away = point - center
        lead = shape_of(away)[:-1]
        if not shape_of(spread):
            scaled = reduce_sum(away * away, (len(lead),)) if shape_of(away) else away * away
            return wrap(-0.5 * scaled / spread - size * (_LOG_ROOT_2PI + 0.5 * log.bind(spread)))
        factor = cholesky(spread)
        columns = reshape(away, (math.prod(lead), size))
        white = solve_triangular_matrices(factor, columns.T, lower=True)
        total = reshape(reduce_sum(white * white, (0,)), lead)
        return wrap(-0.5 * total - size * _LOG_ROOT_2PI - reduce_sum(log.bind(diagonal(factor)), (0,)))

    def pdf(self, x: Any, mean: Any = 0.0, cov: Any = 1.0) -> Array:
        """The density; see :meth:`logpdf`."""
        return wrap(exp.bind(float_operand(self.logpdf(x, mean, cov), "multivariate_normal")))


class Dirichlet:
    """The Dirichlet distribution of vectors of positive numbers that sum to 1.

    Examples
    --------
    >>> from fad.scipy import stats
    >>> stats.dirichlet.logpdf([0.2, 0.3, 0.5], [1.0, 2.0, 3.0])
    Array(1.5040774)
    """

    def __repr__(self) -> str:
        return "<fad.scipy.stats.dirichlet>"

    def logpdf(self, x: Any, alpha: Any) -> Array:
        """The logarithm of the density.

        Parameters
        ----------
        x : array_like
            Shape (n,) or (n, m): the components along the first axis, as in SciPy.
        alpha : array_like
            Shape (n,), positive.

        Returns
        -------
        Array
            Shape () or (m,); -inf where a component is negative. Whether they sum to 1 is not checked.

        Raises
        ------
        ShapeError
            If the shapes do not fit.
        """
        point, concentration = _vectors("dirichlet.logpdf", x, alpha)
        shape, size = shape_of(point), shape_of(concentration)
        if len(size) != 1 or shape[:1] != size:
            raise ShapeError(
                f"fad.scipy.stats.dirichlet needs x of shape (n,) or (n, m) and alpha of shape (n,), got {shape} and {size}"
            )
        concentration = broadcast_to(reshape(concentration, (*size, *[1] * (len(shape) - 1))), shape)
        positive = greater_equal.bind(point, 0)
        terms = xlogy.bind(concentration - 1, select.bind(positive, point, 1.0)) - lgamma.bind(concentration)
        value = reduce_sum(terms, (0,)) + lgamma.bind(reduce_sum(concentration, (0,)))
        return wrap(select.bind(reduce_all(positive, (0,)), value, -math.inf))

    def pdf(self, x: Any, alpha: Any) -> Array:
        """The density; see :meth:`logpdf`."""
        return wrap(exp.bind(float_operand(self.logpdf(x, alpha), "dirichlet")))


multivariate_normal = MultivariateNormal()
dirichlet = Dirichlet()
