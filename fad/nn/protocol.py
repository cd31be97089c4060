"""What a layer is: one protocol for plain, random and stateful layers, and how a layer calls another."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import fad.numpy as fnp
import fad.tree as tree
from fad import Array, errors, random

__all__ = ["Layer", "LayerShapeError", "apply"]

DType = Any
Params = dict[str, Any]


class LayerShapeError(errors.ShapeError):
    """Shapes that do not fit a layer; names the layer's path in the model.

    Attributes
    ----------
    path : tuple of str
        The names that lead from the outermost layer to the one that complains.
    """

    def __init__(self, message: str, layer: str, path: tuple[str, ...] = ()):
        super().__init__(message)
        self.layer, self.path = layer, path

    def __str__(self) -> str:
        place = f"{'.'.join(('model', *self.path))} ({self.layer})" if self.path else self.layer
        return f"{place}: {self.args[0]}"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.args[0], self.layer, self.path)

    def inside(self, name: str) -> LayerShapeError:
        """The same error as seen from the layer that calls the failing one ``name``."""
        return type(self)(self.args[0], self.layer, (name, *self.path))


class Layer:
    """The base of every layer: a frozen dataclass whose fields are its settings.

    A subclass says how its parameters start and what it computes:

    - ``init(key, dtype=float) -> params``: a dict of arrays, and of dicts of its inner layers;
    - ``layer(params, x) -> y``. It also names those of these keyword arguments that it wants: ``key`` (for random numbers), ``train`` (the mode) and
      ``state``;
    - a layer with state also has ``init_state(dtype=float) -> state``, takes ``state`` and gives ``(y, state)``.

    Fields that are layers are inner layers: they have parameters, and state if they have any, under their names without a line of code.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import fad
    >>> import fad.nn as nn
    >>> import fad.numpy as fnp
    >>> @dataclass(frozen=True)
    ... class Scale(nn.Layer):
    ...     size: int
    ...
    ...     def init(self, key, dtype=float):
    ...         return {"weight": fnp.ones(self.size, dtype)}
    ...
    ...     def __call__(self, params, x):
    ...         return x * params["weight"]
    >>> model = nn.Sequential(Scale(2), nn.relu)
    >>> params = model.init(fad.random.key(0))
    >>> model(params, [-1.0, 3.0])
    Array([0., 3.])
    """

    def __call__(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, params, x)")

    def init(self, key: Array, dtype: DType = float) -> Params:
        """First parameters; without a definition of its own, those of the inner layers.

        Parameters
        ----------
        key : Array
            From :func:`fad.random.key`.
        dtype : dtype
            Of the parameters.

        Returns
        -------
        dict
            A pytree of arrays.
        """
        inner = self.children()
        keys = random.split(key, len(inner)) if inner else ()
        return {name: init_layer(layer, k, dtype) for (name, layer), k in zip(inner.items(), keys)}

    def init_state(self, dtype: DType = float) -> Params:
        """First state; without a definition of its own, that of the inner layers that have state.

        Parameters
        ----------
        dtype : dtype
            Of the state.

        Returns
        -------
        dict
            A pytree of arrays, empty for a layer without state.
        """
        return {name: layer.init_state(dtype) for name, layer in self.children().items() if layer.stateful}

    def children(self) -> dict[str, Layer]:
        """The inner layers by name: the fields that are layers."""
        if not is_dataclass(self):
            return {}
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Layer)}

    @functools.cached_property
    def _inner(self) -> dict[str, tuple[int, Layer]]:
        return {name: (number, layer) for number, (name, layer) in enumerate(self.children().items())}

    @functools.cached_property
    def stateful(self) -> bool:
        """Whether the layer takes and gives state."""
        return type(self).init_state is not Layer.init_state or any(c.stateful for c in self.children().values())

    @functools.cached_property
    def random(self) -> bool:
        """Whether the layer takes a key."""
        return "key" in self.accepted

    @functools.cached_property
    def accepted(self) -> frozenset[str]:
        """Which of ``key``, ``state`` and ``train`` the layer's call names."""
        parameters = inspect.signature(type(self).__call__).parameters.values()
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            return frozenset(("key", "state", "train"))
        return frozenset(p.name for p in parameters) & {"key", "state", "train"}

    def call(
        self,
        name: str,
        params: Mapping[str, Any],
        x: Any,
        *more: Any,
        state: Any = None,
        key: Any = None,
        train: bool = False,
        **options: Any,
    ) -> tuple[Any, Any]:
        """Call the inner layer ``name`` with its part of the parameters and of the state.

        Errors then say which layer complains. Every inner layer gets a key of its own.

        Parameters
        ----------
        name : str
            A key of :meth:`children`.
        params : dict
            The parameters of this layer.
        x, *more : array_like
            What the inner layer is called with.
        state, key, train
            Those of this layer.
        **options
            Further keyword arguments of the inner layer.

        Returns
        -------
        y : Array
            Its result.
        state : pytree
            The inner layer's new state, ``None`` if it has none.
        """
        number, layer = self._inner[name]
        own = random.fold_in(key, number) if key is not None and layer.random else key
        return apply(
            layer,
            part(params, name, self),
            x,
            *more,
            state=None if state is None else state.get(name),
            key=own,
            train=train,
            name=name,
            **options,
        )


def part(params: Mapping[str, Any], name: str, layer: Any) -> Any:
    """The parameters of one inner layer."""
    try:
        return params[name]
    except (KeyError, TypeError, IndexError):
        seen = sorted(params) if isinstance(params, Mapping) else type(params).__name__
        raise errors.TreeError(
            f"{type(layer).__name__}: the parameters have no entry {name!r}, only {seen}; are they from this layer's init?"
        ) from None


def init_layer(layer: Layer, key: Array, dtype: DType) -> Params:
    """Parameters of a layer whose ``init`` may not ask for the dtype."""
    if "dtype" in inspect.signature(layer.init).parameters:
        return layer.init(key, dtype)
    found = layer.init(key)
    return tree.map(lambda p: fnp.asarray(p).astype(dtype) if fnp.issubdtype(p.dtype, fnp.floating) else p, found)


def apply(
    layer: Layer,
    params: Any,
    x: Any,
    *more: Any,
    state: Any = None,
    key: Any = None,
    train: bool = False,
    name: str | None = None,
    **options: Any,
) -> tuple[Any, Any]:
    """Call any layer, stateful or not, in one way.

    Parameters
    ----------
    layer : Layer
        The layer.
    params : pytree
        Its parameters.
    x, *more : array_like
        What it is called with.
    state : pytree, optional
        Its state, if it has any.
    key : Array, optional
        Handed on if the layer names it.
    train : bool
        Handed on if the layer names it.
    name : str, optional
        What the caller calls the layer: errors about shapes then name it.
    **options
        Further keyword arguments of the layer.

    Returns
    -------
    y : Array
        The layer's result.
    state : pytree
        Its new state, ``None`` if it has none.

    Examples
    --------
    >>> import fad
    >>> import fad.nn as nn
    >>> layer = nn.BatchNorm(2)
    >>> y, state = nn.apply(layer, layer.init(fad.random.key(0)), [[1.0, 2.0]], state=layer.init_state())
    >>> nn.apply(nn.Lambda(nn.relu), {}, -1.0)
    (Array(0.), None)
    """
    wanted = layer.accepted
    if "state" in wanted:
        options["state"] = state
    if "key" in wanted:
        options["key"] = key
    if "train" in wanted:
        options["train"] = train
    try:
        out = layer(params, x, *more, **options)
    except LayerShapeError as error:
        if name is None:
            raise
        raise error.inside(name) from None
    except errors.ShapeError as error:
        if name is None:
            raise
        raise LayerShapeError(str(error), type(layer).__name__, (name,)) from error
    return out if layer.stateful else (out, None)


def check_last_axis(layer: Any, x: Array, size: int) -> None:
    """Raise unless the last axis of ``x`` has the size that the layer was made for."""
    if x.ndim < 1 or x.shape[-1] != size:
        raise LayerShapeError(
            f"expected last axis {size}, got an array of shape {x.shape} and dtype {x.dtype}", type(layer).__name__
        )


def check_channels_last(layer: Any, x: Array, spatial: int | None, channels: int | None = None) -> None:
    """Raise unless ``x`` is ``(n, *space, channels)`` with so many spatial axes and channels."""
    wanted = "*space" if spatial is None else ", ".join(("height", "width", "depth")[:spatial] or ())
    if x.ndim < 3 if spatial is None else x.ndim != spatial + 2:
        raise LayerShapeError(f"expected an array (n, {wanted}, channels), got shape {x.shape}", type(layer).__name__)
    if channels is not None:
        check_last_axis(layer, x, channels)
