"""Functions that the tests of transforms share, and their derivatives by hand."""

import numpy as np

import fad
import fad.numpy as fnp

X = np.array([0.3, -0.8, 1.2])


def smooth(x):
    """A scalar function of a vector whose Hessian has no zeros."""
    return fnp.sin(x).prod() + (x[0] * x[1:] ** 2).sum() + fnp.tanh(x @ x)


def smooth_gradient(x):
    s, c = np.sin(x), np.cos(x)
    others = np.array([s[1] * s[2], s[0] * s[2], s[0] * s[1]])
    slope = 1 - np.tanh(x @ x) ** 2
    return c * others + np.array([(x[1:] ** 2).sum(), 2 * x[0] * x[1], 2 * x[0] * x[2]]) + 2 * slope * x


def through_vmap(f):
    """``f`` by way of a batch of two equal examples."""
    return lambda *args: fad.tree.map(lambda y: y[0], fad.vmap(f)(*[fnp.stack([a, a]) for a in args]))


WRAPPERS = {
    "none": lambda f: f,
    "jit": fad.jit,
    "checkpoint": fad.checkpoint,
    "vmap": through_vmap,
}


def function_of_recipe(recipe, unary, binary):
    """A function of two arrays from a list of (operation, second operand, first operand); the operations are those of two tables."""

    def f(a, b):
        values = [a, b]
        for name, second, first in recipe:
            x = values[-1 - first % len(values)]
            values.append(unary[name](x) if second is None else binary[name](x, values[-1 - second % len(values)]))
        return values[-1] + 0.5 * values[-2]

    return f
