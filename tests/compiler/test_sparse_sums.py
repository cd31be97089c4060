"""Sums most of whose numbers are zeros: vectors of zeros are left out, and nobody can tell."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from tests.compiler.compiled_programs import check_compiled, compile_program, program_of
from tests.compiler.test_widening import sources


def cost(centres, points, smallest=fnp.min):
    """The sum of the squared distances to the nearest centre."""
    squares = (points**2).sum(1)[:, None] - 2.0 * (points @ centres.T) + (centres**2).sum(1)
    return fnp.sum(smallest(squares, axis=1))


GRADIENT = fad.grad(cost)


def case(count, centres, dtype="f8", seed=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, size=(count, 8)).astype(dtype)
    return rng.uniform(-1, 1, size=(centres, 8)).astype(dtype), points


def leaves_out(function, *args):
    return any("some" in source.text for source in sources(function, *args))


def test_the_gradient_of_a_minimum_leaves_vectors_out():
    assert leaves_out(GRADIENT, *case(1000, 100))
    assert leaves_out(fad.grad(lambda c, p: cost(c, p, fnp.max)), *case(1000, 100))
    assert not leaves_out(cost, *case(1000, 100))


def test_sums_of_numbers_that_differ_are_left_alone():
    def f(x, w):
        picked = fnp.where(x > 0, x, 0.0)
        return [fnp.sum(picked * w[:, k : k + 1], axis=0) for k in range(5)]

    x = np.random.default_rng(0).normal(size=(500, 200))
    assert not leaves_out(f, x, x)
    check_compiled(f, x, x)


@pytest.mark.parametrize("centres", [17, 20, 31, 32, 33, 100, 130])
@pytest.mark.parametrize("count", [1, 2, 50, 3000])
def test_any_length(count, centres):
    check_compiled(GRADIENT, *case(count, centres))
    check_compiled(GRADIENT, *case(count, centres, "f4"), tolerance=2e-5)
    newton = lambda c, p: fad.jvp(lambda c: GRADIENT(c, p), (c,), (fnp.ones_like(c),))  # noqa: E731
    check_compiled(newton, *case(count, centres))


def test_ties_share():
    centres, points = case(400, 40)
    centres[7] = centres[21] = centres[22] = points[3]
    check_compiled(GRADIENT, centres, points)
    assert np.count_nonzero(np.any(np.asarray(fad.jit(GRADIENT)(centres, points))[[7, 21, 22]], axis=1)) == 3


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e200, -0.0])
def test_zero_times_what_is_not_finite_is_not_left_out(number):
    centres, points = case(300, 40)
    points[::3] = np.abs(points[::3])
    points[7, 2] = points[290, 5] = number
    check_compiled(GRADIENT, centres, points)
    centres, points = case(300, 40)
    centres[3, 1] = number
    check_compiled(GRADIENT, centres, points)


def test_zeros_have_the_sign_of_a_sum():
    def f(x, w):
        nearest = x == fnp.min(x, axis=1, keepdims=True)
        return [fnp.sum(fnp.where(nearest, 1.0, 0.0) * w[:, k : k + 1], axis=0) for k in range(4)]

    x, w = np.zeros((300, 60)), -np.abs(np.random.default_rng(0).normal(size=(300, 4)))
    x[:, 1:] = 1.0
    program = program_of(f, x, w)
    assert leaves_out(f, x, w)
    for found, expected in zip(compile_program(program)(x, w), f(x, w), strict=True):
        np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_chunks_of_threads(threads):
    args = case(20_000, 100)
    with fad.config.using(threads=threads):
        check_compiled(GRADIENT, *args, tolerance=1e-10)
