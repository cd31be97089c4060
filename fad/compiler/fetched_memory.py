"""Memory of large results, which a thread fetches from the system while the code that will write them is made.

The system gives and clears pages when they are first touched, which may take longer than a loop takes to write them. The first run of a function
would wait for that; while its code is compiled, or read from disk, not all cores are busy.

A virtual machine may give free memory back. Then its host must provide each huge page anew, bit by bit, which takes ten times as long or more. Pieces
that are smaller are not given back, so small pages come quickly there.
"""

from __future__ import annotations

import ctypes
import mmap
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

_STEP = 2 << 20
"""Bytes between two looks at whether the run begins; as many as a huge page has, which comes as a whole."""
_SLOW = 0.0015
"""One that takes so many seconds of processor time came from the host: to clear it takes a fifth of that, and small pages in its place half."""
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
        self._is_wanted = threading.Event()
        self._thread = threading.Thread(target=self._fetch, name="fad-memory")
        self._thread.start()

    def _fetch(self) -> None:
        missing = [a.reshape(-1).view(np.uint8) for a in self._arrays if a.nbytes >= LEAST]
        while missing and not self._is_wanted.is_set():
            memory = missing.pop(0)
            end = -memory.ctypes.data % _STEP or _STEP
            if end < len(memory):
                missing.insert(0, memory[end:])
            begin = time.thread_time()
            memory[: end : mmap.PAGESIZE] = 0
            if time.thread_time() - begin > _SLOW:
                for rest in missing:
                    _leave_huge_pages_out(rest)

    def take(self) -> list[np.ndarray]:
        """The arrays, which nobody else touches from now on."""
        self._is_wanted.set()
        self._thread.join()
        return self._arrays


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
