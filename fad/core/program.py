"""``Program``: a typed, closed piece of straight-line code in static single assignment form.

A Program has inputs, equations in order, and outputs. Concrete arrays that the traced function closed over are its constants; an outer
transform's tracers that it closed over became leading inputs. Programs never change once made; what is derived from one (transformed
Programs, compiled code) is kept in its ``cache``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from fad.core.avals import ShapedArray, aval_of
from fad.core.errors import FadError
from fad.core.formulas import Text, formula
from fad.core.locks import Lock
from fad.core.origins import place_staged
from fad.core.primitive import Primitive
from fad.core.trace import CURRENT, EVAL, REPLAYED, Source

__all__ = [
    "Atom",
    "Equation",
    "Literal",
    "Program",
    "Var",
    "evaluate",
    "has_effect",
    "nested_in",
    "nested_names",
    "program_text",
    "used_equations",
    "variable_names",
]


class Var:
    """A variable: one value of a Program, with its type."""

    __slots__ = ("aval",)

    def __init__(self, aval: ShapedArray):
        self.aval = aval

    def __repr__(self) -> str:
        return f"Var({self.aval})"


class Literal:
    """A scalar constant written in place."""

    __slots__ = ("aval", "value")

    def __init__(self, value: Any):
        self.value = value
        self.aval = aval_of(value)

    def __repr__(self) -> str:
        return str(self.value) if isinstance(self.value, np.generic) else repr(self.value)


Atom = Var | Literal


class Equation:
    """``outputs = primitive(*inputs, **params)``, and the user's line that asked for it."""

    __slots__ = ("inputs", "outputs", "params", "primitive", "source")

    def __init__(
        self,
        primitive: Primitive,
        inputs: list[Atom],
        params: dict[str, Any],
        outputs: list[Var],
        source: Source | None,
    ):
        self.primitive = primitive
        self.inputs = inputs
        self.params = params
        self.outputs = outputs
        self.source = source

    def __repr__(self) -> str:
        return f"Equation({self.primitive.name}, {self.inputs} -> {self.outputs})"


class Program:
    """Typed straight-line code: inputs, equations, outputs, constants.

    Attributes
    ----------
    inputs : tuple of Var
    equations : tuple of Equation
    outputs : tuple of Var or Literal
    constants : dict of Var to buffer
    name : str
        The traced function's name.
    donated : frozenset of int
        The numbers of the inputs whose memory the results may take when the Program is called.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> program = fad.make_program(lambda x, y: x * y + 1.0)(fnp.ones(2), fnp.ones(2))
    >>> [equation.primitive.name for equation in program.equations]
    ['multiply', 'add']
    """

    __slots__ = ("__weakref__", "_cache", "_lock", "constants", "donated", "equations", "inputs", "name", "outputs")

    def __init__(
        self,
        inputs: Iterable[Var],
        equations: Iterable[Equation],
        outputs: Iterable[Atom],
        constants: dict[Var, Any] | None = None,
        name: str = "program",
        donated: Iterable[int] = (),
    ):
        self.inputs = tuple(inputs)
        self.equations = tuple(equations)
        self.outputs = tuple(outputs)
        self.constants = constants or {}
        self.name = name
        self.donated = frozenset(donated)
        self._cache: dict[Hashable, Any] = {}
        self._lock = Lock()

    def __reduce__(self) -> Any:
        # What was derived from it stays: it can be made again, and native code belongs to its process.
        return Program, (self.inputs, self.equations, self.outputs, self.constants, self.name, self.donated)

    @property
    def in_avals(self) -> list[ShapedArray]:
        """Types of the inputs."""
        return [v.aval for v in self.inputs]

    @property
    def out_avals(self) -> list[ShapedArray]:
        """Types of the outputs."""
        return [v.aval for v in self.outputs]

    def cached(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What was derived from this Program under ``key``, made on first request, once even under threads."""
        try:
            return self._cache[key]
        except KeyError:
            pass
        with self._lock.held:
            if key not in self._cache:
                self._cache[key] = make()
            return self._cache[key]

    def derived(self, key: Hashable) -> Any:
        """What :meth:`cached` has made under ``key``, ``None`` if nothing so far."""
        return self._cache.get(key)

    def keeping_arguments(self) -> Program:
        """The same Program without donated inputs."""
        if not self.donated:
            return self
        kept = (self.inputs, self.equations, self.outputs, self.constants, self.name)
        return self.cached("keeping_arguments", lambda: Program(*kept))

    def last_uses(self) -> list[list[Var]]:
        """For each equation, the variables that nothing reads after it."""
        return self.cached("last_uses", self._last_uses)

    def _last_uses(self) -> list[list[Var]]:
        seen: set[Var] = {v for v in self.outputs if isinstance(v, Var)} | set(self.constants)
        dead: list[list[Var]] = []
        for equation in reversed(self.equations):
            ended = []
            for v in (*equation.inputs, *equation.outputs):
                if isinstance(v, Var) and v not in seen:
                    seen.add(v)
                    ended.append(v)
            dead.append(ended)
        return dead[::-1]

    def text(self, sources: bool = False) -> str:
        """The Program as typed code in single assignment form, with the user's line behind each equation if ``sources``."""
        return program_text(self, sources=sources)

    def __str__(self) -> str:
        return program_text(self)

    __repr__ = __str__


def evaluate(program: Program, *args: Any) -> list[Any]:
    """Run a Program equation by equation on buffers or tracers, under the current trace; frees values after their last use."""
    env: dict[Var, Any] = dict(program.constants)
    env.update(zip(program.inputs, args, strict=True))
    restaged = CURRENT.get().base is not EVAL
    for equation, dead in zip(program.equations, program.last_uses(), strict=True):
        values = [env[v] if type(v) is Var else v.value for v in equation.inputs]
        out = _bind_again(equation, values) if restaged else _bind(equation, values)
        del values
        if equation.primitive.multiple_results:
            env.update(zip(equation.outputs, out, strict=True))
        else:
            env[equation.outputs[0]] = out
        del out
        for v in dead:
            env.pop(v, None)
    return [env[v] if type(v) is Var else v.value for v in program.outputs]


def _bind(equation: Equation, values: list[Any]) -> Any:
    try:
        return equation.primitive.bind(*values, **equation.params)
    except FadError as error:
        place_staged(error, equation.source)
        raise


def _bind_again(equation: Equation, values: list[Any]) -> Any:
    """Bind while a Program made from this one is recorded: its equations keep the user's line."""
    source, outer = equation.source, REPLAYED.get()
    if outer is not None and outer.backward and source is not None:
        source = source.reversed(outer.backward)  # what a backward pass computes again belongs to it
    try:
        REPLAYED.set(source)
        return equation.primitive.bind(*values, **equation.params)
    finally:
        REPLAYED.set(outer)


def has_effect(equation: Equation) -> bool:
    """Whether running the equation does something besides giving results: it is a callback, or runs a Program that has one."""
    if equation.params.get("effect"):
        return True
    if not equation.primitive.higher_order:
        return False
    nested = [p for value in equation.params.values() for p in (value if isinstance(value, tuple) else (value,))]
    return any(
        p.cached("effects", lambda p=p: any(map(has_effect, p.equations))) for p in nested if isinstance(p, Program)
    )


def used_equations(program: Program, wanted: Iterable[Atom]) -> list[Equation]:
    """The equations that the wanted variables depend on, in order; effects are always wanted."""
    needed = {v for v in wanted if isinstance(v, Var)}
    kept = []
    for equation in reversed(program.equations):
        if any(v in needed for v in equation.outputs) or has_effect(equation):
            kept.append(equation)
            needed.update(v for v in equation.inputs if isinstance(v, Var))
    return kept[::-1]


def _name_of(index: int) -> str:
    letters = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        letters = chr(97 + digit) + letters
    return letters


def nested_in(equation: Equation) -> list[tuple[str, Program]]:
    """The Programs among an equation's parameters, with their names."""
    found = []
    for key, value in equation.params.items():
        if isinstance(value, Program):
            found.append((key, value))
        elif isinstance(value, tuple) and value and all(isinstance(p, Program) for p in value):
            found += [(f"{key}[{i}]", p) for i, p in enumerate(value)]
    return found


def variable_names(program: Program, inputs: Sequence[str] = (), reserved: Iterable[str] = ()) -> dict[Var, str]:
    """A short name for each variable of a Program, in order, none of them reserved; its inputs may have names already."""
    names = dict(zip(program.inputs, inputs, strict=False))
    taken = {*inputs, *reserved}
    fresh = (name for name in map(_name_of, itertools.count()) if name not in taken)
    for var in (*program.inputs, *program.constants, *[v for e in program.equations for v in e.outputs]):
        if var not in names:
            names[var] = next(fresh)
    return names


_COMMENT = 56
"""The column of comments."""


def nested_names(program: Program, outer: dict[Var, str], reserved: Iterable[str] = ()) -> dict[Var, str]:
    """The names of the variables in and around a nested Program, all of them different."""
    return {**outer, **variable_names(program, (), {*outer.values(), *reserved})}


def program_text(
    program: Program,
    indent: str = "",
    names: dict[Var, str] | None = None,
    sources: bool = False,
    reserved: Iterable[str] = (),
) -> str:
    """The Program as typed SSA, one line per equation, nested Programs indented; with the user's lines if ``sources``."""
    names = variable_names(program, (), reserved) if names is None else names

    def name(v: Atom) -> str:
        return names[v] if isinstance(v, Var) else repr(v)

    def typed(v: Atom) -> str:
        return f"{name(v)}:{v.aval}"

    lines = [f"{indent}{program.name}({', '.join(map(typed, program.inputs))})"]
    lines += [f"{indent}  {typed(v)} = constant" for v in program.constants]
    for equation in program.equations:
        results = ", ".join(map(typed, equation.outputs))
        written = formula(equation, [Text(name(a)) for a in equation.inputs]).text
        line = f"{indent}  {results} = {written}" if results else f"{indent}  {written}"
        lines.append(f"{line:<{_COMMENT}}  # {equation.source.short}" if sources and equation.source else line)
        for key, value in nested_in(equation):
            lines.append(f"{indent}    {key}:")
            lines.append(
                program_text(value, indent + "      ", nested_names(value, names, reserved), sources, reserved)
            )
    lines.append(f"{indent}  return {', '.join(map(name, program.outputs))}".rstrip())
    return "\n".join(lines)
