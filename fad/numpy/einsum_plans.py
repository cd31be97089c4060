"""Plans of ``einsum``: the subscripts turned into pairwise products, sums, diagonals and permutations, once per signature."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from fad.core.avals import shape_of
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.primitives import arithmetic
from fad.primitives.contraction import dot_general
from fad.primitives.slicing import slice_axis
from fad.primitives.structural import permute, reduce_sum, reshape

__all__ = ["contract_pair", "diagonal_of", "parse_subscripts", "run_plan"]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def diagonal_of(x: Any, axis1: int, axis2: int, offset: int = 0) -> Any:
    """The diagonal along two distinct non-negative axes; it becomes the last axis."""
    ndim = len(shape_of(x))
    rest = [a for a in range(ndim) if a not in (axis1, axis2)]
    x = permute(x, (*rest, axis1, axis2))
    *lead, rows, columns = shape_of(x)
    length = max(0, min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns))
    if length == 0:
        return reshape(slice_axis(slice_axis(x, ndim - 2, 0, 0), ndim - 1, 0, 0), (*lead, 0))
    start = offset if offset >= 0 else -offset * columns
    flat = reshape(x, (*lead, rows * columns))
    return slice_axis(flat, ndim - 2, start, start + (length - 1) * (columns + 1) + 1, columns + 1)


# --- subscripts ------------------------------------------------------------------------------------------------------------------------


def subscripts_of_lists(args: Sequence[Any]) -> tuple[str, list[Any]]:
    """The string form of ``einsum(x, [0, 1], y, [1, 2], [0, 2])``."""
    arrays, lists = list(args[0 : len(args) - len(args) % 2 : 2]), list(args[1::2])
    labels = sorted({n for one in (*lists, *(args[-1:] if len(args) % 2 else ())) for n in one if n is not Ellipsis})
    if any(not isinstance(n, int) for n in labels) or len(labels) > len(_LETTERS):
        raise ArgumentError(
            f"einsum: sublists must hold ints and Ellipsis, at most {len(_LETTERS)} of them, got {lists}"
        )
    letter = dict(zip(labels, _LETTERS, strict=False))

    def text(one: Any) -> str:
        return "".join("..." if n is Ellipsis else letter[n] for n in one)

    subscripts = ",".join(map(text, lists))
    return subscripts + ("->" + text(args[-1]) if len(args) % 2 else ""), arrays


def parse_subscripts(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[list[str], str]:
    """Labels of each operand and of the result, without ellipses."""
    text = subscripts.replace(" ", "")
    left, arrow, output = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ArgumentError(f"einsum: {subscripts!r} has {len(terms)} terms for {len(shapes)} arrays")
    used = set(text) - set(".,->")
    if not used <= set(_LETTERS) or (arrow and ">" in output):
        raise ArgumentError(f"einsum: {subscripts!r} may hold only letters, commas, '...' and one '->'")
    spare = [c for c in _LETTERS if c not in used]
    widths = [len(s) - len(t.replace("...", "")) if "..." in t else 0 for t, s in zip(terms, shapes)]
    hidden = "".join(spare[: max(widths, default=0)])
    labels = []
    for term, shape, width in zip(terms, shapes, widths):
        found = term.replace("...", hidden[len(hidden) - width :] if width > 0 else "", 1)
        if "." in found or width < 0 or len(found) != len(shape):
            raise ShapeError(
                f"einsum: the term {term!r} of {subscripts!r} names {len(term.replace('...', ''))} axes, the array has shape {shape}"
            )
        labels.append(found)
    if arrow:
        output = output.replace("...", hidden, 1)
    else:
        joined = "".join(labels)
        single = sorted(c for c in set(joined) if joined.count(c) == 1 and c not in hidden)
        output = hidden + "".join(single)
    if len(set(output)) != len(output) or not set(output) <= set("".join(labels)):
        raise ArgumentError(
            f"einsum: the result {output!r} of {subscripts!r} must name each label once, and only labels of the arrays"
        )
    return labels, output


def label_sizes(subscripts: str, labels: Sequence[str], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    """Size of each label; axes of size 1 broadcast."""
    sizes: dict[str, int] = {}
    for term, shape in zip(labels, shapes):
        for label, n in zip(term, shape):
            seen = sizes.setdefault(label, n)
            if seen != n and 1 not in (seen, n):
                raise ShapeError(
                    f"einsum: label {label!r} of {subscripts!r} has sizes {seen} and {n} in shapes {list(shapes)}"
                )
            sizes[label] = n if seen == 1 else seen
    return sizes


# --- the steps --------------------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=2048)
def _plan(subscripts: str, shapes: tuple[tuple[int, ...], ...], optimize: Any) -> tuple[Any, ...]:
    labels, output = parse_subscripts(subscripts, shapes)
    sizes = label_sizes(subscripts, labels, shapes)
    return tuple(labels), output, sizes, _path(labels, output, sizes, optimize), _single_product(labels, output, shapes)


def _single_product(labels: list[str], output: str, shapes: tuple[tuple[int, ...], ...]) -> Any:
    """Contracted and batch axes, and the order of the result's, if one matrix product is all there is to do."""
    if len(labels) != 2 or any(len(set(term)) != len(term) for term in labels):
        return None
    a, b = labels
    shared = [c for c in a if c in b]
    contracted, batch = [c for c in shared if c not in output], [c for c in shared if c in output]
    fits = all(shapes[0][a.index(c)] == shapes[1][b.index(c)] for c in shared)
    kept = [*batch, *(c for c in a if c not in shared), *(c for c in b if c not in shared)]
    if not contracted or not fits or sorted(kept) != sorted(output):
        return None
    contract, together = (
        (tuple(a.index(c) for c in part), tuple(b.index(c) for c in part)) for part in (contracted, batch)
    )
    return contract, together, tuple(kept.index(c) for c in output)


def _path(labels: Sequence[str], output: str, sizes: dict[str, int], optimize: Any) -> tuple[tuple[int, ...], ...]:
    """Which operands to multiply in which order."""
    count = len(labels)
    if isinstance(optimize, tuple) and optimize and optimize[0] == "einsum_path":
        return optimize[1:]
    if count <= 2 or optimize is False:
        return tuple((0, 1) for _ in range(count - 1))
    import opt_einsum

    inputs = [frozenset(t) for t in labels]
    finder = {True: "auto", None: "auto"}.get(optimize, optimize)
    search = getattr(opt_einsum.paths, str(finder), None) or opt_einsum.paths.auto
    return tuple(tuple(step) for step in search(inputs, frozenset(output), dict(sizes), None))


def run_plan(subscripts: str, arrays: Sequence[Any], optimize: Any = True) -> Any:
    """Evaluate the subscripts on operands of one dtype."""
    if not isinstance(subscripts, str):
        raise DTypeError(f"einsum: the subscripts must be a string or lists of ints, got {type(subscripts).__name__}")
    labels, output, sizes, path, single = _plan(subscripts, tuple(shape_of(a) for a in arrays), optimize)
    if single is not None:
        contract, batch, order = single
        return permute(dot_general(arrays[0], arrays[1], contract, batch), order)
    terms = [_single_labels(a, t, sizes) for a, t in zip(arrays, labels)]
    for step in path:
        chosen = [terms[k] for k in step]
        terms = [t for k, t in enumerate(terms) if k not in step]
        merged = chosen[0]
        for position, other in enumerate(chosen[1:], 2):
            later = "".join([output, *(t for _, t in terms), *(t for _, t in chosen[position:])])
            merged = contract_pair(merged, other, later)
        terms.append(merged)
    x, term = terms[0]
    summed = tuple(k for k, c in enumerate(term) if c not in output)
    x, term = reduce_sum(x, summed), "".join(c for c in term if c in output)
    return permute(x, tuple(term.index(c) for c in output))


def _single_labels(x: Any, term: str, sizes: dict[str, int]) -> tuple[Any, str]:
    """Take diagonals of repeated labels, drop axes of size 1 that broadcast."""
    shape = shape_of(x)
    kept = [k for k, c in enumerate(term) if shape[k] == sizes[c]]
    if len(kept) < len(term):
        x, term = reshape(x, tuple(shape[k] for k in kept)), "".join(term[k] for k in kept)
    for label in sorted(set(term)):
        while term.count(label) > 1:
            first = term.index(label)
            second = term.index(label, first + 1)
            x = diagonal_of(x, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + label
    return x, term


def contract_pair(first: tuple[Any, str], second: tuple[Any, str], later: str) -> tuple[Any, str]:
    """Multiply two labelled arrays and sum over the labels that nobody needs later."""
    (x, a), (y, b) = (
        _without(t, {c for c in t[1] if c not in later and c not in o[1]})
        for t, o in ((first, second), (second, first))
    )
    shared = [c for c in a if c in b]
    contracted = [c for c in shared if c not in later]
    batch = [c for c in shared if c in later]
    if not contracted:
        return _broadcast_product(x, a, y, b)
    out = dot_general(
        x,
        y,
        (tuple(a.index(c) for c in contracted), tuple(b.index(c) for c in contracted)),
        (tuple(a.index(c) for c in batch), tuple(b.index(c) for c in batch)),
    )
    return out, "".join([*batch, *(c for c in a if c not in shared), *(c for c in b if c not in shared)])


def _without(term: tuple[Any, str], dropped: set[str]) -> tuple[Any, str]:
    x, labels = term
    return reduce_sum(x, tuple(k for k, c in enumerate(labels) if c in dropped)), "".join(
        c for c in labels if c not in dropped
    )


def _broadcast_product(x: Any, a: str, y: Any, b: str) -> tuple[Any, str]:
    """Elementwise product: the labels of ``a``, then those that only ``b`` has."""
    extra = "".join(c for c in b if c not in a)
    order = tuple(b.index(c) for c in [*(c for c in a if c in b), *extra])
    y = permute(y, order)
    sizes = dict(zip((b[k] for k in order), shape_of(y)))
    y = reshape(y, tuple(sizes.get(c, 1) for c in a + extra))
    x = reshape(x, shape_of(x) + (1,) * len(extra))
    return arithmetic.multiply.bind(x, y), a + extra
