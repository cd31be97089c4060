"""Adafactor and Muon: optimizers that know that a parameter is a matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

import fad.numpy as fnp
import fad.tree as tree
from fad.optim.clipping import add_decayed_weights, clip_by_block_rms
from fad.optim.moments import corrected, moment, squared, zeros_like
from fad.optim.optimizers import adamw
from fad.optim.transformation import (
    GradientTransformation,
    chain,
    identity,
    need_params,
    scale,
    scale_by_learning_rate,
)
from fad.optim.wrappers import ema, multi_transform

__all__ = ["adafactor", "muon", "scale_by_factored_rms", "scale_by_muon", "scale_by_param_block_rms"]


class FactoredState(NamedTuple):
    """Count of steps; row and column means of squares, or full ones, leaf by leaf (unused ones have one element)."""

    count: Any
    v_row: Any
    v_col: Any
    v: Any


def _factored_axes(shape: tuple[int, ...], factored: bool, smallest: int) -> tuple[int, int] | None:
    """The second largest and the largest axis, if both are large enough to factor."""
    if not factored or len(shape) < 2:
        return None
    order = sorted(range(len(shape)), key=lambda axis: shape[axis])
    return None if shape[order[-2]] < smallest else (order[-2], order[-1])


def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: float = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: float = 1e-30,
) -> GradientTransformation:
    """Over a root mean square kept as an outer product of row and column means (Shazeer and Stern, arXiv:1804.04235).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_factored_rms()
    >>> t.update(fnp.array([3.0]), t.init(fnp.array([0.0])), fnp.array([0.0]))[0].round(6)
    Array([1.])
    """

    def init(params: Any) -> FactoredState:
        def shapes(p: Any) -> tuple[Any, Any, Any]:
            p = fnp.asarray(p)
            axes = _factored_axes(p.shape, factored, min_dim_size_to_factor)
            one = fnp.zeros((1,), dtype=p.dtype)
            if axes is None:
                return one, one, fnp.zeros(p.shape, dtype=p.dtype)
            rows = tuple(n for i, n in enumerate(p.shape) if i != axes[1])
            columns = tuple(n for i, n in enumerate(p.shape) if i != axes[0])
            return fnp.zeros(rows, dtype=p.dtype), fnp.zeros(columns, dtype=p.dtype), one

        leaves, structure = tree.flatten(params)
        made = [shapes(p) for p in leaves]
        return FactoredState(fnp.asarray(0), *[tree.unflatten(structure, [m[k] for m in made]) for k in range(3)])

    def update(updates: Any, state: FactoredState, params: Any = None) -> tuple[Any, FactoredState]:
        t = (state.count - step_offset + 1).astype(float)
        decay = decay_rate_pow(t, decay_rate)
        leaves, structure = tree.flatten(updates)
        parts = zip(leaves, *[tree.leaves(s) for s in state[1:]])
        made = [
            _factored_step(g, r, c, v, decay, _factored_axes(g.shape, factored, min_dim_size_to_factor), epsilon)
            for g, r, c, v in parts
        ]
        rebuilt = [tree.unflatten(structure, [m[k] for m in made]) for k in range(4)]
        return rebuilt[0], FactoredState(state.count + 1, *rebuilt[1:])

    return GradientTransformation(init, update)


def decay_rate_pow(t: Any, exponent: float) -> Any:
    """The second moment's decay at step ``t``, counted from 1."""
    return 1.0 - t ** (-exponent)


def _factored_step(
    g: Any, v_row: Any, v_col: Any, v: Any, decay: Any, axes: tuple[int, int] | None, epsilon: float
) -> tuple[Any, Any, Any, Any]:
    decay = decay.astype(g.dtype)
    square = squared(g) + epsilon
    if axes is None:
        v = decay * v + (1 - decay) * square
        return g / fnp.sqrt(v), v_row, v_col, v
    first, second = axes
    v_row = decay * v_row + (1 - decay) * fnp.mean(square, axis=second)
    v_col = decay * v_col + (1 - decay) * fnp.mean(square, axis=first)
    reduced = first - 1 if first > second else first
    row = (v_row / fnp.mean(v_row, axis=reduced, keepdims=True)) ** -0.5
    return g * fnp.expand_dims(row, second) * fnp.expand_dims(v_col**-0.5, first), v_row, v_col, v


def scale_by_param_block_rms(min_scale: float = 1e-3) -> GradientTransformation:
    """Times each parameter's root mean square.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_param_block_rms()
    >>> t.update(fnp.array([1.0]), t.init(None), fnp.array([2.0]))[0]
    Array([2.])
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        need_params("scale_by_param_block_rms", params)
        rms = lambda p: fnp.maximum(fnp.sqrt(fnp.mean(squared(fnp.asarray(p)))), min_scale)  # noqa: E731
        return tree.map(lambda u, p: u * rms(p), updates, params), state

    return GradientTransformation(lambda params: (), update)


def adafactor(
    learning_rate: Any = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: float = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: float | None = 1.0,
    momentum: float | None = None,
    weight_decay_rate: float | None = None,
    eps: float = 1e-30,
    factored: bool = True,
    weight_decay_mask: Any = None,
) -> GradientTransformation:
    """Adafactor: second moments in sublinear memory (Shazeer and Stern, arXiv:1804.04235).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adafactor(0.1)
    >>> params = fnp.array([2.0])
    >>> t.update(fnp.array([3.0]), t.init(params), params)[0].round(6)
    Array([-0.2])
    """
    steps = [scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps)]
    if clipping_threshold is not None:
        steps.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        steps.append(scale_by_learning_rate(learning_rate, flip_sign=False))
    if multiply_by_parameter_scale:
        steps.append(scale_by_param_block_rms())
    if momentum is not None:
        steps.append(ema(momentum, debias=False))
    if weight_decay_rate is not None:
        steps.append(add_decayed_weights(weight_decay_rate, weight_decay_mask))
    return chain(*steps, scale(-1.0))


class MuonState(NamedTuple):
    """Count of steps and running mean."""

    count: Any
    mu: Any


# Quintic Newton-Schulz coefficients of Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalized(x: Any, coefficients: tuple[float, float, float], steps: int, eps: float) -> Any:
    """An approximation of the orthogonal polar factor of a matrix, by Newton-Schulz iterations."""
    a, b, c = coefficients
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    x = x / (fnp.sqrt(fnp.sum(squared(x))) + eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x if wide else x.T


def scale_by_muon(
    ns_coeffs: tuple[float, float, float] = NEWTON_SCHULZ,
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    *,
    nesterov: bool = True,
) -> GradientTransformation:
    """Orthogonalised momentum of matrices, times ``sqrt(max(1, columns / rows))``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.scale_by_muon()
    >>> t.update(fnp.eye(2), t.init(fnp.eye(2)))[0].shape
    (2, 2)
    """

    def update(updates: Any, state: MuonState, params: Any = None) -> tuple[Any, MuonState]:
        mu, count = moment(beta, updates, state.mu), state.count + 1
        if nesterov:
            ahead, now = corrected(beta, count + 1, mu), corrected(beta, count, updates)
            mu_hat = tree.map(lambda m, g: beta * m + (1 - beta) * g, ahead, now)
        else:
            mu_hat = corrected(beta, count, mu)
        moved = tree.map(
            lambda m: orthogonalized(m, ns_coeffs, ns_steps, eps) * max(1, m.shape[1] / m.shape[0]) ** 0.5, mu_hat
        )
        return moved, MuonState(count, mu)

    return GradientTransformation(lambda params: MuonState(fnp.asarray(0), zeros_like(params)), update)


def muon(
    learning_rate: Any,
    ns_coeffs: tuple[float, float, float] = NEWTON_SCHULZ,
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    *,
    nesterov: bool = True,
    adam_b1: float = 0.9,
    adam_b2: float = 0.999,
    adam_weight_decay: float = 0.0,
) -> GradientTransformation:
    """Muon for matrices, AdamW for everything else (Jordan et al. 2024).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.muon(0.1)
    >>> params = {"w": fnp.eye(2), "b": fnp.zeros(2)}
    >>> t.update(params, t.init(params), params)[0]["w"].shape
    (2, 2)
    """
    matrices = chain(
        scale_by_muon(ns_coeffs, ns_steps, beta, eps, nesterov=nesterov),
        add_decayed_weights(weight_decay) if weight_decay else identity(),
        scale_by_learning_rate(learning_rate),
    )
    others = adamw(learning_rate, adam_b1, adam_b2, weight_decay=adam_weight_decay, nesterov=nesterov)
    return multi_transform(
        {"matrix": matrices, "other": others},
        lambda params: tree.map(lambda p: "matrix" if fnp.asarray(p).ndim == 2 else "other", params),
    )
