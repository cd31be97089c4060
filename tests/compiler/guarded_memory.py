"""Run native segments with every array against protected pages, so that an access outside of it ends the process.

``python -m tests.compiler.guarded_memory`` runs all sized cases so; a test calls it in a process of its own.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
from collections.abc import Callable
from typing import Any

import numpy as np

import fad
from fad.compiler import execution
from fad.compiler.execution import NativeSegment, native_buffer
from fad.compiler.outcomes import NativeFailure
from fad.core.program import evaluate
from tests.compiler.sized_cases import CASES, sizes_from

PAGE = mmap.PAGESIZE
SIZES = [(17, 40, 23), (19, 17, 18), (15, 12, 10), (9, 10, 13)]

_C = ctypes.CDLL(None, use_errno=True)
_C.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Guarded:
    """Memory between two pages that nobody may touch: it ends where the second one begins, or begins where the first one ends."""

    def __init__(self, count: int, at_end: bool, alignment: int = 1):
        pages = max(1, -(-count // PAGE))
        self._map = mmap.mmap(-1, (pages + 2) * PAGE)
        self._view = ctypes.c_char.from_buffer(self._map)
        first = ctypes.addressof(self._view)
        self._fences = (first, first + (pages + 1) * PAGE)
        # What is not written must not look like a result.
        ctypes.memset(first + PAGE, 0xA5, pages * PAGE)
        for fence in self._fences:
            if _C.mprotect(fence, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        end = self._fences[1] - count
        self.address = end - end % alignment if at_end else first + PAGE

    def close(self) -> None:
        """Give the memory back."""
        for fence in self._fences:
            _C.mprotect(fence, PAGE, mmap.PROT_READ | mmap.PROT_WRITE)
        del self._view
        self._map.close()


def run_guarded(segment: NativeSegment, *args: Any) -> list[np.ndarray]:
    """Run a segment twice, once with fences right behind its arrays and once right before them."""
    given = [native_buffer(a, v.aval.dtype) for a, v in zip(args, segment.program.inputs, strict=True)]
    for at_end in (False, True):
        read = [Guarded(b.nbytes, at_end) for b in (*given, *segment.constants)]
        for place, buffer in zip(read, (*given, *segment.constants), strict=True):
            ctypes.memmove(place.address, buffer.ctypes.data, buffer.nbytes)
        counts = [int(np.prod(shape, dtype=int)) * dtype.itemsize for shape, dtype in segment.out_types]
        written = [Guarded(count, at_end) for count in counts]
        arena = Guarded(segment.arena_size, at_end, execution.ALIGNMENT)
        addresses = np.array([p.address for p in (*read, *written)], np.uint64)
        failed = segment.code.call(addresses.ctypes.data, segment.sizes.ctypes.data, arena.address)
        results = [
            np.frombuffer(ctypes.string_at(place.address, count), dtype).reshape(shape)
            for place, count, (shape, dtype) in zip(written, counts, segment.out_types, strict=True)
        ]
        for place in (*read, *written, arena):
            place.close()
        if failed:
            raise NativeFailure(segment.program.name)
    return results


def check_guarded(function: Callable, args: list[Any]) -> None:
    """Compile a function, run it between fences, and compare with its evaluation."""
    program = fad.make_program(function)(*args)
    buffers = [np.asarray(a) for a in fad.tree.leaves(args)]
    with np.errstate(all="ignore"):
        expected = evaluate(program, *buffers)
    for seen, wanted in zip(execution.CompiledProgram(program)(*buffers), expected, strict=True):
        wanted = np.asarray(wanted)
        assert (seen.dtype, seen.shape) == (wanted.dtype, wanted.shape)
        if wanted.dtype.kind != "f":
            np.testing.assert_array_equal(seen, wanted)
            continue
        # Some cases compute parts in single precision.
        tolerance = 1e-2 if wanted.dtype == np.float16 else 2e-4
        np.testing.assert_allclose(seen, wanted, rtol=tolerance, atol=tolerance * max(1, np.max(np.abs(wanted))))


def main() -> None:
    faulthandler.enable()
    NativeSegment.__call__ = run_guarded
    for name, case in CASES.items():
        print(name, flush=True)
        for sizes in SIZES:
            check_guarded(*case(sizes_from(*sizes)))
    print("nothing outside was touched")


if __name__ == "__main__":
    main()
