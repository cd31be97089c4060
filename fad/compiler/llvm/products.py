"""Matrix products through BLAS.

An operand of ``dot_general`` is a matrix for every index of the batch axes where its free axes lie next to each other in memory, its contracted
axes too, and one of the two groups is innermost. Everything else is copied into that order first.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, NamedTuple

import llvmlite.ir as ir

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I32, POINTER, Ix
from fad.compiler.llvm.library_calls import declare_address
from fad.compiler.llvm.scalar_value import llvm_type
from fad.core.program import Equation

__all__ = ["is_direct", "supports_product", "write_product"]

Axes = tuple[int, ...]


class _Matrix(NamedTuple):
    """How an operand is a batch of matrices: its batch axes, its rows' and columns' axes as they lie in memory."""

    batch: Axes
    slow: Axes
    fast: Axes
    free_is_slow: bool


def _axes(equation: Equation) -> tuple[tuple[Axes, Axes, Axes], tuple[Axes, Axes, Axes]]:
    """Batch, free and contracted axes of both operands."""
    contract, batch = equation.params["contract"], equation.params["batch"]
    found = []
    for k, atom in enumerate(equation.inputs):
        taken = {*contract[k], *batch[k]}
        found.append((batch[k], tuple(a for a in range(atom.aval.ndim) if a not in taken), contract[k]))
    return found[0], found[1]


def _runs_together(shape: tuple[int, ...], axes: Axes) -> bool:
    """Whether axes follow each other in memory without a gap, axes of size 1 aside."""
    real = [a for a in axes if shape[a] != 1]
    between = [a for a in range(real[0], real[-1] + 1) if shape[a] != 1] if real else []
    return real == between


def _as_matrix(shape: tuple[int, ...], batch: Axes, free: Axes, contracted: Axes) -> _Matrix | None:
    if not _runs_together(shape, free) or not _runs_together(shape, contracted):
        return None
    free_real = [a for a in free if shape[a] != 1]
    contracted_real = [a for a in contracted if shape[a] != 1]
    last = max((a for a in range(len(shape)) if shape[a] != 1), default=-1)
    if contracted_real and contracted_real[-1] == last:
        return _Matrix(batch, free, contracted, True)
    if free_real and free_real[-1] == last:
        return _Matrix(batch, contracted, free, False)
    return _Matrix(batch, free, contracted, True) if last < 0 else None


def is_direct(equation: Equation, position: int) -> bool:
    """Whether an operand can be given to BLAS as it lies in memory."""
    return _as_matrix(equation.inputs[position].aval.shape, *_axes(equation)[position]) is not None


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
    x_axes, y_axes = _axes(equation)
    left, right = _as_matrix(x.shape, *x_axes), _as_matrix(y.shape, *y_axes)
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
        result = _matrix_address(lowering, out, _Matrix(tuple(range(len(index))), (), (), True), index)
        _gemm(lowering, (first, second, result), (rows, columns, inner), (left, right), (x, y))


def _matrix_address(lowering: Any, place: Memory, matrix: _Matrix, index: list[Ix]) -> ir.Value:
    position: list[Ix] = [0] * len(place.shape)
    for axis, i in zip(matrix.batch, index, strict=True):
        position[axis] = i
    return lowering.elements.pointer(place, tuple(position))


def _leading(lowering: Any, place: Memory, matrix: _Matrix) -> Ix:
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
    matrices: tuple[_Matrix, _Matrix],
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
