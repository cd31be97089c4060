"""Layouts: transposes become part of matrix products, and operands that BLAS cannot read as they lie in memory are transposed first."""

from __future__ import annotations

from fad.compiler.matrices import free_axes, is_direct
from fad.compiler.passes.redundancy import rebuilt, rewired, substituted
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Program, Var

__all__ = ["arrange_products", "fold_transposes", "turn_products"]

_Readers = dict[Atom, list[Equation]]


def turn_products(program: Program) -> Program:
    """Let a matrix product of which only the transpose is read be that transpose: its factors change places."""
    readers: _Readers = {}
    for equation in program.equations:
        for atom in dict.fromkeys(equation.inputs):
            readers.setdefault(atom, []).append(equation)
    outputs = set(program.outputs)
    equations: list[Equation] = []
    env: dict[Var, Atom] = {}
    for equation in program.equations:
        equation = rewired(equation, env)
        if equation.primitive.name == "dot_general" and equation.outputs[0] not in outputs:
            transposes = _only_transposes(equation, readers, outputs)
            if transposes:
                equation = _turned(equation)
                env.update({e.outputs[0]: equation.outputs[0] for e in transposes})
        if not (equation.primitive.name == "transpose" and equation.outputs[0] in env):
            equations.append(equation)
    return rebuilt(program, equations, [substituted(a, env) for a in program.outputs]) if env else program


def _only_transposes(product: Equation, readers: _Readers, outputs: set[Atom]) -> list[Equation]:
    """The equations that read a product, if all transpose it and some of that is no part of another product, which would read either."""
    lead, first, second = [len(axes) for axes in (product.params["batch"][0], *(free_axes(product, k) for k in (0, 1)))]
    places = range(lead + first + second)
    order = (*places[:lead], *places[lead + first :], *places[lead : lead + first])
    found = readers.get(product.outputs[0], [])
    if any(e.primitive.name != "transpose" or e.params["axes"] != order for e in found):
        return []
    turned = [e.outputs[0] for e in found]
    others = any(v in outputs or any(r.primitive.name != "dot_general" for r in readers.get(v, ())) for v in turned)
    return found if others else []


def _turned(product: Equation) -> Equation:
    (x, y), (contract, batch) = product.inputs, (product.params[name] for name in ("contract", "batch"))
    lead, first = len(batch[0]), len(free_axes(product, 0))
    shape = product.outputs[0].aval.shape
    shape = (*shape[:lead], *shape[lead + first :], *shape[lead : lead + first])
    out = Var(ShapedArray(shape, product.outputs[0].aval.dtype))
    params = {**product.params, "contract": contract[::-1], "batch": batch[::-1]}
    return Equation(product.primitive, [y, x], params, [out], product.source)


def fold_transposes(program: Program) -> Program:
    """Let matrix products read the arrays behind transposes."""
    made: dict[Atom, Equation] = {v: e for e in program.equations for v in e.outputs}
    equations = []
    for equation in program.equations:
        if equation.primitive.name == "dot_general":
            for position in (0, 1):
                equation = _folded(equation, position, made)
        equations.append(equation)
    return rebuilt(program, equations, program.outputs)


def _folded(equation: Equation, position: int, made: dict[Atom, Equation]) -> Equation:
    source = made.get(equation.inputs[position])
    if source is None or source.primitive.name != "transpose":
        return equation
    axes = source.params["axes"]
    moved = [axes[a] for a in free_axes(equation, position)]
    if moved != sorted(moved):
        return equation
    inputs = list(equation.inputs)
    inputs[position] = source.inputs[0]
    params = {}
    for name in ("contract", "batch"):
        pair = list(equation.params[name])
        pair[position] = tuple(axes[a] for a in pair[position])
        params[name] = tuple(pair)
    return Equation(equation.primitive, inputs, params, equation.outputs, equation.source)


def arrange_products(program: Program) -> Program:
    """Give every matrix product operands that BLAS can read, of the result's dtype."""
    equations: list[Equation] = []
    for equation in program.equations:
        if equation.primitive.name == "dot_general" and equation.outputs[0].aval.dtype.char in "fd":
            for position in (0, 1):
                equation = _arranged(equation, position, equations)
        equations.append(equation)
    return rebuilt(program, equations, program.outputs)


def _arranged(equation: Equation, position: int, equations: list[Equation]) -> Equation:
    atom, dtype = equation.inputs[position], equation.outputs[0].aval.dtype
    inputs, params = list(equation.inputs), dict(equation.params)
    if atom.aval.dtype != dtype or atom.aval.weak:
        converted = Var(ShapedArray(atom.aval.shape, dtype))
        equations.append(Equation(REGISTRY["convert"], [atom], {"dtype": dtype}, [converted], equation.source))
        inputs[position] = atom = converted
    if not is_direct(equation, position):
        batch, contract = equation.params["batch"][position], equation.params["contract"][position]
        order = (*batch, *free_axes(equation, position), *contract)
        turned = Var(ShapedArray(tuple(atom.aval.shape[a] for a in order), dtype))
        equations.append(Equation(REGISTRY["transpose"], [atom], {"axes": order}, [turned], equation.source))
        inputs[position] = turned
        for name, axes in (("batch", batch), ("contract", contract)):
            pair = list(params[name])
            pair[position] = tuple(order.index(a) for a in axes)
            params[name] = tuple(pair)
    return Equation(equation.primitive, inputs, params, equation.outputs, equation.source)
