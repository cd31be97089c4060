"""Plots of what happened in training, with matplotlib. Each function gives a figure, to be shown or saved by its user."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import fad.tree as tree
from fad import errors

__all__ = ["gradient_histograms", "layer_norms", "loss_curves"]


def _figure(function: str, rows: int = 1, **options: Any) -> tuple[Any, Any]:
    """A figure that no window owns, so that a script without a screen can make it."""
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise errors.MissingPackageError(
            f"fad.viz.{function} needs matplotlib: pip install 'fad-autodiff[viz]'"
        ) from None
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", **options)
    return figure, figure.subplots(rows, 1, squeeze=False)[:, 0]


def _named(values: Any, function: str) -> dict[str, np.ndarray]:
    """Leaves by path."""
    found: dict[str, np.ndarray] = {}

    def note(path: tuple[Any, ...], leaf: Any) -> None:
        found["/".join(map(str, path)) or "value"] = np.asarray(leaf)

    tree.map_with_path(note, values)
    if not found:
        raise errors.ArgumentError(f"fad.viz.{function}: there are no arrays to draw")
    return found


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over the last values, over fewer at the start."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def loss_curves(history: Any, names: Sequence[str] | None = None, smooth: int | None = None, log: bool = False) -> Any:
    """Metrics over the steps of training.

    Parameters
    ----------
    history : fad.train.History or mapping of str to sequence
        What to draw; in a mapping, the values of each metric from step 1 on.
    names : sequence of str, optional
        Which metrics; by default all but ``gradient_norm``.
    smooth : int, optional
        Steps to average over; by default a fiftieth of all. Metrics with fewer than 100 values are drawn as they are.
    log : bool
        Whether the vertical axis is logarithmic.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If a metric does not exist.
    MissingPackageError
        Without matplotlib.

    Examples
    --------
    >>> import fad.viz
    >>> figure = fad.viz.loss_curves({"loss": [3.0, 2.0, 1.5], "held out": [3.1, 2.4, 2.2]})
    >>> figure.axes[0].get_xlabel()
    'step'
    """
    if isinstance(history, Mapping):
        values = {name: np.asarray(v, float) for name, v in history.items()}
        steps = {name: np.arange(1, len(v) + 1) for name, v in values.items()}
    else:
        values = {name: np.asarray(v, float) for name, v in history.values.items()}
        steps = {name: np.asarray(s) for name, s in history.steps.items()}
    chosen = list(names) if names is not None else [name for name in values if name != "gradient_norm"]
    missing = [name for name in chosen if name not in values]
    if missing or not chosen:
        raise errors.ArgumentError(
            f"fad.viz.loss_curves: there is no metric {missing}; there are {sorted(values)}"
            if missing
            else "fad.viz.loss_curves: the history is empty"
        )
    figure, (axes,) = _figure("loss_curves", figsize=(6, 3.6))
    for k, name in enumerate(chosen):
        colour, count = f"C{k % 10}", len(values[name])
        if count < 100:
            axes.plot(steps[name], values[name], ".-" if count < 30 else "-", color=colour, label=name)
            continue
        window = smooth or max(count // 50, 1)
        axes.plot(steps[name], values[name], color=colour, alpha=0.25, lw=0.8)
        axes.plot(steps[name], _running_mean(values[name], window), color=colour, label=f"{name} (mean of {window})")
    if log:
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.legend()
    return figure


def gradient_histograms(gradients: Any, bins: int = 40) -> Any:
    """How large the elements of each leaf are, on a logarithmic axis: zeros, NaN and infinities are counted in the titles.

    Parameters
    ----------
    gradients : pytree
        Arrays.
    bins : int
        Columns of each histogram.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If there is nothing to draw.
    MissingPackageError
        Without matplotlib.

    Examples
    --------
    >>> import fad.viz, numpy as np
    >>> figure = fad.viz.gradient_histograms({"w": np.array([1e-3, 0.0, 2.0]), "b": np.array([np.nan])})
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['b: 1 NaN', 'w: 1 zero']
    """
    named = _named(gradients, "gradient_histograms")
    figure, panels = _figure("gradient_histograms", len(named), figsize=(6, 0.6 + 1.1 * len(named)))
    sizes = {name: np.abs(x.astype(complex).ravel()) for name, x in named.items()}
    regular = np.concatenate([s[np.isfinite(s) & (s > 0)] for s in sizes.values()])
    low, high = (np.log10(regular.min()), np.log10(regular.max())) if regular.size else (-1.0, 0.0)
    edges = 10.0 ** np.linspace(low - 0.1, high + 0.1, bins + 1)
    for axes, (name, size) in zip(panels, sizes.items()):
        axes.hist(size[np.isfinite(size) & (size > 0)], bins=edges)
        counts = {"zero": np.sum(size == 0), "NaN": np.sum(np.isnan(size)), "infinite": np.sum(np.isinf(size))}
        notes = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        axes.set_xscale("log")
        axes.set_title(f"{name}: {notes}" if notes else name, loc="left", fontsize=9)
    panels[-1].set_xlabel("absolute value")
    return figure


def layer_norms(values: Any) -> Any:
    """Euclidean norm of each leaf: bars for one tree, lines over the steps for a list of them.

    Parameters
    ----------
    values : pytree, or list of mappings
        Arrays, such as a gradient; or for each step what ``fad.optim.norms`` gave.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If there is nothing to draw, or the steps have different names.
    MissingPackageError
        Without matplotlib.

    Examples
    --------
    >>> import fad.optim, fad.viz, numpy as np
    >>> figure = fad.viz.layer_norms({"w": np.ones((2, 2)), "b": np.zeros(2)})
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['b', 'w']
    >>> steps = [fad.optim.norms({"w": np.ones(2) * k}) for k in (1, 2, 3)]
    >>> len(fad.viz.layer_norms(steps).axes[0].lines)
    1
    """
    over_steps = isinstance(values, list) and values and all(isinstance(v, Mapping) for v in values)
    if over_steps:
        names = list(values[0])
        if any(list(v) != names for v in values):
            raise errors.ArgumentError("fad.viz.layer_norms: the steps have norms of different names")
        figure, (axes,) = _figure("layer_norms", figsize=(6, 3.6))
        for name in names:
            axes.plot(range(1, len(values) + 1), [float(v[name]) for v in values], label=name)
        axes.set(xlabel="step", ylabel="norm", yscale="log")
        axes.legend(fontsize=8)
        return figure
    named = _named(values, "layer_norms")
    figure, (axes,) = _figure("layer_norms", figsize=(6, 0.8 + 0.25 * len(named)))
    norms = [float(np.linalg.norm(x.astype(complex).ravel())) for x in named.values()]
    axes.barh(range(len(norms)), norms)
    axes.set_yticks(range(len(norms)), list(named))
    axes.invert_yaxis()
    axes.set_xlabel("norm")
    if any(n > 0 for n in norms):
        axes.set_xscale("log")
    return figure
