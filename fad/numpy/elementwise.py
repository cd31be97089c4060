"""Elementwise functions that are no ufuncs: complex parts, rounding, bounds, choices, special values."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import (
    aval_of,
    dtype_of,
    inexact_dtype,
    is_bfloat16,
    is_complex,
    is_inexact,
    result_dtype,
    shape_of,
    weak_operand,
)
from fad.core.errors import ArgumentError, DTypeError
from fad.numpy.conversion import known_value, operand, operands, refuse_out, zero_like
from fad.primitives import arithmetic, math_functions
from fad.primitives.arithmetic import select as choose_bind
from fad.primitives.structural import broadcast_to, convert

__all__ = [
    "angle",
    "around",
    "clip",
    "fix",
    "imag",
    "nan_to_num",
    "piecewise",
    "real",
    "real_if_close",
    "round",
    "select",
    "sinc",
    "where",
]


# --- complex parts and rounding ----------------------------------------------------------------------------------------------------------


def real(val: Any) -> Array:
    """The real part.

    Parameters
    ----------
    val : array_like
        Real or complex values.

    Returns
    -------
    Array
        Real; the values themselves where they are real.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.real([1 + 2j, 3.0])
    Array([1., 3.])
    """
    x = operand(val, "real")
    return wrap(arithmetic.real.bind(x) if is_complex(dtype_of(x)) else x)


def imag(val: Any) -> Array:
    """The imaginary part; zeros for real values.

    Parameters
    ----------
    val : array_like
        Real or complex values.

    Returns
    -------
    Array
        Real.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.imag([1 + 2j, 3.0])
    Array([2., 0.])
    """
    return wrap(arithmetic.imag.bind(operand(val, "imag")))


def angle(z: Any, deg: bool = False) -> Array:
    """The argument of complex numbers, in (-pi, pi].

    Parameters
    ----------
    z : array_like
        Real or complex values.
    deg : bool
        Whether to give degrees.

    Returns
    -------
    Array
        Real.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.angle(1j, deg=True)
    Array(90.)
    """
    x = operand(z, "angle")
    if is_complex(dtype_of(x)):
        out = math_functions.arctan2.bind(arithmetic.imag.bind(x), arithmetic.real.bind(x))
    else:
        x = convert(x, np.dtype(np.int64)) if dtype_of(x).kind == "b" else x
        out = math_functions.arctan2.bind(zero_like(x), x)
    return wrap(convert(out * (180 / math.pi), dtype_of(out)) if deg else out)


def real_if_close(a: Any, tol: float = 100) -> Array:
    """The real part where all imaginary parts are negligible, else the values.

    The dtype depends on the values, so it needs them known: it works eagerly, also under ``grad``.

    Parameters
    ----------
    a : array_like
        The values.
    tol : float
        Imaginary parts up to ``tol`` times the machine epsilon are negligible; below 1 an absolute bound.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.real_if_close([1 + 1e-16j, 2.0])
    Array([1., 2.])
    """
    x = operand(a, "real_if_close")
    if not is_complex(dtype_of(x)):
        return wrap(x)
    bound = tol * np.finfo(dtype_of(x)).eps if tol > 1 else tol
    small = bool(np.all(np.abs(known_value(x, "real_if_close", "a").imag) < bound))
    return wrap(arithmetic.real.bind(x) if small else x)


def round(a: Any, decimals: int = 0, out: Any = None) -> Array:
    """Rounded to a number of decimals, halves to even; the derivative is 0.

    Parameters
    ----------
    a : array_like
        The values.
    decimals : int
        How many decimals; negative for tens, hundreds, ...

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.round([1.26, 2.5], 1)
    Array([1.3, 2.5])
    """
    refuse_out("round", out)
    x = operand(a, "round")
    dtype = dtype_of(x)
    if not is_inexact(dtype) and decimals >= 0:
        return wrap(convert(x, dtype))
    if is_complex(dtype):
        parts = [operand(round(p.bind(x), decimals)) for p in (arithmetic.real, arithmetic.imag)]
        return wrap(convert(parts[0] + 1j * parts[1], dtype))
    if decimals == 0:
        return wrap(arithmetic.rint.bind(x))
    scale = 10.0 ** abs(decimals)
    if is_bfloat16(dtype):
        scale = dtype.type(scale)
    if not is_inexact(dtype):
        x = convert(x, np.dtype(np.float64))
    rounded = arithmetic.rint.bind(x * scale) / scale if decimals > 0 else arithmetic.rint.bind(x / scale) * scale
    return wrap(convert(rounded, dtype))


def around(a: Any, decimals: int = 0, out: Any = None) -> Array:
    """The same as :func:`round`.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.around(1.5)
    Array(2.)
    """
    return round(a, decimals, out)


def fix(x: Any, out: Any = None) -> Array:
    """The integer part, as :func:`trunc`; the derivative is 0.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fix([1.7, -1.7])
    Array([ 1., -1.])
    """
    refuse_out("fix", out)
    return wrap(arithmetic.trunc.bind(operand(x, "fix")))


# --- bounds and special values -----------------------------------------------------------------------------------------------------------


_missing = object()


def clip(
    a: Any, a_min: Any = _missing, a_max: Any = _missing, out: Any = None, *, min: Any = _missing, max: Any = _missing
) -> Array:
    """Values below the lower bound replaced by it, values above the upper bound by that.

    Parameters
    ----------
    a : array_like
        The values.
    a_min, a_max : array_like, optional
        The bounds, ``None`` for no bound; they may be traced.
    min, max : array_like, optional
        Other names of the bounds.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If a bound is given under both names.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.clip([-1.0, 0.5, 3.0], 0, 1)
    Array([0. , 0.5, 1. ])
    """
    refuse_out("clip", out)
    if (a_min is not _missing or a_max is not _missing) and (min is not _missing or max is not _missing):
        raise ArgumentError("clip: give the bounds as a_min and a_max or as min and max, not both")
    low = a_min if a_min is not _missing else min
    high = a_max if a_max is not _missing else max
    x = operand(a, "clip")
    low, high = _within(low, x), _within(high, x)
    if low is not None and low is not _missing:
        x = arithmetic.maximum.bind(*operands("clip", x, low))
    if high is not None and high is not _missing:
        x = arithmetic.minimum.bind(*operands("clip", x, high))
    return wrap(x)


def _within(bound: Any, x: Any) -> Any:
    """A bound; a Python integer that the integers ``x`` cannot reach as the nearest that they can, as NumPy does in ``clip`` alone."""
    if type(bound) is not int or dtype_of(x).kind not in "iu" or isinstance(x, int):
        return bound
    limits = np.iinfo(dtype_of(x))
    return builtins.min(builtins.max(bound, int(limits.min)), int(limits.max))


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Array:
    """NaN and infinities replaced by numbers.

    Parameters
    ----------
    x : array_like
        The values.
    copy : bool
        For compatibility.
    nan : scalar
        What replaces NaN.
    posinf, neginf : scalar, optional
        What replaces the infinities; the largest and the smallest number of the dtype by default.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.nan_to_num([float("nan"), 1.0])
    Array([0., 1.])
    """
    value = operand(x, "nan_to_num")
    dtype = dtype_of(value)
    if not is_inexact(dtype):
        return wrap(convert(value, dtype))
    if is_complex(dtype):
        parts = [
            operand(nan_to_num(p.bind(value), copy, nan, posinf, neginf)) for p in (arithmetic.real, arithmetic.imag)
        ]
        return wrap(convert(parts[0] + 1j * parts[1], dtype))
    limits = np.finfo(np.float32) if is_bfloat16(dtype) else np.finfo(dtype)
    value = choose_bind.bind(arithmetic.isnan.bind(value), dtype.type(nan), value)
    value = choose_bind.bind(
        arithmetic.equal.bind(value, np.inf), dtype.type(limits.max if posinf is None else posinf), value
    )
    return wrap(
        choose_bind.bind(
            arithmetic.equal.bind(value, -np.inf), dtype.type(limits.min if neginf is None else neginf), value
        )
    )


def sinc(x: Any) -> Array:
    """``sin(pi x) / (pi x)``, 1 at 0; its Taylor series next to 0, so that all derivatives are right there.

    Parameters
    ----------
    x : array_like
        The values.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.sinc([0.0, 0.5])
    Array([1.        , 0.63661977])
    """
    value = operand(x, "sinc")
    dtype = inexact_dtype(dtype_of(value))
    y = convert(value, dtype) * math.pi
    near = arithmetic.less.bind(arithmetic.absolute.bind(y), 0.1)
    squared = arithmetic.square.bind(choose_bind.bind(near, y, 0.0))
    series: Any = 1.0
    for k in range(6, 0, -1):
        series = 1 - squared / (2 * k * (2 * k + 1)) * series
    away = choose_bind.bind(near, 1.0, y)
    return wrap(convert(choose_bind.bind(near, series, math_functions.sin.bind(away) / away), dtype))


# --- choices -----------------------------------------------------------------------------------------------------------------------------


def condition_operand(value: Any, function: str) -> Any:
    """A condition as booleans: other numbers are true where they are not zero."""
    found = operand(value, function)
    return found if dtype_of(found).kind == "b" else arithmetic.not_equal.bind(found, 0)


def where(condition: Any, x: Any = _missing, y: Any = _missing, /) -> Any:
    """Elements of ``x`` where the condition holds, else of ``y``.

    What is not chosen has no influence: its derivative is zero even where it is NaN or infinite.

    Parameters
    ----------
    condition : array_like of bool
        The condition. Alone, the result is that of :func:`nonzero`.
    x, y : array_like, optional
        The choices.

    Returns
    -------
    Array, or tuple of Array where only the condition is given

    Raises
    ------
    ArgumentError
        If only one choice is given.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fnp.where([True, False], 1.0, 2.0)
    Array([1., 2.])
    >>> fad.grad(lambda x: fnp.where(x > 0, fnp.sqrt(x), 0.0))(0.0)
    Array(0.)
    """
    if x is _missing and y is _missing:
        mask = known_value(operand(condition, "where"), "where", "the condition")
        return tuple(wrap(i) for i in np.nonzero(mask))
    if x is _missing or y is _missing:
        raise ArgumentError("where takes a condition alone, or a condition and two choices")
    chosen, other = operands("where", x, y)
    return wrap(choose_bind.bind(condition_operand(condition, "where"), chosen, other))


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Array:
    """Elements of the choice whose condition is the first to hold.

    Parameters
    ----------
    condlist : sequence of array_like of bool
        The conditions.
    choicelist : sequence of array_like
        The choices, one for each condition.
    default : array_like
        The choice where no condition holds.

    Returns
    -------
    Array

    Raises
    ------
    ArgumentError
        If the numbers of conditions and choices differ, or there are none.
    DTypeError
        If a condition is not boolean.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> x = fnp.arange(4)
    >>> fnp.select([x < 1, x > 2], [x - 10, x + 10])
    Array([-10,   0,   0,  13])
    """
    if len(condlist) != len(choicelist) or not condlist:
        raise ArgumentError(
            f"select: {len(condlist)} conditions and {len(choicelist)} choices; there must be as many, at least one"
        )
    choices = operands("select", *choicelist, default)
    dtype = result_dtype(*[weak_operand(c) for c in choices])
    result = convert(choices.pop(), dtype)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        mask = operand(condition, "select")
        if dtype_of(mask).kind != "b":
            raise DTypeError(f"select: conditions must be boolean, got {aval_of(mask)}")
        result = choose_bind.bind(mask, convert(choice, dtype), result)
    return wrap(result)


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Array:
    """Functions of ``x``, each where its condition holds; where several hold, the last one.

    Parameters
    ----------
    x : array_like
        The points.
    condlist : sequence of array_like of bool
        The conditions.
    funclist : sequence of callable or scalar
        Elementwise functions, one for each condition, and possibly one more for the rest (0 otherwise). Each is evaluated at all points.
    *args, **kw
        Further arguments of the functions.

    Returns
    -------
    Array
        Of the dtype of ``x``.

    Raises
    ------
    ArgumentError
        If the numbers of conditions and functions do not fit.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> x = fnp.array([-1.0, 2.0])
    >>> fnp.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v**2])
    Array([1., 4.])
    """
    value = operand(x, "piecewise")
    single = not isinstance(condlist, list | tuple) or (
        len(shape_of(value)) > 0 and not shape_of(operand(condlist[0], "piecewise"))
    )
    masks = [condition_operand(c, "piecewise") for c in ([condlist] if single else condlist)]
    functions = list(funclist)
    rest: Any = 0
    if len(functions) == len(masks) + 1:
        rest = functions.pop()
    if len(functions) != len(masks):
        raise ArgumentError(
            f"piecewise: {len(masks)} conditions need {len(masks)} or {len(masks) + 1} functions, got {len(funclist)}"
        )
    with np.errstate(all="ignore"):
        result = _piece(value, rest, args, kw)
        for mask, function in zip(masks, functions, strict=True):
            result = choose_bind.bind(mask, _piece(value, function, args, kw), result)
    return wrap(result)


def _piece(x: Any, function: Any, args: Any, kw: Any) -> Any:
    """The values of one piece at all points, in the dtype of the points."""
    value = operand(function(wrap(x), *args, **kw) if callable(function) else function, "piecewise")
    return broadcast_to(convert(value, dtype_of(x)), shape_of(x))
