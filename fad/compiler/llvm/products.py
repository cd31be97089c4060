"""Matrix products through BLAS.

The passes have arranged the operands: each is a matrix for every index of the batch axes. A large product is cut into blocks of rows or columns,
a batched one into its matrices, and the thread pool shares them; BLAS itself works with one thread, see :mod:`fad.compiler.llvm.blas_threads`.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I32, I64, POINTER, Emitter, Index, Ix
from fad.compiler.llvm.library_calls import product_symbol
from fad.compiler.llvm.parallel import GRAIN, WORDS_TYPE, Argument, call_kernel, dispatch
from fad.compiler.llvm.parts import make_cold
from fad.compiler.llvm.scalar_value import llvm_type
from fad.compiler.matrices import Matrix, as_matrices, is_direct, product_axes
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


_NORMAL, _TRANSPOSED = [ir.Constant(POINTER.pointee, ord(letter)) for letter in "NT"]


class _Product(NamedTuple):
    """A product of ``rows`` times ``inner`` and ``inner`` times ``columns`` matrices, for each index of a batch and of the outer axes of both factors."""

    left: Matrix
    right: Matrix
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    inner: tuple[int, ...]
    left_outer: tuple[int, ...]
    right_outer: tuple[int, ...]


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
    left, right = as_matrices(x, *x_axes), as_matrices(y, *y_axes)
    assert left is not None and right is not None
    batch, rows, inner, left_outer = (
        tuple(x[a] for a in axes) for axes in (x_axes[0], left.free, x_axes[2], left.outer)
    )
    columns, right_outer = (tuple(y[a] for a in axes) for axes in (right.free, right.outer))
    return _Product(left, right, x, y, batch, rows, columns, inner, left_outer, right_outer)


def write_product(lowering: Any, equation: Equation) -> None:
    """Write the call of what does the product."""
    out = lowering.elements.storage[equation.outputs[0]]
    if 0 in out.shape:
        return
    product = _product_of(equation)
    places = [*[lowering.place(a) for a in equation.inputs], out]
    lowering.libraries.add("products")
    single = all(n == 1 for n in (*product.batch, *product.left_outer, *product.right_outer))
    (_call_for_blocks if single else _call_for_batch)(lowering, product, places)


def _call_for_blocks(lowering: Any, product: _Product, places: list[Memory]) -> None:
    """Call the function that all products of two matrices share."""
    emitter, dtype = lowering.emitter, places[0].dtype
    rows, columns, inner = _sizes(emitter, product)
    turns = _blocks(emitter, emitter.larger(rows, columns))[0]
    # BLAS copies both matrices first, and a block of a few rows the whole other one again.
    pairs = ((rows, inner), (inner, columns), (rows, columns))
    copied = functools.reduce(emitter.add, [emitter.multiply(x, y) for x, y in pairs])
    work = emitter.multiply(emitter.multiply(rows, columns), inner)
    work, _ = emitter.divide(emitter.add(work, emitter.multiply(copied, _COPY)), 2)
    function = lowering.shared_function(
        ("product", dtype), lambda: _for_blocks(lowering, places[0].pointer.type, dtype)
    )
    words = lowering.words_of([*[p.pointer for p in places], _written_sizes(emitter, product)])
    if isinstance(work, int) and work < 2 * GRAIN:
        emitter.builder.call(function, [words, ir.Constant(I64, 0), emitter.raw(turns)])
    else:
        dispatch(lowering, function, words, len(places) + 1, turns, work)


def _written_sizes(emitter: Emitter, product: _Product) -> ir.Value:
    """Rows, columns, how many are contracted; the steps of both matrices, and whether it is their free axis that has them. They are the same in all loops."""
    matrices = ((product.x_shape, product.left), (product.y_shape, product.right))
    steps = [_at_least_one(_leading(emitter, shape, matrix)) for shape, matrix in matrices]
    sizes = [*_sizes(emitter, product), *steps, int(product.left.free_is_slow), int(product.right.free_is_slow)]
    place, builder = emitter.small_array(np.dtype(np.int64), len(sizes)), emitter.scopes[0].builder
    for number, size in enumerate(sizes):
        builder.store(emitter.raw(size), builder.gep(place, [ir.Constant(I64, number)]))
    return place


def _for_blocks(lowering: Any, kind: ir.Type, dtype: np.dtype) -> ir.Function:
    """The function of all products of two matrices: one gemm for the rows, or the columns if there are more of them, in blocks."""
    function = ir.Function(lowering.module, WORDS_TYPE, lowering.module.get_unique_name(f"product{dtype.itemsize}"))
    function.linkage = "internal"
    make_cold(function)
    emitter = Emitter(function, function.args[0], {})
    builder = emitter.builder

    def words(address: ir.Value, count: int) -> list[ir.Value]:
        return [builder.load(builder.gep(address, [ir.Constant(I64, k)])) for k in range(count)]

    *pointers, sizes = words(builder.bitcast(function.args[0], I64.as_pointer()), 4)
    first, second, result = [builder.inttoptr(p, kind) for p in pointers]
    numbers = [Index(n, 0) for n in words(builder.inttoptr(sizes, I64.as_pointer()), 7)]
    rows, columns, inner, left, right, *slow = numbers
    left_is_slow, right_is_slow = [builder.trunc(n.value, ir.IntType(1)) for n in slow]

    def choose(condition: ir.Value, x: Ix, y: Ix) -> Ix:
        return Index(builder.select(condition, emitter.raw(x), emitter.raw(y)), 0)

    by_rows = builder.icmp_signed(">=", rows.value, columns.value)
    extent = emitter.larger(rows, columns)
    _, size = _blocks(emitter, extent)
    start = emitter.smaller(emitter.multiply(Index(function.args[1], 0), size), extent)
    stop = emitter.smaller(emitter.multiply(Index(function.args[2], 0), size), extent)
    count = emitter.subtract(stop, start)
    first = _moved(emitter, first, choose(by_rows, emitter.multiply(start, choose(left_is_slow, left, 1)), 0))
    second = _moved(emitter, second, choose(by_rows, 0, emitter.multiply(start, choose(right_is_slow, right, 1))))
    result = _moved(emitter, result, choose(by_rows, emitter.multiply(start, columns), start))
    here = (choose(by_rows, count, rows), choose(by_rows, columns, count), inner)
    letters = builder.select(left_is_slow, _NORMAL, _TRANSPOSED), builder.select(right_is_slow, _TRANSPOSED, _NORMAL)
    is_any = builder.zext(builder.icmp_signed(">", emitter.raw(count), ir.Constant(I64, 0)), I64)
    with emitter.choice(is_any, 2) as enter:
        with enter(0):
            pass
        with enter(1):
            _gemm(emitter, dtype, letters, (left, right, columns), (first, second, result), here)
    emitter.finish()
    return function


def _call_for_batch(lowering: Any, product: _Product, places: list[Memory]) -> None:
    """Call a function of the product's own, which equal ones of a segment share."""
    shapes = [*product[2:], *[p.shape for p in places]]
    key = (
        product.left,
        product.right,
        lowering.canonical.encode(shapes),
        *[p.skip for p in places],
        places[0].dtype,
    )
    function = lowering.shared_function(key, lambda: _for_batch(lowering, product, places))
    emitter = lowering.emitter
    count = emitter.product((*product.batch, *product.left_outer, *product.right_outer))
    work, _ = emitter.divide(functools.reduce(emitter.multiply, [*_sizes(emitter, product), count]), 2)
    is_short = isinstance(work, int) and work < 2 * GRAIN
    call_kernel(lowering, function, [Argument(p.pointer) for p in places], count, work, not is_short)


def _for_batch(lowering: Any, product: _Product, places: list[Memory]) -> ir.Function:
    """One gemm for each of the matrices ``begin`` to ``end``."""
    kind = places[0].pointer.type
    name = lowering.module.get_unique_name(f"{lowering.name}_product")
    function_type = ir.FunctionType(ir.VoidType(), [kind, kind, kind, lowering.sizes.type, I64, I64])
    function = ir.Function(lowering.module, function_type, name)
    function.linkage = "internal"
    make_cold(function)
    emitter = Emitter(function, function.args[3], lowering.canonical.symbols)
    begin, end = Index(function.args[4], 0), Index(function.args[5], 0)
    arrays = [p._replace(pointer=a, floor=0) for p, a in zip(places, function.args, strict=False)]
    _write_batch(emitter, product, arrays, begin, end)
    emitter.finish()
    return function


def _blocks(emitter: Emitter, extent: Ix) -> tuple[Ix, Ix]:
    """The number of blocks and the size of all but the last. The number is even: threads that come in pairs are done at the same time."""

    def quotient(x: Ix, y: Ix) -> Ix:
        return emitter.divide(emitter.add(x, emitter.subtract(y, 1)), y)[0]

    count = emitter.multiply(quotient(extent, 2 * _MOST_IN_BLOCK), 2)
    return count, emitter.multiply(quotient(quotient(extent, count), _IN_KERNEL), _IN_KERNEL)


def _sizes(emitter: Emitter, product: _Product) -> tuple[Ix, Ix, Ix]:
    return emitter.product(product.rows), emitter.product(product.columns), emitter.product(product.inner)


def _write_batch(emitter: Emitter, product: _Product, arrays: list[Memory], begin: Index, end: Index) -> None:
    rows, columns, inner = _sizes(emitter, product)
    left, right = product.left, product.right
    steps = [
        _at_least_one(_leading(emitter, *operand)) for operand in ((product.x_shape, left), (product.y_shape, right))
    ]
    letters = _NORMAL if left.free_is_slow else _TRANSPOSED, _TRANSPOSED if right.free_is_slow else _NORMAL
    # Rows of one result are as far apart as the columns of all of them are long.
    stride = emitter.multiply(emitter.product(product.right_outer), columns)
    with emitter.loop(begin, end, plain=True) as number:
        above, right_index = _unravelled(emitter, number, product.right_outer)
        rest, left_index = _unravelled(emitter, above, product.left_outer)
        _, index = _unravelled(emitter, rest, product.batch)
        beside = emitter.subtract(number, emitter.multiply(above, emitter.product(product.right_outer)))
        first = _matrix_address(emitter, arrays[0], left, index + left_index)
        second = _matrix_address(emitter, arrays[1], right, index + right_index)
        offset = emitter.add(emitter.multiply(above, emitter.multiply(rows, stride)), emitter.multiply(beside, columns))
        pointers = (first, second, _moved(emitter, arrays[2].pointer, offset))
        _gemm(emitter, arrays[0].dtype, letters, (steps[0], steps[1], stride), pointers, (rows, columns, inner))


def _unravelled(emitter: Emitter, number: Ix, sizes: tuple[int, ...]) -> tuple[Ix, list[Ix]]:
    """What is left of a number after the indices of these axes, and the indices."""
    index: list[Ix] = []
    for n in reversed(sizes):
        number, i = emitter.divide(number, emitter.size(n))
        index.insert(0, 0 if n == 1 else i)
    return number, index


def _moved(emitter: Emitter, pointer: ir.Value, offset: Ix) -> ir.Value:
    return emitter.builder.gep(pointer, [emitter.raw(offset)], inbounds=True)


def _matrix_address(emitter: Emitter, place: Memory, matrix: Matrix, index: list[Ix]) -> ir.Value:
    offset: Ix = 0
    for axis, i in zip((*matrix.batch, *matrix.outer), index, strict=True):
        offset = emitter.add(offset, emitter.multiply(i, emitter.product(place.shape[axis + 1 :])))
    return _moved(emitter, place.pointer, offset)


def _leading(emitter: Emitter, shape: tuple[int, ...], matrix: Matrix) -> Ix:
    """The distance in memory between rows of the slow axis."""
    real = [a for a in matrix.slow if shape[a] != 1]
    if not real:
        return emitter.product(tuple(shape[a] for a in matrix.fast))
    return emitter.product(shape[real[-1] + 1 :])


def _gemm(
    emitter: Emitter,
    dtype: np.dtype,
    letters: tuple[ir.Value, ir.Value],
    steps: tuple[Ix, Ix, Ix],
    pointers: tuple[ir.Value, ir.Value, ir.Value],
    sizes: tuple[Ix, Ix, Ix],
) -> None:
    """Call gemm. BLAS counts in columns, so it computes the transposed product of the transposed operands."""
    (first, second, result), (left, right, stride), (rows, columns, inner) = pointers, steps, sizes
    numbers = [emitter.raw(n) for n in (columns, rows, inner, right, left, stride)]
    arguments = [letters[1], letters[0], *numbers, second, first, result]
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
