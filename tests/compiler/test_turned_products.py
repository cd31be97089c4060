"""Matrices that loops multiply with in every turn: transposed once, before the loop, where BLAS would read them slowly."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.nested import nested_programs
from fad.compiler.passes.layouts import reads_along_sums
from fad.compiler.passes.pipeline import simplified


def slow_products(program):
    """How many products of a Program and of those in it read both matrices along the axis that is summed over."""
    own = sum(map(reads_along_sums, program.equations))
    return own + sum(slow_products(p) for e in program.equations for p in nested_programs(e))


def of_right(w, h):
    return fnp.einsum("ij,kj->ik", h, w)


def of_left(w, h):
    return fnp.einsum("kj,ij->ik", w, h)


def of_two_axes(w, h):
    return fnp.einsum("iab,kab->ik", h.reshape(h.shape[0], *w.shape[1:]), w)


def looped(product, turns):
    def f(w, h):
        w = w.reshape(w.shape[0], 4, -1) if product is of_two_axes else w
        return fad.scan(lambda h, _: (fnp.tanh(product(w, h)), fnp.sum(h)), h, None, length=turns)

    return f


def expected(w, h, turns):
    sums = []
    for _ in range(turns):
        sums.append(h.sum())
        h = np.tanh(h @ w.T)
    return h, np.array(sums)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("product", [of_right, of_left, of_two_axes])
@pytest.mark.parametrize(("rows", "width", "turns"), [(20, 24, 60), (33, 40, 32), (12, 20, 4)])
def test_loops_multiply_with_a_transposed_copy(product, rows, width, turns, dtype):
    rng = np.random.default_rng(0)
    w = (rng.standard_normal((width, width)) / np.sqrt(width)).astype(dtype)
    h = rng.standard_normal((rows, width)).astype(dtype)
    f = looped(product, turns)
    tolerance = 200 * np.finfo(dtype).eps
    for found, wanted in zip(fad.jit(f)(w, h), expected(w.astype("f8"), h.astype("f8"), turns), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * np.abs(wanted).max())
    pays = rows * turns >= 1024
    assert bool(slow_products(simplified(fad.make_program(f)(w, h)))) != pays


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_gradient_of_a_recurrent_network(dtype):
    rng = np.random.default_rng(1)
    w, u = ((rng.standard_normal((n, 30)) / 6).astype(dtype) for n in (30, 9))
    xs = rng.standard_normal((50, 24, 9)).astype(dtype)

    def loss(w, u, xs):
        def step(h, x):
            h = fnp.tanh(x @ u + h @ w)
            return h, h

        return fnp.sum(fad.scan(step, fnp.zeros((24, 30), dtype), xs)[1] ** 2)

    def by_hand(w, u, xs):
        hs = [np.zeros((24, 30))]
        for x in xs:
            hs.append(np.tanh(x @ u + hs[-1] @ w))
        dw, du, dh = np.zeros_like(w), np.zeros_like(u), np.zeros((24, 30))
        for x, before, h in reversed(list(zip(xs, hs, hs[1:], strict=False))):
            dz = (dh + 2 * h) * (1 - h * h)
            dw, du, dh = dw + before.T @ dz, du + x.T @ dz, dz @ w.T
        return dw, du

    gradient = fad.grad(loss, (0, 1))
    assert slow_products(simplified(fad.make_program(gradient)(w, u, xs))) == 0
    for found, wanted in zip(fad.jit(gradient)(w, u, xs), by_hand(*(a.astype("f8") for a in (w, u, xs))), strict=True):
        size = np.abs(wanted).max()
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1000 * np.finfo(dtype).eps * size)


def test_a_matrix_that_changes_is_not_turned():
    def f(w, h):
        return fad.scan(lambda s, _: ((s[0] * 0.99, fnp.tanh(of_right(*s))), None), (w, h), None, length=100)[0]

    w, h = np.eye(20) * 0.5, np.ones((30, 20))
    assert slow_products(simplified(fad.make_program(f)(w, h))) == 1
    for found, wanted in zip(fad.jit(f)(w, h), f(w, h), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_loops_in_loops_and_loops_of_no_turn():
    def f(w, h, length):
        def outer(h, _):
            return looped(of_right, length)(w, h)[0], None

        return fad.scan(outer, h, None, length=3)[0]

    w, h = np.full((20, 20), 0.05), np.ones((30, 20))
    for length in (0, 40):
        found = fad.jit(lambda w, h, n=length: f(w, h, n))(w, h)
        np.testing.assert_allclose(found, expected(w, h, 3 * length)[0], rtol=1e-12)
