"""Convolution and its two gradients, computed in register tiles without a copy of the windows.

The three operations are sums over one trilinear form, see :mod:`fad.primitives.convolution`. Each runs over tiles whose rows are positions
along the last spatial axis (for the kernel's gradient: elements of a row of the window), and whose columns are features or channels. The
operand that is read in vectors is first copied panel by panel, so that it is read in the order of memory. Where each channel is a group of its own and
makes one feature (depthwise convolution), a vector holds neighbouring channels of each operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.convolution_places import (
    Positions,
    Scratch,
    Split,
    Writer,
    fixed_shape,
    in_steps,
    is_in_pairs,
    joined_axes,
    memory_of,
    merges_rows,
    shapes_of,
    split_of,
    turns_of,
    unit_axes,
)
from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I64, Emitter, Ix
from fad.compiler.llvm.outlined import Outlined, Sharing
from fad.compiler.llvm.parallel import APART
from fad.compiler.llvm.rules import Ixs
from fad.compiler.llvm.tile_functions import copy_function, panel_width
from fad.compiler.llvm.tiles import Operands, Tiles
from fad.compiler.size_classes import least_size, most_size
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

_LARGE_KERNEL, _LEAST_PANELS, _LEAST_FEATURES = 1 << 14, 4, 32
"""Kernels of at least so many elements are shared between threads where they are summed, if they have features for so many panels of as many at least."""


def convolution_refusal(equation: Equation) -> str | None:
    """``None`` if the convolution can be compiled, else why not."""
    x, y, out = (a.aval.dtype for a in (*equation.inputs, *equation.outputs))
    if not (x == y == out) or out.char not in "fd":
        return f"convolution of {x} and {y}"
    return None


def convolution_sharing(equation: Equation) -> Sharing:
    """Threads share positions and panels of the result; of a small kernel's gradient each has a sum of its own for some examples."""
    name = equation.primitive.name
    _, w, y = shapes_of(equation)
    apart = APART * equation.outputs[0].aval.dtype.itemsize
    work, weight = (*y, *w[:-1]), (1, 4)
    if math.prod(map(most_size, w[:-1])) < 4 * apart:
        work, weight = y, (apart, 1)  # shared for the sake of the loops that follow
    if name != "convolve_kernel":
        return Sharing(lambda emitter: split_of(emitter, equation, name == "convolve").turns(emitter), work, weight)
    if _is_large(w):
        return Sharing(lambda emitter: _parts_of_kernel(emitter, equation).turns(emitter), work, weight)
    return Sharing(lambda emitter: _examples_of_kernel(emitter, equation).turns(emitter), work, weight, "reduce_sum")


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
        kernel.clear()
        return
    panel, offsets = kernel.scratch
    form, count = writer.form, writer.write_offsets(offsets)
    shape = writer.y.shape[:-1]
    run = Positions(writer, joined_axes(shape))
    tiles, split = run.tiles(writer.features), split_of(emitter, equation, True)
    zeros = (0,) * len(form.window)

    def copy(feature: Ix, columns: Ix) -> None:
        source = writer.address(w, (*zeros, 0, feature))
        writer.call(copy_function, panel.pointer, source, emitter.product(w.shape[:-1]), writer.w_step(), columns)

    # There may be one panel for all turns.
    is_single = split.groups == split.panels == 1
    if is_single:
        copy(*tiles.panel(0))
    with turns_of(writer, split) as (first, units, group, number):
        start, columns = tiles.panel(number)
        feature = emitter.add(emitter.multiply(group, writer.features), start)
        if not is_single:
            copy(feature, columns)
        with run.starts(first, units, unit_axes(shape)) as ((n, *position), rows):
            a = writer.in_x(n, position, zeros, writer.channel(group, start))
            c = writer.address(writer.y, (n, *position, feature))
            operands = Operands(a, panel.pointer, c, offsets.pointer, count, writer.inner(), 1)
            tiles.run(operands, run.place, columns, False, rows)


# --- the gradient by the kernel ------------------------------------------------------------------------------------------------------------------


def write_convolve_kernel(kernel: Outlined, equation: Equation) -> None:
    """Write ``convolve_kernel``: tiles of elements of the window by features, summed over some positions at a time."""
    x, y = memory_of(kernel, equation)
    writer, emitter = Writer(kernel, equation.params, x, kernel.outputs[0], y), kernel.emitter
    if writer.is_empty:
        kernel.clear()
        return
    rows = emitter.size(writer.form.window[-1]) if writer.in_pairs else writer.inner()
    tiles = Tiles(emitter, y.dtype, rows, writer.features, writer.in_pairs)
    if _is_large(writer.w.shape):
        _write_parts(writer, tiles, equation)
    else:
        _write_sums(writer, tiles, equation)


def _is_large(w: tuple[int, ...]) -> bool:
    """Whether threads share the elements of a kernel's gradient, for all sizes that share the code: a sum for each of them would be too much."""
    panels = least_size(w[-1]) // _LEAST_FEATURES
    return panels >= _LEAST_PANELS and math.prod(map(least_size, w)) >= _LARGE_KERNEL


def _terms(equation: Equation, w: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    """The elements of the window that are written apart: each is a turn where the kernel's elements are shared."""
    joined = is_in_pairs(w, y, equation.params["groups"]) or merges_rows(equation.params)
    return w[:-3] if joined else w[:-2]


def _parts_of_kernel(emitter: Emitter, equation: Equation) -> Split:
    """Turns for each element of the window and each panel of features, over all examples."""
    _, w, y = shapes_of(equation)
    return split_of(emitter, equation)._replace(units=emitter.product(_terms(equation, w, y)), each=1)


def _write_parts(writer: Writer, tiles: Tiles, equation: Equation) -> None:
    """Write a part of the kernel in each turn, summed over all positions."""
    emitter = writer.emitter
    _, w, y = shapes_of(equation)
    with turns_of(writer, _parts_of_kernel(emitter, equation)) as (number, _, group, panel):
        term: Ixs = ()
        for n in reversed(_terms(equation, w, y)):
            number, index = emitter.divide(number, emitter.size(n))
            term = (index, *term)
        start, columns = tiles.panel(panel)
        with _chunks(writer, 0, emitter.size(y[0])) as chunk:
            position = (chunk.example, *chunk.outer, chunk.row, chunk.first)
            adds = emitter.builder.icmp_signed("!=", emitter.raw(reduce(emitter.add, position)), ir.Constant(I64, 0))
            with _copied(writer, chunk, group, start, columns) as write:
                write(tiles, term, emitter.builder.zext(adds, I64))


def _write_sums(writer: Writer, tiles: Tiles, equation: Equation) -> None:
    """Add what the examples of this call contribute to every element of the kernel."""
    kernel, emitter = writer.kernel, writer.emitter
    _, w, y = shapes_of(equation)
    split = _examples_of_kernel(emitter, equation)
    kernel.clear()
    begin, end = (emitter.smaller(emitter.multiply(t, split.each), split.units) for t in kernel.turns)
    with _chunks(writer, begin, end) as chunk, kernel.loops((writer.groups,), plain=True) as (group,):

        def write_panel(start: Ix, columns: Ix) -> None:
            with (
                _copied(writer, chunk, group, start, columns) as write,
                kernel.loops(_terms(equation, w, y), plain=True) as term,
            ):
                write(tiles, term, True)

        tiles.panels(write_panel)


def _examples_of_kernel(emitter: Emitter, equation: Equation) -> Split:
    """Turns for blocks of examples."""
    return split_of(emitter, equation)._replace(groups=1, panels=1)


class _Chunk(NamedTuple):
    """Some neighbouring examples, some rows of positions of each, and some positions of each row."""

    example: Ix
    outer: Ixs
    row: Ix
    first: Ix
    examples: Ix
    rows: Ix
    count: Ix


@contextmanager
def _chunks(writer: Writer, begin: Ix, end: Ix) -> Iterator[_Chunk]:
    """A loop over some examples and their positions, at most ``_CHUNK`` positions at a time.

    Several examples are taken at a time only where all rows of the last two axes fit: else the rows taken fill more than half a chunk.
    """
    emitter, counts = writer.emitter, writer.form.counts
    length = emitter.size(counts[-1])
    count = emitter.smaller(length, _CHUNK)
    height = emitter.size(counts[-2]) if len(counts) > 1 else 1
    rows = emitter.smaller(height, emitter.divide(_CHUNK, count)[0])
    examples, _ = emitter.divide(_CHUNK, emitter.multiply(rows, count))
    with (
        in_steps(writer, emitter.subtract(end, begin), examples) as (n, several),
        writer.kernel.loops(counts[:-2], plain=True) as outer,
        in_steps(writer, height, rows) as (row, some),
        in_steps(writer, length, count) as (first, here),
    ):
        yield _Chunk(emitter.add(begin, n), outer, row, first, several, some, here)


@contextmanager
def _copied(writer: Writer, chunk: _Chunk, group: Ix, start: Ix, columns: Ix) -> Iterator[Callable]:
    """Copy some features of a chunk of positions; gives ``write(tiles, term, adds)``, which sums over them for an element of the window."""
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
    feature, pairs = emitter.add(emitter.multiply(group, writer.features), start), writer.in_pairs
    _copy_positions(writer, panel, feature, chunk, columns)

    def write(tiles: Tiles, term: Ixs, adds: bool | ir.Value) -> None:
        taps = (*term, 0) if pairs else writer.taps(term)
        a = writer.in_x(chunk.example, _position(writer, chunk, 0), taps, writer.channel(group, start))
        c = writer.address(writer.w, (*taps, 0, feature))
        terms = emitter.multiply(chunk.examples, chunk.rows)
        operands = Operands(a, panel.pointer, c, offsets.pointer, terms, chunk.count, writer.x_step())
        steps = writer.steps(writer.tap_step() if pairs else 1, emitter.size(writer.w.shape[-1]))
        tiles.run(operands, steps, columns, adds)

    yield write


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
