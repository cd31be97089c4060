"""Functions that NumPy gives nobody a chance to follow: each must be refused, never answered with a lost derivative."""

import math

import numpy as np

from tests.plain_numpy.collection import Collection, reals

case = Collection("refused")

X = reals(4, seed=241)
M = reals(3, 3, seed=242)


@case.on(X)
def assign_into_zeros(x):
    out = np.zeros(4)
    for i in range(4):
        out[i] = x[i] ** 2
    return out


@case.on(X)
def assign_slice_into_zeros(x):
    out = np.zeros(6)
    out[1:5] = x**2
    return out


@case.on(X)
def assign_into_argument(x):
    x = x * 1.0
    x[0] = 3.0
    return x


@case.on(X)
def add_into_slice_of_constant(x):
    out = np.ones(4)
    out[1:3] += x[:2]
    return out


@case.on(M)
def fill_diagonal(x):
    x = x * 1.0
    np.fill_diagonal(x, 0.0)
    return x


@case.on(X)
def put_along_axis(x):
    out = np.zeros(4)
    np.put_along_axis(out, np.array([1, 2]), x[:2], axis=0)
    return out


@case.on(X)
def sort_in_place(x):
    x = x * 1.0
    x.sort()
    return x


@case.on(X)
def ufunc_out_argument(x):
    out = np.empty(4)
    np.multiply(x, 2.0, out=out)
    return out


@case.on(X)
def ufunc_at(x):
    out = np.zeros(3)
    np.add.at(out, [0, 1, 1, 2], x)
    return out


@case.on(X)
def copyto(x):
    out = np.zeros(4)
    np.copyto(out, x)
    return out


case("math_sin", lambda x: math.sin(x[0]), X)
case("python_float", lambda x: float(x[1]) * 2.0, X)
case("item", lambda x: x[1].item() ** 2, X)
case("tolist", lambda x: sum(x.tolist()), X)
case("asarray", lambda x: np.asarray(x) ** 2, X)
case("array_of_tracer", lambda x: np.array(x) * 3, X)
case("asarray_dtype", lambda x: np.asarray(x, dtype=float) + 1, X)
case("ascontiguousarray", lambda x: np.ascontiguousarray(x) * 2, X)
case("full_of_value", lambda x: np.full(3, x[0]) ** 2, X)
case("float64_of_value", lambda x: np.float64(x[0]) ** 2, X)
case("full_like_value_of_constant", lambda x: np.full_like(np.zeros(3), x[0]), X)
case("frompyfunc", lambda x: np.frompyfunc(lambda v: v * v, 1, 1)(x).astype(float), X)
case("fromiter", lambda x: np.fromiter((v * 2 for v in x), float), X)
case("arange_to_value", lambda x: np.arange(0.0, x[0] + 3.0) * 2, X, zero_gradient=True)
case("round_to_int", lambda x: int(x[0] * 10) * 1.0, X, zero_gradient=True)
