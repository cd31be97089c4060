"""GradBench's kmeans, ba and saddle, from their definitions, float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.harness import Problem, Target, Timed


def kmeans_inputs(quick: bool) -> tuple:
    n, k, d = (200, 5, 4) if quick else (10_000, 100, 8)
    points = np.random.default_rng(0).uniform(size=(n, d))
    return points, points[-k:].copy()


def kmeans(lib: Any, points: np.ndarray, centroids: np.ndarray) -> Timed:
    """Newton direction: gradient over the Hessian's diagonal, forward over reverse."""
    xp = lib.np

    def cost(c: Any, p: Any) -> Any:
        squares = (p**2).sum(1)[:, None] - 2.0 * (p @ c.T) + (c**2).sum(1)
        return xp.sum(xp.min(squares, axis=1))

    def direction(c: Any, p: Any) -> Any:
        gradient, diagonal = lib.jvp(lambda c: lib.grad(cost)(c, p), (c,), (xp.ones(c.shape),))
        return gradient / diagonal

    p, c = lib.array((points, centroids))
    compiled = map(lib.jit, (direction, cost, lib.grad(cost)))
    return Timed(*(lambda f=f: lib.ready(f(c, p)) for f in compiled))


def kmeans_torch(lib: Any, points: np.ndarray, centroids: np.ndarray) -> Any:
    """The minimum picks one index here: amin shares its gradient among ties, and has no forward mode through that."""
    torch = lib.torch
    p, c = lib.array((points, centroids))

    def cost(c: Any) -> Any:
        return ((p**2).sum(1)[:, None] - 2.0 * (p @ c.T) + (c**2).sum(1)).min(1).values.sum()

    def direction(c: Any) -> Any:
        gradient, diagonal = torch.func.jvp(torch.func.grad(cost), (c,), (torch.ones_like(c),))
        return gradient / diagonal

    compiled = lib.compile(direction)
    return lambda: compiled(c)


def kmeans_numpy(lib: Any, points: np.ndarray, centroids: np.ndarray) -> Any:
    """Closed form: a centroid minus the mean of the points nearest to it."""

    def run() -> np.ndarray:
        squares = -2.0 * (points @ centroids.T) + (centroids**2).sum(1)
        nearest = squares.argmin(1)
        totals = np.stack([np.bincount(nearest, column, len(centroids)) for column in points.T], axis=1)
        return centroids - totals / np.bincount(nearest, minlength=len(centroids))[:, None]

    return run


def bundle_inputs(quick: bool) -> tuple:
    rng = np.random.default_rng(0)
    n, m, p = (5, 20, 100) if quick else (21, 11_315 // 4, 31_843)
    cameras = rng.normal(size=(n, 11)) * 0.1 + np.array([0.0] * 3 + [0.0, 0.0, -5.0] + [1.0] + [0.0] * 4)
    cameras[0, :3] = 0.0  # the branch without rotation
    return cameras, rng.normal(size=(m, 3)), rng.uniform(0.5, 1.5, p), rng.normal(size=(p, 2))


def _reproject(xp: Any, camera: Any, point: Any, weight: Any, feature: Any) -> Any:
    """Weighted reprojection error (2,) of one observation."""
    rotation, v = camera[:3], point - camera[3:6]
    square = xp.sum(rotation * rotation)
    turned = square > 0.0
    angle = xp.sqrt(xp.where(turned, square, 1.0))  # guarded inside the root, so that no gradient is NaN
    axis = rotation / angle
    sine, cosine = xp.sin(angle), xp.cos(angle)
    by_angle = v * cosine + xp.cross(axis, v) * sine + axis * (xp.sum(axis * v) * (1.0 - cosine))
    moved = xp.where(turned, by_angle, v + xp.cross(rotation, v))
    flat = moved[:2] / moved[2]
    radius = xp.sum(flat * flat)
    flat = flat * (1.0 + camera[9] * radius + camera[10] * radius**2)
    return weight * (flat * camera[6] + camera[7:9] - feature)


def _bundle_columns(n: int, m: int, p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Observed cameras and points, and the sparse Jacobian's row pointers and columns."""
    i = np.arange(p)
    cameras, points = i % n, i % m
    last = 11 * n + 3 * m + i
    block = np.concatenate(
        [11 * cameras[:, None] + np.arange(11), 11 * n + 3 * points[:, None] + np.arange(3), last[:, None]], axis=1
    )
    columns = np.concatenate([np.repeat(block[:, None], 2, axis=1).ravel(), last])
    rows = np.concatenate([15 * np.arange(2 * p + 1), 30 * p + np.arange(1, p + 1)])
    return cameras, points, rows, columns


def bundle(lib: Any, cameras: np.ndarray, points: np.ndarray, weights: np.ndarray, features: np.ndarray) -> Timed:
    """All values of the sparse Jacobian: vmap of a 2 x 15 Jacobian over gathered cameras and points."""
    xp = lib.np
    which_camera, which_point, _, columns = _bundle_columns(len(cameras), len(points), len(weights))

    def residual(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        return _reproject(xp, camera, point, weight, feature)

    def errors(cameras: Any, points: Any, weights: Any, features: Any) -> tuple:
        return lib.vmap(residual)(cameras[which_camera], points[which_point], weights, features), 1.0 - weights**2

    def values(cameras: Any, points: Any, weights: Any, features: Any) -> Any:
        jacobian = lib.vmap(lib.jacrev(residual, argnums=(0, 1, 2)))
        by_camera, by_point, by_weight = jacobian(cameras[which_camera], points[which_point], weights, features)
        blocks = xp.concatenate([by_camera, by_point, by_weight[..., None]], axis=-1)
        return xp.concatenate([xp.reshape(blocks, (-1,)), -2.0 * weights])

    compiled, primal = lib.jit(values), lib.jit(errors)
    args = lib.array((cameras, points, weights, features))
    if columns.shape != (31 * len(weights),):
        raise ValueError("the sparse Jacobian's columns do not match its values")
    return Timed(lambda: lib.ready(compiled(*args)), lambda: lib.ready(primal(*args)))


def bundle_torch(lib: Any, cameras: Any, points: Any, weights: Any, features: Any) -> Any:
    torch = lib.torch
    which_camera, which_point, _, _ = _bundle_columns(len(cameras), len(points), len(weights))

    class Names:
        """The few NumPy names that PyTorch spells differently."""

        sum, sqrt, sin, cos, where = torch.sum, torch.sqrt, torch.sin, torch.cos, torch.where
        cross = staticmethod(torch.linalg.cross)

    def values(cameras: Any, points: Any, weights: Any, features: Any) -> Any:
        one = torch.func.jacrev(lambda c, p, w, f: _reproject(Names, c, p, w, f), argnums=(0, 1, 2))
        parts = torch.vmap(one)(cameras[which_camera], points[which_point], weights, features)
        blocks = torch.cat([parts[0], parts[1], parts[2][..., None]], -1)
        return torch.cat([blocks.reshape(-1), -2.0 * weights])

    compiled, args = lib.compile(values), lib.array((cameras, points, weights, features))
    return lambda: compiled(*args)


ETA, STOP = 1e-5, 1e-5


def saddle_inputs(quick: bool) -> tuple:
    return (np.array([1.0, 1.0]),)


def saddle(lib: Any, start: np.ndarray) -> Timed:
    """Minimum over x of the maximum over y: the outer gradient goes through the inner descent loop."""
    xp = lib.np

    def f(x: Any, y: Any) -> Any:
        return xp.sum(x**2) - xp.sum(y**2)

    def length(v: Any) -> Any:
        return xp.sqrt(xp.sum(v**2))

    def descend(function: Any, gradient: Any, x: Any) -> Any:
        """Gradient descent with a step that doubles after ten successes and halves after a failure."""

        def going(state: Any) -> Any:
            return xp.logical_not(state[5]) & (length(state[2]) > STOP)

        def turn(state: Any) -> tuple:
            x, value, slope, eta, count, _ = state
            grow = count == 10
            moved = x - eta * slope
            near = length(x - moved) <= STOP
            found = function(moved)
            # near ends the loop without a move; growing the step takes a turn without one
            accept = xp.logical_not(grow) & xp.logical_not(near) & (found < value)
            settled = grow | near
            eta = xp.where(grow, eta * 2.0, xp.where(accept | settled, eta, eta / 2.0))
            count = xp.where(accept, count + 1, 0)
            return (
                xp.where(accept, moved, x),
                xp.where(accept, found, value),
                xp.where(accept, gradient(moved), slope),
                eta,
                count,
                xp.logical_not(grow) & near,
            )

        state = (x, function(x), gradient(x), xp.asarray(ETA), xp.asarray(0), xp.asarray(False))
        return lib.while_loop(going, turn, state)[0]

    def best_reply(x: Any, start: Any) -> Any:
        def loss(y: Any) -> Any:
            return -f(x, y)

        return descend(loss, lib.grad(loss), start)

    def solve(start: Any) -> Any:
        def worst(x: Any) -> Any:
            return f(x, best_reply(x, start))

        left = descend(worst, lib.jacfwd(worst), start)
        return xp.concatenate([left, best_reply(left, start)])

    compiled, start = lib.jit(solve), lib.array(start)
    return Timed(lambda: lib.ready(compiled(start)))


def saddle_numba(lib: Any, start: np.ndarray) -> Any:
    """The same two loops in scalars, slopes by hand: the reply does not move with x, so its derivative is zero."""

    @lib.jit
    def reply(a: float, b: float, other: float) -> tuple:
        """Descent over y = (a, b) on |y|^2 minus the constant |x|^2."""
        eta, count, value = ETA, 0, a * a + b * b - other
        while 2.0 * math.sqrt(a * a + b * b) > STOP:
            if count == 10:
                eta, count = eta * 2.0, 0
                continue
            c, d = a - eta * 2.0 * a, b - eta * 2.0 * b
            if math.sqrt((a - c) ** 2 + (b - d) ** 2) <= STOP:
                break
            found = c * c + d * d - other
            if found < value:
                a, b, value, count = c, d, found, count + 1
            else:
                eta, count = eta / 2.0, 0
        return a, b

    @lib.jit
    def worst(a: float, b: float, s: float, t: float) -> float:
        u, v = reply(s, t, a * a + b * b)
        return a * a + b * b - u * u - v * v

    @lib.jit
    def solve(s: float, t: float) -> tuple:
        a, b, eta, count = s, t, ETA, 0
        value = worst(a, b, s, t)
        while 2.0 * math.sqrt(a * a + b * b) > STOP:
            if count == 10:
                eta, count = eta * 2.0, 0
                continue
            c, d = a - eta * 2.0 * a, b - eta * 2.0 * b
            if math.sqrt((a - c) ** 2 + (b - d) ** 2) <= STOP:
                break
            found = worst(c, d, s, t)
            if found < value:
                a, b, value, count = c, d, found, count + 1
            else:
                eta, count = eta / 2.0, 0
        return a, b, *reply(s, t, a * a + b * b)

    return lambda: np.array(solve(start[0], start[1]))


PROBLEMS = [
    Problem(
        "GradBench kmeans, n = 10000, k = 100",
        "gradbench",
        kmeans_inputs,
        kmeans,
        kmeans_torch,
        {"numpy": kmeans_numpy},
        targets=(Target("jax", 0.9),),
        unsupported="no forward over reverse for min",
    ),
    Problem(
        "GradBench ba, p = 31843",
        "gradbench",
        bundle_inputs,
        bundle,
        bundle_torch,
        targets=(Target("jax", 0.9),),
        unsupported="no vmap",
    ),
    Problem(
        "GradBench saddle",
        "gradbench",
        saddle_inputs,
        saddle,
        by_hand={"numba": saddle_numba},
        targets=(Target("jax", 0.35),),
        unsupported="nested loops of 5e4 turns in Python take minutes",
    ),
]
