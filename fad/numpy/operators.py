"""Python's operators on :class:`fad.Array` and, by inheritance, on every tracer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, is_inexact, shape_of
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.core.primitive import BinaryPrimitive
from fad.core.temporaries import LONE
from fad.core.trace import CURRENT, EVAL, Tracer
from fad.numpy.contractions import OF_WIDE_MATRICES, matmul_operands
from fad.numpy.conversion import operand
from fad.numpy.in_place import into_temporary
from fad.numpy.indexing import iterate
from fad.primitives import arithmetic, math_functions
from fad.primitives.object_arrays import Element, check_stays_real
from fad.transforms.reverse import VJPTracer

__all__ = ["install"]

_NUMBERS = frozenset(
    t for t in np.sctypeDict.values() if issubclass(t, np.number | np.bool_) and not issubclass(t, np.complexfloating)
)
_ndarray = np.ndarray
_IN_PLACE = ("+", "-", "*", "/")
_new = object.__new__
_references = getattr(sys, "getrefcount", lambda value: -1)


def _other(function: str, own: Any, value: Any) -> Any:
    """The other operand of an operator; ``NotImplemented`` where the other type should get its chance."""
    if isinstance(value, complex | np.complexfloating):
        check_stays_real(own)
        return value
    if type(value) is bool:
        return value
    if isinstance(value, Array | Element | list | tuple | np.ndarray | np.generic) or value is None:
        return operand(value, function)
    if hasattr(value, "__array__") or hasattr(value, "__dlpack__") or hasattr(value, "__cuda_array_interface__"):
        return operand(value, function)
    return NotImplemented


def _prepared(symbol: str, bind: Callable[..., Any]) -> tuple[Any, bool, int]:
    """The primitive that ``bind`` is of; whether it can be handed to the current trace without ``bind``; the reference count of temporaries."""
    primitive = getattr(bind, "__self__", None)
    return primitive, isinstance(primitive, BinaryPrimitive), LONE if symbol in _IN_PLACE else 0


def _forward(symbol: str, bind: Callable[..., Any]) -> Callable[..., Any]:
    """An operator. These are, with the reflections, the hottest lines of eager code, so nothing is factored out of them."""
    primitive, direct, lone = _prepared(symbol, bind)

    def forward(self: Any, other: Any) -> Any:
        if lone:
            left_alone, right_alone = _references(self) == lone, _references(other) == lone
            if left_alone or right_alone:
                out = into_temporary(left_alone, right_alone, primitive, self, other)
                if out is not None:
                    return out
        own = self._buffer if type(self) is Array else self
        kind = type(other)
        if kind is float:
            # A Python float yields to bfloat16 too, which NumPy does not know about.
            known = own.primal if type(own) is VJPTracer else own
            if (known if type(known) is _ndarray else own).dtype.kind == "V":
                other = own.dtype.type(other)
        elif kind is Array:
            other = other._buffer
        elif kind is _ndarray:
            if other.dtype.kind not in "fiubc" or CURRENT.get() is not EVAL:
                other = operand(other, symbol)
        elif not (kind is VJPTracer or kind is int or isinstance(other, Tracer) or kind in _NUMBERS):
            other = _other(symbol, own, other)
            if other is NotImplemented:
                return other
        out = CURRENT.get().binary(primitive, own, other) if direct else bind(own, other)
        kind = type(out)
        if kind is _ndarray:
            array = _new(Array)
            array._buffer = out
            return array
        return out if kind is VJPTracer or isinstance(out, Tracer) else wrap(out)

    return forward


def _reflected(symbol: str, bind: Callable[..., Any]) -> Callable[..., Any]:
    """An operator's reflection."""
    primitive, direct, lone = _prepared(symbol, bind)

    def reflected(self: Any, other: Any) -> Any:
        if lone:
            left_alone, right_alone = _references(other) == lone, _references(self) == lone
            if left_alone or right_alone:
                out = into_temporary(left_alone, right_alone, primitive, other, self)
                if out is not None:
                    return out
        own = self._buffer if type(self) is Array else self
        kind = type(other)
        if kind is float:
            known = own.primal if type(own) is VJPTracer else own
            if (known if type(known) is _ndarray else own).dtype.kind == "V":
                other = own.dtype.type(other)
        elif not (kind is int or isinstance(other, Tracer) or kind in _NUMBERS):
            other = _other(symbol, own, other)
            if other is NotImplemented:
                return other
        out = CURRENT.get().binary(primitive, other, own) if direct else bind(other, own)
        kind = type(out)
        if kind is _ndarray:
            array = _new(Array)
            array._buffer = out
            return array
        return out if kind is VJPTracer or isinstance(out, Tracer) else wrap(out)

    return reflected


def _binary(symbol: str, bind: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An operator and its reflection."""
    return _forward(symbol, bind), _reflected(symbol, bind)


def _matrix_product(general: Callable[..., Any]) -> Callable[..., Any]:
    """The operator ``@``, with a shorter way for two matrices."""

    def matmul(self: Any, other: Any) -> Any:
        x = self._buffer if type(self) is Array else self
        y = other._buffer if type(other) is Array else other
        if y is not other or type(y) is VJPTracer:
            known_x, known_y = x.primal if type(x) is VJPTracer else x, y.primal if type(y) is VJPTracer else y
            if type(known_x) is type(known_y) is _ndarray and known_x.ndim == 2 == known_y.ndim:
                if known_x.itemsize > 2 < known_y.itemsize:
                    out = CURRENT.get().binary(OF_WIDE_MATRICES, x, y)
                    return out if type(out) is VJPTracer else wrap(out)
        return general(self, other)

    return matmul


def _unary(bind: Callable[..., Any]) -> Callable[..., Any]:
    def apply(self: Any) -> Any:
        out = bind(self._buffer if type(self) is Array else self)
        return out if isinstance(out, Tracer) else wrap(out)

    return apply


def power_bind(x: Any, y: Any) -> Any:
    """``x ** y``, through cheaper operations for the usual constant exponents."""
    if type(y) in (int, float) and is_inexact(dtype_of(x)):
        if y == 2:
            return arithmetic.square.bind(x)
        if y == 0.5:
            return math_functions.sqrt.bind(x)
        if y == -1:
            return arithmetic.reciprocal.bind(x)
        if y == int(y) and abs(y) <= 64:
            return math_functions.integer_power.bind(x, exponent=int(y))
    return math_functions.power.bind(x, y)


_power, _reflected_power = _binary("**", power_bind)


def _pow(self: Any, other: Any, modulo: Any = None) -> Any:
    if modulo is not None:
        raise ArgumentError("pow(x, y, modulo) is not defined for arrays; use (x ** y) % modulo")
    return _power(self, other)


def _divmod(self: Any, other: Any) -> Any:
    return self // other, self % other


def _rdivmod(self: Any, other: Any) -> Any:
    return other // self, other % self


def _iterate(self: Any) -> Iterator[Any]:
    shape = shape_of(self)
    if not shape:
        raise ShapeError(f"iteration over a 0-d array: {self!r} has no axis to go along")
    return iterate(self)


def _contains(self: Any, item: Any) -> bool:
    return bool((self == item).any())


def _round(self: Any, ndigits: int | None = None) -> Any:
    return self.round(0 if ndigits is None else ndigits)


def _equal_or_false(bind: Callable[..., Any], symbol: str) -> Callable[..., Any]:
    forward, _ = _binary(symbol, bind)

    def compare(self: Any, other: Any) -> Any:
        return NotImplemented if other is None or isinstance(other, str) else forward(self, other)

    return compare


def _integers_only(symbol: str, bind: Callable[..., Any]) -> Callable[..., Any]:
    """A bitwise operation whose error says what to use for conditions."""

    def checked(x: Any, y: Any) -> Any:
        for value in (x, y):
            if dtype_of(value).kind not in "biu":
                raise DTypeError(
                    f"x {symbol} y is for integers and booleans, got {dtype_of(x)} and {dtype_of(y)}; compare first, as in (x > 0) {symbol} (y > 0)"
                )
        return bind(x, y)

    return checked


def install(functions: dict[str, Any]) -> None:
    """Give ``Array`` its operators; ``functions`` are those of :mod:`fad.numpy` by name."""
    binary = {
        "add": ("+", arithmetic.add.bind),
        "sub": ("-", arithmetic.subtract.bind),
        "mul": ("*", arithmetic.multiply.bind),
        "truediv": ("/", arithmetic.divide.bind),
        "floordiv": ("//", arithmetic.floor_divide.bind),
        "mod": ("%", arithmetic.remainder.bind),
        "and": ("&", _integers_only("&", arithmetic.bitwise_and.bind)),
        "or": ("|", _integers_only("|", arithmetic.bitwise_or.bind)),
        "xor": ("^", _integers_only("^", arithmetic.bitwise_xor.bind)),
        "lshift": ("<<", _integers_only("<<", arithmetic.bitwise_left_shift.bind)),
        "rshift": (">>", _integers_only(">>", arithmetic.bitwise_right_shift.bind)),
    }
    operators: dict[str, Any] = {}
    for name, (symbol, bind) in binary.items():
        operators[name], operators["r" + name] = _binary(symbol, bind)
    for name, primitive in (
        ("lt", arithmetic.less),
        ("le", arithmetic.less_equal),
        ("gt", arithmetic.greater),
        ("ge", arithmetic.greater_equal),
    ):
        operators[name] = _binary(name, primitive.bind)[0]
    operators["eq"] = _equal_or_false(arithmetic.equal.bind, "==")
    operators["ne"] = _equal_or_false(arithmetic.not_equal.bind, "!=")
    operators |= {
        "pow": _pow,
        "rpow": _reflected_power,
        "divmod": _divmod,
        "rdivmod": _rdivmod,
        "neg": _unary(arithmetic.negative.bind),
        "pos": _unary(arithmetic.positive.bind),
        "abs": _unary(arithmetic.absolute.bind),
        "invert": _unary(arithmetic.bitwise_invert.bind),
        "iter": _iterate,
        "contains": _contains,
        "round": _round,
        "getitem": functions["getitem"],
    }
    product, operators["rmatmul"] = _binary("@", matmul_operands)
    operators["matmul"] = _matrix_product(product)
    for name, function in operators.items():
        function.__name__ = f"__{name}__"
        function.__qualname__ = f"Array.__{name}__"
        setattr(Array, f"__{name}__", function)
