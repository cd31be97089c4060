"""scan, cond, switch, while_loop, fori_loop and associative_scan against plain Python loops, under every transform."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.testing import check_grads
from tests.transforms.functions import WRAPPERS

W = np.array([[0.5, -0.3, 0.1], [0.2, 0.4, -0.6], [-0.1, 0.3, 0.7]])
XS = np.array([[0.1, 0.2, 0.3], [-0.4, 0.5, 0.6], [0.7, -0.8, 0.9], [0.3, 0.1, -0.5]])


def cell(w):
    return lambda carry, x: (fnp.tanh(w @ carry + x), (carry * x).sum())


def scanned(w, c, xs, reverse=False):
    carry, ys = fad.scan(cell(w), c, xs, reverse=reverse)
    return carry.sum() + (ys**2).sum()


def looped(w, c, xs, reverse=False):
    total = 0.0
    for x in xs[::-1] if reverse else xs:
        c, y = cell(w)(c, x)
        total = total + y**2
    return c.sum() + total


def powers(x, n):
    """X ** n by a loop whose length is a value."""
    return fad.fori_loop(0, n, lambda i, y: y * x, 1.0)


def collatz(x):
    """Doubles x until it exceeds 10."""
    return fad.while_loop(lambda s: s[0] < 10.0, lambda s: (s[0] * 2.0, s[1] + s[0]), (x, 0.0))[1]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_scan_is_a_loop(wrapper, reverse):
    args = (W, XS[0], XS)
    wrapped = WRAPPERS[wrapper](lambda *a: scanned(*a, reverse=reverse))
    np.testing.assert_allclose(wrapped(*args), looped(*args, reverse=reverse), rtol=1e-12)
    expected = fad.grad(lambda *a: looped(*a, reverse=reverse), argnums=(0, 1, 2))(*args)
    for around in WRAPPERS.values():
        for seen, wanted in zip(around(fad.grad(wrapped, argnums=(0, 1, 2)))(*args), expected, strict=True):
            np.testing.assert_allclose(seen, wanted, rtol=1e-9, atol=1e-12)


def test_scan_passes_check_grads_to_third_order():
    check_grads(scanned, (W, XS[0], XS[:2]), order=3)
    check_grads(fad.jit(scanned), (W, XS[0], XS[:2]), order=2)


@pytest.mark.parametrize("in_axes", [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0), (None, None, 1)])
def test_vmap_of_scan(in_axes):
    def stacked(x, axis):
        return x if axis is None else np.stack([x, 0.5 * x], axis=axis)

    args = [stacked(a, k) for a, k in zip((W, XS[0], XS), in_axes, strict=True)]
    rows = [
        looped(*[a if k is None else np.take(a, i, axis=k) for a, k in zip(args, in_axes, strict=True)])
        for i in range(2)
    ]
    np.testing.assert_allclose(fad.vmap(scanned, in_axes=in_axes)(*args), rows, rtol=1e-12)


def test_scan_over_trees_without_xs_and_of_no_steps():
    def step(carry, x):
        return {"a": carry["a"] + x["p"], "n": carry["n"] + 1}, (x["p"] * x["q"][0], None)

    carry, (ys, nothing) = fad.scan(step, {"a": 0.0, "n": 0}, {"p": np.arange(3.0), "q": [np.ones(3)]})
    assert (float(carry["a"]), int(carry["n"]), ys.tolist(), nothing) == (3.0, 3, [0.0, 1.0, 2.0], None)
    doubled, ys = fad.scan(lambda c, _: (c * 2, c), 1, None, length=4)
    assert (int(doubled), ys.tolist()) == (16, [1, 2, 4, 8])
    carry, ys = fad.scan(cell(W), XS[0], np.zeros((0, 3)))
    np.testing.assert_array_equal(carry, XS[0])
    assert ys.shape == (0,)
    np.testing.assert_allclose(fad.grad(lambda c: fad.scan(cell(W), c, np.zeros((0, 3)))[0].sum())(XS[0]), np.ones(3))


def test_loops_take_the_unrolling_that_users_of_jax_ask_for():
    total, sums = fad.scan(lambda c, x: (c + x, c), 0.0, np.arange(4.0), unroll=2)
    assert (float(total), sums.tolist()) == (6.0, [0.0, 0.0, 1.0, 3.0])
    assert int(fad.fori_loop(0, 4, lambda i, c: c + i, 0, unroll=True)) == 6


def test_a_scan_closes_over_traced_values():
    def f(a):
        return fad.scan(lambda c, x: (c * a + x, c), a, np.arange(3.0))[0]

    check_grads(f, (0.7,), order=3)
    np.testing.assert_allclose(fad.vmap(fad.grad(f))(np.array([0.5, 0.7])), [fad.grad(f)(0.5), fad.grad(f)(0.7)])


@pytest.mark.parametrize("pred", [True, False])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_cond(wrapper, pred):
    def f(p, x):
        return fad.cond(p, lambda x: fnp.sin(x) * x, lambda x: x**3, x).sum()

    x = np.array([0.5, 1.5])
    slope = np.sin(x) + x * np.cos(x) if pred else 3 * x**2
    wrap = WRAPPERS[wrapper]
    np.testing.assert_allclose(wrap(fad.grad(wrap(f), argnums=1))(np.array(pred), x), slope, rtol=1e-12)
    check_grads(lambda x: fad.jit(f)(np.array(pred), x), (x,), order=2)


def test_vmap_of_cond_takes_each_examples_branch():
    x = np.array([-1.0, 2.0, 0.5])
    f = fad.vmap(lambda x: fad.cond(x > 0, lambda x: x**2, lambda x: -x, x))
    np.testing.assert_allclose(f(x), [1.0, 4.0, 0.25])
    np.testing.assert_allclose(fad.grad(lambda x: f(x).sum())(x), [-1.0, 4.0, 1.0])


def test_the_branch_not_taken_does_not_poison_the_gradient():
    f = fad.vmap(fad.grad(lambda x: fad.cond(x > 0, fnp.sqrt, lambda x: 0.0 * x, x)))
    np.testing.assert_allclose(f(np.array([4.0, 0.0, 1.0])), [0.25, 0.0, 0.5])


@pytest.mark.parametrize("index", range(-1, 4))
def test_switch_clamps_its_index(index):
    branches = [lambda x: x, lambda x: x**2, lambda x: x**3]
    chosen = min(max(index, 0), 2)
    f = fad.jit(lambda i, x: fad.switch(i, branches, x))
    assert float(f(index, 2.0)) == 2.0 ** (chosen + 1)
    assert float(fad.grad(f, argnums=1)(index, 2.0)) == (chosen + 1) * 2.0**chosen
    assert float(fad.switch(index, branches, 2.0)) == 2.0 ** (chosen + 1)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_while_loop_in_both_modes(wrapper):
    # 0.7 doubles four times: the sum is (1 + 2 + 4 + 8) x.
    wrap = WRAPPERS[wrapper]
    f = wrap(collatz)
    assert float(f(0.7)) == pytest.approx(10.5)
    assert float(wrap(fad.grad(f))(0.7)) == pytest.approx(15.0)
    assert float(fad.jvp(f, (0.7,), (1.0,))[1]) == pytest.approx(15.0)
    assert float(fad.grad(fad.grad(lambda x: f(x) ** 2))(0.7)) == pytest.approx(2 * 15.0**2)


def test_vmap_of_while_loop_runs_each_example_for_its_own_time():
    x = np.array([0.7, 3.0, 20.0])
    np.testing.assert_allclose(fad.vmap(collatz)(x), [collatz(v) for v in x])
    np.testing.assert_allclose(fad.vmap(fad.grad(collatz))(x), [15.0, 3.0, 0.0])
    np.testing.assert_allclose(fad.grad(lambda x: fad.vmap(collatz)(x).sum())(x), [15.0, 3.0, 0.0])


@pytest.mark.parametrize("wrapper", ["none", "jit", "checkpoint"])
def test_fori_loop_with_dynamic_bounds_in_both_modes(wrapper):
    f = WRAPPERS[wrapper](powers)
    for n in range(5):
        assert float(f(1.5, n)) == pytest.approx(1.5**n)
        slope = n * 1.5 ** (n - 1) if n else 0.0
        assert float(fad.grad(f)(1.5, n)) == pytest.approx(slope)
        assert float(fad.jvp(lambda x, n=n: f(x, n), (1.5,), (1.0,))[1]) == pytest.approx(slope)
    np.testing.assert_allclose(fad.vmap(fad.grad(powers))(np.full(3, 2.0), np.array([0, 2, 3])), [0.0, 4.0, 12.0])


def test_fori_loop_passes_its_index():
    assert float(fad.fori_loop(2, 5, lambda i, y: y + i, 0)) == 9
    assert float(fad.fori_loop(5, 2, lambda i, y: y + 1, 0)) == 0
    assert fad.jit(lambda n: fad.fori_loop(0, n, lambda i, y: y.at[i].set(i * 1.0), fnp.zeros(4)))(3).tolist() == [
        0,
        1,
        2,
        0,
    ]


def test_loops_inside_loops():
    def f(x):
        def outer(c, row):
            return fad.fori_loop(0, 2, lambda i, y: fnp.sin(y) * row.sum(), c), fad.cond(
                c.sum() > 0, lambda: c, lambda: -c
            )

        return fad.scan(outer, x, XS)[0].sum()

    check_grads(f, (np.array([0.3, -0.2]),), order=2)
    np.testing.assert_allclose(fad.jit(fad.grad(f))(XS[0, :2]), fad.grad(f)(XS[0, :2]), rtol=1e-10)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5, 8, 13])
def test_associative_scan(size, reverse):
    matrices = np.random.default_rng(0).normal(size=(size, 2, 2))
    seen = fad.associative_scan(lambda a, b: a @ b, matrices, reverse=reverse)
    expected, total = [], None
    for m in matrices[::-1] if reverse else matrices:
        total = m if total is None else total @ m
        expected.append(total)
    np.testing.assert_allclose(seen, expected[::-1] if reverse else expected, rtol=1e-10)
    check_grads(lambda m: fad.associative_scan(lambda a, b: a @ b, m, reverse=reverse), (matrices,), order=1)


def test_associative_scan_of_a_recurrence():
    a, b = np.linspace(0.1, 0.9, 6), np.arange(6.0)

    def f(a, b):
        return fad.associative_scan(lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1]), (a, b))[1]

    y, expected = 0.0, []
    for ai, bi in zip(a, b, strict=True):
        y = ai * y + bi
        expected.append(y)
    np.testing.assert_allclose(f(a, b), expected, rtol=1e-12)
    np.testing.assert_allclose(fad.jit(fad.vmap(f))(a[None], b[None])[0], expected, rtol=1e-12)
    check_grads(f, (a, b))


def _compose(p, q):
    """Two affine maps, which do not commute."""
    return p[0] * q[0], q[0] * p[1] + q[1]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [63, 64, 130])
def test_associative_scan_of_long_arrays_in_programs(size, reverse):
    rng = np.random.default_rng(size)
    a, b = rng.normal(size=(2, 3, size))

    def f(a, b):
        return fad.associative_scan(_compose, (a, b), reverse=reverse, axis=1)

    def loss(a, b):
        return fnp.sum(fnp.sin(f(a, b)[1]))

    for function in (f, fad.grad(loss, argnums=(0, 1)), lambda a, b: fad.jvp(f, (a, b), (b, a))):
        for seen, expected in zip(
            fad.tree.leaves(fad.jit(function)(a, b)), fad.tree.leaves(function(a, b)), strict=True
        ):
            np.testing.assert_allclose(seen, expected, rtol=1e-10, atol=1e-12)


def test_associative_scan_of_long_arrays_under_other_transforms():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 4, 70)) * 0.7

    def last(a, b):
        return fad.associative_scan(_compose, (a, b))[1][-1]

    np.testing.assert_allclose(fad.jit(fad.vmap(last))(a, b), fad.vmap(last)(a, b), rtol=1e-12)
    np.testing.assert_allclose(
        fad.jit(fad.hessian(last))(a[0], b[0]), fad.hessian(last)(a[0], b[0]), rtol=1e-9, atol=1e-12
    )
    blocks = rng.normal(size=(100, 2, 2)) * 0.8
    product = fad.jit(lambda m: fad.associative_scan(lambda p, q: p @ q, m)[-1])
    np.testing.assert_allclose(product(blocks), np.linalg.multi_dot(blocks), rtol=1e-10, atol=1e-20)


def test_associative_scan_whose_function_changes_types_in_a_program():
    x = np.arange(100)
    seen = fad.jit(lambda x: fad.associative_scan(lambda a, b: a + b * 1.0, x))(x)
    np.testing.assert_array_equal(seen, np.cumsum(x))
    assert seen.dtype == float


def test_associative_scan_of_long_arrays_is_little_code():
    def equations(size):
        program = fad.make_program(lambda a, b: fad.associative_scan(_compose, (a, b)))(np.ones(size), np.ones(size))
        return len(program.equations)

    assert equations(100_000) == equations(130)
