"""Functions on vector registers that are compiled once per machine: tiles of matrix products, and copies into panels.

They are written as finished assembly, so LLVM's passes are spared. A panel has rows of :func:`panel_width` elements, zeros behind the columns
that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import llvmlite.binding as binding
import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.assembly import module_text
from fad.compiler.llvm.emission import I64
from fad.compiler.llvm.math_library import host_target
from fad.compiler.llvm.scalar_value import llvm_type

__all__ = [
    "MOST_ROWS",
    "VECTORS",
    "copy_function",
    "finite_function",
    "lanes_of",
    "panel_width",
    "swap_function",
    "tile_function",
    "tile_heights",
    "tile_source",
]

I32, BIT = ir.IntType(32), ir.IntType(1)
MOST_ROWS = 8
"""How many rows a tile has at most."""
VECTORS = 2
"""How many vectors a row of a tile has at most."""


def lanes_of(dtype: np.dtype) -> int:
    """How many elements a vector register holds."""
    return host_target().tile_bits // (8 * dtype.itemsize)


def panel_width(dtype: np.dtype) -> int:
    """The largest number of columns of a tile; B holds as many for each k, also where fewer are used."""
    return lanes_of(dtype) * VECTORS


def tile_heights() -> tuple[int, ...]:
    """The numbers of rows that tiles have: their sums, the vectors of B and one number of A fill the registers and no more."""
    return (MOST_ROWS, 7, 4, 1) if host_target().registers >= 32 else (6, 5, 4, 1)


class _Text:
    """One function in a module of its own."""

    def __init__(self, dtype: np.dtype, name: str, arguments: Sequence[ir.Type]):
        self.size, self.lanes, self.width = dtype.itemsize, lanes_of(dtype), panel_width(dtype)
        self.element = llvm_type(dtype)
        self.kind = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.kind, [0.0] * self.lanes)
        self.module = ir.Module(name)
        self.module.triple = binding.get_default_triple()
        self.function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), list(arguments)), name)

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
        return builder.call(self._masked_load(), [place, self._align(), mask, self.zero])

    def _mask(self, builder: ir.IRBuilder, v: int, columns: Any) -> Any:
        """Which lanes of a vector are among some columns."""
        kind = ir.VectorType(I64, self.lanes)
        count = self._spread(builder, columns)
        return builder.icmp_signed("<", ir.Constant(kind, list(range(v * self.lanes, (v + 1) * self.lanes))), count)

    def _spread(self, builder: ir.IRBuilder, number: Any) -> Any:
        undefined = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        single = builder.insert_element(undefined, number, ir.Constant(I32, 0))
        return builder.shuffle_vector(single, undefined, ir.Constant(ir.VectorType(I32, self.lanes), None))

    def _product_sum(self, builder: ir.IRBuilder, x: Any, y: Any, z: Any) -> Any:
        function = self._intrinsic("llvm.fmuladd", ir.FunctionType(self.kind, [self.kind] * 3))
        return builder.call(function, [x, y, z])

    def _masked_load(self) -> ir.Function:
        pointer, mask = self.kind.as_pointer(), ir.VectorType(BIT, self.lanes)
        return self._intrinsic("llvm.masked.load", ir.FunctionType(self.kind, [pointer, I32, mask, self.kind]), ".p0")

    def _intrinsic(self, name: str, kind: ir.FunctionType, suffix: str = "") -> ir.Function:
        full = f"{name}.v{self.lanes}f{8 * self.size}{suffix}"
        return self.module.globals[full] if full in self.module.globals else ir.Function(self.module, kind, full)


class _Tile(_Text):
    """``C[p, :] = sum over t, k of A[p, t, k] * B[t, k, :]``, or added to C.

    Arguments: A, B, C; offsets of the rows in A and in C, of the terms t in A; numbers of t and of k; step of k in A; columns; whether to add.
    There are as many columns as the last vector but one holds, and more: the last vector ends where they do, and has some in common with the one before.
    """

    def __init__(self, dtype: np.dtype, name: str, rows: int, vectors: int):
        super().__init__(dtype, name, [llvm_type(dtype).as_pointer()] * 3 + [I64.as_pointer()] * 3 + [I64] * 5)
        self.rows, self.vectors = rows, vectors
        self.a, self.b, self.c, self.a_rows, self.c_rows, self.terms = self.function.args[:6]
        self.term_count, self.inner_count, self.step, self.columns, self.adds = self.function.args[6:]
        for argument in self.function.args[:3]:
            argument.add_attribute("noalias")

    def _number(self, builder: ir.IRBuilder, place: Any, k: int) -> Any:
        return builder.load(builder.gep(place, [ir.Constant(I64, k)]))

    def write(self) -> str:
        """The module's text."""
        entry, outer, inner, after, done = (
            self.function.append_basic_block(n) for n in ("entry", "term", "k", "after", "done")
        )
        builder = ir.IRBuilder(entry)
        starts = [self._offset(builder, self.a, self._number(builder, self.a_rows, p)) for p in range(self.rows)]
        self.places = [ir.Constant(I64, v * self.lanes) for v in range(self.vectors)]
        if self.vectors > 1:
            self.places[-1] = builder.sub(self.columns, ir.Constant(I64, self.lanes))
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
        return module_text(self.module)

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
        columns = [self._read(builder, self._offset(builder, here, place), 0, None) for place in self.places]
        new = []
        for p, row in enumerate(rows):
            factors = self._factors(builder, self._offset(builder, row, position))
            for v, column in enumerate(columns):
                new.append(self._product_sum(builder, factors[v], column, old[p * self.vectors + v]))
        following = builder.add(k, ir.Constant(I64, 1))
        moved = builder.add(position, self.step)
        behind = self._offset(builder, here, ir.Constant(I64, self.width))
        starts = [ir.Constant(I64, 0), ir.Constant(I64, 0), b, *sums]
        for phi, start, value in zip([k, position, here, *old], starts, [following, moved, behind, *new], strict=True):
            phi.add_incoming(start, outer)
            phi.add_incoming(value, inner)
        builder.cbranch(builder.icmp_signed("<", following, self.inner_count), inner, after)
        return behind, new

    def _factors(self, builder: ir.IRBuilder, address: Any) -> list[Any]:
        """What each vector of B is multiplied with: one number."""
        return [self._spread(builder, builder.load(address))] * self.vectors

    def _write_end(self, builder: ir.IRBuilder, sums: Sequence[Any]) -> None:
        """Write or add the sums, whole vectors where there are so many columns."""
        rows = [self._offset(builder, self.c, self._number(builder, self.c_rows, p)) for p in range(self.rows)]
        places = [self._offset(builder, row, place) for row in rows for place in self.places]
        if self.vectors == 1:
            whole, cut = (self.function.append_basic_block(n) for n in ("whole", "cut"))
            builder.cbranch(builder.icmp_signed(">=", self.columns, ir.Constant(I64, self.lanes)), whole, cut)
            self._write_cut(ir.IRBuilder(cut), places, sums)
            builder = ir.IRBuilder(whole)
        total = self._added(builder, places, sums, None)
        for value, place in zip(total, places, strict=True):
            builder.store(value, self._vector(builder, place, 0), align=self.size)
        builder.ret_void()

    def _added(self, builder: ir.IRBuilder, places: Sequence[Any], sums: Sequence[Any], mask: Any) -> list[Any]:
        """The sums with what is added. All of C is read before anything is written, so that equal rows may have one address."""
        adding, writing = (self.function.append_basic_block(n) for n in ("add", "write"))
        before = builder.block
        builder.cbranch(builder.icmp_signed("!=", self.adds, ir.Constant(I64, 0)), adding, writing)
        builder.position_at_end(adding)
        old = [self._read(builder, place, 0, mask) for place in places]
        added = [builder.fadd(x, y) for x, y in zip(old, sums, strict=True)]
        builder.branch(writing)
        builder.position_at_end(writing)
        found = []
        for value, total in zip(sums, added, strict=True):
            phi = builder.phi(self.kind)
            phi.add_incoming(value, before)
            phi.add_incoming(total, adding)
            found.append(phi)
        return found

    def _write_cut(self, builder: ir.IRBuilder, places: Sequence[Any], sums: Sequence[Any]) -> None:
        """Write fewer columns than a vector has, one by one: on some processors a masked store takes as long as twenty others."""
        total = self._added(builder, places, sums, self._mask(builder, 0, self.columns))
        entry = ir.IRBuilder(self.function.entry_basic_block)
        entry.position_at_start(self.function.entry_basic_block)
        held = []
        for value in total:
            place = entry.alloca(self.kind)
            builder.store(value, place)
            held.append(builder.bitcast(place, self.element.as_pointer()))
        before = builder.block
        loop, done = (self.function.append_basic_block(n) for n in ("column", "cut_done"))
        builder.branch(loop)
        builder = ir.IRBuilder(loop)
        column = builder.phi(I64)
        for source, target in zip(held, places, strict=True):
            value = builder.load(self._offset(builder, source, column))
            builder.store(value, self._offset(builder, target, column))
        following = builder.add(column, ir.Constant(I64, 1))
        column.add_incoming(ir.Constant(I64, 0), before)
        column.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, self.columns), loop, done)
        ir.IRBuilder(done).ret_void()


class _Pairs(_Tile):
    """The same where each column has a number of A of its own: ``C[p, :] = sum over t, k of A[p, t, k, :] * B[t, k, :]``."""

    def _factors(self, builder: ir.IRBuilder, address: Any) -> list[Any]:
        mask = self._mask(builder, 0, self.columns) if self.vectors == 1 else None
        return [self._read(builder, self._offset(builder, address, place), 0, mask) for place in self.places]


class _Copy(_Text):
    """Copy rows into a panel. Arguments: panel, source; number of rows, their distance in the source, columns."""

    def __init__(self, dtype: np.dtype, name: str):
        super().__init__(dtype, name, [llvm_type(dtype).as_pointer()] * 2 + [I64] * 3)

    def write(self) -> str:
        """The module's text."""
        panel, source, rows, distance, columns = self.function.args
        entry, loop, done = (self.function.append_basic_block(n) for n in ("entry", "row", "done"))
        builder = ir.IRBuilder(entry)
        masks = [self._mask(builder, v, columns) for v in range(VECTORS)]
        builder.cbranch(builder.icmp_signed("<", ir.Constant(I64, 0), rows), loop, done)
        builder.position_at_end(loop)
        row, here, there = builder.phi(I64), builder.phi(source.type), builder.phi(panel.type)
        for v, mask in enumerate(masks):
            builder.store(self._read(builder, here, v, mask), self._vector(builder, there, v), align=self.size)
        following = builder.add(row, ir.Constant(I64, 1))
        moved = [self._offset(builder, here, distance), self._offset(builder, there, ir.Constant(I64, self.width))]
        starts = [ir.Constant(I64, 0), source, panel]
        for phi, start, value in zip([row, here, there], starts, [following, *moved], strict=True):
            phi.add_incoming(start, entry)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, rows), loop, done)
        ir.IRBuilder(done).ret_void()
        return module_text(self.module)


_SIDE = 4
"""Squares of so many rows and columns are turned in registers."""


class _Swap(_Text):
    """Copy the columns of a matrix into the rows of a panel. Arguments: panel, source; number of rows, distance of columns, columns.

    The last squares may have rows in common with those before; fewer rows than they have are copied one element at a time.
    """

    def __init__(self, dtype: np.dtype, name: str):
        super().__init__(dtype, name, [llvm_type(dtype).as_pointer()] * 2 + [I64] * 3)

    def write(self) -> str:
        """The module's text."""
        rows = self.function.args[2]
        entry, few, many = (self.function.append_basic_block(n) for n in ("entry", "few", "many"))
        builder = ir.IRBuilder(entry)
        builder.cbranch(builder.icmp_signed("<", rows, ir.Constant(I64, _SIDE)), few, many)
        for block, side in ((few, 1), (many, _SIDE)):
            builder = ir.IRBuilder(block)
            last = builder.sub(rows, ir.Constant(I64, side))
            count = builder.sdiv(builder.add(rows, ir.Constant(I64, side - 1)), ir.Constant(I64, side))
            self._write_loop(builder, count, partial(self._write_squares, side, last))
            builder.ret_void()
        return module_text(self.module)

    def _write_loop(self, builder: ir.IRBuilder, count: Any, write: Callable[[ir.IRBuilder, Any], None]) -> None:
        """``write(builder, number)`` for each number below a count."""
        loop, done = (self.function.append_basic_block(n) for n in ("turn", "done"))
        before = builder.block
        builder.cbranch(builder.icmp_signed("<", ir.Constant(I64, 0), count), loop, done)
        builder.position_at_end(loop)
        number = builder.phi(I64)
        write(builder, number)
        following = builder.add(number, ir.Constant(I64, 1))
        number.add_incoming(ir.Constant(I64, 0), before)
        number.add_incoming(following, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
        builder.position_at_end(done)

    def _write_squares(self, side: int, last: Any, builder: ir.IRBuilder, number: Any) -> None:
        """All squares of some rows."""
        start = builder.mul(number, ir.Constant(I64, side))
        row = builder.select(builder.icmp_signed("<", start, last), start, last)
        self._write_loop(builder, ir.Constant(I64, self.width // side), partial(self._write_square, side, row))

    def _write_square(self, side: int, row: Any, builder: ir.IRBuilder, number: Any) -> None:
        panel, source, _, distance, columns = self.function.args
        kind = ir.VectorType(self.element, side)
        first, last = builder.mul(number, ir.Constant(I64, side)), builder.sub(columns, ir.Constant(I64, 1))
        source = self._offset(builder, source, row)
        held = []
        for k in range(side):
            column = builder.add(first, ir.Constant(I64, k))
            inside = builder.icmp_signed("<=", column, last)
            place = self._offset(builder, source, builder.mul(builder.select(inside, column, last), distance))
            value = builder.load(builder.bitcast(place, kind.as_pointer()), align=self.size)
            held.append(builder.select(inside, value, ir.Constant(kind, [0.0] * side)))
        # Each round puts the elements of two vectors in turn.
        for _ in range(side.bit_length() - 1):
            pairs = zip(held[: side // 2], held[side // 2 :], strict=True)
            held = [self._in_turn(builder, x, y, start) for x, y in pairs for start in (0, side // 2)]
        for k, value in enumerate(held):
            place = builder.mul(builder.add(row, ir.Constant(I64, k)), ir.Constant(I64, self.width))
            target = self._offset(builder, panel, builder.add(place, first))
            builder.store(value, builder.bitcast(target, kind.as_pointer()), align=self.size)

    def _in_turn(self, builder: ir.IRBuilder, x: Any, y: Any, start: int) -> Any:
        """Half of the elements of two vectors, one of each in turn."""
        order = [k for lane in range(start, start + _SIDE // 2) for k in (lane, _SIDE + lane)]
        return builder.shuffle_vector(x, y, ir.Constant(ir.VectorType(I32, _SIDE), order))


class _Finite(_Text):
    """Whether all elements of an array are finite. Arguments: array, number of elements, address of the answer, 1 or 0."""

    def __init__(self, dtype: np.dtype, name: str):
        super().__init__(dtype, name, [llvm_type(dtype).as_pointer(), I64, I64.as_pointer()])
        self.bits = ir.VectorType(ir.IntType(8 * self.size), self.lanes)
        self.infinity = int(np.array(np.inf, dtype).view(f"i{self.size}"))

    def write(self) -> str:
        """The module's text."""
        array, count, answer = self.function.args
        entry, loop, rest = (self.function.append_basic_block(n) for n in ("entry", "loop", "rest"))
        builder, lanes, nothing = ir.IRBuilder(entry), ir.Constant(I64, self.lanes), ir.Constant(self.bits, None)
        left = builder.urem(count, lanes)
        whole = builder.sub(count, left)
        builder.cbranch(builder.icmp_signed("<", ir.Constant(I64, 0), whole), loop, rest)
        builder = ir.IRBuilder(loop)
        number, before = builder.phi(I64), builder.phi(self.bits)
        following = builder.add(number, lanes)
        after = self._larger(builder, before, self._offset(builder, array, number), None)
        for phi, start, value in ((number, ir.Constant(I64, 0), following), (before, nothing, after)):
            phi.add_incoming(start, entry)
            phi.add_incoming(value, loop)
        builder.cbranch(builder.icmp_signed("<", following, whole), loop, rest)
        builder = ir.IRBuilder(rest)
        largest = builder.phi(self.bits)
        largest.add_incoming(nothing, entry)
        largest.add_incoming(after, loop)
        largest = self._larger(builder, largest, self._offset(builder, array, whole), self._mask(builder, 0, left))
        bits = f"i{8 * self.size}"
        kind = ir.FunctionType(self.bits.element, [self.bits])
        reduce = ir.Function(self.module, kind, f"llvm.vector.reduce.smax.v{self.lanes}{bits}")
        is_finite = builder.icmp_signed(
            "<", builder.call(reduce, [largest]), ir.Constant(kind.return_type, self.infinity)
        )
        builder.store(builder.zext(is_finite, I64), answer)
        builder.ret_void()
        return module_text(self.module)

    def _larger(self, builder: ir.IRBuilder, largest: Any, address: Any, mask: Any) -> Any:
        """The larger ones of some magnitudes, as integers, and those of a vector of the array."""
        magnitudes = ir.Constant(self.bits, [(1 << 8 * self.size - 1) - 1] * self.lanes)
        found = builder.and_(builder.bitcast(self._read(builder, address, 0, mask), self.bits), magnitudes)
        return builder.select(builder.icmp_signed("<", largest, found), found, largest)


_KINDS: dict[str, type] = {"tile": _Tile, "pairs": _Pairs, "copy": _Copy, "swap": _Swap, "finite": _Finite}


def _text(symbol: str) -> _Text:
    _, kind, bits, *shape = symbol.split("_")
    return _KINDS[kind](np.dtype(f"f{int(bits) // 8}"), symbol, *map(int, shape))


def tile_source(symbol: str) -> str:
    """The assembly of one of these functions, by its symbol."""
    return _text(symbol).write()


@cache
def _function_type(symbol: str) -> ir.FunctionType:
    return _text(symbol).function.function_type


def _declared(module: ir.Module, kind: str, dtype: np.dtype, *shape: int) -> ir.Function:
    symbol = "_".join(["fad", kind, str(8 * dtype.itemsize), *map(str, shape)])
    found = module.globals.get(symbol)
    return ir.Function(module, _function_type(symbol), symbol) if found is None else found


def tile_function(module: ir.Module, dtype: np.dtype, rows: int, vectors: int, pairs: bool = False) -> ir.Function:
    """A tile's function, declared in a module: ``(A, B, C, A's rows, C's rows, terms, number of terms, of k, step, columns, adds)``.

    With ``pairs``, columns of A are multiplied with those of B.
    """
    return _declared(module, "pairs" if pairs else "tile", dtype, rows, vectors)


def copy_function(module: ir.Module, dtype: np.dtype) -> ir.Function:
    """``(panel, source, rows, distance of rows, columns)``: copy rows into a panel."""
    return _declared(module, "copy", dtype)


def swap_function(module: ir.Module, dtype: np.dtype) -> ir.Function:
    """``(panel, source, rows, distance of columns, columns)``: copy columns of the source into the rows of a panel."""
    return _declared(module, "swap", dtype)


def finite_function(module: ir.Module, dtype: np.dtype) -> ir.Function:
    """``(array, number of elements, answer)``: write 1 if all elements are finite, else 0."""
    return _declared(module, "finite", dtype)
