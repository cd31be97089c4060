"""Errors about traced values name the value, the line that made it, the line that asks for it and the ways out, in under 15 lines."""

import contextvars
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ConcretizationError, LeakedTracerError

HERE = "test_tracer_errors.py"
PROGRAM = """
import sys
sys.path.insert(0, "archive.zip")
import fad
print(fad.__file__)

def branch(x):
    y = x * 2.0
    return y if y > 0 else x

try:
    fad.jit(branch)(1.0)
except fad.errors.ConcretizationError as error:
    print(error)
"""


def branch(x):
    y = x * 2.0
    return y if y > 0 else x


def as_float(x):
    y = fnp.sin(x)
    return float(y)


def as_list(x):
    y = fnp.sin(x)
    return y.tolist()


def as_length(n):
    m = n + 1
    return sum(range(m))


def vectorized(x):
    return np.vectorize(lambda a: a * 2.0, otypes=[float])(x)


def loop(x):
    return fad.scan(lambda c, _: (branch(c), None), x, None, length=2)


def line(function, offset):
    return f"{HERE}:{function.__code__.co_firstlineno + offset} ({function.__name__})"


def message(error, call):
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert len(text.splitlines()) < 15
    assert "Ways out: " in text
    return text


@pytest.mark.parametrize("transform", [fad.jit, fad.vmap, fad.make_program, fad.checkpoint])
def test_branching(transform):
    argument = np.ones(3) if transform is fad.vmap else 1.0
    text = message(ConcretizationError, lambda: transform(branch)(argument))
    assert "bool() (an `if`" in text
    assert (
        f"It is needed at {__file__}:{branch.__code__.co_firstlineno + 2} (branch):  return y if y > 0 else x" in text
    )
    assert "bool[]" in text
    assert "fad.cond" in text
    if transform is not fad.vmap:
        assert "the result of greater at " in text
        assert line(branch, 2) in text


def test_fad_in_an_archive_knows_its_own_lines(tmp_path):
    shutil.make_archive(str(tmp_path / "archive"), "zip", Path(fad.__file__).parents[1], "fad")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    file, text = done.stdout.split("\n", 1)
    assert "archive.zip" in file
    assert f"It is needed at {tmp_path / 'program.py'}:9 (branch):  return y if y > 0 else x" in text


def test_branching_inside_a_loop_names_the_loop():
    text = message(ConcretizationError, lambda: loop(1.0))
    assert "inside scan of <lambda>" in text
    assert line(branch, 2) in text


@pytest.mark.parametrize("function", [as_float, as_list])
@pytest.mark.parametrize("transform", [fad.jit, fad.grad, fad.vmap])
def test_converting(transform, function):
    argument = np.ones(3) if transform is fad.vmap else 1.0
    text = message(ConcretizationError, lambda: transform(function)(argument))
    assert "the concrete value of 'y', which is Tracer<float64[], " in text
    assert (
        f"inside {'reverse-mode differentiation' if transform is fad.grad else transform.__name__} of {function.__name__}"
        in text
    )
    assert line(function, 1) in text
    assert line(function, 2) in text
    assert "fad.stop_gradient" in text


def test_a_traced_length():
    text = message(ConcretizationError, lambda: fad.jit(as_length)(3))
    assert "index() " in text
    assert "'m', which is Tracer<int64[]*, staged>" in text
    assert "the result of add" in text
    assert "static_argnums" in text


@pytest.mark.parametrize("make", [np.zeros, np.ones, np.empty])
@pytest.mark.parametrize("transform", [fad.jit, fad.vmap, fad.make_program])
def test_a_traced_shape_of_numpy(transform, make):
    def filled(n):
        m = n + 1
        return make(m)

    text = message(
        ConcretizationError, lambda: transform(filled)(np.array([3, 3]) if transform is fad.vmap else np.int64(3))
    )
    assert "the concrete value of 'm', which is Tracer<int64[]" in text
    assert line(filled, 1) in text
    assert "static_argnums" in text


def test_other_type_errors_stay_what_they_are():
    def mixed(n):
        with pytest.raises(ConcretizationError):
            [0][n]
        return "a" + 1

    with pytest.raises(TypeError, match="can only concatenate str") as caught:
        fad.jit(mixed)(2)
    assert type(caught.value) is TypeError


@pytest.mark.parametrize("transform", [fad.jit, fad.grad])
def test_another_thread(transform):
    def doubled(x, run):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(run, lambda: x * 2.0).result()

    text = message(LeakedTracerError, lambda: transform(lambda x: doubled(x, lambda f: f()))(1.0))
    assert "which has no meaning in this thread" in text
    assert "contextvars.copy_context()" in text and "has_aux" not in text
    assert float(transform(lambda x: doubled(x, contextvars.copy_context().run))(1.0)) == 2.0


@pytest.mark.parametrize("transform", [fad.jit, fad.grad, fad.vmap])
def test_leaking(transform):
    kept = []

    def leak(x):
        y = x * 3.0
        kept.append(y)
        return y

    transform(leak)(np.ones(3) if transform is fad.vmap else 1.0)
    texts = [
        message(LeakedTracerError, lambda: kept[0] + 1.0),
        message(LeakedTracerError, lambda: fad.jit(lambda x: x + kept[0])(1.0)),
    ]
    for text in texts:
        assert "leak at " in text
        assert "has finished" in text
        assert "It is used at " in text
        assert "has_aux=True" in text
        if transform is fad.jit:
            assert "the result of multiply at " in text
            assert line(leak, 1) in text


def test_writing_into_an_array_of_numpy_keeps_the_explanation():
    def f(x):
        out = np.zeros(3)
        out[0] = x * 2.0
        return out.sum()

    with pytest.raises(ConcretizationError, match=re.escape("fad.numpy.asarray(y).at[i].set(x)")):
        fad.jit(f)(1.0)


def test_what_numpy_asks_for_names_the_line_that_called_numpy():
    for transform in (fad.jit, fad.vmap, fad.grad):
        with pytest.raises(ConcretizationError, match=re.escape(f"needed at {__file__}")) as caught:
            transform(vectorized)(np.ones(3))
        assert line(vectorized, 1) in str(caught.value)
