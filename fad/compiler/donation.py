"""Which results may be written into the memory of arrays that nothing reads later: of arguments that the caller gives away, and of temporary arrays.

A result takes the place of an argument of its type if nothing reads the argument after the step that writes the result. In that step itself
the argument may be read too, if the step is one loop over elements in which each turn reads what it overwrites and nothing else of it. So may
a temporary array, whose memory is in the caches by then, as new memory is not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from fad.compiler.access import Axis, identity_index
from fad.compiler.fusion import Group, Opaque, Plan
from fad.compiler.joined_in_place import Part
from fad.compiler.size_classes import is_small
from fad.core.program import Atom, Var

__all__ = ["overwritten_temporaries", "reused_memory"]


def reused_memory(plan: Plan, donated: Sequence[Var]) -> dict[Var, Var]:
    """The argument whose memory each result takes, for those that take one."""
    last = dict.fromkeys(donated, -1)
    for number, step in enumerate(plan.steps):
        for var in _memory_of(plan, [a for e in step.equations for a in e.inputs]):
            if var in last:
                last[var] = number
    returned = set(plan.program.outputs)
    free: dict[tuple[Any, ...], list[Var]] = {}
    # An argument that is read by the step that writes a result has its last reader there; others may serve later results as well.
    for var in sorted(donated, key=last.__getitem__, reverse=True):
        if var not in returned:
            free.setdefault((var.aval.shape, var.aval.dtype), []).append(var)
    found: dict[Var, Var] = {}
    reads = _TurnReads(plan)
    for out in plan.program.outputs:
        if isinstance(out, Var) and _is_written_at_once(plan, out):
            candidates = free.get((out.aval.shape, out.aval.dtype), [])
            first = bisect_left(candidates, -plan.place[out], key=lambda v: -last[v])
            fitting = (k for k in range(first, len(candidates)) if reads.fits(out, candidates[k], last[candidates[k]]))
            taken = next(fitting, None)
            if taken is not None:
                found[out] = candidates.pop(taken)
    return found


def overwritten_temporaries(plan: Plan, last: Mapping[int, Sequence[Var]], parts: Mapping[Var, Part]) -> dict[Var, Var]:
    """The temporary array whose memory each result of a loop takes, for those that take one.

    ``last`` are the variables that steps read for the last time, ``parts`` those that are computed inside of joined arrays.
    """
    shared = {*plan.aliases, *plan.aliases.values(), *plan.in_place, *plan.in_place.values(), *plan.program.outputs}
    # A joined array is the memory of its parts too, which may be read when nothing reads it as a whole any more.
    shared |= parts.keys() | {part.whole for part in parts.values()}
    reads, found = _TurnReads(plan), dict[Var, Var]()
    for number, step in enumerate(plan.steps):
        # What was made last is in the nearest cache.
        ends = [v for v in last.get(number, ()) if -1 < plan.place.get(v, -1) < number and v not in shared]
        free = sorted(ends, key=plan.place.__getitem__, reverse=True)
        if not free or not isinstance(step, Group) or not reads.are_in_order(step):
            continue
        for out in step.members:
            if out in plan.stored and out not in shared and not is_small(out.aval.shape):
                same = (v for v in free if (v.aval.shape, v.aval.dtype) == (out.aval.shape, out.aval.dtype))
                taken = next((v for v in same if reads.fits(out, v, number)), None)
                if taken is not None:
                    found[out] = taken
                    free.remove(taken)
    return found


def _memory_of(plan: Plan, atoms: Sequence[Atom]) -> set[Var]:
    """The variables whose memory is read, through views and other shapes of it."""
    found: set[Var] = set()
    pending = list(atoms)
    while pending:
        atom = pending.pop()
        if not isinstance(atom, Var):
            continue
        if plan.is_computed_by_readers(atom):
            pending += plan.producers[atom].inputs
        elif atom in plan.aliases:
            pending.append(plan.aliases[atom])
        else:
            found.add(atom)
    return found


def _is_written_at_once(plan: Plan, out: Var) -> bool:
    """Whether a result is written where it belongs by the step that makes it, and by no loop that goes on reading."""
    if out not in plan.place or out in plan.aliases or out in plan.in_place or is_small(out.aval.shape):
        return False
    step = plan.steps[plan.place[out]]
    return isinstance(step, Group) or (isinstance(step, Opaque) and not step.equation.primitive.higher_order)


class _TurnReads:
    """What each turn of a plan's loops reads only at the place of the turn."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._known: dict[int, dict[Var, bool]] = {}

    def fits(self, out: Var, argument: Var, last: int) -> bool:
        """Whether a result may take the memory of an argument that is read for the last time in step ``last``, not after the result's step."""
        place = self._plan.place[out]
        group = self._plan.steps[place]
        if last < place or not isinstance(group, Group):
            return last < place
        if group.fixed or group.members[out].is_reduction or group.prefix != argument.aval.shape:
            return False
        if place not in self._known:
            self._known[place] = self._of(group)
        return self._known[place].get(argument, True)

    def are_in_order(self, group: Group) -> bool:
        """Whether a loop does nothing but compute elements from those at the same place of other arrays: other loops compute a few elements twice, or keep sums in registers."""
        members = group.members.values()
        if group.fixed or group.written_out or any(m.is_reduction for m in members):
            return False
        indices = (index for m in members for _, index in self._plan.accesses(m.equation))
        return all(isinstance(i, int | Axis) for index in indices for i in index)

    def _of(self, group: Group) -> dict[Var, bool]:
        """For each variable in memory that a group reads, whether each turn reads its own element of it and nothing else."""
        found: dict[Var, bool] = {}
        for member in group.members.values():
            for var, index in self._plan.accesses(member.equation):
                for held in (var,) if var not in self._plan.aliases else _memory_of(self._plan, [var]):
                    own = held is var and index == identity_index(held.aval.shape)
                    found[held] = own and found.get(held, True)
        return found
