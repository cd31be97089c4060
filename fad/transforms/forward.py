"""Forward mode: every value of the trace carries a tangent beside its primal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from fad.core.avals import ShapedArray, aval_of, dtype_of, shape_of
from fad.core.placement import beside, lies_on_device
from fad.core.trace import CURRENT, Trace, Tracer, raise_cause
from fad.primitives.placing import MovesToDevice
from fad.primitives.structural import zeros

__all__ = ["JVPTrace", "JVPTracer", "jvp_flat"]


class JVPTracer(Tracer):
    """A primal and its tangent."""

    __slots__ = ("primal", "tangent")

    kind = "with a tangent"

    def __init__(self, trace: JVPTrace, primal: Any, tangent: Any):
        self.interpreter = trace
        self.primal = primal
        self.tangent = tangent

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


class JVPTrace(Trace):
    """Interprets an operation by its jvp rule."""

    __slots__ = ()

    follows_data = True
    transform = "jvp"

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        primals: list[Any] = []
        tangents: list[Any] = []
        active = False
        for arg in args:
            if type(arg) is JVPTracer and arg.interpreter is self:
                primals.append(arg.primal)
                tangents.append(arg.tangent)
                active = True
            else:
                primals.append(arg)
                tangents.append(None)
        if not active or primitive.jvp is None:
            return self.parent.process(primitive, primals, params)
        out, tangent = primitive.jvp(primals, tangents, **params)
        if primitive.multiple_results:
            return [o if t is None else JVPTracer(self, o, t) for o, t in zip(out, tangent, strict=True)]
        return out if tangent is None else JVPTracer(self, out, tangent)

    def split(self, value: Any) -> tuple[Any, Any]:
        """Primal and tangent of a result; the tangent is ``None`` where there is none."""
        if type(value) is JVPTracer and value.interpreter is self:
            return value.primal, value.tangent
        return value, None


class DeviceJVPTrace(MovesToDevice, JVPTrace):
    """Forward mode where arrays may be on a CUDA device."""

    __slots__ = ()


def jvp_flat(
    function: Callable[..., list[Any]],
    primals: Sequence[Any],
    tangents: Sequence[Any],
    instantiate: bool = True,
    owner: Any = None,
) -> tuple[list[Any], list[Any]]:
    """Push tangents through a function of flat lists; ``None`` among the tangents is zero.

    With ``instantiate``, tangents of results that have none are zeros, else ``None``.
    """
    trace = (DeviceJVPTrace if "cupy" in sys.modules else JVPTrace)(CURRENT.get(), owner or function)
    before = CURRENT.get()
    try:
        CURRENT.set(trace)
        outs = function(*[p if t is None else JVPTracer(trace, p, t) for p, t in zip(primals, tangents, strict=True)])
    except (ValueError, TypeError) as error:
        raise_cause(error, trace)
    finally:
        CURRENT.set(before)
        trace.live = False
    pairs = [trace.split(o) for o in outs]
    out_primals = [p for p, _ in pairs]
    if instantiate:
        return out_primals, [beside(zeros(aval_of(p)), lies_on_device(p)) if t is None else t for p, t in pairs]
    return out_primals, [t for _, t in pairs]
