"""Interruptions where they do no harm.

Python handles signals in the main thread between any two steps of it, and what handles Ctrl-C raises ``KeyboardInterrupt`` there. Between the taking of
a lock and the first line of its ``with`` block, or between what LLVM did and a note of it, that leaves something half done for ever. Inside
:func:`uninterrupted` such signals are noted; their handlers run at its end, or before it where :func:`interrupt_here` says that they may.
"""

from __future__ import annotations

import _signal
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident, main_thread
from typing import Any

__all__ = ["allow_interruptions", "hold_interruptions", "interrupt_here", "is_interruption", "uninterrupted"]

_MARK = "_is_fads_interruption"

_NUMBERS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGALRM") if hasattr(signal, name)]
"""Signals whose handlers are likely to raise something. They are looked at so often that what :mod:`signal` adds to ``_signal`` would take noticeable time."""

_handlers: dict[int, Callable[[int, Any], Any]] = {}
"""Those that the main thread had, while it holds interruptions back."""
_noted: dict[int, Callable[[int, Any], Any]] = {}
"""The handlers of signals that came meanwhile."""
_depth = 0
_owner = 0
"""The main thread when it began to hold them back: a forked child may have another one."""


def hold_interruptions() -> None:
    """Begin to hold interruptions back, until :func:`allow_interruptions` was called as often; only the main thread has any."""
    global _depth, _owner
    if get_ident() == main_thread().ident:
        if not _depth:
            _owner = get_ident()
            _take_over()
        _depth += 1


def allow_interruptions() -> None:
    """Undo :func:`hold_interruptions`; handlers of signals that came meanwhile run now."""
    global _depth
    if _depth and get_ident() == main_thread().ident:
        try:
            if _depth == 1:
                _give_back()
        finally:
            _depth -= 1
            if not _depth:
                _handle()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold interruptions back inside ``with``."""
    hold_interruptions()
    try:
        yield
    finally:
        allow_interruptions()


def interrupt_here() -> None:
    """Run the handlers of signals that came so far. What they raise leaves the block that is uninterrupted, which stays so until its end."""
    if _noted and get_ident() == main_thread().ident:
        _give_back()  # a handler may look at handlers, or change them
        try:
            _handle()
        finally:
            _take_over()


def is_interruption(error: BaseException) -> bool:
    """Whether a signal's handler raised an exception, and not what was interrupted."""
    return getattr(error, _MARK, False)


def _note(number: int, frame: Any) -> None:
    if _depth:
        _noted[number] = _handlers[number]
    else:  # it came while handlers are exchanged
        _handlers[number](number, frame)


def _take_over() -> None:
    """Note signals from now on. Those that are ignored, or that the system or other code than Python handles, raise nothing."""
    try:
        for number in _NUMBERS:
            handler = _signal.getsignal(number)
            if callable(handler) and handler is not _note:
                _handlers[number] = handler
                _signal.signal(number, _note)
            elif handler is not _note:
                _handlers.pop(number, None)
    except ValueError:  # for Python this is not the main thread after all
        _handlers.clear()
    except BaseException:
        _give_back()
        raise


def _give_back() -> None:
    for number, handler in _handlers.items():
        _signal.signal(number, handler)
    _handlers.clear()


def _handle() -> None:
    if _noted:
        number, handler = _noted.popitem()
        try:
            handler(number, sys._getframe())
        except BaseException as error:
            setattr(error, _MARK, True)
            raise
        finally:
            _handle()


def _renew_in_child() -> None:
    """What the main thread held back while another one forked comes in the child again, and that thread is there no more."""
    global _depth
    if _depth and _owner != get_ident():
        _depth = 0
        _noted.clear()
        _give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_in_child)
