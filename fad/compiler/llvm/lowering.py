"""From a Program to one LLVM function ``int64 f(void** buffers, int64* sizes, char* arena)``.

``buffers`` are the addresses of inputs, constants and outputs, in this order; ``sizes`` holds the values of the size symbols, then the scalar
constants, then the offsets of temporary arrays in the arena. The result is 0, or the number of the error that was found.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llvmlite.ir as ir

from fad.compiler.canonical import Canonical
from fad.compiler.chains import Chain, chains_of
from fad.compiler.donation import overwritten_temporaries, reused_memory
from fad.compiler.foreign import ForeignKernel
from fad.compiler.fusion import Group, Opaque, Plan, Straight, plan_steps
from fad.compiler.joined_in_place import Part, parts_of
from fad.compiler.lifetimes import last_steps
from fad.compiler.llvm.assembly import dismantle, module_text
from fad.compiler.llvm.beside import Beside, NotWidened
from fad.compiler.llvm.control import write_cond, write_scan, write_while
from fad.compiler.llvm.elements import Elements, Memory, Registers
from fad.compiler.llvm.emission import I64, POINTER, Emitter, Index, Ix
from fad.compiler.llvm.equal_kernels import kernel_key
from fad.compiler.llvm.families import FAMILIES, may_check
from fad.compiler.llvm.foreign import write_foreign
from fad.compiler.llvm.kernels import KernelWriter
from fad.compiler.llvm.linking import Source
from fad.compiler.llvm.math_library import host_target
from fad.compiler.llvm.modules import add_guards, expected_symbols, likely_symbols, new_module
from fad.compiler.llvm.movement import write_concatenate
from fad.compiler.llvm.outlined import write_outlined
from fad.compiler.llvm.parallel import DISPATCH, GRAIN, Argument, may_share_loops, stored
from fad.compiler.llvm.parts import Expect, Parts, Take, make_cold
from fad.compiler.llvm.products import write_product
from fad.compiler.llvm.scalar import Value
from fad.compiler.llvm.scalar_value import memory_type
from fad.compiler.llvm.straight import write_straight
from fad.compiler.llvm.symbols import by_names, link_coming, linked_part, outside_symbols, prepare
from fad.compiler.llvm.tiled import TiledCalls
from fad.compiler.llvm.together import Call, Tables, Waiting, arena_code, buffer_code
from fad.compiler.llvm.unused import drop_casts
from fad.compiler.llvm.widening import has_loops
from fad.compiler.llvm.work import group_work, most_work
from fad.compiler.llvm.workers import Workers
from fad.compiler.memory_plan import Block, MemoryPlan
from fad.compiler.neighbours import Neighbours
from fad.compiler.nested import nested_constants
from fad.compiler.read_parts import with_part
from fad.compiler.size_classes import LONG, is_small
from fad.core.interruptions import interrupt_here
from fad.core.program import Atom, Program, Var

__all__ = ["OPAQUE", "Lowering", "compile_segment", "lower_segment"]

SEGMENT_TYPE = ir.FunctionType(I64, [POINTER.as_pointer(), I64.as_pointer(), POINTER])

_SHORT = 10
"""Steps of a segment whose calls are written without tables."""
_LONG = 1000
"""Instructions without a loop around them for which LLVM would choose registers, in a time that is quadratic in how many there are."""
_FEW = 16
"""Equations on small values that are not worth LLVM's time."""

OPAQUE: dict[str, Any] = {
    "dot_general": write_product,
    "scan": write_scan,
    "while": write_while,
    "cond": write_cond,
    "concatenate": write_concatenate,
}
"""Lowerings of operations that are more than loops over elements, by kernel name: ``f(lowering, equation)``."""


class Lowering:
    """Writes one segment; nested Programs are written by the same object.

    Attributes
    ----------
    module : llvmlite.ir.Module
        The segment's function, and what calls kernels for it.
    parts : Parts
        The kernels.
    canonical : Canonical
        What is symbolic.
    memory : MemoryPlan
        The temporary arrays.
    blocks : dict of Var to Block
        The temporary arrays that hold variables.
    starts : list of int
        The moments, as the memory plan counts them, at which steps start, in the order in which they are written.
    reused : dict of Var to Var
        The input whose memory each result takes, for those that take one.
    clock : Clock or None
        What measures each step; only code that is to be profiled has one.
    """

    def __init__(
        self, name: str, canonical: Canonical, take: Take, clock: Any, expect: Expect | None, is_brief: bool = False
    ):
        self.module, self.name, self.canonical = new_module(name, is_brief), name, canonical
        self.parts = Parts(take, expect)
        self.memory = MemoryPlan()
        self.starts: list[int] = []
        self.reused: dict[Var, Var] = {}
        self.reused_numbers: list[tuple[int, int]] = []
        # The temporary array whose memory a result may take, and what results have taken: from inputs and temporaries.
        self._dying: dict[Var, Var] = {}
        self.overwritten: dict[Var, Var] = {}
        # Where arrays are that threads may have made in parts, and the work that it took.
        self.parted: dict[ir.Value, Ix] = {}
        # What is computed inside of joined arrays, where that begins, and the joined arrays that are begun.
        self.joined: dict[Var, Part] = {}
        self.part_numbers: dict[ir.Value, tuple[Var, int]] = {}
        self._begun: set[Var] = set()
        self.clock = clock
        function = ir.Function(self.module, SEGMENT_TYPE, name)
        for argument, label in zip(function.args, ("buffers", "sizes", "arena"), strict=True):
            argument.name = label
            argument.add_attribute("noalias")
        self.buffers, self.sizes, self.arena = function.args
        self.emitter = Emitter(function, self.sizes, canonical.symbols)
        first = len(canonical.sizes)
        self.scalars = {key: first + n for key, n in canonical.scalar_numbers.items()}
        self._first_offset = first + len(canonical.scalars)
        self.elements = Elements(self.emitter, {}, self.scalars)
        self.blocks: dict[Var, Block] = {}
        # Whether there is one group, also counting nested Programs, which others cannot share.
        self.has_one_group = False
        # Whether some loops are functions of their own.
        self.calls_kernels = False
        self._blocks_at: dict[ir.Value, Block] = {}
        self._buffers_as: dict[ir.Type, ir.Value] = {}
        self.origins: dict[ir.Value, int] = {}
        self.waiting = Waiting(self)
        self.tables: Tables | None = None
        self.tiled: TiledCalls | None = None
        self._functions: dict[Hashable, tuple[ir.Function, Any]] = {}
        self._shared: dict[Hashable, ir.Function] = {}
        self.constant_places: dict[Var, Memory] = {}
        self.held: list[Block | None] = []
        # What is stacked by loops of unknown length: what of it is read, and how long it is.
        self.read_histories: set[Atom] = set()
        self.lengths: dict[Var, Index] = {}
        self.libraries: set[str] = set()
        # Whether the segment's function itself does more than prepare and call kernels.
        self.computes = False

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Keep the temporaries that are put into ``held`` until the end."""
        before, self.held = self.held, []
        yield
        for block in self.held:
            if block is not None:
                self.memory.extend(block, self.memory.now)
        self.held = before

    # -- places -----------------------------------------------------------------------------------------------------------

    def buffer(self, number: int, var: Atom) -> Memory:
        """An input, constant or output of the segment."""
        dtype = var.aval.dtype
        kind = memory_type(dtype).as_pointer()
        pointer = self._address(number, kind)
        self.origins[pointer] = buffer_code(number)
        return Memory(pointer, var.aval.shape, dtype)

    def words(self, number: int) -> ir.Value:
        """A buffer of int64 numbers."""
        return self._address(number, I64.as_pointer())

    def _address(self, number: int, kind: ir.Type) -> ir.Value:
        builder = self.emitter.builder
        if kind not in self._buffers_as:
            self._buffers_as[kind] = self.emitter.entry.bitcast(self.buffers, kind.as_pointer())
        return builder.load(builder.gep(self._buffers_as[kind], [ir.Constant(I64, number)]))

    def temporary(self, shape: tuple[int, ...], dtype: Any) -> tuple[ir.Value, Block | None]:
        """Memory for an array: on the stack if it is small, else in the arena."""
        if is_small(shape):
            count = 1
            for n in shape:
                count *= n
            return self.emitter.small_array(dtype, max(count, 1)), None
        block = self.memory.new(shape, dtype.itemsize)
        offset = self.emitter.parameter(self._first_offset + block.number)
        address = self.emitter.builder.gep(self.arena, [offset])
        pointer = self.emitter.builder.bitcast(address, memory_type(dtype).as_pointer())
        self.origins[pointer] = arena_code(self._first_offset + block.number)
        return pointer, block

    def new_place(self, var: Var) -> Memory:
        """Memory for a variable."""
        pointer, block = self.temporary(var.aval.shape, var.aval.dtype)
        if block is not None:
            self.blocks[var] = self._blocks_at[pointer] = block
        place = Memory(pointer, var.aval.shape, var.aval.dtype, self.emitter.depth)
        self.elements.storage[var] = place
        return place

    def result_place(self, var: Var, outputs: dict[Var, Memory]) -> Memory:
        """Where a step writes a result: where the caller wants it, inside of what it is joined to, over what nothing reads later, or in memory of its own."""
        dying = self._dying.get(var)
        if dying in self.blocks and self.tiled is None:
            self.overwritten[var] = dying
            return self._take_over(var, dying)
        if var in self._begun:
            self._begun.remove(var)
            place: Memory | None = self.elements.storage[var]  # type: ignore[assignment]
        else:
            place = outputs.get(var) or self._part_place(var, outputs)
        if place is None:
            return self.new_place(var)
        self.elements.storage[var] = place
        return place

    def _part_place(self, var: Var, outputs: dict[Var, Memory]) -> Memory | None:
        """The place of an array inside the one that it is joined to, unless that may have other contents until they are joined."""
        part = self.joined.get(var)
        if part is None or part.whole in self.reused or (part.whole in outputs and self.emitter.depth > 0):
            return None
        whole = self.result_place(part.whole, outputs) if part.whole not in self._begun else self.place(part.whole)
        self._begun.add(part.whole)
        emitter, start = self.emitter, 0
        for n in part.before:
            start = emitter.add(start, emitter.size(n))
        start = emitter.multiply(start, emitter.product(part.row))
        pointer = emitter.builder.gep(whole.pointer, [emitter.raw(start)])
        self.part_numbers[pointer] = part.whole, part.number
        if part.whole in self.blocks:
            self.blocks[var] = self._blocks_at[pointer] = self.blocks[part.whole]
        return Memory(pointer, var.aval.shape, var.aval.dtype, emitter.depth)

    def place(self, var: Var) -> Memory:
        """The memory of a variable that is computed; registers are written to memory first."""
        place = self.elements.storage[var]
        if isinstance(place, Registers):
            pointer = self.emitter.small_array(var.aval.dtype, max(var.aval.size, 1))
            memory = Memory(pointer, var.aval.shape, var.aval.dtype, self.emitter.depth)
            for index, value in place.values.items():
                self.elements.store(value, memory, index)
            return memory
        return place

    def scalar_value(self, atom: Atom) -> Value:
        """A value of shape () in a register."""
        return self.elements.element(atom, ()).value

    # -- Programs ---------------------------------------------------------------------------------------------------------

    def write_program(self, program: Program, outputs: dict[Var, Memory], plan: Plan | None = None) -> Plan:
        """Write a Program whose inputs are stored already; results with a place in ``outputs`` go there."""
        plan = plan_steps(program) if plan is None else plan
        shapes = {plan.aliases[v]: place for v, place in outputs.items() if v in plan.aliases}
        places = {**outputs, **{v: place._replace(shape=v.aval.shape) for v, place in shapes.items()}}
        self.elements.producers.update(plan.producers)
        scans = [e for e in program.equations if e.primitive.kernel == "scan"]
        self.read_histories.update(a for e in scans for a in e.inputs if not a.aval.is_sized)
        parts, last, outside = parts_of(plan), last_steps(plan), dict(self.parted)
        self.joined.update(parts)
        # A profile measures each loop by itself, and what takes the memory of an argument must come when its loop comes.
        chains = {} if self.clock is not None or self.reused else chains_of(plan)
        self._dying.update(overwritten_temporaries(plan, last, parts))
        self._alias(plan, -1)
        number = 0
        while number < len(plan.steps):
            chain = chains.get(number, Chain(number, number, False))
            if chain.last > number:
                self.waiting.write()
                self.tiled = TiledCalls(self, chain.backwards)
            for step_number in range(number, chain.last + 1):
                self._write_step(plan, step_number, places)
            if self.tiled is not None:
                self.tiled, tiled = None, self.tiled
                tiled.write()
            moment = self.memory.tick()
            for step_number in range(number, chain.last + 1):
                for var in last.get(step_number, ()):
                    if var in self.blocks:
                        self.memory.extend(self.blocks[var], moment)
            number = chain.last + 1
        self.waiting.write()
        for var, place in outputs.items():
            self._deliver(var, place)
        self.parted = outside  # the code that counted the work may be in a branch
        return plan

    def _write_step(self, plan: Plan, number: int, outputs: dict[Var, Memory]) -> None:
        interrupt_here()
        step = plan.steps[number]
        self.starts.append(self.memory.now)
        reading = None if self.clock is None else self.clock.start(self, len(self.starts) - 1)
        if isinstance(step, Group):
            self._write_group(plan, number, step, outputs)
        elif isinstance(step, Straight):
            self.waiting.write()
            self.computes = self.computes or self.emitter.depth > 0 or len(step.equations) > _FEW
            write_straight(self, step.equations)
        else:
            self.waiting.write()
            self._write_opaque(plan, step, outputs)
        if self.clock is not None:
            self.waiting.write()
            self.clock.stop(self, reading)
        self._alias(plan, number)

    def _alias(self, plan: Plan, number: int) -> None:
        for var, source in plan.aliases.items():
            if plan.place[var] <= number and source in self.elements.storage and var not in self.elements.storage:
                place = self.place(source)
                self.elements.storage[var] = place._replace(shape=var.aval.shape)

    def _write_opaque(self, plan: Plan, step: Opaque, outputs: dict[Var, Memory]) -> None:
        for var in step.equation.outputs:
            if var in plan.in_place:
                self._take_over(var, plan.in_place[var])
            elif var.aval.is_sized:
                self.result_place(var, outputs)
        kernel = step.equation.primitive.kernel
        if kernel in FAMILIES:
            write_outlined(self, with_part(plan.program, step.equation), FAMILIES[kernel])
        elif isinstance(kernel, ForeignKernel):
            write_foreign(self, step.equation)
        else:
            OPAQUE[kernel](self, step.equation)

    def _take_over(self, var: Var, source: Var) -> Memory:
        """Let a result have the memory of an input that is read for the last time."""
        place = self.elements.storage[source]
        assert isinstance(place, Memory)
        self.elements.storage[var] = place
        if source in self.blocks:
            self.blocks[var] = self.blocks[source]
        return place

    def _deliver(self, var: Var, place: Memory) -> None:
        """Copy a result to its place where it was not written there at once."""
        held = self.elements.storage[var]
        if isinstance(held, Registers):
            for index, value in held.values.items():
                self.elements.store(value, place, index)
        elif held.pointer is not place.pointer:
            self.copy(held, place)

    def copy(self, source: Memory, target: Memory) -> None:
        """Copy a whole array."""
        emitter = self.emitter
        count = emitter.multiply(emitter.product(source.shape), source.dtype.itemsize)
        self.copy_bytes(source.pointer, target.pointer, emitter.raw(count))

    def copy_bytes(self, source: ir.Value, target: ir.Value, count: ir.Value) -> None:
        """Copy bytes between arrays that do not overlap."""
        builder = self.emitter.builder
        copy = self.module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, I64])
        source, target = builder.bitcast(source, POINTER), builder.bitcast(target, POINTER)
        builder.call(copy, [target, source, count, ir.Constant(ir.IntType(1), 0)])

    def words_of(self, values: Sequence[ir.Value]) -> ir.Value:
        """The arguments of a kernel in memory: long code has a table of where they are found, as each word stored is three instructions."""
        return stored(self.emitter, values) if self.tables is None else self.tables.words(values)

    def shared_function(self, key: Hashable, write: Callable[[], ir.Function]) -> ir.Function:
        """A function of this module that operations with equal keys share."""
        if key not in self._shared:
            self._shared[key] = write()
        return self._shared[key]

    # -- groups -----------------------------------------------------------------------------------------------------------

    def _write_group(self, plan: Plan, number: int, group: Group, outputs: dict[Var, Memory]) -> None:
        """Write the group as a function of its own and call it."""
        scratch: dict[Var, Memory] = {}
        for var, member in group.members.items():
            if var in plan.stored or member.is_global:
                final = plan.updated.get(var, var)
                if final is not var and final in outputs:
                    self.elements.storage[var] = outputs[final]
                else:
                    self.result_place(var, outputs)
            elif var in group.scratch and not group.written_out:
                inner = var.aval.shape[len(group.prefix) :]
                pointer, _ = self.temporary(inner, var.aval.dtype)
                scratch[var] = Memory(pointer, inner, var.aval.dtype, 0, len(group.prefix))
        stored = {v for v in group.members if v in self.elements.storage} | scratch.keys()
        reduced = {v for v, m in group.members.items() if m.is_reduction}
        computed = frozenset(plan.virtual | (group.members.keys() - stored - reduced))
        reads, seen = self._external_reads(group, computed)
        arguments: dict[Var, tuple[ir.Value, Any]] = {}
        for var in [*reads, *[v for v in group.members if v in stored and self.overwritten.get(v) not in reads]]:
            held = scratch.get(var) or self.elements.storage[var]
            if isinstance(held, Registers) and var.aval.shape == ():
                value = held.values[()]
                arguments[var] = (value.ir, value)
            else:
                place = scratch.get(var) or self.place(var)
                arguments[var] = (place.pointer, place)
        self._call_kernel(group, arguments, computed, plan.neighbours if seen & plan.neighbours.copies.keys() else None)

    def _external_reads(self, group: Group, computed: frozenset[Var]) -> tuple[list[Var], set[Var]]:
        """The variables that a group reads and does not make, and all that it reads or computes."""
        found: dict[Var, None] = {}
        pending: list[Atom] = [a for m in group.members.values() for a in m.equation.inputs]
        seen: set[Var] = set()
        while pending:
            atom = pending.pop()
            if not isinstance(atom, Var) or atom in seen:
                continue
            seen.add(atom)
            if atom in computed:
                pending += self.elements.producers[atom].inputs
            elif atom not in group.members:
                found[atom] = None
        return list(found), seen

    def _call_kernel(
        self,
        group: Group,
        arguments: dict[Var, tuple[ir.Value, Any]],
        computed: frozenset[Var],
        neighbours: Neighbours | None,
    ) -> None:
        overwritten = {v: self.overwritten[v] for v in group.members if self.overwritten.get(v) in arguments}
        made = {v: self.parted[p] for v, (p, _) in arguments.items() if p in self.parted and v not in group.members}
        most = most_work(group, self.elements.storage, made)
        key: Hashable = None
        if not self.has_one_group:
            key = kernel_key(group, arguments, overwritten, self.elements.producers, self.canonical, self.scalars)
            key = (key, most >= 2 * GRAIN)
        if key not in self._functions:
            try:
                self._functions[key] = self._write_kernel(group, arguments, overwritten, computed, neighbours, most)
            except NotWidened:
                self._functions[key] = self._write_kernel(group, arguments, overwritten, computed, None, most)
        function, run = self._functions[key]
        passed = [self._argument(group, var, value) for var, (value, _) in arguments.items()]
        turns: Ix = 1
        if run is not None:
            sizes, elements_per_turn = run
            turns = self.emitter.add(self.emitter.product(sizes), elements_per_turn - 1)
            turns, _ = self.emitter.divide(turns, elements_per_turn)
        results = {*group.members, *overwritten.values()}
        written = {number for number, var in enumerate(arguments) if var in results}
        blocks = [self._blocks_at[a.value] for a in passed if a.value in self._blocks_at]
        work = 0 if run is None else group_work(self.emitter, group, self.elements.storage, made)
        if made:
            self.parted.update({arguments[v][0]: work for v in group.members if v in arguments})
        together = self.waiting if self.tiled is None else self.tiled
        together.add(Call(function, passed, written, turns, work, 0 if run is None else most), blocks)

    def _write_kernel(
        self,
        group: Group,
        arguments: dict[Var, tuple[ir.Value, Any]],
        overwritten: dict[Var, Var],
        computed: frozenset[Var],
        neighbours: Neighbours | None,
        most: int,
    ) -> tuple[ir.Function, Any]:
        """The function of a group of at most so much work, and what its turns are."""
        types = [*[a.type for a, _ in arguments.values()], self.sizes.type, I64, I64]
        self.calls_kernels = True
        function = self.parts.new(types)
        sizes, begin, end = function.args[-3:]
        inner = Emitter(function, sizes, self.canonical.symbols)
        elements = Elements(inner, self.elements.producers, self.scalars)
        for (var, (_, held)), argument in zip(arguments.items(), function.args, strict=False):
            if isinstance(held, Memory):
                argument.add_attribute("noalias")
                argument.add_attribute("nonnull")
                elements.storage[var] = held._replace(pointer=argument, floor=0)
            else:
                elements.storage[var] = Registers({(): Value(argument, var.aval.dtype)})
        for var, taken in overwritten.items():
            elements.storage[var] = elements.storage[taken]
        if neighbours is not None and not overwritten and group.is_one_row:
            size = max(v.aval.dtype.itemsize for v in (*group.members, *neighbours.copies))
            lanes = min(2 * max(host_target().vector_bits // (8 * size), 4), LONG // 4)
            elements.beside = Beside(inner, neighbours.copies, neighbours.reach > 0, lanes, group.prefix[0])
        # Only what may be worth it runs in chunks; the others know their bounds.
        may_be_long = most >= 2 * GRAIN
        bounds = (Index(begin, 0), Index(end, 0)) if may_be_long else None
        writer = KernelWriter(inner, elements, group, computed, bounds, tuple(overwritten.values()))
        self.parts.announce(function.module, lambda: writer.row)
        writer.write()
        inner.finish()
        return self.parts.finish(inner, "kernel", self.module), writer.turns if may_be_long else None

    def _argument(self, group: Group, var: Var, value: ir.Value) -> Argument:
        """What the kernel gets for a variable: chunks have scratch memory and partial results of their own."""
        member = group.members.get(var)
        if member is None:
            return Argument(value)
        if member.is_global:
            kernel = member.equation.primitive.kernel
            return Argument(value, self.emitter.product(var.aval.shape), var.aval.dtype, kernel)
        if var in group.scratch and self.elements.storage.get(var) is None:
            return Argument(value, self.emitter.product(var.aval.shape[len(group.prefix) :]), var.aval.dtype)
        return Argument(value)


def compile_segment(
    name: str, program: Program, canonical: Canonical, is_brief: bool = False
) -> tuple[Lowering, list[str], dict[tuple[str, ...], bytes]]:
    """Write a Program, which may be brief, as a function ``name`` and compile it; gives also what it calls, and its object files by what they define."""
    coming: dict[str, bytes | Callable[[], bytes]] = {}
    likely = [*([DISPATCH] if may_share_loops(program) else []), *expected_symbols(program, is_brief)]
    with Workers(0 if is_brief else 2) as workers:
        prepare(likely, workers)  # beside the writing of the kernels

        def take(part: str, source: Source, symbols: list[str]) -> None:
            # Kernels are shared with other segments, which have no use for this one's own function.
            coming[part] = linked_part(part) or workers.compile(source, alone=part == name)
            prepare(symbols, workers)
            likely.extend(symbols)

        def expect(symbol: str) -> None:
            prepare([symbol], workers)
            likely.append(symbol)

        lowering = lower_segment(name, program, canonical, take, None, expect, is_brief)
        dismantle(lowering.module)
        link_coming(likely)
        objects = by_names({part: code if isinstance(code, bytes) else code() for part, code in coming.items()})
        symbols = outside_symbols(name, objects)
        prepare(symbols, workers)
    return lowering, symbols, objects


def lower_segment(
    name: str,
    program: Program,
    canonical: Canonical,
    take: Take,
    clock: Any = None,
    expect: Expect | None = None,
    is_brief: bool = False,
) -> Lowering:
    """Write a Program as a function of its inputs, constants and outputs; with a clock, of what it measures as well.

    ``take`` gets the kernels as soon as they are written, and at last the segment's function; ``expect`` gets math functions while their loops are written.
    """
    donated, plan = canonical.donated, plan_steps(program, has_own_results=True)
    if donated and may_check(program):
        if _lowered(name, program, plan, canonical, lambda *part: None, None, donated).emitter.may_leave:
            # A run that fails is repeated operation by operation, and so its arguments must be left alone.
            donated = ()
    return _lowered(name, program, plan, canonical, take, clock, donated, expect, is_brief)


def _lowered(
    name: str,
    program: Program,
    plan: Plan,
    canonical: Canonical,
    take: Take,
    clock: Any,
    donated: Sequence[int],
    expect: Expect | None = None,
    is_brief: bool = False,
) -> Lowering:
    lowering = Lowering(f"{name}_body", canonical, take, clock, expect, is_brief)
    if len(plan.steps) > _SHORT:
        lowering.tables = Tables(lowering)
    for number, var in enumerate((*program.inputs, *program.constants)):
        lowering.elements.storage[var] = lowering.buffer(number, var)
    first = len(program.inputs) + len(program.constants)
    for var, _ in nested_constants(program):
        lowering.constant_places[var] = lowering.buffer(first, var)
        first += 1
    outputs = {
        var: lowering.buffer(first + number, var) for number, var in enumerate(program.outputs) if isinstance(var, Var)
    }
    if donated:
        lowering.reused = reused_memory(plan, [program.inputs[k] for k in donated])
        inputs, results = list(program.inputs), list(program.outputs)
        for out, taken in lowering.reused.items():
            outputs[out] = lowering.elements.storage[taken]  # type: ignore[assignment]
            lowering.overwritten[out] = taken
            lowering.reused_numbers.append((results.index(out), inputs.index(taken)))
    if clock is not None:
        clock.place = lowering.words(first + len(program.outputs))
    groups = [step for step in plan.steps if not isinstance(step, Straight)]
    lowering.has_one_group = len(groups) == 1 and isinstance(groups[0], Group)
    lowering.write_program(program, outputs, plan)
    lowering.emitter.finish(ir.Constant(I64, 0))
    drop_casts(lowering.emitter.function)
    if lowering.libraries:
        make_cold(add_guards(lowering.module, lowering.emitter.function, name, lowering.libraries))
    else:
        lowering.emitter.function.name = name
    is_cold = lowering.calls_kernels and not lowering.computes
    passes = "" if is_cold else "all" if has_loops(lowering.emitter.function) else "few"
    is_long = passes == "few" and sum(len(b.instructions) for b in lowering.emitter.function.blocks) > _LONG
    source = Source(module_text(lowering.module), 0 if is_cold or is_long or is_brief else 2, passes)
    take(name, source, likely_symbols(lowering.module, False))
    return lowering
