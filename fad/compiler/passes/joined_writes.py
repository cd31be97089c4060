"""Arrays that are filled piece by piece at places that are known: written by one loop that joins the pieces, not by one for each piece.

That is what code for numba becomes that fills an array element by element. What is read in between is the piece itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fad.compiler.passes.inlining import separate_scopes
from fad.compiler.passes.redundancy import rebuilt, substituted
from fad.compiler.passes.writing import slice_along
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var

__all__ = ["join_writes"]

_FEW = 8
"""So many writes are made one by one, in place."""
_MOST_BYTES = 1 << 18
"""A larger array is not copied together."""


class _Window(NamedTuple):
    """A part of an array: all of it but along one axis."""

    axis: int
    start: int
    length: int


class _Chain:
    """Arrays that come of each other by writes of equally long pieces, which are the same place or have none in common."""

    def __init__(self, base: Atom, window: _Window):
        self.base, self.window = base, window
        self.arrays: list[Atom] = [base]  # after each number of writes
        self.writes: list[Equation] = []
        self.pieces: dict[int, list[tuple[int, Atom]]] = {}  # start: (number of the write, piece)
        self.present = {0}  # the arrays that the new Program has, by their number

    def fits(self, window: _Window) -> bool:
        axis, start, length = self.window
        return window.axis == axis and window.length == length and (window.start - start) % length == 0

    def append(self, equation: Equation, window: _Window, piece: Atom) -> int:
        self.writes.append(equation)
        self.arrays.append(equation.outputs[0])
        self.pieces.setdefault(window.start, []).append((len(self.writes), piece))
        return len(self.writes)

    def piece(self, start: int, number: int) -> Atom | None:
        """What stands at a place after a number of writes; ``None`` where the base does."""
        return next((piece for written, piece in reversed(self.pieces.get(start, [])) if written <= number), None)


def join_writes(program: Program) -> Program:
    """Write arrays that many pieces are written into as concatenations."""
    writes = sum(e.primitive.name == "dynamic_update_slice" for e in program.equations)
    return _Joining(program).result() if writes >= _FEW and not separate_scopes(program) else program


class _Joining:
    def __init__(self, program: Program):
        self._program = program
        self._equations: list[Equation] = []
        self._values: dict[Var, Atom] = {}
        self._chains: dict[Var, tuple[_Chain, int]] = {}

    def result(self) -> Program:
        """The Program with concatenations."""
        for equation in self._program.equations:
            inputs = [substituted(a, self._values) for a in equation.inputs]
            if not (self._is_write(equation, inputs) or self._is_read(equation, inputs)):
                self._need(inputs)
                self._equations.append(
                    Equation(equation.primitive, inputs, equation.params, equation.outputs, equation.source)
                )
        outputs = [substituted(a, self._values) for a in self._program.outputs]
        self._need(outputs)
        return rebuilt(self._program, self._equations, outputs)

    def _is_write(self, equation: Equation, inputs: list[Atom]) -> bool:
        """Put a write off if its place is known."""
        if equation.primitive.name != "dynamic_update_slice":
            return False
        target, piece, *starts = inputs
        window = _window(target.aval, piece.aval.shape, starts)
        if window is None or target.aval.size * target.aval.dtype.itemsize > _MOST_BYTES:
            return False
        chain, number = self._chains.get(target, (None, 0)) if isinstance(target, Var) else (None, 0)
        if chain is None or number < len(chain.writes) or not chain.fits(window):
            self._need([target])
            chain = _Chain(target, window)
        self._need([piece])
        written = Equation(equation.primitive, inputs, equation.params, equation.outputs, equation.source)
        self._chains[equation.outputs[0]] = chain, chain.append(written, window, piece)
        return True

    def _is_read(self, equation: Equation, inputs: list[Atom]) -> bool:
        """Take what is read from before the writes, or from them."""
        source, out = inputs[0] if inputs else None, equation.outputs[0]
        if equation.primitive.name == "dynamic_slice":
            window = _window(inputs[0].aval, out.aval.shape, inputs[1:])
        elif equation.primitive.name == "static_slice" and set(equation.params["steps"]) == {1}:
            window = _window(inputs[0].aval, out.aval.shape, [Literal(s) for s in equation.params["starts"]])
        else:
            return False
        if window is None:
            return False
        while isinstance(source, Var) and source in self._chains:
            chain, number = self._chains[source]
            if not chain.fits(window):
                break
            piece = chain.piece(window.start, number)
            if piece is not None:
                self._values[out] = piece
                return True
            source = chain.base
        assert source is not None
        self._need([source])
        self._equations.append(_slice(source, window, out, equation))
        return True

    def _need(self, atoms: Sequence[Atom]) -> None:
        """Have the new Program hold arrays whose writes were put off."""
        for atom in atoms:
            if isinstance(atom, Var) and atom in self._chains:
                self._make(*self._chains[atom])

    def _make(self, chain: _Chain, number: int) -> None:
        if number in chain.present:
            return
        first = max(k for k in chain.present if k <= number)
        if number - first < _FEW:
            self._equations += chain.writes[first:number]
            chain.present.update(range(first + 1, number + 1))
        else:
            self._equations += _joined(chain, number)
            chain.present.add(number)


def _window(array: ShapedArray, shape: tuple[int, ...], starts: Sequence[Atom]) -> _Window | None:
    """The window of a shape at some indices, if they are known and it is one."""
    axes = [k for k, (n, m) in enumerate(zip(array.shape, shape, strict=True)) if n != m]
    if len(axes) != 1 or not all(isinstance(s, Literal) for s in starts):
        return None
    (axis,) = axes
    numbers = [int(s.value) for s in starts if isinstance(s, Literal)]
    start, length = numbers[axis], shape[axis]
    inside = 0 <= start <= array.shape[axis] - length and length > 0
    return _Window(axis, start, length) if inside and sum(map(bool, numbers)) == bool(start) else None


def _slice(source: Atom, window: _Window, out: Var, origin: Equation) -> Equation:
    params = slice_along(source.aval.shape, window.axis, window.start, window.start + window.length)
    return Equation(REGISTRY["static_slice"], [source], params, [out], origin.source)


def _joined(chain: _Chain, number: int) -> list[Equation]:
    """An array of the chain, joined of the pieces written into it and of what is left of the base between them."""
    origin, out = chain.writes[number - 1], chain.arrays[number]
    assert isinstance(out, Var)
    axis, length = chain.window.axis, chain.window.length
    found: list[Equation] = []
    parts: list[Atom] = []

    def keep(start: int, stop: int) -> None:
        if stop > start:
            shape = (*out.aval.shape[:axis], stop - start, *out.aval.shape[axis + 1 :])
            parts.append(Var(out.aval.update(shape=shape)))
            found.append(_slice(chain.base, _Window(axis, start, stop - start), parts[-1], origin))

    end = 0
    for start in sorted(chain.pieces):
        piece = chain.piece(start, number)
        if piece is not None:
            keep(end, start)
            parts.append(piece)
            end = start + length
    keep(end, out.aval.shape[axis])
    return [*found, Equation(REGISTRY["concatenate"], parts, {"axis": axis}, [out], origin.source)]
