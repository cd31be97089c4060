"""Random Programs for the compiler's tests: what each drawn step computes from the values so far.

A value without ``error`` must agree to the last bit: inputs, integers, booleans, and what moves, selects or compares such values. Steps whose
results jump (floor, comparisons, sorting, casts to integers) read exact values only, so that rounding never decides between two answers.
Zeros of either sign count as equal: NumPy does not say which of them is the larger, or comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import fad
import fad.numpy as fnp

LARGEST = 4000


class Known(NamedTuple):
    """A value of the Program, and the size of one rounding error on the way to it: 0 where there is none."""

    array: Any
    error: float

    @property
    def exact(self) -> bool:
        """Whether its bits are certain."""
        return self.error == 0


Made = tuple[Any, bool] | None
"""What a step makes, and whether it is exact; ``None`` from a step that does not fit."""


class Numbers:
    """A fixed sequence of choices, read round and round."""

    def __init__(self, numbers: tuple[int, ...]):
        self._numbers, self._next = numbers, 0

    def below(self, n: int) -> int:
        """The next choice among n."""
        found = self._numbers[self._next % len(self._numbers)] + self._next // len(self._numbers)
        self._next += 1
        return found % n

    def one(self, options: Any) -> Any:
        """The next choice among options."""
        return options[self.below(len(options))]


def real(x: Any) -> bool:
    return np.dtype(x.dtype).kind == "f"


def whole(x: Any) -> bool:
    return np.dtype(x.dtype).kind in "iu"


def numeric(x: Any) -> bool:
    return np.dtype(x.dtype).kind in "fiu"


SMOOTH: list[Callable] = [
    fnp.sin,
    fnp.tanh,
    fnp.arctan,
    lambda x: fnp.exp(-fnp.abs(x)),
    lambda x: fnp.log1p(fnp.abs(x)),
    lambda x: fnp.sqrt(fnp.abs(x)),
    lambda x: x / (1.0 + x * x),
    fnp.cbrt,
    fnp.expm1,
    fnp.arcsinh,
]
PRECISE: list[Callable] = [
    fnp.negative,
    fnp.abs,
    fnp.sign,
    fnp.floor,
    fnp.ceil,
    fnp.trunc,
    fnp.rint,
    lambda x: x * 0.5,
    lambda x: fnp.minimum(x, 0.5) + 0.0,
    lambda x: fnp.maximum(0.0, x) + 0.0,
    lambda x: fnp.clip(x, -1.0, 1.0),
    lambda x: fnp.nan_to_num(x),
    lambda x: fnp.where(fnp.isnan(x), 2.0, x),
    lambda x: fnp.copysign(1.5, x),
    lambda x: fnp.heaviside(x, 0.5),
]
WHOLE: list[Callable] = [
    fnp.negative,
    fnp.abs,
    fnp.sign,
    fnp.invert,
    fnp.square,
    lambda x: x * 3,
    lambda x: x // 3,
    lambda x: x % 3,
    lambda x: x << 2,
    lambda x: x >> 1,
    lambda x: x & 5,
]
WHOLE_PAIRS: list[Callable] = [
    fnp.add,
    fnp.subtract,
    fnp.multiply,
    fnp.floor_divide,
    fnp.remainder,
    fnp.fmod,
    fnp.maximum,
    fnp.minimum,
    fnp.bitwise_and,
    fnp.bitwise_or,
    fnp.bitwise_xor,
    fnp.left_shift,
    fnp.right_shift,
    fnp.gcd,
    lambda x, y: fnp.divmod(x, y)[1],
    lambda x, y: fnp.power(x, fnp.abs(y) % 4) if x.dtype.kind == y.dtype.kind else x + y,
]
PRECISE_PAIRS: list[Callable] = [
    lambda x, y: fnp.maximum(x, y) + 0.0,
    lambda x, y: fnp.minimum(x, y) + 0.0,
    lambda x, y: fnp.fmax(x, y) + 0.0,
    lambda x, y: fnp.fmin(x, y) + 0.0,
    fnp.copysign,
    lambda x, y: fnp.where(x > y, x, y),
    lambda x, y: fnp.where(fnp.isfinite(x), y, x),
    lambda x, y: fnp.nextafter(x, y),
]
SMOOTH_PAIRS: list[Callable] = [
    fnp.add,
    fnp.subtract,
    fnp.multiply,
    lambda x, y: x / (2.0 + fnp.abs(y)),
    lambda x, y: fnp.hypot(x, y),
    lambda x, y: fnp.logaddexp(x, y),
    lambda x, y: fnp.arctan2(x, 2.0 + fnp.abs(y)),
    lambda x, y: fnp.power(1.0 + fnp.abs(x), fnp.tanh(y)),
]
COMPARISONS = [fnp.less, fnp.less_equal, fnp.equal, fnp.not_equal, fnp.greater]


def broadcastable(x: Any, y: Any) -> bool:
    shapes = zip(x.shape[::-1], y.shape[::-1], strict=False)
    return all(m == n or 1 in (m, n) for m, n in shapes) and x.size * y.size <= LARGEST * 8


def elementwise_step(v: Known, w: Known, n: Numbers) -> Made:
    x = v.array
    if whole(x):
        return (n.one(WHOLE)(x), True)
    if not real(x):
        return (fnp.logical_not(x), True)
    if v.exact and n.below(2):
        return (n.one(PRECISE)(x), True)
    return (n.one(SMOOTH)(x), False)


def pair_step(v: Known, w: Known, n: Numbers) -> Made:
    x, y = v.array, w.array
    if not broadcastable(x, y) or not (numeric(x) and numeric(y)):
        return None
    if whole(x) and whole(y):
        out = n.one(WHOLE_PAIRS)
        mixed = {x.dtype.kind, y.dtype.kind} == {"i", "u"} and 8 in (x.dtype.itemsize, y.dtype.itemsize)
        return None if mixed else (out(x, y), True)
    if whole(x) or whole(y):
        return (fnp.multiply(x, y), False)
    if v.exact and w.exact and n.below(2):
        # nextafter and the like compute in one dtype
        return (n.one(PRECISE_PAIRS)(x, y.astype(x.dtype)), True)
    return (n.one(SMOOTH_PAIRS)(x, y), False)


def compare_step(v: Known, w: Known, n: Numbers) -> Made:
    if not (v.exact and w.exact and broadcastable(v.array, w.array)):
        return None
    return (n.one(COMPARISONS)(v.array, w.array), True)


def select_step(v: Known, w: Known, n: Numbers) -> Made:
    x, y = v.array, w.array
    if not broadcastable(x, y) or x.dtype != y.dtype:
        return None
    mask = np.arange(x.shape[-1]) % 2 == n.below(2) if x.ndim else bool(n.below(2))
    return (fnp.where(mask, x, y), v.exact and w.exact)


def axes_of(x: Any, n: Numbers) -> Any:
    options: list[Any] = [None, *range(x.ndim)]
    if x.ndim > 1:
        options += [(0, x.ndim - 1), tuple(range(x.ndim)), (-1,)]
    return n.one(options)


def reduce_step(v: Known, w: Known, n: Numbers) -> Made:
    x, axis, keep = v.array, axes_of(v.array, n), bool(n.below(2))
    if x.size == 0:
        return (fnp.sum(x, axis=axis, keepdims=keep), v.exact and not real(x))
    if not real(x):
        out = n.one([fnp.sum, fnp.max, fnp.min, fnp.prod, fnp.any, fnp.all])
        return (out(x, axis=axis, keepdims=keep), True)
    if n.below(3) == 0:
        return (n.one([fnp.max, fnp.min])(x, axis=axis, keepdims=keep) + 0.0, v.exact)
    out = n.one([fnp.sum, fnp.mean, lambda x, **k: fnp.prod(fnp.tanh(x), **k), fnp.var])
    return (out(x, axis=axis, keepdims=keep), False)


def position_step(v: Known, w: Known, n: Numbers) -> Made:
    x = v.array
    if not v.exact or not x.ndim or not x.size:
        return None
    return (n.one([fnp.argmax, fnp.argmin, fnp.count_nonzero])(x, axis=n.one([None, *range(x.ndim)])), True)


def cumulative_step(v: Known, w: Known, n: Numbers) -> Made:
    x = v.array
    if not x.ndim or x.dtype.kind == "b":
        return None
    axis, kind = n.below(x.ndim), n.below(4)
    if kind == 0:
        return (fnp.cumsum(x, axis=axis), v.exact and not real(x))
    if kind == 1:
        return (fnp.maximum.accumulate(x, axis=axis) + 0, v.exact)
    if kind == 2:
        return (fnp.minimum.accumulate(x, axis=axis) + 0, v.exact)
    return (fnp.cumprod(fnp.tanh(x), axis=axis) if real(x) else fnp.cumprod(x, axis=axis), not real(x))


def move_step(v: Known, w: Known, n: Numbers) -> Made:
    x, kind = v.array, n.below(7)
    if not x.ndim:
        return (x[None], v.exact)
    axis = n.below(x.ndim)
    options: list[Callable] = [
        lambda: x.T,
        lambda: fnp.moveaxis(x, axis, 0),
        lambda: x.reshape(-1),
        lambda: x.reshape(x.shape[0], -1) if x.size else x,
        lambda: fnp.flip(x, axis),
        lambda: fnp.roll(x, n.below(12) - 3, axis),
        lambda: fnp.expand_dims(x, axis),
    ]
    return (options[kind](), v.exact)


def slice_step(v: Known, w: Known, n: Numbers) -> Made:
    x = v.array
    if not x.ndim:
        return None
    index: list[Any] = [slice(None)] * x.ndim
    axis = n.below(x.ndim)
    cuts = [slice(1, None), slice(None, None, -1), slice(None, None, 2), slice(0, 1), slice(-3, None), slice(2, 9, 3)]
    index[axis] = n.one(cuts)
    if n.below(3) == 0 and x.shape[axis]:
        index[axis] = n.below(x.shape[axis])
    return (x[tuple(index)], v.exact)


def join_step(v: Known, w: Known, n: Numbers) -> Made:
    x, y = v.array, w.array
    if not x.ndim or x.size > LARGEST:
        return None
    axis, kind = n.below(x.ndim), n.below(4)
    if (
        kind == 0
        and y.ndim == x.ndim
        and all(a == b for k, (a, b) in enumerate(zip(x.shape, y.shape, strict=True)) if k != axis)
    ):
        return (fnp.concatenate([x, y, x], axis=axis), v.exact and w.exact and x.dtype == y.dtype)
    if kind == 1:
        return (fnp.stack([x, fnp.flip(x, axis)], axis=axis), v.exact)
    if kind == 2:
        return (fnp.tile(x, 2) if x.ndim else x, v.exact)
    widths = [(0, 0)] * x.ndim
    widths[axis] = (n.below(3), n.below(11))
    return (fnp.pad(x, widths), v.exact)


def gather_step(v: Known, w: Known, n: Numbers) -> Made:
    x, y = v.array, w.array
    if not x.ndim or not x.size or not (whole(y) and y.ndim <= 2 and y.size * x.size <= LARGEST * 8):
        return None
    axis = n.below(x.ndim)
    index = y % x.shape[axis] if y.dtype.itemsize > 1 else fnp.abs(y.astype(np.int64)) % x.shape[axis]
    kind = n.below(5)
    if kind == 0:
        return (fnp.take(x, index, axis=axis), v.exact)
    if kind == 1:
        return (fnp.take(x, y, axis=axis, mode=n.one(["clip", "wrap"])), v.exact)
    moved = fnp.moveaxis(x, axis, 0)
    if kind == 2:
        return (moved[index], v.exact)
    rows = fnp.ones((*index.shape, *moved.shape[1:]), x.dtype)
    if kind == 3:
        return (moved.at[index].add(rows), v.exact and not real(x))
    return (moved.at[index].set(rows * x.dtype.type(3), mode=n.one(["raise", "drop", "clip"])), v.exact)


def sort_step(v: Known, w: Known, n: Numbers) -> Made:
    x = v.array
    if not x.ndim or not v.exact or x.dtype.kind == "b":
        return None
    axis = n.below(x.ndim)
    return (n.one([fnp.sort, lambda x, axis: fnp.argsort(x, axis=axis, stable=True)])(x, axis=axis) + 0, True)


def product_step(v: Known, w: Known, n: Numbers) -> Made:
    x, y = v.array, w.array
    if not (numeric(x) and numeric(y)) or not x.ndim or not y.ndim or real(x) != real(y):
        return None
    if x.size * y.size > 60_000:
        return None
    exact = not real(x)
    if x.shape[-1] == y.shape[-2 if y.ndim > 1 else -1] and (x.ndim < 3 or y.ndim < 3 or x.shape[:-2] == y.shape[:-2]):
        return (x @ y, exact)
    if x.ndim == y.ndim == 2 and x.shape[0] == y.shape[0]:
        return (fnp.einsum("ij,ik->jk", x, y), exact)
    if x.shape[-1] == y.shape[-1]:
        return (fnp.tensordot(x, y, axes=((-1,), (-1,))), exact)
    return None


def convert_step(v: Known, w: Known, n: Numbers) -> Made:
    x = v.array
    dtype = n.one([np.float64, np.float32, np.int64, np.int32, np.uint8, np.int16, bool, np.float16])
    if np.dtype(dtype).kind != "f" and not v.exact:
        return None
    if real(x) and np.dtype(dtype).kind in "iu":
        # What NumPy makes of numbers outside the integers' range differs between machines.
        x = fnp.clip(fnp.nan_to_num(x), -100, 100) if dtype != np.uint8 else fnp.clip(fnp.nan_to_num(x), 0, 100)
    return (x.astype(dtype), v.exact)


def scan_step(v: Known, w: Known, n: Numbers) -> Made:
    x, y = v.array, w.array
    if not x.ndim or not real(x) or x.size > 600 or not x.shape[0]:
        return None
    kind, reverse = n.below(3), bool(n.below(2))
    fixed = fnp.tanh(y) if real(y) and y.size < 50 else fnp.ones((3,), x.dtype)

    def body(carry: Any, row: Any) -> Any:
        new = fnp.tanh(carry * 0.5 + row + fnp.sum(fnp.sin(fixed)).astype(x.dtype))
        if kind == 1:
            new = fad.cond(n.below(2) == 0, lambda c: c * 0.5, lambda c: fnp.cos(c), new)
        if kind == 2:
            new = fad.while_loop(
                lambda s: s[0] < 3, lambda s: (s[0] + 1, fnp.where(s[0] > 1, s[1], s[1] * 0.75)), (0, new)
            )[1]
        return new, (new * 2, row, fixed)

    _, (ys, rows, fixeds) = fad.scan(body, x[0], x, reverse=reverse)
    return n.one([(ys, False), (rows, v.exact), (fnp.sum(fixeds, axis=0), False)])


def branch_step(v: Known, w: Known, n: Numbers) -> Made:
    x, y = v.array, w.array
    if not (w.exact and y.size):
        return None
    number = fnp.sum(fnp.isfinite(y)) % 3
    branches = [lambda x: x, lambda x: x[::-1] if x.ndim else x, lambda x: fnp.where(x > 0, x, x * 0)]
    return (fad.switch(number.astype(np.int64), branches, x) if numeric(x) else x, v.exact)


STEPS: list[Callable[[Known, Known, Numbers], Made]] = [
    elementwise_step,
    elementwise_step,
    pair_step,
    pair_step,
    pair_step,
    compare_step,
    select_step,
    reduce_step,
    reduce_step,
    position_step,
    cumulative_step,
    move_step,
    move_step,
    slice_step,
    join_step,
    gather_step,
    gather_step,
    sort_step,
    product_step,
    convert_step,
    scan_step,
    branch_step,
]

Step = tuple[int, int, int, tuple[int, ...]]


def run_steps(steps: list[Step], inputs: Any) -> list[Known]:
    """All values of a random Program; steps that do not fit are left out."""
    values = [Known(fnp.asarray(x), 0.0) for x in inputs]
    for kind, first, second, numbers in steps:
        v, w = values[-1 - first % min(len(values), 4)], values[second % len(values)]
        made = STEPS[kind % len(STEPS)](v, w, Numbers(numbers))
        if made is None or made[0].size > 8 * LARGEST or made[0].ndim > 5:
            continue
        roundings = [fnp.finfo(a.dtype).eps for a in (made[0], v.array, w.array) if real(a)]
        error = 0.0 if made[1] else max([v.error, w.error, *map(float, roundings)])
        values.append(Known(made[0], error))
    return values


def function_of(steps: list[Step]) -> Callable:
    """The function that gives all values of a random Program."""
    return lambda *inputs: [known.array for known in run_steps(steps, inputs)]


def disagreement(seen: Any, known: Known) -> str | None:
    """How a compiled value differs from the evaluated one, ``None`` if it does not."""
    seen, wanted = np.asarray(seen), np.asarray(known.array)
    if (seen.dtype, seen.shape) != (wanted.dtype, wanted.shape):
        return f"{seen.dtype}{seen.shape} instead of {wanted.dtype}{wanted.shape}"
    same = seen == wanted
    if real(wanted):
        scale = max(1.0, np.max(np.abs(wanted.astype(float)), initial=0.0, where=np.isfinite(wanted)))
        same |= np.isnan(seen) & np.isnan(wanted)
        with np.errstate(all="ignore"):
            same |= np.abs(seen.astype(float) - wanted.astype(float)) <= 3000 * known.error * scale
    return None if np.all(same) else f"{seen[~same][:5]} instead of {wanted[~same][:5]}"
