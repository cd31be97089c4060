"""The differentiable part of SciPy, under SciPy's names. Submodules load when they are first used.

Examples
--------
>>> import fad.scipy
>>> fad.scipy.linalg.expm([[0.0, 0.0], [0.0, 0.0]])
Array([[1., 0.],
       [0., 1.]])
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

_PUBLIC = frozenset({"integrate", "linalg", "optimize", "special", "stats"})
_SUBMODULES = _PUBLIC.intersection(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"fad.scipy.{name}")
    raise AttributeError(f"fad.scipy has no {name!r}; it has: {', '.join(sorted(_SUBMODULES))}")


def __dir__() -> list[str]:
    return sorted(_SUBMODULES)
