"""When each variable of a plan is read for the last time."""

from __future__ import annotations

from fad.compiler.fusion import Plan
from fad.core.program import Atom, Var

__all__ = ["last_steps"]


def last_steps(plan: Plan) -> dict[int, list[Var]]:
    """The variables that are read for the last time in each step."""
    last: dict[Var, int] = {}
    sources = plan.aliases

    def use(atom: Atom, number: int) -> None:
        if not isinstance(atom, Var):
            return
        if atom not in sources and not plan.is_computed_by_readers(atom):
            last[atom] = max(last.get(atom, -1), number)
            return
        pending: list[Atom] = [atom]
        while pending:
            v = pending.pop()
            if isinstance(v, Var):
                last[v] = max(last.get(v, -1), number)
                if v in sources:
                    pending.append(sources[v])
                elif plan.is_computed_by_readers(v):
                    pending += plan.producers[v].inputs

    for number, step in enumerate(plan.steps):
        for equation in step.equations:
            for atom in (*equation.inputs, *equation.outputs):
                use(atom, number)
    for atom in plan.program.outputs:
        use(atom, len(plan.steps) - 1)
    ends: dict[int, list[Var]] = {}
    for var, number in last.items():
        ends.setdefault(number, []).append(var)
    return ends
