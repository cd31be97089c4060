"""The exponential of square matrices by products and one solve: what compiled code runs natively, for stacks of matrices and complex ones too.

A. Al-Mohy, N. Higham, "A new scaling and squaring algorithm for the matrix exponential", SIAM J. Matrix Anal. Appl. 31 (2009): the Pade approximant
of degree 13, scaled by how powers of the matrix grow rather than by its norm, and with the diagonals of triangular matrices from their formulas after
each squaring.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import fad.numpy as fnp
from fad.core.array import Array, wrap
from fad.core.avals import is_complex
from fad.core.trace import CURRENT, EVAL
from fad.numpy.conversion import operand
from fad.primitives.linalg_functions import expm_p, exponential_change
from fad.primitives.linalg_matrices import transpose_matrix
from fad.transforms.custom_rules import custom_jvp
from fad.transforms.looping import fori_loop, while_loop

__all__ = ["matrix_exponential"]

_DEGREE = 13
_PADE = [
    math.comb(_DEGREE, k) * math.factorial(2 * _DEGREE - k) / math.factorial(2 * _DEGREE) for k in range(_DEGREE + 1)
]
_THETA = 4.25  # up to this size the approximant is exact to double precision
_FIRST_ERROR = math.factorial(_DEGREE) ** 2 / (math.factorial(2 * _DEGREE) * math.factorial(2 * _DEGREE + 1))
"""The coefficient of the first power in the backward error, as a multiple of the matrix: of ``A**27``."""


def matrix_exponential(a: Any) -> Any:
    """Exponentials of square matrices, an operand: SciPy's where they are evaluated, a composite of native operations where a Program is recorded."""
    if CURRENT.get().base is EVAL or 0 in a.shape:
        return expm_p.bind(a)
    return _by_products(wrap(a))


@custom_jvp
def _by_products(a: Array) -> Array:
    if a.shape[-1] == 1:
        return fnp.exp(a)
    exponent = _whole(fnp.floor(_logarithm(_norm(a))))  # the powers of a / 2**exponent do not overflow
    second = (unit := _scaled(a, -exponent)) @ unit
    fourth = second @ second
    powers = [second, fourth, second @ fourth]
    halvings = _halvings(a, exponent, powers)
    halved, step = _scaled(a, -halvings), exponent - halvings
    out = _pade(halved, *[_scaled(p, k * step) for p, k in zip(powers, (2, 4, 6), strict=True)])
    return _squared(out, halved, halvings)


def _change(a: Array, change: Array) -> Array:
    return wrap(exponential_change(operand(a), operand(change), lambda blocks: operand(_by_products(wrap(blocks)))))


_by_products.defjvp(lambda primals, tangents: (_by_products(*primals), _change(*primals, *tangents)))
_by_products.defvjp(lambda a: (_by_products(a), a), lambda a, ct: (_change(wrap(transpose_matrix(operand(a))), ct),))


def _norm(a: Array) -> Array:
    """The largest sum of a column's magnitudes, of each matrix."""
    return fnp.max(fnp.sum(fnp.abs(a), -2), -1)


def _logarithm(x: Array) -> Array:
    """The binary logarithm, and -inf for 0."""
    return fnp.where(x > 0, fnp.log2(fnp.where(x > 0, x, 1.0)), -math.inf)


def _whole(x: Array) -> Array:
    """Whole numbers as integers; 0 for what is not finite."""
    return fnp.where(fnp.isfinite(x), x, 0.0).astype(np.int32)


def _scaled(a: Array, exponent: Array) -> Array:
    """``a * 2**exponent``, one exponent for each matrix."""
    one = fnp.ones((), a.real.dtype)
    return a * fnp.ldexp(one, exponent)[..., None, None]


def _halvings(a: Array, exponent: Array, powers: list[Array]) -> Array:
    """How often to halve each matrix so that the approximant is exact to rounding: (3.6) and (5.1) in the paper."""
    fourth, sixth = powers[1:3]
    sizes = [_logarithm(_norm(p)) / k for p, k in ((sixth, 6), (fourth @ fourth, 8), (fourth @ sixth, 10))]
    growth = fnp.minimum(fnp.maximum(sizes[0], sizes[1]), fnp.maximum(sizes[1], sizes[2])) + exponent
    halvings = fnp.maximum(_whole(fnp.ceil(growth - math.log2(_THETA))), 0)
    # What rounding makes of the matrix of magnitudes must be as small.
    magnitudes = fnp.abs(_scaled(a, -halvings))

    def once(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        row, size = state
        row = row @ magnitudes
        largest = fnp.max(row, -1, keepdims=True)
        return row / fnp.where(largest > 0, largest, 1.0), size + _logarithm(largest)

    row = fnp.ones((*a.shape[:-2], 1, a.shape[-1]), magnitudes.dtype)
    _, size = fori_loop(0, 2 * _DEGREE + 1, once, (row, fnp.zeros_like(row[..., :1])))
    unit = math.log2(fnp.finfo(magnitudes.dtype).eps / 2)
    error = size[..., 0, 0] - _logarithm(_norm(magnitudes)) + math.log2(_FIRST_ERROR) - unit
    return halvings + fnp.maximum(_whole(fnp.ceil(error / (2 * _DEGREE))), 0)


def _pade(a: Array, second: Array, fourth: Array, sixth: Array) -> Array:
    """The approximant from the matrix and its even powers."""
    c, one = _PADE, fnp.eye(a.shape[-1], dtype=a.dtype)

    def every_second(k: int) -> Array:
        high = sixth @ (c[k] * sixth + c[k - 2] * fourth + c[k - 4] * second)
        return high + c[k - 6] * sixth + c[k - 8] * fourth + c[k - 10] * second + c[k - 12] * one

    odd, even = a @ every_second(_DEGREE), every_second(_DEGREE - 1)
    return _solved(even - odd, even + odd)


def _solved(a: Array, b: Array) -> Array:
    """The solution of ``a @ x = b``, of complex matrices by their real form of twice the size, which native code can solve."""
    if not is_complex(a.dtype):
        return fnp.linalg.solve(a, b)
    size = a.shape[-1]
    rows = fnp.concatenate([fnp.concatenate([a.real, -a.imag], -1), fnp.concatenate([a.imag, a.real], -1)], -2)
    parts = fnp.linalg.solve(rows, fnp.concatenate([b.real, b.imag], -2))
    return parts[..., :size, :] + 1j * parts[..., size:, :]


def _squared(out: Array, a: Array, halvings: Array) -> Array:
    """The approximants squared as often as their matrices were halved."""
    below, above = (fnp.all(part(a) == 0, (-2, -1)) for part in (lambda x: fnp.tril(x, -1), lambda x: fnp.triu(x, 1)))
    most = fnp.max(halvings)

    def once(state: Any) -> Any:
        turn, out, a = state
        a = a * 2.0
        active = (turn < halvings)[..., None, None]
        return turn + 1, fnp.where(active, _with_exact_diagonals(out @ out, a, below, above), out), a

    start = fnp.zeros((), halvings.dtype), _with_exact_diagonals(out, a, below, above), a
    return while_loop(lambda state: state[0] < most, once, start)[1]


def _with_exact_diagonals(out: Array, a: Array, upper: Array, lower: Array) -> Array:
    """The exponential of ``a`` with the diagonal of triangular matrices, and the one beside it, from their formulas: (2.2) in the paper."""
    size = a.shape[-1]
    diagonal = fnp.diagonal(a, axis1=-2, axis2=-1)
    triangular = (upper | lower)[..., None, None]
    out = fnp.where(triangular & fnp.eye(size, dtype=bool), fnp.exp(diagonal)[..., None], out)
    slope = _divided_difference(diagonal[..., :-1], diagonal[..., 1:])
    for flag, offset in ((upper, 1), (lower, -1)):
        beside = fnp.diagonal(a, offset, -2, -1) * slope
        width = [(0, 0)] * (beside.ndim - 1)
        rows = (
            fnp.pad(beside, [*width, (0, 1)])[..., :, None]
            if offset > 0
            else fnp.pad(beside, [*width, (1, 0)])[..., :, None]
        )
        out = fnp.where(flag[..., None, None] & fnp.eye(size, k=offset, dtype=bool), rows, out)
    return out


def _divided_difference(x: Array, y: Array) -> Array:
    """``(exp(x) - exp(y)) / (x - y)`` without cancellation or overflow on the way."""
    first = x.real > y.real
    high, fall = fnp.where(first, x, y), fnp.where(first, y - x, x - y)
    near = fnp.abs(fall) < 1
    half = fnp.where(near, fall, 0.0) / 2
    ratio = fnp.where(half == 0, 1.0, fnp.sinh(half) / fnp.where(half == 0, 1.0, half)) * fnp.exp(half)
    far = fnp.where(near, 1.0, fall)
    return fnp.exp(high) * fnp.where(near, ratio, (fnp.exp(far) - 1) / far)
