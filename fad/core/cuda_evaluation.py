"""Evaluation of one operation on arrays of a CUDA device, by CuPy.

NumPy arrays among the arguments follow the others to the device: rules make their constants on the host. What CuPy has no code for is
computed on the host and copied back, with one warning for each operation; what the host refuses as well was a wrong call.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import Any

import numpy as np

from fad.core.errors import FadError

__all__ = ["DeviceWarning", "evaluate_on_device", "is_on_device"]

_HOST_ARRAYS = (np.ndarray, np.generic)
# What CuPy raises for functions, arguments and dtypes that NumPy knows and it does not.
_UNKNOWN_TO_CUPY = (AttributeError, NotImplementedError, TypeError, ValueError)


class DeviceWarning(UserWarning):
    """An operation on arrays of a device is computed on the host."""


def is_on_device(value: Any) -> bool:
    """Whether a value is an array on a CUDA device."""
    return hasattr(value, "__cuda_array_interface__")


@cache
def _warn_once(name: str) -> None:
    text = f"{name} is computed on the CPU and copied back to the device: CuPy has no code for it, or none for these arguments"
    warnings.warn(text, DeviceWarning, stacklevel=2)


def evaluate_on_device(primitive: Any, args: list[Any], params: dict[str, Any]) -> Any:
    """The primitive's results on the device of its first argument that is on one."""
    cupy = sys.modules["cupy"]
    with next(a for a in args if is_on_device(a)).device:
        try:
            moved = [cupy.asarray(a) if type(a) is np.ndarray else a for a in args]
            out = primitive.impl_for(cupy)(*moved, **params)
        except FadError:
            raise
        except _UNKNOWN_TO_CUPY:
            if primitive.higher_order or primitive.declared_outside:
                raise
            out = primitive.host_impl(*[a.get() if is_on_device(a) else a for a in args], **params)
            _warn_once(primitive.name)
            return _back(cupy, primitive, out)
        # A program's results may be constants, which were made on the host.
        return _back(cupy, primitive, out) if primitive.higher_order else out


def _back(cupy: Any, primitive: Any, out: Any) -> Any:
    """The results, those on the host moved to the device."""
    if primitive.multiple_results:
        return [cupy.asarray(o) if isinstance(o, _HOST_ARRAYS) else o for o in out]
    return cupy.asarray(out)
