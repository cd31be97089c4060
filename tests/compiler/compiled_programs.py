"""Compile a function and compare it with its evaluation, for the tests of the compiler."""

from collections.abc import Callable
from typing import Any

import numpy as np

import fad
from fad.compiler.execution import CompiledProgram
from fad.compiler.report.outline import outline_of
from fad.core.program import Program, evaluate


def program_of(function: Callable, *args: Any) -> Program:
    """The staged function, every pass checked."""
    return fad.make_program(function)(*args)


def compile_program(program: Program) -> CompiledProgram:
    """The compiled Program, the verifier run after every pass."""
    with fad.config.using(verify_programs=True):
        return CompiledProgram(program)


def check_compiled(function: Callable, *args: Any, tolerance: float = 1e-12, native: bool = True) -> CompiledProgram:
    """Compiled and evaluated results agree to rounding, and (if ``native``) nothing is left to Python."""
    program = program_of(function, *args)
    compiled = compile_program(program)
    buffers = [np.asarray(a) if isinstance(a, list) else a for a in fad.tree.leaves(args)]
    with np.errstate(all="ignore"):
        expected = evaluate(program, *buffers)
    found = compiled(*buffers)
    assert len(found) == len(expected)
    for seen, wanted in zip(found, expected, strict=True):
        assert seen.dtype == np.asarray(wanted).dtype
        scale = max(1.0, np.max(np.abs(np.asarray(wanted)).astype(float), initial=0.0, where=np.isfinite(wanted)))
        np.testing.assert_allclose(seen, wanted, rtol=tolerance, atol=tolerance * scale)
    if native:
        assert not compiled.reasons, compiled.reasons
    return compiled


def kernels(compiled: CompiledProgram) -> list[str]:
    """The texts of all fused loops, without the lines that they come from."""
    found = [k for k in outline_of(compiled.program).all_kernels() if k.kind == "loops"]
    return ["\n".join("  " * line.indent + line.text for line in k.lines) for k in found]
