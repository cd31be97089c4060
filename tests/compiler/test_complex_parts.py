"""Complex numbers in native code: they are computed as real and imaginary parts, with NumPy's results."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.passes.complex_parts import split_complex
from fad.compiler.passes.pipeline import simplified
from fad.compiler.passes.verifier import verify
from fad.core.program import evaluate

GENERATOR = np.random.default_rng(0)


def draw(*shape):
    """Normal real and imaginary parts."""
    return GENERATOR.normal(size=shape) + 1j * GENERATOR.normal(size=shape)


Z, SMALL = draw(40, 30), draw(3, 4)
HAMILTONIAN = draw(8, 8) + 12 * np.eye(8)
STATE = draw(8)


def python_steps(function, *args):
    """What Python evaluates between native calls."""
    text = fad.jit(function).lower(*args).as_text("segments")
    return [line.split("=")[1].split("(")[0].strip() for line in text.splitlines() if line.startswith("Python")]


def check(function, *args, tolerance=1e-12):
    """Eager results are those of the compiled function, and of the Program over parts."""
    program = fad.make_program(function)(*args)
    split = verify(split_complex(program), "split_complex")
    expected = fad.tree.leaves(function(*args))
    for results in (
        fad.tree.leaves(fad.jit(function)(*args)),
        evaluate(split, *args),
        evaluate(simplified(program), *args),
    ):
        for seen, wanted in zip(results, expected, strict=True):
            seen, wanted = np.asarray(seen), np.asarray(wanted)
            assert (seen.shape, seen.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(seen, wanted, rtol=tolerance, atol=tolerance)


def evolve(state, h):
    """Steps of a normalised state under a matrix."""

    def step(p, _):
        p = p - 0.01j * (h @ p)
        p = p / fnp.sqrt((fnp.abs(p) ** 2).sum())
        return p, fnp.abs(p) ** 2

    return fad.scan(step, state, None, length=20)


FUNCTIONS = {
    "arithmetic": lambda z: (z * 2.0 + 1j) / (z * z.conj() + 3.0) - z**3 + (-z) ** 2,
    "real beside complex": lambda z: z.real * z + fnp.arange(z.shape[-1]) - z.imag,
    "functions": lambda z: fnp.exp(1j * z) + fnp.sqrt(z) + fnp.abs(z) + 1 / z + fnp.sign(z),
    "products": lambda z: (z @ z.T.conj(), z @ z.real.T, z.imag @ z.T),
    "moves": lambda z: fnp.concatenate([z[::-1].T.reshape(-1), fnp.pad(z[0], 1), z[1:, 2], fnp.roll(z, 1)[0]]),
    "places": lambda z: (
        fnp.asarray(z).at[0, 1:].add(2j)[np.array([0, -1, 0])]
        + fnp.take_along_axis(z, np.zeros((1, z.shape[1]), int), 0)
    ),
    "choices": lambda z: (fnp.where(z.real > 0, z, z.conj()), z == z.conj(), fnp.isnan(z / 0.5)),
    "sums": lambda z: (z.sum(), z.mean(0), fnp.cumsum(z, 1), fnp.linalg.norm(z)),
    "conversions": lambda z: (z.astype("complex64"), z.real.astype("complex64") * z, z.astype(bool)),
    "constants": lambda z: (fnp.full((2, 3), 1 + 2j), z[:2, :3] * fnp.full((2, 3), 1 + 2j)),
    "handed on": lambda z: (z, z.T, z.real, 2.0),
    "transformed": lambda z: fnp.fft.ifft(fnp.fft.fft(z * 2) * fnp.exp(1j * z.real)),
    "logarithm": lambda z: fnp.log(z * 1j) + fnp.tanh(z),
    "gradient": fad.grad(lambda z: fnp.abs(fnp.exp(1j * z) @ z.T).sum()),
    "batched": fad.vmap(lambda row: (row * 1j).sum() * row),
    "repeated": lambda z: fad.while_loop(
        lambda s: fnp.abs(s[0]).sum() < 1e4, lambda s: (s[0] * (1.1 + 0.1j), s[1] + 1), (z, 0)
    ),
    "branches": lambda z: fad.cond(z.real.sum() > 0, lambda z: z * 1j, lambda z: z.conj(), z),
    "inside a real loop": lambda z: fad.scan(
        lambda s, r: (s + fnp.abs(fnp.exp(1j * s) * (1 + 2j)), None), z.real[0], z.imag
    )[0],
}


@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_compiled_is_eager(name, size):
    check(FUNCTIONS[name], SMALL if size == "small" else Z, tolerance=1e-6 if name == "conversions" else 1e-10)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_has_formulas_is_native(name):
    left = {"transformed": {"fourier"}, "handed on": {"copy"}, "logarithm": {"log", "tanh"}}.get(name, set())
    assert set(python_steps(FUNCTIONS[name], Z)) == left


def test_loops_over_complex_states_are_native_in_both_directions():
    def loss(state, h):
        return fnp.real(evolve(state, h)[1][-1][0])

    gradient = fad.grad(loss, argnums=(0, 1))
    for function in (evolve, gradient, lambda s, h: fad.jvp(lambda s: evolve(s, h), (s,), (s * 1j,))):
        assert python_steps(function, STATE, HAMILTONIAN) == []
        check(function, STATE, HAMILTONIAN, tolerance=1e-10)
    fad.testing.check_grads(fad.jit(loss), (STATE, HAMILTONIAN), order=1)


def test_what_python_must_do_in_a_loop_keeps_the_loop_as_it_is():
    def smoothed(z):
        return fad.scan(lambda c, _: (fnp.fft.fft(c) / 6.0, None), z, None, length=3)[0]

    program = fad.make_program(smoothed)(Z)
    (loop,) = [e for e in split_complex(program).equations if e.primitive.name == "scan"]
    assert loop.params["carry"] == 1
    check(smoothed, Z, tolerance=1e-10)


def test_checkpoints_stay_apart():
    block = fad.checkpoint(lambda z: fnp.exp(1j * z) * z)

    def loss(z):
        return fnp.abs(block(block(z))).sum()

    check(fad.grad(loss), Z, tolerance=1e-10)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", ["exp", "sqrt", "reciprocal", "abs", "conj", "sign", "divide", "multiply"])
def test_special_values_are_numpys(name, dtype):
    ends = (0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan)
    z = np.array([complex(a, b) for a in ends for b in ends]).astype(dtype)
    args = (z[:, None], z[None]) if name in ("divide", "multiply") else (z,)
    with np.errstate(all="ignore"):
        expected, seen = getattr(np, name)(*args), np.asarray(fad.jit(getattr(fnp, name))(*args))
    for part in ("real", "imag"):
        np.testing.assert_allclose(getattr(seen, part), getattr(expected, part), rtol=4 * np.finfo(dtype).eps)


def test_scalars_and_python_numbers():
    f = fad.jit(lambda c, n: (c * 1j + 2, c * np.complex64(2), n * c))
    for args in ((3 + 4j, 2), (np.complex64(1 - 1j), 2.0), (fnp.asarray(2j), np.float32(3))):
        for seen, wanted in zip(
            f(*args), (args[0] * 1j + 2, args[0] * np.complex64(2), args[1] * args[0]), strict=True
        ):
            np.testing.assert_allclose(np.asarray(seen), np.asarray(wanted), rtol=1e-6)


def test_layouts_of_arguments():
    f = fad.jit(lambda z: (z * 2j).sum(0))
    for z in (
        np.asfortranarray(Z),
        Z[::2, ::-1],
        Z.T[:, :30],
        np.frombuffer(b"\0" + Z.tobytes(), np.uint8)[1:].view(complex).reshape(Z.shape),
    ):
        np.testing.assert_allclose(f(z), (z * 2j).sum(0), rtol=1e-12)
    for shape in ((0, 3), (3, 0), (1, 1)):
        z = np.ones(shape, complex)
        np.testing.assert_array_equal(f(z), (z * 2j).sum(0))


def test_code_is_shared_by_sizes():
    f = fad.jit(lambda z: (fnp.exp(1j * z) @ z, fnp.abs(z).sum()))
    for n in (12, 31, 9, 50):
        z = draw(n, n)
        a, b = f(z)
        np.testing.assert_allclose(a, np.exp(1j * z) @ z, rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(b, np.abs(z).sum(), rtol=1e-12)
