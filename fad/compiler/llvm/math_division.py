"""Bodies of fmod, remainder and floor_divide: division with remainder by NumPy's rules for signs."""

import math

from fad.compiler.llvm.math_text import Body, Term


def fmod(k: Body, x: Term, y: Term) -> Term:
    """The exact remainder with the sign of x.

    While the quotient is below 2**mantissa, its whole part is one too large at most, and a - q b is exact. The C
    library does larger quotients, infinities, NaN and division by zero.
    """
    a, b = k.abs(x), k.abs(y)
    q = k.trunc(a / b)
    r = k.remainder_of(q, b, a)
    r = k.select(r < 0.0, r + b, r)
    usual = (q < 2.0**k.mantissa) & (b < math.inf)
    if not k.fused:
        usual = usual & (a < 2.0 ** (k.bias - k.mantissa))  # the splitting must not overflow
    return k.repair(k.copysign(r, x), ~usual, "fmod", x, y)


def _turned(k: Body, rest: Term, y: Term) -> Term:
    """Whether a remainder is on the wrong side of zero for the sign of y."""
    return (rest < 0.0) ^ (y < 0.0)


def remainder(k: Body, x: Term, y: Term) -> Term:
    """Return x - floor(x / y) y, with the sign of y."""
    rest = fmod(k, x, y)
    zero = rest.equals(0.0)
    rest = k.select(_turned(k, rest, y) & rest.differs(0.0), rest + y, rest)
    return k.select(zero, k.copysign(0.0, y), rest)


def floor_divide(k: Body, x: Term, y: Term) -> Term:
    """The whole number nearest to (x - remainder) / y, as in Python's divmod; x / y where y is zero."""
    rest = fmod(k, x, y)
    quotient = (x - rest) / y
    quotient = k.select(_turned(k, rest, y) & rest.differs(0.0), quotient - 1.0, quotient)
    whole = k.floor(quotient)
    whole = k.select(quotient - whole > 0.5, whole + 1.0, whole)
    direct = x / y
    whole = k.select(quotient.equals(0.0), k.copysign(0.0, direct), whole)
    return k.select(y.equals(0.0), direct, whole)
