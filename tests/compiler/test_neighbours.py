"""Stages that read their neighbours in the stage before: which become one loop, and that they compute the same."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.fusion import plan_steps
from fad.compiler.llvm.beside import NotWidened
from fad.compiler.llvm.parts import Parts
from fad.compiler.nested import body_program
from tests.compiler.compiled_programs import check_compiled

X = np.random.default_rng(0).uniform(size=1000)


def behind(x):
    for _ in range(3):
        x = fnp.concatenate([x[:1], x[1:] * x[:-1]]) + 0.5
    return x


def ahead(x):
    for _ in range(3):
        x = fnp.pad(x[2:] * x[:-2], (0, 2)) + 0.5
    return x


def both(x):
    for _ in range(3):
        x = fnp.pad(x[2:] * x[:-2], (1, 1)) + 0.5
    return x


def every_stage(x):
    """All stages are results, and one is read as a whole."""
    first = fnp.concatenate([x[:1], x[:-1]]) * x
    second = fnp.concatenate([first[:1], first[:-1]]) - x
    return first, second, fnp.concatenate([second[:1], second[:-1]]) * first, fnp.sort(first)


def runge_kutta(x, turns=3):
    """GradBench's ode."""

    def field(y):
        return fnp.concatenate([x[:1], x[1:] * y[:-1]])

    def step(y, _):
        k1 = field(y)
        k2 = field(y + 0.05 * k1)
        k3 = field(y + 0.05 * k2)
        k4 = field(y + 0.1 * k3)
        return y + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

    return fad.scan(step, fnp.zeros_like(x), None, length=turns)[0]


def beyond(x):
    """Gradients of padded stages: what is read ahead lies beyond the loop's last turn too."""

    def f(x):
        y = fnp.maximum(x, fnp.pad(x, (2, 0))[:-2]) + 0.2
        return y - 0.5 * fnp.pad(y[:-2], (2, 0))

    return fad.vjp(f, x)[1](fnp.cos(x))[0]


def steps(function, *args):
    plan = plan_steps(body_program(fad.make_program(function)(*args)))
    return len(plan.steps), plan.neighbours.reach


def test_stages_that_read_on_one_side_are_one_loop():
    assert steps(behind, X) == (1, -3)
    assert steps(ahead, X) == (1, 4)


@pytest.mark.parametrize(
    "function",
    [
        both,
        lambda x: ahead(behind(x)),
        lambda x: behind(behind(x)).sum(),
        lambda x: fnp.concatenate([x[:9], x[9:] + x[:-9]]) + fnp.concatenate([2.0 * x[:9], x[:-9]]),
    ],
)
def test_others_are_left_alone(function):
    assert steps(function, X)[1] == 0
    check_compiled(function, X)


def test_short_arrays_are_left_alone():
    assert steps(behind, X[:100])[1] == 0


def test_the_kernel_of_a_solver_reads_and_writes_each_array_once():
    text = fad.jit(fad.grad(lambda x: runge_kutta(x).sum())).lower(X).as_text("kernels")
    inside = text.split("scan,")[1:]
    assert [part.count("for i <") for part in inside] == [1, 1]


@pytest.mark.parametrize("count", [128, 129, 130, 135, 136, 137, 255, 257, 1000, 2047, 2048, 5000, 700_001])
@pytest.mark.parametrize("function", [behind, ahead, both, every_stage, beyond])
def test_the_results_are_those_of_one_stage_after_the_other(function, count):
    x = np.random.default_rng(count).uniform(size=count)
    check_compiled(function, x)
    check_compiled(function, x.astype("f4"), tolerance=1e-5)


@pytest.mark.parametrize("count", [130, 1000, 5001])
def test_gradients(count):
    x = np.random.default_rng(count).uniform(size=count)
    for function in (behind, ahead, both, runge_kutta, lambda x: sum(every_stage(x)[:3])):
        check_compiled(fad.grad(lambda x, f=function: fnp.sum(fnp.sin(f(x)))), x, tolerance=1e-11)
    check_compiled(lambda x, t: fad.jvp(runge_kutta, (x,), (t,)), x, x[::-1].copy(), tolerance=1e-11)


def test_values_that_are_not_numbers_stay_where_they_belong():
    x = X.copy()
    x[[0, 7, 8, 500, 999]] = np.nan, np.inf, -np.inf, np.nan, np.inf
    with np.errstate(all="ignore"):
        for function in (behind, ahead, every_stage):
            check_compiled(function, x)


@pytest.mark.parametrize("count", [128, 129, 200, 1000])
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8"])
def test_whole_numbers_and_choices(dtype, count):
    def f(n):
        for k in range(3):
            n = fnp.where(n > k, fnp.concatenate([n[:1], n[:-1]]), -n)
        return n

    def g(n):
        for k in range(3):
            n = fnp.where(n > k, fnp.concatenate([n[2:], n[:2]]), -n)
        return n

    numbers = np.random.default_rng(1).integers(-9, 9, count).astype(dtype)
    check_compiled(f, numbers)
    check_compiled(g, numbers)


def test_donated_arguments():
    f = fad.jit(behind, donate_argnums=0)
    expected = np.asarray(fad.jit(behind)(X))
    for _ in range(3):
        np.testing.assert_array_equal(np.asarray(f(fad.Array(X.copy()))), expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_chunks_of_threads(threads):
    x = np.random.default_rng(5).uniform(size=1_000_003)
    with fad.config.using(threads=threads):
        np.testing.assert_array_equal(np.asarray(fad.jit(ahead)(x)), np.asarray(ahead(fad.Array(x))))


def test_what_cannot_be_vector_code_is_computed_anew(monkeypatch):
    finish, tried = Parts.finish, []

    def refuse(self, emitter, label, user):
        if not tried:
            tried.append(label)
            raise NotWidened
        return finish(self, emitter, label, user)

    monkeypatch.setattr(Parts, "finish", refuse)
    f = lambda x: behind(x) * 1.25  # noqa: E731
    np.testing.assert_allclose(np.asarray(fad.jit(f)(X)), np.asarray(f(fad.Array(X))), rtol=1e-14)
    assert tried == ["kernel"]
