"""Operations on small values of known size, written out element by element; the elements stay in registers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from fad.compiler.fusion import REDUCTIONS
from fad.compiler.llvm.elements import Registers
from fad.compiler.llvm.reductions import combine, constant_identity
from fad.compiler.llvm.scalar import Value
from fad.core.program import Equation

__all__ = ["write_straight"]


def write_straight(lowering: Any, equations: Sequence[Equation]) -> None:
    """Write the equations at the lowering's current position."""
    elements = lowering.elements
    for equation in equations:
        (out,) = equation.outputs
        indices = list(product(*[range(n) for n in out.aval.shape]))
        if equation.primitive.kernel in REDUCTIONS:
            values = {index: _reduced(lowering, equation, index) for index in indices}
        else:
            values = {index: elements.compute(equation, index).value for index in indices}
        elements.storage[out] = Registers(values, lowering.emitter.depth)


def _reduced(lowering: Any, equation: Equation, index: tuple[int, ...]) -> Value:
    (x,) = equation.inputs
    axes, shape = equation.params["axes"], x.aval.shape
    kernel, k = equation.primitive.kernel, lowering.emitter.scalar
    kept = iter(index)
    ranges = [range(n) if a in axes else (next(kept),) for a, n in enumerate(shape)]
    total: Value | None = None
    for position in product(*ranges):
        value = lowering.elements.element(x, tuple(position)).value
        total = value if total is None else combine(kernel, k, total, value)
    if total is None:
        return constant_identity(kernel, k, equation.outputs[0].aval.dtype, empty=True)
    return total
