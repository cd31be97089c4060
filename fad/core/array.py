"""``Array``: an immutable array over a NumPy (or CuPy) buffer.

A *buffer* is what the rules compute with: a ``numpy.ndarray``, a NumPy scalar, a CuPy array or a Python scalar. ``Array``
exists only at the user's surface: operations take the buffer out on the way in and wrap the result on the way out. Operators and
methods that are operations are installed by :mod:`fad.numpy`, which stands above the primitives.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from fad.core.avals import ShapedArray, aval_of
from fad.core.errors import DeletedArrayError, DTypeError, ImmutableArrayError, MissingPackageError, ShapeError

__all__ = ["Array", "Deleted", "buffer_from", "host_buffer", "wrap"]

_new = object.__new__


class Array:
    """An immutable n-dimensional array.

    Parameters
    ----------
    value : array_like
        A number, nested sequence of numbers, NumPy array, CuPy array or ``Array``. A writeable buffer is copied.
    dtype : dtype, optional
        The dtype to convert to; by default NumPy's choice for the value (float64 for Python floats).

    Raises
    ------
    ShapeError
        If a nested sequence is ragged.
    DTypeError
        If the value is not numeric or boolean.

    Examples
    --------
    >>> import fad
    >>> x = fad.Array([1.0, 2.0, 3.0])
    >>> x * 2
    Array([2., 4., 6.])
    >>> x.shape, x.dtype
    ((3,), dtype('float64'))
    """

    __slots__ = ("__weakref__", "_buffer")

    _buffer: Any

    if TYPE_CHECKING:
        # What fad.numpy installs: operators, methods and protocols.
        __add__: Any
        __radd__: Any
        __sub__: Any
        __rsub__: Any
        __mul__: Any
        __rmul__: Any
        __truediv__: Any
        __rtruediv__: Any
        __floordiv__: Any
        __rfloordiv__: Any
        __mod__: Any
        __rmod__: Any
        __divmod__: Any
        __rdivmod__: Any
        __pow__: Any
        __rpow__: Any
        __matmul__: Any
        __rmatmul__: Any
        __and__: Any
        __rand__: Any
        __or__: Any
        __ror__: Any
        __xor__: Any
        __rxor__: Any
        __lshift__: Any
        __rlshift__: Any
        __rshift__: Any
        __rrshift__: Any
        __lt__: Any
        __le__: Any
        __gt__: Any
        __ge__: Any
        __neg__: Any
        __pos__: Any
        __abs__: Any
        __invert__: Any
        __round__: Any
        __iter__: Any
        __contains__: Any
        __getitem__: Any
        __array_ufunc__: Any
        __array_function__: Any

        def __getattr__(self, name: str) -> Any: ...

    def __new__(cls, value: Any = (), dtype: Any = None) -> Array:  # noqa: D102
        self = _new(Array)
        self._buffer = buffer_from(value, dtype, copy=True)
        return self

    @property
    def aval(self) -> ShapedArray:
        """The abstract value: shape and dtype."""
        return aval_of(self._buffer)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes.

        Examples
        --------
        >>> import fad
        >>> fad.Array([[1, 2, 3]]).shape
        (1, 3)
        """
        return self._buffer.shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the elements.

        Examples
        --------
        >>> import fad
        >>> fad.Array([1, 2]).dtype
        dtype('int64')
        """
        return self._buffer.dtype

    @property
    def ndim(self) -> int:
        """Number of axes.

        Examples
        --------
        >>> import fad
        >>> fad.Array([[1, 2, 3]]).ndim
        2
        """
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements.

        Examples
        --------
        >>> import fad
        >>> fad.Array([[1, 2, 3]]).size
        3
        """
        return self.aval.size

    @property
    def nbytes(self) -> int:
        """Bytes of all elements.

        Examples
        --------
        >>> import fad
        >>> fad.Array([1.0, 2.0]).nbytes
        16
        """
        return self.aval.nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    @property
    def device(self) -> Any:
        """Where the elements are: ``"cpu"``, or a CuPy device.

        Examples
        --------
        >>> import fad
        >>> fad.Array([1.0]).device
        'cpu'
        """
        return (
            getattr(self._buffer, "device", "cpu")
            if isinstance(self._buffer, (np.ndarray, np.generic))
            else self._buffer.device
        )

    @property
    def __array_priority__(self) -> int:
        return 1000

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len() of a 0-d array; it has no axis to count along")
        return self.shape[0]

    def __hash__(self) -> int:
        raise DTypeError(
            "fad arrays are not hashable: equality is elementwise. Use id(x) for identity, x.tolist() for a key made of values, "
            "or pass the value as a static Python number."
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        caller = sys._getframe(1).f_code
        if caller.co_filename.startswith(os.path.dirname(np.__file__)):
            raise ImmutableArrayError(
                f"a function of NumPy itself ({caller.co_name}) would write into this {self.aval}, and fad arrays are immutable. Use fad.numpy's function of "
                "that name (fad.numpy.vectorize, fad.numpy.apply_along_axis, ...) or fad.vmap."
            )
        raise ImmutableArrayError(
            f"fad arrays are immutable, so x[i] = v cannot write into this {self.aval}. Use y = x.at[i].set(v) "
            "(or .add, .mul, .min, .max), which gives a new array."
        )

    def __delitem__(self, index: Any) -> None:
        raise ImmutableArrayError("fad arrays are immutable: elements cannot be deleted; use fad.numpy.delete")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        view = host_buffer(self._buffer)
        if dtype is not None and np.dtype(dtype) != view.dtype:
            if copy is False:
                raise ArgumentErrorForCopy(self.aval, dtype)
            return view.astype(dtype)
        if copy:
            return view.copy()
        view = view.view()
        view.flags.writeable = False
        return view

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"the truth value of an array of shape {self.shape} is ambiguous; use fad.numpy.any(x) or fad.numpy.all(x)"
            )
        return bool(host_buffer(self._buffer))

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.shape:
            raise DTypeError(f"only a 0-d integer array can be an index, got {self.aval}")
        return int(self._buffer)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec and not self.shape else str(self)

    def item(self, *index: Any) -> Any:
        """The one element as a Python scalar, or the element at ``index``.

        Raises
        ------
        ShapeError
            If the array has more than one element and no index is given.

        Examples
        --------
        >>> import fad
        >>> fad.Array([3.0]).item()
        3.0
        """
        host = host_buffer(self._buffer)
        if not index and host.size != 1:
            raise ShapeError(f"item() needs exactly one element, got shape {self.shape}; use tolist() or index first")
        return host.item(*index)

    def tolist(self) -> Any:
        """The elements as (nested lists of) Python scalars.

        Examples
        --------
        >>> import fad
        >>> fad.Array([[1, 2], [3, 4]]).tolist()
        [[1, 2], [3, 4]]
        """
        return host_buffer(self._buffer).tolist()

    def tobytes(self) -> bytes:
        """The elements' bytes in C order."""
        return host_buffer(self._buffer).tobytes()

    def __repr__(self) -> str:
        text = np.array2string(host_buffer(self._buffer), separator=", ", prefix="Array(")
        shown = (
            self.dtype in (np.dtype(np.float64), np.dtype(np.int64), np.dtype(bool), np.dtype(np.complex128))
            and self.size > 0
        )
        tail = "" if shown else f", dtype={self.dtype.name}"
        tail += f", shape={self.shape}" if self.size == 0 else ""
        return f"Array({text}{tail})"

    def __str__(self) -> str:
        return str(host_buffer(self._buffer))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (host_buffer(self._buffer),)

    def __copy__(self) -> Array:
        return self

    def __deepcopy__(self, memo: Any) -> Array:
        return self

    def __dlpack__(self, **keywords: Any) -> Any:
        keywords.setdefault("copy", None)
        buffer = self._buffer
        if isinstance(buffer, (np.ndarray, np.generic)):
            return _exportable(buffer).__dlpack__(**keywords)
        return buffer.__dlpack__(**keywords)

    def __dlpack_device__(self) -> tuple[int, int]:
        buffer = self._buffer
        return _exportable(buffer).__dlpack_device__() if isinstance(buffer, np.generic) else buffer.__dlpack_device__()

    def is_deleted(self) -> bool:
        """Whether the array was donated to a jitted function, so that its elements are gone.

        Examples
        --------
        >>> import fad
        >>> x = fad.Array([1.0, 2.0])
        >>> y = fad.jit(lambda x: x + 1.0, donate_argnums=0)(x)
        >>> x.is_deleted(), y
        (True, Array([2., 3.]))
        """
        return type(self._buffer) is Deleted

    def block_until_ready(self) -> Array:
        """Wait until the value is computed; returns the array itself."""
        return self


class Deleted:
    """Stands in an ``Array`` for a buffer that was given away; whatever is asked of it is refused."""

    __slots__ = ("_dtype", "_function", "_shape")

    def __init__(self, function: str, buffer: Any):
        self._function, self._shape, self._dtype = function, buffer.shape, buffer.dtype

    def __getattr__(self, name: str) -> Any:
        raise DeletedArrayError(
            f"this array ({ShapedArray(self._shape, self._dtype)}) was donated to jit({self._function}) and its memory now holds results of the function. "
            "Use what the function returned; or keep a copy, x.copy(), before the call; or leave the argument out of donate_argnums."
        )

    __array__ = property(lambda self: self.__getattr__("__array__"))


def ArgumentErrorForCopy(aval: ShapedArray, dtype: Any) -> DTypeError:
    return DTypeError(f"cannot give {aval} as dtype {np.dtype(dtype)} without a copy; use copy=None or copy=True")


def _restore(host: Any) -> Array:
    return Array(host)


def _exportable(buffer: Any) -> np.ndarray:
    """The buffer for a DLPack consumer; NumPy marks the capsule of a read-only view as read-only."""
    view = np.asarray(buffer).view()
    view.flags.writeable = False
    return view


def wrap(buffer: Any) -> Any:
    """An ``Array`` over a buffer that nobody else may write; tracers pass unchanged."""
    if type(buffer) is not np.ndarray:
        if isinstance(buffer, Array):
            return buffer
        if not hasattr(buffer, "dtype"):
            buffer = np.asarray(buffer)[()]
    self = _new(Array)
    self._buffer = buffer
    return self


def host_buffer(buffer: Any) -> np.ndarray:
    """The buffer as a NumPy array on the host; shares memory where it can."""
    return buffer.get() if hasattr(buffer, "get") else np.asarray(buffer)


def buffer_from(value: Any, dtype: Any = None, copy: bool = False) -> Any:
    """The buffer of an array-like that holds no tracer.

    With ``copy``, a buffer that somebody else may write is copied.
    """
    if isinstance(value, Array):
        buffer, copy = value._buffer, False
    elif isinstance(value, (np.ndarray, np.generic)):
        buffer = value
    elif hasattr(value, "__cuda_array_interface__"):
        buffer = _on_device(value)
    elif hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        buffer = np.from_dlpack(value)
    else:
        buffer, copy = _from_sequence(value), False
    return _checked(buffer, dtype, copy)


def _on_device(value: Any) -> Any:
    """CuPy's array over memory of a CUDA device, which may be another library's."""
    try:
        import cupy
    except ModuleNotFoundError:
        raise MissingPackageError(
            f"a {type(value).__module__}.{type(value).__name__} on a CUDA device needs CuPy: pip install 'fad-autodiff[cuda]', or copy "
            "it to the CPU first"
        ) from None
    return cupy.asarray(value)


def _from_sequence(value: Any) -> Any:
    if isinstance(value, dict):
        keys = ", ".join(map(repr, value))
        raise DTypeError(f"got a dict ({keys[:60]}) where an array is needed; are two arguments in each other's place?")
    try:
        return np.asarray(value)
    except ValueError as error:
        if "inhomogeneous" in str(error):
            raise ShapeError(
                f"a ragged nested sequence cannot become an array ({error}). Pad the rows to one length, or keep a list of arrays."
            ) from None
        raise ShapeError(f"cannot make an array of {type(value).__name__}: {error}") from None


def _checked(buffer: Any, dtype: Any, copy: bool) -> Any:
    kind = buffer.dtype.kind
    if kind not in "biufc" and not (kind == "V" and buffer.dtype.names is None and buffer.dtype.isbuiltin == 2):
        raise DTypeError(
            f"arrays of dtype {buffer.dtype} are not supported: fad computes with bool, integer, real and complex numbers. "
            "Convert first, for example with np.asarray(x, dtype=float)."
        )
    if isinstance(buffer, np.ndarray) and type(buffer) is not np.ndarray:
        if isinstance(buffer, np.ma.MaskedArray):
            raise DTypeError(
                "masked arrays are not supported; use x.filled(value) and a separate boolean mask with fad.numpy.where"
            )
        buffer = np.asarray(buffer)
    if not buffer.dtype.isnative:
        buffer, copy = buffer.astype(buffer.dtype.newbyteorder("=")), False
    if kind in "fc" and buffer.dtype.itemsize > (8 if kind == "f" else 16):
        raise DTypeError(
            f"extended precision ({buffer.dtype}) is not supported; convert to float64 or complex128 first"
        )
    if dtype is not None and buffer.dtype != np.dtype(dtype):
        return buffer.astype(dtype)
    if copy and isinstance(buffer, np.ndarray) and (buffer.flags.writeable or buffer.base is not None):
        buffer = buffer.copy()
    return buffer
