"""Functions of other libraries by address: BLAS and LAPACK from SciPy, Fourier transforms from NumPy."""

from __future__ import annotations

import ctypes
import importlib
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "NUMPY_LOOPS",
    "blas_symbol",
    "lapack_symbol",
    "library_address",
    "numpy_loop",
    "numpy_symbol",
    "scipy_openblas",
]

NUMPY_LOOPS = {
    "fft": "Dd->D",
    "ifft": "Dd->D",
    "rfft_n_even": "dd->D",
    "rfft_n_odd": "dd->D",
    "irfft": "Dd->d",
}
"""NumPy's ufuncs for Fourier transforms, with the types of their loops in double precision."""


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
    """The address of the function that a symbol of BLAS, LAPACK or NumPy stands for, in this process."""
    _, kind, name = symbol.split("_", 2)
    if kind == "numpy":
        return numpy_loop(name[2:], name[0]) or 0
    library = scipy_openblas()
    if library is None:
        return _capsule_address(f"scipy.linalg.cython_{kind}", name)
    return ctypes.cast(getattr(library, f"scipy_{name}_"), ctypes.c_void_p).value or 0


def numpy_symbol(name: str, real: str) -> str:
    """The symbol under which compiled code finds the loop of one of NumPy's ufuncs, by the character of its real dtype."""
    return f"fad_numpy_{real}_{name}"


class _Ufunc(ctypes.Structure):
    """The beginning of NumPy's ``PyUFuncObject``, which is part of its ABI."""

    _fields_ = [
        ("head", ctypes.c_void_p * 2),
        ("counts", ctypes.c_int * 4),  # inputs, outputs, both, identity
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.c_void_p),
        ("types_count", ctypes.c_int),
        ("version", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("types", ctypes.POINTER(ctypes.c_char)),
    ]


@lru_cache(maxsize=16)
def numpy_loop(name: str, real: str) -> int | None:
    """The address of a loop of one of NumPy's ufuncs for Fourier transforms, ``None`` where NumPy or its layout is another one.

    A loop is ``void f(char **arguments, const intp *sizes, const intp *strides, void *data)``; it runs without the interpreter.
    """
    try:
        ufunc = getattr(importlib.import_module("numpy.fft._pocketfft_umath"), name)
    except (ImportError, AttributeError):
        return None
    if not isinstance(ufunc, np.ufunc) or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    wanted = NUMPY_LOOPS[name] if real == "d" else NUMPY_LOOPS[name].replace("D", "F").replace("d", "f")
    if wanted not in ufunc.types or ufunc.signature is None:
        return None
    held = _Ufunc.from_address(id(ufunc))
    if [*held.counts[:3]] != [2, 1, 3] or held.types_count != len(ufunc.types) or held.name != name.encode():
        return None
    loop = ufunc.types.index(wanted)
    kinds = [np.dtype(c).num for c in wanted.replace("->", "")]
    if [ord(held.types[3 * loop + k]) for k in range(3)] != kinds:
        return None
    return held.functions[loop]
