"""The dtypes in which an elementwise operation computes, and whether kernels can compute it at all."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from fad.core.avals import bfloat16, result_dtype, weak_operand
from fad.core.errors import DTypeError
from fad.core.primitive import Primitive
from fad.core.program import Atom, Equation, Literal

__all__ = ["PARTS", "TRANSFORMS", "computes_natively", "holds", "operand_dtypes"]

PARTS = frozenset({"real", "imag", "complex_from_parts"})
"""Operations that read complex numbers from memory, or write them there; kernels compute with their parts alone."""
TRANSFORMS = frozenset({"fourier", "fourier_from_real", "fourier_to_real"})
"""Operations that take complex numbers in memory as they are, by kernel name."""
_WITH_PARTS = {np.dtype(t) for t in ("float32", "float64", "complex64", "complex128")}
_FIRST_OF_OTHERS = 256
"""The number of the first dtype that is not NumPy's own (``NPY_USERDEF``)."""
_COMPARISONS = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})


def holds(dtype: Any) -> bool:
    """Whether kernels hold values of a dtype: booleans, integers, bfloat16 (which they only move and convert), float16, float32, float64.

    Some 8-bit floats have the kind "f" too, and are not NumPy's own. NumPy calls a dtype that comes out of a pickle not built in, although it is.
    """
    is_own = dtype.num < _FIRST_OF_OTHERS and dtype.isnative
    return (is_own and dtype.kind in "biuf" and dtype.itemsize <= 8) or dtype == bfloat16


def operand_dtypes(equation: Equation) -> tuple[np.dtype, ...]:
    """The dtype that each operand is converted to first, as NumPy does it (NEP 50).

    Raises
    ------
    DTypeError
        If NumPy has no loop for these operands.
    """
    return _operand_dtypes(equation.primitive, _operands(equation), equation.outputs[0].aval.dtype)


def _operands(equation: Equation) -> tuple[Any, ...]:
    """What stands for the operands in NumPy's type resolution. NumPy compares a Python integer by its value, so it keeps its own width."""
    operands = tuple([weak_operand(a.aval) for a in equation.inputs])
    if int in operands and equation.primitive.name in _COMPARISONS:
        narrow = [d for d in operands if isinstance(d, np.dtype) and d.kind in "iu"]
        numbers = [a for a in equation.inputs if a.aval.weak and a.aval.dtype.kind == "i"]
        if any(not _fits(a, d) for a in numbers for d in narrow):
            return tuple([np.dtype(np.int64) if d is int else d for d in operands])
    return operands


def _fits(atom: Atom, dtype: np.dtype) -> bool:
    """Whether a weak integer is known to be one of a dtype's numbers."""
    if not isinstance(atom, Literal):
        return False
    limits = np.iinfo(dtype)
    return bool(limits.min <= atom.value <= limits.max)


@lru_cache(maxsize=4096)
def _operand_dtypes(primitive: Primitive, operands: tuple[Any, ...], out: np.dtype) -> tuple[np.dtype, ...]:
    if all(isinstance(d, type) for d in operands):
        operands = tuple([np.dtype(d) for d in operands])
    operands = tuple([np.dtype(bool) if d is bool else d for d in operands])
    ufunc = getattr(np, primitive.impl, None) if isinstance(primitive.impl, str) else None
    if isinstance(ufunc, np.ufunc):
        try:
            return ufunc.resolve_dtypes((*operands, *[None] * ufunc.nout))[: len(operands)]
        except TypeError as error:
            raise DTypeError(f"{primitive.name}: {error}") from None
    if primitive.name == "select":
        return (np.dtype(bool), out, out)
    if primitive.name == "zero_safe_multiply":
        return (out, out)
    common = result_dtype(*operands)
    if out.kind == "f" and common.kind in "biu" and primitive.name not in ("real", "imag"):
        common = out
    return (common,) * len(operands)


def computes_natively(equation: Equation) -> str | None:
    """``None`` if kernels can compute an elementwise operation, else the reason why not."""
    if equation.primitive.name in PARTS and {a.aval.dtype for a in equation.inputs} <= _WITH_PARTS:
        return None
    for atom in (*equation.inputs, *equation.outputs):
        if not holds(atom.aval.dtype):
            return f"dtype {atom.aval.dtype}"
    operands, out = _operands(equation), equation.outputs[0].aval.dtype
    if equation.primitive.name == "power" and out.kind in "iu" and _may_be_negative(equation.inputs[1]):
        return "integers to negative integer powers raise"
    reason = _refusal(equation.primitive, operands, out, tuple(equation.params.items()))
    if reason is None and int in operands:
        for atom, dtype in zip(equation.inputs, _operand_dtypes(equation.primitive, operands, out), strict=True):
            wanted = dtype if dtype.kind in "iu" else np.dtype(np.int64)
            if isinstance(atom, Literal) and type(atom.value) is int and not _fits(atom, wanted):
                return f"the Python integer {atom.value} is out of bounds for {wanted}"
    return reason


def _may_be_negative(atom: Atom) -> bool:
    return not (atom.aval.dtype.kind in "bu" or (isinstance(atom, Literal) and atom.value >= 0))


@lru_cache(maxsize=4096)
def _refusal(
    primitive: Primitive, operands: tuple[Any, ...], out: np.dtype, params: tuple[tuple[str, Any], ...]
) -> str | None:
    """Build the operation once in a scratch function and see."""
    import llvmlite.ir as ir

    from fad.compiler.llvm.math_library import definitions
    from fad.compiler.llvm.scalar import ScalarBuilder
    from fad.compiler.llvm.scalar_value import llvm_type

    try:
        dtypes = _operand_dtypes(primitive, operands, out)
        module = ir.Module("trial")
        definitions(module, external=True)
        types = [llvm_type(d) for d in dtypes]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), types), "trial")
        k = ScalarBuilder(ir.IRBuilder(function.append_basic_block()))
        result = primitive.kernel(
            k, *[k.wrap(a, d) for a, d in zip(function.args, dtypes, strict=True)], **dict(params)
        )
        k.astype(result, out)
    except (DTypeError, AttributeError, TypeError, KeyError) as error:
        return str(error)
    return None
