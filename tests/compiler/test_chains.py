"""Loops that run tile by tile: which ones may, and that they compute the same."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.chains import chains_of
from fad.compiler.fusion import plan_steps
from fad.compiler.nested import body_program
from tests.compiler.compiled_programs import check_compiled

X = np.random.default_rng(0).uniform(size=1000)


def behind(x):
    """Three loops, each of which reads the one before at its own place and one behind it; a root is not computed twice to make them one."""
    for _ in range(3):
        x = fnp.sqrt(fnp.concatenate([x[:1], x[1:] * x[:-1]]) + 0.5)
    return x


def ahead(x):
    for _ in range(3):
        x = fnp.sqrt(fnp.pad(x[1:] * x[:-1], (0, 1)) + 0.5)
    return x


def both(x):
    for _ in range(3):
        x = fnp.pad(x[2:] * x[:-2], (1, 1)) + 0.5
    return x


def chains(function, *args):
    plan = plan_steps(body_program(fad.make_program(function)(*args)))
    return [(c.first, c.last, c.backwards) for c in chains_of(plan).values()], len(plan.steps)


def test_what_is_read_behind_runs_forwards_and_what_is_read_ahead_backwards():
    assert chains(behind, X) == ([(0, 2, False)], 3)
    assert chains(ahead, X) == ([(0, 2, True)], 3)
    assert chains(lambda x: ahead(behind(x)), X) == ([(0, 2, False), (3, 5, True)], 6)


@pytest.mark.parametrize(
    "function",
    [
        both,
        lambda x: fnp.flip(behind(x)) * 2.0 + x,
        lambda x: fnp.concatenate([x[1:] * 2.0, x[:1]]) + behind(x)[::-1],
    ],
)
def test_what_is_read_on_both_sides_runs_loop_by_loop(function):
    found, steps = chains(function, X)
    assert all(last < steps - 1 for _, last, _ in found)
    check_compiled(function, X)


def test_short_loops_and_reductions_are_left_alone():
    assert chains(behind, X[:100])[0] == []
    assert chains(lambda x: behind(x).sum() + behind(x), X)[0][0][:2] == (0, 1)


@pytest.mark.parametrize("count", [128, 129, 255, 256, 257, 263, 264, 1000, 5000, 700_001])
@pytest.mark.parametrize("function", [behind, ahead, both])
def test_the_results_are_those_of_one_loop_after_the_other(function, count):
    x = np.random.default_rng(count).uniform(size=count)
    check_compiled(function, x)
    check_compiled(function, x.astype("f4"), tolerance=1e-5)
    check_compiled(fad.grad(lambda x: fnp.sum(fnp.sin(function(x)))), x, tolerance=1e-11)


def test_inside_of_loops_and_their_gradients():
    def f(x):
        return fad.scan(lambda c, _: (ahead(behind(c)) * 0.1, c[::2]), x, None, length=4)

    check_compiled(f, X)
    check_compiled(fad.grad(lambda x: sum(fnp.sum(fnp.cos(leaf)) for leaf in f(x))), X, tolerance=1e-11)


def test_donated_arguments_are_overwritten_in_order():
    f = fad.jit(behind, donate_argnums=0)
    expected = np.asarray(fad.jit(behind)(X))
    for _ in range(3):
        np.testing.assert_array_equal(np.asarray(f(fad.Array(X.copy()))), expected)
