"""Innermost loops as vector code: values for every length around a vector, and which loops are left to LLVM."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.canonical import program_form
from fad.compiler.llvm.lowering import lower_segment
from fad.compiler.nested import body_program
from fad.compiler.segments import split
from tests.compiler.compiled_programs import program_of

RNG = np.random.default_rng(11)
LENGTHS = (0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 64, 127, 129, 1025, 3000)
FLOATS, INTEGERS = ("float32", "float64"), ("int8", "uint16", "int32", "int64")


def sources(function, *args):
    """The sources of the kernels of a function that is one segment."""
    (step,) = split(body_program(program_of(function, *args)))
    found = []
    lower_segment("fad_seen", step.program, program_form(step.program), lambda *part: found.append(part))
    return [source for name, source, _ in found if name != "fad_seen"]


def numbers(dtype, *shape):
    """Random numbers, small enough for products of integers."""
    if dtype in INTEGERS:
        return RNG.integers(0, 5, size=shape).astype(dtype)
    return RNG.normal(size=shape).astype(dtype)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
def test_elementwise_of_any_length(dtype, length):
    x, y = numbers(dtype, length), numbers(dtype, length)

    def f(xp, x, y):
        return xp.where(x > y, x * y - x, xp.abs(y) + x), (x >= y) & (x != 1)

    for found, expected in zip(fad.jit(lambda x, y: f(fnp, x, y))(x, y), f(np, x, y), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_math_functions_of_any_length(dtype, length):
    x = numbers(dtype, length)

    def f(xp, x):
        return xp.exp(-x * x) * xp.sin(x) + xp.arctan2(x, x * x + 1), xp.tanh(x)

    for found, expected in zip(fad.jit(lambda x: f(fnp, x))(x), f(np, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=30 * np.finfo(dtype).eps, atol=3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("length", LENGTHS[1:])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min", "any", "all"])
def test_reductions_of_any_length(name, dtype, length):
    x = numbers(dtype, 3, length)
    if name == "prod":
        x = (np.sign(x) + (x == 0)).astype(dtype)
    expected = getattr(np, name)(x, axis=1)
    found = fad.jit(lambda x: getattr(fnp, name)(x, axis=1))(x)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=np.finfo(dtype).eps * length if dtype in FLOATS else 0, atol=1e-5)
    np.testing.assert_allclose(
        fad.jit(lambda x: getattr(fnp, name)(x))(x),
        getattr(np, name)(x),
        rtol=1e-4 if dtype in FLOATS else 0,
        atol=1e-3,
    )


@pytest.mark.parametrize("name", ["max", "min", "sum"])
@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 5, 37, 99])
def test_reductions_meet_special_values_in_every_lane(name, special, place):
    x = RNG.normal(size=(2, 100))
    x[1, place] = special
    np.testing.assert_array_equal(
        np.isnan(fad.jit(lambda x: getattr(fnp, name)(x, axis=1))(x)), np.isnan(getattr(x, name)(axis=1))
    )
    if not np.isnan(special):
        np.testing.assert_allclose(
            fad.jit(lambda x: getattr(fnp, name)(x, axis=1))(x), getattr(x, name)(axis=1), rtol=1e-12
        )


def test_sums_of_negative_zeros_are_zero_as_numpy_has_them():
    x = np.full((2, 40), -0.0)
    np.testing.assert_array_equal(np.signbit(fad.jit(lambda x: fnp.sum(x, axis=1))(x)), np.signbit(x.sum(axis=1)))


@pytest.mark.parametrize("rows, columns", [(9, 11), (16, 40), (33, 17), (130, 129)])
def test_strided_reads_and_writes(rows, columns):
    x, y = RNG.normal(size=(rows, columns)), RNG.normal(size=(columns, rows))
    np.testing.assert_array_equal(fad.jit(lambda x, y: x.T * 2.0 + y)(x, y), x.T * 2.0 + y)
    np.testing.assert_array_equal(fad.jit(lambda x: x[:, ::3] + 1.0)(x), x[:, ::3] + 1.0)
    np.testing.assert_array_equal(fad.jit(lambda x: x[::-1, ::-1] - x)(x), x[::-1, ::-1] - x)
    np.testing.assert_allclose(fad.jit(lambda x: fnp.sum(x, axis=0))(x), x.sum(axis=0), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("length", LENGTHS)
def test_numbers_that_count_turns(length):
    def f(xp, x):
        k = xp.arange(length)
        return x * k + (k % 3 == 0) * 0.5, k * 2 - 7

    x = RNG.normal(size=length)
    for found, expected in zip(fad.jit(lambda x: f(fnp, x))(x), f(np, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-15)


@pytest.mark.parametrize("length", [9, 40, 1000])
def test_mixed_sizes_of_elements(length):
    x, y, z = numbers("float32", length), numbers("float64", length), numbers("int8", length) > 2

    def f(xp, x, y, z):
        return xp.where(z, xp.exp(x), 1) * y, (x > 0) & z, x * x

    for found, expected in zip(fad.jit(lambda *a: f(fnp, *a))(x, y, z), f(np, x, y, z), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("length", [8, 30, 5000])
def test_results_in_the_memory_of_arguments(length):
    f = fad.jit(lambda x, y: (x * 2.0 + y[::-1], fnp.exp(-y) + x), donate_argnums=(0, 1))
    x, y = RNG.normal(size=length), RNG.normal(size=length)
    found = f(fnp.array(x), fnp.array(y))
    np.testing.assert_allclose(found[0], x * 2.0 + y[::-1], rtol=1e-15)
    np.testing.assert_allclose(found[1], np.exp(-y) + x, rtol=1e-14, atol=1e-15)


def test_math_functions_outside_of_the_innermost_loop():
    x, y = RNG.normal(size=(40, 50)), RNG.normal(size=40)

    def f(xp, x, y):
        total = xp.log(xp.sum(xp.exp(x), axis=1, keepdims=True))
        return xp.sum((x - total) * xp.sin(y)[:, None], axis=1)

    np.testing.assert_allclose(fad.jit(lambda x, y: f(fnp, x, y))(x, y), f(np, x, y), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS)
@pytest.mark.parametrize("inner", [(2,), (3,), (5,), (6,), (7,), (8,), (2, 3), (3, 3), (5, 7), (8, 8)], ids=str)
def test_few_turns(inner, dtype):
    x = numbers(dtype, 17, *inner)
    weights = numbers(dtype, *inner)
    axes = tuple(range(1, x.ndim))

    def f(xp, x):
        y = x * weights
        return (
            xp.sum(y, axis=axes),
            xp.max(x, axis=axes),
            y - xp.max(x, axis=axes, keepdims=True),
            xp.moveaxis(x, 0, -1) + 1,
        )

    for found, expected in zip(fad.jit(lambda x: f(fnp, x))(x), f(np, x), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-5)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("inner", [(2,), (3,), (5,), (7,), (3, 3), (5, 7)], ids=str)
def test_math_functions_of_few_turns(inner, dtype):
    x = numbers(dtype, 9, *inner)

    def f(xp, x):
        y = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return y / xp.sum(y, axis=-1, keepdims=True), xp.sum(xp.sin(x), axis=-1)

    for found, expected in zip(fad.jit(lambda x: f(fnp, x))(x), f(np, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=60 * np.finfo(dtype).eps, atol=10 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "bool"])
@pytest.mark.parametrize("shape", [(3, 3), (4, 40), (20, 5), (9, 150)], ids=str)
def test_values_read_where_a_condition_holds(shape, dtype):
    x = numbers("float64", *shape) > 0 if dtype == "bool" else numbers(dtype, *shape)

    def f(xp, x):
        wide = xp.pad(x, ((2, 1), (3, 4)))
        both = xp.pad(wide[1:], ((0, 3), (5, 0)))
        return (
            wide,
            both.T,
            xp.sum(both, axis=1),
            xp.concatenate([x, wide[:, : x.shape[1]]]),
            x[:, ::-1] + wide[2:-1, 4:-3],
        )

    for found, expected in zip(fad.jit(lambda x: f(fnp, x))(x), f(np, x), strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-12, atol=1e-5)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("columns", [1, 2, 3, 4, 9])
def test_nothing_is_read_of_lanes_that_are_known_to_be_padding(columns, dtype):
    # Of vectors whose first half lies in the padding, LLVM read the first half as if nothing were masked.
    x = numbers(dtype, 40 + 8 * columns) + 5

    def f(xp, x, low, high):
        padded = xp.pad(xp.reshape((x + 1)[20 : 20 + 8 * columns], (8, columns)), ((0, 1), (low, high)))
        return padded, xp.sum(padded, axis=1)

    for low in range(8):
        for high in (0, 8 - columns - low, 16 - columns - low):
            if high >= 0:
                for found, expected in zip(
                    fad.jit(lambda x, low=low, high=high: f(fnp, x, low, high))(x), f(np, x, low, high), strict=True
                ):
                    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, "bool"])
@pytest.mark.parametrize("length", LENGTHS)
def test_places_that_data_say(length, dtype):
    x = numbers("float64", 13, 11) > 0 if dtype == "bool" else numbers(dtype, 13, 11)
    rows, columns = RNG.integers(-13, 13, size=length), RNG.integers(-11, 11, size=length)
    f = fad.jit(lambda x, rows, columns: (x[rows], x[rows, columns], fnp.reshape(fnp.reshape(x, -1)[:132], (12, 11)).T))
    expected = x[rows], x[rows, columns], x.reshape(-1)[:132].reshape(12, 11).T
    for found, known in zip(f(x, rows, columns), expected, strict=True):
        np.testing.assert_array_equal(found, known)


SPARED = {
    "elementwise": (lambda x: fnp.tanh(x) * x + 1.0, (40, 30)),
    "sums": (lambda x: fnp.sum(fnp.exp(x), axis=1), (40, 30)),
    "maxima": (lambda x: fnp.max(x, axis=1), (40, 30)),
    "transposes": (lambda x: x.T + 1.0, (40, 30)),
    "softmax": (lambda x: fnp.exp(x - fnp.max(x, axis=1, keepdims=True)), (40, 30)),
    "few turns": (lambda x: fnp.sum(x[:, :3], axis=1), (40, 30)),
    "padded": (lambda x: fnp.pad(x, ((1, 2), (3, 4))) + 1.0, (40, 30)),
    "gathers": (lambda x: x[fnp.array([3, 1, -1])], (40, 30)),
    "sums of one": (lambda x: fnp.sum(x[:, None] * 2.0, axis=1), (40, 30)),
}


@pytest.mark.parametrize("name", SPARED)
def test_loops_that_llvm_has_nothing_to_do_for(name):
    function, shape = SPARED[name]
    found = sources(function, RNG.normal(size=shape))
    assert found
    assert [s.passes for s in found] == ["few"] * len(found)
    assert all("x double>" in s.text for s in found if "llvm.vector" in s.text or "fad_" in s.text)


@pytest.mark.parametrize(
    "function",
    [lambda x: fnp.argmax(x, axis=1), lambda x: fnp.cumsum(x, axis=1)],
    ids=["argmax", "cumsum"],
)
def test_other_loops_are_left_to_llvm(function):
    x = RNG.normal(size=(40, 30))
    assert "all" in [s.passes for s in sources(function, x)]
    np.testing.assert_allclose(fad.jit(function)(x), function(x), rtol=1e-12)
