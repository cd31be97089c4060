"""Writes to repeated positions and running combinations by array operations alone, as CuPy gets them, against NumPy's ufuncs."""

import numpy as np
import pytest

from fad.primitives.repeated_rows import accumulated, combine_rows

OPERATIONS = {"add": np.add, "multiply": np.multiply, "maximum": np.maximum, "minimum": np.minimum}


def _values(shape, dtype):
    values = np.random.default_rng(0).normal(size=shape) * 3
    return (values + 1j * values[::-1]).astype(dtype) if np.dtype(dtype).kind == "c" else values.astype(dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32", "complex128", "int16", "bool"])
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("count", [0, 1, 2, 7, 40])
def test_repeated_rows_combine_as_ufunc_at_does(name, dtype, count):
    positions = np.random.default_rng(1).integers(0, 6, count)
    table, rows = _values((6, 3), dtype), _values((count, 3), dtype)
    expected = table.copy()
    OPERATIONS[name].at(expected, positions, rows)
    combine_rows(np, OPERATIONS[name], table, positions, rows)
    np.testing.assert_allclose(table, expected, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("count", [0, 1, 9, 33])
def test_last_of_repeated_rows_stays(count):
    positions = np.random.default_rng(1).integers(0, 5, count)
    table, rows = _values((5, 2), "float64"), _values((count, 2), "float64")
    expected = table.copy()
    for position, row in zip(positions, rows, strict=True):
        expected[position] = row
    combine_rows(np, None, table, positions, rows)
    assert np.array_equal(table, expected)


def test_nan_stays_in_its_own_row():
    table = np.zeros((3, 1))
    combine_rows(np, np.maximum, table, np.array([2, 0, 2, 0]), np.array([[np.nan], [1.0], [5.0], [2.0]]))
    assert np.array_equal(table, [[2.0], [0.0], [np.nan]], equal_nan=True)


@pytest.mark.parametrize("shape", [(0, 2), (1, 3), (5,), (2, 3, 8), (17, 2)])
@pytest.mark.parametrize("function", [np.maximum, np.minimum, np.logaddexp])
def test_running_results_are_the_ufuncs(function, shape):
    x = _values(shape, "float64")
    for axis in range(len(shape)):
        before = x.copy()
        np.testing.assert_allclose(
            accumulated(np, function, x, axis), function.accumulate(x, axis=axis), rtol=1e-13, atol=1e-15
        )
        assert np.array_equal(x, before)
