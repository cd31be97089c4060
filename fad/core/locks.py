"""Locks that survive ``fork``.

The child of a fork has one thread. A lock that another thread of the parent held stays locked in it for ever, so such a lock is replaced
by a new one when the child first wants it. What the other thread was making is simply not there: every cache of fad is filled at the end.
"""

from __future__ import annotations

import os
import threading
from typing import Any

__all__ = ["ForkingLock", "Lock"]

_generation = 0
_renewal = threading.Lock()


def _after_fork() -> None:
    global _generation, _renewal
    _generation += 1
    _renewal = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Lock:
    """A re-entrant lock for ``with``, which a forked child finds free.

    Examples
    --------
    >>> from fad.core.locks import Lock
    >>> lock = Lock()
    >>> with lock, lock:
    ...     "held twice"
    'held twice'
    """

    __slots__ = ("_generation", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._generation = _generation

    def __enter__(self) -> Lock:
        if self._generation != _generation:
            with _renewal:
                if self._generation != _generation:
                    self._lock = threading.RLock()
                    self._generation = _generation
        self._lock.acquire()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._lock.release()
        except RuntimeError:
            # Taken by the thread that forked, and renewed since in the child: nobody waits for the old one.
            pass

    def __reduce__(self) -> tuple[Any, ...]:
        return Lock, ()


class ForkingLock(Lock):
    """A lock that is held while the process forks, for work that a child must not find half done.

    Who forks comes before all others who wait: they could keep the lock among themselves for as long as they have work.
    """

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        super().__init__()
        self._gate = threading.Lock()
        if hasattr(os, "register_at_fork"):
            after = self._after_fork
            os.register_at_fork(before=self._before_fork, after_in_parent=after, after_in_child=after)

    def __enter__(self) -> Lock:
        if not self._lock._is_owned():  # type: ignore[attr-defined]
            with self._gate:
                pass
        return super().__enter__()

    def _before_fork(self) -> None:
        self._gate.acquire()
        super().__enter__()

    def _after_fork(self) -> None:
        self.__exit__()
        self._gate.release()
