"""Loops and branches as text: what the names inside them stand for."""

from __future__ import annotations

from collections.abc import Sequence

from fad.compiler.nested import body_program
from fad.compiler.report.statements import Line
from fad.core.program import Atom, Equation, Literal, Var, nested_names

__all__ = ["binding_lines"]


def binding_lines(equation: Equation, names: dict[Var, str], letters: str) -> list[Line]:
    """How a loop or branch binds the names inside it."""
    writers = {"scan": _scan, "while": _while, "cond": _cond}
    return [Line(1, text) for text in writers[str(equation.primitive.kernel)](equation, names, letters)]


def _name(atom: Atom, names: dict[Var, str]) -> str:
    return repr(atom) if isinstance(atom, Literal) else names[atom]


def _bound(inner: Sequence[Var], outer: Sequence[str], own: dict[Var, str], relation: str) -> str:
    return ", ".join(f"{own[v]} {relation} {o}" for v, o in zip(inner, outer, strict=True))


def _scan(equation: Equation, names: dict[Var, str], letters: str) -> list[str]:
    params, body = equation.params, body_program(equation.params["program"])
    own = nested_names(body, names, letters)
    fixed, state = params["constants"], params["constants"] + params["carry"]
    outer = [_name(a, names) for a in equation.inputs]
    lines = []
    if fixed:
        lines.append(f"in every turn {_bound(body.inputs[:fixed], outer[:fixed], own, '=')}")
    if outer[state:]:
        rows = [f"{o}[turn]" for o in outer[state:]]
        lines.append(f"in each turn {_bound(body.inputs[state:], rows, own, '=')}")
    results = [_name(v, own) for v in body.outputs]
    carried = body.inputs[fixed:state]
    if carried:
        lines.append(
            f"{_bound(carried, outer[fixed:state], own, 'starts as')}; then {_bound(carried, results[: params['carry']], own, '=')}"
        )
    stacked = [
        f"{names[v]}[turn] = {r}"
        for v, r in zip(equation.outputs[params["carry"] :], results[params["carry"] :], strict=True)
    ]
    return [*lines, *([f"gives {', '.join(stacked)}"] if stacked else [])]


def _while(equation: Equation, names: dict[Var, str], letters: str) -> list[str]:
    params = equation.params
    condition, body = body_program(params["cond"]), body_program(params["body"])
    first, second = params["cond_constants"], params["body_constants"]
    outer = [_name(a, names) for a in equation.inputs]
    in_condition, own = nested_names(condition, names, letters), nested_names(body, names, letters)
    state = outer[first + second :]
    lines = []
    if first:
        lines.append(f"in the condition {_bound(condition.inputs[:first], outer[:first], in_condition, '=')}")
    if second:
        lines.append(f"in the body {_bound(body.inputs[:second], outer[first : first + second], own, '=')}")
    results = [_name(v, own) for v in body.outputs]
    carried = body.inputs[second:]
    lines.append(
        f"in the condition {_bound(condition.inputs[first:], [own[v] for v in carried], in_condition, '=')} of the body"
    )
    lines.append(f"{_bound(carried, state, own, 'starts as')}; then {_bound(carried, results, own, '=')}")
    return [*lines, f"goes on while {_name(condition.outputs[0], in_condition)}"]


def _cond(equation: Equation, names: dict[Var, str], letters: str) -> list[str]:
    outer = [_name(a, names) for a in equation.inputs]
    lines = []
    for number, branch in enumerate(map(body_program, equation.params["branches"])):
        own = nested_names(branch, names, letters)
        given = _bound(branch.inputs, outer[1:], own, "=")
        results = ", ".join(_name(v, own) for v in branch.outputs)
        lines.append(f"if {outer[0]} is {number}: {given + '; ' if given else ''}gives {results}")
    return lines
