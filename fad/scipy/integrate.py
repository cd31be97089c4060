"""``scipy.integrate`` on differentiable arrays: integrals of functions and of samples, and ordinary differential equations.

Derivatives are those of the computed value: of the quadrature at its final nodes, of the solution at its final steps. Which nodes and steps are taken does not
count as a function of the arguments.

Examples
--------
>>> import fad
>>> import fad.numpy as fnp
>>> from fad.scipy import integrate
>>> decay = lambda rate: integrate.odeint(lambda y, t: -rate * y, 1.0, [0.0, 2.0])[-1]
>>> bool(abs(fad.grad(decay)(0.5) + 2 * fnp.exp(-1.0)) < 1e-7)
True
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import fad.numpy as fnp
from fad.core.array import Array
from fad.core.errors import ArgumentError, ShapeError
from fad.core.trace import Tracer, concrete_value
from fad.numpy.calculus import trapezoid
from fad.numpy.conversion import axis_number, float_operand, wrap
from fad.scipy.differential_equations import odeint
from fad.transforms.custom_rules import stop_gradient
from fad.transforms.looping import while_loop
from fad.transforms.vectorization import vmap

__all__ = ["cumulative_trapezoid", "fixed_quad", "odeint", "quad", "simpson", "trapezoid"]

_rules: dict[int, tuple[np.ndarray, np.ndarray]] = {}
_FINE, _COARSE = 15, 10  # points of the rules whose difference estimates the error


def _gauss(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre on (0, 1)."""
    if n not in _rules:
        nodes, weights = np.polynomial.legendre.leggauss(n)
        _rules[n] = (0.5 * (nodes + 1), 0.5 * weights)
    return _rules[n]


def fixed_quad(func: Callable[..., Any], a: Any, b: Any, args: tuple[Any, ...] = (), n: int = 5) -> tuple[Array, None]:
    """An integral by one Gauss-Legendre rule, exact for polynomials of degree up to ``2 n - 1``.

    Parameters
    ----------
    func : callable
        ``func(x, *args)`` for an array x of shape (n,); the result's last axis is that of x.
    a, b : array_like
        The bounds, finite scalars; the integral is differentiable in them and in ``args``.
    args : tuple
        Further arguments of ``func``.
    n : int
        How many points.

    Returns
    -------
    value : Array
        The integral.
    none : None
        As in SciPy, where an error estimate would be.

    Examples
    --------
    >>> from fad.scipy import integrate
    >>> integrate.fixed_quad(lambda x: x**3, 0.0, 2.0)[0]
    Array(4.)
    """
    nodes, weights = _gauss(n)
    width = fnp.asarray(b) - a
    return fnp.sum(width * weights * func(a + width * nodes, *args), axis=-1), None


def _unit_interval(a: Any, b: Any) -> Callable[[Any], tuple[Any, Any]]:
    """The map of u in (0, 1) to the interval from a to b, which may be infinite, with its slope."""
    ends = [
        concrete_value(float_operand(v, "fad.scipy.integrate.quad")) if isinstance(v, Tracer) else v for v in (a, b)
    ]
    low, high = (0.0 if end is None else float(np.asarray(end)) for end in ends)
    if math.isinf(low) and math.isinf(high):
        sign = math.copysign(1, high) if low != high else 0.0

        def both(u: Any) -> tuple[Any, Any]:
            v = 2 * u - 1
            rest = (1 - v) * (1 + v)
            return sign * v / rest, sign * 2 * (1 + v * v) / (rest * rest)

        return both
    if math.isinf(high):
        return lambda u: (a + math.copysign(1, high) * u / (1 - u), math.copysign(1, high) / (1 - u) ** 2)
    if math.isinf(low):
        return lambda u: (b + math.copysign(1, low) * u / (1 - u), -math.copysign(1, low) / (1 - u) ** 2)
    return lambda u: (a + (b - a) * u, b - a)


def quad(
    func: Callable[..., Any],
    a: Any,
    b: Any,
    args: tuple[Any, ...] = (),
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
    limit: int = 50,
) -> tuple[Array, Array]:
    """An integral to a given accuracy, by bisection of the worst interval.

    Parameters
    ----------
    func : callable
        ``func(x, *args)`` for a scalar x, real.
    a, b : array_like
        The bounds, scalars; they may be infinite where they are known. The integral is differentiable in them, in ``args`` and in what ``func``
        closes over, in both modes and to any order.
    args : tuple
        Further arguments of ``func``.
    epsabs, epsrel : float
        The error allowed, absolute or relative to the integral, whichever is larger.
    limit : int
        How many intervals at most.

    Returns
    -------
    value : Array
        The integral.
    abserr : Array
        An estimate of its error; above the tolerance where ``limit`` did not suffice.

    Raises
    ------
    ShapeError
        If ``func`` does not give a scalar.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> from fad.scipy import integrate
    >>> area = lambda s: integrate.quad(lambda x: fnp.exp(-s * x * x), -fnp.inf, fnp.inf)[0]
    >>> area(1.0), fad.grad(area)(1.0)
    (Array(1.77245385), Array(-0.88622693))
    """
    if limit < 1:
        raise ArgumentError(f"fad.scipy.integrate.quad: limit must be at least 1, got {limit}")
    place = _unit_interval(a, b)

    def integrand(u: Any) -> Any:
        x, slope = place(u)
        value = fnp.asarray(func(x, *args))
        if value.shape:
            raise ShapeError(
                f"fad.scipy.integrate.quad: the function must give a scalar, got shape {value.shape}; use vmap for several integrals"
            )
        return value * slope

    left, right, used, error = _partition(vmap(integrand), epsabs, epsrel, limit)
    nodes, weights = _gauss(_FINE)
    width = right - left
    values = vmap(vmap(integrand))(left[:, None] + width[:, None] * nodes)
    return fnp.sum(values * (fnp.where(used, width, 0.0)[:, None] * weights)), error


def _partition(integrand: Callable[[Any], Any], epsabs: float, epsrel: float, limit: int) -> tuple[Any, ...]:
    """Intervals of (0, 1): left ends, right ends, which are in use, and the estimated error of the integral over all."""

    def estimate(left: Any, right: Any) -> tuple[Any, Any]:
        rules = [_gauss(n) for n in (_FINE, _COARSE)]
        values = stop_gradient(integrand(left + (right - left) * np.concatenate([nodes for nodes, _ in rules])))
        fine = (right - left) * fnp.sum(rules[0][1] * values[:_FINE])
        return fine, fnp.abs(fine - (right - left) * fnp.sum(rules[1][1] * values[_FINE:]))

    def unfinished(state: Any) -> Any:
        *_, values, errors, count = state
        return (fnp.sum(errors) > fnp.maximum(epsabs, epsrel * fnp.abs(fnp.sum(values)))) & (count < limit)

    def bisect(state: Any) -> Any:
        left, right, values, errors, count = state
        worst = fnp.argmax(errors)
        low, high = left[worst], right[worst]
        middle = 0.5 * (low + high)
        (v0, e0), (v1, e1) = estimate(low, middle), estimate(middle, high)
        return (
            left.at[count].set(middle),
            right.at[count].set(high).at[worst].set(middle),
            values.at[worst].set(v0).at[count].set(v1),
            errors.at[worst].set(e0).at[count].set(e1),
            count + 1,
        )

    value, error = estimate(0.0, 1.0)
    first = np.arange(limit) == 0
    start = (fnp.zeros(limit), fnp.ones(limit), fnp.where(first, value, 0.0), fnp.where(first, error, 0.0), 1)
    left, right, _, errors, count = stop_gradient(while_loop(unfinished, bisect, start))
    return left, right, np.arange(limit) < count, fnp.sum(errors)


def _samples(function: str, y: Any, x: Any, dx: Any, axis: int) -> tuple[Any, Any]:
    """Samples with their axis last, and the distances between them."""
    values = wrap(float_operand(y, f"fad.scipy.integrate.{function}"))
    along = axis_number(axis, values.ndim, f"fad.scipy.integrate.{function}")
    values = fnp.moveaxis(values, along, -1)
    if x is None:
        return values, fnp.full((max(values.shape[-1] - 1, 0),), dx)
    points = fnp.asarray(x)
    if points.ndim > 1:
        points = fnp.moveaxis(points, along, -1)
    if points.shape[-1:] != values.shape[-1:]:
        raise ShapeError(
            f"fad.scipy.integrate.{function}: x has {points.shape[-1:]} points and y has {values.shape[-1:]} along axis {axis}"
        )
    return values, points[..., 1:] - points[..., :-1]


def simpson(y: Any, x: Any = None, *, dx: Any = 1.0, axis: int = -1) -> Array:
    """The integral of samples by Simpson's rule, for any spacing.

    With an even number of samples the last interval is taken from the parabola through the last three (K. Cartwright, "Simpson's rule cumulative
    integration with MS Excel and irregularly-spaced data", 2017), as in SciPy.

    Parameters
    ----------
    y : array_like
        Samples.
    x : array_like, optional
        Where they are; by default ``dx`` apart. The integral is differentiable in both.
    dx : float
        Their distance, without ``x``.
    axis : int
        The axis of the samples.

    Returns
    -------
    Array
        The shape of ``y`` without ``axis``.

    Raises
    ------
    ShapeError
        If ``x`` does not fit ``y``, or there is no sample.

    Examples
    --------
    >>> from fad.scipy import integrate
    >>> integrate.simpson([0.0, 1.0, 4.0, 9.0])
    Array(9.)
    """
    values, steps = _samples("simpson", y, x, dx, axis)
    count = values.shape[-1]
    if not count:
        raise ShapeError("fad.scipy.integrate.simpson: there is no sample along the axis")
    if count == 1:
        return fnp.zeros(values.shape[:-1], values.dtype)
    if count == 2:
        return 0.5 * steps[..., 0] * (values[..., 0] + values[..., 1])
    odd = count - 1 + count % 2
    y0, y1, y2 = values[..., 0 : odd - 2 : 2], values[..., 1 : odd - 1 : 2], values[..., 2:odd:2]
    h0, h1 = steps[..., 0 : odd - 1 : 2], steps[..., 1 : odd - 1 : 2]
    both = h0 + h1
    total = fnp.sum(both / 6 * (y0 * (2 - h1 / h0) + y1 * both * both / (h0 * h1) + y2 * (2 - h0 / h1)), axis=-1)
    if odd == count:
        return total
    h0, h1 = steps[..., -2], steps[..., -1]
    last = (2 * h1 * h1 + 3 * h0 * h1) / (6 * (h0 + h1)) * values[..., -1]
    middle = (h1 * h1 + 3 * h0 * h1) / (6 * h0) * values[..., -2]
    return total + last + middle - h1**3 / (6 * h0 * (h0 + h1)) * values[..., -3]


def cumulative_trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1, initial: Any = None) -> Array:
    """The integral of samples from the first one to each, by the trapezoidal rule.

    Parameters
    ----------
    y : array_like
        Samples.
    x : array_like, optional
        Where they are; by default ``dx`` apart. The integral is differentiable in both.
    dx : float
        Their distance, without ``x``.
    axis : int
        The axis of the samples.
    initial : 0 or None
        With 0, the result starts with 0 and has as many elements as ``y``.

    Returns
    -------
    Array
        One element less than ``y`` along ``axis``, or as many.

    Raises
    ------
    ArgumentError
        If ``initial`` is neither.

    Examples
    --------
    >>> from fad.scipy import integrate
    >>> integrate.cumulative_trapezoid([0.0, 1.0, 2.0], initial=0)
    Array([0. , 0.5, 2. ])
    """
    if initial is not None and initial != 0:
        raise ArgumentError(f"fad.scipy.integrate.cumulative_trapezoid: initial must be 0 or None, got {initial!r}")
    values, steps = _samples("cumulative_trapezoid", y, x, dx, axis)
    sums = fnp.cumsum(0.5 * steps * (values[..., 1:] + values[..., :-1]), axis=-1)
    if initial is not None:
        sums = fnp.concatenate([fnp.zeros((*sums.shape[:-1], 1), sums.dtype), sums], axis=-1)
    return fnp.moveaxis(sums, -1, axis)
