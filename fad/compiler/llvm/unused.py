"""Leaving out what a function computes for nothing: LLVM would drop it too, after it has read it. So are casts of addresses, which say nothing to LLVM."""

from __future__ import annotations

from collections import Counter

import llvmlite.ir as ir

__all__ = ["drop_casts", "drop_unused"]

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


def drop_casts(function: ir.Function) -> None:
    """Use addresses as they were before they were cast to another kind of pointer; whoever copies instructions wants the casts."""
    instructions = [i for block in function.blocks for i in block.instructions]
    cast = {id(i): i.operands[0] for i in instructions if type(i) is ir.CastInstr and _is_of_address(i)}
    if not cast:
        return
    for key, source in cast.items():
        while id(source) in cast:
            source = cast[id(source)]
        cast[key] = source
    for instruction in instructions:
        if any(id(o) in cast for o in instruction.operands):
            instruction.operands = [cast.get(id(o), o) for o in instruction.operands]
            if isinstance(instruction, ir.GEPInstr):
                instruction.pointer = instruction.operands[0]
    drop_unused(function)


def _is_of_address(instruction: ir.CastInstr) -> bool:
    return isinstance(instruction.type, ir.PointerType) and isinstance(instruction.operands[0].type, ir.PointerType)
