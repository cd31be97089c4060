"""Large gradients of pointwise convolutions are products of matrices."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.passes.pipeline import simplified
from tests.compiler.compiled_programs import check_compiled

GRADIENTS = {"convolve_input": 0, "convolve_kernel": 1}


def gradient(argument, **options):
    """The pullback of a convolution by one of its arguments, linear in what comes back."""

    def f(x, w, y):
        return fad.vjp(lambda a: fad.nn.conv(*((a, w) if argument == 0 else (x, a)), **options), (x, w)[argument])[1](y)

    return f


def arrays(space, channels, features, window=None, dtype="f8", examples=16):
    rng = np.random.default_rng(0)
    shapes = (
        (examples, *space, channels),
        (*(window or (1,) * len(space)), channels, features),
        (examples, *space, features),
    )
    return [rng.normal(size=s).astype(dtype) for s in shapes]


def names(f, *args):
    return [e.primitive.name for e in simplified(fad.make_program(f)(*args)).equations]


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("space", [(150,), (20, 17), (9, 8, 2)])
@pytest.mark.parametrize(("channels", "features"), [(128, 130), (200, 129)])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_the_products_are_the_gradients(name, space, channels, features, dtype):
    x, w, y = arrays(space, channels, features, dtype=dtype)
    f = gradient(GRADIENTS[name])
    found = names(f, x, w, y)
    assert "dot_general" in found
    assert name not in found
    check_compiled(f, x, w, y, tolerance=2e-5 if dtype == "f4" else 1e-12)
    (seen,) = fad.jit(f)(x, w, y)
    wide = [a.astype("f8").reshape(-1, a.shape[-1]) for a in (x, w, y)]
    expected = wide[2] @ wide[1].T if name == "convolve_input" else wide[0].T @ wide[2]
    assert seen.shape == (x, w)[GRADIENTS[name]].shape
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        np.asarray(seen).reshape(expected.shape), expected, rtol=0, atol=scale * (1e-5 if dtype == "f4" else 1e-13)
    )


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize(
    ("space", "channels", "features", "window", "options"),
    [
        ((20, 20), 127, 128, (1, 1), {}),
        ((20, 20), 128, 64, (1, 1), {}),
        ((7, 9), 128, 128, (1, 1), {}),
        ((20, 20), 128, 128, (3, 1), {"padding": "SAME"}),
    ],
    ids=["channels", "features", "positions", "window"],
)
def test_others_stay_what_they_are(name, space, channels, features, window, options):
    x, w, y = arrays(space, channels, features, window)
    found = names(gradient(GRADIENTS[name], **options), x, w, y)
    assert name in found
    assert "dot_general" not in found


@pytest.mark.parametrize("name", GRADIENTS)
def test_strides_and_groups_stay(name):
    x, w, y = arrays((40, 40), 256, 256)
    f = gradient(GRADIENTS[name], stride=2)
    assert name in names(f, x, w, y[:, ::2, ::2])
    f = gradient(GRADIENTS[name], groups=2)
    assert name in names(f, x, w[..., :128, :], y)


def test_derivatives_of_the_gradients():
    x, w, y = arrays((12, 12), 128, 129)
    direction = np.random.default_rng(1).normal(size=w.shape)

    def slopes(w):
        return fad.grad(lambda x: fnp.sum(fnp.sin(fad.nn.conv(x, w)) * y))(x)

    check_compiled(lambda w: fad.jvp(slopes, (w,), (direction,))[1], w, tolerance=1e-11)
    check_compiled(lambda w: fad.grad(lambda w: fnp.sum(slopes(w) ** 2))(w), w, tolerance=1e-10)


def test_infinite_and_missing_values_spread_as_in_the_sums():
    x, w, y = arrays((20, 17), 128, 130)
    y[0, 1, 2, 3], y[1, 0, 0, 5] = np.inf, np.nan
    (by_kernel,) = fad.jit(gradient(1))(x, w, y)
    finite = np.isfinite(np.asarray(by_kernel)).all(axis=(0, 1, 2))
    assert [k for k in range(130) if not finite[k]] == [3, 5]
    (by_input,) = fad.jit(gradient(0))(x, w, y)
    finite = np.isfinite(np.asarray(by_input)).all(axis=-1)
    assert np.argwhere(~finite).tolist() == [[0, 1, 2], [1, 0, 0]]
