"""Calling a kernel once, or in chunks on the thread pool, depending on how much work there is.

A kernel runs over turns ``begin <= i < end`` of its outermost loop. Each chunk of turns has its own scratch memory, and its own partial results
of reductions over the outermost loop, which are combined in the order of the chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, POINTER, Emitter, Index, Ix
from fad.compiler.llvm.pool import start_pool
from fad.compiler.llvm.reductions import combine
from fad.compiler.llvm.scalar_value import memory_type

__all__ = ["GRAIN", "Argument", "call_kernel"]

GRAIN = 1_000_000
"""The work of one chunk; a unit is about 0.03 ns on one core."""
_MOST_CHUNKS = 64
_THUNK_TYPE = ir.FunctionType(ir.VoidType(), [POINTER, I64])


class Argument(NamedTuple):
    """One argument of a kernel.

    Attributes
    ----------
    value : llvmlite.ir.Value
        A pointer or a scalar.
    count : int or Index
        For memory that each chunk has of its own: the number of elements, else 0.
    dtype : numpy.dtype or None
        The dtype of such memory.
    reduction : str
        The kernel name of the reduction that combines it; empty for scratch memory.
    """

    value: ir.Value
    count: Ix = 0
    dtype: np.dtype | None = None
    reduction: str = ""

    @property
    def is_own(self) -> bool:
        """Whether each chunk has memory of its own for it."""
        return self.dtype is not None


def call_kernel(
    lowering: Any, function: ir.Function, arguments: Sequence[Argument], turns: Ix, work: Ix, parallel: bool
) -> None:
    """Call ``function(*arguments, sizes, begin, end)`` for all turns."""
    emitter = lowering.emitter
    values = [a.value for a in arguments]
    if not parallel:
        emitter.builder.call(function, [*values, lowering.sizes, ir.Constant(I64, 0), emitter.raw(turns)])
        return
    chunks = _number_of_chunks(emitter, arguments, turns, work)
    several = emitter.builder.zext(emitter.builder.icmp_signed(">", chunks.value, ir.Constant(I64, 1)), I64)
    with emitter.choice(several, 2) as enter:
        with enter(0):
            emitter.builder.call(function, [*values, lowering.sizes, ir.Constant(I64, 0), emitter.raw(turns)])
        with enter(1):
            _call_chunks(lowering, function, arguments, turns, chunks)


def _number_of_chunks(emitter: Emitter, arguments: Sequence[Argument], turns: Ix, work: Ix) -> Index:
    grain: Ix = GRAIN
    for argument in arguments:
        if argument.reduction:
            # A chunk's partial results are written, read and added once more.
            grain = emitter.add(grain, emitter.multiply(argument.count, 64))
    chunks, _ = emitter.divide(work, grain)
    # At least one: the number divides, in code that may stand before the choice between one call and several.
    chunks = emitter.larger(emitter.smaller(emitter.smaller(chunks, _MOST_CHUNKS), turns), 1)
    return chunks if isinstance(chunks, Index) else Index(ir.Constant(I64, chunks), emitter.depth)


def _call_chunks(lowering: Any, function: ir.Function, arguments: Sequence[Argument], turns: Ix, chunks: Index) -> None:
    start_pool()
    emitter, module = lowering.emitter, lowering.module
    own, total = _own_memory(emitter, arguments, chunks)
    base = _allocate(lowering, total) if own else None
    chunk_turns, _ = emitter.divide(emitter.subtract(emitter.add(turns, chunks), 1), chunks)
    words = [*[a.value for a in arguments], lowering.sizes, emitter.raw(turns), emitter.raw(chunk_turns)]
    bases = {}
    for number, (offset, stride) in own.items():
        pointer = emitter.builder.gep(base, [emitter.raw(offset)])
        bases[number] = pointer
        words[number] = pointer
        words.append(emitter.raw(stride))
    context = _context(emitter, words)
    thunk = _thunk(module, function, words, list(own))
    run = _runtime(module, "fad_pool_run", ir.FunctionType(ir.VoidType(), [thunk.type, POINTER, I64]))
    emitter.builder.call(run, [thunk, context, chunks.value])
    for number, pointer in bases.items():
        argument = arguments[number]
        if argument.reduction:
            _combine(lowering, argument, pointer, own[number][1], chunks)
    if base is not None:
        free = _runtime(module, "free", ir.FunctionType(ir.VoidType(), [POINTER]))
        emitter.builder.call(free, [base])


def _own_memory(emitter: Emitter, arguments: Sequence[Argument], chunks: Index) -> tuple[dict[int, tuple[Ix, Ix]], Ix]:
    """Offset of the first chunk's memory and distance to the next chunk's, in bytes, by argument; and the bytes of all."""
    found: dict[int, tuple[Ix, Ix]] = {}
    offset: Ix = 0
    for number, argument in enumerate(arguments):
        if argument.dtype is not None:
            lines, _ = emitter.divide(emitter.add(emitter.multiply(argument.count, argument.dtype.itemsize), 63), 64)
            stride = emitter.multiply(lines, 64)
            found[number] = (offset, stride)
            offset = emitter.add(offset, emitter.multiply(stride, chunks))
    return found, offset


def _allocate(lowering: Any, total: Ix) -> ir.Value:
    allocate = _runtime(lowering.module, "malloc", ir.FunctionType(POINTER, [I64]))
    return lowering.emitter.builder.call(allocate, [lowering.emitter.raw(total)])


def _runtime(module: ir.Module, name: str, kind: ir.FunctionType) -> ir.Function:
    return module.globals[name] if name in module.globals else ir.Function(module, kind, name)


def _context(emitter: Emitter, words: Sequence[ir.Value]) -> ir.Value:
    """The words in memory, eight bytes each."""
    place = emitter.small_array(np.dtype(np.int64), len(words))
    for number, word in enumerate(words):
        at = emitter.builder.gep(place, [ir.Constant(I64, number)])
        emitter.builder.store(word, emitter.builder.bitcast(at, word.type.as_pointer()))
    return emitter.builder.bitcast(place, POINTER)


def _thunk(module: ir.Module, function: ir.Function, words: Sequence[ir.Value], own: Sequence[int]) -> ir.Function:
    """``void f(context, chunk)``: call the kernel for one chunk."""
    thunk = ir.Function(module, _THUNK_TYPE, f"{function.name}_chunk")
    thunk.linkage = "internal"
    builder = ir.IRBuilder(thunk.append_basic_block())
    context = builder.bitcast(thunk.args[0], I64.as_pointer())
    chunk = thunk.args[1]
    loaded = []
    for number, word in enumerate(words):
        at = builder.gep(context, [ir.Constant(I64, number)])
        loaded.append(builder.load(builder.bitcast(at, word.type.as_pointer())))
    count = len(function.args) - 2
    turns, chunk_turns = loaded[count], loaded[count + 1]
    for position, number in enumerate(own):
        distance = builder.mul(chunk, loaded[count + 2 + position])
        moved = builder.gep(builder.bitcast(loaded[number], POINTER), [distance])
        loaded[number] = builder.bitcast(moved, function.args[number].type)
    begin = builder.mul(chunk, chunk_turns)
    begin = builder.select(builder.icmp_signed("<", begin, turns), begin, turns)
    end = builder.add(begin, chunk_turns)
    end = builder.select(builder.icmp_signed("<", end, turns), end, turns)
    builder.call(function, [*loaded[:count], begin, end])
    builder.ret_void()
    return thunk


def _combine(lowering: Any, argument: Argument, partial: ir.Value, stride: Ix, chunks: Index) -> None:
    """Put the partial results together, in the order of the chunks."""
    emitter, dtype = lowering.emitter, argument.dtype
    assert dtype is not None
    kind = memory_type(dtype).as_pointer()
    function = _combining_function(lowering.module, argument.reduction, dtype, kind)
    builder = emitter.builder
    lowering.copy_bytes(partial, argument.value, emitter.raw(emitter.multiply(argument.count, dtype.itemsize)))
    first = builder.gep(partial, [emitter.raw(stride)])
    rest = emitter.subtract(chunks, 1)
    builder.call(function, [argument.value, first, emitter.raw(argument.count), emitter.raw(stride), emitter.raw(rest)])


def _combining_function(module: ir.Module, reduction: str, dtype: np.dtype, kind: ir.Type) -> ir.Function:
    name = f"combine_{reduction}_{dtype.name}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [kind, POINTER, I64, I64, I64]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    total, partial, count, stride, chunks = function.args
    for pointer in (total, partial):
        pointer.add_attribute("noalias")
    emitter = Emitter(function, total, {})
    with ExitStack() as stack:
        chunk = stack.enter_context(emitter.loop(0, Index(chunks, 0), plain=True))
        row = emitter.builder.gep(partial, [emitter.raw(emitter.multiply(chunk, Index(stride, 0)))])
        row = emitter.builder.bitcast(row, kind)
        i = stack.enter_context(emitter.loop(0, Index(count, 0)))
        k = emitter.scalar
        at = k.builder.gep(total, [i.value], inbounds=True)
        value = k.load(k.builder.gep(row, [i.value], inbounds=True), dtype)
        k.store(combine(reduction, k, k.load(at, dtype), value), at)
    emitter.finish()
    return function
