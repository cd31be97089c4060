"""Every function of the vector math library against mpmath, over the whole range of its arguments."""

import math
import re
from pathlib import Path

import mpmath
import numpy as np
import pytest

from fad.compiler.llvm.math_library import FUNCTIONS
from tests.compiler.math_loops import Loop

PRECISION = 160
mp = mpmath.mp.clone()
mp.prec = PRECISION

# Largest error allowed, in ULP: float64, float32. The table in docs/looking-inside.md says the same.
LARGEST = {
    "exp": (1.1, 1.1),
    "exp2": (1.0, 1.0),
    "expm1": (1.2, 1.1),
    "sinh": (1.7, 1.7),
    "cosh": (1.6, 1.6),
    "tanh": (2.0, 2.0),
    "expit": (1.5, 1.5),
    "log": (0.9, 0.9),
    "log2": (0.8, 0.8),
    "log10": (0.7, 0.7),
    "log1p": (1.0, 1.0),
    "asinh": (1.3, 1.3),
    "acosh": (1.9, 1.9),
    "atanh": (1.0, 1.0),
    "cbrt": (0.6, 0.6),
    "softplus": (1.7, 1.7),
    "log_expit": (1.7, 1.7),
    "power": (1.3, 1.2),
    "sin": (1.0, 0.9),
    "cos": (1.0, 0.9),
    "tan": (1.4, 1.3),
    "asin": (1.2, 1.2),
    "acos": (1.2, 1.2),
    "atan": (1.0, 1.0),
    "atan2": (1.5, 1.5),
    "hypot": (1.2, 1.2),
    "log_hypot": (0.9, 0.9),
    "erf": (1.4, 1.4),
    "erfc": (1.8, 1.8),
    "erfinv": (4.0, 4.0),
    "lgamma": (5.0, 5.0),
}

# Where the interesting part lies: (low, high) for float64, for float32.
INTERVALS = {
    "exp": ((-750, 712), (-106, 90)),
    "exp2": ((-1080, 1026), (-151, 129)),
    "expm1": ((-45, 712), (-20, 90)),
    "sinh": ((-711, 711), (-90, 90)),
    "cosh": ((-711, 711), (-90, 90)),
    "tanh": ((-21, 21), (-10, 10)),
    "expit": ((-750, 40), (-106, 20)),
    "softplus": ((-750, 40), (-106, 20)),
    "log_expit": ((-40, 750), (-20, 106)),
    "log1p": ((-1, 3), (-1, 3)),
    "acosh": ((1, 5), (1, 5)),
    "atanh": ((-1, 1), (-1, 1)),
    "asin": ((-1, 1), (-1, 1)),
    "acos": ((-1, 1), (-1, 1)),
    "erf": ((-6.5, 6.5), (-4.5, 4.5)),
    "erfc": ((-6.5, 27.5), (-4.5, 10.5)),
    "erfinv": ((-1, 1), (-1, 1)),
}

CONVERTED = {"f8": ("f64", 0), "f4": ("f32", 1)}


def complement(x):
    """erfc, whose mpmath version gives up on huge arguments."""
    return mp.mpf(0) if x > 1e4 else mp.mpf(2) if x < -1e4 else mp.erfc(x)


def real_or_nan(function):
    def wrapped(*x):
        value = function(*x)
        return value if isinstance(value, mp.mpf) else mp.nan

    return wrapped


EXACT = {
    "exp": mp.exp,
    "exp2": lambda x: mp.power(2, x),
    "expm1": mp.expm1,
    "sinh": mp.sinh,
    "cosh": mp.cosh,
    "tanh": mp.tanh,
    "expit": lambda x: 1 / (1 + mp.exp(-x)),
    "log": real_or_nan(mp.log),
    "log2": real_or_nan(lambda x: mp.log(x, 2)),
    "log10": real_or_nan(mp.log10),
    "log1p": real_or_nan(mp.log1p),
    "asinh": mp.asinh,
    "acosh": real_or_nan(mp.acosh),
    "atanh": real_or_nan(mp.atanh),
    "cbrt": lambda x: mp.sign(x) * mp.cbrt(abs(x)),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "log_expit": lambda x: -mp.log1p(mp.exp(-x)),
    "sin": mp.sin,
    "cos": mp.cos,
    "tan": mp.tan,
    "asin": real_or_nan(mp.asin),
    "acos": real_or_nan(mp.acos),
    "atan": mp.atan,
    "erf": lambda x: mp.sign(x) if abs(x) > 1e4 else mp.erf(x),
    "erfc": complement,
    "erfinv": lambda x: mp.erfinv(x) if abs(x) < 1 else x * mp.inf if abs(x) == 1 else mp.nan,
    "lgamma": lambda x: mp.re(mp.loggamma(x)),
    "power": real_or_nan(mp.power),
    "atan2": mp.atan2,
    "hypot": mp.hypot,
    "log_hypot": lambda x, y: mp.log(x * x + y * y) / 2,
}


def error_in_ulp(got: float, exact, info: np.finfo) -> float:
    """|got - exact| in units of the last place of `exact`; 0 where both are NaN or overflow alike."""
    if mp.isnan(exact):
        return 0.0 if math.isnan(got) else math.inf
    largest = mp.mpf(float(info.max))
    if abs(exact) >= largest * (1 + mp.mpf(float(info.eps)) / 4):
        return 0.0 if math.isinf(got) and (got > 0) == (exact > 0) else math.inf
    if not math.isfinite(got):
        return math.inf
    exponent = max(mp.frexp(exact)[1], int(info.minexp) + 1) if exact else int(info.minexp) + 1
    return float(abs(mp.mpf(got) - exact) / mp.ldexp(1, exponent - int(info.nmant) - 1))


def bit_patterns(rng: np.random.Generator, dtype: str, count: int) -> np.ndarray:
    """Finite numbers with random bits."""
    word = np.uint64 if dtype == "f8" else np.uint32
    x = rng.integers(0, np.iinfo(word).max, count, dtype=word).view(dtype)
    return x[np.isfinite(x)]


def arguments(name: str, dtype: str, count: int = 150) -> np.ndarray:
    """Finite arguments: the interval, every magnitude, small ones, bit patterns, near one, near multiples of pi/2."""
    rng = np.random.default_rng(sum(map(ord, name + dtype)))
    low, high = INTERVALS.get(name, ((-20, 20), (-20, 20)))[CONVERTED[dtype][1]]
    info = np.finfo(dtype)
    exponents = math.log10(float(info.smallest_subnormal)), math.log10(float(info.max))
    signs = rng.choice([-1.0, 1.0], (4, count))
    parts = [
        rng.uniform(low, high, 2 * count),
        rng.uniform(-2, 2, count),
        signs[0] * np.minimum(10 ** rng.uniform(*exponents, count), float(info.max)),
        signs[1] * 10 ** rng.uniform(-9, 4, count),
        bit_patterns(rng, dtype, count),
        1 + signs[2] * 10 ** rng.uniform(-16, 0, count),
        np.round(signs[3] * 10 ** rng.uniform(0, 6, count)) * (math.pi / 2),
        [float(info.max), -float(info.max), float(info.tiny), float(info.smallest_subnormal), 1.0, -1.0, 0.5, -0.5],
    ]
    x = np.concatenate(parts).astype(dtype)
    return x[np.isfinite(x) & (x != 0)]


def assert_close(name: str, dtype: str, *arrays: np.ndarray) -> None:
    short, column = CONVERTED[dtype]
    loop = Loop(lambda k, *v: getattr(k, name)(*v), [dtype] * len(arrays), dtype)
    got = loop(*arrays)
    bound, info = LARGEST[name][column], np.finfo(dtype)
    worst = (0.0, "")
    for result, *x in zip(got.tolist(), *[a.tolist() for a in arrays]):
        try:
            exact = EXACT[name](*[mp.mpf(v) for v in x])
        except (ZeroDivisionError, ValueError):  # a pole: the tests of special values have it
            continue
        error = error_in_ulp(result, exact, info)
        worst = max(worst, (error, f"{name}({', '.join(map(repr, x))}) in {short} gave {result!r}"))
    assert worst[0] <= bound, f"{worst[1]}, off by {worst[0]:.3f} ULP; at most {bound} are promised"


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", sorted(name for name in EXACT if FUNCTIONS[name][1] == 1 and name != "lgamma"))
def test_functions_of_one_argument(name, dtype):
    assert_close(name, dtype, arguments(name, dtype))


WORST = {
    "acosh": ([1.0078160898929978, 1.001953338255538], [1.0313860177993774]),
    "atan": ([0.4144073818062726], [0.43086788058280945]),
    "cosh": ([12.131210834979962], [3.857171058654785]),
    "erf": ([0.9999999996916624], [0.9991405606269836]),
    "erfc": ([0.5414659908373056], [0.4973777234554291]),
    "exp": ([534.7864897306056], [-38.41550064086914]),
    "expm1": ([0.35848031212398745], [17.1582088470459]),
    "log": ([0.7070488238031304], [0.7029129862785339]),
    "log_expit": ([1.2617971016064764], [1.2629884481430054]),
    "log1p": ([0.43539802093135754], [0.4171923100948334]),
    "log2": ([1.4141365369134078], [1.4124430418014526]),
    "sinh": ([1.4154685685440258], [1.4175161123275757]),
    "softplus": ([-0.43513797567685064], [-1.2928236722946167]),
    "tan": ([14.941551322228822], [2.3620829582214355]),
}
"""Arguments with the largest errors that searches by steepest ascent, from 3 million random ones each, have found: float64, float32."""


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", sorted(WORST))
def test_arguments_where_errors_are_largest(name, dtype):
    assert_close(name, dtype, np.array(WORST[name][CONVERTED[dtype][1]], dtype))


def test_the_documents_state_the_largest_errors():
    text = (Path(__file__).parents[2] / "docs" / "looking-inside.md").read_text(encoding="utf-8")
    stated = re.findall(r"`(\w+)` \| ([\d.]+) \| ([\d.]+)", text)
    assert {name: (float(double), float(single)) for name, double, single in stated} == LARGEST


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_hyperbolic_tangents_just_below_powers_of_two(dtype):
    """There a rounded numerator or denominator counts most; with the worst arguments that searches have found."""
    rng = np.random.default_rng(12)
    near = [rng.uniform(math.atanh(0.96 * top), math.atanh(top), 1500) for top in (0.125, 0.25, 0.5)]
    found = [0.12376407141598486, 0.12522712554733095, 0.2301719007691987, 0.5143112236242462, 0.5388528305244917]
    assert_close("tanh", dtype, np.concatenate([*near, found, [0.12510899, 0.1973645]]).astype(dtype))


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", ["atan2", "hypot", "log_hypot"])
def test_points_of_the_plane(name, dtype):
    x = arguments(name, dtype)
    rng = np.random.default_rng(3)
    far = rng.permutation(x)
    with np.errstate(over="ignore", under="ignore"):
        near = (x * 10 ** rng.uniform(-8, 1, x.size)).astype(dtype)
    first, second = np.concatenate([x, x]), np.concatenate([far, near])
    keep = np.isfinite(second) & (second != 0)
    assert_close(name, dtype, first[keep], second[keep])


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_logarithms_of_points_near_the_unit_circle(dtype):
    """Relatively right also where x**2 + y**2 - 1 cancels to the last digit."""
    rng = np.random.default_rng(11)
    angles = rng.uniform(0, 7, 2000)
    size = 1 + rng.choice([-1, 0, 1], 2000) * 10 ** rng.uniform(-17, -1, 2000)
    x, y = (size * np.cos(angles)).astype(dtype), (size * np.sin(angles)).astype(dtype)
    small = 10 ** rng.uniform(-30, 0, 400)
    pairs = [
        (x, y),
        (np.ones(400, dtype), small.astype(dtype)),
        ((1 - small).astype(dtype), np.sqrt(2 * small).astype(dtype)),
    ]
    for first, second in pairs:
        keep = first.astype("O") ** 2 + second.astype("O") ** 2 != 1
        assert_close("log_hypot", dtype, first[keep], second[keep])


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_powers(dtype):
    rng = np.random.default_rng(4)
    limit, digits = (709, 300) if dtype == "f8" else (88, 37)
    wide = (10 ** rng.uniform(-digits, digits, 400)).astype(dtype)
    near_one = (1 + rng.choice([-1, 1], 400) * 10 ** rng.uniform(-7, -0.5, 400)).astype(dtype)
    near_one = near_one[near_one != 1]
    bases = np.concatenate([wide, near_one])
    exponents = (rng.uniform(-1.03, 1.03, bases.size) * limit / np.log(bases.astype("f8"))).astype(dtype)
    assert_close("power", dtype, bases, exponents)
    negative = -(10 ** rng.uniform(-3, 3, 200)).astype(dtype)
    assert_close("power", dtype, negative, np.round(rng.uniform(-40, 40, 200)).astype(dtype))
    assert_close("power", dtype, negative, rng.uniform(-4, 4, 200).astype(dtype))


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_log_of_a_sum_of_exponentials(dtype):
    """Away from the curve where the answer is zero; there the result is the difference of two rounded terms."""
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-700, 700, (2, 300)) if dtype == "f8" else rng.uniform(-80, 80, (2, 300))
    x, y = x.astype(dtype), np.where(np.arange(300) % 2, x + rng.normal(size=300), y).astype(dtype)
    got = Loop(lambda k, a, b: k.logaddexp(a, b), [dtype, dtype], dtype)(x, y)
    info = np.finfo(dtype)
    for result, a, b in zip(got.tolist(), x.tolist(), y.tolist()):
        exact = mp.log(mp.exp(a) + mp.exp(b))
        slack = 2 * float(info.eps) * max(abs(a), abs(b), float(exact))
        assert abs(result - float(exact)) <= slack, (a, b, result)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_log_gamma_of_positive_numbers(dtype):
    """Relative precision also near the zeros at 1 and 2; below zero the C library answers for it."""
    rng = np.random.default_rng(6)
    near = rng.normal(size=200) * 10 ** rng.uniform(-7, -1, 200)
    x = np.concatenate([rng.uniform(0, 12, 600), 1 + near, 2 + near, 10 ** rng.uniform(-30, 30, 200)]).astype(dtype)
    assert_close("lgamma", dtype, x[x > 0])


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_digamma(dtype):
    """Absolute precision near its zeros, relative elsewhere."""
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.uniform(0, 20, 500), rng.uniform(-20, 0, 200), 10 ** rng.uniform(-30, 30, 100)]).astype(
        dtype
    )
    got = Loop(lambda k, v: k.digamma(v), [dtype], dtype)(x)
    for result, v in zip(got.tolist(), x.tolist()):
        exact = float(mp.digamma(mp.mpf(v)))
        assert abs(result - exact) <= 10 * np.finfo(dtype).eps * max(1, abs(exact)), (v, result, exact)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 12, 31, 64, -1, -2, -3, -4, -7, -50])
def test_powers_with_known_whole_exponents(n, dtype):
    """Over the whole range, subnormal results included; the products of a power by squaring alone are off by some n ULP."""
    rng, info = np.random.default_rng(9), np.finfo(dtype)
    exponents = math.log2(float(info.smallest_subnormal)) / n, math.log2(float(info.max)) / n
    low, high = max(min(exponents), info.minexp + 3), min(max(exponents), info.maxexp - 3)
    x = np.concatenate([rng.uniform(0.5, 2, 1500), 2.0 ** rng.uniform(low, high, 1500)])
    x = (x * rng.choice([-1.0, 1.0], x.size)).astype(dtype)
    got = Loop(lambda k, v: k.integer_power(v, n), [dtype], dtype)(x)
    errors = [error_in_ulp(y, mp.mpf(v) ** n, info) for y, v in zip(got.tolist(), x.tolist())]
    worst = int(np.argmax(errors))
    assert errors[worst] <= 2, f"{x[worst]!r} ** {n} gave {got[worst]!r}, off by {errors[worst]:.3f} ULP"


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 8, 13, -1, -2, -3, -6])
def test_known_whole_exponents_keep_special_values(n, dtype):
    info = np.finfo(dtype)
    ends = [0.0, math.inf, math.nan, 1.0, float(info.max), float(info.tiny), float(info.smallest_subnormal)]
    x = np.array([*ends, *[-v for v in ends]], dtype)
    got = Loop(lambda k, v: k.integer_power(v, n), [dtype], dtype)(x)
    with np.errstate(all="ignore"):
        want = np.power(x, np.array(n, dtype))
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got)[~np.isnan(want)], np.signbit(want)[~np.isnan(want)])


def test_exact_results_are_exact():
    powers = 2.0 ** np.arange(-1074, 1024)
    log2 = Loop(lambda k, x: k.log2(x), ["f8"], "f8")
    exp2 = Loop(lambda k, x: k.exp2(x), ["f8"], "f8")
    np.testing.assert_array_equal(log2(powers), np.arange(-1074.0, 1024))
    np.testing.assert_array_equal(exp2(np.arange(-1074.0, 1024)), powers)
    cubes = np.arange(-1000.0, 1000)
    np.testing.assert_array_equal(Loop(lambda k, x: k.cbrt(x), ["f8"], "f8")(cubes**3), cubes)
    np.testing.assert_array_equal(Loop(lambda k, x: k.log10(x), ["f8"], "f8")(10.0 ** np.arange(23)), np.arange(23.0))
    base, exponent = (a.ravel() for a in np.meshgrid(np.arange(-9.0, 10), np.arange(0.0, 15)))
    np.testing.assert_array_equal(
        Loop(lambda k, x, y: k.power(x, y), ["f8", "f8"], "f8")(base, exponent), base**exponent
    )


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_arguments_closest_to_multiples_of_half_pi(name):
    """The hardest arguments to reduce: continued fraction convergents of pi/2, scaled."""
    x = [6381956970095103.0 * 2.0**797, 5.0 * 2.0**52]
    rest = mp.pi / 2
    a, b, c, d = 1, 0, 0, 1
    for _ in range(40):
        whole = int(mp.floor(rest))
        a, b, c, d = a * whole + b, a, c * whole + d, c
        rest = 1 / (rest - whole)
        x += [float(a * odd) for odd in (1, 3, 5)]
    assert_close(name, "f8", np.array(x))
    assert_close(name, "f4", np.array(x)[np.array(x) < 3e38].astype("f4"))
