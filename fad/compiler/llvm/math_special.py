"""Bodies of the error functions."""

from fad.compiler.llvm import math_coefficients as c
from fad.compiler.llvm.math_exponential import exp_minus_one_reduced, reduce_exp
from fad.compiler.llvm.math_text import Body, Term

_VANISHED = {"f64": 28.0, "f32": 11.0}  # erfc is zero from here on
_SATURATED = {"f64": 6.0, "f32": 4.0}  # erf is one from here on


def _scaled_complement(k: Body, a: Term) -> Term:
    """(1 + 2 a) exp(a**2) erfc(a) - 1.25 for a >= 1/2, a polynomial in (a - 3.75) / (a + 3.75).

    M. Shepherd and J. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x**2) erfc x" (1981).
    """
    return k.polynomial(c.ERFC[k.dtype], (a - 3.75) / (a + 3.75))


def erf(k: Body, x: Term) -> Term:
    """Return x + x E(x**2) where |x| < 1, else 1 - erfc(|x|)."""
    a = k.abs(x)
    near = k.fma(a, k.polynomial(c.ERF[k.dtype], x * x), a)
    b = k.select(k.term(_SATURATED[k.dtype], "real") < a, _SATURATED[k.dtype], a)
    r, _, i = reduce_exp(k, -(b * b))
    decay = (exp_minus_one_reduced(k, r) + 1.0) * k.power_of_two(i)
    far = 1.0 - decay * (_scaled_complement(k, b) + 1.25) / (b + b + 1.0)
    return k.copysign(k.select(a < 1.0, near, far), x)


def _complement(k: Body, a: Term) -> Term:
    """erfc(a) for a >= 1/2, its small factors as pairs."""
    a = k.select(k.term(_VANISHED[k.dtype], "real") < a, _VANISHED[k.dtype], a)
    over, over_low = k.quick_sum(1.25, _scaled_complement(k, a))
    under, under_low = k.quick_sum(a + a, 1.0)
    factor, factor_low = k.quotient(over, over_low, under, under_low)
    square, square_low = k.product(a, a)
    r, r_low, i = reduce_exp(k, -square, -square_low)
    value, value_low = k.quick_sum(1.0, exp_minus_one_reduced(k, r))
    product = k.fma(factor, value, k.fma(factor_low, value, factor * (value_low + r_low)))
    return k.scale(product, i)


def erfc(k: Body, x: Term) -> Term:
    """1 - erf(x), without cancellation for large x."""
    far = _complement(k, k.abs(x))
    near = k.fma(-x, k.polynomial(c.ERF[k.dtype], x * x), 1.0 - x)
    return k.select(k.abs(x) < 0.5, near, k.select(x < 0.0, 2.0 - far, far))
