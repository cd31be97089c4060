"""Comparisons of whole arrays and tests of values."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, inexact_dtype, is_complex, is_inexact, shape_of
from fad.numpy.conversion import operand, operands
from fad.primitives import arithmetic
from fad.primitives.reduction import reduce_all
from fad.primitives.structural import broadcast_to, convert, full

__all__ = [
    "allclose",
    "array_equal",
    "array_equiv",
    "isclose",
    "iscomplex",
    "isneginf",
    "isposinf",
    "isreal",
]


def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Array:
    """Whether ``|a - b| <= atol + rtol * |b|``; infinities are close to themselves only.

    Parameters
    ----------
    a, b : array_like
        What to compare; ``b`` is the reference.
    rtol, atol : array_like
        Relative and absolute tolerance.
    equal_nan : bool
        Whether NaN is close to NaN.

    Returns
    -------
    Array of bool

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.isclose([1.0, 2.0], [1.0 + 1e-9, 3.0])
    Array([ True, False])
    """
    x, y = operands("isclose", a, b)
    x, y = convert(x, inexact_dtype(dtype_of(x))), convert(y, inexact_dtype(dtype_of(y)))
    finite = arithmetic.logical_and.bind(arithmetic.isfinite.bind(x), arithmetic.isfinite.bind(y))
    with np.errstate(all="ignore"):
        distance = arithmetic.absolute.bind(arithmetic.subtract.bind(x, y))
        allowed = operand(atol) + operand(rtol) * arithmetic.absolute.bind(y)
        near = arithmetic.less_equal.bind(distance, allowed)
    equal = arithmetic.equal.bind(x, y)
    result = arithmetic.logical_or.bind(arithmetic.logical_and.bind(finite, near), equal)
    if equal_nan:
        both = arithmetic.logical_and.bind(arithmetic.isnan.bind(x), arithmetic.isnan.bind(y))
        result = arithmetic.logical_or.bind(result, both)
    return wrap(result)


def _all(x: Any) -> Any:
    return wrap(reduce_all(x, tuple(range(len(shape_of(x))))))


def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: bool = False) -> Array:
    """Whether all elements are close in the sense of :func:`isclose`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.allclose([1.0, 2.0], [1.0, 2.0 + 1e-9])
    Array(True)
    """
    return _all(operand(isclose(a, b, rtol, atol, equal_nan)))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Array:
    """Whether two arrays have the same shape and elements.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.array_equal([1, 2], [1, 2]), fnp.array_equal([1, 2], [[1, 2]])
    (Array(True), Array(False))
    """
    x, y = operands("array_equal", a1, a2)
    if shape_of(x) != shape_of(y):
        return wrap(np.False_)
    return _equal(x, y, equal_nan)


def _equal(x: Any, y: Any, equal_nan: bool) -> Any:
    same = arithmetic.equal.bind(x, y)
    if equal_nan and is_inexact(dtype_of(x)) and is_inexact(dtype_of(y)):
        both = arithmetic.logical_and.bind(arithmetic.isnan.bind(x), arithmetic.isnan.bind(y))
        same = arithmetic.logical_or.bind(same, both)
    return _all(same)


def array_equiv(a1: Any, a2: Any) -> Array:
    """Whether two arrays broadcast against each other and have the same elements.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.array_equiv([1, 1], 1)
    Array(True)
    """
    x, y = operands("array_equiv", a1, a2)
    try:
        shape = np.broadcast_shapes(shape_of(x), shape_of(y))
    except ValueError:
        return wrap(np.False_)
    return _equal(broadcast_to(x, shape), y, False)


def iscomplex(x: Any) -> Array:
    """Whether elements have an imaginary part other than zero.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.iscomplex([1 + 1j, 1 + 0j])
    Array([ True, False])
    """
    value = operand(x, "iscomplex")
    if not is_complex(dtype_of(value)):
        return wrap(full(shape_of(value), False, np.dtype(bool)))
    return wrap(arithmetic.not_equal.bind(arithmetic.imag.bind(value), 0))


def isreal(x: Any) -> Array:
    """Whether elements have no imaginary part other than zero.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.isreal([1 + 1j, 1 + 0j])
    Array([False,  True])
    """
    return wrap(arithmetic.logical_not.bind(operand(iscomplex(x))))


def isposinf(x: Any, out: Any = None) -> Array:
    """Whether elements are positive infinity.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.isposinf([1.0, float("inf")])
    Array([False,  True])
    """
    value = operand(x, "isposinf")
    return wrap(arithmetic.equal.bind(convert(value, inexact_dtype(dtype_of(value))), np.inf))


def isneginf(x: Any, out: Any = None) -> Array:
    """Whether elements are negative infinity.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.isneginf([1.0, -float("inf")])
    Array([False,  True])
    """
    value = operand(x, "isneginf")
    return wrap(arithmetic.equal.bind(convert(value, inexact_dtype(dtype_of(value))), -np.inf))
