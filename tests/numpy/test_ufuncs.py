"""Universal functions: values and dtypes are NumPy's, and what NumPy's cannot be is refused with a reason."""

import itertools
import pickle
import warnings

import ml_dtypes
import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DTypeError, ImmutableArrayError, ShapeError
from fad.numpy.ufuncs import UFUNCS

DTYPES = [
    "bool",
    "int8",
    "uint8",
    "int32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
NAMES = sorted(UFUNCS)


def sample(dtype, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.integers(0, 2, 4).astype(bool)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(1, 5, 4).astype(dtype)
    values = rng.uniform(0.1, 0.9, 4)
    return (
        (values + 1j * rng.uniform(0.1, 0.9, 4)).astype(dtype) if np.dtype(dtype).kind == "c" else values.astype(dtype)
    )


def outcome(function, *args):
    """The results, or the kind of the error."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = function(*args)
        except (TypeError, ValueError):
            return "refused"
    results = result if isinstance(result, tuple) else (result,)
    return [np.asarray(r) for r in results]


def same(got, expected):
    assert (got == "refused") == (expected == "refused"), (got, expected)
    if expected != "refused":
        for g, e in zip(got, expected, strict=True):
            assert g.dtype == e.dtype, (g.dtype, e.dtype)
            np.testing.assert_allclose(g, e, rtol=1e-3 if e.dtype == np.float16 else 1e-6)


@pytest.mark.parametrize("name", [n for n in NAMES if UFUNCS[n].nin == 1])
def test_unary_values_and_dtypes(name):
    for dtype in DTYPES:
        x = sample(dtype) + (1 if name in ("arccosh", "acosh") and dtype != "bool" else 0)
        same(
            outcome(getattr(fnp, name), fad.Array(x)),
            outcome(getattr(np, "invert" if name == "bitwise_invert" else name), x),
        )
    for scalar in (0.5, 1):
        same(outcome(getattr(fnp, name), scalar), outcome(getattr(np, name), scalar))


@pytest.mark.parametrize("name", [n for n in NAMES if UFUNCS[n].nin == 2])
def test_binary_values_and_dtypes(name):
    for first, second in itertools.product(DTYPES, DTYPES):
        x, y = sample(first, 1), sample(second, 2)
        same(outcome(getattr(fnp, name), fad.Array(x), y), outcome(getattr(np, name), x, y))


@pytest.mark.parametrize("name", ["add", "multiply", "divide", "power", "maximum", "greater", "arctan2", "remainder"])
@pytest.mark.parametrize("scalar", [True, 2, 2.5, 2 + 1j])
def test_python_scalars_yield_to_the_dtype_of_arrays(name, scalar):
    for dtype in DTYPES:
        x = sample(dtype, 3)
        for args in ((x, scalar), (scalar, x)):
            mine = [fad.Array(a) if isinstance(a, np.ndarray) else a for a in args]
            same(outcome(getattr(fnp, name), *mine), outcome(getattr(np, name), *args))


@pytest.mark.parametrize("transform", ["eager", "grad", "jit"])
def test_bfloat16_follows_the_same_rule(transform):
    x = fad.Array([1.5, 2.5]).astype(fnp.bfloat16)
    seen = []

    def f(x):
        for y in (x * 2.0, 1.0 + x, x / 3, fnp.maximum(x, 0.5), x**2, x**0.5, x**1.5, fnp.sin(x), -x, x + x):
            seen.append(y.dtype)
        seen.append((x * np.float32(2)).dtype)
        return (x * 2.0).sum()

    {"eager": f, "grad": fad.grad(f), "jit": fad.jit(f)}[transform](x)
    assert seen[:-1] == [np.dtype(ml_dtypes.bfloat16)] * 10
    assert seen[-1] == np.float32
    assert fad.grad(f)(x).dtype == ml_dtypes.bfloat16


KEPT = {
    "deg2rad": fnp.deg2rad,
    "rad2deg": fnp.rad2deg,
    "geomspace": lambda x: fnp.geomspace(x, 2 * x, 4),
    "median": fnp.median,
    "nanmedian": fnp.nanmedian,
    "percentile": lambda x: fnp.percentile(x, 30),
    "unwrap": lambda x: fnp.unwrap(x, period=1.0),
    "norm": lambda x: fnp.linalg.norm(x, 0.5),
    **{
        f"quantile {m}": lambda x, m=m: fnp.quantile(x, 0.3, method=m) for m in ("hazen", "midpoint", "linear", "lower")
    },
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize("name", KEPT)
def test_dtypes_stay_with_jit_and_without(name, dtype):
    x = fnp.asarray([0.25, 0.5, 0.75, 0.375], dtype)
    alone, compiled = KEPT[name](x), fad.jit(KEPT[name])(x)
    assert alone.dtype == compiled.dtype == x.dtype
    exact = np.asarray(KEPT[name](x.astype("float64")))
    for found in (alone, compiled):
        np.testing.assert_allclose(np.asarray(found).astype("float64"), exact, rtol=0.02)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_traced_number_is_a_quantile_like_any_number(dtype):
    x = fnp.asarray([0.25, 0.5, 0.75, 0.375], dtype)
    for q in (0.3, 1, 0):
        alone, compiled = fnp.quantile(x, q), fad.jit(fnp.quantile)(x, q)
        assert (alone.dtype, alone.item()) == (compiled.dtype, compiled.item())


@pytest.mark.parametrize("function", [fnp.maximum, fnp.minimum])
def test_bfloat16_beside_what_has_no_dtype_in_common_with_it(function):
    x, y = fnp.asarray([1.0, 3.0, 2.0], "bfloat16"), np.array([1, 2, 3], "int32")
    share = [0.5, 1.0, 0.0] if function is fnp.maximum else [0.5, 0.0, 1.0]
    for gradient in (fad.grad(lambda x: fnp.sum(function(x, y))), fad.jit(fad.grad(lambda x: fnp.sum(function(x, y))))):
        np.testing.assert_array_equal(np.asarray(gradient(x), "float64"), share)
    for choose in (fnp.where, fad.jit(fnp.where)):
        with pytest.raises(fad.errors.DTypeError, match="bfloat16.*int32"):
            choose(x > 1, x, y)


def test_float16_and_float32_stay():
    for dtype in ("float16", "float32"):
        x = fad.Array(np.array([0.5, 1.5], dtype))
        assert (fnp.exp(x * 2.0 + 1) / 3).dtype == dtype
        assert fad.grad(lambda x: fnp.sum(fnp.exp(x * 2.0)))(x).dtype == dtype


def test_where_and_dtype_keywords():
    x = fad.Array([1.0, 4.0, 9.0])
    mask = np.array([True, False, True])
    np.testing.assert_array_equal(fnp.sqrt(x, where=mask), [1, 0, 3])
    np.testing.assert_array_equal(np.sqrt(x, where=mask), [1, 0, 3])
    assert fnp.add(x, x, dtype="float32").dtype == np.float32
    np.testing.assert_allclose(fad.grad(lambda x: fnp.sqrt(x, where=mask).sum())(x), [0.5, 0, 1 / 6])
    first, second = fnp.divmod(x, 2, where=mask)
    np.testing.assert_array_equal([first, second], [[0, 0, 4], [1, 0, 1]])


REDUCIBLE = [
    "add",
    "multiply",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "logaddexp",
    "logaddexp2",
    "hypot",
    "subtract",
    "divide",
]


@pytest.mark.parametrize("name", REDUCIBLE)
def test_reduce_accumulate_reduceat_outer(name):
    x = np.random.default_rng(0).uniform(0.5, 2, (3, 4))
    mine, theirs = getattr(fnp, name), getattr(np, name)
    for axis in (0, 1, -1):
        np.testing.assert_allclose(mine.reduce(x, axis), theirs.reduce(x, axis))
        np.testing.assert_allclose(mine.accumulate(x, axis), theirs.accumulate(x, axis))
        np.testing.assert_allclose(mine.reduceat(x, [0, 2, 1], axis), theirs.reduceat(x, [0, 2, 1], axis))
    np.testing.assert_allclose(mine.reduce(x, 1, keepdims=True), theirs.reduce(x, 1, keepdims=True))
    np.testing.assert_allclose(mine.reduce(x, 0, initial=1.5), theirs.reduce(x, 0, initial=1.5))
    np.testing.assert_allclose(mine.outer(x[0], x), theirs.outer(x[0], x))
    if name not in ("subtract", "divide"):
        np.testing.assert_allclose(mine.reduce(x, None), theirs.reduce(x, None))
        mask = x > 1
        np.testing.assert_allclose(
            mine.reduce(x, 0, where=mask, initial=1.0), theirs.reduce(x, 0, where=mask, initial=1.0)
        )


@pytest.mark.parametrize(
    "name", ["logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm"]
)
def test_reduce_of_integers_and_booleans(name):
    x = np.array([[6, 4], [3, 2], [9, 8]])
    np.testing.assert_array_equal(getattr(fnp, name).reduce(x), getattr(np, name).reduce(x))
    assert getattr(fnp, name).reduce(x).dtype == getattr(np, name).reduce(x).dtype
    np.testing.assert_array_equal(getattr(fnp, name).reduce(x[:1]), getattr(np, name).reduce(x[:1]))
    assert fnp.add.reduce(x > 3).dtype == np.add.reduce(x > 3).dtype


def test_reduce_of_nothing_gives_the_identity():
    empty = np.zeros((0, 2))
    for name in ("add", "multiply", "logaddexp", "hypot"):
        np.testing.assert_array_equal(getattr(fnp, name).reduce(empty), getattr(np, name).reduce(empty))
    with pytest.raises(ShapeError, match="no identity"):
        fnp.fmax.reduce(empty)


def test_derivatives_through_the_methods():
    x = np.random.default_rng(1).uniform(0.5, 2, 4)
    np.testing.assert_allclose(fad.grad(np.multiply.reduce)(x), np.prod(x) / x)
    np.testing.assert_allclose(fad.grad(np.hypot.reduce)(x), x / np.sqrt(np.sum(x**2)))
    softmax = np.exp(x) / np.exp(x).sum()
    np.testing.assert_allclose(fad.grad(np.logaddexp.reduce)(x), softmax)
    np.testing.assert_allclose(fad.jit(fad.grad(np.logaddexp.reduce))(x), softmax)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda x: fnp.add(x), ArgumentError, "add takes 2 arguments, got 1"),
        (lambda x: fnp.sin(x, x), ArgumentError, "sin takes 1 argument, got 2"),
        (lambda x: fnp.sin(x, extobj=1), ArgumentError, "sin does not take extobj"),
        (lambda x: np.add(x, 1, out=np.zeros(3)), ImmutableArrayError, "use numpy.where|Use the returned array"),
        (lambda x: np.add.at(x, [0], 1.0), ImmutableArrayError, r"x\.at\[indices\]\.add"),
        (lambda x: np.add.at(np.zeros(3), [0, 1, 2], x), ImmutableArrayError, "immutable"),
        (lambda x: fnp.sin.reduce(x), ArgumentError, "functions of two arguments"),
        (lambda x: fnp.subtract.reduce(fnp.ones((2, 2)), axis=(0, 1)), ArgumentError, "not reorderable"),
        (lambda x: fnp.subtract.reduce(fnp.ones((0, 2))), ShapeError, "no identity"),
        (lambda x: fnp.maximum.reduce(x, where=[True, False, True]), ArgumentError, "initial"),
        (lambda x: fnp.add(x, None), ArgumentError, "add takes 2 arguments"),
        (lambda x: x + np.ones(2), ShapeError, r"\(3,\) and \(2,\)"),
        (lambda x: fnp.fabs(x + 1j), DTypeError, "real arguments"),
        (lambda x: fnp.gcd(x, 2), DTypeError, "not defined"),
        (lambda x: fnp.add.reduce(x, axis=1), ShapeError, "axis 1 is out of bounds"),
        (lambda x: fnp.hypot.accumulate(2.0), ShapeError, "no axis"),
    ],
)
def test_errors_teach(call, kind, words):
    with pytest.raises(kind, match=words):
        call(fad.Array([1.0, 2.0, 3.0]))


def test_ufuncs_pickle_and_show_themselves():
    assert pickle.loads(pickle.dumps(fnp.sin)) is fnp.sin
    assert repr(fnp.add) == "<fad ufunc 'add'>"
    assert (fnp.add.nin, fnp.add.nout, fnp.divmod.nout) == (2, 1, 2)
    assert fnp.abs is fnp.absolute


def test_frexp_modf_ldexp_are_inverse():
    x = np.array([0.0, 0.3, -5.5, 1e300, 2.0**-1070, np.inf])
    for got, expected in zip(fnp.frexp(x), np.frexp(x), strict=True):
        np.testing.assert_array_equal(got, expected)
    for got, expected in zip(fnp.modf(x), np.modf(x), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert fad.grad(lambda v: fnp.frexp(v)[0])(5.5) == 1 / 8
    assert fad.grad(lambda v: fnp.modf(v)[0] * 3)(5.5) == 3


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32"])
@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "minimum", "logaddexp"])
def test_accumulate_is_one_operation_with_the_dtype_of_numpy(name, dtype):
    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    for axis in (0, -1):
        wanted = getattr(np, name).accumulate(x, axis=axis)
        found = getattr(fnp, name).accumulate(x, axis=axis)
        assert found.dtype == wanted.dtype
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-2 if wanted.itemsize < 4 else 1e-6)
    program = fad.make_program(getattr(fnp, name).accumulate)(np.zeros(50))
    assert len(program.equations) < 5


@pytest.mark.parametrize("name", ["hypot", "gcd", "bitwise_and", "bitwise_or", "bitwise_xor", "logical_xor", "lcm"])
@pytest.mark.parametrize("x", [np.array([-3]), np.array([[5], [-2]], np.int8), np.array([200], np.uint8)])
def test_reductions_of_one_element_are_those_of_numpy(name, x):
    wanted = getattr(np, name).reduce(x, axis=-1)
    found = getattr(fnp, name).reduce(x, axis=-1)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(np.asarray(found), wanted)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fnp.bitwise_or.reduce(np.ones(1)), "bitwise_or is not defined"),
        (lambda: fnp.add(np.ones(2) * 1j, 1, dtype="float64"), r"add: dtype=float64 does not take complex128\[2\]"),
        (lambda: fnp.multiply(np.ones(2), 2, dtype=int), "convert it first"),
        (lambda: fnp.interp(np.ones(2) * 1j, [0.0, 1.0], [2.0, 3.0]), "only the values may be complex"),
    ],
)
def test_dtypes_that_a_function_does_not_take(call, words):
    with pytest.raises(DTypeError, match=words):
        call()
