"""Training step of one transformer block in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Problem, Timed
from benchmarks.jit_networks import GEMM, RATE, dense

HEADS = 4


def block_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    batch, length, width = (2, 16, 32) if quick else (8, 128, 128)
    params = {
        "scale1": np.ones(width, np.float32),
        "scale2": np.ones(width, np.float32),
        "qkv": dense(rng, width, 3 * width),
        "out": dense(rng, width, width),
        "up": dense(rng, width, 4 * width),
        "down": dense(rng, 4 * width, width),
    }
    x, y = (rng.normal(size=(batch, length, width)).astype(np.float32) for _ in range(2))
    return params, x, y


def _layer_norm(xp: Any, x: Any, scale: Any) -> Any:
    centred = x - xp.mean(x, axis=-1, keepdims=True)
    return centred / xp.sqrt(xp.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * scale


def _block(xp: Any, params: Any, x: Any) -> Any:
    """Pre-norm block: causal attention with four heads, then a two-layer network with tanh-GELU."""
    batch, length, width = x.shape
    split = (batch, length, 3, HEADS, width // HEADS)
    qkv = xp.reshape(_layer_norm(xp, x, params["scale1"]) @ params["qkv"], split)
    q, k, v = (xp.transpose(qkv[:, :, i], (0, 2, 1, 3)) for i in range(3))
    scores = q @ xp.swapaxes(k, -1, -2) * (width // HEADS) ** -0.5
    scores = xp.where(np.tri(length, dtype=bool), scores, -1e9)
    scores = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
    scores = scores / xp.sum(scores, axis=-1, keepdims=True)
    x = x + xp.reshape(xp.transpose(scores @ v, (0, 2, 1, 3)), (batch, length, width)) @ params["out"]
    h = _layer_norm(xp, x, params["scale2"]) @ params["up"]
    h = 0.5 * h * (1.0 + xp.tanh(0.7978845608 * (h + 0.044715 * h * h * h)))
    return x + h @ params["down"]


def block(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Timed:
    """Gradient-descent step of the block on a regression loss."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        return lib.np.mean((_block(lib.np, params, x) - y) ** 2)

    def step(params: Any, x: Any, y: Any) -> tuple:
        value, grads = lib.value_and_grad(loss)(params, x, y)
        return value, {name: params[name] - RATE * grads[name] for name in params}, grads

    compiled, primal, gradient = lib.jit(step), lib.jit(loss), lib.jit(lib.value_and_grad(loss))
    args = lib.array((params, x, y))
    return Timed(*(lambda f=f: lib.ready(f(*args)) for f in (compiled, primal, gradient)))


def block_torch(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    torch, functional = lib.torch, lib.torch.nn.functional
    names = list(params)
    flat = lib.leaves(*params.values())
    x, y = lib.array((x, y))
    batch, length, width = x.shape

    @lib.compile
    def loss(*flat: Any) -> Any:
        p = dict(zip(names, flat, strict=True))
        qkv = functional.layer_norm(x, (width,), p["scale1"]) @ p["qkv"]
        q, k, v = qkv.reshape(batch, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = x + mixed.transpose(1, 2).reshape(batch, length, width) @ p["out"]
        up = functional.layer_norm(h, (width,), p["scale2"]) @ p["up"]
        return functional.mse_loss(h + functional.gelu(up, approximate="tanh") @ p["down"], y)

    def run() -> tuple:
        value = loss(*flat)
        grads = torch.autograd.grad(value, flat)
        with torch.no_grad():
            moved = torch._foreach_sub(flat, grads, alpha=RATE)
        return value, dict(zip(names, moved, strict=True)), dict(zip(names, grads, strict=True))

    return run


PROBLEMS = [
    Problem(
        "transformer block step",
        "networks",
        block_inputs,
        block,
        block_torch,
        autograd=True,
        targets=GEMM,
        tolerance=1e-3,
    ),
]
