"""Running over a matrix of results in register tiles.

A tile computes ``C[p, :] = sum over t, k of A[p, t, k] * B[t, k, :]`` for a few rows p and one or two vectors of columns. Each number of A
is spread over a register and used for every vector; each vector of B is used for every row. K. Goto and R. van de Geijn, "Anatomy of
high-performance matrix multiplication" (2008), describe the shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, Emitter, Index, Ix
from fad.compiler.llvm.tile_functions import MOST_ROWS, VECTORS, lanes_of, panel_width, tile_function, tile_heights

__all__ = ["Operands", "Tiles", "cost_of_rows", "panel_count"]


class Operands(NamedTuple):
    """What a tile multiplies: addresses of A, B and C; offsets and number of the terms; number of k and their step in A."""

    a: ir.Value
    b: ir.Value
    c: ir.Value
    terms: ir.Value
    term_count: Ix
    inner_count: Ix
    step: Ix


def cost_of_rows(rows: int) -> int:
    """The time that tiles of the best height take for so many rows: each takes that of its rows and of two more."""
    return min(-(-rows // height) * (height + 2) for height in tile_heights())


def panel_count(emitter: Emitter, dtype: np.dtype, columns: Ix) -> Ix:
    """How many panels so many columns are."""
    width = panel_width(dtype)
    return emitter.divide(emitter.add(columns, width - 1), width)[0]


class Tiles:
    """Runs over a matrix of results in tiles of the best shape.

    Parameters
    ----------
    emitter : Emitter
        Writes the function that runs over it.
    dtype : numpy.dtype
        float32 or float64.
    rows, columns : int or Index
        The sizes of the matrix; where runs have different numbers of rows, the one that the tile is chosen for.
    pairs : bool
        Whether each column has numbers of A of its own.
    """

    def __init__(self, emitter: Emitter, dtype: np.dtype, rows: Ix, columns: Ix, pairs: bool = False):
        self.emitter, self.count, self.columns = emitter, rows, columns
        self.width, self._lanes, self._dtype = panel_width(dtype), lanes_of(dtype), dtype
        self._functions, self.rows = self._choose(dtype, pairs)
        self._a_rows, self._c_rows = (emitter.small_array(np.dtype(np.int64), MOST_ROWS) for _ in range(2))

    def _choose(self, dtype: np.dtype, pairs: bool) -> tuple[list[ir.Value], Ix]:
        """The functions of the best tile, by how many vectors its columns fill, and its number of rows. A tile costs the time of its rows and of two more."""
        emitter, module = self.emitter, self.emitter.function.module
        builder = emitter.builder
        narrow = isinstance(self.columns, int) and self.columns <= self._lanes
        best: Any = None
        for height in tile_heights():
            blocks, _ = emitter.divide(emitter.add(self.count, height - 1), height)
            cost = emitter.raw(emitter.multiply(blocks, height + 2))
            functions = [tile_function(module, dtype, height, n, pairs) for n in range(1, 2 if narrow else VECTORS + 1)]
            found = (cost, ir.Constant(I64, height), *functions)
            if best is None:
                best = found
            else:
                less = builder.icmp_signed("<", cost, best[0])
                best = tuple(builder.select(less, x, y) for x, y in zip(found, best, strict=True))
        return list(best[2:]), Index(best[1], emitter.depth)

    def panel(self, number: Ix) -> tuple[Ix, Ix]:
        """Where a panel of the columns begins, and how many it has. The last one fills a vector, if there are so many columns in all."""
        emitter = self.emitter
        count = panel_count(emitter, self._dtype, self.columns)
        if isinstance(count, int) and count == 1:
            return 0, self.columns
        last = emitter.multiply(emitter.subtract(count, 1), self.width)
        last = emitter.larger(emitter.smaller(last, emitter.subtract(self.columns, self._lanes)), 0)
        start = emitter.smaller(emitter.multiply(number, self.width), last)
        is_last = emitter.builder.icmp_signed("==", emitter.raw(start), emitter.raw(last))
        end = emitter.smaller(emitter.add(start, self.width), last)
        chosen = emitter.builder.select(is_last, emitter.raw(self.columns), emitter.raw(end))
        return start, emitter.subtract(Index(chosen, emitter.depth), start)

    def panels(self, write: Callable[[Ix, Ix], None]) -> None:
        """Run over the columns in panels: ``write(start, columns)``."""
        count = panel_count(self.emitter, self._dtype, self.columns)
        if isinstance(count, int) and count == 1:
            write(*self.panel(0))
            return
        with self.emitter.loop(0, count, plain=True) as number:
            write(*self.panel(number))

    def run(
        self,
        operands: Operands,
        place: Callable[[Ix], tuple[Ix, Ix]],
        columns: Ix,
        adds: bool | ir.Value,
        rows: Ix | None = None,
    ) -> None:
        """All rows of one panel: ``place(p)`` says where row p begins in A and in C. What is there is added to, if ``adds``.

        The last tile repeats the last row where it reaches beyond it.
        """
        emitter = self.emitter
        count = self.count if rows is None else rows
        blocks, _ = emitter.divide(emitter.add(count, emitter.subtract(self.rows, 1)), self.rows)
        function = self._functions[0]
        if len(self._functions) > 1:
            wide = emitter.builder.icmp_signed(">", emitter.raw(columns), ir.Constant(I64, self._lanes))
            function = emitter.builder.select(wide, self._functions[1], function)
        with emitter.loop(0, blocks, plain=True) as number:
            first, builder = emitter.multiply(number, self.rows), emitter.builder
            # A loop, not so many copies, which LLVM would work on.
            with emitter.loop(0, MOST_ROWS, short=True) as p:
                row = emitter.smaller(emitter.add(first, p), emitter.subtract(count, 1))
                for array, start in zip((self._a_rows, self._c_rows), place(row), strict=True):
                    emitter.builder.store(emitter.raw(start), emitter.builder.gep(array, [emitter.raw(p)]))
            sizes = [emitter.raw(n) for n in (operands.term_count, operands.inner_count, operands.step, columns)]
            places = [operands.a, operands.b, operands.c, self._a_rows, self._c_rows, operands.terms]
            added = ir.Constant(I64, int(adds)) if isinstance(adds, bool) else adds
            builder.call(function, [*places, *sizes, added])
