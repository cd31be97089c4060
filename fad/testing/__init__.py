"""Check derivatives: of a function (``check_grads``), of a primitive's rules (``check_primitive``), of whatever Hypothesis comes up with."""

from fad.testing.gradients import check_grads
from fad.testing.numerical import CheckError
from fad.testing.primitives import check_primitive
from fad.testing.strategies import arrays, keys, pytrees

__all__ = ["CheckError", "arrays", "check_grads", "check_primitive", "keys", "pytrees"]
