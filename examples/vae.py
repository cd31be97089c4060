"""A variational autoencoder of handwritten digits, with gradients through the random codes.

Run it with ``python -m examples.vae``. It prints the bound on the log likelihood of held-out digits, by one sample and by importance weighting, and writes a picture: digits,
their reconstructions, new digits drawn from the model, and the plane between four codes.

Kingma and Welling, "Auto-Encoding Variational Bayes", 2014; Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2016.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import fad
import fad.data
import fad.numpy as fnp
import fad.optim as optim
import fad.random as random
from fad.train import State, fit, make_step

WIDTH, CODES = 256, 10


def load(key: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images of 64 brightnesses in [0, 1]: a part to train on, a part held out."""
    images = (load_digits().data / 16.0).astype(np.float32)
    return fad.data.split(key, images, 0.85)


def dense_params(key: Any, inputs: int, outputs: int) -> dict[str, Any]:
    """Weights of variance 1 / inputs, zero biases."""
    scale = np.float32(1.0 / np.sqrt(inputs))
    return {"w": scale * random.normal(key, (inputs, outputs), np.float32), "b": fnp.zeros(outputs, dtype=np.float32)}


def init(key: Any) -> dict[str, Any]:
    """Parameters of encoder and decoder."""
    sizes = {
        "encode": (64, WIDTH),
        "encode_more": (WIDTH, WIDTH),
        "code": (WIDTH, 2 * CODES),
        "decode": (CODES, WIDTH),
        "decode_more": (WIDTH, WIDTH),
        "image": (WIDTH, 2 * 64),
    }
    keys = random.split(key, len(sizes))
    return {name: dense_params(k, *size) for (name, size), k in zip(sizes.items(), keys)}


def dense(p: dict[str, Any], x: Any) -> Any:
    """An affine map."""
    return x @ p["w"] + p["b"]


def silu(x: Any) -> Any:
    """X times its logistic function."""
    return x * 0.5 * (1.0 + fnp.tanh(0.5 * x))


def encode(params: Any, x: Any) -> tuple[Any, Any]:
    """Mean and log deviation of the codes of images."""
    hidden = silu(dense(params["encode_more"], silu(dense(params["encode"], x))))
    return tuple(fnp.split(dense(params["code"], hidden), 2, axis=-1))


def decode(params: Any, z: Any) -> tuple[Any, Any]:
    """Mean and log deviation of the images of codes."""
    hidden = silu(dense(params["decode_more"], silu(dense(params["decode"], z))))
    mean, log_deviation = fnp.split(dense(params["image"], hidden), 2, axis=-1)
    # No pixel is known better than the 17 grey levels of the scans allow.
    return 0.5 * (1.0 + fnp.tanh(0.5 * mean)), fnp.log(1.0 / 32.0 + fnp.exp(log_deviation - 2.0))


def log_normal(x: Any, mean: Any, log_deviation: Any) -> Any:
    """Log density of independent normals, summed over the last axis."""
    standard = (x - mean) * fnp.exp(-log_deviation)
    return -0.5 * fnp.sum(standard**2 + 2.0 * log_deviation + math.log(2 * math.pi), axis=-1)


def log_weights(params: Any, x: Any, key: Any) -> Any:
    """Log p(x, z) - log q(z | x) for one code z of each image; its mean is the bound."""
    mean, log_deviation = encode(params, x)
    # The code as a function of noise: so the gradient passes through it.
    z = mean + fnp.exp(log_deviation) * random.normal(key, mean.shape, mean.dtype)
    zero = fnp.zeros((), dtype=mean.dtype)
    return log_normal(x, *decode(params, z)) + log_normal(z, zero, zero) - log_normal(z, mean, log_deviation)


def loss_fn(params: Any, x: Any, key: Any) -> Any:
    """The negative bound, a mean over the batch."""
    return -fnp.mean(log_weights(params, x, key))


def bounds(params: Any, x: Any, key: Any, samples: int) -> tuple[float, float]:
    """Mean bound by one sample, and the tighter one by many (an estimate of the log likelihood from below)."""
    weights = fad.jit(fad.vmap(lambda k: log_weights(params, x, k)))(random.split(key, samples))
    tight = fnp.logsumexp(weights, axis=0) - np.log(samples)
    return float(fnp.mean(weights)), float(fnp.mean(tight))


def draw(params: Any, held_out: np.ndarray, history: Any, key: Any, folder: Path) -> list[Path]:
    """Write the pictures; gives their paths."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    shown = held_out[:12]
    again = np.asarray(decode(params, encode(params, shown)[0])[0])
    new = np.asarray(decode(params, random.normal(key, (36, CODES), np.float32))[0])
    corners = np.asarray(encode(params, held_out[20:24])[0])
    a, b = np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 3))
    mixing = np.stack([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b], axis=-1).reshape(36, 4)
    between = np.asarray(decode(params, (mixing @ corners).astype(np.float32))[0])
    rows = [("held out", shown), ("reconstructed", again), ("new", new), ("between four codes", between)]

    figure, axes = plt.subplots(
        len(rows), 1, figsize=(8, 6.4), height_ratios=[len(r) // 12 for _, r in rows], layout="constrained"
    )
    for panel, (title, images) in zip(axes, rows):
        tiles = np.pad(images.reshape(-1, 12, 8, 8), ((0, 0), (0, 0), (0, 1), (0, 1)))
        panel.imshow(tiles.transpose(0, 2, 1, 3).reshape(-1, 12 * 9), cmap="gray_r", vmin=0, vmax=1)
        panel.set_title(title, fontsize=10)
        panel.set_axis_off()
    figure.savefig(folder / "digits.png", dpi=120)

    figure, panel = plt.subplots(figsize=(6, 3.5), layout="constrained")
    panel.plot(history.steps["loss"], history.values["loss"], color="0.8", label="batches")
    panel.plot(history.steps["held out"], history.values["held out"], "C0", label="held out")
    top = np.percentile(history.values["loss"], 98)
    panel.set(xlabel="step", ylabel="negative bound (nats)", ylim=(min(history.values["loss"]) - 2, top))
    panel.legend()
    figure.savefig(folder / "loss.png", dpi=120)
    plt.close("all")
    return [folder / "digits.png", folder / "loss.png"]


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--samples", type=int, default=200, help="codes of each image for the tight bound")
    parser.add_argument("--folder", type=Path, default=Path("examples/results/vae"))
    options = parser.parse_args(arguments)

    split_key, init_key, train_key, batch_key, test_key, draw_key = random.split(random.key(0), 6)
    train, held_out = load(split_key)
    batches = fad.data.batches(batch_key, train, 64, epochs=options.epochs, last="drop")
    schedule = optim.warmup_cosine_decay_schedule(0.0, 2e-3, min(50, len(batches) // 4), len(batches))
    optimizer = optim.chain(optim.clip_by_global_norm(50.0), optim.adamw(schedule, weight_decay=0.01))
    test_loss = fad.jit(loss_fn)
    run = fit(
        make_step(loss_fn, optimizer),
        State.create(init(init_key), optimizer, train_key),
        batches,
        evaluate=lambda state: {"held out": test_loss(state.params, held_out, test_key)},
        evaluate_every=5 * batches.per_epoch,
    )

    params = run.state.params
    one, many = bounds(params, held_out, test_key, options.samples)
    result = {"train": -run.history.latest("loss"), "held out": one, "held out, tight": many}
    for name, value in result.items():
        print(f"{name:>16}: log density at least {value:.2f} nats per image")
    for path in draw(params, held_out, run.history, draw_key, options.folder):
        print(f"wrote {path}")
    return result


if __name__ == "__main__":
    main()
