"""Gradients by trees: structures of arguments, gradients and errors."""

from collections import OrderedDict, defaultdict, namedtuple

import numpy as np
import pytest

import fad
from fad.core.errors import DTypeError

Pair = namedtuple("Pair", "left right")


def sum_of_squares(tree):
    return sum((k + 1.0) * (leaf**2).sum() for k, leaf in enumerate(fad.tree.leaves(tree)))


def arrays(*values):
    return [fad.Array(np.array(value)) for value in values]


@pytest.mark.parametrize(
    "build",
    [
        lambda a, b, c: [a, (b, c)],
        lambda a, b, c: ([a], [], {"second": (b,), "first": {}, 3: [[c]]}),
        lambda a, b, c: {"z": a, "y": b, "x": c},
        lambda a, b, c: [a, a, (b, [a, c])],
        lambda a, b, c: Pair(a, [b, c]),
        lambda a, b, c: [a, OrderedDict(z=b, y=c)],
        lambda a, b, c: [a, None, defaultdict(list, k=[b, c])],
    ],
)
@pytest.mark.parametrize("argnums", [0, (1, 0)])
def test_gradients_have_the_structure_of_their_arguments(build, argnums):
    """Trees of plain containers are taken apart by the gradient itself, all others by the library: nobody may see a difference."""
    tree, other = build(*arrays([1.0, 2.0], 3.0, [[4.0]])), build(*arrays([[0.5]], [6.0], -1.0))
    gradient = fad.grad(lambda p, q: sum_of_squares(p) + 3.0 * sum_of_squares(q), argnums)(tree, other)

    def expected(values, factor):
        leaves, treedef = fad.tree.flatten(values)
        return fad.tree.unflatten(treedef, [fad.Array(2.0 * factor * (k + 1.0) * x) for k, x in enumerate(leaves)])

    wanted = expected(tree, 1.0) if argnums == 0 else (expected(other, 3.0), expected(tree, 1.0))
    # Representations tell the types of all containers, the order of keys, shapes and numbers.
    assert repr(gradient) == repr(wanted)


def test_functions_may_change_the_containers_that_they_are_given():
    x, y = arrays([1.0, 2.0], 3.0)
    params = {"layers": [x, (y,)]}

    def f(p):
        layers = p["layers"]
        p["other"] = layers.pop(0) * layers[0][0]
        layers.clear()
        params["layers"].append(x)
        return p["other"].sum()

    gradient = fad.grad(f)(params)
    assert repr(gradient) == repr({"layers": [fad.Array([3.0, 3.0]), (fad.Array(3.0),)]})
    assert params["layers"][0] is x and len(params["layers"]) == 3


def test_gradients_of_numbers_in_trees_are_arrays():
    point = {"a": [fad.Array(2.0)], "b": (fad.Array(np.float32(3.0)), fad.Array([1.0, 2.0]))}
    gradient = fad.grad(lambda p: p["a"][0] * 2.0 + p["b"][0])(point)
    for found, at, value in zip(fad.tree.leaves(gradient), fad.tree.leaves(point), (2.0, 1.0, [0.0, 0.0]), strict=True):
        assert type(found) is fad.Array
        assert (found.shape, found.dtype) == (at.shape, at.dtype)
        np.testing.assert_array_equal(found, value)
    assert repr(point) == repr({"a": [fad.Array(2.0)], "b": (fad.Array(np.float32(3.0)), fad.Array([1.0, 2.0]))})


def test_gradients_of_gradients_by_trees():
    x, y = arrays([1.0, 2.0], 3.0)

    def f(p):
        return (p["a"][0] ** 3).sum() * p["b"] ** 2

    def inner(p):
        gradient = fad.grad(f)(p)
        return gradient["a"][0].sum() * gradient["b"]

    found = fad.grad(inner)({"a": [x], "b": y})
    # inner = 3 s2 b^2 * 2 s3 b = 6 s2 s3 b^3, with s2 and s3 the sums of squares and of cubes
    a, s2, s3 = np.array([1.0, 2.0]), 5.0, 9.0
    np.testing.assert_allclose(found["a"][0], 6.0 * 27.0 * (2.0 * a * s3 + 3.0 * a**2 * s2))
    np.testing.assert_allclose(found["b"], 18.0 * s2 * s3 * 9.0)
    np.testing.assert_allclose(fad.jit(fad.grad(inner))({"a": [x], "b": y})["b"], found["b"])


@pytest.mark.parametrize(("leaf", "place"), [(1, r"\['b'\]\[1\]"), (np.arange(2), r"\['b'\]\[1\]")])
def test_errors_name_the_leaf_of_a_tree(leaf, place):
    with pytest.raises(DTypeError, match=f"argument 1{place}"):
        fad.grad(lambda x, p: sum_of_squares(p), 1)(2.0, {"a": fad.Array(1.0), "b": (fad.Array(2.0), fad.Array(leaf))})
