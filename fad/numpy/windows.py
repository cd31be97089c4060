"""Window functions of signal processing, and the Bessel function that one of them needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.numpy.conversion import float_operand, operand
from fad.primitives import special

__all__ = ["bartlett", "blackman", "hamming", "hanning", "i0", "kaiser"]


def i0(x: Any) -> Array:
    """The modified Bessel function of the first kind of order 0.

    Parameters
    ----------
    x : array_like
        Real values.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.i0(0.0)
    Array(1.)
    """
    return wrap(special.i0.bind(float_operand(x, "i0")))


def bartlett(M: int) -> Array:
    """A triangle of ``M`` points that ends in zeros.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.bartlett(3)
    Array([0., 1., 0.])
    """
    return wrap(np.bartlett(M))


def blackman(M: int) -> Array:
    """The Blackman window of ``M`` points.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.round(fnp.blackman(3), 6) + 0.0
    Array([0., 1., 0.])
    """
    return wrap(np.blackman(M))


def hamming(M: int) -> Array:
    """The Hamming window of ``M`` points.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.hamming(3)
    Array([0.08, 1.  , 0.08])
    """
    return wrap(np.hamming(M))


def hanning(M: int) -> Array:
    """The Hann window of ``M`` points.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.hanning(3)
    Array([0., 1., 0.])
    """
    return wrap(np.hanning(M))


def kaiser(M: int, beta: Any) -> Array:
    """The Kaiser window of ``M`` points, differentiable in its shape parameter.

    Parameters
    ----------
    M : int
        How many points.
    beta : scalar
        The shape parameter.

    Returns
    -------
    Array
        Of shape ``(M,)``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.kaiser(3, 0.0)
    Array([1., 1., 1.])
    """
    if M == 1:
        return wrap(np.ones(1))
    half = (M - 1) / 2.0
    shape = operand(beta, "kaiser")
    profile = np.sqrt(np.maximum(1 - ((np.arange(M) - half) / half) ** 2, 0))
    return wrap(special.i0.bind(profile * shape) / special.i0.bind(shape + 0.0))
