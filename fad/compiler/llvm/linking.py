"""From LLVM assembly to addresses: the target machine, the optimiser, the linker; one of each per process."""

from __future__ import annotations

import os
from typing import Any

import llvmlite.binding as binding

from fad.core.locks import Lock

__all__ = ["LLVM_LOCK", "Engine", "engine"]

LLVM_LOCK = Lock()
"""Held while LLVM works, and while the process forks: a child never finds LLVM half-way through something."""


class Engine:
    """Compiles assembly to object files, links them and keeps their code.

    Attributes
    ----------
    compiled, linked : int
        How many object files were made, and linked, so far.
    """

    def __init__(self) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        self._machines: dict[int, Any] = {}
        # The execution engine owns the machine it is given, so it gets one of its own.
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine(2))
        self.compiled = self.linked = 0

    def optimised(self, text: str) -> Any:
        """The parsed module after LLVM's passes.

        Raises
        ------
        RuntimeError
            If the module is not well formed.
        """
        parsed = binding.parse_assembly(text)
        parsed.verify()
        options = binding.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
        passes = binding.create_pass_builder(self._machine(2), options)
        passes.getModulePassManager().run(parsed, passes)
        return parsed

    def assembly(self, text: str) -> str:
        """The machine code of a module as assembly, after LLVM's passes."""
        with LLVM_LOCK:
            return self._machine(2).emit_assembly(self.optimised(text))

    def compile(self, text: str, level: int = 2, passes: bool = True) -> bytes:
        """An object file of assembly, with LLVM's passes or without; ``level`` is the code generator's."""
        with LLVM_LOCK:
            module = self.optimised(text) if passes else binding.parse_assembly(text)
            self.compiled += 1
            return self._machine(level).emit_object(module)

    def add(self, code: bytes, name: str = "") -> int:
        """Link an object file whose symbols are known; gives the address of its function ``name``, which must be unique in the process."""
        with LLVM_LOCK:
            self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
            self._engine.finalize_object()
            self.linked += 1
            return self._engine.get_function_address(name) if name else 0

    def address(self, name: str) -> int:
        """The address of a function that was linked before."""
        with LLVM_LOCK:
            return self._engine.get_function_address(name)

    def _machine(self, level: int) -> Any:
        if level not in self._machines:
            self._machines[level] = _machine(level)
        return self._machines[level]


def _machine(level: int) -> Any:
    return binding.Target.from_default_triple().create_target_machine(
        opt=level, cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), jit=True
    )


_engine: Engine | None = None


def engine() -> Engine:
    """The engine of this process."""
    global _engine
    with LLVM_LOCK:
        if _engine is None:
            _engine = Engine()
        return _engine


# llvmlite has a lock of its own, which numba takes as well.
_LOCKS = [lock for lock in (LLVM_LOCK, getattr(binding.ffi.lib, "_lock", None)) if lock is not None]


def _before_fork() -> None:
    for lock in _LOCKS:
        lock.__enter__()


def _after_fork() -> None:
    for lock in reversed(_LOCKS):
        lock.__exit__(None, None, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
