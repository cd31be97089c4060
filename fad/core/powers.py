"""Whole powers of whatever can be multiplied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["by_squaring"]


def by_squaring(multiply: Callable[[Any, Any], Any], x: Any, n: int) -> Any:
    """The product of ``n`` factors ``x``, at least one, in NumPy's order.

    Examples
    --------
    >>> from fad.core.powers import by_squaring
    >>> by_squaring(lambda a, b: f"({a}{b})", "x", 5)
    '(x((xx)(xx)))'
    """
    result = x if n & 1 else None
    while n := n >> 1:
        x = multiply(x, x)
        if n & 1:
            result = x if result is None else multiply(result, x)
    return result
