"""Operators that write into the memory of a temporary operand, see :mod:`fad.core.temporaries`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fad.core.array import Array
from fad.core.temporaries import KNOWN, LARGE, ONE_SLOT, operand_temporaries
from fad.core.trace import CURRENT, EVAL, EvalTrace
from fad.transforms.reverse import VJPTrace, VJPTracer

__all__ = ["into_temporary"]

_DTYPES = frozenset(map(np.dtype, ("f4", "f8", "c8", "c16")))
_PLAIN = frozenset({Array, float, int})
_unchecked = EvalTrace.binary
_new = object.__new__
_ndarray = np.ndarray
_references = getattr(sys, "getrefcount", lambda value: -1)


def into_temporary(left_alone: bool, right_alone: bool, primitive: Any, left: Any, right: Any) -> Any:
    """``left`` with ``right``, in the memory of one of them that is a temporary of the caller's expression; ``None`` where none is.

    To be called by the method of an operator, which tells for which operand it has found a reference count of ``LONE``. Each function that runs
    between large operations has to be fetched into the processor's caches again, so everything is written out here.
    """
    kind = type(left)
    x = left._buffer if kind is Array else left.primal if kind is VJPTracer else None
    kind = type(right)
    y = right._buffer if kind is Array else right.primal if kind is VJPTracer else None
    left_alone = left_alone and type(x) is _ndarray and x.nbytes >= LARGE and _references(x) == ONE_SLOT
    right_alone = right_alone and type(y) is _ndarray and y.nbytes >= LARGE and _references(y) == ONE_SLOT
    if not (left_alone or right_alone):
        return None
    caller = sys._getframe(2)
    code, offset = caller.f_code, caller.f_lasti
    _, left_made, right_made = KNOWN.get(id(code) + offset) or operand_temporaries(code, offset)
    trace: Any = CURRENT.get()
    x, y = left if x is None else x, right if y is None else y
    by_left, by_right = type(left) is VJPTracer, type(right) is VJPTracer
    if (  # not evaluated at once
        trace.base is not EVAL
        or EvalTrace.binary is not _unchecked
        or (by_left and left.interpreter is not trace)
        or (by_right and right.interpreter is not trace)
        or ((by_left or by_right) and (type(trace) is not VJPTrace or trace.parent is not EVAL))
        or not (by_left or type(left) in _PLAIN)
        or not (by_right or type(right) in _PLAIN)
    ):
        return None
    reads = primitive.reads  # an operand that a derivative reads stays
    if left_alone and left_made and not (by_left and reads[0][1]) and not (by_right and reads[1][1]):
        buffer, other = x, y
    elif right_alone and right_made and not (by_left and reads[0][2]) and not (by_right and reads[1][2]):
        buffer, other = y, x
    else:
        return None
    dtype, owned = buffer.dtype, buffer.base is None and buffer.flags.owndata and buffer.flags.writeable
    if not (dtype in _DTYPES and getattr(other, "dtype", dtype) == dtype and owned):
        return None
    try:
        out = primitive.host_impl(x, y, buffer)
    # Does not broadcast, or is no number of the dtype: a matter for those who explain errors.
    except (ValueError, OverflowError):
        return None
    if not (by_left or by_right):
        array = _new(Array)
        array._buffer = out
        return array
    pull = primitive.pull_second if not by_left else primitive.pull_both if by_right else primitive.pull_first
    tape, tracer = trace.tape, _new(VJPTracer)
    tracer.interpreter, tracer.primal, tracer.index = trace, out, len(tape)
    tape.append(pull(out, x, y))
    trace.sources.append(right.index if not by_left else (left.index, right.index) if by_right else left.index)
    return tracer
