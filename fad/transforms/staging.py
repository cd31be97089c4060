"""Staging: run a function on abstract values and record what it does as a Program.

``StageTrace`` takes every operation. ``RecordTrace`` follows data: it records only what depends on its inputs and lets everything else run
at once, which is all that ``linearize`` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.avals import PYTHON_SCALARS, ShapedArray, aval_of
from fad.core.constants import DistinctArrays
from fad.core.errors import FadError
from fad.core.origins import place_error
from fad.core.primitive import BinaryPrimitive
from fad.core.program import Equation, Literal, Program, Var, used_equations
from fad.core.trace import CURRENT, Source, Trace, Tracer, leaked, raise_cause, user_source
from fad.primitives.structural import narrow_integer, require_in_bounds, weaken

__all__ = ["RecordTrace", "StageTrace", "StageTracer", "stage"]

_INT64 = np.dtype(np.int64)


class StageTracer(Tracer):
    """A variable of the Program that is being recorded."""

    __slots__ = ("source", "variable")

    kind = "staged"

    def __init__(self, trace: Any, var: Var, source: Source | None):
        self.interpreter = trace
        self.variable = var
        self.source = source

    @property
    def aval(self) -> ShapedArray:
        """The abstract value."""
        return self.variable.aval

    def origin(self) -> str:
        """The user's line that made the value."""
        made = f"{self.interpreter.made_by(self.variable)}"
        return f"{made} at {self.source}" if self.source else made


class WeakStageTracer(StageTracer):
    """A staged Python scalar: arithmetic with other Python scalars stays weak, as in Python itself (NEP 50)."""

    __slots__ = ()


class StageTrace(Trace):
    """Records every operation as an equation."""

    __slots__ = ("captured", "constants", "distinct", "equations", "outer", "purpose")

    transform = "staging"

    def __init__(self, parent: Trace | None = None, owner: Any = None, outer: Trace | None = None, purpose: str = ""):
        super().__init__(parent, owner)
        self.purpose = purpose
        self.equations: list[Equation] = []
        self.captured: dict[int, tuple[Any, Var]] = {}
        self.constants: dict[int, tuple[Any, Any, Var]] = {}
        self.distinct = DistinctArrays()
        self.outer = outer

    def describe(self) -> str:
        """The transform that stages, and the function."""
        text = super().describe()
        return text.replace(self.transform, self.purpose, 1) if self.purpose else text

    def input(self, aval: ShapedArray) -> StageTracer:
        """A tracer for an input of the Program."""
        var = Var(aval)
        return (WeakStageTracer if aval.weak else StageTracer)(self, var, None)

    def atom(self, x: Any) -> Var | Literal:
        """The variable or literal that stands for a value; outer tracers and arrays are captured."""
        if isinstance(x, StageTracer) and x.interpreter is self:
            return x.variable
        if isinstance(x, Tracer):
            if not x.interpreter.live:
                raise leaked(f"{self.describe()} used", x, f"a value of {x.interpreter.describe()}, which has finished")
            if id(x) not in self.captured:
                self.captured[id(x)] = (x, Var(aval_of(x)))
            return self.captured[id(x)][1]
        if type(x) in PYTHON_SCALARS or (isinstance(x, np.generic)):
            return Literal(x)
        found = self.constants.get(id(x))
        if found is None or (found[1] is not x and not (found[1] == x).all()):
            # A snapshot: somebody else may write into the array after the trace, or had done so since the last use.
            kept = x.copy() if isinstance(x, np.ndarray) and x.flags.writeable else x
            if found is not None:
                self.constants[-len(self.constants)] = found
            made = x, kept, Var(aval_of(x))
            found = self.distinct.first(kept, made)
            if found is made:
                self.constants[id(x)] = made
        return found[2]

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        if primitive.stage is not None:
            args, params = primitive.stage(args, params)
        inputs = [self.atom(a) for a in args]
        avals = primitive.shape(*[v.aval for v in inputs], **params)
        if isinstance(primitive, BinaryPrimitive) and avals.dtype.kind in "iu" and avals.dtype != _INT64:
            inputs = [self._narrowed(v, avals.dtype) for v in inputs]
        source = user_source()
        outputs = [Var(a) for a in (avals if primitive.multiple_results else [avals])]
        self.equations.append(Equation(primitive, inputs, params, outputs, source))
        tracers = [(WeakStageTracer if v.aval.weak else StageTracer)(self, v, source) for v in outputs]
        return tracers if primitive.multiple_results else tracers[0]

    def _narrowed(self, atom: Var | Literal, dtype: np.dtype) -> Var | Literal:
        """An operand of an integer operation; a Python integer is checked here, or when its value is known."""
        if not atom.aval.weak:
            return atom
        if isinstance(atom, Literal):
            require_in_bounds(atom.value, dtype)
            return atom
        checked = Var(ShapedArray((), dtype))
        self.equations.append(Equation(narrow_integer, [atom], {"dtype": dtype}, [checked], user_source()))
        return checked

    def made_by(self, var: Var) -> str:
        """The operation that made a variable, for messages."""
        for equation in reversed(self.equations):
            if var in equation.outputs:
                (source, *_) = (*equation.inputs, None)
                if equation.primitive.name == "weaken" and isinstance(source, Var):
                    return self.made_by(source)
                return f"the result of {equation.primitive.name}"
        return "an argument of the function"

    def program(self, inputs: Sequence[StageTracer], outs: Sequence[Any], name: str) -> tuple[Program, list[Any]]:
        """The Program recorded so far, without its dead code, and the captured values that are its leading arguments."""
        outputs = [self.atom(o) for o in outs]
        captured = list(self.captured.values())
        constants = {var: kept for _, kept, var in self.constants.values()}
        leading = [var for _, var in captured]
        program = Program([*leading, *[t.variable for t in inputs]], self.equations, outputs, constants, name)
        kept = used_equations(program, outputs)
        used = {v for e in kept for v in e.inputs} | set(outputs)
        constants = {v: c for v, c in constants.items() if v in used}
        return Program(program.inputs, kept, outputs, constants, name), [value for value, _ in captured]


class RecordTrace(StageTrace):
    """Records only operations on its own tracers; everything else runs at once on the parent."""

    __slots__ = ()

    follows_data = True
    transform = "linearize"

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        for arg in args:
            if isinstance(arg, StageTracer) and arg.interpreter is self:
                if primitive.inline is not None:
                    # What the call computes without our tracers is known now.
                    return primitive.inline(args, params)
                return super().process(primitive, args, params)
        return self.parent.process(primitive, args, params)


def stage(
    function: Callable[..., list[Any]],
    avals: Sequence[ShapedArray],
    name: str = "",
    owner: Any = None,
    purpose: str = "",
) -> tuple[Program, list[Any]]:
    """Record a function of flat lists as a Program; also gives the outer tracers it captured, its leading arguments.

    ``purpose`` is the transform's name, for messages.
    """
    trace = StageTrace(None, owner or function, CURRENT.get(), purpose)
    inputs = [trace.input(a) for a in avals]
    before = CURRENT.get()
    try:
        CURRENT.set(trace)
        outs = function(*inputs)
        return trace.program(inputs, outs, name or getattr(owner or function, "__name__", "program"))
    except FadError as error:
        if purpose:
            place_error(error, trace.describe())
        raise
    except (ValueError, TypeError) as error:
        raise_cause(error, trace)
    finally:
        CURRENT.set(before)
        trace.live = False


def _weak_operator(name: str) -> Callable[..., Any]:
    strong = name

    def operator(self: Any, other: Any) -> Any:
        result = getattr(StageTracer, strong)(self, other)
        both = type(other) in PYTHON_SCALARS or isinstance(other, WeakStageTracer)
        return weaken.bind(result) if both and isinstance(result, Tracer) else result

    operator.__name__ = name
    return operator


for _name in ("add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow"):
    setattr(WeakStageTracer, f"__{_name}__", _weak_operator(f"__{_name}__"))
