"""Programs with one more result: whether any of their operations has made a NaN, or an infinity.

Most results need no test of their own. A NaN goes through most operations into whatever follows, so it is enough to test the values from which it
would be lost: results, and what a selection, a comparison or a slice reads. A test is the sum of all elements, which is fused into the loop that
makes them. Such a sum may also overflow, or meet infinities of both signs, so a flag that is raised is a reason to look closer; one that is not
raised is certain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np

from fad.compiler.nested import body_program, settled
from fad.compiler.own_outputs import copy_p
from fad.compiler.passes.writing import applied
from fad.core.avals import ShapedArray, is_inexact
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var

__all__ = ["flagged"]

_BOTH = frozenset(
    """absolute add arcsinh broadcast_to cbrt checkpoint_name complex_from_parts concatenate conjugate convert copy cos cosh cumsum dot_general
    flip floor ceil held_constant log log10 log1p log2 multiply negative positive reduce_prod reduce_sum reshape rint sin sinh sqrt square
    stop_gradient subtract tan transpose trunc unstack weaken""".split()
)
"""What hands NaNs and infinities on from every argument: an element that is not finite makes one of the result so."""
_NANS = frozenset(
    """arccos arccosh arcsin arctan arctan2 arctanh cummax cummin cumprod digamma divide erf erfc erfinv exp exp2 expit expm1 floor_divide fmod lgamma
    log_expit logaddexp logit logsumexp maximum minimum reciprocal reduce_max reduce_min remainder sign tanh""".split()
)
"""What hands on NaNs alone."""
_FIRST = {"divide": 0, "zero_safe_multiply": 0, "copysign": 0}
"""Operations that do so from their first argument."""


def flagged(program: Program, infs: bool) -> Program:
    """The Program after all passes, with one more output: true if an operation made a NaN, or with ``infs`` also an infinity.

    It may be true although there is none; it is false only if there is none.
    """
    body = body_program(program)
    watched = _Watching(infs).watched(body)
    outputs = [*body.outputs, *_own([watched.flag], watched.equations)]
    return settled(Program(body.inputs, watched.equations, outputs, body.constants, body.name))


class _Watched(NamedTuple):
    """The equations of a Program and those of its tests, the flag they make, and the variables whose NaNs raise it."""

    equations: list[Equation]
    flag: Atom
    seen: set[Var]


_NEVER = Literal(np.False_)


def _applied(equations: list[Equation], name: str, *inputs: Atom, **params: Any) -> Var:
    """Add an equation; gives its result."""
    return applied(equations, None, copy_p if name == "copy" else name, *inputs, **params)


def _own(atoms: Iterable[Atom], equations: list[Equation]) -> list[Atom]:
    """The atoms as variables that equations make."""
    return [a if isinstance(a, Var) else _applied(equations, "copy", a) for a in atoms]


def _has_elements(aval: ShapedArray) -> bool:
    return is_inexact(aval.dtype) and 0 not in aval.shape


def _is_sized(aval: ShapedArray) -> bool:
    return all(type(n) is int for n in aval.shape)


def _inexact(atoms: Iterable[Atom]) -> set[Var]:
    return {a for a in atoms if isinstance(a, Var) and is_inexact(a.aval.dtype)}


class _Watching:
    """Writes the tests; ``infs`` tells whether infinities count."""

    def __init__(self, infs: bool):
        self._infs = infs

    def watched(self, program: Program, covered: Collection[Var] = ()) -> _Watched:
        """The Program with its tests; ``covered`` are the outputs that are tested outside."""
        seen, flags = set(covered), list[Atom]()
        parts: list[list[Equation]] = []
        for equation in reversed(program.equations):
            tests: list[Equation] = []
            name = equation.primitive.name
            # What is joined from parts is tested where the parts are made.
            left_to_parts = name == "complex_from_parts" and equation.outputs[0] not in seen
            # A constant that the user wrote down is no accident.
            for var in equation.outputs if equation.inputs and not left_to_parts else ():
                if var not in seen and _has_elements(var.aval) and _is_sized(var.aval):
                    flags += self._tests(var, tests)
            seen.update(_inexact(equation.outputs))
            if left_to_parts:
                written, handed_on = [equation], set()
            elif name in _REWRITTEN:
                written, flag, handed_on = _REWRITTEN[name](self, equation)
                flags.append(flag)
            else:
                written, handed_on = [equation], self._handed_on(equation)
            seen |= handed_on
            parts.append([*written, *tests])
        equations = [e for part in reversed(parts) for e in part]
        return _Watched(equations, self.either(flags, equations), seen)

    def either(self, flags: Iterable[Atom], equations: list[Equation]) -> Atom:
        """Whether any flag is raised."""
        raised = [f for f in flags if isinstance(f, Var)]
        if not raised:
            return _NEVER
        total = raised[0]
        for flag in raised[1:]:
            total = _applied(equations, "logical_or", total, flag)
        return total

    def _tests(self, var: Var, tests: list[Equation]) -> list[Var]:
        """Flags of one value."""
        parts = [_applied(tests, part, var) for part in ("real", "imag")] if var.aval.dtype.kind == "c" else [var]
        return [self._test(part, tests) for part in parts]

    def _test(self, value: Var, tests: list[Equation]) -> Var:
        if value.aval.dtype.itemsize < 4:
            value = _applied(tests, "convert", value, dtype=np.dtype(np.float32))
        if value.aval.shape:
            value = _applied(tests, "reduce_sum", value, axes=tuple(range(value.aval.ndim)))
        if not self._infs:
            return _applied(tests, "isnan", value)
        return _applied(tests, "logical_not", _applied(tests, "isfinite", value))

    def _handed_on(self, equation: Equation) -> set[Var]:
        """The inputs of an equation of whose elements none is lost if it is not finite."""
        if not all(_has_elements(v.aval) for v in equation.outputs):
            return set()
        name = equation.primitive.name
        if name in _BOTH or (name in _NANS and not self._infs):
            return _inexact(equation.inputs)
        return _inexact(equation.inputs[_FIRST[name] : _FIRST[name] + 1]) if name in _FIRST else set()

    # -- loops and branches -----------------------------------------------------------------------------------------------

    def _watched_turn(self, body: Program, carried: int, carry: int, tested: Collection[Var]) -> _Watched:
        """A loop's body; a carried value needs no test in each turn if the next turn hands it on. ``carried`` counts the inputs before the carry.

        ``tested`` are outputs that are not tested outside.
        """
        covered = _inexact(body.outputs) - set(tested)
        watched = self.watched(body, covered)
        states = zip(body.inputs[carried : carried + carry], body.outputs, strict=False)
        lost = {out for state, out in states if state not in watched.seen}
        return self.watched(body, covered - lost) if lost & covered else watched

    def scan(self, equation: Equation) -> _Watched:
        """A scan that carries a flag."""
        params, inputs = equation.params, equation.inputs
        constants, carry = params["constants"], params["carry"]
        body = body_program(params["program"])
        sized = type(params["length"]) is int
        turn = self._watched_turn(body, constants, carry, () if sized else body.outputs[carry:])
        state = slice(constants, constants + carry)
        seen = {o for i, o in zip(body.inputs[state], inputs[state], strict=True) if i in turn.seen}
        if sized and params["length"] > 0:
            seen |= {o for i, o in zip(body.inputs, inputs, strict=True) if i in turn.seen}
        if turn.flag is _NEVER:
            return _Watched([equation], _NEVER, _inexact(seen))
        before, after = Var(turn.flag.aval), Var(turn.flag.aval)
        flag = self.either([before, turn.flag], turn.equations)
        program = Program(
            [*body.inputs[: state.stop], before, *body.inputs[state.stop :]],
            turn.equations,
            [*body.outputs[:carry], flag, *body.outputs[carry:]],
            body.constants,
            body.name,
        )
        loop = Equation(
            equation.primitive,
            [*inputs[: state.stop], _NEVER, *inputs[state.stop :]],
            {**params, "program": settled(program), "carry": carry + 1},
            [*equation.outputs[:carry], after, *equation.outputs[carry:]],
            equation.source,
        )
        return _Watched([loop], after, _inexact(seen))

    def while_loop(self, equation: Equation) -> _Watched:
        """A while loop that carries a flag; what its condition computes is computed again for the tests."""
        params, inputs = equation.params, equation.inputs
        first, second = params["cond_constants"], params["body_constants"]
        cond, body = body_program(params["cond"]), body_program(params["body"])
        start = first + second
        # Carries that are collected are results of unknown size.
        turn = self._watched_turn(body, second, len(body.outputs), body.outputs if params["collect"] else ())
        seen = {o for i, o in zip(body.inputs[second:], inputs[start:], strict=True) if i in turn.seen}
        condition = self.watched(cond)
        if turn.flag is _NEVER and condition.flag is _NEVER:
            return _Watched([equation], _NEVER, _inexact(seen))
        fixed = [Var(v.aval) for v in cond.inputs[:first]]
        before, after = Var(_NEVER.aval), Var(_NEVER.aval)
        equations = list(turn.equations)
        flag = self.either([before, turn.flag], equations)
        flag = self._asked(cond, condition, [*fixed, *body.inputs[second:]], flag, equations)
        program = Program(
            [*fixed, *body.inputs, before],
            equations,
            [*body.outputs, *_own([flag], equations)],
            body.constants,
            body.name,
        )
        ignoring = Program([*cond.inputs, Var(before.aval)], cond.equations, cond.outputs, cond.constants, cond.name)
        changed = {"cond": settled(ignoring), "body": settled(program), "body_constants": start}
        carry = len(body.outputs)
        stacks = equation.outputs[carry:]
        loop = Equation(
            equation.primitive,
            [*inputs[:first], *inputs[:start], *inputs[start:], _NEVER],
            {**params, **changed},
            [*equation.outputs[:carry], after, *stacks, *[_stack_of(after, stacks[0]) for _ in stacks[:1]]],
            equation.source,
        )
        written = [loop]
        last = self._asked(cond, condition, [*inputs[:first], *equation.outputs[:carry]], after, written)
        return _Watched(written, last, _inexact(seen))

    def _asked(
        self, cond: Program, condition: _Watched, inputs: list[Atom], flag: Atom, equations: list[Equation]
    ) -> Atom:
        """The flag, raised also if a loop's condition makes something that is not finite of these inputs."""
        if condition.flag is _NEVER:
            return flag
        before, after, once = Var(_NEVER.aval), Var(_NEVER.aval), list(condition.equations)
        outputs = _own([self.either([before, condition.flag], once)], once)
        program = settled(Program([*cond.inputs, before], once, outputs, cond.constants, cond.name))
        # One turn of a loop is how a Program runs inside another one.
        turn = {"program": program, "length": 1, "reverse": False, "constants": len(inputs), "carry": 1}
        equations.append(Equation(REGISTRY["scan"], [*inputs, flag], turn, [after], None))
        return after

    def branches(self, equation: Equation) -> _Watched:
        """A choice whose branches give a flag."""
        programs = [body_program(p) for p in equation.params["branches"]]
        watched = [self.watched(p, _inexact(p.outputs)) for p in programs]
        places = zip(equation.inputs[1:], *[p.inputs for p in programs], strict=True)
        seen = {o for o, *own in places if all(v in w.seen for v, w in zip(own, watched, strict=True))}
        if all(w.flag is _NEVER for w in watched):
            return _Watched([equation], _NEVER, _inexact(seen))
        flag = Var(_NEVER.aval)
        written = tuple(
            settled(Program(p.inputs, w.equations, [*p.outputs, *_own([w.flag], w.equations)], p.constants, p.name))
            for p, w in zip(programs, watched, strict=True)
        )
        choice = Equation(
            equation.primitive, equation.inputs, {"branches": written}, [*equation.outputs, flag], equation.source
        )
        return _Watched([choice], flag, _inexact(seen))


def _stack_of(flag: Var, stack: Var) -> Var:
    """The flags of all turns, as a loop collects them beside other carried values."""
    return Var(ShapedArray((stack.aval.shape[0],), flag.aval.dtype))


_REWRITTEN = {"scan": _Watching.scan, "while": _Watching.while_loop, "cond": _Watching.branches}
