"""The order of the passes."""

from __future__ import annotations

from collections.abc import Callable

from fad.compiler.passes.complex_parts import split_complex
from fad.compiler.passes.folding import fold
from fad.compiler.passes.inlining import inline
from fad.compiler.passes.joined_pads import join_pads
from fad.compiler.passes.joined_writes import join_writes
from fad.compiler.passes.layouts import arrange_products, fold_transposes, turn_products
from fad.compiler.passes.loop_products import separate_products
from fad.compiler.passes.loops import simplify_scans
from fad.compiler.passes.narrow_floats import widen_narrow_floats
from fad.compiler.passes.pointwise import multiply_pixels
from fad.compiler.passes.positions import expand_positions
from fad.compiler.passes.products import expand_products
from fad.compiler.passes.real_transforms import halve_transforms
from fad.compiler.passes.redundancy import merge_equal, remove_dead
from fad.compiler.passes.row_reads import check_indices_once
from fad.compiler.passes.scatters import add_where_gathered
from fad.compiler.passes.verifier import verify
from fad.compiler.passes.while_loops import simplify_whiles
from fad.core.config import config
from fad.core.program import Program

__all__ = ["PASSES", "simplified"]


def narrow_scans(program: Program) -> Program:
    """The Program with scans that do and stack no more than they must."""
    return simplify_scans(program, simplified)


def narrow_whiles(program: Program) -> Program:
    """The Program with while loops that do no more than they must in each turn."""
    return simplify_whiles(program, simplified)


PASSES: tuple[Callable[[Program], Program], ...] = (
    inline,
    remove_dead,
    widen_narrow_floats,
    halve_transforms,
    split_complex,
    fold,
    join_writes,
    join_pads,
    multiply_pixels,
    fold_transposes,
    separate_products,
    expand_positions,
    expand_products,
    arrange_products,
    check_indices_once,
    merge_equal,
    remove_dead,
    turn_products,
    add_where_gathered,
    narrow_scans,
    narrow_whiles,
)


def simplified(program: Program) -> Program:
    """The Program after all passes, which are run once.

    With ``config.verify_programs`` the Program is checked after each pass.
    """
    return program.cached("simplified", lambda: _simplify(program))


def _simplify(program: Program) -> Program:
    check = config.verify_programs
    for transform in PASSES:
        program = transform(program)
        if check:
            verify(program, transform.__name__)
    return program
