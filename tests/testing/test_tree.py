"""`fad.tree`: mapping, flattening, registered classes, raveling."""

import dataclasses
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DTypeError, ShapeError, TreeError

Point = namedtuple("Point", ["x", "y"])


@fad.tree.register_dataclass
@dataclasses.dataclass(frozen=True)
class Layer:
    weight: object
    bias: object = None
    name: str = dataclasses.field(default="layer", metadata={"static": True})

    def __post_init__(self):
        if isinstance(self.weight, str):
            raise ValueError("validated")


@fad.tree.register_dataclass(static=("power",))
@dataclasses.dataclass
class Power:
    base: float
    power: int


class Pair:
    def __init__(self, first, second):
        self.first, self.second = first, second


fad.tree.register_node(Pair, lambda p: ((p.first, p.second), "pair"), lambda meta, children: Pair(*children))


@pytest.mark.parametrize(
    "tree",
    [
        1.0,
        None,
        [],
        (),
        {},
        [1.0, None, (2.0,)],
        {"b": 1.0, "a": {"c": 2.0}},
        Point(1.0, [2.0]),
        OrderedDict(z=1.0, a=2.0),
    ],
    ids=repr,
)
def test_flatten_and_unflatten_are_inverse(tree):
    leaves, structure = fad.tree.flatten(tree)
    again = fad.tree.unflatten(structure, leaves)
    assert again == tree
    assert type(again) is type(tree)
    assert structure == fad.tree.structure(tree)
    assert leaves == fad.tree.leaves(tree)


def test_dicts_are_ordered_by_key_and_ordered_dicts_by_insertion():
    assert fad.tree.leaves({"b": 1, "a": 2}) == [2, 1]
    assert fad.tree.leaves(OrderedDict(b=1, a=2)) == [1, 2]


def test_leaves_with_their_paths():
    tree = {"b": [1, None, (2,)], "a": Layer(3)}
    found, structure = fad.tree.flatten_with_path(tree)
    assert found == fad.tree.leaves_with_path(tree) == [(("a", "weight"), 3), (("b", 0), 1), (("b", 2, 0), 2)]
    assert structure == fad.tree.structure(tree)
    stops = fad.tree.leaves_with_path(tree, is_leaf=lambda x: isinstance(x, list))
    assert stops[1] == (("b",), [1, None, (2,)])


def test_all_leaves():
    assert fad.tree.all({"a": [True, 1], "b": None}) is True
    assert fad.tree.all([True, fnp.array(False)]) is False
    assert fad.tree.all(()) is True


def test_map_over_several_trees():
    assert fad.tree.map(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]}) == {"x": [11, 22]}
    assert fad.tree.map(lambda a, sub: (a, sub), [1, 2], [{"k": 3}, (4, 5)]) == [(1, {"k": 3}), (2, (4, 5))]
    assert fad.tree.map(len, [[1, 2], [3]], is_leaf=lambda x: isinstance(x, list) and isinstance(x[0], int)) == [2, 1]


def test_map_refuses_other_structures():
    with pytest.raises(
        TreeError,
        match=r"tree 1 does not have the structure of the first.*The structures are \{'x': \*\} and \{'y': \*\}",
    ):
        fad.tree.map(lambda a, b: a, {"x": 1}, {"y": 1})
    with pytest.raises(ValueError, match="the function's own"):
        fad.tree.map(lambda a, b: (_ for _ in ()).throw(ValueError("the function's own")), [1], [2])


def test_map_with_path():
    tree = {"layers": [{"w": 1}, {"w": 2}], "point": Point(3, 4), "own": Layer(5)}
    paths = []
    fad.tree.map_with_path(lambda path, leaf: paths.append((path, leaf)), tree)
    assert paths == [
        (("layers", 0, "w"), 1),
        (("layers", 1, "w"), 2),
        (("own", "weight"), 5),
        (("point", 0), 3),
        (("point", 1), 4),
    ]
    assert fad.tree.map_with_path(lambda path, a, b: a + b, [1], [2]) == [3]


def test_reduce():
    assert fad.tree.reduce(lambda a, b: a * b, {"a": 2, "b": (3, 4)}) == 24
    assert fad.tree.reduce(lambda a, b: a + b, [], 7) == 7
    with pytest.raises(TreeError, match="no leaves; pass a start value"):
        fad.tree.reduce(lambda a, b: a, {})


def test_transpose():
    assert fad.tree.transpose([0, 0], {"x": 0}, [{"x": 1}, {"x": 2}]) == {"x": [1, 2]}
    outer, inner = fad.tree.structure((0, 0, 0)), fad.tree.structure([0, 0])
    assert fad.tree.transpose(outer, inner, ([1, 2], [3, 4], [5, 6])) == [(1, 3, 5), (2, 4, 6)]
    with pytest.raises(TreeError, match="does not have the structure"):
        fad.tree.transpose([0], {"x": 0}, [{"y": 1}])


def test_registered_classes_go_through_transforms():
    gradient = fad.grad(lambda layer: (layer.weight**2).sum())(Layer(fnp.array([1.0, 2.0]), name="first"))
    assert isinstance(gradient, Layer)
    assert gradient.name == "first"
    np.testing.assert_allclose(gradient.weight, [2.0, 4.0])
    assert float(fad.grad(lambda p: p.base**p.power)(Power(2.0, 3)).base) == 12.0
    doubled = fad.jit(fad.vmap(lambda p: Pair(p.first * 2, p.second)))(Pair(fnp.arange(3.0), fnp.ones(3)))
    np.testing.assert_allclose(doubled.first, [0.0, 2.0, 4.0])


def test_static_fields_belong_to_the_structure():
    assert fad.tree.structure(Power(1.0, 2)) != fad.tree.structure(Power(1.0, 3))
    assert fad.tree.leaves(Layer(1.0, name="x")) == [1.0]


def test_dataclasses_are_rebuilt_without_validation():
    assert fad.tree.map(str, Layer(1.0)).weight == "1.0"


def test_registration_is_checked():
    with pytest.raises(TreeError, match="int is not a dataclass; put @register_dataclass above @dataclass"):
        fad.tree.register_dataclass(int)
    with pytest.raises(ArgumentError, match=r"static=\['b'\] names \['b'\], but One has the fields \['a'\]"):
        fad.tree.register_dataclass(dataclasses.make_dataclass("One", ["a"]), static=["b"])
    with pytest.raises(TreeError, match="cannot be registered"):
        fad.tree.register_node(Pair, lambda p: ((), None), lambda m, c: None)
    with pytest.raises(ArgumentError, match="takes a class"):
        fad.tree.register_node(Pair(1, 2), lambda p: ((), None), lambda m, c: None)


def test_unflatten_counts_leaves():
    with pytest.raises(TreeError, match="number of leaves"):
        fad.tree.unflatten(fad.tree.structure([0, 0]), [1.0])


class TestRavel:
    tree = {"w": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.float32(5.0), "n": np.array([6, 7]), "none": None}

    def test_there_and_back(self):
        flat, unravel = fad.tree.ravel(self.tree)
        np.testing.assert_array_equal(flat, [5, 6, 7, 1, 2, 3, 4])
        assert flat.dtype == np.float64
        back = unravel(flat)
        for name in ("w", "b", "n"):
            assert back[name].dtype == np.asarray(self.tree[name]).dtype
            np.testing.assert_array_equal(back[name], self.tree[name])

    def test_an_empty_tree(self):
        flat, unravel = fad.tree.ravel({})
        assert flat.shape == (0,)
        assert unravel(flat) == {}

    def test_both_ways_differentiate(self):
        def loss(tree):
            flat, unravel = fad.tree.ravel(tree)
            again = unravel(fnp.sin(flat))
            return (again["w"] * again["b"]).sum()

        fad.testing.check_grads(loss, ({"w": np.array([[1.0, 2.0]]), "b": 0.5},))

    def test_hessian_of_a_tree(self):
        flat, unravel = fad.tree.ravel({"a": 1.0, "b": 2.0})
        hessian = fad.hessian(lambda v: unravel(v)["a"] ** 2 * unravel(v)["b"])(flat)
        np.testing.assert_allclose(hessian, [[4.0, 2.0], [2.0, 0.0]])

    def test_under_jit_and_vmap(self):
        batch = {"a": np.arange(6.0).reshape(3, 2), "b": np.ones(3)}
        flat = fad.jit(fad.vmap(lambda t: fad.tree.ravel(t)[0]))(batch)
        np.testing.assert_array_equal(flat, [[0, 1, 1], [2, 3, 1], [4, 5, 1]])

    def test_errors(self):
        flat, unravel = fad.tree.ravel([1.0, 2.0])
        with pytest.raises(ShapeError, match=r"takes an array of shape \(2,\), got shape \(3,\)"):
            unravel(np.zeros(3))
        with pytest.raises(DTypeError, match="complex"):
            unravel(flat * 1j)
        with pytest.raises(DTypeError, match=r"the leaf tree\['name'\] is not an array"):
            fad.tree.ravel({"name": "text"})
