"""Stable sorting of unsigned integers, by themselves or with the positions they came from; compiled once per machine.

Few keys are sorted by insertion, many by counting the values of one byte after another, the lowest byte first (D. Knuth, "The Art of Computer
Programming", volume 3, 5.2.5). A byte that is the same in all keys takes no pass.
"""

from __future__ import annotations

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, POINTER, Emitter, Index
from fad.compiler.llvm.modules import new_module

__all__ = ["sort_function", "sort_source"]

_FEW = 64
_BUCKETS = 256
_INT64 = np.dtype(np.int64)


def _constant(n: int) -> ir.Constant:
    return ir.Constant(I64, n)


def _function_type(bits: int) -> ir.FunctionType:
    pointers = [ir.IntType(bits).as_pointer()] * 2 + [I64.as_pointer()] * 2
    return ir.FunctionType(ir.VoidType(), [*pointers, I64])


class _Sort:
    """Writes ``f(keys, spare keys, positions, spare positions, count)``; the result is in the first of each pair."""

    def __init__(self, module: ir.Module, name: str, bits: int, indexed: bool):
        self.key, self.bits, self.indexed = ir.IntType(bits), bits, indexed
        function = ir.Function(module, _function_type(bits), name)
        for argument in function.args[:4]:
            argument.add_attribute("noalias")
        self.keys, self.spare_keys, self.positions, self.spare_positions, self.count = function.args
        self.emitter = Emitter(function, self.positions, {})

    def write(self) -> None:
        """The whole function."""
        emitter = self.emitter
        many = emitter.builder.icmp_signed(">", self.count, _constant(_FEW))
        with emitter.choice(emitter.builder.zext(many, I64), 2) as enter:
            with enter(0):
                self._insert()
            with enter(1):
                self._count_bytes()
        emitter.finish()

    def _at(self, place: ir.Value, i: ir.Value) -> ir.Value:
        return self.emitter.builder.gep(place, [i])

    def _move(
        self, source: tuple[ir.Value, ir.Value], i: ir.Value, target: tuple[ir.Value, ir.Value], j: ir.Value
    ) -> None:
        """Copy an element, its position too."""
        builder = self.emitter.builder
        for s, t in zip(source, target, strict=True) if self.indexed else [(source[0], target[0])]:
            builder.store(builder.load(self._at(s, i)), self._at(t, j))

    def _insert(self) -> None:
        emitter, here = self.emitter, (self.keys, self.positions)
        place, key = emitter.variable(I64), emitter.variable(self.key)
        held = emitter.variable(I64)
        with emitter.loop(1, Index(self.count, 0)) as i:
            builder = emitter.builder
            builder.store(builder.load(self._at(self.keys, i.value)), key)
            if self.indexed:
                builder.store(builder.load(self._at(self.positions, i.value)), held)
            builder.store(i.value, place)
            with emitter.repeat() as leave_unless:
                builder = emitter.builder
                j = builder.load(place)
                inside = builder.icmp_signed(">", j, _constant(0))
                before = builder.select(inside, builder.sub(j, _constant(1)), _constant(0))
                larger = builder.icmp_unsigned(">", builder.load(self._at(self.keys, before)), builder.load(key))
                leave_unless(builder.and_(inside, larger))
                self._move(here, before, here, j)
                emitter.builder.store(before, place)
            builder = emitter.builder
            builder.store(builder.load(key), self._at(self.keys, builder.load(place)))
            if self.indexed:
                builder.store(builder.load(held), self._at(self.positions, builder.load(place)))

    def _byte(self, key: ir.Value, number: int) -> ir.Value:
        builder = self.emitter.builder
        byte = builder.and_(builder.lshr(key, ir.Constant(self.key, 8 * number)), ir.Constant(self.key, _BUCKETS - 1))
        return builder.zext(byte, I64) if self.bits < 64 else byte

    def _count_bytes(self) -> None:
        emitter, passes = self.emitter, self.bits // 8
        counts = emitter.small_array(_INT64, passes * _BUCKETS)
        with emitter.loop(0, passes * _BUCKETS) as i:
            emitter.builder.store(_constant(0), self._at(counts, i.value))
        with emitter.loop(0, Index(self.count, 0)) as i:
            builder = emitter.builder
            key = builder.load(self._at(self.keys, i.value))
            for number in range(passes):
                place = self._at(counts, builder.add(self._byte(key, number), _constant(number * _BUCKETS)))
                builder.store(builder.add(builder.load(place), _constant(1)), place)
        kinds = (self.key.as_pointer(), I64.as_pointer())
        here, there = ([emitter.variable(k) for k in kinds] for _ in range(2))
        firsts = ((self.keys, self.positions), (self.spare_keys, self.spare_positions))
        for places, pair in zip((here, there), firsts, strict=True):
            for place, pointer in zip(places, pair, strict=True):
                emitter.builder.store(pointer, place)
        for number in range(passes):
            self._pass(counts, number, here, there)
        self._bring_back(here)

    def _pass(self, counts: ir.Value, number: int, here: list[ir.Value], there: list[ir.Value]) -> None:
        """Sort by one byte, unless it is the same everywhere."""
        emitter, builder = self.emitter, self.emitter.builder
        row = self._at(counts, _constant(number * _BUCKETS))
        first = self._byte(builder.load(self._at(self.keys, _constant(0))), number)
        differs = builder.icmp_signed("!=", builder.load(self._at(row, first)), self.count)
        with emitter.choice(builder.zext(differs, I64), 2) as enter:
            with enter(0):
                pass
            with enter(1):
                self._distribute(row, number, here, there)

    def _distribute(self, row: ir.Value, number: int, here: list[ir.Value], there: list[ir.Value]) -> None:
        emitter = self.emitter
        total = emitter.variable(I64)
        emitter.builder.store(_constant(0), total)
        with emitter.loop(0, _BUCKETS) as bucket:
            builder = emitter.builder
            place = self._at(row, bucket.value)
            count, before = builder.load(place), builder.load(total)
            builder.store(before, place)
            builder.store(builder.add(before, count), total)
        builder = emitter.builder
        source, target = ((builder.load(p[0]), builder.load(p[1])) for p in (here, there))
        with emitter.loop(0, Index(self.count, 0)) as i:
            builder = emitter.builder
            place = self._at(row, self._byte(builder.load(self._at(source[0], i.value)), number))
            position = builder.load(place)
            builder.store(builder.add(position, _constant(1)), place)
            self._move(source, i.value, target, position)
        builder = emitter.builder
        for k in range(2):
            builder.store(target[k], here[k])
            builder.store(source[k], there[k])

    def _bring_back(self, here: list[ir.Value]) -> None:
        """Copy the result to where it belongs, after an odd number of passes."""
        emitter, builder = self.emitter, self.emitter.builder
        moved = builder.icmp_unsigned("!=", builder.load(here[0]), self.keys)
        with emitter.choice(builder.zext(moved, I64), 2) as enter:
            with enter(0):
                pass
            with enter(1):
                builder = emitter.builder
                copy = emitter.function.module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, I64])
                targets = [(self.keys, here[0], self.bits // 8)]
                targets += [(self.positions, here[1], 8)] if self.indexed else []
                for target, place, size in targets:
                    addresses = [builder.bitcast(p, POINTER) for p in (target, builder.load(place))]
                    length = builder.mul(self.count, _constant(size))
                    builder.call(copy, [*addresses, length, ir.Constant(ir.IntType(1), 0)])


def _symbol(bits: int, indexed: bool) -> str:
    return f"fad_sort{'_positions' if indexed else ''}_{bits}"


def sort_source(symbol: str) -> str:
    """The assembly of a sorting function, by its symbol."""
    *_, bits = symbol.split("_")
    module = new_module(symbol)
    _Sort(module, symbol, int(bits), "positions" in symbol).write()
    return str(module)


def sort_function(module: ir.Module, bits: int, indexed: bool) -> ir.Function:
    """``(keys, spare keys, positions, spare positions, count)``, declared in a module."""
    symbol = _symbol(bits, indexed)
    found = module.globals.get(symbol)
    return ir.Function(module, _function_type(bits), symbol) if found is None else found
