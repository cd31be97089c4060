"""Discrete Fourier transforms along chosen axes, whole axes only: padding and cropping are separate operations.

A transform is a symmetric matrix, so it is its own transpose (not its adjoint: the pairing of cotangents and tangents has no conjugation). The transforms
from and to real signals keep half of a symmetric spectrum; their transposes weigh the entries that stand for two.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, is_complex, is_inexact, real_dtype
from fad.core.errors import DTypeError, ShapeError
from fad.core.samples import c64, c128, case, f32, f64
from fad.primitives.arithmetic import conjugate, multiply
from fad.primitives.structural import convert, linear_unary

__all__ = ["OTHER_NORM", "fourier", "fourier_from_real", "fourier_to_real"]

OTHER_NORM = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


def _require_sizes(function: str, x: ShapedArray, axes: tuple[int, ...]) -> None:
    if any(x.shape[a] < 1 for a in axes):
        raise ShapeError(
            f"{function}: an axis of size 0 cannot be transformed (shape {x.shape}, axes {axes}); give n >= 1"
        )


def _require_single_or_double(function: str, x: ShapedArray) -> None:
    if not is_inexact(x.dtype) or x.dtype.itemsize < 4:
        raise DTypeError(
            f"{function} works in single and double precision, got {x.dtype}; convert with x.astype(float)"
        )


def complex_dtype(dtype: np.dtype) -> np.dtype:
    """The complex dtype of the same precision."""
    return np.result_type(dtype, np.complex64)


# --- complex transforms ------------------------------------------------------------------------------------------------------------------------


_MANY = 4096
"""From so many numbers on half of a real signal's spectrum is computed, and the other half filled in."""


def _fourier_impl(xp: Any, x: Any, *, axes: tuple[int, ...], inverse: bool, norm: str) -> Any:
    if x.dtype.kind == "f" and x.size >= _MANY:
        x, axes = _spectrum(xp, x, axes[-1], inverse, norm), axes[:-1]  # NumPy, too, takes the last axis first
        if not axes:
            return x
    if len(axes) == 1:
        return (xp.fft.ifft if inverse else xp.fft.fft)(x, axis=axes[0], norm=norm)
    return (xp.fft.ifftn if inverse else xp.fft.fftn)(x, axes=axes, norm=norm)


def _spectrum(xp: Any, x: Any, axis: int, inverse: bool, norm: str) -> Any:
    """A real signal's transform along an axis: entry ``n - k`` is the conjugate of entry ``k``."""
    half = xp.moveaxis(xp.fft.rfft(x, axis=axis, norm=OTHER_NORM[norm] if inverse else norm), axis, -1)
    known, size = half.shape[-1], x.shape[axis]
    out = xp.empty((*half.shape[:-1], size), half.dtype)
    head, tail = out[..., :known], out[..., known:]
    mirrored = half[..., size - known : 0 : -1]
    head[...], tail[...] = (half.conj(), mirrored) if inverse else (half, mirrored.conj())
    return xp.moveaxis(out, -1, axis)


def _fourier_shape(x: ShapedArray, *, axes: tuple[int, ...], inverse: bool, norm: str) -> ShapedArray:
    function = "ifft" if inverse else "fft"
    _require_single_or_double(function, x)
    _require_sizes(function, x, axes)
    return ShapedArray(x.shape, complex_dtype(x.dtype))


fourier_p = linear_unary(
    "fourier",
    impl=_fourier_impl,
    shape=_fourier_shape,
    transpose=lambda ct, aval, **params: convert(fourier_p.bind(ct, **params), aval.dtype),
    batch=lambda size, x, *, axes, **params: fourier_p.bind(x, axes=tuple(a + 1 for a in axes), **params),
    kernel="fourier",
    samples=[
        case(c128(4), axes=(0,), inverse=False, norm="backward"),
        case(c128(2, 5), axes=(1,), inverse=True, norm="backward"),
        case(c128(3, 4), axes=(0, 1), inverse=False, norm="ortho"),
        case(c128(2, 3, 2), axes=(0, 2), inverse=True, norm="forward"),
        case(f64(3, 4), axes=(1,), inverse=False, norm="forward"),
        case(f64(1), axes=(0,), inverse=True, norm="backward"),
        case(f64(0, 3), axes=(1,), inverse=False, norm="backward"),
        case(f32(4), axes=(0,), inverse=False, norm="backward"),
        case(c64(3), axes=(0,), inverse=True, norm="ortho"),
    ],
    doc="The discrete Fourier transform, or its inverse, along some axes.",
)


def fourier(x: Any, axes: tuple[int, ...], inverse: bool = False, norm: str = "backward") -> Any:
    """The transform along distinct non-negative axes; no operation without axes."""
    if not axes:
        return convert(x, complex_dtype(dtype_of(x)))
    return fourier_p.bind(x, axes=axes, inverse=inverse, norm=norm)


# --- from and to real signals ----------------------------------------------------------------------------------------------------------------------


def _multiplicities(size: int, axis: int, ndim: int, dtype: np.dtype) -> np.ndarray:
    """How many entries of the whole spectrum each entry of the half stands for, along the axis."""
    half = size // 2 + 1
    counts = np.full(half, 2.0, dtype)
    counts[0] = 1.0
    if size % 2 == 0:
        counts[-1] = 1.0
    return counts.reshape((half, *[1] * (ndim - axis - 1)))


def _from_real_shape(x: ShapedArray, *, axis: int, norm: str) -> ShapedArray:
    _require_single_or_double("rfft", x)
    if is_complex(x.dtype):
        raise DTypeError(f"rfft needs a real signal, got {x.dtype}; use fft, or take x.real")
    _require_sizes("rfft", x, (axis,))
    shape = (*x.shape[:axis], x.shape[axis] // 2 + 1, *x.shape[axis + 1 :])
    return ShapedArray(shape, complex_dtype(x.dtype))


def _from_real_transpose(ct: Any, aval: ShapedArray, *, axis: int, norm: str) -> Any:
    size = aval.shape[axis]
    weights = 1.0 / _multiplicities(size, axis, aval.ndim, real_dtype(aval.dtype))
    weighted = multiply.bind(conjugate.bind(ct), weights.astype(aval.dtype))
    return fourier_to_real(weighted, axis, size, OTHER_NORM[norm])


fourier_from_real_p = linear_unary(
    "fourier_from_real",
    impl=lambda xp, x, *, axis, norm: xp.fft.rfft(x, axis=axis, norm=norm),
    shape=_from_real_shape,
    transpose=_from_real_transpose,
    batch=lambda size, x, *, axis, norm: fourier_from_real_p.bind(x, axis=axis + 1, norm=norm),
    kernel="fourier_from_real",
    samples=[
        case(f64(4), axis=0, norm="backward"),
        case(f64(2, 5), axis=1, norm="ortho"),
        case(f64(6, 2), axis=0, norm="forward"),
        case(f64(1), axis=0, norm="backward"),
        case(f64(2), axis=0, norm="backward"),
        case(f64(0, 3), axis=1, norm="backward"),
        case(f32(4), axis=0, norm="backward"),
    ],
    doc="The first half of the Fourier transform of a real signal.",
)


def fourier_from_real(x: Any, axis: int, norm: str = "backward") -> Any:
    """The half spectrum of a real signal along a non-negative axis."""
    return fourier_from_real_p.bind(x, axis=axis, norm=norm)


def _to_real_shape(x: ShapedArray, *, axis: int, length: int, norm: str) -> ShapedArray:
    _require_single_or_double("irfft", x)
    if length < 1 or x.shape[axis] != length // 2 + 1:
        raise ShapeError(
            f"irfft: a signal of {length} elements has {max(length, 0) // 2 + 1} entries in its half spectrum, got {x.shape[axis]} on axis {axis}"
        )
    return ShapedArray((*x.shape[:axis], length, *x.shape[axis + 1 :]), real_dtype(x.dtype))


def _to_real_transpose(ct: Any, aval: ShapedArray, *, axis: int, length: int, norm: str) -> Any:
    weights = _multiplicities(length, axis, aval.ndim, real_dtype(aval.dtype))
    spectrum = conjugate.bind(fourier_from_real(ct, axis, OTHER_NORM[norm]))
    return convert(multiply.bind(spectrum, weights), aval.dtype)


fourier_to_real_p = linear_unary(
    "fourier_to_real",
    impl=lambda xp, x, *, axis, length, norm: xp.fft.irfft(x, n=length, axis=axis, norm=norm),
    shape=_to_real_shape,
    transpose=_to_real_transpose,
    batch=lambda batch, x, *, axis, length, norm: fourier_to_real_p.bind(x, axis=axis + 1, length=length, norm=norm),
    kernel="fourier_to_real",
    samples=[
        case(c128(3), axis=0, length=4, norm="backward"),
        case(c128(2, 3), axis=1, length=5, norm="ortho"),
        case(c128(4, 2), axis=0, length=6, norm="forward"),
        case(c128(1), axis=0, length=1, norm="backward"),
        case(c128(2), axis=0, length=2, norm="backward"),
        case(c128(0, 2), axis=1, length=3, norm="backward"),
        case(f64(3), axis=0, length=5, norm="backward"),
        case(c64(3), axis=0, length=4, norm="backward"),
    ],
    doc="The real signal whose Fourier transform begins with the given half spectrum.",
)


def fourier_to_real(x: Any, axis: int, size: int, norm: str = "backward") -> Any:
    """The real signal of ``size`` elements of a half spectrum along a non-negative axis."""
    return fourier_to_real_p.bind(x, axis=axis, length=size, norm=norm)
