"""Fit the polynomials of the vector math library and print `fad/compiler/llvm/math_coefficients.py`.

Each is the best polynomial in the largest weighted error, found by the second algorithm of E. Remez (1934) in 60-digit
arithmetic and then rounded coefficient by coefficient. Run: python tools/fit_math_coefficients.py > (that file)
"""

import struct
from collections.abc import Callable

from mpmath import mp, mpf

mp.dps = 60


def remez(function: Callable, weight: Callable, low, high, degree: int) -> tuple[list, mpf]:
    """(coefficients, largest weighted error) of the best polynomial of this degree on [low, high]."""
    low, high = mpf(low), mpf(high)
    count = degree + 2
    nodes = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / (count - 1)) for i in range(count)]
    for _ in range(30):
        rows = [[x**j for j in range(degree + 1)] + [(-1) ** i / weight(x)] for i, x in enumerate(nodes)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([function(x) for x in nodes]))
        coefficients = [solution[j] for j in range(degree + 1)]

        def error(x, coefficients=coefficients):
            return (mp.polyval(coefficients[::-1], x) - function(x)) * weight(x)

        nodes, largest, smallest = _extrema(error, low, high, count)
        if largest - smallest < mpf("1e-3") * largest:
            break
    return coefficients, largest


def _extrema(error: Callable, low, high, count: int) -> tuple[list, mpf, mpf]:
    """The alternating extrema of `error`, one per sign, from a Chebyshev-spaced scan with parabolic refinement."""
    size = 24 * count
    grid = [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / size) for i in range(size + 1)]
    values = [error(x) for x in grid]
    found: list[tuple] = []
    for i, value in enumerate(values):
        if found and (value > 0) == (found[-1][1] > 0):
            if abs(value) > abs(found[-1][1]):
                found[-1] = (i, value)
        else:
            found.append((i, value))
    while len(found) > count:
        found.pop(0 if abs(found[0][1]) < abs(found[-1][1]) else -1)
    nodes = []
    for i, _ in found:
        x = grid[i]
        if 0 < i < size:
            (x0, x1, x2), (y0, y1, y2) = grid[i - 1 : i + 2], values[i - 1 : i + 2]
            below = (x1 - x0) * (y1 - y2) - (x1 - x2) * (y1 - y0)
            if below:
                x = x1 - ((x1 - x0) ** 2 * (y1 - y2) - (x1 - x2) ** 2 * (y1 - y0)) / (2 * below)
        nodes.append(x)
    sizes = [abs(error(x)) for x in nodes]
    if len(nodes) < count:
        raise ArithmeticError(f"the error alternates {len(nodes)} times, {count} are needed: raise the precision")
    return nodes, max(sizes), min(sizes)


def series(function: Callable, limit: Callable, threshold="1e-12") -> Callable:
    """`function`, but its series `limit` near zero, where the closed form cancels."""
    return lambda z: limit(z) if abs(z) < mpf(threshold) else function(z)


def one(_):
    return mpf(1)


def exp_tail(r):
    """(exp(r) - 1 - r) / r**2"""
    return (
        mp.nsum(lambda n: r**n / mp.factorial(n + 2), [0, mp.inf]) if abs(r) < mpf("1e-6") else (mp.expm1(r) - r) / r**2
    )


def exp2_tail(r):
    """(2**r - 1 - r log 2) / r**2"""
    return exp_tail(r * LN2) * LN2**2


def tanh_tail(s):
    """((1 - exp(-2 s)) / 2 - s + s**2) / s**3"""
    return 4 * exp_tail2(-2 * s)


def exp_tail2(r):
    """(exp(r) - 1 - r - r**2 / 2) / r**3"""
    return (
        mp.nsum(lambda n: r**n / mp.factorial(n + 3), [0, mp.inf])
        if abs(r) < mpf("1e-6")
        else (exp_tail(r) - mpf("0.5")) / r
    )


def odd_tail(function: Callable, third) -> Callable:
    """(f(x) - x) / x**3 as a function of x**2, for odd f with f'(0) = 1 and f(x) = x + third x**3 + ..."""
    return series(lambda z: (function(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3, lambda z: mpf(third), "1e-20")


def cos_tail(z):
    """(cos(x) - 1 + x**2 / 2) / x**4 as a function of x**2"""
    return mpf(1) / 24 - z / 720 if z < mpf("1e-10") else (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def log_tail(z):
    """(log((1 + s) / (1 - s)) - 2 s) / s**3 as a function of s**2"""
    s = mp.sqrt(z)
    return mpf(2) / 3 + 2 * z / 5 if z < mpf("1e-10") else (2 * mp.atanh(s) - 2 * s) / s**3


def log_tail2(z):
    """(log((1 + s) / (1 - s)) - 2 s - 2/3 s**3) / s**5 as a function of s**2"""
    return mpf(2) / 5 + 2 * z / 7 if z < mpf("1e-8") else (log_tail(z) - mpf(2) / 3) / z


def erf_ratio(z):
    """erf(x) / x - 1 as a function of x**2"""
    return 2 / mp.sqrt(mp.pi) * (1 - z / 3) - 1 if z < mpf("1e-18") else mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1


ERFC_CENTRE = mpf("3.75")


def erfcx(x):
    """exp(x**2) erfc(x)"""
    return mp.exp(x * x) * mp.erfc(x)


def erfc_scaled(t):
    """(1 + 2 x) exp(x**2) erfc(x) - 1.25 with t = (x - 3.75) / (x + 3.75) (Shepherd and Laframboise, 1981)."""
    x = ERFC_CENTRE * (1 + t) / (1 - t)
    return (1 + 2 * x) * erfcx(x) - mpf("1.25")


def shifted(function: Callable, centre, power: int = 1) -> Callable:
    """`function` of (t + centre)**power, as a function of t."""
    return lambda t: function((t + mpf(centre)) ** power)


def log_gamma_ratio(t):
    """log(Gamma(2 + t)) / t"""
    return 1 - mp.euler if abs(t) < mpf("1e-25") else mp.loggamma(2 + t) / t


def relative(function: Callable) -> Callable:
    """The weight that makes an error relative."""
    return lambda t: 1 / function(t)


def erfinv_ratio(w):
    """erfinv(x) / x with w = -log(1 - x**2) (Giles, 2012)."""
    if w < mpf("1e-20"):
        return mp.sqrt(mp.pi) / 2
    return erfinv_tail(w)


def erfinv_tail(w):
    """The same by Newton's method on log erfc, from the leading asymptotics: right for 1 - x far below 1e-60 too."""
    rest = -mp.expm1(-w)
    x = mp.sqrt(rest)
    complement = mp.exp(-w) / (1 + x)
    y = mp.sqrt(w) if w > 1 else x * mpf("0.886")
    for _ in range(60):
        c = mp.erfc(y)
        step = mp.log(c / complement) * c * mp.sqrt(mp.pi) / 2 * mp.exp(y * y)
        y += step
        if abs(step) < mpf("1e-50"):
            break
    return y / x


LN2 = mp.log(2)
HALF_LN2, QUARTER_PI = LN2 / 2 * mpf("1.0001"), mp.pi / 4 * mpf("1.00001")
S_MAX = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1) * mpf("1.0001")
ATAN_MAX = (mp.sqrt(2) - 1) * mpf("1.0001")

ERFINV = [shifted(erfinv_ratio, "3.125"), shifted(erfinv_ratio, "3.25", 2), shifted(erfinv_ratio, 5, 2)]

# name: (function, weight of the error, low, high, degree for f64, degree for f32)
FITS = {
    "EXP": (exp_tail, lambda r: abs(r) + mpf("0.02"), -HALF_LN2, HALF_LN2, 10, 4),
    "EXP2": (exp2_tail, lambda r: r * r + mpf("0.01"), mpf("-0.5001"), mpf("0.5001"), 9, 4),
    "TANH": (tanh_tail, lambda s: s * s + mpf("0.001"), -HALF_LN2 / 2, HALF_LN2 / 2, 9, 3),
    "SINH": (odd_tail(mp.sinh, mpf(1) / 6), one, 0, mpf("1.0001"), 6, 3),
    "LOG": (log_tail, one, 0, S_MAX**2, 6, 2),
    "LOG_TAIL": (log_tail2, one, 0, S_MAX**2, 6, 2),
    "SIN": (odd_tail(mp.sin, mpf(-1) / 6), one, 0, QUARTER_PI**2, 5, 3),
    "COS": (cos_tail, one, 0, QUARTER_PI**2, 5, 2),
    "ASIN": (odd_tail(mp.asin, mpf(1) / 6), one, 0, mpf("0.2501"), 12, 5),
    "ATAN": (odd_tail(mp.atan, mpf(-1) / 3), one, 0, ATAN_MAX**2, 10, 4),
    "CBRT": (mp.cbrt, lambda x: 1 / mp.cbrt(x), 1, 2, 5, 2),
    "ERF": (erf_ratio, one, 0, mpf("1.0001"), 11, 6),
    "ERFC": (erfc_scaled, one, mpf("-0.7648"), mpf("0.7682"), 20, 10),
    "ERFINV_CENTRE": (ERFINV[0], relative(ERFINV[0]), mpf("-3.125"), mpf("3.126"), 24, 11),
    "ERFINV_MIDDLE": (ERFINV[1], relative(ERFINV[1]), mpf("-0.7501"), mpf("0.7501"), 18, 8),
    "ERFINV_TAIL": (ERFINV[2], relative(ERFINV[2]), mpf("-1.0001"), mpf("1.05"), 17, None),
    "LOG_GAMMA": (log_gamma_ratio, relative(log_gamma_ratio), mpf("-0.5001"), mpf("0.5001"), 18, 7),
}

# name: (value, significant bits of each piece for f64, for f32)
CONSTANTS = {
    "LOG2E": (1 / LN2, [53], [24]),
    "LOG2E_PAIR": (1 / LN2, [53, 53], [24, 24]),
    "LOG10E_PAIR": (1 / mp.log(10), [53, 53], [24, 24]),
    "LN2": (LN2, [42, 53], [15, 24]),
    "HALF_LN2": (LN2 / 2, [53, 53], [24, 24]),
    "LOG10_2": (mp.log10(2), [42, 53], [15, 24]),
    "TWO_OVER_PI": (2 / mp.pi, [53], [24]),
    "HALF_PI": (mp.pi / 2, [53, 53, 53], [24, 24, 24]),
    "QUARTER_PI": (mp.pi / 4, [50, 53], [21, 24]),
    "TWO_THIRDS": (mpf(2) / 3, [53, 53], [24, 24]),
}


def hexadecimal(value, dtype: str) -> str:
    """The nearest float64 or float32, printed exactly."""
    value = float(value)
    if dtype == "f32":
        value = struct.unpack("<f", struct.pack("<f", value))[0]
    return value.hex()


def pieces(value, widths: list[int]) -> list[float]:
    """`value` as a sum of floats of so many bits each."""
    out, rest = [], mpf(value)
    for width in widths:
        step = mpf(2) ** (int(mp.floor(mp.log(abs(rest), 2))) + 1 - width)
        piece = mp.nint(rest / step) * step
        out.append(float(piece))
        rest -= piece
    return out


def main() -> None:
    print('"""Coefficients of the vector math library, printed by tools/fit_math_coefficients.py: do not edit.\n')
    print("A tuple lists the coefficients from the constant term up. Each comment gives the largest weighted error.")
    print('"""\n')
    for name, (function, weight, low, high, *degrees) in FITS.items():
        print(f"{name} = {{")
        for dtype, degree in zip(("f64", "f32"), degrees, strict=True):
            if degree is None:
                continue
            coefficients, error = remez(function, weight, low, high, degree)
            print(f"    # 2**{float(mp.log(error, 2)):.1f}")
            print(f'    "{dtype}": (')
            for c in coefficients:
                print(f'        float.fromhex("{hexadecimal(c, dtype)}"),')
            print("    ),")
        print("}")
    for name, (value, *widths) in CONSTANTS.items():
        print(f"{name} = {{")
        for dtype, width in zip(("f64", "f32"), widths, strict=True):
            joined = " ".join(f'float.fromhex("{v.hex()}"),' for v in pieces(value, width))
            print(f'    "{dtype}": ({joined}),')
        print("}")
    count = 1344
    with mp.workprec(count + 64):
        print("# 2/pi = TWO_OVER_PI_BITS / 2**TWO_OVER_PI_COUNT")
        print(f"TWO_OVER_PI_COUNT = {count}")
        print(f"TWO_OVER_PI_BITS = int({hex(int(mp.floor(2 / mp.pi * mpf(2) ** count)))[2:]!r}, 16)")


if __name__ == "__main__":
    main()
