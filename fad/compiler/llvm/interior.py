"""Loops that are split into their inner part, where indices are far from every edge of an array, and the few turns at its ends.

Padded and joined arrays ask at each index which part it lies in. Nearly all turns of a loop get the same answers, and know it beforehand.
"""

from __future__ import annotations

from collections.abc import Callable

import llvmlite.ir as ir

from fad.compiler.llvm.emission import I64, Emitter, Index, Ix

__all__ = ["Interior", "write_split"]


class Interior:
    """Conditions on indices that the code of the inner part takes for granted.

    Parameters
    ----------
    emitter : Emitter
        Writes the function; its innermost open scope is the one around the loop.

    Attributes
    ----------
    index : Index
        The loop's own index.
    depth : int
        The number of the scope around the loop.
    """

    index: Index

    def __init__(self, emitter: Emitter):
        self._emitter, self.depth = emitter, emitter.depth
        self._limits: list[tuple[Ix, Ix | None, Ix | None]] = []
        self._fixed: list[tuple[Ix, Ix | None, Ix | None]] = []

    @property
    def builder(self) -> ir.IRBuilder:
        """Writes before the loop."""
        return self._emitter.scopes[self.depth].builder

    def write(self, index: Index, body: Callable[[Index], None]) -> None:
        """Write the body for an index, with all conditions granted."""
        self.index, self._emitter.granted = index, self.take
        body(index)
        self._emitter.granted = None

    def take(self, x: Ix, low: Ix | None, high: Ix | None) -> bool:
        """Take ``low <= x < high`` for granted, if the loop can be limited to turns where it holds."""
        if not all(self._is_outside(bound) for bound in (low, high) if bound is not None):
            return False
        if self._is_outside(x):
            self._fixed.append((x, low, high))
            return True
        shift = self._shift(x)
        if shift is not None:
            self._limits.append((shift, low, high))
        return shift is not None

    def _is_outside(self, x: Ix) -> bool:
        return isinstance(x, int) or x.depth <= self.depth

    def _shift(self, x: Ix) -> Ix | None:
        """What is added to the loop's index to get an index, if that is the same in every turn."""
        if x == self.index:
            return 0
        operation, first, second = self._emitter.sums.get(x, ("", 0, 0)) if isinstance(x, Index) else ("", 0, 0)
        if operation == "add" and self._is_outside(first):
            first, second = second, first
        if operation not in ("add", "sub") or not self._is_outside(second):
            return None
        shift = self._shift(first)
        combine = self._emitter.add if operation == "add" else self._emitter.subtract
        return None if shift is None else combine(shift, second)

    @property
    def has_limits(self) -> bool:
        """Whether conditions hold in some of the loop's turns only."""
        return bool(self._limits)

    def limits(self, start: Ix, stop: Ix, least: int) -> tuple[Ix, Ix]:
        """The turns among ``start <= i < stop`` where all conditions hold; none at all if they are fewer than ``least``."""
        emitter, builder = self._emitter, self.builder
        first, last = start, stop
        for shift, low, high in dict.fromkeys(self._limits):
            first = first if low is None else emitter.larger(first, emitter.subtract(low, shift))
            last = last if high is None else emitter.smaller(last, emitter.subtract(high, shift))
        holds = builder.icmp_signed(">=", emitter.raw(emitter.subtract(last, first)), ir.Constant(I64, least))
        for x, low, high in dict.fromkeys(self._fixed):
            for comparison, bound in ((">=", low), ("<", high)):
                if bound is not None:
                    inside = builder.icmp_signed(comparison, emitter.raw(x), emitter.raw(bound))
                    holds = builder.and_(holds, inside)
        first, last = [
            Index(builder.select(holds, emitter.raw(n), emitter.raw(start)), self.depth) for n in (first, last)
        ]
        return first, last


def write_split(emitter: Emitter, start: Ix, stop: Ix, lanes: int, body: Callable[[Index], None]) -> None:
    """A loop over ``start <= i < stop``, whose body is written twice.

    The inner part runs over whole vectors of so many lanes, which begin at multiples of it: stores across lines of the cache take twice as long.
    The first one starts late and the last one early enough to fit, so that some elements are computed twice. What remains before and after it
    is done element by element. ``start`` is such a multiple, and there are so many lanes if conditions depend on indices of loops around this one alone.
    """
    interior = Interior(emitter)
    places = [emitter.variable(I64) for _ in range(2)]
    ends: list[Index] = []

    def blocks() -> Ix:
        # By now all conditions are known.
        ends.extend(interior.limits(start, stop, lanes))  # type: ignore[arg-type]
        for place, end in zip(places, ends, strict=True):
            interior.builder.store(end.value, place)
        return emitter.divide(emitter.add(emitter.subtract(ends[1], aligned(ends[0])), lanes - 1), lanes)[0]

    def aligned(first: Ix) -> Ix:
        return emitter.multiply(emitter.divide(first, lanes)[0], lanes)

    with emitter.loop(0, blocks, plain=True) as number:
        # What holds here only must not be computed or remembered outside.
        before, emitter.floor = emitter.floor, emitter.depth
        first, last = [Index(emitter.builder.load(place), emitter.depth) for place in places]
        begin = emitter.add(aligned(first), emitter.multiply(number, lanes))
        begin = emitter.larger(first, emitter.smaller(begin, emitter.subtract(last, lanes)))
        with emitter.loop(0, lanes) as lane:
            interior.write(emitter.add(begin, lane), body)  # type: ignore[arg-type]
        emitter.floor = before
    if interior.has_limits:
        _write_ends(emitter, start, stop, ends, body)
    else:
        _write_otherwise(emitter, start, stop, ends, lanes, body)


def _write_ends(emitter: Emitter, start: Ix, stop: Ix, ends: list[Index], body: Callable[[Index], None]) -> None:
    """The turns before the inner part and after it, one by one."""
    with emitter.loop(0, 2, short=True) as side:
        ahead = emitter.builder.icmp_signed("==", side.value, ir.Constant(I64, 0))
        first, last = [
            Index(emitter.builder.select(ahead, emitter.raw(x), emitter.raw(y)), emitter.depth)
            for x, y in ((start, ends[1]), (ends[0], stop))
        ]
        with emitter.loop(first, last, short=True) as i:
            body(i)


def _write_otherwise(
    emitter: Emitter, start: Ix, stop: Ix, ends: list[Index], lanes: int, body: Callable[[Index], None]
) -> None:
    """All turns, if the inner part is none at all: what its conditions are about is known before the loop, as it is for each row of a padded image."""
    builder = emitter.builder
    count, _ = emitter.divide(emitter.add(emitter.subtract(stop, start), lanes - 1), lanes)
    is_done = builder.icmp_signed("<", emitter.raw(ends[0]), emitter.raw(ends[1]))
    blocks = Index(builder.select(is_done, emitter.raw(0), emitter.raw(count)), emitter.depth)
    with emitter.loop(0, blocks, plain=True) as number:
        begin = emitter.add(start, emitter.multiply(number, lanes))
        begin = emitter.smaller(begin, emitter.subtract(stop, lanes))
        with emitter.loop(0, lanes) as lane:
            body(emitter.add(begin, lane))  # type: ignore[arg-type]
