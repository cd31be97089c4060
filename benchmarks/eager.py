"""The eager path: no jit anywhere. Run alone with: python -m benchmarks.eager [--quick]."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import warnings
from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target
from benchmarks.jit_networks import RATE, dense, mlp_gradient_by_hand, mlp_loss


def small_inputs(size: int, quick: bool) -> tuple:
    return (np.random.default_rng(0).normal(size=size),)


def _small(xp: Any, blocks: int, x: Any) -> Any:
    """``blocks`` times five elementwise operations, then a sum."""
    for _ in range(blocks):
        x = xp.sin(x) * 0.9 + xp.exp(-x * x)
    return x.sum()


def small(blocks: int, lib: Any, x: np.ndarray) -> Any:
    """Gradient of a small function."""
    gradient, x = lib.grad(functools.partial(_small, lib.np, blocks)), lib.array(x)
    return lambda: lib.ready(gradient(x))


def small_torch(blocks: int, lib: Any, x: np.ndarray) -> Any:
    (x,) = lib.leaves(x)
    return lambda: lib.torch.autograd.grad(_small(lib.torch, blocks, x), x)[0]


def mixed_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    return rng.normal(size=20) * 0.3, rng.normal(size=(50, 20))


def _mixed(xp: Any, w: Any, a: Any) -> Any:
    """About twenty operations of several kinds: products, slices, broadcasts, a selection, reductions."""
    z = a @ w
    left, right = z[:25], z[25:]
    gap = left[:, None] - right[None, :]
    near = xp.where(gap > 0.0, gap, 0.1 * gap)
    spread = xp.sqrt(1.0 + near**2).mean()
    return spread + xp.log(xp.exp(z).sum()) + 0.5 * (w**2).sum() - z.reshape(5, 10).sum(0).max()


def mixed(lib: Any, w: np.ndarray, a: np.ndarray) -> Any:
    """Gradient of the mixed function."""
    gradient, (w, a) = lib.grad(functools.partial(_mixed, lib.np)), lib.array((w, a))
    return lambda: lib.ready(gradient(w, a))


def mixed_torch(lib: Any, w: np.ndarray, a: np.ndarray) -> Any:
    (w,), a = lib.leaves(w), lib.array(a)
    return lambda: lib.torch.autograd.grad(_mixed(lib.torch, w, a), w)[0]


def mlp_inputs(batch: int, sizes: tuple[int, ...], quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    params = [(dense(rng, a, b), np.zeros(b, np.float32)) for a, b in zip(sizes, sizes[1:], strict=False)]
    x = rng.normal(size=(batch, sizes[0])).astype(np.float32)
    return params, x, np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], batch)]


def _descend(params: Any, grads: Any) -> list:
    return [tuple(p - RATE * g for p, g in zip(*pair, strict=True)) for pair in zip(params, grads, strict=True)]


def mlp(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """Loss, gradient and gradient-descent update."""
    value_and_grad = lib.value_and_grad(functools.partial(mlp_loss, lib.np))
    params, x, y = lib.array((params, x, y))

    def run() -> Any:
        value, grads = value_and_grad(params, x, y)
        return lib.ready((value, _descend(params, grads)))

    return run


def mlp_torch(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    torch = lib.torch
    flat, x, target = lib.leaves(*(a for layer in params for a in layer)), lib.array(x), lib.array(y.argmax(1))

    def run() -> tuple:
        h = x
        for w, b in zip(flat[:-2:2], flat[1:-2:2], strict=True):
            h = torch.relu(torch.addmm(b, h, w))
        value = torch.nn.functional.cross_entropy(torch.addmm(flat[-1], h, flat[-2]), target)
        grads = torch.autograd.grad(value, flat)
        with torch.no_grad():
            return value, torch._foreach_sub(flat, grads, alpha=RATE)

    return run


def mlp_numpy(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    def run() -> tuple:
        value, grads = mlp_gradient_by_hand(params, x, y)
        return value, _descend(params, grads)

    return run


def hessian_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    return rng.normal(size=20) * 0.3, rng.normal(size=(40, 20))


def _twenty(xp: Any, w: Any, a: Any) -> Any:
    return xp.log(1.0 + xp.exp(a @ w)).sum() + (w[1:] * xp.sin(w[:-1])).sum()


def hessian(lib: Any, w: np.ndarray, a: np.ndarray) -> Any:
    """Hessian of a function of 20 parameters."""
    full, (w, a) = lib.hessian(functools.partial(_twenty, lib.np)), lib.array((w, a))
    return lambda: lib.ready(full(w, a))


def hessian_torch(lib: Any, w: np.ndarray, a: np.ndarray) -> Any:
    w, a = lib.array((w, a))
    full = lib.torch.func.hessian(functools.partial(_twenty, lib.torch))
    return lambda: full(w, a)


IMPORT = """
import sys, time
begin = time.perf_counter()
import {module}
print(time.perf_counter() - begin)
print(*(m for m in ("numba", "llvmlite", "cupy", "scipy.linalg", "scipy.stats", "scipy.optimize") if m in sys.modules))
"""


def import_seconds(module: str, bytecode: str) -> float:
    """Seconds that ``import module`` takes in a new interpreter; complains where it loads heavy packages."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT.format(module=module)],
        capture_output=True,
        text=True,
        env={**env, "PYTHONPYCACHEPREFIX": bytecode},
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    spent, heavy = done.stdout.split("\n", 1)
    if module == "fad" and heavy.strip():
        warnings.warn(f"import fad loads {heavy.strip()}", stacklevel=2)
    return float(spent)


def importing(lib: Any) -> Any:
    module = {"fad": "fad", "jax": "jax", "torch": "torch", "numpy": "numpy", "autograd": "autograd"}[lib.name]
    bytecode = tempfile.TemporaryDirectory()  # an installed package comes compiled, a checkout need not
    import_seconds(module, bytecode.name)
    return lambda: import_seconds(module, bytecode.name)


SMALL = (Target("autograd", 0.6), Target("jax", 0.1))


def _eager(name: str, *args: Any, **options: Any) -> Problem:
    options = {"autograd": True, "targets": SMALL, **options}
    return Problem(f"eager: {name}", "eager", *args, first_target=None, eager=True, **options)


PROBLEMS = [
    *(
        _eager(
            f"gradient, {5 * blocks} ops on {size}",
            functools.partial(small_inputs, size),
            functools.partial(small, blocks),
            functools.partial(small_torch, blocks),
        )
        for blocks, size in ((1, 10), (1, 1000), (4, 10), (10, 10), (10, 1000))
    ),
    _eager("gradient, mixed ops", mixed_inputs, mixed, mixed_torch),
    *(
        _eager(
            f"MLP step {'-'.join(map(str, sizes))}, batch {batch}",
            functools.partial(mlp_inputs, batch, sizes),
            mlp,
            mlp_torch,
            {"numpy": mlp_numpy},
            targets=(Target("numpy", 1.2),),
            tolerance=1e-3,
        )
        for batch, sizes in ((64, (64, 128, 10)), (256, (784, 256, 256, 10)))
    ),
    _eager("Hessian, 20 parameters", hessian_inputs, hessian, hessian_torch),
    _eager(
        "import",
        lambda quick: (),
        importing,
        importing,
        {"numpy": importing},
        targets=(Target("numpy", 1.5),),
        self_timed=True,
    ),
]

if __name__ == "__main__":
    from benchmarks.run import main

    main(["--only", "eager", *sys.argv[1:]])
