"""Operations with loops of their own, each written as a function of its own: its arrays are known not to overlap, so LLVM can vectorise.

What an operation reads it reads element by element through :class:`~fad.compiler.llvm.elements.Elements`, so views of arrays need no copy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import llvmlite.ir as ir

from fad.compiler.llvm.elements import Elements, Ixs, Memory, Registers
from fad.compiler.llvm.emission import I64, Emitter, Index, Ix
from fad.compiler.llvm.scalar_value import Value
from fad.core.program import Atom, Equation, Literal, Var

__all__ = ["Outlined", "depth_of", "write_outlined"]

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
    """

    def __init__(self, emitter: Emitter, elements: Elements):
        self.emitter, self.elements = emitter, elements
        self.outputs: list[Memory] = []
        self.scratch: list[Memory] = []
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
    def loops(self, shape: Sequence[int]) -> Iterator[Ixs]:
        """Loops over all indices of a shape, the last axis innermost; their body is written inside the block."""
        with ExitStack() as stack:
            yield tuple(
                [0 if n == 1 else stack.enter_context(self.emitter.loop(0, self.emitter.size(n))) for n in shape]
            )

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

    def result(self) -> ir.Value:
        """0, or the number of the error."""
        return ir.Constant(I64, 0) if self._failed is None else self.emitter.builder.load(self._failed)


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


def write_outlined(lowering: Any, equation: Equation, family: Any) -> None:
    """Write an operation as a function and call it; where it finds an error, leave the segment's function."""
    passed = _arguments(lowering, _leaves(lowering, equation))
    outs = [lowering.elements.storage[v] for v in equation.outputs]
    for shape, dtype in family.scratch(equation):
        outs.append(Memory(lowering.temporary(shape, dtype)[0], shape, dtype))
    types = [p.type for p, _ in passed.values()] + [o.pointer.type for o in outs] + [lowering.sizes.type]
    name = lowering.module.get_unique_name(f"{lowering.name}_{equation.primitive.name}")
    function = ir.Function(lowering.module, ir.FunctionType(I64, types), name)
    function.linkage = "internal"
    emitter = Emitter(function, function.args[-1], lowering.canonical.symbols)
    elements = Elements(emitter, lowering.elements.producers, lowering.scalars)
    kernel = Outlined(emitter, elements)
    for (var, (_, held)), argument in zip(passed.items(), function.args, strict=False):
        if isinstance(held, Memory):
            argument.add_attribute("noalias")
            elements.storage[var] = held._replace(pointer=argument, floor=0)
        else:
            elements.storage[var] = Registers({(): Value(argument, var.aval.dtype)})
    for argument, out in zip(function.args[len(passed) :], outs, strict=False):
        argument.add_attribute("noalias")
        kernel.outputs.append(out._replace(pointer=argument, floor=0))
    count = len(equation.outputs)
    kernel.outputs, kernel.scratch = kernel.outputs[:count], kernel.outputs[count:]
    family.write(kernel, equation)
    emitter.finish(kernel.result())
    arguments = [p for p, _ in passed.values()] + [o.pointer for o in outs] + [lowering.sizes]
    code = lowering.emitter.builder.call(function, arguments)
    if kernel.can_fail:
        lowering.emitter.leave_unless_zero(code)
