"""Temporaries of an expression, whose memory an operator's result may take: the product in ``p - rate * g`` is seen by nobody else.

NumPy does the same with its own arrays. What it saves is not the copy but the fresh memory: the first touch of a page costs more than the arithmetic in it.

An operand is a temporary if the expression itself made it by an operator, which the caller's bytecode tells, *and* nothing but the evaluation holds
it, which its reference count tells. Either alone could be mistaken: code written in C, such as NumPy's loops over arrays of objects, may hand over
operands that it has not counted; and what an operator gave may have been kept by whoever computed it.
"""

from __future__ import annotations

import sys
from types import CodeType
from typing import Any

import numpy as np

__all__ = ["KNOWN", "LARGE", "LONE", "ONE_SLOT", "operand_temporaries", "owned_buffer", "passed_on"]

_ARITHMETIC = frozenset("+ - * / // % ** @ & | ^ << >>".split())
LARGE = 1 << 16
"""Bytes from which on fresh memory costs more than looking for used memory."""
KNOWN: dict[int, tuple[CodeType, bool, bool]] = {}
"""What :func:`operand_temporaries` has told, by ``id(code) + offset``, the address of the instruction, which lies in the object of its code."""
_KEPT = 1 << 16
_references = getattr(sys, "getrefcount", lambda value: -1)


def operand_temporaries(code: CodeType, offset: int) -> tuple[CodeType, bool, bool]:
    """Whether the left and the right operand of the operator at an offset of some bytecode are values of arithmetic expressions, behind the code itself.

    It is kept as well, lest another one come to lie at its address.
    """
    found = KNOWN.get(id(code) + offset)
    if found is None:
        if len(KNOWN) >= _KEPT:
            KNOWN.clear()
        for place, (left, right) in _read_operators(code).items():
            KNOWN[id(code) + place] = code, left, right
        found = KNOWN.setdefault(id(code) + offset, (code, False, False))
    return found


def _read_operators(code: CodeType) -> dict[int, tuple[bool, bool]]:
    """What :func:`operand_temporaries` tells, for every arithmetic operator of some code."""
    import dis

    found: dict[int, tuple[bool, bool]] = {}
    before: list[Any] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname == "CACHE":
            continue
        if instruction.is_jump_target:
            before = []  # what lies on the stack may have been made in more than one way
        if before and _is_arithmetic(instruction, assigning=True):
            found[instruction.offset] = _left_is_temporary(before), _is_arithmetic(before[-1])
        before.append(instruction)
    return found


def _left_is_temporary(before: list[Any]) -> bool:
    """Whether an operator made the value under the topmost one, given the instructions so far.

    Going back, the code of the topmost value is complete where it has put one value on the stack in all.
    """
    import dis

    depth = 0
    for k in range(len(before) - 1, 0, -1):
        depth += dis.stack_effect(before[k].opcode, before[k].arg, jump=False)
        if depth >= 1:
            return depth == 1 and _is_arithmetic(before[k - 1])
    return False


def _is_arithmetic(instruction: Any, assigning: bool = False) -> bool:
    if instruction.opname == "UNARY_NEGATIVE":
        return not assigning
    symbol = instruction.argrepr.removesuffix("=") if assigning else instruction.argrepr
    return instruction.opname == "BINARY_OP" and symbol in _ARITHMETIC


class _Probe:
    def __neg__(self) -> _Probe:
        return _Probe()

    def __add__(self, other: Any) -> tuple[int, int]:
        return _references(self), _references(other)


def _count_in_operators() -> int:
    """The reference count that an operator's method sees of a temporary; it depends on the interpreter."""
    probe, counts = _Probe(), set()
    for _ in range(32):  # until the interpreter has specialised the code
        counts.add(-probe + -probe)
    kept = [_Probe(), _Probe()]
    left, right = counts.pop()
    always_so = not counts and left == right < min(kept[0] + kept[1])
    return left if always_so and getattr(sys, "_is_gil_enabled", lambda: True)() else 0


LONE = _count_in_operators()
"""What :func:`sys.getrefcount` gives for an operator's temporary operand in the operator's method; 0 where that is not to be relied on."""


def _count_in_pullbacks() -> int:
    """The reference count that :func:`passed_on` sees of a cotangent which the caller of a pullback keeps in one variable and nobody else has."""

    def asked(cotangent: Any) -> int:
        return _references(cotangent)

    def pullback(cotangent: Any, value: Any) -> int:
        return asked(cotangent)

    def called(entry: Any, cotangents: list[Any]) -> int:
        cotangent = cotangents.pop()
        return entry[0](cotangent, entry[1])

    entry, kept = (pullback, None), [_Probe()]
    counts = {called(entry, [_Probe()]) for _ in range(32)}
    always_so = len(counts) == 1 and called(entry, [*kept]) == max(counts) + 1
    return max(counts) if always_so and LONE else 0


_PASSED_ON = _count_in_pullbacks()


def passed_on(cotangent: Any) -> bool:
    """Whether a cotangent, an argument of the function that asks, is large and given to it alone, so that it may write into it.

    It is where the tape's walk has taken it from its list, kept it in one variable and called that function. Everybody else who may have it is
    counted.
    """
    if type(cotangent) is not np.ndarray or cotangent.nbytes < LARGE or _references(cotangent) != _PASSED_ON:
        return False
    return cotangent.base is None and cotangent.flags.owndata and cotangent.flags.writeable


class _Holder:
    __slots__ = ("buffer",)


def _count_in_slots() -> int:
    holder = _Holder()
    holder.buffer = np.empty(1)
    buffer = holder.buffer
    return _references(buffer)


ONE_SLOT = _count_in_slots()
"""What :func:`sys.getrefcount` gives for a value in a local variable that otherwise only a slot of one object holds."""


def owned_buffer(holder: Any, slot: str) -> Any:
    """The array in a slot of an object if it owns its memory and nothing else refers to it, else ``None``."""
    buffer = getattr(holder, slot)
    if type(buffer) is not np.ndarray or _references(buffer) != ONE_SLOT:
        return None
    return buffer if buffer.base is None and buffer.flags.owndata and buffer.flags.writeable else None
