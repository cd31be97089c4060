"""The elementary draws that every distribution is made of: uniform, normal, exponential and Gumbel operands."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from fad.core.avals import bfloat16
from fad.primitives.arithmetic import maximum
from fad.primitives.math_functions import log, log1p
from fad.primitives.special import erfinv
from fad.primitives.structural import convert
from fad.random.keys import Words, random_bits

__all__ = ["between", "standard_exponential", "standard_gumbel", "standard_normal", "unit_uniform"]


def unit_uniform(words: Words, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Multiples of the machine epsilon, uniform in [0, 1): as many random bits as the mantissa has."""
    mantissa = ml_dtypes.finfo(dtype).nmant
    width = 8 if dtype == bfloat16 else dtype.itemsize * 8
    drawn = random_bits(words, shape, width)
    return convert(drawn >> drawn.dtype.type(width - mantissa), dtype) * dtype.type(2.0**-mantissa)


def between(words: Words, shape: tuple[int, ...], dtype: np.dtype, low: Any, high: Any) -> Any:
    """Uniform in [low, high); the bounds are scalars or operands of that shape, of the dtype."""
    return maximum.bind(low, unit_uniform(words, shape, dtype) * (high - low) + low)


def standard_normal(words: Words, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Normal with mean 0 and variance 1, by the inverse of the error function."""
    one = dtype.type(1)
    low = np.nextafter(-one, dtype.type(0))
    return dtype.type(math.sqrt(2)) * erfinv.bind(between(words, shape, dtype, low, one))


def standard_exponential(words: Words, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """Exponential with rate 1; 1 - u keeps the logarithm finite."""
    return -log1p.bind(-unit_uniform(words, shape, dtype))


def standard_gumbel(words: Words, shape: tuple[int, ...], dtype: np.dtype) -> Any:
    """The standard Gumbel distribution."""
    tiny = dtype.type(ml_dtypes.finfo(dtype).smallest_normal)
    return -log.bind(-log.bind(between(words, shape, dtype, tiny, dtype.type(1))))
