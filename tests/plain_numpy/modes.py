"""What it means for a plain-NumPy function to work in each mode: every check compares with NumPy alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

import fad
from tests.plain_numpy.collection import Entry
from tests.plain_numpy.differences import Jacobian, numerical_jacobian

BATCH = 3


@lru_cache(maxsize=4)
def reference(entry: Entry) -> Jacobian:
    """Value and derivatives of an entry, from NumPy alone."""
    return numerical_jacobian(entry.closed, entry.primals)


def agree(got: Any, expected: Any, rtol: float) -> None:
    """Assert the same shape, kind of dtype and values; the tolerance is relative to the largest value or 1."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype != object, "the result is an object array"
    assert got.shape == expected.shape, f"shape {got.shape} instead of {expected.shape}"
    assert got.dtype == expected.dtype, f"dtype {got.dtype} instead of {expected.dtype}"
    scale = max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    np.testing.assert_allclose(got, expected, rtol=rtol, atol=rtol * scale)


def output_weights(value: np.ndarray) -> np.ndarray:
    """Fixed weights that make a scalar of any output; complex for a complex one."""
    weights = 1.0 + 0.5 * np.sin(1.0 + np.arange(value.size)).reshape(value.shape)
    return weights if value.dtype.kind != "c" else weights * np.exp(0.7j * np.arange(value.size)).reshape(value.shape)


def weighted(entry: Entry) -> Callable[..., Any]:
    """The scalar function ``sum(real(weights * f(*primals)))``, itself plain NumPy."""
    weights = output_weights(reference(entry).value)

    def loss(*primals: Any) -> Any:
        return np.sum(np.real(weights * entry.closed(*primals)))

    return loss


def tangents(entry: Entry) -> tuple[Any, ...]:
    """One fixed direction for every primal, of the primal's own type."""
    directions = []
    for position, primal in enumerate(entry.primals):
        point = np.asarray(primal)
        direction = np.cos(np.arange(point.size) + position).reshape(point.shape)
        if point.dtype.kind == "c":
            direction = direction + 1j * np.sin(2.0 + np.arange(point.size)).reshape(point.shape)
        directions.append(direction if isinstance(primal, np.ndarray) else direction.item())
    return tuple(directions)


def batches(entry: Entry) -> list[np.ndarray]:
    """The primals stacked with slightly different copies of themselves."""
    stacked = []
    for position, primal in enumerate(entry.primals):
        point = np.asarray(primal)
        wobble = np.sin(np.arange(BATCH * point.size) + position).reshape(BATCH, *point.shape)
        stacked.append(point * (1 + 0.01 * wobble))
    return stacked


def single(entry: Entry, stacked: list[np.ndarray], k: int) -> list[Any]:
    """Element `k` of the batch as NumPy arrays, or as Python numbers where the entry has those."""
    rows = [batch[k] for batch in stacked]
    return [
        row if isinstance(primal, np.ndarray) else row.item() for row, primal in zip(rows, entry.primals, strict=True)
    ]


def gradient(entry: Entry) -> Callable[..., tuple[Any, ...]]:
    """`fad.grad` of the weighted output with respect to every primal."""
    return fad.grad(weighted(entry), argnums=tuple(range(len(entry.wrt))))


def check_value(entry: Entry) -> None:
    """A call with fad arrays gives NumPy's value."""
    agree(entry.closed(*map(fad.Array, entry.primals)), reference(entry).value, 1e-11)


def check_grad(entry: Entry) -> None:
    """Reverse mode agrees with differences."""
    expected = reference(entry).gradient(output_weights(reference(entry).value))
    for got, want in zip(gradient(entry)(*entry.primals), expected, strict=True):
        agree(got, want, 1e-7)


def check_jvp(entry: Entry) -> None:
    """Forward mode agrees with differences."""
    directions = tangents(entry)
    value, pushed = fad.jvp(entry.closed, entry.primals, directions)
    agree(value, reference(entry).value, 1e-11)
    agree(pushed, reference(entry).push(directions), 1e-7)


def check_vmap(entry: Entry) -> None:
    """A mapped call agrees with NumPy in a loop."""
    stacked = batches(entry)
    expected = np.stack([entry.closed(*single(entry, stacked, k)) for k in range(BATCH)])
    agree(fad.vmap(entry.closed)(*stacked), expected, 1e-10)


def check_vmap_grad(entry: Entry) -> None:
    """The mapped gradient agrees with the gradient in a loop."""
    stacked = batches(entry)
    rows = [gradient(entry)(*single(entry, stacked, k)) for k in range(BATCH)]
    for got, *expected in zip(fad.vmap(gradient(entry))(*stacked), *rows, strict=True):
        agree(got, np.stack([np.asarray(row) for row in expected]), 1e-9)


def check_jit(entry: Entry) -> None:
    """A staged call gives NumPy's value, at a second call too."""
    staged = fad.jit(entry.closed)
    agree(staged(*entry.primals), reference(entry).value, 1e-10)
    other = single(entry, batches(entry), 1)
    agree(staged(*other), entry.closed(*other), 1e-10)


def check_jit_grad(entry: Entry) -> None:
    """The staged gradient agrees with the eager one."""
    for got, want in zip(fad.jit(gradient(entry))(*entry.primals), gradient(entry)(*entry.primals), strict=True):
        agree(got, want, 1e-9)


CHECKS: dict[str, Callable[[Entry], None]] = {
    "value": check_value,
    "grad": check_grad,
    "jvp": check_jvp,
    "vmap": check_vmap,
    "jit": check_jit,
    "vmap_grad": check_vmap_grad,
    "jit_grad": check_jit_grad,
}

# Where the values are not known while the function runs.
STAGED = frozenset({"vmap", "jit", "vmap_grad", "jit_grad"})


def is_clear(error: BaseException) -> bool:
    """Whether an exception is one of fad's own types, the ones that say what to do.

    NumPy replaces what `float(x)` raises in `out[i] = x` by a ValueError, and shows fad's error above it as the direct cause.
    """
    return any(type(e).__module__.split(".")[0] == "fad" for e in (error, error.__cause__))


def run(entry: Entry, mode: str) -> BaseException | None:
    """Run one check; a clear refusal is returned, anything else that goes wrong is raised."""
    try:
        CHECKS[mode](entry)
    except AssertionError:
        raise
    except Exception as error:
        if is_clear(error):
            return error
        raise AssertionError(f"{mode}: {type(error).__name__}, which is not fad's own error: {error}") from error
    return None
