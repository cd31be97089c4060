"""Operations with loops of their own, each written as a function of its own: its arrays are known not to overlap, so LLVM can vectorise.

What an operation reads it reads element by element through :class:`~fad.compiler.llvm.elements.Elements`, so views of arrays need no copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.elements import Elements, Ixs, Memory, Registers
from fad.compiler.llvm.emission import I64, POINTER, Emitter, Index, Ix
from fad.compiler.llvm.parallel import GRAIN, Argument, call_kernel
from fad.compiler.llvm.scalar_value import Value
from fad.compiler.size_classes import most_size
from fad.core.program import Atom, Equation, Literal, Var

__all__ = ["Outlined", "Sharing", "write_outlined"]

_BIT = ir.IntType(1)


def depth_of(*numbers: Ix) -> int:
    """The number of the innermost scope that some of the integers depends on."""
    return max([x.depth for x in numbers if isinstance(x, Index)], default=0)


class Outlined:
    """The function of one operation while it is written.

    Attributes
    ----------
    emitter : Emitter
        Writes the function.
    elements : Elements
        Gives elements of what the operation reads.
    outputs : list of Memory
        Where the results go.
    scratch : list of Memory
        Temporary arrays.
    taken_over : set of Var
        Inputs whose memory is that of a result.
    turns : tuple of int or Index
        Which turns of the outermost loop this call makes, where several calls share them.
    """

    def __init__(self, emitter: Emitter, elements: Elements, turns: tuple[Ix, Ix]):
        self.emitter, self.elements, self.turns = emitter, elements, turns
        self.outputs: list[Memory] = []
        self.scratch: list[Memory] = []
        self.taken_over: set[Var] = set()
        self._failed: ir.Value | None = None

    @property
    def can_fail(self) -> bool:
        """Whether the operation checks anything."""
        return self._failed is not None

    def value(self, atom: Atom, index: Ixs, dtype: Any = None) -> Value:
        """An element of an input, converted if a dtype is given."""
        found = self.elements.element(atom, index).value
        return found if dtype is None else self.emitter.scalar.astype(found, dtype)

    def store(self, value: Value, index: Ixs, output: int = 0) -> None:
        """Write an element of a result."""
        self.elements.store(value, self.outputs[output], index)

    def load(self, index: Ixs, output: int = 0) -> Value:
        """Read an element of a result back."""
        place = self.outputs[output]
        return self.emitter.scalar.load(self.elements.pointer(place, index), place.dtype)

    def storage(self, atom: Atom) -> Memory | None:
        """The memory of an input, ``None`` if it is a view or a single value."""
        place = None if isinstance(atom, Literal) else self.elements.storage.get(atom)
        return place if isinstance(place, Memory) else None

    @contextmanager
    def loops(self, shape: Sequence[int], shared: bool = False, plain: bool = False) -> Iterator[Ixs]:
        """Loops over all indices of a shape, the last axis innermost; their body is written inside the block.

        If ``shared``, the outermost loop makes only the turns of this call. LLVM is asked not to unroll ``plain`` loops.
        """
        with ExitStack() as stack:
            index: list[Ix] = []
            for axis, n in enumerate(shape):
                if shared and axis == 0:
                    index.append(stack.enter_context(self.emitter.loop(*self.turns, plain=plain)))
                elif n == 1:
                    index.append(0)
                else:
                    index.append(stack.enter_context(self.emitter.loop(0, self.emitter.size(n), plain=plain)))
            yield tuple(index)

    def clear(self) -> None:
        """Set every element of the first result to 0."""
        emitter, place = self.emitter, self.outputs[0]
        size = emitter.multiply(emitter.product(place.shape), place.dtype.itemsize)
        emitter.clear(emitter.builder.bitcast(place.pointer, POINTER), size)

    def copy(self, atom: Atom) -> None:
        """Copy an input into the first result, which has its shape."""
        source, target = self.storage(atom), self.outputs[0]
        if source is None or source.dtype != target.dtype:
            with self.loops(atom.aval.shape) as index:
                self.store(self.value(atom, index, target.dtype), index)
            return
        emitter, builder = self.emitter, self.emitter.builder
        count = emitter.multiply(emitter.product(target.shape), target.dtype.itemsize)
        copy = emitter.function.module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, I64])
        places = [builder.bitcast(p.pointer, POINTER) for p in (target, source)]
        builder.call(copy, [*places, emitter.raw(count), ir.Constant(ir.IntType(1), 0)])

    @contextmanager
    def only_if(self, condition: ir.Value) -> Iterator[None]:
        """What is written inside the block runs only where the condition, a bit, holds."""
        with self.emitter.choice(self.emitter.builder.zext(condition, I64), 2) as enter:
            with enter(0):
                pass
            with enter(1):
                yield

    def fail_if(self, condition: ir.Value, depth: int) -> None:
        """Note an error where the condition, known at some depth, holds. The code goes on, so it must stay inside its arrays."""
        if self._failed is None:
            self._failed = self.emitter.variable(I64)
            self.emitter.entry.store(ir.Constant(I64, 0), self._failed)
        builder = self.emitter.scopes[depth].builder
        noted = builder.or_(builder.load(self._failed), builder.zext(condition, I64))
        builder.store(noted, self._failed)

    def finish(self, error: ir.Value) -> None:
        """Close the function; where something is checked it leaves 0 or the number of the error at an address."""
        if self._failed is not None:
            self.emitter.builder.store(self.emitter.builder.load(self._failed), error)
        self.emitter.finish()


def _leaves(lowering: Any, equation: Equation) -> list[Var]:
    """The stored variables that an operation reads, through views."""
    found: dict[Var, None] = {}
    pending: list[Atom] = list(equation.inputs)
    while pending:
        atom = pending.pop()
        if not isinstance(atom, Var) or atom in found:
            continue
        if atom in lowering.elements.storage:
            found[atom] = None
        else:
            pending += lowering.elements.producers[atom].inputs
    return list(found)


def _arguments(lowering: Any, variables: Sequence[Var]) -> dict[Var, tuple[ir.Value, Memory | Value]]:
    """What is passed for each variable: its address, or the value itself where it is a single one in a register."""
    passed: dict[Var, tuple[ir.Value, Memory | Value]] = {}
    for var in variables:
        held = lowering.elements.storage[var]
        if isinstance(held, Registers) and var.aval.shape == ():
            passed[var] = (held.values[()].ir, held.values[()])
        else:
            place = lowering.place(var)
            passed[var] = (place.pointer, place)
    return passed


class Sharing(NamedTuple):
    """How the outermost loop of an operation is shared between threads.

    Attributes
    ----------
    turns : int or callable
        How many turns it has; or what writes that number, for code that is written by the given emitter.
    work : tuple of int
        Sizes whose product is proportional to the work.
    weight : tuple of int
        Numerator and denominator: how much work one unit of that product is, see :data:`~fad.compiler.llvm.parallel.GRAIN`.
    reduction : str
        How the results of several calls are combined; empty if each call writes its own part.
    """

    turns: int | Callable[[Emitter], Ix]
    work: tuple[int, ...]
    weight: tuple[int, int]
    reduction: str = ""

    def count(self, emitter: Emitter) -> Ix:
        """The number of turns."""
        return self.turns(emitter) if callable(self.turns) else emitter.size(self.turns)

    @property
    def may_be_long(self) -> bool:
        """Whether there may be work for several threads, for any sizes that share the code."""
        return self.turns != 1 and math.prod(map(most_size, self.work)) * self.weight[0] >= 2 * GRAIN * self.weight[1]


def write_outlined(lowering: Any, equation: Equation, family: Any) -> None:
    """Write an operation as a function and call it; where it finds an error, leave the segment's function."""
    inputs = _arguments(lowering, _leaves(lowering, equation))
    outs = [lowering.elements.storage[v] for v in equation.outputs]
    taken_over = {v for v, (pointer, _) in inputs.items() if any(pointer is o.pointer for o in outs)}
    inputs = {v: passed for v, passed in inputs.items() if v not in taken_over}
    scratch = [Memory(lowering.temporary(shape, dtype)[0], shape, dtype) for shape, dtype in family.scratch(equation)]
    error = Memory(lowering.emitter.small_array(np.dtype(np.int64), 1), (), np.dtype(np.int64))
    places = [*outs, *scratch, error]
    types = [p.type for p, _ in inputs.values()] + [p.pointer.type for p in places] + [lowering.sizes.type, I64, I64]
    function = lowering.parts.new(types)
    sharing = family.sharing(equation)
    kernel = _start(lowering, function, inputs, sharing)
    for argument, place in zip(function.args[len(inputs) : -3], places, strict=True):
        argument.add_attribute("noalias")
        kernel.outputs.append(place._replace(pointer=argument, floor=0))
    kernel.taken_over = taken_over
    kernel.scratch = kernel.outputs[len(outs) : -1]
    kernel.outputs, error_place = kernel.outputs[: len(outs)], kernel.outputs[-1]
    family.write(kernel, equation)
    kernel.finish(error_place.pointer)
    function = lowering.parts.finish(kernel.emitter, equation.primitive.kernel, lowering.module)
    lowering.calls_kernels = True
    if family.uses_lapack:
        lowering.libraries.add("lapack")
    passed = [Argument(value) for value, _ in inputs.values()]
    passed += [_shared_argument(lowering, p, sharing, (sharing and sharing.reduction) or None) for p in outs]
    passed += [_shared_argument(lowering, p, sharing, "") for p in scratch]
    passed.append(_shared_argument(lowering, error, sharing, "reduce_max" if kernel.can_fail else ""))
    work = _call(lowering, function, passed, sharing)
    if work is not None and sharing is not None and not sharing.reduction:
        lowering.parted.update({o.pointer: work for o in outs})
    if kernel.can_fail:
        lowering.emitter.leave_unless_zero(lowering.emitter.builder.load(error.pointer))


def _start(
    lowering: Any,
    function: ir.Function,
    inputs: dict[Var, tuple[ir.Value, Memory | Value]],
    sharing: Sharing | None,
) -> Outlined:
    """The function with its inputs known by name."""
    sizes, begin, end = function.args[-3:]
    emitter = Emitter(function, sizes, lowering.canonical.symbols)
    elements = Elements(emitter, lowering.elements.producers, lowering.scalars)
    for (var, (_, held)), argument in zip(inputs.items(), function.args, strict=False):
        if isinstance(held, Memory):
            argument.add_attribute("noalias")
            elements.storage[var] = held._replace(pointer=argument, floor=0)
        else:
            elements.storage[var] = Registers({(): Value(argument, var.aval.dtype)})
    # What is never shared knows its bounds.
    turns: tuple[Ix, Ix] = (0, 1) if sharing is None else (0, sharing.count(emitter))
    if sharing is not None and sharing.may_be_long:
        turns = (Index(begin, 0), Index(end, 0))
    return Outlined(emitter, elements, turns)


def _shared_argument(lowering: Any, place: Memory, sharing: Sharing | None, reduction: str | None) -> Argument:
    """Memory that all calls write parts of, or that each of them has of its own."""
    if sharing is None or reduction is None:
        return Argument(place.pointer)
    return Argument(place.pointer, lowering.emitter.product(place.shape), place.dtype, reduction)


def _call(lowering: Any, function: ir.Function, passed: Sequence[Argument], sharing: Sharing | None) -> Ix | None:
    """Call the function; gives the work where threads may share it."""
    emitter = lowering.emitter
    if sharing is None or not sharing.may_be_long:
        call_kernel(lowering, function, passed, 0, 0, False)
        return None
    work = emitter.multiply(emitter.product(sharing.work), sharing.weight[0])
    work, _ = emitter.divide(work, sharing.weight[1])
    call_kernel(lowering, function, passed, sharing.count(emitter), work, True)
    return work
