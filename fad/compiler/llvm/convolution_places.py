"""What the three operations of a convolution share: their sizes, addresses, and which positions tiles run over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import Emitter, Ix
from fad.compiler.llvm.outlined import Outlined
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.tile_functions import panel_width
from fad.compiler.llvm.tiles import Tiles, cost_of_rows, panel_count
from fad.compiler.size_classes import LARGEST_STATIC
from fad.core.program import Equation

__all__ = [
    "Positions",
    "Scratch",
    "Split",
    "Writer",
    "fixed_shape",
    "in_steps",
    "is_in_pairs",
    "is_wasteful",
    "joined_axes",
    "memory_of",
    "merges_rows",
    "shapes_of",
    "split_of",
    "turns_of",
    "unit_axes",
]

Scratch = list[tuple[tuple[int, ...], np.dtype]]
_MANY = 1 << 16
"""A number of rows that stands for all that take many tiles."""


def fixed_shape(count: int) -> tuple[int, ...]:
    """A shape of a fixed number of elements, a power of two. Each of its sizes is small, so none is taken for a size of the Program."""
    return (*(8,) * ((count.bit_length() - 1) // 3), 1 << (count.bit_length() - 1) % 3)


class _Form(NamedTuple):
    """The sizes of a convolution: the window, positions, how windows are placed, channels of one group."""

    window: tuple[int, ...]
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    channels: int


class Writer:
    """What the three operations share: addresses in the input ``x``, the kernel ``w`` and the result ``y``."""

    def __init__(self, kernel: Outlined, params: dict[str, Any], x: Memory, w: Memory, y: Memory):
        self.kernel, self.emitter = kernel, kernel.emitter
        self.x, self.w, self.y = x, w, y
        self.form = form = _Form(
            w.shape[:-2], y.shape[1:-1], params["strides"], params["dilation"], params["groups"], w.shape[-2]
        )
        self.merges = merges_rows(params)
        self.terms = form.window[:-1] if self.merges else form.window
        self.channels = self.emitter.size(form.channels)
        self.in_pairs = is_in_pairs(w.shape, y.shape, form.groups)
        self.groups = 1 if self.in_pairs else form.groups
        self.features, _ = self.emitter.divide(self.emitter.size(y.shape[-1]), self.emitter.size(self.groups))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to multiply."""
        return 0 in self.x.shape or 0 in self.w.shape or 0 in self.y.shape

    def inner(self) -> Ix:
        """How many neighbouring elements a row of the window reads: all channels of its elements, or of one of them."""
        return (
            self.emitter.multiply(self.emitter.size(self.form.window[-1]), self.channels)
            if self.merges
            else self.channels
        )

    def taps(self, index: Ixs) -> Ixs:
        """An element of the window from the index of a term."""
        return (*index, 0) if self.merges else index

    def in_x(self, n: Ix, position: Sequence[Ix], taps: Sequence[Ix], channel: Ix) -> ir.Value:
        """The address of an element of the input."""
        return self.address(self.x, (n, *self.moved(position, taps), channel))

    def moved(self, position: Sequence[Ix], taps: Sequence[Ix]) -> list[Ix]:
        """Where an element of a window lies in the input."""
        emitter, form = self.emitter, self.form
        return [
            emitter.add(emitter.multiply(i, emitter.size(s)), emitter.multiply(t, emitter.size(d)))
            for i, t, s, d in zip(position, taps, form.strides, form.dilation, strict=True)
        ]

    def address(self, place: Memory, index: Ixs) -> ir.Value:
        """The address of an element."""
        return self.kernel.elements.pointer(place, index)

    def number(self, shape: tuple[int, ...], index: Ixs) -> Ix:
        """The number of an element in C order."""
        return self.kernel.elements.position(Memory(self.x.pointer, shape, self.x.dtype), index)

    def panel_row(self, panel: Memory, number: Ix) -> ir.Value:
        """The address of a row of a panel."""
        offset = self.emitter.multiply(number, panel_width(panel.dtype))
        return self.emitter.builder.gep(panel.pointer, [self.emitter.raw(offset)], inbounds=True)

    def call(self, function: Any, target: ir.Value, source: ir.Value, *numbers: Ix) -> None:
        """Call one of the functions that copy into panels."""
        declared = function(self.emitter.function.module, self.w.dtype)
        self.emitter.builder.call(declared, [target, source, *[self.emitter.raw(n) for n in numbers]])

    def w_step(self) -> Ix:
        """The distance in the kernel between neighbouring channels."""
        return self.emitter.size(self.w.shape[-1])

    def x_step(self) -> Ix:
        """The distance in the input between neighbouring positions."""
        emitter = self.emitter
        return emitter.multiply(emitter.size(self.form.strides[-1]), emitter.size(self.x.shape[-1]))

    def channel(self, group: Ix, start: Ix) -> Ix:
        """The first channel that features of a group read, from its feature ``start`` on."""
        return start if self.in_pairs else self.emitter.multiply(group, self.channels)

    def steps(self, a_step: Ix, c_step: Ix) -> Callable[[Ix], tuple[Ix, Ix]]:
        """Where each row of tiles begins, if they lie at equal distances."""
        return lambda row: (self.emitter.multiply(row, a_step), self.emitter.multiply(row, c_step))

    def tap_step(self) -> Ix:
        """The distance in the input between neighbouring elements of the window."""
        return self.emitter.multiply(self.emitter.size(self.form.dilation[-1]), self.emitter.size(self.x.shape[-1]))

    def write_offsets(self, offsets: Memory) -> Ix:
        """Write the offset in the input of each term of a window; gives how many there are."""
        zeros = (0,) * len(self.form.counts)
        with self.kernel.loops(self.terms, plain=True) as index:
            moved = self.moved(zeros, self.taps(index))
            offset = self.kernel.elements.position(self.x, (0, *moved, 0))
            place = self.emitter.builder.gep(offsets.pointer, [self.emitter.raw(self.number(self.terms, index))])
            self.emitter.builder.store(self.emitter.raw(offset), place)
        return self.emitter.product(self.terms)


def memory_of(kernel: Outlined, equation: Equation) -> list[Memory]:
    """Where the inputs of an operation lie."""
    found = [kernel.storage(a) for a in equation.inputs]
    assert all(m is not None for m in found)
    return found  # type: ignore[return-value]


_BLOCK = 512
"""How many positions the threads take at a time, at least: for each such block they copy the kernel, or add up a result of their own."""


class Split(NamedTuple):
    """How a convolution is cut into turns, each for a block of positions and a panel of the columns of a group.

    Attributes
    ----------
    units : int or Index
        What blocks are made of: examples, or their rows.
    each : int or Index
        The units of a block.
    groups, panels : int or Index
        How many there are.
    """

    units: Ix
    each: Ix
    groups: Ix
    panels: Ix

    def turns(self, emitter: Emitter) -> Ix:
        """How many turns there are: panels change first, then groups, then blocks."""
        blocks, _ = emitter.divide(emitter.add(self.units, emitter.subtract(self.each, 1)), self.each)
        return emitter.multiply(emitter.multiply(blocks, self.groups), self.panels)


def split_of(emitter: Emitter, equation: Equation, by_rows: bool = False) -> Split:
    """The turns of an operation; ``by_rows`` if what the threads write are positions of the result, whose rows may be shared, not only the examples."""
    _, w, y = shapes_of(equation)
    groups, columns = _groups_and_columns(emitter, equation, w, y)
    panels = panel_count(emitter, equation.outputs[0].aval.dtype, columns)
    axes = unit_axes(y[:-1]) if by_rows else 1
    positions = emitter.larger(emitter.product(y[axes:-1]), 1)
    return Split(emitter.product(y[:axes]), emitter.larger(emitter.divide(_BLOCK, positions)[0], 1), groups, panels)


def shapes_of(equation: Equation) -> tuple[tuple[int, ...], ...]:
    """The shapes of the input, the kernel and the result of the convolution that an operation belongs to."""
    order = {"convolve": (0, 1, 2), "convolve_input": (2, 0, 1), "convolve_kernel": (0, 2, 1)}
    atoms = (*equation.inputs, *equation.outputs)
    return tuple(atoms[k].aval.shape for k in order[equation.primitive.name])


def merges_rows(params: dict[str, Any]) -> bool:
    """Whether a row of the window lies in the input as it does in the kernel, and is one term."""
    return params["dilation"][-1] == 1 and params["groups"] == 1


def is_in_pairs(w: tuple[int, ...], y: tuple[int, ...], groups: int) -> bool:
    """Whether each group has one channel and one feature: all of them are columns of tiles then, of one group."""
    return w[-2] == 1 and groups == y[-1] != 1


def _groups_and_columns(emitter: Emitter, equation: Equation, w: tuple[int, ...], y: tuple[int, ...]) -> tuple[Ix, Ix]:
    groups = equation.params["groups"]
    if is_in_pairs(w, y, groups):
        return 1, emitter.size(groups)
    if equation.primitive.name == "convolve_input":
        return emitter.size(groups), emitter.size(w[-2])
    return emitter.size(groups), emitter.divide(emitter.size(y[-1]), emitter.size(groups))[0]


def unit_axes(shape: tuple[int, ...]) -> int:
    """How many of the first axes of examples and positions blocks are made along: the examples', and that of their rows unless runs go over several."""
    return max(1, min(2, len(shape) - joined_axes(shape)))


class Positions:
    """Which positions of the result one run of tiles goes over: those of a row, or of all rows and of several examples where short rows fill tiles badly.

    Parameters
    ----------
    axes : int
        The last axes, of examples and positions, that a run goes over.
    most : int, optional
        Several examples are taken until they have so many positions; if it is not given, all are.
    """

    def __init__(self, writer: Writer, axes: int, most: int | None = None):
        emitter, shape = writer.emitter, writer.y.shape[:-1]
        self._writer, self._axes = writer, axes
        self._joins_examples = axes == len(shape)
        self._each = emitter.product(shape[1:] if self._joins_examples else shape[len(shape) - axes :])
        self._examples: int | None = None
        if self._joins_examples and most is not None:
            assert isinstance(self._each, int)
            self._examples = -(-most // self._each)

    def tiles(self, columns: Ix) -> Tiles:
        """The best tiles for these positions."""
        writer, emitter = self._writer, self._writer.emitter
        examples = emitter.size(writer.y.shape[0]) if self._joins_examples else 1
        typical = emitter.multiply(self._each, examples)
        if self._axes > 1 and not isinstance(typical, int):
            typical = _MANY
        return Tiles(emitter, writer.w.dtype, typical, columns, writer.in_pairs)

    @contextmanager
    def starts(self, first: Ix, count: Ix, units: int = 1) -> Iterator[tuple[Ixs, Ix]]:
        """A loop over the runs of a block; gives the first position of each, and how many it has. The block's units have so many axes."""
        kernel, emitter, shape = self._writer.kernel, self._writer.emitter, self._writer.y.shape[:-1]
        zeros = (0,) * (self._axes - 1)
        if not self._joins_examples:
            with emitter.loop(first, emitter.add(first, count), plain=True) as unit:
                index = emitter.divide(unit, emitter.size(shape[1])) if units == 2 else (unit,)
                with kernel.loops(shape[units : len(shape) - self._axes], plain=True) as inner:
                    yield (*index, *inner, 0, *zeros), self._each
            return
        if self._examples is None:
            yield (first, *zeros), emitter.multiply(count, self._each)
            return
        with in_steps(self._writer, count, self._examples) as (start, examples):
            yield (emitter.add(first, start), *zeros), emitter.multiply(examples, self._each)

    def place(self, number: Ix) -> tuple[Ix, Ix]:
        """Where the window of a position begins in the input, and where the position lies in the result, both counted from the first of the run."""
        emitter, x, strides = self._writer.emitter, self._writer.x, (1, *self._writer.form.strides)
        rest: Ix = number
        start: Ix = 0
        for axis in reversed(range(len(strides) - self._axes, len(strides))):
            index = rest
            if axis > len(strides) - self._axes:
                rest, index = emitter.divide(rest, emitter.size(self._writer.y.shape[axis]))
            step = emitter.multiply(emitter.size(strides[axis]), emitter.product(x.shape[axis + 1 :]))
            start = emitter.add(start, emitter.multiply(index, step))
        return start, emitter.multiply(number, emitter.size(self._writer.y.shape[-1]))


def joined_axes(shape: tuple[int, ...]) -> int:
    """How many of the last axes of examples and positions tiles run over at once."""
    if shape[-1] > LARGEST_STATIC or not is_wasteful(shape[-1]):
        return 1
    # Else each position costs divisions by numbers that are not known.
    return len(shape) if max(shape[1:]) <= LARGEST_STATIC else min(len(shape) - 1, 2)


def is_wasteful(rows: int) -> bool:
    """Whether tiles take clearly longer for so few rows than for as many of a long run."""
    return 10 * _MANY * cost_of_rows(rows) > 11 * rows * cost_of_rows(_MANY)


@contextmanager
def turns_of(writer: Writer, split: Split) -> Iterator[tuple[Ix, Ix, Ix, Ix]]:
    """A loop over the turns of this call; gives the first unit of each, how many it has, its group and its panel."""
    emitter = writer.emitter
    with emitter.loop(*writer.kernel.turns, plain=True) as turn:
        rest, panel = emitter.divide(turn, split.panels)
        block, group = emitter.divide(rest, split.groups)
        first = emitter.multiply(block, split.each)
        yield first, emitter.smaller(split.each, emitter.subtract(split.units, first)), group, panel


@contextmanager
def in_steps(writer: Writer, stop: Ix, step: Ix) -> Iterator[tuple[Ix, Ix]]:
    """A loop over a range in steps; gives the start and the length of each."""
    emitter = writer.emitter
    number, _ = emitter.divide(emitter.add(stop, emitter.subtract(step, 1)), step)
    with emitter.loop(0, number, plain=True) as turn:
        start = emitter.multiply(turn, step)
        yield start, emitter.smaller(step, emitter.subtract(stop, start))
