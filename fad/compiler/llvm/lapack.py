"""Calls of LAPACK from compiled code, and for which matrices they can be made."""

from __future__ import annotations

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I32, POINTER, Ix
from fad.compiler.llvm.library_calls import lapack_symbol
from fad.compiler.llvm.outlined import Outlined, Sharing
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.scalar_value import llvm_type
from fad.core.program import Equation

__all__ = ["INT32", "Lapack", "call_checked", "is_empty", "linear_refusal", "linear_sharing", "matrix_address"]

INT32 = np.dtype(np.int32)
"""LAPACK's integers."""


def linear_refusal(equation: Equation) -> str | None:
    """``None`` if LAPACK has the operation for these dtypes, else why not."""
    dtypes = {a.aval.dtype.char for a in (*equation.inputs, *equation.outputs) if a.aval.dtype != INT32}
    if len(dtypes) != 1 or dtypes - {"f", "d"}:
        return f"linear algebra of {equation.inputs[0].aval.dtype}"
    if any(n >= 2**31 for a in equation.inputs for n in a.aval.shape):
        return "a matrix with 2**31 rows or columns"
    return None


def linear_sharing(equation: Equation) -> Sharing | None:
    """Threads share the matrices of a stack."""
    shape = equation.inputs[0].aval.shape
    return Sharing(shape[0], (*shape, shape[-1]), (4, 1)) if len(shape) > 2 else None


class Lapack:
    """Calls of LAPACK and BLAS, whose arguments are all addresses."""

    def __init__(self, kernel: Outlined, dtype: np.dtype):
        self.emitter = kernel.emitter
        self._letter = "d" if dtype.itemsize == 8 else "s"
        self._kind = llvm_type(dtype)

    def integer(self, n: Ix) -> ir.Value:
        """The address of an integer."""
        emitter = self.emitter
        return self.emitter.placed(emitter.builder.trunc(emitter.raw(n), I32))

    def letter(self, letter: str) -> ir.Value:
        """The address of an option."""
        return self.emitter.placed(ir.Constant(POINTER.pointee, ord(letter)))

    def number(self, number: float) -> ir.Value:
        """The address of a constant of the matrix's dtype."""
        return self.emitter.placed(ir.Constant(self._kind, number))

    def call(self, name: str, *addresses: ir.Value) -> None:
        """Call a function by its name without the letter of the dtype."""
        symbol, module = lapack_symbol(self._letter + name), self.emitter.function.module
        if symbol not in module.globals:
            kind = ir.FunctionType(ir.VoidType(), [a.type for a in addresses])
            ir.Function(module, kind, symbol)
        self.emitter.builder.call(module.globals[symbol], addresses)


def call_checked(kernel: Outlined, lapack: Lapack, name: str, *addresses: ir.Value) -> None:
    """Call a function that reports success at its last address."""
    information = kernel.emitter.variable(I32)
    lapack.call(name, *addresses, information)
    builder = kernel.emitter.builder
    failed = builder.icmp_signed("!=", builder.load(information), ir.Constant(I32, 0))
    kernel.fail_if(failed, kernel.emitter.depth)


def matrix_address(kernel: Outlined, place: Memory, lead: Ixs) -> ir.Value:
    """The address of one matrix of a stack."""
    return kernel.elements.pointer(place, (*lead, *(0,) * (len(place.shape) - len(lead))))


def is_empty(equation: Equation) -> bool:
    """Whether an operation reads or writes nothing."""
    return any(0 in a.aval.shape for a in (*equation.inputs, *equation.outputs))
