"""Loops of stages that read their neighbours: whole vectors one after the other, from one end of the array to the other.

A vector finds its neighbours in the one before it (:mod:`fad.compiler.llvm.beside`). The first vectors of the array have none before them, nor do
they need any: what they read outside of the array they do not use. Nearly all others are in the inner part, where conditions on indices are granted. Two
things remain. What is left at the far end is less than a vector; it is computed beforehand, by vectors that end where the array does, the first of
which are only there for their neighbours. And a part of the array that a thread begins with in the middle has such vectors before it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.ir as ir

from fad.compiler.llvm.beside import Beside, NotWidened, longest_way
from fad.compiler.llvm.elements import Elements, Memory
from fad.compiler.llvm.emission import I64, Index, Ix
from fad.compiler.llvm.interior import Interior
from fad.core.program import Var

__all__ = ["StageLoop"]


class StageLoop:
    """A loop over a part of the only axis that a group has.

    Places are counted in the direction in which the loop moves, from where its part begins.

    Parameters
    ----------
    elements : Elements
        Knows where everything is that the loop reads or writes.
    beside : Beside
        Gives neighbours.
    written : sequence of Var
        What the loop may write to memory.
    """

    def __init__(self, elements: Elements, beside: Beside, written: Sequence[Var]):
        self._elements, self._emitter, self._beside = elements, elements.emitter, beside
        self._lanes = beside.lanes
        self._written = [v for v in written if isinstance(elements.storage.get(v), Memory)]
        self._interior = Interior(self._emitter)
        self._places: dict[str, ir.Value] = {}

    def write(self, start: Ix, stop: Ix, count: Ix, body: Callable[[Index], None]) -> None:
        """Write the loop over ``start <= i < stop``, of ``count`` elements that there are; ``start`` is a multiple of the lanes."""
        emitter = self._emitter
        with emitter.loop(0, 2, plain=True) as side:
            before, emitter.floor = emitter.floor, emitter.depth
            is_far = emitter.builder.icmp_signed("==", side.value, ir.Constant(I64, 0))
            first = self._either(is_far, "far", "near")
            with emitter.loop(0, self._either(is_far, "far_turns", "near_turns"), plain=True) as number:
                self._write_end(emitter.add(first, emitter.multiply(number, self._lanes)), body)
            first = self._known("inner")
            with emitter.loop(0, self._either(is_far, "none", "inner_turns"), plain=True) as number:
                emitter.floor = emitter.depth
                with self._lane(emitter.add(first, emitter.multiply(number, self._lanes))) as i, self._beside.at(i):
                    self._interior.write(i, body)
            emitter.floor = before
            self._find_places(start, stop, count)

    @contextmanager
    def _lane(self, place: Ix) -> Iterator[Index]:
        """A loop over the lanes of the vector at a place; gives the index."""
        emitter, origin = self._emitter, self._known("origin")
        if self._beside.ahead:
            begin = emitter.subtract(emitter.subtract(origin, self._lanes), place)
        else:
            begin = emitter.add(origin, place)
        begin = self._opaque(begin)
        with emitter.loop(0, self._lanes) as lane:
            yield emitter.add(begin, lane)  # type: ignore[misc]

    def _opaque(self, index: Ix) -> Index:
        """The index as LLVM knows nothing of: it would let each array have an address that grows, which takes an addition and a register for each."""
        kind = ir.FunctionType(I64, [I64])
        return Index(
            self._emitter.builder.asm(kind, "", "=r,0", [self._emitter.raw(index)], False), self._emitter.depth
        )

    def _write_end(self, place: Ix, body: Callable[[Index], None]) -> None:
        """A vector near an end of the array; what is there only for its neighbours is not stored."""
        emitter, storage = self._emitter, self._elements.storage
        emitter.floor = emitter.depth
        own = emitter.builder.icmp_signed(">=", emitter.raw(place), emitter.raw(self._known("own")))
        held = {v: storage[v] for v in self._written}
        with self._lane(place) as i:
            for var, memory in held.items():
                storage[var] = self._chosen(own, memory, i)
            with self._beside.at(i, is_end=True):
                body(i)
        storage.update(held)

    def _chosen(self, own: ir.Value, memory: Any, index: Index) -> Memory:
        """An array, or memory that nobody reads, in a vector that is there only for its neighbours."""
        emitter, builder = self._emitter, self._emitter.scopes[-2].builder
        _, begin, _ = emitter.sums[index]
        spare = emitter.small_array(memory.dtype, self._lanes)
        parts = emitter.multiply(begin, 2) if memory.dtype.kind == "c" else begin
        moved = builder.gep(spare, [builder.neg(emitter.raw(parts))])
        return memory._replace(pointer=builder.select(own, memory.pointer, moved))

    # -- where everything is ------------------------------------------------------------------------------------------------

    def _known(self, name: str) -> Index:
        """A number that is known before the loop, but only after it is written."""
        if name not in self._places:
            self._places[name] = self._emitter.variable(I64)
        return Index(self._emitter.builder.load(self._places[name]), self._emitter.depth)

    def _either(self, condition: ir.Value, one: str, other: str) -> Index:
        emitter = self._emitter
        chosen = emitter.builder.select(condition, self._known(one).value, self._known(other).value)
        return Index(chosen, emitter.depth)

    def _find_places(self, start: Ix, stop: Ix, count: Ix) -> None:
        """Store the numbers, which follow from the conditions of the inner part and from how far a stage sees."""
        emitter, lanes, ahead = self._emitter, self._lanes, self._beside.ahead
        wrong = longest_way(emitter.function)
        if wrong > 2 * lanes:
            raise NotWidened
        # So many elements before those that are wanted have the wrong neighbours, but at the beginning of the array.
        early = -(-wrong // lanes) * lanes
        first, last = self._interior.limits(start, stop, 4 * lanes)
        before = emitter.subtract(count, stop) if ahead else start
        near = self._where(">=", before, early)  # whether there is room for them
        if ahead:
            stop = self._select(near, stop, count)
            # A part in the middle ends with a whole vector as well.
            longer = emitter.subtract(stop, self._up(emitter.subtract(stop, start)))
            start = self._select(self._where(">", start, 0), longer, start)
            inner = self._up(emitter.subtract(stop, last)), self._down(emitter.subtract(stop, first))
        else:
            start = self._select(near, start, 0)
            inner = self._up(emitter.subtract(first, start)), self._down(emitter.subtract(last, start))
        length = emitter.subtract(stop, start)
        is_any = self._where("<", inner[0], inner[1])  # type: ignore[arg-type]
        inner = tuple([self._select(is_any, x, self._down(length)) for x in inner])  # type: ignore[assignment]
        rest = emitter.subtract(length, inner[1])
        far = emitter.subtract(length, self._up(rest))
        is_late = self._where(">", before, 0)
        warm = self._select(near, self._select(is_late, early, 0), 0)
        far_turns = emitter.add(self._turns(self._up(rest)), early // lanes)
        found = {
            "origin": stop if ahead else start,
            "own": emitter.smaller(far, 0),
            "near": emitter.subtract(0, warm),
            "near_turns": self._turns(emitter.add(inner[0], warm)),
            "inner": inner[0],
            "inner_turns": self._turns(emitter.subtract(inner[1], inner[0])),
            "far": emitter.subtract(far, early),
            "far_turns": self._select(self._where(">", rest, 0), far_turns, 0),
            "none": 0,
        }
        for name, number in found.items():
            self._interior.builder.store(emitter.raw(number), self._places[name])

    def _turns(self, elements: Ix) -> Ix:
        return self._emitter.divide(elements, self._lanes)[0]

    def _down(self, elements: Ix) -> Ix:
        """The largest number of whole vectors in so many elements, as elements."""
        return self._emitter.multiply(self._turns(elements), self._lanes)

    def _up(self, elements: Ix) -> Ix:
        return self._down(self._emitter.add(elements, self._lanes - 1))

    def _where(self, comparison: str, one: Ix, other: Ix) -> ir.Value:
        return self._interior.builder.icmp_signed(comparison, self._emitter.raw(one), self._emitter.raw(other))

    def _select(self, condition: ir.Value, one: Ix, other: Ix) -> Index:
        raw = self._emitter.raw
        return Index(self._interior.builder.select(condition, raw(one), raw(other)), self._interior.depth)
