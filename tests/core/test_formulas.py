"""Programs read like the math that they are."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp


def body(f, *args):
    lines = str(fad.make_program(f)(*args)).splitlines()[1:-1]
    return [line.split(" = ")[1] for line in lines]


X, W, V = np.ones((4, 3)), np.ones((3, 2)), np.ones(3)


@pytest.mark.parametrize(
    ("function", "args", "wanted"),
    [
        (lambda x: (x + 1.0) * 2.0 - x / 3.0, [V], ["a + 1.0", "b * 2.0", "a / 3.0", "c - d"]),
        (lambda x: -(x**2) // 2.0, [V], ["a ** 2", "-b", "c // 2.0"]),
        (lambda x, w: x @ w, [X, W], ["a @ b"]),
        (lambda x: fnp.where(x > 0.5, abs(x), fnp.exp(x)), [V], ["a > 0.5", "abs(a)", "exp(a)", "where(b, c, d)"]),
        (lambda x: x.T, [X], ["a.T"]),
        (lambda x: x.sum(axis=1), [X], ["sum(a, axes=(1,))"]),
        (lambda x: fnp.asarray(x, np.float32), [V], ["float32(a)"]),
        (lambda x: fnp.einsum("bij,bjk->bik", x, x), [np.ones((2, 3, 3))], ["einsum('abc,acd->abd', a, a)"]),
        (lambda x: 1.0 - x**3, [V], ["a ** 3", "1.0 - b"]),
    ],
)
def test_formulas(function, args, wanted):
    assert body(function, *args) == wanted


def test_transposed_products():
    program = fad.make_program(fad.grad(lambda w, x: (x @ w).sum()))(W, X)
    assert "b.T @ " in str(program)


def test_literals_have_their_own_precision():
    assert "b:float32[3] = a * 0.1" in str(fad.make_program(lambda x: x * np.float32(0.1))(V.astype(np.float32)))


def test_sources_stand_behind_equations_also_inside_loops():
    def loss(x):
        return fad.scan(lambda c, y: (c * y, c), 1.0, x)[0]

    text = fad.make_program(fad.grad(loss))(V).text(sources=True)
    inner = [line for line in text.splitlines() if line.startswith("        ") and " * " in line]
    assert inner
    assert all("test_formulas.py" in line for line in inner)
    assert any(", backward of multiply" in line for line in inner)
    assert any("backward" not in line for line in inner)
