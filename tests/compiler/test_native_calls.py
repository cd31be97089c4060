"""Calls of jitted functions: what the native caller takes, refuses and leaves alone; threads, memory, failures."""

import gc
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler import dispatch
from fad.compiler.dispatch import CompilerWarning
from fad.compiler.llvm import caller as caller_module
from fad.compiler.llvm import lowering
from fad.compiler.llvm.linking import engine
from fad.compiler.outcomes import MISS
from tests.compiler.compiled_programs import check_compiled, compile_program, program_of

RNG = np.random.default_rng(2)


def native(function, *args, single=True):
    caller = compile_program(program_of(function, *args)).native_caller(single)
    assert caller is not None
    return caller


def twice(function):
    """Jitted and called, so that the next calls take the native way."""
    jitted = fad.jit(function)

    def call(*args):
        return jitted(*args), jitted(*args), jitted(*args)

    return call


@pytest.mark.parametrize(
    "x",
    [
        0.7,
        3,
        True,
        np.float64(0.7),
        np.float32(0.7),
        np.int32(3),
        np.array(0.7),
        np.arange(12.0),
        np.arange(12, dtype="i2"),
        0.7 + 2j,
        np.complex64(0.7 + 2j),
        np.complex128(0.7 + 2j),
        np.arange(12.0) * 1j,
        np.arange(12, dtype="c8") + 1j,
        np.asarray(fnp.arange(6, dtype="bfloat16")),
        fnp.asarray(0.7, "bfloat16"),
    ],
)
def test_repeated_calls_agree(x):
    expected = fnp.sin(x) * 2
    for result in twice(lambda x: fnp.sin(x) * 2)(x):
        assert type(result) is fad.Array
        assert result.dtype == expected.dtype
        np.testing.assert_allclose(
            np.asarray(result), np.asarray(expected), rtol=1e-3 if expected.dtype.itemsize < 4 else 1e-6
        )


@pytest.mark.parametrize(
    "z", [0.5 - 2j, np.complex128(0.5 - 2j), np.complex64(0.5 - 2j), np.arange(3, dtype="c8") * 1j]
)
def test_complex_numbers_are_taken(z):
    call = native(lambda z: z * z + 1, z)
    np.testing.assert_array_equal(np.asarray(call(z)), z * z + 1)
    for other in (0.5, np.float64(0.5), np.zeros((3, 1), "c8"), np.zeros(3), 1):
        assert call(other) is MISS


def test_what_fits_is_taken_and_what_does_not_is_missed():
    x = np.arange(12.0)
    call = native(lambda x: x * 2.0, x)
    np.testing.assert_array_equal(np.asarray(call(x)), x * 2)
    np.testing.assert_array_equal(np.asarray(call(fad.Array(x))), x * 2)
    read_only = x.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(np.asarray(call(read_only)), x * 2)
    misaligned = np.frombuffer(b"\0" + x.tobytes(), "f8", offset=1)
    assert not misaligned.flags.aligned
    for other in (
        x[:5], x.astype("f4"), x.astype(">f8"), x.reshape(3, 4), np.arange(24.0)[::2], misaligned, 1.0, [1.0], "text", None,
        np.ma.array(x), x[None], np.float64(1.0), fad.Array(x[:5]),
    ):  # fmt: skip
        assert call(other) is MISS
    assert call() is MISS
    assert call(x, x) is MISS


def test_scalars_keep_their_kind():
    call = native(lambda x: x * 2.0, 1.5)
    assert float(call(2.5)) == 5.0
    for other in (1, True, np.float64(2.5), np.array(2.5)):
        assert call(other) is MISS
    call = native(lambda n: n * 2, 3)
    assert int(call(-4)) == -8
    assert call(True) is MISS
    assert call(2**70) is MISS
    call = native(lambda b: fnp.where(b, 1.0, 2.0), True)
    assert [float(call(b)) for b in (True, False)] == [1.0, 2.0]
    assert call(1) is MISS


@pytest.mark.parametrize(
    "x",
    [
        np.arange(24.0)[::2], np.arange(24.0).reshape(4, 6).T, np.arange(12.0)[::-1], np.arange(12.0).astype(">f8"),
        np.frombuffer(b"\0" + np.arange(5.0).tobytes(), "f8", offset=1), np.broadcast_to(np.arange(3.0), (4, 3)), np.zeros((0, 3)),
    ],
)  # fmt: skip
def test_unusual_arrays(x):
    for result in twice(lambda x: (x + 1.0).sum() * 2.0 + x)(x):
        np.testing.assert_allclose(np.asarray(result), (x + 1.0).sum() * 2.0 + x)


@pytest.mark.parametrize("x", [np.arange(24.0).reshape(4, 6).T, np.broadcast_to(np.arange(3.0), (4, 3))])
def test_arrays_in_another_order_take_the_native_call(monkeypatch, x):
    function = fad.jit(lambda x, rest: x * 2.0 + rest["b"])
    rest = {"b": fad.Array(np.arange(float(x.size))).reshape(x.shape)}
    for _ in range(3):
        function(np.ascontiguousarray(x), rest)
    monkeypatch.setattr(function, "_call_staged", None)
    for argument in (x, fad.Array(x), fad.Array(x.T).T):
        np.testing.assert_array_equal(np.asarray(function(argument, rest)), x * 2.0 + np.asarray(rest["b"]))


def test_results_share_no_memory():
    x = np.arange(12.0)
    for first, second in twice(lambda x: (x, x))(x):
        seen = [np.asarray(a) for a in (first, second)]
        assert not any(np.shares_memory(s, x) for s in seen)
        assert not np.shares_memory(*seen)
    f = fad.jit(lambda x: x * 2.0)
    results = [np.asarray(f(x)) for _ in range(5)]
    assert not np.shares_memory(results[3], results[4])


def test_trees_and_keywords():
    f = fad.jit(lambda p, scale=1.0: {"out": p["w"] * scale, "pair": (p["b"], None)})
    params = {"w": np.arange(12.0), "b": np.float32(2.0)}
    for _ in range(4):
        result = f(params, scale=3.0)
        np.testing.assert_array_equal(np.asarray(result["out"]), params["w"] * 3)
        assert float(result["pair"][0]) == 2.0
        assert result["pair"][1] is None
        np.testing.assert_array_equal(np.asarray(f(params)["out"]), params["w"])
    assert f.traces == 2


def test_signatures_take_turns():
    f = fad.jit(lambda x: x * 2.0)
    for _ in range(4):
        for n in range(3, 12):
            np.testing.assert_array_equal(np.asarray(f(np.arange(float(n)))), np.arange(n) * 2.0)
    assert f.traces == 9


def test_settings_are_seen():
    f = fad.jit(lambda x: fnp.log(x))
    x = np.array([-1.0, 1.0])
    assert [np.isnan(np.asarray(f(x))[0]) for _ in range(3)] == [True] * 3
    with fad.config.using(check_nans=True), pytest.raises(fad.errors.FadError):
        f(x)
    with fad.config.using(disable_jit=True), np.errstate(invalid="ignore"):
        assert np.isnan(np.asarray(f(x))[0])
    assert np.isnan(np.asarray(f(x))[0])


def test_transforms_of_a_function_that_was_called_before():
    f = fad.jit(lambda x: fnp.sin(x) * x)
    for _ in range(3):
        f(0.5)
    assert abs(float(fad.grad(f)(0.5)) - (np.cos(0.5) * 0.5 + np.sin(0.5))) < 1e-15
    np.testing.assert_allclose(np.asarray(fad.vmap(f)(np.arange(3.0))), np.sin(np.arange(3.0)) * np.arange(3.0))
    assert "call" in str(fad.make_program(lambda x: f(x) + 1.0)(0.5))
    constant = np.arange(3.0)
    assert len(fad.make_program(lambda x: f(0.5) + x)(constant).equations) == 2


def test_one_more_size_needs_no_new_code():
    f = fad.jit(fad.value_and_grad(lambda w, x: fnp.mean(fnp.tanh(x @ w) ** 2)))
    w = RNG.normal(size=(30, 40))
    f(w, RNG.normal(size=(200, 30)))
    compiled = engine().compiled
    for batch in (201, 300, 777):
        x = RNG.normal(size=(batch, 30))
        value, gradient = f(w, x)
        np.testing.assert_allclose(float(value), np.mean(np.tanh(x @ w) ** 2), rtol=1e-12)
        assert gradient.shape == w.shape
    assert engine().compiled == compiled
    assert f.traces == 4


def test_one_more_constant_needs_no_new_code():
    def make(scale):
        return fad.jit(lambda x: fnp.sin(x) * scale)

    x = np.arange(30.0)
    make(1.23)(x)
    compiled = engine().compiled
    np.testing.assert_allclose(np.asarray(make(4.56)(x)), np.sin(x) * 4.56)
    assert engine().compiled == compiled


def test_many_threads_compile_once_and_agree(monkeypatch):
    written, lower_segment = [], lowering.lower_segment
    monkeypatch.setattr(lowering, "lower_segment", lambda *args: written.append(args) or lower_segment(*args))
    f = fad.jit(lambda x: fnp.sum(fnp.sin(x) * fnp.cos(x) + 0.123))
    x = RNG.normal(size=5000)
    expected = np.sum(np.sin(x) * np.cos(x) + 0.123)
    barrier, results = threading.Barrier(8), []

    def work():
        barrier.wait()
        for _ in range(50):
            results.append(float(f(x)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 400
    np.testing.assert_allclose(results, expected, rtol=1e-12)
    assert len(set(results)) == 1
    assert f.traces == 1
    assert len(written) <= 1  # none, if an earlier run left the code on disk


def test_results_do_not_depend_on_the_number_of_threads():
    x = RNG.normal(size=(1024, 1000))

    def f(x):
        e = fnp.exp(x - fnp.max(x, axis=1, keepdims=True))
        return fnp.sum(fnp.sin(x)), e / fnp.sum(e, axis=1, keepdims=True), fnp.sum(x * x, axis=0), fnp.max(x), x @ x.T

    seen = []
    for count in (1, 2, 5):
        fad.config.update("threads", count)
        try:
            jitted = fad.jit(f)
            seen.append([np.asarray(r).tobytes() for _ in range(3) for r in jitted(x)])
        finally:
            fad.config.update("threads", 0)
    assert seen[0] == seen[1] == seen[2]
    for result, expected in zip(fad.jit(f)(x), f(x)):
        np.testing.assert_allclose(np.asarray(result), np.asarray(expected), rtol=1e-9, atol=1e-9)


def _waits_of_workers():
    """How often the native threads of this process waited, by their numbers."""
    own = {thread.native_id for thread in threading.enumerate()}
    waits = {}
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) not in own:
            text = (task / "status").read_text()
            waits[task.name] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", text, re.MULTILINE)[1])
    return waits


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks at threads as Linux shows them")
def test_the_number_of_threads_can_be_changed_at_any_time():
    x = np.linspace(0.0, 1.0, 2_000_000)
    f = fad.jit(lambda x: fnp.sum(fnp.sin(x) * fnp.exp(x)))

    def woken():
        before = {}
        while (seen := _waits_of_workers()) != before:  # until those of earlier calls sleep
            before = seen
            time.sleep(0.1)
        for _ in range(20):
            f(x)
        after = _waits_of_workers()
        return sum(after[name] > count for name, count in before.items())

    f(x)
    start = len(_waits_of_workers())
    with fad.config.using(threads=1):
        assert woken() == 0
    for count in (5, 1, 3):
        fad.config.update("threads", count)
        try:
            assert (woken() == 0) == (count == 1)
        finally:
            fad.config.update("threads", 0)
    assert len(_waits_of_workers()) >= max(start, 4)  # five threads were allowed: the caller and four workers


def test_calls_hold_no_memory():
    x, pair = np.arange(2000.0), [fad.Array(np.ones(3)), np.float64(2.0)]
    f = fad.jit(lambda x, p: (x * p[1], p[0], x.sum()))
    for _ in range(10):
        f(x, pair)
    gc.collect()
    before = sys.getallocatedblocks(), sys.getrefcount(x), sys.getrefcount(np.dtype("f8")), sys.getrefcount(MISS)
    for _ in range(100_000):
        f(x, pair)
    for _ in range(1000):
        assert f._shortcuts[0]._caller(1.0) is MISS
    gc.collect()
    after = sys.getallocatedblocks(), sys.getrefcount(x), sys.getrefcount(np.dtype("f8")), sys.getrefcount(MISS)
    assert after[1:] == before[1:]
    assert abs(after[0] - before[0]) < 200


def test_a_dropped_function_frees_its_caller():
    f = fad.jit(lambda x: x * 2.0)
    for _ in range(3):
        f(np.arange(30.0))
    caller = f._shortcuts[0]._caller
    del f
    gc.collect()
    np.testing.assert_array_equal(np.asarray(caller(np.arange(30.0))), np.arange(30.0) * 2)


def test_unknown_layouts_take_the_general_way(monkeypatch):
    monkeypatch.setattr(caller_module, "layout_is_known", lambda: False)
    caller_module._native_function.cache_clear()
    try:
        f = fad.jit(lambda x: x * 2.0)
        for _ in range(4):
            np.testing.assert_array_equal(np.asarray(f(np.arange(3.0))), np.arange(3) * 2.0)
        assert not f._shortcuts
    finally:
        monkeypatch.undo()
        caller_module._native_function.cache_clear()


def test_without_llvmlite_programs_are_evaluated(monkeypatch):
    monkeypatch.setattr(dispatch, "find_spec", lambda name: None)
    monkeypatch.setattr(dispatch, "_warned", set())
    f = fad.jit(lambda x: x * 2.0)
    with pytest.warns(CompilerWarning, match="llvmlite is not installed"):
        assert float(f(3.0)) == 6.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float(f(3.0)) == 6.0
        assert float(fad.jit(lambda x: x * 3.0)(3.0)) == 9.0


WITH_BROKEN_LLVM = """
import warnings
import fad
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for factor in (2.0, 3.0):
        assert float(fad.jit(lambda x: x * factor)(3.0)) == 3.0 * factor
assert len(seen) == 1, seen
print(seen[0].message)
for ask in (lambda: fad.jit(abs).lower(1.0).as_text("kernels"), lambda: fad.debug.profile(abs)(1.0)):
    try:
        ask()
    except fad.errors.MissingPackageError as error:
        print(error)
"""


def test_a_broken_llvmlite_is_as_good_as_none(tmp_path):
    package = tmp_path / "llvmlite"
    package.mkdir()
    (package / "__init__.py").write_text("raise OSError('could not load libllvmlite.so')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    run = subprocess.run(
        [sys.executable, "-c", WITH_BROKEN_LLVM], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    for line in run.stdout.splitlines():
        assert "llvmlite cannot be loaded (OSError: could not load libllvmlite.so): pip install" in line
    assert len(run.stdout.splitlines()) == 3


def test_what_cannot_be_compiled_is_evaluated(monkeypatch):
    def broken(*args):
        raise KeyError("nothing works today")

    monkeypatch.setattr(lowering, "lower_segment", broken)
    f = fad.jit(lambda x: x * 2.125 + fnp.arange(37))
    with pytest.warns(CompilerWarning, match="compiling .* failed with KeyError: 'nothing works today'"):
        assert f(np.arange(37.0)).shape == (37,)
    assert f(np.arange(37.0)).shape == (37,)


def test_compilation_can_be_switched_off():
    compiled = engine().compiled
    with fad.config.using(compile=False):
        assert float(fad.jit(lambda x: x * 2.0 + 0.98765)(3.0)) == 6.98765
    assert engine().compiled == compiled


def test_python_runs_between_segments():
    x = RNG.normal(size=(12, 12))

    def f(x):
        u, s, v = fnp.linalg.svd(fnp.sin(x))
        return fnp.sum(u * s) * fnp.cos(x) + v

    compiled = check_compiled(f, x, native=False, tolerance=1e-9)
    assert set(compiled.reasons) == {"svd"}
    for result in twice(f)(x):
        np.testing.assert_allclose(np.asarray(result), np.asarray(f(x)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("index", [30, -31, 2**40, -(2**62)])
def test_an_index_outside_raises(index):
    f = fad.jit(lambda x, i: x[i] * 2.0)
    x = np.arange(30.0)
    assert float(f(x, np.array(3))) == 6.0
    assert float(f(x, np.array(-3))) == 54.0
    for _ in range(3):
        with pytest.raises(fad.errors.IndexOutOfBoundsError, match="out of bounds"):
            f(x, np.array(index))
    assert float(f(x, np.array(29))) == 58.0
