"""The innermost loops of a kernel as vector code.

Rules write scalar loops. LLVM would turn them into vector code too, but its passes for loops take longer than everything else about a
kernel. The loops here are simple: one block, a counter, no memory that is written and read through two names. What is not like that is left to
LLVM, the whole function with it.

Every value of such a loop is the same in all turns, or a number that grows by a fixed step from turn to turn, or different in each; only the
last kind takes vectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import llvmlite.ir as ir

from fad.compiler.llvm.math_library import definitions
from fad.compiler.llvm.vector_writer import (
    NEUTRAL,
    VectorWriter,
    call_vectors,
    element_bits,
    intrinsic_of,
    math_function,
)

__all__ = ["has_loops", "widen_loops"]

VARIES = None
"""The step of a value that is different in each turn."""
_UNKNOWN = 1 << 40
_FEW, _MANY = 10, 24
"""A loop of few instructions takes several vectors at once, to hide how long they take one after another; one of many would run out of registers."""


class _Unsuited(Exception):
    """A loop that is left to LLVM."""


class _Kept(_Unsuited):
    """A loop that LLVM can do nothing about either: what it does is done by a function that it calls."""


def widen_loops(function: ir.Function, most_turns: Mapping[ir.Block, int]) -> bool:
    """Make vector code of the innermost loops of a finished function; gives whether it did, for all of them or for none.

    Parameters
    ----------
    function : llvmlite.ir.Function
        The function.
    most_turns : mapping of Block to int
        How many turns loops may make, where that is known; loops that stay as they are have 0.

    Returns
    -------
    bool
        Whether LLVM needs to do nothing about its loops.
    """
    loops = []
    try:
        for block in _innermost(function, most_turns):
            with suppress(_Kept):
                loops.append(_Loop(block, most_turns.get(block, _UNKNOWN)))
    except _Unsuited:
        return False
    for loop in loops:
        loop.write()
    if definitions(function.module).used:
        call_vectors(function)
    return True


def has_loops(function: ir.Function) -> bool:
    """Whether a function has any loop."""
    return any(block.name.startswith(("loop", "repeat")) for block in function.blocks)


def _innermost(function: ir.Function, most_turns: Mapping[ir.Block, int]) -> Iterator[ir.Block]:
    """The blocks of innermost loops that are to be widened, each of which is a loop by itself."""
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
            raise _Unsuited
    for head, latch in heads.items():
        if most_turns.get(head) == 0:
            continue
        if head is latch:
            yield head
        elif not any(b in heads for b in _body(head, latch, before) if b is not head):
            raise _Unsuited


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
    """A variable that each turn of a loop combines with something.

    Attributes
    ----------
    place : llvmlite.ir.Value
        The variable.
    read, combined, written : llvmlite.ir.Instruction
        Its instructions in the loop.
    value : llvmlite.ir.Value
        What the variable is combined with.
    name : str
        How: a key of ``NEUTRAL``.
    """

    def __init__(self, read: Any, combined: Any, written: Any):
        self.place, self.read, self.combined, self.written = read.operands[0], read, combined, written
        self.name = _combination(combined)
        operands = combined.args if isinstance(combined, ir.CallInstr) else combined.operands
        (self.value,) = [o for o in operands if o is not read] or [None]


def _combination(instruction: Any) -> str:
    """The name of a way to combine that may be reordered; empty if it is none."""
    name = instruction.opname
    if isinstance(instruction, ir.CallInstr):
        name = instruction.callee.name.removeprefix("llvm.").rpartition(".")[0]
    elif name in ("fadd", "fmul") and "reassoc" not in instruction.flags:
        return ""
    return name if name in NEUTRAL else ""


class _Loop:
    """A loop of one block, taken apart."""

    def __init__(self, block: ir.Block, most: int):
        self.block, self.counter, self.most = block, block.instructions[0], most
        *self.body, _, self.test, self.back = block.instructions[1:]
        self.outer, self.last = self.counter.incomings[1][1], self.test.operands[1]
        self.first, self.done = self.counter.incomings[1][0], self.back.operands[2]
        is_known = isinstance(self.first, ir.Constant) and isinstance(self.last, ir.Constant)
        self.count = self.last.constant - self.first.constant if is_known else None
        self.steps: dict[int, Any] = {id(self.counter): 1}
        self._uses: dict[int, list[Any]] = {}
        for instruction in self.body:
            for operand in instruction.operands:
                self._uses.setdefault(id(operand), []).append(instruction)
        self.reductions = self._found_reductions()
        self._parts = {id(i) for r in self.reductions for i in (r.read, r.combined, r.written)}
        for instruction in self.body:
            if id(instruction) not in self._parts:
                self.steps[id(instruction)] = self._step_of(instruction)
        for reduction in self.reductions:
            if self.step(reduction.value) not in (0, VARIES):
                raise _Unsuited
        self._check_memory()
        self.lanes = self._lanes()

    def step(self, value: Any) -> Any:
        """By how much a value grows from turn to turn."""
        return self.steps.get(id(value), 0)

    # -- what there is ----------------------------------------------------------------------------------------------------

    def _found_reductions(self) -> list[_Reduction]:
        found = []
        for instruction in self.body:
            place = instruction.operands[0] if isinstance(instruction, ir.LoadInstr) else None
            if not isinstance(place, ir.AllocaInstr):
                continue
            uses = self._uses[id(place)]
            written = [u for u in uses if isinstance(u, ir.StoreInstr)]
            if not written:
                continue
            combined = self._uses.get(id(instruction), [])
            if len(uses) != 2 or len(combined) != 1 or written[0].operands[0] is not combined[0]:
                raise _Unsuited
            if len(self._uses[id(combined[0])]) != 1 or not _combination(combined[0]):
                raise _Unsuited
            reduction = _Reduction(instruction, combined[0], written[0])
            if reduction.value is None:
                raise _Unsuited
            found.append(reduction)
        return found

    def _step_of(self, instruction: Any) -> Any:
        """The step of an instruction whose operands' steps are known."""
        operands = instruction.args if isinstance(instruction, ir.CallInstr) else instruction.operands
        steps = [self.step(o) for o in operands]
        if isinstance(instruction, ir.StoreInstr):
            if steps[1] in (0, VARIES):
                raise _Unsuited
            return 0
        if isinstance(instruction, ir.LoadInstr):
            if steps[0] is VARIES:
                raise _Unsuited
            return 0 if steps[0] == 0 else VARIES
        if isinstance(instruction, ir.GEPInstr):
            if any(s != 0 for s in steps) and (steps[0] != 0 or len(operands) != 2 or steps[1] is VARIES):
                raise _Unsuited
            return steps[-1]
        if isinstance(instruction, ir.CallInstr):
            if intrinsic_of(instruction) is None and math_function(instruction) is None:
                raise _Unsuited if instruction.callee.name.startswith("llvm.") else _Kept
        elif isinstance(instruction.type, ir.PointerType | ir.VoidType) or isinstance(instruction, ir.PhiInstr):
            raise _Unsuited
        if all(s == 0 for s in steps):
            return 0
        return _arithmetic(instruction, steps)

    def _check_memory(self) -> None:
        """Every array that is written is touched at one place in each turn."""
        others = [i for i in self.body if id(i) not in self._parts]
        stored: dict[int, list[int]] = {}
        for instruction in others:
            if isinstance(instruction, ir.StoreInstr):
                pointer = instruction.operands[1]
                place = [id(o) for o in pointer.operands]
                if stored.setdefault(id(_root(pointer)), place) != place:
                    raise _Unsuited
        for instruction in others:
            if isinstance(instruction, ir.LoadInstr) and stored:
                pointer = instruction.operands[0]
                place = [id(o) for o in getattr(pointer, "operands", ())]
                if stored.get(id(_root(pointer)), place) != place:
                    raise _Unsuited

    # -- writing ----------------------------------------------------------------------------------------------------------

    def _lanes(self) -> int:
        """How many turns are done at once."""
        varying = [i for i in self.body if self.steps.get(id(i), VARIES) is VARIES]
        bits = max([element_bits(i) for i in varying], default=64)
        full = max(definitions(self.block.module).target.vector_bits // max(bits, 8), 2)
        one_by_one = any(isinstance(i, ir.CallInstr) and math_function(i) for i in varying)
        if self.count is not None:
            if self.count not in (8, 16, 32, 64) or self.reductions:
                raise _Unsuited
            return min(full, self.count) if one_by_one or len(varying) > _MANY else self.count
        if one_by_one:
            return full
        vectors = 4 if len(varying) <= _FEW else 2 if len(varying) <= _MANY else 1
        while vectors > 1 and self.most <= 4 * vectors * full:
            vectors //= 2
        return vectors * full

    def write(self) -> None:
        """Put vector code in the place of the loop."""
        if self.count is not None:
            self._write_whole()
        else:
            self._write_parts()

    def _write_whole(self) -> None:
        """One vector is all there is, or a few."""
        outer, block, i64 = self.outer, self.block, self.counter.type
        del outer.instructions[-1]
        _end(outer, ir.Branch(outer, "br", [block]))
        block.instructions = []
        if self.lanes == self.count:
            VectorWriter(self, block, self.lanes).write(self.first)
            _end(block, ir.Branch(block, "br", [self.done]))
            return
        at = _put(block, ir.PhiInstr(block, i64, ""))
        VectorWriter(self, block, self.lanes).write(at)
        following = _put(block, ir.Instruction(block, i64, "add", [at, ir.Constant(i64, self.lanes)], flags=["nsw"]))
        test = _put(block, ir.ICMPInstr(block, "slt", following, self.last))
        _end(block, ir.ConditionalBranch(block, "br", [test, block, self.done]))
        at.add_incoming(self.first, outer)
        at.add_incoming(following, block)

    def _write_parts(self) -> None:
        """A loop over whole vectors, and the loop as it was for the rest."""
        function, bit = self.block.function, ir.IntType(1)
        whole, total, rest = (function.append_basic_block(n) for n in ("vectors", "total", "rest"))
        outer, i64 = self.outer, self.counter.type
        del outer.instructions[-1]
        count = _put(outer, ir.Instruction(outer, i64, "sub", [self.last, self.first]))
        count = _put(outer, ir.Instruction(outer, i64, "and", [count, ir.Constant(i64, -self.lanes)]))
        limit = _put(outer, ir.Instruction(outer, i64, "add", [self.first, count]))
        test = _put(outer, ir.ICMPInstr(outer, "slt", self.first, limit))
        _end(outer, ir.ConditionalBranch(outer, "br", [test, whole, rest]))

        at = _put(whole, ir.PhiInstr(whole, i64, ""))
        writer = VectorWriter(self, whole, self.lanes)
        writer.begin(outer)
        writer.write(at)
        following = _put(whole, ir.Instruction(whole, i64, "add", [at, ir.Constant(i64, self.lanes)], flags=["nsw"]))
        test = _put(whole, ir.ICMPInstr(whole, "slt", following, limit))
        _end(whole, ir.ConditionalBranch(whole, "br", [test, whole, total]))
        at.add_incoming(self.first, outer)
        at.add_incoming(following, whole)
        writer.finish(total)
        _end(total, ir.Branch(total, "br", [rest]))

        start = _put(rest, ir.PhiInstr(rest, i64, ""))
        start.add_incoming(self.first, outer)
        start.add_incoming(limit, total)
        test = _put(rest, ir.ICMPInstr(rest, "slt", start, self.last))
        _end(rest, ir.ConditionalBranch(rest, "br", [test, self.block, self.done]))
        self.counter.incomings[1] = (start, rest)
        assert test.type == bit


def _put(block: ir.Block, instruction: Any) -> Any:
    block.instructions.append(instruction)
    return instruction


def _end(block: ir.Block, terminator: Any) -> None:
    block.instructions.append(terminator)
    block.terminator = terminator


def _arithmetic(instruction: Any, steps: list[Any]) -> Any:
    """The step of a number computed from others, which are not all fixed."""
    if VARIES in steps or not isinstance(instruction.type, ir.IntType):
        return VARIES
    if instruction.opname == "add":
        return (
            steps[0] + steps[1]
            if all(isinstance(s, int) for s in steps)
            else steps[0]
            if steps[1] == 0
            else steps[1]
            if steps[0] == 0
            else VARIES
        )
    if instruction.opname == "sub" and steps[1] == 0:
        return steps[0]
    if instruction.opname == "mul" and 0 in steps:
        factor, step = (instruction.operands[0], steps[1]) if steps[0] == 0 else (instruction.operands[1], steps[0])
        if isinstance(step, int) and isinstance(factor, ir.Constant):
            return step * factor.constant
        return factor if step == 1 else VARIES
    return VARIES


def _root(pointer: Any) -> Any:
    """The array that an address lies in; it overlaps with no other."""
    while isinstance(pointer, ir.GEPInstr | ir.CastInstr):
        pointer = pointer.operands[0]
    if isinstance(pointer, ir.Argument) and "noalias" in pointer.attributes:
        return pointer
    if isinstance(pointer, ir.AllocaInstr):
        return pointer
    raise _Unsuited
