"""Fourier transforms in compiled code: NumPy's values along any axis, inside loops, and where NumPy's functions are not found."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.llvm import fourier, library_calls
from fad.compiler.passes.pipeline import simplified
from tests.compiler.test_complex_parts import python_steps

RNG = np.random.default_rng(8)


def signal(shape, dtype):
    x = RNG.normal(size=shape)
    return (x + 1j * RNG.normal(size=shape) if np.dtype(dtype).kind == "c" else x).astype(dtype)


def check(function, *args, left=()):
    """Compiled results are NumPy's to rounding, the second call's (by the native caller) too."""
    jitted, expected = fad.jit(lambda *a: function(fnp, *a)), function(np, *args)
    tolerance = 20 * np.finfo(expected.dtype).eps
    for _ in range(2):
        seen = np.asarray(jitted(*args))
        assert seen.dtype == expected.dtype
        np.testing.assert_allclose(seen, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    assert python_steps(lambda *a: function(fnp, *a), *args) == list(left)


COMPLEX = {
    "fft": lambda xp, x, **how: xp.fft.fft(x * 2, **how),
    "ifft": lambda xp, x, **how: xp.fft.ifft(x * 2, **how),
    "irfft": lambda xp, x, **how: xp.fft.irfft(x * 2, **how),
    "irfft, odd": lambda xp, x, **how: xp.fft.irfft(x * 2, 2 * x.shape[how["axis"]] - 1, **how),
}
REAL = {
    "rfft": lambda xp, x, **how: xp.fft.rfft(x * 2, **how),
    "fft of reals": lambda xp, x, **how: xp.fft.fft(x * 2, **how),
}


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("precision", [4, 8])
@pytest.mark.parametrize("shape", [(20,), (21,), (16, 9), (9, 16), (5, 6, 7), (4, 5, 3, 6)])
def test_every_axis(shape, precision, norm):
    for axis in range(len(shape)):
        for functions, kind in ((COMPLEX, "c"), (REAL, "f")):
            x = signal(shape, f"{kind}{precision * (1 + (kind == 'c'))}")
            for function in functions.values():
                check(lambda xp, x, f=function, a=axis: f(xp, x, axis=a, norm=norm), x)


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("name", ["fft", "ifft"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((20,), 0), ((33,), 0), ((40, 9), 0), ((9, 40), 1), ((3, 17, 5), 1), ((50, 1), 1)]
)
@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_the_real_part_of_a_transform_is_made_of_half_a_spectrum(shape, axis, name, norm, dtype):
    def function(xp, z):
        return getattr(xp.fft, name)(z * 2, axis=axis, norm=norm).real

    z = signal(shape, dtype)
    check(function, z)
    found = [e.primitive.name for e in simplified(fad.make_program(lambda z: function(fnp, z))(z)).equations]
    assert "fourier_to_real" in found
    assert "fourier" not in found


@pytest.mark.parametrize("name", ["fft", "ifft"])
@pytest.mark.parametrize("place", [0, 3, 10])
@pytest.mark.parametrize("value", [complex(1, np.nan), complex(np.nan, 1)])
def test_the_real_part_of_a_transform_of_nan_is_nan(name, place, value):
    z = signal((20,), complex)
    z[place] = value
    assert np.isnan(fad.jit(lambda z: getattr(fnp.fft, name)(z * 2).real)(z)).all()


def test_a_transform_whose_imaginary_part_is_read_stays_whole():
    z = signal((30,), complex)
    check(lambda xp, z: (lambda y: y.real * y.imag)(xp.fft.ifft(z * 2)), z)
    check(lambda xp, z: xp.concatenate([(y := xp.fft.fft(z * 2)), y.real]), z)


def test_the_gradient_of_a_convolution_by_transforms_is_that_of_sums():
    a, b = signal((40,), float), signal((40,), float)
    places = (np.arange(40)[:, None] - np.arange(40)) % 40

    def by_transforms(a, b):
        return (fnp.fft.ifft(fnp.fft.fft(a) * fnp.fft.fft(b)).real ** 3).sum()

    found = fad.jit(fad.grad(by_transforms, argnums=(0, 1)))(a, b)
    expected = fad.grad(lambda a, b: ((b[places] @ a) ** 3).sum(), argnums=(0, 1))(a, b)
    for seen, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(seen, wanted, rtol=1e-11, atol=1e-11 * np.abs(wanted).max())


@pytest.mark.parametrize("shape", [(24, 30), (5, 6, 7), (300, 400)])
def test_several_axes(shape):
    z, x = signal(shape, complex), signal(shape, float)
    check(lambda xp, z: xp.fft.fftn(z + 1), z)
    check(lambda xp, z: xp.fft.ifftn(z + 1, norm="ortho"), z)
    check(lambda xp, x: xp.fft.irfft2(xp.fft.rfft2(x) * 2), x)
    check(lambda xp, z: xp.fft.fft2(z.T, axes=(1, 0)), z)


def test_one_code_for_even_and_odd_sizes():
    function = fad.jit(lambda x: fnp.fft.irfft(fnp.fft.rfft(x) * 1j, n=40))
    for n in (40, 41, 100, 37, 64):
        x = signal((n,), float)
        np.testing.assert_allclose(function(x), np.fft.irfft(np.fft.rfft(x) * 1j, n=40), rtol=1e-12, atol=1e-13)


def test_inside_loops_and_branches():
    def smooth(x):
        def turn(c, a):
            spectrum = fnp.fft.fft(c * a) * fnp.exp(-fnp.arange(12.0))
            return fad.cond(a > 0, lambda s: fnp.fft.ifft(s), lambda s: s * 2, spectrum), fnp.abs(spectrum[0])

        final, heights = fad.scan(turn, x + 0j, x[:5])
        return fad.while_loop(lambda c: fnp.abs(c).sum() > 1e-2, lambda c: fnp.fft.fft(c) / 24, final), heights

    def loss(x):
        final, heights = smooth(x)
        return fnp.abs(final).sum() + heights.sum()

    x = signal((12,), float)
    assert python_steps(smooth, x) == []
    for seen, wanted in zip(fad.jit(smooth)(x), smooth(x), strict=True):
        np.testing.assert_allclose(seen, wanted, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(fad.jit(fad.grad(loss))(x), fad.grad(loss)(x), rtol=1e-9, atol=1e-12)


def test_gradients_and_batches():
    def loss(x):
        return (fnp.abs(fnp.fft.rfft2(x)) ** 2 * np.arange(9.0)).sum()

    x = signal((7, 12, 16), float)
    for function in (fad.grad(loss), fad.vmap(fad.grad(loss))):
        assert python_steps(function, x) == []
        np.testing.assert_allclose(fad.jit(function)(x), function(x), rtol=1e-11, atol=1e-9)


def test_few_numbers_and_none_are_left_to_numpy():
    check(lambda xp, z: xp.fft.fft(z * 2), signal((3,), complex), left=["fourier"])
    check(lambda xp, z: xp.fft.fft(z * 2, axis=1), signal((2, 2), complex), left=["fourier"])
    assert fad.jit(lambda z: fnp.fft.fft(z))(np.zeros((0, 20), complex)).shape == (0, 20)


def test_where_numpy_keeps_its_transforms_elsewhere_they_are_called_through_it(monkeypatch):
    monkeypatch.setattr(fourier, "numpy_loop", lambda name, real: None)
    with fad.config.using(disk_cache=False):
        check(lambda xp, z: xp.fft.fft(z * 3 - 1), signal((50,), complex), left=["fourier"])


@pytest.mark.parametrize("name", sorted(library_calls.NUMPY_LOOPS))
def test_loops_of_numpy_are_found(name):
    for real in "df":
        assert library_calls.numpy_loop(name, real)
    assert library_calls.numpy_loop(f"{name}_of_another_version", "d") is None
