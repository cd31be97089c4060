"""While loops that do less: what does not change from turn to turn is computed before the loop, where that cannot fail.

Such a loop may make no turn at all, and then must not raise what its body would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fad.compiler.passes.invariants import Invariants, OuterConstants, cannot_fail, unchanging_carries
from fad.compiler.passes.redundancy import rebuilt, remove_dead, rewired, substituted
from fad.core.program import Atom, Equation, Program, Var, used_equations

__all__ = ["simplify_whiles"]


def simplify_whiles(program: Program, simplified: Callable[[Program], Program]) -> Program:
    """Narrow every while loop; ``simplified`` runs the other passes on a Program."""
    if not any(e.primitive.name == "while" for e in program.equations):
        return program
    env: dict[Var, Atom] = {}
    equations: list[Equation] = []
    constants = OuterConstants(program)
    for equation in program.equations:
        equation = rewired(equation, env)
        is_loop = equation.primitive.name == "while"
        equations += _narrowed(equation, simplified, constants, env) if is_loop else [equation]
    outputs = [substituted(a, env) for a in program.outputs]
    return remove_dead(rebuilt(program, equations, outputs, constants.values))


def _narrowed(
    equation: Equation, simplified: Callable[[Program], Program], constants: OuterConstants, env: dict[Var, Atom]
) -> list[Equation]:
    """The loop with fewer constants, carried values and equations, after what comes before it; ``env`` learns what stands for its results."""
    params = equation.params
    cond, body = simplified(params["cond"]), simplified(params["body"])
    first, second = params["cond_constants"], params["body_constants"]
    state = equation.inputs[first + second :]
    # The history of what does not change is wanted where it is collected.
    still = [] if params["collect"] else unchanging_carries(body, second, state, equation.outputs)
    env.update({equation.outputs[k]: state[k] for k in still})
    moving = [k for k in range(len(state)) if k not in still]
    new_body, body_outer, before = _without_invariants(
        body, equation.inputs[first : first + second], state, still, [body.outputs[k] for k in moving], constants
    )
    new_cond, cond_outer, before_cond = _without_invariants(
        cond, equation.inputs[:first], state, still, cond.outputs, constants
    )
    new_params = {
        **params,
        "cond": new_cond,
        "body": new_body,
        "cond_constants": len(cond_outer),
        "body_constants": len(body_outer),
    }
    inputs = [*cond_outer, *body_outer, *[state[k] for k in moving]]
    outputs = [v for k, v in enumerate(equation.outputs) if k not in still]
    loop = Equation(equation.primitive, inputs, new_params, outputs, equation.source)
    return [*before, *before_cond, loop]


def _without_invariants(
    program: Program,
    fixed: Sequence[Atom],
    state: Sequence[Atom],
    still: Sequence[int],
    outputs: Sequence[Atom],
    constants: OuterConstants,
) -> tuple[Program, list[Atom], list[Equation]]:
    """A loop's condition or body that takes what does not change as constants, their values, and the equations that make them."""
    count = len(fixed)
    invariants = Invariants(constants.of(program), cannot_fail)
    outer = invariants.outer
    outer.update(zip(program.inputs[:count], fixed, strict=True))
    outer.update({program.inputs[count + k]: state[k] for k in still})
    rest = invariants.hoist(program.equations, outputs)
    used = used_equations(Program([], rest, outputs, {}), outputs)
    needed = {a for e in used for a in e.inputs} | set(outputs)
    kept = {v: a for v, a in outer.items() if v in needed and v not in program.constants}
    carried = [v for k, v in enumerate(program.inputs[count:]) if k not in still]
    inner_constants = {v: c for v, c in program.constants.items() if v in needed}
    narrow = Program([*kept, *carried], used, outputs, inner_constants, program.name)
    return narrow, list(kept.values()), invariants.equations
