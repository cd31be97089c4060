"""NaN, infinities, signed zeros, poles and thresholds of the vector math library."""

import math

import numpy as np
import pytest
import scipy.special

from fad.compiler.llvm.math_library import FUNCTIONS, Target
from tests.compiler.math_loops import Loop

INF, NAN = math.inf, math.nan
CANCELLING = ("digamma", "logaddexp", "logaddexp2")  # their errors are absolute near their zeros
UNARY = sorted(name for name, (_, arity) in FUNCTIONS.items() if arity == 1)
BINARY = sorted(name for name, (_, arity) in FUNCTIONS.items() if arity == 2)


def log_gamma(x: float) -> float:
    """SciPy's answers at its edges; its gammaln(1e-310) is infinite."""
    if x == -INF or x > 2.6e305:
        return math.copysign(INF, x)
    return INF if x <= 0 and x == math.floor(x) else math.lgamma(x)


REFERENCE = {
    "expit": scipy.special.expit,
    "log_expit": scipy.special.log_expit,
    "softplus": lambda x: np.logaddexp(x, 0),
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "erfinv": scipy.special.erfinv,
    "lgamma": np.vectorize(log_gamma, otypes=["f8"]),
    "digamma": scipy.special.digamma,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "atan2": np.arctan2,
    "log_hypot": lambda x, y: np.log(np.hypot(x.astype("g"), y.astype("g"))).astype(x.dtype),
}

EDGES = [0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 4.0, 1e300, -1e300, 1e-310, -1e-310]


def reference(name):
    return REFERENCE.get(name) or getattr(np, name)


def assert_same(name, dtype, got, expected, *arguments):
    """Equal to a few ULP, and exactly so where the result is zero, infinite or NaN; the sign of zero counts."""
    for result, wanted, *x in zip(got.tolist(), expected.tolist(), *[a.tolist() for a in arguments]):
        said = f"{name}({', '.join(map(repr, x))}) gave {result!r}, wanted {wanted!r} ({dtype})"
        if math.isnan(wanted) or math.isnan(result):
            assert math.isnan(wanted) and math.isnan(result), said
        elif wanted == 0 or math.isinf(wanted) or math.isinf(result):
            assert result == wanted and math.copysign(1, result) == math.copysign(1, wanted), said
        else:
            scale = max(1.0, abs(wanted)) if name in CANCELLING else abs(wanted)
            with np.errstate(over="ignore"):
                unit = np.spacing(np.dtype(dtype).type(scale))
            assert abs(result - wanted) <= 4 * float(unit), said


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", UNARY)
def test_edges_of_one_argument(name, dtype):
    info = np.finfo(dtype)
    with np.errstate(all="ignore"):
        x = np.array([*EDGES, float(info.max), float(info.tiny), float(info.smallest_subnormal)]).astype(dtype)
        expected = reference(name)(x.astype("g") if name not in REFERENCE else x.astype("f8")).astype(dtype)
    if name in ("expit", "softplus", "log_expit", "erf", "erfc"):
        expected[x == 0] = {"expit": 0.5, "softplus": math.log(2), "log_expit": -math.log(2), "erf": 0, "erfc": 1}[name]
        expected = np.where((x == 0) & (expected == 0), x, expected)
    if name == "erfinv":
        expected[x == 0] = x[x == 0]  # SciPy loses the sign
    got = Loop(lambda k, v: getattr(k, name)(v), [dtype], dtype)(x)
    assert_same(name, dtype, got, expected, x)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", BINARY)
def test_edges_of_two_arguments(name, dtype):
    with np.errstate(all="ignore"):
        x, y = (a.ravel() for a in np.meshgrid(np.array(EDGES).astype(dtype), np.array(EDGES).astype(dtype)))
        expected = reference(name)(x, y)
    got = Loop(lambda k, a, b: getattr(k, name)(a, b), [dtype, dtype], dtype)(x, y)
    assert_same(name, dtype, got, expected, x, y)


@pytest.mark.parametrize(
    ("name", "dtype", "last", "beyond"),
    [
        ("exp", "f8", math.log(np.finfo("f8").max), INF),
        ("exp", "f4", math.log(float(np.finfo("f4").max)), INF),
        ("exp", "f8", -745.1332191019411, 0.0),
        ("exp", "f4", -103.97207, 0.0),
        ("expm1", "f8", math.log(np.finfo("f8").max), INF),
        ("sinh", "f8", 710.4758600739439, INF),
        ("cosh", "f8", 710.4758600739439, INF),
        ("sinh", "f4", 89.41598629223294, INF),
        ("exp2", "f8", 1023.9999999999999, INF),
        ("exp2", "f4", 127.99999, INF),
    ],
)
def test_thresholds(name, dtype, last, beyond):
    """The last argument before overflow or underflow and the next one after it."""
    last = np.dtype(dtype).type(last)
    with np.errstate(all="ignore"):
        while math.isinf(getattr(np, name)(np.longdouble(last)).astype(dtype)):
            last = np.nextafter(last, -last)
        after = last
        for _ in range(3):
            after = np.nextafter(after, np.dtype(dtype).type(math.copysign(INF, last)))
    got = Loop(lambda k, v: getattr(k, name)(v), [dtype], dtype)(np.array([last, after]))
    assert got[0] not in (0, INF), got
    assert got[1] == beyond, got


def test_subnormal_results_are_rounded_once():
    x = np.linspace(-745, -708.5, 1000)
    got = Loop(lambda k, v: k.exp(v), ["f8"], "f8")(x)
    exact = np.exp(x.astype("g"))
    assert np.max(np.abs(got - exact) / np.longdouble(5e-324)) < 2**53  # all of them subnormal
    assert np.all(np.abs(got - exact) <= 0.51 * np.longdouble(5e-324) + 1.1 * 2.0**-53 * exact)


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_without_fused_multiply_add(name):
    """The bodies for CPUs without the instruction give the same results but for their last place or two."""
    rng = np.random.default_rng(0)
    dtypes = ["f8"] * FUNCTIONS[name][1]
    arguments = [rng.uniform(0.01, 0.99, 500) for _ in dtypes]
    fused, split = (
        Loop(lambda k, *v: getattr(k, name)(*v), dtypes, "f8", target=Target(512, fused))(*arguments)
        for fused in (True, False)
    )
    loose = {"logaddexp": 1e-13, "logaddexp2": 1e-13, "digamma": 4e-15}  # these cancel near their zeros
    np.testing.assert_allclose(split, fused, rtol=loose.get(name, 8e-16), atol=0)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_one_huge_lane_among_small_ones(name):
    """A lane that needs the long reduction leaves its neighbours alone, wherever it stands."""
    x = np.linspace(-3, 3, 64)
    loop = Loop(lambda k, v: getattr(k, name)(v), ["f8"], "f8")
    usual = loop(x)
    for place in range(17):
        y = x.copy()
        y[place] = 1e22
        got = loop(y)
        assert abs(got[place] - float(getattr(np, name)(np.longdouble(1e22)))) < 4e-16
        np.testing.assert_array_equal(np.delete(got, place), np.delete(usual, place))
