"""A transformer that learns to write Python, character by character, from the sources of the standard library.

Run it with ``python -m examples.char_transformer``. Some files are held out; it prints the loss on them in nats per character, lets the network go on from the beginning of a
function in one of them (with a cache of keys and values), and draws the loss. The network: rotary positions (Su et al. 2021), root mean square norms before each part (Zhang and
Sennrich 2019), gated units (Shazeer 2020).
"""

from __future__ import annotations

import argparse
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fad
import fad.data
import fad.nn as nn
import fad.numpy as fnp
import fad.optim as optim
import fad.random as random
import fad.viz
from fad.train import State, fit, make_step

CHARACTERS = "\n" + "".join(map(chr, range(32, 127)))
CODES = np.full(256, CHARACTERS.index("?"), np.uint8)
CODES[[ord(c) for c in CHARACTERS]] = np.arange(len(CHARACTERS))


def load() -> tuple[np.ndarray, np.ndarray]:
    """The codes of the standard library's modules: of nine files in ten to train on, of every tenth held out."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [CODES[np.frombuffer(path.read_bytes(), np.uint8)] for path in files]
    return np.concatenate([t for k, t in enumerate(texts) if k % 10]), np.concatenate(texts[::10])


def windows(codes: np.ndarray, length: int) -> np.ndarray:
    """Overlapping pieces of ``length + 1`` characters, without a copy."""
    return np.lib.stride_tricks.sliding_window_view(codes, length + 1)[:: max(length // 4, 1)]


@dataclass(frozen=True)
class Block(nn.Layer):
    """Attention, then a gated unit, each added to its input."""

    features: int
    heads: int

    def children(self) -> dict[str, nn.Layer]:
        wide = 2 * self.features
        return {
            "norm": nn.RMSNorm(self.features),
            "attention": nn.MultiHeadAttention(self.features, self.heads, causal=True, rotary_base=10000.0, bias=False),
            "gate_norm": nn.RMSNorm(self.features),
            "gate": nn.Linear(self.features, 2 * wide, bias=False),
            "back": nn.Linear(wide, self.features, bias=False),
        }

    def unit(self, params: Any, x: Any) -> Any:
        """The gated unit."""
        gate, value = fnp.split(self.call("gate", params, self.call("gate_norm", params, x)[0])[0], 2, axis=-1)
        return x + self.call("back", params, nn.silu(gate) * value)[0]

    def __call__(self, params: Any, x: Any) -> Any:
        x = x + self.call("attention", params, self.call("norm", params, x)[0])[0]
        return self.unit(params, x)

    def decode(self, params: Any, x: Any, cache: Any) -> tuple[Any, Any]:
        """The same for the next characters, with the keys and values of those before."""
        y, cache = self.children()["attention"].decode(params["attention"], self.call("norm", params, x)[0], cache)
        return self.unit(params, x + y), cache


@dataclass(frozen=True)
class Writer(nn.Layer):
    """Logits of the next character at every position."""

    features: int
    heads: int
    depth: int

    def children(self) -> dict[str, nn.Layer]:
        blocks = {f"block{k}": Block(self.features, self.heads) for k in range(self.depth)}
        size = len(CHARACTERS)
        return {
            "embedding": nn.Embedding(size, self.features),
            **blocks,
            "norm": nn.RMSNorm(self.features),
            "logits": nn.Linear(self.features, size, bias=False),
        }

    def __call__(self, params: Any, codes: Any) -> Any:
        x = codes
        for name in self.children():
            x, _ = self.call(name, params, x)
        return x

    def decode(self, params: Any, codes: Any, caches: Any) -> tuple[Any, Any]:
        """Logits after the next characters, and the caches."""
        x, new = self.call("embedding", params, codes)[0], {}
        for name, layer in self.children().items():
            if isinstance(layer, Block):
                x, new[name] = layer.decode(params[name], x, caches[name])
        return self.call("logits", params, self.call("norm", params, x)[0])[0], new

    def caches(self, length: int) -> Any:
        """Empty caches for one text."""
        attention = {n: b.children()["attention"] for n, b in self.children().items() if isinstance(b, Block)}
        return {name: layer.init_cache((), length, np.float32) for name, layer in attention.items()}


def write(model: Writer, params: Any, key: Any, start: np.ndarray, count: int, temperature: float) -> np.ndarray:
    """Codes of a sample that goes on from ``start``.

    The network knows distances up to the length it was trained on, twice that of ``start``: so after as many characters again it goes on from the last ones.
    """
    half = len(start)

    @fad.jit
    def go_on(params: Any, key: Any, prompt: Any) -> Any:
        logits, caches = model.decode(params, prompt, model.caches(2 * half))

        def one(carry: Any, key: Any) -> Any:
            logits, caches = carry
            code = random.categorical(key, logits / temperature)
            logits, caches = model.decode(params, code[None], caches)
            return (logits[-1], caches), code

        return fad.scan(one, (logits[-1], caches), random.split(key, half))[1]

    codes = start
    for k in range(-(-count // half)):
        codes = np.concatenate([codes, np.asarray(go_on(params, random.fold_in(key, k), codes[-half:]))])
    return codes[: half + count]


def text_of(codes: np.ndarray) -> str:
    """The characters of codes."""
    return "".join(CHARACTERS[c] for c in codes)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train, measure, write, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=96, help="characters that the network sees while it learns")
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--sample", type=int, default=600, help="characters to write at the end")
    parser.add_argument("--test-windows", type=int, default=512)
    parser.add_argument("--folder", type=Path, default=Path("examples/results/char_transformer"))
    options = parser.parse_args(arguments)

    init_key, train_key, batch_key, write_key = random.split(random.key(0), 4)
    train_codes, held_out_codes = load()
    train, held_out = windows(train_codes, options.length), windows(held_out_codes, options.length)
    test = np.ascontiguousarray(held_out[:: max(len(held_out) // options.test_windows, 1)][: options.test_windows])
    model = Writer(options.features, options.heads, options.depth)
    params = model.init(init_key, np.float32)
    print(f"{sum(p.size for p in fad.tree.leaves(params)):,} parameters, {len(train):,} windows of text")

    def loss(params: Any, codes: Any, key: Any = None) -> Any:
        return nn.cross_entropy(model(params, codes[:, :-1]), codes[:, 1:])

    test_loss = fad.jit(loss)

    def evaluate(state: State) -> dict[str, float]:
        parts = [float(test_loss(state.params, part)) for part in test.reshape(-1, min(64, len(test)), test.shape[1])]
        return {"held out": float(np.mean(parts))}

    schedule = optim.warmup_cosine_decay_schedule(0.0, 3e-3, min(100, options.steps // 4), options.steps)
    optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.adamw(schedule, b2=0.98, weight_decay=0.05))
    batches = fad.data.batches(batch_key, train, options.batch, epochs=None, last="drop")
    run = fit(
        make_step(loss, optimizer),
        State.create(params, optimizer, train_key),
        batches,
        steps=options.steps,
        evaluate=evaluate,
        evaluate_every=max(options.steps // 10, 1),
    )

    first = text_of(held_out_codes).index("\ndef ") + 1
    start = held_out_codes[first : first + options.length // 2]
    sample = text_of(write(model, run.state.params, write_key, start, options.sample, temperature=0.6))
    print(f"{'-' * 80}\n{sample[: len(start)]}|{sample[len(start) :]}\n{'-' * 80}")
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "sample.txt").write_text(sample + "\n")
    figure = fad.viz.loss_curves(run.history)
    figure.axes[0].set_ylabel("nats per character")
    figure.savefig(options.folder / "loss.png", dpi=120)
    result = {"train": float(np.mean(run.history.values["loss"][-50:])), "held out": run.history.latest("held out")}
    print(f"loss in nats per character: {result['train']:.3f} in training, {result['held out']:.3f} on held-out files")
    print(f"wrote {options.folder / 'loss.png'} and {options.folder / 'sample.txt'}")
    return result


if __name__ == "__main__":
    main()
