"""NumPy's protocols: ``np.sin(x)``, ``np.add.reduce(x)`` and ``np.stack([x, y])`` on fad values come here.

A NumPy function is found by its identity; each has a function of the same name in :mod:`fad.numpy` and its submodules. What has none runs on
NumPy itself where no derivative can be lost, that is, where all values are concrete, and raises otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from inspect import Signature, signature
from types import ModuleType
from typing import Any

import numpy as np

from fad.core.array import Array, host_buffer, wrap
from fad.core.errors import ArgumentError, DTypeError, ImmutableArrayError, NonDifferentiableError
from fad.core.trace import Tracer, user_source
from fad.numpy.conversion import refuse_out
from fad.numpy.ufuncs import UFUNCS, UFunc
from fad.primitives.object_arrays import object_array
from fad.transforms.numba_bodies import is_numba_object, traced_body

__all__ = ["install", "register_functions", "register_ufunc"]

_ufuncs: dict[Any, Callable[..., Any]] = {}
_functions: dict[Any, Callable[..., Any]] = {}
_NAMESPACES = {
    "numpy": "fad.numpy",
    "numpy.fft": "fad.numpy.fft",
    "numpy.lib.scimath": "fad.numpy.emath",
    "numpy.lib.stride_tricks": "fad.numpy",
    "numpy.linalg": "fad.numpy.linalg",
}
_CONVERSIONS = frozenset({np.atleast_1d, np.atleast_2d, np.atleast_3d})
"""They make NumPy arrays of concrete values, as ``np.asarray`` does: SciPy's solvers rely on it."""
_HOST = (np.ndarray, np.generic)
_WRITERS = frozenset({"copyto", "put", "place", "putmask", "fill_diagonal", "put_along_axis"})


def register_ufunc(ufunc: np.ufunc, function: Callable[..., Any]) -> None:
    """Let ``function`` answer for a ufunc of NumPy or of another library."""
    _ufuncs[ufunc] = function


def register_functions(source: ModuleType, names: Iterable[str], functions: dict[str, Callable[..., Any]]) -> None:
    """Let functions answer for the functions of a NumPy module that have the same names."""
    for name in names:
        original = getattr(source, name, None)
        if name in _WRITERS:
            continue  # fad's function gives a new array; the NumPy caller expects the old one to have changed
        if isinstance(original, np.ufunc):
            _ufuncs.setdefault(original, functions[name])
        elif callable(original) and not isinstance(original, type):
            _functions.setdefault(original, functions[name])


def _found_on_use(function: Any) -> Callable[..., Any] | None:
    """The function of a part of fad.numpy that is loaded when it is first asked for."""
    module = import_module(_NAMESPACES[function.__module__]) if function.__module__ in _NAMESPACES else None
    if module is None or function.__name__ not in module.__all__ or function.__name__ in _WRITERS:
        return None
    own = _functions[function] = getattr(module, function.__name__)
    return own


def _array_ufunc(self: Any, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
    function = _ufuncs.get(ufunc) or _of_scipy(ufunc)
    if function is None:
        return _unknown_ufunc(ufunc, method, inputs, keywords)
    if method == "__call__":
        if "out" in keywords:
            refuse_out(ufunc.__name__, keywords["out"])
        return _answer(ufunc, function, inputs, keywords)
    if not isinstance(function, UFunc):
        raise ArgumentError(f"numpy.{ufunc.__name__}.{method} is not defined for fad values")
    return getattr(function, method)(*inputs, **keywords)


def _answer(asked: Any, own: Callable[..., Any], args: Any, keywords: Any) -> Any:
    """What fad's function gives; it may take fewer arguments than NumPy's."""
    try:
        return own(*args, **keywords)
    except TypeError as error:
        if type(error) is not TypeError:
            raise
        try:
            signature(own).bind(*args, **keywords)
        except TypeError as mismatch:
            known = [p.replace(annotation=p.empty) for p in signature(own).parameters.values()]
            raise ArgumentError(
                f"numpy.{asked.__name__} of fad values is fad.numpy.{asked.__name__}{Signature(known)}: {mismatch}"
            ) from None
        raise


def _of_scipy(ufunc: np.ufunc) -> Callable[..., Any] | None:
    """The function of fad.scipy.special that answers for a ufunc of scipy.special, looked up when one is met."""
    special = sys.modules.get("scipy.special")
    if special is None or getattr(special, ufunc.__name__, None) is not ufunc:
        return None
    own = getattr(sys.modules["fad"].scipy, "special", None)
    function = getattr(own, ufunc.__name__, None)
    if function is not None:
        register_ufunc(ufunc, function)
    return function


def _unknown_ufunc(ufunc: np.ufunc, method: str, inputs: Any, keywords: Any) -> Any:
    if any(isinstance(o, Array) for o in keywords.get("out", ())):
        raise ImmutableArrayError(
            f"{ufunc.__name__}: out= cannot be a fad array, it is immutable; use the returned array"
        )
    if any(isinstance(value, Tracer) for value in inputs):
        if is_numba_object(ufunc) and method == "__call__" and not keywords:
            return traced_body("a transform", ufunc)(*inputs)
        raise NonDifferentiableError(
            f"the universal function {ufunc.__name__!r} is not known to fad, so it cannot be followed through a transform. Write it with "
            "fad.numpy functions, or declare it with fad.extend.Primitive or fad.custom_jvp. For a function f of numba write f = fad.extend.from_numba(f)."
        )
    return _wrapped(getattr(ufunc, method)(*_host(inputs), **keywords))


def _array_function(self: Any, function: Any, types: Any, args: Any, keywords: Any) -> Any:
    if function in _CONVERSIONS and all(type(a) is not Array or isinstance(a._buffer, _HOST) for a in args):
        if not any(issubclass(kind, Tracer) for kind in types):
            return function(*_host(args))
    own = _functions.get(function) or _found_on_use(function)
    if own is not None:
        return _answer(function, own, args, keywords)
    name = f"{function.__module__}.{function.__name__}"
    if function.__name__ in _WRITERS:
        raise ImmutableArrayError(
            f"{name} writes into an existing array, which fad cannot follow: fad arrays are immutable and NumPy arrays carry no derivative. "
            "Build the new array with numpy.where, numpy.stack or numpy.concatenate, or with x.at[index].set(values)."
        )
    if any(issubclass(kind, Tracer) for kind in types):
        raise NonDifferentiableError(
            f"{name} is not supported inside fad's transforms: there is no fad.numpy function of that name. Write it with functions that "
            "there are, or compute it outside the transform."
        )
    return _wrapped(function(*_host(args), **_host(keywords)))


def _host(tree: Any) -> Any:
    """Concrete arrays inside arguments as NumPy arrays."""
    if isinstance(tree, Array):
        if isinstance(tree, Tracer):
            raise DTypeError(f"{tree!r} is not concrete")
        return host_buffer(tree._buffer)
    if isinstance(tree, list | tuple):
        return type(tree)(_host(v) for v in tree)
    if isinstance(tree, dict):
        return {k: _host(v) for k, v in tree.items()}
    return tree


def _wrapped(result: Any) -> Any:
    if isinstance(result, tuple | list):
        return type(result)(_wrapped(r) for r in result) if type(result) in (tuple, list) else result
    return wrap(result) if isinstance(result, np.ndarray | np.generic) and result.dtype.kind in "biufc" else result


def _array(self: Any, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """An object array that NumPy computes on element by element; see :mod:`fad.primitives.object_arrays`."""
    return object_array(self, dtype)


def _numba_type(self: Any) -> Any:
    """What numba asks an argument that it does not know."""
    where = user_source()
    place = f" at {where}" if where else ""
    if isinstance(self, Tracer):
        raise DTypeError(
            f"a function compiled by numba got {self!r}{place}: it takes numbers and NumPy arrays, and cannot be followed by "
            f"{self.interpreter.describe()}.\nWays out, for a numba function f: fad.jit(f)(x) or f.py_func(x), which fad traces;\n"
            "f = fad.extend.from_numba(f, ...) keeps the code that numba compiled, under every transform, with a derivative of your own."
        )
    raise DTypeError(
        f"a function compiled by numba got a fad.Array, {self.aval}{place}: it takes NumPy arrays. Pass numpy.asarray(x), which copies nothing, "
        "or make an operation of the function with fad.extend.from_numba."
    )


def install() -> None:
    """Give ``Array`` the protocols, for every ufunc of NumPy."""
    for name, ufunc in UFUNCS.items():
        original = getattr(np, name, None)
        if isinstance(original, np.ufunc):
            _ufuncs.setdefault(original, ufunc)
    Tracer.__array__ = _array  # type: ignore[method-assign]
    Array._numba_type_ = property(_numba_type)  # type: ignore[attr-defined]
    Array.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
    Array.__array_function__ = _array_function  # type: ignore[attr-defined]
