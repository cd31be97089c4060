"""Calling a Program: the one higher-order operation that ``jit`` needs.

Its rules stage the transformed Program once, keep it in the Program's cache and bind again, so both halves of a derivative stay whole
Programs. For reverse mode the pullback itself is staged; what it captures is the list of residuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.compiler.dispatch import derivations, run_program
from fad.core.avals import ShapedArray, aval_of, shape_of
from fad.core.primitive import Primitive
from fad.core.program import Program, evaluate
from fad.primitives.structural import broadcast_to, match, zeros
from fad.transforms.batching import batch_flat
from fad.transforms.forward import jvp_flat
from fad.transforms.reverse import vjp_flat
from fad.transforms.staging import stage

__all__ = ["batched_program", "call", "call_p", "jvp_program", "vjp_programs"]


def jvp_program(
    program: Program, active: tuple[bool, ...], forced: tuple[bool, ...] = ()
) -> tuple[Program, tuple[bool, ...]]:
    """The Program of (inputs, tangents of the active inputs) -> (outputs, tangents), and which outputs have tangents.

    Outputs that are ``forced`` have a tangent in any case, zeros if need be.
    """
    return program.cached(("jvp", active, forced), lambda: _make_jvp(program, active, forced))


def _make_jvp(program: Program, active: tuple[bool, ...], forced: tuple[bool, ...]) -> tuple[Program, tuple[bool, ...]]:
    count = len(program.inputs)
    has_tangent: list[bool] = []

    def pushforward(*args: Any) -> list[Any]:
        given = iter(args[count:])
        tangents = [next(given) if a else None for a in active]
        outs, out_tangents = jvp_flat(lambda *xs: evaluate(program, *xs), args[:count], tangents, instantiate=False)
        if any(forced):
            out_tangents = [
                zeros(aval_of(o)) if t is None and f else t for o, t, f in zip(outs, out_tangents, forced, strict=True)
            ]
        has_tangent[:] = [t is not None for t in out_tangents]
        return [*outs, *[t for t in out_tangents if t is not None]]

    in_avals = program.in_avals
    avals = in_avals + [a.update() for a, on in zip(in_avals, active, strict=True) if on]
    made, _ = stage(pushforward, avals, f"jvp_{program.name}")
    derivations(made, program)
    return made, tuple(has_tangent)


def vjp_programs(
    program: Program, active: tuple[bool, ...]
) -> tuple[Program, Program, tuple[bool, ...], tuple[bool, ...]]:
    """Forward Program (inputs -> outputs, residuals), backward Program (residuals, cotangents -> cotangents of active inputs).

    Also: which outputs depend on the active inputs (only they have cotangents), and which active inputs get a cotangent.
    """
    return program.cached(("vjp", active), lambda: _make_vjp(program, active))


def _make_vjp(
    program: Program, active: tuple[bool, ...]
) -> tuple[Program, Program, tuple[bool, ...], tuple[bool, ...]]:
    found: dict[str, Any] = {}

    def forward(*args: Any) -> list[Any]:
        free = [a for a, on in zip(args, active, strict=True) if on]

        def of_active(*xs: Any) -> list[Any]:
            given = iter(xs)
            return evaluate(program, *[next(given) if on else a for a, on in zip(args, active, strict=True)])

        outs, pullback = vjp_flat(of_active, free)
        depends = tuple(i is not None for i in pullback.indices)

        def backward(*cotangents: Any) -> list[Any]:
            given = iter(cotangents)
            result = pullback.flat([next(given) if d else None for d in depends])
            found["arrives"] = tuple(c is not None for c in result)
            return [c for c in result if c is not None]

        cotangent_avals = [aval_of(o).update() for o, d in zip(outs, depends, strict=True) if d]
        found["backward"], residuals = stage(backward, cotangent_avals, f"pullback_{program.name}")
        found["depends"] = depends
        return [*outs, *residuals]

    forward_program, _ = stage(forward, program.in_avals, f"forward_{program.name}")
    for made in (forward_program, found["backward"]):
        derivations(made, program)
    return forward_program, found["backward"], found["depends"], found["arrives"]


def batched_program(
    program: Program, size: int, mapped: tuple[bool, ...], axis_name: Any = None, forced: tuple[bool, ...] = ()
) -> tuple[Program, tuple[bool, ...]]:
    """The Program over a batch, and which outputs are mapped; those that are ``forced`` are mapped in any case."""
    key = ("batch", size, mapped, axis_name, forced)
    return program.cached(key, lambda: _make_batched(program, size, mapped, axis_name, forced))


def _make_batched(
    program: Program, size: int, mapped: tuple[bool, ...], axis_name: Any, forced: tuple[bool, ...]
) -> tuple[Program, tuple[bool, ...]]:
    out_mapped: list[bool] = []

    def batched(*args: Any) -> list[Any]:
        outs, flags = batch_flat(lambda *xs: evaluate(program, *xs), size, args, mapped, axis_name)
        for k, force in enumerate(forced):
            if force and not flags[k]:
                outs[k], flags[k] = broadcast_to(outs[k], (size, *shape_of(outs[k]))), True
        out_mapped[:] = flags
        return outs

    avals = [ShapedArray((size, *a.shape), a.dtype) if m else a for a, m in zip(program.in_avals, mapped, strict=True)]
    return stage(batched, avals, program.name)[0], tuple(out_mapped)


def call_jvp(bind: Any, primals: Sequence[Any], tangents: Sequence[Any], program: Program, **params: Any) -> Any:
    """The jvp rule of an operation that runs a Program."""
    active = tuple(t is not None for t in tangents)
    transformed, has_tangent = jvp_program(program, active)
    results = bind(*primals, *[t for t in tangents if t is not None], program=transformed, **params)
    outs, given = results[: len(has_tangent)], iter(results[len(has_tangent) :])
    return outs, [next(given) if h else None for h in has_tangent]


def call_batch(
    bind: Any,
    size: int,
    args: Sequence[Any],
    mapped: Sequence[bool],
    program: Program,
    axis_name: Any,
    **params: Any,
) -> Any:
    """The batch rule of an operation that runs a Program."""
    transformed, out_mapped = batched_program(program, size, tuple(mapped), axis_name)
    return bind(*args, program=transformed, **params), list(out_mapped)


def _call_vjp_selected(active: tuple[int, ...], primals: Sequence[Any], params: dict[str, Any]) -> Any:
    program = params["program"]
    flags = tuple(k in active for k in range(len(primals)))
    forward, backward, depends, arrives = vjp_programs(program, flags)
    results = call(forward, *primals)
    count = len(depends)
    outs, residuals = results[:count], results[count:]
    # Of the results themselves: a Program does not know the sizes that a loop of unknown length makes.
    avals = [aval_of(o).update() for o in outs]

    def pullback(cotangents: Sequence[Any]) -> list[Any]:
        wanted = [
            zeros(a) if c is None else match(c, a.shape, a.dtype)
            for c, d, a in zip(cotangents, depends, avals, strict=True)
            if d
        ]
        given = iter(call(backward, *residuals, *wanted))
        return [next(given) if a else None for a in arrives]

    return outs, pullback


def _call_vjp(*primals: Any, program: Program) -> Any:
    return _call_vjp_selected(tuple(range(len(primals))), primals, {"program": program})


def _call_impl(xp: Any, *args: Any, program: Program) -> list[Any]:
    # Compiled code never warns of overflow or of dividing by zero; evaluation in its place must not either.
    with np.errstate(all="ignore"):
        return run_program(program, args) if xp is np else evaluate(program, *args)


call_p = Primitive(
    "call",
    impl=_call_impl,
    shape=lambda *avals, program: [a.update() if not a.weak else a for a in program.out_avals],
    jvp=lambda primals, tangents, *, program: call_jvp(call_p.bind, primals, tangents, program),
    vjp=_call_vjp,
    vjp_selected=_call_vjp_selected,
    batch=lambda size, args, mapped, *, program, axis_name: call_batch(
        call_p.bind, size, args, mapped, program, axis_name
    ),
    higher_order=True,
    kernel="call",
    samples=[],
    multiple_results=True,
    keeps_missing=True,
    inline=lambda args, params: evaluate(params["program"], *args),
    doc="Runs a Program.",
)


def call(program: Program, *args: Any) -> list[Any]:
    """Bind the call of a Program."""
    return call_p.bind(*args, program=program)
