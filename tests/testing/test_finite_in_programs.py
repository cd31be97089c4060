"""NaN checks of jitted functions: compiled code runs first; the operation and the user's line are named, forward and backward, in loops and branches."""

import numpy as np
import pytest

import fad
import fad.compiler.dispatch as dispatch
import fad.numpy as fnp
from fad.core.errors import DeletedArrayError, NonFiniteError
from fad.core.program import evaluate


def in_scan(x):
    def step(c, y):
        c = fnp.log(c - y)
        return c, c

    return fad.scan(step, 1.0, x)[0]


def in_while(x):
    def body(s):
        return s[0] + 1, fnp.sqrt(s[1] - 2.0)

    return fad.while_loop(lambda s: s[0] < 3, body, (0, x.sum()))[1]


def in_cond(x):
    def root():
        return fnp.sqrt(x.sum() - 10.0)

    return fad.cond(x.sum() > 0, root, lambda: x.sum())


def backward_in_scan(x):
    def step(c, y):
        c = c * fnp.sqrt(y)
        return c, None

    return fad.scan(step, 1.0, x)[0]


def before_svd(x):
    y = fnp.log(-x)
    return fnp.linalg.svd(fnp.outer(y, y), compute_uv=False).sum()


def complex_product(x):
    y = x * (1.0 + 0.0j)
    return y * 1e308 * 1e308 * 0.0


CASES = {
    "scan": (in_scan, fad.jit, np.ones(3), "log", 2, False),
    "while": (in_while, fad.jit, np.ones(3), "sqrt", 2, False),
    "cond": (in_cond, fad.jit, np.ones(3), "sqrt", 2, False),
    "scan under grad": (in_scan, lambda f: fad.jit(fad.grad(f)), np.ones(3), "log", 2, False),
    "before an error": (before_svd, fad.jit, np.ones(3), "log", 1, False),
    "backward": (backward_in_scan, lambda f: fad.jit(fad.grad(f)), np.array([1.0, 0.0, 1.0]), "sqrt", 2, True),
    "backward of jit": (backward_in_scan, lambda f: fad.grad(fad.jit(f)), np.array([1.0, 0.0, 1.0]), "sqrt", 2, True),
}


def test_complex_results_are_tested():
    with fad.config.using(check_nans=True), pytest.raises(NonFiniteError, match="the result of multiply contains NaN"):
        fad.jit(complex_product)(np.ones(3))


@pytest.mark.parametrize("name", CASES)
def test_the_operation_and_the_line_are_named(name):
    function, transform, x, operation, offset, backward = CASES[name]
    with fad.config.using(check_nans=True, check_infs=True), pytest.raises(NonFiniteError) as caught:
        transform(function)(x)
    text = str(caught.value)
    line = function.__code__.co_firstlineno + offset
    assert f"test_finite_in_programs.py:{line} (" in text
    assert ("backward pass of" in text) is backward
    assert operation in text


def test_native_code_runs_again_after_the_checks():
    jitted = fad.jit(lambda x: fnp.sqrt(x))
    with fad.config.using(check_nans=True), pytest.raises(NonFiniteError):
        jitted(-1.0)
    assert np.isnan(jitted(-1.0))


# NaNs that no result shows: each function returns something finite.


def not_chosen(x):
    return fnp.where(x > 0, fnp.sqrt(x), 0.0).sum()


def compared(x):
    return fnp.where(fnp.log(x) > 0, 1.0, x * 2.0).sum()


def cut_off(x):
    return fnp.sqrt(x)[1:].sum()


def counted(x):
    return x.sum() + fnp.argmax(fnp.sqrt(x)).astype(float)


def overwritten(x):
    return fnp.sqrt(x).at[0].set(1.0).sum()


def smaller(x):
    return fnp.fmin(fnp.sqrt(x), x).sum()


def not_stacked(x):
    def step(c, v):
        return c + fnp.where(v > 0, fnp.sqrt(v), 1.0), None

    return fad.scan(step, 0.0, x)[0]


def replaced(x):
    def step(c, v):
        return fnp.sqrt(v) * 0 + fnp.where(c > 0, v, fnp.sqrt(v - 2.0)), c * 1.0

    return fad.scan(step, 1.0, x[::-1])[1].sum()


def in_condition(x):
    return fad.while_loop(lambda s: fnp.sqrt(s[1] - 2.5) > 0, lambda s: (s[0] + 1, s[1] - 1.0), (0, x.sum() + 2.0))[0]


def at_first_turn(x):
    def body(s):
        return s[0] + 1, fnp.sqrt(s[2]), s[2] + 1.0

    return fad.while_loop(lambda s: s[0] < 3, body, (0, 1.0, x.min()))[1]


def in_branch(x):
    def lost():
        return fnp.where(x > 0, fnp.sqrt(x), 0.0).sum()

    return fad.cond(x.sum() < 100.0, lost, lambda: x.sum())


def with_host_step(x):
    return fnp.where(x > 9.0, fnp.fft.fft(fnp.sqrt(x)).real, 1.0).sum()


def complex_parts(x):
    z = fnp.sqrt(x) * (1.0 + 2.0j)
    return fnp.where(x > 0, z, 0.0).imag.sum()


HIDDEN = [
    (not_chosen, 1), (compared, 1), (cut_off, 1), (counted, 1), (overwritten, 1), (smaller, 1), (not_stacked, 2), (replaced, 2),
    (in_condition, 1), (at_first_turn, 2), (in_branch, 2), (with_host_step, 1), (complex_parts, 1),
]  # fmt: skip
TRANSFORMS = {
    "jit": fad.jit,
    "nested jit": lambda f: fad.jit(lambda x: fad.jit(f)(x * 1.0) + 1.0),
    "vmap of jit": lambda f: lambda x: fad.vmap(fad.jit(f))(np.stack([np.abs(x) + 4.0, x])),
    "jit of vmap": lambda f: lambda x: fad.jit(fad.vmap(f))(np.stack([np.abs(x) + 4.0, x])),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("function", "offset"), HIDDEN, ids=[f.__name__ for f, _ in HIDDEN])
def test_a_nan_that_no_result_shows_is_found(function, offset, transform):
    x = np.array([-1.0, 1.0, 4.0])
    assert np.isfinite(TRANSFORMS[transform](function)(x)).all()
    with fad.config.using(check_nans=True), pytest.raises(NonFiniteError) as caught:
        TRANSFORMS[transform](function)(x)
    line = function.__code__.co_firstlineno + offset
    assert f"test_finite_in_programs.py:{line} (" in str(caught.value)


def slope_not_used(x):
    return fnp.where(x > 0.0, fnp.sqrt(x) * x, 0.0).sum()


@pytest.mark.parametrize("transform", [lambda f: fad.jit(fad.grad(f)), lambda f: fad.grad(fad.jit(f))])
def test_a_slope_that_zero_takes_away_is_found(transform):
    x = np.array([0.0, 4.0])
    np.testing.assert_allclose(transform(slope_not_used)(x), [0.0, 3.0])
    with fad.config.using(check_infs=True), pytest.raises(NonFiniteError, match=r"infinity.*backward pass of sqrt"):
        transform(slope_not_used)(x)


def lost_in_while(x):
    def body(s):
        return s[0] + 1, fnp.where(s[1] > 3.0, fnp.sqrt(s[1] - 3.0), s[1] * 2.0)

    return fad.while_loop(lambda s: s[0] < 3, body, (0, x.sum()))[1]


@pytest.mark.parametrize("transform", [lambda f: fad.jit(fad.grad(f)), lambda f: fad.grad(fad.jit(f))])
def test_a_nan_that_a_loop_of_unknown_length_loses_is_found_under_grad(transform):
    assert np.isfinite(transform(lost_in_while)(np.array([1.0]))).all()
    with fad.config.using(check_nans=True), pytest.raises(NonFiniteError) as caught:
        transform(lost_in_while)(np.array([1.0]))
    line = lost_in_while.__code__.co_firstlineno + 2
    assert f"test_finite_in_programs.py:{line} (" in str(caught.value)


FINITE = {
    "products": (lambda x: fnp.tanh(x @ fnp.outer(x, x)).sum(), np.array([0.5, 1.0, 2.0])),
    "scan": (lambda x: fad.scan(lambda c, v: (fnp.tanh(c * v), c), 1.0, x)[1].sum(), np.array([0.5, 1.0, 2.0])),
    "while": (lambda x: fad.while_loop(lambda s: s.sum() < 100.0, lambda s: s * 2.0, x).sum(), np.array([0.5, 1.0])),
    "cond": (lambda x: fad.cond(x.sum() > 0, lambda: fnp.sqrt(x).sum(), lambda: x.sum()), np.array([0.5, 1.0])),
    "host step": (lambda x: fnp.abs(fnp.fft.fft(x)).sum(), np.array([0.5, 1.0, 2.0])),
    "selection": (lambda x: fnp.where(x > 0, fnp.sqrt(fnp.abs(x)), x).sum(), np.array([0.5, 1.0, -2.0])),
}
AROUND = {
    "jit": fad.jit,
    "jit of grad": lambda f: fad.jit(fad.grad(f)),
    "grad of jit": lambda f: fad.grad(fad.jit(f)),
    "jit of vmap": lambda f: lambda x: fad.jit(fad.vmap(f))(np.stack([x, x * 0.5])),
}


@pytest.fixture
def evaluated(monkeypatch):
    """The names of the Programs that are evaluated operation by operation."""
    names = []

    def noted(program, *args):
        names.append(program.name)
        return evaluate(program, *args)

    monkeypatch.setattr(dispatch, "evaluate", noted)
    return names


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", FINITE)
def test_what_is_finite_is_not_evaluated_again_and_gives_the_same(name, around, evaluated):
    function, x = FINITE[name]
    expected = AROUND[around](function)(x)
    with fad.config.using(check_nans=True, check_infs=True):
        found = AROUND[around](function)(x)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert not evaluated


def test_a_flag_without_need_changes_nothing(evaluated):
    x = np.array([8e307, 8e307])
    with fad.config.using(check_infs=True):
        np.testing.assert_array_equal(fad.jit(lambda x: x * 2.0)(x), x * 2.0)
    assert evaluated == ["<lambda>"]  # their sum overflows, they do not


def test_donated_arguments_are_there_for_the_second_look():
    step = fad.jit(lambda p, g: fnp.sqrt(p - g), donate_argnums=0)
    with fad.config.using(check_nans=True):
        p = fad.Array(np.full(1000, 4.0))
        after = step(p, 1.0)
        np.testing.assert_allclose(after, np.sqrt(3.0))
        with pytest.raises(DeletedArrayError):
            p + 1.0
        with pytest.raises(NonFiniteError, match=r"sqrt contains NaN \(1000 of 1000"):
            step(after, 5.0)
        # The call has failed, so nothing was given away.
        np.testing.assert_allclose(after * 1.0, np.sqrt(3.0))


def test_random_numbers_are_the_same_at_the_second_look():
    def f(key, x):
        return fnp.sqrt(fad.random.normal(key, (4,)) - x).sum()

    key = fad.random.key(0)
    below = np.asarray(fad.random.normal(key, (4,)))
    bad = int((below < 0.3).sum())
    with fad.config.using(check_nans=True), pytest.raises(NonFiniteError, match=rf"NaN \({bad} of 4 elements"):
        fad.jit(f)(key, 0.3)


def test_effects_happen_once(capsys):
    @fad.jit
    def f(x):
        fad.debug.print("x = {}", x)
        return fnp.sqrt(x)

    with fad.config.using(check_nans=True):
        f(4.0)
        with pytest.raises(NonFiniteError):
            f(-4.0)
    assert capsys.readouterr().out.splitlines() == ["x = 4.0", "x = -4.0"]


def test_arguments_that_are_not_finite_and_not_used_are_nobody_s_fault():
    with fad.config.using(check_nans=True):
        assert fad.jit(lambda x: fnp.where(fnp.isnan(x), 0.0, x))(np.array([np.nan, 1.0])).tolist() == [0.0, 1.0]
