"""Functions that transforms make of functions: they look like the function that they come from, bind as methods do, and can be pickled."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import reduce, update_wrapper
from types import FunctionType, MethodType
from typing import Any

from fad.core.errors import SerializationError

__all__ = ["TransformedFunction", "reduced"]

_BY_VALUE = ("cloudpickle.cloudpickle", "dill._dill")


class TransformedFunction:
    """What a transform makes of a function.

    A pickle holds the transform and what it was given, or, for a decorated function, its name.

    Parameters
    ----------
    call : callable
        What it does.
    transform : callable
        The transform, a function of a module.
    fun : callable
        The function that the user gave.
    *arguments
        The transform's other arguments.
    """

    def __init__(
        self, call: Callable[..., Any], transform: Callable[..., Any], fun: Callable[..., Any], *arguments: Any
    ):
        update_wrapper(self, fun, updated=("__dict__",) if type(fun) is FunctionType else ())
        self._call, self._transform, self._arguments = call, transform, (fun, *arguments)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return f"fad.{self._transform.__name__}({getattr(self, '__name__', None) or type(self._arguments[0]).__name__})"

    def __reduce__(self) -> Any:
        return reduced(self, self._arguments[0], self._transform, self._arguments)


def reduced(wrapper: Any, fun: Any, make: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What pickle keeps of a ``wrapper`` of ``fun``: its name if it has one, else ``make(*arguments)``.

    Raises
    ------
    SerializationError
        If neither the wrapper nor the function can be found by name, and the pickler cannot take functions apart.
    """
    module, name = getattr(wrapper, "__module__", ""), getattr(wrapper, "__qualname__", "")
    by_value = _pickled_by_value()
    # Who pickles by value does so because a process of another main program is to read it.
    if _is_named(wrapper, module, name) and not (by_value and module == "__main__"):
        return name
    if isinstance(fun, FunctionType) and not by_value and not _is_named(fun, fun.__module__, fun.__qualname__):
        raise SerializationError(
            f"{wrapper!r} cannot be pickled, because pickle keeps functions by name and {fun.__module__}.{fun.__qualname__} is not the "
            f"name of this function, which was made at line {fun.__code__.co_firstlineno} of {fun.__code__.co_filename}. Define it with "
            "`def` at the top level of a module, or pickle with cloudpickle (as joblib does), which keeps the code itself."
        )
    return make, arguments


def _is_named(value: Any, module: str, name: str) -> bool:
    """Whether a value is what its module has under its name."""
    try:
        return reduce(getattr, name.split("."), sys.modules.get(module)) is value
    except AttributeError:
        return False


def _pickled_by_value() -> bool:
    """Whether the pickler at work takes functions apart: a reducer cannot ask it, so the stack is asked."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").endswith(_BY_VALUE):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
