"""Integers of an array as positions inside an axis of another one."""

from __future__ import annotations

from typing import NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.emission import I64, Emitter, Index, Located

__all__ = ["Wrapped", "nearest_position", "wrapped_index"]

_ZERO = ir.Constant(I64, 0)


class Wrapped(NamedTuple):
    """An index counted from the start of its axis, and whether it is inside."""

    value: ir.Value
    inside: ir.Value
    is_unsigned: bool
    depth: int


def wrapped_index(emitter: Emitter, found: Located, size: int) -> Wrapped:
    """Count an index from the start, as NumPy does: negative ones are from the end; a large unsigned one is not negative."""
    depth = max(found.depth, emitter.floor)
    scope = emitter.scopes[depth]
    builder, end = scope.builder, emitter.raw(emitter.size(size))
    raw = scope.scalar.astype(found.value, np.dtype(np.int64)).ir
    unsigned = found.value.dtype.kind == "u"
    value = raw if unsigned else builder.select(builder.icmp_signed("<", raw, _ZERO), builder.add(raw, end), raw)
    return Wrapped(value, builder.icmp_unsigned("<", value, end), unsigned, depth)


def nearest_position(emitter: Emitter, found: Located, size: int) -> Index:
    """The position inside the axis, which is not empty, that is next to an index."""
    index = wrapped_index(emitter, found, size)
    builder = emitter.scopes[index.depth].builder
    nearest = builder.sub(emitter.raw(emitter.size(size)), ir.Constant(I64, 1))
    if not index.is_unsigned:
        nearest = builder.select(builder.icmp_signed("<", index.value, _ZERO), _ZERO, nearest)
    return Index(builder.select(index.inside, index.value, nearest), index.depth)
