"""Scalar code of one's own: what a ``kernel`` of :class:`fad.extend.Primitive` gets, numbers with Python's operators and NumPy's functions of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fad.compiler.dispatch import CompilerWarning
from fad.core.avals import PYTHON_SCALARS
from fad.core.errors import DTypeError, FadError

__all__ = ["Number", "ScalarFunctions", "run_kernel"]

_AS_GIVEN = frozenset({"astype", "constant", "integer_power", "ldexp", "one", "zero"})


class Number:
    """One element of an argument, or what was computed of it, inside compiled code."""

    __slots__ = ("_functions", "value")

    def __init__(self, functions: ScalarFunctions, value: Any):
        self._functions, self.value = functions, value

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the arrays that it is an element of."""
        return self.value.dtype

    def __repr__(self) -> str:
        return f"Number<{self.dtype}>"

    def __bool__(self) -> bool:
        raise DTypeError(
            "a kernel is written once for all elements, so it cannot branch on one of them: use k.where(condition, x, y) in place of `if`, "
            "and k.logical_and, k.logical_or, k.logical_not in place of `and`, `or`, `not`"
        )

    def __pow__(self, other: Any) -> Number:
        whole = type(other) is int and 0 <= other <= 64
        return self._functions.integer_power(self, other) if whole else self._functions.power(self, other)


def _operator(name: str, reflected: bool = False) -> Callable[..., Any]:
    def operator(self: Number, *other: Any) -> Any:
        operands = (*other, self) if reflected else (self, *other)
        return getattr(self._functions, name)(*operands)

    return operator


for _name, _function in {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
}.items():
    setattr(Number, f"__{_name}__", _operator(_function))
    setattr(Number, f"__r{_name}__", _operator(_function, reflected=True))
for _name, _function in {
    "rpow": "power",
    "neg": "negative",
    "pos": "positive",
    "abs": "absolute",
    "invert": "invert",
    "eq": "equal",
    "ne": "not_equal",
    "lt": "less",
    "le": "less_equal",
    "gt": "greater",
    "ge": "greater_equal",
}.items():
    setattr(Number, f"__{_name}__", _operator(_function, reflected=_name == "rpow"))
Number.__hash__ = None  # type: ignore[assignment]


class ScalarFunctions:
    """NumPy's elementwise functions of :class:`Number`, by NumPy's names; Python numbers among the operands are constants of their dtype."""

    def __init__(self, builder: Any):
        self._builder = builder

    def __getattr__(self, name: str) -> Callable[..., Number]:
        function = getattr(self._builder, name, None) if not name.startswith("_") else None
        if function is None or name in ("builder", "load", "store", "wrap"):
            raise AttributeError(
                f"kernels have no function k.{name}; they have NumPy's elementwise functions, by NumPy's names"
            )

        def apply(*operands: Any) -> Number:
            return Number(self, function(*self._values(name, operands)))

        return apply

    def _values(self, name: str, operands: tuple[Any, ...]) -> list[Any]:
        """Operands of one dtype for the builder."""
        if name in _AS_GIVEN:
            return [o.value if isinstance(o, Number) else o for o in operands]
        first = [operands[0].value] if name in ("where", "select") else []
        rest = operands[len(first) :]
        types = [o.dtype if isinstance(o, Number) else o for o in rest]
        dtype = np.result_type(*types)
        return [
            *first,
            *[
                self._builder.astype(o.value, dtype) if isinstance(o, Number) else self._builder.constant(o, dtype)
                for o in rest
            ],
        ]


def run_kernel(name: str, kernel: Callable[..., Any], builder: Any, values: Any, params: dict[str, Any]) -> Any:
    """The value that a kernel computes for one element.

    Raises
    ------
    DTypeError
        If it does not compute one; then the operation is left to Python, with a warning unless only these dtypes have no code.
    """
    functions = ScalarFunctions(builder)
    try:
        found = kernel(functions, *[Number(functions, v) for v in values], **params)
        if type(found) in PYTHON_SCALARS:
            return builder.constant(found, np.result_type(*[v.dtype for v in values], found))
        if not isinstance(found, Number):
            raise TypeError(f"it must give a number, got {type(found).__name__}")
        return found.value
    except Exception as error:
        if not isinstance(error, FadError) or "kernel is written once" in str(error):
            warnings.warn(
                f"{name}: the kernel cannot be used, so jit calls impl: {type(error).__name__}: {error}",
                CompilerWarning,
                stacklevel=2,
            )
        raise DTypeError(f"its kernel: {error}") from error
