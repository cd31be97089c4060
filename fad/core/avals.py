"""Abstract values (shape and dtype) and the promotion rules, which are NumPy 2's (NEP 50).

Python scalars are *weak*: they take the dtype of the array that they meet. bfloat16 (from ml_dtypes) follows the same rule,
which NumPy itself does not apply to dtypes that it did not define.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fad.core.errors import DTypeError

__all__ = [
    "DYNAMIC",
    "PYTHON_SCALARS",
    "DynamicSize",
    "ShapedArray",
    "aval_of",
    "bfloat16",
    "canonical_dtype",
    "dtype_name",
    "dtype_named",
    "dtype_of",
    "inexact_dtype",
    "is_bfloat16",
    "is_complex",
    "is_inexact",
    "real_dtype",
    "result_dtype",
    "shape_of",
    "weak_operand",
]

if TYPE_CHECKING:
    bfloat16: np.dtype

PYTHON_SCALARS = frozenset({bool, int, float, complex})
_SCALAR_DTYPE = {
    bool: np.dtype(bool),
    int: np.dtype(np.int64),
    float: np.dtype(np.float64),
    complex: np.dtype(np.complex128),
}


def __getattr__(name: str) -> Any:
    """``bfloat16``: its package, which makes it known to NumPy, is loaded when somebody first wants it."""
    if name != "bfloat16":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import ml_dtypes

    found = globals()[name] = np.dtype(ml_dtypes.bfloat16)
    return found


class DynamicSize:
    """The unknown leading size of what a loop of unknown length has stacked."""

    def __repr__(self) -> str:
        return "?"

    def __reduce__(self) -> str:
        return "DYNAMIC"


DYNAMIC = DynamicSize()


class ShapedArray:
    """The type of an array value: its shape and dtype.

    Parameters
    ----------
    shape : tuple of int
        The shape.
    dtype : numpy.dtype
        The dtype.
    weak : bool
        Whether the value is a Python scalar, which yields to the dtype of any array (NEP 50).

    Examples
    --------
    >>> import numpy as np
    >>> from fad.core.avals import ShapedArray
    >>> ShapedArray((2, 3), np.float32)
    float32[2,3]
    """

    __slots__ = ("dtype", "shape", "weak")

    def __init__(self, shape: tuple[int, ...], dtype: Any, weak: bool = False):
        self.shape = shape if type(shape) is tuple else tuple(shape)
        self.dtype = dtype if isinstance(dtype, np.dtype) else dtype_named(dtype)
        self.weak = weak

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_sized(self) -> bool:
        """Whether all sizes are known: what a loop of unknown length stacks has none along its first axis."""
        for n in self.shape:
            if type(n) is not int:
                return False
        return True

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return self.size * self.dtype.itemsize

    def update(self, shape: tuple[int, ...] | None = None, dtype: Any = None) -> ShapedArray:
        """A strong copy with another shape or dtype."""
        return ShapedArray(self.shape if shape is None else shape, self.dtype if dtype is None else dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ShapedArray):
            return NotImplemented
        return self.shape == other.shape and self.dtype == other.dtype and self.weak == other.weak

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype, self.weak))

    def __repr__(self) -> str:
        return f"{dtype_name(self.dtype)}[{','.join(map(str, self.shape))}]{'*' if self.weak else ''}"


def dtype_name(dtype: np.dtype) -> str:
    """The dtype's name, ``bfloat16`` included."""
    return dtype.name


def is_bfloat16(dtype: np.dtype) -> bool:
    """Whether it is bfloat16, to be asked without loading it."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def is_complex(dtype: np.dtype) -> bool:
    """Whether values of the dtype are complex."""
    return dtype.kind == "c"


def is_inexact(dtype: np.dtype) -> bool:
    """Whether values of the dtype are real or complex floating point, and so have tangents."""
    return dtype.kind in "fc" or is_bfloat16(dtype)


def real_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of the real part."""
    if dtype.kind == "c":
        return np.dtype(np.float32) if dtype.itemsize == 8 else np.dtype(np.float64)
    return dtype


def inexact_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype itself if it is floating point, else float64 (as NumPy's float functions do with integers)."""
    return dtype if is_inexact(dtype) else np.dtype(np.float64)


def dtype_named(dtype: Any) -> np.dtype:
    """``numpy.dtype(dtype)``, which knows the name of bfloat16."""
    return __getattr__(dtype) if isinstance(dtype, str) and dtype == "bfloat16" else np.dtype(dtype)


def canonical_dtype(dtype: Any) -> np.dtype:
    """``dtype`` as a native-endian ``numpy.dtype``; Python's ``float`` and the like give NumPy's defaults."""
    dtype = dtype_named(dtype)
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of a buffer, tracer, abstract value or Python scalar."""
    try:
        return x.shape
    except AttributeError:
        return ()


def dtype_of(x: Any) -> np.dtype:
    """The dtype of a buffer, tracer, abstract value or Python scalar."""
    try:
        return x.dtype
    except AttributeError:
        return _SCALAR_DTYPE[type(x)]


def aval_of(x: Any) -> ShapedArray:
    """The abstract value of a buffer, tracer or Python scalar."""
    kind = type(x)
    if kind is np.ndarray:
        return ShapedArray(x.shape, x.dtype)
    if kind in PYTHON_SCALARS:
        return ShapedArray((), _SCALAR_DTYPE[kind], True)
    if kind is ShapedArray:
        return x
    try:
        return x.aval
    except AttributeError:
        return ShapedArray(x.shape, x.dtype)


def weak_operand(x: Any) -> Any:
    """What stands for ``x`` in NumPy's type resolution: a dtype, or a Python scalar type where ``x`` is weak."""
    kind = type(x)
    if kind in PYTHON_SCALARS:
        return kind
    aval = aval_of(x)
    if aval.weak:
        return {"b": bool, "i": int, "f": float, "c": complex}[aval.dtype.kind]
    return aval.dtype


def result_dtype(*operands: Any) -> np.dtype:
    """The promoted dtype of dtypes and weak Python scalar types (what :func:`weak_operand` gives)."""
    strong = [d for d in operands if not isinstance(d, type)]
    weak = [d for d in operands if isinstance(d, type)]
    if not strong:
        return np.result_type(*[_SCALAR_DTYPE[d] for d in weak])
    try:
        result = np.result_type(*strong)
    except TypeError:  # bfloat16 beside what NumPy has no rule for
        seen = " and ".join(sorted({str(d) for d in strong}))
        raise DTypeError(f"no dtype holds the values of both {seen}: convert one of them with x.astype(...)") from None
    for kind in weak:
        if is_bfloat16(result):
            result = np.dtype(np.complex64) if kind is complex else result
        elif kind is not bool:
            result = np.result_type(result, kind(0))
    return result
