"""Operators of every kind and the methods and attributes of arrays."""

import numpy as np

from tests.plain_numpy.collection import Collection, complexes, positives, reals

case = Collection("methods")

X = reals(5, seed=21)
Y = reals(5, seed=22)
P = positives(5, seed=23)
M = reals(3, 4, seed=24)
N = positives(3, 4, seed=25)
S = reals(3, 3, seed=26)
T = reals(2, 3, 4, seed=27)
Z = complexes(4, seed=28)
V4 = reals(4, seed=29)
CONSTANT = np.array([0.5, -1.5, 2.0, 0.25, -0.75])

# Operators
case("operator_add", lambda x, y: x + y * 2, X, Y)
case("operator_subtract", lambda x, y: x - y / 3, X, Y)
case("operator_multiply", lambda x, y: x * y * x, X, Y)
case("operator_divide", lambda x, y: x / y, X, P)
case("operator_power", lambda x, y: x**y, P, X)
case("operator_power_two", lambda x: x**2, X)
case("operator_power_minus_one", lambda x: x**-1, P)
case("operator_power_half", lambda x: x**0.5, P)
case("operator_negate", lambda x: -x * +x, X)
case("operator_abs", lambda x: abs(x), X)
case("operator_modulo", lambda x: x % 1.3, X)
case("operator_floor_divide", lambda x: x - (x // 0.8) * 0.8, X)
case("builtin_divmod", lambda x: divmod(x, 0.9)[1] ** 2, X)
case("builtin_pow", lambda x: pow(x, 3), X)
case("builtin_sum", lambda x: sum(x**2), X)
case("builtin_max", lambda x: max(x), X, eager_only="builtin max compares values in Python")
case("builtin_sorted", lambda x: sorted(x)[1] * 2, X, eager_only="builtin sorted compares values in Python")
case("reflected_add", lambda x: 2 + x, X)
case("reflected_subtract", lambda x: 1 - x**2, X)
case("reflected_multiply", lambda x: 3.5 * x, X)
case("reflected_divide", lambda x: 1 / x, P)
case("reflected_power", lambda x: 2**x, X)
case("reflected_modulo", lambda x: 2.75 % x, P)
case("reflected_floor_divide", lambda x: 2.75 // x * x, P)
case("reflected_matmul", lambda x: np.arange(15.0).reshape(3, 5) @ x, X)
case("ndarray_left", lambda x: CONSTANT * x - CONSTANT, X)
case("ndarray_left_divide", lambda x: CONSTANT / x, P)
case("ndarray_left_power", lambda x: np.abs(CONSTANT) ** x, X)
case("numpy_scalar_left", lambda x: np.float64(2.5) * x + np.float64(1), X)
case("numpy_scalar_left_subtract", lambda x: np.float64(0.5) - x * x, 0.8)
case("python_complex_left", lambda x: (1 + 2j) * x, X)
case("operator_matmul", lambda a, b: a @ b.T, M, N)
case("operator_matmul_vector", lambda a, v: a @ v, M, V4)
case("operator_matmul_vector_vector", lambda v, w: v @ w, X, Y)
case("operator_matmul_batched", lambda t, m: t @ m.T, T, M)
case("comparison_times_value", lambda x: (x > 0.1) * x**2, X)
case("comparison_chain", lambda x, y: (x < y) * x + (x >= y) * y**2, X, Y)
case("mask_and", lambda x: ((x > -1) & (x < 0.5)) * np.exp(x), X)
case("mask_or_invert", lambda x: (~((x > 1) | (x < -1))) * x**3, X)


@case.on(X)
def rebinding_add(x):
    x = x - 0.5
    x += 1
    x *= 2
    return x**2


@case.on(X, Y)
def rebinding_every_operator(x, y):
    total = x * 1.0
    total += y
    total -= 0.5 * x
    total *= y
    total /= 3.0
    total **= 2
    return total


@case.on(S, reals(3, 3, seed=30))
def rebinding_matmul(a, b):
    a = a + 0.0
    a @= b
    return a


@case.on(X)
def accumulate_in_loop(x):
    total = 0.0
    for value in x:
        total += value**2 * np.sin(value)
    return total


@case.on(M)
def iterate_rows(x):
    return sum(row @ row for row in x)


@case.on(M)
def enumerate_and_zip(x):
    total = 0
    for i, (a, b) in enumerate(zip(x[0], x[1], strict=True)):
        total = total + (i + 1) * a * b
    return total


@case.on(reals(3, seed=31))
def unpack(x):
    a, b, c = x
    return a * b + np.sin(c) * a


@case.on(X)
def use_len_and_shape(x):
    return x.sum() / len(x) * x.shape[0] ** 2 + x.size * x.ndim * x[0]


@case.on(X, eager_only="a Python if on a value")
def branch_on_value(x):
    if x[0] > 0:
        return x**2
    return x**3


@case.on(P, eager_only="a Python while on a value")
def while_on_value(x):
    total = x[0] * 1.0
    while total < 5:
        total = total * 1.7 + x[1] ** 2
    return total


# Reductions as methods
case("sum", lambda x: x.sum(), M)
case("sum_axis", lambda x: x.sum(axis=0) ** 2, M)
case("sum_keepdims", lambda x: x / x.sum(axis=1, keepdims=True), N)
case("sum_two_axes", lambda x: np.sin(x.sum(axis=(0, 2))), T)
case("sum_negative_axis", lambda x: x.sum(-1), T)
case("mean", lambda x: x.mean() * x, M)
case("mean_axis", lambda x: x - x.mean(axis=0), M)
case("std", lambda x: x.std(), M)
case("std_ddof", lambda x: x.std(axis=0, ddof=1), M)
case("var", lambda x: x.var(axis=1), M)
case("var_keepdims", lambda x: (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3), M)
case("prod", lambda x: x.prod(), X)
case("prod_axis", lambda x: x.prod(axis=1), M)
case("max", lambda x: x.max(), M)
case("max_axis", lambda x: x.max(axis=1), M)
case("min_axis", lambda x: x.min(axis=0) * 2, M)
case("ptp_by_hand", lambda x: x.max(axis=0) - x.min(axis=0), M)
case("cumsum", lambda x: x.cumsum(), M)
case("cumsum_axis", lambda x: x.cumsum(axis=1) ** 2, M)
case("cumprod", lambda x: x.cumprod(), X)
case("cumprod_axis", lambda x: x.cumprod(axis=0), M)
case("trace", lambda x: x.trace(), S)
case("trace_offset", lambda x: (x @ x.T).trace(offset=1), M)
case("argmax_as_index", lambda x: x[x.argmax()] ** 2, X)
case("argmin_as_index", lambda x: np.exp(x)[x.argmin()], X)
case("argsort_as_index", lambda x: x[x.argsort()] * np.arange(5), X)
case("all_any_as_number", lambda x: (x > -5).all() * x + (x > 5).any() * x**2, X)
case("count_nonzero_as_divisor", lambda x: np.where(x > 0, x, 0).sum() / np.count_nonzero(x > 0), X)

# Shape as methods
case("transpose_attribute", lambda x: x.T @ x, M)
case("matrix_transpose_attribute", lambda x: x.mT @ x, T)
case("reshape", lambda x: x.reshape(2, 6) @ np.ones(6), M)
case("reshape_tuple", lambda x: x.reshape((4, 3)) * np.arange(3), M)
case("reshape_minus_one", lambda x: x.reshape(-1) * np.arange(12), M)
case("reshape_fortran", lambda x: x.reshape((2, 6), order="F") ** 2 * np.arange(6), M)
case("ravel", lambda x: x.ravel()[::2], M)
case("ravel_fortran", lambda x: x.ravel(order="F") * np.arange(12), M)
case("flatten", lambda x: x.flatten() * np.arange(12), M)
case("flatten_fortran", lambda x: x.flatten("F")[:5] ** 2, M)
case("transpose", lambda x: x.transpose() * np.arange(3), M)
case("transpose_axes", lambda x: x.transpose(2, 0, 1)[1] * 3, T)
case("transpose_tuple", lambda x: x.transpose((1, 2, 0)) * np.arange(2), T)
case("swapaxes", lambda x: x.swapaxes(0, 2)[:, 1] ** 2, T)
case("squeeze", lambda x: x[None, :, None].squeeze() * 2, X)
case("squeeze_axis", lambda x: x.reshape(1, 5, 1).squeeze(axis=0) * x, X)
case("diagonal", lambda x: x.diagonal() ** 2, S)
case("diagonal_offset", lambda x: x.diagonal(offset=1) * np.array([1.0, 2.0]), S)
case("diagonal_axes", lambda x: x.diagonal(0, 1, 2) ** 2, T)
case("repeat", lambda x: x.repeat(3) * np.arange(15), X)
case("repeat_axis", lambda x: x.repeat(2, axis=1) * np.arange(8), M)
case("take", lambda x: x.take([0, 3, 3, 1]), X)
case("take_axis", lambda x: x.take([2, 0], axis=1) ** 2, M)
case("dot_method", lambda x, y: x.dot(y), M, V4)
case("copy_method", lambda x: x.copy() * x, X)
case("round_method", lambda x: x.round(1) * x, X)
case("clip_method", lambda x: x.clip(-1.0, 0.9) ** 2, X)
case("clip_min_only", lambda x: x.clip(min=0.0), X)
case("astype_float", lambda x: x.astype(float) ** 2, X)
case("astype_complex", lambda x: x.astype(complex) * (1 + 2j), X)
case("astype_of_mask", lambda x: (x > 0).astype(np.float64) * x, X)
case("real_imag_attributes", lambda z: z.real**2 + 3 * z.imag, Z)
case("conj_method", lambda z: (z * z.conj()).real, Z)
case("conjugate_method", lambda z: z.conjugate() * 1j, Z)
case("real_of_real", lambda x: x.real * 2 + x.imag, X)
case("method_chain", lambda x: ((x - x.mean(0)) / x.std(0)).clip(-1.05, 1.1).sum(axis=1).reshape(3, 1).T, M)
case("shape_arithmetic", lambda x: x.reshape(x.shape[0], -1).sum(axis=1) / x.shape[1], T)
case("sort_of_copy", lambda x: np.sort(x.copy())[::-1] * np.arange(5), X)
case("dtype_of_input", lambda x: x * np.ones(x.shape, dtype=x.dtype) * np.finfo(x.dtype).max ** 0, X)
case("searchsorted_as_number", lambda x: np.array([-1.0, 0.0, 1.0]).searchsorted(X) * x, X)
