"""The machine code of segments: one cache of it for the whole process, and one on disk for all processes."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from fad.compiler.canonical import Canonical
from fad.compiler.disk_cache import current_cache
from fad.compiler.llvm.environment import cache_key
from fad.compiler.llvm.symbols import link
from fad.compiler.memory_plan import MemoryPlan
from fad.core.interruptions import uninterrupted
from fad.core.locks import Lock
from fad.core.program import Program

__all__ = ["Code", "code_of", "header_of"]

_numbers = itertools.count()
_CALL = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class Code:
    """The machine code of a segment, for any sizes.

    Attributes
    ----------
    address : int
        Of the native function.
    sizes : tuple of int
        The sizes that it was first compiled for, in the order of their symbols.
    memory : MemoryPlan
        Its temporary arrays.
    reused : tuple of (int, int)
        Numbers of results and of the inputs whose memory they take.
    """

    def __init__(self, name: str, header: dict[str, Any], code: bytes):
        self.address = link(_objects(header["objects"], code), header["symbols"], name)
        self.sizes = tuple(header["sizes"])
        self.memory = MemoryPlan.of_rows(header["memory"])
        self.reused = tuple((out, taken) for out, taken in header["reused"])
        self.call = _CALL(self.address)


def _make(program: Program, canonical: Canonical, is_brief: bool) -> Code:
    """Code from disk, else made and kept there if it means the same in every process."""
    if not canonical.is_lasting:
        name = f"fad_segment_{next(_numbers)}"
        return Code(name, *_compile(name, program, canonical, is_brief))
    kind = "brief" if is_brief else "segment"
    name, key = f"fad_{kind}_{canonical.key}", cache_key(kind, str(canonical.key))
    cache = current_cache()
    found = None if cache is None else cache.read(key)
    if found is None:
        found = _compile(name, program, canonical, is_brief)
        if cache is not None:
            cache.write(key, *found)
    return Code(name, *found)


def _compile(name: str, program: Program, canonical: Canonical, is_brief: bool) -> tuple[dict[str, Any], bytes]:
    """What must be known of the code, and the code."""
    with uninterrupted():
        from fad.compiler.llvm.lowering import compile_segment

    lowering, symbols, objects = compile_segment(name, program, canonical, is_brief)
    return header_of(lowering, symbols, objects), b"".join(objects.values())


def header_of(lowering: Any, symbols: Sequence[str], objects: dict[tuple[str, ...], bytes]) -> dict[str, Any]:
    """What must be known of a segment's code, which is its object files one after another."""
    sizes = [(names, len(code)) for names, code in objects.items()]
    return {
        "symbols": symbols,
        "sizes": lowering.canonical.sizes,
        "memory": lowering.memory.rows(),
        "reused": lowering.reused_numbers,
        "objects": sizes,
    }


def _objects(sizes: Sequence[tuple[Sequence[str], int]], code: bytes) -> Iterator[tuple[Sequence[str], bytes]]:
    """The object files and the names that they define."""
    first = 0
    for names, size in sizes:
        yield names, code[first : first + size]
        first += size


_codes: dict[Hashable, Code] = {}
_compiling: dict[Hashable, Lock] = {}
_lock = Lock()


def code_of(program: Program, canonical: Canonical, is_brief: bool = False) -> Code:
    """The code for a Program, made once even if many threads ask; with ``is_brief`` less work is done on it, for it runs for less time than it takes to call."""
    key = (canonical.key, is_brief)
    found = _codes.get(key)
    if found is not None:
        return found
    with _lock.held:
        lock = _compiling.setdefault(key, Lock())
    with lock.held:
        if key not in _codes:
            _codes[key] = _make(program, canonical, is_brief)
            with _lock.held:
                _compiling.pop(key, None)
        return _codes[key]
