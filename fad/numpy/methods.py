"""Methods and attributes of :class:`fad.Array`, and by inheritance of every tracer: NumPy's, as far as they make sense for immutable arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fad.core.array import Array, wrap
from fad.core.errors import ArgumentError, ImmutableArrayError
from fad.core.trace import Tracer
from fad.numpy import manipulation
from fad.numpy.conversion import operand
from fad.numpy.creation import astype
from fad.numpy.ufuncs import UFUNCS
from fad.numpy.updates import IndexUpdater
from fad.primitives import arithmetic
from fad.primitives.structural import permute

__all__ = ["install"]

# Functions whose first argument is the array and whose other arguments are those of the method.
_SAME = (
    "all any argmax argmin argpartition argsort choose clip cumprod cumsum diagonal dot max mean min nonzero prod ptp ravel "
    "repeat searchsorted squeeze std sum swapaxes take trace var"
).split()

_WRITERS = {
    "sort": "x = numpy.sort(x)",
    "partition": "x = numpy.partition(x, kth)",
    "fill": "x = numpy.full_like(x, value)",
    "put": "x = x.at[indices].set(values)",
    "itemset": "x = x.at[index].set(value)",
    "resize": "x = numpy.resize(x, shape)",
    "setflags": "nothing: fad arrays are never writeable",
    "setfield": "x = x.at[index].set(value)",
}


def _writer(name: str, remedy: str) -> Callable[..., Any]:
    def refuse(self: Any, *args: Any, **keywords: Any) -> Any:
        raise ImmutableArrayError(
            f"x.{name}() changes an array in place, and fad arrays are immutable. Instead: {remedy}"
        )

    refuse.__doc__ = f"Refused: it would change the array in place. Instead: ``{remedy}``."
    return refuse


def _reshape(self: Any, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    """The same elements in another shape; sizes as separate arguments or as a tuple."""
    if not shape:
        raise ArgumentError("x.reshape() needs a shape, for example x.reshape(2, -1)")
    return manipulation.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)


def _transpose(self: Any, *axes: Any) -> Any:
    """Axes permuted; reversed without arguments."""
    return manipulation.transpose(self, axes[0] if len(axes) == 1 else axes or None)


def _flatten(self: Any, order: str = "C") -> Any:
    """All elements along one axis."""
    return manipulation.ravel(self, order)


def _astype(
    self: Any,
    dtype: Any,
    order: Any = None,
    casting: Any = None,
    subok: bool = True,
    copy: bool = True,
    device: Any = None,
) -> Any:
    """The array in another dtype; complex to real takes the real part."""
    return astype(self, dtype, device=device)


def _round(self: Any, decimals: int = 0, out: Any = None) -> Any:
    """Rounded to a number of decimals."""
    return sys.modules["fad.numpy"].round(self, decimals, out)


def _compress(self: Any, condition: Any, axis: int | None = None, out: Any = None) -> Any:
    """The sub-arrays along an axis where a condition holds."""
    return sys.modules["fad.numpy"].compress(condition, self, axis, out)


def _copy(self: Any, order: Any = None) -> Any:
    """The array itself: it is immutable."""
    return self


def _conjugate(self: Any) -> Any:
    """Complex conjugate."""
    return wrap(arithmetic.conjugate.bind(operand(self)))


def _real(self: Any) -> Any:
    """The real part."""
    return wrap(arithmetic.real.bind(operand(self))) if self.dtype.kind == "c" else self


def _imag(self: Any) -> Any:
    """The imaginary part, zeros for real values."""
    return wrap(arithmetic.imag.bind(operand(self)))


def _transposed(self: Any) -> Any:
    """All axes reversed."""
    x = operand(self)
    return wrap(permute(x, tuple(reversed(range(len(self.shape))))))


def _flat(self: Any) -> Any:
    """All elements along one axis, in C order."""
    return manipulation.ravel(self)


def _namespace(self: Any, *, api_version: str | None = None) -> Any:
    """The module with the functions of the Python array API standard: :mod:`fad.numpy`."""
    known = ("2021.12", "2022.12", "2023.12", "2024.12")
    if api_version is not None and api_version not in known:
        raise ArgumentError(f"__array_namespace__: api_version {api_version!r} is not one of {', '.join(known)}")
    return sys.modules["fad.numpy"]


def _to_device(self: Any, device: Any, /, *, stream: Any = None) -> Any:
    """The array on another device; only ``"cpu"`` is served here."""
    if device not in ("cpu", None):
        raise ArgumentError(
            f"x.to_device: unknown device {device!r}; 'cpu' is the only one. Use fad.device_put for others"
        )
    return self


def _missing(self: Any, name: str) -> Any:
    """Elementwise functions as methods for the loops of NumPy's object arrays, which call ``value.sin()`` for ``np.sin``."""
    function = UFUNCS.get(name)
    if function is not None and function.nout == 1 and isinstance(self, Tracer):
        return lambda *others: function(self, *others)
    raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


class _OnUse:
    """A method whose module is loaded when it is first asked for."""

    __slots__ = ("_name",)

    def __init__(self, name: str):
        self._name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        function = getattr(sys.modules["fad.numpy"], self._name)
        setattr(Array, self._name, function)
        return function if instance is None else function.__get__(instance, owner)


def install(functions: dict[str, Any]) -> None:
    """Give ``Array`` its methods; ``functions`` are those of :mod:`fad.numpy` by name."""
    for name in _SAME:
        setattr(Array, name, functions[name] if name in functions else _OnUse(name))
    for name, remedy in _WRITERS.items():
        setattr(Array, name, _writer(name, remedy))
    own: dict[str, Any] = {
        "at": property(IndexUpdater),
        "reshape": _reshape,
        "transpose": _transpose,
        "flatten": _flatten,
        "astype": _astype,
        "round": _round,
        "compress": _compress,
        "copy": _copy,
        "conj": _conjugate,
        "conjugate": _conjugate,
        "real": property(_real),
        "imag": property(_imag),
        "T": property(_transposed),
        "mT": property(manipulation.matrix_transpose),
        "flat": property(_flat),
        "to_device": _to_device,
        "__array_namespace__": _namespace,
        "__getattr__": _missing,
    }
    for name, function in own.items():
        setattr(Array, name, function)
