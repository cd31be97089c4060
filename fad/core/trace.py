"""Traces, tracers and the current trace: who interprets an operation.

A *trace* is the interpreter of one running transform. It unwraps an argument only if ``arg.interpreter is self``; anything else, an outer
transform's tracer included, is a constant to it and goes to the parent unchanged. That is the whole defence against
perturbation confusion: there are no levels and no tags.

A trace with ``follows_data`` interprets only operations that have one of its tracers among the arguments; all other operations mean the
same one level down and go to ``base``, the nearest trace that takes everything (evaluation or staging).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np

from fad.core.array import Array, host_buffer
from fad.core.avals import shape_of
from fad.core.cuda_evaluation import evaluate_on_device, is_on_device
from fad.core.errors import ConcretizationError, DTypeError, FadError, LeakedTracerError, ShapeError
from fad.core.origins import asked_at, is_users, value_text

__all__ = [
    "CURRENT",
    "EVAL",
    "HOST_TYPES",
    "REPLAYED",
    "EvalTrace",
    "Source",
    "Trace",
    "Tracer",
    "concrete_value",
    "leaked",
    "raise_cause",
    "raise_explained",
    "set_trace",
    "user_source",
]


class Source:
    """A place in the user's code: file, line and function; and, in the backward pass, the operation there that it belongs to."""

    __slots__ = ("backward", "file", "function", "line")

    def __init__(self, file: str, line: int, function: str, backward: str = ""):
        self.file, self.line, self.function, self.backward = file, line, function, backward

    def reversed(self, operation: str) -> Source:
        """The same place, in the backward pass of one of its operations."""
        return self if self.backward else Source(self.file, self.line, self.function, operation)

    @property
    def short(self) -> str:
        """The place without the file's directory and the function."""
        return f"{os.path.basename(self.file)}:{self.line}" + (
            f", backward of {self.backward}" if self.backward else ""
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Source):
            return NotImplemented
        return (self.file, self.line, self.function, self.backward) == (
            other.file,
            other.line,
            other.function,
            other.backward,
        )

    def __hash__(self) -> int:
        return hash((self.file, self.line, self.function, self.backward))

    def __repr__(self) -> str:
        return (
            f"{self.file}:{self.line} ({self.function}{', backward pass of ' if self.backward else ''}{self.backward})"
        )


# The user's line that is being worked for now, where it is not among the frames: a Program is recorded again, or a checked backward pass runs.
REPLAYED: ContextVar[Source | None] = ContextVar("fad_replayed_source", default=None)


def user_source() -> Source | None:
    """The innermost frame outside fad, which is the user's line that asked for what happens now."""
    replayed = REPLAYED.get()
    if replayed is not None:
        return replayed
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if is_users(code.co_filename):
            return Source(code.co_filename, frame.f_lineno, code.co_name)
        frame = frame.f_back  # type: ignore[assignment]
    return None


class Trace:
    """The interpreter of one running transform.

    Attributes
    ----------
    parent : Trace or None
        Where operations go that this trace has translated.
    base : Trace
        The nearest trace, this one included, that takes every operation.
    live : bool
        False once the transform has returned; its tracers are leaked then.
    owner : object
        The function under transformation, for messages.
    scattered : bool
        Set once NumPy has put 0-d tracers of this trace into an object array.
    refused : Exception or None
        What the last tracer that was asked for an index said.
    """

    __slots__ = ("base", "live", "owner", "parent", "refused", "scattered")

    follows_data = False
    transform = "a transform"

    def __init__(self, parent: Trace | None, owner: Any = None):
        self.parent: Any = parent
        self.live = True
        self.refused: Exception | None = None
        self.owner = owner
        self.base: Trace = parent.base if self.follows_data and parent is not None else self

    def __init_subclass__(cls) -> None:
        # Whoever changes what `process` does means operations on one and on two arguments as well.
        for name in ("unary", "binary"):
            if "process" in cls.__dict__ and name not in cls.__dict__:
                setattr(cls, name, Trace.__dict__[name])

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        raise NotImplementedError

    def unary(self, primitive: Any, x: Any) -> Any:
        """Interpret an operation on one argument, whose parameters are fixed if it has any: ``process`` for most calls.

        A trace may have a shorter way, and has to do what ``process`` does.
        """
        trace = self.base if self.follows_data and not isinstance(x, Tracer) else self
        return trace.process(primitive.general, (x,), {**primitive.params})

    def binary(self, primitive: Any, x: Any, y: Any) -> Any:
        """Interpret an operation on two arguments, whose parameters are fixed if it has any."""
        trace = self.base if self.follows_data and not isinstance(x, Tracer) and not isinstance(y, Tracer) else self
        return trace.process(primitive.general, (x, y), {**primitive.params})

    def describe(self) -> str:
        """The transform and the function it ran, for messages."""
        code = getattr(self.owner, "__code__", None)
        name = getattr(self.owner, "__name__", None)
        where = f" at {code.co_filename}:{code.co_firstlineno}" if code else ""
        return f"{self.transform} of {name}{where}" if name else self.transform


class Tracer(Array):
    """A value owned by one trace. It is an ``Array`` to the user, without a buffer of its own."""

    __slots__ = ("interpreter",)

    interpreter: Any  # the trace that owns the value; not called `trace`, which is a method of NumPy arrays
    kind = "traced"

    def __new__(cls, *args: Any) -> Any:  # noqa: D102
        return object.__new__(cls)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements."""
        return self.aval.dtype

    @property
    def device(self) -> Any:
        """Where the elements are."""
        return "cpu"

    def origin(self) -> str:
        """Where the value came from, as far as its trace knows."""
        return self.interpreter.describe()

    def _refuse(self, what: str, remedy: str) -> FadError:
        if not self.interpreter.live:
            return leaked(f"{what} got", self, f"a value of {self.interpreter.describe()}, which has finished")
        named, assigned = value_text(self)
        return ConcretizationError(
            f"{what} needs the concrete value of {named}, and there is none inside {self.interpreter.describe()}.\n"
            f"It is needed at {asked_at()}\n"
            f"The value comes from: {_made(self, assigned)}\n{remedy}"
        )

    def __bool__(self) -> bool:
        value = concrete_value(self)
        if value is None:
            raise self._refuse(
                "bool() (an `if`, `while`, `and`, `or` or `not`)",
                "Ways out: fad.numpy.where or fad.cond for a choice, fad.while_loop or fad.fori_loop for a loop,\n"
                "static_argnums for an argument that is a Python value, or move the branch outside the transform.",
            )
        if value.size != 1:
            raise ShapeError(
                f"the truth value of an array of shape {value.shape} is ambiguous; use fad.numpy.any(x) or fad.numpy.all(x)"
            )
        return bool(value)

    def _number(self, function: str) -> Any:
        value = concrete_value(self)
        exact = value is not None and self.dtype.kind not in "fcV"
        if not exact:
            raise self._refuse(
                f"{function}() or conversion to a Python or NumPy number",
                "Ways out: keep computing with the array itself (fad.numpy functions and operators accept it),\n"
                "or use fad.stop_gradient(x) first if its derivative is not wanted (outside jit and vmap),\n"
                "fad.debug.print to look at it, static_argnums for a Python value that decides a shape or a loop's length,\n"
                "or, in place of y[i] = x with a NumPy array y, y = fad.numpy.asarray(y).at[i].set(x).",
            )
        return value

    def __float__(self) -> float:
        return float(self._number("float"))

    def __int__(self) -> int:
        return int(self._number("int"))

    def __complex__(self) -> complex:
        return complex(self._number("complex"))

    def __index__(self) -> int:
        try:
            value = self._number("index")
        except ConcretizationError as error:
            self.interpreter.refused = error  # numpy.zeros(n) puts an error of its own in its place
            raise
        if value.shape or value.dtype.kind not in "iu":
            raise DTypeError(f"only a 0-d integer array can be an index, got {self.aval}")
        return int(value)

    def item(self, *index: Any) -> Any:
        """Refused unless the value is concrete and has no derivative to lose."""
        return self._number("item").item(*index)

    def tolist(self) -> Any:
        """Refused unless the value is concrete and has no derivative to lose."""
        return self._number("tolist").tolist()

    def tobytes(self) -> bytes:
        """Refused unless the value is concrete and has no derivative to lose."""
        return self._number("tobytes").tobytes()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._number("numpy.asarray"), dtype=dtype)

    def __dlpack__(self, **keywords: Any) -> Any:
        raise self._refuse("__dlpack__", "Ways out: export the array outside the transform.")

    def __dlpack_device__(self) -> tuple[int, int]:
        raise self._refuse("__dlpack_device__", "Ways out: export the array outside the transform.")

    def __reduce__(self) -> tuple[Any, ...]:
        raise self._refuse("pickling", "Ways out: return the value from the function and pickle the result.")

    def __repr__(self) -> str:
        return f"Tracer<{self.aval}, {self.kind}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)


def _made(tracer: Tracer, assigned: str = "") -> str:
    """Where a tracer comes from: what its trace knows, else the line that assigned it to its name."""
    origin = tracer.origin()
    return assigned if assigned and origin == tracer.interpreter.describe() else origin


_KEPT = (
    "Return values from the transformed function instead of storing them in lists, globals or attributes (grad, jvp and vjp\n"
    "take has_aux=True for results besides), or look at them inside with fad.debug.print or fad.debug.breakpoint."
)
_ELSEWHERE = (
    "Use it in the thread that runs the transform, or give the other thread its context: context = contextvars.copy_context() here,\n"
    "and context.run(function, x) there, one thread at a time."
)


def leaked(what: str, tracer: Tracer, reason: str, remedy: str = _KEPT) -> LeakedTracerError:
    """The error about a tracer that outlived its transform, or has left its thread."""
    return LeakedTracerError(
        f"{what} {tracer!r}, {reason}.\nIt is used at {asked_at()}\nThe value comes from: {_made(tracer)}\nWays out: {remedy}"
    )


def concrete_value(x: Any) -> Any:
    """The NumPy value under a stack of tracers, or ``None`` where there is none (inside jit or vmap)."""
    while isinstance(x, Tracer):
        x = getattr(x, "primal", None)
        if x is None:
            return None
    return host_buffer(x)


class EvalTrace(Trace):
    """The bottom: computes with the array module that the arguments belong to."""

    __slots__ = ()

    transform = "evaluation"

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        for arg in args:
            if type(arg) not in HOST_TYPES:
                return _evaluate_other(primitive, args, params)
        try:
            return primitive.host_impl(*args, **params)
        except Exception as error:
            raise_explained(primitive, args, params, error)

    def unary(self, primitive: Any, x: Any) -> Any:
        """Interpret an operation on one argument."""
        if type(x) not in HOST_TYPES:
            return _evaluate_other(primitive.general, (x,), primitive.params)
        try:
            return primitive.host_impl(x)
        except Exception as error:
            raise_explained(primitive.general, (x,), primitive.params, error)

    def binary(self, primitive: Any, x: Any, y: Any) -> Any:
        """Interpret an operation on two arguments."""
        if type(x) not in HOST_TYPES or type(y) not in HOST_TYPES:
            return _evaluate_other(primitive.general, (x, y), primitive.params)
        try:
            return primitive.host_impl(x, y)
        except Exception as error:
            raise_explained(primitive.general, (x, y), primitive.params, error)


HOST_TYPES = frozenset(
    {np.ndarray, bool, int, float, complex} | {t for t in np.sctypeDict.values() if isinstance(t, type)}
)
"""What NumPy's implementations take as it is."""


def _evaluate_other(primitive: Any, args: Any, params: dict[str, Any]) -> Any:
    """Evaluation with arguments other than NumPy's: wrapped, leaked, of another module, opaque."""
    unwrapped, on_device = [], False
    for arg in args:
        if isinstance(arg, Tracer):
            over = not arg.interpreter.live
            state, remedy = ("finished", _KEPT) if over else ("no meaning in this thread", _ELSEWHERE)
            came_from = f"a value of {arg.interpreter.describe()}, which has {state}"
            raise leaked(f"{primitive.name} got", arg, came_from, remedy)
        arg = arg._buffer if type(arg) is Array else arg
        on_device = on_device or is_on_device(arg)
        unwrapped.append(arg)
    if not on_device:
        return primitive.host_impl(*unwrapped, **params)
    try:
        return evaluate_on_device(primitive, unwrapped, params)
    except Exception as error:
        raise_explained(primitive, args, params, error)


def raise_explained(primitive: Any, args: Any, params: dict[str, Any], error: Exception) -> NoReturn:
    """Raise what an implementation raised, in words that say more where there are any."""
    explained = error if isinstance(error, FadError) else _explained(primitive, args, params, error)
    if explained is error:
        raise error
    raise explained from error


def _explained(primitive: Any, args: Any, params: dict[str, Any], error: Exception) -> Exception:
    """What the shape rule says of the arguments, else the error itself with the arguments' types.

    What comes out of a function or Program inside has been explained there.
    """
    if primitive.higher_order:
        return error
    from_rule = primitive.diagnose(args, params)
    if from_rule is not None:
        return from_rule
    seen = ", ".join(str(shape_of(a)) for a in args)
    if primitive.declared_outside:
        error.add_note(
            f"{primitive.name}, an operation declared outside fad, raised this for arguments with shapes {seen}."
        )
        return error
    if isinstance(error, ValueError):
        return ShapeError(f"{primitive.name} of arguments with shapes {seen}: {error}")
    if isinstance(error, TypeError):
        return DTypeError(f"{primitive.name} of arguments with shapes {seen}: {error}")
    return error


def raise_cause(error: Exception, trace: Trace) -> NoReturn:
    """Raise the teaching error that NumPy put one of its own in front of or in place of.

    It does so where a traced value is written into a NumPy array, and where one is to be a shape.
    """
    if isinstance(error, ValueError) and isinstance(error.__cause__, FadError):
        raise error.__cause__ from None
    if type(error) is TypeError and trace.refused is not None and "Tracer<" in str(error):
        raise trace.refused from None
    raise error


EVAL = EvalTrace(None)
CURRENT: ContextVar[Trace] = ContextVar("fad_current_trace", default=EVAL)


@contextmanager
def set_trace(trace: Trace) -> Iterator[Trace]:
    """Make ``trace`` the current one inside a ``with`` block."""
    before = CURRENT.get()
    try:
        CURRENT.set(trace)
        yield trace
    finally:
        CURRENT.set(before)
