"""Pooling over the spatial axes of channels-last arrays: by windows, to a given size, or over all of space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import fad.numpy as fnp
from fad import Array, errors
from fad.nn.arguments import floating
from fad.nn.convolutional import hashable
from fad.nn.protocol import Layer, check_channels_last
from fad.numpy.image_windows import avg_pool, max_pool

__all__ = [
    "AdaptiveAvgPool",
    "AdaptiveMaxPool",
    "AvgPool",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "MaxPool",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "global_avg_pool",
    "global_max_pool",
]

Sizes = int | Sequence[int]


def _space(function: str, x: Array) -> tuple[int, ...]:
    if x.ndim < 3:
        raise errors.ShapeError(f"nn.{function} needs an array (n, *space, channels), got shape {x.shape}")
    return tuple(range(1, x.ndim - 1))


def _target(function: str, x: Array, output_size: Sizes) -> list[tuple[int, int, int]]:
    """Each spatial axis with its size and the wanted one."""
    axes = _space(function, x)
    sizes = (output_size,) * len(axes) if isinstance(output_size, int) else tuple(output_size)
    if len(sizes) != len(axes) or min(sizes) < 1 or 0 in (x.shape[a] for a in axes):
        raise errors.ShapeError(
            f"nn.{function}: output_size {output_size!r} must be an int >= 1 or one for each spatial axis of an array of shape {x.shape}, "
            "which must not be empty"
        )
    return [(axis, x.shape[axis], size) for axis, size in zip(axes, sizes)]


def _bounds(size: int, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Where equal pieces of an axis begin and end; they overlap where the division does not come out even."""
    numbers = np.arange(pieces)
    return numbers * size // pieces, -(-(numbers + 1) * size // pieces)


def _split(x: Array, axis: int, pieces: int) -> Array:
    return x.reshape(*x.shape[:axis], pieces, x.shape[axis] // pieces, *x.shape[axis + 1 :])


def adaptive_avg_pool(x: Any, output_size: Sizes) -> Array:
    """Means over so many equal pieces of each spatial axis.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``.
    output_size : int or sequence of int
        How many pieces. Where it does not divide an axis, piece ``i`` goes from ``floor(i size / pieces)`` to ``ceil((i + 1) size / pieces)``.

    Returns
    -------
    Array
        Shape ``(n, *output_size, channels)``.

    Raises
    ------
    ShapeError
        If ``output_size`` does not fit.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.adaptive_avg_pool(fnp.arange(5.0).reshape(1, 5, 1), 2).ravel()
    Array([1., 3.])
    """
    x = floating(x)
    for axis, size, pieces in _target("adaptive_avg_pool", x, output_size):
        if size % pieces == 0:
            x = fnp.mean(_split(x, axis, pieces), axis=axis + 1)
        else:
            starts, stops = _bounds(size, pieces)
            places = np.arange(size)
            inside = (starts[:, None] <= places) & (places < stops[:, None])
            weights = fnp.asarray((inside / (stops - starts)[:, None]).T.astype(x.dtype))
            x = fnp.moveaxis(fnp.moveaxis(x, axis, -1) @ weights, -1, axis)
    return x


def adaptive_max_pool(x: Any, output_size: Sizes) -> Array:
    """Maxima over so many equal pieces of each spatial axis.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``, real.
    output_size : int or sequence of int
        As in :func:`adaptive_avg_pool`.

    Returns
    -------
    Array
        Shape ``(n, *output_size, channels)``.

    Raises
    ------
    ShapeError
        If ``output_size`` does not fit.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.adaptive_max_pool(fnp.arange(5.0).reshape(1, 5, 1), 2).ravel()
    Array([2., 4.])
    """
    x = fnp.asarray(x)
    for axis, size, pieces in _target("adaptive_max_pool", x, output_size):
        if size % pieces == 0:
            x = fnp.max(_split(x, axis, pieces), axis=axis + 1)
        else:
            starts, stops = _bounds(size, pieces)
            # Pieces of unequal size repeat their last element.
            places = np.minimum(starts[:, None] + np.arange((stops - starts).max()), stops[:, None] - 1)
            x = fnp.max(fnp.take(x, places, axis=axis), axis=axis + 1)
    return x


def global_avg_pool(x: Any, keepdims: bool = False) -> Array:
    """Means over all of space.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``.
    keepdims : bool
        Whether the spatial axes stay, with size 1.

    Returns
    -------
    Array
        Shape ``(n, channels)``.

    Raises
    ------
    ShapeError
        If there is no spatial axis.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.global_avg_pool([[[1.0], [3.0]]])
    Array([[2.]])
    """
    x = floating(x)
    return fnp.mean(x, axis=_space("global_avg_pool", x), keepdims=keepdims)


def global_max_pool(x: Any, keepdims: bool = False) -> Array:
    """Maxima over all of space.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``, real.
    keepdims : bool
        Whether the spatial axes stay, with size 1.

    Returns
    -------
    Array
        Shape ``(n, channels)``.

    Raises
    ------
    ShapeError
        If there is no spatial axis.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.global_max_pool([[[1.0], [3.0]]])
    Array([[3.]])
    """
    x = fnp.asarray(x)
    return fnp.max(x, axis=_space("global_max_pool", x), keepdims=keepdims)


def _freeze(layer: Any, *names: str) -> None:
    for name in names:
        object.__setattr__(layer, name, hashable(getattr(layer, name)))


@dataclass(frozen=True)
class MaxPool(Layer):
    """:func:`max_pool` as a layer.

    Parameters
    ----------
    window, stride, padding, dilation
        As in :func:`max_pool`.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.MaxPool(2)({}, [[[1.0], [3.0]]])
    Array([[[3.]]])
    """

    window: Sizes
    stride: Sizes | None = None
    padding: Any = "VALID"
    dilation: Sizes = 1

    def __post_init__(self) -> None:
        _freeze(self, "window", "stride", "padding", "dilation")

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, channels)`` to the same with less space."""
        x = fnp.asarray(x)
        check_channels_last(self, x, None if isinstance(self.window, int) else len(self.window))
        return max_pool(x, self.window, self.stride, self.padding, self.dilation)


@dataclass(frozen=True)
class AvgPool(Layer):
    """:func:`avg_pool` as a layer.

    Parameters
    ----------
    window, stride, padding, dilation, count_include_pad
        As in :func:`avg_pool`.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.AvgPool(2)({}, [[[1.0], [3.0]]])
    Array([[[2.]]])
    """

    window: Sizes
    stride: Sizes | None = None
    padding: Any = "VALID"
    dilation: Sizes = 1
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        _freeze(self, "window", "stride", "padding", "dilation")

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, channels)`` to the same with less space."""
        x = fnp.asarray(x)
        check_channels_last(self, x, None if isinstance(self.window, int) else len(self.window))
        return avg_pool(x, self.window, self.stride, self.padding, self.dilation, self.count_include_pad)


@dataclass(frozen=True)
class AdaptiveAvgPool(Layer):
    """:func:`adaptive_avg_pool` as a layer.

    Parameters
    ----------
    output_size : int or tuple of int
        How many pieces each spatial axis is divided into.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.AdaptiveAvgPool(1)({}, [[[1.0], [3.0]]])
    Array([[[2.]]])
    """

    output_size: Sizes

    def __post_init__(self) -> None:
        _freeze(self, "output_size")

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, channels)`` to ``(n, *output_size, channels)``."""
        return adaptive_avg_pool(x, self.output_size)


@dataclass(frozen=True)
class AdaptiveMaxPool(Layer):
    """:func:`adaptive_max_pool` as a layer.

    Parameters
    ----------
    output_size : int or tuple of int
        How many pieces each spatial axis is divided into.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.AdaptiveMaxPool(1)({}, [[[1.0], [3.0]]])
    Array([[[3.]]])
    """

    output_size: Sizes

    def __post_init__(self) -> None:
        _freeze(self, "output_size")

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, channels)`` to ``(n, *output_size, channels)``."""
        return adaptive_max_pool(x, self.output_size)


@dataclass(frozen=True)
class GlobalAvgPool(Layer):
    """:func:`global_avg_pool` as a layer.

    Parameters
    ----------
    keepdims : bool
        Whether the spatial axes stay, with size 1.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.GlobalAvgPool()({}, [[[1.0], [3.0]]])
    Array([[2.]])
    """

    keepdims: bool = False

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, channels)`` to ``(n, channels)``."""
        return global_avg_pool(x, self.keepdims)


@dataclass(frozen=True)
class GlobalMaxPool(Layer):
    """:func:`global_max_pool` as a layer.

    Parameters
    ----------
    keepdims : bool
        Whether the spatial axes stay, with size 1.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.GlobalMaxPool()({}, [[[1.0], [3.0]]])
    Array([[3.]])
    """

    keepdims: bool = False

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, channels)`` to ``(n, channels)``."""
        return global_max_pool(x, self.keepdims)
