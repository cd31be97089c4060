"""Code that is shared by many sizes: it does not depend on the one it was written for, and stays inside its arrays at all of them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fad
import fad.numpy as fnp
from fad.compiler.canonical import program_form
from fad.compiler.llvm.lowering import lower_segment
from fad.compiler.nested import body_program
from fad.compiler.segments import NativeStep, split
from fad.compiler.size_classes import LARGEST_STATIC, OWN_CODE, least_size, most_size, size_class
from tests.compiler.program_steps import STEPS, function_of
from tests.compiler.sized_cases import CASES, numbers, sizes_from

PAIRS = [((17, 40, 23), (19, 47, 36)), ((18, 24, 20), (22, 30, 26)), ((130, 17, 18), (300, 30, 24))]


def codes(function, args):
    """The key and the code of every native segment, and the lives of its temporary arrays, sizes by their symbols."""
    found = []
    for step in split(body_program(fad.make_program(function)(*args))):
        if isinstance(step, NativeStep):
            canonical = program_form(step.program)
            texts = []
            memory = lower_segment(
                "same", step.program, canonical, lambda _, source, *rest, to=texts: to.append(source)
            ).memory
            shapes = [[canonical.symbols.get(n, n) for n in b.shape] for b in memory.blocks]
            lives = [(b.itemsize, b.born, b.died) for b in memory.blocks]
            found.append((canonical.key, texts, shapes, lives))
    return found


def count_equal(first, second):
    """How many segments of two Programs share their key; asserts that these share everything else."""
    equal = 0
    for one, other in zip(codes(*first), codes(*second), strict=False):
        if one[0] == other[0]:
            assert one == other
            equal += 1
    return equal


@pytest.mark.parametrize("name", CASES)
def test_code_does_not_depend_on_the_sizes_it_was_written_for(name):
    for one, other in PAIRS:
        count_equal(CASES[name](sizes_from(*one)), CASES[name](sizes_from(*other)))


def test_sizes_of_a_class_share_their_code():
    for one, other in PAIRS:
        assert count_equal(CASES["sums"](sizes_from(*one)), CASES["sums"](sizes_from(*other))) == 1


def test_integers_beside_floats_share_their_code():
    """A mean divides by the number of its elements, which fits into 8 bits or does not."""
    for one, other in ((41, 53), (19, 120), (300, 1500)):
        args = [[numbers(n, 5), numbers(n, 5, dtype="f4")] for n in (one, other)]
        assert (
            count_equal(
                (lambda x, y: (fnp.mean(x * y), y * y.size), args[0]),
                (lambda x, y: (fnp.mean(x * y), y * y.size), args[1]),
            )
            == 1
        )


def test_integers_beside_narrow_ones_do_not():
    def less(bound):
        return (lambda x: x < bound), [np.arange(40, dtype=np.uint8)]

    assert count_equal(less(100), less(120)) == 1
    assert count_equal(less(100), less(300)) == 0
    f = {bound: fad.jit(less(bound)[0]) for bound in (100, 300, 70_000)}
    for bound, g in f.items():
        assert np.asarray(g(np.arange(200, dtype=np.uint8))).sum() == min(bound, 200)


def test_exponents_that_are_fractions_share_their_code():
    def power(exponent):
        return (lambda x: x**exponent + np.float32(2.5) ** x), [np.linspace(0.0, 3.0, 40)]

    assert count_equal(power(1.37), power(-2.21)) == 1
    assert count_equal(power(1.37), power(3.0)) == 0
    for exponent in (1.37, -2.21, 3.0, np.float64(2.75), 100.5, np.float64(12.0)):
        function, (x,) = power(exponent)
        np.testing.assert_allclose(fad.jit(function)(x[1:]), function(x[1:]), rtol=1e-14)


def test_classes_hold_their_sizes():
    for n in range(1, 5000):
        assert least_size(n) <= n <= most_size(n)
        if n > LARGEST_STATIC and n != OWN_CODE:
            assert size_class(least_size(n)) == size_class(n) == size_class(min(most_size(n), 10**6))


def test_one_size_has_code_of_its_own_where_that_matters():
    assert [n for n in range(LARGEST_STATIC + 1, 5000) if size_class(n) == size_class(OWN_CODE)] == [OWN_CODE]
    for function, are_alike in ((lambda x: x * 2 + x, True), (lambda x: fnp.sum(x, axis=0), False)):
        own, other = [codes(function, [numbers(200, n, dtype="f4")])[0][1][0] for n in (OWN_CODE, OWN_CODE + 1)]
        assert (own == other) is are_alike, "kernels with the same code are compiled once"


@pytest.mark.parametrize("sizes", [(32, 24, 33, 32, 64, 17, 100), (40, 32, 20), (16, 32, 8, 15, 9)], ids=str)
def test_rows_of_other_lengths_after_rows_that_registers_hold(sizes):
    f = fad.jit(lambda x, y: (x * y, fnp.sum(x * y, axis=0), fnp.sum(x, axis=0)))
    for n in sizes:
        x, y = numbers(150, n, dtype="f4"), numbers(n, dtype="f4")
        product, total, other = f(x, y)
        np.testing.assert_allclose(product, x * y, rtol=1e-6)
        np.testing.assert_allclose(total, np.sum((x * y).astype("f8"), axis=0), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(other, np.sum(x.astype("f8"), axis=0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", ["f4", "f2", "i1", "i2", "f8"])
def test_a_shorter_array_after_a_longer_one(dtype):
    # Vectors of 16 lanes were written for arrays of 20 elements, and then started 7 elements before one of 9.
    f = fad.jit(lambda x: x * 2 + x)
    for n in (200, 40, 17, 20, 9, 15, 16, 130, 10):
        x = numbers(n, dtype=dtype)
        np.testing.assert_array_equal(f(x), x * 2 + x)


def test_no_access_outside_of_an_array():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-m", "tests.compiler.guarded_memory"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout[-300:]}\n{run.stderr[-2000:]}"
    assert run.stdout.endswith("nothing outside was touched\n")


LARGE = st.sampled_from([1, 3, 9, 12, 17, 40, 130])
numbers_of_steps = st.tuples(*[st.integers(0, 999)] * 4)
random_steps = st.lists(
    st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 99), st.integers(0, 99), numbers_of_steps),
    min_size=1,
    max_size=7,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(LARGE, min_size=1, max_size=2), st.sampled_from(["f8", "f4", "i4", "f2"]), random_steps)
def test_random_programs_do_not_depend_on_their_sizes(shape, dtype, steps):
    grown = {n: n if n <= LARGEST_STATIC else n + 1 for n in shape}
    pair = []
    for sizes in (shape, [grown[n] for n in shape]):
        args = [numbers(*sizes, dtype=dtype), numbers(sizes[-1]), np.arange(sizes[0])]
        pair.append((function_of(steps), args))
    count_equal(*pair)


def test_signs_of_constants_are_not_mixed_up():
    f = fad.jit(lambda x: (fnp.full(20, 0.0) * x, fnp.full(20, -0.0) * x, fnp.full(20, 0.0) * x))
    assert [bool(np.signbit(out[0])) for out in f(1.0)] == [False, True, False]
