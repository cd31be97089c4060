"""fad: functional automatic differentiation for people who think in NumPy.

Transforms are higher-order functions over pure Python functions of immutable arrays: ``grad(f)``, ``vmap(f)``, ``jit(f)``. They compose in any
order and to any depth. The import name is ``fad``, the distribution is ``fad-autodiff``.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from fad import numpy, tree
from fad.core import errors
from fad.core.array import Array
from fad.core.avals import ShapedArray
from fad.core.config import config
from fad.core.placement import block_until_ready, device_put, devices
from fad.core.program import Program
from fad.transforms.gradients import grad, jvp, linear_transpose, linearize, value_and_grad, vjp
from fad.transforms.vectorization import vmap

if _TYPE_CHECKING:
    from fad import debug, extend, testing
    from fad.export import export_source
    from fad.transforms.associative import associative_scan
    from fad.transforms.autocasting import autocast
    from fad.transforms.branching import cond, switch
    from fad.transforms.checkpointing import checkpoint, checkpoint_name, save_contractions, save_names, save_nothing
    from fad.transforms.collectives import all_gather, axis_index, pmax, pmean, pmin, psum
    from fad.transforms.compilation import jit
    from fad.transforms.custom_rules import custom_jvp, custom_vjp, stop_gradient
    from fad.transforms.jacobians import hessian, hvp, jacfwd, jacobian, jacrev
    from fad.transforms.looping import fori_loop, while_loop
    from fad.transforms.programs import eval_shape, make_program
    from fad.transforms.scanning import scan

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Program",
    "ShapedArray",
    "all_gather",
    "associative_scan",
    "autocast",
    "axis_index",
    "block_until_ready",
    "checkpoint",
    "checkpoint_name",
    "cond",
    "config",
    "custom_jvp",
    "custom_vjp",
    "debug",
    "device_put",
    "devices",
    "errors",
    "eval_shape",
    "export_source",
    "extend",
    "fori_loop",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "linear_transpose",
    "linearize",
    "make_program",
    "numpy",
    "pmax",
    "pmean",
    "pmin",
    "psum",
    "random",
    "save_contractions",
    "save_names",
    "save_nothing",
    "scan",
    "stop_gradient",
    "switch",
    "testing",
    "tree",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

# What most programs do not need, or only after a while, is imported when it is first asked for.
_MODULES_ON_USE = ("data", "debug", "extend", "io", "nn", "optim", "random", "scipy", "testing", "train", "viz")
_NAMES_ON_USE = {
    "export_source": "fad.export",
    "associative_scan": "fad.transforms.associative",
    "autocast": "fad.transforms.autocasting",
    **dict.fromkeys(["cond", "switch"], "fad.transforms.branching"),
    **dict.fromkeys(["all_gather", "axis_index", "pmax", "pmean", "pmin", "psum"], "fad.transforms.collectives"),
    **dict.fromkeys(["custom_jvp", "custom_vjp", "stop_gradient"], "fad.transforms.custom_rules"),
    **dict.fromkeys(["hessian", "hvp", "jacfwd", "jacobian", "jacrev"], "fad.transforms.jacobians"),
    **dict.fromkeys(["fori_loop", "while_loop"], "fad.transforms.looping"),
    "jit": "fad.transforms.compilation",
    **dict.fromkeys(["eval_shape", "make_program"], "fad.transforms.programs"),
    "scan": "fad.transforms.scanning",
    **dict.fromkeys(
        ["checkpoint", "checkpoint_name", "save_contractions", "save_names", "save_nothing"],
        "fad.transforms.checkpointing",
    ),
}


def __getattr__(name: str) -> _Any:
    if name in _MODULES_ON_USE:
        return _import_module(f"fad.{name}")
    if name in _NAMES_ON_USE:
        value = globals()[name] = getattr(_import_module(_NAMES_ON_USE[name]), name)
        return value
    raise _import_module("fad.core.other_names").missing("fad", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


config.watch_checks(lambda on: _import_module("fad.debug.finite").install_checks(on))
