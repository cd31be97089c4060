"""Carried values that a turn of a loop chooses by a condition which is known late.

A choice without a branch makes the next turn wait for its condition. In loops that step until something converges the condition often takes a
square root or a division, while what is chosen takes a few additions; and it seldom changes from turn to turn. There a branch is better: the
processor guesses it and goes on. A wrong guess costs no more than such a condition takes anyway.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import llvmlite.ir as ir

from fad.compiler.access import REDUCTIONS
from fad.compiler.fusion import is_costly
from fad.compiler.llvm.rules import Ixs, aligned, is_view, rule_of
from fad.core.program import Atom, Equation, Program, Var

__all__ = ["Assignment", "predicted_choices", "write_assignments"]

_CYCLES = 4
"""How long an addition, a product or a comparison takes."""
_SLOW = {"sqrt": 20, "divide": 14, "reciprocal": 14, "remainder": 30, "floor_divide": 30}
_COSTLY, _UNKNOWN = 40, 1000
_GAIN = 16
"""So much later than the values must the condition be known: about what a wrong guess costs."""
_GUESS = (2000, 1)
"""Weights that keep LLVM from making a choice without a branch again; which way it goes does not matter to the processor."""


class Assignment(NamedTuple):
    """A value for a variable of the function: an element of an atom."""

    place: ir.Value
    atom: Atom
    index: Ixs


def predicted_choices(program: Program) -> dict[Var, Equation]:
    """The selects of a loop's body that are worth a branch, by their results: conditions of one element that are known late."""
    ready: dict[Atom, int] = {}
    found: dict[Var, Equation] = {}
    for equation in program.equations:
        moments = [ready.get(a, 0) for a in equation.inputs]
        if equation.primitive.name == "select" and equation.inputs[0].aval.shape == ():
            (out,), values = equation.outputs, max(moments[1:])
            nested = any(a in found for a in equation.inputs[1:])
            if moments[0] >= values + _GAIN or nested:
                found[out] = equation
                ready[out] = values
                continue
        ready.update(dict.fromkeys(equation.outputs, max(moments, default=0) + _latency(equation)))
    return found


def _latency(equation: Equation) -> int:
    """About how many cycles it takes until the result of an operation on small values is known."""
    if equation.primitive.kernel in REDUCTIONS:
        return _CYCLES * math.ceil(math.log2(max(equation.inputs[0].aval.size, 2)))
    if rule_of(equation) is None:
        return _UNKNOWN
    if is_view(equation):
        return 0
    name = equation.primitive.name
    return _SLOW.get(name, _COSTLY if is_costly(equation) else _CYCLES)


def write_assignments(lowering: Any, assignments: Sequence[Assignment], choices: dict[Var, Equation]) -> None:
    """Store all values, those of predicted choices behind branches; all are known before any place is written."""
    _write(lowering.emitter, [(a.place, _tree(lowering, a.atom, a.index, choices)) for a in assignments])


class _Choice(NamedTuple):
    """A value that a condition chooses between two."""

    condition: ir.Value
    values: tuple[_Tree, _Tree]


_Tree = ir.Value | _Choice


def _tree(lowering: Any, atom: Atom, index: Ixs, choices: dict[Var, Equation]) -> _Tree:
    choice = choices.get(atom) if isinstance(atom, Var) else None
    if choice is None:
        return lowering.elements.element(atom, index).value.ir
    condition = lowering.elements.element(choice.inputs[0], ()).value.ir
    first, second = [_operand(lowering, choice, a, index, choices) for a in choice.inputs[1:]]
    return _Choice(condition, (first, second))


def _operand(lowering: Any, choice: Equation, atom: Atom, index: Ixs, choices: dict[Var, Equation]) -> _Tree:
    at = aligned(index, atom.aval.shape)
    dtype = choice.outputs[0].aval.dtype
    if atom.aval.dtype == dtype:
        return _tree(lowering, atom, at, choices)
    return lowering.emitter.scalar.astype(lowering.elements.element(atom, at).value, dtype).ir


def _write(emitter: Any, trees: Iterable[tuple[ir.Value, _Tree]]) -> None:
    pending: dict[ir.Value, list[tuple[ir.Value, _Choice]]] = {}
    for place, tree in trees:
        if isinstance(tree, _Choice):
            pending.setdefault(tree.condition, []).append((place, tree))
        else:
            emitter.builder.store(tree, place)
    for condition, chosen in pending.items():
        blocks = [emitter.function.append_basic_block(name) for name in ("chosen", "otherwise", "assigned")]
        emitter.builder.cbranch(condition, *blocks[:2]).set_weights(_GUESS)
        for side, block in enumerate(blocks[:2]):
            emitter.builder.position_at_end(block)
            _write(emitter, [(place, choice.values[side]) for place, choice in chosen])
            emitter.builder.branch(blocks[2])
        emitter.builder.position_at_end(blocks[2])
