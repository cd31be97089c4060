"""How much work a loop is, in units of :data:`~fad.compiler.llvm.pool.GRAIN`: whether threads share it follows from that."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping

from fad.compiler.fusion import Group, Member, is_costly
from fad.compiler.llvm.emission import Emitter, Ix
from fad.compiler.llvm.parallel import APART, GRAIN, LEAST_WORK
from fad.compiler.size_classes import most_size
from fad.core.program import Var

__all__ = ["group_work", "most_work"]

_COSTLY = 12
_CACHE = 1 << 20
"""Bytes that a core's own cache holds: what is written there is read soon by the same core, and another one would have to fetch it."""
_BYTES = (3, 2)
"""What it takes to write so many units' worth of bytes beyond that: one thread writes 20 to 30 GB/s."""
NOTHING: Mapping[Var, Ix] = {}
"""No arrays that several threads made."""


def _work(member: Member) -> int:
    """The work of one element."""
    return _COSTLY if is_costly(member.equation) else LEAST_WORK


def _extra(member: Member, kept: Container[Var]) -> int:
    """How much more work an element of an array is that caches do not hold."""
    if member.is_reduction or member.output not in kept:
        return 0
    return max(0, member.output.aval.dtype.itemsize * _BYTES[0] // _BYTES[1] - _work(member))


def group_work(emitter: Emitter, group: Group, kept: Container[Var], made: Mapping[Var, Ix] = NOTHING) -> Ix:
    """The work of a group that writes what it is to keep, and reads arrays that threads may have ``made`` in parts, by the work it took."""
    total: Ix = 0
    members = group.members.values()
    for domain in dict.fromkeys(m.domain for m in members):
        here = [m for m in members if m.domain == domain]
        size = emitter.product(domain)
        total = emitter.add(total, emitter.multiply(size, sum(map(_work, here))))
        for member in here:
            if extra := _extra(member, kept):
                bytes_written = emitter.multiply(size, member.output.aval.dtype.itemsize)
                is_large = emitter.smaller(emitter.divide(bytes_written, _CACHE)[0], 1)
                total = emitter.add(total, emitter.multiply(emitter.multiply(size, extra), is_large))
    apart: Ix = 0
    for var, work in made.items():
        was_shared = emitter.smaller(emitter.divide(work, 2 * GRAIN)[0], 1)
        bytes_read = emitter.multiply(emitter.product(var.aval.shape), var.aval.dtype.itemsize)
        apart = emitter.add(apart, emitter.multiply(emitter.multiply(bytes_read, APART), was_shared))
    if any(m.is_global for m in members):
        apart = emitter.smaller(apart, 2 * GRAIN)  # each chunk has results of its own
    return emitter.add(total, apart)


def most_work(group: Group, kept: Container[Var], made: Mapping[Var, Ix] = NOTHING) -> int:
    """The most work that a group of this structure may have."""
    own = sum((_work(m) + _extra(m, kept)) * math.prod(map(most_size, m.domain)) for m in group.members.values())
    return own + sum(math.prod(map(most_size, v.aval.shape)) * v.aval.dtype.itemsize * APART for v in made)
