"""Sums of many rows, in blocks of rows: so the rounding error grows with the rows of a block and with the number of blocks, not with all rows.

The running values of such a sum are as many as a row has elements, and stand in memory. Each block adds its rows up from zero, in a small array on
the stack, which is added to the result at the end of the block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import llvmlite.ir as ir

from fad.compiler.llvm.elements import Elements, Memory
from fad.compiler.llvm.emission import I64, POINTER, Index, Ix
from fad.compiler.llvm.math_library import host_target
from fad.compiler.size_classes import OWN_CODE, least_size, most_size
from fad.core.program import Var

__all__ = ["MOST_SUMS", "RegisterRow", "RowSum", "open_blocks", "row_width", "takes_blocks", "takes_registers"]

MOST_SUMS = 4
"""Loops that add to more results have no blocks: their code would be long, and the stack of a thread has little room."""
_ROWS = 128
"""So many elements are added up before the sum is added to the result."""
_MOST_BYTES = 16384
"""Longer rows are added to the result itself."""
_MANY = 2048
"""Sums of fewer elements are not worth the code. A loop of so many turns has the blocks, whatever loops are around it."""

_LINE = 64
"""The bytes of a line of the cache."""
_SOME = 16
"""Fewer rows are not worth sums of their own."""


class RowSum(NamedTuple):
    """A sum whose running values are in memory.

    Attributes
    ----------
    var : Var
        The result.
    at : tuple of Index
        Where its row begins: the index, with zeros for the axes of loops that are not begun yet.
    shape : tuple of int
        What one turn of the loop adds to: the last sizes of the result.
    inner : tuple of int
        The sizes of loops inside this one that add to the same element.
    """

    var: Var
    at: tuple[Ix, ...]
    shape: tuple[int, ...]
    inner: tuple[int, ...]


def takes_blocks(turns: Sequence[int], inner: Sequence[int]) -> bool:
    """Whether a loop of so many turns (a product of sizes) has the blocks of a sum, and not one inside it; never for few elements."""
    inside = math.prod(map(least_size, inner))
    return inside < _MANY <= inside * math.prod(map(least_size, turns))


def takes_registers(rows: Sequence[int], outermost: int) -> bool:
    """Whether loops over some axes, of which the first few are those of the outermost, add rows up in registers: there are some, and not too many in the others for a block."""
    inside = math.prod(map(least_size, rows[outermost:]))
    return inside < _MANY and inside * math.prod(map(least_size, rows[:outermost])) >= _SOME


def row_width(n: int, itemsize: int, sums: int) -> int:
    """How many elements a short row has of whose sums registers hold all, if there are so many; 0 for other rows."""
    width, target = n if n in (8, 16, OWN_CODE) else 0, host_target()
    fits = width * itemsize <= 2 * _LINE and 2 * sums * width * itemsize * 8 <= target.registers * target.tile_bits
    return width if fits else 0


def open_blocks(
    stack: ExitStack, elements: Elements, sums: Sequence[RowSum], start: Ix, stop: Ix, width: int = 0
) -> tuple[tuple[Ix, Ix], RegisterRow | None]:
    """Begin a loop over blocks of the turns ``start <= i < stop``, at the end of which sums are added to what they were before.

    Gives the turns of a block, and what holds the sums meanwhile where rows have just ``width`` elements.
    """
    emitter = elements.emitter
    inner = emitter.larger(
        1, emitter.product(max((s.inner for s in sums), key=lambda n: math.prod(map(least_size, n))))
    )
    rows = emitter.larger(1, emitter.divide(_ROWS, inner)[0])
    turns = emitter.subtract(stop, start)
    blocks, _ = emitter.divide(emitter.add(turns, emitter.subtract(rows, 1)), rows)
    held: list[RegisterRow] | list[_Partials] = [RegisterRow(elements, sums, width)] if width else []
    if not width:
        is_many = emitter.builder.icmp_signed(">", emitter.raw(blocks), ir.Constant(I64, 1))
        alike: dict[Any, list[RowSum]] = {}
        for row in sums:
            alike.setdefault((row.shape, elements.storage[row.var].dtype), []).append(row)
        held = [_Partials(elements, rows_alike, is_many) for rows_alike in alike.values()]
    block = stack.enter_context(emitter.loop(0, blocks, plain=True))
    for partials in held:
        partials.begin()
        stack.callback(partials.end)
    first = emitter.add(start, emitter.multiply(block, rows))
    bounds = first, emitter.smaller(emitter.add(first, rows), stop)
    return bounds, held[0] if isinstance(held[0], RegisterRow) else None


class RegisterRow:
    """A short row of each of some sums, in registers while the rows of a block follow each other.

    In memory, each row would wait until the sums of the row before are written, which takes longer than everything else about a short row.
    """

    def __init__(self, elements: Elements, sums: Sequence[RowSum], width: int):
        self._elements, self._rows = elements, sums
        self._piece = min(width, _LINE // max(row.var.aval.dtype.itemsize for row in sums))
        self._starts = range(0, width, self._piece)
        self._now: tuple[int, Index] | None = None
        # LLVM makes registers of what is read and written as one vector only.
        self._places = {
            (row.var, start): elements.emitter.small_array(row.var.aval.dtype, self._piece)
            for row in sums
            for start in self._starts
        }

    def begin(self) -> None:
        """Start from zero."""

        def clear(index: Ix) -> None:
            k = self._elements.emitter.scalar
            for row in self._rows:
                k.store(k.constant(0, row.var.aval.dtype), self.pointer(row.var))

        self.write(clear)

    def write(self, body: Callable[[Ix], None]) -> None:
        """Write what is done with each element of a row, a line of the cache at once."""
        emitter = self._elements.emitter
        for start in self._starts:
            with emitter.loop(0, self._piece, whole=True) as lane:
                self._now = start, lane
                body(emitter.add(lane, start))
        self._now = None

    def pointer(self, var: Var) -> ir.Value:
        """Where a sum's element is for which code is written now."""
        assert self._now is not None
        start, lane = self._now
        return self._elements.emitter.builder.gep(self._places[var, start], [lane.value], inbounds=True)

    def end(self) -> None:
        """Add to what was there before."""
        elements = self._elements

        def add(index: Ix) -> None:
            k = elements.emitter.scalar
            for row in self._rows:
                whole, ends = elements.storage[row.var], len(row.at) - len(row.shape)
                at = (*row.at[:ends], *[0 if n == 1 else index for n in row.shape])
                place = elements.pointer(whole, at)  # type: ignore[arg-type]
                # No reassociation here: it would undo the blocks.
                k.store(k.add(k.load(place, whole.dtype), k.load(self.pointer(row.var), whole.dtype)), place)

        self.write(add)


class _Partials:
    """The sums of one block that have one shape and dtype, in memory of their own if that is worth it."""

    def __init__(self, elements: Elements, rows: Sequence[RowSum], is_many: ir.Value):
        self._elements, self._rows = elements, rows
        emitter, builder, shape = elements.emitter, elements.emitter.builder, rows[0].shape
        self._wholes: list[Memory] = [elements.storage[row.var] for row in rows]  # type: ignore[misc]
        self._dtype = self._wholes[0].dtype
        self._totals = [elements.pointer(p, row.at) for p, row in zip(self._wholes, rows, strict=True)]
        self._count, limit = emitter.raw(emitter.product(shape)), _MOST_BYTES // self._dtype.itemsize
        most = math.prod(map(most_size, shape))
        self._partials = [emitter.small_array(self._dtype, min(most, limit)) for _ in rows]
        if most > limit:
            fits = builder.icmp_signed("<=", self._count, ir.Constant(I64, limit))
            is_apart = builder.and_(is_many, fits)
            pairs = zip(self._partials, self._totals, strict=True)
            self._partials = [builder.select(is_apart, own, total) for own, total in pairs]
            self._count = builder.select(is_apart, self._count, ir.Constant(I64, 0))

    def begin(self) -> None:
        """Start from zero."""
        emitter = self._elements.emitter
        builder, fill = emitter.builder, emitter.function.module.declare_intrinsic("llvm.memset", [POINTER, I64])
        size = builder.mul(self._count, ir.Constant(I64, self._dtype.itemsize))
        for row, whole, partial in zip(self._rows, self._wholes, self._partials, strict=True):
            pointer = builder.bitcast(partial, POINTER)
            builder.call(fill, [pointer, ir.Constant(ir.IntType(8), 0), size, ir.Constant(ir.IntType(1), 0)])
            skip = whole.skip + len(whole.shape) - len(row.shape)
            self._elements.storage[row.var] = Memory(partial, row.shape, self._dtype, whole.floor, skip)

    def end(self) -> None:
        """Add to what was there before."""
        elements, emitter = self._elements, self._elements.emitter
        with emitter.loop(0, Index(self._count, 0), short=True) as i:
            k = emitter.scalar
            for row, whole, total, partial in zip(self._rows, self._wholes, self._totals, self._partials, strict=True):
                elements.storage[row.var] = whole
                here, there = [k.builder.gep(p, [emitter.raw(i)], inbounds=True) for p in (total, partial)]
                # No reassociation here: it would undo the blocks.
                k.store(k.add(k.load(here, self._dtype), k.load(there, self._dtype)), here)
