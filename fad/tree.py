"""Pytrees: nested dicts, lists, tuples, namedtuples, ``None`` and registered classes, with arrays at the leaves."""

from __future__ import annotations

import builtins
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fad.core import pytrees
from fad.core.array import wrap
from fad.core.avals import dtype_of, is_complex, result_dtype, shape_of, weak_operand
from fad.core.errors import ArgumentError, DTypeError, ShapeError, TreeError
from fad.core.pytrees import path_text
from fad.primitives.slicing import concatenate, slice_axis
from fad.primitives.structural import convert, full, reshape
from fad.transforms.arguments import as_operand

if TYPE_CHECKING:
    from fad.core.pytrees import PyTreeDef

__all__ = [
    "all",
    "flatten",
    "flatten_with_path",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "ravel",
    "reduce",
    "register_dataclass",
    "register_node",
    "structure",
    "transpose",
    "unflatten",
]

IsLeaf = Callable[[Any], bool] | None
_missing = object()


def map(function: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """Apply a function to every leaf, or to the corresponding leaves of several trees.

    Parameters
    ----------
    function : callable
        Takes one leaf per tree.
    tree : pytree
        Gives the structure of the result.
    *rest : pytree
        Trees with the same structure; where ``tree`` has a leaf they may have whole subtrees.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Returns
    -------
    pytree
        Of the function's results.

    Raises
    ------
    TreeError
        If a structure does not fit.

    Examples
    --------
    >>> import fad
    >>> fad.tree.map(lambda p, g: p - 0.1 * g, {"w": 1.0, "b": 2.0}, {"w": 10.0, "b": 0.0})
    {'w': 0.0, 'b': 2.0}
    """
    values, treedef = pytrees.flatten(tree, is_leaf)
    return pytrees.unflatten(treedef, [function(*xs) for xs in zip(values, *_beside(treedef, rest), strict=True)])


def _beside(treedef: PyTreeDef, rest: Sequence[Any]) -> list[list[Any]]:
    """What the other trees have where the first has its leaves."""
    found = []
    for k, other in enumerate(rest):
        try:
            found.append(treedef.flatten_up_to(other))
        except (ValueError, TypeError) as error:
            raise TreeError(
                f"fad.tree: tree {k + 1} does not have the structure of the first: {pytrees.mismatch_text(error)}. The structures are {pytrees.structure_text(treedef)} and "
                f"{pytrees.structure_text(pytrees.structure(other))}."
            ) from None
    return found


def map_with_path(function: Callable[..., Any], tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """Like :func:`map`, with the leaf's path as the function's first argument.

    Parameters
    ----------
    function : callable
        Takes a tuple of keys, indices and field names, and one leaf per tree.
    tree : pytree
        Gives the structure of the result.
    *rest : pytree
        Trees with the same structure.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Raises
    ------
    TreeError
        If a structure does not fit.

    Examples
    --------
    >>> import fad
    >>> fad.tree.map_with_path(lambda path, x: 0.0 if path[-1] == "b" else x, {"layer": {"w": 1.0, "b": 2.0}})
    {'layer': {'w': 1.0, 'b': 0.0}}
    """
    paths, values, treedef = pytrees.flatten_with_paths(tree, is_leaf)
    columns = _beside(treedef, rest)
    return pytrees.unflatten(treedef, [function(*xs) for xs in zip(paths, values, *columns, strict=True)])


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[Any], PyTreeDef]:
    """The leaves of a tree, in order, and its structure. Dicts are ordered by their keys; ``None`` has no leaves.

    Parameters
    ----------
    tree : pytree
        The tree.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Examples
    --------
    >>> import fad
    >>> leaves, structure = fad.tree.flatten({"b": 2.0, "a": [1.0, None]})
    >>> leaves
    [1.0, 2.0]
    >>> fad.tree.unflatten(structure, leaves)
    {'b': 2.0, 'a': [1.0, None]}
    """
    return pytrees.flatten(tree, is_leaf)


def unflatten(structure: PyTreeDef, leaves: Iterable[Any]) -> Any:
    """The tree of the given structure with the given leaves; undoes :func:`flatten`.

    Parameters
    ----------
    structure : PyTreeDef
        What :func:`flatten` or :func:`structure` gave.
    leaves : iterable
        As many as the structure has.

    Raises
    ------
    TreeError
        If the number of leaves does not fit.

    Examples
    --------
    >>> import fad
    >>> fad.tree.unflatten(fad.tree.structure((0, [0])), [1.0, 2.0])
    (1.0, [2.0])
    """
    return pytrees.unflatten(structure, leaves)


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list[Any]:
    """The leaves of a tree, in order.

    Parameters
    ----------
    tree : pytree
        The tree.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Examples
    --------
    >>> import fad
    >>> fad.tree.leaves({"b": 2.0, "a": [1.0, None]})
    [1.0, 2.0]
    """
    return pytrees.leaves(tree, is_leaf)


def leaves_with_path(tree: Any, is_leaf: IsLeaf = None) -> list[tuple[tuple[Any, ...], Any]]:
    """The leaves of a tree, in order, each with its path: a tuple of keys, indices and field names.

    Parameters
    ----------
    tree : pytree
        The tree.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Examples
    --------
    >>> import fad
    >>> fad.tree.leaves_with_path({"b": 2.0, "a": [1.0]})
    [(('a', 0), 1.0), (('b',), 2.0)]
    """
    return flatten_with_path(tree, is_leaf)[0]


def flatten_with_path(tree: Any, is_leaf: IsLeaf = None) -> tuple[list[tuple[tuple[Any, ...], Any]], PyTreeDef]:
    """What :func:`leaves_with_path` gives, and the structure.

    Parameters
    ----------
    tree : pytree
        The tree.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Examples
    --------
    >>> import fad
    >>> found, structure = fad.tree.flatten_with_path([3.0])
    >>> found
    [((0,), 3.0)]
    """
    paths, values, treedef = pytrees.flatten_with_paths(tree, is_leaf)
    return list(zip(paths, values, strict=True)), treedef


def all(tree: Any, is_leaf: IsLeaf = None) -> bool:
    """Whether every leaf is true, as in ``all(leaves(tree))``.

    Parameters
    ----------
    tree : pytree
        The tree.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Examples
    --------
    >>> import fad
    >>> fad.tree.all({"a": True, "b": [True, False]})
    False
    """
    return builtins.all(pytrees.leaves(tree, is_leaf))


def structure(tree: Any, is_leaf: IsLeaf = None) -> PyTreeDef:
    """The structure of a tree: comparable, hashable, and what :func:`unflatten` takes.

    Parameters
    ----------
    tree : pytree
        The tree.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Examples
    --------
    >>> import fad
    >>> fad.tree.structure([1, 2]) == fad.tree.structure(["x", "y"])
    True
    """
    return pytrees.structure(tree, is_leaf)


def reduce(function: Callable[[Any, Any], Any], tree: Any, initial: Any = _missing, is_leaf: IsLeaf = None) -> Any:
    """Combine the leaves from left to right, as :func:`functools.reduce` does.

    Parameters
    ----------
    function : callable
        Takes what was combined so far and a leaf.
    tree : pytree
        The tree.
    initial : object, optional
        Start value; without it, the first leaf.
    is_leaf : callable, optional
        ``is_leaf(node)`` says whether a node is to be taken as a leaf.

    Raises
    ------
    TreeError
        If there are no leaves and no start value.

    Examples
    --------
    >>> import fad
    >>> fad.tree.reduce(lambda a, b: a + b, {"x": 1.0, "y": (2.0, 3.0)})
    6.0
    """
    values = pytrees.leaves(tree, is_leaf)
    if initial is not _missing:
        return functools.reduce(function, values, initial)
    if not values:
        raise TreeError("fad.tree.reduce: the tree has no leaves; pass a start value as the third argument")
    return functools.reduce(function, values)


def transpose(outer: Any, inner: Any, tree: Any) -> Any:
    """Turn a tree of trees inside out: from ``outer`` of ``inner`` to ``inner`` of ``outer``.

    Parameters
    ----------
    outer : PyTreeDef or pytree
        Structure of the outside of ``tree``, or a tree that has it.
    inner : PyTreeDef or pytree
        Structure of what stands at each leaf of ``outer``.
    tree : pytree
        The tree to turn.

    Raises
    ------
    TreeError
        If ``tree`` is not an ``outer`` of ``inner``.

    Examples
    --------
    >>> import fad
    >>> fad.tree.transpose([0, 0], {"x": 0, "y": 0}, [{"x": 1, "y": 2}, {"x": 3, "y": 4}])
    {'x': [1, 3], 'y': [2, 4]}
    """
    outer, inner = (t if pytrees.is_structure(t) else pytrees.structure(t) for t in (outer, inner))
    (subtrees,) = _beside(outer, [tree])
    columns = _beside(inner, subtrees)
    rows = zip(*columns, strict=True) if columns else [[] for _ in range(inner.num_leaves)]
    return pytrees.unflatten(inner, [pytrees.unflatten(outer, row) for row in rows])


def register_node(
    cls: type, flatten: Callable[[Any], tuple[Iterable[Any], Any]], unflatten: Callable[[Any, Iterable[Any]], Any]
) -> type:
    """Make a class of your own a node of pytrees.

    Parameters
    ----------
    cls : type
        The class; instances of subclasses stay leaves.
    flatten : callable
        ``flatten(node)`` gives the children and hashable metadata, which belongs to the structure.
    unflatten : callable
        ``unflatten(metadata, children)`` gives a node. Children may be tracers, ``None`` or placeholders, so it should not validate.

    Returns
    -------
    type
        The class.

    Raises
    ------
    TreeError
        If the class is registered already.

    Examples
    --------
    >>> import fad
    >>> class Interval:
    ...     def __init__(self, low, high):
    ...         self.low, self.high = low, high
    >>> _ = fad.tree.register_node(Interval, lambda i: ((i.low, i.high), None), lambda _, ends: Interval(*ends))
    >>> fad.grad(lambda i: i.high**2 - i.low)(Interval(1.0, 3.0)).high
    Array(6.)
    """
    if not isinstance(cls, type):
        raise ArgumentError(f"fad.tree.register_node takes a class, got {type(cls).__name__}: {cls!r:.80}")
    pytrees.register_class(cls, flatten, unflatten)
    return cls


def register_dataclass(cls: Any = None, *, static: Sequence[str] | None = None) -> Any:
    """Make a dataclass a node of pytrees; a decorator, to be put above ``@dataclass``.

    Parameters
    ----------
    cls : type
        The dataclass.
    static : sequence of str, optional
        Fields that belong to the structure and must be hashable, besides those declared with
        ``field(metadata={"static": True})``. All other fields are children.

    Returns
    -------
    type
        The class.

    Raises
    ------
    TreeError
        If it is not a dataclass, or registered already.
    ArgumentError
        If ``static`` names a field that does not exist.

    Examples
    --------
    >>> import fad
    >>> from dataclasses import dataclass, field
    >>> @fad.tree.register_dataclass
    ... @dataclass
    ... class Line:
    ...     slope: float
    ...     name: str = field(metadata={"static": True})
    >>> fad.grad(lambda line: line.slope * 3.0)(Line(2.0, "trend"))
    Line(slope=Array(3.), name='trend')
    """
    if cls is None:
        return functools.partial(register_dataclass, static=static)
    import dataclasses  # whoever has a dataclass has loaded it

    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        name = getattr(cls, "__name__", repr(cls))
        raise TreeError(
            f"fad.tree.register_dataclass: {name} is not a dataclass; put @register_dataclass above @dataclass"
        )
    fields = [f.name for f in dataclasses.fields(cls)]
    unknown = [name for name in static or () if name not in fields]
    if unknown:
        raise ArgumentError(
            f"fad.tree.register_dataclass: static={list(static or ())} names {unknown}, but {cls.__name__} has the fields {fields}"
        )
    chosen = {*(static or ()), *(f.name for f in dataclasses.fields(cls) if f.metadata.get("static"))}
    pytrees.register_dataclass_fields(
        cls, tuple(f for f in fields if f not in chosen), tuple(f for f in fields if f in chosen)
    )
    return cls


def ravel(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """All leaves as one flat array, and the function that puts them back; both differentiable.

    Parameters
    ----------
    tree : pytree
        Of arrays of any shapes and dtypes.

    Returns
    -------
    flat : Array
        Shape ``(n,)`` with ``n`` the number of elements of all leaves, in their promoted dtype; float64 if there are none.
    unravel : callable
        Takes an array of shape ``(n,)``, gives a tree with the shapes and dtypes of ``tree``.

    Raises
    ------
    DTypeError
        If a leaf is not an array; from ``unravel``, if a complex array is given for a real tree.
    ShapeError
        From ``unravel``, if the array has another shape.

    Examples
    --------
    >>> import fad
    >>> flat, unravel = fad.tree.ravel({"w": fad.Array([[1.0, 2.0]]), "b": 3.0})
    >>> flat
    Array([3., 1., 2.])
    >>> unravel(flat * 2)
    {'w': Array([[2., 4.]]), 'b': Array(6.)}
    """
    paths, values, treedef = pytrees.flatten_with_paths(tree)
    operands = []
    for path, value in zip(paths, values, strict=True):
        try:
            operands.append(as_operand(value))
        except (DTypeError, ShapeError) as error:
            raise DTypeError(f"fad.tree.ravel: the leaf tree{path_text(path)} is not an array: {error}") from None
    types = [(shape_of(o), dtype_of(o)) for o in operands]
    dtype = result_dtype(*[weak_operand(o) for o in operands] or [float])
    flat = [reshape(convert(o, dtype), (_size(shape),)) for o, (shape, _) in zip(operands, types, strict=True)]
    total = sum(_size(shape) for shape, _ in types)

    def unravel(vector: Any) -> Any:
        whole = as_operand(vector)
        if shape_of(whole) != (total,):
            raise ShapeError(f"unravel takes an array of shape ({total},), got shape {shape_of(whole)}")
        if is_complex(dtype_of(whole)) and not is_complex(dtype):
            raise DTypeError(
                f"unravel of a real tree ({dtype}) got a complex array ({dtype_of(whole)}); take .real first"
            )
        restored, start = [], 0
        for shape, leaf_dtype in types:
            part = slice_axis(whole, 0, start, start + _size(shape))
            restored.append(wrap(convert(reshape(part, shape), leaf_dtype)))
            start += _size(shape)
        return pytrees.unflatten(treedef, restored)

    return wrap(concatenate(flat, 0) if flat else full((0,), 0, dtype)), unravel


def _size(shape: tuple[int, ...]) -> int:
    return math.prod(shape)
