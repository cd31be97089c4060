"""NumPy's universal functions: elementwise calls with ``where`` and ``dtype``, and the methods ``reduce``, ``accumulate``, ``outer``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import aval_of, canonical_dtype, dtype_name, dtype_of, is_bfloat16, shape_of
from fad.core.errors import ArgumentError, DTypeError, ImmutableArrayError
from fad.core.primitive import BinaryPrimitive, UnaryPrimitive
from fad.core.trace import CURRENT, Tracer
from fad.numpy import ufunc_composites, ufunc_methods
from fad.numpy.conversion import operand, operands, refuse_out
from fad.primitives import arithmetic, math_functions
from fad.primitives.structural import convert, reshape
from fad.transforms.reverse import VJPTracer

__all__ = ["UFUNCS", "UFunc"]

UFUNCS: dict[str, UFunc] = {}


class UFunc:
    """A universal function: elementwise over broadcast arguments.

    Parameters of a call are those of NumPy's ufuncs: the arrays, and ``where`` and ``dtype`` as keywords. There is no ``out``:
    arrays are immutable.

    Attributes
    ----------
    nin, nout : int
        How many arrays go in and come out.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.add([1.0, 2.0], 1)
    Array([2., 3.])
    >>> fnp.multiply.outer([1, 2], [3, 4])
    Array([[3, 4],
           [6, 8]])
    """

    def __init__(self, name: str, bind: Callable[..., Any], nin: int, nout: int, doc: str):
        self.__name__ = name
        self.__qualname__ = name
        self.__doc__ = doc
        self.bind = bind
        primitive = getattr(bind, "__self__", None)
        self.primitive = primitive if isinstance(primitive, UnaryPrimitive | BinaryPrimitive) else None
        self.nin = nin
        self.nout = nout

    def __repr__(self) -> str:
        return f"<fad ufunc {self.__name__!r}>"

    def __reduce__(self) -> Any:
        return _by_name, (self.__name__,)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Apply the function elementwise to broadcast arguments."""
        if keywords or len(args) != self.nin:
            return self._general(args, **keywords)
        return _wrap_results(self.bind(*operands(self.__name__, *args)))

    def _general(self, args: Any, out: Any = None, where: Any = True, dtype: Any = None, **others: Any) -> Any:
        if len(args) != self.nin:
            plural = "s" if self.nin > 1 else ""
            raise ArgumentError(f"{self.__name__} takes {self.nin} argument{plural}, got {len(args)}")
        refuse_out(self.__name__, out)
        refuse_keywords(self.__name__, others)
        found = operands(self.__name__, *args)
        if dtype is not None:
            found = [self._computed_in(f, canonical_dtype(dtype)) for f in found]
        result = self.bind(*found)
        if where is not True:
            condition = operand(where, self.__name__)
            # NumPy leaves the other elements uninitialised without `out`; zero is a value.
            chosen = [
                arithmetic.select.bind(condition, r, dtype_of(r).type(0))
                for r in (result if self.nout > 1 else [result])
            ]
            result = tuple(chosen) if self.nout > 1 else chosen[0]
        return _wrap_results(result)

    def _computed_in(self, x: Any, dtype: np.dtype) -> Any:
        """An argument in the dtype that was asked for, if that is of the same kind, as NumPy wants it."""
        given, wanted = (np.dtype(np.float32) if is_bfloat16(d) else d for d in (dtype_of(x), dtype))
        if not aval_of(x).weak and not np.can_cast(given, wanted, "same_kind"):
            raise DTypeError(
                f"{self.__name__}: dtype={dtype_name(dtype)} does not take {aval_of(x)}, whose values need not fit; convert it first with x.astype(...)"
            )
        return convert(x, dtype)

    def outer(self, first: Any, second: Any, **keywords: Any) -> Any:
        """The function of all pairs of elements; the shape is that of ``first`` followed by that of ``second``."""
        self._need_binary("outer")
        x, y = operands(self.__name__, first, second)
        return self(reshape(x, shape_of(x) + (1,) * len(shape_of(y))), y, **keywords)

    def reduce(
        self,
        array: Any,
        axis: Any = 0,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
        initial: Any = None,
        where: Any = True,
    ) -> Any:
        """The function applied between all elements along ``axis``."""
        self._need_binary("reduce")
        refuse_out(f"{self.__name__}.reduce", out)
        return wrap(ufunc_methods.reduce(self, array, axis, dtype, keepdims, initial, where))

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """Every partial result of :meth:`reduce` along ``axis``."""
        self._need_binary("accumulate")
        refuse_out(f"{self.__name__}.accumulate", out)
        return wrap(ufunc_methods.accumulate(self, array, axis, dtype))

    def reduceat(self, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """:meth:`reduce` of the slices that start at the (concrete) ``indices``."""
        self._need_binary("reduceat")
        refuse_out(f"{self.__name__}.reduceat", out)
        return wrap(ufunc_methods.reduceat(self, array, indices, axis, dtype))

    def at(self, array: Any, indices: Any, *values: Any) -> Any:
        """Refused: arrays are immutable."""
        raise ImmutableArrayError(
            f"{self.__name__}.at writes into its first argument, and fad arrays are immutable. Use y = x.at[indices].add(values) "
            "(or .set, .mul, .min, .max), which gives a new array."
        )

    def _need_binary(self, method: str) -> None:
        if self.nin != 2 or self.nout != 1:
            raise ArgumentError(f"{self.__name__}.{method} does not exist: it is for functions of two arguments")


def _by_name(name: str) -> UFunc:
    return UFUNCS[name]


class _Unary(UFunc):
    """A function of one argument, called without detours."""

    def __call__(self, x: Any, /, *rest: Any, **keywords: Any) -> Any:
        """Apply the function elementwise."""
        if rest or keywords:
            return self._general((x, *rest), **keywords)
        if type(x) is Array:
            x = x._buffer
        elif not isinstance(x, Tracer):
            x = operand(x, self.__name__)
        out = self.bind(x) if self.primitive is None else CURRENT.get().unary(self.primitive, x)
        return out if type(out) is VJPTracer else wrap(out)


class _Binary(UFunc):
    """A function of two arguments, called without detours where both are arrays."""

    def __call__(self, x: Any, y: Any = None, /, *rest: Any, **keywords: Any) -> Any:
        """Apply the function elementwise to broadcast arguments."""
        if rest or keywords or y is None:
            return self._general((x, y, *rest) if y is not None else (x,), **keywords)
        if type(x) is VJPTracer and (
            type(y) is VJPTracer or (type(y) is float and type(x.primal) is np.ndarray and x.primal.dtype.kind != "V")
        ):
            pass  # what is differentiated, most of what is called under grad
        elif type(x) is float:
            x, y = operands(self.__name__, x, y)  # a float yields to bfloat16
        else:
            x = x if isinstance(x, Tracer) else operand(x, self.__name__)
            if type(y) is not float:
                y = y if isinstance(y, Tracer) else operand(y, self.__name__)
            elif is_bfloat16(dtype := dtype_of(x)):
                y = dtype.type(y)
        out = self.bind(x, y) if self.primitive is None else CURRENT.get().binary(self.primitive, x, y)
        return out if type(out) is VJPTracer else wrap(out)


def _wrap_results(out: Any) -> Any:
    return tuple(wrap(o) for o in out) if type(out) is tuple else wrap(out)


def refuse_keywords(function: str, keywords: dict[str, Any]) -> None:
    """Drop keywords that mean nothing for immutable arrays and raise for unknown ones."""
    unknown = sorted(keywords.keys() - {"casting", "order", "subok"})
    if unknown:
        raise ArgumentError(f"{function} does not take {', '.join(unknown)}")


_EXAMPLE_ARGUMENTS = {
    **dict.fromkeys(
        ["bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "gcd", "lcm"], "6, 2"
    ),
    **dict.fromkeys(["bitwise_invert", "bitwise_count"], "6"),
    "arccosh": "2.0",
    "ldexp": "0.5, 2",
}


def _declare(name: str, bind: Any, nin: int, text: str, nout: int = 1) -> None:
    arguments = "x" if nin == 1 else "x, y"
    results = "Array" if nout == 1 else "tuple of Array"
    doc = (
        f"{text}\n\nParameters\n----------\n{arguments} : array_like\n    Arguments, broadcast against each other.\n"
        "where : array_like of bool, optional\n    Where to compute; the result is zero elsewhere.\n"
        "dtype : dtype, optional\n    The dtype to compute in.\n\n"
        f"Returns\n-------\n{results}\n    Elementwise result; see ``numpy.{name}`` for dtypes and special values."
        f"\n\nExamples\n--------\n>>> import fad.numpy as fnp\n>>> result = fnp.{name}({_EXAMPLE_ARGUMENTS.get(name, '0.5, 2.0'[: 3 + 5 * (nin - 1)])})\n"
    )
    kind = UFunc if nout > 1 else _Unary if nin == 1 else _Binary
    UFUNCS[name] = kind(name, getattr(bind, "bind", bind), nin, nout, doc)


_UNARY = {
    "negative": "Negation.",
    "positive": "The argument itself.",
    "absolute": "Absolute value; its derivative at 0 is 0.",
    "sign": "Sign; ``z / |z|`` for complex values.",
    "rint": "Nearest integer, halves to even.",
    "floor": "Largest integer not above the argument.",
    "ceil": "Smallest integer not below the argument.",
    "trunc": "Integer part.",
    "conjugate": "Complex conjugate.",
    "square": "Square.",
    "reciprocal": "``1 / x``.",
    "exp": "Exponential.",
    "exp2": "``2**x``.",
    "expm1": "``exp(x) - 1``, exact for small arguments.",
    "log": "Natural logarithm.",
    "log2": "Logarithm to base 2.",
    "log10": "Logarithm to base 10.",
    "log1p": "``log(1 + x)``, exact for small arguments.",
    "sqrt": "Square root.",
    "cbrt": "Cube root.",
    "sin": "Sine of an angle in radians.",
    "cos": "Cosine of an angle in radians.",
    "tan": "Tangent of an angle in radians.",
    "arcsin": "Inverse sine.",
    "arccos": "Inverse cosine.",
    "arctan": "Inverse tangent.",
    "sinh": "Hyperbolic sine.",
    "cosh": "Hyperbolic cosine.",
    "tanh": "Hyperbolic tangent.",
    "arcsinh": "Inverse hyperbolic sine.",
    "arccosh": "Inverse hyperbolic cosine.",
    "arctanh": "Inverse hyperbolic tangent.",
    "fabs": "Absolute value as a floating-point number.",
    "deg2rad": "Degrees to radians.",
    "rad2deg": "Radians to degrees.",
    "isfinite": "Whether neither infinite nor NaN.",
    "isinf": "Whether infinite.",
    "isnan": "Whether NaN.",
    "signbit": "Whether the sign bit is set.",
    "spacing": "Distance to the next representable number.",
    "logical_not": "Whether the argument is zero.",
    "bitwise_invert": "Bits inverted.",
    "bitwise_count": "Number of one bits of the absolute value.",
}
_BINARY = {
    "add": "Sum.",
    "subtract": "Difference.",
    "multiply": "Product.",
    "divide": "Quotient; of integers, in float64.",
    "floor_divide": "Quotient rounded down.",
    "remainder": "Remainder with the sign of the divisor, as Python's ``%``.",
    "fmod": "Remainder with the sign of the dividend, as C's ``fmod``.",
    "power": "``x`` to the power ``y``.",
    "float_power": "``x`` to the power ``y``, in float64 or complex128.",
    "maximum": "Larger value; NaN wins. Equal arguments share the derivative.",
    "minimum": "Smaller value; NaN wins. Equal arguments share the derivative.",
    "fmax": "Larger value; a number wins over NaN.",
    "fmin": "Smaller value; a number wins over NaN.",
    "arctan2": "Angle of the point with ordinate ``x`` and abscissa ``y``.",
    "hypot": "``sqrt(x**2 + y**2)``; its derivative at the origin is 0.",
    "logaddexp": "``log(exp(x) + exp(y))``.",
    "logaddexp2": "``log2(2**x + 2**y)``.",
    "copysign": "Magnitude of ``x`` with the sign of ``y``.",
    "heaviside": "Step: 0 below zero, 1 above, ``y`` at zero.",
    "ldexp": "``x * 2**y`` for integers ``y``.",
    "nextafter": "The next number after ``x`` towards ``y``.",
    "gcd": "Greatest common divisor of integers.",
    "lcm": "Least common multiple of integers.",
    "equal": "Whether ``x == y``.",
    "not_equal": "Whether ``x != y``.",
    "less": "Whether ``x < y``.",
    "less_equal": "Whether ``x <= y``.",
    "greater": "Whether ``x > y``.",
    "greater_equal": "Whether ``x >= y``.",
    "logical_and": "Whether both are non-zero.",
    "logical_or": "Whether one is non-zero.",
    "logical_xor": "Whether exactly one is non-zero.",
    "bitwise_and": "Bits set in both.",
    "bitwise_or": "Bits set in one or both.",
    "bitwise_xor": "Bits set in exactly one.",
    "bitwise_left_shift": "Bits of ``x`` shifted left by ``y``.",
    "bitwise_right_shift": "Bits of ``x`` shifted right by ``y``.",
}
_ALIASES = {
    "abs": "absolute",
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "conj": "conjugate",
    "degrees": "rad2deg",
    "invert": "bitwise_invert",
    "bitwise_not": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "mod": "remainder",
    "pow": "power",
    "radians": "deg2rad",
    "right_shift": "bitwise_right_shift",
    "true_divide": "divide",
}


def _implementation(name: str) -> Any:
    for module in (ufunc_composites, arithmetic, math_functions):
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(name)


for _name, _text in _UNARY.items():
    _declare(_name, _implementation(_name), 1, _text)
for _name, _text in _BINARY.items():
    _declare(_name, _implementation(_name), 2, _text)
_declare("divmod", ufunc_composites.divmod, 2, "Quotient rounded down, and remainder.", nout=2)
_declare("modf", ufunc_composites.modf, 1, "Fractional and integer part.", nout=2)
_declare("frexp", ufunc_composites.frexp, 1, "Mantissa in [0.5, 1) and binary exponent.", nout=2)
for _name, _target in _ALIASES.items():
    UFUNCS[_name] = UFUNCS[_target]
