"""The NumPy API on immutable, differentiable arrays.

Functions have NumPy 2's names, signatures and type promotion, and all names of the Python array API standard. Their values are NumPy's; ``out=``
does not exist, and what would write into an array gives a new one.

Examples
--------
>>> import fad
>>> import fad.numpy as fnp
>>> fad.grad(lambda x: fnp.sum(fnp.sin(x) ** 2))(fnp.array([0.0, 1.0]))
Array([0.        , 0.90929743])
"""

import numpy as _numpy

from fad.numpy import calculus as _calculus
from fad.numpy import contractions as _contractions
from fad.numpy import counting as _counting
from fad.numpy import creation as _creation
from fad.numpy import cumulation as _cumulation
from fad.numpy import dtypes as _dtypes
from fad.numpy import elementwise as _elementwise
from fad.numpy import emath, fft, linalg
from fad.numpy import extremes as _extremes
from fad.numpy import functional as _functional
from fad.numpy import grid_builders as _grid_builders
from fad.numpy import grids as _grids
from fad.numpy import indexing as _indexing
from fad.numpy import input_output as _input_output
from fad.numpy import joining as _joining
from fad.numpy import logic as _logic
from fad.numpy import manipulation as _manipulation
from fad.numpy import matrices as _matrices
from fad.numpy import methods as _methods
from fad.numpy import namespace_info as _namespace_info
from fad.numpy import nan_reductions as _nan_reductions
from fad.numpy import operators as _operators
from fad.numpy import padding as _padding
from fad.numpy import polynomials as _polynomials
from fad.numpy import positions as _positions
from fad.numpy import protocols as _protocols
from fad.numpy import quantiles as _quantiles
from fad.numpy import reductions as _reductions
from fad.numpy import reordering as _reordering
from fad.numpy import sets as _sets
from fad.numpy import sorting as _sorting
from fad.numpy import statistics as _statistics
from fad.numpy import taking as _taking
from fad.numpy import ufunc_methods as _ufunc_methods
from fad.numpy import universal as _universal
from fad.numpy import windows as _windows
from fad.numpy.calculus import *  # noqa: F403
from fad.numpy.contractions import *  # noqa: F403
from fad.numpy.counting import *  # noqa: F403
from fad.numpy.creation import *  # noqa: F403
from fad.numpy.cumulation import *  # noqa: F403
from fad.numpy.dtypes import *  # noqa: F403
from fad.numpy.elementwise import *  # noqa: F403
from fad.numpy.extremes import *  # noqa: F403
from fad.numpy.functional import *  # noqa: F403
from fad.numpy.grid_builders import *  # noqa: F403
from fad.numpy.grids import *  # noqa: F403
from fad.numpy.indexing import *  # noqa: F403
from fad.numpy.input_output import *  # noqa: F403
from fad.numpy.joining import *  # noqa: F403
from fad.numpy.logic import *  # noqa: F403
from fad.numpy.manipulation import *  # noqa: F403
from fad.numpy.matrices import *  # noqa: F403
from fad.numpy.nan_reductions import *  # noqa: F403
from fad.numpy.padding import *  # noqa: F403
from fad.numpy.polynomials import *  # noqa: F403
from fad.numpy.positions import *  # noqa: F403
from fad.numpy.quantiles import *  # noqa: F403
from fad.numpy.reductions import *  # noqa: F403
from fad.numpy.reordering import *  # noqa: F403
from fad.numpy.sets import *  # noqa: F403
from fad.numpy.sorting import *  # noqa: F403
from fad.numpy.statistics import *  # noqa: F403
from fad.numpy.taking import *  # noqa: F403
from fad.numpy.universal import *  # noqa: F403
from fad.numpy.windows import *  # noqa: F403

__array_namespace_info__ = _namespace_info.__array_namespace_info__

_MODULES = (
    _calculus,
    _contractions,
    _counting,
    _creation,
    _cumulation,
    _dtypes,
    _elementwise,
    _extremes,
    _functional,
    _grid_builders,
    _grids,
    _indexing,
    _input_output,
    _joining,
    _logic,
    _manipulation,
    _matrices,
    _nan_reductions,
    _padding,
    _polynomials,
    _positions,
    _quantiles,
    _reductions,
    _reordering,
    _sets,
    _sorting,
    _statistics,
    _taking,
    _universal,
    _windows,
)
_FUNCTIONS = [name for module in _MODULES for name in module.__all__ if name != "getitem"]
__all__ = ["emath", "fft", "linalg", *_FUNCTIONS]

_ufunc_methods.install(globals())
_operators.install(globals())
_methods.install(globals())
_protocols.install()
_protocols.register_functions(_numpy, _FUNCTIONS, globals())
_protocols.register_functions(_numpy.linalg, linalg.__all__, vars(linalg))
_protocols.register_functions(_numpy.fft, fft.__all__, vars(fft))
_protocols.register_functions(_numpy.lib.stride_tricks, ["sliding_window_view"], globals())
_protocols.register_functions(_numpy.emath, emath.__all__, vars(emath))
