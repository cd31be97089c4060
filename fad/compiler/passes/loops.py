"""Scans that do less: what does not change from turn to turn is computed before the loop, what is known otherwise is not stacked.

Reverse mode stacks residuals one by one as it meets them; many are the same value twice, a value of the loop's constants, or a stacked input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from fad.compiler.matrices import free_axes
from fad.compiler.passes.invariants import Invariants, OuterConstants, cannot_fail, unchanging_carries
from fad.compiler.passes.layouts import reads_along_sums, with_turned
from fad.compiler.passes.redundancy import rebuilt, remove_dead, rewired, substituted
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var, used_equations

__all__ = ["simplify_scans"]

_LARGER = 1.25
"""How much larger than its slice an array may be that is stacked instead."""
_BOUNDS = ("starts", "stops", "steps")
_ROWS_TO_TURN = 1024
"""How often a row or column is to be multiplied with a matrix, in all turns, before a transposed copy of that pays."""


def simplify_scans(program: Program, simplified: Callable[[Program], Program]) -> Program:
    """Narrow every scan that may make a turn; ``simplified`` runs the other passes on a body."""
    if not any(_is_scan(e) for e in program.equations):
        return program
    kept = set(program.outputs)
    read = {a for e in program.equations for a in e.inputs if isinstance(a, Var)} | kept
    env: dict[Var, Atom] = {}
    made: dict[Atom, Equation] = {}
    equations: list[Equation] = []
    constants = OuterConstants(program)
    for equation in program.equations:
        equation = rewired(equation, env)
        start = len(equations)
        if _is_scan(equation):
            narrowing = _Narrowing(equation, simplified(equation.params["program"]), made, read, kept, constants)
            equations += narrowing.equations
            env.update(narrowing.replaced)
        else:
            equations.append(equation)
        made.update({v: e for e in equations[start:] for v in e.outputs})
    outputs = [substituted(a, env) for a in program.outputs]
    return remove_dead(rebuilt(program, equations, outputs, constants.values))


def _is_scan(equation: Equation) -> bool:
    return equation.primitive.name == "scan" and equation.params["length"] != 0


def _slices_rows(equation: Equation) -> bool:
    """Whether it takes the same part of each element along the first axis."""
    if equation.primitive.name != "static_slice" or not isinstance(equation.inputs[0], Var):
        return False
    start, stop, step = (equation.params[k][0] for k in _BOUNDS)
    return (start, stop, step) == (0, equation.inputs[0].aval.shape[0], 1)


def _handed_on(loop: Equation, stack: Atom) -> Atom | None:
    """The value that a while loop hands on in every turn, for a history of its carry."""
    body, first = loop.params["body"], loop.params["cond_constants"] + loop.params["body_constants"]
    carry = len(body.outputs)
    still = unchanging_carries(body, loop.params["body_constants"], loop.inputs[first:], loop.outputs)
    return next((loop.inputs[first + k] for k in still if loop.outputs[carry + k] is stack), None)


class _Narrowing:
    """One scan made narrower.

    Attributes
    ----------
    equations : list of Equation
        What takes its place.
    replaced : dict of Var to Atom
        What stands for results that the loop no longer gives.
    """

    def __init__(
        self,
        equation: Equation,
        body: Program,
        made: dict[Atom, Equation],
        read: set[Any],
        kept: set[Any],
        constants: OuterConstants,
    ):
        self.replaced: dict[Var, Atom] = {}
        self._equation, self._body, self._kept = equation, body, kept
        self._first: list[Equation] = []
        """What a turn does before the rest."""
        count, carry = equation.params["constants"], equation.params["carry"]
        # A loop of unknown length may make no turn at all, and then must not raise what its body would.
        self._is_sized = type(equation.params["length"]) is int
        outer = constants.of(body)
        self._invariants = Invariants(outer) if self._is_sized else Invariants(outer, cannot_fail)
        self.equations = self._invariants.equations
        # What each inner variable that does not change is outside the loop, and the stacked inputs that remain.
        self._outer = self._invariants.outer
        self._outer.update(zip(body.inputs[:count], equation.inputs[:count], strict=True))
        state = list(zip(body.inputs[count : count + carry], equation.inputs[count : count + carry], strict=True))
        still = unchanging_carries(body, count, [a for _, a in state], equation.outputs)
        self._outer.update([state[k] for k in still])
        self.replaced.update({equation.outputs[k]: state[k][1] for k in still})
        self._moving = [k for k in range(carry) if k not in still]
        self._state = [state[k] for k in self._moving]
        self._stacked: dict[Var, Atom] = {}
        self._env: dict[Var, Atom] = {}
        self._take_stacked(body.inputs[count + carry :], equation.inputs[count + carry :], made)
        self._merge_equal()
        inner = [rewired(e, self._env) for e in body.equations]
        rest = [self._turned(e) for e in (*self._first, *self._invariants.hoist(inner, body.outputs))]
        self._rebuild(rest, carry, read)

    def _add(self, name: str, inputs: list[Atom], aval: ShapedArray, /, **params: Any) -> Var:
        var = Var(aval)
        self.equations.append(Equation(REGISTRY[name], inputs, params, [var], self._equation.source))
        return var

    def _turned(self, equation: Equation) -> Equation:
        """A product that reads a matrix which does not change from a transposed copy, where that is faster."""
        if not self._is_sized or not reads_along_sums(equation):
            return equation
        for position in (1, 0):
            fixed, other = equation.inputs[position], equation.inputs[1 - position]
            rows = math.prod(other.aval.shape[a] for a in free_axes(equation, 1 - position))
            if fixed in self._outer and rows * self._equation.params["length"] >= _ROWS_TO_TURN:
                equation, inner, order = with_turned(equation, position)
                self._outer[inner] = self._add("transpose", [self._outer[fixed]], inner.aval, axes=order)
                break
        return equation

    # -- inputs -----------------------------------------------------------------------------------------------------------

    def _take_stacked(self, inner: Any, outer: Any, made: dict[Atom, Equation]) -> None:
        """Stacked inputs that are the same are one; those that repeat a value are that value."""
        first: dict[Atom, Var] = {}
        for var, atom in zip(inner, outer, strict=True):
            same = self._repeated(var, atom, made)
            view = made.get(atom)
            if view is not None and _slices_rows(view):
                atom = view.inputs[0]
                row = first.setdefault(atom, Var(ShapedArray(atom.aval.shape[1:], atom.aval.dtype)))
                self._stacked[row] = atom
                params = {k: view.params[k][1:] for k in _BOUNDS}
                self._first.append(Equation(view.primitive, [row], params, [var], view.source))
            elif same is not None:
                self._outer[var] = same
            elif atom in first:
                self._env[var] = first[atom]
            else:
                first[atom] = var
                self._stacked[var] = atom

    def _merge_equal(self) -> None:
        """Let inner variables that have the same value in all turns be one."""
        first: dict[tuple[Atom, ShapedArray], Var] = {}
        for var, atom in self._outer.items():
            same = first.setdefault((atom, var.aval), var)
            if same is not var:
                self._env[var] = same

    def _repeated(self, var: Var, atom: Atom, made: dict[Atom, Equation]) -> Atom | None:
        """The value that a stacked input has in every turn, if it is a broadcast along the first axis."""
        equation = made.get(atom)
        if equation is not None and equation.primitive.name == "while":
            return _handed_on(equation, atom)
        if equation is None or equation.primitive.name not in ("broadcast_to", "full"):
            return None
        if equation.primitive.name == "full":
            return self._add("full", [], var.aval, **{**equation.params, "shape": var.aval.shape})
        source, rank = equation.inputs[0], len(atom.aval.shape)
        if len(source.aval.shape) == rank:
            if source.aval.shape[0] != 1 or isinstance(source, Literal):
                return None
            inner = source.aval.shape[1:]
            source = self._add("reshape", [source], ShapedArray(inner, source.aval.dtype), shape=inner)
        if source.aval.shape == var.aval.shape:
            return source
        if isinstance(source, Literal):
            return None
        return self._add("broadcast_to", [source], var.aval.update(), shape=var.aval.shape)

    def _measured(self, stacked: dict[Var, Atom]) -> dict[Var, Atom]:
        """The stacked inputs that are read, and where the length is that of the inputs at least the smallest of them."""
        if self._is_sized or stacked:
            return stacked
        equation = self._equation
        stacks = equation.inputs[equation.params["constants"] + equation.params["carry"] :]
        smallest = min(stacks, key=lambda a: math.prod(a.aval.shape[1:]) * a.aval.dtype.itemsize)
        return {Var(ShapedArray(smallest.aval.shape[1:], smallest.aval.dtype)): smallest}

    # -- results ----------------------------------------------------------------------------------------------------------

    def _rebuild(self, rest: list[Equation], carry: int, read: set[Any]) -> None:
        equation, body = self._equation, self._body
        outputs = [substituted(a, self._env) for a in body.outputs]
        kept: list[tuple[Var, Atom]] = []
        first: dict[Atom, Var] = {}
        views = {v: e for e in rest for v in e.outputs if e.primitive.name == "static_slice"}
        after: list[Equation] = []
        for var, atom in zip(equation.outputs[carry:], outputs[carry:], strict=True):
            if var not in read:
                continue
            if var not in self._kept:
                var, atom = self._without_slices(var, atom, views, after)
            known = self._known_stack(var, atom, first)
            if known is not None:
                self.replaced[var] = known
            else:
                kept.append((var, atom))
                if isinstance(atom, Var):
                    first[atom] = var
        inner_outputs = [*[outputs[k] for k in self._moving], *[a for _, a in kept]]
        used = used_equations(Program([], rest, inner_outputs, {}), inner_outputs)
        needed = {a for e in used for a in e.inputs} | set(inner_outputs)
        constants = {v: a for v, a in self._outer.items() if v in needed and v not in body.constants}
        inner_constants, outer_constants = list(constants), list(constants.values())
        stacked = self._measured({v: a for v, a in self._stacked.items() if v in needed})
        new_body = Program(
            [*inner_constants, *[v for v, _ in self._state], *stacked],
            used,
            inner_outputs,
            {v: c for v, c in body.constants.items() if v in needed},
            body.name,
        )
        params = {**equation.params, "program": new_body, "constants": len(inner_constants), "carry": len(self._moving)}
        inputs = [*outer_constants, *[a for _, a in self._state], *stacked.values()]
        results = [*[equation.outputs[k] for k in self._moving], *[v for v, _ in kept]]
        self.equations.append(Equation(equation.primitive, inputs, params, results, equation.source))
        env: dict[Var, Atom] = dict(self.replaced)
        for e in reversed(after):
            self.equations.append(rewired(e, env))

    def _without_slices(
        self, var: Var, atom: Atom, views: dict[Any, Equation], after: list[Equation]
    ) -> tuple[Var, Atom]:
        """What to stack instead of a slice: what it is a slice of, which is often stacked or computed anyway; slices come after the loop."""
        length = self._equation.params["length"]
        while atom in views and self._is_sized:
            view = views[atom]
            source = view.inputs[0]
            if (
                not isinstance(source, Var)
                or self._invariants.is_fixed(source)
                or source.aval.size > _LARGER * atom.aval.size
            ):
                break
            stacked = Var(ShapedArray((length, *source.aval.shape), source.aval.dtype))
            whole = dict(zip(_BOUNDS, (0, length, 1), strict=True))
            params = {k: (whole[k], *view.params[k]) for k in _BOUNDS}
            after.append(Equation(view.primitive, [stacked], params, [var], view.source))
            var, atom = stacked, source
        return var, atom

    def _known_stack(self, var: Var, atom: Atom, first: dict[Atom, Var]) -> Atom | None:
        """What a stacked result is without being stacked."""
        if atom in first:
            return first[atom]
        if atom in self._stacked and self._stacked[atom].aval == var.aval:
            return self._stacked[atom]
        if self._is_sized and (isinstance(atom, Literal) or atom in self._outer):
            value = self._invariants.outside(atom)
            if var.aval.shape == value.aval.shape or value.aval.dtype != var.aval.dtype:
                return None
            return self._add("broadcast_to", [value], var.aval.update(), shape=var.aval.shape)
        return None
