"""Workers of the thread pool: how many, and that they run on another core than the thread that asked for the work."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import llvmlite.binding as binding
import numpy as np
import pytest

import fad
from fad.compiler.llvm.linking import Source, engine
from fad.compiler.llvm.placement_text import placement_source
from fad.compiler.llvm.pool import source as pool_source
from fad.compiler.llvm.symbols import link_helper

_CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []

needs_cores = pytest.mark.skipif(
    len(_CORES) < 2, reason="only Linux lets a thread choose its cores, and with one core there is no other one"
)

_AWAKE, _ASLEEP, _WOKEN, _MOVED = range(4)
_FUNCTIONS = {"clear_core": 0, "note_core": 1, "keep_off": 1}


class Place(ctypes.Structure):
    """A worker's row, as the assembly lays it out."""

    _fields_ = [
        ("next", ctypes.c_void_p),
        ("thread", ctypes.c_int64),
        ("core", ctypes.c_int32),
        ("state", ctypes.c_int32),
        ("allowed", ctypes.c_uint64 * 16),
    ]


class Linked:
    """The functions of the text, callable, and the head of its list."""

    def __init__(self) -> None:
        text = placement_source() + "define ptr @test_placement_head() {\n  ret ptr @fad_pool_places\n}\n"
        for name, count in _FUNCTIONS.items():
            given = "ptr %place" * count
            text += f"define void @test_placement_{name}({given}) {{\n  call void @{name}({given})\n  ret void\n}}\n"
        head = link_helper("test_placement_head", lambda: Source(text, 0))
        self._head = ctypes.c_void_p.from_address(ctypes.CFUNCTYPE(ctypes.c_void_p)(head)())
        addresses = {name: engine().address(f"test_placement_{name}") for name in _FUNCTIONS}
        kinds = {name: ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count) for name, count in _FUNCTIONS.items()}
        self.clear_core, self.note_core, self.keep_off = (kinds[n](addresses[n]) for n in _FUNCTIONS)

    @contextmanager
    def listed(self, place: Place) -> Iterator[None]:
        """With this place as the only one of the list."""
        self._head.value = ctypes.addressof(place)
        yield
        self._head.value = None


@pytest.fixture(scope="module")
def linked() -> Linked:
    return Linked()


@pytest.fixture
def on_first_core() -> Iterator[int]:
    """A core that this thread is bound to meanwhile."""
    os.sched_setaffinity(0, _CORES[:1])
    yield _CORES[0]
    os.sched_setaffinity(0, _CORES)


class Sleeper:
    """A thread that sleeps, and then may call a function."""

    def __enter__(self) -> Sleeper:
        self._wake, self._ready, self.call = threading.Event(), threading.Event(), lambda: None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait()
        return self

    def _run(self) -> None:
        os.sched_setaffinity(0, _CORES)
        self.number = threading.get_native_id()
        self._ready.set()
        self._wake.wait()
        self.call()

    def place(self, core: int, state: int) -> Place:
        return Place(None, self._thread.ident, core, state)

    def cores(self) -> set[int]:
        return os.sched_getaffinity(self.number)

    def run(self, call: Callable[[], None]) -> None:
        self.call = call
        self._wake.set()
        self._thread.join()

    def __exit__(self, *error: object) -> None:
        self._wake.set()
        self._thread.join()


@needs_cores
@pytest.mark.parametrize(("there", "state"), [(True, _ASLEEP), (True, _AWAKE), (True, _WOKEN), (False, _WOKEN)])
def test_a_worker_on_the_callers_core_or_behind_it_is_sent_away_until_it_runs(linked, on_first_core, there, state):
    with Sleeper() as sleeper:
        place = sleeper.place(_CORES[0] if there else _CORES[1], state)
        with linked.listed(place):
            linked.clear_core()
            assert place.state == _MOVED
            assert sleeper.cores() == set(_CORES) - {on_first_core}
            linked.clear_core()  # once more, before it runs: its own cores are not forgotten
            linked.note_core(ctypes.addressof(place))
        assert place.state == _AWAKE
        assert sleeper.cores() == set(_CORES)


@needs_cores
@pytest.mark.parametrize(("before", "after"), [(_ASLEEP, _WOKEN), (_AWAKE, _AWAKE)])
def test_a_worker_on_another_core_stays_as_it_is(linked, on_first_core, before, after):
    with Sleeper() as sleeper:
        place = sleeper.place(_CORES[1], before)
        with linked.listed(place):
            linked.clear_core()
        assert place.state == after
        assert sleeper.cores() == set(_CORES)


@needs_cores
def test_a_worker_that_may_use_no_other_core_stays(linked, on_first_core):
    with Sleeper() as sleeper:
        os.sched_setaffinity(sleeper.number, {on_first_core})
        place = sleeper.place(on_first_core, _ASLEEP)
        with linked.listed(place):
            linked.clear_core()
        assert place.state == _WOKEN
        assert sleeper.cores() == {on_first_core}


@needs_cores
def test_a_worker_that_finds_itself_on_the_callers_core_leaves(linked, on_first_core):
    get_core = ctypes.CDLL(None).sched_getcpu
    linked.clear_core()  # the core of who asks is noted, with no worker to move
    with Sleeper() as sleeper:
        place, seen = sleeper.place(on_first_core, _AWAKE), []

        def leave() -> None:
            os.sched_setaffinity(0, {on_first_core})
            assert get_core() == on_first_core
            linked.keep_off(ctypes.addressof(place))  # nowhere to go to
            seen.append((get_core(), os.sched_getaffinity(0)))
            os.sched_setaffinity(0, _CORES)
            linked.keep_off(ctypes.addressof(place))
            seen.append((get_core() == on_first_core, os.sched_getaffinity(0)))

        sleeper.run(leave)
    assert seen == [(on_first_core, {on_first_core}), (False, set(_CORES))]


def _own_threads() -> dict[int, float]:
    """The threads of this process, and the nanoseconds that each has run, see proc_pid_schedstat."""
    found = {}
    for name in os.listdir("/proc/self/task"):
        with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/self/task/{name}/schedstat") as file:
            found[int(name)] = float(file.read().split()[0])
    return found


def _workers(f: Callable[[], object]) -> list[int]:
    """The threads that work while a function is called, apart from this one."""
    time.sleep(0.3)  # threads of NumPy's BLAS wait awake for some time
    for _ in range(100):
        before = _own_threads()
        for _ in range(5):
            f()
            time.sleep(0.001)
        found = [n for n, run in _own_threads().items() if n in before and run > before[n]]
        python = {thread.native_id for thread in threading.enumerate()}
        if workers := [n for n in found if n not in python]:
            return workers
    raise AssertionError("no thread helps")


def _parallel_call() -> Callable[[], object]:
    f, x = fad.jit(lambda x: fad.numpy.exp(fad.numpy.tanh(x))), np.linspace(-1.0, 1.0, 400_000)
    np.testing.assert_allclose(f(x), np.exp(np.tanh(x)), rtol=1e-15)
    return lambda: f(x)


@needs_cores
def test_workers_have_all_cores_again_after_work():
    with fad.config.using(threads=2):
        call = _parallel_call()
        workers = _workers(call)
        for _ in range(20):
            time.sleep(0.001)  # longer than a worker stays awake
            call()
    # A worker that was sent away but came too late to help has its cores back once it runs.
    limit = time.monotonic() + 30.0
    while any(os.sched_getaffinity(n) != set(_CORES) for n in workers) and time.monotonic() < limit:
        time.sleep(0.01)
    assert all(os.sched_getaffinity(n) == set(_CORES) for n in workers)


def _core_of(number: int) -> int:
    """Where a thread was seen last, see proc_pid_stat(5)."""
    with open(f"/proc/self/task/{number}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[36])


@needs_cores
def test_a_worker_left_on_the_callers_core_runs_elsewhere(on_first_core):
    with fad.config.using(threads=2):
        call = _parallel_call()
        workers = _workers(call)
        elsewhere = 0
        for _ in range(10):
            for number in workers:
                os.sched_setaffinity(number, {on_first_core})
            while any(_core_of(number) != on_first_core for number in workers):
                call()
                time.sleep(0.02)
            for number in workers:
                os.sched_setaffinity(number, _CORES)
            call()
            time.sleep(0.02)
            elsewhere += all(_core_of(number) != on_first_core for number in workers)
    assert elsewhere >= 8


_MANY_THREADS = """
import os
import numpy as np
import fad
f, x = fad.jit(lambda x: fad.numpy.exp(fad.numpy.tanh(x))), np.ones(400_000)
f(x)
with fad.config.using(threads=3000):
    f(x)
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in Linux's /proc")
def test_no_more_workers_than_a_job_has_chunks():
    done = subprocess.run([sys.executable, "-c", _MANY_THREADS], capture_output=True, text=True, check=True)
    assert 2 <= int(done.stdout) < 200


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_the_pool_is_whole_on_every_system(monkeypatch, system):
    monkeypatch.setattr(sys, "platform", system)
    module = binding.parse_assembly(pool_source())
    module.verify()
    assert "sched_getcpu" in [f.name for f in module.functions] or system != "linux"
    assert {"fad_pool_start", "fad_pool_worker", "fad_pool_dispatch"} <= {f.name for f in module.functions}
