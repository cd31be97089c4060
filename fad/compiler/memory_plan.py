"""The memory plan: where in one arena each temporary array lives, so that arrays which are never alive together share memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["ALIGNMENT", "Block", "MemoryPlan"]

ALIGNMENT = 64


class Block:
    """One temporary array: its shape, the size of an element, and the first and last moment of its life."""

    __slots__ = ("born", "died", "itemsize", "number", "shape")

    def __init__(self, number: int, shape: tuple[int, ...], itemsize: int, born: int):
        self.number, self.shape, self.itemsize = number, shape, itemsize
        self.born = self.died = born


class MemoryPlan:
    """Collects temporary arrays while code is written, and places them for any sizes afterwards.

    Examples
    --------
    >>> from fad.compiler.memory_plan import MemoryPlan
    >>> plan = MemoryPlan()
    >>> first, second = plan.new((100,), 8), plan.new((100,), 8)
    >>> plan.extend(first, plan.tick())
    >>> third = plan.new((50,), 8)
    >>> plan.extend(second, plan.tick())
    >>> plan.offsets({})
    ([0, 832, 0], 1664)
    """

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._clock = 0

    def tick(self) -> int:
        """Let time pass; gives the moment that just ended."""
        self._clock += 1
        return self._clock - 1

    @property
    def now(self) -> int:
        """The current moment."""
        return self._clock

    def new(self, shape: tuple[int, ...], itemsize: int) -> Block:
        """A block that is born now."""
        block = Block(len(self.blocks), shape, itemsize, self._clock)
        self.blocks.append(block)
        return block

    def extend(self, block: Block, moment: int) -> None:
        """Keep a block alive until the given moment."""
        block.died = max(block.died, moment)

    def rows(self) -> list[list[Any]]:
        """The plan as plain numbers: shape, size of an element, first and last moment of each block."""
        return [[list(b.shape), b.itemsize, b.born, b.died] for b in self.blocks]

    @classmethod
    def of_rows(cls, rows: Sequence[Sequence[Any]]) -> MemoryPlan:
        """The plan that :meth:`rows` wrote down."""
        plan = cls()
        for number, (shape, itemsize, born, died) in enumerate(rows):
            block = Block(number, tuple(shape), itemsize, born)
            block.died = died
            plan.blocks.append(block)
        return plan

    def offsets(self, renamed: dict[int, int]) -> tuple[list[int], int]:
        """The offset of every block and the arena's size, for sizes renamed as given.

        Larger blocks are placed first, each at the lowest offset that is free during its life.
        """
        lengths = []
        for block in self.blocks:
            count = math.prod([renamed.get(n, n) for n in block.shape])
            lengths.append(-(-max(count * block.itemsize, 1) // ALIGNMENT) * ALIGNMENT)
        offsets = [0] * len(self.blocks)
        placed: list[Block] = []
        for block in sorted(self.blocks, key=lambda b: -lengths[b.number]):
            taken = [
                (offsets[b.number], lengths[b.number]) for b in placed if b.born <= block.died and block.born <= b.died
            ]
            offsets[block.number] = _lowest_gap(sorted(taken), lengths[block.number])
            placed.append(block)
        return offsets, max((o + n for o, n in zip(offsets, lengths, strict=True)), default=0)


def _lowest_gap(taken: Sequence[tuple[int, int]], length: int) -> int:
    offset = 0
    for start, size in taken:
        if start - offset >= length:
            break
        offset = max(offset, start + size)
    return offset
