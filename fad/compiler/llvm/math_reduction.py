"""Reduction of huge arguments of sin, cos and tan: the product with 2/pi in integer arithmetic.

M. Payne and R. Hanek, "Radian reduction for trigonometric functions" (1983). With x = m 2**s, m a whole number of 53
bits, those bits of 2/pi that give multiples of four are left out, and the 192 bits after them are enough: no double
comes closer to a multiple of pi/2 than 2**-62 of it. The C library's own reduction is not used because it is not good
enough everywhere: cos(214112296674652.0) is wrong by 268 ULP in glibc 2.36.

This runs one lane at a time, for the rare lanes above `math_trigonometric.REDUCED`.
"""

from fad.compiler.llvm import math_coefficients as c
from fad.compiler.llvm.math_text import Body, Term

_PAD = 64  # zero bits before the first bit of 2/pi: arguments may be as small as 2**15
_WORDS = 22
TABLE = "fad_two_over_pi"


def table() -> str:
    """The bits of 2/pi as a constant array of 64-bit words, after `_PAD` zero bits."""
    bits = c.TWO_OVER_PI_BITS << (64 * _WORDS - _PAD - c.TWO_OVER_PI_COUNT)
    words = [(bits >> (64 * (_WORDS - 1 - i))) & (2**64 - 1) for i in range(_WORDS)]
    return f"@{TABLE} = internal constant [{_WORDS} x i64] [{', '.join(f'i64 {w}' for w in words)}]\n"


def _window(k: Body, start: Term) -> list[Term]:
    """Three words of 2/pi from bit `start` of the table on."""
    first, shift = start.shift_right_unsigned(6), start & 63
    words = []
    for i in range(4):
        place = k.emit(f"getelementptr i64, ptr @{TABLE}, i64 {(first + i).text}", "int")
        words.append(k.emit(f"load i64, ptr {place.text}", "int"))
    funnel = k.declare("llvm.fshl.i64", "i64", ["i64"] * 3)
    return [
        k.emit(f"call i64 @{funnel}(i64 {high.text}, i64 {low.text}, i64 {shift.text})", "int")
        for high, low in zip(words[:3], words[1:])
    ]


def _double_word(k: Body, a: Term, b: Term) -> tuple[Term, Term]:
    """(high, low) words of the product of two unsigned words."""
    wide = [k.emit(f"zext i64 {t.text} to i128", "int").text for t in (a, b)]
    product = k.emit(f"mul i128 {wide[0]}, {wide[1]}", "int").text
    top = k.emit(f"lshr i128 {product}, 64", "int").text
    return k.emit(f"trunc i128 {top} to i64", "int"), k.emit(f"trunc i128 {product} to i64", "int")


def _carry(k: Body, total: Term, part: Term) -> Term:
    """One where the unsigned sum `total`, of `part` and something, has wrapped."""
    wrapped = k.emit(f"icmp ult i64 {total.text}, {part.text}", "mask")
    return k.emit(f"zext i1 {wrapped.text} to i64", "int")


def _real(k: Body, word: Term, exponent: int, signed: bool) -> tuple[Term, Term]:
    """A 64-bit word times 2**exponent as an exact pair of doubles."""
    upper = word >> 32 if signed else word.shift_right_unsigned(32)
    high = k.emit(f"sitofp i64 {upper.text} to double", "real") * 2.0 ** (exponent + 32)
    low = k.emit(f"sitofp i64 {(word & 0xFFFFFFFF).text} to double", "real") * 2.0**exponent
    return k.sum(high, low)


def reduce_huge(k: Body, x: Term) -> tuple[Term, Term, Term]:
    """(r, r_low, i) with |x| = i pi/2 + r + r_low, i known modulo 4; one lane, float64, |x| >= 2**15."""
    bits = k.as_int(x) & (2**63 - 1)
    exponent = bits.shift_right_unsigned(52)
    m = (bits & (2**52 - 1)) | (1 << 52)
    window = _window(k, exponent - (1077 - _PAD))
    high_word, middle, low_word = window
    carried, low = _double_word(k, m, low_word)
    carried_twice, part = _double_word(k, m, middle)
    middle = part + carried
    high = m * high_word + carried_twice + _carry(k, middle, part)
    # `high` holds two bits of the quadrant and then the fraction: round to the nearest quadrant
    i = (high + (1 << 61)).shift_right_unsigned(62)
    high = high - (i << 62)
    a, a_low = _real(k, high, -62, signed=True)
    b, b_low = _real(k, middle, -126, signed=False)
    fraction, rest = k.sum(a, b)
    rest = rest + (a_low + (b_low + _real(k, low, -190, signed=False)[0]))
    fraction, rest = k.quick_sum(fraction, rest)
    first, second, _ = c.HALF_PI["f64"]
    r, r_low = k.product(fraction, first)
    return *k.quick_sum(r, r_low + (fraction * second + rest * first)), i
