"""Complex numbers in kernels: pairs of real values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fad.compiler.complex_formulas import FORMULAS
from fad.compiler.llvm.scalar_value import Value

if TYPE_CHECKING:
    from fad.compiler.llvm.scalar import ScalarBuilder


def part_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the two parts."""
    return np.dtype(f"f{dtype.itemsize // 2}")


def parts(z: Value) -> tuple[Value, Value]:
    """The real and the imaginary part."""
    dtype = part_dtype(z.dtype)
    return Value(z.ir[0], dtype), Value(z.ir[1], dtype)


def join(real: Value, imaginary: Value) -> Value:
    """The complex value with these parts."""
    return Value((real.ir, imaginary.ir), np.dtype(f"c{2 * real.dtype.itemsize}"))


def select(k: ScalarBuilder, condition: Value, z: Value, w: Value) -> Value:
    """Return z where the condition holds, else w."""
    return join(*[k.select(condition, *both) for both in zip(parts(z), parts(w))])


def _on_pairs(formula: Callable[..., Any]) -> Callable[..., Value]:
    def function(k: ScalarBuilder, *operands: Value) -> Value:
        found = formula(k, *map(parts, operands))
        return found if isinstance(found, Value) else join(*found)

    return function


FUNCTIONS: dict[str, Callable[..., Value]] = {name: _on_pairs(formula) for name, formula in FORMULAS.items()}
