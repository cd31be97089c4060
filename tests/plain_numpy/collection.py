"""How an entry of the corpus is declared, and the sample values that the entries share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Entry:
    """One plain-NumPy function with the arguments that it is tested at.

    Attributes
    ----------
    name
        Unique over the whole corpus, ``"<corpus>.<name>"``.
    function
        Written with ``numpy`` only; returns one real or complex array or scalar.
    args
        NumPy arrays or Python numbers, away from kinks and ties.
    wrt
        Positions of the arguments to differentiate: by default every float or complex one.
    eager_only
        Why `jit` and `vmap` cannot run it in principle (a Python branch on a value, a shape that depends on values);
        empty for all others.
    zero_gradient
        The derivative is zero everywhere it exists (rounding, signs, comparisons).
    """

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    wrt: tuple[int, ...]
    eager_only: str = ""
    zero_gradient: bool = False

    @property
    def primals(self) -> tuple[Any, ...]:
        """The arguments that are differentiated."""
        return tuple(self.args[position] for position in self.wrt)

    def closed(self, *primals: Any) -> Any:
        """Call the function with its differentiated arguments replaced by `primals`."""
        args = list(self.args)
        for position, value in zip(self.wrt, primals, strict=True):
            args[position] = value
        return self.function(*args)


@dataclass
class Collection:
    """The entries of one corpus file, added by calling it or with the decorator `on`."""

    prefix: str
    entries: list[Entry] = field(default_factory=list)

    def __call__(self, name: str, function: Callable[..., Any], *args: Any, **tags: Any) -> None:
        wrt = tags.pop("wrt", None)
        if wrt is None:
            wrt = tuple(i for i, a in enumerate(args) if np.asarray(a).dtype.kind in "fc")
        self.entries.append(Entry(f"{self.prefix}.{name}", function, args, tuple(wrt), **tags))

    def on(self, *args: Any, **tags: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate a function to add it under its own name, tested at `args`."""

        def add(function: Callable[..., Any]) -> Callable[..., Any]:
            self(function.__name__, function, *args, **tags)
            return function

        return add


def reals(*shape: int, seed: int = 0, low: float = -1.9, high: float = 1.8) -> np.ndarray:
    """Shuffled values between `low` and `high`, evenly spread with a jitter, so that no two of them are close."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape))
    step = (high - low) / max(count, 1)
    values = low + step * (np.arange(count) + 0.5 + 0.3 * rng.uniform(-1, 1, count))
    return rng.permutation(values).reshape(shape)


def positives(*shape: int, seed: int = 0) -> np.ndarray:
    """Like `reals`, between 0.3 and 2.2."""
    return reals(*shape, seed=seed, low=0.3, high=2.2)


def units(*shape: int, seed: int = 0) -> np.ndarray:
    """Like `reals`, between -0.9 and 0.85: inside the domain of arcsin, arctanh and their like."""
    return reals(*shape, seed=seed, low=-0.9, high=0.85)


def complexes(*shape: int, seed: int = 0) -> np.ndarray:
    """Complex values with well separated real and imaginary parts."""
    return reals(*shape, seed=seed) + 1j * reals(*shape, seed=seed + 1000)
