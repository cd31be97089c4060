"""``x.at[index]``: what assignment is to mutable arrays. Each method gives a new array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_name, dtype_of, is_inexact, result_dtype, shape_of, weak_operand
from fad.core.config import config
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.numpy.conversion import operand
from fad.numpy.indexing import Selection
from fad.primitives.arithmetic import reciprocal
from fad.primitives.math_functions import power
from fad.primitives.structural import broadcast_to, convert, reshape

__all__ = ["IndexUpdate", "IndexUpdater"]

_MODES = {"raise": "raise", "clip": "clip", "drop": "drop", "fill": "drop", "promise_in_bounds": "raise"}


class IndexUpdater:
    """``x.at``: index it to say which elements to update.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.zeros(3).at[1].set(5.0)
    Array([0., 5., 0.])
    """

    __slots__ = ("_array",)

    def __init__(self, array: Array):
        self._array = array

    def __getitem__(self, index: Any) -> IndexUpdate:
        return IndexUpdate(self._array, index)

    def __repr__(self) -> str:
        return f"<at of {self._array!r}>"


class IndexUpdate:
    """``x.at[index]``: the elements to update; every method gives a new array and leaves ``x`` as it is.

    An index that names an element several times counts every time in ``add``, ``subtract``, ``multiply``, ``divide``, ``min`` and ``max``;
    ``set`` and ``power`` keep the last. Values are broadcast to the selection and take the dtype of ``x``.

    Keywords of all methods: ``mode`` is what an index out of bounds does, ``"raise"``, ``"clip"`` or ``"drop"`` (by default
    ``fad.config.out_of_bounds``); ``unique_indices=True`` promises that no element is named twice.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> x = fnp.arange(4.0)
    >>> x.at[1:3].add(10.0)
    Array([ 0., 11., 12.,  3.])
    >>> x.at[[0, 0, 2]].add(1.0)
    Array([2., 1., 3., 3.])
    >>> fad.grad(lambda x: (x.at[0].set(7.0) ** 2).sum())(x)
    Array([0., 2., 4., 6.])
    """

    __slots__ = ("_array", "_index")

    def __init__(self, array: Array, index: Any):
        self._array, self._index = array, index

    def __repr__(self) -> str:
        return f"<at[{self._index!r}] of {self._array!r}>"

    def get(self, *, mode: str | None = None, **promises: bool) -> Array:
        """The elements themselves, as ``x[index]``."""
        x = operand(self._array)
        return wrap(Selection(x, self._index, _mode("get", mode, promises)[0]).read(x))

    def set(self, values: Any, *, mode: str | None = None, **promises: bool) -> Array:
        """The values in their place."""
        return self._write("set", "set", values, mode, promises)

    def add(self, values: Any, *, mode: str | None = None, **promises: bool) -> Array:
        """The values added."""
        return self._write("add", "add", values, mode, promises)

    def subtract(self, values: Any, *, mode: str | None = None, **promises: bool) -> Array:
        """The values subtracted."""
        return self._write("subtract", "add", values, mode, promises, lambda v: -v)

    def multiply(self, values: Any, *, mode: str | None = None, **promises: bool) -> Array:
        """Multiplied by the values."""
        return self._write("multiply", "mul", values, mode, promises)

    mul = multiply

    def divide(self, values: Any, *, mode: str | None = None, **promises: bool) -> Array:
        """Divided by the values; integers cannot be."""
        if not is_inexact(self._array.dtype):
            raise DTypeError(
                f"x.at[...].divide: the quotient of {self._array.dtype} is not of that dtype; use x.astype(float).at[...].divide(v)"
            )
        return self._write("divide", "mul", values, mode, promises, reciprocal.bind)

    def min(self, values: Any, *, mode: str | None = None, **promises: bool) -> Array:
        """The smaller of element and value."""
        return self._write("min", "min", values, mode, promises)

    def max(self, values: Any, *, mode: str | None = None, **promises: bool) -> Array:
        """The larger of element and value."""
        return self._write("max", "max", values, mode, promises)

    def power(self, values: Any, *, mode: str | None = None, **promises: bool) -> Array:
        """Raised to the values."""
        return self.apply(lambda old: wrap(power.bind(operand(old), operand(values))), mode=mode, **promises)

    def apply(self, function: Callable[[Array], Any], *, mode: str | None = None, **promises: bool) -> Array:
        """A function of the elements in their place."""
        return self.set(function(self.get(mode=mode)), mode=mode, **promises)

    def _write(
        self, method: str, op: str, values: Any, mode: str | None, promises: dict[str, bool], change: Any = None
    ) -> Array:
        x = operand(self._array)
        where, unique = _mode(method, mode, promises)
        selection = Selection(x, self._index, where)
        target = selection.result_shape()
        values = fitted(f"x.at[...].{method}", operand(values, f"x.at[...].{method}"), target, dtype_of(x))
        return wrap(selection.write(op, x, values if change is None else change(values), unique))


def _mode(method: str, mode: str | None, promises: dict[str, bool]) -> tuple[str, bool]:
    unknown = sorted(promises.keys() - {"unique_indices", "indices_are_sorted"})
    if unknown:
        raise ArgumentError(f"x.at[...].{method} does not take {', '.join(unknown)}")
    chosen = config.out_of_bounds if mode is None else mode
    if chosen not in _MODES:
        raise ArgumentError(f"x.at[...].{method}: mode must be 'raise', 'clip' or 'drop', got {chosen!r}")
    return _MODES[chosen], bool(promises.get("unique_indices", False))


def fitted(function: str, values: Any, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """The values in the dtype of the array, broadcast to the selection."""
    common = result_dtype(dtype, weak_operand(values))
    if not np.can_cast(common, dtype, "same_kind"):
        raise DTypeError(
            f"{function}: values of dtype {dtype_name(dtype_of(values))} do not fit into an array of dtype {dtype_name(dtype)}; "
            "convert the array first, x.astype(...), or round the values"
        )
    own = shape_of(values)
    extra = max(len(own) - len(shape), 0)
    if own[:extra] != (1,) * extra or any(n not in (1, m) for n, m in zip(own[::-1], shape[::-1], strict=False)):
        raise ShapeError(
            f"{function}: the index selects shape {shape}, and values of shape {own} do not broadcast to it"
        )
    values = reshape(values, own[extra:])
    return broadcast_to(convert(values, dtype), shape)
