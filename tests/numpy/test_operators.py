"""Operators, methods and attributes of arrays, eager and traced, against NumPy."""

import copy
import operator
import pickle

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import (
    ArgumentError,
    ConcretizationError,
    DTypeError,
    FadError,
    ImmutableArrayError,
    IndexOutOfBoundsError,
    ShapeError,
)

X = np.array([[1.5, -2.0, 3.25], [0.5, 4.0, -1.0]])
N = np.array([[6, 5, 4], [3, 2, 1]])
BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, divmod]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
BITWISE = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


def check(got, expected):
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for g, e in zip(got, expected, strict=True):
            check(g, e)
        return
    assert isinstance(got, fad.Array)
    assert got.dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize("function", BINARY + COMPARISONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [2, 2.5, True, np.float32(1.5), np.array([2.0, 3.0, 0.5]), N], ids=repr)
def test_binary_operators_and_their_reflections(function, other):
    check(function(fad.Array(X), other), function(X, other))
    check(function(other, fad.Array(X)), function(other, X))
    check(function(fad.Array(X), fad.Array(np.asarray(other))), function(X, np.asarray(other)))


@pytest.mark.parametrize("function", BITWISE, ids=lambda f: f.__name__)
def test_bitwise_operators(function):
    check(function(fad.Array(N), 2), function(N, 2))
    check(function(2, fad.Array(N)), function(2, N))
    check(function(fad.Array(N), N), function(N, N))
    if function not in (operator.lshift, operator.rshift):
        check(function(fad.Array(N > 2), N < 5), function(N > 2, N < 5))


def test_unary_operators():
    for function in (operator.neg, operator.pos, abs):
        check(function(fad.Array(X)), function(X))
    check(~fad.Array(N), ~N)
    check(~fad.Array(N > 2), ~(N > 2))
    check(round(fad.Array(X), 1), X.round(1))
    check(round(fad.Array(X)), X.round())


@pytest.mark.parametrize(
    "exponent", [0, 1, 2, 3, 7, -1, -2, 0.5, 1.5, -0.5, 2.0, np.float64(3), np.array([1.0, 2.0, 0.5])], ids=repr
)
def test_powers_and_their_derivatives(exponent):
    x = np.abs(X)
    check(fad.Array(x) ** exponent, x**exponent)
    check(pow(fad.Array(x), exponent), x**exponent)
    expected = exponent * x ** (np.asarray(exponent) - 1.0)
    np.testing.assert_allclose(fad.grad(lambda v: (v**exponent).sum())(x), expected)
    np.testing.assert_allclose(fad.jvp(lambda v: v**exponent, (x,), (np.ones_like(x),))[1], expected)
    np.testing.assert_allclose(fad.jit(fad.grad(lambda v: (v**exponent).sum()))(x), expected)


def test_powers_at_the_edge():
    assert fad.grad(lambda x: x**2)(0.0) == 0
    assert fad.grad(lambda x: x**0)(0.0) == 0
    assert fad.grad(lambda x: x**1)(0.0) == 1
    assert fad.grad(lambda x: x**3)(-2.0) == 12
    assert fad.grad(fad.grad(lambda x: x**3))(-2.0) == -12
    assert fad.grad(lambda x: 2.0**x)(3.0) == 8 * np.log(2)
    check(fad.Array(N) ** 2, N**2)
    check(fad.Array(N) ** 3, N**3)
    check(2 ** fad.Array(N), 2**N)
    with pytest.raises(ArgumentError, match="modulo"):
        pow(fad.Array(N), 2, 3)


def test_matrix_product():
    check(fad.Array(X) @ X.T, X @ X.T)
    check(X @ fad.Array(X).T, X @ X.T)
    check(fad.Array(X) @ np.ones(3), X @ np.ones(3))
    with pytest.raises(ShapeError):
        fad.Array(X) @ X


def test_rebinding_makes_a_new_array():
    x = fad.Array(X)
    y = x
    y += 1
    y *= 2
    y -= X
    y /= 2
    y **= 2
    y @= np.ones((3, 3))
    np.testing.assert_allclose(y, (((X + 1) * 2 - X) / 2) ** 2 @ np.ones((3, 3)))
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize(
    "wrap", [lambda f, x: f(fad.Array(x)), lambda f, x: fad.grad(f)(x), lambda f, x: fad.jit(f)(x)]
)
def test_in_place_operators_of_numpy_arrays_are_refused(wrap):
    def f(x):
        total = np.zeros((2, 3))
        total += x
        return fnp.sum(total)

    with pytest.raises(ImmutableArrayError, match=r"a = a \+ x"):
        wrap(f, X)


def test_comparison_with_other_things():
    x = fad.Array([1.0])
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    assert (x == "a") is False
    with pytest.raises(TypeError):
        operator.lt(x, "a")
    with pytest.raises(DTypeError, match="got None where an array is needed"):
        x + None
    with pytest.raises(TypeError, match="unsupported operand"):
        x + object()


def test_bitwise_operators_of_floats_say_what_to_do():
    with pytest.raises(DTypeError, match=r"\(x > 0\) & \(y > 0\)"):
        fad.Array(X) & True
    with pytest.raises(DTypeError, match="integers and booleans"):
        1 | fad.Array(X)


def test_membership_and_iteration():
    x = fad.Array(X)
    assert 4.0 in x
    assert 17.0 not in x
    assert [row.shape for row in x] == [(3,), (3,)]
    np.testing.assert_array_equal(np.stack(list(x)), X)
    with pytest.raises(ShapeError, match="0-d"):
        iter(fad.Array(1.0))
    a, b = fad.Array([1.0, 2.0])
    assert (a, b) == (1.0, 2.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(),
        lambda x: x.sum(0),
        lambda x: x.sum(axis=1, keepdims=True),
        lambda x: x.mean(),
        lambda x: x.mean(axis=0),
        lambda x: x.std(),
        lambda x: x.std(0, ddof=1),
        lambda x: x.var(axis=1),
        lambda x: x.max(),
        lambda x: x.max(axis=0),
        lambda x: x.min(1),
        lambda x: x.argmax(),
        lambda x: x.argmax(axis=0),
        lambda x: x.argmin(1),
        lambda x: x.any(),
        lambda x: x.all(axis=0),
        lambda x: x.prod(),
        lambda x: x.prod(axis=1),
        lambda x: x.cumsum(),
        lambda x: x.cumsum(axis=0),
        lambda x: x.cumprod(1),
        lambda x: x.reshape(3, 2),
        lambda x: x.reshape((3, -1)),
        lambda x: x.reshape(-1),
        lambda x: x.reshape(3, 2, order="F"),
        lambda x: x.ravel(),
        lambda x: x.ravel("F"),
        lambda x: x.flatten(),
        lambda x: x.transpose(),
        lambda x: x.transpose(1, 0),
        lambda x: x.transpose((0, 1)),
        lambda x: x.T,
        lambda x: x.mT,
        lambda x: x.swapaxes(0, 1),
        lambda x: x[None].squeeze(),
        lambda x: x[None].squeeze(axis=0),
        lambda x: x.clip(-1, 1),
        lambda x: x.clip(min=0),
        lambda x: x.clip(max=1.0),
        lambda x: x.dot(np.ones(3)),
        lambda x: x.trace(),
        lambda x: x.trace(offset=1),
        lambda x: x.diagonal(),
        lambda x: x.diagonal(offset=1),
        lambda x: x.take([0, 2]),
        lambda x: x.take([0, 2], axis=1),
        lambda x: x.repeat(2),
        lambda x: x.repeat([1, 2], axis=0),
        lambda x: x.round(),
        lambda x: x.round(1),
        lambda x: x.astype("float32"),
        lambda x: x.astype(int),
        lambda x: x.real,
        lambda x: x.imag,
        lambda x: x.conj(),
        lambda x: x.conjugate(),
        lambda x: x.argsort(),
        lambda x: x.argsort(axis=0),
        lambda x: x.nonzero(),
        lambda x: np.sort(x[0]).searchsorted(1.0),
        lambda x: x.copy(),
        lambda x: x.flat if isinstance(x, fad.Array) else x.ravel(),
        lambda x: x.compress([True, False], axis=0),
    ],
)
def test_methods_are_numpys(call):
    check(call(fad.Array(X)), call(X))


def test_methods_on_traced_values():
    f = lambda x: x.trace() * x.var() + x.T.sum() + x.max(axis=0).prod()  # noqa: E731
    value, slope = fad.jvp(f, (X,), (np.ones_like(X),))
    np.testing.assert_allclose(value, f(X))
    np.testing.assert_allclose(slope, fad.grad(f)(X).sum())
    np.testing.assert_allclose(fad.jit(f)(X), f(X))
    np.testing.assert_allclose(fad.vmap(f)(np.stack([X, 2 * X])), [f(X), f(2 * X)])


@pytest.mark.parametrize("name", ["sort", "partition", "fill", "put", "itemset", "resize", "setflags", "setfield"])
def test_methods_that_write_are_refused(name):
    with pytest.raises(ImmutableArrayError, match=rf"x\.{name}\(\).*Instead"):
        getattr(fad.Array(X), name)(0)
    with pytest.raises(ImmutableArrayError, match="immutable"):
        fad.grad(lambda x: getattr(x, name)(0))(X)


def test_unknown_attributes():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fad.Array(X).nothing  # noqa: B018
    assert not hasattr(fad.Array(X), "sin")
    with pytest.raises(AttributeError):
        fad.Array(X).shape = (6,)


def test_array_namespace():
    assert fad.Array(X).__array_namespace__() is fnp
    assert fad.Array(X).__array_namespace__(api_version="2023.12") is fnp
    with pytest.raises(ArgumentError, match="api_version"):
        fad.Array(X).__array_namespace__(api_version="1999.01")
    assert fad.Array(X).to_device("cpu").device == "cpu"
    with pytest.raises(ArgumentError, match="unknown device"):
        fad.Array(X).to_device("tpu")


def test_conversion_to_python_numbers():
    assert (int(fad.Array(3.7)), float(fad.Array(2)), complex(fad.Array(1.0)), bool(fad.Array(0.0))) == (
        3,
        2.0,
        1 + 0j,
        False,
    )
    assert [10, 20, 30][fad.Array(1)] == 20
    for convert in (int, float, complex, lambda x: x.item(), lambda x: x.tolist(), operator.index):
        with pytest.raises(ConcretizationError, match="concrete value"):
            fad.grad(lambda x, c=convert: x * c(x))(2.0)


def test_copying_and_pickling():
    x = fad.Array(X)
    assert copy.copy(x) is x
    assert copy.deepcopy([x])[0] is x
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(x)), X)


def test_out_of_bounds_is_an_index_error():
    with pytest.raises(IndexError):
        fad.Array(X)[7]
    assert issubclass(IndexOutOfBoundsError, FadError)
