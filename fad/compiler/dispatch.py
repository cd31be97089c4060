"""The door to the compiler: run a Program as native code where that is possible, else equation by equation.

This module is light: the compiler itself is imported when the first Program is compiled.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fad.compiler.outcomes import NativeFailure
from fad.core.config import config
from fad.core.errors import FadError
from fad.core.interruptions import is_interruption, uninterrupted
from fad.core.program import Program, evaluate, has_effect

__all__ = [
    "CompilerWarning",
    "c_function",
    "compiled_program",
    "derivations",
    "missing_llvm",
    "native_caller",
    "overwritten_inputs",
    "run_program",
]


class CompilerWarning(UserWarning):
    """A Program could not be compiled and is evaluated operation by operation."""


_warned: set[str] = set()


def _warn(reason: str) -> None:
    if reason not in _warned:
        _warned.add(reason)
        warnings.warn(f"jit evaluates operation by operation: {reason}", CompilerWarning, stacklevel=2)


def compilation_is_on() -> bool:
    """Whether the settings ask for native code, and for nothing else to be done with its results."""
    return config.compile and not checks_are_on()


def checks_are_on() -> bool:
    """Whether results are checked for NaN or infinity."""
    return config.check_nans or config.check_infs


def missing_llvm() -> str:
    """Why there is no LLVM in this process, and what to do; empty where there is one."""
    if find_spec("llvmlite") is None:
        return "llvmlite is not installed: pip install llvmlite"
    try:
        with uninterrupted():
            import_module("llvmlite.binding")
    except Exception as error:
        if is_interruption(error):
            raise
        return f"llvmlite cannot be loaded ({type(error).__name__}: {error}): pip install --force-reinstall llvmlite"
    return ""


def _compiled(program: Program, infs: bool | None = None, runs_next: bool = False) -> Any:
    """The compiled Program, with tests of what it computes if ``infs`` is given; or ``None`` with a warning."""
    missing = missing_llvm()
    if missing:
        _warn(f"{missing}, or set fad.config.compile = False")
        return None
    try:
        with uninterrupted():
            from fad.compiler.execution import compile_program

        return compile_program(program, infs, runs_next, _way_of)
    except (FadError, MemoryError, Warning):
        # Results are allocated while code is compiled, and the user may have made an error of a warning.
        raise
    except Exception as error:
        if is_interruption(error):
            raise
        _warn(
            f"compiling {program.name} failed with {type(error).__name__}: {error}; please report this as a bug of fad"
        )
        return None


def compiled_program(program: Program, runs_next: bool = False) -> Any:
    """The compiled Program, made on first request, perhaps for a run that follows.

    ``None`` where settings or a missing package leave everything to evaluation.
    """
    return program.cached("compiled", lambda: _compiled(program, runs_next=runs_next)) if compilation_is_on() else None


def overwritten_inputs(program: Program) -> tuple[int, ...]:
    """The numbers of a compiled Program's inputs whose memory its results take."""
    native = program.derived("compiled") if program.donated and compilation_is_on() else None
    return () if native is None else native.overwritten


_EVALUATED = 10_000  # operations on small arrays that evaluation does in the time of compiling them
_SMALL_WORK = 20_000  # elements


class _Countdown:
    """How many more runs of a Program are left to evaluation."""

    __slots__ = ("left",)

    def __init__(self, program: Program):
        count = len(program.equations)
        worthwhile = derivations(program) < 2 or any(e.primitive.higher_order for e in program.equations)
        large = not worthwhile and sum(v.aval.size for e in program.equations for v in e.outputs) > _SMALL_WORK
        self.left = 0 if worthwhile or large else _EVALUATED // max(count, 1)


def derivations(program: Program, following: Program | None = None) -> int:
    """How many derivatives were taken to make a Program, which may be ``following`` another one's."""
    return program.cached("derivations", lambda: 0 if following is None else derivations(following) + 1)


def run_program(program: Program, args: Sequence[Any]) -> list[Any]:
    """The outputs of a Program for NumPy buffers.

    Each derivative makes two Programs of one. The small ones of higher derivatives are so many that most would never repay their compilation: they are
    compiled when they have been evaluated for as long as that takes.
    """
    countdown = program.cached("countdown", lambda: _Countdown(program))
    if countdown.left > 0:
        countdown.left -= 1
        return evaluate(program, *args)
    if checks_are_on():
        return _run_checked(program, args)
    native = compiled_program(program, runs_next=True)
    if native is None:
        return evaluate(program, *args)
    try:
        return native(*args)
    except NativeFailure:
        pass  # evaluated below, so that an error there does not show this exception first
    return evaluate(program, *args)


_PYTHON_NUMBERS = frozenset([bool, int, float, complex])


def _way_of(program: Program) -> Callable[..., Sequence[Any]]:
    """What runs a Program many times, in a loop that Python turns: its code, where that is all of it."""
    native = compiled_program(program)
    placed = None if native is None else native.only_segment()
    if placed is None:
        return _with_own_scalars(program, lambda *args: run_program(program, args))
    segment, positions = placed
    numbers = [number for _, number in sorted((place, number) for number, place in enumerate(positions) if place >= 0)]

    def direct(*args: Any) -> Sequence[Any]:
        try:
            return segment(*[args[k] for k in numbers])
        except NativeFailure:
            pass
        return evaluate(program, *args)

    return _with_own_scalars(program, direct)


def _with_own_scalars(program: Program, way: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    """Give Python's numbers the dtype that the Program has for them: native calls look at types only."""
    scalars = [(k, v.aval.dtype.type) for k, v in enumerate(program.inputs) if not v.aval.shape and not v.aval.weak]
    if not scalars:
        return way

    def typed(*args: Any) -> Sequence[Any]:
        values = list(args)
        for k, dtype in scalars:
            if type(values[k]) in _PYTHON_NUMBERS:
                values[k] = dtype(values[k])
        return way(*values)

    return typed


def _compiled_with_tests(program: Program, infs: bool) -> Any:
    """The compiled Program that tests what it computes; ``None`` also where it has effects, which must not happen twice."""
    return None if any(map(has_effect, program.equations)) else _compiled(program, infs)


def _run_checked(program: Program, args: Sequence[Any]) -> list[Any]:
    """The outputs of a Program whose operations are to make no NaN or infinity.

    Native code tells whether one of them may have; then the Program is evaluated, where each operation is checked by itself.
    """
    infs = config.check_infs
    native = program.cached(("checked", infs), lambda: _compiled_with_tests(program, infs)) if config.compile else None
    if native is None:
        return evaluate(program, *args)
    try:
        # What Python computes between native segments is looked at in native code as well.
        with config.using(check_nans=False, check_infs=False):
            *outs, raised = native(*args)
    except (NativeFailure, FadError):  # such as a factorization of NaNs: what made them is to be named
        outs, raised = [], None
    if raised is None:
        return evaluate(program, *args)
    if raised:
        with config.using(compile=False):
            evaluate(program, *args)
    return outs


def c_function(name: str, native: Any, signature: str | None, argument_names: Sequence[str]) -> Any:
    """A compiled Program as a :class:`~fad.compiler.c_functions.CFunction`."""
    from fad.compiler.c_functions import c_function as make

    return make(name, native, signature, argument_names)


def native_caller(program: Program, single: bool) -> Any:
    """A C function from the Program's arguments to its results, ``None`` where the Program is not one native segment.

    The results come as a tuple, or alone if they are a ``single`` one; :data:`~fad.compiler.outcomes.MISS` or ``FAILED`` stand for those that it cannot give.
    """
    native = program.derived("compiled") if compilation_is_on() else None
    return None if native is None else native.native_caller(single)
