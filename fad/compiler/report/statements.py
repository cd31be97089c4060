"""Fused loops as text: each operation of a group as a statement on elements, ``d[i, j] = exp(x[i, j] - m)``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fad.compiler.fusion import Group, Member, Plan
from fad.compiler.llvm.rules import gathered_index, joins_in_loops, rule_of
from fad.core.formulas import ATOM, Text, called, formula, infix
from fad.core.program import Atom, Equation, Literal, Var
from fad.core.trace import Source

__all__ = ["Line", "group_lines", "index_letters", "whole"]

_LETTERS = "ijklmnpqrst"
_MOST_AXES = 6
_EXPANDED = frozenset("broadcast identity stored convert transpose reshape slice flip full iota concatenate".split())
_LONGEST = 56
_OPERATION = 8
"""About how many characters an operation or an operand takes."""
_COMBINED = {"reduce_sum": "+=", "reduce_prod": "*=", "reduce_any": "|=", "reduce_all": "&="}


class Line(NamedTuple):
    """One line of a kernel: indentation, text, and the user's line that it comes from."""

    indent: int
    text: str
    source: Source | None = None


Ix = int | Text


class _Indices:
    """The index algebra of the rules, on text."""

    @staticmethod
    def _binary(symbol: str, strength: int, x: Ix, y: Ix) -> Text:
        return infix(symbol, strength, _text(x), _text(y))

    def size(self, n: int) -> int:
        """A size is written as its value."""
        return n

    def add(self, x: Ix, y: Ix) -> Ix:
        """Return x + y"""
        if isinstance(x, int) and isinstance(y, int):
            return x + y
        if x == 0 or y == 0:
            return y if x == 0 else x
        return self.subtract(x, -y) if isinstance(y, int) and y < 0 else self._binary("+", 50, x, y)

    def subtract(self, x: Ix, y: Ix) -> Ix:
        """Return x - y"""
        if isinstance(x, int) and isinstance(y, int):
            return x - y
        return x if y == 0 else self._binary("-", 50, x, y)

    def multiply(self, x: Ix, y: Ix) -> Ix:
        """Return x * y"""
        if isinstance(x, int) and isinstance(y, int):
            return x * y
        if x == 0 or y == 0:
            return 0
        return (y if x == 1 else x) if x == 1 or y == 1 else self._binary("*", 60, x, y)

    def divide(self, x: Ix, y: Ix) -> tuple[Ix, Ix]:
        """Quotient and remainder."""
        if isinstance(x, int) and isinstance(y, int):
            return divmod(x, y)
        return (x, 0) if y == 1 else (self._binary("//", 60, x, y), self._binary("%", 60, x, y))


def _text(x: Ix) -> Text:
    return x if isinstance(x, Text) else Text(str(x))


def index_letters(taken: Sequence[str]) -> str:
    """Letters for the indices of loops, none of them the name of an argument."""
    return "".join(c for c in _LETTERS if c not in taken)[:_MOST_AXES]


def _letter(axis: int, letters: str) -> str:
    return letters[axis] if axis < len(letters) else f"{letters[0]}{axis}"


def _indices(domain: Sequence[int], letters: str) -> tuple[Ix, ...]:
    return tuple([0 if n == 1 else Text(_letter(k, letters)) for k, n in enumerate(domain)])


def place_text(name: str, index: Sequence[Ix]) -> Text:
    """An element of a named array."""
    return Text(f"{name}[{', '.join(_text(i).text for i in index)}]" if index else name)


def whole(atom: Atom, plan: Plan, names: dict[Var, str]) -> Text:
    """A whole array: its name, or the formula of a view."""
    if isinstance(atom, Literal):
        return Text(repr(atom))
    if atom not in plan.virtual:
        return Text(names[atom])
    equation = plan.producers[atom]
    return formula(equation, [whole(a, plan, names) for a in equation.inputs])


class _Statements:
    """Writes the members of one group."""

    def __init__(self, group: Group, plan: Plan, names: dict[Var, str], letters: str):
        self.group, self.plan, self.names, self.letters = group, plan, names, letters
        self.inlined = self._inlined()

    # -- which members need no statement of their own ---------------------------------------------------------------------

    def _inlined(self) -> set[Var]:
        """Results that are read once, on the same line and in the same loop: they are written where they are read."""
        uses: dict[Var, list[Member]] = {}
        for member in self.group.members.values():
            for var in self._read_by(member.equation):
                uses.setdefault(var, []).append(member)
        found: dict[Var, int] = {}
        for var, member in self.group.members.items():
            length = _OPERATION + sum(found.get(v, _OPERATION) for v in self._read_by(member.equation))
            kept = var in self.plan.stored or var in self.group.scratch or member.is_reduction
            users = uses.get(var, [])
            if not kept and len(users) == 1 and _same_place(member, users[0]) and length <= _LONGEST:
                found[var] = length
        return set(found)

    def _read_by(self, equation: Equation) -> list[Var]:
        found, pending = [], list(equation.inputs)
        while pending:
            atom = pending.pop()
            if isinstance(atom, Var):
                if atom in self.plan.virtual:
                    pending += self.plan.producers[atom].inputs
                else:
                    found.append(atom)
        return found

    # -- elements -----------------------------------------------------------------------------------------------------------

    def element(self, atom: Atom, index: tuple[Ix, ...]) -> Text:
        """An element of what an operation reads."""
        if isinstance(atom, Literal):
            return Text(repr(atom), 70 if repr(atom).startswith("-") else ATOM)
        member = self.group.members.get(atom)
        if atom in self.plan.virtual or atom in self.inlined:
            return self.value(self.plan.producers[atom], index)
        return place_text(self.names[atom], index if member is None else self._own_index(atom, index))

    def _own_index(self, var: Var, index: tuple[Ix, ...]) -> tuple[Ix, ...]:
        """The index of a member's result: of the whole array if it is stored, of one turn if it is scratch; a register has none."""
        if var in self.plan.stored or self.group.members[var].is_global:
            return index
        if var in self.group.scratch:
            return index[len(self.group.prefix) :]
        return ()

    def value(self, equation: Equation, index: tuple[Ix, ...]) -> Text:
        """An element of an operation's result as a formula."""
        kernel = equation.primitive.kernel
        if kernel == "full":
            value = str(equation.params["value"])
            return Text(value, 70 if value.startswith("-") else ATOM)
        if kernel == "iota":
            return _text(index[0])
        if kernel == "gather" and rule_of(equation) is not None:
            return self.element(equation.inputs[0], gathered_index(equation, index, lambda a, i, n: self.element(a, i)))  # type: ignore[arg-type,return-value]
        if not callable(kernel) and (kernel not in _EXPANDED or (kernel == "concatenate" and joins_in_loops(equation))):
            written = formula(equation, [whole(a, self.plan, self.names) for a in equation.inputs])
            return place_text(written.inside(ATOM), index)
        rule = rule_of(equation)
        assert rule is not None
        sources = rule.sources(_Indices(), equation, index)  # type: ignore[arg-type]
        operands = [self.element(a, i) for a, i in sources]  # type: ignore[arg-type]
        if callable(kernel):
            return formula(equation, operands)
        if kernel in ("convert", "concatenate"):
            return called(str(equation.outputs[0].aval.dtype), operands[0].text) if kernel == "convert" else operands[0]
        return operands[0]

    # -- statements ---------------------------------------------------------------------------------------------------------

    def line(self, member: Member, indent: int) -> Line:
        """What one turn does for a member."""
        equation, index = member.equation, _indices(member.domain, self.letters)
        if not member.is_reduction:
            place = place_text(self.names[member.output], self._own_index(member.output, index))
            return Line(indent, f"{place.text} = {self.value(equation, index).text}", equation.source)
        kept = tuple(i for a, i in enumerate(index) if a not in equation.params["axes"])
        place = place_text(self.names[member.output], self._own_index(member.output, kept))
        value = self.element(equation.inputs[0], index)
        kernel = str(equation.primitive.kernel)
        if kernel in _COMBINED:
            return Line(indent, f"{place.text} {_COMBINED[kernel]} {value.text}", equation.source)
        written = called(kernel.removeprefix("reduce_"), place.text, value.text).text
        return Line(indent, f"{place.text} = {written}", equation.source)

    def lines(self) -> list[Line]:
        """The loop nest."""
        prefix, members = self.group.prefix, list(self.group.members.values())
        lines, indent = self._header(prefix, 0, 0)
        for level in range(1 + max(m.level for m in members)):
            lines += self._level([m for m in members if m.level == level], indent)
        return lines

    def _header(self, sizes: Sequence[int], first: int, indent: int) -> tuple[list[Line], int]:
        loops = [f"{_letter(first + k, self.letters)} < {n}" for k, n in enumerate(sizes) if n != 1]
        return ([Line(indent, f"for {', '.join(loops)}:")], indent + 1) if loops else ([], indent)

    def _level(self, members: list[Member], indent: int) -> list[Line]:
        depth = len(self.group.prefix)
        rows = {m for m in members if all(n == 1 for n in m.domain[depth:]) and (m.is_global or not m.is_reduction)}
        written = [m for m in members if m.output not in self.inlined]
        lines = [self.line(m, indent) for m in written if m in rows]
        for domain in dict.fromkeys(m.domain for m in members if m not in rows):
            header, inner = self._header(domain[depth:], depth, indent)
            lines += [*header, *[self.line(m, inner) for m in written if m.domain == domain and m not in rows]]
        return lines


def _same_place(member: Member, user: Member) -> bool:
    """Whether two members run in the same loop and come from the same line."""
    return (member.level, member.domain) == (user.level, user.domain) and member.equation.source == user.equation.source


def group_lines(group: Group, plan: Plan, names: dict[Var, str], letters: str) -> list[Line]:
    """A group as a loop nest of statements."""
    return _Statements(group, plan, names, letters).lines()
