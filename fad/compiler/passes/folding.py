"""Constant folding and exact algebra: nothing here changes a bit of any result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.compiler.passes.redundancy import rebuilt, rewired, substituted
from fad.core.avals import DYNAMIC
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var

__all__ = ["fold"]

_REDUCTIONS = frozenset({"reduce_sum", "reduce_max", "reduce_min", "reduce_prod"})
_VIEWS = frozenset({"broadcast_to", "concatenate", "flip", "pad", "reshape", "static_slice", "transpose"})
_NEUTRAL = {"multiply": (1, True), "divide": (1, False), "subtract": (0.0, False)}


def fold(program: Program) -> Program:
    """Compute scalars that depend on literals only, drop operations that do nothing, join chains of views."""
    env: dict[Var, Atom] = {}
    made: dict[Var, Equation] = {}
    equations: list[Equation] = []
    for equation in program.equations:
        equation = rewired(equation, env)
        replacement = _replacement(equation, made)
        if isinstance(replacement, Atom):
            env[equation.outputs[0]] = replacement
            continue
        for kept in replacement or [equation]:
            made.update(dict.fromkeys(kept.outputs, kept))
            equations.append(kept)
    return rebuilt(program, equations, [substituted(a, env) for a in program.outputs])


def _replacement(equation: Equation, made: dict[Var, Equation]) -> Atom | list[Equation] | None:
    """What an equation can be replaced by: an atom, other equations, or nothing."""
    if equation.primitive.multiple_results or equation.params.get("effect"):
        return None
    name, out = equation.primitive.name, equation.outputs[0].aval
    literal = _literal_result(equation)
    if literal is not None:
        return literal
    if not equation.inputs:
        return None
    if 0 in out.shape and DYNAMIC not in out.shape and (name in _VIEWS or callable(equation.primitive.kernel)):
        return [_zeros(equation)]
    if name in ("concatenate", "pad") and 0 not in out.shape and any(0 in a.aval.shape for a in equation.inputs):
        return _without_empty(equation)
    first = equation.inputs[0]
    same_type = first.aval.shape == out.shape and first.aval.dtype == out.dtype and first.aval.weak == out.weak
    if same_type and (
        name in ("convert", "positive", "stop_gradient", "reshape", "broadcast_to")
        or equation.primitive.kernel == "identity"
        or (name == "transpose" and _is_in_order(equation.params["axes"]))
    ):
        return first
    if name in _REDUCTIONS and all(first.aval.shape[a] == 1 for a in equation.params["axes"]):
        return _of_one_element(equation)
    if name in _NEUTRAL and len(equation.inputs) == 2:
        return _without_neutral(equation, name)
    return _joined_views(equation, made)


def _without_empty(equation: Equation) -> Atom | list[Equation]:
    """A concatenation without its empty operands; zeros for a padded array without elements."""
    filled: list[Atom] = [a for a in equation.inputs if 0 not in a.aval.shape]
    if len(filled) == 1 and filled[0].aval == equation.outputs[0].aval:
        return filled[0]
    if filled:
        return [Equation(equation.primitive, filled, equation.params, equation.outputs, equation.source)]
    return [_zeros(equation)]


def _zeros(equation: Equation) -> Equation:
    out = equation.outputs[0].aval
    params = {"shape": out.shape, "value": 0, "dtype": out.dtype}
    return Equation(REGISTRY["full"], [], params, equation.outputs, equation.source)


def _of_one_element(equation: Equation) -> list[Equation] | None:
    """A reduction of one element as a view; a sum starts from 0.0, which turns -0.0 into 0.0."""
    (x,), (out,), source = equation.inputs, equation.outputs, equation.source
    if x.aval.dtype != out.aval.dtype:
        return None
    found = []
    if equation.primitive.name == "reduce_sum" and out.aval.dtype.kind == "f":
        total = Var(x.aval.update())
        found.append(Equation(REGISTRY["add"], [x, Literal(0.0)], {}, [total], source))
        x = total
    return [*found, Equation(REGISTRY["reshape"], [x], {"shape": out.aval.shape}, [out], source)]


def _without_neutral(equation: Equation, name: str) -> Atom | None:
    """The operand beside a literal that changes nothing: 1 * x, x / 1, x - 0.0, but not x + 0.0, which turns -0.0 into 0.0."""
    neutral, commutes = _NEUTRAL[name]
    x, y = equation.inputs
    out = equation.outputs[0].aval
    for kept, other in ((x, y), (y, x)) if commutes else ((x, y),):
        if isinstance(other, Literal) and type(other.value) in (int, float) and other.value == neutral:
            if np.signbit(other.value) or kept.aval.dtype.kind not in "fiu":
                continue
            if kept.aval.shape == out.shape and kept.aval.dtype == out.dtype and kept.aval.weak == out.weak:
                return kept
    return None


def _is_in_order(axes: Sequence[int]) -> bool:
    return all(k == axis for k, axis in enumerate(axes))


def _joined_views(equation: Equation, made: dict[Var, Equation]) -> Atom | list[Equation] | None:
    """A reshape of a reshape, a transpose of a transpose, a negation of a negation."""
    name = equation.primitive.name
    inner = made.get(equation.inputs[0]) if isinstance(equation.inputs[0], Var) else None
    if inner is None or inner.primitive is not equation.primitive or len(equation.inputs) != 1:
        return None
    if name == "reshape":
        params = equation.params
    elif name == "transpose":
        params = {"axes": tuple(inner.params["axes"][a] for a in equation.params["axes"])}
        if _is_in_order(params["axes"]):
            return inner.inputs[0]
    else:
        return None
    return [Equation(equation.primitive, inner.inputs, params, equation.outputs, equation.source)]


def _literal_result(equation: Equation) -> Literal | None:
    """The scalar that an equation of literals computes."""
    out = equation.outputs[0].aval
    if out.shape != () or out.dtype.kind not in "fiub" or equation.primitive.kernel is None:
        return None
    if not all(isinstance(a, Literal) for a in equation.inputs):
        return None
    try:
        with np.errstate(all="ignore"):
            value: Any = equation.primitive.host_impl(*[a.value for a in equation.inputs], **equation.params)
    except Exception:
        # Let the evaluation itself raise.
        return None
    if out.weak:
        value = value.item() if hasattr(value, "item") else value
        return Literal(value)
    value = np.asarray(value)
    return Literal(value.dtype.type(value[()])) if value.dtype == out.dtype and value.shape == () else None
