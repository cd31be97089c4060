"""Elements on demand: the value of any variable at any index, computed by the operations' rules from what is in memory."""

from __future__ import annotations

from typing import NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.beside import Beside
from fad.compiler.llvm.emission import Emitter, Index, Ix, Located
from fad.compiler.llvm.positions import nearest_position
from fad.compiler.llvm.rules import Ixs, gathered_index, is_view, pad_condition, padded_index, rule_of
from fad.compiler.llvm.scalar_value import BOOL, Value, llvm_type
from fad.core.program import Atom, Equation, Literal, Var

__all__ = ["Elements", "Memory", "Registers"]


class Memory(NamedTuple):
    """A variable in memory, in C order.

    Attributes
    ----------
    pointer : llvmlite.ir.Value
        The address of its first element.
    floor : int
        The scope that its elements change in, inside which they must be read.
    skip : int
        How many leading axes of the variable it does not have: it holds one turn of a loop over them.
    """

    pointer: ir.Value
    shape: tuple[int, ...]
    dtype: np.dtype
    floor: int = 0
    skip: int = 0


class Registers(NamedTuple):
    """A small variable of known size: one register for each element, in the scope that they were computed in."""

    values: dict[tuple[int, ...], Value]
    depth: int = 0


class Elements:
    """Gives elements of variables inside one function.

    Parameters
    ----------
    emitter : Emitter
        Writes the function.
    producers : dict of Var to Equation
        How to compute what is not stored.
    scalars : dict of int to int
        The sizes-argument position of each literal that is an argument, by identity.
    """

    def __init__(self, emitter: Emitter, producers: dict[Var, Equation], scalars: dict[int, int]):
        self.emitter = emitter
        self.producers = producers
        self.storage: dict[Var, Memory | Registers] = {}
        self._scalars = scalars
        self.beside: Beside | None = None

    def element(self, atom: Atom, index: Ixs) -> Located:
        """The element of an atom at an index, computed where its indices are known and only once."""
        if isinstance(atom, Literal):
            return Located(self._literal(atom), 0)
        found = self._known(atom, index)
        if found is None and self.emitter.clamps:
            # Near an end another element may be read, which is not used: the one that is at hand serves as well.
            meant = tuple([self.emitter.before_clamping(i) for i in index])
            found = None if meant == index else self._known(atom, meant)
        if found is not None:
            return found
        found = self._stored(atom, index)
        if found is None and self.beside is not None:
            found = self.beside.element(self, atom, index)
        if found is None:
            found = self.compute(self.producers[atom], index)
        self.know(atom, index, found)
        return found

    def _known(self, atom: Atom, index: Ixs) -> Located | None:
        """An element that is computed already."""
        for scope in self.emitter.scopes:
            if (atom, index) in scope.memo:
                return scope.memo[atom, index]
        return None

    def compute(self, equation: Equation, index: Ixs) -> Located:
        """One element of an equation's result."""
        rule = rule_of(equation)
        assert rule is not None, f"the result of {equation.primitive.name} is not stored"
        if equation.primitive.kernel == "gather":
            return self.element(equation.inputs[0], gathered_index(equation, index, self._position))
        sources = rule.sources(self.emitter, equation, index)
        if sources and equation.primitive.kernel == "pad" and self._is_plain(equation.inputs[0]):
            found = self._padded(equation, index)
            if found is not None:
                return found
        values = [self.element(a, i) for a, i in sources]
        return rule.combine(self.emitter, equation, index, values)

    def _position(self, atom: Atom, index: Ixs, size: int) -> Ix:
        """The position inside an axis that stands in an array of indices."""
        return nearest_position(self.emitter, self.element(atom, index), size)

    def _is_plain(self, atom: Atom) -> bool:
        """Whether an element is read from memory, through views at most."""
        while isinstance(atom, Var) and atom not in self.storage:
            equation = self.producers[atom]
            if not is_view(equation) or not equation.inputs:
                return False
            atom = equation.inputs[0]
        return isinstance(atom, Var) and isinstance(self.storage[atom], Memory)

    def _padded(self, equation: Equation, index: Ixs) -> Located | None:
        """An element of a padded array, read only where there is one: LLVM makes a masked read of it in vector code."""
        emitter = self.emitter
        inside, depth = pad_condition(emitter, equation, index)
        if inside is None or depth == 0:
            return None
        dtype = equation.outputs[0].aval.dtype
        with emitter.where(inside) as merge:
            merge(self.element(equation.inputs[0], padded_index(emitter, equation, index)).value.ir)
        return Located(Value(merge.result(ir.Constant(llvm_type(dtype), 0)), dtype), emitter.depth)

    def know(self, var: Var, index: Ixs, found: Located) -> None:
        """Keep an element for those who ask again."""
        self.emitter.scopes[found.depth].memo[var, index] = found

    def _literal(self, literal: Literal) -> Value:
        dtype = literal.aval.dtype
        scope = self.emitter.scopes[0]
        number = self._scalars.get(id(literal))
        if number is None:
            return scope.scalar.constant(literal.value, dtype)
        key = ("scalar", number)
        if key not in scope.memo:
            scope.memo[key] = from_bits(scope.builder, self.emitter.parameter(number), dtype)
        return scope.memo[key]

    def _stored(self, var: Var, index: Ixs) -> Located | None:
        place = self.storage.get(var)
        if place is None:
            return None
        if isinstance(place, Registers):
            return Located(place.values[index], place.depth)
        position = self.position(place, index)
        depth = max(position.depth if isinstance(position, Index) else 0, place.floor, self.emitter.floor)
        scope = self.emitter.scopes[depth]
        position = self._of_parts(place, position)
        pointer = scope.builder.gep(place.pointer, [self.emitter.raw(position)], inbounds=True)
        return Located(scope.scalar.load(pointer, place.dtype), depth)

    def position(self, place: Memory, index: Ixs) -> Ix:
        """The number of the element at an index, in C order."""
        position: Ix = 0
        for i, n in zip(index[place.skip :], place.shape, strict=True):
            if position != 0:
                position = self.emitter.multiply(position, self.emitter.size(n))
            position = self.emitter.add(position, i)
        return position

    def pointer(self, place: Memory, index: Ixs) -> ir.Value:
        """The address of an element, in the innermost scope."""
        position = self._of_parts(place, self.position(place, index))
        return self.emitter.builder.gep(place.pointer, [self.emitter.raw(position)], inbounds=True)

    def _of_parts(self, place: Memory, position: Ix) -> Ix:
        """Where the first part of an element stands; a complex number has two."""
        return self.emitter.multiply(position, 2) if place.dtype.kind == "c" else position

    def load(self, place: Memory, index: Ixs) -> Value:
        """Read an element in the innermost scope."""
        return self.emitter.scalar.load(self.pointer(place, index), place.dtype)

    def store(self, value: Value, place: Memory, index: Ixs) -> None:
        """Write an element in the innermost scope."""
        self.emitter.scalar.store(value, self.pointer(place, index))


def from_bits(builder: ir.IRBuilder, bits: ir.Value, dtype: np.dtype) -> Value:
    """A scalar from the low bits of an int64."""
    if dtype == BOOL:
        return Value(builder.trunc(bits, ir.IntType(1)), dtype)
    if dtype.itemsize < 8:
        bits = builder.trunc(bits, ir.IntType(8 * dtype.itemsize))
    return Value(builder.bitcast(bits, llvm_type(dtype)) if dtype.kind == "f" else bits, dtype)
