"""First calls in a second process: what an earlier process compiled lies on disk, for fad and for JAX (its persistent compilation cache).

Every problem has processes of its own. The first fills the caches; in the others, both peers' first calls (trace, find the code, run) are
timed side by side, in changing order, and the medians count.

Run: python -m benchmarks.warm [--quick] [--only WORDS] [--processes N] [--threads N]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import report, run

PEERS = ["fad", "jax"]
TARGET = 0.3
HEAD = ["problem", "cold fad", "cold jax", "warm fad", "warm jax", "warm fad/jax", f"target {TARGET}"]


def measure(name: str, options: Any, env: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Seconds of each peer's first call, cold and warm."""
    with tempfile.TemporaryDirectory() as folder:
        times: dict[str, list[float]] = {peer: [] for peer in PEERS}
        for shift in range(1, options.processes + 2):
            found, _ = run.run_child(name, PEERS, shift, options, env, Path(folder))
            for peer in PEERS:
                if found[peer]["status"] != "ok":
                    raise SystemExit(f"{name}, {peer}: {found[peer]['status']}: {found[peer]['message']}")
                times[peer].append(found[peer]["first"])
    return {peer: (cold, statistics.median(warm)) for peer, (cold, *warm) in times.items()}


def line(name: str, found: dict[str, tuple[float, float]]) -> tuple[float, list[str]]:
    """The ratio of the warm calls, and the cells of the table."""
    ratio = found["fad"][1] / found["jax"][1]
    times = [report.seconds(found[peer][warm]) for warm in (0, 1) for peer in PEERS]
    return ratio, [name, *times, f"{ratio:.2f}", "pass" if ratio <= TARGET else "MISS"]


def main(argv: list[str] | None = None) -> None:
    """Measure and print one table."""
    options = run.parse(argv)
    words = [w for w in options.only.split(",") if w]
    chosen = {n: p for n, p in run.problems().items() if p.shared is not None and not p.eager and not p.self_timed}
    chosen = {n: p for n, p in chosen.items() if not words or any(w in n or w in p.family for w in words)}
    env = {**os.environ, **run.limit_threads(options.threads)}
    ratios, body = [], []
    for name in chosen:
        ratio, cells = line(name, measure(name, options, env))
        print(" | ".join(cells), file=sys.stderr, flush=True)
        ratios.append(ratio)
        body.append(cells)
    print(report.markdown(HEAD, body))
    print(
        f"\n{sum(r <= TARGET for r in ratios)} of {len(ratios)} within the target; median {statistics.median(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
