"""Memory of large results, which a thread fetches from the system while the code that will write them is made.

The system gives and clears pages when they are first touched, which may take longer than a loop takes to write them. The first run of a function
would wait for that; while its code is compiled, or read from disk, not all cores are busy.

A virtual machine may give free memory back. Then its host must provide each huge page anew, bit by bit, which takes ten times as long or more. Pieces
that are smaller are not given back, so small pages come quickly there.
"""

from __future__ import annotations

import _thread
import ctypes
import mmap
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from fad.compiler.llvm.pool import thread_count
from fad.compiler.llvm.result_memory import LEAST
from fad.core.avals import ShapedArray

__all__ = ["FetchedArrays", "fetched_arrays"]

_HUGE = 2 << 20
"""Bytes of a huge page, which comes as a whole: between two of them is a look at whether the run begins."""
_SLOW = 0.002
"""A huge page that takes so many seconds of processor time came from the host: to clear it takes a sixth of that, and small pages in its place less than half."""
_NO_HUGE_PAGES = 15
"""Linux's ``MADV_NOHUGEPAGE``."""


class FetchedArrays:
    """New arrays, whose memory is on its way.

    Parameters
    ----------
    types : sequence of (shape, dtype)
        Their types.
    """

    def __init__(self, types: Sequence[tuple[tuple[int, ...], np.dtype]]):
        self._arrays = [np.empty(*t) for t in types]
        self._comes_slowly = self._is_wanted = False
        self._process, self._ends = os.getpid(), threading.Lock()
        self._ends.acquire()
        # A Thread would be waited for until it begins, for half a millisecond.
        _thread.start_new_thread(self._fetch, ())

    def _fetch(self) -> None:
        try:
            self._touch()
        finally:
            self._ends.release()

    def _touch(self) -> None:
        """Write to each page up to the last end of a huge one, in pieces so large that NumPy lets other threads have the interpreter meanwhile."""
        missing = [a.reshape(-1).view(np.uint8) for a in self._arrays if a.nbytes >= LEAST]
        while missing and not self._is_wanted:
            memory = missing.pop(0)
            end = _HUGE + -memory.ctypes.data % _HUGE
            if end + _HUGE <= len(memory):
                missing.insert(0, memory[end:])
            begin = time.thread_time()
            memory[: end : mmap.PAGESIZE] = 0
            if not self._comes_slowly and time.thread_time() - begin > _SLOW:
                self._comes_slowly = True
                for rest in missing:
                    _leave_huge_pages_out(rest)

    def take(self) -> list[np.ndarray]:
        """The arrays, which nobody else touches from now on."""
        self._is_wanted = True
        if self._process == os.getpid():  # a forked child has no such thread
            self._ends.acquire()
        return self._arrays

    def like_them(self, count: int) -> np.ndarray:
        """So many other bytes, in small pages if huge ones came slowly. Ask for them after the arrays."""
        memory = np.empty(count, np.uint8)
        if self._comes_slowly and count >= LEAST:
            _leave_huge_pages_out(memory)
        return memory


def fetched_arrays(avals: Sequence[ShapedArray]) -> FetchedArrays | None:
    """Arrays of these types; ``None`` where none is large, a size is known only at run time, or only one thread may work."""
    if not all(a.is_sized for a in avals) or all(a.nbytes < LEAST for a in avals):
        return None
    return FetchedArrays([(a.shape, a.dtype) for a in avals]) if thread_count() > 1 else None


@cache
def _madvise() -> Callable[..., int] | None:
    return ctypes.CDLL(None).madvise if sys.platform == "linux" else None


def _leave_huge_pages_out(memory: np.ndarray) -> None:
    """Have small pages where bytes have none yet."""
    advise, start = _madvise(), memory.ctypes.data & -mmap.PAGESIZE
    if advise is not None:
        advise(ctypes.c_void_p(start), ctypes.c_size_t(memory.ctypes.data + len(memory) - start), _NO_HUGE_PAGES)
