"""Dead code and common subexpressions."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from fad.compiler.passes.inlining import separate_scopes
from fad.core.constants import DistinctArrays
from fad.core.program import Atom, Equation, Program, Var, has_effect, used_equations

__all__ = ["literal_key", "merge_equal", "remove_dead", "replaced", "rewired", "substituted"]


def remove_dead(program: Program) -> Program:
    """The Program without equations that no output and no effect depends on."""
    kept = used_equations(program, program.outputs)
    used = {a for e in kept for a in e.inputs} | set(program.outputs)
    constants = {v: c for v, c in program.constants.items() if v in used}
    if len(kept) == len(program.equations) and len(constants) == len(program.constants):
        return program
    return rebuilt(program, kept, program.outputs, constants)


def rebuilt(program: Program, equations: Any, outputs: Any, constants: Any = None) -> Program:
    """The Program with other equations and outputs, its checkpoints' scopes kept."""
    scopes = separate_scopes(program)
    new = Program(
        program.inputs, equations, outputs, program.constants if constants is None else constants, program.name
    )
    if scopes:
        new.cached("separate_scopes", lambda: scopes)
    return new


def replaced(
    program: Program, is_replaced: Callable[[Equation], bool], equations_of: Callable[[Equation], list[Equation]]
) -> Program:
    """The Program with other equations in the places of some of its own; itself if there are none such."""
    if not any(map(is_replaced, program.equations)):
        return program
    found = [e for old in program.equations for e in (equations_of(old) if is_replaced(old) else [old])]
    return rebuilt(program, found, program.outputs)


def substituted(atom: Atom, env: dict[Var, Atom]) -> Atom:
    """What stands for an atom."""
    return env.get(atom, atom) if isinstance(atom, Var) else atom


def rewired(equation: Equation, env: dict[Var, Atom]) -> Equation:
    """The equation with what stands for its inputs; itself if nothing does."""
    if env.keys().isdisjoint(equation.inputs):
        return equation
    inputs = [substituted(a, env) for a in equation.inputs]
    return Equation(equation.primitive, inputs, equation.params, equation.outputs, equation.source)


def literal_key(value: Any) -> Hashable:
    """Equal only for the same value of the same type, signed zeros and NaN payloads apart."""
    return type(value), np.asarray(value).tobytes()


def _parameter_key(value: Any) -> Hashable:
    """Equal only for the same parameter: 1 == 1.0 == True and 0.0 == -0.0 are different ones."""
    return literal_key(value) if isinstance(value, (float, complex, np.generic)) else (type(value), value)


def _key(equation: Equation, scope: int) -> Hashable | None:
    if has_effect(equation):
        return None
    atoms = tuple(a if isinstance(a, Var) else literal_key(a.value) for a in equation.inputs)
    params = tuple((k, _parameter_key(v)) for k, v in sorted(equation.params.items()))
    key = (equation.primitive, atoms, params, scope)
    try:
        hash(key)
    except TypeError:
        return None
    return key


def merge_equal(program: Program) -> Program:
    """The Program with every value computed once, except where a checkpoint computes it again on purpose."""
    scopes = separate_scopes(program)
    distinct = DistinctArrays()
    # Functions whose calls were written out may have snapshots of the same array.
    env: dict[Var, Atom] = {v: w for v, c in program.constants.items() if (w := distinct.first(c, v)) is not v}
    seen: dict[Hashable, list[Var]] = {}
    equations = []
    for equation in program.equations:
        equation = rewired(equation, env)
        scope = scopes.get(equation.outputs[0], 0) if equation.outputs else 0
        key = _key(equation, scope)
        found = None if key is None else seen.get(key)
        if found is not None:
            env.update(zip(equation.outputs, found, strict=True))
            continue
        if key is not None:
            seen[key] = equation.outputs
        equations.append(equation)
    if not env:
        return program
    return rebuilt(program, equations, [substituted(a, env) for a in program.outputs])
