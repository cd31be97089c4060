"""Functional forms that several layers share: one-hot vectors, dropout, normalisations."""

from __future__ import annotations

import math
from typing import Any

import fad.numpy as fnp
from fad import Array, errors, random
from fad.nn.arguments import coefficient, floating

__all__ = [
    "batch_norm",
    "dropout",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "one_hot",
    "rms_norm",
    "standardize",
]


def one_hot(labels: Any, classes: int, dtype: Any = float, axis: int = -1) -> Array:
    """Vectors with a 1 at the label and zeros elsewhere.

    Parameters
    ----------
    labels : array_like of int
        Any shape; a label outside ``range(classes)`` gives zeros only.
    classes : int
        Size of the new axis.
    dtype : dtype
        Of the result.
    axis : int
        Where the new axis stands in the result.

    Returns
    -------
    Array
        One axis more than ``labels``.

    Raises
    ------
    DTypeError
        If the labels are not integers.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.one_hot([0, 2], 3)
    Array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = fnp.asarray(labels)
    if not fnp.issubdtype(labels.dtype, fnp.integer):
        raise errors.DTypeError(f"nn.one_hot takes integers, got dtype {labels.dtype}")
    place = axis % (labels.ndim + 1)
    shape = [1] * (labels.ndim + 1)
    shape[place] = classes
    return (fnp.expand_dims(labels, place) == fnp.arange(classes).reshape(shape)).astype(dtype)


def dropout(key: Array, x: Any, rate: float = 0.5, broadcast_axes: tuple[int, ...] = ()) -> Array:
    """Zeros with probability ``rate``, the rest divided by ``1 - rate``.

    Parameters
    ----------
    key : Array
        From :func:`fad.random.key`.
    x : array_like
        Real or complex.
    rate : float
        The probability of a zero, in [0, 1].
    broadcast_axes : tuple of int
        Axes along which the same choice is made.

    Returns
    -------
    Array
        Shape and dtype of ``x``.

    Raises
    ------
    ArgumentError
        If ``rate`` is no probability.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> nn.dropout(fad.random.key(1), [1.0, 1.0, 1.0, 1.0])
    Array([0., 2., 0., 0.])
    """
    if not 0 <= rate <= 1:
        raise errors.ArgumentError(f"nn.dropout: rate is a probability, got {rate}")
    x = floating(x)
    if rate == 0:
        return x
    if rate == 1:
        return fnp.zeros_like(x)
    common = {axis % x.ndim for axis in broadcast_axes}
    shape = tuple(1 if axis in common else n for axis, n in enumerate(x.shape))
    # The numbers are drawn in single precision: a probability needs no more.
    kept = random.uniform(key, shape, fnp.float32) >= rate
    return fnp.where(kept, x * (1 / (1 - rate)), 0)


def _scaled(x: Array, weight: Any, bias: Any) -> Array:
    if weight is not None:
        x = x * coefficient(weight)
    return x if bias is None else x + coefficient(bias)


def _normalized(x: Array, axes: Any, eps: float) -> Array:
    centred = x - fnp.mean(x, axis=axes, keepdims=True)
    return centred / fnp.sqrt(fnp.mean(centred * centred, axis=axes, keepdims=True) + eps)


def safe_norm(x: Array, axis: int, least: float) -> Array:
    """The Euclidean norm along an axis, at least ``least``, with derivative 0 where it vanishes."""
    squares = fnp.sum(x * x, axis=axis)
    small = squares <= least * least
    return fnp.where(small, least, fnp.sqrt(fnp.where(small, 1, squares)))


def standardize(
    x: Any, axis: int | tuple[int, ...] = -1, mean: Any = None, variance: Any = None, epsilon: float = 1e-5
) -> Array:
    """``(x - mean) / sqrt(variance + epsilon)``: mean 0 and variance 1 along axes.

    Parameters
    ----------
    x : array_like
        Real.
    axis : int or tuple of int
        The axes that a mean and a variance are taken over.
    mean, variance : array_like, optional
        Used instead of those of ``x``.
    epsilon : float
        Added to the variance.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.standardize([1.0, 3.0], epsilon=0.0)
    Array([-1.,  1.])
    """
    x = floating(x)
    centre = fnp.mean(x, axis, keepdims=True) if mean is None else fnp.asarray(mean)
    spread = fnp.mean((x - centre) ** 2, axis, keepdims=True) if variance is None else fnp.asarray(variance)
    return (x - centre) / fnp.sqrt(spread + epsilon)


def layer_norm(
    x: Any, weight: Any = None, bias: Any = None, axis: int | tuple[int, ...] = -1, eps: float = 1e-5
) -> Array:
    """Mean 0 and variance 1 along axes, then scaled and shifted (Ba et al. 2016, arXiv:1607.06450).

    Parameters
    ----------
    x : array_like
        Real.
    weight, bias : array_like, optional
        Broadcast with ``x``.
    axis : int or tuple of int
        The axes to normalise.
    eps : float
        Added to the variance.

    Returns
    -------
    Array
        Shape of ``x``.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.layer_norm([1.0, 3.0], eps=0.0)
    Array([-1.,  1.])
    """
    return _scaled(_normalized(floating(x), axis, eps), weight, bias)


def rms_norm(x: Any, weight: Any = None, axis: int | tuple[int, ...] = -1, eps: float = 1e-6) -> Array:
    """Divided by the root of the mean square along axes (Zhang and Sennrich 2019, arXiv:1910.07467).

    Parameters
    ----------
    x : array_like
        Real.
    weight : array_like, optional
        Broadcast with ``x``.
    axis : int or tuple of int
        The axes to normalise.
    eps : float
        Added to the mean square.

    Returns
    -------
    Array
        Shape of ``x``.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.rms_norm([1.0, 7.0], eps=0.0)
    Array([0.2, 1.4])
    """
    x = floating(x)
    return _scaled(x / fnp.sqrt(fnp.mean(x * x, axis=axis, keepdims=True) + eps), weight, None)


def group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Array:
    """Mean 0 and variance 1 within groups of channels of each example (Wu and He 2018, arXiv:1803.08494).

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``.
    groups : int
        Divides the channels.
    weight, bias : array_like, optional
        Shape ``(channels,)``.
    eps : float
        Added to the variance.

    Returns
    -------
    Array
        Shape of ``x``.

    Raises
    ------
    ShapeError
        If the groups do not divide the channels.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.group_norm([[1.0, 3.0, 0.0, 8.0]], 2, eps=0.0)
    Array([[-1.,  1., -1.,  1.]])
    """
    x = floating(x)
    if x.ndim < 2 or groups < 1 or x.shape[-1] % groups:
        raise errors.ShapeError(f"nn.group_norm: an array of shape {x.shape} has no {groups} equal groups of channels")
    if x.size == 0:
        return x
    split = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), groups, x.shape[-1] // groups)
    return _scaled(_normalized(split, (1, 3), eps).reshape(x.shape), weight, bias)


def instance_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Array:
    """Mean 0 and variance 1 within each channel of each example (Ulyanov et al. 2016, arXiv:1607.08022).

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``.
    weight, bias : array_like, optional
        Shape ``(channels,)``.
    eps : float
        Added to the variance.

    Returns
    -------
    Array
        Shape of ``x``.

    Raises
    ------
    ShapeError
        If there is no spatial axis.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.instance_norm([[[1.0], [3.0]]], eps=0.0).ravel()
    Array([-1.,  1.])
    """
    x = floating(x)
    if x.ndim < 3:
        raise errors.ShapeError(f"nn.instance_norm needs an array (n, *space, channels), got shape {x.shape}")
    if x.size == 0:
        return x
    return _scaled(_normalized(x, tuple(range(1, x.ndim - 1)), eps), weight, bias)


def batch_norm(x: Any, mean: Any, var: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Array:
    """Normalised with a given mean and variance of each channel (Ioffe and Szegedy 2015, arXiv:1502.03167).

    Parameters
    ----------
    x : array_like
        Shape ``(..., channels)``.
    mean, var : array_like
        Shape ``(channels,)``.
    weight, bias : array_like, optional
        Shape ``(channels,)``.
    eps : float
        Added to the variance.

    Returns
    -------
    Array
        Shape of ``x``.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.batch_norm([[1.0, 5.0]], [0.0, 1.0], [1.0, 4.0], eps=0.0)
    Array([[1., 2.]])
    """
    x = floating(x)
    # One factor for each channel, so that the large array is touched twice only.
    factor = 1 / fnp.sqrt(coefficient(var) + eps)
    return _scaled((x - coefficient(mean)) * (factor if weight is None else factor * coefficient(weight)), None, bias)
