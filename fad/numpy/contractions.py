"""Products of matrices and tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, canonical_dtype, dtype_of, result_dtype, shape_of, weak_operand
from fad.core.errors import ArgumentError, ImmutableArrayError, ShapeError
from fad.core.trace import CURRENT
from fad.numpy.conversion import axis_number, axis_numbers, operand, operands, promoted
from fad.numpy.einsum_plans import parse_subscripts, run_plan, subscripts_of_lists
from fad.primitives.arithmetic import conj_if_complex, multiply
from fad.primitives.contraction import dot_general_p, fixed_product, matrix_product, require_numbers
from fad.primitives.slicing import concatenate, slice_axis
from fad.primitives.structural import convert, move_axis, permute, reduce_sum, reshape
from fad.transforms.reverse import VJPTracer

__all__ = [
    "cross",
    "dot",
    "einsum",
    "einsum_path",
    "inner",
    "matmul",
    "matvec",
    "outer",
    "tensordot",
    "vdot",
    "vecdot",
    "vecmat",
]

_NONE = ((), ())
_FIRST_FIRST = ((0,), (0,))
_LAST_FIRST = ((1,), (0,))
_OF_MATRICES = fixed_product(2, 2, _LAST_FIRST)
OF_WIDE_MATRICES = matrix_product()
_ndarray = np.ndarray


def _refuse_out(function: str, out: Any) -> None:
    if out is not None:
        raise ImmutableArrayError(f"{function}: out= is not supported, arrays are immutable; use the returned array")


# --- matmul -----------------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _matmul_plan(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[Any, ...]:
    """Shapes to give the arguments, axes of the product, and order of its axes, for stacks of matrices."""
    lead = len(np.broadcast_shapes(x[:-2], y[:-2]))
    x_full, y_full = (1,) * (lead + 2 - len(x)) + x, (1,) * (lead + 2 - len(y)) + y
    x_axes, y_axes = [], []  # places in the result of the stack axes that each argument really has
    for k in range(lead):
        if x_full[k] != 1 or y_full[k] == 1:
            x_axes.append(k)
        if y_full[k] != 1:
            y_axes.append(k)
    both = [k for k in x_axes if k in y_axes]
    batch = (tuple(x_axes.index(k) for k in both), tuple(y_axes.index(k) for k in both))
    contract = ((len(x_axes) + 1,), (len(y_axes),))
    places = [*both, *(k for k in x_axes if k not in both), lead, *(k for k in y_axes if k not in both), lead + 1]
    order = tuple(places.index(k) for k in range(lead + 2))
    new_x = (*(x_full[k] for k in x_axes), *x[-2:])
    new_y = (*(y_full[k] for k in y_axes), *y[-2:])
    return new_x, new_y, contract, batch, order


def matmul_operands(x: Any, y: Any, function: str = "matmul") -> Any:
    """The matrix product of two operands."""
    known_x, known_y = x.primal if type(x) is VJPTracer else x, y.primal if type(y) is VJPTracer else y
    if type(known_x) is type(known_y) is _ndarray and known_x.ndim == 2 == known_y.ndim:
        product = OF_WIDE_MATRICES if known_x.itemsize > 2 < known_y.itemsize else _OF_MATRICES
        return CURRENT.get().binary(product, x, y)
    x_shape, y_shape = shape_of(x), shape_of(y)
    x_ndim, y_ndim = len(x_shape), len(y_shape)
    if 1 <= x_ndim <= 2 and 1 <= y_ndim <= 2:
        return CURRENT.get().binary(fixed_product(x_ndim, y_ndim, _FIRST_FIRST if x_ndim == 1 else _LAST_FIRST), x, y)
    if x_ndim == 0 or y_ndim == 0:
        raise ShapeError(
            f"{function} needs arrays with at least one axis, got shapes {x_shape} and {y_shape}; use * to scale by a number"
        )
    if y_ndim <= 2:
        return dot_general_p.bind(x, y, contract=((x_ndim - 1,), (0,)), batch=_NONE)
    if x_ndim == 1:
        return dot_general_p.bind(x, y, contract=((0,), (y_ndim - 2,)), batch=_NONE)
    try:
        x_new, y_new, contract, batch, order = _matmul_plan(x_shape, y_shape)
    except ValueError:
        raise ShapeError(
            f"{function}: the stack axes of shapes {x_shape} and {y_shape} do not broadcast; all but the last two must be equal or 1"
        ) from None
    return permute(dot_general_p.bind(reshape(x, x_new), reshape(y, y_new), contract=contract, batch=batch), order)


def matmul(x1: Any, x2: Any, /, out: Any = None, *, dtype: Any = None) -> Array:
    """Matrix product of the last two axes, the others broadcast; also the operator ``@``.

    Parameters
    ----------
    x1, x2 : array_like
        Shapes ``(..., n, k)`` and ``(..., k, m)``. A 1-d argument is a row (first) or a column (second), and its axis goes away.
    dtype : dtype, optional
        Convert the arguments to this dtype first.

    Returns
    -------
    Array
        Shape ``(..., n, m)``, promoted dtype. float16 and bfloat16 are multiplied in float32 and rounded once.

    Raises
    ------
    ShapeError
        If an argument is 0-d, or the sizes do not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.matmul([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Array([3., 7.])
    """
    _refuse_out("matmul", out)
    x, y = operand(x1, "matmul"), operand(x2, "matmul")
    if dtype is not None:
        x, y = convert(x, canonical_dtype(dtype)), convert(y, canonical_dtype(dtype))
    return wrap(matmul_operands(x, y))


def _last_axes(function: str, x: Any, y: Any, x_core: int, y_core: int) -> tuple[Any, Any]:
    """Two operands, checked to have their core axes."""
    a, b = operands(function, x, y)
    require_numbers(function, dtype_of(a), dtype_of(b))
    if len(shape_of(a)) < x_core or len(shape_of(b)) < y_core:
        raise ShapeError(
            f"{function} needs at least {x_core} and {y_core} axes, got shapes {shape_of(a)} and {shape_of(b)}"
        )
    return a, b


def matvec(x1: Any, x2: Any, /) -> Array:
    """Product of matrices and vectors along the last axes.

    Parameters
    ----------
    x1, x2 : array_like
        Shapes ``(..., m, n)`` and ``(..., n)``; leading axes broadcast.

    Returns
    -------
    Array
        Shape ``(..., m)``, promoted dtype.

    Raises
    ------
    ShapeError
        If axes are missing or sizes differ.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.matvec([[1.0, 2.0], [3.0, 4.0]], [1.0, -1.0])
    Array([-1., -1.])
    """
    a, b = _last_axes("matvec", x1, x2, 2, 1)
    out = matmul_operands(a, reshape(b, (*shape_of(b), 1)), "matvec")
    return wrap(reshape(out, shape_of(out)[:-1]))


def vecmat(x1: Any, x2: Any, /) -> Array:
    """Product of conjugated vectors and matrices along the last axes.

    Parameters
    ----------
    x1, x2 : array_like
        Shapes ``(..., n)`` and ``(..., n, m)``; leading axes broadcast. Complex ``x1`` is conjugated, as in NumPy.

    Returns
    -------
    Array
        Shape ``(..., m)``, promoted dtype.

    Raises
    ------
    ShapeError
        If axes are missing or sizes differ.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.vecmat([1.0, 1.0], [[1.0, 2.0], [3.0, 4.0]])
    Array([4., 6.])
    """
    a, b = _last_axes("vecmat", x1, x2, 1, 2)
    a = conj_if_complex(a)
    out = matmul_operands(reshape(a, (*shape_of(a)[:-1], 1, shape_of(a)[-1])), b, "vecmat")
    return wrap(reshape(out, (*shape_of(out)[:-2], shape_of(out)[-1])))


def vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Array:
    """Inner product of vectors along one axis; the first argument is conjugated.

    Parameters
    ----------
    x1, x2 : array_like
        Arrays with equal sizes along ``axis``; the other axes broadcast.
    axis : int
        The axis to sum over, counted in each argument.

    Returns
    -------
    Array
        The broadcast shape without ``axis``, promoted dtype.

    Raises
    ------
    ShapeError
        If the sizes along ``axis`` differ or the rest does not broadcast.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.vecdot([[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Array([3., 7.])
    """
    a, b = _last_axes("vecdot", x1, x2, 1, 1)
    a, b = (_axis_last(v, axis, "vecdot") for v in (a, b))
    if shape_of(a)[-1] != shape_of(b)[-1]:
        raise ShapeError(
            f"vecdot: sizes {shape_of(a)[-1]} and {shape_of(b)[-1]} along axis {axis} differ (shapes {shape_of(a)}, {shape_of(b)})"
        )
    a = conj_if_complex(a)
    if len(shape_of(a)) == len(shape_of(b)) == 1:
        return wrap(dot_general_p.bind(a, b, contract=_FIRST_FIRST, batch=_NONE))
    product = multiply.bind(a, b)
    return wrap(reduce_sum(product, (len(shape_of(product)) - 1,)))


def _axis_last(x: Any, axis: int, function: str) -> Any:
    ndim = len(shape_of(x))
    number = axis_number(axis, ndim, function)
    return permute(x, (*(k for k in range(ndim) if k != number), number))


# --- dot, inner, outer, vdot, tensordot ---------------------------------------------------------------------------------------------------


def dot(a: Any, b: Any, out: Any = None) -> Array:
    """Dot product: of vectors the inner product, of matrices the matrix product, with a number the multiple.

    Parameters
    ----------
    a, b : array_like
        If both have axes: the last axis of ``a`` is summed with the second to last (or only) axis of ``b``.

    Returns
    -------
    Array
        Shape ``a.shape[:-1] + b.shape[:-2] + b.shape[-1:]``, promoted dtype.

    Raises
    ------
    ShapeError
        If the summed sizes differ.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.dot([1.0, 2.0], [3.0, 4.0])
    Array(11.)
    """
    _refuse_out("dot", out)
    x, y = operands("dot", a, b)
    if not shape_of(x) or not shape_of(y):
        return wrap(multiply.bind(x, y))
    y_ndim = len(shape_of(y))
    contract = ((len(shape_of(x)) - 1,), (max(y_ndim - 2, 0),))
    return wrap(dot_general_p.bind(x, y, contract=contract, batch=_NONE))


def inner(a: Any, b: Any, /) -> Array:
    """Inner products over the last axes of both arguments.

    Parameters
    ----------
    a, b : array_like
        Arrays with equal last sizes, or numbers to multiply by.

    Returns
    -------
    Array
        Shape ``a.shape[:-1] + b.shape[:-1]``, promoted dtype.

    Raises
    ------
    ShapeError
        If the last sizes differ.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.inner([1.0, 2.0], [[3.0, 4.0], [5.0, 6.0]])
    Array([11., 17.])
    """
    x, y = operands("inner", a, b)
    if not shape_of(x) or not shape_of(y):
        return wrap(multiply.bind(x, y))
    contract = ((len(shape_of(x)) - 1,), (len(shape_of(y)) - 1,))
    return wrap(dot_general_p.bind(x, y, contract=contract, batch=_NONE))


def outer(a: Any, b: Any, out: Any = None) -> Array:
    """All products of an element of ``a`` and an element of ``b``; both are flattened.

    Parameters
    ----------
    a, b : array_like
        Any shapes.

    Returns
    -------
    Array
        Shape ``(a.size, b.size)``, promoted dtype.

    Raises
    ------
    ImmutableArrayError
        If ``out`` is given.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.outer([1.0, 2.0], [3.0, 4.0])
    Array([[3., 4.],
           [6., 8.]])
    """
    _refuse_out("outer", out)
    x, y = operands("outer", a, b)
    return wrap(multiply.bind(reshape(x, (aval_of(x).size, 1)), reshape(y, (1, aval_of(y).size))))


def vdot(a: Any, b: Any, /) -> Array:
    """Inner product of the flattened arguments; the first is conjugated.

    Parameters
    ----------
    a, b : array_like
        Arrays with the same number of elements.

    Returns
    -------
    Array
        A 0-d array of the promoted dtype.

    Raises
    ------
    ShapeError
        If the numbers of elements differ.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.vdot([1j, 2.0], [1j, 3.0])
    Array(7.+0.j)
    """
    x, y = operands("vdot", a, b)
    x, y = (reshape(v, (aval_of(v).size,)) for v in (conj_if_complex(x), y))
    return wrap(dot_general_p.bind(x, y, contract=_FIRST_FIRST, batch=_NONE))


def tensordot(a: Any, b: Any, axes: Any = 2) -> Array:
    """Sum of products over chosen axes of two arrays.

    Parameters
    ----------
    a, b : array_like
        The factors.
    axes : int or pair of ints or of sequences of ints
        How many of the last axes of ``a`` meet the first axes of ``b``, or which axes of each.

    Returns
    -------
    Array
        The other axes of ``a``, then those of ``b``; promoted dtype.

    Raises
    ------
    ArgumentError
        If ``axes`` is malformed.
    ShapeError
        If sizes of paired axes differ.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.tensordot(fnp.ones((2, 3)), fnp.ones((3, 4)), axes=1).shape
    (2, 4)
    """
    x, y = operands("tensordot", a, b)
    x_ndim, y_ndim = len(shape_of(x)), len(shape_of(y))
    if isinstance(axes, int | np.integer):
        if not 0 <= axes <= min(x_ndim, y_ndim):
            raise ShapeError(
                f"tensordot: axes={axes} needs that many axes of both arrays, got shapes {shape_of(x)} and {shape_of(y)}"
            )
        contract = (tuple(range(x_ndim - int(axes), x_ndim)), tuple(range(int(axes))))
    elif isinstance(axes, tuple | list) and len(axes) == 2:
        contract = (axis_numbers(axes[0], x_ndim, "tensordot"), axis_numbers(axes[1], y_ndim, "tensordot"))
    else:
        raise ArgumentError(f"tensordot: axes must be an int or a pair of axes or sequences of axes, got {axes!r}")
    return wrap(dot_general_p.bind(x, y, contract=contract, batch=_NONE))


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Array:
    """Cross product of vectors in three dimensions.

    Parameters
    ----------
    a, b : array_like
        Arrays with 3 elements along their vector axis; the other axes broadcast.
    axisa, axisb, axisc : int
        The vector axis of ``a``, of ``b`` and of the result.
    axis : int, optional
        All three at once.

    Returns
    -------
    Array
        The broadcast shape, promoted dtype.

    Raises
    ------
    ShapeError
        If a vector axis does not have 3 elements.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.cross([1.0, 2.0, 3.0], [0.0, 1.0, 0.0])
    Array([-3.,  0.,  1.])
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    x, y = operands("cross", a, b)
    x, y = _axis_last(x, axisa, "cross"), _axis_last(y, axisb, "cross")
    if shape_of(x)[-1] != 3 or shape_of(y)[-1] != 3:
        raise ShapeError(
            f"cross needs vectors of 3 elements, got {shape_of(x)[-1]} and {shape_of(y)[-1]} (shapes {shape_of(x)}, {shape_of(y)} "
            "with the vector axis last); in two dimensions use a[0] * b[1] - a[1] * b[0]"
        )
    # (a x b)_i = a_(i+1) b_(i+2) - a_(i+2) b_(i+1)
    out = multiply.bind(_rolled(x, 1), _rolled(y, 2)) - multiply.bind(_rolled(x, 2), _rolled(y, 1))
    ndim = len(shape_of(out))
    return wrap(move_axis(out, ndim - 1, axis_number(axisc, ndim, "cross")))


def _rolled(x: Any, shift: int) -> Any:
    """Elements of the last axis, of size 3, starting from another one."""
    last = len(shape_of(x)) - 1
    return concatenate([slice_axis(x, last, shift, 3), slice_axis(x, last, 0, shift)], last)


# --- einsum ---------------------------------------------------------------------------------------------------------------------------------


def _einsum_arguments(args: Sequence[Any]) -> tuple[str, Sequence[Any]]:
    if not args:
        raise ArgumentError("einsum needs subscripts and at least one array")
    return (args[0], args[1:]) if isinstance(args[0], str) else subscripts_of_lists(args)


def einsum(*args: Any, out: Any = None, dtype: Any = None, optimize: Any = True, **unused: Any) -> Array:
    """Einstein summation: products of arrays summed over labelled axes.

    Parameters
    ----------
    *args
        Subscripts such as ``"ij,jk->ik"`` (with ``...`` for further axes) and the arrays; or arrays each followed by a list of ints, and
        at the end an optional list for the result.
    dtype : dtype, optional
        Convert the arrays first.
    optimize : bool or str or list
        How to look for the order of the products: ``True`` or the name of an opt_einsum path finder; ``False`` goes from left to right.

    Returns
    -------
    Array
        Axes as the subscripts say, promoted dtype. Pairs are multiplied by BLAS.

    Raises
    ------
    ArgumentError
        If the subscripts are malformed.
    ShapeError
        If a label has two sizes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.einsum("ij,j->i", [[1.0, 2.0], [3.0, 4.0]], [1.0, 1.0])
    Array([3., 7.])
    """
    _refuse_out("einsum", out)
    for name in ("order", "casting"):
        unused.pop(name, None)
    if unused:
        raise ArgumentError(f"einsum does not take {', '.join(sorted(unused))}")
    subscripts, arrays = _einsum_arguments(args)
    found = operands("einsum", *arrays)
    if len({dtype_of(f) for f in found}) > 1:
        found = promoted("einsum", *found)
    if dtype is not None:
        found = [convert(f, canonical_dtype(dtype)) for f in found]
    require_numbers("einsum", *[dtype_of(f) for f in found])
    optimize = (
        tuple(tuple(s) if isinstance(s, list) else s for s in optimize) if isinstance(optimize, list) else optimize
    )
    return wrap(run_plan(subscripts, found, optimize))


def einsum_path(*args: Any, optimize: Any = "greedy") -> tuple[list[Any], str]:
    """The order in which ``einsum`` would multiply, as ``numpy.einsum_path`` gives it.

    Parameters
    ----------
    *args
        As in :func:`einsum`; only shapes are read.
    optimize : str or bool
        ``"greedy"`` or ``"optimal"``.

    Returns
    -------
    path : list
        ``["einsum_path", pairs...]``.
    report : str
        A description of the cost.

    Raises
    ------
    ArgumentError
        If the subscripts are malformed.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.einsum_path("ij,jk,kl->il", fnp.ones((2, 3)), fnp.ones((3, 4)), fnp.ones((4, 5)))[0]
    ['einsum_path', (1, 2), (0, 1)]
    """
    subscripts, arrays = _einsum_arguments(args)
    shapes = tuple(shape_of(operand(a, "einsum_path")) for a in arrays)
    parse_subscripts(subscripts, shapes)
    return np.einsum_path(subscripts, *[np.broadcast_to(0.0, s) for s in shapes], optimize=optimize)


def multi_dot_operands(arrays: Sequence[Any], function: str) -> Any:
    """The matrix product of several operands in the cheapest order."""
    if len(arrays) < 2:
        raise ArgumentError(f"{function} needs at least two arrays, got {len(arrays)}")
    shapes = [shape_of(a) for a in arrays]
    inside = [s for s in shapes[1:-1] if len(s) != 2]
    if inside or not 1 <= len(shapes[0]) <= 2 or not 1 <= len(shapes[-1]) <= 2:
        raise ShapeError(f"{function}: arrays must be 2-d, the first and the last may be 1-d; got shapes {shapes}")
    dtype = result_dtype(*[weak_operand(a) for a in arrays])
    arrays = [convert(a, dtype) for a in arrays]
    splits = _cheapest_splits(tuple(_chain_sizes(shapes)))
    return _chain_product(arrays, splits, 0, len(arrays) - 1)


def _chain_sizes(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    first = [1, shapes[0][0]] if len(shapes[0]) == 1 else list(shapes[0])
    return first + [s[1] if len(s) == 2 else 1 for s in shapes[1:]]


@lru_cache(maxsize=1024)
def _cheapest_splits(sizes: tuple[int, ...]) -> dict[tuple[int, int], int]:
    """Where to split each sub-chain (the classical dynamic programme of matrix chain multiplication)."""
    count = len(sizes) - 1
    cost: dict[tuple[int, int], float] = {(k, k): 0 for k in range(count)}
    split = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j] = math.inf
            for k in range(i, j):
                price = cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1]
                if price < cost[i, j]:
                    cost[i, j], split[i, j] = price, k
    return split


def _chain_product(arrays: Sequence[Any], split: dict[tuple[int, int], int], i: int, j: int) -> Any:
    if i == j:
        return arrays[i]
    k = split[i, j]
    return matmul_operands(_chain_product(arrays, split, i, k), _chain_product(arrays, split, k + 1, j), "multi_dot")
