"""Matrix products as sums: products with a vector read their matrix once, so they belong into fused loops, not into BLAS."""

from __future__ import annotations

import math
from typing import Any

from fad.compiler.matrices import free_axes
from fad.compiler.passes.redundancy import rebuilt
from fad.compiler.size_classes import LARGEST_STATIC
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Program, Var

__all__ = ["expand_products"]

_SMALL_PRODUCT = 64


def expand_products(program: Program) -> Program:
    """Write vector products, and tiny ones, as a product and a sum over the contracted axes."""
    if not any(_is_expanded(e) for e in program.equations):
        return program
    equations: list[Equation] = []
    for equation in program.equations:
        if _is_expanded(equation):
            equations += _expanded(equation)
        else:
            equations.append(equation)
    return rebuilt(program, equations, program.outputs)


def _is_expanded(equation: Equation) -> bool:
    if equation.primitive.name != "dot_general" or equation.outputs[0].aval.dtype.kind not in "fiu":
        return False
    if equation.outputs[0].aval.dtype.itemsize == 2:
        return False
    x, y = (a.aval.shape for a in equation.inputs)
    free = [math.prod(s[a] for a in free_axes(equation, k)) for k, s in enumerate((x, y))]
    inner = math.prod(x[a] for a in equation.params["contract"][0])
    sizes = [*x, *y]
    tiny = all(n <= LARGEST_STATIC for n in sizes) and free[0] * free[1] * inner <= _SMALL_PRODUCT
    return 1 in free or inner == 1 or tiny or equation.outputs[0].aval.dtype.kind != "f"


class _Writer:
    """Appends equations."""

    def __init__(self, source: Any):
        self.equations: list[Equation] = []
        self._source = source

    def apply(self, name: str, inputs: list[Atom], aval: ShapedArray, /, **params: Any) -> Atom:
        """The result of one more operation."""
        var = Var(aval)
        self.equations.append(Equation(REGISTRY[name], inputs, params, [var], self._source))
        return var

    def ordered(self, atom: Atom, axes: tuple[int, ...], shape: tuple[int, ...], dtype: Any) -> Atom:
        """The atom with permuted axes, another shape, another dtype."""
        if axes != tuple(range(len(axes))):
            moved = ShapedArray(tuple(atom.aval.shape[a] for a in axes), atom.aval.dtype)
            atom = self.apply("transpose", [atom], moved, axes=axes)
        if shape != atom.aval.shape:
            atom = self.apply("reshape", [atom], ShapedArray(shape, atom.aval.dtype), shape=shape)
        if atom.aval.dtype != dtype or atom.aval.weak:
            atom = self.apply("convert", [atom], ShapedArray(shape, dtype), dtype=dtype)
        return atom

    def finish(self, atom: Atom, out: Var) -> list[Equation]:
        """The equations, the last of which gives ``out``."""
        if atom.aval.shape != out.aval.shape:
            self.apply("reshape", [atom], out.aval, shape=out.aval.shape)
        self.equations[-1].outputs[:] = [out]
        return self.equations


def _expanded(equation: Equation) -> list[Equation]:
    shapes = [a.aval.shape for a in equation.inputs]
    sizes = [math.prod(s[a] for a in free_axes(equation, k)) for k, s in enumerate(shapes)]
    if 1 in sizes and equation.params["contract"][0]:
        return _vector_product(equation, 0 if sizes[1] == 1 else 1)
    return _general_product(equation)


def _vector_product(equation: Equation, major: int) -> list[Equation]:
    """Run over the matrix in the order of its own axes; the vector is spread along its free axes."""
    out, writer = equation.outputs[0], _Writer(equation.source)
    dtype = out.aval.dtype
    matrix, vector = equation.inputs[major], equation.inputs[1 - major]
    shared = {
        m: v
        for which in ("batch", "contract")
        for m, v in zip(equation.params[which][major], equation.params[which][1 - major], strict=True)
    }
    order = (*[shared[a] for a in sorted(shared)], *free_axes(equation, 1 - major))
    spread = tuple(n if a in shared else 1 for a, n in enumerate(matrix.aval.shape))
    shape = matrix.aval.shape
    factors = [
        writer.ordered(matrix, tuple(range(len(shape))), shape, dtype),
        writer.ordered(vector, order, spread, dtype),
    ]
    product = writer.apply("multiply", factors, ShapedArray(shape, dtype))
    axes = tuple(sorted(equation.params["contract"][major]))
    kept = [a for a in range(len(shape)) if a not in axes]
    result = writer.apply("reduce_sum", [product], ShapedArray(tuple(shape[a] for a in kept), dtype), axes=axes)
    wanted = [*equation.params["batch"][major], *free_axes(equation, major)]
    permutation = tuple(kept.index(a) for a in wanted)
    return writer.finish(writer.ordered(result, permutation, tuple(shape[a] for a in wanted), dtype), out)


def _general_product(equation: Equation) -> list[Equation]:
    """Both operands in the order (batch, free of x, free of y, contracted), multiplied and summed."""
    out, writer = equation.outputs[0], _Writer(equation.source)
    contract, batch = equation.params["contract"], equation.params["batch"]
    frees = (free_axes(equation, 0), free_axes(equation, 1))
    ordered = []
    for k, atom in enumerate(equation.inputs):
        shape = atom.aval.shape
        lead, inner = [shape[a] for a in batch[k]], [shape[a] for a in contract[k]]
        own, other = [shape[a] for a in frees[k]], [1] * len(frees[1 - k])
        target = (*lead, *own, *other, *inner) if k == 0 else (*lead, *other, *own, *inner)
        ordered.append(writer.ordered(atom, (*batch[k], *frees[k], *contract[k]), target, out.aval.dtype))
    inner_shape = tuple(equation.inputs[0].aval.shape[a] for a in contract[0])
    result = writer.apply("multiply", ordered, ShapedArray((*out.aval.shape, *inner_shape), out.aval.dtype))
    if inner_shape:
        axes = tuple(range(len(out.aval.shape), len(out.aval.shape) + len(inner_shape)))
        result = writer.apply("reduce_sum", [result], out.aval.update(), axes=axes)
    return writer.finish(result, out)
