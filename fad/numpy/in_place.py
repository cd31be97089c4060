"""Operators that write into the memory of a temporary operand, see :mod:`fad.core.temporaries`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fad.core.array import Array
from fad.core.temporaries import LARGE, operand_temporaries, owned_buffer
from fad.core.trace import CURRENT, EVAL, EvalTrace
from fad.transforms.reverse import VJPTracer

__all__ = ["into_temporary"]

_DTYPES = frozenset(map(np.dtype, ("f4", "f8", "c8", "c16")))
_unchecked = EvalTrace.binary
_new = object.__new__
_ndarray = np.ndarray


def into_temporary(left_alone: bool, right_alone: bool, primitive: Any, left: Any, right: Any) -> Any:
    """``left`` with ``right``, in the memory of one of them that is a temporary of the caller's expression; ``None`` where none is.

    To be called by the method of an operator, which tells for which operand it has found a reference count of ``LONE``.
    """
    kind = type(left)
    x = left._buffer if kind is Array else left.primal if kind is VJPTracer else None
    kind = type(right)
    y = right._buffer if kind is Array else right.primal if kind is VJPTracer else None
    left_alone = left_alone and type(x) is _ndarray and x.nbytes >= LARGE
    right_alone = right_alone and type(y) is _ndarray and y.nbytes >= LARGE
    if not (left_alone or right_alone):
        return None
    x_dtype, y_dtype = getattr(x, "dtype", None), getattr(y, "dtype", None)
    x = y = None  # they count as references
    caller = sys._getframe(2)
    temporary = operand_temporaries(caller.f_code, caller.f_lasti)
    for k, alone in enumerate((left_alone, right_alone)):
        dtype, other = (y_dtype, x_dtype) if k else (x_dtype, y_dtype)
        if not (alone and temporary[k] and dtype in _DTYPES and (other is None or other == dtype)):
            continue
        taken = right if k else left
        buffer = owned_buffer(taken, "_buffer" if type(taken) is Array else "primal")
        if buffer is not None and _unread(primitive, left, right, k):
            try:
                return _computed(primitive, left, right, buffer)
            # Does not broadcast, or is no number of the dtype: a matter for those who explain errors.
            except (ValueError, OverflowError):
                return None
    return None


def _unread(primitive: Any, left: Any, right: Any, k: int) -> bool:
    """Whether the operation is evaluated at once, and no derivative of it reads operand ``k``."""
    trace = CURRENT.get()
    if trace.base is not EVAL or EvalTrace.binary is not _unchecked:
        return False
    for j, operand in enumerate((left, right)):
        if type(operand) is VJPTracer:
            if operand.interpreter is not trace or trace.parent is not EVAL or primitive.reads[j][1 + k]:
                return False
        elif type(operand) not in (Array, float, int):
            return False
    return True


def _computed(primitive: Any, left: Any, right: Any, buffer: np.ndarray) -> Any:
    recorded = (type(left) is VJPTracer, type(right) is VJPTracer)
    x = left.primal if recorded[0] else left._buffer if type(left) is Array else left
    y = right.primal if recorded[1] else right._buffer if type(right) is Array else right
    out = primitive.host_impl(x, y, out=buffer)
    if recorded == (True, True):
        pull, source = primitive.pull_both(out, x, y), (left.index, right.index)
    elif recorded[0]:
        pull, source = primitive.pull_first(out, x, y), left.index
    elif recorded[1]:
        pull, source = primitive.pull_second(out, x, y), right.index
    else:
        array = _new(Array)
        array._buffer = out
        return array
    trace: Any = CURRENT.get()
    return trace.recorded(out, pull, source)
