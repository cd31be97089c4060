"""Segments as parts that are compiled side by side."""

import ctypes
import gc
import os
import sys
import threading
from contextvars import copy_context

import llvmlite.ir as ir
import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.canonical import program_form
from fad.compiler.llvm import linking, side_by_side, spare_time, symbols
from fad.compiler.llvm import workers as workers_module
from fad.compiler.llvm.assembly import module_text
from fad.compiler.llvm.linking import LLVM_LOCK, Source, called_symbols, engine
from fad.compiler.llvm.lowering import compile_segment, lower_segment
from fad.compiler.llvm.math_library import BRIEF, FUNCTIONS, host_target, variant_source
from fad.compiler.llvm.modules import expected_symbols
from fad.compiler.llvm.workers import Workers
from fad.compiler.nested import body_program
from fad.compiler.precedence import is_brief
from fad.compiler.segments import split
from tests.compiler.compiled_programs import program_of

RNG = np.random.default_rng(11)
ADD = "define i64 @{name}(i64 %x) {{\n  %y = add i64 %x, {number}\n  ret i64 %y\n}}\n"


def parts_of(function, *args):
    """Names, assembly and likely symbols of the parts of a function that is one segment."""
    (step,) = split(body_program(program_of(function, *args)))
    found = []
    lower_segment("fad_seen", step.program, program_form(step.program), lambda *part: found.append(part))
    return found


def test_equal_kernels_of_a_segment_are_written_once():
    def f(x, y):
        a = fnp.cumsum(x) * 2.0
        b = fnp.cumsum(y) * 2.0
        return a, b

    names = [name for name, _, _ in parts_of(f, np.arange(40.0), np.arange(40.0))]
    assert len(names) == len(set(names))
    assert sum(name.startswith("cumsum_") for name in names) == 1
    x, y = RNG.normal(size=40), RNG.normal(size=40)
    for found, expected in zip(fad.jit(f)(x, y), (np.cumsum(x) * 2, np.cumsum(y) * 2), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_math_functions_of_small_values_and_of_long_loops_are_expected_before_code_is_written():
    two_registers = 2 * host_target().vector_bits // 32
    cases = [
        (lambda x: fnp.sin(x) * fnp.exp(-x), 1.0, {"fad_sin_f64", "fad_exp_f64"}),
        (lambda x: fnp.exp(x) + fnp.sqrt(x), fnp.ones(4000, "float32"), {f"fad_exp_f32_v{two_registers}"}),
        (lambda x: fnp.sum(fnp.exp(x)), fnp.ones(4000), set()),
        (lambda x: fnp.exp(x.astype("float64")), fnp.ones(100, "float32"), set()),
        (lambda x: x * 2.0, 1.0, set()),
        (lambda x: fad.fori_loop(0, 9, lambda i, y: fnp.tanh(y), x), 1.0, {"fad_tanh_f64"}),
    ]
    for function, argument, expected in cases:
        program = body_program(program_of(function, argument))
        for brief in {False, is_brief(program)}:
            symbols = {f"{s}{BRIEF}" for s in expected} if brief else expected
            assert set(expected_symbols(program, brief)) == symbols
            objects = compile_segment("fad_seen_early", program, program_form(program), brief)[2].values()
            assert symbols <= set().union(*map(called_symbols, objects))


@pytest.mark.parametrize(
    "function, argument, expected",
    [
        (lambda x: fnp.sin(x) * fnp.exp(-x), np.ones(100), {"sin_f64", "exp_f64"}),
        (fad.grad(lambda x: fnp.sum(fnp.tanh(fnp.sin(x)))), np.ones(5000), {"sin_f64", "cos_f64", "tanh_f64"}),
        (lambda x: fnp.sum(fnp.log1p(x) ** 2, axis=1), np.ones((30, 50)), {"log1p_f64"}),
        (lambda x: fnp.exp(x) + fnp.sqrt(x), np.ones(4000, "float32"), {"exp_f32"}),
        (lambda x: fnp.log(fnp.float64(2.0) * x.astype("float64")), np.ones(100, "float32"), {"log_f64"}),
        (lambda x: x * 2.0, np.ones(100), set()),
    ],
    ids=["row", "gradient", "sums of rows", "float32", "widened", "none"],
)
def test_math_functions_of_loops_are_expected_while_these_are_written(function, argument, expected):
    (step,) = split(body_program(program_of(function, argument)))
    events = []
    lower_segment(
        "fad_seen", step.program, program_form(step.program), lambda *part: events.append(part), None, events.append
    )
    early = [e for e in events if isinstance(e, str)]
    first_part = next(n for n, e in enumerate(events) if not isinstance(e, str))
    assert early == events[:first_part]
    assert {e.removeprefix("fad_").rpartition("_v")[0] for e in early} == expected
    objects = compile_segment("fad_seen_early", step.program, program_form(step.program))[2].values()
    assert set(early) <= set().union(*map(called_symbols, objects))


def test_compiling_leaves_no_instructions_to_the_cycle_collector():
    program = body_program(program_of(lambda x: fad.grad(lambda y: fnp.sum(fnp.exp(y) ** 2))(x), np.arange(4000.0)))
    gc.collect()
    gc.disable()
    try:
        compile_segment("fad_seen_once", program, program_form(program))
        assert not [o for o in gc.get_objects(generation=0) if isinstance(o, ir.StoreInstr)]
    finally:
        gc.enable()


def test_long_code_that_mostly_calls_is_not_worked_on_much():
    def unrolled(x, steps):
        for _ in range(steps):
            x = fnp.sin(x) * 1.25
        return x

    x = RNG.normal(size=200)
    for steps, level in ((120, 0), (4, 2)):
        (source,) = [s for name, s, _ in parts_of(lambda x, n=steps: unrolled(x, n), x) if name.startswith("kernel_")]
        assert source.level == level
        expected = x
        for _ in range(steps):
            expected = np.sin(expected) * 1.25
        np.testing.assert_allclose(fad.jit(lambda x, n=steps: unrolled(x, n))(x), expected, rtol=1e-12)


@pytest.mark.parametrize(("reduce", "expected"), [(fnp.sum, np.sum), (fnp.max, np.max), (fnp.prod, np.prod)])
def test_chunks_are_combined_into_single_numbers_and_rows(reduce, expected):
    x = 1 + RNG.normal(size=(300_000, 3)) * 1e-4
    for axis in (None, 0):
        for threads in (1, 3):
            with fad.config.using(threads=threads):
                found = fad.jit(lambda x, axis=axis: reduce(x * 1.0, axis=axis))(x)
            np.testing.assert_allclose(found, expected(x, axis=axis), rtol=1e-10)


def test_products_of_two_matrices_share_one_function():
    x, y = RNG.normal(size=(40, 300)), RNG.normal(size=(300, 7))

    def f(x, y):
        return fnp.sin(x @ y) @ (y.T @ x.T) + x @ x.T, y.T @ y

    *_, (_, segment, _) = parts_of(f, x, y)
    assert segment.text.count('call void @"gemm8"') == 1
    expected = np.sin(x @ y) @ (y.T @ x.T) + x @ x.T, y.T @ y
    for found, wanted in zip(fad.jit(f)(x, y), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_what_only_calls_kernels_is_not_optimised():
    *kernels, (name, segment, _) = parts_of(lambda x: fnp.sum(fnp.exp(x)), np.arange(4000.0))
    assert name == "fad_seen"
    assert (segment.level, segment.passes) == (0, "")
    assert kernels
    assert all((source.level, source.passes) == (2, "few") for _, source, _ in kernels)


def test_what_computes_is_compiled_well():
    ((_, segment, _),) = parts_of(lambda x: fnp.sin(x) * x, 1.0)
    assert (segment.level, segment.passes) == (2, "few")


def test_only_variants_that_are_called_are_linked():
    f = fad.jit(lambda x: fnp.log1p(x) * 0.377)
    assert abs(float(f(0.5)) - np.log1p(0.5) * 0.377) < 1e-15
    ((_, segment, likely),) = parts_of(lambda x: fnp.log1p(x) * 0.377, 1.0)
    assert likely == ["fad_log1p_f64"]
    assert called_symbols(b"\0fad_exp_f64\0kernel_53fad_words\0_fad_tanh_f32\0") == {"fad_exp_f64", "fad_tanh_f32"}
    assert {s for s in called_symbols(engine().compile(segment)) if "log1p" in s} == {"fad_log1p_f64"}


def test_loops_are_likely_to_call_vector_variants():
    *_, (name, kernel, likely) = [p for p in parts_of(lambda x: fnp.log1p(x), np.arange(40.0)) if p[0] != "fad_seen"]
    lanes = host_target().vector_bits // 64
    assert likely == [f"fad_log1p_f64_v{2 * lanes if lanes < 8 else lanes}"]  # a loop's block has eight numbers
    assert name in kernel.text
    assert likely[0] in called_symbols(engine().compile(kernel))


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("lanes", ["", "_v4", "_v8"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_variant_has_a_source(name, lanes, dtype):
    symbol = f"fad_{name}_{dtype}{lanes}"
    assert f"@{symbol}(" in variant_source(symbol)


def test_an_unknown_function_has_no_source():
    with pytest.raises(KeyError):
        variant_source("fad_nothing_f64")


def test_many_threads_compile_the_same_code_as_one(monkeypatch):
    sources = [Source(ADD.format(name=f"add{k}", number=k), passes=True) for k in range(12)]
    with fad.config.using(threads=4), Workers() as workers:
        several = [code() for code in [workers.compile(s) for s in sources]]
    with fad.config.using(threads=1), Workers() as workers:
        one = [code() for code in [workers.compile(s) for s in sources]]
    monkeypatch.setattr(side_by_side, "_functions", lambda: None)  # as with another llvmlite
    assert not side_by_side.is_side_by_side()
    through_llvmlite = [engine().compile(s) for s in sources]
    assert several == one == through_llvmlite


def test_an_error_in_a_thread_is_raised_where_the_code_is_wanted():
    with fad.config.using(threads=3), Workers() as workers:
        broken, fine = (
            workers.compile(Source("define nonsense")),
            workers.compile(Source(ADD.format(name="f", number=1))),
        )
        with pytest.raises(RuntimeError, match="parsing error"):
            broken()
        assert b"f" in fine()


def test_an_error_while_writing_stops_the_threads():
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), fad.config.using(threads=3), Workers() as workers:
        for k in range(20):
            workers.compile(Source(ADD.format(name="f", number=k), passes=True))
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_a_helper_that_was_compiled_ahead_is_not_compiled_again(monkeypatch):
    name = "fad_expm1_f32_v2"
    monkeypatch.setattr(symbols, "_provided", set())
    monkeypatch.setattr(symbols, "_coming", {})
    with fad.config.using(disk_cache=False):
        symbols.compile_ahead(name)
        (coming,) = symbols._coming.values()
        symbols.compile_ahead(name)
        assert list(symbols._coming.values()) == [coming]
        with Workers() as workers:
            symbols.prepare([name], workers)
        assert name.encode() in symbols._helper_code(name, lambda: pytest.fail("is there already"), "")


def test_a_process_compiles_ahead_once_and_not_with_one_thread(monkeypatch):
    threads = []
    monkeypatch.setattr(spare_time, "_prepare", lambda: threads.append(threading.current_thread().name))
    for count, expected in ((1, []), (2, ["fad-spare-time"])):
        monkeypatch.setattr(spare_time, "_begun", threading.Event())
        with fad.config.using(threads=count):
            spare_time.use_spare_time()
            spare_time.use_spare_time()
        for thread in threading.enumerate():
            if thread.name == "fad-spare-time":
                thread.join()
        assert threads == (expected if side_by_side.is_side_by_side() else [])


def test_where_no_thread_can_start_there_is_no_spare_time(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    monkeypatch.setattr(spare_time, "_begun", threading.Event())
    with fad.config.using(threads=2):
        spare_time.use_spare_time()
    assert spare_time._begun.is_set()
    assert float(fad.jit(lambda x: x * 3.0625)(2.0)) == 6.125


def test_what_was_compiled_ahead_is_not_compiled_for_a_segment_again(monkeypatch):
    monkeypatch.setattr(symbols, "_provided", set())
    monkeypatch.setattr(symbols, "_coming", {})
    with fad.config.using(threads=2, disk_cache=False), Workers() as workers:
        symbols.compile_ahead("fad_expm1_f64")
        before = engine().compiled
        symbols.prepare(["fad_expm1_f64"], workers)
        assert engine().compiled == before
    assert b"fad_expm1_f64" in symbols._coming["fad_expm1_f64"].code()


def test_what_is_compiled_ahead_needs_no_lock_of_who_waits_for_it(monkeypatch):
    """Who links holds LLVM's lock while it waits."""
    held, name = threading.Event(), "fad_ahead_of_a_link"

    def write():
        held.wait()
        return Source("define i64 @fad_ahead_of_a_link() { ret i64 7 }")

    monkeypatch.setattr(symbols, "_helper", lambda symbol: (symbol, write))
    with fad.config.using(disk_cache=False):
        thread = threading.Thread(target=copy_context().run, args=(symbols.compile_ahead, name))
        thread.start()
        while name not in symbols._coming:
            pass
        with LLVM_LOCK:
            held.set()
            assert symbols.link_helper(name, lambda: pytest.fail("compiled twice"))
        thread.join()


def test_a_helper_whose_compilation_was_interrupted_is_compiled_by_the_next_call(monkeypatch):
    """The interruption reaches who was interrupted, once, and no later call."""
    name = "fad_expm1_f32_v2"
    monkeypatch.setattr(symbols, "_provided", set())
    monkeypatch.setattr(symbols, "_coming", {})

    def interrupted(*sources):
        raise KeyboardInterrupt

    with fad.config.using(threads=1, disk_cache=False):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt), Workers() as workers:
            patch.setattr(engine(), "compile_held", interrupted)
            symbols.prepare([name], workers)
            symbols._coming[name].code()
        assert name.encode() in symbols._helper_code(name, lambda: symbols._helper(name)[1](), "")


def test_a_helper_whose_compilation_was_given_up_is_compiled_again(monkeypatch):
    name = "fad_expm1_f32_v2"
    monkeypatch.setattr(symbols, "_provided", set())
    monkeypatch.setattr(symbols, "_coming", {})
    with (
        fad.config.using(threads=2, disk_cache=False),
        pytest.raises(ZeroDivisionError),
        Workers() as workers,
    ):
        for k in range(20):
            workers.compile(Source(ADD.format(name=f"f{k}", number=k), passes=True))
        symbols.prepare([name], workers)
        raise ZeroDivisionError
    assert name in symbols._coming
    with fad.config.using(disk_cache=False):
        assert name.encode() in symbols._helper_code(name, lambda: Source(variant_source(name)), "")


def test_who_waits_for_a_piece_compiles_others():
    makers = []
    with fad.config.using(threads=2), Workers() as workers:
        codes = [
            workers.compile(
                Source(ADD.format(name=f"h{k}", number=k), passes=True),
                lambda code: makers.append(threading.current_thread()),
            )
            for k in range(30)
        ]
        assert all(code() for code in codes)
    assert len(makers) == 30
    assert threading.current_thread() in makers


def test_nobody_waits_until_a_thread_that_compiles_runs(monkeypatch):
    """Where all cores are busy that takes longer than to compile a piece."""
    begun = []
    monkeypatch.setattr(workers_module, "start_new_thread", lambda function, args: begun.append(function))
    with fad.config.using(threads=2), Workers() as workers:
        assert len(begun) == side_by_side.is_side_by_side()
        codes = [workers.compile(Source(ADD.format(name=f"n{k}", number=k))) for k in range(4)]
        assert all(code() for code in codes)
        for work in begun:
            threading.Thread(target=work).start()


@pytest.mark.skipif(not side_by_side.is_side_by_side(), reason="one thread compiles")
def test_a_thread_makes_llvm_ready_while_it_has_nothing_to_compile(monkeypatch):
    monkeypatch.setattr(engine(), "_idle", {})
    unused = 1  # a level that no code has
    with fad.config.using(threads=2), Workers(unused):
        while not engine()._idle.get(unused):
            pass
    with fad.config.using(threads=2), Workers(unused):
        pass
    assert len(engine()._idle[unused]) == 1


def test_where_no_thread_can_be_started_the_caller_compiles(monkeypatch):
    def refuse(function, args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(workers_module, "start_new_thread", refuse)
    with fad.config.using(threads=4), Workers() as workers:
        codes = [workers.compile(Source(ADD.format(name=f"n{k}", number=k))) for k in range(4)]
        assert all(code() for code in codes)


def test_threads_are_started_for_what_those_that_run_leave_waiting(monkeypatch):
    begun = []
    monkeypatch.setattr(workers_module, "is_side_by_side", lambda: True)
    monkeypatch.setattr(workers_module, "start_new_thread", lambda function, args: begun.append(function))
    with fad.config.using(threads=4), Workers() as workers:
        counts = [len(begun)]
        for k in range(5):
            workers.compile(Source(ADD.format(name=f"n{k}", number=k)))
            counts.append(len(begun))
        for work in begun:
            threading.Thread(target=work).start()
    assert counts == [1, 1, 2, 3, 3, 3]


def test_the_switch_interval_is_what_it_was():
    before = sys.getswitchinterval()
    with fad.config.using(threads=2), Workers():
        assert sys.getswitchinterval() <= before
    assert sys.getswitchinterval() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_threads_compile_leaves_a_working_child():
    texts = [Source(ADD.format(name=f"g{k}", number=k), passes=True) for k in range(40)]
    opened, done = threading.Event(), threading.Event()

    def compile_all():
        with fad.config.using(threads=2), Workers() as workers:
            codes = [workers.compile(t) for t in texts]
            opened.set()
            assert all(code() for code in codes)
        done.set()

    thread = threading.Thread(target=compile_all)
    thread.start()
    opened.wait()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            value = float(fad.jit(lambda x: fnp.sum(fnp.cos(x) * 0.731))(np.arange(50.0)))
            status = 0 if abs(value - np.sum(np.cos(np.arange(50.0)) * 0.731)) < 1e-12 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()
    assert done.is_set()


def test_kernels_are_shared_between_segments():
    x = np.arange(30.0)
    with fad.config.using(disk_cache=False):
        first = fad.jit(lambda x: fnp.sqrt(x) * 3.5 + 0.25)(x)
        compiled = engine().compiled
        second = fad.jit(lambda x, y: (fnp.sqrt(x) * 3.5 + 0.25, y))(x, 1.0)[0]
    assert engine().compiled == compiled + 1  # what calls the kernel
    np.testing.assert_array_equal(first, second)


PIECES = [
    lambda x: x * 2.5 + 1.0,
    lambda x: fnp.abs(x) - 0.75,
    lambda x: x / (1.0 + x * x),
    lambda x: fnp.sqrt(x * x + 3.5),
]
ARGUMENTS = [RNG.normal(size=n) for n in (30, 50, 70, 90)]


def pieces(*numbers):
    """A function of as many kernels as there are numbers, which say what they do."""
    return lambda *args: [PIECES[k](args[k]) for k in numbers]


def test_kernels_that_wait_together_share_an_object_file():
    program = body_program(program_of(pieces(0, 1, 2, 3), *ARGUMENTS))
    with fad.config.using(threads=1):
        objects = compile_segment("fad_seen_together", program, program_form(program))[2]
    names = [name for together in objects for name in together]
    assert len(names) == len(set(names)) == 5
    assert max(map(len, objects)) > 1
    for together, code in objects.items():
        assert all(name.encode() in code for name in together)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_segments_share_kernels_that_were_compiled_with_others(threads):
    with fad.config.using(threads=threads, disk_cache=False):
        for numbers in ((0, 1, 2), (2, 3), (3, 0, 2), (1, 2, 3, 0), (1,)):
            found = fad.jit(pieces(*numbers))(*ARGUMENTS)
            for k, result in zip(numbers, found, strict=True):
                np.testing.assert_allclose(result, PIECES[k](fad.Array(ARGUMENTS[k])), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_long_segments_find_words_in_tables_and_share_products(dtype):
    rng = np.random.default_rng(5)
    x, w = rng.normal(size=(600, 90)).astype(dtype), rng.normal(size=(90, 90)).astype(dtype) / 9
    scale = dtype == "float32" and np.float32(1.5) or 1.5

    def f(xp, x, w):
        kept = []
        for _ in range(6):
            x = xp.tanh(x @ w) * scale
            kept.append(xp.max(x, axis=0) + xp.sum(x * x))  # a value that waits in a register, memory for each chunk
            x = x / xp.max(xp.abs(x))
        return x, *kept

    (_, source, _) = parts_of(lambda x, w: f(fnp, x, w), x, w)[-1]
    functions = [line for line in source.text.splitlines() if line.startswith("define internal")]
    assert sum("product" in line and "_words" not in line for line in functions) == 1
    assert sum(line.startswith('define internal void @"words') for line in functions) == 1
    for found, expected in zip(fad.jit(lambda x, w: f(fnp, x, w))(x, w), f(np, x, w), strict=True):
        assert found.dtype == expected.dtype
        small = 100 * np.finfo(dtype).eps
        np.testing.assert_allclose(found, expected, rtol=small, atol=small * np.max(np.abs(expected)))


def words(text):
    return [line.split() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: fnp.exp(x - fnp.max(x, axis=1, keepdims=True)) @ x.T,
        lambda x: fnp.where(x > 0, fnp.sin(x), x[::-1]).astype(np.float32),
        lambda x: fnp.argsort(x, axis=1),
        lambda x: fad.scan(lambda c, r: (c * 0.5 + fnp.sum(r), c), fnp.sum(x), x),
        lambda x: fnp.take(x, fnp.argmax(x, axis=0), axis=1) * 2.0,
        lambda x: fnp.linalg.solve(x @ x.T + 30.0 * fnp.eye(4), x),
    ],
    ids=["softmax", "choice", "argsort", "scan", "gather", "solve"],
)
def test_assembly_is_what_llvmlite_writes(function, monkeypatch):
    modules = []

    def both(module):
        modules.append((module_text(module), str(module)))
        return modules[-1][0]

    monkeypatch.setattr("fad.compiler.llvm.parts.module_text", both)
    monkeypatch.setattr("fad.compiler.llvm.lowering.module_text", both)
    parts_of(function, np.arange(24.0).reshape(4, 6))
    assert modules
    for found, expected in modules:
        assert words(found) == words(expected)


def test_what_is_to_be_alone_shares_no_object_file():
    # A segment's own function behind a kernel that others have too would be looked for by them, under a name that they do not know.
    with fad.config.using(threads=1), Workers() as workers:
        sources = [Source(ADD.format(name=f"fad_add_{k}", number=k), passes="few") for k in range(4)]
        codes = [workers.compile(source, alone=k == 2) for k, source in enumerate(sources)]
    first, second, alone, last = [code() for code in codes]
    assert first is second is last
    assert called_symbols(alone) == {"fad_add_2"}
    assert "fad_add_2" not in called_symbols(first)


def test_the_linker_compiles_nothing_and_leaves_its_machine_to_the_first_loop(monkeypatch):
    """An empty module would take it a millisecond of the first call of each process, from disk as well."""
    made, make = [], linking._machine
    monkeypatch.setattr(linking, "_machine", lambda level: made.append(level) or make(level))
    new = linking.Engine()
    code = new.compile(Source("define i64 @fad_of_a_new_engine() { ret i64 7 }"))
    assert made == [2]
    assert not new._engine._modules
    assert ctypes.CFUNCTYPE(ctypes.c_int64)(new.add([code], "fad_of_a_new_engine"))() == 7
    assert new.compile(Source("define i64 @fad_of_a_new_engine() { ret i64 7 }")) == code
