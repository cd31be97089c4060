"""What most processes need sooner or later, compiled or linked while they do something else.

That is what fetches memory for large results, and the thread pool, which the first large loop needs. They are compiled once per machine, as a rule: later
processes find them on disk.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from contextvars import copy_context

from fad.compiler.llvm.fetching_text import FETCH
from fad.compiler.llvm.parallel import DISPATCH
from fad.compiler.llvm.pool import thread_count
from fad.compiler.llvm.side_by_side import is_side_by_side
from fad.compiler.llvm.symbols import compile_ahead, compiled_address, link_ahead
from fad.core.interruptions import uninterrupted

__all__ = ["use_spare_time"]

_begun = threading.Event()
_LOW = 19
"""The lowest priority: who waits for something else comes first."""


def use_spare_time() -> None:
    """Compile or link them in a thread of its own, once per process; where only one thread may work, there is no spare time."""
    if not _begun.is_set():
        # An event has a lock, and so has a thread that starts. There may be no more threads: then who needs it compiles it.
        with uninterrupted(), suppress(RuntimeError):
            _begun.set()
            if thread_count() > 1 and is_side_by_side():
                threading.Thread(target=copy_context().run, args=(_prepare,), name="fad-spare-time").start()


def _prepare() -> None:
    # Whoever needs one of them meets the error, if there is one.
    with suppress(Exception):
        missing = [symbol for symbol in (FETCH, DISPATCH) if not link_ahead(symbol)]
        if missing and sys.platform == "linux":  # where priorities are those of threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOW)
        for symbol in missing:
            compile_ahead(symbol)
        compiled_address(FETCH)
