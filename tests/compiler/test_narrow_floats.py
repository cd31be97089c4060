"""bfloat16 and float16 in native code: every bfloat16, roundings, dtypes, sums; and random programs in every floating dtype and size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fad
import fad.nn as nn
import fad.numpy as fnp
from fad.primitives import arithmetic, math_functions
from tests.transforms.functions import function_of_recipe

EVERY = fnp.asarray(np.arange(1 << 16, dtype=np.uint16).view(fnp.bfloat16))
FUNCTIONS = {
    "to float32": lambda x: x.astype("float32"),
    "to float64": lambda x: x.astype("float64"),
    "to float16": lambda x: x.astype("float16"),
    "to bool": lambda x: x.astype(bool),
    "add a number": lambda x: x + 0.1,
    "add float32": lambda x: x + np.float32(0.1),
    "multiply": lambda x: x * x,
    "divide": lambda x: 1.0 / x,
    "negative": lambda x: -x,
    "choose": lambda x: fnp.where(x > 1, x, 0.1),
    "multiply by a condition": lambda x: x * (x > 0.3),
    "equal": lambda x: x == 257,  # which is rounded to 256 first
    "maximum": lambda x: fnp.maximum(x, 0.3),
    "views": lambda x: x.reshape(256, 256).T[::2],
    "sqrt": fnp.sqrt,
    "sort": lambda x: fnp.sort(x + 0.0),  # of zeros of both signs, either may come first
}


def bits(array):
    """Bit patterns, all NaN alike."""
    array = np.ascontiguousarray(array)
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(array), 1, array.view(f"u{array.dtype.itemsize}"))


def is_native(jitted, *args):
    return "Python:" not in jitted.lower(*args).as_text("segments")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_bfloat16_gives_the_same_bits_compiled(name):
    compiled = fad.jit(FUNCTIONS[name])
    with np.errstate(all="ignore"):
        expected, seen = FUNCTIONS[name](EVERY), compiled(EVERY)
    assert seen.dtype == expected.dtype
    np.testing.assert_array_equal(bits(seen), bits(expected))
    assert is_native(compiled, EVERY)


def test_the_spacing_of_every_float16_is_numpys():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    with np.errstate(all="ignore"):
        expected, seen = fnp.spacing(every), fad.jit(fnp.spacing)(every)
    np.testing.assert_array_equal(bits(seen), bits(expected))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("number", [1j, 1 + 0j])
def test_a_complex_number_is_compared_with_both_its_parts(dtype, number):
    x = fnp.asarray([0, 1, 2], dtype)

    def compared(x):
        return x == number, x != number, number == x

    for seen, wanted in zip(fad.jit(compared)(x), compared(x), strict=True):
        np.testing.assert_array_equal(seen, wanted)
    total = fad.jit(lambda x: fnp.sum(fnp.arange(3)) > number)(x)
    assert total == (np.int64(3) > number)


@pytest.mark.parametrize("operation", [arithmetic.multiply, arithmetic.less, math_functions.power])
def test_a_python_number_has_the_digits_that_numpy_gives_it(operation):
    """Of bfloat16 and a float, which only operations inside of fad meet, NumPy makes float32."""
    x = EVERY[np.isfinite(EVERY.astype("float32"))][::37]

    def f(x):
        return fad.core.array.wrap(operation.bind(fad.numpy.conversion.operand(x), 0.1))

    with np.errstate(all="ignore"):
        expected, seen = f(x), fad.jit(f)(x)
    assert seen.dtype == expected.dtype
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint8", "bool"])
def test_conversions_to_bfloat16_round_as_outside(dtype):
    rng = np.random.default_rng(0)
    if dtype.startswith("float"):
        with np.errstate(all="ignore"):
            x = rng.integers(0, 2**32, 50000, dtype=np.uint32).view(np.float32).astype(dtype)
            x = np.concatenate(
                [x, x * np.asarray(1 + 1e-9, dtype), np.array([np.inf, -np.inf, np.nan, 0.0, -0.0], dtype)]
            )
    else:
        x = rng.integers(-(2**31), 2**31, 5000).astype(dtype)
    with np.errstate(all="ignore"):
        expected, seen = x.astype(fnp.bfloat16), fad.jit(lambda x: x.astype("bfloat16"))(x)
    np.testing.assert_array_equal(bits(seen), bits(expected))


ROUNDING = {
    "float64": 1e-12, "complex128": 1e-12, "float32": 1e-5, "complex64": 1e-5, "bfloat16": 2.0**-7, "float16": 2.0**-10,
}  # fmt: skip


def as_exact(seen, expected, exact, dtype):
    """Compiled results are of the same types as evaluated ones, and as near to those of a wide type: three times as far, and a few roundings."""
    for s, e, x in zip(*(fad.tree.leaves(t) for t in (seen, expected, exact)), strict=True):
        assert s.dtype == e.dtype
        assert s.shape == e.shape
        wide = complex if np.iscomplexobj(e) else float
        s, e, x = (np.asarray(a, wide) for a in (s, e, x))
        if np.isfinite(e).all() and np.isfinite(x).all():
            allowed = 3 * np.abs(e - x).max(initial=0) + 8 * ROUNDING[dtype] * np.abs(x).max(initial=1)
            assert np.abs(s - x).max(initial=0) <= allowed


LAYERS = {
    "products": lambda x, w: fnp.tanh(x @ w) @ w,
    "softmax": lambda x, w: nn.softmax(x @ w),
    "statistics": lambda x, w: (x - x.mean(0)) / fnp.sqrt(x.var(0) + 1e-3) * w[0],
    "convolution": lambda x, w: nn.max_pool(nn.conv(x[None, :, :, None], w[None, :2, None, :3]), 2),
    "largest": lambda x, w: fnp.take_along_axis(x, fnp.argmax(x, axis=1)[:, None], axis=1) * w[0],
    "scan": lambda x, w: fad.scan(lambda c, row: (fnp.sin(c + row), c * row), w[0], x)[1],
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_their_gradients_run_natively(name, dtype):
    rng = np.random.default_rng(1)
    x, w = (fnp.asarray(rng.normal(size=s)).astype(dtype) for s in ((10, 12), (12, 12)))

    def loss(x, w):
        return fnp.sum(LAYERS[name](x, w).astype("float32") ** 2)

    both = fad.value_and_grad(loss, argnums=(0, 1))
    compiled = fad.jit(both)
    as_exact(compiled(x, w), both(x, w), both(x.astype(float), w.astype(float)), dtype)
    if name != "largest":  # numbers are added where they were taken from, in their own type
        assert is_native(compiled, x, w)


# --- random programs over every floating dtype, sizes 0 to 33, moved and selected by position ---------------------------------------

ONE = {
    "sin": fnp.sin,
    "decay": lambda x: fnp.exp(-fnp.abs(x)),
    "conjugate": fnp.conj,
    "real": fnp.real,
    "flip": lambda x: x[:, ::-1],
    "turn": lambda x: x.T.reshape(x.shape),
    "cumsum": lambda x: 0.25 * fnp.cumsum(x, axis=1),
    "add sums": lambda x: x + 0.1 * x.sum(1, keepdims=True) + 0.1 * x.sum(),
    "roll": lambda x: fnp.roll(x, (1, -2), (0, 1)),
    "gather": lambda x: x[np.arange(x.shape[0])[::-1] // 2],
    "shifted": lambda x: x.at[1:].add(0.5 * x[:-1]),
    "first column": lambda x: x.at[:, :1].set(0.25),
    "every second": lambda x: x.at[::2].multiply(0.5),
    "interleave": lambda x: fnp.concatenate([x, 0.5 * x], axis=1)[:, ::2],
    "pad": lambda x: fnp.pad(x, ((1, 0), (0, 1)))[:-1, 1:] if x.size else x,
    "chosen": lambda x: fnp.where(np.arange(x.shape[1]) % 2 == 0, x, 0.5),
    "gram": lambda x: 0.1 * (x @ fnp.conj(x).T) @ x,
    "rows": lambda x: fad.vmap(lambda r: r * (r @ r) * 0.1)(x),
    "largest": lambda x: x * fnp.max(x.real, axis=1, keepdims=True) if x.size else x,
    "scan": lambda x: fad.scan(lambda c, r: (fnp.cos(c + r), c * r), x[0], x)[1] if x.shape[0] else x,
    "loop": lambda x: fad.fori_loop(0, 3, lambda i, y: fnp.sin(y) + 0.5 * x, x),
    "sums of columns": lambda x: x * fnp.prod(0.5 * x, axis=0) + x.sum(0),
    "softmax": lambda x: x * nn.softmax(x.real, axis=-1) if x.size else x,
    "branch": lambda x: fad.cond(x.real.sum() > 0, lambda y: y * 0.5, lambda y: -y, x),
    "checkpoint": fad.checkpoint(lambda x: fnp.cos(x) * x),
    "window": lambda x: (
        x + nn.conv(x.real[None, :, :, None], np.full((2, 3, 1, 1), 0.2, x.real.dtype), padding="SAME")[0, :, :, 0]
        if x.size
        else x
    ),
}
TWO = {
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / (2.0 + fnp.abs(y)),
    "outer": lambda x, y: x[:, :1] * y[:1, :],
    "hypot": lambda x, y: fnp.hypot(x.real, y.real) + x,
    "einsum": lambda x, y: 0.1 * fnp.einsum("ij,kj,kl->il", x, y, y),
    "choose": lambda x, y: fnp.where(np.eye(*x.shape, dtype=bool), x, y),
    "tensordot": lambda x, y: 0.1 * x * fnp.tensordot(x, y, 2),
    "where less": lambda x, y: x * (x.real < y.real),
    "join": lambda x, y: fnp.concatenate([x, y], 1)[:, ::2][:, : x.shape[1]],
}
recipes = st.lists(
    st.tuples(st.sampled_from(sorted(ONE)), st.none(), st.integers(0, 3))
    | st.tuples(st.sampled_from(sorted(TWO)), st.integers(0, 3), st.integers(0, 3)),
    min_size=2,
    max_size=6,
)
sizes = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 33])


@settings(max_examples=60)
@given(recipes, sizes, sizes, st.sampled_from(sorted(ROUNDING)), st.integers(0, 99))
def test_random_programs_agree_in_every_dtype(recipe, rows, columns, dtype, seed):
    rng = np.random.default_rng(seed)
    a, b, cotangent = (
        fnp.asarray(rng.uniform(-1.5, 1.5, (rows, columns)) + ("complex" in dtype) * 1j).astype(dtype) for _ in range(3)
    )
    f = function_of_recipe(recipe, ONE, TWO)

    def pulled(a, b):
        out, pullback = fad.vjp(f, a, b)
        return out, pullback(cotangent.astype(out.dtype))

    wide = "complex128" if "complex" in dtype else "float64"
    with np.errstate(all="ignore"):
        expected = pulled(a, b)
        exact = pulled(a.astype(wide), b.astype(wide))
        as_exact(fad.jit(pulled)(a, b), expected, exact, dtype)
        both = fad.jit(fad.vmap(pulled))(fnp.stack([b, a]), fnp.stack([a, b]))
        as_exact(fad.tree.map(lambda leaf: leaf[1], both), expected, exact, dtype)
