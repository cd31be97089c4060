"""Programs written once for fad and for JAX: each takes the names of a library and arrays. `kinds` are the dtypes it makes sense for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

REAL = ("float64", "float32")
DOUBLE = ("float64",)  # where JAX keeps float32 and NumPy, and so fad, gives float64; or where only this is of interest
ALL = (*REAL, "complex128")
Domain = tuple[float, float]


@dataclass(frozen=True)
class Case:
    """``function(library, *arrays)``; the arrays have the shapes and lie in the domains, both one for each argument."""

    name: str
    function: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    domains: tuple[Domain, ...]
    kinds: tuple[str, ...] = REAL

    def arrays(self, kind: str) -> list[np.ndarray]:
        """The same arrays for every library and every run."""
        rng = np.random.default_rng([ord(c) for c in self.name])
        arrays = [rng.uniform(*domain, size=shape) for shape, domain in zip(self.shapes, self.domains, strict=True)]
        if kind.startswith("complex"):
            arrays = [a + 1j * rng.uniform(0.2, 0.9, a.shape) for a in arrays]
        return [a.astype(kind) for a in arrays]


def case(
    name: str, function: Callable, *shapes: tuple[int, ...], domain: Any = (-2.0, 2.0), kinds: tuple = REAL
) -> Case:
    domains = domain if isinstance(domain[0], tuple) else (domain,) * len(shapes)
    return Case(name, function, shapes, domains, kinds)


def directions(arrays: Iterable[Any], seed: int) -> Iterator[np.ndarray]:
    """One fixed tangent or cotangent for each array."""
    rng = np.random.default_rng(seed)
    for a in arrays:
        direction = rng.normal(size=a.shape)
        if np.iscomplexobj(a):
            direction = direction + 1j * rng.normal(size=a.shape)
        yield np.asarray(direction, a.dtype)


# --- functions of one number --------------------------------------------------------------------------------------------------

EVERYWHERE, POSITIVE, INSIDE, UNIT = (-2.5, 2.5), (0.3, 4.0), (-0.9, 0.9), (0.05, 0.95)

UNARY: dict[str, tuple[Domain, tuple[str, ...]]] = {
    **dict.fromkeys(
        "sin cos sinh cosh tanh exp exp2 expm1 square negative positive conjugate arctan arcsinh".split(),
        (EVERYWHERE, ALL),
    ),
    **dict.fromkeys("sqrt log log2 log10 log1p reciprocal arccosh".split(), ((1.2, 4.0), ALL)),
    **dict.fromkeys("arcsin arccos arctanh tan".split(), (INSIDE, ALL)),
    **dict.fromkeys("real imag absolute".split(), (POSITIVE, ALL)),
    **dict.fromkeys(
        "cbrt sinc i0 deg2rad rad2deg fabs sign floor ceil trunc rint nan_to_num".split(), (EVERYWHERE, REAL)
    ),
}

SPECIAL: dict[str, Domain] = {
    **dict.fromkeys("erf erfc expit i0e i1 i1e ndtr log_ndtr".split(), EVERYWHERE),
    **dict.fromkeys("gammaln digamma gamma expi entr".split(), POSITIVE),
    **dict.fromkeys("logit ndtri".split(), UNIT),
    "erfinv": INSIDE,
}  # fmt: skip

# --- functions of two numbers -------------------------------------------------------------------------------------------------

BINARY: dict[str, tuple[Domain, tuple[str, ...]]] = {
    **dict.fromkeys("add subtract multiply divide".split(), (POSITIVE, ALL)),
    "power": ((0.5, 2.5), ALL),
    "float_power": (POSITIVE, DOUBLE),
    **dict.fromkeys("arctan2 hypot logaddexp logaddexp2 maximum minimum fmax fmin copysign".split(), (POSITIVE, REAL)),
    **dict.fromkeys("mod fmod remainder".split(), (POSITIVE, REAL)),
}

SPECIAL_BINARY: dict[str, Domain] = {
    **dict.fromkeys("xlogy xlog1py rel_entr kl_div betaln".split(), POSITIVE),
}


def special_cases() -> list[Case]:
    """Functions with a parameter that JAX does not differentiate: the parameter is fixed."""
    a, b = np.array([0.7, 1.5, 2.5, 6.0]), np.array([2.0, 0.9, 3.5, 1.1])
    order = np.array([1, 2, 3, 1])
    return [
        case("betainc", lambda m, x: m.special.betainc(a, b, x), (4,), domain=UNIT, kinds=DOUBLE),
        case("gammainc", lambda m, x: m.special.gammainc(a, x), (4,), domain=POSITIVE, kinds=DOUBLE),
        case("gammaincc", lambda m, x: m.special.gammaincc(a, x), (4,), domain=POSITIVE, kinds=DOUBLE),
        case("zeta", lambda m, q: m.special.zeta(a + 1.5, q), (4,), domain=POSITIVE, kinds=DOUBLE),
        case("polygamma", lambda m, x: m.special.polygamma(order, x), (4,), domain=POSITIVE, kinds=DOUBLE),
        case("multigammaln", lambda m, x: m.special.multigammaln(x, 2), (4,), domain=(2.0, 5.0), kinds=DOUBLE),
    ]


def elementwise_cases() -> list[Case]:
    def of(module: str, name: str) -> Callable:
        return lambda m, *arrays: getattr(getattr(m, module), name)(*arrays)

    found = [case(n, of("np", n), (3, 4), domain=d, kinds=k) for n, (d, k) in UNARY.items()]
    found += [case(n, of("special", n), (3, 4), domain=d) for n, d in SPECIAL.items()]
    found += [case(n, of("np", n), (3, 1), (4,), domain=d, kinds=k) for n, (d, k) in BINARY.items()]
    found += [case(n, of("special", n), (3, 1), (4,), domain=d) for n, d in SPECIAL_BINARY.items()]
    return [*found, *special_cases()]


# --- reductions, order and structure --------------------------------------------------------------------------------------------


def reduction_cases() -> list[Case]:
    found = []
    for name in "sum mean prod std var".split():
        kinds = ALL if name in ("sum", "mean", "prod") else REAL
        found += [
            case(f"{name} of all", lambda m, x, n=name: getattr(m.np, n)(x), (3, 4), kinds=kinds),
            case(
                f"{name} by axes",
                lambda m, x, n=name: getattr(m.np, n)(x, axis=(0, 2), keepdims=True),
                (2, 3, 4),
                kinds=kinds,
            ),
        ]
    for name in "max min median ptp nansum nanmean cumsum cumprod logsumexp".split():
        module = "special" if name == "logsumexp" else "np"
        found.append(case(name, lambda m, x, n=name, o=module: getattr(getattr(m, o), n)(x, axis=-1), (3, 5)))
    return [
        *found,
        case("average with weights", lambda m, x, w: m.np.average(x, axis=0, weights=w), (3, 4), (3,), domain=POSITIVE),
        case("quantile", lambda m, x: m.np.quantile(x, np.array([0.1, 0.5, 0.8]), axis=1), (3, 7), kinds=DOUBLE),
        case("norm", lambda m, x: m.linalg.norm(x), (3, 4), kinds=ALL),
        case("norms of rows", lambda m, x: m.linalg.norm(x, ord=3, axis=1), (3, 4)),
        case("softmax", lambda m, x: m.special.softmax(x, axis=-1), (3, 4)),
        case("log_softmax", lambda m, x: m.special.log_softmax(x, axis=0), (3, 4)),
        case("cov", lambda m, x: m.np.cov(x), (3, 6), kinds=DOUBLE),
        case("corrcoef", lambda m, x: m.np.corrcoef(x), (3, 6), kinds=DOUBLE),
        case("trapezoid", lambda m, y: m.np.trapezoid(y, dx=0.1), (3, 6)),
        case("diff", lambda m, x: m.np.diff(x, n=2), (3, 6), kinds=ALL),
        case("gradient", lambda m, x: m.np.gradient(x, axis=1), (3, 6)),
        case("interp", lambda m, y: m.np.interp(np.linspace(-1, 3, 9), np.arange(4.0), y), (4,), kinds=DOUBLE),
    ]


def structural_cases() -> list[Case]:
    rows, mask = np.array([2, 0, 2, 1]), np.array([True, False, True])
    return [
        case("sort", lambda m, x: m.np.sort(x, axis=0), (5, 3)),
        case("sort by another", lambda m, x, y: m.np.take_along_axis(x, m.np.argsort(y, axis=1), axis=1), (3, 5), (3, 5)),
        case("partition", lambda m, x: m.np.partition(x, 2)[2], (7,)),
        case("gather rows", lambda m, x: x[rows], (3, 4), kinds=ALL),
        case("gather pairs", lambda m, x: x[rows, np.array([0, 0, 3, 1])], (3, 4), kinds=ALL),
        case("mask", lambda m, x: x[mask], (3, 4)),
        case("slices", lambda m, x: x[::-1, 1::2, None], (3, 5), kinds=ALL),
        case("set", lambda m, x, v: x.at[rows[:2]].set(v), (3, 4), (2, 4), kinds=ALL),
        case("scatter add", lambda m, x, v: x.at[rows].add(v), (3, 4), (4, 4), kinds=ALL),
        case("scatter mul", lambda m, x, v: x.at[rows[:2]].multiply(v, **m.unique), (3, 4), (2, 4)),
        case("scatter max", lambda m, x, v: x.at[rows[:2]].max(v), (3, 4), (2, 4)),
        case("where", lambda m, x, y: m.np.where(x > 0, x * y, y), (3, 4), (4,)),
        case("clip", lambda m, x: m.np.clip(x, -0.5, 0.9), (3, 4)),
        case("pad", lambda m, x: m.np.pad(x, ((1, 0), (2, 1))), (2, 3), kinds=ALL),
        case("pad, reflected", lambda m, x: m.np.pad(x, 2, mode="reflect"), (5,)),
        case("concatenate", lambda m, x, y: m.np.concatenate([x, y, x], axis=1), (2, 3), (2, 1), kinds=ALL),
        case("stack", lambda m, x, y: m.np.stack([x, y], axis=1), (2, 3), (2, 3)),
        case("tile", lambda m, x: m.np.tile(x, (2, 3)), (2, 3)),
        case("repeat", lambda m, x: m.np.repeat(x, np.array([1, 0, 2]), axis=1, total_repeat_length=3) if m.jax else m.np.repeat(x, np.array([1, 0, 2]), axis=1), (2, 3)),
        case("roll", lambda m, x: m.np.roll(x, (1, -2), axis=(0, 1)), (3, 4)),
        case("flip and turn", lambda m, x: m.np.rot90(m.np.flip(x, 0)), (3, 4)),
        case("moveaxis", lambda m, x: m.np.moveaxis(x, 0, -1).reshape(4, -1), (2, 3, 4), kinds=ALL),
        case("triangles", lambda m, x: m.np.triu(x, 1) - m.np.tril(x), (4, 4), kinds=ALL),
        case("diagonals", lambda m, x: m.np.diag(m.np.diagonal(x, 1)), (3, 4)),
        case("kron", lambda m, x, y: m.np.kron(x, y), (2, 3), (2, 2), kinds=ALL),
        case("broadcast", lambda m, x: m.np.broadcast_to(x, (2, 3, 4)), (3, 1)),
        case("top_k", lambda m, x: m.lax.top_k(x, 2)[0], (3, 5)),
        case("segment_sum", lambda m, x: m.segment_sum(x, rows, 3), (4, 2)),
    ]  # fmt: skip


# --- products, linear algebra, transforms ---------------------------------------------------------------------------------------


def positive_definite(m: Any, x: Any) -> Any:
    return x @ m.np.conjugate(m.np.swapaxes(x, -1, -2)) + 3 * np.eye(x.shape[-1], dtype=x.dtype)


def product_cases() -> list[Case]:
    return [
        case("matmul", lambda m, x, y: x @ y, (2, 3, 4), (4, 5), kinds=ALL),
        case("vectors", lambda m, x, y: m.np.dot(x, y) * m.np.vdot(x, y), (5,), (5,), kinds=ALL),
        case("tensordot", lambda m, x, y: m.np.tensordot(x, y, axes=((0, 2), (1, 0))), (2, 3, 4), (4, 2, 2), kinds=ALL),
        case("einsum", lambda m, x, y, z: m.np.einsum("bij,jk,bk->bi", x, y, z), (2, 3, 4), (4, 2), (2, 2), kinds=ALL),
        case("einsum with a trace", lambda m, x, y: m.np.einsum("iij,jk->k", x, y), (3, 3, 2), (2, 4), kinds=ALL),
        case("outer", lambda m, x, y: m.np.outer(x, y), (3,), (4,), kinds=ALL),
        case("cross", lambda m, x, y: m.np.cross(x, y), (4, 3), (4, 3)),
        case("convolve", lambda m, x, y: m.np.convolve(x, y, mode="same"), (8,), (3,), kinds=ALL),
        case("polyval", lambda m, p, x: m.np.polyval(p, x), (4,), (5,), kinds=ALL),
    ]


def linalg_cases() -> list[Case]:
    def well(x: Any) -> Any:
        return x + 4 * np.eye(x.shape[-1], dtype=x.dtype)

    def eigh(m: Any, x: Any) -> Any:
        values, vectors = m.linalg.eigh(positive_definite(m, x))
        return values, m.np.abs(vectors) ** 2

    def svd(m: Any, x: Any) -> Any:
        u, s, vh = m.linalg.svd(x, full_matrices=False)
        return s, m.np.abs(u) ** 2, m.np.abs(vh) ** 2

    def qr(m: Any, x: Any) -> Any:
        q, r = m.linalg.qr(x)
        return m.np.abs(q) ** 2, m.np.abs(r) ** 2

    both = ("float64", "complex128")
    return [
        case("inv", lambda m, x: m.linalg.inv(well(x)), (2, 3, 3), kinds=both),
        case("solve", lambda m, x, b: m.linalg.solve(well(x), b), (3, 3), (3, 2), kinds=both),
        case("det", lambda m, x: m.linalg.det(x), (2, 3, 3), kinds=both),
        case("slogdet", lambda m, x: m.linalg.slogdet(well(x))[1], (2, 3, 3), kinds=both),
        case("cholesky", lambda m, x: m.linalg.cholesky(positive_definite(m, x)), (2, 3, 3), kinds=both),
        case("eigh", eigh, (3, 3), kinds=both),
        case("eigvalsh", lambda m, x: m.linalg.eigvalsh(positive_definite(m, x)), (2, 3, 3), kinds=both),
        case("svd", svd, (4, 3), kinds=both),
        case("singular values", lambda m, x: m.linalg.svd(x, compute_uv=False), (3, 4), kinds=both),
        case("qr", qr, (4, 3), kinds=both),
        case("pinv", lambda m, x: m.linalg.pinv(x), (4, 3), kinds=DOUBLE),
        case("lstsq", lambda m, x, b: m.linalg.lstsq(x, b)[0], (5, 3), (5,), kinds=DOUBLE),
        case("expm", lambda m, x: m.slinalg.expm(x), (3, 3), kinds=DOUBLE),
        case("matrix_power", lambda m, x: m.linalg.matrix_power(x, 3), (3, 3), kinds=both),
        case("triangular solve", lambda m, x, b: m.slinalg.solve_triangular(well(x), b, lower=True), (3, 3), (3, 2), kinds=both),
        case("cho_solve", lambda m, x, b: m.slinalg.cho_solve((m.linalg.cholesky(positive_definite(m, x)), True), b), (3, 3), (3,), kinds=DOUBLE),
    ]  # fmt: skip


def transform_cases() -> list[Case]:
    both = ("float64", "complex128")

    def power(m: Any, y: Any) -> Any:
        return m.np.abs(y) ** 2

    return [
        case("fft", lambda m, x: m.fft.fft(x, axis=0), (6, 3), kinds=("complex128",)),
        case("ifft2", lambda m, x: m.fft.ifft2(x), (4, 6), kinds=("complex128",)),
        case("power spectrum", lambda m, x: power(m, m.fft.fftn(x)), (4, 5), kinds=both),
        case("rfft power", lambda m, x: power(m, m.fft.rfft(x)), (3, 7), kinds=DOUBLE),
        case("irfft", lambda m, x: m.fft.irfft(x, n=7), (4,), kinds=("complex128",)),
        case("fftshift", lambda m, x: m.fft.fftshift(m.fft.fft(x)), (7,), kinds=("complex128",)),
        case("hfft", lambda m, x: m.fft.hfft(x), (4,), kinds=("complex128",)),
    ]


# --- control flow and small programs ---------------------------------------------------------------------------------------------


def _rnn(m: Any, w: Any, h: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = m.np.tanh(w @ h + x)
        return h, m.np.sum(h**2)

    return m.lax.scan(step, h, xs)


def _branches(m: Any, x: Any) -> Any:
    return m.lax.cond(m.np.sum(x) > 0, lambda x: m.np.sin(x), lambda x: m.np.exp(-x), x)


def _switched(m: Any, x: Any) -> Any:
    return m.lax.switch(2, [lambda x: x, lambda x: 2 * x, lambda x: x**3], x)


def _power_iteration(m: Any, a: Any, v: Any) -> Any:
    def turn(_: Any, v: Any) -> Any:
        v = a @ v
        return v / m.np.sqrt(m.np.sum(v * v))

    return m.lax.fori_loop(0, 6, turn, v)


def _associative(m: Any, x: Any) -> Any:
    return m.lax.associative_scan(lambda a, b: a * b + a, x)


def _mapped(m: Any, x: Any, w: Any) -> Any:
    return m.vmap(lambda row: m.np.tanh(w @ row) / (1 + m.np.max(row)))(x)


def _hessian_of_energy(m: Any, x: Any) -> Any:
    return m.hessian(lambda x: m.np.sum(m.np.cos(x[:-1] * x[1:]) ** 2) + m.np.prod(x))(x)


def _checkpointed(m: Any, x: Any) -> Any:
    return m.checkpoint(lambda x: m.np.sin(m.np.exp(x) * x))(x)


def _attention(m: Any, q: Any, k: Any, v: Any) -> Any:
    scores = m.np.einsum("qd,kd->qk", q, k) / 2.0
    scores = m.np.where(np.tri(3, 5, dtype=bool), scores, -np.inf)
    return m.special.softmax(scores, axis=-1) @ v


def _convolution(m: Any, x: Any, w: Any) -> Any:
    return m.conv(x, w, stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2))


def program_cases() -> list[Case]:
    return [
        case("recurrent network", _rnn, (3, 3), (3,), (6, 3)),
        case("cond", _branches, (4,)),
        case("switch", _switched, (4,)),
        case("power iteration", _power_iteration, (3, 3), (3,), domain=POSITIVE),
        case("associative scan", _associative, (7,), domain=POSITIVE),
        case("mapped", _mapped, (5, 3), (2, 3)),
        case("hessian inside", _hessian_of_energy, (4,), kinds=DOUBLE),
        case("checkpoint", _checkpointed, (4,), kinds=ALL),
        case("attention", _attention, (3, 4), (5, 4), (5, 2)),
        case("convolution", _convolution, (2, 7, 8, 3), (3, 2, 3, 4)),
    ]


CASES = [
    *elementwise_cases(),
    *reduction_cases(),
    *structural_cases(),
    *product_cases(),
    *linalg_cases(),
    *transform_cases(),
    *program_cases(),
]
