"""Convolution and pooling: against direct sums, in every mode, with every option, and the refusals."""

from functools import partial
from itertools import product

import ml_dtypes
import numpy as np
import pytest

import fad
import fad.nn as nn
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.nn import avg_pool, max_pool, sum_pool
from fad.testing import check_grads

conv = partial(nn.conv, padding="VALID")
conv_transpose = partial(nn.conv_transpose, padding="VALID")


def draw(*shape, seed=0, dtype="float64"):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape)
    return (values + 1j * generator.normal(size=shape) if np.dtype(dtype).kind == "c" else values).astype(dtype)


def distinct(*shape, seed=0):
    """Values of which no two are close, so that maxima are smooth."""
    count = int(np.prod(shape))
    return np.random.default_rng(seed).permutation(count).reshape(shape) / count


def windows(x, window, strides, dilation, pairs, fill):
    """All windows of a channels-last array, (n, *space, *window, channels), by plain loops."""
    x = np.pad(x, ((0, 0), *pairs, (0, 0)), constant_values=fill)
    counts = [
        (n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(x.shape[1:-1], window, strides, dilation, strict=True)
    ]
    out = np.empty((x.shape[0], *counts, *window, x.shape[-1]), x.dtype)
    for place in product(*map(range, counts)):
        for offset in product(*map(range, window)):
            at = tuple(p * s + o * d for p, o, s, d in zip(place, offset, strides, dilation, strict=True))
            out[(slice(None), *place, *offset)] = x[(slice(None), *at)]
    return out


def direct(x, w, strides, pairs, dilation, groups):
    """Convolution by its definition."""
    axes = w.ndim - 2
    found = windows(x, w.shape[:-2], strides, dilation, pairs, 0)
    parts = []
    for g in range(groups):
        channels, features = w.shape[-2], w.shape[-1] // groups
        patch = found[..., g * channels : (g + 1) * channels]
        kernel = w[..., g * features : (g + 1) * features]
        parts.append(np.tensordot(patch, kernel, axes=axes + 1))
    return np.concatenate(parts, -1)


def assert_same(found, expected, rtol=1e-11):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def check_modes(function, *args):
    check_grads(function, args)
    assert_same(fad.jit(function)(*args), function(*args))
    for chosen in product((0, None), repeat=len(args)):
        if any(c == 0 for c in chosen):
            stacked = [np.stack([a, a[::-1].copy()]) if c == 0 else a for a, c in zip(args, chosen, strict=True)]
            rows = [function(*[s[k] if c == 0 else s for s, c in zip(stacked, chosen, strict=True)]) for k in range(2)]
            assert_same(fad.vmap(function, in_axes=chosen)(*stacked), np.stack([np.asarray(r) for r in rows]))


SPACE, WINDOW = (7, 6, 5), (3, 2, 2)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, "SAME", "unequal"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_convolution_is_its_definition(axes, stride, padding, dilation, groups):
    x, w = draw(2, *SPACE[:axes], 8), draw(*WINDOW[:axes], 8 // groups, 4, seed=1)
    padding = ((2, 1), (0, 3), (1, 0))[:axes] if padding == "unequal" else padding
    extents = [(k - 1) * dilation + 1 for k in w.shape[:-2]]
    if padding == "SAME":
        totals = [max((-(-n // stride) - 1) * stride + e - n, 0) for n, e in zip(x.shape[1:-1], extents, strict=True)]
        pairs = [(t // 2, t - t // 2) for t in totals]
    else:
        pairs = [(padding, padding)] * axes if isinstance(padding, int) else padding
    found = conv(x, w, stride, padding=padding, dilation=dilation, groups=groups)
    assert_same(found, direct(x, w, (stride,) * axes, pairs, (dilation,) * axes, groups))
    if padding == "SAME":
        assert found.shape[1:-1] == tuple(-(-n // stride) for n in x.shape[1:-1])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": "SAME"},
        {"padding": ((1, 2),), "input_dilation": 2},
        {"padding": ((-1, -1),)},
        {"dilation": 2, "padding": 1},
    ],
    ids=str,
)
def test_convolution_differentiates_along_one_axis(options):
    check_modes(lambda x, w: conv(x, w, **options), draw(2, 6, 2), draw(3, 2, 3, seed=1))


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolution_differentiates_along_two_axes(groups):
    x, w = draw(2, 4, 5, 4), draw(2, 3, 4 // groups, 4, seed=1)
    check_modes(lambda x, w: conv(x, w, (1, 2), padding="SAME", groups=groups), x, w)


def test_convolution_differentiates_along_three_axes():
    check_modes(lambda x, w: conv(x, w, 1, padding=1), draw(1, 2, 3, 2, 2), draw(2, 2, 2, 2, 2, seed=1))


def test_dilation_of_the_input_puts_zeros_between():
    x, w = draw(1, 4, 2), draw(3, 2, 2, seed=1)
    spread = np.zeros((1, 7, 2))
    spread[:, ::2] = x
    assert_same(conv(x, w, padding=((1, 2),), input_dilation=2), conv(spread, w, padding=((1, 2),)))


@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1}, {"stride": 3, "dilation": 2, "groups": 2}], ids=str
)
def test_the_transposed_convolution_is_the_transpose(options):
    w = draw(3, 4 // options.get("groups", 1), 4)
    y = draw(2, 3, 4, seed=1)
    x = conv_transpose(y, w, **options)
    back = fad.vjp(lambda v: conv(v, w, **options), np.asarray(x))
    assert back[0].shape == y.shape
    assert_same(back[1](y)[0], x)
    check_modes(lambda y, w: conv_transpose(y, w, **options), y, w)


def test_sizes_of_the_transposed_convolution():
    w = draw(3, 3, 2, 5)
    assert conv_transpose(draw(1, 4, 6, 5), w, 2, padding="SAME").shape == (1, 8, 12, 2)
    assert conv_transpose(draw(1, 4, 6, 5), w, 2).shape == (1, 9, 13, 2)
    assert conv_transpose(draw(1, 4, 6, 5), w, 2, padding=1, output_padding=1).shape == (1, 8, 12, 2)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_convolution_keeps_dtypes(dtype):
    x, w = (
        (draw(1, 5, 3, dtype=dtype if dtype == "complex128" else "float64", seed=s) * 3).astype(dtype) for s in (0, 1)
    )
    w = w[:, :2].transpose(1, 2, 0) if w.ndim == 3 else w
    w = np.broadcast_to(w, (2, 3, 1)).copy()
    assert_same(conv(x, w), direct(x, w, (1,), [(0, 0)], (1,), 1), 1e-5)


def test_short_floats_are_computed_in_float32():
    x, w = draw(1, 9, 40).astype(ml_dtypes.bfloat16), draw(3, 40, 2, seed=1).astype(ml_dtypes.bfloat16)
    found = conv(x, w)
    assert found.dtype == ml_dtypes.bfloat16
    wide = conv(x.astype(np.float32), w.astype(np.float32))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wide).astype(ml_dtypes.bfloat16))


# --- pooling -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", ["VALID", "SAME", 1])
@pytest.mark.parametrize("stride", [1, 2, None])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pooling_is_its_definition(axes, stride, padding, dilation):
    x, window = distinct(2, *SPACE[:axes], 3), (2,) * axes
    steps = (stride or 2,) * axes
    extent = dilation + 1
    pairs = [(0, 0)] * axes if padding == "VALID" else [(1, 1)] * axes
    if padding == "SAME":
        totals = [max((-(-n // s) - 1) * s + extent - n, 0) for n, s in zip(x.shape[1:-1], steps, strict=True)]
        pairs = [(t // 2, t - t // 2) for t in totals]
    inside = tuple(range(1 + axes, 1 + 2 * axes))
    options = (stride, padding, dilation)
    for pool, fill, reduce in ((max_pool, -np.inf, np.max), (sum_pool, 0, np.sum), (avg_pool, 0, np.mean)):
        expected = reduce(windows(x, window, steps, (dilation,) * axes, pairs, fill), axis=inside)
        assert_same(pool(x, window, *options), expected)
    members = windows(np.ones_like(x), window, steps, (dilation,) * axes, pairs, 0).sum(axis=inside)
    total = windows(x, window, steps, (dilation,) * axes, pairs, 0).sum(axis=inside)
    assert_same(avg_pool(x, window, *options, count_include_pad=False), total / np.maximum(members, 1))


@pytest.mark.parametrize("pool", [max_pool, sum_pool, avg_pool])
@pytest.mark.parametrize(("window", "strides", "padding"), [(2, None, 0), (3, 2, "SAME"), ((2, 3), (1, 2), 1)], ids=str)
def test_pooling_differentiates(pool, window, strides, padding):
    check_modes(lambda x: pool(x, window, strides, padding), distinct(2, 5, 4, 2))


def test_of_equal_maxima_the_first_wins():
    x = np.array([1.0, 1.0, 0.0, 2.0, 2.0, 2.0]).reshape(1, 6, 1)
    gradient = np.asarray(fad.grad(lambda x: max_pool(x, 3).sum())(x)).ravel()
    np.testing.assert_array_equal(gradient, [1, 0, 0, 1, 0, 0])
    tangent = fad.jvp(lambda x: max_pool(x, 3), (x,), (np.arange(6.0).reshape(x.shape),))[1]
    np.testing.assert_array_equal(np.asarray(tangent).ravel(), [0, 3])


def test_maxima_of_nans_and_infinities():
    x = np.array([1.0, np.nan, 2.0, -np.inf, -np.inf, -np.inf, np.nan, np.nan, 1.0]).reshape(1, 9, 1)
    np.testing.assert_array_equal(np.asarray(max_pool(x, 3)).ravel(), [np.nan, -np.inf, np.nan])
    gradient = np.asarray(fad.grad(lambda x: max_pool(x, 3).sum())(x)).ravel()
    np.testing.assert_array_equal(gradient, [0, 1, 0, 1, 0, 0, 1, 0, 0])


def test_maxima_of_integers():
    x = np.arange(6, dtype=np.int32)[::-1].reshape(1, 6, 1)
    assert_same(max_pool(x, 2, padding=1), np.array([5, 4, 2, 0], np.int32).reshape(1, 4, 1))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x, w: conv(x, w[:, :1]), ShapeError, ["2 channels", "(1, 5, 2)", "(3, 1, 4)"]),
        (lambda x, w: conv(x[0], w), ShapeError, ["spatial axes"]),
        (lambda x, w: conv(x, w, groups=2), ShapeError, ["2 group(s)", "1 input channels"]),
        (lambda x, w: conv(x, w, stride=0), ArgumentError, ["strides", ">= 1"]),
        (lambda x, w: conv(x, w, stride=(1, 1)), ArgumentError, ["each of 1"]),
        (lambda x, w: conv(x, w, padding="FULL"), ArgumentError, ["'SAME'", "'FULL'"]),
        (lambda x, w: conv(x, w, padding=((1, 2, 3),)), ArgumentError, ["(before, after)"]),
        (lambda x, w: conv_transpose(x, w), ShapeError, ["conv_transpose", "features"]),
        (lambda x, w: conv(x.astype(int), w.astype(int)), DTypeError, ["conv", "floating-point", "int64"]),
        (lambda x, w: max_pool(x[0], 2), ShapeError, ["(n, *space, channels)"]),
        (lambda x, w: max_pool(x * 1j, 2), DTypeError, ["ordered"]),
        (lambda x, w: max_pool(x, 2, padding=-1), ShapeError, [">= 0"]),
        (lambda x, w: avg_pool(x, (2, 2)), ArgumentError, ["window", "each of 1"]),
    ],
)
def test_refusals_teach(call, error, words):
    with pytest.raises(error) as caught:
        call(fnp.asarray(draw(1, 5, 2)), fnp.asarray(draw(3, 2, 4)))
    for word in words:
        assert word in str(caught.value)
