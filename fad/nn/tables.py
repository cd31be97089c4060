"""``summary``: the parameters of a model as a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import fad.numpy as fnp
from fad import errors, tree
from fad.nn.protocol import Layer

__all__ = ["summary"]


def _layer_at(layer: Layer, path: tuple[Any, ...]) -> Layer:
    """The innermost layer on a path into the parameters."""
    for name in path:
        inner = layer.children()
        if name not in inner:
            break
        layer = inner[name]
    return layer


def summary(layer: Layer, params: Any, state: Any = None) -> str:
    """A table of a model's parameters: path, layer, shape, dtype, how many numbers and how many bytes.

    Parameters
    ----------
    layer : Layer
        The model.
    params : pytree
        Its parameters.
    state : pytree, optional
        Its state, listed below them.

    Returns
    -------
    str
        Lines to print, the last with totals.

    Raises
    ------
    ArgumentError
        If ``layer`` is no layer.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.relu, nn.Linear(4, 2))
    >>> print(nn.summary(model, model.init(fad.random.key(0))))
    path      layer   shape   dtype    parameters  bytes
    ----------------------------------------------------
    0.bias    Linear  (4,)    float64           4     32
    0.weight  Linear  (3, 4)  float64          12     96
    2.bias    Linear  (2,)    float64           2     16
    2.weight  Linear  (4, 2)  float64           8     64
    ----------------------------------------------------
    total                                      26    208
    """
    if not isinstance(layer, Layer):
        raise errors.ArgumentError(f"nn.summary takes a layer and its parameters, got {type(layer).__name__}")
    rows = _rows(layer, params)
    total = _total("total", rows)
    kept = [] if state is None else _rows(layer, state)
    header = ("path", "layer", "shape", "dtype", "parameters", "bytes")
    table = [header, *rows, total, *kept, *([_total("state", kept)] if kept else [])]
    widths = [max(len(row[k]) for row in table) for k in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if k < 4 else cell.rjust(width) for k, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in table
    ]
    rule = "-" * max(map(len, lines))
    places = [1, 1 + len(rows), *([2 + len(rows), 2 + len(rows) + len(kept)] if kept else [])]
    for place in reversed(places):
        lines.insert(place, rule)
    return "\n".join(lines)


def _rows(layer: Layer, values: Any) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []

    def add(path: tuple[Any, ...], value: Any) -> None:
        shape, dtype = fnp.shape(value), np.dtype(fnp.asarray(value).dtype)
        count = math.prod(shape)
        name = type(_layer_at(layer, path)).__name__
        rows.append(
            (
                ".".join(map(str, path)) or "-",
                name,
                str(shape),
                dtype.name,
                f"{count:,}",
                f"{count * dtype.itemsize:,}",
            )
        )

    tree.map_with_path(add, values)
    return rows


def _total(name: str, rows: list[tuple[str, ...]]) -> tuple[str, ...]:
    counts = [sum(int(row[k].replace(",", "")) for row in rows) for k in (4, 5)]
    return (name, "", "", "", f"{counts[0]:,}", f"{counts[1]:,}")
