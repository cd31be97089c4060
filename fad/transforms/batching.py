"""Batching (vmap): every value of the trace hides a mapped axis, kept at position 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fad.core.avals import ShapedArray, aval_of, dtype_of, shape_of
from fad.core.trace import CURRENT, Trace, Tracer, raise_cause

__all__ = ["BatchTrace", "BatchTracer", "batch_flat"]


class BatchTracer(Tracer):
    """A value whose mapped axis is hidden."""

    __slots__ = ("value",)

    kind = "mapped by vmap"

    def __init__(self, trace: BatchTrace, value: Any):
        self.interpreter = trace
        self.value = value

    @property
    def aval(self) -> ShapedArray:
        """The abstract value of one element of the batch."""
        return ShapedArray(shape_of(self.value)[1:], dtype_of(self.value))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes that are not mapped."""
        return shape_of(self.value)[1:]

    @property
    def dtype(self) -> Any:
        """Type of the elements."""
        return dtype_of(self.value)


class BatchTrace(Trace):
    """Interprets an operation by its batch rule."""

    __slots__ = ("axis_name", "size")

    follows_data = True
    transform = "vmap"

    def __init__(self, parent: Trace, size: int, axis_name: Any = None, owner: Any = None):
        super().__init__(parent, owner)
        self.size = size
        self.axis_name = axis_name

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        values: list[Any] = []
        mapped: list[bool] = []
        for arg in args:
            own = type(arg) is BatchTracer and arg.interpreter is self
            values.append(arg.value if own else arg)
            mapped.append(own)
        if primitive.collective and params["axis_name"] == self.axis_name and self.axis_name is not None:
            out, out_mapped = primitive.batch(self.size, values, mapped, named=True, **params)
        elif not any(mapped):
            return self.parent.process(primitive, values, params)
        elif primitive.higher_order:
            out, out_mapped = primitive.batch(self.size, values, mapped, axis_name=self.axis_name, **params)
        else:
            out, out_mapped = primitive.batch(self.size, values, mapped, **params)
        if primitive.multiple_results:
            flags = out_mapped if isinstance(out_mapped, list | tuple) else [out_mapped] * len(out)
            return [BatchTracer(self, o) if m else o for o, m in zip(out, flags, strict=True)]
        return BatchTracer(self, out) if out_mapped else out

    def split(self, value: Any) -> tuple[Any, bool]:
        """The value with its mapped axis, and whether it has one."""
        if type(value) is BatchTracer and value.interpreter is self:
            return value.value, True
        return value, False


def batch_flat(
    function: Callable[..., list[Any]],
    size: int,
    values: Sequence[Any],
    mapped: Sequence[bool],
    axis_name: Any = None,
    owner: Any = None,
) -> tuple[list[Any], list[bool]]:
    """Run a function of flat lists on a batch; mapped axes are at position 0 on the way in and out."""
    trace = BatchTrace(CURRENT.get(), size, axis_name, owner or function)
    before = CURRENT.get()
    try:
        CURRENT.set(trace)
        outs = function(*[BatchTracer(trace, v) if m else v for v, m in zip(values, mapped, strict=True)])
    except (ValueError, TypeError) as error:
        raise_cause(error, trace)
    finally:
        CURRENT.set(before)
        trace.live = False
    pairs = [trace.split(o) for o in outs]
    return [v for v, _ in pairs], [m for _, m in pairs]


def axis_size(axis_name: Any) -> int | None:
    """Size of the enclosing vmap's axis of that name, or ``None``."""
    trace: Any = CURRENT.get()
    while trace is not None:
        if isinstance(trace, BatchTrace) and trace.axis_name == axis_name and axis_name is not None:
            return trace.size
        trace = trace.parent or getattr(trace, "outer", None)
    return None


def named_axes() -> tuple[tuple[Any, int], ...]:
    """Names and sizes of all enclosing named axes; part of the key under which a trace is cached."""
    found = []
    trace: Any = CURRENT.get()
    while trace is not None:
        if isinstance(trace, BatchTrace) and trace.axis_name is not None:
            found.append((trace.axis_name, trace.size))
        trace = trace.parent or getattr(trace, "outer", None)
    return tuple(found)


def aval_without_batch(value: Any, mapped: bool) -> ShapedArray:
    """The abstract value of one element of the batch."""
    aval = aval_of(value)
    return ShapedArray(aval.shape[1:], aval.dtype) if mapped else aval
