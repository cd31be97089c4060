"""Code from outside: operations whose arrays a C function of someone else's handles, called from native segments by its address."""

from __future__ import annotations

from fad.core.program import Equation

__all__ = ["ForeignKernel"]


class ForeignKernel:
    """The kernel slot of an operation that is computed by ``int64 f(x0, x1, ..., out0, out1, ..., int64* sizes)``.

    Every array is passed as the address of its first element, in C order; ``sizes`` are the sizes of all axes of all arrays, one after another.
    The function returns 0, or anything else where it found an error: then the Program is evaluated operation by operation, which raises it.
    It may be called from any thread, without the interpreter lock.
    """

    __slots__ = ()

    def refusal(self, equation: Equation) -> str | None:
        """``None`` if there is code for these types, else the reason why not."""
        raise NotImplementedError

    def address(self, equation: Equation) -> int:
        """The address of the code, which must stay there as long as this object."""
        raise NotImplementedError
