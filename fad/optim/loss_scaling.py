"""Dynamic loss scaling: keep the small gradients of half precision above its smallest number (Micikevicius et al., arXiv:1710.03740)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import fad
import fad.numpy as fnp
import fad.tree as tree
from fad import errors
from fad.optim.wrappers import all_finite

__all__ = ["LossScaling", "dynamic_loss_scaling"]


class LossScaleState(NamedTuple):
    """The factor that the loss is multiplied by, the number of good steps since it changed, and whether the last gradient was finite."""

    scale: Any
    good_steps: Any
    finite: Any


class LossScaling(NamedTuple):
    """A factor for the loss that follows what the gradients bear; made by :func:`dynamic_loss_scaling`.

    Attributes
    ----------
    initial, growth_interval, growth_factor, backoff_factor, smallest, largest
        As in :func:`dynamic_loss_scaling`.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.dynamic_loss_scaling(initial=4.0).init().scale
    Array(4., dtype=float32)
    """

    initial: float
    growth_interval: int
    growth_factor: float
    backoff_factor: float
    smallest: float
    largest: float

    def init(self) -> LossScaleState:
        """The first state."""
        return LossScaleState(fnp.asarray(self.initial, dtype=fnp.float32), fnp.asarray(0), fnp.asarray(True))

    def adjust(self, state: LossScaleState, finite: Any) -> LossScaleState:
        """The state after a gradient that was, or was not, finite."""
        grows = finite & (state.good_steps + 1 >= self.growth_interval)
        larger = fnp.minimum(state.scale * self.growth_factor, self.largest)
        smaller = fnp.maximum(state.scale * self.backoff_factor, self.smallest)
        scale = fnp.where(finite, fnp.where(grows, larger, state.scale), smaller)
        return LossScaleState(
            scale.astype(state.scale.dtype), fnp.where(finite & ~grows, state.good_steps + 1, 0), fnp.asarray(finite)
        )

    def value_and_grad(self, fun: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
        """As ``fad.value_and_grad``, by way of the scaled loss.

        Parameters
        ----------
        fun : callable
            The loss.
        argnums : int or sequence of int
            What to differentiate with respect to.
        has_aux : bool
            Whether ``fun`` also gives auxiliary data.

        Returns
        -------
        callable
            ``(state, *args) -> ((value, gradient), state)``. The value and the gradient are those of the loss itself; a gradient that overflowed has infinities or NaN, so let
            :func:`apply_if_finite` leave out its step.
        """

        def scaled_and_back(state: LossScaleState, *args: Any, **kwargs: Any) -> tuple[Any, LossScaleState]:
            def scaled(*inner: Any, **names: Any) -> tuple[Any, Any]:
                out = fun(*inner, **names)
                loss, aux = out if has_aux else (out, None)
                loss = fnp.asarray(loss)
                # In the loss's own half precision the product itself would overflow.
                wide = loss.astype(fnp.result_type(loss.dtype, state.scale.dtype))
                return wide * state.scale.astype(wide.dtype), (loss, aux)

            (_, (loss, aux)), gradient = fad.value_and_grad(scaled, argnums, has_aux=True)(*args, **kwargs)
            gradient = tree.map(
                lambda g: (g.astype(fnp.result_type(g, fnp.float32)) / state.scale).astype(g.dtype), gradient
            )
            value = (loss, aux) if has_aux else loss
            return (value, gradient), self.adjust(state, all_finite(gradient))

        return scaled_and_back


def dynamic_loss_scaling(
    initial: float = 2.0**15,
    growth_interval: int = 2000,
    growth_factor: float = 2.0,
    backoff_factor: float = 0.5,
    smallest: float = 1.0,
    largest: float = 2.0**24,
) -> LossScaling:
    """Scale the loss before differentiating and the gradient back after it; halve on overflow, double after a long quiet time.

    Parameters
    ----------
    initial : float
        First factor.
    growth_interval : int
        Good steps in a row before the factor grows.
    growth_factor, backoff_factor : float
        What it is multiplied by then, and after an overflow.
    smallest, largest : float
        Its limits.

    Returns
    -------
    LossScaling
        With ``init()`` and ``value_and_grad(fun)``.

    Raises
    ------
    ArgumentError
        If growing would not grow, or backing off not shrink.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> scaling = optim.dynamic_loss_scaling(initial=1024.0)
    >>> loss = lambda x: fnp.sum(x * fnp.float16(1e-5))
    >>> (value, gradient), state = scaling.value_and_grad(loss)(scaling.init(), fnp.ones(2, dtype="float16"))
    >>> bool(state.finite), state.scale
    (True, Array(1024., dtype=float32))
    """
    if not (growth_factor > 1.0 and 0.0 < backoff_factor < 1.0 and growth_interval >= 1):
        raise errors.ArgumentError(
            "optim.dynamic_loss_scaling: growth_factor must be above 1, backoff_factor between 0 and 1 and growth_interval at least 1, "
            f"got {growth_factor}, {backoff_factor} and {growth_interval}"
        )
    return LossScaling(initial, growth_interval, growth_factor, backoff_factor, smallest, largest)
