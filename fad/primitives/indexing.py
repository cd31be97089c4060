"""Reading elements by index: ``basic_index`` (integers and slices) and ``gather`` (integer arrays), each with its transpose.

``gather`` is NumPy's advanced indexing: one integer array for each indexed axis, broadcast against each other; the axes of the indices take
the place of the indexed axes where those are adjacent, else they come first. Negative indices count from the end.

What an index outside its axis does is the static parameter ``mode``: ``"raise"`` an :class:`~fad.core.errors.IndexOutOfBoundsError`,
``"clip"`` to the nearest element, or ``"drop"``: read 0, write nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fad.core.array import host_buffer
from fad.core.avals import ShapedArray, aval_of, dtype_name, dtype_of, shape_of
from fad.core.cotangents import IndexedCotangent
from fad.core.errors import DTypeError, IndexOutOfBoundsError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import b1, c128, case, f32, f64, i64, literal
from fad.core.trace import CURRENT, EVAL
from fad.primitives.arithmetic import minimum
from fad.primitives.repeated_rows import add_rows
from fad.primitives.slicing import concatenate, flip, static_slice
from fad.primitives.structural import broadcast_to, convert, expand_front, iota, linear_unary, permute, reshape, zeros

__all__ = ["basic_index", "check_bounds", "gather", "gather_transpose", "index_position", "take_along_axis", "unstack"]

Entry = int | tuple[int, int, int] | None


# --- basic indexing: one operation where it is evaluated at once, slices and reshapes where it is staged ------------------------------


@lru_cache(maxsize=4096)
def native_index(index: tuple[Entry, ...]) -> tuple[Any, ...]:
    """The index that NumPy takes; slices are not hashable before Python 3.12, so parameters hold triples."""
    return tuple(slice(e[0], e[1] if e[1] >= 0 or e[2] > 0 else None, e[2]) if type(e) is tuple else e for e in index)


def _entry_size(entry: tuple[int, int, int]) -> int:
    return len(range(*entry))


def basic_index_shape(x: ShapedArray, *, index: tuple[Entry, ...]) -> ShapedArray:
    """The type of ``x[index]``."""
    taken = [e for e in index if e is not None]
    if len(taken) > x.ndim:
        raise ShapeError(f"too many indices: {len(taken)} for an array of shape {x.shape}")
    sizes = iter(x.shape)
    shape: list[int] = []
    for entry in index:
        if entry is None:
            shape.append(1)
            continue
        size = next(sizes)
        if type(entry) is tuple:
            shape.append(_entry_size(entry))
        elif not 0 <= entry < size:  # type: ignore[operator]
            raise IndexOutOfBoundsError(
                f"index {entry} is outside an axis of size {size} of an array of shape {x.shape}"
            )
    return ShapedArray((*shape, *sizes), x.dtype)


def _basic_index_pullback(out: Any, primals: Any, active: Any, params: dict[str, Any]) -> Any:
    return _pull_piece, aval_of(primals[0]), params["index"]


def _pull_piece(ct: Any, aval: ShapedArray, index: tuple[Entry, ...]) -> Any:
    if isinstance(ct, (np.ndarray, np.generic)):
        return IndexedCotangent(ct, native_index(index), aval.shape, aval.dtype)
    return basic_index_transpose_p.bind(ct, shape=aval.shape, index=index)


basic_index_p = linear_unary(
    "basic_index",
    impl=lambda xp, x, *, index: x[native_index(index)],
    shape=basic_index_shape,
    transpose=lambda ct, aval, *, index: basic_index_transpose_p.bind(ct, shape=aval.shape, index=index),
    batch=lambda size, x, *, index: basic_index_p.bind(x, index=((0, size, 1), *index)),
    kernel="basic_index",
    samples=[
        case(f64(5, 4), index=(2,)),
        case(f64(5, 4), index=((1, 4, 1), 2)),
        case(f64(5), index=((4, -1, -2),)),
        case(f64(3, 4), index=(None, (0, 3, 2), None, 1)),
        case(f64(3), index=((2, 2, 1),)),
        case(f64(3), index=(1,)),
        case(f32(2, 3), index=(1, 2)),
        case(c128(3), index=((1, 3, 1),)),
        case(i64(3), index=(0,)),
        case(b1(3), index=((2, -1, -1),)),
        case(f64(), index=(None,)),
    ],
    pullback_from=_basic_index_pullback,
    doc="Integers, slices as (start, stop, step) and new axes; a stop of -1 with a negative step means past the first element.",
)


def _basic_index_transpose_impl(xp: Any, ct: Any, *, shape: tuple[int, ...], index: tuple[Entry, ...]) -> Any:
    out = xp.zeros(shape, ct.dtype if hasattr(ct, "dtype") else None)
    out[native_index(index)] = ct
    return out


basic_index_transpose_p = linear_unary(
    "basic_index_transpose",
    impl=_basic_index_transpose_impl,
    shape=lambda ct, *, shape, index: ShapedArray(shape, ct.dtype),
    transpose=lambda ct, aval, *, shape, index: basic_index_p.bind(ct, index=index),
    batch=lambda size, ct, *, shape, index: basic_index_transpose_p.bind(
        ct, shape=(size, *shape), index=((0, size, 1), *index)
    ),
    kernel="basic_index_transpose",
    samples=[
        case(f64(4), shape=(5, 4), index=(2,)),
        case(f64(3), shape=(5, 4), index=((1, 4, 1), 2)),
        case(f64(3), shape=(5,), index=((4, -1, -2),)),
        case(f64(1, 2, 1), shape=(3, 4), index=(None, (0, 3, 2), None, 1)),
        case(f32(), shape=(2, 3), index=(1, 2)),
        case(c128(2), shape=(3,), index=((1, 3, 1),)),
    ],
    doc="Zeros with the cotangent placed at the index.",
)


def canonical_slices(
    shape: tuple[int, ...], index: tuple[Entry, ...]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Starts, stops and positive steps for every axis, and the axes that run backwards."""
    entries = [e for e in index if e is not None]
    entries += [(0, n, 1) for n in shape[len(entries) :]]
    bounds, reverse = [], []
    for axis, entry in enumerate(entries):
        if type(entry) is not tuple:
            entry = (entry, entry + 1, 1)  # type: ignore[operator]
        elif entry[2] < 0:
            count = _entry_size(entry)
            last = entry[0] + (count - 1) * entry[2]
            entry = (last, entry[0] + 1, -entry[2]) if count else (0, 0, 1)
            reverse.append(axis)
        bounds.append(entry)
    starts, stops, steps = zip(*bounds, strict=True) if bounds else ((), (), ())
    return starts, stops, steps, tuple(reverse)


def basic_index(x: Any, index: tuple[Entry, ...]) -> Any:
    """``x[index]`` for non-negative integers, normalised (start, stop, step) triples and ``None``; missing axes are kept whole."""
    if CURRENT.get().base is EVAL:
        return basic_index_p.bind(x, index=index)
    aval = ShapedArray(shape_of(x), dtype_of(x))
    target = basic_index_shape(aval, index=index).shape
    starts, stops, steps, reverse = canonical_slices(aval.shape, index)
    return reshape(flip(static_slice(x, starts, stops, steps), reverse), target)


# --- all rows at once --------------------------------------------------------------------------------------------------------------------


def _unstack_vjp(x: Any, *, axis: int) -> Any:
    shape, dtype = shape_of(x), dtype_of(x)
    rows = (*shape[:axis], 1, *shape[axis + 1 :])

    def pullback(cotangents: Sequence[Any]) -> list[Any]:
        blank = None
        parts = []
        for ct in cotangents:
            if ct is None:
                ct = blank = zeros(ShapedArray(rows, dtype)) if blank is None else blank
            parts.append(reshape(ct, rows))
        return [concatenate(parts, axis)]

    return unstack_p.bind(x, axis=axis), pullback


def _unstack_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, axis: int) -> Any:
    return unstack_p.bind(args[0], axis=axis + 1), True


unstack_p = Primitive(
    "unstack",
    impl=lambda xp, x, *, axis: list(x if axis == 0 else xp.moveaxis(x, axis, 0)),
    shape=lambda x, *, axis: [ShapedArray((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype)] * x.shape[axis],
    jvp=lambda primals, tangents, *, axis: (
        unstack_p.bind(primals[0], axis=axis),
        unstack_p.bind(tangents[0], axis=axis),
    ),
    vjp=_unstack_vjp,
    batch=_unstack_batch,
    kernel="unstack",
    samples=[
        case(f64(3, 2), axis=0),
        case(f64(2, 3), axis=1),
        case(f64(2), axis=0),
        case(f32(1, 2), axis=0),
        case(c128(2), axis=0),
    ],
    multiple_results=True,
    keeps_missing=True,
    doc="The slices along an axis, all at once: what iteration reads, with one entry on the tape.",
)


def unstack(x: Any, axis: int) -> list[Any]:
    """The slices of ``x`` along a non-negative axis."""
    size = shape_of(x)[axis]
    if size and CURRENT.get().base is EVAL:
        return unstack_p.bind(x, axis=axis)
    return [basic_index(x, (*[(0, n, 1) for n in shape_of(x)[:axis]], k)) for k in range(size)]


# --- gather ------------------------------------------------------------------------------------------------------------------------------


def index_position(axes: tuple[int, ...]) -> int:
    """Where the axes of the indices stand in the result: in place of adjacent indexed axes, else in front."""
    first = axes[0]
    return first if axes == tuple(range(first, first + len(axes))) else 0


def signed(index: Any) -> Any:
    """Integers of a type that holds negative ones too: those that do not fit into int64 are as far outside as can be, not negative."""
    if dtype_of(index) != np.uint64:
        return index
    return convert(minimum.bind(index, np.uint64(np.iinfo(np.int64).max)), np.dtype(np.int64))


def check_bounds(function: str, shape: tuple[int, ...], axes: tuple[int, ...], indices: Sequence[Any]) -> None:
    """Raise if an index is outside its axis; the indices are buffers."""
    for axis, index in zip(axes, indices, strict=True):
        size = shape[axis]
        outside = (index < -size) | (index >= size)
        if outside if isinstance(outside, bool) else outside.any():
            values, outside = host_buffer(index), host_buffer(outside)
            where = np.unravel_index(int(np.argmax(outside)), outside.shape)
            place = f" (element {list(map(int, where))} of the index array)" if outside.shape else ""
            raise IndexOutOfBoundsError(
                f"{function}: index {values[where]}{place} is out of bounds for axis {axis} of size {size} of an array of shape "
                f"{shape}; valid are {-size} to {size - 1}. "
                'With fad.config.using(out_of_bounds="clip") or "drop" such indices are clipped or ignored instead.'
            ) from None  # NumPy's own says less


def indices_shape(function: str, indices: Sequence[ShapedArray]) -> tuple[int, ...]:
    """The common shape of integer index arrays."""
    for index in indices:
        if index.dtype.kind not in "iu":
            raise DTypeError(
                f"{function}: indices must be integers, got {dtype_name(index.dtype)}; convert with x.astype(int)"
            )
    try:
        return np.broadcast_shapes(*[i.shape for i in indices])
    except ValueError:
        seen = " and ".join(str(i.shape) for i in indices)
        raise ShapeError(f"{function}: the shapes {seen} of the index arrays do not broadcast") from None


def gathered_shape(
    function: str, shape: tuple[int, ...], axes: tuple[int, ...], indices: Sequence[ShapedArray]
) -> tuple[int, ...]:
    """The shape of what the indices read from an array of ``shape``."""
    if any(not 0 <= a < len(shape) for a in axes) or list(axes) != sorted(set(axes)) or len(axes) != len(indices):
        raise ShapeError(f"{function}: {len(indices)} indices for axes {axes} of an array of shape {shape}")
    rest = [n for i, n in enumerate(shape) if i not in axes]
    at = index_position(axes)
    return (*rest[:at], *indices_shape(function, indices), *rest[at:])


def bounded(
    xp: Any, shape: tuple[int, ...], axes: tuple[int, ...], indices: Sequence[Any], mode: str
) -> tuple[list[Any], Any]:
    """Indices inside their axes, and for the mode "drop" which of them were (else ``None``)."""
    if mode == "raise":
        return list(indices), None
    inside: Any = True
    found = []
    for axis, index in zip(axes, indices, strict=True):
        size = shape[axis]
        index = xp.asarray(index)
        if index.dtype.kind == "u":
            index = xp.minimum(index, index.dtype.type(min(size, np.iinfo(index.dtype).max)))  # may not fit into int64
        index = index.astype(np.int64)
        wrapped = xp.where(index < 0, index + size, index)
        if mode == "drop":
            inside = inside & ((wrapped >= 0) & (wrapped < size))
        found.append(xp.clip(wrapped, 0, max(size - 1, 0)))
    return found, inside if mode == "drop" else None


def at_axes(axes: tuple[int, ...], indices: Sequence[Any]) -> tuple[Any, ...]:
    """The index with each of the indices at its axis and all other axes whole."""
    entries: list[Any] = [slice(None)] * (axes[-1] + 1)
    for axis, index in zip(axes, indices, strict=True):
        entries[axis] = index
    return tuple(entries)


def _expand_mask(xp: Any, inside: Any, axes: tuple[int, ...], ndim: int, count: int) -> Any:
    """The mask of indices, with an axis of size 1 for each axis of the result that stands behind the axes of the indices."""
    behind = ndim - index_position(axes) - count
    inside = xp.broadcast_to(inside, (1,) * (count - xp.ndim(inside)) + xp.shape(inside))
    return xp.reshape(inside, (*inside.shape, *(1,) * behind))


def _gather_impl(xp: Any, x: Any, *indices: Any, axes: tuple[int, ...], mode: str, unique: bool) -> Any:
    x = xp.asarray(x)
    found, inside = bounded(xp, x.shape, axes, indices, mode)
    if inside is not None and any(x.shape[a] == 0 for a in axes):
        avals = [ShapedArray(np.shape(i), np.int64) for i in indices]
        return xp.zeros(gathered_shape("gather", x.shape, axes, avals), x.dtype)
    if xp is not np and mode == "raise":
        check_bounds("indexing", x.shape, axes, found)  # CuPy wraps indices around without a word
    try:
        out = x[at_axes(axes, found)]
    except (IndexError, OverflowError):
        check_bounds("indexing", x.shape, axes, found)
        raise
    if inside is None:
        return out
    count = max(xp.ndim(i) for i in found)
    return xp.where(_expand_mask(xp, inside, axes, xp.ndim(out), count), out, x.dtype.type(0))


def _gather_shape(x: ShapedArray, *indices: ShapedArray, axes: tuple[int, ...], mode: str, unique: bool) -> ShapedArray:
    return ShapedArray(gathered_shape("gather", x.shape, axes, indices), x.dtype)


def _gather_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    out = gather_p.bind(*primals, **params)
    if tangents[0] is None:
        return out, None
    return out, gather_p.bind(tangents[0], *primals[1:], **params)


def _gather_vjp(x: Any, *indices: Any, axes: tuple[int, ...], mode: str, unique: bool) -> Any:
    shape = shape_of(x)
    out = gather_p.bind(x, *indices, axes=axes, mode=mode, unique=unique)

    def pullback(ct: Any) -> list[Any]:
        x_ct = gather_transpose_p.bind(ct, *indices, shape=shape, axes=axes, mode=mode, unique=unique)
        return [x_ct, *[None] * len(indices)]

    return out, pullback


def move_block(x: Any, start: int, count: int, to: int) -> Any:
    """``x`` with ``count`` adjacent axes moved so that they begin at ``to`` among the others."""
    block = list(range(start, start + count))
    rest = [a for a in range(len(shape_of(x))) if a not in block]
    return permute(x, (*rest[:to], *block, *rest[to:]))


def batched_indices(size: int, indices: Sequence[Any], mapped: Sequence[bool]) -> tuple[list[Any], int]:
    """Index arrays with the mapped axis in front, aligned for broadcasting, and the rank of the indices of one example."""
    count = max(len(shape_of(i)) - m for i, m in zip(indices, mapped, strict=True))
    return [expand_front(i, m, count) for i, m in zip(indices, mapped, strict=True)], count


def batch_row(size: int, count: int) -> Any:
    """0 ... size - 1 along the mapped axis of indices whose own rank is ``count``."""
    return reshape(iota(size), (size,) + (1,) * count)


def _gather_batch(
    size: int, args: Sequence[Any], mapped: Sequence[bool], *, axes: tuple[int, ...], mode: str, unique: bool
) -> Any:
    x = args[0]
    indices, count = batched_indices(size, args[1:], mapped[1:])
    at, later = index_position(axes), tuple(a + 1 for a in axes)
    if not any(mapped[1:]):
        out = gather_p.bind(x, *indices, axes=later, mode=mode, unique=unique)
        return move_block(out, 0 if index_position(later) == 0 else at + 1, count, at + 1), True
    if not mapped[0]:
        out = gather_p.bind(x, *indices, axes=axes, mode=mode, unique=False)
        return move_block(out, at, 1, 0), True
    out = gather_p.bind(x, batch_row(size, count), *indices, axes=(0, *later), mode=mode, unique=unique)
    return move_block(out, 1, count, at + 1), True


gather_p = Primitive(
    "gather",
    impl=_gather_impl,
    shape=_gather_shape,
    jvp=_gather_jvp,
    vjp=_gather_vjp,
    batch=_gather_batch,
    kernel="gather",
    samples=[
        case(f64(4, 3), i64(5, low=0, high=4), axes=(0,), mode="raise", unique=False),
        case(f64(4, 3), i64(2, 2, low=-3, high=3), axes=(1,), mode="raise", unique=False),
        case(f64(4, 3, 2), i64(2, 1, low=0, high=4), i64(3, low=0, high=3), axes=(0, 1), mode="raise", unique=False),
        case(f64(4, 3, 2), i64(3, low=0, high=4), i64(3, low=0, high=2), axes=(0, 2), mode="raise", unique=False),
        case(f64(2, 4, 3), i64(5, low=-4, high=4), axes=(1,), mode="raise", unique=False),
        case(f64(4), i64(low=0, high=4), axes=(0,), mode="raise", unique=False),
        case(f64(4, 3), i64(0, low=0, high=4), axes=(0,), mode="raise", unique=False),
        case(f64(4), literal(np.array([3, 0, 2])), axes=(0,), mode="raise", unique=True),
        case(f64(4, 2), literal(np.array([3, 7, -9])), axes=(0,), mode="clip", unique=False),
        case(f64(4, 2), literal(np.array([3, 7, -9, 3])), axes=(0,), mode="drop", unique=False),
        case(f32(4), i64(3, low=0, high=4), axes=(0,), mode="raise", unique=False),
        case(c128(4), i64(3, low=0, high=4), axes=(0,), mode="raise", unique=False),
        case(i64(4), i64(3, low=0, high=4), axes=(0,), mode="raise", unique=False),
        case(b1(4), i64(3, low=0, high=4), axes=(0,), mode="raise", unique=False),
    ],
    doc="Elements at integer index arrays. `unique` promises that no element is read twice.",
)


# --- the transpose of gather: add into zeros ---------------------------------------------------------------------------------------------


def flat_positions(
    xp: Any, function: str, shape: tuple[int, ...], axes: tuple[int, ...], indices: Sequence[Any], mode: str
) -> Any:
    """One position for each broadcast index in the indexed axes taken together; the position behind the last means "drop"."""
    found, inside = bounded(xp, shape, axes, indices, mode)
    if mode != "drop":
        check_bounds(function, shape, axes, found)  # nothing can be clipped to an empty axis
    position: Any = 0
    for axis, index in zip(axes, found, strict=True):
        index = xp.asarray(index).astype(np.int64)
        position = position * shape[axis] + xp.where(index < 0, index + shape[axis], index)
    count = math.prod(shape[a] for a in axes)
    position = position if inside is None else xp.where(inside, position, count)
    return xp.asarray(position).ravel()


def rows_of(xp: Any, values: Any, at: int, count: int) -> Any:
    """Values with their index axes, ``count`` of them at position ``at``, joined in front, and the other axes joined behind."""
    ndim = xp.ndim(values)
    order = [*range(at, at + count), *range(at), *range(at + count, ndim)]
    moved = xp.transpose(values, order)
    rows = math.prod(moved.shape[:count])
    return moved.reshape(rows, math.prod(moved.shape[count:]))


def _gather_transpose_impl(
    xp: Any, ct: Any, *indices: Any, shape: tuple[int, ...], axes: tuple[int, ...], mode: str, unique: bool
) -> Any:
    ct = xp.asarray(ct)
    if mode == "raise" and (unique or all(xp.ndim(i) == 0 for i in indices)):
        out = xp.zeros(shape, ct.dtype)
        if xp is not np:
            check_bounds("indexing", shape, axes, indices)
        try:
            out[at_axes(axes, indices)] = ct
        except (IndexError, OverflowError):
            check_bounds("indexing", shape, axes, indices)
            raise
        return out
    if mode == "raise" and len(shape) == 1 and xp is np:
        return _add_along_one_axis(ct, indices[0], shape)
    positions = flat_positions(xp, "indexing", shape, axes, indices, mode)
    rest = [n for i, n in enumerate(shape) if i not in axes]
    total = math.prod(shape[a] for a in axes)
    table = xp.zeros((total + (mode == "drop"), math.prod(rest)), ct.dtype)
    at, count = index_position(axes), max(xp.ndim(i) for i in indices)
    add_rows(xp, table, positions, rows_of(xp, ct, at, count))
    table = table[:total].reshape(*[shape[a] for a in axes], *rest)
    order = [*axes, *[i for i in range(len(shape)) if i not in axes]]
    return xp.transpose(table, [order.index(i) for i in range(len(shape))])


def _add_along_one_axis(ct: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """The usual case without detour: NumPy itself wraps negative indices and finds those out of bounds."""
    out = np.zeros(shape, ct.dtype)
    try:
        np.add.at(out, np.ravel(index), np.ravel(ct))
    except (IndexError, OverflowError):
        check_bounds("indexing", shape, (0,), [index])
        raise
    return out


def _gather_transpose_shape(
    ct: ShapedArray,
    *indices: ShapedArray,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    mode: str,
    unique: bool,
) -> ShapedArray:
    expected = gathered_shape("gather_transpose", shape, axes, indices)
    if ct.shape != expected:
        raise ShapeError(f"gather_transpose: the indices read shape {expected}, but the cotangent has shape {ct.shape}")
    return ShapedArray(shape, ct.dtype)


def _gather_transpose_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    out = gather_transpose_p.bind(*primals, **params)
    if tangents[0] is None:
        return out, None
    return out, gather_transpose_p.bind(tangents[0], *primals[1:], **params)


def _gather_transpose_vjp(
    ct: Any, *indices: Any, shape: tuple[int, ...], axes: tuple[int, ...], mode: str, unique: bool
) -> Any:
    out = gather_transpose_p.bind(ct, *indices, shape=shape, axes=axes, mode=mode, unique=unique)

    def pullback(cotangent: Any) -> list[Any]:
        return [gather_p.bind(cotangent, *indices, axes=axes, mode=mode, unique=unique), *[None] * len(indices)]

    return out, pullback


def _gather_transpose_batch(
    size: int,
    args: Sequence[Any],
    mapped: Sequence[bool],
    *,
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    mode: str,
    unique: bool,
) -> Any:
    ct = args[0] if mapped[0] else broadcast_to(args[0], (size, *shape_of(args[0])))
    indices, count = batched_indices(size, args[1:], mapped[1:])
    at, later = index_position(axes), tuple(a + 1 for a in axes)
    params = {"shape": (size, *shape), "mode": mode, "unique": unique}
    if not any(mapped[1:]):
        ct = move_block(ct, at + 1, count, 0 if index_position(later) == 0 else at + 1)
        return gather_transpose_p.bind(ct, *indices, axes=later, **params), True
    ct = move_block(ct, at + 1, count, 1)
    return gather_transpose_p.bind(ct, batch_row(size, count), *indices, axes=(0, *later), **params), True


gather_transpose_p = Primitive(
    "gather_transpose",
    impl=_gather_transpose_impl,
    shape=_gather_transpose_shape,
    jvp=_gather_transpose_jvp,
    vjp=_gather_transpose_vjp,
    batch=_gather_transpose_batch,
    kernel="gather_transpose",
    samples=[
        case(f64(5, 3), i64(5, low=0, high=4), shape=(4, 3), axes=(0,), mode="raise", unique=False),
        case(f64(4, 2, 2), i64(2, 2, low=-3, high=3), shape=(4, 3), axes=(1,), mode="raise", unique=False),
        case(
            f64(3, 3),
            i64(3, low=0, high=4),
            i64(3, low=0, high=2),
            shape=(4, 3, 2),
            axes=(0, 2),
            mode="raise",
            unique=False,
        ),
        case(f64(5), i64(5, low=0, high=4), shape=(4,), axes=(0,), mode="raise", unique=False),
        case(f64(), i64(low=0, high=4), shape=(4,), axes=(0,), mode="raise", unique=False),
        case(f64(3), literal(np.array([3, 0, 2])), shape=(4,), axes=(0,), mode="raise", unique=True),
        case(f64(3, 2), literal(np.array([3, 7, -9])), shape=(4, 2), axes=(0,), mode="clip", unique=False),
        case(f64(4, 2), literal(np.array([3, 7, -9, 3])), shape=(4, 2), axes=(0,), mode="drop", unique=False),
        case(f32(3), i64(3, low=0, high=4), shape=(4,), axes=(0,), mode="raise", unique=False),
        case(c128(3), i64(3, low=0, high=4), shape=(4,), axes=(0,), mode="raise", unique=False),
    ],
    doc="Zeros with the values added at integer index arrays; what `gather` does to cotangents.",
)


def gather(x: Any, indices: Sequence[Any], axes: tuple[int, ...], mode: str = "raise", unique: bool = False) -> Any:
    """The elements at integer index arrays, one for each of the ascending ``axes``."""
    return gather_p.bind(x, *map(signed, indices), axes=axes, mode=mode, unique=unique)


def gather_transpose(
    values: Any,
    indices: Sequence[Any],
    shape: tuple[int, ...],
    axes: tuple[int, ...],
    mode: str = "raise",
    unique: bool = False,
) -> Any:
    """Zeros of ``shape`` with ``values`` added at integer index arrays."""
    return gather_transpose_p.bind(values, *map(signed, indices), shape=shape, axes=axes, mode=mode, unique=unique)


def along_axis(index: Any, axis: int, shape: tuple[int, ...]) -> list[Any]:
    """Index arrays for all axes of an array of ``shape`` that pick along one axis: the index there, 0, 1, 2, ... elsewhere."""
    ndim = len(shape)
    return [
        index if a == axis else reshape(iota(n), (1,) * a + (n,) + (1,) * (ndim - a - 1)) for a, n in enumerate(shape)
    ]


def take_along_axis(x: Any, index: Any, axis: int, mode: str = "raise", unique: bool = False) -> Any:
    """``x[..., index, ...]`` along one axis; the other axes of ``index`` broadcast against those of ``x``."""
    shape = shape_of(x)
    return gather(x, along_axis(index, axis, shape), tuple(range(len(shape))), mode, unique)
