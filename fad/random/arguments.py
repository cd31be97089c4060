"""What the samplers accept: shapes, dtypes and parameters, checked with the caller's name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.avals import canonical_dtype, dtype_of, is_inexact, shape_of
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.core.trace import Tracer, concrete_value
from fad.numpy.conversion import operand, shape_tuple
from fad.primitives.structural import broadcast_to, convert

__all__ = ["float_dtype", "integer_dtype", "parameter", "parameters", "require", "sample_shape"]


def float_dtype(function: str, dtype: Any) -> np.dtype:
    """The dtype of real samples."""
    found = canonical_dtype(dtype)
    if not is_inexact(found) or found.kind == "c":
        raise DTypeError(f"fad.random.{function} draws real floating-point numbers, got dtype {found}")
    return found


def integer_dtype(function: str, dtype: Any) -> np.dtype:
    """The dtype of integer samples."""
    found = canonical_dtype(dtype)
    if found.kind not in "iu":
        raise DTypeError(f"fad.random.{function} draws integers, got dtype {found}")
    return found


def sample_shape(function: str, shape: Any, *parameters: Any) -> tuple[int, ...]:
    """The shape asked for, which the parameters must broadcast to; by default their common shape."""
    shapes = [shape_of(p) for p in parameters]
    try:
        common = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(
            f"fad.random.{function}: the parameters' shapes {' and '.join(map(str, shapes))} do not broadcast"
        ) from None
    if shape is None:
        return common
    wanted = shape_tuple(shape, f"fad.random.{function}")
    lead = len(wanted) - len(common)
    if lead < 0 or any(n not in (1, m) for n, m in zip(common, wanted[lead:], strict=True)):
        raise ShapeError(
            f"fad.random.{function}: parameters of shape {common} do not broadcast to shape={wanted}; put the axes of independent "
            f"samples in front, as in shape=(1000, *{common})"
        )
    return wanted


def parameter(function: str, value: Any, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
    """One parameter in the samples' dtype and shape."""
    return broadcast_to(convert(operand(value, f"fad.random.{function}"), dtype), shape)


def parameters(function: str, shape: Any, dtype: np.dtype, *values: Any) -> tuple[Any, ...]:
    """The samples' shape, and the parameters in that shape and their dtype."""
    found = [operand(v, f"fad.random.{function}") for v in values]
    for value in found:
        if dtype_of(value).kind == "c":
            raise DTypeError(f"fad.random.{function}: parameters must be real, got dtype {dtype_of(value)}")
    wanted = sample_shape(function, shape, *found)
    return wanted, *[broadcast_to(convert(f, dtype), wanted) for f in found]


def require(
    function: str, condition: str, value: Any, low: float, high: float = math.inf, closed: bool = False
) -> None:
    """Raise unless a parameter whose value is known lies between ``low`` and ``high``; a NaN passes, and gives NaN samples."""
    known = concrete_value(value) if isinstance(value, Tracer) else value
    if known is None:
        return
    array = np.asarray(known)
    outside = (array < low) | (array > high) if closed else (array <= low) | (array >= high)
    if outside.any():
        bad = array[outside].ravel()[0] if array.ndim else array[()]
        raise ArgumentError(f"fad.random.{function} needs {condition}, got {bad}")
