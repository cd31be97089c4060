"""Running a Program with every kernel timed: segments are compiled once more, with a clock around each step."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fad.compiler.code import Code, header_of
from fad.compiler.execution import NativeSegment
from fad.compiler.fusion import is_costly
from fad.compiler.llvm.caller import new_results
from fad.compiler.llvm.linking import engine
from fad.compiler.llvm.symbols import outside_symbols
from fad.compiler.report.clock import Clock, has_cycle_counter, seconds_per_tick
from fad.compiler.report.code import Written
from fad.compiler.report.costs import Cost
from fad.compiler.report.outline import HostOutline, Kernel, Outline, SegmentOutline, host_cost
from fad.core.program import Equation, Literal, Var
from fad.core.trace import Source

__all__ = ["Share", "Timing", "shares", "timed_run"]

_numbers = itertools.count()


class _TimedSegment(NativeSegment):
    """A segment whose code adds up the ticks and runs of each kernel in ``counters``."""

    def __init__(self, segment: SegmentOutline, names: dict[Var, str], cycles: bool):
        # The name is unique in the process; it is not kept on disk.
        written = Written(segment, names, f"fad_timed_{next(_numbers)}_", Clock(cycles))
        objects = {(name,): engine().compile(source) for name, source in written.sources.items()}
        header = header_of(written.lowering, outside_symbols(written.name, objects), objects)
        super().__init__(segment.program, Code(written.name, header, b"".join(objects.values())), segment.donated)
        self.kernels = segment.all_kernels()
        self.counters = np.zeros((len(self.kernels) + 1, 2), np.int64)
        self.records = [self.counters]
        _, self._arena = super()._new_memory()

    def __call__(self, *args: Any) -> list[np.ndarray]:
        """Run it on buffers."""
        return self._run(args)

    def _new_memory(self) -> tuple[list[np.ndarray], np.ndarray]:
        # The native caller keeps an arena between calls, too, and has results from there; touching new pages would be counted as the kernels' time.
        return new_results(self.out_types), self._arena


@dataclass(frozen=True)
class Timing:
    """The time of one step.

    Attributes
    ----------
    step : Kernel or HostOutline
        The kernel, or the equation that Python evaluates.
    seconds : float
        Of one run of the Program, without the kernels inside it.
    runs : int
        How often the step ran in one run of the Program.
    cost : Cost
        What it did in one run of the Program, without the kernels inside it.
    """

    step: Kernel | HostOutline
    seconds: float
    runs: int
    cost: Cost


def timed_run(
    view: Outline, args: Sequence[Any], repeats: int, cycles: bool | None = None
) -> tuple[list[Timing], float, list[Any]]:
    """The timings of a Program's steps, the time of a whole run, and the results; medians of so many runs after one that warms up."""
    cycles = has_cycle_counter() if cycles is None else cycles
    steps = [s if isinstance(s, HostOutline) else _TimedSegment(s, view.names, cycles) for s in view.steps]
    tick = seconds_per_tick(cycles)
    totals, laps = [], []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        results, seconds = _run(view, steps, args)
        totals.append(time.perf_counter() - began)
        laps.append(
            [s if isinstance(k, HostOutline) else k.counters.copy() for k, s in zip(steps, seconds, strict=True)]
        )
    timings: list[Timing] = []
    for number, step in enumerate(steps):
        found = [lap[number] for lap in laps[1:]]
        if isinstance(step, HostOutline):
            timings.append(Timing(step, statistics.median(found), 1, host_cost(step.equation)))
        else:
            ticks = np.median([c[:, 0] for c in found], axis=0)
            timings += _kernel_timings(step.kernels, ticks * tick, found[-1][:, 1])
    return timings, statistics.median(totals[1:]), results


def _run(view: Outline, steps: Sequence[Any], args: Sequence[Any]) -> tuple[list[Any], list[float]]:
    """One run: results, and seconds of each step."""
    env: dict[Any, Any] = {**view.program.constants, **dict(zip(view.program.inputs, args, strict=True))}
    seconds = []
    for step in steps:
        atoms = step.equation.inputs if isinstance(step, HostOutline) else step.program.inputs
        values = [a.value if isinstance(a, Literal) else env[a] for a in atoms]
        if not isinstance(step, HostOutline):
            step.counters[:] = 0
        began = time.perf_counter()
        if isinstance(step, HostOutline):
            out = step.equation.primitive.bind(*values, **step.equation.params)
            outs = out if step.equation.primitive.multiple_results else [out]
        else:
            outs = step(*values)
        seconds.append(time.perf_counter() - began)
        env.update(
            zip(step.equation.outputs if isinstance(step, HostOutline) else step.program.outputs, outs, strict=True)
        )
    return [a.value if isinstance(a, Literal) else env[a] for a in view.program.outputs], seconds


def _kernel_timings(kernels: Sequence[Kernel], seconds: Any, runs: Any) -> list[Timing]:
    places = {kernel.number: place for place, kernel in enumerate(kernels)}
    timings = []
    for kernel, spent, count in zip(kernels, seconds, runs, strict=False):
        inner = sum(seconds[places[k.number]] for k in kernel.inner)
        cost = kernel.cost.times(int(count)) if not kernel.inner else Cost()
        timings.append(Timing(kernel, max(float(spent - inner), 0.0), int(count), cost))
    return timings


# --- lines -----------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """What a step spends on one line of the user's code: seconds, and bytes that it reads and writes."""

    source: Source | None
    seconds: float
    nbytes: int


def shares(timing: Timing) -> list[Share]:
    """A step's time by lines. Fused operations run together: each gets a part in proportion to its estimated work."""
    step = timing.step
    equations = (step.equation,) if isinstance(step, HostOutline) else step.equations
    work = [_work(e) for e in equations]
    total = sum(work) or 1
    nbytes = _bytes_of(timing, equations)
    return [Share(e.source, timing.seconds * w / total, b) for e, w, b in zip(equations, work, nbytes, strict=True)]


def _work(equation: Equation) -> int:
    """The work of an equation: an element of a costly function takes about as long as a few of a cheap one."""
    size = max([v.aval.size for v in (*equation.inputs, *equation.outputs) if v.aval.is_sized], default=1)
    return size * (4 if is_costly(equation) else 1)


def _bytes_of(timing: Timing, equations: Sequence[Equation]) -> list[int]:
    """The bytes of each equation: a result's belong to the one that makes it, an argument's to the first one that reads it."""
    step = timing.step
    moved = timing.cost.bytes_read + timing.cost.bytes_written
    if len(equations) == 1 or isinstance(step, HostOutline):
        return [moved] * len(equations)
    reads, writes = set(step.reads), set(step.writes)
    found = []
    for equation in equations:
        own = [v for v in equation.outputs if v in writes]
        first = [v for v in dict.fromkeys(equation.inputs) if isinstance(v, Var) and v in reads]
        reads -= set(first)
        found.append(sum(v.aval.nbytes for v in (*own, *first)))
    total = sum(found)
    return [moved * n // total if total else 0 for n in found]
