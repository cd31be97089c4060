"""Convolutional layers over one to three spatial axes, channels last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fad import Array, errors, random
from fad.nn import initializers
from fad.nn.arguments import floating
from fad.nn.initializers import Initializer
from fad.nn.protocol import DType, Layer, Params, check_channels_last
from fad.numpy.image_windows import conv, conv_transpose

__all__ = ["Conv", "ConvTranspose"]

Sizes = int | tuple[int, ...]


def hashable(value: Any) -> Any:
    """Nested lists as tuples: the fields of a layer must be hashable."""
    return value if isinstance(value, str) or not isinstance(value, Sequence) else tuple(hashable(v) for v in value)


def _settle(layer: Any, fields: Sequence[str]) -> None:
    """Bring the sizes of a layer into one form, and check what can be checked."""
    for name in fields:
        object.__setattr__(layer, name, hashable(getattr(layer, name)))
    if isinstance(layer.kernel_size, int):
        object.__setattr__(layer, "kernel_size", (layer.kernel_size,) * layer.axes)
    object.__setattr__(layer, "axes", len(layer.kernel_size))
    kind = type(layer).__name__
    if not 1 <= layer.axes <= 3 or min(layer.kernel_size) < 1:
        raise errors.ArgumentError(
            f"{kind}: kernel_size must be 1 to 3 ints >= 1, one for each spatial axis, got {layer.kernel_size}"
        )
    if layer.groups < 1 or layer.in_channels % layer.groups or layer.out_channels % layer.groups:
        raise errors.ArgumentError(
            f"{kind}: groups={layer.groups} must divide in_channels={layer.in_channels} and out_channels={layer.out_channels}"
        )


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution over one to three spatial axes.

    Parameters
    ----------
    in_channels, out_channels : int
        Sizes of the last axis, before and after.
    kernel_size : int or tuple of int
        The window; an int stands for all ``axes``.
    stride, padding, dilation, groups
        As in :func:`conv`.
    bias : bool
        Whether to add one.
    axes : int
        How many spatial axes, where ``kernel_size`` is an int.
    weight_init, bias_init : callable
        Initialisers.

    Notes
    -----
    Parameters: ``weight`` of shape ``(*kernel_size, in_channels // groups, out_channels)`` and ``bias`` of shape ``(out_channels,)``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.Conv(3, 8, (3, 3), stride=2)
    >>> layer(layer.init(fad.random.key(0)), fnp.ones((1, 8, 8, 3))).shape
    (1, 4, 4, 8)
    """

    in_channels: int
    out_channels: int
    kernel_size: Sizes
    stride: Sizes = 1
    padding: Any = "SAME"
    dilation: Sizes = 1
    groups: int = 1
    bias: bool = True
    axes: int = 2
    weight_init: Initializer = field(default=initializers.lecun_normal(), repr=False)
    bias_init: Initializer = field(default=initializers.zeros, repr=False)

    def __post_init__(self) -> None:
        _settle(self, ("kernel_size", "stride", "padding", "dilation"))

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        first, second = random.split(key)
        shape = (*self.kernel_size, self.in_channels // self.groups, self.out_channels)  # type: ignore[misc]
        params = {"weight": self.weight_init(first, shape, dtype)}
        if self.bias:
            params["bias"] = self.bias_init(second, (self.out_channels,), dtype)
        return params

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, in_channels)`` to ``(n, *space, out_channels)``."""
        x = floating(x)
        check_channels_last(self, x, self.axes, self.in_channels)
        y = conv(x, params["weight"], self.stride, self.padding, self.dilation, self.groups)
        return y + params["bias"] if self.bias else y


@dataclass(frozen=True)
class ConvTranspose(Layer):
    """The transpose of a convolution: it enlarges the spatial axes about ``stride`` times.

    Parameters
    ----------
    in_channels, out_channels : int
        Sizes of the last axis, before and after.
    kernel_size : int or tuple of int
        The window; an int stands for all ``axes``.
    stride, padding, dilation, groups, output_padding
        As in :func:`conv_transpose`.
    bias : bool
        Whether to add one.
    axes : int
        How many spatial axes, where ``kernel_size`` is an int.
    weight_init, bias_init : callable
        Initialisers.

    Notes
    -----
    Parameters: ``weight`` of shape ``(*kernel_size, out_channels // groups, in_channels)``, the kernel of the convolution that is transposed, and
    ``bias`` of shape ``(out_channels,)``.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> layer = nn.ConvTranspose(8, 3, (2, 2), stride=2)
    >>> layer(layer.init(fad.random.key(0)), fnp.ones((1, 4, 4, 8))).shape
    (1, 8, 8, 3)
    """

    in_channels: int
    out_channels: int
    kernel_size: Sizes
    stride: Sizes = 1
    padding: Any = "SAME"
    dilation: Sizes = 1
    groups: int = 1
    output_padding: Sizes = 0
    bias: bool = True
    axes: int = 2
    weight_init: Initializer = field(default=initializers.lecun_normal(), repr=False)
    bias_init: Initializer = field(default=initializers.zeros, repr=False)

    def __post_init__(self) -> None:
        _settle(self, ("kernel_size", "stride", "padding", "dilation", "output_padding"))

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters."""
        first, second = random.split(key)
        # Drawn with inputs before outputs, as initialisers count connections, then transposed.
        shape = (*self.kernel_size, self.in_channels, self.out_channels // self.groups)  # type: ignore[misc]
        params = {"weight": self.weight_init(first, shape, dtype).swapaxes(-1, -2)}
        if self.bias:
            params["bias"] = self.bias_init(second, (self.out_channels,), dtype)
        return params

    def __call__(self, params: Any, x: Any) -> Array:
        """Shape ``(n, *space, in_channels)`` to ``(n, *space, out_channels)``."""
        x = floating(x)
        check_channels_last(self, x, self.axes, self.in_channels)
        y = conv_transpose(
            x, params["weight"], self.stride, self.padding, self.dilation, self.groups, self.output_padding
        )
        return y + params["bias"] if self.bias else y
