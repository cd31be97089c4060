"""Constants, dtypes and questions about them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.array import Array
from fad.core.avals import PYTHON_SCALARS, dtype_named, dtype_of, is_bfloat16, result_dtype, shape_of, weak_operand
from fad.core.errors import ArgumentError
from fad.numpy.conversion import axis_numbers, operand

__all__ = [
    "bool",
    "bool_",
    "byte",
    "can_cast",
    "cdouble",
    "common_type",
    "complex64",
    "complex128",
    "complexfloating",
    "csingle",
    "double",
    "dtype",
    "e",
    "errstate",
    "euler_gamma",
    "finfo",
    "float16",
    "float32",
    "float64",
    "floating",
    "generic",
    "half",
    "iinfo",
    "inexact",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "int_",
    "intc",
    "integer",
    "intp",
    "iscomplexobj",
    "isdtype",
    "isrealobj",
    "isscalar",
    "issubdtype",
    "iterable",
    "long",
    "longlong",
    "min_scalar_type",
    "nan",
    "ndim",
    "newaxis",
    "number",
    "pi",
    "promote_types",
    "result_type",
    "shape",
    "short",
    "signedinteger",
    "single",
    "size",
    "ubyte",
    "uint",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "uintc",
    "uintp",
    "ulong",
    "ulonglong",
    "unsignedinteger",
    "ushort",
]


def __getattr__(name: str) -> Any:
    if name == "bfloat16":
        return dtype_named(name).type
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


e, pi, inf, nan, euler_gamma, newaxis = math.e, math.pi, math.inf, math.nan, np.euler_gamma, None
dtype = np.dtype
bool = bool_ = np.bool_
int8, int16, int32, int64 = np.int8, np.int16, np.int32, np.int64
uint8, uint16, uint32, uint64 = np.uint8, np.uint16, np.uint32, np.uint64
int_, uint = np.int64, np.uint64
float16, float32, float64 = np.float16, np.float32, np.float64
half, single, double = np.float16, np.float32, np.float64
byte, short, intc, intp, long, longlong = np.byte, np.short, np.intc, np.intp, np.long, np.longlong
ubyte, ushort, uintc, uintp, ulong, ulonglong = np.ubyte, np.ushort, np.uintc, np.uintp, np.ulong, np.ulonglong
csingle, cdouble = np.complex64, np.complex128
errstate = np.errstate
complex64, complex128 = np.complex64, np.complex128
generic, number, integer, inexact = np.generic, np.number, np.integer, np.inexact
signedinteger, unsignedinteger = np.signedinteger, np.unsignedinteger
floating, complexfloating = np.floating, np.complexfloating


def _type(value: Any) -> Any:
    """What NumPy's type functions take for a value: the dtype of arrays, Python scalars and dtypes as they are."""
    if isinstance(value, Array):
        return weak_operand(value)
    return value


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that promotion gives (NEP 50): Python scalars yield to arrays and dtypes.

    Parameters
    ----------
    *arrays_and_dtypes : array_like, dtype or scalar
        What meets in an operation.

    Returns
    -------
    numpy.dtype

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.result_type(fnp.float32, 1.0)
    dtype('float32')
    """
    if not arrays_and_dtypes:
        raise ArgumentError("result_type needs at least one array or dtype")
    kinds = []
    for value in arrays_and_dtypes:
        if type(value) in PYTHON_SCALARS:
            kinds.append(type(value))
        elif isinstance(value, Array | np.ndarray | np.generic | list | tuple):
            kinds.append(weak_operand(operand(value, "result_type")))
        else:
            kinds.append(dtype_named(value))  # type: ignore[arg-type]
    return result_dtype(*kinds)


def promote_types(type1: Any, type2: Any) -> np.dtype:
    """The smallest dtype that both dtypes convert to safely.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.promote_types("int32", "float32")
    dtype('float64')
    """
    return np.promote_types(dtype_named(type1), dtype_named(type2))


def can_cast(from_: Any, to: Any, casting: Any = "safe") -> Any:
    """Whether a dtype converts to another under a casting rule; arrays count by their dtype.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.can_cast("int32", "float64"), fnp.can_cast("float64", "int32")
    (True, False)
    """
    return np.can_cast(dtype_of(from_) if isinstance(from_, Array) else from_, to, casting)


def common_type(*arrays: Any) -> Any:
    """The floating dtype that arrays have in common; integers count as float64.

    Examples
    --------
    >>> import numpy as np
    >>> import fad.numpy as fnp
    >>> fnp.common_type(fnp.ones(1, "float32"), fnp.ones(1, "complex64")) is np.complex64
    True
    """
    return np.common_type(*[np.empty(0, dtype_of(operand(a, "common_type"))) for a in arrays])


def min_scalar_type(a: Any) -> np.dtype:
    """The smallest dtype that holds a Python or NumPy scalar; the dtype of an array.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.min_scalar_type(10)
    dtype('uint8')
    """
    return dtype_of(a) if isinstance(a, Array) else np.min_scalar_type(a)


def finfo(type: Any, /) -> Any:
    """Limits of a floating dtype, or of an array's dtype; see ``numpy.finfo``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.finfo(fnp.float32).bits
    32
    """
    kind = dtype_named(dtype_of(type) if isinstance(type, Array | np.ndarray | np.generic) else type)
    if not is_bfloat16(kind):
        return np.finfo(kind)
    import ml_dtypes

    return ml_dtypes.finfo(kind)


def iinfo(type: Any, /) -> Any:
    """Limits of an integer dtype, or of an array's dtype; see ``numpy.iinfo``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.iinfo(fnp.int8).max
    127
    """
    return np.iinfo(dtype_of(type) if isinstance(type, Array | np.ndarray | np.generic) else type)


def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether a dtype is of a kind: ``'bool'``, ``'integral'``, ``'real floating'``, ..., a dtype, or a tuple of these.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.isdtype(fnp.float32, "real floating")
    True
    """
    kind_list = kind if isinstance(kind, tuple) else (kind,)
    if _is_bfloat16(dtype):
        return any(_is_bfloat16(k) or k in ("real floating", "numeric") for k in kind_list)
    try:
        return np.isdtype(np.dtype(dtype), kind)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"isdtype: {error}") from None


def issubdtype(arg1: Any, arg2: Any) -> Any:
    """Whether a dtype stands below another in NumPy's hierarchy of types; bfloat16 stands below ``floating``.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.issubdtype(fnp.float32, fnp.floating), fnp.issubdtype(fnp.bfloat16, fnp.floating)
    (True, True)
    """
    if _is_bfloat16(arg1):
        return _is_bfloat16(arg2) or np.issubdtype(np.floating, arg2)
    return not _is_bfloat16(arg2) and np.issubdtype(arg1, arg2)


def _is_bfloat16(dtype: Any) -> Any:
    if isinstance(dtype, np.dtype):
        return is_bfloat16(dtype)
    return dtype == "bfloat16" or isinstance(dtype, type) and dtype.__name__ == "bfloat16"


def iscomplexobj(x: Any) -> Any:
    """Whether the dtype is complex.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.iscomplexobj([1.0 + 0j])
    True
    """
    return dtype_of(operand(x, "iscomplexobj")).kind == "c"


def isrealobj(x: Any) -> Any:
    """Whether the dtype is not complex.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.isrealobj([1.0])
    True
    """
    return not iscomplexobj(x)


def isscalar(element: Any) -> Any:
    """Whether a value is a Python or NumPy scalar, or an array without axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.isscalar(3.0), fnp.isscalar([3.0])
    (True, False)
    """
    return np.isscalar(element) or (isinstance(element, Array) and not element.shape)


def iterable(y: Any) -> Any:
    """Whether a value can be iterated over.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.iterable([1]), fnp.iterable(1)
    (True, False)
    """
    return len(y.shape) > 0 if isinstance(y, Array) else np.iterable(y)


def shape(a: Any) -> tuple[int, ...]:
    """Sizes of the axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.shape([[1, 2]])
    (1, 2)
    """
    return shape_of(operand(a, "shape"))


def ndim(a: Any) -> int:
    """Number of axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.ndim([[1, 2]])
    2
    """
    return len(shape_of(operand(a, "ndim")))


def size(a: Any, axis: Any = None) -> int:
    """Number of elements, in all or along axes.

    Examples
    --------
    >>> import fad.numpy as fnp
    >>> fnp.size([[1, 2], [3, 4]], axis=0)
    2
    """
    sizes = shape_of(operand(a, "size"))
    return math.prod(sizes[i] for i in axis_numbers(axis, len(sizes), "size"))
