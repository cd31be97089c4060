"""Matrix products as sums: products with a vector read their matrix once, so they belong into fused loops, not into BLAS.

So do products of matrices that have few rows or columns in common, as of distances between points in space: they take as long as their large
operand or their result takes to pass through memory, and a loop needs it in memory no longer.
"""

from __future__ import annotations

import math
from typing import Any

from fad.compiler.matrices import free_axes
from fad.compiler.own_outputs import stored_p
from fad.compiler.passes.redundancy import rebuilt
from fad.compiler.passes.writing import slice_along
from fad.compiler.size_classes import LARGEST_STATIC, LONG, least_size
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Program, Var

__all__ = ["expand_products"]

_SMALL_PRODUCT = 64
_THIN = 8


def expand_products(program: Program) -> Program:
    """Write vector products, tiny and thin ones as products of numbers and sums."""
    equations: list[Equation] = []
    for equation in program.equations:
        if _is_expanded(equation):
            equations += _expanded(equation)
        elif equation.primitive.name == "dot_general":
            equations += _thin_terms(equation) or _thin_sums(equation) or [equation]
        else:
            equations.append(equation)
    return program if equations == program.equations else rebuilt(program, equations, program.outputs)


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

    def line(self, matrix: Atom, axis: int, number: int, shape: tuple[int, int]) -> Atom:
        """A row or column of a matrix, as a matrix of another shape."""
        params = slice_along(matrix.aval.shape, axis, number, number + 1)
        sizes = tuple([stop - start for start, stop in zip(params["starts"], params["stops"], strict=True)])
        found = self.apply("static_slice", [matrix], ShapedArray(sizes, matrix.aval.dtype), **params)
        return self.ordered(found, (0, 1), shape, matrix.aval.dtype)

    def stored(self, atom: Atom) -> Atom:
        """The atom in memory, where it would be read as a view."""
        var = Var(atom.aval.update())
        self.equations.append(Equation(stored_p, [atom], {}, [var], self._source))
        return var

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


def _thin_axes(equation: Equation) -> tuple[int, int] | None:
    """The only contracted axis of both operands, where they are matrices of floats."""
    contract, batch = equation.params["contract"], equation.params["batch"]
    avals = [a.aval for a in (*equation.inputs, *equation.outputs)]
    if len(contract[0]) != 1 or batch[0] or any(a.dtype != avals[0].dtype or a.ndim != 2 for a in avals):
        return None
    return (contract[0][0], contract[1][0]) if avals[0].dtype.char in "fd" else None


def _thin_terms(equation: Equation) -> list[Equation] | None:
    """A product that contracts a few elements, ``x[:, 0] * y[0] + x[:, 1] * y[1] + ...``, of large matrices."""
    axes = _thin_axes(equation)
    rows, columns = equation.outputs[0].aval.shape if axes else (0, 0)
    if axes is None or not 1 < equation.inputs[0].aval.shape[axes[0]] <= _THIN or not _are_large(rows, columns):
        return None
    (x, y), out, writer = equation.inputs, equation.outputs[0], _Writer(equation.source)
    if axes[1] == 1:  # its rows are read along their length
        y = writer.apply("transpose", [y], ShapedArray(y.aval.shape[::-1], y.aval.dtype), axes=(1, 0))
        y = writer.stored(y)
    total: Atom | None = None
    for k in range(y.aval.shape[0]):
        factors = [writer.line(x, axes[0], k, (rows, 1)), writer.line(y, 0, k, (1, columns))]
        term = writer.apply("multiply", factors, out.aval.update())
        total = term if total is None else writer.apply("add", [total, term], out.aval.update())
    assert total is not None
    return writer.finish(total, out)


def _thin_sums(equation: Equation) -> list[Equation] | None:
    """A product that contracts the long axis of a matrix of few columns: one sum of rows for each of them."""
    axes = _thin_axes(equation)
    shapes = [a.aval.shape for a in equation.inputs]
    for thin in (0, 1) if axes else ():
        assert axes is not None
        across = 1 - axes[thin]
        count, wide = shapes[thin][across], 1 - thin
        if not 1 < count <= _THIN or axes[wide] != 0 or not _are_large(*shapes[wide]):
            continue
        (length, width), out, writer = shapes[wide], equation.outputs[0], _Writer(equation.source)
        dtype = out.aval.dtype
        sums: list[Atom] = []
        for k in range(count):
            factors = [writer.line(equation.inputs[thin], across, k, (length, 1)), equation.inputs[wide]]
            product = writer.apply("multiply", factors, ShapedArray((length, width), dtype))
            total = writer.apply("reduce_sum", [product], ShapedArray((width,), dtype), axes=(0,))
            sums.append(writer.apply("reshape", [total], ShapedArray((1, width), dtype), shape=(1, width)))
        joined = writer.apply("concatenate", sums, ShapedArray((count, width), dtype), axis=0)
        if thin == 1:
            joined = writer.apply("transpose", [joined], out.aval.update(), axes=(1, 0))
        return writer.finish(joined, out)
    return None


def _are_large(rows: int, columns: int) -> bool:
    """Whether a matrix has rows that fill vectors, and many of them."""
    return least_size(rows) >= LONG and columns > LARGEST_STATIC
