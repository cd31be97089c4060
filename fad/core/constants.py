"""Arrays that a Program reads as constants, each kept once.

A NumPy array is copied wherever a traced function uses it, since its owner may write into it at any time; ``loss(p)``, ``grad(loss)(p)`` and
each turn of an unrolled loop would so read arrays of their own, and common subexpressions of them would not be seen as such.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

__all__ = ["DistinctArrays"]

_SAMPLED = 64


class DistinctArrays:
    """Arrays with a value for each, found again by the bits of their elements: signed zeros and NaN payloads apart.

    Examples
    --------
    >>> import numpy as np
    >>> from fad.core.constants import DistinctArrays
    >>> seen = DistinctArrays()
    >>> seen.first(np.zeros(3), "a"), seen.first(np.zeros(3), "b"), seen.first(-np.zeros(3), "c")
    ('a', 'a', 'c')
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[Hashable, list[tuple[np.ndarray, Any]]] = {}

    def first(self, array: Any, value: Any) -> Any:
        """The value that came with the first array equal to this one; other memory than NumPy's is equal to nothing."""
        if not isinstance(array, np.ndarray) or array.dtype.hasobject or not array.flags.c_contiguous:
            return value
        flat = array.reshape(-1)
        # Few elements tell nearly all different arrays apart, and none are compared again whose every element is among them.
        step = max(1, flat.size // _SAMPLED)
        alike = self._values.setdefault((array.shape, array.dtype, flat[::step].tobytes()), [])
        for other, found in alike:
            if step == 1 or other is array or _same_bits(other, array):
                return found
        alike.append((array, value))
        return value


def _same_bits(first: np.ndarray, second: np.ndarray) -> bool:
    width = np.uint64 if first.nbytes % 8 == 0 else np.uint8
    return bool((first.reshape(-1).view(width) == second.reshape(-1).view(width)).all())
