"""Minimisation by BFGS and roots by Newton's method as loops that can be staged and batched.

J. Nocedal, S. Wright, "Numerical optimization" (2006), chapter 6, for BFGS. A. Lewis, M. Overton, "Nonsmooth optimization via quasi-Newton methods" (2013),
section 2, for the line search: bisection until the step satisfies the weak Wolfe conditions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import fad.numpy as fnp
from fad.numpy.linalg_systems import solve
from fad.transforms.gradients import value_and_grad
from fad.transforms.jacobians import jacfwd
from fad.transforms.looping import while_loop

__all__ = ["bfgs", "newton"]

_DECREASE, _FLATTER = 1e-4, 0.9  # the constants of the Wolfe conditions
_TRIALS = 40  # steps that one line search tries at most


def _line_search(both: Callable[..., Any], x: Any, value: Any, slope: Any, direction: Any, first: Any) -> Any:
    """``(found, x, value, gradient, trials)`` along a direction of descent."""
    descent = fnp.sum(slope * direction)

    def unfinished(state: Any) -> Any:
        *_, found, count = state
        return ~found & (count < _TRIALS)

    def trial(state: Any) -> Any:
        low, high, step, *_, count = state
        at = x + step * direction
        level, gradient = both(at)
        short_enough = level <= value + _DECREASE * step * descent
        long_enough = fnp.sum(gradient * direction) >= _FLATTER * descent
        high = fnp.where(short_enough, high, step)
        low = fnp.where(short_enough & ~long_enough, step, low)
        following = fnp.where(high < math.inf, 0.5 * (low + high), 2 * low)
        return low, high, following, at, level, gradient, short_enough & long_enough, count + 1

    start = (fnp.zeros_like(value), fnp.full_like(value, math.inf), first, x, value, slope, False, 0)
    *_, at, level, gradient, found, count = while_loop(unfinished, trial, start)
    # rounding can hide the last bit of descent; a step that went down is taken all the same
    return found | (level < value), at, level, gradient, count


def bfgs(objective: Callable[[Any], Any], start: Any, limits: tuple[float, int]) -> tuple[Any, Any]:
    """The minimiser, shape (n,), and ``[status, iterations, evaluations]``; see the messages of :mod:`fad.scipy.optimize`."""
    both = value_and_grad(objective)
    gtol, maxiter = limits
    value, slope = both(start)
    identity = fnp.eye(start.shape[0], dtype=start.dtype)

    def unfinished(state: Any) -> Any:
        _, _, gradient, _, status, turns, _ = state
        # written so that a NaN ends the loop
        return (fnp.max(fnp.abs(gradient), initial=0.0) > gtol) & (status == 0) & (turns < maxiter)

    def turn(state: Any) -> Any:
        x, level, gradient, inverse, status, turns, calls = state
        direction = -inverse @ gradient
        downhill = fnp.sum(direction * gradient) < 0
        inverse = fnp.where(downhill, inverse, identity)
        direction = fnp.where(downhill, direction, -gradient)
        # the first step has length 1 at most; in a batch, gradients of finished elements may be 0
        first = fnp.where(turns == 0, 1 / fnp.maximum(fnp.sum(fnp.abs(gradient)), 1.0), 1.0).astype(level.dtype)
        found, at, lower, flatter, count = _line_search(both, x, level, gradient, direction, first)
        inverse = _updated(inverse, at - x, flatter - gradient, turns == 0)
        return (
            fnp.where(found, at, x),
            fnp.where(found, lower, level),
            fnp.where(found, flatter, gradient),
            inverse,
            fnp.where(found, status, 2),
            turns + 1,
            calls + count,
        )

    state = while_loop(unfinished, turn, (start, value, slope, identity, 0, 0, 1))
    x, level, gradient, _, status, turns, calls = state
    flat = fnp.max(fnp.abs(gradient), initial=0.0) <= gtol
    finite = fnp.isfinite(level) & fnp.all(fnp.isfinite(gradient))
    status = fnp.where(flat, 0, fnp.where(finite, fnp.where(status == 0, 1, status), 3))
    return x, _counts(status, turns, calls)


def _updated(inverse: Any, moved: Any, bent: Any, first: Any) -> Any:
    """The approximate inverse Hessian after a step, unchanged where the curvature along it is not positive."""
    curvature = fnp.sum(moved * bent)
    usable = curvature > 1e-14 * fnp.sqrt(fnp.sum(moved * moved) * fnp.sum(bent * bent))
    rho = fnp.where(usable, 1 / fnp.where(usable, curvature, 1.0), 0.0)
    # the first step tells the scale of the Hessian
    scale = fnp.where(first & usable, curvature / fnp.where(usable, fnp.sum(bent * bent), 1.0), 1.0)
    inverse = scale * inverse
    spread = inverse @ bent
    outer = moved[:, None] * spread
    update = (1 + rho * fnp.sum(bent * spread)) * rho * moved[:, None] * moved - rho * (outer + outer.T)
    return fnp.where(usable, inverse + update, inverse)


def _counts(status: Any, turns: Any, calls: Any) -> Any:
    return fnp.stack([fnp.asarray(v).astype(float) for v in (status, turns, calls)])


def newton(residual: Callable[[Any], Any], start: Any, tol: float, maxiter: int) -> tuple[Any, Any]:
    """The root, shape (n,), and ``[status, iterations, evaluations]``."""
    jacobian = jacfwd(residual)

    def size(values: Any) -> Any:
        return fnp.max(fnp.abs(values), initial=0.0)

    def unfinished(state: Any) -> Any:
        _, values, status, turns, _ = state
        return (size(values) > tol) & (status == 0) & (turns < maxiter)

    def turn(state: Any) -> Any:
        x, values, status, turns, calls = state
        step = -solve(jacobian(x), values)
        length = fnp.sum(values * values)

        def too_long(trial: Any) -> Any:
            share, _, found, count = trial
            return ~(fnp.sum(found * found) <= (1 - 2 * _DECREASE * share) * length) & (count < _TRIALS)

        def shorter(trial: Any) -> Any:
            share, _, _, count = trial
            at = x + 0.5 * share * step
            return 0.5 * share, at, residual(at), count + 1

        full = x + step
        share, at, found, count = while_loop(too_long, shorter, (fnp.ones_like(length), full, residual(full), 1))
        better = fnp.sum(found * found) < length
        return (
            fnp.where(better, at, x),
            fnp.where(better, found, values),
            fnp.where(better, status, 2),
            turns + 1,
            calls + count,
        )

    x, values, status, turns, calls = while_loop(unfinished, turn, (start, residual(start), 0, 0, 1))
    finite = fnp.all(fnp.isfinite(values))
    done = size(values) <= tol
    status = fnp.where(done, 0, fnp.where(finite, fnp.where(status == 0, 1, status), 3))
    return x, _counts(status, turns, calls)
