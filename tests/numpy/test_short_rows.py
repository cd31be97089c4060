"""Sums and extremes of many short rows, which are reduced column by column: values against NumPy, derivatives against a formula written out."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp

SHAPES = [(300, 3), (64, 10), (700, 1), (512, 2), (20, 30, 4), (2, 3, 100, 7), (0, 4), (600, 0), (64, 11), (5, 3)]


def rows(shape, dtype="float64"):
    generator = np.random.default_rng(len(shape))
    kind = np.dtype(dtype).kind
    if kind == "c":
        return (generator.normal(size=shape) + 1j * generator.normal(size=shape)).astype(dtype)
    return (generator.normal(size=shape) * 10).astype(dtype)


def layouts(x):
    """The same numbers in other orders in memory."""
    return {
        "C": x,
        "Fortran": np.asfortranarray(x),
        "every other": np.repeat(x, 2, axis=0)[::2],
        "flipped": x[..., ::-1],
    }


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128", "int64", "int8", "bool", "float16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_and_extremes_are_numpys(shape, dtype):
    for name, x in layouts(rows(shape, dtype)).items():
        for axis in (-1, 0):
            expected, found = np.sum(x, axis=axis), np.asarray(fnp.sum(x, axis=axis))
            assert found.dtype == expected.dtype and found.shape == expected.shape, name
            tolerance = 1e-2 if dtype == "float16" else 1e-5 if dtype == "float32" else 1e-12
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=50 * tolerance, err_msg=name)
            if x.shape[axis]:
                np.testing.assert_array_equal(np.asarray(fnp.max(x, axis=axis)), np.max(x, axis=axis), err_msg=name)
                np.testing.assert_array_equal(np.asarray(fnp.min(x, axis=axis)), np.min(x, axis=axis), err_msg=name)


def test_what_is_not_finite_wins_as_in_numpy():
    x = rows((400, 3))
    x[1, 2], x[2, 0], x[3, 1], x[4] = np.nan, np.inf, -np.inf, [np.inf, -np.inf, 0.0]
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.isnan(np.asarray(fnp.sum(x, axis=1))), np.isnan(np.sum(x, axis=1)))
    np.testing.assert_array_equal(np.asarray(fnp.max(x, axis=1)), np.max(x, axis=1))
    np.testing.assert_array_equal(np.asarray(fnp.min(x, axis=1)), np.min(x, axis=1))


def shared(x, weights):
    """The cotangent of the largest of each row: equal ones share it."""
    wins = x == x.max(axis=-1, keepdims=True)
    return wins / wins.sum(axis=-1, keepdims=True) * weights[..., None]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape", [(300, 3), (20, 30, 4), (4, 3), (1, 5), (7,)], ids=str)
def test_extremes_send_cotangents_to_their_places(shape, ties):
    x = np.round(rows(shape)) if ties else rows(shape)
    weights = np.random.default_rng(1).normal(size=shape[:-1])

    def largest(x):
        return (fnp.max(x, axis=-1) * weights).sum()

    def smallest(x):
        return (fnp.min(x, axis=-1, keepdims=True) * weights[..., None]).sum()

    expected = shared(x, weights)
    np.testing.assert_allclose(np.asarray(fad.grad(largest)(x)), expected, rtol=1e-14)
    np.testing.assert_allclose(np.asarray(fad.jit(fad.grad(largest))(x)), expected, rtol=1e-14)
    np.testing.assert_allclose(np.asarray(fad.grad(smallest)(-x)), expected, rtol=1e-14)


def test_infinite_cotangents_of_extremes_stay_in_their_places():
    _, pullback = fad.vjp(lambda x: fnp.max(x, axis=1), rows((3, 4)))
    (found,) = pullback(np.array([np.inf, np.nan, -0.0]))
    assert np.count_nonzero(np.asarray(found)) == 2
    assert np.isinf(np.asarray(found)[0]).sum() == np.isnan(np.asarray(found)[1]).sum() == 1


def test_leading_and_several_axes_of_extremes():
    x = rows((4, 5, 3))
    for axis in (0, 1, (0, 1), (1, 2), (0, 2), None):
        wins = x == x.max(axis=axis, keepdims=True)
        np.testing.assert_array_equal(np.asarray(fad.grad(lambda x, a=axis: fnp.max(x, axis=a).sum())(x)), wins)


def test_second_derivatives_through_extremes_and_sums():
    x = rows((200, 3))
    direction = rows((200, 3))[::-1].copy()

    def f(x):
        return ((fnp.max(x, axis=1) ** 3).sum() + (fnp.sum(x, axis=1) ** 3).sum()) / 6

    expected = shared(x, (x.max(axis=1) * (direction * shared(x, np.ones(200))).sum(axis=1))) + (
        x.sum(axis=1) * direction.sum(axis=1)
    ).reshape(-1, 1)
    np.testing.assert_allclose(np.asarray(fad.hvp(f, (x,), (direction,))), expected, rtol=1e-11, atol=1e-9)
