"""Look inside transformed functions: print, stop, see cotangents, tapes, Programs and memory, find NaNs."""

from fad.debug.callbacks import breakpoint, print
from fad.debug.finite import nan_report
from fad.debug.taps import tap_gradient
from fad.debug.views import Memory, memory, print_program, print_tape

__all__ = ["Memory", "breakpoint", "memory", "nan_report", "print", "print_program", "print_tape", "tap_gradient"]
