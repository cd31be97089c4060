"""Register tiles: sums of products of numbers with vectors, several rows and vectors of results at a time in vector registers.

A tile computes ``C[p, :] = sum over t, k of A[p, t, k] * B[t, k, :]`` for a few rows p and one or two vectors of columns. Each number of A
is spread over a register and used for every vector; each vector of B is used for every row. K. Goto and R. van de Geijn, "Anatomy of
high-performance matrix multiplication" (2008), describe the shape. The functions are compiled once per process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as binding
import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, Emitter, Index, Ix
from fad.compiler.llvm.linking import engine
from fad.compiler.llvm.math_library import host_target
from fad.compiler.llvm.scalar_value import llvm_type

__all__ = ["MOST_ROWS", "Tiles", "panel_width"]

I32, BIT = ir.IntType(32), ir.IntType(1)
ROWS = (8, 7, 4, 1)
"""The numbers of rows that tiles are compiled for."""
MOST_ROWS = ROWS[0]
_VECTORS = 2


def _lanes(dtype: np.dtype) -> int:
    """How many elements a vector register holds."""
    return host_target().vector_bits // (8 * dtype.itemsize)


def panel_width(dtype: np.dtype) -> int:
    """The largest number of columns of a tile; B holds as many for each k, also where fewer are used."""
    return _lanes(dtype) * _VECTORS


# --- the functions -----------------------------------------------------------------------------------------------------------------------


def _function_type(dtype: np.dtype) -> ir.FunctionType:
    """A, B, C; offsets of the rows in A and in C, of the terms t in A; numbers of t and k; step of k in A; columns; whether to add to C."""
    element, numbers = llvm_type(dtype).as_pointer(), I64.as_pointer()
    return ir.FunctionType(ir.VoidType(), [element] * 3 + [numbers] * 3 + [I64] * 5)


class _TileText:
    """Writes one function."""

    def __init__(self, dtype: np.dtype, rows: int, vectors: int, name: str):
        self.rows, self.vectors, self.size = rows, vectors, dtype.itemsize
        self.lanes, self.width = _lanes(dtype), panel_width(dtype)
        self.kind = ir.VectorType(llvm_type(dtype), self.lanes)
        self.module = ir.Module(name)
        self.module.triple = binding.get_default_triple()
        self.function = ir.Function(self.module, _function_type(dtype), name)
        self.a, self.b, self.c, self.a_rows, self.c_rows, self.terms = self.function.args[:6]
        self.term_count, self.inner_count, self.step, self.columns, self.adds = self.function.args[6:]
        for argument in self.function.args[:3]:
            argument.add_attribute("noalias")
        self.zero = ir.Constant(self.kind, [0.0] * self.lanes)

    def write(self) -> str:
        """The module's text."""
        entry, outer, inner, after, done = (
            self.function.append_basic_block(n) for n in ("entry", "term", "k", "after", "done")
        )
        builder = ir.IRBuilder(entry)
        starts = [self._offset(builder, self.a, self._number(builder, self.a_rows, p)) for p in range(self.rows)]
        builder.branch(outer)
        builder.position_at_end(outer)
        t, b = builder.phi(I64), builder.phi(self.b.type)
        sums = [builder.phi(self.kind) for _ in range(self.rows * self.vectors)]
        offset = builder.load(builder.gep(self.terms, [t]))
        rows = [self._offset(builder, start, offset) for start in starts]
        builder.branch(inner)
        b_end, new = self._write_inner(ir.IRBuilder(inner), outer, inner, after, rows, b, sums)
        builder.position_at_end(after)
        following = builder.add(t, ir.Constant(I64, 1))
        for phi, start, value in [(t, ir.Constant(I64, 0), following), (b, self.b, b_end)]:
            phi.add_incoming(start, entry)
            phi.add_incoming(value, after)
        for phi, value in zip(sums, new, strict=True):
            phi.add_incoming(self.zero, entry)
            phi.add_incoming(value, after)
        builder.cbranch(builder.icmp_signed("<", following, self.term_count), outer, done)
        builder.position_at_end(done)
        self._write_end(builder, new)
        return str(self.module)

    def _write_inner(
        self,
        builder: ir.IRBuilder,
        outer: Any,
        inner: Any,
        after: Any,
        rows: Sequence[Any],
        b: Any,
        sums: Sequence[Any],
    ) -> tuple[Any, list[Any]]:
        """The loop over k; gives the address behind the vectors read, and the new sums."""
        k, position, here = builder.phi(I64), builder.phi(I64), builder.phi(b.type)
        old = [builder.phi(self.kind) for _ in sums]
        columns = [self._read(builder, here, v, None) for v in range(self.vectors)]
        new = []
        for p, row in enumerate(rows):
            number = self._spread(builder, builder.load(self._offset(builder, row, position)))
            for v, column in enumerate(columns):
                new.append(self._product_sum(builder, number, column, old[p * self.vectors + v]))
        following = builder.add(k, ir.Constant(I64, 1))
        moved = builder.add(position, self.step)
        behind = self._offset(builder, here, ir.Constant(I64, self.width))
        starts = [ir.Constant(I64, 0), ir.Constant(I64, 0), b, *sums]
        for phi, start, value in zip([k, position, here, *old], starts, [following, moved, behind, *new], strict=True):
            phi.add_incoming(start, outer)
            phi.add_incoming(value, inner)
        builder.cbranch(builder.icmp_signed("<", following, self.inner_count), inner, after)
        return behind, new

    def _write_end(self, builder: ir.IRBuilder, sums: Sequence[Any]) -> None:
        """Write or add the sums. All of C is read before anything is written, so that equal rows may have one address."""
        masks = [self._mask(builder, v) for v in range(self.vectors)]
        places = [self._offset(builder, self.c, self._number(builder, self.c_rows, p)) for p in range(self.rows)]
        adding, writing = (self.function.append_basic_block(n) for n in ("add", "write"))
        before = builder.block
        builder.cbranch(builder.icmp_signed("!=", self.adds, ir.Constant(I64, 0)), adding, writing)
        builder.position_at_end(adding)
        old = [self._read(builder, place, v, masks[v]) for place in places for v in range(self.vectors)]
        added = [builder.fadd(x, y) for x, y in zip(old, sums, strict=True)]
        builder.branch(writing)
        builder.position_at_end(writing)
        for number, (value, total) in enumerate(zip(sums, added, strict=True)):
            phi = builder.phi(self.kind)
            phi.add_incoming(value, before)
            phi.add_incoming(total, adding)
            added[number] = phi
        for p, place in enumerate(places):
            for v in range(self.vectors):
                arguments = [added[p * self.vectors + v], self._vector(builder, place, v), self._align(), masks[v]]
                builder.call(self._masked("store"), arguments)
        builder.ret_void()

    # -- pieces -----------------------------------------------------------------------------------------------------------

    def _number(self, builder: ir.IRBuilder, place: Any, k: int) -> Any:
        return builder.load(builder.gep(place, [ir.Constant(I64, k)]))

    def _offset(self, builder: ir.IRBuilder, address: Any, offset: Any) -> Any:
        return builder.gep(address, [offset])

    def _vector(self, builder: ir.IRBuilder, address: Any, v: int) -> Any:
        place = builder.gep(address, [ir.Constant(I64, v * self.lanes)]) if v else address
        return builder.bitcast(place, self.kind.as_pointer())

    def _align(self) -> ir.Constant:
        return ir.Constant(I32, self.size)

    def _read(self, builder: ir.IRBuilder, address: Any, v: int, mask: Any) -> Any:
        place = self._vector(builder, address, v)
        if mask is None:
            return builder.load(place, align=self.size)
        return builder.call(self._masked("load"), [place, self._align(), mask, self.zero])

    def _mask(self, builder: ir.IRBuilder, v: int) -> Any:
        """Which lanes are among the columns."""
        kind = ir.VectorType(I64, self.lanes)
        count = self._spread(builder, self.columns)
        return builder.icmp_signed("<", ir.Constant(kind, list(range(v * self.lanes, (v + 1) * self.lanes))), count)

    def _spread(self, builder: ir.IRBuilder, number: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        single = builder.insert_element(undefined, number, ir.Constant(I32, 0))
        return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(I32, self.lanes), None))

    def _product_sum(self, builder: ir.IRBuilder, x: Any, y: Any, z: Any) -> Any:
        function = self._intrinsic("llvm.fmuladd", ir.FunctionType(self.kind, [self.kind] * 3))
        return builder.call(function, [x, y, z])

    def _masked(self, what: str) -> ir.Function:
        pointer, mask = self.kind.as_pointer(), ir.VectorType(BIT, self.lanes)
        if what == "load":
            kind = ir.FunctionType(self.kind, [pointer, I32, mask, self.kind])
        else:
            kind = ir.FunctionType(ir.VoidType(), [self.kind, pointer, I32, mask])
        return self._intrinsic(f"llvm.masked.{what}", kind, ".p0")

    def _intrinsic(self, name: str, kind: ir.FunctionType, suffix: str = "") -> ir.Function:
        full = f"{name}.v{self.lanes}f{8 * self.size}{suffix}"
        return self.module.globals[full] if full in self.module.globals else ir.Function(self.module, kind, full)


_lock = threading.Lock()


@cache
def _compiled(dtype: np.dtype, rows: int, vectors: int) -> str:
    """The symbol of a compiled function."""
    name = f"fad_tile_f{8 * dtype.itemsize}_{rows}x{vectors}"
    binding.add_symbol(name, engine().load_text(_TileText(dtype, rows, vectors, name).write(), name, 2))
    return name


def _symbol(dtype: np.dtype, rows: int, vectors: int) -> str:
    with _lock:
        return _compiled(dtype, rows, vectors)


# --- running over a matrix of results in tiles -------------------------------------------------------------------------------------------


class Operands(NamedTuple):
    """What a tile multiplies: addresses of A, B and C; offsets and number of the terms; number of k and their step in A."""

    a: ir.Value
    b: ir.Value
    c: ir.Value
    terms: ir.Value
    term_count: Ix
    inner_count: Ix
    step: Ix


class Tiles:
    """Runs over a matrix of results in tiles of the best shape.

    Parameters
    ----------
    emitter : Emitter
        Writes the function that runs over it.
    dtype : numpy.dtype
        float32 or float64.
    rows, columns : int or Index
        The sizes of the matrix.
    """

    def __init__(self, emitter: Emitter, dtype: np.dtype, rows: Ix, columns: Ix):
        self.emitter, self.count, self.columns = emitter, rows, columns
        self.width = panel_width(dtype)
        self._kind = _function_type(dtype)
        self.function, self.rows = self._choose(dtype)
        self._a_rows, self._c_rows = (emitter.small_array(np.dtype(np.int64), MOST_ROWS) for _ in range(2))

    def _choose(self, dtype: np.dtype) -> tuple[ir.Value, Ix]:
        """The function of the best tile, and its number of rows. A tile costs the time of its rows and of two more."""
        emitter, lanes = self.emitter, _lanes(dtype)
        builder = emitter.builder
        narrow = isinstance(self.columns, int) and self.columns <= lanes
        wide = builder.icmp_signed(">", emitter.raw(self.columns), ir.Constant(I64, lanes))
        best: Any = None
        for height in ROWS:
            blocks, _ = emitter.divide(emitter.add(self.count, height - 1), height)
            cost = emitter.raw(emitter.multiply(blocks, height + 2))
            function = self._declare(_symbol(dtype, height, 1))
            if not narrow:
                function = builder.select(wide, self._declare(_symbol(dtype, height, _VECTORS)), function)
            found = (cost, function, ir.Constant(I64, height))
            if best is None:
                best = found
            else:
                less = builder.icmp_signed("<", cost, best[0])
                best = tuple(builder.select(less, x, y) for x, y in zip(found, best, strict=True))
        return best[1], Index(best[2], emitter.depth)

    def _declare(self, name: str) -> ir.Function:
        module = self.emitter.function.module
        return module.globals[name] if name in module.globals else ir.Function(module, self._kind, name)

    def panels(self, write: Callable[[Ix, Ix], None]) -> None:
        """Run over the columns in panels: ``write(start, columns)``."""
        emitter = self.emitter
        number, _ = emitter.divide(emitter.add(self.columns, self.width - 1), self.width)
        if isinstance(number, int) and number == 1:
            write(0, self.columns)
            return
        with emitter.loop(0, number, plain=True) as panel:
            start = emitter.multiply(panel, self.width)
            write(start, emitter.smaller(emitter.subtract(self.columns, start), self.width))

    def run(self, operands: Operands, a_step: Ix, c_step: Ix, columns: Ix, adds: bool) -> None:
        """All rows of one panel: row p begins at ``p * a_step`` in A and at ``p * c_step`` in C.

        The last tile repeats the last row where it reaches beyond it.
        """
        emitter = self.emitter
        blocks, _ = emitter.divide(emitter.add(self.count, emitter.subtract(self.rows, 1)), self.rows)
        with emitter.loop(0, blocks, plain=True) as number:
            first, builder = emitter.multiply(number, self.rows), emitter.builder
            for p in range(MOST_ROWS):
                row = emitter.smaller(emitter.add(first, p), emitter.subtract(self.count, 1))
                for place, step in ((self._a_rows, a_step), (self._c_rows, c_step)):
                    offset = emitter.raw(emitter.multiply(row, step))
                    builder.store(offset, builder.gep(place, [ir.Constant(I64, p)]))
            sizes = [emitter.raw(n) for n in (operands.term_count, operands.inner_count, operands.step, columns)]
            places = [operands.a, operands.b, operands.c, self._a_rows, self._c_rows, operands.terms]
            builder.call(self.function, [*places, *sizes, ir.Constant(I64, int(adds))])
