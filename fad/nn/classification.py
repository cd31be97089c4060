"""Losses for classes: from logits, probabilities and their logarithms. ``where`` and ``reduction`` are those of the other losses."""

from __future__ import annotations

from typing import Any

import numpy as np

import fad.numpy as fnp
from fad import Array, custom_jvp, errors
from fad.nn.activations import log_sigmoid, log_softmax, sigmoid
from fad.nn.arguments import coefficient, floating
from fad.nn.losses import reduced

__all__ = ["binary_cross_entropy", "cross_entropy", "nll"]


def _weights(function: str, class_weights: Any, classes: int, like: Array) -> Array | None:
    if class_weights is None:
        return None
    weights = fnp.asarray(class_weights).astype(like.dtype)
    if weights.shape != (classes,):
        raise errors.ShapeError(
            f"nn.{function}: class_weights must have shape ({classes},), one for each class, got {weights.shape}"
        )
    return weights


def _check_range(function: str, labels: Array, ignore_index: int | None, classes: int) -> None:
    """Raise for labels out of range where their values are known; a traced label out of range counts as no class."""
    if type(labels) is not Array:
        return
    # NumPy looks at the values at once, also inside jit, where operations on arrays are staged.
    values = np.asarray(labels)
    bad = (values < 0) | (values >= classes)
    if ignore_index is not None:
        bad &= values != ignore_index
    if bad.any():
        raise errors.IndexOutOfBoundsError(
            f"nn.{function}: labels must lie in 0 ... {classes - 1}, got {values[bad][0]}; use ignore_index for labels to leave out"
        )


def _from_labels(
    function: str, logs: Array, labels: Array, smoothing: float, weights: Array | None, ignore_index: int | None
) -> tuple[Array, Array | None, Array | None]:
    """Losses from log-probabilities (classes last) and integer labels; the weights of the mean; which ones count."""
    classes = logs.shape[-1]
    if labels.shape != logs.shape[:-1]:
        raise errors.ShapeError(
            f"nn.{function}: labels have shape {labels.shape}, expected {logs.shape[:-1]} for predictions of {classes} classes"
        )
    counted: Any = None if ignore_index is None else labels != ignore_index
    _check_range(function, labels, ignore_index, classes)
    safe = labels if counted is None else fnp.where(counted, labels, 0)
    # A comparison fuses with the softmax where an indexed access, and the scatter that is its derivative, would not.
    chosen = safe[..., None] == fnp.arange(classes)
    losses = fnp.sum(fnp.where(chosen, -logs, 0), axis=-1)
    own = None
    if weights is not None:
        own = fnp.sum(fnp.where(chosen, weights, 0), axis=-1)
        losses = losses * own
    if smoothing:
        spread = fnp.sum(logs if weights is None else logs * weights, axis=-1)
        losses = (1 - smoothing) * losses - (smoothing / classes) * spread
    return losses, own, counted


def cross_entropy(
    logits: Any,
    targets: Any,
    *,
    axis: int = -1,
    label_smoothing: float = 0.0,
    class_weights: Any = None,
    ignore_index: int | None = None,
    where: Any = None,
    reduction: str = "mean",
) -> Array:
    """Minus the logarithm of the probability that the softmax of the logits gives to the target.

    Parameters
    ----------
    logits : array_like
        Scores of the classes along ``axis``, of any size.
    targets : array_like
        Integer labels, of the shape of ``logits`` without ``axis``; or probabilities (one-hot or not) of the shape of ``logits``.
    axis : int
        The axis of the classes.
    label_smoothing : float
        How much of the target is spread evenly over all classes (Szegedy et al. 2015, arXiv:1512.00567).
    class_weights : array_like, optional
        Weight of each class. With labels, the mean is divided by the sum of their weights.
    ignore_index : int, optional
        A label whose elements do not count.
    where : array_like of bool, optional
        Which elements count, broadcast with the losses.
    reduction : {"mean", "sum", "none"}
        What to do with the losses.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If shapes do not fit.
    IndexOutOfBoundsError
        If a label, whose value is known, is no class.
    ArgumentError
        If an option has no meaning.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.cross_entropy([[2.0, 0.0], [0.0, 1e4]], [0, 1], reduction="none")
    Array([0.12692801, 0.        ])
    >>> nn.cross_entropy([[2.0, 0.0]], [[0.5, 0.5]])
    Array(1.12692801)
    """
    logits, targets = floating(logits), fnp.asarray(targets)
    if logits.ndim == 0:
        raise errors.ShapeError("nn.cross_entropy: logits need an axis of classes, got a scalar")
    if not 0 <= label_smoothing <= 1:
        raise errors.ArgumentError(f"nn.cross_entropy: label_smoothing must lie in [0, 1], got {label_smoothing}")
    integers = fnp.issubdtype(targets.dtype, fnp.integer)
    if axis not in (-1, logits.ndim - 1):
        logits = fnp.moveaxis(logits, axis, -1)
        targets = targets if integers else fnp.moveaxis(targets, axis, -1)
    logs, classes = log_softmax(logits), logits.shape[-1]
    weights = _weights("cross_entropy", class_weights, classes, logits)
    if integers:
        losses, own, counted = _from_labels("cross_entropy", logs, targets, label_smoothing, weights, ignore_index)
        if counted is not None:
            where = counted if where is None else counted & fnp.asarray(where)
        return reduced("cross_entropy", losses, reduction, where, own)
    if ignore_index is not None:
        raise errors.ArgumentError(
            "nn.cross_entropy: ignore_index is for integer labels; mask probabilities with where"
        )
    if targets.shape != logits.shape:
        raise errors.ShapeError(
            f"nn.cross_entropy: target probabilities have shape {targets.shape}, logits {logits.shape}; they must be the same "
            "(labels must be integers)"
        )
    if label_smoothing:
        targets = (1 - label_smoothing) * targets + label_smoothing / classes
    # A class with probability 0 counts nothing, also where its logit is minus infinity.
    terms = targets * fnp.where(targets == 0, 0, logs)
    return reduced("cross_entropy", -fnp.sum(terms if weights is None else terms * weights, axis=-1), reduction, where)


def nll(
    log_probabilities: Any,
    labels: Any,
    *,
    axis: int = -1,
    class_weights: Any = None,
    ignore_index: int | None = None,
    where: Any = None,
    reduction: str = "mean",
) -> Array:
    """Minus the log-probability of the label; :func:`cross_entropy` after :func:`log_softmax`.

    Parameters
    ----------
    log_probabilities : array_like
        Logarithms of probabilities along ``axis``.
    labels : array_like of int
        Of the shape without ``axis``.
    axis, class_weights, ignore_index, where, reduction
        As in :func:`cross_entropy`.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the labels are not integers.
    IndexOutOfBoundsError
        If a label, whose value is known, is no class.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.nll([[-0.5, -1.0]], [1])
    Array(1.)
    """
    logs, labels = floating(log_probabilities), fnp.asarray(labels)
    if not fnp.issubdtype(labels.dtype, fnp.integer):
        raise errors.DTypeError(f"nn.nll: labels must be integers, got dtype {labels.dtype}")
    if axis not in (-1, logs.ndim - 1):
        logs = fnp.moveaxis(logs, axis, -1)
    weights = _weights("nll", class_weights, logs.shape[-1], logs)
    losses, own, counted = _from_labels("nll", logs, labels, 0.0, weights, ignore_index)
    if counted is not None:
        where = counted if where is None else counted & fnp.asarray(where)
    return reduced("nll", losses, reduction, where, own)


@custom_jvp
def _bounded_log(p: Array) -> Array:
    """A logarithm that stops at -100, so that a wrong certainty costs much, but not infinity."""
    return fnp.where(p == 0, -100, fnp.maximum(fnp.log(fnp.where(p == 0, 1, p)), -100))


@_bounded_log.defjvp
def _bounded_log_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # The derivative does not stop, only grows no further: a wrong certainty can be unlearnt.
    return _bounded_log(primals[0]), tangents[0] / fnp.maximum(primals[0], 1e-12)


@custom_jvp
def _logistic_loss(x: Array, y: Array) -> Array:
    """Terms in an order in which nothing cancels for y = 0 and y = 1."""
    return (fnp.maximum(x, 0) - x * y) + fnp.log1p(fnp.exp(-fnp.abs(x)))


@_logistic_loss.defjvp
def _logistic_loss_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    x, y = primals
    return _logistic_loss(x, y), (sigmoid(x) - y) * tangents[0] - x * tangents[1]


def binary_cross_entropy(
    predictions: Any,
    targets: Any,
    *,
    from_logits: bool = True,
    pos_weight: Any = None,
    where: Any = None,
    reduction: str = "mean",
) -> Array:
    """Minus the logarithm of the probability given to a yes or no.

    Parameters
    ----------
    predictions : array_like
        Logits of any size, or probabilities with ``from_logits=False``.
    targets : array_like
        0 or 1, or probabilities, of the same shape.
    from_logits : bool
        What the predictions are. From logits the loss is exact; from probabilities, logarithms stop at -100 (and their derivatives at 1e12).
    pos_weight : array_like, optional
        Weight of the yes, broadcast with the predictions.
    where : array_like of bool, optional
        Which elements count.
    reduction : {"mean", "sum", "none"}
        What to do with the losses.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If the shapes differ.
    ArgumentError
        If ``reduction`` is something else.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.binary_cross_entropy([0.0, 1e4, -1e4], [1, 1, 1], reduction="none")
    Array([6.93147181e-01, 0.00000000e+00, 1.00000000e+04])
    >>> nn.binary_cross_entropy([0.5, 1.0, 0.0], [1, 1, 1], from_logits=False, reduction="none")
    Array([  0.69314718,   0.        , 100.        ])
    """
    x, y = floating(predictions), fnp.asarray(targets)
    if x.shape != y.shape and y.ndim:
        raise errors.ShapeError(
            f"nn.binary_cross_entropy: predictions have shape {x.shape}, targets {y.shape}; they must be the same (or the target a scalar)"
        )
    if from_logits and pos_weight is None:
        losses = _logistic_loss(x, y.astype(x.dtype))
    elif from_logits:
        losses = -(coefficient(pos_weight) * y * log_sigmoid(x) + (1 - y) * log_sigmoid(-x))
    else:
        yes = y * _bounded_log(x)
        losses = -((yes if pos_weight is None else yes * coefficient(pos_weight)) + (1 - y) * _bounded_log(1 - x))
    return reduced("binary_cross_entropy", losses, reduction, where)
