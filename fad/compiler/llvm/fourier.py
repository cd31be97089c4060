"""Fourier transforms along one axis, by the functions of NumPy that do one row after another; several rows are done at once as vectors."""

from __future__ import annotations

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.elements import Memory
from fad.compiler.llvm.emission import I64, POINTER, Ix
from fad.compiler.llvm.library_calls import NUMPY_LOOPS, numpy_loop, numpy_symbol
from fad.compiler.llvm.outlined import Outlined, Sharing
from fad.compiler.llvm.parallel import stored
from fad.compiler.size_classes import is_small
from fad.core.avals import real_dtype
from fad.core.program import Equation

__all__ = ["fourier_refusal", "fourier_sharing", "write_fourier"]

_INDEX = np.dtype(np.int64)
_LOOP_TYPE = ir.FunctionType(ir.VoidType(), [POINTER] * 4)


def fourier_refusal(equation: Equation) -> str | None:
    """``None`` if NumPy's functions can be called for it, else why not."""
    (a,), (out,) = [[v.aval for v in vs] for vs in (equation.inputs, equation.outputs)]
    kinds = {"fourier": "cc", "fourier_from_real": "fc", "fourier_to_real": "cf"}[equation.primitive.kernel]
    if a.dtype.kind + out.dtype.kind != kinds or real_dtype(a.dtype) != real_dtype(out.dtype):
        return f"a transform of {a.dtype}"
    if len(equation.params.get("axes", (0,))) != 1 or is_small(a.shape) or is_small(out.shape) or 0 in a.shape:
        return "a transform of a few numbers, or along several axes"
    if any(numpy_loop(name, "d") is None for name in NUMPY_LOOPS):
        return "this NumPy keeps its transforms elsewhere"
    return None


def _axis(equation: Equation) -> int:
    return equation.params["axes"][0] if "axes" in equation.params else equation.params["axis"]


def fourier_sharing(equation: Equation) -> Sharing | None:
    """Threads share the first axis that is not transformed."""
    shape, axis = equation.inputs[0].aval.shape, _axis(equation)
    if len(shape) < 2:
        return None
    return Sharing(shape[1] if axis == 0 else shape[0], shape, (16, 1))


def write_fourier(kernel: Outlined, equation: Equation) -> None:
    """Write the calls for one axis."""
    source, target, axis = kernel.storage(equation.inputs[0]), kernel.outputs[0], _axis(equation)
    assert source is not None
    emitter, (begin, end) = kernel.emitter, kernel.turns
    rows = _Rows(kernel, equation, source, target, axis)
    shape = source.shape
    after = emitter.product(shape[axis + 1 :])
    if axis == 0:
        part = emitter.product(shape[2:])
        first, count = emitter.multiply(begin, part), emitter.multiply(emitter.subtract(end, begin), part)
        rows.call(0, first, count if len(shape) > 1 else 1)
        return
    part = emitter.product(shape[1:axis])
    first, last = emitter.multiply(begin, part), emitter.multiply(end, part)
    if axis == len(shape) - 1:
        rows.call_beside(first, emitter.subtract(last, first))
        return
    with emitter.loop(first, last, plain=True) as block:
        rows.call(block, 0, after)


class _Rows:
    """Calls for rows along one axis.

    An array is a number of blocks; the elements of a row are as far apart as there are rows in a block.
    """

    def __init__(self, kernel: Outlined, equation: Equation, source: Memory, target: Memory, axis: int):
        self._kernel, self._places, self._axis = kernel, (source, target), axis
        self._emitter = kernel.emitter
        self._real = real_dtype(source.dtype)
        self._name = equation.primitive.kernel
        length = target.shape[axis] if self._name == "fourier_to_real" else source.shape[axis]
        self._length = self._emitter.size(length)
        self._inverse = self._name == "fourier_to_real" or equation.params.get("inverse", False)
        self._factor = self._place(self._scale(equation.params["norm"]))
        self._direction = self._place(ir.Constant(ir.IntType(8), int(not self._inverse)))

    def call(self, block: Ix, first: Ix, count: Ix) -> None:
        """Transform rows of a block, which begin beside each other."""
        emitter = self._emitter
        starts, steps = [], []
        for place in self._places:
            after = emitter.product(place.shape[self._axis + 1 :])
            size = emitter.multiply(emitter.size(place.shape[self._axis]), after)
            starts.append(emitter.add(emitter.multiply(block, size), first))
            steps.append((1, after))
        self._call(starts, count, steps)

    def call_beside(self, first: Ix, count: Ix) -> None:
        """Transform rows along the last axis, which follow each other."""
        sizes = [self._emitter.size(place.shape[-1]) for place in self._places]
        self._call([self._emitter.multiply(first, n) for n in sizes], count, [(n, 1) for n in sizes])

    def _call(self, starts: list[Ix], count: Ix, steps: list[tuple[Ix, Ix]]) -> None:
        """Call NumPy's function; ``steps`` are from row to row and from element to element, in elements."""
        emitter, builder = self._emitter, self._emitter.builder
        source, target = [self._address(p, s) for p, s in zip(self._places, starts, strict=True)]
        sizes = [emitter.size(p.shape[self._axis]) for p in self._places]
        (row_in, step_in), (row_out, step_out) = [
            [emitter.multiply(s, p.dtype.itemsize) for s in pair] for p, pair in zip(self._places, steps, strict=True)
        ]
        arguments = stored(emitter, [builder.ptrtoint(p, I64) for p in (source, self._factor, target)])
        dimensions = stored(emitter, [emitter.raw(n) for n in (count, *sizes)])
        strides = stored(emitter, [emitter.raw(n) for n in (row_in, 0, row_out, step_in, step_out)])
        builder.call(self._function(), [arguments, dimensions, strides, self._direction])

    def _function(self) -> ir.Value:
        if self._name != "fourier_from_real":
            return self._declared({"fourier": "ifft" if self._inverse else "fft"}.get(self._name, "irfft"))
        builder = self._emitter.builder
        odd = builder.trunc(self._emitter.raw(self._length), ir.IntType(1))
        return builder.select(odd, self._declared("rfft_n_odd"), self._declared("rfft_n_even"))

    def _declared(self, name: str) -> ir.Function:
        module, symbol = self._emitter.function.module, numpy_symbol(name, self._real.char)
        return module.globals.get(symbol) or ir.Function(module, _LOOP_TYPE, symbol)

    def _scale(self, norm: str) -> ir.Value:
        """What the results are multiplied with."""
        k = self._emitter.scalar
        if norm != "ortho" and (norm == "backward") != self._inverse:
            return k.constant(1, self._real).ir
        count = k.astype(k.wrap(self._emitter.raw(self._length), _INDEX), self._real)
        return k.reciprocal(k.sqrt(count) if norm == "ortho" else count).ir

    def _address(self, place: Memory, position: Ix) -> ir.Value:
        builder = self._emitter.builder
        scalars = self._emitter.multiply(position, 2 if place.dtype.kind == "c" else 1)
        return builder.bitcast(builder.gep(place.pointer, [self._emitter.raw(scalars)]), POINTER)

    def _place(self, value: ir.Value) -> ir.Value:
        return self._emitter.builder.bitcast(self._emitter.placed(value), POINTER)
