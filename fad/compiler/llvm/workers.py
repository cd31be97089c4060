"""Threads that compile pieces of assembly while the thread that writes them goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fad.compiler.llvm.linking import LLVM_LOCK, Source, engine
from fad.compiler.llvm.pool import thread_count
from fad.compiler.llvm.side_by_side import is_side_by_side

__all__ = ["Workers"]

_MOST = 8


class Workers:
    """Threads for one compilation, inside ``with``; they are gone at its end.

    The thread that opens them holds :data:`~fad.compiler.llvm.linking.LLVM_LOCK` on their behalf, so a process does not fork meanwhile.
    With one thread everything is compiled where it is handed over.
    """

    def __init__(self) -> None:
        count = min(thread_count(), _MOST) if is_side_by_side() else 1
        self._threads = ThreadPoolExecutor(count, "fad-compiler") if count > 1 else None

    def __enter__(self) -> Workers:
        LLVM_LOCK.__enter__()
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        try:
            if self._threads is not None:
                self._threads.shutdown(wait=True, cancel_futures=kind is not None)
        finally:
            LLVM_LOCK.__exit__()

    def compile(self, source: Source) -> Callable[[], bytes]:
        """Compile assembly; what it gives waits for the object file."""
        engine().compiled += 1
        if self._threads is not None:
            return self._threads.submit(engine().compile_held, source).result
        done: Future[bytes] = Future()
        done.set_result(engine().compile_held(source))
        return done.result
