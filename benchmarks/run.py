"""Entry point of ``make bench``: every problem in a process of its own, all its peers side by side in that process.

Run: python -m benchmarks.run [--quick] [--only WORDS] [--update] [--peers NAMES] [--threads N] [--list]
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FAMILIES = (
    "eager",
    "jit_small",
    "jit_callbacks",
    "jit_elementwise",
    "jit_networks",
    "jit_transformer",
    "jit_training",
    "jit_loops",
    "jit_derivatives",
    "jit_gradbench",
    "jit_gradbench_nested",
)
ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"


def problems() -> dict[str, Any]:
    """All problems by name, in table order."""
    found = {}
    for family in FAMILIES:
        for problem in importlib.import_module(f"benchmarks.{family}").PROBLEMS:
            if problem.name in found:
                raise ValueError(f"two problems are called {problem.name!r}")
            found[problem.name] = problem
    return found


def limit_threads(count: int) -> dict[str, str]:
    """Restrict this process to ``count`` cores; the environment that makes every peer use as many threads."""
    if hasattr(os, "sched_setaffinity"):  # XLA and Eigen count the cores they may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    names = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "NUMBA", "FAD")
    return {f"{name}_NUM_THREADS": str(count) for name in names}


def work(arguments: argparse.Namespace) -> None:
    """Child process: measure one problem and write what was found."""
    from benchmarks.harness import measure  # after the parent has fixed the threads

    out = Path(arguments.out)
    blame = out.with_suffix(".running")
    peers, elsewhere = measure(
        problems()[arguments.worker],
        arguments.peers,
        arguments.quick,
        shift=arguments.shift,
        first_only=arguments.shift > 0,
        announce=blame.write_text,
    )
    out.write_text(json.dumps({"peers": peers, "elsewhere": elsewhere}))


def cache_variables(folder: Path) -> dict[str, str]:
    """The environment in which every peer keeps what it compiles in ``folder``, however small and quick to compile it is."""
    return {
        "FAD_CACHE_DIR": str(folder / "fad"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "JAX_COMPILATION_CACHE_DIR": str(folder / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


def run_child(
    name: str, peers: list[str], shift: int, options: argparse.Namespace, env: dict, caches: Path | None = None
) -> tuple[dict[str, Any], float]:
    """Measure in a child process; a peer that kills it or hangs is dropped, reported, and the rest run again.

    Without a folder of ``caches`` the process finds nothing that an earlier one compiled.
    """
    crashed: dict[str, Any] = {}
    while True:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "result.json"
            command = [sys.executable, "-m", "benchmarks.run", "--worker", name, "--out", str(out)]
            command += ["--shift", str(shift), "--peers", ",".join(p for p in peers if p not in crashed)]
            command += ["--quick"] if options.quick else []
            env = {**env, **cache_variables(caches or Path(folder))}
            env.pop("PYTHONDONTWRITEBYTECODE", None)  # the other peers are installed, so their bytecode is on disk
            try:
                done = subprocess.run(
                    command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=options.timeout
                )
                reason = f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"
                ok = done.returncode == 0
            except subprocess.TimeoutExpired:
                ok, reason = False, f"stopped after {options.timeout} s"
            if ok:
                found = json.loads(out.read_text())
                return {**found["peers"], **crashed}, found["elsewhere"]
            blame = out.with_suffix(".running")
            culprit = blame.read_text() if blame.exists() else ""
            if culprit not in peers or culprit in crashed:
                row = {"status": "error", "message": reason, "first": None, "steady": None, "primal": None}
                return {**dict.fromkeys(peers, row), **crashed}, 0.0
            crashed[culprit] = {"status": "crashed", "message": reason, "first": None, "steady": None, "primal": None}


def run_problem(name: str, options: argparse.Namespace, env: dict) -> tuple[dict[str, Any], float]:
    """Steady state in one process; first calls in several, of which the median counts."""
    result, elsewhere = run_child(name, options.peers, 0, options, env)
    firsts = {peer: [row["first"]] for peer, row in result.items() if row["first"] is not None}
    # torch.compile takes many seconds: once is enough to show it
    again = [p for p in firsts if p != "torch-compile" and result[p]["status"] == "ok" and p in options.peers]
    for shift in range(1, options.processes):
        for peer, row in run_child(name, again, shift, options, env)[0].items():
            if row["first"] is not None and peer in firsts:
                firsts[peer].append(row["first"])
    for peer, times in firsts.items():
        result[peer]["first"] = statistics.median(times)
        result[peer]["first_all"] = times
    return result, elsewhere


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Command line."""
    from benchmarks.libraries import PEERS

    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="comma-separated words; problems whose name or family has one")
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds, no torch.compile")
    parser.add_argument("--peers", default="", help=f"comma-separated, of {', '.join(PEERS)}")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--processes", type=int, default=0, help="processes whose first calls are timed")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one process of one problem")
    parser.add_argument("--results", default=str(RESULTS), help="folder for table, numbers and pictures")
    parser.add_argument("--update", action="store_true", help="keep the rows of the last run that are not chosen now")
    parser.add_argument("--list", action="store_true", help="list the problems and stop")
    for internal in ("--worker", "--out"):
        parser.add_argument(internal, default="", help=argparse.SUPPRESS)
    parser.add_argument("--shift", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    default = [p for p in PEERS if not (options.quick and p == "torch-compile")]
    options.peers = options.peers.split(",") if options.peers else default
    options.processes = options.processes or (1 if options.quick else 3)
    return options


def main(argv: list[str] | None = None) -> None:
    """Measure, print one table, write JSON, Markdown and pictures."""
    options = parse(argv)
    if options.worker:
        return work(options)
    from benchmarks import report

    words = [w for w in options.only.split(",") if w]
    chosen = {n: p for n, p in problems().items() if not words or any(w in n or w in p.family for w in words)}
    if options.list:
        for name, problem in chosen.items():
            print(f"{problem.family:22} {name}")
        return None
    env = {**os.environ, **limit_threads(options.threads)}
    rows, elsewhere = report.kept(options) if options.update else ({}, {})
    for index, name in enumerate(chosen):
        begin = time.perf_counter()
        print(f"[{index + 1}/{len(chosen)}] {name}", end=" ", file=sys.stderr, flush=True)
        rows[name], elsewhere[name] = run_problem(name, options, env)
        print(
            f"{time.perf_counter() - begin:.0f} s, {elsewhere[name]:.1f} cores busy elsewhere",
            file=sys.stderr,
            flush=True,
        )
        report.print_messages(rows[name], sys.stderr)
        # after every row: a run that is cut short has not been for nothing
        about = {**report.describe(options), "busy elsewhere": elsewhere}
        report.save(rows, about, Path(options.results))
    report.write({n: p for n, p in problems().items() if n in rows}, rows, about, Path(options.results))
    return None


if __name__ == "__main__":
    main()
