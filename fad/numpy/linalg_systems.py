"""Linear systems, inverses, determinants and powers, in ``fad.numpy.linalg``."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import (
    aval_of,
    dtype_of,
    inexact_dtype,
    is_complex,
    real_dtype,
    result_dtype,
    shape_of,
    weak_operand,
)
from fad.core.errors import ArgumentError, ShapeError
from fad.core.powers import by_squaring
from fad.core.trace import concrete_value
from fad.numpy.contractions import matmul_operands
from fad.numpy.conversion import float_operand, operand, operands
from fad.primitives.arithmetic import greater, imag, real, square
from fad.primitives.linalg_functions import determinant, signed_log_determinant
from fad.primitives.linalg_matrices import (
    as_matrix,
    columns_of_stack,
    identity,
    require_matrices,
    require_square,
    stack_of_columns,
)
from fad.primitives.linalg_solving import inverse, pseudoinverse, solve_matrices
from fad.primitives.linalg_spectral import svd
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import broadcast_to, convert, full, permute, reduce_sum, reshape

__all__ = [
    "SlogdetResult",
    "det",
    "inv",
    "lstsq",
    "matrix_power",
    "matrix_rank",
    "pinv",
    "slogdet",
    "solve",
    "tensorinv",
    "tensorsolve",
]


class SlogdetResult(NamedTuple):
    """Sign (or phase) and logarithm of the magnitude of a determinant.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.slogdet(fnp.eye(2)).sign
    Array(1.)
    """

    sign: Any
    logabsdet: Any


def inexact_operands(function: str, *values: Any) -> list[Any]:
    """Operands in their common floating-point dtype."""
    found = operands(function, *values)
    dtype = inexact_dtype(result_dtype(*[weak_operand(f) for f in found]))
    return [convert(f, dtype) for f in found]


def square_operand(function: str, a: Any) -> Any:
    """A stack of square matrices in floating point."""
    x = float_operand(a, function)
    require_square(function, aval_of(x))
    return x


def matrix_operand(function: str, a: Any) -> Any:
    """A stack of matrices in floating point."""
    x = float_operand(a, function)
    require_matrices(function, aval_of(x))
    return x


def broadcast_stacks(function: str, x: Any, y: Any) -> tuple[Any, Any]:
    """Matrices with equal leading axes."""
    try:
        lead = np.broadcast_shapes(shape_of(x)[:-2], shape_of(y)[:-2])
    except ValueError:
        raise ShapeError(
            f"{function}: the leading axes of shapes {shape_of(x)} and {shape_of(y)} do not broadcast"
        ) from None
    return broadcast_to(x, (*lead, *shape_of(x)[-2:])), broadcast_to(y, (*lead, *shape_of(y)[-2:]))


def squared_magnitude(x: Any) -> Any:
    """``abs(x)**2`` of operands, smooth at 0."""
    if is_complex(dtype_of(x)):
        return square.bind(real.bind(x)) + square.bind(imag.bind(x))
    return square.bind(x)


def solved(function: str, a: Any, b: Any, solver: Any) -> Any:
    """``solver(a, b)`` with NumPy's broadcasting; one matrix takes all right-hand sides at once."""
    require_square(function, aval_of(a))
    vector = len(shape_of(b)) == 1
    b = as_matrix(b) if vector else b
    if not shape_of(b):
        raise ShapeError(f"{function}: the right-hand side must have at least one axis")
    if shape_of(a)[-1] != shape_of(b)[-2]:
        raise ShapeError(
            f"{function}: matrices of shape {shape_of(a)} need right-hand sides with {shape_of(a)[-1]} rows, got shape {shape_of(b)}"
        )
    lead = shape_of(b)[:-2]
    count = math.prod(lead)
    if len(shape_of(a)) == 2 and lead and count:
        side_by_side = columns_of_stack(reshape(b, (count, *shape_of(b)[-2:])))
        return reshape(stack_of_columns(solver(a, side_by_side), count), shape_of(b))
    out = solver(*broadcast_stacks(function, a, b))
    return reshape(out, shape_of(out)[:-1]) if vector else out


def solve(a: Any, b: Any) -> Array:
    """Solution x of ``a @ x = b``.

    Parameters
    ----------
    a : array_like
        Square matrices, shape ``(..., n, n)``.
    b : array_like
        Right-hand sides: one vector of shape ``(n,)``, or matrices of shape ``(..., n, k)``; leading axes broadcast.

    Returns
    -------
    Array
        The solutions, shaped like the broadcast ``b``.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [1.0, 1.0])
    Array([0.5 , 0.25])
    """
    x, y = inexact_operands("solve", a, b)
    return wrap(solved("solve", x, y, solve_matrices))


def inv(a: Any) -> Array:
    """Inverse matrices.

    Parameters
    ----------
    a : array_like
        Square matrices, shape ``(..., n, n)``.

    Returns
    -------
    Array
        The inverses. Their derivative in the direction ``e`` is ``-inv(a) @ e @ inv(a)``.

    Raises
    ------
    LinAlgError
        If a matrix is singular.
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.inv([[2.0, 0.0], [0.0, 4.0]])
    Array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return wrap(inverse(square_operand("inv", a)))


def _relative_cutoff(function: str, x: Any, rcond: Any, default: float) -> float:
    if rcond is None:
        return default
    value = concrete_value(rcond)
    if value is None or value.shape:
        raise ArgumentError(f"{function}: the cutoff must be one number known when the function runs, got {rcond!r}")
    return float(value)


def _precision(x: Any) -> float:
    return max(shape_of(x)[-2:]) * float(np.finfo(real_dtype(dtype_of(x))).eps)


_NOT_GIVEN = object()


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = _NOT_GIVEN) -> Array:
    """Moore-Penrose pseudoinverses.

    Parameters
    ----------
    a : array_like
        Matrices, shape ``(..., m, n)``.
    rcond, rtol : float, optional
        Singular values at most this times the largest count as 0; by default 1e-15. ``rtol=None`` is ``max(m, n)`` times the precision.
    hermitian : bool
        Whether the matrices are Hermitian, for a faster method.

    Returns
    -------
    Array
        Shape ``(..., n, m)``. The derivative (Golub and Pereyra, 1973) holds where the rank does not change.

    Raises
    ------
    ArgumentError
        If both cutoffs are given, or a cutoff is not a number.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.pinv([[2.0], [0.0]])
    Array([[0.5, 0. ]])
    """
    x = matrix_operand("pinv", a)
    if rcond is not None and rtol is not _NOT_GIVEN:
        raise ArgumentError("pinv: give rcond or rtol, not both")
    if rtol is not _NOT_GIVEN:
        cutoff = _relative_cutoff("pinv", x, rtol, _precision(x) if 0 not in shape_of(x) else 0.0)
    else:
        cutoff = _relative_cutoff("pinv", x, rcond, 1e-15)
    return wrap(pseudoinverse(x, cutoff, bool(hermitian)))


def det(a: Any) -> Array:
    """Determinants.

    Parameters
    ----------
    a : array_like
        Square matrices, shape ``(..., n, n)``.

    Returns
    -------
    Array
        Shape ``(...)``. The first and second derivatives, made of minors, are right for singular matrices too.

    Raises
    ------
    ShapeError
        If the matrices are not square.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fad.grad(fnp.linalg.det)(fnp.array([[1.0, 2.0], [2.0, 4.0]]))
    Array([[ 4., -2.],
           [-2.,  1.]])
    """
    return wrap(determinant(square_operand("det", a)))


def slogdet(a: Any) -> SlogdetResult:
    """Sign and logarithm of the magnitude of determinants.

    Parameters
    ----------
    a : array_like
        Square matrices, shape ``(..., n, n)``.

    Returns
    -------
    SlogdetResult
        ``sign`` (a phase for complex matrices) and ``logabsdet``, each of shape ``(...)``: ``det = sign * exp(logabsdet)``.

    Raises
    ------
    LinAlgError
        If the derivative is asked for at a singular matrix.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.slogdet([[1.0, 0.0], [0.0, -1.0]])
    SlogdetResult(sign=Array(-1.), logabsdet=Array(0.))
    """
    return SlogdetResult(*map(wrap, signed_log_determinant(square_operand("slogdet", a))))


def _count_above(values: Any, cutoff: Any) -> Any:
    above = convert(greater.bind(values, cutoff), np.dtype(np.int64))
    return reduce_sum(above, (len(shape_of(above)) - 1,))


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Array:
    """Rank: how many singular values are above a cutoff. It has no derivative.

    Parameters
    ----------
    A : array_like
        Matrices, shape ``(..., m, n)``; a vector has rank 1 unless it is 0.
    tol : array_like, optional
        Absolute cutoff, one for each matrix.
    hermitian : bool
        Accepted as in NumPy; the result is the same.
    rtol : array_like, optional
        Cutoff relative to the largest singular value; by default ``max(m, n)`` times the precision.

    Returns
    -------
    Array
        int64, shape ``(...)``.

    Raises
    ------
    ArgumentError
        If both cutoffs are given.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.matrix_rank([[1.0, 2.0], [2.0, 4.0]])
    Array(1)
    """
    if tol is not None and rtol is not None:
        raise ArgumentError("matrix_rank: give tol or rtol, not both")
    x = float_operand(A, "matrix_rank")
    if len(shape_of(x)) < 2:
        x = reshape(x, (1, aval_of(x).size))
    require_matrices("matrix_rank", aval_of(x))
    (values,) = svd(x, vectors=False)
    if 0 in shape_of(values):
        return wrap(np.zeros(shape_of(values)[:-1], np.int64)[()])
    if tol is None:
        largest = slice_axis(values, len(shape_of(values)) - 1, 0, 1)
        relative = operand(_precision(x) if rtol is None else rtol, "matrix_rank")
        cutoff = largest * (as_matrix(relative) if shape_of(relative) else relative)
    else:
        cutoff = operand(tol, "matrix_rank")
        cutoff = as_matrix(cutoff) if shape_of(cutoff) else cutoff
    return wrap(_count_above(values, cutoff))


def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Array, Array, Array, Array]:
    """Least-squares solution x of ``a @ x = b``, of least norm where there are several.

    Parameters
    ----------
    a : array_like
        One matrix, shape ``(m, n)``.
    b : array_like
        Shape ``(m,)`` or ``(m, k)``.
    rcond : float, optional
        Singular values at most this times the largest count as 0; by default ``max(m, n)`` times the precision.

    Returns
    -------
    x : Array
        Shape ``(n,)`` or ``(n, k)``.
    residuals : Array
        Sums of squared residuals, shape ``(k,)``, or ``(1,)`` for a vector ``b``; empty if ``m <= n``, or if the rank is known and below ``n``.
    rank : Array
        The rank of ``a``.
    s : Array
        Singular values of ``a``.

    Raises
    ------
    ShapeError
        If the shapes do not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.lstsq([[1.0], [1.0]], [1.0, 3.0])[0]
    Array([2.])
    """
    x, y = inexact_operands("lstsq", a, b)
    require_matrices("lstsq", aval_of(x))
    if len(shape_of(x)) != 2 or len(shape_of(y)) not in (1, 2) or shape_of(x)[0] != shape_of(y)[0]:
        raise ShapeError(
            f"lstsq needs a matrix (m, n) and a right-hand side (m,) or (m, k), got {shape_of(x)} and {shape_of(y)}"
        )
    cutoff = _relative_cutoff("lstsq", x, rcond, _precision(x))
    cutoff = _precision(x) if cutoff < 0 else cutoff
    solution = matmul_operands(pseudoinverse(x, cutoff), y, "lstsq")
    rows, columns = shape_of(x)
    (values,) = svd(x, vectors=False)
    rank = matrix_rank(x, rtol=cutoff)
    known = concrete_value(rank)
    y_columns = y if len(shape_of(y)) == 2 else as_matrix(y)
    if rows <= columns or (known is not None and int(known) < columns):
        residuals = full((0,), 0.0, real_dtype(dtype_of(x)))
    else:
        columns_of_x = solution if len(shape_of(solution)) == 2 else as_matrix(solution)
        residuals = reduce_sum(squared_magnitude(y_columns - matmul_operands(x, columns_of_x)), (0,))
    return wrap(solution), wrap(residuals), rank, wrap(values)


def matrix_power(a: Any, n: int) -> Array:
    """A square matrix to an integer power, by repeated squaring.

    Parameters
    ----------
    a : array_like
        Square matrices, shape ``(..., n, n)``.
    n : int
        The power; a negative one is the power of the inverse.

    Returns
    -------
    Array
        Shape of ``a``.

    Raises
    ------
    ArgumentError
        If ``n`` is not an integer.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.matrix_power([[1.0, 1.0], [0.0, 1.0]], 5)
    Array([[1., 5.],
           [0., 1.]])
    """
    try:
        power = int(n.__index__())
    except (AttributeError, TypeError):
        raise ArgumentError(f"matrix_power: the power must be an int known when the function runs, got {n!r}") from None
    x = operand(a, "matrix_power")
    shape = shape_of(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ShapeError(f"matrix_power needs square matrices along the last two axes, got shape {shape}")
    if power == 0:
        return wrap(identity(shape[:-2], shape[-1], dtype_of(x)))
    if power < 0:
        x, power = inverse(square_operand("matrix_power", a)), -power
    return wrap(by_squaring(matmul_operands, x, power))


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Array:
    """Solution x of ``tensordot(a, x, x.ndim) = b``.

    Parameters
    ----------
    a : array_like
        Shape ``b.shape + x.shape`` with as many elements in ``x`` as in ``b``.
    b : array_like
        Right-hand side.
    axes : sequence of int, optional
        Axes of ``a`` to move to the end first.

    Returns
    -------
    Array
        Shape ``a.shape[b.ndim:]``.

    Raises
    ------
    ShapeError
        If ``a`` is not square in that sense.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.tensorsolve(fnp.eye(4).reshape(2, 2, 4), fnp.ones((2, 2)))
    Array([1., 1., 1., 1.])
    """
    x, y = inexact_operands("tensorsolve", a, b)
    if axes is not None:
        ndim = len(shape_of(x))
        last = [int(k) % ndim for k in axes]
        x = permute(x, (*(k for k in range(ndim) if k not in last), *last))
    rest = shape_of(x)[len(shape_of(y)) :]
    size = math.prod(rest)
    if aval_of(x).size != size * size or aval_of(y).size != size:
        raise ShapeError(
            f"tensorsolve: shape {shape_of(x)} is not square with a right-hand side of shape {shape_of(y)}: the last {len(rest)} axes must "
            "have as many elements as the first ones"
        )
    solution = solved("tensorsolve", reshape(x, (size, size)), reshape(y, (size,)), solve_matrices)
    return wrap(reshape(solution, rest))


def tensorinv(a: Any, ind: int = 2) -> Array:
    """Inverse of ``a`` as a map by ``tensordot(a, x, ind)``.

    Parameters
    ----------
    a : array_like
        As many elements in the first ``ind`` axes as in the others.
    ind : int
        Number of axes of the result side.

    Returns
    -------
    Array
        Shape ``a.shape[ind:] + a.shape[:ind]``.

    Raises
    ------
    ShapeError
        If ``a`` is not square in that sense.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.linalg.tensorinv(fnp.eye(4).reshape(2, 2, 4)).shape
    (4, 2, 2)
    """
    if ind <= 0:
        raise ArgumentError(f"tensorinv: ind must be positive, got {ind}")
    x = float_operand(a, "tensorinv")
    first, rest = shape_of(x)[:ind], shape_of(x)[ind:]
    if math.prod(first) != math.prod(rest):
        raise ShapeError(
            f"tensorinv: shape {shape_of(x)} is not square: its first {ind} axes have {math.prod(first)} elements, the others {math.prod(rest)}"
        )
    flat = inverse(reshape(x, (math.prod(first), math.prod(rest))))
    return wrap(reshape(flat, (*rest, *first)))
