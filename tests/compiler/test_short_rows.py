"""Loops over many small arrays: their short axes are written out, and vectors hold one element of several of them."""

import re

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.llvm.math_library import host_target
from tests.compiler.compiled_programs import check_compiled, kernels
from tests.compiler.test_shared_code import count_equal

ROWS = (2048, 2049, 2051, 2063, 5003)
RNG = np.random.default_rng(0)


def rows(count, *inner, dtype=float):
    return (RNG.normal(size=(count, *inner)) + 0.1).astype(dtype)


def rotated(x, w):
    """Vectors turned about axes of their own: cross products, sines of row lengths, sums over rows and over all of them."""
    axis = fnp.concatenate([x[:, 1:], x[:, :1]], axis=1)
    length = fnp.sqrt(fnp.sum(axis * axis, axis=1, keepdims=True))
    turned = fnp.cross(axis / length, x) * fnp.sin(length) + w[:, None] * x
    return turned, fnp.sum(turned, axis=0), fnp.max(turned, axis=1), fnp.sum(turned * turned)


def jacobians(x, w):
    def residual(x, w):
        flat = x[:2] / (2.0 + x[2] ** 2)
        return w * flat * (1.0 + fnp.sum(flat * flat)) + fnp.pad(x[:1], (0, 1))

    by_x, by_w = fad.vmap(fad.jacrev(residual, argnums=(0, 1)))(x, w)
    return fnp.concatenate([by_x, by_w[..., None]], axis=-1)


def rounding(dtype):
    return 3e-4 if dtype == "f4" else 1e-11


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("count", ROWS)
def test_vectors_of_three(count, dtype):
    args = rows(count, 3, dtype=dtype), rows(count, dtype=dtype)
    compiled = check_compiled(rotated, *args, tolerance=rounding(dtype))
    assert len(kernels(compiled)) == 1
    check_compiled(jacobians, *args, tolerance=rounding(dtype))
    gradient = fad.grad(lambda *args: sum(fnp.sum(fnp.cos(y)) for y in rotated(*args)), argnums=(0, 1))
    check_compiled(gradient, *args, tolerance=100 * rounding(dtype))


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "i8", "u2", "i1", "?"])
@pytest.mark.parametrize("inner", [(1,), (2,), (3,), (5,), (11,), (15,), (2, 3), (3, 1), (2, 2, 2), (2, 15)], ids=str)
def test_any_row(inner, dtype):
    count = 2150
    x, y = rows(count, *inner, dtype=dtype), rows(count, *inner, dtype=dtype)
    number = fnp.sum(x[..., :1], axis=tuple(range(1, x.ndim)))

    def f(x, y, number):
        spread = fnp.reshape(number, (count,) + (1,) * len(inner))
        joined = fnp.concatenate([x, y[..., ::-1], x[..., :1]], axis=-1)[..., 1:]
        chosen = fnp.where(x == y, x, y * spread)
        padded = fnp.pad(chosen, ((0, 0),) * len(inner) + ((1, 2),))
        sums = [fnp.sum(chosen, axis=axis) for axis in (-1, 0, tuple(range(1, x.ndim)), (0, x.ndim - 1))]
        return joined, chosen, padded, *sums, fnp.any(chosen, axis=-1), fnp.prod(x * 0 + x, axis=-1)

    check_compiled(f, x, y, np.asarray(number), tolerance=rounding("f4" if dtype == "f4" else "f8"))


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_joined_rows_ask_nothing_of_their_places(dtype):
    x, y, z = rows(2150, 11, dtype=dtype), rows(2150, 3, dtype=dtype), rows(2150, 1, dtype=dtype)

    def f(x, y, z):
        return fnp.concatenate([fnp.sin(x), y * z, z], axis=1)

    check_compiled(f, x, y, z, tolerance=rounding(dtype))
    check_compiled(fad.grad(lambda *args: fnp.sum(f(*args) ** 2)), x, y, z, tolerance=rounding(dtype))
    # One loop over vectors of rows, not one more for what is near an edge.
    assert len(sines(f, x, y, z)) == x.shape[1]
    assert len(sines(lambda *args: fnp.stack([f(*args), 2.0 * f(*args)], axis=1), x, y, z)) == x.shape[1]


def sines(f, *args):
    """How many numbers each call of sine takes, as LLVM writes it."""
    return re.findall(r"call <(\d+) x \w+> @\"fad_sin_", fad.jit(f).lower(*args).as_text("llvm"))


def test_many_values_at_once_take_one_register_each():
    def f(x, count):
        y = [x[:, k % 3] * (k + 1.5) for k in range(count)]
        y = y + [fnp.sin(y[0]) * a for a in y]
        return sum(a * b for a, b in zip(y, reversed(y), strict=True))

    x, bits, widths = rows(2150, 3), host_target().vector_bits, {}
    for count in (4, 90):
        check_compiled(lambda x, count=count: f(x, count), x)
        widths[count] = sines(lambda x, count=count: f(x, count), x)
    assert widths == {4: ["8"], 90: [str(min(8, bits // 64))]}


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_extremes_and_special_values(dtype):
    x = rows(2100, 3, dtype=dtype)
    x[::7, 1], x[::11, 2], x[::13, 0], x[::17] = np.nan, np.inf, -0.0, -np.inf

    def f(x):
        return (
            fnp.max(x, axis=1),
            fnp.min(x, axis=0),
            fnp.argmax(x, axis=1),
            fnp.sum(x, axis=1) * fnp.exp(x[:, 0]),
            fnp.concatenate([x[:, 1:], 1 / x[:, :1]], axis=1),
            fnp.sum(-x * 0.0, axis=1),
        )

    check_compiled(f, x, tolerance=rounding(dtype))


def test_complex_rows():
    x = rows(2150, 3, dtype=complex) * (1 + 2j)

    def f(x):
        y = fnp.concatenate([x[:, 1:] * 1j, fnp.conj(x[:, :1])], axis=1)
        results = y / x, fnp.sum(y * x, axis=1), fnp.sum(y, axis=0), fnp.exp(x) * fnp.sum(y, axis=1, keepdims=True)
        return [part for z in results for part in (fnp.real(z), fnp.imag(z))]

    check_compiled(f, x)


def test_rows_of_rows_and_of_several_axes():
    x, w = rows(130, 17, 3), rows(130, 17)

    def f(x, w):
        outer = x[..., :, None] * x[..., None, :] * w[..., None, None]
        return (
            fnp.sum(outer, axis=(0, 3)),
            fnp.sum(fnp.tanh(outer), axis=(1, 2)),
            fnp.concatenate([x, w[..., None]], -1),
        )

    check_compiled(f, x, w)
    check_compiled(
        fad.grad(lambda x, w: sum(fnp.sum(fnp.sin(y)) for y in f(x, w)), argnums=(0, 1)), x, w, tolerance=1e-10
    )


def test_rows_are_read_in_any_order():
    x = rows(2300, 3)

    def f(x):
        y = fnp.sin(x) * fnp.sum(x, axis=1, keepdims=True)
        return y[::-1] + x, y[:, ::-1], fnp.roll(y, 1, axis=0), y[5:-4, 1], y.T @ x, fnp.cumsum(y, axis=0)

    check_compiled(f, x)


def test_long_sums_do_not_gather_errors():
    x = np.full((200_000, 3), 0.1, "f4")
    total = fad.jit(lambda x: fnp.sum(x * fnp.concatenate([x[:, 1:], x[:, :1]], axis=1), axis=0))(x)
    np.testing.assert_allclose(total, np.full(3, 200_000 * float(x[0, 0]) ** 2), rtol=2e-6)


def test_results_do_not_depend_on_the_number_of_threads():
    x, w = rows(70_001, 3), rows(70_001)
    with fad.config.using(threads=1):
        one = fad.jit(rotated)(x, w)
    with fad.config.using(threads=2):
        two = fad.jit(rotated)(x, w)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_given_memory_is_taken_and_read_first():
    x, w = rows(2400, 3), rows(2400)
    expected = [np.asarray(y) for y in rotated(fad.Array(x), fad.Array(w))]
    found = fad.jit(rotated, donate_argnums=(0, 1))(fad.Array(x), fad.Array(w))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)


def test_more_than_a_turn_can_hold():
    x = rows(2100, 2, 15)

    def f(x):
        parts = [x]
        for k in range(100):
            parts.append(fnp.concatenate([parts[-1][..., 1:], fnp.sin(parts[-1][..., :1] + k)], axis=-1))
        return sum(parts), fnp.sum(parts[-1], axis=(1, 2))

    check_compiled(f, x)


def test_the_number_of_rows_is_an_argument():
    pair = [(rotated, [rows(n, 3), rows(n)]) for n in (2150, 2163)]
    assert count_equal(*pair) == 1


def neighbours(x, y):
    for _ in range(3):
        x = fnp.concatenate([x[:1], x[1:] * x[:-1]]) * 0.5 + y
    z = y
    for _ in range(3):
        z = fnp.pad(z[1:] * y[1:], (0, 1)) - x[::-1]
    return x, z, fnp.cumsum(z), fnp.sum(z * x)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i4"])
@pytest.mark.parametrize("count", [9, 12, 15, 16, 17])
def test_a_few_elements_need_no_loop(count, dtype):
    args = rows(count, dtype=dtype), rows(count, dtype=dtype)
    compiled = check_compiled(neighbours, *args, tolerance=rounding(dtype))
    assert (len(kernels(compiled)) == 1) == (10 <= count <= 16)  # eight elements are registers


@pytest.mark.parametrize("count", [9, 12, 16, 33])
def test_turns_of_a_few_elements(count):
    def solve(x):
        def turn(y, _):
            k = fnp.concatenate([x[:1], x[1:] * y[:-1]])
            m = fnp.concatenate([x[:1], x[1:] * (y + 0.05 * k)[:-1]])
            return y + 0.1 * fnp.tanh(m), fnp.sum(m)

        end, sums = fad.scan(turn, fnp.zeros(x.shape), None, length=7)
        return fnp.sum(end * end) + fnp.sum(sums)

    check_compiled(solve, rows(count))
    check_compiled(fad.grad(solve), rows(count))
    check_compiled(fad.hessian(solve), rows(count), tolerance=1e-11)


@pytest.mark.parametrize("channels", [20, 32, 33, 130])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_rows_of_a_padded_image_are_written_in_vectors(channels, dtype):
    x = RNG.normal(size=(3, 8, 7, channels)).astype(dtype)

    def f(x):
        return fnp.pad(x, ((0, 0), (1, 2), (2, 1), (0, 0))), fnp.concatenate([x[:, :2], x + 1, x[:, 1:]], axis=1)

    check_compiled(f, x, tolerance=0)
    text = fad.jit(lambda x: f(x)[0]).lower(x).as_text("llvm")
    kind = "float" if dtype == "f4" else "double"
    assert f"store <{64 // x.itemsize} x {kind}>" in text
    assert f"store {kind} " not in text
