"""The text of waiting awake: a thread that expects news soon looks for them before it goes to sleep, since waking up takes as long as a small loop."""

from __future__ import annotations

import platform
import time

from fad.compiler.llvm.clock_text import clock_source

__all__ = ["waiting_source"]

_PATIENCE = 200_000
"""Nanoseconds for which threads wait awake."""
_PAUSES = {
    **dict.fromkeys(("x86_64", "AMD64"), "void @llvm.x86.sse2.pause()"),
    **dict.fromkeys(("aarch64", "arm64"), "void @llvm.aarch64.hint(i32 1)"),
}
"""The instruction for loops that wait, by processor."""
_SOURCE = """
declare i32 @pthread_mutex_trylock(ptr)
@CLOCK@
@RELAX@

; Watch a number for a while, without the mutex, until it is another one; then have the mutex, which nobody holds for long.
define internal void @watch(ptr %place, i64 %old) {
entry:
  %begin = call i64 @now()
  br label %look
look:
  %new = load atomic i64, ptr %place monotonic, align 8
  %same = icmp eq i64 %new, %old
  br i1 %same, label %wait, label %enter
wait:
  call void @relax()
  %time = call i64 @now()
  %passed = sub i64 %time, %begin
  %over = icmp ugt i64 %passed, @PATIENCE@
  br i1 %over, label %give_up, label %look
enter:
  %status = call i32 @pthread_mutex_trylock(ptr @MUTEX@)
  %got = icmp eq i32 %status, 0
  br i1 %got, label %done, label %wait
give_up:
  %locked = call i32 @pthread_mutex_lock(ptr @MUTEX@)
  br label %done
done:
  ret void
}
"""


def waiting_source(mutex: str) -> str:
    """The text of ``void watch(i64* place, i64 old)``, which ends with the mutex of this name locked."""
    words = {
        "MUTEX": f"@{mutex}",
        "CLOCK": clock_source("now", getattr(time, "CLOCK_MONOTONIC", 1)),
        "PATIENCE": _PATIENCE,
        "RELAX": _relax(),
    }
    text = _SOURCE
    for word, meaning in words.items():
        text = text.replace(f"@{word}@", str(meaning))
    return text


def _relax() -> str:
    """A function that lets the processor's other thread go first for a moment; it does nothing where no such instruction is known."""
    instruction = _PAUSES.get(platform.machine(), "")
    declared, call = (f"declare {instruction}", f"  call {instruction}\n" * 8) if instruction else ("", "")
    return f"{declared.replace('(i32 1)', '(i32)')}\ndefine internal void @relax() {{\n{call}  ret void\n}}"
