"""NaN, infinities, signed zeros, subnormals, extremes and ties: eager against NumPy, staged against eager, and zero cotangents that stay zero."""

import importlib
import pkgutil

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.primitives
from fad.core.avals import aval_of, bfloat16
from fad.core.primitive import REGISTRY, BinaryPrimitive, UnaryPrimitive
from fad.testing.numerical import describe_difference, rounding_tolerance
from fad.transforms.calling import call
from fad.transforms.staging import stage

for module in pkgutil.iter_modules(fad.primitives.__path__, "fad.primitives."):
    importlib.import_module(module.name)

UFUNCS = sorted(
    (p for p in REGISTRY.values() if isinstance(p.impl, str) and isinstance(getattr(np, p.impl), np.ufunc)),
    key=lambda p: p.name,
)


def arity(primitive):
    return getattr(np, primitive.impl).nin


def special(dtype):
    """Every kind of value of a dtype."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.array([0, 1, 2, 3, info.max, info.min, info.max - 1] + ([-1, -2] if dtype.kind == "i" else []), dtype)
    real = np.finfo(dtype)
    parts = np.array(
        [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan, real.max, real.tiny / 4, 1e-3], real.dtype
    )
    if dtype.kind == "f":
        return parts
    finite = parts[np.abs(parts) < 10]
    return (finite[:, None] + 1j * finite[None, :]).astype(dtype).ravel()


def arguments(primitive, dtype):
    """All values, or all pairs of them."""
    values = special(dtype)
    return [values] if arity(primitive) == 1 else [g.ravel() for g in np.meshgrid(values, values)]


def supported(primitive, dtype):
    try:
        getattr(np, primitive.impl).resolve_dtypes((np.dtype(dtype),) * arity(primitive) + (None,))
    except TypeError:
        return False
    return True


TRIALS = [
    (p, d) for p in UFUNCS for d in ("float64", "float32", "complex128", "int64", "uint8", "bool") if supported(p, d)
]
FLOATING = [(p, d) for p, d in TRIALS if d in ("float64", "float32")]


def named(trials):
    return [f"{p.name}-{d}" for p, d in trials]


@pytest.mark.parametrize(("primitive", "dtype"), TRIALS, ids=named(TRIALS))
def test_eager_is_numpy_and_staged_is_eager(primitive, dtype):
    args = arguments(primitive, dtype)
    if primitive.name in ("bitwise_left_shift", "bitwise_right_shift") or (
        primitive.name == "power" and dtype in ("int64",)
    ):
        args[1] = np.clip(args[1], 0, 7)  # NumPy refuses, or leaves undefined, what lies outside
    with np.errstate(all="ignore"):
        expected = getattr(np, primitive.impl)(*args)
        seen = primitive.bind(*args)
        program, _ = stage(lambda *xs: [primitive.bind(*xs)], [aval_of(a) for a in args], primitive.name)
        (staged,) = call(program, *args)
    assert describe_difference(seen, expected, 0, 0, ("fad's", "NumPy's"), True) is None
    tolerance = 4 * rounding_tolerance([expected.dtype])
    problem = describe_difference(staged, expected, tolerance, tolerance * 1e-3, ("staged", "NumPy's"), True)
    assert problem is None, f"{problem} for {args}"
    if (
        np.dtype(dtype).kind == "f"
        and expected.dtype.kind == "f"
        and primitive.name not in ("maximum", "minimum", "fmax", "fmin")
    ):
        zeros = expected == 0  # of two zeros NumPy may take either
        np.testing.assert_array_equal(np.signbit(staged[zeros]), np.signbit(expected[zeros]))


# SciPy loses the sign of erfinv(-0.0), and takes lgamma of subnormal numbers for infinite.
COMPOSED = [
    (p, d)
    for p in REGISTRY.values()
    for d in ("float64", "float32")
    if isinstance(p, UnaryPrimitive | BinaryPrimitive)
    and p.kernel is not None
    and p not in UFUNCS
    and p.name != "erfinv"
]


@pytest.mark.parametrize(("primitive", "dtype"), COMPOSED, ids=named(COMPOSED))
def test_other_functions_are_staged_as_they_are_eager(primitive, dtype):
    values = special(dtype)
    if primitive.name == "lgamma":
        values = values[~((values > 0) & (values < np.finfo(dtype).tiny))]
    args = [values] if isinstance(primitive, UnaryPrimitive) else [g.ravel() for g in np.meshgrid(values, values)]
    with np.errstate(all="ignore"):
        expected = primitive.bind(*args)
        program, _ = stage(lambda *xs: [primitive.bind(*xs)], [aval_of(a) for a in args], primitive.name)
        (staged,) = call(program, *args)
    tolerance = 4 * rounding_tolerance([expected.dtype])
    problem = describe_difference(staged, expected, tolerance, tolerance * 1e-3, ("staged", "eager"), True)
    assert problem is None, f"{problem} for {args}"
    zeros = expected == 0
    np.testing.assert_array_equal(staged[zeros], expected[zeros])
    np.testing.assert_array_equal(np.signbit(staged[zeros]), np.signbit(expected[zeros]))


DIFFERENTIABLE = [(p, d) for p, d in FLOATING if p.jvp is not None and p.vjp is not None]


@pytest.mark.parametrize(("primitive", "dtype"), DIFFERENTIABLE, ids=named(DIFFERENTIABLE))
def test_zero_stays_zero_at_finite_arguments(primitive, dtype):
    args = arguments(primitive, dtype)
    with np.errstate(all="ignore"):
        finite = np.all([np.isfinite(a) & (np.abs(a) < 1e30) for a in args], axis=0)
        args = [a[finite] for a in args]
        out, pullback = fad.vjp(lambda *xs: fad.core.array.wrap(primitive.bind(*xs)), *args)
        for k, cotangent in enumerate(pullback(np.zeros(out.shape, out.dtype))):
            wrong = ~(np.asarray(cotangent) == 0)
            assert not wrong.any(), f"argument {k}: {np.asarray(cotangent)[wrong]} at {[a[wrong] for a in args]}"
        _, tangent = fad.jvp(
            lambda *xs: fad.core.array.wrap(primitive.bind(*xs)), tuple(args), tuple(np.zeros_like(a) for a in args)
        )
    wrong = ~(np.asarray(tangent) == 0)
    assert not wrong.any(), f"{np.asarray(tangent)[wrong]} at {[a[wrong] for a in args]}"


X = np.array([4.0, 0.0, -1.0, 9.0])
GUARDED = {
    "sqrt": lambda x: fnp.where(x > 0, fnp.sqrt(fnp.where(x > 0, x, 0.0)), 0.0),
    "sqrt without a guard inside": lambda x: fnp.where(x > 0, fnp.sqrt(fnp.abs(x)), 0.0),
    "log": lambda x: fnp.where(x > 0, fnp.log(fnp.abs(x)), 0.0),
    "division": lambda x: fnp.where(x > 0, 1 / x, 0.0),
    "power": lambda x: fnp.where(x > 0, fnp.abs(x) ** 0.3, 0.0),
    "arctan2": lambda x: fnp.where(x > 0, fnp.arctan2(x, x), 0.0),
    "norm": lambda x: fnp.where(x > 0, fnp.linalg.norm(x[:, None] * np.zeros(2), axis=1), 0.0),
}


@pytest.mark.parametrize("way", ["eager", "jit", "forward", "vmap"])
@pytest.mark.parametrize("name", GUARDED)
def test_the_branch_not_taken_gives_no_nan(name, way):
    def total(x):
        return GUARDED[name](x).sum()

    with np.errstate(all="ignore"):
        gradient = {
            "eager": lambda: fad.grad(total)(X),
            "jit": lambda: fad.jit(fad.grad(total))(X),
            "forward": lambda: fad.jacfwd(total)(X),
            "vmap": lambda: fad.vmap(fad.grad(total))(X[None])[0],
        }[way]()
        assert np.isfinite(np.asarray(gradient)).all()
        np.testing.assert_array_equal(gradient[1:3], [0.0, 0.0])


def test_the_strict_switch_restores_ieee():
    def f(x):
        return fnp.where(x > 0, fnp.sqrt(x), 0.0)

    assert float(fad.grad(f)(0.0)) == 0.0
    with fad.config.using(strict_derivatives=True), np.errstate(all="ignore"):
        assert np.isnan(float(fad.grad(f)(0.0)))
        assert np.isnan(float(fad.jit(fad.grad(f))(0.0)))
    assert float(fad.jit(fad.grad(f))(0.0)) == 0.0


CONVENTIONS = {
    "abs at 0": (fnp.abs, 0.0, 0.0),
    "norm at 0": (lambda x: fnp.linalg.norm(x * np.ones(3)), 0.0, 0.0),
    "prod with one zero": (lambda x: (x * np.array([0.0, 2.0, 3.0]) + np.array([1.0, 0.0, 0.0]) * x).prod(), 0.0, 0.0),
    "sinc at 0": (fnp.sinc, 0.0, 0.0),
    "hypot at 0": (lambda x: fnp.hypot(x, 0.0), 0.0, 0.0),
    "square at 0": (lambda x: x**2, 0.0, 0.0),
    "power 1 at 0": (lambda x: x**1.0, 0.0, 1.0),
}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_conventions_at_singular_points(name):
    f, x, slope = CONVENTIONS[name]
    with np.errstate(all="ignore"):
        assert float(fad.grad(f)(x)) == slope
        assert float(fad.jvp(f, (x,), (1.0,))[1]) == slope
        assert float(fad.jit(fad.grad(f))(x)) == slope


def test_prod_with_zeros():
    for x, expected in (([2.0, 0.0, 3.0], [0.0, 6.0, 0.0]), ([0.0, 0.0, 3.0], [0.0, 0.0, 0.0]), ([0.0], [1.0])):
        np.testing.assert_array_equal(fad.grad(fnp.prod)(np.array(x)), expected)
    np.testing.assert_array_equal(fad.hessian(fnp.prod)(np.array([0.0, 0.0, 3.0])), [[0, 3, 0], [3, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("function", ["max", "min", "amax", "amin"])
def test_ties_share_the_cotangent(function):
    x = np.array([2.0, 5.0, 5.0, 2.0])
    gradient = np.asarray(fad.grad(getattr(fnp, function))(x))
    assert gradient.sum() == 1.0
    assert np.isfinite(gradient).all()
    assert set(gradient[x != getattr(np, function)(x)]) == {0.0}


def test_ties_between_two_arguments_are_shared():
    for f in (fnp.maximum, fnp.minimum):
        a, b = fad.grad(lambda x, y, f=f: f(x, y), argnums=(0, 1))(3.0, 3.0)
        assert float(a) + float(b) == 1.0


def test_symmetric_matrices_with_equal_eigenvalues():
    gradient = fad.grad(lambda a: (fnp.linalg.eigvalsh(a) ** 2).sum())(2 * np.eye(3))
    np.testing.assert_allclose(gradient, 4 * np.eye(3), atol=1e-12)
    gradient = fad.grad(lambda a: fnp.linalg.svdvals(a).sum())(np.eye(3))
    np.testing.assert_allclose(gradient, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("zero_first", [False, True])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_large_selections_beside_zero_are_exact(dtype, zero_first, zero):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 99)).astype(dtype)
    x[::7, 0], x[::5, 1], x[3] = np.nan, -np.inf, -0.0
    for mask, values in ((rng.random(x.shape) < 0.5, x), (rng.random(x.shape[::-1]).T < 0.5, x[:, ::-1])):
        choices = (dtype(zero), values) if zero_first else (values, dtype(zero))
        found, expected = np.asarray(fnp.where(mask, *choices)), np.where(mask, *choices)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_a_tie_beside_a_nan_is_still_shared():
    x = np.array([[np.nan, 1.0], [2.0, 2.0]])  # as many winners as rows
    np.testing.assert_array_equal(fad.grad(lambda x: fnp.max(x, axis=1).sum())(x), [[0.0, 0.0], [0.5, 0.5]])
    y = np.array([[np.nan, 1.0], [1.0, 2.0]])
    expected = [[0.0, 0.5], [1.0, 0.5]]
    np.testing.assert_array_equal(
        fad.grad(lambda x: fnp.maximum(x, y).sum())(np.array([[3.0, 1.0], [2.0, 2.0]])), expected
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("place", [(0, 0), (4, 7), (30, 63)])
def test_a_single_tie_with_a_number_is_found_wherever_it_is(place, zero, order):
    x = np.random.default_rng(0).normal(size=(31, 64)).astype(np.float32, order=order)
    x[place] = zero
    expected = np.where(x == 0.0, 0.5, x > 0.0)
    np.testing.assert_array_equal(fad.grad(lambda x: fnp.maximum(x, 0.0).sum())(x), expected)
    np.testing.assert_array_equal(fad.grad(lambda x: fnp.minimum(0.0, x).sum())(x), 1.0 - expected)


@pytest.mark.parametrize("axis", [(2,), (1, 2), (2, 1), (0, 2), (1,), (1, 0, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_extremes_along_axes_in_any_order(axis, order):
    shape = (3, 4, 5) if 3 not in axis else (2, 3, 4, 5)
    x = np.random.default_rng(0).permutation(float(np.prod(shape)) * np.linspace(-1, 1, np.prod(shape))).reshape(shape)
    x = np.asarray(x, order=order)
    weight = np.random.default_rng(1).normal(size=np.max(x, axis).shape)
    gradient = fad.grad(lambda x: (fnp.max(x, axis) * weight).sum())(x)
    np.testing.assert_array_equal(
        gradient, (x == np.max(x, axis, keepdims=True)) * np.expand_dims(weight, tuple(sorted(axis)))
    )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", bfloat16])
@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
@pytest.mark.parametrize("tied", [False, True])
def test_the_extreme_argument_takes_the_cotangent_and_ties_halve_it(name, dtype, tied):
    # Without ties the slope is an array of booleans, with ties one of numbers; every transform sees the same derivative.
    x = np.array([1.0, -2.0, 0.0 if tied else 3.0, 4.0]).astype(dtype)
    y, weight = np.array([0.0, 0.0, 0.0, 5.0]).astype(dtype), np.array([1.0, -2.0, 8.0, 0.5]).astype(dtype)
    higher = x > y if name in ("maximum", "fmax") else x < y
    share = np.where(x == y, 0.5, higher).astype(np.float64)
    function = getattr(fnp, name)

    def weighted(x, y):
        return (function(x, y) * weight).sum()

    wanted = share * weight.astype(np.float64), (1 - share) * weight.astype(np.float64)
    for gradient in (
        fad.grad(weighted, (0, 1)),
        fad.jit(fad.grad(weighted, (0, 1))),
        fad.jacfwd(weighted, (0, 1)),
        lambda x, y: [g[0] for g in fad.vmap(fad.grad(weighted, (0, 1)))(x[None], y[None])],
    ):
        for found, expected in zip(gradient(x, y), wanted, strict=True):
            assert found.dtype == dtype
            np.testing.assert_array_equal(np.asarray(found, np.float64), expected)
    curvature = fad.hessian(lambda x: (function(x, y) ** 3).sum())(x)
    np.testing.assert_allclose(
        np.diag(np.asarray(curvature, np.float64)), 6 * share**2 * np.asarray(function(x, y), np.float64), rtol=1e-2
    )
