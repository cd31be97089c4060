"""Convolution and pooling of channels-last arrays: what NumPy lacks and neural networks need.

The functions stand outside the namespace ``fad.numpy``, which has NumPy's names only; :mod:`fad.nn` builds its layers on them.
"""

from __future__ import annotations

from typing import Any

from fad.core.array import Array, wrap
from fad.numpy.conversion import float_operand, operand, promoted
from fad.primitives import convolution, pooling

__all__ = ["avg_pool", "conv_general", "conv_transpose", "max_pool", "sum_pool"]


def conv_general(
    x: Any,
    w: Any,
    strides: Any = 1,
    padding: Any = "VALID",
    lhs_dilation: Any = 1,
    rhs_dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Convolution over one to three spatial axes, as neural networks mean it: the kernel is not flipped.

    Parameters
    ----------
    x : array_like
        Input, shape ``(n, *space, channels)``.
    w : array_like
        Kernel, shape ``(*window, channels / groups, features)``.
    strides : int or sequence of int
        Step of the windows.
    padding : {"SAME", "VALID"}, int or sequence
        ``"SAME"`` makes ``ceil(size / stride)`` windows, an odd zero coming after; a number, or a pair (before, after), for each axis.
    lhs_dilation, rhs_dilation : int or sequence of int
        Spacing of the elements of the input and of the kernel.
    groups : int
        The channels are divided into so many groups, and each makes its own features.

    Returns
    -------
    Array
        Shape ``(n, *space, features)``, promoted dtype; float16 and bfloat16 are computed in float32 and rounded once.

    Raises
    ------
    ShapeError
        If channels or ranks do not fit.
    ArgumentError
        If strides, padding or dilations are malformed.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> from fad.numpy.windowed import conv_general
    >>> conv_general(fnp.ones((1, 4, 1)), fnp.ones((3, 1, 1)), padding="SAME").ravel()
    Array([2., 3., 3., 2.])
    """
    a, b = promoted("conv_general", x, w)
    return wrap(convolution.conv_general(a, b, strides, padding, lhs_dilation, rhs_dilation, groups))


def conv_transpose(
    x: Any,
    w: Any,
    strides: Any = 1,
    padding: Any = "VALID",
    rhs_dilation: Any = 1,
    groups: int = 1,
    output_padding: Any = 0,
) -> Array:
    """The transpose of :func:`conv_general`: from the shape of its results to that of its inputs.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, features)``.
    w : array_like
        The convolution's kernel, shape ``(*window, channels / groups, features)``.
    strides, padding, rhs_dilation, groups
        Of the convolution. ``"SAME"`` gives ``size * stride`` elements along each axis, ``"VALID"`` all that a window touches.
    output_padding : int or sequence of int
        Elements to add at the end of each axis, which no window reaches.

    Returns
    -------
    Array
        Shape ``(n, *space, channels)``, promoted dtype.

    Raises
    ------
    ShapeError
        If features or ranks do not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> from fad.numpy.windowed import conv_transpose
    >>> conv_transpose(fnp.ones((1, 2, 1)), fnp.ones((2, 1, 1)), strides=2).ravel()
    Array([1., 1., 1., 1.])
    """
    a, b = promoted("conv_transpose", x, w)
    return wrap(convolution.conv_transpose(a, b, strides, padding, rhs_dilation, groups, output_padding))


def max_pool(x: Any, window: Any, strides: Any = None, padding: Any = "VALID", dilation: Any = 1) -> Array:
    """Maxima over windows.

    Parameters
    ----------
    x : array_like
        Shape ``(n, *space, channels)``, real.
    window : int or sequence of int
        Sizes of the windows.
    strides : int or sequence of int, optional
        Step of the windows; by default they do not overlap.
    padding : {"SAME", "VALID"}, int or sequence
        As in :func:`conv_general`; the padding never wins.
    dilation : int or sequence of int
        Spacing of the elements of a window.

    Returns
    -------
    Array
        Shape ``(n, *space, channels)``. Of several equal maxima the first has the derivative.

    Raises
    ------
    ShapeError
        If ``x`` has no spatial axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> from fad.numpy.windowed import max_pool
    >>> max_pool(fnp.arange(4.0).reshape(1, 4, 1), 2).ravel()
    Array([1., 3.])
    """
    return wrap(pooling.max_pool(operand(x, "max_pool"), window, strides, padding, dilation))


def sum_pool(x: Any, window: Any, strides: Any = None, padding: Any = "VALID", dilation: Any = 1) -> Array:
    """Sums over windows; parameters as in :func:`max_pool`, the padding is zeros.

    Raises
    ------
    ShapeError
        If ``x`` has no spatial axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> from fad.numpy.windowed import sum_pool
    >>> sum_pool(fnp.arange(4.0).reshape(1, 4, 1), 2).ravel()
    Array([1., 5.])
    """
    return wrap(pooling.sum_pool(operand(x, "sum_pool"), window, strides, padding, dilation))


def avg_pool(
    x: Any,
    window: Any,
    strides: Any = None,
    padding: Any = "VALID",
    dilation: Any = 1,
    count_include_pad: bool = True,
) -> Array:
    """Means over windows; parameters as in :func:`max_pool`.

    Parameters
    ----------
    x, window, strides, padding, dilation
        As in :func:`max_pool`.
    count_include_pad : bool
        Whether padding counts as zeros, or not at all.

    Returns
    -------
    Array
        Shape ``(n, *space, channels)``; integers become float64.

    Raises
    ------
    ShapeError
        If ``x`` has no spatial axis.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> from fad.numpy.windowed import avg_pool
    >>> avg_pool(fnp.arange(4.0).reshape(1, 4, 1), 2).ravel()
    Array([0.5, 2.5])
    """
    return wrap(pooling.avg_pool(float_operand(x, "avg_pool"), window, strides, padding, dilation, count_include_pad))
