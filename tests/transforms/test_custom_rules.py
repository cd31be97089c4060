"""custom_jvp, custom_vjp, both together, stop_gradient; and what checkpoint's policies keep."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, NonDifferentiableError, ShapeError, TreeError


def marked(kind):
    """Sin whose rules multiply the slope by 10 (forward) or 100 (reverse), so that one sees which was used."""
    f = (fad.custom_jvp if kind == "jvp" else fad.custom_vjp)(fnp.sin)
    if kind in ("jvp", "both"):
        f.defjvp(lambda p, t: (fnp.sin(p[0]), 10.0 * fnp.cos(p[0]) * t[0]))
    if kind in ("vjp", "both"):
        f.defvjp(lambda x: (fnp.sin(x), x), lambda x, ct: (100.0 * fnp.cos(x) * ct,))
    return f


EXPECTED = {"jvp": (10.0, 10.0), "vjp": (100.0, 100.0), "both": (10.0, 100.0)}
WAYS = {"none": lambda f: f, "jit": fad.jit, "checkpoint": fad.checkpoint}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", EXPECTED)
def test_each_mode_uses_its_rule_or_the_transpose_of_the_other(kind, way):
    forward, reverse = EXPECTED[kind]
    f, wrap = marked(kind), WAYS[way]
    x = 0.5
    assert float(wrap(f)(x)) == pytest.approx(np.sin(x))
    assert float(wrap(fad.grad(f))(x)) == pytest.approx(reverse * np.cos(x))
    assert float(fad.jvp(wrap(f), (x,), (1.0,))[1]) == pytest.approx(forward * np.cos(x))
    assert float(fad.grad(wrap(f))(x)) == pytest.approx(reverse * np.cos(x))
    xs = np.array([0.5, 1.0])
    np.testing.assert_allclose(fad.vmap(fad.grad(wrap(f)))(xs), reverse * np.cos(xs))
    np.testing.assert_allclose(fad.grad(lambda x: fad.vmap(wrap(f))(x).sum())(xs), reverse * np.cos(xs))
    np.testing.assert_allclose(fad.jvp(fad.vmap(f), (xs,), (np.ones(2),))[1], forward * np.cos(xs))


@pytest.mark.parametrize("kind", EXPECTED)
def test_second_derivatives_differentiate_the_rules(kind):
    _, reverse = EXPECTED[kind]
    f = marked(kind)
    assert float(fad.grad(fad.grad(f))(0.5)) == pytest.approx(-reverse * np.sin(0.5))


@pytest.mark.parametrize("make", [fad.custom_jvp, fad.custom_vjp])
def test_trees_and_arguments_without_derivative(make):
    @make
    def f(params, n, x):
        return {"y": params["w"] * x**n}

    if make is fad.custom_jvp:
        f.defjvp(lambda p, t: (f(*p), {"y": t[0]["w"] * p[2] ** p[1] + p[0]["w"] * p[1] * p[2] ** (p[1] - 1) * t[2]}))
    else:
        f.defvjp(
            lambda params, n, x: (f(params, n, x), (params, n, x)),
            lambda r, ct: ({"w": ct["y"] * r[2] ** r[1]}, None, ct["y"] * r[0]["w"] * r[1] * r[2] ** (r[1] - 1)),
        )
    gradient = fad.grad(lambda p, x: f(p, 3, x)["y"], argnums=(0, 1))({"w": 2.0}, 1.5)
    assert float(gradient[0]["w"]) == pytest.approx(1.5**3)
    assert float(gradient[1]) == pytest.approx(2.0 * 3 * 1.5**2)


def test_nondiff_argnums_may_be_functions():
    @fad.custom_vjp
    def plain(x):
        return x

    f = fad.custom_vjp(lambda g, x: g(x), nondiff_argnums=(0,))
    f.defvjp(lambda g, x: (g(x), x), lambda g, x, ct: (7.0 * ct,))
    assert float(fad.grad(lambda x: f(fnp.sin, x))(1.0)) == 7.0
    assert "plain" in repr(plain)


def test_rules_that_do_not_fit_are_explained():
    x = np.ones(2)
    f = fad.custom_vjp(lambda x: x * 2.0)
    f.defvjp(lambda x: (x * 2.0, None), lambda r, ct: (ct, ct))
    with pytest.raises(TreeError, match=r"must return one cotangent per argument \(1\), got 2"):
        fad.grad(lambda x: f(x).sum())(x)
    f.defvjp(lambda x: (x * 2.0, None), lambda r, ct: (ct.sum(),))
    with pytest.raises(ShapeError, match=r"a cotangent float64\[\] for an argument float64\[2\]"):
        fad.grad(lambda x: f(x).sum())(x)
    f.defvjp(lambda x: x * 2.0, lambda r, ct: (ct,))
    with pytest.raises(TreeError, match=r"the forward rule of .* must return \(out, residuals\)"):
        fad.grad(lambda x: f(x).sum())(x)
    g = fad.custom_jvp(lambda x: x)
    with pytest.raises(NonDifferentiableError, match="has no rule yet"):
        fad.grad(g)(1.0)
    g.defjvp(lambda p, t: p[0])
    with pytest.raises(TreeError, match=r"must return \(out, tangent_out\)"):
        fad.jvp(g, (1.0,), (1.0,))
    g.defjvp(lambda p, t: (p[0], t[0][None]))
    with pytest.raises(ShapeError, match=r"a tangent float64\[1\] for a result float64\[\]"):
        fad.jvp(g, (1.0,), (1.0,))
    with pytest.raises(ArgumentError, match="takes positional arguments only"):
        g(x=1.0)


def test_closing_over_a_differentiated_value_is_refused_under_jit():
    def outer(a):
        f = fad.custom_vjp(lambda x: x * a)
        f.defvjp(lambda x: (x * 2.0, None), lambda r, ct: (ct,))
        return fad.jit(f)(1.0)

    with pytest.raises(NonDifferentiableError, match="closes over a value that is being differentiated"):
        fad.grad(outer)(3.0)


def test_stop_gradient_of_trees():
    tree = {"a": 2.0, "b": [np.array([1.0, 3.0])]}
    stopped = fad.grad(lambda t: fad.stop_gradient(t)["a"] * t["a"] + fad.stop_gradient(t)["b"][0].sum())(tree)
    assert float(stopped["a"]) == 2.0
    np.testing.assert_array_equal(stopped["b"][0], [0.0, 0.0])
    assert float(fad.jvp(lambda x: fad.stop_gradient(x) * 2.0, (1.0,), (1.0,))[1]) == 0.0
    assert float(fad.jit(fad.grad(lambda x: x * fad.stop_gradient(x)))(3.0)) == 3.0


def kept_bytes(f, x):
    return fad.debug.memory(f)(x).residuals


def test_policies_decide_what_checkpoint_keeps():
    w = np.ones((50, 50))

    def f(x):
        hidden = fad.checkpoint_name(fnp.sin(x @ w), "hidden")
        return fnp.sin(fnp.cos(hidden) @ w).sum()

    x = np.full((50, 50), 0.01)
    expected = fad.grad(f)(x)
    everything = kept_bytes(f, x)
    policies = [None, fad.save_nothing, fad.save_names("hidden"), fad.save_contractions]
    kept = [kept_bytes(fad.checkpoint(f, policy=p), x) for p in policies]
    for policy in policies:
        np.testing.assert_allclose(fad.grad(fad.checkpoint(f, policy=policy))(x), expected, rtol=1e-12)
    array = 50 * 50 * 8
    assert kept[0] == kept[1]
    assert kept[1] + array <= kept[2] < everything
    assert kept[3] == kept[1] + 2 * array


def test_checkpoint_policy_is_checked():
    with pytest.raises(ArgumentError, match="policy must be a function"):
        fad.checkpoint(fnp.sin, policy="dots")


def test_a_rule_that_forgets_its_tangent_is_refused_in_reverse_mode():
    @fad.custom_jvp
    def f(x):
        return fnp.sin(x)

    f.defjvp(lambda p, t: (fnp.sin(p[0]), fnp.cos(p[0])))
    for derivative in (fad.grad(f), fad.grad(fad.grad(f)), fad.grad(lambda x: f(x * fnp.ones(3)).sum())):
        with pytest.raises(ArgumentError, match=r"the jvp rule of f must be linear in the tangents.*gives 0\.87758"):
            derivative(0.5)


def test_a_backward_rule_that_adds_something_is_refused_in_forward_mode():
    @fad.custom_vjp
    def f(x):
        return fnp.sin(x)

    f.defvjp(lambda x: (fnp.sin(x), x), lambda x, ct: (fnp.cos(x) * ct + 2.0,))
    with pytest.raises(ArgumentError, match=r"the backward rule of f must be linear in the cotangents.*gives 2\.0"):
        fad.jvp(f, (0.5,), (1.0,))
    assert float(fad.grad(f)(0.0)) == 3.0


def test_a_rule_whose_derivative_is_infinite_passes_the_test_of_linearity():
    @fad.custom_jvp
    def root(x):
        return fnp.sqrt(x)

    root.defjvp(lambda p, t: (fnp.sqrt(p[0]), t[0] * fnp.asarray(np.inf)))
    with np.errstate(invalid="ignore"):
        assert float(fad.grad(root)(0.0)) == np.inf
