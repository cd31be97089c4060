"""Traced values inside NumPy's object arrays.

``np.array([t, 2 * t])`` and ``np.asarray(x)`` do not ask fad: NumPy calls ``x.__array__()`` and computes on what it gets. Traced values give it an
object array of :class:`Element`, one for each number, on which NumPy computes element by element; where such an array comes back to
fad, :func:`stacked` makes one operand of it. So derivatives are followed through NumPy's own loops, and nothing is converted to a float.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import PYTHON_SCALARS, dtype_of, is_complex, result_dtype, shape_of
from fad.core.errors import DTypeError, ShapeError
from fad.core.trace import Tracer, concrete_value
from fad.primitives.indexing import basic_index
from fad.primitives.slicing import concatenate
from fad.primitives.structural import convert, reshape

__all__ = ["Element", "check_stays_real", "holds_values", "object_array", "stacked"]

_LARGEST = 10_000


class Element:
    """One number of a traced array, as NumPy's object arrays hold it.

    It is no sequence and no ``Array``, so that NumPy treats it as a number. Its operators give elements again, and never complex ones:
    the ``imag`` of an object array is zero to NumPy, whatever is in it.
    """

    __slots__ = ("_position", "_source")

    def __init__(self, source: Any, position: int = 0):
        self._source = source
        self._position = position

    @property
    def operand(self) -> Any:
        """The 0-d operand that the element stands for."""
        shape = shape_of(self._source)
        if not shape:
            return self._source
        place = np.unravel_index(self._position, shape)
        return basic_index(self._source, tuple(int(i) for i in place))

    def __getattr__(self, name: str) -> Any:
        # Without a dtype, NumPy's mean and std do not convert the sum of elements to a float.
        if name.startswith("__") or name == "dtype":
            raise AttributeError(f"an element of a traced array has no {name}")
        value = getattr(wrap(self.operand), name)
        if not callable(value):
            return _element(value)  # NumPy 2.5 asks each element of an object array for `real`
        return lambda *args, **keywords: _element(value(*args, **keywords))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        own = wrap(self.operand)
        return _element(own.__array_ufunc__(ufunc, method, *[_array(i) for i in inputs], **keywords))

    def __array_function__(self, function: Any, types: Any, args: Any, keywords: Any) -> Any:
        own = wrap(self.operand)
        return own.__array_function__(function, (type(own),), args, keywords)

    def __bool__(self) -> bool:
        return bool(self.operand)

    def __int__(self) -> int:
        return int(self.operand)

    def __float__(self) -> float:
        return float(self.operand)

    def __complex__(self) -> complex:
        return complex(self.operand)

    def __repr__(self) -> str:
        return f"Element<{dtype_of(self._source).name}>"

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __hash__(self) -> int:
        return hash(wrap(self.operand))


def _array(value: Any) -> Any:
    """The array that a value stands for where it is an element, else the value."""
    return wrap(value.operand) if type(value) is Element else value


def _element(value: Any) -> Any:
    """A result as NumPy's object loops should see it: traced numbers as elements, known ones as Python numbers."""
    if not isinstance(value, Array) or shape_of(value):
        return value
    if not isinstance(value, Tracer):
        return value.item()
    if is_complex(value.dtype):
        raise DTypeError(_complex_message())
    return Element(value)


def check_stays_real(x: Any) -> None:
    """Raise if ``x``, about to meet a complex number, may stand in an object array.

    NumPy keeps 0-d tracers in a list as they are, not as elements, so they must not become complex there; where exactly they are cannot be
    known, only that their trace has given some away.
    """
    if isinstance(x, Tracer) and not x.shape and getattr(x.interpreter, "scattered", False) and not is_complex(x.dtype):
        raise DTypeError(_complex_message())


def _complex_message() -> str:
    return (
        "numpy.array and numpy.asarray cannot follow complex traced values, because NumPy's object arrays have no imaginary part. Use "
        "numpy.stack([...]) or fad.numpy.array([...]) to make the array, and leave out numpy.asarray(x)."
    )


def _operator(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(self: Element, *others: Any) -> Any:
        return _element(function(wrap(self.operand), *[_array(o) for o in others]))

    return apply


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(self: Element, other: Any) -> Any:
        return _element(function(other, wrap(self.operand)))

    return apply


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and_",
    "or_",
    "xor",
    "lshift",
    "rshift",
):
    _plain = _name.rstrip("_")
    setattr(Element, f"__{_plain}__", _operator(getattr(operator, _name)))
    setattr(Element, f"__r{_plain}__", _reflected(getattr(operator, _name)))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
    setattr(Element, f"__{_name}__", _operator(getattr(operator, _name)))
for _name, _function in (("divmod", divmod), ("round", round)):
    setattr(Element, f"__{_name}__", _operator(_function))


def object_array(tracer: Any, dtype: Any = None) -> np.ndarray:
    """What a traced value gives to ``numpy.asarray``: its numbers where they are known and carry no derivative, else elements."""
    kind = tracer.dtype.kind
    if kind not in "fcV":
        value = concrete_value(tracer)
        if value is not None:
            return np.asarray(value, dtype=dtype)
        raise tracer._refuse(
            "a NumPy array (as in table[x], or numpy.asarray(x))",
            "Ways out: fad.numpy.asarray(table)[x] or numpy.take(table, x) to look up in a table of constants.",
        )
    if dtype is not None and np.dtype(dtype) != object:
        raise tracer._refuse(
            f"conversion to a NumPy array of dtype {np.dtype(dtype)}",
            "Ways out: keep computing with the array itself; x.astype(dtype) converts, numpy.stack and fad.numpy.array build arrays of\n"
            "traced values; or fad.stop_gradient(x) first if its derivative is not wanted (outside jit and vmap).",
        )
    if kind == "c":
        raise DTypeError(_complex_message())
    if not tracer.interpreter.live:
        raise tracer._refuse("numpy.asarray", "")
    if not tracer.shape:
        tracer.interpreter.scattered = True
    if tracer.size > _LARGEST:
        raise tracer._refuse(
            f"numpy.asarray of {tracer.size} numbers",
            f"NumPy would compute on them one by one, which fad allows for up to {_LARGEST}. Leave out numpy.asarray, or use fad.numpy.asarray.",
        )
    elements = np.empty(tracer.size, object)
    for k in range(tracer.size):
        elements[k] = Element(tracer, k)
    return elements.reshape(tracer.shape)


def holds_values(value: Any) -> bool:
    """Whether a NumPy array is an object array with fad values or elements in it."""
    return value.dtype == object and any(isinstance(v, Array | Element) for v in value.flat)


def stacked(values: np.ndarray) -> Any:
    """The operand that an object array of elements, fad values and numbers stands for."""
    flat = list(values.flat)
    parts: list[Any] = []
    position = 0
    while position < len(flat):
        part, count = _run(flat, position)
        parts.append(part)
        position += count
    dtype = result_dtype(*[dtype_of(p) for p in parts])
    rows = [reshape(convert(p, dtype), (math.prod(shape_of(p)),)) for p in parts]
    return reshape(concatenate(rows, 0), values.shape)


def _run(flat: Sequence[Any], start: int) -> tuple[Any, int]:
    """The operand for as many values from ``start`` on as belong together, and their number."""
    first = flat[start]
    if type(first) is Element:
        source = first._source
        size = math.prod(shape_of(source))
        run = flat[start : start + size]
        whole = all(type(v) is Element and v._source is source and v._position == k for k, v in enumerate(run))
        if whole and len(run) == size:
            return source, size
        return first.operand, 1
    if isinstance(first, Array):
        if shape_of(first):
            raise ShapeError(
                f"an object array holds an array of shape {shape_of(first)} among numbers; use numpy.stack to join arrays"
            )
        return (first if isinstance(first, Tracer) else first._buffer), 1
    count = 0
    while start + count < len(flat) and _is_number(flat[start + count]):
        count += 1
    if not count:
        raise DTypeError(
            f"an object array holds a {type(first).__name__} among traced values; fad arrays hold numbers only"
        )
    return np.asarray(flat[start : start + count]), count


def _is_number(value: Any) -> bool:
    return type(value) in PYTHON_SCALARS or isinstance(value, np.number | np.bool_)
