"""Huge pages for large new memory, as NumPy asks for them for its arrays: small ones come one by one, and are looked up one by one."""

from __future__ import annotations

import sys

__all__ = ["HUGE_PAGES", "NO_HUGE_PAGES", "huge_pages_text", "whole_pages_text"]

HUGE_PAGES, NO_HUGE_PAGES = 14, 15
"""Linux's ``MADV_HUGEPAGE`` and ``MADV_NOHUGEPAGE``; other systems do not know them and leave memory as it is."""
_LEAST = 4 << 20
"""Fewer bytes of data are left in small pages, as by NumPy."""
_LEAST_WHOLE = 1 << 20
"""So many bytes of temporary arrays get whole huge pages: a network's layers pass through them again and again."""
_ON_LINUX = """
declare i32 @madvise(ptr, i64, i32)

define internal void @ask_for_huge_pages(ptr %made, i64 %bytes, i64 %total) {
  %large = icmp uge i64 %bytes, @LEAST@
  br i1 %large, label %huge, label %out
huge:
  %address = ptrtoint ptr %made to i64
  %up = add i64 %address, 4095
  %page = and i64 %up, -4096
  %end = add i64 %address, %total
  %length = sub i64 %end, %page
  %place = inttoptr i64 %page to ptr
  %advised = call i32 @madvise(ptr %place, i64 %length, i32 @HUGE_PAGES@)
  br label %out
out:
  ret void
}
"""
_ELSEWHERE = """
define internal void @ask_for_huge_pages(ptr %made, i64 %bytes, i64 %total) {
  ret void
}
"""
_WHOLE_ON_LINUX = """
declare ptr @aligned_alloc(i64, i64)
declare i32 @madvise(ptr, i64, i32)

define internal ptr @new_whole_pages(i64 %total) {
  %large = icmp uge i64 %total, @LEAST_WHOLE@
  br i1 %large, label %huge, label %usual
usual:
  %some = call ptr @malloc(i64 %total)
  ret ptr %some
huge:
  %up = add i64 %total, 2097151
  %length = and i64 %up, -2097152
  %made = call ptr @aligned_alloc(i64 2097152, i64 %length)
  %failed = icmp eq ptr %made, null
  br i1 %failed, label %out, label %advise
advise:
  %advised = call i32 @madvise(ptr %made, i64 %length, i32 @HUGE_PAGES@)
  br label %out
out:
  ret ptr %made
}
"""
_WHOLE_ELSEWHERE = """
define internal ptr @new_whole_pages(i64 %total) {
  %made = call ptr @malloc(i64 %total)
  ret ptr %made
}
"""


def huge_pages_text() -> str:
    """A function ``ask_for_huge_pages(made, bytes, total)`` for memory of which ``total`` bytes have just been made for ``bytes`` of data."""
    if sys.platform != "linux":
        return _ELSEWHERE
    return _ON_LINUX.replace("@LEAST@", str(_LEAST)).replace("@HUGE_PAGES@", str(HUGE_PAGES))


def whole_pages_text() -> str:
    """A function ``new_whole_pages(total)``: so many bytes, where they are large in huge pages of which no part is left out. ``free`` gives them back."""
    if sys.platform != "linux":
        return _WHOLE_ELSEWHERE
    return _WHOLE_ON_LINUX.replace("@LEAST_WHOLE@", str(_LEAST_WHOLE)).replace("@HUGE_PAGES@", str(HUGE_PAGES))
