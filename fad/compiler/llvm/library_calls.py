"""Functions of other libraries by address: matrix products and Fourier transforms from NumPy, BLAS and LAPACK from SciPy."""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "NUMPY_LOOPS",
    "OpenBLAS",
    "blas_library",
    "has_own_library",
    "lapack_symbol",
    "library_address",
    "numpy_loop",
    "numpy_symbol",
    "product_symbol",
]

NUMPY_LOOPS = {
    "fft": "Dd->D",
    "ifft": "Dd->D",
    "rfft_n_even": "dd->D",
    "rfft_n_odd": "dd->D",
    "irfft": "Dd->d",
}
"""NumPy's ufuncs for Fourier transforms, with the types of their loops in double precision."""


class OpenBLAS(NamedTuple):
    """A library, and what follows the names of its functions."""

    library: Any
    suffix: str

    def function(self, name: str) -> Any:
        """A function of BLAS or LAPACK."""
        return getattr(self.library, f"scipy_{name}_{self.suffix}")

    def setting(self, name: str) -> Any:
        """``get`` or ``set`` the number of threads."""
        return getattr(self.library, f"scipy_openblas_{name}_num_threads{self.suffix}")


def _libraries(package: str) -> Iterator[Path]:
    """The OpenBLAS libraries in a package's wheel.

    They are found by their files: importing ``scipy.linalg`` for them would take longer than compiling most functions.
    """
    spec = find_spec(package)
    if spec is not None and spec.submodule_search_locations:
        root = Path(next(iter(spec.submodule_search_locations)))
        for folder in (root.parent / f"{package}.libs", root / ".dylibs"):
            yield from sorted(folder.glob("libscipy_openblas*"))


@lru_cache(maxsize=2)
def _openblas(package: str, suffix: str) -> OpenBLAS | None:
    for path in _libraries(package):
        library = ctypes.CDLL(str(path))
        if hasattr(library, f"scipy_dgemm_{suffix}") and hasattr(library, f"scipy_openblas_set_num_threads{suffix}"):
            return OpenBLAS(library, suffix)
    return None


@lru_cache(maxsize=2)
def blas_library(kind: str) -> OpenBLAS | None:
    """The OpenBLAS that compiled code calls for ``"products"`` or for ``"lapack"``; ``None`` if it is another library of SciPy's.

    NumPy's is loaded already, and usually the newer one: its products are up to a third faster. Its integers have 64 bits, SciPy's 32; code
    that passes the addresses of integers serves both where the low half comes first.
    """
    found = _numpys_library() if kind == "products" else None
    return found or _openblas("scipy", "")


def _numpys_library() -> OpenBLAS | None:
    return _openblas("numpy", "64_") if sys.byteorder == "little" else None


def has_own_library(kind: str) -> bool:
    """Whether products, or what LAPACK does, have a library of their own; one for both is LAPACK's.

    SciPy's is not loaded to find that out: it takes 10 ms, and its threads keep the other cores busy for 30 ms before they go to sleep.
    """
    return kind == "lapack" or _numpys_library() is not None


def _capsule_address(module: str, name: str) -> int:
    """The address of a C function that a Cython module offers to others."""
    capsule = importlib.import_module(module).__pyx_capi__[name]
    get_name, get_pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get_pointer(capsule, get_name(capsule))


def product_symbol(name: str) -> str:
    """The symbol under which compiled code finds a matrix product, ``dgemm`` or ``sgemm``."""
    return f"fad_products_{name}"


def lapack_symbol(name: str) -> str:
    """The symbol under which compiled code finds a function of LAPACK, such as ``dgesv``, or the triangular solver of BLAS."""
    return f"fad_{'blas' if name.endswith('trsm') else 'lapack'}_{name}"


def library_address(symbol: str) -> int:
    """The address of the function that a symbol of BLAS, LAPACK or NumPy stands for, in this process."""
    _, kind, name = symbol.split("_", 2)
    if kind == "numpy":
        return numpy_loop(name[2:], name[0]) or 0
    library = blas_library("products" if kind == "products" else "lapack")
    if library is None:
        return _capsule_address(f"scipy.linalg.cython_{'lapack' if kind == 'lapack' else 'blas'}", name)
    return ctypes.cast(library.function(name), ctypes.c_void_p).value or 0


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
