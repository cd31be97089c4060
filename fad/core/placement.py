"""Where arrays live: the CPU, and CUDA devices through CuPy where it is installed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fad.core.array import Array, buffer_from, host_buffer, wrap
from fad.core.cuda_evaluation import is_on_device
from fad.core.errors import ArgumentError
from fad.core.pytrees import leaves, map_leaves
from fad.core.trace import Tracer

__all__ = ["beside", "block_until_ready", "device_put", "devices", "lies_on_device"]


def _cupy() -> Any:
    """The CuPy module if a CUDA device can be used, else ``None``."""
    try:
        import cupy
    except ModuleNotFoundError:
        return None
    try:
        return cupy if cupy.cuda.runtime.getDeviceCount() else None
    except cupy.cuda.runtime.CUDARuntimeError:
        return None


def devices() -> list[str]:
    """Names of the devices that arrays can be put on.

    Returns
    -------
    list of str
        ``"cpu"`` first, then ``"cuda:0"`` and so on.

    Examples
    --------
    >>> import fad
    >>> fad.devices()[0]
    'cpu'
    """
    module = _cupy()
    return ["cpu", *[f"cuda:{i}" for i in range(module.cuda.runtime.getDeviceCount() if module else 0)]]


def device_put(x: Any, device: str | None = None) -> Any:
    """Copy arrays to a device.

    Parameters
    ----------
    x : pytree
        Array-likes.
    device : str, optional
        A name from :func:`devices`; the CPU by default.

    Returns
    -------
    pytree of Array
        The same values on the device.

    Raises
    ------
    ArgumentError
        If there is no such device.

    Examples
    --------
    >>> import fad
    >>> fad.device_put([1.0, 2.0])
    [Array(1.), Array(2.)]
    """
    device = "cpu" if device is None else device
    if device != "cpu" and device not in devices():
        raise ArgumentError(f"device_put: there is no device {device!r} here; fad.devices() gives {devices()}")
    return map_leaves(lambda leaf: _put(leaf, device), x)


def _put(leaf: Any, device: str) -> Any:
    if isinstance(leaf, Tracer):
        return leaf
    buffer = buffer_from(leaf, copy=True)
    if device == "cpu":
        return wrap(host_buffer(buffer))
    module = _cupy()
    with module.cuda.Device(int(device.partition(":")[2])):
        return wrap(module.asarray(buffer))


def lies_on_device(value: Any) -> bool:
    """Whether the array under a stack of tracers is on a CUDA device."""
    if "cupy" not in sys.modules:
        return False
    while isinstance(value, Tracer):
        value = getattr(value, "primal", getattr(value, "value", None))
    return is_on_device(value)


def beside(constant: Any, on_device: bool) -> Any:
    """A constant made on the host, on the device where the values are that it will be combined with.

    Rules combine buffers by operators, which do not mix NumPy's arrays and CuPy's.
    """
    return (
        sys.modules["cupy"].asarray(constant)
        if on_device and isinstance(constant, np.ndarray | np.generic)
        else constant
    )


def block_until_ready(x: Any) -> Any:
    """Wait until every array of a tree is computed.

    Parameters
    ----------
    x : pytree
        Arrays.

    Returns
    -------
    pytree
        ``x`` itself. On the CPU there is nothing to wait for.

    Examples
    --------
    >>> import fad
    >>> fad.block_until_ready(fad.Array([1.0]))
    Array([1.])
    """
    if "cupy" in sys.modules:
        for leaf in leaves(x):
            if isinstance(leaf, Array):
                leaf.block_until_ready()
    return x
