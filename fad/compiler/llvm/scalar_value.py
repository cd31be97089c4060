"""A value inside a kernel: an LLVM value and its NumPy dtype."""

from typing import Any, NamedTuple

import llvmlite.ir as ir
import numpy as np

from fad.core.avals import bfloat16
from fad.core.errors import DTypeError

BOOL, FLOAT32 = np.dtype(bool), np.dtype(np.float32)
_REALS = {2: ir.HalfType(), 4: ir.FloatType(), 8: ir.DoubleType()}


class Value(NamedTuple):
    """An LLVM value in a register (two of them for a complex number) and the NumPy dtype that it stands for."""

    ir: Any
    dtype: np.dtype


def llvm_type(dtype: np.dtype) -> ir.Type:
    """The type that a dtype has in a register.

    Raises
    ------
    DTypeError
        For a dtype that kernels cannot hold.
    """
    if dtype.kind == "f" and dtype.itemsize in _REALS:
        return _REALS[dtype.itemsize]
    if dtype.kind in "iu":
        return ir.IntType(8 * dtype.itemsize)
    if dtype == BOOL:
        return ir.IntType(1)
    if dtype == bfloat16:  # its bits: LLVM's own type is slow or missing on most CPUs
        return ir.IntType(16)
    raise DTypeError(f"native kernels hold booleans, integers, bfloat16 and float16/32/64, not {dtype} here")


def memory_type(dtype: np.dtype) -> ir.Type:
    """The type of what stands in memory: booleans take a byte, complex numbers two places, for their real and imaginary parts."""
    if dtype.kind == "c":
        return _REALS[dtype.itemsize // 2]
    return ir.IntType(8) if dtype == BOOL else llvm_type(dtype)
