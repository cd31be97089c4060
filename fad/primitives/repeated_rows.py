"""Writing rows to positions that may repeat, and running combinations.

For array modules whose ufuncs have neither ``at`` nor ``accumulate`` it is done by array operations alone, at distances that double
(W. D. Hillis and G. L. Steele, "Data parallel algorithms", Communications of the ACM 29, 1986): n elements take log2(n) steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["accumulated", "add_rows", "combine_rows"]

_ADDED_BY_CUPY = frozenset("efdiIlL")  # the dtypes that its add.at takes


def accumulated(xp: Any, combine: Callable[[Any, Any], Any], x: Any, axis: int) -> Any:
    """``combine.accumulate(x, axis)`` of an associative operation."""
    out = xp.moveaxis(xp.array(x, copy=True), axis, 0)
    by = 1
    while by < len(out):
        out[by:] = combine(out[:-by], out[by:])
        by *= 2
    return xp.moveaxis(out, 0, axis)


def combine_rows(xp: Any, combine: Callable[[Any, Any], Any] | None, table: Any, positions: Any, rows: Any) -> None:
    """Combine rows into those of a table at positions that may repeat, in place; the last one stays if ``combine`` is ``None``."""
    if not positions.size:
        return
    order = xp.argsort(positions, kind="stable")
    places, rows = positions[order], rows[order]
    border, changes = xp.ones(1, np.bool_), places[1:] != places[:-1]
    last = xp.concatenate([changes, border])
    if combine is None:
        table[places[last]] = rows[last]
        return
    begun = xp.concatenate([border, changes])[:, None]
    by = 1
    while by < len(rows):
        rows[by:] = xp.where(begun[by:], rows[by:], combine(rows[:-by], rows[by:]))
        begun[by:] = begun[by:] | begun[:-by]
        by *= 2
    table[places[last]] = combine(table[places[last]], rows[last])


def add_rows(xp: Any, table: Any, positions: Any, rows: Any) -> None:
    """``table[positions] += rows`` with every repetition counted, in place."""
    if xp is not np and table.dtype.char not in _ADDED_BY_CUPY:
        combine_rows(xp, xp.add, table, positions, rows)
    elif rows.shape[1] == 1:
        xp.add.at(table[:, 0], positions, rows[:, 0])
    elif xp is np and positions.size and np.bincount(positions, minlength=1).max() == 1:
        table[positions] += rows
    else:
        # ufunc.at is fast along one axis only (measured: 5 to 10 times faster than over rows).
        width = rows.shape[1]
        targets = (positions[:, None] * width + xp.arange(width)).ravel()
        xp.add.at(table.reshape(-1), targets, rows.ravel())
