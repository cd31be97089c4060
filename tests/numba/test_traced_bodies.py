"""Transforms of functions that numba compiled: their Python bodies are traced, and what cannot be traced is said with its line."""

import math
from math import exp

import numba
import numpy as np
import pytest

import fad
from fad.core.errors import ArgumentError, ConcretizationError, DTypeError, ImmutableArrayError, NonDifferentiableError

X = np.array([0.3, -0.8, 1.7])


@numba.njit
def energy(x):
    return np.sum(np.sin(x) ** 2) + x[0] * x[1]


@numba.njit
def repeated(x, n):
    return x if n == 0 else repeated(exp(-x) + math.atan2(x, 2.0), n - 1)


@numba.njit
def calling(x):
    return energy(x) * 2.0 + repeated(x[0], 3)


@numba.njit
def looping(x):
    total = 0.0
    for i in numba.prange(x.shape[0]):
        total += math.erf(x[i]) * math.pi if x[i] > 0 else math.sqrt(x[i] + 1) + math.floor(x[i])
    return total


def factory():
    @numba.njit
    def inner(x):
        return x * math.fabs(x)

    @numba.njit
    def outer(x, scale=3.0):
        return scale * inner(x[0]) + inner(x[1])

    return outer


@numba.njit
def writing(x):
    out = x + 1.0
    for i in range(x.shape[0]):
        out[i] = x[i] ** 2
    return out.sum()


@numba.njit
def writing_into_argument(x):
    x[:2] = 1.0
    return x.sum()


@numba.vectorize
def smooth(x, y):
    return math.tanh(x) * y


@numba.guvectorize(["(float64[:], float64[:])"], "(n)->(n)")
def doubled(x, out):
    for i in range(x.shape[0]):
        out[i] = 2 * x[i]


def differences(f, x, h=1e-6):
    return np.array([(f(x + d) - f(x - d)) / (2 * h) for d in h * np.eye(x.size)])


@pytest.mark.parametrize("f", [energy, calling, looping, factory()], ids=lambda f: f.__name__)
def test_derivatives_agree_with_differences_of_the_compiled_function(f):
    expected = differences(f, X)
    np.testing.assert_allclose(fad.grad(f)(X), expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(fad.jvp(f, (X,), (np.ones(3),))[1], expected.sum(), rtol=1e-7)
    np.testing.assert_allclose(fad.vjp(f, X)[0], f(X), rtol=1e-14)


@pytest.mark.parametrize("f", [energy, calling], ids=lambda f: f.__name__)
def test_transforms_stack(f):
    np.testing.assert_allclose(fad.jit(f)(X), f(X), rtol=1e-14)
    expected = differences(f, X)
    np.testing.assert_allclose(fad.jit(fad.grad(f))(X), expected, rtol=1e-7)
    np.testing.assert_allclose(fad.grad(fad.jit(f))(X), expected, rtol=1e-7)
    np.testing.assert_allclose(fad.vmap(f)(np.stack([X, 2 * X])), [f(X), f(2 * X)], rtol=1e-14)
    hessian = fad.hessian(f)(X)
    np.testing.assert_allclose(hessian, [differences(lambda x, k=k: fad.grad(f)(x)[k], X) for k in range(3)], atol=1e-6)
    assert "sin" in str(fad.make_program(f)(X))


def test_float32_stays_float32():
    x = X.astype(np.float32)
    assert fad.jit(energy)(x).dtype == fad.grad(energy)(x).dtype == np.float32


def test_compiled_functions_in_loops_and_branches():
    square = numba.njit(lambda x: x * x)
    double = numba.njit(lambda x: 2.0 * x)
    assert fad.grad(lambda x: fad.cond(x > 1, square, double, x))(3.0) == 6
    assert fad.grad(lambda x: fad.fori_loop(0, 3, numba.njit(lambda i, c: c * c), x))(1.1) == pytest.approx(8 * 1.1**7)


def test_a_vectorized_function_works_on_arrays():
    np.testing.assert_allclose(fad.jit(smooth)(X, X[:, None]), smooth(X, X[:, None]), rtol=1e-14)
    np.testing.assert_allclose(fad.grad(smooth)(0.5, 2.0), 2 / np.cosh(0.5) ** 2, rtol=1e-14)
    np.testing.assert_allclose(fad.grad(lambda x: np.sum(smooth(x, 2.0)))(X), 2 / np.cosh(X) ** 2, rtol=1e-14)
    assert smooth(fad.Array(X), 2.0).tolist() == smooth(X, 2.0).tolist()


@pytest.mark.parametrize(
    ("f", "line"),
    [(writing, r"out\[i\] = x\[i\] \*\* 2"), (writing_into_argument, r"x\[:2\] = 1.0")],
    ids=lambda f: getattr(f, "__name__", ""),
)
@pytest.mark.parametrize("transform", [fad.grad, fad.jit, lambda f: fad.jit(fad.grad(f))])
def test_writing_in_place_names_the_line_and_the_ways_out(f, line, transform):
    with pytest.raises(
        ImmutableArrayError, match=rf"test_traced_bodies.py:\d+, `{line}`, writes a traced value"
    ) as caught:
        transform(f)(X.copy())
    for way in ("compute whole arrays", "numpy.copy", "fad.numpy", f"fad.extend.from_numba({f.__name__}"):
        assert way in str(caught.value)


def test_branching_on_values_under_jit_names_the_line():
    with pytest.raises(ConcretizationError, match="fad.numpy.where or fad.cond") as caught:
        fad.jit(looping)(X)
    (note,) = caught.value.__notes__
    assert "the numba function looping" in note
    assert "`total += math.erf(x[i])" in note
    assert "fad.extend.from_numba(looping" in note


def test_a_loop_length_that_is_traced_says_what_to_do():
    with pytest.raises(ConcretizationError, match="static_argnums"):
        fad.jit(numba.njit(lambda x, n: sum([x * i for i in range(n)])))(X, 3)


def test_functions_that_only_write_are_refused():
    with pytest.raises(ArgumentError, match=r"grad\(doubled\).*guvectorize.*fad.extend.from_numba\(doubled"):
        fad.grad(doubled)


def test_objects_without_a_body_are_refused():
    stencil = numba.stencil(lambda a: a[-1] + a[1])
    with pytest.raises(ArgumentError, match="no Python function behind this StencilFunc of numba"):
        fad.jit(stencil)


def test_a_compiled_function_that_meets_a_tracer_says_what_to_do():
    with pytest.raises(
        DTypeError, match=r"Tracer<float64\[3\], on a tape> at .*test_traced_bodies.py:\d+ .*"
    ) as caught:
        fad.grad(lambda x: 2 * energy(x))(X)
    assert "fad.jit(f)(x) or f.py_func(x)" in str(caught.value)
    with pytest.raises(DTypeError, match=r"got a fad.Array, float64\[3\].*numpy.asarray\(x\), which copies nothing"):
        energy(fad.Array(X))
    with pytest.raises(NonDifferentiableError, match="For a function f of numba write f = fad.extend.from_numba"):
        fad.grad(lambda x: doubled(x).sum())(X)


def test_math_without_a_counterpart_is_named():
    with pytest.raises(ArgumentError, match="math.ulp has no counterpart"):
        fad.grad(numba.njit(lambda x: math.ulp(x)))(1.0)


def test_the_body_keeps_the_functions_name():
    f = fad.grad(energy)
    assert f.__name__ == "energy"
    assert fad.make_program(energy)(X).name == "energy"
