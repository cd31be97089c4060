"""Initialisers: what a layer's parameters start from.

An initialiser is called as ``initializer(key, shape, dtype)``. Those with settings are frozen and compare by value, so that two layers with the same
settings are equal and a jitted function that takes a layer as a static argument is traced once. Any function of that signature will do.

A shape is that of a kernel: ``(*window, inputs, outputs)``; a matrix is ``(inputs, outputs)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fad.numpy as fnp
from fad import Array, errors, random

__all__ = [
    "Constant",
    "Initializer",
    "Normal",
    "Orthogonal",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "zeros",
]

Initializer = Callable[[Array, tuple[int, ...], Any], Array]

# Standard deviation of the standard normal distribution cut at plus and minus 2.
_CUT_DEVIATION = 0.87962566103423978


def zeros(key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
    """All zeros.

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.zeros(fad.random.key(0), (2,))
    Array([0., 0.])
    """
    return fnp.zeros(shape, dtype)


def ones(key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
    """All ones.

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.ones(fad.random.key(0), (2,))
    Array([1., 1.])
    """
    return fnp.ones(shape, dtype)


@dataclass(frozen=True)
class Constant:
    """One value everywhere; made by :func:`constant`."""

    value: float

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
        """Draw an array."""
        return fnp.full(shape, self.value, dtype)


def constant(value: float) -> Constant:
    """An initialiser that gives one value everywhere.

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.constant(0.5)(fad.random.key(0), (2,))
    Array([0.5, 0.5])
    """
    return Constant(value)


@dataclass(frozen=True)
class Normal:
    """Normal numbers around 0; made by :func:`normal`."""

    stddev: float = 0.01

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
        """Draw an array."""
        return self.stddev * random.normal(key, shape, dtype)


def normal(stddev: float = 0.01) -> Normal:
    """An initialiser that draws from the normal distribution with mean 0.

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.normal(0.02)(fad.random.key(0), (3, 2)).shape
    (3, 2)
    """
    return Normal(stddev)


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal numbers around 0, none further away than ``limit`` deviations; made by :func:`truncated_normal`."""

    stddev: float = 0.01
    limit: float = 2.0

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
        """Draw an array."""
        return self.stddev * random.truncated_normal(key, -self.limit, self.limit, shape, dtype)


def truncated_normal(stddev: float = 0.01, limit: float = 2.0) -> TruncatedNormal:
    """An initialiser that draws from the normal distribution cut at ``limit`` times ``stddev`` (which is that of the uncut one).

    Examples
    --------
    >>> import fad
    >>> w = fad.nn.initializers.truncated_normal(1.0)(fad.random.key(0), (1000,))
    >>> bool(abs(w).max() <= 2)
    True
    """
    return TruncatedNormal(stddev, limit)


@dataclass(frozen=True)
class Uniform:
    """Uniform numbers in [-scale, scale); made by :func:`uniform`."""

    scale: float = 0.01

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
        """Draw an array."""
        return random.uniform(key, shape, dtype, -self.scale, self.scale)


def uniform(scale: float = 0.01) -> Uniform:
    """An initialiser that draws uniformly from [-scale, scale).

    Examples
    --------
    >>> import fad
    >>> w = fad.nn.initializers.uniform(0.1)(fad.random.key(0), (1000,))
    >>> bool(abs(w).max() <= 0.1)
    True
    """
    return Uniform(scale)


@dataclass(frozen=True)
class VarianceScaling:
    """Random numbers whose variance is a multiple of one over the number of connections; made by :func:`variance_scaling`."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def __post_init__(self) -> None:
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise errors.ArgumentError(f"variance_scaling: mode must be fan_in, fan_out or fan_avg, got {self.mode!r}")
        if self.distribution not in ("truncated_normal", "normal", "uniform"):
            raise errors.ArgumentError(
                f"variance_scaling: distribution must be truncated_normal, normal or uniform, got {self.distribution!r}"
            )

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
        """Draw an array."""
        if len(shape) < 2:
            raise errors.ShapeError(
                f"variance_scaling counts the connections of a kernel (*window, inputs, outputs), got shape {shape}"
            )
        window = math.prod(shape[:-2])
        fan_in, fan_out = window * shape[-2], window * shape[-1]
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        deviation = math.sqrt(self.scale / max(fan, 1))
        if self.distribution == "normal":
            return deviation * random.normal(key, shape, dtype)
        if self.distribution == "uniform":
            limit = math.sqrt(3) * deviation
            return random.uniform(key, shape, dtype, -limit, limit)
        return deviation / _CUT_DEVIATION * random.truncated_normal(key, -2.0, 2.0, shape, dtype)


def variance_scaling(
    scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal"
) -> VarianceScaling:
    """An initialiser with variance ``scale / fan``, where the fan counts a unit's connections.

    Parameters
    ----------
    scale : float
        The multiple.
    mode : {"fan_in", "fan_out", "fan_avg"}
        Which connections count: incoming, outgoing, or the mean of both.
    distribution : {"truncated_normal", "normal", "uniform"}
        What to draw from.

    Raises
    ------
    ArgumentError
        If ``mode`` or ``distribution`` is something else.

    Examples
    --------
    >>> import fad
    >>> w = fad.nn.initializers.variance_scaling(2.0)(fad.random.key(0), (100, 400))
    >>> round(float(w.std()), 2)
    0.14
    """
    return VarianceScaling(scale, mode, distribution)


def glorot_normal() -> VarianceScaling:
    """Variance ``2 / (fan_in + fan_out)``, normal (Glorot and Bengio 2010).

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.glorot_normal()(fad.random.key(0), (3, 2)).shape
    (3, 2)
    """
    return VarianceScaling(1.0, "fan_avg", "truncated_normal")


def glorot_uniform() -> VarianceScaling:
    """Variance ``2 / (fan_in + fan_out)``, uniform (Glorot and Bengio 2010).

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.glorot_uniform()(fad.random.key(0), (3, 2)).shape
    (3, 2)
    """
    return VarianceScaling(1.0, "fan_avg", "uniform")


def he_normal() -> VarianceScaling:
    """Variance ``2 / fan_in``, normal: for layers before a relu (He et al. 2015, arXiv:1502.01852).

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.he_normal()(fad.random.key(0), (3, 2)).shape
    (3, 2)
    """
    return VarianceScaling(2.0, "fan_in", "truncated_normal")


def he_uniform() -> VarianceScaling:
    """Variance ``2 / fan_in``, uniform (He et al. 2015, arXiv:1502.01852).

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.he_uniform()(fad.random.key(0), (3, 2)).shape
    (3, 2)
    """
    return VarianceScaling(2.0, "fan_in", "uniform")


def lecun_normal() -> VarianceScaling:
    """Variance ``1 / fan_in``, normal (LeCun et al. 1998, Efficient BackProp).

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.lecun_normal()(fad.random.key(0), (3, 2)).shape
    (3, 2)
    """
    return VarianceScaling(1.0, "fan_in", "truncated_normal")


def lecun_uniform() -> VarianceScaling:
    """Variance ``1 / fan_in``, uniform (LeCun et al. 1998, Efficient BackProp).

    Examples
    --------
    >>> import fad
    >>> fad.nn.initializers.lecun_uniform()(fad.random.key(0), (3, 2)).shape
    (3, 2)
    """
    return VarianceScaling(1.0, "fan_in", "uniform")


@dataclass(frozen=True)
class Orthogonal:
    """Orthogonal matrices, uniformly distributed; made by :func:`orthogonal`."""

    scale: float = 1.0

    def __call__(self, key: Array, shape: tuple[int, ...], dtype: Any = float) -> Array:
        """Draw an array."""
        if len(shape) < 2:
            raise errors.ShapeError(f"orthogonal makes matrices, got shape {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        drawn = random.normal(key, (max(rows, columns), min(rows, columns)), float)
        q, r = fnp.linalg.qr(drawn)
        # The signs of r's diagonal make the distribution uniform (Mezzadri 2007, arXiv:math-ph/0609050).
        q = q * fnp.where(fnp.diagonal(r) < 0, -1.0, 1.0)
        return (self.scale * (q if rows >= columns else q.T)).reshape(shape).astype(dtype)


def orthogonal(scale: float = 1.0) -> Orthogonal:
    """An initialiser that gives matrices with orthonormal columns (or rows, where they are fewer), times ``scale`` (Saxe et al. 2013, arXiv:1312.6120).

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> w = fad.nn.initializers.orthogonal()(fad.random.key(0), (4, 2))
    >>> fnp.round(w.T @ w, 6) + 0.0
    Array([[1., 0.],
           [0., 1.]])
    """
    return Orthogonal(scale)
