"""Look inside transformed functions: print, stop, see cotangents, tapes, Programs and memory, find NaNs."""

from fad.debug.callbacks import breakpoint, print
from fad.debug.finite import nan_report
from fad.debug.profiling import KernelTime, LineTime, Profile, profile
from fad.debug.storage import disk_cache
from fad.debug.taps import tap_gradient
from fad.debug.views import Memory, memory, print_program, print_tape

__all__ = [
    "KernelTime",
    "LineTime",
    "Memory",
    "Profile",
    "breakpoint",
    "disk_cache",
    "memory",
    "nan_report",
    "print",
    "print_program",
    "print_tape",
    "profile",
    "tap_gradient",
]
