"""Indexing, updates and the functions that pick or place elements: against NumPy on random indices, in every mode."""

import random

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import (
    ArgumentError,
    ConcretizationError,
    DTypeError,
    ImmutableArrayError,
    IndexOutOfBoundsError,
    ShapeError,
)
from fad.testing import check_grads

UPDATES = {
    "set": None,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}


def random_slice(size, choose):
    bound = lambda: choose.choice([None, choose.randint(-size - 2, size + 2)])  # noqa: E731
    return slice(bound(), bound(), choose.choice([None, 1, 2, -1, -2, 3]))


def random_item(size, choose, generator):
    """An index for one axis: an integer, slice, list, array or mask."""
    kind = choose.choice(["int", "numpy", "0-d", "slice", "array", "array", "list", "mask"])
    one = choose.randint(-size, size - 1)
    if kind in ("int", "numpy", "0-d"):
        return {"int": one, "numpy": np.int32(one), "0-d": np.array(one)}[kind]
    if kind == "slice":
        return random_slice(size, choose)
    if kind == "list":
        return [one, choose.randint(-size, size - 1)]
    if kind == "array":
        return generator.integers(-size, size, choose.choice([(2,), (1,), (2, 2), (3, 1, 2)]))
    mask = np.zeros(size, bool)
    mask[generator.permutation(size)[:2]] = True
    return mask


def random_index(shape, choose, generator):
    """A tuple of anything NumPy takes, with new axes, 0-d masks and an ellipsis here and there."""
    items, used = [], 0
    while used < len(shape) and choose.random() < 0.85:
        roll = choose.random()
        if roll < 0.1:
            items.append(None)
        elif roll < 0.15:
            items.append(choose.choice([True, np.True_, False]))
        else:
            items.append(random_item(shape[used], choose, generator))
            used += 1
    if choose.random() < 0.3:
        items.insert(choose.randint(0, len(items)) if used == len(shape) else len(items), Ellipsis)
    return tuple(items)


def random_cases(count, seed):
    """Arrays and indices that NumPy accepts."""
    choose, generator = random.Random(seed), np.random.default_rng(seed)
    cases = []
    while len(cases) < count:
        shape = tuple(choose.randint(2, 4) for _ in range(choose.randint(0, 4)))
        x, index = generator.normal(size=shape), random_index(shape, choose, generator)
        try:
            selected = x[index]
        except IndexError:
            continue
        cases.append((x, index, selected))
    return cases


@pytest.mark.parametrize("seed", range(4))
def test_reading_is_numpys(seed):
    for x, index, expected in random_cases(300, seed):
        found = np.asarray(fad.Array(x)[index])
        assert found.shape == expected.shape, (x.shape, index)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", range(2))
def test_gradients_count_how_often_elements_are_read(seed):
    for x, index, selected in random_cases(80, seed):
        weights = np.random.default_rng(1).normal(size=selected.shape)
        expected = np.zeros(x.size)
        np.add.at(expected, np.arange(x.size).reshape(x.shape)[index].ravel(), weights.ravel())
        loss = lambda x: fnp.sum(x[index] * weights)  # noqa: B023, E731
        np.testing.assert_allclose(fad.grad(loss)(x), expected.reshape(x.shape), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(fad.jit(fad.grad(loss))(x), expected.reshape(x.shape), rtol=1e-12, atol=1e-14)


def test_reading_under_jit_and_vmap():
    for x, index, selected in random_cases(60, 7):
        np.testing.assert_array_equal(fad.jit(lambda x: x[index])(x), selected)  # noqa: B023
        rows = np.stack([x, x + 1.0])
        found = fad.vmap(lambda x: x[index])(rows)  # noqa: B023
        np.testing.assert_array_equal(found, np.stack([row[index] for row in rows]))


def updated(x, index, op, values):
    """NumPy's assignment, or ``ufunc.at`` in one dimension."""
    out = np.array(x)
    if op == "set":
        out[index] = values
        return out
    places = np.arange(x.size).reshape(x.shape)[index]
    flat = out.reshape(-1)
    UPDATES[op].at(flat, places.ravel(), np.broadcast_to(values, places.shape).ravel())
    return flat.reshape(x.shape)


@pytest.mark.parametrize("op", UPDATES)
def test_updates_are_numpys(op):
    generator = np.random.default_rng(3)
    for x, index, selected in random_cases(120, 11):
        shape = generator.choice([0, 1, 2])
        values = generator.normal(size=[selected.shape, selected.shape[-1:], ()][shape])
        expected = updated(x, index, op, values)
        np.testing.assert_allclose(getattr(fad.Array(x).at[index], op)(values), expected, rtol=1e-12)


@pytest.mark.parametrize("op", ["set", "add", "multiply", "max"])
def test_updates_under_jit_and_vmap(op):
    for x, index, selected in random_cases(40, 5):
        values = np.random.default_rng(2).normal(size=selected.shape)
        function = lambda x, v: getattr(x.at[index], op)(v)  # noqa: B023, E731
        np.testing.assert_allclose(fad.jit(function)(x, values), updated(x, index, op, values), rtol=1e-12)
        found = fad.vmap(function, in_axes=(0, None))(np.stack([x, -x]), values)
        np.testing.assert_allclose(found, [updated(y, index, op, values) for y in (x, -x)], rtol=1e-12)


X = np.random.default_rng(8).normal(size=(4, 3))
V = np.random.default_rng(9).normal(size=(5, 3))
ROWS = np.array([1, 3, 1, 0, 1])
LABELS = np.array([2, 0, 2, 1])
DIFFERENTIABLE = {
    **{f"at_{op}": (lambda x, v, op=op: getattr(x.at[ROWS], op)(v)) for op in UPDATES if op != "divide"},
    "at_divide": lambda x, v: x.at[ROWS].divide(2.0 + v**2),
    "at_power": lambda x, v: fnp.exp(x).at[1:3].power(v[:2]),
    "at_apply": lambda x, v: x.at[1:, 0].apply(lambda old: old**2) * v[:4],
    "at_basic": lambda x, v: x.at[1:3, ::-2].set(v[:2, :2] ** 2).at[0].mul(x[1]),
    "at_mixed": lambda x, v: x.at[:2, [2, 0]].add(v[:2, :2]).at[[0, 0], 1:].multiply(v[1:3, 1:]),
    "at_drop": lambda x, v: x.at[np.array([1, 9, -9, 1, 2])].add(v, mode="drop"),
    "take": lambda x, v: fnp.take(x, [0, 2, 2], axis=1) ** 2 + v[:4],
    "take_flat": lambda x, v: fnp.take(x, [[0, 7], [11, -1]]) * v[0, 0],
    "take_wrap": lambda x, v: fnp.take(x, [5, -7], axis=0, mode="wrap") * v[:2],
    "take_along_axis": lambda x, v: fnp.take_along_axis(x, LABELS[:, None], 1) * v[:4],
    "take_along_argsort": lambda x, v: fnp.take_along_axis(x, fnp.argsort(x, axis=0), 0) * v[:4],
    "put_along_axis": lambda x, v: fnp.put_along_axis(x, LABELS[:, None], v[:4, :1], 1) ** 2,
    "choose": lambda x, v: fnp.choose([[0, 1, 0]], [x[0], v[1]]),
    "compress": lambda x, v: fnp.compress([True, False, True], x, axis=1) * v[:4, :2],
    "extract": lambda x, v: fnp.extract(np.tri(4, 3), x) * v[0, 1],
    "dynamic_slice": lambda x, v: fnp.dynamic_slice(x, (1, -2), (2, 2)) * v[:2, :2],
    "dynamic_update_slice": lambda x, v: fnp.dynamic_update_slice(x, v[:2, :2] ** 2, (2, 1)),
    "segment_sum": lambda x, v: fnp.segment_sum(v, [0, 2, 0, 1, 2], 4) * x,
    "segment_prod": lambda x, v: fnp.segment_prod(v, [0, 2, 0, 1, 2], 4) * x,
    "segment_max": lambda x, v: fnp.segment_max(v, [0, 2, 0, 1, 2], 3) * x[:3],
    "segment_min": lambda x, v: fnp.segment_min(v, [0, 2, 0, 1, 2], 3) * x[:3],
    "ix_": lambda x, v: x[fnp.ix_([0, 2], [1, 2])] * v[:2, 0],
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name):
    check_grads(DIFFERENTIABLE[name], (X, V), order=2)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_staged_and_batched(name):
    function = DIFFERENTIABLE[name]
    np.testing.assert_allclose(fad.jit(function)(X, V), function(fad.Array(X), fad.Array(V)), rtol=1e-12)
    batch = np.stack([X, X * 0.5 - 1.0])
    expected = np.stack([function(fad.Array(x), fad.Array(V)) for x in batch])
    np.testing.assert_allclose(fad.vmap(function, in_axes=(0, None))(batch, V), expected, rtol=1e-12)


def test_dynamic_indices():
    x = np.arange(12.0).reshape(4, 3)
    assert fad.jit(lambda x, i: x[i, 1])(x, 2) == 7.0
    np.testing.assert_array_equal(fad.jit(lambda x, i: x[:, i])(x, -1), x[:, -1])
    np.testing.assert_array_equal(fad.jit(lambda x, i: x[i])(x, np.array([3, -4])), x[[3, 0]])
    np.testing.assert_array_equal(fad.vmap(lambda row, i: row[i])(x, np.array([0, 1, 2, -1])), [0, 4, 8, 11])
    np.testing.assert_array_equal(fad.vmap(lambda i: fad.Array(x)[i])(np.array([3, 0])), x[[3, 0]])
    found = fad.vmap(lambda row, i, v: row.at[i].set(v))(x, np.array([0, 1, 2, -1]), np.ones(4))
    np.testing.assert_array_equal(found, updated(x, (np.arange(4), [0, 1, 2, -1]), "set", np.ones(4)))
    windows = fad.vmap(lambda i: fnp.dynamic_slice(x, (i, 0), (2, 3)))(np.array([0, -2]))
    np.testing.assert_array_equal(windows, np.stack([x[:2], x[2:]]))
    slope = fad.jit(fad.grad(lambda x, i: x[i] ** 2))(np.array([1.0, 2.0, 3.0]), 1)
    np.testing.assert_array_equal(slope, [0.0, 4.0, 0.0])


def test_iteration():
    def first_and_last(x):
        first, _, last = x
        return first[0] * last[1] ** 2

    x = np.arange(6.0).reshape(3, 2) + 1.0
    expected = [[36.0, 0.0], [0.0, 0.0], [0.0, 12.0]]
    np.testing.assert_array_equal(fad.grad(first_and_last)(x), expected)
    np.testing.assert_array_equal(fad.jit(fad.grad(first_and_last))(x), expected)
    check_grads(first_and_last, (x,), order=2)
    check_grads(lambda x: [row * k for k, row in enumerate(x)], (x,), order=2)
    batch = np.stack([x, -x])
    np.testing.assert_array_equal(fad.vmap(first_and_last)(batch), [first_and_last(row) for row in batch])
    assert [float(v) for v in fad.Array([1.0, 2.0])] == [1.0, 2.0]
    assert list(fad.Array(np.zeros((0, 2)))) == []
    with pytest.raises(ShapeError, match="iteration over a 0-d array"):
        iter(fad.Array(1.0))


def test_traced_index_out_of_bounds():
    x = np.array([1.0, 2.0, 3.0])
    for function in (lambda x, i: x[i], lambda x, i: x.at[i].set(0.0), lambda x, i: fnp.dynamic_slice(x, (i,), (1,))):
        assert fad.jit(function)(x, 2).size in (1, 3)
        with pytest.raises(IndexOutOfBoundsError):
            fad.jit(function)(x, 3)
        with pytest.raises(IndexOutOfBoundsError):
            fad.vmap(function, in_axes=(None, 0))(x, np.array([0, -4]))


def test_index_that_depends_on_the_value():
    x = np.array([1.0, 5.0, 2.0])
    np.testing.assert_array_equal(fad.grad(lambda x: x[fnp.argmax(x)] * 2)(x), [0, 2, 0])
    np.testing.assert_array_equal(fad.grad(lambda x: fnp.sum(x[x > 1.5] ** 2))(x), [0, 10, 4])
    np.testing.assert_array_equal(fad.jit(lambda x: x[fnp.argmax(x)])(x), 5.0)


def test_repeated_updates():
    """The conventions for an element that is written several times."""
    x, where = np.zeros(3), np.array([1, 1, 0])
    by_values = lambda op, v: fad.jacobian(lambda v: getattr(fad.Array(x + 1.0).at[where], op)(v))(v)  # noqa: E731
    np.testing.assert_array_equal(by_values("set", np.ones(3)), [[0, 0, 1], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(by_values("add", np.ones(3)), [[0, 0, 1], [1, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(by_values("mul", np.array([0.0, 3.0, 2.0])), [[0, 0, 1], [3, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(by_values("max", np.array([5.0, 5.0, 7.0])), [[0, 0, 1], [0.5, 0.5, 0], [0, 0, 0]])
    np.testing.assert_array_equal(by_values("min", np.array([5.0, 1.0, 0.0])), [[0, 0, 1], [0, 0.5, 0], [0, 0, 0]])
    slope = fad.grad(lambda x: fnp.sum(x.at[where].set(7.0) ** 2))(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(slope, [0, 0, 6])


def test_product_updates_with_zeros():
    values, where = np.array([0.0, 2.0, 0.0, 3.0, 0.0]), np.array([1, 1, 1, 0, 2])
    check_grads(lambda x, v: x.at[where].multiply(v), (np.array([1.5, -2.0, 0.0]), values), order=3)
    check_grads(lambda v: fnp.segment_prod(v, where, 3), (values,), order=3)


def test_out_of_bounds_modes():
    x, where = fad.Array([1.0, 2.0, 3.0]), np.array([0, 5, -7])
    with pytest.raises(IndexOutOfBoundsError):
        x[where]
    with fad.config.using(out_of_bounds="clip"):
        np.testing.assert_array_equal(x[where], [1, 3, 1])
        np.testing.assert_array_equal(fad.grad(lambda x: fnp.sum(x[where]))(x), [2, 0, 1])
        np.testing.assert_array_equal(fnp.dynamic_slice(x, (2,), (2,)), [2, 3])
    with fad.config.using(out_of_bounds="drop"):
        np.testing.assert_array_equal(x[where], [1, 0, 0])
        np.testing.assert_array_equal(fad.grad(lambda x: fnp.sum(x[where]))(x), [1, 0, 0])
        np.testing.assert_array_equal(x.at[where].set(9.0), [9, 2, 3])
        np.testing.assert_array_equal(fad.Array(np.zeros((0, 2)))[np.array([3])], np.zeros((1, 2)))
    np.testing.assert_array_equal(x.at[where].add(1.0, mode="clip"), [3, 2, 4])
    np.testing.assert_array_equal(x.at[where].get(mode="drop"), [1, 0, 0])
    np.testing.assert_array_equal(fnp.take(x, where, mode="clip"), np.take([1, 2, 3], where, mode="clip"))
    np.testing.assert_array_equal(fnp.take(x, where, mode="wrap"), np.take([1, 2, 3], where, mode="wrap"))


def test_updates_leave_the_array_and_its_dtype_alone():
    x = fnp.arange(3)
    y = x.at[0].set(True)
    np.testing.assert_array_equal(x, [0, 1, 2])
    assert y.dtype == np.int64 and y.tolist() == [1, 1, 2]
    assert fnp.zeros(2, "float32").at[0].add(0.1).dtype == np.float32
    assert fnp.zeros(2, "float32").at[0].add(np.float64(0.1)).dtype == np.float32
    assert fnp.zeros((2, 3)).at[0].set(np.ones((1, 3))).tolist() == [[1, 1, 1], [0, 0, 0]]


def test_functions_are_numpys():
    x = np.random.default_rng(0).normal(size=(3, 4))
    known = np.array([[0, 1], [2, 2]])
    assert_equal = np.testing.assert_array_equal
    assert_equal(fnp.take(x, known, axis=1), np.take(x, known, axis=1))
    assert_equal(fnp.take(x, []), np.take(x, np.array([], int)))
    assert_equal(fnp.take_along_axis(x, known[:, :1] - 1, 0), np.take_along_axis(x, known[:, :1] - 1, 0))
    assert_equal(fnp.take_along_axis(x, np.array([5, 0]), None), np.take_along_axis(x, np.array([5, 0]), None))
    choices = [x, -x, x * 2, x + 10]
    assert_equal(fnp.choose(np.array([[0], [3], [2]]), choices), np.choose(np.array([[0], [3], [2]]), choices))
    assert_equal(fnp.compress([False, True], x, axis=0), np.compress([False, True], x, axis=0))
    assert_equal(fnp.extract(x > 0, x), np.extract(x > 0, x))
    assert_equal(fnp.argwhere(x > 0), np.argwhere(x > 0))
    assert_equal(fnp.flatnonzero(x > 0), np.flatnonzero(x > 0))
    for found, expected in zip(fnp.nonzero(x > 0), np.nonzero(x > 0), strict=True):
        assert_equal(found, expected)
    for order in "CF":
        for found, expected in zip(
            fnp.unravel_index(known, (2, 3), order), np.unravel_index(known, (2, 3), order), strict=True
        ):
            assert_equal(found, expected)
        multi = (known, known + 1)
        assert_equal(
            fnp.ravel_multi_index(multi, (3, 4), order=order), np.ravel_multi_index(multi, (3, 4), order=order)
        )
    for mode in ("wrap", "clip"):
        assert_equal(fnp.ravel_multi_index(multi, (2, 2), mode), np.ravel_multi_index(multi, (2, 2), mode))
    assert_equal(x[fnp.ix_([True, False, True], [3, 1])], x[np.ix_([True, False, True], [3, 1])])
    target = x[:2].copy()
    np.put_along_axis(target, known, [[7.0, 8.0]], axis=1)
    assert_equal(fnp.put_along_axis(x[:2], known, [[7.0, 8.0]], axis=1), target)


def test_segments_in_plain_words():
    rows, numbers = np.arange(8.0).reshape(4, 2), np.array([2, 0, 2, 0])
    np.testing.assert_array_equal(fnp.segment_sum(rows, numbers, 4), [[8, 10], [0, 0], [4, 6], [0, 0]])
    np.testing.assert_array_equal(fnp.segment_max(rows, numbers)[0], [6, 7])
    np.testing.assert_array_equal(fnp.segment_min(rows, numbers)[1], [np.inf, np.inf])
    np.testing.assert_array_equal(fnp.segment_prod(rows, numbers)[2], [0, 5])
    assert fad.jit(lambda v: fnp.segment_sum(v, numbers, 3))(rows).shape == (3, 2)


def test_numpy_functions_that_write_in_place_are_refused():
    x = fad.Array([1.0, 2.0, 3.0])
    with pytest.raises(ImmutableArrayError):
        np.put_along_axis(x, np.array([0]), 5.0, 0)
    with pytest.raises(ImmutableArrayError, match=r"x\.at\[i\]\.set"):
        x[0] = 5.0


def staged(function):
    return lambda: fad.jit(function)(np.arange(6.0).reshape(2, 3))


MATRIX = fad.Array(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: MATRIX[2],
            IndexOutOfBoundsError,
            r"index 2 is out of bounds for axis 0 of size 2 .*valid are -2 to 1",
        ),
        (lambda: MATRIX[0, -4], IndexOutOfBoundsError, "index -4 is out of bounds for axis 1 of size 3"),
        (
            lambda: MATRIX[[0, 7]],
            IndexOutOfBoundsError,
            r"index 7 \(element \[1\] of the index array\) is out of bounds",
        ),
        (lambda: MATRIX[np.array(0), [[3]]], IndexOutOfBoundsError, "index 3 .* out of bounds for axis 1 of size 3"),
        (lambda: MATRIX[0, 0, 0], IndexOutOfBoundsError, r"too many indices: 3 for an array of shape \(2, 3\)"),
        (lambda: fad.Array(1.0)[0], IndexOutOfBoundsError, "too many indices: 1"),
        (lambda: MATRIX[1.0], DTypeError, "float64 are no indices"),
        (lambda: MATRIX["a"], DTypeError, "no named fields"),
        (lambda: MATRIX[1.5:], DTypeError, "bounds of a slice must be integers"),
        (lambda: MATRIX[::0], ArgumentError, "step of a slice cannot be zero"),
        (lambda: MATRIX[..., 0, ...], ArgumentError, "only one ellipsis"),
        (lambda: MATRIX[np.ones(3, bool)], ShapeError, r"mask of shape \(3,\) does not fit the axes \(2,\)"),
        (lambda: MATRIX[[0, 1], [0, 1, 2]], ShapeError, r"\(2,\) and \(3,\) of the index arrays do not broadcast"),
        (staged(lambda x: x[x > 0]), ConcretizationError, r"boolean mask .* fad\.numpy\.where"),
        (staged(lambda x: x[: fnp.argmax(x)]), ConcretizationError, r"bounds of a slice .*dynamic_slice"),
        (staged(lambda x: x[np.array([5])]), IndexOutOfBoundsError, "index 5 .* axis 0 of size 2"),
        (staged(lambda x: fnp.nonzero(x)), ConcretizationError, "depends on the values of the array"),
        (staged(lambda x: fnp.compress(x[0] > 0, x)), ConcretizationError, "compress: the boolean mask"),
        (lambda: MATRIX.at[0].set(np.ones(2)), ShapeError, r"selects shape \(3,\), and values of shape \(2,\)"),
        (lambda: MATRIX.at[5].set(1.0), IndexOutOfBoundsError, "index 5 is out of bounds"),
        (lambda: MATRIX.at[[0, 5]].add(1.0), IndexOutOfBoundsError, "x.at.*add: index 5"),
        (lambda: fnp.arange(3).at[0].set(1.5), DTypeError, "float64 do not fit into an array of dtype int64"),
        (lambda: fnp.arange(3).at[0].divide(2), DTypeError, "astype"),
        (lambda: MATRIX.at[0].set(1.0, mode="wild"), ArgumentError, "mode must be"),
        (lambda: MATRIX.at[0].set(1.0, sorted=True), ArgumentError, "does not take sorted"),
        (lambda: fnp.take(MATRIX, 9), IndexOutOfBoundsError, "index 9"),
        (lambda: fnp.take(MATRIX, 0.5), DTypeError, "take: indices must be integers, got float64"),
        (lambda: fnp.take_along_axis(MATRIX, [0], 0), ShapeError, "same number of axes"),
        (
            lambda: fnp.dynamic_slice(MATRIX, (1, 0), (2, 3)),
            IndexOutOfBoundsError,
            "window of size 2 at 1 is not inside",
        ),
        (lambda: fnp.dynamic_slice(MATRIX, (0,), (2, 3)), ShapeError, "1 starts for an array with 2 axes"),
        (lambda: fnp.segment_sum([1.0], [3], 2), IndexOutOfBoundsError, "index 3"),
        (lambda: fnp.segment_sum([1.0], [0, 1], 2), ShapeError, "leading axes"),
        (lambda: fnp.unravel_index(9, (2, 3)), IndexOutOfBoundsError, "out of bounds"),
        (lambda: fnp.ravel_multi_index((2, 0), (2, 3)), IndexOutOfBoundsError, "axis 0 of size 2"),
        (lambda: fnp.choose([2], [[1.0], [2.0]]), IndexOutOfBoundsError, "index 2"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("wrap", [lambda f: f, fad.jit], ids=["evaluated", "compiled"])
def test_an_index_beyond_int64_is_outside(wrap):
    x, far = fad.Array(np.arange(5.0)), np.array([2**64 - 1, 1], np.uint64)
    for read in (
        lambda x, i: x[i],
        lambda x, i: fnp.take_along_axis(x, i, 0),
        lambda x, i: x.at[i].set(9.0),
        lambda x, i: x.at[i].max(9.0),
        lambda x, i: fnp.segment_sum(x[:2], i, 5),
        lambda x, i: fad.vmap(lambda row: fnp.segment_max(row[:2], i, 5))(x[None]),
    ):
        # NumPy takes it for -1.
        with pytest.raises(IndexOutOfBoundsError, match="out of bounds for axis"):
            wrap(read)(x, far)
        read(x, far % np.uint64(5))
    np.testing.assert_array_equal(wrap(lambda x, i: x.at[i].get(mode="clip"))(x, far), [4.0, 1.0])
    np.testing.assert_array_equal(wrap(lambda x, i: x.at[i].get(mode="drop"))(x, far), [0.0, 1.0])
    branches = [lambda x: x, lambda x: -x]
    np.testing.assert_array_equal(wrap(lambda x, i: fad.switch(i[0], branches, x))(x, far), -np.arange(5.0))
