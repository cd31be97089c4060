"""The functions of ``fad.numpy.fft``.

``norm`` says which direction is divided: ``"backward"`` the inverse by n (default), ``"forward"`` the forward one, ``"ortho"`` both by sqrt(n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, is_complex, is_inexact, shape_of
from fad.core.errors import ArgumentError, DTypeError, ImmutableArrayError, ShapeError
from fad.numpy.conversion import axis_number, axis_numbers, operand
from fad.primitives.arithmetic import conj_if_complex
from fad.primitives.fft import fourier, fourier_from_real, fourier_to_real
from fad.primitives.slicing import concatenate, pad, slice_axis
from fad.primitives.structural import convert

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

_SINGLE = np.dtype(np.float32)
_SWAPPED = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


# --- arguments ---------------------------------------------------------------------------------------------------------------------------------------


def _signal(function: str, a: Any, norm: Any, out: Any) -> tuple[Any, str]:
    """The operand in single or double precision, and the checked norm."""
    if out is not None:
        raise ImmutableArrayError(f"{function}: out= is not supported, arrays are immutable; use the returned array")
    if norm not in (None, "backward", "ortho", "forward"):
        raise ArgumentError(f"{function}: norm must be 'backward', 'ortho' or 'forward', got {norm!r}")
    x = operand(a, function)
    dtype = dtype_of(x)
    if not is_inexact(dtype):
        x = convert(x, np.dtype(np.float64))
    elif dtype.itemsize < 4:
        x = convert(x, _SINGLE)
    if not shape_of(x):
        raise ShapeError(f"{function} needs an array with at least one axis, got a 0-d value")
    return x, norm or "backward"


def _length(function: str, n: Any, default: int) -> int:
    """The number of points along an axis."""
    size = default if n is None else int(n)
    if size < 1:
        raise ShapeError(f"{function}: the number of points must be at least 1, got {size}")
    return size


def _resized(x: Any, axis: int, size: int) -> Any:
    """Cropped, or padded with zeros at the end."""
    shape = shape_of(x)
    if shape[axis] > size:
        return slice_axis(x, axis, 0, size)
    return pad(x, tuple((0, size - n if k == axis else 0, 0) for k, n in enumerate(shape)))


def _several(function: str, x: Any, s: Any, axes: Any) -> tuple[list[int], Sequence[int | None]]:
    """Axes, and a number of points or ``None`` for each."""
    ndim = len(shape_of(x))
    if axes is None:
        axes = range(ndim) if s is None else range(ndim - len(s), ndim)
    numbers = [axis_number(a, ndim, function) for a in axes]
    sizes: list[int | None] = [None] * len(numbers)
    if s is not None:
        sizes = [None if n is None else int(n) for n in s]
    if len(sizes) != len(numbers):
        raise ShapeError(f"{function}: s={s!r} and axes={tuple(axes)!r} must have the same length")
    # -1 is the size that the axis has, also for the half spectra of irfftn.
    return numbers, [shape_of(x)[a] if n == -1 else n for a, n in zip(numbers, sizes)]


def _transform(
    function: str, x: Any, axes: Sequence[int], sizes: Sequence[int | None], inverse: bool, norm: str
) -> Any:
    for axis, n in zip(axes, sizes):
        x = _resized(x, axis, _length(function, n, shape_of(x)[axis]))
    if len(set(axes)) == len(axes):
        return fourier(x, tuple(axes), inverse, norm)
    for axis in reversed(axes):
        x = fourier(x, (axis,), inverse, norm)
    return x


def _half_transform(function: str, x: Any, axis: int, n: Any, norm: str) -> Any:
    if is_complex(dtype_of(x)):
        raise DTypeError(
            f"{function} needs a real signal, got {dtype_of(x)}; use the complex transform, or take x.real"
        )
    return fourier_from_real(_resized(x, axis, _length(function, n, shape_of(x)[axis])), axis, norm)


def _half_inverse(function: str, x: Any, axis: int, n: Any, norm: str) -> Any:
    size = _length(function, n, 2 * (shape_of(x)[axis] - 1))
    return fourier_to_real(_resized(x, axis, size // 2 + 1), axis, size, norm)


# --- one axis -----------------------------------------------------------------------------------------------------------------------------------------


def fft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Array:
    """Discrete Fourier transform along one axis.

    Parameters
    ----------
    a : array_like
        Real or complex.
    n : int, optional
        Number of points: the axis is cropped or padded with zeros.
    axis : int
        The axis.
    norm : {"backward", "ortho", "forward"}, optional
        Which direction is divided.

    Returns
    -------
    Array
        Complex, in the precision of ``a``.

    Raises
    ------
    ShapeError
        If there is no point to transform.
    ArgumentError
        If ``norm`` is unknown.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.fft([1.0, 0.0, 0.0, 0.0])
    Array([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    x, norm = _signal("fft", a, norm, out)
    return wrap(_transform("fft", x, [axis_number(axis, len(shape_of(x)), "fft")], [n], False, norm))


def ifft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Array:
    """Inverse of :func:`fft`, with the same parameters.

    Raises
    ------
    ShapeError
        If there is no point to transform.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.ifft([4.0, 0.0, 0.0, 0.0])
    Array([1.+0.j, 1.+0.j, 1.+0.j, 1.+0.j])
    """
    x, norm = _signal("ifft", a, norm, out)
    return wrap(_transform("ifft", x, [axis_number(axis, len(shape_of(x)), "ifft")], [n], True, norm))


def rfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Array:
    """First half of the Fourier transform of a real signal; the other half is its mirror image.

    Parameters
    ----------
    a : array_like
        Real.
    n, axis, norm
        As in :func:`fft`.

    Returns
    -------
    Array
        Complex, ``n // 2 + 1`` elements along ``axis``.

    Raises
    ------
    DTypeError
        If ``a`` is complex.
    ShapeError
        If there is no point to transform.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.rfft([1.0, 0.0, -1.0, 0.0])
    Array([0.+0.j, 2.+0.j, 0.+0.j])
    """
    x, norm = _signal("rfft", a, norm, out)
    return wrap(_half_transform("rfft", x, axis_number(axis, len(shape_of(x)), "rfft"), n, norm))


def irfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Array:
    """Inverse of :func:`rfft`: the real signal with this half spectrum.

    Parameters
    ----------
    a : array_like
        Half spectrum; imaginary parts that a real signal cannot have are not read.
    n : int, optional
        Number of points of the signal, ``2 * (m - 1)`` by default.
    axis, norm
        As in :func:`fft`.

    Returns
    -------
    Array
        Real, ``n`` elements along ``axis``.

    Raises
    ------
    ShapeError
        If there is no point to give.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.irfft([0.0, 2.0, 0.0])
    Array([ 1.,  0., -1.,  0.])
    """
    x, norm = _signal("irfft", a, norm, out)
    return wrap(_half_inverse("irfft", x, axis_number(axis, len(shape_of(x)), "irfft"), n, norm))


def hfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Array:
    """Fourier transform of a signal whose mirror image is its conjugate, given by its first half; the result is real.

    Parameters are those of :func:`irfft`.

    Raises
    ------
    ShapeError
        If there is no point to give.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.hfft([1.0, 0.5, 0.0])
    Array([2., 1., 0., 1.])
    """
    x, norm = _signal("hfft", a, norm, out)
    return wrap(
        _half_inverse("hfft", conj_if_complex(x), axis_number(axis, len(shape_of(x)), "hfft"), n, _SWAPPED[norm])
    )


def ihfft(a: Any, n: int | None = None, axis: int = -1, norm: str | None = None, out: Any = None) -> Array:
    """Inverse of :func:`hfft`; parameters are those of :func:`rfft`.

    Raises
    ------
    DTypeError
        If ``a`` is complex.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.ihfft([2.0, 1.0, 0.0, 1.0])
    Array([1. -0.j, 0.5-0.j, 0. -0.j])
    """
    x, norm = _signal("ihfft", a, norm, out)
    half = _half_transform("ihfft", x, axis_number(axis, len(shape_of(x)), "ihfft"), n, _SWAPPED[norm])
    return wrap(conj_if_complex(half))


# --- several axes ---------------------------------------------------------------------------------------------------------------------------------------


def fftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Array:
    """Discrete Fourier transform along several axes.

    Parameters
    ----------
    a : array_like
        Real or complex.
    s : sequence of int, optional
        Number of points along each axis; -1 keeps all.
    axes : sequence of int, optional
        The axes; all by default, or the last ``len(s)``.
    norm : {"backward", "ortho", "forward"}, optional
        Which direction is divided.

    Returns
    -------
    Array
        Complex.

    Raises
    ------
    ShapeError
        If ``s`` and ``axes`` differ in length, or an axis has no point.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.fftn(fnp.ones((2, 2)))
    Array([[4.+0.j, 0.+0.j],
           [0.+0.j, 0.+0.j]])
    """
    x, norm = _signal("fftn", a, norm, out)
    return wrap(_transform("fftn", x, *_several("fftn", x, s, axes), False, norm))


def ifftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Array:
    """Inverse of :func:`fftn`, with the same parameters.

    Raises
    ------
    ShapeError
        If ``s`` and ``axes`` differ in length, or an axis has no point.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.ifftn(fnp.ones((2, 2)))
    Array([[1.+0.j, 0.+0.j],
           [0.+0.j, 0.+0.j]])
    """
    x, norm = _signal("ifftn", a, norm, out)
    return wrap(_transform("ifftn", x, *_several("ifftn", x, s, axes), True, norm))


def rfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Array:
    """Fourier transform of a real array along several axes, of which the last keeps its first half.

    Parameters
    ----------
    a : array_like
        Real.
    s, axes, norm
        As in :func:`fftn`.

    Returns
    -------
    Array
        Complex.

    Raises
    ------
    DTypeError
        If ``a`` is complex.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.rfftn(fnp.ones((2, 2)))
    Array([[4.+0.j, 0.+0.j],
           [0.+0.j, 0.+0.j]])
    """
    x, norm = _signal("rfftn", a, norm, out)
    axes, sizes = _several("rfftn", x, s, axes)
    half = _half_transform("rfftn", x, axes[-1], sizes[-1], norm)
    return wrap(_transform("rfftn", half, axes[:-1], sizes[:-1], False, norm))


def irfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None, out: Any = None) -> Array:
    """Inverse of :func:`rfftn`.

    Parameters
    ----------
    a : array_like
        Spectrum, half of it along the last of the axes.
    s : sequence of int, optional
        Number of points of the result along each axis.
    axes, norm
        As in :func:`fftn`.

    Returns
    -------
    Array
        Real.

    Raises
    ------
    ShapeError
        If ``s`` and ``axes`` differ in length, or an axis has no point.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.irfftn([[4.0, 0.0], [0.0, 0.0]])
    Array([[1., 1.],
           [1., 1.]])
    """
    x, norm = _signal("irfftn", a, norm, out)
    axes, sizes = _several("irfftn", x, s, axes)
    x = _transform("irfftn", x, axes[:-1], sizes[:-1], True, norm)
    return wrap(_half_inverse("irfftn", x, axes[-1], sizes[-1], norm))


def fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Array:
    """Discrete Fourier transform along two axes, by default the last; parameters as in :func:`fftn`.

    Raises
    ------
    ShapeError
        If an axis does not exist or has no point.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.fft2(fnp.eye(2))
    Array([[2.+0.j, 0.+0.j],
           [0.+0.j, 2.+0.j]])
    """
    return fftn(a, s, axes, norm, out)


def ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Array:
    """Inverse of :func:`fft2`.

    Raises
    ------
    ShapeError
        If an axis does not exist or has no point.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.ifft2(2 * fnp.eye(2))
    Array([[1.+0.j, 0.+0.j],
           [0.+0.j, 1.+0.j]])
    """
    return ifftn(a, s, axes, norm, out)


def rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Array:
    """Fourier transform of a real array along two axes; parameters as in :func:`rfftn`.

    Raises
    ------
    DTypeError
        If ``a`` is complex.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.rfft2(fnp.ones((2, 4))).shape
    (2, 3)
    """
    return rfftn(a, s, axes, norm, out)


def irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: str | None = None, out: Any = None) -> Array:
    """Inverse of :func:`rfft2`; parameters as in :func:`irfftn`.

    Raises
    ------
    ShapeError
        If an axis does not exist or has no point.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.irfft2(fnp.fft.rfft2(fnp.ones((2, 4)))).shape
    (2, 4)
    """
    return irfftn(a, s, axes, norm, out)


# --- frequencies and shifts --------------------------------------------------------------------------------------------------------------------------------


def fftfreq(n: int, d: float = 1.0, dtype: Any = None, device: Any = None) -> Array:
    """Frequencies of the entries of :func:`fft`, in cycles per unit of the sample spacing.

    Parameters
    ----------
    n : int
        Number of points.
    d : float
        Sample spacing.
    dtype : dtype, optional
        Of the result; float64 by default.

    Returns
    -------
    Array
        Shape ``(n,)``.

    Raises
    ------
    ArgumentError
        If ``n`` is not a positive int.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.fftfreq(4)
    Array([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return _frequencies("fftfreq", np.fft.fftfreq, n, d, dtype)


def rfftfreq(n: int, d: float = 1.0, dtype: Any = None, device: Any = None) -> Array:
    """Frequencies of the entries of :func:`rfft`; parameters as in :func:`fftfreq`.

    Raises
    ------
    ArgumentError
        If ``n`` is not a positive int.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.rfftfreq(4)
    Array([0.  , 0.25, 0.5 ])
    """
    return _frequencies("rfftfreq", np.fft.rfftfreq, n, d, dtype)


def _frequencies(function: str, values: Any, n: Any, d: Any, dtype: Any) -> Array:
    if not isinstance(n, int | np.integer) or n < 1:
        raise ArgumentError(f"{function}: n must be an int >= 1 known when the function runs, got {n!r}")
    # 1 / d is kept outside, so that d may be traced.
    out = wrap(values(int(n)) if dtype is None else values(int(n)).astype(dtype))
    return out if isinstance(d, float | int) and d == 1 else out / d


def _rolled(function: str, x: Any, axes: Any, fraction: Any) -> Array:
    value = operand(x, function)
    for axis in axis_numbers(axes, len(shape_of(value)), function):
        size = shape_of(value)[axis]
        cut = fraction(size)
        if 0 < cut < size:
            value = concatenate([slice_axis(value, axis, cut, size), slice_axis(value, axis, 0, cut)], axis)
    return wrap(value)


def fftshift(x: Any, axes: Any = None) -> Array:
    """Move the zero frequency to the middle.

    Parameters
    ----------
    x : array_like
        Any array.
    axes : int or tuple of ints, optional
        Axes to shift; all by default.

    Returns
    -------
    Array
        Shape and dtype of ``x``.

    Raises
    ------
    ShapeError
        If an axis does not exist.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.fftshift([0.0, 1.0, -2.0, -1.0])
    Array([-2., -1.,  0.,  1.])
    """
    return _rolled("fftshift", x, axes, lambda size: math.ceil(size / 2))


def ifftshift(x: Any, axes: Any = None) -> Array:
    """Undo :func:`fftshift`, with the same parameters.

    Raises
    ------
    ShapeError
        If an axis does not exist.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fft.ifftshift([-1.0, 0.0, 1.0])
    Array([ 0.,  1., -1.])
    """
    return _rolled("ifftshift", x, axes, lambda size: size // 2)
