"""What the rules of linear algebra share: products, transposes, triangles and diagonals of stacks of matrices, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, aval_of, dtype_of, is_complex, is_inexact, real_dtype, shape_of
from fad.core.errors import DTypeError, LinAlgError, ShapeError
from fad.primitives.arithmetic import conj_if_complex, equal, imag, real, select
from fad.primitives.complex_parts import complex_from_parts
from fad.primitives.contraction import dot_general_p, mapped_front
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import broadcast_to, move_axis, permute, reduce_sum, reshape, zeros

__all__ = [
    "adjoint",
    "as_matrix",
    "diagonal",
    "embed_diagonal",
    "hermitian_part",
    "identity",
    "lapack_errors",
    "lower",
    "mapped_front",
    "one_over",
    "product",
    "require_matrices",
    "require_square",
    "scale_columns",
    "scale_rows",
    "skew_part",
    "stacked",
    "strictly_lower",
    "transpose_matrix",
    "upper",
]


def transpose_matrix(x: Any) -> Any:
    """The last two axes exchanged."""
    ndim = len(shape_of(x))
    return permute(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def adjoint(x: Any) -> Any:
    """The conjugate transpose of the last two axes."""
    return conj_if_complex(transpose_matrix(x))


def product(x: Any, y: Any, *more: Any) -> Any:
    """Matrix products from left to right of stacks with equal leading axes."""
    lead = tuple(range(len(shape_of(x)) - 2))
    out = dot_general_p.bind(x, y, contract=((len(lead) + 1,), (len(lead),)), batch=(lead, lead))
    return product(out, *more) if more else out


# --- triangles and diagonals ---------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def triangle_mask(rows: int, columns: int, offset: int) -> np.ndarray:
    """True on and below the diagonal with that offset."""
    mask = np.tri(rows, columns, offset, dtype=bool)
    mask.flags.writeable = False
    return mask


def lower(x: Any, offset: int = 0) -> Any:
    """The part on and below a diagonal, zeros elsewhere."""
    return select.bind(triangle_mask(*shape_of(x)[-2:], offset), x, dtype_of(x).type(0))


def upper(x: Any, offset: int = 0) -> Any:
    """The part on and above a diagonal, zeros elsewhere."""
    return select.bind(triangle_mask(*shape_of(x)[-2:], offset - 1), dtype_of(x).type(0), x)


def strictly_lower(x: Any) -> Any:
    """The part below the main diagonal, zeros elsewhere."""
    return lower(x, -1)


def diagonal(x: Any) -> Any:
    """The main diagonals of a stack of matrices."""
    *lead, rows, columns = shape_of(x)
    size = min(rows, columns)
    if size == 0:
        return reshape(slice_axis(slice_axis(x, len(lead), 0, 0), len(lead) + 1, 0, 0), (*lead, 0))
    flat = reshape(x, (*lead, rows * columns))
    return slice_axis(flat, len(lead), 0, (size - 1) * (columns + 1) + 1, columns + 1)


def embed_diagonal(x: Any) -> Any:
    """Square matrices with the vectors along the last axis as main diagonals."""
    shape = shape_of(x)
    size = shape[-1]
    square = broadcast_to(reshape(x, (*shape, 1)), (*shape, size))
    return select.bind(np.eye(size, dtype=bool), square, dtype_of(x).type(0))


def identity(lead: tuple[int, ...], size: int, dtype: np.dtype) -> Any:
    """Identity matrices."""
    return broadcast_to(np.eye(size, dtype=dtype), (*lead, size, size))


def scale_columns(x: Any, factors: Any) -> Any:
    """Each column times its factor."""
    shape = shape_of(factors)
    return x * reshape(factors, (*shape[:-1], 1, shape[-1]))


def scale_rows(x: Any, factors: Any) -> Any:
    """Each row times its factor."""
    return x * reshape(factors, (*shape_of(factors), 1))


def hermitian_part(x: Any) -> Any:
    """(x + adjoint) / 2."""
    return (x + adjoint(x)) * 0.5


def skew_part(x: Any) -> Any:
    """(x - adjoint) / 2."""
    return (x - adjoint(x)) * 0.5


def real_part(x: Any) -> Any:
    """The real part; real values as they are."""
    return real.bind(x) if is_complex(dtype_of(x)) else x


def imaginary_part(x: Any) -> Any:
    """The imaginary part of a complex value."""
    return imag.bind(x)


def one_over(x: Any, negligible: Any) -> Any:
    """1 / x, and 0 where x is negligible."""
    return select.bind(negligible, 0.0, 1.0 / select.bind(negligible, 1.0, x))


def one_over_nonzero(x: Any) -> Any:
    """1 / x, and 0 where x is 0."""
    return one_over(x, equal.bind(x, 0))


def column_inner(x: Any, y: Any) -> Any:
    """Inner products of corresponding columns, the first conjugated."""
    return reduce_sum(conj_if_complex(x) * y, (len(shape_of(x)) - 2,))


def with_imaginary(x: Any) -> Any:
    """1j * x for real x."""
    return complex_from_parts.bind(zeros(aval_of(x)), x)


# --- stacks and batching ----------------------------------------------------------------------------------------------------------------------


def stacked(primitive: Callable[[], Any]) -> Callable[..., Any]:
    """The batch rule of operations whose leading axes are stacks already: the mapped axis is one more of them."""

    def batch(size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        return primitive().bind(*mapped_front(size, args, mapped), **params), True

    return batch


def columns_of_stack(x: Any) -> Any:
    """The leading axis of stacked matrices (size, ..., n, k) moved into the columns: (..., n, size * k)."""
    shape = shape_of(x)
    moved = move_axis(x, 0, len(shape) - 2)
    return reshape(moved, (*shape[1:-1], shape[0] * shape[-1]))


def stack_of_columns(x: Any, size: int) -> Any:
    """Undo :func:`columns_of_stack`."""
    shape = shape_of(x)
    return move_axis(reshape(x, (*shape[:-1], size, shape[-1] // size)), len(shape) - 1, 0)


def as_matrix(x: Any) -> Any:
    """A stack of vectors as matrices of one column."""
    return reshape(x, (*shape_of(x), 1))


# --- checks -------------------------------------------------------------------------------------------------------------------------------------


def require_matrices(function: str, *avals: ShapedArray) -> None:
    """Raise unless every argument is a stack of real or complex matrices in single or double precision."""
    for aval in avals:
        if aval.ndim < 2:
            raise ShapeError(f"{function} needs matrices along the last two axes, got an array of shape {aval.shape}")
        if not is_inexact(aval.dtype) or aval.dtype.itemsize < 4:
            raise DTypeError(
                f"{function} works in float32, float64, complex64 and complex128, got {aval.dtype}; convert with x.astype(...)"
            )


def require_square(function: str, *avals: ShapedArray) -> None:
    """Raise unless every argument is a stack of square matrices."""
    require_matrices(function, *avals)
    for aval in avals:
        if aval.shape[-1] != aval.shape[-2]:
            raise ShapeError(f"{function} needs square matrices along the last two axes, got shape {aval.shape}")


def real_aval(aval: ShapedArray, shape: tuple[int, ...]) -> ShapedArray:
    """The type of real results of an operation on ``aval``."""
    return ShapedArray(shape, real_dtype(aval.dtype))


@contextmanager
def lapack_errors(function: str, x: Any, advice: str) -> Iterator[None]:
    """Turn NumPy's LinAlgError into fad's, which says where and what to do."""
    try:
        yield
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{function} of {x.dtype.name}{list(x.shape)}: {error}. {advice}") from None
