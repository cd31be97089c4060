"""NaN and infinity checks: ``fad.config.check_nans`` and ``check_infs``, and ``nan_report``.

The checks replace the traces' ``process`` while some context asks for them, so they cost nothing while none does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import host_buffer
from fad.core.avals import ShapedArray, aval_of, is_inexact
from fad.core.config import config
from fad.core.cotangents import IndexedCotangent
from fad.core.errors import FadError, NonFiniteError
from fad.core.pytrees import flatten_with_paths, path_text
from fad.core.trace import REPLAYED, EvalTrace, Source, Trace, Tracer, user_source
from fad.transforms.arguments import as_operand
from fad.transforms.forward import JVPTrace, JVPTracer
from fad.transforms.reverse import VJPTrace

__all__ = ["install_checks", "nan_report"]


def _problem(value: Any, nans: bool, infs: bool) -> str | None:
    """What is not finite in a buffer, ``None`` if nothing is or it cannot be known yet."""
    if type(value) is IndexedCotangent:
        value = value.value
    if isinstance(value, Tracer) or not hasattr(value, "dtype") or not is_inexact(value.dtype) or not value.size:
        return None
    host = host_buffer(value)
    found = []
    for on, name, test in ((nans, "NaN", np.isnan), (infs, "infinity", np.isinf)):
        bad = test(host) if on else np.zeros(0, bool)
        if bad.any():
            first = tuple(int(i) for i in np.argwhere(bad)[0])
            where = f", first at index {first}" if first else ""
            found.append(f"{name} ({np.count_nonzero(bad)} of {bad.size} elements{where})")
    return " and ".join(found) or None


def _type(value: Any) -> str:
    return str(ShapedArray(value.shape, value.dtype) if type(value) is IndexedCotangent else aval_of(value))


def _raise_if_bad(values: Sequence[Any], made: Callable[[int], str], sources: Sequence[Any]) -> None:
    nans, infs = config.check_nans, config.check_infs
    if not (nans or infs):
        return
    for k, value in enumerate(values):
        problem = _problem(value, nans, infs)
        if problem is None:
            continue
        had = [i for i, source in enumerate(sources) if _problem(source, nans, infs)]
        origin = f"argument {had[0]} contained it already" if had else "all its arguments were finite"
        types = ", ".join(_type(s) for s in sources)
        raise NonFiniteError(f"{made(k)} contains {problem}; {origin}: ({types}).", user_source())


def _checked_evaluation(self: Any, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
    out = _plain[EvalTrace](self, primitive, args, params)
    # A constant that the user wrote down is no accident; in loops and calls each operation has been checked by itself.
    if args and not primitive.higher_order:
        _raise_if_bad(out if primitive.multiple_results else [out], lambda k: f"the result of {primitive.name}", args)
    return out


def _checked_forward(self: Any, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
    out = _plain[JVPTrace](self, primitive, args, params)
    outs = out if primitive.multiple_results else [out]
    tangents = [o.tangent for o in outs if type(o) is JVPTracer and o.interpreter is self]
    sources = [
        a for own in args if type(own) is JVPTracer and own.interpreter is self for a in (own.primal, own.tangent)
    ]
    _raise_if_bad(tangents, lambda k: f"the tangent of {primitive.name}", sources)
    return out


def _checked_recording(self: Any, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
    before = len(self.tape)
    out = _plain[VJPTrace](self, primitive, args, params)
    if len(self.tape) > before and (config.check_nans or config.check_infs):
        entry, source = self.tape[before], user_source()
        if type(entry) is tuple:
            self.tape[before] = (_checked_pullback(primitive, entry[0], source), *entry[1:])
        else:
            entry.pullback = _checked_pullback(primitive, entry.pullback, source)
    return out


def _checked_pullback(primitive: Any, pullback: Callable[..., Any], source: Source | None) -> Callable[..., Any]:
    """The pullback, with its results checked and whatever it does put down to the line of the forward pass."""
    if source is not None:
        source = source.reversed(primitive.name)

    def checked(cotangent: Any, *values: Any) -> Any:
        before = REPLAYED.get()
        try:
            REPLAYED.set(source)
            found = pullback(cotangent, *values)
            given = cotangent if isinstance(cotangent, list) else [cotangent]
            if primitive.higher_order:
                return found
            _raise_if_bad(
                found if isinstance(found, list | tuple) else [found],
                lambda k: f"in the backward pass of {primitive.name} the cotangent of argument {k}",
                [c for c in given if c is not None],
            )
        finally:
            REPLAYED.set(before)
        return found

    return checked


_DOORS = ("process", "unary", "binary")
_plain_doors: dict[type, Any] = {
    trace: [getattr(trace, door) for door in _DOORS] for trace in (EvalTrace, JVPTrace, VJPTrace)
}
_plain: dict[type, Any] = {trace: trace.process for trace in (EvalTrace, JVPTrace, VJPTrace)}
_checked: dict[type, Any] = {
    EvalTrace: _checked_evaluation,
    JVPTrace: _checked_forward,
    VJPTrace: _checked_recording,
}


def install_checks(on: bool) -> None:
    """Have the traces check what they make, or no longer."""
    for trace, doors in _plain_doors.items():
        for door, method in zip(_DOORS, [_checked[trace], Trace.unary, Trace.binary] if on else doors, strict=True):
            setattr(trace, door, method)


def nan_report(tree: Any) -> str:
    """Which leaves of a tree hold NaN or infinities, and where.

    Parameters
    ----------
    tree : pytree
        Arrays with concrete values, for example parameters or gradients.

    Returns
    -------
    str
        One line per leaf that is not finite, with its path; one line in all if every leaf is finite.

    Examples
    --------
    >>> import fad
    >>> print(fad.debug.nan_report({"w": fad.Array([1.0, float("nan")]), "b": 0.0}))
    1 of 2 leaves is not finite:
      ['w'] float64[2]: NaN (1 of 2 elements, first at index (1,))
    """
    paths, leaves, _ = flatten_with_paths(tree)
    lines = []
    for path, leaf in zip(paths, leaves, strict=True):
        try:
            value = np.asarray(as_operand(leaf))
        except FadError as error:
            raise type(error)(f"nan_report: the leaf tree{path_text(path)} has no concrete value: {error}") from None
        problem = _problem(value, True, True)
        if problem is not None:
            lines.append(f"  {path_text(path) or 'the value'} {aval_of(value)}: {problem}")
    if not lines:
        return f"all {len(leaves)} leaves are finite"
    return f"{len(lines)} of {len(leaves)} leaves {'is' if len(lines) == 1 else 'are'} not finite:\n" + "\n".join(lines)
