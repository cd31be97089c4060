"""The table, the files and the pictures made from measurements."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from typing import Any, TextIO

from benchmarks.harness import Problem
from benchmarks.notes import NOTES

Rows = dict[str, dict[str, dict[str, Any]]]
PACKAGES = ("numpy", "scipy", "jax", "torch", "autograd", "numba", "llvmlite")
COLOURS = {
    "fad": "tab:red",
    "jax": "tab:blue",
    "torch": "tab:orange",
    "torch-compile": "tab:olive",
    "autograd": "tab:green",
    "numpy": "tab:gray",
    "numba": "tab:purple",
}


def seconds(value: float | None) -> str:
    """A time with a unit that suits it."""
    if value is None:
        return "-"
    for scale, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if value * scale >= 1.0:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e9:.0f} ns"


def cell(row: dict[str, Any] | None, key: str) -> str:
    """A time, or in a word why there is none."""
    if row is None:
        return "-"
    if row["status"] != "ok":
        return "-" if row["status"] == "unsupported" else row["status"]
    return seconds(row.get(key))


def ratio(row: dict[str, dict], against: str, key: str) -> float | None:
    """Time of fad over ``against``'s, if both are known."""
    ours, theirs = row.get("fad", {}), row.get(against, {})
    if ours.get("status") != "ok" or theirs.get("status") != "ok" or not ours.get(key) or not theirs.get(key):
        return None
    return ours[key] / theirs[key]


def primal_ratio(row: dict[str, dict], peer: str) -> float | None:
    """Gradient over primal time of one peer; the gradient alone where the step does more."""
    found = row.get(peer, {})
    gradient = found.get("gradient") or found.get("steady")
    return gradient / found["primal"] if gradient and found.get("primal") else None


def verdicts(problem: Problem, row: dict[str, dict]) -> list[tuple[str, float, float]]:
    """Every target of ``problem``: what it is about, the ratio found, the ratio allowed (only where measured)."""
    found = [(f"/{t.against}", ratio(row, t.against, "steady"), t.ratio) for t in problem.targets]
    if problem.first_target is not None:
        found.append(("first/jax", ratio(row, "jax", "first"), problem.first_target))
    found.append(("grad/primal", primal_ratio(row, "fad"), 3.0))
    return [(what, got, allowed) for what, got, allowed in found if got is not None]


def describe(options: argparse.Namespace) -> dict[str, Any]:
    """Machine, versions and settings, for the head of the table."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "missing"
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "cpu": cpu,
        "threads": options.threads,
        "python": platform.python_version(),
        "versions": versions,
        "quick": options.quick,
        "processes": options.processes,
        "peers": options.peers,
    }


def table(chosen: dict[str, Problem], rows: Rows, about: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head and body of the one table: steady times, targets, first calls."""
    peers, elsewhere = about["peers"], about["busy elsewhere"]
    head = ["problem", *peers, "steady: fad/peer (target)", "first fad", "first jax", "first, grad/primal (target)"]
    body = []
    for name, problem in chosen.items():
        row = rows[name]
        marks = {"steady": [], "other": []}
        for what, got, allowed in verdicts(problem, row):
            text = f"{what} {got:.2f} ({allowed:.2f}) {'pass' if got <= allowed else 'MISS'}"
            marks["steady" if what.startswith("/") else "other"].append(text)
        if not problem.targets and (plain := ratio(row, "jax", "steady")) is not None:
            marks["steady"].append(f"/jax {plain:.2f}")
        targets = ", ".join(f"{t.against} {t.ratio:.2f}" for t in problem.targets)
        limits = "".join(f" [{limit}: {cell(row.get(limit), 'steady')}]" for limit in problem.limits)
        body.append(
            [
                name + (" *" if elsewhere[name] >= 0.1 else ""),
                *(cell(row.get(peer), "steady") for peer in peers),
                (", ".join(marks["steady"]) or (f"not measured ({targets})" if targets else "-")) + limits,
                cell(row.get("fad"), "first"),
                cell(row.get("jax"), "first"),
                ", ".join(marks["other"]) or "-",
            ]
        )
    return head, body


def markdown(head: list[str], body: list[list[str]]) -> str:
    """A Markdown table whose columns line up as plain text too."""
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    return "\n".join([line(head), "|" + "|".join("-" * (w + 2) for w in widths) + "|", *map(line, body)])


def remarks(chosen: dict[str, Problem], rows: Rows) -> list[str]:
    """Losing rows with what stands in the way, and every peer that failed."""
    lines = []
    for name, problem in chosen.items():
        missed = [
            f"{what} is {got / allowed:.2f}x its target"
            for what, got, allowed in verdicts(problem, rows[name])
            if got > allowed
        ]
        if missed:
            lines.append(f"- **{name}**: {'; '.join(missed)}. {NOTES.get(name, 'Not looked into yet.')}")
        for peer, row in rows[name].items():
            if row["status"] in ("error", "crashed", "disagrees") or (
                peer == "fad" and row["status"] == "ok" and row["message"]
            ):
                lines.append(f"- {name}, {peer}: {row['status']}: {' '.join(row['message'].split())}")
    return lines


def print_messages(row: dict[str, dict], stream: TextIO) -> None:
    """Tell at once about peers that failed."""
    for peer, found in row.items():
        if found["status"] in ("error", "crashed", "disagrees"):
            print(f"    {peer}: {found['status']}: {' '.join(found['message'].split())[:300]}", file=stream)


def save(rows: Rows, about: dict[str, Any], folder: Path) -> None:
    """Write ``results.json`` to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


def kept(options: argparse.Namespace) -> tuple[Rows, dict[str, float]]:
    """Rows of the last run, and how busy the machine was, to be shown beside those of this run.

    Raises
    ------
    SystemExit
        If that run was made with other settings, versions or another processor, so that its rows do not belong into one table with new ones.
    """
    path = Path(options.results) / "results.json"
    if not path.exists():
        return {}, {}
    found = json.loads(path.read_text())
    now, then = describe(options), found["about"]
    if differing := [key for key in now if now[key] != then.get(key)]:
        raise SystemExit(f"--update: {path} was measured with other {', '.join(differing)}; run everything anew")
    return found["rows"], then["busy elsewhere"]


def write(chosen: dict[str, Problem], rows: Rows, about: dict[str, Any], folder: Path) -> None:
    """Print the table; write ``results.json``, ``table.md`` and the pictures to ``folder``."""
    head, body = table(chosen, rows, about)
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    text = [
        f"# fad and its peers{' (quick run: small sizes, few rounds)' if about['quick'] else ''}",
        "",
        f"{about['cpu']}, {about['threads']} threads for every peer, Python {about['python']}; {versions}.",
        "A star marks a row during which other work kept a tenth of a core or more busy: repeat it on a quiet machine.",
        "Medians of interleaved rounds in one process per row. First call: trace, compile and run, "
        f"median of {about['processes']} fresh processes. `-`: the peer has no version of this row.",
        "",
        markdown(head, body),
        "",
        *remarks(chosen, rows),
    ]
    print("\n".join(text))
    save(rows, about, folder)
    (folder / "table.md").write_text("\n".join(text) + "\n")
    try:
        for key, title in (("steady", "steady state"), ("first", "first call: trace, compile, run")):
            picture(rows, key, f"time / JAX, {title}", folder / f"{key}.png")
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)


def picture(rows: Rows, key: str, title: str, path: Path) -> None:
    """Every peer's time over JAX's, one line per problem, logarithmic; left of 1 is faster than JAX."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = [n for n, row in rows.items() if row.get("jax", {}).get(key)]
    if not names:
        return
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.27 * len(names)), layout="constrained")
    for peer, colour in COLOURS.items():
        points = [
            (rows[n][peer][key] / rows[n]["jax"][key], i)
            for i, n in enumerate(names)
            if rows[n].get(peer, {}).get("status") == "ok" and rows[n][peer].get(key)
        ]
        if points:
            xs, ys = zip(*points, strict=True)
            axes.scatter(xs, ys, s=70 if peer == "fad" else 28, color=colour, label=peer, zorder=3, alpha=0.85)
    axes.axvline(1.0, color="tab:blue", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(title)
    axes.margins(y=0.01)
    figure.legend(loc="outside upper center", ncols=7, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
