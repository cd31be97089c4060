"""Products of arrays: values, dtypes and refusals against NumPy, derivatives against differences, in every mode."""

import itertools

import ml_dtypes
import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DTypeError, ImmutableArrayError, ShapeError
from fad.testing import check_grads

MATMUL_SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((4, 1, 2, 3), (5, 3, 2)),
    ((1, 1, 2, 3), (1, 3, 2)),
    ((6, 1, 5, 2, 3), (4, 5, 3, 2)),
    ((1, 2, 3), (4, 1, 3, 2)),
    ((2, 0), (0, 3)),
    ((0, 2, 3), (3, 2)),
]
EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ba", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iji->j", (3, 2, 3)),
    ("iiii->i", (2, 2, 2, 2)),
    ("ij->", (2, 3)),
    ("ijk->kij", (2, 3, 4)),
    ("i,j->ij", (2,), (3,)),
    ("ij,ij->ij", (2, 3), (2, 3)),
    ("i,->i", (3,), ()),
    (",->", (), ()),
    ("ij,k->", (2, 3), (4,)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)),
    ("...i->...", (2, 3, 4)),
    ("a...,b...->...ab", (2, 3), (4, 3)),
    ("...,...", (2, 3), (3,)),
    ("ij,jk", (2, 1), (3, 4)),
    ("ni,ij,nj->n", (5, 3), (3, 3), (5, 3)),
    ("abc,cd,bde,e->ae", (2, 3, 4), (4, 5), (3, 5, 6), (6,)),
    ("iij,jkk->ik", (3, 3, 4), (4, 2, 2)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("i,i,i->i", (3,), (3,), (3,)),
    ("i,i,i", (3,), (3,), (3,)),
]


def draw(*shapes, dtype="float64", seed=0):
    generator = np.random.default_rng(seed)
    drawn = [generator.normal(size=s) for s in shapes]
    if np.dtype(dtype).kind == "c":
        drawn = [d + 1j * generator.normal(size=d.shape) for d in drawn]
    return [d.astype(dtype) for d in drawn]


def assert_same(found, expected, rtol=1e-12):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def check_modes(function, args):
    """Derivatives to second order, and agreement of eager, staged and mapped calls."""
    check_grads(function, args)
    value = function(*args)
    assert_same(fad.jit(function)(*args), value)
    stacked = [np.stack([a, 2 * a]) for a in args]
    expected = np.stack([np.asarray(function(*args)), np.asarray(function(*[2 * a for a in args]))])
    assert_same(fad.vmap(function)(*stacked), expected, 1e-11)
    first_only = fad.vmap(function, in_axes=(0, *[None] * (len(args) - 1)))(stacked[0], *args[1:])
    assert_same(first_only, np.stack([np.asarray(function(a, *args[1:])) for a in stacked[0]]), 1e-11)


@pytest.mark.parametrize("shapes", MATMUL_SHAPES, ids=str)
def test_matmul(shapes):
    x, y = draw(*shapes)
    assert_same(fnp.matmul(x, y), np.matmul(x, y))
    check_modes(fnp.matmul, (x, y))


@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128", "int64", "bool", "uint8"])
def test_matmul_keeps_dtypes(dtype):
    x, y = (np.asarray(d * 3).astype(dtype) for d in draw((2, 3), (3, 4)))
    assert_same(fnp.matmul(x, y), np.matmul(x, y), 1e-5)
    assert_same(fnp.matmul(x, y.real.astype("float64")), np.matmul(x, y.real.astype("float64")), 1e-5)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_short_floats_are_multiplied_in_float32(dtype):
    x, y = (d.astype(dtype) for d in draw((8, 300), (300, 8)))
    found = fnp.matmul(x, y)
    assert found.dtype == dtype
    exact = x.astype(np.float64) @ y.astype(np.float64)
    rounded = (x.astype(np.float32) @ y.astype(np.float32)).astype(dtype)
    np.testing.assert_array_equal(np.asarray(found).astype(np.float64), rounded.astype(np.float64))
    np.testing.assert_allclose(np.asarray(found).astype(np.float64), exact, rtol=1e-2, atol=0.1)


_INEXACT = ("float32", "float64", "complex64", "float16")
_BFLOAT16 = ml_dtypes.bfloat16
_PAIRS = [
    *itertools.product(_INEXACT, (*_INEXACT, "int64")),
    ("int64", "float32"),
    (_BFLOAT16, _BFLOAT16),
    (_BFLOAT16, "float32"),
]


@pytest.mark.parametrize(("first", "second"), _PAIRS)
def test_cotangents_of_matrices_have_their_dtypes(first, second):
    def is_inexact(array):
        return array.dtype.kind != "i"

    x, y = (
        np.asarray(d * 3).astype(np.float32).astype(t)
        for d, t in zip(draw((4, 3), (3, 5)), (first, second), strict=True)
    )
    out = fnp.matmul(x, y)
    (weights,) = (np.asarray(d).astype(np.float32).astype(out.dtype) for d in draw((4, 5)))
    wide = [np.asarray(a).astype("complex128" if a.dtype.kind == "c" else "float64") for a in (x, y, weights)]
    expected = [wide[2] @ wide[1].T, wide[0].T @ wide[2]]
    for argnums in ((0,), (1,), (0, 1)):
        if not all(is_inexact((x, y)[k]) for k in argnums):
            continue

        def product(*chosen, argnums=argnums):
            arguments = [x, y]
            for k, value in zip(argnums, chosen, strict=True):
                arguments[k] = value
            return fnp.matmul(*arguments)

        found = fad.vjp(product, *[(x, y)[k] for k in argnums])[1](weights)
        for k, cotangent in zip(argnums, found, strict=True):
            assert cotangent.dtype == (x, y)[k].dtype
            half = any(a.dtype.itemsize == 2 for a in (x, y, out))
            wanted = expected[k] if cotangent.dtype.kind == "c" else expected[k].real
            np.testing.assert_allclose(
                np.asarray(cotangent).astype(wanted.dtype),
                wanted,
                rtol=5e-2 if half else 1e-5,
                atol=0.2 if half else 1e-5,
            )


def test_the_gradient_of_a_product_is_two_products():
    program = fad.make_program(fad.grad(lambda w, x: (x @ w).sum()))(np.ones((3, 2)), np.ones((4, 3)))
    names = [e.primitive.name for e in program.equations]
    assert names.count("dot_general") == 1
    assert "transpose" not in names


@pytest.mark.parametrize(("subscripts", "shapes"), [(s, shapes) for s, *shapes in EINSUMS], ids=[e[0] for e in EINSUMS])
def test_einsum(subscripts, shapes):
    arrays = draw(*shapes)
    assert_same(fnp.einsum(subscripts, *arrays), np.einsum(subscripts, *arrays), 1e-11)
    check_modes(lambda *xs: fnp.einsum(subscripts, *xs), arrays)


def test_einsum_forms_and_options():
    x, y, z = draw((3, 4), (4, 5), (5, 2))
    assert_same(fnp.einsum(x, [0, 1], y, [1, 2], [0, 2]), x @ y)
    assert_same(fnp.einsum(x, [0, 1], y, [1, 2]), x @ y)
    assert_same(fnp.einsum(x, [..., 0], y, [0, 1], [..., 1]), x @ y)
    assert_same(fnp.einsum("ab , bc -> ac", x, y, dtype="float32"), (x @ y).astype("float32"), 1e-5)
    path = fnp.einsum_path("ab,bc,cd->ad", x, y, z)[0]
    for optimize in (True, False, "greedy", "optimal", path):
        assert_same(fnp.einsum("ab,bc,cd->ad", x, y, z, optimize=optimize), x @ y @ z)
    assert path == np.einsum_path("ab,bc,cd->ad", x, y, z)[0]


def test_einsum_chooses_a_cheap_order():
    program = fad.make_program(lambda a, b, v: fnp.einsum("ij,jk,k->i", a, b, v))(
        np.ones((30, 30)), np.ones((30, 30)), np.ones(30)
    )
    assert all(len(v.aval.shape) == 1 for e in program.equations for v in e.outputs)


@pytest.mark.parametrize("name", ["dot", "inner", "outer", "vdot", "kron"])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_dot_and_its_kin(name, dtype):
    shapes = {"dot": ((2, 3), (4, 3, 2)), "inner": ((2, 3), (4, 3))}.get(name, ((2, 3), (3, 2)))
    x, y = draw(*shapes, dtype=dtype)
    assert_same(getattr(fnp, name)(x, y), getattr(np, name)(x, y))
    check_modes(getattr(fnp, name), (x, y))


def test_products_with_numbers():
    (x,) = draw((2, 3))
    for name in ("dot", "inner"):
        assert_same(getattr(fnp, name)(2.0, x), getattr(np, name)(2.0, x))
    assert_same(fnp.vdot(2j, 3j), np.vdot(2j, 3j))


@pytest.mark.parametrize(
    ("axes", "shapes"),
    [
        (0, ((2, 3), (4,))),
        (1, ((5, 2, 3), (3, 4))),
        (2, ((5, 3, 4), (3, 4, 2))),
        ((0, 1), ((3, 2), (4, 3))),
        (([2, 0], [1, 2]), ((4, 3, 2), (5, 2, 4))),
        (((-1,), (-2,)), ((2, 3), (3, 3, 2))),
    ],
    ids=str,
)
def test_tensordot(axes, shapes):
    x, y = draw(*shapes)
    assert_same(fnp.tensordot(x, y, axes), np.tensordot(x, y, axes))
    check_modes(lambda a, b: fnp.tensordot(a, b, axes), (x, y))


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("matvec", ((2, 4, 3), (3,))),
        ("vecmat", ((2, 3), (2, 3, 4))),
        ("vecdot", ((2, 3), (3,))),
        ("vecdot", ((3,), (3,))),
    ],
)
def test_vector_products(name, shapes, dtype):
    x, y = draw(*shapes, dtype=dtype)
    expected = {
        "matvec": lambda: np.einsum("...ij,...j->...i", x, y),
        "vecmat": lambda: np.einsum("...j,...ji->...i", x.conj(), y),
        "vecdot": lambda: np.einsum("...j,...j->...", x.conj(), y),
    }[name]()
    assert_same(getattr(fnp, name)(x, y), expected)
    check_modes(getattr(fnp, name), (x, y))


def test_vecdot_axis():
    x, y = draw((3, 2), (3, 1))
    assert_same(fnp.vecdot(x, y, axis=0), (x * y).sum(0))


def test_cross():
    x, y = draw((4, 3), (3,))
    assert_same(fnp.cross(x, y), np.cross(x, y))
    a, b = draw((3, 4), (4, 3))
    assert_same(fnp.cross(a, b, axisa=0, axisb=1, axisc=0), np.cross(a, b, axisa=0, axisb=1, axisc=0))
    check_modes(fnp.cross, (x, y))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: fnp.matmul(x, x), ShapeError, ["(3, 4)", "equal sizes"]),
        (lambda x: fnp.matmul(2.0, x), ShapeError, ["at least one axis", "use *"]),
        (lambda x: fnp.matmul(np.ones((2, 3, 4)), np.ones((3, 4, 5))), ShapeError, ["stack axes", "broadcast"]),
        (lambda x: fnp.matmul(x, x.T, out=x), ImmutableArrayError, ["out=", "immutable"]),
        (lambda x: fnp.dot(x, x), ShapeError, ["(3, 4)"]),
        (lambda x: fnp.inner(x, x.T), ShapeError, ["contracted"]),
        (lambda x: fnp.vdot(x, x[0]), ShapeError, ["12", "4"]),
        (lambda x: fnp.vecdot(x, x.T), ShapeError, ["sizes 4 and 3"]),
        (lambda x: fnp.matvec(x[0], x), ShapeError, ["at least 2"]),
        (lambda x: fnp.cross(x, x), ShapeError, ["3 elements"]),
        (lambda x: fnp.tensordot(x, x, 5), ShapeError, ["axes=5"]),
        (lambda x: fnp.tensordot(x, x, "ab"), ArgumentError, ["axes must be"]),
        (lambda x: fnp.tensordot(x, x, ((0, 0), (0, 1))), ShapeError, ["twice"]),
        (lambda x: fnp.einsum("ij,jk", x, x), ShapeError, ["'j'", "4 and 3"]),
        (lambda x: fnp.einsum("ijk", x), ShapeError, ["'ijk'", "3 axes"]),
        (lambda x: fnp.einsum("ij->iij", x), ArgumentError, ["once"]),
        (lambda x: fnp.einsum("ij->ik", x), ArgumentError, ["only labels"]),
        (lambda x: fnp.einsum("i1", x), ArgumentError, ["letters"]),
        (lambda x: fnp.einsum("ij,jk", x), ArgumentError, ["2 terms for 1"]),
        (lambda x: fnp.einsum(), ArgumentError, ["at least one"]),
        (lambda x: fnp.matmul(x, "no"), DTypeError, ["matmul"]),
    ],
)
def test_refusals_teach(call, error, words):
    with pytest.raises(error) as caught:
        call(draw((3, 4))[0])
    for word in words:
        assert word in str(caught.value)
