"""Canonical form: what of a Program is compiled in, and what is an argument of the code.

Sizes above ``LARGEST_STATIC`` and most scalar constants are arguments, so that Programs which differ only in them share their code. Equal
sizes share one symbol: a Program in which two sizes happen to be equal compiles to code of its own. Of many constants most are compiled in: five
instructions for each, where it is used, would be most of the code.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from fad.compiler.nested import body_program
from fad.compiler.passes.redundancy import literal_key
from fad.compiler.size_classes import LARGEST_STATIC, size_class
from fad.core.avals import DynamicSize, ShapedArray
from fad.core.primitive import Primitive
from fad.core.program import Equation, Literal, Program, Var

__all__ = ["Canonical", "program_form"]

_SIMPLE = frozenset({0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0})
_LASTING = frozenset({str, bool, type(None), complex, bytes, DynamicSize})
_OWN = ("fad.primitives.", "fad.compiler.")
_SIZES = frozenset(
    {
        "dilation",
        "groups",
        "length",
        "padding",
        "shape",
        "size",
        "sizes",
        "space",
        "starts",
        "steps",
        "stops",
        "strides",
        "widths",
        "window",
    }
)
"""The parameters that lowerings read through :meth:`fad.compiler.llvm.emission.Emitter.size`; all others are compiled in."""
_STRUCTURAL_LITERALS = frozenset({"power", "float_power", "ldexp"})
_MOST_SCALARS = 32
"""So many different constants are arguments; they are those that come first."""
_BITS = (7, 8, 15, 16, 31, 32, 63)


def _width(value: int) -> tuple[bool, int]:
    """Which of the integer dtypes hold a number."""
    return value < 0, bisect_left(_BITS, max(value, ~value).bit_length())


def _asks_for_width(equation: Equation) -> bool:
    """Whether what an operation does with a Python integer depends on which dtypes hold it: not if all operands are floats, or hold as much as it does."""
    if not callable(equation.primitive.kernel):
        return True
    dtypes = {a.aval.dtype for a in (*equation.inputs, *equation.outputs)}
    return any(d.kind in "iu" and d != np.int64 for d in dtypes)


def _text(dtype: np.dtype) -> str:
    # To NumPy the small dtypes of ml_dtypes are all V1 or V2.
    return dtype.name if dtype.kind == "V" else dtype.str


class Canonical:
    """The canonical form of a Program.

    Attributes
    ----------
    key : str or tuple
        Equal for two Programs exactly if the same code serves both; a string, the same one in every process, where ``is_lasting``.
    is_lasting : bool
        Whether nothing in the Program lives in this process only, as functions do.
    sizes : list of int
        The values of the size symbols, in order.
    scalars : list of NumPy scalar
        The values of the constants that are arguments, in order; equal ones share a place.
    symbols : dict of int to int
        The symbol of each size.
    scalar_numbers : dict of int to int
        The number of each literal among ``scalars``, by the literal's identity.
    donated : tuple of int
        The numbers of the inputs whose memory results may take.
    """

    __slots__ = ("_avals", "_places", "donated", "is_lasting", "key", "scalar_numbers", "scalars", "sizes", "symbols")

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.symbols: dict[int, int] = {}
        self.scalars: list[Any] = []
        self.scalar_numbers: dict[int, int] = {}
        self._places: dict[tuple[str, bytes], int] = {}
        self._avals: dict[ShapedArray, Hashable] = {}
        self.key: Hashable = ()
        self.is_lasting = True
        self.donated: tuple[int, ...] = ()

    def copy(self) -> Canonical:
        """The same, to be changed."""
        found = Canonical()
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(found, name, value.copy() if isinstance(value, list | dict) else value)
        return found

    def symbol(self, n: int) -> int:
        """The symbol of a size above ``LARGEST_STATIC``."""
        if n not in self.symbols:
            self.symbols[n] = len(self.sizes)
            self.sizes.append(n)
        return self.symbols[n]

    def encode(self, value: Any, symbolic: bool = True) -> Hashable:
        """A parameter; where it is ``symbolic`` its large integers are replaced by symbols."""
        kind = type(value)
        if kind is int:
            if not symbolic or -LARGEST_STATIC <= value <= LARGEST_STATIC:
                return value
            return ("size" if value > 0 else "minus", self.symbol(abs(value)), size_class(abs(value)))
        if kind is tuple or kind is list:
            return tuple([self.encode(v, symbolic) for v in value])
        if kind is Program:
            return self.program(body_program(value))
        if kind is ShapedArray:
            return self.aval(value)
        if isinstance(value, (float, complex, np.generic)):
            return literal_key(value)
        if isinstance(value, np.dtype):
            return _text(value)
        self.is_lasting = self.is_lasting and kind in _LASTING
        return (kind, value)

    def parameters(self, equation: Equation) -> Hashable:
        """The parameters of an equation, large integers replaced by symbols where the code reads them as sizes."""
        kernel, params = equation.primitive.kernel, equation.params
        if kernel == "pad":
            # The code divides by the distance between elements.
            params = {
                **params,
                "widths": tuple([(low, high, inner and inner + 1) for low, high, inner in params["widths"]]),
            }
        return tuple([(k, self.encode(v, k in _SIZES and not callable(kernel))) for k, v in params.items()])

    def primitive(self, primitive: Primitive) -> Hashable:
        """What an operation is: its name where fad's own sources say what its code is, else itself."""
        name, kernel = primitive.name, primitive.kernel
        if type(kernel) is str:
            return name if kernel == name else (name, kernel)
        if kernel is None or getattr(kernel, "__module__", "").startswith(_OWN):
            return name
        self.is_lasting = False
        return primitive

    def aval(self, aval: ShapedArray) -> Hashable:
        """A type with its large sizes replaced by symbols."""
        found = self._avals.get(aval)
        if found is None:
            found = self._avals[aval] = (tuple([self.encode(n) for n in aval.shape]), _text(aval.dtype), aval.weak)
        return found

    def literal(self, literal: Literal, structural: bool = False, by_width: bool = True) -> Hashable:
        """A literal: its value where it is simple or shapes the code, else its number among the scalar arguments, and perhaps which dtypes hold it."""
        value, dtype = literal.value, literal.aval.dtype
        number = value.item() if hasattr(value, "item") else value
        simple = dtype.kind == "b" or (dtype.kind in "iuf" and abs(number) in _SIMPLE)
        width = _width(value) if type(value) is int else (False, 0)
        is_argument = not simple and dtype.kind in "iuf" and dtype.itemsize <= 8 and width[1] < len(_BITS)
        # As an exponent a fraction is a number like any other.
        structural = structural and (dtype.kind != "f" or float(number).is_integer())
        if structural or not is_argument or not self._has_place(literal, number):
            return (
                "literal",
                _text(dtype),
                literal.aval.weak,
                repr(number),
                bool(np.signbit(number)) if dtype.kind == "f" else 0,
            )
        return ("scalar", self.scalar_numbers[id(literal)], _text(dtype), literal.aval.weak, width if by_width else 0)

    def _has_place(self, literal: Literal, number: Any) -> bool:
        """Whether a literal's number has a place among the scalar arguments; it gets one if one is left."""
        if id(literal) in self.scalar_numbers:
            return True
        scalar = np.asarray(number, literal.aval.dtype)
        key = _text(scalar.dtype), scalar.tobytes()
        if key not in self._places:
            if len(self.scalars) == _MOST_SCALARS:
                return False
            self._places[key] = len(self.scalars)
            self.scalars.append(scalar)
        self.scalar_numbers[id(literal)] = self._places[key]
        return True

    def program(self, program: Program) -> Hashable:
        """A Program as nested tuples."""
        numbers: dict[Var, int] = {}
        for var in (*program.inputs, *program.constants):
            numbers[var] = len(numbers)
        parts: list[Any] = [
            tuple([self.aval(v.aval) for v in program.inputs]),
            tuple([self.aval(v.aval) for v in program.constants]),
        ]
        for equation in program.equations:
            name = equation.primitive.name
            kinds = (name in _STRUCTURAL_LITERALS, _asks_for_width(equation))
            atoms = tuple([numbers[a] if isinstance(a, Var) else self.literal(a, *kinds) for a in equation.inputs])
            params = self.parameters(equation)
            for var in equation.outputs:
                numbers[var] = len(numbers)
            parts.append(
                (
                    self.primitive(equation.primitive),
                    atoms,
                    params,
                    tuple([self.aval(v.aval) for v in equation.outputs]),
                )
            )
        parts.append(tuple([numbers[a] if isinstance(a, Var) else self.literal(a) for a in program.outputs]))
        return tuple(parts)


def program_form(program: Program, donated: Sequence[int] = ()) -> Canonical:
    """The canonical form of a Program whose calls are inlined, and whose results may take the memory of some inputs."""
    return program.cached(("canonical", tuple(donated)), lambda: _canonical_form(program, tuple(donated)))


def _canonical_form(program: Program, donated: tuple[int, ...]) -> Canonical:
    if donated:
        found = program_form(program).copy()
        found.donated = donated
        key: Hashable = ("donated", donated, found.key)
    else:
        found = Canonical()
        key = found.program(program)
    # The text of what lasts has no address and no order that differs between processes.
    found.key = sha256(repr(key).encode()).hexdigest() if found.is_lasting else key
    return found
