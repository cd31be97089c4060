"""Code that measures itself: each step adds the time that it took, and one run, to counters."""

from __future__ import annotations

import platform
import time
from ctypes import CFUNCTYPE, c_int64
from functools import cache
from typing import Any

import llvmlite.binding as binding
import llvmlite.ir as ir

from fad.compiler.llvm.linking import Source
from fad.compiler.llvm.symbols import link_helper

__all__ = ["Clock", "has_cycle_counter", "seconds_per_tick"]

I64 = ir.IntType(64)


def has_cycle_counter() -> bool:
    """Whether programs may read a counter of this processor that runs at a constant rate."""
    return platform.machine().lower() in ("x86_64", "amd64")


class Clock:
    """Writes code that reads a clock around steps.

    Parameters
    ----------
    cycles : bool
        Whether to read the processor's counter; else the system's clock, which takes longer.

    Attributes
    ----------
    place : llvmlite.ir.Value
        The address of the counters, ticks and runs for each step.
    """

    def __init__(self, cycles: bool):
        self.cycles = cycles
        self.place: Any = None

    def start(self, lowering: Any, number: int) -> tuple[int, ir.Value]:
        """Read the clock before a step."""
        return number, read_clock(lowering.module, lowering.emitter.builder, lowering.emitter.entry, self.cycles)

    def stop(self, lowering: Any, started: tuple[int, ir.Value]) -> None:
        """Read the clock after a step and add to its counters."""
        number, before = started
        builder = lowering.emitter.builder
        after = read_clock(lowering.module, builder, lowering.emitter.entry, self.cycles)
        for offset, amount in enumerate((builder.sub(after, before), ir.Constant(I64, 1))):
            at = builder.gep(self.place, [ir.Constant(I64, 2 * number + offset)])
            builder.store(builder.add(builder.load(at), amount), at)


def read_clock(module: ir.Module, builder: ir.IRBuilder, entry: ir.IRBuilder, cycles: bool) -> ir.Value:
    """The present time in ticks."""
    if cycles:
        return builder.call(module.declare_intrinsic("llvm.readcyclecounter", fnty=ir.FunctionType(I64, [])), [])
    name, kind = "clock_gettime", ir.FunctionType(ir.IntType(32), [ir.IntType(32), I64.as_pointer()])
    function = module.globals[name] if name in module.globals else ir.Function(module, kind, name)
    pair = entry.alloca(ir.ArrayType(I64, 2))
    first = builder.bitcast(pair, I64.as_pointer())
    builder.call(function, [ir.Constant(ir.IntType(32), time.CLOCK_MONOTONIC), first])
    seconds, rest = builder.load(first), builder.load(builder.gep(first, [ir.Constant(I64, 1)]))
    return builder.add(builder.mul(seconds, ir.Constant(I64, 10**9)), rest)


def _counter_source() -> Source:
    module = ir.Module("fad_cycle_counter")
    module.triple = binding.get_default_triple()
    function = ir.Function(module, ir.FunctionType(I64, []), "fad_cycle_counter")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(read_clock(module, builder, builder, True))
    return Source(str(module), 0)


@cache
def seconds_per_tick(cycles: bool) -> float:
    """How long a tick of the clock is; the processor's counter is compared with the system's clock for a few milliseconds."""
    if not cycles:
        return 1e-9
    read = CFUNCTYPE(c_int64)(link_helper("fad_cycle_counter", _counter_source))
    first, began = read(), time.perf_counter()
    while time.perf_counter() - began < 0.005:
        pass
    last, ended = read(), time.perf_counter()
    return (ended - began) / (last - first)
