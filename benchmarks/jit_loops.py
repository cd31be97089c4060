"""Loops with a small state: LSTM by scan, Runge-Kutta by scan, each with its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target, Timed
from benchmarks.jit_networks import dense


def lstm_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    steps, batch, width = (20, 4, 16) if quick else (100, 32, 64)
    params = {
        "input": dense(rng, width, 4 * width),
        "state": dense(rng, width, 4 * width),
        "bias": np.zeros(4 * width, np.float32),
    }
    return params, rng.normal(size=(steps, batch, width)).astype(np.float32)


def _sigmoid(xp: Any, x: Any) -> Any:
    return 0.5 * (xp.tanh(0.5 * x) + 1.0)


def lstm(lib: Any, params: Any, xs: np.ndarray) -> Timed:
    """Loss and gradient of an LSTM (batch 32, width 64) over 100 steps."""
    xp, width = lib.np, xs.shape[-1]

    def loss(params: Any, xs: Any) -> Any:
        def step(carry: Any, x: Any) -> tuple:
            h, c = carry
            gates = x @ params["input"] + h @ params["state"] + params["bias"]
            i, f, g, o = (gates[:, k * width : (k + 1) * width] for k in range(4))
            c = _sigmoid(xp, f) * c + _sigmoid(xp, i) * xp.tanh(g)
            h = _sigmoid(xp, o) * xp.tanh(c)
            return (h, c), h

        zeros = xp.zeros(xs.shape[1:], dtype=xs.dtype)
        return xp.mean(lib.scan(step, (zeros, zeros), xs)[1] ** 2)

    compiled, primal, args = lib.jit(lib.value_and_grad(loss)), lib.jit(loss), lib.array((params, xs))
    return Timed(lambda: lib.ready(compiled(*args)), lambda: lib.ready(primal(*args)))


def lstm_torch(lib: Any, params: Any, xs: np.ndarray) -> Any:
    """PyTorch's own LSTM layer; its order of gates (i, f, g, o) is the one used here."""
    torch, width = lib.torch, xs.shape[-1]
    layer = torch.nn.LSTM(width, width)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(lib.array(params["input"].T))
        layer.weight_hh_l0.copy_(lib.array(params["state"].T))
        layer.bias_ih_l0.zero_()
        layer.bias_hh_l0.zero_()
    xs = lib.array(xs)
    weights = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0)
    loss = lib.compile(lambda xs: (layer(xs)[0] ** 2).mean())

    def run() -> tuple:
        value = loss(xs)
        of_input, of_state, of_bias = torch.autograd.grad(value, weights)
        return value, {"input": of_input.T, "state": of_state.T, "bias": of_bias}

    return run


def ode_inputs(quick: bool) -> tuple:
    return np.array([1.1, 0.4, 0.1, 0.4]), np.array([10.0, 5.0]), 0.01, 100 if quick else 1000


def _field(p: Any, u: Any, v: Any) -> tuple:
    """Predators and prey (Lotka-Volterra)."""
    return p[0] * u - p[1] * u * v, p[2] * u * v - p[3] * v


def _rk4(p: Any, u: Any, v: Any, h: float) -> tuple:
    a1, b1 = _field(p, u, v)
    a2, b2 = _field(p, u + 0.5 * h * a1, v + 0.5 * h * b1)
    a3, b3 = _field(p, u + 0.5 * h * a2, v + 0.5 * h * b2)
    a4, b4 = _field(p, u + h * a3, v + h * b3)
    return u + h / 6.0 * (a1 + 2.0 * a2 + 2.0 * a3 + a4), v + h / 6.0 * (b1 + 2.0 * b2 + 2.0 * b3 + b4)


def ode(lib: Any, p: np.ndarray, start: np.ndarray, h: float, steps: int) -> Timed:
    """Squared end state of 1000 Runge-Kutta steps, and its gradient by the four parameters."""

    def loss(p: Any, start: Any) -> Any:
        (u, v), _ = lib.scan(lambda carry, _: (_rk4(p, *carry, h), None), (start[0], start[1]), None, length=steps)
        return u * u + v * v

    compiled, primal, args = lib.jit(lib.value_and_grad(loss)), lib.jit(loss), lib.array((p, start))
    return Timed(lambda: lib.ready(compiled(*args)), lambda: lib.ready(primal(*args)))


def ode_torch(lib: Any, p: np.ndarray, start: np.ndarray, h: float, steps: int) -> Any:
    torch = lib.torch
    (p,), start = lib.leaves(p), lib.array(start)
    one = lib.compile(lambda p, u, v: _rk4(p, u, v, h))  # the loop as a whole would take minutes to compile

    def run() -> tuple:
        u, v = start[0], start[1]
        for _ in range(steps):
            u, v = one(p, u, v)
        value = u * u + v * v
        return value, torch.autograd.grad(value, p)[0]

    return run


def ode_numba(lib: Any, p: np.ndarray, start: np.ndarray, h: float, steps: int) -> Any:
    """By hand: the trajectory is stored, then every step is transposed."""
    field = lib.jit(_field)

    @lib.jit
    def pull(p: np.ndarray, u: float, v: float, du: float, dv: float, dp: np.ndarray) -> tuple:
        """Transpose of the field at (u, v)."""
        dp[0] += du * u
        dp[1] -= du * u * v
        dp[2] += dv * u * v
        dp[3] -= dv * v
        return du * (p[0] - p[1] * v) + dv * p[2] * v, -du * p[1] * u + dv * (p[2] * u - p[3])

    @lib.jit
    def step(p: np.ndarray, start: np.ndarray) -> tuple:
        path = np.empty((steps + 1, 2))
        path[0] = start
        state, slope, weight = np.empty((4, 2)), np.empty((4, 2)), np.array([1.0, 2.0, 2.0, 1.0])
        reach = np.array([0.0, 0.5 * h, 0.5 * h, h])
        for n in range(steps):
            path[n + 1] = path[n]
            for i in range(4):
                u, v = path[n, 0], path[n, 1]
                if i:
                    u, v = u + reach[i] * slope[i - 1, 0], v + reach[i] * slope[i - 1, 1]
                slope[i, 0], slope[i, 1] = field(p, u, v)
                path[n + 1] += h / 6.0 * weight[i] * slope[i]
        value = path[steps, 0] ** 2 + path[steps, 1] ** 2
        back, dp = 2.0 * path[steps], np.zeros(4)
        for n in range(steps - 1, -1, -1):
            for i in range(4):
                state[i] = path[n]
                if i:
                    state[i] += reach[i] * slope[i - 1]
                slope[i, 0], slope[i, 1] = field(p, state[i, 0], state[i, 1])
            total, later = back.copy(), np.zeros(2)
            for i in range(3, -1, -1):
                du = h / 6.0 * weight[i] * back[0] + later[0]
                dv = h / 6.0 * weight[i] * back[1] + later[1]
                su, sv = pull(p, state[i, 0], state[i, 1], du, dv, dp)
                total[0] += su
                total[1] += sv
                later[0], later[1] = reach[i] * su, reach[i] * sv
            back = total
        return value, dp

    return lambda: step(p, start)


PROBLEMS = [
    Problem(
        "LSTM by scan, 100 steps",
        "loops",
        lstm_inputs,
        lstm,
        lstm_torch,
        autograd=True,
        targets=(Target("jax", 0.7),),
        tolerance=1e-3,
    ),
    Problem(
        "RK4, 2 variables, 1000 steps",
        "loops",
        ode_inputs,
        ode,
        ode_torch,
        {"numba": ode_numba},
        autograd=True,
        targets=(Target("jax", 0.15),),
        tolerance=1e-8,
    ),
]
