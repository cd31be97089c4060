"""Convolution and its two gradients, computed directly in register tiles: no copy of the windows is made.

The three operations are sums over one trilinear form, see :mod:`fad.primitives.convolution`. Each runs over tiles whose rows are positions
along the last spatial axis (or, for the kernel's gradient, the elements of a row of the window), and whose columns are features (or
channels), so that vectors are read and written as they lie in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import Ix
from fad.compiler.llvm.indexing import fill
from fad.compiler.llvm.outlined import Outlined
from fad.compiler.llvm.tiles import Columns, Tile, each_panel, each_row_block, with_tile_shape
from fad.core.program import Equation

__all__ = [
    "convolution_refusal",
    "kernel_copy",
    "write_convolve",
    "write_convolve_input",
    "write_convolve_kernel",
]


def convolution_refusal(equation: Equation) -> str | None:
    """``None`` if the convolution can be compiled, else why not."""
    x, y, out = (a.aval.dtype for a in (*equation.inputs, *equation.outputs))
    if not (x == y == out) or out.char not in "fd":
        return f"convolution of {x} and {y}"
    return None


class _Form(NamedTuple):
    """The sizes of a convolution: spatial axes, channels and features of one group, how windows are placed."""

    space: tuple[int, ...]
    window: tuple[int, ...]
    counts: tuple[int, ...]
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    channels: int
    features: int

    @property
    def merges(self) -> bool:
        """Whether a row of the window lies in memory as it does in the kernel."""
        return self.dilation[-1] == 1 and self.groups == 1


def _form(x: Sequence[int], w: Sequence[int], y: Sequence[int], params: dict[str, Any]) -> _Form:
    groups = params["groups"]
    return _Form(
        tuple(x[1:-1]),
        tuple(w[:-2]),
        tuple(y[1:-1]),
        params["strides"],
        params["dilation"],
        groups,
        w[-2],
        w[-1] // groups if groups > 1 else w[-1],
    )


class _Writer:
    """What the three operations share: addresses in the input ``x``, the kernel ``w`` and the result ``y``."""

    def __init__(self, kernel: Outlined, form: _Form, x: Memory, w: Memory, y: Memory):
        self.kernel, self.emitter, self.form = kernel, kernel.emitter, form
        self.x, self.w, self.y = x, w, y
        self.dtype = y.dtype

    def features(self) -> Ix:
        """The number of features of a group."""
        if self.form.groups == 1:
            return self.emitter.size(self.form.features)
        quotient, _ = self.emitter.divide(self.emitter.size(self.y.shape[-1]), self.emitter.size(self.form.groups))
        return quotient

    def along(self, axis: int, position: Ix, tap: Ix) -> Ix:
        """Where an element of a window lies along a spatial axis of the input."""
        emitter, form = self.emitter, self.form
        return emitter.add(
            emitter.multiply(position, emitter.size(form.strides[axis])),
            emitter.multiply(tap, emitter.size(form.dilation[axis])),
        )

    def x_position(self, n: Ix, outer: Sequence[Ix], last: Ix, taps: Sequence[Ix], channel: Ix) -> Ix:
        """The number of an element of the input."""
        inner = [self.along(a, i, t) for a, (i, t) in enumerate(zip((*outer, last), taps, strict=True))]
        return self.kernel.elements.position(self.x, (n, *inner, channel))

    def address(self, place: Memory, position: Ix) -> ir.Value:
        """The address of an element by its number."""
        return self.emitter.builder.gep(place.pointer, [self.emitter.raw(position)], inbounds=True)

    def w_position(self, taps: Sequence[Ix], channel: Ix, feature: Ix) -> Ix:
        """The number of an element of the kernel."""
        return self.kernel.elements.position(self.w, (*taps, channel, feature))

    def channel_of(self, group: Ix) -> Ix:
        """The first input channel of a group."""
        return self.emitter.multiply(group, self.emitter.size(self.form.channels))

    def feature_of(self, group: Ix, start: Ix) -> Ix:
        """The first feature of a panel of a group."""
        return self.emitter.add(self.emitter.multiply(group, self.features()), start)


def write_convolve(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve``: tiles of positions by features, summed over the window."""
    x, w = (kernel.storage(a) for a in equation.inputs)
    assert x is not None and w is not None
    y = kernel.outputs[0]
    if 0 in y.shape:
        return
    if 0 in w.shape:
        fill(kernel, y.shape, 0)
        return
    form = _form(x.shape, w.shape, y.shape, equation.params)
    writer, emitter = _Writer(kernel, form, x, w, y), kernel.emitter
    positions = emitter.size(form.counts[-1])

    def write(rows: int, vectors: int) -> None:
        with kernel.loops((x.shape[0], form.groups)) as (n, group):

            def panel(columns: Columns) -> None:
                feature = writer.feature_of(group, columns.start)
                with kernel.loops(form.counts[:-1]) as outer:
                    each_row_block(
                        emitter,
                        positions,
                        rows,
                        lambda last: _convolve_tile(writer, n, outer, last, group, columns, feature),
                    )

            each_panel(emitter, y.dtype, writer.features(), vectors, panel)

    with_tile_shape(emitter, y.dtype, positions, writer.features(), write)


def _convolve_tile(
    writer: _Writer, n: Ix, outer: Sequence[Ix], last: list[Ix], group: Ix, columns: Columns, feature: Ix
) -> None:
    emitter, form = writer.emitter, writer.form
    tile = Tile(emitter, writer.dtype, len(last), columns)
    looped = form.window[:-1] if form.merges else form.window
    inner = emitter.product((form.window[-1], form.channels)) if form.merges else emitter.size(form.channels)
    with writer.kernel.loops(looped) as found:
        taps = (*found, 0) if form.merges else found
        channel = writer.channel_of(group)
        rows = [writer.x_position(n, outer, p, taps, channel) for p in last]
        column = writer.w_position(taps, 0, feature)
        with emitter.loop(0, inner, plain=True) as k:
            numbers = [writer.address(writer.x, emitter.add(r, k)) for r in rows]
            step = emitter.multiply(k, emitter.size(writer.w.shape[-1]))
            tile.multiply_add(numbers, writer.address(writer.w, emitter.add(column, step)))
    index = [(n, *outer, p, feature) for p in last]
    tile.write([writer.address(writer.y, writer.kernel.elements.position(writer.y, i)) for i in index])


# --- the gradient by the input -------------------------------------------------------------------------------------------------------------------


def kernel_copy(equation: Equation) -> list[tuple[tuple[int, ...], np.dtype]]:
    """What ``convolve_input`` needs: room for its kernel with channels and features swapped."""
    w = equation.inputs[0].aval
    return [((*w.shape[:-2], w.shape[-1], w.shape[-2]), w.dtype)]


def write_convolve_input(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve_input``: for each element of the window, tiles of positions by channels, added to where its windows lie."""
    w, y = (kernel.storage(a) for a in equation.inputs)
    assert w is not None and y is not None
    x = kernel.outputs[0]
    fill(kernel, x.shape, 0)
    if 0 in x.shape or 0 in w.shape or 0 in y.shape:
        return
    form = _form(x.shape, w.shape, y.shape, equation.params)
    swapped = kernel.scratch[0]
    _swap(kernel, w, swapped)
    writer, emitter = _Writer(kernel, form, x, swapped, y), kernel.emitter
    positions, channels = emitter.size(form.counts[-1]), emitter.size(form.channels)

    def write(rows: int, vectors: int) -> None:
        with kernel.loops((y.shape[0], form.groups)) as (n, group):

            def panel(columns: Columns) -> None:
                channel = emitter.add(writer.channel_of(group), columns.start)
                with kernel.loops(form.counts[:-1]) as outer, kernel.loops(form.window) as taps:
                    each_row_block(
                        emitter,
                        positions,
                        rows,
                        lambda last: _input_tile(writer, (n, outer, last), taps, group, columns, channel),
                    )

            each_panel(emitter, x.dtype, channels, vectors, panel)

    with_tile_shape(emitter, x.dtype, positions, channels, write)


def _swap(kernel: Outlined, w: Memory, target: Memory) -> None:
    elements = kernel.elements
    with kernel.loops(target.shape) as index:
        *taps, feature, channel = index
        elements.store(elements.load(w, (*taps, channel, feature)), target, index)


def _input_tile(
    writer: _Writer,
    where: tuple[Ix, Sequence[Ix], list[Ix]],
    taps: Sequence[Ix],
    group: Ix,
    columns: Columns,
    channel: Ix,
) -> None:
    emitter, position = writer.emitter, writer.kernel.elements.position
    n, outer, last = where
    tile = Tile(emitter, writer.dtype, len(last), columns)
    feature = writer.feature_of(group, 0)
    rows = [position(writer.y, (n, *outer, p, feature)) for p in last]
    column = position(writer.w, (*taps, feature, columns.start))
    with emitter.loop(0, writer.features(), plain=True) as k:
        numbers = [writer.address(writer.y, emitter.add(r, k)) for r in rows]
        step = emitter.multiply(k, emitter.size(writer.form.channels))
        tile.multiply_add(numbers, writer.address(writer.w, emitter.add(column, step)))
    tile.add([writer.address(writer.x, writer.x_position(n, outer, p, taps, channel)) for p in last])


# --- the gradient by the kernel ------------------------------------------------------------------------------------------------------------------


def write_convolve_kernel(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve_kernel``: tiles of the window's elements by features, summed over the positions of one example at a time."""
    x, y = (kernel.storage(a) for a in equation.inputs)
    assert x is not None and y is not None
    w = kernel.outputs[0]
    fill(kernel, w.shape, 0)
    if 0 in x.shape or 0 in w.shape or 0 in y.shape:
        return
    form = _form(x.shape, w.shape, y.shape, equation.params)
    writer, emitter = _Writer(kernel, form, x, w, y), kernel.emitter
    elements = emitter.size(form.channels)
    if form.merges:
        elements = emitter.product((form.window[-1], form.channels))

    def write(rows: int, vectors: int) -> None:
        with kernel.loops((x.shape[0], form.groups)) as (n, group):
            looped = form.window[:-1] if form.merges else form.window
            with kernel.loops(looped) as found:
                taps = (*found, 0) if form.merges else found

                def panel(columns: Columns) -> None:
                    each_row_block(
                        emitter, elements, rows, lambda block: _kernel_tile(writer, n, group, taps, block, columns)
                    )

                each_panel(emitter, w.dtype, writer.features(), vectors, panel)

    with_tile_shape(emitter, w.dtype, elements, writer.features(), write)


def _kernel_tile(writer: _Writer, n: Ix, group: Ix, taps: Sequence[Ix], block: list[Ix], columns: Columns) -> None:
    emitter, position, form = writer.emitter, writer.kernel.elements.position, writer.form
    tile = Tile(emitter, writer.dtype, len(block), columns)
    feature = writer.feature_of(group, columns.start)
    with writer.kernel.loops(form.counts[:-1]) as outer:
        first = writer.x_position(n, outer, 0, taps, writer.channel_of(group))
        column = position(writer.y, (n, *outer, 0, feature))
        step = emitter.multiply(emitter.size(form.strides[-1]), emitter.size(writer.x.shape[-1]))
        with emitter.loop(0, emitter.size(form.counts[-1]), plain=True) as k:
            base = emitter.add(first, emitter.multiply(k, step))
            numbers = [writer.address(writer.x, emitter.add(base, m)) for m in block]
            offset = emitter.multiply(k, emitter.size(writer.y.shape[-1]))
            tile.multiply_add(numbers, writer.address(writer.y, emitter.add(column, offset)))
    start = writer.w_position(taps, 0, feature)
    width = emitter.size(writer.w.shape[-1])
    tile.add([writer.address(writer.w, emitter.add(start, emitter.multiply(m, width))) for m in block])
