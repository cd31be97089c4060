"""What the code of a kernel depends on: groups with equal keys share one function, such as the updates of a network's many parameters."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from fad.compiler.canonical import Canonical
from fad.compiler.fusion import Group
from fad.compiler.llvm.elements import Memory
from fad.core.program import Atom, Equation, Var

__all__ = ["kernel_key"]


def kernel_key(
    group: Group,
    arguments: Mapping[Var, Any],
    overwritten: Mapping[Var, Var],
    producers: Mapping[Var, Equation],
    canonical: Canonical,
    scalars: Mapping[int, int],
) -> Hashable:
    """Equal for two groups of one segment exactly if the same function serves both.

    Parameters
    ----------
    group : Group
        The operations.
    arguments : mapping of Var to (value, Memory or Registers)
        What the function gets, in order.
    overwritten : mapping of Var to Var
        The argument that a result takes the place of.
    producers : mapping of Var to Equation
        How to compute what it does not get.
    canonical : Canonical
        The canonical form of the segment.
    scalars : dict of int to int
        The place of each literal that is an argument of the segment, by the literal's identity.
    """
    numbers: dict[Var, int] = {}
    parts: list[Hashable] = [canonical.encode(group.prefix), group.fixed, group.written_out]

    def number_of(atom: Atom) -> Hashable:
        if not isinstance(atom, Var):
            return canonical.literal(atom, id(atom) not in scalars)
        if atom not in numbers:
            add(producers[atom])
        return numbers[atom]

    def add(equation: Equation) -> None:
        inputs = tuple([number_of(a) for a in equation.inputs])
        params = canonical.parameters(equation)
        for var in equation.outputs:
            numbers.setdefault(var, len(numbers))
        types = tuple([(numbers[v], canonical.aval(v.aval)) for v in equation.outputs])
        parts.append((equation.primitive, inputs, params, types))

    for var, (_, held) in arguments.items():
        numbers[var] = len(numbers)
        in_memory = isinstance(held, Memory)
        shape = canonical.encode(held.shape) if in_memory else ()
        parts.append((in_memory, shape, held.skip if in_memory else 0, canonical.aval(var.aval)))
    for var, member in group.members.items():
        add(member.equation)
        taken = numbers[overwritten[var]] if var in overwritten else -1
        parts.append((numbers[var], canonical.encode(member.domain), member.level, member.is_global, taken))
    return tuple(parts)
