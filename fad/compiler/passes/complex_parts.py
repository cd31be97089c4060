"""Complex arithmetic as arithmetic on real and imaginary parts, which is all that native code computes with.

Every complex value becomes two real ones. Arguments are taken apart where they are read, results put together where they leave, and before
and after operations that are done on complex numbers as they are, such as Fourier transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.compiler.complex_formulas import FORMULAS
from fad.compiler.operand_types import PARTS, TRANSFORMS, operand_dtypes
from fad.compiler.passes.inlining import inline, separate_scopes
from fad.compiler.passes.redundancy import rewired, substituted
from fad.compiler.passes.writing import applied, slice_along
from fad.core.avals import ShapedArray, real_dtype
from fad.core.errors import FadError
from fad.core.powers import by_squaring
from fad.core.primitive import REGISTRY, Primitive
from fad.core.program import Atom, Equation, Literal, Program, Var
from fad.primitives.arithmetic import imag, negative, real
from fad.primitives.complex_parts import complex_from_parts
from fad.primitives.fft import OTHER_NORM

__all__ = ["split_complex"]

Pair = tuple[Atom, Atom]

_PARTWISE = frozenset(
    """basic_index basic_index_transpose broadcast concatenate cumsum dynamic_slice dynamic_update_slice flip gather gather_transpose identity pad reduce_sum
    reshape scatter_add scatter_set slice transpose unstack""".split()
)
"""Operations that do to a complex number what they do to each of its parts, by kernel name."""


_SMALL_POWERS = frozenset(range(-32, 33)) - {0}


class _Unsplit(Exception):
    """An operation that is done on complex numbers as they are."""


def split_complex(program: Program) -> Program:
    """Compute with real and imaginary parts.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> from fad.compiler.passes.complex_parts import split_complex
    >>> print(split_complex(fad.make_program(lambda z: fnp.abs(z * 1j))(fnp.ones(3, dtype=complex))))
    <lambda>(a:complex128[3])
      b:float64[3] = real(a)
      c:float64[3] = imag(a)
      d:float64[3] = b * 0.0
      e:float64[3] = c * 1.0
      f:float64[3] = d - e
      g:float64[3] = b * 1.0
      h:float64[3] = c * 0.0
      i:float64[3] = g + h
      j:float64[3] = hypot(f, i)
      return j
    """
    if not any(_is_complex(a) for e in program.equations for a in (*e.inputs, *e.outputs)):
        return program
    splitter = _Splitter()
    splitter.run(program)
    for atom in program.outputs:
        splitter.whole(atom, None)
    return splitter.program(program, program.inputs, [splitter.known(a) for a in program.outputs])


def _is_complex(atom: Atom) -> bool:
    return atom.aval.dtype.kind == "c"


def _real_aval(aval: ShapedArray) -> ShapedArray:
    return ShapedArray(aval.shape, real_dtype(aval.dtype))


class _Splitter:
    """Collects the equations of a Program over parts.

    Attributes
    ----------
    equations : list of Equation
        All of them.
    """

    def __init__(self) -> None:
        self.equations: list[Equation] = []
        self._env: dict[Var, Atom] = {}
        self._parts: dict[Var, Pair] = {}
        self._joined: set[Var] = set()
        self._scopes: dict[Var, int] = {}

    def run(self, program: Program) -> None:
        """Append a Program's equations."""
        scopes = separate_scopes(program)
        self._scopes = dict(scopes)
        for equation in program.equations:
            start = len(self.equations)
            self._add_equation(rewired(equation, self._env))
            scope = scopes.get(equation.outputs[0]) if equation.outputs else None
            if scope is not None:
                made = self.equations[start:]
                self._scopes.update(
                    {v: scope for e in made for v in e.outputs if e.primitive is not complex_from_parts}
                )

    def program(self, program: Program, inputs: Sequence[Var], outputs: Sequence[Atom]) -> Program:
        """The Program that was collected."""
        new = Program(inputs, self.equations, outputs, program.constants, program.name, program.donated)
        if self._scopes:
            scopes = self._scopes
            new.cached("separate_scopes", lambda: scopes)
        return new

    # -- atoms ------------------------------------------------------------------------------------------------------------

    def bind(self, primitive: Primitive, inputs: Sequence[Atom], source: Any, **params: Any) -> Var:
        """Append an equation with one result."""
        return applied(self.equations, source, primitive, *inputs, **params)

    def known(self, atom: Atom) -> Atom:
        """What stands for a real atom."""
        return substituted(atom, self._env)

    def know(self, var: Var, parts: Pair) -> None:
        """Take two real values for a complex variable."""
        self._parts[var] = parts

    def parts(self, atom: Atom, source: Any) -> Pair:
        """The real and the imaginary part of a complex atom."""
        if isinstance(atom, Literal):
            dtype = real_dtype(atom.aval.dtype)
            return Literal(dtype.type(atom.value.real)), Literal(dtype.type(atom.value.imag))
        if atom not in self._parts:
            self._joined.add(atom)
            self._parts[atom] = (self.bind(real, [atom], source), self.bind(imag, [atom], source))
        return self._parts[atom]

    def whole(self, atom: Atom, source: Any) -> None:
        """Put a complex variable together, if nothing has done so yet."""
        if isinstance(atom, Var) and atom in self._parts and atom not in self._joined:
            self._joined.add(atom)
            self.equations.append(Equation(complex_from_parts, list(self._parts[atom]), {}, [atom], source))

    def converted(self, atom: Atom, dtype: np.dtype, source: Any) -> Atom:
        """A real atom as one of a dtype."""
        if isinstance(atom, Literal):
            return Literal(dtype.type(atom.value))
        if atom.aval.dtype == dtype and not atom.aval.weak:
            return atom
        return self.bind(REGISTRY["convert"], [atom], source, dtype=dtype)

    def as_real(self, atom: Atom, dtype: np.dtype, source: Any) -> Atom:
        """What a conversion makes of a complex atom: its real part, or whether it is not zero."""
        parts = self.parts(atom, source)
        return parts[0] if dtype.kind != "b" else _Formulas(self, source).not_equal(parts, 0.0)

    def operand(self, atom: Atom, dtype: np.dtype, source: Any) -> Any:
        """An operand of an elementwise operation, as NumPy converts it: a pair where that is complex."""
        if dtype.kind != "c":
            return self.as_real(atom, dtype, source) if _is_complex(atom) else atom
        part = real_dtype(dtype)
        if not _is_complex(atom):
            return self.converted(atom, part, source), Literal(part.type(0))
        a, b = self.parts(atom, source)
        return self.converted(a, part, source), self.converted(b, part, source)

    def shaped(self, atom: Atom, aval: ShapedArray, source: Any) -> Atom:
        """A part of a result, in its shape and dtype."""
        atom = self.converted(atom, aval.dtype, source)
        if atom.aval.shape == aval.shape:
            return atom if isinstance(atom, Var) else self._filled(atom, aval, source)
        if isinstance(atom, Literal):
            return self._filled(atom, aval, source)
        return self.bind(REGISTRY["broadcast_to"], [atom], source, shape=aval.shape)

    def _filled(self, atom: Literal, aval: ShapedArray, source: Any) -> Var:
        return self.bind(REGISTRY["full"], [], source, shape=aval.shape, value=atom.value.item(), dtype=aval.dtype)

    # -- equations --------------------------------------------------------------------------------------------------------

    def _add_equation(self, equation: Equation) -> None:
        if not any(_is_complex(a) for a in (*equation.inputs, *equation.outputs)):
            if equation.primitive.higher_order:
                equation = _with_split_programs(equation)
            self.equations.append(equation)
            return
        start, parts, joined = len(self.equations), dict(self._parts), set(self._joined)
        try:
            self._split(equation)
        except (_Unsplit, FadError):
            del self.equations[start:]
            self._parts, self._joined = parts, joined
            for atom in equation.inputs:
                self.whole(atom, equation.source)
            self.equations.append(equation)

    def _split(self, equation: Equation) -> None:
        kernel = equation.primitive.kernel
        if kernel in _LOOPS:
            _LOOPS[kernel](self, equation)
        elif kernel == "dot_general":
            self._split_product(equation)
        elif kernel == "convert":
            self._split_conversion(equation)
        elif kernel == "full":
            value, dtype = complex(equation.params["value"]), real_dtype(equation.params["dtype"])
            shape = equation.params["shape"]
            a, b = [
                self.bind(equation.primitive, [], equation.source, shape=shape, value=v, dtype=dtype)
                for v in (value.real, value.imag)
            ]
            self.know(equation.outputs[0], (a, b))
        elif kernel in _PARTWISE:
            self._split_partwise(equation)
        elif kernel in TRANSFORMS:
            self._transform(equation)
        elif callable(kernel):
            self._split_formula(equation, kernel)
        else:
            raise _Unsplit

    def _transform(self, equation: Equation) -> None:
        """A Fourier transform of whole numbers, one axis at a time; NumPy, too, takes the last one first."""
        (atom,), source = equation.inputs, equation.source
        axes = equation.params.get("axes", (0,))
        if equation.primitive.kernel == "fourier" and not _is_complex(atom):
            parts, axes = self._spectrum(atom, axes[-1], equation), axes[:-1]
            if not axes:
                self.know(equation.outputs[0], parts)
                return
            atom = self.bind(complex_from_parts, parts, source)
        self.whole(atom, source)
        for axis in axes[:0:-1]:
            atom = self.bind(equation.primitive, [atom], source, **{**equation.params, "axes": (axis,)})
        params = {**equation.params, "axes": axes[:1]} if "axes" in equation.params else equation.params
        self.equations.append(Equation(equation.primitive, [atom], params, equation.outputs, source))

    def _spectrum(self, signal: Atom, axis: int, equation: Equation) -> Pair:
        """The parts of a real signal's transform: half of it is computed, and the rest are conjugates of that."""
        inverse, source = equation.params["inverse"], equation.source
        norm = equation.params["norm"] if not inverse else OTHER_NORM[equation.params["norm"]]
        signal = self.shaped(signal, signal.aval.update(), source)
        half = self.bind(REGISTRY["fourier_from_real"], [signal], source, axis=axis, norm=norm)
        sizes = half.aval.shape
        stop = signal.aval.shape[axis] - sizes[axis] + 1
        found: list[Atom] = []
        for part, changes_sign in zip(self.parts(half, source), (False, True), strict=True):
            tail = self.bind(REGISTRY["static_slice"], [part], source, **slice_along(sizes, axis, 1, stop))
            ends = [part, self.bind(REGISTRY["flip"], [tail], source, axes=(axis,))]
            if changes_sign:
                ends[not inverse] = self.bind(negative, [ends[not inverse]], source)
            found.append(self.bind(REGISTRY["concatenate"], ends, source, axis=axis) if stop > 1 else ends[0])
        return found[0], found[1]

    def _split_formula(self, equation: Equation, kernel: Callable[..., Any]) -> None:
        source, (out,) = equation.source, equation.outputs
        operands = [self.operand(a, d, source) for a, d in zip(equation.inputs, operand_dtypes(equation), strict=True)]
        found = kernel(_Formulas(self, source), *operands, **equation.params)
        if not _is_complex(out):
            self._env[out] = self.shaped(found, out.aval, source)
            return
        aval = _real_aval(out.aval)
        a, b = found if isinstance(found, tuple) else (found, Literal(aval.dtype.type(0)))
        self.know(out, (self.shaped(a, aval, source), self.shaped(b, aval, source)))

    def _split_partwise(self, equation: Equation) -> None:
        source = equation.source
        if any(a.aval.dtype.kind == "f" for a in equation.inputs) or not all(map(_is_complex, equation.outputs)):
            raise _Unsplit
        pairs = [self.parts(a, source) if _is_complex(a) else (a, a) for a in equation.inputs]
        made = []
        for inputs in zip(*pairs, strict=True):
            outs = [Var(_real_aval(v.aval)) for v in equation.outputs]
            self.equations.append(Equation(equation.primitive, list(inputs), equation.params, outs, source))
            made.append(outs)
        for var, a, b in zip(equation.outputs, *made, strict=True):
            self.know(var, (a, b))

    def _split_product(self, equation: Equation) -> None:
        """Two real products where one factor is real, else four."""
        source, (out,) = equation.source, equation.outputs
        dtype = real_dtype(out.aval.dtype)
        factors: list[Any] = []
        for atom in equation.inputs:
            pair = self.parts(atom, source) if _is_complex(atom) else (atom, None)
            factors.append([None if a is None else self.converted(a, dtype, source) for a in pair])

        def product(i: int, j: int) -> Any:
            x, y = factors[0][i], factors[1][j]
            return None if x is None or y is None else self.bind(equation.primitive, [x, y], source, **equation.params)

        def added(x: Any, y: Any, name: str) -> Any:
            return x if y is None else y if x is None else self.bind(REGISTRY[name], [x, y], source)

        a = added(product(0, 0), product(1, 1), "subtract")
        b = added(product(0, 1), product(1, 0), "add")
        self.know(out, (a, b))

    def _split_conversion(self, equation: Equation) -> None:
        (atom,), (out,), source = equation.inputs, equation.outputs, equation.source
        if not _is_complex(out):
            self._env[out] = self.shaped(self.as_real(atom, out.aval.dtype, source), out.aval, source)
            return
        pair = self.parts(atom, source) if _is_complex(atom) else (atom, Literal(real_dtype(out.aval.dtype).type(0)))
        aval = _real_aval(out.aval)
        self.know(out, tuple([self.shaped(a, aval, source) for a in pair]))  # type: ignore[arg-type]


# --- loops and branches -----------------------------------------------------------------------------------------------------------------------


def _expanded(splitter: _Splitter, atoms: Sequence[Atom], source: Any) -> list[Atom]:
    """Atoms with the two parts of each complex one in its place."""
    return [part for a in atoms for part in (splitter.parts(a, source) if _is_complex(a) else (a,))]


def _width(atoms: Sequence[Atom]) -> int:
    return sum(2 if _is_complex(a) else 1 for a in atoms)


def _split_inside(program: Program) -> Program:
    """The Program of a loop or branch, whose complex inputs and outputs are two real ones each."""
    program = inline(program)
    splitter, inputs = _Splitter(), list[Var]()
    for var in program.inputs:
        if _is_complex(var):
            parts = (Var(_real_aval(var.aval)), Var(_real_aval(var.aval)))
            splitter.know(var, parts)
            inputs += parts
        else:
            inputs.append(var)
    splitter.run(program)
    outputs = _expanded(splitter, [splitter.known(a) for a in program.outputs], None)
    others = [e for e in splitter.equations if e.primitive.name not in PARTS and e.primitive.kernel not in TRANSFORMS]
    if any(_is_complex(a) for e in others for a in (*e.inputs, *e.outputs) if a not in program.constants):
        raise _Unsplit  # what is left to Python in a loop takes the whole loop with it
    return splitter.program(program, inputs, outputs)


def _with_split_programs(equation: Equation) -> Equation:
    """A loop or branch without complex arguments, whose inside may have complex numbers."""
    kernel, params = equation.primitive.kernel, equation.params
    if kernel not in _LOOPS:
        return equation
    try:
        params = _split_params(params)
    except _Unsplit:
        return equation
    return Equation(equation.primitive, equation.inputs, params, equation.outputs, equation.source)


def _split_params(params: dict[str, Any]) -> dict[str, Any]:
    found = dict(params)
    for name, value in params.items():
        if isinstance(value, Program):
            found[name] = _split_inside(value)
        elif isinstance(value, tuple) and value and all(isinstance(v, Program) for v in value):
            found[name] = tuple([_split_inside(v) for v in value])
    return found


def _split_loop(counts: Sequence[str]) -> Callable[[_Splitter, Equation], None]:
    """How a loop or branch is split; ``counts`` names the parameters that count its first inputs."""

    def split(splitter: _Splitter, equation: Equation) -> None:
        params, source = _split_params(equation.params), equation.source
        first = 0
        for name in counts:
            last = first + params[name]
            params[name] = _width(equation.inputs[first:last])
            first = last
        inputs = _expanded(splitter, equation.inputs, source)
        outputs = []
        for var in equation.outputs:
            if _is_complex(var):
                parts = (Var(_real_aval(var.aval)), Var(_real_aval(var.aval)))
                splitter.know(var, parts)
                outputs += parts
            else:
                outputs.append(var)
        splitter.equations.append(Equation(equation.primitive, inputs, params, outputs, source))

    return split


_LOOPS: dict[Any, Callable[[_Splitter, Equation], None]] = {
    "scan": _split_loop(("constants", "carry")),
    "while": _split_loop(("cond_constants", "body_constants")),
    "cond": _split_loop(()),
}


class _Formulas:
    """The builder that kernels are written for, which appends equations: pairs are complex numbers."""

    def __init__(self, splitter: _Splitter, source: Any):
        self._splitter, self._source = splitter, source

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def operation(*operands: Any) -> Any:
            if any(isinstance(o, tuple) for o in operands):
                if name not in FORMULAS:
                    raise _Unsplit
                return FORMULAS[name](self, *[self._pair(o, operands) for o in operands])
            if name not in REGISTRY:
                raise _Unsplit
            atoms = [o if isinstance(o, Atom) else Literal(o) for o in operands]
            return self._splitter.bind(REGISTRY[name], atoms, self._source)

        return operation

    def _pair(self, operand: Any, operands: Sequence[Any]) -> Pair:
        if isinstance(operand, tuple):
            return operand
        (dtype,) = {p.aval.dtype for o in operands if isinstance(o, tuple) for p in o}
        if isinstance(operand, Var):
            return operand, Literal(dtype.type(0))
        value = operand.value if isinstance(operand, Literal) else operand
        return Literal(dtype.type(np.real(value))), Literal(dtype.type(np.imag(value)))

    def select(self, condition: Any, x: Any, y: Any) -> Any:
        """Return x where a condition holds, else y."""
        if isinstance(x, tuple) or isinstance(y, tuple):
            pairs = [self._pair(v, (x, y)) for v in (x, y)]
            a, b = [self.select(condition, *both) for both in zip(*pairs, strict=True)]
            return a, b
        atoms = [o if isinstance(o, Atom) else Literal(o) for o in (condition, x, y)]
        return self._splitter.bind(REGISTRY["select"], atoms, self._source)

    def join(self, a: Any, b: Any) -> Pair:
        """The complex number with these parts."""
        return a, b

    def power(self, base: Any, exponent: Any) -> Any:
        """A small whole power by products in NumPy's order, others by logarithms; not where a whole power may come up at run time."""
        if not isinstance(base, tuple) and not isinstance(exponent, tuple):
            return self.__getattr__("power")(base, exponent)
        base, exponent = self._pair(base, (base, exponent)), self._pair(exponent, (base, exponent))
        if not any(all(isinstance(a, Literal) for a in pair) for pair in (base, exponent)):
            raise _Unsplit
        n, turn = [a.value if isinstance(a, Literal) else None for a in exponent]
        if turn != 0 or n not in _SMALL_POWERS:
            return FORMULAS["power"](self, base, exponent)
        return self.integer_power(base, int(n))

    def integer_power(self, base: Pair, exponent: int) -> Any:
        """Products in NumPy's order."""
        if exponent == 0:
            return self.power(base, 0)
        found = by_squaring(self.multiply, base, abs(exponent))
        return self.reciprocal(found) if exponent < 0 else found

    def constant_like(self, like: Any, value: float) -> Literal:
        """A number of the dtype of something real."""
        return Literal(like.aval.dtype.type(value))

    def limits(self, like: Any) -> np.finfo:
        """The limits of the dtype of something real."""
        return np.finfo(like.aval.dtype)

    def zero(self, like: Any) -> Any:
        """Zero of the dtype of something."""
        return (self.zero(like[0]),) * 2 if isinstance(like, tuple) else Literal(like.aval.dtype.type(0))

    def one(self, like: Any) -> Any:
        """One of the dtype of something real."""
        return self.constant_like(like, 1)

    def zero_like_product(self, x: Any, y: Any) -> Any:
        """Zero of the dtype of x * y."""
        return self.zero(x if isinstance(x, tuple) else y)
