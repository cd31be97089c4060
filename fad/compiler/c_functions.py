"""Compiled Programs as C functions: an address that C, SciPy, numba and ctypes call without Python.

The function is a small one around the code of a native segment: it gathers the addresses of arguments and constants, finds memory for temporary
arrays (on the stack, or by ``malloc`` where they are large) and says by its result whether the code found an error. It keeps nothing between
calls, so any number of threads may call it at once.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.compiler.execution import NativeSegment
from fad.compiler.llvm.c_text import entry_text, form_of
from fad.compiler.llvm.linking import Source, engine
from fad.core.avals import ShapedArray
from fad.core.errors import ArgumentError, SerializationError

__all__ = ["CFunction", "c_function"]

_numbers = itertools.count()
_CTYPES = {
    "double": ctypes.c_double,
    "int": ctypes.c_int,
    "intptr_t": ctypes.c_ssize_t,
    "int64_t": ctypes.c_int64,
    "double*": ctypes.POINTER(ctypes.c_double),
    "intptr_t*": ctypes.POINTER(ctypes.c_ssize_t),
    "void*": ctypes.c_void_p,
}


class CFunction:
    """A compiled function under an address; what :meth:`Compiled.c_function` gives.

    The code lives as long as this object, and as long as what :attr:`ctypes` and :meth:`low_level_callable` give.

    Attributes
    ----------
    address : int
        Where the function is.
    signature : str
        How C would declare it, for example ``"double (double, void *)"``.
    ctypes : ctypes function
        The function for ctypes, and for code that numba compiles.
    """

    def __init__(self, name: str, code: bytes, form: Any, kept: Sequence[Any]):
        self.address = engine().add([code], name)
        self._form, self._kept = form, kept
        self.signature = form.signature
        kind = ctypes.CFUNCTYPE(_CTYPES[form.result], *[_CTYPES[p] for p in form.parameters])
        self.ctypes: Any = kind(self.address)
        self.ctypes.kept = self

    def __repr__(self) -> str:
        return f"<C function {self.signature} at {self.address:#x}>"

    def __reduce__(self) -> Any:
        raise SerializationError(
            f"a C function ({self.signature}) is an address in this process and cannot be pickled. Pickle the compiled function that made it, and call "
            "c_function there."
        )

    def low_level_callable(self, *arguments: Any) -> Any:
        """The function for :mod:`scipy.integrate` and :mod:`scipy.ndimage`.

        Parameters
        ----------
        *arguments : array_like
            The leaves of the compiled function's further arguments, in order, where the signature ends with ``void *``. They are kept.

        Returns
        -------
        scipy.LowLevelCallable

        Raises
        ------
        ArgumentError
            If the arguments do not fit.
        """
        from scipy import LowLevelCallable

        avals = self._form.further
        if len(arguments) != len(avals):
            raise ArgumentError(
                f"low_level_callable: {self.signature} of this function takes {len(avals)} further arguments through its void pointer, got {len(arguments)}"
            )
        held = [_held(k, a, v) for k, (a, v) in enumerate(zip(arguments, avals, strict=True))]
        if not held:
            return LowLevelCallable(self.ctypes, signature=self.signature)
        table = (ctypes.c_void_p * len(held))(*[h.ctypes.data for h in held])
        table.kept = held  # type: ignore[attr-defined]
        return LowLevelCallable(self.ctypes, ctypes.cast(table, ctypes.c_void_p), self.signature)


def _held(k: int, argument: Any, aval: ShapedArray) -> np.ndarray:
    array = np.require(np.asarray(argument), aval.dtype, ["C_CONTIGUOUS", "ALIGNED"])
    if array.shape != aval.shape:
        raise ArgumentError(
            f"low_level_callable: further argument {k} has shape {array.shape}, and the function was compiled for {aval}"
        )
    return array.copy()


def c_function(name: str, native: Any, signature: str | None, names: Sequence[str]) -> CFunction:
    """A C function of a compiled Program.

    Parameters
    ----------
    name : str
        The function's name, for messages.
    native : CompiledProgram
        The code.
    signature : str or None
        A C declaration without a name; ``None`` for addresses of all arguments and results.
    names : sequence of str
        The names of the arguments, for messages.
    """
    placed = native.only_segment()
    if placed is None:
        reasons = "; ".join(f"{op}: {reason}" for op, reason in native.reasons.items()) or "it has no native code"
        raise ArgumentError(
            f"c_function({name}): a part of it runs in Python, which C cannot call ({reasons}). Write that part with operations that have native "
            "code; jit(f).lower(*args) shows the segments."
        )
    segment, positions = placed
    # Code for donated arguments writes results over them; a C function leaves its arguments alone, and C calls it in no time.
    if segment.code.reused or segment.is_brief:
        segment = NativeSegment(segment.program)
    form = form_of(name, signature, native.program.in_avals, native.program.out_avals, names)
    symbol = f"fad_c_function_{next(_numbers)}"
    text = entry_text(symbol, form, segment, positions)
    return CFunction(symbol, engine().compile(Source(text, 2, False)), form, (native, segment))
