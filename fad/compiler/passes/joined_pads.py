"""Sums of padded arrays that lie beside each other are one array joined of them: the gradient of an array that was taken to pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fad.compiler.passes.redundancy import rebuilt, remove_dead
from fad.compiler.size_classes import MOST_AT_EDGE
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var

__all__ = ["join_pads"]

_MOST_BYTES = 1 << 18
"""A larger array is not copied together: loops that ask where they are read and write it only once."""

_MOST_TERMS = 256


def join_pads(program: Program) -> Program:
    """Write sums of padded arrays that fill one axis without a gap as concatenations."""
    pads = sum(e.primitive.name == "pad" for e in program.equations)
    return _Joining(program).result() if pads > 1 else program


class _Joining:
    def __init__(self, program: Program):
        self._program = program
        self._made = {v: e for e in program.equations for v in e.outputs}
        self._uses = Counter(a for e in program.equations for a in e.inputs if isinstance(a, Var))
        self._uses.update(a for a in program.outputs if isinstance(a, Var))

    def result(self) -> Program:
        """The Program with concatenations, without the sums between."""
        joined = {id(e): pieces for e in self._program.equations if (pieces := self._pieces(e)) is not None}
        equations: list[Equation] = []
        for equation in self._program.equations:
            equations += _concatenation(equation, *joined[id(equation)]) if id(equation) in joined else [equation]
        return remove_dead(rebuilt(self._program, equations, self._program.outputs)) if joined else self._program

    def _pieces(self, equation: Equation) -> tuple[list[Atom], int] | None:
        """The arrays that a sum joins, in order, and along which axis."""
        out = equation.outputs[0].aval if equation.primitive.name == "add" else None
        if (
            out is None
            or not out.is_sized
            or out.size * out.dtype.itemsize > _MOST_BYTES
            or out.dtype.kind not in "fiu"
        ):
            return None
        pads = self._terms(equation, out)
        axes = {None} if pads is None else {_padded_axis(e) for e in pads}
        axis = axes.pop()
        if axes or axis is None:
            return None
        pads.sort(key=lambda e: e.params["widths"][axis][0])
        end = 0
        for pad in pads:
            if pad.params["widths"][axis][0] != end:
                return None
            end += pad.inputs[0].aval.shape[axis]
        long = sum(e.inputs[0].aval.shape[axis] > MOST_AT_EDGE for e in pads)
        return ([e.inputs[0] for e in pads], axis) if end == out.shape[axis] and long > 1 else None

    def _terms(self, equation: Equation, out: ShapedArray) -> list[Equation] | None:
        """The operations whose results are added up, unless they are too many."""
        found: list[Equation] = []
        waiting = [equation]
        while waiting:
            equation = waiting.pop()
            for atom in equation.inputs:
                made = self._made.get(atom) if isinstance(atom, Var) and atom.aval == out else None
                is_sum = made is not None and made.primitive.name == "add" and self._uses[made.outputs[0]] == 1
                (waiting if is_sum else found).append(made or equation)
            if len(found) + len(waiting) > _MOST_TERMS:
                return None
        return found


def _padded_axis(equation: Equation) -> int | None:
    """The only axis along which an operation pads its input at the ends."""
    if equation.primitive.name != "pad":
        return None
    axes = [a for a, widths in enumerate(equation.params["widths"]) if widths != (0, 0, 0)]
    is_plain = len(axes) == 1 and all(w[0] >= 0 and w[1] >= 0 and w[2] == 0 for w in equation.params["widths"])
    return axes[0] if is_plain else None


def _concatenation(equation: Equation, pieces: Sequence[Atom], axis: int) -> list[Equation]:
    found: list[Equation] = []
    if equation.outputs[0].aval.dtype.kind == "f":
        # Sums with the zeros around a piece turn its -0.0 into 0.0.
        sums = [Var(a.aval) for a in pieces]
        for piece, total in zip(pieces, sums, strict=True):
            found.append(Equation(REGISTRY["add"], [piece, Literal(0.0)], {}, [total], equation.source))
        pieces = sums
    joined = Equation(REGISTRY["concatenate"], list(pieces), {"axis": axis}, equation.outputs, equation.source)
    return [*found, joined]
