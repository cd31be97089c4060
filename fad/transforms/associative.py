"""``associative_scan``: all prefixes of an associative operation in a logarithmic number of vectorised steps.

The recursion combines neighbours, scans the half-length result and fills in the other half (Blelloch, "Prefix sums and their applications",
CMU-CS-90-190, 1990).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fad.core.array import wrap
from fad.core.avals import shape_of
from fad.core.errors import ArgumentError, ShapeError, TreeError
from fad.core.pytrees import flatten, unflatten
from fad.primitives.slicing import concatenate, flip, slice_axis
from fad.primitives.structural import move_axis, reshape
from fad.transforms.arguments import as_function, as_operand, function_name

__all__ = ["associative_scan"]


def associative_scan(fn: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0) -> Any:
    """All prefixes ``e0, fn(e0, e1), fn(fn(e0, e1), e2), ...`` along an axis.

    Parameters
    ----------
    fn : callable
        Associative function of two pytrees like ``elems``, vectorised over the scanned axis.
    elems : pytree
        Arrays with the same size along ``axis``.
    reverse : bool
        Whether to scan suffixes instead.
    axis : int
        The axis.

    Returns
    -------
    pytree
        The prefixes, with the shapes of ``elems``.

    Raises
    ------
    ShapeError
        If sizes along ``axis`` differ, or there is no such axis.
    TreeError
        If ``fn`` changes the structure.

    Examples
    --------
    >>> import fad
    >>> fad.associative_scan(lambda a, b: a + b, fad.Array([1.0, 2.0, 3.0, 4.0]))
    Array([ 1.,  3.,  6., 10.])
    """
    fn = as_function("associative_scan", fn)
    leaves, treedef = flatten(elems)
    operands = [as_operand(leaf) for leaf in leaves]
    if not operands:
        raise ArgumentError("associative_scan: elems holds no array")
    axes = []
    for operand in operands:
        ndim = len(shape_of(operand))
        if not -ndim <= axis < ndim:
            raise ShapeError(f"associative_scan: axis {axis} does not exist in an array of shape {shape_of(operand)}")
        axes.append(axis % ndim)
    sizes = {shape_of(o)[a] for o, a in zip(operands, axes, strict=True)}
    if len(sizes) > 1:
        raise ShapeError(f"associative_scan: sizes along axis {axis} differ: {', '.join(map(str, sorted(sizes)))}")

    def combine(first: list[Any], second: list[Any]) -> list[Any]:
        # The function sees the axis where the caller has it.
        out = fn(
            *[
                unflatten(treedef, [wrap(move_axis(o, 0, a)) for o, a in zip(side, axes, strict=True)])
                for side in (first, second)
            ]
        )
        out_leaves, out_tree = flatten(out)
        if out_tree != treedef:
            raise TreeError(
                f"associative_scan({function_name(fn)}): the function gives {out_tree} for elements of structure {treedef}"
            )
        return [move_axis(as_operand(leaf), a, 0) for leaf, a in zip(out_leaves, axes, strict=True)]

    fronted = [move_axis(o, a, 0) for o, a in zip(operands, axes, strict=True)]
    if reverse:
        fronted = [flip(o, (0,)) for o in _prefixes(combine, [flip(o, (0,)) for o in fronted])]
    else:
        fronted = _prefixes(combine, fronted)
    return unflatten(treedef, [wrap(move_axis(o, 0, a)) for o, a in zip(fronted, axes, strict=True)])


def _prefixes(combine: Callable[[list[Any], list[Any]], list[Any]], elems: list[Any]) -> list[Any]:
    size = shape_of(elems[0])[0]
    if size < 2:
        return elems
    even = size - size % 2
    pairs = combine([slice_axis(e, 0, 0, even, 2) for e in elems], [slice_axis(e, 0, 1, even, 2) for e in elems])
    odd = _prefixes(combine, pairs)
    count = (size - 1) // 2
    rest = [slice_axis(e, 0, 2, size, 2) for e in elems]
    filled = combine([slice_axis(o, 0, 0, count) for o in odd], rest) if count else rest
    first = [slice_axis(e, 0, 0, 1) for e in elems]
    return [_interleaved(concatenate([f, m], 0), o) for f, m, o in zip(first, filled, odd, strict=True)]


def _interleaved(even: Any, odd: Any) -> Any:
    """Rows of ``even`` and ``odd`` in turn; ``even`` may have one more."""
    count, shape = shape_of(odd)[0], shape_of(odd)[1:]
    head = slice_axis(even, 0, 0, count)
    woven = concatenate([reshape(head, (count, 1, *shape)), reshape(odd, (count, 1, *shape))], 1)
    return concatenate([reshape(woven, (2 * count, *shape)), slice_axis(even, 0, count, shape_of(even)[0])], 0)
