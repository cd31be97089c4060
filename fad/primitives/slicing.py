"""Static slices, padding, concatenation and reversal: linear maps that move blocks of elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fad.core.avals import ShapedArray, aval_of, dtype_of, result_dtype, shape_of, weak_operand
from fad.core.errors import ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import b1, c128, case, f32, f64, i64
from fad.primitives.structural import broadcast_to, convert, linear_unary, zeros

__all__ = ["concatenate", "flip", "pad", "slice_axis", "static_slice"]


# --- slice and pad: each the other's transpose ------------------------------------------------------------------------------------


def _slice_shape(
    x: ShapedArray, *, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]
) -> ShapedArray:
    for n, start, stop, step in zip(x.shape, starts, stops, steps, strict=True):
        if not (0 <= start <= n and 0 <= stop <= n and step > 0):
            raise ShapeError(
                f"slice {start}:{stop}:{step} does not fit an axis of size {n} of an array of shape {x.shape}"
            )
    return ShapedArray(tuple(max(0, -(-(b - a) // s)) for a, b, s in zip(starts, stops, steps, strict=True)), x.dtype)


def _slice_impl(xp: Any, x: Any, *, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]) -> Any:
    return x[tuple(slice(a, b, s) for a, b, s in zip(starts, stops, steps, strict=True))]


def _slice_transpose(
    ct: Any, aval: ShapedArray, *, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]
) -> Any:
    widths = []
    for n, start, m, step in zip(aval.shape, starts, shape_of(ct), steps, strict=True):
        covered = (m - 1) * step + 1 if m else 0
        low = start if m else 0
        widths.append((low, n - low - covered, step - 1))
    return pad(ct, tuple(widths))


static_slice_p = linear_unary(
    "static_slice",
    impl=_slice_impl,
    shape=_slice_shape,
    transpose=_slice_transpose,
    batch=lambda size, x, *, starts, stops, steps: static_slice(x, (0, *starts), (size, *stops), (1, *steps)),
    kernel="slice",
    samples=[
        case(f64(5, 4), starts=(1, 0), stops=(4, 4), steps=(1, 2)),
        case(f64(7), starts=(0,), stops=(7,), steps=(3,)),
        case(f64(3), starts=(3,), stops=(3,), steps=(1,)),
        case(f32(4), starts=(2,), stops=(4,), steps=(1,)),
        case(c128(4), starts=(1,), stops=(3,), steps=(1,)),
        case(f64(), starts=(), stops=(), steps=()),
    ],
)


def static_slice(x: Any, starts: tuple[int, ...], stops: tuple[int, ...], steps: tuple[int, ...]) -> Any:
    """``x[start:stop:step, ...]`` with non-negative bounds and positive steps, one for each axis."""
    shape = shape_of(x)
    if stops == shape and not any(starts) and all(s == 1 for s in steps):
        return x
    return static_slice_p.bind(x, starts=starts, stops=stops, steps=steps)


def slice_axis(x: Any, axis: int, start: int, stop: int, step: int = 1) -> Any:
    """A slice along one axis."""
    shape = shape_of(x)
    starts, stops, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return static_slice(x, tuple(starts), tuple(stops), tuple(steps))


def _pad_shape(x: ShapedArray, *, widths: tuple[tuple[int, int, int], ...]) -> ShapedArray:
    return ShapedArray(_padded(x.shape, widths), x.dtype)


def _padded(sizes: tuple[int, ...], widths: tuple[tuple[int, int, int], ...]) -> tuple[int, ...]:
    if len(widths) != len(sizes) or any(inner < 0 for _, _, inner in widths):
        raise ShapeError(
            f"padding {widths} does not fit an array of shape {sizes}: (low, high, interior) for each axis, interior >= 0"
        )
    shape = tuple(low + high + max(n + (n - 1) * inner, 0) for n, (low, high, inner) in zip(sizes, widths, strict=True))
    if any(n < 0 for n in shape):
        raise ShapeError(f"padding {widths} takes more away from an array of shape {sizes} than it has")
    return shape


def padded_places(
    sizes: tuple[int, ...], shape: tuple[int, ...], widths: tuple[tuple[int, int, int], ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where the elements of an array lie in the padded one of the given shape, and which of them do."""
    into, taken = [], []
    for n, m, (low, _, inner) in zip(sizes, shape, widths, strict=True):
        step = inner + 1
        first = max(0, -(low // step)) if low < 0 else 0
        last = min(n, -(-(m - low) // step)) if m > low else first
        last = max(first, last)
        into.append(
            slice(low + first * step, low + (last - 1) * step + 1 if last > first else low + first * step, step)
        )
        taken.append(slice(first, last))
    return tuple(into), tuple(taken)


def _pad_impl(xp: Any, x: Any, *, widths: tuple[tuple[int, int, int], ...]) -> Any:
    x = xp.asarray(x)
    out = xp.zeros(_padded(x.shape, widths), x.dtype)
    into, taken = padded_places(x.shape, out.shape, widths)
    out[into] = x[taken]
    return out


def _pad_transpose(ct: Any, aval: ShapedArray, *, widths: tuple[tuple[int, int, int], ...]) -> Any:
    if 0 in aval.shape:
        return zeros(ShapedArray(aval.shape, dtype_of(ct)))
    # Undo negative padding first (it dropped elements: their cotangent is zero), then slice the positive rest away.
    grown = pad(ct, tuple((max(-low, 0), max(-high, 0), 0) for low, high, _ in widths))
    starts = tuple(max(low, 0) for low, _, _ in widths)
    stops = tuple(
        start + n + (n - 1) * inner for start, n, (_, _, inner) in zip(starts, aval.shape, widths, strict=True)
    )
    return static_slice(grown, starts, stops, tuple(inner + 1 for _, _, inner in widths))


pad_p = linear_unary(
    "pad",
    impl=_pad_impl,
    shape=_pad_shape,
    transpose=_pad_transpose,
    batch=lambda size, x, *, widths: pad(x, ((0, 0, 0), *widths)),
    kernel="pad",
    samples=[
        case(f64(2, 3), widths=((1, 2, 0), (0, 1, 0))),
        case(f64(3), widths=((0, 0, 2),)),
        case(f64(4), widths=((-1, 2, 0),)),
        case(f64(4), widths=((-2, -1, 1),)),
        case(f64(0), widths=((1, 1, 0),)),
        case(f32(2), widths=((1, 0, 1),)),
        case(c128(2), widths=((0, 1, 0),)),
        case(i64(2), widths=((0, 1, 0),)),
    ],
    doc="Zeros before, after and between the elements of each axis: (low, high, interior); negative low and high drop elements.",
)


def pad(x: Any, widths: tuple[tuple[int, int, int], ...]) -> Any:
    """Zeros before, after and between the elements of each axis."""
    return pad_p.bind(x, widths=widths) if any(w != (0, 0, 0) for w in widths) else x


# --- concatenate and flip ----------------------------------------------------------------------------------------------------------


def _concatenate_shape(*avals: ShapedArray, axis: int) -> ShapedArray:
    first = avals[0]
    for aval in avals[1:]:
        if aval.ndim != first.ndim or any(
            i != axis and n != m for i, (n, m) in enumerate(zip(first.shape, aval.shape, strict=False))
        ):
            raise ShapeError(
                f"concatenate along axis {axis}: shapes {', '.join(str(a.shape) for a in avals)} differ outside that axis"
            )
    shape = (*first.shape[:axis], sum(a.shape[axis] for a in avals), *first.shape[axis + 1 :])
    return ShapedArray(shape, result_dtype(*[weak_operand(a) for a in avals]))


def _concatenate_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int) -> Any:
    out = concatenate_p.bind(*primals, axis=axis)
    dtype = dtype_of(out)
    filled = [convert(zeros(aval_of(p)) if t is None else t, dtype) for p, t in zip(primals, tangents, strict=True)]
    return out, concatenate_p.bind(*filled, axis=axis)


def _concatenate_vjp(*primals: Any, axis: int) -> Any:
    avals = [aval_of(p) for p in primals]

    def pullback(ct: Any) -> list[Any]:
        cotangents, start = [], 0
        for aval in avals:
            stop = start + aval.shape[axis]
            cotangents.append(convert(slice_axis(ct, axis, start, stop), aval.dtype))
            start = stop
        return cotangents

    return concatenate_p.bind(*primals, axis=axis), pullback


def _concatenate_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, axis: int) -> Any:
    fronted = [a if m else broadcast_to(a, (size, *shape_of(a))) for a, m in zip(args, mapped, strict=True)]
    return concatenate_p.bind(*fronted, axis=axis + 1), True


concatenate_p = Primitive(
    "concatenate",
    impl=lambda xp, *args, axis: xp.concatenate(args, axis=axis),
    shape=_concatenate_shape,
    jvp=_concatenate_jvp,
    vjp=_concatenate_vjp,
    batch=_concatenate_batch,
    kernel="concatenate",
    samples=[
        case(f64(2, 3), f64(2, 1), axis=1),
        case(f64(2), f64(0), f64(1), axis=0),
        case(f64(2), f32(3), axis=0),
        case(f64(2), c128(3), axis=0),
        case(b1(2), b1(1), axis=0),
    ],
)


def concatenate(args: Sequence[Any], axis: int) -> Any:
    """The arrays one after another along a non-negative axis."""
    return args[0] if len(args) == 1 else concatenate_p.bind(*args, axis=axis)


flip_p = linear_unary(
    "flip",
    impl=lambda xp, x, *, axes: xp.flip(x, axes),
    shape=lambda x, *, axes: x.update(),
    transpose=lambda ct, aval, *, axes: flip(ct, axes),
    batch=lambda size, x, *, axes: flip(x, tuple(a + 1 for a in axes)),
    kernel="flip",
    samples=[
        case(f64(3), axes=(0,)),
        case(f64(2, 3), axes=(0, 1)),
        case(f32(0, 2), axes=(1,)),
        case(c128(3), axes=(0,)),
    ],
)


def flip(x: Any, axes: tuple[int, ...]) -> Any:
    """The elements in reverse order along the given non-negative axes."""
    return flip_p.bind(x, axes=axes) if axes else x
