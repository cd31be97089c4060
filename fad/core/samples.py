"""Recipes for sample arguments. A declaration lists them; the generated checks turn them into arrays.

They are recipes, not arrays, so that importing fad makes no random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fad.core.avals import dtype_named

__all__ = [
    "Case",
    "Named",
    "Operand",
    "Several",
    "b1",
    "booleans",
    "c64",
    "c128",
    "case",
    "complexes",
    "f32",
    "f64",
    "i64",
    "integers",
    "literal",
    "reals",
    "written_out",
]


class Operand:
    """A recipe for one array: shape, dtype and the interval its elements are drawn from."""

    __slots__ = ("dtype", "high", "low", "shape", "transform")

    def __init__(self, shape: tuple[int, ...], dtype: str, low: float = -2.0, high: float = 2.0, transform: Any = None):
        self.shape, self.dtype, self.low, self.high, self.transform = shape, dtype, low, high, transform

    def make(self, generator: np.random.Generator) -> np.ndarray:
        """The array, drawn from ``generator``."""
        dtype = dtype_named(self.dtype)
        kind = dtype.kind
        if kind == "b":
            value = generator.random(self.shape) < 0.5
        elif kind in "iu":
            value = generator.integers(int(self.low), int(self.high), self.shape)
        elif kind == "c":
            value = generator.uniform(self.low, self.high, self.shape) + 1j * generator.uniform(
                self.low, self.high, self.shape
            )
        else:
            value = generator.uniform(self.low, self.high, self.shape)
        value = np.asarray(value).astype(dtype)
        return value if self.transform is None else np.asarray(self.transform(value)).astype(dtype)

    def __repr__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


class Fixed:
    """A recipe that is the value itself."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value

    def make(self, generator: np.random.Generator) -> Any:
        """The value."""
        return self.value

    def __repr__(self) -> str:
        return repr(self.value)


class Named:
    """A dtype among the parameters that is looked up when the sample is used."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


class Case:
    """Arguments and parameters of one sample call.

    ``order`` is the highest derivative order to check numerically; ``modes`` may leave out a mode, with a ``reason``.
    """

    __slots__ = ("_params", "operands", "order", "reason", "tolerance")

    def __init__(
        self,
        operands: tuple[Any, ...],
        params: dict[str, Any],
        order: int = 2,
        tolerance: float | None = None,
        reason: str = "",
    ):
        self.operands, self._params, self.order, self.tolerance, self.reason = (
            operands,
            params,
            order,
            tolerance,
            reason,
        )

    @property
    def params(self) -> dict[str, Any]:
        """The parameters."""
        return {k: dtype_named(v.name) if isinstance(v, Named) else v for k, v in self._params.items()}

    def make(self, seed: int = 0) -> list[Any]:
        """The arguments, the same for the same seed."""
        generator = np.random.default_rng(seed)
        return [o.make(generator) for o in self.operands]

    def __repr__(self) -> str:
        params = [f"{k}={v}" for k, v in self._params.items() if not callable(v)]
        return f"case({', '.join([*map(repr, self.operands), *params])})"


def case(
    *operands: Any, check_order: int = 2, check_tolerance: float | None = None, check_reason: str = "", **params: Any
) -> Case:
    """One sample call. Plain values among the operands are taken as they are.

    Parameters
    ----------
    *operands
        Recipes such as ``f64(2, 3)``, or values.
    check_order : int
        Highest derivative order to check numerically.
    check_tolerance : float, optional
        Relative tolerance of the numerical checks.
    check_reason : str
        Why the checks are fewer or looser, where they are.
    **params
        Parameters of the primitive.

    Examples
    --------
    >>> from fad.core.samples import case, f64
    >>> case(f64(2, 3), axes=(1, 0))
    case(float64[2,3], axes=(1, 0))
    """
    recipes = tuple(o if isinstance(o, Operand | Fixed) else Fixed(o) for o in operands)
    return Case(recipes, params, check_order, check_tolerance, check_reason)


def f64(*shape: int, low: float = -2.0, high: float = 2.0, transform: Any = None) -> Operand:
    """A float64 operand."""
    return Operand(shape, "float64", low, high, transform)


def f32(*shape: int, low: float = -2.0, high: float = 2.0, transform: Any = None) -> Operand:
    """A float32 operand."""
    return Operand(shape, "float32", low, high, transform)


def c128(*shape: int, low: float = -2.0, high: float = 2.0, transform: Any = None) -> Operand:
    """A complex128 operand."""
    return Operand(shape, "complex128", low, high, transform)


def c64(*shape: int, low: float = -2.0, high: float = 2.0, transform: Any = None) -> Operand:
    """A complex64 operand."""
    return Operand(shape, "complex64", low, high, transform)


def i64(*shape: int, low: int = -5, high: int = 6) -> Operand:
    """An int64 operand; ``high`` is excluded."""
    return Operand(shape, "int64", low, high)


def b1(*shape: int) -> Operand:
    """A boolean operand."""
    return Operand(shape, "bool")


def literal(value: Any) -> Fixed:
    """An operand given as it is."""
    return Fixed(value)


class Several:
    """Cases that are made when somebody asks for samples: who only computes should not wait for them."""

    __slots__ = ("arguments", "make")

    def __init__(self, make: Callable[..., list[Case]], *arguments: Any):
        self.make, self.arguments = make, arguments


def written_out(samples: Iterable[Case | Several]) -> list[Case]:
    """The single cases of a declaration."""
    return [c for s in samples for c in (s.make(*s.arguments) if isinstance(s, Several) else (s,))]


def reals(*intervals: tuple[float, float], half: bool = False) -> list[Several]:
    """Elementwise samples over real intervals, one interval per argument: float64, float32, 0-d, empty, size 1 and broadcasting."""
    return [Several(_real_cases, intervals, half)]


def _real_cases(intervals: tuple[tuple[float, float], ...], half: bool) -> list[Case]:
    shapes = [((2, 3),) * len(intervals), ((),) * len(intervals), ((0, 2),) * len(intervals), ((1,),) * len(intervals)]
    if len(intervals) > 1:
        shapes += [((2, 3), (3,)), ((3,), (2, 3)), ((2, 1), (1, 3)), ((2, 3), ())] if len(intervals) == 2 else []
    cases = [Case(tuple(Operand(s, "float64", *i) for s, i in zip(ss, intervals, strict=True)), {}) for ss in shapes]
    cases.append(Case(tuple(Operand((2, 3), "float32", *i) for i in intervals), {}))
    if half:
        cases.append(Case(tuple(Operand((3,), "float16", *i) for i in intervals), {}, order=0))
    return cases


def complexes(*intervals: tuple[float, float]) -> list[Several]:
    """Elementwise complex samples: complex128 and complex64, and a mix with a real argument where there are two."""
    return [Several(_complex_cases, intervals)]


def _complex_cases(intervals: tuple[tuple[float, float], ...]) -> list[Case]:
    cases = [Case(tuple(Operand((2, 3), d, *i) for i in intervals), {}) for d in ("complex128", "complex64")]
    if len(intervals) == 2:
        cases.append(Case((Operand((2, 3), "complex128", *intervals[0]), Operand((3,), "float64", *intervals[1])), {}))
        cases.append(Case((Operand((3,), "float64", *intervals[0]), Operand((2, 3), "complex128", *intervals[1])), {}))
    return cases


def integers(arity: int = 1, low: int = -5, high: int = 6, unsigned: bool = True) -> list[Several]:
    """Elementwise integer samples."""
    return [Several(_integer_cases, arity, low, high, unsigned)]


def _integer_cases(arity: int, low: int, high: int, unsigned: bool) -> list[Case]:
    cases = [
        Case((Operand((2, 3), "int64", low, high),) * arity, {}),
        Case((Operand((), "int32", low, high),) * arity, {}),
    ]
    if unsigned:
        cases.append(Case((Operand((3,), "uint8", max(low, 0), high),) * arity, {}))
    return cases


def booleans(arity: int = 1) -> list[Case]:
    """Elementwise boolean samples."""
    return [Case((Operand((2, 3), "bool"),) * arity, {}), Case((Operand((), "bool"),) * arity, {})]
