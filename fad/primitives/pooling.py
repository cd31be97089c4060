"""Windowed reductions over any axes: sums and maxima.

``window_sum`` and its transpose ``window_spread`` are linear. The maximum is a choice: ``window_argmax`` says which element of each window is the largest,
the first one where several are equal, and ``window_pick`` takes it; given the choice, picking is linear and its transpose is ``window_place``.
So a tie gives its whole cotangent to the first of the equal elements.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product as all_positions
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, aval_of, dtype_of, is_complex, shape_of
from fad.core.errors import DTypeError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, f32, f64, i64
from fad.primitives.contraction import mapped_front
from fad.primitives.convolution import explicit_padding, sizes_of, window_count, window_extent
from fad.primitives.slicing import pad
from fad.primitives.structural import linear_unary

__all__ = ["avg_pool", "max_pool", "sum_pool", "window_max_p", "window_sum_p"]

Sizes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def _counts(function: str, shape: Sizes, window: Sizes, strides: Sizes, dilation: Sizes) -> Sizes:
    """Number of windows along each axis."""
    if not len(shape) == len(window) == len(strides) == len(dilation):
        raise ShapeError(
            f"{function}: window {window}, strides {strides} and dilation {dilation} must have one entry for each axis of shape {shape}"
        )
    return tuple(map(window_count, shape, window, strides, dilation))


def _places(window: Sizes, counts: Sizes, strides: Sizes, dilation: Sizes) -> Iterator[tuple[slice, ...]]:
    """Where the elements at each position of the window lie, for all windows."""
    for position in all_positions(*map(range, window)):
        yield tuple(
            slice(p * d, p * d + (n - 1) * s + 1, s) if n else slice(0, 0)
            for p, d, n, s in zip(position, dilation, counts, strides)
        )


# --- sums ------------------------------------------------------------------------------------------------------------------------------------------


def _sum_impl(xp: Any, x: Any, *, window: Sizes, strides: Sizes, dilation: Sizes) -> Any:
    """One axis after the other: sums over boxes are separable."""
    wanted = x.dtype
    out = xp.asarray(x, dtype=np.float32) if wanted.itemsize == 2 and wanted.kind in "fV" else x
    for axis, (size, stride, spacing) in enumerate(zip(window, strides, dilation)):
        if size == 1 and stride == 1:
            continue
        count = window_count(x.shape[axis], size, stride, spacing)
        lead = (slice(None),) * axis
        total = xp.zeros((*out.shape[:axis], count, *out.shape[axis + 1 :]), out.dtype)
        for (place,) in _places((size,), (count,), (stride,), (spacing,)):
            total += out[(*lead, place)]
        out = total
    return out.astype(wanted, copy=False)


def _sum_shape(x: ShapedArray, *, window: Sizes, strides: Sizes, dilation: Sizes) -> ShapedArray:
    return x.update(_counts("window_sum", x.shape, window, strides, dilation))


def _spread_impl(xp: Any, y: Any, *, shape: Sizes, window: Sizes, strides: Sizes, dilation: Sizes) -> Any:
    wanted = y.dtype
    out = xp.asarray(y, dtype=np.float32) if wanted.itemsize == 2 and wanted.kind in "fV" else y
    for axis, (size, stride, spacing) in enumerate(zip(window, strides, dilation)):
        if size == 1 and stride == 1:
            continue
        lead = (slice(None),) * axis
        spread = xp.zeros((*out.shape[:axis], shape[axis], *out.shape[axis + 1 :]), out.dtype)
        for (place,) in _places((size,), (y.shape[axis],), (stride,), (spacing,)):
            spread[(*lead, place)] += out
        out = spread
    return out.astype(wanted, copy=False)


def _sum_batch(size: int, x: Any, *, window: Sizes, strides: Sizes, dilation: Sizes) -> Any:
    return window_sum_p.bind(x, window=(1, *window), strides=(1, *strides), dilation=(1, *dilation))


def _spread_batch(size: int, y: Any, *, shape: Sizes, window: Sizes, strides: Sizes, dilation: Sizes) -> Any:
    return window_spread_p.bind(
        y, shape=(size, *shape), window=(1, *window), strides=(1, *strides), dilation=(1, *dilation)
    )


window_sum_p = linear_unary(
    "window_sum",
    impl=_sum_impl,
    shape=_sum_shape,
    transpose=lambda ct, aval, **params: window_spread_p.bind(ct, shape=aval.shape, **params),
    batch=_sum_batch,
    kernel="window_sum",
    samples=[
        case(f64(2, 5), window=(1, 2), strides=(1, 1), dilation=(1, 1)),
        case(f64(5, 6), window=(2, 3), strides=(2, 1), dilation=(1, 2)),
        case(f64(1, 3, 3, 4), window=(1, 2, 2, 3), strides=(1, 1, 2, 1), dilation=(1, 2, 1, 1)),
        case(f64(2), window=(3,), strides=(1,), dilation=(1,)),
        case(f64(0, 3), window=(1, 2), strides=(1, 1), dilation=(1, 1)),
        case(f64(1), window=(1,), strides=(2,), dilation=(1,)),
        case(f32(5), window=(2,), strides=(2,), dilation=(1,)),
        case(c128(4), window=(2,), strides=(1,), dilation=(1,)),
        case(i64(4), window=(2,), strides=(1,), dilation=(1,)),
    ],
    doc="Sums over windows, without padding.",
)

window_spread_p = linear_unary(
    "window_spread",
    impl=_spread_impl,
    shape=lambda y, *, shape, **params: y.update(shape),
    transpose=lambda ct, aval, *, shape, **params: window_sum_p.bind(ct, **params),
    batch=_spread_batch,
    kernel="window_spread",
    samples=[
        case(f64(2, 4), shape=(2, 5), window=(1, 2), strides=(1, 1), dilation=(1, 1)),
        case(f64(2, 2), shape=(5, 6), window=(2, 3), strides=(2, 1), dilation=(1, 2)),
        case(f64(0), shape=(2,), window=(3,), strides=(1,), dilation=(1,)),
        case(f32(2), shape=(5,), window=(2,), strides=(2,), dilation=(1,)),
        case(c128(3), shape=(4,), window=(2,), strides=(1,), dilation=(1,)),
    ],
    doc="The transpose of window_sum: each element is added to all elements of its window.",
)


# --- maxima: the choice, and what is linear given the choice ------------------------------------------------------------------------------------------


def _lowest(dtype: np.dtype) -> Any:
    if dtype.kind in "iu":
        return np.iinfo(dtype).min
    return False if dtype.kind == "b" else -math.inf


def _framed(xp: Any, x: Any, padding: Pairs, value: Any) -> Any:
    """The array with a frame of one value."""
    if not any(low or high for low, high in padding):
        return x
    out = xp.full(tuple(n + low + high for n, (low, high) in zip(x.shape, padding)), value, x.dtype)
    out[tuple(slice(low, low + n) for n, (low, _) in zip(x.shape, padding))] = x
    return out


def _framed_shape(shape: Sizes, padding: Pairs) -> Sizes:
    return tuple(n + low + high for n, (low, high) in zip(shape, padding))


def _window_shape(x: ShapedArray, *, window: Sizes, strides: Sizes, dilation: Sizes, padding: Pairs) -> Sizes:
    if is_complex(x.dtype):
        raise DTypeError(f"max pooling needs ordered numbers, got dtype {x.dtype}")
    if len(padding) != x.ndim or any(low < 0 or high < 0 for low, high in padding):
        raise ShapeError(
            f"max pooling: padding {padding} must have a pair of ints >= 0 for each axis of shape {x.shape}"
        )
    return _counts("max pooling", _framed_shape(x.shape, padding), window, strides, dilation)


def _max_impl(xp: Any, x: Any, *, window: Sizes, strides: Sizes, dilation: Sizes, padding: Pairs) -> Any:
    counts = _window_shape(
        ShapedArray(x.shape, x.dtype), window=window, strides=strides, dilation=dilation, padding=padding
    )
    framed, out = _framed(xp, x, padding, _lowest(x.dtype)), None
    for place in _places(window, counts, strides, dilation):
        part = framed[place]
        out = part.copy() if out is None else xp.maximum(out, part, out=out)
    return out


def _argmax_impl(xp: Any, x: Any, *, window: Sizes, strides: Sizes, dilation: Sizes, padding: Pairs) -> Any:
    counts = _window_shape(
        ShapedArray(x.shape, x.dtype), window=window, strides=strides, dilation=dilation, padding=padding
    )
    framed = _framed(xp, x, padding, _lowest(x.dtype))
    best, chosen = None, xp.zeros(counts, np.int32)
    for k, place in enumerate(_places(window, counts, strides, dilation)):
        part = framed[place]
        if best is None:
            best = part
            continue
        # "not <=" and "best == best": the first NaN wins, as it does in the maximum.
        better = xp.logical_and(xp.logical_not(part <= best), best == best)
        chosen[better] = k
        best = xp.where(better, part, best)
    return chosen


def _pick_impl(xp: Any, x: Any, chosen: Any, *, window: Sizes, strides: Sizes, dilation: Sizes, padding: Pairs) -> Any:
    framed = _framed(xp, x, padding, 0)
    out = xp.zeros(chosen.shape, x.dtype)
    for k, place in enumerate(_places(window, chosen.shape, strides, dilation)):
        xp.copyto(out, framed[place], where=chosen == k)
    return out


def _place_impl(
    xp: Any, y: Any, chosen: Any, *, shape: Sizes, window: Sizes, strides: Sizes, dilation: Sizes, padding: Pairs
) -> Any:
    out = xp.zeros(_framed_shape(shape, padding), y.dtype)
    for k, place in enumerate(_places(window, chosen.shape, strides, dilation)):
        out[place] += y * (chosen == k).astype(y.dtype)
    return out[tuple(slice(low, low + n) for n, (low, _) in zip(shape, padding))]


def _front(params: dict[str, Any], size: int) -> dict[str, Any]:
    """The parameters with one more axis in front, which no window spans."""
    more = {name: (1, *params[name]) for name in ("window", "strides", "dilation")}
    more["padding"] = ((0, 0), *params["padding"])
    if "shape" in params:
        more["shape"] = (size, *params["shape"])
    return more


def _max_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    chosen = window_argmax_p.bind(*primals, **params)
    return window_max_p.bind(*primals, **params), window_pick_p.bind(tangents[0], chosen, **params)


def _max_vjp(x: Any, **params: Any) -> Any:
    shape = shape_of(x)

    def pullback(ct: Any) -> list[Any]:
        return [window_place_p.bind(ct, window_argmax_p.bind(x, **params), shape=shape, **params)]

    return window_max_p.bind(x, **params), pullback


_BOX = {"window": (2, 2), "strides": (2, 2), "dilation": (1, 1), "padding": ((0, 0), (0, 0))}
_LINE = {"window": (3,), "strides": (1,), "dilation": (2,), "padding": ((1, 2),)}
_WIDE = {"window": (1, 3, 2), "strides": (1, 2, 1), "dilation": (1, 1, 1), "padding": ((0, 0), (1, 1), (0, 1))}

window_max_p = Primitive(
    "window_max",
    impl=_max_impl,
    shape=lambda x, **params: x.update(_window_shape(x, **params)),
    jvp=_max_jvp,
    vjp=_max_vjp,
    batch=lambda size, args, mapped, **params: (window_max_p.bind(*args, **_front(params, size)), True),
    kernel="window_max",
    samples=[
        case(f64(4, 5), **_BOX),
        case(f64(7), **_LINE),
        case(f64(2, 5, 3), **_WIDE),
        case(f64(0, 4), **_BOX),
        case(f64(1, 1), **_BOX),
        case(f32(4, 4), **_BOX),
        case(i64(4, 4), **_BOX),
    ],
    doc="Maxima over windows; the padding never wins against a number.",
)

window_argmax_p = Primitive(
    "window_argmax",
    impl=_argmax_impl,
    shape=lambda x, **params: ShapedArray(_window_shape(x, **params), np.dtype(np.int32)),
    jvp=None,
    vjp=None,
    batch=lambda size, args, mapped, **params: (window_argmax_p.bind(*args, **_front(params, size)), True),
    kernel="window_argmax",
    samples=[case(f64(4, 5), **_BOX), case(f64(7), **_LINE), case(f32(2, 5, 3), **_WIDE), case(i64(4, 4), **_BOX)],
    doc="Which element of each window is its maximum, counted in C order inside the window; the first of equal ones.",
)


def _choosing(name: str, *, impl: Any, shape: Any, transpose: Any, samples: Any, doc: str) -> Primitive:
    """Declare an operation that is linear in its first argument, given the choice that is the second."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        return out, None if tangents[0] is None else primitive.bind(tangents[0], primals[1], **params)

    def vjp(x: Any, chosen: Any, **params: Any) -> Any:
        aval = aval_of(x)
        return primitive.bind(x, chosen, **params), lambda ct: [transpose(ct, chosen, aval, params), None]

    def batch(size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        return primitive.bind(*mapped_front(size, args, mapped), **_front(params, size)), True

    primitive = Primitive(
        name, impl=impl, shape=shape, jvp=jvp, vjp=vjp, batch=batch, kernel=name, samples=samples, doc=doc
    )
    return primitive


_CHOICE = np.array([[0, 3], [2, 1]], np.int32)

window_pick_p = _choosing(
    "window_pick",
    impl=_pick_impl,
    shape=lambda x, chosen, **params: x.update(chosen.shape),
    transpose=lambda ct, chosen, aval, params: window_place_p.bind(ct, chosen, shape=aval.shape, **params),
    samples=[case(f64(4, 5), _CHOICE, **_BOX), case(f64(4), np.array([0, 2, 1], np.int32), **_LINE)],
    doc="One chosen element of each window.",
)

window_place_p = _choosing(
    "window_place",
    impl=_place_impl,
    shape=lambda y, chosen, *, shape, **params: y.update(shape),
    transpose=lambda ct, chosen, aval, params: window_pick_p.bind(
        ct, chosen, **{k: v for k, v in params.items() if k != "shape"}
    ),
    samples=[
        case(f64(2, 2), _CHOICE, shape=(4, 5), **_BOX),
        case(f64(3), np.array([0, 2, 1], np.int32), shape=(4,), **_LINE),
    ],
    doc="The transpose of window_pick: adds each element to the chosen place of its window.",
)


# --- pooling of channels-last arrays -----------------------------------------------------------------------------------------------------------------------


def _pooling(
    function: str, x: Any, window: Any, strides: Any, padding: Any, dilation: Any
) -> tuple[Sizes, Sizes, Sizes, Pairs]:
    axes = len(shape_of(x)) - 2
    if axes < 1:
        raise ShapeError(f"{function} needs an array of shape (n, *space, channels), got shape {shape_of(x)}")
    window = sizes_of(function, "window", window, axes)
    strides = window if strides is None else sizes_of(function, "strides", strides, axes)
    dilation = sizes_of(function, "dilation", dilation, axes)
    extents = tuple(map(window_extent, window, dilation))
    pairs = explicit_padding(function, padding, shape_of(x)[1:-1], extents, strides)
    return (1, *window, 1), (1, *strides, 1), (1, *dilation, 1), ((0, 0), *pairs, (0, 0))


def max_pool(x: Any, window: Any, strides: Any = None, padding: Any = "VALID", dilation: Any = 1) -> Any:
    """Maxima over windows of a channels-last operand.

    Parameters
    ----------
    x : buffer or tracer
        Shape ``(n, *space, channels)``, real.
    window : int or sequence of int
        Sizes of the windows.
    strides : int or sequence of int, optional
        Step of the windows; their size by default, so that they do not overlap.
    padding : str, int or sequence
        As in convolutions; the padding never wins.
    dilation : int or sequence of int
        Spacing of the elements of a window.

    Returns
    -------
    buffer or tracer
        Shape ``(n, *space, channels)``. Where several elements are the maximum the first gets the whole cotangent.

    Raises
    ------
    ShapeError
        If ``x`` has no spatial axis.
    """
    window, strides, dilation, pairs = _pooling("max_pool", x, window, strides, padding, dilation)
    return window_max_p.bind(x, window=window, strides=strides, dilation=dilation, padding=pairs)


def sum_pool(x: Any, window: Any, strides: Any = None, padding: Any = "VALID", dilation: Any = 1) -> Any:
    """Sums over windows of a channels-last operand; parameters as in :func:`max_pool`, the padding is zeros."""
    window, strides, dilation, pairs = _pooling("sum_pool", x, window, strides, padding, dilation)
    padded = pad(x, tuple((low, high, 0) for low, high in pairs))
    return window_sum_p.bind(padded, window=window, strides=strides, dilation=dilation)


def avg_pool(
    x: Any,
    window: Any,
    strides: Any = None,
    padding: Any = "VALID",
    dilation: Any = 1,
    count_include_pad: bool = True,
) -> Any:
    """Means over windows of a channels-last operand; parameters as in :func:`max_pool`.

    With ``count_include_pad`` the padding counts as zeros, else as not there.
    """
    total = sum_pool(x, window, strides, padding, dilation)
    sizes, steps, spacing, pairs = _pooling("avg_pool", x, window, strides, padding, dilation)
    number = dtype_of(total).type
    if count_include_pad or not any(low or high for low, high in pairs):
        return total * number(1 / math.prod(sizes))
    ones = _framed(np, np.ones((1, *shape_of(x)[1:-1], 1)), pairs, 0)
    counts = _sum_impl(np, ones, window=sizes, strides=steps, dilation=spacing)
    return total * (1 / np.maximum(counts, 1)).astype(dtype_of(total))
