"""Small problems: what counts is the cost of a call, of a trace, and of a new shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target, Timed


def scalar_inputs(quick: bool) -> tuple:
    return (np.array(0.7),)


def scalar(lib: Any, x: np.ndarray) -> Timed:
    """Gradient of sin(x) x^2 + exp(-x) at one number: nothing but call overhead."""

    def f(x: Any) -> Any:
        return lib.np.sin(x) * x**2 + lib.np.exp(-x)

    x = lib.array(x)
    gradient, primal = lib.jit(lib.grad(f)), lib.jit(f)
    return Timed(lambda: lib.ready(gradient(x)), lambda: lib.ready(primal(x)))


def scalar_torch(lib: Any, x: np.ndarray) -> Any:
    torch = lib.torch
    (x,) = lib.leaves(x)
    f = lib.compile(lambda x: torch.sin(x) * x**2 + torch.exp(-x))
    return lambda: torch.autograd.grad(f(x), x)[0]


def _scalar_formula(x: float) -> float:
    return math.cos(x) * x * x + 2.0 * x * math.sin(x) - math.exp(-x)


def scalar_numpy(lib: Any, x: np.ndarray) -> Any:
    return lambda: np.cos(x) * x**2 + 2.0 * x * np.sin(x) - np.exp(-x)


def scalar_numba(lib: Any, x: np.ndarray) -> Any:
    compiled, value = lib.jit(_scalar_formula), float(x)
    return lambda: compiled(value)


def logistic_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 10))
    return rng.normal(size=10) * 0.1, x, (x @ rng.normal(size=10) > 0).astype(np.float64)


def logistic(lib: Any, w: np.ndarray, x: np.ndarray, y: np.ndarray) -> Timed:
    """Loss and gradient of logistic regression, 200 points, 10 weights."""

    def loss(w: Any, x: Any, y: Any) -> Any:
        z = x @ w
        return lib.np.mean(lib.np.logaddexp(0.0, z) - y * z)

    args = lib.array((w, x, y))
    step, primal = lib.jit(lib.value_and_grad(loss)), lib.jit(loss)
    return Timed(lambda: lib.ready(step(*args)), lambda: lib.ready(primal(*args)))


def logistic_torch(lib: Any, w: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
    torch = lib.torch
    (w,) = lib.leaves(w)
    x, y = lib.array((x, y))
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    loss = lib.compile(lambda w: bce(x @ w, y))

    def run() -> tuple:
        value = loss(w)
        return value, torch.autograd.grad(value, w)[0]

    return run


def logistic_numpy(lib: Any, w: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
    def run() -> tuple:
        z = x @ w
        value = np.mean(np.logaddexp(0.0, z) - y * z)
        return value, x.T @ (1.0 / (1.0 + np.exp(-z)) - y) / len(y)

    return run


def logistic_numba(lib: Any, w: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
    @lib.jit
    def step(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple:
        value, gradient = 0.0, np.zeros_like(w)
        for i in range(len(y)):
            z = 0.0
            for j in range(len(w)):
                z += x[i, j] * w[j]
            e = math.exp(-abs(z))
            value += max(z, 0.0) + math.log1p(e) - y[i] * z
            slope = (1.0 / (1.0 + e) if z >= 0 else e / (1.0 + e)) - y[i]
            for j in range(len(w)):
                gradient[j] += slope * x[i, j]
        return value / len(y), gradient / len(y)

    return lambda: step(w, x, y)


def fifth_inputs(quick: bool) -> tuple:
    return (np.linspace(-2.0, 2.0, 1_000 if quick else 10_000),)


def fifth(lib: Any, x: np.ndarray) -> Any:
    """Fifth derivative of tanh at many points: five nested reverse sweeps under vmap."""
    f = lib.np.tanh
    for _ in range(5):
        f = lib.grad(f)
    mapped, x = lib.jit(lib.vmap(f)), lib.array(x)
    return lambda: lib.ready(mapped(x))


def fifth_torch(lib: Any, x: np.ndarray) -> Any:
    f = lib.torch.tanh
    for _ in range(5):
        f = lib.torch.func.grad(f)
    mapped, x = lib.compile(lib.torch.vmap(f)), lib.array(x)
    return lambda: mapped(x)


def fifth_numpy(lib: Any, x: np.ndarray) -> Any:
    def run() -> np.ndarray:
        t2 = np.tanh(x) ** 2  # d5 tanh = (1 - t2)(16 - 120 t2 + 120 t2^2), with t2 = tanh^2
        return (1.0 - t2) * (16.0 + 120.0 * t2 * (t2 - 1.0))

    return run


def batch_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(1)
    w1, w2 = rng.normal(size=(20, 32)) / 5, rng.normal(size=(32, 5)) / 5
    return w1, w2, rng.normal(size=(4000, 20)), rng.normal(size=(4000, 5))


def batch(lib: Any, w1: np.ndarray, w2: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
    """One gradient step of a small network whose batch has a size never seen before."""

    def loss(weights: Any, x: Any, y: Any) -> Any:
        return lib.np.mean((lib.np.tanh(x @ weights[0]) @ weights[1] - y) ** 2)

    weights = lib.array((w1, w2))
    step, size = lib.jit(lib.value_and_grad(loss)), [64]

    def run() -> Any:
        size[0] += 1
        return lib.ready(step(weights, lib.array(x[: size[0]]), lib.array(y[: size[0]])))

    return run


def batch_torch(lib: Any, w1: np.ndarray, w2: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
    torch, weights, size = lib.torch, lib.leaves(w1, w2), [64]
    loss = lib.compile(lambda w1, w2, x, y: ((torch.tanh(x @ w1) @ w2 - y) ** 2).mean())

    def run() -> tuple:
        size[0] += 1
        value = loss(*weights, lib.array(x[: size[0]]), lib.array(y[: size[0]]))
        return value, torch.autograd.grad(value, weights)

    return run


def unrolled_inputs(quick: bool) -> tuple:
    return (np.linspace(0.1, 1.0, 100),)


def _unrolled(sin: Any, x: Any) -> Any:
    for i in range(100):
        x = sin(x) * (1.0 + 0.01 * i)
    return x.sum()


def unrolled(lib: Any, x: np.ndarray) -> Timed:
    """Gradient through a Python loop of 200 operations on 100 numbers: what counts is the first call."""
    x = lib.array(x)
    gradient, primal = (
        lib.jit(f) for f in (lib.grad(lambda x: _unrolled(lib.np.sin, x)), lambda x: _unrolled(lib.np.sin, x))
    )
    return Timed(lambda: lib.ready(gradient(x)), lambda: lib.ready(primal(x)))


def unrolled_torch(lib: Any, x: np.ndarray) -> Any:
    (x,) = lib.leaves(x)
    f = lib.compile(lambda x: _unrolled(lib.torch.sin, x))
    return lambda: lib.torch.autograd.grad(f(x), x)[0]


PROBLEMS = [
    Problem(
        "scalar function",
        "small",
        scalar_inputs,
        scalar,
        scalar_torch,
        {"numpy": scalar_numpy, "numba": scalar_numba},
        autograd=True,
        targets=(Target("jax", 0.35),),
    ),
    Problem(
        "logistic regression 200x10",
        "small",
        logistic_inputs,
        logistic,
        logistic_torch,
        {"numpy": logistic_numpy, "numba": logistic_numba},
        autograd=True,
        targets=(Target("jax", 0.35),),
    ),
    Problem(
        "5th derivative of tanh",
        "small",
        fifth_inputs,
        fifth,
        fifth_torch,
        {"numpy": fifth_numpy},
        targets=(Target("jax", 0.9),),
        unsupported="no vmap",
    ),
    Problem(
        "new batch size each call",
        "small",
        batch_inputs,
        batch,
        batch_torch,
        autograd=True,
        targets=(Target("jax", 0.05),),
        fresh_every_call=True,
    ),
    Problem(
        "unrolled loop, 200 ops",
        "small",
        unrolled_inputs,
        unrolled,
        unrolled_torch,
        autograd=True,
        targets=(Target("jax", 0.35),),
    ),
]
