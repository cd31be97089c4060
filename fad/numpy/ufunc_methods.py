"""``reduce``, ``accumulate`` and ``reduceat`` of universal functions.

Functions with a reduction of their own (``add``: sum) use it; all others are folded from left to right, as NumPy does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from fad.core.avals import canonical_dtype, dtype_of, shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy.conversion import axis_number, axis_numbers, host_integers, operand, stack_operands
from fad.primitives.arithmetic import select
from fad.primitives.slicing import concatenate, slice_axis
from fad.primitives.structural import broadcast_to, convert, keepdims_shape, reshape

__all__ = ["REDUCTIONS", "SCANS", "accumulate", "identity_of", "install", "reduce", "reduceat"]

REDUCTIONS: dict[str, Callable[..., Any]] = {}
SCANS: dict[str, Callable[[], Callable[..., Any]]] = {}
_REDUCED_BY = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
    "logaddexp": "logsumexp",
}
# NumPy takes a single element together with the identity, which makes it positive or refuses its dtype.
_CHANGE_ONE = frozenset({"bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "hypot"})
_SCANNED_BY = {
    "add": "cumsum",
    "multiply": "cumprod",
    "maximum": "cummax",
    "minimum": "cummin",
    "logaddexp": "cumlogsumexp",
}


def install(functions: dict[str, Any], on_use: Callable[[str], Any]) -> None:
    """Take the reductions from the functions of :mod:`fad.numpy`, and the scans from those that ``on_use`` loads."""
    SCANS.update({ufunc: partial(on_use, name) for ufunc, name in _SCANNED_BY.items()})
    REDUCTIONS.update({ufunc: functions[name] for ufunc, name in _REDUCED_BY.items() if name in functions})


def identity_of(name: str, dtype: np.dtype) -> Any:
    """The neutral element of a function, or ``None``."""
    value = {
        "add": 0,
        "logaddexp": -np.inf,
        "logaddexp2": -np.inf,
        "multiply": 1,
        "logical_and": True,
        "logical_or": False,
        "logical_xor": False,
        "bitwise_and": -1,
        "bitwise_or": 0,
        "bitwise_xor": 0,
        "hypot": 0,
        "gcd": 0,
    }.get(name)
    if name in ("maximum", "minimum", "fmax", "fmin"):
        if dtype.kind == "b":
            return name in ("minimum", "fmin")
        low, high = (-np.inf, np.inf) if dtype.kind in "fcV" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        return low if "max" in name else high
    return value


def reduce(ufunc: Any, array: Any, axis: Any, dtype: Any, keepdims: bool, initial: Any, where: Any) -> Any:
    """The function between all elements along axes."""
    function = f"{ufunc.__name__}.reduce"
    own = REDUCTIONS.get(ufunc.__name__)
    if own is not None and initial is None and where is True:
        extra = {} if dtype is None else {"dtype": dtype}
        array = _floating(array) if ufunc.__name__ == "logaddexp" else array
        return own(array, axis=axis, keepdims=keepdims, **extra)
    x = operand(array, function)
    if dtype is not None:
        x = convert(x, canonical_dtype(dtype))
    elif ufunc.__name__ in ("add", "multiply") and dtype_of(x).kind == "b":
        x = convert(x, np.dtype(np.int64))
    axes = axis_numbers(axis, len(shape_of(x)), function)
    if where is not True:
        x = select.bind(operand(where, function), x, _neutral(ufunc, x, function, initial))
    out = _fold_axes(ufunc, x, axes, own, function, initial)
    return reshape(out, keepdims_shape(shape_of(x), axes)) if keepdims else out


def _floating(x: Any) -> Any:
    """Integers in the dtype in which NumPy's functions of floating point take them."""
    x = operand(x, "logaddexp")
    return convert(x, np.sqrt(np.zeros(1, dtype_of(x))).dtype) if dtype_of(x).kind in "biu" else x


def _neutral(ufunc: Any, x: Any, function: str, initial: Any) -> Any:
    """What stands where the mask is false."""
    if ufunc.__name__ in ("maximum", "minimum", "fmax", "fmin"):
        neutral = initial
    else:
        neutral = identity_of(ufunc.__name__, dtype_of(x))
    if neutral is None:
        raise ArgumentError(f"{function} has no neutral element, so where= needs initial=")
    return neutral


def _fold_axes(ufunc: Any, x: Any, axes: tuple[int, ...], own: Any, function: str, initial: Any) -> Any:
    if own is not None:
        if any(shape_of(x)[a] == 0 for a in axes) and initial is not None:
            out = broadcast_to(
                convert(initial, dtype_of(x)), tuple(n for i, n in enumerate(shape_of(x)) if i not in axes)
            )
            return out
        out = operand(own(x, axis=axes), function)
        return out if initial is None else operand(ufunc(out, initial), function)
    if len(axes) > 1 and ufunc.__name__ in ("subtract", "divide", "floor_divide", "remainder", "fmod", "power"):
        raise ArgumentError(f"{function} is not reorderable, so it takes one axis at a time, got axis={axes}")
    for a in sorted(axes, reverse=True):
        x = _fold(ufunc, x, a, function, initial)
        initial = None
    return x


def _slices(x: Any, axis: int) -> list[Any]:
    """The sub-arrays along an axis, without that axis."""
    shape = shape_of(x)
    rest = shape[:axis] + shape[axis + 1 :]
    return [reshape(slice_axis(x, axis, k, k + 1), rest) for k in range(shape[axis])]


def _fold(ufunc: Any, x: Any, axis: int, function: str, initial: Any) -> Any:
    parts = _slices(x, axis)
    if initial is None and not parts:
        initial = identity_of(ufunc.__name__, dtype_of(x))
        if initial is None or "max" in ufunc.__name__ or "min" in ufunc.__name__:
            raise ShapeError(f"{function} of an empty axis has no value: the function has no identity; give initial=")
        rest = tuple(n for i, n in enumerate(shape_of(x)) if i != axis)
        return broadcast_to(convert(initial, dtype_of(x)), rest)
    if initial is None and len(parts) == 1 and ufunc.__name__ in _CHANGE_ONE:
        return ufunc.bind(parts[0], parts[0] if ufunc.__name__ == "bitwise_and" else dtype_of(x).type(0))
    result = parts.pop(0) if initial is None else initial
    if len(parts) == 0 and ufunc.__name__.startswith("logical"):
        return convert(result, np.dtype(bool))
    for part in parts:
        result = ufunc.bind(result, part)
    return result


def accumulate(ufunc: Any, array: Any, axis: Any, dtype: Any) -> Any:
    """Every partial result along an axis."""
    function = f"{ufunc.__name__}.accumulate"
    x = operand(array, function)
    if not shape_of(x):
        raise ShapeError(f"{function}: a 0-d array has no axis to accumulate along")
    axis = axis_number(axis, len(shape_of(x)), function)
    if dtype is not None:
        x = convert(x, canonical_dtype(dtype))
    if ufunc.__name__ in SCANS:
        own = SCANS[ufunc.__name__]()
        x = _floating(x) if ufunc.__name__ == "logaddexp" else x
        out = operand(own(x, axis=axis), function)
        return out if dtype is None else convert(out, canonical_dtype(dtype))
    parts = _slices(x, axis)
    if not parts:
        return x
    results = [parts[0]]
    for part in parts[1:]:
        results.append(ufunc.bind(results[-1], part))
    return stack_operands([convert(r, dtype_of(results[-1])) for r in results], axis)


def reduceat(ufunc: Any, array: Any, indices: Any, axis: Any, dtype: Any) -> Any:
    """Reductions of the slices that start at the given indices."""
    function = f"{ufunc.__name__}.reduceat"
    x = operand(array, function)
    axis = axis_number(axis, len(shape_of(x)), function)
    size = shape_of(x)[axis]
    starts = host_integers(indices, function, "indices").ravel().tolist()
    parts = []
    for k, start in enumerate(starts):
        if not 0 <= start < size:
            raise ShapeError(f"{function}: index {start} is outside an axis of size {size}")
        stop = starts[k + 1] if k + 1 < len(starts) else size
        stop = stop if stop > start else start + 1
        part = slice_axis(x, axis, start, stop)
        parts.append(operand(ufunc.reduce(part, axis, dtype, None, True), function))
    return concatenate(parts, axis) if parts else slice_axis(x, axis, 0, 0)
