"""Results that are not stored but computed where they are read, as views are.

A padded or joined array, or a slice of one, is read at other indices than it is computed at, which parts loops: what lies between must be in
memory. Some results are better computed again where they are read. Those that nobody else reads cost nothing that way: each element is
computed once. And a product or two of one array that is in memory anyway is as quickly computed as read.
"""

from __future__ import annotations

from collections.abc import Set

from fad.compiler.access import domain_of
from fad.compiler.llvm.rules import ROW, is_view, rule_of
from fad.compiler.size_classes import is_small, least_size
from fad.core.program import Equation, Program, Var

__all__ = ["CHEAP", "deferred_results"]

CHEAP = frozenset(
    """add subtract multiply divide negative positive square reciprocal maximum minimum fmax fmin select zero_safe_multiply absolute sign
    equal not_equal less less_equal greater greater_equal logical_and logical_or logical_not logical_xor isnan isinf isfinite copysign
    floor ceil trunc rint bitwise_and bitwise_or bitwise_xor bitwise_invert signbit sqrt real imag conjugate""".split()
)
_MOST_READERS = 6
"""Rows at integer indices that so many operations read are read where they lie, not copied together."""
_MOST_AGAIN = 3
"""So many operations are done again rather than read back."""


def deferred_results(program: Program, in_memory: set[Var], copies: Set[Var] = frozenset()) -> set[Var]:
    """The elementwise results that their readers compute.

    ``in_memory`` are those that somebody reads as a whole, ``copies`` those that are there for their readers alone.
    """
    return _Deferral(program, in_memory, copies).found


class _Deferral:
    def __init__(self, program: Program, in_memory: set[Var], copies: Set[Var]):
        self._in_memory = in_memory
        self._producers = {v: e for e in program.equations for v in e.outputs}
        self._readers: dict[Var, list[Equation]] = {}
        for equation in program.equations:
            for atom in equation.inputs:
                if isinstance(atom, Var):
                    self._readers.setdefault(atom, []).append(equation)
        self._again: dict[Var, int] = {}
        """How many operations it takes to compute results anew from what is in memory."""
        self.found = {*copies} | {e.outputs[0] for e in program.equations if self._is_row_read(e)}
        if not any(_moves(e) or _adds_rows(e) for e in program.equations):
            return
        candidates = [e.outputs[0] for e in program.equations if callable(e.primitive.kernel) and self._may_wait(e)]
        for decide, variables in (
            (self._is_quick, candidates),
            (self._has_one_reader, candidates[::-1]),
            # Now it is known which of the readers are moved.
            (self._is_quick, candidates),
        ):
            for var in variables:
                if var not in self.found and decide(var):
                    self.found.add(var)
        self.found |= {v for e in program.equations for v in e.outputs if self._is_an_end(e)}

    def _may_wait(self, equation: Equation) -> bool:
        (out,) = equation.outputs
        return out not in self._in_memory and rule_of(equation) is not None and not is_small(out.aval.shape)

    def _is_row_read(self, equation: Equation) -> bool:
        """Whether it reads rows that a few loops can read themselves."""
        if equation.primitive.kernel != "gather" or rule_of(equation) is None:
            return False
        (out,), table = equation.outputs, self._producers.get(equation.inputs[0])  # type: ignore[arg-type]
        while table is not None and is_view(table) and table.inputs:
            if table.primitive.kernel == "transpose":
                return False  # its rows are not rows of memory
            table = self._producers.get(table.inputs[0])  # type: ignore[arg-type]
        return out not in self._in_memory and len(self._readers.get(out, ())) <= _MOST_READERS

    def _is_quick(self, var: Var) -> bool:
        """Whether it takes a few operations on one array in memory, and some reader reads it elsewhere than it is made."""
        equation = self._producers[var]
        again = 1 + sum(self._again.get(a, 0) for a in equation.inputs if isinstance(a, Var))
        leaves = self._leaves(equation)
        readers = self._readers.get(var, ())
        wanted = again > 1 or any(_moves(r) or r.outputs[0] in self.found for r in readers if r.outputs)
        if not wanted or again > _MOST_AGAIN or equation.primitive.name not in CHEAP or len(leaves) != 1:
            return False
        (leaf,) = leaves
        if not self._is_kept(leaf) or leaf.aval.dtype.itemsize > var.aval.dtype.itemsize:
            return False
        self._again[var] = again
        return True

    def _has_one_reader(self, var: Var) -> bool:
        """Whether it is read once, to be moved, and needs no more of what would not be in memory otherwise."""
        readers = self._readers.get(var, ())
        if len(readers) != 1:
            return False
        (reader,) = readers
        if _adds_rows(reader) and reader.inputs[_UPDATES[reader.primitive.kernel]] is var:
            return self._producers[var].primitive.name in CHEAP
        onward = reader.outputs[0] in self.found and domain_of(reader) == var.aval.shape
        if not onward and not (_moves(reader) and not is_view(reader)):
            return False
        return sum(not self._is_kept(leaf) for leaf in self._leaves(self._producers[var])) <= 1

    def _is_an_end(self, equation: Equation) -> bool:
        """Whether it is a few elements of an array that are only moved into another one: as registers they would part the loops."""
        if not is_view(equation) or not equation.inputs or equation.outputs[0] in self._in_memory:
            return False
        (out,), readers = equation.outputs, self._readers.get(equation.outputs[0], [])
        return (
            is_small(out.aval.shape)
            and not is_small(equation.inputs[0].aval.shape)
            and all(_moves(r) and not is_view(r) and not is_small(r.outputs[0].aval.shape) for r in readers)
        )

    def _is_kept(self, leaf: Var) -> bool:
        """Whether a variable is in memory whoever else reads it: nobody makes it in a loop, or somebody reads it elsewhere than it is made."""
        made = self._producers.get(leaf)
        if made is None or leaf in self._in_memory or domain_of(made) is None:
            return True
        return any(_moves(r) for r in self._readers.get(leaf, ()))

    def _leaves(self, equation: Equation) -> set[Var]:
        """The arrays that it is computed from, through views and what is deferred."""
        found: set[Var] = set()
        pending: list[object] = list(equation.inputs)
        while pending:
            atom = pending.pop()
            if not isinstance(atom, Var) or is_small(atom.aval.shape):
                continue
            made = self._producers.get(atom)
            if made is not None and (is_view(made) or atom in self.found):
                pending += made.inputs
            else:
                found.add(atom)
        return found


_UPDATES = {"gather_transpose": 0, **{f"scatter_{name}": 1 for name in ("set", "add", "mul", "min", "max")}}
"""Which of their inputs scatters write, row by row."""


def _adds_rows(equation: Equation) -> bool:
    """Whether it is a scatter whose updates are long rows, which it can as well compute while it writes them."""
    kernel = equation.primitive.kernel
    if kernel not in _UPDATES:
        return False
    shape, last = equation.inputs[_UPDATES[kernel]].aval.shape, equation.outputs[0].aval.ndim - 1
    return last not in equation.params["axes"] and least_size(shape[-1]) >= ROW


def _moves(equation: Equation) -> bool:
    """Whether elements of the result have other indices than those they come from."""
    kernel = equation.primitive.kernel
    return kernel in ("pad", "slice", "flip") or (kernel == "concatenate" and rule_of(equation) is not None)
