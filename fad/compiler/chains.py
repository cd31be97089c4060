"""Loops that run tile by tile: all of them over a few hundred elements, then all over the next, so that what passes between them stays in the cache.

A loop that reads its neighbour's result beside its own place cannot be fused with it. But if it reads only what lies behind, in the order of the
tiles, the tile before has it.
"""

from __future__ import annotations

from typing import NamedTuple

from fad.compiler.access import Axis, Shifted
from fad.compiler.fusion import Group, Plan
from fad.compiler.size_classes import LONG, least_size
from fad.core.program import Var

__all__ = ["Chain", "chains_of"]


class Chain(NamedTuple):
    """Consecutive steps.

    Attributes
    ----------
    first, last : int
        Their numbers.
    backwards : bool
        Whether the last tile comes first.
    """

    first: int
    last: int
    backwards: bool


def chains_of(plan: Plan) -> dict[int, Chain]:
    """The chains of a plan, by their first steps."""
    found: dict[int, Chain] = {}
    number = 0
    while number < len(plan.steps):
        chain = _chain_from(plan, number)
        if chain is not None:
            found[number] = chain
            number = chain.last
        number += 1
    return found


def _chain_from(plan: Plan, first: int) -> Chain | None:
    """The longest chain that begins with a step, if it has more than one."""
    start = plan.steps[first]
    if not isinstance(start, Group) or not _is_suited(start):
        return None
    made = set(start.members)
    ways = {False, True}
    last = first
    for number in range(first + 1, len(plan.steps)):
        group = plan.steps[number]
        if not isinstance(group, Group) or group.prefix != start.prefix or not _is_suited(group):
            break
        possible = ways & _ways(plan, group, made)
        if not possible:
            break
        ways, last = possible, number
        made.update(group.members)
    return None if last == first else Chain(first, last, False not in ways)


def _is_suited(group: Group) -> bool:
    """Whether it is a long loop over elements and nothing else."""
    long = len(group.prefix) == 1 and least_size(group.prefix[0]) >= LONG
    return long and not group.fixed and not any(m.is_reduction for m in group.members.values())


def _ways(plan: Plan, group: Group, made: set[Var]) -> set[bool]:
    """The orders of tiles, backwards or not, in which each tile finds what it reads of the chain so far."""
    ways = {False, True}
    for member in group.members.values():
        for var, index in plan.accesses(member.equation):
            source = var
            while source in plan.aliases:
                source = plan.aliases[source]
            if source not in made:
                continue
            if source is not var or len(index) != 1:
                return set()
            (i,) = index
            by = 0 if isinstance(i, Axis) else i.by if isinstance(i, Shifted) else None
            if by is None:
                return set()
            ways &= {False, True} if by == 0 else {by > 0}
    return ways
