"""Programs inside Programs: bodies of loops and branches, as the compiler sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fad.compiler.own_outputs import with_own_outputs
from fad.compiler.passes.pipeline import simplified
from fad.core.program import Equation, Program, Var

__all__ = ["body_program", "nested_constants", "nested_programs", "renamed", "settled"]


def body_program(program: Program) -> Program:
    """A nested Program after all passes, every output a variable of its own."""
    return program.cached("body", lambda: with_own_outputs(simplified(program)))


def settled(program: Program) -> Program:
    """A Program that needs no passes: it is compiled as it is."""
    same = Program(program.inputs, program.equations, program.outputs, program.constants, program.name)
    program.cached("body", lambda: same)
    return program


def nested_programs(equation: Equation) -> Iterator[Program]:
    """The Programs that an equation runs, as the compiler sees them."""
    for value in equation.params.values():
        for found in value if isinstance(value, tuple) else (value,):
            if isinstance(found, Program):
                yield body_program(found)


def nested_constants(program: Program) -> list[tuple[Var, Any]]:
    """The constants of all Programs inside a Program, in the order in which they are met."""
    found: list[tuple[Var, Any]] = []
    for equation in program.equations:
        for inner in nested_programs(equation):
            found += inner.constants.items()
            found += nested_constants(inner)
    return found


def renamed(program: Program, lowering: Any) -> Program:
    """The Program over fresh variables, so that it can be written several times; its constants are bound to their places."""
    fresh: dict[Var, Var] = {v: Var(v.aval) for v in (*program.inputs, *program.constants)}
    for var in program.constants:
        lowering.elements.storage[fresh[var]] = lowering.constant_places[var]
    equations = []
    for equation in program.equations:
        fresh.update({v: Var(v.aval) for v in equation.outputs})
        inputs = [fresh[a] if isinstance(a, Var) else a for a in equation.inputs]
        outputs = [fresh[v] for v in equation.outputs]
        equations.append(Equation(equation.primitive, inputs, equation.params, outputs, equation.source))
    outputs = [fresh[a] if isinstance(a, Var) else a for a in program.outputs]
    return Program([fresh[v] for v in program.inputs], equations, outputs, {}, program.name)
