"""Stacks of linear systems through LAPACK: Cholesky factors, solutions, inverses, triangular systems.

LAPACK counts in columns, so a matrix in C order is its transpose there. Where it reports a singular matrix the operation reports an error, and
evaluating it in Python explains it.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I32, POINTER, Ix
from fad.compiler.llvm.library_calls import lapack_symbol
from fad.compiler.llvm.outlined import Outlined, Sharing
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.scalar_value import Value, llvm_type
from fad.core.program import Equation

__all__ = [
    "linear_refusal",
    "linear_sharing",
    "system_scratch",
    "write_cholesky",
    "write_solve",
    "write_solve_triangular",
]

_INT32 = np.dtype(np.int32)


def linear_refusal(equation: Equation) -> str | None:
    """``None`` if LAPACK has the operation for these dtypes, else why not."""
    dtypes = {a.aval.dtype.char for a in (*equation.inputs, *equation.outputs)}
    if len(dtypes) != 1 or dtypes - {"f", "d"}:
        return f"linear algebra of {equation.inputs[0].aval.dtype}"
    if any(n >= 2**31 for a in equation.inputs for n in a.aval.shape):
        return "a matrix with 2**31 rows or columns"
    return None


def linear_sharing(equation: Equation) -> Sharing | None:
    """Threads share the matrices of a stack."""
    shape = equation.inputs[0].aval.shape
    return Sharing(shape[0], (*shape, shape[-1]), (4, 1)) if len(shape) > 2 else None


def system_scratch(equation: Equation) -> list[tuple[tuple[int, ...], np.dtype]]:
    """What solving needs: the matrix by columns, the right-hand sides by columns, the pivots."""
    a, out = equation.inputs[0].aval, equation.outputs[0].aval
    n, columns = a.shape[-1], out.shape[-1]
    return [((n, n), a.dtype), ((columns, n), a.dtype), ((n,), _INT32)]


class _Lapack:
    """Calls of LAPACK and BLAS, whose arguments are all addresses."""

    def __init__(self, kernel: Outlined, dtype: np.dtype):
        self.emitter = kernel.emitter
        self._letter = "d" if dtype.itemsize == 8 else "s"
        self._kind = llvm_type(dtype)

    def integer(self, n: Ix) -> ir.Value:
        """The address of an integer."""
        emitter = self.emitter
        return self._placed(emitter.builder.trunc(emitter.raw(n), I32))

    def letter(self, letter: str) -> ir.Value:
        """The address of an option."""
        return self._placed(ir.Constant(POINTER.pointee, ord(letter)))

    def number(self, number: float) -> ir.Value:
        """The address of a constant of the matrix's dtype."""
        return self._placed(ir.Constant(self._kind, number))

    def _placed(self, value: ir.Value) -> ir.Value:
        place = self.emitter.variable(value.type)
        self.emitter.builder.store(value, place)
        return place

    def call(self, name: str, *addresses: ir.Value) -> None:
        """Call a function by its name without the letter of the dtype."""
        symbol, module = lapack_symbol(self._letter + name), self.emitter.function.module
        if symbol not in module.globals:
            kind = ir.FunctionType(ir.VoidType(), [a.type for a in addresses])
            ir.Function(module, kind, symbol)
        self.emitter.builder.call(module.globals[symbol], addresses)


def _check(kernel: Outlined, lapack: _Lapack, name: str, *addresses: ir.Value) -> None:
    """Call a function that reports success at its last address."""
    information = kernel.emitter.variable(I32)
    lapack.call(name, *addresses, information)
    builder = kernel.emitter.builder
    failed = builder.icmp_signed("!=", builder.load(information), ir.Constant(I32, 0))
    kernel.fail_if(failed, kernel.emitter.depth)


def _address(kernel: Outlined, place: Memory, lead: Ixs) -> ir.Value:
    return kernel.elements.pointer(place, (*lead, *(0,) * (len(place.shape) - len(lead))))


def _is_empty(kernel: Outlined, equation: Equation) -> bool:
    return any(0 in a.aval.shape for a in (*equation.inputs, *equation.outputs))


def write_cholesky(kernel: Outlined, equation: Equation) -> None:
    """Write the lower Cholesky factors of the symmetric parts."""
    (a,) = equation.inputs
    *stack, n, _ = a.aval.shape
    if _is_empty(kernel, equation):
        return
    lapack, size = _Lapack(kernel, a.aval.dtype), kernel.emitter.size(n)
    with kernel.loops(stack, shared=bool(stack)) as lead:
        with kernel.loops((n, n)) as (i, j):
            k = kernel.emitter.scalar
            both = k.add(kernel.value(a, (*lead, i, j)), kernel.value(a, (*lead, j, i)))
            inside = k.builder.icmp_signed("<=", kernel.emitter.raw(j), kernel.emitter.raw(i))
            half = k.multiply(both, k.constant(0.5, both.dtype))
            kernel.store(Value(k.builder.select(inside, half.ir, k.zero(half).ir), half.dtype), (*lead, i, j))
        place = _address(kernel, kernel.outputs[0], lead)
        _check(kernel, lapack, "potrf", lapack.letter("U"), lapack.integer(size), place, lapack.integer(size))


def write_solve(kernel: Outlined, equation: Equation) -> None:
    """Write solutions of systems, or inverses: solutions for the identity."""
    a, *rest = equation.inputs
    *stack, n, columns = equation.outputs[0].aval.shape
    if _is_empty(kernel, equation):
        return
    elements, emitter = kernel.elements, kernel.emitter
    lapack, (matrix, right, pivots) = _Lapack(kernel, a.aval.dtype), kernel.scratch
    with kernel.loops(stack, shared=bool(stack)) as lead:
        with kernel.loops((n, n)) as (i, j):
            elements.store(kernel.value(a, (*lead, i, j)), matrix, (j, i))
        with kernel.loops((n, columns)) as (i, c):
            value = kernel.value(rest[0], (*lead, i, c)) if rest else _identity(kernel, i, c, right.dtype)
            elements.store(value, right, (c, i))
        size = lapack.integer(emitter.size(n))
        places = [_address(kernel, m, ()) for m in (matrix, pivots, right)]
        _check(kernel, lapack, "gesv", size, lapack.integer(emitter.size(columns)), places[0], size, *places[1:], size)
        with kernel.loops((n, columns)) as (i, c):
            kernel.store(elements.load(right, (c, i)), (*lead, i, c))


def _identity(kernel: Outlined, i: Ix, j: Ix, dtype: np.dtype) -> Value:
    k, emitter = kernel.emitter.scalar, kernel.emitter
    same = k.builder.icmp_signed("==", emitter.raw(i), emitter.raw(j))
    return Value(k.builder.select(same, k.constant(1, dtype).ir, k.constant(0, dtype).ir), dtype)


def write_solve_triangular(kernel: Outlined, equation: Equation) -> None:
    """Write solutions of triangular systems."""
    a, b = equation.inputs
    *stack, n, columns = b.aval.shape
    if 0 in a.aval.shape:
        return
    with kernel.loops(stack, shared=bool(stack)) as lead:
        if not equation.params["unit"]:
            with kernel.emitter.loop(0, kernel.emitter.size(n)) as i:
                k = kernel.emitter.scalar
                kernel.fail_if(k.equal(kernel.value(a, (*lead, i, i)), 0).ir, kernel.emitter.depth)
        if columns:
            with kernel.loops((n, columns)) as (i, c):
                kernel.store(kernel.value(b, (*lead, i, c)), (*lead, i, c))
            _call_trsm(kernel, equation, lead)


def _call_trsm(kernel: Outlined, equation: Equation, lead: Ixs) -> None:
    """Solve one system in place, as ``x^T a^T = b^T``."""
    params: dict[str, Any] = equation.params
    matrix, emitter = kernel.storage(equation.inputs[0]), kernel.emitter
    assert matrix is not None
    lapack = _Lapack(kernel, matrix.dtype)
    options = ["R", "U" if params["lower"] else "L", "T" if params["transpose"] else "N"]
    n, columns = (lapack.integer(emitter.size(s)) for s in kernel.outputs[0].shape[-2:])
    lapack.call(
        "trsm",
        *map(lapack.letter, [*options, "U" if params["unit"] else "N"]),
        columns,
        n,
        lapack.number(1.0),
        _address(kernel, matrix, lead),
        n,
        _address(kernel, kernel.outputs[0], lead),
        columns,
    )
