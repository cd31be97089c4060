"""Elements beside a loop's own place that its turn before, or the one that comes after it in memory, has computed: they stay in registers.

Scalar code has no such thing: the instructions written here are there to be widened. A vector of neighbours is the vector of the elements themselves
moved by one lane; the lane that is missing comes from the vector before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import llvmlite.ir as ir

from fad.compiler.llvm.emission import Emitter, Index, Ix, Located
from fad.compiler.llvm.scalar_value import Value, llvm_type
from fad.core.program import Var

__all__ = ["AHEAD", "BEHIND", "Beside", "NotWidened", "has_neighbours", "is_neighbour", "longest_way"]

AHEAD, BEHIND = "neighbour ahead", "neighbour behind"
"""The names of the instructions: ``neighbour(element, place of the vector that was there before)``."""


class NotWidened(Exception):
    """A loop has instructions that only vectors have, and cannot be made vector code."""


def is_neighbour(instruction: Any) -> bool:
    """Whether it is one of the instructions that only vectors have."""
    return getattr(instruction, "opname", "") in (AHEAD, BEHIND)


def has_neighbours(function: ir.Function) -> bool:
    """Whether a function has any of them."""
    return any(is_neighbour(i) for block in function.blocks for i in block.instructions)


def longest_way(function: ir.Function) -> int:
    """Through how many of them, one after the other, a value comes at most: so many of the first elements are wrong, having none before them."""
    ways: dict[int, int] = {}
    for block in function.blocks:
        for instruction in block.instructions:
            operands = [v for v, _ in getattr(instruction, "incomings", ())] or instruction.operands
            longest = max([ways.get(id(o), 0) for o in operands], default=0)
            ways[id(instruction)] = longest + is_neighbour(instruction)
    return max(ways.values(), default=0)


class Beside:
    """Gives elements beside a loop's own place.

    Parameters
    ----------
    emitter : Emitter
        Writes the function.
    copies : mapping of Var to Var
        What is read beside its own place, and what it is a copy of.
    ahead : bool
        Whether they lie ahead of the loop's own place.
    lanes : int
        The length of vectors.
    size : int
        That of the axis that the loop runs along.
    """

    def __init__(self, emitter: Emitter, copies: Mapping[Var, Var], ahead: bool, lanes: int, size: int):
        self._emitter, self._copies, self.ahead, self.lanes, self._size = emitter, copies, ahead, lanes, size
        self._index: Index | None = None
        self._is_end = False
        self._places: dict[tuple[Any, int], ir.Value] = {}

    @contextmanager
    def at(self, index: Index, is_end: bool = False) -> Iterator[None]:
        """Where the loop's own index is known; at an end of the array elements beside it may not exist, and who reads them does not use them."""
        known = set(self._places)
        self._index, self._is_end = index, is_end
        yield
        self._index = None
        if not is_end and self._places.keys() != known:
            raise NotWidened  # the end has not computed what comes before the first vector

    def element(self, elements: Any, var: Any, index: tuple[Ix, ...]) -> Located | None:
        """An element of a copy, ``None`` where it must be computed."""
        if self._index is None or var not in self._copies or len(index) != 1:
            return None
        by, emitter, size = self._offset(index[0]), self._emitter, var.aval.shape[0]
        if by is None or (by and (by > 0) != self.ahead) or (by > 0 and size > self._size):
            return None  # of the last kind some are where the loop does not come
        if self._is_end:
            # One index for all that lead to the same place where it exists.
            place = emitter.add(self._index, by)
            if by == 0 and size != self._size:
                place = emitter.clamped(place, size)
            if index[0] != place:
                return elements.element(var, (place,))
        if by == 0:
            original = self._copies[var]
            return next((s.memo[original, index] for s in emitter.scopes if (original, index) in s.memo), None)
        nearer = emitter.add(self._index, by - 1 if by > 0 else by + 1)
        if not self._is_end and not emitter.inside(nearer, 0, emitter.size(size)):
            return None
        found = elements.element(var, (nearer,))
        return found if found.depth < emitter.depth else Located(self._moved(found.value, (var, by)), found.depth)

    def _offset(self, i: Ix) -> int | None:
        """How many places ahead of the loop's own an index is."""
        offset, emitter = 0, self._emitter
        while i != self._index:
            if self._is_end and i in emitter.clamps:
                i = emitter.clamps[i]  # type: ignore[index]
                continue
            operation, base, by = emitter.sums.get(i, ("", 0, 0)) if isinstance(i, Index) else ("", 0, 0)
            if operation not in ("add", "sub") or not isinstance(by, int):
                return None
            i, offset = base, offset + by if operation == "add" else offset - by
        return offset

    def _moved(self, value: Value, key: tuple[Any, int]) -> Value:
        emitter, kind = self._emitter, ir.VectorType(llvm_type(value.dtype), self.lanes)
        if key not in self._places:
            self._places[key] = place = emitter.variable(kind)
            emitter.entry.store(ir.Constant(kind, [ir.Constant(kind.element, 0)] * self.lanes), place)
        block = emitter.builder.block
        moved = ir.Instruction(block, kind.element, AHEAD if self.ahead else BEHIND, [value.ir, self._places[key]])
        block.instructions.append(moved)
        emitter.builder.position_at_end(block)
        return Value(moved, value.dtype)
