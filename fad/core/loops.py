"""How Python runs loops and branches, given a way to run the Programs inside: operation by operation, or compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fad.core.program import Program

__all__ = ["run_cond", "run_scan", "run_while"]

Runner = Callable[..., Sequence[Any]]
"""``f(program, *args)`` gives the outputs."""


def run_scan(
    run: Runner,
    xp: Any,
    args: Sequence[Any],
    *,
    program: Program,
    length: Any,
    reverse: bool,
    constants: int,
    carry: int,
) -> list[Any]:
    """The carry after the last turn and what the turns stack; the length is that of the stacked inputs where it is no number."""
    fixed, state, xs = args[:constants], list(args[constants : constants + carry]), args[constants + carry :]
    count = length if isinstance(length, int) else len(xs[0])
    ys = [xp.empty((count, *a.shape), a.dtype) for a in program.out_avals[carry:]]
    for i in range(count - 1, -1, -1) if reverse else range(count):
        outs = run(program, *fixed, *state, *[x[i] for x in xs])
        state = list(outs[:carry])
        for y, out in zip(ys, outs[carry:], strict=True):
            y[i] = out
    return [*state, *ys]


def run_while(
    run: Runner,
    xp: Any,
    args: Sequence[Any],
    *,
    cond: Program,
    body: Program,
    cond_constants: int,
    body_constants: int,
    collect: bool,
) -> list[Any]:
    """The carry for which the condition does not hold; with ``collect`` also the stacked carries for which it does."""
    first = cond_constants + body_constants
    cond_fixed, body_fixed, state = args[:cond_constants], args[cond_constants:first], args[first:]
    history: list[Sequence[Any]] = []
    while bool(run(cond, *cond_fixed, *state)[0]):
        if collect:
            history.append(state)
        state = run(body, *body_fixed, *state)
    stacks = []
    for k, aval in enumerate(body.out_avals) if collect else ():
        stack = xp.empty((len(history), *aval.shape), aval.dtype)
        for i, entry in enumerate(history):
            stack[i] = entry[k]
        stacks.append(stack)
    return [*state, *stacks]


def run_cond(run: Runner, xp: Any, args: Sequence[Any], *, branches: tuple[Program, ...]) -> list[Any]:
    """The outputs of the chosen branch."""
    return list(run(branches[int(args[0])], *args[1:]))
