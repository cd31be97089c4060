"""Arrays that are filled piece by piece: joined by one loop, with the values of the single writes."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.passes.joined_writes import join_writes
from fad.compiler.passes.redundancy import remove_dead
from fad.compiler.passes.verifier import verify
from fad.core.program import evaluate
from tests.compiler.compiled_programs import check_compiled

X = np.linspace(-1.0, 2.0, 24)


def prefix_sums(x):
    y = fnp.zeros(24)
    for i in range(24):
        y = y.at[i].set(x[i] * 2.0 + (y[i - 1] if i else 0.0))
    return y * x


def gaps(x):
    y = x * 3.0
    for i in range(4, 20, 2):
        y = y.at[i].set(x[i] ** 2)
    return y


def overwritten(x):
    y = fnp.zeros(24)
    for i in range(30):
        y = y.at[i % 7].set(x[i % 24] + y[(i + 3) % 24])
    return y


def several_versions(x):
    y, kept = fnp.zeros(24), []
    for i in range(20):
        y = y.at[i].set(x[i] * i)
        if i in (3, 10, 11):
            kept.append(y * 2.0)
    return y, kept, fnp.sin(y)


def branching(x):
    y = fnp.zeros(24)
    for i in range(9):
        y = y.at[i].set(x[i])
    left, right = y, y
    for i in range(9, 18):
        left, right = left.at[i].set(x[i]), right.at[i].set(-x[i])
    return left + right[::-1]


def rows(x):
    y = fnp.zeros((12, 2))
    for i in range(12):
        y = y.at[i].set(x[2 * i : 2 * i + 2] * (1.0 + i))
    return y.T @ y


def columns(x):
    y = fnp.zeros((2, 12))
    for i in range(12):
        y = y.at[:, i].set(x[2 * i : 2 * i + 2] + y[:, (i * 5) % 12])
    return y


def other_lengths(x):
    y = fnp.zeros(24)
    for i in range(8):
        y = y.at[2 * i : 2 * i + 2].set(x[i : i + 2])
        y = y.at[3 * i].set(x[i])
        y = y.at[i:].set(y[i:] * 1.5)
    return y


def places_that_are_computed(x):
    y = fnp.zeros(24)
    for i in range(12):
        y = y.at[i].set(x[i])
        y = y.at[fnp.argmax(x) - i].set(y[i] + 1.0)
    return y


FUNCTIONS = [
    prefix_sums,
    gaps,
    overwritten,
    several_versions,
    branching,
    rows,
    columns,
    other_lengths,
    places_that_are_computed,
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_are_those_of_the_single_writes(function, dtype):
    x = (X * 5).astype(dtype)
    program = fad.make_program(function)(x)
    joined = verify(remove_dead(join_writes(program)), "join_writes")
    wanted = evaluate(program, x)
    for found, expected in zip(evaluate(joined, x), wanted, strict=True):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(fad.tree.leaves(fad.jit(function)(x)), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_derivatives_are_those_of_the_single_writes(function):
    def total(x):
        return sum((fnp.sin(leaf) * 1.3).sum() for leaf in fad.tree.leaves(function(x)))

    np.testing.assert_allclose(fad.jit(fad.grad(total))(X), fad.grad(total)(X), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        fad.jit(lambda x: fad.jvp(total, (x,), (X,))[1])(X), fad.jvp(total, (X,), (X,))[1], rtol=1e-12
    )


@pytest.mark.parametrize(
    ("function", "writes"), [(prefix_sums, 0), (gaps, 0), (rows, 0), (columns, 0), (several_versions, 12)]
)
def test_no_single_writes_are_left(function, writes):
    program = remove_dead(join_writes(fad.make_program(function)(X)))
    assert sum(e.primitive.name == "dynamic_update_slice" for e in program.equations) == writes
    assert sum(e.primitive.name == "concatenate" for e in program.equations) >= 1


def test_large_arrays_are_written_in_place():
    def few_places(x):
        for i in range(10):
            x = x.at[i].set(float(i))
        return x

    program = join_writes(fad.make_program(few_places)(np.zeros(100_000)))
    assert sum(e.primitive.name == "dynamic_update_slice" for e in program.equations) == 10


def test_a_thousand_writes_and_the_sums_of_their_gradients():
    # The sums of a thousand padded pieces have to be looked through without recursion.
    def filled(x):
        y = fnp.zeros(1000)
        for i in range(1000):
            y = y.at[i].set(x[i])
        return (y * y).sum()

    x = np.linspace(0.0, 1.0, 1000)
    for function in (filled, fad.grad(filled)):
        program = fad.make_program(function)(x)
        joined = remove_dead(join_writes(program))
        assert not [e for e in joined.equations if e.primitive.name == "dynamic_update_slice"]
        for found, expected in zip(evaluate(joined, x), evaluate(program, x), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_many_small_values_of_their_own_are_stored_one_by_one():
    def columns(x):
        made = [fnp.sin(x[:, k : k + 1]) * (k + 1.0) for k in range(12)]
        return fnp.concatenate([*made[:6], x, *made[6:]], axis=1)

    check_compiled(columns, np.linspace(0.0, 1.0, 36).reshape(3, 12))

    def filled(x):
        values = [x[0]]
        for k in range(1, 150):
            values.append(x[k] * 2.0 + x[k] * x[k - 1] - values[-1] * 0.5)
        return fnp.stack(values)

    check_compiled(filled, np.linspace(0.0, 1.0, 150))
