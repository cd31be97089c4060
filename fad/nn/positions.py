"""Where a token stands: rotations of queries and keys, and sums of sinusoids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import fad.numpy as fnp
from fad import Array, errors
from fad.nn.arguments import floating
from fad.nn.protocol import Layer, LayerShapeError, check_last_axis

__all__ = ["SinusoidalPositions", "rotary", "sinusoidal_positions"]


def _frequencies(features: int, base: float) -> np.ndarray:
    return base ** (-np.arange(0, features, 2) / features)


def rotary(x: Any, positions: Any = None, base: float = 10000.0) -> Array:
    """Pairs of features rotated by angles proportional to the position (Su et al. 2021, arXiv:2104.09864).

    The inner product of two rotated vectors depends on the distance of their positions only.

    Parameters
    ----------
    x : array_like
        Queries or keys, shape ``(..., time, heads, features)``, features even. Feature ``i`` is paired with ``i + features / 2``.
    positions : array_like of int, optional
        Broadcast with ``(..., time)``; 0, 1, ... by default.
    base : float
        The slowest rotation takes about ``2 pi base`` positions.

    Returns
    -------
    Array
        Shape and dtype of ``x``.

    Raises
    ------
    ShapeError
        If there are too few axes or an odd number of features.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> fnp.round(nn.rotary([[[1.0, 0.0]], [[1.0, 0.0]]], positions=[0, 2]), 6).reshape(2, 2)
    Array([[ 1.      ,  0.      ],
           [-0.416147,  0.909297]])
    """
    x = floating(x)
    if x.ndim < 3 or x.shape[-1] % 2:
        raise errors.ShapeError(f"nn.rotary needs an array (..., time, heads, even features), got shape {x.shape}")
    half = x.shape[-1] // 2
    where: Any = np.arange(x.shape[-3]) if positions is None else fnp.asarray(positions)
    angles = where[..., None, None] * _frequencies(x.shape[-1], base)
    cosines, sines = fnp.cos(angles).astype(x.dtype), fnp.sin(angles).astype(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return fnp.concatenate([first * cosines - second * sines, second * cosines + first * sines], axis=-1)


def sinusoidal_positions(length: int, features: int, base: float = 10000.0, dtype: Any = float) -> Array:
    """A vector of sines and cosines for each position (Vaswani et al. 2017, arXiv:1706.03762).

    Parameters
    ----------
    length, features : int
        The shape of the result.
    base : float
        Ratio of the slowest to the fastest wave.
    dtype : dtype
        Of the result.

    Returns
    -------
    Array
        Shape ``(length, features)``; sines at even features, cosines at odd ones.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.sinusoidal_positions(2, 2)
    Array([[0.        , 1.        ],
           [0.84147098, 0.54030231]])
    """
    angles = np.arange(length)[:, None] * _frequencies(features, base)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)
    return fnp.asarray(waves[:, :features].astype(dtype))


@dataclass(frozen=True)
class SinusoidalPositions(Layer):
    """Adds :func:`sinusoidal_positions` to its input.

    Parameters
    ----------
    features : int
        Size of the last axis.
    base : float
        Ratio of the slowest to the fastest wave.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.SinusoidalPositions(2)({}, fnp.zeros((1, 2, 2)))[0]
    Array([[0.        , 1.        ],
           [0.84147098, 0.54030231]])
    """

    features: int
    base: float = 10000.0

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(..., time, features)``, unchanged."""
        x = floating(x)
        check_last_axis(self, x, self.features)
        if x.ndim < 2:
            raise LayerShapeError(f"expected (..., time, features), got shape {x.shape}", "SinusoidalPositions")
        return x + sinusoidal_positions(x.shape[-2], self.features, self.base, x.dtype)
