"""``vmap``: a function of single examples becomes a function of batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fad.core.array import wrap
from fad.core.avals import aval_of, shape_of
from fad.core.errors import ArgumentError, ShapeError, TreeError
from fad.core.pytrees import broadcast_prefix, flatten, mismatch_text, unflatten
from fad.primitives.structural import broadcast_to, move_axis
from fad.transforms.arguments import argument_paths, as_function, function_name, leaf_operands, result_operands
from fad.transforms.batching import batch_flat
from fad.transforms.wrapping import TransformedFunction

__all__ = ["vmap"]


def _is_none(x: Any) -> bool:
    return x is None


def vmap(
    fun: Callable[..., Any], in_axes: Any = 0, out_axes: Any = 0, axis_name: Any = None, axis_size: int | None = None
) -> Callable[..., Any]:
    """Vectorise ``fun`` over an axis of its arguments.

    Parameters
    ----------
    fun : callable
        Function of single examples; it never sees the mapped axis.
    in_axes : int, None or pytree of them
        Axis to map of each argument: one value for all, or a tuple with one entry per positional argument, each a pytree
        prefix of its argument. ``None`` passes the argument unmapped. Keyword arguments are mapped over axis 0.
    out_axes : int, None or pytree of them
        Where the mapped axis goes in the results (a pytree prefix); ``None`` for results that do not depend on the batch.
    axis_name : hashable, optional
        Name of the axis for ``psum`` and the other collectives.
    axis_size : int, optional
        Size of the axis; needed only where nothing is mapped.

    Returns
    -------
    callable
        The vectorised function.

    Raises
    ------
    ShapeError
        If mapped axes have different sizes, or an axis does not exist.
    ArgumentError
        If ``in_axes`` does not fit the arguments.

    Examples
    --------
    >>> import fad
    >>> x = fad.Array([[1.0, 2.0], [3.0, 4.0]])
    >>> fad.vmap(lambda row: row.sum())(x)
    Array([3., 7.])
    >>> fad.vmap(lambda a, b: a * b, in_axes=(0, None))(x, 10.0)
    Array([[10., 20.],
           [30., 40.]])
    """
    given, fun = fun, as_function("vmap", fun)
    if isinstance(in_axes, list):
        in_axes = tuple(in_axes)

    def vectorised(*args: Any, **kwargs: Any) -> Any:
        tree = (args, kwargs)
        leaves, treedef = flatten(tree)
        axes = _leaf_axes(fun, in_axes, args, kwargs)
        describe = argument_paths(args) if not kwargs else argument_paths(tree, "leaf")
        operands = leaf_operands("vmap", fun, leaves, describe)
        size, fronted = _fronted(fun, operands, axes, axis_size, describe)
        found: dict[str, Any] = {}

        def flat_fun(*xs: Any) -> list[Any]:
            call_args, call_kwargs = unflatten(treedef, [wrap(x) for x in xs])
            outs, found["tree"] = result_operands("vmap", fun, fun(*call_args, **call_kwargs))
            return outs

        outs, mapped = batch_flat(flat_fun, size, fronted, [a is not None for a in axes], axis_name, owner=fun)
        return _placed(fun, found["tree"], outs, mapped, size, out_axes)

    return TransformedFunction(vectorised, vmap, given, in_axes, out_axes, axis_name, axis_size)


def _leaf_axes(fun: Any, in_axes: Any, args: Any, kwargs: Any) -> list[int | None]:
    """The axis of every leaf; ``None`` for those that are not mapped."""
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise ArgumentError(
            f"vmap({function_name(fun)}): in_axes has {len(in_axes)} entries, but the call has {len(args)} positional arguments; "
            "give one entry for each, or a single int for all"
        )
    try:
        axes = (
            broadcast_prefix(in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args), args, _is_none)
            if args
            else []
        )
    except ValueError as error:
        raise TreeError(
            f"vmap({function_name(fun)}): in_axes={in_axes!r} is not a prefix of the arguments' structure: {mismatch_text(error)}"
        ) from None
    # A None among the arguments is a node without leaves; a None among the axes is a leaf.
    kept = [a for a, leaf in zip(axes, flatten(args, _is_none)[0], strict=True) if leaf is not None] if args else []
    for axis in kept:
        if axis is not None and (not isinstance(axis, int | np.integer) or isinstance(axis, bool)):
            raise ArgumentError(f"vmap({function_name(fun)}): in_axes must hold ints and None, got {axis!r}")
    return [*kept, *[0] * len(flatten(kwargs)[0])]


def _fronted(
    fun: Any, operands: list[Any], axes: list[int | None], axis_size: int | None, describe: Any
) -> tuple[int, list[Any]]:
    """The batch size, and the operands with their mapped axes in front."""
    sizes: dict[int, str] = {} if axis_size is None else {axis_size: "axis_size"}
    fronted = []
    for k, (operand, axis) in enumerate(zip(operands, axes, strict=True)):
        if axis is None:
            fronted.append(operand)
            continue
        shape = shape_of(operand)
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(
                f"vmap({function_name(fun)}): {describe(k)} has type {aval_of(operand)}, so it has no axis {axis} to map; "
                "use None in in_axes for arguments that are not mapped"
            )
        axis = axis % len(shape)
        sizes.setdefault(shape[axis], f"{describe(k)} of type {aval_of(operand)}, axis {axis}")
        fronted.append(move_axis(operand, axis, 0))
    if len(sizes) > 1:
        listing = "; ".join(f"size {n}: {where}" for n, where in sizes.items())
        raise ShapeError(f"vmap({function_name(fun)}): the mapped axes have different sizes. {listing}")
    if not sizes:
        raise ArgumentError(
            f"vmap({function_name(fun)}): nothing is mapped, so the batch size is unknown; pass axis_size, or an int in in_axes"
        )
    return next(iter(sizes)), fronted


def _placed(fun: Any, treedef: Any, outs: list[Any], mapped: list[bool], size: int, out_axes: Any) -> Any:
    """The results with their mapped axes where ``out_axes`` says."""
    skeleton = unflatten(treedef, list(range(len(outs))))
    try:
        axes = broadcast_prefix(out_axes, skeleton, _is_none)
    except ValueError as error:
        raise TreeError(
            f"vmap({function_name(fun)}): out_axes={out_axes!r} is not a prefix of the result's structure: {mismatch_text(error)}"
        ) from None
    axes = [a for a, leaf in zip(axes, flatten(skeleton, _is_none)[0], strict=True) if leaf is not None]
    placed = []
    for k, (out, is_mapped, axis) in enumerate(zip(outs, mapped, axes, strict=True)):
        if axis is None:
            if is_mapped:
                raise ArgumentError(
                    f"vmap({function_name(fun)}): out_axes is None for result {k}, but that result depends on the mapped axis"
                )
            placed.append(wrap(out))
            continue
        value = out if is_mapped else broadcast_to(out, (size, *shape_of(out)))
        ndim = len(shape_of(value))
        if not -ndim <= axis < ndim:
            raise ShapeError(
                f"vmap({function_name(fun)}): out_axes={axis} does not fit result {k}, which has {ndim} axes with the mapped one"
            )
        placed.append(wrap(move_axis(value, 0, axis % ndim)))
    return unflatten(treedef, placed)
