"""What an error says of a value: its name in the user's code, where it was asked for, and where it was assigned."""

from __future__ import annotations

import dis
import linecache
import os
import re
import sys
from functools import lru_cache
from types import FrameType
from typing import Any

from fad.core.errors import ConcretizationError, FadError, LeakedTracerError, NonFiniteError

__all__ = ["asked_at", "is_users", "place_error", "place_staged", "user_frame", "value_text"]

# As code objects have it, which may be relative, as in a zip archive.
_PACKAGE = os.path.dirname(os.path.dirname((lambda: None).__code__.co_filename)) + os.sep
_PASSED_THROUGH = re.compile(
    r"[\\/]optree[\\/]|-packages[\\/](numba|numpy)[\\/]|[\\/]functools\.py$|^<__array_function__"
)
_PLACED = (ConcretizationError, LeakedTracerError, NonFiniteError)
_STORES = frozenset({"STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF"})


@lru_cache(maxsize=4096)
def is_users(file: str) -> bool:
    """Whether a file of code is the user's: neither fad's nor of a library that fad's functions are called through."""
    return not file.startswith(_PACKAGE) and not _PASSED_THROUGH.search(file)


def user_frame() -> FrameType | None:
    """The innermost frame outside fad."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def line_text(file: str, line: int) -> str:
    """A line of code behind a colon, if its file can be read and the line is not long."""
    text = linecache.getline(file, line).strip()
    return f":  {text}" if text and len(text) <= 100 else ""


def asked_at() -> str:
    """The user's line that runs now."""
    frame = user_frame()
    if frame is None:
        return "unknown code"
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} ({code.co_name}){line_text(code.co_filename, frame.f_lineno)}"


def place_error(error: FadError, transform: str) -> None:
    """Have an error name the user's line that it came from, and the transform that ran there, unless it tells a line already."""
    place, step = "", error.__traceback__
    while step is not None:
        if is_users(step.tb_frame.f_code.co_filename):
            code = step.tb_frame.f_code
            line = line_text(code.co_filename, step.tb_lineno)
            place = f"It came up at {code.co_filename}:{step.tb_lineno} ({code.co_name}){line}"
        step = step.tb_next
    if place and not error.place and not isinstance(error, _PLACED):
        error.place = f"{place}, inside {transform}."


def place_staged(error: FadError, source: Any) -> None:
    """Have an error of a Program's operation name the user's line that staged it, unless it tells a line already."""
    if isinstance(error, NonFiniteError):
        if not error.staged:
            error.source, error.staged = source, True
    elif source is not None and not error.place and not isinstance(error, _PLACED):
        backward = f"in the backward pass of {source.backward}, " if source.backward else ""
        line = line_text(source.file, source.line)
        error.place = f"It came up {backward}at {source.file}:{source.line} ({source.function}){line}"


def _variable(value: Any, frame: FrameType) -> str | None:
    """A name that the value has in a frame."""
    return next((name for name, held in frame.f_locals.items() if held is value and name.isidentifier()), None)


def _assigned(frame: FrameType, name: str) -> int | None:
    """The line that assigned a name last, as far as the order of the code says."""
    line, found = frame.f_code.co_firstlineno, None
    for instruction in dis.get_instructions(frame.f_code):
        line = instruction.positions.lineno or line if instruction.positions else line
        if instruction.offset >= frame.f_lasti:
            break
        if instruction.opname in _STORES and instruction.argval == name:
            found = line
    return found


def value_text(value: Any) -> tuple[str, str]:
    """A value by its name in the user's code where it has one, and the line that assigned it, empty if none is known."""
    frame = user_frame()
    name = None if frame is None else _variable(value, frame)
    if frame is None or name is None:
        return repr(value), ""
    line = _assigned(frame, name)
    file, function = frame.f_code.co_filename, frame.f_code.co_name
    where = "" if line is None else f"{file}:{line} ({function}){line_text(file, line)}"
    return f"{name!r}, which is {value!r}", where
