"""How much work loops are, and how many chunks that makes."""

import ctypes
import math
import operator
from types import SimpleNamespace

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.fusion import plan_steps
from fad.compiler.llvm.linking import engine
from fad.compiler.llvm.pool import GRAIN
from fad.compiler.llvm.work import group_work, most_work
from tests.compiler.compiled_programs import check_compiled

NUMBERS = SimpleNamespace(add=operator.add, multiply=operator.mul, product=math.prod, divide=divmod, smaller=min)


def works_of(f, *args):
    """The work of each loop, and the most that it may be."""
    plan = plan_steps(fad.make_program(f)(*args))
    return [(group_work(NUMBERS, g, plan.stored), most_work(g, plan.stored)) for g in plan.steps]


@pytest.mark.parametrize(("dtype", "weight"), [("f8", 12), ("f4", 6), ("c16", 24), ("i1", 3), ("?", 3)])
def test_bytes_that_no_cache_holds_are_work(dtype, weight):
    rows = (1 << 20) // np.dtype(dtype).itemsize // 16
    for count, each in ((rows, weight), (rows - 1, 3)):
        x, y = np.ones((count, 1), dtype), np.ones((1, 16), dtype)
        ((work, most),) = works_of(lambda x, y: x * y, x, y)
        assert work == count * 16 * each <= most


def test_what_stays_in_registers_writes_nothing():
    x, y = np.ones((1 << 16, 16)), np.ones((1 << 16, 16))
    assert [work for work, _ in works_of(lambda x, y: fnp.sum(x * y), x, y)] == [2 * x.size * 3]
    assert [work for work, _ in works_of(lambda x, y: fnp.exp(x), x, y)] == [x.size * 12]


def test_what_several_threads_made_is_work():
    x = np.ones((1 << 10, 16), "f4")
    plan = plan_steps(fad.make_program(lambda x: x * 2.0)(x))
    (group,), (var,) = plan.steps, plan.program.inputs
    alone = group_work(NUMBERS, group, plan.stored)
    for work, shared in ((2 * GRAIN, True), (2 * GRAIN - 1, False)):
        found = group_work(NUMBERS, group, plan.stored, {var: work})
        assert found - alone == (30 * x.nbytes if shared else 0)
        assert found <= most_work(group, plan.stored, {var: work})
    assert alone < GRAIN
    # From 64 KiB on, in even numbers of chunks.
    assert 30 * (x.nbytes - 64) < 2 * GRAIN < 30 * (x.nbytes + 2048)


def test_sums_over_what_several_threads_made_have_few_parts():
    x = np.ones((32, 1 << 18), "f4")
    plan = plan_steps(fad.make_program(lambda x: x.sum(axis=0))(x))
    (group,), (var,) = plan.steps, plan.program.inputs
    assert group_work(NUMBERS, group, plan.stored, {var: 9 * GRAIN}) == 3 * x.size + 2 * GRAIN


def convolution(x, w):
    return fad.nn.conv(x, w, padding="SAME")


def dispatches(f, *args):
    """How many of the calls of compiled code may be shared between threads."""
    return fad.jit(f).lower(*args).as_text("llvm").count('call void @"fad_pool_dispatch"')


def test_threads_share_loops_over_what_they_made():
    x, w = np.ones((64, 4, 4, 16), "f4"), np.ones((3, 3, 16, 16), "f4")
    assert dispatches(lambda x, w: x * 2.0 + 1.0, x, w) == 0
    assert dispatches(lambda x, w: convolution(x, w[:1, :1]) * 2.0 + 1.0, x, w) == 2
    # And so on: a loop over the result of one that was shared.
    assert dispatches(lambda x, w: (y := fnp.sin(convolution(x, w[:1, :1]))) - y.sum(axis=0), x, w) == 3
    assert dispatches(lambda x, w: convolution(x, w[:1, :1]).reshape(64, -1) * 2.0 + 1.0, x, w) == 2


@pytest.mark.parametrize(
    "f",
    [
        lambda x, w: fnp.tanh(convolution(x, w)) - convolution(x, w).mean(axis=(0, 1, 2)),
        lambda x, w: fnp.tanh(
            fad.cond(w[0, 0, 0, 0] > 0, lambda: convolution(x, w) * 2.0, lambda: convolution(x, w[::-1]) - 1.0)
        ),
        lambda x, w: fad.scan(lambda s, _: (fnp.tanh(convolution(s, w)), convolution(s, w) * s), x, None, 3)[1] + 1.0,
        lambda x, w: fad.fori_loop(0, 3, lambda i, s: fnp.tanh(convolution(s, w)) + s, x) * 2.0,
        lambda x, w: fad.grad(lambda x: fnp.sum(fad.nn.relu(convolution(x, w)) ** 2))(x),
    ],
    ids=["sums", "branches", "scan", "loop", "gradient"],
)
@pytest.mark.parametrize("count", [3, 40])
def test_what_several_threads_made_is_read_right(f, count):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(count, 8, 8, 16)), rng.normal(size=(3, 3, 16, 16)) / 12
    check_compiled(f, x, w, tolerance=1e-11)
    compiled, found = fad.jit(f), []
    for threads in (1, 2, 3):
        with fad.config.using(threads=threads):
            found.append(compiled(x, w))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def chunks_of(turns, work):
    """The turns of each chunk, as the pool calls a kernel."""
    fad.jit(fnp.sin)(np.ones(1_000_000))  # the pool is linked with the first loop that may need it
    called = []
    kernel = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(
        lambda words, begin, end: called.append((begin, end))
    )
    numbers = [ctypes.c_int64(n) for n in (0, turns, work)]
    dispatch = ctypes.CFUNCTYPE(None)(engine().address("fad_pool_dispatch"))
    dispatch(kernel, None, *numbers, None, ctypes.c_int64(0))
    return sorted(called)


@pytest.mark.parametrize(
    ("turns", "grains", "count"),
    [(100, 0, 1), (100, 1, 1), (100, 2, 2), (100, 3, 2), (100, 5, 4), (100, 1000, 50), (3, 9, 2), (1, 9, 1), (0, 9, 1)],
)
def test_chunks_are_one_or_an_even_number_that_covers_all_turns(turns, grains, count):
    chunks = chunks_of(turns, grains * GRAIN)
    assert len([c for c in chunks if c[0] < c[1]]) == (count if turns else 0)
    assert [i for begin, end in chunks for i in range(begin, end)] == list(range(turns))


def test_what_chunks_have_of_their_own_begins_with_a_cache_line():
    fad.jit(fnp.sin)(np.ones(1_000_000))  # the pool is linked with the first loop that may need it
    addresses = []
    kernel = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_int64), ctypes.c_int64, ctypes.c_int64)(
        lambda words, begin, end: addresses.append(words[1])
    )
    dispatch = ctypes.CFUNCTYPE(None)(engine().address("fad_pool_dispatch"))
    words = (ctypes.c_int64 * 2)()
    for size in range(40, 400, 24):
        # One row: the number of the word, bytes, nothing that combines, elements.
        row = (ctypes.c_int64 * 4)(1, size, 0, size)
        numbers = [ctypes.c_int64(n) for n in (2, 8, 8 * GRAIN)]
        dispatch(kernel, words, *numbers, row, ctypes.c_int64(1))
    assert len(addresses) == 8 * 15
    assert {a % 64 for a in addresses} == {0}


def test_the_gradients_of_examples_are_the_same_by_any_number_of_threads():
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(256, 33)), rng.normal(size=(33, 65)), rng.normal(size=65)

    def loss(w, b, x):
        return fnp.sum(fnp.tanh(x @ w + b) ** 3)

    compiled = fad.jit(fad.vmap(fad.grad(loss, argnums=(0, 1)), in_axes=(None, None, 0)))
    out = np.tanh(x @ w + b)
    slopes = 3 * out**2 * (1 - out**2)
    expected = x[:, :, None] * slopes[:, None, :], slopes
    for threads in (1, 2, 3):
        with fad.config.using(threads=threads):
            for found, wanted in zip(compiled(w, b, x), expected, strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
