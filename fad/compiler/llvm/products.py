"""Matrix products through BLAS.

The passes have arranged the operands: each is a matrix for every index of the batch axes.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import llvmlite.ir as ir

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I32, POINTER, Ix
from fad.compiler.llvm.library_calls import declare_address
from fad.compiler.llvm.scalar_value import llvm_type
from fad.compiler.matrices import Matrix, as_matrix, is_direct, product_axes
from fad.core.program import Equation

__all__ = ["supports_product", "write_product"]


def supports_product(equation: Equation) -> str | None:
    """``None`` if the product can be done by BLAS, else why not."""
    x, y = (a.aval for a in equation.inputs)
    if x.dtype != y.dtype or x.dtype.char not in "fd":
        return f"matrix product of {x.dtype} and {y.dtype}"
    if any(n >= 2**31 for n in (*x.shape, *y.shape)):
        return "a matrix with 2**31 rows or columns"
    if not (is_direct(equation, 0) and is_direct(equation, 1)):
        return "a matrix product whose operands need another memory layout"
    return None


def write_product(lowering: Any, equation: Equation) -> None:
    """Write the product: one BLAS call per index of the batch axes."""
    x, y = (lowering.place(a) for a in equation.inputs)
    out = lowering.elements.storage[equation.outputs[0]]
    x_axes, y_axes = product_axes(equation)
    left, right = as_matrix(x.shape, *x_axes), as_matrix(y.shape, *y_axes)
    assert left is not None and right is not None
    if 0 in out.shape:
        return
    emitter = lowering.emitter
    rows, columns = (
        emitter.product(tuple(x.shape[a] for a in x_axes[1])),
        emitter.product(tuple(y.shape[a] for a in y_axes[1])),
    )
    inner = emitter.product(tuple(x.shape[a] for a in x_axes[2]))
    batch_shape = tuple(x.shape[a] for a in x_axes[0])
    with ExitStack() as stack:
        index = [0 if n == 1 else stack.enter_context(emitter.loop(0, emitter.size(n))) for n in batch_shape]
        first = _matrix_address(lowering, x, left, index)
        second = _matrix_address(lowering, y, right, index)
        result = _matrix_address(lowering, out, Matrix(tuple(range(len(index))), (), (), True), index)
        _gemm(lowering, (first, second, result), (rows, columns, inner), (left, right), (x, y))


def _matrix_address(lowering: Any, place: Memory, matrix: Matrix, index: list[Ix]) -> ir.Value:
    position: list[Ix] = [0] * len(place.shape)
    for axis, i in zip(matrix.batch, index, strict=True):
        position[axis] = i
    return lowering.elements.pointer(place, tuple(position))


def _leading(lowering: Any, place: Memory, matrix: Matrix) -> Ix:
    """The distance in memory between rows of the slow axis."""
    emitter = lowering.emitter
    real = [a for a in matrix.slow if place.shape[a] != 1]
    last = real[-1] if real else None
    if last is None:
        return emitter.product(tuple(place.shape[a] for a in matrix.fast))
    return emitter.product(place.shape[last + 1 :])


def _gemm(
    lowering: Any,
    pointers: tuple[Any, Any, Any],
    sizes: tuple[Ix, Ix, Ix],
    matrices: tuple[Matrix, Matrix],
    places: Any,
) -> None:
    """Call gemm. BLAS counts in columns, so it computes the transposed product of the transposed operands."""
    emitter, dtype = lowering.emitter, places[0].dtype
    builder, kind = emitter.builder, llvm_type(places[0].dtype)
    (first, second, result), (rows, columns, inner) = pointers, sizes
    left, right = matrices
    name = "dgemm" if dtype.itemsize == 8 else "sgemm"
    arguments = [
        _letter(lowering, "T" if right.free_is_slow else "N"),
        _letter(lowering, "N" if left.free_is_slow else "T"),
        *[_integer(lowering, n) for n in (columns, rows, inner)],
        _number(lowering, kind, 1.0),
        second,
        _integer(lowering, _at_least_one(emitter, _leading(lowering, places[1], right))),
        first,
        _integer(lowering, _at_least_one(emitter, _leading(lowering, places[0], left))),
        _number(lowering, kind, 0.0),
        result,
        _integer(lowering, columns),
    ]
    function = _declare(lowering, name, [a.type for a in arguments])
    builder.call(function, arguments)


def _at_least_one(emitter: Any, n: Ix) -> Ix:
    return max(n, 1) if isinstance(n, int) else n


def _declare(lowering: Any, name: str, types: list[ir.Type]) -> ir.Function:
    symbol = declare_address("scipy.linalg.cython_blas", name)
    if symbol in lowering.module.globals:
        return lowering.module.globals[symbol]
    return ir.Function(lowering.module, ir.FunctionType(ir.VoidType(), types), symbol)


def _integer(lowering: Any, n: Ix) -> ir.Value:
    emitter = lowering.emitter
    place = emitter.variable(I32)
    emitter.builder.store(emitter.builder.trunc(emitter.raw(n), I32), place)
    return place


def _number(lowering: Any, kind: ir.Type, value: float) -> ir.Value:
    place = lowering.emitter.variable(kind)
    lowering.emitter.builder.store(ir.Constant(kind, value), place)
    return place


def _letter(lowering: Any, letter: str) -> ir.Value:
    emitter = lowering.emitter
    place = emitter.variable(POINTER.pointee)
    emitter.builder.store(ir.Constant(POINTER.pointee, ord(letter)), place)
    return place
