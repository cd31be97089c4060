"""Rows that are read at integer indices: the indices are checked once, and then loops read the rows where they lie."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fad.compiler.deferral import CHEAP
from fad.compiler.llvm.rules import reads_rows
from fad.compiler.passes.redundancy import replaced
from fad.compiler.recomputation import is_much_larger
from fad.core.avals import ShapedArray
from fad.core.program import Atom, Equation, Program, Var
from fad.primitives.checked_indices import checked_indices

__all__ = ["check_indices_once"]


def check_indices_once(program: Program) -> Program:
    """Write ``gather`` of long rows, where an index outside is an error, as ``checked_indices`` and a ``gather`` that cannot fail.

    What cannot fail needs no loop of its own: it is part of those that read the rows, see :func:`fad.compiler.llvm.rules.reads_rows`.
    """
    made = {v: e for e in program.equations for v in e.outputs}
    split = {id(e) for e in program.equations if _may_be_split(e) and not _computes_few(e, made)}
    return replaced(program, lambda e: id(e) in split, _split)


def _may_be_split(equation: Equation) -> bool:
    return equation.primitive.name == "gather" and equation.params["mode"] == "raise" and reads_rows(equation)


def _computes_few(equation: Equation, made: Mapping[Atom, Equation]) -> bool:
    """Whether it reads a few rows of an array that is cheap to compute: a loop of its own computes no other."""
    x, out = equation.inputs[0], equation.outputs[0]
    return x in made and made[x].primitive.name in CHEAP and is_much_larger(x.aval.shape, out.aval.shape)


def _split(equation: Equation) -> list[Equation]:
    x, *indices = equation.inputs
    found: list[Equation] = []
    positions: list[Atom] = [x]
    for atom, axis in zip(indices, equation.params["axes"], strict=True):
        out = Var(ShapedArray(atom.aval.shape, np.dtype(np.int64)))
        params = {"length": x.aval.shape[axis]}
        found.append(Equation(checked_indices, [atom], params, [out], equation.source))
        positions.append(out)
    # Nothing is clipped any more; reading so, code stays inside the array whatever the positions are.
    params = {**equation.params, "mode": "clip"}
    return [*found, Equation(equation.primitive, positions, params, equation.outputs, equation.source)]
