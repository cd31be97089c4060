"""Polynomials by their coefficients, highest power first."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, wrap
from fad.core.avals import dtype_of, inexact_dtype, is_complex, shape_of
from fad.core.errors import ArgumentError, ShapeError
from fad.numpy import calculus, joining, linalg, matrices
from fad.numpy.conversion import known_value, operand, operands, promoted
from fad.primitives import arithmetic, slicing
from fad.primitives.placing import together
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import convert, reduce_sum, reshape

__all__ = ["poly", "polyadd", "polyder", "polydiv", "polyfit", "polyint", "polymul", "polysub", "polyval", "roots"]


def _coefficients(function: str, p: Any) -> Any:
    x = operand(p, function)
    if len(shape_of(x)) > 1:
        raise ShapeError(f"{function}: coefficients must be a vector, got shape {shape_of(x)}")
    return reshape(convert(x, dtype_of(x)), (1,)) if not shape_of(x) else x


def polyval(p: Any, x: Any) -> Array:
    """The value of a polynomial, by Horner's scheme.

    Parameters
    ----------
    p : array_like
        Coefficients, highest power first.
    x : array_like
        The points.

    Returns
    -------
    Array
        Of the shape of ``x``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.polyval([1.0, 0.0, -1.0], 3.0)
    Array(8.)
    """
    coefficients, points = together((_coefficients("polyval", p), operand(x, "polyval")))
    value: Any = arithmetic.multiply.bind(points, 0)
    for k in range(shape_of(coefficients)[0]):
        value = value * points + reshape(slice_axis(coefficients, 0, k, k + 1), ())
    return wrap(value)


def _aligned(function: str, a1: Any, a2: Any) -> tuple[Any, Any]:
    """Coefficient vectors of one length, zeros in front of the shorter."""
    x, y = _coefficients(function, a1), _coefficients(function, a2)
    x, y = promoted(function, x, y)
    size = max(shape_of(x)[0], shape_of(y)[0])
    return tuple(slicing.pad(v, ((size - shape_of(v)[0], 0, 0),)) for v in (x, y))  # type: ignore[return-value]


def polyadd(a1: Any, a2: Any) -> Array:
    """The sum of two polynomials.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.polyadd([1, 2], [3])
    Array([1, 5])
    """
    return wrap(arithmetic.add.bind(*_aligned("polyadd", a1, a2)))


def polysub(a1: Any, a2: Any) -> Array:
    """The difference of two polynomials.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.polysub([1, 2], [3])
    Array([ 1, -1])
    """
    return wrap(arithmetic.subtract.bind(*_aligned("polysub", a1, a2)))


def polymul(a1: Any, a2: Any) -> Array:
    """The product of two polynomials.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.polymul([1, 1], [1, -1])
    Array([ 1,  0, -1])
    """
    return calculus.convolve(_coefficients("polymul", a1), _coefficients("polymul", a2))


def polydiv(u: Any, v: Any) -> tuple[Array, Array]:
    """Quotient and remainder of two polynomials; the remainder has fewer coefficients than the divisor.

    Parameters
    ----------
    u, v : array_like
        Coefficients of dividend and divisor, highest power first.

    Returns
    -------
    quotient, remainder : Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.polydiv([1.0, 0.0, -1.0], [1.0, 1.0])
    (Array([ 1., -1.]), Array([0.]))
    """
    x, y = promoted("polydiv", _coefficients("polydiv", u), _coefficients("polydiv", v))
    kind = inexact_dtype(dtype_of(x))
    x, y = convert(x, kind), convert(y, kind)
    n, m = shape_of(x)[0], shape_of(y)[0]
    if n < m:
        return wrap(np.zeros(1, kind)), wrap(x)
    rest, quotients = x, []
    lead = slice_axis(y, 0, 0, 1)
    for _ in range(n - m + 1):
        factor = slice_axis(rest, 0, 0, 1) / lead
        quotients.append(factor)
        rest = rest - slicing.pad(y * factor, ((0, shape_of(rest)[0] - m, 0),))
        rest = slice_axis(rest, 0, 1, shape_of(rest)[0])
    remainder = rest if shape_of(rest)[0] else np.zeros(1, kind)
    return wrap(slicing.concatenate(quotients, 0)), wrap(remainder)


def polyder(p: Any, m: int = 1) -> Array:
    """The ``m``-th derivative of a polynomial.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.polyder([1, 2, 3])
    Array([2, 2])
    """
    if m < 0:
        raise ArgumentError(f"polyder: the order m must not be negative, got {m}")
    x = _coefficients("polyder", p)
    for _ in range(int(m)):
        size = shape_of(x)[0]
        x = arithmetic.multiply.bind(slice_axis(x, 0, 0, max(size - 1, 0)), np.arange(size - 1, 0, -1))
    return wrap(x)


def polyint(p: Any, m: int = 1, k: Any = None) -> Array:
    """The ``m``-th antiderivative of a polynomial, with the integration constants ``k`` (0 by default).

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.polyint([2.0, 2.0])
    Array([1., 2., 0.])
    """
    if m < 0:
        raise ArgumentError(f"polyint: the order m must not be negative, got {m}")
    x = _coefficients("polyint", p)
    constants = _coefficients("polyint", 0 if k is None else k)
    if shape_of(constants)[0] not in (1, m):
        raise ShapeError(f"polyint: {shape_of(constants)[0]} integration constants but order {m}")
    for n in range(int(m)):
        constant = slice_axis(constants, 0, n % shape_of(constants)[0], n % shape_of(constants)[0] + 1)
        grown = arithmetic.divide.bind(x, np.arange(shape_of(x)[0], 0, -1))
        x = slicing.concatenate(promoted("polyint", grown, constant), 0)
    return wrap(x)


def poly(seq_of_zeros: Any) -> Array:
    """The polynomial with leading coefficient 1 and the given roots, or the characteristic polynomial of a matrix.

    Parameters
    ----------
    seq_of_zeros : array_like
        Roots, or a square matrix.

    Returns
    -------
    Array
        Coefficients, highest power first.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.poly([1.0, -1.0])
    Array([ 1.,  0., -1.])
    """
    zeros = operand(seq_of_zeros, "poly")
    shape = shape_of(zeros)
    if len(shape) == 2:
        if shape[0] != shape[1] or not shape[0]:
            raise ShapeError(f"poly takes roots or a square matrix, got shape {shape}")
        matrix_is_real = not is_complex(dtype_of(zeros))
        result = operand(poly(linalg.eigvals(zeros)), "poly")
        return wrap(arithmetic.real.bind(result) if matrix_is_real and is_complex(dtype_of(result)) else result)
    if len(shape) > 1:
        raise ShapeError(f"poly takes roots or a square matrix, got shape {shape}")
    zeros = reshape(zeros, (1,)) if not shape else zeros
    kind = inexact_dtype(dtype_of(zeros))
    result = np.ones(1, kind)
    for k in range(shape_of(zeros)[0]):
        root = convert(slice_axis(zeros, 0, k, k + 1), kind)
        grown = slicing.pad(arithmetic.multiply.bind(result, root), ((1, 0, 0),))
        result = arithmetic.subtract.bind(slicing.pad(result, ((0, 1, 0),)), grown)
    return wrap(result)


def roots(p: Any) -> Array:
    """The roots of a polynomial, as eigenvalues of its companion matrix.

    How many there are depends on which coefficients are zero, so these must be known: it works eagerly, also under ``grad``.

    Parameters
    ----------
    p : array_like
        Coefficients, highest power first.

    Returns
    -------
    Array
        The roots, complex where NumPy's are.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.sort(fnp.roots([1.0, -3.0, 2.0]))
    Array([1., 2.])
    """
    x = _coefficients("roots", p)
    filled = np.flatnonzero(known_value(x, "roots", "the coefficients"))
    if not len(filled):
        return wrap(np.zeros(0))
    trailing = shape_of(x)[0] - int(filled[-1]) - 1
    x = slice_axis(x, 0, int(filled[0]), int(filled[-1]) + 1)
    x = convert(x, inexact_dtype(dtype_of(x)))
    degree = shape_of(x)[0] - 1
    if not degree:
        return wrap(np.zeros(trailing))
    first_row = -slice_axis(x, 0, 1, degree + 1) / slice_axis(x, 0, 0, 1)
    below = np.eye(degree - 1, degree, dtype=dtype_of(x))
    companion = slicing.concatenate([reshape(first_row, (1, degree)), below], 0)
    found = linalg.eigvals(companion)
    values = known_value(operand(found), "roots", "the roots")
    if is_complex(values.dtype) and not is_complex(dtype_of(x)) and not values.imag.any():
        found = wrap(arithmetic.real.bind(operand(found)))
    return joining.concatenate([found, np.zeros(trailing, dtype_of(operand(found)))]) if trailing else found


def polyfit(x: Any, y: Any, deg: int, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False) -> Any:
    """The polynomial that fits points best in the least-squares sense.

    Parameters
    ----------
    x : array_like
        Points, of shape ``(n,)``.
    y : array_like
        Values, of shape ``(n,)`` or ``(n, k)``.
    deg : int
        The degree.
    rcond : float, optional
        Relative cutoff of singular values.
    full : bool
        Whether to give what the least-squares solver gives.
    w : array_like, optional
        Weights of the residuals.
    cov : bool or 'unscaled'
        Whether to give the covariance of the coefficients.

    Returns
    -------
    Array of shape ``(deg + 1,)`` or ``(deg + 1, k)``, highest power first; a tuple with ``full`` or ``cov``

    Raises
    ------
    ShapeError
        If the lengths differ or there are no points.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.round(fnp.polyfit([0.0, 1.0, 2.0], [1.0, 3.0, 5.0], 1), 6)
    Array([2., 1.])
    """
    points, values = operands("polyfit", x, y)
    points, values = (convert(v, inexact_dtype(dtype_of(v))) for v in (points, values))
    if len(shape_of(points)) != 1 or not 1 <= len(shape_of(values)) <= 2 or shape_of(points)[0] != shape_of(values)[0]:
        raise ShapeError(f"polyfit: points of shape {shape_of(points)} do not fit values of shape {shape_of(values)}")
    order = int(deg) + 1
    design = operand(matrices.vander(points, order), "polyfit")
    target = values
    if w is not None:
        weights = operand(w, "polyfit")
        design = design * reshape(weights, (shape_of(weights)[0], 1))
        target = target * reshape(weights, shape_of(weights) + (1,) * (len(shape_of(values)) - 1))
    scale = operand(linalg.norm(design, axis=0), "polyfit")
    cutoff = shape_of(points)[0] * np.finfo(dtype_of(points)).eps if rcond is None else rcond
    solution, residuals, rank, singular = linalg.lstsq(design / scale, target, cutoff)
    column = reshape(scale, (order,) + (1,) * (len(shape_of(values)) - 1))
    coefficients = wrap(operand(solution) / column)
    if full:
        return coefficients, residuals, rank, singular, cutoff
    if not cov:
        return coefficients
    base = operand(linalg.inv(wrap(design / scale).T @ wrap(design / scale)), "polyfit")
    base = base / (reshape(scale, (order, 1)) * reshape(scale, (1, order)))
    if cov == "unscaled":
        return coefficients, wrap(base)
    freedom = shape_of(points)[0] - order
    if freedom <= 0:
        raise ShapeError(
            f"polyfit: cov=True needs more points than coefficients, got {shape_of(points)[0]} and {order}"
        )
    misfit = operand(wrap(design) @ coefficients) - target
    variance = reduce_sum(misfit * misfit, (0,)) / freedom
    return coefficients, wrap(
        base * variance if len(shape_of(values)) == 1 else reshape(base, (order, order, 1)) * variance
    )
