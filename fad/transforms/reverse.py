"""Reverse mode: a tape in creation order, so there is no sorting and no recursion, whatever the length.

An entry of the tape belongs to one value: ``None`` for an input, or a tuple ``(function, *values)`` where ``function(cotangent, *values)`` gives the
cotangents of what the value was computed from. Beside it stands the source: the tape index of the one value it was computed from, or a tuple of
indices, one for each cotangent. An operation with several results has one entry, a :class:`_Several`, at the index of its first result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, aval_of, dtype_of, is_inexact, shape_of
from fad.core.cotangents import KEPT_APART, accumulate, as_value
from fad.core.errors import NonDifferentiableError
from fad.core.placement import beside, lies_on_device
from fad.core.trace import CURRENT, EVAL, HOST_TYPES, REPLAYED, Trace, Tracer, raise_explained, user_source
from fad.primitives.placing import MovesToDevice, together
from fad.primitives.structural import convert, ones_like_aval, zeros
from fad.transforms.watching import WatchedArray

__all__ = ["Pullback", "VJPTrace", "VJPTracer", "new_tape", "scalar_gradient", "vjp_flat", "watch"]


_new = object.__new__
_ndarray = np.ndarray


class VJPTracer(Tracer):
    """A primal and its place on the tape."""

    __slots__ = ("index", "primal")

    kind = "on a tape"

    def __init__(self, trace: VJPTrace, primal: Any, index: int):
        self.interpreter = trace
        self.primal = primal
        self.index = index

    @property
    def aval(self) -> ShapedArray:
        """The abstract value of the primal."""
        return aval_of(self.primal)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        try:
            return self.primal.shape
        except AttributeError:
            return ()

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        try:
            return self.primal.dtype
        except AttributeError:
            return dtype_of(self.primal)


def _type_of(primal: Any) -> tuple[tuple[int, ...], Any]:
    return (primal.shape, primal.dtype) if type(primal) is np.ndarray else (shape_of(primal), dtype_of(primal))


class _Several:
    """The entry of an operation with several results: its pullback, and their types where missing cotangents are to become zeros."""

    __slots__ = ("avals", "pullback")

    def __init__(self, pullback: Callable[..., Any], avals: Any):
        self.pullback, self.avals = pullback, avals


class VJPTrace(Trace):
    """Interprets an operation by its vjp rule and records the pullback."""

    __slots__ = ("sources", "tape", "watched")

    follows_data = True
    transform = "reverse-mode differentiation"

    def __init__(self, parent: Trace, owner: Any = None):
        self.parent, self.base, self.owner, self.live, self.refused = parent, parent.base, owner, True, None
        self.tape: list[Any] = []
        self.sources: list[Any] = []
        self.watched: dict[int, WatchedArray] = {}

    def input(self, value: Any) -> VJPTracer:
        """A tracer for an independent variable."""
        return self.inputs((value,))[0]

    def inputs(self, values: Sequence[Any]) -> list[VJPTracer]:
        """Tracers for several independent variables."""
        tracers = []
        for index, value in enumerate(values, len(self.tape)):
            tracer = _new(VJPTracer)
            tracer.interpreter, tracer.primal, tracer.index = self, value, index
            tracers.append(tracer)
        self.begin(len(tracers))
        return tracers

    def begin(self, count: int) -> None:
        """Give so many inputs their places on the tape."""
        blank = [None] * count
        self.tape += blank
        self.sources += blank

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        primals, active, indices = self.separated(args)
        if not active:
            return self.parent.process(primitive, primals, params)
        if primitive.pullback_from is not None:
            out = self.parent.process(primitive, primals, params)
            pull = primitive.pullback_from(out, primals, active, params)
            return out if pull is None else self.recorded(out, pull, indices if len(indices) > 1 else indices[0])
        rule = primitive.vjp_selected
        if rule is None:
            return self.parent.process(primitive, primals, params)
        out, pullback = rule(active, primals, params)
        if not primitive.multiple_results:
            return self.recorded(out, (pullback,), indices)
        return self.recorded_many(primitive, out, pullback, indices)

    # In the next two, evaluation and `recorded` are written out.

    def unary(self, primitive: Any, x: Any) -> Any:
        """Interpret an operation on one argument."""
        if type(x) is not VJPTracer or x.interpreter is not self:
            return Trace.unary(self, primitive, x)
        primal, parent = x.primal, self.parent
        if parent is EVAL and type(primal) in HOST_TYPES:
            try:
                out = primitive.host_impl(primal)
            except Exception as error:
                raise_explained(primitive.general, (primal,), primitive.params, error)
        else:
            out = parent.unary(primitive, primal)
        pull = primitive.pull_first(out, primal)
        if pull is None:
            return out
        tape = self.tape
        tracer = _new(VJPTracer)
        tracer.interpreter, tracer.primal, tracer.index = self, out, len(tape)
        tape.append(pull)
        self.sources.append(x.index)
        return tracer

    def binary(self, primitive: Any, x: Any, y: Any) -> Any:
        """Interpret an operation on two arguments."""
        source: Any
        if type(x) is VJPTracer and x.interpreter is self:
            source, x = x.index, x.primal
            if type(y) is VJPTracer and y.interpreter is self:
                source, y = (source, y.index), y.primal
                pull_of = primitive.pull_both
            else:
                pull_of = primitive.pull_first
        elif type(y) is VJPTracer and y.interpreter is self:
            source, y = y.index, y.primal
            pull_of = primitive.pull_second
        else:
            return Trace.binary(self, primitive, x, y)
        parent = self.parent
        if parent is EVAL and type(x) in HOST_TYPES and type(y) in HOST_TYPES:
            try:
                out = primitive.host_impl(x, y)
            except Exception as error:
                raise_explained(primitive.general, (x, y), primitive.params, error)
        else:
            out = parent.binary(primitive, x, y)
        pull = pull_of(out, x, y)
        if pull is None:
            return out
        tape = self.tape
        tracer = _new(VJPTracer)
        tracer.interpreter, tracer.primal, tracer.index = self, out, len(tape)
        tape.append(pull)
        self.sources.append(source)
        return tracer

    def separated(self, args: Any) -> tuple[Sequence[Any], tuple[int, ...], tuple[int, ...]]:
        """Primals of the arguments; positions and tape indices of those that are this trace's own.

        One and two arguments, nearly all calls, are written out.
        """
        if len(args) == 1:
            (x,) = args
            return ((x.primal,), (0,), (x.index,)) if type(x) is VJPTracer and x.interpreter is self else (args, (), ())
        if len(args) == 2:
            x, y = args
            own = type(y) is VJPTracer and y.interpreter is self
            if type(x) is VJPTracer and x.interpreter is self:
                return ((x.primal, y.primal), (0, 1), (x.index, y.index)) if own else ((x.primal, y), (0,), (x.index,))
            return ((x, y.primal), (1,), (y.index,)) if own else (args, (), ())
        positions = [k for k, a in enumerate(args) if type(a) is VJPTracer and a.interpreter is self]
        primals = list(args)
        for k in positions:
            primals[k] = args[k].primal
        return primals, tuple(positions), tuple([args[k].index for k in positions])

    def recorded(self, out: Any, pull: Any, source: Any) -> VJPTracer:
        """Put a value on the tape."""
        tape = self.tape
        tracer = _new(VJPTracer)
        tracer.interpreter = self
        tracer.primal = out
        tracer.index = len(tape)
        tape.append(pull)
        self.sources.append(source)
        return tracer

    def recorded_many(self, primitive: Any, out: Any, pullback: Any, indices: tuple[int, ...]) -> list[Any]:
        """Put an operation with several results on the tape; results of integer dtype carry no derivative."""
        for o in out:
            if type(o) is VJPTracer and o.interpreter is self:
                raise NonDifferentiableError(
                    f"the derivative rule of {primitive.name} closes over a "
                    "value that is being differentiated, of which the rule knows nothing; pass it as an argument of the function"
                )
        avals = [aval_of(o) for o in out]
        entry: Any = _Several(pullback, None if primitive.keeps_missing else avals)
        found = []
        for o, aval in zip(out, avals, strict=True):
            tracer = self.recorded(o, entry, indices)
            found.append(tracer if is_inexact(aval.dtype) else o)
            entry = None
        return found

    def split(self, value: Any) -> tuple[Any, int | None]:
        """Primal and tape index of a result; the index is ``None`` where the result does not depend on the inputs."""
        if type(value) is VJPTracer and value.interpreter is self:
            return value.primal, value.index
        return value, None


class StagedVJPTrace(VJPTrace):
    """A tape that is recorded while a Program is: what a pullback binds is put down to the line of its operation, as backward pass.

    The line stays noted when the pullback has run, for the sums of cotangents that follow; :meth:`Pullback.flat` clears it at the end.
    """

    __slots__ = ("operation",)

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        self.operation = primitive.name
        return super().process(primitive, args, params)

    def recorded(self, out: Any, pull: Any, source: Any) -> VJPTracer:
        """Put a value on the tape."""
        if type(pull) is tuple:
            pull = (_noting(pull[0], self.operation), *pull[1:])
        elif pull is not None:
            pull.pullback = _noting(pull.pullback, self.operation)
        return super().recorded(out, pull, source)


class DeviceVJPTrace(MovesToDevice, VJPTrace):
    """A tape where arrays may be on a CUDA device."""

    __slots__ = ()


def watch(array: np.ndarray) -> None:
    """Have the innermost tape that is being recorded watch an array that somebody else may write."""
    trace: Any = CURRENT.get()
    while trace is not None and not isinstance(trace, VJPTrace):
        trace = trace.parent
    if trace is not None and trace.base is EVAL:
        known = trace.watched.get(id(array))
        if known is None or known.array() is not array:
            trace.watched[id(array)] = WatchedArray(array)


def new_tape(owner: Any) -> VJPTrace:
    """A trace that records a tape, for operations above the current trace."""
    current = CURRENT.get()
    if current.base is not EVAL:
        return StagedVJPTrace(current, owner)
    return (DeviceVJPTrace if "cupy" in sys.modules else VJPTrace)(current, owner)


def _noting(pullback: Callable[..., Any], operation: str) -> Callable[..., Any]:
    source = user_source()
    noted = None if source is None else source.reversed(operation)

    def placed(cotangent: Any, *values: Any) -> Any:
        REPLAYED.set(noted)
        return pullback(cotangent, *values)

    return placed


@np.errstate(all="ignore")
def backward(tape: list[Any], sources: list[Any], cotangents: list[Any], inputs: int, consume: bool) -> list[Any]:
    """Walk the tape from its end; gives the inputs' cotangents, ``None`` where nothing arrived, in whatever form they are kept.

    ``cotangents`` holds one entry per tape entry and is used up. With ``consume`` so is the tape, so that residuals are freed as soon as they have
    served.
    """
    if not consume:
        tape, sources = tape.copy(), sources.copy()
    later: list[Any] = []  # cotangents of the results after the first one of an operation with several, last one first
    for _ in range(len(tape) - inputs):
        entry, source, cotangent = tape.pop(), sources.pop(), cotangents.pop()
        if type(entry) is not tuple:
            later.append(cotangent)
            if entry is None:
                continue
            cotangent, entry = _of_several(entry, later), (entry.pullback,)
            later.clear()
        if cotangent is None:
            continue
        if type(cotangent) is not _ndarray and type(cotangent) in KEPT_APART:
            cotangent = as_value(cotangent)
        count = len(entry)
        if count == 3:
            found = entry[0](cotangent, entry[1], entry[2])
        elif count == 4:
            found = entry[0](cotangent, entry[1], entry[2], entry[3])
        elif count == 2:
            found = entry[0](cotangent, entry[1])
        else:
            found = entry[0](cotangent, *entry[1:])
        if type(source) is int:
            if cotangents[source] is None:
                cotangents[source] = found
            elif found is not None:
                cotangents[source] = accumulate(cotangents[source], found)
        else:
            for j, contribution in zip(source, found):
                if cotangents[j] is None:
                    cotangents[j] = contribution
                elif contribution is not None:
                    cotangents[j] = accumulate(cotangents[j], contribution)
        found = contribution = None  # they may be all that holds a large array
    return cotangents


def _converted(cotangent: Any, dtype: np.dtype) -> Any:
    """What the walk found for an input, as a value of the input's dtype."""
    value = as_value(cotangent)
    return value if dtype_of(value) == dtype else convert(value, dtype)


def _of_several(entry: _Several, later: list[Any]) -> list[Any] | None:
    """The cotangents of an operation's results, given from the last one to the first; ``None`` if there is none at all."""
    found = [as_value(c) for c in reversed(later)]
    if all(c is None for c in found):
        return None
    if entry.avals is None:
        return found
    return list(together([zeros(a) if c is None else c for c, a in zip(found, entry.avals, strict=True)]))


class Pullback:
    """The transposed derivative of a function at a point: maps cotangents of its results to cotangents of its inputs.

    ``inputs`` are the primals or their abstract values: their shapes and dtypes are what a cotangent must have.
    """

    __slots__ = ("indices", "sources", "tape", "types", "watched")

    def __init__(self, trace: VJPTrace, indices: list[int | None], inputs: Sequence[Any]):
        self.tape, self.sources, self.indices = trace.tape, trace.sources, indices
        self.watched = trace.watched
        self.types = [_type_of(x) for x in inputs]

    def flat(self, cotangents: Sequence[Any], consume: bool = False) -> list[Any]:
        """Cotangents of the inputs, ``None`` where an input has no influence; ``None`` among the arguments is zero."""
        if CURRENT.get().base is EVAL:
            return self._flat(cotangents, consume)
        source = user_source()
        before = REPLAYED.get()
        try:
            REPLAYED.set(source and source.reversed("the result"))
            return self._flat(cotangents, consume)
        finally:
            REPLAYED.set(before)

    def _flat(self, cotangents: Sequence[Any], consume: bool) -> list[Any]:
        for array in self.watched.values():
            array.check(self.tape)
        accumulated: list[Any] = [None] * len(self.tape)
        for index, cotangent in zip(self.indices, cotangents, strict=True):
            if index is not None and cotangent is not None:
                seen = accumulated[index]
                accumulated[index] = cotangent if seen is None else seen + cotangent
        result = backward(self.tape, self.sources, accumulated, len(self.types), consume)
        return [None if c is None else _converted(c, t[1]) for c, t in zip(result, self.types)]

    def __call__(self, cotangents: Sequence[Any], consume: bool = False) -> list[Any]:
        """Cotangents of the inputs, zeros where an input has no influence."""
        found = self.flat(cotangents, consume)
        return [zeros(ShapedArray(*t)) if c is None else c for c, t in zip(found, self.types)]


def scalar_gradient(trace: VJPTrace, index: int | None, value: Any, inputs: Sequence[Any]) -> list[Any]:
    """The gradient by the inputs of one scalar, whose place on the tape is given, as buffers or tracers; the tape is used up."""
    if trace.base is not EVAL:
        return Pullback(trace, [index], inputs)([ones_like_aval(aval_of(value))], consume=True)
    # What a Pullback does, without making one.
    tape = trace.tape
    for array in trace.watched.values():
        array.check(tape)
    accumulated: list[Any] = [None] * len(tape)
    on_device = lies_on_device(value)
    if index is not None:
        accumulated[index] = beside(dtype_of(value).type(1), on_device)
    found = backward(tape, trace.sources, accumulated, len(inputs), True)
    for k, x in enumerate(inputs):
        cotangent = found[k]
        if type(cotangent) is not _ndarray or type(x) is not _ndarray or cotangent.dtype != x.dtype:
            if cotangent is None:
                found[k] = beside(zeros(aval_of(x)), on_device)
            else:
                found[k] = _converted(cotangent, dtype_of(x))
    return found


def vjp_flat(
    function: Callable[..., list[Any]], primals: Sequence[Any], owner: Any = None
) -> tuple[list[Any], Pullback]:
    """Results of a function of flat lists, and its pullback."""
    trace = new_tape(owner or function)
    tracers = trace.inputs(primals)
    before = CURRENT.get()
    try:
        CURRENT.set(trace)
        outs = function(*tracers)
    finally:
        CURRENT.set(before)
        trace.live = False
    pairs = [trace.split(o) for o in outs]
    return [p for p, _ in pairs], Pullback(trace, [i for _, i in pairs], primals)
