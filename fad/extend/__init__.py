"""Operations of your own: ``Primitive`` takes an implementation and rules, ``from_numba`` a function that numba compiled."""

from fad.core import samples
from fad.core.avals import ShapedArray
from fad.core.primitive import linear, no_rule
from fad.core.samples import case
from fad.extend.numba_functions import from_numba
from fad.extend.primitive import Primitive

__all__ = ["Primitive", "ShapedArray", "case", "from_numba", "linear", "no_rule", "samples"]
