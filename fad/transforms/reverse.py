"""Reverse mode: a tape in creation order, so there is no sorting and no recursion, whatever the length.

An entry of the tape is ``None`` for an input, or stands at the index of an operation's first result: ``(pullback, j)`` for an operation with one result that
depends on the value at index ``j`` alone, whose pullback gives that one cotangent; ``(pullback, indices)`` if it depends on several, whose pullback
gives one for each; and ``(pullback, indices, count, avals)`` if it has ``count`` results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, aval_of, dtype_of, is_inexact, shape_of
from fad.core.cotangents import IndexedCotangent, SumInPlace, accumulate, settled
from fad.core.errors import NonDifferentiableError
from fad.core.trace import CURRENT, EVAL, REPLAYED, Trace, Tracer, user_source
from fad.primitives.structural import convert, zeros

__all__ = ["Pullback", "VJPTrace", "VJPTracer", "new_tape", "vjp_flat"]


_new = object.__new__


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
        return shape_of(self.primal)

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        return dtype_of(self.primal)


class VJPTrace(Trace):
    """Interprets an operation by its vjp rule and records the pullback."""

    __slots__ = ("tape",)

    follows_data = True
    transform = "reverse-mode differentiation"

    def __init__(self, parent: Trace, owner: Any = None):
        super().__init__(parent, owner)
        self.tape: list[Any] = []

    def input(self, value: Any) -> VJPTracer:
        """A tracer for an independent variable."""
        self.tape.append(None)
        return VJPTracer(self, value, len(self.tape) - 1)

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        primals, active, indices = self.separated(args)
        if not active:
            return self.parent.process(primitive, primals, params)
        if primitive.pullback_from is not None:
            out = self.parent.process(primitive, primals, params)
            pullback = primitive.pullback_from(out, primals, active, params)
            if pullback is None:
                return out
            return self.recorded(out, pullback, indices if len(indices) > 1 else indices[0])
        rule = primitive.vjp_selected
        if rule is None:
            return self.parent.process(primitive, primals, params)
        out, pullback = rule(active, primals, params)
        if not primitive.multiple_results:
            return self.recorded(out, pullback, indices)
        return self.recorded_many(primitive, out, pullback, indices)

    def separated(self, args: Any) -> tuple[Sequence[Any], tuple[int, ...], tuple[int, ...]]:
        """Primals of the arguments; positions and tape indices of those that are this trace's own.

        One and two arguments, nearly all calls, are written out: this is the hot path of eager reverse mode.
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

    def recorded(self, out: Any, pullback: Any, indices: tuple[int, ...] | int) -> VJPTracer:
        """Put an operation with one result on the tape."""
        tracer = _new(VJPTracer)
        tracer.interpreter = self
        tracer.primal = out
        tracer.index = len(self.tape)
        self.tape.append((pullback, indices))
        return tracer

    def recorded_many(self, primitive: Any, out: Any, pullback: Any, indices: tuple[int, ...]) -> list[Any]:
        """Put an operation with several results on the tape; results of integer dtype carry no derivative."""
        first = len(self.tape)
        for o in out:
            if type(o) is VJPTracer and o.interpreter is self:
                raise NonDifferentiableError(
                    f"the derivative rule of {primitive.name} closes over a "
                    "value that is being differentiated, of which the rule knows nothing; pass it as an argument of the function"
                )
        avals = [aval_of(o) for o in out]
        self.tape.append((pullback, indices, len(out), None if primitive.keeps_missing else avals))
        self.tape.extend([None] * (len(out) - 1))
        return [VJPTracer(self, o, first + i) if is_inexact(a.dtype) else o for i, (o, a) in enumerate(zip(out, avals))]

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

    def recorded(self, out: Any, pullback: Any, indices: tuple[int, ...] | int) -> VJPTracer:
        """Put an operation with one result on the tape."""
        return super().recorded(out, _noting(pullback, self.operation), indices)

    def recorded_many(self, primitive: Any, out: Any, pullback: Any, indices: tuple[int, ...]) -> list[Any]:
        """Put an operation with several results on the tape."""
        return super().recorded_many(primitive, out, _noting(pullback, self.operation), indices)


def new_tape(owner: Any) -> VJPTrace:
    """A trace that records a tape, for operations above the current trace."""
    current = CURRENT.get()
    return (VJPTrace if current.base is EVAL else StagedVJPTrace)(current, owner)


def _noting(pullback: Callable[..., Any], operation: str) -> Callable[..., Any]:
    source = user_source()
    noted = None if source is None else source.reversed(operation)

    def placed(cotangent: Any) -> Any:
        REPLAYED.set(noted)
        return pullback(cotangent)

    return placed


def backward(tape: list[Any], cotangents: list[Any], inputs: int, consume: bool) -> list[Any]:
    """Walk the tape from its end; gives the inputs' cotangents, ``None`` where nothing arrived.

    ``cotangents`` holds one entry per tape entry and is used up. With ``consume`` the tape's entries are dropped on the way, so that
    residuals are freed as soon as they have served.
    """
    with np.errstate(all="ignore"):
        for i in range(len(tape) - 1, inputs - 1, -1):
            entry = tape[i]
            if entry is None:
                continue
            if consume:
                tape[i] = None
            if len(entry) == 2:
                cotangent = cotangents[i]
                if cotangent is None:
                    continue
                cotangents[i] = None
                cotangent = settled(cotangent) if type(cotangent) is SumInPlace else cotangent
            else:
                count, avals = entry[2], entry[3]
                cotangent = [settled(c) for c in cotangents[i : i + count]]
                if all(c is None for c in cotangent):
                    continue
                cotangents[i : i + count] = [None] * count
                if avals is not None:
                    cotangent = [zeros(a) if c is None else c for c, a in zip(cotangent, avals, strict=True)]
            pullback, j = entry[0], entry[1]
            contributions = ((j, pullback(cotangent)),) if type(j) is int else zip(j, pullback(cotangent))
            for j, contribution in contributions:
                if contribution is None:
                    continue
                seen = cotangents[j]
                if type(contribution) is IndexedCotangent or type(seen) is SumInPlace:
                    cotangents[j] = accumulate(seen, contribution)
                else:
                    cotangents[j] = contribution if seen is None else seen + contribution
            del entry, cotangent, pullback, contributions
    return [settled(c) for c in cotangents[:inputs]]


class Pullback:
    """The transposed derivative of a function at a point: maps cotangents of its results to cotangents of its inputs.

    ``inputs`` are the primals or their abstract values: their shapes and dtypes are what a cotangent must have.
    """

    __slots__ = ("indices", "tape", "types")

    def __init__(self, tape: list[Any], indices: list[int | None], inputs: Sequence[Any]):
        self.tape, self.indices = tape, indices
        self.types = [(shape_of(x), dtype_of(x)) for x in inputs]

    def flat(self, cotangents: Sequence[Any], consume: bool = False) -> list[Any]:
        """Cotangents of the inputs, ``None`` where an input has no influence; ``None`` among the arguments is zero."""
        if CURRENT.get().base is EVAL:
            return self._flat(cotangents, consume)
        source = user_source()
        token = REPLAYED.set(source and source.reversed("the result"))
        try:
            return self._flat(cotangents, consume)
        finally:
            REPLAYED.reset(token)

    def _flat(self, cotangents: Sequence[Any], consume: bool) -> list[Any]:
        accumulated: list[Any] = [None] * len(self.tape)
        for index, cotangent in zip(self.indices, cotangents, strict=True):
            if index is not None and cotangent is not None:
                seen = accumulated[index]
                accumulated[index] = cotangent if seen is None else seen + cotangent
        result = backward(self.tape, accumulated, len(self.types), consume)
        return [c if c is None or dtype_of(c) == t[1] else convert(c, t[1]) for c, t in zip(result, self.types)]

    def __call__(self, cotangents: Sequence[Any], consume: bool = False) -> list[Any]:
        """Cotangents of the inputs, zeros where an input has no influence."""
        found = self.flat(cotangents, consume)
        return [zeros(ShapedArray(*t)) if c is None else c for c, t in zip(found, self.types)]


def vjp_flat(
    function: Callable[..., list[Any]], primals: Sequence[Any], owner: Any = None
) -> tuple[list[Any], Pullback]:
    """Results of a function of flat lists, and its pullback."""
    trace = new_tape(owner or function)
    tracers = [trace.input(p) for p in primals]
    token = CURRENT.set(trace)
    try:
        outs = function(*tracers)
    finally:
        CURRENT.reset(token)
        trace.live = False
    pairs = [trace.split(o) for o in outs]
    return [p for p, _ in pairs], Pullback(trace.tape, [i for _, i in pairs], primals)
