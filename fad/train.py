"""A training loop to read and own: the loop itself, a step for the common case, a history, early stopping, checkpoints.

Nothing here is needed: ``for batch in batches: state, metrics = step(state, batch)`` is the whole of it. :func:`fit` adds a progress bar, evaluation, and saving
in a way that survives interrupts.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import fad
import fad.data
import fad.debug
import fad.io
import fad.optim as optim
import fad.random as random
from fad import errors

__all__ = ["EarlyStopping", "History", "Run", "State", "fit", "make_step"]


class State(NamedTuple):
    """What a training step takes and gives: a pytree, to be saved as it is.

    Attributes
    ----------
    params : pytree
        What is trained.
    opt_state : pytree
        The optimizer's state.
    key : Array
        The key of the next step's randomness.
    extra : pytree
        State of the model that is not trained, such as running statistics; ``None`` if there is none.

    Examples
    --------
    >>> import fad, fad.numpy as fnp, fad.optim as optim
    >>> from fad.train import State
    >>> State.create({"w": fnp.ones(2)}, optim.sgd(0.1), fad.random.key(0)).params
    {'w': Array([1., 1.])}
    """

    params: Any
    opt_state: Any
    key: Any
    extra: Any = None

    @classmethod
    def create(cls, params: Any, optimizer: optim.GradientTransformation, key: Any, extra: Any = None) -> State:
        """The state before the first step."""
        return cls(params, optimizer.init(params), key, extra)


def make_step(
    loss: Callable[..., Any],
    optimizer: optim.GradientTransformation,
    has_aux: bool = False,
    stateful: bool = False,
    jit: bool = True,
) -> Callable[[State, Any], tuple[State, dict[str, Any]]]:
    """A training step: gradient of the loss, update of the parameters.

    Parameters
    ----------
    loss : callable
        ``loss(params, batch, key) -> scalar``; if stateful, ``loss(params, extra, batch, key) -> (scalar, extra)``.
    optimizer : GradientTransformation
        As in :mod:`fad.optim`.
    has_aux : bool
        Whether the loss also gives a dict of metrics: ``(scalar, metrics)``, if stateful ``(scalar, (extra, metrics))``.
    stateful : bool
        Whether the model has a state beside the parameters, such as batch norm's statistics.
    jit : bool
        Whether to compile the step.

    Returns
    -------
    callable
        ``step(state, batch) -> (state, metrics)`` with the metrics ``loss`` and ``gradient_norm`` and the loss's own.

    Examples
    --------
    >>> import fad, fad.numpy as fnp, fad.optim as optim
    >>> from fad.train import State, make_step
    >>> optimizer = optim.sgd(0.5)
    >>> step = make_step(lambda params, batch, key: fnp.mean((params - batch) ** 2), optimizer)
    >>> state, metrics = step(State.create(fnp.zeros(2), optimizer, fad.random.key(0)), fnp.ones(2))
    >>> state.params, metrics["loss"]
    (Array([0.5, 0.5]), Array(1.))
    """

    def of_params(params: Any, extra: Any, batch: Any, key: Any) -> tuple[Any, tuple[Any, dict[str, Any]]]:
        out = loss(params, extra, batch, key) if stateful else loss(params, batch, key)
        if stateful:
            value, rest = out
            extra, metrics = rest if has_aux else (rest, {})
        else:
            value, metrics = out if has_aux else (out, {})
        return value, (extra, dict(metrics))

    def step(state: State, batch: Any) -> tuple[State, dict[str, Any]]:
        key, own_key = random.split(state.key)
        (value, (extra, metrics)), gradient = fad.value_and_grad(of_params, has_aux=True)(
            state.params, state.extra, batch, own_key
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optim.apply_updates(state.params, updates)
        metrics = {"loss": value, "gradient_norm": optim.global_norm(gradient), **metrics}
        return State(params, opt_state, key, extra), metrics

    return fad.jit(step) if jit else step


class History:
    """Metrics by name, with the steps at which they were measured.

    Attributes
    ----------
    steps, values : dict of str to list
        For each metric, the steps and what was measured there.

    Examples
    --------
    >>> from fad.train import History
    >>> history = History()
    >>> history.record(1, {"loss": 0.5})
    >>> history.record(2, {"loss": 0.25, "accuracy": 0.9})
    >>> history.values["loss"], history.steps["accuracy"], history.latest("loss")
    ([0.5, 0.25], [2], 0.25)
    """

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}
        self.values: dict[str, list[float]] = {}

    def record(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Add the scalars among some metrics."""
        for name, value in metrics.items():
            if np.ndim(value) == 0:
                self.steps.setdefault(name, []).append(step)
                self.values.setdefault(name, []).append(float(value))

    def latest(self, name: str) -> float:
        """The last value of a metric."""
        if name not in self.values:
            raise errors.ArgumentError(
                f"History: there is no metric {name!r}; there are {', '.join(sorted(self.values)) or 'none yet'}"
            )
        return self.values[name][-1]

    def to_json(self) -> str:
        """All of it as text."""
        return json.dumps({"steps": self.steps, "values": self.values})

    @classmethod
    def from_json(cls, text: str) -> History:
        """The inverse of :meth:`to_json`."""
        history, data = cls(), json.loads(text)
        history.steps, history.values = data["steps"], data["values"]
        return history


class EarlyStopping:
    """Stop when a metric has not improved for a while, and remember the best state.

    Parameters
    ----------
    monitor : str
        Name of the metric.
    patience : int
        Measurements without improvement before stopping.
    min_delta : float
        What counts as an improvement.
    mode : {"min", "max"}
        Whether less or more is better.

    Attributes
    ----------
    best : float
        The best value so far.
    best_state : State
        The state that had it.

    Raises
    ------
    ArgumentError
        If the mode is neither.

    Examples
    --------
    >>> from fad.train import EarlyStopping
    >>> stopping = EarlyStopping("held out loss", patience=2)
    >>> [stopping.update(value, state=None) for value in (1.0, 0.5, 0.6, 0.7)]
    [False, False, False, True]
    >>> stopping.best
    0.5
    """

    def __init__(self, monitor: str, patience: int, min_delta: float = 0.0, mode: str = "min"):
        if mode not in ("min", "max"):
            raise errors.ArgumentError(f"EarlyStopping: mode is 'min' or 'max', got {mode!r}")
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.best, self.waited, self.best_state = math.inf if mode == "min" else -math.inf, 0, None

    def update(self, value: float, state: Any) -> bool:
        """Note a measurement; gives whether to stop. NaN is no improvement."""
        gain = self.best - value if self.mode == "min" else value - self.best
        if gain > self.min_delta:
            self.best, self.waited, self.best_state = value, 0, state
        else:
            self.waited += 1
        return self.waited >= self.patience


class Run(NamedTuple):
    """What :func:`fit` gives: the last state, the history, the number of steps made in all, and why it ended.

    Attributes
    ----------
    state : State
    history : History
    step : int
    ended : str
        ``"data"``, ``"steps"``, ``"early stopping"``, ``"callback"`` or ``"interrupt"``.

    Examples
    --------
    >>> from fad.train import History, Run
    >>> Run(state=None, history=History(), step=3, ended="steps").ended
    'steps'
    """

    state: Any
    history: History
    step: int
    ended: str


@contextmanager
def _catching_interrupts() -> Iterator[threading.Event]:
    """An event that is set by the first Ctrl-C or termination signal; the second Ctrl-C interrupts at once."""
    wanted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wanted
        return
    previous: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        if wanted.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        wanted.set()

    for caught in (signal.SIGINT, signal.SIGTERM):
        previous[caught] = signal.signal(caught, note)
    try:
        yield wanted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


class _Bar:
    """A tqdm bar where tqdm is installed and wanted, else nothing."""

    def __init__(self, wanted: bool, start: int, total: int | None):
        self.bar: Any = None
        if wanted:
            try:
                self.bar = importlib.import_module("tqdm.auto").tqdm(initial=start, total=total, unit="step")
            except ImportError:
                return

    def advance(self, history: History) -> None:
        if self.bar is not None:
            shown = [name for name in history.values if name != "gradient_norm"][:4]
            self.bar.set_postfix({name: f"{history.latest(name):.4g}" for name in shown}, refresh=False)
            self.bar.update()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


@dataclass
class _Loop:
    """One run of :func:`fit`."""

    function: Callable[[Any, Any], Any]
    state: Any
    batches: Any
    evaluate: Callable[[Any], Mapping[str, Any]] | None
    every: int
    stopping: EarlyStopping | None
    callbacks: list[Callable[..., Any]]
    path: Path | None
    checkpoint_every: int
    check_finite: bool
    history: History = field(default_factory=History)
    step: int = 0
    measured_at: int = -1
    saved_at: int = -1

    def save(self) -> None:
        if self.path is None or self.saved_at == self.step:
            return
        notes = {"step": str(self.step), "history": self.history.to_json()}
        content = {"state": self.state}
        if isinstance(self.batches, fad.data.Batches):
            content["batches"] = self.batches.state
        if self.stopping is not None:
            notes["stopping"] = json.dumps([self.stopping.best, self.stopping.waited])
            if self.stopping.best_state is not None:
                content["best_state"] = self.stopping.best_state
        fad.io.save(self.path, content, metadata=notes)
        self.saved_at = self.step

    def resume(self, path: Path) -> None:
        """Take up everything from the checkpoint."""
        notes = fad.io.load_metadata(path)
        like: dict[str, Any] = {"state": self.state}
        if isinstance(self.batches, fad.data.Batches):
            like["batches"] = self.batches.state
        if self.stopping is not None:
            self.stopping.best, self.stopping.waited = json.loads(notes["stopping"])
            if math.isfinite(self.stopping.best):
                like["best_state"] = self.state
        content = fad.io.load(path, like=like)
        self.state, self.step = content["state"], int(notes["step"])
        self.history, self.saved_at = History.from_json(notes["history"]), self.step
        if self.stopping is not None:
            self.stopping.best_state = content.get("best_state")
        if isinstance(self.batches, fad.data.Batches):
            self.batches = self.batches.resumed(content["batches"])
        else:
            self.batches = islice(self.batches, self.step, None)

    def advance(self, batch: Any) -> dict[str, Any]:
        """Make one step."""
        self.state, metrics = self.function(self.state, batch)
        self.step += 1
        self.history.record(self.step, metrics)
        if self.check_finite and "loss" in metrics and not math.isfinite(self.history.latest("loss")):
            report = fad.debug.nan_report(getattr(self.state, "params", self.state))
            raise errors.NonFiniteError(
                f"fad.train.fit: the loss is {self.history.latest('loss')} at step {self.step}. {report} "
                "A smaller learning rate, optim.clip_by_global_norm or optim.apply_if_finite may help; fad.config.check_nans finds the operation."
            )
        return metrics

    def measure(self) -> None:
        """Evaluate, once at a step."""
        if self.evaluate is not None and self.measured_at != self.step:
            self.history.record(self.step, self.evaluate(self.state))
            self.measured_at = self.step

    def stops_early(self) -> bool:
        """Whether the metric says so; it is looked at when it is new."""
        if self.stopping is None or (self.evaluate is not None and self.measured_at != self.step):
            return False
        return self.stopping.update(self.history.latest(self.stopping.monitor), self.state)

    def run(self, steps: int | None, bar: _Bar, interrupted: threading.Event) -> str:
        """Go on until there is a reason to end; gives the reason."""
        batches = iter(self.batches)
        while steps is None or self.step < steps:
            batch = next(batches, None)
            if batch is None:
                return "data"
            metrics = self.advance(batch)
            if self.step % self.every == 0:
                self.measure()
            bar.advance(self.history)
            answers = [callback(self.step, self.state, metrics) for callback in self.callbacks]
            if any(answers):
                return "callback"
            if self.stops_early():
                return "early stopping"
            if self.step % self.checkpoint_every == 0:
                self.save()
            if interrupted.is_set():
                return "interrupt"
        return "steps"


def fit(
    step: Callable[[Any, Any], tuple[Any, dict[str, Any]]],
    state: Any,
    batches: Iterable[Any],
    *,
    steps: int | None = None,
    evaluate: Callable[[Any], Mapping[str, Any]] | None = None,
    evaluate_every: int | None = None,
    early_stopping: EarlyStopping | None = None,
    callbacks: Iterable[Callable[[int, Any, Mapping[str, Any]], Any]] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1000,
    resume: bool = True,
    progress: bool = True,
    check_finite: bool = True,
) -> Run:
    """Run a training step over batches, with what one wants around it.

    Parameters
    ----------
    step : callable
        ``step(state, batch) -> (state, metrics)``, for example from :func:`make_step`.
    state : pytree
        The first state.
    batches : iterable
        For example :func:`fad.data.batches`, which resumes at once; another iterable is skipped to its place.
    steps : int, optional
        Steps in all, those before a resumed checkpoint included; by default until the batches end.
    evaluate : callable, optional
        ``evaluate(state) -> metrics``.
    evaluate_every : int, optional
        Steps between evaluations; by default an epoch of :func:`fad.data.batches`, else 100. Also evaluated at the end.
    early_stopping : EarlyStopping, optional
        Looks at each evaluation; without ``evaluate`` at each step.
    callbacks : iterable of callable
        Each is called as ``callback(step, state, metrics)`` after every step; a true result ends the run.
    checkpoint : path-like, optional
        A safetensors file, written atomically every ``checkpoint_every`` steps, at the end and on an interrupt.
    resume : bool
        Whether to go on from the checkpoint if it exists. The resumed run gives bit for bit what the whole run would have given.
    progress : bool
        Whether to show a bar (needs tqdm).
    check_finite : bool
        Whether a loss that is NaN or infinite is an error.

    Returns
    -------
    Run
        ``state``, ``history``, ``step`` and why it ``ended``. The first Ctrl-C (or SIGTERM) finishes the step, saves, and returns; a second one interrupts.

    Raises
    ------
    NonFiniteError
        If the loss is not finite; it says which parameters are not.
    ArgumentError
        If the metric to stop early by does not exist.

    Examples
    --------
    >>> import fad, fad.data, fad.numpy as fnp, fad.optim as optim
    >>> from fad.train import State, fit, make_step
    >>> key, optimizer = fad.random.key(0), optim.adam(0.1)
    >>> step = make_step(lambda w, batch, key: fnp.mean((batch * w - 2.0 * batch) ** 2), optimizer)
    >>> data = fad.data.batches(key, fad.random.normal(key, (64,)), 16, epochs=50)
    >>> run = fit(step, State.create(fnp.zeros(()), optimizer, key), data, progress=False)
    >>> run.step, run.ended, run.state.params.round(2)
    (200, 'data', Array(2.))
    """
    path = None if checkpoint is None else Path(checkpoint)
    every: int = evaluate_every or getattr(batches, "per_epoch", None) or 100
    loop = _Loop(
        step, state, batches, evaluate, every, early_stopping, list(callbacks), path, checkpoint_every, check_finite
    )
    if resume and path is not None and path.exists():
        loop.resume(path)
    try:
        total = steps if steps is not None else loop.step + len(loop.batches)
    except (TypeError, errors.ArgumentError):
        total = None
    bar = _Bar(progress, loop.step, total)
    with _catching_interrupts() as interrupted:
        try:
            ended = loop.run(steps, bar, interrupted)
        finally:
            bar.close()
        if ended != "interrupt":
            loop.measure()
        loop.save()
    return Run(loop.state, loop.history, loop.step, ended)
