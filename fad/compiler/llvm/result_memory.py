"""Memory of large results, of which a little is kept for the next result of the same size.

The system clears each page that it gives to a process, which takes longer than most loops take to write it. The C library gives large arrays back
to the system as soon as they die, so a function that is called again and again would pay for new pages every time. NumPy lets an array's memory
come from elsewhere (NEP 49): the array knows whom to give it back to, whatever holds on to it meanwhile.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from fad.compiler.llvm.huge_pages import huge_pages_text
from fad.compiler.llvm.linking import Source, engine
from fad.compiler.llvm.symbols import link_helper
from fad.core.config import config
from fad.core.interruptions import uninterrupted

__all__ = ["LEAST", "LEAST_KEPT", "MOST", "SLOTS", "large_memory", "numpy_memory_from"]

LEAST_KEPT = 1 << 20
"""Arrays of fewer bytes are left to the C library, which keeps them itself."""
LEAST = 4 << 20
"""Large arrays; of those between, twice as many are kept beside the large ones. The C library keeps one of them, but gives several back that die together."""
MOST = 64 << 20
"""Larger arrays are not kept."""
SLOTS = 4
"""So many arrays are kept at most (``config.kept_results``); when another one dies, the one that was kept first goes."""

_NAME = b"fad_large_memory"
_CAPSULE_NAME = b"mem_handler"
_forever: list[Any] = []

# A block begins with its size; the array starts 64 bytes later. Slots are changed by atomic exchange alone, so any thread may come.
_SOURCE = """
@fad_memory_kept = internal global [@ALL@ x ptr] zeroinitializer, align 64 ; large arrays first, then the others
@fad_memory_turn = internal global i64 0
@fad_memory_most = internal global i64 @SLOTS@

declare i32 @posix_memalign(ptr, i64, i64)
declare void @free(ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)

define ptr @fad_memory_new(ptr %context, i64 %bytes) {
entry:
  %place = alloca ptr
  %large = icmp uge i64 %bytes, @LEAST@
  %first = select i1 %large, i64 0, i64 @SLOTS@
  %end = select i1 %large, i64 @SLOTS@, i64 @ALL@
  br label %look
look:
  %k = phi i64 [ %first, %entry ], [ %k1, %next ]
  %more = icmp slt i64 %k, %end
  br i1 %more, label %search, label %make
search:
  %slot = getelementptr ptr, ptr @fad_memory_kept, i64 %k
  %block = atomicrmw xchg ptr %slot, ptr null acq_rel
  %none = icmp eq ptr %block, null
  br i1 %none, label %next, label %check
check:
  %size = load i64, ptr %block
  %fits = icmp eq i64 %size, %bytes
  br i1 %fits, label %use, label %back
use:
  %kept = getelementptr i8, ptr %block, i64 64
  ret ptr %kept
back:
  %pair = cmpxchg ptr %slot, ptr null, ptr %block acq_rel monotonic
  %returned = extractvalue { ptr, i1 } %pair, 1
  br i1 %returned, label %next, label %drop
drop:
  call void @free(ptr %block)
  br label %next
next:
  %k1 = add i64 %k, 1
  br label %look
make:
  %total = add i64 %bytes, 64
  %status = call i32 @posix_memalign(ptr %place, i64 64, i64 %total)
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %short, label %made
short:
  ret ptr null
made:
  %new = load ptr, ptr %place
  store i64 %bytes, ptr %new
  call void @ask_for_huge_pages(ptr %new, i64 %bytes, i64 %total)
  %data = getelementptr i8, ptr %new, i64 64
  ret ptr %data
}

define void @fad_memory_free(ptr %context, ptr %data, i64 %unused) {
entry:
  %nothing = icmp eq ptr %data, null
  br i1 %nothing, label %out, label %measure
measure:
  %block = getelementptr i8, ptr %data, i64 -64
  %size = load i64, ptr %block
  %enough = icmp uge i64 %size, @LEAST_KEPT@
  %not_too = icmp ule i64 %size, @MOST@
  %right = and i1 %enough, %not_too
  %large = icmp uge i64 %size, @LEAST@
  %most_large = load atomic i64, ptr @fad_memory_most monotonic, align 8
  %most_others = shl i64 %most_large, 1
  %most = select i1 %large, i64 %most_large, i64 %most_others
  %first_number = select i1 %large, i64 0, i64 @SLOTS@
  %first = getelementptr ptr, ptr @fad_memory_kept, i64 %first_number
  %any = icmp sgt i64 %most, 0
  %worth = and i1 %right, %any
  br i1 %worth, label %look, label %drop
drop:
  call void @free(ptr %block)
  br label %out
look:
  %k = phi i64 [ 0, %measure ], [ %k1, %next ]
  %more = icmp slt i64 %k, %most
  br i1 %more, label %try, label %replace
try:
  %slot = getelementptr ptr, ptr %first, i64 %k
  %pair = cmpxchg ptr %slot, ptr null, ptr %block acq_rel monotonic
  %taken = extractvalue { ptr, i1 } %pair, 1
  br i1 %taken, label %out, label %next
next:
  %k1 = add i64 %k, 1
  br label %look
replace:
  %turn = atomicrmw add ptr @fad_memory_turn, i64 1 monotonic
  %number = urem i64 %turn, %most
  %chosen = getelementptr ptr, ptr %first, i64 %number
  %old = atomicrmw xchg ptr %chosen, ptr %block acq_rel
  call void @free(ptr %old)
  br label %out
out:
  ret void
}

define void @fad_memory_limit(i64 %most) {
entry:
  store atomic i64 %most, ptr @fad_memory_most monotonic, align 8
  %most_others = shl i64 %most, 1
  %end_others = add i64 %most_others, @SLOTS@
  br label %look
look:
  %k = phi i64 [ %most, %entry ], [ %k1, %next ]
  %more = icmp slt i64 %k, @ALL@
  br i1 %more, label %judge, label %out
judge:
  %is_other = icmp sge i64 %k, @SLOTS@
  %is_early = icmp slt i64 %k, %end_others
  %stays = and i1 %is_other, %is_early
  br i1 %stays, label %next, label %give
give:
  %slot = getelementptr ptr, ptr @fad_memory_kept, i64 %k
  %old = atomicrmw xchg ptr %slot, ptr null acq_rel
  call void @free(ptr %old)
  br label %next
next:
  %k1 = add i64 %k, 1
  br label %look
out:
  ret void
}

define ptr @fad_memory_zeros(ptr %context, i64 %count, i64 %size) {
  %bytes = mul i64 %count, %size
  %data = call ptr @fad_memory_new(ptr %context, i64 %bytes)
  %failed = icmp eq ptr %data, null
  br i1 %failed, label %out, label %clear
clear:
  call void @llvm.memset.p0.i64(ptr %data, i8 0, i64 %bytes, i1 false)
  br label %out
out:
  ret ptr %data
}

define ptr @fad_memory_resized(ptr %context, ptr %data, i64 %bytes) {
  %made = call ptr @fad_memory_new(ptr %context, i64 %bytes)
  %failed = icmp eq ptr %made, null
  %nothing = icmp eq ptr %data, null
  %idle = or i1 %failed, %nothing
  br i1 %idle, label %out, label %move
move:
  %block = getelementptr i8, ptr %data, i64 -64
  %size = load i64, ptr %block
  %shrinks = icmp ult i64 %bytes, %size
  %count = select i1 %shrinks, i64 %bytes, i64 %size
  call void @llvm.memcpy.p0.p0.i64(ptr %made, ptr %data, i64 %count, i1 false)
  call void @fad_memory_free(ptr %context, ptr %data, i64 %size)
  br label %out
out:
  ret ptr %made
}
"""


def memory_source() -> str:
    """The text of the four functions that NumPy calls, and of the one that limits how much is kept."""
    numbers = {"ALL": 3 * SLOTS, "SLOTS": SLOTS, "LEAST": LEAST, "LEAST_KEPT": LEAST_KEPT, "MOST": MOST}
    text = _SOURCE
    for name, number in numbers.items():
        text = text.replace(f"@{name}@", str(number))
    return text + huge_pages_text()


class _Handler(ctypes.Structure):
    """``PyDataMem_Handler`` of NumPy's C API."""

    _fields_ = [
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ctypes.c_void_p),
        *[(name, ctypes.c_void_p) for name in ("new", "zeros", "resized", "free")],
    ]


@lru_cache(maxsize=1)
@uninterrupted()
def large_memory(set_handler: int) -> Any:
    """What makes NumPy take memory from here: a capsule for the function at an address; ``None`` where it does not work."""
    if os.name != "posix":
        return None
    link_helper("fad_memory_new", lambda: Source(memory_source(), 0))
    functions = [engine().address(f"fad_memory_{name}") for name in ("new", "zeros", "resized", "free")]
    handler = _Handler(_NAME, 1, None, *functions)
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule = make(ctypes.addressof(handler), _CAPSULE_NAME, None)
    # Arrays may live as long as the process.
    _forever.append((handler, capsule))
    limit = ctypes.CFUNCTYPE(None, ctypes.c_int64)(engine().address("fad_memory_limit"))
    config.watch("kept_results", lambda: limit(min(max(config.kept_results, 0), SLOTS)))
    return capsule if _is_taken(set_handler, capsule) else None


@contextmanager
def numpy_memory_from(capsule: Any, set_handler: int) -> Iterator[None]:
    """Inside ``with``, NumPy takes memory from there."""
    change = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(set_handler)
    before = change(capsule)
    try:
        yield
    finally:
        change(before)


def _is_taken(set_handler: int, capsule: Any) -> bool:
    """Whether NumPy's function does what it should: an array says whose memory it has."""
    with numpy_memory_from(capsule, set_handler):
        probe = np.empty(1000)
    name_of = getattr(np._core.multiarray, "get_handler_name", lambda array: "")
    return name_of(probe) == _NAME.decode() and name_of(np.empty(1000)) != _NAME.decode()
