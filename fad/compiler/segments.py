"""Segments: what of a Program runs as native code, and what Python evaluates in between.

Equations are taken in an order that alternates as rarely as possible: everything native that is ready, then everything else that is ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fad.compiler.llvm.support import refusal
from fad.core.program import Atom, Equation, Program, Var, has_effect

__all__ = ["HostStep", "NativeStep", "split"]


class NativeStep(NamedTuple):
    """A Program to compile; its inputs and outputs are variables of the whole Program."""

    program: Program


class HostStep(NamedTuple):
    """An equation that Python evaluates, and why."""

    equation: Equation
    reason: str


def split(program: Program) -> list[NativeStep | HostStep]:
    """The steps of a Program with outputs of its own, in order."""
    reasons = {id(e): refusal(e) for e in program.equations}
    steps: list[NativeStep | HostStep] = []
    pending = list(program.equations)
    known: set[Var] = {*program.inputs, *program.constants}
    runs: list[list[Equation]] = []
    native = True
    while pending:
        taken, rest = [], []
        effects_wait = False  # effects happen in the order in which they were written
        for equation in pending:
            effect = has_effect(equation)
            ready = all(not isinstance(a, Var) or a in known for a in equation.inputs) and not (effect and effects_wait)
            if ready and (reasons[id(equation)] is None) == native:
                taken.append(equation)
                known.update(equation.outputs)
            else:
                rest.append(equation)
                effects_wait = effects_wait or effect
        if taken:
            runs.append(taken)
        pending, native = rest, not native
    for number, run in enumerate(runs):
        if reasons[id(run[0])] is not None:
            steps += [HostStep(e, reasons[id(e)] or "") for e in run]
        else:
            steps.append(NativeStep(_segment(program, run, runs[number + 1 :])))
    return steps


def _segment(program: Program, run: Sequence[Equation], later: Sequence[Sequence[Equation]]) -> Program:
    defined = {v for e in run for v in e.outputs}
    inputs: dict[Var, None] = {}
    for equation in run:
        inputs.update(dict.fromkeys(a for a in equation.inputs if isinstance(a, Var) and a not in defined))
    wanted: dict[Atom, None] = {v: None for e in run for v in e.outputs}
    used = {a for es in later for e in es for a in e.inputs} | set(program.outputs)
    constants = {v: c for v, c in program.constants.items() if v in inputs}
    ordered = [v for v in program.inputs if v in inputs]
    ordered += [v for v in inputs if v not in constants and v not in program.inputs]
    outputs = [v for v in program.outputs if v in wanted]
    outputs += [v for v in wanted if v in used and v not in outputs]
    return Program(ordered, run, outputs, constants, program.name)
