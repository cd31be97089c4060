"""What a loop computes again in every turn without need: it is done before the loop, unless it might fail there."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.passes.pipeline import simplified
from fad.core.program import evaluate

X = np.random.default_rng(0).normal(size=(40, 6))
W = np.linspace(-1.0, 1.0, 6)


def loops(function, *args):
    """The first loop of a Program after all passes: its equation, its condition, its body."""
    program = simplified(fad.make_program(function)(*args))
    (loop,) = [e for e in program.equations if e.primitive.name in ("while", "scan")]
    return loop, loop.params.get("cond"), loop.params["program" if loop.primitive.name == "scan" else "body"]


def names(program):
    return [e.primitive.name for e in program.equations]


def check(function, *args):
    """Compiled, evaluated and plain results agree."""
    expected = fad.tree.leaves(function(*args))
    program = simplified(fad.make_program(function)(*args))
    for seen in (fad.jit(function)(*args), evaluate(program, *args)):
        for a, b in zip(fad.tree.leaves(seen), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def conjugate_gradients(w):
    """Solve with the Hessian of a loss at w, which does not change meanwhile."""
    loss = fad.grad(lambda w: fnp.log1p(fnp.exp(X @ w)).sum() + 0.5 * (w @ w))

    def turn(state):
        x, r, p, rs, i = state
        product = fad.jvp(loss, (w,), (p,))[1]
        step = rs / (p @ product)
        x, r = x + step * p, r - step * product
        return x, r, r + (r @ r) / rs * p, r @ r, i + 1

    g = loss(w)
    return fad.while_loop(lambda s: (s[3] > 1e-12) & (s[4] < 20), turn, (fnp.zeros(6), g, g, g @ g, 0))[0]


def test_only_what_changes_is_computed_in_each_turn():
    loop, _, body = loops(conjugate_gradients, W)
    assert "exp" not in names(body)
    assert names(body).count("dot_general") < names(
        fad.make_program(conjugate_gradients)(W).equations[-1].params["body"]
    ).count("dot_general")
    check(conjugate_gradients, W)
    check(fad.grad(lambda w: conjugate_gradients(w).sum()), W)


def test_what_a_condition_compares_with_is_computed_once():
    def halved(x, b):
        return fad.while_loop(lambda v: fnp.sum(v) > 1e-3 * fnp.sum(fnp.exp(b)), lambda v: v * 0.5, x)

    _, cond, _ = loops(halved, W + 2.0, W)
    assert "exp" not in names(cond)
    check(halved, W + 2.0, W)


def test_carried_values_that_never_change_are_constants():
    def run(x, a, n):
        return fad.while_loop(lambda s: s[2] < n, lambda s: (fnp.sin(s[0]) + fnp.exp(s[1]), s[1], s[2] + 1), (x, a, 0))

    loop, _, body = loops(run, W, W, 5)
    assert len(loop.outputs) == 2
    assert "exp" not in names(body)
    check(run, W, W, 5)
    check(run, W, W, 0)
    check(fad.grad(lambda x, a: run(x, a, 4)[0].sum(), argnums=(0, 1)), W, W)

    def scanned(x, a):
        return fad.scan(lambda s, y: ((s[0] * y + fnp.exp(s[1]), s[1]), s[1]), (x, a), X[:, 0])

    loop, _, body = loops(scanned, W, W)
    assert loop.params["carry"] == 1 and len(loop.outputs) == 1
    assert "exp" not in names(body)
    check(scanned, W, W)
    check(fad.grad(lambda x, a: scanned(x, a)[0][0].sum() + scanned(x, a)[1].sum(), argnums=(0, 1)), W, W)


def test_arrays_that_the_body_closes_over_are_known_outside():
    def run(x):
        return fad.scan(lambda s, _: (fnp.tanh(s + fnp.exp(X).sum(0)), None), x, None, length=3)[0]

    _, _, body = loops(run, W)
    assert names(body) == ["add", "tanh"]
    check(run, W)


@pytest.mark.parametrize(
    "change",
    [
        lambda a, n: fnp.linalg.cholesky(a - 2.0 * fnp.eye(3)).sum(),
        lambda a, n: fnp.linalg.inv(a * 0.0).sum(),
        lambda a, n: a[fnp.asarray([0, 7]) + 0 * n].sum(),
        lambda a, n: fnp.power(fnp.asarray([2, 3, 4]), a[0].astype(int) - 5).sum(),
    ],
    ids=["cholesky", "inverse", "index", "integer power"],
)
def test_a_loop_without_turns_does_not_fail(change):
    def run(a, n):
        return fad.while_loop(lambda s: s[1] < n, lambda s: (s[0] + change(a, n), s[1] + 1), (0.0, 0))[0]

    a = np.eye(3)
    assert float(fad.jit(run)(a, 0)) == 0.0
    with pytest.raises((fad.errors.FadError, ArithmeticError, ValueError, IndexError)):
        fad.jit(run)(a, 1)


def test_effects_happen_in_every_turn(capsys):
    def turn(s):
        fad.debug.print("turn {}", W[0] * 2.0)
        return s + 1

    assert int(fad.jit(lambda n: fad.while_loop(lambda s: s < n, turn, 0))(3)) == 3
    assert capsys.readouterr().out.count("turn") == 3
