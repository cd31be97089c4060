"""Complex numbers in kernels: pairs of real values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fad.compiler.llvm.scalar_value import Value
from fad.core.avals import real_dtype

if TYPE_CHECKING:
    from fad.compiler.llvm.scalar import ScalarBuilder


def parts(z: Value) -> tuple[Value, Value]:
    """The real and the imaginary part."""
    dtype = real_dtype(z.dtype)
    return Value(z.ir[0], dtype), Value(z.ir[1], dtype)


def join(real: Value, imaginary: Value) -> Value:
    """The complex value with these parts."""
    return Value((real.ir, imaginary.ir), np.dtype(f"c{2 * real.dtype.itemsize}"))


def select(k: ScalarBuilder, condition: Value, z: Value, w: Value) -> Value:
    """Return z where the condition holds, else w."""
    return join(*[k.select(condition, *both) for both in zip(parts(z), parts(w))])
