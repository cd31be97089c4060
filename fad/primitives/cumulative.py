"""Cumulative operations along one axis, in either direction, and the product reduction, whose derivative is made of them.

Their derivatives come down to one linear operation, :data:`linear_recurrence_p`: ``y[j] = a[j] y[j-1] + b[j]``. It multiplies and adds,
never divides, so products with zeros and sums of exponentials keep their exact derivatives to any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, is_bfloat16, real_dtype, result_dtype, shape_of
from fad.core.errors import DTypeError, ShapeError
from fad.core.primitive import Primitive
from fad.core.samples import b1, c128, case, f32, f64, i64, literal
from fad.primitives.arithmetic import equal, maximum, select
from fad.primitives.math_functions import exp
from fad.primitives.reduction import reduced_shape
from fad.primitives.repeated_rows import accumulated
from fad.primitives.slicing import concatenate, pad, slice_axis
from fad.primitives.structural import (
    broadcast_to,
    convert,
    inverse_permutation,
    keepdims_shape,
    linear_unary,
    match,
    ones_like_aval,
    permute,
    reduce_sum,
    reshape,
)

__all__ = [
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "linear_recurrence",
    "reduce_prod",
]


def _same_shape(name: str) -> Callable[..., ShapedArray]:
    def shape(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
        if not 0 <= axis < x.ndim:
            raise ShapeError(f"{name} along axis {axis} of an array of shape {x.shape}: there is no such axis")
        return x.update()

    return shape


def _directed(xp: Any, accumulate: Callable[[Any], Any], x: Any, axis: int, reverse: bool) -> Any:
    """``accumulate(x)``, from the end of the axis if ``reverse``."""
    return xp.flip(accumulate(xp.flip(x, axis)), axis) if reverse else accumulate(x)


def _accumulated(xp: Any, function: str, x: Any, axis: int) -> Any:
    """The running results of a ufunc; CuPy's have no ``accumulate``."""
    ufunc = getattr(xp, function)
    return ufunc.accumulate(x, axis=axis) if xp is np else accumulated(xp, ufunc, x, axis)


def shift(x: Any, axis: int, reverse: bool) -> Any:
    """What came before each element, in the direction of the accumulation: zero at the start."""
    widths = [(0, 0, 0)] * len(shape_of(x))
    widths[axis] = (-1, 1, 0) if reverse else (1, -1, 0)
    return pad(x, tuple(widths))


_DIRECTIONS = [
    case(f64(2, 3, 4), axis=1, reverse=False),
    case(f64(2, 3, 4), axis=2, reverse=True),
    case(f64(5), axis=0, reverse=False),
    case(f64(1), axis=0, reverse=True),
    case(f64(0, 3), axis=0, reverse=False),
    case(f32(2, 3), axis=0, reverse=True),
]
_COMPLEX = [case(c128(2, 3), axis=1, reverse=False)]
_INTEGER = [case(i64(2, 3), axis=1, reverse=False), case(i64(4), axis=0, reverse=True)]


# --- sum ---------------------------------------------------------------------------------------------------------------------------------


def _cumsum_impl(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    if is_bfloat16(x.dtype):
        return _cumsum_impl(xp, x.astype(np.float32), axis=axis, reverse=reverse).astype(x.dtype)
    return _directed(xp, lambda y: xp.cumsum(y, axis=axis, dtype=y.dtype), x, axis, reverse)


cumsum_p = linear_unary(
    "cumsum",
    impl=_cumsum_impl,
    shape=_same_shape("cumsum"),
    transpose=lambda ct, aval, *, axis, reverse: cumsum(ct, axis, not reverse),
    batch=lambda size, x, *, axis, reverse: cumsum(x, axis + 1, reverse),
    kernel="cumsum",
    samples=[*_DIRECTIONS, *_COMPLEX, *_INTEGER],
)


def cumsum(x: Any, axis: int, reverse: bool = False) -> Any:
    """Running sum along a non-negative axis."""
    return cumsum_p.bind(x, axis=axis, reverse=reverse)


# --- the linear recurrence ---------------------------------------------------------------------------------------------------------------


def _recurrence_shape(a: ShapedArray, b: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
    if a.shape != b.shape or not 0 <= axis < a.ndim:
        raise ShapeError(
            f"linear_recurrence along axis {axis}: factors of shape {a.shape} and terms of shape {b.shape} must have one shape "
            "with that axis"
        )
    return ShapedArray(b.shape, result_dtype(a.dtype, b.dtype))


def _scan(a: Any, b: Any) -> Any:
    """The recurrence along axis 0, by joining neighbours: the work of a loop in log2(n) array operations."""
    n = len(b)
    if n <= 4:
        out = b.copy()
        for j in range(1, n):
            out[j] += a[j] * out[j - 1]
        return out
    half = n // 2
    even_a, odd_a = a[0 : 2 * half : 2], a[1::2]
    odd = _scan(odd_a * even_a, odd_a * b[0 : 2 * half : 2] + b[1::2])
    out = b.copy()
    out[1::2] = odd
    out[2::2] += a[2::2] * odd[: len(out[2::2])]
    return out


def _recurrence_impl(xp: Any, a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    dtype = np.result_type(a.dtype, b.dtype)
    a, b = xp.moveaxis(a, axis, 0), xp.moveaxis(b, axis, 0).astype(dtype)
    out = _directed_pair(xp, a, b, reverse)
    return xp.moveaxis(out, 0, axis)


def _directed_pair(xp: Any, a: Any, b: Any, reverse: bool) -> Any:
    return xp.flip(_scan(xp.flip(a, 0), xp.flip(b, 0)), 0) if reverse else _scan(a, b)


def _recurrence_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, reverse: bool) -> Any:
    (a, b), (ta, tb) = primals, tangents
    out = linear_recurrence_p.bind(a, b, axis=axis, reverse=reverse)
    term = tb
    if ta is not None:
        change = ta * shift(out, axis, reverse)
        term = change if tb is None else change + tb
    return out, linear_recurrence_p.bind(a, convert(term, dtype_of(out)), axis=axis, reverse=reverse)


def _recurrence_vjp(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    out = linear_recurrence_p.bind(a, b, axis=axis, reverse=reverse)
    shape, dtypes = shape_of(b), (dtype_of(a), dtype_of(b))

    def pullback(ct: Any) -> list[Any]:
        # The adjoint runs the other way, each factor belonging to the step behind it.
        total = linear_recurrence_p.bind(shift(a, axis, not reverse), ct, axis=axis, reverse=not reverse)
        by_factor = total * shift(out, axis, reverse)
        return [match(by_factor, shape, dtypes[0]), match(total, shape, dtypes[1])]

    return out, pullback


def _recurrence_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, axis: int, reverse: bool) -> Any:
    fronted = [x if m else broadcast_to(x, (size, *shape_of(x))) for x, m in zip(args, mapped, strict=True)]
    return linear_recurrence_p.bind(*fronted, axis=axis + 1, reverse=reverse), True


linear_recurrence_p = Primitive(
    "linear_recurrence",
    impl=_recurrence_impl,
    shape=_recurrence_shape,
    jvp=_recurrence_jvp,
    vjp=_recurrence_vjp,
    batch=_recurrence_batch,
    kernel="linear_recurrence",
    samples=[
        case(f64(2, 5), f64(2, 5), axis=1, reverse=False),
        case(f64(7, 2), f64(7, 2), axis=0, reverse=True),
        case(f64(1), f64(1), axis=0, reverse=False),
        case(f64(0), f64(0), axis=0, reverse=False),
        case(literal(np.array([1.0, 0.0, 2.0, 0.0, 0.0, 1.0])), f64(6), axis=0, reverse=False),
        case(f32(4), f32(4), axis=0, reverse=True),
        case(c128(4), c128(4), axis=0, reverse=False),
        case(f64(4), c128(4), axis=0, reverse=False),
    ],
    doc="y[j] = a[j] y[j-1] + b[j] along an axis, y being 0 before the start (a[0] is not used).",
)


def linear_recurrence(a: Any, b: Any, axis: int, reverse: bool = False) -> Any:
    """``y[j] = a[j] y[j-1] + b[j]`` along a non-negative axis; from the end if ``reverse``."""
    return linear_recurrence_p.bind(a, b, axis=axis, reverse=reverse)


# --- product -----------------------------------------------------------------------------------------------------------------------------


def _before(x: Any, product: Any, axis: int, reverse: bool) -> Any:
    """The product of what came before each element: 1 at the start."""
    n = shape_of(x)[axis]
    if n == 0:
        return product
    one = ones_like_aval(ShapedArray(keepdims_shape(shape_of(x), (axis,)), dtype_of(x)))
    if reverse:
        return concatenate([slice_axis(product, axis, 1, n), one], axis)
    return concatenate([one, slice_axis(product, axis, 0, n - 1)], axis)


def _cumprod_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, reverse: bool) -> Any:
    (x,), (tangent,) = primals, tangents
    out = cumprod(x, axis, reverse)
    return out, linear_recurrence(x, tangent * _before(x, out, axis, reverse), axis, reverse)


def _cumprod_vjp(x: Any, *, axis: int, reverse: bool) -> Any:
    out = cumprod(x, axis, reverse)

    def pullback(ct: Any) -> list[Any]:
        total = linear_recurrence(shift(x, axis, not reverse), ct, axis, not reverse)
        return [total * _before(x, out, axis, reverse)]

    return out, pullback


def _cumprod_impl(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    return _directed(xp, lambda y: xp.cumprod(y, axis=axis, dtype=y.dtype), x, axis, reverse)


_WITH_ZEROS = [
    case(literal(np.array([1.5, 0.0, -0.5, 2.0])), axis=0, reverse=False),
    case(literal(np.array([[1.5, 0.0, -0.5, 0.0], [0.0, 0.0, 0.0, 2.0]])), axis=1, reverse=True),
]
cumprod_p = Primitive(
    "cumprod",
    impl=_cumprod_impl,
    shape=_same_shape("cumprod"),
    jvp=_cumprod_jvp,
    vjp=_cumprod_vjp,
    batch=lambda size, args, mapped, *, axis, reverse: (cumprod(args[0], axis + 1, reverse), True),
    kernel="cumprod",
    samples=[*_DIRECTIONS, *_COMPLEX, *_INTEGER, *_WITH_ZEROS],
)


def cumprod(x: Any, axis: int, reverse: bool = False) -> Any:
    """Running product along a non-negative axis."""
    return cumprod_p.bind(x, axis=axis, reverse=reverse)


def _product_of_others(x: Any) -> Any:
    """For each element, the product of all others along the last axis."""
    axis = len(shape_of(x)) - 1
    return _before(x, cumprod(x, axis), axis, False) * _before(x, cumprod(x, axis, True), axis, True)


def _joined_last(x: Any, axes: tuple[int, ...]) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
    """``x`` with the given axes joined into one at the end, and what undoes it: the shape before joining, and the order of axes."""
    shape = shape_of(x)
    order = (*[a for a in range(len(shape)) if a not in axes], *axes)
    moved = permute(x, order)
    kept = len(shape) - len(axes)
    return reshape(moved, (*shape_of(moved)[:kept], math.prod(shape[a] for a in axes))), shape_of(moved), order


def _prod_slopes(x: Any, axes: tuple[int, ...]) -> Any:
    joined, moved_shape, order = _joined_last(x, axes)
    return permute(reshape(_product_of_others(joined), moved_shape), inverse_permutation(order))


def _prod_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]) -> Any:
    (x,), (tangent,) = primals, tangents
    terms = tangent * _prod_slopes(x, axes)
    return reduce_prod_p.bind(x, axes=axes), reduce_sum(terms, axes)


def _prod_vjp(x: Any, *, axes: tuple[int, ...]) -> Any:
    shape = shape_of(x)
    out = reduce_prod_p.bind(x, axes=axes)
    return out, lambda ct: [reshape(ct, keepdims_shape(shape, axes)) * _prod_slopes(x, axes)]


reduce_prod_p = Primitive(
    "reduce_prod",
    impl=lambda xp, x, *, axes: xp.prod(x, axis=axes, dtype=x.dtype),
    shape=lambda x, *, axes: ShapedArray(reduced_shape("prod", x, axes), x.dtype),
    jvp=_prod_jvp,
    vjp=_prod_vjp,
    batch=lambda size, args, mapped, *, axes: (reduce_prod(args[0], tuple(a + 1 for a in axes)), True),
    kernel="reduce_prod",
    samples=[
        case(f64(2, 3, 4), axes=(1,)),
        case(f64(2, 3, 2), axes=(0, 2)),
        case(literal(np.array([1.5, 0.0, -0.5, 2.0])), axes=(0,)),
        case(literal(np.array([[1.5, 0.0, -0.5, 0.0], [0.0, 0.0, 0.0, 2.0]])), axes=(1,)),
        case(f64(0, 3), axes=(0,)),
        case(f64(1), axes=(0,)),
        case(f32(2, 3), axes=(0, 1)),
        case(c128(2, 3), axes=(1,)),
        case(i64(2, 3), axes=(1,)),
    ],
    doc="The derivative multiplies the others from both sides, so it is right with any number of zeros, to any order.",
)


def reduce_prod(x: Any, axes: tuple[int, ...]) -> Any:
    """Product over non-negative axes, in the dtype of ``x``."""
    return reduce_prod_p.bind(x, axes=axes) if axes else x


# --- running extremes: elements that tie so far share the cotangent equally, as in reduce_max -----------------------------------------


def _ties(x: Any, out: Any, axis: int, reverse: bool) -> tuple[Any, Any, Any]:
    """Which elements equal the running extreme, whether that has not changed since the step before, and how many tie so far."""
    dtype = real_dtype(dtype_of(out))
    mask = equal.bind(x, out)
    same = convert(equal.bind(out, shift(out, axis, reverse)), dtype)
    count = maximum.bind(linear_recurrence(same, convert(mask, dtype), axis, reverse), 1)
    return mask, same, count


def _extreme(name: str, function: str) -> Primitive:
    def impl(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
        return _directed(xp, lambda y: _accumulated(xp, function, y, axis), x, axis, reverse)

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, reverse: bool) -> Any:
        (x,), (tangent,) = primals, tangents
        out = primitive.bind(x, axis=axis, reverse=reverse)
        mask, same, count = _ties(x, out, axis, reverse)
        total = linear_recurrence(same, select.bind(mask, tangent, dtype_of(tangent).type(0)), axis, reverse)
        return out, convert(total / count, dtype_of(out))

    def vjp(x: Any, *, axis: int, reverse: bool) -> Any:
        out = primitive.bind(x, axis=axis, reverse=reverse)

        def pullback(ct: Any) -> list[Any]:
            mask, same, count = _ties(x, out, axis, reverse)
            total = linear_recurrence(shift(same, axis, not reverse), ct / count, axis, not reverse)
            return [convert(select.bind(mask, total, dtype_of(total).type(0)), dtype_of(x))]

        return out, pullback

    primitive = Primitive(
        name,
        impl=impl,
        shape=_same_shape(name),
        jvp=jvp,
        vjp=vjp,
        batch=lambda size, args, mapped, *, axis, reverse: (
            primitive.bind(args[0], axis=axis + 1, reverse=reverse),
            True,
        ),
        kernel=name,
        samples=[*_DIRECTIONS, *_COMPLEX, *_INTEGER, case(b1(3), axis=0, reverse=False)],
        doc="Elements that tie so far share the cotangent equally.",
    )
    return primitive


cummax_p = _extreme("cummax", "maximum")
cummin_p = _extreme("cummin", "minimum")


def cummax(x: Any, axis: int, reverse: bool = False) -> Any:
    """Running maximum along a non-negative axis; NaN stays."""
    return cummax_p.bind(x, axis=axis, reverse=reverse)


def cummin(x: Any, axis: int, reverse: bool = False) -> Any:
    """Running minimum along a non-negative axis; NaN stays."""
    return cummin_p.bind(x, axis=axis, reverse=reverse)


# --- running log-sum-exp -----------------------------------------------------------------------------------------------------------------


def _cumlogsumexp_shape(x: ShapedArray, *, axis: int, reverse: bool) -> ShapedArray:
    if x.dtype.kind != "f" and not is_bfloat16(x.dtype):
        raise DTypeError(f"cumlogsumexp needs real floating point numbers, got {x}; convert with x.astype(float)")
    return _same_shape("cumlogsumexp")(x, axis=axis, reverse=reverse)


def _cumlogsumexp_impl(xp: Any, x: Any, *, axis: int, reverse: bool) -> Any:
    return _directed(xp, lambda y: _accumulated(xp, "logaddexp", y, axis), x, axis, reverse)


def _softmax_factors(x: Any, out: Any, axis: int, reverse: bool) -> tuple[Any, Any]:
    """How much of the step before, and how much of the element, is in each step; both between 0 and 1.

    The derivative follows T[j] = exp(out[j-1] - out[j]) T[j-1] + exp(x[j] - out[j]) t[j].
    """
    dtype = dtype_of(x)
    zero = dtype.type(0)
    safe = select.bind(equal.bind(out, dtype.type(-np.inf)), zero, out)
    gap = select.bind(equal.bind(x, safe), zero, x - safe)
    before = shift(out, axis, reverse)
    fade = select.bind(equal.bind(before, safe), zero, before - safe)
    return exp.bind(fade), exp.bind(gap)


def _cumlogsumexp_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axis: int, reverse: bool) -> Any:
    (x,), (tangent,) = primals, tangents
    out = cumlogsumexp(x, axis, reverse)
    fade, weight = _softmax_factors(x, out, axis, reverse)
    return out, linear_recurrence(fade, tangent * weight, axis, reverse)


def _cumlogsumexp_vjp(x: Any, *, axis: int, reverse: bool) -> Any:
    out = cumlogsumexp(x, axis, reverse)

    def pullback(ct: Any) -> list[Any]:
        fade, weight = _softmax_factors(x, out, axis, reverse)
        return [weight * linear_recurrence(shift(fade, axis, not reverse), ct, axis, not reverse)]

    return out, pullback


cumlogsumexp_p = Primitive(
    "cumlogsumexp",
    impl=_cumlogsumexp_impl,
    shape=_cumlogsumexp_shape,
    jvp=_cumlogsumexp_jvp,
    vjp=_cumlogsumexp_vjp,
    batch=lambda size, args, mapped, *, axis, reverse: (cumlogsumexp(args[0], axis + 1, reverse), True),
    kernel="cumlogsumexp",
    samples=_DIRECTIONS,
)


def cumlogsumexp(x: Any, axis: int, reverse: bool = False) -> Any:
    """Running ``log(sum(exp(x)))`` along a non-negative axis, without overflow."""
    return cumlogsumexp_p.bind(x, axis=axis, reverse=reverse)
