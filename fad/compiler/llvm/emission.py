"""Writing one LLVM function: loop scopes, indices, sizes and temporary variables.

A *scope* is the function's body or the body of an open loop. While an inner loop is open the outer scopes stay open too, so that code which
depends only on outer indices is written before the inner loop: loop-invariant code never enters a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.scalar import ScalarBuilder, Value
from fad.compiler.llvm.scalar_value import memory_type
from fad.compiler.llvm.unused import drop_unused
from fad.compiler.size_classes import LARGEST_STATIC

__all__ = ["I32", "I64", "POINTER", "Emitter", "Index", "Ix", "Located", "Scope"]

I64, I32, I8 = ir.IntType(64), ir.IntType(32), ir.IntType(8)
POINTER = I8.as_pointer()


class Index(NamedTuple):
    """An integer in a register, and the number of the innermost scope that it depends on."""

    value: ir.Value
    depth: int


Ix = int | Index


class Located(NamedTuple):
    """A scalar and the number of the innermost scope that it depends on."""

    value: Value
    depth: int


class Scope:
    """The function's body or a loop's: where to write, and what is known there."""

    __slots__ = ("builder", "memo", "scalar")

    def __init__(self, builder: ir.IRBuilder):
        self.builder = builder
        self.scalar = ScalarBuilder(builder)
        self.memo: dict[Any, Any] = {}


class _Names:
    """What llvmlite asks for the name of each value of a function: its own answer takes as long as writing an instruction.

    Values that are given no name get a number; names that are taken get one, too.
    """

    def __init__(self, function: ir.Function):
        self._next = len(function.args) + 1
        self._counts = {argument.name: 0 for argument in function.args}

    def register(self, name: str, deduplicate: bool = False) -> str:
        """A name like this one that no other value has."""
        if not name:
            self._next += 1
            return f".{self._next}"
        count = self._counts.get(name, -1) + 1
        self._counts[name] = count
        return f"{name}.{count}" if count else name


class Emitter:
    """Writes the body of one function.

    Parameters
    ----------
    function : llvmlite.ir.Function
        The function, without blocks.
    sizes : llvmlite.ir.Value
        Its argument that points to the int64 values of the size symbols.
    symbols : dict of int to int
        The symbol of each size.
    """

    def __init__(self, function: ir.Function, sizes: ir.Value, symbols: dict[int, int]):
        self.function = function
        function.scope = _Names(function)
        self._sizes, self._symbols = sizes, symbols
        self._entry = ir.IRBuilder(function.append_basic_block("entry"))
        body = function.append_basic_block("body")
        self.scopes = [Scope(ir.IRBuilder(body))]
        self._body = body
        self._known: dict[int, Index] = {}
        # What answers whether conditions on indices may be taken for granted.
        self.granted: Callable[[Ix, Ix | None, Ix | None], bool] | None = None
        self.sums: dict[Index, tuple[str, Ix, Ix]] = {}
        # What indices were before they were moved to the nearest place inside an axis.
        self.clamps: dict[Index, Ix] = {}
        # Quotients and remainders that are known, by dividend and divisor.
        self.quotients: dict[tuple[Ix, Ix], tuple[Ix, Ix]] = {}
        # Inside an alternative nothing is computed before it is chosen, except what is known already.
        self.floor = 0
        self.may_leave = False
        # How many turns a loop may make at most, by its block, where that is known to be few.
        self.most_turns: dict[ir.Block, int] = {}
        # Loops whose turns are all done at once, by their blocks.
        self.whole: set[ir.Block] = set()
        self._leaving: list[tuple[ir.IRBuilder, ir.Value]] = []
        self._owned: list[ir.Value] = []

    @property
    def depth(self) -> int:
        """The number of the innermost open scope."""
        return len(self.scopes) - 1

    @property
    def entry(self) -> ir.IRBuilder:
        """Writes into the function's entry, which runs once."""
        return self._entry

    @property
    def builder(self) -> ir.IRBuilder:
        """Writes into the innermost scope."""
        return self.scopes[-1].builder

    @property
    def scalar(self) -> ScalarBuilder:
        """Builds scalar code in the innermost scope."""
        return self.scopes[-1].scalar

    def finish(self, result: ir.Value | None = None) -> None:
        """Close the function."""
        self._entry.branch(self._body)
        for builder, code in [*self._leaving, (self.builder, result)]:
            self._free(builder)
            if code is None:
                builder.ret_void()
            else:
                builder.ret(code)
        drop_unused(self.function)

    # -- sizes and index arithmetic -----------------------------------------------------------------------------------

    def size(self, n: int) -> Ix:
        """A size or other integer parameter: itself if it is small, else its symbol's value at run time."""
        if -LARGEST_STATIC <= n <= LARGEST_STATIC:
            return n
        if n < 0:
            return self.subtract(0, self.size(-n))
        if n not in self._known:
            self._known[n] = Index(self.parameter(self._symbols[n]), 0)
        return self._known[n]

    def parameter(self, number: int) -> ir.Value:
        """Element ``number`` of the sizes argument, read at the function's entry."""
        pointer = self._entry.gep(self._sizes, [ir.Constant(I64, number)])
        return self._entry.load(pointer)

    def product(self, shape: tuple[int, ...]) -> Ix:
        """The number of elements of a shape."""
        total: Ix = 1
        for n in shape:
            total = self.multiply(total, self.size(n))
        return total

    def raw(self, x: Ix) -> ir.Value:
        """The integer as an LLVM value."""
        return x.value if isinstance(x, Index) else ir.Constant(I64, x)

    def _binary(self, operation: str, x: Ix, y: Ix) -> Index:
        depth = max(x.depth if isinstance(x, Index) else 0, y.depth if isinstance(y, Index) else 0)
        scope = self.scopes[depth]
        key = (operation, x, y)
        if key not in scope.memo:
            scope.memo[key] = made = Index(getattr(scope.builder, operation)(self.raw(x), self.raw(y)), depth)
            self.sums[made] = (operation, x, y)
        return scope.memo[key]

    def add(self, x: Ix, y: Ix) -> Ix:
        """Return x + y"""
        if isinstance(x, int) and isinstance(y, int):
            return x + y
        if isinstance(x, int) or isinstance(y, int):
            return self._moved(x, y) if isinstance(y, int) else self._moved(y, x)
        return self._binary("add", x, y)

    def _moved(self, x: Ix, by: int) -> Ix:
        """Return x + by, where x may be moved already: there and back is the same place."""
        assert isinstance(x, Index)
        operation, base, moved = self.sums.get(x, ("", x, 0))
        if operation in ("add", "sub") and isinstance(base, Index) and isinstance(moved, int):
            x, by = base, by + moved if operation == "add" else by - moved
        return x if by == 0 else self._binary("add", x, by)

    def subtract(self, x: Ix, y: Ix) -> Ix:
        """Return x - y"""
        if isinstance(x, int) and isinstance(y, int):
            return x - y
        return self._moved(x, -y) if isinstance(y, int) else self._binary("sub", x, y)

    def multiply(self, x: Ix, y: Ix) -> Ix:
        """Return x * y"""
        if isinstance(x, int) and isinstance(y, int):
            return x * y
        if x == 0 or y == 0:
            return 0
        if x == 1 or y == 1:
            return y if x == 1 else x
        return self._binary("mul", x, y)

    def divide(self, x: Ix, y: Ix) -> tuple[Ix, Ix]:
        """Quotient and remainder of non-negative integers."""
        if isinstance(x, int) and isinstance(y, int):
            return divmod(x, y)
        if y == 1:
            return x, 0
        if (x, y) in self.quotients:
            return self.quotients[x, y]
        quotient = self._binary("udiv", x, y)
        return quotient, self.subtract(x, self.multiply(quotient, y))

    def smaller(self, x: Ix, y: Ix) -> Ix:
        """The smaller of two integers."""
        return min(x, y) if isinstance(x, int) and isinstance(y, int) else self._chosen("<", x, y)

    def larger(self, x: Ix, y: Ix) -> Ix:
        """The larger of two integers."""
        return max(x, y) if isinstance(x, int) and isinstance(y, int) else self._chosen(">", x, y)

    def _chosen(self, comparison: str, x: Ix, y: Ix) -> Index:
        depth = max(x.depth if isinstance(x, Index) else 0, y.depth if isinstance(y, Index) else 0)
        scope = self.scopes[depth]
        key = (comparison, x, y)
        if key not in scope.memo:
            holds = scope.builder.icmp_signed(comparison, self.raw(x), self.raw(y))
            scope.memo[key] = Index(scope.builder.select(holds, self.raw(x), self.raw(y)), depth)
        return scope.memo[key]

    minimum, maximum = smaller, larger

    def clamped(self, x: Ix, size: int) -> Ix:
        """The nearest index inside an axis that is not empty."""
        nearest = self.smaller(self.larger(x, 0), self.subtract(self.size(size), 1))
        if isinstance(nearest, Index):
            self.clamps[nearest] = x
        return nearest

    def before_clamping(self, x: Ix) -> Ix:
        """The index that one stands for which was moved to the nearest place inside an axis, if it is known here."""
        moved: Ix = x
        by = 0
        while isinstance(moved, Index):
            if moved in self.clamps:
                moved = self.clamps[moved]
                continue
            operation, base, step = self.sums.get(moved, ("", moved, 0))
            if operation != "add" or not isinstance(base, Index) or not isinstance(step, int):
                break
            moved, by = base, by + step
        if isinstance(moved, int):
            return moved + by
        return self.scopes[moved.depth].memo.get(("add", moved, by), x) if by else moved

    def inside(self, x: Ix, low: Ix | None, high: Ix | None) -> bool:
        """Whether ``low <= x < high`` may be taken for granted where code is written now; a bound may be left out."""
        return self.granted is not None and self.granted(x, low, high)

    @contextmanager
    def where(self, condition: ir.Value) -> Iterator[_Merge]:
        """Code for where a condition holds that gives one value; elsewhere the value is another one."""
        outer = self.scopes[-1]
        block = self.function.append_basic_block("where")
        done = self.function.append_basic_block("merge")
        merge = _Merge()
        scope = Scope(ir.IRBuilder(block))
        self.scopes.append(scope)
        before, self.floor = self.floor, self.depth
        yield merge
        self.floor = before
        self.scopes.pop()
        scope.builder.branch(done)
        merge.finish(outer.builder, scope.builder.block, done, condition, block)

    def leave_unless_zero(self, code: ir.Value) -> None:
        """Return from the function with the number of an error."""
        self.may_leave = True
        leave = self.function.append_basic_block("leave")
        following = self.function.append_basic_block("following")
        self.builder.cbranch(self.builder.icmp_signed("!=", code, ir.Constant(code.type, 0)), leave, following)
        self._leaving.append((ir.IRBuilder(leave), code))
        self.builder.position_at_end(following)

    # -- temporaries ----------------------------------------------------------------------------------------------------

    def variable(self, kind: ir.Type) -> ir.Value:
        """A place for one value, which LLVM turns into a register."""
        return self._entry.alloca(kind)

    def counter(self) -> ir.Value:
        """A variable for an integer that is 0 when the function begins."""
        place = self.variable(I64)
        self._entry.store(ir.Constant(I64, 0), place)
        return place

    def owned_memory(self) -> ir.Value:
        """A variable for the address of memory of the C library's, which is given back when the function returns."""
        place = self.variable(POINTER)
        self._entry.store(ir.Constant(POINTER, None), place)
        self._owned.append(place)
        return place

    def _free(self, builder: ir.IRBuilder) -> None:
        module = self.function.module
        for place in self._owned:
            free = module.globals.get("free") or ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER]), "free")
            builder.call(free, [builder.load(place)])

    def placed(self, value: ir.Value) -> ir.Value:
        """The address of a value: what C and Fortran functions want of numbers."""
        place = self.variable(value.type)
        self.builder.store(value, place)
        return place

    def small_array(self, dtype: np.dtype, count: int) -> ir.Value:
        """A pointer to a few elements on the stack."""
        count *= 2 if dtype.kind == "c" else 1
        place = self._entry.alloca(ir.ArrayType(memory_type(dtype), count))
        place.align = 64
        return self._entry.bitcast(place, memory_type(dtype).as_pointer())

    def clear(self, place: ir.Value, count: Ix) -> None:
        """Set so many bytes to 0: one instruction for LLVM to work on where a loop would be twenty."""
        fill = self.function.module.declare_intrinsic("llvm.memset", [POINTER, I64])
        zero, bit = ir.Constant(I8, 0), ir.Constant(ir.IntType(1), 0)
        self.builder.call(fill, [self.builder.bitcast(place, POINTER), zero, self.raw(count), bit])

    # -- loops ----------------------------------------------------------------------------------------------------------

    @contextmanager
    def loop(
        self,
        start: Ix | Callable[[], Ix],
        stop: Ix | Callable[[], Ix],
        plain: bool = False,
        most: int | None = None,
        short: bool = False,
        whole: bool = False,
    ) -> Iterator[Index]:
        """A loop over ``start <= i < stop``, of at most ``most`` turns; the code written inside the block is its body.

        Bounds that follow from the body are given as functions, which are called when it is written. LLVM is asked not to unroll a ``plain`` loop,
        and to leave a ``short`` one as it is. All turns of a ``whole`` one, of which there is a small power of 2, are done at once where vector code is made of it.
        """
        outer = self.scopes[-1]
        body = self.function.append_basic_block("loop")
        if most is not None or short:
            self.most_turns[body] = 0 if short else most
        if whole:
            self.whole.add(body)
        done = self.function.append_basic_block("done")
        inner = Scope(ir.IRBuilder(body))
        counter = inner.builder.phi(I64)
        self.scopes.append(inner)
        yield Index(counter, self.depth)
        first, last = [self.raw(bound() if callable(bound) else bound) for bound in (start, stop)]
        following = inner.builder.add(counter, ir.Constant(I64, 1), flags=["nsw", "nuw"])
        counter.add_incoming(following, inner.builder.block)
        back = inner.builder.cbranch(inner.builder.icmp_signed("<", following, last), body, done)
        if plain or short or not (isinstance(start, int) and isinstance(stop, int)):
            back.set_metadata("llvm.loop", _loop_hints(self.function.module, short))
        self.scopes.pop()
        counter.add_incoming(first, outer.builder.block)
        outer.builder.cbranch(outer.builder.icmp_signed("<", first, last), body, done)
        outer.builder.position_at_end(done)

    @contextmanager
    def repeat(self) -> Iterator[Callable[[ir.Value], None]]:
        """An endless loop; what it gives is called inside it with the condition to go on."""
        outer = self.scopes[-1]
        head = self.function.append_basic_block("repeat")
        done = self.function.append_basic_block("done")
        inner = Scope(ir.IRBuilder(head))
        self.scopes.append(inner)

        def leave_unless(condition: ir.Value) -> None:
            body = self.function.append_basic_block("body")
            inner.builder.cbranch(condition, body, done)
            inner.builder.position_at_end(body)

        yield leave_unless
        inner.builder.branch(head)
        self.scopes.pop()
        outer.builder.branch(head)
        outer.builder.position_at_end(done)

    @contextmanager
    def choice(self, number: ir.Value, count: int) -> Iterator[Callable[[int], Any]]:
        """Alternatives by number; what it gives opens one of them. Numbers out of range take the nearest alternative."""
        outer = self.scopes[-1]
        blocks = [self.function.append_basic_block("choice") for _ in range(count)]
        done = self.function.append_basic_block("done")

        @contextmanager
        def enter(k: int) -> Iterator[None]:
            scope = Scope(ir.IRBuilder(blocks[k]))
            self.scopes.append(scope)
            before, self.floor = self.floor, self.depth
            yield
            self.floor = before
            scope.builder.branch(done)
            self.scopes.pop()

        yield enter
        below = outer.builder.icmp_signed("<", number, ir.Constant(number.type, 0))
        chosen = outer.builder.select(below, ir.Constant(number.type, 0), number)
        switch = outer.builder.switch(chosen, blocks[-1])
        for k, block in enumerate(blocks[:-1]):
            switch.add_case(ir.Constant(number.type, k), block)
        outer.builder.position_at_end(done)


class _Merge:
    """Takes the value that a conditional piece of code gives."""

    def __init__(self) -> None:
        self._value: ir.Value | None = None
        self._result: ir.Value | None = None

    def __call__(self, value: ir.Value) -> None:
        self._value = value

    def finish(self, outer: ir.IRBuilder, last: Any, done: Any, condition: ir.Value, block: Any) -> None:
        """Close the piece."""
        assert self._value is not None
        before = outer.block
        outer.cbranch(condition, block, done)
        outer.position_at_end(done)
        self._result = outer.phi(self._value.type)
        self._result.add_incoming(self._value, last)
        self._before = before

    def result(self, otherwise: ir.Value) -> ir.Value:
        """The value, or a constant where the condition does not hold."""
        assert self._result is not None
        self._result.add_incoming(otherwise, self._before)
        return self._result


def _loop_hints(module: ir.Module, short: bool) -> ir.MDValue:
    """Hints for one loop; their first operand is the node itself, which tells them from another loop's."""
    hints = [module.add_metadata(["llvm.loop.unroll.disable"])]
    if short:
        hints.append(module.add_metadata(["llvm.loop.vectorize.enable", ir.Constant(ir.IntType(1), 0)]))
    node = module.add_metadata([ir.MetaDataString(module, f"loop {len(module.metadata)}"), *hints])
    node.operands = (node, *hints)
    return node
