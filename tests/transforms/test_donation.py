"""Donated arguments: results take their memory, nobody else's memory is ever written, and what was given away refuses to be used."""

import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DeletedArrayError
from fad.transforms.donation import owns_its_memory

RNG = np.random.default_rng(0)


def warm(jitted, *args):
    """Call often enough for the native call to be in place."""
    for _ in range(2):
        jitted(*[fad.Array(a) for a in args])
    return jitted


def address(x):
    return x._buffer.ctypes.data


def momentum(p, g, m):
    m = 0.9 * m + g
    return p - 0.1 * m, m


@pytest.mark.parametrize("size", [9, 17, 63, 64, 65, 1003, 300_001])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_results_take_the_memory_of_donated_arguments(size, dtype):
    p, g, m = (RNG.normal(size=size).astype(dtype) for _ in range(3))
    step = warm(fad.jit(momentum, donate_argnums=(0, 2)), p, g, m)
    a, b, c = fad.Array(p), fad.Array(g), fad.Array(m)
    places = {address(a), address(c)}
    new, moving = step(a, b, c)
    assert {address(new), address(moving)} == places
    assert a.is_deleted()
    assert c.is_deleted()
    assert not b.is_deleted()
    wanted = fad.jit(momentum)(p, g, m)
    np.testing.assert_array_equal(new, wanted[0])
    np.testing.assert_array_equal(moving, wanted[1])


FUNCTIONS = {
    "the argument itself": lambda x, y: x,
    "read after it could be overwritten": lambda x, y: (y * 2.0, x + y),
    "swapped": lambda x, y: (y + 0.0, x + 0.0),
    "reversed": lambda x, y: x[::-1] + x,
    "transposed": lambda x, y: x.T + x,
    "rows from columns": lambda x, y: x - x.mean(axis=0),
    "columns from rows": lambda x, y: x - x.mean(axis=1, keepdims=True),
    "softmax": lambda x, y: fnp.exp(x - x.max(axis=1, keepdims=True)) / fnp.exp(x).sum(axis=1, keepdims=True),
    "one row for all": lambda x, y: x + x[0],
    "whole sum beside": lambda x, y: (x * 2.0, x.sum()),
    "sum of the new one": lambda x, y: (x * 2.0, (x * 2.0).sum(axis=0)),
    "product": lambda x, y: x @ y,
    "product, then in place": lambda x, y: (x @ y) * x + y,
    "chain of products": lambda x, y: (x @ y) @ x @ y,
    "shifted": lambda x, y: fnp.roll(x, 1, axis=1) + x,
    "flat": lambda x, y: (x.reshape(-1) * 2.0).reshape(x.shape) + x,
    "flat and reversed": lambda x, y: x.reshape(-1)[::-1].reshape(x.shape) * 2.0,
    "loop": lambda x, y: fad.fori_loop(0, 3, lambda i, c: fnp.sin(c) + x, y),
    "branch": lambda x, y: fad.cond(x.sum() > 0, lambda: x + y, lambda: x - y),
    "scan": lambda x, y: fad.scan(lambda c, r: (c + r, c * r), x[0], y),
    "sorted": lambda x, y: (fnp.sort(x, axis=0), x + 1.0),
    "written": lambda x, y: (x.at[3:5].set(0.0), x.at[:, 2].add(y[:, 1])),
    "left to Python": lambda x, y: fnp.linalg.svd(x, full_matrices=False)[0] * x,
    "complex": lambda x, y: (x * 1j + y, x * 2.0),
    "solved": lambda x, y: fnp.linalg.solve(x + 30 * fnp.eye(len(x)), y) + x,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", [12, 40])
def test_no_element_is_read_after_it_was_overwritten(name, size):
    f = FUNCTIONS[name]
    x, y = RNG.normal(size=(2, size, size))
    wanted = fad.tree.leaves(fad.jit(f)(x, y))
    donating = fad.jit(f, donate_argnums=(0, 1))
    for _ in range(4):
        a, b = fad.Array(x), fad.Array(y)
        found = fad.tree.leaves(donating(a, b))
        assert a.is_deleted()
        assert b.is_deleted()
        for seen, value in zip(found, wanted, strict=True):
            np.testing.assert_allclose(seen, value, rtol=1e-13, atol=1e-13)


def test_arrays_of_numpy_are_never_written():
    step = warm(fad.jit(momentum, donate_argnums=(0, 1, 2)), *np.ones((3, 50)))
    p, g, m = np.ones(50), np.full(50, 2.0), np.zeros(50)
    for _ in range(3):
        new, _ = step(p, g, m)
    np.testing.assert_array_equal(p, 1.0)
    np.testing.assert_array_equal(m, 0.0)
    np.testing.assert_allclose(new, 0.8)


def test_memory_that_others_see_is_not_written():
    double = warm(fad.jit(lambda x: x * 2.0, donate_argnums=0), np.ones(50))
    for share in (np.asarray, lambda x: memoryview(np.asarray(x)), lambda x: x.reshape(5, 10), np.from_dlpack):
        x = fad.Array(np.arange(50.0))
        view = share(x)
        assert not owns_its_memory(x)
        np.testing.assert_array_equal(double(x), np.arange(50.0) * 2)
        np.testing.assert_array_equal(np.asarray(view).ravel(), np.arange(50.0))
    assert owns_its_memory(fad.Array(np.arange(50.0)))


def test_constants_of_other_programs_are_not_written():
    constant = fad.Array(np.arange(50.0))
    add = fad.jit(lambda x: x + constant)
    before = np.asarray(add(np.zeros(50))).copy()
    warm(fad.jit(lambda x: x * 2.0, donate_argnums=0), np.ones(50))(constant)
    np.testing.assert_array_equal(add(np.zeros(50)), before)


def test_a_read_only_array_that_was_taken_without_a_copy_is_not_written():
    frozen = np.arange(50.0)
    frozen.flags.writeable = False
    x = fad.Array(frozen)
    warm(fad.jit(lambda x: x * 2.0, donate_argnums=0), np.ones(50))(x)
    np.testing.assert_array_equal(frozen, np.arange(50.0))


USES = {
    "arithmetic": lambda x: x + 1.0,
    "repr": repr,
    "numpy": np.asarray,
    "shape": lambda x: x.shape,
    "jit": fad.jit(lambda x: x * 2),
    "grad": fad.grad(lambda x: x.sum()),
    "tolist": lambda x: x.tolist(),
    "index": lambda x: x[0],
    "bool": bool,
    "len": len,
    "Array": fad.Array,
}


@pytest.mark.parametrize("use", USES)
def test_what_was_donated_refuses_to_be_used(use):
    def update(x):
        return x + 1.0

    x = fad.Array(np.ones(20))
    fad.jit(update, donate_argnums=0)(x)
    with pytest.raises(
        DeletedArrayError, match=r"this array \(float64\[20\]\) was donated to jit\(update\).*x\.copy\(\)"
    ):
        USES[use](x)
    assert x.is_deleted()


def test_an_array_that_is_donated_is_passed_once():
    step = fad.jit(momentum, donate_argnums=0)
    x, y = fad.Array(np.ones(20)), fad.Array(np.ones(20))
    for _ in range(3):
        with pytest.raises(ArgumentError, match=r"donated is passed twice"):
            step(x, x, y)
    assert not x.is_deleted()
    step(x, y, y)


def test_trees_names_and_keywords():
    def update(state, grads, *, scale):
        return {k: v - scale * grads[k] for k, v in state.items()}

    jitted = fad.jit(update, donate_argnames="state", static_argnames="scale")
    for _ in range(3):
        state = {"w": fad.Array(np.ones((5, 9))), "b": fad.Array(np.ones(9))}
        grads = {"w": np.ones((5, 9)), "b": np.ones(9)}
        out = jitted(state, grads, scale=0.5)
        assert state["w"].is_deleted()
        assert state["b"].is_deleted()
        np.testing.assert_array_equal(out["w"], 0.5)
    state = {"w": fad.Array(np.ones((5, 9))), "b": fad.Array(np.ones(9))}
    jitted(grads=grads, state=state, scale=0.5)
    assert state["w"].is_deleted()


def test_other_transforms_leave_donated_arguments_alone():
    f = fad.jit(lambda x: (x * x).sum(), donate_argnums=0)
    x = fad.Array(np.arange(20.0))
    np.testing.assert_array_equal(fad.grad(f)(x), 2 * np.arange(20.0))
    np.testing.assert_array_equal(fad.vmap(f)(fad.Array(np.ones((3, 20)))), [20.0] * 3)
    fad.jit(lambda x: f(x) + x.sum())(x)
    assert not x.is_deleted()
    f(x)
    assert x.is_deleted()


def test_code_that_may_fail_overwrites_nothing():
    take = fad.jit(lambda x, i: x[i] * 2.0, donate_argnums=0)
    x, indices = fad.Array(np.arange(30.0)), np.arange(30)
    for _ in range(3):
        np.testing.assert_array_equal(take(fad.Array(np.arange(30.0)), indices), np.arange(30.0) * 2)
    with pytest.raises(fad.errors.IndexOutOfBoundsError):
        take(x, indices + 1)
    np.testing.assert_array_equal(x, np.arange(30.0))


def test_evaluation_without_compiling_deletes_as_well():
    with fad.config.using(compile=False):
        x = fad.Array(np.ones(20))
        y = fad.jit(lambda x: x, donate_argnums=0)(x)
        assert x.is_deleted()
        np.testing.assert_array_equal(y, 1.0)


def test_compiled_ahead_of_time():
    compiled = fad.jit(momentum, donate_argnums=(0, 2)).lower(*[fad.ShapedArray((50,), np.float64)] * 3).compile()
    p, g, m = (fad.Array(np.ones(50)) for _ in range(3))
    place = address(p)
    new, _ = compiled(p, g, m)
    assert p.is_deleted()
    assert address(new) == place


def test_donation_lowers_the_peak():
    args = [fad.ShapedArray((1000,), np.float64)] * 3
    plain = fad.jit(momentum).lower(*args)
    donating = fad.jit(momentum, donate_argnums=(0, 2)).lower(*args)
    assert plain.cost_analysis()["peak_memory"] == 5 * 8000
    assert donating.cost_analysis()["peak_memory"] == 3 * 8000
    text = donating.as_text("memory")
    assert "takes the memory of p, which is donated" in text
    assert "takes the memory of m, which is donated" in text


def test_many_threads_donate_their_own_arrays():
    step = warm(fad.jit(momentum, donate_argnums=(0, 2)), *np.ones((3, 5000)))
    wrong = []

    def work(seed):
        p, g, m = np.random.default_rng(seed).normal(size=(3, 5000))
        new, moving, gradient = fad.Array(p), fad.Array(m), fad.Array(g)
        for _ in range(50):
            new, moving = step(new, gradient, moving)
            p, m = p - 0.1 * (0.9 * m + g), 0.9 * m + g
        wrong.append(not np.allclose(new, p, rtol=1e-10))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [False] * 4


def test_wrong_arguments_of_jit():
    with pytest.raises(ArgumentError, match="donate_argnums=3 names argument 3, but the function has 3"):
        fad.jit(momentum, donate_argnums=3)
    with pytest.raises(ArgumentError, match="donate_argnames='q' names 'q'"):
        fad.jit(momentum, donate_argnames="q")
    with pytest.raises(ArgumentError, match="argument 0 is static"):
        fad.jit(momentum, static_argnums=0, donate_argnums=0)


def test_complex_arguments_are_deleted_but_their_memory_is_not_used():
    for _ in range(3):
        z = fad.Array(np.arange(20.0) * 1j)
        np.testing.assert_array_equal(fad.jit(lambda z: z * 2.0, donate_argnums=0)(z), np.arange(20.0) * 2j)
        assert z.is_deleted()


def test_an_empty_tree_can_be_donated():
    f = fad.jit(lambda x, empty: x + 1.0, donate_argnums=1)
    for _ in range(3):
        np.testing.assert_array_equal(f(np.ones(20), {}), 2.0)


def test_a_c_function_keeps_its_arguments():
    compiled = fad.jit(lambda x: x * 2.0, donate_argnums=0).lower(np.ones(50)).compile()
    function = compiled.c_function()
    x, out = np.arange(50.0), np.zeros(50)
    assert function.ctypes(x.ctypes.data, out.ctypes.data) == 0
    np.testing.assert_array_equal(x, np.arange(50.0))
    np.testing.assert_array_equal(out, np.arange(50.0) * 2)


def test_pickled_functions_donate():
    step = pickle.loads(pickle.dumps(fad.jit(momentum, donate_argnums=0, donate_argnames="m")))
    p, m = fad.Array(np.ones(20)), fad.Array(np.ones(20))
    step(p, np.ones(20), m)
    assert p.is_deleted()
    assert m.is_deleted()


def test_of_threads_that_donate_one_array_one_gets_it():
    f = fad.jit(lambda x: x * 2.0, donate_argnums=0)
    for _ in range(300):
        x, start, outs = fad.Array(np.ones(50_000)), threading.Barrier(3), []

        def donate(x=x, start=start, outs=outs):
            start.wait()
            try:
                outs.append(np.asarray(f(x)))
            except DeletedArrayError:
                outs.append(None)

        threads = [threading.Thread(target=donate) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        given = [out for out in outs if out is not None]
        assert len(outs) == 3
        assert given, "one of them has it"
        assert all((out == 2.0).all() for out in given)


READ_WHILE_DONATED = """
import subprocess
import sys
import threading
import numpy as np
import fad
import fad.numpy as fnp

read = fad.jit(lambda x: fad.fori_loop(0, 300, lambda k, s: s + fnp.sum(fnp.sin(x * s) + 1.0), 0.0))
overwrite, drop = (fad.jit(f, donate_argnums=0) for f in (lambda x: x + 7.0, lambda x: fnp.sum(x[:3])))
zeros = np.zeros(1_000_000)
for f in (read, overwrite, drop) * 2:
    f(fad.Array(zeros.copy()))
for f in (overwrite, drop) * 3:
    x, sums = fad.Array(zeros.copy()), []
    thread = threading.Thread(target=lambda: sums.append(float(read(x))))
    thread.start()
    thread.join(0.05)
    out = f(x)
    thread.join()
    assert sums == [300e6], sums
print("read as it was")
"""


def test_what_another_thread_reads_is_neither_overwritten_nor_freed():
    run = subprocess.run([sys.executable, "-c", READ_WHILE_DONATED], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout == "read as it was\n"
