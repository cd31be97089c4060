"""Sums with few elements: the cotangent of gathered values is added where it belongs, not through an array of zeros."""

from __future__ import annotations

from collections import Counter

from fad.compiler.passes.redundancy import rebuilt
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var

__all__ = ["add_where_gathered"]


def add_where_gathered(program: Program) -> Program:
    """Write ``y + gather_transpose(ct)`` as ``scatter_add(y + 0, ct)``, which works in the memory of ``y + 0``.

    The zero is what all other elements have added: it makes -0.0 positive.
    """
    made: dict[Atom, Equation] = {e.outputs[0]: e for e in program.equations if e.primitive.name == "gather_transpose"}
    if not made:
        return program
    uses = Counter(a for e in program.equations for a in e.inputs if isinstance(a, Var))
    uses.update(a for a in program.outputs if isinstance(a, Var))
    replaced: set[Equation] = set()
    equations: list[Equation] = []
    for equation in program.equations:
        found = _operands(equation, made)
        if found is None or uses[found[1].outputs[0]] > 1:
            equations.append(equation)
            continue
        replaced.add(found[1])
        equations += _scattered(equation, *found)
    if not replaced:
        return program
    return rebuilt(program, [e for e in equations if e not in replaced], program.outputs)


def _operands(equation: Equation, made: dict[Atom, Equation]) -> tuple[Var, Equation] | None:
    """The other operand of a sum, and the transposed gather that is added to it."""
    if equation.primitive.name != "add":
        return None
    out = equation.outputs[0].aval
    for atom, other in (equation.inputs, equation.inputs[::-1]):
        plain = isinstance(other, Var) and all(
            a.aval.shape == out.shape and a.aval.dtype == out.dtype for a in (atom, other)
        )
        if plain and atom in made and out.dtype.kind in "fiu":
            return other, made[atom]  # type: ignore[return-value]
    return None


def _scattered(equation: Equation, other: Var, transpose: Equation) -> list[Equation]:
    """The two equations in place of a sum."""
    out = equation.outputs[0].aval
    start = Var(out)
    ct, *indices = transpose.inputs
    params = {k: v for k, v in transpose.params.items() if k != "shape"}
    return [
        Equation(REGISTRY["add"], [other, Literal(out.dtype.type(0))], {}, [start], equation.source),
        Equation(REGISTRY["scatter_add"], [start, ct, *indices], params, equation.outputs, equation.source),
    ]
