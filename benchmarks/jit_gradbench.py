"""GradBench's lse, llsq, ode and gmm, from their definitions, float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target, Timed


def lse_inputs(n: int, quick: bool) -> tuple:
    return (np.random.default_rng(0).uniform(size=min(n, 20_000) if quick else n),)


def _lse(xp: Any, x: Any) -> Any:
    top = x.max()
    return top + xp.log(xp.exp(x - top).sum())


def lse(lib: Any, x: np.ndarray) -> Timed:
    """Gradient of log-sum-exp, through max, exp and sum."""

    def f(x: Any) -> Any:
        return _lse(lib.np, x)

    gradient, primal, x = lib.jit(lib.grad(f)), lib.jit(f), lib.array(x)
    return Timed(lambda: lib.ready(gradient(x)), lambda: lib.ready(primal(x)))


def lse_torch(lib: Any, x: np.ndarray) -> Any:
    (x,) = lib.leaves(x)
    f = lib.compile(lambda x: _lse(lib.torch, x))
    return lambda: lib.torch.autograd.grad(f(x), x)[0]


def lse_numpy(lib: Any, x: np.ndarray) -> Any:
    def run() -> np.ndarray:
        e = np.exp(x - x.max())
        e /= e.sum()
        return e

    return run


def llsq_inputs(quick: bool) -> tuple:
    return np.random.default_rng(0).uniform(size=128), 256 if quick else 4096


def _llsq(xp: Any, x: Any, n: int) -> Any:
    t = -1.0 + 2.0 * xp.arange(n) / (n - 1)
    powers = xp.cumprod(xp.concatenate([xp.ones((n, 1)), xp.ones((n, x.shape[0] - 1)) * t[:, None]], axis=1), axis=1)
    return 0.5 * xp.sum((xp.sign(t) - powers @ x) ** 2)


def llsq(lib: Any, x: np.ndarray, n: int) -> Timed:
    """Gradient of a least-squares polynomial fit of the sign function, 4096 points, 128 coefficients."""

    def f(x: Any) -> Any:
        return _llsq(lib.np, x, n)

    gradient, primal, x = lib.jit(lib.grad(f)), lib.jit(f), lib.array(x)
    return Timed(lambda: lib.ready(gradient(x)), lambda: lib.ready(primal(x)))


def llsq_torch(lib: Any, x: np.ndarray, n: int) -> Any:
    torch, m = lib.torch, x.shape[0]
    (x,) = lib.leaves(x)

    @lib.compile
    def f(x: Any) -> Any:
        t = -1.0 + 2.0 * torch.arange(n, dtype=torch.float64) / (n - 1)
        ones = torch.ones((n, 1), dtype=torch.float64)
        powers = torch.cumprod(torch.cat([ones, t[:, None].expand(n, m - 1)], 1), 1)
        return 0.5 * ((torch.sign(t) - powers @ x) ** 2).sum()

    return lambda: torch.autograd.grad(f(x), x)[0]


def llsq_numba(lib: Any, x: np.ndarray, n: int) -> Any:
    @lib.jit
    def step(x: np.ndarray, n: int) -> np.ndarray:
        gradient = np.zeros_like(x)
        for i in range(n):
            t = -1.0 + 2.0 * i / (n - 1)
            fit, power = 0.0, 1.0
            for j in range(len(x)):
                fit += x[j] * power
                power *= t
            rest, power = fit - np.sign(t), 1.0
            for j in range(len(x)):
                gradient[j] += rest * power
                power *= t
        return gradient

    return lambda: step(x, n)


def ode_inputs(n: int, steps: int, quick: bool) -> tuple:
    return np.random.default_rng(0).uniform(size=n), steps


def ode(lib: Any, x: np.ndarray, steps: int) -> Timed:
    """Gradient of the summed end state of Runge-Kutta steps."""
    xp, h = lib.np, 2.0 / steps

    def solve(x: Any) -> Any:
        def field(y: Any) -> Any:
            return xp.concatenate([x[:1], x[1:] * y[:-1]])

        def step(y: Any, _: Any) -> tuple:
            k1 = field(y)
            k2 = field(y + h / 2 * k1)
            k3 = field(y + h / 2 * k2)
            k4 = field(y + h * k3)
            return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

        return xp.sum(lib.scan(step, xp.zeros(x.shape), None, length=steps)[0])

    gradient, primal, x = lib.jit(lib.grad(solve)), lib.jit(solve), lib.array(x)
    return Timed(lambda: lib.ready(gradient(x)), lambda: lib.ready(primal(x)))


def ode_torch(lib: Any, x: np.ndarray, steps: int) -> Any:
    torch, h = lib.torch, 2.0 / steps
    (x,) = lib.leaves(x)

    def field(x: Any, y: Any) -> Any:
        return torch.cat([x[:1], x[1:] * y[:-1]])

    @lib.compile
    def step(x: Any, y: Any) -> Any:
        k1 = field(x, y)
        k2 = field(x, y + h / 2 * k1)
        k3 = field(x, y + h / 2 * k2)
        k4 = field(x, y + h * k3)
        return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

    def run() -> Any:
        y = torch.zeros_like(x)
        for _ in range(steps):
            y = step(x, y)
        return torch.autograd.grad(y.sum(), x)[0]

    return run


def gmm_inputs(quick: bool) -> tuple:
    d, k, n = (2, 3, 50) if quick else (10, 10, 1000)
    rng = np.random.default_rng(31337)
    params = {
        "alpha": rng.normal(size=k),
        "mu": rng.uniform(size=(k, d)),
        "q": rng.normal(size=(k, d)),
        "l": rng.normal(size=(k, d * (d - 1) // 2)),
    }
    return params, rng.normal(size=(n, d)), 1.0, 0


def _log_multigamma(a: float, d: int) -> float:
    return d * (d - 1) / 4 * math.log(math.pi) + sum(math.lgamma(a - j / 2) for j in range(d))


def _triangle(d: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the strict lower triangle, column by column."""
    columns, rows = np.triu_indices(d, 1)
    return rows, columns


def _gmm(xp: Any, fill: Any, top: Any, params: Any, x: Any, gamma: float, m: int) -> Any:
    """Log posterior of a Gaussian mixture with a Wishart prior; ``top`` is the maximum over the last axis."""
    (n, d), k = x.shape, params["alpha"].shape[0]
    rows, columns = _triangle(d)
    diagonal = xp.exp(params["q"])
    lower = fill((k, d, d), (slice(None), rows, columns), params["l"])
    gap = x[:, None, :] - params["mu"]
    moved = diagonal * gap + xp.einsum("kij,nkj->nki", lower, gap)
    beta = params["alpha"] + params["q"].sum(1) - 0.5 * (moved**2).sum(2)

    def lse(v: Any) -> Any:
        return top(v) + xp.log(xp.exp(v - top(v)[..., None]).sum(-1))

    degrees = d + m + 1
    constant = k * (degrees * d * math.log(gamma / math.sqrt(2)) - _log_multigamma(degrees / 2, d))
    penalty = gamma**2 / 2 * ((diagonal**2).sum() + (params["l"] ** 2).sum())
    prior = constant - penalty + m * params["q"].sum()
    return -n * d / 2 * math.log(2 * math.pi) + lse(beta).sum() - n * lse(params["alpha"]) + prior


def gmm(lib: Any, params: Any, x: np.ndarray, gamma: float, m: int) -> Timed:
    """Objective and its gradient by all parameters (d = 10, k = 10, n = 1000)."""

    def f(params: Any, x: Any) -> Any:
        return _gmm(lib.np, lib.fill, lambda v: lib.np.max(v, axis=-1), params, x, gamma, m)

    compiled, primal, args = lib.jit(lib.value_and_grad(f)), lib.jit(f), lib.array((params, x))
    return Timed(lambda: lib.ready(compiled(*args)), lambda: lib.ready(primal(*args)))


def gmm_torch(lib: Any, params: Any, x: np.ndarray, gamma: float, m: int) -> Any:
    torch, names = lib.torch, list(params)
    flat, x = lib.leaves(*params.values()), lib.array(x)

    def fill(shape: tuple, index: tuple, values: Any) -> Any:
        out = torch.zeros(shape, dtype=torch.float64)
        out[:, torch.tensor(index[1]), torch.tensor(index[2])] = values
        return out

    def objective(*flat: Any) -> Any:
        return _gmm(torch, fill, lambda v: v.amax(-1), dict(zip(names, flat, strict=True)), x, gamma, m)

    f = lib.compile(objective)

    def run() -> tuple:
        value = f(*flat)
        return value, dict(zip(names, torch.autograd.grad(value, flat), strict=True))

    return run


REDUCTION = (Target("jax", 0.9),)
SCAN = (Target("jax", 0.15),)
PROBLEMS = [
    *(
        Problem(
            f"GradBench lse, n = {n}",
            "gradbench",
            lambda quick, n=n: lse_inputs(n, quick),
            lse,
            lse_torch,
            {"numpy": lse_numpy},
            autograd=True,
            targets=target,
        )
        for n, target in ((2500, (Target("jax", 0.35),)), (1_280_000, REDUCTION))
    ),
    Problem(
        "GradBench llsq, n = 4096",
        "gradbench",
        llsq_inputs,
        llsq,
        llsq_torch,
        {"numba": llsq_numba},
        targets=REDUCTION,
        unsupported="no gradient rule for cumprod",
    ),
    *(
        Problem(
            f"GradBench ode, n = {n}, s = {steps}",
            "gradbench",
            lambda quick, n=n, steps=steps: ode_inputs(n, steps, quick),
            ode,
            ode_torch,
            autograd=True,
            targets=target,
        )
        for n, steps, target in ((12, 20, SCAN), (1000, 100, (Target("jax", 0.35),)))
    ),
    Problem(
        "GradBench gmm, d = 10, k = 10",
        "gradbench",
        gmm_inputs,
        gmm,
        gmm_torch,
        autograd=True,
        targets=(Target("jax", 0.8),),
    ),
]
