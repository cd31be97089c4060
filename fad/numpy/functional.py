"""Functions that apply functions, and windows that slide over arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy import joining, manipulation
from fad.numpy.conversion import axis_number, axis_numbers, host_integers, operand
from fad.primitives.indexing import gather
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import move_axis, reshape
from fad.transforms.vectorization import vmap

__all__ = ["apply_along_axis", "apply_over_axes", "sliding_window_view", "vectorize"]


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Array:
    """A function of vectors applied to every vector along an axis, one after another.

    Parameters
    ----------
    func1d : callable
        Function of a vector that gives an array.
    axis : int
        The axis that the vectors lie along.
    arr : array_like
        The array.
    *args, **kwargs
        Further arguments of the function.

    Returns
    -------
    Array
        The axis replaced by those of the function's results.

    Raises
    ------
    ShapeError
        If there is no vector to apply the function to.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.apply_along_axis(fnp.max, 0, [[1, 4], [3, 2]])
    Array([3, 4])
    """
    x = operand(arr, "apply_along_axis")
    ndim = len(shape_of(x))
    axis = axis_number(axis, ndim, "apply_along_axis")
    rows = move_axis(x, axis, ndim - 1)
    rest = shape_of(rows)[:-1]
    count = math.prod(rest)
    if not count:
        raise ShapeError(f"apply_along_axis: an array of shape {shape_of(x)} has no vector along axis {axis}")
    rows = reshape(rows, (count, shape_of(rows)[-1]))
    results = []
    for k in range(count):
        vector = reshape(slice_axis(rows, 0, k, k + 1), shape_of(rows)[1:])
        results.append(operand(func1d(wrap(vector), *args, **kwargs), "apply_along_axis"))
    stacked = operand(joining.stack(results))
    inner = shape_of(stacked)[1:]
    full = reshape(stacked, (*rest, *inner))
    lead = len(rest)
    order = (*range(axis), *range(lead, lead + len(inner)), *range(axis, lead))
    return manipulation.transpose(full, order)


def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Array:
    """A reduction ``func(a, axis)`` applied over one axis after another, the axes kept at size 1.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.apply_over_axes(fnp.sum, fnp.ones((2, 3)), [0, 1])
    Array([[6.]])
    """
    x = operand(a, "apply_over_axes")
    ndim = len(shape_of(x))
    value: Any = wrap(x)
    for axis in axis_numbers(tuple(axes) if isinstance(axes, list | tuple) else axes, ndim, "apply_over_axes"):
        result = func(value, axis)
        found = operand(result, "apply_over_axes")
        if len(shape_of(found)) == ndim - 1:
            found = operand(manipulation.expand_dims(found, axis))
        if len(shape_of(found)) != ndim:
            raise ShapeError(
                f"apply_over_axes: the function must keep the axes or drop one, but gave shape {shape_of(found)} from {value.shape}"
            )
        value = wrap(found)
    return value


def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Array:
    """All windows of a shape that fit into an array.

    Parameters
    ----------
    x : array_like
        The array.
    window_shape : int or tuple of int
        The size of the window along each axis.
    axis : int or tuple of int, optional
        The axes; all by default.
    subok, writeable : bool
        For compatibility; nothing is writeable.

    Returns
    -------
    Array
        The axes shortened by the window's size less one, then the axes of the window.

    Raises
    ------
    ShapeError
        If the window does not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.sliding_window_view([1, 2, 3], 2)
    Array([[1, 2],
           [2, 3]])
    """
    value = operand(x, "sliding_window_view")
    shape = shape_of(value)
    sizes = host_integers(window_shape, "sliding_window_view", "window_shape").ravel().tolist()
    axes = (
        tuple(range(len(shape)))
        if axis is None
        else tuple(
            axis_number(a, len(shape), "sliding_window_view")
            for a in (axis if isinstance(axis, tuple | list) else (axis,))
        )
    )
    if len(sizes) != len(axes):
        raise ShapeError(f"sliding_window_view: a window of {len(sizes)} sizes does not fit {len(axes)} axes")
    for a, size in zip(axes, sizes, strict=True):
        current = shape_of(value)[a]
        if not 0 <= size <= current:
            raise ShapeError(f"sliding_window_view: a window of size {size} does not fit axis {a} of size {current}")
        positions = np.arange(current - size + 1)[:, None] + np.arange(size)
        # The window's axis appears after the one it slides along, then goes to the end.
        value = move_axis(gather(value, [positions], (a,)), a + 1, len(shape_of(value)))
    return wrap(value)


class vectorize:
    """A function of scalars (or, with a signature, of arrays) mapped over broadcast arguments.

    Parameters
    ----------
    pyfunc : callable
        The function.
    otypes, doc, cache : optional
        For compatibility; dtypes follow from the results.
    excluded : set of int or str, optional
        Arguments that are passed as they are.
    signature : str, optional
        Axes that the function takes and gives, such as ``"(n),(n)->()"``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.vectorize(lambda a, b: a + 2 * b)([1, 2], 10)
    Array([21, 22])
    """

    def __init__(
        self,
        pyfunc: Callable[..., Any],
        otypes: Any = None,
        doc: str | None = None,
        excluded: Any = None,
        cache: bool = False,
        signature: str | None = None,
    ):
        self.pyfunc = pyfunc
        self.signature = signature
        self.excluded = frozenset(excluded or ())
        self.__doc__ = doc or pyfunc.__doc__
        self.__name__ = getattr(pyfunc, "__name__", "vectorized")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Apply the function to all elements."""
        mapped = [k for k in range(len(args)) if k not in self.excluded]
        values = [operand(args[k], self.__name__) for k in mapped]
        cores = self._core_counts(len(mapped))
        shapes = [shape_of(v)[: len(shape_of(v)) - c] for v, c in zip(values, cores, strict=True)]
        outer = manipulation.broadcast_shapes(*shapes)

        def call(*chosen: Any) -> Any:
            full = list(args)
            for k, value in zip(mapped, chosen, strict=True):
                full[k] = value
            return self.pyfunc(*full, **kwargs)

        function: Callable[..., Any] = call
        # One vmap for each outer axis, the innermost one first; an argument of size 1 there is not mapped.
        for axis in range(len(outer) - 1, -1, -1):
            function = self._mapped(function, shapes, axis - len(outer))
        return function(*[wrap(self._squeezed(v, s)) for v, s in zip(values, shapes, strict=True)])

    def _core_counts(self, count: int) -> list[int]:
        if self.signature is None:
            return [0] * count
        inputs = self.signature.split("->")[0].replace(" ", "")
        groups = [g.strip("()") for g in inputs.split("),(")]
        if len(groups) != count:
            raise ArgumentError(
                f"vectorize: signature {self.signature!r} has {len(groups)} arguments, the call {count}"
            )
        return [len([d for d in g.split(",") if d]) for g in groups]

    @staticmethod
    def _mapped(function: Callable[..., Any], shapes: Sequence[tuple[int, ...]], axis: int) -> Callable[..., Any]:
        in_axes = tuple(0 if len(s) >= -axis and s[axis] != 1 else None for s in shapes)
        if all(a is None for a in in_axes):
            return lambda *values: _expanded(function(*values))
        return vmap(function, in_axes=in_axes)

    @staticmethod
    def _squeezed(value: Any, outer: tuple[int, ...]) -> Any:
        """The value without its outer axes of size 1, which are broadcast by not mapping them."""
        core = shape_of(value)[len(outer) :]
        return reshape(value, tuple(n for n in outer if n != 1) + core)


def _expanded(result: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(manipulation.expand_dims(r, 0) for r in result)
    return manipulation.expand_dims(result, 0)
