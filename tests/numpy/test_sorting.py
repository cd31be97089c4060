"""Sorting, searching, sets and counts: against NumPy, with derivatives, staged and batched."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, ConcretizationError, DTypeError, IndexOutOfBoundsError, ShapeError
from fad.testing import check_grads

GENERATOR = np.random.default_rng(5)
X = GENERATOR.normal(size=(3, 6))
TIED = np.array([2.0, 1.0, 2.0, np.nan, 1.0, -1.0])
ARRAYS = {
    "float64": X,
    "float32": X.astype(np.float32),
    "complex128": X + 1j * GENERATOR.normal(size=X.shape),
    "int64": GENERATOR.integers(-3, 4, X.shape),
    "uint8": GENERATOR.integers(0, 4, X.shape).astype(np.uint8),
    "bool": X > 0,
}


def assert_same(found, expected):
    """Equal values, shape and dtype; of tuples, each part."""
    if isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
        return
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ARRAYS)
def test_orders_are_numpys(dtype):
    x = ARRAYS[dtype]
    for axis in (-1, 0, None):
        assert_same(fnp.sort(x, axis=axis), np.sort(x, axis=axis))
        assert_same(fnp.argsort(x, axis=axis), np.argsort(x, axis=axis, kind="stable"))
        backwards = np.flip(np.sort(x, axis=axis), axis=0 if axis is None else axis)
        assert_same(fnp.sort(x, axis=axis, descending=True), backwards)
        for kth in (2, [0, 2], -1):
            assert_same(fnp.partition(x, kth, axis=axis), np.partition(x, kth, axis=axis))
            order = np.asarray(fnp.argpartition(x, kth, axis=axis))
            flat = x.ravel() if axis is None else x
            picked = np.take_along_axis(flat, order, 0 if axis is None else axis)
            assert_same(picked, np.partition(x, kth, axis=axis))


def test_order_of_equal_elements_and_nan():
    assert fnp.argsort(TIED).tolist() == [5, 1, 4, 0, 2, 3]
    assert fnp.argsort(TIED, descending=True).tolist() == [3, 0, 2, 1, 4, 5]
    values, positions = fnp.top_k(TIED, 3)
    assert positions.tolist() == [3, 0, 2]
    np.testing.assert_array_equal(values, [np.nan, 2.0, 2.0])
    assert fnp.top_k(np.array([0, 200, 7], np.uint8), 2)[1].tolist() == [1, 2]
    np.testing.assert_array_equal(fad.grad(lambda x: fnp.sort(x)[1])(np.array([1.0, 1.0, 0.0])), [1, 0, 0])


def test_lexsort():
    first, last = np.array([3, 1, 2, 1, 0]), np.array([1, 1, 0, 0, 1])
    assert_same(fnp.lexsort((first, last)), np.lexsort((first, last)))
    keys = GENERATOR.integers(0, 3, (3, 4, 5))
    assert_same(fnp.lexsort(keys), np.lexsort(keys))
    assert_same(fnp.lexsort(keys, axis=0), np.lexsort(keys, axis=0))
    assert_same(fad.jit(lambda a, b: fnp.lexsort((a, b)))(first, last), np.lexsort((first, last)))


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(side):
    a, v = np.array([-1.0, 0.0, 0.0, 2.0]), np.array([[-2.0, 0.0], [2.0, np.nan]])
    assert_same(fnp.searchsorted(a, v, side), np.searchsorted(a, v, side))
    assert_same(fnp.searchsorted(a, 0.5, side), np.searchsorted(a, 0.5, side))
    order = np.array([2, 0, 1])
    unsorted = np.array([1.0, 2.0, 0.0])
    assert_same(fnp.searchsorted(unsorted, v, side, sorter=order), np.searchsorted(unsorted, v, side, sorter=order))
    rows = np.sort(X, axis=1)
    found = fad.vmap(lambda row, value: fnp.searchsorted(row, value, side))(rows, X)
    assert_same(found, np.stack([np.searchsorted(row, value, side) for row, value in zip(rows, X, strict=True)]))


@pytest.mark.parametrize("right", [False, True])
def test_digitize(right):
    x = np.array([-1.0, 0.0, 0.5, 1.0, 3.0])
    for bins in (np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 0.0]), np.array([1.0])):
        assert_same(fnp.digitize(x, bins, right), np.digitize(x, bins, right))
    with pytest.raises(ArgumentError, match="ascend or descend"):
        fnp.digitize(x, [0.0, 2.0, 1.0])


WEIGHTS = GENERATOR.normal(size=6)
DIFFERENTIABLE = {
    "sort": lambda x: fnp.sort(x) * WEIGHTS,
    "sort_axis": lambda x: fnp.sort(x, axis=0) * WEIGHTS,
    "sort_descending": lambda x: fnp.sort(x, descending=True) * WEIGHTS,
    "partition": lambda x: fnp.partition(x, 2)[:, :3] ** 2,
    "top_k": lambda x: fnp.top_k(x, 2)[0] ** 2,
    "argsort": lambda x: fnp.take_along_axis(x, fnp.argsort(x), -1) * WEIGHTS,
    "lexsort": lambda x: x[0][fnp.lexsort((x[1], x[2]))] * WEIGHTS,
    "searchsorted": lambda x: x[0][fnp.searchsorted(fnp.sort(x[1]), x[2]) % 6] * x[2],
    "isin": lambda x: fnp.isin(x, x[0]) * x**2,
    "bincount": lambda x: fnp.bincount(np.array([0, 3, 1, 0, 0, 1]), weights=x[0], length=4) ** 2,
    "histogram": lambda x: fnp.histogram(X[0], bins=4, weights=x[0] ** 2)[0],
    "histogram_density": lambda x: fnp.histogram(X[0], bins=4, range=(-3.0, 3.0), density=True, weights=x[0] ** 2)[0],
    "histogram_edges": lambda x: fnp.histogram_bin_edges(x, bins=3) ** 2,
    "histogram2d": lambda x: fnp.histogram2d(X[0], X[1], bins=[2, 3], weights=x[2])[0] ** 2,
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name):
    check_grads(DIFFERENTIABLE[name], (X,), order=2)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_staged_and_batched(name):
    function = DIFFERENTIABLE[name]
    np.testing.assert_allclose(fad.jit(function)(X), function(fad.Array(X)), rtol=1e-12)
    batch = np.stack([X, -X[:, ::-1], X**3])
    expected = np.stack([function(fad.Array(x)) for x in batch])
    np.testing.assert_allclose(fad.vmap(function)(batch), expected, rtol=1e-12)


EAGER = {
    "unique": lambda x: fnp.unique(x) ** 2,
    "unique_rows": lambda x: fnp.unique(x, axis=0) ** 2,
    "unique_values": lambda x: fnp.unique_values(x) ** 2,
    "union1d": lambda x: fnp.union1d(x[0], x[1]) ** 2,
    "intersect1d": lambda x: fnp.intersect1d(x[0], fnp.concatenate([x[1], x[0, :2]])) ** 2,
    "setdiff1d": lambda x: fnp.setdiff1d(x[0], x[0, 1:3]) ** 2,
    "setxor1d": lambda x: fnp.setxor1d(x[0], x[1]) ** 2,
}


@pytest.mark.parametrize("name", EAGER)
def test_sets_carry_derivatives(name):
    function = EAGER[name]
    grad = fad.grad(lambda x: fnp.sum(function(x)))(X)
    step, direction = 1e-6, np.random.default_rng(1).normal(size=X.shape)
    up, down = (float(fnp.sum(function(fad.Array(X + s * step * direction)))) for s in (1, -1))
    np.testing.assert_allclose(np.sum(np.asarray(grad) * direction), (up - down) / (2 * step), rtol=1e-7)
    with pytest.raises(ConcretizationError):
        fad.jit(function)(X)


@pytest.mark.parametrize("dtype", ["float64", "int64", "complex128", "bool"])
def test_sets_are_numpys(dtype):
    x = ARRAYS[dtype]
    every = {"return_index": True, "return_inverse": True, "return_counts": True}
    assert_same(fnp.unique(x, **every), np.unique(x, **every))
    assert_same(fnp.unique(x, axis=0, **every), np.unique(x, axis=0, **every))
    assert_same(fnp.unique(x), np.unique(x))
    for name in ("unique_all", "unique_counts", "unique_inverse"):
        assert_same(tuple(getattr(fnp, name)(x)), tuple(getattr(np, name)(x)))
        assert getattr(fnp, name)(x)._fields == getattr(np, name)(x)._fields
    assert_same(fnp.unique_values(x), np.sort(np.unique_values(x)))
    for invert in (False, True):
        assert_same(fnp.isin(x, x[1], invert=invert), np.isin(x, x[1], invert=invert))
    for name in ("union1d", "intersect1d", "setdiff1d", "setxor1d"):
        assert_same(getattr(fnp, name)(x[:2], x[1:]), getattr(np, name)(x[:2], x[1:]))
    expected = np.intersect1d(x[0], x[:2], return_indices=True)
    assert_same(fnp.intersect1d(x[0], x[:2], return_indices=True), expected)


def test_sets_with_nan_and_nothing():
    x = np.array([np.nan, 1.0, np.nan])
    assert fnp.unique(x).shape == (2,)
    assert fnp.unique(x, equal_nan=False).shape == (3,)
    assert fnp.unique_counts(x).values.shape == (3,)
    assert fnp.isin(x, x).tolist() == [False, True, False]
    assert fnp.isin([1.0], []).tolist() == [False]
    assert fnp.setxor1d(np.zeros(0), np.zeros(0)).shape == (0,)


def test_counts_are_numpys():
    numbers = np.array([0, 3, 3, 1])
    assert_same(fnp.bincount(numbers), np.bincount(numbers))
    assert_same(fnp.bincount(numbers, minlength=6), np.bincount(numbers, minlength=6))
    assert_same(fnp.bincount(numbers, weights=[1, 2, 3, 4]), np.bincount(numbers, weights=[1, 2, 3, 4]))
    assert fnp.bincount(numbers, length=2).tolist() == [1, 1]
    assert fad.jit(lambda n: fnp.bincount(n, length=3))(numbers).tolist() == [1, 1, 0]


@pytest.mark.parametrize("length", [0, 3, 200])
@pytest.mark.parametrize("dtype", np.typecodes["AllInteger"])
def test_counts_of_unknown_numbers(dtype, length):
    """Numbers that are too large are left out; a negative one is not counted from the end."""
    info = np.iinfo(dtype)
    numbers = np.array([0, 2, 2, 100, info.max], dtype)
    count = fad.jit(lambda n: fnp.bincount(n, length=length))
    for mapped in (count(numbers), fad.vmap(lambda n: fnp.bincount(n, length=length))(numbers[None])[0]):
        np.testing.assert_array_equal(mapped, [np.sum(numbers == k) for k in range(length)])
    negative = {-1, -length, -length - 1, int(info.min)} if length and info.min else ()  # no counts, nothing to compute
    for least in negative:
        if least >= info.min:
            with pytest.raises(IndexOutOfBoundsError):
                count(np.array([1, least, 0], dtype))


@pytest.mark.parametrize(
    "options", [{}, {"bins": 5}, {"bins": "auto"}, {"density": True}, {"bins": 4, "range": (-1, 1)}]
)
def test_histograms_are_numpys(options):
    for x in (X, X.astype(np.float32), np.round(X * 4), ARRAYS["int64"], np.full(3, 2.0), np.zeros(0)):
        if x.size == 0 and options.get("density"):
            continue  # NumPy divides zero by zero there
        assert_same(fnp.histogram(x, **options), np.histogram(x, **options))
        if isinstance(options.get("bins", 0), int):
            weights = np.random.default_rng(0).random(x.shape)
            found, expected = fnp.histogram(x, weights=weights, **options), np.histogram(x, weights=weights, **options)
            assert_same(found, expected)
        assert_same(
            fnp.histogram_bin_edges(x, **{k: v for k, v in options.items() if k != "density"}),
            np.histogram_bin_edges(x, **{k: v for k, v in options.items() if k != "density"}),
        )


def test_histograms_of_points():
    edges = [np.array([-2.0, 0.0, 0.5, 3.0]), 4, 2]
    assert_same(fnp.histogramdd(X.T, bins=edges), np.histogramdd(X.T, bins=edges))
    density = {"bins": 3, "density": True, "weights": np.arange(6.0)}
    assert_same(fnp.histogramdd(X.T, **density), np.histogramdd(X.T, **density))
    assert_same(fnp.histogram2d(X[0], X[1], bins=(2, 3)), np.histogram2d(X[0], X[1], bins=(2, 3)))
    assert_same(fnp.histogram2d(X[0], X[1], edges[0]), np.histogram2d(X[0], X[1], edges[0]))
    ranges = [(-1, 1), (-2, 2)]
    assert_same(fnp.histogram2d(X[0], X[1], 3, ranges), np.histogram2d(X[0], X[1], 3, ranges))


def test_sort_complex():
    assert_same(fnp.sort_complex(ARRAYS["complex128"]), np.sort_complex(ARRAYS["complex128"]))
    assert_same(fnp.sort_complex([3.0, 1.0]), np.sort_complex([3.0, 1.0]))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnp.sort(X, axis=2), ShapeError, "sort: axis 2 is out of bounds"),
        (lambda: fnp.sort(1.0), ShapeError, "0-d array has no axis to sort along"),
        (lambda: fnp.sort(X, kind="bogo"), ArgumentError, "kind must be one of"),
        (lambda: fnp.argsort(X, order="name"), ArgumentError, "structured arrays"),
        (lambda: fnp.partition(X, 6), IndexOutOfBoundsError, "kth .6. is out of bounds for an axis of size 6"),
        (lambda: fnp.top_k(X, 7), ShapeError, "k is 7, but axis 1"),
        (lambda: fnp.searchsorted(X, 1.0), ShapeError, "one axis"),
        (lambda: fnp.searchsorted(X[0], 1.0, "middle"), ArgumentError, "side must be"),
        (lambda: fnp.lexsort(()), ArgumentError, "at least one key"),
        (lambda: fnp.bincount([-1, 2]), ArgumentError, "must not be negative"),
        (lambda: fnp.bincount([0.5]), DTypeError, "must be integers"),
        (lambda: fnp.bincount([1, 2], weights=[1.0]), ShapeError, "weights of shape"),
        (lambda: fnp.histogram(X, bins=[1.0, 0.0]), ArgumentError, "must ascend"),
        (lambda: fnp.histogram(X, bins=0), ArgumentError, "must be positive"),
        (lambda: fnp.histogram(X, weights=[1.0]), ShapeError, "weights of shape"),
        (lambda: fnp.histogram(ARRAYS["complex128"]), DTypeError, "complex values have no order"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_bfloat16_sorts_nan_last():
    x = fnp.asarray([3.0, np.nan, 1.0, 2.0, np.nan, 0.0]).astype("bfloat16")
    np.testing.assert_array_equal(np.asarray(fnp.sort(x), float), [0, 1, 2, 3, np.nan, np.nan])
    np.testing.assert_array_equal(fnp.argsort(x), [5, 2, 3, 0, 1, 4])
    assert float(fnp.partition(x, 1)[1]) == 1.0
    assert fnp.searchsorted(fnp.sort(x), x).tolist() == [3, 4, 1, 2, 4, 0]


@pytest.mark.parametrize("side", ["left", "right"])
def test_python_numbers_keep_their_value_beside_narrow_arrays(side):
    small, single = np.array([1, 5, 255], np.uint8), np.array([0.1, 0.2], np.float32)
    for a, v in ((small, 300), (small, -1), (single, 0.1), (single, [0.1, 0.2])):
        assert_same(fnp.searchsorted(a, v, side), np.searchsorted(a, v, side))
        assert_same(fad.jit(fnp.searchsorted, static_argnums=2)(a, v, side), np.searchsorted(a, v, side))
        assert_same(fnp.digitize(v, a, side == "right"), np.digitize(v, a, side == "right"))
