"""Jacobians, Hessians and Hessian-vector products, from ``jvp``, ``vjp`` and ``vmap``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from fad.core.array import wrap
from fad.core.avals import ShapedArray, aval_of, is_complex, is_inexact, shape_of
from fad.core.errors import ArgumentError, DTypeError
from fad.core.placement import beside, lies_on_device
from fad.core.pytrees import flatten, unflatten
from fad.primitives.slicing import concatenate
from fad.primitives.structural import broadcast_to, move_axis, reshape
from fad.transforms.arguments import (
    argument_paths,
    as_function,
    check_differentiable,
    function_name,
    leaf_operands,
    normalize_argnums,
    replace_arguments,
    result_operands,
    select_arguments,
    split_aux,
)
from fad.transforms.batching import batch_flat
from fad.transforms.forward import jvp_flat
from fad.transforms.gradients import grad, jvp
from fad.transforms.reverse import vjp_flat
from fad.transforms.wrapping import TransformedFunction

__all__ = ["hessian", "hvp", "jacfwd", "jacobian", "jacrev"]


def _basis(aval: ShapedArray, start: int, stop: int) -> np.ndarray:
    """Basis vectors ``start:stop`` of the space of values of a type, stacked."""
    rows = np.zeros((stop - start, aval.size), aval.dtype)
    rows[np.arange(stop - start), np.arange(start, stop)] = 1
    return rows.reshape(stop - start, *aval.shape)


def _chunks(total: int, chunk_size: int | None) -> list[tuple[int, int]]:
    step = chunk_size or max(total, 1)
    return [(i, min(i + step, total)) for i in range(0, total, step)] or [(0, 0)]


def _check_chunk(transform: str, chunk_size: Any) -> None:
    if chunk_size is not None and (not isinstance(chunk_size, int) or chunk_size < 1):
        raise ArgumentError(f"{transform}: chunk_size must be a positive int or None, got {chunk_size!r}")


def jacfwd(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Jacobian of ``fun`` column by column, by forward mode; best where there are fewer inputs than outputs.

    Parameters
    ----------
    fun : callable
        Function of pytrees, giving a pytree.
    argnums : int or tuple of int
        Positional arguments to differentiate with respect to.
    has_aux : bool
        Whether ``fun`` returns ``(out, aux)``; then the result is ``(jacobian, aux)``.
    holomorphic : bool
        Whether ``fun`` is a holomorphic function of complex inputs.
    chunk_size : int, optional
        How many columns to compute at once; fewer take less memory.

    Returns
    -------
    callable
        With the arguments of ``fun``; gives the structure of the result with, at each leaf, the structure of the argument. A leaf
        has the output's shape followed by the input's.

    Raises
    ------
    DTypeError
        If an input is not floating point.

    Examples
    --------
    >>> import fad
    >>> fad.jacfwd(lambda x: x**2)(fad.Array([1.0, 2.0]))
    Array([[2., 0.],
           [0., 4.]])
    """
    call = _jacobian_by("jacfwd", _forward_columns, fun, argnums, has_aux, holomorphic, chunk_size)
    return TransformedFunction(call, jacfwd, fun, argnums, has_aux, holomorphic, chunk_size)


def jacrev(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Jacobian of ``fun`` row by row, by reverse mode; best where there are fewer outputs than inputs.

    Parameters, result and exceptions are those of :func:`jacfwd`, with rows for columns.

    Examples
    --------
    >>> import fad
    >>> fad.jacrev(lambda x: x**2)(fad.Array([1.0, 2.0]))
    Array([[2., 0.],
           [0., 4.]])
    """
    call = _jacobian_by("jacrev", _reverse_rows, fun, argnums, has_aux, holomorphic, chunk_size)
    return TransformedFunction(call, jacrev, fun, argnums, has_aux, holomorphic, chunk_size)


def _jacobian_by(
    transform: str, method: Any, fun: Any, argnums: Any, has_aux: bool, holomorphic: bool, chunk_size: Any
) -> Callable[..., Any]:
    fun = as_function(transform, fun)
    _check_chunk(transform, chunk_size)

    def jacobian_of(*args: Any, **kwargs: Any) -> Any:
        numbers, single = normalize_argnums(transform, fun, argnums, len(args))
        chosen = select_arguments(args, numbers)
        leaves, treedef = flatten(chosen)
        describe = argument_paths(chosen)
        operands = leaf_operands(transform, fun, leaves, describe)
        check_differentiable(transform, fun, operands, describe, holomorphic)
        found: dict[str, Any] = {}

        def flat_fun(*xs: Any) -> list[Any]:
            out = fun(*replace_arguments(args, numbers, unflatten(treedef, [wrap(x) for x in xs])), **kwargs)
            if has_aux:
                out, aux = split_aux(transform, fun, out)
                aux_leaves, found["aux_tree"] = flatten(aux)
            outs, found["tree"] = result_operands(transform, fun, out)
            found["count"] = len(outs)
            return [*outs, *(aux_leaves if has_aux else [])]

        outs, blocks = method(transform, flat_fun, operands, found, chunk_size, fun, holomorphic)
        nested = [unflatten(treedef, [wrap(b) for b in row]) for row in blocks]
        result = unflatten(found["tree"], [row[0] if single else row for row in nested])
        return (result, unflatten(found["aux_tree"], outs[found["count"] :])) if has_aux else result

    return jacobian_of


def _check_output(transform: str, fun: Any, avals: Sequence[ShapedArray], holomorphic: bool) -> None:
    for aval in avals:
        if not is_inexact(aval.dtype):
            raise DTypeError(
                f"{transform}({function_name(fun)}): the result must be real or complex floating point, got {aval}"
            )
        if holomorphic and not is_complex(aval.dtype):
            raise DTypeError(
                f"{transform}({function_name(fun)}, holomorphic=True): the result must be complex, got {aval}"
            )


def _forward_columns(
    transform: str,
    flat_fun: Any,
    operands: Sequence[Any],
    found: dict[str, Any],
    chunk_size: Any,
    fun: Any,
    holomorphic: bool,
) -> Any:
    avals = [aval_of(o).update() for o in operands]
    if not holomorphic and any(is_complex(a.dtype) for a in avals):
        raise DTypeError(
            f"{transform}({function_name(fun)}): complex inputs need holomorphic=True; a real-linear derivative is not one matrix"
        )
    outs: list[Any] = []
    columns: list[list[Any]] = []
    for k, aval in enumerate(avals):

        def push(tangent: Any, k: int = k) -> list[Any]:
            tangents = [tangent if j == k else None for j in range(len(operands))]
            outs[:], moved = jvp_flat(flat_fun, operands, tangents, owner=fun)
            return moved[: found["count"]]

        pieces = [_batched(push, operands[k], start, stop, fun) for start, stop in _chunks(aval.size, chunk_size)]
        joined = [concatenate([p[j] for p in pieces], 0) for j in range(found["count"])]
        columns.append(
            [reshape(move_axis(c, 0, len(shape_of(c)) - 1), (*shape_of(c)[1:], *aval.shape)) for c in joined]
        )
    _check_output(transform, fun, [aval_of(o) for o in outs[: found["count"]]], holomorphic)
    return outs, [[column[j] for column in columns] for j in range(found["count"])]


def _batched(function: Callable[..., list[Any]], like: Any, start: int, stop: int, fun: Any) -> list[Any]:
    """A linear function of one value, applied to basis vectors ``start:stop`` of the space of ``like`` at once."""
    size, basis = stop - start, beside(_basis(aval_of(like).update(), start, stop), lies_on_device(like))
    outs, mapped = batch_flat(function, size, [basis], [True], owner=fun)
    return [o if m else broadcast_to(o, (size, *shape_of(o))) for o, m in zip(outs, mapped, strict=True)]


def _reverse_rows(
    transform: str,
    flat_fun: Any,
    operands: Sequence[Any],
    found: dict[str, Any],
    chunk_size: Any,
    fun: Any,
    holomorphic: bool,
) -> Any:
    outs, pullback = vjp_flat(flat_fun, operands, owner=fun)
    count = found["count"]
    avals = [aval_of(o).update() for o in outs[:count]]
    if not holomorphic and any(is_complex(a.dtype) for a in avals):
        raise DTypeError(
            f"{transform}({function_name(fun)}): complex results need holomorphic=True; a real-linear derivative is not one matrix"
        )
    _check_output(transform, fun, avals, holomorphic)
    rows = []
    for j, aval in enumerate(avals):

        def pull(cotangent: Any, j: int = j) -> list[Any]:
            return pullback([cotangent if i == j else None for i in range(len(outs))])

        pieces = [_batched(pull, outs[j], start, stop, fun) for start, stop in _chunks(aval.size, chunk_size)]
        joined = [concatenate([p[k] for p in pieces], 0) for k in range(len(operands))]
        rows.append([reshape(r, (*aval.shape, *shape_of(r)[1:])) for r in joined])
    return outs, rows


jacobian = jacrev


def hessian(
    fun: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Hessian of ``fun``: forward mode over reverse mode.

    Parameters
    ----------
    fun : callable
        Function of pytrees, usually with a scalar result.
    argnums : int or tuple of int
        Positional arguments to differentiate with respect to.
    has_aux : bool
        Whether ``fun`` returns ``(out, aux)``; then the result is ``(hessian, aux)``.
    holomorphic : bool
        Whether ``fun`` is a holomorphic function of complex inputs.
    chunk_size : int, optional
        How many columns to compute at once.

    Returns
    -------
    callable
        With the arguments of ``fun``; gives, for array arguments and results, an array of the output's shape followed by the input's
        shape twice; nested trees for trees.

    Examples
    --------
    >>> import fad
    >>> fad.hessian(lambda x: x[0] * x[1] ** 2)(fad.Array([1.0, 2.0]))
    Array([[0., 4.],
           [4., 2.]])
    """
    rows = _jacobian_by("hessian", _reverse_rows, fun, argnums, has_aux, holomorphic, chunk_size)
    rows = update_wrapper(rows, fun, updated=())  # messages name the user's function
    call = _jacobian_by("hessian", _forward_columns, rows, argnums, has_aux, holomorphic, chunk_size)
    return TransformedFunction(call, hessian, fun, argnums, has_aux, holomorphic, chunk_size)


def hvp(fun: Callable[..., Any], primals: Any, tangents: Any) -> Any:
    """Hessian-vector product of a scalar function, by forward mode over reverse mode: about two gradients' work, no Hessian.

    Parameters
    ----------
    fun : callable
        Function with a real scalar result.
    primals, tangents : tuple
        The point and the vector, one entry per argument, as for :func:`jvp`. An argument that is not a tuple stands for the
        only one.

    Returns
    -------
    pytree
        The product, with the structure of the only argument, or a tuple with one entry per argument.

    Examples
    --------
    >>> import fad
    >>> fad.hvp(lambda x: (x**3).sum(), (fad.Array([1.0, 2.0]),), (fad.Array([1.0, 1.0]),))
    Array([ 6., 12.])
    """
    fun = as_function("hvp", fun)
    if not isinstance(primals, tuple):
        primals, tangents = (primals,), (tangents,)
    argnums = 0 if len(primals) == 1 else tuple(range(len(primals)))
    return jvp(grad(fun, argnums), primals, tangents)[1]
