"""Compile one-dimensional loops over `ScalarBuilder` expressions, for the tests of the math library."""

import ctypes
from collections.abc import Callable

import llvmlite.binding as binding
import llvmlite.ir as ir
import numpy as np

from fad.compiler.llvm.math_library import Target, definitions, library_source
from fad.compiler.llvm.scalar import ScalarBuilder
from fad.compiler.llvm.scalar_value import memory_type

binding.initialize_native_target()
binding.initialize_native_asmprinter()
MACHINE = binding.Target.from_default_triple().create_target_machine(
    opt=3, cpu=binding.get_host_cpu_name(), features=binding.get_host_cpu_features().flatten(), jit=True
)
ENGINE = binding.create_mcjit_compiler(binding.parse_assembly(""), MACHINE)
I64 = ir.IntType(64)
_names = iter(range(10**9))
_linked: set[tuple[str, str]] = set()


def link_library(module: ir.Module) -> None:
    """Compile the math functions that a module declares, once per process."""
    for name, dtype in definitions(module).used:
        if (name, dtype) not in _linked:
            _linked.add((name, dtype))
            ENGINE.add_object_file(
                binding.ObjectFileRef.from_data(
                    MACHINE.emit_object(binding.parse_assembly(library_source(name, dtype)))
                )
            )


class Loop:
    """``out[i] = body(k, x[i], y[i], ...)``, compiled: call it with arrays, read the optimised code from `text`."""

    def __init__(self, body: Callable, dtypes: list, out_dtype, target: Target | None = None, external: bool = False):
        self.dtypes, self.out_dtype = [np.dtype(d) for d in dtypes], np.dtype(out_dtype)
        name = f"loop{next(_names)}"
        module = ir.Module(name)
        module.triple = binding.get_default_triple()
        definitions(module, target, external)
        self._write(module, name, body)
        self.source = str(module)
        compiled = binding.parse_assembly(self.source)
        compiled.verify()
        options = binding.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
        passes = binding.create_pass_builder(MACHINE, options)
        passes.getModulePassManager().run(compiled, passes)
        self.text = str(compiled)
        if external:
            link_library(module)
        ENGINE.add_module(compiled)
        ENGINE.finalize_object()
        count = len(self.dtypes) + 1
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count, ctypes.c_int64)
        self._call = kind(ENGINE.get_function_address(name))

    def _write(self, module: ir.Module, name: str, body: Callable) -> None:
        pointers = [ir.PointerType(memory_type(d)) for d in (*self.dtypes, self.out_dtype)]
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*pointers, I64]), name)
        *arrays, size = function.args
        for pointer in arrays:
            pointer.add_attribute("noalias")
        entry, loop, done = (function.append_basic_block(s) for s in ("entry", "loop", "done"))
        builder = ir.IRBuilder(entry)
        builder.cbranch(builder.icmp_signed(">", size, ir.Constant(I64, 0)), loop, done)
        builder = ir.IRBuilder(loop)
        index = builder.phi(I64)
        k = ScalarBuilder(builder)
        twice = builder.mul(index, ir.Constant(I64, 2))

        def place(pointer, dtype):
            return builder.gep(pointer, [twice if np.dtype(dtype).kind == "c" else index])

        elements = [k.load(place(p, d), d) for p, d in zip(arrays, self.dtypes)]
        result = body(k, *elements)
        assert result.dtype == self.out_dtype, result.dtype
        k.store(result, place(arrays[-1], self.out_dtype))
        following = builder.add(index, ir.Constant(I64, 1))
        index.add_incoming(ir.Constant(I64, 0), entry)
        index.add_incoming(following, loop)
        builder.cbranch(builder.icmp_signed("<", following, size), loop, done)
        ir.IRBuilder(done).ret_void()

    def __call__(self, *arrays):
        arrays = [np.ascontiguousarray(a, dtype=d) for a, d in zip(arrays, self.dtypes)]
        out = np.empty(arrays[0].shape, self.out_dtype)
        self._call(*[a.ctypes.data for a in arrays], out.ctypes.data, out.size)
        return out
