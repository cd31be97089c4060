"""Loops and branches that are left to Python, for what they run or because their length is known only at run time: what is inside is compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.compiler.dispatch import checks_are_on, compiled_program, run_program
from fad.compiler.outcomes import NativeFailure
from fad.core.loops import run_cond, run_scan, run_while
from fad.core.program import Equation, Program, evaluate

__all__ = ["run_on_host"]

_PYTHON_NUMBERS = frozenset([bool, int, float, complex])
_LOOPS = {"scan": run_scan, "while": run_while, "cond": run_cond}


def run_on_host(equation: Equation, values: Sequence[Any]) -> Sequence[Any]:
    """The results of an equation that is left to Python."""
    primitive = equation.primitive
    loop = _LOOPS.get(primitive.kernel) if isinstance(primitive.kernel, str) else None
    if loop is not None:
        return loop(_Runner(), np, values, **equation.params)
    out = primitive.bind(*values, **equation.params)
    return out if primitive.multiple_results else [out]


class _Runner:
    """Runs the Programs of one loop, looking each up once."""

    def __init__(self) -> None:
        self._ways: dict[int, Callable[..., Sequence[Any]]] = {}

    def __call__(self, program: Program, *args: Any) -> Sequence[Any]:
        """The outputs of a Program."""
        way = self._ways.get(id(program))
        if way is None:
            way = self._ways[id(program)] = _way(program)
        return way(*args)


def _way(program: Program) -> Callable[..., Sequence[Any]]:
    """What runs a Program many times: its code, where that is all of it."""
    native = None if checks_are_on() else compiled_program(program)
    placed = None if native is None else native.only_segment()
    if placed is None:
        return _with_own_scalars(program, lambda *args: run_program(program, args))
    segment, positions = placed
    numbers = [number for _, number in sorted((place, number) for number, place in enumerate(positions) if place >= 0)]

    def direct(*args: Any) -> Sequence[Any]:
        try:
            return segment(*[args[k] for k in numbers])
        except NativeFailure:
            return evaluate(program, *args)

    return _with_own_scalars(program, direct)


def _with_own_scalars(program: Program, way: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    """Give Python's numbers the dtype that the Program has for them: native calls look at types only."""
    scalars = [(k, v.aval.dtype.type) for k, v in enumerate(program.inputs) if not v.aval.shape and not v.aval.weak]
    if not scalars:
        return way

    def typed(*args: Any) -> Sequence[Any]:
        values = list(args)
        for k, dtype in scalars:
            if type(values[k]) in _PYTHON_NUMBERS:
                values[k] = dtype(values[k])
        return way(*values)

    return typed
