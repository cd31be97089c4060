"""Bodies of the circular functions: sin cos tan asin acos atan atan2, and hypot.

sin, cos and tan reduce x = n pi/2 + r + r_low with pi/2 in three pieces (Cody and Waite, 1980); beyond `REDUCED` with
as many bits of 2/pi as it takes (`math_reduction`).
"""

import math
from collections.abc import Callable

from fad.compiler.llvm import math_coefficients as c
from fad.compiler.llvm.math_reduction import TABLE, reduce_huge, table
from fad.compiler.llvm.math_text import Body, Term, define

REDUCED = {"f64": 2.0**30, "f32": 2.0**15}


def reduce_circle(k: Body, x: Term) -> tuple[Term, Term, Term]:
    """(r, r_low, i) with x = i pi/2 + r + r_low and |r| <= pi/4 (a little more)."""
    first, second, third = c.HALF_PI[k.dtype]
    n, i = k.round_to_int(x, c.TWO_OVER_PI[k.dtype][0])
    part = k.remainder_of(n, first, x)  # exact: a multiple of ulp(pi/2) below 1
    high, below = k.product(n, second)
    r, low = k.sum(part, -high)
    return r, k.fma(n, -third, low - below), i


def sin_reduced(k: Body, r: Term, low: Term, square: Term) -> tuple[Term, Term]:
    """sin(r + low) as main + tail for |r| <= pi/4."""
    return r, k.fma(r * square, k.polynomial(c.SIN[k.dtype], square), low)


def cos_reduced(k: Body, r: Term, low: Term, square: Term) -> tuple[Term, Term]:
    """cos(r + low) as main + tail for |r| <= pi/4."""
    half = square * 0.5
    main = 1.0 - half
    tail = k.fma(square * square, k.polynomial(c.COS[k.dtype], square), -(r * low))
    return main, ((1.0 - main) - half) + tail


Reduced = tuple[Term, Term, Term]


def _sine_cosine(k: Body, reduced: Reduced) -> tuple[Term, Term]:
    r, low, _ = reduced
    square = r * r
    sine, sine_tail = sin_reduced(k, r, low, square)
    cosine, cosine_tail = cos_reduced(k, r, low, square)
    return sine + sine_tail, cosine + cosine_tail


def _flip(k: Body, value: Term, i: Term) -> Term:
    """-value where bit 1 of i is set."""
    return k.as_real(k.as_int(value) ^ ((i & 2) << (k.bits - 2)))


def _sin(k: Body, reduced: Reduced) -> Term:
    sine, cosine = _sine_cosine(k, reduced)
    return _flip(k, k.select((reduced[2] & 1).equals(0), sine, cosine), reduced[2])


def _cos(k: Body, reduced: Reduced) -> Term:
    sine, cosine = _sine_cosine(k, reduced)
    return _flip(k, k.select((reduced[2] & 1).equals(0), cosine, sine), reduced[2] + 1)


def _tan(k: Body, reduced: Reduced) -> Term:
    r, low, i = reduced
    square = r * r
    sine, sine_low = k.quick_sum(*sin_reduced(k, r, low, square))
    cosine, cosine_low = k.quick_sum(*cos_reduced(k, r, low, square))
    even = (i & 1).equals(0)
    over, over_low = k.select(even, sine, -cosine), k.select(even, sine_low, -cosine_low)
    return sum_of(k.quotient(over, over_low, k.select(even, cosine, sine), k.select(even, cosine_low, sine_low)))


def sum_of(pair: tuple[Term, Term]) -> Term:
    """Add the two parts of a pair."""
    return pair[0] + pair[1]


def _circle_huge(k: Body, x: Term, which: Term) -> Term:
    """The sine of a huge number, or its cosine where ``which`` is not 0."""
    is_sine = which.equals(0.0)
    r, low, i = reduce_huge(k, x)
    value = _sin(k, (r, low, k.select(is_sine, i, i + 1)))
    return k.select(is_sine, _with_sign_of(k, value, x), value)


def _tan_huge(k: Body, x: Term) -> Term:
    """The tangent of a huge number."""
    return _with_sign_of(k, _tan(k, reduce_huge(k, x)), x)


def _with_sign_of(k: Body, value: Term, x: Term) -> Term:
    """An odd function of x from that of |x|."""
    return k.as_real(k.as_int(value) ^ (k.as_int(x) & -(2**63)))


def _repair_huge(k: Body, x: Term, result: Term, function: Callable[..., Term], *which: float) -> Term:
    """`result`, but computed with the long reduction where |x| is above `REDUCED`; NaN for infinities."""

    def finite(one: Body, y: Term, *rest: Term) -> Term:
        return one.select(one.abs(y) < math.inf, function(one, y, *rest), math.nan)

    name, arity = f"fad{function.__name__}", 1 + len(which)
    text, calls = define(name, finite, arity, "f64", 1, k.fused, "noinline nounwind willreturn memory(none)")
    k.include(TABLE, table(), {})
    k.include(name, text, calls)
    return k.repair(result, k.abs(x) > REDUCED[k.dtype], name, x, *[k.constant(w) for w in which])


def sin(k: Body, x: Term) -> Term:
    """The sine."""
    result = k.select(x.equals(0.0), x, _sin(k, reduce_circle(k, x)))
    return _repair_huge(k, x, result, _circle_huge, 0.0)


def cos(k: Body, x: Term) -> Term:
    """The cosine."""
    return _repair_huge(k, x, _cos(k, reduce_circle(k, x)), _circle_huge, 1.0)


def tan(k: Body, x: Term) -> Term:
    """The sine over the cosine."""
    result = k.select(x.equals(0.0), x, _tan(k, reduce_circle(k, x)))
    return _repair_huge(k, x, result, _tan_huge)


def asin(k: Body, x: Term) -> Term:
    """Return x + x**3 A(x**2), or pi/2 - 2 asin(sqrt((1 - x) / 2)) above 1/2."""
    a, small, s, tail = _arc(k, x)
    high, low = c.HALF_PI[k.dtype][:2]
    total, rest = k.quick_sum(high, s * -2.0)
    large = total + (k.fma(tail, -2.0, rest) + low)
    return k.copysign(k.select(small, s + tail, large), x)


def acos(k: Body, x: Term) -> Term:
    """pi/2 - asin(x), with 2 asin(sqrt((1 - |x|) / 2)) outside [-1/2, 1/2]."""
    a, small, s, tail = _arc(k, x)
    high, low = c.HALF_PI[k.dtype][:2]
    signed = k.copysign(s, x)
    inner = high - (signed - (low - k.copysign(tail, x)))
    outer = (s + tail) * 2.0
    outer = k.select(x < 0.0, 2 * high - (outer - 2 * low), outer)
    return k.select(small, inner, outer)


def _arc(k: Body, x: Term) -> tuple[Term, Term, Term, Term]:
    """(|x|, |x| < 1/2, s, tail): asin(s) = s + tail for s = |x| or sqrt((1 - |x|) / 2)."""
    a = k.abs(x)
    small = a < 0.5
    square = k.select(small, a * a, k.fma(a, -0.5, 0.5))
    s = k.select(small, a, k.sqrt(square))
    return a, small, s, s * square * k.polynomial(c.ASIN[k.dtype], square)


def _first_octants(k: Body, small: Term, large: Term) -> tuple[Term, Term, Term]:
    """(upper, t, tail): atan(small / large) = (pi/4 where upper) + t + tail, for 0 <= small <= large."""
    upper = small > large * (math.sqrt(2.0) - 1.0)
    over, over_low = k.quick_sum(-k.select(upper, large, 0.0), small)
    under, under_low = k.quick_sum(large, k.select(upper, small, 0.0))
    t, t_low = k.quotient(over, over_low, under, under_low)
    square = t * t
    return upper, t, k.fma(t * square, k.polynomial(c.ATAN[k.dtype], square), t_low)


def _place(k: Body, quarters: Term, mirrored: Term, t: Term, tail: Term) -> Term:
    """Return quarters * pi/4 + (t + tail), or minus it where mirrored."""
    high, low = c.QUARTER_PI[k.dtype]
    t, tail = k.select(mirrored, -t, t), k.select(mirrored, -tail, tail)
    total, rest = k.quick_sum(quarters * high, t)
    return total + (rest + k.fma(quarters, low, tail))


def atan(k: Body, x: Term) -> Term:
    """The arc tangent: the octant of (|x|, 1), then a polynomial."""
    a = k.select(k.term(2.0 ** (k.bias - 3), "real") < k.abs(x), 2.0 ** (k.bias - 3), k.abs(x))
    steep = a > 1.0
    upper, t, tail = _first_octants(k, k.select(steep, 1.0, a), k.select(steep, a, 1.0))
    quarters = k.select(upper, 1.0, k.select(steep, 2.0, 0.0))
    return k.copysign(_place(k, quarters, steep, t, tail), x)


def atan2(k: Body, y: Term, x: Term) -> Term:
    """The angle of the point (x, y); the C library does points at the origin, at infinity or near overflow."""
    across, up = k.abs(x), k.abs(y)
    steep = up > across
    small, large = k.select(steep, across, up), k.select(steep, up, across)
    upper, t, tail = _first_octants(k, small, large)
    quarters = k.select(upper, 1.0, k.select(steep, 2.0, 0.0))
    behind = x < 0.0
    quarters = k.select(behind, 4.0 - quarters, quarters)
    result = k.copysign(_place(k, quarters, steep ^ behind, t, tail), y)
    edge = 2.0 ** (k.bias - 8)
    return k.repair(result, ~((large > 1.0 / edge) & (large < edge)), "atan2", y, x)


def hypot(k: Body, x: Term, y: Term) -> Term:
    """sqrt(x**2 + y**2) while the larger square is neither huge nor tiny, and scaled behind a branch where it is."""
    a, b = k.abs(x), k.abs(y)
    swap = a < b
    large, small = k.select(swap, b, a), k.select(swap, a, b)
    square = large * large
    usual = (square > 2.0 ** -(k.bias - 3 * k.mantissa)) & (square < 2.0 ** (k.bias - 1))
    root = k.sqrt(k.fma(small, small, square))
    return k.where_any(~usual, root, lambda: _scaled_hypot(k, large, small))


def _scaled_hypot(k: Body, a: Term, b: Term) -> Term:
    """Scaled by a power of two; infinite where an argument is, even beside NaN."""
    up, down = 2.0 ** (k.bias // 2 + k.mantissa), 2.0 ** -(k.bias // 2 + 50)
    tiny, huge = a < 2.0 ** -(k.bias // 2 - k.mantissa), a > 2.0 ** (k.bias // 2 - 1)
    factor = k.select(tiny, up, k.select(huge, down, 1.0))
    p, q = a * factor, b * factor
    root = k.sqrt(k.fma(q, q, p * p)) * k.select(tiny, 1.0 / up, k.select(huge, 1.0 / down, 1.0))
    infinite = a.equals(math.inf) | b.equals(math.inf)
    return k.select(infinite, math.inf, root)
