"""The verifier: a Program is well formed when every variable is defined once, before its use, with the type its rule says."""

from __future__ import annotations

from fad.core.errors import FadError
from fad.core.program import Program, Var

__all__ = ["verify"]


def verify(program: Program, after: str) -> Program:
    """Check a Program after a pass; gives the Program.

    Raises
    ------
    FadError
        If the pass broke it.
    """
    known: set[Var] = {*program.inputs, *program.constants}
    if len(known) != len(program.inputs) + len(program.constants):
        raise FadError(f"after {after}: an input or constant of {program.name} is named twice")
    for number, equation in enumerate(program.equations):
        where = f"after {after}: equation {number} ({equation.primitive.name}) of {program.name}"
        for atom in equation.inputs:
            if isinstance(atom, Var) and atom not in known:
                raise FadError(f"{where} reads a variable that is not defined before it")
        avals = equation.primitive.shape(*[a.aval for a in equation.inputs], **equation.params)
        avals = avals if equation.primitive.multiple_results else [avals]
        if len(avals) != len(equation.outputs):
            raise FadError(f"{where} has {len(equation.outputs)} outputs where its shape rule gives {len(avals)}")
        for var, aval in zip(equation.outputs, avals, strict=True):
            if var in known:
                raise FadError(f"{where} defines a variable that is defined already")
            if (var.aval.shape, var.aval.dtype) != (aval.shape, aval.dtype):
                raise FadError(f"{where} has an output of type {var.aval} where its shape rule gives {aval}")
            known.add(var)
    for atom in program.outputs:
        if isinstance(atom, Var) and atom not in known:
            raise FadError(f"after {after}: an output of {program.name} is not defined")
    return program
