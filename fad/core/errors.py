"""Exceptions of fad: each says what went wrong, where, with which shapes and dtypes, and what to do about it.

Every class also derives from the built-in exception that a NumPy user would expect, so ``except ValueError`` keeps working.
"""

from pickle import PicklingError

import numpy as np

__all__ = [
    "ArgumentError",
    "ConcretizationError",
    "DTypeError",
    "DeletedArrayError",
    "FadError",
    "FileFormatError",
    "ImmutableArrayError",
    "IndexOutOfBoundsError",
    "LeakedTracerError",
    "LinAlgError",
    "MissingPackageError",
    "NonDifferentiableError",
    "NonFiniteError",
    "SerializationError",
    "ShapeError",
    "TreeError",
]


class FadError(Exception):
    """Base class of every exception that fad raises on its own account.

    ``place`` is the user's line and the transform, where an error came up while a function was being traced.
    """

    place = ""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.place}" if self.place else super().__str__()


class ShapeError(FadError, ValueError):
    """Shapes, axes or sizes that do not fit the operation."""


class DTypeError(FadError, TypeError):
    """A dtype or a kind of value that the operation cannot take."""


class ArgumentError(FadError, ValueError, TypeError):
    """A call whose arguments contradict each other or the function's signature."""


class TreeError(FadError, ValueError, TypeError):
    """Pytrees whose structures should agree and do not."""


class ConcretizationError(FadError, TypeError):
    """The concrete value of a traced array was asked for where it has none."""


class LeakedTracerError(FadError, RuntimeError):
    """A tracer was used after the transform that made it had finished."""


class NonDifferentiableError(FadError, TypeError):
    """A derivative was asked for that does not exist or has no rule."""


class SerializationError(FadError, PicklingError):
    """A function that pickle cannot find by name."""


class ImmutableArrayError(FadError, TypeError):
    """An attempt to write into an immutable array."""


class IndexOutOfBoundsError(FadError, IndexError):
    """An index outside the axis that it indexes."""


class DeletedArrayError(FadError, RuntimeError):
    """An array was used whose memory had been donated to a jitted function."""


class NonFiniteError(FadError, FloatingPointError):
    """A NaN or an infinity appeared while the debug checks were on.

    ``source`` is the user's line; where a Program is evaluated, the line that staged the operation.
    """

    def __init__(self, message: str, source: object = None):
        super().__init__(message)
        self.source = source
        self.staged = False

    def __str__(self) -> str:
        return f"{self.args[0]} It happened at {self.source}." if self.source else self.args[0]


class FileFormatError(FadError, ValueError):
    """A file that is damaged, incomplete, or holds something else than what was asked for."""


class MissingPackageError(FadError, ImportError):
    """An optional package that the function needs is not installed."""


class LinAlgError(FadError, np.linalg.LinAlgError):
    """A matrix for which the factorisation or solution does not exist, or whose algorithm did not converge."""
