"""``associative_scan``: all prefixes of an associative operation in vectorised steps.

What is evaluated at once takes a logarithmic number of them: combine neighbours, scan the half-length result, fill in the other half (Blelloch, "Prefix sums
and their applications", CMU-CS-90-190, 1990). In a Program each of these steps would be code of its own. There long arrays are taken in about as many pieces as
a piece has elements, side by side: a loop finds the prefixes within all pieces, another one those of the pieces' totals, and one step joins them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fad.core.array import wrap
from fad.core.avals import aval_of, dtype_of, shape_of
from fad.core.errors import ArgumentError, ShapeError, TreeError
from fad.core.pytrees import flatten, structure_text, unflatten
from fad.core.trace import CURRENT, EVAL
from fad.primitives.slicing import concatenate, flip, slice_axis
from fad.primitives.structural import broadcast_to, move_axis, reshape
from fad.transforms.arguments import as_function, as_operand, function_name
from fad.transforms.scanning import scan

__all__ = ["associative_scan"]

Combine = Callable[[list[Any], list[Any]], list[Any]]
_LONG = 64
"""From so many elements on, Programs hold loops."""


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
                f"associative_scan({function_name(fn)}): the function gives {structure_text(out_tree)} for elements of structure {structure_text(treedef)}"
            )
        given = flatten(first)[0]
        return [_combined(fn, leaf, like, a) for leaf, like, a in zip(out_leaves, given, axes, strict=True)]

    fronted = [move_axis(o, a, 0) for o, a in zip(operands, axes, strict=True)]
    in_pieces = CURRENT.get().base is not EVAL and min(sizes) >= _LONG and _keeps_types(combine, fronted)
    find = _prefixes_in_pieces if in_pieces else _prefixes
    if reverse:
        fronted = [flip(o, (0,)) for o in find(combine, [flip(o, (0,)) for o in fronted])]
    else:
        fronted = find(combine, fronted)
    return unflatten(treedef, [wrap(move_axis(o, 0, a)) for o, a in zip(fronted, axes, strict=True)])


def _combined(fn: Any, leaf: Any, like: Any, axis: int) -> Any:
    """One result of the function, which joins each element of a stack with the one at the same place in another, with the stack's axis in front."""
    operand = as_operand(leaf)
    if len(shape_of(operand)) <= axis or shape_of(operand)[axis] != shape_of(like)[0]:
        raise ShapeError(
            f"associative_scan({function_name(fn)}): the function gets several elements at once, stacked along axis {axis}, and must keep them apart; "
            f"it gave {aval_of(operand)} for {shape_of(like)[0]} of them"
        )
    return move_axis(operand, axis, 0)


def _keeps_types(combine: Combine, elems: list[Any]) -> bool:
    """Whether combined elements have the shape and the dtype that elements have, so that a loop can carry them."""
    pair = [[slice_axis(e, 0, k, k + 1) for e in elems] for k in range(2)]
    kinds = [(shape_of(x), dtype_of(x)) for x in combine(*pair)]
    return kinds == [(shape_of(x), dtype_of(x)) for x in pair[0]]


def _prefixes_in_pieces(combine: Combine, elems: list[Any]) -> list[Any]:
    """The prefixes of long arrays in a Program; what does not fill a piece follows one after another."""
    size = shape_of(elems[0])[0]
    count = 1 << (size.bit_length() // 2)
    length = size // count
    whole = [slice_axis(e, 0, 0, count * length) for e in elems]
    beside = [move_axis(reshape(e, (count, length, *shape_of(e)[1:])), 0, 1) for e in whole]
    within = _one_after_another(combine, [_row(b, 0) for b in beside], [_rows(b, 1) for b in beside])
    totals = [_row(w, length - 1) for w in within]
    singles = [reshape(t, (count, 1, *shape_of(t)[1:])) for t in totals]
    before = _one_after_another(
        combine, [_row(t, 0) for t in singles], [slice_axis(t, 0, 1, count - 1) for t in singles]
    )
    spread = [
        broadcast_to(reshape(b, (count - 1, *shape_of(b)[2:])), (length, count - 1, *shape_of(b)[2:])) for b in before
    ]
    later = [slice_axis(w, 1, 1, count) for w in within]
    flat = [[reshape(x, (length * (count - 1), *shape_of(x)[2:])) for x in side] for side in (spread, later)]
    joined = [reshape(j, shape_of(x)) for j, x in zip(combine(*flat), later, strict=True)]
    together = [concatenate([slice_axis(w, 1, 0, 1), j], 1) for w, j in zip(within, joined, strict=True)]
    found = [reshape(move_axis(t, 0, 1), shape_of(e)) for t, e in zip(together, whole, strict=True)]
    if size == count * length:
        return found
    rest = [slice_axis(e, 0, count * length, size) for e in elems]
    last = [slice_axis(f, 0, count * length - 1, count * length) for f in found]
    following = _one_after_another(combine, last, [reshape(r, (shape_of(r)[0], 1, *shape_of(r)[1:])) for r in rest])
    after = [reshape(f, (shape_of(f)[0], *shape_of(f)[2:])) for f in following]
    return [concatenate([f, _rows(a, 1)], 0) for f, a in zip(found, after, strict=True)]


def _row(x: Any, number: int) -> Any:
    return reshape(slice_axis(x, 0, number, number + 1), shape_of(x)[1:])


def _rows(x: Any, first: int) -> Any:
    return slice_axis(x, 0, first, shape_of(x)[0])


def _one_after_another(combine: Combine, start: list[Any], rows: list[Any]) -> list[Any]:
    """The prefixes of rows, from ``start`` on and with it."""

    def turn(carry: list[Any], row: list[Any]) -> tuple[list[Any], list[Any]]:
        found = [wrap(x) for x in combine([as_operand(c) for c in carry], [as_operand(r) for r in row])]
        return found, found

    _, stacks = scan(turn, [wrap(s) for s in start], [wrap(r) for r in rows])
    return [
        concatenate([reshape(s, (1, *shape_of(s))), as_operand(stack)], 0)
        for s, stack in zip(start, stacks, strict=True)
    ]


def _prefixes(combine: Combine, elems: list[Any]) -> list[Any]:
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
