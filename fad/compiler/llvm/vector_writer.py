"""The instructions of one loop, written for several turns at once; see :mod:`fad.compiler.llvm.widening`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import llvmlite.ir as ir

from fad.compiler.llvm.beside import AHEAD, is_neighbour
from fad.compiler.llvm.math_library import definitions

if TYPE_CHECKING:
    from fad.compiler.llvm.sparse_sums import SparseSums

__all__ = [
    "NEUTRAL",
    "VectorWriter",
    "call_vectors",
    "copied",
    "element_bits",
    "intrinsic_of",
    "math_function",
    "math_lanes",
]

_I32 = ir.IntType(32)
_LANEWISE = set(
    "sqrt fma fabs floor ceil trunc rint roundeven nearbyint copysign maximum minimum maxnum minnum ctpop bswap fshl fshr umul_hi".split()
)
"""LLVM's functions that do to vectors what they do to numbers."""

NEUTRAL = {
    "fadd": "-0.0",
    "fmul": "1.0",
    "add": "0",
    "mul": "1",
    "and": "-1",
    "or": "0",
    "xor": "0",
    "maximum": "0xFFF0000000000000",
    "minimum": "0x7FF0000000000000",
}
"""Ways to combine that may be reordered, and what changes nothing, as LLVM writes it."""


def element_bits(instruction: Any) -> int:
    """The bits of what an instruction gives or stores; 0 for a single bit."""
    kind = instruction.operands[0].type if isinstance(instruction, ir.StoreInstr) else instruction.type
    if isinstance(kind, ir.DoubleType):
        return 64
    if isinstance(kind, ir.FloatType | ir.HalfType):
        return 32 if isinstance(kind, ir.FloatType) else 16
    return kind.width if isinstance(kind, ir.IntType) and kind.width > 1 else 0


def _alignment(instruction: Any) -> int:
    """The alignment of what is read or stored: a vector's own would be larger."""
    return instruction.align or max(element_bits(instruction) // 8, 1)


def intrinsic_of(call: ir.CallInstr) -> str | None:
    """The name of one of LLVM's functions that takes vectors as well."""
    parts = call.callee.name.split(".")
    return parts[1] if parts[0] == "llvm" and len(parts) == 3 and parts[1] in _LANEWISE else None


def math_function(call: ir.CallInstr) -> tuple[str, str] | None:
    """The name and the dtype of a function of the math library."""
    for key, function in definitions(call.module).used.items():
        if function is call.callee:
            return key
    return None


class VectorWriter:
    """Writes what a loop does in several turns into a block.

    Parameters
    ----------
    loop : _Loop
        The loop.
    block : llvmlite.ir.Block
        Where to write.
    lanes : int
        The number of turns.
    """

    def __init__(self, loop: Any, block: ir.Block, lanes: int):
        self._loop, self._block, self._lanes = loop, block, lanes
        self._module = block.module
        self._fixed: dict[int, ir.Value] = {}
        self._vectors: dict[int, ir.Value] = {}
        self._started: dict[Any, Any] = {}
        self._totals: dict[Any, ir.Value] = {}

    def begin(self, outer: ir.Block, totals: Mapping[Any, ir.Value] | None = None) -> None:
        """Start each reduction with a vector, by default one that changes nothing; without, it starts with the first turns."""
        for reduction in self._loop.reductions:
            kind = self._vector_type(reduction.read.type)
            total = self._put(ir.PhiInstr(self._block, kind, ""))
            total.add_incoming(self._nothing(reduction) if totals is None else totals[reduction], outer)
            self._started[reduction] = self._totals[reduction] = total

    def _nothing(self, reduction: Any) -> ir.Value:
        return _splat_constant(self._vector_type(reduction.read.type), NEUTRAL[reduction.name])

    def narrow(self, total: ir.Block, lanes: int, rest: ir.Block, source: ir.Block) -> dict[Any, ir.Value]:
        """Each reduction in fewer lanes, as a block finds it that comes after all turns or, from ``source``, after none."""
        whole, self._block = self._block, total
        found = {}
        for reduction, vector in self._totals.items():
            started = self._started[reduction]
            started.add_incoming(vector, whole)
            narrow = self._halved(reduction, vector, lanes)
            before = started.incomings[0][0]
            if isinstance(before, ir.Constant):
                before = _splat_constant(narrow.type, NEUTRAL[reduction.name])
            phi = ir.PhiInstr(rest, narrow.type, "")
            rest.instructions.append(phi)
            phi.add_incoming(before, source)
            phi.add_incoming(narrow, total)
            found[reduction] = phi
        return found

    def _halved(self, reduction: Any, vector: ir.Value, lanes: int) -> ir.Value:
        """The lanes combined, half with half, until there are only so many."""
        count = vector.type.count
        while count > lanes:
            count //= 2
            halves = [
                self._put(
                    ir.ShuffleVector(
                        self._block, vector, _poison(vector.type), _mask(list(range(first, first + count)))
                    )
                )
                for first in (0, count)
            ]
            vector = self._combined(reduction, *halves)
        return vector

    def write_where(self, at: ir.Value, sums: SparseSums, vanishing: ir.Value) -> ir.Block:
        """Write the body so that vectors are left out in which nothing is added; gives the block that comes after it."""
        self.write(at, sums.before)
        outer, function = self._block, self._block.function
        work, after = (function.append_basic_block(name) for name in ("some", "next"))
        bits = ir.IntType(self._lanes)
        lanes = self._put(ir.CastInstr(outer, "bitcast", self._vector(sums.condition), bits))
        holds = self._put(ir.ICMPInstr(outer, "eq", lanes, ir.Constant(bits, 0)))
        nothing = self._put(ir.Instruction(outer, holds.type, "and", [holds, vanishing]))
        outer.terminator = self._put(ir.ConditionalBranch(outer, "br", [nothing, after, work]))
        self._block = work
        self.write(at, sums.after)
        work.terminator = self._put(ir.Branch(work, "br", [after]))
        self._block = after
        return after

    def write(self, at: ir.Value, instructions: Sequence[Any] | None = None) -> None:
        """Write all of the body, or a part of it; ``at`` is the counter in the first of the turns."""
        self._fixed[id(self._loop.counter)] = at
        links = {key: (r, value) for r in self._loop.reductions for key, value in r.links.items()}
        skipped = {id(i) for r in self._loop.reductions for i in (r.read, r.written)}
        for instruction in self._loop.body if instructions is None else instructions:
            if id(instruction) in skipped:
                continue
            if id(instruction) in links:
                reduction, value = links[id(instruction)]
                vector = self._vector(value)
                total = self._totals.get(reduction)
                self._totals[reduction] = vector if total is None else self._combined(reduction, total, vector)
            elif isinstance(instruction, ir.StoreInstr):
                self._store(instruction)
            elif self._loop.step(instruction) is not None:
                self._fixed[id(instruction)] = self._same(instruction)
            elif isinstance(instruction, ir.LoadInstr):
                self._vectors[id(instruction)] = self._load(instruction)
            elif not isinstance(instruction, ir.GEPInstr):  # an address for each lane is made where it is used
                self._vectors[id(instruction)] = self._widened(instruction)

    def finish(self, total: ir.Block, totals: Mapping[Any, ir.Value] | None = None) -> None:
        """Combine the lanes of each reduction, half with half, and that with the variable."""
        whole, self._block = self._block, total
        for reduction, vector in (self._totals if totals is None else totals).items():
            if reduction in self._started:
                self._started[reduction].add_incoming(vector, whole)
            count = 1 << (self._lanes - 1).bit_length()
            if count > self._lanes:
                neutral = _splat_constant(vector.type, NEUTRAL[reduction.name])
                lanes = [min(lane, self._lanes) for lane in range(count)]
                vector = self._put(ir.ShuffleVector(total, vector, neutral, _mask(lanes)))
            vector = self._halved(reduction, vector, 1)
            place = self._fixed_value(reduction.place)
            before = self._put(ir.LoadInstr(total, place))
            before.align = reduction.read.align
            both = self._combined(reduction, before, _extract(total, vector, 0))
            stored = self._put(ir.StoreInstr(total, both, place))
            stored.align = reduction.written.align

    def _combined(self, reduction: Any, one: ir.Value, other: ir.Value) -> ir.Value:
        """One step of a reduction, for vectors of any length or numbers."""
        known = {id(reduction.read): one, id(reduction.value): other}
        instruction = reduction.combined
        if not isinstance(instruction, ir.CallInstr):
            return self._put(copied(self._block, instruction, lambda o: known[id(o)], one.type))
        arguments = [known[id(a)] for a in instruction.args]
        return self._call_lanewise(instruction, arguments)

    # -- values -----------------------------------------------------------------------------------------------------------

    def _put(self, instruction: Any) -> Any:
        self._block.instructions.append(instruction)
        return instruction

    def _vector_type(self, kind: ir.Type) -> ir.VectorType:
        return ir.VectorType(kind, self._lanes)

    def _fixed_value(self, value: ir.Value) -> ir.Value:
        """A value that is the same in all turns, or that of the first turn."""
        return self._fixed.get(id(value), value)

    def _vector(self, value: ir.Value) -> ir.Value:
        """A value in all turns."""
        known = self._vectors.get(id(value))
        if known is not None:
            return known
        vector = _splat(self._block, self._fixed_value(value), self._lanes)
        step = self._loop.step(value)
        if step != 0:
            kind = vector.type
            numbers = ir.Constant(kind, [ir.Constant(kind.element, n) for n in range(self._lanes)])
            if step != 1:
                by = ir.Constant(kind.element, step) if isinstance(step, int) else self._fixed_value(step)
                numbers = self._put(
                    ir.Instruction(self._block, kind, "mul", [numbers, _splat(self._block, by, self._lanes)])
                )
            vector = self._put(ir.Instruction(self._block, kind, "add", [vector, numbers]))
        self._vectors[id(value)] = vector
        return vector

    # -- instructions -----------------------------------------------------------------------------------------------------

    def _same(self, instruction: Any) -> ir.Value:
        """An instruction whose result is the same in all turns, or grows by a step: that of the first turn."""
        if id(instruction) in self._loop.choices:
            values = [self._fixed_value(v) for v in self._loop.choices[id(instruction)]]
            return self._put(ir.SelectInstr(self._block, *values))
        if instruction.opname == "add":
            for one, other in (instruction.operands, instruction.operands[::-1]):
                fixed = self._fixed_value(one)
                if isinstance(fixed, ir.Constant) and fixed.constant == 0:
                    return self._fixed_value(other)
        return self._put(copied(self._block, instruction, self._fixed_value, instruction.type))

    def _widened(self, instruction: Any) -> ir.Value:
        """An instruction for all turns."""
        kind = self._vector_type(instruction.type)
        if is_neighbour(instruction):
            return self._neighbours(instruction)
        if id(instruction) in self._loop.choices:
            values = [self._vector(v) for v in self._loop.choices[id(instruction)]]
            return self._put(ir.SelectInstr(self._block, *values))
        if not isinstance(instruction, ir.CallInstr):
            return self._put(copied(self._block, instruction, self._vector, kind))
        arguments = [self._vector(a) for a in instruction.args]
        key = math_function(instruction)
        if key is not None:
            return self._call_pieces(key, arguments, kind)
        return self._call_lanewise(instruction, arguments)

    def _neighbours(self, instruction: Any) -> ir.Value:
        """The elements next to those in all lanes: the last one is in the vector of the turns before, which are the nearer ones in memory."""
        value, place = instruction.operands
        here, before = self._vector(value), self._put(ir.LoadInstr(self._block, place))
        before.align = None
        lanes = self._lanes
        pair, first = ((here, before), 1) if instruction.opname == AHEAD else ((before, here), lanes - 1)
        moved = self._put(ir.ShuffleVector(self._block, *pair, _mask(list(range(first, first + lanes)))))
        self._put(ir.StoreInstr(self._block, here, place)).align = None
        return moved

    def _call_lanewise(self, instruction: ir.CallInstr, arguments: list[ir.Value]) -> ir.Value:
        """Call one of LLVM's functions for vectors, or for numbers."""
        kind = arguments[0].type
        lanes = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        name = f"llvm.{intrinsic_of(instruction)}.{lanes}{_suffix(instruction.type)}"
        function = _declared(self._module, name, ir.FunctionType(kind, [a.type for a in arguments]))
        return self._put(ir.CallInstr(self._block, function, arguments, fastmath=tuple(instruction.fastmath)))

    def _call_pieces(self, key: tuple[str, str], arguments: list[ir.Value], kind: ir.VectorType) -> ir.Value:
        """Call a math function for one register's lanes at a time, and put the results together; for two registers' lanes at once where that is all.

        A function for two reads each constant once, and one register's chain of operations need not wait for the other's: it takes 0.8 of the time.
        """
        width = math_lanes(self._module, key[1], self._lanes)
        pieces = []
        for first in range(0, self._lanes, width):
            taken = [min(lane, self._lanes - 1) for lane in range(first, first + width)]
            parts = [self._shuffled(a, taken) for a in arguments] if width != self._lanes else arguments
            pieces.append(_call_math(self._block, key, parts))
        return self._joined(pieces, kind)

    def _joined(self, pieces: list[ir.Value], kind: ir.VectorType) -> ir.Value:
        """One vector of equally long ones, of which the last may be longer than what is left to fill."""
        while len(pieces) > 1:
            count = 2 * pieces[0].type.count
            pieces += [_poison(pieces[0].type)] * (len(pieces) % 2)
            both = _mask(list(range(count)))
            pieces = [
                self._put(ir.ShuffleVector(self._block, a, b, both))
                for a, b in zip(pieces[::2], pieces[1::2], strict=True)
            ]
        return pieces[0] if pieces[0].type == kind else self._shuffled(pieces[0], range(self._lanes))

    def _shuffled(self, vector: ir.Value, lanes: Iterable[int]) -> ir.Value:
        return self._put(ir.ShuffleVector(self._block, vector, _poison(vector.type), _mask(list(lanes))))

    # -- memory -----------------------------------------------------------------------------------------------------------

    def _vector_pointer(self, pointer: ir.Value, kind: ir.VectorType) -> ir.Value:
        return self._put(ir.CastInstr(self._block, "bitcast", self._fixed_value(pointer), kind.as_pointer()))

    def _lane_pointer(self, pointer: ir.Value, lane: int) -> ir.Value:
        """The address that one of the turns uses."""
        step = self._loop.step(pointer)
        if step is None:
            base, index = pointer.operands
            at = _extract(self._block, self._vector(index), lane)
            return self._put(ir.GEPInstr(self._block, self._fixed_value(base), [at], pointer.inbounds, ""))
        first = self._fixed_value(pointer)
        if lane == 0 or step == 0:
            return first
        i64 = ir.IntType(64)
        if isinstance(step, int):
            offset: ir.Value = ir.Constant(i64, lane * step)
        else:
            fixed = self._fixed_value(step)
            offset = self._put(ir.Instruction(self._block, i64, "mul", [fixed, ir.Constant(i64, lane)]))
        return self._put(ir.GEPInstr(self._block, first, [offset], pointer.inbounds, ""))

    def _load(self, load: ir.LoadInstr) -> ir.Value:
        pointer, kind = load.operands[0], self._vector_type(load.type)
        mask = self._loop.masks.get(id(load))
        if self._loop.step(pointer) == 1 and mask is None:
            vector = self._put(ir.LoadInstr(self._block, self._vector_pointer(pointer, kind)))
            vector.align = _alignment(load)
            return vector
        if self._loop.step(pointer) == 1 and element_bits(load) >= 32:
            return self._masked_load(load, kind, self._vector(mask))
        vector = _poison(kind)
        for lane in range(self._lanes):
            place = self._lane_pointer(pointer, lane)
            if mask is not None:
                reads = _extract(self._block, self._vector(mask), lane)
                place = self._put(ir.SelectInstr(self._block, reads, place, self._spare(load.type)))
            value = self._put(ir.LoadInstr(self._block, place))
            value.align = load.align
            vector = self._put(ir.InsertElement(self._block, vector, value, ir.Constant(_I32, lane)))
        return vector

    def _masked_load(self, load: ir.LoadInstr, kind: ir.VectorType, mask: ir.Value) -> ir.Value:
        """Lanes side by side, of which those outside of the mask are not touched.

        A register's lanes at a time: LLVM 22 reads all of a half whose lanes the mask is known to leave out.
        """
        width = definitions(self._module).target.vector_bits // element_bits(load)
        piece = ir.VectorType(kind.element, width)
        nowhere = _constant(mask.type, "zeroinitializer")
        name = f"llvm.masked.load.v{width}{_suffix(kind.element)}.p0"
        place = self._fixed_value(load.operands[0])
        types = [piece.as_pointer(), _I32, ir.VectorType(ir.IntType(1), width), piece]
        function = _declared(self._module, name, ir.FunctionType(piece, types))
        pieces = []
        for first in range(0, self._lanes, width):
            start = place
            if first:
                start = self._put(ir.GEPInstr(self._block, place, [ir.Constant(ir.IntType(64), first)], False, ""))
            lanes = [min(lane, self._lanes) for lane in range(first, first + width)]
            reads = (
                mask if width == self._lanes else self._put(ir.ShuffleVector(self._block, mask, nowhere, _mask(lanes)))
            )
            start = self._put(ir.CastInstr(self._block, "bitcast", start, piece.as_pointer()))
            arguments = [start, ir.Constant(_I32, _alignment(load)), reads, _poison(piece)]
            pieces.append(self._put(ir.CallInstr(self._block, function, arguments)))
        return self._joined(pieces, kind)

    def _spare(self, kind: ir.Type) -> ir.Value:
        """Where a lane reads that must not read where it would."""
        entry = self._block.function.entry_basic_block
        name = f"spare.{_suffix(kind)}"
        for instruction in entry.instructions:
            if instruction.name == name:
                return instruction
        place = ir.AllocaInstr(entry, kind, None, name)
        entry.instructions.insert(0, place)
        return place

    def _store(self, store: ir.StoreInstr) -> None:
        value, pointer = store.operands
        vector = self._vector(value)
        if self._loop.step(pointer) == 1:
            self._put_store(vector, self._vector_pointer(pointer, vector.type), _alignment(store))
            return
        for lane in range(self._lanes):
            self._put_store(_extract(self._block, vector, lane), self._lane_pointer(pointer, lane), store.align)

    def _put_store(self, value: ir.Value, pointer: ir.Value, align: Any) -> None:
        self._put(ir.StoreInstr(self._block, value, pointer)).align = align


def call_vectors(function: ir.Function) -> None:
    """Let a function call the math library for vectors only, of which one lane counts where it has one number: then no other version is needed."""
    replaced: list[tuple[ir.Value, ir.Value]] = []
    for block in function.blocks:
        before, block.instructions = block.instructions, []
        for instruction in before:
            key = math_function(instruction) if isinstance(instruction, ir.CallInstr) else None
            if key is None:
                block.instructions.append(instruction)
                continue
            width = math_lanes(block.module, key[1])
            arguments = [_splat(block, a, width) for a in instruction.args]
            replaced.append((instruction, _extract(block, _call_math(block, key, arguments), 0)))
    for block in function.blocks if replaced else ():
        for instruction in block.instructions:
            for old, new in replaced:
                instruction.replace_usage(old, new)
    math = definitions(function.module).used
    for callee in math.values():
        del function.module.globals[callee.name]
    math.clear()


def copied(block: ir.Block, instruction: Any, operand: Callable[[ir.Value], ir.Value], kind: ir.Type) -> Any:
    """An instruction like another one, with other operands and another type."""
    operands = [operand(o) for o in instruction.operands]
    if isinstance(instruction, ir.CastInstr):
        return ir.CastInstr(block, instruction.opname, operands[0], kind)
    if isinstance(instruction, ir.ICMPInstr | ir.FCMPInstr):
        return type(instruction)(block, instruction.op, *operands, flags=instruction.flags)
    if isinstance(instruction, ir.SelectInstr):
        return ir.SelectInstr(block, *operands, flags=instruction.flags)
    if isinstance(instruction, ir.CallInstr):
        return ir.CallInstr(block, operands[0], operands[1:], fastmath=tuple(instruction.fastmath))
    if isinstance(instruction, ir.GEPInstr):
        return ir.GEPInstr(block, operands[0], operands[1:], instruction.inbounds, "")
    if isinstance(instruction, ir.LoadInstr):
        load = ir.LoadInstr(block, operands[0])
        load.align = instruction.align
        return load
    return ir.Instruction(block, kind, instruction.opname, operands, flags=instruction.flags)


def _put(block: ir.Block, instruction: Any) -> Any:
    block.instructions.append(instruction)
    return instruction


def _declared(module: ir.Module, name: str, kind: ir.FunctionType) -> ir.Function:
    found = module.globals.get(name)
    return ir.Function(module, kind, name) if found is None else found


def _splat(block: ir.Block, value: ir.Value, lanes: int) -> ir.Value:
    """The same number in all lanes."""
    kind = ir.VectorType(value.type, lanes)
    if isinstance(value, ir.Constant):
        return _constant(kind, f"splat ({value})")
    one = _put(block, ir.InsertElement(block, _poison(kind), value, ir.Constant(_I32, 0)))
    return _put(block, ir.ShuffleVector(block, one, _poison(kind), _mask([0] * lanes)))


def _extract(block: ir.Block, vector: ir.Value, lane: int) -> ir.Value:
    return _put(block, ir.ExtractElement(block, vector, ir.Constant(_I32, lane)))


def math_lanes(module: ir.Module, dtype: str, turns: int = 1) -> int:
    """For how many lanes at once a math function is called where so many turns are done at once."""
    width = definitions(module).lanes(dtype)[0]
    return turns if turns == 2 * width else width


def _call_math(block: ir.Block, key: tuple[str, str], arguments: list[ir.Value]) -> ir.Value:
    kind = arguments[0].type
    name = f"fad_{key[0]}_{key[1]}_v{kind.count}"
    function = _declared(block.module, name, ir.FunctionType(kind, [kind] * len(arguments)))
    function.attributes.add("nounwind")
    return _put(block, ir.CallInstr(block, function, arguments))


def _splat_constant(kind: ir.VectorType, text: str) -> ir.Constant:
    return _constant(kind, f"splat ({kind.element} {text})")


def _poison(kind: ir.VectorType) -> ir.Constant:
    return _constant(kind, "poison")


def _constant(kind: ir.VectorType, text: str) -> ir.Constant:
    constant = ir.FormattedConstant(kind.element, text)
    constant.type = kind
    return constant


def _mask(lanes: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(lanes)), [ir.Constant(_I32, n) for n in lanes])


def _suffix(kind: ir.Type) -> str:
    """How names of LLVM's functions say a type."""
    return (
        f"i{kind.width}"
        if isinstance(kind, ir.IntType)
        else {"double": "f64", "float": "f32", "half": "f16"}[str(kind)]
    )
