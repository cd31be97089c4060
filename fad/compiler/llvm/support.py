"""Which equations have a native lowering; for the others, why not."""

from __future__ import annotations

from fad.compiler.access import REDUCTIONS
from fad.compiler.foreign import ForeignKernel
from fad.compiler.llvm.families import FAMILIES
from fad.compiler.llvm.products import supports_product
from fad.compiler.llvm.rules import rule_of
from fad.compiler.nested import nested_programs
from fad.compiler.operand_types import PARTS, TRANSFORMS, computes_natively, holds
from fad.compiler.passes.narrow_floats import MOVES
from fad.core.avals import bfloat16
from fad.core.program import Equation

__all__ = ["UNSIZED", "refusal"]

UNSIZED = "its size is known only at run time"


def refusal(equation: Equation) -> str | None:
    """``None`` if the equation can be compiled, else the reason why not."""
    kernel = equation.primitive.kernel
    if kernel is None or equation.params.get("effect"):
        return "it has no native lowering"
    atoms = (*equation.inputs, *equation.outputs)
    for atom in atoms:
        if not holds(atom.aval.dtype) and equation.primitive.name not in PARTS and kernel not in TRANSFORMS:
            return f"native kernels do not hold {atom.aval.dtype}"
        if not atom.aval.is_sized and kernel not in ("scan", "while"):
            return UNSIZED
    if isinstance(kernel, ForeignKernel):
        return kernel.refusal(equation)
    if kernel in ("scan", "while", "cond"):
        return _inner_refusal(equation)
    if equation.primitive.name not in MOVES and bfloat16 in [a.aval.dtype for a in atoms]:
        return "native kernels do not compute in bfloat16 here"
    if callable(kernel):
        return computes_natively(equation)
    if kernel in REDUCTIONS or rule_of(equation) is not None:
        return None
    if kernel in FAMILIES:
        return FAMILIES[kernel].refusal(equation)
    if kernel == "dot_general":
        return supports_product(equation)
    if kernel == "concatenate":
        return None
    return "it has no native lowering"


def _inner_refusal(equation: Equation) -> str | None:
    """Why a loop or branch cannot be compiled: because of what is inside it."""
    for program in nested_programs(equation):
        for inner in program.equations:
            reason = refusal(inner)
            if reason is not None:
                return f"{inner.primitive.name} inside it: {reason}"
    return None
