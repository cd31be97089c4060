"""Gauss's hypergeometric function, and functions whose derivatives of every order it gives without cancellation. Values are SciPy's.

Formulas: NIST Digital Library of Mathematical Functions (DLMF); the number stands at each rule.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fad.core.samples import case, f32, f64, literal, reals
from fad.primitives.special import special_function

__all__ = ["ellipe", "ellipk", "hyp2f1", "spence"]


def _hyp2f1(xp: Any, special: Any, a: Any, b: Any, c: Any, x: Any) -> Any:
    return xp.where(x <= 1, special.hyp2f1(a, b, c, x), xp.asarray(np.nan, x.dtype))


# The parameters carry no derivative: who lets users give them refuses it.
hyp2f1 = special_function(
    "hyp2f1",
    [None, None, None, lambda _, a, b, c, x: a * b / c * hyp2f1.bind(a + 1, b + 1, c + 1, x)],  # 15.5.1
    [
        *[
            case(literal(a), literal(b), literal(c), f64(2, 3, low=-2, high=0.8))
            for a, b, c in ((1.0, 1.0, 2.0), (0.5, 1.5, 2.0))
        ],
        case(literal(1.5), literal(1.5), literal(2.0), f32(3, low=-2, high=0.8)),
    ],
    function=_hyp2f1,
    singular=True,
    doc="Gauss's hypergeometric function for real arguments up to 1, DLMF 15.2.1.",
)
ellipk = special_function(
    "ellipk",
    [lambda _, m: math.pi / 8 * hyp2f1.bind(1.5, 1.5, 2.0, m)],  # from 19.5.1
    reals((-3, 0.9)),
    singular=True,
    doc="The complete elliptic integral of the first kind of the parameter m, DLMF 19.2.8.",
)
ellipe = special_function(
    "ellipe",
    [lambda _, m: -math.pi / 8 * hyp2f1.bind(0.5, 1.5, 2.0, m)],  # from 19.5.2
    reals((-3, 0.9)),
    singular=True,
    doc="The complete elliptic integral of the second kind of the parameter m, DLMF 19.2.8.",
)
spence = special_function(
    "spence",
    [lambda _, z: -hyp2f1.bind(1.0, 1.0, 2.0, 1 - z)],  # log(z) / (1 - z), 15.4.1
    reals((0.1, 4)),
    singular=True,
    doc="Spence's function, the dilogarithm of 1 - z, DLMF 25.12.1.",
)
