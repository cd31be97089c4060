"""Products of matrices that have few rows or columns in common, or few columns at all: loops, not BLAS."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.report.outline import outline_of
from tests.compiler.compiled_programs import check_compiled, kernels

RNG = np.random.default_rng(0)


def matrix(rows, columns, dtype="f8", order="C"):
    return np.asarray(RNG.normal(size=(rows, columns)), dtype, order=order)


def has_products(compiled):
    return any(k.kind == "product" for k in outline_of(compiled.program).all_kernels())


PRODUCTS = {
    "x @ y": lambda x, y: x @ y,
    "x @ y.T": lambda x, y: x @ (y.T + 0.0).T,
    "y of another order": lambda x, y: x @ fnp.transpose(fnp.transpose(y) * 2.0),
    "turned": lambda x, y: (y.T @ x.T).T,
    "with a loop around": lambda x, y: fnp.min(fnp.sin(x @ y), axis=1),
}


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("inner", [2, 3, 8])
def test_few_elements_are_contracted(name, inner, dtype):
    f, tolerance = PRODUCTS[name], 1e-12 if dtype == "f8" else 1e-5
    x, y = matrix(150, inner, dtype), matrix(inner, 33, dtype)
    check_compiled(f, x, y, tolerance=tolerance)
    gradient = fad.grad(lambda x, y: fnp.sum(fnp.cos(f(x, y))), argnums=(0, 1))
    check_compiled(gradient, x, y, tolerance=10 * tolerance)
    check_compiled(lambda x, y: fad.jvp(gradient, (x, y), (x, y)), x, y, tolerance=100 * tolerance)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_few_columns_are_summed_along_a_long_axis(dtype):
    tolerance = 1e-12 if dtype == "f8" else 1e-5
    x, g = matrix(1000, 3, dtype), matrix(1000, 40, dtype)
    for f in (lambda x, g: x.T @ g, lambda x, g: g.T @ x, lambda x, g: fnp.sin(x).T @ fnp.tanh(g)):
        assert not has_products(check_compiled(f, x, g, tolerance=tolerance))


def test_others_are_left_to_blas():
    for shapes in [((150, 9), (9, 33)), ((20, 3), (3, 33)), ((150, 3), (3, 10)), ((9, 1000), (1000, 40))]:
        assert has_products(check_compiled(lambda x, y: x @ y, *[matrix(*s) for s in shapes])), shapes
    assert has_products(check_compiled(lambda x, y: x @ y, RNG.normal(size=(2, 150, 3)), RNG.normal(size=(2, 3, 33))))


def test_special_values_spread_as_in_a_product():
    x, y = matrix(130, 3), matrix(3, 20)
    x[5, 1], x[9, 2], y[0, 4], y[2, 7], x[20] = np.nan, np.inf, -np.inf, 0.0, 0.0
    check_compiled(lambda x, y: (x @ y, x.T @ (x @ y)), x, y)


def test_distances_are_never_in_memory():
    points, centres = matrix(1000, 8), matrix(100, 8)

    def cost(c, p):
        squares = fnp.sum(p**2, axis=1)[:, None] - 2.0 * (p @ c.T) + fnp.sum(c**2, axis=1)
        return fnp.sum(fnp.min(squares, axis=1))

    for f in (cost, fad.value_and_grad(cost)):
        compiled = check_compiled(f, centres, points, tolerance=1e-10)
        assert not has_products(compiled)
        assert sum("for i < 1000" in text and "< 100:" in text for text in kernels(compiled)) == 1
        assert all(step.arena_size < 8 * 1000 * 20 for step in compiled.steps)


def test_results_do_not_depend_on_the_number_of_threads():
    x, g = matrix(60_000, 5), matrix(60_000, 24)

    def f(x, g):
        return fnp.sin(x).T @ g, fnp.sum(g @ g[:5].T, axis=0), fnp.sum(x, axis=0), fnp.sum(g * g)

    found = []
    for threads in (1, 2):
        with fad.config.using(threads=threads):
            found.append(fad.jit(f)(x, g))
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
