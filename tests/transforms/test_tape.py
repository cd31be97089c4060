"""Long tapes, deep nesting, and memory that goes as soon as it can."""

import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

import fad
import fad.numpy as fnp


def test_a_million_operations():
    count = 1_000_000
    limit = sys.getrecursionlimit()

    def f(x):
        for _ in range(count):
            x = -x
        return x

    assert float(fad.grad(f)(1.0)) == 1.0
    assert sys.getrecursionlimit() == limit


def test_a_long_tape_in_forward_mode_and_through_vjp():
    def f(x):
        for _ in range(20_000):
            x = x * 1.0001
        return x

    slope = 1.0001**20_000
    assert float(fad.jvp(f, (1.0,), (1.0,))[1]) == pytest.approx(slope, rel=1e-9)
    assert float(fad.vjp(f, 1.0)[1](1.0)[0]) == pytest.approx(slope, rel=1e-9)


def test_a_long_staged_program():
    def f(x):
        for _ in range(3000):
            x = fnp.sin(x)
        return x

    assert float(fad.grad(fad.checkpoint(f))(1.0)) == pytest.approx(float(fad.grad(f)(1.0)), rel=1e-9)


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def watched(found):
    """An operation that lets us know when the array it keeps for the backward pass is gone."""

    @fad.custom_vjp
    def op(x):
        return x * 2.0

    def forward(x):
        residual = fnp.ones(5)
        found.append(weakref.ref(residual._buffer))
        return x * 2.0, residual

    op.defvjp(forward, lambda residual, ct: (ct * 2.0 * residual[0],))
    return op


def test_the_tape_of_grad_is_freed_by_reference_counting(no_collector):
    found = []
    op = watched(found)
    gradient = fad.grad(lambda x: op(op(x)).sum())(np.ones(3))
    assert gradient.tolist() == [4.0, 4.0, 4.0]
    assert len(found) == 2
    assert [r() for r in found] == [None, None]


def test_the_tape_of_vjp_lives_as_long_as_the_pullback(no_collector):
    found = []
    out, pullback = fad.vjp(watched(found), np.ones(3))
    assert found[0]() is not None
    pullback(np.ones(3))
    assert found[0]() is not None
    del pullback
    assert found[0]() is None
    assert out.shape == (3,)


def test_residuals_go_while_the_backward_pass_runs(no_collector):
    found, alive = [], []
    op = watched(found)

    def f(x):
        x = fad.debug.tap_gradient(x, lambda ct: alive.append([r() is not None for r in found]))
        for _ in range(3):
            x = op(x)
        return x.sum()

    fad.grad(f)(np.ones(2))
    assert alive == [[False, False, False]]


def test_nothing_is_left_after_transforms(no_collector):
    def run():
        x = fad.Array(np.arange(3.0))
        intermediate = []

        def f(x):
            y = fnp.sin(x)
            intermediate.append(weakref.ref(y))
            return (y * y).sum()

        fad.grad(f)(x)
        fad.jvp(f, (x,), (x,))
        fad.vmap(lambda a: f(a * x))(x)
        fad.hessian(f)(x)
        fad.linearize(f, x)
        return intermediate

    assert [r() for r in run()] == [None] * 5


def test_exceptions_free_the_tape(no_collector):
    kept = []

    def f(x):
        y = fnp.sin(x)
        kept.append(weakref.ref(y))
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        fad.grad(f)(1.0)
    caught.value.__traceback__ = None
    del caught
    assert kept[0]() is None


def test_ten_nested_derivatives():
    f = fnp.sin
    expected = [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)]
    for n in range(11):
        assert float(f(0.7)) == pytest.approx(expected[n % 4](0.7), rel=1e-9), n
        f = fad.grad(f)


def test_ten_nested_derivatives_of_a_polynomial_under_jit():
    def f(x):
        return x**10

    for _ in range(10):
        f = fad.grad(f)
    assert float(fad.jit(f)(1.3)) == pytest.approx(3628800.0, rel=1e-9)


def test_five_nested_derivatives_of_a_jitted_polynomial():
    f = fad.jit(lambda x: x**5)
    for _ in range(5):
        f = fad.grad(f)
    assert float(f(1.3)) == pytest.approx(120.0, rel=1e-9)


def test_six_nested_forward_derivatives():
    def forward(f):
        return lambda x: fad.jvp(f, (x,), (1.0,))[1]

    f = fnp.exp
    for _ in range(6):
        f = forward(f)
    assert float(f(0.5)) == pytest.approx(np.exp(0.5), rel=1e-12)


def test_checkpoint_lowers_what_is_kept():
    x = np.ones(100_000)

    def chain(x):
        for _ in range(20):
            x = fnp.sin(x)
        return x.sum()

    def peak(f):
        fad.grad(f)(x)
        tracemalloc.start()
        fad.grad(f)(x)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest / x.nbytes

    def halves(x):
        block = fad.checkpoint(lambda x: fnp.sin(fnp.sin(fnp.sin(fnp.sin(fnp.sin(x))))))
        for _ in range(4):
            x = block(x)
        return x.sum()

    plain, saved = peak(chain), peak(halves)
    assert plain > 20  # every sine keeps its argument
    assert saved < 0.75 * plain


LARGE = 20_000  # elements: too many to copy


def _written_between(function, overwrite):
    scratch = np.ones(LARGE)
    out, pullback = fad.vjp(lambda x: function(x, scratch), fnp.ones(LARGE))
    overwrite(scratch)
    return pullback(out)[0]


def _fill(scratch):
    scratch[:] = 5.0


@pytest.mark.parametrize(
    "function",
    [
        lambda x, s: (x * s).sum(),
        lambda x, s: s @ x,
        lambda x, s: np.multiply(s.reshape(2, -1), x.reshape(2, -1)).sum(),
        lambda x, s: (x / s).sum(),
    ],
    ids=["product", "matrix product", "view", "quotient"],
)
def test_a_large_array_written_into_before_the_backward_pass_is_noticed(function):
    with pytest.raises(
        fad.errors.ImmutableArrayError, match=r"float64\[(20000|2,10000)\].*test_tape.py:\d+ \(<lambda>\).*numpy.copy"
    ):
        _written_between(function, _fill)
    np.testing.assert_array_equal(_written_between(function, lambda scratch: None).shape, (LARGE,))


def test_arrays_that_no_derivative_reads_may_be_written_into():
    np.testing.assert_array_equal(_written_between(lambda x, s: (x + s).sum(), _fill), np.full(LARGE, 2.0 * LARGE))
    scratch = np.zeros(LARGE)

    def refilling(x):
        for k in range(3):
            scratch[:] = k
            x = x + scratch
        return (x * 2.0).sum()

    np.testing.assert_array_equal(fad.grad(refilling)(fnp.ones(LARGE)), np.full(LARGE, 2.0))

    def refilling_factors(x):
        for k in range(3):
            scratch[:] = k + 1
            x = x * scratch
        return x.sum()

    with pytest.raises(fad.errors.ImmutableArrayError, match="written into after it had been used"):
        fad.grad(refilling_factors)(fnp.ones(LARGE))


def test_watched_arrays_are_not_kept_alive():
    kept = []

    def f(x):
        scratch = np.ones(LARGE)
        kept.append(weakref.ref(scratch))
        return (x + scratch).sum()

    _, pullback = fad.vjp(f, fnp.ones(LARGE))
    assert kept[0]() is None
    np.testing.assert_array_equal(pullback(1.0)[0], np.ones(LARGE))


def test_operations_with_several_results_of_which_some_are_used():
    x = np.array([[3.0, 1.0], [1.0, 2.0]])
    q, r = np.linalg.qr(x)

    def last_and_first(x):
        q, r = fnp.linalg.qr(x)
        return (r * r).sum() + 0.0 * (q * q).sum()

    def last(x):
        return (fnp.linalg.qr(x)[1] ** 2).sum()

    for f in (last, last_and_first):  # the sum of the squares of R is that of X
        np.testing.assert_allclose(np.asarray(fad.grad(f)(x)), 2 * x, atol=1e-12)


def test_a_pullback_may_be_called_again():
    x = np.arange(6.0).reshape(3, 2)
    _, pullback = fad.vjp(lambda x: (x[0] @ fnp.array([1.0, 2.0]) + fnp.linalg.qr(x)[1].sum(), x[1:] * x[0]), x)
    first, second = [pullback((fad.Array(1.0), fad.Array(np.ones((2, 2))))) for _ in range(2)]
    np.testing.assert_array_equal(np.asarray(first[0]), np.asarray(second[0]))


def test_pieces_of_one_array_add_up_in_any_order():
    x, w = np.arange(5.0), np.arange(1.0, 6.0)

    def f(x):
        return (x * w).sum() + 3 * x[1] + x[1] * x[2] + (x[2:] ** 2).sum()

    expected = w + [0, 3 + x[2], x[1], 0, 0] + np.where(np.arange(5) >= 2, 2 * x, 0)
    np.testing.assert_allclose(np.asarray(fad.grad(f)(x)), expected)
    np.testing.assert_allclose(np.asarray(fad.grad(lambda x: x[3])(x)), [0, 0, 0, 1, 0])
