"""First and second derivatives of the composites, in both modes, against differences."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.testing import check_grads

RNG = np.random.default_rng(3)
V = RNG.normal(size=5)
P = np.sort(RNG.uniform(0.5, 3, 5))
M = RNG.normal(size=(3, 4))
T = RNG.normal(size=(2, 3, 2))
Q = np.array([0.7, 1.9, 2.2])

FUNCTIONS = [
    (lambda a, b: fnp.linspace(a, b, 4, axis=-1), (V[:2], V[2:4])),
    (lambda a, b: fnp.geomspace(a, b, 4), (0.5, 3.0)),
    (lambda a, b, c: fnp.logspace(a, b, 3, base=c), (0.5, 1.0, 2.0)),
    (lambda a: fnp.full((2, 3), a), (V[:3],)),
    (lambda a, b: fnp.kron(a, b), (M, V[:2])),
    (lambda a: fnp.vander(a, 4), (V,)),
    (lambda a: fnp.diag(a, -1) @ fnp.ones(6), (V,)),
    (lambda a: fnp.diagonal(a, 1, 2, 1), (T,)),
    (lambda a: fnp.trace(a) * fnp.tril(a).sum(), (M,)),
    (lambda a: fnp.pad(a, 2, mode="reflect", reflect_type="odd") ** 2, (V,)),
    (lambda a, b: fnp.pad(a, (1, 2), mode="linear_ramp", end_values=b) ** 2, (V, 0.3)),
    (lambda a, b: fnp.pad(a, 1, constant_values=b) ** 2, (V, 0.3)),
    (lambda a: fnp.pad(a, 1, mode="mean") * fnp.pad(a, 1, mode="maximum"), (V,)),
    (lambda a: fnp.roll(a, (1, 2), (0, 1)) * a, (M,)),
    (lambda a: fnp.resize(a, 7) ** 3, (V,)),
    (lambda a, b: fnp.insert(a, [1, 3], b) ** 2, (V, V[:2])),
    (lambda a: fnp.block([[fnp.sin(a), a], [a, a**2]]), (M,)),
    (lambda a: fnp.sinc(a), (np.array([0.0, 0.01, 0.5, -1.3]),)),
    (lambda a: fnp.angle(a + 1j * a**2), (P,)),
    (lambda a: fnp.select([a < 1, a < 2], [a**2, fnp.sin(a)], a**3), (P,)),
    (lambda a: fnp.piecewise(a, [a < 1.5], [fnp.cos, lambda v: v**3]), (P,)),
    (lambda a: fnp.clip(a, -0.5, 0.9) * a, (V,)),
    (lambda a, x: fnp.gradient(a, x, edge_order=2) ** 2, (V, P)),
    (lambda a, x: fnp.trapezoid(a**2, x), (V, P)),
    (lambda x, xp, f: fnp.interp(x, xp, f) ** 2, (Q, P, V)),
    (lambda a, b: fnp.convolve(a, b, "same"), (V, Q)),
    (lambda a, b: fnp.correlate(a, b, "full"), (Q, V)),
    (lambda p, x: fnp.polyval(p, x), (V, Q)),
    (lambda a, b: fnp.polydiv(a, b)[0], (V, P[:2])),
    (lambda r: fnp.poly(r), (V[:3],)),
    (lambda x, y: fnp.polyfit(x, y, 2), (P, V)),
    (lambda y, w: fnp.polyfit(P, y, 1, w=w), (V, P)),
    (lambda a, w: fnp.average(a, 1, weights=w), (M, P[:4])),
    (lambda a, w: fnp.cov(a, aweights=w), (M, P[:4])),
    (lambda a: fnp.corrcoef(a), (M,)),
    (lambda a, q: fnp.quantile(a, q, axis=1), (M, np.array([0.2, 0.55]))),
    (lambda a: fnp.median(a, axis=0) ** 2, (M,)),
    (lambda a: fnp.nanmedian(fnp.where(a > 0, a, fnp.nan), axis=1) ** 2, (M,)),
    (lambda a: fnp.apply_along_axis(lambda v: v[0] * v, 0, a), (M,)),
    (lambda a: fnp.sliding_window_view(a, (2, 2)).max(axis=(2, 3)) ** 2, (M,)),
    (lambda a, b: fnp.vectorize(lambda x, y: x * fnp.sin(y))(a, b), (M, V[:4])),
    (lambda b: fnp.kaiser(5, b), (2.5,)),
    (lambda a: fnp.hypot.reduce(a, 1), (M,)),
    (lambda a: fnp.logaddexp.accumulate(a), (V,)),
    (lambda a: fnp.divide.reduce(a), (P,)),
    (lambda a: fnp.unwrap(fnp.cumsum(3 * a)) ** 2, (V,)),
    (lambda a: a**3 + a**-2 + a**0.5 + 2.0**a + a**a, (P,)),
    (lambda a: fnp.frexp(a)[0] * a + fnp.modf(a)[0] ** 2, (P,)),
    (lambda a: fnp.emath.sqrt(a) + fnp.real_if_close(fnp.emath.log(-a)).imag, (P,)),
]


@pytest.mark.parametrize(("function", "args"), FUNCTIONS)
def test_derivatives(function, args):
    check_grads(function, args, order=2)


def test_sinc_has_all_its_derivatives_at_zero():
    derivative, values = fnp.sinc, []
    for _ in range(5):
        values.append(float(derivative(0.0)))
        derivative = fad.grad(derivative)
    np.testing.assert_allclose(values, [1, 0, -(np.pi**2) / 3, 0, np.pi**4 / 5], atol=1e-12)


def test_interpolation_beyond_its_ends_is_constant():
    f = lambda x: fnp.interp(x, P, V)  # noqa: E731
    assert fad.grad(f)(P[0] - 1) == 0
    assert fad.grad(f)(P[-1] + 1) == 0
    np.testing.assert_array_equal(fad.grad(lambda v: fnp.interp(P[0] - 1, P, v))(V), [1, 0, 0, 0, 0])


SLOPES_BESIDE_INTEGERS = {
    "arctan2": fnp.arctan2,
    "xlogy": fad.scipy.special.xlogy,
    "xlog1py": fad.scipy.special.xlog1py,
    "rel_entr": fad.scipy.special.rel_entr,
    "zeta": fad.scipy.special.zeta,
    "hypot": fnp.hypot,
    "power": fnp.power,
    "multiply": fnp.multiply,
    "divide": fnp.divide,
    "logaddexp": fnp.logaddexp,
    "maximum": fnp.maximum,
}


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "uint64", "int64"])
@pytest.mark.parametrize("name", SLOPES_BESIDE_INTEGERS)
def test_slopes_read_integers_as_reals(name, dtype):
    """Minus an unsigned integer and the square of a narrow one wrap round."""
    f, whole = SLOPES_BESIDE_INTEGERS[name], np.array([1, 100, 3]).astype(dtype)
    x = np.array([1.3, 1.7, 2.5])
    for g in (lambda x, k: fnp.sum(f(k, x)), lambda x, k: fnp.sum(f(x, k))):
        expected = fad.grad(g)(x, whole.astype("float64"))
        for found in (fad.grad(g)(x, whole), fad.jit(fad.grad(g))(x, whole), fad.jacfwd(g)(x, whole)):
            np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_rounding_and_steps_have_derivative_zero():
    for f in (
        fnp.round,
        fnp.fix,
        fnp.floor,
        fnp.ceil,
        fnp.rint,
        fnp.trunc,
        fnp.sign,
        lambda x: fnp.round(x, 2),
        lambda x: x // 0.3,
    ):
        assert fad.grad(lambda x, f=f: f(x) + 2 * x)(0.7) == 2
        assert fad.jvp(f, (0.7,), (1.0,))[1] == 0
