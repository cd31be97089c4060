"""The vector math library: which functions there are, and how they get into a module.

A kernel calls `@fad_exp_f64` like any scalar function. Its definition carries the attribute
``vector-function-abi-variant``, which tells LLVM's loop vectoriser that eight lanes at once are done by
`@fad_exp_f64_v8`. Both are written from the same body. Next to inlining this costs a call per vector (5 to 10 % of the
run time of ``exp``), and it buys three things: a function is compiled once per module however often the kernel uses
it; the loop itself stays small; and a vector version may branch on "any lane needs the slow path", which makes
``sin(1e300)`` right without slowing down ``sin(1)``.

docs/looking-inside.md states the largest errors; searches over the whole range of arguments (uniform, logarithmic, random bit patterns, near 1 and near the multiples of
pi/2, then uphill from the worst ones), against the C library's 80-bit functions and mpmath, found none above them. fmod, remainder and floor_divide give NumPy's bits.
"""

import re
from collections.abc import Callable
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
from fad.compiler.llvm.math_text import BodyFunction, Calls, define
from fad.core.interruptions import uninterrupted

__all__ = [
    "BRIEF",
    "FUNCTIONS",
    "RARE",
    "Target",
    "call_target",
    "definitions",
    "host_target",
    "library_source",
    "variant_source",
]

FUNCTIONS: dict[str, tuple[BodyFunction, int]] = {
    name: (getattr(module, name), arity)
    for module, arity, names in (
        (math_exponential, 1, "exp exp2 expm1 sinh cosh tanh expit"),
        (math_logarithm, 1, "log log2 log10 log1p asinh acosh atanh cbrt softplus log_expit"),
        (math_logarithm, 2, "power logaddexp logaddexp2 log_hypot"),
        (math_trigonometric, 1, "sin cos tan asin acos atan"),
        (math_trigonometric, 2, "atan2 hypot"),
        (math_special, 1, "erf erfc erfinv lgamma digamma"),
        (math_division, 2, "fmod remainder floor_divide"),
    )
    for name in names.split()
}

BRIEF = "_brief"
"""The end of a function's name in code that runs for less time than it takes to call: the same function, compiled quickly."""
RARE = {"fad_circle_huge": "sin", "fad_tan_huge": "tan"}
"""Functions for rare arguments that others call, and one that does; they are compiled for themselves, and quickly."""
_HEAD = re.compile(r"define internal (.*) \{")

_PURE = "nounwind willreturn nofree nosync memory(none) noinline"


class Target(NamedTuple):
    """What code needs to know of the machine: the bits of vectors in loops, fused multiply-add, how many vector registers there are, and their bits if more."""

    vector_bits: int
    fused: bool
    registers: int = 16
    wide_bits: int = 0

    @property
    def tile_bits(self) -> int:
        """The bits of vectors in tiles of matrix products, which keep the processor's multipliers busy all the time."""
        return max(self.vector_bits, self.wide_bits)


@cache
@uninterrupted()
def host_target() -> Target:
    """Describe the CPU this process runs on, with the vector width that LLVM's vectoriser prefers on it."""
    features = binding.get_host_cpu_features()
    if binding.get_default_triple().startswith(("aarch64", "arm64")):
        return Target(128, True, 32)
    if features.get("avx512f"):
        # LLVM keeps to half of the register on the CPUs that lower their clock for the whole.
        return Target(512 if binding.get_host_cpu_name().startswith("znver") else 256, True, 32, 512)
    return Target(256 if features.get("avx2") else 128, bool(features.get("fma")))


def _all_lanes(dtype: str, target: Target) -> tuple[int, ...]:
    """The vector widths that loops may ask for, the widest first: one whole register, half of one for float32."""
    full = target.vector_bits // (64 if dtype == "f64" else 32)
    return (full, full // 2) if dtype == "f32" and full > 2 else (full,)


def _attributes(name: str, dtype: str, lanes: tuple[int, ...]) -> str:
    symbol, arguments = f"fad_{name}_{dtype}", "v" * FUNCTIONS[name][1]
    if not lanes:
        return _PURE
    variants = ",".join(f"_ZGV_LLVM_N{n}{arguments}_{symbol}({symbol}_v{n})" for n in lanes)
    return f'{_PURE} "vector-function-abi-variant"="{variants}"'


@cache
def _definition(name: str, dtype: str, lanes: int, fused: bool, variants: tuple[int, ...] = ()) -> tuple[str, Calls]:
    body, arity = FUNCTIONS[name]
    symbol = f"fad_{name}_{dtype}"
    if lanes > 1:
        return define(f"{symbol}_v{lanes}", body, arity, dtype, lanes, fused, _PURE)
    return define(symbol, body, arity, dtype, 1, fused, _attributes(name, dtype, variants))


def library_source(name: str, dtype: str, target: Target | None = None) -> str:
    """Give the source of one function as a module of its own, for kernels built with ``external=True``.

    It defines ``fad_<name>_<dtype>`` and its vector variants as public symbols. The text needs no optimisation passes:
    emitting object code from it directly is the fastest way to compile it, and the code is as good.

    Parameters
    ----------
    name : str
        A key of `FUNCTIONS`.
    dtype : {"f32", "f64"}
        The type of its arguments and result.
    target : Target, optional
        The machine; this one by default.

    Returns
    -------
    str
        LLVM assembly.

    Examples
    --------
    >>> from fad.compiler.llvm.math_library import library_source
    >>> "define double @fad_exp_f64(double %a0)" in library_source("exp", "f64")
    True
    """
    target = target or host_target()
    lanes = _all_lanes(dtype, target)
    parts, externals = [], {}
    for n in (1, *lanes):
        text, calls = _definition(name, dtype, n, target.fused, lanes if n == 1 else ())
        parts.append(text.replace("define internal", "define", 1))
        externals.update(calls)
    return "\n".join([*parts, *_declarations(externals)])


def variant_source(symbol: str) -> str:
    """Give the source of one symbol, such as ``fad_exp_f64`` or its vector variant ``fad_exp_f64_v4``, as a module of its own.

    It declares what it needs only in rare cases, such as ``fad_circle_huge`` (sine and cosine of huge numbers): a symbol like any other.

    Raises
    ------
    KeyError
        If there is no such function.
    """
    if symbol in RARE:
        calls = dict(_definition(RARE[symbol], "f64", 1, host_target().fused)[1])
        return "\n".join([calls.pop(symbol).replace("define internal", "define", 1), *_declarations(calls)])  # type: ignore[union-attr]
    if symbol.endswith(BRIEF):
        plain = symbol.removesuffix(BRIEF)
        return variant_source(plain).replace(f"@{plain}(", f"@{symbol}(", 1)
    rest, lanes = symbol.removeprefix("fad_"), 1
    if rest.rpartition("_v")[2].isdigit():
        rest, _, digits = rest.rpartition("_v")
        lanes = int(digits)
    name, _, dtype = rest.rpartition("_")
    text, calls = _definition(name, dtype, lanes, host_target().fused)
    rare = [n for n in calls if n in RARE]
    if rare:
        head = [_HEAD.match(calls[n]) for n in rare]  # type: ignore[arg-type]
        called = {n: kind for n, kind in calls.items() if not isinstance(kind, str) and f"@{n}(" in text}
        return "\n".join(
            [
                text.replace("define internal", "define", 1),
                *[f"declare {h[1]}" for h in head if h],
                *_declarations(called),
            ]
        )
    return "\n".join([text.replace("define internal", "define", 1), *_declarations(calls)])


def _declarations(externals: Calls) -> list[str]:
    return [
        kind if isinstance(kind, str) else f"declare {kind[0]} @{name}({', '.join(kind[1])})"
        for name, kind in externals.items()
    ]


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

    def __init__(self, module: ir.Module, target: Target, external: bool):
        self.module, self.target, self.external = module, target, external
        self.used: dict[tuple[str, str], _Callee] = {}
        self.has_wide_elements = self.is_brief = False
        self.when_used: Callable[[str, str], None] | None = None
        """Hears of each function, by name and dtype, as soon as something calls it."""

    def symbol(self, name: str, dtype: str) -> str:
        """The symbol of a function outside of loops."""
        return f"fad_{name}_{dtype}{BRIEF if self.is_brief else ''}"

    def lanes(self, dtype: str) -> tuple[int, ...]:
        """The vector widths that this module's loops may ask for: the widest element of a loop decides."""
        lanes = _all_lanes(dtype, self.target)
        return lanes if self.external or self.has_wide_elements else lanes[:1]

    def symbols(self, loops: bool) -> list[str]:
        """What is likely to be called, in loops or outside of them; LLVM decides."""
        if not loops:
            return [self.symbol(*key) for key in self.used]
        return [f"fad_{name}_{dtype}_v{self.lanes(dtype)[0]}" for name, dtype in self.used]

    def __str__(self) -> str:
        if not self.used:
            return ""
        parts, externals, kept = [], {}, []
        for name, dtype in self.used:
            variants = () if self.is_brief else self.lanes(dtype)
            if self.external:
                parts += self._declare(name, dtype, variants)
            else:
                for lanes in (1, *variants):
                    text, calls = _definition(name, dtype, lanes, self.target.fused, variants if lanes == 1 else ())
                    parts.append(text)
                    externals.update(calls)
            kept += [f"ptr @fad_{name}_{dtype}_v{lanes}" for lanes in variants]
        parts += _declarations({name: kind for name, kind in externals.items() if name not in self.module.globals})
        if kept:
            array = f"[{len(kept)} x ptr] [{', '.join(kept)}]"
            parts.append(f'@llvm.compiler.used = appending global {array}, section "llvm.metadata"')
        return "\n".join(parts)

    def _declare(self, name: str, dtype: str, variants: tuple[int, ...]) -> list[str]:
        real, symbol = "double" if dtype == "f64" else "float", self.symbol(name, dtype)
        count = FUNCTIONS[name][1]
        lines = [f"declare {real} @{symbol}({', '.join([real] * count)}) {_attributes(name, dtype, variants)}"]
        for lanes in variants:
            vector = f"<{lanes} x {real}>"
            lines.append(f"declare {vector} @{symbol}_v{lanes}({', '.join([vector] * count)}) {_PURE}")
        return lines


def definitions(module: ir.Module, target: Target | None = None, external: bool = False) -> _Definitions:
    """Give the math functions of `module`, an empty set at first; ``used`` names them as (function, dtype).

    With `external` the module only declares what it calls, and the caller links one `library_source` per used function:
    then each is compiled once per process, or once per machine with a cache. Say so before the first call is built.
    """
    found = module.globals.get(_Definitions.name)
    if found is None:
        found = module.globals[_Definitions.name] = _Definitions(module, target or host_target(), external)
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
        known.used[name, dtype] = _Callee(module, ir.FunctionType(real, [real] * arity), known.symbol(name, dtype))
        if known.when_used is not None:
            known.when_used(name, dtype)
    return known.used[name, dtype]
