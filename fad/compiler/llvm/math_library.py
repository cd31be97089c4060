"""The vector math library: which functions there are, and how they get into a module.

A kernel calls `@fad_exp_f64` like any scalar function. Its definition carries the attribute
``vector-function-abi-variant``, which tells LLVM's loop vectoriser that eight lanes at once are done by
`@fad_exp_f64_v8`. Both are written from the same body. Next to inlining this costs a call per vector (5 to 10 % of the
run time of ``exp``), and it buys three things: a function is compiled once per module however often the kernel uses
it; the loop itself stays small; and a vector version may branch on "any lane needs the slow path", which makes
``sin(1e300)`` right without slowing down ``sin(1)``.

Largest error in ULP seen against the C library's 80-bit functions and mpmath: 1.4 million arguments per function and
dtype over the whole range (uniform, logarithmic, random bit patterns, near 1 and near the multiples of pi/2).

@TABLE@
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import llvmlite.binding as binding
import llvmlite.ir as ir

from fad.compiler.llvm import (
    math_division,
    math_exponential,
    math_logarithm,
    math_special,
    math_trigonometric,
)
from fad.compiler.llvm.math_text import BodyFunction, define

__all__ = ["FUNCTIONS", "Target", "call_target", "host_target"]

FUNCTIONS: dict[str, tuple[BodyFunction, int]] = {
    name: (getattr(module, name), arity)
    for module, arity, names in (
        (math_exponential, 1, "exp exp2 expm1 sinh cosh tanh expit"),
        (math_logarithm, 1, "log log2 log10 log1p asinh acosh atanh cbrt softplus log_expit"),
        (math_logarithm, 2, "power logaddexp"),
        (math_trigonometric, 1, "sin cos tan asin acos atan"),
        (math_trigonometric, 2, "atan2 hypot"),
        (math_special, 1, "erf erfc"),
        (math_division, 2, "fmod remainder floor_divide"),
    )
    for name in names.split()
}

_PURE = "nounwind willreturn nofree nosync memory(none) noinline"


class Target(NamedTuple):
    """What the math library needs to know of the machine: vector registers of so many bits, fused multiply-add."""

    vector_bits: int
    fused: bool


@cache
def host_target() -> Target:
    """Describe the CPU this process runs on, with the vector width that LLVM's vectoriser prefers on it."""
    features = binding.get_host_cpu_features()
    if binding.get_default_triple().startswith(("aarch64", "arm64")):
        return Target(128, True)
    if features.get("avx512f"):
        # LLVM keeps to half of the register on the CPUs that lower their clock for the whole.
        return Target(512 if binding.get_host_cpu_name().startswith("znver") else 256, True)
    return Target(256 if features.get("avx2") else 128, bool(features.get("fma")))


@cache
def _definition(name: str, dtype: str, lanes: int, fused: bool, variants: Sequence[int] = ()) -> tuple[str, dict]:
    body, arity = FUNCTIONS[name]
    symbol = f"fad_{name}_{dtype}"
    if lanes > 1:
        return define(f"{symbol}_v{lanes}", body, arity, dtype, lanes, fused, _PURE)
    mangled = ",".join(f"_ZGV_LLVM_N{n}{'v' * arity}_{symbol}({symbol}_v{n})" for n in variants)
    return define(symbol, body, arity, dtype, 1, fused, f'{_PURE} "vector-function-abi-variant"="{mangled}"')


class _Callee(ir.Function):
    """A function that instructions can call and whose text `_Definitions` prints."""

    def __str__(self) -> str:
        return ""


class _Definitions:
    """The math functions of one module, printed with it.

    It takes the place of the global that keeps the vector variants alive until the vectoriser has seen them. Printing
    happens when the whole module is known: only then is it clear which widths the float32 functions need.
    """

    name = "llvm.compiler.used"

    def __init__(self, module: ir.Module, target: Target):
        self.module, self.target = module, target
        self.used: dict[tuple[str, str], _Callee] = {}
        self.has_wide_elements = False

    def lanes(self, dtype: str) -> list[int]:
        """The vector widths that a loop may ask for: its widest element decides."""
        full = self.target.vector_bits // (64 if dtype == "f64" else 32)
        return [full, full // 2] if dtype == "f32" and self.has_wide_elements and full > 2 else [full]

    def __str__(self) -> str:
        parts, externals, kept = [], {}, []
        for name, dtype in self.used:
            variants = tuple(self.lanes(dtype))
            for lanes in (1, *variants):
                text, calls = _definition(name, dtype, lanes, self.target.fused, variants if lanes == 1 else ())
                parts.append(text)
                externals.update(calls)
            kept += [f"ptr @fad_{name}_{dtype}_v{lanes}" for lanes in variants]
        parts += [
            f"declare {result} @{name}({', '.join(arguments)})"
            for name, (result, arguments) in externals.items()
            if name not in self.module.globals
        ]
        if not kept:
            return ""
        array = f"[{len(kept)} x ptr] [{', '.join(kept)}]"
        parts.append(f'@llvm.compiler.used = appending global {array}, section "llvm.metadata"')
        return "\n".join(parts)


def definitions(module: ir.Module, target: Target | None = None) -> _Definitions:
    """The math functions of `module`, an empty set at first."""
    found = module.globals.get(_Definitions.name)
    if found is None:
        found = module.globals[_Definitions.name] = _Definitions(module, target or host_target())
    return found


def call_target(module: ir.Module, name: str, dtype: str) -> ir.Function:
    """Give the function to call for math function `name` in `module`, defining it there on first use.

    Parameters
    ----------
    module : llvmlite.ir.Module
        The module being built.
    name : str
        A key of `FUNCTIONS`.
    dtype : {"f32", "f64"}
        The type of its arguments and result.

    Returns
    -------
    llvmlite.ir.Function
        Call it with ``builder.call``.
    """
    known = definitions(module)
    if (name, dtype) not in known.used:
        real = ir.DoubleType() if dtype == "f64" else ir.FloatType()
        arity = FUNCTIONS[name][1]
        known.used[name, dtype] = _Callee(module, ir.FunctionType(real, [real] * arity), f"fad_{name}_{dtype}")
    return known.used[name, dtype]
