"""Segments: what of a Program runs as native code, and what Python evaluates in between.

Equations are taken in an order that alternates as rarely as possible: everything native that is ready, then everything else that is ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fad.compiler.canonical import program_form
from fad.compiler.disk_cache import current_cache
from fad.compiler.llvm.environment import cache_key
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
    runs, reasons = _known_runs(program)
    if len(runs) == 1 and not reasons and _reads_everything(program):
        return [NativeStep(program)]
    equations = [[program.equations[k] for k in run] for run in runs]
    steps: list[NativeStep | HostStep] = []
    for number, run in enumerate(runs):
        if run[0] in reasons:
            steps += [HostStep(program.equations[k], reasons[k]) for k in run]
        else:
            steps.append(NativeStep(_segment(program, equations[number], equations[number + 1 :])))
    return steps


def _known_runs(program: Program) -> tuple[list[list[int]], dict[int, str]]:
    """The result of :func:`_runs`, from disk where an earlier process has found it: whether code can be written is known to those who write it."""
    canonical = program_form(program)
    cache = current_cache() if canonical.is_lasting else None
    key = "" if cache is None else cache_key("steps", str(canonical.key))
    found = None if cache is None else cache.read(key)
    if found is not None:
        return found[0]["runs"], {int(k): reason for k, reason in found[0]["reasons"].items()}
    runs, reasons = _runs(program)
    if cache is not None:
        cache.write(key, {"runs": runs, "reasons": reasons}, b"")
    return runs, reasons


def _runs(program: Program) -> tuple[list[list[int]], dict[int, str]]:
    """The numbers of equations that run together, in order; why equations cannot be compiled, by their numbers."""
    from fad.compiler.llvm.support import UNSIZED, refusal

    found = ((k, refusal(e)) for k, e in enumerate(program.equations))
    reasons = {k: reason for k, reason in found if reason is not None}
    while True:
        runs = _alternating(program, reasons)
        torn = _torn(program, runs).difference(reasons)
        if not torn:
            return runs, reasons
        reasons.update(dict.fromkeys(torn, UNSIZED))


def _torn(program: Program, runs: list[list[int]]) -> set[int]:
    """The numbers of equations that make or read what has no known size, where these do not run together."""
    places = {number: place for place, run in enumerate(runs) for number in run}
    users: dict[Atom, list[int]] = {}
    for number, equation in enumerate(program.equations):
        for atom in (*equation.inputs, *equation.outputs):
            if not atom.aval.is_sized:
                users.setdefault(atom, []).append(number)
    outside = {*program.inputs, *program.outputs}
    return {
        number
        for atom, numbers in users.items()
        if atom in outside or len({places[k] for k in numbers}) > 1
        for number in numbers
    }


def _alternating(program: Program, reasons: dict[int, str]) -> list[list[int]]:
    """The numbers of equations that run together, native ones and those with a reason why not in turn."""
    pending = list(enumerate(program.equations))
    known: set[Var] = {*program.inputs, *program.constants}
    runs: list[list[int]] = []
    native = True
    while pending:
        taken, rest = [], []
        effects_wait = False  # effects happen in the order in which they were written
        for number, equation in pending:
            effect = has_effect(equation)
            ready = all(not isinstance(a, Var) or a in known for a in equation.inputs) and not (effect and effects_wait)
            if ready and (number not in reasons) == native:
                taken.append(number)
                known.update(equation.outputs)
            else:
                rest.append((number, equation))
                effects_wait = effects_wait or effect
        if taken:
            runs.append(taken)
        pending, native = rest, not native
    return runs


def _reads_everything(program: Program) -> bool:
    read = {a for e in program.equations for a in e.inputs}
    return read.issuperset(program.inputs) and read.issuperset(program.constants)


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
