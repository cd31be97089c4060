"""From array-likes to operands (buffers and tracers), at the surface of every function."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, buffer_from, host_buffer, wrap
from fad.core.avals import PYTHON_SCALARS, dtype_of, is_bfloat16, is_inexact, result_dtype, shape_of, weak_operand
from fad.core.errors import ArgumentError, ConcretizationError, DTypeError, FadError, ImmutableArrayError, ShapeError
from fad.core.trace import CURRENT, EVAL, Tracer, concrete_value
from fad.primitives.object_arrays import Element, holds_values, stacked
from fad.primitives.placing import together
from fad.primitives.slicing import concatenate
from fad.primitives.structural import convert, reshape
from fad.transforms.reverse import watch
from fad.transforms.scratch_arrays import ScratchArray

__all__ = [
    "apply",
    "axis_number",
    "axis_numbers",
    "axis_or_flat",
    "check_device",
    "constant",
    "float_operand",
    "host_integers",
    "known_value",
    "operand",
    "operands",
    "promoted",
    "refuse_out",
    "shape_tuple",
    "stack_operands",
    "wrap",
    "zero_like",
]


_COPIED_BYTES = 1 << 16


def operand(value: Any, function: str = "fad.numpy") -> Any:
    """The buffer or tracer of an array-like; nested sequences may hold tracers."""
    kind = type(value)
    if kind is Array:
        return value._buffer
    if kind is np.ndarray and value.dtype.kind in "fiubc" and value.dtype.isnative:
        return value if CURRENT.get() is EVAL else constant(value)
    if isinstance(value, Tracer) or kind in PYTHON_SCALARS:
        return value
    if isinstance(value, list | tuple):
        return _sequence(value, function)
    if kind is Element:
        return value.operand
    if isinstance(value, ScratchArray):
        return operand(value.snapshot(), function)
    if value is None:
        raise DTypeError(f"{function}: got None where an array is needed; does a function lack its return statement?")
    try:
        if kind is np.ndarray and value.dtype == object and holds_values(value):
            return stacked(value)
        return buffer_from(value)
    except FadError as error:
        raise type(error)(f"{function}: {error}") from None


def constant(value: np.ndarray) -> np.ndarray:
    """A NumPy array that somebody else may write, as a transform should keep it.

    Functions fill scratch arrays again and again; what the backward pass reads must be what was there when it was used. Large arrays are
    not copied but watched: a function that writes into those after use has to copy them itself, and is told so.
    """
    if value.flags.writeable:
        if value.nbytes > _COPIED_BYTES:
            watch(value)
            return value
        value = value.copy()
        value.flags.writeable = False
    return value


def _sequence(value: Sequence[Any], function: str) -> Any:
    """An operand from a nested sequence."""
    if not _has_arrays(value):
        return buffer_from(value)
    parts = [operand(v, function) for v in value]
    shapes = {shape_of(p) for p in parts}
    if len(shapes) > 1:
        raise ShapeError(
            f"{function}: a nested sequence of arrays must not be ragged, but its items have shapes {', '.join(map(str, sorted(shapes)))}"
        )
    return stack_operands(parts, 0)


def _has_arrays(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_has_arrays(v) for v in value)
    return isinstance(value, Array | Element) or (type(value) is np.ndarray and value.dtype == object)


def stack_operands(parts: Sequence[Any], axis: int) -> Any:
    """Operands of one shape along a new non-negative axis; Python scalars count as arrays, as in NumPy."""
    dtype = result_dtype(*[dtype_of(p) for p in parts])
    shape = shape_of(parts[0])
    expanded = (*shape[:axis], 1, *shape[axis:])
    return concatenate([reshape(convert(p, dtype), expanded) for p in parts], axis)


def operands(function: str, *values: Any) -> list[Any]:
    """Several operands; a Python float beside bfloat16 becomes bfloat16 (NEP 50, which NumPy does not apply to it)."""
    found = together([operand(v, function) for v in values])
    if float in map(type, found):
        strong = [dtype_of(f) for f in found if type(f) not in PYTHON_SCALARS]
        if strong and all(map(is_bfloat16, strong)):
            return [strong[0].type(f) if type(f) is float else f for f in found]
    return found


def promoted(function: str, *values: Any) -> list[Any]:
    """Several operands converted to their common dtype."""
    found = operands(function, *values)
    dtype = result_dtype(*[weak_operand(f) for f in found])
    return [convert(f, dtype) for f in found]


def float_operand(value: Any, function: str) -> Any:
    """An operand in floating point: integers and booleans become float64."""
    found = operand(value, function)
    return found if is_inexact(dtype_of(found)) else convert(found, np.dtype(np.float64))


def apply(function: str, bind: Callable[..., Any], *values: Any, **params: Any) -> Any:
    """Bind a primitive to array-likes and wrap the result."""
    return wrap(bind(*operands(function, *values), **params))


def axis_number(axis: Any, ndim: int, function: str) -> int:
    """One axis as a non-negative int."""
    try:
        number = int(axis.__index__())
    except (AttributeError, TypeError):
        raise ArgumentError(f"{function}: axis must be an int, got {axis!r}") from None
    if not -ndim <= number < ndim:
        raise ShapeError(f"{function}: axis {number} is out of bounds for an array with {ndim} axes")
    return number % ndim


def axis_numbers(axis: Any, ndim: int, function: str) -> tuple[int, ...]:
    """Axes as a tuple of distinct non-negative ints; ``None`` is all of them."""
    if axis is None:
        return tuple(range(ndim))
    if type(axis) is int and 0 <= axis < ndim:
        return (axis,)
    numbers = tuple(axis_number(a, ndim, function) for a in (axis if isinstance(axis, tuple | list) else (axis,)))
    if len(set(numbers)) != len(numbers):
        raise ShapeError(f"{function}: axis {axis!r} names an axis twice")
    return numbers


def shape_tuple(shape: Any, function: str) -> tuple[int, ...]:
    """A shape as a tuple of non-negative ints."""
    try:
        sizes = tuple(
            int(n.__index__()) for n in (shape if isinstance(shape, tuple | list) or np.ndim(shape) else (shape,))
        )
    except (AttributeError, TypeError):
        raise ArgumentError(
            f"{function}: a shape must be an int or a tuple of ints known when the function runs, got {shape!r}. "
            "Under jit, make it a static argument (static_argnums)."
        ) from None
    if any(n < 0 for n in sizes):
        raise ShapeError(f"{function}: negative sizes in shape {sizes}")
    return sizes


def host_integers(value: Any, function: str, argument: str) -> np.ndarray:
    """Concrete integers that decide a shape; raises for values that are not known while the function runs."""
    found = operand(value, function)
    if isinstance(found, Tracer):
        concrete = concrete_value(found)
        if concrete is None:
            raise ConcretizationError(
                f"{function}: {argument} decides the shape of the result, so it must be known when the function runs, but it is "
                f"{found!r}. It comes from: {found.origin()}. Pass a NumPy array or Python ints, or make it a static argument."
            )
        found = concrete
    host = host_buffer(found)
    if host.dtype.kind not in "iub" and host.size:
        raise DTypeError(f"{function}: {argument} must be integers, got dtype {host.dtype}")
    return host.astype(np.intp) if host.dtype.kind != "b" else host


def axis_or_flat(value: Any, axis: Any, function: str) -> tuple[Any, int]:
    """The operand and a non-negative axis; with ``axis=None`` the operand in one dimension and axis 0."""
    found = operand(value, function)
    if axis is None:
        return reshape(found, (math.prod(shape_of(found)),)), 0
    return found, axis_number(axis, len(shape_of(found)), function)


def check_device(function: str, device: Any) -> None:
    """Raise unless the device is the host."""
    if device not in (None, "cpu"):
        raise ArgumentError(
            f"{function}: device must be 'cpu' or None, got {device!r}; use fad.device_put to move an array"
        )


def refuse_out(function: str, out: Any) -> None:
    """Raise where ``out`` is given: nothing can be written into."""
    if out is not None and any(o is not None for o in (out if isinstance(out, tuple) else (out,))):
        raise ImmutableArrayError(
            f"{function}: out= (also the in-place operators of a NumPy array, as in a += x) would write a fad value into an existing "
            "array, which loses its derivative. Use the returned array: a = a + x; with where=, use numpy.where(mask, result, other)."
        )


def zero_like(x: Any) -> Any:
    """The scalar zero of an operand's dtype."""
    return dtype_of(x).type(0)


def known_value(x: Any, function: str, argument: str) -> np.ndarray:
    """The values of an operand, for decisions that Python takes; raises where they are not known."""
    concrete = concrete_value(x)
    if concrete is None:
        raise ConcretizationError(
            f"{function}: the shape or dtype of the result depends on the values of {argument}, which are not known here: {x!r}. "
            f"It comes from: {x.origin()}. Compute it outside jit and vmap, or write the choice with fad.numpy.where."
        )
    return concrete
