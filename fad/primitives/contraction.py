"""The general matrix product: ``dot_general`` contracts some axes of two arrays, runs along others together, keeps the rest.

Axes of the result: the batch axes, then the free axes of the first array, then those of the second. Transposes are part of the
dimension numbers, so the derivatives of a matrix product are again single matrix products.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, dtype_of, is_bfloat16, result_dtype, shape_of, weak_operand
from fad.core.errors import DTypeError, ShapeError
from fad.core.primitive import FixedPrimitive, Primitive
from fad.core.samples import b1, c64, c128, case, f32, f64, i64
from fad.core.trace import CURRENT, EVAL
from fad.primitives.structural import broadcast_to, convert, inverse_permutation, move_axis, permute

__all__ = ["dot_general", "dot_general_p", "fixed_product", "mapped_front", "matrix_product", "require_numbers"]

Axes = tuple[int, ...]
AxisPairs = tuple[Axes, Axes]

_NONE: AxisPairs = ((), ())
_MATRICES: AxisPairs = ((1,), (0,))
_FLOAT16 = np.dtype(np.float16)


# --- what it computes --------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _free_axes(ndim: int, contract: Axes, batch: Axes) -> Axes:
    return tuple(a for a in range(ndim) if a not in contract and a not in batch)


def _product_of_matrices(xp: Any, x: Any, y: Any) -> Any:
    return xp.matmul(x, y)


@lru_cache(maxsize=4096)
def _compute_plan(x_ndim: int, y_ndim: int, contract: AxisPairs, batch: AxisPairs) -> Callable[[Any, Any, Any], Any]:
    """The fastest function ``(xp, x, y) -> product`` for these ranks and axes."""
    if batch == _NONE:
        if (x_ndim, y_ndim) == (2, 2):
            flat = {
                _MATRICES: _product_of_matrices,
                ((0,), (0,)): lambda xp, x, y: xp.matmul(x.T, y),
                ((1,), (1,)): lambda xp, x, y: xp.matmul(x, y.T),
                ((0,), (1,)): lambda xp, x, y: xp.matmul(x.T, y.T),
            }
            if contract in flat:
                return flat[contract]
        if contract == ((0,), (0,)) and x_ndim == 1 and y_ndim in (1, 2):
            return lambda xp, x, y: xp.matmul(x, y)
        if contract == ((1,), (0,)) and (x_ndim, y_ndim) == (2, 1):
            return lambda xp, x, y: xp.matmul(x, y)
        if contract == ((0,), (0,)) and (x_ndim, y_ndim) == (2, 1):
            return lambda xp, x, y: xp.matmul(y, x)
        if contract == ((0,), (1,)) and (x_ndim, y_ndim) == (1, 2):
            return lambda xp, x, y: xp.matmul(y, x)
    x_free, y_free = _free_axes(x_ndim, contract[0], batch[0]), _free_axes(y_ndim, contract[1], batch[1])
    x_order, y_order = (*batch[0], *x_free, *contract[0]), (*batch[1], *contract[1], *y_free)
    if len(x_free) == len(y_free) == len(contract[0]) == 1:
        if x_order == tuple(range(x_ndim)):
            return lambda xp, x, y: xp.matmul(x, y.transpose(y_order))
        return lambda xp, x, y: xp.matmul(x.transpose(x_order), y.transpose(y_order))
    return lambda xp, x, y: _grouped_product(
        xp, xp.transpose(x, x_order), xp.transpose(y, y_order), len(batch[0]), len(contract[0])
    )


def _grouped_product(xp: Any, x: Any, y: Any, batches: int, contracted: int) -> Any:
    """Matrix product of (batch, rows, inner) and (batch, inner, columns), each group being any number of axes."""
    rows = x.shape[batches : x.ndim - contracted]
    columns = y.shape[batches + contracted :]
    inner = math.prod(y.shape[batches : batches + contracted])
    lead = x.shape[:batches]
    if not contracted:
        return xp.multiply(
            xp.reshape(x, (*lead, *rows, *[1] * len(columns))), xp.reshape(y, (*lead, *[1] * len(rows), *columns))
        )
    out = xp.matmul(xp.reshape(x, (*lead, math.prod(rows), inner)), xp.reshape(y, (*lead, inner, math.prod(columns))))
    return xp.reshape(out, (*lead, *rows, *columns))


def _impl(xp: Any, x: Any, y: Any, *, contract: AxisPairs, batch: AxisPairs) -> Any:
    if not hasattr(x, "ndim") or not hasattr(y, "ndim"):
        x, y = (
            a if hasattr(a, "ndim") else xp.asarray(a, result_dtype(weak_operand(x), weak_operand(y))) for a in (x, y)
        )
    compute = _compute_plan(x.ndim, y.ndim, contract, batch)
    if x.dtype.itemsize == 2 or y.dtype.itemsize == 2:
        return _half_product(xp, x, y, compute)
    return compute(xp, x, y)


def _half_product(xp: Any, x: Any, y: Any, compute: Callable[[Any, Any, Any], Any]) -> Any:
    """16-bit floats have no BLAS: multiply and add in float32, round once."""
    wanted = result_dtype(x.dtype, y.dtype)
    if wanted != _FLOAT16 and not is_bfloat16(wanted):
        return compute(xp, x.astype(wanted), y.astype(wanted))
    return compute(xp, x.astype(np.float32), y.astype(np.float32)).astype(wanted)


def _shape(x: ShapedArray, y: ShapedArray, *, contract: AxisPairs, batch: AxisPairs) -> ShapedArray:
    for aval, axes in ((x, (*contract[0], *batch[0])), (y, (*contract[1], *batch[1]))):
        if len(set(axes)) != len(axes) or any(not 0 <= a < aval.ndim for a in axes):
            raise ShapeError(
                f"dot_general: axes {axes} of an array of shape {aval.shape} must be distinct and below {aval.ndim}"
            )
    for what, (x_axes, y_axes) in (("contracted", contract), ("batch", batch)):
        if len(x_axes) != len(y_axes) or any(x.shape[a] != y.shape[b] for a, b in zip(x_axes, y_axes)):
            raise ShapeError(
                f"matrix product of shapes {x.shape} and {y.shape}: {what} axes {x_axes} of the first and {y_axes} of the second "
                "must have equal sizes"
            )
    shape = (
        tuple(x.shape[a] for a in batch[0])
        + tuple(x.shape[a] for a in _free_axes(x.ndim, contract[0], batch[0]))
        + tuple(y.shape[a] for a in _free_axes(y.ndim, contract[1], batch[1]))
    )
    return ShapedArray(shape, result_dtype(weak_operand(x), weak_operand(y)))


# --- derivatives: the transposes of a product are products ---------------------------------------------------------------------------


class _Transpose:
    """How to form one cotangent: which factor comes first, along which axes they are multiplied, how the result is permuted."""

    __slots__ = ("cotangent_first", "order", "product", "what")

    def __init__(self, cotangent_first: bool, what: tuple[int, int, AxisPairs, AxisPairs], order: Axes | None):
        self.cotangent_first, self.what, self.order = cotangent_first, what, order
        self.product: FixedPrimitive | None = None

    def __call__(self, cotangent: Any, other: Any, dtype: np.dtype) -> Any:
        product = self.product
        if product is None:  # made late: the transposes of a transpose come back to where they started
            product = self.product = fixed_product(*self.what)
        first, second = (cotangent, other) if self.cotangent_first else (other, cotangent)
        trace = CURRENT.get()
        if trace is EVAL and type(first) is type(second) is np.ndarray and self.order is None:
            found = product.host_impl(first, second)  # what evaluation would do
            if found.dtype == dtype:
                return found
        else:
            found = trace.binary(product, first, second)
        return convert(found if self.order is None else permute(found, self.order), dtype)


@lru_cache(maxsize=4096)
def _transposes(x_ndim: int, y_ndim: int, contract: AxisPairs, batch: AxisPairs) -> tuple[_Transpose, _Transpose]:
    """How to form the cotangents of both arguments."""
    lead = tuple(range(len(batch[0])))
    x_free = _free_axes(x_ndim, contract[0], batch[0])
    y_free = _free_axes(y_ndim, contract[1], batch[1])
    x_places = tuple(range(len(lead), len(lead) + len(x_free)))
    y_places = tuple(range(len(lead) + len(x_free), len(lead) + len(x_free) + len(y_free)))
    return (
        _transpose(y_ndim, x_free, batch[0], contract[0], (lead, batch[1]), (y_places, y_free), contract[1]),
        _transpose(x_ndim, y_free, batch[1], contract[1], (lead, batch[0]), (x_places, x_free), contract[0]),
    )


def _transpose(
    other_ndim: int,
    free: Axes,
    batch: Axes,
    contracted: Axes,
    shared: AxisPairs,
    inner: AxisPairs,
    other_contracted: Axes,
) -> _Transpose:
    ndim = len(shared[0]) + len(free) + len(inner[0])
    # The other factor's contracted axes survive in ascending order; each belongs to one contracted axis of ours.
    partner = tuple(contracted[other_contracted.index(a)] for a in sorted(other_contracted))
    direct, swapped = (*batch, *free, *partner), (*batch, *partner, *free)
    if swapped == tuple(range(len(swapped))):
        return _Transpose(False, (other_ndim, ndim, (inner[1], inner[0]), (shared[1], shared[0])), None)
    order = inverse_permutation(direct)
    return _Transpose(True, (ndim, other_ndim, inner, shared), None if order == tuple(range(len(order))) else order)


def _vjp(x: Any, y: Any, **params: Any) -> Any:
    pull, *kept = _pullback_from(None, (x, y), (0, 1), params)
    return dot_general_p.bind(x, y, **params), lambda cotangent: pull(cotangent, *kept)


def _pullback_from(out: Any, primals: Sequence[Any], active: Axes, params: dict[str, Any]) -> tuple[Any, ...]:
    x, y = primals
    fixed = fixed_product(len(shape_of(x)), len(shape_of(y)), params["contract"], params["batch"])
    if len(active) == 2:
        return fixed.pull_both(out, x, y)
    return (fixed.pull_second if active[0] else fixed.pull_first)(out, x, y)


def _pull_both(
    cotangent: Any, by_first: _Transpose, by_second: _Transpose, x: Any, y: Any, x_dtype: np.dtype, y_dtype: np.dtype
) -> tuple[Any, Any]:
    if type(cotangent) is np.ndarray:
        # The first factor is mostly data, whose cotangent is read next: computed last, it lies in the processor's caches.
        of_second = by_second(cotangent, x, y_dtype)
        return by_first(cotangent, y, x_dtype), of_second
    return by_first(cotangent, y, x_dtype), by_second(cotangent, x, y_dtype)


def _both_of_matrices(cotangent: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """The cotangents of two matrices of one dtype: what two transposes evaluate to, without the calls that lead there."""
    if type(cotangent) is np.ndarray and cotangent.dtype == x.dtype and x.itemsize > 2 and CURRENT.get() is EVAL:
        of_second = np.matmul(x.T, cotangent)  # the order of _pull_both
        return np.matmul(cotangent, y.T), of_second
    return _pull_both(cotangent, *_transposes(2, 2, _MATRICES, _NONE), x, y, x.dtype, x.dtype)


def _first_of_matrices(cotangent: Any, y: Any) -> Any:
    if type(cotangent) is np.ndarray and cotangent.dtype == y.dtype and y.itemsize > 2 and CURRENT.get() is EVAL:
        return np.matmul(cotangent, y.T)
    return _transposes(2, 2, _MATRICES, _NONE)[0](cotangent, y, y.dtype)


def _second_of_matrices(cotangent: Any, x: Any) -> Any:
    if type(cotangent) is np.ndarray and cotangent.dtype == x.dtype and x.itemsize > 2 and CURRENT.get() is EVAL:
        return np.matmul(x.T, cotangent)
    return _transposes(2, 2, _MATRICES, _NONE)[1](cotangent, x, x.dtype)


@lru_cache(maxsize=4096)
def fixed_product(x_ndim: int, y_ndim: int, contract: AxisPairs, batch: AxisPairs = _NONE) -> FixedPrimitive:
    """:func:`dot_general` of arguments of these ranks, for the door of operations on two arguments."""
    compute = _compute_plan(x_ndim, y_ndim, contract, batch)
    by_first, by_second = _transposes(x_ndim, y_ndim, contract, batch)
    of_matrices = compute is _product_of_matrices
    on_host = np.matmul if of_matrices else partial(compute, np)

    def product(x: Any, y: Any) -> Any:
        try:
            if x.dtype.itemsize > 2 < y.dtype.itemsize:
                return on_host(x, y)
        except AttributeError:  # a Python scalar
            pass
        return _impl(np, x, y, contract=contract, batch=batch)

    def pull_first(out: Any, x: Any, y: Any) -> tuple[Any, ...]:
        if of_matrices and type(y) is np.ndarray and y.dtype == x.dtype:
            return _first_of_matrices, y
        return by_first, y, x.dtype if x_ndim else dtype_of(x)

    def pull_second(out: Any, x: Any, y: Any) -> tuple[Any, ...]:
        if of_matrices and type(x) is np.ndarray and x.dtype == y.dtype:
            return _second_of_matrices, x
        return by_second, x, y.dtype if y_ndim else dtype_of(y)

    def pull_both(out: Any, x: Any, y: Any) -> tuple[Any, ...]:
        if of_matrices and type(x) is type(y) is np.ndarray and x.dtype == y.dtype:
            return _both_of_matrices, x, y
        x_dtype, y_dtype = (x.dtype, y.dtype) if x_ndim and y_ndim else (dtype_of(x), dtype_of(y))
        return _pull_both, by_first, by_second, x, y, x_dtype, y_dtype

    return FixedPrimitive(
        dot_general_p,
        {"contract": contract, "batch": batch},
        product,
        pull_first,
        pull_second,
        pull_both,
    )


def matrix_product() -> FixedPrimitive:
    """The product of two matrices whose elements are known to be of more than two bytes, so that nothing has to be asked before it is computed."""
    asked = fixed_product(2, 2, _MATRICES)
    return FixedPrimitive(dot_general_p, asked.params, np.matmul, asked.pull_first, asked.pull_second, asked.pull_both)


def _jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    (x, y), (x_tangent, y_tangent) = primals, tangents
    out = dot_general_p.bind(x, y, **params)
    terms = []
    if x_tangent is not None:
        terms.append(dot_general_p.bind(x_tangent, y, **params))
    if y_tangent is not None:
        terms.append(dot_general_p.bind(x, y_tangent, **params))
    total = terms[0] if len(terms) == 1 else terms[0] + terms[1]
    return out, convert(total, dtype_of(out))


# --- batching: a mapped axis of one argument only is a free axis, of both a batch axis ---------------------------------------------------


def _shifted(axes: Axes) -> Axes:
    return tuple(a + 1 for a in axes)


def _batch(
    size: int, args: Sequence[Any], mapped: Sequence[bool], *, contract: AxisPairs, batch: AxisPairs
) -> tuple[Any, bool]:
    x, y = args
    lead = len(batch[0])
    x_contract, y_contract = (_shifted(a) if m else a for a, m in zip(contract, mapped))
    x_batch, y_batch = (_shifted(a) if m else a for a, m in zip(batch, mapped))
    if all(mapped):
        return dot_general_p.bind(x, y, contract=(x_contract, y_contract), batch=((0, *x_batch), (0, *y_batch))), True
    out = dot_general_p.bind(x, y, contract=(x_contract, y_contract), batch=(x_batch, y_batch))
    position = lead if mapped[0] else lead + len(_free_axes(len(shape_of(x)), x_contract, x_batch))
    return move_axis(out, position, 0), True


dot_general_p = Primitive(
    "dot_general",
    impl=_impl,
    shape=_shape,
    jvp=_jvp,
    vjp=_vjp,
    pullback_from=_pullback_from,
    batch=_batch,
    kernel="dot_general",
    samples=[
        case(f64(2, 3), f64(3, 4), contract=_MATRICES, batch=_NONE),
        case(f64(3, 2), f64(3, 4), contract=((0,), (0,)), batch=_NONE),
        case(f64(2, 3), f64(4, 3), contract=((1,), (1,)), batch=_NONE),
        case(f64(3, 2), f64(4, 3), contract=((0,), (1,)), batch=_NONE),
        case(f64(3), f64(3), contract=((0,), (0,)), batch=_NONE),
        case(f64(2, 3), f64(3), contract=_MATRICES, batch=_NONE),
        case(f64(3), f64(2, 3), contract=((0,), (1,)), batch=_NONE),
        case(f64(2), f64(3), contract=_NONE, batch=_NONE),
        case(f64(), f64(3), contract=_NONE, batch=_NONE),
        case(f64(2, 3, 4), f64(2, 4, 5), contract=((2,), (1,)), batch=((0,), (0,))),
        case(f64(4, 3, 2), f64(5, 2, 4, 3), contract=((0, 1), (2, 3)), batch=((2,), (1,))),
        case(f64(2, 3, 4), f64(4, 5, 3), contract=((2, 1), (0, 2)), batch=_NONE),
        case(f64(2, 3), f64(2, 3), contract=((1,), (1,)), batch=((0,), (0,))),
        case(f64(2, 3), f64(3, 2), contract=_NONE, batch=((0, 1), (1, 0))),
        case(f64(1, 1), f64(1, 1), contract=_MATRICES, batch=_NONE),
        case(f64(2, 0), f64(0, 3), contract=_MATRICES, batch=_NONE),
        case(f64(0, 3), f64(3, 2), contract=_MATRICES, batch=_NONE),
        case(f32(2, 3), f32(3, 2), contract=_MATRICES, batch=_NONE),
        case(f32(2, 3), f64(3, 2), contract=_MATRICES, batch=_NONE),
        case(c128(2, 3), c128(3, 2), contract=_MATRICES, batch=_NONE),
        case(c64(2, 3), c64(3), contract=_MATRICES, batch=_NONE),
        case(f64(2, 3), c128(3), contract=_MATRICES, batch=_NONE),
        case(i64(2, 3), i64(3, 2), contract=_MATRICES, batch=_NONE),
        case(b1(2, 3), b1(3), contract=_MATRICES, batch=_NONE),
    ],
    doc="Products of two arrays, summed over the contracted pairs of axes and taken together along the batch pairs.",
)


def dot_general(x: Any, y: Any, contract: AxisPairs, batch: AxisPairs = _NONE) -> Any:
    """Contract pairs of axes of two arrays, run along other pairs together.

    Parameters
    ----------
    x, y : buffer or tracer
        The factors.
    contract : pair of tuples of int
        Axes of ``x`` and of ``y`` to multiply and sum over.
    batch : pair of tuples of int
        Axes of ``x`` and of ``y`` to run along together; they come first in the result.

    Raises
    ------
    ShapeError
        If paired axes differ in size, or an axis is named twice or does not exist.
    """
    return dot_general_p.bind(x, y, contract=contract, batch=batch)


def mapped_front(size: int, args: Sequence[Any], mapped: Sequence[bool]) -> list[Any]:
    """Arguments that all have the mapped axis in front."""
    return [a if m else broadcast_to(a, (size, *shape_of(a))) for a, m in zip(args, mapped)]


def require_numbers(function: str, *dtypes: np.dtype) -> None:
    """Raise unless matrix products of the dtypes mean something."""
    for dtype in dtypes:
        if dtype.kind not in "biufc" and not is_bfloat16(dtype):
            raise DTypeError(f"{function} needs numbers, got dtype {dtype}; convert with x.astype(float)")
