"""The gradient of a convolution by its kernel, where compiled code sums over several small examples at a time."""

import numpy as np
import pytest

import fad


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
