"""From LLVM assembly to addresses: the target machine, the optimiser, the linker; one of each per process."""

from __future__ import annotations

import threading
from typing import Any

import llvmlite.binding as binding
import llvmlite.ir as ir

from fad.compiler.llvm.math_library import definitions, library_source

__all__ = ["Engine", "engine"]


class Engine:
    """Compiles modules and keeps their code.

    Attributes
    ----------
    compiled : int
        How many modules were compiled so far.
    """

    def __init__(self) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        self._machine = _machine()
        # The execution engine owns the machine it is given, so it gets one of its own.
        self._engine = binding.create_mcjit_compiler(binding.parse_assembly(""), _machine())
        self._lock = threading.RLock()
        self._linked: set[tuple[str, str]] = set()
        self.compiled = 0

    def new_module(self, name: str) -> ir.Module:
        """An empty module whose math functions are linked, not defined."""
        module = ir.Module(name)
        module.triple = binding.get_default_triple()
        definitions(module, external=True)
        return module

    def optimised(self, module: ir.Module) -> Any:
        """The module after LLVM's passes.

        Raises
        ------
        RuntimeError
            If the module is not well formed.
        """
        parsed = binding.parse_assembly(str(module))
        parsed.verify()
        self._optimise(parsed)
        return parsed

    def _optimise(self, parsed: Any) -> None:
        options = binding.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
        passes = binding.create_pass_builder(self._machine, options)
        passes.getModulePassManager().run(parsed, passes)

    def load(self, module: ir.Module, name: str) -> int:
        """Compile a module; gives the address of its function ``name``, which must be unique in the process."""
        with self._lock:
            for function in definitions(module).used:
                self._link(*function)
            return self._add(self._machine.emit_object(self.optimised(module)), name)

    def load_text(self, text: str, name: str, opt: int = 0) -> int:
        """Compile assembly without LLVM's passes, by default in as little time as possible; gives the address of ``name``."""
        with self._lock:
            return self._add(_machine(opt).emit_object(binding.parse_assembly(text)), name)

    def address(self, name: str) -> int:
        """The address of a function that was loaded before."""
        with self._lock:
            return self._engine.get_function_address(name)

    def _add(self, code: bytes, name: str) -> int:
        self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.compiled += 1
        return self._engine.get_function_address(name)

    def _link(self, name: str, dtype: str) -> None:
        """Compile one function of the math library on first use."""
        if (name, dtype) in self._linked:
            return
        parsed = binding.parse_assembly(library_source(name, dtype))
        self._engine.add_object_file(binding.ObjectFileRef.from_data(self._machine.emit_object(parsed)))
        self._linked.add((name, dtype))


def _machine(opt: int = 2) -> Any:
    return binding.Target.from_default_triple().create_target_machine(
        opt=opt, cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), jit=True
    )


_engine: Engine | None = None
_engine_lock = threading.Lock()


def engine() -> Engine:
    """The engine of this process."""
    global _engine
    with _engine_lock:
        if _engine is None:
            _engine = Engine()
        return _engine
