"""Convolution and its two gradients, computed in register tiles without a copy of the windows.

The three operations are sums over one trilinear form, see :mod:`fad.primitives.convolution`. Each runs over tiles whose rows are positions
along the last spatial axis (for the kernel's gradient: elements of a row of the window), and whose columns are features or channels. The
operand that is read in vectors is first copied panel by panel, so that it is read in the order of memory. Where each channel is a group of its own and
makes one feature (depthwise convolution), a vector holds neighbouring channels of each operand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I64, POINTER, Ix
from fad.compiler.llvm.outlined import Outlined, Sharing
from fad.compiler.llvm.reductions import combine
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.scalar_value import Value
from fad.compiler.llvm.tile_functions import copy_function, panel_width, swap_function
from fad.compiler.llvm.tiles import Operands, Tiles
from fad.compiler.read_parts import Part
from fad.compiler.size_classes import LARGEST_STATIC, least_size
from fad.core.program import Equation

__all__ = [
    "convolution_refusal",
    "convolution_sharing",
    "input_scratch",
    "kernel_scratch",
    "result_scratch",
    "write_convolve",
    "write_convolve_input",
    "write_convolve_kernel",
]

Scratch = list[tuple[tuple[int, ...], np.dtype]]
_INT64 = np.dtype(np.int64)
_CHUNK = 256
"""How many positions of a result are summed over at a time in the kernel's gradient: their panel stays in the first-level cache."""


def convolution_refusal(equation: Equation) -> str | None:
    """``None`` if the convolution can be compiled, else why not."""
    x, y, out = (a.aval.dtype for a in (*equation.inputs, *equation.outputs))
    if not (x == y == out) or out.char not in "fd":
        return f"convolution of {x} and {y}"
    return None


def convolution_sharing(equation: Equation) -> Sharing:
    """Threads share the examples; each has a sum of its own for the kernel's gradient."""
    avals = {"convolve": (0, 1, 2), "convolve_input": (2, 0, 1), "convolve_kernel": (0, 2, 1)}
    atoms = (*equation.inputs, *equation.outputs)
    x, w, y = (atoms[k].aval.shape for k in avals[equation.primitive.name])
    reduction = "reduce_sum" if equation.primitive.name == "convolve_kernel" else ""
    return Sharing(x[0], (*y, *w[:-1]), (1, 4), reduction)


def _fixed(count: int) -> tuple[int, ...]:
    """A shape of a fixed number of elements, a power of two. Each of its sizes is small, so none is taken for a size of the Program."""
    return (*(8,) * ((count.bit_length() - 1) // 3), 1 << (count.bit_length() - 1) % 3)


def result_scratch(equation: Equation) -> Scratch:
    """What ``convolve`` needs: a panel of its kernel, the offsets of the elements of a window."""
    w = equation.inputs[1].aval
    return [((*w.shape[:-1], *_fixed(panel_width(w.dtype))), w.dtype), (w.shape[:-2], _INT64)]


def input_scratch(equation: Equation) -> Scratch:
    """What ``convolve_input`` needs: a panel of its kernel with channels and features swapped; offsets and rows of the result with zeros around them."""
    w, y = (a.aval for a in equation.inputs)
    panel = ((*w.shape[:-2], w.shape[-1], *_fixed(panel_width(w.dtype))), w.dtype)
    if not _gathers(equation):
        return [panel, ((1,), _INT64)]
    width = _fixed(panel_width(w.dtype)) if equation.params["groups"] > 1 else ()
    # The zeros take less room than the row.
    rows = (_kept_rows(equation), 2, equation.outputs[0].aval.shape[-2], y.shape[-1], *width)
    return [panel, (w.shape[:-2], _INT64), (rows, w.dtype)]


def kernel_scratch(equation: Equation) -> Scratch:
    """What ``convolve_kernel`` needs: a panel of some positions of the result, the offsets of their rows in the input."""
    dtype = equation.outputs[0].aval.dtype
    return [(_fixed(_CHUNK * panel_width(dtype)), dtype), (_fixed(_CHUNK), _INT64)]


class _Form(NamedTuple):
    """The sizes of a convolution: the window, positions, how windows are placed, channels of one group."""

    window: tuple[int, ...]
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    channels: int


class _Writer:
    """What the three operations share: addresses in the input ``x``, the kernel ``w`` and the result ``y``."""

    def __init__(self, kernel: Outlined, params: dict[str, Any], x: Memory, w: Memory, y: Memory):
        self.kernel, self.emitter = kernel, kernel.emitter
        self.x, self.w, self.y = x, w, y
        self.form = form = _Form(
            w.shape[:-2], y.shape[1:-1], params["strides"], params["dilation"], params["groups"], w.shape[-2]
        )
        # A row of the window lies in the input as it does in the kernel.
        self.merges = form.dilation[-1] == 1 and form.groups == 1
        self.terms = form.window[:-1] if self.merges else form.window
        self.channels = self.emitter.size(form.channels)
        # One feature of each group of one channel: all of them are columns of tiles, and there is one group.
        self.in_pairs = form.channels == 1 and form.groups == y.shape[-1] != 1
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


def _memory(kernel: Outlined, equation: Equation) -> list[Memory]:
    found = [kernel.storage(a) for a in equation.inputs]
    assert all(m is not None for m in found)
    return found  # type: ignore[return-value]


def write_convolve(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve``: tiles of positions by features, summed over the window."""
    x, w = _memory(kernel, equation)
    writer, emitter = _Writer(kernel, equation.params, x, w, kernel.outputs[0]), kernel.emitter
    if writer.is_empty:
        kernel.clear(shared=True)
        return
    panel, offsets = kernel.scratch
    form, count = writer.form, writer.write_offsets(offsets)
    tiles = Tiles(emitter, w.dtype, emitter.size(form.counts[-1]), writer.features, writer.in_pairs)

    zeros = (0,) * len(form.window)

    def write_group(group: Ix) -> None:
        def write_panel(start: Ix, columns: Ix) -> None:
            feature = emitter.add(emitter.multiply(group, writer.features), start)
            source = writer.address(w, (*zeros, 0, feature))
            writer.call(copy_function, panel.pointer, source, emitter.product(w.shape[:-1]), writer.w_step(), columns)
            with kernel.loops((x.shape[0], *form.counts[:-1]), shared=True, plain=True) as (n, *outer):
                position = (*outer, 0)
                a = writer.in_x(n, position, zeros, writer.channel(group, start))
                c = writer.address(writer.y, (n, *position, feature))
                operands = Operands(a, panel.pointer, c, offsets.pointer, count, writer.inner(), 1)
                tiles.run(operands, writer.x_step(), emitter.size(writer.y.shape[-1]), columns, False)

        tiles.panels(write_panel)

    with kernel.loops((writer.groups,), plain=True) as (group,):
        write_group(group)


# --- the gradient by the input --------------------------------------------------------------------------------------------------------------------


def write_convolve_input(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve_input``: tiles of positions by channels. The parameter ``part`` may say which part of the result is read."""
    w, y = _memory(kernel, equation)
    writer = _Writer(kernel, equation.params, kernel.outputs[0], w, y)
    whole = Part((0,) * len(writer.x.shape), writer.x.shape)
    if writer.is_empty:
        kernel.clear(shared=True)
    elif not _gathers(equation):
        _write_added(writer)
    else:
        # Beyond the ends of a row stand zeros, which would make NaN of infinite weights.
        with kernel.emitter.choice(_is_finite(writer), 2) as enter:
            with enter(0):
                _write_added(writer)
            with enter(1):
                _write_gathered(writer, equation.params.get("part") or whole)


def _write_added(writer: _Writer) -> None:
    """For each element of the window, tiles that are added to where its windows lie."""
    kernel, emitter, form = writer.kernel, writer.emitter, writer.form
    panel, offsets = kernel.scratch[:2]
    kernel.clear(shared=True)
    emitter.builder.store(ir.Constant(I64, 0), offsets.pointer)

    def write_panel(tiles: Tiles, group: Ix, start: Ix, columns: Ix) -> None:
        _copy_kernel(writer, panel, group, start, columns, False)
        channel, feature = _in_group(writer, group, start)
        with (
            kernel.loops((writer.y.shape[0], *form.counts[:-1]), shared=True, plain=True) as (n, *outer),
            kernel.loops(form.window, plain=True) as taps,
        ):
            position = (*outer, 0)
            a = writer.address(writer.y, (n, *position, feature))
            b = writer.panel_row(panel, emitter.multiply(writer.number(form.window, taps), _depth(writer)))
            c = writer.in_x(n, position, taps, channel)
            operands = Operands(a, b, c, offsets.pointer, 1, _depth(writer), 1)
            tiles.run(operands, emitter.size(writer.y.shape[-1]), writer.x_step(), columns, True)

    _each_panel(writer, emitter.size(form.counts[-1]), write_panel)


def _each_panel(writer: _Writer, rows: Ix, write: Callable[[Tiles, Ix, Ix, Ix], None]) -> None:
    """Run over the groups and the panels of their channels: ``write(tiles, group, start, columns)``."""
    channels = writer.features if writer.in_pairs else writer.channels
    tiles = Tiles(writer.emitter, writer.w.dtype, rows, channels, writer.in_pairs)
    with writer.kernel.loops((writer.groups,), plain=True) as (group,):
        tiles.panels(lambda start, columns: write(tiles, group, start, columns))


def _in_group(writer: _Writer, group: Ix, start: Ix) -> tuple[Ix, Ix]:
    """The channel that a panel begins with, and the first feature that it takes."""
    channel = writer.emitter.add(writer.emitter.multiply(group, writer.channels), start)
    return channel, channel if writer.in_pairs else writer.emitter.multiply(group, writer.features)


def _depth(writer: _Writer) -> Ix:
    """How many numbers an element of the window is summed over."""
    return 1 if writer.in_pairs else writer.features


def _copy_kernel(writer: _Writer, panel: Memory, group: Ix, start: Ix, columns: Ix, turned: bool) -> None:
    """Some channels of the kernel, for each feature of a group one after another; or the features that are channels.

    If ``turned``, the last axis of the window runs backwards.
    """
    emitter, window = writer.emitter, writer.form.window
    with writer.kernel.loops(window, plain=True) as taps:
        last = emitter.subtract(emitter.subtract(emitter.size(window[-1]), 1), taps[-1]) if turned else taps[-1]
        number = writer.number(window, (*taps[:-1], last))
        target = writer.panel_row(panel, emitter.multiply(number, _depth(writer)))
        if writer.in_pairs:
            writer.call(copy_function, target, writer.address(writer.w, (*taps, 0, start)), 1, 0, columns)
        else:
            source = writer.address(writer.w, (*taps, start, emitter.multiply(group, writer.features)))
            writer.call(swap_function, target, source, writer.features, writer.w_step(), columns)


def _gathers(equation: Equation) -> bool:
    """Whether each element of the input is summed over all windows that it belongs to, for all sizes that share the code.

    Some rows of the result are kept with zeros around them, so windows must be small beside a row, whose ends take as long as the rest.
    """
    w, y, params = equation.inputs[0].aval.shape, equation.inputs[1].aval.shape, equation.params
    window, counts, dilation = w[:-2], y[1:-1], params["dilation"]
    if len(window) > 2 or set(params["strides"]) != {1} or max(*window, *dilation) > LARGEST_STATIC:
        return False
    reach = (window[-1] - 1) * dilation[-1]
    part = params.get("part")
    # Of a padded row the ends are not read: no more positions are computed than the row has.
    is_cut = part is not None and part.stops[-2] <= LARGEST_STATIC and part.stops[-2] - part.starts[-2] <= counts[-1]
    fits = is_cut or least_size(counts[-1]) >= max(4 * reach, 1)
    return fits and (
        len(window) == 1 or (_kept_rows(equation) <= LARGEST_STATIC and least_size(counts[0]) >= dilation[0])
    )


def _kept_rows(equation: Equation) -> int:
    """How many rows of the result a row of the input takes, those between included."""
    window, dilation = equation.inputs[0].aval.shape[:-2], equation.params["dilation"]
    return (window[0] - 1) * dilation[0] + 1 if len(window) > 1 else 1


def _is_finite(writer: _Writer) -> ir.Value:
    """1 if all of the kernel is finite, else 0: zero times each of its elements adds up to zero."""
    emitter, w = writer.emitter, writer.w
    k = emitter.scalar
    zero = k.constant(0, w.dtype)
    total = emitter.variable(zero.ir.type)
    k.builder.store(zero.ir, total)
    with emitter.loop(0, emitter.product(w.shape)) as number:
        k = emitter.scalar
        pointer = k.builder.gep(w.pointer, [emitter.raw(number)], inbounds=True)
        product = k.multiply(k.load(pointer, w.dtype), zero)
        k.builder.store(combine("reduce_sum", k, Value(k.builder.load(total), w.dtype), product).ir, total)
    builder = emitter.builder
    return builder.zext(builder.fcmp_ordered("==", builder.load(total), zero.ir), I64)


class _Rows:
    """Rows of the result with zeros around them, the last ones that were copied.

    Attributes
    ----------
    step : int or Index
        The distance between neighbouring positions.
    """

    def __init__(self, writer: _Writer, place: Memory, count: int):
        emitter, form = writer.emitter, writer.form
        self._writer, self._place, self._count = writer, place, count
        self._reach = (form.window[-1] - 1) * form.dilation[-1]
        self.step = panel_width(place.dtype) if writer.in_pairs else writer.features
        positions = emitter.add(emitter.size(form.counts[-1]), 2 * self._reach)
        self._size = emitter.multiply(positions, self.step)

    def clear(self) -> None:
        """Write zeros everywhere."""
        emitter, builder = self._writer.emitter, self._writer.emitter.builder
        fill = emitter.function.module.declare_intrinsic("llvm.memset", [POINTER, I64])
        size = emitter.multiply(emitter.multiply(self._size, self._count), self._place.dtype.itemsize)
        place = builder.bitcast(self._place.pointer, POINTER)
        builder.call(fill, [place, ir.Constant(ir.IntType(8), 0), emitter.raw(size), ir.Constant(ir.IntType(1), 0)])

    def start(self, row: Ix) -> Ix:
        """Where a row begins."""
        _, slot = self._writer.emitter.divide(row, self._count)
        return self._writer.emitter.multiply(slot, self._size)

    def copy(self, n: Ix, outer: Sequence[Ix], feature: Ix, columns: Ix) -> None:
        """Copy a row of an example, from some feature on."""
        writer, emitter = self._writer, self._writer.emitter
        builder, size = emitter.builder, self._place.dtype.itemsize
        begin = emitter.add(self.start(outer[0] if outer else 0), emitter.multiply(self.step, self._reach))
        target = builder.gep(self._place.pointer, [emitter.raw(begin)])
        count, distance = emitter.size(writer.form.counts[-1]), emitter.size(writer.y.shape[-1])
        source = writer.address(writer.y, (n, *outer, 0, feature))
        if writer.in_pairs:
            writer.call(copy_function, target, source, count, distance, columns)
            return
        move = emitter.function.module.declare_intrinsic("llvm.memcpy", [POINTER, POINTER, I64])
        whole = writer.form.groups == 1
        with emitter.loop(0, 1 if whole else count, short=True) as position:
            builder = emitter.builder
            places = [
                builder.bitcast(builder.gep(place, [emitter.raw(emitter.multiply(position, step))]), POINTER)
                for place, step in ((target, self.step), (source, distance))
            ]
            elements = emitter.multiply(self.step, count if whole else 1)
            builder.call(move, [*places, emitter.raw(emitter.multiply(elements, size)), ir.Constant(ir.IntType(1), 0)])


def _write_gathered(writer: _Writer, part: Part) -> None:
    """For each element of a part of the input, tiles summed over all windows that it belongs to."""
    kernel, emitter, form, x = writer.kernel, writer.emitter, writer.form, writer.x
    panel, offsets, place = kernel.scratch
    window, dilation = form.window, form.dilation
    rows = _Rows(writer, place, (window[0] - 1) * dilation[0] + 1 if len(window) > 1 else 1)
    # Neighbouring elements of the window read neighbouring positions, whose features lie together.
    joined = writer.in_pairs or dilation[-1] == 1
    terms = 1 if joined else window[-1]
    inner = emitter.multiply(window[-1] if joined and not writer.in_pairs else 1, _depth(writer))
    inner, step = (window[-1], emitter.multiply(rows.step, dilation[-1])) if writer.in_pairs else (inner, 1)
    copied, left = emitter.size(form.counts[0]), emitter.size(part.starts[-2])

    def write_row(tiles: Tiles, n: Ix, outer: Ixs, channel: Ix, columns: Ix) -> None:
        first: Ix = 0
        last: Ix = 0
        if outer:
            beyond = emitter.add(emitter.subtract(outer[0], copied), dilation[0])
            first, _ = emitter.divide(emitter.larger(beyond, 0), dilation[0])
            last = emitter.smaller(emitter.divide(outer[0], dilation[0])[0], window[0] - 1)
        for t in range(window[0] if outer else 1):
            row = emitter.subtract(outer[0], t * dilation[0]) if outer else 0
            for j in range(terms):
                position = emitter.add(left, j * dilation[-1])
                offset = emitter.add(rows.start(row), emitter.multiply(rows.step, position))
                target = emitter.builder.gep(offsets.pointer, [ir.Constant(I64, t * terms + j)])
                emitter.builder.store(emitter.raw(offset), target)
        begin = emitter.multiply(first, terms)
        count = emitter.multiply(emitter.add(emitter.subtract(last, first), 1), terms)
        b = writer.panel_row(panel, emitter.multiply(first, emitter.multiply(window[-1], _depth(writer))))
        c = writer.address(x, (n, *outer, left, channel))
        there = emitter.builder.gep(offsets.pointer, [emitter.raw(begin)])
        operands = Operands(place.pointer, b, c, there, count, inner, step)
        tiles.run(operands, rows.step, emitter.size(x.shape[-1]), columns, False)

    def write_panel(tiles: Tiles, group: Ix, start: Ix, columns: Ix) -> None:
        _copy_kernel(writer, panel, group, start, columns, True)
        channel, feature = _in_group(writer, group, start)
        rows.clear()
        with kernel.loops((x.shape[0], *x.shape[1:-2]), shared=True, plain=True) as (n, *outer):
            if not outer:
                rows.copy(n, outer, feature, columns)
                write_row(tiles, n, (), channel, columns)
                return
            with kernel.only_if(emitter.builder.icmp_signed("<", emitter.raw(outer[0]), emitter.raw(copied))):
                rows.copy(n, outer, feature, columns)
            with kernel.only_if(_is_between(writer, outer[0], part.starts[1], part.stops[1])):
                write_row(tiles, n, tuple(outer), channel, columns)

    _each_panel(writer, emitter.subtract(emitter.size(part.stops[-2]), left), write_panel)


def _is_between(writer: _Writer, index: Ix, start: int, stop: int) -> ir.Value:
    """Whether an index of an axis is one of a part."""
    emitter = writer.emitter
    first, last = emitter.size(start), emitter.size(stop)
    numbers = emitter.subtract(index, first), emitter.subtract(last, first)
    return emitter.builder.icmp_unsigned("<", *map(emitter.raw, numbers))


# --- the gradient by the kernel ------------------------------------------------------------------------------------------------------------------


def write_convolve_kernel(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve_kernel``: tiles of elements of the window by features, summed over some positions at a time."""
    x, y = _memory(kernel, equation)
    writer, emitter = _Writer(kernel, equation.params, x, kernel.outputs[0], y), kernel.emitter
    kernel.clear()
    if writer.is_empty:
        return
    rows = emitter.size(writer.form.window[-1]) if writer.in_pairs else writer.inner()
    tiles = Tiles(emitter, y.dtype, rows, writer.features, writer.in_pairs)
    _each_chunk(writer, lambda chunk: _write_chunk(writer, tiles, chunk))


class _Chunk(NamedTuple):
    """Some neighbouring examples, some rows of positions of each, and some positions of each row."""

    example: Ix
    outer: Ixs
    row: Ix
    first: Ix
    examples: Ix
    rows: Ix
    count: Ix


def _each_chunk(writer: _Writer, write: Callable[[_Chunk], None]) -> None:
    """Run over the examples of this call and their positions, at most ``_CHUNK`` positions at a time.

    Several examples are taken at a time only where all rows of the last two axes fit: else the rows taken fill more than half a chunk.
    """
    emitter, counts = writer.emitter, writer.form.counts
    length = emitter.size(counts[-1])
    count = emitter.smaller(length, _CHUNK)
    height = emitter.size(counts[-2]) if len(counts) > 1 else 1
    rows = emitter.smaller(height, emitter.divide(_CHUNK, count)[0])
    examples, _ = emitter.divide(_CHUNK, emitter.multiply(rows, count))
    begin, end = writer.kernel.turns
    with (
        _steps(writer, emitter.subtract(end, begin), examples) as (n, several),
        writer.kernel.loops(counts[:-2], plain=True) as outer,
        _steps(writer, height, rows) as (row, some),
        _steps(writer, length, count) as (first, here),
    ):
        write(_Chunk(emitter.add(begin, n), outer, row, first, several, some, here))


@contextmanager
def _steps(writer: _Writer, stop: Ix, step: Ix) -> Iterator[tuple[Ix, Ix]]:
    """A loop over a range in steps; gives the start and the length of each."""
    emitter = writer.emitter
    number, _ = emitter.divide(emitter.add(stop, emitter.subtract(step, 1)), step)
    with emitter.loop(0, number, plain=True) as turn:
        start = emitter.multiply(turn, step)
        yield start, emitter.smaller(step, emitter.subtract(stop, start))


def _write_chunk(writer: _Writer, tiles: Tiles, chunk: _Chunk) -> None:
    """Add what a chunk of positions contributes to every element of the kernel."""
    emitter, form, kernel = writer.emitter, writer.form, writer.kernel
    panel, offsets = kernel.scratch
    example = emitter.product(writer.x.shape[1:])
    step = (
        0
        if len(form.counts) == 1
        else emitter.multiply(emitter.size(form.strides[-2]), emitter.product(writer.x.shape[-2:]))
    )
    with _rows(writer, chunk) as (e, t, number):
        offset = emitter.add(emitter.multiply(e, example), emitter.multiply(t, step))
        emitter.builder.store(emitter.raw(offset), emitter.builder.gep(offsets.pointer, [emitter.raw(number)]))
    n, position = chunk.example, _position(writer, chunk, 0)
    terms = emitter.multiply(chunk.examples, chunk.rows)

    def write_group(group: Ix) -> None:
        def write_panel(start: Ix, columns: Ix) -> None:
            feature = emitter.add(emitter.multiply(group, writer.features), start)
            _copy_positions(writer, panel, feature, chunk, columns)
            pairs = writer.in_pairs
            with kernel.loops(form.window[:-1] if pairs else writer.terms, plain=True) as index:
                taps = (*index, 0) if pairs else writer.taps(index)
                a = writer.in_x(n, position, taps, writer.channel(group, start))
                c = writer.address(writer.w, (*taps, 0, feature))
                operands = Operands(a, panel.pointer, c, offsets.pointer, terms, chunk.count, writer.x_step())
                tiles.run(operands, writer.tap_step() if pairs else 1, emitter.size(writer.w.shape[-1]), columns, True)

        tiles.panels(write_panel)

    with kernel.loops((writer.groups,), plain=True) as (group,):
        write_group(group)


@contextmanager
def _rows(writer: _Writer, chunk: _Chunk) -> Iterator[tuple[Ix, Ix, Ix]]:
    """A loop over the rows of a chunk; gives the example and the row, both counted from the chunk's first, and the number of the row."""
    emitter = writer.emitter
    with emitter.loop(0, chunk.examples, plain=True) as e, emitter.loop(0, chunk.rows, plain=True) as t:
        yield e, t, emitter.add(emitter.multiply(e, chunk.rows), t)


def _position(writer: _Writer, chunk: _Chunk, t: Ix) -> Ixs:
    """The first position of a row of a chunk."""
    row = (writer.emitter.add(chunk.row, t),) if len(writer.form.counts) > 1 else ()
    return (*chunk.outer, *row, chunk.first)


def _copy_positions(writer: _Writer, panel: Memory, feature: Ix, chunk: _Chunk, columns: Ix) -> None:
    """Some features of a chunk of the result."""
    emitter = writer.emitter
    with _rows(writer, chunk) as (e, t, number):
        source = writer.address(writer.y, (emitter.add(chunk.example, e), *_position(writer, chunk, t), feature))
        target = writer.panel_row(panel, emitter.multiply(number, chunk.count))
        writer.call(copy_function, target, source, chunk.count, emitter.size(writer.y.shape[-1]), columns)
