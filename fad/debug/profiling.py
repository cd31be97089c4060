"""``profile``: where a compiled function spends its time, by kernel and by line of the user's code, forward and backward."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from fad.compiler.dispatch import missing_llvm
from fad.core.array import wrap
from fad.core.config import config
from fad.core.errors import ArgumentError, MissingPackageError
from fad.core.pytrees import unflatten
from fad.transforms.ahead_of_time import Compiled
from fad.transforms.arguments import as_function, function_name
from fad.transforms.compilation import JittedFunction, jit

__all__ = ["KernelTime", "LineTime", "Profile", "profile"]


@dataclass(frozen=True)
class KernelTime:
    """One kernel, or one operation that Python evaluates, in a :class:`Profile`.

    Attributes
    ----------
    number : int
        The kernel's number in ``lowered.as_text("kernels")``; 0 for an operation that Python evaluates.
    kind : str
        ``"loops"``, ``"product"`` and so on; ``"Python: qr"`` for an operation that Python evaluates.
    seconds : float
        Of one run of the function, kernels inside a loop or branch counted for themselves.
    runs : int
        How often it ran in one run of the function.
    operations, bytes_read, bytes_written : int
        Operations on elements, and bytes of the arrays that it reads and writes, in one run of the function; counted, not measured.
    lines : tuple of str
        The user's lines that it computes.

    Examples
    --------
    >>> import fad
    >>> report = fad.debug.profile(lambda x: x @ x)(fad.numpy.ones((50, 50)))
    >>> [(row.kind, row.runs, row.bytes_written) for row in report.kernels]
    [('product', 1, 20000)]
    """

    number: int
    kind: str
    seconds: float
    runs: int
    operations: int
    bytes_read: int
    bytes_written: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class LineTime:
    """One line of the user's code in a :class:`Profile`.

    Attributes
    ----------
    file, line : str, int
        Where it stands.
    forward, backward : float
        Seconds of one run that its operations take, and those of their backward passes.
    forward_bytes, backward_bytes : int
        Bytes that they read and write.

    Examples
    --------
    >>> import fad
    >>> report = fad.debug.profile(fad.grad(lambda x: (x @ x).sum()))(fad.numpy.ones((50, 50)))
    >>> [row.backward > 0 for row in report.lines if row.line]
    [True]
    """

    file: str
    line: int
    forward: float
    backward: float
    forward_bytes: int
    backward_bytes: int

    @property
    def place(self) -> str:
        """File name and line number."""
        return f"{self.file.rpartition('/')[2]}:{self.line}" if self.file else "(no line)"

    @property
    def text(self) -> str:
        """The line itself, if its file can be read."""
        return linecache.getline(self.file, self.line).strip()


@dataclass(frozen=True)
class Profile:
    """Where a function spends its time; what :func:`profile` gives. Printing it shows two tables.

    Attributes
    ----------
    name : str
        The function's.
    seconds : float
        Of one run, the median of several.
    repeats : int
        How many runs were measured.
    kernels : tuple of KernelTime
        Slowest first.
    lines : tuple of LineTime
        Slowest first. The time of a kernel that computes several lines is divided among them in proportion to their estimated work.
    result : object
        What the function gave.
    lowered : Lowered
        The function as it was compiled.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> report = fad.debug.profile(lambda x: fnp.tanh(x) * 2.0)(fnp.ones(1000))
    >>> print(report)
    profile of <lambda>: ... per run, median of 10 runs
    ...
    """

    name: str
    seconds: float
    repeats: int
    kernels: tuple[KernelTime, ...]
    lines: tuple[LineTime, ...]
    result: Any = field(repr=False)
    lowered: Any = field(repr=False)

    def __str__(self) -> str:
        inside = sum(k.seconds for k in self.kernels)
        rest = max(self.seconds - inside, 0.0)
        return "\n".join(
            [
                f"profile of {self.name}: {_time(self.seconds)} per run, median of {self.repeats} runs",
                f"{_time(inside)} in kernels, {_time(rest)} around them",
                "",
                self._kernel_table(),
                "",
                self._line_table(),
            ]
        )

    def _kernel_table(self) -> str:
        rows: list[tuple[str, ...]] = [("kernel", "kind", "runs", "time", "share", "operations/s", "bytes/s", "lines")]
        for k in self.kernels:
            moved = k.bytes_read + k.bytes_written
            rates = [_count(k.operations / k.seconds), _size(moved / k.seconds)] if k.seconds else ["", ""]
            shown = ", ".join(k.lines[:3]) + (f" and {len(k.lines) - 3} more" if len(k.lines) > 3 else "")
            number = str(k.number) if k.number else ""
            cells = (number, k.kind, str(k.runs), _time(k.seconds), self._share(k.seconds))
            rows.append((*cells, *rates, shown))
        return _table(rows, right=(0, 2, 3, 4, 5, 6))

    def _line_table(self) -> str:
        rows: list[tuple[str, ...]] = [
            ("line", "forward", "backward", "share", "bytes forward", "bytes backward", "code")
        ]
        for row in self.lines:
            cells = (row.place, _time(row.forward), _time(row.backward), self._share(row.forward + row.backward))
            rows.append((*cells, _size(row.forward_bytes), _size(row.backward_bytes), row.text[:60]))
        return _table(rows, right=(1, 2, 3, 4, 5))

    def _share(self, seconds: float) -> str:
        return f"{100 * seconds / self.seconds:.0f} %" if self.seconds else ""

    def annotated(self) -> str:
        """The user's code with the time of each line, forward and backward, in front of it.

        Returns
        -------
        str
            From the first to the last line that was measured, for each file that can be read.

        Examples
        --------
        >>> import fad
        >>> text = fad.debug.profile(lambda x: fad.numpy.sin(x))(1.0).annotated()
        >>> "forward   backward" in text
        True
        """
        parts = []
        for file in dict.fromkeys(row.file for row in self.lines if row.text):
            rows = {row.line: row for row in self.lines if row.file == file}
            parts.append(f"{file}\n{'forward':>10} {'backward':>10}")
            for number in range(min(rows), max(rows) + 1):
                row = rows.get(number)
                times = [_time(t) if t else "" for t in (row.forward, row.backward)] if row else ["", ""]
                code = linecache.getline(file, number).rstrip()
                parts.append(f"{times[0]:>10} {times[1]:>10} {number:>5}  {code}".rstrip())
        return "\n".join(parts)


def _time(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def _scaled(amount: float, step: int, units: Sequence[str]) -> str:
    number = 0
    while amount >= step and number + 1 < len(units):
        amount, number = amount / step, number + 1
    return f"{amount:.3g} {units[number]}".rstrip()


def _size(nbytes: float) -> str:
    return _scaled(nbytes, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def _count(count: float) -> str:
    return _scaled(count, 1000, ("", "k", "M", "G", "T"))


def _table(rows: Sequence[Sequence[str]], right: Sequence[int]) -> str:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            f"{cell:>{w}}" if k in right else f"{cell:<{w}}"
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def profile(f: Callable[..., Any], repeats: int = 10) -> Callable[..., Profile]:
    """Function that runs ``f`` compiled, with a clock around each kernel, and tells where the time goes.

    Parameters
    ----------
    f : callable
        Function of pytrees of arrays; may be transformed or jitted already, as in ``fad.grad(loss)``, or compiled ahead of time.
    repeats : int
        How many runs to measure, after one that warms up. Times are medians.

    Returns
    -------
    callable
        With the arguments of ``f``; gives a :class:`Profile`.

    Raises
    ------
    ArgumentError
        If compilation is turned off, or ``repeats`` is not positive.

    Notes
    -----
    The code that is measured is compiled for this purpose: the clock costs some ten nanoseconds for each run of a kernel, which shows in loops of very
    small kernels. The kernels are those that ``fad.jit(f).lower(*args).as_text("kernels")`` shows. Operations of a backward pass
    count for the line whose operation they belong to.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> def loss(w, x):
    ...     return (fnp.tanh(x @ w) ** 2).mean()
    >>> report = fad.debug.profile(fad.grad(loss))(fnp.ones((20, 10)), fnp.ones((30, 20)))
    >>> [row.kind for row in sorted(report.kernels, key=lambda row: row.number)]
    ['product', 'loops', 'product']
    """
    f = as_function("profile", f)
    if not isinstance(repeats, int) or repeats < 1:
        raise ArgumentError(f"profile({function_name(f)}): repeats must be a positive int, got {repeats!r}")

    @wraps(f)
    def profiling(*args: Any, **kwargs: Any) -> Profile:
        missing = missing_llvm()
        if missing:
            raise MissingPackageError(f"profile measures native code, which needs LLVM; {missing}")
        if not config.compile:
            raise ArgumentError(
                f"profile({function_name(f)}): compilation is turned off; set fad.config.compile = True to measure native code"
            )
        return _measured(f, args, kwargs, repeats)

    return profiling


def _measured(f: Any, args: tuple[Any, ...], kwargs: dict[str, Any], repeats: int) -> Profile:
    from fad.compiler.report.outline import outline_of
    from fad.compiler.report.timing import timed_run

    if isinstance(f, Compiled):
        lowered, operands = f.lowered, f.operands(args, kwargs)
    else:
        jitted = f if isinstance(f, JittedFunction) else jit(f)
        lowered, operands = jitted.lower(*args, **kwargs), jitted.operands(*args, **kwargs)
    view = outline_of(lowered.program, lowered.argument_names)
    timings, seconds, outs = timed_run(view, operands, repeats)
    kernels = sorted(map(_kernel_row, timings), key=lambda row: -row.seconds)
    result = unflatten(lowered.out_tree, [wrap(o) for o in outs])
    name = lowered.program.name
    return Profile(name, seconds, repeats, tuple(kernels), _line_rows(timings), result, lowered)


def _kernel_row(timing: Any) -> KernelTime:
    step = timing.step
    host = not hasattr(step, "equations")
    equations = (step.equation,) if host else step.equations
    lines = tuple(dict.fromkeys(_line_text(e.source) for e in equations if e.source))
    number, kind = (0, f"Python: {step.equation.primitive.name}") if host else (step.number, step.kind)
    cost = timing.cost
    return KernelTime(
        number,
        kind,
        timing.seconds,
        timing.runs,
        cost.flops + cost.transcendentals,
        cost.bytes_read,
        cost.bytes_written,
        lines,
    )


def _line_text(source: Any) -> str:
    place = source.short.partition(",")[0]
    return f"{place} backward" if source.backward else place


def _line_rows(timings: Sequence[Any]) -> tuple[LineTime, ...]:
    from fad.compiler.report.timing import shares

    found: dict[tuple[str, int], list[float]] = {}
    for timing in timings:
        for share in shares(timing):
            source = share.source
            row = found.setdefault((source.file, source.line) if source else ("", 0), [0.0, 0.0, 0, 0])
            backward = bool(source and source.backward)
            row[backward] += share.seconds
            row[2 + backward] += share.nbytes
    rows = [LineTime(file, line, a, b, int(c), int(d)) for (file, line), (a, b, c, d) in found.items()]
    return tuple(sorted(rows, key=lambda row: -(row.forward + row.backward)))
