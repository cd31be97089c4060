"""Functions of other libraries by address: BLAS and LAPACK from SciPy."""

from __future__ import annotations

import ctypes
import importlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["blas_symbol", "lapack_symbol", "library_address", "scipy_openblas"]


@lru_cache(maxsize=1)
def scipy_openblas() -> Any:
    """The BLAS library that SciPy brought along, ``None`` if it uses another one.

    It is found by its file: importing ``scipy.linalg`` for it would take longer than compiling most functions.
    """
    spec = find_spec("scipy")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    for folder in (root.parent / "scipy.libs", root / ".dylibs"):
        for path in sorted(folder.glob("libscipy_openblas*")):
            library = ctypes.CDLL(str(path))
            if hasattr(library, "scipy_dgemm_") and hasattr(library, "scipy_openblas_set_num_threads"):
                return library
    return None


def _capsule_address(module: str, name: str) -> int:
    """The address of a C function that a Cython module offers to others."""
    capsule = importlib.import_module(module).__pyx_capi__[name]
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get_pointer(capsule, get_name(capsule))


def blas_symbol(name: str) -> str:
    """The symbol under which compiled code finds a function of BLAS, such as ``dgemm``."""
    return f"fad_blas_{name}"


def lapack_symbol(name: str) -> str:
    """The symbol under which compiled code finds a function of LAPACK, such as ``dgesv``, or the triangular solver of BLAS."""
    return f"fad_{'blas' if name.endswith('trsm') else 'lapack'}_{name}"


def library_address(symbol: str) -> int:
    """The address of the function that a symbol of BLAS or LAPACK stands for, in this process."""
    _, kind, name = symbol.split("_")
    library = scipy_openblas()
    if library is None:
        return _capsule_address(f"scipy.linalg.cython_{kind}", name)
    return ctypes.cast(getattr(library, f"scipy_{name}_"), ctypes.c_void_p).value or 0
