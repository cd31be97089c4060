"""Loops over an axis whose index is divided by a size: elements read through a reshape of something transposed."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp

RNG = np.random.default_rng(0)


def flattened(x, v):
    return fnp.ravel(x.T) * v


def flattened_sum(x, v):
    return fnp.sum(fnp.ravel(x.T) * v)


def rows(x, v):
    return fnp.sum(fnp.reshape(x.T, (3, -1)) * fnp.reshape(v, (3, -1)), axis=1)


def columns(x, v):
    both = fnp.reshape(x.T, (3, -1)) * fnp.reshape(v, (3, -1))
    return both, fnp.sum(both, axis=0)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [2, 3, 4, 7, 16, 17, 33, 700, 1030])
@pytest.mark.parametrize("function", [flattened, flattened_sum, rows, columns])
def test_same_as_numpy_for_any_size_and_number_of_threads(function, size, threads):
    x = RNG.normal(size=(size, 3 * (40_000 // size) + 3))  # more than one thread takes, cut anywhere
    v = RNG.normal(size=x.size)
    with fad.config.using(threads=threads):
        found = fad.jit(function)(x, v)
    for a, b in zip(fad.tree.leaves(found), fad.tree.leaves(function(fad.Array(x), fad.Array(v))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-9)


def test_one_code_serves_other_sizes():
    function = fad.jit(columns)
    for size, length in ((40, 90), (41, 93), (63, 3), (1023, 3), (1025, 6), (17, 3)):
        x, v = RNG.normal(size=(size, length)), RNG.normal(size=size * length)
        both, sums = function(x, v)
        wanted = np.reshape(x.T, (3, -1)) * np.reshape(v, (3, -1))
        np.testing.assert_allclose(both, wanted)
        np.testing.assert_allclose(sums, wanted.sum(0))


def test_a_sum_over_a_divided_axis_keeps_its_accuracy():
    # 0.1 is no float32: two million added one after another are off by 1.5e-2 of their sum, sums of blocks by 1e-5.
    x = np.full((500, 2, 4000), 0.1, np.float32)
    found = fad.jit(lambda x: fnp.sum(fnp.reshape(fnp.transpose(x, (1, 0, 2)), (2, -1)), axis=1))(x)
    np.testing.assert_allclose(found, 0.1 * 500 * 4000, rtol=5e-5)


@pytest.mark.parametrize("step", [2, 3, 5, 17, 40, 1000])
@pytest.mark.parametrize("low", [0, 1, 3])
def test_elements_spread_over_a_longer_axis(step, low):
    # The gradient of a strided slice, a diagonal: between the numbers are zeros.
    x = RNG.normal(size=30_011)
    function = fad.grad(lambda x: fnp.sum(fnp.sin(x[low::step]) ** 2))
    wanted = np.zeros_like(x)
    wanted[low::step] = np.sin(2.0 * x[low::step])
    np.testing.assert_allclose(fad.jit(function)(x), wanted, atol=1e-15)
    table = RNG.normal(size=(70, 41))
    wanted = np.zeros_like(table)
    rows = np.arange(41 - low)
    wanted[rows, rows + low] = np.cos(np.diagonal(table, low))
    found = fad.jit(fad.grad(lambda a: fnp.sum(fnp.sin(fnp.diagonal(a, low)))))(table)
    np.testing.assert_allclose(found, wanted, atol=1e-15)
