"""Train a small network on scikit-learn's handwritten digits, as a researcher would write it.

Run it with ``make demo``, or ``python -m examples.demo --steps 100 --folder /tmp/pictures``. It prints train and held-out accuracy, checks its own
gradient against finite differences, and writes two pictures: the loss curve, and held-out digits with the network's answers.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import fad
import fad.numpy as fnp
import fad.optim as optim
import fad.random as random
from fad.testing import check_grads

LAYERS = (64, 128, 64, 10)


def load(held_out: float = 0.2) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """The 1797 images of 8 x 8 pixels, scaled to [-1, 1], split into a part to train on and a part held out."""
    digits = load_digits()
    images, labels = digits.data / 8.0 - 1.0, digits.target
    order = np.random.default_rng(0).permutation(len(images))
    cut = int(len(images) * (1 - held_out))
    train, rest = order[:cut], order[cut:]
    return (images[train], labels[train]), (images[rest], labels[rest])


def init(key: Any) -> dict[str, Any]:
    """Weights with variance 2 / inputs (He et al. 2015), zero biases."""
    keys = random.split(key, len(LAYERS) - 1)
    return {
        f"layer{i}": {"w": random.normal(k, (n, m)) * fnp.sqrt(2.0 / n), "b": fnp.zeros(m)}
        for i, (k, n, m) in enumerate(zip(keys, LAYERS, LAYERS[1:]))
    }


def logits_of(params: dict[str, Any], x: Any) -> Any:
    """The network: two hidden layers with ReLU."""
    for i in range(len(LAYERS) - 1):
        x = x @ params[f"layer{i}"]["w"] + params[f"layer{i}"]["b"]
        x = fnp.maximum(x, 0.0) if i < len(LAYERS) - 2 else x
    return x


def loss_fn(params: dict[str, Any], batch: tuple[Any, Any]) -> Any:
    """Mean cross entropy."""
    x, y = batch
    logits = logits_of(params, x)
    chosen = fnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]
    return fnp.mean(fnp.logsumexp(logits, axis=1) - chosen)


def accuracy(params: dict[str, Any], data: tuple[Any, Any]) -> float:
    """Share of right answers."""
    x, y = data
    return float(fnp.mean(fnp.argmax(logits_of(params, x), axis=1) == y))


def train(key: Any, data: tuple[Any, Any], steps: int, batch_size: int = 64) -> tuple[dict[str, Any], list[float]]:
    """Parameters after some steps of Adam with a cosine schedule, and the loss at each step."""
    key, init_key = random.split(key)
    params = init(init_key)
    optimizer = optim.adamw(optim.cosine_decay_schedule(4e-3, steps), weight_decay=1e-2)
    state = optimizer.init(params)

    @fad.jit
    def step(key: Any, params: Any, state: Any, batch: Any) -> Any:
        x, y = batch
        noisy = x + 0.3 * random.normal(key, x.shape)  # so that the network does not learn single pixels by heart
        loss, gradient = fad.value_and_grad(loss_fn)(params, (noisy, y))
        updates, state = optimizer.update(gradient, state, params)
        return optim.apply_updates(params, updates), state, loss

    losses = []
    bar = tqdm(range(steps), desc="training", unit="step")
    for i in bar:
        choice_key, noise_key = random.split(random.fold_in(key, i))
        rows = np.asarray(random.randint(choice_key, (batch_size,), 0, len(data[0])))
        params, state, loss = step(noise_key, params, state, (data[0][rows], data[1][rows]))
        losses.append(float(loss))
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    return params, losses


def draw(params: dict[str, Any], losses: list[float], held_out: tuple[Any, Any], folder: Path) -> list[Path]:
    """Write the pictures; gives their paths."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.semilogy(losses, color="0.8", label="each step")
    window = max(len(losses) // 50, 1)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.semilogy(np.arange(len(smooth)) + window - 1, smooth, color="C0", label=f"mean of {window}")
    axes.set(xlabel="step", ylabel="cross entropy", title="Loss on the training batches")
    axes.legend()
    figure.savefig(folder / "loss.png", dpi=120)

    images, labels = held_out
    answers = np.asarray(fnp.argmax(logits_of(params, images), axis=1))
    wrong, right = np.flatnonzero(answers != labels), np.flatnonzero(answers == labels)
    shown = np.concatenate([wrong[:8], right[: 24 - len(wrong[:8])]])
    figure, grid = plt.subplots(3, 8, figsize=(8, 4), layout="constrained")
    for axes, k in zip(grid.flat, shown):
        axes.imshow(images[k].reshape(8, 8), cmap="gray_r")
        good = answers[k] == labels[k]
        axes.set_title(
            f"{answers[k]}" if good else f"{answers[k]} (is {labels[k]})",
            color="black" if good else "crimson",
            fontsize=9,
        )
        axes.set_axis_off()
    figure.suptitle("Held-out digits and the network's answers; mistakes first")
    figure.savefig(folder / "digits.png", dpi=120)
    plt.close("all")
    return [folder / "loss.png", folder / "digits.png"]


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, check, report; gives the two accuracies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=Path("examples/results/demo"))
    options = parser.parse_args(arguments)

    train_data, held_out = load()
    few = train_data[0][:4], train_data[1][:4]
    check_grads(lambda p: loss_fn(p, few), (init(random.key(1)),), order=1)
    print("gradient of loss_fn agrees with finite differences, in both modes")

    params, losses = train(random.key(0), train_data, options.steps)
    result = {"train": accuracy(params, train_data), "held out": accuracy(params, held_out)}
    for name, value in result.items():
        print(f"{name:>8} accuracy: {100 * value:.2f} %")
    for path in draw(params, losses, held_out, options.folder):
        print(f"wrote {path}")
    return result


if __name__ == "__main__":
    main()
