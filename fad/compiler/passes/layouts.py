"""Layouts: transposes become part of matrix products, and operands that BLAS cannot read as they lie in memory are transposed first."""

from __future__ import annotations

from fad.compiler.matrices import as_matrix, free_axes, is_direct, product_axes
from fad.compiler.passes.redundancy import rebuilt, rewired, substituted
from fad.core.avals import ShapedArray
from fad.core.primitive import REGISTRY
from fad.core.program import Atom, Equation, Program, Var

__all__ = ["arrange_products", "fold_transposes", "reads_along_sums", "turn_products", "with_turned"]

_Readers = dict[Atom, list[Equation]]


def turn_products(program: Program) -> Program:
    """Let a matrix product whose columns are read as rows be its transpose: the factors change places."""
    readers: _Readers = {}
    for equation in program.equations:
        for atom in dict.fromkeys(equation.inputs):
            readers.setdefault(atom, []).append(equation)
    outputs = set(program.outputs)
    equations: list[Equation] = []
    env: dict[Var, Atom] = {}
    places: dict[Atom, tuple[int, ...]] = {}
    for equation in program.equations:
        equation = rewired(equation, env)
        if equation.primitive.name == "dot_general" and _is_read_by_columns(equation, readers, outputs):
            out = equation.outputs[0]
            equation, order = _turned(equation)
            env[out], places[equation.outputs[0]] = equation.outputs[0], order
        elif equation.primitive.name == "transpose" and equation.inputs[0] in places:
            (source,), (out,) = equation.inputs, equation.outputs
            axes = tuple([places[source][a] for a in equation.params["axes"]])
            if axes == tuple(range(len(axes))):
                env[out] = source
                continue
            equation = Equation(equation.primitive, [source], {"axes": axes}, [out], equation.source)
        equations.append(equation)
    return rebuilt(program, equations, [substituted(a, env) for a in program.outputs]) if env else program


def _is_read_by_columns(product: Equation, readers: _Readers, outputs: set[Atom]) -> bool:
    """Whether all that reads a product transposes it so that the first factor's axis comes last, and not only for products, which read either."""
    lead, first, second = _axis_counts(product)
    found = readers.get(product.outputs[0], [])
    last = lead + first - 1
    if not first or not second or product.outputs[0] in outputs:
        return False
    if any(e.primitive.name != "transpose" or e.params["axes"][-1] != last for e in found):
        return False
    turned = [e.outputs[0] for e in found]
    return any(v in outputs or any(r.primitive.name != "dot_general" for r in readers.get(v, ())) for v in turned)


def _axis_counts(product: Equation) -> tuple[int, int, int]:
    """How many batch axes a product has, and how many axes of each factor."""
    return len(product.params["batch"][0]), len(free_axes(product, 0)), len(free_axes(product, 1))


def _turned(product: Equation) -> tuple[Equation, tuple[int, ...]]:
    """The product with its factors in the other order, and where the axes of the result are now."""
    lead, first, second = _axis_counts(product)
    aval = product.outputs[0].aval
    order = (*range(lead), *range(lead + first, lead + first + second), *range(lead, lead + first))
    out = Var(ShapedArray(tuple([aval.shape[a] for a in order]), aval.dtype))
    params = {**product.params, **{name: product.params[name][::-1] for name in ("contract", "batch")}}
    turned = Equation(product.primitive, product.inputs[::-1], params, [out], product.source)
    return turned, tuple([order.index(a) for a in range(len(order))])


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


def reads_along_sums(equation: Equation) -> bool:
    """Whether it is a product of two matrices whose rows BLAS both reads along the axis that is summed over: its slowest way, for small ones by up to a half."""
    if equation.primitive.name != "dot_general" or any(equation.params["batch"]):
        return False
    if equation.outputs[0].aval.dtype.char not in "fd":
        return False
    found = [as_matrix(a.aval.shape, *axes) for a, axes in zip(equation.inputs, product_axes(equation), strict=True)]
    return all(m is not None and m.free_is_slow for m in found)


def with_turned(equation: Equation, position: int) -> tuple[Equation, Var, tuple[int, ...]]:
    """The product with an operand whose contracted axes come first; also that operand, and what axes of the old one its axes are."""
    old = equation.inputs[position].aval
    contracted = equation.params["contract"][position]
    order = (*contracted, *free_axes(equation, position))
    turned = Var(ShapedArray(tuple([old.shape[a] for a in order]), old.dtype))
    inputs, pair = list(equation.inputs), list(equation.params["contract"])
    inputs[position], pair[position] = turned, tuple(range(len(contracted)))
    params = {**equation.params, "contract": tuple(pair)}
    return Equation(equation.primitive, inputs, params, equation.outputs, equation.source), turned, order
