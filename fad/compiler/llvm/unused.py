"""Leaving out what a function computes for nothing: LLVM would drop it too, after it has read it."""

from __future__ import annotations

from collections import Counter

import llvmlite.ir as ir

__all__ = ["drop_unused"]

_PURE = {
    ir.Instruction,
    ir.AllocaInstr,
    ir.CastInstr,
    ir.ExtractElement,
    ir.FCMPInstr,
    ir.GEPInstr,
    ir.ICMPInstr,
    ir.InsertElement,
    ir.LoadInstr,
    ir.SelectInstr,
    ir.ShuffleVector,
}
"""Instructions that do nothing but make a value."""


def drop_unused(function: ir.Function) -> None:
    """Remove the instructions of a finished function that nothing depends on."""
    instructions = [i for block in function.blocks for i in block.instructions]
    pure = {id(i): i for i in instructions if type(i) in _PURE}
    uses = Counter([id(o) for i in instructions for o in i.operands])
    uses.update([id(value) for i in instructions if isinstance(i, ir.PhiInstr) for value, _ in i.incomings])
    unused: set[int] = set()
    pending = [key for key in pure if key not in uses]
    while pending:
        key = pending.pop()
        unused.add(key)
        for operand in pure[key].operands:
            uses[id(operand)] -= 1
            if uses[id(operand)] == 0 and id(operand) in pure:
                pending.append(id(operand))
    if unused:
        for block in function.blocks:
            block.instructions = [i for i in block.instructions if id(i) not in unused]
