"""Modules of LLVM assembly before they are compiled."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import llvmlite.binding as binding
import llvmlite.ir as ir

from fad.compiler.access import REDUCTIONS
from fad.compiler.llvm.emission import I64
from fad.compiler.llvm.math_library import BRIEF, FUNCTIONS, definitions, host_target
from fad.compiler.nested import nested_programs
from fad.compiler.size_classes import LONG, is_small, least_size
from fad.core.interruptions import uninterrupted
from fad.core.program import Program

__all__ = ["add_guards", "expected_symbols", "likely_symbols", "new_module"]

_DTYPES = {"float32": "f32", "float64": "f64"}


@cache
@uninterrupted()
def _triple() -> str:
    return binding.get_default_triple()  # which waits until no other thread is in LLVM


def new_module(name: str, is_brief: bool = False) -> ir.Module:
    """An empty module whose math functions are linked, not defined; those for brief code where it ``is_brief``."""
    module = ir.Module(name)
    module.triple = _triple()
    definitions(module, external=True).is_brief = is_brief
    return module


def expected_symbols(program: Program, is_brief: bool = False) -> list[str]:
    """The math functions that a Program, brief or not, is about to call: their compilation need not wait for any code.

    How many lanes loops do at once is decided when they are written, with one exception: long loops without sums fill two registers.
    """
    found: dict[str, None] = {}
    has_sums = any(e.primitive.kernel in REDUCTIONS for e in program.equations)
    dtypes = {v.aval.dtype for e in program.equations for v in e.outputs if v.aval.dtype.kind == "f"}
    called = [e for e in program.equations if e.outputs and FUNCTIONS.get(e.primitive.name, (None, 0))[1] == 1]
    for name, aval in dict.fromkeys([(e.primitive.name, e.outputs[0].aval) for e in called]):
        if aval.dtype.name in _DTYPES:
            symbol = f"fad_{name}_{_DTYPES[aval.dtype.name]}"
            if is_small(aval.shape):
                found[symbol + BRIEF if is_brief else symbol] = None
            elif not has_sums and len(dtypes) == 1 and math.prod(map(least_size, aval.shape)) >= LONG:
                found[f"{symbol}_v{2 * host_target().vector_bits // (8 * aval.dtype.itemsize)}"] = None
    for inner in [p for e in program.equations if e.primitive.higher_order for p in nested_programs(e)]:
        found.update(dict.fromkeys(expected_symbols(inner)))
    return list(found)


def likely_symbols(module: ir.Module, loops: bool) -> list[str]:
    """The symbols of fad's that a module is likely to refer to once it is compiled, in loops or outside of them."""
    math = definitions(module)
    named = [f.name for f in module.functions if f.is_declaration and f not in math.used.values()]
    return [*math.symbols(loops), *[n for n in named if n.startswith("fad_")]]


def add_guards(module: ir.Module, body: ir.Function, name: str, libraries: Iterable[str]) -> ir.Function:
    """Add a function ``name`` that runs ``body`` with some libraries kept to one thread, see :mod:`fad.compiler.llvm.blas_threads`."""
    function = ir.Function(module, body.function_type, name)
    builder = ir.IRBuilder(function.append_basic_block())
    nothing = ir.FunctionType(ir.VoidType(), [])
    kinds = sorted(libraries)
    for kind in kinds:
        builder.call(ir.Function(module, nothing, f"fad_{kind}_enter"), [])
    code = builder.call(body, function.args)
    for kind in kinds:
        builder.call(ir.Function(module, nothing, f"fad_{kind}_leave"), [])
    assert code.type == I64
    builder.ret(code)
    return function
