"""Random numbers from explicit keys.

A key is a value: the same key gives the same numbers, everywhere and in any order, under ``vmap`` and ``jit`` too. Make one with
``key(seed)``, derive others with ``split`` and ``fold_in``, and use each key once.

Examples
--------
>>> import fad
>>> first, second = fad.random.split(fad.random.key(0))
>>> weights = fad.random.normal(first, (3, 2))
>>> noise = fad.random.uniform(second, (3,))
"""

from typing import NoReturn as _NoReturn

from fad.core.other_names import missing as _missing
from fad.random.counts import binomial, multinomial, poisson
from fad.random.discrete import bernoulli, categorical, geometric, rademacher, randint
from fad.random.gamma_family import (
    ball,
    beta,
    chisquare,
    dirichlet,
    f,
    gamma,
    generalized_normal,
    loggamma,
    student_t,
    t,
)
from fad.random.keys import bits, fold_in, key, split
from fad.random.orderings import choice, permutation
from fad.random.real_line import (
    cauchy,
    exponential,
    gumbel,
    laplace,
    logistic,
    lognormal,
    maxwell,
    normal,
    pareto,
    rayleigh,
    triangular,
    truncated_normal,
    uniform,
    wald,
    weibull_min,
)
from fad.random.vectors import multivariate_normal, orthogonal

__all__ = [
    "ball",
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "dirichlet",
    "exponential",
    "f",
    "fold_in",
    "gamma",
    "generalized_normal",
    "geometric",
    "gumbel",
    "key",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "maxwell",
    "multinomial",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "split",
    "student_t",
    "t",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
]


def __getattr__(name: str) -> _NoReturn:
    raise _missing("fad.random", name)
