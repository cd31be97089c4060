"""Functions of other libraries by address: BLAS from SciPy."""

from __future__ import annotations

import ctypes
import importlib
from functools import lru_cache

import llvmlite.binding as binding

__all__ = ["capsule_address", "declare_address"]


@lru_cache(maxsize=256)
def capsule_address(module: str, name: str) -> int:
    """The address of a C function that a Cython module offers to others."""
    capsule = importlib.import_module(module).__pyx_capi__[name]
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get_pointer(capsule, get_name(capsule))


@lru_cache(maxsize=256)
def declare_address(module: str, name: str) -> str:
    """The symbol under which compiled code finds such a function."""
    symbol = f"fad_{module.rpartition('.')[2]}_{name}"
    binding.add_symbol(symbol, capsule_address(module, name))
    return symbol
