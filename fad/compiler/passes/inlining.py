"""Inlining: the equations of called Programs take the place of the call.

What a ``checkpoint`` computes again must stay a computation of its own, or the memory it saves would be lost to common subexpressions;
:func:`separate_scopes` tells which variables belong to which such computation.
"""

from __future__ import annotations

from fad.core.program import Atom, Equation, Program, Var

__all__ = ["called_program", "inline", "separate_scopes"]


def called_program(equation: Equation) -> Program | None:
    """The Program that an equation does nothing but run on its inputs, if it is such an equation."""
    if equation.primitive.kernel != "call":
        return None
    for name in ("program", "function"):
        found = equation.params.get(name)
        if isinstance(found, Program):
            return found
    return None


def separate_scopes(program: Program) -> dict[Var, int]:
    """The checkpoint that each variable was computed in; variables outside any are missing."""
    return program.cached("separate_scopes", dict)


class _Inliner:
    """Collects equations over fresh variables."""

    def __init__(self) -> None:
        self.equations: list[Equation] = []
        self.constants: dict[Var, object] = {}
        self.scopes: dict[Var, int] = {}
        self.next_scope = 1

    def run(self, program: Program, arguments: list[Atom], scope: int) -> list[Atom]:
        """Append the Program's equations; gives its outputs in terms of the arguments."""
        env: dict[Var, Atom] = dict(zip(program.inputs, arguments, strict=True))
        for var, value in program.constants.items():
            self.constants[var] = value
            env[var] = var
        for equation in program.equations:
            inputs = [env[a] if isinstance(a, Var) else a for a in equation.inputs]
            called = called_program(equation)
            if called is not None:
                inner = scope
                if equation.primitive.name == "checkpoint":
                    inner, self.next_scope = self.next_scope, self.next_scope + 1
                outs = self.run(called, inputs, inner)
            else:
                outs = [Var(v.aval) for v in equation.outputs]
                if scope:
                    self.scopes.update(dict.fromkeys(outs, scope))
                self.equations.append(Equation(equation.primitive, inputs, equation.params, outs, equation.source))
            env.update(zip(equation.outputs, outs, strict=True))
        return [env[a] if isinstance(a, Var) else a for a in program.outputs]


def inline(program: Program) -> Program:
    """The Program with the calls of other Programs written out, nested ones too.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> from fad.compiler.passes.inlining import inline
    >>> inner = fad.jit(lambda x: x * 2.0)
    >>> print(inline(fad.make_program(lambda x: inner(x) + 1.0)(fnp.ones(3))))
    <lambda>(a:float64[3])
      b:float64[3] = a * 2.0
      c:float64[3] = b + 1.0
      return c
    """
    if not any(called_program(e) is not None for e in program.equations):
        return program
    inliner = _Inliner()
    outputs = inliner.run(program, list(program.inputs), 0)
    flat = Program(program.inputs, inliner.equations, outputs, inliner.constants, program.name)
    flat.cached("separate_scopes", lambda: inliner.scopes)
    return flat
