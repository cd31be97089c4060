"""Numerical derivatives by central differences, and the comparisons that the checks share.

A *flat function* takes and gives lists of buffers or tracers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import host_buffer
from fad.core.avals import bfloat16, is_inexact
from fad.core.errors import FadError

__all__ = [
    "CheckError",
    "as_host",
    "default_step",
    "default_tolerance",
    "describe_difference",
    "directional_derivative",
    "pairing",
    "random_direction",
    "rounding_tolerance",
]

FlatFunction = Callable[..., list[Any]]

# Relative error to expect of a derivative checked by fourth-order differences in the dtype itself.
_TOLERANCES = {
    "float64": 1e-6,
    "complex128": 1e-6,
    "float32": 2e-3,
    "complex64": 2e-3,
    "float16": 0.05,
    "bfloat16": 0.3,
}


class CheckError(FadError, AssertionError):
    """A check of :mod:`fad.testing` found a wrong derivative, shape, dtype or value."""


def as_host(x: Any) -> np.ndarray:
    """A NumPy array of a buffer or ``Array``."""
    return host_buffer(getattr(x, "_buffer", x))


def _precision(dtypes: Sequence[np.dtype]) -> np.dtype:
    """The least precise floating dtype among ``dtypes``."""
    inexact = [d for d in dtypes if is_inexact(d)]
    return max(inexact, key=lambda d: _TOLERANCES[d.name]) if inexact else np.dtype(np.float64)


def _epsilon(dtype: np.dtype) -> float:
    return 2.0**-7 if dtype == bfloat16 else float(np.finfo(dtype).eps)


def default_tolerance(dtypes: Sequence[np.dtype]) -> float:
    """Relative and absolute tolerance for derivatives of values with these dtypes."""
    return _TOLERANCES[_precision(dtypes).name]


def rounding_tolerance(dtypes: Sequence[np.dtype]) -> float:
    """Tolerance for two computations that differ in the order of their roundings only."""
    return 256 * _epsilon(_precision(dtypes))


def default_step(dtypes: Sequence[np.dtype]) -> float:
    """Step that balances truncation, O(h^4), and rounding, O(eps / h)."""
    return 0.3 * _epsilon(_precision(dtypes)) ** 0.2


def random_direction(generator: np.random.Generator, like: np.ndarray) -> np.ndarray:
    """A direction in which every element moves by between a half and one, so that none is overlooked."""

    def signed() -> np.ndarray:
        return generator.uniform(0.5, 1.0, like.shape) * generator.choice([-1.0, 1.0], like.shape)

    value = signed() + 1j * signed() if like.dtype.kind == "c" else signed()
    return np.asarray(value).astype(like.dtype)


def _moved(x: np.ndarray, direction: np.ndarray, step: float) -> np.ndarray:
    # A step below the rounding of a large element would be lost.
    largest = float(np.max(np.abs(x), initial=0.0)) if x.size else 0.0
    if math.isfinite(largest) and largest * _epsilon(x.dtype) * 4 > abs(step):
        raise CheckError(
            f"finite differences with step {abs(step):.1e} are too coarse for elements as large as {largest:.1e} in {x.dtype}; "
            "pass a larger eps or scale the arguments"
        )
    return x + direction * np.asarray(step).astype(x.real.dtype if x.dtype.kind == "c" else x.dtype)


def directional_derivative(
    function: FlatFunction, point: Sequence[np.ndarray], direction: Sequence[np.ndarray], step: float
) -> list[np.ndarray]:
    """Derivative of a flat function along a direction: central differences with steps h and h/2, extrapolated (Richardson)."""

    def central(h: float) -> list[np.ndarray]:
        ahead = function(*[_moved(x, d, h) for x, d in zip(point, direction, strict=True)])
        behind = function(*[_moved(x, d, -h) for x, d in zip(point, direction, strict=True)])
        return [_widened(a) / (2 * h) - _widened(b) / (2 * h) for a, b in zip(ahead, behind, strict=True)]

    with np.errstate(all="ignore"):
        coarse, fine = central(step), central(step / 2)
        return [(4 * f - c) / 3 for c, f in zip(coarse, fine, strict=True)]


def _widened(x: Any) -> np.ndarray:
    x = as_host(x)
    return x.astype(np.complex128 if x.dtype.kind == "c" else np.float64)


def pairing(cotangents: Sequence[Any], tangents: Sequence[Any]) -> tuple[float, float]:
    """The real part of the sum of products (fad's pairing for complex numbers), and the sum of their magnitudes."""
    total, magnitude = 0.0, 0.0
    for ct, t in zip(cotangents, tangents, strict=True):
        products = (_widened(ct) * _widened(t)).real
        total += float(products.sum())
        magnitude += float(np.abs(products).sum())
    return total, magnitude


def describe_difference(
    seen: Any, expected: Any, rtol: float, atol: float, names: tuple[str, str], check_dtype: bool = False
) -> str | None:
    """What differs between two arrays beyond the tolerance, or ``None``; NaN equals NaN."""
    seen, expected = as_host(seen), as_host(expected)
    if seen.shape != expected.shape:
        return f"{names[0]} has shape {seen.shape}, {names[1]} has shape {expected.shape}"
    if check_dtype and seen.dtype != expected.dtype:
        return f"{names[0]} has dtype {seen.dtype}, {names[1]} has dtype {expected.dtype}"
    wide_seen, wide_expected = (x if x.dtype.kind in "biu" else _widened(x) for x in (seen, expected))
    close = np.isclose(wide_seen, wide_expected, rtol=rtol, atol=atol, equal_nan=True)
    if close.all():
        return None
    with np.errstate(all="ignore"):
        gap = np.where(
            close,
            0.0,
            np.abs(
                np.subtract(wide_seen, wide_expected, dtype=wide_seen.dtype if wide_seen.dtype.kind == "c" else float)
            ),
        )
    worst = np.unravel_index(int(np.argmax(np.where(np.isnan(gap), np.inf, gap))), gap.shape)
    where = f" at index {tuple(int(i) for i in worst)}" if worst else ""
    count = int(np.size(close) - np.count_nonzero(close))
    return (
        f"{names[0]} {wide_seen[worst]!s} and {names[1]} {wide_expected[worst]!s}{where} differ by {gap[worst]:.3g}; allowed is "
        f"{atol:.1g} + {rtol:.1g} * |{names[1]}| ({count} of {np.size(close)} elements differ)"
    )
