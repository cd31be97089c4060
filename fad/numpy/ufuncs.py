"""NumPy's universal functions: elementwise calls with ``where`` and ``dtype``, and the methods ``reduce``, ``accumulate``, ``outer``."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import PYTHON_SCALARS, canonical_dtype, dtype_of, shape_of
from fad.core.errors import ArgumentError, ImmutableArrayError
from fad.core.primitive import Primitive
from fad.core.trace import Tracer
from fad.primitives import arithmetic, math_functions
from fad.primitives.structural import broadcast_to, convert, reshape
from fad.numpy.conversion import operands

__all__ = ["UFUNCS", "UFunc"]

UFUNCS: dict[str, UFunc] = {}


class UFunc:
    """A universal function: elementwise over broadcast arguments.

    Parameters of a call are those of NumPy's ufuncs: the arrays, and ``where`` and ``dtype`` as keywords. There is no ``out``:
    arrays are immutable.
    """

    nout = 1

    def __init__(self, name: str, primitive: Primitive, nin: int, doc: str):
        self.__name__ = name
        self.__doc__ = doc
        self.primitive = primitive
        self.bind = primitive.bind
        self.nin = nin

    def __repr__(self) -> str:
        return f"<fad ufunc {self.__name__!r}>"

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        if keywords or len(args) != self.nin:
            return self._general(args, **keywords)
        found = []
        for arg in args:
            kind = type(arg)
            if kind is Array:
                found.append(arg._buffer)
            elif isinstance(arg, Tracer) or kind in PYTHON_SCALARS:
                found.append(arg)
            else:
                found = operands(self.__name__, *args)
                break
        out = self.bind(*found)
        return out if isinstance(out, Tracer) else wrap(out)

    def _general(self, args: Any, out: Any = None, where: Any = True, dtype: Any = None, **unsupported: Any) -> Any:
        if len(args) != self.nin:
            raise ArgumentError(
                f"{self.__name__} takes {self.nin} argument{'s' if self.nin > 1 else ''}, got {len(args)}"
            )
        _refuse_out(self.__name__, out)
        _refuse_keywords(self.__name__, unsupported)
        found = operands(self.__name__, *args)
        if dtype is not None:
            found = [convert(f, canonical_dtype(dtype)) for f in found]
        result = self.bind(*found)
        if where is not True:
            condition = operands(self.__name__, where)[0]
            # NumPy leaves the other elements as they were in `out`; without one they are uninitialised. Zero is a value.
            result = arithmetic.select.bind(condition, result, dtype_of(result).type(0))
        return wrap(result)

    def outer(self, first: Any, second: Any, **keywords: Any) -> Any:
        """The function of all pairs of elements; the shape is that of ``first`` followed by that of ``second``."""
        x, y = operands(self.__name__, first, second)
        return self(wrap(reshape(x, shape_of(x) + (1,) * len(shape_of(y)))), wrap(y), **keywords)


def _refuse_out(function: str, out: Any) -> None:
    if out is not None and any(o is not None for o in (out if isinstance(out, tuple) else (out,))):
        raise ImmutableArrayError(f"{function}: out= is not supported, arrays are immutable; use the returned array")


def _refuse_keywords(function: str, keywords: dict[str, Any]) -> None:
    keywords.pop("casting", None)
    keywords.pop("order", None)
    keywords.pop("subok", None)
    if keywords:
        raise ArgumentError(f"{function} does not take {', '.join(sorted(keywords))}")


def _declare(name: str, primitive: Primitive, nin: int, text: str) -> None:
    arguments = "x" if nin == 1 else "x, y"
    doc = (
        f"{text}\n\nParameters\n----------\n{arguments} : array_like\n    Arguments, broadcast against each other.\n\n"
        f"Returns\n-------\nArray\n    Elementwise result; see ``numpy.{name}`` for dtypes and special values."
    )
    UFUNCS[name] = UFunc(name, primitive, nin, doc)


_TABLE: tuple[tuple[str, Primitive, int, str], ...] = (
    ("add", arithmetic.add, 2, "Sum."),
    ("subtract", arithmetic.subtract, 2, "Difference."),
    ("multiply", arithmetic.multiply, 2, "Product."),
    ("divide", arithmetic.divide, 2, "Quotient; of integers, in float64."),
    ("true_divide", arithmetic.divide, 2, "Quotient; of integers, in float64."),
    ("negative", arithmetic.negative, 1, "Negation."),
    ("power", math_functions.power, 2, "``x`` to the power ``y``."),
    ("sin", math_functions.sin, 1, "Sine of an angle in radians."),
    ("cos", math_functions.cos, 1, "Cosine of an angle in radians."),
    ("exp", math_functions.exp, 1, "Exponential."),
    ("log", math_functions.log, 1, "Natural logarithm."),
    ("sqrt", math_functions.sqrt, 1, "Square root."),
    ("tanh", math_functions.tanh, 1, "Hyperbolic tangent."),
    ("greater", arithmetic.greater, 2, "Whether ``x > y``."),
    ("less", arithmetic.less, 2, "Whether ``x < y``."),
)

for _entry in _TABLE:
    _declare(*_entry)

_ = (np, broadcast_to)
