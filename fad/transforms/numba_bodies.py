"""Functions that numba compiled: transforms trace their Python bodies.

numba keeps the Python function that it compiled. Copies of it whose globals lead to other compiled functions, or to :mod:`math`, get what can be
traced in their place. numba itself is never imported here: its objects are known by the module of their type.
"""

from __future__ import annotations

import dis
import linecache
import math
from collections.abc import Callable, Iterator
from functools import update_wrapper
from types import CellType, CodeType, FunctionType, TracebackType
from typing import Any

import numpy as np

from fad.core.array import Array
from fad.core.errors import ArgumentError, ConcretizationError, FadError, ImmutableArrayError
from fad.transforms.scratch_arrays import NUMPY, SharedMemoryError, released

__all__ = ["TracedBody", "is_numba_object", "python_body", "traced_body"]


def is_numba_object(value: Any) -> bool:
    """Whether numba made a function."""
    return type(value).__module__.partition(".")[0] == "numba" and callable(value)


def python_body(fun: Any) -> FunctionType | None:
    """The Python function that numba compiled, ``None`` where there is none to trace."""
    if hasattr(fun, "gufunc_builder"):
        return None
    for name in ("py_func", "__wrapped__"):
        body = getattr(fun, name, None)
        if isinstance(body, FunctionType):
            return body
    return None


def traced_body(transform: str, fun: Any) -> TracedBody:
    """What a transform traces for an object of numba.

    Raises
    ------
    ArgumentError
        If there is no Python function behind it that gives its result.
    """
    body = python_body(fun)
    if body is not None:
        return TracedBody(fun, body)
    name = getattr(fun, "__name__", "f")
    if hasattr(fun, "gufunc_builder"):
        raise ArgumentError(
            f"{transform}({name}): numba's guvectorize functions write into their last arguments, which no transform can follow. "
            f"Make an operation of it, fad.extend.from_numba({name}, vjp=...), or write it as a function that gives its result."
        )
    raise ArgumentError(
        f"{transform}({name}): there is no Python function behind this {type(fun).__name__} of numba that fad could trace. "
        f"Write it as an @njit or plain function, or make an operation of it: fad.extend.from_numba or fad.extend.Primitive."
    )


class TracedBody:
    """The Python body of a function that numba compiled, in a form that every transform can trace.

    Global names are looked up at the first call and kept, as numba does when it compiles.
    """

    def __init__(self, compiled: Any, body: FunctionType, is_inner: bool = False):
        self._is_inner = is_inner
        self._body = body
        self._traced: Callable[..., Any] | None = None
        self.compiled = compiled
        update_wrapper(self, body, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._traced is None:
            self._traced = _with_traceable_names(self._body)
        try:
            result = self._traced(*args, **kwargs)
        except Exception as error:
            explained = self._explained(error)
            if explained is error:
                raise
            raise explained from error
        return result if self._is_inner else released(result)

    def __repr__(self) -> str:
        return repr(self._body)

    def __reduce__(self) -> tuple[Any, ...]:
        return traced_body, ("pickle", self.compiled)

    def _explained(self, error: Exception) -> Exception:
        """The error, saying which line of the body was traced and what else can be done."""
        code, line, operation = _innermost(error.__traceback__, self._body.__code__)
        name = self._body.__name__
        source = linecache.getline(code.co_filename, line).strip()
        place = f"{code.co_filename}:{line}, `{source}`," if source else f"{code.co_filename}:{line}"
        foreign = isinstance(error, TypeError | ValueError) and not isinstance(error, FadError)
        refused = isinstance(error, ConcretizationError | ImmutableArrayError) and not isinstance(
            error, SharedMemoryError
        )
        if operation in _WRITES and (foreign or refused):
            return ImmutableArrayError(
                f"{name} is compiled by numba, so fad traces its Python body, where {place} writes a traced value into an array in place. "
                "That can be followed in arrays that the function makes itself by NumPy's functions, such as numpy.zeros and numpy.copy, and not in "
                "this one.\n"
                f"{_WAYS_OUT.format(name=name)}"
            )
        if not any(note.startswith(_TRACING) for note in getattr(error, "__notes__", ())):
            error.add_note(f"{_TRACING} {name}; this happened at {place}\n{_WAYS_OUT.format(name=name)}")
        return error


_WRITES = frozenset({"STORE_SUBSCR", "STORE_SLICE"})
_TRACING = "fad traces the Python body of the numba function"
_WAYS_OUT = (
    "Ways out: compute whole arrays (x ** 2, numpy.where(x > 0, a, b)) in place of element by element, write into a numpy.copy(...),\n"
    "write it as a Python function with fad.numpy (x.at[i].set(v), fad.cond, fad.fori_loop) and let fad.jit compile that,\n"
    "or keep the code that numba compiled and say its derivative: fad.extend.from_numba({name}, ..., vjp=...)."
)


def _innermost(trace: TracebackType | None, body: CodeType) -> tuple[CodeType, int, str]:
    """The last frame of the body or of a function that it calls from the same file: its code, line and bytecode operation."""
    found = (body, body.co_firstlineno, "")
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_filename == body.co_filename:
            operation = next((i.opname for i in dis.get_instructions(code) if i.offset == trace.tb_lasti), "")
            found = (code, trace.tb_lineno, operation)
        trace = trace.tb_next
    return found


# -- names ---------------------------------------------------------------------------------------------------------------


def _with_traceable_names(body: FunctionType) -> Callable[..., Any]:
    """The function, its names of compiled functions and of :mod:`math` bound to what takes traced values."""
    changed = {}
    for name in set(_names(body.__code__)):
        value = body.__globals__.get(name)
        traceable = _traceable(value)
        if traceable is not value:
            changed[name] = traceable
    cells = [_traceable_cell(cell) for cell in body.__closure__ or ()]
    if not changed and all(new is old for new, old in zip(cells, body.__closure__ or (), strict=True)):
        return body
    copy = FunctionType(
        body.__code__, {**body.__globals__, **changed}, body.__name__, body.__defaults__, tuple(cells) or None
    )
    return copy


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _traceable_cell(cell: CellType) -> CellType:
    try:
        value = cell.cell_contents
    except ValueError:
        return cell
    traceable = _traceable(value)
    return cell if traceable is value else CellType(traceable)


def _traceable(value: Any) -> Any:
    if value is math:
        return _MATH
    if value is np:
        return NUMPY
    name = getattr(value, "__name__", "")
    if callable(value) and not isinstance(value, type) and getattr(np, name, None) is value:
        return getattr(NUMPY, name)
    if getattr(value, "__module__", None) == "math" and callable(value):
        return getattr(_MATH, value.__name__)
    if is_numba_object(value):
        body = python_body(value)
        return value if body is None else TracedBody(value, body, is_inner=True)
    return value


class _Math:
    """The module :mod:`math` for numbers, the ufuncs of the same meaning for arrays."""

    def __getattr__(self, name: str) -> Any:
        plain = getattr(math, name)
        if not callable(plain):
            return plain

        def function(*args: Any) -> Any:
            if not any(isinstance(a, Array) for a in args):
                return plain(*args)
            answer = _array_function(name)
            if answer is None:
                raise ArgumentError(f"math.{name} has no counterpart that takes traced values")
            return answer(*args)

        return function


_MATH = _Math()
_SPECIAL = {"erf": "erf", "erfc": "erfc", "gamma": "gamma", "lgamma": "gammaln"}
_WHOLE = frozenset({"ceil", "floor", "trunc"})


def _array_function(name: str) -> Callable[..., Any] | None:
    """What does for arrays what a function of :mod:`math` does for numbers: NumPy's functions, which come to fad by its protocols."""
    if name in _SPECIAL:
        import scipy.special

        return getattr(scipy.special, _SPECIAL[name])
    function = getattr(np, name, None)  # NumPy has the names of math as well: acos, pow
    if name in _WHOLE and function is not None:
        return lambda x: function(x).astype(np.int64)
    return function if isinstance(function, np.ufunc) else None
