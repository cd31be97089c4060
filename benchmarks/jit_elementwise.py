"""Elementwise chains and reductions on large arrays: fusion, vector math and memory bandwidth decide."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target, Timed


def chain_inputs(quick: bool) -> tuple:
    return (np.random.default_rng(0).normal(size=200_000 if quick else 2_000_000),)


def _chain(xp: Any, x: Any) -> Any:
    return xp.tanh(x) * xp.exp(-0.5 * x * x) + xp.tanh(0.5 * x + 0.1)


def chain(lib: Any, x: np.ndarray) -> Any:
    """Tanh and exp chain over doubles."""
    f, x = lib.jit(lambda x: _chain(lib.np, x)), lib.array(x)
    return lambda: lib.ready(f(x))


def chain_torch(lib: Any, x: np.ndarray) -> Any:
    f, x = lib.compile(lambda x: _chain(lib.torch, x)), lib.array(x)
    return lambda: f(x)


def chain_numpy(lib: Any, x: np.ndarray) -> Any:
    return lambda: _chain(np, x)


def chain_numba(lib: Any, x: np.ndarray) -> Any:
    from numba import prange

    def kernel(x: np.ndarray) -> np.ndarray:
        out = np.empty_like(x)
        for i in prange(x.size):
            out[i] = math.tanh(x[i]) * math.exp(-0.5 * x[i] * x[i]) + math.tanh(0.5 * x[i] + 0.1)
        return out

    compiled = lib.jit(kernel, parallel=True)
    return lambda: compiled(x)


def chain_gradient(lib: Any, x: np.ndarray) -> Timed:
    """Gradient of the chain's sum."""

    def f(x: Any) -> Any:
        return lib.np.sum(_chain(lib.np, x))

    gradient, primal, x = lib.jit(lib.grad(f)), lib.jit(f), lib.array(x)
    return Timed(lambda: lib.ready(gradient(x)), lambda: lib.ready(primal(x)))


def chain_gradient_torch(lib: Any, x: np.ndarray) -> Any:
    (x,) = lib.leaves(x)
    f = lib.compile(lambda x: _chain(lib.torch, x).sum())
    return lambda: lib.torch.autograd.grad(f(x), x)[0]


def chain_gradient_numpy(lib: Any, x: np.ndarray) -> Any:
    def run() -> np.ndarray:
        t, e, s = np.tanh(x), np.exp(-0.5 * x * x), np.tanh(0.5 * x + 0.1)
        return (1.0 - t * t) * e - x * t * e + 0.5 * (1.0 - s * s)

    return run


def memory_inputs(quick: bool) -> tuple:
    return (np.random.default_rng(0).normal(size=1_000_000 if quick else 8_000_000),)


def memory(lib: Any, x: np.ndarray) -> Any:
    """Cheap arithmetic over 64 MB: reads every number once, writes one result."""
    f, x = lib.jit(lambda x: lib.np.maximum(x * 1.5 + 0.5, 0.0) - 0.25 * x * x), lib.array(x)
    return lambda: lib.ready(f(x))


def memory_torch(lib: Any, x: np.ndarray) -> Any:
    f = lib.compile(lambda x: lib.torch.relu(x * 1.5 + 0.5) - 0.25 * x * x)
    x = lib.array(x)
    return lambda: f(x)


def memory_numpy(lib: Any, x: np.ndarray) -> Any:
    return lambda: np.maximum(x * 1.5 + 0.5, 0.0) - 0.25 * x * x


def copy_limit(lib: Any, x: np.ndarray) -> Any:
    """The bandwidth to reach: the same bytes copied into memory already there, half per thread."""
    out, half = np.empty_like(x), x.size // 2
    pool = ThreadPoolExecutor(2)
    parts = [(out[:half], x[:half]), (out[half:], x[half:])]
    return lambda: list(pool.map(lambda part: np.copyto(*part), parts))[0]


def options_inputs(quick: bool) -> tuple:
    rng, n = np.random.default_rng(0), 10_000 if quick else 200_000
    return (
        rng.uniform(80, 120, n),
        rng.uniform(90, 110, n),
        rng.uniform(0.1, 0.5, n),
        rng.uniform(0.2, 2.0, n),
        rng.uniform(0.0, 0.05, n),
    )


def _call_price(xp: Any, erf: Any, spot: Any, strike: Any, vol: Any, expiry: Any, rate: Any) -> Any:
    """European call (Black and Scholes, 1973)."""
    spread = vol * xp.sqrt(expiry)
    d1 = (xp.log(spot / strike) + (rate + 0.5 * vol * vol) * expiry) / spread
    d2 = d1 - spread
    cdf1, cdf2 = 0.5 * (1.0 + erf(d1 * math.sqrt(0.5))), 0.5 * (1.0 + erf(d2 * math.sqrt(0.5)))
    return spot * cdf1 - strike * xp.exp(-rate * expiry) * cdf2


def options(lib: Any, *market: np.ndarray) -> Timed:
    """Prices and the five first-order greeks of every option."""

    def total(*market: Any) -> Any:
        return lib.np.sum(_call_price(lib.np, lib.erf, *market))

    def prices(*market: Any) -> Any:
        return _call_price(lib.np, lib.erf, *market)

    def both(*market: Any) -> Any:
        return prices(*market), lib.grad(total, argnums=(0, 1, 2, 3, 4))(*market)

    step, primal, market = lib.jit(both), lib.jit(prices), lib.array(market)
    return Timed(lambda: lib.ready(step(*market)), lambda: lib.ready(primal(*market)))


def options_torch(lib: Any, *market: np.ndarray) -> Any:
    market = lib.leaves(*market)
    prices = lib.compile(lambda *m: _call_price(lib.torch, lib.torch.erf, *m))

    def run() -> tuple:
        out = prices(*market)
        return out, lib.torch.autograd.grad(out.sum(), market)

    return run


def options_numpy(lib: Any, spot: Any, strike: Any, vol: Any, expiry: Any, rate: Any) -> Any:
    from scipy.special import ndtr

    def run() -> tuple:
        root = np.sqrt(expiry)
        d1 = (np.log(spot / strike) + (rate + 0.5 * vol * vol) * expiry) / (vol * root)
        cdf1, cdf2 = ndtr(d1), ndtr(d1 - vol * root)
        discount = np.exp(-rate * expiry)
        density = np.exp(-0.5 * d1 * d1) / math.sqrt(2 * math.pi)
        owed = strike * discount * cdf2
        greeks = (
            cdf1,
            -discount * cdf2,
            spot * density * root,
            spot * density * vol / (2 * root) + rate * owed,
            expiry * owed,
        )
        return spot * cdf1 - owed, greeks

    return run


def entropy_inputs(quick: bool) -> tuple:
    rng, shape = np.random.default_rng(0), (256, 1024) if quick else (2048, 1024)
    return rng.normal(size=shape) * 3, rng.integers(0, shape[1], shape[0])


def entropy(lib: Any, logits: np.ndarray, labels: np.ndarray) -> Timed:
    """Softmax cross entropy and its gradient by the logits."""

    def loss(logits: Any) -> Any:
        shifted = logits - lib.stop_gradient(lib.np.max(logits, axis=1, keepdims=True))
        norm = lib.np.log(lib.np.sum(lib.np.exp(shifted), axis=1))
        return lib.np.mean(norm - shifted[np.arange(len(labels)), labels])

    step, primal, logits = lib.jit(lib.value_and_grad(loss)), lib.jit(loss), lib.array(logits)
    return Timed(lambda: lib.ready(step(logits)), lambda: lib.ready(primal(logits)))


def entropy_torch(lib: Any, logits: np.ndarray, labels: np.ndarray) -> Any:
    (logits,), labels = lib.leaves(logits), lib.array(labels)
    loss = lib.compile(lambda x: lib.torch.nn.functional.cross_entropy(x, labels))

    def run() -> tuple:
        value = loss(logits)
        return value, lib.torch.autograd.grad(value, logits)[0]

    return run


def entropy_numpy(lib: Any, logits: np.ndarray, labels: np.ndarray) -> Any:
    rows = np.arange(len(labels))

    def run() -> tuple:
        shifted = logits - logits.max(axis=1, keepdims=True)
        picked = shifted[rows, labels]
        np.exp(shifted, out=shifted)
        norm = shifted.sum(axis=1, keepdims=True)
        shifted /= norm
        shifted[rows, labels] -= 1.0
        shifted /= len(labels)
        return np.mean(np.log(norm[:, 0]) - picked), shifted

    return run


ELEMENTWISE = (Target("jax", 0.9),)
PROBLEMS = [
    Problem(
        "tanh/exp chain 2e6",
        "elementwise",
        chain_inputs,
        chain,
        chain_torch,
        {"numpy": chain_numpy, "numba": chain_numba},
        targets=ELEMENTWISE,
    ),
    Problem(
        "tanh/exp chain 2e6, gradient",
        "elementwise",
        chain_inputs,
        chain_gradient,
        chain_gradient_torch,
        {"numpy": chain_gradient_numpy},
        autograd=True,
        targets=ELEMENTWISE,
    ),
    Problem(
        "memory-bound chain 8e6",
        "elementwise",
        memory_inputs,
        memory,
        memory_torch,
        {"numpy": memory_numpy},
        {"copy": copy_limit},
        targets=(*ELEMENTWISE, Target("copy", 1 / 0.7)),
    ),
    Problem(
        "Black-Scholes and greeks 2e5",
        "elementwise",
        options_inputs,
        options,
        options_torch,
        {"numpy": options_numpy},
        autograd=True,
        targets=ELEMENTWISE,
    ),
    Problem(
        "softmax cross entropy 2048x1024",
        "elementwise",
        entropy_inputs,
        entropy,
        entropy_torch,
        {"numpy": entropy_numpy},
        autograd=True,
        targets=ELEMENTWISE,
    ),
]
