"""Collectives over an axis named by vmap."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, ShapeError

X = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 0.0]])


def over(f, x=X, **options):
    return fad.vmap(f, axis_name="i", **options)(x)


REDUCTIONS = {
    "psum": (fad.psum, lambda x: x.sum(0)),
    "pmean": (fad.pmean, lambda x: x.mean(0)),
    "pmax": (fad.pmax, lambda x: x.max(0)),
    "pmin": (fad.pmin, lambda x: x.min(0)),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name):
    collective, expected = REDUCTIONS[name]
    every = np.broadcast_to(expected(X), X.shape)
    np.testing.assert_allclose(over(lambda x: collective(x, "i")), every)
    np.testing.assert_allclose(fad.jit(lambda x: over(lambda r: collective(r, "i"), x))(X), every)
    np.testing.assert_allclose(over(fad.jit(lambda x: collective(x, "i"))), every)
    np.testing.assert_allclose(over(lambda x: collective({"a": x}, "i"))["a"], every)


def test_gather_and_index():
    np.testing.assert_allclose(over(lambda x: fad.all_gather(x, "i")), np.stack([X] * 3))
    assert over(lambda x: fad.axis_index("i")).tolist() == [0, 1, 2]


def test_of_a_value_that_no_example_changes():
    assert over(lambda x: fad.psum(1, "i")).tolist() == [3, 3, 3]
    assert over(lambda x: fad.psum(fnp.ones(2), "i")).tolist() == [[3, 3]] * 3


@pytest.mark.parametrize("name", ["psum", "pmean", "all_gather"])
def test_derivatives_are_those_of_the_batch(name):
    weights = np.arange(6.0).reshape(3, 2)
    collective = getattr(fad, name)

    def f(x):
        return fad.vmap(lambda r, w: (fnp.sin(collective(r, "i")) * w).sum() * r.sum(), axis_name="i")(x, weights).sum()

    fad.testing.check_grads(f, (0.1 * X,), order=2)


@pytest.mark.parametrize("name", ["pmax", "pmin"])
def test_derivatives_of_extremes(name):
    collective = getattr(fad, name)
    fad.testing.check_grads(lambda x: over(lambda r: collective(r, "i") * r, x).sum(), (X,), order=2)


def test_per_example_normalisation_by_the_batch():
    def normalise(x):
        centred = x - fad.pmean(x, "i")
        return centred / fnp.sqrt(fad.pmean(centred**2, "i"))

    np.testing.assert_allclose(over(normalise), (X - X.mean(0)) / X.std(0))
    gradient = fad.vmap(fad.grad(lambda x: normalise(x)[0]), axis_name="i")(X)
    assert gradient.shape == X.shape


def test_nested_axes():
    f = fad.vmap(
        fad.vmap(lambda x: fad.psum(x, "outer") + 10 * fad.psum(x, "inner"), axis_name="inner"), axis_name="outer"
    )
    np.testing.assert_allclose(f(X), X.sum(0) + 10 * X.sum(1, keepdims=True))


def test_gradient_inside_the_named_axis():
    def loss(w, x):
        return (w * x).sum() ** 2

    w = np.array([0.5, -1.0])
    mean = fad.vmap(lambda w, x: fad.pmean(fad.grad(loss)(w, x), "i"), in_axes=(None, 0), axis_name="i")(w, X)
    expected = fad.grad(lambda w: fad.vmap(loss, in_axes=(None, 0))(w, X).mean())(w)
    np.testing.assert_allclose(mean, np.broadcast_to(expected, (3, 2)))


def test_unknown_axes_are_refused():
    for run in (lambda: fad.psum(1.0, "i"), lambda: fad.vmap(lambda x: fad.pmean(x, "j"), axis_name="i")(X)):
        with pytest.raises(ArgumentError, match=r"there is no axis named '.' here; name it with fad.vmap"):
            run()


def test_collectives_over_several_axes():
    x = np.random.default_rng(0).normal(size=(3, 4))

    def f(v):
        both = ("i", "j")
        return fad.psum(v, both), fad.pmean(v, both), fad.pmax(v, both), fad.pmin(v, ("j",)), fad.psum(v, ("j", "i"))

    def over(f):
        return fad.vmap(fad.vmap(f, axis_name="j"), axis_name="i")

    total, mean, largest, smallest, again = over(f)(x)
    for found, wanted in ((total, x.sum()), (mean, x.mean()), (largest, x.max()), (again, x.sum())):
        np.testing.assert_allclose(found, np.full(x.shape, wanted))
    np.testing.assert_allclose(smallest, np.broadcast_to(x.min(1, keepdims=True), x.shape))
    weights = np.arange(12.0).reshape(3, 4)
    gradient = fad.grad(lambda x: fnp.sum(over(lambda v: fad.psum(v**2, ("i", "j")))(x) * weights))(x)
    np.testing.assert_allclose(gradient, 2 * x * weights.sum())
    with pytest.raises(ArgumentError, match="no axis named 'k'"):
        over(lambda v: fad.psum(v, ("i", "k")))(x)
    # A tuple may be a name itself.
    np.testing.assert_allclose(
        fad.vmap(lambda v: fad.psum(v, ("a", 1)), axis_name=("a", 1))(np.ones(3)), np.full(3, 3.0)
    )


def test_results_that_are_python_numbers_are_repeated():
    x = fnp.ones(3)
    for f in (fad.vmap(lambda v: (1.5, 2, True)), fad.jit(fad.vmap(lambda v: (1.5, 2, True)))):
        for found, wanted in zip(f(x), (np.full(3, 1.5), np.full(3, 2), np.full(3, True)), strict=True):
            np.testing.assert_array_equal(found, wanted)
            assert found.dtype == wanted.dtype
    with pytest.raises(ShapeError, match="out_axes=1 does not fit result 0, which has 1 axes"):
        fad.vmap(lambda v: 1.0, out_axes=1)(x)


def test_gathering_over_several_axes():
    x = np.arange(24.0).reshape(2, 3, 4)
    both = ("i", "j")

    def gathered(v):
        return (
            fad.all_gather(v, both),
            fad.all_gather(v, both, axis=-1),
            fad.axis_index(both),
            fad.axis_index(("j", "i")),
        )

    rows, columns, place, other = fad.vmap(fad.vmap(gathered, axis_name="j"), axis_name="i")(x)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(rows[i, j], x.reshape(6, 4))
            np.testing.assert_array_equal(columns[i, j], x.reshape(6, 4).T)
            np.testing.assert_array_equal(rows[i, j][place[i, j]], x[i, j])
            assert (place[i, j], other[i, j]) == (3 * i + j, 2 * j + i)

    def total(x):
        # Every example takes the others' values, weighted by its own place.
        def one(v):
            return (fad.all_gather(v, both) ** 2).sum() * (1.0 + fad.axis_index(both))

        return fad.vmap(fad.vmap(one, axis_name="j"), axis_name="i")(x).sum()

    np.testing.assert_allclose(fad.grad(total)(x), 2 * x * 21.0)
    np.testing.assert_allclose(fad.jit(fad.grad(total))(x), 2 * x * 21.0)
    with pytest.raises(fad.errors.ArgumentError, match="all_gather: there is no axis named 'k'"):
        fad.vmap(lambda v: fad.all_gather(v, ("i", "k")), axis_name="i")(x)
