"""Calls of a chain's kernels tile by tile, see :mod:`fad.compiler.chains`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import llvmlite.ir as ir

from fad.compiler.llvm.emission import I64
from fad.compiler.llvm.parallel import GRAIN, call_kernel
from fad.compiler.llvm.together import Call
from fad.compiler.memory_plan import Block

__all__ = ["TiledCalls"]

_TILE = 32
"""Turns of one tile, of 64 bytes of the widest array each: a dozen arrays fit into the first level of a cache."""


class TiledCalls:
    """The calls of one chain, written together.

    Parameters
    ----------
    lowering : Lowering
        What writes the code.
    backwards : bool
        Whether the last tile comes first.
    """

    def __init__(self, lowering: Any, backwards: bool):
        self._lowering, self._backwards = lowering, backwards
        self._calls: list[tuple[Call, list[Block]]] = []

    def add(self, call: Call, blocks: Iterable[Block]) -> None:
        """Let a call wait for the others."""
        self._calls.append((call, list(blocks)))

    def write(self) -> None:
        """Write all calls: tile by tile, or one after the other where each is worth several threads."""
        lowering, calls = self._lowering, [call for call, _ in self._calls]
        emitter = lowering.emitter
        if not self._are_alike(calls):
            for call, blocks in self._calls:
                lowering.waiting.add(call, blocks)
            return
        for _, blocks in self._calls:
            for block in blocks:
                lowering.memory.extend(block, lowering.memory.now)
        work = calls[0].work
        for call in calls[1:]:
            work = emitter.add(work, call.work)
        long = emitter.builder.icmp_signed(">=", emitter.raw(work), ir.Constant(I64, 2 * GRAIN))
        with emitter.choice(emitter.builder.zext(long, I64), 2) as enter:
            with enter(0):
                self._write_tiles(calls)
            with enter(1):
                for call in calls:
                    call_kernel(lowering, call.function, call.arguments, call.turns, call.work, True)

    def _are_alike(self, calls: list[Call]) -> bool:
        """Whether the turns of all kernels are the same elements, and each may be called for some of them."""
        own = any(a.dtype is not None for c in calls for a in c.arguments)
        return not own and all(c.turns == calls[0].turns and c.most >= 2 * GRAIN for c in calls)

    def _write_tiles(self, calls: list[Call]) -> None:
        emitter = self._lowering.emitter
        turns = calls[0].turns
        count = emitter.divide(emitter.add(turns, _TILE - 1), _TILE)[0]
        with emitter.loop(0, count, plain=True) as number:
            tile = emitter.subtract(emitter.subtract(count, 1), number) if self._backwards else number
            begin = emitter.multiply(tile, _TILE)
            end = emitter.smaller(emitter.add(begin, _TILE), turns)
            for call in calls:
                values = [*[a.value for a in call.arguments], self._lowering.sizes]
                emitter.builder.call(call.function, [*values, emitter.raw(begin), emitter.raw(end)])
