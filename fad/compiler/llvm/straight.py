"""Operations on small values of known size, written out element by element; the elements stay in registers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from itertools import product
from typing import Any

from fad.compiler.access import REDUCTIONS
from fad.compiler.llvm.elements import Registers
from fad.compiler.llvm.reductions import combine, constant_identity
from fad.compiler.llvm.scalar import Value
from fad.core.interruptions import interrupt_here
from fad.core.program import Equation

__all__ = ["write_straight"]


def write_straight(lowering: Any, equations: Sequence[Equation]) -> None:
    """Write the equations at the lowering's current position."""
    elements = lowering.elements
    for equation in equations:
        interrupt_here()
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
    values = [lowering.elements.element(x, position).value for position in product(*ranges)]
    if kernel == "reduce_sum" or not values:
        values.insert(0, constant_identity(kernel, k, equation.outputs[0].aval.dtype))
    return reduce(partial(combine, kernel, k), values)
