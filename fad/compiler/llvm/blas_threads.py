"""Keeping BLAS to one thread while compiled code runs, which shares its work between threads itself.

Two pools of threads on the same cores get in each other's way: where other programs use the cores as well, OpenBLAS's threads wait for each
other, and a product of a few microseconds takes tens of milliseconds.
"""

from __future__ import annotations

import ctypes
import threading
from functools import lru_cache

import llvmlite.binding as binding
import llvmlite.ir as ir

from fad.compiler.llvm.emission import I64
from fad.compiler.llvm.library_calls import scipy_openblas
from fad.compiler.llvm.linking import engine

__all__ = ["add_blas_guard"]

# The first to come in remembers the setting, the last to leave restores it.
_SOURCE = """
@fad_blas_mutex = internal global [128 x i8] zeroinitializer, align 64
@fad_blas_inside = internal global i64 0
@fad_blas_saved = internal global i32 0

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
_lock = threading.Lock()


@lru_cache(maxsize=1)
def _load() -> bool:
    """Compile the guard; false where BLAS has no such setting."""
    library = scipy_openblas()
    if library is None:
        return False
    for name in ("get", "set"):
        function = getattr(library, f"scipy_openblas_{name}_num_threads")
        binding.add_symbol(f"fad_blas_{name}_threads", ctypes.cast(function, ctypes.c_void_p).value)
    binding.add_symbol("fad_blas_enter", engine().load_text(_SOURCE, "fad_blas_enter"))
    binding.add_symbol("fad_blas_leave", engine().address("fad_blas_leave"))
    return True


def add_blas_guard(module: ir.Module, body: ir.Function, name: str) -> None:
    """Add a function ``name`` that runs ``body`` with BLAS kept to one thread."""
    with _lock:
        guarded = _load()
    function = ir.Function(module, body.function_type, name)
    builder = ir.IRBuilder(function.append_basic_block())
    nothing = ir.FunctionType(ir.VoidType(), [])
    if guarded:
        builder.call(ir.Function(module, nothing, "fad_blas_enter"), [])
    code = builder.call(body, function.args)
    if guarded:
        builder.call(ir.Function(module, nothing, "fad_blas_leave"), [])
    assert code.type == I64
    builder.ret(code)
