"""Reductions: extremes and their positions, logical reductions, log-sum-exp. Sums are with the structural operations, products with the
cumulative ones, which their derivative is made of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, is_complex, real_dtype, shape_of
from fad.core.errors import ShapeError
from fad.core.primitive import FixedPrimitive, Primitive
from fad.core.samples import b1, c128, case, f32, f64, i64, literal
from fad.core.trace import CURRENT, EVAL, concrete_value
from fad.primitives.arithmetic import equal, isfinite, maximum, real, select, stop_gradient
from fad.primitives.array_reduction import reduced
from fad.primitives.elementwise_rules import zero_safe_multiply
from fad.primitives.math_functions import exp, log
from fad.primitives.structural import convert, keepdims_shape, reduce_sum, require_inexact, reshape, view

__all__ = [
    "argmax",
    "argmin",
    "highest",
    "logsumexp",
    "lowest",
    "reduce_all",
    "reduce_any",
    "reduce_max",
    "reduce_min",
]


def reduced_shape(name: str, x: ShapedArray, axes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape without the reduced axes, which must be distinct and exist."""
    if any(not 0 <= a < x.ndim for a in axes) or len(set(axes)) != len(axes):
        raise ShapeError(
            f"{name} over axes {axes} of an array of shape {x.shape}: axes must be distinct and below {x.ndim}"
        )
    return tuple(n for i, n in enumerate(x.shape) if i not in axes)


def _shifted(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + 1 for a in axes)


# --- maximum and minimum: elements that tie share the cotangent equally ------------------------------------------------------------------


def _winners(x: Any, out: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Which elements equal the extreme, and how many do (at least 1: next to a NaN none does); ``None`` where it is seen to be one each."""
    if type(x) is type(out) is np.ndarray and CURRENT.get() is EVAL:  # what binding would do
        mask = np.equal(x, out.reshape(keepdims_shape(x.shape, axes)))
    else:
        mask = equal.bind(x, view(out, keepdims_shape(shape_of(x), axes)))
    if type(mask) is np.ndarray and _one_each(mask, out):
        return mask, None
    count = reduce_sum(convert(mask, real_dtype(dtype_of(out))), axes)
    return mask, maximum.bind(count, 1)


def _one_each(mask: np.ndarray, out: Any) -> bool:
    """Whether every extreme is that of one element: there are as many winners as extremes, and no NaN, which has none."""
    extremes = out if type(out) is np.ndarray else concrete_value(out)
    if extremes is None or np.count_nonzero(mask) != extremes.size:
        return False
    flat = extremes if extremes.ndim == 1 else extremes.ravel("K")
    return extremes.size == 1 or not np.isnan(flat.dot(flat))


def _places_of_winners(x: np.ndarray, out: np.ndarray, axes: tuple[int, ...]) -> np.ndarray | None:
    """Where in ``x``, read in C order, the extremes are, if the last axes were reduced and no two elements tie."""
    if axes != tuple(range(out.ndim, x.ndim)):
        return None
    places = np.equal(x, out.reshape(out.shape + (1,) * len(axes))).reshape(-1).nonzero()[0]
    if places.size != out.size:
        return None
    # A row with a NaN has no winner: then another one has two.
    flat = out if out.ndim == 1 else out.ravel()
    total = flat.dot(flat)
    return places if total == total else None


_EXTREME_SAMPLES = [
    case(f64(2, 3, 4), axes=(1,)),
    case(f64(2, 3, 4), axes=(0, 2)),
    case(f64(5), axes=(0,)),
    case(f64(), axes=()),
    case(f64(1), axes=(0,)),
    case(f64(0, 3), axes=(1,)),
    case(f32(2, 3), axes=(0, 1)),
    case(c128(2, 3), axes=(1,)),
    case(i64(2, 3), axes=(1,)),
    case(b1(2, 3), axes=(1,)),
]


def _to_winners(cotangent: Any, x: Any, out: Any, axes: tuple[int, ...]) -> Any:
    """The cotangent of what extremes along ``axes`` were taken of."""
    if type(cotangent) is type(x) is type(out) is np.ndarray and CURRENT.get() is EVAL:
        places = _places_of_winners(x, out, axes)
        if places is not None:
            placed = np.zeros(x.shape, x.dtype)
            placed.put(places, cotangent)
            return placed
    mask, count = _winners(x, out, axes)
    share = view(cotangent if count is None else cotangent / count, keepdims_shape(shape_of(x), axes))
    return convert(select.bind(mask, share, dtype_of(share).type(0)), dtype_of(x))


def _extreme(name: str, function: str, ufunc: np.ufunc) -> tuple[Primitive, Callable[..., FixedPrimitive]]:
    """Declare maximum or minimum along axes; gives also what makes it of fixed axes."""

    def impl(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
        # The ufunc's method spares the Python layers of numpy.max; CuPy has only the function.
        return reduced(ufunc, x, axes) if xp is np else getattr(xp, function)(x, axis=axes)

    def shape(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
        kept = reduced_shape(function, x, axes)
        if any(x.shape[a] == 0 for a in axes) and 0 not in kept:
            raise ShapeError(
                f"{function} over axes {axes} of an array of shape {x.shape}: there is no element to take, and no identity; "
                "pass initial=, or check for emptiness first"
            )
        return ShapedArray(kept, x.dtype)

    def jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]) -> Any:
        (x,), (tangent,) = primals, tangents
        out = primitive.bind(x, axes=axes)
        mask, count = _winners(x, out, axes)
        total = reduce_sum(select.bind(mask, tangent, dtype_of(tangent).type(0)), axes)
        return out, total if count is None else total / count

    def vjp(x: Any, *, axes: tuple[int, ...]) -> Any:
        out = primitive.bind(x, axes=axes)

        return out, lambda cotangent: [_to_winners(cotangent, x, out, axes)]

    primitive = Primitive(
        name,
        impl=impl,
        shape=shape,
        jvp=jvp,
        vjp=vjp,
        pullback_from=lambda out, primals, active, params: over(params["axes"]).pull_first(out, primals[0]),
        batch=lambda size, args, mapped, *, axes: (primitive.bind(args[0], axes=_shifted(axes)), True),
        kernel=name,
        samples=_EXTREME_SAMPLES,
        doc="Elements that tie share the cotangent equally.",
    )

    @lru_cache(maxsize=4096)
    def over(axes: tuple[int, ...]) -> FixedPrimitive:
        host_impl = partial(reduced, ufunc, axes=axes)
        return FixedPrimitive(primitive, {"axes": axes}, host_impl, lambda out, x: (_to_winners, x, out, axes))

    return primitive, over


reduce_max_p, _max_over = _extreme("reduce_max", "max", np.maximum)
reduce_min_p, _min_over = _extreme("reduce_min", "min", np.minimum)


def reduce_max(x: Any, axes: tuple[int, ...]) -> Any:
    """The largest element along non-negative axes; NaN wins."""
    return CURRENT.get().unary(_max_over(axes), x) if axes else x


def reduce_min(x: Any, axes: tuple[int, ...]) -> Any:
    """The smallest element along non-negative axes; NaN wins."""
    return CURRENT.get().unary(_min_over(axes), x) if axes else x


def lowest(dtype: np.dtype) -> Any:
    """The smallest value of a dtype: -inf for floating point."""
    if dtype.kind in "iu":
        return dtype.type(np.iinfo(dtype).min)
    return dtype.type(False) if dtype.kind == "b" else dtype.type(-np.inf)


def highest(dtype: np.dtype) -> Any:
    """The largest value of a dtype: inf for floating point."""
    if dtype.kind in "iu":
        return dtype.type(np.iinfo(dtype).max)
    return dtype.type(True) if dtype.kind == "b" else dtype.type(np.inf)


# --- positions and logic: no derivative --------------------------------------------------------------------------------------------------


def _position(name: str) -> Primitive:
    def shape(x: ShapedArray, *, axis: int) -> ShapedArray:
        kept = reduced_shape(name, x, (axis,))
        if x.shape[axis] == 0 and 0 not in kept:
            raise ShapeError(
                f"{name} along axis {axis} of an array of shape {x.shape}: there is no element to point at"
            )
        return ShapedArray(kept, np.dtype(np.int64))

    primitive = Primitive(
        name,
        impl=lambda xp, x, *, axis: getattr(xp, name)(x, axis=axis),
        shape=shape,
        jvp=None,
        vjp=None,
        batch=lambda size, args, mapped, *, axis: (primitive.bind(args[0], axis=axis + 1), True),
        kernel=name,
        samples=[
            case(f64(2, 3, 4), axis=1),
            case(f32(5), axis=0),
            case(literal(np.array([1.0, 3.0, 3.0, np.nan, 2.0])), axis=0),
            case(f64(0, 3), axis=1),
            case(c128(2, 3), axis=1),
            case(i64(2, 3), axis=0),
            case(b1(4), axis=0),
        ],
        doc="The first of several equal elements; the first NaN if there is one.",
    )
    return primitive


argmax_p = _position("argmax")
argmin_p = _position("argmin")


def argmax(x: Any, axis: int) -> Any:
    """Position of the largest element along a non-negative axis, the first of them if several tie."""
    return argmax_p.bind(x, axis=axis)


def argmin(x: Any, axis: int) -> Any:
    """Position of the smallest element along a non-negative axis, the first of them if several tie."""
    return argmin_p.bind(x, axis=axis)


def _logical(name: str, function: str) -> Primitive:
    primitive = Primitive(
        name,
        impl=lambda xp, x, *, axes: getattr(xp, function)(xp.asarray(x), axis=axes),
        shape=lambda x, *, axes: ShapedArray(reduced_shape(function, x, axes), np.dtype(bool)),
        jvp=None,
        vjp=None,
        batch=lambda size, args, mapped, *, axes: (primitive.bind(args[0], axes=_shifted(axes)), True),
        kernel=name,
        samples=[
            case(b1(2, 3, 4), axes=(1,)),
            case(b1(2, 3), axes=(0, 1)),
            case(b1(0, 3), axes=(0,)),
            case(b1(), axes=()),
            case(f64(2, 3), axes=(1,)),
            case(i64(2, 3), axes=(0,)),
        ],
    )
    return primitive


reduce_any_p = _logical("reduce_any", "any")
reduce_all_p = _logical("reduce_all", "all")


def reduce_any(x: Any, axes: tuple[int, ...]) -> Any:
    """Whether some element along the non-negative axes is true."""
    return reduce_any_p.bind(x, axes=axes)


def reduce_all(x: Any, axes: tuple[int, ...]) -> Any:
    """Whether every element along the non-negative axes is true."""
    return reduce_all_p.bind(x, axes=axes)


# --- log-sum-exp: one operation where it is evaluated at once, a composite where it is staged and can be fused ------------------------


def _logsumexp_impl(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    if 0 in x.shape:
        return xp.full(tuple(n for i, n in enumerate(x.shape) if i not in axes), -np.inf, x.dtype)
    largest = xp.max(x.real if x.dtype.kind == "c" else x, axis=axes, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore", over="ignore"):
        total = xp.log(xp.sum(xp.exp(x - largest), axis=axes)) + xp.squeeze(largest, axes)
    return total.astype(x.dtype, copy=False)


def _logsumexp_shape(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
    require_inexact("logsumexp", x.dtype)
    return ShapedArray(reduced_shape("logsumexp", x, axes), x.dtype)


def _scaled_terms(x: Any, axes: tuple[int, ...], weights: Any = None) -> tuple[Any, Any, Any, Any]:
    """The terms over the largest one, their sum, 1 where it vanishes, the logarithm of the largest, and where the sum vanishes."""
    dtype = dtype_of(x)
    ordered = real.bind(x) if is_complex(dtype) else x
    largest = stop_gradient.bind(reduce_sum(ordered, axes) if 0 in shape_of(x) else reduce_max(ordered, axes))
    largest = select.bind(isfinite.bind(largest), largest, real_dtype(dtype).type(0))
    terms = exp.bind(x - reshape(largest, keepdims_shape(shape_of(x), axes)))
    if weights is not None:
        terms = weights * terms
    total = reduce_sum(terms, axes)
    vanishes = equal.bind(total, 0)
    return terms, select.bind(vanishes, dtype.type(1), total), largest, vanishes


def _logsumexp_slopes(x: Any, out: Any, axes: tuple[int, ...]) -> tuple[Any, Callable[[Any], Any]]:
    """What each element's slope is proportional to, and the product of a cotangent of the result and the factor that they share."""
    value = concrete_value(out)
    if isinstance(value, np.ndarray | np.generic) and np.isfinite(value).all():
        return exp.bind(x - reshape(out, keepdims_shape(shape_of(x), axes))), lambda ct: ct
    # As where it is staged: a cotangent of 0 stays 0, whatever the sum is.
    terms, total, _, vanishes = _scaled_terms(x, axes)
    kind = dtype_of(x).type
    return terms, lambda ct: zero_safe_multiply.bind(select.bind(vanishes, kind(0), ct), kind(1) / total)


def _logsumexp_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, axes: tuple[int, ...]) -> Any:
    out = logsumexp_p.bind(primals[0], axes=axes)
    slopes, scaled = _logsumexp_slopes(primals[0], out, axes)
    return out, scaled(reduce_sum(tangents[0] * slopes, axes))


def _logsumexp_vjp(x: Any, *, axes: tuple[int, ...]) -> Any:
    out = logsumexp_p.bind(x, axes=axes)

    def pull(ct: Any) -> list[Any]:
        slopes, scaled = _logsumexp_slopes(x, out, axes)
        return [reshape(scaled(ct), keepdims_shape(shape_of(x), axes)) * slopes]

    return out, pull


logsumexp_p = Primitive(
    "logsumexp",
    impl=_logsumexp_impl,
    shape=_logsumexp_shape,
    jvp=_logsumexp_jvp,
    vjp=_logsumexp_vjp,
    batch=lambda size, args, mapped, *, axes: (logsumexp(args[0], _shifted(axes)), True),
    kernel="logsumexp",
    samples=[
        case(f64(2, 3, 4), axes=(1,)),
        case(f64(2, 3, 4), axes=(0, 2)),
        case(f64(5), axes=(0,)),
        case(f64(0, 3), axes=(0,), check_order=0),  # -inf has no differences
        case(literal(np.array([[-np.inf, 1.0], [-1.0, 0.5]])), axes=(1,)),
        case(f32(2, 3), axes=(0, 1)),
        case(c128(2, 3), axes=(1,)),
    ],
    doc="log(sum(exp(x))) without overflow; the derivative is the softmax, and 0 where every element is -inf.",
)


def logsumexp(x: Any, axes: tuple[int, ...], weights: Any = None) -> Any:
    """``log(sum(weights * exp(x)))`` along non-negative axes, without overflow; the derivative is the softmax.

    Where every element is -inf the result is -inf and the derivative 0.
    """
    if weights is None and CURRENT.get().base is EVAL:
        return logsumexp_p.bind(x, axes=axes)
    _, total, largest, vanishes = _scaled_terms(x, axes, weights)
    return select.bind(vanishes, dtype_of(x).type(-np.inf), log.bind(total) + largest)
