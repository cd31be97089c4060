"""Transformations that scale gradients by running moments: the hearts of Adam and its relatives.

Numbers, defaults and the order of operations are optax's, so that steps agree to rounding.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import fad.numpy as fnp
import fad.tree as tree
from fad.optim.transformation import GradientTransformation, need_params

__all__ = [
    "scale_by_adadelta",
    "scale_by_adam",
    "scale_by_amsgrad",
    "scale_by_lion",
    "scale_by_radam",
    "scale_by_rms",
    "scale_by_rss",
    "scale_by_stddev",
    "scale_by_trust_ratio",
    "trace",
]


class MomentState(NamedTuple):
    """Count of steps, running mean and running mean of squares."""

    count: Any
    mu: Any
    nu: Any


class MaximumMomentState(NamedTuple):
    """As :class:`MomentState`, with the largest corrected mean of squares so far."""

    count: Any
    mu: Any
    nu: Any
    nu_max: Any


class RootState(NamedTuple):
    """Running mean of squares."""

    nu: Any


class StandardDeviationState(NamedTuple):
    """Running mean and mean of squares, without a count."""

    mu: Any
    nu: Any


class SumOfSquaresState(NamedTuple):
    """Sum of all squared gradients."""

    sum_of_squares: Any


class AdadeltaState(NamedTuple):
    """Running means of squared gradients and squared updates."""

    e_g: Any
    e_x: Any


class LionState(NamedTuple):
    """Count of steps and running mean."""

    count: Any
    mu: Any


class TraceState(NamedTuple):
    """Accumulated updates."""

    trace: Any


def zeros_like(params: Any) -> Any:
    """A tree of zeros like the parameters."""
    return tree.map(fnp.zeros_like, params)


def squared(u: Any) -> Any:
    """The square of a real value, the squared modulus of a complex one."""
    return (u * fnp.conj(u)).real if fnp.iscomplexobj(u) else u * u


def moment(decay: float, values: Any, running: Any, order: int = 1) -> Any:
    """Running mean of values (order 1) or of their squares (order 2)."""
    power = squared if order == 2 else lambda u: u
    return tree.map(lambda u, m: (1 - decay) * power(u) + decay * m, values, running)


def corrected(decay: float, count: Any, running: Any) -> Any:
    """A running mean that started at zero, freed of that bias (Kingma and Ba, arXiv:1412.6980, section 3)."""
    factor = 1 - decay**count
    return tree.map(lambda m: m / factor.astype(m.real.dtype), running)


def _start(params: Any) -> MomentState:
    return MomentState(
        fnp.asarray(0), zeros_like(params), tree.map(lambda p: fnp.zeros_like(fnp.asarray(p).real), params)
    )


def scale_by_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0, *, nesterov: bool = False
) -> GradientTransformation:
    """Running mean over root of running mean square, both bias-corrected (Kingma and Ba, arXiv:1412.6980).

    With ``nesterov``, the mean looks one step ahead (Dozat 2016).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_adam()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([1.])
    """

    def update(updates: Any, state: MomentState, params: Any = None) -> tuple[Any, MomentState]:
        mu, nu = moment(b1, updates, state.mu), moment(b2, updates, state.nu, 2)
        count = state.count + 1
        if nesterov:
            ahead, now = corrected(b1, count + 1, mu), corrected(b1, count, updates)
            mu_hat = tree.map(lambda m, g: b1 * m + (1 - b1) * g, ahead, now)
        else:
            mu_hat = corrected(b1, count, mu)
        nu_hat = corrected(b2, count, nu)
        scaled = tree.map(lambda m, v: m / (fnp.sqrt(v + eps_root) + eps), mu_hat, nu_hat)
        return scaled, MomentState(count, mu, nu)

    return GradientTransformation(_start, update)


def scale_by_amsgrad(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0
) -> GradientTransformation:
    """Adam whose second moment never shrinks (Reddi et al., "On the convergence of Adam and beyond", 2018).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_amsgrad()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([1.])
    """

    def init(params: Any) -> MaximumMomentState:
        start = _start(params)
        return MaximumMomentState(*start, nu_max=start.nu)

    def update(updates: Any, state: MaximumMomentState, params: Any = None) -> tuple[Any, MaximumMomentState]:
        mu, nu = moment(b1, updates, state.mu), moment(b2, updates, state.nu, 2)
        count = state.count + 1
        mu_hat, nu_hat = corrected(b1, count, mu), corrected(b2, count, nu)
        nu_max = tree.map(fnp.maximum, state.nu_max, nu_hat)
        scaled = tree.map(lambda m, v: m / (fnp.sqrt(v + eps_root) + eps), mu_hat, nu_max)
        return scaled, MaximumMomentState(count, mu, nu, nu_max)

    return GradientTransformation(init, update)


def scale_by_radam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, eps_root: float = 0.0, threshold: float = 5.0
) -> GradientTransformation:
    """Adam with the variance of its step size rectified (Liu et al., arXiv:1908.03265, algorithm 2).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_radam()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([3.])
    """
    longest = 2.0 / (1.0 - b2) - 1.0

    def update(updates: Any, state: MomentState, params: Any = None) -> tuple[Any, MomentState]:
        mu, nu = moment(b1, updates, state.mu), moment(b2, updates, state.nu, 2)
        count = state.count + 1
        decayed = b2**count
        length = longest - 2 * count * decayed / (1 - decayed)
        mu_hat, nu_hat = corrected(b1, count, mu), corrected(b2, count, nu)
        trusted = length >= threshold
        # Below the threshold the root may be of a negative number; 5 stands in, and is not chosen.
        safe = fnp.where(trusted, length, 5.0)
        r = fnp.sqrt((safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe))

        def rectified(m: Any, v: Any) -> Any:
            return fnp.where(trusted, r.astype(v.dtype) * m / (fnp.sqrt(v + eps_root) + eps), m)

        return tree.map(rectified, mu_hat, nu_hat), MomentState(count, mu, nu)

    return GradientTransformation(_start, update)


def scale_by_rms(decay: float = 0.9, eps: float = 1e-8, initial_scale: float = 0.0) -> GradientTransformation:
    """Over the root of a running mean square (Hinton, "Neural networks for machine learning", lecture 6, 2012).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_rms(decay=0.0)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([1.])
    """

    def update(updates: Any, state: RootState, params: Any = None) -> tuple[Any, RootState]:
        nu = moment(decay, updates, state.nu, 2)
        return tree.map(lambda u, n: u / fnp.sqrt(n + eps), updates, nu), RootState(nu)

    return GradientTransformation(
        lambda params: RootState(tree.map(lambda p: fnp.full_like(p, initial_scale), params)), update
    )


def scale_by_stddev(decay: float = 0.9, eps: float = 1e-8, initial_scale: float = 0.0) -> GradientTransformation:
    """Over a running standard deviation: RMSprop's centred form (Graves, arXiv:1308.0850).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_stddev()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(4)
    Array([3.3333])
    """

    def init(params: Any) -> StandardDeviationState:
        return StandardDeviationState(zeros_like(params), tree.map(lambda p: fnp.full_like(p, initial_scale), params))

    def update(updates: Any, state: StandardDeviationState, params: Any = None) -> tuple[Any, StandardDeviationState]:
        mu, nu = moment(decay, updates, state.mu), moment(decay, updates, state.nu, 2)
        scaled = tree.map(lambda u, m, n: u / fnp.sqrt(n - squared(m) + eps), updates, mu, nu)
        return scaled, StandardDeviationState(mu, nu)

    return GradientTransformation(init, update)


def scale_by_rss(initial_accumulator_value: float = 0.1, eps: float = 1e-7) -> GradientTransformation:
    """Over the root of the sum of all squares: Adagrad (Duchi, Hazan and Singer, 2011).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_rss(0.0)
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([1.])
    """

    def update(updates: Any, state: SumOfSquaresState, params: Any = None) -> tuple[Any, SumOfSquaresState]:
        total = tree.map(lambda u, s: squared(u) + s, updates, state.sum_of_squares)
        scaled = tree.map(lambda u, s: fnp.where(s > 0, u / fnp.sqrt(fnp.where(s > 0, s, 1) + eps), 0), updates, total)
        return scaled, SumOfSquaresState(total)

    return GradientTransformation(
        lambda params: SumOfSquaresState(tree.map(lambda p: fnp.full_like(p, initial_accumulator_value), params)),
        update,
    )


def scale_by_adadelta(rho: float = 0.9, eps: float = 1e-6) -> GradientTransformation:
    """Root mean square of past updates over that of past gradients (Zeiler, arXiv:1212.5701).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_adadelta()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])))[0].round(6)
    Array([0.003162])
    """

    def update(updates: Any, state: AdadeltaState, params: Any = None) -> tuple[Any, AdadeltaState]:
        e_g = moment(rho, updates, state.e_g, 2)
        moved = tree.map(lambda u, g, x: fnp.sqrt(x + eps) / fnp.sqrt(g + eps) * u, updates, e_g, state.e_x)
        return moved, AdadeltaState(e_g, moment(rho, moved, state.e_x, 2))

    return GradientTransformation(lambda params: AdadeltaState(zeros_like(params), zeros_like(params)), update)


def scale_by_lion(b1: float = 0.9, b2: float = 0.99) -> GradientTransformation:
    """Sign of an interpolated mean (Chen et al., arXiv:2302.06675).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_lion()
    >>> t.update(fnp.array([-3.0]), t.init(fnp.array([0.0])))[0]
    Array([-1.])
    """

    def update(updates: Any, state: LionState, params: Any = None) -> tuple[Any, LionState]:
        moved = tree.map(lambda g, m: fnp.sign((1 - b1) * g + b1 * m), updates, state.mu)
        return moved, LionState(state.count + 1, moment(b2, updates, state.mu))

    return GradientTransformation(lambda params: LionState(fnp.asarray(0), zeros_like(params)), update)


def scale_by_trust_ratio(
    min_norm: float = 0.0, trust_coefficient: float = 1.0, eps: float = 0.0
) -> GradientTransformation:
    """Times the parameter's norm over the update's, leaf by leaf (You et al., arXiv:1904.00962).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_trust_ratio()
    >>> t.update(fnp.array([3.0]), t.init(None), fnp.array([6.0]))[0]
    Array([6.])
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        need_params("scale_by_trust_ratio", params)

        def scaled(u: Any, p: Any) -> Any:
            p_norm, u_norm = safe_norm(p, min_norm), safe_norm(u, min_norm)
            ratio = trust_coefficient * p_norm / (fnp.where(u_norm == 0, 1, u_norm) + eps)
            return u * fnp.where((p_norm == 0) | (u_norm == 0), 1, ratio).astype(u.dtype)

        return tree.map(scaled, updates, params), state

    return GradientTransformation(lambda params: (), update)


def safe_norm(x: Any, min_norm: float) -> Any:
    """Euclidean norm, at least ``min_norm``."""
    return fnp.maximum(fnp.sqrt(fnp.sum(squared(fnp.asarray(x)))), min_norm)


def trace(decay: float, nesterov: bool = False) -> GradientTransformation:
    """Accumulated updates that decay: momentum, and Nesterov's form of it.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.trace(0.9)
    >>> first, state = t.update(fnp.array([1.0]), t.init(fnp.array([0.0])))
    >>> t.update(fnp.array([1.0]), state)[0]
    Array([1.9])
    """

    def update(updates: Any, state: TraceState, params: Any = None) -> tuple[Any, TraceState]:
        summed = tree.map(lambda g, t: g + decay * t, updates, state.trace)
        moved = tree.map(lambda g, t: g + decay * t, updates, summed) if nesterov else summed
        return moved, TraceState(summed)

    return GradientTransformation(lambda params: TraceState(zeros_like(params)), update)
