"""Convolution and its two gradients, computed in register tiles without a copy of the windows.

The three operations are sums over one trilinear form, see :mod:`fad.primitives.convolution`. Each runs over tiles whose rows are positions
along the last spatial axis (for the kernel's gradient: elements of a row of the window), and whose columns are features or channels. The
operand that is read in vectors is first copied panel by panel, so that it is read in the order of memory. Where each channel is a group of its own and
makes one feature (depthwise convolution), a vector holds neighbouring channels of each operand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from fad.compiler.llvm.convolution_places import (
    Positions,
    Scratch,
    Writer,
    fixed_shape,
    in_steps,
    joined_axes,
    memory_of,
)
from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import Ix
from fad.compiler.llvm.outlined import Outlined, Sharing
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.tile_functions import copy_function, panel_width
from fad.compiler.llvm.tiles import Operands, Tiles
from fad.core.program import Equation

__all__ = [
    "convolution_refusal",
    "convolution_sharing",
    "kernel_scratch",
    "result_scratch",
    "write_convolve",
    "write_convolve_kernel",
]

_INT64 = np.dtype(np.int64)
_CHUNK = 128
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


def result_scratch(equation: Equation) -> Scratch:
    """What ``convolve`` needs: a panel of its kernel, the offsets of the elements of a window."""
    w = equation.inputs[1].aval
    return [((*w.shape[:-1], *fixed_shape(panel_width(w.dtype))), w.dtype), (w.shape[:-2], _INT64)]


def kernel_scratch(equation: Equation) -> Scratch:
    """What ``convolve_kernel`` needs: a panel of some positions of the result, the offsets of their rows in the input."""
    dtype = equation.outputs[0].aval.dtype
    return [(fixed_shape(_CHUNK * panel_width(dtype)), dtype), (fixed_shape(_CHUNK), _INT64)]


def write_convolve(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve``: tiles of positions by features, summed over the window."""
    x, w = memory_of(kernel, equation)
    writer, emitter = Writer(kernel, equation.params, x, w, kernel.outputs[0]), kernel.emitter
    if writer.is_empty:
        kernel.clear(shared=True)
        return
    panel, offsets = kernel.scratch
    form, count = writer.form, writer.write_offsets(offsets)
    run = Positions(writer, joined_axes(writer.y.shape[:-1]))
    tiles = run.tiles(writer.features)
    zeros = (0,) * len(form.window)

    def write_group(group: Ix) -> None:
        def write_panel(start: Ix, columns: Ix) -> None:
            feature = emitter.add(emitter.multiply(group, writer.features), start)
            source = writer.address(w, (*zeros, 0, feature))
            writer.call(copy_function, panel.pointer, source, emitter.product(w.shape[:-1]), writer.w_step(), columns)
            with run.starts() as ((n, *position), rows):
                a = writer.in_x(n, position, zeros, writer.channel(group, start))
                c = writer.address(writer.y, (n, *position, feature))
                operands = Operands(a, panel.pointer, c, offsets.pointer, count, writer.inner(), 1)
                tiles.run(operands, run.place, columns, False, rows)

        tiles.panels(write_panel)

    with kernel.loops((writer.groups,), plain=True) as (group,):
        write_group(group)


# --- the gradient by the kernel ------------------------------------------------------------------------------------------------------------------


def write_convolve_kernel(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve_kernel``: tiles of elements of the window by features, summed over some positions at a time."""
    x, y = memory_of(kernel, equation)
    writer, emitter = Writer(kernel, equation.params, x, kernel.outputs[0], y), kernel.emitter
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


def _each_chunk(writer: Writer, write: Callable[[_Chunk], None]) -> None:
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
        in_steps(writer, emitter.subtract(end, begin), examples) as (n, several),
        writer.kernel.loops(counts[:-2], plain=True) as outer,
        in_steps(writer, height, rows) as (row, some),
        in_steps(writer, length, count) as (first, here),
    ):
        write(_Chunk(emitter.add(begin, n), outer, row, first, several, some, here))


def _write_chunk(writer: Writer, tiles: Tiles, chunk: _Chunk) -> None:
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
                steps = writer.steps(writer.tap_step() if pairs else 1, emitter.size(writer.w.shape[-1]))
                tiles.run(operands, steps, columns, True)

        tiles.panels(write_panel)

    with kernel.loops((writer.groups,), plain=True) as (group,):
        write_group(group)


@contextmanager
def _rows(writer: Writer, chunk: _Chunk) -> Iterator[tuple[Ix, Ix, Ix]]:
    """A loop over the rows of a chunk; gives the example and the row, both counted from the chunk's first, and the number of the row."""
    emitter = writer.emitter
    with emitter.loop(0, chunk.examples, plain=True) as e, emitter.loop(0, chunk.rows, plain=True) as t:
        yield e, t, emitter.add(emitter.multiply(e, chunk.rows), t)


def _position(writer: Writer, chunk: _Chunk, t: Ix) -> Ixs:
    """The first position of a row of a chunk."""
    row = (writer.emitter.add(chunk.row, t),) if len(writer.form.counts) > 1 else ()
    return (*chunk.outer, *row, chunk.first)


def _copy_positions(writer: Writer, panel: Memory, feature: Ix, chunk: _Chunk, columns: Ix) -> None:
    """Some features of a chunk of the result."""
    emitter = writer.emitter
    with _rows(writer, chunk) as (e, t, number):
        source = writer.address(writer.y, (emitter.add(chunk.example, e), *_position(writer, chunk, t), feature))
        target = writer.panel_row(panel, emitter.multiply(number, chunk.count))
        writer.call(copy_function, target, source, chunk.count, emitter.size(writer.y.shape[-1]), columns)
