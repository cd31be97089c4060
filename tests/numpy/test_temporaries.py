"""Operators take the memory of temporaries of an expression, and of nothing else."""

import functools
import operator
import tracemalloc

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.temporaries import LONE

SIZE = 20_000  # 160 kB: large enough
EXPRESSIONS = """
x - 0.5 * y
0.5 * y - x
x * y + z
x + y * z
(x + y) * (x - z) / (y + 2.0)
-x * y + -z
-(x * y) - -(z + 1)
x * y * z * x * y
(x + 1) + (x + 1)
x + (y if 0 else x * y) + z
(x * y if 1 else z) + z
[x * y, x + y][0] * 2.0 + [x][0] * 2.0
(lambda a: (a + 1.0) * a)(x * y) + 1.0
(x + row) * (row + 1.0) + row * (x * y)
(row * 2.0) + x.reshape(4, -1)[0]
(x * 2.0)[::-1] + (x * 3.0)
(x * 2.0).reshape(2, -1).T + (x * 3.0).reshape(-1, 2)
fn.exp(x * 0.1 + y) * (x + y) - fn.exp(x * 0.1 + y)
fn.maximum(x * y + z, 0.0) * (x - y)
(x * y) ** 2 + (x * y) ** 3
(x > 0) * (y * z) + (x + y)
(x + 1j * y) * (1j * z + x) + (x * y)
(x.astype('float32') * 2 + y) - x.astype('float32') * 3
sum([x * k for k in (1.0, 2.0)], x * y) + sum([x, y, z])
(x * 2.0 + 1) / (1 + (y * y + z * z)) - (x + y + z)
""".strip().splitlines()


def inputs(size=SIZE):
    generator = np.random.default_rng(0)
    x, y, z = generator.normal(size=(3, size))
    return {"x": x, "y": y, "z": z, "row": np.array([1.5])}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_values_are_numpys_and_what_has_a_name_keeps_its_own(expression):
    arrays = inputs()
    ours = {name: fad.Array(a) for name, a in arrays.items()}
    code = compile(expression, "expression", "eval")
    for _ in range(3):  # from the second time on the answer about the code is a remembered one
        found = eval(code, {"fn": fnp, **ours})
        np.testing.assert_allclose(found, eval(code, {"fn": np, **arrays}), rtol=1e-12)
        for name, kept in arrays.items():
            np.testing.assert_array_equal(ours[name], kept)


@pytest.mark.parametrize("expression", [e for e in EXPRESSIONS if "1j" not in e])
def test_derivatives_read_what_they_need(expression):
    # The same on small arrays, whose memory is never taken, added up over pieces of the large ones.
    arrays = inputs()
    code = compile(expression, "expression", "eval")

    def value(x, y, z, row):
        return fnp.sum(eval(code, {"fn": fnp, "x": x, "y": y, "z": z, "row": row}) ** 2)

    if "reshape" in expression or "[::-1]" in expression:
        wanted = fad.grad(fad.jit(value), (0, 1, 2, 3))(*arrays.values())
    else:
        pieces = [
            fad.grad(value, (0, 1, 2, 3))(*[a[k : k + 1000] if a.size > 1 else a for a in arrays.values()])
            for k in range(0, SIZE, 1000)
        ]
        *columns, rows = zip(*pieces, strict=True)
        wanted = [*(np.concatenate([np.asarray(p) for p in column]) for column in columns), sum(rows)]
    for found, expected in zip(fad.grad(value, (0, 1, 2, 3))(*arrays.values()), wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4 if "float32" in expression else 1e-9, atol=1e-6)


def peak(function, *args):
    """How much more memory than before a call holds at its highest."""
    function(*args)
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not LONE, reason="this interpreter's reference counts do not tell temporaries")
def test_a_temporary_gives_its_memory():
    x, y = fad.Array(inputs()["x"]), fad.Array(inputs()["y"])
    array = x.nbytes
    assert peak(lambda: x - 0.5 * y) < 1.5 * array
    assert peak(lambda: ((x + 1.0) * y - 0.5) / y) < 1.5 * array
    # What the backward pass reads stays: y, and neither sum.
    assert peak(fad.grad(lambda x: (((x + 1.0) + y) - 2.0).sum()), x) < 3.5 * array


def test_arrays_of_objects_keep_their_elements():
    # NumPy's loops over objects hand them over without counting them.
    x = fad.Array(inputs()["x"])
    objects = np.empty(2, dtype=object)
    for k in range(2):
        objects[k] = x * (k + 1.0)
    for result in (
        objects + 1.0,
        objects * objects,
        1.0 - objects,
        objects[:1] + objects[1:],
        (objects + objects) * 2.0 - objects,
    ):
        assert len(result) in (1, 2)
    np.testing.assert_array_equal(objects[0], inputs()["x"])
    np.testing.assert_array_equal(objects[1], inputs()["x"] * 2.0)


def test_numpy_arrays_beside_temporaries_keep_theirs():
    x, y = inputs()["x"], inputs()["y"]
    kept = x.copy()
    np.testing.assert_array_equal((fad.Array(y) * 2.0) * x, y * 2.0 * kept)
    np.testing.assert_array_equal(x - (fad.Array(y) * 2.0), kept - y * 2.0)
    np.testing.assert_array_equal(fad.grad(lambda y: ((y * 2.0) * x + x * (y + x)).sum())(y), 3.0 * kept)
    np.testing.assert_array_equal(x, kept)


def test_functions_written_in_c_may_hold_what_they_pass():
    x, y = fad.Array(inputs()["x"]), fad.Array(inputs()["y"])
    made = [x * 2.0, y * 2.0]
    total = functools.reduce(operator.add, made, operator.mul(x, 2.0))
    totals = list(map(operator.sub, made, [x * 2.0, y * 2.0]))
    np.testing.assert_array_equal(made[0], inputs()["x"] * 2.0)
    np.testing.assert_array_equal(made[1], inputs()["y"] * 2.0)
    np.testing.assert_allclose(total, inputs()["x"] * 4.0 + inputs()["y"] * 2.0)
    assert not any(np.any(t) for t in totals)


def test_values_kept_by_what_made_them_stay():
    class Remembering:
        kept = fad.Array(inputs()["x"]) * 2.0

        def __mul__(self, other):
            return self.kept

    before = np.array(Remembering.kept)
    np.testing.assert_array_equal(Remembering() * 1.0 + 1.0, before + 1.0)
    np.testing.assert_array_equal(Remembering.kept, before)


def test_errors_are_the_ones_of_fresh_memory():
    x = fad.Array(inputs()["x"])
    with pytest.raises(fad.errors.ShapeError, match="do not broadcast"):
        _ = x * 2.0 + fnp.ones(3)
    with (
        np.errstate(all="ignore"),
        fad.config.using(check_nans=True),
        pytest.raises(fad.errors.NonFiniteError, match="subtract"),
    ):
        _ = x * np.inf - x * np.inf


# --- cotangents that a pullback may write into -------------------------------------------------------------------------------------------


def rectified(x):
    return fnp.maximum(x, 0.0)


def test_the_callers_cotangent_keeps_its_values():
    x, cotangent = inputs()["x"], inputs()["y"]
    kept = cotangent.copy()
    for given in (cotangent, fad.Array(cotangent)):
        _, pullback = fad.vjp(rectified, x)
        first, second = pullback(given), pullback(given)
        np.testing.assert_array_equal(first[0], kept * (x > 0))
        np.testing.assert_array_equal(second[0], kept * (x > 0))
        np.testing.assert_array_equal(given, kept)


def test_a_cotangent_that_goes_to_several_places_is_the_same_in_each():
    x, y = inputs()["x"], inputs()["y"]

    def f(x, y):
        both = rectified(x) + rectified(y) + fnp.minimum(x, 0.5)  # the sum hands one cotangent to all three
        return ((both + y) * y).sum()

    by_x, by_y = fad.grad(f, (0, 1))(x, y)
    np.testing.assert_allclose(by_x, y * (x > 0) + y * (x < 0.5), rtol=1e-12)
    value = np.maximum(x, 0) + np.maximum(y, 0) + np.minimum(x, 0.5)
    np.testing.assert_allclose(by_y, y * (y > 0) + y + value + y, rtol=1e-12)


def test_cotangents_that_a_rule_of_the_user_keeps_stay_as_they_were():
    x, seen, held = inputs()["x"], [], []

    @fad.custom_vjp
    def doubled(x):
        return 2.0 * x

    def backward(_, cotangent):
        seen.append(np.array(cotangent))
        held.append(cotangent)
        return (cotangent,)

    doubled.defvjp(lambda x: (2.0 * x, None), backward)
    found = fad.grad(lambda x: (doubled(rectified(x)) * x).sum())(x)
    np.testing.assert_array_equal(held[0], seen[0])
    np.testing.assert_allclose(found, x * (x > 0) + 2.0 * np.maximum(x, 0), rtol=1e-12)

    looked_at = []
    fad.grad(lambda x: (fad.debug.tap_gradient(rectified(x), lambda c: looked_at.append(c) or c) * x).sum())(x)
    np.testing.assert_array_equal(looked_at[0], x)


@pytest.mark.skipif(not LONE, reason="this interpreter's reference counts do not tell temporaries")
def test_a_cotangent_that_nobody_else_has_gives_its_memory():
    x = fad.Array(inputs()["x"])
    array = x.nbytes

    def f(x):
        for _ in range(6):
            x = rectified(x)
            x = fnp.maximum(x + 1.0, 0.5)
        return (x * 2.0).sum()

    assert fad.core.temporaries._PASSED_ON
    # Of each extremum the tape keeps one byte an element, and the cotangent stays one array on its way.
    assert peak(fad.grad(f), x) < (12 / 8 + 3.5) * array


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", [0.0, -0.5, 1, np.inf, np.nan])
@pytest.mark.parametrize("function", ["maximum", "minimum"])
def test_extremes_of_rows_and_a_number(function, number, dtype):
    rows = inputs()["x"][: 250 * 80].reshape(250, 80).astype(dtype)
    special = rows.copy()
    special[::7, ::5] = number  # ties share
    special[3, :6] = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0]
    for x in (rows, special, special.T, special[:, ::-1], np.asfortranarray(special)):
        for swapped in (False, True):

            def f(x, swapped=swapped):
                return getattr(fnp, function)(*((number, x) if swapped else (x, number)))

            expected = getattr(np, function)(x, number)
            np.testing.assert_array_equal(f(fad.Array(x)), expected)
            wins = (x > number) if function == "maximum" else (x < number)
            share = np.where(x == number, 0.5, wins).astype(dtype)
            (found,) = fad.vjp(f, x)[1](rows.reshape(x.shape))
            np.testing.assert_array_equal(found, rows.reshape(x.shape) * share)
            assert found.dtype == dtype
