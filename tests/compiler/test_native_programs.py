"""Compiled Programs give what their evaluation gives: elementwise chains, reductions, views, products, derivatives."""

import pickle

import ml_dtypes
import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.operand_types import holds
from fad.core.errors import FadError
from tests.compiler.compiled_programs import check_compiled

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 30))
W = RNG.normal(size=(30, 40))
V = RNG.normal(size=30)
Y = RNG.normal(size=20)
CUBE = RNG.normal(size=(9, 10, 11))


def softmax(x):
    e = fnp.exp(x - fnp.max(x, axis=-1, keepdims=True))
    return e / fnp.sum(e, axis=-1, keepdims=True)


def layer_norm(x, gain, bias):
    d = x - fnp.mean(x, axis=-1, keepdims=True)
    return d / fnp.sqrt(fnp.mean(d * d, axis=-1, keepdims=True) + 1e-5) * gain + bias


def logistic(w, x, y):
    z = x @ w
    return fnp.mean(fnp.logaddexp(0.0, z) - y * z)


CASES = {
    "chain": (lambda x: fnp.sin(x) * 2.0 + 1.0, X),
    "several results": (lambda x: (fnp.sin(x), x * 2.0, x > 0.0), X),
    "broadcast rows": (lambda x, v: x * v + v, X, V),
    "broadcast columns": (lambda x, y: x * y[:, None], X, Y),
    "broadcast scalar": (lambda x, s: x * s, X, 3.0),
    "outer": (lambda y, v: y[:, None] * v, Y, V),
    "sum": (fnp.sum, X),
    "sum of rows": (lambda x: fnp.sum(x, axis=1), X),
    "sum of columns": (lambda x: fnp.sum(x, axis=0), X),
    "sum of middle": (lambda x: fnp.sum(x * x, axis=1), CUBE),
    "sum of outer and inner": (lambda x: fnp.sum(x * x, axis=(0, 2)), CUBE),
    "sum of outer two": (lambda x: fnp.sum(x * x, axis=(0, 1)), CUBE),
    "sum of inner two": (lambda x: fnp.sum(x * x, axis=(1, 2)), CUBE),
    "max and min": (lambda x: (fnp.max(x, axis=1), fnp.min(x, axis=0), fnp.max(x)), X),
    "any and all": (lambda x: (fnp.any(x > 2.0, axis=1), fnp.all(x > -9.0)), X),
    "product": (lambda x: fnp.prod(x, axis=1), X),
    "sums over rows of one element": (
        lambda x, y: (fnp.sum(x * (x + y), axis=0), (x + y) @ y[:1].T),
        X[:, :1],
        Y[:, None],
    ),
    "reduction, then chain": (lambda x: x / fnp.sum(x), X),
    "variance": (lambda x: fnp.var(x, axis=0), X),
    "softmax": (softmax, X),
    "softmax of columns": (lambda x: softmax(x.T), X),
    "softmax of a vector": (softmax, V),
    "softmax of a cube": (softmax, CUBE),
    "layer norm": (layer_norm, X, V, V),
    "logsumexp by hand": (lambda x: fnp.log(fnp.sum(fnp.exp(x), axis=1)), X),
    "transpose": (lambda x: x.T * 2.0, X),
    "transpose of a cube": (lambda x: fnp.transpose(x, (2, 0, 1)) + 1.0, CUBE),
    "reshape": (lambda x: fnp.sin(x).reshape(30, 20) * 2.0, X),
    "merge axes": (lambda x: fnp.sin(x).reshape(90, 11) * 2.0, CUBE),
    "split axes": (lambda x: fnp.sin(x).reshape(4, 5, 30).sum(axis=1), X),
    "slice": (lambda x: x[2:-3, ::2] * 2.0, X),
    "reverse": (lambda x: x[::-1, 20:3:-3] * 2.0, X),
    "one row": (lambda x: x[3] + x[:, 4].sum(), X),
    "concatenate": (lambda x: fnp.concatenate([x, x * 2.0, x[:, :3]], axis=1), X),
    "concatenate dtypes": (lambda x: fnp.concatenate([x.astype("f4"), x]), X),
    "stack": (lambda x: fnp.stack([x, x * 2.0], axis=-1), X),
    "stack scalars": (lambda v: fnp.stack([v[0], v[1] * 2.0, v[3]]), V),
    "pad": (lambda x: fnp.pad(x, ((1, 2), (0, 3))) * 2.0, X),
    "arange": (lambda x: x * fnp.arange(30), X),
    "constants": (lambda x: x * V + fnp.ones((20, 30)), X),
    "where": (lambda x: fnp.where(x > 0.0, fnp.log(fnp.abs(x)), 0.0), X),
    "powers": (lambda x: x**2 + x**3 - x**-1 + fnp.abs(x) ** 0.5, X),
    "integers": (lambda n: (n // 3, n % 3, n * n, n > 2, n / 2), np.arange(-20, 20)),
    "mixed dtypes": (lambda x, y: x * y, X, X.astype("f4")),
    "single": (lambda x: softmax(x).sum(axis=0), X.astype("f4")),
    "half": (lambda x: fnp.sin(x) * 2, X.astype("f2")),
    "booleans": (lambda x: (x > 0.0) & (x < 1.0) | ~(x > 2.0), X),
    "matrix product": (fnp.matmul, X, W),
    "matrix product, transposed": (lambda x, w: (x @ w).T @ x, X, W),
    "matrix product, single": (fnp.matmul, X.astype("f4"), W.astype("f4")),
    "matrix and vector": (fnp.matmul, X, V),
    "vector and matrix": (fnp.matmul, Y, X),
    "dot": (fnp.matmul, V, V),
    "batched product": (lambda x: x @ fnp.swapaxes(x, 1, 2), CUBE),
    "einsum": (lambda x: fnp.einsum("bij,bkj->ik", x, x), CUBE),
    "small product": (fnp.matmul, RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))),
    "integer product": (fnp.matmul, np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)),
    "small state": (lambda x: fnp.stack([x[1], -x[0] * fnp.sin(x[1])]), V[:2]),
    "scalar": (lambda x: fnp.sin(x) * x**2 + fnp.exp(-x), 0.7),
    "output is an input": (lambda x, v: (x, v, x, 1.5), X, V),
    "nested jit": (lambda x: fad.jit(fad.jit(fnp.sin))(x) + 1.0, X),
}


@pytest.mark.parametrize("name", CASES)
def test_value(name):
    function, *args = CASES[name]
    tolerance = {"single": 1e-5, "matrix product, single": 1e-4, "half": 2e-3, "mixed dtypes": 1e-6}.get(name, 1e-12)
    check_compiled(function, *args, tolerance=tolerance)


DIFFERENTIABLE = [
    n
    for n in CASES
    if n
    not in ("integers", "booleans", "any and all", "integer product", "half", "output is an input", "several results")
]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient(name):
    function, *args = CASES[name]

    def loss(*xs):
        return sum(fnp.sum(fnp.sin(leaf)) for leaf in fad.tree.leaves(function(*xs)))

    tolerance = {"single": 1e-4, "matrix product, single": 1e-4, "mixed dtypes": 1e-5}.get(name, 1e-11)
    check_compiled(fad.value_and_grad(loss, argnums=tuple(range(len(args)))), *args, tolerance=tolerance)


def test_logistic_regression():
    args = RNG.normal(size=10), RNG.normal(size=(200, 10)), (RNG.normal(size=200) > 0).astype(float)
    check_compiled(fad.value_and_grad(logistic), *args)
    check_compiled(fad.hessian(logistic), *args)


def test_hessian():
    check_compiled(fad.hessian(lambda x: fnp.sum(x[1:] * fnp.sin(x[:-1]) ** 2)), V)
    check_compiled(fad.hessian(lambda x: fnp.sum(x[1:] * fnp.sin(x[:-1]) ** 2)), V[:3])


def test_threads_share_products_of_few_matrices():
    x, y = (np.random.default_rng(k).normal(size=(2, 4, 40, 130)) for k in range(2))

    def f(x, y):
        return fnp.einsum("abij,abkj->abik", x, y)

    assert "fad_pool_dispatch" in fad.jit(f).lower(x, y).as_text("llvm")
    check_compiled(f, x, y)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_every_chunk_is_run_once_by_any_number_of_threads(threads):
    @fad.jit
    def f(x, y):
        z = fnp.sin(x) * y
        return z, fnp.sum(z), fnp.cumsum(z[:100]), fnp.sum(fnp.cos(z) + x)

    for size in (60_000, 170_000, 300_000, 1_100_000, 3_000_000):
        x, y = np.linspace(-3.0, 3.0, size), np.arange(size) % 7.0
        with fad.config.using(threads=1):
            expected = f(x, y)
        with fad.config.using(threads=threads):
            for _ in range(5):
                for found, known in zip(f(x, y), expected, strict=True):
                    np.testing.assert_array_equal(found, known)
        np.testing.assert_allclose(expected[0], np.sin(x) * y, rtol=1e-15, atol=1e-15)


def test_batched_gradient():
    check_compiled(fad.vmap(fad.grad(lambda x, v: fnp.sum(fnp.tanh(x * v) ** 2)), in_axes=(0, None)), X, V)


def test_checkpoint():
    block = fad.checkpoint(lambda x: fnp.sin(fnp.sin(x) * x))
    check_compiled(fad.grad(lambda x: fnp.sum(block(block(x)))), X)


@pytest.mark.parametrize(
    "shape", [(0,), (0, 5), (5, 0), (1,), (1, 1), (1, 40), (40, 1), (2, 1, 30), (), (9, 9), (130, 3)]
)
def test_shapes(shape):
    x = RNG.normal(size=shape)
    check_compiled(lambda x: (fnp.sin(x) + 1.0, fnp.sum(x), x * x.sum()), x)
    if x.ndim:
        check_compiled(lambda x: fnp.sum(x, axis=0) * 2.0, x)
        check_compiled(lambda x: fnp.sum(x * 2.0, axis=-1, keepdims=True) + x, x)


@pytest.mark.parametrize("size", [9, 15, 16, 17, 127, 128, 129, 1023, 1024, 1025, 5000])
def test_sizes_around_vectors_and_blocks(size):
    x = RNG.normal(size=size)
    check_compiled(lambda x: (fnp.sin(x), fnp.sum(x), fnp.sum(x * x), fnp.max(x), x.astype("f4") * 2), x)


def test_special_values():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, 1.7e308, 1.0, -1.0, 2.0] * 3)
    compiled = check_compiled(
        lambda x: (x * 0.0, x + x, fnp.maximum(x, 0.0), fnp.sign(x), x - x, x * 1.0, x + 0.0, fnp.sqrt(x), 1.0 / x), x
    )
    zeros = np.array([-0.0] * 10)
    assert not np.signbit(compile_and_run(lambda x: fnp.sum(x), zeros)), "as NumPy, a sum starts from 0.0"
    assert not np.signbit(compile_and_run(lambda x: fnp.sum(x), np.zeros(0)))
    assert np.signbit(compile_and_run(lambda x: x - 0.0, zeros)).all()
    assert not np.signbit(compile_and_run(lambda x: x + 0.0, zeros)).any()
    assert np.isnan(compile_and_run(fnp.max, x))
    assert compiled.reasons == {}


@pytest.mark.parametrize("shape", [(3, 0, 40), (0, 3), (20, 0), (4, 0)])
def test_sums_of_nothing_beside_what_reads_them(shape):
    def f(x):
        total = fnp.sum(x, axis=1)
        return (
            total,
            fnp.pad(total, [(0, 0)] * (total.ndim - 1) + [(1, 3)]),
            fnp.prod(x, axis=-1) * 2,
            fnp.any(x, axis=1),
        )

    for dtype in ("i8", "f8", "f4", "?"):
        check_compiled(f, np.zeros(shape, dtype), native=False)


@pytest.mark.parametrize("shape", [(1,), (2,), (9,), (200,), (1, 30), (30, 1), (3, 3)])
def test_negative_zeros_add_up_to_zero_as_in_numpy(shape):
    x = np.full(shape, -0.0)
    for axis in range(len(shape)):
        found = compile_and_run(lambda x, axis=axis: fnp.sum(x, axis=axis), x)
        np.testing.assert_array_equal(np.signbit(found), np.signbit(np.sum(x, axis=axis)))


def compile_and_run(function, *args):
    return check_compiled(function, *args)(*args)[0]


def test_sums_stay_accurate():
    x = np.full(1_000_003, 0.1)
    assert abs(compile_and_run(fnp.sum, x) - 100_000.3) < 1e-8


def test_products_are_not_contracted():
    x = RNG.normal(size=50)
    assert not compile_and_run(lambda x, y: x * y - y * x, x, x[::-1].copy()).any()


@pytest.mark.parametrize("name", ["float8_e5m2", "float8_e4m3fn"])
def test_small_floats_that_are_not_numpys_are_evaluated(name):
    dtype = np.dtype(getattr(ml_dtypes, name))
    assert not holds(dtype)
    x = np.array([0.5, -1.5, 2.0])
    f = fad.jit(lambda x: (x.astype(dtype) * x.astype(dtype)).astype("float32"))
    for _ in range(2):
        np.testing.assert_array_equal(f(x), (x.astype(dtype) * x.astype(dtype)).astype("float32"))


def test_integers_to_negative_integer_powers_raise_as_without_jit():
    x = fnp.asarray([2, 3])
    assert fad.jit(lambda x, n: x**n)(x, fnp.asarray([3, 2])).tolist() == [8, 9]
    assert fad.jit(lambda x: x**3)(x).tolist() == [8, 27]
    for f in (lambda x, n: x**n, fad.jit(lambda x, n: x**n)):
        with pytest.raises(FadError, match="negative integer powers"):
            f(x, fnp.asarray([-1, 2]))


def test_dtypes_out_of_a_pickle_are_numpys_own():
    x = pickle.loads(pickle.dumps(np.linspace(0.1, 2.0, 41)))
    assert x.dtype.isbuiltin != 1  # what NumPy says of them
    assert holds(x.dtype)
    assert not holds(x.dtype.newbyteorder())
    check_compiled(lambda x: fnp.sin(x) * 2.0, x)


def test_products_over_no_elements_compile():
    check_compiled(lambda a: fnp.einsum("abc,dec->abde", a, a), np.ones((12, 9, 0)))
    check_compiled(lambda a: a.reshape(0, 5).sum(0) + 1.0, np.ones((12, 0, 10)))
    check_compiled(lambda a, c: fnp.einsum("abc,c->ab", a, c).sum(0), np.ones((9, 0, 2), "f2"), np.ones(2, "f2"))
