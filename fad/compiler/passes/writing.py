"""Equations that passes write."""

from __future__ import annotations

from typing import Any

from fad.core.primitive import REGISTRY, Primitive
from fad.core.program import Atom, Equation, Var

__all__ = ["applied", "slice_along"]


def applied(equations: list[Equation], source: Any, primitive: Primitive | str, /, *inputs: Atom, **params: Any) -> Var:
    """Append the equation of an operation with one result, from a line of the user's; gives its result."""
    primitive = REGISTRY[primitive] if isinstance(primitive, str) else primitive
    out = Var(primitive.shape(*[a.aval for a in inputs], **params))
    equations.append(Equation(primitive, list(inputs), params, [out], source))
    return out


def slice_along(shape: tuple[int, ...], axis: int, start: int, stop: int) -> dict[str, tuple[int, ...]]:
    """The parameters of ``static_slice`` for what lies between two positions along an axis."""
    starts = tuple([start if a == axis else 0 for a in range(len(shape))])
    stops = tuple([stop if a == axis else n for a, n in enumerate(shape)])
    return {"starts": starts, "stops": stops, "steps": (1,) * len(shape)}
