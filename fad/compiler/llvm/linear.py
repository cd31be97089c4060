"""Stacks of linear systems through LAPACK: Cholesky factors, solutions, inverses, triangular systems.

LAPACK counts in columns, so a matrix in C order is its transpose there. Where it reports a singular matrix the operation reports an error, and
evaluating it in Python explains it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.compiler.llvm.emission import Ix
from fad.compiler.llvm.lapack import INT32, Lapack, call_checked, is_empty, matrix_address
from fad.compiler.llvm.outlined import Outlined
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.scalar_value import Value
from fad.core.program import Equation

__all__ = [
    "identity_element",
    "system_scratch",
    "write_cholesky",
    "write_solve",
    "write_solve_triangular",
]


def system_scratch(equation: Equation) -> list[tuple[tuple[int, ...], np.dtype]]:
    """What solving needs: the matrix by columns, the right-hand sides by columns, the pivots."""
    a, out = equation.inputs[0].aval, equation.outputs[0].aval
    n, columns = a.shape[-1], out.shape[-1]
    return [((n, n), a.dtype), ((columns, n), a.dtype), ((n,), INT32)]


def write_cholesky(kernel: Outlined, equation: Equation) -> None:
    """Write the lower Cholesky factors of the symmetric parts."""
    (a,) = equation.inputs
    *stack, n, _ = a.aval.shape
    if is_empty(equation):
        return
    lapack, size = Lapack(kernel, a.aval.dtype), kernel.emitter.size(n)
    with kernel.loops(stack, shared=bool(stack)) as lead:
        with kernel.loops((n, n)) as (i, j):
            k = kernel.emitter.scalar
            both = k.add(kernel.value(a, (*lead, i, j)), kernel.value(a, (*lead, j, i)))
            inside = k.builder.icmp_signed("<=", kernel.emitter.raw(j), kernel.emitter.raw(i))
            half = k.multiply(both, k.constant(0.5, both.dtype))
            kernel.store(Value(k.builder.select(inside, half.ir, k.zero(half).ir), half.dtype), (*lead, i, j))
        place = matrix_address(kernel, kernel.outputs[0], lead)
        call_checked(kernel, lapack, "potrf", lapack.letter("U"), lapack.integer(size), place, lapack.integer(size))


def write_solve(kernel: Outlined, equation: Equation) -> None:
    """Write solutions of systems, or inverses: solutions for the identity."""
    a, *rest = equation.inputs
    *stack, n, columns = equation.outputs[0].aval.shape
    if is_empty(equation):
        return
    elements, emitter = kernel.elements, kernel.emitter
    lapack, (matrix, right, pivots) = Lapack(kernel, a.aval.dtype), kernel.scratch
    with kernel.loops(stack, shared=bool(stack)) as lead:
        with kernel.loops((n, n)) as (i, j):
            elements.store(kernel.value(a, (*lead, i, j)), matrix, (j, i))
        with kernel.loops((n, columns)) as (i, c):
            value = kernel.value(rest[0], (*lead, i, c)) if rest else identity_element(kernel, i, c, right.dtype)
            elements.store(value, right, (c, i))
        size = lapack.integer(emitter.size(n))
        places = [matrix_address(kernel, m, ()) for m in (matrix, pivots, right)]
        call_checked(
            kernel, lapack, "gesv", size, lapack.integer(emitter.size(columns)), places[0], size, *places[1:], size
        )
        with kernel.loops((n, columns)) as (i, c):
            kernel.store(elements.load(right, (c, i)), (*lead, i, c))


def identity_element(kernel: Outlined, i: Ix, j: Ix, dtype: np.dtype) -> Value:
    """An element of the identity."""
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
    lapack = Lapack(kernel, matrix.dtype)
    options = ["R", "U" if params["lower"] else "L", "T" if params["transpose"] else "N"]
    n, columns = (lapack.integer(emitter.size(s)) for s in kernel.outputs[0].shape[-2:])
    lapack.call(
        "trsm",
        *map(lapack.letter, [*options, "U" if params["unit"] else "N"]),
        columns,
        n,
        lapack.number(1.0),
        matrix_address(kernel, matrix, lead),
        n,
        matrix_address(kernel, kernel.outputs[0], lead),
        columns,
    )
