"""A convolutional network for handwritten digits: batch norm, dropout, augmentation, all from ``fad.nn``, ``fad.optim``, ``fad.data`` and ``fad.train``.

Run it with ``python -m examples.digits_convnet``. It prints a table of the network and its accuracy, and writes two pictures: how training went, and the held-out digits that it
gets wrong or is least sure of.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

import fad
import fad.data
import fad.nn as nn
import fad.numpy as fnp
import fad.optim as optim
import fad.random as random
import fad.viz
from fad.train import State, fit, make_step

PIXELS = np.stack(np.meshgrid(np.arange(8.0) - 3.5, np.arange(8.0) - 3.5, indexing="ij"), axis=-1)
PIXELS = PIXELS.reshape(64, 2).astype(np.float32)


def load(key: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Images (n, 8, 8, 1) in [0, 1] and labels: a part to train on, a part held out."""
    digits = load_digits()
    images = (digits.data / 16.0).astype(np.float32).reshape(-1, 8, 8, 1)
    return fad.data.split(key, {"image": images, "label": digits.target}, 0.8)


def network(width: int) -> nn.Sequential:
    """Three convolutions, two poolings, one linear layer."""
    return nn.Sequential(
        nn.Conv(1, width, 3),
        nn.BatchNorm(width),
        nn.relu,
        nn.Conv(width, width, 3),
        nn.BatchNorm(width),
        nn.relu,
        nn.MaxPool(2),
        nn.Conv(width, 2 * width, 3),
        nn.BatchNorm(2 * width),
        nn.relu,
        nn.MaxPool(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(2 * 2 * 2 * width, 10),
    )


def augmented(key: Any, images: Any) -> Any:
    """Images turned, stretched and shifted a little, by bilinear interpolation."""
    map_key, shift_key = random.split(key)
    count = len(images)
    maps = np.eye(2, dtype=np.float32) + 0.07 * random.normal(map_key, (count, 2, 2), np.float32)
    shifts = random.uniform(shift_key, (count, 1, 2), np.float32, minval=-0.6, maxval=0.6)
    places = PIXELS @ maps + shifts
    # The weight of pixel q at place p falls to zero one pixel away.
    weights = fnp.maximum(0.0, 1.0 - fnp.abs(places[:, :, None, :] - PIXELS)).prod(axis=-1)
    return (weights @ images.reshape(count, 64, 1)).reshape(images.shape)


def predict(model: nn.Sequential, params: Any, statistics: Any, images: Any) -> Any:
    """Log probabilities of the ten digits, in the mode for use."""
    return nn.log_softmax(model(params, images, state=statistics)[0])


def draw(log_p: np.ndarray, held_out: dict[str, np.ndarray], history: Any, folder: Path) -> list[Path]:
    """Write the pictures; gives their paths."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    fad.viz.loss_curves(history, ["loss", "held out loss"], log=True).savefig(folder / "loss.png", dpi=120)
    sure = log_p[np.arange(len(log_p)), held_out["label"]]
    figure, grid = plt.subplots(3, 8, figsize=(8, 4), layout="constrained")
    for axes, k in zip(grid.flat, np.argsort(sure)):
        axes.imshow(held_out["image"][k, :, :, 0], cmap="gray_r")
        answer, label = log_p[k].argmax(), held_out["label"][k]
        axes.set_title(
            f"{label}: {100 * np.exp(sure[k]):.0f} %" if answer == label else f"{answer}, is {label}",
            color="black" if answer == label else "crimson",
            fontsize=9,
        )
        axes.set_axis_off()
    figure.suptitle("Held-out digits the network is least sure of; mistakes in red")
    figure.savefig(folder / "digits.png", dpi=120)
    plt.close("all")
    return [folder / "loss.png", folder / "digits.png"]


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, measure, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--folder", type=Path, default=Path("examples/results/digits_convnet"))
    options = parser.parse_args(arguments)

    split_key, init_key, train_key, batch_key = random.split(random.key(0), 4)
    train, held_out = load(split_key)
    model = network(options.width)
    params, statistics = model.init(init_key, np.float32), model.init_state(np.float32)
    print(nn.summary(model, params))

    def loss(params: Any, statistics: Any, batch: Any, key: Any) -> Any:
        warp_key, dropout_key = random.split(key)
        images = augmented(warp_key, batch["image"])
        logits, statistics = model(params, images, state=statistics, key=dropout_key, train=True)
        return nn.cross_entropy(logits, batch["label"], label_smoothing=0.05), statistics

    @fad.jit
    def held_out_metrics(params: Any, statistics: Any, held_out: Any) -> dict[str, Any]:
        log_p = predict(model, params, statistics, held_out["image"])
        right = fnp.argmax(log_p, axis=-1) == held_out["label"]
        return {"held out loss": nn.nll(log_p, held_out["label"]), "held out accuracy": fnp.mean(right)}

    batches = fad.data.batches(batch_key, train, 64, epochs=options.epochs, last="drop")
    optimizer = optim.adamw(
        optim.warmup_cosine_decay_schedule(0.0, 3e-3, len(batches) // 10, len(batches)), weight_decay=1e-3
    )
    run = fit(
        make_step(loss, optimizer, stateful=True),
        State.create(params, optimizer, train_key, extra=statistics),
        batches,
        evaluate=lambda state: held_out_metrics(state.params, state.extra, held_out),
        evaluate_every=2 * batches.per_epoch,
    )

    log_p = {
        name: np.asarray(predict(model, run.state.params, run.state.extra, part["image"]))
        for name, part in (("train", train), ("held out", held_out))
    }
    result = {
        name: float(np.mean(log_p[name].argmax(axis=-1) == part["label"]))
        for name, part in (("train", train), ("held out", held_out))
    }
    for name, value in result.items():
        print(f"{name:>8} accuracy: {100 * value:.2f} %")
    for path in draw(log_p["held out"], held_out, run.history, options.folder):
        print(f"wrote {path}")
    return result


if __name__ == "__main__":
    main()
