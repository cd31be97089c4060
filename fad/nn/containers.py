"""Layers made of layers: one after the other, side by side, around a shortcut; and functions as layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fad.numpy as fnp
from fad import Array, errors
from fad.nn.protocol import Layer, LayerShapeError

__all__ = ["Activation", "Flatten", "Lambda", "Parallel", "Residual", "Sequential"]


@dataclass(frozen=True)
class Lambda(Layer):
    """A function of one array as a layer without parameters.

    Containers do this by themselves to what they are given: ``Sequential(layer, nn.relu)``. ``Activation`` is another name of it.

    Parameters
    ----------
    function : callable
        Hashable, ``function(x) -> y``.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.Lambda(fnp.abs)({}, [-1.0])
    Array([1.])
    """

    function: Callable[[Any], Any]

    def __call__(self, params: Any, x: Any) -> Array:
        """Call the function."""
        return self.function(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self.function, '__name__', self.function)})"


Activation = Lambda


def as_layer(value: Any, owner: str) -> Layer:
    """A layer as it is, a function as a layer."""
    if isinstance(value, Layer):
        return value
    if callable(value) and not isinstance(value, type):
        return Lambda(value)
    hint = "; did you mean to create it, with ()?" if isinstance(value, type) else ""
    raise errors.ArgumentError(f"{owner} takes layers and functions of one array, got {value!r}{hint}")


class _Container(Layer):
    """Layers by name; whether they are random or stateful is the container's business."""

    def children(self) -> dict[str, Layer]:
        return dict(zip(self.names, self.layers))  # type: ignore[attr-defined]

    @functools.cached_property
    def random(self) -> bool:
        return any(layer.random for layer in self.children().values())

    def _set(self, layers: tuple[Any, ...], named: dict[str, Any]) -> None:
        owner = type(self).__name__
        for name, value in (
            ("layers", tuple(as_layer(v, owner) for v in (*layers, *named.values()))),
            ("names", (*map(str, range(len(layers))), *named)),
        ):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        inner = ", ".join(
            f"{layer!r}" if name.isdigit() else f"{name}={layer!r}" for name, layer in self.children().items()
        )
        return f"{type(self).__name__}({inner})"


@dataclass(frozen=True, init=False, repr=False)
class Sequential(_Container):
    """Layers one after the other.

    Parameters
    ----------
    *layers : Layer or callable
        Named ``"0"``, ``"1"``, ... in the parameters.
    **named : Layer or callable
        Further layers, with names.

    Notes
    -----
    Called as ``model(params, x, state=None, key=None, train=False)``: gives ``y``, or ``(y, state)`` if a layer has state.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> model = nn.Sequential(nn.Linear(3, 4), nn.relu, head=nn.Linear(4, 2))
    >>> params = model.init(fad.random.key(0))
    >>> sorted(params)
    ['0', '1', 'head']
    >>> model(params, [[1.0, 2.0, 3.0]]).shape
    (1, 2)
    """

    layers: tuple[Layer, ...]
    names: tuple[str, ...]

    def __init__(self, *layers: Any, **named: Any):
        self._set(layers, named)

    def __call__(self, params: Any, x: Any, *, state: Any = None, key: Any = None, train: bool = False) -> Any:
        """Call one layer after the other."""
        new = {}
        for name in self.names:
            x, found = self.call(name, params, x, state=state, key=key, train=train)
            if found is not None:
                new[name] = found
        return (x, new) if self.stateful else x


def _concatenated(outs: list[Any]) -> Any:
    return fnp.concatenate(outs, axis=-1)


def _summed(outs: list[Any]) -> Any:
    total = outs[0]
    for out in outs[1:]:
        total = total + out
    return total


_COMBINATIONS: dict[str, Callable[[list[Any]], Any]] = {
    "concatenate": _concatenated,
    "sum": _summed,
    "stack": fnp.stack,
    "tuple": tuple,
}


@dataclass(frozen=True, init=False, repr=False)
class Parallel(_Container):
    """Layers side by side: each gets the input, and their results are combined.

    Parameters
    ----------
    *layers : Layer or callable
        Named ``"0"``, ``"1"``, ... in the parameters.
    combine : {"concatenate", "sum", "stack", "tuple"} or callable
        What to do with the list of results; concatenation is along the last axis, stacking along a new first one.
    **named : Layer or callable
        Further layers, with names.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> model = nn.Parallel(nn.Linear(3, 4), nn.Linear(3, 2))
    >>> model(model.init(fad.random.key(0)), [[1.0, 2.0, 3.0]]).shape
    (1, 6)
    """

    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    combine: str | Callable[[list[Any]], Any]

    def __init__(self, *layers: Any, combine: str | Callable[[list[Any]], Any] = "concatenate", **named: Any):
        if not callable(combine) and combine not in _COMBINATIONS:
            raise errors.ArgumentError(
                f"Parallel: combine must be a function or one of {', '.join(_COMBINATIONS)}, got {combine!r}"
            )
        if not layers and not named:
            raise errors.ArgumentError("Parallel needs at least one layer")
        object.__setattr__(self, "combine", combine)
        self._set(layers, named)

    def __call__(self, params: Any, x: Any, *, state: Any = None, key: Any = None, train: bool = False) -> Any:
        """Call all layers with the input, and combine what they give."""
        outs, new = [], {}
        for name in self.names:
            out, found = self.call(name, params, x, state=state, key=key, train=train)
            outs.append(out)
            if found is not None:
                new[name] = found
        combined = (self.combine if callable(self.combine) else _COMBINATIONS[self.combine])(outs)
        return (combined, new) if self.stateful else combined


@dataclass(frozen=True, init=False, repr=False)
class Residual(_Container):
    """A layer's result plus its input (He et al. 2015, arXiv:1512.03385).

    Parameters
    ----------
    layer : Layer or callable
        The layer.
    shortcut : Layer or callable, optional
        Applied to the input before it is added, where shapes differ.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> model = nn.Residual(nn.Linear(3, 3))
    >>> model(model.init(fad.random.key(0)), [[1.0, 2.0, 3.0]]).shape
    (1, 3)
    """

    layers: tuple[Layer, ...]
    names: tuple[str, ...]

    def __init__(self, layer: Any, shortcut: Any = None):
        self._set((), {"layer": layer} if shortcut is None else {"layer": layer, "shortcut": shortcut})

    def __call__(self, params: Any, x: Any, *, state: Any = None, key: Any = None, train: bool = False) -> Any:
        """Call the layer and add the input."""
        x = fnp.asarray(x)
        y, found = self.call("layer", params, x, state=state, key=key, train=train)
        new = {} if found is None else {"layer": found}
        if "shortcut" in self.names:
            x, found = self.call("shortcut", params, x, state=state, key=key, train=train)
            if found is not None:
                new["shortcut"] = found
        if y.shape != x.shape:
            raise LayerShapeError(
                f"the layer gave shape {y.shape}, which cannot be added to the input of shape {x.shape}; "
                "give a shortcut that maps the input to the same shape",
                "Residual",
            )
        return (y + x, new) if self.stateful else y + x


@dataclass(frozen=True)
class Flatten(Layer):
    """All axes after the first as one.

    Parameters
    ----------
    start : int
        The first axis to flatten.

    Examples
    --------
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> nn.Flatten()({}, fnp.ones((2, 3, 4))).shape
    (2, 12)
    """

    start: int = 1

    def __call__(self, params: Any, x: Any) -> Array:
        """Flatten."""
        x = fnp.asarray(x)
        if x.ndim < self.start:
            raise LayerShapeError(f"expected at least {self.start} axes, got shape {x.shape}", "Flatten")
        size = 1
        for n in x.shape[self.start :]:
            size *= n
        return x.reshape(*x.shape[: self.start], size)
