"""Functions for numba that fill arrays: what they make themselves may be written into while their bodies are traced."""

import math

import numba
import numpy as np
import pytest
from numpy import zeros

import fad
from fad.core.errors import ImmutableArrayError, ShapeError
from fad.transforms.scratch_arrays import SharedMemoryError

X = np.array([0.3, -0.8, 1.7, 0.4])


@numba.njit
def squares(x):
    out = np.zeros(x.shape[0])
    for i in range(x.shape[0]):
        out[i] = x[i] ** 2
    return out


@numba.njit
def table(x):
    n = x.shape[0]
    m = np.empty((n, n))
    for i in range(n):
        row = m[i]
        for j in range(n):
            row[j] = x[i] * x[j] + j
        m[i] += i
        m[:, i] *= 1.5
    m[1:3, ::2] = m[0:2, 1::2] * x[0]
    return m


@numba.njit
def recurrence(x):
    t = np.zeros_like(x)
    t[0] = x[0]
    for i in range(1, x.shape[0]):
        t[i] = 0.5 * t[i - 1] + math.sin(x[i])
    return np.dot(t, x) + (x * t).sum() + np.sum(2.0 * t) + np.sum(np.exp(-t)) + t @ x + len(t) + np.abs(t)[-1]


@numba.njit
def fill_sines(out, x):
    for i in range(x.shape[0]):
        out[i] = math.sin(x[i])


@numba.njit
def by_helpers(x):
    out, pairs = zeros(x.shape[0]), np.zeros((2, x.shape[0]))
    fill_sines(out, x)
    fill_sines(pairs[1], 2 * x)
    pairs[0] = pairs[1]
    return out, pairs


@numba.njit
def with_indices(x):
    order = np.zeros(3, dtype=np.int64)
    for k in range(3):
        order[k] = (2 * k) % x.shape[0]
    total = 0.0
    for k in range(3):
        for _ in range(order[k]):
            total += x[order[k]]
    return total


@numba.njit
def swaps(x):
    y = np.copy(x)
    y[0] = y[1] * 3
    y[1:] = y[:-1] * x[1:]
    y[0], y[2] = y[2], y[0]
    m = np.zeros((2, 2))
    m[0] = x[:2]
    m[1] = m[0] * m[0]
    first = m[0].copy()
    m[0] = m[1]
    m[1] = first
    for row in m:
        row[0] += y[3]
    return y, m


@numba.njit
def mutating_after_use(x):
    work, total = np.ones(x.shape[0]), 0.0
    for k in range(3):
        work[:] = 0
        work[k] = k + 1.0
        total += np.sum(work * x) * x[k]
    work[0] = x[0]
    before = np.sum(work * work)
    work[0] = 5.0
    return total + before + work.sum()


@numba.njit
def filled(x):
    a, b = np.full(3, 2.0), np.ones_like(x)
    a += x[:3]
    a -= 1
    b[1:] /= x[1:]
    b **= 2
    c = np.full_like(x, 0.5)
    c[:] = x
    c[0] = max(c[1], c[2])
    return a, b * c, np.where(b > 1, b, c), np.linalg.solve(np.eye(3) + np.outer(a, a), a)


@numba.njit
def matrices(x):
    a = np.eye(2)
    b = np.array([[1.0, 2.0], [3.0, 4.0]])
    b[0, 1] = x[0]
    a[1, 0] = x[1]
    c = np.sqrt(np.abs(x))
    c[0] = c[1] * x[2]
    grid = np.linspace(0.0, 1.0, 4)
    grid[2] = x[3]
    pair = np.array([x[0], 2.0 * x[1]])
    pair[0] *= pair[1]
    return a @ b + b.T, np.asarray(b).sum(), c, grid.dot(x), pair


FUNCTIONS = [squares, table, recurrence, by_helpers, with_indices, swaps, mutating_after_use, filled, matrices]


def weighted(f):
    """A number made of all results, each element with a weight of its own."""

    def number(x):
        outs = fad.tree.leaves(f(x))
        return sum(np.sum(np.cos(np.arange(np.size(o))).reshape(np.shape(o)) * o) for o in outs)

    return number


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives_agree_with_differences_of_the_compiled_function(f):
    compiled, traced = weighted(f), weighted(lambda x: fad.jit(f)(x))
    h = 1e-6
    expected = [(compiled(X + d) - compiled(X - d)) / (2 * h) for d in h * np.eye(X.size)]
    if f is not filled:  # which compares values, and so cannot be staged
        for gradient in (fad.grad(traced), fad.grad(weighted(fad.checkpoint(f)))):
            np.testing.assert_allclose(gradient(X), expected, rtol=1e-6, atol=1e-8)
    moved = fad.jvp(f, (X,), (np.ones(X.size),))[1]
    np.testing.assert_allclose(weighted(lambda _: moved)(X), np.sum(expected), rtol=1e-6, atol=1e-8)
    out, pullback = fad.vjp(f, X)
    cotangent = fad.tree.map(lambda o: np.cos(np.arange(o.size)).reshape(o.shape), out)
    np.testing.assert_allclose(pullback(cotangent)[0], expected, rtol=1e-6, atol=1e-8)
    for a, b in zip(fad.tree.leaves(out), fad.tree.leaves(f(X)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


@pytest.mark.parametrize("f", [squares, table, recurrence, swaps], ids=lambda f: f.__name__)
def test_second_derivatives_and_batches(f):
    number = weighted(lambda x: fad.jit(f)(x))
    hessian = fad.hessian(number)(X)
    h = 1e-6
    expected = [(fad.grad(number)(X + d) - fad.grad(number)(X - d)) / (2 * h) for d in h * np.eye(X.size)]
    np.testing.assert_allclose(hessian, expected, rtol=1e-6, atol=1e-7)
    rows = np.stack([X, X + 0.1])
    for batched, single in zip(fad.tree.leaves(fad.vmap(f)(rows)), fad.tree.leaves(f(X + 0.1)), strict=True):
        np.testing.assert_allclose(batched[1], single, rtol=1e-13)


def test_an_array_that_is_not_traced_stays_one():
    @numba.njit
    def counting(x, n):
        counts = np.zeros(n, dtype=np.int64)
        for k in range(10):
            counts[k % n] += k
        return x * counts[counts.argmax()], counts

    scaled, counts = fad.jit(counting, static_argnums=1)(X, 3)
    np.testing.assert_allclose(scaled, X * counting(X, 3)[0][0] / X[0])
    assert counts.tolist() == counting(X, 3)[1].tolist()
    assert type(counts) is fad.Array


def test_memory_that_has_another_name_is_not_written():
    @numba.njit
    def through_transpose(x):
        m = np.zeros((2, 2))
        t = m.T
        m[0, 1] = x[0]
        return t.sum() + m.sum()

    @numba.njit
    def through_reshape(x):
        m = np.zeros((2, 2))
        flat = np.reshape(m, 4)
        m[0, 1] = x[0]
        return flat.sum()

    for f, name in ((through_transpose, ".T"), (through_reshape, "numpy.reshape")):
        with pytest.raises(SharedMemoryError, match=f"after {name} gave another name to its memory") as caught:
            fad.grad(f)(X)
        assert f"the numba function {f.__name__}" in caught.value.__notes__[0]


def test_functions_that_write_into_their_arguments_are_not_lost():
    @numba.njit
    def by_keyword(x):
        out = np.zeros_like(x)
        np.add(x, x, out=out)
        order = np.array([3, 1, 2])
        order.sort()
        return out[order[0]] * out[2]

    assert fad.grad(by_keyword)(X).tolist() == [0.0, 4 * X[2], 4 * X[1], 0.0]

    @numba.njit
    def by_position(x):
        out = np.zeros_like(x)
        np.add(x, x, out)
        return out.sum()

    assert fad.grad(by_position)(X).tolist() == [2.0] * 4

    @numba.njit
    def diagonal(x):
        out = np.zeros((4, 4))
        np.fill_diagonal(out, 2.0)
        return (out @ x).sum()

    with pytest.raises(ValueError, match="read-only") as caught:
        fad.grad(diagonal)(X)
    assert "np.fill_diagonal(out, 2.0)" in caught.value.__notes__[0]


def test_arguments_are_not_written_and_errors_of_writing_keep_their_kind():
    @numba.njit
    def into_argument(x):
        x[0] = 1.0
        return x.sum()

    @numba.njit
    def outside(x):
        out = np.zeros(2)
        out[5] = x[0]
        return out.sum()

    @numba.njit
    def too_long(x):
        out = np.zeros(2)
        out[:] = x
        return out.sum()

    before = X.copy()
    with pytest.raises(
        ImmutableArrayError, match=r"`x\[0\] = 1.0`.*\n?.*arrays that the function makes itself by NumPy's functions"
    ):
        fad.grad(into_argument)(X)
    assert (before == X).all()
    with pytest.raises(IndexError):
        fad.grad(outside)(X)
    with pytest.raises(ShapeError):
        fad.grad(too_long)(X)
