"""``checkpoint``: keep a function's inputs instead of its intermediates, and compute the intermediates again when the derivative needs them.

A policy may name results that are kept all the same. Forward and backward Programs come from the same staging as ``jit``'s; the residuals that the
policy does not keep are computed by a third Program from the inputs and the kept results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fad.core.array import wrap
from fad.core.avals import aval_of
from fad.core.errors import ArgumentError
from fad.core.primitive import Primitive, linear
from fad.core.program import Program, Var, evaluate, used_equations
from fad.core.pytrees import flatten, unflatten
from fad.core.samples import case, f64
from fad.primitives.structural import match, zeros
from fad.transforms.arguments import argument_paths, as_function, as_operand, leaf_operands
from fad.transforms.calling import call, call_batch, call_jvp, call_p, vjp_programs
from fad.transforms.programs import stage_function
from fad.transforms.staging import stage
from fad.transforms.wrapping import TransformedFunction

__all__ = ["checkpoint", "checkpoint_name", "checkpoint_p", "save_contractions", "save_names", "save_nothing"]

Policy = Callable[[Primitive, dict[str, Any]], bool]


def inlined(program: Program) -> Program:
    """The Program with the calls of other Programs written out."""
    return program.cached(
        "inlined", lambda: stage(lambda *args: _evaluate_inlined(program, args), program.in_avals, program.name)[0]
    )


def _evaluate_inlined(program: Program, args: Sequence[Any]) -> list[Any]:
    env: dict[Var, Any] = {**program.constants, **dict(zip(program.inputs, args, strict=True))}
    for equation in program.equations:
        values = [env[v] if isinstance(v, Var) else v.value for v in equation.inputs]
        if equation.primitive is call_p:
            outs = _evaluate_inlined(equation.params["program"], values)
        else:
            outs = equation.primitive.bind(*values, **equation.params)
            outs = outs if equation.primitive.multiple_results else [outs]
        env.update(zip(equation.outputs, outs, strict=True))
    return [env[v] if isinstance(v, Var) else v.value for v in program.outputs]


def _rematerialized(
    program: Program, on: tuple[bool, ...], policy: Policy | None
) -> tuple[Program, Program, Program, Any, Any]:
    """Forward (inputs -> outputs, kept), again (inputs, kept -> residuals), backward, which outputs depend, which inputs get something."""
    forward, backward, depends, arrives = vjp_programs(inlined(program), on)
    count = len(program.outputs)
    residuals = forward.outputs[count:]
    kept: list[Var] = []
    if policy is not None:
        for equation in used_equations(forward, residuals):
            if policy(equation.primitive, equation.params):
                kept += equation.outputs
    known = set(kept)
    again_equations = [e for e in forward.equations if not known.issuperset(e.outputs)]
    again = Program([*forward.inputs, *kept], again_equations, residuals, forward.constants, f"again_{program.name}")
    again = Program(again.inputs, used_equations(again, residuals), residuals, forward.constants, again.name)
    wanted = [*forward.outputs[:count], *kept]
    first = Program(forward.inputs, used_equations(forward, wanted), wanted, forward.constants, program.name)
    return first, again, backward, depends, arrives


def _checkpoint_vjp_selected(active: tuple[int, ...], primals: Sequence[Any], params: dict[str, Any]) -> Any:
    program, policy = params["program"], params["policy"]
    on = tuple(k in active for k in range(len(primals)))
    first, again, backward, depends, arrives = program.cached(
        ("checkpoint", on, policy), lambda: _rematerialized(program, on, policy)
    )
    results = call(first, *primals)
    count = len(depends)
    outs, kept = results[:count], results[count:]
    # Of the results themselves: a Program does not know the sizes that a loop of unknown length makes.
    avals = [aval_of(o).update() for o in outs]

    def pullback(cotangents: Sequence[Any]) -> list[Any]:
        residuals = checkpoint_p.bind(*primals, *kept, program=again, policy=policy)
        filled = [
            zeros(a) if c is None else match(c, a.shape, a.dtype)
            for c, a, d in zip(cotangents, avals, depends, strict=True)
            if d
        ]
        given = iter(call(backward, *residuals, *filled))
        return [next(given) if a else None for a in arrives]

    return outs, pullback


def _checkpoint_vjp(*primals: Any, **params: Any) -> Any:
    return _checkpoint_vjp_selected(tuple(range(len(primals))), primals, params)


checkpoint_p = Primitive(
    "checkpoint",
    impl=lambda xp, *args, program, policy: evaluate(program, *args),
    shape=lambda *avals, program, policy: [a.update() for a in program.out_avals],
    jvp=lambda primals, tangents, *, program, policy: call_jvp(
        checkpoint_p.bind, primals, tangents, program, policy=policy
    ),
    vjp=_checkpoint_vjp,
    vjp_selected=_checkpoint_vjp_selected,
    batch=lambda size, args, mapped, *, program, policy, axis_name: call_batch(
        checkpoint_p.bind, size, args, mapped, program, axis_name, policy=policy
    ),
    kernel="call",
    samples=[],
    multiple_results=True,
    keeps_missing=True,
    higher_order=True,
    inline=lambda args, params: evaluate(params["program"], *args),
    doc="Runs a Program whose intermediates are not kept for the backward pass.",
)

name_p = Primitive(
    "checkpoint_name",
    impl=lambda xp, x, *, name: x,
    shape=lambda x, *, name: x,
    jvp=linear,
    vjp=lambda x, *, name: (name_p.bind(x, name=name), lambda ct: [ct]),
    batch=lambda size, args, mapped, *, name: (name_p.bind(args[0], name=name), True),
    kernel="identity",
    samples=[case(f64(2, 3), name="here")],
    doc="The identity; gives a value a name that a checkpoint policy can keep.",
)


def checkpoint_name(x: Any, name: str) -> Any:
    """Give a value a name, for the policy :func:`save_names`.

    Parameters
    ----------
    x : array_like
        Any array.
    name : str
        The name.

    Returns
    -------
    Array
        ``x`` itself.

    Examples
    --------
    >>> import fad
    >>> fad.checkpoint_name(fad.Array([1.0]), "hidden")
    Array([1.])
    """
    return wrap(name_p.bind(as_operand(x), name=name))


def save_nothing(primitive: Primitive, params: dict[str, Any]) -> bool:
    """Policy: keep only the inputs.

    Examples
    --------
    >>> import fad
    >>> f = fad.checkpoint(lambda x: x * x, policy=fad.save_nothing)
    >>> fad.grad(f)(3.0)
    Array(6.)
    """
    return False


def save_contractions(primitive: Primitive, params: dict[str, Any]) -> bool:
    """Policy: keep the results of matrix products and convolutions, which are dear to compute again.

    Examples
    --------
    >>> import fad
    >>> f = fad.checkpoint(lambda x: x * x, policy=fad.save_contractions)
    >>> fad.grad(f)(3.0)
    Array(6.)
    """
    return primitive.name in {"dot_general", "convolve", "convolve_input", "convolve_kernel", "triangular_solve"}


def save_names(*names: str) -> Policy:
    """Policy: keep the values that :func:`checkpoint_name` gave one of these names.

    Parameters
    ----------
    *names : str
        The names.

    Examples
    --------
    >>> import fad
    >>> f = fad.checkpoint(lambda x: fad.checkpoint_name(x * x, "square") + x, policy=fad.save_names("square"))
    >>> fad.grad(f)(3.0)
    Array(7.)
    """
    wanted = frozenset(names)

    def save_these_names(primitive: Primitive, params: dict[str, Any]) -> bool:
        return primitive is name_p and params["name"] in wanted

    return save_these_names


def checkpoint(fun: Callable[..., Any] | None = None, policy: Policy | None = None) -> Any:
    """Trade time for memory: ``fun`` keeps its inputs for the backward pass and computes its intermediates again there.

    Parameters
    ----------
    fun : callable
        Function of pytrees of arrays. Without it, ``checkpoint`` gives a decorator.
    policy : callable, optional
        ``policy(primitive, params) -> bool`` says which results to keep: :func:`save_nothing` (the default),
        :func:`save_contractions`, :func:`save_names`, or one's own.

    Returns
    -------
    callable
        The same function, with another memory use under differentiation.

    Raises
    ------
    ConcretizationError
        If the function needs the value of an array, as Python's ``if`` does: the function is staged.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> fad.grad(fad.checkpoint(lambda x: fnp.sin(fnp.sin(x))))(1.0)
    Array(0.36003949)
    """
    if fun is None:
        return lambda f: checkpoint(f, policy)
    given, fun = fun, as_function("checkpoint", fun)
    if policy is not None and not callable(policy):
        raise ArgumentError(
            f"checkpoint: policy must be a function policy(primitive, params) -> bool or None, got {policy!r}"
        )

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        leaves, treedef = flatten((args, kwargs))
        operands = leaf_operands("checkpoint", fun, leaves, argument_paths((args, kwargs), "leaf"))
        program, captured, out_tree = stage_function("checkpoint", fun, treedef, [aval_of(o) for o in operands])
        outs = checkpoint_p.bind(*captured, *operands, program=program, policy=policy)
        return unflatten(out_tree, [wrap(o) for o in outs])

    return TransformedFunction(checkpointed, checkpoint, given, policy)
