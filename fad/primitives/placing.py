"""Moving values to a CUDA device where they meet others that are there.

Rules combine buffers by operators, which do not mix NumPy's arrays and CuPy's.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from fad.core.array import host_buffer
from fad.core.placement import beside, lies_on_device
from fad.core.samples import case, f64
from fad.core.trace import Tracer, concrete_value
from fad.primitives.structural import linear_unary

__all__ = ["MovesToDevice", "together"]


def _place_impl(xp: Any, x: Any, *, source: str, target: str) -> Any:
    return host_buffer(x) if target == "cpu" else beside(x, True)


place_p = linear_unary(
    "place",
    impl=_place_impl,
    shape=lambda x, *, source, target: x,
    transpose=lambda ct, aval, *, source, target: place_p.bind(ct, source=target, target=source),
    batch=lambda size, x, *, source, target: place_p.bind(x, source=source, target=target),
    kernel="identity",
    samples=[case(f64(2, 3), source="cpu", target="cpu")],
    doc="The same values on another device; cotangents travel back.",
)


def together(values: Any) -> Any:
    """A sequence of values, arrays among them moved to the device if another one is there."""
    if "cupy" not in sys.modules or not any(lies_on_device(v) for v in values):
        return values
    return [_moved(v) for v in values]


def _moved(value: Any) -> Any:
    if not isinstance(value, Tracer):
        return beside(value, type(value) is np.ndarray)
    if lies_on_device(value) or not value.shape or concrete_value(value) is None:
        return value
    return place_p.bind(value, source="cpu", target="cuda")


class MovesToDevice:
    """Part of a trace whose rules get arrays that lie in one place.

    Only where CuPy has been loaded are traces made of it, so that others do not pay for the question.
    """

    __slots__ = ()

    def process(self, primitive: Any, args: Any, params: dict[str, Any]) -> Any:
        """Interpret one operation."""
        return super().process(primitive, args if primitive is place_p else together(args), params)  # type: ignore[misc]

    def binary(self, primitive: Any, x: Any, y: Any) -> Any:
        """Interpret an operation on two arguments."""
        return super().binary(primitive, *together((x, y)))  # type: ignore[misc]
