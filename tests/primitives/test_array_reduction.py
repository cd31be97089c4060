"""The order in which NumPy's arrays are reduced."""

import numpy as np
import pytest

from fad.primitives.array_reduction import reduced


@pytest.mark.parametrize("dtype", ["f4", "f8", "c8", "c16"])
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((600, 3), (0,)),
        ((4096, 5), (0,)),
        ((70_001, 2), (0,)),
        ((30, 70, 4), (0, 1)),
        ((3, 2050, 7), (1,)),
        ((2, 40, 60, 3, 2), (1, 2)),
        ((2, 600, 4, 3), (1, 3)),
        ((600, 8), (1,)),
        ((600, 8), (0, 1)),
        ((9, 9), ()),
        ((0, 600, 3), (1,)),
        ((600, 0, 3), (0,)),
    ],
)
def test_sums_are_numpys_to_rounding(shape, axes, dtype):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=shape) + 1j * rng.normal(size=shape) + 0.5).astype("c16")
    x = x.astype(dtype) if dtype[0] == "c" else x.real.astype(dtype)
    exact = np.add.reduce(x.astype(dtype[0] + "16" if dtype[0] == "c" else "f8"), axes)
    found = reduced(np.add, x, axes)
    assert found.dtype == x.dtype and found.shape == exact.shape
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found, exact, rtol=40 * eps, atol=40 * eps * np.sqrt(max(x.size, 1)))


def test_many_rows_round_as_few():
    x = np.random.default_rng(0).normal(size=(100_000, 4)).astype("f4") + np.float32(0.5)
    exact = np.sum(x, axis=0, dtype="f8")
    errors = [np.max(np.abs(total / exact - 1)) for total in (reduced(np.add, x, (0,)), np.add.reduce(x, 0))]
    assert errors[0] < 5e-7 < errors[1]


def test_other_orders_in_memory_and_other_reductions_are_numpys_own():
    x = np.random.default_rng(0).normal(size=(2000, 6))
    for array in (x.T.copy().T, x[::2], x[::-1]):
        np.testing.assert_array_equal(reduced(np.add, array, (0,)), np.add.reduce(array, 0))
    np.testing.assert_array_equal(reduced(np.maximum, x, (0,)), x.max(0))
    np.testing.assert_array_equal(reduced(np.maximum, x, (1,)), x.max(1))


def test_special_values_reach_the_sum():
    x = np.zeros((5000, 3))
    x[4999, 0], x[17, 1] = np.nan, np.inf
    np.testing.assert_array_equal(reduced(np.add, x, (0,)), [np.nan, np.inf, 0.0])
