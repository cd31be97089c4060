"""Complex numbers in native code: they are computed as real and imaginary parts, with NumPy's results."""

import mpmath
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
    "elementary": lambda z: fnp.log(z * 1j) + fnp.tanh(z) * fnp.sin(z) + fnp.cos(z) / fnp.sinh(z) - fnp.tan(z),
    "powers": lambda z: (
        z**0.5,
        z**-2,
        z ** (1 + 2j),
        2.0**z,
        fnp.log2(z),
        fnp.log10(z),
        fnp.log1p(z),
        fnp.expm1(z),
    ),
    "left to NumPy": lambda z: fnp.arcsin(z) + z**z,
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
    left = {"handed on": {"copy"}, "left to NumPy": {"arcsin", "z ** z"}}.get(name, set())
    assert set(python_steps(FUNCTIONS[name], Z)) == left


def test_loops_over_complex_states_are_native_in_both_directions():
    def loss(state, h):
        return fnp.real(evolve(state, h)[1][-1][0])

    gradient = fad.grad(loss, argnums=(0, 1))
    for function in (evolve, gradient, lambda s, h: fad.jvp(lambda s: evolve(s, h), (s,), (s * 1j,))):
        assert python_steps(function, STATE, HAMILTONIAN) == []
        check(function, STATE, HAMILTONIAN, tolerance=1e-10)
    fad.testing.check_grads(fad.jit(loss), (STATE, HAMILTONIAN), order=1)


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor", "logical_not"])
def test_complex_numbers_are_conditions(name):
    z = np.array([0, 1, 1j, complex(np.nan, 0), complex(0, np.nan), complex(-0.0, -0.0), 2 + 1j])
    operation = getattr(fnp, name)

    def conditions(z, x):
        product = z * 1j
        args = [(product,)] if name == "logical_not" else [(product, x), (x, product), (product, z), (2.0, product)]
        return [operation(*a) for a in args]

    x = np.array([1.0, 0.0, np.nan, 0.0, 0.0, 1.0, 2.0])
    for seen, wanted in zip(fad.jit(conditions)(z, x), conditions(fnp.asarray(z), x), strict=True):
        np.testing.assert_array_equal(seen, wanted)
    assert python_steps(conditions, z, x) == []


def test_what_python_must_do_in_a_loop_keeps_the_loop_as_it_is():
    def bent(z):
        return fad.scan(lambda c, _: (fnp.arcsin(c * 0.5), None), z, None, length=3)[0]

    program = fad.make_program(bent)(Z)
    (loop,) = [e for e in split_complex(program).equations if e.primitive.name == "scan"]
    assert loop.params["carry"] == 1
    check(bent, Z, tolerance=1e-10)


def test_checkpoints_stay_apart():
    block = fad.checkpoint(lambda z: fnp.exp(1j * z) * z)

    def loss(z):
        return fnp.abs(block(block(z))).sum()

    check(fad.grad(loss), Z, tolerance=1e-10)


ELEMENTARY = "exp exp2 log log2 log10 sqrt sin cos tan sinh cosh tanh".split()


def assert_parts_agree(seen, expected, tolerance):
    for part in ("real", "imag"):
        np.testing.assert_allclose(getattr(seen, part), getattr(expected, part), rtol=tolerance)


def compiled(function, *args):
    """A function of module and arrays, compiled, in which nothing is left to Python."""
    assert python_steps(lambda *args: function(fnp, *args), *args) == []
    return np.asarray(fad.jit(lambda *args: function(fnp, *args))(*args))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", [*ELEMENTARY, "reciprocal", "abs", "conj", "sign", "divide", "multiply"])
def test_special_values_are_numpys(name, dtype):
    ends = (0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan, *((800.0, -800.0, 1e-40) if name in ELEMENTARY else ()))
    z = np.array([complex(a, b) for a in ends for b in ends]).astype(dtype)
    args = (z[:, None], z[None]) if name in ("divide", "multiply") else (z,)
    with np.errstate(all="ignore"):
        expected, seen = getattr(np, name)(*args), compiled(lambda xp, *args: getattr(xp, name)(*args), *args)
    assert_parts_agree(seen, expected, 8 * np.finfo(dtype).eps)
    if name in ELEMENTARY:
        for part in ("real", "imag"):
            here, there = getattr(seen, part), getattr(expected, part)
            certain = (there == 0) & np.isfinite(z.real) & np.isfinite(z.imag)
            np.testing.assert_array_equal(np.signbit(here)[certain], np.signbit(there)[certain])


@pytest.mark.parametrize("exponent", [2, -1, -2, 0, 0.5, -0.5, 1.5, 40, 2.5 + 1j])
def test_special_values_of_powers_are_numpys(exponent):
    ends = (0.0, -0.0, 1.0, -2.0, np.inf, -np.inf, np.nan)
    z = np.array([complex(a, b) for a in ends for b in ends])
    with np.errstate(all="ignore"):
        assert_parts_agree(compiled(lambda xp, z: z**exponent, z), z**exponent, 1e-13)
        assert_parts_agree(compiled(lambda xp, z: 2.0**z, z), 2.0**z, 1e-13)


def exactly(name, z):
    """A function of a complex number to 40 digits, and whether its parts are numbers in the dtype."""
    with mpmath.workdps(40 if abs(z) < 1e3 else 400):
        return getattr(mpmath, name)(mpmath.mpc(z.real, z.imag))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh"])
def test_parts_are_right_to_a_few_units_in_the_last_place(name, dtype):
    """Each part for itself: near the unit circle, where logarithms vanish, and where an exponential alone would overflow."""
    rng, info = np.random.default_rng(4), np.finfo(dtype)
    most = np.log(float(info.max)) * 1.005
    circle = np.exp(1j * rng.uniform(0, 7, 200)) * (1 + 10 ** rng.uniform(-17, -1, 200))
    plane = rng.uniform(-4, 4, 200) + 1j * rng.uniform(-4, 4, 200)
    far = rng.uniform(0.97, 1, 100) * most * rng.choice([-1, 1], 100) + 1j * rng.normal(size=100) * 0.01
    z = np.concatenate([circle, plane, far, far[::-1] * 1j, 10 ** rng.uniform(-30, 30, 100) * (1 + 2j)]).astype(dtype)
    seen = compiled(lambda xp, z: getattr(xp, name)(z), z)
    for number, got in zip(z.tolist(), seen.tolist(), strict=True):
        if abs(number) > 1e4 and name not in ("log", "sqrt"):
            continue
        wanted = exactly(name, number)
        for a, b in ((got.real, wanted.real), (got.imag, wanted.imag)):
            if abs(b) > float(info.max):
                assert abs(a) == np.inf, (name, number, got)
            else:
                unit = max(abs(b) * float(info.eps), float(info.smallest_subnormal))
                assert abs(a - b) <= 4 * unit, (name, number, got, wanted)


@pytest.mark.parametrize("size", [1.5e308, 1e-310, 5e-324])
def test_roots_of_huge_and_tiny_numbers(size):
    z = np.array([size, size * 1j, -size, size - size * 1j])
    assert_parts_agree(compiled(lambda xp, z: xp.sqrt(z), z), np.sqrt(z), 1e-15)


def test_loops_with_elementary_functions_are_native():
    def iterated(z):
        return fad.scan(
            lambda w, _: (fnp.log(w * w + 2.0) * fnp.sin(fnp.tanh(w * 0.5)) ** 0.5, None), z, None, length=4
        )[0]

    for function in (iterated, fad.grad(lambda z: fnp.abs(iterated(z)).sum())):
        assert python_steps(function, Z) == []
        check(function, Z, tolerance=1e-9)


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
