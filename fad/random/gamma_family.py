"""The gamma distribution and what is made from it. Samples are differentiable in their parameters by implicit reparameterisation.

M. Figurnov, S. Mohamed, A. Mnih, "Implicit reparameterization gradients" (2018): a sample moves so that its quantile stays. Values are not those of
other libraries.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import shape_of
from fad.core.errors import ShapeError
from fad.core.trace import CURRENT, EVAL
from fad.numpy.conversion import operand, shape_tuple
from fad.primitives.arithmetic import absolute, greater, less, logical_and, logical_not, maximum, select
from fad.primitives.incomplete import gamma_log_slope, gamma_moment_by_quadrature
from fad.primitives.math_functions import exp, log, log1p, power, sqrt
from fad.primitives.reduction import reduce_max
from fad.primitives.structural import full, reduce_sum, reshape
from fad.random.arguments import float_dtype, parameters, require
from fad.random.elementary import standard_exponential, standard_normal, unit_uniform
from fad.random.keys import Words, key_words, split_words
from fad.random.rejection import until_accepted
from fad.transforms.custom_rules import custom_jvp

__all__ = [
    "ball",
    "beta",
    "chisquare",
    "dirichlet",
    "f",
    "gamma",
    "generalized_normal",
    "loggamma",
    "student_t",
    "t",
]


@custom_jvp
def _log_gamma(first: Any, second: Any, a: Any) -> Any:
    """The logarithm of gamma numbers; ``a`` has their shape.

    G. Marsaglia, W. Tsang, "A simple method for generating gamma variables" (2000). Where a < 1, a number for a + 1 is multiplied by the
    a-th root of a uniform one.
    """
    concentration = operand(a)
    shape, dtype = shape_of(concentration), concentration.dtype
    boost_words, words = split_words((operand(first), operand(second)))
    possible = logical_and.bind(greater.bind(concentration, 0), less.bind(concentration, math.inf))
    safe = select.bind(possible, concentration, 1.0)
    small = less.bind(safe, 1)
    d = select.bind(small, safe + 1, safe) - dtype.type(1 / 3)
    c = 1 / sqrt.bind(9 * d)

    def propose(keys: list[Words]) -> tuple[Any, Any]:
        x = standard_normal(keys[0], shape, dtype)
        base = 1 + c * x
        positive = greater.bind(base, 0)
        base = select.bind(positive, base, 1.0)
        v = base * base * base
        level = log1p.bind(-unit_uniform(keys[1], shape, dtype))
        good = less.bind(level, 0.5 * x * x + d * (1 - v + 3 * log.bind(base)))
        return v, logical_and.bind(positive, good)

    v = until_accepted(words, propose, 2, full(shape, 1, dtype), logical_not.bind(possible))
    boost = select.bind(small, standard_exponential(boost_words, shape, dtype) / safe, 0.0)
    return wrap(select.bind(possible, log.bind(d) + log.bind(v) - boost, math.nan))


@_log_gamma.defjvp
def _log_gamma_jvp(primals: Any, tangents: Any) -> Any:
    first, second, a = primals
    out = _log_gamma(first, second, a)
    # Compiled code sums up the integrals itself; NumPy does it faster in one operation, for only as many points as the numbers ask for.
    moment = None if CURRENT.get().base is EVAL else _moment
    return out, tangents[2] * wrap(gamma_log_slope(operand(a), operand(out), moment=moment))


def _moment(a: Any, x: Any, power: int, excess: int) -> Any:
    return operand(_moment_of(power, excess)(wrap(a), wrap(x)))


@cache
def _moment_of(power: int, excess: int) -> Any:
    """A moment as a function of operations that run natively. Such moments are each other's derivatives."""

    @custom_jvp
    def moment(a: Any, x: Any) -> Any:
        return wrap(gamma_moment_by_quadrature(operand(a), operand(x), power, excess))

    @moment.defjvp
    def moment_jvp(primals: Any, tangents: Any) -> Any:
        by_a, by_x = _moment_of(power + 1, excess), _moment_of(power, excess + 1)
        return moment(*primals), tangents[0] * by_a(*primals) - tangents[1] * by_x(*primals)

    return moment


def standard_log_gamma(words: Words, a: Any) -> Any:
    """The logarithm of gamma numbers as an operand; ``a`` is an operand of their shape and dtype."""
    return operand(_log_gamma(*map(wrap, words), wrap(a)))


def gamma(key: Array, a: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Gamma numbers with scale 1: density ``x**(a - 1) exp(-x) / gamma(a)`` for x > 0.

    Parameters
    ----------
    key : Array
        A key.
    a : array_like
        The concentration, positive; the numbers are differentiable in it, to any order.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``a``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array
        Numbers for tiny ``a`` may underflow to 0; :func:`loggamma` gives their logarithm.

    Raises
    ------
    ArgumentError
        If ``a`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> key = fad.random.key(0)
    >>> fad.random.gamma(key, [1.0, 2.5], (4, 2)).shape
    (4, 2)
    >>> slope = fad.grad(lambda a: fad.random.gamma(key, a))(2.5)
    """
    words = key_words(key, "gamma")
    _, concentration = parameters("gamma", shape, float_dtype("gamma", dtype), a)
    require("gamma", "a > 0", concentration, 0)
    return wrap(exp.bind(standard_log_gamma(words, concentration)))


def loggamma(key: Array, a: Any, shape: Any = None, dtype: Any = float) -> Array:
    """The logarithm of gamma numbers, which does not underflow for small concentrations.

    Parameters
    ----------
    key : Array
        A key.
    a : array_like
        The concentration, positive; the numbers are differentiable in it.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``a``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If ``a`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> fad.random.loggamma(fad.random.key(0), 1e-3, (3,)).shape
    (3,)
    """
    words = key_words(key, "loggamma")
    _, concentration = parameters("loggamma", shape, float_dtype("loggamma", dtype), a)
    require("loggamma", "a > 0", concentration, 0)
    return wrap(standard_log_gamma(words, concentration))


def beta(key: Array, a: Any, b: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Beta numbers: density proportional to ``x**(a - 1) (1 - x)**(b - 1)`` in (0, 1).

    Parameters
    ----------
    key : Array
        A key.
    a, b : array_like
        Positive; the numbers are differentiable in both.
    shape : int or tuple of int, optional
        The shape of the result; by default that of the parameters.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If a parameter is known and not positive.

    Examples
    --------
    >>> import fad
    >>> fad.random.beta(fad.random.key(0), 0.5, 2.0, (3,)).shape
    (3,)
    """
    words = key_words(key, "beta")
    _, first, second = parameters("beta", shape, float_dtype("beta", dtype), a, b)
    require("beta", "a > 0", first, 0)
    require("beta", "b > 0", second, 0)
    x, y = (standard_log_gamma(w, c) for w, c in zip(split_words(words), (first, second), strict=True))
    larger = maximum.bind(x, y)
    x, y = exp.bind(x - larger), exp.bind(y - larger)
    return wrap(x / (x + y))


def dirichlet(key: Array, alpha: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Dirichlet vectors: positive numbers that sum to 1, density proportional to ``prod(x**(alpha - 1))``.

    Parameters
    ----------
    key : Array
        A key.
    alpha : array_like
        Positive concentrations along the last axis; the vectors are differentiable in them.
    shape : int or tuple of int, optional
        The shape of the result without its last axis; by default that of ``alpha`` without its last axis.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array
        Shape ``(*shape, alpha.shape[-1])``.

    Raises
    ------
    ShapeError
        If ``alpha`` is a scalar.
    ArgumentError
        If a concentration is known and not positive.

    Examples
    --------
    >>> import fad
    >>> x = fad.random.dirichlet(fad.random.key(0), [1.0, 2.0, 3.0], (5,))
    >>> x.shape, bool(abs(x.sum(axis=-1) - 1).max() < 1e-12)
    ((5, 3), True)
    """
    words = key_words(key, "dirichlet")
    concentration = operand(alpha, "fad.random.dirichlet")
    if not shape_of(concentration):
        raise ShapeError("fad.random.dirichlet: alpha needs an axis of concentrations, got a scalar")
    wanted = None if shape is None else (*shape_tuple(shape, "fad.random.dirichlet"), shape_of(concentration)[-1])
    wanted, concentration = parameters("dirichlet", wanted, float_dtype("dirichlet", dtype), concentration)
    require("dirichlet", "alpha > 0", concentration, 0)
    logs = standard_log_gamma(words, concentration)
    last = (len(wanted) - 1,)
    shares = exp.bind(logs - reshape(reduce_max(logs, last), (*wanted[:-1], 1)))
    return wrap(shares / reshape(reduce_sum(shares, last), (*wanted[:-1], 1)))


def chisquare(key: Array, df: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Chi-square numbers: sums of ``df`` squares of standard normal numbers.

    Parameters
    ----------
    key : Array
        A key.
    df : array_like
        Degrees of freedom, positive; the numbers are differentiable in them.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``df``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If ``df`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> fad.random.chisquare(fad.random.key(0), 3.0, (4,)).shape
    (4,)
    """
    words = key_words(key, "chisquare")
    _, degrees = parameters("chisquare", shape, float_dtype("chisquare", dtype), df)
    require("chisquare", "df > 0", degrees, 0)
    return wrap(2 * exp.bind(standard_log_gamma(words, degrees / 2)))


def student_t(key: Array, df: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Student's t numbers with ``df`` degrees of freedom.

    Parameters
    ----------
    key : Array
        A key.
    df : array_like
        Degrees of freedom, positive; the numbers are differentiable in them.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``df``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If ``df`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> fad.random.student_t(fad.random.key(0), 3.0, (4,)).shape
    (4,)
    """
    words = key_words(key, "student_t")
    found = float_dtype("student_t", dtype)
    wanted, degrees = parameters("student_t", shape, found, df)
    require("student_t", "df > 0", degrees, 0)
    for_normal, for_gamma = split_words(words)
    half = degrees / 2
    spread = exp.bind(0.5 * (log.bind(half) - standard_log_gamma(for_gamma, half)))
    return wrap(standard_normal(for_normal, wanted, found) * spread)


t = student_t


def f(key: Array, dfnum: Any, dfden: Any, shape: Any = None, dtype: Any = float) -> Array:
    """F numbers: the ratio of two mean squares with ``dfnum`` and ``dfden`` degrees of freedom.

    Parameters
    ----------
    key : Array
        A key.
    dfnum, dfden : array_like
        Degrees of freedom, positive; the numbers are differentiable in them.
    shape : int or tuple of int, optional
        The shape of the result; by default that of the parameters.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If a parameter is known and not positive.

    Examples
    --------
    >>> import fad
    >>> fad.random.f(fad.random.key(0), 3.0, 5.0, (4,)).shape
    (4,)
    """
    words = key_words(key, "f")
    _, upper, lower = parameters("f", shape, float_dtype("f", dtype), dfnum, dfden)
    require("f", "dfnum > 0", upper, 0)
    require("f", "dfden > 0", lower, 0)
    first, second = split_words(words)
    logs = standard_log_gamma(first, upper / 2) - standard_log_gamma(second, lower / 2)
    return wrap(exp.bind(logs) * lower / upper)


def generalized_normal(key: Array, p: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Generalised normal numbers: density proportional to ``exp(-|x|**p)``.

    Parameters
    ----------
    key : Array
        A key.
    p : array_like
        The exponent, positive; the numbers are differentiable in it.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``p``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If ``p`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> fad.random.generalized_normal(fad.random.key(0), 1.5, (4,)).shape
    (4,)
    """
    words = key_words(key, "generalized_normal")
    wanted, exponent = parameters("generalized_normal", shape, float_dtype("generalized_normal", dtype), p)
    require("generalized_normal", "p > 0", exponent, 0)
    return wrap(_generalized_normal(words, wanted, exponent))


def _generalized_normal(words: Words, shape: tuple[int, ...], exponent: Any) -> Any:
    for_size, for_sign = split_words(words)
    size = exp.bind(standard_log_gamma(for_size, 1 / exponent) / exponent)
    heads = less.bind(unit_uniform(for_sign, shape, np.dtype(np.float64)), 0.5)
    return select.bind(heads, size, -size)


def ball(key: Array, d: int, p: Any = 2.0, shape: Any = (), dtype: Any = float) -> Array:
    """Points uniformly distributed in the unit ball of the p-norm in ``d`` dimensions.

    F. Barthe, O. Guedon, S. Mendelson, A. Naor, "A probabilistic approach to the geometry of the l_p^n-ball" (2005).

    Parameters
    ----------
    key : Array
        A key.
    d : int
        The dimension.
    p : float
        The norm's exponent, positive.
    shape : int or tuple of int
        The shape of the array of points.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array
        Shape ``(*shape, d)``.

    Raises
    ------
    ArgumentError
        If ``p`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> x = fad.random.ball(fad.random.key(0), 3, shape=(100,))
    >>> x.shape, bool(((x**2).sum(axis=-1) < 1).all())
    ((100, 3), True)
    """
    words = key_words(key, "ball")
    found = float_dtype("ball", dtype)
    points = (*shape_tuple(shape, "fad.random.ball"), *shape_tuple((d,), "fad.random.ball"))
    wanted, exponent = parameters("ball", points, found, p)
    require("ball", "p > 0", exponent, 0)
    for_direction, for_radius = split_words(words)
    direction = _generalized_normal(for_direction, wanted, exponent)
    radius = standard_exponential(for_radius, wanted[:-1], found)
    total = reduce_sum(power.bind(absolute.bind(direction), exponent), (len(wanted) - 1,)) + radius
    return wrap(direction / power.bind(reshape(total, (*wanted[:-1], 1)), 1 / exponent))
