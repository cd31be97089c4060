"""From what users pass to what the traces take, and back: leaves, argument numbers, results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, buffer_from, wrap
from fad.core.avals import PYTHON_SCALARS, aval_of, dtype_of, is_complex, is_inexact
from fad.core.errors import ArgumentError, DTypeError, FadError, TreeError
from fad.core.pytrees import flatten, flatten_with_paths, path_text, structure_text, unflatten
from fad.core.trace import Tracer
from fad.primitives.object_arrays import Element, holds_values, stacked
from fad.transforms.numba_bodies import is_numba_object, traced_body

__all__ = [
    "as_function",
    "as_operand",
    "check_differentiable",
    "function_name",
    "leaf_operands",
    "normalize_argnums",
    "result_operands",
    "select_arguments",
    "wrap_tree",
]


_SMALLEST, _LARGEST = -(1 << 63), (1 << 63) - 1


def as_operand(value: Any) -> Any:
    """The buffer or tracer of an array-like leaf."""
    kind = type(value)
    if kind is Array:
        return value._buffer
    if isinstance(value, Tracer) or kind in PYTHON_SCALARS:
        if kind is int and not _SMALLEST <= value <= _LARGEST:
            raise DTypeError(
                f"Python integers become int64, which does not hold {value}. Pass np.uint64(value) up to 2**64 - 1, or float(value)."
            )
        return value
    if kind is Element:
        return value.operand
    if kind is np.ndarray and value.dtype == object and holds_values(value):
        return stacked(value)
    return buffer_from(value)


def function_name(fun: Any) -> str:
    """A function's name, for messages."""
    return getattr(fun, "__name__", None) or type(fun).__name__


def as_function(transform: str, fun: Any) -> Callable[..., Any]:
    """What a transform traces for ``fun``: itself, or the Python body of a function that numba compiled.

    Raises
    ------
    ArgumentError
        If it cannot be called, or is an object of numba without such a body.
    """
    if not callable(fun):
        raise ArgumentError(
            f"{transform} takes a function and gives a function, but its first argument is {type(fun).__name__}: {fun!r:.80}. "
            f"Write {transform}(f)(x), not {transform}(f(x))."
        )
    return traced_body(transform, fun) if is_numba_object(fun) else fun


def leaf_operands(transform: str, fun: Any, leaves: Sequence[Any], describe: Callable[[int], str]) -> list[Any]:
    """Buffers or tracers of argument leaves; ``describe(k)`` names the k-th leaf in messages."""
    operands = []
    for k, leaf in enumerate(leaves):
        try:
            operands.append(as_operand(leaf))
        except FadError as error:
            hint = ""
            if hasattr(leaf, "__dataclass_fields__"):
                hint = (
                    f" Decorate the class {type(leaf).__name__} with fad.tree.register_dataclass to make it a pytree."
                )
            elif transform == "jit" and not isinstance(leaf, np.ndarray | np.generic):
                hint = " If it is a plain Python value, make it static: jit(f, static_argnums=...)."
                if type(leaf).__module__ != "builtins":
                    hint += f" If a {type(leaf).__name__} holds arrays, as self of a method may, register its class with fad.tree.register_node."
            raise DTypeError(
                f"{transform}({function_name(fun)}): {describe(k)} is a {type(leaf).__name__}, which is not an array: {error}{hint}"
            ) from None
    return operands


def argument_paths(tree: Any, prefix: str = "argument") -> Callable[[int], str]:
    """Names of the leaves of a tuple of arguments, made only when a message needs them."""

    def describe(k: int) -> str:
        paths, _, _ = flatten_with_paths(tree)
        path = paths[k]
        return f"{prefix} {path[0]}{path_text(path[1:])}" if path else prefix

    return describe


def check_differentiable(
    transform: str, fun: Any, operands: Sequence[Any], describe: Callable[[int], str], holomorphic: bool
) -> None:
    """Raise unless every operand is floating point (complex for ``holomorphic``)."""
    for k, operand in enumerate(operands):
        dtype = dtype_of(operand)
        if not is_inexact(dtype):
            raise DTypeError(
                f"{transform}({function_name(fun)}): {describe(k)} is {aval_of(operand)}; derivatives need real or complex floating inputs. "
                "Convert it with .astype(float), or leave it out of argnums."
            )
        if holomorphic and not is_complex(dtype):
            raise DTypeError(
                f"{transform}({function_name(fun)}, holomorphic=True): {describe(k)} is {aval_of(operand)}; it must be complex. "
                "Leave holomorphic=True out for real inputs."
            )


def normalize_argnums(transform: str, fun: Any, argnums: Any, count: int) -> tuple[tuple[int, ...], bool]:
    """Argument numbers as non-negative ints, and whether a single int was given."""
    if type(argnums) is int and 0 <= argnums < count:
        return (argnums,), True
    single = isinstance(argnums, int | np.integer) and not isinstance(argnums, bool)
    given = (argnums,) if single else argnums
    if (
        not isinstance(given, tuple | list)
        or not given
        or not all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in given)
    ):
        raise ArgumentError(
            f"{transform}({function_name(fun)}): argnums must be an int or a non-empty tuple of ints, got {argnums!r}"
        )
    numbers = tuple(int(i) + count if i < 0 else int(i) for i in given)
    for i, number in zip(given, numbers, strict=True):
        if not 0 <= number < count:
            raise ArgumentError(
                f"{transform}({function_name(fun)}): argnums={argnums!r} asks for argument {i}, but the call has {count} positional "
                f"argument{'s' if count != 1 else ''}. Keyword arguments are never differentiated; pass it by position."
            )
    if len(set(numbers)) != len(numbers):
        raise ArgumentError(f"{transform}({function_name(fun)}): argnums={argnums!r} names an argument twice")
    return numbers, single


def select_arguments(args: Sequence[Any], numbers: Sequence[int]) -> tuple[Any, ...]:
    """The arguments with the given numbers."""
    return tuple([args[i] for i in numbers])


def replace_arguments(args: Sequence[Any], numbers: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """The arguments with some replaced."""
    replaced = list(args)
    for i, value in zip(numbers, values, strict=True):
        replaced[i] = value
    return replaced


def result_operands(transform: str, fun: Any, out: Any) -> tuple[list[Any], Any]:
    """Buffers or tracers of a result's leaves, and its structure."""
    leaves, treedef = flatten(out)
    operands = []
    for k, leaf in enumerate(leaves):
        try:
            operands.append(as_operand(leaf))
        except FadError as error:
            path = path_text(flatten_with_paths(out)[0][k])
            raise DTypeError(
                f"{transform}: the result{path} of {function_name(fun)} is a {type(leaf).__name__}, which is not an array: {error}"
            ) from None
    return operands, treedef


def wrap_tree(treedef: Any, operands: Sequence[Any]) -> Any:
    """A tree of ``Array`` (or tracers) from buffers (or tracers)."""
    return unflatten(treedef, [wrap(o) for o in operands])


def split_aux(transform: str, fun: Any, out: Any) -> tuple[Any, Any]:
    """A result ``(value, aux)`` of a function called with ``has_aux``."""
    if not isinstance(out, tuple) or len(out) != 2:
        raise TreeError(
            f"{transform}({function_name(fun)}, has_aux=True): the function must return a pair (value, aux), got "
            + (f"{aval_of(out)}" if isinstance(out, Array) else type(out).__name__)
            + (f" of length {len(out)}" if isinstance(out, tuple) else "")
        )
    return out


def check_same_structure(transform: str, what: str, seen: Any, wanted: Any) -> None:
    """Raise unless the structure of tangents or cotangents is that of what they belong to."""
    if seen != wanted:
        whole, leaf = ("result has", "leaf of the result") if what == "cotangent" else ("primals have", "primal leaf")
        raise TreeError(
            f"{transform}: the {what}s have structure {structure_text(seen)}, but the {whole} {structure_text(wanted)}; give one {what} for each {leaf}"
        )
