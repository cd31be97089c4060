"""Calling a kernel once, or in chunks on the thread pool, depending on how much work there is.

A kernel runs over turns ``begin <= i < end`` of its outermost loop. Each chunk of turns has its own scratch memory, and its own partial results
of reductions over the outermost loop, which are combined in the order of the chunks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, POINTER, Emitter, Index, Ix
from fad.compiler.llvm.parts import Parts, make_cold
from fad.compiler.llvm.pool import GRAIN
from fad.compiler.llvm.reductions import combine
from fad.compiler.llvm.scalar_value import memory_type
from fad.compiler.size_classes import most_size
from fad.core.program import Program

__all__ = [
    "APART",
    "DISPATCH",
    "GRAIN",
    "LEAST_WORK",
    "WORDS_TYPE",
    "Argument",
    "call_kernel",
    "declared",
    "dispatch",
    "may_share_loops",
    "stored",
    "thunk",
]

DISPATCH = "fad_pool_dispatch"
"""The function of the pool that calls a kernel."""
LEAST_WORK = 3
"""The work of one element of the cheapest loops, see :data:`GRAIN`."""
APART = 2 * GRAIN >> 16
"""The work of each byte that several threads made, so that they share what reads 64 KiB: one thread would fetch the others' parts from the caches of their
cores, and they would fetch them back."""
WORDS_TYPE = ir.FunctionType(ir.VoidType(), [POINTER, I64, I64])
"""``void f(words, begin, end)``, where the words are the arguments of a kernel: what the pool calls."""


def may_share_loops(program: Program) -> bool:
    """Whether some loop of a Program may be long enough for several threads; products of matrices have BLAS's."""
    shared = [e for e in program.equations if e.primitive.kernel != "dot_general"]
    avals = {v.aval.shape: v.aval for e in shared for v in (*e.inputs, *e.outputs)}.values()
    return any(math.prod(map(most_size, a.shape)) * LEAST_WORK >= 2 * GRAIN for a in avals if a.is_sized)


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


def declared(module: ir.Module, name: str, kind: ir.FunctionType) -> ir.Function:
    """A function of the pool."""
    return module.globals[name] if name in module.globals else ir.Function(module, kind, name)


def call_kernel(
    lowering: Any, function: ir.Function, arguments: Sequence[Argument], turns: Ix, work: Ix, parallel: bool
) -> None:
    """Call ``function(*arguments, sizes, begin, end)`` for all turns; ``parallel`` says that there may be work for several threads."""
    emitter = lowering.emitter
    values = [*[a.value for a in arguments], lowering.sizes]
    if not parallel:
        emitter.builder.call(function, [*values, ir.Constant(I64, 0), emitter.raw(turns)])
        return
    module = lowering.module
    rows: list[ir.Value] = []
    for number, argument in enumerate(arguments):
        if argument.dtype is not None:
            size = emitter.multiply(argument.count, argument.dtype.itemsize)
            combining = _combining_address(lowering, argument.reduction, argument.dtype, argument.count == 1)
            rows += [ir.Constant(I64, number), emitter.raw(size), combining, emitter.raw(argument.count)]
    words = lowering.words_of(values)
    dispatch(lowering, thunk(module, function), words, len(values), turns, work, rows)


def dispatch(
    lowering: Any,
    function: ir.Function,
    words: ir.Value,
    count: int,
    turns: Ix,
    work: Ix,
    rows: Sequence[ir.Value] = (),
) -> None:
    """Have the pool call ``function(words, begin, end)`` for all turns; four of ``rows`` for each of the ``count`` words that chunks have of their own."""
    emitter = lowering.emitter
    table = stored(emitter, rows)
    kind = ir.FunctionType(ir.VoidType(), [function.type, POINTER, I64, I64, I64, POINTER, I64])
    dispatched = declared(lowering.module, DISPATCH, kind)
    arguments = [function, words, ir.Constant(I64, count), emitter.raw(turns), emitter.raw(work)]
    emitter.builder.call(dispatched, [*arguments, table, ir.Constant(I64, len(rows) // 4)])


def stored(emitter: Emitter, words: Sequence[ir.Value]) -> ir.Value:
    """The words in memory, eight bytes each."""
    place = emitter.small_array(np.dtype(np.int64), max(len(words), 1))
    for number, word in enumerate(words):
        at = emitter.builder.gep(place, [ir.Constant(I64, number)])
        emitter.builder.store(word, emitter.builder.bitcast(at, word.type.as_pointer()))
    return emitter.builder.bitcast(place, POINTER)


def thunk(module: ir.Module, function: ir.Function) -> ir.Function:
    """``void f(words, begin, end)``: call the kernel with the words as arguments."""
    name = f"{function.name}_words"
    if name in module.globals:
        return module.globals[name]
    caller = ir.Function(module, WORDS_TYPE, name)
    caller.linkage = "internal"
    make_cold(caller)
    builder = ir.IRBuilder(caller.append_basic_block())
    words = builder.bitcast(caller.args[0], I64.as_pointer())
    loaded = []
    for number, argument in enumerate(function.args[:-2]):
        at = builder.gep(words, [ir.Constant(I64, number)])
        loaded.append(builder.load(builder.bitcast(at, argument.type.as_pointer())))
    builder.call(function, [*loaded, *caller.args[1:]])
    builder.ret_void()
    return caller


def _combining_address(lowering: Any, reduction: str, dtype: np.dtype, single: bool) -> ir.Value:
    """The address of the function that combines partial results, which may be a ``single`` number each; 0 for scratch memory."""
    if not reduction:
        return ir.Constant(I64, 0)
    emitter = _combining_function(lowering.parts, reduction, dtype, single)
    return lowering.parts.finish(emitter, "combine", lowering.module).ptrtoint(I64)


def _combining_function(parts: Parts, reduction: str, dtype: np.dtype, single: bool) -> Emitter:
    kind = memory_type(dtype).as_pointer()
    function = parts.new([kind, POINTER, I64, I64, I64])
    total, partial, count, stride, chunks = function.args
    for pointer in (total, partial):
        pointer.add_attribute("noalias")
    emitter = Emitter(function, total, {})
    with ExitStack() as stack:
        chunk = stack.enter_context(emitter.loop(0, Index(chunks, 0), plain=True, short=single))
        row = emitter.builder.gep(partial, [emitter.raw(emitter.multiply(chunk, Index(stride, 0)))])
        row = emitter.builder.bitcast(row, kind)
        # For a few numbers there is nothing to gain from vectors, which take LLVM longer than a whole small kernel.
        i = emitter.raw(0 if single else stack.enter_context(emitter.loop(0, Index(count, 0))))
        k = emitter.scalar
        at = k.builder.gep(total, [i], inbounds=True)
        value = k.load(k.builder.gep(row, [i], inbounds=True), dtype)
        k.store(combine(reduction, k, k.load(at, dtype), value), at)
    emitter.finish()
    return emitter
