"""The problem that optimizers are compared on: a matrix, a vector and a scalar; smooth, badly scaled, changing with the step."""

import numpy as np


def start():
    """First parameters."""
    generator = np.random.default_rng(0)
    return {"w": generator.normal(size=(4, 3)), "b": generator.normal(size=3), "s": np.asarray(0.7)}


def loss(module, params, step):
    """The function to minimise, in terms of a NumPy-like module."""
    x = module.sin(params["w"] * 1.3 + 0.1 * step).sum() * params["s"]
    return x + 5.0 * (params["w"] ** 2).sum() + ((params["b"] - 1.0) ** 4).sum() + module.cos(params["b"]).sum()
