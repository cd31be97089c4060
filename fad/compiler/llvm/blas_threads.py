"""Keeping BLAS and LAPACK to one thread while compiled code runs, which shares its work between threads itself.

Two pools of threads on the same cores get in each other's way: where other programs use the cores as well, OpenBLAS's threads wait for each
other, and a product of a few microseconds takes tens of milliseconds.
"""

from __future__ import annotations

import ctypes

from fad.compiler.llvm.library_calls import blas_library, has_own_library

__all__ = ["guard_addresses", "guard_source"]

# The first to come in remembers the setting, the last to leave restores it.
_SOURCE = """
@fad_@KIND@_mutex = internal global [128 x i8] zeroinitializer, align 64
@fad_@KIND@_inside = internal global i64 0
@fad_@KIND@_saved = internal global i32 0

declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @fad_@KIND@_get_threads()
declare void @fad_@KIND@_set_threads(i32)

define void @fad_@KIND@_enter() {
  %locked = call i32 @pthread_mutex_lock(ptr @fad_@KIND@_mutex)
  %inside = load i64, ptr @fad_@KIND@_inside
  %more = add i64 %inside, 1
  store i64 %more, ptr @fad_@KIND@_inside
  %first = icmp eq i64 %inside, 0
  br i1 %first, label %save, label %done
save:
  %threads = call i32 @fad_@KIND@_get_threads()
  store i32 %threads, ptr @fad_@KIND@_saved
  call void @fad_@KIND@_set_threads(i32 1)
  br label %done
done:
  %unlocked = call i32 @pthread_mutex_unlock(ptr @fad_@KIND@_mutex)
  ret void
}

; In the child of a fork: whoever was inside is not there any more.
define void @fad_@KIND@_after_fork() {
  %fresh = call i32 @pthread_mutex_init(ptr @fad_@KIND@_mutex, ptr null)
  %inside = load i64, ptr @fad_@KIND@_inside
  store i64 0, ptr @fad_@KIND@_inside
  %nobody = icmp eq i64 %inside, 0
  br i1 %nobody, label %done, label %restore
restore:
  %threads = load i32, ptr @fad_@KIND@_saved
  call void @fad_@KIND@_set_threads(i32 %threads)
  br label %done
done:
  ret void
}

define void @fad_@KIND@_leave() {
  %locked = call i32 @pthread_mutex_lock(ptr @fad_@KIND@_mutex)
  %inside = load i64, ptr @fad_@KIND@_inside
  %less = sub i64 %inside, 1
  store i64 %less, ptr @fad_@KIND@_inside
  %last = icmp eq i64 %less, 0
  br i1 %last, label %restore, label %done
restore:
  %threads = load i32, ptr @fad_@KIND@_saved
  call void @fad_@KIND@_set_threads(i32 %threads)
  br label %done
done:
  %unlocked = call i32 @pthread_mutex_unlock(ptr @fad_@KIND@_mutex)
  ret void
}
"""
_WITHOUT_SETTING = """
define void @fad_@KIND@_after_fork() {
  ret void
}

define void @fad_@KIND@_enter() {
  ret void
}

define void @fad_@KIND@_leave() {
  ret void
}
"""
# Two guards of one library would restore each other's setting.
_SAME_LIBRARY = """
declare void @fad_lapack_enter()
declare void @fad_lapack_leave()

define void @fad_@KIND@_after_fork() {
  ret void
}

define void @fad_@KIND@_enter() {
  call void @fad_lapack_enter()
  ret void
}

define void @fad_@KIND@_leave() {
  call void @fad_lapack_leave()
  ret void
}
"""


def guard_source(kind: str) -> str:
    """The assembly of the guard of ``"products"`` or ``"lapack"``; it does nothing where the library has no such setting."""
    own = _SOURCE if has_own_library(kind) else _SAME_LIBRARY
    return (own if blas_library(kind) is not None else _WITHOUT_SETTING).replace("@KIND@", kind)


def guard_addresses(kind: str) -> dict[str, int]:
    """The addresses of what the guard calls, by their symbols."""
    library = blas_library(kind) if has_own_library(kind) else None
    functions = {} if library is None else {n: library.setting(n) for n in ("get", "set")}
    return {f"fad_{kind}_{n}_threads": ctypes.cast(f, ctypes.c_void_p).value or 0 for n, f in functions.items()}
