"""Rules for reductions over small windows and their transposes, so that they join loops with what stands before and after them.

The transposes read, too: an element of the input asks each window that it may belong to for its share. Where windows do not overlap that is
one window.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import Emitter, Index, Ix, Located
from fad.compiler.llvm.reductions import identity_of
from fad.compiler.llvm.rules import Ixs, Rule, Sources
from fad.compiler.llvm.scalar_value import Value
from fad.compiler.size_classes import LARGEST_STATIC
from fad.core.program import Equation

__all__ = ["WINDOW_RULES"]

_MOST_ELEMENTS = 64


def _applies(equation: Equation) -> bool:
    """Whether the windows are small enough to be written out, and their elements of a dtype that kernels add and compare."""
    window, dtype = equation.params["window"], equation.inputs[0].aval.dtype
    small = all(n <= LARGEST_STATIC for n in window) and math.prod(window) <= _MOST_ELEMENTS
    return small and dtype.kind in "iuf" and dtype.itemsize > 2


class _Condition:
    """A condition on indices: always true until something is required."""

    def __init__(self, emitter: Emitter, depth: int):
        self.emitter, self.depth = emitter, depth
        self.bit: ir.Value | None = None

    def require(self, x: Ix, comparison: str, y: Ix) -> None:
        """One more comparison."""
        if isinstance(x, int) and isinstance(y, int):
            bit: Any = ir.Constant(ir.IntType(1), int(_HOLDS[comparison](x, y)))
        else:
            self.depth = max([self.depth, *[v.depth for v in (x, y) if isinstance(v, Index)]])
            builder = self.emitter.scopes[self.depth].builder
            bit = builder.icmp_signed(comparison, self.emitter.raw(x), self.emitter.raw(y))
        self.require_bit(bit)

    def require_bit(self, bit: ir.Value) -> None:
        """One more condition that is known at this depth."""
        builder = self.emitter.scopes[self.depth].builder
        self.bit = bit if self.bit is None else builder.and_(self.bit, bit)

    def choose(self, value: Value, other: Any) -> Value:
        """The value where the condition holds, else the other one."""
        if self.bit is None:
            return value
        k = self.emitter.scopes[self.depth].scalar
        return Value(k.builder.select(self.bit, value.ir, k.constant(other, value.dtype).ir), value.dtype)


_HOLDS = {">=": lambda x, y: x >= y, "<": lambda x, y: x < y, "==": lambda x, y: x == y}


def _deepest(emitter: Emitter, values: Sequence[Located]) -> int:
    return max([v.depth for v in values] + [emitter.floor])


# --- windows that read their elements ----------------------------------------------------------------------------------------------------


def _elements(equation: Equation) -> list[tuple[int, ...]]:
    """The positions inside a window, in C order."""
    return list(product(*map(range, equation.params["window"])))


def _padding(equation: Equation) -> Sequence[tuple[int, int]]:
    return equation.params.get("padding", ((0, 0),) * len(equation.params["window"]))


def _moved(algebra: Any, equation: Equation, index: Ixs, element: Sequence[int]) -> list[Ix]:
    """Where an element of a window lies, before the frame is cut off at the ends."""
    params = equation.params
    found = []
    for i, e, s, d, (low, _) in zip(
        index, element, params["strides"], params["dilation"], _padding(equation), strict=True
    ):
        spaced = algebra.multiply(e, algebra.size(d))
        moved = algebra.add(algebra.multiply(i, algebra.size(s)), spaced)
        found.append(algebra.subtract(moved, algebra.size(low)))
    return found


def _window_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    x = equation.inputs[0]
    if 0 in x.aval.shape:
        return []
    found: Sources = []
    for element in _elements(equation):
        moved = _moved(algebra, equation, index, element)
        for axis, (n, (low, high)) in enumerate(zip(x.aval.shape, _padding(equation), strict=True)):
            if low or high:
                last = algebra.subtract(algebra.size(n), 1)
                moved[axis] = algebra.smaller(algebra.larger(moved[axis], 0), last)
        found.append((x, tuple(moved)))
    return found


def _framed(emitter: Emitter, equation: Equation, index: Ixs, values: Sequence[Located], frame: Any) -> list[Value]:
    """The elements of a window, the frame in place of what lies outside, all at the depth of the deepest."""
    depth = _deepest(emitter, values)
    found = []
    for element, located in zip(_elements(equation), values, strict=True):
        inside = _Condition(emitter, depth)
        moved = _moved(emitter, equation, index, element)
        for i, n, (low, high) in zip(moved, equation.inputs[0].aval.shape, _padding(equation), strict=True):
            if low:
                inside.require(i, ">=", 0)
            if high:
                inside.require(i, "<", emitter.size(n))
        found.append(inside.choose(located.value, frame))
    return found


def _whole_depth(emitter: Emitter, values: Sequence[Located], index: Ixs) -> int:
    """A depth at which the elements and all indices are known."""
    return max(_deepest(emitter, values), *[i.depth for i in index if isinstance(i, Index)], 0)


def _at(depth: int, values: Sequence[Located]) -> list[Located]:
    return [Located(v.value, max(depth, v.depth)) for v in values]


def _nothing(emitter: Emitter, equation: Equation, number: Any) -> Located:
    return Located(emitter.scopes[0].scalar.constant(number, equation.outputs[0].aval.dtype), 0)


def _sum(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    if not values:
        return _nothing(emitter, equation, 0)
    depth = _deepest(emitter, values)
    k = emitter.scopes[depth].scalar
    total = values[0].value
    for located in values[1:]:
        total = k.add(total, located.value)
    return Located(total, depth)


def _maximum(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    dtype = equation.outputs[0].aval.dtype
    lowest = identity_of("reduce_max", dtype)
    if not values:
        return _nothing(emitter, equation, lowest)
    values = _at(_whole_depth(emitter, values, index), values)
    depth = _deepest(emitter, values)
    k, best = emitter.scopes[depth].scalar, None
    for value in _framed(emitter, equation, index, values, lowest):
        best = value if best is None else k.maximum(best, value)
    assert best is not None
    return Located(best, depth)


def _argmax(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    if not values:
        return _nothing(emitter, equation, 0)
    values = _at(_whole_depth(emitter, values, index), values)
    depth = _deepest(emitter, values)
    k, lowest = emitter.scopes[depth].scalar, identity_of("reduce_max", equation.inputs[0].aval.dtype)
    chosen = k.constant(0, np.dtype(np.int32))
    best: Value | None = None
    for number, value in enumerate(_framed(emitter, equation, index, values, lowest)):
        if best is None:
            best = value
            continue
        # "not <=" and "best == best": the first NaN wins.
        better = k.logical_and(k.logical_not(k.less_equal(value, best)), k.equal(best, best))
        chosen = k.select(better, k.constant(number, chosen.dtype), chosen)
        best = k.select(better, value, best)
    return Located(chosen, depth)


def _pick_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    return [(equation.inputs[1], index), *_window_sources(algebra, equation, index)]


def _pick(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    if len(values) == 1:
        return _nothing(emitter, equation, 0)
    values = _at(_whole_depth(emitter, values, index), values)
    depth = _deepest(emitter, values)
    k, chosen = emitter.scopes[depth].scalar, values[0].value
    found = k.constant(0, equation.outputs[0].aval.dtype)
    for number, value in enumerate(_framed(emitter, equation, index, values[1:], 0)):
        found = k.select(k.equal(chosen, number), value, found)
    return Located(found, depth)


# --- elements that ask their windows -----------------------------------------------------------------------------------------------------


class _Share(NamedTuple):
    """A window that an element may belong to: its index along one axis, the element's place in it, what must hold."""

    window: Ix
    place: Ix
    conditions: list[tuple[Ix, str, Ix]]


def _shares(algebra: Any, equation: Equation, axis: int, i: Ix) -> list[_Share]:
    """The windows along an axis that an element may belong to."""
    params, counts = equation.params, equation.inputs[0].aval.shape
    size, stride, spacing = (params[name][axis] for name in ("window", "strides", "dilation"))
    count, step = algebra.size(counts[axis]), algebra.size(stride)
    position = algebra.add(i, algebra.size(_padding(equation)[axis][0]))
    last = algebra.subtract(count, 1)
    if size == 1 and stride == 1 and _padding(equation)[axis] == (0, 0):
        return [_Share(position, 0, [])]
    if spacing == 1 and size <= stride:
        window, place = algebra.divide(position, step)
        conditions = [(window, "<", count)] + ([(place, "<", size)] if size < stride else [])
        return [_Share(algebra.smaller(window, last), place, conditions)]
    found = []
    for place in range(size):
        start = algebra.subtract(position, algebra.multiply(place, algebra.size(spacing)))
        window, rest = algebra.divide(algebra.larger(start, 0), step)
        conditions = [(start, ">=", 0), (window, "<", count)]
        if stride > 1:
            conditions.append((rest, "==", 0))
        found.append(_Share(algebra.smaller(window, last), place, conditions))
    return found


def _combinations(algebra: Any, equation: Equation, index: Ixs) -> list[tuple[_Share, ...]]:
    return list(product(*[_shares(algebra, equation, axis, i) for axis, i in enumerate(index)]))


def _share_sources(algebra: Any, equation: Equation, index: Ixs) -> Sources:
    if 0 in equation.inputs[0].aval.shape:
        return []
    found: Sources = []
    for shares in _combinations(algebra, equation, index):
        found += [(atom, tuple([s.window for s in shares])) for atom in equation.inputs]
    return found


def _spread(emitter: Emitter, equation: Equation, index: Ixs, values: list[Located]) -> Located:
    """The sum of the shares; with a choice, of those whose window chose this element."""
    if not values:
        return _nothing(emitter, equation, 0)
    values = _at(_whole_depth(emitter, values, index), values)
    depth, each = _deepest(emitter, values), len(equation.inputs)
    k, window = emitter.scopes[depth].scalar, equation.params["window"]
    total: Value | None = None
    for number, shares in enumerate(_combinations(emitter, equation, index)):
        condition = _Condition(emitter, depth)
        place: Ix = 0
        for share, size in zip(shares, window, strict=True):
            place = emitter.add(emitter.multiply(place, size), share.place)
            for comparison in share.conditions:
                condition.require(*comparison)
        if each == 2:
            chosen = k.astype(values[number * each + 1].value, np.dtype(np.int64))
            condition.require_bit(k.builder.icmp_signed("==", chosen.ir, emitter.raw(place)))
        value = condition.choose(values[number * each].value, 0)
        total = value if total is None else k.add(total, value)
    assert total is not None
    return Located(total, depth)


WINDOW_RULES: dict[str, Rule] = {
    "window_sum": Rule(_window_sources, _sum, _applies),
    "window_max": Rule(_window_sources, _maximum, _applies),
    "window_argmax": Rule(_window_sources, _argmax, _applies),
    "window_pick": Rule(_pick_sources, _pick, _applies),
    "window_spread": Rule(_share_sources, _spread, _applies),
    "window_place": Rule(_share_sources, _spread, _applies),
}
"""By kernel name."""
