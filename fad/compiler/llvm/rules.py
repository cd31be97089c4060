"""Rules for elements: how one element of an operation's result comes from elements of its inputs.

A rule says which elements it needs (``sources``) and what becomes of them (``combine``). The same ``sources`` serve the analysis of access
patterns, where indices are symbolic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fad.compiler.llvm.emission import Emitter, Index, Ix, Located
from fad.compiler.llvm.scalar_value import Value
from fad.compiler.operand_types import operand_dtypes
from fad.compiler.size_classes import LARGEST_STATIC, MOST_AT_EDGE, is_small, least_size, rows_are_short
from fad.core.program import Atom, Equation, Literal
from fad.primitives.indexing import index_position

__all__ = [
    "ROW",
    "RULES",
    "Rule",
    "aligned",
    "gathered_index",
    "index_axes",
    "is_view",
    "joins_in_loops",
    "joins_rows",
    "pad_condition",
    "padded_index",
    "reads_rows",
    "rule_of",
    "whole_index",
]

ROW = LARGEST_STATIC + 1
"""Rows of so many elements are loops that fill vectors; shorter ones are written out."""
_POWERS = ("power", "float_power")
_LARGEST_EXPONENT = 64
"""Powers up to this are products, which take less time than the math library's function."""

Ixs = tuple[Ix, ...]
Sources = list[tuple[Atom, Ixs]]


class Rule(NamedTuple):
    """How one element of an operation's result comes from elements of its inputs, and for which operations."""

    sources: Callable[[Any, Equation, Ixs], Sources]
    combine: Callable[[Emitter, Equation, Ixs, list[Located]], Located]
    applies: Callable[[Equation], bool] = lambda equation: True


def rule_of(equation: Equation) -> Rule | None:
    """The rule of an operation, if it has one."""
    kernel = equation.primitive.kernel
    if callable(kernel):
        return _ELEMENTWISE
    if kernel == "concatenate" and not is_small(equation.outputs[0].aval.shape):
        return _JOINED if _joins_edges(equation) else _JOINED_ROWS if joins_rows(equation) else None
    rule = RULES.get(kernel)
    return rule if rule is not None and rule.applies(equation) else None


def _joins_edges(equation: Equation) -> bool:
    """Whether a concatenation adds a few elements to the ends of a long array; others are steps of their own."""
    sizes = [a.aval.shape[equation.params["axis"]] for a in equation.inputs]
    long = [n for n in sizes if n > MOST_AT_EDGE]
    return len(long) == 1 and sum(sizes) - long[0] <= MOST_AT_EDGE


def joins_in_loops(equation: Equation) -> bool:
    """Whether a concatenation of arrays that are not small is computed element by element."""
    return _joins_edges(equation) or joins_rows(equation)


def joins_rows(equation: Equation) -> bool:
    """Whether a concatenation is one of short rows, which are written out."""
    axis = equation.params["axis"]
    return axis > 0 and rows_are_short(equation.outputs[0].aval.shape, axis)


def reads_rows(equation: Equation) -> bool:
    """Whether a gather reads rows of memory that fill vectors; single elements here and there are read by loops of their own."""
    x, axes, out = equation.inputs[0].aval, equation.params["axes"], equation.outputs[0].aval
    return x.ndim - 1 not in axes and least_size(x.shape[-1]) >= ROW and 0 not in x.shape and 0 not in out.shape


def index_axes(indices: Sequence[Atom], axes: tuple[int, ...]) -> slice:
    """Which axes of what is gathered belong to the indices."""
    first = index_position(axes)
    return slice(first, first + max(a.aval.ndim for a in indices))


def whole_index(rest: Sequence[Ix], positions: Sequence[Ix], axes: tuple[int, ...], ndim: int) -> Ixs:
    """An index with the positions at their axes and the rest at the others."""
    others, placed = iter(rest), dict(zip(axes, positions, strict=True))
    return tuple([placed[a] if a in placed else next(others) for a in range(ndim)])


def gathered_index(equation: Equation, index: Ixs, position: Callable[[Atom, Ixs, int], Ix]) -> Ixs:
    """Where an element of what is gathered comes from; ``position`` gives the number at an element of an index array."""
    (x, *indices), axes = equation.inputs, equation.params["axes"]
    own = index_axes(indices, axes)
    found = [
        position(atom, aligned(index[own], atom.aval.shape), x.aval.shape[axis])
        for atom, axis in zip(indices, axes, strict=True)
    ]
    return whole_index((*index[: own.start], *index[own.stop :]), found, axes, x.aval.ndim)


def is_view(equation: Equation) -> bool:
    """Whether the operation only moves elements or makes them from nothing, and so costs nothing to do again."""
    return equation.primitive.kernel in _VIEWS


def aligned(index: Ixs, shape: tuple[int, ...]) -> Ixs:
    """The index into an operand of the given shape that broadcasts to the index."""
    if len(index) == len(shape) and 1 not in shape:
        return index
    lead = len(index) - len(shape)
    return tuple([0 if n == 1 else i for i, n in zip(index[lead:], shape, strict=True)])


def _broadcast_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    return [(a, aligned(index, a.aval.shape)) for a in equation.inputs]


def _elementwise(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    depth = max([emitter.floor, *[v.depth for v in values]])
    k = emitter.scopes[depth].scalar
    exponent = _whole_exponent(equation) if equation.primitive.name in _POWERS else None
    dtypes, converted = operand_dtypes(equation), values if exponent is None else values[:1]
    operands: list[Any] = [k.astype(v.value, d) for v, d in zip(converted, dtypes, strict=exponent is None)]
    if exponent is not None:
        operands.append(exponent)
    result = equation.primitive.kernel(k, *operands, **equation.params)
    return Located(k.astype(result, equation.outputs[0].aval.dtype), depth)


def _whole_exponent(equation: Equation) -> int | None:
    """The exponent of a power as a Python int, where it is one and known now."""
    atom = equation.inputs[1]
    if not isinstance(atom, Literal):
        return None
    if equation.outputs[0].aval.dtype.kind != "f" or not np.isfinite(atom.value) or abs(atom.value) > _LARGEST_EXPONENT:
        return None
    return int(atom.value) if atom.value == int(atom.value) else None


def _first(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    return values[0]


def _convert(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    value, depth = values[0].value, max(values[0].depth, emitter.floor)
    return Located(emitter.scopes[depth].scalar.astype(value, equation.outputs[0].aval.dtype), depth)


def _transpose_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    source: list[Ix] = [0] * len(index)
    for i, axis in zip(index, equation.params["axes"], strict=True):
        source[axis] = i
    return [(equation.inputs[0], tuple(source))]


def reshape_groups(source: tuple[int, ...], target: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Consecutive axes of two shapes of the same size, matched so that each group has the same number of elements."""
    groups = []
    i = j = 0
    while i < len(source) or j < len(target):
        left, right = [], []
        m = n = 1
        if i < len(source):
            left.append(i)
            m, i = source[i], i + 1
        if j < len(target) and (m != 1 or not left):
            right.append(j)
            n, j = target[j], j + 1
        while m != n:
            if m < n:
                left.append(i)
                m, i = m * source[i], i + 1
            else:
                right.append(j)
                n, j = n * target[j], j + 1
        groups.append((left, right))
    return groups


def _reshape_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    (x,) = equation.inputs
    shape, target = x.aval.shape, equation.outputs[0].aval.shape
    source: list[Ix] = [0] * len(shape)
    if 0 in shape:  # nothing is ever read
        return [(x, tuple(source))]
    for left, right in reshape_groups(shape, target):
        left = [a for a in left if shape[a] != 1]
        right = [a for a in right if target[a] != 1]
        if len(left) == 1 and len(right) == 1:
            source[left[0]] = index[right[0]]
            continue
        position: Ix = 0
        for a in right:
            position = algebra.add(algebra.multiply(position, algebra.size(target[a])), index[a])
        for a in reversed(left[1:]):
            position, source[a] = algebra.divide(position, algebra.size(shape[a]))
        if left:
            source[left[0]] = position
    return [(x, tuple(source))]


def _slice_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    starts, steps = equation.params["starts"], equation.params["steps"]
    moved = [
        algebra.add(algebra.multiply(i, algebra.size(step)), algebra.size(start))
        for i, start, step in zip(index, starts, steps, strict=True)
    ]
    return [(equation.inputs[0], tuple(moved))]


def _flip_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    shape = equation.inputs[0].aval.shape
    moved = [
        algebra.subtract(algebra.subtract(algebra.size(n), 1), i) if a in equation.params["axes"] else i
        for a, (i, n) in enumerate(zip(index, shape, strict=True))
    ]
    return [(equation.inputs[0], tuple(moved))]


def _full(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    value = equation.params["value"]
    return Located(emitter.scopes[0].scalar.constant(value, equation.outputs[0].aval.dtype), 0)


def _iota(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    (i,) = index
    depth = i.depth if isinstance(i, Index) else 0
    k = emitter.scopes[depth].scalar
    return Located(k.astype(Value(emitter.raw(i), np.dtype(np.int64)), equation.outputs[0].aval.dtype), depth)


def _nothing(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    for i in index:
        algebra.multiply(i, 2)
    return []


def _pad_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    (x,) = equation.inputs
    if 0 in x.aval.shape:
        return []
    source = []
    for i, n, (low, high, inner) in zip(index, x.aval.shape, equation.params["widths"], strict=True):
        if (low, high, inner) == (0, 0, 0):
            source.append(i)
            continue
        within = _within(algebra, i, n, low, high, inner)
        if within is False:
            return []
        moved = _spread(algebra, i, low, inner)[0] if inner else algebra.subtract(i, algebra.size(low))
        source.append(moved if within else algebra.clamped(moved, n))
    return [(x, tuple(source))]


def _spread(algebra: Any, i: Ix, low: int, inner: int) -> tuple[Ix, Ix]:
    """Which element of an axis with zeros between its elements an index is at or behind, and how far behind; the first one before it has come."""
    moved = algebra.larger(algebra.subtract(i, algebra.size(low)), 0) if low else i
    return algebra.divide(moved, algebra.size(inner + 1))


def _within(algebra: Any, i: Ix, n: int, low: int, high: int, inner: int) -> bool | None:
    """Whether an index of a padded axis is one of the array's own, where it may be taken for granted; ``None`` where it must be asked."""
    if isinstance(i, int) and max(low, n) <= LARGEST_STATIC:
        return 0 <= i - low <= (n - 1) * (inner + 1) and (i - low) % (inner + 1) == 0
    if inner:
        return None
    narrow = low <= MOST_AT_EDGE, high <= MOST_AT_EDGE
    after = algebra.add(algebra.size(low), algebra.size(n))
    if all(narrow):
        return True if algebra.inside(i, algebra.size(low), after) else None
    if n > MOST_AT_EDGE or not any(narrow):
        return None
    outside = algebra.inside(i, after, None) if narrow[0] else algebra.inside(i, None, algebra.size(low))
    return False if outside else None


def _pad(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    dtype = equation.outputs[0].aval.dtype
    if not values:
        return Located(emitter.scopes[0].scalar.constant(0, dtype), emitter.floor)
    inside, depth = pad_condition(emitter, equation, index)
    if inside is None:
        return values[0]
    depth = max(depth, values[0].depth, emitter.floor)
    k = emitter.scopes[depth].scalar
    chosen = k.builder.select(inside, values[0].value.ir, k.constant(0, dtype).ir)
    return Located(Value(chosen, dtype), depth)


def pad_condition(emitter: Emitter, equation: Equation, index: Ixs) -> tuple[Any, int]:
    """Whether an element of a padded array is one of the array's own, and the scope where that is known; ``None`` if it is for certain."""
    inside, depth = None, 0
    for i, n, (low, high, inner) in zip(index, equation.inputs[0].aval.shape, equation.params["widths"], strict=True):
        if (low, high, inner) == (0, 0, 0) or _within(emitter, i, n, low, high, inner):
            continue
        moved = emitter.subtract(i, emitter.size(low))
        conditions = [(moved, ">=", 0)]
        if inner:
            quotient, rest = _spread(emitter, i, low, inner)
            conditions += [(rest, "==", 0), (quotient, "<", emitter.size(n))]
        else:
            conditions.append((moved, "<", emitter.size(n)))
        for x, comparison, y in conditions:
            inside, depth = _and(emitter, inside, depth, x, comparison, y)
    return inside, depth


def padded_index(emitter: Emitter, equation: Equation, index: Ixs) -> Ixs:
    """Where an element of a padded array comes from, for those that are the array's own."""
    source = []
    for i, (low, _, inner) in zip(index, equation.params["widths"], strict=True):
        moved = emitter.subtract(i, emitter.size(low))
        source.append(emitter.divide(moved, emitter.size(inner + 1))[0] if inner else moved)
    return tuple(source)


def _and(emitter: Emitter, inside: Any, depth: int, x: Ix, comparison: str, y: Ix) -> tuple[Any, int]:
    """One more condition, written where the deepest index so far is known."""
    depth = max([depth, *[v.depth for v in (x, y) if isinstance(v, Index)]])
    builder = emitter.scopes[depth].builder
    holds = builder.icmp_signed(comparison, emitter.raw(x), emitter.raw(y))
    return (holds if inside is None else builder.and_(inside, holds)), depth


def _concatenate_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    """Of one part, where the index is a number and the sizes are too."""
    axis = equation.params["axis"]
    position = index[axis]
    for atom in equation.inputs:
        n = atom.aval.shape[axis]
        if position < n:  # type: ignore[operator]
            return [(atom, (*index[:axis], position, *index[axis + 1 :]))]
        position -= n  # type: ignore[operator,assignment]
    raise AssertionError("an index outside the result of concatenate")


def _joined_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    """The nearest element of every part; only that of the long one where the index is known to be inside of it."""
    axis = equation.params["axis"]
    if isinstance(index[axis], int) and equation.outputs[0].aval.shape[axis] <= LARGEST_STATIC:
        return _concatenate_sources(algebra, equation, index)
    found: Sources = []
    start: Ix = 0
    for atom in equation.inputs:
        n = atom.aval.shape[axis]
        moved = algebra.subtract(index[axis], start)
        if n > MOST_AT_EDGE and algebra.inside(moved, 0, algebra.size(n)):
            return [(atom, (*index[:axis], moved, *index[axis + 1 :]))]
        if n:
            found.append((atom, (*index[:axis], algebra.clamped(moved, n), *index[axis + 1 :])))
        start = algebra.add(start, algebra.size(n))
    return found


def _joined(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    """The element of the last part that starts at the index or before."""
    dtype = equation.outputs[0].aval.dtype
    depth = max([emitter.floor, *[v.depth for v in values]])
    if len(values) > 1:
        depth = max([depth, *[i.depth for i in index if isinstance(i, Index)]])
    k = emitter.scopes[depth].scalar
    chosen = k.astype(values[0].value, dtype)
    axis = equation.params["axis"]
    parts = [a for a in equation.inputs if a.aval.shape[axis]]
    starts: list[Ix] = [0]
    for atom in parts[: len(values) - 1]:
        starts.append(emitter.add(starts[-1], emitter.size(atom.aval.shape[axis])))
    for located, start in zip(values[1:], starts[1:], strict=True):
        here = k.builder.icmp_signed(">=", emitter.raw(index[axis]), emitter.raw(start))
        chosen = Value(k.builder.select(here, k.astype(located.value, dtype).ir, chosen.ir), dtype)
    return Located(chosen, depth)


def _row_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    """The element of one part where the index is a number, else one of each part, for a look at what is read."""
    axis = equation.params["axis"]
    if isinstance(index[axis], int) and equation.outputs[0].aval.shape[axis] != 1:
        return _concatenate_sources(algebra, equation, index)
    unknown = algebra.multiply(index[axis], 2)
    parts = [a for a in equation.inputs if a.aval.shape[axis]]
    return [(a, (*index[:axis], 0 if a.aval.shape[axis] == 1 else unknown, *index[axis + 1 :])) for a in parts]


def _gather_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    sources: Sources = []

    def position(atom: Atom, at: Ixs, size: int) -> Ix:
        sources.append((atom, at))
        return algebra.looked_up(at)

    sources.append((equation.inputs[0], gathered_index(equation, index, position)))
    return sources


_JOINED = Rule(_joined_sources, _joined)
_JOINED_ROWS = Rule(_row_sources, _convert)

_ELEMENTWISE = Rule(_broadcast_sources, _elementwise)
RULES: dict[str, Rule] = {
    "elementwise": _ELEMENTWISE,
    "broadcast": Rule(_broadcast_sources, _first),
    "identity": Rule(_broadcast_sources, _first),
    "stored": Rule(_broadcast_sources, _first),
    "convert": Rule(_broadcast_sources, _convert),
    "transpose": Rule(_transpose_sources, _first),
    "reshape": Rule(_reshape_sources, _first),
    "slice": Rule(_slice_sources, _first),
    "flip": Rule(_flip_sources, _first),
    "full": Rule(lambda algebra, equation, index: [], _full),
    "iota": Rule(_nothing, _iota),
    "pad": Rule(_pad_sources, _pad),
    "concatenate": Rule(_concatenate_sources, _convert),
    "gather": Rule(_gather_sources, _first, lambda e: e.params["mode"] == "clip" and reads_rows(e)),
}
_VIEWS = frozenset({"broadcast", "identity", "transpose", "reshape", "slice", "flip", "full", "iota"})
