"""Arrays that the traced body of a numba function makes and writes into, and the NumPy module that makes them.

Code for numba fills arrays element by element. In a traced body ``numpy.zeros`` and its like give a :class:`ScratchArray`: a NumPy array until a traced
value is written into it, and an immutable array that each write replaces from then on. What NumPy would give as a view of it reads and writes through.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from fad.core.array import Array
from fad.core.errors import ImmutableArrayError
from fad.core.pytrees import flatten, unflatten
from fad.core.trace import Tracer

__all__ = ["NUMPY", "NumPyOfBodies", "ScratchArray", "SharedMemoryError", "released"]

# What these give shares memory with the array in NumPy, and could not be kept up to date here.
_SHARING = frozenset(
    "T at data diagonal flat imag ravel real reshape squeeze swapaxes transpose view "
    "asanyarray asfortranarray atleast_1d atleast_2d atleast_3d broadcast_arrays broadcast_to diag expand_dims flip fliplr flipud moveaxis require "
    "rollaxis rot90 split array_split hsplit vsplit dsplit".split()
)


class SharedMemoryError(ImmutableArrayError):
    """A write that another name for the same memory should see, and could not."""


class ScratchArray:
    """An array that may be written into while it is traced."""

    __slots__ = ("_held", "_shared")

    __array_ufunc__ = None  # so that NumPy's arrays leave their operators to this class

    def __init__(self, held: Any):
        self._held = held
        self._shared = ""

    @property
    def value(self) -> Any:
        """What is in it now: a NumPy array, or a traced one."""
        return self._held

    def snapshot(self) -> Any:
        """What is in it now, and stays as it is: the backward pass may read it when the array has changed."""
        value = self.value
        if isinstance(value, np.ndarray):
            value = value.copy()
            value.flags.writeable = False  # a function that would write into it says so
        return value

    def share(self, how: str) -> None:
        """Note that something has memory in common with it that cannot be followed."""
        self._shared = self._shared or how

    def write(self, index: Any, value: Any) -> None:
        """Assign to an index."""
        if isinstance(self._held, np.ndarray) and not _is_traced(index) and not _is_traced(value):
            self._held[index] = value
            return
        if self._shared:
            raise SharedMemoryError(
                f"a traced value is written into an array after {self._shared} gave another name to its memory; what that name stands for could not "
                "be kept up to date. Write first, or copy: numpy.copy(...)"
            )
        current = self._held if isinstance(self._held, Array) else Array(self._held)
        self._held = current.at[index].set(_joined(value))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.write(_plain(index), _plain(value))

    def __getitem__(self, index: Any) -> Any:
        index = _plain(index)
        parts = index if isinstance(index, tuple) else (index,)
        whole = [p for p in parts if p is not None and p is not Ellipsis]
        basic = all(isinstance(p, int | np.integer | slice) for p in whole)
        if basic and sum(not isinstance(p, slice) for p in whole) < self.value.ndim:
            return ScratchView(self, index)
        found = self.value[index]
        if _is_traced(index) and np.ndim(found):
            self.share("an index that is traced")
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"an array of a traced function has no {name}")
        if name in _SHARING:
            self.share(f".{name}")
        attribute = getattr(self.value, name)
        if name == "copy":
            return lambda: ScratchArray(np.copy(self.value) if isinstance(self.value, np.ndarray) else self.value)
        if name == "fill":
            return lambda value: self.write(Ellipsis, _plain(value))
        return _unwrapping(attribute) if callable(attribute) else attribute

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)

    def __repr__(self) -> str:
        return repr(self.value)

    __hash__ = None  # type: ignore[assignment]


class ScratchView(ScratchArray):
    """A part of an array, as basic indexing gives it."""

    __slots__ = ("_base", "_index")

    def __init__(self, base: ScratchArray, index: Any):
        self._base, self._index = base, index

    @property
    def value(self) -> Any:
        """The part as it is now."""
        return self._base.value[self._index]

    def share(self, how: str) -> None:
        """Note that something has memory in common with it that cannot be followed."""
        self._base.share(how)

    def write(self, index: Any, value: Any) -> None:
        """Assign to an index of the part, and thereby to the array."""
        own = self.value
        if isinstance(own, np.ndarray) and not _is_traced(index) and not _is_traced(value):
            own[index] = value
            return
        current = own if isinstance(own, Array) else Array(own)
        self._base.write(self._index, current.at[index].set(_joined(value)))


def _binary(function: Callable[..., Any], reflected: bool = False) -> Callable[..., Any]:
    def apply(self: ScratchArray, other: Any) -> Any:
        other = _plain(other)
        own = self.snapshot() if isinstance(other, Tracer) else self.value
        return function(other, own) if reflected else function(own, other)

    return apply


def _in_place(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(self: ScratchArray, other: Any) -> ScratchArray:
        self.write(Ellipsis, function(self.value, _plain(other)))
        return self

    return apply


def _unary(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self: function(self.value)


for _name in "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift".split():
    _plain_name = _name.rstrip("_")
    setattr(ScratchArray, f"__{_plain_name}__", _binary(getattr(operator, _name)))
    setattr(ScratchArray, f"__r{_plain_name}__", _binary(getattr(operator, _name), reflected=True))
    setattr(ScratchArray, f"__i{_plain_name}__", _in_place(getattr(operator, _name)))
for _name in "eq ne lt le gt ge".split():
    setattr(ScratchArray, f"__{_name}__", _binary(getattr(operator, _name)))
for _name in "neg pos abs invert".split():
    setattr(ScratchArray, f"__{_name}__", _unary(getattr(operator, _name)))


def _is_traced(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_is_traced(v) for v in value)
    return isinstance(value, Tracer)


def _joined(value: Any) -> Any:
    """One array of a nested sequence that holds traced values."""
    return np.stack([_joined(v) for v in value]) if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    """The value with what is in scratch arrays in their place."""
    if isinstance(value, ScratchArray):
        return value.snapshot()
    if type(value) in (list, tuple):
        return type(value)(_plain(v) for v in value)
    return value


def _unwrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function for scratch arrays too; a result may be written into an ``out`` that is one."""

    def apply(*args: Any, **kwargs: Any) -> Any:
        if isinstance(function, np.ufunc) and len(args) == function.nin + 1:
            args, kwargs["out"] = args[:-1], args[-1]
        out = kwargs.get("out")
        if isinstance(out, ScratchArray):
            del kwargs["out"]
            out[...] = apply(*args, **kwargs)
            return out
        return function(*_plain(args), **{k: _plain(v) for k, v in kwargs.items()})

    return apply


def released(result: Any) -> Any:
    """A result with arrays in place of scratch arrays."""
    found, treedef = flatten(result)
    return unflatten(treedef, [_plain(leaf) for leaf in found])


# -- the module --------------------------------------------------------------------------------------------------------------


class NumPyOfBodies:
    """The module :mod:`numpy`, or a part of it, for a traced body."""

    def __init__(self, module: ModuleType):
        self._module = module

    def __getattr__(self, name: str) -> Any:
        own = _MAKERS.get(name) if self._module is np else None
        value = getattr(self._module, name)
        if own is not None:
            return own
        if isinstance(value, ModuleType):
            return NumPyOfBodies(value)
        if not callable(value) or isinstance(value, type):
            return value
        function = _unwrapping(value)
        if name not in _SHARING:
            return lambda *args, **kwargs: _fresh(function(*args, **kwargs), args)

        def sharing(*args: Any, **kwargs: Any) -> Any:
            for arg in args:
                if isinstance(arg, ScratchArray):
                    arg.share(f"numpy.{name}")
            return function(*[a.value if isinstance(a, ScratchArray) else a for a in args], **kwargs)

        return sharing

    def __repr__(self) -> str:
        return repr(self._module)


def _fresh(result: Any, args: tuple[Any, ...]) -> Any:
    """A result that shares memory with no argument, as an array that may be written into."""
    if isinstance(result, Array):
        return ScratchArray(result) if result.shape else result
    if type(result) is not np.ndarray or not result.shape or not result.flags.writeable:
        return result
    shared = any(isinstance(a, np.ndarray) and np.may_share_memory(result, a) for a in args)
    return result if shared else ScratchArray(result)


def _made(fill: Any) -> Callable[..., ScratchArray]:
    def make(shape: Any, dtype: Any = float, **kwargs: Any) -> ScratchArray:
        return ScratchArray(np.full(_plain(shape), fill, dtype, **kwargs))

    return make


def _made_like(fill: Any) -> Callable[..., ScratchArray]:
    def make(prototype: Any, dtype: Any = None, **kwargs: Any) -> ScratchArray:
        like = _plain(prototype)
        like = like if hasattr(like, "dtype") else np.asarray(like)
        return ScratchArray(np.full(like.shape, fill, like.dtype if dtype is None else dtype))

    return make


def _full(shape: Any, fill_value: Any, dtype: Any = None) -> ScratchArray:
    return _filled(_plain(shape), _plain(fill_value), dtype)


def _full_like(prototype: Any, fill_value: Any, dtype: Any = None) -> ScratchArray:
    like = _plain(prototype)
    return _filled(like.shape, _plain(fill_value), like.dtype if dtype is None else dtype)


def _filled(shape: Any, fill: Any, dtype: Any) -> ScratchArray:
    if not _is_traced(fill):
        return ScratchArray(np.full(shape, fill, dtype))
    made = ScratchArray(np.zeros(shape, fill.dtype if dtype is None else dtype))
    made.write(Ellipsis, fill)
    return made


def _copied(a: Any, dtype: Any = None) -> Any:
    """``numpy.copy``, and ``numpy.array`` of an array."""
    value = _plain(a)
    if not _is_traced(value):
        return ScratchArray(np.array(value, dtype))
    joined = _joined(value)
    return ScratchArray(joined if dtype is None else joined.astype(dtype))


def _itself(a: Any, dtype: Any = None) -> Any:
    """``numpy.asarray`` and ``numpy.ascontiguousarray``, which copy nothing where they need not."""
    if isinstance(a, ScratchArray | Array) and dtype in (None, a.dtype):
        return a
    return np.asarray(a, dtype) if isinstance(a, np.ndarray) else _copied(a, dtype)


_MAKERS: dict[str, Callable[..., Any]] = {
    "zeros": _made(0),
    "empty": _made(0),
    "ones": _made(1),
    "full": _full,
    "zeros_like": _made_like(0),
    "empty_like": _made_like(0),
    "ones_like": _made_like(1),
    "full_like": _full_like,
    "copy": _copied,
    "array": _copied,
    "asarray": _itself,
    "ascontiguousarray": _itself,
}
NUMPY = NumPyOfBodies(np)
