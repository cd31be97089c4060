"""``custom_jvp``, ``custom_vjp`` and ``stop_gradient``: functions with derivative rules of the user's own.

One function may have both rules. If it has one, the other mode is derived: a jvp rule is linear in the tangents, so reverse mode transposes it; a
pullback is linear in the cotangents, so forward mode transposes that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from fad.core.array import wrap
from fad.core.avals import ShapedArray, aval_of, dtype_of, is_inexact, shape_of
from fad.core.errors import ArgumentError, NonDifferentiableError, ShapeError, TreeError
from fad.core.placement import beside, lies_on_device
from fad.core.primitive import Primitive
from fad.core.program import Program, evaluate
from fad.core.pytrees import flatten, structure_text, unflatten
from fad.core.trace import concrete_value
from fad.primitives.arithmetic import stop_gradient as stop_gradient_op
from fad.primitives.structural import broadcast_to, convert, reduce_sum, zeros
from fad.transforms.arguments import (
    argument_paths,
    as_function,
    as_operand,
    function_name,
    leaf_operands,
    result_operands,
)
from fad.transforms.batching import batch_flat
from fad.transforms.reverse import vjp_flat
from fad.transforms.staging import stage
from fad.transforms.wrapping import reduced

__all__ = ["custom_jvp", "custom_vjp", "stop_gradient"]


class FlatRules:
    """The rules of one call in terms of flat lists of operands.

    Attributes
    ----------
    name : str
        The function's name.
    jvp : callable or None
        ``jvp(primals, tangents) -> outs, out_tangents``.
    forward, backward : callable or None
        ``forward(primals) -> outs, residuals`` and ``backward(residuals, cotangents) -> cotangents``, ``None`` for zero.
    """

    __slots__ = ("backward", "forward", "jvp", "name")

    def __init__(self, name: str, jvp: Any, forward: Any, backward: Any):
        self.name, self.jvp, self.forward, self.backward = name, jvp, forward, backward


def _run(function: Any, args: Sequence[Any]) -> list[Any]:
    return evaluate(function, *args) if isinstance(function, Program) else function(*args)


def _check_captured(rules: FlatRules, captured: int, active: Sequence[int]) -> None:
    if any(k < captured for k in active):
        raise NonDifferentiableError(
            f"{rules.name} has a custom derivative rule and closes over a value that is being differentiated; the rule knows nothing "
            "of that value. Pass it as an argument."
        )


def _no_rule(rules: FlatRules) -> NonDifferentiableError:
    return NonDifferentiableError(
        f"{rules.name} is decorated for a custom derivative but has no rule yet; use @{rules.name}.defjvp or {rules.name}.defvjp(fwd, bwd)"
    )


def _custom_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], *, function: Any, rules: FlatRules, captured: int
) -> Any:
    active = [k for k, t in enumerate(tangents) if t is not None]
    _check_captured(rules, captured, active)
    own, own_tangents = primals[captured:], tangents[captured:]
    filled = [_zeros_for(p) if t is None else t for p, t in zip(own, own_tangents, strict=True)]
    if rules.jvp is not None:
        return rules.jvp(own, filled)
    if rules.backward is None:
        raise _no_rule(rules)
    outs, residuals = rules.forward(own)
    live = [k for k, t in enumerate(own_tangents) if t is not None]

    def of_cotangents(*cotangents: Any) -> list[Any]:
        found = rules.backward(residuals, cotangents)
        return [_or_zeros(found[k], own[k]) for k in live]

    at_zero, transposed = vjp_flat(of_cotangents, [_zeros_for(o) for o in outs])
    _check_zero(f"the backward rule of {rules.name}", "cotangent", at_zero)
    return outs, [
        t if is_inexact(dtype_of(o)) else None
        for o, t in zip(outs, transposed([own_tangents[k] for k in live]), strict=True)
    ]


def _zeros_for(value: Any) -> Any:
    """The zero tangent or cotangent of a value, where the value is."""
    return beside(zeros(aval_of(value).update()), lies_on_device(value))


def _check_zero(rule: str, kind: str, values: Sequence[Any]) -> None:
    """Refuse a rule that is not linear, by what it made of zeros; NaN passes, which 0 * inf gives where a derivative is infinite."""
    for value in values:
        known = None if value is None or lies_on_device(value) else concrete_value(value)
        if known is not None and np.count_nonzero(known):
            wrong = np.asarray(known)
            wrong = wrong[(wrong != 0) & (wrong == wrong)]
            if wrong.size:
                raise ArgumentError(
                    f"{rule} must be linear in the {kind}s, but for {kind}s of zero it gives {wrong[0]}: the derivative is to be multiplied by "
                    f"the {kind}, as in `cos(x) * t`, and nothing added to that."
                )


def _or_zeros(value: Any, like: Any) -> Any:
    return _zeros_for(like) if value is None else value


def _custom_vjp_selected(active: tuple[int, ...], primals: Sequence[Any], params: dict[str, Any]) -> Any:
    rules, captured = params["rules"], params["captured"]
    _check_captured(rules, captured, active)
    own = primals[captured:]
    if rules.backward is not None:
        outs, residuals = rules.forward(own)

        def pullback(cotangents: Sequence[Any]) -> list[Any]:
            found = rules.backward(residuals, cotangents)
            return [found[k - captured] for k in active]

        return outs, pullback
    if rules.jvp is None:
        raise _no_rule(rules)
    live = [k - captured for k in active]
    start = [_zeros_for(p) for p in own]

    def of_tangents(*tangents: Any) -> list[Any]:
        given = dict(zip(live, tangents, strict=True))
        outs, moved = rules.jvp(own, [given.get(k, z) for k, z in enumerate(start)])
        return [*outs, *[_or_zeros(m, o) for m, o in zip(moved, outs, strict=True)]]

    both, transposed = vjp_flat(of_tangents, [start[k] for k in live])
    count = len(both) // 2
    _check_zero(f"the jvp rule of {rules.name}", "tangent", both[count:])
    return both[:count], lambda cotangents: transposed.flat([None] * count + list(cotangents))


def _custom_vjp(*primals: Any, **params: Any) -> Any:
    first = params["captured"]
    out, pullback = _custom_vjp_selected(tuple(range(first, len(primals))), primals, params)
    return out, lambda cotangents: [None] * first + list(pullback(cotangents))


def _all_mapped(
    run: Callable[..., list[Any]], size: int, values: Sequence[Any], flags: Sequence[bool], axis_name: Any
) -> list[Any]:
    """Results of a flat function on a batch, every one with the mapped axis."""
    outs, mapped = batch_flat(run, size, values, flags, axis_name)
    return [o if m else broadcast_to(o, (size, *shape_of(o))) for o, m in zip(outs, mapped, strict=True)]


def _batched_jvp(rules: FlatRules, size: int, mapped: tuple[bool, ...], axis_name: Any) -> Callable[..., Any]:
    def jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
        count = len(primals)
        # A tangent may depend on the batch where its primal does not.
        wide = [t if m else broadcast_to(t, (size, *shape_of(t))) for t, m in zip(tangents, mapped, strict=True)]
        flags = [*mapped, *[True] * count]
        outs = _all_mapped(
            lambda *xs: _joined(rules.jvp(xs[:count], xs[count:])), size, [*primals, *wide], flags, axis_name
        )
        return outs[: len(outs) // 2], outs[len(outs) // 2 :]

    return jvp


def _batched_vjp(
    rules: FlatRules, size: int, mapped: tuple[bool, ...], axis_name: Any
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    counts: dict[str, int] = {}

    def forward(primals: Sequence[Any]) -> Any:
        def run(*xs: Any) -> list[Any]:
            outs, residuals = rules.forward(xs)
            counts["outs"] = len(outs)
            return [*outs, *residuals]

        results = _all_mapped(run, size, primals, mapped, axis_name)
        return results[: counts["outs"]], results[counts["outs"] :]

    def backward(residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        count = len(residuals)
        missing: list[bool] = []

        def run(*xs: Any) -> list[Any]:
            found = rules.backward(xs[:count], xs[count:])
            missing[:] = [f is None for f in found]
            return [f for f in found if f is not None]

        values = [*residuals, *cotangents]
        given = iter(_all_mapped(run, size, values, [True] * len(values), axis_name))
        found = [None if m else next(given) for m in missing]
        return [f if m or f is None else reduce_sum(f, (0,)) for f, m in zip(found, mapped, strict=True)]

    return forward, backward


def _custom_batch(
    size: int,
    args: Sequence[Any],
    mapped: Sequence[bool],
    *,
    function: Any,
    rules: FlatRules,
    captured: int,
    axis_name: Any,
) -> Any:
    own = tuple(mapped[captured:])
    jvp = _batched_jvp(rules, size, own, axis_name)
    forward, backward = _batched_vjp(rules, size, own, axis_name)
    new_rules = FlatRules(rules.name, rules.jvp and jvp, rules.forward and forward, rules.backward and backward)

    def call(*values: Any) -> list[Any]:
        return _all_mapped(lambda *xs: _run(function, xs), size, values, mapped, axis_name)

    outs = custom_p.bind(*args, function=call, rules=new_rules, captured=captured)
    return outs, [True] * len(outs)


def _joined(pair: Any) -> list[Any]:
    outs, tangents = pair
    return [*outs, *[_or_zeros(t, o) for t, o in zip(tangents, outs, strict=True)]]


def _custom_stage(args: Sequence[Any], params: dict[str, Any]) -> Any:
    if isinstance(params["function"], Program):
        return args, params
    program, captured = stage(
        lambda *xs: _run(params["function"], xs), [aval_of(a) for a in args], params["rules"].name
    )
    return [*captured, *args], {**params, "function": program, "captured": params["captured"] + len(captured)}


custom_p = Primitive(
    "custom_call",
    impl=lambda xp, *args, function, rules, captured: _run(function, args),
    shape=lambda *avals, function, rules, captured: [a.update() for a in function.out_avals],
    jvp=_custom_jvp,
    vjp=_custom_vjp,
    vjp_selected=_custom_vjp_selected,
    batch=_custom_batch,
    kernel="call",
    samples=[],
    multiple_results=True,
    higher_order=True,
    stage=_custom_stage,
    doc="A function with derivative rules of the user's own.",
)


class _CustomFunction:
    """A function with derivative rules of its own; what :class:`custom_jvp` and :class:`custom_vjp` share."""

    def __init__(self, fun: Callable[..., Any], nondiff_argnums: Sequence[int] = ()):
        fun = as_function(type(self).__name__, fun)
        self._fun = fun
        self._nondiff = tuple(nondiff_argnums)
        self._jvp: Callable[..., Any] | None = None
        self._forward: Callable[..., Any] | None = None
        self._backward: Callable[..., Any] | None = None
        update_wrapper(self, fun, updated=())

    def defjvp(self, jvp: Callable[..., Any]) -> Callable[..., Any]:
        """Set the forward-mode rule ``jvp(primals, tangents) -> (out, tangent_out)``; usable as a decorator.

        ``primals`` and ``tangents`` are tuples with one entry per argument. The rule must be linear in the tangents. Arguments in
        ``nondiff_argnums`` come first, on their own.
        """
        jvp = as_function("defjvp", jvp)
        self._jvp = jvp
        return jvp

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Set the reverse-mode rule: ``fwd(*args) -> (out, residuals)`` and ``bwd(residuals, cotangent) -> (cotangent, ...)``.

        ``bwd`` gives one cotangent per argument, ``None`` for zero. Arguments in ``nondiff_argnums`` come first in ``bwd`` and have no
        cotangent.
        """
        fwd = as_function("defvjp", fwd)
        bwd = as_function("defvjp", bwd)
        self._forward, self._backward = fwd, bwd

    def __repr__(self) -> str:
        return f"fad.{type(self).__name__}({function_name(self._fun)})"

    def __reduce__(self) -> Any:
        rules = (self._jvp, self._forward, self._backward)
        return reduced(self, self._fun, _with_rules, (type(self), self._fun, self._nondiff, *rules))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs:
            raise ArgumentError(
                f"{function_name(self._fun)} has a custom derivative rule and takes positional arguments only, got keywords {sorted(kwargs)}"
            )
        count = len(args)
        fixed = {i % count: args[i] for i in self._nondiff} if count else {}
        free = tuple(a for i, a in enumerate(args) if i not in fixed)
        leaves, treedef = flatten(free)
        operands = leaf_operands(function_name(self._fun), self._fun, leaves, argument_paths(free))
        found: dict[str, Any] = {}

        def merged(values: Sequence[Any]) -> list[Any]:
            given = iter(values)
            return [fixed[i] if i in fixed else next(given) for i in range(count)]

        def flat_fun(*xs: Any) -> list[Any]:
            out = self._fun(*merged(unflatten(treedef, [wrap(x) for x in xs])))
            outs, found["tree"] = result_operands(function_name(self._fun), self._fun, out)
            return outs

        binder = _RuleBinder(
            self, [fixed[i] for i in sorted(fixed)], treedef, merged, found, [aval_of(o) for o in operands]
        )
        outs = custom_p.bind(*operands, function=flat_fun, rules=binder.rules(), captured=0)
        return unflatten(found["tree"], [wrap(o) for o in outs])


def _with_rules(kind: Any, fun: Any, nondiff_argnums: tuple[int, ...], jvp: Any, forward: Any, backward: Any) -> Any:
    """A function with derivative rules, from its pickle."""
    made = kind(fun, nondiff_argnums)
    made._jvp, made._forward, made._backward = jvp, forward, backward
    return made


class _RuleBinder:
    """Turns one call's rules from functions of trees into functions of flat lists."""

    def __init__(
        self,
        owner: _CustomFunction,
        fixed: list[Any],
        treedef: Any,
        merged: Any,
        found: dict[str, Any],
        avals: list[ShapedArray],
    ):
        self.owner, self.fixed, self.treedef, self.merged, self.found, self.avals = (
            owner,
            fixed,
            treedef,
            merged,
            found,
            avals,
        )
        self.name = function_name(owner._fun)

    def rules(self) -> FlatRules:
        """The flat rules."""
        owner = self.owner
        return FlatRules(
            self.name, owner._jvp and self.jvp, owner._forward and self.forward, owner._backward and self.backward
        )

    def tree(self, values: Sequence[Any]) -> Any:
        return unflatten(self.treedef, [wrap(v) for v in values])

    def jvp(self, primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
        pair = self.owner._jvp(*self.fixed, self.tree(primals), self.tree(tangents))  # type: ignore[misc]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TreeError(f"the jvp rule of {self.name} must return (out, tangent_out), got {type(pair).__name__}")
        outs, self.found["tree"] = result_operands("the jvp rule", self.owner._fun, pair[0])
        moved, moved_tree = result_operands("the jvp rule", self.owner._fun, pair[1])
        if moved_tree != self.found["tree"]:
            raise TreeError(
                f"the jvp rule of {self.name} returns a tangent of structure {structure_text(moved_tree)} for a result of "
                f"structure {structure_text(self.found['tree'])}"
            )
        for o, t in zip(outs, moved, strict=True):
            if shape_of(o) != shape_of(t):
                raise ShapeError(
                    f"the jvp rule of {self.name} returns a tangent {aval_of(t)} for a result {aval_of(o)}"
                )
        return outs, [
            convert(t, dtype_of(o)) if is_inexact(dtype_of(o)) else None for o, t in zip(outs, moved, strict=True)
        ]

    def forward(self, primals: Sequence[Any]) -> Any:
        pair = self.owner._forward(*self.merged(self.tree(primals)))  # type: ignore[misc]
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TreeError(f"the forward rule of {self.name} must return (out, residuals), got {type(pair).__name__}")
        outs, self.found["tree"] = result_operands("the forward rule", self.owner._fun, pair[0])
        leaves, self.found["residual_tree"] = flatten(pair[1])
        return outs, [as_operand(leaf) for leaf in leaves]

    def backward(self, residuals: Sequence[Any], cotangents: Sequence[Any]) -> list[Any]:
        residual_tree = unflatten(self.found["residual_tree"], [wrap(r) for r in residuals])
        cotangent_tree = unflatten(self.found["tree"], [wrap(c) for c in cotangents])
        given = self.owner._backward(*self.fixed, residual_tree, cotangent_tree)  # type: ignore[misc]
        children = self.treedef.children()
        given = given if isinstance(given, tuple | list) else (given,)
        if len(given) != len(children):
            raise TreeError(
                f"the backward rule of {self.name} must return one cotangent per argument ({len(children)}), got {len(given)}"
            )
        flat: list[Any] = []
        for k, (value, child) in enumerate(zip(given, children, strict=True)):
            flat += self._cotangent_leaves(k, value, child)
        return [self._checked(k, c) for k, c in enumerate(flat)]

    def _cotangent_leaves(self, k: int, value: Any, child: Any) -> list[Any]:
        if value is None:
            return [None] * child.num_leaves
        leaves, seen = flatten(value)
        if seen != child:
            raise TreeError(
                f"the backward rule of {self.name} returns structure {structure_text(seen)} for argument {k} of structure {structure_text(child)}"
            )
        return [as_operand(leaf) for leaf in leaves]

    def _checked(self, k: int, cotangent: Any) -> Any:
        aval = self.avals[k]
        if cotangent is None or not is_inexact(aval.dtype):
            return None
        if shape_of(cotangent) != aval.shape:
            raise ShapeError(
                f"the backward rule of {self.name} returns a cotangent {aval_of(cotangent)} for an argument {aval}"
            )
        return convert(cotangent, aval.dtype)


class custom_jvp(_CustomFunction):
    """Give a function a forward-mode derivative rule of its own; reverse mode transposes it.

    Parameters
    ----------
    fun : callable
        Function of positional pytree arguments.
    nondiff_argnums : sequence of int
        Arguments that are not differentiated and may be any Python value.

    Raises
    ------
    TreeError, ShapeError
        When the rule runs, if its result does not fit the function's.
    ArgumentError
        In reverse mode, if the rule gives something else than zero for tangents of zero. Under ``jit`` there are no values to look at.

    Examples
    --------
    >>> import fad
    >>> import fad.numpy as fnp
    >>> @fad.custom_jvp
    ... def log1pexp(x):
    ...     return fnp.log1p(fnp.exp(x))
    >>> @log1pexp.defjvp
    ... def log1pexp_jvp(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return log1pexp(x), t / (1 + fnp.exp(-x))
    >>> fad.grad(log1pexp)(0.0)
    Array(0.5)
    """


class custom_vjp(_CustomFunction):
    """Give a function a reverse-mode derivative rule of its own; forward mode transposes it.

    Parameters
    ----------
    fun : callable
        Function of positional pytree arguments.
    nondiff_argnums : sequence of int
        Arguments that are not differentiated and may be any Python value.

    Raises
    ------
    TreeError, ShapeError
        When the rule runs, if its result does not fit the function's arguments.
    ArgumentError
        In forward mode, if the rule gives something else than zero for cotangents of zero. Under ``jit`` there are no values to look at.

    Examples
    --------
    >>> import fad
    >>> @fad.custom_vjp
    ... def clipped(x):
    ...     return x * 1.0
    >>> clipped.defvjp(lambda x: (x * 1.0, None), lambda residuals, ct: (ct.clip(-1.0, 1.0),))
    >>> fad.grad(lambda x: clipped(x) * 5.0)(2.0)
    Array(1.)
    """


def stop_gradient(x: Any) -> Any:
    """The same values, treated as constants by every derivative.

    Parameters
    ----------
    x : pytree
        Arrays.

    Returns
    -------
    pytree
        ``x`` with zero derivative.

    Examples
    --------
    >>> import fad
    >>> fad.grad(lambda x: x * fad.stop_gradient(x))(3.0)
    Array(3.)
    """
    leaves, treedef = flatten(x)
    return unflatten(treedef, [wrap(stop_gradient_op.bind(as_operand(leaf))) for leaf in leaves])
