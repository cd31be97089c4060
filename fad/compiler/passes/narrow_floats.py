"""bfloat16, and what float16 adds up, in float32: native code only stores and moves the narrow type, as NumPy's own loops do.

An operation on bfloat16 is computed in float32 from exact operands and rounded once, which is how ml_dtypes defines it. Sums and products of
matrices keep float32 until they are complete; evaluated operation by operation they do the same.
"""

from __future__ import annotations

import numpy as np

from fad.compiler.operand_types import operand_dtypes
from fad.compiler.passes.inlining import separate_scopes
from fad.compiler.passes.redundancy import rebuilt
from fad.core.avals import ShapedArray, bfloat16
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Literal, Program, Var

__all__ = ["MOVES", "widen_narrow_floats"]

MOVES = frozenset(
    """basic_index basic_index_transpose basic_update broadcast_to concatenate convert copy dynamic_slice dynamic_update_slice flip full gather pad positive
    reshape scatter_set select static_slice stop_gradient transpose unstack""".split()
)
"""Operations that put elements elsewhere and compute nothing."""

_WIDE = frozenset(
    """argmax argmin argsort convolve convolve_input convolve_kernel cumsum dot_general logsumexp reduce_max reduce_min reduce_prod
    reduce_sum sort window_argmax window_max window_place""".split()
)
"""What adds up in float32, or compares, which float32 does alike."""

_NATIVE_FLOAT16 = frozenset({"argmax", "argmin", "argsort", "cumsum", "sort"})
"""What native code does with float16 itself. NumPy rounds every partial sum of it; those of bfloat16 are kept in float32."""

_BY_BITS = frozenset({"nextafter", "spacing", "frexp_exponent", "ldexp"})
"""Their meaning depends on the type's own spacing."""

_BOOL, _FLOAT16, _FLOAT32 = np.dtype(bool), np.dtype(np.float16), np.dtype(np.float32)


def widen_narrow_floats(program: Program) -> Program:
    """Write operations on bfloat16, and sums and products of float16, as conversions around operations on float32.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> from fad.compiler.passes.narrow_floats import widen_narrow_floats
    >>> x = fnp.ones(3, dtype="bfloat16")
    >>> print(widen_narrow_floats(fad.make_program(fnp.exp)(x)))
    exp(a:bfloat16[3])
      b:float32[3] = float32(a)
      c:float32[3] = exp(b)
      d:bfloat16[3] = bfloat16(c)
      return d
    """
    if not any(_is_widened(e) for e in program.equations):
        return program
    scopes = dict(separate_scopes(program))
    equations: list[Equation] = []
    for equation in program.equations:
        if not _is_widened(equation):
            equations.append(equation)
            continue
        found = _widened(equation)
        scope = scopes.get(equation.outputs[0])
        if scope is not None:
            scopes.update({v: scope for e in found for v in e.outputs})
        equations += found
    new = rebuilt(program, equations, program.outputs)
    new.cached("separate_scopes", lambda: scopes)
    return new


def _is_widened(equation: Equation) -> bool:
    name, kernel = equation.primitive.name, equation.primitive.kernel
    if equation.primitive.multiple_results or equation.params.get("effect") or name in MOVES:
        return False
    typed = {a.aval.dtype for a in equation.inputs if not a.aval.weak}
    out = equation.outputs[0].aval.dtype
    if name in _WIDE:
        floats = {d for d in (*typed, out) if d.kind not in "biu"}
        return len(floats) == 1 and floats <= ({bfloat16} if name in _NATIVE_FLOAT16 else {bfloat16, _FLOAT16})
    if not callable(kernel) or name in _BY_BITS or bfloat16 not in typed:
        return False
    if any(a.aval.dtype.kind == "c" for a in equation.inputs):
        return False  # a Python number beside it, whose imaginary part counts
    return typed <= {bfloat16, _FLOAT32, _BOOL} and out in (bfloat16, _FLOAT32, _BOOL)


def _widened(equation: Equation) -> list[Equation]:
    """Operands converted to float32, the operation on them, its result rounded."""
    (out,), source = equation.outputs, equation.source
    types = operand_dtypes(equation) if callable(equation.primitive.kernel) else [a.aval.dtype for a in equation.inputs]
    found: list[Equation] = []

    def converted(atom: Atom, dtype: np.dtype) -> Atom:
        if not atom.aval.weak and atom.aval.dtype.kind in "biu":
            return atom  # positions, conditions
        if isinstance(atom, Literal):
            return Literal(np.asarray(atom.value).astype(dtype)[()])
        if atom.aval.dtype == dtype and not atom.aval.weak:
            return atom
        var = Var(ShapedArray(atom.aval.shape, dtype))
        found.append(Equation(REGISTRY["convert"], [atom], {"dtype": dtype}, [var], source))
        return var

    # A Python number takes the type that NumPy gives it first, and only then more digits.
    operands = [
        converted(converted(a, dtype) if a.aval.weak else a, _FLOAT32)
        for a, dtype in zip(equation.inputs, types, strict=True)
    ]
    if out.aval.dtype in (bfloat16, _FLOAT16):
        wide = Var(ShapedArray(out.aval.shape, _FLOAT32))
        found.append(Equation(equation.primitive, operands, equation.params, [wide], source))
        found.append(Equation(REGISTRY["convert"], [wide], {"dtype": out.aval.dtype}, [out], source))
    else:
        found.append(Equation(equation.primitive, operands, equation.params, [out], source))
    return found
