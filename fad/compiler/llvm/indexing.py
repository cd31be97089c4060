"""Reading and writing by index: ``gather``, its transpose, ``scatter_*``, and windows at positions known at run time.

An index outside its axis is noted as an error and replaced by 0, so that no address outside an array is ever formed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, Index, Ix
from fad.compiler.llvm.outlined import Outlined
from fad.compiler.llvm.positions import nearest_position, wrapped_index
from fad.compiler.llvm.rules import Ixs, aligned, index_axes, whole_index
from fad.compiler.llvm.scalar_value import Value
from fad.core.program import Atom, Equation

__all__ = [
    "scatter_refusal",
    "write_checked_indices",
    "write_dynamic_slice",
    "write_dynamic_update_slice",
    "write_gather",
    "write_gather_transpose",
    "write_scatter",
]

_INT64 = np.dtype(np.int64)
_ZERO = ir.Constant(I64, 0)


class _Place(NamedTuple):
    """Positions inside the indexed axes; whether they are what was asked for, ``None`` if they always are."""

    positions: list[Ix]
    inside: ir.Value | None


def _position(kernel: Outlined, atom: Atom, index: Ixs, size: int, mode: str) -> tuple[Index, ir.Value | None]:
    """One index as a position inside its axis, which is not empty."""
    emitter = kernel.emitter
    found = kernel.elements.element(atom, aligned(index, atom.aval.shape))
    if mode == "clip":
        return nearest_position(emitter, found, size), None
    asked = wrapped_index(emitter, found, size)
    builder = emitter.scopes[asked.depth].builder
    if mode == "raise":
        kernel.fail_if(builder.not_(asked.inside), asked.depth)
    position = Index(builder.select(asked.inside, asked.value, _ZERO), asked.depth)
    return position, asked.inside if mode == "drop" else None


def _place(
    kernel: Outlined, indices: Sequence[Atom], index: Ixs, shape: tuple[int, ...], axes: tuple[int, ...], mode: str
) -> _Place:
    """Where the indices point for one element of their common shape."""
    positions: list[Ix] = []
    inside: ir.Value | None = None
    for atom, axis in zip(indices, axes, strict=True):
        position, holds = _position(kernel, atom, index, shape[axis], mode)
        positions.append(position)
        if holds is not None:
            builder = kernel.emitter.builder
            inside = holds if inside is None else builder.and_(inside, holds)
    return _Place(positions, inside)


def _no_elements(
    kernel: Outlined, indices: Sequence[Atom], selected: tuple[int, ...], shape: tuple[int, ...], axes: Any, mode: str
) -> bool:
    """Whether no element is selected, after a check of the indices all the same; in an empty axis any index is outside."""
    if 0 in selected:
        common = np.broadcast_shapes(*[a.aval.shape for a in indices])
        if mode != "drop" and 0 not in common:
            if any(shape[a] == 0 for a in axes):
                kernel.fail_if(ir.Constant(ir.IntType(1), 1), 0)
            elif mode == "raise":
                with kernel.loops(common) as index:
                    _place(kernel, indices, index, shape, axes, mode)
        return True
    if all(shape[a] for a in axes):
        return False
    if mode != "drop":
        kernel.fail_if(ir.Constant(ir.IntType(1), 1), 0)
    return True


def write_checked_indices(kernel: Outlined, equation: Equation) -> None:
    """Write ``checked_indices``."""
    (atom,), size = equation.inputs, equation.params["length"]
    if _no_elements(kernel, [atom], atom.aval.shape, (size,), (0,), "raise"):
        kernel.clear()
        return
    with kernel.loops(atom.aval.shape) as index:
        position, _ = _position(kernel, atom, index, size, "raise")
        kernel.store(Value(position.value, _INT64), index)


def write_gather(kernel: Outlined, equation: Equation) -> None:
    """Write ``gather``."""
    x, *indices = equation.inputs
    axes, mode = equation.params["axes"], equation.params["mode"]
    out = equation.outputs[0].aval
    if _no_elements(kernel, indices, out.shape, x.aval.shape, axes, mode):
        kernel.clear()
        return
    own = index_axes(indices, axes)
    with kernel.loops(out.shape) as index:
        place = _place(kernel, indices, index[own], x.aval.shape, axes, mode)
        rest = (*index[: own.start], *index[own.stop :])
        value = kernel.value(x, whole_index(rest, place.positions, axes, x.aval.ndim))
        if place.inside is not None:
            k = kernel.emitter.scalar
            value = Value(k.builder.select(place.inside, value.ir, k.zero(value).ir), value.dtype)
        kernel.store(value, index)


Combine = Callable[[Any, Value, Value], Value]

_COMBINE: dict[str, Combine] = {
    "scatter_set": lambda k, old, new: new,
    "scatter_add": lambda k, old, new: k.add(old, new),
    "scatter_mul": lambda k, old, new: k.multiply(old, new),
    "scatter_min": lambda k, old, new: k.minimum(old, new),
    "scatter_max": lambda k, old, new: k.maximum(old, new),
}


def _put(kernel: Outlined, updates: Atom, indices: Sequence[Atom], shape: Any, params: Any, combine: Combine) -> None:
    """Combine updates with the elements of the first result that the indices point to, in C order of the updates."""
    axes, mode = params["axes"], params["mode"]
    if _no_elements(kernel, indices, updates.aval.shape, shape, axes, mode):
        return
    own = index_axes(indices, axes)
    with kernel.loops(updates.aval.shape) as index:
        place = _place(kernel, indices, index[own], shape, axes, mode)
        target = whole_index((*index[: own.start], *index[own.stop :]), place.positions, axes, len(shape))
        if place.inside is None:
            _combine_one(kernel, updates, index, target, combine)
        else:
            with kernel.only_if(place.inside):
                _combine_one(kernel, updates, index, target, combine)


def _combine_one(kernel: Outlined, updates: Atom, index: Ixs, target: Ixs, combine: Combine) -> None:
    new = kernel.value(updates, index, kernel.outputs[0].dtype)
    kernel.store(combine(kernel.emitter.scalar, kernel.load(target), new), target)


def write_scatter(kernel: Outlined, equation: Equation) -> None:
    """Write any ``scatter_*``."""
    x, updates, *indices = equation.inputs
    if x not in kernel.taken_over:
        kernel.copy(x)
    _put(kernel, updates, indices, x.aval.shape, equation.params, _COMBINE[equation.primitive.name])


def write_gather_transpose(kernel: Outlined, equation: Equation) -> None:
    """Write the transpose of ``gather``: zeros, with values added."""
    ct, *indices = equation.inputs
    shape = equation.params["shape"]
    kernel.clear()
    _put(kernel, ct, indices, shape, equation.params, _COMBINE["scatter_add"])


def scatter_refusal(equation: Equation) -> str | None:
    """``None`` if the writes can be compiled, else why not."""
    dtype, name = equation.outputs[0].aval.dtype, equation.primitive.name
    if dtype.kind == "b" and name != "scatter_set":
        return f"{name} of booleans"
    return None


# --- windows ---------------------------------------------------------------------------------------------------------------------------------


def _window(kernel: Outlined, starts: Sequence[Atom], shape: tuple[int, ...], sizes: tuple[int, ...], mode: str) -> Ixs:
    """The first index of a window inside an array."""
    emitter, found = kernel.emitter, []
    builder = emitter.builder
    for atom, n, size in zip(starts, shape, sizes, strict=True):
        value = kernel.value(atom, ())
        raw = emitter.scalar.astype(value, _INT64).ir
        end = emitter.raw(emitter.size(n))
        last = emitter.raw(emitter.subtract(emitter.size(n), emitter.size(size)))
        if value.dtype.kind == "u":
            first, above = raw, builder.icmp_unsigned(">", raw, last)
            outside = above
        else:
            below = builder.icmp_signed("<", raw, _ZERO)
            first = builder.select(below, builder.add(raw, end), raw)
            above = builder.icmp_signed(">", first, last)
            outside = builder.or_(above, builder.icmp_signed("<", first, _ZERO))
        if mode != "clip":
            kernel.fail_if(outside, emitter.depth)
        nearest = builder.select(above, last, _ZERO)
        found.append(Index(builder.select(outside, nearest, first), 0))
    return tuple(found)


def write_dynamic_slice(kernel: Outlined, equation: Equation) -> None:
    """Write a window read at positions known at run time."""
    x, *starts = equation.inputs
    sizes = equation.params["sizes"]
    first = _window(kernel, starts, x.aval.shape, sizes, equation.params["mode"])
    add = kernel.emitter.add
    with kernel.loops(sizes) as index:
        kernel.store(kernel.value(x, tuple([add(a, b) for a, b in zip(first, index, strict=True)])), index)


def write_dynamic_update_slice(kernel: Outlined, equation: Equation) -> None:
    """Write an array with a window of it replaced."""
    x, update, *starts = equation.inputs
    first = _window(kernel, starts, x.aval.shape, update.aval.shape, equation.params["mode"])
    kernel.copy(x)
    add = kernel.emitter.add
    with kernel.loops(update.aval.shape) as index:
        value = kernel.value(update, index, kernel.outputs[0].dtype)
        kernel.store(value, tuple([add(a, b) for a, b in zip(first, index, strict=True)]))
