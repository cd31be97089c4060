"""Keeping BLAS to one thread while compiled code runs, which shares its work between threads itself.

Two pools of threads on the same cores get in each other's way: where other programs use the cores as well, OpenBLAS's threads wait for each
other, and a product of a few microseconds takes tens of milliseconds.
"""

from __future__ import annotations

import ctypes

from fad.compiler.llvm.library_calls import scipy_openblas

__all__ = ["guard_addresses", "guard_source"]

# The first to come in remembers the setting, the last to leave restores it.
_SOURCE = """
@fad_blas_mutex = internal global [128 x i8] zeroinitializer, align 64
@fad_blas_inside = internal global i64 0
@fad_blas_saved = internal global i32 0

declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @fad_blas_get_threads()
declare void @fad_blas_set_threads(i32)

define void @fad_blas_enter() {
  %locked = call i32 @pthread_mutex_lock(ptr @fad_blas_mutex)
  %inside = load i64, ptr @fad_blas_inside
  %more = add i64 %inside, 1
  store i64 %more, ptr @fad_blas_inside
  %first = icmp eq i64 %inside, 0
  br i1 %first, label %save, label %done
save:
  %threads = call i32 @fad_blas_get_threads()
  store i32 %threads, ptr @fad_blas_saved
  call void @fad_blas_set_threads(i32 1)
  br label %done
done:
  %unlocked = call i32 @pthread_mutex_unlock(ptr @fad_blas_mutex)
  ret void
}

; In the child of a fork: whoever was inside is not there any more.
define void @fad_blas_after_fork() {
  %fresh = call i32 @pthread_mutex_init(ptr @fad_blas_mutex, ptr null)
  %inside = load i64, ptr @fad_blas_inside
  store i64 0, ptr @fad_blas_inside
  %nobody = icmp eq i64 %inside, 0
  br i1 %nobody, label %done, label %restore
restore:
  %threads = load i32, ptr @fad_blas_saved
  call void @fad_blas_set_threads(i32 %threads)
  br label %done
done:
  ret void
}

define void @fad_blas_leave() {
  %locked = call i32 @pthread_mutex_lock(ptr @fad_blas_mutex)
  %inside = load i64, ptr @fad_blas_inside
  %less = sub i64 %inside, 1
  store i64 %less, ptr @fad_blas_inside
  %last = icmp eq i64 %less, 0
  br i1 %last, label %restore, label %done
restore:
  %threads = load i32, ptr @fad_blas_saved
  call void @fad_blas_set_threads(i32 %threads)
  br label %done
done:
  %unlocked = call i32 @pthread_mutex_unlock(ptr @fad_blas_mutex)
  ret void
}
"""
_WITHOUT_SETTING = """
define void @fad_blas_after_fork() {
  ret void
}

define void @fad_blas_enter() {
  ret void
}

define void @fad_blas_leave() {
  ret void
}
"""


def guard_source() -> str:
    """The guard's assembly; it does nothing where BLAS has no such setting."""
    return _SOURCE if scipy_openblas() is not None else _WITHOUT_SETTING


def guard_addresses() -> dict[str, int]:
    """The addresses of what the guard calls, by their symbols."""
    library = scipy_openblas()
    functions = (
        {} if library is None else {n: getattr(library, f"scipy_openblas_{n}_num_threads") for n in ("get", "set")}
    )
    return {f"fad_blas_{n}_threads": ctypes.cast(f, ctypes.c_void_p).value or 0 for n, f in functions.items()}
