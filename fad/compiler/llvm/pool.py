"""Threads of compiled code: a small pool of native threads that share the chunks of large loops.

How a loop is cut into chunks depends on its size alone, never on the number of threads, so results do not either.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fad.compiler.llvm.pool_text import pool_source
from fad.compiler.llvm.together_text import together_source
from fad.core.config import config
from fad.core.errors import ArgumentError
from fad.core.interruptions import uninterrupted

__all__ = ["GRAIN", "limited_threads", "source", "start_pool", "thread_count"]

GRAIN = 1_000_000
"""The work of one chunk; a unit is about 0.03 ns on one core."""
_MOST_CHUNKS = 64

_started: dict[str, int] = {}
"""The addresses of the pool's functions, and how many workers it has, once it runs."""


def thread_count(asked: int | None = None) -> int:
    """How many threads compiled code may use: what is asked for (``config.threads``), else ``FAD_NUM_THREADS``, else the cores that this process may use."""
    asked = config.threads if asked is None else asked
    if asked > 0:
        return asked
    variable = os.environ.get("FAD_NUM_THREADS", "").strip() or "0"
    if not variable.isdecimal():
        raise ArgumentError(
            f"the environment variable FAD_NUM_THREADS takes a number of threads, 1 or more, or 0 for all cores; got {variable!r}"
        )
    if int(variable) > 0:
        return int(variable)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def source(together: bool = False) -> str:
    """The pool's assembly, or that of jobs of several kernels ``together``."""
    return (together_source if together else pool_source)(GRAIN, _MOST_CHUNKS)


def start_pool(address: Callable[[str], int]) -> None:
    """Start the pool, whose code is linked, unless it runs; ``address`` gives the addresses of its functions. A forked child starts it anew."""
    if _started:
        return
    _started.update({name: address(f"fad_pool_{name}") for name in ("start", "set_limit", "worker")})
    _start()
    config.watch("threads", _take_over_setting)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_start)


def _start() -> None:
    """Make the pool anew with its workers, which sleep until there is something to do."""
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(_started["start"])(1)
    _started["workers"] = 0
    _take_over_setting()


def _take_over_setting() -> None:
    _set_limit(thread_count(config.process_wide("threads")))


def _set_limit(limit: int) -> None:
    """Let so many threads work, but no more than a job has chunks at most, and make the workers that are missing."""
    limit = min(limit, _MOST_CHUNKS)
    create = getattr(ctypes.CDLL(None), "pthread_create", None) if os.name == "posix" else None
    while create is not None and _started["workers"] < limit - 1:
        with uninterrupted():  # what is counted is made
            handle = ctypes.c_void_p()
            _started["workers"] += 1
            number = ctypes.c_void_p(_started["workers"])
            create(ctypes.byref(handle), None, ctypes.c_void_p(_started["worker"]), number)
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(_started["set_limit"])(limit)


@contextmanager
def limited_threads() -> Iterator[None]:
    """Inside ``config.using(threads=...)``, let so many threads work.

    There is one pool: calls of other Python threads meanwhile have this limit too, which changes nothing but their time.
    """
    asked = config.threads
    if not _started or asked == config.process_wide("threads"):
        yield
        return
    try:
        _set_limit(thread_count(asked))
        yield
    finally:
        _take_over_setting()
