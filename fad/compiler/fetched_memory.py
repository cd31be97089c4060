"""Memory of large results, which a thread fetches from the system while the code that will write them is made.

The system gives and clears pages when they are first touched, which may take longer than a loop takes to write them. The first run of a function
would wait for that; while its code is compiled, or read from disk, not all cores are busy. The thread is native code, see
:mod:`fad.compiler.llvm.fetching_text`, and needs nothing of Python's.

A virtual machine may give free memory back. Then its host must provide each huge page anew, bit by bit, which takes ten times as long or more. Pieces
that are smaller are not given back, so small pages come quickly there.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref
from collections.abc import Sequence
from functools import cache

import numpy as np

from fad.compiler.llvm.fetching_text import FETCH, FIRST, IS_SLOW, LIMIT, STOP
from fad.compiler.llvm.huge_pages import NO_HUGE_PAGES
from fad.compiler.llvm.pool import thread_count
from fad.compiler.llvm.result_memory import LEAST
from fad.compiler.llvm.symbols import compiled_address
from fad.core.avals import ShapedArray
from fad.core.interruptions import uninterrupted

__all__ = ["FetchedArrays", "fetched_arrays"]

_SLOW = 0.002
"""A huge page that takes so many seconds of processor time came from the host: to clear it takes a sixth of that, and small pages in its place less than half."""


class FetchedArrays:
    """New arrays, whose memory is on its way.

    Parameters
    ----------
    types : sequence of (shape, dtype)
        Their types.
    function : int
        The address of what the thread does.
    """

    def __init__(self, types: Sequence[tuple[tuple[int, ...], np.dtype]], function: int):
        self._arrays = [np.empty(*t) for t in types]
        large = [a for a in self._arrays if a.nbytes >= LEAST]
        self._request = (ctypes.c_int64 * (FIRST + 2 * len(large) + 1))()
        self._request[LIMIT] = int(_SLOW * 1e9)
        self._request[FIRST:-1] = [n for a in large for n in (a.ctypes.data, a.nbytes)]
        thread = ctypes.c_void_p()
        # First, so that memory is not given back before a thread has ended, whatever happens.
        self._end = weakref.finalize(self, _end, large, self._request, thread, os.getpid())
        _library().pthread_create(ctypes.byref(thread), None, ctypes.c_void_p(function), self._request)

    def take(self) -> list[np.ndarray]:
        """The arrays, which nobody else touches from now on: a page that comes slowly is waited for, so that those after it are small ones."""
        with uninterrupted():  # the memory must not be given back before
            self._end()
        return self._arrays

    def like_them(self, count: int) -> np.ndarray:
        """So many other bytes, in small pages if huge ones came slowly. Ask for them after the arrays."""
        memory = np.empty(count, np.uint8)
        if self._request[IS_SLOW] and count >= LEAST:
            _leave_huge_pages_out(memory)
        return memory


@uninterrupted()
def _end(arrays: Sequence[np.ndarray], request: ctypes.Array, thread: ctypes.c_void_p, process: int) -> None:
    """Wait until a thread, if it could be started, touches its arrays no more; a forked child has no such thread."""
    request[STOP] = 1
    if thread and process == os.getpid():
        _library().pthread_join(thread, None)


def fetched_arrays(avals: Sequence[ShapedArray]) -> FetchedArrays | None:
    """Arrays of these types; ``None`` where none is large, a size is known only at run time, or only one thread may work."""
    if os.name != "posix" or not all(a.is_sized for a in avals) or all(a.nbytes < LEAST for a in avals):
        return None
    function = compiled_address(FETCH) if thread_count() > 1 else None
    return None if function is None else FetchedArrays([(a.shape, a.dtype) for a in avals], function)


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)


def _leave_huge_pages_out(memory: np.ndarray) -> None:
    """Have small pages where bytes have none yet."""
    if sys.platform == "linux":
        start = memory.ctypes.data & -mmap.PAGESIZE
        length = memory.ctypes.data + len(memory) - start
        _library().madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), NO_HUGE_PAGES)
