"""Bayesian logistic regression on the breast-cancer data, by Hamiltonian Monte Carlo over ``fad.grad``, many chains at once by ``fad.vmap``.

Run it with ``python -m examples.bayesian_logistic``. It prints the split R-hat of every coefficient, how far posterior means and deviations are from a long reference
run kept in ``examples/bayesian_reference.json`` (made by ``--record``), and draws the posterior.

The sampler: leapfrog steps of random number (Neal, "MCMC using Hamiltonian dynamics", 2011), step size by dual averaging (Hoffman and Gelman, JMLR 15, 2014) and a
diagonal metric from the first half of the warm-up, shared by all chains.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer

import fad
import fad.numpy as fnp
import fad.random as random

REFERENCE = Path(__file__).with_name("bayesian_reference.json")
PRIOR_SCALE = 2.0
TARGET = 0.85  # acceptance


def load() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Standardised measurements with a column of ones, labels (1 = benign), names."""
    data = load_breast_cancer()
    x = (data.data - data.data.mean(axis=0)) / data.data.std(axis=0)
    return (
        np.column_stack([np.ones(len(x)), x]),
        data.target.astype(float),
        ["intercept", *map(str, data.feature_names)],
    )


def log_posterior(w: Any, x: Any, y: Any) -> Any:
    """Up to a constant: logistic likelihood, independent normal priors."""
    logits = x @ w
    return fnp.sum(y * logits - fnp.logaddexp(0.0, logits)) - 0.5 * fnp.sum((w / PRIOR_SCALE) ** 2)


class Chain(NamedTuple):
    """A place in parameter space, with the log density and its gradient there."""

    w: Any
    log_density: Any
    gradient: Any


def transition(key: Any, chain: Chain, density: Any, step_size: Any, scales: Any, longest: int) -> tuple[Chain, Any]:
    """One Hamiltonian step of one chain; gives the acceptance probability too."""
    momentum_key, accept_key = random.split(key)
    momentum = random.normal(momentum_key, chain.w.shape)

    def leap(_: Any, moving: Any) -> Any:
        at, p = moving
        p = p + 0.5 * step_size * scales * at.gradient
        w = at.w + step_size * scales * p
        log_density, gradient = fad.value_and_grad(density)(w)
        return Chain(w, log_density, gradient), p + 0.5 * step_size * scales * gradient

    end, last_momentum = fad.fori_loop(0, longest, leap, (chain, momentum))
    change = end.log_density - chain.log_density - 0.5 * (last_momentum @ last_momentum - momentum @ momentum)
    change = fnp.where(fnp.isnan(change), -fnp.inf, change)
    accepted = fnp.log(random.uniform(accept_key)) < change
    kept = fad.tree.map(lambda new, old: fnp.where(accepted, new, old), end, chain)
    return kept, fnp.exp(fnp.minimum(change, 0.0))


def sampler(density: Any, longest: int) -> Any:
    """Jitted function that moves all chains a number of times, tuning the step size towards the target acceptance if asked to."""

    def run(key: Any, chains: Chain, log_step: Any, scales: Any, count: int, tune: bool) -> Any:
        def one(carry: Any, k: Any) -> Any:
            chains, log_step, average, error = carry
            jitter_key, *keys = random.split(random.fold_in(key, k), len(chains.w) + 1)
            # Trajectories of one length can run in circles: the step varies, the same in all chains.
            step_size = fnp.exp(log_step) * random.uniform(jitter_key, minval=0.6, maxval=1.0)
            chains, accepted = fad.vmap(lambda key, chain: transition(key, chain, density, step_size, scales, longest))(
                fnp.stack(keys), chains
            )
            if tune:  # Hoffman and Gelman's dual averaging, with their constants
                t = k + 1.0
                error = error + (TARGET - fnp.mean(accepted) - error) / (t + 10.0)
                log_step = fnp.log(10.0) + start - fnp.sqrt(t) / 0.05 * error
                average = average + t**-0.75 * (log_step - average)
            return (chains, log_step, average, error), (chains.w, fnp.mean(accepted))

        start = log_step
        (chains, _, average, _), (draws, accepted) = fad.scan(
            one, (chains, log_step, log_step, fnp.zeros(())), fnp.arange(count)
        )
        return chains, average, draws, fnp.mean(accepted)

    return fad.jit(run, static_argnames=("count", "tune"))


def sample(key: Any, x: Any, y: Any, chains: int, warmup: int, draws: int, longest: int) -> tuple[np.ndarray, float]:
    """Draws of shape (draws, chains, coefficients), and the mean acceptance."""
    density = lambda w: log_posterior(w, x, y)  # noqa: E731
    run = sampler(density, longest)
    start_key, first_key, second_key, last_key = random.split(key, 4)
    w = random.normal(start_key, (chains, x.shape[1]))
    state = Chain(w, *fad.vmap(fad.value_and_grad(density))(w))
    state, log_step, early, _ = run(
        first_key, state, fnp.log(fnp.asarray(0.05)), fnp.ones(x.shape[1]), count=warmup, tune=True
    )
    settled = early[warmup // 2 :].reshape(-1, x.shape[1])
    scales = fnp.std(settled, axis=0)
    state, log_step, _, _ = run(second_key, state, fnp.log(fnp.asarray(0.1)), scales, count=warmup, tune=True)
    _, _, found, accepted = run(last_key, state, log_step, scales, count=draws, tune=False)
    return np.asarray(found), float(accepted)


def split_r_hat(draws: np.ndarray) -> np.ndarray:
    """Potential scale reduction of each coefficient over half chains (Gelman et al., Bayesian Data Analysis, 2013, section 11.4)."""
    half = len(draws) // 2
    parts = np.concatenate([draws[:half], draws[half : 2 * half]], axis=1)
    within = parts.var(axis=0, ddof=1).mean(axis=0)
    between = half * parts.mean(axis=0).var(axis=0, ddof=1)
    return np.sqrt(((half - 1) / half * within + between / half) / within)


def effective_size(draws: np.ndarray) -> np.ndarray:
    """Effective number of draws, from the autocorrelation summed up to its first negative pair (Geyer 1992)."""
    count, chains, _ = draws.shape
    centred = draws - draws.mean(axis=(0, 1))
    spectrum = np.abs(np.fft.rfft(centred, n=2 * count, axis=0)) ** 2
    covariance = np.fft.irfft(spectrum, axis=0)[:count].mean(axis=1) / count
    pairs = (covariance[:-1:2] + covariance[1::2]) / covariance[0]
    positive = np.cumprod(pairs > 0, axis=0)
    return count * chains / np.maximum(2.0 * (pairs * positive).sum(axis=0) - 1.0, 1.0 / (count * chains))


def draw(draws: np.ndarray, names: list[str], reference: Any, folder: Path) -> Path:
    """Write the picture of the posterior; gives its path."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    flat = draws.reshape(-1, draws.shape[-1])
    order = np.argsort(np.abs(flat.mean(axis=0)))
    figure, axes = plt.subplots(figsize=(7, 7), layout="constrained")
    low, middle, high = np.percentile(flat, [5, 50, 95], axis=0)
    places = np.arange(len(order))
    axes.hlines(places, low[order], high[order], color="C0", lw=3, alpha=0.5, label="5 % to 95 %")
    axes.plot(middle[order], places, "o", color="C0", ms=4, label="median")
    if reference is not None:
        axes.plot(
            np.asarray(reference["mean"])[order], places, "x", color="black", ms=5, label="mean of the reference run"
        )
    axes.axvline(0.0, color="0.7", lw=1, zorder=0)
    axes.set_yticks(places, [names[k] for k in order], fontsize=8)
    axes.set(xlabel="coefficient of the standardised measurement", title="Posterior: benign rather than malignant")
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(folder / "posterior.png", dpi=120)
    plt.close(figure)
    return folder / "posterior.png"


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Sample, check, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=400, help="transitions in each of the two parts of the warm-up")
    parser.add_argument("--draws", type=int, default=1500, help="draws of each chain")
    parser.add_argument("--longest", type=int, default=16, help="leapfrog steps in a transition")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="keep this run as the reference")
    parser.add_argument("--folder", type=Path, default=Path("examples/results/bayesian_logistic"))
    options = parser.parse_args(arguments)

    x, y, names = load()
    draws, accepted = sample(
        random.key(options.seed), x, y, options.chains, options.warmup, options.draws, options.longest
    )
    mean, deviation = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
    sizes = effective_size(draws)
    result = {"r hat": float(split_r_hat(draws).max()), "effective draws": float(sizes.min()), "acceptance": accepted}
    if options.record:
        content = {
            "draws": draws.shape[:2],
            "r hat": result["r hat"],
            "mean": mean.tolist(),
            "deviation": deviation.tolist(),
        }
        REFERENCE.write_text(json.dumps(content) + "\n")
        print(f"wrote {REFERENCE}")
    reference = json.loads(REFERENCE.read_text())
    error = deviation / np.sqrt(sizes)
    result["mean off"] = float(np.max(np.abs(mean - reference["mean"]) / error))
    result["deviation off"] = float(np.max(np.abs(deviation / reference["deviation"] - 1.0)))
    logits = np.einsum("nk,sk->sn", x, draws.reshape(-1, x.shape[1])[:: max(len(draws) // 100, 1)])
    probability = (1.0 / (1.0 + np.exp(-logits))).mean(axis=0)
    result["accuracy"] = float(np.mean((probability > 0.5) == y))

    strongest = np.argsort(-np.abs(mean))[:6]
    for k in strongest:
        print(
            f"{names[k]:>24}: {mean[k]:+.2f} +- {deviation[k]:.2f}   (reference {reference['mean'][k]:+.2f} +- {reference['deviation'][k]:.2f})"
        )
    print(
        f"largest split R-hat {result['r hat']:.4f}, fewest effective draws {result['effective draws']:.0f}, acceptance {accepted:.2f}"
    )
    print(
        f"against the reference: means within {result['mean off']:.1f} standard errors, deviations within {100 * result['deviation off']:.1f} %"
    )
    print(f"accuracy of the posterior predictive: {100 * result['accuracy']:.1f} %")
    print(f"wrote {draw(draws, names, reference, options.folder)}")
    return result


if __name__ == "__main__":
    main()
