"""Sums over many rows: as exact as sums in blocks are, whatever the sizes and the number of threads."""

import re

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.llvm.row_sums import takes_blocks


def error_of(found, exact):
    """The error of all elements together, as a part of the result."""
    return np.linalg.norm(np.asarray(found) - exact) / np.linalg.norm(exact)


def one_by_one(x):
    """The sum over rows as it comes out when they are added one after the other."""
    return np.cumsum(x, axis=0, dtype=x.dtype)[-1]


@pytest.mark.parametrize("size", [3, 8, 40, 1000])
@pytest.mark.parametrize("rows", [2048, 2049, 5000, 20011])
def test_sums_of_rows_round_as_sums_in_blocks(rows, size):
    x = np.random.default_rng(0).normal(size=(rows, size)).astype("f4") + np.float32(0.5)
    exact = np.sum(x, axis=0, dtype="f8") * 2
    found = fad.jit(lambda x: fnp.sum(x * 2, axis=0))(x)
    assert error_of(found, exact) < 3e-7 < error_of(2 * one_by_one(x), exact)


def test_rows_that_are_too_long_for_the_stack_are_summed_as_well():
    x = np.random.default_rng(0).normal(size=(2100, 9000))
    np.testing.assert_allclose(fad.jit(lambda x: fnp.sum(x + 1, axis=0))(x), np.sum(x + 1, axis=0), rtol=1e-11)


@pytest.mark.parametrize("shape", [(64, 130, 20), (130, 3, 40), (3, 2500, 20), (2, 2100, 2100)])
def test_loops_that_are_not_one_have_blocks_too(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype("f4") + np.float32(0.5)
    y = rng.uniform(1, 2, size=shape[1:]).astype(
        "f4"
    )  # the same for all of the first axis, so that its loop stays apart
    exact = np.sum(x.astype("f8") * y, axis=(0, 1))
    found = fad.jit(lambda x, y: fnp.sum(x * y, axis=(0, 1)))(x, y)
    assert error_of(found, exact) < (3e-7 if shape[0] * shape[1] >= 2048 else 3e-6)


def test_a_kept_axis_may_come_first():
    x = np.random.default_rng(0).normal(size=(5, 4100, 30)).astype("f4") + np.float32(0.5)
    exact = np.sum(x, axis=1, dtype="f8")
    assert error_of(fad.jit(lambda x: fnp.sum(x, axis=1))(x), exact) < 3e-7


def test_gradients_of_normalisation_are_as_exact_as_their_values():
    rng = np.random.default_rng(0)
    x, weights = [rng.normal(size=(8, 32, 32, 8)).astype("f4") for _ in range(2)]

    def loss(gain, x, weights):
        mean, variance = fnp.mean(x, (0, 1, 2)), fnp.var(x, (0, 1, 2))
        return fnp.sum((x - mean) / fnp.sqrt(variance + 1e-5) * gain * weights)

    gain = rng.normal(size=8).astype("f4")
    exact = fad.grad(loss)(*[a.astype("f8") for a in (gain, x, weights)])
    for gradient in (fad.grad(loss), fad.jit(fad.grad(loss))):
        assert error_of(gradient(gain, x, weights), np.asarray(exact)) < 6e-7


def test_special_values_pass_through_blocks():
    x = np.full((3000, 16), -0.0)
    x[2500, 3], x[10, 4], x[2999, 5] = np.nan, np.inf, -np.inf
    found = np.asarray(fad.jit(lambda x: fnp.sum(x, axis=0))(x))
    np.testing.assert_array_equal(found, np.sum(x, axis=0))
    assert not np.signbit(found[0])


def test_the_number_of_threads_does_not_change_a_sum():
    x = np.random.default_rng(0).normal(size=(300_000, 24)).astype("f4")
    found = []
    for threads in (1, 2):
        with fad.config.using(threads=threads):
            found.append(np.asarray(fad.jit(lambda x: fnp.sum(x * x, axis=0))(x)))
    np.testing.assert_array_equal(*found)
    assert error_of(found[0], np.sum(x.astype("f8") ** 2, axis=0)) < 3e-7


def test_one_loop_of_a_nest_has_the_blocks():
    assert takes_blocks((2048,), ()) and takes_blocks((8, 500, 500), ())
    assert not takes_blocks((2047,), ())
    assert takes_blocks((64,), (128,)) and not takes_blocks((64,), (3000,)) and takes_blocks((3000,), ())


def test_more_sums_than_have_blocks_are_summed_as_well():
    x = np.random.default_rng(0).normal(size=(3000, 20))
    found = fad.jit(lambda x: [fnp.sum(x * k, axis=0) for k in range(1, 7)])(x)
    for k, total in enumerate(found, 1):
        np.testing.assert_allclose(total, np.sum(x * k, axis=0), rtol=1e-10, atol=1e-10)


def normalised(x, other, gain, shift):
    """What a layer with a bias for each channel computes, and the sums that its gradient takes."""
    centred = (x - shift) * gain
    return centred, fnp.sum(centred, (0, 1, 2)), fnp.sum(centred * other, (0, 1, 2)), fnp.sum(other, (0, 1, 2))


def framed(x, other, gain, shift):
    """The same of a part of an image, so that no two of its axes are one."""
    return normalised(x[:, 1:-1, :-1], other[:, 1:-1, 1:], gain, shift)


@pytest.mark.parametrize("f", [normalised, framed])
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize("shape", [(64, 8, 8, 32), (3, 7, 5, 32), (40, 30, 2, 16), (2, 70, 40, 8), (300, 3, 2, 32)])
def test_sums_of_short_rows(f, dtype, shape):
    rng = np.random.default_rng(0)
    args = [rng.normal(size=s).astype(dtype) for s in (shape, shape, shape[-1:], shape[-1:])]
    tolerance = {"f2": 4e-2, "f4": 1e-4, "f8": 1e-11}[dtype]
    exact = [np.asarray(v) for v in f(*[fnp.asarray(a, "f8") for a in args])]
    for found, value in zip(fad.jit(f)(*args), exact, strict=True):
        np.testing.assert_allclose(found, value, rtol=tolerance, atol=tolerance * np.abs(value).max() + 1e-30)


@pytest.mark.parametrize("size", [8, 16, 32])
def test_sums_of_short_rows_stay_in_registers(size):
    x = np.random.default_rng(0).normal(size=(64, 8, 8, size)).astype("f4")
    text = fad.jit(lambda x: fnp.sum(x * x, (0, 1, 2))).lower(x).as_text("assembly")
    loop = innermost_loop(text)
    assert "(%" in loop, "it reads the array"
    assert not re.search(r"mov[au]p[sd]\s+%[xyz]mm\d+, ", loop), "and writes nothing"


def innermost_loop(assembly):
    """The lines of the first loop of a kernel that multiplies vectors."""
    kernel = assembly[assembly.index("kernel_") :]
    blocks = re.split(r"^\.LBB", kernel, flags=re.MULTILINE)
    return next(b for b in blocks if "mulps" in b)


def test_short_rows_do_not_depend_on_the_number_of_threads():
    x = np.random.default_rng(0).normal(size=(20000, 32)).astype("f4")
    f = fad.jit(lambda x: (x * 2, fnp.sum(x * 2, axis=0)))
    results = []
    for threads in (1, 2, 3):
        with fad.config.using(threads=threads):
            results.append(np.asarray(f(x)[1]))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
