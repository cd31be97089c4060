"""Arrays that are joined with others are computed where they will stand in the joined array: so joining them copies nothing."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from fad.compiler.fusion import Opaque, Plan, Straight
from fad.compiler.size_classes import is_small
from fad.core.program import Equation, Var

__all__ = ["Part", "parts_of"]


class Part(NamedTuple):
    """Where an array stands inside a joined one, of which it is one piece in memory.

    Attributes
    ----------
    whole : Var
        The joined array.
    number : int
        Which of the joined arrays it is.
    before : tuple of int
        The lengths of the arrays in front of it.
    row : tuple of int
        The shape of what one unit of these lengths holds.
    """

    whole: Var
    number: int
    before: tuple[int, ...]
    row: tuple[int, ...]


def parts_of(plan: Plan) -> dict[Var, Part]:
    """The place of each array that can be computed inside of a joined one."""
    found: dict[Var, Part] = {}
    kept = {*plan.program.outputs, *plan.in_place, *plan.in_place.values()}
    for step in plan.steps:
        if isinstance(step, Opaque) and step.equation.primitive.kernel == "concatenate":
            for var, part in _pieces(plan, step.equation):
                if var not in found and var not in kept:
                    found[var] = part
    return found


def _pieces(plan: Plan, equation: Equation) -> list[tuple[Var, Part]]:
    """The arrays that follow each other without a gap in the joined one, made by steps that write arrays."""
    out, axis = equation.outputs[0], equation.params["axis"]
    if math.prod(out.aval.shape[:axis]) != 1 or is_small(out.aval.shape):
        return []
    found: list[tuple[Var, Part]] = []
    lengths = tuple([a.aval.shape[axis] for a in equation.inputs])
    for number, atom in enumerate(equation.inputs):
        source: Any = atom
        while source in plan.aliases:
            source = plan.aliases[source]
        place = plan.place.get(source, -1)
        is_made = place >= 0 and not isinstance(plan.steps[place], Straight) and source not in plan.virtual
        if is_made and source.aval.dtype == out.aval.dtype and not is_small(source.aval.shape):
            found.append((source, Part(out, number, lengths[:number], out.aval.shape[axis + 1 :])))
    return found
