"""LU, QR and determinants in native code, beside what NumPy and eager mode give."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.scipy.linalg as sl

GENERATOR = np.random.default_rng(0)
SHAPES = [
    (1, 1),
    (2, 2),
    (7, 7),
    (20, 20),
    (33, 33),
    (4, 3, 3),
    (300, 5, 5),
    (2, 3, 9, 9),
    (0, 0),
    (3, 0, 0),
    (0, 3, 3),
]
SQUARE = {
    "slogdet": fnp.linalg.slogdet,
    "det": fnp.linalg.det,
    "gradient of det": fad.grad(lambda a: fnp.linalg.det(a).sum()),
    "gradient of slogdet": fad.grad(lambda a: fnp.linalg.slogdet(a)[1].sum()),
    "qr": fnp.linalg.qr,
    "lu_factor": sl.lu_factor,
    "lu": sl.lu,
}


def check(function, *args, **tolerances):
    """Compiled and eager results agree, in shapes and dtypes too."""
    with np.errstate(all="ignore"):
        expected, seen = fad.tree.leaves(function(*args)), fad.tree.leaves(fad.jit(function)(*args))
    for x, y in zip(expected, seen, strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_allclose(y, x, **tolerances)


def python_steps(function, *args):
    """The lines that say what Python evaluates."""
    return [s for s in fad.jit(function).lower(*args).as_text("segments").splitlines() if s.startswith("Python")]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", SQUARE)
def test_square_matrices(name, shape, dtype):
    a = GENERATOR.normal(size=shape).astype(dtype) + 2 * np.eye(shape[-1], dtype=dtype)
    tolerance = 1e-8 if dtype == np.float64 else 5e-3
    check(SQUARE[name], a, rtol=tolerance, atol=tolerance * float(np.max(np.abs(SQUARE["det"](a)), initial=1.0)))


@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
@pytest.mark.parametrize("shape", [(5, 3), (40, 33), (2, 6, 2), (9, 1), (3, 5), (4, 0)])
def test_qr_of_rectangles(shape, mode):
    check(lambda a: fnp.linalg.qr(a, mode=mode), GENERATOR.normal(size=shape), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (40, 33), (2, 4, 7)])
def test_lu_of_rectangles(shape):
    check(sl.lu, GENERATOR.normal(size=shape), rtol=1e-10, atol=1e-12)


SPECIAL = {
    "zeros": np.zeros((3, 3)),
    "ones": np.ones((4, 4)),
    "NaN": np.full((3, 3), np.nan),
    "one NaN of several": np.stack([np.eye(3), np.full((3, 3), np.nan), np.ones((3, 3))]),
    "infinity": np.diag([1.0, np.inf, 2.0]),
    "beyond a product's range": np.diag([1e200, 1e200, 1e-200, 1e-200]),
    "exchanged rows": np.eye(3)[[1, 0, 2]],
    "negative": -np.eye(3),
    "nearly singular": np.array([[1.0, 1.0], [1.0, 1.0 + 1e-12]]),
}


@pytest.mark.parametrize("name", ["slogdet", "det", "gradient of det"])
@pytest.mark.parametrize("matrix", SPECIAL)
def test_special_matrices(name, matrix):
    check(SQUARE[name], SPECIAL[matrix], rtol=1e-9, atol=0.0)


def test_the_gradient_of_the_determinant_of_nan_is_nan():
    with np.errstate(invalid="ignore"):
        gradient = SQUARE["gradient of det"](SPECIAL["one NaN of several"])
    np.testing.assert_allclose(gradient[0], np.eye(3))
    assert np.isnan(gradient[1]).all()
    np.testing.assert_allclose(gradient[2], 0.0, atol=1e-15)


@pytest.mark.parametrize("name", SQUARE)
def test_nothing_is_left_to_python(name):
    assert python_steps(SQUARE[name], np.eye(4)) == []


def test_code_is_shared_by_sizes():
    f = fad.jit(lambda a: (fnp.linalg.slogdet(a)[1], fnp.linalg.qr(a)[1]))
    for size in (12, 30, 17, 9, 41):
        a = GENERATOR.normal(size=(size, size))
        logarithm, r = f(a)
        np.testing.assert_allclose(logarithm, np.linalg.slogdet(a)[1], rtol=1e-10)
        np.testing.assert_allclose(r, np.linalg.qr(a)[1], rtol=1e-8, atol=1e-10)


def kalman_loss(a, q, r, observed):
    """Minus the log-likelihood of a linear state space model."""
    h = np.eye(2, 4)

    def step(carry, y):
        mean, covariance = carry
        mean, covariance = a @ mean, a @ covariance @ a.T + q * np.eye(4)
        innovation = h @ covariance @ h.T + r * np.eye(2)
        gain = fnp.linalg.solve(innovation, h @ covariance).T
        error = y - h @ mean
        term = error @ fnp.linalg.solve(innovation, error) + fnp.linalg.slogdet(innovation)[1]
        return (mean + gain @ error, covariance - gain @ h @ covariance), 0.5 * term

    return fad.scan(step, (np.zeros(4), np.eye(4)), observed)[1].sum()


def test_a_kalman_filter_is_one_native_loop():
    a = np.eye(4) + 0.1 * np.eye(4, k=2)
    args = (a, 0.1, 0.5, GENERATOR.normal(size=(20, 2)))
    gradient = fad.grad(kalman_loss, argnums=(0, 1, 2))
    assert python_steps(gradient, *args) == []
    check(gradient, *args, rtol=1e-8, atol=1e-10)
    fad.testing.check_grads(lambda a, q, r: kalman_loss(a, q, r, args[3]), args[:3], order=1)
