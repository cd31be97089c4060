"""Bodies of the error functions erf erfc erfinv and of the gamma functions lgamma digamma."""

import math

from fad.compiler.llvm import math_coefficients as c
from fad.compiler.llvm.math_exponential import exp_minus_one_reduced, reduce_exp
from fad.compiler.llvm.math_logarithm import log
from fad.compiler.llvm.math_text import Body, Term
from fad.compiler.llvm.math_trigonometric import cos_reduced, sin_reduced, sum_of

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


def erfinv(k: Body, x: Term) -> Term:
    """Return x times polynomials in w = -log(1 - x**2) or in sqrt(w), by the size of w.

    M. Giles, "Approximating the erfinv function" (GPU Computing Gems, 2012): the variables and the intervals.
    """
    w = -log(k, (1.0 - x) * (x + 1.0))
    root = k.sqrt(w)
    ratio = k.polynomial(c.ERFINV_MIDDLE[k.dtype], root - 3.25)
    if k.dtype == "f64":
        ratio = k.select(w < 16.0, ratio, k.polynomial(c.ERFINV_TAIL[k.dtype], root - 5.0))
    ratio = k.select(w < 6.25, k.polynomial(c.ERFINV_CENTRE[k.dtype], w - 3.125), ratio)
    return k.select(k.abs(x).equals(1.0), x * math.inf, x * ratio)


_BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330]


def lgamma(k: Body, x: Term) -> Term:
    """log|Gamma(x)|: Stirling's series from 7.5 on, below the recurrence to [1.5, 2.5) and a polynomial there.

    For negative, tiny and huge x the C library does the lane.
    """
    terms = 10 if k.dtype == "f64" else 4
    stirling = [b / (2 * n * (2 * n - 1)) for n, b in enumerate(_BERNOULLI[:terms], start=1)]
    large = x >= 7.5
    below, lower = x < 1.5, x < 0.5
    product = k.select(below, k.select(lower, k.fma(x, x, x), x), 1.0)
    t = k.select(below, k.select(lower, x, x - 1.0), x - 2.0)  # exact near the zeros at 1 and 2
    for _ in range(5):
        step = t >= 0.5
        t = k.select(step, t - 1.0, t)
        product = k.select(step, k.fma(product, t, product + product), product)
    logarithm = log(k, k.select(large, x, product))
    small = k.fma(t, k.polynomial(c.LOG_GAMMA[k.dtype], t), k.select(below, -logarithm, logarithm))
    inverse = 1.0 / x
    series = k.fma(inverse, k.polynomial(stirling, inverse * inverse), 0.5 * math.log(2 * math.pi))
    far = k.fma(x - 0.5, logarithm, series - x)
    result = k.select(large, far, small)
    usual = (x > 2.0 ** (2 - k.bias)) & (x < 2.0 ** (k.bias - 16))
    result = k.repair(result, ~usual, "lgamma", x)
    return k.select(x.equals(-math.inf), x, result)  # as SciPy; C says +inf


def _pi_over_tan_pi(k: Body, x: Term) -> Term:
    """Return pi / tan(pi x); NaN where x is a whole number."""
    f = x - k.rint(x)
    half = k.rint(f + f)
    odd = half.differs(0.0)
    g = k.fma(half, -0.5, f)
    high, low = c.HALF_PI[k.dtype][0] * 2, c.HALF_PI[k.dtype][1] * 2
    r = g * high
    r_low = k.fma(g, low, k.fma(g, high, -r))
    square = r * r
    sine, cosine = sum_of(sin_reduced(k, r, r_low, square)), sum_of(cos_reduced(k, r, r_low, square))
    ratio = k.select(odd, -sine, cosine) / k.select(odd, cosine, sine)
    return k.select(f.equals(0.0), math.nan, ratio * math.pi)


def digamma(k: Body, x: Term) -> Term:
    """The derivative of log Gamma: the recurrence up to 10, then the asymptotic series; reflection below zero."""
    terms = 8 if k.dtype == "f64" else 3
    series = [b / (2 * n) for n, b in enumerate(_BERNOULLI[:terms], start=1)]
    negative = x < 0.0
    y = k.select(negative, 1.0 - x, x)
    over, under = k.constant(0.0), k.constant(1.0)
    for _ in range(10):
        step = y < 10.0
        over = k.select(step, k.fma(over, y, under), over)
        under = k.select(step, under * y, under)
        y = k.select(step, y + 1.0, y)
    inverse = 1.0 / y
    square = inverse * inverse
    rest = k.fma(inverse, 0.5, square * k.polynomial(series, square))
    result = log(k, y) - (rest + over / under)
    return k.select(negative, result - _pi_over_tan_pi(k, x), result)
