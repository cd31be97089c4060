"""``cond`` and ``switch``: one operation that runs one of several Programs, chosen by an integer at run time.

Reverse mode: each branch gives its outputs and the residuals of all branches, zeros in the places of the others, so that the backward operation
is again a choice by the same integer. Where the choice itself is mapped by ``vmap``, all branches run and the results are selected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fad.core.array import wrap
from fad.core.avals import ShapedArray, aval_of, dtype_of, result_dtype, shape_of, weak_operand
from fad.core.errors import ArgumentError, DTypeError, ShapeError, TreeError
from fad.core.loops import run_cond
from fad.core.primitive import Primitive
from fad.core.program import Program, evaluate
from fad.core.pytrees import flatten, structure_text, unflatten
from fad.core.trace import concrete_value
from fad.primitives.arithmetic import equal, maximum, minimum, select
from fad.primitives.indexing import signed
from fad.primitives.structural import convert, match, narrow_integer, reshape, zeros
from fad.transforms.arguments import as_function, as_operand, function_name
from fad.transforms.calling import batched_program, jvp_program, vjp_programs
from fad.transforms.programs import stage_function
from fad.transforms.scanning import is_recording, with_static_residuals
from fad.transforms.staging import stage

__all__ = ["cond", "cond_p", "switch"]


def _cond_impl(xp: Any, *args: Any, branches: tuple[Program, ...]) -> list[Any]:
    return run_cond(evaluate, xp, args, branches=branches)


def _cond_shape(index: ShapedArray, *avals: ShapedArray, branches: tuple[Program, ...]) -> list[ShapedArray]:
    return [a.update() for a in branches[0].out_avals]


def _union(flags: Sequence[Sequence[bool]]) -> tuple[bool, ...]:
    return tuple(any(column) for column in zip(*flags, strict=True))


def _cond_jvp(primals: Sequence[Any], tangents: Sequence[Any], *, branches: tuple[Program, ...]) -> Any:
    index, operands = primals[0], primals[1:]
    active = tuple(t is not None for t in tangents[1:])
    forced = _union([jvp_program(b, active)[1] for b in branches])
    pushed = tuple(jvp_program(b, active, forced)[0] for b in branches)
    results = cond_p.bind(index, *operands, *[t for t in tangents[1:] if t is not None], branches=pushed)
    count = len(forced)
    outs = cond_p.bind(*primals, branches=branches) if is_recording() else results[:count]
    given = iter(results[count:])
    return outs, [next(given) if f else None for f in forced]


def _cond_vjp_selected(active: tuple[int, ...], primals: Sequence[Any], params: dict[str, Any]) -> Any:
    branches, index = params["branches"], primals[0]
    on = tuple(k + 1 in active for k in range(len(primals) - 1))
    branches = tuple(with_static_residuals(b, on) for b in branches)
    made = [vjp_programs(b, on) for b in branches]
    count = len(branches[0].outputs)
    depends = _union([m[2] for m in made])
    forward = tuple(_forward_branch(branches, on, k) for k in range(len(branches)))
    results = cond_p.bind(*primals, branches=forward)
    outs, residuals = results[:count], results[count:]
    backward = tuple(_backward_branch(branches, on, depends, k) for k in range(len(branches)))
    avals = [a.update() for a in branches[0].out_avals]

    def pullback(cotangents: Sequence[Any]) -> list[Any]:
        filled = [
            zeros(a) if c is None else match(c, a.shape, a.dtype)
            for c, a, d in zip(cotangents, avals, depends, strict=True)
            if d
        ]
        given = iter(cond_p.bind(index, *residuals, *filled, branches=backward))
        found = {k + 1: next(given) for k, a in enumerate(on) if a}
        return [found.get(k) for k in active]

    return outs, pullback


def _residual_avals(branches: Sequence[Program], on: tuple[bool, ...]) -> list[list[ShapedArray]]:
    return [[a.update() for a in vjp_programs(b, on)[0].out_avals[len(b.outputs) :]] for b in branches]


def _forward_branch(branches: Sequence[Program], on: tuple[bool, ...], chosen: int) -> Program:
    """The branch's outputs and its residuals, with zeros in the places of the other branches' residuals."""

    def make() -> Program:
        program = vjp_programs(branches[chosen], on)[0]
        count = len(branches[chosen].outputs)

        def forward(*args: Any) -> list[Any]:
            results = evaluate(program, *args)
            padded = list(results[:count])
            for k, avals in enumerate(_residual_avals(branches, on)):
                padded += results[count:] if k == chosen else [zeros(a) for a in avals]
            return padded

        return stage(forward, branches[chosen].in_avals, program.name)[0]

    return branches[chosen].cached(("cond_forward", tuple(map(id, branches)), on, chosen), make)


def _backward_branch(
    branches: Sequence[Program], on: tuple[bool, ...], depends: tuple[bool, ...], chosen: int
) -> Program:
    """Cotangents of all active operands from all residuals and the outputs' cotangents."""

    def make() -> Program:
        program, own_depends, arrives = vjp_programs(branches[chosen], on)[1:]
        avals = _residual_avals(branches, on)
        start = sum(len(a) for a in avals[:chosen])
        total = sum(len(a) for a in avals)
        in_avals = [a.update() for a, o in zip(branches[chosen].in_avals, on, strict=True) if o]

        def backward(*args: Any) -> list[Any]:
            residuals = args[start : start + len(avals[chosen])]
            given = iter(args[total:])
            cotangents = [next(given) if d else None for d in depends]
            own = [c for c, d in zip(cotangents, own_depends, strict=True) if d]
            found = iter(evaluate(program, *residuals, *own))
            return [next(found) if a else zeros(aval) for a, aval in zip(arrives, in_avals, strict=True)]

        out_avals = [a.update() for a, d in zip(branches[chosen].out_avals, depends, strict=True) if d]
        return stage(backward, [*[a for group in avals for a in group], *out_avals], program.name)[0]

    return branches[chosen].cached(("cond_backward", tuple(map(id, branches)), on, depends, chosen), make)


def _cond_vjp(*primals: Any, **params: Any) -> Any:
    out, pullback = _cond_vjp_selected(tuple(range(1, len(primals))), primals, params)
    return out, lambda cotangents: [None, *pullback(cotangents)]


def _cond_batch(
    size: int, args: Sequence[Any], mapped: Sequence[bool], *, axis_name: Any, branches: tuple[Program, ...]
) -> Any:
    index, operands = args[0], args[1:]
    flags = tuple(mapped[1:])
    if not mapped[0]:
        forced = _union([batched_program(b, size, flags, axis_name)[1] for b in branches])
        batched = tuple(batched_program(b, size, flags, axis_name, forced)[0] for b in branches)
        return cond_p.bind(index, *operands, branches=batched), list(forced)
    every = (True,) * len(branches[0].outputs)
    results = [evaluate(batched_program(b, size, flags, axis_name, every)[0], *operands) for b in branches]
    chosen = results[0]
    for k, other in enumerate(results[1:], 1):
        hit = equal.bind(index, k)
        chosen = [
            select.bind(reshape(hit, (size,) + (1,) * (len(shape_of(o)) - 1)), o, c)
            for o, c in zip(other, chosen, strict=True)
        ]
    return chosen, list(every)


cond_p = Primitive(
    "cond",
    impl=_cond_impl,
    shape=_cond_shape,
    jvp=_cond_jvp,
    vjp=_cond_vjp,
    vjp_selected=_cond_vjp_selected,
    batch=_cond_batch,
    kernel="cond",
    samples=[],
    multiple_results=True,
    keeps_missing=True,
    higher_order=True,
    doc="Runs the Program with the given number.",
)


# --- the user's functions -----------------------------------------------------------------------------------------------------------------


def _stage_branches(
    transform: str, branches: Sequence[Callable[..., Any]], treedef: Any, avals: Sequence[ShapedArray]
) -> tuple[tuple[Program, ...], list[Any], Any]:
    """Programs of all branches over the same inputs: the outer tracers that any of them captured, then the operands."""
    staged = [stage_function(transform, b, treedef, avals) for b in branches]
    trees = [s[2] for s in staged]
    for branch, tree in zip(branches[1:], trees[1:], strict=True):
        if tree != trees[0]:
            raise TreeError(
                f"{transform}: branches must return the same structure, but {function_name(branches[0])} returns {structure_text(trees[0])} and "
                f"{function_name(branch)} returns {structure_text(tree)}"
            )
    captured: dict[int, Any] = {}
    for _, values, _ in staged:
        captured.update({id(v): v for v in values})
    order = list(captured)
    dtypes = _common_types(transform, branches, [s[0] for s in staged])
    programs = []
    for program, values, _ in staged:
        positions = [order.index(id(v)) for v in values]
        programs.append(_aligned(program, positions, [aval_of(captured[i]) for i in order], avals, dtypes))
    return tuple(programs), [captured[i] for i in order], trees[0]


def _common_types(transform: str, branches: Sequence[Any], programs: Sequence[Program]) -> list[np.dtype]:
    first = programs[0].out_avals
    for branch, program in zip(branches[1:], programs[1:], strict=True):
        for k, (a, b) in enumerate(zip(first, program.out_avals, strict=True)):
            if a.shape != b.shape or (a.dtype != b.dtype and not (a.weak or b.weak)):
                raise ShapeError(
                    f"{transform}: branches must return the same types, but result {k} of {function_name(branches[0])} is {a} and that of "
                    f"{function_name(branch)} is {b}"
                )
    columns = zip(*[p.out_avals for p in programs], strict=True)
    return [result_dtype(*[weak_operand(a) for a in column]) for column in columns]


def _aligned(
    program: Program,
    positions: Sequence[int],
    captured: Sequence[ShapedArray],
    avals: Sequence[ShapedArray],
    dtypes: Sequence[np.dtype],
) -> Program:
    """The Program with all branches' captured values as inputs and results in the common dtypes."""

    def run(*args: Any) -> list[Any]:
        outer, operands = args[: len(captured)], args[len(captured) :]
        outs = evaluate(program, *[outer[i] for i in positions], *operands)
        return [_in_dtype(o, d) for o, d in zip(outs, dtypes, strict=True)]

    return stage(run, [*captured, *avals], program.name)[0]


def _in_dtype(x: Any, dtype: np.dtype) -> Any:
    """A result in the dtype of all branches; a Python integer that it does not hold raises."""
    if aval_of(x).weak and dtype_of(x).kind == "i" and dtype.kind in "iu" and dtype.itemsize < 8:
        return narrow_integer.bind(x, dtype=dtype)
    return convert(x, dtype)


def _bind_branches(
    transform: str, index: Any, branches: Sequence[Callable[..., Any]], operands: tuple[Any, ...]
) -> Any:
    leaves, treedef = flatten((operands, {}))
    values = [as_operand(leaf) for leaf in leaves]
    programs, captured, out_tree = _stage_branches(transform, branches, treedef, [aval_of(v) for v in values])
    outs = cond_p.bind(index, *captured, *values, branches=programs)
    return unflatten(out_tree, [wrap(o) for o in outs])


def cond(pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any) -> Any:
    """Call ``true_fun(*operands)`` if ``pred`` holds, else ``false_fun(*operands)``.

    Parameters
    ----------
    pred : array_like of bool, shape ()
        The condition. Where its value is known (outside ``jit`` and ``vmap``) only the chosen function runs, as Python's ``if`` does.
    true_fun, false_fun : callable
        Functions of the operands that give the same structure, shapes and dtypes. Only where both are staged is that checked: to know what
        the other function gives, it would have to run. ``fad.jit(f)(*args)`` or ``fad.eval_shape(f, *args)`` checks a function ``f`` with
        choices in it.
    *operands
        Pytrees of arrays.

    Raises
    ------
    DTypeError, ShapeError
        If ``pred`` is not a boolean scalar.
    TreeError, ShapeError
        If the branches give different types.

    Examples
    --------
    >>> import fad
    >>> fad.cond(3.0 > 2.0, lambda x: x + 1, lambda x: x - 1, 10.0)
    Array(11.)
    >>> fad.vmap(lambda x: fad.cond(x > 0, lambda x: x, lambda x: -x, x))(fad.Array([-1.0, 2.0]))
    Array([1., 2.])
    """
    true_fun = as_function("cond", true_fun)
    false_fun = as_function("cond", false_fun)
    flag = as_operand(pred)
    if shape_of(flag) != ():
        raise ShapeError(
            f"cond: the condition must be a scalar, got {aval_of(flag)}; use fad.numpy.where for an elementwise choice"
        )
    if dtype_of(flag).kind not in "bi":
        raise DTypeError(
            f"cond: the condition must be a boolean, got {aval_of(flag)}; compare it with something, as in x > 0"
        )
    value = concrete_value(flag)
    if value is not None:
        return _arrays((true_fun if value else false_fun)(*_arrays(operands)))
    flag = flag if dtype_of(flag).kind == "b" else convert(flag, np.dtype(bool))
    return _bind_branches("cond", convert(flag, np.dtype(np.int64)), (false_fun, true_fun), operands)


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Call ``branches[index](*operands)``; an index outside the range is clamped to it.

    Parameters
    ----------
    index : array_like of int, shape ()
        Which branch.
    branches : sequence of callable
        Functions of the operands that give the same structure, shapes and dtypes, which is checked as :func:`cond` does.
    *operands
        Pytrees of arrays.

    Raises
    ------
    ArgumentError
        If there is no branch.
    DTypeError, ShapeError
        If ``index`` is not an integer scalar.

    Examples
    --------
    >>> import fad
    >>> fad.switch(1, [lambda x: x, lambda x: x * x], 3.0)
    Array(9.)
    """
    branches = tuple(branches)
    if not branches:
        raise ArgumentError("switch: there must be at least one branch")
    branches = tuple([as_function("switch", b) for b in branches])
    number = as_operand(index)
    if shape_of(number) != () or dtype_of(number).kind not in "iu":
        raise DTypeError(f"switch: the index must be an integer scalar, got {aval_of(number)}")
    value = concrete_value(number)
    if value is not None:
        return _arrays(branches[min(max(int(value), 0), len(branches) - 1)](*_arrays(operands)))
    clamped = minimum.bind(maximum.bind(convert(signed(number), np.dtype(np.int64)), 0), len(branches) - 1)
    return _bind_branches("switch", clamped, branches, operands)


def _arrays(tree: Any) -> Any:
    """The tree with every leaf as an array, as staged branches see it and give it."""
    leaves, treedef = flatten(tree)
    return unflatten(treedef, [wrap(as_operand(leaf)) for leaf in leaves])
