"""``while_loop`` and ``fori_loop``: loops whose length is known only at run time, differentiable in both modes.

``while_p`` can also collect the carry before each turn, stacked along an axis of size :data:`~fad.core.avals.DYNAMIC`. Reverse mode collects it and then
scans the stack backwards, differentiating the body at each collected carry. Only the carries are kept, not the body's intermediates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import wrap
from fad.core.avals import DYNAMIC, ShapedArray, aval_of, dtype_of, shape_of
from fad.core.errors import DTypeError, TreeError
from fad.core.loops import run_while
from fad.core.primitive import Primitive
from fad.core.program import Program, evaluate
from fad.core.pytrees import structure_text, unflatten
from fad.core.trace import Tracer, concrete_value
from fad.primitives.arithmetic import select
from fad.primitives.structural import broadcast_to, convert, iota, match, move_axis, reduce_sum, reshape, zeros
from fad.transforms.arguments import as_function, as_operand, function_name
from fad.transforms.calling import batched_program, jvp_program, vjp_programs
from fad.transforms.scanning import (
    carry_fixpoint,
    carry_operands,
    check_carry,
    is_recording,
    promoted_init,
    reordered,
    scan,
    scan_p,
    staged_body,
)
from fad.transforms.staging import stage

__all__ = ["fori_loop", "while_loop", "while_p"]


def _split(values: Sequence[Any], params: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Constants of the condition, constants of the body, carry."""
    first, second = params["cond_constants"], params["body_constants"]
    return values[:first], values[first : first + second], values[first + second :]


def _while_impl(xp: Any, *args: Any, **params: Any) -> list[Any]:
    return run_while(evaluate, xp, args, **params)


def _while_shape(*avals: ShapedArray, body: Program, collect: bool, **params: Any) -> list[ShapedArray]:
    outs = [a.update() for a in body.out_avals]
    return outs + [ShapedArray((DYNAMIC, *a.shape), a.dtype) for a in outs] if collect else outs  # type: ignore[arg-type]


def _while_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    cond, body, collect = params["cond"], params["body"], params["collect"]
    cond_fixed, body_fixed, state = _split(primals, params)
    _, t_fixed, t_state = _split(tangents, params)
    on_fixed = tuple(t is not None for t in t_fixed)
    flags = carry_fixpoint([t is not None for t in t_state], lambda f: jvp_program(body, (*on_fixed, *f))[1])
    carry, moving = len(state), sum(flags)
    pushed, _ = jvp_program(body, (*on_fixed, *flags), flags)
    fixed, active_fixed = len(body_fixed), sum(on_fixed)
    # (fixed, state, t_fixed, t_state) -> (fixed, t_fixed, state, t_state)
    order = [
        *range(fixed),
        *range(fixed + carry, fixed + carry + active_fixed),
        *range(fixed, fixed + carry),
        *range(fixed + carry + active_fixed, fixed + carry + active_fixed + moving),
    ]
    new_body = body.cached(("while_jvp", on_fixed, flags), lambda: reordered(pushed, order, range(carry + moving)))
    moved = [a.update() for a, f in zip(body.out_avals, flags, strict=True) if f]
    new_cond = cond.cached(("ignoring", tuple(moved)), lambda: _ignoring(cond, moved))
    starts = [
        zeros(aval_of(s).update()) if t is None else t for s, t, f in zip(state, t_state, flags, strict=True) if f
    ]
    results = while_p.bind(
        *cond_fixed, *body_fixed, *[t for t in t_fixed if t is not None], *state, *starts,
        cond=new_cond, body=new_body, cond_constants=len(cond_fixed), body_constants=fixed + active_fixed, collect=collect,
    )  # fmt: skip
    outs, out_tangents = _paired(results[: carry + moving], carry, flags)
    if collect:
        stacks, stack_tangents = _paired(results[carry + moving :], carry, flags)
        outs, out_tangents = [*outs, *stacks], [*out_tangents, *stack_tangents]
    if is_recording():
        outs = while_p.bind(*primals, **params)
    return outs, out_tangents


def _paired(values: Sequence[Any], carry: int, flags: Sequence[bool]) -> tuple[list[Any], list[Any]]:
    given = iter(values[carry:])
    return list(values[:carry]), [next(given) if f else None for f in flags]


def _ignoring(cond: Program, extra: Sequence[ShapedArray]) -> Program:
    """The condition of a loop whose carry has further values."""
    count = len(cond.inputs)
    return stage(lambda *args: evaluate(cond, *args[:count]), [*cond.in_avals, *extra], cond.name)[0]


def _while_vjp_selected(active: tuple[int, ...], primals: Sequence[Any], params: dict[str, Any]) -> Any:
    body = params["body"]
    given = [k in active for k in range(len(primals))]
    on_cond, on_fixed, on_state = _split(given, params)
    flags = carry_fixpoint(on_state, lambda f: vjp_programs(body, (*on_fixed, *f))[2])
    cond_fixed, body_fixed, state = _split(primals, params)
    carry = len(state)
    results = while_p.bind(*primals, **{**params, "collect": True})
    outs, stacks = results[:carry], results[carry:]
    on = (*on_fixed, *flags)
    backward = body.cached(
        ("while_backward", id(params["cond"]), on), lambda: _backward_body(params["cond"], body, params, on)
    )

    def pullback(cotangents: Sequence[Any]) -> list[Any]:
        received, stack_cts = cotangents[:carry], cotangents[carry:]
        start = [
            zeros(aval_of(s).update()) if c is None else match(c, shape_of(s), dtype_of(s))
            for s, c, f in zip(state, received, flags, strict=True)
            if f
        ]
        start += [zeros(aval_of(c).update()) for c, f in zip(body_fixed, on_fixed, strict=True) if f]
        added = [k for k, c in enumerate(stack_cts) if c is not None and flags[k]]
        program = backward if not added else _with_stack_cotangents(backward, params, on, tuple(added))
        found = iter(
            scan_p.bind(
                *cond_fixed, *body_fixed, *start, *stacks, *[stack_cts[k] for k in added],
                program=program, length=DYNAMIC, reverse=True,
                constants=len(cond_fixed) + len(body_fixed), carry=len(start),
            )
        )  # fmt: skip
        ct_state = [next(found) if f else None for f in flags]
        ct_fixed = [next(found) if f else None for f in on_fixed]
        every = [*[None] * len(on_cond), *ct_fixed, *ct_state]
        return [every[k] for k in active]

    return (results if params["collect"] else outs), pullback


def _backward_body(cond: Program, body: Program, params: dict[str, Any], on: tuple[bool, ...]) -> Program:
    """One turn backwards: (constants; cotangents of carry and body constants; the carry before the turn).

    Under ``vmap`` a finished example's carry is collected unchanged until the last example is done; its cotangents must pass
    unchanged too. That is what the condition decides, which holds at every carry collected without ``vmap``.
    """
    first, second = params["cond_constants"], params["body_constants"]
    forward, backward, depends, arrives = vjp_programs(body, on)
    carry = len(body.outputs)
    flags, on_fixed = on[second:], on[:second]
    moving = sum(flags)
    out_avals = [a.update() for a in body.out_avals]
    fixed_avals = [a.update() for a in body.in_avals[:second]]

    def step(*args: Any) -> list[Any]:
        cond_fixed, body_fixed = args[:first], args[first : first + second]
        rest = args[first + second :]
        ct_state, totals = rest[:moving], rest[moving : moving + sum(on_fixed)]
        state = rest[moving + sum(on_fixed) :]
        running = evaluate(cond, *cond_fixed, *state)[0]
        residuals = evaluate(forward, *body_fixed, *state)[carry:]
        by_output = dict(zip([k for k, f in enumerate(flags) if f], ct_state, strict=True))
        wanted = [by_output.get(k) for k in range(carry) if depends[k]]
        filled = [
            zeros(out_avals[k]) if c is None else c
            for c, k in zip(wanted, [k for k in range(carry) if depends[k]], strict=True)
        ]
        found = iter(evaluate(backward, *residuals, *filled))
        cts = [next(found) if a else None for a in arrives]
        ct_fixed, new_state = cts[: sum(on_fixed)], cts[sum(on_fixed) :]
        kinds = [out_avals[k] for k, f in enumerate(flags) if f]
        stepped = [zeros(a) if c is None else c for c, a in zip(new_state, kinds, strict=True)]
        passed = [select.bind(running, new, old) for new, old in zip(stepped, ct_state, strict=True)]
        grown = [
            t if c is None else t + select.bind(running, c, zeros(aval_of(c)))
            for c, t in zip(ct_fixed, totals, strict=True)
        ]
        return [*passed, *grown]

    avals = [*cond.in_avals[:first], *body.in_avals[:second], *[out_avals[k] for k, f in enumerate(flags) if f]]
    avals += [fixed_avals[k] for k, f in enumerate(on_fixed) if f]
    return stage(step, [*avals, *out_avals], f"pullback_{body.name}")[0]


def _with_stack_cotangents(
    backward: Program, params: dict[str, Any], on: tuple[bool, ...], added: tuple[int, ...]
) -> Program:
    """The backward turn that also adds cotangents of the collected carries."""
    body = params["body"]
    flags = on[params["body_constants"] :]
    position = {k: i for i, k in enumerate([k for k, f in enumerate(flags) if f])}

    def make() -> Program:
        count = len(backward.inputs)

        def step(*args: Any) -> list[Any]:
            outs = evaluate(backward, *args[:count])
            for k, ct in zip(added, args[count:], strict=True):
                outs[position[k]] = outs[position[k]] + ct
            return outs

        return stage(step, [*backward.in_avals, *[body.out_avals[k].update() for k in added]], backward.name)[0]

    return backward.cached(("stack_cotangents", added), make)


def _while_vjp(*primals: Any, **params: Any) -> Any:
    return _while_vjp_selected(tuple(range(len(primals))), primals, params)


def _while_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, axis_name: Any, **params: Any) -> Any:
    cond, body = params["cond"], params["body"]
    cond_fixed, body_fixed, state = _split(args, params)
    m_cond, m_fixed, m_state = _split(mapped, params)
    flags = carry_fixpoint(m_state, lambda f: batched_program(body, size, (*m_fixed, *f), axis_name)[1])
    masked = batched_program(cond, size, (*m_cond, *flags), axis_name)[1][0]
    if masked:
        flags = (True,) * len(state)
    new_body = batched_program(body, size, (*m_fixed, *flags), axis_name, flags)[0]
    new_cond = batched_program(cond, size, (*m_cond, *flags), axis_name)[0]
    fixed = body_fixed
    if masked:
        key = ("masked", size, id(cond), tuple(m_cond), tuple(m_fixed), axis_name)
        new_body = body.cached(key, lambda: _masked_body(new_cond, new_body, len(cond_fixed), len(body_fixed)))
        new_cond = cond.cached(("any", size, tuple(m_cond), flags, axis_name), lambda: _any_of(new_cond))
        fixed = [*cond_fixed, *body_fixed]
    starts = [
        broadcast_to(s, (size, *shape_of(s))) if f and not m else s
        for s, m, f in zip(state, m_state, flags, strict=True)
    ]
    results = while_p.bind(
        *cond_fixed, *fixed, *starts,
        **{**params, "cond": new_cond, "body": new_body, "body_constants": len(fixed)},
    )  # fmt: skip
    stacks = [move_axis(s, 1, 0) if f else s for s, f in zip(results[len(state) :], flags, strict=False)]
    return [*results[: len(state)], *stacks], [*flags, *flags[: len(stacks)]]


def _masked_body(cond: Program, body: Program, cond_fixed: int, body_fixed: int) -> Program:
    """The batched body that leaves finished examples as they are."""

    def step(*args: Any) -> list[Any]:
        state = args[cond_fixed + body_fixed :]
        running = evaluate(cond, *args[:cond_fixed], *state)[0]
        stepped = evaluate(body, *args[cond_fixed:])
        kept = []
        for new, old in zip(stepped, state, strict=True):
            mask = reshape(running, shape_of(running) + (1,) * (len(shape_of(old)) - 1))
            kept.append(select.bind(mask, new, old))
        return kept

    return stage(step, [*cond.in_avals[:cond_fixed], *body.in_avals], body.name)[0]


def _any_of(cond: Program) -> Program:
    """The condition that holds while any example runs."""

    def any_running(*args: Any) -> list[Any]:
        flags = evaluate(cond, *args)[0]
        return [reduce_sum(flags, tuple(range(len(shape_of(flags)))))]

    return stage(any_running, cond.in_avals, cond.name)[0]


while_p = Primitive(
    "while",
    impl=_while_impl,
    shape=_while_shape,
    jvp=_while_jvp,
    vjp=_while_vjp,
    vjp_selected=_while_vjp_selected,
    batch=_while_batch,
    kernel="while",
    samples=[],
    multiple_results=True,
    keeps_missing=True,
    higher_order=True,
    doc="Runs a body Program while a condition Program holds; with collect, also stacks the carry before each turn.",
)


# --- the user's functions -----------------------------------------------------------------------------------------------------------------


def while_loop(cond_fun: Callable[..., Any], body_fun: Callable[..., Any], init: Any) -> Any:
    """Repeat ``carry = body_fun(carry)`` while ``cond_fun(carry)`` holds.

    Both derivative modes work; reverse mode keeps the carry of every turn.

    Parameters
    ----------
    cond_fun : callable
        Gives a boolean scalar.
    body_fun : callable
        Gives a carry of the same structure, shapes and dtypes.
    init : pytree
        The first carry.

    Returns
    -------
    pytree
        The first carry for which the condition does not hold.

    Raises
    ------
    ShapeError, TreeError
        If the carry changes its type.
    DTypeError
        If the condition is not a boolean scalar.

    Examples
    --------
    >>> import fad
    >>> halve = lambda x: fad.while_loop(lambda v: v > 1.0, lambda v: v * 0.5, x)
    >>> halve(10.0), fad.grad(halve)(10.0)
    (Array(0.625), Array(0.0625))
    """
    cond_fun = as_function("while_loop", cond_fun)
    body_fun = as_function("while_loop", body_fun)
    operands, tree, weak = carry_operands("while_loop", body_fun, init)
    for attempt in (0, 1):
        avals = [aval_of(o).update() for o in operands]
        state = unflatten(tree, range(len(operands)))
        body, body_captured, out_tree = staged_body("while_loop", body_fun, (state,), avals)
        promoted = None if attempt or out_tree != tree else promoted_init(operands, weak, body.out_avals)
        if promoted is None:
            break
        operands = promoted
    check_carry("while_loop", body_fun, init, tree, out_tree, avals, body.out_avals)
    cond, cond_captured, cond_tree = staged_body("while_loop", cond_fun, (state,), avals)
    if cond_tree.num_leaves != 1 or cond_tree.num_nodes != 1:
        raise TreeError(
            f"while_loop({function_name(cond_fun)}): the condition must return one boolean, got structure {structure_text(cond_tree)}"
        )
    flag = cond.out_avals[0]
    if flag.shape != () or flag.dtype.kind != "b":
        raise DTypeError(
            f"while_loop({function_name(cond_fun)}): the condition must return a boolean scalar, got {flag}"
        )
    outs = while_p.bind(
        *cond_captured, *body_captured, *operands,
        cond=cond, body=body, cond_constants=len(cond_captured), body_constants=len(body_captured), collect=False,
    )  # fmt: skip
    return unflatten(tree, [wrap(o) for o in outs])


def fori_loop(
    lower: Any, upper: Any, body_fun: Callable[..., Any], init: Any, *, unroll: int | bool | None = None
) -> Any:
    """Repeat ``carry = body_fun(i, carry)`` for ``i`` from ``lower`` up to but not including ``upper``.

    Both derivative modes work, also with bounds that are known only at run time.

    Parameters
    ----------
    lower, upper : int or array_like of int, shape ()
        The bounds.
    body_fun : callable
        Gives a carry of the same structure, shapes and dtypes.
    init : pytree
        The first carry.
    unroll : int or bool, optional
        Accepted as in JAX; the compiler decides by itself how to write the loop.

    Returns
    -------
    pytree
        The last carry.

    Raises
    ------
    ShapeError, TreeError
        If the carry changes its type.
    DTypeError
        If a bound is not an integer scalar.

    Examples
    --------
    >>> import fad
    >>> fad.fori_loop(0, 4, lambda i, total: total + i, 0)
    Array(6)
    """
    body_fun = as_function("fori_loop", body_fun)
    bounds = [_known_int("lower", lower), _known_int("upper", upper)]
    if all(isinstance(b, int) for b in bounds):
        first, last = bounds
        count = max(last - first, 0)
        return _counted_loop(first, count, body_fun, init)
    first, last = [convert(b if isinstance(b, Tracer) else np.int64(b), np.dtype(np.int64)) for b in bounds]

    def body(state: Any) -> Any:
        i, end, carry = state
        return i + 1, end, body_fun(i, carry)

    return while_loop(lambda state: state[0] < state[1], body, (wrap(first), wrap(last), init))[2]


def _known_int(which: str, bound: Any) -> Any:
    """A bound as a Python int where its value is known, else the tracer."""
    operand = as_operand(bound)
    if shape_of(operand) != () or dtype_of(operand).kind not in "iu":
        raise DTypeError(f"fori_loop: {which} must be an integer scalar, got {aval_of(operand)}")
    value = concrete_value(operand)
    return operand if value is None else int(value)


def _counted_loop(first: int, count: int, body_fun: Callable[..., Any], init: Any) -> Any:
    def body(carry: Any, i: Any) -> Any:
        return body_fun(i, carry), None

    body.__name__ = function_name(body_fun)
    numbers = iota(count)
    return scan(body, init, wrap(numbers + first if first else numbers), count)[0]
