"""Transformations of transformations: masks, groups, accumulation, repairs, averages, and hyperparameters as state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any, NamedTuple

import fad
import fad.numpy as fnp
import fad.tree as tree
from fad import errors
from fad.optim.moments import corrected, moment, zeros_like
from fad.optim.transformation import GradientTransformation, call_update, like, need_params

__all__ = [
    "LookaheadParams",
    "MultiSteps",
    "apply_if_finite",
    "ema",
    "inject_hyperparams",
    "lookahead",
    "masked",
    "multi_steps",
    "multi_transform",
]


def chosen_where(condition: Any, first: Any, second: Any) -> Any:
    """Leaf by leaf, ``first`` where a scalar condition holds, else ``second``."""
    return tree.map(lambda a, b: fnp.where(condition, a, b), first, second)


class MaskedState(NamedTuple):
    """State of the transformation inside :func:`masked`."""

    inner_state: Any


def masked(inner: GradientTransformation, mask: Any) -> GradientTransformation:
    """Apply a transformation to some leaves; the others pass unchanged.

    Parameters
    ----------
    inner : GradientTransformation
        What to apply.
    mask : pytree of bool or callable
        True where to apply it; a pytree prefix of the parameters, or a function of them that gives one.

    Examples
    --------
    >>> import fad.optim as optim
    >>> t = optim.masked(optim.scale(10.0), {"w": True, "b": False})
    >>> t.update({"w": 1.0, "b": 1.0}, t.init({"w": 0.0, "b": 0.0}))[0]
    {'w': 10.0, 'b': 1.0}
    """

    def split(values: Any) -> tuple[list[Any], list[bool], Any]:
        leaves, structure = tree.flatten(values)
        flags = mask(values) if callable(mask) else mask
        full = tree.map(lambda flag, part: tree.map(lambda _: bool(flag), part), flags, values)
        return leaves, tree.leaves(full), structure

    def picked(values: Any) -> Any:
        leaves, flags, _ = split(values)
        return [leaf for leaf, flag in zip(leaves, flags) if flag]

    def update(updates: Any, state: MaskedState, params: Any = None) -> tuple[Any, MaskedState]:
        leaves, flags, structure = split(updates)
        moved, inner_state = inner.update(
            picked(updates), state.inner_state, None if params is None else picked(params)
        )
        given = iter(moved)
        return tree.unflatten(
            structure, [next(given) if flag else leaf for leaf, flag in zip(leaves, flags)]
        ), MaskedState(inner_state)

    return GradientTransformation(lambda params: MaskedState(inner.init(picked(params))), update)


class MultiTransformState(NamedTuple):
    """States of the transformations by label."""

    inner_states: Any


def multi_transform(transforms: Mapping[str, GradientTransformation], param_labels: Any) -> GradientTransformation:
    """Apply a different transformation to each group of leaves.

    Parameters
    ----------
    transforms : mapping of label to GradientTransformation
        One for each label.
    param_labels : pytree of labels or callable
        The label of each leaf; a pytree prefix of the parameters, or a function of them that gives one.

    Raises
    ------
    ArgumentError
        If a label has no transformation.

    Examples
    --------
    >>> import fad.optim as optim
    >>> t = optim.multi_transform({"fast": optim.scale(2.0), "off": optim.set_to_zero()}, {"w": "fast", "b": "off"})
    >>> params = {"w": 0.0, "b": 0.0}
    >>> t.update({"w": 1.0, "b": 1.0}, t.init(params))[0]
    {'w': 2.0, 'b': Array(0.)}
    """

    def labels_of(values: Any) -> list[str]:
        labels = param_labels(values) if callable(param_labels) else param_labels
        full = tree.leaves(tree.map(lambda label, part: tree.map(lambda _: label, part), labels, values))
        missing = sorted({repr(label) for label in full if label not in transforms})
        if missing:
            raise errors.ArgumentError(
                f"multi_transform: no transformation for label {', '.join(missing)}; there are {sorted(transforms)}"
            )
        return full

    def group(values: Any, labels: list[str], label: str) -> list[Any]:
        return [leaf for leaf, own in zip(tree.leaves(values), labels) if own == label]

    def init(params: Any) -> MultiTransformState:
        labels = labels_of(params)
        return MultiTransformState({name: t.init(group(params, labels, name)) for name, t in transforms.items()})

    def update(updates: Any, state: MultiTransformState, params: Any = None) -> tuple[Any, MultiTransformState]:
        labels = labels_of(updates)
        moved, new_state = {}, {}
        for name, t in transforms.items():
            own = None if params is None else group(params, labels, name)
            part, new_state[name] = t.update(group(updates, labels, name), state.inner_states[name], own)
            moved[name] = iter(part)
        structure = tree.structure(updates)
        return tree.unflatten(structure, [next(moved[label]) for label in labels]), MultiTransformState(new_state)

    return GradientTransformation(init, update)


class MultiStepsState(NamedTuple):
    """Counts of small and of full steps, the inner state, and the mean gradient so far."""

    mini_step: Any
    gradient_step: Any
    inner_opt_state: Any
    acc_grads: Any


def multi_steps(opt: GradientTransformation, every_k_schedule: Any) -> GradientTransformation:
    """Gradient accumulation: average the gradients of ``k`` calls, then make one step of ``opt``; zero updates in between.

    Parameters
    ----------
    opt : GradientTransformation
        The optimizer.
    every_k_schedule : int or callable
        ``k``, or a function of the count of full steps.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.multi_steps(optim.sgd(1.0), 2)
    >>> params = fnp.array([0.0])
    >>> first, state = t.update(fnp.array([1.0]), t.init(params), params)
    >>> first, t.update(fnp.array([3.0]), state, params)[0]
    (Array([0.]), Array([-2.]))
    """
    period = every_k_schedule if callable(every_k_schedule) else lambda count: every_k_schedule

    def init(params: Any) -> MultiStepsState:
        return MultiStepsState(fnp.asarray(0), fnp.asarray(0), opt.init(params), zeros_like(params))

    def update(updates: Any, state: MultiStepsState, params: Any = None) -> tuple[Any, MultiStepsState]:
        k = period(state.gradient_step)
        # The running mean, so that nothing overflows that the gradients themselves do not.
        mean = tree.map(lambda g, a: a + (g - a) / (state.mini_step + 1).astype(a.dtype), updates, state.acc_grads)
        full = state.mini_step + 1 >= k
        moved, inner_state = opt.update(mean, state.inner_opt_state, params)
        still = tree.map(fnp.zeros_like, mean)
        return chosen_where(full, moved, still), MultiStepsState(
            fnp.where(full, 0, state.mini_step + 1),
            fnp.where(full, state.gradient_step + 1, state.gradient_step),
            chosen_where(full, inner_state, state.inner_opt_state),
            chosen_where(full, still, mean),
        )

    return GradientTransformation(init, update)


MultiSteps = multi_steps


class ApplyIfFiniteState(NamedTuple):
    """Counts of bad gradients in a row and in all, whether the last one was good, and the inner state."""

    notfinite_count: Any
    last_finite: Any
    total_notfinite: Any
    inner_state: Any


def apply_if_finite(inner: GradientTransformation, max_consecutive_errors: int) -> GradientTransformation:
    """Leave out steps whose gradient has a NaN or an infinity, up to a number of them in a row.

    Parameters
    ----------
    inner : GradientTransformation
        The optimizer.
    max_consecutive_errors : int
        After so many bad gradients in a row the next is applied, so that the trouble shows.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.apply_if_finite(optim.sgd(1.0), 3)
    >>> t.update(fnp.array([float("inf")]), t.init(fnp.array([0.0])))[0]
    Array([0.])
    """

    def init(params: Any) -> ApplyIfFiniteState:
        return ApplyIfFiniteState(fnp.asarray(0), fnp.asarray(True), fnp.asarray(0), inner.init(params))

    def update(
        updates: Any, state: ApplyIfFiniteState, params: Any = None, **extra: Any
    ) -> tuple[Any, ApplyIfFiniteState]:
        finite = all_finite(updates)
        in_a_row = fnp.where(finite, 0, state.notfinite_count + 1)
        apply = finite | (in_a_row > max_consecutive_errors)
        moved, inner_state = call_update(inner, updates, state.inner_state, params, extra)
        return chosen_where(apply, moved, tree.map(fnp.zeros_like, updates)), ApplyIfFiniteState(
            in_a_row,
            finite,
            fnp.where(finite, state.total_notfinite, state.total_notfinite + 1),
            chosen_where(apply, inner_state, state.inner_state),
        )

    return like([inner])(init, update)


def all_finite(values: Any) -> Any:
    """Whether no leaf has a NaN or an infinity."""
    finite: Any = fnp.asarray(True)
    for leaf in tree.leaves(values):
        finite = finite & fnp.all(fnp.isfinite(leaf))
    return finite


class EmaState(NamedTuple):
    """Count of steps and running mean."""

    count: Any
    ema: Any


def ema(decay: float, debias: bool = True) -> GradientTransformation:
    """Exponential moving average of the updates; of parameters, if they are passed as updates.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.ema(0.9)
    >>> t.update(fnp.array([2.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([2.])
    """

    def update(updates: Any, state: EmaState, params: Any = None) -> tuple[Any, EmaState]:
        running, count = moment(decay, updates, state.ema), state.count + 1
        return (corrected(decay, count, running) if debias else running), EmaState(count, running)

    return GradientTransformation(lambda params: EmaState(fnp.asarray(0), zeros_like(params)), update)


class LookaheadParams(NamedTuple):
    """Fast and slow copies of the parameters.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.LookaheadParams.init_synced(1.0)
    LookaheadParams(fast=1.0, slow=1.0)
    """

    fast: Any
    slow: Any

    @classmethod
    def init_synced(cls, params: Any) -> LookaheadParams:
        """Both copies equal."""
        return cls(params, params)


class LookaheadState(NamedTuple):
    """State of the fast optimizer and steps since the last synchronisation."""

    fast_state: Any
    steps_since_sync: Any


def lookahead(
    fast_optimizer: GradientTransformation, sync_period: int, slow_step_size: float, reset_state: bool = False
) -> GradientTransformation:
    """Every ``sync_period`` steps, slow parameters move a part of the way to the fast ones (Zhang et al., arXiv:1907.08610).

    Parameters
    ----------
    fast_optimizer : GradientTransformation
        Makes the steps of the fast parameters, whose gradient ``update`` gets.
    sync_period : int
        Steps between synchronisations.
    slow_step_size : float
        Part of the way.
    reset_state : bool
        Whether the fast optimizer starts anew then.

    Notes
    -----
    Parameters and updates are :class:`LookaheadParams`.

    Examples
    --------
    >>> import fad.optim as optim
    >>> t = optim.lookahead(optim.sgd(1.0), 1, 0.5)
    >>> params = optim.LookaheadParams.init_synced(2.0)
    >>> optim.apply_updates(params, t.update(1.0, t.init(params), params)[0])
    LookaheadParams(fast=Array(1.5), slow=Array(1.5))
    """
    if sync_period < 1:
        raise errors.ArgumentError(f"lookahead: sync_period must be at least 1, got {sync_period}")

    def init(params: Any) -> LookaheadState:
        if not isinstance(params, LookaheadParams):
            raise errors.ArgumentError(
                "lookahead: the parameters must be LookaheadParams; use LookaheadParams.init_synced(params)"
            )
        return LookaheadState(fast_optimizer.init(params.fast), fnp.asarray(0))

    def update(updates: Any, state: LookaheadState, params: Any = None) -> tuple[Any, LookaheadState]:
        need_params("lookahead", params)
        moved, fast_state = fast_optimizer.update(updates, state.fast_state, params.fast)
        sync = state.steps_since_sync + 1 >= sync_period
        ahead = tree.map(lambda f, u, s: f + u - s, params.fast, moved, params.slow)
        slow = tree.map(lambda d: fnp.where(sync, slow_step_size * d, fnp.zeros_like(d)), ahead)
        fast = tree.map(lambda u, d: u - fnp.where(sync, (1 - slow_step_size) * d, fnp.zeros_like(d)), moved, ahead)
        if reset_state:
            fast_state = chosen_where(sync, fast_optimizer.init(params.fast), fast_state)
        return LookaheadParams(fast, slow), LookaheadState(fast_state, fnp.where(sync, 0, state.steps_since_sync + 1))

    return GradientTransformation(init, update)


class InjectHyperparamsState(NamedTuple):
    """Count of steps, the hyperparameters that the next step uses, and the inner state."""

    count: Any
    hyperparams: Any
    inner_state: Any


def inject_hyperparams(inner_factory: Callable[..., GradientTransformation]) -> Callable[..., GradientTransformation]:
    """Make an optimizer's numeric arguments part of its state, where they can be read and replaced; schedules are evaluated there.

    Parameters
    ----------
    inner_factory : callable
        An optimizer such as :func:`adam`.

    Returns
    -------
    callable
        With the same arguments; the state of what it gives has ``hyperparams``, a dict of arrays.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.inject_hyperparams(optim.sgd)(learning_rate=0.5)
    >>> state = t.init(fnp.array([0.0]))
    >>> state.hyperparams["learning_rate"]
    Array(0.5)
    """

    @wraps(inner_factory)
    def factory(*args: Any, **kwargs: Any) -> GradientTransformation:
        bound = signature(inner_factory).bind(*args, **kwargs)
        bound.apply_defaults()
        arguments = bound.arguments
        numeric = {
            k: v
            for k, v in arguments.items()
            if isinstance(v, float | fad.Array) or (isinstance(v, int) and not isinstance(v, bool))
        }
        schedules = {k: v for k, v in arguments.items() if callable(v) and k not in numeric and "mask" not in k}
        others = {k: v for k, v in arguments.items() if k not in numeric and k not in schedules}

        def values(count: Any) -> dict[str, Any]:
            return {
                **{k: fnp.asarray(v) for k, v in numeric.items()},
                **{k: fnp.asarray(s(count)) for k, s in schedules.items()},
            }

        def init(params: Any) -> InjectHyperparamsState:
            hyperparams = values(fnp.asarray(0))
            return InjectHyperparamsState(
                fnp.asarray(0), hyperparams, inner_factory(**others, **hyperparams).init(params)
            )

        def update(
            updates: Any, state: InjectHyperparamsState, params: Any = None, **extra: Any
        ) -> tuple[Any, InjectHyperparamsState]:
            scheduled = {k: fnp.asarray(s(state.count)) for k, s in schedules.items()}
            hyperparams = {**state.hyperparams, **scheduled}
            inner = inner_factory(**others, **hyperparams)
            moved, inner_state = call_update(inner, updates, state.inner_state, params, extra)
            moved = tree.map(lambda m, u: fnp.asarray(m).astype(fnp.asarray(u).dtype), moved, updates)
            return moved, InjectHyperparamsState(state.count + 1, hyperparams, inner_state)

        return like([inner_factory(*args, **kwargs)])(init, update)

    return factory
