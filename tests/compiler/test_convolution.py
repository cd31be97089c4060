"""Convolutions in tiles of registers, and the gradient by the kernel, where compiled code sums over several small examples at a time."""

import llvmlite.binding as binding
import numpy as np
import pytest

import fad
from fad.compiler.llvm.convolution import convolution_sharing
from fad.compiler.llvm.convolution_places import is_wasteful, joined_axes
from fad.compiler.llvm.tile_functions import lanes_of
from tests.compiler.compiled_programs import check_compiled
from tests.compiler.sized_cases import numbers


def kernel_gradient(x, y, window, stride):
    """The same sum over a view of all windows, by NumPy alone."""
    axes = tuple(range(1, x.ndim - 1))
    windows = np.lib.stride_tricks.sliding_window_view(x, window, axis=axes)
    windows = windows[(slice(None), *(slice(None, None, stride) for _ in axes))]
    points = (0, *axes)
    return np.moveaxis(np.tensordot(windows, y, axes=(points, points)), 0, -2)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("examples", "space", "window", "stride"),
    [
        (1, (4, 4), (3, 3), 1),
        (37, (6, 6), (3, 3), 1),
        (200, (7,), (3,), 2),
        (21, (4, 5, 4), (2, 2, 2), 1),
        (600, (1, 1), (1, 1), 1),
        (3, (18, 18), (3, 3), 1),
        (3, (4, 300), (3, 3), 1),
        (0, (4, 4), (3, 3), 1),
    ],
    ids=str,
)
def test_examples_that_share_a_chunk(examples, space, window, stride, dtype):
    rng = np.random.default_rng(7)
    x = rng.standard_normal((examples, *space, 3)).astype(dtype)
    w = rng.standard_normal((*window, 3, 19)).astype(dtype)
    counts = tuple((n - k) // stride + 1 for n, k in zip(space, window, strict=True))
    y = rng.standard_normal((examples, *counts, 19)).astype(dtype)

    def loss(w):
        return (fad.nn.conv(x, w, stride=stride, padding="VALID") * y).sum()

    found = np.asarray(fad.jit(fad.grad(loss))(w))
    wanted = kernel_gradient(x.astype("f8"), y.astype("f8"), window, stride)
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found, wanted, rtol=0, atol=32 * np.finfo(dtype).eps * max(1.0, abs(wanted).max(initial=0))
    )


def convolved(x, w, stride, dilation, groups):
    """A convolution without padding over one axis or two, by a loop over the window in double precision."""
    space, (channels, features) = x.shape[1:-1], w.shape[-2:]
    extents = [(k - 1) * dilation + 1 for k in w.shape[:-2]]
    counts = [(n - e) // stride + 1 for n, e in zip(space, extents, strict=True)]
    out = np.zeros((x.shape[0], *counts, features))
    for taps in np.ndindex(*w.shape[:-2]):
        places = tuple(
            slice(t * dilation, t * dilation + (c - 1) * stride + 1, stride) for t, c in zip(taps, counts, strict=True)
        )
        part = x[(slice(None), *places)]
        for g in range(groups):
            own = slice(g * features // groups, (g + 1) * features // groups)
            out[..., own] += part[..., g * channels : (g + 1) * channels] @ w[(*taps, slice(None), own)]
    return out


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("channels", "features", "groups"),
    [(1, 1, 1), (3, 5, 1), (7, 9, 1), (12, 20, 1), (24, 17, 1), (33, 41, 1), (6, 6, 3), (20, 40, 2)]
    + [(n, n, n) for n in (2, 3, 4, 7, 8, 9, 12, 16, 19, 40)]
    + [(5, 15, 5)],
    ids=str,
)
@pytest.mark.parametrize(
    ("space", "window", "stride", "dilation"),
    [((9, 11), (3, 3), 1, 1), ((12, 9), (2, 3), 2, 1), ((14,), (3,), 1, 2), ((5, 5), (1, 1), 1, 1)],
    ids=str,
)
def test_all_numbers_of_channels(space, window, stride, dilation, channels, features, groups, dtype):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, *space, channels)).astype(dtype)
    w = rng.standard_normal((*window, channels // groups, features)).astype(dtype)

    def convolve(x, w):
        return fad.nn.conv(x, w, stride=stride, padding="VALID", dilation=dilation, groups=groups)

    wanted = convolved(x.astype("f8"), w.astype("f8"), stride, dilation, groups)
    tolerance = 64 * np.finfo(dtype).eps * max(1.0, np.abs(wanted).max())
    found = np.asarray(fad.jit(convolve)(x, w))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)

    # The form is trilinear: its value is found again from the gradient by either argument.
    y = rng.standard_normal(wanted.shape).astype(dtype)
    gradients = fad.jit(fad.grad(lambda x, w, y: (convolve(x, w) * y).sum(), (0, 1)))(x, w, y)
    exact = fad.grad(lambda x, w, y: (convolve(x, w) * y).sum(), (0, 1))(*[a.astype("f8") for a in (x, w, y)])
    for gradient, reference, argument in zip(gradients, exact, (x, w), strict=True):
        size = np.abs(np.asarray(reference)).max()
        np.testing.assert_allclose(gradient, reference, rtol=0, atol=128 * np.finfo(dtype).eps * size)
        total = np.sum(np.asarray(reference) * argument.astype("f8"))
        np.testing.assert_allclose(total, np.sum(wanted * y), rtol=1e-9, atol=1e-9 * wanted.size)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("channels", "features", "groups"), [(1, 1, 1), (9, 5, 1), (19, 33, 1), (6, 9, 3), (20, 20, 20)]
)
@pytest.mark.parametrize(
    ("space", "window", "dilation"),
    [((18,), (5,), 1), ((40,), (3,), 3), ((3, 12), (2, 3), 1), ((9, 37), (3, 3), (2, 4)), ((20, 9), (7, 1), 1)],
    ids=str,
)
def test_gradients_by_the_input_are_sums_over_windows(space, window, dilation, channels, features, groups, dtype):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3, *space, channels)).astype(dtype)
    w = rng.standard_normal((*window, channels // groups, features)).astype(dtype)
    check = fad.jit(fad.grad(lambda x, w, y: (fad.nn.conv(x, w, 1, "VALID", dilation, groups) * y).sum()))
    y = rng.standard_normal(fad.nn.conv(x, w, 1, "VALID", dilation, groups).shape).astype(dtype)
    steps = dilation if isinstance(dilation, tuple) else (dilation,) * len(space)
    wanted = np.zeros(x.shape)
    for taps in np.ndindex(*window):
        places = tuple(slice(t * d, t * d + n) for t, d, n in zip(taps, steps, y.shape[1:-1], strict=True))
        for g in range(groups):
            own = slice(g * features // groups, (g + 1) * features // groups)
            read = slice(g * channels // groups, (g + 1) * channels // groups)
            wanted[(slice(None), *places, read)] += y[..., own].astype("f8") @ w[(*taps, slice(None), own)].T
    size = np.abs(wanted).max()
    np.testing.assert_allclose(check(x, w, y), wanted, rtol=0, atol=128 * np.finfo(dtype).eps * size)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("groups", [1, 4])
def test_infinite_weights_reach_only_their_windows(value, groups):
    x, w = np.ones((1, 3, 20, 4)), np.ones((2, 3, 4 // groups, 4))
    w[1, 0, 0, 2] = value
    gradient = fad.grad(lambda x, w: fad.nn.conv(x, w, 1, "VALID", 1, groups).sum())
    found = np.asarray(fad.jit(gradient)(x, w))
    with np.errstate(invalid="ignore"):  # some BLAS leave the flag behind
        np.testing.assert_array_equal(found, gradient(x, w))
    assert np.isfinite(found[:, 0]).all()
    assert not np.isfinite(found[0, 2, 0]).all()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_tiles_fill_the_widest_vector_registers_of_the_processor(dtype):
    features, triple = binding.get_host_cpu_features(), binding.get_default_triple()
    wide = 64 if features.get("avx512f") else 32 if features.get("avx2") else 16
    expected = (16 if triple.startswith(("aarch64", "arm64")) else wide) // np.dtype(dtype).itemsize
    assert lanes_of(np.dtype(dtype)) == expected
    for features in (1, expected - 1, expected, expected + 1, 2 * expected, 2 * expected + 3):
        w = numbers(3, 3, 5, features, dtype=dtype)
        check_compiled(
            lambda x, w: fad.nn.conv(x, w),
            numbers(2, 9, 8, 5, dtype=dtype),
            w,
            tolerance=1e-12 if dtype == "f8" else 1e-5,
        )


SHORT_ROWS = [
    ((1, 1), (1, 1), 1, 1),
    ((2, 2), (3, 3), 1, 1),
    ((4, 4), (3, 3), 1, 1),
    ((5, 3), (2, 3), 1, 2),
    ((9, 9), (3, 3), 2, 1),
    ((20, 5), (3, 3), 1, 1),
    ((5,), (3,), 1, 1),
    ((17, 2, 3), (2, 2, 1), 1, 1),
    ((3, 2, 3), (3, 1, 2), 1, 1),
]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("space", "window", "stride", "dilation"), SHORT_ROWS, ids=str)
def test_short_rows_share_tiles_with_those_of_other_rows_and_examples(space, window, stride, dilation, padding, dtype):
    rng = np.random.default_rng(5)

    def all_three(x, w, y, groups):
        out, pullback = fad.vjp(lambda x, w: fad.nn.conv(x, w, stride, padding, dilation, groups), x, w)
        return (out, *pullback(y))

    for channels, features, groups in ((5, 19, 1), (6, 4, 2), (9, 9, 9)):
        compiled = fad.jit(lambda x, w, y, groups=groups: all_three(x, w, y, groups))
        for examples in (1, 5, 39):
            x = rng.standard_normal((examples, *space, channels)).astype(dtype)
            w = rng.standard_normal((*window, channels // groups, features)).astype(dtype)
            y = rng.standard_normal(fad.nn.conv(x, w, stride, padding, dilation, groups).shape).astype(dtype)
            wanted = all_three(*[a.astype("f8") for a in (x, w, y)], groups)
            for found, exact in zip(compiled(x, w, y), wanted, strict=True):
                size = np.abs(np.asarray(exact)).max(initial=1.0)
                np.testing.assert_allclose(found, exact, rtol=0, atol=128 * np.finfo(dtype).eps * size)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_infinite_weights_are_found_wherever_they_stand(value, dtype):
    rng = np.random.default_rng(6)
    gradient = fad.grad(lambda x, w: fad.nn.conv(x, w, padding="VALID").sum())
    compiled = fad.jit(gradient)
    x, finite = np.ones((2, 9, 2), dtype), rng.standard_normal((2, 2, 19)).astype(dtype)
    for place in range(finite.size):
        w = finite.copy()
        w.flat[place] = value
        with np.errstate(invalid="ignore"):  # some BLAS leave the flag behind
            wanted = np.asarray(gradient(x, w))
        found = np.asarray(compiled(x, w))
        np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
        assert not np.isfinite(wanted).all()
        assert np.isfinite(wanted).any()


def test_which_positions_tiles_run_over():
    # A row of 8 fills tiles; one of 4 does not, nor do those of some examples beside each other.
    assert joined_axes((64, 8, 8)) == 1
    assert joined_axes((64, 4, 4)) == 3
    assert joined_axes((64, 4)) == 2
    assert joined_axes((64, 300, 4)) == 2
    assert joined_axes((64, 4, 300)) == 1
    assert joined_axes((64, 300, 2, 4)) == 2
    assert not is_wasteful(8 * 12)


LARGE_KERNELS = [
    ((4, 4), (3, 3), 1, 1, 128, 128, 1),
    ((9, 8), (3, 3), 2, 1, 130, 140, 1),
    ((6, 7), (3, 2), 1, 2, 20, 129, 1),
    ((5,), (3,), 1, 1, 40, 131, 1),
    ((3, 3), (1, 1), 1, 1, 128, 150, 1),
    ((6, 6), (3, 3), 1, 1, 256, 128, 2),
    ((3, 4, 3), (2, 2, 2), 1, 1, 33, 128, 1),
    ((20, 40), (3, 3), 1, 1, 4, 70, 1),
]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("space", "window", "stride", "dilation", "channels", "features", "groups"), LARGE_KERNELS, ids=str
)
def test_threads_share_panels_as_well_as_positions(space, window, stride, dilation, channels, features, groups, dtype):
    rng = np.random.default_rng(8)

    def all_three(x, w, y):
        out, pullback = fad.vjp(lambda x, w: fad.nn.conv(x, w, stride, "SAME", dilation, groups), x, w)
        return (out, *pullback(y))

    w = rng.standard_normal((*window, channels // groups, features)).astype(dtype)
    for examples in (1, 3, 37):
        x = rng.standard_normal((examples, *space, channels)).astype(dtype)
        y = rng.standard_normal(fad.nn.conv(x, w, stride, "SAME", dilation, groups).shape).astype(dtype)
        wanted = all_three(*[a.astype("f8") for a in (x, w, y)])
        by_threads = []
        for threads in (1, 2, 5):
            with fad.config.using(threads=threads):
                by_threads.append([np.asarray(a) for a in fad.jit(all_three)(x, w, y)])
        for found, *others, exact in zip(*by_threads, wanted, strict=True):
            assert all(np.array_equal(found, other) for other in others)
            size = np.abs(np.asarray(exact)).max()
            np.testing.assert_allclose(found, exact, rtol=0, atol=256 * np.finfo(dtype).eps * size)


def test_an_infinite_weight_is_found_in_its_panel_alone():
    x, w = np.ones((3, 4, 20, 100)), np.ones((2, 3, 100, 5))
    w[1, 0, 70, 2] = np.inf
    gradient = fad.grad(lambda x, w: fad.nn.conv(x, w, padding="VALID").sum())
    found = np.asarray(fad.jit(gradient)(x, w))
    with np.errstate(invalid="ignore"):  # some BLAS leave the flag behind
        np.testing.assert_array_equal(found, gradient(x, w))
    assert np.isfinite(np.delete(found, 70, axis=-1)).all()
    assert not np.isfinite(found[..., 70]).all()


def test_large_kernels_need_no_sum_for_each_thread():
    sharing = {}
    for channels, features in ((512, 512), (3, 16)):
        x, w = np.ones((32, 6, 6, channels), "f4"), np.ones((3, 3, channels, features), "f4")
        y = np.ones((32, 4, 4, features), "f4")
        program = fad.make_program(lambda w, x=x, y=y: fad.vjp(lambda w: fad.nn.conv(x, w, padding="VALID"), w)[1](y))(
            w
        )
        (equation,) = [e for e in program.equations if e.primitive.name == "convolve_kernel"]
        sharing[features] = convolution_sharing(equation)
    assert sharing[512].reduction == ""
    assert sharing[16].reduction == "reduce_sum"
