"""Sums of many rows, in blocks of rows: so the rounding error grows with the rows of a block and with the number of blocks, not with all rows.

The running values of such a sum are as many as a row has elements, and stand in memory. Each block adds its rows up from zero, in a small array on
the stack, which is added to the result at the end of the block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import llvmlite.ir as ir

from fad.compiler.llvm.elements import Elements, Memory
from fad.compiler.llvm.emission import I64, POINTER, Index, Ix
from fad.compiler.size_classes import least_size, most_size
from fad.core.program import Var

__all__ = ["RowSum", "open_blocks", "takes_blocks"]

_ROWS = 128
"""So many elements are added up before the sum is added to the result."""
_MOST_BYTES = 16384
"""Longer rows are added to the result itself: several arrays of this size have room on the stack of a thread."""
_MANY = 2048
"""Sums of fewer elements are not worth the code. A loop of so many turns has the blocks, whatever loops are around it."""


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


def open_blocks(stack: ExitStack, elements: Elements, sums: Sequence[RowSum], start: Ix, stop: Ix) -> tuple[Ix, Ix]:
    """Begin a loop over blocks of the turns ``start <= i < stop``, at the end of which sums are added to what they were before; gives the turns of a block."""
    emitter = elements.emitter
    inner = emitter.larger(
        1, emitter.product(max((s.inner for s in sums), key=lambda n: math.prod(map(least_size, n))))
    )
    rows = emitter.larger(1, emitter.divide(_ROWS, inner)[0])
    turns = emitter.subtract(stop, start)
    blocks, _ = emitter.divide(emitter.add(turns, emitter.subtract(rows, 1)), rows)
    is_many = emitter.builder.icmp_signed(">", emitter.raw(blocks), ir.Constant(I64, 1))
    opened = [_Partial(elements, s, is_many) for s in sums]
    block = stack.enter_context(emitter.loop(0, blocks, plain=True))
    for partial in opened:
        partial.begin()
        stack.callback(partial.end)
    first = emitter.add(start, emitter.multiply(block, rows))
    return first, emitter.smaller(emitter.add(first, rows), stop)


class _Partial:
    """The sum of one block, in memory of its own if that is worth it."""

    def __init__(self, elements: Elements, row: RowSum, is_many: ir.Value):
        self._elements, self._row = elements, row
        emitter, builder, place = elements.emitter, elements.emitter.builder, elements.storage[row.var]
        assert isinstance(place, Memory)
        self._whole, self._dtype = place, place.dtype
        size = emitter.product(row.shape)
        most = min(_MOST_BYTES // place.dtype.itemsize, math.prod(map(most_size, row.shape)))
        fits = builder.icmp_signed("<=", emitter.raw(size), ir.Constant(I64, most))
        is_apart = builder.and_(is_many, fits)
        self._total = elements.pointer(place, row.at)
        own = emitter.small_array(place.dtype, most)
        self._partial = builder.select(is_apart, own, self._total)
        self._count = builder.select(is_apart, emitter.raw(size), ir.Constant(I64, 0))

    def begin(self) -> None:
        """Start from zero."""
        builder = self._elements.emitter.builder
        fill = self._elements.emitter.function.module.declare_intrinsic("llvm.memset", [POINTER, I64])
        size = builder.mul(self._count, ir.Constant(I64, self._dtype.itemsize))
        pointer = builder.bitcast(self._partial, POINTER)
        builder.call(fill, [pointer, ir.Constant(ir.IntType(8), 0), size, ir.Constant(ir.IntType(1), 0)])
        shape = self._row.shape
        skip = self._whole.skip + len(self._whole.shape) - len(shape)
        self._elements.storage[self._row.var] = Memory(self._partial, shape, self._dtype, self._whole.floor, skip)

    def end(self) -> None:
        """Add to what was there before."""
        elements = self._elements
        elements.storage[self._row.var] = self._whole
        emitter = elements.emitter
        with emitter.loop(0, Index(self._count, 0), short=True) as i:
            k = emitter.scalar
            here, there = [k.builder.gep(p, [emitter.raw(i)], inbounds=True) for p in (self._total, self._partial)]
            # No reassociation here: it would undo the blocks.
            k.store(k.add(k.load(here, self._dtype), k.load(there, self._dtype)), here)
