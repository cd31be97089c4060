"""Modules of LLVM assembly before they are compiled."""

from __future__ import annotations

import llvmlite.binding as binding
import llvmlite.ir as ir

from fad.compiler.llvm.emission import I64
from fad.compiler.llvm.math_library import definitions

__all__ = ["add_blas_guard", "called_symbols", "new_module"]


def new_module(name: str) -> ir.Module:
    """An empty module whose math functions are linked, not defined."""
    module = ir.Module(name)
    module.triple = binding.get_default_triple()
    definitions(module, external=True)
    return module


def called_symbols(module: ir.Module) -> tuple[str, ...]:
    """The functions that a module calls and does not define, LLVM's own left out."""
    return tuple([f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.")])


def add_blas_guard(module: ir.Module, body: ir.Function, name: str) -> ir.Function:
    """Add a function ``name`` that runs ``body`` with BLAS kept to one thread, see :mod:`fad.compiler.llvm.blas_threads`."""
    function = ir.Function(module, body.function_type, name)
    builder = ir.IRBuilder(function.append_basic_block())
    nothing = ir.FunctionType(ir.VoidType(), [])
    builder.call(ir.Function(module, nothing, "fad_blas_enter"), [])
    code = builder.call(body, function.args)
    builder.call(ir.Function(module, nothing, "fad_blas_leave"), [])
    assert code.type == I64
    builder.ret(code)
    return function
