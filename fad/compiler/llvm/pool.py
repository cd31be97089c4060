"""Threads of compiled code: a small pool of native threads that share the chunks of large loops.

How a loop is cut into chunks depends on its size alone, never on the number of threads, so results do not either.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

from fad.compiler.llvm.pool_text import pool_source
from fad.core.config import config

__all__ = ["GRAIN", "set_thread_limit", "source", "start_pool", "thread_count"]

GRAIN = 1_000_000
"""The work of one chunk; a unit is about 0.03 ns on one core."""
_MOST_CHUNKS = 64

_started: dict[str, int] = {}
"""The addresses of the pool's functions, once it runs."""


def thread_count() -> int:
    """How many threads compiled loops may use: ``config.threads``, else ``FAD_NUM_THREADS``, else the cores that this process may use."""
    if config.threads > 0:
        return config.threads
    asked = os.environ.get("FAD_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def source() -> str:
    """The pool's assembly."""
    return pool_source(GRAIN, _MOST_CHUNKS)


def start_pool(address: Callable[[str], int]) -> None:
    """Start the pool, whose code is linked; ``address`` gives the addresses of its functions. A forked child starts it anew."""
    _started.update({name: address(f"fad_pool_{name}") for name in ("start", "set_limit", "worker")})
    _start()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_start)


def _start() -> None:
    """Make the pool anew with its workers, which sleep until there is something to do."""
    limit = thread_count()
    ctypes.CFUNCTYPE(None, ctypes.c_int64)(_started["start"])(limit)
    create = getattr(ctypes.CDLL(None), "pthread_create", None) if os.name == "posix" else None
    for _ in range(limit - 1 if create is not None else 0):
        handle = ctypes.c_void_p()
        create(ctypes.byref(handle), None, ctypes.c_void_p(_started["worker"]), None)


def set_thread_limit() -> None:
    """Take over the present settings."""
    if _started:
        ctypes.CFUNCTYPE(None, ctypes.c_int64)(_started["set_limit"])(thread_count())
