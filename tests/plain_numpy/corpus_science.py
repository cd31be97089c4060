"""Physics, engineering, finance and numerical methods, as people write them with NumPy."""

import numpy as np

from tests.plain_numpy.collection import Collection, positives, reals

case = Collection("science")

X = reals(5, seed=201)
BODIES = reals(4, 3, seed=202)
MASSES = positives(4, seed=203)
FIELD = reals(8, seed=204)
GRID2 = reals(5, 5, seed=205)
STATE = reals(2, seed=206)
SPD = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, -0.2], [0.1, -0.2, 1.1]])


def normal_cdf(x):
    # Abramowitz and Stegun 26.2.17
    t = 1 / (1 + 0.2316419 * np.abs(x))
    tail = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    upper = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * tail
    return np.where(x >= 0, 1 - upper, upper)


# Test functions of optimisation
case("rosenbrock", lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), X)
case("rastrigin", lambda x: 10 * len(x) + np.sum(x**2 - 10 * np.cos(2 * np.pi * x)), X)
case("himmelblau", lambda x: (x[0] ** 2 + x[1] - 11) ** 2 + (x[0] + x[1] ** 2 - 7) ** 2, STATE)
case("styblinski_tang", lambda x: 0.5 * np.sum(x**4 - 16 * x**2 + 5 * x), X)
case("griewank", lambda x: 1 + np.sum(x**2) / 4000 - np.prod(np.cos(x / np.sqrt(np.arange(1, 6)))), X)
case("beale", lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2, 0.6, 0.4)


@case.on(X)
def ackley(x):
    spread = -20 * np.exp(-0.2 * np.sqrt(np.mean(x**2)))
    return spread - np.exp(np.mean(np.cos(2 * np.pi * x))) + 20 + np.e


# Mechanics
@case.on(BODIES, MASSES)
def gravitational_energy(positions, masses):
    i, j = np.triu_indices(4, k=1)
    distance = np.linalg.norm(positions[i] - positions[j], axis=1)
    return -np.sum(masses[i] * masses[j] / distance)


@case.on(BODIES, MASSES)
def gravitational_acceleration(positions, masses):
    offset = positions[None, :, :] - positions[:, None, :]
    cubed = (np.sum(offset**2, axis=-1) + 0.01) ** 1.5
    return np.einsum("ijk,ij->ik", offset, masses[None] / cubed)


@case.on(BODIES)
def lennard_jones(positions):
    offset = positions[:, None] - positions
    squared = np.sum(offset**2, axis=-1) + np.eye(4)
    sixth = 1 / squared**3
    return np.sum(np.triu(4 * (sixth**2 - sixth), 1))


@case.on(BODIES, reals(4, seed=207))
def coulomb_potential(positions, charges):
    energy = 0.0
    for a in range(4):
        for b in range(a):
            energy += charges[a] * charges[b] / np.sqrt(np.sum((positions[a] - positions[b]) ** 2))
    return energy


@case.on(0.9, 0.1, 1.3)
def pendulum_euler(angle, speed, length):
    for _ in range(12):
        acceleration = -9.81 / length * np.sin(angle)
        speed = speed + 0.02 * acceleration
        angle = angle + 0.02 * speed
    return np.stack([angle, speed])


@case.on(np.array([0.5, 0.2]), 0.3)
def runge_kutta_van_der_pol(state, mu):
    def slope(y):
        return np.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])

    h = 0.1
    for _ in range(5):
        k1 = slope(state)
        k2 = slope(state + h / 2 * k1)
        k3 = slope(state + h / 2 * k2)
        k4 = slope(state + h * k3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state


@case.on(np.array([0.3, 0.1, -0.2, 0.4]))
def double_pendulum_array_constructor(state):
    for _ in range(3):
        a, b, va, vb = state
        state = state + 0.05 * np.array([va, vb, -np.sin(a) - 0.3 * np.sin(a - b), -np.sin(b) + 0.3 * np.sin(a - b)])
    return state


@case.on(np.array([1.0, 0.5, 1.2]), np.array([10.0, 28.0, 2.6]))
def lorenz(state, parameters):
    s, r, b = parameters
    for _ in range(4):
        x, y, z = state
        state = state + 0.01 * np.stack((s * (y - x), x * (r - z) - y, x * y - b * z))
    return state


@case.on(np.array([0.9, 0.4]), np.array([1.1, 0.4, 0.4, 0.1]))
def lotka_volterra(population, rates):
    path = [population]
    for _ in range(5):
        prey, predator = path[-1]
        growth = np.hstack([rates[0] * prey - rates[1] * prey * predator, rates[3] * prey * predator - rates[2]])
        path.append(path[-1] + 0.1 * growth)
    return np.vstack(path)


@case.on(0.4, 0.1)
def epidemic_peak(infection, recovery):
    s, i, r = 0.95, 0.05, 0.0
    curve = []
    for _ in range(20):
        new, healed = infection * s * i, recovery * i
        s, i, r = s - new, i + new - healed, r + healed
        curve.append(i)
    return np.max(np.stack(curve))


@case.on(np.array([1.0, 0.0]), 2.0)
def leapfrog_oscillator(phase, stiffness):
    position, momentum = phase[0], phase[1]
    for _ in range(6):
        momentum = momentum - 0.05 * stiffness * position
        position = position + 0.1 * momentum
        momentum = momentum - 0.05 * stiffness * position
    return 0.5 * momentum**2 + 0.5 * stiffness * position**2


@case.on(12.0, 0.7)
def projectile_range(speed, angle):
    return speed**2 * np.sin(2 * angle) / 9.81


@case.on(np.array([0.3, 0.8]), np.array([1.0, 0.7]))
def robot_arm(angles, lengths):
    total = np.cumsum(angles)
    return np.stack([np.sum(lengths * np.cos(total)), np.sum(lengths * np.sin(total))])


@case.on(np.array([0.2, -0.4, 0.7]), reals(3, seed=208))
def rotate_by_euler_angles(angles, vector):
    cx, cy, cz = np.cos(angles)
    sx, sy, sz = np.sin(angles)
    about_x = np.stack([vector[0], cx * vector[1] - sx * vector[2], sx * vector[1] + cx * vector[2]])
    about_y = np.stack([cy * about_x[0] + sy * about_x[2], about_x[1], cy * about_x[2] - sy * about_x[0]])
    return np.stack([cz * about_y[0] - sz * about_y[1], sz * about_y[0] + cz * about_y[1], about_y[2]])


@case.on(reals(4, seed=209), reals(3, seed=210))
def rotate_by_quaternion(q, v):
    q = q / np.linalg.norm(q)
    axis = q[1:]
    return v + 2 * np.cross(axis, np.cross(axis, v) + q[0] * v)


@case.on(reals(3, seed=211), reals(3, seed=212))
def rodrigues_rotation(w, v):
    angle = np.sqrt(np.sum(w**2))
    k = w / angle
    return v * np.cos(angle) + np.cross(k, v) * np.sin(angle) + k * np.dot(k, v) * (1 - np.cos(angle))


# Fields and partial differential equations
@case.on(FIELD, 0.2)
def heat_equation(u, diffusivity):
    for _ in range(4):
        u = u + diffusivity * (np.roll(u, 1) - 2 * u + np.roll(u, -1))
    return u


@case.on(FIELD)
def heat_equation_fixed_ends(u):
    for _ in range(3):
        inner = u[1:-1] + 0.25 * np.diff(u, n=2)
        u = np.concatenate([[0.0], inner, [0.0]])
    return u


@case.on(FIELD, FIELD[::-1].copy())
def wave_equation(now, before):
    for _ in range(3):
        laplacian = np.roll(now, 1) + np.roll(now, -1) - 2 * now
        now, before = 2 * now - before + 0.1 * laplacian, now
    return now


@case.on(positives(8, seed=213))
def burgers_upwind(u):
    for _ in range(3):
        u = u - 0.1 * u * (u - np.roll(u, 1))
    return u


@case.on(GRID2)
def poisson_jacobi(source):
    u = np.zeros((5, 5))
    for _ in range(3):
        inside = (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2] - source[1:-1, 1:-1]) / 4
        u = np.pad(inside, 1)
    return u


@case.on(GRID2)
def reaction_diffusion(u):
    padded = np.pad(u, 1, mode="wrap")
    laplacian = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2] - 4 * u
    return u + 0.1 * (laplacian + u - u**3)


@case.on(FIELD)
def spectral_derivative(u):
    wave = 2j * np.pi * np.fft.fftfreq(8, d=1 / 8)
    return np.fft.ifft(wave * np.fft.fft(u)).real


@case.on(FIELD, 0.3)
def advection_spectral(u, shift):
    wave = 2 * np.pi * np.fft.rfftfreq(8)[:4]
    spectrum = np.fft.rfft(u)[:4] * np.exp(-1j * wave * shift)
    return np.fft.irfft(np.append(spectrum, 0.0), n=8)


@case.on(positives(4, seed=214), reals(5, seed=215))
def tridiagonal_solve(off, rhs):
    matrix = np.diag(np.full(5, 6.0)) + np.diag(off, 1) + np.diag(off**2, -1)
    return np.linalg.solve(matrix, rhs)


@case.on(reals(5, seed=216))
def thomas_algorithm(rhs):
    factor, value = [0.25], [rhs[0] / 4]
    for k in range(1, 5):
        pivot = 4 - factor[-1]
        factor.append(1 / pivot)
        value.append((rhs[k] - value[-1]) / pivot)
    solution = [value[-1]]
    for k in range(3, -1, -1):
        solution.append(value[k] - factor[k] * solution[-1])
    return np.stack(solution[::-1])


@case.on(GRID2)
def image_blur(image):
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    padded = np.pad(image, 1, mode="edge")
    return sum(kernel[i, j] * padded[i : i + 5, j : j + 5] for i in range(3) for j in range(3))


@case.on(GRID2)
def total_variation(image):
    return np.sum(np.abs(np.diff(image, axis=0))) + np.sum(np.abs(np.diff(image, axis=1)))


@case.on(GRID2)
def sobel_magnitude(image):
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    return np.hypot((windows * sobel).sum(axis=(2, 3)), (windows * sobel.T).sum(axis=(2, 3)))


@case.on(GRID2, np.array([1.3, 2.6]), np.array([0.4, 3.7]))
def bilinear_interpolation(image, rows, columns):
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    dr, dc = rows - np.floor(rows), columns - np.floor(columns)
    upper = image[top, left] * (1 - dc) + image[top, left + 1] * dc
    lower = image[top + 1, left] * (1 - dc) + image[top + 1, left + 1] * dc
    return upper * (1 - dr) + lower * dr


@case.on(reals(5, seed=217), 1.37)
def hermite_spline(values, t):
    slopes = np.gradient(values)
    k = 1
    s = t - k
    basis = np.stack([2 * s**3 - 3 * s**2 + 1, s**3 - 2 * s**2 + s, -2 * s**3 + 3 * s**2, s**3 - s**2])
    return basis @ np.stack([values[k], slopes[k], values[k + 1], slopes[k + 1]])


@case.on(reals(4, 2, seed=218))
def bezier_curve(points):
    t = np.linspace(0, 1, 5)[:, None]
    while len(points) > 1:
        points = [(1 - t) * a + t * b for a, b in zip(points[:-1], points[1:], strict=True)]
    return points[0]


@case.on(reals(6, seed=219))
def cubic_b_spline(control):
    t = np.array([0.1, 0.5, 0.9])
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    return np.concatenate([weights @ control[k : k + 4] for k in range(3)])


# Iterations and numerical linear algebra
@case.on(2.7)
def newton_square_root(a):
    x = 1.0
    for _ in range(6):
        x = x - (x**2 - a) / (2 * x)
    return x


@case.on(0.6, 0.2)
def kepler_equation(mean_anomaly, eccentricity):
    angle = mean_anomaly
    for _ in range(8):
        angle = angle - (angle - eccentricity * np.sin(angle) - mean_anomaly) / (1 - eccentricity * np.cos(angle))
    return angle


@case.on(0.8, eager_only="the number of Newton steps depends on values")
def newton_until_converged(a):
    x = a
    while np.abs(np.cos(x) - a * x) > 1e-13:
        x = x + (np.cos(x) - a * x) / (np.sin(x) + a)
    return x


@case.on(1.9, eager_only="bisection branches on values")
def bisection_with_newton_polish(a):
    low, high = 0.0, 2.0
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if middle**3 < a else (low, middle)
    x = (low + high) / 2
    return x - (x**3 - a) / (3 * x**2)


@case.on(SPD)
def power_iteration(matrix):
    v = np.ones(3)
    for _ in range(12):
        v = matrix @ v
        v = v / np.linalg.norm(v)
    return v @ matrix @ v


@case.on(SPD, reals(3, seed=220))
def conjugate_gradient(matrix, b):
    x = np.zeros_like(b)
    r = b - matrix @ x
    p = r
    for _ in range(2):
        step = (r @ r) / (p @ matrix @ p)
        x = x + step * p
        fresh = r - step * matrix @ p
        p = fresh + (fresh @ fresh) / (r @ r) * p
        r = fresh
    return x


@case.on(reals(4, 3, seed=221))
def gram_schmidt(a):
    basis = []
    for column in a.T:
        for q in basis:
            column = column - (q @ column) * q
        basis.append(column / np.linalg.norm(column))
    return np.column_stack(basis)


@case.on(0.4 * reals(3, 3, seed=222))
def matrix_exponential_series(a):
    term, total = np.eye(3), np.eye(3)
    for k in range(1, 12):
        term = term @ a / k
        total = total + term
    return total


@case.on(SPD)
def newton_schulz_inverse(a):
    x = a.T / (np.linalg.norm(a, 1) * np.linalg.norm(a, np.inf))
    for _ in range(5):
        x = x @ (2 * np.eye(3) - a @ x)
    return x


@case.on(0.9)
def gauss_legendre_integral(rate):
    nodes, weights = np.polynomial.legendre.leggauss(6)
    return np.sum(weights * np.exp(-rate * (nodes + 1)) * np.cos(nodes))


@case.on(1.1)
def simpson_integral(a):
    x = np.linspace(0, 2, 9)
    y = np.sin(a * x) * np.exp(-x)
    return 0.25 / 3 * (y[0] + y[-1] + 4 * y[1:-1:2].sum() + 2 * y[2:-1:2].sum())


@case.on(reals(4, seed=223))
def fourier_series(coefficients):
    t = np.linspace(0, 1, 6)
    return sum(c * np.sin(2 * np.pi * (k + 1) * t) for k, c in enumerate(coefficients))


@case.on(0.3, 1.4)
def mandelbrot_orbit(re, im):
    z, c = 0j, re + 1j * im * 0.3
    for _ in range(4):
        z = z**2 + c
    return np.abs(z)


@case.on(25.0)
def runge_function_fit(steepness):
    x = np.linspace(-1, 1, 7)
    design = np.vander(x, 4, increasing=True)
    return np.linalg.lstsq(design, 1 / (1 + steepness * x**2), rcond=None)[0]


# Filtering, control, probability
@case.on(reals(2, seed=224), np.array([[1.2, 0.1], [0.1, 0.8]]), np.array([0.7]))
def kalman_step(mean, covariance, measurement):
    transition, observe = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[1.0, 0.0]])
    mean, covariance = transition @ mean, transition @ covariance @ transition.T + 0.01 * np.eye(2)
    innovation = observe @ covariance @ observe.T + 0.2
    gain = covariance @ observe.T @ np.linalg.inv(innovation)
    mean = mean + gain @ (measurement - observe @ mean)
    covariance = (np.eye(2) - gain @ observe) @ covariance
    return np.concatenate([mean, covariance.ravel()])


@case.on(np.array([0.5, 1.0, 0.3]))
def linear_quadratic_cost(gains):
    a, b = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([0.0, 0.1])
    state, cost = np.array([1.0, 0.2]), 0.0
    for _ in range(5):
        force = -gains[:2] @ state
        state = a @ state + b * force
        cost += state @ state + gains[2] ** 2 * force**2
    return cost


@case.on(100.0, 105.0, 0.02, 0.25, 1.5)
def black_scholes_call(spot, strike, rate, volatility, expiry):
    spread = volatility * np.sqrt(expiry)
    d1 = (np.log(spot / strike) + (rate + volatility**2 / 2) * expiry) / spread
    return spot * normal_cdf(d1) - strike * np.exp(-rate * expiry) * normal_cdf(d1 - spread)


@case.on(100.0, 0.3)
def monte_carlo_option(spot, volatility):
    normal = np.random.default_rng(5).normal(size=16)
    final = spot * np.exp(-0.5 * volatility**2 + volatility * normal)
    return np.mean(np.maximum(final - 101.0, 0))


@case.on(100.0, 0.2)
def binomial_tree(spot, volatility):
    up = np.exp(volatility * 0.5)
    probability = (1.01 - 1 / up) / (up - 1 / up)
    value = np.maximum(spot * up ** (2 * np.arange(5) - 4.0) - 95.0, 0)
    for _ in range(4):
        value = (probability * value[1:] + (1 - probability) * value[:-1]) / 1.01
    return value[0]


@case.on(0.05)
def bond_price(rate):
    years = np.arange(1, 6)
    return np.sum(4.0 / (1 + rate) ** years) + 100 / (1 + rate) ** 5


@case.on(reals(3, seed=225))
def portfolio_sharpe(logits):
    weights = np.exp(logits) / np.sum(np.exp(logits))
    return weights @ np.array([0.05, 0.1, 0.07]) / np.sqrt(weights @ SPD @ weights)


@case.on(0.5, 0.8, 0.3)
def ornstein_uhlenbeck(rate, mean, volatility):
    noise = np.random.default_rng(7).normal(size=10)
    x = 0.0
    for shock in noise:
        x = x + rate * (mean - x) * 0.1 + volatility * np.sqrt(0.1) * shock
    return x


@case.on(reals(3, 3, seed=226), 0.7)
def ising_energy(spins, coupling):
    s = np.tanh(spins)
    return -coupling * np.sum(s * (np.roll(s, 1, axis=0) + np.roll(s, 1, axis=1)))


@case.on(np.abs(reals(4, seed=227)), 0.8)
def metropolis_acceptance(x, temperature):
    change = np.sum((x + 0.1) ** 4 - x**4)
    return np.exp(-np.maximum(change, 0.01) / temperature)


@case.on(reals(4, 2, seed=228))
def distance_matrix(points):
    squared = np.sum(points**2, axis=1)
    gram = squared[:, None] + squared[None, :] - 2 * points @ points.T
    return np.sqrt(np.maximum(gram, 0) + np.eye(4))


@case.on(reals(4, 2, seed=229))
def polygon_area(points):
    x, y = points.T
    return 0.5 * np.abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


@case.on(0.7, -1.2, 0.5, -0.9)
def haversine(lat1, lon1, lat2, lon2):
    h = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return 2 * 6371 * np.arcsin(np.sqrt(h))


@case.on(reals(4, seed=230), reals(5, seed=231))
def dynamic_time_warping_soft(a, b):
    table = [[np.float64(50.0) for _ in range(6)] for _ in range(5)]
    table[0][0] = np.float64(0.0)
    for i in range(1, 5):
        for j in range(1, 6):
            previous = np.stack([table[i - 1][j], table[i][j - 1], table[i - 1][j - 1]])
            table[i][j] = (a[i - 1] - b[j - 1]) ** 2 - np.log(np.sum(np.exp(-previous)))
    return table[4][5]


@case.on(positives(3, seed=232))
def chemical_kinetics(k):
    state = np.array([1.0, 0.0, 0.0])
    for _ in range(4):
        a, b, c = state
        forward, back = k[0] * a, k[1] * b * c
        state = state + 0.1 * np.stack([back - forward, forward - back - k[2] * b**2, k[2] * b**2])
    return state


@case.on(reals(3, 3, seed=233))
def strain_energy(gradient):
    deformation = np.eye(3) + 0.2 * gradient
    green = (deformation.T @ deformation - np.eye(3)) / 2
    return 0.5 * np.trace(green) ** 2 + np.sum(green * green) - np.log(np.linalg.det(deformation))


@case.on(positives(4, seed=234), 300.0)
def partition_function(energies, temperature):
    beta = 100.0 / temperature
    return -np.log(np.sum(np.exp(-beta * energies))) / beta


@case.on(np.array([0.2, 0.5]), reals(3, seed=235))
def quantum_rotation(angles, amplitudes):
    state = amplitudes[:2] + 1j * np.stack([amplitudes[2], 0.3 * amplitudes[0]])
    c, s = np.cos(angles[0]), np.sin(angles[0])
    state = np.stack([c * state[0] - 1j * s * state[1], c * state[1] - 1j * s * state[0]])
    state = state * np.exp(1j * angles[1] * np.array([1.0, -1.0]))
    return np.abs(state) ** 2 / np.sum(np.abs(state) ** 2)


@case.on(0.5, 0.6)
def optical_thin_film(thickness, wavelength):
    phase = 2 * np.pi * 1.5 * thickness / wavelength
    reflected = 0.2 + 0.16 * np.exp(2j * phase)
    return (reflected * np.conj(reflected)).real
