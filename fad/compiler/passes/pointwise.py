"""Gradients of pointwise convolutions, whose windows are single elements, as the products of matrices that they are.

BLAS packs both operands, which pays from some size on: for 16 images of 14x14 with 256 channels and 1024 features the gradient by the kernel takes 0.76 of
the time of the tiles of :mod:`fad.compiler.llvm.convolution`, that by the input 0.89. The convolution itself is as fast in tiles.
"""

from __future__ import annotations

import math
from functools import partial

from fad.compiler.passes.redundancy import replaced
from fad.compiler.passes.writing import applied
from fad.compiler.size_classes import LONG, least_size
from fad.core.primitive import REGISTRY
from fad.core.program import Equation, Program

__all__ = ["multiply_pixels"]

_PRODUCTS = {"convolve_kernel": (0, 0, 1024), "convolve_input": (1, 1, 2048)}
"""Over which axis of each of the two matrices the product sums, and from how many positions on: the tiles are slower for kernels, whose channels lie apart."""


def multiply_pixels(program: Program) -> Program:
    """The Program with products in place of large gradients of pointwise convolutions."""
    return replaced(program, _is_large_product, _product)


def _is_large_product(equation: Equation) -> bool:
    """Whether it is such a gradient, and BLAS faster for all sizes that share the code."""
    params = equation.params
    if equation.primitive.name not in _PRODUCTS or params["groups"] != 1 or set(params["strides"]) != {1}:
        return False
    first, y, out = (a.aval for a in (*equation.inputs, *equation.outputs))
    w = out if equation.primitive.name == "convolve_kernel" else first
    if math.prod(w.shape[:-2]) != 1 or not (first.dtype == y.dtype == out.dtype) or out.dtype.char not in "fd":
        return False
    positions = math.prod(map(least_size, y.shape[:-1]))
    return min(map(least_size, w.shape[-2:])) >= LONG and positions >= _PRODUCTS[equation.primitive.name][-1]


def _product(equation: Equation) -> list[Equation]:
    """The equations of the product."""
    equations: list[Equation] = []
    write = partial(applied, equations, equation.source)
    first, second = (write("reshape", a, shape=_matrix(a.aval.shape)) for a in equation.inputs)
    if equation.primitive.name == "convolve_input":
        first, second = second, first
    left, right, _ = _PRODUCTS[equation.primitive.name]
    product = write("dot_general", first, second, contract=((left,), (right,)), batch=((), ()))
    (out,) = equation.outputs
    equations.append(Equation(REGISTRY["reshape"], [product], {"shape": out.aval.shape}, [out], equation.source))
    return equations


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    return math.prod(shape[:-1]), shape[-1]
