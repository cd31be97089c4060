"""Loops and branches that are left to Python, for what they run or because their length is known only at run time: what is inside is compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.loops import run_cond, run_scan, run_while
from fad.core.program import Equation, Program

__all__ = ["Way", "run_on_host"]

Way = Callable[..., Sequence[Any]]
"""What runs one Program many times: from its arguments to its outputs."""

_LOOPS = {"scan": run_scan, "while": run_while, "cond": run_cond}


def run_on_host(equation: Equation, values: Sequence[Any], way_of: Callable[[Program], Way] | None) -> Sequence[Any]:
    """The results of an equation that is left to Python; without ``way_of`` loops are evaluated operation by operation."""
    primitive = equation.primitive
    loop = _LOOPS.get(primitive.kernel) if isinstance(primitive.kernel, str) else None
    if loop is not None and way_of is not None:
        return loop(_Runner(way_of), np, values, **equation.params)
    out = primitive.bind(*values, **equation.params)
    return out if primitive.multiple_results else [out]


class _Runner:
    """Runs the Programs of one loop, looking each up once."""

    def __init__(self, way_of: Callable[[Program], Way]) -> None:
        self._way_of = way_of
        self._ways: dict[int, Way] = {}

    def __call__(self, program: Program, *args: Any) -> Sequence[Any]:
        """The outputs of a Program."""
        way = self._ways.get(id(program))
        if way is None:
            way = self._ways[id(program)] = self._way_of(program)
        return way(*args)
