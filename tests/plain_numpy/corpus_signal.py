"""Fourier transforms, convolution, interpolation, polynomials and special functions."""

import numpy as np

from tests.plain_numpy.collection import Collection, complexes, positives, reals

case = Collection("signal")

X = reals(6, seed=121)
X7 = reals(7, seed=122)
K = reals(3, seed=123)
P = positives(5, seed=124)
M = reals(3, 4, seed=125)
Z = complexes(4, seed=126)
ZM = complexes(2, 3, seed=127)
C = reals(4, seed=128)
GRID = np.array([0.0, 0.7, 1.1, 2.4, 3.0])
QUERY = np.array([0.31, 1.73, 2.9, 0.95])

# Fourier
case("fft_power", lambda x: np.abs(np.fft.fft(x)) ** 2, X)
case("fft_complex_output", lambda x: np.fft.fft(x), X)
case("fft_of_complex", lambda z: np.fft.fft(z), Z)
case("fft_padded", lambda x: np.fft.fft(x, n=8).real, X)
case("fft_truncated_axis", lambda x: np.fft.fft(x, n=2, axis=0).real, M)
case("fft_ortho", lambda x: np.fft.fft(x, norm="ortho").real, X)
case("ifft", lambda z: np.fft.ifft(z), Z)
case("ifft_forward_norm", lambda z: np.fft.ifft(z, norm="forward"), Z)
case("fft_round_trip", lambda x: np.fft.ifft(np.fft.fft(x) * np.arange(6)).real, X)
case("rfft", lambda x: np.fft.rfft(x), X)
case("rfft_odd", lambda x: np.abs(np.fft.rfft(x)), X7)
case("rfft_padded_axis", lambda x: np.fft.rfft(x, n=5, axis=0).imag, M)
case("irfft", lambda z: np.fft.irfft(z), Z)
case("irfft_odd", lambda z: np.fft.irfft(z, n=7), Z)
case("rfft_round_trip", lambda x: np.fft.irfft(np.fft.rfft(x) * np.exp(-np.arange(4)), n=6), X)
case("rfft_round_trip_odd", lambda x: np.fft.irfft(np.fft.rfft(x) ** 2, 7), X7)
case("hfft", lambda z: np.fft.hfft(z), Z)
case("ihfft", lambda x: np.fft.ihfft(x), X)
case("fft2", lambda x: np.abs(np.fft.fft2(x)), M)
case("ifft2", lambda z: np.fft.ifft2(z), ZM)
case("rfft2", lambda x: np.fft.rfft2(x).real, M)
case("irfft2", lambda z: np.fft.irfft2(z, s=(2, 4)), ZM)
case("fftn", lambda x: np.fft.fftn(x).imag, reals(2, 3, 2, seed=129))
case("fftn_axes", lambda x: np.abs(np.fft.fftn(x, axes=(0,))) ** 2, M)
case("rfftn", lambda x: np.fft.rfftn(x), M)
case("irfftn", lambda z: np.fft.irfftn(z), ZM)
case("fftshift", lambda x: np.fft.fftshift(np.fft.fft(x)).real * np.arange(6), X)
case("ifftshift", lambda x: np.fft.ifftshift(x) * np.arange(7), X7)
case("fftfreq_derivative", lambda x: np.fft.ifft(2j * np.pi * np.fft.fftfreq(6) * np.fft.fft(x)).real, X)
case("low_pass", lambda x: np.fft.irfft(np.fft.rfft(x) * (np.fft.rfftfreq(6) < 0.3), n=6) ** 2, X)
case("convolution_theorem", lambda x, k: np.fft.ifft(np.fft.fft(x) * np.fft.fft(k, 6)).real, X, K)
case("spectral_entropy", lambda x: -np.sum((q := np.abs(np.fft.rfft(x)) ** 2) / q.sum() * np.log(q / q.sum())), X)

# Convolution
case("convolve_full", lambda x, k: np.convolve(x, k), X, K)
case("convolve_same", lambda x, k: np.convolve(x, k, mode="same"), X, K)
case("convolve_valid", lambda x, k: np.convolve(x, k, "valid"), X, K)
case("convolve_shorter_first", lambda k, x: np.convolve(k, x, "same"), K, X)
case("correlate_valid", lambda x, k: np.correlate(x, k), X, K)
case("correlate_full", lambda x, k: np.correlate(x, k, mode="full"), X, K)
case("correlate_same", lambda x, k: np.correlate(x, k, "same"), X, K)
case("correlate_complex", lambda x, k: np.correlate(x, k, "full"), Z, complexes(2, seed=130))
case("moving_average", lambda x: np.convolve(x, np.ones(3) / 3, mode="valid") ** 2, X)

# Interpolation
case("interp_values", lambda f: np.interp(QUERY, GRID, f), P)
case("interp_points", lambda x: np.interp(x, [-3.0, -1.0, 0.5, 3.0], [1.0, 4.0, -2.0, 0.0]), X)
case("interp_outside", lambda x: np.interp(x * 2, [-1.0, 0.0, 1.0], [3.0, 1.0, 2.0]) * x, X)
case("interp_nodes", lambda h: np.interp(QUERY, np.cumsum(h), np.sin(np.arange(5))), P)
case("interp_all", lambda x, f: np.interp(x, GRID, f), QUERY, P)
case("interp_left_right", lambda x: np.interp(x, [-1.0, 1.0], [2.0, 5.0], left=0.0, right=9.0), X)

# Polynomials
case("polyval", lambda c, x: np.polyval(c, x), C, X)
case("polyval_constant_coefficients", lambda x: np.polyval([1.0, -2.0, 0.5], x), X)
case("polynomial_polyval", lambda x: np.polynomial.polynomial.polyval(x, [1.0, 2.0, 3.0]), X)
case("polyder", lambda c: np.polyval(np.polyder(c), 0.7), C)
case("polyint", lambda c: np.polyval(np.polyint(c), 1.2), C)
case("polymul", lambda a, b: np.polymul(a, b), C, K)
case("polyadd", lambda a, b: np.polyadd(a, b) ** 2, C, K)
case("polysub", lambda a, b: np.polysub(a, b) ** 2, C, K)
case("poly_from_roots", lambda r: np.poly(r), K)
case("polyfit_by_vander", lambda y: np.linalg.lstsq(np.vander(GRID, 3), y)[0], P)
case("polyfit", lambda y: np.polyfit(GRID, y, 2), P)
case(
    "roots",
    lambda c: np.abs(np.roots(c)),
    np.array([1.0, 0.4, 2.2, -0.7]),
    eager_only="the number of roots depends on which coefficients are zero",
)
case("horner", lambda c, x: ((c[0] * x + c[1]) * x + c[2]) * x + c[3], C, X)
case("chebyshev_recurrence", lambda x: 2 * x * (2 * x**2 - 1) - x, X)
case("vander_least_squares", lambda x, y: np.linalg.solve((v := np.vander(x, 3)).T @ v, v.T @ y), X, X + 1)

# Special functions and phases
case("sinc", lambda x: np.sinc(x), X)
case("sinc_at_zero", lambda x: np.sinc(x * np.array([1.0, 0.0, 2.0])), K)
case("i0", lambda x: np.i0(x), P)
case("kaiser_by_hand", lambda beta: np.i0(beta * np.sqrt(1 - np.linspace(-0.9, 0.9, 5) ** 2)) / np.i0(beta), 3.2)
case("heaviside", lambda x: np.heaviside(x - 0.1, 0.0) * x**2, X)
case("unwrap", lambda x: np.unwrap(np.cumsum(x * 3)) ** 2, X)
case("unwrap_of_angle", lambda x: np.unwrap(np.angle(np.exp(1j * np.cumsum(x * 2)))), X)
case("angle_of_fft", lambda x: np.angle(np.fft.rfft(x)[1:3]), X)
case("angle_degrees", lambda z: np.angle(z, deg=True), Z)
case("abs_complex", lambda z: np.abs(z) ** 3, Z)
case("real_imag", lambda z: np.real(z**2) - np.imag(z), Z)
case("complex_from_parts", lambda x: np.abs((x[:3] + 1j * x[3:]) ** 2 + 1), X)
case("round", lambda x: np.round(x, 1) * x, X + 0.013)
case("around", lambda x: np.around(x) + x**2, X)
case("trunc", lambda x: (x - np.trunc(x)) ** 2, X)
case("emath_sqrt", lambda x: np.emath.sqrt(x) ** 3, P)
case("hanning_window", lambda x: np.fft.rfft(x * np.hanning(6)).real, X)
case("blackman_filter", lambda x: np.convolve(x, np.blackman(5), "same"), X)
