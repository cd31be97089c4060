"""The operations that are written as functions of their own, and which of them cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from fad.compiler.llvm.indexing import (
    scatter_refusal,
    write_dynamic_slice,
    write_dynamic_update_slice,
    write_gather,
    write_gather_transpose,
    write_scatter,
)
from fad.core.program import Equation

__all__ = ["FAMILIES", "Family"]


def _never(equation: Equation) -> str | None:
    return None


class Family(NamedTuple):
    """How operations are written, see :mod:`fad.compiler.llvm.outlined`, and why one of them cannot be (``None`` if it can)."""

    write: Callable[[Any, Equation], None]
    refusal: Callable[[Equation], str | None] = _never


FAMILIES: dict[str, Family] = {
    "gather": Family(write_gather),
    "gather_transpose": Family(write_gather_transpose, scatter_refusal),
    **{f"scatter_{op}": Family(write_scatter, scatter_refusal) for op in ("set", "add", "mul", "min", "max")},
    "dynamic_slice": Family(write_dynamic_slice),
    "dynamic_update_slice": Family(write_dynamic_update_slice),
}
"""By kernel name."""
