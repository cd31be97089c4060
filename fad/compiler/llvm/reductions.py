"""What a reduction starts from and how it combines two values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fad.compiler.llvm.scalar import ScalarBuilder, Value

__all__ = ["combine", "constant_identity", "identity_of"]


def identity_of(kernel: str, dtype: np.dtype) -> Any:
    """The value that a reduction starts from: as NumPy's, a sum starts from 0.0, so that negative zeros alone add up to 0.0."""
    if kernel == "reduce_sum":
        return 0
    if kernel == "reduce_prod":
        return 1
    if kernel in ("reduce_any", "reduce_all"):
        return kernel == "reduce_all"
    if dtype.kind == "b":
        return kernel == "reduce_min"
    if dtype.kind == "f":
        return -np.inf if kernel == "reduce_max" else np.inf
    limits = np.iinfo(dtype)
    return limits.min if kernel == "reduce_max" else limits.max


def _reordered(operation: str) -> Callable[[ScalarBuilder, Value, Value], Value]:
    """A sum or product that LLVM may split over vector lanes."""

    def apply(k: ScalarBuilder, x: Value, y: Value) -> Value:
        if x.dtype.kind != "f":
            return k.add(x, y) if operation == "fadd" else k.multiply(x, y)
        return Value(getattr(k.builder, operation)(x.ir, y.ir, flags=("reassoc",)), x.dtype)

    return apply


_COMBINE: dict[str, Callable[[ScalarBuilder, Value, Value], Value]] = {
    "reduce_sum": _reordered("fadd"),
    "reduce_prod": _reordered("fmul"),
    "reduce_max": lambda k, x, y: k.maximum(x, y),
    "reduce_min": lambda k, x, y: k.minimum(x, y),
    "reduce_any": lambda k, x, y: k.logical_or(x, y),
    "reduce_all": lambda k, x, y: k.logical_and(x, y),
}


def combine(kernel: str, k: ScalarBuilder, x: Value, y: Value) -> Value:
    """One step of a reduction."""
    return _COMBINE[kernel](k, x, y)


def constant_identity(kernel: str, k: ScalarBuilder, dtype: np.dtype) -> Value:
    """The starting value as a constant."""
    return k.constant(identity_of(kernel, dtype), dtype)
