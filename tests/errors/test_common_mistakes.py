"""Mistakes that users of other libraries bring along: each has an error that says what fad wants instead."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core import errors as e

X = fad.Array([1.0, 2.0])


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        (fad, "make_jaxpr", "fad.make_program"),
        (fad, "lax", "functions of fad itself"),
        (fnp, "fill_diagonal", r"at\[fad.numpy.diag_indices"),
        (fad.random, "PRNGKey", "fad.random.key"),
        (fad, "anything", "module 'fad' has no attribute 'anything'$"),
        (fad.random, "anything", "module 'fad.random' has no attribute 'anything'$"),
    ],
)
def test_names_of_other_libraries_say_what_fad_has(module, name, words):
    with pytest.raises(AttributeError, match=words):
        getattr(module, name)


def _writes_one(x):
    y = np.zeros(2)
    y[0] = x[0] * 2
    return y


@pytest.mark.parametrize(
    "run",
    [
        lambda: fad.jit(_writes_one)(X),
        lambda: fad.grad(lambda x: _writes_one(x).sum())(X),
        lambda: fad.jvp(_writes_one, (X,), (X,)),
        lambda: fad.vmap(_writes_one)(np.ones((3, 2))),
        lambda: fad.scan(lambda c, x: (c, _writes_one(x)), 0.0, np.ones((3, 2))),
    ],
)
def test_writing_a_traced_value_into_a_numpy_array_says_what_to_do(run):
    with pytest.raises(e.ConcretizationError, match=r"y = fad.numpy.asarray\(y\).at\[i\].set\(x\)"):
        run()


def _adds_a_string(x):
    return x.sum() + len(3)


@pytest.mark.parametrize(
    "transform",
    [
        lambda f: f,
        fad.grad,
        fad.value_and_grad,
        fad.hessian,
        fad.jacrev,
        fad.jit,
        fad.vmap,
        fad.checkpoint,
        lambda f: fad.grad(fad.checkpoint(f)),
        lambda f: lambda x: fad.vjp(f, x),
        lambda f: lambda x: fad.jvp(f, (x,), (x,)),
        lambda f: lambda x: fad.linearize(f, x),
    ],
)
def test_an_error_of_pythons_own_reaches_the_user_as_it_is(transform):
    with pytest.raises(TypeError, match=r"object of type 'int' has no len\(\)"):
        transform(_adds_a_string)(np.ones((2, 2)))


def test_values_that_outlived_their_transform_are_called_leaked():
    kept = []
    fad.vmap(lambda x: kept.append(x) or x)(X)
    fad.scan(lambda c, x: (kept.append(c) or c, x), 0.0, X)
    for use in (float, bool, np.asarray, lambda x: x.tolist()):
        for value in kept:
            with pytest.raises(e.LeakedTracerError, match="which has finished"):
                use(value)


def test_branches_meet_in_the_dtype_that_holds_the_results_of_all():
    for number, other, dtype in [(2.5, 3, "float64"), (3, 2.5, "float64"), (1, 2j, "complex128")]:
        found = fad.jit(lambda p, number=number, other=other: fad.cond(p, lambda: number, lambda: other))(True)
        assert (found.item(), found.dtype) == (number, dtype)
    small = fad.jit(lambda p, x: fad.cond(p, lambda: x, lambda: 300))
    assert small(True, np.int8(3)) == 3
    with pytest.raises(OverflowError, match="300 out of bounds for int8"):
        small(False, np.int8(3))


@pytest.mark.parametrize(
    ("run", "kind", "words"),
    [
        (lambda: fad.scan(lambda c, _: (c, c), 0.0, None, length=-1), e.ArgumentError, "not negative, got -1"),
        (lambda: fad.scan(lambda c, _: (c, c), 0.0, None, length=2.0), e.ArgumentError, "an int that .*got 2.0"),
        (
            lambda: fad.associative_scan(lambda a, b: (a + b).sum(), X),
            e.ShapeError,
            r"several elements at once, stacked along axis 0.*float64\[\]",
        ),
        (
            lambda: fad.vjp(lambda x: (x, x), X)[1](X),
            e.TreeError,
            "the result has .*one cotangent for each leaf of the result",
        ),
        (lambda: fad.grad(lambda x: x.sum(), has_aux=True)(X), e.TreeError, r"pair \(value, aux\), got float64\[\]"),
    ],
)
def test_what_loops_and_pullbacks_are_given(run, kind, words):
    with pytest.raises(kind, match=words):
        run()


@pytest.mark.parametrize(
    ("run", "kind", "words"),
    [
        (
            lambda: fad.nn.Linear(2, 3)(np.ones((4, 2)), {"weight": X, "bias": X}),
            e.DTypeError,
            r"got a dict \('weight', 'bias'\) where an array is needed; are two arguments in each other's place\?$",
        ),
        (lambda: fad.optim.adam("0.1"), e.ArgumentError, "a number or a schedule, got '0.1'"),
        (lambda: fad.optim.sgd(None), e.ArgumentError, "a number or a schedule, got None"),
        (
            lambda: fad.tree.map(lambda a, b: a, {"a": X}, {"b": np.ones(5000)}),
            e.TreeError,
            r"missing key\(s\): \['a'\], extra key\(s\): \['b'\]\. The structures are",
        ),
        (
            lambda: fad.vmap(lambda p: p["a"], in_axes=({"b": 0},))({"a": np.ones(5000)}),
            e.TreeError,
            r"missing key\(s\): \['b'\], extra key\(s\): \['a'\]$",
        ),
    ],
)
def test_messages_about_trees_show_no_values(run, kind, words):
    with pytest.raises(kind, match=words) as caught:
        run()
    assert len(str(caught.value)) < 400
