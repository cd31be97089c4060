"""Convolution (as in machine learning: cross-correlation) over one to three axes, channels last.

Arrays are ``(n, *space, channels)``, kernels ``(*window, channels / groups, features)``. One trilinear form
``sum(y * convolve(x, w))`` stands behind three operations, each bilinear: the convolution itself, and the gradients of the form by the input and
by the kernel. The derivatives of each are the other two, to any order. Padding and dilation of the input are paddings of ``x``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product as all_positions
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, result_dtype, shape_of, weak_operand
from fad.core.errors import ArgumentError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import c128, case, f32, f64
from fad.primitives.slicing import pad
from fad.primitives.structural import convert, move_axis, reshape

__all__ = ["conv_general", "conv_transpose", "convolve_p", "explicit_padding"]

Sizes = tuple[int, ...]
_FEW_CHANNELS = 4


# --- windows ------------------------------------------------------------------------------------------------------------------------------------


def window_extent(size: int, dilation: int) -> int:
    """How many elements a dilated window spans."""
    return (size - 1) * dilation + 1


def window_count(size: int, window: int, stride: int, dilation: int) -> int:
    """How many windows fit along an axis."""
    return max(0, (size - window_extent(window, dilation)) // stride + 1)


def _places(window: Sizes, counts: Sizes, strides: Sizes, dilation: Sizes) -> Iterator[tuple[Sizes, tuple[slice, ...]]]:
    """Each position in the window, and where its elements lie for all windows."""
    for position in all_positions(*map(range, window)):
        yield (
            position,
            tuple(
                slice(p * d, p * d + (n - 1) * s + 1, s) if n else slice(0, 0)
                for p, d, n, s in zip(position, dilation, counts, strides)
            ),
        )


def _patches(xp: Any, x: Any, window: Sizes, counts: Sizes, strides: Sizes, dilation: Sizes) -> Any:
    """All windows as rows: (n * windows, window elements * channels)."""
    n, channels, elements = x.shape[0], x.shape[-1], math.prod(window)
    rows = n * math.prod(counts)
    if channels <= _FEW_CHANNELS or xp is not np:
        # Copying whole rows of the image is faster than copying runs of few channels; the result is a transposed view, which BLAS takes.
        out = xp.empty((*window, channels, n, *counts), x.dtype)
        planes = xp.moveaxis(x, -1, 0)
        for position, place in _places(window, counts, strides, dilation):
            out[position] = planes[(slice(None), slice(None), *place)]
        return out.reshape(elements * channels, rows).T
    space = x.strides[1:-1]
    view = np.lib.stride_tricks.as_strided(
        x,
        (n, *counts, *window, channels),
        (
            x.strides[0],
            *(a * s for a, s in zip(space, strides)),
            *(a * d for a, d in zip(space, dilation)),
            x.strides[-1],
        ),
        writeable=False,
    )
    return view.reshape(rows, elements * channels)


def _in_float32(xp: Any, dtype: np.dtype, *arrays: Any) -> list[Any]:
    """Arrays in the dtype to compute in: 16-bit floats have no BLAS."""
    wide = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    return [xp.asarray(a, dtype=wide) for a in arrays]


def _grouped(xp: Any, rows: Any, groups: int, elements: int) -> Any:
    """Rows of (elements, channels) as (groups, rows, elements * channels / groups)."""
    count, width = rows.shape
    split = rows.reshape(count, elements, groups, width // (elements * groups) if elements * groups else 0)
    return xp.moveaxis(split, 2, 0).reshape(groups, count, -1)


def _grouped_kernel(xp: Any, w: Any, groups: int) -> Any:
    """A kernel as (groups, elements * channels / groups, features / groups)."""
    split = w.reshape(-1, groups, w.shape[-1] // groups)
    return xp.moveaxis(split, 1, 0)


# --- implementations ---------------------------------------------------------------------------------------------------------------------------------


def _convolve_impl(xp: Any, x: Any, w: Any, *, strides: Sizes, dilation: Sizes, groups: int) -> Any:
    avals = ShapedArray(x.shape, x.dtype), ShapedArray(w.shape, w.dtype)
    result = _convolve_shape(*avals, strides=strides, dilation=dilation, groups=groups)
    shape, wanted = result.shape, result.dtype
    x, w = _in_float32(xp, wanted, x, w)
    window, counts, elements = w.shape[:-2], shape[1:-1], math.prod(w.shape[:-2])
    if 0 in shape or 0 in x.shape or 0 in w.shape:
        return xp.zeros(shape, wanted)
    if groups > 1 and w.shape[-2] == 1:
        return _depthwise(xp, x, w, counts, strides, dilation, groups).reshape(shape).astype(wanted, copy=False)
    rows = _patches(xp, x, window, counts, strides, dilation)
    if groups == 1:
        out = xp.matmul(rows, w.reshape(-1, w.shape[-1]))
    else:
        out = xp.matmul(_grouped(xp, rows, groups, elements), _grouped_kernel(xp, w, groups))
        out = xp.moveaxis(out, 0, 1)
    return out.reshape(shape).astype(wanted, copy=False)


def _depthwise(xp: Any, x: Any, w: Any, counts: Sizes, strides: Sizes, dilation: Sizes, groups: int) -> Any:
    """One input channel in each group: products without BLAS, one window element at a time."""
    each = w.shape[-1] // groups
    out = xp.zeros((x.shape[0], *counts, groups, each), x.dtype)
    for position, place in _places(w.shape[:-2], counts, strides, dilation):
        out += x[(slice(None), *place)][..., None] * w[position].reshape(groups, each)
    return out


def _input_impl(xp: Any, w: Any, y: Any, *, space: Sizes, strides: Sizes, dilation: Sizes, groups: int) -> Any:
    avals = ShapedArray(w.shape, w.dtype), ShapedArray(y.shape, y.dtype)
    wanted = _input_shape(*avals, space=space, strides=strides, dilation=dilation, groups=groups).dtype
    w, y = _in_float32(xp, wanted, w, y)
    window, counts, channels = w.shape[:-2], y.shape[1:-1], w.shape[-2] * groups
    out = xp.zeros((y.shape[0], *space, channels), w.dtype)
    if 0 in out.shape or 0 in w.shape or 0 in y.shape:
        return out.astype(wanted, copy=False)
    flat = y.reshape(-1, y.shape[-1])
    if groups == 1:
        columns = xp.matmul(flat, w.reshape(-1, w.shape[-1]).T)
    else:
        each = flat.reshape(len(flat), groups, -1)
        columns = xp.matmul(xp.moveaxis(each, 1, 0), xp.swapaxes(_grouped_kernel(xp, w, groups), -1, -2))
        columns = xp.moveaxis(columns.reshape(groups, len(flat), math.prod(window), -1), 0, 2)
    columns = columns.reshape(y.shape[0], *counts, *window, channels)
    lead = (slice(None),) * (1 + len(counts))
    for position, place in _places(window, counts, strides, dilation):
        out[(slice(None), *place)] += columns[(*lead, *position)]
    return out.astype(wanted, copy=False)


def _kernel_impl(xp: Any, x: Any, y: Any, *, window: Sizes, strides: Sizes, dilation: Sizes, groups: int) -> Any:
    avals = ShapedArray(x.shape, x.dtype), ShapedArray(y.shape, y.dtype)
    wanted = _kernel_shape(*avals, window=window, strides=strides, dilation=dilation, groups=groups).dtype
    x, y = _in_float32(xp, wanted, x, y)
    channels, features, elements = x.shape[-1] // groups, y.shape[-1], math.prod(window)
    shape = (*window, channels, features)
    if 0 in shape or 0 in x.shape or 0 in y.shape:
        return xp.zeros(shape, wanted)
    rows = _patches(xp, x, window, y.shape[1:-1], strides, dilation)
    flat = y.reshape(-1, features)
    if groups == 1:
        return xp.matmul(rows.T, flat).reshape(shape).astype(wanted, copy=False)
    each = xp.moveaxis(flat.reshape(len(flat), groups, -1), 1, 0)
    out = xp.matmul(xp.swapaxes(_grouped(xp, rows, groups, elements), -1, -2), each)
    return xp.moveaxis(out, 0, 1).reshape(shape).astype(wanted, copy=False)


# --- shapes ----------------------------------------------------------------------------------------------------------------------------------------------


def _convolve_shape(x: ShapedArray, w: ShapedArray, *, strides: Sizes, dilation: Sizes, groups: int) -> ShapedArray:
    axes = x.ndim - 2
    if axes < 1 or w.ndim != x.ndim or len(strides) != axes or len(dilation) != axes:
        raise ShapeError(
            f"convolution of shape {x.shape} (n, space, channels) with a kernel of shape {w.shape} (window, channels, features), strides {strides} "
            f"and dilation {dilation}: the number of spatial axes must be the same everywhere and at least 1"
        )
    if groups < 1 or x.shape[-1] != w.shape[-2] * groups or w.shape[-1] % groups:
        raise ShapeError(
            f"convolution: an input of {x.shape[-1]} channels (shape {x.shape}) in {groups} group(s) needs a kernel with {x.shape[-1] // max(groups, 1)} "
            f"input channels and a number of features divisible by {groups}, got a kernel of shape {w.shape} (window, channels / groups, features)"
        )
    counts = tuple(map(window_count, x.shape[1:-1], w.shape[:-2], strides, dilation))
    return ShapedArray((x.shape[0], *counts, w.shape[-1]), result_dtype(weak_operand(x), weak_operand(w)))


def _input_shape(
    w: ShapedArray, y: ShapedArray, *, space: Sizes, strides: Sizes, dilation: Sizes, groups: int
) -> ShapedArray:
    x = ShapedArray((y.shape[0], *space, w.shape[-2] * groups), result_dtype(w.dtype, y.dtype))
    _require_result("convolve_input", x, w, y, strides, dilation, groups)
    return x


def _kernel_shape(
    x: ShapedArray, y: ShapedArray, *, window: Sizes, strides: Sizes, dilation: Sizes, groups: int
) -> ShapedArray:
    w = ShapedArray((*window, x.shape[-1] // groups, y.shape[-1]), result_dtype(x.dtype, y.dtype))
    _require_result("convolve_kernel", x, w, y, strides, dilation, groups)
    return w


def _require_result(
    function: str, x: ShapedArray, w: ShapedArray, y: ShapedArray, strides: Sizes, dilation: Sizes, groups: int
) -> None:
    expected = _convolve_shape(x, w, strides=strides, dilation=dilation, groups=groups).shape
    if y.shape != expected:
        raise ShapeError(
            f"{function}: an input of shape {x.shape} and a kernel of shape {w.shape} give results of shape {expected}, got {y.shape}"
        )


# --- derivatives: the three operations are each other's -----------------------------------------------------------------------------------------------------


def _convolve(x: Any, w: Any, shared: dict[str, Any]) -> Any:
    return convolve_p.bind(x, w, **shared)


def _by_input(w: Any, y: Any, space: Sizes, shared: dict[str, Any]) -> Any:
    return convolve_input_p.bind(w, y, space=space, **shared)


def _by_kernel(x: Any, y: Any, window: Sizes, shared: dict[str, Any]) -> Any:
    return convolve_kernel_p.bind(x, y, window=window, **shared)


def _space(x: Any) -> Sizes:
    return shape_of(x)[1:-1]


def _window(w: Any) -> Sizes:
    return shape_of(w)[:-2]


def _convolve_cotangents(x: Any, w: Any, ct: Any, shared: dict[str, Any]) -> tuple[Any, Any]:
    return (
        lambda: _by_input(w, ct, _space(x), shared),
        lambda: _by_kernel(x, ct, _window(w), shared),
    )


def _input_cotangents(w: Any, y: Any, ct: Any, params: dict[str, Any]) -> tuple[Any, Any]:
    shared = _without(params, "space")
    return lambda: _by_kernel(ct, y, _window(w), shared), lambda: _convolve(ct, w, shared)


def _kernel_cotangents(x: Any, y: Any, ct: Any, params: dict[str, Any]) -> tuple[Any, Any]:
    shared = _without(params, "window")
    return lambda: _by_input(ct, y, _space(x), shared), lambda: _convolve(x, ct, shared)


def _without(params: dict[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in params.items() if k != name}


def _bilinear(name: str, *, impl: Any, shape: Any, cotangents: Any, batch: Any, samples: Any, doc: str) -> Primitive:
    """Declare an operation that is linear in each of two arguments."""

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
        out = primitive.bind(*primals, **params)
        terms = [
            primitive.bind(*[t if j == k else p for j, p in enumerate(primals)], **params)
            for k, t in enumerate(tangents)
            if t is not None
        ]
        total = terms[0] if len(terms) == 1 else terms[0] + terms[1]
        return out, convert(total, dtype_of(out))

    def vjp_selected(active: Sizes, primals: Sequence[Any], params: dict[str, Any]) -> Any:
        def pullback(ct: Any) -> list[Any]:
            found = cotangents(*primals, ct, params)
            return [convert(found[k](), dtype_of(primals[k])) for k in active]

        return primitive.bind(*primals, **params), pullback

    primitive = Primitive(
        name,
        impl=impl,
        shape=shape,
        jvp=jvp,
        vjp=lambda *primals, **params: vjp_selected((0, 1), primals, params),
        vjp_selected=vjp_selected,
        batch=batch,
        kernel=name,
        samples=samples,
        doc=doc,
    )
    return primitive


# --- batching: into the examples, the features or channels of each group, or into groups ---------------------------------------------------------------------


def _into(x: Any, axis: int, groups: int) -> Any:
    """The leading mapped axis moved into the channels (or features) on ``axis``, inside each group."""
    size, *shape = shape_of(x)
    split = reshape(x, (size, *shape[:axis], groups, shape[axis] // groups, *shape[axis + 1 :]))
    moved = move_axis(split, 0, axis + 1)
    return reshape(moved, (*shape[:axis], size * shape[axis], *shape[axis + 1 :]))


def _out_of(x: Any, axis: int, groups: int, size: int) -> Any:
    """Undo :func:`_into`."""
    shape = shape_of(x)
    split = reshape(x, (*shape[:axis], groups, size, shape[axis] // (groups * size), *shape[axis + 1 :]))
    moved = move_axis(split, axis + 1, 0)
    return reshape(moved, (size, *shape[:axis], shape[axis] // size, *shape[axis + 1 :]))


def _merge_examples(x: Any) -> Any:
    size, n, *rest = shape_of(x)
    return reshape(x, (size * n, *rest))


def _split_examples(x: Any, size: int) -> Any:
    n, *rest = shape_of(x)
    return reshape(x, (size, n // size, *rest))


def _convolve_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, groups: int, **params: Any) -> Any:
    x, w = args
    last_x = len(shape_of(x)) - 1 - mapped[0]
    if not mapped[1]:
        return _split_examples(convolve_p.bind(_merge_examples(x), w, groups=groups, **params), size), True
    if not mapped[0]:
        return _out_of(
            convolve_p.bind(x, _into(w, last_x, groups), groups=groups, **params), last_x, groups, size
        ), True
    out = convolve_p.bind(_into(x, last_x, 1), _into(w, last_x, 1), groups=groups * size, **params)
    return _out_of(out, last_x, 1, size), True


def _input_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, groups: int, **params: Any) -> Any:
    w, y = args
    last = len(shape_of(y)) - 1 - mapped[1]
    if not mapped[0]:
        return _split_examples(convolve_input_p.bind(w, _merge_examples(y), groups=groups, **params), size), True
    if not mapped[1]:
        # The kernel's own channels are those of one group.
        out = convolve_input_p.bind(_into(w, last - 1, 1), y, groups=groups, **params)
        return _out_of(out, last, groups, size), True
    out = convolve_input_p.bind(_into(w, last, 1), _into(y, last, 1), groups=groups * size, **params)
    return _out_of(out, last, 1, size), True


def _kernel_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, groups: int, **params: Any) -> Any:
    x, y = args
    last = len(shape_of(x)) - 1 - mapped[0]
    if not mapped[1]:
        out = convolve_kernel_p.bind(_into(x, last, groups), y, groups=groups, **params)
        return _out_of(out, last - 1, 1, size), True
    if not mapped[0]:
        out = convolve_kernel_p.bind(x, _into(y, last, groups), groups=groups, **params)
        return _out_of(out, last, groups, size), True
    out = convolve_kernel_p.bind(_into(x, last, 1), _into(y, last, 1), groups=groups * size, **params)
    return _out_of(out, last, 1, size), True


convolve_p = _bilinear(
    "convolve",
    impl=_convolve_impl,
    shape=_convolve_shape,
    cotangents=_convolve_cotangents,
    batch=_convolve_batch,
    samples=[
        case(f64(2, 5, 3), f64(3, 3, 2), strides=(1,), dilation=(1,), groups=1),
        case(f64(2, 7, 6), f64(2, 3, 4), strides=(2,), dilation=(3,), groups=2),
        case(f64(1, 5, 4, 2), f64(2, 3, 2, 3), strides=(2, 1), dilation=(1, 1), groups=1),
        case(f64(2, 4, 4, 6), f64(2, 2, 6, 2), strides=(1, 2), dilation=(2, 1), groups=1),
        case(f64(1, 4, 3, 3), f64(2, 2, 1, 6), strides=(1, 1), dilation=(1, 1), groups=3),
        case(f64(1, 3, 3, 3, 2), f64(2, 2, 2, 2, 2), strides=(1, 1, 1), dilation=(1, 1, 1), groups=1),
        case(f64(1, 1, 1), f64(1, 1, 1), strides=(1,), dilation=(1,), groups=1),
        case(f64(0, 4, 2), f64(2, 2, 3), strides=(1,), dilation=(1,), groups=1),
        case(f64(1, 2, 2), f64(3, 2, 3), strides=(1,), dilation=(1,), groups=1),
        case(f32(2, 5, 3), f32(3, 3, 2), strides=(1,), dilation=(1,), groups=1),
        case(c128(1, 5, 2), c128(2, 2, 2), strides=(2,), dilation=(1,), groups=1),
    ],
    doc="Sums of products over windows of the input, without padding.",
)

convolve_input_p = _bilinear(
    "convolve_input",
    impl=_input_impl,
    shape=_input_shape,
    cotangents=_input_cotangents,
    batch=_input_batch,
    samples=[
        case(f64(3, 3, 2), f64(2, 3, 2), space=(5,), strides=(1,), dilation=(1,), groups=1),
        case(f64(2, 3, 4), f64(2, 2, 4), space=(7,), strides=(2,), dilation=(3,), groups=2),
        case(f64(2, 3, 2, 3), f64(1, 2, 2, 3), space=(5, 4), strides=(2, 1), dilation=(1, 1), groups=1),
        case(f64(2, 2, 1, 6), f64(1, 3, 2, 6), space=(4, 3), strides=(1, 1), dilation=(1, 1), groups=3),
        case(f64(2, 2, 3), f64(0, 3, 3), space=(4,), strides=(1,), dilation=(1,), groups=1),
        case(f32(3, 3, 2), f32(2, 3, 2), space=(5,), strides=(1,), dilation=(1,), groups=1),
        case(c128(2, 2, 2), c128(1, 2, 2), space=(5,), strides=(2,), dilation=(1,), groups=1),
    ],
    doc="The gradient of sum(y * convolve(x, w)) by x: a transposed convolution.",
)

convolve_kernel_p = _bilinear(
    "convolve_kernel",
    impl=_kernel_impl,
    shape=_kernel_shape,
    cotangents=_kernel_cotangents,
    batch=_kernel_batch,
    samples=[
        case(f64(2, 5, 3), f64(2, 3, 2), window=(3,), strides=(1,), dilation=(1,), groups=1),
        case(f64(2, 7, 6), f64(2, 2, 4), window=(2,), strides=(2,), dilation=(3,), groups=2),
        case(f64(1, 5, 4, 2), f64(1, 2, 2, 3), window=(2, 3), strides=(2, 1), dilation=(1, 1), groups=1),
        case(f64(1, 4, 3, 3), f64(1, 3, 2, 6), window=(2, 2), strides=(1, 1), dilation=(1, 1), groups=3),
        case(f64(0, 4, 2), f64(0, 3, 3), window=(2,), strides=(1,), dilation=(1,), groups=1),
        case(f32(2, 5, 3), f32(2, 3, 2), window=(3,), strides=(1,), dilation=(1,), groups=1),
        case(c128(1, 5, 2), c128(1, 2, 2), window=(2,), strides=(2,), dilation=(1,), groups=1),
    ],
    doc="The gradient of sum(y * convolve(x, w)) by w.",
)


# --- padding, dilation of the input, and the transposed convolution ------------------------------------------------------------------------------------------


def sizes_of(function: str, name: str, value: Any, axes: int, least: int = 1) -> Sizes:
    """One int for all spatial axes, or one for each."""
    sizes = (value,) * axes if isinstance(value, int | np.integer) else tuple(value)
    if len(sizes) != axes or any(not isinstance(v, int | np.integer) or v < least for v in sizes):
        raise ArgumentError(
            f"{function}: {name} must be an int >= {least} or one for each of {axes} spatial axes, got {value!r}"
        )
    return tuple(int(v) for v in sizes)


def explicit_padding(
    function: str, padding: Any, space: Sizes, extents: Sizes, strides: Sizes
) -> tuple[tuple[int, int], ...]:
    """Padding as a pair (before, after) for each spatial axis.

    ``"VALID"`` is none; ``"SAME"`` makes ``ceil(size / stride)`` windows, the odd element after; an int pads both sides of all axes; a sequence has
    an int or a pair for each axis.
    """
    if isinstance(padding, str):
        if padding.upper() == "VALID":
            return ((0, 0),) * len(space)
        if padding.upper() == "SAME":
            totals = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(space, extents, strides)]
            return tuple((t // 2, t - t // 2) for t in totals)
    elif isinstance(padding, int | np.integer):
        return ((int(padding), int(padding)),) * len(space)
    elif len(padding) == len(space):
        pairs = tuple((p, p) if isinstance(p, int | np.integer) else tuple(p) for p in padding)
        if all(len(p) == 2 and all(isinstance(v, int | np.integer) for v in p) for p in pairs):
            return tuple((int(low), int(high)) for low, high in pairs)
    raise ArgumentError(
        f"{function}: padding must be 'SAME', 'VALID', an int, or an int or a pair (before, after) for each of {len(space)} spatial axes, "
        f"got {padding!r}"
    )


def conv_general(
    x: Any,
    w: Any,
    strides: Any = 1,
    padding: Any = "VALID",
    lhs_dilation: Any = 1,
    rhs_dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Convolution (cross-correlation: the kernel is not flipped) of channels-last operands.

    Parameters
    ----------
    x : buffer or tracer
        Input, shape ``(n, *space, channels)`` with one to three (or more) spatial axes.
    w : buffer or tracer
        Kernel, shape ``(*window, channels / groups, features)``.
    strides : int or sequence of int
        Step of the windows.
    padding : str, int or sequence
        ``"SAME"``, ``"VALID"``, or zeros to add, see :func:`explicit_padding`; negative numbers take elements away.
    lhs_dilation, rhs_dilation : int or sequence of int
        Spacing of the elements of the input (zeros are put between them) and of the kernel.
    groups : int
        The channels are divided into so many groups, and each group makes its own features.

    Returns
    -------
    buffer or tracer
        Shape ``(n, *space, features)``, promoted dtype.

    Raises
    ------
    ShapeError
        If channels or ranks do not fit.
    ArgumentError
        If strides, padding or dilations are malformed.
    """
    axes = len(shape_of(x)) - 2
    if axes < 1 or len(shape_of(w)) != axes + 2:
        _convolve_shape(*_avals(x, w), strides=(), dilation=(), groups=groups)
    strides, rhs_dilation, lhs_dilation = (
        sizes_of("convolution", name, value, axes)
        for name, value in (("strides", strides), ("rhs_dilation", rhs_dilation), ("lhs_dilation", lhs_dilation))
    )
    extents = tuple(map(window_extent, _window(w), rhs_dilation))
    space = tuple(window_extent(n, d) if n else 0 for n, d in zip(_space(x), lhs_dilation))
    pairs = explicit_padding("convolution", padding, space, extents, strides)
    widths = ((0, 0, 0), *((low, high, d - 1) for (low, high), d in zip(pairs, lhs_dilation)), (0, 0, 0))
    return convolve_p.bind(pad(x, widths), w, strides=strides, dilation=rhs_dilation, groups=groups)


def _avals(*values: Any) -> list[ShapedArray]:
    return [ShapedArray(shape_of(v), dtype_of(v)) for v in values]


def conv_transpose(
    x: Any,
    w: Any,
    strides: Any = 1,
    padding: Any = "VALID",
    rhs_dilation: Any = 1,
    groups: int = 1,
    output_padding: Any = 0,
) -> Any:
    """The transpose of a convolution: the linear map that takes its results' cotangents to its inputs'.

    Parameters
    ----------
    x : buffer or tracer
        Shape ``(n, *space, features)``: what the convolution would give.
    w : buffer or tracer
        The convolution's kernel, shape ``(*window, channels / groups, features)``.
    strides, padding, rhs_dilation, groups
        Of the convolution that is transposed. ``"SAME"`` gives ``size * stride`` elements along each axis, ``"VALID"`` all that a window touches.
    output_padding : int or sequence of int
        Elements to add at the end of each axis, which no window reaches.

    Returns
    -------
    buffer or tracer
        Shape ``(n, *space, channels)``, promoted dtype.

    Raises
    ------
    ShapeError
        If features or ranks do not fit.
    """
    axes = len(shape_of(x)) - 2
    if axes < 1 or len(shape_of(w)) != axes + 2 or shape_of(x)[-1] != shape_of(w)[-1]:
        raise ShapeError(
            f"conv_transpose: an input of shape {shape_of(x)} (n, space, features) does not fit a kernel of shape {shape_of(w)} "
            "(window, channels / groups, features)"
        )
    strides, rhs_dilation = (
        sizes_of("conv_transpose", name, value, axes)
        for name, value in (("strides", strides), ("rhs_dilation", rhs_dilation))
    )
    extra = sizes_of("conv_transpose", "output_padding", output_padding, axes, 0)
    extents = tuple(map(window_extent, _window(w), rhs_dilation))
    touched = tuple((n - 1) * s + e if n else 0 for n, s, e in zip(_space(x), strides, extents))
    if isinstance(padding, str) and padding.upper() == "SAME":
        wanted = tuple(n * s for n, s in zip(_space(x), strides))
        lows = tuple(low for low, _ in explicit_padding("conv_transpose", padding, wanted, extents, strides))
    else:
        pairs = explicit_padding("conv_transpose", padding, touched, extents, strides)
        lows = tuple(low for low, _ in pairs)
        wanted = tuple(t - low - high + o for t, (low, high), o in zip(touched, pairs, extra))
    full = convolve_input_p.bind(w, x, space=touched, strides=strides, dilation=rhs_dilation, groups=groups)
    # From the touched elements to the wanted ones: cut what was padding, add what no window reached.
    widths = tuple((-low, n + low - t, 0) for low, n, t in zip(lows, wanted, touched))
    return pad(full, ((0, 0, 0), *widths, (0, 0, 0)))
