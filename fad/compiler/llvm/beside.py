"""Elements beside a loop's own place that its turn before, or the one that comes after it in memory, has computed: they stay in registers.

Scalar code has no such thing: the instructions written here are there to be widened. A vector of neighbours is the vector of the elements themselves
moved by one lane; the lane that is missing comes from the vector before it.
"""

from __future__ import annotations

from collections.abc import Mapping
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

    Attributes
    ----------
    index : Index or None
        The loop's own index while its inner part is written.
    """

    def __init__(self, emitter: Emitter, copies: Mapping[Var, Var], ahead: bool, lanes: int):
        self._emitter, self._copies, self.ahead, self.lanes = emitter, copies, ahead, lanes
        self.index: Index | None = None

    def element(self, elements: Any, var: Any, index: tuple[Ix, ...]) -> Located | None:
        """An element of a copy, ``None`` where it must be computed."""
        if self.index is None or var not in self._copies or len(index) != 1:
            return None
        by, emitter = self._offset(index[0]), self._emitter
        if by == 0:
            original = self._copies[var]
            return next((s.memo[original, index] for s in emitter.scopes if (original, index) in s.memo), None)
        if by is None or (by > 0) != self.ahead:
            return None
        nearer = emitter.add(self.index, by - 1 if by > 0 else by + 1)
        if not emitter.inside(nearer, 0, emitter.size(var.aval.shape[0])):
            return None
        found = elements.element(var, (nearer,))
        return found if found.depth < emitter.depth else Located(self._moved(found.value), found.depth)

    def _offset(self, i: Ix) -> int | None:
        """How many places ahead of the loop's own an index is."""
        if i == self.index:
            return 0
        operation, base, by = self._emitter.sums.get(i, ("", 0, 0)) if isinstance(i, Index) else ("", 0, 0)
        if base != self.index or not isinstance(by, int):
            return None
        return by if operation == "add" else -by

    def _moved(self, value: Value) -> Value:
        emitter, kind = self._emitter, ir.VectorType(llvm_type(value.dtype), self.lanes)
        place = emitter.variable(kind)
        emitter.entry.store(ir.Constant(kind, [ir.Constant(kind.element, 0)] * self.lanes), place)
        block = emitter.builder.block
        moved = ir.Instruction(block, kind.element, AHEAD if self.ahead else BEHIND, [value.ir, place])
        block.instructions.append(moved)
        emitter.builder.position_at_end(block)
        return Value(moved, value.dtype)
