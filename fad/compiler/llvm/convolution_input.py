"""The gradient of a convolution by its input, in register tiles, see :mod:`fad.compiler.llvm.convolution`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.convolution_places import (
    Positions,
    Scratch,
    Writer,
    fixed_shape,
    in_steps,
    is_wasteful,
    joined_axes,
    memory_of,
    split_of,
    turns_of,
)
from fad.compiler.llvm.emission import I64, POINTER, Ix
from fad.compiler.llvm.outlined import Outlined
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.tile_functions import MOST_ROWS, copy_function, finite_function, panel_width, swap_function
from fad.compiler.llvm.tiles import Operands, Tiles
from fad.compiler.read_parts import Part
from fad.compiler.size_classes import LARGEST_STATIC, least_size
from fad.core.program import Equation

__all__ = ["input_scratch", "write_convolve_input"]

_INT64 = np.dtype(np.int64)
_ADDED = 64
"""How many positions are added for an element of a window before the next one: they stay in the first-level cache."""


def input_scratch(equation: Equation) -> Scratch:
    """What ``convolve_input`` needs: a panel of its kernel with channels and features swapped; offsets and rows of the result with zeros around them."""
    w, y = (a.aval for a in equation.inputs)
    panel = ((*w.shape[:-2], w.shape[-1], *fixed_shape(panel_width(w.dtype))), w.dtype)
    if not _gathers(equation):
        return [panel, ((1,), _INT64)]
    width = fixed_shape(panel_width(w.dtype)) if equation.params["groups"] > 1 else ()
    # The zeros take less room than the row.
    rows = (
        _kept_rows(w.shape[:-2], equation.params["dilation"]),
        _examples_at_once(equation),
        2,
        equation.outputs[0].aval.shape[-2],
        y.shape[-1],
        *width,
    )
    return [panel, (w.shape[:-2], _INT64), (rows, w.dtype)]


def write_convolve_input(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve_input``: tiles of positions by channels. The parameter ``part`` may say which part of the result is read."""
    w, y = memory_of(kernel, equation)
    writer = Writer(kernel, equation.params, kernel.outputs[0], w, y)
    if writer.is_empty:
        kernel.clear()
        return
    emitter, split = writer.emitter, split_of(writer.emitter, equation)
    axes = joined_axes(y.shape[:-1])
    if not _gathers(equation):
        added = _Added(writer, axes if axes == len(y.shape) - 1 else 1)
        with turns_of(writer, split) as (first, count, group, number):
            added.write(first, count, group, *added.tiles.panel(number))
        return
    added, gathered = _Added(writer, 1), _Gathered(writer, equation)
    with turns_of(writer, split) as (first, count, group, number):
        start, columns = gathered.tiles.panel(number)
        _copy_kernel(writer, group, start, columns, True)
        # Beyond the ends of a row stand zeros, which would make NaN of infinite weights.
        with emitter.choice(_is_finite(writer), 2) as enter:
            with enter(0):
                added.write(first, count, group, start, columns)
            with enter(1):
                gathered.write(first, count, group, start, columns)


class _Added:
    """For each element of the window, tiles that are added to where its windows lie; tiles run over so many of the last axes of examples and positions."""

    def __init__(self, writer: Writer, axes: int):
        self._writer, self._run = writer, Positions(writer, axes, _ADDED)
        self.tiles = self._run.tiles(_channels(writer))

    def write(self, first: Ix, count: Ix, group: Ix, start: Ix, columns: Ix) -> None:
        """A panel of channels of some examples."""
        writer, run = self._writer, self._run
        kernel, emitter, form = writer.kernel, writer.emitter, writer.form
        panel, offsets = kernel.scratch[:2]
        channel, feature = _in_group(writer, group, start)
        self._clear(first, count, channel, columns)
        emitter.builder.store(ir.Constant(I64, 0), offsets.pointer)
        _copy_kernel(writer, group, start, columns, False)
        with run.starts(first, count) as ((n, *position), rows), kernel.loops(form.window, plain=True) as taps:
            a = writer.address(writer.y, (n, *position, feature))
            b = writer.panel_row(panel, emitter.multiply(writer.number(form.window, taps), _depth(writer)))
            c = writer.in_x(n, position, taps, channel)
            operands = Operands(a, b, c, offsets.pointer, 1, _depth(writer), 1)
            self.tiles.run(operands, lambda number: run.place(number)[::-1], columns, True, rows)

    def _clear(self, first: Ix, count: Ix, channel: Ix, columns: Ix) -> None:
        """Write zeros to some channels of some examples."""
        emitter, x = self._writer.emitter, self._writer.x
        example = emitter.product(x.shape[1:-1])
        with emitter.loop(0, emitter.multiply(count, example), short=True) as position:
            number = emitter.add(emitter.multiply(first, example), position)
            offset = emitter.add(emitter.multiply(number, emitter.size(x.shape[-1])), channel)
            place = emitter.builder.gep(x.pointer, [emitter.raw(offset)])
            emitter.clear(place, emitter.multiply(columns, x.dtype.itemsize))


def _channels(writer: Writer) -> Ix:
    """How many columns the tiles of a group have."""
    return writer.features if writer.in_pairs else writer.channels


def _in_group(writer: Writer, group: Ix, start: Ix) -> tuple[Ix, Ix]:
    """The channel that a panel begins with, and the first feature that it takes."""
    channel = writer.emitter.add(writer.emitter.multiply(group, writer.channels), start)
    return channel, channel if writer.in_pairs else writer.emitter.multiply(group, writer.features)


def _depth(writer: Writer) -> Ix:
    """How many numbers an element of the window is summed over."""
    return 1 if writer.in_pairs else writer.features


def _copy_kernel(writer: Writer, group: Ix, start: Ix, columns: Ix, turned: bool) -> None:
    """Some channels of the kernel, for each feature of a group one after another; or the features that are channels.

    If ``turned``, the last axis of the window runs backwards.
    """
    emitter, window, panel = writer.emitter, writer.form.window, writer.kernel.scratch[0]
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
        len(window) == 1 or (_kept_rows(window, dilation) <= LARGEST_STATIC and least_size(counts[0]) >= dilation[0])
    )


def _kept_rows(window: tuple[int, ...], dilation: tuple[int, ...]) -> int:
    """How many rows of the result a row of the input takes, those between included."""
    return (window[0] - 1) * dilation[0] + 1 if len(window) > 1 else 1


def _is_finite(writer: Writer) -> ir.Value:
    """1 if all of the panel of the kernel is finite, else 0."""
    emitter, panel = writer.emitter, writer.kernel.scratch[0]
    answer = emitter.variable(I64)
    function = finite_function(emitter.function.module, panel.dtype)
    rows = emitter.multiply(emitter.product(writer.form.window), _depth(writer))
    emitter.builder.call(
        function, [panel.pointer, emitter.raw(emitter.multiply(rows, panel_width(panel.dtype))), answer]
    )
    return emitter.builder.load(answer)


def _examples_at_once(equation: Equation) -> int:
    """Of how many examples a row is computed at a time: more than one where short rows fill tiles badly."""
    y, part = equation.inputs[1].aval.shape, equation.params.get("part")
    start, stop = (part.starts[-2], part.stops[-2]) if part else (0, equation.outputs[0].aval.shape[-2])
    if stop > LARGEST_STATIC or stop <= start:
        return 1
    # Threads get some each.
    return next(
        (n for n in range(1, min(MOST_ROWS, least_size(y[0]) // 2) + 1) if not is_wasteful(n * (stop - start))), 1
    )


class _Rows:
    """Rows of the result with zeros around them, the last ones that were copied, of some examples.

    Attributes
    ----------
    pointer : llvmlite.ir.Value
        Where they begin.
    step, example_step : int or Index
        The distances between neighbouring positions and examples.
    """

    def __init__(self, writer: Writer, examples: int):
        emitter, form = writer.emitter, writer.form
        self._writer, self._place, self._examples = writer, writer.kernel.scratch[2], examples
        self.pointer = self._place.pointer
        self._count = _kept_rows(form.window, form.dilation)
        self._reach = (form.window[-1] - 1) * form.dilation[-1]
        self.step = panel_width(self._place.dtype) if writer.in_pairs else writer.features
        positions = emitter.add(emitter.size(form.counts[-1]), 2 * self._reach)
        self._size = emitter.multiply(positions, self.step)
        self.example_step = emitter.multiply(self._size, self._count)

    def clear(self) -> None:
        """Write zeros everywhere."""
        emitter, builder = self._writer.emitter, self._writer.emitter.builder
        fill = emitter.function.module.declare_intrinsic("llvm.memset", [POINTER, I64])
        size = emitter.multiply(self.example_step, self._examples * self._place.dtype.itemsize)
        place = builder.bitcast(self._place.pointer, POINTER)
        builder.call(fill, [place, ir.Constant(ir.IntType(8), 0), emitter.raw(size), ir.Constant(ir.IntType(1), 0)])

    def start(self, row: Ix) -> Ix:
        """Where a row begins."""
        _, slot = self._writer.emitter.divide(row, self._count)
        return self._writer.emitter.multiply(slot, self._size)

    def copy(self, first: Ix, count: Ix, outer: Sequence[Ix], feature: Ix, columns: Ix) -> None:
        """Copy a row of each of some examples, from some feature on."""
        with self._writer.emitter.loop(0, count, short=True) if self._examples > 1 else nullcontext(0) as e:
            self._copy(self._writer.emitter.add(first, e), e, outer, feature, columns)

    def _copy(self, n: Ix, e: Ix, outer: Sequence[Ix], feature: Ix, columns: Ix) -> None:
        writer, emitter = self._writer, self._writer.emitter
        builder, size = emitter.builder, self._place.dtype.itemsize
        begin = emitter.add(self.start(outer[0] if outer else 0), emitter.multiply(self.step, self._reach))
        begin = emitter.add(begin, emitter.multiply(e, self.example_step))
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


class _Gathered:
    """For each element of a part of the input, tiles summed over all windows that it belongs to; a row of some examples at once."""

    def __init__(self, writer: Writer, equation: Equation):
        emitter = writer.emitter
        self._writer, self._at_once = writer, _examples_at_once(equation)
        self._part = equation.params.get("part") or Part((0,) * len(writer.x.shape), writer.x.shape)
        self._rows = _Rows(writer, self._at_once)
        self._left = emitter.size(self._part.starts[-2])
        self._width = emitter.subtract(emitter.size(self._part.stops[-2]), self._left)
        typical = emitter.multiply(self._at_once, self._width)
        self.tiles = Tiles(emitter, writer.w.dtype, typical, _channels(writer), writer.in_pairs)
        # Neighbouring elements of the window read neighbouring positions, whose features lie together.
        self._joined = writer.in_pairs or writer.form.dilation[-1] == 1
        self._terms = 1 if self._joined else writer.form.window[-1]

    def write(self, first: Ix, count: Ix, group: Ix, start: Ix, columns: Ix) -> None:
        """A panel of channels, whose kernel is copied, of some examples."""
        writer, rows, part = self._writer, self._rows, self._part
        kernel, emitter = writer.kernel, writer.emitter
        channel, feature = _in_group(writer, group, start)
        rows.clear()
        with (
            in_steps(writer, count, self._at_once) as (e, several),
            kernel.loops(writer.x.shape[1:-2], plain=True) as outer,
        ):
            n, examples = emitter.add(first, e), several if self._at_once > 1 else 1
            if not outer:
                rows.copy(n, examples, outer, feature, columns)
                self._write_row(n, examples, (), channel, columns)
                return
            with kernel.only_if(_is_between(writer, outer[0], 0, writer.form.counts[0])):
                rows.copy(n, examples, outer, feature, columns)
            with kernel.only_if(_is_between(writer, outer[0], part.starts[1], part.stops[1])):
                self._write_row(n, examples, outer, channel, columns)

    def _write_row(self, n: Ix, count: Ix, outer: Ixs, channel: Ix, columns: Ix) -> None:
        writer, emitter, rows = self._writer, self._writer.emitter, self._rows
        panel, offsets = writer.kernel.scratch[:2]
        window, dilation = writer.form.window, writer.form.dilation
        first, last = _window_rows(writer, outer)
        for t in range(window[0] if outer else 1):
            row = emitter.subtract(outer[0], t * dilation[0]) if outer else 0
            for j in range(self._terms):
                position = emitter.add(self._left, j * dilation[-1])
                offset = emitter.add(rows.start(row), emitter.multiply(rows.step, position))
                target = emitter.builder.gep(offsets.pointer, [ir.Constant(I64, t * self._terms + j)])
                emitter.builder.store(emitter.raw(offset), target)
        summed = emitter.multiply(emitter.add(emitter.subtract(last, first), 1), self._terms)
        b = writer.panel_row(panel, emitter.multiply(first, emitter.multiply(window[-1], _depth(writer))))
        c = writer.address(writer.x, (n, *outer, self._left, channel))
        there = emitter.builder.gep(offsets.pointer, [emitter.raw(emitter.multiply(first, self._terms))])
        inner = emitter.multiply(window[-1] if self._joined else 1, _depth(writer))
        step = emitter.multiply(rows.step, dilation[-1]) if writer.in_pairs else 1
        operands = Operands(rows.pointer, b, c, there, summed, inner, step)
        self.tiles.run(operands, self._place, columns, False, emitter.multiply(count, self._width))

    def _place(self, number: Ix) -> tuple[Ix, Ix]:
        """Where the features of an element begin in the rows, and where it lies in the input."""
        emitter, rows, x = self._writer.emitter, self._rows, self._writer.x
        e, column = emitter.divide(number, self._width) if self._at_once > 1 else (0, number)
        steps = (rows.example_step, rows.step), (emitter.product(x.shape[1:]), emitter.size(x.shape[-1]))
        a, c = (emitter.add(emitter.multiply(e, far), emitter.multiply(column, near)) for far, near in steps)
        return a, c


def _window_rows(writer: Writer, outer: Ixs) -> tuple[Ix, Ix]:
    """The first and the last row of the window that reads a row of the input."""
    if not outer:
        return 0, 0
    emitter, step = writer.emitter, writer.form.dilation[0]
    beyond = emitter.add(emitter.subtract(outer[0], emitter.size(writer.form.counts[0])), step)
    first, _ = emitter.divide(emitter.larger(beyond, 0), step)
    return first, emitter.smaller(emitter.divide(outer[0], step)[0], writer.form.window[0] - 1)


def _is_between(writer: Writer, index: Ix, start: int, stop: int) -> ir.Value:
    """Whether an index of an axis is one of a part."""
    emitter = writer.emitter
    first, last = emitter.size(start), emitter.size(stop)
    numbers = emitter.subtract(index, first), emitter.subtract(last, first)
    return emitter.builder.icmp_unsigned("<", *map(emitter.raw, numbers))
