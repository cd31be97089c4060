"""Learning-rate schedules: functions of the count of steps, usable under ``jit``. Definitions are optax's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fad.numpy as fnp
from fad import errors

__all__ = [
    "Schedule",
    "constant_schedule",
    "cosine_decay_schedule",
    "cosine_onecycle_schedule",
    "exponential_decay",
    "join_schedules",
    "linear_onecycle_schedule",
    "linear_schedule",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "polynomial_schedule",
    "sgdr_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
]

Schedule = Callable[[Any], Any]


def constant_schedule(value: float) -> Schedule:
    """The same value at every step.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.constant_schedule(0.1)(5)
    Array(0.1)
    """
    return lambda count: fnp.asarray(value) + 0.0 * fnp.asarray(count)


def polynomial_schedule(
    init_value: float, end_value: float, power: float, transition_steps: int, transition_begin: int = 0
) -> Schedule:
    """From ``init_value`` to ``end_value`` as ``(1 - t) ** power`` over ``transition_steps`` steps, constant before and after.

    Raises
    ------
    ArgumentError
        If ``transition_steps`` is not positive.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.polynomial_schedule(1.0, 0.0, 2.0, 10)(5)
    Array(0.25)
    """
    _positive("polynomial_schedule", "transition_steps", transition_steps)

    def schedule(count: Any) -> Any:
        done = fnp.clip(fnp.asarray(count) - transition_begin, 0, transition_steps)
        return (init_value - end_value) * (1 - done / transition_steps) ** power + end_value

    return schedule


def linear_schedule(init_value: float, end_value: float, transition_steps: int, transition_begin: int = 0) -> Schedule:
    """A straight line from ``init_value`` to ``end_value``, constant before and after.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.linear_schedule(1.0, 0.0, 10)(5)
    Array(0.5)
    """
    return polynomial_schedule(init_value, end_value, 1.0, transition_steps, transition_begin)


def exponential_decay(
    init_value: float,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    """``init_value * decay_rate ** (count / transition_steps)``, in stairs if wanted, bounded by ``end_value``.

    Raises
    ------
    ArgumentError
        If ``transition_steps`` is not positive.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.exponential_decay(1.0, 10, 0.5)(20)
    Array(0.25)
    """
    _positive("exponential_decay", "transition_steps", transition_steps)

    def schedule(count: Any) -> Any:
        done = fnp.maximum(fnp.asarray(count) - transition_begin, 0)
        exponent = fnp.floor(done / transition_steps) if staircase else done / transition_steps
        value = init_value * decay_rate**exponent
        if end_value is None:
            return value
        return fnp.maximum(value, end_value) if decay_rate < 1 else fnp.minimum(value, end_value)

    return schedule


def cosine_decay_schedule(init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0) -> Schedule:
    """Half a cosine from ``init_value`` to ``alpha * init_value`` (Loshchilov and Hutter, arXiv:1608.03983).

    Raises
    ------
    ArgumentError
        If ``decay_steps`` is not positive.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.cosine_decay_schedule(1.0, 10)(10)
    Array(0.)
    """
    _positive("cosine_decay_schedule", "decay_steps", decay_steps)

    def schedule(count: Any) -> Any:
        done = fnp.minimum(fnp.asarray(count), decay_steps) / decay_steps
        wave = (0.5 * (1 + fnp.cos(fnp.pi * done))) ** exponent
        return init_value * ((1 - alpha) * wave + alpha)

    return schedule


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """One schedule after another; each counts from its own boundary.

    Raises
    ------
    ArgumentError
        If there is not one boundary fewer than schedules.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.join_schedules([optim.constant_schedule(1.0), optim.constant_schedule(2.0)], [3])(4)
    Array(2.)
    """
    if len(boundaries) != len(schedules) - 1:
        raise errors.ArgumentError(
            f"join_schedules: {len(schedules)} schedules need {len(schedules) - 1} boundaries, got {len(boundaries)}"
        )

    def schedule(count: Any) -> Any:
        count = fnp.asarray(count)
        value = schedules[0](count)
        for boundary, following in zip(boundaries, schedules[1:]):
            value = fnp.where(count < boundary, value, following(count - boundary))
        return value

    return schedule


def warmup_constant_schedule(init_value: float, peak_value: float, warmup_steps: int) -> Schedule:
    """A straight line up to ``peak_value``, then constant.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.warmup_constant_schedule(0.0, 1.0, 10)(5)
    Array(0.5)
    """
    return linear_schedule(init_value, peak_value, warmup_steps)


def warmup_cosine_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Schedule:
    """A straight line up, then half a cosine down; ``decay_steps`` counts both.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.warmup_cosine_decay_schedule(0.0, 1.0, 10, 110)(10)
    Array(1.)
    """
    alpha = 0.0 if peak_value == 0.0 else end_value / peak_value
    return join_schedules(
        [
            linear_schedule(init_value, peak_value, warmup_steps),
            cosine_decay_schedule(peak_value, decay_steps - warmup_steps, alpha, exponent),
        ],
        [warmup_steps],
    )


def warmup_exponential_decay_schedule(
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    transition_steps: int,
    decay_rate: float,
    transition_begin: int = 0,
    staircase: bool = False,
    end_value: float | None = None,
) -> Schedule:
    """A straight line up, then exponential decay.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.warmup_exponential_decay_schedule(0.0, 1.0, 10, 10, 0.5)(20)
    Array(0.5)
    """
    return join_schedules(
        [
            linear_schedule(init_value, peak_value, warmup_steps),
            exponential_decay(peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value),
        ],
        [warmup_steps],
    )


def piecewise_constant_schedule(
    init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    """Constant pieces: at each boundary the value is multiplied by that boundary's scale.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.piecewise_constant_schedule(1.0, {10: 0.5})(11)
    Array(0.5)
    """
    pairs = sorted((boundaries_and_scales or {}).items())

    def schedule(count: Any) -> Any:
        count = fnp.asarray(count)
        value = fnp.asarray(float(init_value))
        for boundary, factor in pairs:
            value = value * fnp.where(count < boundary, 1.0, factor)
        return value

    return schedule


def piecewise_interpolate_schedule(
    interpolate_type: str, init_value: float, boundaries_and_scales: Mapping[int, float] | None = None
) -> Schedule:
    """Like :func:`piecewise_constant_schedule`, but moving along a line or a half cosine from each value to the next.

    Parameters
    ----------
    interpolate_type : {"linear", "cosine"}
        How to move between boundaries.
    init_value : float
        The first value.
    boundaries_and_scales : dict, optional
        Factor reached at each boundary.

    Raises
    ------
    ArgumentError
        If ``interpolate_type`` is neither.

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.piecewise_interpolate_schedule("linear", 1.0, {10: 3.0})(5)
    Array(2.)
    """
    if interpolate_type not in ("linear", "cosine"):
        raise errors.ArgumentError(
            f"piecewise_interpolate_schedule: interpolate_type must be 'linear' or 'cosine', got {interpolate_type!r}"
        )
    pairs = sorted((boundaries_and_scales or {}).items())
    bounds, values = [0], [float(init_value)]
    for boundary, factor in pairs:
        bounds.append(boundary)
        values.append(values[-1] * factor)

    def schedule(count: Any) -> Any:
        count = fnp.asarray(count)
        value = fnp.asarray(values[-1])
        for start, stop, first, last in reversed(list(zip(bounds, bounds[1:], values, values[1:]))):
            done = (count - start) / (stop - start)
            part = done if interpolate_type == "linear" else 0.5 - 0.5 * fnp.cos(fnp.pi * done)
            value = fnp.where(count < stop, first + (last - first) * part, value)
        return value

    return schedule


def linear_onecycle_schedule(
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    pct_final: float = 0.85,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """The one-cycle policy along straight lines (Smith and Topin, arXiv:1708.07120).

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.linear_onecycle_schedule(100, 1.0)(30)
    Array(1.)
    """
    _positive("linear_onecycle_schedule", "transition_steps", transition_steps)
    return piecewise_interpolate_schedule(
        "linear",
        peak_value / div_factor,
        {
            int(pct_start * transition_steps): div_factor,
            int(pct_final * transition_steps): 1.0 / div_factor,
            transition_steps: 1.0 / final_div_factor,
        },
    )


def cosine_onecycle_schedule(
    transition_steps: int,
    peak_value: float,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """The one-cycle policy along half cosines (Smith and Topin, arXiv:1708.07120).

    Examples
    --------
    >>> import fad.optim as optim
    >>> optim.cosine_onecycle_schedule(100, 1.0)(30)
    Array(1.)
    """
    _positive("cosine_onecycle_schedule", "transition_steps", transition_steps)
    return piecewise_interpolate_schedule(
        "cosine",
        peak_value / div_factor,
        {int(pct_start * transition_steps): div_factor, int(transition_steps): 1.0 / (div_factor * final_div_factor)},
    )


def sgdr_schedule(cosine_kwargs: Sequence[Mapping[str, Any]]) -> Schedule:
    """Warm restarts: one :func:`warmup_cosine_decay_schedule` after another (Loshchilov and Hutter, arXiv:1608.03983).

    Parameters
    ----------
    cosine_kwargs : sequence of dict
        Arguments of each cycle; ``decay_steps`` is its length.

    Examples
    --------
    >>> import fad.optim as optim
    >>> cycle = dict(init_value=0.0, peak_value=1.0, warmup_steps=5, decay_steps=20)
    >>> optim.sgdr_schedule([cycle, cycle])(25)
    Array(1.)
    """
    boundaries, total = [], 0
    for arguments in cosine_kwargs:
        total += arguments["decay_steps"]
        boundaries.append(total)
    return join_schedules([warmup_cosine_decay_schedule(**k) for k in cosine_kwargs], boundaries[:-1])


def _positive(function: str, name: str, value: Any) -> None:
    if value <= 0:
        raise errors.ArgumentError(f"{function}: {name} must be positive, got {value}")
