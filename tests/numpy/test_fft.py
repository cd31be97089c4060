"""Fourier transforms: values against NumPy, derivatives against differences and as transposes, refusals."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import ArgumentError, DTypeError, ImmutableArrayError, ShapeError
from fad.testing import check_grads

COMPLEX = ["fft", "ifft"]
FROM_REAL = ["rfft", "ihfft"]
TO_REAL = ["irfft", "hfft"]
SEVERAL = ["fft2", "ifft2", "fftn", "ifftn", "rfft2", "rfftn", "irfft2", "irfftn"]
NORMS = [None, "backward", "ortho", "forward"]


def draw(*shape, kind="f", seed=0):
    generator = np.random.default_rng(seed)
    values = generator.normal(size=shape)
    return values + 1j * generator.normal(size=shape) if kind == "c" else values


def assert_same(found, expected, rtol=1e-12):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def check_modes(function, x):
    check_grads(function, (x,))
    assert_same(fad.jit(function)(x), function(x))
    rows = np.stack([x, 2 * x])
    assert_same(fad.vmap(function)(rows), np.stack([np.asarray(function(r)) for r in rows]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [None, 1, 2, 4, 5, 8])
@pytest.mark.parametrize("name", COMPLEX + FROM_REAL + TO_REAL)
def test_one_axis(name, n, norm):
    for x in (draw(3, 5), draw(5, 4, kind="c")):
        if name in FROM_REAL and x.dtype.kind == "c":
            continue
        for axis in (-1, 0):
            expected = getattr(np.fft, name)(x, n=n, axis=axis, norm=norm)
            assert_same(getattr(fnp.fft, name)(x, n=n, axis=axis, norm=norm), expected)


@pytest.mark.parametrize("name", COMPLEX + FROM_REAL + TO_REAL)
def test_one_axis_differentiates(name):
    for x in (draw(5), draw(2, 4), draw(4, kind="c"), draw(1)):
        if name in FROM_REAL and x.dtype.kind == "c":
            continue
        for n in (None, 3, 6) if x.size > 1 else (1,):
            check_modes(lambda v, n=n: getattr(fnp.fft, name)(v, n=n, axis=-1, norm="ortho"), x)
            check_modes(lambda v, n=n: getattr(fnp.fft, name)(v, n=n), x)


@pytest.mark.parametrize("name", SEVERAL)
def test_several_axes(name):
    x = draw(3, 4, 5, kind="f" if name.startswith("rfft") else "c")
    choices = [{}, {"s": (4, 3), "axes": (0, 2)}, {"axes": (1, 0)}, {"s": (2, -1), "axes": (2, 1), "norm": "ortho"}]
    for options in choices:
        assert_same(getattr(fnp.fft, name)(x, **options), getattr(np.fft, name)(x, **options))
    check_modes(lambda v: getattr(fnp.fft, name)(v, axes=(0, 2)), x)


def test_repeated_axes():
    x = draw(3, 4, kind="c")
    assert_same(fnp.fft.fftn(x, axes=(0, 0)), np.fft.fft(np.fft.fft(x, axis=0), axis=0))


def test_names_of_several_axes_are_numpys():
    assert_same(fnp.fft.ifftn(draw(2, 3)), np.fft.ifftn(draw(2, 3)))
    assert_same(fnp.fft.irfftn(draw(2, 3)), np.fft.irfftn(draw(2, 3)))


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int64", "bool"])
def test_dtypes(dtype):
    x = (draw(6) * 3).astype(dtype)
    assert_same(fnp.fft.fft(x), np.fft.fft(x), 1e-5)
    if dtype != "complex64":
        assert_same(fnp.fft.rfft(x), np.fft.rfft(x), 1e-5)


def test_short_floats_are_transformed_in_single_precision():
    assert fnp.fft.fft(draw(4).astype(np.float16)).dtype == np.complex64


def test_the_transform_is_its_own_transpose():
    z, ct = draw(6, kind="c"), draw(6, kind="c", seed=1)
    (cotangent,) = fad.vjp(fnp.fft.fft, z)[1](ct)
    assert_same(cotangent, np.fft.fft(ct))
    x, half = draw(6), draw(4, kind="c", seed=2)
    (cotangent,) = fad.vjp(fnp.fft.rfft, x)[1](half)
    matrix = np.fft.rfft(np.eye(6))
    np.testing.assert_allclose(cotangent, (matrix @ half).real)


def test_power_spectrum():
    x = draw(8)
    gradient = fad.grad(lambda v: fnp.sum(fnp.abs(fnp.fft.fft(v)) ** 2))(x)
    np.testing.assert_allclose(gradient, 2 * 8 * x)  # Parseval


@pytest.mark.parametrize("n", [1, 4, 5])
def test_frequencies_and_shifts(n):
    for d in (1.0, 0.25):
        assert_same(fnp.fft.fftfreq(n, d), np.fft.fftfreq(n, d))
        assert_same(fnp.fft.rfftfreq(n, d), np.fft.rfftfreq(n, d))
    x = draw(n, 3)
    for axes in (None, 0, (1,), (0, -1)):
        assert_same(fnp.fft.fftshift(x, axes), np.fft.fftshift(x, axes))
        assert_same(fnp.fft.ifftshift(x, axes), np.fft.ifftshift(x, axes))
    check_modes(fnp.fft.fftshift, x)


def test_frequencies_differentiate_by_the_spacing():
    np.testing.assert_allclose(fad.grad(lambda d: fnp.fft.fftfreq(4, d)[1])(0.5), -1.0)
    assert fnp.fft.fftfreq(4, dtype=np.float32).dtype == np.float32


def test_plain_numpy_calls_come_here():
    gradient = fad.grad(lambda x: np.abs(np.fft.rfft(x)).sum())(draw(5))
    np.testing.assert_allclose(gradient, fad.grad(lambda x: fnp.abs(fnp.fft.rfft(x)).sum())(draw(5)))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fnp.fft.fft(1.0), ShapeError, ["fft", "0-d"]),
        (lambda: fnp.fft.fft(np.ones(3), n=0), ShapeError, ["at least 1", "0"]),
        (lambda: fnp.fft.fft(np.ones((2, 0))), ShapeError, ["at least 1"]),
        (lambda: fnp.fft.fft(np.ones(3), axis=1), ShapeError, ["axis 1"]),
        (lambda: fnp.fft.fft(np.ones(3), norm="up"), ArgumentError, ["'ortho'", "'up'"]),
        (lambda: fnp.fft.fft(np.ones(3), out=1), ImmutableArrayError, ["out="]),
        (lambda: fnp.fft.rfft(np.ones(3) * 1j), DTypeError, ["real signal", "complex128"]),
        (lambda: fnp.fft.rfftn(np.ones((2, 3)) * 1j), DTypeError, ["real signal"]),
        (lambda: fnp.fft.fftn(np.ones((2, 2)), s=(1,), axes=(0, 1)), ShapeError, ["same length"]),
        (lambda: fnp.fft.fftfreq(0), ArgumentError, ["n must be an int >= 1"]),
        (lambda: fnp.fft.rfftfreq(2.5), ArgumentError, ["2.5"]),
    ],
)
def test_refusals_teach(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4096,), 0), ((4099,), 0), ((70, 65), 0), ((65, 70), 0), ((65, 70), 1), ((3, 2, 1500), 2), ((1, 5000), 0)],
)
def test_large_real_signals_have_the_whole_spectrum(shape, axis, dtype, norm):
    x = np.random.default_rng(3).normal(size=shape).astype(dtype)
    tolerance = 20 * np.finfo(dtype).eps
    for name in ("fft", "ifft"):
        expected = getattr(np.fft, name)(x.astype(float), axis=axis, norm=norm)
        for function in (getattr(fnp.fft, name), fad.jit(getattr(fnp.fft, name), static_argnames=("axis", "norm"))):
            seen = function(x, axis=axis, norm=norm)
            assert seen.dtype == np.result_type(dtype, "complex64")
            np.testing.assert_allclose(seen, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    expected = np.fft.fft2(x.astype(float)) if x.ndim > 1 else np.fft.fft(x.astype(float))
    seen = fnp.fft.fftn(x, axes=(-2, -1) if x.ndim > 1 else (0,))
    np.testing.assert_allclose(seen, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
