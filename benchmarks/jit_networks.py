"""Training steps of small networks in float32: matrix products and convolutions decide."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target, Timed

RATE, DECAY1, DECAY2, EPSILON = 1e-3, 0.9, 0.999, 1e-8


def dense(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal weights scaled by the fan in."""
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)


def mlp_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    batch, sizes = (64, (64, 128, 128, 10)) if quick else (512, (784, 512, 512, 10))
    params = [(dense(rng, a, b), np.zeros(b, np.float32)) for a, b in zip(sizes, sizes[1:], strict=False)]
    x = rng.normal(size=(batch, sizes[0])).astype(np.float32)
    return params, x, np.eye(sizes[-1], dtype=np.float32)[rng.integers(0, sizes[-1], batch)]


def mlp_loss(xp: Any, params: Any, x: Any, y: Any) -> Any:
    """Cross entropy of a ReLU network."""
    *hidden, (w_last, b_last) = params
    for w, b in hidden:
        x = xp.maximum(x @ w + b, 0.0)
    z = x @ w_last + b_last
    z = z - xp.max(z, axis=1, keepdims=True)
    return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - xp.sum(z * y, axis=1))


def adam(xp: Any, params: Any, grads: Any, first: Any, second: Any, count: Any) -> tuple:
    """One Adam update (Kingma and Ba, 2015) over lists of (weight, bias)."""
    count = count + 1
    fix1, fix2 = 1.0 - DECAY1**count, 1.0 - DECAY2**count
    new_params, new_first, new_second = [], [], []
    for layer in zip(params, grads, first, second, strict=True):
        moved = []
        for p, g, m, v in zip(*layer, strict=True):
            m, v = DECAY1 * m + (1.0 - DECAY1) * g, DECAY2 * v + (1.0 - DECAY2) * g * g
            moved.append((p - RATE * (m / fix1) / (xp.sqrt(v / fix2) + EPSILON), m, v))
        p, m, v = zip(*moved, strict=True)
        new_params.append(p)
        new_first.append(m)
        new_second.append(v)
    return new_params, new_first, new_second, count


def mlp(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Timed:
    """Loss, gradient and Adam update of a three-layer network."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        return mlp_loss(lib.np, params, x, y)

    def step(params: Any, first: Any, second: Any, count: Any, x: Any, y: Any) -> tuple:
        value, grads = lib.value_and_grad(loss)(params, x, y)
        return value, adam(lib.np, params, grads, first, second, count)

    step, primal, gradient = lib.jit(step), lib.jit(loss), lib.jit(lib.value_and_grad(loss))
    zeros = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]
    params, first, second, count, x, y = lib.array((params, zeros, zeros, np.array(0.0, np.float32), x, y))

    def run() -> Any:
        value, (new, _, _, _) = lib.ready(step(params, first, second, count, x, y))
        return value, new

    return Timed(run, *(lambda f=f: lib.ready(f(params, x, y)) for f in (primal, gradient)))


def mlp_torch(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    torch = lib.torch
    flat = lib.leaves(*(a for layer in params for a in layer))
    x, target = lib.array(x), lib.array(y.argmax(1))
    optimizer = torch.optim.Adam(flat, lr=RATE, betas=(DECAY1, DECAY2), eps=EPSILON, fused=True)

    @lib.compile
    def loss(*flat: Any) -> Any:
        h = x
        for w, b in zip(flat[:-2:2], flat[1:-2:2], strict=True):
            h = torch.relu(torch.addmm(b, h, w))
        return torch.nn.functional.cross_entropy(torch.addmm(flat[-1], h, flat[-2]), target)

    def run() -> tuple:
        optimizer.zero_grad()
        value = loss(*flat)
        value.backward()
        optimizer.step()
        return value, flat

    return run


def mlp_gradient_by_hand(params: Any, x: np.ndarray, y: np.ndarray) -> tuple:
    """Loss and gradients as a careful person would write them."""
    inputs = [x]
    for w, b in params[:-1]:
        h = inputs[-1] @ w
        h += b
        inputs.append(np.maximum(h, 0, out=h))
    w, b = params[-1]
    z = inputs[-1] @ w + b
    z -= z.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    loss = np.mean(np.log(total[:, 0]) - (z * y).sum(axis=1))
    e /= total
    e -= y
    e /= np.float32(len(x))
    grads = []
    for (w, _), h in zip(params[::-1], inputs[::-1], strict=True):
        grads.append((h.T @ e, e.sum(axis=0)))
        if h is not x:
            e = e @ w.T
            e *= h > 0
    return loss, grads[::-1]


def mlp_numpy(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    zeros = [(np.zeros_like(w), np.zeros_like(b)) for w, b in params]

    def run() -> tuple:
        loss, grads = mlp_gradient_by_hand(params, x, y)
        return loss, adam(np, params, grads, zeros, zeros, np.float32(0.0))[0]

    return run


def mlp_products(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """The limit: the step's matrix products alone, through BLAS, into memory already there."""
    jobs, h = [], x
    for i, (w, _) in enumerate(params):
        out = np.ones((len(h), w.shape[1]), np.float32)
        jobs += [(h, w), (h.T, out)] + ([(out, w.T)] if i else [])
        h = out
    outs = [np.empty((a.shape[0], b.shape[1]), np.float32) for a, b in jobs]

    def run() -> np.ndarray:
        for (a, b), out in zip(jobs, outs, strict=True):
            np.matmul(a, b, out=out)
        return outs[0]

    return run


def conv_inputs(quick: bool) -> tuple:
    rng, batch = np.random.default_rng(0), 8 if quick else 64
    params = [
        (dense(rng, 3, 3, 1, 16), np.zeros(16, np.float32)),
        (dense(rng, 3, 3, 16, 32), np.zeros(32, np.float32)),
        (dense(rng, 7 * 7 * 32, 10), np.zeros(10, np.float32)),
    ]
    x = rng.normal(size=(batch, 28, 28, 1)).astype(np.float32)
    return params, x, np.eye(10, dtype=np.float32)[rng.integers(0, 10, batch)]


def conv(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Timed:
    """Gradient-descent step of two 3x3 convolutions with ReLU and 2x2 max pooling, one dense layer; NHWC."""

    def loss(params: Any, x: Any, y: Any) -> Any:
        for w, b in params[:2]:
            x = lib.max_pool(lib.np.maximum(lib.conv(x, w) + b, 0.0))
        return mlp_loss(lib.np, params[2:], lib.np.reshape(x, (x.shape[0], -1)), y)

    def step(params: Any, x: Any, y: Any) -> tuple:
        value, grads = lib.value_and_grad(loss)(params, x, y)
        moved = [tuple(p - RATE * g for p, g in zip(*pair, strict=True)) for pair in zip(params, grads, strict=True)]
        return value, moved

    compiled, primal, gradient = lib.jit(step), lib.jit(loss), lib.jit(lib.value_and_grad(loss))
    args = lib.array((params, x, y))
    return Timed(*(lambda f=f: lib.ready(f(*args)) for f in (compiled, primal, gradient)))


def conv_torch(lib: Any, params: Any, x: np.ndarray, y: np.ndarray) -> Any:
    """PyTorch's own layout, NCHW; results are turned back for the comparison."""
    torch = lib.torch
    functional = torch.nn.functional
    (w1, b1), (w2, b2), (w3, b3) = params
    w3 = w3.reshape(7, 7, 32, 10).transpose(2, 0, 1, 3).reshape(-1, 10)
    flat = lib.leaves(w1.transpose(3, 2, 0, 1), b1, w2.transpose(3, 2, 0, 1), b2, w3, b3)
    x, target = lib.array(np.ascontiguousarray(x.transpose(0, 3, 1, 2))), lib.array(y.argmax(1))

    @lib.compile
    def loss(*flat: Any) -> Any:
        h = x
        for w, b in (flat[:2], flat[2:4]):
            h = functional.max_pool2d(torch.relu(functional.conv2d(h, w, b, padding=1)), 2)
        return functional.cross_entropy(torch.addmm(flat[5], h.flatten(1), flat[4]), target)

    def run() -> tuple:
        value = loss(*flat)
        grads = torch.autograd.grad(value, flat)
        with torch.no_grad():
            w1, b1, w2, b2, w3, b3 = torch._foreach_sub(flat, grads, alpha=RATE)
            w3 = w3.reshape(32, 7, 7, 10).permute(1, 2, 0, 3).reshape(-1, 10)
        return value, [(w1.permute(2, 3, 1, 0), b1), (w2.permute(2, 3, 1, 0), b2), (w3, b3)]

    return run


GEMM = (Target("jax", 1.0), Target("torch", 1.0), Target("torch-compile", 1.0))
PROBLEMS = [
    Problem(
        "MLP step with Adam",
        "networks",
        mlp_inputs,
        mlp,
        mlp_torch,
        {"numpy": mlp_numpy},
        {"blas": mlp_products},
        autograd=True,
        targets=(*GEMM, Target("blas", 1.15)),
        tolerance=1e-3,
    ),
    Problem(
        "convolutional step 28x28",
        "networks",
        conv_inputs,
        conv,
        conv_torch,
        targets=GEMM,
        tolerance=1e-3,
        unsupported="convolution too slow to be of use",
    ),
]
