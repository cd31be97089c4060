"""The operations that are written as functions of their own, and which of them cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fad.compiler.foreign import ForeignKernel
from fad.compiler.llvm.convolution import (
    convolution_refusal,
    convolution_sharing,
    kernel_scratch,
    result_scratch,
    write_convolve,
    write_convolve_kernel,
)
from fad.compiler.llvm.convolution_input import input_scratch, write_convolve_input
from fad.compiler.llvm.cumulative import write_argument, write_cumulative, write_recurrence
from fad.compiler.llvm.factorizations import (
    cofactors_scratch,
    determinant_scratch,
    lu_scratch,
    qr_scratch,
    write_cofactors,
    write_determinant,
    write_lu,
    write_qr,
    write_row_order,
    write_slogdet,
)
from fad.compiler.llvm.fourier import fourier_refusal, fourier_sharing, write_fourier
from fad.compiler.llvm.indexing import (
    scatter_refusal,
    write_checked_indices,
    write_dynamic_slice,
    write_dynamic_update_slice,
    write_gather,
    write_gather_transpose,
    write_scatter,
)
from fad.compiler.llvm.lapack import linear_refusal, linear_sharing
from fad.compiler.llvm.linear import system_scratch, write_cholesky, write_solve, write_solve_triangular
from fad.compiler.llvm.outlined import Sharing
from fad.compiler.llvm.rules import RULES
from fad.compiler.llvm.sorting import (
    argsort_scratch,
    searchsorted_refusal,
    searchsorted_sharing,
    sort_scratch,
    sort_sharing,
    write_argsort,
    write_searchsorted,
    write_sort,
)
from fad.compiler.llvm.windows import WINDOW_RULES
from fad.compiler.nested import nested_programs
from fad.core.program import Equation, Program

__all__ = ["FAMILIES", "Family", "may_check"]

RULES.update(WINDOW_RULES)


def _never(equation: Equation) -> str | None:
    return None


def _alone(equation: Equation) -> Sharing | None:
    return None


def _nothing(equation: Equation) -> list[tuple[tuple[int, ...], np.dtype]]:
    return []


class Family(NamedTuple):
    """How operations are written, see :mod:`fad.compiler.llvm.outlined`.

    Attributes
    ----------
    write : callable
        ``write(kernel, equation)`` writes the function's body.
    refusal : callable
        Why an operation cannot be written, ``None`` if it can.
    scratch : callable
        Shapes and dtypes of the temporary arrays that it needs.
    whole : bool
        Whether its inputs must lie in memory.
    sharing : callable
        How threads share the work, ``None`` if they do not.
    uses_lapack : bool
        Whether it calls SciPy's BLAS or LAPACK.
    """

    write: Callable[[Any, Equation], None]
    refusal: Callable[[Equation], str | None] = _never
    scratch: Callable[[Equation], list[tuple[tuple[int, ...], np.dtype]]] = _nothing
    whole: bool = False
    sharing: Callable[[Equation], Sharing | None] = _alone
    uses_lapack: bool = False


FAMILIES: dict[str, Family] = {
    "checked_indices": Family(write_checked_indices),
    "gather": Family(write_gather),
    "gather_transpose": Family(write_gather_transpose, scatter_refusal),
    **{f"scatter_{op}": Family(write_scatter, scatter_refusal) for op in ("set", "add", "mul", "min", "max")},
    "convolve": Family(write_convolve, convolution_refusal, result_scratch, whole=True, sharing=convolution_sharing),
    "convolve_input": Family(
        write_convolve_input, convolution_refusal, input_scratch, whole=True, sharing=convolution_sharing
    ),
    "convolve_kernel": Family(
        write_convolve_kernel, convolution_refusal, kernel_scratch, whole=True, sharing=convolution_sharing
    ),
    **{f"cum{op}": Family(write_cumulative) for op in ("sum", "prod", "max", "min", "logsumexp")},
    "linear_recurrence": Family(write_recurrence),
    "argmax": Family(write_argument),
    "argmin": Family(write_argument),
    "cholesky": Family(write_cholesky, linear_refusal, sharing=linear_sharing, uses_lapack=True),
    "solve": Family(write_solve, linear_refusal, system_scratch, sharing=linear_sharing, uses_lapack=True),
    "inverse": Family(write_solve, linear_refusal, system_scratch, sharing=linear_sharing, uses_lapack=True),
    "solve_triangular": Family(
        write_solve_triangular, linear_refusal, whole=True, sharing=linear_sharing, uses_lapack=True
    ),
    "lu": Family(write_lu, linear_refusal, lu_scratch, sharing=linear_sharing, uses_lapack=True),
    "row_order": Family(write_row_order),
    "determinant": Family(write_determinant, linear_refusal, determinant_scratch, False, linear_sharing, True),
    "slogdet": Family(write_slogdet, linear_refusal, determinant_scratch, False, linear_sharing, True),
    "cofactors": Family(write_cofactors, linear_refusal, cofactors_scratch, False, linear_sharing, True),
    "qr": Family(write_qr, linear_refusal, qr_scratch, sharing=linear_sharing, uses_lapack=True),
    **{
        name: Family(write_fourier, fourier_refusal, whole=True, sharing=fourier_sharing)
        for name in ("fourier", "fourier_from_real", "fourier_to_real")
    },
    "sort": Family(write_sort, scratch=sort_scratch, sharing=sort_sharing),
    "argsort": Family(write_argsort, scratch=argsort_scratch, sharing=sort_sharing),
    "searchsorted": Family(write_searchsorted, searchsorted_refusal, sharing=searchsorted_sharing),
    "dynamic_slice": Family(write_dynamic_slice),
    "dynamic_update_slice": Family(write_dynamic_update_slice),
}
"""By kernel name."""


def may_check(program: Program) -> bool:
    """Whether something in a Program may find an error when it runs."""
    return any(
        e.primitive.kernel in FAMILIES
        or isinstance(e.primitive.kernel, ForeignKernel)
        or any(map(may_check, nested_programs(e)))
        for e in program.equations
    )
