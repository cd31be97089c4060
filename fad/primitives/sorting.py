"""Sorting and searching: stable orders, partitions and positions in sorted arrays.

Values follow their permutation, so the derivative of a sort picks tangents in sorted order. Equal elements keep their order; permutations and
positions themselves carry no derivative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, is_bfloat16, shape_of
from fad.core.errors import IndexOutOfBoundsError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import b1, c128, case, f32, f64, i64, literal
from fad.primitives.indexing import along_axis, gather_transpose, take_along_axis
from fad.primitives.slicing import flip, slice_axis
from fad.primitives.structural import broadcast_to

__all__ = ["argpartition", "argsort", "lexsort", "searchsorted", "sort", "top_k"]

_SORTED = [
    case(f64(2, 3, 4), axis=1),
    case(f64(5), axis=0),
    case(f64(1), axis=0),
    case(f64(0, 3), axis=0),
    case(f32(2, 4), axis=1),
    case(c128(4), axis=0),
    case(i64(2, 4), axis=0),
    case(b1(5), axis=0),
]


def _check_axis(function: str, x: ShapedArray, axis: int) -> None:
    if not 0 <= axis < x.ndim:
        raise ShapeError(f"{function} along axis {axis} of an array of shape {x.shape}: there is no such axis")


def _ordered(x: Any) -> Any:
    """bfloat16 as float32: NumPy sorts types that are not its own by comparisons, among which a NaN stops the order."""
    return x.astype(np.float32) if is_bfloat16(x.dtype) else x


def _argsort_shape(x: ShapedArray, *, axis: int) -> ShapedArray:
    _check_axis("argsort", x, axis)
    return ShapedArray(x.shape, np.dtype(np.int64))


argsort_p = Primitive(
    "argsort",
    impl=lambda xp, x, *, axis: xp.argsort(_ordered(x), axis=axis, kind="stable"),
    shape=_argsort_shape,
    jvp=None,
    vjp=None,
    batch=lambda size, args, mapped, *, axis: (argsort(args[0], axis + 1), True),
    kernel="argsort",
    samples=_SORTED,
    doc="The stable order that sorts; NaN comes last.",
)


def argsort(x: Any, axis: int) -> Any:
    """The stable order that sorts ``x`` along a non-negative axis."""
    return argsort_p.bind(x, axis=axis)


def _sort_shape(x: ShapedArray, *, axis: int) -> ShapedArray:
    _check_axis("sort", x, axis)
    return x.update()


def _sort_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int) -> Any:
    order = argsort(primals[0], axis)
    return (
        take_along_axis(primals[0], order, axis, unique=True),
        take_along_axis(tangents[0], order, axis, unique=True),
    )


def _sort_vjp(x: Any, *, axis: int) -> Any:
    order, shape = argsort(x, axis), shape_of(x)
    out = take_along_axis(x, order, axis, unique=True)

    def pullback(ct: Any) -> list[Any]:
        return [gather_transpose(ct, along_axis(order, axis, shape), shape, tuple(range(len(shape))), unique=True)]

    return out, pullback


sort_p = Primitive(
    "sort",
    impl=lambda xp, x, *, axis: xp.sort(_ordered(x), axis=axis, kind="stable").astype(x.dtype, copy=False),
    shape=_sort_shape,
    jvp=_sort_jvp,
    vjp=_sort_vjp,
    batch=lambda size, args, mapped, *, axis: (sort(args[0], axis + 1), True),
    kernel="sort",
    samples=_SORTED,
    doc="Ascending; NaN comes last. Among equal elements each keeps its own tangent, in their order.",
)


def sort(x: Any, axis: int) -> Any:
    """``x`` in ascending order along a non-negative axis."""
    return sort_p.bind(x, axis=axis)


# --- partitions --------------------------------------------------------------------------------------------------------------------------


def _argpartition_shape(x: ShapedArray, *, kth: tuple[int, ...], axis: int) -> ShapedArray:
    _check_axis("argpartition", x, axis)
    if any(not 0 <= k < x.shape[axis] for k in kth):
        raise IndexOutOfBoundsError(
            f"partition: kth {kth} is out of bounds for axis {axis} of size {x.shape[axis]} of an array of shape {x.shape}"
        )
    return ShapedArray(x.shape, np.dtype(np.int64))


def _argpartition_impl(xp: Any, x: Any, *, kth: tuple[int, ...], axis: int) -> Any:
    if xp.size(x) == 0:
        return xp.zeros(x.shape, np.int64)
    return xp.argpartition(_ordered(x), list(kth), axis=axis)


argpartition_p = Primitive(
    "argpartition",
    impl=_argpartition_impl,
    shape=_argpartition_shape,
    jvp=None,
    vjp=None,
    batch=lambda size, args, mapped, *, kth, axis: (argpartition(args[0], kth, axis + 1), True),
    kernel="argpartition",
    samples=[
        case(f64(6), kth=(2,), axis=0),
        case(f64(2, 5), kth=(1, 3), axis=1),
        case(f32(4, 2), kth=(0,), axis=0),
        case(i64(5), kth=(4,), axis=0),
    ],
    doc="An order that puts the elements at the positions kth where sorting would, smaller ones before, larger ones behind.",
)


def argpartition(x: Any, kth: tuple[int, ...], axis: int) -> Any:
    """An order that partitions ``x`` at non-negative positions along a non-negative axis."""
    return argpartition_p.bind(x, kth=kth, axis=axis)


def top_k(x: Any, k: int, axis: int) -> tuple[Any, Any]:
    """The ``k`` largest elements in descending order and their positions; of equal ones the first come first, NaN is largest."""
    size = shape_of(x)[axis]
    # Sorting from the other end keeps the order stable, for unsigned integers too.
    order = flip(argsort(flip(x, (axis,)), axis), (axis,))
    positions = (size - 1) - slice_axis(order, axis, 0, k)
    return take_along_axis(x, positions, axis, unique=True), positions


def lexsort(keys: Sequence[Any], axis: int) -> Any:
    """The stable order that sorts by the last key, then by those before it."""
    order = argsort(keys[0], axis)
    for key in keys[1:]:
        later = argsort(take_along_axis(key, order, axis), axis)
        order = take_along_axis(order, later, axis)
    return order


# --- positions in a sorted array ---------------------------------------------------------------------------------------------------------


def _searchsorted_impl(xp: Any, a: Any, v: Any, *, side: str, batched: int) -> Any:
    a, v = _ordered(a), _ordered(v)
    if not batched:
        return xp.searchsorted(a, v, side=side)
    count = math.prod(a.shape[:batched])
    rows, values = a.reshape(count, a.shape[-1]), v.reshape(count, math.prod(v.shape[batched:]))
    found = [xp.searchsorted(row, value, side=side) for row, value in zip(rows, values, strict=True)]
    return xp.stack(found).reshape(v.shape) if found else xp.zeros(v.shape, np.int64)


def _searchsorted_shape(a: ShapedArray, v: ShapedArray, *, side: str, batched: int) -> ShapedArray:
    if a.ndim != batched + 1 or v.shape[:batched] != a.shape[:batched]:
        raise ShapeError(
            f"searchsorted needs a sorted array with one axis, got shape {a.shape}; for several of them use fad.vmap"
        )
    return ShapedArray(v.shape, np.dtype(np.int64))


def _searchsorted_batch(
    size: int, args: Sequence[Any], mapped: Sequence[bool], *, side: str, batched: int
) -> tuple[Any, bool]:
    a, v = args
    if not mapped[0] and not batched:
        return searchsorted_p.bind(a, v, side=side, batched=0), True
    a, v = (x if m else broadcast_to(x, (size, *shape_of(x))) for x, m in zip(args, mapped, strict=True))
    return searchsorted_p.bind(a, v, side=side, batched=batched + 1), True


searchsorted_p = Primitive(
    "searchsorted",
    impl=_searchsorted_impl,
    shape=_searchsorted_shape,
    jvp=None,
    vjp=None,
    batch=_searchsorted_batch,
    kernel="searchsorted",
    samples=[
        case(literal(np.array([-1.0, 0.0, 0.5, 2.0])), f64(2, 3), side="left", batched=0),
        case(literal(np.array([-1, 0, 0, 2])), i64(3), side="right", batched=0),
        case(literal(np.array([0.0, 1.0])), f64(), side="left", batched=0),
        case(f64(0), f64(3), side="left", batched=0),
        case(f64(2, 4, transform=lambda x: np.sort(x, axis=-1)), f64(2, 3), side="right", batched=1),
    ],
    doc="How many elements of the sorted array stand before each value; the leading `batched` axes are shared.",
)


def searchsorted(a: Any, v: Any, side: str = "left") -> Any:
    """Where values would be inserted into a sorted array with one axis."""
    return searchsorted_p.bind(a, v, side=side, batched=0)
