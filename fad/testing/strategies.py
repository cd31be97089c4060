"""Hypothesis strategies for arrays, pytrees and keys; Hypothesis is imported on first use."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from fad import random
from fad.core.array import wrap
from fad.core.avals import is_inexact
from fad.core.errors import ArgumentError, DTypeError, MissingPackageError

__all__ = ["arrays", "keys", "pytrees"]


def _hypothesis(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"the strategies of fad.testing need the package hypothesis ({error}); install it with: pip install hypothesis"
        ) from error


def arrays(
    shape: Any = None,
    dtype: Any = np.float64,
    low: float = -2.0,
    high: float = 2.0,
    special_values: bool = False,
    max_dims: int = 3,
    max_side: int = 4,
) -> Any:
    """Strategy of :class:`fad.Array`.

    Parameters
    ----------
    shape : int, tuple of int or strategy, optional
        The shape; by default any with at most ``max_dims`` axes of sizes 1 to ``max_side``, 0-d included.
    dtype : dtype
        Boolean, integer, real or complex.
    low, high : float
        Interval of the elements (of real and imaginary parts); without effect on booleans.
    special_values : bool
        Whether NaN, infinities, signed zeros and subnormals may appear (floating dtypes only); the interval is then ignored.
    max_dims, max_side : int
        Bounds of the default shapes.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
        Gives arrays.

    Raises
    ------
    MissingPackageError
        If hypothesis is not installed.
    ArgumentError
        If ``low`` exceeds ``high``.
    DTypeError
        If ``special_values`` is asked of integers.

    Examples
    --------
    >>> import fad
    >>> from hypothesis import given
    >>> @given(fad.testing.arrays(shape=(3,)))
    ... def test_norm(x):
    ...     fad.testing.check_grads(lambda x: (x * x).sum(), (x,))
    >>> test_norm()
    """
    strategies = _hypothesis("hypothesis.strategies")
    extra = _hypothesis("hypothesis.extra.numpy")
    dtype = np.dtype(dtype)
    if low > high:
        raise ArgumentError(f"fad.testing.arrays: low={low} exceeds high={high}")
    if special_values and not is_inexact(dtype):
        raise DTypeError(f"fad.testing.arrays: special_values needs a floating dtype, got {dtype}")
    if shape is None:
        shape = extra.array_shapes(min_dims=0, max_dims=max_dims, max_side=max_side)
    elements = None if special_values else _elements(strategies, dtype, low, high)
    # Subnormals and NaN come with special values only.
    return extra.arrays(dtype, shape, elements=elements, fill=strategies.nothing()).map(_own)


def _own(value: Any) -> Any:
    value = np.asarray(value)
    value.flags.writeable = False
    return wrap(value)


def _elements(strategies: Any, dtype: np.dtype, low: float, high: float) -> Any:
    if dtype.kind == "b":
        return strategies.booleans()
    if dtype.kind in "iu":
        smallest = max(int(low), 0) if dtype.kind == "u" else int(low)
        return strategies.integers(smallest, int(high))
    # On a grid, so that every dtype holds the numbers exactly and shrinking gives readable ones.
    steps = 256
    number = strategies.integers(int(np.ceil(low * steps)), int(np.floor(high * steps))).map(lambda k: k / steps)
    if dtype.kind == "c":
        return strategies.builds(complex, number, number)
    return number


def pytrees(leaves: Any = None, max_leaves: int = 6) -> Any:
    """Strategy of pytrees: dicts, lists, tuples and ``None`` around leaves.

    Parameters
    ----------
    leaves : strategy, optional
        Strategy of the leaves; by default :func:`arrays`.
    max_leaves : int
        Bound on the number of leaves, at least 1.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
        Gives trees with at least one leaf.

    Raises
    ------
    MissingPackageError
        If hypothesis is not installed.

    Examples
    --------
    >>> import fad
    >>> from hypothesis import given
    >>> @given(fad.testing.pytrees())
    ... def test_squares(tree):
    ...     fad.testing.check_grads(lambda t: sum((x * x).sum() for x in fad.tree.leaves(t)), (tree,))
    >>> test_squares()
    """
    strategies = _hypothesis("hypothesis.strategies")
    leaves = arrays(max_dims=2, max_side=3) if leaves is None else leaves

    def grow(children: Any) -> Any:
        items = children | strategies.none()
        return (
            strategies.tuples(children, items)
            | strategies.lists(children, min_size=1, max_size=3)
            | strategies.dictionaries(strategies.sampled_from("abcd"), children, min_size=1, max_size=3)
        )

    return strategies.recursive(leaves, grow, max_leaves=max_leaves)


def keys() -> Any:
    """Strategy of random keys, ``fad.random.key(seed)``.

    Returns
    -------
    hypothesis.strategies.SearchStrategy
        Gives keys.

    Raises
    ------
    MissingPackageError
        If hypothesis is not installed.

    Examples
    --------
    >>> import fad
    >>> from hypothesis import given
    >>> @given(fad.testing.keys())
    ... def test_uniform(key):
    ...     assert 0 <= fad.random.uniform(key) < 1
    >>> test_uniform()
    """
    strategies = _hypothesis("hypothesis.strategies")
    return strategies.integers(0, 2**32 - 1).map(random.key)
