"""Distributions of real numbers made from one uniform or normal number each: they are differentiable in their parameters.

Where a distribution is the inverse of its distribution function, the formula is that function's; values agree with JAX's up to rounding.
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import canonical_dtype, is_complex, real_dtype
from fad.core.errors import ArgumentError
from fad.core.trace import concrete_value
from fad.numpy.conversion import shape_tuple
from fad.primitives.arithmetic import (
    absolute,
    less,
    less_equal,
    maximum,
    minimum,
    nextafter,
    select,
    sign,
    stop_gradient,
)
from fad.primitives.math_functions import exp, log, log1p, power, sqrt, tan
from fad.primitives.special import erf, erfinv
from fad.primitives.structural import convert, reduce_sum
from fad.random.arguments import float_dtype, parameters, require
from fad.random.elementary import between, standard_exponential, standard_gumbel, standard_normal, unit_uniform
from fad.random.keys import Words, key_words, split_words

__all__ = [
    "cauchy",
    "exponential",
    "gumbel",
    "laplace",
    "logistic",
    "lognormal",
    "maxwell",
    "normal",
    "pareto",
    "rayleigh",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
]


def _sampler(function: str, key: Any, shape: Any, dtype: Any) -> tuple[Words, tuple[int, ...], np.dtype]:
    """The arguments of a sampler without parameters."""
    words = key_words(key, function)
    return words, shape_tuple(shape, f"fad.random.{function}"), float_dtype(function, dtype)


def uniform(key: Array, shape: Any = (), dtype: Any = float, minval: Any = 0.0, maxval: Any = 1.0) -> Array:
    """Uniform numbers in [minval, maxval).

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        A real floating dtype; float64 by default.
    minval, maxval : array_like
        The bounds, which broadcast to ``shape``; the numbers are differentiable in them.

    Returns
    -------
    Array
        Multiples of the machine epsilon, scaled; rounding may give ``maxval`` itself where the bounds are not 0 and 1.

    Raises
    ------
    ShapeError
        If the bounds do not broadcast to ``shape``.
    ArgumentError
        If a lower bound is above its upper bound, as far as their values are known.

    Examples
    --------
    >>> import fad
    >>> fad.random.uniform(fad.random.key(42), (2,))
    Array([0.42672757, 0.01501007])
    """
    words = key_words(key, "uniform")
    found = float_dtype("uniform", dtype)
    if type(minval) in (int, float) and type(maxval) in (int, float):
        wanted = shape_tuple(shape, "fad.random.uniform")
        _check_bounds(minval, maxval)
        if minval == 0 and maxval == 1:
            return wrap(unit_uniform(words, wanted, found))
        return wrap(between(words, wanted, found, found.type(minval), found.type(maxval)))
    wanted, low, high = parameters("uniform", shape, found, minval, maxval)
    _check_bounds(concrete_value(low), concrete_value(high))
    return wrap(between(words, wanted, found, low, high))


def _check_bounds(low: Any, high: Any) -> None:
    if low is None or high is None:
        return
    wrong = np.greater(low, high)
    if wrong.any():
        pair = [np.broadcast_to(bound, wrong.shape)[wrong][0] for bound in (low, high)]
        raise ArgumentError(f"fad.random.uniform needs minval <= maxval, got {pair[0]} and {pair[1]}")


def normal(key: Array, shape: Any = (), dtype: Any = float) -> Array:
    """Normal numbers with mean 0 and variance 1.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        A floating dtype; of complex numbers each part has variance 1/2.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.normal(fad.random.key(42), (2,))
    Array([-0.18471175, -2.16982456])
    """
    words = key_words(key, "normal")
    wanted = shape_tuple(shape, "fad.random.normal")
    found = canonical_dtype(dtype)
    if not is_complex(found):
        return wrap(standard_normal(words, wanted, float_dtype("normal", found)))
    parts = [standard_normal(w, wanted, real_dtype(found)) for w in split_words(words)]
    return wrap((convert(parts[0], found) + found.type(1j) * convert(parts[1], found)) / found.type(math.sqrt(2)))


def exponential(key: Array, shape: Any = (), dtype: Any = float) -> Array:
    """Exponential numbers with rate 1: density ``exp(-x)`` for x >= 0.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> bool((fad.random.exponential(fad.random.key(0), (100,)) >= 0).all())
    True
    """
    return wrap(standard_exponential(*_sampler("exponential", key, shape, dtype)))


def gumbel(key: Array, shape: Any = (), dtype: Any = float) -> Array:
    """Standard Gumbel numbers: distribution function ``exp(-exp(-x))``.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.gumbel(fad.random.key(0), (2, 3)).shape
    (2, 3)
    """
    return wrap(standard_gumbel(*_sampler("gumbel", key, shape, dtype)))


def laplace(key: Array, shape: Any = (), dtype: Any = float) -> Array:
    """Laplace numbers: density ``exp(-|x|) / 2``.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.laplace(fad.random.key(0), (2, 3)).shape
    (2, 3)
    """
    words, wanted, found = _sampler("laplace", key, shape, dtype)
    low = found.type(-1 + float(ml_dtypes.finfo(found).epsneg))
    u = between(words, wanted, found, low, found.type(1))
    return wrap(sign.bind(u) * log1p.bind(-absolute.bind(u)))


def logistic(key: Array, shape: Any = (), dtype: Any = float) -> Array:
    """Standard logistic numbers: distribution function ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.logistic(fad.random.key(0), (2, 3)).shape
    (2, 3)
    """
    words, wanted, found = _sampler("logistic", key, shape, dtype)
    tiny = found.type(ml_dtypes.finfo(found).smallest_normal)
    u = between(words, wanted, found, tiny, found.type(1))
    return wrap(log.bind(u) - log1p.bind(-u))


def cauchy(key: Array, shape: Any = (), dtype: Any = float) -> Array:
    """Standard Cauchy numbers: density ``1 / (pi (1 + x**2))``.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.cauchy(fad.random.key(0), (2, 3)).shape
    (2, 3)
    """
    words, wanted, found = _sampler("cauchy", key, shape, dtype)
    u = between(words, wanted, found, found.type(ml_dtypes.finfo(found).eps), found.type(1))
    return wrap(tan.bind(found.type(math.pi) * (u - found.type(0.5))))


def truncated_normal(key: Array, lower: Any, upper: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Standard normal numbers, given that they lie in (lower, upper).

    Parameters
    ----------
    key : Array
        A key.
    lower, upper : array_like
        The bounds, ``lower < upper``; the numbers are differentiable in them.
    shape : int or tuple of int, optional
        The shape of the result; by default that of the bounds.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Notes
    -----
    The method is the inverse of the distribution function, which has no digits left for bounds more than 8 beyond the mean (5 in float32).

    Examples
    --------
    >>> import fad
    >>> x = fad.random.truncated_normal(fad.random.key(0), -1.0, 2.0, (100,))
    >>> bool((x > -1).all() and (x < 2).all())
    True
    """
    words = key_words(key, "truncated_normal")
    found = float_dtype("truncated_normal", dtype)
    wanted, low, high = parameters("truncated_normal", shape, found, lower, upper)
    require("truncated_normal", "lower < upper", stop_gradient.bind(high) - stop_gradient.bind(low), 0)
    root = found.type(math.sqrt(2))
    u = between(words, wanted, found, erf.bind(low / root), erf.bind(high / root))
    endless = found.type(math.inf)
    least = nextafter.bind(stop_gradient.bind(low), endless)
    most = nextafter.bind(stop_gradient.bind(high), -endless)
    return wrap(minimum.bind(maximum.bind(root * erfinv.bind(u), least), most))


def lognormal(key: Array, sigma: Any = 1.0, shape: Any = None, dtype: Any = float) -> Array:
    """Numbers whose logarithm is normal with mean 0 and standard deviation ``sigma``.

    Parameters
    ----------
    key : Array
        A key.
    sigma : array_like
        Standard deviation of the logarithm; the numbers are differentiable in it.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``sigma``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.lognormal(fad.random.key(0), 0.5, (3,)).shape
    (3,)
    """
    words = key_words(key, "lognormal")
    found = float_dtype("lognormal", dtype)
    wanted, spread = parameters("lognormal", shape, found, sigma)
    return wrap(exp.bind(standard_normal(words, wanted, found) * spread))


def pareto(key: Array, b: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Pareto numbers: density ``b / x**(b + 1)`` for x >= 1.

    Parameters
    ----------
    key : Array
        A key.
    b : array_like
        The exponent, positive; the numbers are differentiable in it.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``b``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If ``b`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> bool((fad.random.pareto(fad.random.key(0), 3.0, (100,)) >= 1).all())
    True
    """
    words = key_words(key, "pareto")
    found = float_dtype("pareto", dtype)
    wanted, exponent = parameters("pareto", shape, found, b)
    require("pareto", "b > 0", exponent, 0)
    return wrap(exp.bind(standard_exponential(words, wanted, found) / exponent))


def weibull_min(key: Array, scale: Any, concentration: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Weibull numbers: distribution function ``1 - exp(-(x / scale)**concentration)``.

    Parameters
    ----------
    key : Array
        A key.
    scale, concentration : array_like
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
    >>> fad.random.weibull_min(fad.random.key(0), 2.0, 1.5, (3,)).shape
    (3,)
    """
    words = key_words(key, "weibull_min")
    found = float_dtype("weibull_min", dtype)
    wanted, width, exponent = parameters("weibull_min", shape, found, scale, concentration)
    require("weibull_min", "scale > 0", width, 0)
    require("weibull_min", "concentration > 0", exponent, 0)
    return wrap(power.bind(standard_exponential(words, wanted, found), 1 / exponent) * width)


def rayleigh(key: Array, scale: Any = 1.0, shape: Any = None, dtype: Any = float) -> Array:
    """Rayleigh numbers: the length of a vector of two normal numbers with standard deviation ``scale``.

    Parameters
    ----------
    key : Array
        A key.
    scale : array_like
        Positive; the numbers are differentiable in it.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``scale``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If ``scale`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> fad.random.rayleigh(fad.random.key(0), 2.0, (3,)).shape
    (3,)
    """
    words = key_words(key, "rayleigh")
    found = float_dtype("rayleigh", dtype)
    wanted, spread = parameters("rayleigh", shape, found, scale)
    require("rayleigh", "scale > 0", spread, 0)
    return wrap(spread * sqrt.bind(found.type(2) * standard_exponential(words, wanted, found)))


def maxwell(key: Array, shape: Any = (), dtype: Any = float) -> Array:
    """Maxwell numbers: the length of a vector of three standard normal numbers.

    Parameters
    ----------
    key : Array
        A key.
    shape : int or tuple of int
        The shape of the result.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.maxwell(fad.random.key(0), (3,)).shape
    (3,)
    """
    words, wanted, found = _sampler("maxwell", key, shape, dtype)
    parts = standard_normal(words, (*wanted, 3), found)
    return wrap(sqrt.bind(reduce_sum(parts * parts, (len(wanted),))))


def triangular(key: Array, left: Any, mode: Any, right: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Numbers in [left, right] whose density rises linearly up to ``mode`` and falls linearly after it.

    Parameters
    ----------
    key : Array
        A key.
    left, mode, right : array_like
        ``left <= mode <= right`` and ``left < right``; the numbers are differentiable in them.
    shape : int or tuple of int, optional
        The shape of the result; by default that of the parameters.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad
    >>> fad.random.triangular(fad.random.key(0), 0.0, 0.2, 1.0, (3,)).shape
    (3,)
    """
    words = key_words(key, "triangular")
    found = float_dtype("triangular", dtype)
    wanted, low, peak, high = parameters("triangular", shape, found, left, mode, right)
    require("triangular", "left < right", stop_gradient.bind(high) - stop_gradient.bind(low), 0)
    u = unit_uniform(words, wanted, found)
    rising = low + sqrt.bind(u * (high - low) * (peak - low))
    falling = high - sqrt.bind((1 - u) * (high - low) * (high - peak))
    return wrap(select.bind(less.bind(u, (peak - low) / (high - low)), rising, falling))


def wald(key: Array, mean: Any, shape: Any = None, dtype: Any = float) -> Array:
    """Wald (inverse Gaussian) numbers with the given mean and scale 1.

    J. Michael, W. Schucany, R. Haas, "Generating random variates using transformations with multiple roots" (1976).

    Parameters
    ----------
    key : Array
        A key.
    mean : array_like
        Positive. The derivative in it is that of the chosen root, not the derivative of the distribution.
    shape : int or tuple of int, optional
        The shape of the result; by default that of ``mean``.
    dtype : dtype
        A real floating dtype.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If ``mean`` is known and not positive.

    Examples
    --------
    >>> import fad
    >>> fad.random.wald(fad.random.key(0), 2.0, (3,)).shape
    (3,)
    """
    words = key_words(key, "wald")
    found = float_dtype("wald", dtype)
    wanted, center = parameters("wald", shape, found, mean)
    require("wald", "mean > 0", center, 0)
    first, second = split_words(words)
    y = center * standard_normal(first, wanted, found) ** 2
    # the smaller root center * (1 + (y - sqrt(4 y + y**2)) / 2), without its cancellation
    small = center / (1 + (y + sqrt.bind(4 * y + y * y)) / 2)
    chosen = less_equal.bind(unit_uniform(second, wanted, found) * (center + small), center)
    return wrap(select.bind(chosen, small, center * center / small))
