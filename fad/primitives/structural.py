"""Operations that only move elements, add them up or change their type: all linear, and the helpers that every other rule uses."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from fad.core.avals import PYTHON_SCALARS, ShapedArray, aval_of, dtype_of, is_bfloat16, is_inexact, shape_of
from fad.core.errors import DTypeError, ShapeError
from fad.core.primitive import FixedPrimitive, Primitive, linear
from fad.core.samples import Named, b1, c128, case, f32, f64, i64
from fad.core.trace import CURRENT, EVAL
from fad.primitives.array_reduction import reduced

__all__ = [
    "broadcast_to",
    "convert",
    "expand_front",
    "full",
    "iota",
    "linear_unary",
    "match",
    "match_out",
    "move_axis",
    "narrow_integer",
    "ones_like_aval",
    "permute",
    "reduce_sum",
    "require_in_bounds",
    "reshape",
    "sum_of_wide",
    "unbroadcast",
    "view",
    "weaken",
    "with_kept_axes",
    "zeros",
]


_BUFFERS = (np.ndarray, np.generic)


def linear_unary(
    name: str,
    *,
    impl: Any,
    shape: Callable[..., ShapedArray],
    transpose: Callable[..., Any],
    batch: Callable[..., Any],
    kernel: Any,
    samples: Any,
    doc: str = "",
    pullback_from: Callable[..., Any] | None = None,
) -> Primitive:
    """Declare an operation that is linear in its one argument.

    ``transpose(cotangent, aval, **params)`` is the transposed map and serves as the vjp rule; ``batch(size, x, **params)`` gets the
    argument with the mapped axis in front and keeps it there.
    """

    def vjp(x: Any, **params: Any) -> Any:
        aval = aval_of(x)
        return primitive.bind(x, **params), lambda cotangent: [transpose(cotangent, aval, **params)]

    def batch_rule(size: int, args: Sequence[Any], mapped: Sequence[bool], **params: Any) -> Any:
        return batch(size, args[0], **params), True

    def pull(cotangent: Any, aval: ShapedArray, params: dict[str, Any]) -> Any:
        return transpose(cotangent, aval, **params)

    def transposing(out: Any, primals: Sequence[Any], active: Any, params: dict[str, Any]) -> tuple[Any, ...]:
        return pull, aval_of(primals[0]), params

    primitive = Primitive(
        name,
        impl=impl,
        shape=shape,
        jvp=linear,
        vjp=vjp,
        pullback_from=pullback_from or transposing,
        batch=batch_rule,
        kernel=kernel,
        samples=samples,
        doc=doc,
    )
    return primitive


# --- reshape and transpose ------------------------------------------------------------------------------------------------------


def _reshape_shape(x: ShapedArray, *, shape: tuple[int, ...]) -> ShapedArray:
    if math.prod(shape) != math.prod(x.shape) or any(n < 0 for n in shape):
        raise ShapeError(f"cannot reshape an array of shape {x.shape} ({math.prod(x.shape)} elements) into {shape}")
    return ShapedArray(shape, x.dtype)


reshape_p = linear_unary(
    "reshape",
    impl=lambda xp, x, *, shape: x.reshape(shape) if type(x) is np.ndarray else xp.reshape(x, shape),
    shape=_reshape_shape,
    transpose=lambda ct, aval, *, shape: reshape(ct, aval.shape),
    pullback_from=lambda out, primals, active, params: _pull_view(out, primals[0]),
    batch=lambda size, x, *, shape: reshape(x, (size, *shape)),
    kernel="reshape",
    samples=[
        case(f64(2, 3, 4), shape=(4, 6)),
        case(f64(6), shape=(2, 1, 3)),
        case(f64(), shape=(1, 1)),
        case(f64(0, 3), shape=(0,)),
        case(c128(4), shape=(2, 2)),
        case(f32(1), shape=()),
        case(i64(4), shape=(2, 2)),
    ],
)


def reshape(x: Any, shape: tuple[int, ...]) -> Any:
    """``x`` with another shape, elements in C order; no operation where the shape is that already."""
    return x if shape_of(x) == shape else CURRENT.get().unary(_reshape_to(shape), x)


@lru_cache(maxsize=4096)
def with_kept_axes(shape: tuple[int, ...], axes: tuple[int, ...]) -> FixedPrimitive:
    """What gives the result of reducing ``axes`` of an array of ``shape`` these axes back, at size 1."""
    params = {"shape": keepdims_shape(shape, axes)}
    return FixedPrimitive(reshape_p, params, partial(reshape_p.host_impl, **params), lambda out, x: (view, x.shape))


def _pull_view(out: Any, x: Any) -> tuple[Any, ...]:
    return view, shape_of(x)


@lru_cache(maxsize=4096)
def _reshape_to(shape: tuple[int, ...]) -> FixedPrimitive:
    return FixedPrimitive(reshape_p, {"shape": shape}, partial(reshape_p.host_impl, shape=shape), _pull_view)


def view(x: Any, shape: tuple[int, ...]) -> Any:
    """:func:`reshape` for pullbacks: what they evaluate at once need not go through the traces."""
    return x.reshape(shape) if type(x) is np.ndarray and CURRENT.get() is EVAL else reshape(x, shape)


def _permute_shape(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
    if sorted(axes) != list(range(x.ndim)):
        raise ShapeError(
            f"transpose axes {axes} are not a permutation of the {x.ndim} axes of an array of shape {x.shape}"
        )
    return ShapedArray(tuple(x.shape[a] for a in axes), x.dtype)


def inverse_permutation(axes: tuple[int, ...]) -> tuple[int, ...]:
    """The permutation that undoes ``axes``."""
    inverse = [0] * len(axes)
    for position, axis in enumerate(axes):
        inverse[axis] = position
    return tuple(inverse)


transpose_p = linear_unary(
    "transpose",
    impl=lambda xp, x, *, axes: x.transpose(axes) if type(x) is np.ndarray else xp.transpose(x, axes),
    shape=_permute_shape,
    transpose=lambda ct, aval, *, axes: permute(ct, inverse_permutation(axes)),
    batch=lambda size, x, *, axes: permute(x, (0, *(a + 1 for a in axes))),
    kernel="transpose",
    samples=[
        case(f64(2, 3, 4), axes=(2, 0, 1)),
        case(f64(2, 3), axes=(1, 0)),
        case(f32(0, 3), axes=(1, 0)),
        case(f64(), axes=()),
        case(c128(2, 3), axes=(1, 0)),
    ],
)


def permute(x: Any, axes: tuple[int, ...]) -> Any:
    """``x`` with permuted axes; no operation for the identity."""
    return x if axes == tuple(range(len(axes))) else transpose_p.bind(x, axes=axes)


def move_axis(x: Any, source: int, destination: int) -> Any:
    """``x`` with one axis moved; both positions are non-negative."""
    if source == destination:
        return x
    axes = list(range(len(shape_of(x))))
    axes.insert(destination, axes.pop(source))
    return permute(x, tuple(axes))


def expand_front(x: Any, mapped: bool, ndim: int) -> Any:
    """A batched operand with axes of size 1 put after the mapped axis until its rank without that axis is ``ndim``."""
    shape = shape_of(x)
    if not mapped or len(shape) - 1 == ndim:
        return x
    return reshape(x, (shape[0],) + (1,) * (ndim - len(shape) + 1) + shape[1:])


# --- broadcast and sum: each the other's transpose -----------------------------------------------------------------------------------


def _broadcast_shape(x: ShapedArray, *, shape: tuple[int, ...]) -> ShapedArray:
    lead = len(shape) - x.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[lead:], strict=True)):
        raise ShapeError(
            f"cannot broadcast an array of shape {x.shape} to shape {shape}: sizes must be equal or 1, from the right"
        )
    return ShapedArray(shape, x.dtype)


def _broadcast_batch(size: int, x: Any, *, shape: tuple[int, ...]) -> Any:
    return broadcast_to_p.bind(expand_front(x, True, len(shape)), shape=(size, *shape))


def _broadcast_impl(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    x = x if hasattr(x, "ndim") else xp.asarray(x)
    if xp is np and len(shape) >= x.ndim:
        # What every sum sends back. A view with zero strides, made without NumPy's iterator, which takes ten times as long.
        if x.size == 1:
            return np.ndarray(shape, x.dtype, np.asarray(x), 0, (0,) * len(shape))
        lead = len(shape) - x.ndim
        if x.flags.c_contiguous and False not in [n in (1, m) for n, m in zip(x.shape, shape[lead:])]:
            strides = [0 if n == 1 else stride for n, stride in zip(x.shape, x.strides)]
            return np.ndarray(shape, x.dtype, x, 0, (0,) * lead + tuple(strides))
    return xp.broadcast_to(x, shape)


broadcast_to_p = linear_unary(
    "broadcast_to",
    impl=_broadcast_impl,
    shape=_broadcast_shape,
    transpose=lambda ct, aval, *, shape: unbroadcast(ct, aval.shape),
    batch=_broadcast_batch,
    kernel="broadcast",
    samples=[
        case(f64(3), shape=(2, 3)),
        case(f64(2, 1), shape=(4, 2, 3)),
        case(f64(), shape=(2, 2)),
        case(f32(1, 3), shape=(0, 3)),
        case(c128(1), shape=(3,)),
        case(b1(1), shape=(3,)),
    ],
)


def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """``x`` repeated along new or size-1 axes; no operation where the shape is that already."""
    return x if shape_of(x) == shape else broadcast_to_p.bind(x, shape=shape)


def _sum_impl(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    if x.dtype.kind in "fc" and x.dtype.itemsize > 2:
        return reduced(np.add, x, axes) if xp is np else xp.add.reduce(x, axes)
    if x.dtype.kind == "b":
        return xp.any(x, axis=axes)
    if x.dtype.kind == "f" or is_bfloat16(x.dtype):
        # Half precision: rounded after each addition, a sum of ones would end at 2048, or 256.
        return xp.sum(x.astype(np.float32), axis=axes).astype(x.dtype)
    return xp.sum(x, axis=axes, dtype=x.dtype)


def _sum_shape(x: ShapedArray, *, axes: tuple[int, ...]) -> ShapedArray:
    if any(not 0 <= a < x.ndim for a in axes) or len(set(axes)) != len(axes):
        raise ShapeError(
            f"sum over axes {axes} of an array of shape {x.shape}: axes must be distinct and below {x.ndim}"
        )
    return ShapedArray(tuple(n for i, n in enumerate(x.shape) if i not in axes), x.dtype)


def keepdims_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` with the reduced axes (non-negative) kept at size 1."""
    kept = list(shape)
    for axis in axes:
        kept[axis] = 1
    return tuple(kept)


def _spread(ct: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> Any:
    """The cotangent of a sum over ``axes`` of an array of ``shape``."""
    if isinstance(ct, _BUFFERS) and CURRENT.get() is EVAL:  # what binding would do
        ct = ct if type(ct) is np.ndarray else np.asarray(ct)
        if ct.flags.c_contiguous:
            return np.ndarray(shape, ct.dtype, ct, 0, _spread_strides(shape, axes, ct.itemsize))
        return _broadcast_impl(
            np, ct.reshape(keepdims_shape(shape, axes)) if len(axes) < len(shape) else ct, shape=shape
        )
    return broadcast_to(reshape(ct, keepdims_shape(shape, axes)) if len(axes) < len(shape) else ct, shape)


@lru_cache(maxsize=4096)
def _spread_strides(shape: tuple[int, ...], axes: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides by which contiguous sums over ``axes`` are seen in the shape of what was summed."""
    strides = [0] * len(shape)
    for axis in reversed(range(len(shape))):
        if axis not in axes:
            strides[axis] = itemsize
            itemsize *= shape[axis]
    return tuple(strides)


reduce_sum_p = linear_unary(
    "reduce_sum",
    impl=_sum_impl,
    shape=_sum_shape,
    transpose=lambda ct, aval, *, axes: _spread(ct, aval.shape, axes),
    pullback_from=lambda out, primals, active, params: _sum_over(params["axes"]).pull_first(out, primals[0]),
    batch=lambda size, x, *, axes: reduce_sum(x, tuple(a + 1 for a in axes)),
    kernel="reduce_sum",
    samples=[
        case(f64(2, 3, 4), axes=(1,)),
        case(f64(2, 3, 4), axes=(0, 2)),
        case(f64(3), axes=(0,)),
        case(f64(), axes=()),
        case(f64(0, 3), axes=(0,)),
        case(f32(2, 3), axes=(0, 1)),
        case(c128(2, 3), axes=(1,)),
        case(i64(2, 3), axes=(1,)),
    ],
)


def reduce_sum(x: Any, axes: tuple[int, ...]) -> Any:
    """Sum over the given non-negative axes, in the dtype of ``x``."""
    return CURRENT.get().unary(_sum_over(axes), x) if axes else x


@lru_cache(maxsize=4096)
def _sum_over(axes: tuple[int, ...]) -> FixedPrimitive:
    return _fixed_sum(axes, partial(reduce_sum_p.host_impl, axes=axes))


@lru_cache(maxsize=4096)
def sum_of_wide(axes: tuple[int, ...]) -> FixedPrimitive:
    """The sum over some axes, at least one, of floats that are known to be of more than two bytes."""
    return _fixed_sum(axes, partial(reduced, np.add, axes=axes))


def _fixed_sum(axes: tuple[int, ...], host_impl: Callable[..., Any]) -> FixedPrimitive:
    # What has axes is no Python number.
    return FixedPrimitive(reduce_sum_p, {"axes": axes}, host_impl, lambda out, x: (_spread, x.shape, axes))


def unbroadcast(cotangent: Any, shape: tuple[int, ...]) -> Any:
    """Sum a cotangent over the axes along which a value of ``shape`` was broadcast."""
    seen = shape_of(cotangent)
    if seen == shape:
        return cotangent
    if type(cotangent) is np.ndarray and CURRENT.get() is EVAL:
        return _summed(cotangent, shape)
    return reshape(reduce_sum(cotangent, _repeated_axes(seen, shape)), shape)


def _summed(cotangent: np.ndarray, shape: tuple[int, ...]) -> Any:
    """What the operations of :func:`unbroadcast` evaluate to."""
    axes = _repeated_axes(cotangent.shape, shape)
    total = _sum_impl(np, cotangent, axes=axes) if axes else cotangent
    return total if total.shape == shape else total.reshape(shape)


@lru_cache(maxsize=4096)
def _repeated_axes(seen: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    lead = len(seen) - len(shape)
    return tuple(range(lead)) + tuple(i + lead for i, n in enumerate(shape) if n == 1 and seen[i + lead] != 1)


# --- dtype -------------------------------------------------------------------------------------------------------------------------------


def _convert_impl(xp: Any, x: Any, *, dtype: np.dtype) -> Any:
    x = xp.asarray(x)
    if x.dtype.kind == "c" and dtype.kind != "c":
        x = x.real if dtype.kind != "b" else x != 0
    if x.dtype.kind in "fV" and dtype.kind in "iu":
        # NumPy leaves the cast of NaN and out-of-range values to the C compiler; only its warning is silenced here.
        with np.errstate(invalid="ignore"):
            return x.astype(dtype)
    return x.astype(dtype)


def _convert_jvp(primals: Any, tangents: Any, *, dtype: np.dtype) -> Any:
    out = convert(primals[0], dtype)
    return out, (convert(tangents[0], dtype) if is_inexact(dtype) else None)


def _convert_vjp(x: Any, *, dtype: np.dtype) -> Any:
    source = dtype_of(x)
    out = convert_p.bind(x, dtype=dtype)
    return out, lambda ct: [convert(ct, source) if is_inexact(dtype) else None]


convert_p = Primitive(
    "convert",
    impl=_convert_impl,
    shape=lambda x, *, dtype: ShapedArray(x.shape, dtype),
    jvp=_convert_jvp,
    vjp=_convert_vjp,
    batch=lambda size, args, mapped, *, dtype: (convert_p.bind(args[0], dtype=dtype), True),
    kernel="convert",
    samples=[
        case(f64(2, 3), dtype=np.dtype("float32"), check_tolerance=1e-2),
        case(f32(2, 3), dtype=np.dtype("float64")),
        case(f64(3), dtype=np.dtype("complex128")),
        case(c128(3), dtype=np.dtype("float64")),
        case(i64(3), dtype=np.dtype("float64")),
        case(f64(3), dtype=np.dtype("int32")),
        case(f64(3), dtype=Named("bfloat16"), check_order=0),
        case(b1(3), dtype=np.dtype("int8")),
    ],
    doc="Change of dtype; complex to real takes the real part.",
)


def convert(x: Any, dtype: np.dtype) -> Any:
    """``x`` in another dtype; no operation where it has it already."""
    if type(x) is np.ndarray:
        return x if x.dtype == dtype else convert_p.bind(x, dtype=dtype)
    _check_fits(x, dtype)
    return x if dtype_of(x) == dtype and not _is_weak(x) else convert_p.bind(x, dtype=dtype)


def _check_fits(value: Any, dtype: np.dtype) -> None:
    """Raise OverflowError for a Python integer that a dtype does not hold, as NumPy does when it makes or fills an array."""
    if type(value) is int and dtype.kind in "iu":
        np.asarray(value, dtype)


def _is_weak(x: Any) -> bool:
    if type(x) in PYTHON_SCALARS:
        return True
    if isinstance(x, _BUFFERS):
        return False
    primal = getattr(x, "primal", None)
    return aval_of(x).weak if primal is None else _is_weak(primal)


weaken = Primitive(
    "weaken",
    impl=lambda xp, x: x.item() if hasattr(x, "item") else x,
    shape=lambda x: ShapedArray((), x.dtype, True),
    jvp=lambda primals, tangents: (weaken.bind(primals[0]), tangents[0]),
    vjp=lambda x: (weaken.bind(x), lambda ct: [ct]),
    batch=lambda size, args, mapped: (args[0], True),
    kernel="identity",
    samples=[case(f64())],
    doc="A 0-d value that yields to the dtype of any array, as Python scalars do (NEP 50).",
)


def require_in_bounds(value: int, dtype: np.dtype) -> None:
    """Raise, as NumPy does (NEP 50), where a Python integer is no number of an integer dtype."""
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        raise OverflowError(f"Python integer {value} out of bounds for {dtype}")


def _narrow_impl(xp: Any, x: Any, *, dtype: np.dtype) -> Any:
    values = xp.asarray(x)
    for value in (values.min(), values.max()) if values.size else ():
        require_in_bounds(value, dtype)
    return values.astype(dtype)[()]


narrow_integer = Primitive(
    "narrow_integer",
    impl=_narrow_impl,
    shape=lambda x, *, dtype: ShapedArray(x.shape, dtype),
    jvp=None,
    vjp=None,
    batch=lambda size, args, mapped, *, dtype: (narrow_integer.bind(*args, dtype=dtype), True),
    kernel=None,
    samples=[case(i64(), dtype=np.dtype(np.int8)), case(i64(3), dtype=np.dtype(np.int32))],
    doc="A Python integer in an integer dtype; raises OverflowError where it is none of its numbers, as NumPy does (NEP 50).",
)


def match(cotangent: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """A cotangent summed and converted to the shape and dtype of the primal that it belongs to."""
    if type(cotangent) is np.ndarray and cotangent.shape != shape and CURRENT.get() is EVAL:
        axes = _repeated_axes(cotangent.shape, shape)
        if axes and dtype.kind in "fc" and dtype.itemsize > 2 and cotangent.dtype == dtype:
            total = reduced(np.add, cotangent, axes)  # what _summed comes to
            return total if total.shape == shape else total.reshape(shape)
        total = _summed(cotangent, shape)
    else:
        total = unbroadcast(cotangent, shape)
    return total if type(total) is np.ndarray and total.dtype == dtype else convert(total, dtype)


def match_out(tangent: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """A tangent broadcast and converted to the shape and dtype of the result that it belongs to."""
    return convert(broadcast_to(tangent, shape), dtype)


# --- sources -----------------------------------------------------------------------------------------------------------------------------


def _source_batch(size: int, args: Any, mapped: Any, **params: Any) -> Any:
    raise AssertionError("an operation without arguments is never batched")


full_p = Primitive(
    "full",
    impl=lambda xp, *, shape, value, dtype: xp.full(shape, value, dtype) if shape else dtype.type(value),
    shape=lambda *, shape, value, dtype: ShapedArray(shape, dtype),
    jvp=None,
    vjp=None,
    batch=_source_batch,
    kernel="full",
    samples=[
        case(shape=(2, 3), value=1.5, dtype=np.dtype("float64")),
        case(shape=(), value=2, dtype=np.dtype("int64")),
    ],
)


def full(shape: tuple[int, ...], value: Any, dtype: np.dtype) -> Any:
    """An array of one value, a Python or NumPy scalar."""
    _check_fits(value, dtype)
    return full_p.bind(shape=shape, value=value, dtype=dtype)


def zeros(aval: ShapedArray) -> Any:
    """Zeros of the given type."""
    return full_p.bind(shape=aval.shape, value=0, dtype=aval.dtype)


def ones_like_aval(aval: ShapedArray) -> Any:
    """Ones of the given type."""
    return full_p.bind(shape=aval.shape, value=1, dtype=aval.dtype)


def _iota_impl(xp: Any, *, size: int, dtype: np.dtype) -> Any:
    return xp.arange(size).astype(dtype)


iota_p = Primitive(
    "iota",
    impl=_iota_impl,
    shape=lambda *, size, dtype: ShapedArray((size,), dtype),
    jvp=None,
    vjp=None,
    batch=_source_batch,
    kernel="iota",
    samples=[case(size=4, dtype=np.dtype("int64")), case(size=0, dtype=np.dtype("float64"))],
    doc="0, 1, 2, ... along one axis.",
)


def iota(size: int, dtype: Any = np.int64) -> Any:
    """0, 1, ..., size - 1."""
    return iota_p.bind(size=size, dtype=np.dtype(dtype))


def require_inexact(function: str, dtype: np.dtype) -> None:
    """Raise unless the dtype is floating point."""
    if not is_inexact(dtype):
        raise DTypeError(
            f"{function} needs a real or complex floating dtype, got {dtype}; convert with x.astype(float)"
        )
