"""Memory of large results, which a thread fetches from the system while the code that will write them is made.

The system gives and clears pages when they are first touched, which may take longer than a loop takes to write them. The first run of a function
would wait for that; while its code is compiled, or read from disk, not all cores are busy.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Sequence

import numpy as np

from fad.compiler.llvm.pool import thread_count
from fad.compiler.llvm.result_memory import LEAST
from fad.core.avals import ShapedArray

__all__ = ["FetchedArrays", "fetched_arrays"]

_STEP = 2 << 20
"""Bytes between two looks at whether the run begins; as many as a huge page has, which comes as a whole."""


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
        for array in self._arrays:
            pages = array.reshape(-1).view(np.uint8)[:: mmap.PAGESIZE]
            step = _STEP // mmap.PAGESIZE
            for start in range(0, len(pages) if array.nbytes >= LEAST else 0, step):
                if self._is_wanted.is_set():
                    return
                pages[start : start + step] = 0

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
