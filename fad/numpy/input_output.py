"""Arrays as text and in files. Traced values have nothing to show or to save: these functions are for concrete arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from fad.core.array import Array, host_buffer, wrap
from fad.core.errors import ConcretizationError
from fad.core.trace import Tracer
from fad.numpy.conversion import operand

__all__ = [
    "array2string",
    "array_repr",
    "array_str",
    "fromfile",
    "fromiter",
    "fromstring",
    "genfromtxt",
    "get_printoptions",
    "load",
    "loadtxt",
    "ndenumerate",
    "ndindex",
    "printoptions",
    "save",
    "savetxt",
    "savez",
    "savez_compressed",
    "set_printoptions",
]

get_printoptions = np.get_printoptions
set_printoptions = np.set_printoptions
printoptions = np.printoptions
ndindex = np.ndindex


def _host(function: str, value: Any) -> np.ndarray:
    found = operand(value, function)
    if isinstance(found, Tracer):
        raise ConcretizationError(
            f"{function} needs the values of {found!r}, which comes from: {found.origin()}. Return the array from the transformed function "
            "first, or use fad.debug.print to see values on the way."
        )
    return host_buffer(found)


def array2string(a: Any, *args: Any, **kwargs: Any) -> str:
    """The elements as text; the options are those of ``numpy.array2string``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.array2string(fnp.array([1.0, 2.0]), separator=", ")
    '[1., 2.]'
    """
    return np.array2string(_host("array2string", a), *args, **kwargs)


def array_repr(arr: Any, *args: Any, **kwargs: Any) -> str:
    """The array as NumPy's code; the options are those of ``numpy.array_repr``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.array_repr(fnp.array([1, 2]))
    'array([1, 2])'
    """
    return np.array_repr(_host("array_repr", arr), *args, **kwargs)


def array_str(a: Any, *args: Any, **kwargs: Any) -> str:
    """The elements as ``str`` shows them; the options are those of ``numpy.array_str``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.array_str(fnp.array([1, 2]))
    '[1 2]'
    """
    return np.array_str(_host("array_str", a), *args, **kwargs)


def ndenumerate(arr: Any) -> Iterator[tuple[tuple[int, ...], Array]]:
    """Pairs of index and element.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> [index for index, _ in fnp.ndenumerate([[1, 2]])]
    [(0, 0), (0, 1)]
    """
    x = wrap(operand(arr, "ndenumerate"))
    return ((index, x[index]) for index in np.ndindex(x.shape))


def save(file: Any, arr: Any, **kwargs: Any) -> None:
    """Write an array to a file in NumPy's ``.npy`` format.

    Examples
    --------
    >>> import io
    >>> import fad.numpy as fnp
    >>> file = io.BytesIO()
    >>> fnp.save(file, fnp.arange(3))
    >>> _ = file.seek(0)
    >>> fnp.load(file)
    Array([0, 1, 2])
    """
    np.save(file, _host("save", arr), **kwargs)


def _save_many(function: Callable[..., None], file: Any, args: Any, kwds: Any) -> None:
    name = function.__name__
    function(file, *[_host(name, a) for a in args], **{k: _host(name, v) for k, v in kwds.items()})


def savez(file: Any, *args: Any, **kwds: Any) -> None:
    """Write several arrays to a file in NumPy's ``.npz`` format.

    Examples
    --------
    >>> import io
    >>> import fad.numpy as fnp
    >>> fnp.savez(io.BytesIO(), weights=fnp.arange(3))
    """
    _save_many(np.savez, file, args, kwds)


def savez_compressed(file: Any, *args: Any, **kwds: Any) -> None:
    """:func:`savez`, compressed.

    Examples
    --------
    >>> import io
    >>> import fad.numpy as fnp
    >>> fnp.savez_compressed(io.BytesIO(), weights=fnp.arange(3))
    """
    _save_many(np.savez_compressed, file, args, kwds)


def savetxt(fname: Any, X: Any, *args: Any, **kwargs: Any) -> None:
    """Write an array as text; the options are those of ``numpy.savetxt``.

    Examples
    --------
    >>> import io
    >>> import fad.numpy as fnp
    >>> text = io.StringIO()
    >>> fnp.savetxt(text, [1, 2], fmt="%d")
    >>> text.getvalue().split()
    ['1', '2']
    """
    np.savetxt(fname, _host("savetxt", X), *args, **kwargs)


def load(file: Any, **kwargs: Any) -> Any:
    """Read what :func:`save` (an array) or :func:`savez` (a dict of arrays) wrote.

    Parameters
    ----------
    file : path or file object
        The file.
    **kwargs
        Options of ``numpy.load``.

    Returns
    -------
    Array, or dict of Array

    Examples
    --------
    >>> import io
    >>> import fad.numpy as fnp
    >>> file = io.BytesIO()
    >>> fnp.savez(file, a=fnp.arange(2))
    >>> _ = file.seek(0)
    >>> fnp.load(file)
    {'a': Array([0, 1])}
    """
    found = np.load(file, **kwargs)
    if isinstance(found, np.ndarray):
        return Array(found)
    with found:
        return {name: Array(found[name]) for name in found.files}


def loadtxt(fname: Any, *args: Any, **kwargs: Any) -> Array:
    """Read an array from text; the options are those of ``numpy.loadtxt``.

    Examples
    --------
    >>> import io
    >>> import fad.numpy as fnp
    >>> fnp.loadtxt(io.StringIO("1 2"))
    Array([1., 2.])
    """
    return Array(np.loadtxt(fname, *args, **kwargs))


def genfromtxt(fname: Any, *args: Any, **kwargs: Any) -> Array:
    """Read an array from text with gaps; the options are those of ``numpy.genfromtxt``.

    Examples
    --------
    >>> import io
    >>> import fad.numpy as fnp
    >>> fnp.genfromtxt(io.StringIO("1,,3"), delimiter=",")
    Array([ 1., nan,  3.])
    """
    return Array(np.genfromtxt(fname, *args, **kwargs))


def fromfile(file: Any, *args: Any, **kwargs: Any) -> Array:
    """Read an array of raw numbers; the options are those of ``numpy.fromfile``.

    Examples
    --------
    >>> import tempfile
    >>> import fad.numpy as fnp
    >>> with tempfile.TemporaryFile() as file:
    ...     _ = file.write(b"ab"), file.seek(0)
    ...     fnp.fromfile(file, dtype="uint8")
    Array([97, 98], dtype=uint8)
    """
    return Array(np.fromfile(file, *args, **kwargs))


def fromstring(string: str, dtype: Any = float, count: int = -1, *, sep: str) -> Array:
    """Read an array from numbers in a string.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fromstring("1 2", sep=" ")
    Array([1., 2.])
    """
    return Array(np.fromstring(string, dtype, count, sep=sep))


def fromiter(iter: Iterable[Any], dtype: Any, count: int = -1) -> Array:
    """A vector of the numbers that an iterator gives; they may be traced.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.fromiter((k * k for k in range(3)), int)
    Array([0, 1, 4])
    """
    values = list(iter if count < 0 else itertools.islice(iter, count))
    return wrap(operand(values, "fromiter")).astype(dtype) if values else Array(np.zeros(0, dtype))
