"""Pytrees, by optree, in fad's own namespace: dict, list, tuple, namedtuple, ``None``, and every class that was registered."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fad.core.errors import TreeError
from fad.core.interruptions import uninterrupted

if TYPE_CHECKING:
    import optree
    from optree import PyTreeSpec as PyTreeDef
else:

    class _OnFirstUse:
        """optree, imported when the first tree is met: that takes as long as a quarter of fad. Found names are kept."""

        def __getattr__(self, name: str) -> Any:
            with uninterrupted():  # C code that was half loaded cannot be loaded again
                value = self.__dict__[name] = getattr(importlib.import_module("optree"), name)
            return value

    optree = _OnFirstUse()

__all__ = [
    "NAMESPACE",
    "broadcast_prefix",
    "flatten",
    "flatten_with_paths",
    "is_structure",
    "leaves",
    "map_leaves",
    "mismatch_text",
    "path_text",
    "register_class",
    "structure",
    "structure_text",
    "unflatten",
]

NAMESPACE = "fad"


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list[Any], PyTreeDef]:
    """The leaves of a tree, in order, and its structure."""
    return optree.tree_flatten(tree, is_leaf, namespace=NAMESPACE)


def unflatten(treedef: PyTreeDef, values: Iterable[Any]) -> Any:
    """The tree of the given structure with the given leaves."""
    try:
        return treedef.unflatten(values)
    except ValueError as error:
        raise TreeError(f"the number of leaves does not fit the structure {structure_text(treedef)}: {error}") from None


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves of a tree, in order."""
    return optree.tree_leaves(tree, is_leaf, namespace=NAMESPACE)


def structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> PyTreeDef:
    """The structure of a tree."""
    return optree.tree_structure(tree, is_leaf, namespace=NAMESPACE)


def is_structure(value: Any) -> bool:
    """Whether a value is the structure of a tree, not a tree."""
    return isinstance(value, optree.PyTreeSpec)


def map_leaves(
    function: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Callable[[Any], bool] | None = None
) -> Any:
    """Apply a function to corresponding leaves."""
    try:
        return optree.tree_map(function, tree, *rests, is_leaf=is_leaf, namespace=NAMESPACE)
    except ValueError as error:
        if not rests:
            raise
        raise TreeError(f"the trees do not have the same structure: {error}") from None


def flatten_with_paths(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> tuple[list[tuple[Any, ...]], list[Any], PyTreeDef]:
    """Paths, leaves and structure."""
    return optree.tree_flatten_with_path(tree, is_leaf, namespace=NAMESPACE)


def mismatch_text(error: Exception) -> str:
    """What optree says of a structure that does not fit, without the values that it prints, which may be large arrays."""
    return re.sub(r"; \w+: .*", "", str(error), flags=re.DOTALL).rstrip(".")


def structure_text(treedef: PyTreeDef) -> str:
    """A structure as a person writes the tree, with a star for each leaf: ``{'weight': *, 'bias': *}``; the middle of a long one is left out."""
    text = re.sub(r"^PyTreeSpec\((.*?)(, namespace='\w*')?\)$", r"\1", str(treedef), flags=re.DOTALL)
    return text if len(text) <= 400 else f"{text[:250]} ... {text[-100:]}"


def path_text(path: tuple[Any, ...]) -> str:
    """A path as a person writes it: ``['layers'][0]['weight']``."""
    return "".join(f"[{entry!r}]" for entry in path)


def broadcast_prefix(prefix: Any, tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list[Any]:
    """The leaves of ``prefix`` repeated over the subtrees of ``tree`` that they stand for."""
    return optree.broadcast_prefix(prefix, tree, is_leaf, namespace=NAMESPACE)


def register_class(
    cls: type, flatten_function: Callable[[Any], Any], unflatten_function: Callable[[Any, Any], Any]
) -> None:
    """Register a class whose ``flatten_function(node)`` gives ``(children, metadata)``."""

    def flatten_node(node: Any) -> tuple[Any, Any, None]:
        children, metadata = flatten_function(node)
        return tuple(children), metadata, None

    try:
        optree.register_pytree_node(cls, flatten_node, unflatten_function, namespace=NAMESPACE)
    except ValueError as error:
        raise TreeError(f"{cls.__name__} cannot be registered as a pytree node: {error}") from None


def register_dataclass_fields(cls: type, data_fields: tuple[str, ...], meta_fields: tuple[str, ...]) -> None:
    """Register a dataclass: ``data_fields`` are children, ``meta_fields`` belong to the structure."""
    import dataclasses  # whoever has a dataclass has loaded it

    def flatten_node(node: Any) -> tuple[Any, Any, tuple[str, ...]]:
        return tuple(getattr(node, f) for f in data_fields), tuple(getattr(node, f) for f in meta_fields), data_fields

    def unflatten_node(metadata: Any, children: Any) -> Any:
        # __init__ may validate; a tree of tracers or of None must pass all the same.
        node = object.__new__(cls)
        for field, value in (*zip(data_fields, children, strict=True), *zip(meta_fields, metadata, strict=True)):
            object.__setattr__(node, field, value)
        return node

    if not dataclasses.is_dataclass(cls):
        raise TreeError(
            f"{cls.__name__} is not a dataclass; decorate it with @dataclass first or use fad.tree.register_node"
        )
    try:
        optree.register_pytree_node(cls, flatten_node, unflatten_node, namespace=NAMESPACE)
    except ValueError as error:
        raise TreeError(f"{cls.__name__} cannot be registered as a pytree node: {error}") from None
