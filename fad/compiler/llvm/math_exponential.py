"""Bodies of exp and its family: exp exp2 expm1 sinh cosh tanh expit.

All reduce x = n log 2 + r with |r| <= log(2) / 2 (Cody and Waite, 1980: log 2 in two pieces, the first short enough for
exact products) and use exp(r) = 1 + p with p = r + r**2 P(r).
"""

import math

from fad.compiler.llvm import math_coefficients as c
from fad.compiler.llvm.math_text import Body, Term

_LARGEST = {"f64": 710.0, "f32": 89.0}  # exp overflows just below
_SMALLEST = {"f64": -746.0, "f32": -104.0}  # exp rounds to zero above
_USUAL = {"f64": 708.0, "f32": 87.0}  # exp(x) and 2**n are normal numbers for |x| below


def reduce_exp(k: Body, x: Term, low: Term | None = None) -> tuple[Term, Term, Term]:
    """(r, r_low, i) with x + low = i log 2 + r + r_low."""
    high_part, low_part = c.LN2[k.dtype]
    n, i = k.round_to_int(x, c.LOG2E[k.dtype][0])
    first = k.fma(n, -high_part, x)
    tail = n * -low_part if low is None else k.fma(n, -low_part, low)
    r, r_low = k.quick_sum(first, tail)
    return r, r_low, i


def exp_minus_one_reduced(k: Body, r: Term) -> Term:
    """Return p = exp(r) - 1 for |r| <= log(2) / 2."""
    return k.fma(r * r, k.polynomial(c.EXP[k.dtype], r), r)


def clamp(k: Body, x: Term, low: float, high: float) -> Term:
    """Return x kept within [low, high]; NaN stays NaN."""
    most, least = k.constant(high), k.constant(low)
    x = k.select(most < x, most, x)
    return k.select(least > x, least, x)


def reduce_exp_to_power(k: Body, x: Term) -> tuple[Term, Term, Term]:
    """(r, 2**i, i) with x = i log 2 + r; the power is right for |x| < _USUAL."""
    high_part, low_part = c.LN2[k.dtype]
    n, i, power = k.round_to_power(x, c.LOG2E[k.dtype][0])
    return k.fma(n, -low_part, k.fma(n, -high_part, x)), power, i


def exp_product(k: Body, x: Term, factor: Term | None = None, low: Term | None = None) -> Term:
    """Return factor * exp(x + low), right also where the result is subnormal or overflows."""
    r, power, i = reduce_exp_to_power(k, x)
    if low is not None:
        r = r + low
    value = exp_minus_one_reduced(k, r) + 1.0
    if factor is not None:
        value = value * factor

    def at_the_ends() -> Term:
        result = k.scale(value, i)
        result = k.select(x < _SMALLEST[k.dtype], 0.0, result)
        return k.select(x > _LARGEST[k.dtype], math.inf, result)

    return k.where_any(~(k.abs(x) < _USUAL[k.dtype]), value * power, at_the_ends)


def exp(k: Body, x: Term) -> Term:
    """exp(x)"""
    return exp_product(k, x)


def exp2(k: Body, x: Term) -> Term:
    """2**x: the whole part of x is exact, so r needs no second piece."""
    x = clamp(k, x, -1080.0 if k.dtype == "f64" else -152.0, 1025.0 if k.dtype == "f64" else 129.0)
    n, i = k.round_to_int(x, 1.0)
    r = x - n
    high, low = c.LN2[k.dtype]
    p = k.fma(r, high, k.fma(r, low, r * r * k.polynomial(c.EXP2[k.dtype], r)))
    return k.scale(p + 1.0, i)


def expm1(k: Body, x: Term) -> Term:
    """exp(x) - 1 = 2**i ((1 - 2**-i) + p), in halves because 2**i may overflow when the result does not."""
    r, r_low, i = reduce_exp(k, clamp(k, x, -64.0, _LARGEST[k.dtype]))
    p, p_low = k.quick_sum(r, r * r * k.polynomial(c.EXP[k.dtype], r))
    half = k.power_of_two(i - 1)
    high, low = k.sum(half - 0.5, p * half)
    result = (high + k.fma(p_low + r_low, half, low)) * 2.0
    tiny = k.abs(x) < 2.0 ** -(k.mantissa + 2)
    return k.select(tiny, x, result)


def _quarter_exp(k: Body, magnitude: Term) -> Term:
    """exp(magnitude) / 4, infinite where exp(magnitude) / 2 overflows."""
    r, _, i = reduce_exp(k, clamp(k, magnitude, 0.0, _LARGEST[k.dtype] + 1.0))
    return (exp_minus_one_reduced(k, r) + 1.0) * k.power_of_two(i - 2)


def sinh(k: Body, x: Term) -> Term:
    """(exp(x) - exp(-x)) / 2, or its odd polynomial where |x| < 1."""
    magnitude = k.abs(x)
    quarter = _quarter_exp(k, magnitude)
    large = quarter * 2.0 - 0.125 / quarter
    square = x * x
    small = k.fma(magnitude * square, k.polynomial(c.SINH[k.dtype], square), magnitude)
    return k.copysign(k.select(magnitude < 1.0, small, large), x)


def cosh(k: Body, x: Term) -> Term:
    """(exp(x) + exp(-x)) / 2"""
    quarter = _quarter_exp(k, k.abs(x))
    return quarter * 2.0 + 0.125 / quarter


def tanh(k: Body, x: Term) -> Term:
    """(1 - e) / (1 + e) with e = exp(-2 |x|) = 2**-n (1 - p), where |x| = n log(2) / 2 + s and p = 2 (s + s (s**2 R(s) - s)).

    What is lost when 1 - e is rounded is added again in part: most of it where that counts, near 1/2. So is what s lacks: with a fused
    multiply-add, all bits of log(2) / 2 and an exact s leave so little that it does not belong into the polynomial.
    """
    bits = k.as_int(x)
    sign = bits & k.sign
    a, limit = k.as_real(bits ^ sign), k.constant(20.0 if k.dtype == "f64" else 10.0)
    a = k.select(limit < a, limit, a)
    minus_n, _, half_power = k.round_to_power(a, -2.0 * c.LOG2E[k.dtype][0], -1)
    high, low = c.HALF_LN2[k.dtype] if k.fused else [0.5 * part for part in c.LN2[k.dtype]]
    s = k.fma(minus_n, high, a)
    if not k.fused:
        s = k.fma(minus_n, low, s)
    twice = s + s
    p = k.fma(k.fma(s * s, k.polynomial(c.TANH[k.dtype], s), -s), twice, twice)
    below = 0.5 - half_power
    over = k.fma(p, half_power, below)
    lost = k.fma(p, half_power, below - over)
    if k.fused:
        lost = k.fma(minus_n * half_power, 2.0 * low, lost)
    result = k.fma(lost, 1.5, over / k.fma(-p, half_power, half_power + 0.5))
    return k.as_real(k.as_int(result) | sign)


def expit(k: Body, x: Term) -> Term:
    """1 / (1 + exp(-x)), from exp(-|x|), so that it cannot overflow."""
    e = exp_product(k, -k.abs(x))
    below, below_low = k.quick_sum(1.0, e)
    result, rest = k.quotient(k.select(x >= 0.0, 1.0, e), 0.0, below, below_low)
    return result + rest
