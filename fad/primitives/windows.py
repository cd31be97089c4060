"""Windows of a fixed size: at positions known only when the operation runs (dynamic slices and updates), and written by integers and
slices (``basic_update``, the counterpart of ``basic_index``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_name, dtype_of, shape_of
from fad.core.errors import DTypeError, IndexOutOfBoundsError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, f32, f64, i64, literal
from fad.core.trace import CURRENT, EVAL
from fad.primitives.arithmetic import less, maximum, minimum, select
from fad.primitives.indexing import Entry, basic_index_p, basic_index_shape, canonical_slices, gather, native_index
from fad.primitives.scattering import scatter
from fad.primitives.slicing import flip
from fad.primitives.structural import broadcast_to, full, iota, reshape, zeros

__all__ = ["basic_update", "dynamic_slice", "dynamic_update_slice"]


def _check(function: str, shape: tuple[int, ...], starts: Sequence[ShapedArray], sizes: tuple[int, ...]) -> None:
    if len(starts) != len(shape) or len(sizes) != len(shape):
        raise ShapeError(
            f"{function}: an array of shape {shape} needs {len(shape)} starts and sizes, got {len(starts)} and {len(sizes)}"
        )
    if any(not 0 <= m <= n for n, m in zip(shape, sizes, strict=True)):
        raise ShapeError(f"{function}: a window of sizes {sizes} does not fit into an array of shape {shape}")
    for start in starts:
        if start.shape or start.dtype.kind not in "iu":
            raise DTypeError(
                f"{function}: starts must be 0-d integers, got {dtype_name(start.dtype)} of shape {start.shape}"
            )


def _window(
    function: str, shape: tuple[int, ...], starts: Sequence[Any], sizes: tuple[int, ...], mode: str
) -> tuple[slice, ...]:
    """The window as slices; negative starts count from the end, and in the mode "clip" it is moved inside."""
    found = []
    for axis, (n, start, size) in enumerate(zip(shape, starts, sizes, strict=True)):
        first = int(start) + (n if start < 0 else 0)
        if mode == "clip":
            first = min(max(first, 0), n - size)
        elif not 0 <= first <= n - size:
            raise IndexOutOfBoundsError(
                f"{function}: a window of size {size} at {int(start)} is not inside axis {axis} of size {n} of an array of shape "
                f"{shape}"
            )
        found.append(slice(first, first + size))
    return tuple(found)


def _window_indices(
    shape: tuple[int, ...], starts: Sequence[Any], sizes: tuple[int, ...], mapped: Sequence[bool], mode: str
) -> list[Any]:
    """Index arrays of the elements of a batch of windows: axis 0 for the batch, then one axis for each axis of the window."""
    ndim, found = len(shape), []
    for axis, (n, start, size, own) in enumerate(zip(shape, starts, sizes, mapped, strict=True)):
        first = select.bind(less.bind(start, 0), start + n, start)
        if mode == "clip":
            first = minimum.bind(maximum.bind(first, 0), n - size)
        else:
            # Still negative means outside; the index arrays must not wrap it around.
            first = select.bind(less.bind(first, 0), n, first)
        along = reshape(iota(size), (1,) * (axis + 1) + (size,) + (1,) * (ndim - axis - 1))
        found.append((reshape(first, shape_of(first) + (1,) * (ndim + (not own)))) + along)
    return found


# --- reading -----------------------------------------------------------------------------------------------------------------------------


def _slice_impl(xp: Any, x: Any, *starts: Any, sizes: tuple[int, ...], mode: str) -> Any:
    return x[_window("dynamic_slice", x.shape, starts, sizes, mode)]


def _slice_shape(x: ShapedArray, *starts: ShapedArray, sizes: tuple[int, ...], mode: str) -> ShapedArray:
    _check("dynamic_slice", x.shape, starts, sizes)
    return ShapedArray(sizes, x.dtype)


def _slice_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    out = dynamic_slice_p.bind(*primals, **params)
    if tangents[0] is None:
        return out, None
    return out, dynamic_slice_p.bind(tangents[0], *primals[1:], **params)


def _slice_vjp(x: Any, *starts: Any, sizes: tuple[int, ...], mode: str) -> Any:
    shape = shape_of(x)

    def pullback(ct: Any) -> list[Any]:
        blank = zeros(ShapedArray(shape, dtype_of(ct)))
        return [dynamic_update_slice_p.bind(blank, ct, *starts, mode=mode), *[None] * len(starts)]

    return dynamic_slice_p.bind(x, *starts, sizes=sizes, mode=mode), pullback


def _slice_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, sizes: tuple[int, ...], mode: str) -> Any:
    x, starts = args[0], args[1:]
    if not any(mapped[1:]):
        return dynamic_slice_p.bind(x, 0, *starts, sizes=(size, *sizes), mode=mode), True
    shape = shape_of(x)[mapped[0] :]
    indices = _window_indices(shape, starts, sizes, mapped[1:], mode)
    if mapped[0]:
        indices.insert(0, reshape(iota(size), (size,) + (1,) * len(shape)))
    return gather(x, indices, tuple(range(len(indices))), "raise" if mode == "raise" else "clip"), True


dynamic_slice_p = Primitive(
    "dynamic_slice",
    impl=_slice_impl,
    shape=_slice_shape,
    jvp=_slice_jvp,
    vjp=_slice_vjp,
    batch=_slice_batch,
    kernel="dynamic_slice",
    samples=[
        case(f64(5, 4), i64(low=0, high=3), i64(low=0, high=2), sizes=(2, 3), mode="raise"),
        case(f64(5), i64(low=-5, high=-2), sizes=(3,), mode="raise"),
        case(f64(5), literal(np.int64(9)), sizes=(3,), mode="clip"),
        case(f64(3), literal(np.int64(1)), sizes=(0,), mode="raise"),
        case(f32(5), i64(low=0, high=3), sizes=(3,), mode="raise"),
        case(c128(5), i64(low=0, high=3), sizes=(3,), mode="raise"),
        case(i64(5), i64(low=0, high=3), sizes=(3,), mode="raise"),
    ],
    doc="A window of static sizes at given starts.",
)


def dynamic_slice(x: Any, starts: Sequence[Any], sizes: tuple[int, ...], mode: str = "raise") -> Any:
    """A window of static sizes; one integer start for each axis, which may be traced."""
    return dynamic_slice_p.bind(x, *starts, sizes=sizes, mode=mode)


# --- writing -----------------------------------------------------------------------------------------------------------------------------


def _update_impl(xp: Any, x: Any, update: Any, *starts: Any, mode: str) -> Any:
    out = xp.array(x, copy=True)
    out[_window("dynamic_update_slice", x.shape, starts, xp.shape(update), mode)] = update
    return out


def _update_shape(x: ShapedArray, update: ShapedArray, *starts: ShapedArray, mode: str) -> ShapedArray:
    _check("dynamic_update_slice", x.shape, starts, update.shape)
    if update.dtype != x.dtype:
        raise DTypeError(f"dynamic_update_slice: the update {update} and the array {x} need one dtype")
    return x.update()


def _update_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, mode: str) -> Any:
    out = dynamic_update_slice_p.bind(*primals, mode=mode)
    if tangents[0] is None and tangents[1] is None:
        return out, None
    filled = [
        zeros(ShapedArray(shape_of(p), dtype_of(p))) if t is None else t
        for p, t in zip(primals[:2], tangents[:2], strict=True)
    ]
    return out, dynamic_update_slice_p.bind(*filled, *primals[2:], mode=mode)


def _update_vjp(x: Any, update: Any, *starts: Any, mode: str) -> Any:
    sizes = shape_of(update)

    def pullback(ct: Any) -> list[Any]:
        kept = dynamic_update_slice_p.bind(ct, full(sizes, 0, dtype_of(ct)), *starts, mode=mode)
        return [kept, dynamic_slice_p.bind(ct, *starts, sizes=sizes, mode=mode), *[None] * len(starts)]

    return dynamic_update_slice_p.bind(x, update, *starts, mode=mode), pullback


def _update_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, mode: str) -> Any:
    starts = args[2:]
    x, update = (a if m else broadcast_to(a, (size, *shape_of(a))) for a, m in zip(args[:2], mapped[:2], strict=True))
    if not any(mapped[2:]):
        return dynamic_update_slice_p.bind(x, update, 0, *starts, mode=mode), True
    shape = shape_of(x)[1:]
    indices = _window_indices(shape, starts, shape_of(update)[1:], mapped[2:], mode)
    indices.insert(0, reshape(iota(size), (size,) + (1,) * len(shape)))
    where = "raise" if mode == "raise" else "clip"
    return scatter("set", x, update, indices, tuple(range(len(indices))), where, unique=True), True


dynamic_update_slice_p = Primitive(
    "dynamic_update_slice",
    impl=_update_impl,
    shape=_update_shape,
    jvp=_update_jvp,
    vjp=_update_vjp,
    batch=_update_batch,
    kernel="dynamic_update_slice",
    samples=[
        case(f64(5, 4), f64(2, 3), i64(low=0, high=3), i64(low=0, high=2), mode="raise"),
        case(f64(5), f64(3), i64(low=-5, high=-2), mode="raise"),
        case(f64(5), f64(3), literal(np.int64(9)), mode="clip"),
        case(f32(5), f32(3), i64(low=0, high=3), mode="raise"),
        case(c128(5), c128(3), i64(low=0, high=3), mode="raise"),
        case(i64(5), i64(3), i64(low=0, high=3), mode="raise"),
    ],
    doc="The array with a window of it replaced.",
)


def dynamic_update_slice(x: Any, update: Any, starts: Sequence[Any], mode: str = "raise") -> Any:
    """``x`` with the window at ``starts`` replaced by ``update``, which has its dtype."""
    return dynamic_update_slice_p.bind(x, update, *starts, mode=mode)


# --- integers and slices -----------------------------------------------------------------------------------------------------------------


def _basic_update_impl(xp: Any, x: Any, update: Any, *, index: tuple[Entry, ...]) -> Any:
    out = xp.array(x, copy=True)
    out[native_index(index)] = update
    return out


def _basic_update_shape(x: ShapedArray, update: ShapedArray, *, index: tuple[Entry, ...]) -> ShapedArray:
    expected = basic_index_shape(x, index=index)
    if update.shape != expected.shape or update.dtype != x.dtype:
        raise ShapeError(f"basic_update: the index selects {expected}, but the update is {update}")
    return x.update()


def _basic_update_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, index: tuple[Entry, ...]) -> Any:
    filled = [
        zeros(ShapedArray(shape_of(p), dtype_of(p))) if t is None else t for p, t in zip(primals, tangents, strict=True)
    ]
    return basic_update_p.bind(*primals, index=index), basic_update_p.bind(*filled, index=index)


def _basic_update_vjp(x: Any, update: Any, *, index: tuple[Entry, ...]) -> Any:
    shape = shape_of(update)

    def pullback(ct: Any) -> list[Any]:
        blank = full(shape, 0, dtype_of(ct))
        return [basic_update_p.bind(ct, blank, index=index), basic_index_p.bind(ct, index=index)]

    return basic_update_p.bind(x, update, index=index), pullback


def _basic_update_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, index: tuple[Entry, ...]) -> Any:
    fronted = [a if m else broadcast_to(a, (size, *shape_of(a))) for a, m in zip(args, mapped, strict=True)]
    return basic_update_p.bind(*fronted, index=((0, size, 1), *index)), True


basic_update_p = Primitive(
    "basic_update",
    impl=_basic_update_impl,
    shape=_basic_update_shape,
    jvp=_basic_update_jvp,
    vjp=_basic_update_vjp,
    batch=_basic_update_batch,
    kernel="basic_update",
    samples=[
        case(f64(5, 4), f64(4), index=(2,)),
        case(f64(5, 4), f64(3), index=((1, 4, 1), 2)),
        case(f64(5), f64(3), index=((4, -1, -2),)),
        case(f64(3, 4), f64(1, 2, 1), index=(None, (0, 3, 2), None, 1)),
        case(f64(3), f64(0), index=((0, 0, 1),)),
        case(f32(2, 3), f32(), index=(1, 2)),
        case(c128(3), c128(2), index=((1, 3, 1),)),
        case(i64(3), i64(), index=(0,)),
    ],
    doc="The array with the elements at integers and slices replaced.",
)


def basic_update(x: Any, update: Any, index: tuple[Entry, ...]) -> Any:
    """``x`` with ``x[index]`` replaced by ``update``, which has its dtype and the shape of ``x[index]``."""
    if CURRENT.get().base is EVAL:
        return basic_update_p.bind(x, update, index=index)
    starts, stops, steps, reverse = canonical_slices(shape_of(x), index)
    sizes = tuple(len(range(*t)) for t in zip(starts, stops, steps, strict=True))
    update = flip(reshape(update, sizes), tuple(reverse))
    if all(step == 1 for step in steps):
        return dynamic_update_slice(x, update, starts)
    ndim = len(sizes)
    indices = [
        reshape(iota(n) * step + start, (1,) * a + (n,) + (1,) * (ndim - a - 1))
        for a, (n, start, step) in enumerate(zip(sizes, starts, steps, strict=True))
    ]
    return scatter("set", x, update, indices, tuple(range(ndim)), unique=True)
