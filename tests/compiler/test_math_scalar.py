"""The scalar builder's arithmetic, comparisons and conversions against NumPy, bit for bit."""

import numpy as np
import pytest

from fad.compiler.complex_formulas import FORMULAS
from fad.compiler.llvm import scalar_complex
from fad.compiler.llvm.scalar_value import Value
from fad.core.errors import DTypeError
from tests.compiler.math_loops import Loop

FLOATS, SIGNED, UNSIGNED = ["f8", "f4", "f2"], ["i1", "i2", "i4", "i8"], ["u1", "u2", "u4", "u8"]
INTEGERS = SIGNED + UNSIGNED
EDGES = [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, -0.5, 2, -2, 3, -3, 1e300, -1e300, 1e-310, 7, -7, 1e15, 65504]
COMPARISONS = "equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor".split()


def samples(dtype: str, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "?":
        return rng.random(300) < 0.5
    if dtype[0] == "f":
        x = [*EDGES, *rng.normal(size=400) * 10, *np.round(rng.normal(size=400) * 10)]
        with np.errstate(over="ignore"):
            return np.array(x).astype(dtype)
    info = np.iinfo(dtype)
    edges = [
        info.min,
        info.max,
        info.min + 1,
        info.max - 1,
        0,
        1,
        2,
        3,
        5,
        7,
        8,
        31,
        32,
        63,
        64,
        *[-1] * (info.min < 0),
    ]
    return np.array([*edges, *rng.integers(info.min, info.max, 400, dtype=dtype, endpoint=True)], dtype)


def pairs(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Every edge against every edge, and the rest against the rest in another order."""
    x, y = samples(dtype), samples(dtype, 1)
    a, b = (v.ravel() for v in np.meshgrid(x[:20], y[:20]))
    return np.concatenate([a, x]), np.concatenate([b, y[::-1]])


def assert_same_bits(got, expected, *arguments, zeros_may_differ=False):
    assert got.dtype == expected.dtype
    same = (got == expected) | ((got != got) & (expected != expected))
    if got.dtype.kind == "f" and not zeros_may_differ:
        same &= (np.signbit(got) == np.signbit(expected)) | np.isnan(expected)
    bad = np.flatnonzero(~same)
    where = [(*(a[i] for a in arguments), got[i], expected[i]) for i in bad[:5]]
    assert bad.size == 0, f"{bad.size} differ; arguments, got, expected: {where}"


def check(name: str, dtypes: list, *arguments: np.ndarray, zeros_may_differ: bool = False) -> None:
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(*arguments)
    got = Loop(lambda k, *v: getattr(k, name)(*v), dtypes, expected.dtype)(*arguments)
    assert_same_bits(got, expected, *arguments, zeros_may_differ=zeros_may_differ)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "name", "add subtract multiply divide fmod remainder floor_divide copysign heaviside".split() + COMPARISONS
)
def test_two_floats(name, dtype):
    check(name, [dtype, dtype], *pairs(dtype))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", "maximum minimum fmax fmin".split())
def test_extremes_of_floats(name, dtype):
    """NumPy does not say which of 0.0 and -0.0 is the larger; here 0.0 is."""
    check(name, [dtype, dtype], *pairs(dtype), zeros_may_differ=True)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "name",
    "negative positive absolute square reciprocal sqrt sign floor ceil trunc rint "
    "isnan isinf isfinite signbit logical_not".split(),
)
def test_one_float(name, dtype):
    check(name, [dtype], samples(dtype))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_two_integers(dtype):
    """Division by zero and of the smallest number by -1 included: they must not trap."""
    x, y = pairs(dtype)
    for name in "add subtract multiply fmod remainder floor_divide maximum minimum bitwise_and bitwise_or".split():
        check(name, [dtype, dtype], x, y)
    for name in ["bitwise_xor", "left_shift", "right_shift", *COMPARISONS]:
        check(name, [dtype, dtype], x, y)
    check("power", [dtype, dtype], x, np.where(y < 0, 3, y).astype(dtype))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_one_integer(dtype):
    for name in "negative positive absolute square sign floor invert logical_not bitwise_count".split():
        check(name, [dtype], samples(dtype))


def test_booleans():
    x, y = samples("?"), samples("?", 1)
    for name in ["add", "multiply", "maximum", "minimum", "bitwise_xor", *COMPARISONS]:
        check(name, ["?", "?"], x, y)
    for name in ("invert", "logical_not", "absolute"):
        check(name, ["?"], x)


def test_negative_powers_of_integers():
    x = np.array([0, 1, -1, -1, 2, -2, 7])
    y = np.array([-1, -5, -3, -4, -1, -2, -1])
    got = Loop(lambda k, a, b: k.power(a, b), ["i8", "i8"], "i8")(x, y)
    np.testing.assert_array_equal(got, [0, 1, -1, 1, 0, 0, 0])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 8, -1, -2])
def test_known_whole_powers(n):
    x = np.array([0.0, -0.0, 1.5, -2.5, np.inf, -np.inf, np.nan, 1e200, -3.0])
    with np.errstate(all="ignore"):
        expected = x**n
    got = Loop(lambda k, v: k.power(v, n), ["f8"], "f8")(x)
    np.testing.assert_allclose(got, expected, rtol=1e-15)
    np.testing.assert_array_equal(np.signbit(got[:6]), np.signbit(expected[:6]))


@pytest.mark.parametrize("target", ["?", *INTEGERS, *FLOATS])
@pytest.mark.parametrize("source", ["?", *INTEGERS, *FLOATS])
def test_conversions(source, target):
    x = samples(source)
    if source[0] == "f":
        x = np.concatenate([x, np.array([200.7, -200.7, 1e4, 254.99, 0.999, -0.999], source)])
        if target[0] == "u":  # C, and so NumPy, leaves the rest open
            x = x[np.isfinite(x) & (np.abs(x.astype("f8")) < 2.0**31) & (x > -1)]
    with np.errstate(all="ignore"):
        expected = x.astype(target)
    assert_same_bits(Loop(lambda k, v: k.astype(v, target), [source], target)(x), expected, x)


def test_large_floats_to_uint64():
    x = np.array([2.0**63, 2.0**64 - 2048, 2.0**63 - 1024, 1e19, 3.0])
    got = Loop(lambda k, v: k.astype(v, "u8"), ["f8"], "u8")(x)
    np.testing.assert_array_equal(got, x.astype("u8"))


def test_floats_to_float16_are_rounded_once():
    halves = np.arange(2**16, dtype=np.uint16).view("f2")
    halves = np.sort(halves[np.isfinite(halves)].astype("f8"))
    middles = (halves[:-1] + halves[1:]) / 2
    x = np.concatenate([halves, middles, np.nextafter(middles, np.inf), np.nextafter(middles, -np.inf)])
    with np.errstate(over="ignore", under="ignore"):
        expected = x.astype("f2")
    assert_same_bits(Loop(lambda k, v: k.astype(v, "f2"), ["f8"], "f2")(x), expected, x)


def test_products_and_sums_are_not_fused_unless_asked():
    x = np.random.default_rng(0).normal(size=1000)
    apart = Loop(lambda k, v: k.subtract(k.multiply(v, v), k.multiply(v, v)), ["f8"], "f8")(x)
    np.testing.assert_array_equal(apart, 0)
    rest = Loop(lambda k, v: k.subtract(k.multiply(v, 3.3), k.constant(1.1, "f8")), ["f8"], "f8")(x)
    np.testing.assert_array_equal(rest, x * 3.3 - 1.1)


def test_python_numbers_take_the_dtype_of_the_other_operand():
    x = np.linspace(-2, 2, 9, dtype="f4")
    got = Loop(lambda k, v: k.clip(k.add(1, k.multiply(v, 0.1)), 0.9, 1.1), ["f4"], "f4")(x)
    np.testing.assert_array_equal(got, np.clip(1 + x * np.float32(0.1), np.float32(0.9), np.float32(1.1)))


def test_neighbours_of_floats():
    for dtype in ("f8", "f4"):
        check("nextafter", [dtype, dtype], *pairs(dtype))
        check("spacing", [dtype], samples(dtype))
    check("nextafter", ["f2", "f2"], *pairs("f2"), zeros_may_differ=True)


@pytest.mark.parametrize("whole", ["i1", "i4", "i8", "u2"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_scaling_by_powers_of_two(dtype, whole):
    """One rounding, also on the way to subnormal numbers; exponents far outside the range."""
    x = samples(dtype)
    n = np.random.default_rng(0).integers(0 if whole[0] == "u" else -120, 120, x.size).astype(whole)
    if whole != "i1":
        n[::7] *= 20
        n[:2] = [np.iinfo(whole).max, np.iinfo(whole).min]
    with np.errstate(all="ignore"):
        expected = np.ldexp(x, np.clip(n.astype("i8"), -10000, 10000).astype("i4"))
    assert_same_bits(Loop(lambda k, a, b: k.ldexp(a, b), [dtype, whole], dtype)(x, n), expected, x, n)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_common_divisors_and_multiples(dtype):
    x, y = pairs(dtype)
    check("gcd", [dtype, dtype], x, y)
    check("lcm", [dtype, dtype], x, y)


def complex_samples(dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    z = np.concatenate([[0, 1, -1, 1j, -1j, 2 + 3j, 1e30 - 1e30j], rng.normal(size=300) + 1j * rng.normal(size=300)])
    return z.astype(dtype)


class RealBuilder:
    """The scalar builder, with what formulas ask besides of a builder of real operations."""

    def __init__(self, k):
        self._k = k

    def __getattr__(self, name):
        return getattr(self._k, name)

    def constant_like(self, like, value):
        return self._k.constant(value, like.dtype)

    def limits(self, like):
        return np.finfo(like.dtype)


def on_pairs(name: str):
    """The formula as a loop's body that takes and gives complex numbers."""

    def body(k, *operands):
        found = FORMULAS[name](RealBuilder(k), *map(scalar_complex.parts, operands))
        return found if isinstance(found, Value) else scalar_complex.join(*found)

    return body


@pytest.mark.parametrize("dtype", ["c16", "c8"])
def test_formulas_of_complex_numbers(dtype):
    x, y = complex_samples(dtype, 0), complex_samples(dtype, 1)[::-1]
    y = np.where(y == 0, 1, y)
    small = np.where(np.abs(x) < 50, x, 1).astype(dtype)
    eps = np.finfo(dtype).eps
    for name in "add subtract multiply divide".split():
        got = Loop(on_pairs(name), [dtype, dtype], dtype)(x, y)
        np.testing.assert_allclose(got, getattr(np, name)(x, y), rtol=4 * eps, atol=0, err_msg=name)
    for name in "negative conjugate square exp sin cos sinh cosh absolute real imag sign".split():
        expected = np.asarray(getattr(np, name)(small))
        got = Loop(on_pairs(name), [dtype], expected.dtype)(small)
        np.testing.assert_allclose(got, expected, rtol=6 * eps, atol=0, err_msg=name)
    for name, atol in (("reciprocal", 0), ("log", 4 * eps)):
        z = small[small != 0]
        got = Loop(on_pairs(name), [dtype], dtype)(z)
        np.testing.assert_allclose(got, getattr(np, name)(z), rtol=6 * eps, atol=atol, err_msg=name)
    for name in ("equal", "not_equal"):
        other = np.where(np.arange(x.size) % 2, x, y)
        got = Loop(on_pairs(name), [dtype, dtype], "?")(x, other)
        np.testing.assert_array_equal(got, getattr(np, name)(x, other), err_msg=name)
    for name in "isnan isinf isfinite".split():
        np.testing.assert_array_equal(Loop(on_pairs(name), [dtype], "?")(x), getattr(np, name)(x), err_msg=name)


@pytest.mark.parametrize("dtype", ["c16", "c8"])
def test_complex_conversions_and_choices(dtype):
    z, flag = complex_samples(dtype, 0), np.arange(307) % 3 == 0
    got = Loop(lambda k, c, a: k.where(c, a, 1 + 2j), ["?", dtype], dtype)(flag, z)
    np.testing.assert_array_equal(got, np.where(flag, z, 1 + 2j))
    for target in ("c16", "c8", "f8", "f4", "?"):
        got = Loop(lambda k, a, target=target: k.astype(a, target), [dtype], target)(z)
        expected = z.real.astype(target) if target[0] == "f" else z.astype(target)
        np.testing.assert_array_equal(got, expected)
    got = Loop(lambda k, a: k.astype(a, dtype), ["f4"], dtype)(np.float32([1, -2.5]))
    np.testing.assert_array_equal(got, np.array([1, -2.5], dtype))
    with pytest.raises(DTypeError, match="tanh takes float16, float32 or float64, and got complex"):
        Loop(lambda k, a: k.tanh(a), [dtype], dtype)
    for name in "isnan conjugate".split():
        with pytest.raises(DTypeError, match=f"{name} takes real numbers, and got complex"):
            Loop(lambda k, a, name=name: getattr(k, name)(a), [dtype], dtype)
    with pytest.raises(DTypeError, match="add takes real numbers, and got complex"):
        Loop(lambda k, a: k.add(a, a), [dtype], dtype)
