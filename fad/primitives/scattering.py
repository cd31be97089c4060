"""Writing elements by index: ``scatter_set add mul min max``; reductions over segments.

``scatter`` puts updates where ``gather`` with the same indices, axes and mode reads. Where an element is written several times:

* ``set``: the last update in C order of the indices stays and has the whole derivative, the others have none;
* ``add``: all count, as if one after another;
* ``mul``: the derivative of each is the product of the others, exact with zeros;
* ``min``, ``max``: the winners, the old element among them, share the cotangent equally.

``unique`` promises that no element is written twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, aval_of, dtype_of, real_dtype, shape_of
from fad.core.errors import DTypeError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, f32, f64, i64, literal
from fad.primitives.arithmetic import equal, less, logical_or, maximum, minimum, multiply, not_equal, select
from fad.primitives.indexing import (
    at_axes,
    batch_row,
    batched_indices,
    check_bounds,
    flat_positions,
    gather,
    gather_p,
    gather_transpose,
    gathered_shape,
    index_position,
    move_block,
    rows_of,
    signed,
)
from fad.primitives.reduction import highest, lowest
from fad.primitives.repeated_rows import add_rows, combine_rows
from fad.primitives.slicing import concatenate, slice_axis
from fad.primitives.sorting import argsort
from fad.primitives.structural import broadcast_to, convert, full, iota, reshape, zeros

__all__ = ["scatter", "segment_reduce"]

_COMBINE = {"add": "add", "mul": "multiply", "min": "minimum", "max": "maximum"}


def _scatter_rows(xp: Any, op: str, table: Any, positions: Any, rows: Any) -> None:
    """Put rows into a table in place; of several updates of one row the last one stays for "set"."""
    if op == "add":
        add_rows(xp, table, positions, rows)
    elif (
        xp is not np
    ):  # CuPy's last writer is anyone, its maximum.at of doubles compares floats (seen in 14.2), multiply.at is missing
        combine_rows(xp, None if op == "set" else getattr(xp, _COMBINE[op]), table, positions, rows)
    elif op == "set":
        table[positions] = rows
    else:
        getattr(xp, _COMBINE[op]).at(table, positions, rows)


def _scatter_impl(
    op: str, xp: Any, x: Any, updates: Any, *indices: Any, axes: tuple[int, ...], mode: str, unique: bool
) -> Any:
    x = xp.asarray(x)
    if op in ("set", "add") and mode == "raise" and (unique or all(xp.ndim(i) == 0 for i in indices)):
        return _write_once(xp, op, x, updates, indices, axes)
    if x.ndim == 1 and mode == "raise" and xp is np:
        return _scatter_one_axis(op, x, updates, indices[0])
    positions = flat_positions(xp, f"x.at[...].{op}", x.shape, axes, indices, mode)
    rest = [n for i, n in enumerate(x.shape) if i not in axes]
    order = [*axes, *[i for i in range(x.ndim) if i not in axes]]
    total, width = math.prod(x.shape[a] for a in axes), math.prod(rest)
    table = xp.empty((total + (mode == "drop"), width), x.dtype)
    table[:total] = xp.transpose(x, order).reshape(total, width)
    if mode == "drop":
        table[total:] = 0
    count = max(xp.ndim(i) for i in indices)
    rows = rows_of(xp, xp.asarray(updates), index_position(axes), count)
    _scatter_rows(xp, op, table, positions, rows)
    table = table[:total].reshape(*[x.shape[a] for a in axes], *rest)
    return xp.transpose(table, [order.index(i) for i in range(x.ndim)])


def _scatter_one_axis(op: str, x: Any, updates: Any, index: Any) -> Any:
    """The usual case without detour: NumPy itself wraps negative indices and finds those out of bounds."""
    out = x.copy()
    try:
        if op == "set":
            out[np.ravel(index)] = np.ravel(updates)
        else:
            getattr(np, _COMBINE[op]).at(out, np.ravel(index), np.ravel(updates))
    except (IndexError, OverflowError):
        check_bounds(f"x.at[...].{op}", x.shape, (0,), [index])
        raise
    return out


def _write_once(xp: Any, op: str, x: Any, updates: Any, indices: Sequence[Any], axes: tuple[int, ...]) -> Any:
    """Where no element is written twice, NumPy's own assignment does it, without detour."""
    if xp is not np:
        check_bounds(f"x.at[...].{op}", x.shape, axes, indices)  # CuPy wraps indices around without a word
    out, where = xp.array(x, copy=True), at_axes(axes, indices)
    try:
        out[where] = updates if op == "set" else out[where] + updates
    except (IndexError, OverflowError):
        check_bounds(f"x.at[...].{op}", x.shape, axes, indices)
        raise
    return out


def _scatter_shape(op: str) -> Callable[..., ShapedArray]:
    def shape(
        x: ShapedArray, updates: ShapedArray, *indices: ShapedArray, axes: tuple[int, ...], mode: str, unique: bool
    ) -> ShapedArray:
        expected = gathered_shape(f"scatter_{op}", x.shape, axes, indices)
        if updates.shape != expected:
            raise ShapeError(
                f"x.at[...].{op}: the index selects shape {expected} of an array of shape {x.shape}, but the values have shape "
                f"{updates.shape}"
            )
        if updates.dtype != x.dtype:
            raise DTypeError(f"x.at[...].{op}: values of {updates} for an array of {x}; both need one dtype")
        return x.update()

    return shape


def _declare(op: str, jvp: Any, vjp: Any) -> Primitive:
    def batch(size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        return _scatter_batch(primitive, size, args, mapped, **params)

    def impl(xp: Any, *args: Any, **params: Any) -> Any:
        return _scatter_impl(op, xp, *args, **params)

    primitive = Primitive(
        f"scatter_{op}",
        impl=impl,
        shape=_scatter_shape(op),
        jvp=jvp,
        vjp=vjp,
        batch=batch,
        kernel=f"scatter_{op}",
        samples=_SAMPLES + (_ZEROS if op == "mul" else []),
        doc="Updates at integer index arrays; the module's docstring says what happens to repeated ones.",
    )
    return primitive


def _options(axes: tuple[int, ...], mode: str = "raise", unique: bool = False) -> dict[str, Any]:
    return {"axes": axes, "mode": mode, "unique": unique}


_SAMPLES = [
    case(f64(4, 3), f64(5, 3), literal(np.array([1, 3, 1, 0, 1])), **_options((0,))),
    case(f64(4, 3), f64(4, 2), literal(np.array([2, -3])), **_options((1,))),
    case(f64(4, 3), f64(3), i64(3, low=0, high=4), i64(3, low=0, high=3), **_options((0, 1))),
    case(f64(4, 3, 2), f64(3, 3), i64(3, low=0, high=4), i64(3, low=0, high=2), **_options((0, 2))),
    case(f64(4), f64(), i64(low=0, high=4), **_options((0,))),
    case(f64(4), f64(3), literal(np.array([3, 0, 2])), **_options((0,), unique=True)),
    case(f64(4, 2), f64(4, 2), literal(np.array([3, 7, -9, 3])), **_options((0,), mode="clip")),
    case(f64(4, 2), f64(4, 2), literal(np.array([3, 7, -9, 3])), **_options((0,), mode="drop")),
    case(f64(4), f64(0), i64(0, low=0, high=4), **_options((0,))),
    case(f32(4), f32(3), i64(3, low=0, high=4), **_options((0,))),
    case(c128(4), c128(3), i64(3, low=0, high=4), **_options((0,))),
    case(i64(4), i64(3), i64(3, low=0, high=4), **_options((0,))),
]

_ZEROS = [
    case(f64(3), literal(np.array([0.0, 2.0, 0.0, 3.0, 0.0])), literal(np.array([1, 1, 1, 0, 2])), **_options((0,))),
    case(
        f64(2, 2),
        literal(np.array([[0.0, 2.0], [3.0, 0.0], [0.5, 0.0]])),
        literal(np.array([1, 0, 1])),
        **_options((0,)),
    ),
]


def _scatter_batch(
    primitive: Primitive,
    size: int,
    args: Sequence[Any],
    mapped: Sequence[bool],
    *,
    axes: tuple[int, ...],
    mode: str,
    unique: bool,
) -> Any:
    x, updates = (a if m else broadcast_to(a, (size, *shape_of(a))) for a, m in zip(args[:2], mapped[:2], strict=True))
    indices, count = batched_indices(size, args[2:], mapped[2:])
    at, later = index_position(axes), tuple(a + 1 for a in axes)
    params = {"mode": mode, "unique": unique}
    if not any(mapped[2:]):
        updates = move_block(updates, at + 1, count, 0 if index_position(later) == 0 else at + 1)
        return primitive.bind(x, updates, *indices, axes=later, **params), True
    updates = move_block(updates, at + 1, count, 1)
    return primitive.bind(x, updates, batch_row(size, count), *indices, axes=(0, *later), **params), True


def _filled(tangent: Any, like: Any) -> Any:
    return zeros(aval_of(like)) if tangent is None else tangent


def _nones(indices: Sequence[Any]) -> list[None]:
    return [None] * len(indices)


# --- add and set -------------------------------------------------------------------------------------------------------------------------


def _linear_jvp(op: str) -> Callable[..., Any]:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        x, updates, *indices = primals
        primitive = SCATTER[op]
        out = primitive.bind(*primals, **params)
        if tangents[0] is None and tangents[1] is None:
            return out, None
        tangent = primitive.bind(_filled(tangents[0], x), _filled(tangents[1], updates), *indices, **params)
        return out, tangent

    return jvp


def _add_vjp(x: Any, updates: Any, *indices: Any, **params: Any) -> Any:
    out = SCATTER["add"].bind(x, updates, *indices, **params)
    return out, lambda ct: [ct, gather_p.bind(ct, *indices, **params), *_nones(indices)]


def _last_writers(shape: tuple[int, ...], indices: Sequence[Any], axes: tuple[int, ...], mode: str) -> Any:
    """Which of the broadcast indices write last where they write, with axes of size 1 for the axes behind."""
    avals = [aval_of(i) for i in indices]
    own = tuple(shape[a] for a in axes)
    count = len(gathered_shape("scatter", own, tuple(range(len(axes))), avals))
    spread = np.broadcast_shapes(*[a.shape for a in avals])
    number = reshape(iota(math.prod(spread)), spread)
    every = tuple(range(len(axes)))
    table = scatter("set", zeros(ShapedArray(own, np.dtype(np.int64))), number, indices, every, mode)
    last = equal.bind(gather(table, indices, every, mode), number)
    behind = len(shape) - len(axes) - index_position(axes)
    return reshape(last, (*spread, *(1,) * behind)) if count else reshape(last, (1,) * behind)


def _set_vjp(x: Any, updates: Any, *indices: Any, axes: tuple[int, ...], mode: str, unique: bool) -> Any:
    params = _options(axes, mode, unique)
    out = SCATTER["set"].bind(x, updates, *indices, **params)
    shape, written = shape_of(x), shape_of(updates)

    def pullback(ct: Any) -> list[Any]:
        kept = SCATTER["set"].bind(ct, full(written, 0, dtype_of(ct)), *indices, **params)
        taken = gather_p.bind(ct, *indices, **params)
        if not unique and any(shape_of(i) for i in indices):
            taken = select.bind(_last_writers(shape, indices, axes, mode), taken, dtype_of(ct).type(0))
        return [kept, taken, *_nones(indices)]

    return out, pullback


# --- multiply ----------------------------------------------------------------------------------------------------------------------------


def _segmented_product(values: Any, starts: Any, reverse: bool) -> Any:
    """For each row, the product of the rows of its segment before it (behind it if ``reverse``), by doubling steps."""
    n = shape_of(values)[0]
    one = dtype_of(values).type(1)

    def moved(x: Any, by: int, fill: Any) -> Any:
        block = full((by, *shape_of(x)[1:]), fill, dtype_of(x))
        parts = [slice_axis(x, 0, by, n), block] if reverse else [block, slice_axis(x, 0, 0, n - by)]
        return concatenate(parts, 0)

    before = select.bind(starts, one, moved(values, 1, 1))
    closed = starts
    by = 1
    while by < n:
        before = select.bind(closed, before, before * moved(before, by, 1))
        closed = logical_or.bind(closed, moved(closed, by, True))
        by *= 2
    return before


def _other_factors(
    updates: Any, shape: tuple[int, ...], indices: Sequence[Any], axes: tuple[int, ...], mode: str
) -> Any:
    """For each update, the product of all others that multiply the same element."""
    spread = np.broadcast_shapes(*[shape_of(i) for i in indices])
    count, at = math.prod(spread), index_position(axes)
    if count < 2:
        return full(shape_of(updates), 1, dtype_of(updates))
    own = tuple(shape[a] for a in axes)
    flat = reshape(_slots(indices, own, spread, mode), (count,))
    order = argsort(flat, 0)
    front = move_block(updates, at, len(spread), 0)
    rows = reshape(front, (count, math.prod(shape_of(front)[len(spread) :])))
    rows, slots = gather(rows, [order], (0,), unique=True), gather(flat, [order], (0,), unique=True)
    new = reshape(not_equal.bind(slice_axis(slots, 0, 1, count), slice_axis(slots, 0, 0, count - 1)), (count - 1, 1))
    edge = full((1, 1), True, np.dtype(bool))
    others = _segmented_product(rows, concatenate([edge, new], 0), False)
    others = others * _segmented_product(rows, concatenate([new, edge], 0), True)
    others = gather_transpose(others, [order], shape_of(rows), (0,), unique=True)
    return move_block(reshape(others, shape_of(front)), 0, len(spread), at)


def _slots(indices: Sequence[Any], sizes: tuple[int, ...], spread: tuple[int, ...], mode: str) -> Any:
    """One number for each broadcast index, the same for indices of the same element."""
    slot: Any = 0
    for size, index in zip(sizes, indices, strict=True):
        index = convert(index, np.dtype(np.int64))
        wrapped = select.bind(less.bind(index, 0), index + size, index)
        if mode == "clip":
            wrapped = minimum.bind(maximum.bind(wrapped, 0), size - 1)
        elif mode == "drop":
            outside = logical_or.bind(less.bind(wrapped, 0), less.bind(size - 1, wrapped))
            wrapped = select.bind(outside, size, wrapped)
        slot = slot * (size + 1) + wrapped
    return broadcast_to(slot, spread)


def _mul_parts(x: Any, updates: Any, indices: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any]:
    """The slopes of scatter_mul: by the element, and by each update."""
    ones = full(shape_of(x), 1, dtype_of(x))
    by_element = SCATTER["mul"].bind(ones, updates, *indices, **params)
    by_update = gather_p.bind(x, *indices, **params)
    if not params["unique"]:
        others = _other_factors(updates, shape_of(x), indices, params["axes"], params["mode"])
        by_update = multiply.bind(by_update, others)
    return by_element, by_update


def _mul_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    x, updates, *indices = primals
    out = SCATTER["mul"].bind(*primals, **params)
    if tangents[0] is None and tangents[1] is None:
        return out, None
    by_element, by_update = _mul_parts(x, updates, indices, params)
    tangent = _filled(tangents[0], x) * by_element
    return out, SCATTER["add"].bind(tangent, _filled(tangents[1], updates) * by_update, *indices, **params)


def _mul_vjp(x: Any, updates: Any, *indices: Any, **params: Any) -> Any:
    out = SCATTER["mul"].bind(x, updates, *indices, **params)

    def pullback(ct: Any) -> list[Any]:
        by_element, by_update = _mul_parts(x, updates, indices, params)
        return [ct * by_element, gather_p.bind(ct, *indices, **params) * by_update, *_nones(indices)]

    return out, pullback


# --- minimum and maximum -----------------------------------------------------------------------------------------------------------------


def _winners(x: Any, updates: Any, indices: Sequence[Any], out: Any, params: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Which old elements and which updates equal the result, and how many do, for each element."""
    dtype = real_dtype(dtype_of(x))
    old = equal.bind(x, out)
    new = equal.bind(updates, gather_p.bind(out, *indices, **params))
    count = SCATTER["add"].bind(convert(old, dtype), convert(new, dtype), *indices, **params)
    return old, new, maximum.bind(count, 1)


def _extreme_jvp(op: str) -> Callable[..., Any]:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        x, updates, *indices = primals
        out = SCATTER[op].bind(*primals, **params)
        if tangents[0] is None and tangents[1] is None:
            return out, None
        old, new, count = _winners(x, updates, indices, out, params)
        zero = dtype_of(out).type(0)
        from_old = select.bind(old, _filled(tangents[0], x), zero)
        from_new = select.bind(new, _filled(tangents[1], updates), zero)
        return out, SCATTER["add"].bind(from_old, from_new, *indices, **params) / count

    return jvp


def _extreme_vjp(op: str) -> Callable[..., Any]:
    def vjp(x: Any, updates: Any, *indices: Any, **params: Any) -> Any:
        out = SCATTER[op].bind(x, updates, *indices, **params)

        def pullback(ct: Any) -> list[Any]:
            old, new, count = _winners(x, updates, indices, out, params)
            share, zero = ct / count, dtype_of(ct).type(0)
            taken = gather_p.bind(share, *indices, **params)
            return [select.bind(old, share, zero), select.bind(new, taken, zero), *_nones(indices)]

        return out, pullback

    return vjp


SCATTER: dict[str, Primitive] = {
    "set": _declare("set", _linear_jvp("set"), _set_vjp),
    "add": _declare("add", _linear_jvp("add"), _add_vjp),
    "mul": _declare("mul", _mul_jvp, _mul_vjp),
    "min": _declare("min", _extreme_jvp("min"), _extreme_vjp("min")),
    "max": _declare("max", _extreme_jvp("max"), _extreme_vjp("max")),
}


def scatter(
    op: str,
    x: Any,
    updates: Any,
    indices: Sequence[Any],
    axes: tuple[int, ...],
    mode: str = "raise",
    unique: bool = False,
) -> Any:
    """``x`` with updates, in its dtype and of the shape that the indices select, put at integer index arrays.

    ``op`` is "set", "add", "mul", "min" or "max".
    """
    return SCATTER[op].bind(x, updates, *map(signed, indices), axes=axes, mode=mode, unique=unique)


def segment_reduce(op: str, values: Any, segments: Any, count: int, mode: str = "raise") -> Any:
    """Reduce the rows of ``values`` that share a segment number; a segment without rows gets the neutral element.

    ``op`` is "add", "mul", "min" or "max".
    """
    shape, dtype = (count, *shape_of(values)[len(shape_of(segments)) :]), dtype_of(values)
    if op == "add":
        return gather_transpose(values, [segments], shape, (0,), mode)
    neutral = {"mul": 1, "min": highest(dtype), "max": lowest(dtype)}[op]
    return scatter(op, full(shape, neutral, dtype), values, [segments], (0,), mode)
