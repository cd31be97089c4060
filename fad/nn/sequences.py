"""Connectionist temporal classification: the loss of a label sequence whose alignment is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np

import fad.numpy as fnp
from fad import Array, errors, scan, stop_gradient
from fad.nn.arguments import floating
from fad.nn.losses import reduced

__all__ = ["ctc"]

# Stands for the logarithm of 0: its exponential is 0, and unlike infinity it can be subtracted.
_NEVER = -1e30


def _checked(log_probabilities: Any, labels: Any, blank: int) -> tuple[Array, Array]:
    logs, labels = floating(log_probabilities), fnp.asarray(labels)
    if logs.ndim != 3 or labels.ndim != 2 or logs.shape[0] != labels.shape[0]:
        raise errors.ShapeError(
            f"nn.ctc: expected log-probabilities (n, time, classes) and labels (n, length), got shapes {logs.shape} and {labels.shape}"
        )
    if not fnp.issubdtype(labels.dtype, fnp.integer):
        raise errors.DTypeError(f"nn.ctc: labels must be integers, got dtype {labels.dtype}")
    if not 0 <= blank < logs.shape[2]:
        raise errors.ArgumentError(f"nn.ctc: blank={blank} is none of {logs.shape[2]} classes")
    return logs, labels


def _lengths(given: Any, count: int, full: int) -> Array:
    if given is None:
        return fnp.full((count,), full)
    lengths = fnp.asarray(given)
    if lengths.shape != (count,):
        raise errors.ShapeError(
            f"nn.ctc: lengths must have shape ({count},), one for each example, got {lengths.shape}"
        )
    return lengths


def _log_add(*terms: Array) -> Array:
    largest = terms[0]
    for term in terms[1:]:
        largest = fnp.maximum(largest, term)
    largest = stop_gradient(largest)
    total = fnp.exp(terms[0] - largest)
    for term in terms[1:]:
        total = total + fnp.exp(term - largest)
    return largest + fnp.log(total)


def _shifted(x: Array, by: int) -> Array:
    count, width = x.shape
    return fnp.concatenate([fnp.full((count, by), _NEVER, x.dtype), x], axis=1)[:, :width]


def ctc(
    log_probabilities: Any,
    labels: Any,
    input_lengths: Any = None,
    label_lengths: Any = None,
    *,
    blank: int = 0,
    where: Any = None,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:
    """Minus the log-probability of a label sequence, summed over all its alignments (Graves et al. 2006).

    Parameters
    ----------
    log_probabilities : array_like
        Shape ``(n, time, classes)``, from :func:`log_softmax`.
    labels : array_like of int
        Shape ``(n, length)``, padded with anything that is a class.
    input_lengths, label_lengths : array_like of int, optional
        Shape ``(n,)``; all of the time and of the labels by default.
    blank : int
        The class that stands for no label.
    where : array_like of bool, optional
        Which examples count.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` first divides each loss by its label length.
    zero_infinity : bool
        Whether sequences too long for their input cost 0 (with derivative 0) in place of infinity.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the labels are not integers.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> even = fnp.full((1, 2, 2), fnp.log(0.5))
    >>> nn.ctc(even, [[1]], reduction="none")  # three of four alignments
    Array([0.28768207])
    """
    logs, labels = _checked(log_probabilities, labels, blank)
    count, time, _ = logs.shape
    steps, sizes = _lengths(input_lengths, count, time), _lengths(label_lengths, count, labels.shape[1])
    width = 2 * labels.shape[1] + 1
    blanks = fnp.full(labels.shape, blank, labels.dtype)
    # Blanks around all labels: blank, first, blank, second, ..., blank.
    path = fnp.concatenate([fnp.stack([blanks, labels], axis=2).reshape(count, width - 1), blanks[:, :1]], axis=1)
    if labels.shape[1] == 0:
        path = fnp.full((count, 1), blank)
    scores = fnp.take_along_axis(logs, fnp.broadcast_to(path[:, None, :], (count, time, width)), axis=2)
    # Two steps at once only onto a label that differs from the one before.
    same = fnp.concatenate([fnp.ones((count, 2), bool), path[:, 2:] == path[:, :-2]], axis=1)[:, :width]
    jump = ~same & (path != blank)
    places = np.arange(width)
    start = fnp.where(places == 0, 0.0, _NEVER).astype(logs.dtype) + fnp.zeros((count, 1), logs.dtype)

    def step(alpha: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        score, number = inputs
        before = fnp.where(number == 0, _NEVER, _shifted(alpha, 2))
        reached = _log_add(alpha, _shifted(alpha, 1), fnp.where(jump, before, _NEVER)) + score
        # The least finite number keeps paths that cannot be from drifting to minus infinity.
        return fnp.where((number < steps)[:, None], fnp.maximum(reached, _NEVER), alpha), None

    last, _ = scan(step, start, (fnp.moveaxis(scores, 1, 0), fnp.arange(time)))
    ends = (places == 2 * sizes[:, None]) | (places == 2 * sizes[:, None] - 1)
    total = fnp.logsumexp(fnp.where(ends, last, _NEVER), axis=1)
    impossible = total <= _NEVER / 2
    losses = fnp.where(impossible, 0.0 if zero_infinity else np.inf, -fnp.where(impossible, 0, total))
    if reduction == "mean":
        losses = losses / fnp.maximum(sizes, 1)
    return reduced("ctc", losses, reduction, where)
