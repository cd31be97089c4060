"""Sampling by rejection: candidates are drawn for every element until each has one that is accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fad.core.array import wrap
from fad.numpy.conversion import operand
from fad.primitives.arithmetic import logical_not, logical_or, select
from fad.primitives.reduction import reduce_any
from fad.random.keys import Words, split_words
from fad.transforms.looping import while_loop

__all__ = ["until_accepted"]


def until_accepted(
    words: Words, propose: Callable[[list[Words]], tuple[Any, Any]], draws: int, value: Any, accepted: Any
) -> Any:
    """The first accepted candidate of each element.

    ``propose(keys)`` gives candidates and whether they are accepted, from ``draws`` pairs of key words; ``value`` and ``accepted`` are the start.
    """
    axes = tuple(range(len(accepted.shape)))

    def unfinished(state: Any) -> Any:
        return wrap(reduce_any(logical_not.bind(operand(state[3])), axes))

    def step(state: Any) -> Any:
        first, second, found, done = map(operand, state)
        following, *keys = split_words((first, second), draws + 1)
        candidate, good = propose(keys)
        kept = select.bind(done, found, candidate)
        return tuple(map(wrap, (*following, kept, logical_or.bind(done, good))))

    return operand(while_loop(unfinished, step, tuple(map(wrap, (*words, value, accepted))))[2])
