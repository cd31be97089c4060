"""What functions on arrays of real numbers accept."""

from __future__ import annotations

from typing import Any

import fad.numpy as fnp
from fad import Array

__all__ = ["coefficient", "floating"]


def floating(x: Any) -> Array:
    """An array of floating-point numbers; integers become float64."""
    x = fnp.asarray(x)
    return x if fnp.issubdtype(x.dtype, fnp.inexact) else x.astype(float)


def coefficient(value: Any) -> Any:
    """A factor or summand: a Python number stays one, and so leaves the precision to the array beside it."""
    return value if isinstance(value, int | float) else fnp.asarray(value)
