"""What is computed first: results that follow from the inputs by little work, which would part loops if they came where they stand."""

from __future__ import annotations

from fad.compiler.access import REDUCTIONS, domain_of
from fad.compiler.llvm.rules import is_view, rule_of
from fad.compiler.recomputation import is_much_larger
from fad.compiler.size_classes import is_small
from fad.core.program import Equation, Program, Var

__all__ = ["first_equations", "is_brief", "is_unrolled"]

_MOST_UNROLLED = 64
_MOST_STEPS = 32
_BRIEF = 64
"""So many numbers are computed in a few hundred nanoseconds at most; a call from Python takes two thousand."""


def is_unrolled(equation: Equation) -> bool:
    """Whether an operation is written out element by element."""
    if not equation.outputs or not all(is_small(v.aval.shape) for v in equation.outputs):
        return False
    if equation.primitive.kernel in REDUCTIONS:
        return is_small(equation.inputs[0].aval.shape, _MOST_UNROLLED)
    return rule_of(equation) is not None


def is_brief(program: Program) -> bool:
    """Whether a Program computes so few numbers, one after another, that Python takes much longer to call its code than the code to run."""
    count = sum(v.aval.size for e in program.equations for v in e.outputs if v.aval.is_sized)
    return count <= _BRIEF and all(map(is_unrolled, program.equations))


def first_equations(program: Program, deferred: set[Var]) -> dict[int, Equation]:
    """The equations that are placed before all others, by identity, in order."""
    known = {id(e): e for e in _known_at_once(program, deferred)}
    sums = {id(e): e for e in _small_sums(program, deferred) if id(e) not in known}
    return known | sums


def _known_at_once(program: Program, deferred: set[Var]) -> list[Equation]:
    """The operations on small values that follow from the inputs alone."""
    found: list[Equation] = []
    later: set[Var] = set()
    for equation in program.equations:
        if (
            deferred.isdisjoint(equation.outputs)
            and is_unrolled(equation)
            and later.isdisjoint([a for a in equation.inputs if isinstance(a, Var)])
        ):
            found.append(equation)
        else:
            later.update(equation.outputs)
    return found


def _small_sums(program: Program, deferred: set[Var]) -> list[Equation]:
    """Reductions of inputs whose results are read by loops over many times as many elements, and what they need."""
    producers = {v: e for e in program.equations for v in e.outputs}
    seen: set[Var] = set()
    found: set[int] = set()
    for equation in program.equations:
        domain = domain_of(equation)
        if domain is None or is_small(domain):
            continue
        for leaf in _leaves(equation, producers):
            if leaf not in seen and is_much_larger(domain, domain_of(producers[leaf]) or ()):
                seen.add(leaf)
                found |= _way_from_inputs(leaf, producers, deferred)
    return [e for e in program.equations if id(e) in found]


def _leaves(equation: Equation, producers: dict[Var, Equation]) -> list[Var]:
    """The reductions that an operation reads, through views."""
    found, pending = [], list(equation.inputs)
    while pending:
        made = producers.get(pending[-1])  # type: ignore[arg-type]
        atom = pending.pop()
        if made is not None and made.primitive.kernel in REDUCTIONS:
            found.append(atom)
        elif made is not None and is_view(made):
            pending += made.inputs
    return found  # type: ignore[return-value]


def _way_from_inputs(var: Var, producers: dict[Var, Equation], deferred: set[Var]) -> set[int]:
    """The equations that lead from the inputs to a result, by identity; none if they are many, or more than loops over elements."""
    found: set[int] = set()
    pending = [var]
    while pending:
        made = producers.get(pending.pop())
        if made is None or id(made) in found:
            continue
        if len(found) == _MOST_STEPS or domain_of(made) is None or not deferred.isdisjoint(made.outputs):
            return set()
        found.add(id(made))
        pending += [a for a in made.inputs if isinstance(a, Var)]
    return found
