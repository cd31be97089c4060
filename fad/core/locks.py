"""Locks that survive ``fork``.

The child of a fork has one thread. A lock that another thread of the parent held stays locked in it for ever, so such a lock is replaced
by a new one when the child first wants it. What the other thread was making is simply not there: every cache of fad is filled at the end.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any

from fad.core.interruptions import allow_interruptions, hold_interruptions, interrupt_here

__all__ = ["ForkingLock", "Lock"]

_generation = 0
_renewal = threading.Lock()
_PATIENCE = 0.1
"""Seconds after which who waits for a lock looks whether an interruption came."""


def _after_fork() -> None:
    global _generation, _renewal
    _generation += 1
    _renewal = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Lock:
    """A re-entrant lock, which a forked child finds free.

    Examples
    --------
    >>> from fad.core.locks import Lock
    >>> lock = Lock()
    >>> with lock.held, lock.held:
    ...     "held twice"
    'held twice'
    """

    __slots__ = ("_generation", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._generation = _generation

    @property
    def held(self) -> Any:
        """For ``with``: Python's own lock, which is taken and released in one step each, so that an interruption never leaves it locked."""
        if self._generation != _generation:
            with _renewal:
                if self._generation != _generation:
                    self._lock = threading.RLock()
                    self._generation = _generation
        return self._lock

    def __reduce__(self) -> tuple[Any, ...]:
        return Lock, ()


class ForkingLock:
    """A re-entrant lock for ``with`` that is held while the process forks, for work that a child, or who goes on after an interruption, must not find half done.

    Interruptions wait until it is released, or until :func:`~fad.core.interruptions.interrupt_here`. Who forks comes before all others who want the lock:
    they could keep it among themselves for as long as they have work.
    """

    __slots__ = ("_forking", "_gate", "_lock")

    def __init__(self) -> None:
        self._lock = Lock()
        self._gate = threading.Lock()
        self._forking: Any = None
        if hasattr(os, "register_at_fork"):
            after = self._after_fork
            os.register_at_fork(before=self._before_fork, after_in_parent=after, after_in_child=after)

    def __enter__(self) -> ForkingLock:
        hold_interruptions()
        try:
            lock = self._lock.held
            if not lock._is_owned():
                _acquire(self._gate)
                self._gate.release()
                lock = self._lock.held  # another one where the process has forked meanwhile
            _acquire(lock)
        except BaseException:
            allow_interruptions()
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            # Not where it was taken by the thread that forked, and renewed since in the child: nobody waits for the old one.
            with suppress(RuntimeError):
                self._lock.held.release()
        finally:
            allow_interruptions()

    def _before_fork(self) -> None:
        hold_interruptions()
        self._gate.acquire()
        self._forking = self._lock.held
        self._forking.acquire()

    def _after_fork(self) -> None:
        self._forking.release()
        self._gate.release()
        allow_interruptions()


def _acquire(lock: Any) -> None:
    while not lock.acquire(timeout=_PATIENCE):
        interrupt_here()
