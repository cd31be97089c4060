"""The way from a call to native code without anything in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fad.compiler.dispatch import native_caller, overwritten_inputs
from fad.compiler.outcomes import FAILED, MISS
from fad.core.array import Array
from fad.core.config import config
from fad.core.program import Program
from fad.core.pytrees import flatten, unflatten
from fad.transforms.donation import DonatingShortcut

__all__ = ["Shortcut", "in_c_order", "make_shortcut"]


class Shortcut:
    """The native call for one signature; gives ``MISS`` for arguments of another one."""

    __slots__ = ("_caller", "_flat", "_out_tree", "_single", "_treedef", "program", "stamp")

    def __init__(self, caller: Callable[..., Any], program: Program, treedef: Any, out_tree: Any, stamp: object):
        self._caller, self.program, self.stamp = caller, program, stamp
        self._treedef, self._out_tree = treedef, out_tree
        self._single = out_tree.is_leaf()
        self._flat = treedef == flatten(((0,) * len(program.inputs), {}))[1]

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        results: Any
        if self._flat:
            results = MISS if kwargs else self._caller(*args)
        else:
            leaves, treedef = flatten((args, kwargs))
            results = self._caller(*leaves) if treedef == self._treedef else MISS
        if self._single or results is MISS:
            return MISS if results is FAILED else results
        return MISS if results is FAILED else unflatten(self._out_tree, results)


def in_c_order(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The arguments with copies of the arrays whose elements native code cannot read where they lie; ``None`` if there are none."""
    leaves, treedef = flatten((args, kwargs))
    moved = False
    for k, leaf in enumerate(leaves):
        buffer = leaf._buffer if type(leaf) is Array else leaf
        if type(buffer) is np.ndarray and not buffer.flags.c_contiguous:
            leaves[k] = np.ascontiguousarray(buffer)
            moved = True
    return unflatten(treedef, leaves) if moved else None


def make_shortcut(program: Program, treedef: Any, out_tree: Any) -> Shortcut | DonatingShortcut | None:
    """The native call for a compiled Program, ``None`` if there is none."""
    stamp = config.stamp()
    caller = None if stamp is None else native_caller(program, out_tree.is_leaf())
    if caller is None:
        return None
    if program.donated:
        return DonatingShortcut(caller, program, treedef, out_tree, stamp, overwritten_inputs(program))
    return Shortcut(caller, program, treedef, out_tree, stamp)
