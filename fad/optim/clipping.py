"""Clipping, weight decay, noise and repairs: transformations that act on the gradient's size."""

from __future__ import annotations

from typing import Any, NamedTuple

import fad.numpy as fnp
import fad.random as random
import fad.tree as tree
from fad.optim.moments import squared
from fad.optim.transformation import GradientTransformation, need_params, stateless

__all__ = [
    "adaptive_grad_clip",
    "add_decayed_weights",
    "add_noise",
    "centralize",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "global_norm",
    "norms",
    "zero_nans",
]


def global_norm(updates: Any) -> Any:
    """Euclidean norm of all leaves together.

    Parameters
    ----------
    updates : pytree
        Arrays.

    Returns
    -------
    Array
        Shape ``()``.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.global_norm({"a": 3.0, "b": [4.0]})
    Array(5.)
    """
    return fnp.sqrt(sum(fnp.sum(squared(fnp.asarray(u))) for u in tree.leaves(updates)))


def norms(values: Any) -> dict[str, Any]:
    """Euclidean norm of each leaf by its path: which layer's gradient vanishes or explodes.

    Parameters
    ----------
    values : pytree
        Arrays.

    Returns
    -------
    dict of str to Array
        Keys such as ``"dense/w"``; shape ``()`` each.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.norms({"dense": {"w": [3.0, 4.0], "b": 0.5}})
    {'dense/b': Array(0.5), 'dense/w/0': Array(3.), 'dense/w/1': Array(4.)}
    """
    found: dict[str, Any] = {}

    def note(path: tuple[Any, ...], leaf: Any) -> None:
        found["/".join(map(str, path))] = fnp.sqrt(fnp.sum(squared(fnp.asarray(leaf))))

    tree.map_with_path(note, values)
    return found


def clip(max_delta: float) -> GradientTransformation:
    """Each element kept within ``[-max_delta, max_delta]``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> optim.clip(1.0).update(fnp.array([-3.0, 0.5]), ())[0]
    Array([-1. ,  0.5])
    """
    return stateless(lambda updates, params: tree.map(lambda u: fnp.clip(u, -max_delta, max_delta), updates))


def clip_by_global_norm(max_norm: float) -> GradientTransformation:
    """All leaves scaled together so that their norm is at most ``max_norm`` (Pascanu et al., arXiv:1211.5063).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> optim.clip_by_global_norm(1.0).update(fnp.array([3.0, 4.0]), ())[0]
    Array([0.6, 0.8])
    """

    def clipped(updates: Any, params: Any) -> Any:
        norm = global_norm(updates)
        keep = norm < max_norm
        safe = fnp.where(keep, 1.0, norm)
        return tree.map(lambda u: fnp.where(keep, u, (u / safe.astype(u.real.dtype)) * max_norm), updates)

    return stateless(clipped)


def clip_by_block_rms(threshold: float) -> GradientTransformation:
    """Each leaf scaled so that its root mean square is at most ``threshold``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> optim.clip_by_block_rms(1.0).update(fnp.array([2.0, 2.0]), ())[0]
    Array([1., 1.])
    """
    return stateless(
        lambda updates, params: tree.map(
            lambda u: u / fnp.maximum(1.0, fnp.sqrt(fnp.mean(squared(u))) / threshold), updates
        )
    )


def adaptive_grad_clip(clipping: float, eps: float = 1e-3) -> GradientTransformation:
    """Each unit's gradient norm kept below ``clipping`` times its parameter norm (Brock et al., arXiv:2102.06171).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.adaptive_grad_clip(0.1)
    >>> t.update(fnp.array([3.0]), t.init(None), fnp.array([1.0]))[0]
    Array([0.1])
    """

    def unit_norm(x: Any) -> Any:
        if x.ndim <= 1 or x.size == max(x.shape):
            axes: Any = None
        elif x.ndim in (2, 3):
            axes = 0
        else:
            axes = tuple(range(x.ndim - 1))
        return fnp.sqrt(fnp.sum(squared(x), axis=axes, keepdims=True))

    def clipped(updates: Any, params: Any) -> Any:
        need_params("adaptive_grad_clip", params)

        def one(u: Any, p: Any) -> Any:
            norm, allowed = unit_norm(u), clipping * fnp.maximum(unit_norm(fnp.asarray(p)), eps)
            return fnp.where(norm < allowed, u, u * (allowed / fnp.maximum(norm, 1e-6)))

        return tree.map(one, updates, params)

    return stateless(clipped)


def centralize() -> GradientTransformation:
    """Mean over all axes but the last taken off each matrix's gradient (Yong et al., arXiv:2004.01461).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> optim.centralize().update(fnp.array([[1.0, 3.0]]), ())[0]
    Array([[-1.,  1.]])
    """
    return stateless(
        lambda updates, params: tree.map(
            lambda u: u - fnp.mean(u, axis=tuple(range(1, u.ndim)), keepdims=True) if u.ndim > 1 else u, updates
        )
    )


def add_decayed_weights(weight_decay: Any = 0.0, mask: Any = None) -> GradientTransformation:
    """Parameters times a constant added to the updates: decoupled weight decay (Loshchilov and Hutter, arXiv:1711.05101).

    Parameters
    ----------
    weight_decay : float
        The constant.
    mask : pytree of bool or callable, optional
        Which leaves decay; a function of the parameters may give it.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.add_decayed_weights(0.1)
    >>> t.update(fnp.array([1.0]), t.init(None), fnp.array([2.0]))[0]
    Array([1.2])
    """

    def decayed(updates: Any, params: Any) -> Any:
        need_params("add_decayed_weights", params)
        if mask is None:
            return tree.map(lambda u, p: u + weight_decay * p, updates, params)
        chosen = mask(params) if callable(mask) else mask
        return tree.map(lambda u, p, m: u + weight_decay * p if m else u, updates, params, chosen)

    return stateless(decayed)


class NoiseState(NamedTuple):
    """Count of steps and the key of the next noise."""

    count: Any
    key: Any


def add_noise(eta: float, gamma: float, key: Any) -> GradientTransformation:
    """Normal noise of variance ``eta / (1 + count) ** gamma`` (Neelakantan et al., arXiv:1511.06807).

    Parameters
    ----------
    eta, gamma : float
        First variance and its decay.
    key : Array or int
        A key of :mod:`fad.random`, or a seed.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.add_noise(0.0, 0.5, 0)
    >>> t.update(fnp.array([1.0]), t.init(None))[0]
    Array([1.])
    """

    def update(updates: Any, state: NoiseState, params: Any = None) -> tuple[Any, NoiseState]:
        leaves, structure = tree.flatten(updates)
        count = state.count + 1
        next_key, *keys = random.split(state.key, len(leaves) + 1)
        deviation = fnp.sqrt(eta / count**gamma)
        noisy = [u + deviation.astype(u.dtype) * random.normal(k, u.shape, u.dtype) for u, k in zip(leaves, keys)]
        return tree.unflatten(structure, noisy), NoiseState(count, next_key)

    start = random.key(key) if isinstance(key, int) else key
    return GradientTransformation(lambda params: NoiseState(fnp.asarray(0), start), update)


class ZeroNansState(NamedTuple):
    """Whether each leaf had a NaN in the last gradient."""

    found_nan: Any


def zero_nans() -> GradientTransformation:
    """NaN in the gradient replaced by zero; the state says which leaves had one.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> import fad.optim as optim
    >>> t = optim.zero_nans()
    >>> t.update(fnp.array([float("nan"), 1.0]), t.init(fnp.zeros(2)))[0]
    Array([0., 1.])
    """

    def update(updates: Any, state: ZeroNansState, params: Any = None) -> tuple[Any, ZeroNansState]:
        found = tree.map(lambda u: fnp.any(fnp.isnan(u)), updates)
        return tree.map(lambda u: fnp.where(fnp.isnan(u), 0, u), updates), ZeroNansState(found)

    return GradientTransformation(lambda params: ZeroNansState(tree.map(lambda p: fnp.asarray(False), params)), update)
