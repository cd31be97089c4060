"""Convolution and pooling over windows of channels-last arrays: what `fad.nn` builds its layers on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fad.core.array import Array
from fad.core.avals import is_inexact, result_dtype, weak_operand
from fad.core.errors import DTypeError
from fad.numpy.conversion import float_operand, operand, operands, wrap
from fad.primitives import convolution, pooling
from fad.primitives.structural import convert

__all__ = ["avg_pool", "conv", "conv_transpose", "max_pool", "sum_pool"]

Sizes = int | Sequence[int]
Padding = str | int | Sequence[Any]


def _floating(function: str, x: Any, w: Any) -> tuple[Any, Any]:
    """Both operands in one inexact dtype."""
    x, w = operands(function, x, w)
    dtype = result_dtype(weak_operand(x), weak_operand(w))
    if not is_inexact(dtype):
        raise DTypeError(f"{function} needs floating-point or complex numbers, got dtype {dtype}; use x.astype(float)")
    return convert(x, dtype), convert(w, dtype)


def conv(
    x: Any,
    w: Any,
    stride: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    groups: int = 1,
    input_dilation: Sizes = 1,
) -> Array:
    """Convolution as neural networks know it (the kernel is not flipped), over one to three spatial axes, channels last.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``.
    w : array_like
        The kernel, shape ``(*window, channels // groups, features)``.
    stride : int or sequence of int
        Step between windows.
    padding : str, int or sequence
        ``"SAME"`` gives ``ceil(size / stride)`` windows along each axis, ``"VALID"`` pads nothing; or so many zeros on both sides, or an int or a pair
        (before, after) for each axis.
    dilation : int or sequence of int
        Spacing of the kernel's elements.
    groups : int
        The channels form so many groups, each with features of its own.
    input_dilation : int or sequence of int
        Spacing of the input's elements, with zeros between them.

    Returns
    -------
    Array
        Shape ``(n, *space, features)``, promoted dtype.

    Raises
    ------
    ShapeError
        If ranks or channels do not fit.
    ArgumentError
        If stride, padding, dilation or groups are malformed.
    DTypeError
        If the operands are integers.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> image, kernel = fnp.ones((1, 4, 4, 1)), fnp.ones((3, 3, 1, 2))
    >>> nn.conv(image, kernel).shape
    (1, 4, 4, 2)
    >>> nn.conv(image, kernel, padding="VALID")[0, :, :, 0]
    Array([[9., 9.],
           [9., 9.]])
    """
    x, w = _floating("conv", x, w)
    return wrap(convolution.conv_general(x, w, stride, padding, input_dilation, dilation, groups))


def conv_transpose(
    x: Any,
    w: Any,
    stride: Sizes = 1,
    padding: Padding = "SAME",
    dilation: Sizes = 1,
    groups: int = 1,
    output_padding: Sizes = 0,
) -> Array:
    """The transpose of :func:`conv` by its input: it enlarges each axis about ``stride`` times.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, features)``, what the convolution would give.
    w : array_like
        The convolution's kernel, shape ``(*window, channels // groups, features)``.
    stride, padding, dilation, groups
        Of the convolution that is transposed. ``"SAME"`` gives ``size * stride`` elements along each axis, ``"VALID"`` all that a window touches.
    output_padding : int or sequence of int
        Elements to add at the end of each axis.

    Returns
    -------
    Array
        Shape ``(n, *space, channels)``, promoted dtype.

    Raises
    ------
    ShapeError
        If ranks or features do not fit.
    ArgumentError
        If stride, padding, dilation or groups are malformed.
    DTypeError
        If the operands are integers.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.conv_transpose(fnp.ones((1, 4, 4, 8)), fnp.ones((2, 2, 3, 8)), stride=2).shape
    (1, 8, 8, 3)
    """
    x, w = _floating("conv_transpose", x, w)
    return wrap(convolution.conv_transpose(x, w, stride, padding, dilation, groups, output_padding))


def max_pool(
    x: Any, window: Sizes, stride: Sizes | None = None, padding: Padding = "VALID", dilation: Sizes = 1
) -> Array:
    """Maxima over windows.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``, real.
    window : int or sequence of int
        Sizes of the windows.
    stride : int or sequence of int, optional
        Step between windows; by default their size.
    padding : str, int or sequence
        As in :func:`conv`; the padding never wins.
    dilation : int or sequence of int
        Spacing of the elements of a window.

    Returns
    -------
    Array
        Shape ``(n, *space, channels)``. Of equal maxima of a window the first gets the whole gradient.

    Raises
    ------
    ShapeError
        If ``x`` has no spatial axis.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.max_pool(fnp.arange(6.0).reshape(1, 6, 1), 2).ravel()
    Array([1., 3., 5.])
    """
    return wrap(pooling.max_pool(operand(x, "max_pool"), window, stride, padding, dilation))


def avg_pool(
    x: Any,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    count_include_pad: bool = True,
) -> Array:
    """Means over windows.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``.
    window, stride, padding, dilation
        As in :func:`max_pool`.
    count_include_pad : bool
        Whether the padding counts as zeros; else means are taken over the elements that exist.

    Returns
    -------
    Array
        Shape ``(n, *space, channels)``.

    Raises
    ------
    ShapeError
        If ``x`` has no spatial axis.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.avg_pool(fnp.arange(6.0).reshape(1, 6, 1), 2).ravel()
    Array([0.5, 2.5, 4.5])
    """
    return wrap(pooling.avg_pool(float_operand(x, "avg_pool"), window, stride, padding, dilation, count_include_pad))


def sum_pool(
    x: Any, window: Sizes, stride: Sizes | None = None, padding: Padding = "VALID", dilation: Sizes = 1
) -> Array:
    """Sums over windows; the padding is zeros.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``.
    window, stride, padding, dilation
        As in :func:`max_pool`.

    Returns
    -------
    Array
        Shape ``(n, *space, channels)``.

    Raises
    ------
    ShapeError
        If ``x`` has no spatial axis.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.sum_pool(fnp.arange(6.0).reshape(1, 6, 1), 2).ravel()
    Array([1., 5., 9.])
    """
    return wrap(pooling.sum_pool(operand(x, "sum_pool"), window, stride, padding, dilation))
