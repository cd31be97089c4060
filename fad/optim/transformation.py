"""What a gradient transformation is, and how transformations are put together.

A transformation is two pure functions: ``init(params) -> state`` and ``update(updates, state, params) -> (updates, state)``. The protocol and the names are
optax's, so recipes carry over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import fad.numpy as fnp
import fad.tree as tree
from fad import errors

__all__ = [
    "EmptyState",
    "GradientTransformation",
    "GradientTransformationExtraArgs",
    "apply_updates",
    "chain",
    "identity",
    "scale",
    "scale_by_learning_rate",
    "scale_by_schedule",
    "set_to_zero",
    "stateless",
]


class GradientTransformation(NamedTuple):
    """A pair of pure functions.

    Attributes
    ----------
    init : callable
        ``init(params) -> state``; the state is a pytree of arrays.
    update : callable
        ``update(updates, state, params=None) -> (updates, state)``; updates have the structure, shapes and dtypes of the parameters.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> halve = optim.GradientTransformation(lambda params: (), lambda u, s, params=None: (u * 0.5, s))
    >>> halve.update(fnp.array([2.0]), halve.init(fnp.array([1.0])))
    (Array([1.]), ())
    """

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


class GradientTransformationExtraArgs(GradientTransformation):
    """A transformation whose ``update`` takes further keyword arguments, such as the value of the loss.

    :func:`chain` and the wrappers hand keyword arguments to transformations of this class only.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> by_loss = optim.GradientTransformationExtraArgs(
    ...     lambda params: (), lambda u, s, params=None, *, value, **others: (u * value, s)
    ... )
    >>> both = optim.chain(by_loss, optim.scale(-1.0))
    >>> both.update(fnp.array([2.0]), both.init(None), value=3.0)[0]
    Array([-6.])
    """

    __slots__ = ()


def call_update(
    transformation: GradientTransformation, updates: Any, state: Any, params: Any, extra: dict[str, Any]
) -> tuple[Any, Any]:
    """Call ``update`` with the keyword arguments, if the transformation takes any."""
    if extra and isinstance(transformation, GradientTransformationExtraArgs):
        return transformation.update(updates, state, params, **extra)
    return transformation.update(updates, state, params)


def like(inner: Iterable[GradientTransformation]) -> type[GradientTransformation]:
    """The class for a transformation made of others: it takes keyword arguments if one of them does."""
    return (
        GradientTransformationExtraArgs
        if any(isinstance(t, GradientTransformationExtraArgs) for t in inner)
        else GradientTransformation
    )


class EmptyState(NamedTuple):
    """The state of a transformation that has none.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.identity().init(None)
    EmptyState()
    """


class CountState(NamedTuple):
    """How many steps were made."""

    count: Any


def apply_updates(params: Any, updates: Any) -> Any:
    """Parameters plus updates, leaf by leaf, in the parameters' dtypes.

    Parameters
    ----------
    params, updates : pytree
        The same structure and shapes. ``None`` among the updates leaves a parameter as it is.

    Returns
    -------
    pytree
        The new parameters.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.apply_updates({"w": 1.0}, {"w": -0.25})
    {'w': Array(0.75)}
    """
    return tree.map(lambda p, u: (fnp.asarray(p) + u).astype(fnp.asarray(p).dtype), params, updates)


def stateless(function: Callable[[Any, Any], Any]) -> GradientTransformation:
    """The transformation ``updates = function(updates, params)`` without state.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.stateless(lambda u, params: -u).update(2.0, ())[0]
    -2.0
    """
    return GradientTransformation(
        lambda params: EmptyState(), lambda updates, state, params=None: (function(updates, params), state)
    )


def identity() -> GradientTransformation:
    """The transformation that changes nothing.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.identity().update(2.0, ())[0]
    2.0
    """
    return stateless(lambda updates, params: updates)


def set_to_zero() -> GradientTransformation:
    """The transformation that makes every update zero, which freezes parameters.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> optim.set_to_zero().update(fnp.ones(2), ())[0]
    Array([0., 0.])
    """
    return stateless(lambda updates, params: tree.map(fnp.zeros_like, updates))


def chain(*transformations: GradientTransformation) -> GradientTransformation:
    """Transformations one after another; the state is the tuple of their states.

    Parameters
    ----------
    *transformations : GradientTransformation
        In the order in which they see the gradient.

    Raises
    ------
    ArgumentError
        If one of them is not a transformation.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> both = optim.chain(optim.scale(2.0), optim.scale(-1.0))
    >>> both.update(fnp.array([3.0]), both.init(fnp.array([0.0])))[0]
    Array([-6.])
    """
    for k, t in enumerate(transformations):
        if not (hasattr(t, "init") and hasattr(t, "update")):
            raise errors.ArgumentError(
                f"optim.chain: argument {k} is {t!r:.80}, which has no init and update; call the optimizer first, as in adam(1e-3)"
            )

    def init(params: Any) -> tuple[Any, ...]:
        return tuple(t.init(params) for t in transformations)

    def update(updates: Any, state: tuple[Any, ...], params: Any = None, **extra: Any) -> tuple[Any, tuple[Any, ...]]:
        if len(state) != len(transformations):
            raise errors.ArgumentError(
                f"optim.chain: the state has {len(state)} parts for {len(transformations)} transformations; make it with init(params)"
            )
        new_state = []
        for t, s in zip(transformations, state):
            updates, s = call_update(t, updates, s, params, extra)
            new_state.append(s)
        return updates, tuple(new_state)

    return like(transformations)(init, update)


def scale(step_size: Any) -> GradientTransformation:
    """Updates times a constant.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> optim.scale(-0.5).update(fnp.array([2.0]), ())[0]
    Array([-1.])
    """
    return stateless(lambda updates, params: tree.map(lambda u: step_size * u, updates))


def scale_by_schedule(step_size_fn: Callable[[Any], Any]) -> GradientTransformation:
    """Updates times ``step_size_fn(count)``, the count of steps made before this one.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_schedule(lambda count: 1.0 / (count + 1))
    >>> t.update(fnp.array([2.0]), t.init(None))[0]
    Array([2.])
    """

    def update(updates: Any, state: CountState, params: Any = None) -> tuple[Any, CountState]:
        factor = step_size_fn(state.count)
        return tree.map(lambda u: in_dtype_of(factor, u) * u, updates), CountState(state.count + 1)

    return GradientTransformation(lambda params: CountState(fnp.asarray(0)), update)


def in_dtype_of(value: Any, like: Any) -> Any:
    """A scalar that does not change the precision of what it multiplies."""
    return value if isinstance(value, int | float) else fnp.asarray(value).astype(fnp.asarray(like).dtype)


def scale_by_learning_rate(learning_rate: Any, flip_sign: bool = True) -> GradientTransformation:
    """Updates times a learning rate, a number or a schedule, with the sign that descends.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> optim.scale_by_learning_rate(0.1).update(fnp.array([2.0]), ())[0]
    Array([-0.2])
    """
    if learning_rate is None or isinstance(learning_rate, str | dict | list | tuple):
        raise errors.ArgumentError(f"optim: a learning rate is a number or a schedule, got {learning_rate!r}")
    sign = -1 if flip_sign else 1
    if callable(learning_rate):
        return scale_by_schedule(lambda count: sign * learning_rate(count))
    return stateless(lambda updates, params: tree.map(lambda u: in_dtype_of(sign * learning_rate, u) * u, updates))


def need_params(name: str, params: Any) -> None:
    """Raise where a transformation needs the parameters and did not get them."""
    if params is None:
        raise errors.ArgumentError(f"optim.{name} needs the parameters: call update(gradient, state, params)")
