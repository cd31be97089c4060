"""Reductions and cumulative functions: values against NumPy, derivatives against differences, every option and every dtype."""

import warnings

import ml_dtypes
import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, ImmutableArrayError, ShapeError
from fad.testing import check_grads

SUMS = ["sum", "prod", "mean", "var", "std"]
EXTREMES = ["max", "min", "amax", "amin", "ptp"]
LOGIC = ["any", "all", "count_nonzero"]
NAN_REDUCTIONS = ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"]
RUNNING = ["cumsum", "cumprod", "nancumsum", "nancumprod"]
DTYPES = ["float64", "float32", "int64", "int8", "uint8", "bool", "complex128", "complex64"]
AXES = [None, 0, -1, (0, 2), (), (1, 0, 2)]
MASK = np.array([[True, False], [True, True], [True, True], [False, True]])


def sample(dtype, shape=(3, 4, 2), seed=0):
    generator = np.random.default_rng(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return generator.random(shape) < 0.5
    if kind in "iu":
        return generator.integers(0 if kind == "u" else -5, 6, shape).astype(dtype)
    values = generator.normal(size=shape)
    return (values + 1j * generator.normal(size=shape) if kind == "c" else values).astype(dtype)


def numpys(name, *args, **options):
    """NumPy's result, without its warnings about slices that hold no number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return getattr(np, name)(*args, **options)


def assert_same(found, expected):
    """Equal values, shape and dtype."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    single = expected.dtype in (np.float32, np.complex64)
    np.testing.assert_allclose(found, expected, rtol=1e-5 if single else 1e-12, atol=1e-5 if single else 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SUMS + EXTREMES + LOGIC)
def test_values_are_numpys(name, dtype):
    if name == "ptp" and dtype == "bool":
        pytest.skip("NumPy's ptp subtracts, which booleans do not")
    x = sample(dtype)
    for axis in AXES:
        for keepdims in (False, True):
            expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
            assert_same(getattr(fnp, name)(x, axis=axis, keepdims=keepdims), expected)


@pytest.mark.parametrize("name", [*SUMS, "any", "all"])
@pytest.mark.parametrize("dtype", ["float64", "int64", "complex128"])
def test_where_is_numpys(name, dtype):
    x = sample(dtype)
    for axis in (None, 1, (0, 1)):
        assert_same(getattr(fnp, name)(x, axis=axis, where=MASK), getattr(np, name)(x, axis=axis, where=MASK))


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_initial_is_numpys(name):
    x = sample("float64")
    for options in ({"initial": 0.5}, {"initial": 0.5, "where": MASK}, {"initial": 0.5, "keepdims": True, "axis": 1}):
        assert_same(getattr(fnp, name)(x, **options), getattr(np, name)(x, **options))
    empty = np.zeros((0, 3))
    assert_same(getattr(fnp, name)(empty, axis=0, initial=2.0), getattr(np, name)(empty, axis=0, initial=2.0))


def test_dtype_of_sums():
    x = sample("int8")
    assert_same(fnp.sum(x, dtype="float32"), np.sum(x, dtype="float32"))
    assert_same(fnp.prod(x, dtype=np.int16), np.prod(x, dtype=np.int16))
    assert_same(fnp.mean(x, dtype="float32"), np.mean(x, dtype="float32"))
    assert fnp.sum(np.ones(3, np.float16)).dtype == np.float16
    assert fnp.mean(np.full(5000, 30.0, np.float16)) == 30.0  # computed in float32: a sum in float16 would overflow


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_sums_in_half_precision_are_rounded_once_with_and_without_jit(dtype):
    x = np.ones((4800, 3), dtype)  # NumPy's sum along the first axis stays at 2048 in float16
    expected = np.full(3, 4800.0).astype(dtype)
    for found in (fnp.sum(x, axis=0), fad.jit(lambda x: fnp.sum(x, axis=0))(x)):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)
    gradient = fad.grad(lambda w: fnp.sum((w * x).astype(np.float32)))(
        np.ones(3, dtype)
    )  # broadcast, so summed backward
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize(
    "options", [{"ddof": 1}, {"correction": 1}, {"ddof": 1, "where": MASK}, {"axis": 1, "ddof": 2}]
)
def test_variance_options(options):
    x = sample("float64")
    assert_same(fnp.var(x, **options), np.var(x, **options))
    assert_same(fnp.std(x, **options), np.std(x, **options))
    center = np.mean(x, axis=0, keepdims=True)
    assert_same(fnp.var(x, axis=0, mean=center), np.var(x, axis=0, mean=center))


@pytest.mark.parametrize("name", ["argmax", "argmin", "nanargmax", "nanargmin"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_positions_are_numpys(name, dtype):
    x = sample(dtype)
    if np.dtype(dtype).kind == "f" and not name.startswith("nan"):
        x[1, 2, 0] = np.nan
    for axis in (None, 0, 1, -1):
        for keepdims in (False, True):
            expected = getattr(np, name)(x, axis=axis, keepdims=keepdims)
            assert_same(getattr(fnp, name)(x, axis=axis, keepdims=keepdims), expected)


@pytest.mark.parametrize("name", NAN_REDUCTIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "complex128"])
def test_nan_reductions_are_numpys(name, dtype):
    x = sample(dtype)
    if np.dtype(dtype).kind in "fc":
        x[0, 1, 0] = x[2, :, 1] = np.nan
        x[0, 0, 1] = np.inf if name in ("nanmax", "nanmin") else x[0, 0, 1]
    for axis in (None, 0, 2, (0, 1)):
        for keepdims in (False, True):
            expected = numpys(name, x, axis=axis, keepdims=keepdims)
            assert_same(getattr(fnp, name)(x, axis=axis, keepdims=keepdims), expected)
    mask = np.arange(4)[:, None] > 0
    if name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd"):
        assert_same(getattr(fnp, name)(x, axis=1, where=mask), numpys(name, x, axis=1, where=mask))
    elif dtype == "float64":
        options = {"axis": 1, "where": mask, "initial": 0.0}
        assert_same(getattr(fnp, name)(x, **options), numpys(name, x, **options))


def test_slices_of_nothing_but_nan():
    x = np.array([[np.nan, np.nan], [1.0, np.nan]])
    assert_same(fnp.nanmax(x, axis=1), [np.nan, 1.0])
    assert_same(fnp.nanmean(x, axis=1), [np.nan, 1.0])
    assert_same(fnp.nanvar(x, axis=1, ddof=1), [np.nan, np.nan])
    np.testing.assert_array_equal(fad.grad(lambda x: fnp.nansum(fnp.nanmax(x, axis=1)))(x), [[0, 0], [1, 0]])
    with pytest.raises(ArgumentError, match="nothing but NaN"):
        fnp.nanargmax(x, axis=1)


@pytest.mark.parametrize("name", RUNNING)
@pytest.mark.parametrize("dtype", DTYPES)
def test_running_functions_are_numpys(name, dtype):
    x = sample(dtype)
    if np.dtype(dtype).kind == "f" and name.startswith("nan"):
        x[1, 2, 0] = np.nan
    for axis in (None, 0, 1, -1):
        assert_same(getattr(fnp, name)(x, axis=axis), getattr(np, name)(x, axis=axis))
    assert_same(getattr(fnp, name)(x, 1, dtype="complex128"), getattr(np, name)(x, 1, dtype="complex128"))


def test_array_api_running_functions():
    x = sample("float64")
    for name in ("cumulative_sum", "cumulative_prod"):
        for include in (False, True):
            options = {"axis": 1, "include_initial": include}
            assert_same(getattr(fnp, name)(x, **options), getattr(np, name)(x, **options))
        assert_same(getattr(fnp, name)(x[0, 0]), getattr(np, name)(x[0, 0]))
        with pytest.raises(ArgumentError, match="needs axis="):
            getattr(fnp, name)(x)


def test_running_extremes():
    x = sample("float64", (4, 5))
    assert_same(fnp.cummax(x, axis=1), np.maximum.accumulate(x, axis=1))
    assert_same(fnp.cummin(x, axis=0), np.minimum.accumulate(x, axis=0))
    assert_same(fnp.cummax(x, axis=1, reverse=True), np.maximum.accumulate(x[:, ::-1], axis=1)[:, ::-1])
    assert_same(fnp.cumlogsumexp(x, axis=1), np.logaddexp.accumulate(x, axis=1))
    assert_same(fnp.cumlogsumexp([1000.0, 1000.0]), [1000.0, 1000.0 + np.log(2.0)])


REAL = {
    **{name: (lambda x, name=name: getattr(fnp, name)(x, axis=1)) for name in SUMS},
    "max": lambda x: fnp.max(x, axis=(0, 2)),
    "min": lambda x: fnp.min(x, axis=1, keepdims=True),
    "ptp": lambda x: fnp.ptp(x, axis=0),
    "max_initial": lambda x: fnp.max(x, axis=1, initial=0.3, where=MASK),
    "sum_where": lambda x: fnp.sum(x**2, where=MASK, initial=1.0),
    "var_where": lambda x: fnp.var(x, axis=1, ddof=1, where=MASK),
    "std_all": lambda x: fnp.std(x, keepdims=True),
    "nanmean": lambda x: fnp.nanmean(x, axis=0),
    "nanstd": lambda x: fnp.nanstd(x, axis=(0, 1)),
    "nanmax": lambda x: fnp.nanmax(x, axis=1),
    "logsumexp": lambda x: fnp.logsumexp(x, axis=1),
    "logsumexp_weights": lambda x: fnp.logsumexp(x, axis=(0, 1), b=np.array([0.5, 2.0])),
    "cumsum": lambda x: fnp.cumsum(x, axis=1),
    "cumprod": lambda x: fnp.cumprod(x, axis=1),
    "nancumprod": lambda x: fnp.nancumprod(x),
    "cummax": lambda x: fnp.cummax(x, axis=1),
    "cummin": lambda x: fnp.cummin(x, axis=0, reverse=True),
    "cumlogsumexp": lambda x: fnp.cumlogsumexp(x, axis=1, reverse=True),
    "cumulative_sum": lambda x: fnp.cumulative_sum(x, axis=1, include_initial=True),
}


@pytest.mark.parametrize("name", REAL)
def test_derivatives(name):
    check_grads(REAL[name], (sample("float64"),), order=2)


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "cumsum", "cumprod", "logsumexp"])
def test_complex_derivatives(name):
    function = REAL[name]
    check_grads(function, (sample("complex128", (2, 3, 2)),) if name != "sum" else (sample("complex128"),), order=1)


@pytest.mark.parametrize("name", REAL)
def test_jit_and_vmap_agree(name):
    function, x = REAL[name], sample("float64", (5, 3, 4, 2))
    np.testing.assert_allclose(fad.jit(function)(x[0]), function(x[0]), rtol=1e-12)
    np.testing.assert_allclose(fad.vmap(function)(x), np.stack([function(row) for row in x]), rtol=1e-12)
    total = lambda x: fnp.sum(function(x) * 1.3)  # noqa: E731
    each = np.stack([fad.grad(total)(row) for row in x])
    np.testing.assert_allclose(fad.vmap(fad.jit(fad.grad(total)))(x), each, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("zeros", [[], [1], [1, 3], [0, 1, 2, 3, 4]])
def test_products_with_zeros_to_third_order(zeros):
    x = np.array([1.5, -0.5, 2.0, 0.7, -1.1])
    x[zeros] = 0.0
    others = [np.prod(np.delete(x, i)) for i in range(5)]
    np.testing.assert_allclose(fad.grad(fnp.prod)(x), others, rtol=1e-14)
    pairs = [[np.prod(np.delete(x, [i, j])) if i != j else 0.0 for j in range(5)] for i in range(5)]
    np.testing.assert_allclose(fad.hessian(fnp.prod)(x), pairs, rtol=1e-14, atol=1e-15)
    check_grads(fnp.prod, (x,), order=3)
    check_grads(fnp.cumprod, (x,), order=3)


def test_ties_share_the_cotangent():
    x = np.array([[1.0, 4.0, 4.0], [2.0, 2.0, 2.0]])
    np.testing.assert_allclose(fad.grad(lambda x: fnp.sum(fnp.max(x, axis=1)))(x), [[0, 0.5, 0.5], [1 / 3] * 3])
    np.testing.assert_allclose(fad.grad(lambda x: fnp.cummax(x)[-1])(x[0]), [0, 0.5, 0.5])
    np.testing.assert_allclose(fad.jvp(fnp.min, (x[1],), (np.array([1.0, 2.0, 6.0]),))[1], 3.0)
    # Every running maximum shares among those that tie so far.
    jacobian = fad.jacobian(fnp.cummax)(np.array([1.0, 1.0, 0.5, 1.0, 2.0]))
    third = 1 / 3
    expected = [[1, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [0.5, 0.5, 0, 0, 0], [third, third, 0, third, 0], [0, 0, 0, 0, 1]]
    np.testing.assert_allclose(jacobian, expected)


def test_singular_points_are_finite():
    flat = np.full(4, 2.0)
    np.testing.assert_array_equal(fad.grad(fnp.std)(flat), np.zeros(4))
    with_nan = np.array([1.0, np.nan])
    np.testing.assert_array_equal(fad.grad(fnp.max)(with_nan), np.zeros(2))
    assert np.isnan(fnp.max(with_nan))


def test_logsumexp_at_infinity():
    nothing = np.array([-np.inf, -np.inf])
    assert fnp.logsumexp(nothing) == -np.inf
    np.testing.assert_array_equal(fad.grad(fnp.logsumexp)(nothing), np.zeros(2))
    partly = np.array([-np.inf, 1.0, 1.0])
    np.testing.assert_allclose(fad.grad(fnp.logsumexp)(partly), [0.0, 0.5, 0.5])
    np.testing.assert_allclose(fad.hessian(fnp.logsumexp)(partly), [[0, 0, 0], [0, 0.25, -0.25], [0, -0.25, 0.25]])
    assert fnp.logsumexp(np.array([np.inf, 1.0])) == np.inf
    assert fnp.logsumexp(np.zeros((0,))) == -np.inf
    np.testing.assert_allclose(fnp.logsumexp([-2000.0, -2000.0]), -2000.0 + np.log(2.0))
    jacobian = fad.jacobian(fnp.cumlogsumexp)(np.array([-np.inf, 0.0, 0.0]))
    np.testing.assert_allclose(jacobian, [[0, 0, 0], [0, 1, 0], [0, 0.5, 0.5]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logsumexp_of_a_row_that_nobody_asks_for_stays_zero(value):
    x = np.array([[1.0, value, 2.0], [0.0, 1.0, 3.0]])

    def f(x):
        return fnp.sum(fnp.logsumexp(x, axis=1) * np.array([0.0, 1.0]))

    def along(x, direction):
        return fad.jvp(lambda x: fnp.logsumexp(x, axis=1), (x,), (direction,))[1]

    with np.errstate(invalid="ignore"):
        slopes = fad.grad(f)(x)
        np.testing.assert_array_equal(slopes[0, [0, 2]], 0.0)
        np.testing.assert_allclose(slopes[1], np.exp(x[1]) / np.sum(np.exp(x[1])), rtol=1e-15)
        for derivative in (fad.grad(f), fad.grad(lambda x: fnp.sum(fnp.sin(fad.grad(f)(x)))), fad.hessian(f)):
            np.testing.assert_allclose(derivative(x), fad.jit(derivative)(x), rtol=1e-14)
        for direction in (np.zeros((2, 3)), np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])):
            np.testing.assert_allclose(along(x, direction), fad.jit(along)(x, direction), rtol=1e-14)


def test_plain_numpy_and_methods_reach_these_functions():
    x = sample("float64")
    for name in ["sum", "prod", "mean", "std", "max", "min", "any", "all", "argmax", "cumsum"]:
        value = fad.Array(x)
        assert_same(getattr(value, name)(), getattr(x, name)())
        found = getattr(np, name)(value, axis=1)
        assert isinstance(found, fad.Array)
        assert_same(found, getattr(np, name)(x, axis=1))


def test_long_recurrences():
    x = 1.0 + sample("float64", (1000,)) * 1e-2
    slopes = np.cumprod(x)[-1] / x
    np.testing.assert_allclose(fad.grad(lambda x: fnp.cumprod(x)[-1])(x), slopes, rtol=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnp.sum(np.ones((2, 3)), axis=2), ShapeError, "sum: axis 2 is out of bounds for an array with 2 axes"),
        (lambda: fnp.sum(np.ones((2, 3)), axis=(0, 0)), ShapeError, "names an axis twice"),
        (lambda: fnp.max(np.ones((2, 0)), axis=1), ShapeError, "no element to take, and no identity; pass initial="),
        (lambda: fnp.argmax(np.ones(0)), ShapeError, "there is no element to point at"),
        (lambda: fnp.max(np.ones(3), where=np.ones(3, bool)), ArgumentError, "where= needs initial="),
        (lambda: fnp.var(np.ones(3), ddof=1, correction=1), ArgumentError, "give one of them"),
        (lambda: fnp.sum(np.ones(3), out=np.ones(())), ImmutableArrayError, "out="),
        (lambda: fnp.sum(np.ones(3), axis=1.5), ArgumentError, "axis must be an int"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
