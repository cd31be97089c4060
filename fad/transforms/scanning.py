"""``scan``: a loop with carried state and stacked inputs and outputs; one operation whose body is a Program.

The body's inputs are ``(constants, carry, x)`` and its outputs ``(carry, y)``. A derivative of a scan is a scan: forward mode carries tangents
beside the carry; reverse mode first runs a scan that also stacks the residuals, then one over them in the other direction.

The length is static, or :data:`DYNAMIC` for the scans that reverse a ``while_loop``; then it is the stacked inputs' leading size at run time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import wrap
from fad.core.avals import DYNAMIC, ShapedArray, aval_of, dtype_of, shape_of
from fad.core.errors import ArgumentError, ShapeError, TreeError
from fad.core.loops import run_scan
from fad.core.primitive import Primitive
from fad.core.program import Program, Var, evaluate
from fad.core.pytrees import flatten, flatten_with_paths, path_text, structure_text, unflatten
from fad.core.trace import CURRENT
from fad.primitives.structural import broadcast_to, convert, match, move_axis, zeros
from fad.transforms.arguments import as_function, as_operand, function_name
from fad.transforms.calling import batched_program, jvp_program, vjp_programs
from fad.transforms.checkpointing import checkpoint_p
from fad.transforms.programs import stage_function
from fad.transforms.staging import RecordTrace, stage

__all__ = ["scan", "scan_p"]


def is_recording() -> bool:
    """Whether a ``linearize`` is under way, which must keep primal results apart from tangents."""
    trace: Any = CURRENT.get()
    while trace is not None:
        if isinstance(trace, RecordTrace):
            return True
        trace = trace.parent
    return False


def reordered(program: Program, inputs: Sequence[int], outputs: Sequence[int]) -> Program:
    """The Program with its inputs and outputs in another order."""
    return Program(
        [program.inputs[i] for i in inputs],
        program.equations,
        [program.outputs[i] for i in outputs],
        program.constants,
        program.name,
    )


def _split(values: Sequence[Any], constants: int, carry: int) -> tuple[Any, Any, Any]:
    return values[:constants], values[constants : constants + carry], values[constants + carry :]


# --- rules -------------------------------------------------------------------------------------------------------------------------


def _scan_impl(xp: Any, *args: Any, **params: Any) -> list[Any]:
    return run_scan(evaluate, xp, args, **params)


def _scan_shape(
    *avals: ShapedArray, program: Program, length: Any, reverse: bool, constants: int, carry: int
) -> list[ShapedArray]:
    outs = [a.update() for a in program.out_avals]
    return [*outs[:carry], *[ShapedArray((length, *a.shape), a.dtype) for a in outs[carry:]]]


def carry_fixpoint(start: Sequence[bool], step: Callable[[tuple[bool, ...]], Sequence[bool]]) -> tuple[bool, ...]:
    """The least set of carried values that holds ``start`` and is closed under the body."""
    flags = tuple(start)
    while True:
        grown = tuple(a or b for a, b in zip(flags, step(flags), strict=True))
        if grown == flags:
            return flags
        flags = grown


def _scan_jvp(primals: Sequence[Any], tangents: Sequence[Any], **params: Any) -> Any:
    program, constants, carry = params["program"], params["constants"], params["carry"]
    t_fixed, t_state, t_xs = _split(tangents, constants, carry)
    on_fixed, on_xs = [t is not None for t in t_fixed], [t is not None for t in t_xs]
    flags = carry_fixpoint(
        [t is not None for t in t_state], lambda f: jvp_program(program, (*on_fixed, *f, *on_xs))[1][:carry]
    )
    active = (*on_fixed, *flags, *on_xs)
    forced = (*flags, *[False] * (len(program.outputs) - carry))
    transformed, has = jvp_program(program, active, forced)
    count, outs = len(program.inputs), len(program.outputs)
    # Tangents are interleaved group by group, so that the derivative is a scan again.
    t_positions = iter(range(count, count + sum(active)))
    t_index = [next(t_positions) if a else None for a in active]
    groups = (range(constants), range(constants, constants + carry), range(constants + carry, count))
    in_order = [i for g in groups for i in (*g, *[t_index[j] for j in g if t_index[j] is not None])]
    t_outs = iter(range(outs, outs + sum(has)))
    t_out_index = [next(t_outs) if h else None for h in has]
    out_groups = (range(carry), range(carry, outs))
    out_order = [i for g in out_groups for i in (*g, *[t_out_index[j] for j in g if t_out_index[j] is not None])]
    fixed, state, xs = _split(primals, constants, carry)
    instantiated = [zeros(aval_of(s)) if t is None and f else t for s, t, f in zip(state, t_state, flags, strict=True)]
    results = scan_p.bind(
        *fixed, *[t for t in t_fixed if t is not None], *state, *[t for t in instantiated if t is not None],
        *xs, *[t for t in t_xs if t is not None],
        program=program.cached(("scan_jvp", active, forced), lambda: reordered(transformed, in_order, out_order)),
        length=params["length"], reverse=params["reverse"],
        constants=constants + sum(on_fixed), carry=carry + sum(flags),
    )  # fmt: skip
    by_index = dict(zip(out_order, results, strict=True))
    values = scan_p.bind(*primals, **params) if is_recording() else [by_index[i] for i in range(outs)]
    return values, [None if t is None else by_index[t] for t in t_out_index]


def _has_dynamic_residuals(program: Program, on: tuple[bool, ...]) -> bool:
    """Whether reverse mode would keep something of unknown size, which cannot be stacked."""
    return any(DYNAMIC in a.shape for a in vjp_programs(program, on)[0].out_avals[len(program.outputs) :])


def with_static_residuals(program: Program, on: tuple[bool, ...]) -> Program:
    """The Program, or if it holds a loop of unknown length one that keeps its inputs and computes the rest again."""
    if not _has_dynamic_residuals(program, on):
        return program

    def again(*args: Any) -> list[Any]:
        return checkpoint_p.bind(*args, program=program, policy=None)

    return program.cached("with_static_residuals", lambda: stage(again, program.in_avals, program.name)[0])


def _scan_vjp_selected(active: tuple[int, ...], primals: Sequence[Any], params: dict[str, Any]) -> Any:
    program, constants, carry = params["program"], params["constants"], params["carry"]
    given = [k in active for k in range(len(primals))]
    on_fixed, on_state, on_xs = _split(given, constants, carry)
    flags = carry_fixpoint(on_state, lambda f: vjp_programs(program, (*on_fixed, *f, *on_xs))[2][:carry])
    on = (*on_fixed, *flags, *on_xs)
    program = with_static_residuals(program, on)
    params = {**params, "program": program}
    forward, _, depends, _ = vjp_programs(program, on)
    fixed, state, xs = _split(primals, constants, carry)
    outs_count = len(program.outputs)
    # A residual that is an input of the loop need not be stacked.
    sources = [_residual_source(forward, atom, constants, carry) for atom in forward.outputs[outs_count:]]
    stacked = [outs_count + k for k, s in enumerate(sources) if s is None]
    collecting = program.cached(
        ("scan_forward", on), lambda: reordered(forward, range(len(forward.inputs)), [*range(outs_count), *stacked])
    )
    results = scan_p.bind(*primals, **{**params, "program": collecting})
    outs, residuals = results[:outs_count], iter(results[outs_count:])
    kept = [next(residuals) if s is None else primals[s] for s in sources]

    def pullback(cotangents: Sequence[Any]) -> list[Any]:
        received = [c if d else None for c, d in zip(cotangents, depends, strict=True)]
        grads = _backward_scan(params, on, kept, sources, received, (fixed, state, xs))
        return [grads[k] for k in active]

    return outs, pullback


def _residual_source(forward: Program, atom: Any, constants: int, carry: int) -> int | None:
    """Number of the loop input that a residual is, where it is a constant or a stacked input."""
    for k, var in enumerate(forward.inputs):
        if var is atom and (k < constants or k >= constants + carry):
            return k
    return None


def _backward_scan(
    params: dict[str, Any],
    on: tuple[bool, ...],
    kept: Sequence[Any],
    sources: Sequence[int | None],
    cotangents: Sequence[Any],
    groups: tuple[Sequence[Any], Sequence[Any], Sequence[Any]],
) -> dict[int, Any]:
    """Run the loop backwards; gives the cotangent of each active input by its number."""
    fixed, state, xs = groups
    program, constants, carry = params["program"], params["constants"], params["carry"]
    inputs = len(on)
    ct_ys = cotangents[carry:]
    y_given = tuple(c is not None for c in ct_ys)
    live_carry = [k for k in range(carry) if on[constants + k]]
    live_fixed = [k for k in range(constants) if on[k]]
    live_xs = [k for k in range(constants + carry, inputs) if on[k]]
    unstacked = tuple(s is not None and s < constants for s in sources)
    body = program.cached(
        ("scan_backward", on, y_given, unstacked),
        lambda: _backward_body(program, constants, carry, on, y_given, unstacked),
    )
    start = [
        zeros(aval_of(state[k]).update()) if cotangents[k] is None else match(cotangents[k], *_type(state[k]))
        for k in live_carry
    ]
    start += [zeros(aval_of(fixed[k]).update()) for k in live_fixed]
    # A loop of unknown length gets its length from what it scans over, even if its body does not read it.
    measure = list(xs[:1]) if params["length"] is DYNAMIC else []
    if measure:
        body = body.cached("measured", lambda: _with_unread_input(body, aval_of_element(xs[0])))
    results = scan_p.bind(
        *[r for r, u in zip(kept, unstacked, strict=True) if u], *start,
        *[r for r, u in zip(kept, unstacked, strict=True) if not u], *[c for c in ct_ys if c is not None], *measure,
        program=body, length=params["length"], reverse=not params["reverse"],
        constants=sum(unstacked), carry=len(start),
    )  # fmt: skip
    numbers = [*[constants + k for k in live_carry], *live_fixed, *live_xs]
    return {**dict.fromkeys(range(inputs)), **dict(zip(numbers, results, strict=True))}


def aval_of_element(x: Any) -> ShapedArray:
    """The type of one element along the leading axis."""
    return ShapedArray(shape_of(x)[1:], dtype_of(x))


def _with_unread_input(program: Program, aval: ShapedArray) -> Program:
    """The Program with one more input, which it does not read."""
    return Program([*program.inputs, Var(aval)], program.equations, program.outputs, program.constants, program.name)


def _type(value: Any) -> tuple[tuple[int, ...], np.dtype]:
    return shape_of(value), dtype_of(value)


def _backward_body(
    program: Program,
    constants: int,
    carry: int,
    on: tuple[bool, ...],
    y_given: tuple[bool, ...],
    unstacked: tuple[bool, ...],
) -> Program:
    """One step backwards: (loop-constant residuals; cotangents of carry and constants; residuals, cotangents of y)."""
    forward, backward, depends, arrives = vjp_programs(program, on)
    outs = len(program.outputs)
    residual_avals = [a.update() for a in forward.out_avals[outs:]]
    live_carry = [k for k in range(carry) if on[constants + k]]
    live_fixed = [k for k in range(constants) if on[k]]
    active = [k for k, a in enumerate(on) if a]
    out_avals = [a.update() for a in program.out_avals]

    def step(*args: Any) -> list[Any]:
        values = iter(args)
        constant_residuals = [next(values) for u in unstacked if u]
        ct_state = {k: next(values) for k in live_carry}
        totals = {k: next(values) for k in live_fixed}
        stacked_residuals = [next(values) for u in unstacked if not u]
        ct_y = {carry + k: next(values) for k, g in enumerate(y_given) if g}
        pools = iter(constant_residuals), iter(stacked_residuals)
        residuals = [next(pools[0]) if u else next(pools[1]) for u in unstacked]
        received = {**ct_state, **ct_y}
        wanted = [received.get(j) for j in range(outs) if depends[j]]
        filled = [
            zeros(out_avals[j]) if c is None else c
            for c, j in zip(wanted, [j for j in range(outs) if depends[j]], strict=True)
        ]
        found = iter(evaluate(backward, *residuals, *filled))
        cts = {k: next(found) if a else None for k, a in zip(active, arrives, strict=True)}
        in_avals = program.in_avals
        new_state = [_or_zeros(cts[constants + k], in_avals[constants + k]) for k in live_carry]
        new_totals = [totals[k] if cts[k] is None else totals[k] + cts[k] for k in live_fixed]
        x_cts = [_or_zeros(cts[k], in_avals[k]) for k in active if k >= constants + carry]
        return [*new_state, *new_totals, *x_cts]

    avals = [a for a, u in zip(residual_avals, unstacked, strict=True) if u]
    avals += [out_avals[k] for k in live_carry] + [program.in_avals[k].update() for k in live_fixed]
    avals += [a for a, u in zip(residual_avals, unstacked, strict=True) if not u]
    avals += [out_avals[carry + k] for k, g in enumerate(y_given) if g]
    return stage(step, avals, f"pullback_{program.name}")[0]


def _or_zeros(value: Any, aval: ShapedArray) -> Any:
    return zeros(aval.update()) if value is None else value


def _scan_vjp(*primals: Any, **params: Any) -> Any:
    return _scan_vjp_selected(tuple(range(len(primals))), primals, params)


def _scan_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, axis_name: Any, **params: Any) -> Any:
    program, constants, carry = params["program"], params["constants"], params["carry"]
    m_fixed, m_state, m_xs = _split(mapped, constants, carry)
    flags = carry_fixpoint(
        m_state, lambda f: batched_program(program, size, (*m_fixed, *f, *m_xs), axis_name)[1][:carry]
    )
    forced = (*flags, *[False] * (len(program.outputs) - carry))
    transformed, out_mapped = batched_program(program, size, (*m_fixed, *flags, *m_xs), axis_name, forced)
    fixed, state, xs = _split(args, constants, carry)
    state = [
        broadcast_to(s, (size, *shape_of(s))) if f and not m else s
        for s, m, f in zip(state, m_state, flags, strict=True)
    ]
    xs = [move_axis(x, 0, 1) if m else x for x, m in zip(xs, m_xs, strict=True)]
    results = scan_p.bind(*fixed, *state, *xs, **{**params, "program": transformed})
    outs = [
        *results[:carry],
        *[move_axis(y, 1, 0) if m else y for y, m in zip(results[carry:], out_mapped[carry:], strict=True)],
    ]
    return outs, list(out_mapped)


scan_p = Primitive(
    "scan",
    impl=_scan_impl,
    shape=_scan_shape,
    jvp=_scan_jvp,
    vjp=_scan_vjp,
    vjp_selected=_scan_vjp_selected,
    batch=_scan_batch,
    kernel="scan",
    samples=[],
    multiple_results=True,
    keeps_missing=True,
    higher_order=True,
    doc="A loop of known length over a Program.",
)


# --- the user's function -------------------------------------------------------------------------------------------------------------


def staged_body(
    transform: str, fun: Callable[..., Any], trees: Sequence[Any], avals: Sequence[ShapedArray]
) -> tuple[Program, list[Any], Any]:
    """Stage a loop body or branch of the given argument trees."""
    treedef = flatten((tuple(trees), {}))[1]
    return stage_function(transform, fun, treedef, avals)


def carry_operands(transform: str, fun: Any, init: Any) -> tuple[list[Any], Any, list[bool]]:
    """Operands of a carry, its structure, and which are Python scalars that may still change their dtype."""
    leaves, treedef = flatten(init)
    operands = [as_operand(leaf) for leaf in leaves]
    weak = [aval_of(o).weak for o in operands]
    return [convert(o, dtype_of(o)) if w else o for o, w in zip(operands, weak, strict=True)], treedef, weak


def check_carry(
    transform: str, fun: Any, init: Any, tree: Any, out_tree: Any, avals: Sequence[Any], outs: Sequence[Any]
) -> None:
    """Raise unless the carry that comes out has the type of the one that went in."""
    name = function_name(fun)
    if out_tree != tree:
        raise TreeError(
            f"{transform}({name}): the carry goes in with structure {structure_text(tree)} and comes out with {structure_text(out_tree)}; they must be equal"
        )
    for k, (aval, out) in enumerate(zip(avals, outs, strict=True)):
        if (aval.shape, aval.dtype) != (out.shape, out.dtype):
            path = path_text(flatten_with_paths(init)[0][k])
            raise ShapeError(
                f"{transform}({name}): the carry{path} goes in as {aval} and comes out as {out}; a loop's state must keep its type. "
                "Convert the initial value, or the result with .astype."
            )


def promoted_init(operands: list[Any], weak: Sequence[bool], outs: Sequence[ShapedArray]) -> list[Any] | None:
    """The initial carry with Python scalars in the dtypes that the body gives them; ``None`` if nothing changes."""
    changed = [
        convert(o, a.dtype) if w and a.dtype != dtype_of(o) and a.shape == shape_of(o) else o
        for o, w, a in zip(operands, weak, outs, strict=True)
    ]
    return changed if any(c is not o for c, o in zip(changed, operands, strict=True)) else None


def _scan_length(fun: Any, xs: Sequence[Any], length: Any) -> int:
    name = function_name(fun)
    if not all(shape_of(x) for x in xs):
        raise ShapeError(f"scan({name}): every leaf of xs needs a leading axis to scan over, got a 0-d array")
    sizes = {shape_of(x)[0] for x in xs}
    if length is not None:
        if isinstance(length, float | np.floating) or int(length) < 0:
            raise ArgumentError(f"scan({name}): length must be an int that is not negative, got {length!r}")
        sizes.add(int(length))
    if len(sizes) > 1:
        raise ShapeError(f"scan({name}): leading sizes of xs and length differ: {', '.join(map(str, sorted(sizes)))}")
    if not sizes:
        raise ArgumentError(f"scan({name}): without xs the length is unknown; pass length=n")
    return sizes.pop()


def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
) -> tuple[Any, Any]:
    """Loop over the leading axis of ``xs`` with carried state.

    Parameters
    ----------
    f : callable
        ``f(carry, x) -> (carry, y)``; the carry keeps its structure, shapes and dtypes.
    init : pytree
        The first carry.
    xs : pytree, optional
        Arrays whose leading axis is looped over.
    length : int, optional
        Number of turns; needed where ``xs`` is ``None``.
    reverse : bool
        Whether to go from the last element to the first; ``ys`` keep the order of ``xs``.
    unroll : int or bool
        Accepted as in JAX; the compiler decides by itself how to write the loop.

    Returns
    -------
    carry : pytree
        The last carry.
    ys : pytree
        Every ``y``, stacked along a new leading axis.

    Raises
    ------
    ShapeError, TreeError
        If the carry changes its type, or leading sizes differ.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> total, sums = fad.scan(lambda c, x: (c + x, c + x), 0.0, fnp.array([1.0, 2.0, 3.0]))
    >>> total, sums
    (Array(6.), Array([1., 3., 6.]))
    """
    f = as_function("scan", f)
    operands, tree, weak = carry_operands("scan", f, init)
    x_leaves, x_tree = flatten(xs)
    x_operands = [as_operand(x) for x in x_leaves]
    count = _scan_length(f, x_operands, length)
    x_avals = [ShapedArray(shape_of(x)[1:], dtype_of(x)) for x in x_operands]
    for attempt in (0, 1):
        avals = [aval_of(o).update() for o in operands]
        carry_tree = unflatten(tree, range(len(operands)))
        slices = unflatten(x_tree, range(len(x_operands)))
        program, captured, out_tree = staged_body("scan", f, (carry_tree, slices), [*avals, *x_avals])
        parts = _scan_result(f, out_tree)
        promoted = (
            None if attempt or parts[0] != tree else promoted_init(operands, weak, program.out_avals[: len(operands)])
        )
        if promoted is None:
            break
        operands = promoted
    carry = len(operands)
    check_carry("scan", f, init, tree, parts[0], avals, program.out_avals[: parts[0].num_leaves])
    outs = scan_p.bind(
        *captured, *operands, *x_operands,
        program=program, length=count, reverse=bool(reverse), constants=len(captured), carry=carry,
    )  # fmt: skip
    return unflatten(tree, [wrap(o) for o in outs[:carry]]), unflatten(parts[1], [wrap(o) for o in outs[carry:]])


def _scan_result(f: Any, out_tree: Any) -> tuple[Any, Any]:
    """Structures of the carry and of ``y``."""
    if out_tree.type is not tuple or out_tree.num_children != 2:
        raise TreeError(
            f"scan({function_name(f)}): the function must return a pair (carry, y), got structure {structure_text(out_tree)}"
        )
    first, second = out_tree.children()
    return first, second
