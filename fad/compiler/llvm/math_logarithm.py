"""Bodies of log and its family: log log2 log10 log1p log_hypot asinh acosh atanh pow cbrt, softplus log_expit logaddexp.

All write x = 2**n m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f) and use log(m) = 2 s + s**3 L(s**2). The
grouping that keeps f exact is the one of fdlibm's log (Ng, 1993).
"""

import math

from fad.compiler.llvm import math_coefficients as c
from fad.compiler.llvm.math_exponential import exp_product
from fad.compiler.llvm.math_text import Body, Term

_SMALLEST_NORMAL = {"f64": 2.0**-1022, "f32": 2.0**-126}


def split_exponent(k: Body, x: Term, subnormal: bool = True) -> tuple[Term, Term]:
    """(m, e) with x = 2**e m and m in [sqrt(1/2), sqrt(2)), for positive finite x."""
    if subnormal:
        lift = k.mantissa + 2
        tiny = x < _SMALLEST_NORMAL[k.dtype]
        x = k.select(tiny, x * 2.0**lift, x)
    bits = k.as_int(x)
    e = (bits - k.as_int_constant(math.sqrt(0.5))) >> k.mantissa
    m = k.as_real(bits - (e << k.mantissa))
    return m, k.select(tiny, e - lift, e) if subnormal else e


def log_reduced(k: Body, f: Term) -> tuple[Term, Term]:
    """(h, t) with log(1 + f) = f - (h - t) and h = f**2 / 2, for 1 + f in [sqrt(1/2), sqrt(2))."""
    s = f / (f + 2.0)
    square = s * s
    half_square = f * f * 0.5
    return half_square, s * k.fma(square, k.polynomial(c.LOG[k.dtype], square), half_square)


def log_finish(k: Body, f: Term, n: Term, low: Term | None = None) -> Term:
    """Return n log 2 + log(1 + f) + low."""
    high_part, low_part = c.LN2[k.dtype]
    half_square, tail = log_reduced(k, f)
    tail = k.fma(n, low_part, tail if low is None else tail + low)
    return k.fma(n, high_part, f - (half_square - tail))


def log_edges(k: Body, x: Term, result: Term) -> Term:
    """`result` with what a logarithm gives at NaN, infinity, zero and below."""
    result = k.select(x < math.inf, result, x)
    return k.select(x <= 0.0, k.select(x.equals(0.0), -math.inf, math.nan), result)


def log(k: Body, x: Term) -> Term:
    """log(x)"""
    m, e = split_exponent(k, x)
    return log_edges(k, x, log_finish(k, m - 1.0, k.int_to_real(e)))


def _log_scaled(k: Body, x: Term, factor: tuple[float, float]) -> tuple[Term, Term, Term]:
    """(n, high, low): log(x) / log(base) = n log(2) / log(base) + high + low, factor = 1 / log(base) as a pair."""
    m, e = split_exponent(k, x)
    f = m - 1.0
    _, tail = log_reduced(k, f)
    half, half_low = k.product(f, f * 0.5)
    high, low = k.quick_sum(f, -half)
    low = low - half_low + tail
    scaled, scaled_low = k.product(high, factor[0])
    return k.int_to_real(e), scaled, k.fma(low, factor[0], k.fma(high, factor[1], scaled_low))


def log2(k: Body, x: Term) -> Term:
    """log(x) / log(2), exact for powers of two."""
    n, high, low = _log_scaled(k, x, c.LOG2E_PAIR[k.dtype])
    total, rest = k.quick_sum(n, high)
    return log_edges(k, x, total + (rest + low))


def log10(k: Body, x: Term) -> Term:
    """log(x) / log(10)"""
    n, high, low = _log_scaled(k, x, c.LOG10E_PAIR[k.dtype])
    big, small = c.LOG10_2[k.dtype]
    total, rest = k.quick_sum(n * big, high)
    return log_edges(k, x, total + (rest + k.fma(n, small, low)))


def log_one_plus(k: Body, high: Term, low: Term | None = None, extra: Term | None = None) -> Term:
    """log(1 + high + low) + extra log(2) for high in (-1, inf); `low` small beside `high`."""
    total, rest = k.sum(high, 1.0)
    if low is not None:
        rest = rest + low
    m, e = split_exponent(k, total, subnormal=False)
    inverse = k.power_of_two(k.select(e < k.bias, -e, -k.bias))
    f, f_low = k.quick_sum(m - 1.0, rest * inverse)
    n = k.int_to_real(e if extra is None else e + extra)
    return log_finish(k, f, n, f_low)


def log1p(k: Body, x: Term) -> Term:
    """log(1 + x)"""
    result = log_one_plus(k, x)
    result = k.select(k.abs(x) < 2.0 ** -(k.mantissa + 2), x, result)
    result = k.select(x < math.inf, result, x)
    return k.select(x <= -1.0, k.select(x.equals(-1.0), -math.inf, math.nan), result)


def _half_log_of_squares(k: Body, a: Term, b: Term, extra: Term | None = None) -> tuple[Term, Term]:
    """(log(a**2 + b**2) + extra log(2)) / 2 and the sum, for a >= b >= 0 and a sum that is a normal number; relatively right near a sum of 1 too."""
    p, p_low = k.product(a, a)
    q, q_low = k.product(b, b)
    total, rest = k.quick_sum(p, q)
    m, e = split_exponent(k, total, subnormal=False)
    low, lower = k.sum(p_low, q_low)
    low, lowest = k.sum(rest, low)
    inverse = k.power_of_two(-e)
    f, low = k.sum(m - 1.0, low * inverse)
    low = low + (lower + lowest) * inverse
    return log_finish(k, f, k.int_to_real(e if extra is None else e + extra), low) * 0.5, total


def log_hypot(k: Body, x: Term, y: Term) -> Term:
    """log(sqrt(x**2 + y**2)), scaled by a power of two behind a branch where the sum of squares is huge or tiny."""
    a, b = k.abs(x), k.abs(y)
    swap = a < b
    large, small = k.select(swap, b, a), k.select(swap, a, b)
    result, total = _half_log_of_squares(k, large, small)
    usual = (total > 2.0 ** (3 - k.bias)) & (total < 2.0 ** (k.bias - 1))
    return k.where_any(~usual, result, lambda: _scaled_log_hypot(k, large, small))


def _scaled_log_hypot(k: Body, a: Term, b: Term) -> Term:
    """Infinite where an argument is, even beside NaN."""
    up, down = k.bias // 2 + k.mantissa, k.bias // 2 + 50
    tiny, huge = a < 2.0 ** -(k.bias // 2 - k.mantissa), a > 2.0 ** (k.bias // 2 - 2)
    factor = k.select(tiny, 2.0**up, k.select(huge, 2.0**-down, 1.0))
    extra = k.select(
        tiny, k.constant(-2 * up, "int"), k.select(huge, k.constant(2 * down, "int"), k.constant(0, "int"))
    )
    result, total = _half_log_of_squares(k, a * factor, b * factor, extra)
    result = k.select(total < math.inf, result, total)
    infinite = a.equals(math.inf) | b.equals(math.inf)
    return k.select(infinite, math.inf, k.select(total.equals(0.0), -math.inf, result))


def _inverse_hyperbolic(k: Body, magnitude: Term, high: Term, low: Term) -> Term:
    """log1p(high + low), but log(2 magnitude) where the squares in `high` would overflow."""
    huge = magnitude > 2.0 ** (k.mantissa + 3)
    high = k.select(huge, magnitude, high)
    result = log_one_plus(k, high, k.select(huge, 0.0, low), k.select(huge, k.constant(1, "int"), k.constant(0, "int")))
    return k.select(magnitude < math.inf, result, magnitude)


def asinh(k: Body, x: Term) -> Term:
    """log1p(|x| + x**2 / (1 + sqrt(1 + x**2))) with the sign of x."""
    a = k.abs(x)
    square = a * a
    high, low = k.quick_sum(a, square / (k.sqrt(square + 1.0) + 1.0))
    result = k.select(a < 2.0 ** -(k.mantissa // 2 + 1), a, _inverse_hyperbolic(k, a, high, low))
    return k.copysign(result, x)


def acosh(k: Body, x: Term) -> Term:
    """log1p(t + sqrt(2 t + t**2)) with t = x - 1."""
    t = x - 1.0
    high, low = k.sum(t, k.sqrt(k.fma(t, t, t + t)))
    return k.select(x >= 1.0, _inverse_hyperbolic(k, x, high, low), math.nan)


def atanh(k: Body, x: Term) -> Term:
    """log1p(2 |x| / (1 - |x|)) / 2 with the sign of x."""
    a = k.abs(x)
    below, below_low = k.quick_sum(1.0, -a)
    high, low = k.quotient(a + a, 0.0, below, below_low)
    result = log_one_plus(k, high, low) * 0.5
    result = k.select(a < 2.0 ** -(k.mantissa // 2 + 1), a, result)
    result = k.select(a >= 1.0, k.select(a.equals(1.0), math.inf, math.nan), result)
    return k.copysign(result, x)


def log_pair(k: Body, x: Term) -> tuple[Term, Term]:
    """log(x) as high + low with about twelve bits to spare, for positive finite x."""
    m, e = split_exponent(k, x)
    f = m - 1.0
    below, below_low = k.quick_sum(2.0, f)
    s, s_low = k.quotient(f, 0.0, below, below_low)
    s, s_low = k.quick_sum(s, s_low)
    square, square_low = k.product(s, s)
    square_low = k.fma(s + s, s_low, square_low)
    third = c.TWO_THIRDS[k.dtype]
    factor, factor_low = k.quick_sum(third[0], square * k.polynomial(c.LOG_TAIL[k.dtype], square))
    factor_low = factor_low + third[1]
    cube, cube_low = k.product(s, square)
    cube_low = k.fma(s, square_low, k.fma(s_low, square, cube_low))
    tail, tail_low = k.product(cube, factor)
    tail_low = k.fma(cube, factor_low, k.fma(cube_low, factor, tail_low))
    high, low = k.quick_sum(s + s, tail)
    low = low + (k.fma(s_low, 2.0, tail_low))
    n = k.int_to_real(e)
    big, small = c.LN2[k.dtype]
    total, rest = k.quick_sum(n * big, high)
    return k.quick_sum(total, rest + k.fma(n, small, low))


def power(k: Body, x: Term, y: Term) -> Term:
    """x**y as exp(y log|x|); the C library does infinite and NaN operands."""
    magnitude = k.abs(x)
    high, low = log_pair(k, magnitude)
    exponent, exponent_low = k.product(y, high)
    exponent_low = k.fma(y, low, exponent_low)
    limit = 800.0 if k.dtype == "f64" else 120.0
    inside = k.abs(exponent) < limit
    exponent = k.select(inside, exponent, k.copysign(limit, exponent))
    result = exp_product(k, exponent, None, k.select(inside, exponent_low, 0.0))
    zero_power = k.select(y > 0.0, 0.0, k.select(y < 0.0, math.inf, 1.0))
    result = k.select(magnitude.equals(0.0), zero_power, result)
    half = y * 0.5
    whole = k.floor(y).equals(y)
    odd = k.floor(half).differs(half) & whole
    result = k.copysign(result, k.select(odd, x, 1.0))
    result = k.select((x < 0.0) & ~whole, math.nan, result)
    usual = (magnitude < math.inf) & (k.abs(y) < math.inf)
    return k.repair(result, ~usual, "pow", x, y)


def cbrt(k: Body, x: Term) -> Term:
    """The real cube root: a polynomial seed on [1, 2), then one step of Halley's method on an exact residual."""
    a = k.abs(x)
    tiny = a < _SMALLEST_NORMAL[k.dtype]
    lift = 54 if k.dtype == "f64" else 24
    bits = k.as_int(k.select(tiny, a * 2.0**lift, a))
    e = bits.shift_right_unsigned(k.mantissa) - k.bias
    m = k.as_real(bits - (e << k.mantissa))
    third = k.floor((k.int_to_real(e) + 0.5) * (1.0 / 3.0))
    _, q = k.round_to_int(third, 1.0)
    rest = e - (q + q + q)
    value = m * k.power_of_two(rest)
    root = k.select(rest.equals(0), 1.0, k.select(rest.equals(1), 2.0 ** (1 / 3), 4.0 ** (1 / 3)))
    t = k.polynomial(c.CBRT[k.dtype], m) * root
    square, square_low = k.product(t, t)
    cube, cube_low = k.product(square, t)
    residual = ((value - cube) - cube_low) - square_low * t
    t = t + t * residual / k.fma(cube, 3.0, residual)
    result = t * k.power_of_two(k.select(tiny, q - lift // 3, q))
    usual = (a < math.inf) & (a > 0.0)
    return k.select(usual, k.copysign(result, x), x + x)


def log1p_exp_negative(k: Body, magnitude: Term) -> Term:
    """log(1 + exp(-magnitude)) for magnitude >= 0."""
    e = exp_product(k, -magnitude)
    result = log_one_plus(k, e)
    return k.select(e < 2.0 ** -(k.mantissa + 2), e, result)


def softplus(k: Body, x: Term) -> Term:
    """log(1 + exp(x))"""
    return k.select(k.term(0.0, "real") > x, 0.0, x) + log1p_exp_negative(k, k.abs(x))


def log_expit(k: Body, x: Term) -> Term:
    """-log(1 + exp(-x))"""
    return -softplus(k, -x)


def logaddexp2(k: Body, x: Term, y: Term) -> Term:
    """log2(2**x + 2**y)"""
    gap = k.select(x.equals(y), 0.0, k.abs(x - y))
    rest = log1p_exp_negative(k, gap * math.log(2.0)) * (1 / math.log(2.0))
    return k.select(x > y, x, y) + k.select(gap.equals(0.0), 1.0, rest)


def logaddexp(k: Body, x: Term, y: Term) -> Term:
    """log(exp(x) + exp(y)); relative precision is lost where the two terms of the answer cancel, as in NumPy."""
    gap = k.select(x.equals(y), 0.0, k.abs(x - y))
    return k.select(x > y, x, y) + log1p_exp_negative(k, gap)
