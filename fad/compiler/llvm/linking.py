"""From LLVM assembly to addresses: the target machine, the optimiser, the linker; one of each per process."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import llvmlite.binding as binding

from fad.compiler.llvm.side_by_side import emit_object, run_passes
from fad.core.locks import ForkingLock

__all__ = ["LLVM_LOCK", "Engine", "Source", "called_symbols", "engine"]

# Not at the end of a hash, whose last digits may be "fad"; some formats put an underscore before each name.
_NAMES = re.compile(rb"fad_(?<![A-Za-z0-9]fad_)[A-Za-z0-9_]+(?=\0)")

# Who compiles takes one more lock while it holds the one below, llvmlite's own. What is registered first is done last before a fork, so who forks takes
# them in the same order.
_llvmlite_lock = getattr(binding.ffi.lib, "_lock", None)
if _llvmlite_lock is not None and hasattr(os, "register_at_fork"):
    _release = partial(_llvmlite_lock.__exit__, None, None, None)
    os.register_at_fork(before=_llvmlite_lock.__enter__, after_in_parent=_release, after_in_child=_release)

_NOTHING = "define void @nothing() { ret void }"

LLVM_LOCK = ForkingLock()
"""Held while LLVM works, and while the process forks: a child never finds LLVM half-way through something."""


class Source(NamedTuple):
    """Assembly and how it is compiled.

    Attributes
    ----------
    text : str
        The module.
    level : int
        How much the code generator should do.
    passes : str
        Which of LLVM's passes are run: ``"all"``, or a ``"few"`` for code without loops that gain from more; a finished text needs none.
    """

    text: str
    level: int = 2
    passes: str = ""


def called_symbols(code: bytes) -> set[str]:
    """The symbols of fad's that an object file refers to or defines. Formats of object files keep names as text, a zero behind each."""
    return {name.decode() for name in _NAMES.findall(code)}


class Engine:
    """Compiles assembly to object files, links them and keeps their code.

    Attributes
    ----------
    compiled, linked : int
        How many modules were compiled, and object files linked, so far.
    """

    def __init__(self) -> None:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        machine, empty = _machine(2), binding.parse_assembly("")
        self._engine = binding.create_mcjit_compiler(empty, machine)
        # It would compile the empty module, which takes a millisecond. Without modules it has no use for the machine.
        self._engine.remove_module(empty)
        self._idle: dict[int, list[Any]] = {2: [machine]}
        self.compiled = self.linked = 0

    def optimised(self, source: Source) -> str:
        """Assembly after LLVM's passes.

        Raises
        ------
        RuntimeError
            If the module is not well formed.
        """
        with LLVM_LOCK, self._machine(2) as machine:
            return str(_module([source], machine))

    def assembly(self, source: Source) -> str:
        """The machine code of a module for this processor, as text."""
        with LLVM_LOCK, self._machine(source.level) as machine:
            return machine.emit_assembly(_module([source], machine))

    def compile(self, source: Source) -> bytes:
        """An object file of assembly."""
        with LLVM_LOCK:
            self.compiled += 1
            return self.compile_held(source)

    def compile_held(self, *sources: Source) -> bytes:
        """One object file of modules that are compiled in the same way, where this thread holds :data:`LLVM_LOCK`, or one that waits for this thread."""
        with self._machine(sources[0].level) as machine:
            return emit_object(machine, _module(sources, machine))

    def get_ready(self, level: int) -> None:
        """Make a target machine of a level, and have it compile something, unless there is an idle one: what a machine makes for its first module takes 2 ms.

        For loops the engine has one from the beginning, so that a thread that gets ready keeps no core from who compiles, or fetches memory.
        """
        if not self._idle.get(level):
            self.compile_held(Source(_NOTHING, level))

    def add(self, codes: Iterable[bytes], name: str = "") -> int:
        """Link object files whose symbols are known; gives the address of the function ``name``, which must be unique in the process."""
        with LLVM_LOCK:
            for code in codes:
                self._engine.add_object_file(binding.ObjectFileRef.from_data(code))
                self.linked += 1
            self._engine.finalize_object()
            return self._engine.get_function_address(name) if name else 0

    def address(self, name: str) -> int:
        """The address of a function that was linked before."""
        with LLVM_LOCK:
            return self._engine.get_function_address(name)

    @contextmanager
    def _machine(self, level: int) -> Iterator[Any]:
        """A target machine of a level that nobody else uses."""
        idle = self._idle.setdefault(level, [])
        try:
            machine = idle.pop()
        except IndexError:
            machine = _machine(level)
        yield machine
        idle.append(machine)


def _parsed(text: str, *others: str) -> Any:
    # A context of its own, so that other threads can work on their modules.
    context = binding.create_context()
    module = binding.parse_assembly(text, context)
    for other in others:
        module.link_in(binding.parse_assembly(other, context))
    return module


def _module(sources: Sequence[Source], machine: Any) -> Any:
    module, source = _parsed(*[s.text for s in sources]), sources[0]
    if source.passes:
        module.verify()
        options = binding.create_pipeline_tuning_options(speed_level=2)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
        builder = binding.create_pass_builder(machine, options)
        run_passes(builder, builder.getModulePassManager() if source.passes == "all" else _few_passes(), module)
    return module


def _few_passes() -> Any:
    passes = binding.create_new_module_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    return passes


@cache
def _processor() -> tuple[str, str]:
    """The name and the features of this processor."""
    return binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()


def _machine(level: int) -> Any:
    cpu, features = _processor()
    return binding.Target.from_default_triple().create_target_machine(opt=level, cpu=cpu, features=features, jit=True)


_engine: Engine | None = None


def engine() -> Engine:
    """The engine of this process."""
    global _engine
    with LLVM_LOCK:
        if _engine is None:
            _engine = Engine()
        return _engine
