"""Rows that are read at integer indices where they lie: values, derivatives, errors, and which loops are left."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.passes.pipeline import simplified
from fad.compiler.passes.row_reads import check_indices_once
from fad.compiler.passes.verifier import verify
from fad.core.errors import IndexOutOfBoundsError
from fad.core.program import evaluate

RNG = np.random.default_rng(0)
SOURCES, TARGETS = RNG.integers(-7, 7, 40), RNG.integers(0, 7, 40)


def table(rows=7, width=33, dtype=np.float64):
    return RNG.uniform(-1, 1, (rows, width)).astype(dtype)


def messages(x):
    difference = fnp.tanh(x[SOURCES] - x[TARGETS])
    return fnp.zeros_like(x).at[TARGETS].add(difference * x[SOURCES]) * 2.0


def attention(x):
    scores = fnp.sum(x[SOURCES] * x[TARGETS], axis=1)
    weights = fnp.exp(scores - scores.max())
    return fnp.zeros_like(x).at[TARGETS].add(weights[:, None] * x[SOURCES])


def own_rows_updated(x):
    y = x * 2.0
    return y.at[TARGETS].add(y[SOURCES] * 0.5)


def kept_and_read(x):
    rows = x[SOURCES]
    return rows, rows.sum(axis=0), fnp.sin(rows)


def two_indices(x):
    blocks = fnp.reshape(fnp.stack([x, 2.0 * x, x * x]), (3, *x.shape))
    return blocks[TARGETS % 3, SOURCES] + blocks[TARGETS[:4, None] % 3, TARGETS[:10]].sum(axis=(0, 1))


def indices_apart(x):
    blocks = fnp.stack([x, -x, x * x], axis=1)[:, :, None, :] * fnp.ones((1, 1, 2, 1))
    return fnp.cos(blocks[SOURCES, :, TARGETS % 2])


def second_axis(x):
    return (fnp.stack([x, x * 3.0])[:, SOURCES] * x[0]).sum(axis=-1)


def one_row(x):
    return x[3] * x[-1] + x[fnp.argmax(x[:, 0])]


def computed_indices(x):
    found = fnp.clip(fnp.floor(x[:, 0] * 3).astype(int), -3, 3)
    return x[found] * x[fnp.argsort(x[:, 1])]


def turned(x):
    return (x.T * 2.0).T[SOURCES] + x[::-1][TARGETS]


def narrow_indices(x):
    return x[TARGETS.astype(np.uint8)] * x[SOURCES.astype(np.int32)]


def over_many_rows(x):
    return fad.vmap(lambda i: fnp.tanh(x[i]) * x[0])(fnp.asarray(SOURCES))


def batched_tables(x):
    return fad.vmap(lambda t, i: t[i].sum(axis=0))(
        fnp.stack([x, x * x]), fnp.asarray(np.stack([SOURCES[:20], TARGETS[:20]]))
    )


def in_a_scan(x):
    def step(carry, i):
        carry = 0.5 * carry + x[i]
        return carry, carry * x[fnp.stack([i, -1 - i, 0])].sum(axis=0)

    return fad.scan(step, x[0], fnp.asarray(TARGETS))


CASES = [
    messages,
    attention,
    own_rows_updated,
    kept_and_read,
    two_indices,
    indices_apart,
    second_axis,
    one_row,
    computed_indices,
    turned,
    narrow_indices,
    over_many_rows,
    batched_tables,
    in_a_scan,
]


def assert_agree(got, expected, tolerance):
    for a, b in zip(fad.tree.leaves(got), fad.tree.leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("width", [16, 33, 130])
@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_values_and_both_derivatives_are_those_of_eager_mode(function, width):
    x = fnp.asarray(table(width=width))
    v = fnp.asarray(table(width=width))

    def all_of_it(x):
        out, pullback = fad.vjp(function, x)
        cotangents = fad.tree.map(fnp.cos, out)

        def gradient(x):
            return fad.vjp(function, x)[1](cotangents)[0]

        return out, pullback(cotangents), fad.jvp(function, (x,), (v,))[1], fad.jvp(gradient, (x,), (v,))[1]

    assert_agree(fad.jit(all_of_it)(x), all_of_it(x), 1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128, np.int32, np.bool_])
def test_other_dtypes(dtype):
    x = table().astype(dtype) if np.dtype(dtype).kind != "i" else RNG.integers(-9, 9, (7, 33)).astype(dtype)

    def function(x):
        return fnp.where(x[SOURCES] == x[TARGETS], x[SOURCES], x[TARGETS]), x[SOURCES][:, 3:9]

    assert_agree(fad.jit(function)(x), function(fnp.asarray(x)), 0)


@pytest.mark.parametrize("mode", ["clip", "drop"])
@pytest.mark.parametrize("function", [messages, attention, second_axis, narrow_indices], ids=lambda f: f.__name__)
def test_indices_outside_that_are_no_error(function, mode):
    x = fnp.asarray(table(rows=4))
    with fad.config.using(out_of_bounds=mode):
        assert_agree(fad.jit(function)(x), function(x), 1e-12)


@pytest.mark.parametrize("index", [[0, 7], [-8, 2], [2**62, 0]])
def test_an_index_outside_is_the_error_of_eager_mode(index):
    x, index = fnp.asarray(table()), fnp.asarray(index)

    def function(x, i):
        return fnp.sin(x[i] * x[i - i])

    with pytest.raises(IndexOutOfBoundsError) as eager:
        function(x, index)
    with pytest.raises(IndexOutOfBoundsError) as compiled:
        fad.jit(function)(x, index)
    assert str(eager.value).splitlines()[0] == str(compiled.value).splitlines()[0]
    assert_agree(fad.jit(function)(x, index % 7), function(x, index % 7), 1e-12)


def test_code_is_shared_by_sizes_and_indices_are_checked_for_each():
    function = fad.jit(lambda x, i: (x[i] * 2.0).sum(axis=1))
    for rows, width, count in ((300, 40, 20), (20, 100, 400), (17, 17, 17), (9, 16, 10)):
        x, index = RNG.uniform(-1, 1, (rows, width)), RNG.integers(-rows, rows, count)
        np.testing.assert_allclose(np.asarray(function(x, index)), (x[index] * 2.0).sum(axis=1), rtol=1e-12)
        index[count // 2] = rows
        with pytest.raises(IndexOutOfBoundsError):
            function(x, index)


def test_nothing_is_read_of_an_empty_table_and_no_index_is_no_row():
    function = fad.jit(lambda x, i: fnp.sin(x[i]))
    assert function(np.ones((5, 20)), np.zeros(0, int)).shape == (0, 20)
    assert function(np.ones((0, 20)), np.zeros(0, int)).shape == (0, 20)
    with pytest.raises(IndexOutOfBoundsError):
        function(np.ones((0, 20)), np.zeros(3, int))


def test_nan_rows_reach_only_who_reads_them():
    x = table()
    x[5] = np.nan
    rows, places = np.array([0, 5, 5, 1]), np.array([0, 2])

    def function(x):
        return x[rows] * 2.0, fnp.zeros((3, 33)).at[places].add(x[rows[1::2]] + 1.0)

    assert_agree(fad.jit(function)(x), function(fnp.asarray(x)), 1e-15)


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_the_pass_keeps_a_program_what_it_is(function):
    x = table()
    program = fad.make_program(function)(x)
    split = verify(check_indices_once(program), "check_indices_once")
    verify(simplified(program), "simplified")
    assert_agree(evaluate(split, x), fad.tree.leaves(function(fnp.asarray(x))), 1e-12)


def test_rows_are_not_copied_together():
    text = fad.jit(attention).lower(table()).as_text("kernels")
    assert "[i], j] *" in text
    # The indices are checked, and the sums read the rows themselves; no array of rows is left.
    kinds = [line.split(", ")[1].split(":")[0] for line in text.splitlines() if line.startswith("kernel ")]
    assert kinds.count("gather") == 0
    assert kinds.count("checked_indices") == 2  # one for each constant
    assert "writes 10.3 KiB" not in text


def test_rows_of_a_transposed_table_are_read_once():
    text = fad.jit(turned).lower(table()).as_text("kernels")
    assert "[i, j] + x[6 - " in text


def test_single_elements_are_still_read_by_loops_of_their_own():
    program = simplified(fad.make_program(lambda x: x[SOURCES] * 2.0)(np.ones(7)))
    assert [e.primitive.name for e in program.equations][0] == "gather"
