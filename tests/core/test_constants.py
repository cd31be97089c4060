"""Arrays that a Program reads as constants."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.passes.redundancy import merge_equal
from fad.core.constants import DistinctArrays

X = np.linspace(-1.0, 2.0, 300).reshape(100, 3)


def loss(p):
    return fnp.sum(fnp.tanh(X @ p))


def several(p):
    slope = fad.grad(loss)
    return loss(p), slope(p), fad.jvp(slope, (p,), (p,))[1]


def test_an_array_that_a_function_reads_is_one_constant_under_any_transforms():
    program = fad.make_program(several)(np.ones(3))
    (only,) = program.constants.values()
    np.testing.assert_array_equal(only, X)
    assert only is not X


def test_what_is_the_same_in_a_value_and_its_derivatives_is_computed_once():
    compiled = fad.jit(several)
    assert str(compiled.lower(np.ones(3))).rsplit("Kernels", 1)[1].count("tanh(") == 1
    for got, want in zip(compiled(np.ones(3)), several(np.ones(3)), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_arrays_of_functions_whose_calls_are_written_out_are_one():
    inner = fad.jit(loss)
    text = str(fad.jit(lambda p: (inner(p), fad.grad(inner)(p))).lower(np.ones(3)))
    assert text.rsplit("Kernels", 1)[1].count("tanh(") == 1


def test_writing_into_an_array_between_two_uses_makes_another_constant():
    mutable = X.copy()

    def changing(p):
        before = mutable @ p
        mutable[57, 1] += 1.0  # none of the elements that are compared first
        return before, mutable @ p

    compiled = fad.jit(changing)
    before, after = compiled(np.ones(3))
    np.testing.assert_allclose(before, X @ np.ones(3))
    np.testing.assert_allclose(after - before, np.arange(100) == 57)


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000, 4099])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128, np.int8, bool])
def test_arrays_are_equal_by_all_bits(size, dtype):
    array = (np.arange(size) % 7).astype(dtype)
    seen = DistinctArrays()
    assert seen.first(array, 0) == 0
    assert seen.first(array.copy(), 1) == 0
    assert seen.first(array.reshape(-1, 1), 2) == 2
    assert seen.first(array.astype(np.complex64), 3) == 3
    for place in {0, size // 2, size - 1} if size else ():
        other = array.copy()
        other[place] = not other[place]
        assert seen.first(other, (place, "changed")) == (place, "changed")
        assert seen.first(array.copy(), 4) == 0


def test_signed_zeros_and_nans_are_told_apart_and_shapes_without_elements():
    seen = DistinctArrays()
    assert [seen.first(np.array([x, 1.0]), x) for x in (0.0, -0.0, 0.0)] == [0.0, -0.0, 0.0]
    assert np.signbit(seen.first(np.array([-0.0, 1.0]), "no"))
    assert seen.first(np.array([np.nan]), "nan") == seen.first(np.array([np.nan]), "again") == "nan"
    assert seen.first(np.array(3.0), "0-d") == "0-d"
    assert seen.first(np.array([3.0]), "1-d") == "1-d"
    assert seen.first(np.zeros((0, 3)), "empty") == "empty"
    assert seen.first(np.zeros((0, 4)), "other") == "other"


def test_what_is_not_in_row_order_or_not_numpys_is_equal_to_nothing():
    seen = DistinctArrays()
    turned = np.asfortranarray(X)
    assert seen.first(turned, 1) == 1
    assert seen.first(turned, 2) == 2
    assert seen.first(object(), 3) == 3


def test_signs_of_zeros_among_constants_stay():
    zeros, negative = np.zeros(3), -np.zeros(3)
    staged = fad.make_program(lambda x: (x / zeros, x / negative, x / zeros.copy()))(np.ones(3))
    assert len(staged.constants) == 2
    assert len(merge_equal(staged).equations) == 2
    first, second, third = fad.jit(lambda x: (x / zeros, x / negative, x / zeros.copy()))(np.ones(3))
    assert (np.asarray(first) == np.inf).all()
    assert (np.asarray(second) == -np.inf).all()
    assert (np.asarray(third) == np.inf).all()
