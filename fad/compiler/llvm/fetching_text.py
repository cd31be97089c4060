"""The function of a thread that touches new memory, so that the system gives it before it is written.

It needs no interpreter: one that Python's threads share would be given to it when the thread that compiles or reads code has to wait for something, and
that is late.

A huge page is asked for at first, and if it comes quickly all the others. After one that comes slowly the others are small ones.
"""

from __future__ import annotations

import mmap
import time

from fad.compiler.llvm.clock_text import clock_source
from fad.compiler.llvm.huge_pages import HUGE_PAGES, NO_HUGE_PAGES

__all__ = ["FETCH", "FIRST", "IS_SLOW", "LIMIT", "STOP", "fetching_source"]

FETCH = "fad_fetch_memory"
STOP, IS_SLOW, LIMIT, FIRST = range(4)
"""The words of a request: whether to stop, whether a huge page came slowly, from how many nanoseconds of processor time on it does; then the address and the
bytes of each array, and 0."""
_HUGE = 2 << 20
"""Bytes of a huge page, which comes as a whole: between two of them is a look at whether to stop."""

_SOURCE = """
declare i32 @madvise(ptr, i64, i32)

define internal void @advise(i64 %begin, i64 %end, i32 %advice) {
  %page = and i64 %begin, -@PAGE@
  %length = sub i64 %end, %page
  %place = inttoptr i64 %page to ptr
  %advised = call i32 @madvise(ptr %place, i64 %length, i32 %advice)
  ret void
}

define internal void @advise_all(ptr %request, i32 %advice) {
entry:
  br label %array
array:
  %row = phi i64 [ @FIRST@, %entry ], [ %next_row, %found ]
  %next_row = add i64 %row, 2
  %begin_at = getelementptr i64, ptr %request, i64 %row
  %bytes_at = getelementptr i64, ptr %begin_at, i64 1
  %begin = load i64, ptr %begin_at
  %is_last = icmp eq i64 %begin, 0
  br i1 %is_last, label %out, label %found
found:
  %bytes = load i64, ptr %bytes_at
  %end = add i64 %begin, %bytes
  call void @advise(i64 %begin, i64 %end, i32 %advice)
  br label %array
out:
  ret void
}

define ptr @fad_fetch_memory(ptr %request) {
entry:
  %stop_at = getelementptr i64, ptr %request, i64 @STOP@
  %slow_at = getelementptr i64, ptr %request, i64 @IS_SLOW@
  %limit_at = getelementptr i64, ptr %request, i64 @LIMIT@
  %limit = load i64, ptr %limit_at
  %start_at = getelementptr i64, ptr %request, i64 @FIRST@
  %start = load i64, ptr %start_at
  call void @advise_all(ptr %request, i32 @NO_HUGE_PAGES@)
  br label %array
array:
  %row = phi i64 [ @FIRST@, %entry ], [ %next_row, %piece ]
  %next_row = add i64 %row, 2
  %begin_at = getelementptr i64, ptr %request, i64 %row
  %bytes_at = getelementptr i64, ptr %begin_at, i64 1
  %begin = load i64, ptr %begin_at
  %is_last = icmp eq i64 %begin, 0
  br i1 %is_last, label %out, label %measure
measure:
  %bytes = load i64, ptr %bytes_at
  %end = add i64 %begin, %bytes
  br label %piece
piece:
  %at = phi i64 [ %begin, %measure ], [ %border, %slow ], [ %border, %fast ], [ %border, %allow ]
  %more = icmp ult i64 %at, %end
  br i1 %more, label %look, label %array
look:
  %wanted = load atomic i64, ptr %stop_at monotonic, align 8
  %is_wanted = icmp ne i64 %wanted, 0
  br i1 %is_wanted, label %out, label %bound
bound:
  %after = add i64 %at, @HUGE@
  %round = and i64 %after, -@HUGE@
  %inside = icmp ult i64 %round, %end
  %border = select i1 %inside, i64 %round, i64 %end
  %is_first = icmp eq i64 %at, %start
  br i1 %is_first, label %ask, label %touch
ask:
  call void @advise(i64 %at, i64 %border, i32 @HUGE_PAGES@)
  br label %touch
touch:
  %before = call i64 @own_time()
  br label %page
page:
  %p = phi i64 [ %at, %touch ], [ %next_p, %page ]
  %place = inttoptr i64 %p to ptr
  store i8 0, ptr %place
  %next_p = add i64 %p, @PAGE@
  %again = icmp ult i64 %next_p, %border
  br i1 %again, label %page, label %touched
touched:
  %now = call i64 @own_time()
  %taken = sub i64 %now, %before
  %is_slow = icmp sgt i64 %taken, %limit
  br i1 %is_slow, label %slow, label %fast
slow:
  store atomic i64 1, ptr %slow_at monotonic, align 8
  call void @advise_all(ptr %request, i32 @NO_HUGE_PAGES@)
  br label %piece
fast:
  br i1 %is_first, label %allow, label %piece
allow:
  call void @advise_all(ptr %request, i32 @HUGE_PAGES@)
  br label %piece
out:
  ret ptr null
}
"""


def fetching_source() -> str:
    """The text of the function :data:`FETCH`, which a POSIX thread starts with; it gets a request."""
    numbers = {
        "STOP": STOP,
        "IS_SLOW": IS_SLOW,
        "LIMIT": LIMIT,
        "FIRST": FIRST,
        "PAGE": mmap.PAGESIZE,
        "HUGE": _HUGE,
        "HUGE_PAGES": HUGE_PAGES,
        "NO_HUGE_PAGES": NO_HUGE_PAGES,
    }
    text = clock_source("own_time", getattr(time, "CLOCK_THREAD_CPUTIME_ID", 0)) + _SOURCE
    for name, number in numbers.items():
        text = text.replace(f"@{name}@", str(number))
    return text
