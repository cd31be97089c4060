"""Loops and branches as native code: values and derivatives equal evaluation, nothing left to Python."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad import cond, fori_loop, scan, switch, while_loop
from fad.compiler.nested import body_program
from fad.core.program import Program
from tests.compiler.compiled_programs import check_compiled

RNG = np.random.default_rng(1)
X = RNG.normal(size=(20, 30))
V = RNG.normal(size=30)
W = RNG.normal(size=(30, 30)) * 0.1


def recurrent(c, a, w):
    c = fnp.tanh(w @ c + a)
    return c, c * 2.0


def changing_places(c, a):
    """Both carried numbers are read after one of them was chosen anew; the condition is known late."""
    late = fnp.sqrt(fnp.abs(c[0] * a + 1.0)) > 1.0
    return (fnp.where(late, c[1], c[0]), fnp.where(late, c[0] * 0.9, c[1])), c[0]


def searching(c, a):
    """A choice within a choice, of numbers and vectors, of several dtypes."""
    x, step, count, done = c
    moved = x - step * a
    better = fnp.exp(fnp.sum(moved * moved)) < fnp.exp(fnp.sum(x * x))
    step = fnp.where(count == 3, step * 2.0, fnp.where(better, step, fnp.where(done, 1, step / 2.0)))
    return (fnp.where(better, moved, x), step, fnp.where(better, count + 1, 0), ~better), step


CASES = {
    "late choice, carry changes places": (lambda x: scan(changing_places, (1.0, 2.0), x), V),
    "late choices within each other": (lambda x: scan(searching, (x[:2], x[2] + 3.0, 0, False), x), V),
    "scalar carry": (lambda x: scan(lambda c, a: (c * 0.5 + a, c), 0.0, x), V),
    "reversed": (lambda x: scan(lambda c, a: (c * 0.5 + a, fnp.sin(c)), fnp.zeros(30), x, reverse=True), X),
    "array carry": (lambda x, w: scan(lambda c, a: recurrent(c, a, w), fnp.zeros(30), x), X, W),
    "no stacked input": (lambda x: scan(lambda c, _: (c * 1.1, c.sum()), x, None, length=12), V),
    "no turns": (lambda x: scan(lambda c, a: (c + a, c), fnp.ones(30), x[:0]), X),
    "carry passes through": (lambda x: scan(lambda c, a: ((c[1], c[0]), a), (1.0, 2.0), x), V),
    "array carries change places": (lambda x: scan(lambda c, a: ((c[1], c[0] + a), 1.0), (V, V * 2), x), X),
    "small state": (lambda x: scan(lambda c, a: (fnp.stack([c[1], -c[0] * a]), c[0]), fnp.ones(2), x), V),
    "nested scan": (lambda x: scan(lambda c, a: scan(lambda d, b: (d * b + c, d), a, x), 1.0, x), V[:12]),
    "body has constants": (lambda x: scan(lambda c, a: (c * 0.5 + V, fnp.sum(c * V)), fnp.zeros(30), x), X),
    "counted loop": (lambda x: fori_loop(0, 5, lambda i, c: c * 1.1 + i, x), V),
    "choice in a scan": (
        lambda x: scan(lambda c, a: (cond(a > 0.0, lambda c: fnp.sin(c), lambda c: c * a, c), c), 1.0, x),
        V,
    ),
    "choice of arrays in a scan": (
        lambda x: scan(lambda c, a: (cond(a[0] > 0.0, lambda c: fnp.sin(c), lambda c: c * a, c), c.sum()), V, x),
        X,
    ),
}
CONDITIONS = {
    "while with a late choice": (
        lambda x: while_loop(lambda c: c[2] < 40, lambda c: (*changing_places(c[:2], x)[0], c[2] + 1), (1.0, 2.0, 0)),
        0.5,
    ),
    "while over scalars": (lambda x: while_loop(lambda c: c[0] < 10, lambda c: (c[0] + 1, c[1] * 1.1), (0, x)), 0.5),
    "while over arrays": (lambda x: while_loop(lambda c: fnp.sum(c * c) < 1000.0, lambda c: c * 1.1, x), V),
    "while that never runs": (lambda x: while_loop(lambda c: c[0] > 0.0, lambda c: c * 1.1, x), -fnp.abs(fnp.array(V))),
    "loop with traced bound": (lambda n, x: fori_loop(0, n, lambda i, c: c * 1.1 + i, x), 7, V),
    "choice, first": (lambda p, x: cond(p > 0, lambda x: fnp.sin(x), lambda x: x * 2.0, x), 1, V),
    "choice, second": (lambda p, x: cond(p > 0, lambda x: fnp.sin(x), lambda x: x * 2.0, x), -1, V),
    "choice of scalars": (lambda p, x: cond(p > 0.0, lambda x: fnp.sin(x), lambda x: x * 2.0, x), -1.5, 0.3),
    "switch": (lambda k, x: switch(k, [lambda x: x, lambda x: x * 2.0, lambda x: fnp.sum(x) + x], x), 1, V),
    "switch, too large": (lambda k, x: switch(k, [lambda x: x, lambda x: x * 2.0], x), 5, V),
    "switch, negative": (lambda k, x: switch(k, [lambda x: x, lambda x: x * 2.0], x), -5, V),
}


@pytest.mark.parametrize("name", [*CASES, *CONDITIONS])
def test_value(name):
    function, *args = {**CASES, **CONDITIONS}[name]
    check_compiled(function, *args)


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    function, *args = CASES[name]

    def loss(*xs):
        return sum(fnp.sum(fnp.sin(leaf)) for leaf in fad.tree.leaves(function(*xs)))

    check_compiled(fad.grad(loss, argnums=tuple(range(len(args)))), *args, tolerance=1e-11)


def test_second_derivative_of_a_scan():
    check_compiled(fad.hessian(lambda x: scan(lambda c, a: (c * a + fnp.sin(a), None), 1.0, x)[0]), V[:5])


def test_gradient_of_a_while_loop():
    def f(x):
        return while_loop(lambda c: fnp.sum(c * c) < 1000.0, lambda c: c * 1.1 + fnp.tanh(c), x).sum()

    check_compiled(fad.grad(f), V)


def test_an_untaken_branch_is_not_run():
    # The other branch would never end.
    def forever(x):
        return while_loop(lambda c: c < 2.0, lambda c: c * 0.5, x)

    f = fad.jit(lambda p, x: cond(p, lambda x: x * 2.0, forever, x))
    assert float(f(True, 1.0)) == 2.0
    assert float(f(True, 1.0)) == 2.0


def test_a_choice_by_a_condition_that_is_known_late_is_a_branch():
    def loop(condition):
        def turn(c, a):
            return fnp.where(condition(c, a), c * 0.5, a), None

        return fad.jit(lambda x: scan(turn, 1.0, x)[0]).lower(V).as_text("optimised_llvm")

    assert "branch_weights" in loop(lambda c, a: fnp.sqrt(fnp.abs(c + a)) > 1.0)
    assert "branch_weights" not in loop(lambda c, a: a > 0.0)


def nested_code(program):
    """Whether each Program inside a Program's loops was compiled for itself."""
    inner = [p for e in body_program(program).equations if e.primitive.higher_order for p in e.params.values()]
    return [p.derived("compiled") is not None for p in inner if isinstance(p, Program)]


def test_what_is_inside_loops_that_python_turns_is_compiled():
    def reversed_while(x, rate):
        def turn(c):
            return c[0] + 1, fnp.linalg.eigh(c[1] + c[1].T)[0] * rate + c[1]

        return fad.grad(lambda x: while_loop(lambda c: c[0] < 7, turn, (0, x))[1].sum())(x)

    def left_to_numpy(x):
        def turn(c, a):
            values, vectors = fnp.linalg.eigh(c + c.T)
            return c * 0.5 + vectors * fnp.tanh(values) @ vectors.T * a, values.sum()

        return scan(turn, x, V[:4])

    def sizes_of_their_own(x):
        return cond(x.sum() > 0, lambda x: fnp.linalg.eigvalsh(x) + 1, lambda x: fnp.linalg.eigvalsh(x) * 2, x)

    square = X[:6, :6]
    for function, args, inside in (
        (reversed_while, (square, 0.01), [True] * 3),
        (left_to_numpy, (square,), [True]),
        (sizes_of_their_own, (square,), []),
    ):
        jitted, expected = fad.jit(function), function(*args)
        for _ in range(3):
            seen = jitted(*args)
        for a, b in zip(fad.tree.leaves(seen), fad.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
        assert nested_code(jitted.lower(*args).program) == inside
        assert "Python" in str(jitted.lower(*args))  # the report of what has no size yet, or runs in Python


def test_errors_inside_loops_that_python_turns_are_those_of_evaluation():
    def f(x, i):
        def turn(c):
            return c[0] + 1, fnp.asarray(V)[c[0] + i] * c[1]

        return fad.grad(lambda x: while_loop(lambda c: c[0] < 5, turn, (0, x))[1])(x)

    assert float(fad.jit(f)(1.0, 3)) == pytest.approx(np.prod(V[3:8]))
    with pytest.raises(IndexError):
        fad.jit(f)(1.0, 28)
