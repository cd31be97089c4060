"""Compiled functions in processes that were forked or started by ``multiprocessing``, with threads at work meanwhile."""

import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ProcessPoolExecutor
from contextvars import copy_context

import joblib
import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler import code
from fad.compiler.llvm import blas_threads, pool, symbols
from fad.compiler.llvm.library_calls import blas_library, has_own_library
from fad.compiler.llvm.linking import LLVM_LOCK, Source, engine
from fad.compiler.llvm.side_by_side import is_side_by_side
from fad.core.locks import Lock
from tests.transforms import pickled_functions as functions

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
# Python 3.12 and newer warn of every fork beside threads; that it works nevertheless is what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
X = np.linspace(0.1, 1.0, 600 * 600).reshape(600, 600)


def in_child(work, seconds=60):
    """Run something in a forked child, which must end in time; its traceback is the message where it fails."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            # Not dump_traceback_later, whose own thread a grandchild would wait for.
            faulthandler.register(signal.SIGALRM, all_threads=True)
            signal.alarm(seconds - 5)
            work()
            status = 0
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(status)
    os.close(writing)
    deadline = time.monotonic() + seconds
    while (found := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            pytest.fail(f"the child did not end within {seconds} s")
        time.sleep(0.005)
    message = os.read(reading, 8000).decode()
    os.close(reading)
    assert found[1] == 0, message or f"the child ended with status {found[1]}; its stack is on stderr"


def large(x):
    """Long loops for the thread pool, a product for BLAS."""
    return fnp.sum(fnp.exp(-x) * fnp.sin(x)) + fnp.sum(x @ x)


def expected(x):
    return np.sum(np.exp(-x) * np.sin(x)) + np.sum(x @ x)


class Background:
    """Threads that do something again and again inside a ``with`` block; their failures are raised at its end."""

    def __init__(self, *works):
        self.stop, self.errors, self.turns = threading.Event(), [], [0] * len(works)
        self.threads = [threading.Thread(target=self._run, args=(k, work)) for k, work in enumerate(works)]

    def _run(self, number, work):
        try:
            while not self.stop.is_set():
                work()
                self.turns[number] += 1
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        while not all(self.turns) and not self.errors:
            time.sleep(0.001)
        return self

    def __exit__(self, *error):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        assert not self.errors, self.errors


@forks
def test_code_made_before_a_fork_runs_in_the_child():
    f = fad.jit(fad.value_and_grad(large))
    f(X)
    f(X)

    def work():
        value, gradient = f(X)
        np.testing.assert_allclose(float(value), expected(X), rtol=1e-12)
        assert gradient.shape == X.shape
        assert float(fad.jit(lambda x: fnp.sum(x * 3.0625))(np.ones(50))) == 50 * 3.0625

    for _ in range(3):
        in_child(work)
    np.testing.assert_allclose(float(f(X)[0]), expected(X), rtol=1e-12)


@forks
def test_forks_while_threads_compute():
    f, value = fad.jit(large), expected(X)
    f(X)
    f(X)

    def compute():
        np.testing.assert_allclose(float(f(X)), value, rtol=1e-12)

    def work():
        for _ in range(3):
            compute()

    with Background(compute, compute, compute):
        for _ in range(25):
            in_child(work)


@forks
def test_forks_while_threads_trace_and_compile(monkeypatch):
    """Every lock of fad is held by somebody at some of these moments."""
    monkeypatch.setenv("FAD_DISK_CACHE", "0")
    counter = iter(range(10**9))
    shared = fad.jit(lambda x: fnp.sum(fnp.cos(x) * x))

    def new_code():
        # A constant that is compiled in, and another shape of the code each time.
        number = next(counter)
        f = fad.jit(lambda x: fnp.sum(x[: 3 + number % 5] ** (2.0 + number)) + shared(x))
        np.testing.assert_allclose(
            float(f(np.full(20, 0.5))), min(3 + number % 5, 20) * 0.5 ** (2 + number) + 10 * np.cos(0.5), rtol=1e-9
        )

    def clear():
        shared.clear()
        shared(np.linspace(0.0, 1.0, 33))

    with Background(new_code, new_code, clear):
        for _ in range(25):
            in_child(new_code)


@forks
def test_locks_of_other_threads_are_free_in_the_child():
    lock, held, done = Lock(), threading.Event(), threading.Event()

    def hold():
        with lock.held:
            held.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()

    def work():
        def twice():
            with lock.held, lock.held:
                pass

        threads = [threading.Thread(target=twice) for _ in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    try:
        in_child(work, 20)
        assert not lock._lock.acquire(blocking=False)
    finally:
        done.set()
        thread.join()


@forks
def test_a_fork_waits_for_what_is_compiled_ahead(monkeypatch):
    started, name = threading.Event(), "fad_ahead_of_a_fork"

    def write():
        started.set()
        time.sleep(0.2)
        return Source("define i64 @fad_ahead_of_a_fork() { ret i64 7 }")

    def ask():
        assert symbols.link_helper(name, lambda: pytest.fail("compiled twice"))

    monkeypatch.setattr(symbols, "_helper", lambda symbol: (symbol, write))
    with fad.config.using(disk_cache=False):
        thread = threading.Thread(target=copy_context().run, args=(symbols.compile_ahead, name))
        thread.start()
        started.wait()
        in_child(ask)
        thread.join()
        ask()


@forks
def test_a_fork_inside_a_traced_function():
    """The locks that the forking thread itself holds are its own in the child as well."""
    inner = fad.jit(lambda x: x * 2.0)

    def work():
        # Another thread, because this one is tracing.
        found = []
        thread = threading.Thread(target=lambda: found.append(float(inner(1.5))))
        thread.start()
        thread.join()
        assert found == [3.0]

    def f(x):
        in_child(work)
        return inner(x)

    assert float(fad.jit(f)(2.0)) == 4.0
    with LLVM_LOCK:
        in_child(lambda: np.testing.assert_allclose(float(inner(2.5)), 5.0))


@forks
def test_a_child_of_a_child():
    f = fad.jit(large)
    f(X)
    f(X)

    def work():
        f(X)
        in_child(lambda: np.testing.assert_allclose(float(f(X)), expected(X), rtol=1e-12), 30)
        f(X)

    in_child(work)


LIBRARIES = [library for kind in ("products", "lapack") if (library := blas_library(kind)) is not None]


@forks
@pytest.mark.skipif(not LIBRARIES, reason="BLAS has no setting of threads")
def test_the_threads_of_blas_are_what_they_were():
    f = fad.jit(lambda x: fnp.linalg.solve(x @ x + 100.0 * fnp.eye(len(x)), x))
    f(X)

    def threads():
        return [library.setting("get")() for library in LIBRARIES]

    before = threads()

    def work():
        assert threads() == before
        f(X)
        assert threads() == before

    with Background(lambda: f(X), lambda: f(X)):
        for _ in range(15):
            in_child(work)
    assert threads() == before


@pytest.mark.parametrize("kind", ["products", "lapack"])
def test_libraries_keep_to_one_thread_while_compiled_code_runs(kind, monkeypatch):
    library = blas_library(kind)
    if library is None:
        pytest.skip("BLAS has no setting of threads")
    source = blas_threads.guard_source(kind)
    assert f"@fad_{kind}_set_threads(i32 1)" in source
    # Both kinds in one library: one guard counts for both.
    monkeypatch.setattr(blas_threads, "has_own_library", lambda kind: kind == "lapack")
    assert ("call void @fad_lapack_enter()" in blas_threads.guard_source(kind)) == (kind == "products")
    assert (blas_threads.guard_addresses(kind) == {}) == (kind == "products")
    monkeypatch.setattr(blas_threads, "blas_library", lambda kind: None)
    assert "call" not in blas_threads.guard_source(kind)


PRODUCT = """
import sys
import numpy as np
import fad
x = np.eye(40)
np.testing.assert_array_equal(fad.jit(lambda x: x @ x)(x), x)
with open("/proc/self/maps") as maps:
    print(any("scipy.libs" in line and "openblas" in line for line in maps))
"""


@pytest.mark.skipif(
    not os.path.exists("/proc/self/maps"), reason="a process does not tell which libraries it has loaded"
)
@pytest.mark.skipif(not has_own_library("products"), reason="NumPy has no OpenBLAS of its own")
def test_products_do_not_load_the_library_of_lapack():
    """Loading takes 10 ms, and its threads keep the other cores busy for 30 ms."""
    done = subprocess.run([sys.executable, "-c", PRODUCT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False"]


@forks
def test_the_pool_works_in_the_child(monkeypatch):
    monkeypatch.setenv("FAD_NUM_THREADS", "3")
    f = fad.jit(lambda x: fnp.sum(fnp.exp(x) * fnp.sin(x)))
    x = np.linspace(0.0, 1.0, 2_000_000)
    value = float(f(x))
    assert pool._started

    def work():
        before = {int(t) for t in os.listdir("/proc/self/task")} if os.path.isdir("/proc/self/task") else {0, 1, 2}
        assert len(before) >= 3  # this one, and two workers of the pool's new generation
        assert all(float(f(x)) == value for _ in range(5))

    in_child(work)


@pytest.mark.parametrize(("variable", "count"), [("1", 1), (" 3 ", 3), ("5000", 5000), ("0", None), ("", None)])
def test_the_environment_says_how_many_threads(monkeypatch, variable, count):
    monkeypatch.setenv("FAD_NUM_THREADS", variable)
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert pool.thread_count() == (count or own)
    with fad.config.using(threads=2):
        assert pool.thread_count() == 2


@pytest.mark.parametrize("variable", ["abc", "-1", "1.5"])
def test_what_is_no_number_of_threads_is_refused(variable):
    run = subprocess.run(
        [sys.executable, "-c", "import fad; fad.jit(lambda x: x + 1.0)(2.0)"],
        capture_output=True,
        text=True,
        env={**os.environ, "FAD_NUM_THREADS": variable, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("fad.core.errors.ArgumentError: the environment variable FAD_NUM_THREADS takes a number"), (
        last
    )
    assert last.endswith(f"got {variable!r}")


LARGE_AFTER_SMALL = """
import threading

import numpy as np

import fad
from fad.compiler.llvm import pool, symbols

fad.jit(lambda x: x + 1.0)(np.ones(3))
for thread in threading.enumerate():
    if thread.name == "fad-spare-time":
        thread.join()
print(symbols._POOL in symbols._provided, len(pool._started) > 0)
x = np.linspace(0.0, 1.0, 2_000_000)
np.testing.assert_array_equal(fad.jit(lambda x: x * 2.0 + 1.0)(x), x * 2.0 + 1.0)
print(symbols._POOL in symbols._provided, pool._started["workers"])
"""


@pytest.mark.skipif(os.name != "posix", reason="the pool's workers are POSIX threads")
@pytest.mark.skipif(not is_side_by_side(), reason="there is no spare time where one thread compiles at a time")
def test_a_pool_that_lies_on_disk_is_linked_in_spare_time_and_started_when_it_is_needed(tmp_path):
    env = {**os.environ, "FAD_CACHE_DIR": str(tmp_path), "FAD_NUM_THREADS": "3", "FAD_DISK_CACHE": "1"}
    for expected in ("False False True 2", "True False True 2"):
        done = subprocess.run(
            [sys.executable, "-c", LARGE_AFTER_SMALL], env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == expected.split()


@pytest.mark.parametrize(
    "method", [m for m in ("fork", "spawn", "forkserver") if m in multiprocessing.get_all_start_methods()]
)
def test_multiprocessing(method):
    expected_gradient, expected_product = functions.in_worker(X)[1:]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as executor:
        found = list(executor.map(functions.in_worker, [X, X + 0.0, X * 1.0]))
        sums = list(executor.map(fad.grad(functions.decorated), [0.5, 1.5]))
    assert os.getpid() not in {pid for pid, _, _ in found}
    for _, gradient, product in found:
        np.testing.assert_array_equal(gradient, expected_gradient)
        np.testing.assert_array_equal(product, expected_product)
    np.testing.assert_allclose(
        [float(s) for s in sums], np.cos([0.5, 1.5]) - np.array([0.5, 1.5]) * np.sin([0.5, 1.5]), rtol=1e-12
    )


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib(backend):
    scale = 3.0
    f = (
        fad.jit(fad.grad(lambda x: fnp.sum(fnp.sin(x) * scale)))
        if backend != "multiprocessing"
        else fad.jit(fad.grad(functions.energy))
    )
    arrays = [np.linspace(0.0, k, 500) for k in range(1, 5)]
    found = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(f)(x) for x in arrays)
    for gradient, x in zip(found, arrays, strict=True):
        np.testing.assert_allclose(np.asarray(gradient), np.asarray(f(x)), rtol=1e-13)


def test_many_threads_ask_for_new_code_at_once(monkeypatch):
    monkeypatch.setenv("FAD_DISK_CACHE", "0")
    f = fad.jit(fad.value_and_grad(lambda x: fnp.sum(fnp.sin(x) * fnp.arctan(x) * 0.9375)))
    x, barrier, seen = np.linspace(0.0, 1.0, 77), threading.Barrier(12), []
    other = fad.jit(lambda x: x + 1.0)
    for _ in range(3):
        other(x)  # what all functions share is compiled for the first one
    for thread in threading.enumerate():
        if thread.name == "fad-spare-time":
            thread.join()
    made, make = [], code._make
    monkeypatch.setattr(code, "_make", lambda *args: made.append(threading.get_ident()) or make(*args))

    def work():
        barrier.wait()
        seen.append(float(f(x)[0]))

    threads = [threading.Thread(target=work) for _ in range(12)]
    compiled = engine().compiled
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 12
    assert len(set(seen)) == 1
    assert (f.traces, len(made)) == (1, 1)
    assert (
        engine().compiled - compiled <= 6
    )  # the code in two parts, sin, cos, what both call for huge numbers, and arctan


def test_the_cache_of_a_function_is_bounded_and_can_be_cleared():
    f = fad.jit(lambda x, n: x * n, static_argnums=1)
    for n in range(300):
        assert float(f(2.0, n)) == 2.0 * n
    assert f.traces == 300
    assert len(f._cache) == 256
    f(2.0, 299)
    assert f.traces == 300
    f(2.0, 0)  # long gone
    assert f.traces == 301
    f.clear()
    assert len(f._cache) == 0
    f(2.0, 299)
    assert f.traces == 302


def test_what_is_used_stays_in_the_cache_of_a_function():
    f = fad.jit(lambda x, n: x * n, static_argnums=1)
    f(2.0, 0)
    for n in range(1, 300):
        f(2.0, n)
        f(2.0, 0)
    assert f.traces == 300
