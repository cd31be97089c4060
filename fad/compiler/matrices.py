"""How the operands of a matrix product lie in memory.

An operand is a matrix for every index of the batch axes where its free axes lie next to each other in memory, its contracted axes too, and one
of the two groups is innermost. Where contracted axes lie between free ones, it is a matrix for every index of the first of these as well.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from fad.compiler.size_classes import LONG, least_size, most_size
from fad.core.program import Equation

__all__ = ["Matrix", "as_matrices", "as_matrix", "free_axes", "is_direct", "product_axes"]

Axes = tuple[int, ...]

_FEWEST_COLUMNS = 8
_LEAST_MATRIX = 256
"""Elements of the matrices that are multiplied one by one: a call of BLAS takes about as long as to transpose as many."""


class Matrix(NamedTuple):
    """How an operand is a batch of matrices: its batch axes, its rows' and columns' axes as they lie in memory, the free axes of which it has a matrix each."""

    batch: Axes
    slow: Axes
    fast: Axes
    free_is_slow: bool
    outer: Axes = ()

    @property
    def free(self) -> Axes:
        """The free axes of one matrix."""
        return self.slow if self.free_is_slow else self.fast


def product_axes(equation: Equation) -> tuple[tuple[Axes, Axes, Axes], tuple[Axes, Axes, Axes]]:
    """Batch, free and contracted axes of both operands."""
    contract, batch = equation.params["contract"], equation.params["batch"]
    return (batch[0], free_axes(equation, 0), contract[0]), (batch[1], free_axes(equation, 1), contract[1])


def free_axes(equation: Equation, position: int) -> Axes:
    """The axes of an operand that are neither contracted nor batch axes."""
    taken = {*equation.params["contract"][position], *equation.params["batch"][position]}
    return tuple(a for a in range(equation.inputs[position].aval.ndim) if a not in taken)


def _runs_together(shape: tuple[int, ...], axes: Axes) -> bool:
    """Whether axes follow each other in memory without a gap, axes of size 1 aside."""
    real = [a for a in axes if shape[a] != 1]
    between = [a for a in range(real[0], real[-1] + 1) if shape[a] != 1] if real else []
    return real == between


def as_matrix(shape: tuple[int, ...], batch: Axes, free: Axes, contracted: Axes) -> Matrix | None:
    """An operand as matrices, ``None`` if it does not lie in memory like that."""
    if not _runs_together(shape, free) or not _runs_together(shape, contracted):
        return None
    free_real = [a for a in free if shape[a] != 1]
    contracted_real = [a for a in contracted if shape[a] != 1]
    last = max((a for a in range(len(shape)) if shape[a] != 1), default=-1)
    if contracted_real and contracted_real[-1] == last:
        return Matrix(batch, free, contracted, True)
    if free_real and free_real[-1] == last:
        return Matrix(batch, contracted, free, False)
    return Matrix(batch, free, contracted, True) if last < 0 else None


def as_matrices(shape: tuple[int, ...], batch: Axes, free: Axes, contracted: Axes) -> Matrix | None:
    """The same, or a matrix for every index of the first free axes: BLAS multiplies many small ones faster than a transposed copy of all as one."""
    found = as_matrix(shape, batch, free, contracted)
    for count in range(1, len(free)):
        if found is not None:
            break
        outer, rest = free[:count], free[count:]
        if _suit_one_by_one(shape, rest, contracted):
            found = as_matrix(shape, batch, rest, contracted)
            found = None if found is None else found._replace(outer=outer)
    return found


def _suit_one_by_one(shape: tuple[int, ...], free: Axes, contracted: Axes) -> bool:
    """Whether matrices are large enough for a call of BLAS each, and not so large that threads should share one."""
    columns, inner = [math.prod(least_size(shape[a]) for a in axes) for axes in (free, contracted)]
    most = math.prod(most_size(shape[a]) for a in free)
    return columns >= _FEWEST_COLUMNS and columns * inner >= _LEAST_MATRIX and most < LONG


def is_direct(equation: Equation, position: int) -> bool:
    """Whether an operand can be given to BLAS as it lies in memory."""
    return as_matrices(equation.inputs[position].aval.shape, *product_axes(equation)[position]) is not None
