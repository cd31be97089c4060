"""L-BFGS: steps from a short memory of past steps and of how the gradient changed along them."""

from __future__ import annotations

from typing import Any, NamedTuple

import fad.numpy as fnp
import fad.tree as tree
from fad import errors
from fad.optim.line_search import scale_by_zoom_linesearch
from fad.optim.transformation import (
    GradientTransformation,
    chain,
    identity,
    need_params,
    scale,
    scale_by_learning_rate,
)

__all__ = ["lbfgs", "scale_by_lbfgs"]

_ZOOM = scale_by_zoom_linesearch(20, initial_guess_strategy="one")


class LbfgsState(NamedTuple):
    """Count of steps, the last parameters and gradient, and the memory, oldest row first; all leaves together as flat vectors."""

    count: Any
    params: Any
    updates: Any
    diff_params_memory: Any
    diff_updates_memory: Any
    weights_memory: Any


def _dot(a: Any, b: Any) -> Any:
    return fnp.sum(fnp.conj(a) * b).real if a.dtype.kind == "c" else fnp.sum(a * b)


def _reciprocal(x: Any) -> Any:
    return fnp.where(x == 0, 0.0, 1.0 / fnp.where(x == 0, 1.0, x))


def _two_loops(vector: Any, steps: Any, changes: Any, weights: Any, first_scale: Any) -> Any:
    """Inverse Hessian times a vector (Nocedal and Wright, Numerical Optimization, 2006, algorithm 7.4)."""
    count = steps.shape[0]
    alphas = []
    for k in reversed(range(count)):
        alpha = weights[k] * _dot(steps[k], vector)
        vector = vector - alpha * changes[k]
        alphas.append(alpha)
    vector = first_scale * vector
    for k, alpha in zip(range(count), reversed(alphas)):
        vector = vector + (alpha - weights[k] * _dot(changes[k], vector)) * steps[k]
    return vector


def scale_by_lbfgs(memory_size: int = 10, scale_init_precond: bool = True) -> GradientTransformation:
    """The gradient times the L-BFGS approximation of the inverse Hessian (Liu and Nocedal, Math. Programming 45, 1989).

    Parameters
    ----------
    memory_size : int
        How many past steps to remember.
    scale_init_precond : bool
        Whether the approximation starts from the identity times the last curvature, instead of the identity.

    Returns
    -------
    GradientTransformation
        Its ``update`` needs the parameters.

    Raises
    ------
    ArgumentError
        If ``memory_size`` is less than 1.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_lbfgs()
    >>> x = fnp.array([1.0, 0.0])
    >>> t.update(fnp.array([4.0, 0.0]), t.init(x), x)[0]
    Array([1., 0.])
    """
    if memory_size < 1:
        raise errors.ArgumentError(f"optim.scale_by_lbfgs: memory_size must be at least 1, got {memory_size}")

    def init(params: Any) -> LbfgsState:
        zeros = fnp.zeros_like(tree.ravel(params)[0])
        memory = fnp.zeros((memory_size, zeros.size), dtype=zeros.dtype)
        weights = fnp.zeros((memory_size,), dtype=zeros.real.dtype)
        return LbfgsState(fnp.asarray(0), zeros, zeros, memory, memory, weights)

    def update(updates: Any, state: LbfgsState, params: Any = None) -> tuple[Any, LbfgsState]:
        need_params("scale_by_lbfgs", params)
        (gradient, unravel), place = tree.ravel(updates), tree.ravel(params)[0]
        started = state.count > 0
        step = fnp.where(started, place - state.params, 0)
        change = fnp.where(started, gradient - state.updates, 0)
        curvature = _dot(change, step)
        steps = fnp.concatenate([state.diff_params_memory[1:], step[None]])
        changes = fnp.concatenate([state.diff_updates_memory[1:], change[None]])
        weights = fnp.concatenate([state.weights_memory[1:], _reciprocal(curvature)[None]])
        first_scale: Any = 1.0
        if scale_init_precond:
            squares = _dot(change, change)
            by_curvature = fnp.where(squares > 0, curvature * _reciprocal(squares), 1.0)
            # The first step is at most of length one, however steep the start.
            by_length = _reciprocal(fnp.maximum(1.0, fnp.sqrt(_dot(gradient, gradient))))
            first_scale = fnp.where(started, by_curvature, by_length)
        moved = _two_loops(gradient, steps, changes, weights, first_scale)
        return unravel(moved), LbfgsState(state.count + 1, place, gradient, steps, changes, weights)

    return GradientTransformation(init, update)


def lbfgs(
    learning_rate: Any = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: GradientTransformation | None = _ZOOM,
) -> GradientTransformation:
    """L-BFGS with a line search (Liu and Nocedal, Math. Programming 45, 1989), for losses without noise.

    Parameters
    ----------
    learning_rate : float or callable, optional
        A factor before the line search; needed only without one.
    memory_size : int
        How many past steps to remember.
    scale_init_precond : bool
        Whether the approximation starts from the last curvature.
    linesearch : GradientTransformation, optional
        What chooses the step's length; ``None`` for ``learning_rate`` alone.

    Returns
    -------
    GradientTransformation
        ``update(gradient, state, params, value=, grad=, value_fn=)`` with a line search.

    Raises
    ------
    ArgumentError
        If ``update`` is called without what the line search needs.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> f = lambda x: fnp.sum((x[1:] - x[:-1] ** 2) ** 2 * 100 + (1 - x[:-1]) ** 2)
    >>> optimizer, value_and_grad = optim.lbfgs(), optim.value_and_grad_from_state(f)
    >>> x = fnp.zeros(3)
    >>> state = optimizer.init(x)
    >>> for _ in range(30):
    ...     value, grad = value_and_grad(x, state=state)
    ...     updates, state = optimizer.update(grad, state, x, value=value, grad=grad, value_fn=f)
    ...     x = optim.apply_updates(x, updates)
    >>> x.round(6)
    Array([1., 1., 1.])
    """
    scaling = scale(-1.0) if learning_rate is None else scale_by_learning_rate(learning_rate)
    return chain(scale_by_lbfgs(memory_size, scale_init_precond), scaling, linesearch or identity())
