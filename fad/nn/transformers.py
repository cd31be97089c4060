"""Blocks of transformers: attention and a two-layer network, each with normalisation and a shortcut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import fad.numpy as fnp
import fad.random
from fad import Array, errors
from fad.nn.activations import gelu
from fad.nn.attention import MultiHeadAttention
from fad.nn.dense import Linear
from fad.nn.functional import dropout
from fad.nn.normalization import LayerNorm
from fad.nn.protocol import DType, Layer

__all__ = ["TransformerDecoderBlock", "TransformerEncoderBlock"]


@dataclass(frozen=True)
class _Block(Layer):
    """What both blocks share: settings, the parts, and how a part is wrapped."""

    features: int
    heads: int
    hidden: int | None = None
    activation: Callable[[Any], Any] = gelu
    dropout: float = 0.0
    norm_first: bool = True
    key_heads: int | None = None
    rotary_base: float | None = None
    eps: float = 1e-5

    def _settle(self, **attentions: MultiHeadAttention) -> None:
        hidden = 4 * self.features if self.hidden is None else self.hidden
        object.__setattr__(self, "hidden", hidden)
        parts: dict[str, Layer] = {}
        for name, attention in attentions.items():
            parts[f"{name}_norm"] = LayerNorm(self.features, self.eps)
            parts[name] = attention
        parts["feed_norm"] = LayerNorm(self.features, self.eps)
        parts["feed_in"] = Linear(self.features, hidden)
        parts["feed_out"] = Linear(hidden, self.features)
        for name, part in parts.items():
            object.__setattr__(self, name, part)

    def _attention(self, causal: bool, rotary_base: float | None) -> MultiHeadAttention:
        return MultiHeadAttention(
            self.features,
            self.heads,
            self.key_heads,
            causal=causal,
            dropout=self.dropout,
            rotary_base=rotary_base,
        )

    @cached_property
    def random(self) -> bool:
        """Whether the layer takes a key."""
        return self.dropout > 0

    def _dropped(self, x: Array, key: Any, number: int) -> Array:
        return x if key is None else dropout(fad.random.fold_in(key, number), x, self.dropout)

    def _own_key(self, key: Any, train: bool) -> Any:
        if not train or not self.dropout:
            return None
        if key is None:
            raise errors.ArgumentError(
                f"{type(self).__name__} needs random numbers when train=True: pass key=fad.random.key(...)"
            )
        return fad.random.fold_in(key, len(self.children()))

    def _wrapped(self, norm: str, params: Any, x: Array, part: Callable[[Array], Array]) -> Array:
        if self.norm_first:
            return x + part(self.call(norm, params, x)[0])
        return self.call(norm, params, x + part(x))[0]

    def _feed(self, params: Any, x: Array, key: Any) -> Array:
        def part(h: Array) -> Array:
            h = self._dropped(self.activation(self.call("feed_in", params, h)[0]), key, 0)
            return self._dropped(self.call("feed_out", params, h)[0], key, 1)

        return self._wrapped("feed_norm", params, x, part)


@dataclass(frozen=True)
class TransformerEncoderBlock(_Block):
    """Self-attention, then a network of two layers (Vaswani et al. 2017); causal, the block of a language model.

    Parameters
    ----------
    features, heads : int
        As in :class:`MultiHeadAttention`.
    hidden : int, optional
        Width of the network; ``4 * features`` by default.
    activation : callable
        Between its two layers.
    dropout : float
        Probability to drop attention weights and the results of each part, while training.
    norm_first : bool
        Whether to normalise what goes into each part (Xiong et al. 2020, arXiv:2002.04745), or the sums after it, as in the first paper.
    key_heads, rotary_base
        As in :class:`MultiHeadAttention`.
    eps : float
        Of the normalisations.
    causal : bool
        Whether each position sees only itself and those before it.

    Notes
    -----
    Called as ``layer(params, x, mask=None, key=None, train=False)``. Parameters: ``attention_norm``, ``attention``, ``feed_norm``, ``feed_in``, ``feed_out``.
    A causal block has :meth:`init_cache` and :meth:`decode`, as :class:`MultiHeadAttention`.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.TransformerEncoderBlock(8, heads=2)
    >>> layer(layer.init(fad.random.key(0)), fnp.ones((1, 5, 8))).shape
    (1, 5, 8)
    """

    causal: bool = False
    attention_norm: LayerNorm = field(init=False, repr=False, compare=False)
    attention: MultiHeadAttention = field(init=False, repr=False, compare=False)
    feed_norm: LayerNorm = field(init=False, repr=False, compare=False)
    feed_in: Linear = field(init=False, repr=False, compare=False)
    feed_out: Linear = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._settle(attention=self._attention(self.causal, self.rotary_base))

    def __call__(self, params: Any, x: Any, mask: Any = None, *, key: Any = None, train: bool = False) -> Array:
        """Shape ``(..., time, features)``, unchanged. The mask broadcasts with ``(..., heads, time, time)``."""
        own = self._own_key(key, train)

        def attend(h: Array) -> Array:
            y, _ = self.call("attention", params, h, mask=mask, key=key, train=train)
            return self._dropped(y, own, 2)

        return self._feed(params, self._wrapped("attention_norm", params, fnp.asarray(x), attend), own)

    def init_cache(self, batch: int | tuple[int, ...], length: int, dtype: DType = float) -> dict[str, Array]:
        """An empty cache for so many positions; see :meth:`MultiHeadAttention.init_cache`."""
        return self.attention.init_cache(batch, length, dtype)

    def decode(self, params: Any, x: Any, cache: Any) -> tuple[Array, Any]:
        """New tokens after those in the cache; see :meth:`MultiHeadAttention.decode`."""
        found = cache

        def attend(h: Array) -> Array:
            nonlocal found
            y, found = self.attention.decode(params["attention"], h, cache)
            return y

        y = self._feed(params, self._wrapped("attention_norm", params, fnp.asarray(x), attend), None)
        return y, found


@dataclass(frozen=True)
class TransformerDecoderBlock(_Block):
    """Causal self-attention, attention to a memory, then a network of two layers (Vaswani et al. 2017).

    Parameters
    ----------
    features, heads, hidden, activation, dropout, norm_first, key_heads, rotary_base, eps
        As in :class:`TransformerEncoderBlock`; the rotations are those of the self-attention.

    Notes
    -----
    Called as ``layer(params, x, memory, mask=None, memory_mask=None, key=None, train=False)``. Parameters: those of the encoder block, and ``memory_norm``
    and ``memory``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.TransformerDecoderBlock(8, heads=2)
    >>> layer(layer.init(fad.random.key(0)), fnp.ones((1, 5, 8)), fnp.ones((1, 7, 8))).shape
    (1, 5, 8)
    """

    attention_norm: LayerNorm = field(init=False, repr=False, compare=False)
    attention: MultiHeadAttention = field(init=False, repr=False, compare=False)
    memory_norm: LayerNorm = field(init=False, repr=False, compare=False)
    memory: MultiHeadAttention = field(init=False, repr=False, compare=False)
    feed_norm: LayerNorm = field(init=False, repr=False, compare=False)
    feed_in: Linear = field(init=False, repr=False, compare=False)
    feed_out: Linear = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._settle(attention=self._attention(True, self.rotary_base), memory=self._attention(False, None))

    def __call__(
        self,
        params: Any,
        x: Any,
        memory: Any,
        mask: Any = None,
        memory_mask: Any = None,
        *,
        key: Any = None,
        train: bool = False,
    ) -> Array:
        """Shape ``(..., time, features)``, unchanged, given a memory of shape ``(..., length, features)``."""
        own = self._own_key(key, train)

        def attend(h: Array) -> Array:
            y, _ = self.call("attention", params, h, mask=mask, key=key, train=train)
            return self._dropped(y, own, 2)

        x = self._wrapped("attention_norm", params, fnp.asarray(x), attend)
        return self._feed(params, self._recall(params, x, memory, memory_mask, key, train, own), own)

    def _recall(self, params: Any, x: Array, memory: Any, mask: Any, key: Any, train: bool, own: Any) -> Array:
        def attend(h: Array) -> Array:
            y, _ = self.call("memory", params, h, memory, mask=mask, key=key, train=train)
            return self._dropped(y, own, 3)

        return self._wrapped("memory_norm", params, x, attend)

    def init_cache(self, batch: int | tuple[int, ...], length: int, dtype: DType = float) -> dict[str, Array]:
        """An empty cache for so many positions; see :meth:`MultiHeadAttention.init_cache`."""
        return self.attention.init_cache(batch, length, dtype)

    def decode(self, params: Any, x: Any, cache: Any, memory: Any, memory_mask: Any = None) -> tuple[Array, Any]:
        """New tokens after those in the cache; see :meth:`MultiHeadAttention.decode`."""
        found = cache

        def attend(h: Array) -> Array:
            nonlocal found
            y, found = self.attention.decode(params["attention"], h, cache)
            return y

        x = self._wrapped("attention_norm", params, fnp.asarray(x), attend)
        return self._feed(params, self._recall(params, x, memory, memory_mask, None, False, None), None), found
