"""Booleans as the bits of bytes, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, shape_of
from fad.core.errors import ArgumentError, DTypeError
from fad.numpy.conversion import axis_numbers, operand
from fad.primitives.arithmetic import bitwise_and, bitwise_right_shift, multiply, not_equal
from fad.primitives.slicing import pad, slice_axis
from fad.primitives.structural import convert, move_axis, reduce_sum, reshape

__all__ = ["packbits", "unpackbits"]

_UINT8 = np.dtype(np.uint8)


def _shifts(function: str, bitorder: str) -> np.ndarray:
    if bitorder not in ("big", "little"):
        raise ArgumentError(f"{function}: bitorder must be 'big' or 'little', got {bitorder!r}")
    shifts = np.arange(8, dtype=np.uint8)
    return shifts[::-1].copy() if bitorder == "big" else shifts


def _last(function: str, x: Any, axis: Any) -> tuple[Any, int]:
    """The operand with the axis at the end, all of it in one axis for ``None``; and where that axis was."""
    if axis is None:
        return reshape(x, (int(np.prod(shape_of(x))),)), 0
    (number,) = axis_numbers(axis, len(shape_of(x)), function)
    return move_axis(x, number, len(shape_of(x)) - 1), number


def _ended(x: Any, count: int) -> Any:
    """The operand with as many zeros at the end of its last axis."""
    return pad(x, (*((0, 0, 0),) * (len(shape_of(x)) - 1), (0, count, 0)))


def packbits(a: Any, /, axis: int | None = None, bitorder: str = "big") -> Array:
    """Eight booleans in each byte; what is missing to eight counts as 0.

    Parameters
    ----------
    a : array_like of bool or int
        What is not 0 is a 1.
    axis : int, optional
        The axis that is packed; by default all elements in order.
    bitorder : {"big", "little"}
        Whether the first element is the highest bit or the lowest.

    Returns
    -------
    Array of uint8

    Raises
    ------
    DTypeError
        If the elements are neither booleans nor integers.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.packbits([1, 0, 1])
    Array([160], dtype=uint8)
    """
    x = operand(a, "packbits")
    if dtype_of(x).kind not in "biu":
        raise DTypeError(
            f"packbits: the elements must be booleans or integers, got {dtype_of(x)}; compare first, as in x > 0"
        )
    rows, number = _last("packbits", x, axis)
    *lead, size = shape_of(rows)
    count = -(-size // 8)
    bits = convert(not_equal.bind(rows, 0), _UINT8)
    bits = _ended(bits, 8 * count - size)
    values = multiply.bind(reshape(bits, (*lead, count, 8)), np.uint8(1) << _shifts("packbits", bitorder))
    return wrap(move_axis(convert(reduce_sum(values, (len(lead) + 1,)), _UINT8), len(lead), number))


def unpackbits(a: Any, /, axis: int | None = None, count: int | None = None, bitorder: str = "big") -> Array:
    """The bits of bytes, each in a byte of its own.

    Parameters
    ----------
    a : array_like of uint8
        The bytes.
    axis : int, optional
        The axis along which bits take the place of bytes; by default all bytes in order.
    count : int, optional
        How many bits to give: zeros follow if there are fewer; a negative number leaves as many out at the end.
    bitorder : {"big", "little"}
        Whether the highest bit comes first or the lowest.

    Returns
    -------
    Array of uint8

    Raises
    ------
    DTypeError
        If the elements are not uint8.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.unpackbits(fnp.array([160], dtype="uint8"), count=3)
    Array([1, 0, 1], dtype=uint8)
    """
    x = operand(a, "unpackbits")
    if dtype_of(x) != _UINT8:
        raise DTypeError(f"unpackbits: the elements must be uint8, got {dtype_of(x)}; convert with x.astype('uint8')")
    rows, number = _last("unpackbits", x, axis)
    *lead, size = shape_of(rows)
    shifted = bitwise_right_shift.bind(reshape(rows, (*lead, size, 1)), _shifts("unpackbits", bitorder))
    bits = reshape(bitwise_and.bind(shifted, np.uint8(1)), (*lead, 8 * size))
    wanted = 8 * size if count is None else count if count >= 0 else 8 * size + count
    if wanted < 0:
        raise ArgumentError(f"unpackbits: count={count} leaves out more than the {8 * size} bits")
    bits = slice_axis(bits, len(lead), 0, min(wanted, 8 * size))
    bits = _ended(bits, max(wanted - 8 * size, 0))
    return wrap(move_axis(bits, len(lead), number))
