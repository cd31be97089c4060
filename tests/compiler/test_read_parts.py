"""Results that are written only where they are read: gradients of padded convolutions by their input."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.passes.pipeline import simplified
from fad.compiler.read_parts import Part, with_part


def gradient_by_input(shape, w, y, stride, padding, dilation, groups):
    """The gradient of sum(y * convolution) by the input, element by element of the window, in double precision; padding is cut off at the end."""
    padded = [n + low + high for n, (low, high) in zip(shape[1:-1], padding, strict=True)]
    found = np.zeros((shape[0], *padded, shape[-1]))
    channels, features = shape[-1] // groups, w.shape[-1] // groups
    for taps in np.ndindex(*w.shape[:-2]):
        places = tuple(
            slice(t * dilation, t * dilation + (n - 1) * stride + 1, stride)
            for t, n in zip(taps, y.shape[1:-1], strict=True)
        )
        for g in range(groups):
            own, read = (slice(g * n, (g + 1) * n) for n in (features, channels))
            found[(slice(None), *places, read)] += y[..., own].astype("f8") @ w[(*taps, slice(None), own)].T
    inside = tuple(slice(low, low + n) for n, (low, _) in zip(shape[1:-1], padding, strict=True))
    return found[(slice(None), *inside)]


def check(shape, window, features, stride, padding, dilation, groups, dtype, rng):
    counts = [
        (n + low + high - (k - 1) * dilation - 1) // stride + 1
        for n, k, (low, high) in zip(shape[1:-1], window, padding, strict=True)
    ]
    if min(counts) < 1:
        return
    x = rng.standard_normal(shape).astype(dtype)
    w = rng.standard_normal((*window, shape[-1] // groups, features)).astype(dtype)
    y = rng.standard_normal((shape[0], *counts, features)).astype(dtype)

    def loss(x, w, y):
        return (fad.nn.conv(x, w, stride, padding, dilation, groups) * y).sum()

    found = np.asarray(fad.jit(fad.grad(loss))(x, w, y))
    wanted = gradient_by_input(shape, w, y, stride, padding, dilation, groups)
    assert found.dtype == dtype
    size = np.abs(wanted).max(initial=1.0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=128 * np.finfo(dtype).eps * size)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("seed", range(12))
def test_random_paddings(seed, dtype):
    rng = np.random.default_rng(seed)
    for _ in range(4):
        axes, groups = int(rng.integers(1, 3)), int(rng.choice([1, 1, 1, 2, 6]))
        space = tuple(int(n) for n in rng.choice([1, 2, 4, 5, 8, 11, 16, 17, 23], axes))
        window = tuple(int(n) for n in rng.integers(1, 5, axes))
        padding = tuple((int(low), int(high)) for low, high in rng.integers(0, 4, (axes, 2)))
        channels, features = (groups * int(n) for n in rng.choice([1, 2, 5, 9, 20], 2))
        if groups == 6:
            channels = features = 6
        shape = (int(rng.choice([0, 1, 3])), *space, channels)
        check(shape, window, features, int(rng.integers(1, 3)), padding, int(rng.integers(1, 3)), groups, dtype, rng)


@pytest.mark.parametrize("padding", [((1, 1), (1, 1)), ((2, 0), (0, 2)), ((0, 0), (1, 1)), ((1, 1), (0, 0))], ids=str)
def test_sizes_that_share_their_code(padding):
    rng = np.random.default_rng(1)
    for space in ((4, 4), (8, 8), (3, 18), (3, 23), (19, 40), (40, 19), (25, 5)):
        check((2, *space, 7), (3, 3), 18, 1, padding, 1, 1, "f4", rng)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_infinite_weights_of_padded_convolutions_reach_only_their_windows(value):
    x, w = np.ones((2, 5, 5, 3)), np.ones((3, 3, 3, 4))
    w[0, 0, 1, 2] = value
    gradient = fad.grad(lambda x, w: fad.nn.conv(x, w, 1, "SAME").sum())
    found = np.asarray(fad.jit(gradient)(x, w))
    with np.errstate(invalid="ignore"):  # some BLAS leave the flag behind
        np.testing.assert_array_equal(found, gradient(x, w))
    assert np.isfinite(found[:, :, :, [0, 2]]).all()
    assert np.isfinite(found[:, 4]).all()
    assert not np.isfinite(found[:, :4, :4, 1]).any()


def test_the_whole_is_written_where_somebody_reads_it():
    rng = np.random.default_rng(2)
    w, y = rng.standard_normal((3, 3, 5, 6)), rng.standard_normal((2, 8, 8, 6))

    def by_input(w, y):
        pullback = fad.vjp(lambda x: fad.nn.conv(x, w, 1, "VALID"), np.zeros((2, 10, 10, 5)))[1]
        return pullback(y)[0]

    whole = np.asarray(by_input(w, y))
    for f in (
        lambda w, y: (by_input(w, y)[:, 1:-1, 1:-1], by_input(w, y)),
        lambda w, y: (by_input(w, y)[:, 1:-1, 1:-1], by_input(w, y)[:, :3]),
        lambda w, y: by_input(w, y)[:, ::2, 1:-1],
        lambda w, y: fnp.sum(by_input(w, y), axis=0)[1:-1],
    ):
        for found, wanted in zip(fad.tree.leaves(fad.jit(f)(w, y)), fad.tree.leaves(f(w, y)), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * np.abs(whole).max())


def test_the_part_that_all_readers_slice():
    def parts(f):
        program = simplified(fad.make_program(f)(np.ones((3, 3, 5, 6)), np.ones((2, 8, 8, 6))))
        return [
            with_part(program, e).params.get("part")
            for e in program.equations
            if e.primitive.kernel == "convolve_input"
        ]

    def by_input(w, y):
        return fad.vjp(lambda x: fad.nn.conv(x, w, 1, "VALID"), np.zeros((2, 10, 10, 5)))[1](y)[0]

    assert parts(lambda w, y: by_input(w, y)[:, 1:-1, 2:] * 2.0) == [Part((0, 1, 2, 0), (2, 9, 10, 5))]
    assert parts(lambda w, y: by_input(w, y)[:, ::2] * 2.0) == [None]
    assert parts(lambda w, y: by_input(w, y) * 2.0) == [None]
    assert parts(lambda w, y: (by_input(w, y), by_input(w, y)[:, 1:-1])) == [None]
    assert parts(lambda w, y: (by_input(w, y)[:, :3], by_input(w, y)[:, 1:-1])) == [None]
