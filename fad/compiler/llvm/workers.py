"""Threads that compile pieces of assembly while the thread that writes them goes on."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from fad.compiler.llvm.linking import LLVM_LOCK, Source, engine
from fad.compiler.llvm.pool import thread_count
from fad.compiler.llvm.side_by_side import is_side_by_side

__all__ = ["Workers", "compile_for"]

_MOST = 8
_UNOPTIMISED = 0.2
"""What code costs that is not optimised, if a letter of optimised code costs 1."""
_INTERVAL = 0.0002
"""Seconds after which the thread that writes lets another one go on: those that compile need Python for a moment between LLVM's steps."""


class Workers:
    """Threads for one compilation, inside ``with``; they are gone at its end.

    The thread that opens them holds :data:`~fad.compiler.llvm.linking.LLVM_LOCK` on their behalf, so a process does not fork meanwhile. It compiles
    as well while it waits for a piece. With one thread everything is compiled where it is handed over.
    """

    def __init__(self) -> None:
        count = min(thread_count(), _MOST) if is_side_by_side() else 1
        self._threads = ThreadPoolExecutor(count - 1, "fad-compiler") if count > 1 else None
        self._waiting: list[tuple[float, Future[bytes], Callable[[], None]]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Workers:
        LLVM_LOCK.__enter__()
        if self._threads is not None:
            self._interval = sys.getswitchinterval()
            sys.setswitchinterval(min(self._interval, _INTERVAL))
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        try:
            while (piece := self._taken()) is not None:
                _, future, work = piece
                work() if kind is None else future.cancel()
            if self._threads is not None:
                self._threads.shutdown(wait=True)
        finally:
            if self._threads is not None:
                sys.setswitchinterval(self._interval)
            LLVM_LOCK.__exit__()

    def compile(self, source: Source, keep: Callable[[bytes], None] = lambda code: None) -> Callable[[], bytes]:
        """Compile assembly, and give the object file to ``keep`` where it was compiled.

        What it gives waits for the object file, in vain where the block was left by an exception: then it raises ``CancelledError``.
        """
        engine().compiled += 1
        future: Future[bytes] = Future()
        piece = (_cost(source), future, partial(compile_for, future, partial(engine().compile_held, source), keep))
        with self._lock:
            self._waiting.append(piece)
        if self._threads is None:
            self._next()
        else:
            self._threads.submit(self._next)
        return partial(self._result, future)

    def _result(self, future: Future[bytes]) -> bytes:
        while not future.done() and self._next():
            pass
        return future.result()

    def _taken(self) -> tuple[float, Future[bytes], Callable[[], None]] | None:
        """The piece that takes longest, so that no thread is left alone with it at the end."""
        with self._lock:
            if not self._waiting:
                return None
            return self._waiting.pop(max(range(len(self._waiting)), key=lambda k: self._waiting[k][0]))

    def _next(self) -> bool:
        """Compile a piece, if one waits."""
        piece = self._taken()
        if piece is not None:
            piece[2]()
        return piece is not None


def _cost(source: Source) -> float:
    """About how long a piece takes to compile."""
    return len(source.text) * (1.0 if source.level else _UNOPTIMISED)


def compile_for(future: Future[bytes], make: Callable[[], bytes], keep: Callable[[bytes], None]) -> None:
    """Have a future hold the object file that ``make`` gives, or the exception; ``keep`` gets it first."""
    try:
        code = make()
        keep(code)
    except BaseException as error:
        future.set_exception(error)
        if not isinstance(error, Exception):  # an interruption is for who waits, whatever it waits for
            raise
    else:
        future.set_result(code)
