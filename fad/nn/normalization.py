"""Normalisation layers. Batch normalisation has running statistics, which it takes and gives as state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import fad.numpy as fnp
from fad import Array, errors, pmean, psum, stop_gradient
from fad.nn.arguments import floating
from fad.nn.functional import batch_norm, group_norm, instance_norm, layer_norm, rms_norm
from fad.nn.protocol import DType, Layer, LayerShapeError, Params, check_channels_last, check_last_axis

__all__ = ["BatchNorm", "GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm"]


def _affine(shape: tuple[int, ...], dtype: DType, scale: bool, shift: bool) -> Params:
    params = {}
    if scale:
        params["weight"] = fnp.ones(shape, dtype)
    if shift:
        params["bias"] = fnp.zeros(shape, dtype)
    return params


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Each channel normalised with the mean and variance of the batch; with the running ones when not training (Ioffe and Szegedy 2015).

    Parameters
    ----------
    channels : int
        Size of the last axis.
    eps : float
        Added to the variance.
    momentum : float
        How much of the running statistics a batch replaces.
    affine : bool
        Whether to scale and shift.
    axis_name : hashable, optional
        The name of a mapped axis (see :func:`fad.vmap`) over which statistics are shared too.

    Notes
    -----
    Called as ``layer(params, x, state=state, train=False)``, gives ``(y, state)``. Parameters: ``weight`` and ``bias``; state: ``mean`` and ``var``, the
    running variance being the unbiased one. An empty batch leaves the state as it is.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.BatchNorm(1, eps=0.0)
    >>> params, state = layer.init(fad.random.key(0)), layer.init_state()
    >>> y, state = layer(params, [[1.0], [3.0]], state=state, train=True)
    >>> y.ravel(), state["mean"]
    (Array([-1.,  1.]), Array([0.2]))
    """

    channels: int
    eps: float = 1e-5
    momentum: float = 0.1
    affine: bool = True
    axis_name: Any = None

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        return _affine((self.channels,), dtype, self.affine, self.affine)

    def init_state(self, dtype: DType = float) -> Params:
        """Mean 0 and variance 1."""
        return {"mean": fnp.zeros((self.channels,), dtype), "var": fnp.ones((self.channels,), dtype)}

    def __call__(self, params: Any, x: Any, *, state: Any = None, train: bool = False) -> tuple[Array, Any]:
        """Shape ``(..., channels)``, unchanged; and the state."""
        x = floating(x)
        check_last_axis(self, x, self.channels)
        if state is None:
            raise errors.ArgumentError(
                "BatchNorm has running statistics: call model(params, x, state=state) with state = model.init_state(), and keep the state it gives"
            )
        weight, bias = (params["weight"], params["bias"]) if self.affine else (None, None)
        if not train or x.size == 0:
            return batch_norm(x, state["mean"], state["var"], weight, bias, self.eps), state
        axes = tuple(range(x.ndim - 1))
        mean = fnp.mean(x, axis=axes)
        if self.axis_name is not None:
            mean = pmean(mean, self.axis_name)
        # The variance is the mean square less (mean - constant)^2 whatever constant is subtracted from x. So it may be the mean with derivative 0: what the
        # elements would pass on to their mean cancels, and the mean's derivative needs no further sum over the batch.
        constant = stop_gradient(mean)
        centred, shift = x - constant, constant - mean
        square = fnp.mean(centred * centred, axis=axes)
        if self.axis_name is not None:
            square = pmean(square, self.axis_name)
        var = square - shift * shift
        factor = 1 / fnp.sqrt(var + self.eps)
        if self.affine:
            factor = factor * weight
        offset = shift * factor
        y = centred * factor + (offset + bias if self.affine else offset)
        new = self._updated(state, mean, var, math.prod(x.shape[:-1]))
        return y, new

    def _updated(self, state: Any, mean: Array, var: Array, count: int) -> Params:
        total: Any = count if self.axis_name is None else psum(count, self.axis_name)
        unbiased = total / fnp.maximum(total - 1, 1)
        batch = {"mean": stop_gradient(mean), "var": stop_gradient(var) * unbiased}
        keep = 1 - self.momentum
        return {k: (keep * state[k] + self.momentum * v).astype(state[k].dtype) for k, v in batch.items()}


@dataclass(frozen=True)
class LayerNorm(Layer):
    """Each example normalised along its last axes.

    Parameters
    ----------
    shape : int or tuple of int
        Sizes of the last axes, along which to normalise.
    eps : float
        Added to the variance.
    scale, bias : bool
        Whether to scale and to shift.

    Notes
    -----
    Parameters: ``weight`` and ``bias`` of that shape.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.LayerNorm(2, eps=0.0)
    >>> layer(layer.init(fad.random.key(0)), [[1.0, 3.0]])
    Array([[-1.,  1.]])
    """

    shape: int | tuple[int, ...]
    eps: float = 1e-5
    scale: bool = True
    bias: bool = True

    def __post_init__(self) -> None:
        shape = (self.shape,) if isinstance(self.shape, int) else tuple(self.shape)
        object.__setattr__(self, "shape", shape)

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        return _affine(self.shape, dtype, self.scale, self.bias)  # type: ignore[arg-type]

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(..., *shape)``, unchanged."""
        x, count = floating(x), len(self.shape)  # type: ignore[arg-type]
        if x.ndim < count or x.shape[x.ndim - count :] != self.shape:
            raise LayerShapeError(f"expected last axes {self.shape}, got an array of shape {x.shape}", "LayerNorm")
        return layer_norm(x, params.get("weight"), params.get("bias"), tuple(range(-count, 0)), self.eps)


@dataclass(frozen=True)
class RMSNorm(Layer):
    """Each vector along the last axis divided by the root of its mean square.

    Parameters
    ----------
    features : int
        Size of the last axis.
    eps : float
        Added to the mean square.

    Notes
    -----
    Parameters: ``weight`` of shape ``(features,)``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.RMSNorm(2, eps=0.0)
    >>> layer(layer.init(fad.random.key(0)), [[1.0, 7.0]])
    Array([[0.2, 1.4]])
    """

    features: int
    eps: float = 1e-6

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        return _affine((self.features,), dtype, True, False)

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(..., features)``, unchanged."""
        x = floating(x)
        check_last_axis(self, x, self.features)
        return rms_norm(x, params["weight"], -1, self.eps)


@dataclass(frozen=True)
class GroupNorm(Layer):
    """Each group of channels of each example normalised.

    Parameters
    ----------
    groups, channels : int
        How many groups of how many channels.
    eps : float
        Added to the variance.
    affine : bool
        Whether to scale and shift.

    Notes
    -----
    Parameters: ``weight`` and ``bias`` of shape ``(channels,)``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.GroupNorm(2, 4, eps=0.0)
    >>> layer(layer.init(fad.random.key(0)), [[1.0, 3.0, 0.0, 8.0]])
    Array([[-1.,  1., -1.,  1.]])
    """

    groups: int
    channels: int
    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        if self.groups < 1 or self.channels % self.groups:
            raise errors.ArgumentError(f"GroupNorm: groups={self.groups} must divide channels={self.channels}")

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        return _affine((self.channels,), dtype, self.affine, self.affine)

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, channels)``, unchanged."""
        x = floating(x)
        check_last_axis(self, x, self.channels)
        return group_norm(x, self.groups, params.get("weight"), params.get("bias"), self.eps)


@dataclass(frozen=True)
class InstanceNorm(Layer):
    """Each channel of each example normalised.

    Parameters
    ----------
    channels : int
        Size of the last axis.
    eps : float
        Added to the variance.
    affine : bool
        Whether to scale and shift.

    Notes
    -----
    Parameters: ``weight`` and ``bias`` of shape ``(channels,)``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.InstanceNorm(1, eps=0.0)
    >>> layer(layer.init(fad.random.key(0)), [[[1.0], [3.0]]]).ravel()
    Array([-1.,  1.])
    """

    channels: int
    eps: float = 1e-5
    affine: bool = True

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        return _affine((self.channels,), dtype, self.affine, self.affine)

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, channels)``, unchanged."""
        x = floating(x)
        check_channels_last(self, x, None, self.channels)
        return instance_norm(x, params.get("weight"), params.get("bias"), self.eps)
