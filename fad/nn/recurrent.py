"""Recurrent layers: one scan over time; what depends on the input alone is computed before it, for all times at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import fad.numpy as fnp
from fad import Array, random, scan
from fad.nn import initializers
from fad.nn.activations import relu, sigmoid
from fad.nn.arguments import floating
from fad.nn.initializers import Initializer
from fad.nn.protocol import DType, Layer, LayerShapeError, Params, check_last_axis

__all__ = ["GRU", "LSTM", "RNN", "Bidirectional"]


@dataclass(frozen=True)
class _Recurrent(Layer):
    """What the recurrent layers share; ``_gates`` is how many blocks of features the products have."""

    in_features: int
    features: int
    bias: bool = True
    weight_init: Initializer = field(default=initializers.glorot_uniform(), repr=False)
    hidden_init: Initializer = field(default=initializers.orthogonal(), repr=False)

    _gates = 1

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        keys = random.split(key, 1 + self._gates)
        blocks = [self.hidden_init(k, (self.features, self.features), dtype) for k in keys[1:]]
        params: Params = {
            "input": {"weight": self.weight_init(keys[0], (self.in_features, self._gates * self.features), dtype)},
            "hidden": {"weight": fnp.concatenate(blocks, axis=1)},
        }
        if self.bias:
            params["input"]["bias"] = fnp.zeros((self._gates * self.features,), dtype)
        return params

    def init_carry(self, batch: tuple[int, ...] = (), dtype: DType = float) -> Any:
        """The carry before the first step: zeros.

        Parameters
        ----------
        batch : tuple of int
            The axes before time.
        dtype : dtype
            Of the carry.
        """
        return fnp.zeros((*batch, self.features), dtype)

    def _from_input(self, params: Any, x: Array) -> Array:
        check_last_axis(self, x, self.in_features)
        y = x @ params["input"]["weight"]
        return y + params["input"]["bias"] if self.bias else y

    def _advance(self, params: Any, carry: Any, projected: Array) -> tuple[Any, Array]:
        raise NotImplementedError

    def step(self, params: Any, x: Any, carry: Any) -> tuple[Array, Any]:
        """One step in time.

        Parameters
        ----------
        params : dict
            The parameters.
        x : array_like
            Shape ``(..., in_features)``.
        carry : pytree
            From :meth:`init_carry` or the last step.

        Returns
        -------
        y : Array
            Shape ``(..., features)``.
        carry : pytree
            For the next step.
        """
        carry, y = self._advance(params, carry, self._from_input(params, floating(x)))
        return y, carry

    def run(self, params: Any, x: Any, carry: Any = None, reverse: bool = False) -> tuple[Array, Any]:
        """All steps, from a carry to the last one.

        Parameters
        ----------
        params : dict
            The parameters.
        x : array_like
            Shape ``(..., time, in_features)``.
        carry : pytree, optional
            From :meth:`init_carry` or an earlier run.
        reverse : bool
            Whether time runs backwards; the results stand in the order of the input.

        Returns
        -------
        y : Array
            Shape ``(..., time, features)``.
        carry : pytree
            After the last step.
        """
        x = floating(x)
        if x.ndim < 2:
            raise LayerShapeError(f"expected (..., time, {self.in_features}), got shape {x.shape}", type(self).__name__)
        projected = fnp.moveaxis(self._from_input(params, x), -2, 0)
        if carry is None:
            carry = self.init_carry(projected.shape[1:-1], projected.dtype)
        last, ys = scan(lambda c, p: self._advance(params, c, p), carry, projected, reverse=reverse)
        return fnp.moveaxis(ys, 0, -2), last

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(..., time, in_features)`` to ``(..., time, features)``."""
        return self.run(params, x)[0]


@dataclass(frozen=True)
class RNN(_Recurrent):
    """``h = tanh(x @ input + h @ hidden + bias)`` over time (Elman 1990).

    Parameters
    ----------
    in_features, features : int
        Sizes of the last axis of the input and of the result.
    bias : bool
        Whether to add one.
    weight_init, hidden_init : callable
        Initialisers.
    nonlinearity : {"tanh", "relu"}
        What makes the new hidden values.

    Notes
    -----
    Parameters: ``input`` and ``hidden`` with ``weight``, the first also with ``bias``. :meth:`run` takes and gives the carry, :meth:`step` is one step.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.RNN(3, 4)
    >>> layer(layer.init(fad.random.key(0)), fnp.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    nonlinearity: str = "tanh"

    def _advance(self, params: Any, carry: Any, projected: Array) -> tuple[Any, Array]:
        total = projected + carry @ params["hidden"]["weight"]
        new = relu(total) if self.nonlinearity == "relu" else fnp.tanh(total)
        return new, new


@dataclass(frozen=True)
class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; gates as in Gers et al. 1999).

    Parameters
    ----------
    in_features, features : int
        Sizes of the last axis of the input and of the result.
    bias : bool
        Whether to add one.
    weight_init, hidden_init : callable
        Initialisers.
    forget_bias : float
        What the forget gate's bias starts from: 1 remembers at first.

    Notes
    -----
    Parameters: as :class:`RNN`'s, with blocks for the input gate, the forget gate, the candidate and the output gate. The carry is the pair
    ``(hidden, cell)``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.LSTM(3, 4)
    >>> y, (hidden, cell) = layer.run(layer.init(fad.random.key(0)), fnp.ones((2, 5, 3)))
    >>> y.shape, cell.shape
    ((2, 5, 4), (2, 4))
    """

    forget_bias: float = 1.0

    _gates = 4

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        params = super().init(key, dtype)
        if self.bias:
            size = self.features
            params["input"]["bias"] = params["input"]["bias"].at[size : 2 * size].set(self.forget_bias)
        return params

    def init_carry(self, batch: tuple[int, ...] = (), dtype: DType = float) -> Any:
        """Hidden values and cells before the first step: zeros.

        Parameters
        ----------
        batch : tuple of int
            The axes before time.
        dtype : dtype
            Of the carry.
        """
        zeros = fnp.zeros((*batch, self.features), dtype)
        return zeros, zeros

    def _advance(self, params: Any, carry: Any, projected: Array) -> tuple[Any, Array]:
        hidden, cell = carry
        size = self.features
        total = projected + hidden @ params["hidden"]["weight"]
        enter, forget = sigmoid(total[..., :size]), sigmoid(total[..., size : 2 * size])
        candidate, leave = fnp.tanh(total[..., 2 * size : 3 * size]), sigmoid(total[..., 3 * size :])
        cell = forget * cell + enter * candidate
        hidden = leave * fnp.tanh(cell)
        return (hidden, cell), hidden


@dataclass(frozen=True)
class GRU(_Recurrent):
    """Gated recurrent units (Cho et al. 2014, arXiv:1406.1078; the reset gate applied after the product).

    Parameters
    ----------
    in_features, features : int
        Sizes of the last axis of the input and of the result.
    bias : bool
        Whether to add them.
    weight_init, hidden_init : callable
        Initialisers.

    Notes
    -----
    Parameters: ``input`` and ``hidden``, each with ``weight`` and ``bias``, with blocks for the reset gate, the update gate and the candidate.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.GRU(3, 4)
    >>> layer(layer.init(fad.random.key(0)), fnp.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    _gates = 3

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        params = super().init(key, dtype)
        if self.bias:
            params["hidden"]["bias"] = fnp.zeros((3 * self.features,), dtype)
        return params

    def _advance(self, params: Any, carry: Any, projected: Array) -> tuple[Any, Array]:
        size = self.features
        inner = carry @ params["hidden"]["weight"]
        if self.bias:
            inner = inner + params["hidden"]["bias"]
        reset = sigmoid(projected[..., :size] + inner[..., :size])
        update = sigmoid(projected[..., size : 2 * size] + inner[..., size : 2 * size])
        candidate = fnp.tanh(projected[..., 2 * size :] + reset * inner[..., 2 * size :])
        new = candidate + update * (carry - candidate)
        return new, new


@dataclass(frozen=True)
class Bidirectional(Layer):
    """A recurrent layer run forwards, and another like it run backwards; their results side by side (Schuster and Paliwal 1997).

    Parameters
    ----------
    layer : RNN, LSTM or GRU
        The description of both.

    Notes
    -----
    Parameters: those of the layer twice, under ``forward`` and ``backward``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.Bidirectional(nn.GRU(3, 4))
    >>> layer(layer.init(fad.random.key(0)), fnp.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    layer: Any

    def children(self) -> dict[str, Layer]:
        """The layer in both directions."""
        return {"forward": self.layer, "backward": self.layer}

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(..., time, in_features)`` to ``(..., time, 2 * features)``."""
        forward, _ = self.layer.run(params["forward"], x)
        backward, _ = self.layer.run(params["backward"], x, reverse=True)
        return fnp.concatenate([forward, backward], axis=-1)
