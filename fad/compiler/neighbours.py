"""Stages that read their neighbours in the stage before, such as those of a solver, become one loop.

One element of a stage needs another element of the stage before, so their loops are apart, and what passes between them is written and read back. Here are
copies of what is read beside its own place, for nobody but those who read it there. Vector code keeps them in registers from one turn to the next
(:mod:`fad.compiler.llvm.beside`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import NamedTuple

from fad.compiler.access import REDUCTIONS
from fad.compiler.llvm.rules import rule_of
from fad.compiler.passes.redundancy import rebuilt, remove_dead, rewired
from fad.compiler.size_classes import LONG, least_size
from fad.core.avals import ShapedArray
from fad.core.program import Atom, Equation, Program, Var

__all__ = ["Neighbours", "with_neighbours"]

_QUICK = frozenset(
    "add subtract multiply negative positive square maximum minimum select zero_safe_multiply absolute".split()
)
_MOST_STAGES = 8
"""So many stages become one loop; each of them holds a vector of the turn before."""
_FARTHEST = 8
"""How many places away the farthest element may be."""


class Neighbours(NamedTuple):
    """What loops read beside its own place.

    Attributes
    ----------
    copies : mapping of Var to Var
        What is read there, and what it is a copy of.
    reach : int
        How many places ahead the farthest element lies, as things move; negative if it lies behind.
    """

    copies: Mapping[Var, Var]
    reach: int


def with_neighbours(program: Program, deferred: Callable[[], Set[Var]]) -> tuple[Program, Neighbours]:
    """The Program in which moving operations read copies; ``deferred`` gives what would be computed where it is read in any case."""
    none = Neighbours({}, 0)
    if sum(map(_shifts, program.equations)) < 2:
        return program, none
    found = _Stages(program)
    if not found.copies:
        return program, none
    if any(e.primitive.kernel in REDUCTIONS and not found.made.keys().isdisjoint(e.inputs) for e in program.equations):
        return program, none  # a loop that sums is not split into its inner part and its ends
    new = remove_dead(rebuilt(program, found.equations, program.outputs))
    reach = found.reach(new, deferred())
    return (new, Neighbours({copy: var for var, copy in found.copies.items()}, reach)) if reach else (program, none)


class _Stages:
    """The stages of a Program.

    Attributes
    ----------
    made : dict of Var to Equation
        Results of quick operations along a long axis, and what moves them.
    copies : dict of Var to Var
        The copies by what they are copies of.
    equations : list of Equation
        All operations, those that make copies among them.
    """

    def __init__(self, program: Program):
        self.made: dict[Atom, Equation] = {}
        self.copies: dict[Atom, Var] = {}
        self.equations: list[Equation] = []
        self._places: dict[Atom, tuple[int, int]] = {}
        """The loop that a result belongs to, and its stage there."""
        readers = _readers(program)
        for equation in program.equations:
            if _is_simple(equation) and (
                _is_long(equation) or all(map(_shifts_to_long, readers.get(equation.outputs[0], [])))
            ):
                self._place(equation)
                if _shifts(equation):
                    equation = self._reading_copies(equation)
            self.equations.append(equation)

    def _place(self, equation: Equation) -> None:
        (out,), moves = equation.outputs, _shifts(equation)
        known = [(a, *self._places[a]) for a in equation.inputs if a in self._places]
        loop = max([n for _, n, _ in known], default=0)
        stage = max([s + (moves and not _shifts(self.made[a])) for a, n, s in known if n == loop], default=0)
        self.made[out] = equation
        self._places[out] = (loop, stage) if stage < _MOST_STAGES else (loop + 1, 0)

    def _is_made_in_loop(self, atom: Atom, reader: Atom) -> bool:
        """Whether the loop of what reads it computes an operand, and does not only move what was there before."""
        if atom not in self.made or self._places[atom][0] != self._places[reader][0]:
            return False
        made = self.made[atom]
        return not _shifts(made) or any(self._is_made_in_loop(a, atom) for a in made.inputs)

    def _reading_copies(self, equation: Equation) -> Equation:
        """A moving operation with copies of its operands; what they need is copied first."""
        (out,) = equation.outputs
        operands = [a for a in equation.inputs if self._is_made_in_loop(a, out)]
        wanted: set[Atom] = set()
        pending = list(operands)
        while pending:
            atom = pending.pop()
            if atom not in self.copies and atom not in wanted:
                wanted.add(atom)
                pending += [a for a in self.made[atom].inputs if self._is_made_in_loop(a, atom)]
        for atom in [a for a in self.made if a in wanted]:  # in order
            self._copy(atom)
        return rewired(equation, {a: self.copies[a] for a in operands})  # type: ignore[misc]

    def _copy(self, atom: Atom) -> None:
        made = self.made[atom]
        inputs = [self.copies[a] if self._is_made_in_loop(a, atom) else a for a in made.inputs]
        aval = atom.aval
        self.copies[atom] = copy = Var(ShapedArray(aval.shape, aval.dtype, aval.weak))
        self.equations.append(Equation(made.primitive, inputs, made.params, [copy], made.source))

    def reach(self, program: Program, deferred: Set[Var]) -> int:
        """How many places ahead, or behind, the farthest element of a copy lies that an element needs in the Program with copies.

        0 if copies of what would be in memory otherwise lie on both sides, or too far away.
        """
        originals = {copy: var for var, copy in self.copies.items()}
        offsets: dict[Atom, set[int]] = {}
        for equation in reversed(program.equations):
            (out, *_) = equation.outputs or (None,)
            own = offsets.get(out, set()) if out in originals else {0}  # type: ignore[arg-type]
            for atom, by in zip(equation.inputs, _offsets(equation), strict=True):
                if atom in originals:
                    offsets.setdefault(atom, set()).update([n + by for n in own])
        kept = {n for c, found in offsets.items() if self._is_kept(originals[c], deferred) for n in found}
        every = set().union(*offsets.values())
        if not kept or min(kept) < 0 < max(kept):
            return 0
        reach = max(every) if max(kept) > 0 else min(every) if min(kept) < 0 else 0
        return reach if abs(reach) <= _FARTHEST else 0

    def _is_kept(self, atom: Atom, deferred: Set[Var]) -> bool:
        """Whether a result would be in memory otherwise."""
        return atom not in deferred and not _shifts(self.made[atom])


def _shifts(equation: Equation) -> bool:
    """Whether elements of the result lie a fixed number of places beside those they come from."""
    return equation.primitive.kernel in ("pad", "slice", "concatenate")


def _is_long(equation: Equation) -> bool:
    """Whether the result's only axis is long."""
    return least_size(equation.outputs[0].aval.shape[0]) >= LONG


def _shifts_to_long(equation: Equation | None) -> bool:
    """Whether elements are moved into a long array."""
    return equation is not None and _is_simple(equation) and _shifts(equation) and _is_long(equation)


def _is_simple(equation: Equation) -> bool:
    """Whether it is a quick operation along a long axis, or moves elements along their only axis by a fixed number of places."""
    if len(equation.outputs) != 1 or equation.outputs[0].aval.ndim != 1 or rule_of(equation) is None:
        return False
    if not _shifts(equation):
        return equation.primitive.name in _QUICK and _is_long(equation)
    params = equation.params
    return all(s == 1 for s in params.get("steps", ())) and all(w[2] == 0 for w in params.get("widths", ()))


def _readers(program: Program) -> dict[Atom, list[Equation | None]]:
    """The operations that read each variable; None for whoever gets the results."""
    found: dict[Atom, list[Equation | None]] = {a: [None] for a in program.outputs}
    for equation in program.equations:
        for atom in equation.inputs:
            found.setdefault(atom, []).append(equation)
    return found


def _offsets(equation: Equation) -> list[int]:
    """For each operand, how many places ahead of the result's its element lies."""
    kernel, params = equation.primitive.kernel, equation.params
    if kernel == "slice":
        return [params["starts"][0]] if params["starts"] else [0]
    if kernel == "pad":
        return [-params["widths"][0][0]] if params["widths"] else [0]
    if kernel == "concatenate":
        sizes = [a.aval.shape[params["axis"]] for a in equation.inputs]
        return [-sum(sizes[:k]) for k in range(len(sizes))]
    return [0] * len(equation.inputs)
