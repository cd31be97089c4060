"""Special functions: values and derivatives against mpmath, singular points, dtypes, errors, transforms."""

import mpmath as mp
import numpy as np
import pytest
import scipy.special as reference

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DTypeError, NonDifferentiableError
from fad.scipy import special
from fad.testing import check_grads

MIDDLE = (-2.3, -0.4, 0.1, 0.7, 1.9)
POSITIVE = (0.05, 0.4, 1.0, 2.7, 11.3)
UNIT = (0.02, 0.3, 0.5, 0.71, 0.99)


def normal(x):
    return mp.ncdf(x)


def inverse(function, start):
    return lambda y: mp.findroot(lambda x: function(x) - y, start(y))


UNARY = {
    "erf": (mp.erf, MIDDLE),
    "erfc": (mp.erfc, (-2.3, 0.4, 3.0, 7.5)),
    "erfinv": (mp.erfinv, (-0.95, -0.2, 0.01, 0.6, 0.999)),
    "erfcinv": (lambda y: mp.erfinv(1 - y), (0.05, 0.4, 1.2, 1.9)),
    "erfcx": (lambda x: mp.exp(x * x) * mp.erfc(x), (-1.2, 0.0, 0.5, 4.0)),
    "dawsn": (lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x), MIDDLE),
    "ndtr": (normal, MIDDLE),
    "ndtri": (lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1), UNIT),
    "log_ndtr": (lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2), (-30.0, -5.0, -0.4, 2.0)),
    "expit": (lambda x: 1 / (1 + mp.exp(-x)), (-30.0, -2.0, 0.3, 4.0)),
    "logit": (lambda p: mp.log(p / (1 - p)), UNIT),
    "log_expit": (lambda x: -mp.log1p(mp.exp(-x)), (-300.0, -2.0, 0.3, 40.0)),
    "gamma": (mp.gamma, (-1.5, 0.3, 1.0, 4.2)),
    "rgamma": (mp.rgamma, (0.3, 1.0, 4.2)),
    "factorial": (mp.factorial, (0.0, 0.3, 1.0, 4.2)),
    "gammaln": (lambda x: mp.log(abs(mp.gamma(x))), (-1.5, 0.3, 1.2, 4.2, 300.0)),
    "digamma": (mp.digamma, (-0.7, 0.3, 1.2, 4.2, 300.0)),
    "psi": (mp.digamma, (0.3, 4.2)),
    "entr": (lambda x: -x * mp.log(x), POSITIVE),
    "i0": (lambda x: mp.besseli(0, x), MIDDLE),
    "i1": (lambda x: mp.besseli(1, x), MIDDLE),
    "i0e": (lambda x: mp.exp(-abs(x)) * mp.besseli(0, x), MIDDLE),
    "i1e": (lambda x: mp.exp(-abs(x)) * mp.besseli(1, x), MIDDLE),
    "j0": (lambda x: mp.besselj(0, x), MIDDLE),
    "j1": (lambda x: mp.besselj(1, x), MIDDLE),
    "y0": (lambda x: mp.bessely(0, x), POSITIVE),
    "y1": (lambda x: mp.bessely(1, x), POSITIVE),
    "exp1": (mp.e1, POSITIVE),
    "expi": (mp.ei, POSITIVE),
    "cbrt": (mp.cbrt, POSITIVE),
    "exp2": (lambda x: mp.mpf(2) ** x, MIDDLE),
    "expm1": (mp.expm1, MIDDLE),
    "log1p": (mp.log1p, (-0.4, 0.1, 3.0)),
    "sinc": (mp.sincpi, MIDDLE),
    "spence": (lambda z: mp.polylog(2, 1 - z).real, (0.01, 0.4, 0.999999, 1.0, 1.5, 30.0)),
    "ellipk": (mp.ellipk, (-50.0, -0.3, 0.0, 1e-9, 0.6, 0.999)),
    "ellipe": (mp.ellipe, (-50.0, -0.3, 0.0, 1e-9, 0.6, 0.999)),
    "loggamma": (mp.loggamma, (0.01, 0.4, 1.3, 4.2, 300.0)),
    "zeta": (mp.zeta, (-7.3, -1.001, -1.0, -0.999, -1e-6, 0.0, 0.3, 0.99, 1.01, 3.0, 40.0)),
}
PAIRS = {
    "beta": (mp.beta, [(0.3, 2.0), (4.0, 0.5)]),
    "betaln": (lambda a, b: mp.log(mp.beta(a, b)), [(0.3, 2.0), (40.0, 0.5)]),
    "binom": (mp.binomial, [(5.2, 2.0), (3.0, 0.4)]),
    "poch": (lambda z, m: mp.gamma(z + m) / mp.gamma(z), [(0.5, 2.0), (3.0, 0.4)]),
    "xlogy": (lambda x, y: x * mp.log(y), [(0.5, 2.0), (-3.0, 0.4)]),
    "xlog1py": (lambda x, y: x * mp.log1p(y), [(0.5, 2.0), (-3.0, -0.4)]),
    "rel_entr": (lambda x, y: x * mp.log(x / y), [(0.5, 2.0), (3.0, 0.4)]),
    "kl_div": (lambda x, y: x * mp.log(x / y) - x + y, [(0.5, 2.0), (3.0, 0.4)]),
    "gammainc": (
        lambda a, x: mp.gammainc(a, 0, x, regularized=True),
        [(0.3, 0.01), (0.3, 2.0), (0.9, 0.95), (2.5, 0.3), (2.5, 2.4), (2.5, 9.0), (60.0, 50.0), (60.0, 75.0)],
    ),
    "gammaincc": (
        lambda a, x: mp.gammainc(a, x, regularized=True),
        [(0.3, 0.01), (0.3, 2.0), (2.5, 2.4), (2.5, 30.0), (60.0, 50.0), (60.0, 75.0)],
    ),
}
BETA_POINTS = [
    (0.5, 2.0, 0.1),
    (2.0, 0.5, 0.9),
    (0.01, 3.0, 0.2),
    (3.0, 0.01, 0.999),
    (8.0, 5.0, 0.6),
    (50.0, 70.0, 0.4),
    (1.0, 1.0, 0.5),
]


def close(found, expected, tolerance=2e-12):
    assert abs(mp.mpf(float(found)) - expected) <= tolerance * abs(expected) + 1e-300, (float(found), float(expected))


def derivative(function, point, which=0):
    """D function / d point[which] by mpmath in 50 digits."""
    with mp.workdps(50):
        point = [mp.mpf(p) for p in point]

        def along(x):
            return function(*point[:which], x, *point[which + 1 :])

        return mp.diff(along, point[which], h=mp.mpf(10) ** -12)


@pytest.mark.parametrize("name", UNARY)
def test_unary_against_mpmath(name):
    function, points = UNARY[name]
    ours = getattr(special, name)
    for x in points:
        with mp.workdps(50):
            close(ours(x), function(mp.mpf(x)))
        # SciPy's digamma and polygamma lose digits near the zero of digamma and for negative arguments
        close(fad.grad(ours)(x), derivative(function, (x,)), 1e-10)
    check_grads(lambda x: ours(x), (np.array(points[1:-1]),), order=2)


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_against_mpmath(name):
    function, points = PAIRS[name]
    ours = getattr(special, name)
    for point in points:
        with mp.workdps(50):
            close(ours(*point), function(*map(mp.mpf, point)))
        for which in (0, 1):
            close(fad.grad(ours, argnums=which)(*point), derivative(function, point, which), 1e-10)
    check_grads(ours, tuple(np.array(column) for column in zip(*points, strict=True)), order=2)


def betainc(a, b, x):
    return mp.betainc(a, b, 0, x, regularized=True)


@pytest.mark.parametrize("point", BETA_POINTS)
def test_betainc_against_mpmath(point):
    with mp.workdps(50):
        close(special.betainc(*point), betainc(*map(mp.mpf, point)))
        close(special.betaincc(*point), 1 - betainc(*map(mp.mpf, point)), 1e-11)
    for which in (0, 1, 2):
        close(fad.grad(special.betainc, argnums=which)(*point), derivative(betainc, point, which), 1e-10)


def test_incomplete_functions_to_higher_order():
    check_grads(special.betainc, (np.array([2.0, 0.7]), np.array([1.5, 3.0]), np.array([0.3, 0.6])), order=3)
    check_grads(special.gammainc, (np.array([2.0, 0.7]), np.array([1.5, 3.0])), order=3)
    third = fad.grad(fad.grad(fad.grad(special.gammainc)))(2.5, 3.0)
    with mp.workdps(50):
        exact = mp.diff(lambda a: mp.gammainc(a, 0, 3, regularized=True), mp.mpf(2.5), 3, h=mp.mpf(10) ** -10)
    close(third, exact, 1e-10)


def test_inverses_of_incomplete_functions():
    a, b, y = np.array([0.6, 2.0, 30.0]), np.array([2.0, 0.7, 8.0]), np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(special.gammainc(a, special.gammaincinv(a, y)), y, rtol=1e-12)
    np.testing.assert_allclose(special.gammaincc(a, special.gammainccinv(a, y)), y, rtol=1e-12)
    np.testing.assert_allclose(special.betainc(a, b, special.betaincinv(a, b, y)), y, rtol=1e-12)
    check_grads(special.gammaincinv, (a, y), order=2)
    check_grads(special.betaincinv, (a, b, y), order=2)


@pytest.mark.parametrize(
    ("name", "points"),
    [("spence", (0.02, 1.0, 1.001, 9.0)), ("ellipk", (-3.0, 0.0, 1e-6, 0.99)), ("ellipe", (-3.0, 0.0, 1e-6, 0.99))],
)
def test_higher_derivatives_do_not_cancel(name, points):
    exact = UNARY[name][0]
    for x in points:
        f = getattr(special, name)
        for order in (1, 2, 3, 4):
            f = fad.grad(f)
            with mp.workdps(60):
                wanted = mp.diff(exact, mp.mpf(x), order, h=mp.mpf(10) ** -10)
            close(f(x), wanted, 1e-12)


def test_ends_of_the_domains_of_elliptic_integrals_and_spence():
    for name, ends in (
        ("ellipk", [1.0, 1.5, -np.inf, np.nan]),
        ("ellipe", [1.0, 1.5, np.nan]),
        ("spence", [0.0, -1.0, np.nan]),
    ):
        values = np.array(ends)
        np.testing.assert_array_equal(getattr(special, name)(values), getattr(reference, name)(values))
    np.testing.assert_array_equal(fad.grad(lambda m: special.ellipk(m).sum())(np.array([1.0, 1.5])), [np.inf, np.nan])
    assert fad.grad(lambda m: fnp.where(m < 1, special.ellipk(m), 0.0))(1.0) == 0.0


@pytest.mark.parametrize(("a", "b", "c"), [(0.3, 1.2, 2.5), (1.0, 1.0, 2.0), (-2.0, 0.7, 1.1)])
def test_hyp2f1(a, b, c):
    for z in (-20.0, -0.4, 0.0, 0.3, 0.9):
        with mp.workdps(50):
            close(special.hyp2f1(a, b, c, z), mp.hyp2f1(a, b, c, z), 1e-11)
        close(fad.grad(special.hyp2f1, 3)(a, b, c, z), derivative(lambda z: mp.hyp2f1(a, b, c, z), (z,)), 1e-11)
    assert np.isnan(special.hyp2f1(a, b, c, 1.5))
    check_grads(lambda z: special.hyp2f1(a, b, c, z), (np.array([-2.0, 0.1, 0.6]),), order=2)
    with pytest.raises(NonDifferentiableError, match="hyp2f1 has a derivative by its argument z only"):
        fad.grad(special.hyp2f1)(a, b, c, 0.5)


def test_loggamma_of_complex_values():
    for z in (1.2 + 0.3j, -2.5 + 0.7j, -2.5 - 0.7j, 30.0 + 40.0j):
        with mp.workdps(50):
            value, slope = complex(mp.loggamma(z)), complex(mp.digamma(z))
        assert special.loggamma(z) == pytest.approx(value, rel=1e-13)
        assert fad.grad(special.loggamma, holomorphic=True)(z) == pytest.approx(slope, rel=1e-12)
    assert special.loggamma(np.complex64(1 + 2j)).dtype == np.complex64
    assert np.isnan(special.loggamma(-0.5))
    assert fad.jit(special.loggamma)(1.0 + 2.0j) == special.loggamma(1.0 + 2.0j)
    with pytest.raises(NonDifferentiableError, match="loggamma of them has a first derivative only"):
        fad.grad(fad.grad(special.loggamma, holomorphic=True), holomorphic=True)(1.0 + 2.0j)


def test_riemanns_zeta_below_one():
    # SciPy's from one argument, which continues the sum; of two arguments it is the sum itself, and NaN where that diverges.
    s = np.array([-20.0, -3.3, -2.0, 0.5, 1.0, 2.5])
    np.testing.assert_array_equal(special.zeta(s), reference.zeta(s))
    assert np.isnan(special.zeta(0.5, 1.0))
    assert special.zeta(np.float32(0.5)).dtype == np.float32
    for point in (-5.5, -0.5, 0.5):
        with mp.workdps(40):
            close(fad.grad(fad.grad(special.zeta))(point), mp.zeta(mp.mpf(point), 1, 2), 1e-11)
    np.testing.assert_allclose(
        fad.jit(fad.grad(lambda s: special.zeta(s).sum()))(s[:4]),
        [fad.grad(special.zeta)(x) for x in s[:4]],
        rtol=1e-12,
    )


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_integer_orders(n):
    for x in (0.3, 1.7, 9.0):
        with mp.workdps(50):
            close(special.polygamma(n, x), mp.polygamma(n, x))
            close(special.expn(n, x), mp.expint(n, x))
        close(fad.grad(special.polygamma, argnums=1)(n, x), mp.polygamma(n + 1, x))
        close(fad.grad(special.expn, argnums=1)(n, x), derivative(lambda x: mp.expint(n, x), (x,)), 1e-11)
    assert float(special.polygamma(float(n), 2.0)) == float(special.polygamma(n, 2.0))


def test_zeta():
    for s, q in [(1.5, 0.3), (2.0, 1.0), (4.2, 5.0)]:
        close(special.zeta(s, q), mp.zeta(s, q))
        close(fad.grad(special.zeta, argnums=1)(s, q), derivative(lambda q, s=s: mp.zeta(s, q), (q,)), 1e-11)
    assert float(fad.jit(special.zeta)(2.0)) == pytest.approx(np.pi**2 / 6)


@pytest.mark.parametrize("s", [1.0001, 1.5, 2.0, 7.0, 40.0, 300.0])
@pytest.mark.parametrize("q", [0.01, 0.6, 1.0, 3.3, 80.0])
def test_derivatives_of_zeta_by_its_exponent(s, q):
    f = special.zeta
    for order in (1, 2, 3):
        f = fad.grad(f)
        with mp.workdps(40):
            wanted = mp.zeta(s, q, order)
        if 1e-290 < abs(wanted) < 1e300:  # where there are numbers of full precision
            close(f(s, q), wanted, 1e-11)
    with mp.workdps(40):
        mixed = (
            s * mp.nsum(lambda k: mp.log(k + q) * (k + q) ** (-s - 1), [0, mp.inf]) - mp.zeta(s + 1, q)
            if s == 7
            else None
        )
    if mixed is not None:
        close(fad.grad(fad.grad(special.zeta, 1), 0)(s, q), mixed, 1e-10)
        close(fad.grad(fad.grad(special.zeta, 0), 1)(s, q), mixed, 1e-10)


def test_zeta_where_its_sum_does_not_exist():
    for x, q in ((1.0, 1.0), (0.5, 1.0), (2.0, -0.5), (np.nan, 1.0), (2.0, np.nan)):
        assert not np.isfinite(float(fad.grad(special.zeta)(x, q)))
    check_grads(lambda x, q: fnp.sum(special.zeta(x, q)), (np.array([1.5, 3.0]), np.array([[0.7], [2.0]])), order=2)


def test_composites():
    close(special.multigammaln(3.2, 3), mp.log(mp.pi) * 1.5 + sum(mp.loggamma(mp.mpf(3.2) - j / 2) for j in range(3)))
    x = np.array([[1.0, 2.0, 400.0], [-3.0, 800.0, 801.0]])
    for axis in (None, 0, 1):
        np.testing.assert_allclose(special.softmax(x, axis), reference.softmax(x, axis), rtol=1e-12)
        np.testing.assert_allclose(special.log_softmax(x, axis), reference.log_softmax(x, axis), rtol=1e-12)
        np.testing.assert_allclose(special.logsumexp(x, axis), reference.logsumexp(x, axis), rtol=1e-12)
    check_grads(lambda x: special.softmax(x, -1), (x[:, :2] / 100,), order=2)
    assert special.gammasgn([-0.5, 0.5]).tolist() == [-1, 1]
    assert float(fad.grad(lambda x: special.gammasgn(x))(0.5)) == 0


def test_singular_points_follow_the_convention():
    """A zero cotangent stays zero where the slope is infinite, and 0 log 0 = 0 has derivative 0 in the second argument."""

    def masked(function):
        return fad.grad(lambda x: fnp.where(x > 0.0, function(x), 0.0))

    for name in ("entr", "logit", "erfcinv", "ndtri", "exp1", "y0"):
        assert float(masked(getattr(special, name))(0.0)) == 0, name
    assert float(fad.grad(special.xlogy, argnums=1)(0.0, 0.0)) == 0
    assert float(fad.grad(special.xlog1py, argnums=1)(0.0, -1.0)) == 0
    assert float(fad.grad(special.xlogy)(0.0, 2.0)) == pytest.approx(np.log(2))
    assert float(fad.grad(special.entr)(0.0)) == np.inf
    for name in ("i1", "i1e", "j1"):
        assert float(fad.grad(getattr(special, name))(0.0)) == 0.5
    for which in (0, 1):
        assert float(fad.grad(special.gammainc, argnums=which)(2.0, 0.0)) == 0
    assert [float(fad.grad(special.betainc, argnums=k)(2.0, 3.0, 0.0)) for k in range(3)] == [0, 0, 0]
    assert [float(fad.grad(special.betainc, argnums=k)(2.0, 3.0, 1.0)) for k in range(3)] == [0, 0, 0]
    assert float(fad.grad(special.gammainc)(2.0, np.inf)) == 0


def test_extreme_arguments():
    assert float(special.log_ndtr(-1e4)) == pytest.approx(-5e7, rel=1e-6)
    assert float(fad.grad(special.log_ndtr)(-1e4)) == pytest.approx(1e4, rel=1e-6)
    assert float(fad.grad(special.log_expit)(-1e4)) == 1
    assert float(fad.grad(special.log_expit)(1e4)) == 0
    assert float(fad.grad(special.expit)(-800.0)) == 0
    large = fad.grad(special.gammainc)(1e4, 1.01e4)
    with mp.workdps(40):
        close(large, derivative(lambda a: mp.gammainc(a, 0, 10100, regularized=True), (1e4,)), 1e-10)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtypes(dtype):
    x = fnp.asarray([0.3, 0.7]).astype(fnp.asarray(np.zeros(1)).dtype if dtype == "float64" else dtype)
    for name in ("erf", "gammaln", "expit", "ndtri", "i0e"):
        out = getattr(special, name)(x)
        assert out.dtype.name == dtype
        np.testing.assert_allclose(
            out.astype(float), getattr(reference, name)(np.asarray(x.astype(float))), rtol=2e-2, atol=1e-2
        )
        assert fad.grad(lambda x, name=name: getattr(special, name)(x).sum())(x).dtype.name == dtype
    assert special.gammainc(2.0, x).dtype.name == dtype
    assert fad.grad(lambda a: special.gammainc(a, 0.5).sum())(x).dtype.name == dtype
    assert special.erf(3).dtype == np.float64
    assert special.erf([1, 2]).dtype == np.float64


def test_errors():
    with pytest.raises(DTypeError, match=r"erf is for real arguments, got complex128"):
        special.erf(1j)
    with pytest.raises(ArgumentError, match=r"betaln\(a, b\) takes 2 arguments, got 1"):
        special.betaln(1.0)
    with pytest.raises(DTypeError, match="order n must be an integer, got float64"):
        special.polygamma(0.5, 1.0)
    with pytest.raises(DTypeError, match="order n must be an integer"):
        fad.jit(special.expn)(1.0, 1.0)
    with pytest.raises(ArgumentError, match="dimension d must be a positive int"):
        special.multigammaln(1.0, 0)


@pytest.mark.parametrize("name", [*UNARY, *PAIRS])
def test_batched_and_compiled(name):
    function, ours = (UNARY.get(name) or PAIRS[name])[1], getattr(special, name)
    args = (np.array(function),) if name in UNARY else tuple(np.array(c) for c in zip(*function, strict=True))
    eager = np.asarray(ours(*args))
    np.testing.assert_allclose(np.asarray(fad.vmap(ours)(*args)), eager, rtol=1e-12)
    np.testing.assert_allclose(np.asarray(fad.jit(ours)(*args)), eager, rtol=1e-11, atol=1e-15)
    slope = fad.grad(lambda *a: fnp.sum(ours(*a)))
    np.testing.assert_allclose(fad.jit(slope)(*args), slope(*args), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize(
    "function",
    [
        fnp.sinc,
        fnp.gradient,
        fnp.trapezoid,
        lambda x: fnp.angle(x, True),
        lambda x: special.multigammaln(x + 1.0, 2),
        fad.scipy.stats.norm.pdf,
        fad.scipy.stats.norm.logpdf,
    ],
)
def test_bfloat16_is_kept_without_jit_too(function):
    x = fnp.asarray([0.25, 0.5, 1.5], "bfloat16")
    alone, compiled = function(x), fad.jit(function)(x)
    assert alone.dtype == compiled.dtype == x.dtype
    exact = np.asarray(function(x.astype("float64")))
    for found in (alone, compiled):
        np.testing.assert_allclose(np.asarray(found).astype("float64"), exact, rtol=0.03, atol=1e-3)
