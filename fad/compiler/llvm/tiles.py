"""Register tiles: sums of products of numbers with vectors, several rows and vectors of results at a time in vector registers.

A tile computes ``C[p, :] = sum over k of A[p, k] * B[k, :]`` for a few rows p and one or two vectors of columns. Each number of A is
spread over a register and used for every vector; each vector of B is used for every row. K. Goto and R. van de Geijn, "Anatomy of
high-performance matrix multiplication" (2008), describe the shape.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, Emitter, Index, Ix
from fad.compiler.llvm.math_library import host_target
from fad.compiler.llvm.scalar_value import llvm_type

__all__ = ["Columns", "Tile", "each_panel", "each_row_block", "lanes_of", "tile_shapes", "with_tile_shape"]

I32, BIT = ir.IntType(32), ir.IntType(1)
ROWS = (8, 7, 4, 1)
"""The numbers of rows that tiles are compiled for."""


def lanes_of(dtype: np.dtype) -> int:
    """How many elements a vector register holds."""
    return host_target().vector_bits // (8 * dtype.itemsize)


class Columns(NamedTuple):
    """A panel of columns: where it starts, and which lanes of each of its vectors lie inside (``None`` for all)."""

    start: Ix
    masks: tuple[ir.Value | None, ...]


class Tile:
    """The results of a tile, in registers.

    Parameters
    ----------
    emitter : Emitter
        Writes the function.
    dtype : numpy.dtype
        float32 or float64.
    rows : int
        Number of rows.
    columns : Columns
        Its panel.
    """

    def __init__(self, emitter: Emitter, dtype: np.dtype, rows: int, columns: Columns):
        self.emitter, self.rows, self.columns = emitter, rows, columns
        self._lanes, self._size = lanes_of(dtype), dtype.itemsize
        self._kind = ir.VectorType(llvm_type(dtype), self._lanes)
        self._sums = [[emitter.variable(self._kind) for _ in columns.masks] for _ in range(rows)]
        zero = ir.Constant(self._kind, [0.0] * self._lanes)
        for row in self._sums:
            for place in row:
                emitter.builder.store(zero, place)

    def multiply_add(self, numbers: Sequence[ir.Value], vectors: ir.Value) -> None:
        """Add the products of one number for each row (their addresses) with the vectors at an address."""
        builder = self.emitter.builder
        columns = self.read(vectors)
        for address, row in zip(numbers, self._sums, strict=True):
            number = self._spread(builder.load(address))
            for place, column in zip(row, columns, strict=True):
                builder.store(self._product_sum(number, column, builder.load(place)), place)

    def read(self, address: ir.Value) -> list[ir.Value]:
        """The vectors at an address; lanes outside the panel are 0 and not read."""
        builder, found = self.emitter.builder, []
        for k, mask in enumerate(self.columns.masks):
            place = self._vector_address(address, k)
            if mask is None:
                found.append(builder.load(place, align=self._size))
            else:
                zero = ir.Constant(self._kind, [0.0] * self._lanes)
                align = ir.Constant(I32, self._size)
                found.append(builder.call(self._masked("load"), [place, align, mask, zero]))
        return found

    def write(self, addresses: Sequence[ir.Value]) -> None:
        """Write the sums, one address for each row."""
        for address, row in zip(addresses, self._sums, strict=True):
            self._write_row(address, [self.emitter.builder.load(place) for place in row])

    def add(self, addresses: Sequence[ir.Value]) -> None:
        """Add the sums to what is there. All is read before anything is written, so equal rows may have one address."""
        builder = self.emitter.builder
        old = [self.read(address) for address in addresses]
        for address, row, before in zip(addresses, self._sums, old, strict=True):
            sums = [builder.fadd(b, builder.load(place)) for b, place in zip(before, row, strict=True)]
            self._write_row(address, sums)

    def _write_row(self, address: ir.Value, values: Sequence[ir.Value]) -> None:
        builder = self.emitter.builder
        for k, (value, mask) in enumerate(zip(values, self.columns.masks, strict=True)):
            place = self._vector_address(address, k)
            if mask is None:
                builder.store(value, place, align=self._size)
            else:
                builder.call(self._masked("store"), [value, place, ir.Constant(I32, self._size), mask])

    def _vector_address(self, address: ir.Value, k: int) -> ir.Value:
        builder = self.emitter.builder
        first = builder.gep(address, [ir.Constant(I64, k * self._lanes)]) if k else address
        return builder.bitcast(first, self._kind.as_pointer())

    def _spread(self, number: ir.Value) -> ir.Value:
        builder = self.emitter.builder
        undefined = ir.Constant(self._kind, ir.Undefined)
        single = builder.insert_element(undefined, number, ir.Constant(I32, 0))
        return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(I32, self._lanes), None))

    def _product_sum(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        function = self._intrinsic("llvm.fmuladd", ir.FunctionType(self._kind, [self._kind] * 3))
        return self.emitter.builder.call(function, [x, y, z])

    def _masked(self, what: str) -> ir.Function:
        pointer, mask = self._kind.as_pointer(), ir.VectorType(BIT, self._lanes)
        if what == "load":
            kind = ir.FunctionType(self._kind, [pointer, I32, mask, self._kind])
        else:
            kind = ir.FunctionType(ir.VoidType(), [self._kind, pointer, I32, mask])
        return self._intrinsic(f"llvm.masked.{what}", kind, ".p0")

    def _intrinsic(self, name: str, kind: ir.FunctionType, suffix: str = "") -> ir.Function:
        module, letter = self.emitter.function.module, "f64" if self._size == 8 else "f32"
        full = f"{name}.v{self._lanes}{letter}{suffix}"
        return module.globals[full] if full in module.globals else ir.Function(module, kind, full)


# --- running over a matrix of results in tiles -------------------------------------------------------------------------------------------


def _cost(emitter: Emitter, rows: Ix, tile: int) -> Ix:
    """The time for some rows in tiles, in arbitrary units: a tile costs its rows and two more."""
    blocks, _ = emitter.divide(emitter.add(rows, tile - 1), tile)
    return emitter.multiply(blocks, tile + 2)


def tile_shapes(emitter: Emitter, dtype: np.dtype, rows: Ix, columns: Ix) -> tuple[Ix, list[tuple[int, int]]]:
    """The number of the best (rows, vectors) for a matrix of results among those that are worth compiling, and these."""
    lanes = lanes_of(dtype)
    vectors: list[int] = [1 if columns <= lanes else 2] if isinstance(columns, int) else [1, 2]
    heights = list(ROWS)
    if isinstance(rows, int):
        heights = [min(ROWS, key=lambda h: _cost(emitter, rows, h))]  # type: ignore[arg-type,return-value]
    best: Ix = 0
    if len(heights) > 1:
        builder = emitter.builder
        least, chosen = emitter.raw(_cost(emitter, rows, heights[0])), ir.Constant(I64, 0)
        for k, height in enumerate(heights[1:], 1):
            cost = emitter.raw(_cost(emitter, rows, height))
            less = builder.icmp_signed("<", cost, least)
            least, chosen = builder.select(less, cost, least), builder.select(less, ir.Constant(I64, k), chosen)
        best = Index(chosen, emitter.depth)
    if len(vectors) > 1:
        builder = emitter.builder
        wide = builder.zext(builder.icmp_signed(">", emitter.raw(columns), ir.Constant(I64, lanes)), I64)
        best = emitter.add(best, emitter.multiply(Index(wide, emitter.depth), len(heights)))
    return best, [(h, v) for v in vectors for h in heights]


def with_tile_shape(
    emitter: Emitter, dtype: np.dtype, rows: Ix, columns: Ix, write: Callable[[int, int], None]
) -> None:
    """Write code for each tile shape that is worth it; at run time the best one is taken."""
    best, shapes = tile_shapes(emitter, dtype, rows, columns)
    if isinstance(best, int):
        write(*shapes[best])
        return
    with emitter.choice(emitter.raw(best), len(shapes)) as enter:
        for number, shape in enumerate(shapes):
            with enter(number):
                write(*shape)


def each_panel(emitter: Emitter, dtype: np.dtype, count: Ix, vectors: int, write: Callable[[Columns], None]) -> None:
    """Run over columns in panels of some vectors."""
    lanes = lanes_of(dtype)
    width = lanes * vectors
    panels, _ = emitter.divide(emitter.add(count, width - 1), width)
    if isinstance(panels, int) and panels == 1:
        write(Columns(0, _masks(emitter, count, lanes, vectors)))
        return
    with emitter.loop(0, panels, plain=True) as number:
        start = emitter.multiply(number, width)
        write(Columns(start, _masks(emitter, emitter.subtract(count, start), lanes, vectors)))


def _masks(emitter: Emitter, left: Ix, lanes: int, vectors: int) -> tuple[ir.Value | None, ...]:
    """Which lanes of each vector are among the columns that are left."""
    if isinstance(left, int) and left >= lanes * vectors:
        return (None,) * vectors
    builder = emitter.builder
    kind, undefined = ir.VectorType(I32, lanes), ir.Constant(ir.VectorType(I32, lanes), ir.Undefined)
    found: list[ir.Value | None] = []
    for k in range(vectors):
        here = emitter.smaller(emitter.larger(emitter.subtract(left, k * lanes), 0), lanes)
        single = builder.insert_element(undefined, builder.trunc(emitter.raw(here), I32), ir.Constant(I32, 0))
        spread = builder.shuffle_vector(single, undefined, ir.Constant(kind, None))
        found.append(builder.icmp_signed("<", ir.Constant(kind, list(range(lanes))), spread))
    return tuple(found)


def each_row_block(emitter: Emitter, count: Ix, rows: int, write: Callable[[list[Ix]], None]) -> None:
    """Run over rows in blocks; the last block repeats the last row where it reaches beyond it."""
    blocks, _ = emitter.divide(emitter.add(count, rows - 1), rows)
    with emitter.loop(0, blocks, plain=True) as number:
        first = emitter.multiply(number, rows)
        last = emitter.subtract(count, 1)
        write([emitter.smaller(emitter.add(first, p), last) for p in range(rows)])
