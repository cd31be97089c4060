"""A group of fused operations as one LLVM function: a loop nest over the group's prefix, with loops over the members' own axes inside."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from fad.compiler.access import Access, Patterns, identity_index
from fad.compiler.fusion import Group, Member, is_costly
from fad.compiler.llvm.elements import Elements, Memory
from fad.compiler.llvm.emission import Emitter, Index, Ix, Located
from fad.compiler.llvm.interior import write_split
from fad.compiler.llvm.reductions import combine, constant_identity
from fad.compiler.llvm.row_sums import (
    MOST_SUMS,
    RegisterRow,
    RowSum,
    open_blocks,
    row_width,
    takes_blocks,
    takes_registers,
)
from fad.compiler.llvm.rules import Ixs, rule_of
from fad.compiler.llvm.scalar import Value
from fad.compiler.llvm.scalar_value import llvm_type
from fad.compiler.llvm.stages import StageLoop
from fad.compiler.size_classes import LARGEST_STATIC, LONG, MOST_AT_EDGE, least_size, most_size
from fad.core.program import Var

__all__ = ["KernelWriter"]

_BLOCK = 1024
"""Sums of more elements are sums of sums over blocks of so many, which bounds the rounding error."""
_FEW = 8
"""Loops of more results are not written again for each turn of a short loop around them."""
_MOST_VECTORS = 4
"""Rows of so many vectors are written without a loop."""
_SHIFTED = (2, 4)
"""LLVM computes several turns of a loop at once that divide by so much: faster than loops of so many turns."""


class KernelWriter:
    """Writes one group.

    Parameters
    ----------
    emitter : Emitter
        Writes the function.
    elements : Elements
        Knows where everything that the group reads or stores is.
    group : Group
        The group.
    computed : frozenset of Var
        Variables that are computed on demand: views, and members that are not stored.
    bounds : tuple of Index or None
        The first turn of the outermost loop, and the one after the last; without, all turns.
    overwritten : sequence of Var
        What the group reads and overwrites, each element in one turn.

    Attributes
    ----------
    row : int or None
        How many turns the innermost loop makes, as soon as it is begun and where that is known.
    turns : tuple
        The sizes whose product is the number of turns, and how many elements one turn takes; known after writing.
    """

    def __init__(
        self,
        emitter: Emitter,
        elements: Elements,
        group: Group,
        computed: frozenset[Var],
        bounds: tuple[Index, Index] | None,
        overwritten: Sequence[Var] = (),
    ):
        self.emitter, self.elements, self.group = emitter, elements, group
        self._computed, self._bounds, self._overwritten = computed, bounds, overwritten
        self.turns: tuple[tuple[int, ...], int] | None = None
        self.row: int | None = None
        self._accumulators: dict[tuple[Var, Ixs], Any] = {}
        self._in_blocks: set[Var] = set()
        self._register_row: RegisterRow | None = None

    def write(self) -> None:
        """Write the whole loop nest."""
        members = list(self.group.members.values())
        if 0 in self.group.prefix:
            self._write_empty(members)
            return
        for member in members:
            if member.is_global:
                self._start(member)

        def turn(outer: list[Ix]) -> None:
            for var in self._overwritten:
                self.elements.element(var, tuple(outer))  # before anything is written
            self._read_inside_turn()
            if self.group.written_out:
                for member in members:
                    self._write_out(member, outer)
                return
            for level in range(1 + max(m.level for m in members)):
                self._write_level(outer, [m for m in members if m.level == level])

        together = members if not self.group.fixed else []
        if self.group.written_out:
            together = [m for m in members if m.is_global or not m.is_reduction]
        self._write_loops(self.group.prefix, [], self._patterns(members), together, turn)
        for member in members:
            if member.is_global:
                self._finish_global(member)

    def _write_empty(self, members: Sequence[Member]) -> None:
        """Reductions of nothing; everything else has no elements, and some of it no memory."""
        for member in members:
            if member.is_reduction and member.output in self.elements.storage:
                self._fill(member, ())

    def _read_inside_turn(self) -> None:
        """What this group writes must not be read before the turn that writes it."""
        for var in self.group.members:
            place = self.elements.storage.get(var)
            if isinstance(place, Memory):
                self.elements.storage[var] = place._replace(floor=self.emitter.depth)

    # -- loops ------------------------------------------------------------------------------------------------------------

    def _patterns(self, members: Sequence[Member]) -> Patterns:
        producers = self.elements.producers
        patterns = Patterns(lambda v: producers[v] if v in self._computed else None)
        for member in members:
            index = identity_index(member.domain)
            if member.is_reduction:
                patterns.read(member.equation.inputs[0], index)
                kept = [i for a, i in enumerate(index) if a not in member.equation.params["axes"]]
                patterns.accesses.append(Access(member.output, tuple(kept)))
            else:
                rule = rule_of(member.equation)
                assert rule is not None
                for atom, source in rule.sources(patterns, member.equation, index):  # type: ignore[arg-type]
                    patterns.read(atom, source)  # type: ignore[arg-type]
                patterns.accesses.append(Access(member.output, index))
        return patterns

    def _write_loops(
        self,
        sizes: tuple[int, ...],
        outer: list[Ix],
        patterns: Patterns,
        sums: Sequence[Member],
        body: Callable[[list[Ix]], None],
    ) -> None:
        """Write loops over the axes of the domain after those with the indices ``outer``, merged where possible; ``body`` gets their indices.

        The body is written twice where that spares most turns to ask whether they are near an edge of an array.
        """
        nest = _Nest(sizes, outer, patterns, sums, body)
        self._write_runs(nest, _runs(sizes, nest.first, patterns), [0] * len(sizes))

    def _write_runs(self, nest: _Nest, runs: Sequence[list[int]], index: list[Ix], outermost: bool = True) -> None:
        """Write the loops over some runs of axes, one in the other."""
        if not runs:
            nest.body(index)
            return
        emitter, (run, *inner), sums = self.emitter, runs, nest.sums
        sizes = tuple(nest.sizes[k] for k in run)
        count, outermost = emitter.product(sizes), outermost and nest.first == 0
        least = math.prod(map(least_size, sizes))
        lanes, part = self._lanes(least), None if inner else nest.part_of(run)
        if self._register_row is not None and not inner:
            self._register_row.write(lambda i: nest.body([*index[: run[-1]], i, *index[run[-1] + 1 :]]))
            return
        if inner and not outermost and nest.is_chosen_from(run):
            # What depends on the number is known beforehand in each of the few turns.
            for value in range(sizes[0]):
                self._write_runs(nest, inner, [*index[: run[0]], value, *index[run[0] + 1 :]], False)
            return
        with ExitStack() as stack:
            if not inner and least >= LONG and self._blocked(sums, nest.first + run[-1]):
                bounds = self._outer_bounds(sizes, _BLOCK) if outermost else None
                index[run[-1]] = self._open_blocked(stack, count, sums, bounds, part)
            elif not inner and lanes and sums and not any(m.is_reduction for m in sums):
                bounds = self._outer_bounds(sizes, lanes) if outermost else None
                self.row = lanes if part is None else None
                if nest.is_edged(run) or self.elements.beside is not None:
                    start, stop = self._whole_blocks(count, lanes, bounds)

                    def turn(i: Index) -> None:
                        nest.body([*index[: run[-1]], i, *index[run[-1] + 1 :]])

                    if self.elements.beside is None:
                        write_split(emitter, start, stop, lanes, turn)
                    else:
                        StageLoop(self.elements, self.elements.beside, list(self.group.members)).write(
                            start, stop, count, turn
                        )
                    return
                if part is not None:
                    index[run[0]] = self._open_parts(stack, *self._whole_blocks(count, lanes, bounds), part)
                elif isinstance(count, int) and not outermost and _is_short(count, lanes, sums):
                    self._write_row(nest, index, run[-1], count, lanes)
                    return
                else:
                    index[run[-1]] = self._open_lanes(stack, count, lanes, bounds)
            else:
                bounds = self._outer_bounds(sizes, 1) if outermost else (0, count)
                self._open_plain(stack, nest, runs, index, bounds, part)
            self._write_runs(nest, inner, index, False)

    def _open_plain(
        self,
        stack: ExitStack,
        nest: _Nest,
        runs: Sequence[list[int]],
        index: list[Ix],
        bounds: tuple[Ix, Ix],
        part: int | None,
    ) -> None:
        """A loop of single turns, in blocks where it adds many rows up; completes the index."""
        run, width = runs[0], self._row_width(nest, runs)
        row_sums = self._row_sums(nest, run, index, width > 0)
        if 0 < len(row_sums) <= MOST_SUMS:
            opened = {s.var for s in row_sums}
            self._in_blocks |= opened
            stack.callback(self._in_blocks.difference_update, opened)
            stack.callback(setattr, self, "_register_row", self._register_row)
            bounds, self._register_row = open_blocks(stack, self.elements, row_sums, *bounds, width)
        if part is not None:
            index[run[0]] = self._open_parts(stack, *bounds, part)
        else:
            most = math.prod([most_size(nest.sizes[k]) for k in run])
            index[run[-1]] = stack.enter_context(self.emitter.loop(*bounds, most=most))

    def _open_parts(self, stack: ExitStack, start: Ix, stop: Ix, size: int) -> Index:
        """A loop over parts of an axis and one over each part, in which quotient and remainder of the index are known.

        The first and the last part may be shorter, as what lies between ``start`` and ``stop``.
        """
        emitter, length = self.emitter, self.emitter.size(size)
        last, _ = emitter.divide(emitter.add(stop, emitter.subtract(length, 1)), length)
        part = stack.enter_context(emitter.loop(emitter.divide(start, length)[0], last, plain=True))
        begin = emitter.multiply(part, length)
        first = 0 if start == 0 else emitter.larger(0, emitter.subtract(start, begin))
        here = emitter.smaller(length, emitter.subtract(stop, begin))
        place = stack.enter_context(emitter.loop(first, here, most=most_size(size)))
        index = emitter.add(begin, place)
        emitter.quotients[index, length] = part, place
        assert isinstance(index, Index)
        return index

    def _outer_bounds(self, sizes: tuple[int, ...], elements: int) -> tuple[Ix, Ix]:
        """The bounds of the outermost loop, whose turns take so many elements each."""
        self.turns = (sizes, elements)
        if self._bounds is not None:
            return self._bounds
        emitter = self.emitter
        return 0, emitter.divide(emitter.add(emitter.product(sizes), elements - 1), elements)[0]

    def _lanes(self, least: int) -> int:
        """How many elements fill a vector register, 0 where a loop of at least so many turns may have fewer, or none may be computed twice."""
        if self._overwritten:
            return 0
        if self.elements.beside is not None:
            return self.elements.beside.lanes
        stored = [m.output.aval.dtype.itemsize for m in self.group.members.values()]
        lanes = 64 // max(stored) if max(stored) >= 4 else 16
        return lanes if least >= lanes else 8 if least > 8 else 0

    def _whole_blocks(self, count: Ix, lanes: int, bounds: tuple[Ix, Ix] | None) -> tuple[Ix, Ix]:
        """The elements of blocks of so many; the last block may have fewer."""
        if bounds is None:
            return 0, count
        emitter = self.emitter
        first, last = [emitter.multiply(number, lanes) for number in bounds]
        return first, emitter.smaller(last, count)

    def _open_lanes(self, stack: ExitStack, count: Ix, lanes: int, bounds: tuple[Ix, Ix] | None) -> Index:
        """A loop over whole vectors; the last one starts early enough to fit, so that some elements are computed twice."""
        emitter = self.emitter
        last = emitter.subtract(count, lanes)
        blocks, _ = emitter.divide(emitter.add(count, lanes - 1), lanes)
        number = stack.enter_context(emitter.loop(*(bounds or (0, blocks)), plain=True))
        start = emitter.smaller(emitter.multiply(number, lanes), last)
        lane = stack.enter_context(emitter.loop(0, lanes))
        return emitter.add(start, lane)

    def _write_row(self, nest: _Nest, index: list[Ix], axis: int, count: int, lanes: int) -> None:
        """The few vectors of a short row one after another: no loop, so what they read may stay in registers while rows follow each other."""
        for start in range(0, count, lanes):
            width = min(lanes, count - start)
            if width & (width - 1):  # no vector of so few: some elements are computed twice
                start, width = count - lanes, lanes
            with self.emitter.loop(0, width) as lane:
                nest.body([*index[:axis], self.emitter.add(lane, start), *index[axis + 1 :]])

    def _row_width(self, nest: _Nest, runs: Sequence[list[int]]) -> int:
        """How many elements rows have whose sums are in registers in a loop over some axes and those inside of it; 0 if they are in memory."""
        sums = [m for m in nest.sums if m.is_reduction]
        if self._register_row is not None or self._overwritten or self.group.written_out or len(nest.sums) > _FEW:
            return 0
        if len(runs) < 2 or len(runs[-1]) > 1 or not 0 < len(sums) <= MOST_SUMS:
            return 0
        last, rows = runs[-1][0], [k for run in runs[:-1] for k in run]
        axis, added = nest.first + last, {nest.first + k for k in rows}
        if any(m.domain[nest.first :] != nest.sizes or is_costly(m.equation) for m in nest.sums):
            return 0
        for member in sums:
            axes = member.equation.params["axes"]
            if not self._is_sum(member) or axis in axes or not added <= set(axes):
                return 0
        if nest.depends_on(last) or not takes_registers([nest.sizes[k] for k in rows], len(runs[0])):
            return 0
        return row_width(nest.sizes[last], max(m.output.aval.dtype.itemsize for m in sums), len(sums))

    def _blocked(self, members: Sequence[Member], axis: int) -> bool:
        """Whether the innermost loop adds floats up in a register."""
        return any(self._is_register_sum(m) and axis in m.equation.params["axes"] for m in members)

    def _is_register_sum(self, member: Member) -> bool:
        return self._is_sum(member) and not self._in_memory(member)

    def _is_sum(self, member: Member) -> bool:
        return member.equation.primitive.kernel == "reduce_sum" and member.output.aval.dtype.kind == "f"

    def _row_sums(self, nest: _Nest, run: list[int], index: list[Ix], in_registers: bool) -> list[RowSum]:
        """The sums that a loop over some axes of a nest adds to row by row, so many rows that it takes them in blocks; it always does where they are in registers meanwhile."""
        first, last = nest.first + run[0], nest.first + run[-1]
        turns, before = [nest.sizes[k] for k in run], [*nest.outer, *index]
        found = []
        for member in nest.sums or self.group.members.values():
            if not self._is_sum(member) or not self._in_memory(member) or member.output in self._in_blocks:
                continue
            domain, axes, kept = member.domain, member.equation.params["axes"], self._kept(member)
            shape, inner = [tuple([domain[a] for a in some if a > last]) for some in (kept, axes)]
            if (
                set(range(first, last + 1)) <= set(axes)
                and math.prod(shape) > 1
                and (in_registers or takes_blocks(turns, inner))
            ):
                at = tuple([before[a] if a < first else 0 for a in kept])
                found.append(RowSum(member.output, at, shape, inner))
        return found

    def _open_blocked(
        self, stack: ExitStack, count: Ix, members: Sequence[Member], bounds: tuple[Ix, Ix] | None, part: int | None
    ) -> Index:
        emitter = self.emitter
        blocks, _ = emitter.divide(emitter.add(count, _BLOCK - 1), _BLOCK)
        number = stack.enter_context(emitter.loop(*(bounds or (0, blocks))))
        start = emitter.multiply(number, _BLOCK)
        stop = emitter.smaller(emitter.add(start, _BLOCK), count)
        totals = {
            key: self._accumulators[key] for m in members if self._is_register_sum(m) for key in self._registers(m)
        }
        partial = {}
        for var, at in totals:
            partial[var, at] = emitter.variable(llvm_type(var.aval.dtype))
            k = emitter.scalar
            k.builder.store(constant_identity("reduce_sum", k, var.aval.dtype).ir, partial[var, at])

        def close() -> None:
            k = emitter.scalar
            for key, place in totals.items():
                dtype = key[0].aval.dtype
                total = Value(k.builder.load(place), dtype)
                # No reassociation here: it would undo the blocks.
                k.builder.store(k.add(total, Value(k.builder.load(partial[key]), dtype)).ir, place)
            self._accumulators.update(totals)

        stack.callback(close)
        self._accumulators.update(partial)
        if part is not None:
            return self._open_parts(stack, start, stop, part)
        return stack.enter_context(emitter.loop(start, stop))

    # -- one level of one turn --------------------------------------------------------------------------------------------

    def _write_level(self, outer: list[Ix], members: Sequence[Member]) -> None:
        depth = len(self.group.prefix)
        others = []  # a row added up here once more would count twice
        for member in members:
            if all(n == 1 for n in member.domain[depth:]) and (member.is_global or not member.is_reduction):
                self._write_member(member, (*outer, *[0] * (len(member.domain) - depth)))
            else:
                others.append(member)
        for domain in dict.fromkeys(m.domain for m in others):
            together = [m for m in others if m.domain == domain]
            for member in together:
                if member.is_reduction and not member.is_global:
                    self._start(member, tuple(outer))

            def turn(inner: list[Ix], together: Sequence[Member] = together) -> None:
                for member in together:
                    self._write_member(member, (*outer, *inner))

            if 0 not in domain:
                self._write_loops(domain[depth:], outer, self._patterns(together), together, turn)
            for member in together:
                if member.is_reduction and not member.is_global:
                    self._finish_local(member, tuple(outer))

    def _write_member(self, member: Member, index: Ixs) -> None:
        if member.is_reduction:
            self._accumulate(member, index)
            return
        value = self.elements.compute(member.equation, index)
        self.elements.know(member.output, index, value)
        place = self.elements.storage.get(member.output)
        if isinstance(place, Memory):
            self.elements.store(value.value, place, index)

    def _write_out(self, member: Member, outer: list[Ix]) -> None:
        """Write a member's elements inside one turn one after another."""
        indices = [(*outer, *inner) for inner in itertools.product(*map(range, member.domain[len(outer) :]))]
        if not member.is_reduction or member.is_global:
            for index in indices:
                self._write_member(member, index)
            return
        k, out, kernel = self.emitter.scalar, member.output, member.equation.primitive.kernel
        first = constant_identity(kernel, k, out.aval.dtype)
        inner_shape = out.aval.shape[len(outer) :]
        totals = {(*outer, *inner): first for inner in itertools.product(*map(range, inner_shape))}
        for index in indices:
            at = tuple([index[a] for a in self._kept(member)])
            totals[at] = combine(kernel, k, totals[at], self.elements.element(member.equation.inputs[0], index).value)
        place = self.elements.storage.get(out)
        for at, total in totals.items():
            self.elements.know(out, at, Located(total, self.emitter.depth))
            if isinstance(place, Memory):
                self.elements.store(total, place, at)

    # -- reductions -------------------------------------------------------------------------------------------------------

    def _kept(self, member: Member) -> tuple[int, ...]:
        return tuple(a for a in range(len(member.domain)) if a not in member.equation.params["axes"])

    def _in_memory(self, member: Member) -> bool:
        """Whether the running values are elements of the result: there is more than one at a time."""
        lead = len(self.group.prefix)
        first = 0 if member.is_global else lead
        last = lead if self.group.written_out else len(member.domain)
        return any(first <= a < last and member.domain[a] != 1 for a in self._kept(member))

    def _registers(self, member: Member) -> list[tuple[Var, Ixs]]:
        """The running values that are kept in registers, by their indices in the result."""
        shape = member.output.aval.shape if self.group.written_out else ()
        return [(member.output, at) for at in itertools.product(*map(range, shape))]

    def _start(self, member: Member, outer: Ixs = ()) -> None:
        if self._in_memory(member):
            self._fill(member, outer)
            return
        k, dtype = self.emitter.scalar, member.output.aval.dtype
        for key in self._registers(member):
            place = self._accumulators[key] = self.emitter.variable(llvm_type(dtype))
            k.builder.store(constant_identity(member.equation.primitive.kernel, k, dtype).ir, place)

    def _fill(self, member: Member, outer: Ixs) -> None:
        """Write the starting value to every element that this turn reduces into."""
        place = self.elements.storage[member.output]
        assert isinstance(place, Memory)
        shape = member.output.aval.shape[len(outer) :]
        if member.equation.primitive.kernel == "reduce_sum" and any(n > LARGEST_STATIC for n in shape):
            size = self.emitter.multiply(self.emitter.product(shape), place.dtype.itemsize)
            self.emitter.clear(self.elements.pointer(place, (*outer, *[0] * len(shape))), size)
            return
        value = constant_identity(member.equation.primitive.kernel, self.emitter.scalar, place.dtype)
        with ExitStack() as stack:
            inner = [0 if n == 1 else stack.enter_context(self.emitter.loop(0, self.emitter.size(n))) for n in shape]
            self.elements.store(value, place, (*outer, *inner))

    def _accumulate(self, member: Member, index: Ixs) -> None:
        kernel, k = member.equation.primitive.kernel, self.emitter.scalar
        value = self.elements.element(member.equation.inputs[0], index).value
        at = tuple([index[a] for a in self._kept(member)])
        if self._in_memory(member):
            place = self.elements.storage[member.output]
            assert isinstance(place, Memory)
            row = self._register_row
            pointer = self.elements.pointer(place, at) if row is None else row.pointer(member.output)
            k.store(combine(kernel, k, k.load(pointer, place.dtype), value), pointer)
            return
        variable = self._accumulators[member.output, at if self.group.written_out else ()]
        total = Value(k.builder.load(variable), member.output.aval.dtype)
        k.builder.store(combine(kernel, k, total, value).ir, variable)

    def _finish_local(self, member: Member, outer: Ixs) -> None:
        if self._in_memory(member):
            return
        k = self.emitter.scalar
        value = Value(k.builder.load(self._accumulators[member.output, ()]), member.output.aval.dtype)
        index = (*outer, *[0] * (len(member.output.aval.shape) - len(outer)))
        self.elements.know(member.output, index, Located(value, self.emitter.depth))
        place = self.elements.storage.get(member.output)
        if isinstance(place, Memory):
            self.elements.store(value, place, index)

    def _finish_global(self, member: Member) -> None:
        if self._in_memory(member):
            return
        place = self.elements.storage[member.output]
        assert isinstance(place, Memory)
        k = self.emitter.scalar
        for key in self._registers(member):
            value = Value(k.builder.load(self._accumulators[key]), place.dtype)
            self.elements.store(value, place, key[1] or (0,) * len(place.shape))


class _Nest(NamedTuple):
    """Loops inside others, whose indices are given: their sizes, what they read, the members in them, and what writes their body."""

    sizes: tuple[int, ...]
    outer: list[Ix]
    patterns: Patterns
    sums: Sequence[Member]
    body: Callable[[list[Ix]], None]

    @property
    def first(self) -> int:
        """The first axis of the domain that they run over."""
        return len(self.outer)

    def part_of(self, run: list[int]) -> int | None:
        """The only size that indices of an axis are divided by, if there is one."""
        found = self.patterns.divisors.get(self.first + run[0], set()) if len(run) == 1 else set()
        size = next(iter(found)) if len(found) == 1 else None
        return None if size in _SHIFTED else size

    def is_edged(self, run: list[int]) -> bool:
        """Whether edges of its axes or of those around it matter; those of axes that are written out inside of it are known."""
        return any(axis <= self.first + run[-1] for axis in self.patterns.edged)

    def depends_on(self, k: int) -> bool:
        """Whether it depends on the index of an axis what is done in a turn, or quotients of it."""
        patterns = self.patterns
        return any(self.first + k in axes for axes in (patterns.divisors, patterns.edged, patterns.chosen))

    def is_chosen_from(self, run: list[int]) -> bool:
        """Whether it depends on the index of a short axis which array is read."""
        short = len(run) == 1 and self.sizes[run[0]] <= MOST_AT_EDGE
        return short and self.first + run[0] in self.patterns.chosen and len(self.sums) <= _FEW


def _is_short(count: int, lanes: int, members: Sequence[Member]) -> bool:
    """Whether a row of so many elements is a few vectors of cheap operations."""
    return count <= _MOST_VECTORS * lanes and len(members) <= _FEW and not any(is_costly(m.equation) for m in members)


def _runs(sizes: Sequence[int], first: int, patterns: Patterns) -> list[list[int]]:
    """Axes that one loop runs over, for each loop."""
    runs: list[list[int]] = []
    for k, n in enumerate(sizes):
        if n == 1:
            continue
        if runs and runs[-1][-1] == k - 1 and patterns.mergeable(first + k - 1, n):
            runs[-1].append(k)
        else:
            runs.append([k])
    return runs
