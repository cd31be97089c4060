"""Matrix products through BLAS.

The passes have arranged the operands: each is a matrix for every index of the batch axes. A large product is cut into blocks of rows or columns,
a batched one into its matrices, and the thread pool shares them; BLAS itself works with one thread, see :mod:`fad.compiler.llvm.blas_threads`.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

import llvmlite.ir as ir

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I32, I64, POINTER, Emitter, Index, Ix
from fad.compiler.llvm.library_calls import product_symbol
from fad.compiler.llvm.parallel import GRAIN, Argument, call_kernel
from fad.compiler.llvm.parts import make_cold
from fad.compiler.llvm.scalar_value import llvm_type
from fad.compiler.matrices import Matrix, as_matrix, is_direct, product_axes
from fad.core.program import Equation

__all__ = ["supports_product", "write_product"]

_MOST_IN_BLOCK = 256
"""Rows or columns of one block at most."""
_IN_KERNEL = 8
"""Rows or columns that BLAS computes at once: blocks are multiples of it."""
_LOW_FIRST = sys.byteorder == "little"
"""Whether the address of an integer of 64 bits is that of its low 32 bits too, which is all that some libraries read."""
_COPY = 12
"""The work of copying an element, where a product of two numbers is one."""


class _Product(NamedTuple):
    """A product of ``rows`` times ``inner`` and ``inner`` times ``columns`` matrices, for each index of a batch."""

    left: Matrix
    right: Matrix
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    inner: tuple[int, ...]


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


def _product_of(equation: Equation) -> _Product:
    (x, y), (x_axes, y_axes) = (a.aval.shape for a in equation.inputs), product_axes(equation)
    left, right = as_matrix(x, *x_axes), as_matrix(y, *y_axes)
    assert left is not None and right is not None
    batch, rows, inner = (tuple(x[a] for a in axes) for axes in x_axes)
    return _Product(left, right, x, y, batch, rows, tuple(y[a] for a in y_axes[1]), inner)


def write_product(lowering: Any, equation: Equation) -> None:
    """Write the product as a function of its own and call it."""
    out = lowering.elements.storage[equation.outputs[0]]
    if 0 in out.shape:
        return
    product = _product_of(equation)
    places = [*[lowering.place(a) for a in equation.inputs], out]
    shapes = [*product[2:], *[p.shape for p in places]]
    key = (product.left, product.right, lowering.canonical.encode(shapes), *[p.skip for p in places], out.dtype)
    function = lowering.shared_function(key, lambda: _function(lowering, product, places))
    lowering.libraries.add("products")
    _call(lowering, function, product, [Argument(p.pointer) for p in places])


def _function(lowering: Any, product: _Product, places: list[Memory]) -> ir.Function:
    """The function of a product, for equal ones of a segment."""
    kind = places[0].pointer.type
    name = lowering.module.get_unique_name(f"{lowering.name}_product")
    function_type = ir.FunctionType(ir.VoidType(), [kind, kind, kind, lowering.sizes.type, I64, I64])
    function = ir.Function(lowering.module, function_type, name)
    function.linkage = "internal"
    make_cold(function)
    emitter = Emitter(function, function.args[3], lowering.canonical.symbols)
    begin, end = Index(function.args[4], 0), Index(function.args[5], 0)
    arrays = [p._replace(pointer=a, floor=0) for p, a in zip(places, function.args, strict=False)]
    if all(n == 1 for n in product.batch):
        _write_blocks(emitter, product, arrays, begin, end)
    else:
        _write_batch(emitter, product, arrays, begin, end)
    emitter.finish()
    return function


def _call(lowering: Any, function: ir.Function, product: _Product, arguments: list[Argument]) -> None:
    emitter = lowering.emitter
    rows, columns, inner, batch = (
        emitter.product(shape) for shape in (product.rows, product.columns, product.inner, product.batch)
    )
    turns = batch
    if all(n == 1 for n in product.batch):
        turns = _blocks(emitter, emitter.larger(rows, columns))[0]
    work = emitter.multiply(emitter.multiply(emitter.multiply(rows, columns), inner), batch)
    if turns is not batch:
        # BLAS copies both matrices first, and a block of a few rows the whole other one again.
        pairs = ((rows, inner), (inner, columns), (rows, columns))
        copied = functools.reduce(emitter.add, [emitter.multiply(x, y) for x, y in pairs])
        work = emitter.add(work, emitter.multiply(copied, _COPY))
    work, _ = emitter.divide(work, 2)
    is_short = isinstance(work, int) and work < 2 * GRAIN
    call_kernel(lowering, function, arguments, turns, work, not is_short)


def _blocks(emitter: Emitter, extent: Ix) -> tuple[Ix, Ix]:
    """The number of blocks and the size of all but the last. The number is even: threads that come in pairs are done at the same time."""

    def quotient(x: Ix, y: Ix) -> Ix:
        return emitter.divide(emitter.add(x, emitter.subtract(y, 1)), y)[0]

    count = emitter.multiply(quotient(extent, 2 * _MOST_IN_BLOCK), 2)
    return count, emitter.multiply(quotient(quotient(extent, count), _IN_KERNEL), _IN_KERNEL)


def _sizes(emitter: Emitter, product: _Product) -> tuple[Ix, Ix, Ix]:
    return emitter.product(product.rows), emitter.product(product.columns), emitter.product(product.inner)


def _write_blocks(emitter: Emitter, product: _Product, arrays: list[Memory], begin: Index, end: Index) -> None:
    """One gemm for the rows, or the columns if there are more of them, in blocks ``begin`` to ``end``."""
    rows, columns, inner = _sizes(emitter, product)
    builder = emitter.builder
    by_rows = builder.icmp_signed(">=", emitter.raw(rows), emitter.raw(columns))
    extent = emitter.larger(rows, columns)
    _, size = _blocks(emitter, extent)
    start = emitter.smaller(emitter.multiply(begin, size), extent)
    count = emitter.subtract(emitter.smaller(emitter.multiply(end, size), extent), start)

    def choose(x: Ix, y: Ix) -> Ix:
        return Index(builder.select(by_rows, emitter.raw(x), emitter.raw(y)), 0)

    left_step = _leading(emitter, product.x_shape, product.left) if product.left.free_is_slow else 1
    right_step = _leading(emitter, product.y_shape, product.right) if product.right.free_is_slow else 1
    first = _moved(emitter, arrays[0], choose(emitter.multiply(start, left_step), 0))
    second = _moved(emitter, arrays[1], choose(0, emitter.multiply(start, right_step)))
    result = _moved(emitter, arrays[2], choose(emitter.multiply(start, columns), start))
    with emitter.choice(
        builder.zext(builder.icmp_signed(">", emitter.raw(count), ir.Constant(I64, 0)), I64), 2
    ) as enter:
        with enter(0):
            pass
        with enter(1):
            sizes = (choose(count, rows), choose(columns, count), inner)
            _gemm(emitter, product, arrays[0].dtype, (first, second, result), sizes, columns)


def _write_batch(emitter: Emitter, product: _Product, arrays: list[Memory], begin: Index, end: Index) -> None:
    """One gemm for each of the matrices ``begin`` to ``end``."""
    rows, columns, inner = _sizes(emitter, product)
    with emitter.loop(begin, end, plain=True) as number:
        index: list[Ix] = []
        rest: Ix = number
        for n in reversed(product.batch):
            rest, i = emitter.divide(rest, emitter.size(n))
            index.insert(0, 0 if n == 1 else i)
        first = _matrix_address(emitter, arrays[0], product.left, index)
        second = _matrix_address(emitter, arrays[1], product.right, index)
        result = _moved(emitter, arrays[2], emitter.multiply(number, emitter.multiply(rows, columns)))
        _gemm(emitter, product, arrays[0].dtype, (first, second, result), (rows, columns, inner), columns)


def _moved(emitter: Emitter, place: Memory, offset: Ix) -> ir.Value:
    return emitter.builder.gep(place.pointer, [emitter.raw(offset)], inbounds=True)


def _matrix_address(emitter: Emitter, place: Memory, matrix: Matrix, index: list[Ix]) -> ir.Value:
    offset: Ix = 0
    for axis, i in zip(matrix.batch, index, strict=True):
        offset = emitter.add(offset, emitter.multiply(i, emitter.product(place.shape[axis + 1 :])))
    return _moved(emitter, place, offset)


def _leading(emitter: Emitter, shape: tuple[int, ...], matrix: Matrix) -> Ix:
    """The distance in memory between rows of the slow axis."""
    real = [a for a in matrix.slow if shape[a] != 1]
    if not real:
        return emitter.product(tuple(shape[a] for a in matrix.fast))
    return emitter.product(shape[real[-1] + 1 :])


def _gemm(
    emitter: Emitter,
    product: _Product,
    dtype: Any,
    pointers: tuple[ir.Value, ir.Value, ir.Value],
    sizes: tuple[Ix, Ix, Ix],
    stride: Ix,
) -> None:
    """Call gemm. BLAS counts in columns, so it computes the transposed product of the transposed operands."""
    (first, second, result), (rows, columns, inner) = pointers, sizes
    left, right = product.left, product.right
    numbers = (
        columns,
        rows,
        inner,
        _at_least_one(_leading(emitter, product.y_shape, right)),
        _at_least_one(_leading(emitter, product.x_shape, left)),
        stride,
    )
    letters = [_letter("T" if right.free_is_slow else "N"), _letter("N" if left.free_is_slow else "T")]
    arguments = [*letters, *[emitter.raw(n) for n in numbers], second, first, result]
    module = emitter.function.module
    name = f"gemm{dtype.itemsize}"
    kind = ir.FunctionType(ir.VoidType(), [a.type for a in arguments])
    function = module.globals.get(name) or _by_values(module, name, kind, dtype)
    emitter.builder.call(function, arguments)


def _by_values(module: ir.Module, name: str, kind: ir.FunctionType, dtype: Any) -> ir.Function:
    """Gemm as a function of its values: it wants their addresses."""
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    make_cold(function)
    emitter = Emitter(function, function.args[0], {})
    right, left, *numbers, second, first, result = function.args
    columns, rows, inner, second_step, first_step, stride = [
        emitter.placed(n if _LOW_FIRST else emitter.builder.trunc(n, I32)) for n in numbers
    ]
    one, zero = [emitter.placed(ir.Constant(llvm_type(dtype), value)) for value in (1.0, 0.0)]
    letters = [emitter.placed(letter) for letter in (right, left)]
    arguments = [*letters, columns, rows, inner, one, second, second_step, first, first_step, zero, result, stride]
    symbol = product_symbol("dgemm" if dtype.itemsize == 8 else "sgemm")
    blas = ir.Function(module, ir.FunctionType(ir.VoidType(), [a.type for a in arguments]), symbol)
    emitter.builder.call(blas, arguments)
    emitter.finish()
    return function


def _at_least_one(n: Ix) -> Ix:
    return max(n, 1) if isinstance(n, int) else n


def _letter(letter: str) -> ir.Value:
    return ir.Constant(POINTER.pointee, ord(letter))
