"""The counter-based generator Threefry-2x32 with 20 rounds, from which all random numbers come.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): the rounds, rotations and key schedule.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray
from fad.core.errors import DTypeError
from fad.core.samples import Operand, case
from fad.primitives.elementwise_rules import elementwise

__all__ = ["threefry2x32"]

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA  # the word that the third key word is made with
MASK = 0xFFFFFFFF
FEW = 8  # results that Python's integers make faster than arrays do
BLOCK = 16384  # elements per pass: three words of each fit in a second-level cache


def _schedule(k0: Any, k1: Any, k2: Any) -> list[tuple[Any, Any, int]]:
    """The key words added after every fourth round, with the number of the addition; the third word is k0 ^ k1 ^ PARITY."""
    words = (k0, k1, k2)
    return [(words[i % 3], words[(i + 1) % 3], i) for i in range(1, 6)]


def _encrypt_block(xp: Any, x0: Any, x1: Any, k0: Any, k1: Any) -> None:
    """Encrypt arrays of counter words in place."""
    spare = xp.empty_like(x1)
    x0 += k0
    x1 += k1
    for first, second, count in _schedule(k0, k1, k0 ^ k1 ^ np.uint32(PARITY)):
        for rotation in ROTATIONS[(count - 1) % 2]:
            x0 += x1
            xp.right_shift(x1, np.uint32(32 - rotation), out=spare)
            xp.left_shift(x1, np.uint32(rotation), out=x1)
            x1 |= spare
            x1 ^= x0
        x0 += first
        x1 += second
        x1 += np.uint32(count)


def _encrypt_word(k0: int, k1: int, x0: int, x1: int) -> int:
    """Encrypt one counter with Python's integers, which are faster than arrays for a few."""
    x0, x1 = (x0 + k0) & MASK, (x1 + k1) & MASK
    for first, second, count in _schedule(k0, k1, k0 ^ k1 ^ PARITY):
        for rotation in ROTATIONS[(count - 1) % 2]:
            x0 = (x0 + x1) & MASK
            x1 = ((x1 << rotation) & MASK | x1 >> (32 - rotation)) ^ x0
        x0, x1 = (x0 + first) & MASK, (x1 + second + count) & MASK
    return x0 << 32 | x1


def _threefry_impl(xp: Any, k0: Any, k1: Any, c0: Any, c1: Any) -> Any:
    shape = np.broadcast_shapes(*[np.shape(a) for a in (k0, k1, c0, c1)])
    size = math.prod(shape)
    words = [_flat_or_single(xp, w, shape) for w in (k0, k1, c0, c1)]
    if size <= FEW and xp is np:
        rows = zip(*[w.tolist() * (size if w.size == 1 else 1) for w in words])
        out = np.array([_encrypt_word(*row) for row in rows], np.uint64)
        return out.reshape(shape) if shape else out[0]
    out = xp.empty(size, np.uint64)
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        keys, counters = ([w if w.size == 1 else w[start:stop] for w in pair] for pair in (words[:2], words[2:]))
        x0, x1 = (xp.empty(stop - start, np.uint32) for _ in range(2))
        x0[...], x1[...] = counters
        _encrypt_block(xp, x0, x1, *keys)
        block = out[start:stop]
        block[...] = x0
        block <<= np.uint64(32)
        block |= x1
    return out.reshape(shape) if shape else out[0]


def _flat_or_single(xp: Any, word: Any, shape: tuple[int, ...]) -> Any:
    word = xp.asarray(word)
    return word.reshape(1) if word.size == 1 else xp.broadcast_to(word, shape).reshape(-1)


def _threefry_dtype(*avals: ShapedArray) -> np.dtype:
    if any(a.dtype != np.uint32 for a in avals):
        raise DTypeError(f"threefry2x32 takes four uint32 words, got {', '.join(map(str, avals))}")
    return np.dtype(np.uint64)


def _threefry_kernel(k: Any, k0: Any, k1: Any, c0: Any, c1: Any) -> Any:
    x0, x1 = k.add(c0, k0), k.add(c1, k1)
    k2 = k.bitwise_xor(k.bitwise_xor(k0, k1), PARITY)
    for first, second, count in _schedule(k0, k1, k2):
        for rotation in ROTATIONS[(count - 1) % 2]:
            x0 = k.add(x0, x1)
            rotated = k.bitwise_or(k.left_shift(x1, rotation), k.right_shift(x1, 32 - rotation))
            x1 = k.bitwise_xor(rotated, x0)
        x0, x1 = k.add(x0, first), k.add(k.add(x1, second), count)
    return k.bitwise_or(k.left_shift(k.astype(x0, np.uint64), 32), k.astype(x1, np.uint64))


def _word(*shape: int) -> Operand:
    return Operand(shape, "uint32", 0, 2**32)


threefry2x32 = elementwise(
    "threefry2x32",
    impl=_threefry_impl,
    partials=None,
    arity=4,
    dtype=_threefry_dtype,
    kernel=_threefry_kernel,
    samples=[
        case(_word(), _word(), _word(), _word(7)),
        case(_word(), _word(), _word(2, 3), _word(2, 3)),
        case(_word(2, 1), _word(2, 1), _word(), _word(3)),
        case(_word(), _word(), _word(), _word()),
        case(_word(), _word(), _word(), _word(0)),
        case(_word(1), _word(1), _word(1), _word(1)),
        case(_word(), _word(), _word(), _word(BLOCK + 3)),
    ],
    doc="The key (k0, k1) and the counter (c0, c1) encrypted: the two words of the result as one, the first in the upper half.",
)
