"""What is known of the integers and addresses in a loop: by how much they grow from turn to turn, and what they are sums of."""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir

__all__ = ["VARIES", "Unsuited", "root_of", "step_of_arithmetic", "terms_of"]

VARIES = None
"""The step of a value that is different in each turn."""


class Unsuited(Exception):
    """A loop that is left to LLVM."""


def step_of_arithmetic(instruction: Any, steps: list[Any]) -> Any:
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


def terms_of(value: Any) -> dict[int, int]:
    """An integer as a sum: how many times it has other values, by their identity; 0 stands for the number 1."""
    if isinstance(value, ir.Constant):
        return {0: value.constant}
    name = getattr(value, "opname", "")
    if name in ("add", "sub"):
        found = terms_of(value.operands[0])
        for key, n in terms_of(value.operands[1]).items():
            found[key] = found.get(key, 0) + (n if name == "add" else -n)
        return {key: n for key, n in found.items() if n}
    if name == "mul":
        for factor, other in (value.operands, value.operands[::-1]):
            if isinstance(factor, ir.Constant):
                return {key: n * factor.constant for key, n in terms_of(other).items()}
    return {id(value): 1}


def root_of(pointer: Any) -> Any:
    """The array that an address lies in; it overlaps with no other."""
    while isinstance(pointer, ir.GEPInstr | ir.CastInstr | ir.SelectInstr):
        # A choice of an array is between it and memory that nobody else has a name for.
        pointer = pointer.operands[isinstance(pointer, ir.SelectInstr)]
    if isinstance(pointer, ir.Argument) and "noalias" in pointer.attributes:
        return pointer
    if isinstance(pointer, ir.AllocaInstr):
        return pointer
    raise Unsuited
