"""Indices of every dtype, in and out of bounds: compiled code does what evaluation does, in every mode."""

import traceback

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fad
import fad.numpy as fnp
from fad.core.array import wrap
from fad.core.errors import IndexOutOfBoundsError
from fad.numpy.conversion import operand
from fad.primitives.windows import dynamic_slice, dynamic_update_slice

INDEX_DTYPES = ["i8", "i4", "i2", "i1", "u8", "u4", "u1"]


def starts_of(x, i):
    return [operand(i.reshape(-1)[k % i.size]) for k in range(x.ndim)]


def read_window(x, i, mode):
    sizes = tuple(max(0, n - 1) for n in x.shape)
    return wrap(dynamic_slice(operand(x), starts_of(x, i), sizes, "raise" if mode == "drop" else mode))


def write_window(x, i, mode):
    update = fnp.ones(tuple(max(0, n - 2) for n in x.shape), x.dtype)
    where = "raise" if mode == "drop" else mode
    return wrap(dynamic_update_slice(operand(x), operand(update), starts_of(x, i), where))


def count_up(x, i, mode):
    def turn(state):
        k, x = state
        return k + 1, x.at[i.reshape(-1)[k]].add(1, mode=mode)

    return fad.while_loop(lambda state: state[0] < i.size, turn, (0, x))


OPERATIONS = {
    "read": lambda x, i, mode: x.at[i].get(mode=mode),
    "read the last axis": lambda x, i, mode: x.at[..., i].get(mode=mode),
    "set": lambda x, i, mode: x.at[i].set(2, mode=mode),
    "add": lambda x, i, mode: x.at[..., i].add(2, mode=mode),
    "multiply": lambda x, i, mode: x.at[i].multiply(3, mode=mode),
    "max": lambda x, i, mode: x.at[i].max(2, mode=mode),
    "two axes": lambda x, i, mode: x.at[(i,) * min(x.ndim, 2)].min(1, mode=mode),
    "take": lambda x, i, mode: fnp.take(x, i, axis=0, mode="wrap" if mode == "drop" else mode),
    "take along": lambda x, i, mode: fnp.take_along_axis(x.reshape(-1), i.reshape(-1), 0, mode=mode),
    "put along": lambda x, i, mode: fnp.put_along_axis(x.reshape(-1), i.reshape(-1), 1, 0, mode=mode),
    "gradient of reading": lambda x, i, mode: fad.grad(lambda x: fnp.sum(x.at[i].get(mode=mode) ** 2))(x),
    "gradient of writing": lambda x, i, mode: fad.grad(lambda x: fnp.sum(x.at[i].set(0.0, mode=mode) ** 2))(x),
    "one number": lambda x, i, mode: x.at[i.reshape(-1)[0]].get(mode=mode) if i.size else x,
    "scan": lambda x, i, mode: fad.scan(
        lambda c, k: (c.at[k].add(1, mode=mode), c.at[k].get(mode=mode)), x, i.reshape(-1)
    ),
    "while loop": count_up,
    "branch": lambda x, i, mode: fad.cond(x[..., :1].size > 1, lambda: x.at[i].add(1, mode=mode), lambda: x * 2),
    "batch of reads": lambda x, i, mode: fad.vmap(lambda k: x.at[k].get(mode=mode), axis_size=i.size)(i.reshape(-1)),
    "batch of writes": lambda x, i, mode: fad.vmap(lambda k: x.at[k].set(1, mode=mode))(i.reshape(-1)) if i.size else x,
    "read a window": lambda x, i, mode: read_window(x, i, mode) if i.size else x,
    "write a window": lambda x, i, mode: write_window(x, i, mode) if i.size else x,
}


def indices(draw_numbers, shape, size, dtype, inside):
    limits = np.iinfo(dtype)
    ends = [0, 1, size - 1, size, size + 1, -1, -size, -size - 1, size // 2]
    ends += [limits.max, limits.min, limits.max - 1, limits.min + 1, limits.min + size]
    allowed = [n for n in ends if limits.min <= n <= limits.max and (not inside or -size <= n < size)] or [0]
    count = int(np.prod(shape, dtype=int))
    chosen = [allowed[draw_numbers[k % len(draw_numbers)] % len(allowed)] for k in range(count)]
    return np.array(chosen, dtype).reshape(shape)


def outcome(function, *args):
    try:
        with np.errstate(all="ignore"):
            return [np.asarray(out) for out in fad.tree.leaves(function(*args))]
    except IndexError as error:
        return type(error)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(list(OPERATIONS)),
    st.sampled_from(["raise", "clip", "drop"]),
    st.lists(st.sampled_from([0, 1, 3, 9, 17, 30]), min_size=1, max_size=3).map(tuple),
    st.sampled_from([(), (1,), (2,), (9,), (3, 4), (0,), (20,)]),
    st.sampled_from(["f8", "f4"]),
    st.sampled_from(INDEX_DTYPES),
    st.booleans(),
    st.lists(st.integers(0, 99), min_size=1, max_size=20),
)
def test_compiled_code_treats_indices_as_evaluation_does(
    name, mode, shape, index_shape, dtype, index_dtype, inside, chosen
):
    x = fad.Array(np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape) % 7 - 3)
    size = shape[-1] if name in ("read the last axis", "add") else x.size if name.endswith("along") else shape[0]
    i = fad.Array(indices(chosen, index_shape, size, np.dtype(index_dtype), inside))
    function = OPERATIONS[name]
    expected = outcome(function, x, i, mode)
    found = outcome(fad.jit(function, static_argnums=2), x, i, mode)
    if isinstance(expected, type):
        assert found is expected is IndexOutOfBoundsError
        return
    for seen, wanted in zip(found, expected, strict=True):
        assert seen.dtype == wanted.dtype
        np.testing.assert_array_equal(seen, wanted)


@pytest.mark.parametrize("index", [9, -10, np.int8(100), np.array(11), 2**70, -(2**70)])
def test_modes_hold_for_single_numbers_too(index):
    x = fad.Array(np.arange(9.0))
    assert x.at[index].get(mode="drop") == 0
    assert x.at[index].get(mode="clip") == (8 if index > 0 else 0)
    np.testing.assert_array_equal(x.at[index].add(5.0, mode="drop"), x)
    with pytest.raises(IndexOutOfBoundsError, match="out of bounds for axis 0 of size 9"):
        x.at[index].get()
    assert fad.Array(np.ones((9, 2))).at[index, :1].get(mode="clip").shape == (1,)


@pytest.mark.parametrize("dtype", ["i1", "u1"])
def test_narrow_indices_of_wide_axes(dtype):
    x, i = np.arange(1000.0), np.array([5, 100, 127], dtype)
    for mode in ("clip", "wrap", "raise"):
        for take in (fnp.take, lambda x, i, mode: fnp.take_along_axis(x, i, 0, mode=mode)):
            np.testing.assert_array_equal(take(x, i, mode=mode), x[i])
            np.testing.assert_array_equal(fad.jit(lambda x, i, take=take, mode=mode: take(x, i, mode=mode))(x, i), x[i])


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u4", "i8", "u8"])
def test_python_integers_beyond_a_dtype(dtype):
    limits = np.iinfo(dtype)
    x = np.array([limits.min, limits.max, 0, 1, 3] * 3, dtype)
    numbers = [
        11,
        100,
        127,
        128,
        200,
        255,
        256,
        -1,
        -129,
        40_000,
        2**31,
        2**32 - 1,
        2**63 - 1,
        2**63,
        2**64,
        -(2**63) - 1,
    ]
    for number in numbers:
        for compare in (fnp.less, fnp.greater_equal, fnp.equal):
            wanted = compare(x, number)
            np.testing.assert_array_equal(fad.jit(lambda x, n=number, c=compare: c(x, n))(x), wanted)
        add = fad.jit(lambda x, n=number: x + n)
        if limits.min <= number <= limits.max:
            np.testing.assert_array_equal(add(x), x + np.dtype(dtype).type(number))
        else:
            with pytest.raises(OverflowError):
                add(x)


def test_numbers_that_do_not_fit_are_not_stored():
    x = fad.Array(np.zeros(3, "i1"))
    for attempt in (
        lambda: x.at[0].set(1000),
        lambda: fnp.full(3, 1000, "i1"),
        lambda: fnp.asarray(-1, dtype="u1"),
        lambda: fnp.array([1, 1000], dtype="i1"),
        lambda: fad.jit(lambda x: x.at[0].set(1000))(x),
    ):
        with pytest.raises(OverflowError, match="out of bounds for"):
            attempt()


def looked_up(table, i):
    return table[i] * 2.0


def solved(a):
    return fnp.sum(fnp.linalg.cholesky(a))


@pytest.mark.parametrize("wrap", [fad.jit, lambda f: fad.jit(fad.grad(lambda *args: fnp.sum(f(*args))))])
def test_an_index_that_is_found_wrong_while_compiled_code_runs_names_the_line(wrap):
    function = wrap(looked_up)
    function(np.ones(3), 1)
    place = r"It came up (in the backward pass of gather, )?at .*test_bounds.py:\d+ \(looked_up\)"
    for index in (5, 7):  # in the second and third call, by other ways into native code
        with pytest.raises(IndexOutOfBoundsError, match=place) as found:
            function(np.ones(3), index)
        assert "table[i] * 2.0" in str(found.value)
        assert "During handling" not in "".join(traceback.format_exception(found.value))


def test_a_matrix_that_is_found_wrong_while_compiled_code_runs_names_the_line():
    function = fad.jit(solved)
    function(np.eye(2))
    for _ in range(2):
        with pytest.raises(fad.errors.LinAlgError, match=r"It came up at .*test_bounds.py:\d+ \(solved\)") as found:
            function(-np.eye(2))
        assert "During handling" not in "".join(traceback.format_exception(found.value))
