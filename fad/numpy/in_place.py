"""Operators that write into the memory of a temporary operand, see :mod:`fad.core.temporaries`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fad.core.array import Array
from fad.core.temporaries import operand_temporaries, owned_buffer
from fad.core.trace import CURRENT, EVAL, EvalTrace
from fad.transforms.reverse import VJPTracer

__all__ = ["into_temporary"]

_LARGE = 1 << 16  # bytes from which on fresh memory costs more than looking for used memory
_DTYPES = frozenset(map(np.dtype, ("f4", "f8", "c8", "c16")))
_unchecked = EvalTrace.binary
_new = object.__new__
_ndarray = np.ndarray


def into_temporary(left_alone: bool, right_alone: bool, primitive: Any, left: Any, right: Any) -> Any:
    """``left`` with ``right``, in the memory of one of them that is a temporary of the caller's expression; ``None`` where none is.

    To be called by the method of an operator, which tells for which operand it has found a reference count of ``LONE``.
    """
    if _bytes(left if left_alone else right) < _LARGE and not (left_alone and right_alone and _bytes(right) >= _LARGE):
        return None
    caller = sys._getframe(2)
    temporary = operand_temporaries(caller.f_code, caller.f_lasti)
    for k, alone in enumerate((left_alone, right_alone)):
        buffer = _writable(primitive, left, right, k) if alone and temporary[k] else None
        if buffer is not None:
            try:
                return _computed(primitive, left, right, buffer)
            # Does not broadcast, or is no number of the dtype: a matter for those who explain errors.
            except (ValueError, OverflowError):
                return None
    return None


def _bytes(operand: Any) -> int:
    kind = type(operand)
    buffer = operand._buffer if kind is Array else operand.primal if kind is VJPTracer else None
    return buffer.nbytes if type(buffer) is _ndarray else 0


def _writable(primitive: Any, left: Any, right: Any, k: int) -> Any:
    """The memory of operand ``k``, if nobody reads it after the operation and it has the type of the result, else ``None``."""
    taken, other = (left, right) if k == 0 else (right, left)
    trace = CURRENT.get()
    if _bytes(taken) < _LARGE or trace.base is not EVAL or EvalTrace.binary is not _unchecked:
        return None
    for j, operand in enumerate((left, right)):
        if type(operand) is VJPTracer:
            if operand.interpreter is not trace or trace.parent is not EVAL or primitive.reads[j][1 + k]:
                return None
        elif type(operand) not in (Array, float, int):
            return None
    buffer = owned_buffer(taken, "_buffer" if type(taken) is Array else "primal")
    if buffer is None or buffer.dtype not in _DTYPES:
        return None
    return buffer if type(other) in (float, int) or other.dtype == buffer.dtype else None


def _computed(primitive: Any, left: Any, right: Any, buffer: np.ndarray) -> Any:
    left = left._buffer if type(left) is Array else left
    right = right._buffer if type(right) is Array else right
    if type(left) is not VJPTracer and type(right) is not VJPTracer:
        array = _new(Array)
        array._buffer = primitive.host_impl(left, right, out=buffer)
        return array
    trace: Any = CURRENT.get()
    primals, active, indices = trace.separated((left, right))
    out = primitive.host_impl(*primals, out=buffer)
    pull = primitive.pullback_from(out, primals, active, {})
    return trace.recorded(out, pull, indices if len(indices) > 1 else indices[0])
