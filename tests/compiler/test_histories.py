"""Reverse mode through loops of unknown length as native code: what their turns stack grows while they run."""

import resource
import threading

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad import cond, fori_loop, scan, while_loop
from fad.compiler.outcomes import NativeFailure
from tests.compiler.compiled_programs import check_compiled

RNG = np.random.default_rng(5)
V = RNG.normal(size=30)
W = RNG.normal(size=(30, 30)) * 0.1
THREE = np.array([2.0, 3.0, 40.0])


def root(a):
    """The square root, by Newton's method."""
    return while_loop(
        lambda c: fnp.abs(c[0] * c[0] - a) > 1e-6 * a, lambda c: (0.5 * (c[0] + a / c[0]), c[1] + 1), (a * 0 + 1.0, 0)
    )[0]


def repeated(x, count):
    return fori_loop(0, count, lambda i, c: fnp.sin(c) * 1.1 + x, x)


def integrated(p):
    """An oscillator in steps that adapt; a step that is too long is repeated."""

    def slope(y):
        return fnp.stack([y[1], p[0] * (1 - y[0] ** 2) * y[1] - y[0]])

    def turn(c):
        t, h, y = c
        h = fnp.minimum(h, 2.0 - t)
        first = slope(y)
        second = slope(y + h * first)
        error = fnp.sqrt(fnp.sum((h * 0.5 * (second - first)) ** 2))
        good = error < 1e-3
        longer = h * fnp.clip(0.9 * fnp.sqrt(1e-3 / (error + 1e-12)), 0.2, 3.0)
        return fnp.where(good, t + h, t), longer, fnp.where(good, y + h * 0.5 * (first + second), y)

    return fnp.sum(while_loop(lambda c: c[0] < 2.0, turn, (0.0, 0.3, p[1:]))[2] ** 2)


def products(x, w):
    """Matrix products in every turn, and a total that depends on all of them."""

    def turn(c):
        s = fnp.tanh(w @ c[1] + x)
        return c[0] + 1, s, c[2] + fnp.sum(s * s) * x[0]

    return while_loop(lambda c: c[0] < 40, turn, (0, x, x[1] * 0))[2]


def escaping(z):
    return fnp.abs(while_loop(lambda c: fnp.abs(c) < 10, lambda c: c * c + z, z))


CASES = {
    "number": (fad.grad(root), 2.0),
    "numbers of float32": (fad.grad(root), np.float32(2.0)),
    "bounds at run time": (fad.grad(lambda x, n: repeated(x, n).sum()), V, fnp.array(7)),
    "no turns": (fad.grad(lambda x, n: repeated(x, n).sum()), V, fnp.array(0)),
    "more turns than there was room for": (fad.grad(lambda x, n: repeated(x, n).sum()), V, fnp.array(300)),
    "no elements": (fad.grad(lambda x, n: repeated(x, n).sum()), V[:0], fnp.array(40)),
    "adaptive steps": (fad.value_and_grad(integrated), np.array([1.5, 1.0, 0.2])),
    "matrix products": (fad.grad(products, (0, 1)), V, W),
    "complex numbers": (fad.grad(escaping), 0.9 + 0.8j),
    "complex numbers inside": (fad.grad(lambda x: escaping(x + 0.8j)), 0.9),
    "jacobian": (fad.jacrev(lambda x, n: repeated(x, n)), V[:4], fnp.array(5)),
    "hessian": (fad.hessian(lambda x: fnp.prod(root(x * x + 1.0))), 0.7),
    "hessian of an integrator": (fad.hessian(integrated), np.array([1.5, 1.0, 0.2])),
    "gradient of a gradient": (fad.grad(fad.grad(root)), 2.0),
    "tangent of a gradient": (lambda x: fad.jvp(fad.grad(root), (x,), (1.0,)), 2.0),
    "examples that end one by one": (fad.vmap(fad.grad(root)), THREE),
    "gradient of examples": (fad.grad(lambda a: fnp.sum(fad.vmap(root)(a))), THREE),
    "batched bounds": (
        fad.vmap(fad.grad(lambda x, n: repeated(x, n).sum()), in_axes=(None, 0)),
        V,
        np.array([2, 0, 35]),
    ),
    "inside a scan": (fad.grad(lambda x: scan(lambda c, a: (root(c + a * a + 1.0), c), 1.0, x)[0]), V),
    "inside a while loop": (
        fad.grad(lambda x: while_loop(lambda c: c < 50.0, lambda c: c + root(c) * x, 3.0)),
        0.7,
    ),
    "inside a branch": (fad.grad(lambda x: cond(x > 1.0, root, lambda x: x * 2.0, x)), 3.0),
    "two loops": (fad.grad(lambda x: root(x) * fnp.sum(repeated(x * V, fnp.asarray(6)))), 2.0),
    "a value that every turn hands on": (
        fad.grad(lambda x, w: while_loop(lambda c: fnp.sum(c[0]) < 90.0, lambda c: (c[0] + c[1] ** 2, c[1]), (x, w))[0].sum()),
        np.abs(V),
        V + 3.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_reverse_mode_is_native(case):
    function, *args = CASES[case]
    check_compiled(function, *args, tolerance=1e-4 if case == "numbers of float32" else 1e-9)


def test_values():
    np.testing.assert_allclose(fad.jit(fad.vmap(fad.grad(root)))(THREE), 0.5 / np.sqrt(THREE), rtol=1e-6)
    count = fnp.array(5)
    np.testing.assert_allclose(
        fad.jit(fad.grad(lambda x, n: fori_loop(0, n, lambda i, c: c * x, 1.0)))(1.5, count), 5 * 1.5**4
    )


def test_sums_of_histories_are_left_to_python():
    compiled = check_compiled(fad.grad(fad.grad(fad.grad(root))), 2.0, tolerance=1e-9, native=False)
    assert compiled.reasons["add"] == "its size is known only at run time"


def test_pads_beside_sums_of_histories():
    third = fad.grad(fad.grad(fad.grad(root)))
    padded = np.arange(3.0)
    check_compiled(
        lambda x, v: third(x) + fnp.pad(v, (1, 2)) * fnp.pad(v, (2, 1)), 2.0, padded, tolerance=1e-9, native=False
    )


def test_only_what_is_read_is_stacked():
    def stacked(function, *args):
        return fad.jit(fad.grad(function)).lower(*args).as_text("llvm").count('call i64 @"history_grown"')

    def turn(c):
        return c[0] + 1, fnp.sin(c[1]) * c[2], c[2]

    assert stacked(lambda x, w: while_loop(lambda c: c[0] < 5, turn, (0, x, w))[1], 1.0, 2.0) == 2  # not the factor
    assert stacked(lambda x: while_loop(lambda c: c[0] < 5, lambda c: (c[0] + 1, c[1] * 0.5), (0, x))[1], 1.0) == 1


def test_what_python_must_do_in_between_takes_the_loop_along():
    def f(x):
        return fnp.sum(fnp.linalg.svd(W[:3, :3] * root(x))[1])

    check_compiled(fad.grad(f), 2.0, tolerance=1e-10, native=False)
    check_compiled(lambda x: root(x) + fad.grad(f)(x), 2.0, tolerance=1e-10, native=False)
    stays = fad.jit(fad.grad(f)).lower(2.0).as_text()
    assert "its size is known only at run time" in stays


def test_a_loop_without_turns_raises_nothing():
    def f(x, k, n):
        return fori_loop(0, n, lambda i, c: c * fnp.asarray(V)[k], x)

    gradient = fad.jit(fad.grad(f))
    assert float(gradient(1.0, 99, 0)) == 1.0
    assert float(gradient(1.0, 3, 2)) == pytest.approx(V[3] ** 2)
    with pytest.raises(IndexError):
        gradient(1.0, 99, 1)


@pytest.mark.parametrize("shape", [(3, 0), (3, 0, 2)])
def test_batches_of_empty_arrays(shape):
    def loss(x, n):
        return fnp.sum(fad.while_loop(lambda c: c[0] < n, lambda c: (c[0] + 1, fnp.sin(c[1]) * 0.5), (0, x))[1])

    gradient = fad.vmap(fad.grad(loss))
    assert fad.jit(gradient)(np.ones(shape), np.arange(3)).shape == shape


def test_an_error_while_something_is_stacked_loses_no_memory():
    gradient = fad.jit(fad.grad(lambda x, n, k: repeated(x, n)[k] * 2.0))
    count = 40_000
    native = gradient.lower(V, count, 30).compile().native
    np.testing.assert_allclose(gradient(V, 3, 29), fad.grad(lambda x: repeated(x, 3)[29] * 2.0)(V))
    gradient(V, count, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(50):  # some 10 MB each
        gradient(V, count, 3)
        with pytest.raises(NativeFailure):
            native(V, np.int64(count), np.int64(30))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_threads_have_histories_of_their_own():
    gradient = fad.jit(fad.grad(lambda x, n: repeated(x, n).sum()))
    counts = [5, 40, 100, 33, 64, 65, 1, 200]
    expected = [fad.grad(lambda x, n=n: repeated(x, n).sum())(V) for n in counts]
    found: list = [None] * len(counts)

    def run(k):
        for _ in range(20):
            found[k] = gradient(V, counts[k])

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(counts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seen, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(seen, wanted, rtol=1e-12)
