"""``tap_gradient``: see or change a cotangent on its way back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fad.core.array import wrap
from fad.core.avals import aval_of, dtype_of, is_inexact, shape_of
from fad.core.errors import ShapeError, TreeError
from fad.core.primitive import Primitive
from fad.core.pytrees import flatten, structure_text, unflatten
from fad.core.samples import case, f64
from fad.primitives.structural import broadcast_to, convert, zeros
from fad.transforms.arguments import as_function, as_operand
from fad.transforms.batching import batch_flat

__all__ = ["tap_gradient", "tap_p"]


def _tap_vjp(*primals: Any, function: Callable[..., Any]) -> Any:
    types = [aval_of(p).update() for p in primals]

    def pullback(cotangents: Sequence[Any]) -> list[Any]:
        return function(*[zeros(t) if c is None else c for c, t in zip(cotangents, types, strict=True)])

    return list(primals), pullback


def _tap_batch(size: int, args: Sequence[Any], mapped: Sequence[bool], *, function: Callable[..., Any]) -> Any:
    # Cotangents of a mapped value are mapped; the others were summed over the batch.
    def batched(*cotangents: Any) -> list[Any]:
        outs, flags = batch_flat(lambda *xs: function(*xs), size, cotangents, mapped)
        return [_placed(o, f, m, size) for o, f, m in zip(outs, flags, mapped, strict=True)]

    return tap_p.bind(*args, function=batched), list(mapped)


def _placed(out: Any, is_mapped: bool, wanted: bool, size: int) -> Any:
    if is_mapped and not wanted:
        raise TreeError(
            "tap_gradient: under vmap, the function mixed the cotangents of values that are mapped into those of values that are not"
        )
    return broadcast_to(out, (size, *shape_of(out))) if wanted and not is_mapped else out


tap_p = Primitive(
    "tap_gradient",
    impl=lambda xp, *args, function: list(args),
    shape=lambda *avals, function: [a.update() for a in avals],
    jvp=lambda primals, tangents, *, function: (tap_p.bind(*primals, function=function), list(tangents)),
    vjp=_tap_vjp,
    batch=_tap_batch,
    kernel=None,
    samples=[case(f64(2, 3), f64(), function=lambda *cotangents: list(cotangents))],
    multiple_results=True,
    doc="The identity, whose pullback calls a function with the cotangents.",
)


def tap_gradient(x: Any, f: Callable[[Any], Any]) -> Any:
    """``x`` itself; when its cotangent comes back, ``f`` sees it and may replace it.

    Parameters
    ----------
    x : pytree
        Arrays.
    f : callable
        ``f(cotangent)`` gets the cotangent of ``x``, with the structure of ``x`` (leaves that are
        not floating point stand there themselves). What it returns goes on in its place; ``None`` leaves it.

    Returns
    -------
    pytree
        ``x``. Only what is computed from this result counts towards the cotangent.

    Raises
    ------
    TreeError, ShapeError
        In the backward pass, if the replacement does not have the structure and shapes of ``x``.

    Notes
    -----
    Forward mode passes by. Inside ``vmap`` the function sees one example's cotangent; inside ``jit`` it is staged, so use
    :func:`fad.debug.print` in it.

    Examples
    --------
    >>> import fad
    >>> def f(x):
    ...     y = fad.debug.tap_gradient(x * 2.0, lambda ct: fad.debug.print("dL/dy = {}", ct))
    ...     return y**2
    >>> fad.grad(f)(3.0)
    dL/dy = 12.0
    Array(24.)
    >>> fad.grad(lambda x: fad.debug.tap_gradient(x, lambda ct: ct.clip(-1.0, 1.0)) ** 2)(3.0)
    Array(1.)
    """
    f = as_function("tap_gradient", f)
    leaves, treedef = flatten(x)
    operands = [as_operand(leaf) for leaf in leaves]
    tapped = [k for k, o in enumerate(operands) if is_inexact(dtype_of(o))]

    def on_leaves(*cotangents: Any) -> list[Any]:
        changed = f(unflatten(treedef, _merged(leaves, tapped, [wrap(c) for c in cotangents])))
        return list(cotangents) if changed is None else _checked(changed, treedef, tapped, cotangents)

    outs = tap_p.bind(*[operands[k] for k in tapped], function=on_leaves)
    return unflatten(treedef, [wrap(o) for o in _merged(operands, tapped, outs)])


def _merged(values: Sequence[Any], places: Sequence[int], new: Sequence[Any]) -> list[Any]:
    """The values with new ones at some places."""
    given = dict(zip(places, new, strict=True))
    return [given.get(k, v) for k, v in enumerate(values)]


def _checked(changed: Any, treedef: Any, tapped: Sequence[int], cotangents: Sequence[Any]) -> list[Any]:
    """The replacement's leaves, in the types of the cotangents."""
    leaves, seen = flatten(changed)
    if seen != treedef:
        raise TreeError(
            f"tap_gradient: the function returned structure {structure_text(seen)} for a cotangent of structure {structure_text(treedef)}; return None to leave it as it is"
        )
    replaced = []
    for k, old in zip(tapped, cotangents, strict=True):
        new = as_operand(leaves[k])
        if shape_of(new) != shape_of(old):
            raise ShapeError(f"tap_gradient: the function returned {aval_of(new)} for a cotangent {aval_of(old)}")
        replaced.append(convert(new, dtype_of(old)))
    return replaced
