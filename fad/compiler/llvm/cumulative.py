"""Running sums, products and extremes along an axis, the linear recurrence, and the position of an extreme."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from fad.compiler.llvm.emission import Index, Ix
from fad.compiler.llvm.outlined import Outlined
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.scalar_value import Value, llvm_type
from fad.core.program import Equation

__all__ = ["write_argument", "write_cumulative", "write_recurrence"]

Step = Callable[[Ixs, Value], Value]


def _run(kernel: Outlined, equation: Equation, start: Callable[[Ixs], Value], step: Step) -> None:
    """Fill the result along the axis: the first element from ``start``, every other one from the one before."""
    out = equation.outputs[0].aval
    axis, reverse = equation.params["axis"], equation.params["reverse"]
    if 0 in out.shape:
        return
    emitter = kernel.emitter
    size = emitter.size(out.shape[axis])

    def place(before: Ixs, turn: Ix, after: Ixs) -> Ixs:
        position = emitter.subtract(emitter.subtract(size, 1), turn) if reverse else turn
        return (*before, position, *after)

    with kernel.loops(out.shape[:axis]) as before:
        with kernel.loops(out.shape[axis + 1 :]) as after:
            index = place(before, 0, after)
            kernel.store(start(index), index)
        with emitter.loop(1, size) as turn, kernel.loops(out.shape[axis + 1 :]) as after:
            index = place(before, turn, after)
            previous = kernel.load(place(before, emitter.subtract(turn, 1), after))
            kernel.store(step(index, previous), index)


def write_cumulative(kernel: Outlined, equation: Equation) -> None:
    """Write cumsum, cumprod, cummax, cummin or cumlogsumexp."""
    (x,), (out,) = equation.inputs, equation.outputs
    name = {"cumsum": "add", "cumprod": "multiply", "cummax": "maximum", "cummin": "minimum"}.get(
        equation.primitive.kernel, "logaddexp"
    )

    def element(index: Ixs) -> Value:
        return kernel.value(x, index, out.aval.dtype)

    def step(index: Ixs, previous: Value) -> Value:
        return getattr(kernel.emitter.scalar, name)(previous, element(index))

    _run(kernel, equation, element, step)


def write_recurrence(kernel: Outlined, equation: Equation) -> None:
    """Write ``out[j] = a[j] * out[j - 1] + b[j]``, ``out[0] = b[0]``."""
    (a, b), (out,) = equation.inputs, equation.outputs
    dtype = out.aval.dtype

    def step(index: Ixs, previous: Value) -> Value:
        k = kernel.emitter.scalar
        return k.add(k.multiply(kernel.value(a, index, dtype), previous), kernel.value(b, index, dtype))

    _run(kernel, equation, lambda index: kernel.value(b, index, dtype), step)


def write_argument(kernel: Outlined, equation: Equation) -> None:
    """Write argmax or argmin: the first position of the extreme; the first NaN if there is one."""
    (x,), (out,) = equation.inputs, equation.outputs
    axis, shape = equation.params["axis"], x.aval.shape
    if out.aval.size == 0:
        return
    emitter = kernel.emitter
    best = emitter.variable(llvm_type(x.aval.dtype))
    position = emitter.variable(llvm_type(np.dtype(np.int64)))
    compare = "greater" if equation.primitive.kernel == "argmax" else "less"
    with ExitStack() as stack:
        index = stack.enter_context(kernel.loops(out.aval.shape))
        builder = emitter.builder
        builder.store(kernel.value(x, (*index[:axis], 0, *index[axis:])).ir, best)
        builder.store(emitter.scalar.constant(0, np.int64).ir, position)
        with emitter.loop(1, emitter.size(shape[axis])) as turn:
            k = emitter.scalar
            value = kernel.value(x, (*index[:axis], turn, *index[axis:]))
            held = Value(k.builder.load(best), x.aval.dtype)
            wins = k.logical_or(getattr(k, compare)(value, held), k.isnan(value))
            wins = k.logical_and(wins, k.logical_not(k.isnan(held)))
            k.builder.store(k.select(wins, value, held).ir, best)
            at = Value(k.builder.load(position), np.dtype(np.int64))
            k.builder.store(k.select(wins, _number(turn), at).ir, position)
        found = Value(emitter.builder.load(position), np.dtype(np.int64))
        kernel.store(emitter.scalar.astype(found, out.aval.dtype), index)


def _number(turn: Any) -> Value:
    assert isinstance(turn, Index)
    return Value(turn.value, np.dtype(np.int64))
