"""Views of what a function does: its tape, its Program with the user's lines, the memory that a gradient needs."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from fad.core.avals import ShapedArray, aval_of, dtype_of, is_inexact
from fad.core.errors import ArgumentError
from fad.core.program import Literal, Program, Var
from fad.core.pytrees import flatten, unflatten
from fad.core.trace import CURRENT, Source, user_source
from fad.transforms.arguments import (
    argument_paths,
    as_function,
    function_name,
    leaf_operands,
    result_operands,
    wrap_tree,
)
from fad.transforms.calling import vjp_programs
from fad.transforms.programs import make_program
from fad.transforms.reverse import VJPTrace, VJPTracer

__all__ = ["Memory", "memory", "print_program", "print_tape"]


class _NotingTrace(VJPTrace):
    """A tape that also notes which operation made each entry, and where."""

    __slots__ = ("notes",)

    def __init__(self, parent: Any, owner: Any):
        super().__init__(parent, owner)
        self.notes: list[tuple[str, list[str], list[ShapedArray], Source | None]] = []

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation and note it if it went on the tape."""
        before = len(self.tape)
        out = super().process(primitive, args, params)
        if len(self.tape) > before:
            outs = out if primitive.multiple_results else [out]
            self.notes.append(
                (primitive.name, [self.name_of(a) for a in args], [aval_of(o) for o in outs], user_source())
            )
        return out

    def name_of(self, x: Any) -> str:
        """An entry's number, or the type of a value that is not on the tape."""
        if type(x) is VJPTracer and x.interpreter is self:
            return f"%{x.index}"
        return repr(x) if isinstance(x, int | float | complex) else str(aval_of(x))


def print_tape(f: Callable[..., Any]) -> Callable[..., Any]:
    """Function that runs ``f`` and prints the tape that reverse mode records of it.

    Parameters
    ----------
    f : callable
        Function of pytrees of arrays.

    Returns
    -------
    callable
        With the arguments of ``f``; prints one line per entry (operation, entries and types it works on, type of the result, the user's line) and
        gives the result of ``f``.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> y = fad.debug.print_tape(lambda x: fnp.sin(x) * 2.0)(fad.Array(1.0))
    tape of <lambda>: 1 input, 2 operations
      %0 = argument 0: float64[]
      %1 = sin(%0): float64[]    ...
      %2 = multiply(%1, 2.0): float64[]    ...
      result: %2
    """
    f = as_function("print_tape", f)

    @wraps(f)
    def printing(*args: Any, **kwargs: Any) -> Any:
        leaves, treedef = flatten((args, kwargs))
        describe = argument_paths(args) if not kwargs else argument_paths((args, kwargs), "leaf")
        operands = leaf_operands("print_tape", f, leaves, describe)
        trace = _NotingTrace(CURRENT.get(), f)
        inputs = [trace.input(o) if is_inexact(dtype_of(o)) else o for o in operands]
        call_args, call_kwargs = unflatten(treedef, inputs)
        before = CURRENT.get()
        try:
            CURRENT.set(trace)
            outs, out_tree = result_operands("print_tape", f, f(*call_args, **call_kwargs))
        finally:
            CURRENT.set(before)
            trace.live = False
        builtins.print(_tape_text(trace, function_name(f), [(describe(k), i) for k, i in enumerate(inputs)], outs))
        return wrap_tree(out_tree, [trace.split(o)[0] for o in outs])

    return printing


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _tape_text(trace: _NotingTrace, name: str, inputs: Sequence[tuple[str, Any]], outs: Sequence[Any]) -> str:
    taped = [(text, x) for text, x in inputs if isinstance(x, VJPTracer)]
    lines = [f"tape of {name}: {_counted(len(taped), 'input')}, {_counted(len(trace.notes), 'operation')}"]
    lines += [f"  %{x.index} = {text}: {x.aval}" for text, x in taped]
    index = len(taped)
    for primitive, arguments, avals, source in trace.notes:
        names = ", ".join(f"%{index + i}" for i in range(len(avals)))
        types = ", ".join(map(str, avals))
        lines.append(f"  {names} = {primitive}({', '.join(arguments)}): {types}    {source or ''}".rstrip())
        index += len(avals)
    lines.append(f"  result: {', '.join(trace.name_of(o) for o in outs)}")
    return "\n".join(lines)


def print_program(f: Callable[..., Any]) -> Callable[..., None]:
    """Function that prints the Program of ``f``, and for each equation the user's line that asked for it.

    Parameters
    ----------
    f : callable
        Function of pytrees of arrays.

    Returns
    -------
    callable
        With the arguments of ``f``; prints and gives ``None``.

    See Also
    --------
    fad.make_program : gives the Program itself.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fad.debug.print_program(lambda x: fnp.sin(x) * 2.0)(fad.Array(1.0))
    <lambda>(a:float64[])
      b:float64[] = sin(a)    ...
      c:float64[] = b * 2.0    ...
      return c
    """

    @wraps(f)
    def printing(*args: Any, **kwargs: Any) -> None:
        builtins.print(make_program(f)(*args, **kwargs).text(sources=True))

    return printing


@dataclass(frozen=True)
class Memory:
    """Bytes that a function and its gradient need; what :func:`memory` gives.

    Attributes
    ----------
    arguments, results : int
        Bytes of the arguments and of the results.
    residuals : int
        Bytes kept from the forward pass for the backward pass, arguments among them not counted.
    peak : int
        Estimate of the most bytes alive at once when the function runs, arguments included.
    gradient_peak : int
        The same for the forward and the backward pass together.
    largest : tuple of (str, int)
        The largest residuals: the operation and line that made them, and bytes.

    Examples
    --------
    >>> import fad
    >>> fad.debug.memory(lambda x: (x * x).sum())(fad.Array([1.0, 2.0])).arguments
    16
    """

    arguments: int
    results: int
    residuals: int
    peak: int
    gradient_peak: int
    largest: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        rows = [
            ("arguments", self.arguments),
            ("results", self.results),
            ("peak of the function", self.peak),
            ("kept for the backward pass", self.residuals),
            *((f"  {text}", size) for text, size in self.largest),
            ("peak of function and gradient", self.gradient_peak),
        ]
        width = max(len(text) for text, _ in rows)
        return "\n".join(f"{text:<{width}}  {_bytes_text(size)}" for text, size in rows)


def _bytes_text(size: int) -> str:
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def memory(f: Callable[..., Any]) -> Callable[..., Memory]:
    """Function that tells how much memory ``f`` and its gradient need, without running it.

    Parameters
    ----------
    f : callable
        Function of pytrees of arrays.

    Returns
    -------
    callable
        With the arguments of ``f``; gives a :class:`Memory`, whose ``str`` is a table.

    Raises
    ------
    ArgumentError
        If no argument is floating point, so that there is no gradient.

    Notes
    -----
    The numbers are read off the staged Programs: every intermediate lives from its equation to its last use. Views and operations done in
    place make the real numbers smaller; work space inside an operation makes them larger. The bodies of loops count through their results.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> print(fad.debug.memory(lambda x: fnp.exp(fnp.sin(x)).sum())(fnp.zeros(1000)))
    arguments                      7.8 KiB
    results                        8 B
    peak of the function           23.4 KiB
    kept for the backward pass     ...
    peak of function and gradient  ...
    """
    f = as_function("memory", f)

    @wraps(f)
    def measure(*args: Any, **kwargs: Any) -> Memory:
        program = make_program(f)(*args, **kwargs)
        active = tuple(is_inexact(a.dtype) for a in program.in_avals)
        if not any(active):
            raise ArgumentError(
                f"memory({function_name(f)}): no argument has floating-point leaves, so there is no gradient to measure"
            )
        forward, backward, *_ = vjp_programs(program, active)
        arguments = set(forward.inputs)
        kept = (
            {v for v in forward.outputs[len(program.outputs) :] if isinstance(v, Var)}
            - arguments
            - set(forward.constants)
        )
        made = {v: (e.primitive.name, e.source) for e in forward.equations for v in e.outputs}
        rows = [
            (f"{v.aval} of {made[v][0]}" + (f" at {made[v][1]}" if made[v][1] else ""), v.aval.nbytes)
            for v in kept
            if v in made
        ]
        residuals = sum(v.aval.nbytes for v in kept)
        # While the backward pass runs, the arguments and the residuals that it still needs are alive.
        backward_peak = _peak(backward) + sum(v.aval.nbytes for v in arguments if v not in forward.outputs)
        return Memory(
            sum(a.nbytes for a in program.in_avals),
            sum(a.nbytes for a in program.out_avals),
            residuals,
            _peak(program),
            max(_peak(forward), backward_peak),
            tuple(sorted(rows, key=lambda row: -row[1])[:5]),
        )

    return measure


def _peak(program: Program) -> int:
    """Most bytes alive at once, the inputs staying alive throughout."""
    alive = {*program.inputs, *program.constants}
    now = sum(v.aval.nbytes for v in alive)
    highest = now
    kept = alive | {v for v in program.outputs if not isinstance(v, Literal)}
    for equation, dead in zip(program.equations, program.last_uses(), strict=True):
        now += sum(v.aval.nbytes for v in equation.outputs)
        highest = max(highest, now)
        now -= sum(v.aval.nbytes for v in dead if v not in kept)
    return highest
