"""Layers of full connections, tables of vectors, and dropout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import fad.numpy as fnp
from fad import Array, errors, random
from fad.nn import initializers
from fad.nn.activations import prelu
from fad.nn.arguments import floating
from fad.nn.functional import dropout
from fad.nn.initializers import Initializer
from fad.nn.protocol import DType, Layer, LayerShapeError, Params, check_last_axis

__all__ = ["Bilinear", "Dropout", "Embedding", "Linear", "PReLU"]


@dataclass(frozen=True)
class Linear(Layer):
    """``x @ weight + bias`` over the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Sizes of the last axis, before and after.
    bias : bool
        Whether to add one.
    weight_init, bias_init : callable
        Initialisers.

    Notes
    -----
    Parameters: ``weight`` of shape ``(in_features, out_features)`` and ``bias`` of shape ``(out_features,)``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.Linear(3, 2)
    >>> params = layer.init(fad.random.key(0))
    >>> layer(params, [[1.0, 2.0, 3.0]]).shape
    (1, 2)
    """

    in_features: int
    out_features: int
    bias: bool = True
    weight_init: Initializer = field(default=initializers.lecun_normal(), repr=False)
    bias_init: Initializer = field(default=initializers.zeros, repr=False)

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        first, second = random.split(key)
        params = {"weight": self.weight_init(first, (self.in_features, self.out_features), dtype)}
        if self.bias:
            params["bias"] = self.bias_init(second, (self.out_features,), dtype)
        return params

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(..., in_features)`` to ``(..., out_features)``."""
        x = floating(x)
        check_last_axis(self, x, self.in_features)
        y = x @ params["weight"]
        return y + params["bias"] if self.bias else y


@dataclass(frozen=True)
class Bilinear(Layer):
    """``x @ weight[k] @ y + bias[k]`` for each output ``k``.

    Parameters
    ----------
    first_features, second_features, out_features : int
        Sizes of the last axes of both inputs and of the result.
    bias : bool
        Whether to add one.
    weight_init, bias_init : callable
        Initialisers.

    Notes
    -----
    Called as ``layer(params, x, y)``. Parameters: ``weight`` of shape ``(first_features, second_features, out_features)`` and ``bias``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.Bilinear(3, 2, 4)
    >>> layer(layer.init(fad.random.key(0)), [[1.0, 2.0, 3.0]], [[1.0, 2.0]]).shape
    (1, 4)
    """

    first_features: int
    second_features: int
    out_features: int
    bias: bool = True
    weight_init: Initializer = field(default=initializers.lecun_normal(), repr=False)
    bias_init: Initializer = field(default=initializers.zeros, repr=False)

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        first, second = random.split(key)
        shape = (self.first_features, self.second_features, self.out_features)
        params = {"weight": self.weight_init(first, shape, dtype)}
        if self.bias:
            params["bias"] = self.bias_init(second, (self.out_features,), dtype)
        return params

    def __call__(self, params: Any, x: Any, y: Any) -> Array:
        """Shapes ``(..., first_features)`` and ``(..., second_features)`` to ``(..., out_features)``."""
        x, y = floating(x), floating(y)
        check_last_axis(self, x, self.first_features)
        check_last_axis(self, y, self.second_features)
        if x.shape[:-1] != y.shape[:-1]:
            raise LayerShapeError(
                f"expected both inputs with the same leading axes, got shapes {x.shape} and {y.shape}", "Bilinear"
            )
        out = fnp.einsum("...i,...j,ijk->...k", x, y, params["weight"])
        return out + params["bias"] if self.bias else out


@dataclass(frozen=True)
class Embedding(Layer):
    """A table of vectors, looked up by integers.

    Parameters
    ----------
    entries : int
        How many vectors.
    features : int
        Their size.
    weight_init : callable
        Initialiser.

    Notes
    -----
    Parameters: ``weight`` of shape ``(entries, features)``. :meth:`attend` uses the same table to score vectors against all entries.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.Embedding(10, 4)
    >>> layer(layer.init(fad.random.key(0)), [[1, 2, 1]]).shape
    (1, 3, 4)
    """

    entries: int
    features: int
    weight_init: Initializer = field(default=initializers.normal(1.0), repr=False)

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        return {"weight": self.weight_init(key, (self.entries, self.features), dtype)}

    def __call__(self, params: Any, x: Any) -> Array:
        """Integers of shape ``(...)`` to vectors of shape ``(..., features)``."""
        x = fnp.asarray(x)
        if not fnp.issubdtype(x.dtype, fnp.integer):
            raise errors.DTypeError(f"Embedding looks up integers, got dtype {x.dtype}")
        return fnp.take(params["weight"], x, axis=0)

    def attend(self, params: Any, x: Any) -> Array:
        """Inner products with every entry: shape ``(..., features)`` to ``(..., entries)``."""
        x = floating(x)
        check_last_axis(self, x, self.features)
        return x @ fnp.swapaxes(params["weight"], 0, 1)


@dataclass(frozen=True)
class Dropout(Layer):
    """Zeros in random places while training; the rest is scaled so that the mean stays (Srivastava et al. 2014).

    Parameters
    ----------
    rate : float
        The probability of a zero.
    broadcast_axes : tuple of int
        Axes along which the same choice is made, such as ``(1, 2)`` to drop whole channels of images.

    Notes
    -----
    Called as ``layer(params, x, key=key, train=True)``; without ``train`` it gives back its input.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> nn.Dropout(0.5)({}, [1.0, 1.0, 1.0, 1.0], key=fad.random.key(1), train=True)
    Array([0., 2., 0., 0.])
    """

    rate: float = 0.5
    broadcast_axes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise errors.ArgumentError(f"Dropout: rate is a probability, got {self.rate}")

    def __call__(self, params: Any, x: Any, *, key: Any = None, train: bool = False) -> Array:
        """Drop elements, if training."""
        x = floating(x)
        if not train or self.rate == 0:
            return x
        if key is None:
            raise errors.ArgumentError(
                "Dropout needs random numbers when train=True: call model(params, x, key=fad.random.key(...), train=True)"
            )
        return dropout(key, x, self.rate, self.broadcast_axes)


@dataclass(frozen=True)
class PReLU(Layer):
    """:func:`prelu` with a slope to learn.

    Parameters
    ----------
    channels : int
        One slope for each entry of the last axis, or 1 for a common one.
    initial : float
        The slopes to start from.

    Notes
    -----
    Parameters: ``weight`` of shape ``(channels,)``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.PReLU()
    >>> layer(layer.init(fad.random.key(0)), [-1.0, 2.0])
    Array([-0.25,  2.  ])
    """

    channels: int = 1
    initial: float = 0.25

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        return {"weight": fnp.full((self.channels,), self.initial, dtype)}

    def __call__(self, params: Any, x: Any) -> Array:
        """Elementwise."""
        x = floating(x)
        if self.channels != 1:
            check_last_axis(self, x, self.channels)
        return prelu(x, params["weight"])
