"""NumPy arrays that a function writes into after a traced value has met them: what counts is what was there at the time."""

import numpy as np
import pytest

import fad

X = np.array([1.0, 2.0, 3.0])


def written_after_use(x):
    c = np.ones(3)
    y = x * c
    c[0] = 100.0
    return np.sum(y)


def mask_in_a_loop(x):
    mask, total = np.zeros(3), 0.0
    for i in range(3):
        mask[:] = 0
        mask[i] = 1
        total = total + np.sum(mask * x) * i + np.sum(np.where(mask > 0, x, 0.0) * mask)
    return total


def in_functions(x):
    c = np.ones((3, 3))
    y = c @ x
    z = np.stack([x, c[0]])
    c[:] = 5
    return np.sum(y * 2) + np.sum(z * z)


def index_in_a_loop(x):
    index, total = np.zeros(2, int), 0.0
    for i in range(2):
        index[:] = [i, i + 1]
        total = total + np.prod(x[index])
    return total


@pytest.mark.parametrize(
    "f", [written_after_use, mask_in_a_loop, in_functions, index_in_a_loop], ids=lambda f: f.__name__
)
def test_scratch_arrays_keep_their_values(f):
    h = 1e-6
    expected = [(f(X + d) - f(X - d)) / (2 * h) for d in h * np.eye(3)]
    np.testing.assert_allclose(fad.grad(f)(X), expected, rtol=1e-7)
    np.testing.assert_allclose(fad.jit(fad.grad(f))(X), expected, rtol=1e-7)
    np.testing.assert_allclose(fad.vmap(fad.grad(f))(X[None])[0], expected, rtol=1e-7)
    np.testing.assert_allclose(fad.jvp(f, (X,), (np.ones(3),))[1], np.sum(expected), rtol=1e-7)
    np.testing.assert_allclose(fad.jit(f)(X), f(X))
    _, pullback = fad.vjp(f, X)
    np.testing.assert_allclose(pullback(1.0)[0], expected, rtol=1e-7)


def test_large_arrays_are_compared_when_a_program_is_staged():
    def f(x):
        c = np.ones(20_000)
        first = np.sum(x[0] * c)
        same = np.sum(x[1] * c)
        c[:] = 2
        return first + same + np.sum(x[2] * c)

    assert fad.jit(f)(X) == f(X)
    assert len(fad.make_program(f)(X).constants) == 2


def test_the_callers_array_is_left_alone():
    c = np.ones(3)
    fad.grad(lambda x: np.sum(x * c))(X)
    assert c.flags.writeable
