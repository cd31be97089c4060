"""What is compiled in and what is an argument of the code: Programs that differ only in a number must still compute with their own."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.canonical import program_form
from fad.compiler.nested import body_program
from tests.compiler.compiled_programs import check_compiled

X = np.linspace(0.5, 1.0, 40)
DEEP = np.arange(float(2**12)).reshape((2,) * 12)
WITH_NUMBERS = {
    "whole powers": lambda n: lambda x: x**n,
    "real powers": lambda n: lambda x: x ** (n + 0.5),
    "full": lambda n: lambda x: fnp.full((30,), n) + x[0],
    "full of reals": lambda n: lambda x: fnp.full((30,), float(n)) + x[0],
    "added": lambda n: lambda x: x + n,
    "ranges": lambda n: lambda x: fnp.arange(n) + x[0],
    "starts": lambda n: lambda x: x[n:] * 2,
    "stops": lambda n: lambda x: x[:n] * 2,
    "steps": lambda n: lambda x: x[::n] * 2,
    "backwards": lambda n: lambda x: x[::-n] * 2,
    "elements": lambda n: lambda x: x[n] * 2,
    "padded": lambda n: lambda x: fnp.pad(x, (n, 0)),
    "padded behind": lambda n: lambda x: fnp.pad(x, (0, n)),
    "repeated": lambda n: lambda x: fnp.tile(x, n),
    "rolled": lambda n: lambda x: fnp.roll(x, n),
    "repeatedly": lambda n: lambda x: fad.fori_loop(0, n, lambda i, v: v * 1.5, x),
    "scanned": lambda n: lambda x: fad.scan(lambda c, _: (c * 1.25, c[0]), x, None, length=n)[1],
    "written": lambda n: lambda x: x.at[n].set(2.0),
    "shifted": lambda n: lambda x: fnp.left_shift(fnp.arange(30), n),
    "remainders": lambda n: lambda x: fnp.arange(50) % n,
    "smallest": lambda n: lambda x: fnp.partition(x, n),
}


@pytest.mark.parametrize("make", WITH_NUMBERS.values(), ids=WITH_NUMBERS)
def test_numbers_are_not_mixed_up(make):
    for n in (9, 14, 8, 20, 14, 9):
        check_compiled(make(n), X, native=False)
        check_compiled(lambda x, n=n: fnp.sum(make(n)(x)) + fnp.sum(x[:n]), X, native=False)


@pytest.mark.parametrize("inner", [1, 7, 8, 9, 12, 40])
def test_elements_that_are_spread(inner):
    from fad.primitives.slicing import pad

    check_compiled(lambda x: pad(x, ((0, 0, inner),)) * 2.0, X)
    check_compiled(lambda x: pad(x, ((3, 12, inner),)) * 2.0, X)


def test_axes_beyond_the_eighth():
    for axis in (9, 10, 11, 8):
        check_compiled(lambda x, axis=axis: fnp.sum(x, axis=axis), DEEP)
        check_compiled(lambda x, axis=axis: fnp.flip(x, axis) * 2, DEEP)
        check_compiled(lambda x, axis=axis: fnp.argmax(x, axis=axis), DEEP)
        check_compiled(lambda x, axis=axis: fnp.sort(-x, axis=axis), DEEP)
        check_compiled(lambda x, axis=axis: fnp.cumsum(x, axis=axis), DEEP)
        check_compiled(lambda x, axis=axis: fnp.swapaxes(x, 0, axis) + 1, DEEP)


def key(function, *args):
    return program_form(body_program(fad.make_program(function)(*args))).key


def test_sizes_share_code():
    assert key(lambda x: x[17:] * 2, X) == key(lambda x: x[19:] * 2, X)
    assert key(lambda x: fnp.pad(x, (18, 20)), X) == key(lambda x: fnp.pad(x, (19, 25)), np.ones(70))
    assert key(lambda x: x + 11, X) == key(lambda x: x + 12, X)
    assert key(lambda x: x**9, X) != key(lambda x: x**14, X)


def sum_of_sines(numbers):
    return lambda x: sum(fnp.sin(x * n) for n in numbers)


def test_many_numbers_are_compiled_in():
    numbers = [0.1 + 0.01 * k for k in range(60)]
    first, last = [0.15, *numbers[1:]], [*numbers[:-1], 0.15]
    assert key(sum_of_sines(numbers), X) == key(sum_of_sines([9.5, *numbers[1:]]), X)
    assert key(sum_of_sines(numbers), X) != key(sum_of_sines(last), X)
    assert len(program_form(body_program(fad.make_program(sum_of_sines(numbers))(X))).scalars) == 32
    for chosen in (numbers, first, last, numbers):
        check_compiled(sum_of_sines(chosen), X)
        check_compiled(lambda x, chosen=chosen: sum(x * n for n in (*chosen, *chosen)), np.arange(40))
