"""Programs whose outputs are all made by equations of their own, so that no result shares memory with an argument or another result."""

from __future__ import annotations

from fad.core.avals import ShapedArray
from fad.core.primitive import Primitive
from fad.core.program import Equation, Literal, Program, Var

__all__ = ["copy_p", "stored_p", "with_own_outputs"]


def _copying(name: str, kernel: str, doc: str) -> Primitive:
    """An operation that gives its argument, for the compiler's own use: it has no derivatives."""
    return Primitive(
        name,
        impl=lambda xp, x: xp.array(x),
        shape=lambda x: ShapedArray(x.shape, x.dtype),
        jvp=None,
        vjp=None,
        batch=None,
        kernel=kernel,
        samples=[],
        register=False,
        doc=doc,
    )


copy_p = _copying("copy", "identity", "A value of its own.")
stored_p = _copying("stored", "stored", "A view of an array, in memory in its own order.")


def with_own_outputs(program: Program) -> Program:
    """The Program with every output a variable of its own that an equation makes, so that results share no memory with arguments."""
    made = {v for e in program.equations for v in e.outputs}
    seen: set[Var] = set()
    equations, outputs = list(program.equations), []
    for atom in program.outputs:
        if isinstance(atom, Literal) or atom not in made or atom in seen:
            copied = Var(atom.aval.update())
            equations.append(Equation(copy_p, [atom], {}, [copied], None))
            atom = copied
        seen.add(atom)
        outputs.append(atom)
    return Program(program.inputs, equations, outputs, program.constants, program.name)
