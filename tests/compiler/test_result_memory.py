"""Memory of large results that is used again: never while anybody can see it, and no more of it than is said."""

import ctypes
import gc
import mmap
import os
import signal
import sys
import threading
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler import fetched_memory
from fad.compiler.fetched_memory import FetchedArrays, fetched_arrays
from fad.compiler.llvm import symbols
from fad.compiler.llvm.caller import new_results
from fad.compiler.llvm.fetching_text import FETCH, FIRST, IS_SLOW
from fad.compiler.llvm.result_memory import LEAST, LEAST_KEPT, MOST, SLOTS

pytestmark = pytest.mark.skipif(os.name != "posix", reason="only POSIX systems have the allocator that this needs")

COUNT = LEAST // 8 + 1000
X = np.arange(float(COUNT))


def function():
    """A compiled function with a large result, called often enough to be called natively."""
    f = fad.jit(lambda x: x * 2.0 + 1.0)
    for _ in range(3):
        f(X)
    return f


def address(array):
    return np.asarray(array).ctypes.data


def test_the_memory_of_a_dead_result_is_used_again():
    f = function()
    first = address(f(X))
    assert first == address(f(X))


def test_profiled_code_writes_results_where_called_code_does():
    # New pages, which a call seldom has, would be counted as the kernels' time.
    types = [((LEAST // 8,), np.dtype(np.float64)), ((3,), np.dtype(np.float32))]
    new_results(types)
    places = set()
    for _ in range(5):
        large, small = new_results(types)
        assert (large.shape, large.dtype, small.shape, small.dtype) == (*types[0], *types[1])
        places.add(large.ctypes.data)
        del large, small
    assert len(places) == 1


@pytest.mark.parametrize(
    "hold",
    [
        lambda y: y,
        lambda y: np.asarray(y),
        lambda y: np.asarray(y)[5:10],
        lambda y: memoryview(np.asarray(y)),
        lambda y: np.from_dlpack(y),
    ],
)
def test_memory_that_anybody_sees_is_not_used_again(hold):
    f = function()
    result = f(X)
    at, held = address(result), hold(result)
    del result
    gc.collect()
    others = [f(X * 3.0) for _ in range(SLOTS + 2)]
    assert at not in {address(o) for o in others}
    if isinstance(held, np.ndarray):
        assert held[2] in (2 * X[2] + 1.0, 2 * X[7] + 1.0)
    del held


def test_results_that_live_at_once_have_memory_of_their_own():
    f = function()
    results = [f(X + k) for k in range(3 * SLOTS)]
    assert len({address(r) for r in results}) == len(results)
    for k, result in enumerate(results):
        np.testing.assert_array_equal(np.asarray(result)[:: COUNT // 7], (2.0 * (X + k) + 1.0)[:: COUNT // 7])


def test_little_is_kept():
    f = function()
    results = [f(X) for _ in range(2 * SLOTS)]
    seen = {address(r) for r in results}
    results.clear()
    again = [f(X) for _ in range(SLOTS)]
    assert {address(r) for r in again} <= seen
    assert MOST * SLOTS <= 256 << 20


def results_of(f, x, count):
    """The addresses of several results that die together."""
    results = [f(x) for _ in range(count)]
    return [address(r) for r in results]


@pytest.mark.parametrize("size", [LEAST_KEPT // 8, LEAST // 8 - 1])
def test_twice_as_many_results_of_some_megabytes_are_kept(size):
    x, f = np.arange(float(size)), fad.jit(lambda x: x * 2.0 + 1.0)
    large = function()
    for _ in range(3):
        f(x)
    fad.config.update("kept_results", 0)  # what was kept before goes
    fad.config.update("kept_results", SLOTS)
    first = results_of(f, x, 2 * SLOTS)
    large_ones = results_of(large, X, SLOTS)  # large results do not take their places
    assert set(results_of(f, x, 2 * SLOTS)) == set(first)
    assert set(results_of(large, X, SLOTS)) == set(large_ones)
    np.testing.assert_array_equal(np.asarray(f(x)), 2.0 * x + 1.0)


def test_many_results_of_some_megabytes_have_memory_of_their_own():
    x, f = np.arange(LEAST_KEPT / 8), fad.jit(lambda x: x * 2.0 + 1.0)
    results_of(f, x, 5 * SLOTS)
    results = [f(x + k) for k in range(5 * SLOTS)]
    assert len({address(r) for r in results}) == len(results)
    for k, result in enumerate(results):
        np.testing.assert_array_equal(result, 2.0 * (x + k) + 1.0)


def kept_count():
    """How many of some dead results the process still holds; the C library itself keeps no memory of arrays above 32 MiB."""
    x = np.zeros((33 << 20) // 8)
    f = fad.jit(lambda x: x + 1.0)
    results = [f(x) for _ in range(SLOTS + 3)]
    addresses = [address(r) for r in results]
    results.clear()
    with open("/proc/self/maps") as maps:
        ranges = [[int(n, 16) for n in line.split()[0].split("-")] for line in maps]
    return sum(any(low <= a < high for low, high in ranges) for a in addresses)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="reads Linux's list of the memory that is mapped")
def test_how_much_is_kept_can_be_set():
    try:
        for most in (SLOTS, 2, 0, 1, SLOTS):
            fad.config.update("kept_results", most)
            assert kept_count() == most
    finally:
        fad.config.update("kept_results", SLOTS)
    with pytest.raises(fad.errors.ArgumentError, match="whole process"), fad.config.using(kept_results=0):
        pass


def test_threads_never_share_a_result():
    f = function()
    failures = []

    def work(seed):
        for turn in range(30):
            x = X + seed * 1000.0 + turn
            result = np.asarray(f(x))
            if (
                result[0] != 2.0 * x[0] + 1.0
                or result[-1] != 2.0 * x[-1] + 1.0
                or result[COUNT // 2] != 2.0 * x[COUNT // 2] + 1.0
            ):
                failures.append((seed, turn))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_numpy_may_resize_and_copy_such_an_array():
    (result,) = [np.asarray(r) for r in [function()(X)]]
    copied = result.copy()
    buffer = fad.jit(lambda x: x + 1.0)
    for _ in range(3):
        made = buffer(X)
    array = made._buffer
    del made
    array.resize(COUNT + 10, refcheck=False)
    np.testing.assert_array_equal(array[:COUNT], X + 1.0)
    np.testing.assert_array_equal(array[COUNT:], 0.0)
    array.resize(100, refcheck=False)
    np.testing.assert_array_equal(array, X[:100] + 1.0)
    np.testing.assert_array_equal(copied, X * 2.0 + 1.0)


def test_other_arrays_keep_their_allocator():
    f = function()
    made = f(X)
    name_of = np._core.multiarray.get_handler_name
    assert name_of(made._buffer) == "fad_large_memory"
    assert name_of(np.empty(COUNT)) == "default_allocator"
    assert name_of(fad.jit(lambda x: fnp.sin(x))(X[:10])._buffer) == "default_allocator"


def test_a_forked_child_has_its_own_memory():
    f = function()
    held = f(X)
    child = os.fork()
    if child == 0:
        good = all(np.asarray(f(X * k))[1] == 2.0 * k + 1.0 for k in range(2 * SLOTS))
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    np.testing.assert_array_equal(np.asarray(held)[:5], 2.0 * X[:5] + 1.0)


def test_memory_is_on_its_way_while_code_is_made(monkeypatch):
    taken = []
    take = FetchedArrays.take

    def watched(self):
        taken.append(take(self))
        return taken[-1]

    monkeypatch.setattr(FetchedArrays, "take", watched)
    with fad.config.using(threads=2):
        large, small = fad.jit(lambda x: (x * 3.5, x[:5] - 1.0))(X)
    (arrays,) = taken
    assert [a is np.asarray(r).base or a is r._buffer for a, r in zip(arrays, (large, small), strict=True)] == [
        True
    ] * 2
    np.testing.assert_array_equal(large, X * 3.5)
    np.testing.assert_array_equal(small, X[:5] - 1.0)
    taken.clear()
    f = fad.jit(lambda x: x * 3.5)
    with fad.config.using(threads=2):
        f.lower(X).compile()  # which says nothing about a run
        fad.jit(lambda x: x * 2.5)(X[:100])
    with fad.config.using(threads=1):
        fad.jit(lambda x: x * 1.5)(X)
    assert not taken


@pytest.fixture(name="fetch")
def fixture_fetch():
    """The address of what fetches memory."""
    symbols.compile_ahead(FETCH)
    return symbols.compiled_address(FETCH)


@pytest.mark.parametrize("pause", [0.0, 0.0003, 0.002])
def test_fetched_arrays_are_left_alone_once_they_are_taken(fetch, pause):
    types = [
        ((COUNT,), np.dtype(np.float64)),
        ((3, 0), np.dtype(np.int64)),
        ((), np.dtype(bool)),
        ((MOST // 4,), np.dtype(np.float32)),
    ]
    for _ in range(10):
        fetched = FetchedArrays(types, fetch)
        time.sleep(pause)
        found = fetched.take()
        assert [(a.shape, a.dtype) for a in found] == types
        for a in found:
            a.fill(1)
        del fetched
        assert all((a == 1).all() for a in found)


def resident(array):
    """Whether pages of an array have memory, as the system tells."""
    first = array.ctypes.data & -mmap.PAGESIZE
    count = (array.ctypes.data + array.nbytes - first + mmap.PAGESIZE - 1) // mmap.PAGESIZE
    pages = (ctypes.c_ubyte * count)()
    assert not ctypes.CDLL(None).mincore(ctypes.c_void_p(first), ctypes.c_size_t(count * mmap.PAGESIZE), pages)
    return np.array(pages) & 1 == 1


def test_an_interruption_does_not_keep_anybody_from_waiting_for_the_thread_that_fetches(monkeypatch):
    """It could touch memory that is given back."""
    ended = []

    def library():
        signal.raise_signal(signal.SIGINT)
        return SimpleNamespace(pthread_join=lambda *thread: ended.append(thread))

    monkeypatch.setattr(fetched_memory, "_library", library)
    with pytest.raises(KeyboardInterrupt):
        fetched_memory._end([], (ctypes.c_int64 * (FIRST + 1))(), ctypes.c_void_p(1), os.getpid())
    assert len(ended) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="mincore tells something else on other systems")
def test_all_pages_of_large_arrays_are_fetched(fetch):
    fetched = FetchedArrays([((2 * MOST // 8,), np.dtype(np.float64)), ((COUNT,), np.dtype(np.float64))], fetch)
    end = time.monotonic() + 60
    while not all(resident(a).all() for a in fetched._arrays) and time.monotonic() < end:
        time.sleep(0.01)
    assert all(resident(a).all() for a in fetched._arrays)


def test_arrays_that_nobody_takes_outlive_the_thread(fetch):
    for _ in range(20):
        array = weakref.ref(FetchedArrays([((MOST // 8,), np.dtype(np.float64))], fetch)._arrays[0])
        assert array() is None


def test_nothing_is_fetched_as_long_as_nobody_has_compiled_what_does_it(monkeypatch):
    for name, empty in (("_addresses", {}), ("_coming", {}), ("_provided", symbols._provided - {FETCH})):
        monkeypatch.setattr(symbols, name, empty)
    with fad.config.using(disk_cache=False, threads=2):
        assert fetched_arrays([fad.ShapedArray((COUNT,), "float64")]) is None
        fad.jit(lambda x: x - 0.1875)(X)


def test_a_forked_child_does_not_wait_for_the_thread_that_fetches():
    may_end = threading.Event()

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def wait(request):
        may_end.wait()

    fetched = FetchedArrays([((COUNT,), np.dtype(np.float64))], ctypes.cast(wait, ctypes.c_void_p).value)
    child = os.fork()
    if not child:
        signal.alarm(60)
        (found,) = fetched.take()
        del fetched
        os._exit(found.shape != (COUNT,))
    may_end.set()
    assert os.waitpid(child, 0)[1] == 0
    assert fetched.take()[0].shape == (COUNT,)


def is_without_huge_pages(array, offset):
    """What Linux says of the page of a byte."""
    place, here = array.ctypes.data + offset, False
    with open("/proc/self/smaps") as file:
        for line in file:
            first, *rest = line.split()
            if "-" in first:
                begin, end = (int(part, 16) for part in first.split("-"))
                here = begin <= place < end
            elif here and first == "VmFlags:":
                return "nh" in rest
    raise AssertionError(f"no memory at {place:x}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is asked for huge pages")
def test_small_pages_take_the_place_of_huge_ones_that_come_slowly(monkeypatch, fetch):
    types = [((MOST // 8,), np.dtype(np.float64)), ((COUNT,), np.dtype(np.float64))]
    for slow, left_out in ((-1.0, True), (1000.0, False)):
        monkeypatch.setattr("fad.compiler.fetched_memory._SLOW", slow)
        fetched = FetchedArrays(types, fetch)
        # Memory that the C library had already may be resident before the thread has come to it.
        limit = time.monotonic() + 30.0
        while time.monotonic() < limit and not (
            all(resident(a).all() and is_without_huge_pages(a, a.nbytes - 1) == left_out for a in fetched._arrays)
            and bool(fetched._request[IS_SLOW]) == left_out
        ):
            time.sleep(0.001)
        found, temporary = fetched.take(), fetched.like_them(LEAST)
        del fetched
        assert [is_without_huge_pages(a, a.nbytes - 1) for a in found] == [left_out] * 2
        assert is_without_huge_pages(temporary, LEAST - 1) == left_out
        for a in found:
            a.fill(1)
        assert all((a == 1).all() for a in found)


def test_results_of_unknown_size_are_not_fetched():
    def power(x):
        return fad.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x), (0, x))[1]

    # What reverse mode stacks has its size at run time only.
    assert float(fad.grad(fad.jit(power))(2.0)) == 32.0


def test_a_result_that_no_memory_can_hold_is_a_memory_error_and_no_bug_of_the_compiler():
    """Warnings are errors here: the one about a failed compilation would be seen."""
    x = np.ones(2**23)
    with fad.config.using(threads=2), pytest.raises(MemoryError):
        fad.jit(lambda x: x[:, None] * x)(x)
