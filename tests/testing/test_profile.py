"""fad.debug.profile: kernels and lines are told apart, forward and backward; no test looks at how long anything takes."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.report.outline import outline_of
from fad.compiler.report.timing import timed_run
from fad.core.errors import ArgumentError

RNG = np.random.default_rng(0)
W, X = RNG.normal(size=(20, 30)), RNG.normal(size=(40, 20))


def loss(w, x):
    h = fnp.tanh(x @ w)
    return (h**2).mean()


FIRST = loss.__code__.co_firstlineno


def test_every_kernel_has_a_row_and_the_result_is_the_function_s():
    report = fad.debug.profile(fad.value_and_grad(loss), repeats=3)(W, X)
    value, gradient = fad.value_and_grad(loss)(W, X)
    assert float(report.result[0]) == pytest.approx(float(value))
    np.testing.assert_allclose(report.result[1], gradient, rtol=1e-12)
    assert report.repeats == 3
    kinds = [k.kind for k in sorted(report.kernels, key=lambda k: k.number)]
    text = fad.jit(fad.value_and_grad(loss)).lower(W, X).as_text("kernels")
    assert kinds == [line.split(", ")[1].split(":")[0] for line in text.splitlines() if line.startswith("kernel")]
    assert all(k.runs == 1 and k.seconds > 0 for k in report.kernels if k.kind == "product")
    assert [k.operations for k in report.kernels if k.kind == "product"] == [2 * 40 * 20 * 30] * 2
    assert isinstance(report.kernels[0], fad.debug.KernelTime)
    assert isinstance(report, fad.debug.Profile)


def test_lines_are_told_apart_forward_and_backward():
    report = fad.debug.profile(fad.grad(loss), repeats=2)(W, X)
    rows = {row.line: row for row in report.lines if row.file == __file__}
    first = rows[FIRST + 1]
    assert isinstance(first, fad.debug.LineTime)
    assert first.place == f"test_profile.py:{FIRST + 1}"
    assert first.text == "h = fnp.tanh(x @ w)"
    assert first.forward > 0
    assert first.backward > 0
    assert first.forward_bytes > 0
    assert first.backward_bytes > 0
    assert rows[FIRST + 2].backward > 0
    forward_only = fad.debug.profile(loss, repeats=2)(W, X)
    assert all(row.backward == 0 for row in forward_only.lines)


def test_the_same_lines_for_the_gradient_of_a_jitted_function():
    report = fad.debug.profile(fad.grad(fad.jit(loss)), repeats=2)(W, X)
    row = next(row for row in report.lines if row.line == FIRST + 1)
    assert row.forward > 0
    assert row.backward > 0


def test_kernels_inside_loops_count_their_runs():
    def f(x):
        return fad.scan(lambda c, t: (fnp.sin(c @ W @ W.T) * t, c.sum()), x, fnp.arange(7.0))

    report = fad.debug.profile(f, repeats=2)(X[:, :20])
    runs = {k.kind: k.runs for k in report.kernels}
    assert runs["product"] == runs["loops"] == 7
    assert runs["scan"] == 1
    assert [k.bytes_read for k in report.kernels if k.kind == "scan"] == [0]


def test_what_python_evaluates_is_shown():
    report = fad.debug.profile(lambda x: fnp.linalg.svd(fnp.tanh(x))[1].sum(), repeats=2)(X)
    assert [k.kind for k in report.kernels if not k.number] == ["Python: svd"]
    assert "Python: svd" in str(report)


@pytest.mark.parametrize("cycles", [True, False])
def test_both_clocks(cycles):
    lowered = fad.jit(loss).lower(W, X)
    timings, total, results = timed_run(outline_of(lowered.program), [W, X], 3, cycles)
    np.testing.assert_allclose(results[0], np.mean(np.tanh(X @ W) ** 2))
    assert total > 0
    assert all(t.runs == 1 for t in timings)
    assert 0 < sum(t.seconds for t in timings) < total


def test_tables_and_annotated_source():
    report = fad.debug.profile(fad.grad(loss), repeats=2)(W, X)
    lines = str(report).splitlines()
    assert lines[0].startswith("profile of loss: ")
    assert lines[0].endswith("per run, median of 2 runs")
    assert "operations/s" in lines[3]
    assert any(
        line.startswith(f"test_profile.py:{FIRST + 1}") and line.endswith("h = fnp.tanh(x @ w)") for line in lines
    )
    annotated = report.annotated().splitlines()
    assert annotated[0] == __file__
    assert any(line.endswith(f"{FIRST + 1}      h = fnp.tanh(x @ w)") for line in annotated)


def test_jitted_compiled_and_static():
    jitted = fad.jit(lambda x, n: x * n, static_argnums=1)
    report = fad.debug.profile(jitted, repeats=1)(X, 3)
    np.testing.assert_array_equal(report.result, X * 3)
    compiled = jitted.lower(X, 3).compile()
    np.testing.assert_array_equal(fad.debug.profile(compiled, repeats=1)(X).result, X * 3)


def test_empty_programs_and_small_values():
    assert fad.debug.profile(lambda x: x, repeats=1)(2.0).result == 2.0
    report = fad.debug.profile(lambda x: (x * 2).sum(), repeats=1)(np.ones(0))
    assert float(report.result) == 0.0
    assert "profile of" in str(report)


def test_what_cannot_be_measured_is_said():
    with pytest.raises(ArgumentError, match="repeats must be a positive int"):
        fad.debug.profile(loss, repeats=0)
    with fad.config.using(compile=False), pytest.raises(ArgumentError, match="compilation is turned off"):
        fad.debug.profile(loss)(W, X)
