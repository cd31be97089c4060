"""Universal functions that are compositions of primitives: on buffers and tracers, like the primitives' ``bind``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.avals import dtype_of, inexact_dtype, is_complex
from fad.core.errors import DTypeError
from fad.numpy.conversion import operands
from fad.primitives import arithmetic, math_functions
from fad.primitives.structural import convert

__all__ = ["deg2rad", "divmod", "fabs", "frexp", "modf", "rad2deg"]


def _real(function: str, x: Any) -> Any:
    """The argument in real floating point."""
    dtype = dtype_of(x)
    if is_complex(dtype):
        raise DTypeError(
            f"{function} is for real arguments, got {dtype}; use absolute, real, imag or angle for the parts"
        )
    if dtype.kind in "biu":
        small = np.dtype(np.float16) if dtype.itemsize == 1 else np.dtype(np.float32)
        return convert(x, small if dtype.itemsize <= 2 else inexact_dtype(dtype))
    return x


def fabs(x: Any) -> Any:
    """Absolute value as a floating-point number."""
    return arithmetic.absolute.bind(_real("fabs", x))


def deg2rad(x: Any) -> Any:
    """Degrees to radians."""
    return arithmetic.multiply.bind(*operands("deg2rad", _real("deg2rad", x), math.pi / 180))


def rad2deg(x: Any) -> Any:
    """Radians to degrees."""
    return arithmetic.multiply.bind(*operands("rad2deg", _real("rad2deg", x), 180 / math.pi))


def divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """Quotient rounded down, and remainder."""
    return arithmetic.floor_divide.bind(x, y), arithmetic.remainder.bind(x, y)


def modf(x: Any) -> tuple[Any, Any]:
    """Fractional and integer part, both with the sign of the argument; the fraction of an infinity is 0."""
    x = _real("modf", x)
    whole = arithmetic.trunc.bind(x)
    endless = arithmetic.isinf.bind(x)
    fraction = arithmetic.subtract.bind(x, arithmetic.select.bind(endless, 0.0, whole))
    fraction = arithmetic.select.bind(endless, 0.0, fraction)
    return arithmetic.copysign.bind(fraction, x), whole


def frexp(x: Any) -> tuple[Any, Any]:
    """Mantissa and binary exponent: ``x = mantissa * 2**exponent`` with the mantissa's magnitude in [0.5, 1)."""
    x = _real("frexp", x)
    exponent = math_functions.frexp_exponent.bind(x)
    return math_functions.ldexp.bind(x, arithmetic.negative.bind(exponent)), exponent
