"""Functions that C calls one number at a time: the integrand of `quad`, the window of an image filter."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target

INTEGRAND, WINDOW = "double(double)", "int(double*, intptr_t, double*, void*)"


def quad_inputs(quick: bool) -> tuple:
    return (20.0,)


def _integral(callback: Any, upper: float) -> Any:
    from scipy.integrate import quad

    return lambda: quad(callback, 0.0, upper, limit=200, epsabs=1e-12, epsrel=1e-12)[0]


def quad_fad(lib: Any, upper: float) -> Any:
    """Integral of a damped oscillation: some 500 calls of the integrand."""
    import fad

    f = fad.jit(lambda x: lib.np.sin(10.0 * x) * lib.np.exp(-0.5 * x) / (1.0 + x * x)).lower(0.0)
    return _integral(f.compile().c_function(INTEGRAND).low_level_callable(), upper)


def _damped(x: float) -> float:
    return math.sin(10.0 * x) * math.exp(-0.5 * x) / (1.0 + x * x)


def quad_python(lib: Any, upper: float) -> Any:
    return _integral(_damped, upper)


def quad_numba(lib: Any, upper: float) -> Any:
    import numba
    from scipy import LowLevelCallable

    return _integral(LowLevelCallable(numba.cfunc("float64(float64)")(_damped).ctypes), upper)


def window_inputs(quick: bool) -> tuple:
    size = 60 if quick else 200
    return (np.random.default_rng(0).uniform(size=(size, size)),)


def _filtered(callback: Any, image: np.ndarray) -> Any:
    from scipy.ndimage import generic_filter

    return lambda: generic_filter(image, callback, size=3)


def window_fad(lib: Any, image: np.ndarray) -> Any:
    """Standard deviation over the log-sum-exp of every 3x3 window of an image."""
    import fad

    def measure(w: Any) -> Any:
        return lib.np.std(w) / lib.np.log(lib.np.sum(lib.np.exp(w)))

    compiled = fad.jit(measure).lower(np.ones(9)).compile()
    return _filtered(compiled.c_function(WINDOW).low_level_callable(), image)


def window_numpy(lib: Any, image: np.ndarray) -> Any:
    return _filtered(lambda w: np.std(w) / np.log(np.sum(np.exp(w))), image)


def window_numba(lib: Any, image: np.ndarray) -> Any:
    import numba
    from numba import types
    from scipy import LowLevelCallable

    def measure(buffer: Any, size: int, result: Any, data: Any) -> int:
        window = numba.carray(buffer, size)
        result[0] = np.std(window) / math.log(np.sum(np.exp(window)))
        return 1

    number = types.CPointer(types.float64)
    compiled = numba.cfunc(types.intc(number, types.intp, number, types.voidptr))(measure)
    return _filtered(LowLevelCallable(compiled.ctypes, signature="int (double *, intptr_t, double *, void *)"), image)


PROBLEMS = [
    Problem(
        "integrand for scipy's quad",
        "callbacks",
        quad_inputs,
        by_hand={"fad": quad_fad, "numpy": quad_python, "numba": quad_numba},
        targets=(Target("numba", 1.1), Target("numpy", 0.3)),
        first_target=None,
    ),
    Problem(
        "3x3 window for ndimage",
        "callbacks",
        window_inputs,
        by_hand={"fad": window_fad, "numpy": window_numpy, "numba": window_numba},
        targets=(Target("numba", 1.1), Target("numpy", 0.05)),
        first_target=None,
    ),
]
