"""Histories: arrays whose length is known only after the loop that stacks them has run.

Each has memory of the C library's that grows to twice its size when it is full. It is kept until the function returns, so that a loop around such a
loop finds it large enough from the second turn on; whichever way the function is left, it is given back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import llvmlite.ir as ir

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I64, POINTER, Index
from fad.compiler.llvm.scalar_value import memory_type
from fad.core.avals import ShapedArray

__all__ = ["History", "new_history", "reserve", "stored_history"]

_FEWEST_ROWS = 32
_MOST_BYTES = 1 << 62
_NO_MEMORY = 1


class History(NamedTuple):
    """The variables that hold the address of an array that grows, and for how many elements along its first axis there is room."""

    aval: ShapedArray
    place: ir.Value
    room: ir.Value


def new_history(lowering: Any, aval: ShapedArray) -> History:
    """A place for an array of this type, without memory yet."""
    emitter = lowering.emitter
    return History(aval, emitter.owned_memory(), emitter.counter())


def reserve(lowering: Any, history: History, count: ir.Value) -> None:
    """Make room for so many elements along the first axis."""
    emitter = lowering.emitter
    row = emitter.multiply(emitter.product(history.aval.shape[1:]), history.aval.dtype.itemsize)
    grown = lowering.shared_function("history", lambda: _grown(lowering.module))
    builder = emitter.builder
    fits = builder.icmp_signed("<=", count, builder.load(history.room))
    with builder.if_then(builder.not_(fits), likely=False):
        emitter.leave_unless_zero(builder.call(grown, [history.place, history.room, count, emitter.raw(row)]))


def stored_history(lowering: Any, history: History) -> Memory:
    """The array as it is now: its memory moves when it grows."""
    emitter, aval = lowering.emitter, history.aval
    address = emitter.builder.load(history.place)
    pointer = emitter.builder.bitcast(address, memory_type(aval.dtype).as_pointer())
    return Memory(pointer, aval.shape, aval.dtype, emitter.depth)


def counted(lowering: Any, turns: ir.Value) -> Index:
    """The value of a variable that counts turns, as a size."""
    return Index(lowering.emitter.builder.load(turns), lowering.emitter.depth)


def _grown(module: ir.Module) -> ir.Function:
    """``int64 f(void** place, int64* room, int64 count, int64 row)``: room for ``count`` rows of so many bytes, or twice as many as before."""
    kind = ir.FunctionType(I64, [POINTER.as_pointer(), I64.as_pointer(), I64, I64])
    function = ir.Function(module, kind, "history_grown")
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("cold")
    place, room, count, row = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def larger(x: ir.Value, y: ir.Value) -> ir.Value:
        return builder.select(builder.icmp_signed(">", x, y), x, y)

    rows = larger(builder.shl(builder.load(room), ir.Constant(I64, 1)), larger(count, ir.Constant(I64, _FEWEST_ROWS)))
    product = builder.umul_with_overflow(rows, row)
    size = larger(builder.extract_value(product, 0), ir.Constant(I64, 1))
    fits = builder.icmp_unsigned("<", size, ir.Constant(I64, _MOST_BYTES))
    with builder.if_then(builder.or_(builder.extract_value(product, 1), builder.not_(fits)), likely=False):
        builder.ret(ir.Constant(I64, _NO_MEMORY))
    reallocate = ir.Function(module, ir.FunctionType(POINTER, [POINTER, I64]), "realloc")
    moved = builder.call(reallocate, [builder.load(place), size])
    with builder.if_then(builder.icmp_unsigned("==", moved, ir.Constant(POINTER, None)), likely=False):
        builder.ret(ir.Constant(I64, _NO_MEMORY))
    builder.store(moved, place)
    builder.store(rows, room)
    builder.ret(ir.Constant(I64, 0))
    return function
