"""Save and load pytrees of arrays as safetensors files: parameters, optimizer states, keys. Nothing is ever pickled.

A file holds each leaf as a tensor under its path, such as ``layers.0.weight``, so that other programs can read it, and in the header's metadata the tree's
structure and a checksum of each leaf. Writing is atomic: a file is complete or it is not there.
"""

from __future__ import annotations

import importlib
import json
import os
import secrets
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import fad
import fad.numpy as fnp
import fad.tree as tree
from fad import errors

__all__ = ["load", "load_metadata", "load_state_dict", "save", "save_state_dict"]

_STRUCTURE = "fad"
_VERSION = 1
_PYTHON = {"bool": bool, "int": int, "float": float, "complex": complex}
_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
Path_ = str | os.PathLike[str]


def _library(function: str) -> Any:
    try:
        return importlib.import_module("safetensors.numpy")
    except ImportError:
        raise errors.MissingPackageError(
            f"fad.io.{function} needs the package safetensors: pip install 'fad-autodiff[io]'"
        ) from None


# --- Trees as names and a description ---------------------------------------------------------------------------------


def _children(node: Any) -> list[tuple[Any, Any]]:
    """The node's children with their keys; for a leaf, itself with the key ``()``."""
    found: list[tuple[Any, Any]] = []

    def note(path: tuple[Any, ...], child: Any) -> None:
        found.append((path[0] if path else (), child))

    tree.map_with_path(note, node, is_leaf=lambda x: x is not node)
    if hasattr(node, "_fields"):
        return [(node._fields[key], child) for key, child in found]
    return found


def _describe(node: Any, name: str, leaves: list[tuple[str, Any]]) -> dict[str, Any]:
    """The structure below a node as JSON values; appends the leaves with their names."""
    children = _children(node)
    if len(children) == 1 and children[0][0] == ():
        leaves.append((name or "value", node))
        return {"leaf": name or "value"}
    inner = [[key, _describe(child, f"{name}.{key}" if name else str(key), leaves)] for key, child in children]
    if node is None:
        return {"none": True}
    if type(node) is dict and all(type(key) in (str, int) for key, _ in children):
        return {"dict": inner}
    if type(node) in (list, tuple):
        return {type(node).__name__: [child for _, child in inner]}
    kind = "namedtuple" if isinstance(node, tuple) and hasattr(node, "_fields") else "other"
    return {kind: f"{type(node).__module__}:{type(node).__qualname__}", "children": inner}


def _named_leaves(values: Any, function: str) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    description = _describe(values, "", leaves)
    seen: set[str] = set()
    for name, _ in leaves:
        if name in seen:
            raise errors.ArgumentError(
                f"fad.io.{function}: two leaves are called {name!r}, since a key contains a dot; rename the key"
            )
        seen.add(name)
    return leaves, description


def _rebuild(description: dict[str, Any], leaves: Mapping[str, Any], path: Path_) -> Any:
    """The tree of a description."""
    inner = lambda node: _rebuild(node, leaves, path)  # noqa: E731
    match description:
        case {"leaf": str(name)}:
            return leaves[name]
        case {"none": True}:
            return None
        case {"dict": list(items)}:
            return {key: inner(child) for key, child in items}
        case {"list": list(items)}:
            return [inner(child) for child in items]
        case {"tuple": list(items)}:
            return tuple(inner(child) for child in items)
        case {"namedtuple": str(where), "children": list(items)}:
            return _loaded_class(where, [key for key, _ in items], path)._make(inner(child) for _, child in items)
        case {"other": str(where)}:
            raise errors.TreeError(
                f"fad.io.load: {path} has a node of type {where}, which is not rebuilt from a file; call load(path, like=tree) with a tree of the same structure"
            )
    raise errors.FileFormatError(f"fad.io.load: {path} describes its tree in a way that is not understood")


def _loaded_class(where: str, fields: list[str], path: Path_) -> Any:
    """A named tuple that the program has imported already: a file cannot make anything be imported."""
    module, _, name = where.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if isinstance(found, type) and issubclass(found, tuple) and list(getattr(found, "_fields", ())) == fields:
        return found
    raise errors.TreeError(
        f"fad.io.load: {path} has a named tuple {where} with the fields {fields}, which is not imported here; import its module, or call load(path, like=tree)"
    )


# --- Writing ----------------------------------------------------------------------------------------------------------


def _as_stored(name: str, leaf: Any, function: str) -> tuple[np.ndarray, str | None]:
    """The array to store for a leaf, and what it really is where safetensors has no name for that."""
    kind = next((k for k, python in _PYTHON.items() if type(leaf) is python), None)
    try:
        array = np.asarray(fnp.asarray(leaf))
    except errors.FadError:
        raise errors.DTypeError(
            f"fad.io.{function}: the leaf {name} is a {type(leaf).__name__}, and a file holds arrays and numbers only; put text into metadata="
        ) from None
    array = np.ascontiguousarray(array).reshape(array.shape)
    if array.dtype == np.complex128:
        return np.stack([array.real, array.imag], axis=-1), kind or "complex128"
    if array.dtype.name not in _NAMES.values():
        raise errors.DTypeError(
            f"fad.io.{function}: the leaf {name} has dtype {array.dtype}, which safetensors cannot hold; it holds {', '.join(_NAMES.values())} and complex128"
        )
    return array, kind


def _write(path: Path_, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None, function: str) -> None:
    """Write beside the target, flush to the disk, then put it in place in one step."""
    library = _library(function)
    target = Path(path)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        library.save_file(tensors, draft, metadata=metadata)
        with open(draft, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    if hasattr(os, "O_DIRECTORY"):
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def save(path: Path_, values: Any, metadata: Mapping[str, str] | None = None) -> None:
    """Write a pytree of arrays to a safetensors file, atomically.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced when the new one is complete.
    values : pytree
        Leaves are arrays of any dtype and shape, or Python numbers.
    metadata : mapping of str to str, optional
        Text to keep with it; see :func:`load_metadata`.

    Raises
    ------
    DTypeError
        If a leaf is not an array or a number; the message names it.
    ArgumentError
        If two leaves get the same name, or the metadata is not text.
    MissingPackageError
        Without the package ``safetensors``.

    Examples
    --------
    >>> import tempfile
    >>> import fad.io, fad.numpy as fnp
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> fad.io.save(path, {"w": fnp.ones(2), "steps": 3, "layers": [None, (1.5,)]})
    >>> fad.io.load(path)
    {'layers': [None, (1.5,)], 'steps': 3, 'w': Array([1., 1.])}
    """
    leaves, description = _named_leaves(values, "save")
    tensors, kinds = {}, {}
    for name, leaf in leaves:
        tensors[name], kind = _as_stored(name, leaf, "save")
        if kind is not None:
            kinds[name] = kind
    checksums = {name: zlib.crc32(np.atleast_1d(array).view(np.uint8).data) for name, array in tensors.items()}
    own = {"version": _VERSION, "tree": description, "kinds": kinds, "crc32": checksums}
    _write(path, tensors, {**_checked_metadata(metadata), _STRUCTURE: json.dumps(own)}, "save")


def _checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    for key, value in (metadata or {}).items():
        if not (isinstance(key, str) and isinstance(value, str)) or key == _STRUCTURE:
            raise errors.ArgumentError(
                f"fad.io.save: metadata maps text to text, with keys other than {_STRUCTURE!r}; got {key!r}: {value!r}"
            )
    return dict(metadata or {})


# --- Reading ----------------------------------------------------------------------------------------------------------


def _header(data: bytes, path: Path_) -> dict[str, Any]:
    """The JSON header of a file's first bytes."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise errors.FileFormatError(
            f"fad.io: {path} is cut off or not a safetensors file: it has {len(data)} bytes, and its header should have {length}"
        )
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError as error:
        raise errors.FileFormatError(f"fad.io: the header of {path} is damaged: {error}") from None
    if not isinstance(header, dict):
        raise errors.FileFormatError(f"fad.io: the header of {path} is damaged: it is no table of tensors")
    return header


def _why_unreadable(data: bytes, header: dict[str, Any], path: Path_, reason: Exception) -> errors.FileFormatError:
    """An error that names the first leaf whose bytes are not there."""
    size = len(data) - 8 - int.from_bytes(data[:8], "little")
    for name, entry in header.items():
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if isinstance(offsets, list) and len(offsets) == 2 and all(isinstance(o, int) for o in offsets):
            if offsets[1] > size:
                return errors.FileFormatError(
                    f"fad.io: {path} is cut off: the leaf {name} ends at byte {offsets[1]} of the data, and there are {size}"
                )
    return errors.FileFormatError(f"fad.io: {path} is not a sound safetensors file: {reason}")


def _read(path: Path_, function: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    _library(function)
    import safetensors

    data = Path(path).read_bytes()
    header = _header(data, path)
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise _why_unreadable(data, header, path, error) from None
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in _NAMES:
            raise errors.FileFormatError(
                f"fad.io: the leaf {name} of {path} has dtype {entry['dtype']}, which fad cannot hold"
            )
        dtype = fnp.dtype(_NAMES[entry["dtype"]])
        arrays[name] = np.frombuffer(entry["data"], dtype=dtype).reshape(entry["shape"])
    metadata = header.get("__metadata__") or {}
    return arrays, metadata


def _own_part(metadata: dict[str, str], path: Path_) -> dict[str, Any] | None:
    """What fad wrote about the tree; ``None`` for a file that another program wrote."""
    text = metadata.get(_STRUCTURE)
    if text is None:
        return None
    try:
        own = json.loads(text)
        version = own["version"]
        complete = all(isinstance(own[key], dict) for key in ("tree", "kinds", "crc32"))
    except (ValueError, KeyError, TypeError):
        raise errors.FileFormatError(f"fad.io: the description of the tree in {path} is damaged") from None
    if version != _VERSION or not complete:
        raise errors.FileFormatError(
            f"fad.io: {path} has format {version}, and this fad reads format {_VERSION}; use the fad that wrote it"
        )
    return own


def _verify(arrays: Mapping[str, np.ndarray], own: dict[str, Any], path: Path_) -> None:
    checksums = own["crc32"]
    for name in sorted({*arrays, *checksums}):
        if name not in arrays or name not in checksums:
            where = "data" if name not in arrays else "description of the tree"
            raise errors.FileFormatError(f"fad.io: the leaf {name} is missing from the {where} of {path}")
        if zlib.crc32(np.atleast_1d(arrays[name]).view(np.uint8).data) != checksums[name]:
            raise errors.FileFormatError(
                f"fad.io: the leaf {name} of {path} was changed after it was saved: its checksum is wrong"
            )


def _as_saved(name: str, array: np.ndarray, kind: str | None, path: Path_) -> Any:
    """The leaf that an array stands for."""
    if kind in ("complex", "complex128"):
        if array.dtype != np.float64 or array.shape[-1:] != (2,):
            raise errors.FileFormatError(f"fad.io: the leaf {name} of {path} should be complex and is {array.dtype}")
        array = np.ascontiguousarray(array).view(np.complex128)[..., 0]
    if kind in _PYTHON and array.ndim == 0:
        return _PYTHON[kind](array.item())
    return fad.Array(array)


def load(path: Path_, like: Any = None) -> Any:
    """Read a pytree that :func:`save` wrote, or any safetensors file.

    Parameters
    ----------
    path : path-like
        The file.
    like : pytree, optional
        A tree with the structure, shapes and dtypes that the file must have: arrays, or what ``fad.eval_shape`` gives. Its nodes are those of the result. Without it, dicts, lists,
        tuples and named tuples of imported modules are rebuilt from the file; a file of another program gives a flat dict of names.

    Returns
    -------
    pytree
        Arrays; Python numbers where Python numbers were saved.

    Raises
    ------
    FileFormatError
        If the file is cut off, damaged or changed, or does not fit ``like``; the message names the leaf.
    TreeError
        If the file has nodes of other types and there is no ``like``.
    MissingPackageError
        Without the package ``safetensors``.

    Examples
    --------
    >>> import tempfile
    >>> import fad.io, fad.numpy as fnp, fad.optim as optim
    >>> params = {"w": fnp.ones(2)}
    >>> optimizer = optim.adam(0.1)
    >>> path = tempfile.mkdtemp() + "/state.safetensors"
    >>> fad.io.save(path, (params, optimizer.init(params)))
    >>> params, state = fad.io.load(path, like=(params, optimizer.init(params)))
    >>> type(state[0]).__name__
    'MomentState'
    """
    arrays, metadata = _read(path, "load")
    own = _own_part(metadata, path)
    kinds: dict[str, str] = {}
    if own is not None:
        _verify(arrays, own, path)
        kinds = own["kinds"]
    leaves = {name: _as_saved(name, array, kinds.get(name), path) for name, array in arrays.items()}
    if like is not None:
        return _fitted(leaves, like, path, "load")
    if own is None:
        return leaves
    try:
        return _rebuild(own["tree"], leaves, path)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, errors.FadError):
            raise
        raise errors.FileFormatError(f"fad.io: the description of the tree in {path} is damaged: {error!r}") from None


def _type_of(leaf: Any) -> tuple[tuple[int, ...], np.dtype]:
    array = leaf if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else np.asarray(leaf)
    return tuple(array.shape), np.dtype(array.dtype)


def _fitted(leaves: Mapping[str, Any], like: Any, path: Path_, function: str) -> Any:
    """The leaves in the structure of ``like``, if they are its leaves."""
    wanted, _ = _named_leaves(like, function)
    names = [name for name, _ in wanted]
    missing, unknown = [n for n in names if n not in leaves], [n for n in leaves if n not in set(names)]
    if missing or unknown:
        parts = [f"it lacks {_some(missing)}"] if missing else []
        parts += [f"it has {_some(unknown)}, which like= lacks"] if unknown else []
        raise errors.FileFormatError(f"fad.io.{function}: {path} does not fit like=: {', and '.join(parts)}")
    for name, leaf in wanted:
        (shape, dtype), (found_shape, found_dtype) = _type_of(leaf), _type_of(leaves[name])
        if shape != found_shape or dtype != found_dtype:
            raise errors.FileFormatError(
                f"fad.io.{function}: the leaf {name} of {path} is {found_dtype}{list(found_shape)}, and like= has {dtype}{list(shape)}"
            )
    return tree.unflatten(tree.structure(like), [leaves[name] for name in names])


def _some(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


def load_metadata(path: Path_) -> dict[str, str]:
    """The text that :func:`save` was given, without reading the arrays.

    Parameters
    ----------
    path : path-like
        A safetensors file.

    Returns
    -------
    dict of str to str

    Raises
    ------
    FileFormatError
        If it is not a safetensors file.

    Examples
    --------
    >>> import tempfile
    >>> import fad.io
    >>> path = tempfile.mkdtemp() + "/x.safetensors"
    >>> fad.io.save(path, [1.0], metadata={"note": "first try"})
    >>> fad.io.load_metadata(path)
    {'note': 'first try'}
    """
    with open(path, "rb") as file:
        start = file.read(8)
        start += file.read(min(int.from_bytes(start, "little"), 100_000_000))
    metadata = _header(start, path).get("__metadata__") or {}
    return {key: value for key, value in metadata.items() if key != _STRUCTURE}


# --- Exchange with other programs ---------------------------------------------------------------------------------------

Rename = Callable[[str, Any], tuple[str, Any] | None]


def _renamed(pairs: Iterator[tuple[str, Any]], rename: Rename | None, function: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, array in pairs:
        pair = (name, array) if rename is None else rename(name, array)
        if pair is None:
            continue
        if pair[0] in found:
            raise errors.ArgumentError(
                f"fad.io.{function}: two arrays get the name {pair[0]!r}; the second was {name!r}"
            )
        found[pair[0]] = pair[1]
    return found


def save_state_dict(path: Path_, values: Any, rename: Rename | None = None) -> None:
    """Write a pytree as a plain table of named tensors, as ``safetensors.torch.load_file`` reads it.

    Parameters
    ----------
    path : path-like
        The file.
    values : pytree
        Arrays. A leaf's name is its path, with dots: ``blocks.0.weight``.
    rename : callable, optional
        ``rename(name, array) -> (name, array)``, or ``None`` to leave it out. PyTorch keeps the weight of a linear layer as (outputs, inputs) and of a convolution as
        (outputs, inputs, height, width).

    Raises
    ------
    DTypeError, ArgumentError, MissingPackageError
        As in :func:`save`.

    Examples
    --------
    >>> import tempfile
    >>> import fad.io, fad.numpy as fnp
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> fad.io.save_state_dict(
    ...     path, {"fc": {"w": fnp.ones((2, 3))}}, lambda name, x: (name.replace("w", "weight"), x.T)
    ... )
    >>> {name: x.shape for name, x in fad.io.load(path).items()}
    {'fc.weight': (3, 2)}
    """
    leaves, _ = _named_leaves(values, "save_state_dict")
    tensors = {}
    for name, array in _renamed(iter(leaves), rename, "save_state_dict").items():
        tensors[name], kind = _as_stored(name, array, "save_state_dict")
        if kind == "complex128":
            raise errors.DTypeError(f"fad.io.save_state_dict: {name} is complex128; safetensors holds complex64 only")
    _write(path, tensors, {"format": "pt"}, "save_state_dict")


def load_state_dict(path: Path_, like: Any, rename: Rename | None = None) -> Any:
    """Read a table of named tensors, such as a PyTorch state dict saved by ``safetensors.torch.save_file``, into a pytree.

    Parameters
    ----------
    path : path-like
        The file.
    like : pytree
        A tree with the structure, shapes and dtypes of the result.
    rename : callable, optional
        ``rename(name, array) -> (name, array)`` from the file's names to the paths of ``like``, or ``None`` to leave it out.

    Returns
    -------
    pytree
        In the structure of ``like``.

    Raises
    ------
    FileFormatError
        If the file is damaged, or does not fit ``like``; the message names the leaf.

    Examples
    --------
    >>> import tempfile
    >>> import fad.io, fad.numpy as fnp
    >>> path = tempfile.mkdtemp() + "/model.safetensors"
    >>> fad.io.save_state_dict(path, {"fc.weight": fnp.ones((3, 2))})
    >>> like = {"fc": {"w": fnp.zeros((2, 3))}}
    >>> fad.io.load_state_dict(path, like, lambda name, x: (name.replace("weight", "w"), x.T))["fc"]["w"].shape
    (2, 3)
    """
    arrays, _ = _read(path, "load_state_dict")
    pairs = ((name, fad.Array(array)) for name, array in arrays.items())
    return _fitted(_renamed(pairs, rename, "load_state_dict"), like, path, "load_state_dict")
