"""What does not change from turn to turn of a loop: it is computed before the loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fad.compiler.access import REDUCTIONS
from fad.core.program import Atom, Equation, Literal, Program, Var, has_effect

__all__ = ["VIEWS", "Invariants", "OuterConstants", "cannot_fail", "unchanging_carries"]

VIEWS = frozenset({"broadcast_to", "reshape", "transpose", "static_slice", "flip", "full", "iota"})
"""Operations that only move elements or make them from nothing, by name."""


def unchanging_carries(body: Program, first: int, inputs: Sequence[Atom], outputs: Sequence[Var]) -> list[int]:
    """Which carried values every turn hands on as they are, by position; ``first`` counts the body's inputs before them."""
    return [
        k
        for k, (before, outer, after) in enumerate(zip(body.inputs[first:], inputs, outputs, strict=False))
        if body.outputs[k] is before and isinstance(outer, Var) and outer.aval == before.aval == after.aval
    ]


def cannot_fail(equation: Equation) -> bool:
    """Whether an equation raises nothing, whatever the values of its operands."""
    name, kernel = equation.primitive.name, equation.primitive.kernel
    if name == "power":
        return equation.outputs[0].aval.dtype.kind in "fc"  # integers refuse negative exponents
    return callable(kernel) or kernel in REDUCTIONS or name in VIEWS or name == "dot_general"


class OuterConstants:
    """The constants of a Program, and those of the loops in it that are made known outside them.

    Attributes
    ----------
    values : dict of Var to buffer
        All of them.
    """

    def __init__(self, program: Program):
        self.values = dict(program.constants)
        self._known = {id(c): v for v, c in self.values.items()}

    def of(self, body: Program) -> dict[Var, Atom]:
        """What each constant of a body is outside it."""
        return {var: self._outside(var, value) for var, value in body.constants.items()}

    def _outside(self, var: Var, value: Any) -> Var:
        found = self._known.get(id(value))
        if found is None or found.aval != var.aval:
            found = self._known[id(value)] = Var(var.aval)
            self.values[found] = value
        return found


class Invariants:
    """Values of a loop's body that are the same in every turn, and the equations before the loop that make them.

    Parameters
    ----------
    outer : dict of Var to Atom
        What unchanging variables of the body are outside the loop.
    may_move : callable
        Whether an equation may run before the loop.

    Attributes
    ----------
    equations : list of Equation
        What comes before the loop.
    """

    def __init__(self, outer: dict[Var, Atom], may_move: Callable[[Equation], bool] = lambda equation: True):
        self.outer, self.equations = outer, list[Equation]()
        self._may_move = may_move

    def is_fixed(self, atom: Atom) -> bool:
        """Whether a value of the body is known before the loop."""
        return isinstance(atom, Literal) or atom in self.outer

    def outside(self, atom: Atom) -> Atom:
        """What an unchanging value is outside the loop."""
        return self.outer[atom] if isinstance(atom, Var) else atom

    def hoist(self, equations: Sequence[Equation], outputs: Sequence[Any]) -> list[Equation]:
        """Move equations of unchanging values out of the loop, views only where something else needs them there; gives the others."""
        wanted = {a for a in outputs if isinstance(a, Var)}
        fixed: dict[Var, Equation] = {}
        for equation in equations:
            unchanging = all(self.is_fixed(a) or a in fixed for a in equation.inputs) and not has_effect(equation)
            if unchanging and not equation.primitive.higher_order and self._may_move(equation):
                fixed.update(dict.fromkeys(equation.outputs, equation))
                dear = equation.primitive.name not in VIEWS
                if dear or any(v in wanted for v in equation.outputs):
                    self._hoist_with_inputs(equation, fixed)
        # An equation without results is there for its effect.
        return [e for e in equations if not e.outputs or not all(v in self.outer for v in e.outputs)]

    def _hoist_with_inputs(self, equation: Equation, fixed: dict[Var, Equation]) -> None:
        pending = [equation]
        while pending:
            top = pending[-1]
            missing = [fixed[a] for a in top.inputs if isinstance(a, Var) and a not in self.outer]
            if missing:
                pending += missing
                continue
            pending.pop()
            if all(v in self.outer for v in top.outputs):
                continue
            outputs = [Var(v.aval) for v in top.outputs]
            inputs = [self.outside(a) for a in top.inputs]
            self.equations.append(Equation(top.primitive, inputs, top.params, outputs, top.source))
            self.outer.update(zip(top.outputs, outputs, strict=True))
