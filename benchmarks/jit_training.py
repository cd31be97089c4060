"""Training steps with each library's own layers and optimizers: fad.nn and fad.optim, flax and optax, torch.nn and torch.optim.

Parameters are lists in fad's layout, so that results can be compared. Adam's ``eps`` is large, which changes no operation: with the usual one its
first step is the sign of each gradient, and rounding decides those of the gradients that are zero.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.harness import Problem, Timed
from benchmarks.jit_networks import GEMM, dense

RATE, EPSILON = 1e-3, 1e-3


def optimizers(lib: Any) -> ModuleType:
    """``fad.optim``, or optax, whose names it has."""
    return importlib.import_module("optax" if lib.name == "jax" else "fad.optim")


# --- the optimizer alone ------------------------------------------------------------------------------------------------


def many_inputs(quick: bool) -> tuple:
    """A hundred weights and biases, and their gradients."""
    rng, width = np.random.default_rng(0), 16 if quick else 128
    shapes = [(width, width), (width,)] * 100
    return tuple([rng.normal(size=s).astype(np.float32) for s in shapes] for _ in range(2))


def adam_step(lib: Any, params: list, grads: list) -> Callable[[], Any]:
    """Steps of Adam, one after another: each gives its parameters and its state to the next, whose results take their memory."""
    optim = optimizers(lib)
    optimizer = optim.adam(RATE)

    def step(params: Any, state: Any, grads: Any) -> tuple:
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    compiled, (params, grads) = lib.jit(step, donate_argnums=(0, 1)), lib.array((params, grads))
    now = [params, optimizer.init(params)]

    def run() -> list:
        now[:] = lib.ready(compiled(*now, grads))
        return now[0]

    return run


def adam_step_torch(lib: Any, params: list, grads: list) -> Callable[[], Any]:
    """In place: PyTorch's fused step, or what its compiler makes of the one for lists."""
    leaves = lib.leaves(*params)
    for leaf, grad in zip(leaves, grads, strict=True):
        leaf.grad = lib.array(grad)
    compiles = lib.name == "torch-compile"
    optimizer = lib.torch.optim.Adam(leaves, lr=RATE, fused=not compiles, foreach=compiles)
    step = lib.compile(optimizer.step)

    def run() -> list:
        step()
        return leaves

    return run


# --- a whole step -----------------------------------------------------------------------------------------------------------


def training_step(
    lib: Any, logits: Callable, params: list, x: np.ndarray, labels: np.ndarray, back: Callable = list
) -> Timed:
    """Loss, gradient and AdamW update of a classifier ``logits(params, x)``; gives loss, gradient and new parameters.

    ``back`` gives what is compared of lists like the parameters.
    """
    optim = optimizers(lib)
    optimizer = optim.adamw(RATE, eps=EPSILON, weight_decay=1e-4)

    def loss(params: Any, x: Any, labels: Any) -> Any:
        if lib.name == "jax":
            return optim.softmax_cross_entropy_with_integer_labels(logits(params, x), labels).mean()
        return importlib.import_module("fad.nn").cross_entropy(logits(params, x), labels)

    def step(params: Any, state: Any, x: Any, labels: Any) -> tuple:
        value, grads = lib.value_and_grad(loss)(params, x, labels)
        updates, state = optimizer.update(grads, state, params)
        return value, grads, optim.apply_updates(params, updates), state

    compiled, primal, gradient = lib.jit(step), lib.jit(loss), lib.jit(lib.value_and_grad(loss))
    params, x, labels = lib.array((params, x, labels))
    state = optimizer.init(params)

    def run() -> tuple:
        value, grads, moved, _ = lib.ready(compiled(params, state, x, labels))
        return value, back(grads), back(moved)

    return Timed(run, *(lambda f=f: lib.ready(f(params, x, labels)) for f in (primal, gradient)))


def training_step_torch(lib: Any, logits: Callable, leaves: list, x: Any, labels: Any, back: Callable) -> Callable:
    """The same in place; ``back`` gives fad's layout."""
    torch = lib.torch
    optimizer = torch.optim.AdamW(leaves, lr=RATE, eps=EPSILON, weight_decay=1e-4)

    @lib.compile
    def loss(x: Any, labels: Any) -> Any:
        out = logits(leaves, x)
        return torch.nn.functional.cross_entropy(out.reshape(-1, out.shape[-1]), labels.reshape(-1))

    def run() -> tuple:
        optimizer.zero_grad()
        value = loss(x, labels)
        value.backward()
        grads = [p.grad for p in leaves]
        optimizer.step()
        return value, back(grads), back(leaves)

    return run


# --- the convolutional network of examples/digits_convnet.py, without dropout and augmentation -------------------------------

WIDTHS = (1, 32, 32, 64)


def convnet_inputs(quick: bool) -> tuple:
    rng, batch = np.random.default_rng(0), 8 if quick else 64
    params = []
    for inputs, outputs in zip(WIDTHS, WIDTHS[1:], strict=False):
        params += [dense(rng, 3, 3, inputs, outputs), np.ones(outputs, np.float32), np.zeros(outputs, np.float32)]
    params += [dense(rng, 4 * WIDTHS[-1], 10), np.zeros(10, np.float32)]
    x = rng.normal(size=(batch, 8, 8, 1)).astype(np.float32)
    return params, x, rng.integers(0, 10, batch)


def _fad_convnet() -> Callable:
    nn = importlib.import_module("fad.nn")
    first, second, third = (nn.Conv(a, b, 3, bias=False) for a, b in zip(WIDTHS, WIDTHS[1:], strict=False))
    norms = [nn.BatchNorm(n) for n in WIDTHS[1:]]
    pool, last = nn.MaxPool(2), nn.Linear(4 * WIDTHS[-1], 10)
    layers = (first, norms[0], nn.relu, second, norms[1], nn.relu, pool, third, norms[2], nn.relu, pool, nn.Flatten())
    model = nn.Sequential(*layers, last)
    state = model.init_state(np.float32)

    def logits(p: Any, x: Any) -> Any:
        tree: dict[str, Any] = {name: {} for name in model.names}
        for k, place in enumerate((0, 3, 7)):
            tree[f"{place}"] = {"weight": p[3 * k]}
            tree[f"{place + 1}"] = {"weight": p[3 * k + 1], "bias": p[3 * k + 2]}
        tree["12"] = {"weight": p[9], "bias": p[10]}
        return model(tree, x, state=state, train=True)[0]

    return logits


def _flax_convnet() -> Callable:
    flax = importlib.import_module("flax.linen")

    class Network(flax.Module):
        @flax.compact
        def __call__(self, x: Any) -> Any:
            for k, width in enumerate(WIDTHS[1:]):
                x = flax.Conv(width, (3, 3), use_bias=False)(x)
                x = flax.relu(flax.BatchNorm(use_running_average=False, momentum=0.9)(x))
                if k:
                    x = flax.max_pool(x, (2, 2), (2, 2))
            return flax.Dense(10)(x.reshape(len(x), -1))

    def logits(p: Any, x: Any) -> Any:
        tree, stats = {"Dense_0": {"kernel": p[9], "bias": p[10]}}, {}
        for k, width in enumerate(WIDTHS[1:]):
            tree[f"Conv_{k}"] = {"kernel": p[3 * k]}
            tree[f"BatchNorm_{k}"] = {"scale": p[3 * k + 1], "bias": p[3 * k + 2]}
            stats[f"BatchNorm_{k}"] = {"mean": np.zeros(width, np.float32), "var": np.ones(width, np.float32)}
        return Network().apply({"params": tree, "batch_stats": stats}, x, mutable=["batch_stats"])[0]

    return logits


def convnet(lib: Any, params: list, x: np.ndarray, labels: np.ndarray) -> Timed:
    logits = (_flax_convnet if lib.name == "jax" else _fad_convnet)()
    return training_step(lib, logits, params, x, labels)


def convnet_torch(lib: Any, params: list, x: np.ndarray, labels: np.ndarray) -> Callable:
    """PyTorch's own layout, NCHW."""
    functional = lib.torch.nn.functional
    *convs, weight, bias = params
    flat = [np.ascontiguousarray(p.transpose(3, 2, 0, 1)) if p.ndim == 4 else p for p in convs]
    flat += [weight.reshape(2, 2, -1, 10).transpose(3, 2, 0, 1).reshape(10, -1), bias]

    def logits(p: Any, x: Any) -> Any:
        for k in range(3):
            x = functional.conv2d(x, p[3 * k], padding=1)
            x = functional.batch_norm(x, None, None, p[3 * k + 1], p[3 * k + 2], training=True)
            x = functional.relu(x)
            if k:
                x = functional.max_pool2d(x, 2)
        return functional.linear(x.flatten(1), p[9], p[10])

    def back(p: Any) -> list:
        moved = [q.permute(2, 3, 1, 0) if q.ndim == 4 else q for q in p[:9]]
        return [*moved, p[9].reshape(10, -1, 2, 2).permute(2, 3, 1, 0).reshape(-1, 10), p[10]]

    x = lib.array(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    return training_step_torch(lib, logits, lib.leaves(*flat), x, lib.array(labels), back)


# --- a transformer ----------------------------------------------------------------------------------------------------------

PARTS = ("attention_norm", "query", "key", "value", "output", "feed_norm", "feed_in", "feed_out")
CHARACTERS, HEADS = 96, 4


def transformer_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    batch, length, width, depth = (2, 16, 32, 1) if quick else (16, 64, 128, 2)
    params = [dense(rng, CHARACTERS, width)]
    for _ in range(depth):
        for part in PARTS:
            inputs = 4 * width if part == "feed_out" else width
            outputs = 4 * width if part == "feed_in" else width
            norm = part.endswith("norm")
            params += [np.ones(width, np.float32) if norm else dense(rng, inputs, outputs)]
            params += [rng.normal(scale=0.1, size=outputs).astype(np.float32)]
    # No bias starts at zero: Adam's first step from there is the sign of a gradient, which bfloat16 does not keep.
    params += [dense(rng, width, CHARACTERS), rng.normal(scale=0.1, size=CHARACTERS).astype(np.float32)]
    codes = rng.integers(0, CHARACTERS, (batch, length + 1))
    return params, codes[:, :-1], codes[:, 1:]


def _blocks(params: Any) -> list[dict[str, tuple[Any, Any]]]:
    """The weight and bias of each part, for each block."""
    pairs = list(zip(params[1:-2:2], params[2:-2:2], strict=True))
    return [dict(zip(PARTS, pairs[k : k + len(PARTS)], strict=True)) for k in range(0, len(pairs), len(PARTS))]


def _comparable(params: Any) -> list:
    """All but the biases of keys: the softmax takes no notice of them, so their gradients are rounding alone."""
    keys = 1 + 2 * PARTS.index("key") + 1
    return [p for k, p in enumerate(params) if (k - keys) % (2 * len(PARTS)) or k == len(params) - 1]


def _fad_transformer(width: int) -> Callable:
    nn = importlib.import_module("fad.nn")
    gelu = functools.partial(nn.gelu, approximate="tanh")
    block = nn.TransformerEncoderBlock(width, HEADS, activation=gelu, causal=True)
    embedding, last = nn.Embedding(CHARACTERS, width), nn.Linear(width, CHARACTERS)

    def logits(params: Any, codes: Any) -> Any:
        x = embedding({"weight": params[0]}, codes)
        for parts in _blocks(params):
            tree: dict[str, Any] = {name: {"weight": w, "bias": b} for name, (w, b) in parts.items()}
            tree["attention"] = {name: tree.pop(name) for name in ("query", "key", "value", "output")}
            x = block(tree, x)
        return last({"weight": params[-2], "bias": params[-1]}, x)

    return logits


def _flax_transformer(width: int, dtype: Any) -> Callable:
    flax, jax = importlib.import_module("flax.linen"), importlib.import_module("jax")

    class Block(flax.Module):
        @flax.compact
        def __call__(self, x: Any) -> Any:
            h = flax.LayerNorm(epsilon=1e-5, dtype=dtype)(x)
            mask = flax.make_causal_mask(x[..., 0])
            x = x + flax.MultiHeadDotProductAttention(HEADS, dtype=dtype)(h, mask=mask)
            h = flax.Dense(4 * width, dtype=dtype)(flax.LayerNorm(epsilon=1e-5, dtype=dtype)(x))
            return x + flax.Dense(width, dtype=dtype)(flax.gelu(h))

    def part(pair: tuple, *shape: int) -> dict[str, Any]:
        weight, bias = pair
        return {"kernel": weight.reshape(*shape) if shape else weight, "bias": bias}

    def logits(params: Any, codes: Any) -> Any:
        x, size = params[0][codes], width // HEADS
        for parts in _blocks(params):
            attention = {n: part(parts[n], width, HEADS, size) for n in ("query", "key", "value")}
            attention = {n: {**p, "bias": p["bias"].reshape(HEADS, size)} for n, p in attention.items()}
            tree = {
                "LayerNorm_0": dict(zip(("scale", "bias"), parts["attention_norm"], strict=True)),
                "MultiHeadDotProductAttention_0": {**attention, "out": part(parts["output"], HEADS, size, width)},
                "LayerNorm_1": dict(zip(("scale", "bias"), parts["feed_norm"], strict=True)),
                "Dense_0": part(parts["feed_in"]),
                "Dense_1": part(parts["feed_out"]),
            }
            x = Block().apply({"params": tree}, x)
        last = flax.Dense(CHARACTERS, dtype=dtype)
        return last.apply({"params": part((params[-2], params[-1]))}, x).astype(jax.numpy.float32)

    return logits


def transformer(lib: Any, params: list, codes: np.ndarray, labels: np.ndarray, half: bool = False) -> Timed:
    width = params[0].shape[1]
    if lib.name == "jax":
        dtype = importlib.import_module("jax.numpy").bfloat16 if half else None
        return training_step(lib, _flax_transformer(width, dtype), params, codes, labels, _comparable)
    logits = _fad_transformer(width)
    if half:
        logits = importlib.import_module("fad").autocast(logits, dtype="bfloat16")
    return training_step(lib, logits, params, codes, labels, _comparable)


def transformer_torch(lib: Any, params: list, codes: np.ndarray, labels: np.ndarray, half: bool = False) -> Callable:
    torch, functional = lib.torch, lib.torch.nn.functional
    width = params[0].shape[1]
    flat = [np.ascontiguousarray(p.T) if p.ndim == 2 and k else p for k, p in enumerate(params)]

    def body(p: Any, codes: Any) -> Any:
        x = functional.embedding(codes, p[0])
        for parts in _blocks(p):
            f = SimpleNamespace(**parts)
            h = functional.layer_norm(x, (width,), *f.attention_norm)
            q, k, v = (
                functional.linear(h, *pair).unflatten(-1, (HEADS, -1)).transpose(1, 2)
                for pair in (f.query, f.key, f.value)
            )
            mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + functional.linear(mixed.transpose(1, 2).flatten(2), *f.output)
            h = functional.layer_norm(x, (width,), *f.feed_norm)
            x = x + functional.linear(
                functional.gelu(functional.linear(h, *f.feed_in), approximate="tanh"), *f.feed_out
            )
        return functional.linear(x, p[-2], p[-1])

    def logits(p: Any, codes: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            out = body(p, codes)
        return out.float()

    def back(p: Any) -> list:
        return _comparable([q.T if q.ndim == 2 and k else q for k, q in enumerate(p)])

    return training_step_torch(lib, logits, lib.leaves(*flat), *lib.array((codes, labels)), back)


PROBLEMS = [
    Problem("Adam over 200 arrays", "training", many_inputs, adam_step, adam_step_torch, targets=GEMM, tolerance=1e-5),
    Problem(
        "convolutional network step", "training", convnet_inputs, convnet, convnet_torch, targets=GEMM, tolerance=1e-3
    ),
    Problem(
        "transformer step", "training", transformer_inputs, transformer, transformer_torch, targets=GEMM, tolerance=1e-3
    ),
    Problem(
        "transformer step, bfloat16",
        "training",
        transformer_inputs,
        functools.partial(transformer, half=True),
        functools.partial(transformer_torch, half=True),
        targets=GEMM,
        # Against the float32 gradient, the largest error of any leaf is 0.015 in fad, 0.014 in PyTorch and 0.10 in JAX, which
        # sums the gradients of biases in bfloat16.
        tolerance=0.15,
    ),
]
