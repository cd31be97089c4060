"""What a benchmark problem is, and how one is measured.

All peers of a problem run in one process. Each peer's first call (trace, compile and run) is timed once, the peers'
results are compared, and only those that agree are timed further: interleaved rounds, whose medians are reported.
"""

from __future__ import annotations

import gc
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import libraries

REFERENCE_ORDER = ("jax", "numpy", "numba", "torch", "autograd", "fad", "torch-compile")


@dataclass(frozen=True)
class Target:
    """``fad`` is to take at most ``ratio`` times what ``against`` takes."""

    against: str
    ratio: float


@dataclass(frozen=True)
class Timed:
    """What a builder may return instead of a bare call: the step and, next to it, the primal alone.

    ``gradient`` is the gradient alone, of the same primal, where the step does more: an optimizer's update, a second derivative.
    """

    step: Callable[[], Any]
    primal: Callable[[], Any] | None = None
    gradient: Callable[[], Any] | None = None

    def extras(self) -> dict[str, Callable[[], Any]]:
        """What is timed beside the step, by name."""
        named = {"primal": self.primal, "gradient": self.gradient}
        return {label: call for label, call in named.items() if call is not None}


@dataclass(frozen=True)
class Problem:
    """Inputs, one builder per way of writing it, and what is to be reached.

    A builder is called as ``builder(library, *inputs)`` and returns a call without arguments (or a `Timed`). It makes
    its functions anew, so that the first call of what it returns traces and compiles.

    Parameters
    ----------
    name, family : str
        Shown in the table.
    inputs : callable
        ``inputs(quick)`` gives a tuple of NumPy arrays and Python numbers.
    shared : callable, optional
        The text that JAX and fad share; also autograd's where ``autograd`` is true.
    torch : callable, optional
        PyTorch, eager and compiled.
    by_hand : dict
        Peer name to builder: NumPy, numba.
    limits : dict
        Yardsticks that do not compute the result (matrix products alone, a copy): timed, not compared.
    eager : bool
        Leave ``jit`` out of fad and JAX.
    self_timed : bool
        The call returns its own seconds.
    fresh_every_call : bool
        A call cannot be repeated in place to fill a time slot (each one does something new).
    """

    name: str
    family: str
    inputs: Callable[[bool], tuple]
    shared: Callable | None = None
    torch: Callable | None = None
    by_hand: dict[str, Callable] = field(default_factory=dict)
    limits: dict[str, Callable] = field(default_factory=dict)
    autograd: bool = False
    targets: tuple[Target, ...] = ()
    first_target: float | None = 0.5
    tolerance: float = 1e-9
    eager: bool = False
    self_timed: bool = False
    fresh_every_call: bool = False
    unsupported: str = ""

    def builders(self) -> dict[str, Callable]:
        """Peer name to builder, for the peers that this problem is written for."""
        found: dict[str, Callable] = {}
        if self.shared is not None:
            found.update(fad=self.shared, jax=self.shared)
            if self.autograd:
                found["autograd"] = self.shared
        if self.torch is not None:
            found["torch"] = self.torch
            if not self.eager:
                found["torch-compile"] = self.torch
        return {**found, **self.by_hand, **self.limits}


def flat(result: Any) -> list[np.ndarray]:
    """The arrays of nested tuples, lists and dicts (by sorted key), copied to NumPy."""
    if isinstance(result, dict):
        return [leaf for key in sorted(result) for leaf in flat(result[key])]
    if isinstance(result, tuple | list):
        return [leaf for item in result for leaf in flat(item)]
    if hasattr(result, "detach"):
        result = result.detach()
    return [np.array(result)]


def disagreement(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> str:
    """Empty where both agree, else what differs. Errors are taken relative to each leaf's largest value."""
    if len(found) != len(expected):
        return f"{len(found)} results, expected {len(expected)}"
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a.shape != b.shape:
            return f"result {i} has shape {a.shape}, expected {b.shape}"
        if a.dtype.kind == "f" and a.dtype != b.dtype:
            return f"result {i} has dtype {a.dtype}, expected {b.dtype}"
        scale = max(float(np.max(np.abs(b), initial=0.0)), 1e-300)
        error = float(np.max(np.abs(a - b), initial=0.0)) / scale
        if not error <= tolerance:
            return f"result {i} differs by {error:.2g} of its largest value (allowed {tolerance:.2g})"
    return ""


@dataclass
class Peer:
    """One peer's measurements of one problem."""

    name: str
    status: str = "ok"
    message: str = ""
    first: float | None = None
    steady: list[float] = field(default_factory=list)
    primal: list[float] = field(default_factory=list)
    gradient: list[float] = field(default_factory=list)
    timed: Timed | None = None
    result: list[np.ndarray] | None = None

    def fail(self, status: str, message: str) -> None:
        self.status, self.message = status, message.strip()[:400]

    def summary(self) -> dict[str, Any]:
        """What the report keeps: seconds, the quartiles of the rounds, the status."""
        row: dict[str, Any] = {"status": self.status, "message": self.message, "first": self.first}
        for label, times in (("steady", self.steady), ("primal", self.primal), ("gradient", self.gradient)):
            row[label] = statistics.median(times) if times else None
            row[f"{label}_quartiles"] = [float(q) for q in np.percentile(times, [25, 75])] if times else None
        return row


def _start(peer: Peer, problem: Problem, inputs: tuple) -> None:
    """Load the library, build the problem, time the first call and keep its result."""
    loader = f"{peer.name}-eager" if problem.eager and peer.name in ("fad", "jax") else peer.name
    try:
        library = libraries.load(loader) if peer.name not in problem.limits else libraries.Plain(peer.name)
        libraries.warm_up(library)
    except libraries.MissingPeer as error:
        return peer.fail("missing", str(error))
    except Exception as error:
        return peer.fail("error", f"warm-up: {type(error).__name__}: {error}")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            built = problem.builders()[peer.name](library, *inputs)
            peer.timed = built if isinstance(built, Timed) else Timed(built)
            gc.collect()
            begin = time.perf_counter()
            result = peer.timed.step()
            peer.first = result if problem.self_timed else time.perf_counter() - begin
        peer.result = flat(result)
        if peer.name == "fad":
            peer.message = "; ".join(dict.fromkeys(str(w.message) for w in caught))[:400]
    except Exception as error:
        peer.fail("error", f"{type(error).__name__}: {error}")


def _compare(peers: list[Peer], problem: Problem) -> None:
    """Mark every peer whose result differs from the reference's."""
    if problem.self_timed:
        return
    usable = {p.name: p for p in peers if p.status == "ok" and p.name not in problem.limits}
    reference = next((usable[name] for name in REFERENCE_ORDER if name in usable), None)
    for peer in usable.values():
        difference = disagreement(peer.result, reference.result, problem.tolerance)
        if difference:
            peer.fail("disagrees", f"with {reference.name}: {difference}")


def _slots(peers: list[Peer]) -> Iterator[tuple[Peer, str, Callable]]:
    for peer in peers:
        if peer.status == "ok":
            yield peer, "steady", peer.timed.step
            yield from ((peer, label, call) for label, call in peer.timed.extras().items())


def _time(call: Callable, repeats: int, self_timed: bool) -> float:
    if self_timed:
        return statistics.median(call() for _ in range(repeats))
    begin = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - begin) / repeats


def _wait_for_sleep() -> None:
    """Until no thread of the peer before is busy waiting for more work: NumPy's OpenBLAS does so for a tenth of a second, on a core that others need."""
    for _ in range(30):
        begin, own = time.perf_counter(), time.process_time()
        time.sleep(0.012)  # the clock below goes on by ticks of up to ten milliseconds
        if time.process_time() - own < 0.2 * (time.perf_counter() - begin):
            return


def _rounds(peers: list[Peer], problem: Problem, quick: bool, announce: Callable[[str], None]) -> None:
    """Interleaved rounds: every peer fills one short time slot per round, after one untimed call."""
    slot, budget, rounds = (0.005, 1.0, 7) if quick else (0.02, 5.0, 21)
    plans = []
    for peer, label, call in _slots(peers):
        announce(peer.name)
        _wait_for_sleep()
        try:
            call()  # a primal and a gradient alone compile here
            single = min(_time(call, 1, problem.self_timed) for _ in range(1 if problem.fresh_every_call else 2))
        except Exception as error:
            peer.fail("error", f"{label}: {type(error).__name__}: {error}")
            continue
        repeats = 1 if problem.fresh_every_call or problem.self_timed else int(np.clip(slot / single, 1, 20000))
        share = int(np.clip(budget / (single * (repeats + 1)), 2, rounds))
        plans.append((peer, label, call, repeats, share, single))
    gc.collect()
    gc.disable()
    try:
        for index in range(rounds):
            turn = index % len(plans) if plans else 0
            for peer, label, call, repeats, share, single in plans[turn:] + plans[:turn]:
                # a slow peer takes part in an evenly spread share of the rounds
                if index * share // rounds == (index - 1) * share // rounds and index:
                    continue
                announce(peer.name)
                _wait_for_sleep()
                if single < 0.2 and not problem.fresh_every_call:
                    call()  # caches of the peer before are still around
                getattr(peer, label).append(_time(call, repeats, problem.self_timed))
    finally:
        gc.enable()


def _processor_seconds() -> tuple[float, float, float]:
    """Now, processor seconds spent by the whole machine, and by this process (no machine figure: the same)."""
    own = time.process_time()
    try:
        with open("/proc/stat") as file:
            ticks = [int(field) for field in file.readline().split()[1:9]]
    except OSError:
        return time.perf_counter(), own, own
    return time.perf_counter(), (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), own


def _elsewhere(before: tuple[float, float, float]) -> float:
    """Cores that other processes kept busy since ``before``: they slow threaded peers out of all proportion."""
    now = _processor_seconds()
    elapsed, machine, own = (b - a for a, b in zip(before, now, strict=True))
    return max(0.0, (machine - own) / elapsed)


def measure(
    problem: Problem,
    names: list[str],
    quick: bool,
    shift: int = 0,
    first_only: bool = False,
    announce: Callable[[str], None] = lambda name: None,
) -> tuple[dict[str, dict[str, Any]], float]:
    """Measure ``problem`` for the peers ``names`` in this process.

    Parameters
    ----------
    problem : Problem
    names : list of str
        Peers to run; limits of the problem always run.
    quick : bool
        Small sizes, few rounds.
    shift : int
        Rotates the order of first calls, which differs between repeated processes.
    first_only : bool
        Stop after first calls and comparison.
    announce : callable
        Told the peer about to run, so that a crash can be blamed.

    Returns
    -------
    peers : dict
        Peer name to its summary.
    elsewhere : float
        Cores kept busy by other processes during the rounds.
    """
    builders = problem.builders()
    peers = [Peer(name) for name in [*names, *problem.limits]]
    for peer in peers:
        if peer.name not in builders:
            peer.fail("unsupported", problem.unsupported)
    active = [p for p in peers if p.status == "ok"]
    inputs = problem.inputs(quick)
    turn = shift % len(active) if active else 0
    for peer in active[turn:] + active[:turn]:
        announce(peer.name)
        _start(peer, problem, inputs)
    _compare(peers, problem)
    before = _processor_seconds()
    if not first_only:
        _rounds(peers, problem, quick, announce)
    elsewhere = 0.0 if first_only or problem.self_timed else _elsewhere(before)
    return {peer.name: peer.summary() for peer in peers}, elsewhere
