"""Elements on demand: the value of any variable at any index, computed from what is in memory.

Each operation that moves or combines elements has a rule in :data:`RULES`: which elements of its inputs one element of its result needs
(``sources``), and what becomes of them (``combine``). The same ``sources`` serve the analysis of access patterns, where indices are symbolic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import Emitter, Index, Ix, Located
from fad.compiler.llvm.scalar_value import BOOL, Value, llvm_type
from fad.compiler.operand_types import operand_dtypes
from fad.compiler.size_classes import LARGEST_STATIC
from fad.core.program import Atom, Equation, Literal, Var

__all__ = ["RULES", "Elements", "Memory", "Registers", "Rule", "is_view", "rule_of"]

Ixs = tuple[Ix, ...]
Sources = list[tuple[Atom, Ixs]]


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


class Rule(NamedTuple):
    """How one element of an operation's result comes from elements of its inputs."""

    sources: Callable[[Any, Equation, Ixs], Sources]
    combine: Callable[[Emitter, Equation, Ixs, list[Located]], Located]


def rule_of(equation: Equation) -> Rule | None:
    """The rule of an operation, if it has one."""
    kernel = equation.primitive.kernel
    return RULES["elementwise"] if callable(kernel) else RULES.get(kernel)


def is_view(equation: Equation) -> bool:
    """Whether the operation only moves elements or makes them from nothing, and so costs nothing to do again."""
    return equation.primitive.kernel in _VIEWS


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

    def element(self, atom: Atom, index: Ixs) -> Located:
        """The element of an atom at an index, computed where its indices are known and only once."""
        if isinstance(atom, Literal):
            return Located(self._literal(atom), 0)
        for scope in self.emitter.scopes:
            if (atom, index) in scope.memo:
                return scope.memo[atom, index]
        found = self._stored(atom, index)
        if found is None:
            found = self.compute(self.producers[atom], index)
        self.know(atom, index, found)
        return found

    def compute(self, equation: Equation, index: Ixs) -> Located:
        """One element of an equation's result."""
        rule = rule_of(equation)
        assert rule is not None, f"the result of {equation.primitive.name} is not stored"
        values = [self.element(a, i) for a, i in rule.sources(self.emitter, equation, index)]
        return rule.combine(self.emitter, equation, index, values)

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
        pointer = scope.builder.gep(place.pointer, [self.emitter.raw(position)], inbounds=True)
        return Located(scope.scalar.load(pointer, place.dtype), depth)

    def position(self, place: Memory, index: Ixs) -> Ix:
        """The number of the element at an index, in C order."""
        position: Ix = 0
        for i, n in zip(index[place.skip :], place.shape, strict=True):
            position = self.emitter.add(self.emitter.multiply(position, self.emitter.size(n)), i)
        return position

    def pointer(self, place: Memory, index: Ixs) -> ir.Value:
        """The address of an element, in the innermost scope."""
        return self.emitter.builder.gep(place.pointer, [self.emitter.raw(self.position(place, index))], inbounds=True)

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


# --- rules ---------------------------------------------------------------------------------------------------------------------------


def aligned(index: Ixs, shape: tuple[int, ...]) -> Ixs:
    """The index into an operand of the given shape that broadcasts to the index."""
    lead = len(index) - len(shape)
    return tuple([0 if n == 1 else i for i, n in zip(index[lead:], shape, strict=True)])


def _broadcast_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    return [(a, aligned(index, a.aval.shape)) for a in equation.inputs]


def _elementwise(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    depth = max([v.depth for v in values], default=0)
    depth = max(depth, emitter.floor)
    k = emitter.scopes[depth].scalar
    operands: list[Any] = []
    for atom, located, dtype in zip(equation.inputs, values, operand_dtypes(equation), strict=True):
        exponent = _whole_exponent(equation, atom, len(operands))
        operands.append(k.astype(located.value, dtype) if exponent is None else exponent)
    result = equation.primitive.kernel(k, *operands)
    return Located(k.astype(result, equation.outputs[0].aval.dtype), depth)


def _whole_exponent(equation: Equation, atom: Atom, position: int) -> int | None:
    """The exponent of a power as a Python int, where it is one and known now."""
    if equation.primitive.name not in ("power", "float_power") or position != 1 or not isinstance(atom, Literal):
        return None
    if equation.outputs[0].aval.dtype.kind != "f" or not np.isfinite(atom.value) or abs(atom.value) > LARGEST_STATIC:
        return None
    return int(atom.value) if atom.value == int(atom.value) else None


def _first(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    return values[0]


def _convert(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    value, depth = values[0].value, max(values[0].depth, emitter.floor)
    return Located(emitter.scopes[depth].scalar.astype(value, equation.outputs[0].aval.dtype), depth)


def _transpose_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    source: list[Ix] = [0] * len(index)
    for i, axis in zip(index, equation.params["axes"], strict=True):
        source[axis] = i
    return [(equation.inputs[0], tuple(source))]


def reshape_groups(source: tuple[int, ...], target: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Consecutive axes of two shapes of the same size, matched so that each group has the same number of elements."""
    groups = []
    i = j = 0
    while i < len(source) or j < len(target):
        left, right = [], []
        m = n = 1
        if i < len(source):
            left.append(i)
            m, i = source[i], i + 1
        if j < len(target) and (m != 1 or not left):
            right.append(j)
            n, j = target[j], j + 1
        while m != n:
            if m < n:
                left.append(i)
                m, i = m * source[i], i + 1
            else:
                right.append(j)
                n, j = n * target[j], j + 1
        groups.append((left, right))
    return groups


def _reshape_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    (x,) = equation.inputs
    shape, target = x.aval.shape, equation.outputs[0].aval.shape
    source: list[Ix] = [0] * len(shape)
    for left, right in reshape_groups(shape, target):
        left = [a for a in left if shape[a] != 1]
        right = [a for a in right if target[a] != 1]
        if len(left) == 1 and len(right) == 1:
            source[left[0]] = index[right[0]]
            continue
        position: Ix = 0
        for a in right:
            position = algebra.add(algebra.multiply(position, algebra.size(target[a])), index[a])
        for a in reversed(left[1:]):
            position, source[a] = algebra.divide(position, algebra.size(shape[a]))
        if left:
            source[left[0]] = position
    return [(x, tuple(source))]


def _slice_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    starts, steps = equation.params["starts"], equation.params["steps"]
    moved = [
        algebra.add(algebra.multiply(i, algebra.size(step)), algebra.size(start))
        for i, start, step in zip(index, starts, steps, strict=True)
    ]
    return [(equation.inputs[0], tuple(moved))]


def _flip_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    shape = equation.inputs[0].aval.shape
    moved = [
        algebra.subtract(algebra.subtract(algebra.size(n), 1), i) if a in equation.params["axes"] else i
        for a, (i, n) in enumerate(zip(index, shape, strict=True))
    ]
    return [(equation.inputs[0], tuple(moved))]


def _full(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    value = equation.params["value"]
    return Located(emitter.scopes[0].scalar.constant(value, equation.outputs[0].aval.dtype), 0)


def _iota(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    (i,) = index
    depth = i.depth if isinstance(i, Index) else 0
    k = emitter.scopes[depth].scalar
    return Located(k.astype(Value(emitter.raw(i), np.dtype(np.int64)), equation.outputs[0].aval.dtype), depth)


def _nothing(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    for i in index:
        algebra.multiply(i, 2)
    return []


RULES: dict[str, Rule] = {
    "elementwise": Rule(_broadcast_sources, _elementwise),
    "broadcast": Rule(_broadcast_sources, _first),
    "identity": Rule(_broadcast_sources, _first),
    "convert": Rule(_broadcast_sources, _convert),
    "transpose": Rule(_transpose_sources, _first),
    "reshape": Rule(_reshape_sources, _first),
    "slice": Rule(_slice_sources, _first),
    "flip": Rule(_flip_sources, _first),
    "full": Rule(lambda algebra, equation, index: [], _full),
    "iota": Rule(_nothing, _iota),
}
_VIEWS = frozenset({"broadcast", "identity", "transpose", "reshape", "slice", "flip", "full", "iota"})
