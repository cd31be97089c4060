"""Values, gradients and gradients of gradients of fad beside PyTorch's; with the `bench` extra."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

import fad
import fad.nn
import fad.numpy as fnp
import fad.scipy.linalg
from fad.scipy import special
from tests.peers.programs import ALL, DOUBLE, EVERYWHERE, INSIDE, POSITIVE, REAL, UNIT, case, directions

torch = pytest.importorskip("torch", reason="compares with PyTorch, of the bench extra")
pytestmark = pytest.mark.peer
TOLERANCE = {"float32": 2e-4, "float64": 1e-9, "complex128": 1e-9}

FAD = SimpleNamespace(torch=False, np=fnp, linalg=fnp.linalg, fft=fnp.fft, special=special, nn=fad.nn)


def both(name_here, name_there, module="np"):
    """The same function under the name that each library has for it."""

    def call(m, *arrays):
        return m.named(name_there)(*arrays) if m.torch else getattr(getattr(m, module), name_here)(*arrays)

    return call


SAME = {
    **dict.fromkeys("sin cos tan sinh cosh tanh exp expm1 square reciprocal".split(), (INSIDE, ALL)),
    **dict.fromkeys("sqrt log log2 log10 log1p".split(), (POSITIVE, ALL)),
    **dict.fromkeys("exp2 sinc sign floor abs deg2rad".split(), (EVERYWHERE, REAL)),
}
RENAMED = {"arcsin": "asin", "arccos": "acos", "arctanh": "atanh", "arctan": "atan", "arcsinh": "asinh"}
SPECIAL = {
    **dict.fromkeys("erf erfc expit i0e i1 log_ndtr ndtr".split(), EVERYWHERE),
    **dict.fromkeys("gammaln digamma entr".split(), POSITIVE),
    **dict.fromkeys("logit ndtri".split(), UNIT),
    "erfinv": INSIDE,
}  # fmt: skip
PAIRS = {
    **dict.fromkeys("add subtract multiply divide".split(), ALL),
    **dict.fromkeys("hypot logaddexp maximum minimum fmax fmin".split(), REAL),
}


def well(x):
    return x + 4 * np.eye(3) if not hasattr(x, "diag_embed") else x + 4 * x.new_ones(3).diag_embed()


def structural(m, x):
    if m.torch:
        return x.roll(1, 0).flip(1)[[0, 2, 2]].transpose(0, 1).reshape(-1)
    return fnp.flip(fnp.roll(x, 1, 0), 1)[np.array([0, 2, 2])].T.reshape(-1)


def scattered(m, x, v):
    rows = [2, 0, 2]
    return x.index_add(0, m.integers(rows), v) if m.torch else x.at[np.array(rows)].add(v)


CASES = [
    *(case(n, both(n, n), (3, 4), domain=d, kinds=k) for n, (d, k) in SAME.items()),
    *(case(n, both(n, there), (3, 4), domain=INSIDE, kinds=ALL) for n, there in RENAMED.items()),
    *(case(n, both(n, f"special.{n}", "special"), (3, 4), domain=d) for n, d in SPECIAL.items()),
    *(case(n, both(n, n), (3, 1), (4,), domain=POSITIVE, kinds=k) for n, k in PAIRS.items()),
    case("power", both("power", "pow"), (3, 1), (4,), domain=POSITIVE, kinds=ALL),
    case("arctan2", both("arctan2", "atan2"), (3, 1), (4,)),
    case("xlogy", both("xlogy", "special.xlogy", "special"), (3,), (3,), domain=POSITIVE),
    case("prod", lambda m, x: x.prod(1) if m.torch else x.prod(axis=1), (3, 4), kinds=ALL),
    case("cumprod", lambda m, x: x.cumprod(1) if m.torch else fnp.cumprod(x, axis=1), (3, 4)),
    case("logsumexp", lambda m, x: x.logsumexp(1) if m.torch else special.logsumexp(x, axis=1), (3, 4)),
    case("var", lambda m, x: x.var(1) if m.torch else x.var(axis=1, ddof=1), (3, 4)),
    case("amax", lambda m, x: x.amax(1) if m.torch else x.max(axis=1), (3, 4)),
    case("sort", lambda m, x: x.sort(1).values if m.torch else fnp.sort(x, axis=1), (3, 4)),
    case("top_k", lambda m, x: x.topk(2, 1).values if m.torch else fnp.top_k(x, 2)[0], (3, 4)),
    case("structure", structural, (3, 4), kinds=ALL),
    case("scatter add", scattered, (3, 4), (3, 4), kinds=ALL),
    case("matmul", lambda m, x, y: x @ y, (2, 3, 4), (4, 5), kinds=ALL),
    case("einsum", lambda m, x, y: m.np.einsum("bij,jk->bki", x, y), (2, 3, 4), (4, 5), kinds=ALL),
    case("inv", lambda m, x: m.linalg.inv(well(x)), (3, 3), kinds=DOUBLE),
    case("solve", lambda m, x, b: m.linalg.solve(well(x), b), (3, 3), (3, 2), kinds=DOUBLE),
    case("det", lambda m, x: m.linalg.det(x), (2, 3, 3), kinds=(*DOUBLE, "complex128")),
    case("slogdet", lambda m, x: m.linalg.slogdet(well(x))[1], (3, 3), kinds=DOUBLE),
    case("cholesky", lambda m, x: m.linalg.cholesky(well(x @ x.T)), (3, 3), kinds=DOUBLE),
    case("eigvalsh", lambda m, x: m.linalg.eigvalsh(well(x @ x.T)), (3, 3), kinds=DOUBLE),
    case("singular values", lambda m, x: m.linalg.svdvals(x), (4, 3), kinds=DOUBLE),
    case("pinv", lambda m, x: m.linalg.pinv(x), (4, 3), kinds=DOUBLE),
    case("expm", lambda m, x: m.linalg.matrix_exp(x) if m.torch else fad.scipy.linalg.expm(x), (3, 3), kinds=DOUBLE),
    case("norm", lambda m, x: m.linalg.norm(x), (3, 4), kinds=(*DOUBLE, "complex128")),
    case("fft", lambda m, x: m.np.abs(m.fft.fft(x)) ** 2, (3, 5), kinds=(*DOUBLE, "complex128")),
    case("irfft", lambda m, x: m.fft.irfft(x, n=7), (4,), kinds=("complex128",)),
]


def named(path):
    return functools.reduce(getattr, path.split("."), torch)


TORCH = SimpleNamespace(torch=True, np=torch, linalg=torch.linalg, fft=torch.fft, named=named, integers=torch.tensor)


def gradients_here(function, arrays, outer, inner):
    """Value, gradient for a cotangent, and gradient of that gradient for others, in PyTorch's convention.

    PyTorch multiplies a cotangent by the conjugate of a holomorphic function's derivative, fad (as JAX) by the derivative.
    """

    def pulled(*arrays):
        value, pullback = fad.vjp(lambda *arrays: function(FAD, *arrays), *arrays)
        return pullback(fnp.conj(fnp.asarray(outer))), value

    first, pullback, value = fad.vjp(pulled, *[fnp.asarray(a) for a in arrays], has_aux=True)
    second = pullback(tuple(fnp.asarray(d) for d in inner))
    return [np.asarray(value), *(np.conj(leaf) for leaf in (*first, *second))]


def gradients_there(function, arrays, outer, inner):
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    value = function(TORCH, *leaves)
    first = torch.autograd.grad(value, leaves, torch.tensor(outer), create_graph=True, materialize_grads=True)
    curved = [(g, torch.tensor(d)) for g, d in zip(first, inner, strict=True) if g.requires_grad]
    second = [torch.zeros_like(leaf) for leaf in leaves]  # of a gradient that does not depend on the arrays
    if curved:
        gradients, cotangents = zip(*curved, strict=True)
        second = torch.autograd.grad(gradients, leaves, cotangents, materialize_grads=True)
    return [leaf.resolve_conj().numpy(force=True) for leaf in (value, *first, *second)]


@pytest.mark.parametrize("case, kind", [pytest.param(c, k, id=f"{c.name}-{k}") for c in CASES for k in c.kinds])
def test_gradients_agree_with_pytorch(case, kind):
    arrays = case.arrays(kind)
    value = np.asarray(case.function(FAD, *[fnp.asarray(a) for a in arrays]))
    (outer,), inner = directions([value], 1), list(directions(arrays, 2))
    ours = gradients_here(case.function, arrays, outer, inner)
    theirs = gradients_there(case.function, arrays, outer, inner)
    for position, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape, position
        assert a.dtype == b.dtype, position
        scale = np.abs(b).max(initial=1.0)
        np.testing.assert_allclose(a, b, rtol=TOLERANCE[kind], atol=TOLERANCE[kind] * scale, err_msg=str(position))
