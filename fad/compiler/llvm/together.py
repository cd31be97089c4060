"""Calls of kernels that wait for each other's company: those that are independent run as one job of the pool.

A network has hundreds of parameters, and their updates are as many small loops: together they are worth several threads, one by one they are
not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, POINTER, Emitter, Index, Ix
from fad.compiler.llvm.parallel import GRAIN, Argument, call_kernel, declared, stored, thunk
from fad.compiler.llvm.parts import make_cold
from fad.compiler.memory_plan import Block

__all__ = ["Call", "Tables", "Waiting", "arena_code", "buffer_code"]

_BUFFER, _ARENA, _VALUE, _SIZES = range(4)
"""How the pool finds a word, see :mod:`fad.compiler.llvm.together_text`."""
_MOST_CALLS = 512
_FEW = 2
"""So many words are as well stored one by one."""


def buffer_code(number: int) -> int:
    """What stands for the address of a buffer of the segment in a table of words."""
    return 4 * number + _BUFFER


def arena_code(number: int) -> int:
    """What stands for the address in the arena at the offset that is a size of the segment."""
    return 4 * number + _ARENA


class Call(NamedTuple):
    """One call.

    Attributes
    ----------
    function : llvmlite.ir.Function
        The kernel.
    arguments : sequence of Argument
        Its arguments.
    written : set of int
        The numbers of those that point to its results.
    turns, work : int or Index
        How many turns, and how much work in all.
    most : int
        The most work it may be, for any sizes that share the code.
    """

    function: ir.Function
    arguments: Sequence[Argument]
    written: set[int]
    turns: Ix
    work: Ix
    most: int


class Waiting:
    """Calls that are not written yet.

    Parameters
    ----------
    lowering : Lowering
        What writes the code.
    """

    def __init__(self, lowering: Any):
        self._lowering = lowering
        self._calls: list[Call] = []
        self._read: set[ir.Value] = set()
        self._written: set[ir.Value] = set()
        self._blocks: list[Block] = []

    def add(self, call: Call, blocks: Iterable[Block]) -> None:
        """Let a call wait until :meth:`write`, or write it at once if it has memory for each chunk; ``blocks`` are the temporaries it uses."""
        if any(a.dtype is not None for a in call.arguments):
            self.write()
            self._write_one(call)
            return
        read, written = {a.value for a in call.arguments}, {call.arguments[k].value for k in call.written}
        # A result may take the memory of an argument that a call before reads.
        depends = not (self._written.isdisjoint(read) and self._read.isdisjoint(written))
        if depends or len(self._calls) == _MOST_CALLS:
            self.write()
        self._calls.append(call)
        self._read |= read
        self._written |= written
        self._blocks += blocks

    def write(self) -> None:
        """Write all calls that wait."""
        calls, blocks = self._calls, self._blocks
        self._calls, self._blocks, self._read, self._written = [], [], set(), set()
        for block in blocks:
            self._lowering.memory.extend(block, self._lowering.memory.now)
        if len(calls) > 1 and sum(c.most for c in calls) >= 2 * GRAIN:
            self._write_job(calls)
        else:
            for call in calls:
                self._write_one(call)

    def _write_one(self, call: Call) -> None:
        call_kernel(self._lowering, call.function, call.arguments, call.turns, call.work, call.most >= 2 * GRAIN)

    def _write_job(self, calls: Sequence[Call]) -> None:
        """Write the calls as tables that the pool reads: as code they would be most of what LLVM has to do."""
        lowering = self._lowering
        emitter, module = lowering.emitter, lowering.module
        values, rows, codes = _Values(), [], []
        for call in calls:
            number, rest = (
                ir.Constant(I64, len(codes)),
                (values.number(emitter.raw(n)) for n in (call.turns, call.work)),
            )
            rows += [thunk(module, call.function).ptrtoint(I64), number, *[ir.Constant(I64, n) for n in rest]]
            for argument in call.arguments:
                code = lowering.origins.get(argument.value)
                codes.append(4 * values.number(argument.value) + _VALUE if code is None else code)
            codes.append(_SIZES)
        table = _table(module, f"{lowering.name}_calls", rows)
        words = _table(module, f"{lowering.name}_words", [ir.Constant(I64, c) for c in codes])
        places = stored(emitter, [lowering.buffers, lowering.sizes, lowering.arena, stored(emitter, values.found)])
        kind = ir.FunctionType(ir.VoidType(), [POINTER, I64, POINTER, I64, POINTER])
        dispatch = declared(module, "fad_pool_dispatch_many", kind)
        count, word_count = ir.Constant(I64, len(calls)), ir.Constant(I64, len(codes))
        emitter.builder.call(dispatch, [table, count, words, word_count, places])


class Tables:
    """The arguments of kernels, as tables of where a segment's function finds them. Stored one by one they would be most of a long function.

    Parameters
    ----------
    lowering : Lowering
        What writes the code.
    """

    def __init__(self, lowering: Any):
        self._lowering = lowering
        self._places: ir.Value | None = None

    def words(self, values: Sequence[ir.Value]) -> ir.Value:
        """The address of the values, eight bytes each."""
        lowering = self._lowering
        emitter, module = lowering.emitter, lowering.module
        found, codes = [], []
        for value in values:
            code = _SIZES if value is lowering.sizes else lowering.origins.get(value)
            if code is None:
                code = 4 * len(found) + _VALUE
                found.append(value)
            codes.append(code)
        if len(values) - len(found) <= _FEW:
            return stored(emitter, values)
        if self._places is None:
            self._places = self._known_places()
        if found:
            last = emitter.builder.gep(self._places, [ir.Constant(I64, _VALUE + 1)])
            emitter.builder.store(emitter.builder.ptrtoint(stored(emitter, found), I64), last)
        table = _table(module, f"{lowering.name}_words", [ir.Constant(I64, c) for c in codes])
        words = emitter.small_array(np.dtype(np.int64), len(values))
        function = lowering.shared_function("words", lambda: _decoder(module))
        emitter.builder.call(function, [words, table, ir.Constant(I64, len(codes)), self._places])
        return emitter.builder.bitcast(words, POINTER)

    def _known_places(self) -> ir.Value:
        """The buffers, the sizes, the arena, and room for values."""
        lowering, entry = self._lowering, self._lowering.emitter.entry
        places = lowering.emitter.small_array(np.dtype(np.int64), 4)
        for number, value in enumerate((lowering.buffers, lowering.sizes, lowering.arena)):
            entry.store(entry.ptrtoint(value, I64), entry.gep(places, [ir.Constant(I64, number)]))
        return places


def _decoder(module: ir.Module) -> ir.Function:
    """``void f(words, codes, count, places)``: what codes stand for."""
    address = I64.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [address, POINTER, I64, address])
    function = ir.Function(module, kind, module.get_unique_name("words"))
    function.linkage = "internal"
    make_cold(function)
    words, codes, count, places = function.args
    emitter = Emitter(function, words, {})
    codes = emitter.entry.bitcast(codes, address)
    with emitter.loop(0, Index(count, 0), plain=True) as i:
        builder, number = emitter.builder, partial(ir.Constant, I64)
        code = builder.load(builder.gep(codes, [i.value]))
        which = builder.and_(code, number(3))
        is_sizes, is_value = (builder.icmp_unsigned("==", which, number(n)) for n in (_SIZES, _VALUE))
        inside = builder.icmp_unsigned("==", which, number(_ARENA))
        place = builder.zext(builder.icmp_unsigned("!=", which, number(_BUFFER)), I64)  # offsets are among the sizes
        place = builder.select(is_value, number(_VALUE + 1), place)
        base = builder.load(builder.gep(places, [place]))
        at = builder.select(is_sizes, number(0), builder.lshr(code, number(2)))
        found = builder.load(builder.gep(builder.inttoptr(base, address), [at]))
        arena = builder.load(builder.gep(places, [number(2)]))
        found = builder.select(inside, builder.add(found, arena), found)
        builder.store(builder.select(is_sizes, base, found), builder.gep(words, [i.value]))
    emitter.finish()
    return function


class _Values:
    """Different values, by number."""

    def __init__(self) -> None:
        self.found: list[ir.Value] = []
        self._numbers: dict[Any, int] = {}

    def number(self, value: ir.Value) -> int:
        """The number of a value."""
        key = (str(value.type), value.constant) if isinstance(value, ir.Constant) else value
        if key not in self._numbers:
            self._numbers[key] = len(self.found)
            self.found.append(value)
        return self._numbers[key]


def _table(module: ir.Module, name: str, words: Sequence[ir.Value]) -> ir.Value:
    """Words that are known when the code is made."""
    kind = ir.ArrayType(I64, len(words))
    table = ir.GlobalVariable(module, kind, module.get_unique_name(name))
    table.linkage, table.global_constant = "internal", True
    table.initializer = ir.Constant(kind, list(words))
    return table.bitcast(POINTER)
