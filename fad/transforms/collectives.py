"""Collectives over an axis that ``vmap`` named: every example sees the result over all examples.

Reverse mode: the cotangent of a sum that every example received is the sum of what every example sends back, so ``psum`` is its own transpose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import wrap
from fad.core.avals import ShapedArray, dtype_of, inexact_dtype, shape_of
from fad.core.errors import ArgumentError
from fad.core.primitive import Primitive
from fad.core.pytrees import map_leaves
from fad.primitives.arithmetic import equal
from fad.primitives.reduction import reduce_max, reduce_min
from fad.primitives.structural import broadcast_to, convert, iota, move_axis, reduce_sum, reshape
from fad.transforms.arguments import as_operand
from fad.transforms.batching import axis_size

__all__ = ["all_gather", "axis_index", "pmax", "pmean", "pmin", "psum"]


def _unbound(name: str, axis_name: Any) -> ArgumentError:
    return ArgumentError(
        f"{name}: there is no axis named {axis_name!r} here; name it with fad.vmap(f, axis_name={axis_name!r}) around this call"
    )


def _size_of(name: str, axis_name: Any) -> int:
    size = axis_size(axis_name)
    if size is None:
        raise _unbound(name, axis_name)
    return size


def _names(name: str, axis_name: Any) -> tuple[Any, ...]:
    """The axes that are meant: a tuple stands for several, unless one axis has it for a name."""
    several = isinstance(axis_name, tuple) and axis_name and axis_size(axis_name) is None
    names = axis_name if several else (axis_name,)
    for single in names:
        _size_of(name, single)
    return names


def _refuse(name: str) -> Callable[..., Any]:
    def impl(xp: Any, *args: Any, axis_name: Any, **params: Any) -> Any:
        raise _unbound(name, axis_name)

    return impl


def _collective(name: str, over: Callable[[Any, int, bool], Any], jvp: Any, vjp: Any, shape: Any = None) -> Primitive:
    """``over(x, size, mapped)`` computes the result that all examples share, from the values with the axis in front."""

    def batch(
        size: int, args: Sequence[Any], mapped: Sequence[bool], *, axis_name: Any, named: bool = False, **params: Any
    ) -> Any:
        if named:
            return over(args[0], size, mapped[0]), False
        return primitive.bind(args[0], axis_name=axis_name, **params), mapped[0]

    primitive = Primitive(
        name,
        impl=_refuse(name),
        shape=shape or (lambda x, *, axis_name: x.update()),
        jvp=jvp,
        vjp=vjp,
        batch=batch,
        kernel=None,
        samples=[],
        collective=True,
        doc="A collective over an axis named by vmap; it has no meaning, and so no sample, without one.",
    )
    return primitive


def _sum_over(x: Any, size: int, mapped: bool) -> Any:
    return reduce_sum(x, (0,)) if mapped else x * size


def _gather_over(x: Any, size: int, mapped: bool) -> Any:
    return x if mapped else broadcast_to(x, (size, *shape_of(x)))


def _gather_vjp(x: Any, *, axis_name: Any, axis_size: int) -> Any:
    def pullback(ct: Any) -> list[Any]:
        # Every example sends a cotangent for every other one; each keeps its own row of the total.
        total = psum_p.bind(ct, axis_name=axis_name)
        own = convert(equal.bind(iota(axis_size), index_p.bind(axis_name=axis_name)), dtype_of(ct))
        return [reduce_sum(total * reshape(own, (axis_size,) + (1,) * len(shape_of(x))), (0,))]

    return all_gather_p.bind(x, axis_name=axis_name, axis_size=axis_size), pullback


psum_p = _collective(
    "psum",
    _sum_over,
    jvp=lambda primals, tangents, *, axis_name: (
        psum_p.bind(primals[0], axis_name=axis_name),
        psum_p.bind(tangents[0], axis_name=axis_name),
    ),
    vjp=lambda x, *, axis_name: (
        psum_p.bind(x, axis_name=axis_name),
        lambda ct: [psum_p.bind(ct, axis_name=axis_name)],
    ),
)
all_gather_p = _collective(
    "all_gather",
    _gather_over,
    jvp=lambda primals, tangents, **params: (
        all_gather_p.bind(*primals, **params),
        all_gather_p.bind(*tangents, **params),
    ),
    vjp=_gather_vjp,
    shape=lambda x, *, axis_name, axis_size: ShapedArray((axis_size, *x.shape), x.dtype),
)


def _index_batch(size: int, args: Any, mapped: Any, *, axis_name: Any, named: bool = False) -> Any:
    return iota(size), True


index_p = Primitive(
    "axis_index",
    impl=_refuse("axis_index"),
    shape=lambda *, axis_name: ShapedArray((), np.int64),
    jvp=None,
    vjp=None,
    batch=_index_batch,
    kernel=None,
    samples=[],
    collective=True,
    doc="The number of the example along an axis named by vmap.",
)


def psum(x: Any, axis_name: Any) -> Any:
    """Sum over a named ``vmap`` axis, or over several.

    Parameters
    ----------
    x : pytree
        Arrays, one example's part.
    axis_name : hashable
        The name given to ``vmap``; a tuple of names for the axes of several.

    Returns
    -------
    pytree
        The sums, the same for every example.

    Raises
    ------
    ArgumentError
        If no enclosing ``vmap`` has that name.

    Examples
    --------
    >>> import fad
    >>> fad.vmap(lambda x: x / fad.psum(x, "i"), axis_name="i")(fad.Array([1.0, 3.0]))
    Array([0.25, 0.75])
    """
    names = _names("psum", axis_name)
    return map_leaves(lambda leaf: wrap(_summed(as_operand(leaf), names)), x)


def _summed(operand: Any, names: Sequence[Any]) -> Any:
    for name in names:
        operand = psum_p.bind(operand, axis_name=name)
    return operand


def pmean(x: Any, axis_name: Any) -> Any:
    """Mean over a named ``vmap`` axis; arguments and exceptions are those of :func:`psum`.

    Examples
    --------
    >>> import fad
    >>> fad.vmap(lambda x: x - fad.pmean(x, "i"), axis_name="i")(fad.Array([1.0, 3.0]))
    Array([-1.,  1.])
    """
    names = _names("pmean", axis_name)
    size = math.prod(_size_of("pmean", name) for name in names)

    def mean(leaf: Any) -> Any:
        operand = as_operand(leaf)
        return wrap(_summed(convert(operand, inexact_dtype(dtype_of(operand))), names) / size)

    return map_leaves(mean, x)


def all_gather(x: Any, axis_name: Any, axis: int = 0) -> Any:
    """Values of all examples along a named ``vmap`` axis, or along several, stacked.

    Parameters
    ----------
    x : pytree
        Arrays, one example's part.
    axis_name : hashable
        The name given to ``vmap``; a tuple of names for all pairs (triples, ...) of examples, the last name's running fastest.
    axis : int
        Where the new axis goes.

    Raises
    ------
    ArgumentError
        If no enclosing ``vmap`` has that name.

    Examples
    --------
    >>> import fad
    >>> fad.vmap(lambda x: fad.all_gather(x, "i"), axis_name="i")(fad.Array([1.0, 3.0]))
    Array([[1., 3.],
           [1., 3.]])
    """
    names = _names("all_gather", axis_name)
    sizes = [_size_of("all_gather", name) for name in names]

    def gather(leaf: Any) -> Any:
        out = as_operand(leaf)
        shape = shape_of(out)
        for name, size in zip(reversed(names), reversed(sizes), strict=True):
            out = all_gather_p.bind(out, axis_name=name, axis_size=size)
        return wrap(move_axis(reshape(out, (math.prod(sizes), *shape)), 0, axis % (len(shape) + 1)))

    return map_leaves(gather, x)


def _extremum(name: str, reduce: Callable[..., Any], x: Any, axis_name: Any) -> Any:
    names = _names(name, axis_name)

    def extremum(leaf: Any) -> Any:
        operand = as_operand(leaf)
        for single in names:
            size = _size_of(name, single)
            operand = reduce(all_gather_p.bind(operand, axis_name=single, axis_size=size), (0,))
        return wrap(operand)

    return map_leaves(extremum, x)


def pmax(x: Any, axis_name: Any) -> Any:
    """Maximum over a named ``vmap`` axis; arguments and exceptions are those of :func:`psum`.

    Examples
    --------
    >>> import fad
    >>> fad.vmap(lambda x: fad.pmax(x, "i"), axis_name="i")(fad.Array([1.0, 3.0]))
    Array([3., 3.])
    """
    return _extremum("pmax", reduce_max, x, axis_name)


def pmin(x: Any, axis_name: Any) -> Any:
    """Minimum over a named ``vmap`` axis; arguments and exceptions are those of :func:`psum`.

    Examples
    --------
    >>> import fad
    >>> fad.vmap(lambda x: fad.pmin(x, "i"), axis_name="i")(fad.Array([1.0, 3.0]))
    Array([1., 1.])
    """
    return _extremum("pmin", reduce_min, x, axis_name)


def axis_index(axis_name: Any) -> Any:
    """Number of the current example along a named ``vmap`` axis, or along several.

    Parameters
    ----------
    axis_name : hashable
        The name given to ``vmap``; a tuple of names for the place in what :func:`all_gather` stacks.

    Raises
    ------
    ArgumentError
        If no enclosing ``vmap`` has that name.

    Examples
    --------
    >>> import fad
    >>> fad.vmap(lambda x: x * fad.axis_index("i"), axis_name="i")(fad.Array([1.0, 3.0]))
    Array([0., 3.])
    """
    number: Any = None
    for name in _names("axis_index", axis_name):
        own = index_p.bind(axis_name=name)
        number = own if number is None else number * _size_of("axis_index", name) + own
    return wrap(number)
