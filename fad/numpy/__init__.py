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

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

import numpy as _numpy

from fad.numpy import contractions as _contractions
from fad.numpy import creation as _creation
from fad.numpy import dtypes as _dtypes
from fad.numpy import elementwise as _elementwise
from fad.numpy import extremes as _extremes
from fad.numpy import indexing as _indexing
from fad.numpy import manipulation as _manipulation
from fad.numpy import methods as _methods
from fad.numpy import namespace_info as _namespace_info
from fad.numpy import operators as _operators
from fad.numpy import protocols as _protocols
from fad.numpy import reductions as _reductions
from fad.numpy import ufunc_methods as _ufunc_methods
from fad.numpy import universal as _universal
from fad.numpy.contractions import *  # noqa: F403
from fad.numpy.creation import *  # noqa: F403
from fad.numpy.dtypes import *  # noqa: F403
from fad.numpy.elementwise import *  # noqa: F403
from fad.numpy.extremes import *  # noqa: F403
from fad.numpy.indexing import *  # noqa: F403
from fad.numpy.manipulation import *  # noqa: F403
from fad.numpy.reductions import *  # noqa: F403
from fad.numpy.universal import *  # noqa: F403

if _TYPE_CHECKING:
    from fad.numpy import emath, fft, linalg

    bfloat16: type[_numpy.generic]
    from fad.numpy.bits import *  # noqa: F403
    from fad.numpy.calculus import *  # noqa: F403
    from fad.numpy.counting import *  # noqa: F403
    from fad.numpy.cumulation import *  # noqa: F403
    from fad.numpy.functional import *  # noqa: F403
    from fad.numpy.grid_builders import *  # noqa: F403
    from fad.numpy.grids import *  # noqa: F403
    from fad.numpy.input_output import *  # noqa: F403
    from fad.numpy.joining import *  # noqa: F403
    from fad.numpy.logic import *  # noqa: F403
    from fad.numpy.matrices import *  # noqa: F403
    from fad.numpy.nan_reductions import *  # noqa: F403
    from fad.numpy.padding import *  # noqa: F403
    from fad.numpy.polynomials import *  # noqa: F403
    from fad.numpy.positions import *  # noqa: F403
    from fad.numpy.quantiles import *  # noqa: F403
    from fad.numpy.reordering import *  # noqa: F403
    from fad.numpy.sets import *  # noqa: F403
    from fad.numpy.sorting import *  # noqa: F403
    from fad.numpy.statistics import *  # noqa: F403
    from fad.numpy.taking import *  # noqa: F403
    from fad.numpy.windows import *  # noqa: F403

__array_namespace_info__ = _namespace_info.__array_namespace_info__

_MODULES = (
    _contractions,
    _creation,
    _dtypes,
    _elementwise,
    _extremes,
    _indexing,
    _manipulation,
    _reductions,
    _universal,
)
_FUNCTIONS = [name for module in _MODULES for name in module.__all__ if name != "getitem"]

# What most programs do not need is imported when it is first asked for.
_MODULES_ON_USE = ("emath", "fft", "linalg")
_NAMES_OF = {
    "bits": "packbits unpackbits",
    "calculus": "convolve correlate diff ediff1d gradient interp trapezoid unwrap",
    "counting": "bincount histogram histogram2d histogram_bin_edges histogramdd",
    "cumulation": "cumlogsumexp cummax cummin cumprod cumsum cumulative_prod cumulative_sum nancumprod nancumsum",
    "functional": "apply_along_axis apply_over_axes sliding_window_view vectorize",
    "grid_builders": "c_ index_exp mgrid ogrid r_ s_",
    "grids": "arange eye fromfunction geomspace identity indices linspace logspace meshgrid tri",
    "input_output": "array2string array_repr array_str fromfile fromiter fromstring genfromtxt get_printoptions load loadtxt ndenumerate ndindex printoptions save savetxt savez savez_compressed set_printoptions",
    "joining": "append array_split block column_stack concat concatenate delete dsplit dstack hsplit hstack insert split stack unstack vsplit vstack",
    "logic": "allclose array_equal array_equiv isclose iscomplex isneginf isposinf isreal",
    "matrices": "diag diag_indices diag_indices_from diagflat diagonal kron mask_indices trace tril tril_indices tril_indices_from triu triu_indices triu_indices_from vander",
    "nan_reductions": "nanargmax nanargmin nanmax nanmean nanmin nanprod nanstd nansum nanvar",
    "padding": "pad",
    "polynomials": "poly polyadd polyder polydiv polyfit polyint polymul polysub polyval roots",
    "positions": "argwhere flatnonzero ix_ nonzero ravel_multi_index unravel_index",
    "quantiles": "median nanmedian nanpercentile nanquantile percentile quantile",
    "reordering": "flip fliplr flipud repeat resize roll rot90 tile trim_zeros",
    "sets": "intersect1d isin setdiff1d setxor1d union1d unique unique_all unique_counts unique_inverse unique_values",
    "sorting": "argpartition argsort digitize lexsort partition searchsorted sort sort_complex top_k",
    "statistics": "average corrcoef cov",
    "taking": "choose compress dynamic_slice dynamic_update_slice extract put_along_axis segment_max segment_min segment_prod segment_sum take take_along_axis",
    "windows": "bartlett blackman hamming hanning i0 kaiser",
}
_NAMES_ON_USE = {name: module for module, names in _NAMES_OF.items() for name in names.split()}
_NAMES_ON_USE["bfloat16"] = "dtypes"
__all__ = ["emath", "fft", "linalg", *_FUNCTIONS, *_NAMES_ON_USE]


def __getattr__(name: str) -> _Any:
    if name in _MODULES_ON_USE:
        return _import_module(f"fad.numpy.{name}")
    if name in _NAMES_ON_USE:
        value = globals()[name] = getattr(_import_module(f"fad.numpy.{_NAMES_ON_USE[name]}"), name)
        return value
    raise _import_module("fad.core.other_names").missing("fad.numpy", name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_ufunc_methods.install(globals(), __getattr__)
_operators.install(globals())
_methods.install(globals())
_protocols.install()
_protocols.register_functions(_numpy, _FUNCTIONS, globals())
