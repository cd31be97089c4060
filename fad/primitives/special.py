"""Special functions: error functions, gamma functions, Bessel functions, entropies and their derivatives. Values are SciPy's.

Formulas: NIST Digital Library of Mathematical Functions (DLMF); the number stands at each rule.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fad.core.avals import (
    ShapedArray,
    bfloat16,
    inexact_dtype,
    is_complex,
    result_dtype,
    weak_operand,
)
from fad.core.errors import DTypeError
from fad.core.primitive import Primitive
from fad.core.samples import reals
from fad.primitives.elementwise_rules import elementwise
from fad.primitives.math_functions import exp

__all__ = ["erf", "erfc", "erfinv"]


def special_module(xp: Any) -> Any:
    """SciPy's special functions, or CuPy's; loaded when the first one is computed."""
    return importlib.import_module("scipy.special" if xp is np else "cupyx.scipy.special")


def computing_dtype(dtype: np.dtype) -> np.dtype:
    """float32 for the half precisions, which SciPy does not compute in."""
    return np.dtype(np.float32) if dtype == np.float16 or dtype == bfloat16 else dtype


def _implementation(function: Any) -> Any:
    """An impl that computes ``function``, a name of SciPy or ``f(xp, special, *arrays)``, in the result's dtype."""

    def impl(xp: Any, *args: Any) -> Any:
        dtype = inexact_dtype(result_dtype(*[weak_operand(a) for a in args]))
        arrays = [xp.asarray(a, computing_dtype(dtype)) for a in args]
        module = special_module(xp)
        out = getattr(module, function)(*arrays) if isinstance(function, str) else function(xp, module, *arrays)
        return out if out.dtype == dtype else out.astype(dtype)

    return impl


def _real_floats(name: str) -> Any:
    """The dtype rule: promoted, integers to float64, complex values refused."""

    def rule(*avals: ShapedArray) -> np.dtype:
        dtype = inexact_dtype(result_dtype(*[weak_operand(a) for a in avals]))
        if is_complex(dtype):
            raise DTypeError(
                f"{name} is for real arguments, got {', '.join(map(str, avals))}; use the real and imaginary parts"
            )
        return dtype

    return rule


def special(
    name: str,
    partials: Sequence[Any],
    samples: Any,
    *,
    function: Any = None,
    kernel: Any = None,
    singular: bool = False,
    doc: str = "",
) -> Primitive:
    """Declare a real special function; ``function`` is SciPy's name where it differs from ours, or a callable."""
    return elementwise(
        name,
        impl=_implementation(function or name),
        partials=partials,
        dtype=_real_floats(name),
        kernel=kernel,
        singular=singular,
        samples=samples,
        doc=doc,
    )


# --- error functions, DLMF 7.2 ------------------------------------------------------------------------------------------------

_TWO_OVER_ROOT_PI = 2 / math.sqrt(math.pi)

erf = special(
    "erf",
    [lambda _, x: _TWO_OVER_ROOT_PI * exp.bind(-x * x)],  # 7.10.1
    reals((-2, 2), half=True),
    kernel=lambda k, x: k.erf(x),
)
erfc = special(
    "erfc",
    [lambda _, x: -_TWO_OVER_ROOT_PI * exp.bind(-x * x)],
    reals((-2, 2), half=True),
    kernel=lambda k, x: k.erfc(x),
)
erfinv = special(
    "erfinv",
    [lambda out, _x: exp.bind(out * out) / _TWO_OVER_ROOT_PI],
    reals((-0.9, 0.9)),
    kernel=lambda k, x: k.erfinv(x),
    singular=True,
)
