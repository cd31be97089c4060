"""Line searches as gradient transformations: they scale an update so that the loss decreases enough.

Their ``update`` needs ``value``, ``grad`` and ``value_fn`` as keyword arguments, as optax's do. Parameters are handled as one flat vector.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, NamedTuple

import fad
import fad.numpy as fnp
import fad.tree as tree
from fad import errors
from fad.optim.transformation import GradientTransformationExtraArgs, need_params

__all__ = [
    "scale_by_backtracking_linesearch",
    "scale_by_zoom_linesearch",
    "value_and_grad_from_state",
]


class LineSearchState(NamedTuple):
    """The last step length, value and gradient at the point reached, number of evaluations, and how far each criterion was missed."""

    learning_rate: Any
    value: Any
    grad: Any
    evaluations: Any
    decrease_error: Any
    curvature_error: Any


class Trial(NamedTuple):
    """A point on the line: length of the step, value and slope there."""

    step: Any
    value: Any
    slope: Any


class ZoomState(NamedTuple):
    """A search under way.

    ``low`` has the least value of the bracket's two ends, ``third`` is the end left last; ``safe`` is the best point that decreases enough.
    """

    count: Any
    bracketed: Any
    done: Any
    failed: Any
    here: Trial
    gradient: Any
    low: Trial
    high: Trial
    third: Trial
    safe: Trial
    safe_gradient: Any
    decrease_error: Any
    curvature_error: Any


def _pick(condition: Any, first: Any, second: Any) -> Any:
    return tree.map(lambda a, b: fnp.where(condition, a, b), first, second)


def _quotient(numerator: Any, denominator: Any) -> Any:
    """NaN where the denominator is zero; no warning."""
    zero = denominator == 0
    return fnp.where(zero, fnp.nan, numerator / fnp.where(zero, 1.0, denominator))


def _dot(a: Any, b: Any) -> Any:
    return fnp.sum(a * b).real if a.dtype.kind == "c" else fnp.sum(a * b)


def _excess(value: Any) -> Any:
    """How far above zero; infinite for NaN."""
    return fnp.where(fnp.isnan(value), fnp.inf, fnp.maximum(value, 0.0))


def _loss_on_vectors(
    name: str, value_fn: Callable[..., Any], unravel: Callable[[Any], Any], extra: dict[str, Any]
) -> Callable[[Any], Any]:
    accepted = signature(value_fn).parameters
    unknown = [k for k in extra if k not in accepted]
    if unknown and not any(p.kind is Parameter.VAR_KEYWORD for p in accepted.values()):
        raise errors.ArgumentError(
            f"optim.{name}: update got the keyword arguments {unknown}, which value_fn does not take; it takes {list(accepted)}"
        )
    return lambda vector: value_fn(unravel(vector), **extra)


def _check_called_well(name: str, params: Any, value: Any, grad: Any, value_fn: Any) -> None:
    need_params(name, params)
    if value is None or grad is None or not callable(value_fn):
        raise errors.ArgumentError(
            f"optim.{name} needs the loss: call update(gradient, state, params, value=loss, grad=gradient, value_fn=loss_function)"
        )


def _first_state(params: Any, start: float) -> LineSearchState:
    vector = tree.ravel(params)[0]
    real = vector.real.dtype
    number = lambda x: fnp.asarray(x, dtype=real)  # noqa: E731
    return LineSearchState(
        number(start),
        number(fnp.inf),
        tree.map(fnp.zeros_like, params),
        fnp.asarray(0),
        number(fnp.inf),
        number(fnp.inf),
    )


def scale_by_backtracking_linesearch(
    max_backtracking_steps: int,
    slope_rtol: float = 1e-4,
    decrease_factor: float = 0.8,
    increase_factor: float = 1.5,
    max_learning_rate: float = 1.0,
    atol: float = 0.0,
    rtol: float = 0.0,
) -> GradientTransformationExtraArgs:
    """Shorten the step until the loss decreases by a part of what the slope promises (Armijo, Pacific J. Math. 16, 1966).

    Parameters
    ----------
    max_backtracking_steps : int
        How often to shorten at most.
    slope_rtol : float
        The part of the promised decrease that is asked for.
    decrease_factor, increase_factor : float
        What a failed step, and the last step's length, are multiplied by.
    max_learning_rate : float
        The longest step.
    atol, rtol : float
        Tolerances of the criterion.

    Returns
    -------
    GradientTransformationExtraArgs
        ``update(updates, state, params, value=, grad=, value_fn=)``; other keyword arguments go to ``value_fn``.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> f = lambda x: fnp.sum(x**2)
    >>> t = optim.chain(optim.sgd(1.0), optim.scale_by_backtracking_linesearch(15))
    >>> x = fnp.array([1.0, 2.0])
    >>> value, grad = fad.value_and_grad(f)(x)
    >>> updates, state = t.update(grad, t.init(x), x, value=value, grad=grad, value_fn=f)
    >>> bool(f(x + updates) < value)
    True
    """
    name = "scale_by_backtracking_linesearch"

    def update(
        updates: Any,
        state: LineSearchState,
        params: Any = None,
        *,
        value: Any = None,
        grad: Any = None,
        value_fn: Any = None,
        **extra: Any,
    ) -> tuple[Any, LineSearchState]:
        _check_called_well(name, params, value, grad, value_fn)
        (start, unravel), direction, slope_vector = tree.ravel(params), tree.ravel(updates)[0], tree.ravel(grad)[0]
        loss = _loss_on_vectors(name, value_fn, unravel, extra)
        value, slope = fnp.asarray(value), _dot(direction, slope_vector)
        first = fnp.minimum(increase_factor * state.learning_rate, max_learning_rate).astype(slope.dtype)

        def shorten(carry: tuple[Any, ...]) -> tuple[Any, ...]:
            step, _, _, count = carry
            step = fnp.where(count > 0, decrease_factor * step, step)
            reached = loss(start + step * direction)
            missed = _excess(reached - (1.0 + rtol) * value - step * slope_rtol * slope)
            return step, reached.astype(value.dtype), missed.astype(slope.dtype), count + 1

        def goes_on(carry: tuple[Any, ...]) -> Any:
            return ~(carry[2] <= atol) & (carry[3] <= max_backtracking_steps)

        unknown = fnp.asarray(fnp.inf, dtype=slope.dtype)
        step, reached, missed, count = fad.while_loop(goes_on, shorten, (first, value, unknown, fnp.asarray(0)))
        step = fnp.where(fnp.isinf(missed), 0.0, step)  # better no step than one to an infinite loss
        gradient = unravel(fad.grad(loss)(start + step * direction))
        scaled = tree.map(lambda u: step.astype(u.real.dtype) * u, updates)
        return scaled, LineSearchState(step, reached, gradient, count, missed, state.curvature_error)

    return GradientTransformationExtraArgs(lambda params: _first_state(params, max_learning_rate), update)


def _cubic_minimum(a: Trial, b: Trial, c: Trial) -> Any:
    """Minimum of the cubic with the slope of ``a`` through three points (Nocedal and Wright, Numerical Optimization, 2006, eq. 3.59)."""
    to_b, to_c = b.step - a.step, c.step - a.step
    rest_b, rest_c = b.value - a.value - a.slope * to_b, c.value - a.value - a.slope * to_c
    scale = (to_b * to_c) ** 2 * (to_b - to_c)
    third = _quotient(to_c**2 * rest_b - to_b**2 * rest_c, scale)
    second = _quotient(to_b**3 * rest_c - to_c**3 * rest_b, scale)
    radicand = second * second - 3.0 * third * a.slope
    root = fnp.where(radicand >= 0, fnp.sqrt(fnp.where(radicand >= 0, radicand, 0.0)), fnp.nan)
    return a.step + _quotient(root - second, 3.0 * third)


def _quadratic_minimum(a: Trial, b: Trial) -> Any:
    """Minimum of the parabola with the slope of ``a`` through two points."""
    length = b.step - a.step
    curvature = _quotient(b.value - a.value - a.slope * length, length**2)
    return a.step - _quotient(a.slope, 2.0 * curvature)


def _inside(state: ZoomState) -> Any:
    """The next step within the bracket: cubic, quadratic, or the middle, whichever lies well inside."""
    low, high = state.low, state.high
    length = fnp.abs(high.step - low.step)
    left, right = fnp.minimum(high.step, low.step), fnp.maximum(high.step, low.step)
    step = (low.step + high.step) / 2.0
    guesses = ((_quadratic_minimum(low, high), 0.1), (_cubic_minimum(low, high, state.third), 0.2))
    for guess, margin in guesses:
        step = fnp.where((guess > left + margin * length) & (guess < right - margin * length), guess, step)
    return step


class Criteria(NamedTuple):
    """The settings of a zoom line search."""

    most: int
    longest: float
    tol: float
    increase_factor: float
    slope_rtol: float
    curv_rtol: float
    approx_dec_rtol: float | None
    precision: float

    def errors(self, here: Trial, start: Trial) -> tuple[Any, Any]:
        """How far a point misses sufficient decrease and small curvature."""
        decrease = here.value - start.value - self.slope_rtol * here.step * start.slope
        if self.approx_dec_rtol is not None:
            # Near the minimum values differ by rounding only: there the slope decides (Hager and Zhang 2006, eq. 4.1).
            by_slope = here.slope - (2 * self.slope_rtol - 1.0) * start.slope
            by_value = here.value - start.value - self.approx_dec_rtol * fnp.abs(start.value)
            decrease = fnp.minimum(fnp.maximum(by_slope, by_value), decrease)
        return _excess(decrease), _excess(fnp.abs(here.slope) - self.curv_rtol * fnp.abs(start.slope))

    def next_step(self, state: ZoomState, guess: Any) -> Any:
        """Longer and longer until there is a bracket, then inside it."""
        outward = fnp.where(state.count == 0, guess, self.increase_factor * state.here.step)
        return fnp.where(state.bracketed, _inside(state), fnp.minimum(outward, self.longest))

    def advance(self, state: ZoomState, start: Trial, here: Trial, gradient: Any) -> ZoomState:
        """The search after one more evaluation: algorithms 3.5 and 3.6 of Nocedal and Wright in one."""
        decrease, curvature = self.errors(here, start)
        good = fnp.maximum(decrease, curvature) <= self.tol
        was = state.bracketed
        low, high = state.low, state.high
        # The point that ``here`` is compared with: the better end of the bracket, or the point before on the way out.
        other = _pick(was, low, state.here)
        worse = (decrease > 0) | ((here.value >= other.value) & (was | (state.count > 0)))
        turned = ~worse & fnp.where(was, here.slope * (high.step - low.step) >= 0, here.slope >= 0)
        new_low = _pick(worse, other, _pick(was | turned, here, other))
        new_high = _pick(worse, here, _pick(turned, other, _pick(was, high, here)))
        third = _pick(was, _pick(worse | turned, high, low), new_low)

        safe = (decrease <= self.tol) & (~was | (here.value < state.safe.value))
        have_safe = fnp.where(safe, here.step, state.safe.step) > 0
        bracketed = was | worse | turned | good
        stuck = ~bracketed & (here.step >= self.longest)
        narrow = was & (fnp.abs(high.step - low.step) <= self.precision) & have_safe
        done = good | stuck
        return ZoomState(
            state.count + 1,
            bracketed,
            done,
            ~done & ((state.count + 1 >= self.most) | narrow),
            here,
            gradient,
            new_low,
            new_high,
            third,
            _pick(safe, here, state.safe),
            fnp.where(safe, gradient, state.safe_gradient),
            decrease,
            curvature,
        )

    def search(
        self, loss: Callable[[Any], Any], start_vector: Any, direction: Any, first: ZoomState, guess: Any
    ) -> Any:
        """Run the loop; gives the final state, with ``here`` and ``gradient`` those of the step to take."""
        start = first.here
        number = lambda x: fnp.asarray(x).astype(start.slope.dtype)  # noqa: E731

        def evaluated(state: ZoomState) -> ZoomState:
            step = number(self.next_step(state, guess))
            value, gradient = fad.value_and_grad(loss)(start_vector + step * direction)
            here = Trial(step, number(value), number(_dot(gradient, direction)))
            return tree.map(lambda new, old: new.astype(old.dtype), self.advance(state, start, here, gradient), state)

        last = fad.while_loop(lambda s: ~(s.done | s.failed), evaluated, first)
        # A failed search falls back on the best point that decreased enough; on no step, if the loss was not finite.
        fall_back = last.failed & ((last.safe.step > 0) | fnp.isinf(last.decrease_error))
        return last._replace(
            here=_pick(fall_back, last.safe, last.here),
            gradient=fnp.where(fall_back, last.safe_gradient, last.gradient),
        )


def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: float | None = None,
    tol: float = 0.0,
    increase_factor: float = 2.0,
    slope_rtol: float = 1e-4,
    curv_rtol: float = 0.9,
    approx_dec_rtol: float | None = 1e-6,
    stepsize_precision: float = 1e-5,
    initial_guess_strategy: str = "keep",
) -> GradientTransformationExtraArgs:
    """A step that decreases the loss enough and leaves a small slope: the strong Wolfe conditions.

    Bracketing and zooming after Nocedal and Wright, Numerical Optimization, 2006, algorithms 3.5 and 3.6, with the approximate decrease criterion of
    Hager and Zhang, ACM TOMS 32, 2006.

    Parameters
    ----------
    max_linesearch_steps : int
        Evaluations at most.
    max_learning_rate : float, optional
        The longest step.
    tol : float
        By how much the criteria may be missed.
    increase_factor : float
        What the step grows by until a bracket is found.
    slope_rtol, curv_rtol : float
        The part of the promised decrease asked for, and the part of the slope that may remain.
    approx_dec_rtol : float, optional
        Rounding of the loss, relative; ``None`` for the exact criterion only.
    stepsize_precision : float
        Brackets narrower than this end the search.
    initial_guess_strategy : {"keep", "one"}
        First try the last step's length, or 1.

    Returns
    -------
    GradientTransformationExtraArgs
        ``update(updates, state, params, value=, grad=, value_fn=)``; other keyword arguments go to ``value_fn``.

    Raises
    ------
    ArgumentError
        If the strategy is not known, or if ``update`` is called without the loss.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> f = lambda x: fnp.sum(x**2)
    >>> t = optim.chain(optim.sgd(1.0), optim.scale_by_zoom_linesearch(15))
    >>> x = fnp.array([1.0, 2.0])
    >>> value, grad = fad.value_and_grad(f)(x)
    >>> updates, state = t.update(grad, t.init(x), x, value=value, grad=grad, value_fn=f)
    >>> x + updates
    Array([0., 0.])
    """
    name = "scale_by_zoom_linesearch"
    if initial_guess_strategy not in ("keep", "one"):
        raise errors.ArgumentError(
            f"optim.{name}: initial_guess_strategy is 'keep' or 'one', got {initial_guess_strategy!r}"
        )
    longest = float("inf") if max_learning_rate is None else max_learning_rate
    criteria = Criteria(
        max_linesearch_steps,
        longest,
        tol,
        increase_factor,
        slope_rtol,
        curv_rtol,
        approx_dec_rtol,
        stepsize_precision,
    )

    def update(
        updates: Any,
        state: LineSearchState,
        params: Any = None,
        *,
        value: Any = None,
        grad: Any = None,
        value_fn: Any = None,
        **extra: Any,
    ) -> tuple[Any, LineSearchState]:
        _check_called_well(name, params, value, grad, value_fn)
        (start, unravel), direction, gradient = tree.ravel(params), tree.ravel(updates)[0], tree.ravel(grad)[0]
        slope = _dot(direction, gradient)
        here = Trial(fnp.zeros_like(slope), fnp.asarray(value).astype(slope.dtype), slope)
        no, unknown = fnp.asarray(False), fnp.full_like(slope, fnp.inf)
        first = ZoomState(
            fnp.asarray(0), no, no, no, here, gradient, here, here, here, here, gradient, unknown, unknown
        )
        guess = fnp.ones_like(slope) if initial_guess_strategy == "one" else state.learning_rate
        last = criteria.search(_loss_on_vectors(name, value_fn, unravel, extra), start, direction, first, guess)
        found = last.here
        scaled = tree.map(lambda u: found.step.astype(u.real.dtype) * u, updates)
        return scaled, LineSearchState(
            found.step, found.value, unravel(last.gradient), last.count, last.decrease_error, last.curvature_error
        )

    return GradientTransformationExtraArgs(lambda params: _first_state(params, 1.0), update)


def value_and_grad_from_state(value_fn: Callable[..., Any]) -> Callable[..., tuple[Any, Any]]:
    """``value_and_grad`` that takes what a line search left in the optimizer's state, and computes only where there is nothing yet.

    Parameters
    ----------
    value_fn : callable
        The loss, a function of the parameters and whatever else.

    Returns
    -------
    callable
        ``(params, *args, state, **kwargs) -> (value, gradient)``. Only for a loss that is the same at each step.

    Raises
    ------
    ArgumentError
        If the state has no line search.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> f = lambda x: fnp.sum(x**2)
    >>> t = optim.lbfgs()
    >>> x = fnp.array([3.0, -1.0])
    >>> value, grad = optim.value_and_grad_from_state(f)(x, state=t.init(x))
    >>> value, grad
    (Array(10.), Array([ 6., -2.]))
    """

    def from_state(params: Any, *args: Any, state: Any, **kwargs: Any) -> tuple[Any, Any]:
        found = [
            s
            for s in tree.leaves(state, is_leaf=lambda s: isinstance(s, LineSearchState))
            if isinstance(s, LineSearchState)
        ]
        if len(found) != 1:
            raise errors.ArgumentError(
                f"optim.value_and_grad_from_state: the state has {len(found)} line searches instead of one"
            )
        kept = found[0]

        def computed() -> tuple[Any, Any]:
            value, gradient = fad.value_and_grad(value_fn)(params, *args, **kwargs)
            return value.astype(kept.value.dtype), gradient

        return fad.cond(fnp.isfinite(kept.value), lambda: (kept.value, kept.grad), computed)

    return from_state
