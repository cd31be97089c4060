"""Results of which one part alone is read, as a slice: what writes them leaves the rest out."""

from __future__ import annotations

from typing import NamedTuple

from fad.core.program import Equation, Program, Var

__all__ = ["Part", "with_part"]

_PARTIAL = frozenset({"convolve_input"})
"""By kernel name: what is written in part where only a part is read."""


class Part(NamedTuple):
    """Neighbouring elements along each axis: the first ones, and those after the last."""

    starts: tuple[int, ...]
    stops: tuple[int, ...]


def _read_part(program: Program, var: Var) -> Part | None:
    """The part of a variable that is read where all its readers slice the same one, else ``None``.

    Sizes of slices stand for others that share the code, so of several parts none is known to hold the others.
    """
    if var in program.outputs:
        return None
    parts = set()
    for equation in program.equations:
        if var in equation.inputs:
            if equation.primitive.kernel != "slice" or set(equation.params["steps"]) != {1}:
                return None
            parts.add(Part(tuple(equation.params["starts"]), tuple(equation.params["stops"])))
    return parts.pop() if len(parts) == 1 else None


def with_part(program: Program, equation: Equation) -> Equation:
    """An equation of a Program with the parameter ``part`` where only that :class:`Part` of its result is read and it can leave the rest out."""
    if equation.primitive.kernel not in _PARTIAL:
        return equation
    part = _read_part(program, equation.outputs[0])
    if part is None:
        return equation
    params = {**equation.params, "part": part}
    return Equation(equation.primitive, equation.inputs, params, equation.outputs, equation.source)
