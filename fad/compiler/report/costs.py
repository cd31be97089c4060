"""What steps cost: arithmetic, functions of the math library, bytes read and written. Counts, not measurements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from fad.compiler.access import REDUCTIONS
from fad.compiler.fusion import is_costly
from fad.compiler.llvm.rules import is_view
from fad.core.program import Equation

__all__ = ["NOTHING", "Cost", "arithmetic"]


class Cost(NamedTuple):
    """Counts of one run.

    Attributes
    ----------
    flops : int
        Additions, multiplications, comparisons and the like; a complex product is six.
    transcendentals : int
        Calls of functions such as ``exp`` and ``sin``, for one element each.
    bytes_read, bytes_written : int
        Bytes of the arrays that are read and written, each counted once for every kernel that does so.
    """

    flops: int = 0
    transcendentals: int = 0
    bytes_read: int = 0
    bytes_written: int = 0

    def plus(self, other: Cost) -> Cost:
        """Both."""
        return Cost(*[a + b for a, b in zip(self, other, strict=True)])

    def times(self, turns: int) -> Cost:
        """The cost of so many runs."""
        return Cost(*[a * turns for a in self])


NOTHING = Cost()

_COMPLEX = {"multiply": 6, "divide": 11, "square": 6, "zero_safe_multiply": 6}


def _product(e: Equation) -> int:
    (contracted, _), _ = e.params["contract"], e.params["batch"]
    inner = math.prod(e.inputs[0].aval.shape[a] for a in contracted)
    return (8 if e.outputs[0].aval.dtype.kind == "c" else 2) * e.outputs[0].aval.size * inner


def _convolution(e: Equation) -> int:
    shapes = [v.aval for v in (*e.inputs, *e.outputs)]
    # The kernel's last axis has as many features as the result's: one product for each of its other elements.
    image, kernel = {"convolve": (2, 1), "convolve_input": (0, 1), "convolve_kernel": (1, 2)}[e.primitive.name]
    return 2 * shapes[image].size * math.prod(shapes[kernel].shape[:-1])


def _matrix(e: Equation, cube: float) -> int:
    shape = e.inputs[0].aval.shape
    return int(math.prod(shape[:-2]) * cube * shape[-1] ** 3)


def _factors(e: Equation) -> int:
    """LU factorisation of m x n matrices: k**2 (m + n - k) - k**3 / 3 with the smaller size k, of G. Golub and C. Van Loan, Matrix Computations."""
    *stack, rows, columns = e.inputs[0].aval.shape
    size = min(rows, columns)
    return int(math.prod(stack) * (size**2 * (rows + columns - size) - size**3 / 3))


def _reflections(e: Equation) -> int:
    """R of m x n matrices by Householder reflections, 2 n**2 (m - n / 3), and as much again for Q (the same book)."""
    *stack, rows, columns = e.inputs[0].aval.shape
    return int(math.prod(stack) * 4 * columns**2 * (rows - columns / 3))


def _right_sides(e: Equation) -> int:
    return 2 * e.inputs[0].aval.shape[-1] * e.outputs[0].aval.size


_ARITHMETIC: dict[str, Callable[[Equation], int]] = {
    "dot_general": _product,
    "convolve": _convolution,
    "convolve_input": _convolution,
    "convolve_kernel": _convolution,
    "cholesky": lambda e: _matrix(e, 1 / 3),
    "solve": lambda e: _matrix(e, 2 / 3) + _right_sides(e),
    "inverse": lambda e: _matrix(e, 2),
    "lu": _factors,
    "determinant": _factors,
    "slogdet": _factors,
    "cofactors": lambda e: _matrix(e, 8 / 3),
    "qr": _reflections,
    "solve_triangular": lambda e: _right_sides(e) // 2,
    "linear_recurrence": lambda e: 2 * e.outputs[0].aval.size,
    "cumlogsumexp": lambda e: 3 * e.outputs[0].aval.size,
    **{f"cum{op}": lambda e: e.outputs[0].aval.size for op in ("sum", "prod", "max", "min")},
    **{f"arg{op}": lambda e: e.inputs[0].aval.size for op in ("max", "min")},
    **{f"scatter_{op}": lambda e: e.inputs[-1].aval.size for op in ("add", "mul", "min", "max")},
    **{name: lambda e: e.inputs[0].aval.size for name in REDUCTIONS},
}
"""Operations of an equation that is not elementwise, by kernel name."""


def arithmetic(equation: Equation) -> Cost:
    """The operations of an equation; those that only move elements have none. Loops and branches are counted elsewhere."""
    kernel = equation.primitive.kernel
    if not equation.outputs or is_view(equation):
        return NOTHING
    if isinstance(kernel, str):
        return Cost(_ARITHMETIC[kernel](equation)) if kernel in _ARITHMETIC else NOTHING
    size = equation.outputs[0].aval.size
    if is_costly(equation):
        return Cost(transcendentals=size)
    weight = 1
    if equation.outputs[0].aval.dtype.kind == "c":
        weight = _COMPLEX.get(equation.primitive.name, 2)
    return Cost(flops=weight * size)
