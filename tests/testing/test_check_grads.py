"""`check_grads` passes what is right, and says what is wrong with what is not."""

import numpy as np
import pytest
from hypothesis import given

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError
from fad.testing import CheckError, arrays, check_grads, keys, pytrees


def wrong_rule(slope, backward=True):
    """Sin with a derivative that is off by a factor, in one of the modes."""

    @fad.custom_vjp
    def f(x):
        return fnp.sin(x)

    factor = slope if backward else 1.0
    f.defvjp(lambda x: (fnp.sin(x), x), lambda x, ct: (factor * ct * fnp.cos(x),))
    f.defjvp(lambda p, t: (fnp.sin(p[0]), (1.0 if backward else slope) * fnp.cos(p[0]) * t[0]))
    return f


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_every_precision_passes(dtype):
    x = np.array([0.3, -0.7, 1.1]).astype(dtype)
    check_grads(lambda x: fnp.sin(x) * x, (x,))


def test_third_order():
    check_grads(lambda x, y: fnp.exp(x) / (2.0 + y * y), (0.5, np.array([1.0, 2.0])), order=3)


def test_pytrees_with_integers_and_none():
    args = ({"w": np.ones((2, 3)), "n": 3, "nothing": None}, [np.array([1.0, 2.0])])
    check_grads(lambda p, xs: (p["w"].sum() * xs[0] ** p["n"], {"aux": p["n"]}), args)


def test_real_functions_of_complex_numbers():
    check_grads(lambda z: (fnp.abs(z) ** 2, fnp.real(z) * fnp.conj(z)), (np.array([1 + 2j, -0.5j]),))


def test_a_wrong_reverse_rule_is_named():
    with pytest.raises(CheckError, match=r"rev \(order 1\): the gradient .*does not agree"):
        check_grads(wrong_rule(1.001), (np.array([0.5, 1.0]),), order=1)


def test_a_wrong_forward_rule_is_named_with_the_leaf():
    with pytest.raises(
        CheckError, match=r"fwd \(order 1\): .*fad's .* the numerical .*with respect to argument 0\['b'\]"
    ):
        check_grads(lambda p: p["a"] * wrong_rule(1.001, backward=False)(p["b"]), ({"a": 2.0, "b": 0.5},), order=1)


def test_a_reverse_only_check_says_which_leaf():
    f = wrong_rule(0.9)
    with pytest.raises(CheckError, match="with respect to argument 1 does not agree with finite differences"):
        check_grads(lambda a, b: a * f(b), (2.0, 0.5), order=1, modes=("rev",))


def test_a_wrong_second_derivative_is_found_at_order_two_only():
    @fad.custom_jvp
    def f(x):
        return x**3

    # The slope has the right value and a wrong derivative.
    f.defjvp(lambda p, t: (f(p[0]), 3.0 * p[0] * fad.stop_gradient(p[0]) * t[0]))
    check_grads(f, (1.5,), order=1)
    with pytest.raises(CheckError, match=r"fwd of fwd \(order 2\)"):
        check_grads(f, (1.5,), order=2)


def test_tolerances_are_the_callers():
    f = wrong_rule(1.001)
    check_grads(f, (0.5,), order=1, modes=("rev",), rtol=1e-2, atol=1e-2)
    with pytest.raises(CheckError, match="allowed is"):
        check_grads(f, (0.5,), order=1, modes=("rev",), rtol=1e-5, atol=1e-5)


def test_a_point_outside_the_domain_is_refused():
    with pytest.raises(CheckError, match="not finite at the given point"):
        check_grads(fnp.log, (np.array([-1.0]),))
    with pytest.raises(CheckError, match="left the function's domain. Pass a smaller eps"):
        check_grads(fnp.log, (np.array([1e-5]),))
    check_grads(fnp.log, (np.array([1e-5]),), eps=1e-8, order=1, rtol=1e-4)


def test_a_kink_is_no_derivative():
    with pytest.raises(CheckError, match="order 1"):
        check_grads(lambda x: fnp.where(x > 0, x, 0.0), (np.array([0.0]),))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_grads(3.0, (1.0,)), "takes a function"),
        (lambda: check_grads(fnp.sin, np.ones(2)), r"args must be a tuple .*write \(x,\)"),
        (lambda: check_grads(fnp.sin, (1.0,), modes=("forward",)), "modes must be drawn from 'fwd' and 'rev'"),
        (lambda: check_grads(fnp.sin, (1.0,), order=0), "order must be at least 1"),
        (lambda: check_grads(fnp.sin, (1,)), "no argument has floating-point leaves"),
        (lambda: check_grads(lambda x: 3, (1.0,)), "no floating-point result"),
    ],
)
def test_options_are_checked(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


@given(arrays(shape=(3,)))
def test_a_property_in_three_lines(x):
    check_grads(lambda x: fnp.tanh(x).sum() ** 2, (x,))


@given(pytrees(max_leaves=3))
def test_gradients_have_the_structure_of_their_tree(tree):
    gradient = fad.grad(lambda t: sum((x * x).sum() for x in fad.tree.leaves(t)))(tree)
    assert fad.tree.structure(gradient) == fad.tree.structure(tree)
    for g, x in zip(fad.tree.leaves(gradient), fad.tree.leaves(tree), strict=True):
        np.testing.assert_array_equal(g, 2 * np.asarray(x))


def test_keys_split():
    @given(keys())
    def halves_differ(key):
        a, b = fad.random.split(key)
        assert float(fad.random.uniform(a)) != float(fad.random.uniform(b))

    halves_differ()


@pytest.mark.parametrize(
    "dtype", ["bool", "int32", "uint8", "float16", "float32", "float64", "complex64", "complex128"]
)
def test_arrays_have_the_dtype_and_range(dtype):
    @given(arrays(dtype=dtype, low=-1, high=1))
    def inside(x):
        assert isinstance(x, fad.Array)
        assert x.dtype == np.dtype(dtype)
        assert x.ndim <= 3
        parts = np.asarray(x)
        assert np.all(np.abs(parts.real) <= 1)

    inside()


def test_special_values_appear():
    seen = set()

    @given(arrays(shape=(4,), special_values=True))
    def look(x):
        values = np.asarray(x)
        seen.update(name for name, test in (("nan", np.isnan), ("inf", np.isinf)) if test(values).any())

    look()
    assert seen == {"nan", "inf"}


def test_strategies_check_their_options():
    with pytest.raises(ArgumentError, match="low=2 exceeds high=1"):
        arrays(low=2, high=1)
    with pytest.raises(fad.errors.DTypeError, match="special_values needs a floating dtype, got int64"):
        arrays(dtype="int64", special_values=True)


def test_without_hypothesis_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "hypothesis.strategies", None)
    for strategy in (arrays, pytrees, keys):
        with pytest.raises(fad.errors.MissingPackageError, match="pip install hypothesis"):
            strategy()
