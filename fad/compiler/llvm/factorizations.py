"""LU and QR factors of stacks of matrices through LAPACK, and determinants, which come from LU factors.

LAPACK counts in columns, so matrices are copied into scratch arrays by columns first, as NumPy does it too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I32, Ix
from fad.compiler.llvm.lapack import INT32, Lapack, call_checked, is_empty, matrix_address
from fad.compiler.llvm.linear import identity_element
from fad.compiler.llvm.outlined import Outlined
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.scalar_value import Value, llvm_type
from fad.core.program import Atom, Equation

__all__ = [
    "cofactors_scratch",
    "determinant_scratch",
    "lu_scratch",
    "qr_scratch",
    "write_cofactors",
    "write_determinant",
    "write_lu",
    "write_qr",
    "write_row_order",
    "write_slogdet",
]

Scratch = list[tuple[tuple[int, ...], np.dtype]]

_INDEX = np.dtype(np.int64)


def _by_columns(kernel: Outlined, a: Atom, lead: Ixs, target: Memory) -> None:
    """Copy a matrix into a scratch array, whose rows are its columns."""
    with kernel.loops(a.aval.shape[-2:]) as (i, j):
        kernel.elements.store(kernel.value(a, (*lead, i, j)), target, (j, i))


def _factor(kernel: Outlined, lapack: Lapack, rows: int, columns: int, matrix: Memory, pivots: Memory) -> None:
    """Replace a matrix by its LU factors. A zero on the diagonal of U is no error."""
    emitter = kernel.emitter
    height, width = (lapack.integer(emitter.size(n)) for n in (rows, columns))
    places = [matrix_address(kernel, m, ()) for m in (matrix, pivots)]
    lapack.call("getrf", height, width, places[0], height, places[1], emitter.variable(I32))


def _pivot(kernel: Outlined, pivots: Memory, index: Ixs) -> Value:
    """With which row a row was exchanged, counted from 0."""
    k = kernel.emitter.scalar
    return k.subtract(kernel.elements.load(pivots, index), k.constant(1, INT32))


def _number(kernel: Outlined, i: Ix) -> Value:
    return Value(kernel.emitter.raw(i), _INDEX)


# --- LU -----------------------------------------------------------------------------------------------------------------------------------------------


def lu_scratch(equation: Equation) -> Scratch:
    """The matrix by columns, the exchanges."""
    a, pivots = equation.inputs[0].aval, equation.outputs[1].aval
    return [(a.shape[:-3:-1], a.dtype), (pivots.shape[-1:], INT32)]


def write_lu(kernel: Outlined, equation: Equation) -> None:
    """Write packed LU factors and the exchanges of rows."""
    (a,) = equation.inputs
    *stack, rows, columns = a.aval.shape
    if is_empty(equation):
        return
    lapack, (matrix, pivots) = Lapack(kernel, a.aval.dtype), kernel.scratch
    with kernel.loops(stack, shared=bool(stack)) as lead:
        _by_columns(kernel, a, lead, matrix)
        _factor(kernel, lapack, rows, columns, matrix, pivots)
        with kernel.loops((rows, columns)) as (i, j):
            kernel.store(kernel.elements.load(matrix, (j, i)), (*lead, i, j))
        with kernel.loops(equation.outputs[1].aval.shape[-1:]) as (i,):
            kernel.store(_pivot(kernel, pivots, (i,)), (*lead, i), 1)


def write_row_order(kernel: Outlined, equation: Equation) -> None:
    """Write the order of the rows after their exchanges; an exchange with no row is an error."""
    (pivots,) = equation.inputs
    *stack, rows = equation.outputs[0].aval.shape
    with kernel.loops(stack) as lead:
        with kernel.loops((rows,)) as (i,):
            kernel.store(_number(kernel, i), (*lead, i))
        with kernel.loops(pivots.aval.shape[-1:]) as (i,):
            _exchange(kernel, lead, i, kernel.value(pivots, (*lead, i), _INDEX), kernel.emitter.size(rows))


def _exchange(kernel: Outlined, lead: Ixs, row: Ix, other: Value, rows: Ix) -> None:
    k, emitter, builder = kernel.emitter.scalar, kernel.emitter, kernel.emitter.builder
    beyond = builder.icmp_unsigned(">=", other.ir, emitter.raw(rows))
    kernel.fail_if(beyond, emitter.depth)
    place = builder.select(beyond, emitter.raw(row), other.ir)
    at = kernel.elements.pointer(kernel.outputs[0], (*lead, 0))
    at = builder.gep(at, [place])
    before = kernel.load((*lead, row))
    kernel.store(k.load(at, _INDEX), (*lead, row))
    k.store(before, at)


# --- determinants -----------------------------------------------------------------------------------------------------------------------------------


def determinant_scratch(equation: Equation) -> Scratch:
    """The matrix by columns, the exchanges, the sign of the determinant and the logarithm of its magnitude."""
    a = equation.inputs[0].aval
    return [(a.shape[-2:], a.dtype), (a.shape[-1:], INT32), ((2,), a.dtype)]


def write_slogdet(kernel: Outlined, equation: Equation) -> None:
    """Write signs of determinants and logarithms of their magnitudes."""
    (a,) = equation.inputs
    if 0 in equation.outputs[0].aval.shape:
        return
    stack = a.aval.shape[:-2]
    with kernel.loops(stack, shared=bool(stack)) as lead:
        for output, value in enumerate(_slogdet(kernel, a, lead)):
            kernel.store(value, lead, output)


def write_determinant(kernel: Outlined, equation: Equation) -> None:
    """Write determinants, through logarithms as NumPy does: the product of the diagonal might overflow on its way."""
    (a,) = equation.inputs
    if 0 in equation.outputs[0].aval.shape:
        return
    stack = a.aval.shape[:-2]
    with kernel.loops(stack, shared=bool(stack)) as lead:
        sign, logarithm = _slogdet(kernel, a, lead)
        k = kernel.emitter.scalar
        kernel.store(k.multiply(sign, k.exp(logarithm)), lead)


def _slogdet(kernel: Outlined, a: Atom, lead: Ixs) -> tuple[Value, Value]:
    matrix, pivots, _ = kernel.scratch
    size = a.aval.shape[-1]
    if size:
        _by_columns(kernel, a, lead, matrix)
        _factor(kernel, Lapack(kernel, a.aval.dtype), size, size, matrix, pivots)
    return _diagonal_product(kernel, size)


def _diagonal_product(kernel: Outlined, size: int) -> tuple[Value, Value]:
    """The sign and the logarithm of the product of the diagonal of LU factors, and of their exchanges."""
    elements, (matrix, pivots, found) = kernel.elements, kernel.scratch[-3:]
    k = kernel.emitter.scalar
    for place, start in enumerate((1, 0)):
        elements.store(k.constant(start, found.dtype), found, (place,))
    with kernel.loops((size,)) as (i,):
        k = kernel.emitter.scalar
        value, moved = (
            elements.load(matrix, (i, i)),
            k.not_equal(k.astype(_pivot(kernel, pivots, (i,)), _INDEX), _number(kernel, i)),
        )
        sign, logarithm = (elements.load(found, (n,)) for n in range(2))
        flips = k.logical_xor(moved, k.less(value, 0))
        sign = k.select(flips, k.negative(sign), sign)
        sign = k.select(k.equal(value, 0), k.zero(sign), sign)
        elements.store(sign, found, (0,))
        elements.store(k.add(logarithm, k.log(k.absolute(value))), found, (1,))
    return elements.load(found, (0,)), elements.load(found, (1,))


def cofactors_scratch(equation: Equation) -> Scratch:
    """The inverse by columns, the matrix, the exchanges and the determinant, as for determinants."""
    a = equation.inputs[0].aval
    return [(a.shape[-2:], a.dtype), *determinant_scratch(equation)]


def write_cofactors(kernel: Outlined, equation: Equation) -> None:
    """Write determinants times transposed inverses; where a matrix is too near a singular one for that, report an error."""
    (a,) = equation.inputs
    *stack, size, _ = a.aval.shape
    if is_empty(equation):
        return
    lapack, elements = Lapack(kernel, a.aval.dtype), kernel.elements
    inverse, matrix, pivots, _ = kernel.scratch
    with kernel.loops(stack, shared=bool(stack)) as lead:
        _by_columns(kernel, a, lead, matrix)
        with kernel.loops((size, size)) as (i, j):
            elements.store(identity_element(kernel, i, j, inverse.dtype), inverse, (i, j))
        n = lapack.integer(kernel.emitter.size(size))
        places = [matrix_address(kernel, m, ()) for m in (matrix, pivots, inverse)]
        call_checked(kernel, lapack, "gesv", n, n, places[0], n, *places[1:], n)
        sign, logarithm = _diagonal_product(kernel, size)
        k = kernel.emitter.scalar
        determinant = k.multiply(sign, k.exp(logarithm))
        norm = _largest_sum(kernel, size, lambda i, j: kernel.value(a, (*lead, i, j)))
        norm_of_inverse = _largest_sum(kernel, size, lambda i, j: elements.load(inverse, (j, i)))
        k = kernel.emitter.scalar
        limit = k.constant(np.finfo(a.aval.dtype).eps ** -0.5, a.aval.dtype)
        accurate = k.less(k.multiply(norm, norm_of_inverse), limit)
        kernel.fail_if(k.builder.not_(accurate.ir), kernel.emitter.depth)
        with kernel.loops((size, size)) as (i, j):
            value = kernel.emitter.scalar.multiply(elements.load(inverse, (i, j)), determinant)
            kernel.store(value, (*lead, i, j))


def _largest_sum(kernel: Outlined, size: int, element: Callable[[Ix, Ix], Value]) -> Value:
    """The largest sum of the magnitudes of a row; NaN stays."""
    emitter, dtype = kernel.emitter, kernel.scratch[0].dtype
    total, most = (emitter.variable(llvm_type(dtype)) for _ in range(2))
    zero = emitter.scalar.constant(0, dtype)
    emitter.scalar.store(zero, most)
    with kernel.loops((size,)) as (i,):
        emitter.scalar.store(zero, total)
        with kernel.loops((size,)) as (j,):
            k = emitter.scalar
            k.store(k.add(k.load(total, dtype), k.absolute(element(i, j))), total)
        k = emitter.scalar
        k.store(k.maximum(k.load(most, dtype), k.load(total, dtype)), most)
    return emitter.scalar.load(most, dtype)


# --- QR -----------------------------------------------------------------------------------------------------------------------------------------------


def qr_scratch(equation: Equation) -> Scratch:
    """Q by columns, the scales of its reflections, and LAPACK's own memory: 32 numbers for a column, which is what it asks for."""
    a, q = equation.inputs[0].aval, equation.outputs[0].aval
    size = q.shape[-1]
    return [(q.shape[:-3:-1], a.dtype), (a.shape[-1:], a.dtype), ((size, 4, 8), a.dtype)]


def write_qr(kernel: Outlined, equation: Equation) -> None:
    """Write Q and R of matrices with at least as many rows as columns."""
    (a,) = equation.inputs
    *stack, rows, columns = a.aval.shape
    size = equation.outputs[0].aval.shape[-1]
    if 0 in a.aval.shape:
        _write_empty_qr(kernel, equation)
        return
    emitter, elements, lapack = kernel.emitter, kernel.elements, Lapack(kernel, a.aval.dtype)
    height, width, order = (lapack.integer(emitter.size(n)) for n in (rows, columns, size))
    memory = lapack.integer(emitter.multiply(emitter.size(size), 32))
    matrix = kernel.scratch[0]
    places = [matrix_address(kernel, m, ()) for m in kernel.scratch]
    with kernel.loops(stack, shared=bool(stack)) as lead:
        _by_columns(kernel, a, lead, matrix)
        call_checked(kernel, lapack, "geqrf", height, width, places[0], height, *places[1:], memory)
        with kernel.loops((size, columns)) as (i, j):
            k, below = emitter.scalar, emitter.builder.icmp_signed(">", emitter.raw(i), emitter.raw(j))
            value = elements.load(matrix, (j, i))
            kernel.store(
                Value(emitter.builder.select(below, k.zero(value).ir, value.ir), value.dtype), (*lead, i, j), 1
            )
        call_checked(kernel, lapack, "orgqr", height, order, width, places[0], height, *places[1:], memory)
        with kernel.loops((rows, size)) as (i, j):
            kernel.store(elements.load(matrix, (j, i)), (*lead, i, j))


def _write_empty_qr(kernel: Outlined, equation: Equation) -> None:
    """Without columns Q is the identity; R has no elements."""
    q = equation.outputs[0].aval
    with kernel.loops(q.shape[:-2]) as lead, kernel.loops(q.shape[-2:]) as (i, j):
        kernel.store(identity_element(kernel, i, j, q.dtype), (*lead, i, j))
