"""Recover the parameters of an ordinary differential equation from noisy data: Gauss-Newton out of ``fad.jvp`` and ``fad.vjp``, error bars from ``fad.hessian``.

Run it with ``python -m examples.ode_fit``. Predators and prey (Lotka 1925, Volterra 1926) are integrated by classical Runge-Kutta steps in a ``fad.scan``; from
observations with noise the four rates and the two starting populations are found again. It prints true and found values with their standard errors, repeats the fit on many
data sets at once with ``fad.vmap`` to see whether the error bars are honest, and draws the fit.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import fad
import fad.numpy as fnp
import fad.random as random

NAMES = ("growth", "predation", "death", "conversion", "first prey", "first predators")
TRUTH = np.array([1.1, 0.4, 0.4, 0.1, 10.0, 5.0])
START = np.array([0.9, 0.3, 0.5, 0.15, 8.0, 6.0])
DURATION, NOISE = 20.0, 0.05


def rates(state: Any, p: Any) -> Any:
    """Time derivatives of the two populations."""
    prey, predators = state[0], state[1]
    return fnp.stack([p[0] * prey - p[1] * prey * predators, p[3] * prey * predators - p[2] * predators])


def trajectory(p: Any, observations: int, substeps: int) -> Any:
    """Populations at equally spaced times, shape (observations, 2)."""
    h = DURATION / (observations * substeps)

    def runge_kutta(_: Any, y: Any) -> Any:
        k1 = rates(y, p)
        k2 = rates(y + 0.5 * h * k1, p)
        k3 = rates(y + 0.5 * h * k2, p)
        k4 = rates(y + h * k3, p)
        return y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)

    def to_next(y: Any, _: Any) -> Any:
        y = fad.fori_loop(0, substeps, runge_kutta, y)
        return y, y

    return fad.scan(to_next, p[4:6], None, length=observations)[1]


def residuals(log_p: Any, data: Any, substeps: int) -> Any:
    """Differences of logarithms, in units of the noise; the parameters are logarithms too, so that they stay positive."""
    model = trajectory(fnp.exp(log_p), len(data), substeps)
    return ((fnp.log(model) - fnp.log(data)) / NOISE).ravel()


def conjugate_gradients(product: Any, right: Any, count: int) -> Any:
    """Solve a positive definite system from its products with vectors (Hestenes and Stiefel 1952)."""

    def step(_: Any, carry: Any) -> Any:
        x, r, d = carry
        image, squares = product(d), r @ r
        length = squares / fnp.maximum(d @ image, 1e-300)
        x, smaller = x + length * d, r - length * image
        return x, smaller, smaller + (smaller @ smaller) / fnp.maximum(squares, 1e-300) * d

    return fad.fori_loop(0, count, step, (fnp.zeros_like(right), right, right))[0]


def gauss_newton(log_p: Any, data: Any, substeps: int, steps: int) -> tuple[Any, Any]:
    """Damped Gauss-Newton (Marquardt 1963) without ever forming the Jacobian; gives the parameters and half the sum of squares before and after each step."""
    f = lambda q: residuals(q, data, substeps)  # noqa: E731

    def step(carry: Any, _: Any) -> Any:
        q, damping = carry
        r, pullback = fad.vjp(f, q)
        normal = lambda v: pullback(fad.jvp(f, (q,), (v,))[1])[0] + damping * v  # noqa: E731
        tried = q - conjugate_gradients(normal, pullback(r)[0], len(q))
        before, after = 0.5 * r @ r, 0.5 * fnp.sum(f(tried) ** 2)
        better = after < before
        damping = fnp.where(better, damping / 5.0, damping * 4.0)
        return (fnp.where(better, tried, q), damping), fnp.where(better, after, before)

    (q, _), path = fad.scan(step, (log_p, fnp.asarray(10.0)), None, length=steps)
    return q, fnp.concatenate([0.5 * fnp.sum(f(log_p) ** 2)[None], path])


def standard_errors(log_p: Any, data: Any, substeps: int) -> Any:
    """Square roots of the diagonal of the inverse Hessian of half the sum of squares, carried over to the parameters."""
    curvature = fad.hessian(lambda q: 0.5 * fnp.sum(residuals(q, data, substeps) ** 2))(log_p)
    return fnp.sqrt(fnp.diagonal(fnp.linalg.inv(curvature))) * fnp.exp(log_p)


def observe(key: Any, observations: int, substeps: int) -> Any:
    """The true populations with multiplicative noise."""
    exact = trajectory(fnp.asarray(TRUTH), observations, substeps)
    return exact * fnp.exp(NOISE * random.normal(key, exact.shape))


def draw(found: Any, data: Any, path: Any, substeps: int, folder: Path) -> Path:
    """Write the picture of data and fit; gives its path."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    observations = len(data)
    times = np.arange(1, observations + 1) * DURATION / observations
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), width_ratios=(2, 1), layout="constrained")
    fine = np.asarray(trajectory(fnp.asarray(found), observations * 5, substeps))
    fine_times = np.arange(1, len(fine) + 1) * DURATION / len(fine)
    for k, (name, colour) in enumerate((("prey", "C0"), ("predators", "C3"))):
        left.plot(times, np.asarray(data)[:, k], "o", color=colour, ms=3, alpha=0.6)
        left.plot(fine_times, fine[:, k], color=colour, label=name)
    left.set(xlabel="time", ylabel="population", title="Observations and the fitted solution")
    left.legend()
    right.semilogy(np.asarray(path), "o-", ms=3)
    right.axhline(observations, color="0.7", lw=1)
    right.set(xlabel="step", title="Half the sum of squares", xticks=range(0, len(path), 2))
    figure.savefig(folder / "fit.png", dpi=120)
    plt.close(figure)
    return folder / "fit.png"


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Fit, report, check the error bars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--observations", type=int, default=100)
    parser.add_argument("--substeps", type=int, default=5)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=200, help="data sets to check the error bars with")
    parser.add_argument("--folder", type=Path, default=Path("examples/results/ode_fit"))
    options = parser.parse_args(arguments)
    substeps = options.substeps

    @fad.jit
    def fit(data: Any) -> Any:
        q, path = gauss_newton(fnp.log(fnp.asarray(START)), data, substeps, options.steps)
        return fnp.exp(q), standard_errors(q, data, substeps), path

    data = observe(random.key(0), options.observations, substeps)
    found, errors, path = map(np.asarray, fit(data))
    for name, truth, value, error in zip(NAMES, TRUTH, found, errors):
        print(
            f"{name:>16}: {value:.4f} +- {error:.4f}   (true {truth:g}, {abs(value - truth) / error:.1f} errors away)"
        )
    print(f"half the sum of squares: {path[0]:.1f} -> {path[-1]:.1f}, expected about {options.observations}")

    keys = random.split(random.key(1), options.repeats)
    many, bars, _ = fad.jit(fad.vmap(lambda key: fit(observe(key, options.observations, substeps))))(keys)
    scores = (np.asarray(many) - TRUTH) / np.asarray(bars)
    result = {
        "largest error": float(np.max(np.abs(found - TRUTH) / errors)),
        "relative error": float(np.max(np.abs(found / TRUTH - 1.0))),
        "squares": float(path[-1]),
        "inside one error": float(np.mean(np.abs(scores) < 1.0)),
    }
    print(
        f"{options.repeats} other data sets: {100 * result['inside one error']:.1f} % of all values within one error (68.3 % expected)"
    )
    print(f"wrote {draw(found, data, path, substeps, options.folder)}")
    return result


if __name__ == "__main__":
    main()
