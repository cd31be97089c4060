"""Hessians, per-example gradients and a mixture likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target, Timed


def hessian_inputs(quick: bool) -> tuple:
    rng, width = np.random.default_rng(0), 4 if quick else 16
    shapes = ((3, width), (width, width), (width, 1))
    theta = np.concatenate([rng.normal(size=a * b) / np.sqrt(a) for a, b in shapes])
    return theta, rng.normal(size=(64, 3)), rng.normal(size=(64, 1)), shapes


def _network_loss(xp: Any, theta: Any, x: Any, y: Any, shapes: Any) -> Any:
    at = 0
    for i, (a, b) in enumerate(shapes):
        x = x @ theta[at : at + a * b].reshape(a, b)
        x = xp.tanh(x) if i < len(shapes) - 1 else x
        at += a * b
    return ((x - y) ** 2).mean()


def hessian(lib: Any, theta: np.ndarray, x: np.ndarray, y: np.ndarray, shapes: tuple) -> Any:
    """Full Hessian of a small network's loss by its 320 weights."""
    compiled = lib.jit(lib.hessian(lambda theta, x, y: _network_loss(lib.np, theta, x, y, shapes)))
    args = lib.array((theta, x, y))
    return lambda: lib.ready(compiled(*args))


def hessian_torch(lib: Any, theta: np.ndarray, x: np.ndarray, y: np.ndarray, shapes: tuple) -> Any:
    theta, x, y = lib.array((theta, x, y))
    compiled = lib.compile(lib.torch.func.hessian(lambda t: _network_loss(lib.torch, t, x, y, shapes)))
    return lambda: compiled(theta)


def examples_inputs(quick: bool) -> tuple:
    rng, batch = np.random.default_rng(0), 32 if quick else 256
    params = [(rng.normal(size=s) / np.sqrt(s[0]), np.zeros(s[1])) for s in ((32, 64), (64, 10))]
    return params, rng.normal(size=(batch, 32)), np.eye(10)[rng.integers(0, 10, batch)]


def _one_example(xp: Any, params: Any, x: Any, y: Any) -> Any:
    (w1, b1), (w2, b2) = params
    z = xp.tanh(x @ w1 + b1) @ w2 + b2
    z = z - z.max()
    return xp.log(xp.exp(z).sum()) - (z * y).sum()


def examples(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Timed:
    """vmap(grad): the gradient of every example's loss, for 256 examples of a two-layer network."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        return _one_example(lib.np, params, x, y)

    compiled = lib.jit(lib.vmap(lib.grad(loss), in_axes=(None, 0, 0)))
    primal = lib.jit(lib.vmap(loss, in_axes=(None, 0, 0)))
    args = lib.array((params, x, y))
    return Timed(lambda: lib.ready(compiled(*args)), lambda: lib.ready(primal(*args)))


def examples_torch(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    torch = lib.torch
    one = torch.func.grad(lambda p, x, y: _one_example(torch, p, x, y))
    compiled, args = lib.compile(torch.vmap(one, in_dims=(None, 0, 0))), lib.array((params, x, y))
    return lambda: compiled(*args)


def examples_numpy(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    (w1, b1), (w2, b2) = params

    def run() -> list:
        h = np.tanh(x @ w1 + b1)
        z = h @ w2 + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        dz = e / e.sum(axis=1, keepdims=True) - y
        dh = dz @ w2.T * (1.0 - h * h)
        return [(x[:, :, None] * dh[:, None, :], dh), (h[:, :, None] * dz[:, None, :], dz)]

    return run


def mixture_inputs(quick: bool) -> tuple:
    rng, (n, k, d) = np.random.default_rng(0), (200, 4, 2) if quick else (5000, 10, 4)
    params = {"logits": rng.normal(size=k), "means": rng.normal(size=(k, d)), "scales": rng.normal(size=(k, d)) * 0.1}
    return params, rng.normal(size=(n, d))


def _mixture(xp: Any, params: Any, x: Any) -> Any:
    z = (x[:, None, :] - params["means"]) * xp.exp(-params["scales"])
    weights = params["logits"] - xp.log(xp.exp(params["logits"]).sum())
    terms = weights - 0.5 * (z * z).sum(2) - params["scales"].sum(1) - 0.5 * x.shape[1] * math.log(2 * math.pi)
    top = terms.max(1) if xp.__name__ != "torch" else terms.amax(1)
    return (top + xp.log(xp.exp(terms - top[:, None]).sum(1))).sum()


def mixture(lib: Any, params: Any, x: np.ndarray) -> Timed:
    """Log likelihood of a diagonal Gaussian mixture (5000 points, 10 components, 4 dimensions) and its gradient."""

    def f(params: Any, x: Any) -> Any:
        return _mixture(lib.np, params, x)

    compiled, primal, args = lib.jit(lib.value_and_grad(f)), lib.jit(f), lib.array((params, x))
    return Timed(lambda: lib.ready(compiled(*args)), lambda: lib.ready(primal(*args)))


def mixture_torch(lib: Any, params: Any, x: np.ndarray) -> Any:
    torch, names = lib.torch, list(params)
    flat, x = lib.leaves(*params.values()), lib.array(x)
    f = lib.compile(lambda *flat: _mixture(torch, dict(zip(names, flat, strict=True)), x))

    def run() -> tuple:
        value = f(*flat)
        return value, dict(zip(names, torch.autograd.grad(value, flat), strict=True))

    return run


HIGHER = (Target("jax", 0.8),)
PROBLEMS = [
    Problem(
        "Hessian of a small MLP",
        "derivatives",
        hessian_inputs,
        hessian,
        hessian_torch,
        autograd=True,
        targets=HIGHER,
    ),
    Problem(
        "per-example gradients",
        "derivatives",
        examples_inputs,
        examples,
        examples_torch,
        {"numpy": examples_numpy},
        targets=HIGHER,
        unsupported="no vmap",
    ),
    Problem(
        "Gaussian mixture likelihood",
        "derivatives",
        mixture_inputs,
        mixture,
        mixture_torch,
        autograd=True,
        targets=HIGHER,
    ),
]
