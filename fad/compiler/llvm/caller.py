"""The native caller: from Python objects to a compiled segment and back without a line of Python.

A call checks its arguments against the signature that the code was made for, finds their elements, allocates the results with NumPy, runs the
code and wraps the results: about a microsecond. It is one C function for all segments; what it must know of one is in a table of words that
it gets as ``self``. Arguments that do not fit make it return ``MISS``, and the caller takes the general way.
"""

from __future__ import annotations

import ctypes
import math
import sys
import sysconfig
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import llvmlite.binding as binding
import numpy as np

from fad.compiler.llvm.caller_text import caller_source
from fad.compiler.llvm.linking import Source
from fad.compiler.llvm.result_memory import LEAST_KEPT, large_memory, numpy_memory_from
from fad.compiler.llvm.symbols import link_helper
from fad.compiler.outcomes import FAILED, MISS
from fad.core.array import Array, wrap
from fad.core.avals import ShapedArray, canonical_dtype, is_bfloat16
from fad.core.interruptions import uninterrupted

__all__ = ["is_checked", "layout_is_known", "make_caller", "new_results"]


_METH_FASTCALL = 0x0080
_NEW_FROM_DESCR, _SET_HANDLER = 94, 304
"""PyArray_NewFromDescr and PyDataMem_SetHandler in NumPy's table of C functions, whose order is part of its ABI."""


class _MethodDefinition(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    ]


class _Descriptor(np.ndarray):
    """The table of words, with references to everything that it holds the address of."""

    kept: list[Any]


def _word(address: int) -> int:
    return ctypes.c_int64.from_address(address).value


def _buffer_offset() -> int | None:
    """Where a ``fad.Array`` keeps its buffer, in bytes."""
    probe = np.empty(3)
    array = wrap(probe)
    places = [o for o in range(16, Array.__basicsize__, 8) if _word(id(array) + o) == id(probe)]
    return places[0] if len(places) == 1 else None


def _is_free_threaded() -> bool:
    # On Windows the flags are missing; elsewhere they spare loading what sysconfig knows.
    flags = getattr(sys, "abiflags", None)
    return bool(sysconfig.get_config_var("Py_GIL_DISABLED")) if flags is None else "t" in flags


def layout_is_known() -> bool:
    """Whether objects of this interpreter and this NumPy look as the native caller takes for granted."""
    if sys.implementation.name != "cpython" or _is_free_threaded():
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8 or _buffer_offset() is None:
        return False
    probe = np.empty((3, 5), np.float32)
    base, number = id(probe), 2.5
    pair, single = (complex(2.5, -1.5), np.complex128(2.5 - 1.5j)), np.complex64(2.5 - 1.5j)
    return (
        _word(base + 8) == id(np.ndarray)
        and _word(base + 16) == probe.ctypes.data
        and ctypes.c_int32.from_address(base + 24).value == 2
        and [_word(_word(base + 32) + 8 * k) for k in range(2)] == [3, 5]
        and _word(base + 56) == id(np.dtype(np.float32))
        and ctypes.c_int32.from_address(base + 64).value & 257 == 257
        and ctypes.c_double.from_address(id(number) + 16).value == number
        and ctypes.c_double.from_address(id(np.float64(2.5)) + 16).value != 0
        and all((ctypes.c_double * 2).from_address(id(z) + 16)[:] == [z.real, z.imag] for z in pair)
        and (ctypes.c_float * 2).from_address(id(single) + 16)[:] == [single.real, single.imag]
    )


@lru_cache(maxsize=1)
@uninterrupted()
def _native_function() -> int | None:
    """The address of the compiled caller, ``None`` where objects have an unknown layout."""
    if not layout_is_known():
        return None
    names = (
        "PyType_GenericAlloc PyTuple_New PyTuple_SetItem Py_IncRef Py_DecRef PyLong_AsLongLongAndOverflow "
        "PyEval_SaveThread PyEval_RestoreThread PyErr_NoMemory"
    )
    for name in names.split():
        binding.add_symbol(name, ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value)
    binding.add_symbol("fad_new_array", _numpy_function(_NEW_FROM_DESCR))
    binding.add_symbol("fad_set_memory", _numpy_function(_SET_HANDLER))
    offset = _buffer_offset() or 0
    return link_helper("fad_call", lambda: Source(caller_source(offset), 0), str(offset))


def _numpy_function(number: int) -> int:
    from numpy._core._multiarray_umath import _ARRAY_API

    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get_pointer(_ARRAY_API, None)
    return _word(table + 8 * number)


_KINDS = {"f": (1, float), "c": (1, complex), "i": (2, int), "b": (3, bool)}
"""How a Python number is read, and its type, by the kind of dtype: the value of a float or complex stands at one place in the object."""


def _argument_row(aval: ShapedArray, number: int, kept: list[Any]) -> list[int]:
    dtype = np.dtype(aval.dtype)
    if aval.weak:
        kind, python_type = _KINDS[dtype.kind]
        return [kind, number, id(python_type), id(True), 0, 0]
    sizes = np.array(aval.shape or (0,), np.int64)
    kept += [sizes, dtype]
    return [0, number, id(dtype.type), id(dtype), len(aval.shape), sizes.ctypes.data]


def is_checked(avals: Sequence[ShapedArray]) -> bool:
    """Whether the native caller knows how to check arguments of these types."""
    return all(
        a.dtype.kind in _KINDS if a.weak else a.dtype.kind in "fiubc" or (is_bfloat16(a.dtype) and _bfloat16_is_known())
        for a in avals
    )


@lru_cache(maxsize=1)
def _bfloat16_is_known() -> bool:
    """Whether a scalar of ml_dtypes holds its bits where NumPy's scalars do."""
    dtype = canonical_dtype("bfloat16")
    number = dtype.type(2.5)
    return ctypes.c_uint16.from_address(id(number) + 16).value == int(np.asarray(number).view(np.uint16))


def make_caller(
    avals: Sequence[ShapedArray],
    positions: Sequence[int],
    segment: Any,
    single: bool,
) -> Callable[..., Any] | None:
    """A function of the Program's arguments that gives its results as a ``fad.Array`` or a tuple of them, else ``MISS`` or ``FAILED``.

    Parameters
    ----------
    avals : sequence of ShapedArray
        The types of the arguments.
    positions : sequence of int
        The number of each argument among the segment's inputs, -1 for one that it does not read.
    segment : NativeSegment
        The code.
    single : bool
        Whether to return the only result itself.

    Notes
    -----
    Where the code writes results into the memory of arguments, these arguments must be arrays of fad that nobody else uses; the caller does not check it.

    Returns
    -------
    callable or None
        ``None`` where this interpreter's objects have an unknown layout, or an argument a type that is not checked natively.
    """
    address = _native_function()
    if address is None or not is_checked(avals):
        return None
    kept: list[Any] = [segment]
    arguments = np.array(
        [w for a, p in zip(avals, positions, strict=True) for w in _argument_row(a, p, kept)] or [0], np.int64
    )
    results = []
    large = [math.prod(shape) * dtype.itemsize >= LEAST_KEPT for shape, dtype in segment.out_types]
    memory = large_memory(_numpy_function(_SET_HANDLER)) if any(large) else None
    taken = {out: positions.index(k) for out, k in segment.code.reused}
    for number, (shape, dtype) in enumerate(segment.out_types):
        sizes = np.array(shape or (0,), np.int64)
        kept += [sizes, dtype]
        is_kept = memory is not None and large[number]
        results += [id(dtype), len(shape), sizes.ctypes.data, taken.get(number, -1), int(is_kept)]
    result_table = np.array(results or [0], np.int64)
    constants = np.array([c.ctypes.data for c in segment.constants] or [0], np.int64)
    used = sum(p >= 0 for p in positions)
    words = [
        len(avals), used + len(segment.constants) + len(segment.out_types), len(segment.out_types), len(segment.constants),
        segment.code.address, segment.sizes.ctypes.data, segment.arena_size, id(Array),
        id(np.ndarray), id(MISS), int(segment.is_long), int(single),
        arguments.ctypes.data, constants.ctypes.data, result_table.ctypes.data, id(FAILED), id(memory),
    ]  # fmt: skip
    descriptor = np.array(words, np.int64).view(_Descriptor)
    definition = _MethodDefinition(b"call", address, _METH_FASTCALL, None)
    descriptor.kept = [*kept, arguments, constants, result_table, definition]
    create = ctypes.pythonapi.PyCFunction_NewEx
    create.restype, create.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
    return create(ctypes.addressof(definition), descriptor, None)


def new_results(types: Sequence[tuple[tuple[int, ...], np.dtype]]) -> list[np.ndarray]:
    """New arrays of these types from where the native caller has its large results from, so that they have the memory of dead ones, too."""
    set_handler = None if _native_function() is None else _numpy_function(_SET_HANDLER)
    memory = None if set_handler is None else large_memory(set_handler)
    if memory is None:
        return [np.empty(*t) for t in types]
    with numpy_memory_from(memory, set_handler):
        return [np.empty(*t) for t in types]
