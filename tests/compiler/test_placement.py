"""Workers of the thread pool run on another core than the thread that asked for the work."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import fad
from fad.compiler.llvm.linking import Source, engine
from fad.compiler.llvm.placement_text import placement_source
from fad.compiler.llvm.symbols import link_helper

_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a thread choose its cores"),
    pytest.mark.skipif(len(_CORES) < 2, reason="with one core there is no other one"),
]

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


@pytest.mark.parametrize(("before", "after"), [(_ASLEEP, _WOKEN), (_AWAKE, _AWAKE)])
def test_a_worker_on_another_core_stays_as_it_is(linked, on_first_core, before, after):
    with Sleeper() as sleeper:
        place = sleeper.place(_CORES[1], before)
        with linked.listed(place):
            linked.clear_core()
        assert place.state == after
        assert sleeper.cores() == set(_CORES)


def test_a_worker_that_may_use_no_other_core_stays(linked, on_first_core):
    with Sleeper() as sleeper:
        os.sched_setaffinity(sleeper.number, {on_first_core})
        place = sleeper.place(on_first_core, _ASLEEP)
        with linked.listed(place):
            linked.clear_core()
        assert place.state == _WOKEN
        assert sleeper.cores() == {on_first_core}


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


def _cores_of_all_threads() -> list[set[int]]:
    return [os.sched_getaffinity(int(name)) for name in os.listdir("/proc/self/task")]


def test_workers_have_all_cores_again_after_work():
    with fad.config.using(threads=2):
        f = fad.jit(lambda x: fad.numpy.exp(fad.numpy.tanh(x)))
        x = np.linspace(-1.0, 1.0, 400_000)
        f(x)
        for _ in range(20):
            time.sleep(0.001)  # longer than a worker stays awake
            result = f(x)
    np.testing.assert_allclose(result, np.exp(np.tanh(x)), rtol=1e-15)
    # A worker that was sent away but came too late to help has its cores back once it runs.
    limit = time.monotonic() + 30.0
    while any(cores != set(_CORES) for cores in _cores_of_all_threads()) and time.monotonic() < limit:
        time.sleep(0.01)
    assert all(cores == set(_CORES) for cores in _cores_of_all_threads())


def _core_of(number: int) -> int:
    """Where a thread was seen last, see proc_pid_stat(5)."""
    with open(f"/proc/self/task/{number}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[36])


def test_a_worker_left_on_the_callers_core_runs_elsewhere(on_first_core):
    with fad.config.using(threads=2):
        f = fad.jit(lambda x: fad.numpy.exp(fad.numpy.tanh(x)))
        x = np.linspace(-1.0, 1.0, 400_000)
        f(x)
        others = [int(name) for name in os.listdir("/proc/self/task") if int(name) != threading.get_native_id()]
        elsewhere = 0
        for _ in range(10):
            for number in others:
                os.sched_setaffinity(number, {on_first_core})
            for _ in range(5):
                f(x)
                time.sleep(0.02)
            assert {_core_of(number) for number in others} == {on_first_core}
            for number in others:
                os.sched_setaffinity(number, _CORES)
            f(x)
            time.sleep(0.02)
            elsewhere += any(_core_of(number) != on_first_core for number in others)
    assert elsewhere >= 8
