"""Each program in examples/ at a small size: it runs, finds about what it should, and writes its pictures."""

import json
from pathlib import Path

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from examples import bayesian_logistic, char_transformer, demo, digits_convnet, ode_fit, vae
from fad.testing import check_grads

PNG = b"\x89PNG\r\n"


def assert_pictures(folder: Path, *names: str) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    for name in names:
        assert (folder / name).read_bytes().startswith(PNG)


def test_demo(tmp_path, capsys):
    result = demo.main(["--steps", "200", "--folder", str(tmp_path)])
    assert result["held out"] > 0.9
    assert_pictures(tmp_path, "digits.png", "loss.png")
    assert "agrees with finite differences" in capsys.readouterr().out


class TestBayesianLogistic:
    def test_it_samples_what_the_reference_run_sampled(self, tmp_path, capsys):
        result = bayesian_logistic.main(["--warmup", "150", "--draws", "250", "--folder", str(tmp_path)])
        assert result["r hat"] < 1.05
        assert result["mean off"] < 5.0
        assert result["deviation off"] < 0.3
        assert result["accuracy"] > 0.98
        assert 0.7 < result["acceptance"] < 0.97
        assert_pictures(tmp_path, "posterior.png")
        assert "split R-hat" in capsys.readouterr().out

    def test_the_reference_is_a_long_run(self):
        reference = json.loads(bayesian_logistic.REFERENCE.read_text())
        assert reference["draws"] == [15000, 8]
        assert reference["r hat"] < 1.002

    def test_its_density_and_diagnostics(self):
        x, y, names = bayesian_logistic.load()
        assert x.shape == (569, 31)
        assert len(names) == 31
        w = np.linspace(-0.3, 0.3, 31)
        p = 1 / (1 + np.exp(-x @ w))
        expected = np.sum(np.where(y == 1, np.log(p), np.log(1 - p))) - 0.5 * np.sum((w / 2.0) ** 2)
        np.testing.assert_allclose(bayesian_logistic.log_posterior(w, x, y), expected, rtol=1e-12)
        check_grads(lambda w: bayesian_logistic.log_posterior(w, x[:20], y[:20]), (w,), order=2)
        independent = np.random.default_rng(0).normal(size=(2000, 4, 3))
        assert bayesian_logistic.split_r_hat(independent).max() < 1.01
        assert bayesian_logistic.split_r_hat(independent + np.arange(4)[:, None]).min() > 1.5
        np.testing.assert_allclose(bayesian_logistic.effective_size(independent), 8000, rtol=0.15)
        slow = np.repeat(independent, 10, axis=0)
        np.testing.assert_allclose(bayesian_logistic.effective_size(slow), 8000, rtol=0.25)

    def test_the_sampler_draws_a_normal_distribution(self):
        deviations = np.array([0.1, 1.0, 5.0])
        density = lambda w: -0.5 * fnp.sum((w / deviations) ** 2)  # noqa: E731
        start = fad.random.normal(fad.random.key(0), (4, 3)) * deviations
        state = bayesian_logistic.Chain(start, *fad.vmap(fad.value_and_grad(density))(start))
        run = bayesian_logistic.sampler(density, 8)
        _, _, draws, accepted = run(fad.random.key(1), state, np.log(0.3), deviations, count=3000, tune=False)
        draws = np.asarray(draws).reshape(-1, 3)
        np.testing.assert_allclose(draws.std(axis=0), deviations, rtol=0.1)
        np.testing.assert_allclose(draws.mean(axis=0) / deviations, 0.0, atol=0.1)
        assert float(accepted) > 0.9


class TestOdeFit:
    def test_it_finds_the_parameters(self, tmp_path, capsys):
        result = ode_fit.main(["--repeats", "30", "--steps", "10", "--folder", str(tmp_path)])
        assert result["largest error"] < 4.0
        assert result["relative error"] < 0.05
        assert 0.55 < result["inside one error"] < 0.8
        assert_pictures(tmp_path, "fit.png")
        assert "data sets" in capsys.readouterr().out

    def test_the_trajectory_is_that_of_scipy(self):
        from scipy.integrate import solve_ivp

        ours = ode_fit.trajectory(fnp.asarray(ode_fit.TRUTH), 20, 50)
        solution = solve_ivp(
            lambda t, y: np.asarray(ode_fit.rates(y, ode_fit.TRUTH)),
            (0, ode_fit.DURATION),
            ode_fit.TRUTH[4:],
            t_eval=np.linspace(0, ode_fit.DURATION, 21)[1:],
            rtol=1e-10,
            atol=1e-10,
        )
        np.testing.assert_allclose(ours, solution.y.T, rtol=1e-5)

    def test_error_bars_are_those_of_the_jacobian_near_the_truth(self):
        q = fnp.log(fnp.asarray(ode_fit.TRUTH))
        exact = ode_fit.trajectory(fnp.asarray(ode_fit.TRUTH), 20, 5)
        jacobian = np.asarray(fad.jacobian(lambda q: ode_fit.residuals(q, exact, 5))(q))
        expected = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian))) * ode_fit.TRUTH
        np.testing.assert_allclose(ode_fit.standard_errors(q, exact, 5), expected, rtol=1e-8)

    def test_conjugate_gradients_solve(self):
        matrix = np.diag([1.0, 2.0, 5.0]) + 0.1
        right = np.array([1.0, -1.0, 2.0])
        found = ode_fit.conjugate_gradients(lambda v: matrix @ v, fnp.asarray(right), 3)
        np.testing.assert_allclose(found, np.linalg.solve(matrix, right), rtol=1e-10)


class TestVae:
    def test_it_learns(self, tmp_path, capsys):
        result = vae.main(["--epochs", "6", "--samples", "20", "--folder", str(tmp_path)])
        assert result["held out"] > 20.0
        assert result["held out, tight"] > result["held out"]
        assert_pictures(tmp_path, "digits.png", "loss.png")
        assert "nats per image" in capsys.readouterr().out

    def test_the_gradient_passes_through_the_codes(self):
        params = fad.tree.map(lambda p: p.astype(float), vae.init(fad.random.key(0)))
        x = np.random.default_rng(0).uniform(size=(2, 64))
        check_grads(lambda p: vae.loss_fn({**params, "code": p}, x, fad.random.key(1)), (params["code"],), order=1)
        gradient = fad.grad(vae.loss_fn)(params, x, fad.random.key(1))
        assert all(np.abs(np.asarray(g)).max() > 0 for g in fad.tree.leaves(gradient))

    def test_the_tight_bound_is_the_likelihood_of_a_linear_model(self):
        """With a decoder that ignores its code, every bound is the exact log density."""
        params = fad.tree.map(lambda p: p.astype(float), vae.init(fad.random.key(0)))
        params = {
            **params,
            "image": fad.tree.map(fnp.zeros_like, params["image"]),
            "code": fad.tree.map(fnp.zeros_like, params["code"]),
        }
        x = np.random.default_rng(0).uniform(size=(5, 64))
        deviation = 1 / 32 + np.exp(-2.0)
        exact = np.sum(-0.5 * ((x - 0.5) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi), axis=1).mean()
        np.testing.assert_allclose(vae.bounds(params, x, fad.random.key(0), 4), [exact, exact], rtol=1e-10)


class TestDigitsConvnet:
    def test_it_learns(self, tmp_path, capsys):
        result = digits_convnet.main(["--epochs", "8", "--width", "8", "--folder", str(tmp_path)])
        assert result["held out"] > 0.9
        assert_pictures(tmp_path, "digits.png", "loss.png")
        assert "BatchNorm" in capsys.readouterr().out

    def test_augmentation_keeps_most_of_an_image(self):
        images = digits_convnet.load(fad.random.key(0))[0]["image"][:50]
        moved = np.asarray(digits_convnet.augmented(fad.random.key(1), images))
        assert moved.shape == images.shape
        assert moved.dtype == np.float32
        assert not np.array_equal(moved, images)
        alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(moved, images)]
        assert np.median(alike) > 0.7

    def test_statistics_are_used_and_kept(self):
        model = digits_convnet.network(4)
        params, statistics = model.init(fad.random.key(0)), model.init_state()
        images = np.random.default_rng(0).uniform(size=(6, 8, 8, 1))
        _, new = model(params, images, state=statistics, key=fad.random.key(1), train=True)
        changed = [not np.array_equal(a, b) for a, b in zip(fad.tree.leaves(statistics), fad.tree.leaves(new))]
        assert all(changed)
        log_p = digits_convnet.predict(model, params, new, images)
        np.testing.assert_allclose(np.exp(np.asarray(log_p)).sum(axis=1), 1.0)
        one_by_one = [digits_convnet.predict(model, params, new, image[None])[0] for image in images]
        np.testing.assert_allclose(log_p, np.asarray(one_by_one), rtol=1e-10)


class TestCharTransformer:
    SMALL = ["--features", "16", "--heads", "2", "--depth", "2", "--length", "24", "--batch", "8"]

    def test_it_learns_and_writes(self, tmp_path, capsys):
        result = char_transformer.main(
            ["--steps", "60", *self.SMALL, "--sample", "30", "--test-windows", "64", "--folder", str(tmp_path)]
        )
        assert result["held out"] < 3.6  # of log(96) = 4.56
        sample = (tmp_path / "sample.txt").read_text()
        assert sample.startswith("def ")
        assert len(sample) == 12 + 30 + 1
        assert (tmp_path / "loss.png").read_bytes().startswith(PNG)
        assert "nats per character" in capsys.readouterr().out

    def test_characters_become_codes_and_back(self):
        codes = char_transformer.CODES[np.frombuffer("if x:\n\treturn é".encode(), np.uint8)]
        assert char_transformer.text_of(codes) == "if x:\n?return ??"
        train, held_out = char_transformer.load()
        assert len(train) > 5 * len(held_out) > 100_000

    def test_writing_step_by_step_is_the_network(self):
        model = char_transformer.Writer(16, 2, 2)
        params = model.init(fad.random.key(0))
        codes = np.random.default_rng(0).integers(0, 96, size=12)
        whole = np.asarray(model(params, codes[None]))[0]
        caches, found = model.caches(12), []
        caches = fad.tree.map(lambda c: c.astype(float) if c.ndim else c, caches)
        first, caches = model.decode(params, codes[:5], caches)
        found.append(np.asarray(first))
        for code in codes[5:]:
            logits, caches = model.decode(params, np.array([code]), caches)
            found.append(np.asarray(logits))
        np.testing.assert_allclose(np.concatenate(found), whole, rtol=1e-8, atol=1e-10)

    def test_the_future_is_not_seen(self):
        model = char_transformer.Writer(16, 2, 1)
        params = model.init(fad.random.key(0))
        codes = np.arange(10)[None]
        changed = codes.copy()
        changed[0, 6] = 50
        difference = np.abs(np.asarray(model(params, codes)) - np.asarray(model(params, changed))).max(axis=-1)[0]
        assert difference[:6].max() == 0.0
        assert difference[6:].min() > 0.0


@pytest.mark.parametrize("example", [demo, bayesian_logistic, ode_fit, vae, digits_convnet, char_transformer])
def test_every_example_says_how_to_run_it(example, capsys):
    with pytest.raises(SystemExit) as caught:
        example.main(["--help"])
    assert caught.value.code == 0
    assert "--folder" in capsys.readouterr().out
    assert "python -m examples." in example.__doc__
