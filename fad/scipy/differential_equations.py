"""Initial value problems by the Dormand-Prince pair of orders 5 and 4 with steps of its own choice.

J. Dormand, P. Prince, "A family of embedded Runge-Kutta formulae" (1980): the coefficients. E. Hairer, S. Norsett, G. Wanner, "Solving ordinary
differential equations I" (1993), II.4: the first step and the control of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import fad.numpy as fnp
from fad.core.array import Array, wrap
from fad.core.errors import ArgumentError, DTypeError, ShapeError, TreeError
from fad.core.pytrees import flatten, unflatten
from fad.numpy.conversion import float_operand
from fad.transforms.checkpointing import checkpoint
from fad.transforms.custom_rules import stop_gradient
from fad.transforms.looping import while_loop
from fad.transforms.scanning import scan

__all__ = ["odeint"]

_TIMES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
# the difference of the two orders' weights
_ERROR = (
    35 / 384 - 5179 / 57600,
    0.0,
    500 / 1113 - 7571 / 16695,
    125 / 192 - 393 / 640,
    -2187 / 6784 + 92097 / 339200,
    11 / 84 - 187 / 2100,
    -1 / 40,
)
Leaves = list[Any]


def _combined(leaves: Sequence[Any], step: Any, weights: Sequence[float], slopes: Sequence[Leaves]) -> Leaves:
    """Leaves moved by a weighted sum of slopes."""
    moved = []
    for k, leaf in enumerate(leaves):
        terms = [w * slope[k] for w, slope in zip(weights, slopes) if w]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        moved.append(leaf + step * total)
    return moved


def _norm(leaves: Sequence[Any], scales: Sequence[Any]) -> Any:
    """The root mean square of scaled leaves."""
    count = max(sum(math.prod(leaf.shape) for leaf in leaves), 1)
    total = sum(fnp.sum(fnp.abs(leaf / scale) ** 2) for leaf, scale in zip(leaves, scales))
    return fnp.sqrt(fnp.asarray(total) / count)


class _Problem:
    """One initial value problem on flat leaves."""

    def __init__(self, slope: Callable[[Leaves, Any], Leaves], rtol: float, atol: float, mxstep: int, hmax: float):
        self.slope, self.rtol, self.atol, self.mxstep, self.hmax = slope, rtol, atol, mxstep, hmax

    def scales(self, *states: Leaves) -> Leaves:
        """The error allowed in each element."""
        return [
            self.atol + self.rtol * (fnp.maximum(*sizes) if len(sizes) > 1 else sizes[0])
            for sizes in ([fnp.abs(leaf) for leaf in leaves] for leaves in zip(*states))
        ]

    def first_step(self, y: Leaves, time: Any, slope: Leaves, direction: Any) -> Any:
        """A step that explicit Euler would take with an error well below the tolerance."""
        scales = self.scales(y)
        size, speed = _norm(y, scales), _norm(slope, scales)
        tiny = (size < 1e-5) | (speed < 1e-5)
        trial = fnp.where(tiny, 1e-6, 0.01 * size / fnp.where(tiny, 1.0, speed))
        moved = self.slope(_combined(y, direction * trial, (1.0,), [slope]), time + direction * trial)
        bend = _norm([a - b for a, b in zip(moved, slope)], scales) / trial
        fastest = fnp.maximum(speed, bend)
        flat = fastest <= 1e-15
        second = fnp.where(flat, fnp.maximum(1e-6, trial * 1e-3), (0.01 / fnp.where(flat, 1.0, fastest)) ** 0.2)
        return fnp.minimum(fnp.minimum(100 * trial, second), self.hmax)

    def step(self, y: Leaves, time: Any, slope: Leaves, step: Any) -> tuple[Leaves, Leaves, Any]:
        """The solution one step on, its slope, and the estimated error over the error allowed."""
        slopes, moved = [slope], y
        for at, weights in zip(_TIMES, _STAGES):
            moved = _combined(y, step, weights, slopes)
            slopes.append(self.slope(moved, time + at * step))
        zeros = [fnp.zeros_like(leaf) for leaf in y]
        return moved, slopes[-1], _norm(_combined(zeros, step, _ERROR, slopes), self.scales(y, moved))

    def advance(self, state: Any, target: Any) -> Any:
        """The state (leaves, time, slope, step) at the target time."""

        def unfinished(carry: Any) -> Any:
            _, time, _, _, count = carry
            return (time != target) & (count < self.mxstep)

        def turn(carry: Any) -> Any:
            y, time, slope, size, count = carry
            left = target - time
            last = size >= stop_gradient(fnp.abs(left))
            step = fnp.where(last, left, stop_gradient(fnp.sign(left)) * size)
            moved, following, error = self.step(y, time, slope, step)
            error = stop_gradient(error)
            accepted = error <= 1
            positive = fnp.where(error > 0, error, 1.0)
            factor = fnp.where(error > 0, fnp.clip(0.9 * positive**-0.2, 0.2, 10.0), 10.0)
            factor = fnp.where(fnp.isfinite(error), fnp.where(accepted, fnp.maximum(factor, 0.5), factor), 0.2)
            proposed = stop_gradient(fnp.abs(step)) * factor
            proposed = fnp.where(accepted & last, fnp.maximum(size, proposed), proposed)

            def chosen(new: Any, old: Any) -> Any:
                return fnp.where(accepted, new, old)

            return (
                [chosen(a, b) for a, b in zip(moved, y)],
                chosen(fnp.where(last, target, time + step), time),
                [chosen(a, b) for a, b in zip(following, slope)],
                fnp.minimum(proposed, self.hmax),
                count + 1,
            )

        y, time, slope, size, _ = while_loop(unfinished, turn, (*state, 0))
        failed = time != target
        return [fnp.where(failed, math.nan, leaf) for leaf in y], target, slope, size


def odeint(
    func: Callable[..., Any],
    y0: Any,
    t: Any,
    args: tuple[Any, ...] = (),
    *,
    rtol: float = 1.4e-8,
    atol: float = 1.4e-8,
    mxstep: int = 100_000,
    hmax: float = math.inf,
) -> Any:
    """The solution of ``dy/dt = func(y, t, *args)`` at given times, by the Dormand-Prince method.

    It works under every transform; for second derivatives take forward mode over reverse (``hvp``, ``hessian``), since reverse mode over itself meets loops of
    unknown length inside a scan, which it cannot store. Reverse mode differentiates the steps that were taken; it keeps the solution at the given times and computes the steps between two
    of them again, so its memory grows with the number of times and with the steps in one interval.

    Parameters
    ----------
    func : callable
        ``func(y, t, *args)`` gives the slope, a pytree like ``y``.
    y0 : pytree
        The solution at ``t[0]``, of real or complex arrays.
    t : array_like
        Shape (n,): times, increasing or decreasing. The solution is differentiable in them, in ``y0``, in ``args`` and in what ``func``
        closes over.
    args : tuple
        Further arguments of ``func``.
    rtol, atol : float
        The error allowed in one step, relative and absolute.
    mxstep : int
        Steps between two times at most; the solution is NaN where they do not suffice.
    hmax : float
        The longest step.

    Returns
    -------
    pytree
        Like ``y0`` with a leading axis of length n.

    Raises
    ------
    ShapeError
        If ``t`` has not one axis with at least one time, or slopes and solution differ in shape.
    TreeError
        If slopes and solution differ in structure.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> from fad.scipy import integrate
    >>> y = integrate.odeint(lambda y, t: fnp.stack([y[1], -y[0]]), [0.0, 1.0], [0.0, fnp.pi / 2])
    >>> bool(fnp.abs(y[-1] - fnp.array([1.0, 0.0])).max() < 1e-7)
    True
    """
    if not callable(func):
        raise ArgumentError(f"fad.scipy.integrate.odeint: func must be callable, got {type(func).__name__}")
    if mxstep < 1:
        raise ArgumentError(f"fad.scipy.integrate.odeint: mxstep must be at least 1, got {mxstep}")
    leaves, tree = flatten(fnp.asarray(y0) if isinstance(y0, list) and _is_vector(y0) else y0)
    start = [wrap(float_operand(leaf, "fad.scipy.integrate.odeint")) for leaf in leaves]
    times = wrap(float_operand(t, "fad.scipy.integrate.odeint"))
    if times.ndim != 1 or not times.shape[0]:
        raise ShapeError(
            f"fad.scipy.integrate.odeint: t needs one axis with at least one time, got shape {times.shape}"
        )
    if times.dtype.kind == "c":
        raise DTypeError(f"fad.scipy.integrate.odeint: times are real, got dtype {times.dtype}")

    def slope(y: Leaves, time: Any) -> Leaves:
        found, seen = flatten(func(unflatten(tree, y), time, *args))
        if seen != tree and not (len(found) == len(y) == 1):
            raise TreeError(f"fad.scipy.integrate.odeint: func gives {seen}, and the solution is {tree}")
        arrays = [fnp.asarray(f) for f in found]
        if [a.shape for a in arrays] != [leaf.shape for leaf in y]:
            raise ShapeError(
                f"fad.scipy.integrate.odeint: func gives shapes {[a.shape for a in arrays]}, and the solution has {[leaf.shape for leaf in y]}"
            )
        return [a.astype(leaf.dtype) for a, leaf in zip(arrays, y)]

    solution = _solve(_Problem(slope, rtol, atol, mxstep, hmax), start, times)
    return unflatten(tree, solution)


def _is_vector(value: list[Any]) -> bool:
    """Whether a list is an array-like rather than a tree: numbers, or lists of them."""
    return all(
        isinstance(v, int | float | complex | np.generic) or isinstance(v, list) and _is_vector(v) for v in value
    )


def _solve(problem: _Problem, start: Leaves, times: Array) -> Leaves:
    """The solution at all times, along a new leading axis."""
    slope = problem.slope(start, times[0])
    rest = times[1:]
    if rest.shape[0]:
        direction = stop_gradient(fnp.sign(rest[0] - times[0]))
        state = (start, times[0], slope, stop_gradient(problem.first_step(start, times[0], slope, direction)))

        def to_next(state: Any, target: Any) -> Any:
            # Computed again in reverse mode, since the number of steps differs from interval to interval.
            state = checkpoint(problem.advance)(state, target)
            return state, state[0]

        _, later = scan(to_next, state, rest)
        return [fnp.concatenate([first[None], then]) for first, then in zip(start, later)]
    return [first[None] for first in start]
