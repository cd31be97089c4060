"""Powers whose exponents are whole numbers known while the code is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fad.compiler.llvm.math_library import host_target
from fad.compiler.llvm.scalar_value import FLOAT32, Value
from fad.core.powers import by_squaring

if TYPE_CHECKING:
    from fad.compiler.llvm.scalar import ScalarBuilder

_FEW = 4
"""Powers up to this are right to 2 ULP as products."""


def integer_power(k: ScalarBuilder, x: Value, n: int) -> Value:
    """Return x**n; negative n for floats only. Results are right to 2 ULP."""
    if n == 0:
        return k.one(x)
    if x.dtype == np.float16:
        return k.astype(integer_power(k, k.astype(x, FLOAT32), n), x.dtype)
    if x.dtype.kind != "f" or -2 <= n <= _FEW:
        # The power of the reciprocal, as that of x may overflow where the result does not vanish.
        return by_squaring(k.multiply, k.reciprocal(x) if n < 0 else x, abs(n))
    if not host_target().fused:
        return k.power(x, k.constant(n, x.dtype))
    return _compensated(k, x, n)


def _compensated(k: ScalarBuilder, x: Value, n: int) -> Value:
    """Products that carry along what rounding loses, which adds up to n ULP otherwise."""

    def multiply(a: tuple[Value, Value | None], b: tuple[Value, Value | None]) -> tuple[Value, Value]:
        product = k.multiply(a[0], b[0])
        lost = k.exact_fma(a[0], b[0], k.negative(product))
        for high, low in ((a[0], b[1]), (b[0], a[1])):
            lost = lost if low is None else k.exact_fma(high, low, lost)
        return product, lost

    base: tuple[Value, Value | None] = (x, None)
    if n < 0:
        reciprocal = k.reciprocal(x)
        rest = k.exact_fma(k.negative(reciprocal), x, k.one(x))
        base = (reciprocal, k.multiply(rest, reciprocal))
    high, low = by_squaring(multiply, base, abs(n))
    result = k.add(high, low)
    # What an infinity loses is no number, and the sum of two zeros may have the wrong sign.
    return k.select(k.isnan(result), high, k.copysign(result, high))
