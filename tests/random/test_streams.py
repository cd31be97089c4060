"""The generator against its published vectors, and the streams against recorded values of another implementation."""

import numpy as np
import pytest

import fad
from fad.core.avals import ShapedArray
from fad.core.errors import ArgumentError, DTypeError, ShapeError
from fad.primitives.random_bits import BLOCK, FEW, threefry2x32
from tests.random.recorded_streams import KEY, VALUES

# Random123, known-answer vectors of threefry2x32 with 20 rounds: counter, key, result
KNOWN_ANSWERS = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]
# float32 arithmetic differs in its last bits from one library of logarithms to the next
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 2e-3, "bfloat16": 1.6e-2}
FLOATS = ("uniform", "normal", "exponential", "gumbel", "laplace", "logistic", "cauchy", "maxwell")


def words(*values):
    return [np.uint32(v) for v in values]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
@pytest.mark.parametrize("copies", [1, FEW, FEW + 1, BLOCK + 1])
def test_threefry_known_answers(counter, key, expected, copies):
    many = [np.full(copies, word, np.uint32) for word in counter]
    out = threefry2x32.bind(*words(*key), *many)
    assert out.dtype == np.uint64
    assert set(out.tolist()) == {expected[0] << 32 | expected[1]}


def test_threefry_ways_of_computing_agree():
    generator = np.random.default_rng(0)
    k0, k1, c0, c1 = generator.integers(0, 2**32, (4, 50), dtype=np.uint32)
    together = threefry2x32.bind(k0, k1, c0, c1)
    alone = [threefry2x32.bind(*row) for row in zip(k0, k1, c0, c1, strict=True)]
    assert together.tolist() == [int(v) for v in alone]
    staged = fad.jit(lambda *a: fad.random.bits(fad.numpy.stack(a[:2]), (3,), np.uint64))(k0[0], k1[0])
    assert (staged == fad.random.bits(np.array([k0[0], k1[0]]), (3,), np.uint64)).all()


def test_threefry_wants_words():
    with pytest.raises(DTypeError, match="four uint32 words"):
        threefry2x32.shape(*[ShapedArray((), np.int32)] * 4)


def test_keys():
    key = fad.random.key(KEY)
    assert key.dtype == np.uint32
    assert key.tolist() == [0, 42]
    assert fad.random.split(key, 3).tolist() == VALUES["split"]
    assert fad.random.split(key, (2, 1)).tolist() == VALUES["split_shape"]
    assert fad.random.fold_in(key, 7).tolist() == VALUES["fold_in"]
    assert fad.random.fold_in(key, np.int64(7)).tolist() == VALUES["fold_in"]
    assert fad.random.key(-1).tolist() == VALUES["key_negative"]
    assert fad.random.key(2**40 + 5).tolist() == VALUES["key_large"]
    assert fad.random.key(np.array(2**40 + 5)).tolist() == VALUES["key_large"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_bits(dtype):
    out = fad.random.bits(fad.random.key(KEY), (3,), dtype)
    assert out.dtype == dtype
    assert out.tolist() == VALUES[f"bits_{dtype}"]


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_real_streams(name, dtype):
    out = getattr(fad.random, name)(fad.random.key(KEY), (3,), dtype)
    assert out.dtype.name == dtype
    np.testing.assert_allclose(out.astype(float), VALUES[f"{name}_{dtype}"], rtol=TOLERANCE[dtype])


def streams():
    key = fad.random.key(KEY)
    r = fad.random
    logits = np.arange(12.0).reshape(3, 4) * 0.1
    rows = np.arange(6.0).reshape(3, 2)
    return {
        "uniform_bounds": lambda: r.uniform(key, (3,), minval=-2.0, maxval=5.0),
        "truncated_normal": lambda: r.truncated_normal(key, -1.0, [0.5, 2.0, 3.0]),
        "pareto": lambda: r.pareto(key, 3.0, (3,)),
        "weibull_min": lambda: r.weibull_min(key, 2.0, 1.5, (3,)),
        "lognormal": lambda: r.lognormal(key, 0.5, (3,)),
        "triangular": lambda: r.triangular(key, 0.0, 0.3, 1.0, (3,)),
        "bernoulli": lambda: r.bernoulli(key, 0.5, (6,)),
        "rademacher": lambda: r.rademacher(key, (8,)),
        **{
            f"randint_{dtype}": lambda dtype=dtype: r.randint(key, (5,), 0, 100, dtype)
            for dtype in ("int64", "int32", "uint8", "int16", "uint64", "uint32", "int8")
        },
        "randint_wide": lambda: r.randint(key, (3,), -(2**63), 2**63 - 1),
        "randint_byte": lambda: r.randint(key, (3,), 0, 256, "uint8"),
        "randint_bounds": lambda: r.randint(key, (3,), np.array([0, 5, -7]), np.array([3, 6, 100000])),
        "categorical": lambda: r.categorical(key, [0.0, 1.0, -1.0], shape=(5,)),
        "categorical_axis": lambda: r.categorical(key, logits, axis=0, shape=(2, 4)),
        "categorical_once": lambda: r.categorical(key, logits, replace=False, shape=(2, 3)),
        "permutation": lambda: r.permutation(key, 8),
        "permutation_rows": lambda: r.permutation(key, rows),
        "permutation_independent": lambda: r.permutation(key, rows, axis=1, independent=True),
        "permutation_long": lambda: r.permutation(key, 3000)[:6],
        "choice": lambda: r.choice(key, 10, (4,)),
        "choice_once": lambda: r.choice(key, 10, (4,), replace=False),
        "choice_weighted": lambda: r.choice(key, 3, (4,), p=[0.2, 0.7, 0.1]),
        "choice_weighted_once": lambda: r.choice(key, 3, (2,), replace=False, p=[0.2, 0.7, 0.1]),
        "choice_columns": lambda: r.choice(key, np.arange(6.0).reshape(2, 3), (2, 2), axis=1),
        "multivariate_normal": lambda: r.multivariate_normal(key, [0.0, 1.0], [[2.0, 0.5], [0.5, 1.0]], (2,)),
    }


@pytest.mark.parametrize("name", sorted(streams()))
def test_other_streams(name):
    np.testing.assert_allclose(np.asarray(streams()[name](), float), np.array(VALUES[name], float), rtol=1e-12)


def test_complex_normal_stream():
    out = fad.random.normal(fad.random.key(KEY), (2,), complex)
    np.testing.assert_allclose(np.stack([out.real, out.imag], -1), VALUES["normal_complex"], rtol=1e-12)


def test_full_range_of_integers():
    assert fad.random.randint(fad.random.key(0), (5,), 0, 2**64, np.uint64).dtype == np.uint64
    both = fad.random.randint(fad.random.key(0), (100,), -(2**31), 2**31, np.int32)
    assert (both < 0).any() and (both > 0).any()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fad.random.normal(0), DTypeError, "must be a key, uint32 of shape .2,., got 0.*random.key"),
        (lambda: fad.random.normal((3,)), DTypeError, "must be a key.*got int64.1."),
        (lambda: fad.random.normal("seed"), DTypeError, "must be a key.*got str"),
        (lambda: fad.random.normal(np.zeros(2)), DTypeError, "must be a key.*float64.2."),
        (lambda: fad.random.normal(fad.random.split(fad.random.key(0), 3)), ShapeError, "takes one key.*vmap"),
        (lambda: fad.random.key(0.5), DTypeError, "a seed is an integer, got float64"),
        (lambda: fad.random.key(2**64), ArgumentError, "64 bits"),
        (lambda: fad.random.key(np.arange(3)), ShapeError, "vmap"),
        (lambda: fad.random.fold_in(fad.random.key(0), 0.5), DTypeError, "data must be one integer"),
        (lambda: fad.random.bits(fad.random.key(0), (), int), DTypeError, "unsigned integers.*randint"),
        (
            lambda: fad.random.uniform(fad.random.key(0), (2,), int),
            DTypeError,
            "floating-point numbers, got dtype int64",
        ),
        (lambda: fad.random.uniform(fad.random.key(0), (2.5,)), ArgumentError, "shape"),
        (
            lambda: fad.random.uniform(fad.random.key(0), (2,), minval=np.zeros(3)),
            ShapeError,
            r"\(3,\) do not broadcast",
        ),
        (lambda: fad.random.pareto(fad.random.key(0), -1.0), ArgumentError, "b > 0, got -1.0"),
        (lambda: fad.random.gamma(fad.random.key(0), [1.0, 0.0]), ArgumentError, "a > 0, got 0.0"),
        (lambda: fad.random.bernoulli(fad.random.key(0), 1.5), ArgumentError, r"in \[0, 1\], got 1.5"),
        (lambda: fad.random.geometric(fad.random.key(0), 0.0), ArgumentError, r"in \(0, 1\], got 0"),
        (lambda: fad.random.poisson(fad.random.key(0), -2.0), ArgumentError, "lam >= 0, got -2"),
        (lambda: fad.random.binomial(fad.random.key(0), 3, 1.5), ArgumentError, "got 1.5"),
        (lambda: fad.random.multinomial(fad.random.key(0), 3, 0.5), ShapeError, "axis of categories"),
        (lambda: fad.random.dirichlet(fad.random.key(0), 0.5), ShapeError, "axis of concentrations"),
        (lambda: fad.random.randint(fad.random.key(0), (2,), 5, 5), ArgumentError, "holds no integer"),
        (
            lambda: fad.random.randint(fad.random.key(0), (2,), 0, 300, np.uint8),
            ArgumentError,
            "bounds in .0, 256., for|bounds",
        ),
        (lambda: fad.random.randint(fad.random.key(0), (2,), 0.5, 3), ArgumentError, "bounds are integers"),
        (lambda: fad.random.categorical(fad.random.key(0), 1.0), ShapeError, "axis of categories"),
        (lambda: fad.random.categorical(fad.random.key(0), np.zeros((3, 0))), ShapeError, "no category"),
        (
            lambda: fad.random.categorical(fad.random.key(0), np.zeros(3), shape=(4,), replace=False),
            ArgumentError,
            "4 samples without replacement from 3",
        ),
        (
            lambda: fad.random.choice(fad.random.key(0), 3, (4,), replace=False),
            ArgumentError,
            "4 entries without replac",
        ),
        (lambda: fad.random.choice(fad.random.key(0), 0, (4,)), ArgumentError, "nothing to choose"),
        (lambda: fad.random.choice(fad.random.key(0), 3, (4,), p=[0.5, 0.5]), ShapeError, "3 entries"),
        (lambda: fad.random.choice(fad.random.key(0), 2, (4,), p=[-0.5, 0.5]), ArgumentError, "not negative"),
        (lambda: fad.random.permutation(fad.random.key(0), 2.5), ArgumentError, "an int known"),
        (lambda: fad.random.truncated_normal(fad.random.key(0), 1.0, 0.0), ArgumentError, "lower < upper"),
        (lambda: fad.random.multivariate_normal(fad.random.key(0), [0.0], [[1.0, 0.0]]), ShapeError, r"\(..., n, n\)"),
        (
            lambda: fad.random.multivariate_normal(fad.random.key(0), [0.0], [[1.0]], method="lu"),
            ArgumentError,
            "'cholesky' or 'eigh'",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
