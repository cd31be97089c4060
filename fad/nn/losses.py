"""Losses for numbers: regression, likelihoods, margins between vectors.

All take ``where`` (which elements count, broadcast with the losses) and ``reduction``: ``"mean"`` over the elements that count, ``"sum"``, or ``"none"``, which
gives 0 for those that do not. The mean of nothing is 0, so that an empty or wholly masked batch gives no gradient rather than a NaN.
"""

from __future__ import annotations

import math
from typing import Any

import fad.numpy as fnp
from fad import Array, errors
from fad.nn.arguments import coefficient, floating
from fad.nn.functional import safe_norm

__all__ = [
    "cosine_embedding",
    "cosine_similarity",
    "gaussian_nll",
    "hinge",
    "huber",
    "kl_div",
    "mae",
    "mse",
    "poisson_nll",
    "smooth_l1",
    "triplet",
]


def reduced(function: str, losses: Array, reduction: str, where: Any = None, weights: Any = None) -> Array:
    """The losses as one number, or as they are; a mean is divided by the sum of the weights."""
    if reduction not in ("mean", "sum", "none"):
        raise errors.ArgumentError(f"nn.{function}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    if where is not None:
        where = fnp.asarray(where)
        try:
            shape = fnp.broadcast_shapes(where.shape, losses.shape)
        except ValueError:
            shape = ()
        if shape != losses.shape:
            raise errors.ShapeError(
                f"nn.{function}: where has shape {where.shape}, which does not broadcast to the losses' {losses.shape}"
            )
        losses = fnp.where(where, losses, 0)
    if reduction == "none":
        return losses
    total = fnp.sum(losses)
    if reduction == "sum":
        return total
    if where is None and weights is None:
        return total / max(losses.size, 1)
    counted = fnp.ones(losses.shape, losses.dtype) if weights is None else fnp.broadcast_to(weights, losses.shape)
    count = fnp.sum(counted if where is None else fnp.where(where, counted, 0))
    return total / fnp.where(count == 0, 1, count)


def _pair(function: str, predictions: Any, targets: Any) -> tuple[Array, Array]:
    """Two arrays of one shape: broadcasting here is nearly always a mistake."""
    x, y = floating(predictions), fnp.asarray(targets)
    if x.shape != y.shape and y.ndim:
        raise errors.ShapeError(
            f"nn.{function}: predictions have shape {x.shape}, targets {y.shape}; they must be the same (or the target a scalar)"
        )
    return x, y


def mse(predictions: Any, targets: Any, *, where: Any = None, reduction: str = "mean") -> Array:
    """Squared differences.

    Parameters
    ----------
    predictions, targets : array_like
        Of one shape.
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
    >>> nn.mse([1.0, 2.0], [1.0, 4.0])
    Array(2.)
    """
    x, y = _pair("mse", predictions, targets)
    difference = x - y
    return reduced("mse", difference * difference, reduction, where)


def mae(predictions: Any, targets: Any, *, where: Any = None, reduction: str = "mean") -> Array:
    """Absolute differences, with derivative 0 where they vanish.

    Parameters
    ----------
    predictions, targets : array_like
        Of one shape.
    where, reduction
        As in :func:`mse`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.mae([1.0, 2.0], [1.0, 4.0])
    Array(1.)
    """
    x, y = _pair("mae", predictions, targets)
    return reduced("mae", fnp.abs(x - y), reduction, where)


def huber(predictions: Any, targets: Any, *, delta: float = 1.0, where: Any = None, reduction: str = "mean") -> Array:
    """``d**2 / 2`` for differences up to ``delta``, and straight lines beyond (Huber 1964).

    Parameters
    ----------
    predictions, targets : array_like
        Of one shape.
    delta : float
        Where the lines begin, positive.
    where, reduction
        As in :func:`mse`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.huber([0.5, 3.0], [0.0, 0.0], reduction="none")
    Array([0.125, 2.5  ])
    """
    if delta <= 0:
        raise errors.ArgumentError(f"nn.huber: delta must be positive, got {delta}")
    x, y = _pair("huber", predictions, targets)
    difference = x - y
    size = fnp.abs(difference)
    near = size < delta
    # The square of what is far away may overflow.
    square = fnp.where(near, difference, 0)
    return reduced("huber", fnp.where(near, 0.5 * square * square, delta * (size - 0.5 * delta)), reduction, where)


def smooth_l1(
    predictions: Any, targets: Any, *, beta: float = 1.0, where: Any = None, reduction: str = "mean"
) -> Array:
    """:func:`huber` divided by its ``delta``: slopes of 1 beyond ``beta``; :func:`mae` for ``beta=0``.

    Parameters
    ----------
    predictions, targets : array_like
        Of one shape.
    beta : float
        Where the lines begin, not negative.
    where, reduction
        As in :func:`mse`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.smooth_l1([1.0, 3.0], [0.0, 0.0], beta=2.0, reduction="none")
    Array([0.25, 2.  ])
    """
    if beta == 0:
        return mae(predictions, targets, where=where, reduction=reduction)
    return huber(predictions, targets, delta=beta, where=where, reduction=reduction) / beta


def kl_div(
    log_predictions: Any,
    targets: Any,
    *,
    log_target: bool = False,
    where: Any = None,
    reduction: str = "mean",
) -> Array:
    """``p (log p - log q)`` elementwise: the divergence of Kullback and Leibler, before it is summed.

    Parameters
    ----------
    log_predictions : array_like
        ``log q``, from :func:`log_softmax`.
    targets : array_like
        ``p``, or ``log p`` with ``log_target``. What has probability 0 counts nothing.
    log_target : bool
        Whether the targets are logarithms.
    where, reduction
        As in :func:`mse`; also ``"batchmean"``, the sum divided by the size of the first axis, which is the divergence itself.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.kl_div(nn.log_softmax([[0.0, 0.0]]), [[1.0, 0.0]], reduction="batchmean")
    Array(0.69314718)
    """
    x, y = _pair("kl_div", log_predictions, targets)
    if log_target:
        probability, log_probability, present = fnp.exp(y), y, y > -math.inf
    else:
        present = y > 0
        probability, log_probability = y, fnp.log(fnp.where(present, y, 1))
    losses = fnp.where(present, probability * (log_probability - x), 0)
    if reduction == "batchmean":
        return reduced("kl_div", losses, "sum", where) / (max(x.shape[0], 1) if x.ndim else 1)
    return reduced("kl_div", losses, reduction, where)


def hinge(predictions: Any, targets: Any, *, margin: float = 1.0, where: Any = None, reduction: str = "mean") -> Array:
    """``max(0, margin - target * prediction)``, for targets -1 and 1.

    Parameters
    ----------
    predictions : array_like
        Scores.
    targets : array_like
        -1 or 1, of the same shape.
    margin : float
        How far on the right side a score must be.
    where, reduction
        As in :func:`mse`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.hinge([0.5, 3.0], [1, -1], reduction="none")
    Array([0.5, 4. ])
    """
    x, y = _pair("hinge", predictions, targets)
    short = margin - y * x
    return reduced("hinge", fnp.where(short <= 0, 0, short), reduction, where)


def poisson_nll(
    predictions: Any,
    targets: Any,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    where: Any = None,
    reduction: str = "mean",
) -> Array:
    """Minus the log-likelihood of counts under the Poisson distribution.

    Parameters
    ----------
    predictions : array_like
        The logarithms of the rates; the rates themselves with ``log_input=False``.
    targets : array_like
        Counts, of the same shape.
    log_input : bool
        What the predictions are.
    full : bool
        Whether to add what does not depend on the prediction, in Stirling's approximation (for counts above 1).
    eps : float
        Added to rates before the logarithm.
    where, reduction
        As in :func:`mse`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.poisson_nll([0.0, 1.0], [1, 2], reduction="none")
    Array([1.        , 0.71828183])
    """
    x, y = _pair("poisson_nll", predictions, targets)
    losses = fnp.exp(x) - y * x if log_input else x - y * fnp.log(x + eps)
    if full:
        count = fnp.where(y > 1, y, 2)
        stirling = count * fnp.log(count) - count + 0.5 * fnp.log(2 * math.pi * count)
        losses = losses + fnp.where(y > 1, stirling, 0)
    return reduced("poisson_nll", losses, reduction, where)


def gaussian_nll(
    predictions: Any,
    targets: Any,
    var: Any,
    *,
    full: bool = False,
    eps: float = 1e-6,
    where: Any = None,
    reduction: str = "mean",
) -> Array:
    """Minus the log-likelihood of numbers under normal distributions.

    Parameters
    ----------
    predictions, targets : array_like
        Means and what was seen, of one shape.
    var : array_like
        Variances, broadcast with them.
    full : bool
        Whether to add the constant.
    eps : float
        Smaller variances count as this one.
    where, reduction
        As in :func:`mse`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.gaussian_nll([1.0], [3.0], [4.0])
    Array(1.19314718)
    """
    x, y = _pair("gaussian_nll", predictions, targets)
    var = fnp.broadcast_to(coefficient(var), x.shape).astype(x.dtype)
    safe = fnp.where(var <= eps, eps, var)
    difference = x - y
    losses = 0.5 * (fnp.log(safe) + difference * difference / safe)
    if full:
        losses = losses + 0.5 * math.log(2 * math.pi)
    return reduced("gaussian_nll", losses, reduction, where)


def cosine_similarity(a: Any, b: Any, axis: int = -1, eps: float = 1e-8) -> Array:
    """The cosine of the angle between vectors.

    Parameters
    ----------
    a, b : array_like
        Vectors along ``axis``; broadcast.
    axis : int
        The axis of the vectors.
    eps : float
        Shorter vectors count as having this length.

    Returns
    -------
    Array
        One axis less.

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.cosine_similarity([[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]])
    Array([0.70710678, 0.        ])
    """
    a, b = floating(a), floating(b)
    return fnp.sum(a * b, axis=axis) / (safe_norm(a, axis, eps) * safe_norm(b, axis, eps))


def cosine_embedding(
    a: Any, b: Any, targets: Any, *, margin: float = 0.0, where: Any = None, reduction: str = "mean"
) -> Array:
    """``1 - cos`` for pairs that belong together (target 1), ``max(0, cos - margin)`` for those that do not (target -1).

    Parameters
    ----------
    a, b : array_like
        Vectors along the last axis.
    targets : array_like
        1 or -1, one for each pair.
    margin : float
        The cosine that is small enough.
    where, reduction
        As in :func:`mse`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.cosine_embedding([[1.0, 0.0]], [[0.0, 2.0]], [1])
    Array(1.)
    """
    a, b = _pair("cosine_embedding", a, b)
    cosine, targets = _pair("cosine_embedding", cosine_similarity(a, b, eps=1e-12), targets)
    apart = fnp.where(cosine <= margin, 0, cosine - margin)
    return reduced("cosine_embedding", fnp.where(targets > 0, 1 - cosine, apart), reduction, where)


def triplet(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    swap: bool = False,
    eps: float = 1e-6,
    where: Any = None,
    reduction: str = "mean",
) -> Array:
    """``max(0, margin + |anchor - positive| - |anchor - negative|)`` (Balntas et al. 2016).

    Parameters
    ----------
    anchor, positive, negative : array_like
        Vectors along the last axis, of one shape.
    margin : float
        How much further away the negative must be.
    p : float
        Which norm.
    swap : bool
        Whether the distance from the positive to the negative may stand for the anchor's, where it is smaller.
    eps : float
        Added to each difference, so that the norm has a derivative.
    where, reduction
        As in :func:`mse`.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.nn as nn
    >>> nn.triplet([[0.0]], [[1.0]], [[3.0]], margin=3.0)
    Array(1.)
    """
    anchor, positive = _pair("triplet", anchor, positive)
    anchor, negative = _pair("triplet", anchor, negative)

    def distance(a: Array, b: Array) -> Array:
        difference = a - b + eps
        if p == 2:
            return safe_norm(difference, -1, 0.0)
        return fnp.sum(fnp.abs(difference) ** p, axis=-1) ** (1 / p)

    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = fnp.minimum(far, distance(positive, negative))
    short = margin + near - far
    return reduced("triplet", fnp.where(short <= 0, 0, short), reduction, where)
