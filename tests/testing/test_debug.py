"""`fad.debug` under every transform."""

import sys
import threading

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, NonFiniteError, ShapeError, TreeError
from fad.core.trace import EvalTrace
from fad.debug import breakpoint as stop
from fad.debug import memory, nan_report, print_program, print_tape, tap_gradient


def show(x):
    fad.debug.print("x = {}", x)
    return x * x


LINE_PER_EXAMPLE = {
    "eager": (lambda: show(fad.Array(2.0)), ["2.0"]),
    "grad": (lambda: fad.grad(show)(2.0), ["2.0"]),
    "grad of grad": (lambda: fad.grad(fad.grad(show))(2.0), ["2.0"]),
    "jvp": (lambda: fad.jvp(show, (2.0,), (1.0,)), ["2.0"]),
    "jit": (lambda: fad.jit(show)(fad.Array(2.0)), ["2.0"]),
    "grad of jit": (lambda: fad.grad(fad.jit(show))(2.0), ["2.0"]),
    "jit of grad": (lambda: fad.jit(fad.grad(show))(2.0), ["2.0"]),
    "jvp of jit": (lambda: fad.jvp(fad.jit(show), (2.0,), (1.0,)), ["2.0"]),
    "linearize": (lambda: fad.linearize(show, 2.0), ["2.0"]),
    "vmap": (lambda: fad.vmap(show)(np.array([1.0, 2.0])), ["1.0", "2.0"]),
    "vmap of jit": (lambda: fad.vmap(fad.jit(show))(np.array([1.0, 2.0])), ["1.0", "2.0"]),
    "jit of vmap of grad": (lambda: fad.jit(fad.vmap(fad.grad(show)))(np.array([1.0, 2.0])), ["1.0", "2.0"]),
    "vmap of vmap": (
        lambda: fad.vmap(fad.vmap(show))(np.array([[1.0, 2.0], [3.0, 4.0]])),
        ["1.0", "2.0", "3.0", "4.0"],
    ),
    "scan": (
        lambda: fad.scan(lambda c, x: (c + show(x), None), 0.0, np.array([1.0, 2.0])),
        ["1.0", "2.0"],
    ),
    "cond": (lambda: fad.cond(True, show, lambda x: x, fad.Array(2.0)), ["2.0"]),
}


@pytest.mark.parametrize("transform", LINE_PER_EXAMPLE)
def test_print_under_every_transform(transform, capsys):
    run, values = LINE_PER_EXAMPLE[transform]
    run()
    assert capsys.readouterr().out.splitlines() == [f"x = {v}" for v in values]


def test_jit_prints_at_every_call_although_nothing_depends_on_it(capsys):
    f = fad.jit(lambda x: show(x) * 0.0 + 1.0)
    for value in (1.0, 2.0, 3.0):
        f(value)
    assert capsys.readouterr().out.split() == ["x", "=", "1.0", "x", "=", "2.0", "x", "=", "3.0"]
    assert f.traces == 1


def test_jit_prints_in_the_order_of_the_code(capsys):
    @fad.jit
    def f(x):
        y = fnp.linalg.inv(fnp.diag(fnp.exp(fnp.sort(fnp.sin(x)))))
        fad.debug.print("first {}", y.shape[0] + 0 * y.sum())
        fad.debug.print("second {}", x.sum())
        return y

    f(np.ones(3))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["first", "second"]


def test_vmap_prints_once_what_no_example_changes(capsys):
    fad.vmap(lambda x, y: show(y) + x, in_axes=(0, None))(np.ones(3), 5.0)
    assert capsys.readouterr().out == "x = 5.0\n"


def test_print_formats(capsys):
    fad.debug.print("{:.2f} and {name:>6}", fad.Array([1.0, 2.5]), name="text")
    fad.debug.print("{tree[w]:d}, shape {x.shape}", tree={"w": fad.Array(3)}, x=np.zeros((2, 3)))
    fad.debug.print(fad.Array([1, 2]))
    assert capsys.readouterr().out.splitlines() == ["[1.00 2.50] and   text", "3, shape (2, 3)", "[1 2]"]


@pytest.mark.parametrize("fmt", ["{} {}", "{missing}", "{", "{x} {}"])
def test_a_format_that_does_not_fit_is_refused_at_the_call(fmt):
    with pytest.raises(ArgumentError, match=r"fad.debug.print: the format string .* does not fit 0 values"):
        fad.jit(lambda x: fad.debug.print(fmt, x=x))(1.0) if "x" in fmt else fad.debug.print(fmt)


def test_breakpoint_stops_with_the_values(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: seen.append(sys._getframe(1).f_locals["args"][0].tolist()))

    def f(x):
        stop(x)
        return x.sum()

    fad.grad(f)(np.array([1.0, 2.0]))
    fad.jit(f)(np.array([3.0]))
    fad.vmap(f)(np.array([[4.0], [5.0]]))
    assert seen == [[1.0, 2.0], [3.0], [4.0], [5.0]]


class TestTapGradient:
    def test_sees_the_cotangent(self):
        seen = []

        def f(x):
            return (tap_gradient(x * 2.0, seen.append) ** 2).sum()

        np.testing.assert_allclose(fad.grad(f)(np.array([1.0, 3.0])), [8.0, 24.0])
        np.testing.assert_allclose(seen[0], [4.0, 12.0])

    @pytest.mark.parametrize("wrap", [lambda g: g, fad.jit, lambda g: lambda x: fad.vmap(g)(x[None])[0]])
    def test_replaces_the_cotangent(self, wrap):
        def f(x):
            return (tap_gradient(x, lambda ct: ct.clip(-1.0, 1.0)) ** 2).sum()

        np.testing.assert_allclose(wrap(fad.grad(f))(np.array([0.25, -3.0])), [0.5, -1.0])
        np.testing.assert_allclose(
            fad.grad(lambda x: wrap(lambda x: x * f(x) / f(x))(x).sum())(np.array([3.0])), [0.0], atol=2
        )

    def test_inside_vmap_one_example_at_a_time(self):
        def f(x):
            return (tap_gradient(x, lambda ct: ct / fnp.sqrt((ct**2).sum())) ** 2).sum()

        x = np.array([[3.0, 4.0], [6.0, 8.0]])
        expected = [[0.6, 0.8], [0.6, 0.8]]
        np.testing.assert_allclose(fad.vmap(fad.grad(f))(x), expected)
        np.testing.assert_allclose(fad.grad(lambda x: fad.vmap(f)(x).sum())(x), expected)

    def test_trees_and_integers(self):
        tree = {"w": np.ones(2), "n": np.array([1, 2])}
        seen = []

        def f(t):
            t = tap_gradient(t, lambda ct: seen.append(ct) or {"w": ct["w"] * 10.0, "n": ct["n"]})
            return (t["w"] * t["n"]).sum()

        gradient = fad.grad(lambda w: f({**tree, "w": w}))(tree["w"])
        np.testing.assert_allclose(gradient, [10.0, 20.0])
        np.testing.assert_array_equal(seen[0]["n"], [1, 2])

    def test_forward_mode_passes_by(self):
        def never(ct):
            raise AssertionError("called")

        assert float(fad.jvp(lambda x: tap_gradient(x, never) ** 2, (3.0,), (1.0,))[1]) == 6.0
        assert float(tap_gradient(3.0, never)) == 3.0

    def test_second_derivative_goes_through_the_replacement(self):
        f = fad.grad(lambda x: tap_gradient(x, lambda ct: ct * 2.0) ** 3)
        # f is 6 x**2, and its derivative is that of this function.
        assert float(f(2.0)) == 24.0
        assert float(fad.grad(f)(2.0)) == 24.0

    def test_wrong_replacements(self):
        with pytest.raises(ShapeError, match=r"returned float64\[3\] for a cotangent float64\[2\]"):
            fad.grad(lambda x: tap_gradient(x, lambda ct: fnp.ones(3)).sum())(np.ones(2))
        with pytest.raises(TreeError, match="return None to leave it as it is"):
            fad.grad(lambda x: tap_gradient(x, lambda ct: [ct]).sum())(np.ones(2))
        with pytest.raises(ArgumentError, match="tap_gradient takes a function"):
            tap_gradient(1.0, 2.0)


def test_print_tape(capsys):
    def f(params, n):
        hidden = fnp.tanh(params["w"] * 2.0)
        return hidden.sum() + n

    out = print_tape(f)({"w": np.ones(3)}, 4)
    assert float(out) == pytest.approx(3 * np.tanh(2.0) + 4)
    text = capsys.readouterr().out
    assert "tape of f: 1 input, " in text
    assert "%0 = argument 0['w']: float64[3]" in text
    assert "%2 = tanh(%1): float64[3]" in text
    assert "test_debug.py" in text
    assert "result: %" in text


def test_print_tape_shows_only_what_reverse_mode_records(capsys):
    print_tape(lambda x: (x * 2.0, fnp.floor(fnp.arange(3.0)).sum()))(1.0)
    assert "1 input, 1 operation\n" in capsys.readouterr().out


def test_print_tape_shows_what_is_written_into_temporaries(capsys):
    print_tape(lambda x: (((x + 1.0) - x) + 2.0).sum())(np.ones(20_000))
    text = capsys.readouterr().out
    assert "1 input, 4 operations\n" in text
    assert "%2 = subtract(%1, %0)" in text
    assert "result: %4" in text


def test_print_program(capsys):
    print_program(lambda x: fad.jit(fnp.sin)(x) * 2.0)(fad.Array(1.0))
    lines = capsys.readouterr().out.splitlines()
    assert " * 2.0 " in lines[-2]
    assert "test_debug.py" in lines[-2]


def test_memory():
    size = 8 * 1000
    report = memory(lambda x: fnp.exp(fnp.sin(x)).sum())(np.zeros(1000))
    assert report.arguments == size
    assert report.results == 8
    assert report.peak == 3 * size
    assert size <= report.residuals <= 3 * size
    assert report.gradient_peak >= report.peak
    assert all("float64[1000] of" in text and "test_debug.py" in text for text, _ in report.largest)
    assert "kept for the backward pass" in str(report)


def test_memory_sees_what_checkpoint_saves():
    def chain(x):
        for _ in range(10):
            x = fnp.sin(x)
        return x.sum()

    x = np.zeros(1000)
    assert memory(fad.checkpoint(chain))(x).residuals < memory(chain)(x).residuals / 5


def test_memory_needs_something_to_differentiate():
    with pytest.raises(ArgumentError, match="no argument has floating-point leaves"):
        memory(lambda n: n)(3)


def log_sum(x):
    return fnp.log(x).sum()


def root_sum(x):
    y = x * 1.0
    return fnp.sqrt(y).sum()


CHECKED = {
    "eager": lambda f, x: f(x),
    "jit": lambda f, x: fad.jit(f)(x),
    "grad": lambda f, x: fad.grad(f)(x),
    "jvp": lambda f, x: fad.jvp(f, (x,), (np.ones_like(x),)),
    "vmap": lambda f, x: fad.vmap(f)(x[:, None]),
    # The value too: a gradient alone may not need the operation, and what jit drops is not checked.
    "jit of grad": lambda f, x: fad.jit(fad.value_and_grad(f))(x),
    "grad of jit": lambda f, x: fad.grad(fad.jit(f))(x),
    "vmap of jit of grad": lambda f, x: fad.vmap(fad.jit(fad.value_and_grad(f)))(x[:, None]),
}


@pytest.mark.filterwarnings("ignore:invalid value encountered in log:RuntimeWarning")  # the NaN under test
@pytest.mark.parametrize("transform", CHECKED)
def test_a_nan_is_named_with_the_operation_and_line(transform):
    x = np.array([1.0, -1.0])
    with fad.config.using(check_nans=True), pytest.raises(NonFiniteError) as caught:
        CHECKED[transform](log_sum, x)
    message = str(caught.value)
    assert "log contains NaN (1 of " in message
    assert "all its arguments were finite" in message
    line = log_sum.__code__.co_firstlineno + 1
    assert f"test_debug.py:{line} (log_sum" in message


@pytest.mark.parametrize("transform", [t for t in CHECKED if "grad" in t])
def test_an_infinity_of_the_backward_pass_is_put_down_to_the_forward_line(transform):
    x = np.array([0.0, 1.0])
    np.testing.assert_allclose(fad.grad(root_sum)(np.array([4.0])), [0.25])
    with fad.config.using(check_infs=True), pytest.raises(NonFiniteError) as caught:
        CHECKED[transform](root_sum, x)
    message = str(caught.value)
    assert "infinity" in message
    line = root_sum.__code__.co_firstlineno + 2
    assert f"test_debug.py:{line} (root_sum, backward pass of sqrt)" in message


def test_a_nan_among_the_arguments_is_said_to_be_theirs():
    with fad.config.using(check_nans=True), pytest.raises(NonFiniteError, match="argument 0 contained it already"):
        fnp.sin(np.array([np.nan, 1.0]))


def test_checks_are_off_by_default_and_leave_nothing_behind():
    plain = EvalTrace.process
    with fad.config.using(check_nans=True):
        assert EvalTrace.process is not plain
        with fad.config.using(check_infs=True):
            pass
        assert EvalTrace.process is not plain
    assert EvalTrace.process is plain
    fad.config.update("check_nans", True)
    try:
        with pytest.raises(NonFiniteError):
            fnp.sin(np.array([np.nan]))
    finally:
        fad.config.update("check_nans", False)
    assert EvalTrace.process is plain
    assert np.isnan(fnp.sin(np.array([np.nan]))[0])


def test_checks_of_one_thread_are_not_those_of_another():
    found = []
    with fad.config.using(check_nans=True):
        thread = threading.Thread(target=lambda: found.append(fnp.sin(np.array([np.nan])).tolist()))
        thread.start()
        thread.join()
    assert np.isnan(found[0][0])


def test_constants_that_are_not_finite_are_allowed():
    with fad.config.using(check_nans=True, check_infs=True):
        assert fnp.full(2, -np.inf).shape == (2,)


def test_nan_report():
    tree = {"a": [np.array([1.0, np.nan, np.inf])], "b": np.array(2), "c": fad.Array(3.0)}
    assert nan_report(tree) == (
        "1 of 3 leaves is not finite:\n"
        "  ['a'][0] float64[3]: NaN (1 of 3 elements, first at index (1,)) and infinity (1 of 3 elements, first at index (2,))"
    )
    assert nan_report([1.0, 2]) == "all 2 leaves are finite"


@pytest.mark.filterwarnings("ignore:divide by zero encountered:RuntimeWarning")  # the infinity under test
def test_checks_understand_cotangents_of_elements():
    x = np.array([1.0, 4.0])
    with fad.config.using(check_nans=True, check_infs=True):
        np.testing.assert_allclose(fad.grad(lambda x: fnp.sqrt(x[0]) * x[1])(x), [2.0, 1.0])
        with pytest.raises(NonFiniteError, match="backward pass of sqrt"):
            fad.grad(lambda x: fnp.sqrt(x[0] - 1.0) * x[1])(x)


def test_the_report_of_memory_reads_well():
    report = fad.debug.Memory(8, 8, 1536, 2048, 3 * 1024**2, (("float64[8] of sin", 64),))
    lines = str(report).splitlines()
    assert lines[0].split() == ["arguments", "8", "B"]
    assert any(line.split()[-2:] == ["1.5", "KiB"] for line in lines)
    assert any("float64[8] of sin" in line and line.endswith("64 B") for line in lines)
    assert lines[-1].endswith("3.0 MiB")


def test_jit_keeps_loops_and_branches_that_only_print(capsys):
    @fad.jit
    def f(x):
        fad.scan(lambda c, v: (c + show(v), None), 0.0, x)
        fad.cond(x[0] > 0, show, lambda v: v, x[1])
        return x * 2.0

    f(np.array([1.0, 2.0]))
    assert capsys.readouterr().out.splitlines() == ["x = 1.0", "x = 2.0", "x = 2.0"]
