"""The text of reading one of the system's clocks, in nanoseconds."""

from __future__ import annotations

__all__ = ["clock_source"]

_SOURCE = """
declare i32 @clock_gettime(i32, ptr)

define internal i64 @NAME() {
  %time = alloca { i64, i64 }
  %told = call i32 @clock_gettime(i32 @CLOCK@, ptr %time)
  %seconds = load i64, ptr %time
  %rest_at = getelementptr { i64, i64 }, ptr %time, i64 0, i32 1
  %rest = load i64, ptr %rest_at
  %whole = mul i64 %seconds, 1000000000
  %nanoseconds = add i64 %whole, %rest
  ret i64 %nanoseconds
}
"""


def clock_source(name: str, clock: int) -> str:
    """The text of ``i64 name()``, which reads a clock by its number, as :mod:`time` has it."""
    return _SOURCE.replace("@NAME", f"@{name}").replace("@CLOCK@", str(clock))
