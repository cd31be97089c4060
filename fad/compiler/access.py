"""Access patterns: which elements of which variables a loop reads, with symbolic indices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from fad.compiler.llvm.rules import aligned, rule_of
from fad.compiler.size_classes import LARGEST_STATIC
from fad.core.program import Atom, Equation, Var

__all__ = ["REDUCTIONS", "Access", "Axis", "Mixed", "Patterns", "Shifted", "accesses", "domain_of", "identity_index"]

REDUCTIONS = frozenset({"reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_any", "reduce_all"})


def domain_of(equation: Equation) -> tuple[int, ...] | None:
    """The indices that an operation's loop runs over, ``None`` if it is not computed element by element."""
    if equation.primitive.kernel in REDUCTIONS:
        return equation.inputs[0].aval.shape
    return None if rule_of(equation) is None else equation.outputs[0].aval.shape


class Axis(NamedTuple):
    """The index of one axis of the loop."""

    number: int


class Mixed(NamedTuple):
    """An index computed from those of some axes."""

    axes: frozenset[int]


class Shifted(NamedTuple):
    """The index of an axis and a small number."""

    axis: int
    by: int


SymbolicIndex = int | Axis | Shifted | Mixed


class Access(NamedTuple):
    """One element that is read, for every turn of the loop."""

    var: Var
    index: tuple[SymbolicIndex, ...]


class Patterns:
    """Finds what a loop over a domain reads; also the index algebra that the rules compute with.

    Attributes
    ----------
    accesses : list of Access
        What is read.
    mixed : set of int
        The axes whose index takes part in arithmetic.
    divisors : dict of int to set of int
        What indices of an axis are divided by.
    chosen : set of int
        The axes whose index decides which of several arrays an element is read from.
    edged : set of int
        The axes of whose indices something is known, but for those near an end, which a loop may be split for.
    """

    def __init__(self, producer: Callable[[Var], Equation | None]):
        self._producer = producer
        self._seen: set[Access] = set()
        self.accesses: list[Access] = []
        self.mixed: set[int] = set()
        self.divisors: dict[int, set[int]] = {}
        self.chosen: set[int] = set()
        self.edged: set[int] = set()

    def read(self, atom: Atom, index: tuple[SymbolicIndex, ...]) -> None:
        """Follow an element to the variables that it is read from: those without a producer."""
        pending: list[tuple[Atom, tuple[SymbolicIndex, ...]]] = [(atom, index)]
        while pending:
            atom, index = pending.pop()
            if not isinstance(atom, Var):
                continue
            access = Access(atom, index)
            if access in self._seen:
                continue
            self._seen.add(access)
            equation = self._producer(atom)
            if equation is None:
                self.accesses.append(access)
            else:
                rule = rule_of(equation)
                assert rule is not None
                pending += rule.sources(self, equation, index)  # type: ignore[arg-type]

    # -- the algebra ------------------------------------------------------------------------------------------------------

    def size(self, n: int) -> int:
        """A size."""
        return n

    def _mix(self, *operands: SymbolicIndex) -> Mixed:
        axes = frozenset[int]().union(*map(_axes_of, operands))
        self.mixed |= axes
        return Mixed(axes)

    def add(self, x: SymbolicIndex, y: SymbolicIndex) -> SymbolicIndex:
        """Return x + y"""
        if type(x) is int and type(y) is int:
            return x + y
        if x == 0 or y == 0:
            return y if x == 0 else x
        return self._shifted(y, x) if type(x) is int else self._shifted(x, y)

    def subtract(self, x: SymbolicIndex, y: SymbolicIndex) -> SymbolicIndex:
        """Return x - y"""
        if type(x) is int and type(y) is int:
            return x - y
        return x if y == 0 else self._shifted(x, -y if type(y) is int else y)

    def _shifted(self, x: SymbolicIndex, y: SymbolicIndex) -> SymbolicIndex:
        """X + y"""
        mixed = self._mix(x, y)
        if type(y) is not int or not isinstance(x, Axis | Shifted) or abs(y) > LARGEST_STATIC:
            return mixed
        axis, by = (x.number, y) if isinstance(x, Axis) else (x.axis, x.by + y)
        return Shifted(axis, by) if by else Axis(axis)

    def clamped(self, x: SymbolicIndex, size: int) -> SymbolicIndex:
        """The nearest index inside an axis, for an element that is not used if it is not x itself."""
        if type(x) is int:
            return x
        self.chosen |= self._mix(x).axes
        return x

    def multiply(self, x: SymbolicIndex, y: SymbolicIndex) -> SymbolicIndex:
        """Return x * y"""
        if type(x) is int and type(y) is int:
            return x * y
        if x == 0 or y == 0:
            return 0
        if x == 1 or y == 1:
            return y if x == 1 else x
        return self._mix(x, y)

    def divide(self, x: SymbolicIndex, y: SymbolicIndex) -> tuple[SymbolicIndex, SymbolicIndex]:
        """Quotient and remainder."""
        if type(x) is int and type(y) is int:
            return divmod(x, y)
        if y == 1:
            return x, 0
        if isinstance(x, Axis) and type(y) is int:
            self.divisors.setdefault(x.number, set()).add(y)
        return self._mix(x, y), self._mix(x, y)

    def smaller(self, x: SymbolicIndex, y: SymbolicIndex) -> SymbolicIndex:
        """The smaller of two integers."""
        return min(x, y) if type(x) is int and type(y) is int else self._mix(x, y)

    def larger(self, x: SymbolicIndex, y: SymbolicIndex) -> SymbolicIndex:
        """The larger of two integers."""
        return max(x, y) if type(x) is int and type(y) is int else self._mix(x, y)

    def inside(self, x: SymbolicIndex, low: SymbolicIndex | None, high: SymbolicIndex | None) -> bool:
        """Whether ``low <= x < high`` may be taken for granted: not here, where nothing is left out."""
        self.edged |= _axes_of(x)
        return False

    def looked_up(self, index: tuple[SymbolicIndex, ...]) -> SymbolicIndex:
        """A number that stands in an array at an index."""
        return self._mix(*index)

    # -- what follows from it ---------------------------------------------------------------------------------------------

    def mergeable(self, axis: int, inner: int) -> bool:
        """Whether a loop's axis and the next, of size ``inner``, can be run as one: everything is contiguous over them, or constant."""
        if axis in self.mixed or axis + 1 in self.mixed:
            return False
        return all(_contiguous(a.var.aval.shape, a.index, axis, inner) for a in self.accesses)


def _axes_of(x: SymbolicIndex) -> frozenset[int]:
    """The axes of a loop that an index depends on."""
    if isinstance(x, Mixed):
        return x.axes
    return frozenset([x.number if isinstance(x, Axis) else x.axis] if isinstance(x, Axis | Shifted) else ())


def _contiguous(shape: Sequence[int], index: tuple[SymbolicIndex, ...], axis: int, inner: int) -> bool:
    used = [i for i, n in zip(index, shape, strict=True) if n != 1]
    sizes = [n for n in shape if n != 1]
    if Axis(axis) not in used and Axis(axis + 1) not in used:
        return True
    places = [k for k, i in enumerate(used) if i == Axis(axis)]
    return (
        len(places) == 1
        and used.count(Axis(axis + 1)) == 1
        and places[0] + 1 < len(used)
        and used[places[0] + 1] == Axis(axis + 1)
        and sizes[places[0] + 1] == inner  # the loop may see only the start of the array's axis
    )


@lru_cache(4096)
def identity_index(shape: tuple[int, ...]) -> tuple[SymbolicIndex, ...]:
    """The index of a loop's own domain; axes of size 1 need no loop."""
    return tuple([0 if n == 1 else Axis(k) for k, n in enumerate(shape)])


def accesses(equation: Equation, producer: Callable[[Var], Equation | None]) -> list[Access]:
    """What an operation reads at each point of its domain, followed to variables without a producer."""
    if callable(equation.primitive.kernel):
        found = _elementwise_accesses(equation, producer)
        if found is not None:
            return found
    patterns, domain = Patterns(producer), domain_of(equation)
    assert domain is not None
    index = identity_index(domain)
    if equation.primitive.kernel in REDUCTIONS:
        patterns.read(equation.inputs[0], index)
    else:
        rule = rule_of(equation)
        assert rule is not None
        for atom, source in rule.sources(patterns, equation, index):  # type: ignore[arg-type]
            patterns.read(atom, source)  # type: ignore[arg-type]
    return patterns.accesses


def _elementwise_accesses(equation: Equation, producer: Callable[[Var], Equation | None]) -> list[Access] | None:
    """The same for an elementwise operation on arrays in memory, which most are; ``None`` for others."""
    domain = equation.outputs[0].aval.shape
    index = identity_index(domain)
    found: list[Access] = []
    for atom in equation.inputs:
        if not isinstance(atom, Var):
            continue
        if producer(atom) is not None:
            return None
        shape = atom.aval.shape
        access = Access(atom, index if shape == domain else aligned(index, shape))  # type: ignore[arg-type]
        if access not in found:
            found.append(access)
    return found
