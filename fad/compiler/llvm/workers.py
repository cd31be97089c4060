"""Threads that compile pieces of assembly while the thread that writes them goes on."""

from __future__ import annotations

import sys
import threading
from _thread import start_new_thread
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, NamedTuple

from fad.compiler.llvm.linking import LLVM_LOCK, Source, engine
from fad.compiler.llvm.pool import thread_count
from fad.compiler.llvm.side_by_side import is_side_by_side
from fad.core.interruptions import interrupt_here

__all__ = ["Workers", "awaited", "compile_for"]

_MOST = 8
_UNOPTIMISED = 0.2
"""What code costs that is not optimised, if a letter of optimised code costs 1."""
_TOGETHER = 8
"""So many kernels are one module at most; each module costs LLVM 2 ms, as much as a kernel of a kilobyte."""
_INTERVAL = 0.0002
"""Seconds after which the thread that writes lets another one go on: those that compile need Python for a moment between LLVM's steps."""
_PATIENCE = 0.1
"""Seconds after which who waits for another thread looks whether an interruption came."""


class _Piece(NamedTuple):
    """Assembly, who waits for its object file, and who gets that before."""

    source: Source
    future: Future[bytes]
    keep: Callable[[bytes], None] | None
    alone: bool

    @property
    def cost(self) -> float:
        """About how long it takes to compile."""
        return len(self.source.text) * (1.0 if self.source.level else _UNOPTIMISED)

    @property
    def is_kernel(self) -> bool:
        """Whether it may be in one module with others like it: nobody needs it alone."""
        return not self.alone and self.keep is None and self.source.level == 2 and self.source.passes == "few"


class Workers:
    """Threads for one compilation, inside ``with``; they are gone at its end.

    The thread that opens them holds :data:`~fad.compiler.llvm.linking.LLVM_LOCK` on their behalf, so a process does not fork meanwhile, and interruptions
    come only before a piece is started, or while one is waited for. It compiles as well while it waits for a piece; with one thread all is compiled then.
    Kernels that wait at the same time may share an object file.

    Parameters
    ----------
    level : int
        That of most pieces: threads that have nothing to do yet make LLVM ready for it.
    """

    def __init__(self, level: int = 2) -> None:
        self._level = level
        count = min(thread_count(), _MOST) if is_side_by_side() else 1
        self._count = count
        self._waiting: list[_Piece] = []
        self._lock = threading.Lock()
        self._running = self._idle = 0
        self._calls: SimpleQueue[bool] = SimpleQueue()
        self._ended: SimpleQueue[None] = SimpleQueue()

    def __enter__(self) -> Workers:
        self._engine = engine()
        LLVM_LOCK.__enter__()
        if self._count > 1:
            self._interval = sys.getswitchinterval()
            sys.setswitchinterval(min(self._interval, _INTERVAL))
            self._add_thread()  # until it runs, the first piece may have been written
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        try:
            while pieces := self._taken():
                if kind is None:
                    self._compile(pieces)
                else:
                    for piece in pieces:
                        piece.future.cancel()
            for _ in range(self._running):
                self._calls.put(False)
            for _ in range(self._running):
                self._ended.get()
        finally:
            if self._count > 1:
                sys.setswitchinterval(self._interval)
            LLVM_LOCK.__exit__()

    def _add_thread(self) -> None:
        """Start one more thread. Nobody waits until it runs, as one would for a :class:`threading.Thread`: where all cores are busy that takes milliseconds."""
        with suppress(RuntimeError):  # there may be no more: then those compile that there are
            start_new_thread(self._work, ())
            self._running += 1
            self._idle += 1

    def _work(self) -> None:
        """Compile what waits, until there will be no more."""
        try:
            if not self._waiting:
                self._engine.get_ready(self._level)
            while self._calls.get():
                with self._lock:
                    self._idle -= 1
                self._next()
                with self._lock:
                    self._idle += 1
        finally:
            self._ended.put(None)

    def compile(
        self, source: Source, keep: Callable[[bytes], None] | None = None, alone: bool = False
    ) -> Callable[[], bytes]:
        """Compile assembly, perhaps ``alone`` in its object file, and give that to ``keep`` where it was compiled.

        What it gives waits for the object file, in vain where the block was left by an exception: then it raises ``CancelledError``.
        """
        return partial(self.result, self.start(source, keep, alone))

    def start(self, source: Source, keep: Callable[[bytes], None] | None = None, alone: bool = False) -> Future[bytes]:
        """The same, but gives the future object file."""
        interrupt_here()
        self._engine.compiled += 1
        piece = _Piece(source, Future(), keep, alone)
        with self._lock:
            self._waiting.append(piece)
            if self._idle < len(self._waiting) and self._running < self._count - 1:
                self._add_thread()
        self._calls.put(True)
        return piece.future

    def result(self, future: Future[bytes]) -> bytes:
        """What a future holds in the end; until it does, this thread compiles what waits."""
        while not future.done() and self._next():
            interrupt_here()
        return awaited(future)

    def _taken(self) -> list[_Piece]:
        """The piece that takes longest, so that no thread is left alone with it at the end, and kernels that are compiled with it.

        These leave enough for other threads to do.
        """
        with self._lock:
            self._waiting.sort(key=lambda piece: -piece.cost)
            taken, room = self._waiting[:1], sum(p.cost for p in self._waiting) / self._count
            for piece in self._waiting[1:] if taken and taken[0].is_kernel else ():
                if piece.is_kernel and sum(p.cost for p in taken) + piece.cost <= room and len(taken) < _TOGETHER:
                    taken.append(piece)
            self._waiting = [p for p in self._waiting if p not in taken]
        return taken

    def _next(self) -> bool:
        """Compile what comes next, if something waits."""
        pieces = self._taken()
        if pieces:
            self._compile(pieces)
        return bool(pieces)

    def _compile(self, pieces: Sequence[_Piece]) -> None:
        """Compile what is taken together."""
        sources, keep = [p.source for p in pieces], pieces[0].keep or (lambda code: None)
        compile_for([p.future for p in pieces], lambda: self._engine.compile_held(*sources), keep)


def awaited(future: Future[bytes]) -> bytes:
    """What a future holds in the end; until it does, this thread may be interrupted."""
    while not future.done():
        with suppress(TimeoutError):
            future.result(_PATIENCE)
        interrupt_here()
    return future.result()


def compile_for(futures: Sequence[Future[bytes]], make: Callable[[], bytes], keep: Callable[[bytes], None]) -> None:
    """Have futures hold the object file that ``make`` gives, or the exception; ``keep`` gets it first.

    An interruption is for this thread alone: it cancels the futures, whose object files others compile once more.
    """
    try:
        code = make()
        keep(code)
    except Exception as error:
        for future in futures:
            future.set_exception(error)
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    else:
        for future in futures:
            future.set_result(code)
