"""Elementary functions that give complex results outside their real domain, as ``numpy.emath``.

The dtype of the result depends on the values, so these must be known: the functions work eagerly, also under ``grad``. Inside ``jit`` and
``vmap`` convert to complex first, which makes the result complex always.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, inexact_dtype, is_complex
from fad.numpy.conversion import known_value, operand
from fad.primitives import math_functions
from fad.primitives.structural import convert

__all__ = ["arccos", "arcsin", "arctanh", "log", "log2", "log10", "logn", "power", "sqrt"]


def _in_domain(x: Any, function: str, inside: Callable[[np.ndarray], Any]) -> Any:
    """The operand, complex if some value is outside the real domain."""
    found = operand(x, function)
    found = convert(found, inexact_dtype(dtype_of(found)))
    if is_complex(dtype_of(found)) or np.all(inside(known_value(found, f"emath.{function}", "x"))):
        return found
    return convert(found, np.result_type(dtype_of(found), np.complex64))


def _not_negative(values: np.ndarray) -> Any:
    return ~(values < 0)


def _within_one(values: np.ndarray) -> Any:
    return ~(np.abs(values) > 1)


def sqrt(x: Any) -> Array:
    """Square root, complex where a value is negative.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.sqrt(-4.0)
    Array(0.+2.j)
    """
    return wrap(math_functions.sqrt.bind(_in_domain(x, "sqrt", _not_negative)))


def log(x: Any) -> Array:
    """Natural logarithm, complex where a value is negative.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.log(-1.0).imag
    Array(3.14159265)
    """
    return wrap(math_functions.log.bind(_in_domain(x, "log", _not_negative)))


def log2(x: Any) -> Array:
    """Logarithm to base 2, complex where a value is negative.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.log2(8.0)
    Array(3.)
    """
    return wrap(math_functions.log2.bind(_in_domain(x, "log2", _not_negative)))


def log10(x: Any) -> Array:
    """Logarithm to base 10, complex where a value is negative.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.log10(100.0)
    Array(2.)
    """
    return wrap(math_functions.log10.bind(_in_domain(x, "log10", _not_negative)))


def logn(n: Any, x: Any) -> Array:
    """Logarithm to base ``n``, complex where a value is negative.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.logn(2.0, 8.0)
    Array(3.)
    """
    return log(x) / log(n)


def power(x: Any, p: Any) -> Array:
    """``x`` to the power ``p``, complex where a base is negative.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.power(4.0, 0.5)
    Array(2.)
    """
    return wrap(math_functions.power.bind(_in_domain(x, "power", _not_negative), operand(p, "power")))


def arccos(x: Any) -> Array:
    """Inverse cosine, complex where a magnitude is above 1.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.arccos(1.0)
    Array(0.)
    """
    return wrap(math_functions.arccos.bind(_in_domain(x, "arccos", _within_one)))


def arcsin(x: Any) -> Array:
    """Inverse sine, complex where a magnitude is above 1.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.arcsin(0.0)
    Array(0.)
    """
    return wrap(math_functions.arcsin.bind(_in_domain(x, "arcsin", _within_one)))


def arctanh(x: Any) -> Array:
    """Inverse hyperbolic tangent, complex where a magnitude is above 1.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.emath.arctanh(0.0)
    Array(0.)
    """
    return wrap(math_functions.arctanh.bind(_in_domain(x, "arctanh", _within_one)))
