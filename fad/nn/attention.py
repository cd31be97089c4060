"""Attention: the function, the layer with several heads, and its cache of keys and values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

import fad.numpy as fnp
import fad.random
from fad import Array, errors
from fad.nn import initializers
from fad.nn.activations import softmax
from fad.nn.arguments import coefficient, floating
from fad.nn.dense import Linear
from fad.nn.functional import dropout as drop
from fad.nn.initializers import Initializer
from fad.nn.positions import rotary
from fad.nn.protocol import DType, Layer, LayerShapeError

__all__ = ["MultiHeadAttention", "dot_product_attention"]


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    *,
    mask: Any = None,
    bias: Any = None,
    causal: bool = False,
    scale: float | None = None,
    dropout: float = 0.0,
    dropout_key: Any = None,
) -> Array:
    """Means of the values, weighted by the softmax of the inner products of queries and keys (Vaswani et al. 2017, arXiv:1706.03762).

    Parameters
    ----------
    query : array_like
        Shape ``(..., queries, heads, features)``.
    key, value : array_like
        Shape ``(..., keys, key_heads, features)``; ``key_heads`` divides ``heads``, and each serves a group of queries (Ainslie et al. 2023,
        arXiv:2305.13245). The values may have another number of features.
    mask : array_like of bool, optional
        Which keys a query may see: broadcast with ``(..., heads, queries, keys)``. A query that sees none gets 0.
    bias : array_like, optional
        Added to the scaled products, broadcast like the mask.
    causal : bool
        Whether query ``i`` sees keys ``0 ... i`` only.
    scale : float, optional
        Factor of the products; ``1 / sqrt(features)`` by default.
    dropout : float
        Probability to drop a weight, with ``dropout_key``.
    dropout_key : Array, optional
        Without it nothing is dropped.

    Returns
    -------
    Array
        Shape ``(..., queries, heads, value features)``.

    Raises
    ------
    ShapeError
        If shapes do not fit.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> x = fnp.arange(4.0).reshape(2, 1, 2)
    >>> nn.dot_product_attention(x, x, x, causal=True)[0, 0]
    Array([0., 1.])
    """
    query, key, value = floating(query), floating(key), floating(value)
    lead, queries, heads, features = _attention_shape(query, key, value)
    keys, key_heads = key.shape[-3:-1]
    group = heads // key_heads
    # One product for each head of the keys: the queries of its group stand below each other.
    scaled = query * (1 / math.sqrt(max(features, 1)) if scale is None else scale)
    grouped = _heads_first(scaled.reshape(*lead, queries, key_heads, group * features), group, features)
    scores = grouped @ _last_two(fnp.swapaxes(key, -3, -2))
    allowed = _allowed(mask, causal, queries, keys)
    if bias is not None or allowed is not None or group > 1:
        scores = scores.reshape(*lead, heads, queries, keys)
    if bias is not None:
        scores = scores + coefficient(bias)
    weights = softmax(scores, where=allowed)
    if dropout and dropout_key is not None:
        weights = drop(dropout_key, weights, dropout)
    weights = weights.reshape(*lead, key_heads, group * queries, keys)
    out = weights @ fnp.swapaxes(value, -3, -2)
    out = out.reshape(*lead, heads, queries, value.shape[-1])
    return fnp.swapaxes(out, -3, -2)


def _attention_shape(query: Array, key: Array, value: Array) -> tuple[tuple[int, ...], int, int, int]:
    fits = (
        query.ndim >= 3
        and query.ndim == key.ndim == value.ndim
        and query.shape[:-3] == key.shape[:-3] == value.shape[:-3]
        and key.shape[-3:-1] == value.shape[-3:-1]
        and query.shape[-1] == key.shape[-1]
        and key.shape[-2] > 0
        and query.shape[-2] % key.shape[-2] == 0
    )
    if not fits:
        raise errors.ShapeError(
            "nn.dot_product_attention: expected query (..., queries, heads, features), key and value (..., keys, key heads, features) with key "
            f"heads that divide the heads, got shapes {query.shape}, {key.shape} and {value.shape}"
        )
    return query.shape[:-3], *query.shape[-3:]  # type: ignore[return-value]


def _heads_first(x: Array, group: int, features: int) -> Array:
    """From (..., queries, key heads, group * features) to (..., key heads, group * queries, features)."""
    *lead, queries, key_heads, _ = x.shape
    if group == 1:
        return fnp.swapaxes(x, -3, -2)
    axes = len(lead)
    split = x.reshape(*lead, queries, key_heads, group, features)
    moved = split.transpose(*range(axes), axes + 1, axes + 2, axes, axes + 3)
    return moved.reshape(*lead, key_heads, group * queries, features)


def _last_two(x: Array) -> Array:
    return fnp.swapaxes(x, -1, -2)


def _allowed(mask: Any, causal: bool, queries: int, keys: int) -> Any:
    allowed = None if mask is None else fnp.asarray(mask)
    if allowed is not None and allowed.dtype != bool:
        raise errors.DTypeError(
            f"nn.dot_product_attention: mask must be boolean (what a query may see), got dtype {allowed.dtype}; add numbers as bias"
        )
    if not causal:
        return allowed
    seen = np.arange(keys) <= np.arange(queries)[:, None]
    return seen if allowed is None else allowed & seen


@dataclass(frozen=True)
class MultiHeadAttention(Layer):
    """Attention with several heads (Vaswani et al. 2017): projections, :func:`dot_product_attention`, a projection.

    Parameters
    ----------
    features : int
        Size of the last axis of input and result.
    heads : int
        How many heads.
    key_heads : int, optional
        How many heads keys and values have; each serves a group of queries. As many as ``heads`` by default.
    head_size : int, optional
        Features of a head; ``features // heads`` by default.
    causal : bool
        Whether each position sees only itself and those before it.
    dropout : float
        Probability to drop a weight while training.
    rotary_base : float, optional
        With a number, queries and keys are rotated by their positions, see :func:`rotary`.
    bias : bool
        Whether the projections have one.
    memory_features : int, optional
        Size of the last axis of what keys and values are made from, if that is not the input.
    weight_init : callable
        Initialiser of the projections.

    Notes
    -----
    Called as ``layer(params, x, memory=None, mask=None, key=None, train=False)``: keys and values come from ``memory``, by default from ``x``. Parameters:
    ``query``, ``key``, ``value`` and ``output``, each with ``weight`` and ``bias``.

    Token by token, :meth:`init_cache` and :meth:`decode` keep keys and values for later.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.MultiHeadAttention(8, heads=2, causal=True)
    >>> layer(layer.init(fad.random.key(0)), fnp.ones((1, 5, 8))).shape
    (1, 5, 8)
    """

    features: int
    heads: int
    key_heads: int | None = None
    head_size: int | None = None
    causal: bool = False
    dropout: float = 0.0
    rotary_base: float | None = None
    bias: bool = True
    memory_features: int | None = None
    weight_init: Initializer = field(default=initializers.glorot_uniform(), repr=False)
    query: Linear = field(init=False, repr=False, compare=False)
    key: Linear = field(init=False, repr=False, compare=False)
    value: Linear = field(init=False, repr=False, compare=False)
    output: Linear = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key_heads = self.heads if self.key_heads is None else self.key_heads
        if min(self.heads, key_heads) < 1 or self.heads % key_heads:
            raise errors.ArgumentError(f"MultiHeadAttention: key_heads={key_heads} must divide heads={self.heads}")
        if self.head_size is None and self.features % self.heads:
            raise errors.ArgumentError(
                f"MultiHeadAttention: heads={self.heads} must divide features={self.features}, or head_size be given"
            )
        size = self.features // self.heads if self.head_size is None else self.head_size
        source = self.features if self.memory_features is None else self.memory_features

        def linear(inputs: int, outputs: int) -> Linear:
            return Linear(inputs, outputs, self.bias, self.weight_init)

        for name, value in (
            ("key_heads", key_heads),
            ("head_size", size),
            ("query", linear(self.features, self.heads * size)),
            ("key", linear(source, key_heads * size)),
            ("value", linear(source, key_heads * size)),
            ("output", linear(self.heads * size, self.features)),
        ):
            object.__setattr__(self, name, value)

    @cached_property
    def random(self) -> bool:
        """Whether the layer takes a key."""
        return self.dropout > 0

    def _project(self, name: str, params: Any, x: Any, positions: Any = None) -> Array:
        y, _ = self.call(name, params, x)
        if y.ndim < 2:
            raise LayerShapeError(f"expected (..., time, features), got shape {fnp.shape(x)}", "MultiHeadAttention")
        y = y.reshape(*y.shape[:-1], y.shape[-1] // self.head_size, self.head_size)
        return y if self.rotary_base is None or name == "value" else rotary(y, positions, self.rotary_base)

    def _joined(self, params: Any, y: Array) -> Array:
        return self.call("output", params, y.reshape(*y.shape[:-2], y.shape[-2] * y.shape[-1]))[0]

    def __call__(
        self, params: Any, x: Any, memory: Any = None, mask: Any = None, *, key: Any = None, train: bool = False
    ) -> Array:
        """Shape ``(..., time, features)``, unchanged. The mask broadcasts with ``(..., heads, queries, keys)``."""
        source = x if memory is None else memory
        rate = self.dropout if train else 0.0
        if rate and key is None:
            raise errors.ArgumentError(
                "MultiHeadAttention needs random numbers to drop weights when train=True: pass key=fad.random.key(...)"
            )
        y = dot_product_attention(
            self._project("query", params, x),
            self._project("key", params, source),
            self._project("value", params, source),
            mask=mask,
            causal=self.causal,
            dropout=rate,
            dropout_key=fad.random.fold_in(key, 0) if rate else None,
        )
        return self._joined(params, y)

    def init_cache(self, batch: int | tuple[int, ...], length: int, dtype: DType = float) -> dict[str, Array]:
        """An empty cache for so many positions: ``key`` and ``value``, and the ``position`` of the next token.

        Parameters
        ----------
        batch : int or tuple of int
            The leading axes.
        length : int
            How many positions there is room for.
        dtype : dtype
            Of the keys and values.
        """
        lead = (batch,) if isinstance(batch, int) else tuple(batch)
        shape = (*lead, length, self.key_heads, self.head_size)
        return {"key": fnp.zeros(shape, dtype), "value": fnp.zeros(shape, dtype), "position": fnp.asarray(0)}

    def decode(self, params: Any, x: Any, cache: Any) -> tuple[Array, dict[str, Array]]:
        """Attend from new tokens to themselves and to all before them.

        Parameters
        ----------
        params : dict
            The parameters.
        x : array_like
            The next tokens, shape ``(..., time, features)``.
        cache : dict
            From :meth:`init_cache` or the last call.

        Returns
        -------
        y : Array
            Shape of ``x``; what the causal layer gives for these positions.
        cache : dict
            With the new keys and values.

        Raises
        ------
        ShapeError
            If the cache has no room, where its position is known.
        """
        x = floating(x)
        start, count, length = cache["position"], x.shape[-2], cache["key"].shape[-3]
        if count > length or (type(start) is Array and int(start) + count > length):
            raise LayerShapeError(
                f"the cache has room for {length} positions, but the tokens reach beyond it; make it longer in init_cache",
                "MultiHeadAttention",
            )
        positions = start + np.arange(count)
        new = {"position": start + count}
        for name in ("key", "value"):
            fresh = self._project(name, params, x, positions).astype(cache[name].dtype)
            place = [0] * fresh.ndim
            place[-3] = start
            new[name] = fnp.dynamic_update_slice(cache[name], fresh, place)
        seen = np.arange(length) <= positions[:, None]
        y = dot_product_attention(self._project("query", params, x, positions), new["key"], new["value"], mask=seen)
        return self._joined(params, y), new
