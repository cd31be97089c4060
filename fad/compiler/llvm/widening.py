"""The innermost loops of a kernel as vector code.

Rules write scalar loops. LLVM would turn them into vector code too, but its passes for loops take longer than everything else about a
kernel. The loops here are simple: a counter, no branches but around values that are read only where a condition holds, no memory that is written
and read through two names. What is not like that is left to LLVM, the whole function with it.

Every value of such a loop is the same in all turns, or a number that grows by a fixed step from turn to turn, or different in each; only the
last kind takes vectors.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any

import llvmlite.ir as ir

from fad.compiler.llvm.beside import is_neighbour
from fad.compiler.llvm.loop_values import VARIES, Unsuited, root_of, step_of_arithmetic, terms_of
from fad.compiler.llvm.math_library import definitions
from fad.compiler.llvm.sparse_sums import find_sparse_sums, write_vanishing
from fad.compiler.llvm.vector_writer import (
    NEUTRAL,
    VectorWriter,
    call_vectors,
    element_bits,
    intrinsic_of,
    math_function,
    math_lanes,
)

__all__ = ["expected_version", "has_loops", "widen_loops"]

_UNKNOWN = 1 << 40
_FEW, _MANY = 10, 24
"""A loop of few instructions takes several vectors at once, to hide how long they take one after another; one of many would run out of registers."""
_MOST_TWICE, _FEW_ALIVE = 80, 5
"""So many instructions that need so few registers take two vectors where each turn waits for the sum or extreme of those before."""
_PER_CALL = 64
"""Where there are so many instructions for each call of a math function, what two registers at once save is less than what their values cost that wait in memory."""


class _Kept(Unsuited):
    """A loop that LLVM can do nothing about either: a function that it calls does the work, or it writes to places that data say."""


def widen_loops(function: ir.Function, most_turns: Mapping[ir.Block, int], whole: Container[ir.Block] = ()) -> bool:
    """Make vector code of the innermost loops of a finished function; gives whether it did, for all of them or for none.

    Parameters
    ----------
    function : llvmlite.ir.Function
        The function.
    most_turns : mapping of Block to int
        How many turns loops may make, where that is known; loops that stay as they are have 0.
    whole : container of Block
        Loops whose turns, a small power of 2, are all done at once.

    Returns
    -------
    bool
        Whether LLVM needs to do nothing about its loops.
    """
    loops = []
    try:
        for head, latch, nested in _innermost(function, most_turns):
            with suppress(_Kept):
                loops.append(_Loop(head, latch, most_turns.get(head, _UNKNOWN), nested, head in whole))
    except Unsuited:
        return False
    for loop in loops:
        loop.write()
    if definitions(function.module).used:
        call_vectors(function)
    return True


def expected_version(module: ir.Module, name: str, dtype: str, count: int | None) -> str:
    """The version of a math function that a loop will call, of so many turns if that is known, whose values are all as wide as the function's."""
    known = definitions(module)
    full = known.target.vector_bits // int(dtype[1:])
    return f"fad_{name}_{dtype}_v{math_lanes(module, dtype, _lanes_of_few(count, full, 2) if count else full)}"


def has_loops(function: ir.Function) -> bool:
    """Whether a function has any loop."""
    return any(block.name.startswith(("loop", "repeat")) for block in function.blocks)


def _innermost(function: ir.Function, most_turns: Mapping[ir.Block, int]) -> Iterator[tuple[ir.Block, ir.Block, bool]]:
    """The first and the last block of each innermost loop that is to be widened, and whether it is inside another loop."""
    before: dict[ir.Block, list[ir.Block]] = {}
    for block in function.blocks:
        for following in block.terminator.operands:
            if isinstance(following, ir.Block):
                before.setdefault(following, []).append(block)
    heads = {}
    for block in function.blocks:
        first = block.instructions[0]
        if isinstance(first, ir.PhiInstr) and any(_is_head(block, source) for _, source in first.incomings):
            heads[block] = first.incomings[0][1]
        elif block.name.startswith("repeat"):
            raise Unsuited
    bodies = {head: {head} if head is latch else set(_body(head, latch, before)) for head, latch in heads.items()}
    for head, latch in heads.items():
        if most_turns.get(head) == 0:
            continue
        if head is latch or not any(b in heads for b in bodies[head] if b is not head):
            yield head, latch, any(head in body for other, body in bodies.items() if other is not head)


def _is_head(block: ir.Block, source: ir.Block) -> bool:
    return block.name.startswith("loop") and source is block.instructions[0].incomings[0][1]


def _body(head: ir.Block, latch: ir.Block, before: dict[ir.Block, list[ir.Block]]) -> Iterable[ir.Block]:
    found, pending = {head}, [latch]
    while pending:
        block = pending.pop()
        if block not in found:
            found.add(block)
            pending += before.get(block, ())
    return found


class _Reduction:
    """A variable that each turn of a loop combines with something, once or several times.

    Attributes
    ----------
    place : llvmlite.ir.Value
        The variable.
    read, written : llvmlite.ir.Instruction
        The first instruction in the loop that touches it, and the last.
    links : dict of int to llvmlite.ir.Value
        What it is combined with, by the identity of the instruction that does so.
    combined : llvmlite.ir.Instruction
        The first of these instructions.
    name : str
        How: a key of ``NEUTRAL``.
    """

    def __init__(self, read: Any, written: Any, uses: Mapping[int, list[Any]]):
        self.place, self.read, self.written = read.operands[0], read, written
        self.links: dict[int, Any] = {}
        before = read
        while before is not written.operands[0]:
            combined = uses[id(before)][0] if len(uses.get(id(before), ())) == 1 else None
            name = "" if combined is None else _combination(combined)
            if not name or (self.links and name != self.name):
                raise Unsuited
            operands = combined.args if isinstance(combined, ir.CallInstr) else combined.operands
            others = [o for o in operands if o is not before]
            if len(others) != 1:
                raise Unsuited
            if not self.links:
                self.name, self.combined, self.value = name, combined, others[0]
            self.links[id(combined)] = others[0]
            before = combined
        if not self.links or len(uses[id(before)]) != 1:
            raise Unsuited


def _combination(instruction: Any) -> str:
    """The name of a way to combine that may be reordered; empty if it is none."""
    name = instruction.opname
    if isinstance(instruction, ir.CallInstr):
        name = instruction.callee.name.removeprefix("llvm.").rpartition(".")[0]
    elif name in ("fadd", "fmul") and "reassoc" not in instruction.flags:
        return ""
    return name if name in NEUTRAL else ""


class _Body:
    """The instructions of a loop in one row.

    Attributes
    ----------
    blocks : list of Block
        Where they stand.
    instructions : list of llvmlite.ir.Instruction
        All but the counter and what decides about another turn.
    masks : dict of int to llvmlite.ir.Value
        The condition under which a load reads, by its identity.
    choices : dict of int to (condition, value, otherwise)
        What the place where branches meet gives, by its identity.
    """

    def __init__(self, head: ir.Block, latch: ir.Block):
        self.blocks: list[ir.Block] = []
        self.instructions: list[Any] = []
        self.masks: dict[int, Any] = {}
        self.choices: dict[int, tuple[Any, Any, Any]] = {}
        self._latch = latch
        self._walk(head, None, None)
        del self.instructions[-2:]
        del self.instructions[0]
        self._forward()

    def _walk(self, block: ir.Block, condition: Any, end: ir.Block | None) -> ir.Block:
        """Take the instructions from one block up to where branches meet again; gives the last block before that."""
        while True:
            self.blocks.append(block)
            taken = block.instructions[:-1]
            self.instructions += taken
            if condition is not None:
                for instruction in taken:
                    self._only_where(instruction, condition)
            if block is self._latch:
                return block
            way = block.terminator
            if isinstance(way, ir.Branch) and way.operands == [end]:
                return block
            if not isinstance(way, ir.ConditionalBranch):
                raise Unsuited
            chosen, inside, after = way.operands
            both = chosen
            if condition is not None:
                both = ir.Instruction(block, chosen.type, "and", [condition, chosen])
                self.instructions.append(both)
            last = self._walk(inside, both, after)
            meeting = after.instructions[0]
            known = {id(b): value for value, b in getattr(meeting, "incomings", ())}
            if known.keys() != {id(last), id(block)} or isinstance(after.instructions[1], ir.PhiInstr):
                raise Unsuited
            self.choices[id(meeting)] = chosen, known[id(last)], known[id(block)]
            block = after

    def _only_where(self, instruction: Any, condition: Any) -> None:
        if isinstance(instruction, ir.LoadInstr):
            self.masks[id(instruction)] = condition
        elif isinstance(instruction, ir.StoreInstr) or instruction.opname in ("udiv", "sdiv", "urem", "srem"):
            raise Unsuited

    def _forward(self) -> None:
        """Let what is read from a variable after it was written be what was written."""
        touched: dict[int, list[Any]] = {}
        for instruction in self.instructions:
            for operand in instruction.operands:
                if isinstance(operand, ir.AllocaInstr):
                    touched.setdefault(id(operand), []).append(instruction)
        dropped: set[int] = set()
        for instructions in touched.values():
            if not all(isinstance(i, ir.LoadInstr | ir.StoreInstr) for i in instructions):
                continue
            written = None
            for instruction in instructions:
                if isinstance(instruction, ir.StoreInstr):
                    dropped.add(id(written))
                    written = instruction
                elif written is not None:
                    self._replace(instruction, written.operands[0])
                    dropped.add(id(instruction))
            if written is not None and instructions[0].opname == "store" and not self._is_known_outside(written):
                dropped.add(id(written))
        if dropped:
            self.instructions = [i for i in self.instructions if id(i) not in dropped]
            for block in self.blocks:
                block.instructions = [i for i in block.instructions if id(i) not in dropped]

    def _replace(self, old: Any, new: Any) -> None:
        for block in self.blocks:
            for instruction in block.instructions:
                instruction.replace_usage(old, new)
        for instruction in self.instructions:
            instruction.replace_usage(old, new)
        for known in (self.masks, self.choices):
            for key, values in known.items():
                known[key] = (
                    tuple(new if v is old else v for v in values)
                    if isinstance(values, tuple)
                    else new
                    if values is old
                    else values
                )

    def _is_known_outside(self, store: Any) -> bool:
        """Whether something outside the loop touches the variable that is written."""
        place = store.operands[1]
        others = (b for b in store.function.blocks if b not in self.blocks)
        return any(o is place for b in others for i in b.instructions for o in i.operands)


class _Loop:
    """A loop without loops inside, taken apart.

    Attributes
    ----------
    masks, choices : dict
        Those of its :class:`_Body`.
    count : int or None
        How many turns it makes, if that is known.
    lanes : int
        How many turns are done at once.
    """

    def __init__(self, head: ir.Block, latch: ir.Block, most: int, nested: bool, whole: bool):
        self.head, self.latch, self.counter, self.most = head, latch, head.instructions[0], most
        self._is_whole = whole
        self.test, self.back = latch.instructions[-2:]
        self.outer, self.last = self.counter.incomings[1][1], self.test.operands[1]
        self.first, self.done = self.counter.incomings[1][0], self.back.operands[2]
        is_known = isinstance(self.first, ir.Constant) and isinstance(self.last, ir.Constant)
        self.count = self.last.constant - self.first.constant if is_known else None
        flat = _Body(head, latch)
        if any(isinstance(i, ir.CallInstr) and _is_work(i) for i in flat.instructions):
            raise _Kept
        self._blocks, self.body, self.masks, self.choices = flat.blocks, flat.instructions, flat.masks, flat.choices
        self.steps: dict[int, Any] = {id(self.counter): 1}
        self._uses: dict[int, list[Any]] = {}
        for instruction in self.body:
            for operand in self.operands(instruction):
                self._uses.setdefault(id(operand), []).append(instruction)
        self.reductions: list[_Reduction] = []
        self._parts: set[int] = set()
        for instruction in self.body:
            if id(instruction) not in self._parts and not self._is_reduction(instruction):
                self.steps[id(instruction)] = self._step_of(instruction)
        for reduction in self.reductions:
            if any(self.step(value) not in (0, VARIES) for value in reduction.links.values()):
                raise Unsuited
        self._check_memory()
        self._sparse = find_sparse_sums(self)
        self._full = 0
        self.lanes = self._lanes()
        # A loop that runs again and again leaves few turns to do one by one.
        self._widths = [self.lanes, self._full] if nested and self.lanes > self._full else [self.lanes]

    def operands(self, instruction: Any) -> Any:
        """What an instruction computes with."""
        if id(instruction) in self.choices:
            return self.choices[id(instruction)]
        return instruction.args if isinstance(instruction, ir.CallInstr) else instruction.operands

    def step(self, value: Any) -> Any:
        """By how much a value grows from turn to turn."""
        return self.steps.get(id(value), 0)

    # -- what there is ----------------------------------------------------------------------------------------------------

    def _is_reduction(self, instruction: Any) -> bool:
        """Whether a value is read, combined and written back at one place; takes the instructions that do so."""
        place = instruction.operands[0] if isinstance(instruction, ir.LoadInstr) else None
        if place is None or self.step(place) != 0:
            return False
        uses = self._uses[id(place)]
        written = [u for u in uses if isinstance(u, ir.StoreInstr)]
        if not written:
            return False
        if len(uses) != 2:
            raise Unsuited
        reduction = _Reduction(instruction, written[0], self._uses)
        self.reductions.append(reduction)
        self._parts |= {id(reduction.read), id(reduction.written), *reduction.links}
        return True

    def _step_of(self, instruction: Any) -> Any:
        """The step of an instruction whose operands' steps are known."""
        steps = [self.step(o) for o in self.operands(instruction)]
        if isinstance(instruction, ir.StoreInstr):
            if steps[1] == 0:
                raise Unsuited
            if steps[1] is VARIES:
                raise _Kept
            return 0
        if isinstance(instruction, ir.LoadInstr):
            return 0 if steps[0] == 0 and id(instruction) not in self.masks else VARIES
        if isinstance(instruction, ir.GEPInstr):
            if any(s != 0 for s in steps) and (steps[0] != 0 or len(steps) != 2):
                raise Unsuited
            return steps[-1]
        if is_neighbour(instruction):
            return VARIES
        if isinstance(instruction, ir.CallInstr):
            if intrinsic_of(instruction) is None and math_function(instruction) is None:
                raise Unsuited
        elif isinstance(instruction.type, ir.PointerType | ir.VoidType):
            raise Unsuited
        elif isinstance(instruction, ir.PhiInstr) and id(instruction) not in self.choices:
            raise Unsuited
        if all(s == 0 for s in steps):
            return 0
        return step_of_arithmetic(instruction, steps)

    def _check_memory(self) -> None:
        """No turn reads or writes what another one writes."""
        stored = {id(root_of(r.place)) for r in self.reductions}
        if len(stored) < len(self.reductions):
            raise Unsuited
        places: dict[int, list[Any]] = {}
        written: set[int] = set()
        for instruction in self.body:
            if id(instruction) in self._parts or not isinstance(instruction, ir.LoadInstr | ir.StoreInstr):
                continue
            pointer = instruction.operands[-1]
            if isinstance(instruction, ir.StoreInstr):
                written.add(id(root_of(pointer)))
            elif not (stored or written or self._writes_memory):
                continue
            places.setdefault(id(root_of(pointer)), []).append(pointer)
        if not stored.isdisjoint(places) or not all(self._are_apart(places[root]) for root in written):
            raise Unsuited

    @cached_property
    def _writes_memory(self) -> bool:
        return any(isinstance(i, ir.StoreInstr) and id(i) not in self._parts for i in self.body)

    def _are_apart(self, pointers: list[Any]) -> bool:
        """Whether addresses in one array are the same place in each turn, or places that no two turns have in common."""
        known = {tuple([id(o) for o in getattr(p, "operands", ())]): p for p in pointers}
        if len(known) == 1:
            return True
        (first, *others) = known.values()
        step = self.step(first)
        if not all(isinstance(p, ir.GEPInstr) and len(p.operands) == 2 for p in known.values()) or not step:
            return False
        if any(p.operands[0] is not first.operands[0] or self.step(p) != step for p in others):
            return False
        sums = [terms_of(p.operands[1]) for p in known.values()]
        offsets = {s.pop(0, 0) for s in sums}
        return all(s == sums[0] for s in sums) and len({n % step for n in offsets}) == len(offsets)

    # -- writing ----------------------------------------------------------------------------------------------------------

    def _lanes(self) -> int:
        """How many turns are done at once."""
        varying = [i for i in self.body if self.steps.get(id(i), VARIES) is VARIES]
        bits = max([element_bits(i) for i in varying], default=64)
        target = definitions(self.head.module).target
        full = self._full = max(target.vector_bits // max(bits, 8), 2)
        if self.count is not None and any(map(is_neighbour, self.body)):
            return self.count
        calls = sum(isinstance(i, ir.CallInstr) and math_function(i) is not None for i in varying)
        one_by_one = calls > 0
        is_large = one_by_one or len(varying) > _MANY
        places = [i.operands[0] for i in varying if isinstance(i, ir.LoadInstr)]
        places += [i.operands[1] for i in self.body if isinstance(i, ir.StoreInstr) and id(i) not in self._parts]
        if self.count is not None:
            if self.count < 1:
                raise Unsuited
            if self._is_whole or (self.count in (8, 16, 32, 64) and not is_large):
                return self.count
            is_crowded = len(varying) >= _PER_CALL * calls and self._most_alive() > 2 * target.registers
            return _lanes_of_few(self.count, full, 4 if not is_large else 2 if one_by_one and not is_crowded else 1)
        if one_by_one or any(self.step(p) != 1 for p in places):
            return full
        waits = bool(self.reductions) and len(varying) <= _MOST_TWICE and self._most_alive() <= _FEW_ALIVE
        vectors = 4 if len(varying) <= _FEW else 2 if len(varying) <= _MANY or waits else 1
        while vectors > 1 and self.most <= 4 * vectors * full:
            vectors //= 2
        return vectors * full

    def _most_alive(self) -> int:
        """How many different values of a turn are needed at the same time."""
        last = {id(o): n for n, i in enumerate(self.body) for o in self.operands(i)}
        alive: set[int] = set()
        most = 0
        for number, instruction in enumerate(self.body):
            alive -= {id(o) for o in self.operands(instruction) if last[id(o)] == number}
            if self.steps.get(id(instruction), 0) is VARIES:
                alive.add(id(instruction))
            most = max(most, len(alive))
        return most

    def write(self) -> None:
        """Put vector code in the place of the loop."""
        if self.count is not None:
            self._write_whole(self.count)
        else:
            self._write_parts()

    def _write_whole(self, count: int) -> None:
        """A few vectors are all there is; the last one may be shorter."""
        outer, block, i64 = self.outer, self.head, self.counter.type
        function, first = block.function, self.first.constant
        del outer.instructions[-1]
        _end(outer, ir.Branch(outer, "br", [block]))
        block.instructions = []
        for other in self._blocks[1:]:
            function.blocks.remove(other)
        turns, rest = divmod(count, self.lanes)
        if turns == 1:
            self._write_once(block, self.first, self.lanes)
        else:
            at = _put(block, ir.PhiInstr(block, i64, ""))
            writer = VectorWriter(self, block, self.lanes)
            writer.begin(outer)
            writer.write(at)
            following = _put(
                block, ir.Instruction(block, i64, "add", [at, ir.Constant(i64, self.lanes)], flags=["nsw"])
            )
            limit = ir.Constant(i64, first + turns * self.lanes)
            test = _put(block, ir.ICMPInstr(block, "slt", following, limit))
            total = function.append_basic_block("total")
            _end(block, ir.ConditionalBranch(block, "br", [test, block, total]))
            at.add_incoming(self.first, outer)
            at.add_incoming(following, block)
            writer.finish(total)
            block = total
        if rest:
            self._write_once(block, ir.Constant(i64, first + turns * self.lanes), rest)
        _end(block, ir.Branch(block, "br", [self.done]))

    def _write_once(self, block: ir.Block, at: ir.Value, lanes: int) -> None:
        writer = VectorWriter(self, block, lanes)
        writer.write(at)
        writer.finish(block)

    def _write_parts(self) -> None:
        """A loop over whole vectors, perhaps one over fewer lanes, and the loop as it was for the rest."""
        function, i64 = self.head.function, self.counter.type
        source, start = self.outer, self.first
        del source.instructions[-1]
        totals: dict[Any, ir.Value] | None = None
        vanishing = None if self._sparse is None else write_vanishing(self, source, self._sparse)
        for lanes in self._widths:
            whole, total, rest = (function.append_basic_block(n) for n in ("vectors", "total", "rest"))
            count = _put(source, ir.Instruction(source, i64, "sub", [self.last, start]))
            count = _put(source, ir.Instruction(source, i64, "and", [count, ir.Constant(i64, -lanes)]))
            limit = _put(source, ir.Instruction(source, i64, "add", [start, count]))
            test = _put(source, ir.ICMPInstr(source, "slt", start, limit))
            _end(source, ir.ConditionalBranch(source, "br", [test, whole, rest]))

            at = _put(whole, ir.PhiInstr(whole, i64, ""))
            writer = VectorWriter(self, whole, lanes)
            writer.begin(source, totals)
            last = whole
            if self._sparse is None:
                writer.write(at)
            else:
                last = writer.write_where(at, self._sparse, vanishing)
            following = _put(last, ir.Instruction(last, i64, "add", [at, ir.Constant(i64, lanes)], flags=["nsw"]))
            test = _put(last, ir.ICMPInstr(last, "slt", following, limit))
            _end(last, ir.ConditionalBranch(last, "br", [test, whole, total]))
            at.add_incoming(start, source)
            at.add_incoming(following, last)

            begun = _put(rest, ir.PhiInstr(rest, i64, ""))
            begun.add_incoming(start, source)
            begun.add_incoming(limit, total)
            if len(self._widths) == 1:
                writer.finish(total)
            else:
                totals = writer.narrow(total, self._widths[-1], rest, source)
            _end(total, ir.Branch(total, "br", [rest]))
            source, start = rest, begun
        if totals:
            VectorWriter(self, source, self._widths[-1]).finish(source, totals)
        test = _put(source, ir.ICMPInstr(source, "slt", start, self.last))
        _end(source, ir.ConditionalBranch(source, "br", [test, self.head, self.done]))
        self.counter.incomings[1] = (start, source)


def _is_work(call: ir.CallInstr) -> bool:
    """Whether a call is neither LLVM's nor the math library's."""
    name = getattr(call.callee, "name", "")
    return not name.startswith("llvm.") and math_function(call) is None


def _lanes_of_few(count: int, full: int, most: int) -> int:
    """How many of a known number of turns are done at once, by vectors of at most so many registers."""
    return count if count <= full else min(_whole_power(count), most * full)


def _whole_power(count: int) -> int:
    """The largest power of 2 that is not larger."""
    return 1 << (count.bit_length() - 1)


def _put(block: ir.Block, instruction: Any) -> Any:
    block.instructions.append(instruction)
    return instruction


def _end(block: ir.Block, terminator: Any) -> None:
    block.instructions.append(terminator)
    block.terminator = terminator
