"""Results that later loops compute again instead of reading them back: a few operations on what is in memory anyway cost less than memory does.

Reverse mode keeps what each operation's derivative reads: of an activation function several arrays that follow from one of them.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

from fad.compiler.deferral import CHEAP
from fad.compiler.size_classes import is_small, least_size, most_size
from fad.core.program import Equation, Literal, Var

__all__ = ["Readers", "compute_again", "is_much_larger"]

Readers = dict[Var, dict[int, bool]]
"""The loops that read variables which another step makes, and whether each of their turns reads its own element and nothing else."""

_MOST_AGAIN = 4
"""So many operations are done again rather than read back."""
_MANY = 8


def is_much_larger(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether an array has many times the elements of another one, for all sizes that share their code."""
    own, others = Counter(shape), Counter(other)
    least = math.prod(least_size(n) for n in (own - others).elements())
    return least >= _MANY * math.prod(most_size(n) for n in (others - own).elements())


class _Way(NamedTuple):
    """How a result is computed from what is in memory, or could be."""

    steps: list[Var]
    """The results between, and itself."""
    leaves: set[Var]
    """Arrays of its size that it takes."""
    rows: set[Var]
    """Much smaller ones."""


def compute_again(plan: Any, readers: Readers, kept: set[Var]) -> None:
    """Let loops compute what they would read back, where it takes less memory; ``kept`` are variables that must be in memory in any case."""
    gone: set[Var] = set()
    for step in plan.steps:
        if hasattr(step, "members"):
            _Recomputation(plan, step, readers, kept, gone).decide()


class _Recomputation:
    """The results of one loop."""

    def __init__(self, plan: Any, group: Any, readers: Readers, kept: set[Var], gone: set[Var]):
        self._plan, self._group, self._readers, self._kept = plan, group, readers, kept
        self._gone = gone

    def decide(self) -> None:
        """Take results out of the loop that makes them, as good as views."""
        waiting: dict[Var, list[tuple[Var, _Way]]] = {}
        for var in list(self._group.members):
            if not self._may_go(var):
                continue
            way = self._way(var)
            if way is None:
                continue
            new = [leaf for leaf in way.leaves if self._is_new(leaf)]
            if not new and self._most_more_reads(var, way) <= 1:
                self._leave(var, way)
            elif len(new) == 1 and len(way.leaves) == 1:
                waiting.setdefault(new[0], []).append((var, way))
        for pairs in waiting.values():
            if len(pairs) > 1:
                # One array instead of several.
                for var, way in pairs:
                    self._leave(var, way)

    def _is_simple(self, var: Var) -> bool:
        """Whether a result of this loop is an element-by-element operation that costs little, and read in the turn that computes it."""
        member = self._group.members.get(var)
        return (
            member is not None
            and callable(member.equation.primitive.kernel)
            and member.equation.primitive.name in CHEAP
            and var not in self._group.scratch
            and not is_small(var.aval.shape)
        )

    def _may_go(self, var: Var) -> bool:
        readers = self._readers.get(var, {})
        is_read = bool(readers) and all(readers.values())
        return is_read and self._is_simple(var) and var in self._plan.stored and var not in self._kept

    def _way(self, var: Var) -> _Way | None:
        """How a result follows from arrays in memory by few operations."""
        steps, leaves, rows = [var], set[Var](), set[Var]()
        pending = list(self._plan.producers[var].inputs)
        while pending:
            atom = pending.pop()
            if isinstance(atom, Literal) or atom in steps:
                continue
            if atom in self._gone or self._is_step(atom, var):
                steps.append(atom)
                pending += self._plan.producers[atom].inputs
            elif atom in self._plan.virtual:
                if not _only_spreads(self._plan.producers[atom]):
                    return None
                pending += self._plan.producers[atom].inputs
            elif atom.aval.shape == var.aval.shape and self._is_as_quick(atom, var):
                leaves.add(atom)
            elif is_much_larger(var.aval.shape, atom.aval.shape):
                rows.add(atom)
            else:
                return None
        return _Way(steps, leaves, rows) if len(steps) <= _MOST_AGAIN else None

    def _is_as_quick(self, leaf: Var, var: Var) -> bool:
        """Whether an array is read as quickly as a result that follows from it: its elements are no larger, or whoever reads the result reads them anyway."""
        smaller = leaf.aval.dtype.itemsize <= var.aval.dtype.itemsize
        return smaller or self._readers[var].keys() <= self._readers.get(leaf, {}).keys()

    def _is_step(self, atom: Var, var: Var) -> bool:
        return self._is_simple(atom) and atom not in self._plan.stored and atom.aval.shape == var.aval.shape

    def _is_new(self, var: Var) -> bool:
        """Whether a variable would not be in memory otherwise."""
        return var in self._group.members and var not in self._plan.stored

    def _most_more_reads(self, var: Var, way: _Way) -> int:
        """How many arrays a reader has to read that it does not read already."""
        return max(sum(number not in self._readers.get(a, {}) for a in way.leaves) for number in self._readers[var])

    def _leave(self, var: Var, way: _Way) -> None:
        plan, numbers = self._plan, self._readers.pop(var)
        for leaf in way.leaves | way.rows:
            if leaf in self._group.members:
                plan.stored.add(leaf)
            self._readers.setdefault(leaf, {}).update(numbers)
        gone = [step for step in way.steps if step in self._group.members]
        for step in gone:
            del self._group.members[step], plan.place[step]
        plan.stored.difference_update(gone)
        plan.compute_where_read(gone)
        self._gone.update(gone)


def _only_spreads(view: Equation) -> bool:
    """Whether a view has its source's elements in their order, each perhaps many times."""
    if view.primitive.kernel == "reshape":
        shapes = (view.inputs[0].aval.shape, view.outputs[0].aval.shape)
        before, after = ([n for n in shape if n != 1] for shape in shapes)
        return before == after
    return view.primitive.kernel in ("broadcast", "identity", "full")
