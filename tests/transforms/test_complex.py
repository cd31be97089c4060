"""Complex numbers: the convention, holomorphic functions, real functions of complex arguments."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.core.errors import DTypeError
from fad.testing import check_grads

Z = 0.7 - 0.4j
H = 1e-6


def by_parts(f, z):
    """df/dx - i df/dy of a real function of z = x + iy."""
    return (f(z + H) - f(z - H)) / (2 * H) - 1j * (f(z + 1j * H) - f(z - 1j * H)) / (2 * H)


REAL = {
    "squared modulus": (lambda z: fnp.real(z * fnp.conj(z)), lambda z: abs(z) ** 2),
    "modulus": (fnp.abs, abs),
    "real part of a product": (lambda z: fnp.real(z * (2 + 1j)), lambda z: (z * (2 + 1j)).real),
    "imaginary part": (lambda z: fnp.imag(fnp.exp(z)), lambda z: np.exp(z).imag),
    "angle": (fnp.angle, np.angle),
    "log modulus": (lambda z: fnp.log(fnp.abs(z)), lambda z: np.log(abs(z))),
}
HOLOMORPHIC = {
    "power": (lambda z: z**3, lambda z: 3 * z**2),
    "exp": (fnp.exp, np.exp),
    "sin": (fnp.sin, np.cos),
    "log": (fnp.log, lambda z: 1 / z),
    "sqrt": (fnp.sqrt, lambda z: 0.5 / np.sqrt(z)),
    "tanh": (fnp.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "division": (lambda z: 1 / (1 + z * z), lambda z: -2 * z / (1 + z * z) ** 2),
}


@pytest.mark.parametrize("name", REAL)
def test_gradient_of_a_real_function(name):
    f, plain = REAL[name]
    assert complex(fad.grad(f)(Z)) == pytest.approx(by_parts(plain, Z), rel=1e-7)
    assert complex(fad.jit(fad.grad(f))(Z)) == pytest.approx(by_parts(plain, Z), rel=1e-7)
    check_grads(f, (Z,))


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_derivative_of_a_holomorphic_function(name):
    f, slope = HOLOMORPHIC[name]
    for derivative in (
        fad.grad(f, holomorphic=True)(Z),
        fad.jacfwd(f, holomorphic=True)(Z),
        fad.jacrev(f, holomorphic=True)(Z),
        fad.jvp(f, (Z,), (1.0 + 0j,))[1],
        fad.vjp(f, Z)[1](1.0 + 0j)[0],
    ):
        assert complex(derivative) == pytest.approx(slope(Z), rel=1e-10)
    check_grads(f, (Z,))


def test_second_derivative_of_a_holomorphic_function():
    second = fad.grad(fad.grad(lambda z: z**4, holomorphic=True), holomorphic=True)
    assert complex(second(Z)) == pytest.approx(12 * Z**2, rel=1e-10)


def test_the_conjugate_of_the_gradient_is_the_way_up():
    z = Z
    for _ in range(200):
        z = z - 0.1 * np.conj(complex(fad.grad(lambda z: fnp.abs(z - (1 + 2j)) ** 2)(z)))
    assert z == pytest.approx(1 + 2j, abs=1e-9)


def test_pullback_pairs_without_conjugation():
    # vjp is the transpose of jvp: Re(ct * jvp(t)) = Re(vjp(ct) * t), for maps that are only real-linear too.
    for f in (fnp.conj, lambda z: z * fnp.abs(z), lambda z: fnp.real(z) + 2j * fnp.imag(z)):
        for ct in (1.0 + 0j, 1j, 0.3 - 0.2j):
            for t in (1.0 + 0j, 1j):
                pushed = complex(fad.jvp(f, (Z,), (t,))[1])
                pulled = complex(fad.vjp(f, Z)[1](ct)[0])
                assert (ct * pushed).real == pytest.approx((pulled * t).real, rel=1e-10, abs=1e-12)


def test_real_arguments_of_complex_functions_get_real_gradients():
    gradient = fad.grad(lambda x: fnp.abs(fnp.exp(1j * x) + 1) ** 2)(0.5)
    assert gradient.dtype == np.float64
    assert float(gradient) == pytest.approx(-2 * np.sin(0.5))
    mixed = fad.grad(lambda x, z: fnp.real(x * z), argnums=(0, 1))(2.0, Z)
    assert [g.dtype for g in mixed] == [np.float64, np.complex128]


def test_jacobians_of_complex_matrices():
    a = np.array([[1 + 1j, 2.0], [0.5j, 1.0]])
    z = np.array([1j, 2.0 + 0j])
    np.testing.assert_allclose(fad.jacobian(lambda z: a @ z, holomorphic=True)(z), a)
    np.testing.assert_allclose(fad.jacfwd(lambda z: a @ z, holomorphic=True)(z), a)


def test_complex_results_and_inputs_are_checked():
    with pytest.raises(
        DTypeError, match=r"the result must be real floating point, got complex128\[\].*pass holomorphic=True"
    ):
        fad.grad(lambda z: z * z)(Z)
    with pytest.raises(DTypeError, match="holomorphic=True.*it must be complex"):
        fad.grad(lambda z: z * z, holomorphic=True)(1.0)
    with pytest.raises(DTypeError, match="tangent 0 is complex"):
        fad.jvp(fnp.sin, (1.0,), (1j,))
