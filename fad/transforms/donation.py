"""Donated arguments: arrays whose memory a jitted function may use for its results, and which are gone afterwards.

Only memory that belongs to one ``fad.Array`` alone is written: not a NumPy array of the user's, not what a view, another ``Array`` or a
constant shares. Where a donated argument is one of these, its elements are copied first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.compiler.outcomes import FAILED, MISS
from fad.core.array import Array, Deleted, wrap
from fad.core.errors import ArgumentError, DeletedArrayError
from fad.core.locks import Lock
from fad.core.program import Program
from fad.core.pytrees import flatten, unflatten
from fad.core.temporaries import owned_buffer
from fad.transforms.arguments import as_operand
from fad.transforms.calling import call

__all__ = ["DonatingShortcut", "call_donating"]


def owns_its_memory(leaf: Any) -> bool:
    """Whether a leaf is an ``Array`` whose elements nobody else can see."""
    return type(leaf) is Array and owned_buffer(leaf, "_buffer") is not None


def check_donated(name: str, leaves: Sequence[Any], donated: Sequence[int]) -> None:
    """Raise if a donated array is among the arguments twice."""
    given = [leaves[k] for k in donated if type(leaves[k]) is Array]
    # Numbers may well be the same object twice, so the quick test is not the last word.
    if given and len(set(map(id, leaves))) != len(leaves) and _is_twice(given, leaves):
        raise ArgumentError(
            f"jit({name}): an array that is donated is passed twice in one call, so its memory would be read after it was given away. "
            "Pass a copy, x.copy(), or leave the argument out of donate_argnums."
        )


def _is_twice(given: Sequence[Any], leaves: Sequence[Any]) -> bool:
    donated = set(map(id, given))
    return len(donated) != len(given) or sum(id(leaf) in donated for leaf in leaves) != len(given)


_taking = Lock()


def take_donated(name: str, leaves: Sequence[Any], donated: Sequence[int]) -> dict[int, Array]:
    """Move the memory of donated arrays to arrays of the caller's alone, by their numbers; those given refuse any further use.

    Where several threads donate one array, one of them gets it.
    """
    taken: dict[int, Array] = {}
    with _taking.held:
        try:
            for k in donated:
                leaf = leaves[k]
                if type(leaf) is Array:
                    mark = Deleted(name, leaf._buffer)  # raises where it was given away before
                    taken[k] = wrap(leaf._buffer)
                    leaf._buffer = mark
        except DeletedArrayError:
            give_back(leaves, taken)
            raise
    return taken


def give_back(leaves: Sequence[Any], taken: dict[int, Array]) -> None:
    """Undo :func:`take_donated`."""
    for k, array in taken.items():
        leaves[k]._buffer = array._buffer


def call_donating(program: Program, leaves: Sequence[Any]) -> list[Any]:
    """Call a Program whose arguments are donated, the general way: nothing is overwritten, but the arguments are gone."""
    donated = tuple(program.donated)
    check_donated(program.name, leaves, donated)
    outs = call(program, *map(as_operand, leaves))
    take_donated(program.name, leaves, donated)
    return outs


class DonatingShortcut:
    """The native call for one signature of a function with donated arguments; gives ``MISS`` for arguments of another one."""

    __slots__ = (
        "_arrays",
        "_caller",
        "_donated",
        "_name",
        "_out_tree",
        "_overwritten",
        "_single",
        "_treedef",
        "program",
        "stamp",
    )

    def __init__(
        self,
        caller: Callable[..., Any],
        program: Program,
        treedef: Any,
        out_tree: Any,
        stamp: object,
        overwritten: Sequence[int],
    ):
        self._caller, self.program, self.stamp = caller, program, stamp
        self._treedef, self._out_tree, self._single = treedef, out_tree, out_tree.is_leaf()
        self._overwritten, self._donated, self._name = tuple(overwritten), tuple(program.donated), program.name
        # How many arguments there are if each is an array, which need not be flattened; the native call refuses anything else.
        count = len(program.inputs)
        self._arrays = count if treedef == flatten(((0,) * count, {}))[1] else -1

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        leaves: Any = args
        if kwargs or len(args) != self._arrays or not all(type(args[k]) is Array for k in self._overwritten):
            leaves, treedef = flatten((args, kwargs))
            if treedef != self._treedef:
                return MISS
        check_donated(self._name, leaves, self._donated)
        # Before anybody is asked who else has the memory: once that is known, no other thread may get at it.
        taken = take_donated(self._name, leaves, self._donated)
        results: Any = MISS
        try:
            given = list(leaves)
            for k, array in taken.items():
                given[k] = array
            for k in self._overwritten:
                if not owns_its_memory(given[k]):
                    # The code takes this argument's memory for a result, and so gets memory that it may have.
                    given[k] = wrap(np.array(given[k]._buffer if type(given[k]) is Array else given[k], order="C"))
            results = self._caller(*given)
        finally:
            if results is MISS or results is FAILED:
                give_back(leaves, taken)
        if results is MISS or results is FAILED:
            return MISS
        return results if self._single else unflatten(self._out_tree, results)
