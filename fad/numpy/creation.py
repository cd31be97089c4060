"""Making arrays from values and constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from fad.core.array import Array, buffer_from, wrap
from fad.core.avals import PYTHON_SCALARS, canonical_dtype, dtype_of, shape_of
from fad.core.errors import ArgumentError
from fad.core.trace import Tracer
from fad.numpy.conversion import check_device, known_value, operand, shape_tuple
from fad.primitives import structural
from fad.primitives.structural import broadcast_to, convert, reshape

__all__ = [
    "array",
    "asanyarray",
    "asarray",
    "asarray_chkfinite",
    "ascontiguousarray",
    "asfortranarray",
    "astype",
    "copy",
    "empty",
    "empty_like",
    "from_dlpack",
    "frombuffer",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]


def array(object: Any, dtype: Any = None, *, copy: bool | None = True, ndmin: int = 0, device: Any = None) -> Array:
    """An array from an array-like; nested sequences may hold traced values.

    Parameters
    ----------
    object : array_like
        Number, array or nested sequence of them.
    dtype : dtype, optional
        The dtype; by default NumPy's choice for the values.
    copy : bool, optional
        A NumPy array that may be written is always copied.
    ndmin : int
        The least number of axes; new ones come first.
    device : str, optional
        ``"cpu"`` or None.

    Returns
    -------
    Array

    Raises
    ------
    ShapeError
        If nested sequences are ragged.
    DTypeError
        If the values are not numbers or booleans.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.array([[1, 2], [3, 4]], dtype=float)
    Array([[1., 2.],
           [3., 4.]])
    """
    check_device("array", device)
    found = operand(object, "array")
    if type(found) in PYTHON_SCALARS or (found is object and isinstance(object, np.ndarray)):
        # Arrays outlive the call, so writeable memory is copied.
        found = buffer_from(found, None, copy=True)
    elif isinstance(found, Tracer) and found.aval.weak:
        found = structural.convert_p.bind(found, dtype=found.dtype)
    if dtype is not None:
        wanted = canonical_dtype(dtype)
        if isinstance(object, int | list | tuple) and isinstance(found, np.ndarray) and found.dtype.kind == "i":
            # Python integers that the dtype does not hold raise OverflowError.
            found = np.asarray(object, wanted) if wanted.kind in "iu" else found
        found = convert(found, wanted)
    shape = shape_of(found)
    return wrap(reshape(found, (1,) * (ndmin - len(shape)) + shape) if len(shape) < ndmin else found)


def asarray(a: Any, dtype: Any = None, *, copy: bool | None = None, device: Any = None, order: Any = None) -> Array:
    """An array from an array-like; arrays that have the dtype pass unchanged.

    Parameters
    ----------
    a : array_like
        Number, array or nested sequence of them.
    dtype : dtype, optional
        The dtype; by default NumPy's choice for the values.
    copy, device, order : optional
        For compatibility; memory that others may write is always copied.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.asarray([1.0, 2.0])
    Array([1., 2.])
    """
    return array(a, dtype, device=device)


def asanyarray(a: Any, dtype: Any = None) -> Array:
    """The same as :func:`asarray`: there are no subclasses.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.asanyarray(2.0)
    Array(2.)
    """
    return array(a, dtype)


def ascontiguousarray(a: Any, dtype: Any = None) -> Array:
    """:func:`asarray` with at least one axis; the layout in memory is not the user's concern.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.ascontiguousarray([1.0, 2.0])
    Array([1., 2.])
    """
    return array(a, dtype, ndmin=1)


def asfortranarray(a: Any, dtype: Any = None) -> Array:
    """:func:`asarray`; the layout in memory is not the user's concern.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.asfortranarray([1.0, 2.0])
    Array([1., 2.])
    """
    return array(a, dtype)


def asarray_chkfinite(a: Any, dtype: Any = None, order: Any = None) -> Array:
    """:func:`asarray`, with an error where an element is infinite or NaN; the values must be known.

    Raises
    ------
    ArgumentError
        If an element is not finite.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.asarray_chkfinite([1.0, 2.0])
    Array([1., 2.])
    """
    found = array(a, dtype)
    if not bool(np.isfinite(known_value(operand(found), "asarray_chkfinite", "a")).all()):
        raise ArgumentError("asarray_chkfinite: the array has infinities or NaN")
    return found


def copy(a: Any, order: Any = None, subok: bool = False) -> Array:
    """The array itself: it is immutable.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.copy([1.0, 2.0])
    Array([1., 2.])
    """
    return array(a)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Array:
    """``x`` in another dtype; complex to real takes the real part.

    Parameters
    ----------
    x : array_like
        The values.
    dtype : dtype
        The dtype to convert to.
    copy, device : optional
        For compatibility.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.astype([1.5, 2.5], int)
    Array([1, 2])
    """
    return wrap(convert(operand(x, "astype"), canonical_dtype(dtype)))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Array:
    """An array from any object with ``__dlpack__``.

    Examples
    --------
    >>> import numpy as np
    >>> import fad.numpy as fnp
    >>> fnp.from_dlpack(np.ones(2))
    Array([1., 1.])
    """
    if isinstance(x, Tracer):
        return x
    return Array(np.from_dlpack(x))


def frombuffer(buffer: Any, dtype: Any = float, count: int = -1, offset: int = 0) -> Array:
    """A one-dimensional array from bytes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.frombuffer(b"ab", dtype="uint8")
    Array([97, 98], dtype=uint8)
    """
    return Array(np.frombuffer(buffer, dtype, count, offset))


# --- constants ---------------------------------------------------------------------------------------------------------------------------


def zeros(shape: Any, dtype: Any = float, *, device: Any = None) -> Array:
    """An array of zeros.

    Parameters
    ----------
    shape : int or tuple of int
        The shape.
    dtype : dtype
        The dtype, float64 by default.
    device : str, optional
        ``"cpu"`` or None.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.zeros(2)
    Array([0., 0.])
    """
    return _filled("zeros", shape, 0, dtype, device)


def ones(shape: Any, dtype: Any = float, *, device: Any = None) -> Array:
    """An array of ones.

    Parameters
    ----------
    shape : int or tuple of int
        The shape.
    dtype : dtype
        The dtype, float64 by default.
    device : str, optional
        ``"cpu"`` or None.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.ones((1, 2))
    Array([[1., 1.]])
    """
    return _filled("ones", shape, 1, dtype, device)


def empty(shape: Any, dtype: Any = float, *, device: Any = None) -> Array:
    """The same as :func:`zeros`: nothing could be written into an uninitialised array.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.empty(1).shape
    (1,)
    """
    return _filled("empty", shape, 0, dtype, device)


def full(shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None) -> Array:
    """An array of one value, or of values broadcast to a shape.

    Parameters
    ----------
    shape : int or tuple of int
        The shape.
    fill_value : array_like
        The value; it may be traced.
    dtype : dtype, optional
        The dtype, by default that of the value.
    device : str, optional
        ``"cpu"`` or None.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.full(2, 7)
    Array([7, 7])
    """
    if type(fill_value) in PYTHON_SCALARS:
        return _filled("full", shape, fill_value, dtype_of(fill_value) if dtype is None else dtype, device)
    check_device("full", device)
    value = operand(fill_value, "full")
    dtype = dtype_of(value) if dtype is None else canonical_dtype(dtype)
    return wrap(broadcast_to(convert(value, dtype), shape_tuple(shape, "full")))


def _filled(function: str, shape: Any, value: Any, dtype: Any, device: Any) -> Array:
    check_device(function, device)
    return wrap(structural.full(shape_tuple(shape, function), value, canonical_dtype(dtype)))


def _filled_like(function: str, a: Any, value: Any, dtype: Any, shape: Any) -> Array:
    like = operand(a, function)
    dtype = dtype_of(like) if dtype is None else canonical_dtype(dtype)
    return wrap(structural.full(shape_of(like) if shape is None else shape_tuple(shape, function), value, dtype))


def zeros_like(
    a: Any, dtype: Any = None, order: Any = None, subok: bool = True, shape: Any = None, *, device: Any = None
) -> Array:
    """Zeros of the shape and dtype of ``a``.

    Parameters
    ----------
    a : array_like
        The model.
    dtype, shape : optional
        What to take instead of the model's.
    order, subok, device : optional
        For compatibility.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.zeros_like([1.0, 2.0])
    Array([0., 0.])
    """
    return _filled_like("zeros_like", a, 0, dtype, shape)


def ones_like(
    a: Any, dtype: Any = None, order: Any = None, subok: bool = True, shape: Any = None, *, device: Any = None
) -> Array:
    """Ones of the shape and dtype of ``a``.

    Parameters
    ----------
    a : array_like
        The model.
    dtype, shape : optional
        What to take instead of the model's.
    order, subok, device : optional
        For compatibility.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.ones_like([1, 2])
    Array([1, 1])
    """
    return _filled_like("ones_like", a, 1, dtype, shape)


def empty_like(
    prototype: Any, dtype: Any = None, order: Any = None, subok: bool = True, shape: Any = None, *, device: Any = None
) -> Array:
    """The same as :func:`zeros_like`: nothing could be written into an uninitialised array.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.empty_like([1.0]).shape
    (1,)
    """
    return _filled_like("empty_like", prototype, 0, dtype, shape)


def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = None,
    subok: bool = True,
    shape: Any = None,
    *,
    device: Any = None,
) -> Array:
    """An array of one value, of the shape and dtype of ``a``.

    Parameters
    ----------
    a : array_like
        The model.
    fill_value : array_like
        The value; it may be traced.
    dtype, shape : optional
        What to take instead of the model's.
    order, subok, device : optional
        For compatibility.

    Returns
    -------
    Array

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.full_like([1.0, 2.0], 3)
    Array([3., 3.])
    """
    like = operand(a, "full_like")
    return full(
        shape_of(like) if shape is None else shape,
        fill_value,
        dtype_of(like) if dtype is None else dtype,
        device=device,
    )
