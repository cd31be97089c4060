"""What the code knows of a size: its value if it is small, else only which class it belongs to.

Code is shared by all sizes of the same classes. So what is decided while it is written may depend on :func:`least_size` and :func:`most_size`
alone, and on whether a size is ``OWN_CODE``, never on the size itself: a loop that assumed the length it was first compiled for would leave its arrays
for a shorter one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from functools import lru_cache

__all__ = [
    "LARGEST_STATIC",
    "LONG",
    "MOST_AT_EDGE",
    "MOST_REGISTERS",
    "OWN_CODE",
    "is_small",
    "least_size",
    "most_size",
    "rows_are_short",
    "size_class",
]

LARGEST_STATIC = 16
"""Sizes up to this are compiled in; larger ones are arguments of the code."""

OWN_CODE = 32
"""A size that shares its code with no other, as it is the length of many short rows, and loops over rows of just so many vectors are faster."""

MOST_AT_EDGE = 8
"""Up to so many elements are an edge of the array beside them, which loops read where they lie."""

LONG = 128
"""Loops of so many turns are long: it decides how loops are fused."""

MOST_REGISTERS = 16
"""A value of at most so many elements, all of its sizes tiny, is kept in registers."""

_TINY = 8
_MOST_IN_ROW = 32

_MANY = 2048

_BOUNDS = (LARGEST_STATIC + 1, LONG, _MANY)
"""The first size of each class: enough to fill any vector register, long, worth much code."""

_UNBOUNDED = 1 << 40


def size_class(n: int) -> int:
    """The class of a size above ``LARGEST_STATIC``."""
    return 0 if n == OWN_CODE else bisect_right(_BOUNDS, n)


def least_size(n: int) -> int:
    """The smallest size that shares its code with size ``n``.

    Of ``OWN_CODE`` it is that of the sizes around it: so loops that do not ask for it are the same as theirs, and compiled once.
    """
    return n if n <= LARGEST_STATIC else _BOUNDS[bisect_right(_BOUNDS, n) - 1]


def most_size(n: int) -> int:
    """A bound of the sizes that share their code with size ``n``."""
    if n <= LARGEST_STATIC:
        return n
    number = bisect_right(_BOUNDS, n)
    return _BOUNDS[number] - 1 if number < len(_BOUNDS) else _UNBOUNDED


@lru_cache(4096)
def is_small(shape: tuple[int, ...], most: int = MOST_REGISTERS) -> bool:
    """Whether a value of this shape is kept in registers, one for each element."""
    return all(type(n) is int and n <= _TINY for n in shape) and math.prod(shape) <= most


@lru_cache(4096)
def rows_are_short(shape: tuple[int, ...], lead: int) -> bool:
    """Whether an array holds few elements, of a known number, for each of many indices of its first ``lead`` axes; not if they fill vectors."""
    rest = shape[lead:]
    if not all(n <= LARGEST_STATIC for n in rest) or math.prod(rest) > _MOST_IN_ROW:
        return False
    if lead == 0:
        return True
    fills_vectors = bool(rest) and rest[-1] >= 8 and rest[-1] % 4 == 0
    many = shape[lead - 1] > LARGEST_STATIC and math.prod(map(least_size, shape[:lead])) >= _MANY
    return many and not fills_vectors
