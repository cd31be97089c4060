"""Indexing as in NumPy: what ``x[...]`` means. Updates, ``x.at[...]``, are made of the same selections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import ShapedArray, aval_of, dtype_name, dtype_of, shape_of
from fad.core.config import config
from fad.core.errors import ArgumentError, ConcretizationError, DTypeError, IndexOutOfBoundsError, ShapeError
from fad.core.trace import CURRENT, EVAL, Tracer, concrete_value
from fad.numpy.conversion import constant, operand
from fad.primitives.arithmetic import add, maximum, minimum, multiply
from fad.primitives.indexing import (
    basic_index,
    basic_index_p,
    basic_index_shape,
    check_bounds,
    gather,
    gathered_shape,
    index_position,
    move_block,
    unstack,
)
from fad.primitives.scattering import scatter
from fad.primitives.windows import basic_update

__all__ = ["getitem"]

_INTEGERS = (int, np.integer)


def getitem(x: Any, index: Any) -> Any:
    """``x[index]`` with NumPy's rules: integers, slices, ``None``, ``...``, integer arrays, boolean masks and any mix of them.

    Parameters
    ----------
    x : Array
        The array.
    index : int, slice, None, Ellipsis, array_like or tuple of them
        The index. Integer arrays may be traced; masks must be known when the function runs.

    Returns
    -------
    Array
        The elements; its derivative puts cotangents back where they were read, added up where an element was read twice.

    Raises
    ------
    IndexOutOfBoundsError
        If an index is outside its axis, or there are more indices than axes.
    DTypeError
        If an index is not an integer, slice, mask, ``None`` or ``...``.
    ConcretizationError
        If a mask or the bound of a slice is traced by ``jit`` or ``vmap``.

    Examples
    --------
    >>> import fad
    >>> x = fad.Array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    >>> x[1, ::-1]
    Array([6., 5., 4.])
    >>> x[[0, 1, 1], [2, 0, 0]]
    Array([3., 4., 4.])
    >>> fad.grad(lambda x: x[[0, 0, 2]].sum())(fad.Array([1.0, 2.0, 3.0]))
    Array([2., 0., 1.])
    """
    value = x._buffer if type(x) is Array else x
    kind = type(index)
    if kind is int:
        shape = value.shape
        if shape and -shape[0] <= index < shape[0]:
            entry = index if index >= 0 else index + shape[0]
            if CURRENT.get().base is EVAL:
                return _wrapped(basic_index_p.bind(value, index=(entry,)))
            return wrap(basic_index(value, (entry,)))
    elif kind is slice and index.step is None and _plain(index) and value.shape:
        return wrap(basic_index(value, (_triple(index, value.shape[0]),)))
    elif kind is tuple:
        entries = _plain_entries(index, value.shape)
        if entries is not None:
            return wrap(basic_index(value, entries))
    elif kind is np.ndarray and index.ndim and index.dtype.kind in "iu" and value.shape:
        if CURRENT.get() is not EVAL:
            index = constant(index)
        mode = config.out_of_bounds
        if mode == "raise":
            check_staged(value.shape, (0,), [index])
        return wrap(gather(value, [index], (0,), mode))
    return wrap(Selection(value, index, config.out_of_bounds).read(value))


def iterate(x: Any) -> Iterator[Any]:
    """The slices of an array along its first axis, read all at once where a derivative is followed through each."""
    value = x._buffer if type(x) is Array else x
    if isinstance(value, Tracer):
        return iter([wrap(part) for part in unstack(value, 0)])
    return (wrap(value[k]) for k in range(len(value)))


def _plain_entries(index: tuple[Any, ...], shape: tuple[int, ...]) -> tuple[Any, ...] | None:
    """The usual tuples, of integers, slices and new axes, without detour; ``None`` for all others and for what is out of bounds."""
    entries: list[Any] = []
    axis = 0
    for item in index:
        if item is None:
            entries.append(None)
            continue
        if axis == len(shape):
            return None
        size = shape[axis]
        if type(item) is int and -size <= item < size:
            entries.append(item if item >= 0 else item + size)
        elif type(item) is slice and item.step is None and _plain(item):
            entries.append(_triple(item, size))
        else:
            return None
        axis += 1
    return tuple(entries) if entries else None


def _wrapped(out: Any) -> Any:
    return out if isinstance(out, Tracer) else wrap(out)


def _plain(index: slice) -> bool:
    return type(index.start) in (int, type(None)) and type(index.stop) in (int, type(None))


class Selection:
    """An index taken apart: a basic one (slices, integers, new axes), and integer arrays for axes of its result.

    Attributes
    ----------
    basic : tuple
        Entries of the basic index, or ``()`` if it changes nothing.
    arrays : list
        Integer arrays, for the axes ``axes`` of what the basic index gives.
    """

    def __init__(self, x: Any, index: Any, mode: str):
        self.shape = shape_of(x)
        items = [_classified(i) for i in (index if isinstance(index, tuple) else (index,))]
        self._advanced = any(isinstance(i, _IndexArray) for i in items)
        apart = self._advanced and _separated(items)
        items = _without_ellipsis(items, self.shape)
        # What a number out of bounds does is for the mode to say, as for arrays.
        far = any(isinstance(i, int) and not all(-n <= i < n for n in self.shape) for i in items)
        self._advanced = self._advanced or (far and mode != "raise")
        self._mode = mode
        self.arrays: list[Any] = []
        self.axes: tuple[int, ...] = ()
        self._lay_out(items)
        self._rank = max((len(shape_of(a)) for a in self.arrays), default=0)
        self._front_from = index_position(self.axes) if apart else 0

    def _lay_out(self, items: list[Any]) -> None:
        """Split the items into basic entries and index arrays."""
        entries: list[Any] = []
        axes: list[int] = []
        axis = position = 0
        for item in items:
            if item is None:
                entries.append(None)
            elif isinstance(item, slice):
                entries.append(_triple(_bounds(item), self.shape[axis]))
                axis += 1
            elif isinstance(item, _IndexArray):
                found = item.arrays(self.shape, axis)
                entries.extend([None] if item.adds_axis else [(0, self.shape[axis + k], 1) for k in range(len(found))])
                axis += 0 if item.adds_axis else len(found)
                axes.extend(range(position, position + len(found)))
                self.arrays.extend(found)
                position += len(found) - 1
            elif self._advanced:
                entries.append((0, self.shape[axis], 1))
                axes.append(position)
                self.arrays.append(np.asarray(_in_range(item, self.shape, axis, self._mode)))
                axis += 1
            else:
                entries.append(_in_range(item, self.shape, axis, self._mode))
                axis += 1
                position -= 1
            position += 1
        self.axes = tuple(axes)
        self.basic = tuple(entries) if any(not self._whole(e, k) for k, e in enumerate(entries)) else ()

    def _whole(self, entry: Any, axis: int) -> bool:
        return axis < len(self.shape) and entry == (0, self.shape[axis], 1)

    def result_shape(self) -> tuple[int, ...]:
        """The shape of what :meth:`read` gives."""
        shape = self.shape
        if self.basic:
            shape = basic_index_shape(ShapedArray(shape, bool), index=self.basic).shape
        if not self.arrays:
            return shape
        shape = gathered_shape("indexing", shape, self.axes, [aval_of(a) for a in self.arrays])
        first, last = self._front_from, self._front_from + self._rank
        return (*shape[first:last], *shape[:first], *shape[last:])

    def read(self, x: Any) -> Any:
        """The elements of ``x`` at the index."""
        if self.basic:
            x = basic_index(x, self.basic)
        if self.arrays:
            if self._mode == "raise":
                check_staged(shape_of(x), self.axes, self.arrays)
            x = gather(x, self.arrays, self.axes, self._mode)
            if self._front_from:
                x = move_block(x, self._front_from, self._rank, 0)
        return x

    def write(self, op: str, x: Any, values: Any, unique: bool) -> Any:
        """``x`` with the values, of the shape that :meth:`read` gives, put at the index by "set", "add", "mul", "min" or "max"."""
        part = basic_index(x, self.basic) if self.basic and self.arrays else x
        if self.arrays:
            if self._mode == "raise":
                check_staged(shape_of(part), self.axes, self.arrays)
            if self._front_from:
                values = move_block(values, 0, self._rank, self._front_from)
            values = scatter(op, part, values, self.arrays, self.axes, self._mode, unique)
            return basic_update(x, values, self.basic) if self.basic else values
        if op != "set":
            values = COMBINE[op].bind(self.read(x), values)
        return basic_update(x, values, self.basic) if self.basic else values


COMBINE = {"add": add, "mul": multiply, "min": minimum, "max": maximum}


class _IndexArray:
    """An integer array or a boolean mask among the items of an index."""

    __slots__ = ("adds_axis", "mask", "value")

    def __init__(self, value: Any, mask: bool):
        self.value = value
        self.mask = mask
        self.adds_axis = mask and not shape_of(value)

    @property
    def count(self) -> int:
        """How many axes of the array it indexes."""
        return len(shape_of(self.value)) if self.mask else 1

    def arrays(self, shape: tuple[int, ...], axis: int) -> list[Any]:
        """Integer arrays, one for each axis indexed."""
        if not self.mask:
            return [self.value]
        seen = shape_of(self.value)
        if seen != shape[axis : axis + len(seen)]:
            raise ShapeError(
                f"indexing: a boolean mask of shape {seen} does not fit the axes {shape[axis : axis + len(seen)]} of an array of "
                f"shape {shape} that it indexes; they must be equal"
            )
        if self.adds_axis:
            return [np.zeros(int(bool(self.value)), np.int64)]
        return list(np.nonzero(self.value))


def check_staged(shape: tuple[int, ...], axes: tuple[int, ...], arrays: list[Any]) -> None:
    """While a Program is staged: check the bounds of the indices whose values are known."""
    if CURRENT.get().base is not EVAL:
        known = [(a, i) for a, i in zip(axes, arrays, strict=True) if not isinstance(i, Tracer)]
        check_bounds("indexing", shape, tuple(a for a, _ in known), [i for _, i in known])


def concrete_mask(mask: Any, function: str) -> np.ndarray:
    """The values of a boolean mask, which decide how many elements there are."""
    value = concrete_value(mask)
    if value is None:
        raise ConcretizationError(
            f"{function}: the boolean mask {mask!r} is not known inside {mask.interpreter.describe()}, so the number of selected elements, "
            "a shape, is unknown. Ways out: fad.numpy.where(mask, x, other) keeps the shape; sums take where=mask; "
            "x.at[i].set(v) with integer indices; or compute the mask outside the transform."
        )
    return value


def _classified(item: Any) -> Any:
    """An item of an index as int, slice, ``None``, ``Ellipsis`` or ``_IndexArray``."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, _INTEGERS) and not isinstance(item, bool):
        return int(item)
    if isinstance(item, bool | np.bool_):
        return _IndexArray(np.asarray(item), True)
    if isinstance(item, str):
        raise DTypeError(f"indexing: {item!r} is not an index; arrays have no named fields")
    found = operand(item, "indexing")
    if isinstance(item, list | tuple) and not shape_of(found)[-1:] != (0,) and dtype_of(found).kind == "f":
        found = np.zeros(shape_of(found), np.int64)  # an empty list has no dtype of its own
    return _from_array(found)


def _from_array(found: Any) -> Any:
    kind = dtype_of(found).kind
    if kind == "b":
        return _IndexArray(concrete_mask(found, "indexing"), True)
    if kind not in "iu":
        raise DTypeError(
            f"indexing: arrays of dtype {dtype_name(dtype_of(found))} are no indices; use integers (x.astype(int)), a boolean mask, "
            "or slices"
        )
    known = concrete_value(found)
    if known is None:
        return _IndexArray(found, False)
    return int(known) if not known.shape else _IndexArray(known, False)


def _without_ellipsis(items: list[Any], shape: tuple[int, ...]) -> list[Any]:
    """The items with the ellipsis spelled out and missing axes added, all counts checked."""
    used = sum(i.count if isinstance(i, _IndexArray) else i is not None and i is not Ellipsis for i in items)
    if used > len(shape):
        raise IndexOutOfBoundsError(
            f"too many indices: {used} for an array of shape {shape}, which has {len(shape)} "
            f"{'axis' if len(shape) == 1 else 'axes'}"
        )
    missing = [slice(None)] * (len(shape) - used)
    places = [k for k, i in enumerate(items) if i is Ellipsis]
    if len(places) > 1:
        raise ArgumentError("an index can have only one ellipsis ('...')")
    if not places:
        return items + missing
    return [*items[: places[0]], *missing, *items[places[0] + 1 :]]


def _separated(items: list[Any]) -> bool:
    """Whether an ellipsis, which may stand for no axis at all, has index arrays on both sides: NumPy then puts their axes first."""
    place = next((k for k, i in enumerate(items) if i is Ellipsis), None)
    return place is not None and all(
        any(isinstance(i, _IndexArray | int) for i in side) for side in (items[:place], items[place + 1 :])
    )


def _triple(item: slice, size: int) -> tuple[int, int, int]:
    """The slice on an axis of ``size`` as (start, stop, step); (0, 0, 1) where it is empty."""
    triple = item.indices(size)
    return triple if len(range(*triple)) else (0, 0, 1)


def _bounds(item: slice) -> slice:
    """A slice of Python integers."""
    try:
        parts = [None if b is None else int(b.__index__()) for b in (item.start, item.stop, item.step)]
    except ConcretizationError as error:
        raise ConcretizationError(
            f"the bounds of a slice must be known when the function is traced, because they decide a shape. "
            f"For a window of known size at a traced position use fad.numpy.dynamic_slice(x, starts, sizes).\n{error}"
        ) from None
    except (AttributeError, TypeError):
        raise DTypeError(f"indexing: the bounds of a slice must be integers or None, got {item!r}") from None
    if parts[2] == 0:
        raise ArgumentError("indexing: the step of a slice cannot be zero")
    return slice(*parts)


def _in_range(index: int, shape: tuple[int, ...], axis: int, mode: str) -> int:
    size = shape[axis]
    if not -size <= index < size:
        if mode != "raise":
            return min(max(index, -size - 1), size)  # as far out as any
        valid = f"valid are {-size} to {size - 1}" if size else "the axis is empty"
        raise IndexOutOfBoundsError(
            f"index {index} is out of bounds for axis {axis} of size {size} of an array of shape {shape}; {valid}"
        )
    return index % size
