"""LLVM's two long steps, passes and the generation of code, for several threads at once.

llvmlite takes one lock around every call into LLVM. LLVM itself works on modules of different contexts at the same time, so these two steps
go around that lock where llvmlite's library is as it is known here; elsewhere they go through llvmlite, one after another.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import llvmlite.binding as binding

__all__ = ["emit_object", "is_side_by_side", "run_passes"]

_ARGUMENTS = {"LLVMPY_RunNewModulePassManager": 3, "LLVMPY_TargetMachineEmitToMemory": 4}


@cache
def _functions() -> tuple[Any, Any] | None:
    """LLVM's functions as llvmlite declares them, without its lock; ``None`` where they are not what this file takes for granted."""
    found = []
    try:
        locked = binding.ffi.lib
        library = ctypes.CDLL(locked._name)
        for name, count in _ARGUMENTS.items():
            function, known = getattr(library, name), getattr(locked, name)
            if len(known.argtypes) != count:
                return None
            function.argtypes, function.restype = known.argtypes, known.restype
            found.append(function)
    except (AttributeError, TypeError, OSError):
        return None
    return found[0], found[1]


def is_side_by_side() -> bool:
    """Whether several threads gain from compiling at once."""
    return _functions() is not None


def run_passes(builder: Any, passes: Any, module: Any) -> None:
    """Run passes on a module."""
    functions = _functions()
    if functions is None:
        passes.run(module, builder)
    else:
        functions[0](passes, module, builder)


def emit_object(machine: Any, module: Any) -> bytes:
    """The object file of a module; its target machine is no other thread's."""
    functions = _functions()
    if functions is None:
        return machine.emit_object(module)
    library = binding.ffi.lib
    with binding.ffi.OutputString() as message:
        memory = functions[1](machine, module, 1, message)
        if not memory:
            raise RuntimeError(str(message))
    try:
        return ctypes.string_at(library.LLVMPY_GetBufferStart(memory), library.LLVMPY_GetBufferSize(memory))
    finally:
        library.LLVMPY_DisposeMemoryBuffer(memory)
