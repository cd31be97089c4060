"""Complex numbers from their real and imaginary parts; ``real`` and ``imag`` are the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, aval_of, shape_of
from fad.core.errors import DTypeError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import case, f32, f64
from fad.primitives.arithmetic import imag, real
from fad.primitives.structural import broadcast_to, zeros

__all__ = ["complex_from_parts"]


def _impl(xp: Any, a: Any, b: Any) -> Any:
    out = xp.empty(xp.shape(a), np.result_type(a, np.complex64))
    out.real, out.imag = a, b
    return out if out.shape else out[()]


def _shape(a: ShapedArray, b: ShapedArray) -> ShapedArray:
    if a.shape != b.shape:
        raise ShapeError(f"complex_from_parts takes two arrays of one shape, got {a} and {b}")
    if a.dtype != b.dtype or a.dtype not in (np.float32, np.float64):
        raise DTypeError(f"complex_from_parts takes two float32 or two float64 arrays, got {a} and {b}")
    return ShapedArray(a.shape, np.result_type(a.dtype, np.complex64))


def _jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    parts = [zeros(aval_of(p)) if t is None else t for p, t in zip(primals, tangents, strict=True)]
    return complex_from_parts.bind(*primals), complex_from_parts.bind(*parts)


def _vjp(a: Any, b: Any) -> Any:
    # The pairing of a cotangent and a tangent is the real part of their product, without conjugation.
    return complex_from_parts.bind(a, b), lambda ct: [real.bind(ct), -imag.bind(ct)]


def _batch(size: int, args: Sequence[Any], mapped: Sequence[bool]) -> Any:
    whole = [a if m else broadcast_to(a, (size, *shape_of(a))) for a, m in zip(args, mapped, strict=True)]
    return complex_from_parts.bind(*whole), True


complex_from_parts = Primitive(
    "complex_from_parts",
    impl=_impl,
    shape=_shape,
    jvp=_jvp,
    vjp=_vjp,
    batch=_batch,
    kernel=lambda k, a, b: k.join(a, b),
    samples=[case(f64(2, 3), f64(2, 3)), case(f32(3), f32(3)), case(f64(), f64()), case(f64(0, 2), f64(0, 2))],
    doc="Complex numbers with these real and imaginary parts.",
)
