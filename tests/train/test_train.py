"""The loop: what it records, when it stops, and that stopping anywhere and going on gives the same run."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fad
import fad.data
import fad.io
import fad.numpy as fnp
import fad.optim as optim
from fad import errors
from fad.train import EarlyStopping, History, Run, State, fit, make_step

KEY = fad.random.key(5)
GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(60, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.1 * GENERATOR.normal(size=60)


def loss(params, batch, key):
    x, y = batch
    noisy = x + 0.01 * fad.random.normal(key, x.shape)
    return fnp.mean((noisy @ params["w"] - y) ** 2)


def optimizer():
    return optim.chain(optim.clip_by_global_norm(1.0), optim.adam(optim.cosine_decay_schedule(0.1, 60)))


def start():
    return State.create({"w": fnp.zeros(3)}, optimizer(), KEY)


def batches(epochs=6):
    return fad.data.batches(KEY, (X, Y), 16, epochs=epochs)


def run(**options):
    return fit(
        make_step(loss, optimizer()), start(), options.pop("batches", None) or batches(), progress=False, **options
    )


def assert_same(first, second):
    assert fad.tree.structure(first) == fad.tree.structure(second)
    for a, b in zip(fad.tree.leaves(first), fad.tree.leaves(second)):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_it_trains_and_records():
    result = run(evaluate=lambda state: {"error": fnp.abs(state.params["w"] - fnp.asarray([1.0, -2.0, 0.5])).max()})
    assert isinstance(result, Run)
    assert (result.step, result.ended) == (24, "data")
    assert result.history.steps["loss"] == list(range(1, 25))
    assert result.history.steps["error"] == [4, 8, 12, 16, 20, 24]
    assert result.history.latest("error") < result.history.values["error"][0] / 2
    assert set(result.history.values) == {"loss", "gradient_norm", "error"}


def test_the_same_key_gives_the_same_run_and_another_does_not():
    first, second = run(), run()
    assert_same(first.state, second.state)
    assert first.history.to_json() == second.history.to_json()
    other = fit(make_step(loss, optimizer()), start()._replace(key=fad.random.key(9)), batches(), progress=False)
    assert first.history.values["loss"] != other.history.values["loss"]


def test_a_step_by_hand_is_the_same_as_fit():
    step, state = make_step(loss, optimizer()), start()
    for batch in batches():
        state, metrics = step(state, batch)
    assert_same(state, run().state)


@pytest.mark.parametrize("stop", [1, 7, 23])
def test_killed_and_resumed_is_the_same_run(tmp_path, stop):
    path = tmp_path / "checkpoint.safetensors"

    def killed(step, state, metrics):
        if step == stop + 1:
            raise MemoryError("killed")

    with pytest.raises(MemoryError):
        run(checkpoint=path, checkpoint_every=1, callbacks=[killed])
    resumed, whole = run(checkpoint=path, checkpoint_every=1), run()
    assert_same(resumed.state, whole.state)
    assert resumed.history.to_json() == whole.history.to_json()
    assert resumed.step == whole.step == 24


KILLED = """
import os, signal, sys
from tests.train.test_train import run

def kill(step, state, metrics):
    if step == 9:
        os.kill(os.getpid(), signal.SIGKILL)

run(checkpoint=sys.argv[1], checkpoint_every=4, callbacks=[kill])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_process_is_resumed(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=root, check=False, capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert fad.io.load_metadata(path)["step"] == "8"
    resumed, whole = run(checkpoint=path), run()
    assert_same(resumed.state, whole.state)
    assert resumed.history.to_json() == whole.history.to_json()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_and_returns(tmp_path, number):
    path = tmp_path / "checkpoint.safetensors"
    handler = signal.getsignal(signal.SIGINT)
    at_five = lambda step, state, metrics: os.kill(os.getpid(), number) if step == 5 else None  # noqa: E731
    first = run(checkpoint=path, callbacks=[at_five])
    assert (first.ended, first.step) == ("interrupt", 5)
    assert signal.getsignal(signal.SIGINT) is handler
    assert_same(run(checkpoint=path).state, run().state)


def test_a_second_interrupt_is_obeyed_at_once():
    def impatient(step, state, metrics):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(callbacks=[impatient])


def test_any_iterable_of_batches_resumes(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    fixed = [(X[k : k + 10], Y[k : k + 10]) for k in range(0, 60, 10)]
    first = run(batches=iter(fixed), steps=2, checkpoint=path)
    assert (first.step, first.ended) == (2, "steps")
    assert_same(run(batches=fixed, checkpoint=path).state, run(batches=fixed).state)


def test_resume_false_starts_anew(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run(checkpoint=path, steps=3)
    assert run(checkpoint=path, steps=4, resume=False).history.steps["loss"] == [1, 2, 3, 4]
    assert fad.io.load_metadata(path)["step"] == "4"


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    run(checkpoint=path, steps=3)
    other = State.create({"w": fnp.zeros(4)}, optimizer(), KEY)
    with pytest.raises(errors.FileFormatError, match=r"state\.params\.w"):
        fit(make_step(loss, optimizer()), other, batches(), progress=False, checkpoint=path)


def test_early_stopping_remembers_the_best(tmp_path):
    values = iter([3.0, 1.0, 2.0, float("nan"), 0.5])
    stopping = EarlyStopping("held out", patience=2)
    result = run(evaluate=lambda state: {"held out": next(values)}, evaluate_every=2, early_stopping=stopping)
    assert (result.ended, result.step, stopping.best) == ("early stopping", 8, 1.0)
    assert_same(stopping.best_state, run(steps=4).state)


def test_early_stopping_resumes(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    evaluate = lambda state: {"error": float(fnp.sum(state.params["w"] ** 2))}  # noqa: E731 - grows: never better than at first
    options = {"evaluate": evaluate, "evaluate_every": 3, "checkpoint": path, "checkpoint_every": 1}
    first = run(early_stopping=EarlyStopping("error", patience=3), callbacks=[lambda step, *_: step == 7], **options)
    assert first.ended == "callback"
    stopping = EarlyStopping("error", patience=3)
    second = run(early_stopping=stopping, **options)
    whole = EarlyStopping("error", patience=3)
    reference = run(early_stopping=whole, evaluate=evaluate, evaluate_every=3)
    assert stopping.best == whole.best
    assert_same(stopping.best_state, whole.best_state)
    assert reference.ended == second.ended == "early stopping"


def test_stateful_models_and_metrics():
    def stateful(params, extra, batch, key):
        x, y = batch
        mean = 0.9 * extra["mean"] + 0.1 * fnp.mean(x, axis=0)
        return fnp.mean(((x - mean) @ params["w"] - y) ** 2), ({"mean": mean}, {"rows": len(y)})

    step = make_step(stateful, optimizer(), has_aux=True, stateful=True)
    state = State.create({"w": fnp.zeros(3)}, optimizer(), KEY, extra={"mean": fnp.zeros(3)})
    state, metrics = step(state, (X, Y))
    np.testing.assert_allclose(state.extra["mean"], 0.1 * X.mean(axis=0))
    assert int(metrics["rows"]) == 60
    eager, _ = make_step(stateful, optimizer(), has_aux=True, stateful=True, jit=False)(
        State.create({"w": fnp.zeros(3)}, optimizer(), KEY, extra={"mean": fnp.zeros(3)}), (X, Y)
    )
    for a, b in zip(fad.tree.leaves(state), fad.tree.leaves(eager)):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_a_loss_that_explodes_is_said():
    step = make_step(lambda params, batch, key: fnp.log(params["w"].sum() - 1.0), optim.sgd(1.0))
    with np.errstate(invalid="ignore"), pytest.raises(errors.NonFiniteError, match="loss is nan at step 1"):
        fit(step, State.create({"w": fnp.zeros(3)}, optim.sgd(1.0), KEY), [None, 1, 2][1:], progress=False)


def test_the_bar_shows_the_loss(capsys):
    fit(make_step(loss, optimizer()), start(), batches(1), progress=True)
    text = capsys.readouterr().err
    assert "4/4" in text
    assert "loss=" in text


def test_history_is_text_and_back():
    history = History()
    history.record(3, {"loss": fnp.asarray(0.1), "matrix": fnp.zeros((2, 2)), "bad": float("nan")})
    again = History.from_json(history.to_json())
    assert again.steps == {"loss": [3], "bad": [3]}
    assert again.latest("loss") == 0.1
    assert json.loads(history.to_json())["steps"]["loss"] == [3]
    with pytest.raises(errors.ArgumentError, match="no metric 'los'; there are bad, loss"):
        history.latest("los")


def test_modes_of_early_stopping():
    stopping = EarlyStopping("accuracy", patience=1, min_delta=0.1, mode="max")
    assert [stopping.update(v, None) for v in (0.5, 0.7, 0.75)] == [False, False, True]
    with pytest.raises(errors.ArgumentError, match="'min' or 'max'"):
        EarlyStopping("loss", 1, mode="least")


def test_without_tqdm_there_is_no_bar(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    result = fit(make_step(loss, optimizer()), start(), batches(1), progress=True)
    assert result.step == 4
    assert capsys.readouterr().err == ""
