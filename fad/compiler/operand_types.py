"""The dtypes in which an elementwise operation computes, and whether kernels can compute it at all."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from fad.core.avals import result_dtype, weak_operand
from fad.core.errors import DTypeError
from fad.core.primitive import Primitive
from fad.core.program import Equation

__all__ = ["computes_natively", "holds", "operand_dtypes"]


def holds(dtype: Any) -> bool:
    """Whether kernels hold values of a dtype: booleans, integers, float16, float32, float64."""
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def operand_dtypes(equation: Equation) -> tuple[np.dtype, ...]:
    """The dtype that each operand is converted to first, as NumPy does it (NEP 50).

    Raises
    ------
    DTypeError
        If NumPy has no loop for these operands.
    """
    return _operand_dtypes(
        equation.primitive, tuple([weak_operand(a.aval) for a in equation.inputs]), equation.outputs[0].aval.dtype
    )


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
    for atom in (*equation.inputs, *equation.outputs):
        if not holds(atom.aval.dtype):
            return f"dtype {atom.aval.dtype}"
    return _refusal(
        equation.primitive,
        tuple([weak_operand(a.aval) for a in equation.inputs]),
        equation.outputs[0].aval.dtype,
        tuple(equation.params.items()),
    )


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
