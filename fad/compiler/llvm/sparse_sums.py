"""Loops that add numbers to several arrays, most of which are zeros: gradients of a minimum reach the smallest element alone.

Each turn adds what follows from one number that is chosen by a condition, and zero elsewhere. Where no lane of a vector meets the condition there is
nothing to add, unless zero times something is not zero: that something is the same in all turns, so that it is asked for before the loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import llvmlite.ir as ir

from fad.compiler.llvm.vector_writer import copied

__all__ = ["SparseSums", "find_sparse_sums", "write_vanishing"]

_FEWEST = 3
"""So many sums are worth a question."""
_ARITHMETIC = frozenset({"fadd", "fsub", "fmul", "fneg"})


class SparseSums(NamedTuple):
    """A loop that need not do anything where a condition does not hold.

    Attributes
    ----------
    condition : llvmlite.ir.Value
        The condition.
    before : list of llvmlite.ir.Instruction
        What it needs.
    after : list of llvmlite.ir.Instruction
        All other instructions.
    addends : list of llvmlite.ir.Value
        What is added.
    """

    condition: Any
    before: list[Any]
    after: list[Any]
    addends: list[Any]


def find_sparse_sums(loop: Any) -> SparseSums | None:
    """Take a loop apart whose turns only add to arrays, and only where a condition holds."""
    body = loop.body
    if loop.count is not None or loop.reductions or loop.masks or loop.choices:
        return None
    stores = [i for i in body if isinstance(i, ir.StoreInstr)]
    addends = [_addend(i) for i in stores]
    chosen = {id(i.operands[0]): i.operands[0] for i in body if _is_choice(loop, i)}
    if len(stores) < _FEWEST or None in addends or len(chosen) != 1:
        return None
    if not all(_vanishes(loop, addend) for addend in addends):
        return None
    (condition,) = chosen.values()
    needed = _slice(body, condition)
    before = [i for i in body if id(i) in needed]
    return SparseSums(condition, before, [i for i in body if id(i) not in needed], addends)


def _addend(store: Any) -> Any:
    """What a store adds to a sum in memory; ``None`` if it does something else. The order of other additions is not free."""
    value, pointer = store.operands
    if getattr(value, "opname", "") != "fadd" or "reassoc" not in value.flags:
        return None
    others = [o for o in value.operands if not (isinstance(o, ir.LoadInstr) and o.operands[0] is pointer)]
    return others[0] if len(others) == 1 else None


def _is_choice(loop: Any, value: Any) -> bool:
    """Whether it is one number, the same in all turns, where a condition holds that differs, and zero elsewhere."""
    if not isinstance(value, ir.SelectInstr) or loop.step(value.operands[0]) is not None:
        return False
    _, one, other = value.operands
    is_number = isinstance(other.type, ir.DoubleType | ir.FloatType) and isinstance(other, ir.Constant)
    return is_number and other.constant == 0 and loop.step(one) == 0


def _vanishes(loop: Any, value: Any) -> bool:
    """Whether a value follows from the choice, and else from what is known before the loop."""
    if id(value) not in loop.steps or _is_choice(loop, value):
        return True
    is_simple = isinstance(value, ir.CastInstr) or getattr(value, "opname", "") in _ARITHMETIC
    return is_simple and all(_vanishes(loop, o) for o in value.operands)


def _slice(body: Sequence[Any], value: Any) -> set[int]:
    """The instructions that a value needs, itself among them."""
    known, found = {id(i) for i in body}, set[int]()
    pending = [value]
    while pending:
        top = pending.pop()
        if id(top) in known and id(top) not in found:
            found.add(id(top))
            pending += top.operands
    return found


def write_vanishing(loop: Any, block: ir.Block, sums: SparseSums) -> Any:
    """Write, before a loop, whether nothing is added where the condition does not hold."""
    known: dict[int, Any] = {}

    def put(instruction: Any) -> Any:
        block.instructions.append(instruction)
        return instruction

    def elsewhere(value: Any) -> Any:
        if id(value) not in loop.steps:
            return value
        if _is_choice(loop, value):
            return value.operands[2]
        if id(value) not in known:
            known[id(value)] = put(copied(block, value, elsewhere, value.type))
        return known[id(value)]

    holds = None
    for addend in sums.addends:
        value = elsewhere(addend)
        if isinstance(value, ir.Constant):
            continue  # the choice itself
        is_zero = put(ir.FCMPInstr(block, "oeq", value, ir.Constant(value.type, 0.0)))
        holds = is_zero if holds is None else put(ir.Instruction(block, is_zero.type, "and", [holds, is_zero]))
    return ir.Constant(ir.IntType(1), 1) if holds is None else holds
