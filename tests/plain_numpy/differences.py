"""Numerical Jacobians of plain NumPy functions: central differences with Richardson extrapolation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

STEP = 2e-3
LEVELS = 4


@dataclass(frozen=True)
class Jacobian:
    """Derivatives of the output along every real coordinate of every primal.

    Attributes
    ----------
    value
        The output as an array.
    columns
        One array per primal of shape ``primal.shape + value.shape``: the derivative along the real axis.
    imaginary_columns
        The same along the imaginary axis, or None for a real primal.
    error
        Largest difference between the last two extrapolations, relative to the largest derivative or 1.
    bend
        Largest jump of the slope across the point, relative likewise: large at a kink.
    """

    value: np.ndarray
    columns: tuple[np.ndarray, ...]
    imaginary_columns: tuple[np.ndarray | None, ...]
    error: float
    bend: float

    def gradient(self, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """Gradient of ``sum(real(weights * output))``; for complex primals d/dx - i d/dy, the convention of fad."""
        axes = self.value.ndim
        result = []
        for along_real, along_imaginary in zip(self.columns, self.imaginary_columns, strict=True):
            gradient = np.tensordot(along_real, weights, axes).real
            if along_imaginary is not None:
                gradient = gradient - 1j * np.tensordot(along_imaginary, weights, axes).real
            result.append(gradient)
        return tuple(result)

    def push(self, tangents: tuple[np.ndarray, ...]) -> np.ndarray:
        """Derivative of the output along `tangents`, one for every primal."""
        total = np.zeros_like(self.value)
        for tangent, along_real, along_imaginary in zip(tangents, self.columns, self.imaginary_columns, strict=True):
            tangent = np.asarray(tangent)
            total = total + np.tensordot(tangent.real, along_real, tangent.ndim)
            if along_imaginary is not None:
                total = total + np.tensordot(tangent.imag, along_imaginary, tangent.ndim)
        return total


def numerical_jacobian(function: Callable[..., Any], primals: tuple[Any, ...]) -> Jacobian:
    """Differentiate ``function(*primals)`` numerically along every coordinate (Richardson 1911, steps halved)."""
    value = np.asarray(function(*primals))
    columns, imaginary_columns, errors, bends = [], [], [0.0], [0.0]
    for position, primal in enumerate(primals):
        point = np.asarray(primal)

        def shifted(index: tuple[int, ...], by: complex, position: int = position, point: np.ndarray = point) -> Any:
            moved = point.copy()
            moved[index] += by
            args = list(primals)
            args[position] = moved if isinstance(args[position], np.ndarray) else moved.item()
            return np.asarray(function(*args))

        directions = [1.0, 1j] if point.dtype.kind == "c" else [1.0]
        found = []
        for direction in directions:
            block = np.zeros(point.shape + value.shape, value.dtype)
            for index in np.ndindex(point.shape):
                step = STEP * direction * max(1.0, float(abs(point[index])))
                block[index], error, bend = _extrapolate(shifted, index, step, value)
                errors.append(error)
                bends.append(bend)
            found.append(block)
        columns.append(found[0])
        imaginary_columns.append(found[1] if len(found) == 2 else None)
    return Jacobian(value, tuple(columns), tuple(imaginary_columns), max(errors), max(bends))


def _extrapolate(
    shifted: Callable[..., np.ndarray], index: tuple[int, ...], step: complex, value: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Return the derivative along one coordinate, its error estimate and the bend of the function there."""
    size = abs(step)
    previous: list[np.ndarray] = []
    for level in range(LEVELS):
        scale = 0.5**level
        above, below = shifted(index, step * scale), shifted(index, -step * scale)
        row = [(above - below) / (2 * size * scale)]
        for order, coarse in enumerate(previous, start=1):
            row.append(row[-1] + (row[-1] - coarse) / (4.0**order - 1))
        error_row, previous = previous, row
    largest = max(1.0, float(np.max(np.abs(row[-1]), initial=0.0)))
    error = float(np.max(np.abs(row[-1] - error_row[-1]), initial=0.0)) / largest
    small = 1e-3
    jump = (shifted(index, step * small) - 2 * value + shifted(index, -step * small)) / (size * small)
    return row[-1], error, float(np.max(np.abs(jump), initial=0.0)) / largest
