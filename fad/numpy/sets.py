"""Sets: unique elements, membership, unions, intersections and differences.

How many elements a set has depends on values, so these functions need them known (eager, also inside ``grad`` and ``jvp``); only :func:`isin`
has a shape known beforehand and works everywhere. Elements carry the derivative of where they first occur.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import shape_of
from fad.numpy.conversion import axis_number, operand, promoted
from fad.numpy.elementwise import known_value
from fad.primitives import sorting
from fad.primitives.arithmetic import equal, logical_not, minimum
from fad.primitives.indexing import gather
from fad.primitives.slicing import concatenate
from fad.primitives.structural import full, reshape

__all__ = [
    "intersect1d",
    "isin",
    "setdiff1d",
    "setxor1d",
    "union1d",
    "unique",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


class UniqueAll(NamedTuple):
    """What :func:`unique_all` gives."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCounts(NamedTuple):
    """What :func:`unique_counts` gives."""

    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    """What :func:`unique_inverse` gives."""

    values: Array
    inverse_indices: Array


def _flat(x: Any) -> Any:
    return reshape(x, (math.prod(shape_of(x)),))


def _unique_parts(function: str, ar: Any, axis: Any = None, equal_nan: bool = True) -> tuple[Any, Any, Any, Any]:
    """Unique values, where they first occur, the inverse and the counts."""
    x = operand(ar, function)
    if axis is None:
        x, number = _flat(x), 0
    else:
        number = axis_number(axis, len(shape_of(x)), function)
    known = known_value(x, function, "the array")
    _, index, inverse, counts = np.unique(
        known, return_index=True, return_inverse=True, return_counts=True, axis=axis, equal_nan=equal_nan
    )
    if axis is None:
        inverse = inverse.reshape(np.shape(ar) if not isinstance(ar, Array) else ar.shape)
    return gather(x, [index], (number,), unique=True), index, inverse, counts


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    sorted: bool = True,
) -> Any:
    """The distinct elements in ascending order.

    Parameters
    ----------
    ar : array_like
        The elements; their values must be known when the function runs.
    return_index : bool
        Also give where each first occurs.
    return_inverse : bool
        Also give the position of each element among the distinct ones.
    return_counts : bool
        Also give how often each occurs.
    axis : int or None
        Compare slices along this axis; by default single elements.
    equal_nan : bool
        Whether all NaN count as one.
    sorted : bool
        Accepted for NumPy's sake: the result is always sorted.

    Returns
    -------
    Array, or tuple of Array
        The distinct elements and what else was asked for.

    Raises
    ------
    ConcretizationError
        If the values are traced by ``jit`` or ``vmap``.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.unique([3.0, 1.0, 3.0])
    Array([1., 3.])
    >>> fad.grad(lambda x: (fnp.unique(x) * fnp.array([1.0, 10.0])).sum())(fnp.array([3.0, 1.0, 3.0]))
    Array([10.,  1.,  0.])
    """
    values, index, inverse, counts = _unique_parts("unique", ar, axis, equal_nan)
    asked = [(return_index, index), (return_inverse, inverse), (return_counts, counts)]
    extra = [wrap(found) for wanted, found in asked if wanted]
    return (wrap(values), *extra) if extra else wrap(values)


def unique_all(x: Any) -> UniqueAll:
    """Distinct elements, where they first occur, the inverse and the counts, as the array API has them.

    Parameters and errors are those of :func:`unique`; every NaN counts by itself.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.unique_all(fnp.array([2.0, 1.0, 2.0])).counts
    Array([1, 2])
    """
    return UniqueAll(*[wrap(part) for part in _unique_parts("unique_all", x, equal_nan=False)])


def unique_counts(x: Any) -> UniqueCounts:
    """Distinct elements and how often each occurs.

    Parameters and errors are those of :func:`unique_all`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.unique_counts(fnp.array([2.0, 1.0, 2.0])).counts
    Array([1, 2])
    """
    values, _, _, counts = _unique_parts("unique_counts", x, equal_nan=False)
    return UniqueCounts(wrap(values), wrap(counts))


def unique_inverse(x: Any) -> UniqueInverse:
    """Distinct elements and the position of each element among them.

    Parameters and errors are those of :func:`unique_all`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.unique_inverse(fnp.array([2.0, 1.0, 2.0])).inverse_indices
    Array([1, 0, 1])
    """
    values, _, inverse, _ = _unique_parts("unique_inverse", x, equal_nan=False)
    return UniqueInverse(wrap(values), wrap(inverse))


def unique_values(x: Any) -> Array:
    """Distinct elements in ascending order.

    Parameters and errors are those of :func:`unique_all`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.unique_values(fnp.array([2.0, 1.0, 2.0]))
    Array([1., 2.])
    """
    return wrap(_unique_parts("unique_values", x, equal_nan=False)[0])


def isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *, kind: str | None = None
) -> Array:
    """Whether each element is among others.

    Parameters
    ----------
    element : array_like
        The elements.
    test_elements : array_like
        The others.
    assume_unique, kind
        Accepted for NumPy's sake.
    invert : bool
        Whether each element is *not* among the others.

    Returns
    -------
    Array
        Booleans of the shape of ``element``; NaN is among nothing.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.isin([1, 2, 3], [3, 1])
    Array([ True, False,  True])
    """
    x, others = promoted("isin", element, test_elements)
    count = math.prod(shape_of(others))
    if not count:
        return wrap(full(shape_of(x), invert, np.dtype(bool)))
    ordered = sorting.sort(_flat(others), 0)
    place = minimum.bind(sorting.searchsorted(ordered, x), count - 1)
    found = equal.bind(gather(ordered, [place], (0,)), x)
    return wrap(logical_not.bind(found) if invert else found)


def _selected(x: Any, mask: np.ndarray) -> Any:
    return wrap(gather(x, [np.flatnonzero(mask)], (0,), unique=True))


def union1d(ar1: Any, ar2: Any) -> Array:
    """The distinct elements of two arrays, in ascending order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; their values must be known when the function runs.

    Returns
    -------
    Array
        The elements, in one dimension.

    Raises
    ------
    ConcretizationError
        If values are traced by ``jit`` or ``vmap``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.union1d([1, 3], [2, 3])
    Array([1, 2, 3])
    """
    x, y = promoted("union1d", ar1, ar2)
    return wrap(_unique_parts("union1d", wrap(concatenate([_flat(x), _flat(y)], 0)))[0])


def intersect1d(ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False) -> Any:
    """The distinct elements that two arrays share, in ascending order.

    Parameters
    ----------
    ar1, ar2 : array_like
        The arrays; their values must be known when the function runs.
    assume_unique : bool
        Promise that neither array holds an element twice.
    return_indices : bool
        Also give where the elements first occur in each array.

    Returns
    -------
    Array, or tuple of Array
        The elements, which carry the derivative of ``ar1``.

    Raises
    ------
    ConcretizationError
        If values are traced by ``jit`` or ``vmap``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.intersect1d([1, 3, 4], [3, 4, 5])
    Array([3, 4])
    """
    x, y = (_flat(part) for part in promoted("intersect1d", ar1, ar2))
    left, right = (known_value(part, "intersect1d", "the arrays") for part in (x, y))
    _, first, second = np.intersect1d(left, right, assume_unique=assume_unique, return_indices=True)
    found = wrap(gather(x, [first], (0,), unique=True))
    return (found, wrap(first), wrap(second)) if return_indices else found


def setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Array:
    """The distinct elements of one array that are not in another.

    Parameters and errors are those of :func:`intersect1d`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.setdiff1d([1, 2, 3], [2])
    Array([1, 3])
    """
    x, y = promoted("setdiff1d", ar1, ar2)
    x = _flat(x) if assume_unique else _unique_parts("setdiff1d", wrap(x))[0]
    left, right = (known_value(part, "setdiff1d", "the arrays") for part in (x, y))
    return _selected(x, ~np.isin(left, right))


def setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Array:
    """The distinct elements that are in exactly one of two arrays, in ascending order.

    Parameters and errors are those of :func:`intersect1d`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.setxor1d([1, 2], [2, 3])
    Array([1, 3])
    """
    parts = [_flat(part) for part in promoted("setxor1d", ar1, ar2)]
    if not assume_unique:
        parts = [_unique_parts("setxor1d", wrap(part))[0] for part in parts]
    both = sorting.sort(concatenate(parts, 0), 0)
    known = known_value(both, "setxor1d", "the arrays")
    same = known[1:] == known[:-1] if known.size else np.zeros(0, bool)
    edge = np.zeros(min(known.size, 1), bool)
    return _selected(both, ~(np.concatenate([edge, same]) | np.concatenate([same, edge])))
