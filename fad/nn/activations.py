"""Activation functions: elementwise, except for the softmax family and ``glu``.

At a kink the derivative is that of the left side (``relu'(0) = 0``), at the ends of a clip that of the outside (``relu6'(6) = 0``). None of them overflows where
its value is finite.
"""

from __future__ import annotations

import math
from typing import Any

import fad.numpy as fnp
from fad import Array, custom_jvp, errors, stop_gradient
from fad.nn.arguments import coefficient, floating
from fad.numpy import logsumexp, tanh
from fad.scipy import special

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh",
]

# Klambauer, Unterthiner, Mayr, Hochreiter: Self-Normalizing Neural Networks (2017), equation 14
_SELU_ALPHA = 1.6732632423543772848170429916717
_SELU_SCALE = 1.0507009873554804934193349852946


def sigmoid(x: Any) -> Array:
    """The logistic function ``1 / (1 + exp(-x))``.

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.sigmoid([-1000.0, 0.0, 1000.0])
    Array([0. , 0.5, 1. ])
    """
    return special.expit(x)


def log_sigmoid(x: Any) -> Array:
    """The logarithm of :func:`sigmoid`, exact for large negative numbers too.

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.log_sigmoid([-100.0, 0.0])
    Array([-100.        ,   -0.69314718])
    """
    return special.log_expit(x)


def relu(x: Any) -> Array:
    """``max(x, 0)``, with derivative 0 at 0.

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> nn.relu([-1.0, 0.0, 2.0])
    Array([0., 0., 2.])
    >>> fad.grad(nn.relu)(0.0)
    Array(0.)
    """
    x = fnp.asarray(x)
    return fnp.where(x <= 0, 0, x)


def _clipped(x: Any, low: float, high: float) -> Array:
    """A clip whose derivative at both ends is 0."""
    x = fnp.asarray(x)
    return fnp.where(x <= low, low, fnp.where(x >= high, high, x))


def relu6(x: Any) -> Array:
    """``min(max(x, 0), 6)``.

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.relu6([-1.0, 3.0, 8.0])
    Array([0., 3., 6.])
    """
    return _clipped(x, 0, 6)


def leaky_relu(x: Any, negative_slope: Any = 0.01) -> Array:
    """``x`` where it is positive, else ``negative_slope * x``.

    Parameters
    ----------
    x : array_like
        Real.
    negative_slope : array_like
        The slope left of 0.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.leaky_relu([-1.0, 2.0])
    Array([-0.01,  2.  ])
    """
    x = fnp.asarray(x)
    return fnp.where(x > 0, x, negative_slope * x)


def prelu(x: Any, weight: Any) -> Array:
    """:func:`leaky_relu` with a slope that is learned (He et al. 2015, arXiv:1502.01852).

    Parameters
    ----------
    x : array_like
        Real.
    weight : array_like
        The slope, broadcast with ``x``: a scalar, or one for each channel.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.prelu([[-1.0, -1.0]], [0.25, 0.5])
    Array([[-0.25, -0.5 ]])
    """
    return leaky_relu(x, coefficient(weight))


def elu(x: Any, alpha: float = 1.0) -> Array:
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2015, arXiv:1511.07289).

    Parameters
    ----------
    x : array_like
        Real.
    alpha : float
        Minus the limit at minus infinity.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.elu([-1000.0, 0.0, 1000.0])
    Array([  -1.,    0., 1000.])
    """
    x = fnp.asarray(x)
    return fnp.where(x > 0, x, alpha * fnp.expm1(fnp.where(x > 0, 0, x)))


def selu(x: Any) -> Array:
    """:func:`elu`, scaled so that activations keep mean 0 and variance 1 (Klambauer et al. 2017, arXiv:1706.02515).

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.selu([0.0, 1.0])
    Array([0.        , 1.05070099])
    """
    return _SELU_SCALE * elu(x, _SELU_ALPHA)


def celu(x: Any, alpha: float = 1.0) -> Array:
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))``, smooth for every ``alpha`` (Barron 2017, arXiv:1704.07483).

    Parameters
    ----------
    x : array_like
        Real.
    alpha : float
        Minus the limit at minus infinity.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> fad.grad(lambda x: nn.celu(x, 3.0))(0.0)
    Array(1.)
    """
    x = fnp.asarray(x)
    return fnp.where(x > 0, x, alpha * fnp.expm1(fnp.where(x > 0, 0, x) / alpha))


def gelu(x: Any, approximate: str | bool = "none") -> Array:
    """``x`` times the normal distribution function at ``x`` (Hendrycks and Gimpel 2016, arXiv:1606.08415).

    Parameters
    ----------
    x : array_like
        Real.
    approximate : {"none", "tanh"} or bool
        ``"tanh"`` (or ``True``) for the cheaper form with a hyperbolic tangent, which differs by up to 5e-4.

    Raises
    ------
    ArgumentError
        If ``approximate`` is something else.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.gelu([-1000.0, 0.0, 1.0])
    Array([-0.        , 0.        , 0.84134475])
    >>> nn.gelu(1.0, approximate="tanh")
    Array(0.84119199)
    """
    if approximate not in ("none", "tanh", True, False):
        raise errors.ArgumentError(f"nn.gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    x = fnp.asarray(x)
    if approximate in ("none", False):
        return x * special.ndtr(x)
    # 1 + tanh(z) = 2 sigmoid(2 z), which is exact in the left tail too.
    return x * sigmoid(x * (math.sqrt(8 / math.pi) + (math.sqrt(8 / math.pi) * 0.044715) * (x * x)))


def silu(x: Any) -> Array:
    """``x * sigmoid(x)``; also known as :func:`swish`.

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.silu([-1000.0, 0.0, 1.0])
    Array([-0.        , 0.        , 0.73105858])
    """
    x = fnp.asarray(x)
    return x * sigmoid(x)


swish = silu


def mish(x: Any) -> Array:
    """``x * tanh(softplus(x))`` (Misra 2019, arXiv:1908.08681).

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.mish([0.0, 1.0])
    Array([0.        , 0.86509839])
    """
    x = fnp.asarray(x)
    return x * fnp.tanh(softplus(x))


def hard_sigmoid(x: Any) -> Array:
    """The sigmoid as three straight lines: ``relu6(x + 3) / 6``.

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.hard_sigmoid([-3.0, 0.0, 3.0])
    Array([0. , 0.5, 1. ])
    """
    return relu6(fnp.asarray(x) + 3) / 6


def hard_swish(x: Any) -> Array:
    """``x * hard_sigmoid(x)`` (Howard et al. 2019, arXiv:1905.02244).

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.hard_swish([-4.0, 0.0, 1.5])
    Array([-0.   ,  0.   ,  1.125])
    """
    x = fnp.asarray(x)
    return x * hard_sigmoid(x)


def hard_tanh(x: Any, low: float = -1.0, high: float = 1.0) -> Array:
    """``x`` between two bounds.

    Parameters
    ----------
    x : array_like
        Real.
    low, high : float
        The bounds.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.hard_tanh([-2.0, 0.5, 2.0])
    Array([-1. ,  0.5,  1. ])
    """
    return _clipped(x, low, high)


def softplus(x: Any, beta: float = 1.0) -> Array:
    """``log(1 + exp(beta * x)) / beta``, a smooth :func:`relu`.

    Parameters
    ----------
    x : array_like
        Real.
    beta : float
        Sharpness of the bend.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.softplus([-1000.0, 0.0, 100.0])
    Array([  0.        ,   0.69314718, 100.        ])
    """
    x = fnp.asarray(x)
    return -log_sigmoid(-x) if beta == 1 else log_sigmoid(-beta * x) / -beta


def softsign(x: Any) -> Array:
    """``x / (1 + |x|)``.

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.softsign([-1.0, 0.0, 3.0])
    Array([-0.5 ,  0.  ,  0.75])
    """
    x = fnp.asarray(x)
    return x / (1 + fnp.abs(x))


def _exponentials(x: Any, axis: Any) -> tuple[Any, Any]:
    """Shifted exponents, so that the largest is 0, and the sum of their exponentials."""
    shifted = x - stop_gradient(fnp.max(x, axis=axis, keepdims=True))
    return shifted, fnp.sum(fnp.exp(shifted), axis=axis, keepdims=True)


def _softmax(x: Any, axis: Any) -> Array:
    exponentials = fnp.exp(x - stop_gradient(fnp.max(x, axis=axis, keepdims=True)))
    return exponentials / fnp.sum(exponentials, axis=axis, keepdims=True)


# One rule in terms of the result is shorter than the derivative of the quotient, and does not cancel.
_softmax = custom_jvp(_softmax, nondiff_argnums=(1,))


@_softmax.defjvp
def _softmax_jvp(axis: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    out = _softmax(primals[0], axis)
    return out, out * (tangents[0] - fnp.sum(out * tangents[0], axis=axis, keepdims=True))


def _log_softmax(x: Any, axis: Any) -> Array:
    shifted, total = _exponentials(x, axis)
    return shifted - fnp.log(total)


_log_softmax = custom_jvp(_log_softmax, nondiff_argnums=(1,))


@_log_softmax.defjvp
def _log_softmax_jvp(axis: Any, primals: Any, tangents: Any) -> tuple[Array, Array]:
    out = _log_softmax(primals[0], axis)
    return out, tangents[0] - fnp.sum(fnp.exp(out) * tangents[0], axis=axis, keepdims=True)


def _without(x: Array, where: Any) -> Array:
    """Logits with the masked ones so low that their exponentials vanish beside any other, and still finite after a shift."""
    return fnp.where(where, x, float(fnp.finfo(x.dtype).min) / 2)


def softmax(x: Any, axis: int | tuple[int, ...] = -1, where: Any = None) -> Array:
    """Exponentials divided by their sum: probabilities.

    Parameters
    ----------
    x : array_like
        Logits, of any size.
    axis : int or tuple of int
        Axes along which the result sums to 1.
    where : array_like of bool, optional
        Which elements take part, broadcast with ``x``; the others get 0. Where none takes part all get 0.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.softmax([1e4, 1e4, -1e4])
    Array([0.5, 0.5, 0. ])
    >>> nn.softmax([1.0, 2.0, 1.0], where=[True, False, True])
    Array([0.5, 0. , 0.5])
    """
    x = floating(x)
    if 0 in x.shape:
        return x
    if where is None:
        return _softmax(x, axis)
    where = fnp.asarray(where)
    return fnp.where(where, _softmax(_without(x, where), axis), 0)


def log_softmax(x: Any, axis: int | tuple[int, ...] = -1, where: Any = None) -> Array:
    """The logarithm of :func:`softmax`, exact where that underflows.

    Parameters
    ----------
    x : array_like
        Logits.
    axis : int or tuple of int
        Axes along which the exponentials of the result sum to 1.
    where : array_like of bool, optional
        Which elements take part, broadcast with ``x``; the others get minus infinity.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.log_softmax([1e4, 0.0])
    Array([     0., -10000.])
    """
    x = floating(x)
    if 0 in x.shape:
        return x
    if where is None:
        return _log_softmax(x, axis)
    where = fnp.asarray(where)
    return fnp.where(where, _log_softmax(_without(x, where), axis), -math.inf)


def glu(x: Any, axis: int = -1) -> Array:
    """The first half of an axis times the sigmoid of the second half (Dauphin et al. 2016, arXiv:1612.08083).

    Parameters
    ----------
    x : array_like
        Real.
    axis : int
        The axis to halve.

    Raises
    ------
    ShapeError
        If the axis has an odd size.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.glu([4.0, 6.0, 0.0, 0.0])
    Array([2., 3.])
    """
    x = fnp.asarray(x)
    if x.shape[axis] % 2:
        raise errors.ShapeError(
            f"nn.glu halves axis {axis}, which must have an even size; got an array of shape {x.shape}"
        )
    values, gates = fnp.split(x, 2, axis=axis)
    return values * sigmoid(gates)


def squareplus(x: Any, b: float = 4.0) -> Array:
    """``(x + sqrt(x**2 + b)) / 2``, a smooth :func:`relu` without an exponential (Barron, arXiv:2112.11687).

    Parameters
    ----------
    x : array_like
        Real.
    b : float
        Smoothness: ``sqrt(b) / 2`` at 0.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.squareplus([-1e200, 0.0, 1e200])
    Array([0.e+000, 1.e+000, 1.e+200])
    """
    x = floating(x)
    root = fnp.hypot(x, math.sqrt(b))
    # For x < 0 the sum cancels; there it is b over the difference.
    return fnp.where(x > 0, (x + root) / 2, b / 2 / (root - fnp.where(x > 0, 0, x)))


def sparse_plus(x: Any) -> Array:
    """0 up to -1, ``(x + 1)**2 / 4`` up to 1, then x: a smooth :func:`relu` that is exactly 0 (Martins et al., arXiv:1602.02068).

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.sparse_plus([-2.0, 0.0, 3.0])
    Array([0.  , 0.25, 3.  ])
    """
    x = floating(x)
    return fnp.where(x <= -1, 0.0, fnp.where(x >= 1, x, (fnp.clip(x, -1, 1) + 1) ** 2 / 4))


def sparse_sigmoid(x: Any) -> Array:
    """``(clip(x, -1, 1) + 1) / 2``, the derivative of :func:`sparse_plus`.

    Parameters
    ----------
    x : array_like
        Real.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.sparse_sigmoid([-2.0, 0.0, 3.0])
    Array([0. , 0.5, 1. ])
    """
    return 0.5 * fnp.clip(floating(x) + 1.0, 0.0, 2.0)
