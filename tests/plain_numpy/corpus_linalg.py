"""Contractions and linear algebra."""

import numpy as np

from tests.plain_numpy.collection import Collection, complexes, positives, reals

case = Collection("linalg")

V = reals(3, seed=91)
W = reals(3, seed=92)
U4 = reals(4, seed=93)
A = reals(3, 3, seed=94) + 2.5 * np.eye(3)
B = reals(3, 3, seed=95)
M = reals(3, 4, seed=96)
N = reals(4, 2, seed=97)
TALL = reals(5, 3, seed=98)
T = reals(2, 3, 4, seed=99)
R = reals(2, 4, 3, seed=100)
BATCH = reals(2, 3, 3, seed=101) + 2.5 * np.eye(3)
Z = complexes(3, seed=102)
ZM = complexes(2, 2, seed=103) + 2 * np.eye(2)
P = positives(3, seed=104)

# Products
case("dot_vectors", lambda a, b: np.dot(a, b), V, W)
case("dot_matrix_vector", lambda a, b: np.dot(a, b), M, U4)
case("dot_matrices", lambda a, b: np.dot(a, b), M, N)
case("dot_high_rank", lambda a, b: np.dot(a, b), T, N)
case("dot_scalar", lambda a, b: np.dot(a, b), 1.4, V)
case("inner", lambda a, b: np.inner(a, b), M, reals(2, 4, seed=105))
case("inner_vectors", lambda a, b: np.inner(a, b) ** 2, V, W)
case("vdot", lambda a, b: np.vdot(a, b), Z, complexes(3, seed=106))
case("vdot_matrices", lambda a, b: np.vdot(a, b), A, B)
case("matmul_broadcast", lambda a, b: np.matmul(a, b), T, R)
case("matmul_vector_left", lambda a, b: a @ b, V, M)
case("matmul_chain", lambda a, b, c: a @ b @ c, V, M, N)
case("matmul_complex", lambda a, b: a @ b, ZM, complexes(2, seed=107))
case("tensordot_default", lambda a, b: np.tensordot(a, b), M, reals(3, 4, seed=108))
case("tensordot_one", lambda a, b: np.tensordot(a, b, axes=1), T, N)
case("tensordot_axes", lambda a, b: np.tensordot(a, b, axes=([1, 2], [2, 1])), T, R)
case("tensordot_outer", lambda a, b: np.tensordot(a, b, axes=0), V, U4)
case("outer_minus_transpose", lambda a, b: np.outer(a, b) - np.outer(b, a), V, W)
case("linalg_outer", lambda a, b: np.linalg.outer(a, b), V, W)
case("linalg_matmul", lambda a, b: np.linalg.matmul(a, b), A, B)
case("linalg_tensordot", lambda a, b: np.linalg.tensordot(a, b, axes=1), A, B)
case("linalg_vecdot", lambda a, b: np.linalg.vecdot(a, b), A, B)
case("cross", lambda a, b: np.cross(a, b), V, W)
case("cross_rows", lambda a, b: np.cross(a, b), A, B)
case("cross_axis", lambda a, b: np.cross(a, b, axis=0), A, B)
case("linalg_cross", lambda a, b: np.linalg.cross(a, b), V, W)
case("multi_dot", lambda a, b, c: np.linalg.multi_dot([a, b, c]), V, M, N)
case("matrix_power", lambda a: np.linalg.matrix_power(a, 3), B)
case("matrix_power_negative", lambda a: np.linalg.matrix_power(a, -2), A)

# einsum
case("einsum_matmul", lambda a, b: np.einsum("ij,jk->ik", a, b), M, N)
case("einsum_implicit", lambda a, b: np.einsum("ij,jk", a, b), M, N)
case("einsum_transpose", lambda a: np.einsum("ij->ji", a) * np.arange(3), M)
case("einsum_trace", lambda a: np.einsum("ii", a), A)
case("einsum_diagonal", lambda a: np.einsum("ii->i", a) ** 2, A)
case("einsum_sum_all", lambda a: np.einsum("ij->", a) ** 2, M)
case("einsum_sum_rows", lambda a: np.einsum("ij->i", a) ** 2, M)
case("einsum_outer", lambda a, b: np.einsum("i,j->ij", a, b), V, U4)
case("einsum_hadamard", lambda a, b: np.einsum("ij,ij->ij", a, b), A, B)
case("einsum_inner", lambda a, b: np.einsum("i,i", a, b), V, W)
case("einsum_bilinear", lambda a, m, b: np.einsum("i,ij,j->", a, m, b), V, M, U4)
case("einsum_batch", lambda a, b: np.einsum("bij,bjk->bik", a, b), T, R)
case("einsum_ellipsis", lambda a, b: np.einsum("...ij,...jk->...ik", a, b), T, R)
case("einsum_ellipsis_sum", lambda a: np.einsum("...i->...", a) ** 2, T)
case("einsum_three", lambda a, b, c: np.einsum("ij,jk,kl->il", a, b, c), A, M, N)
case("einsum_repeated", lambda a, b: np.einsum("ii,ij->j", a, b), A, M)
case("einsum_quadratic_form", lambda x, a: np.einsum("ni,ij,nj->n", x, a, x), TALL, A)
case("einsum_optimize", lambda a, b, c: np.einsum("ab,bc,cd->ad", a, b, c, optimize=True), A, B, M)
case("einsum_sublists", lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [0, 2]), M, N)
case("einsum_attention", lambda q, k: np.einsum("bqd,bkd->bqk", q, k), T, reals(2, 2, 4, seed=109))
case("einsum_complex", lambda a, b: np.einsum("ij,j->i", a, b), ZM, complexes(2, seed=110))

# Norms
case("norm", lambda x: np.linalg.norm(x), V)
case("norm_of_matrix", lambda x: np.linalg.norm(x), M)
case("norm_one", lambda x: np.linalg.norm(x, 1), V)
case("norm_inf", lambda x: np.linalg.norm(x, np.inf), V)
case("norm_minus_inf", lambda x: np.linalg.norm(x, -np.inf), V)
case("norm_three", lambda x: np.linalg.norm(x, 3), V)
case("norm_half", lambda x: np.linalg.norm(x, 0.5), P)
case("norm_axis", lambda x: np.linalg.norm(x, axis=1), M)
case("norm_keepdims", lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True), M)
case("norm_frobenius", lambda x: np.linalg.norm(x, "fro"), M)
case("norm_nuclear", lambda x: np.linalg.norm(x, "nuc"), M)
case("norm_spectral", lambda x: np.linalg.norm(x, 2), M)
case("norm_matrix_one", lambda x: np.linalg.norm(x, 1), M)
case("norm_matrix_inf", lambda x: np.linalg.norm(x, np.inf), M)
case("norm_two_axes", lambda x: np.linalg.norm(x, axis=(1, 2)), T)
case("norm_complex", lambda z: np.linalg.norm(z), Z)
case("vector_norm", lambda x: np.linalg.vector_norm(x, ord=3, axis=0), M)
case("matrix_norm", lambda x: np.linalg.matrix_norm(x), T)

# Solving and inverting
case("inv", lambda a: np.linalg.inv(a), A)
case("inv_batched", lambda a: np.linalg.inv(a), BATCH)
case("inv_complex", lambda a: np.linalg.inv(a), ZM)
case("solve", lambda a, b: np.linalg.solve(a, b), A, V)
case("solve_matrix", lambda a, b: np.linalg.solve(a, b), A, M)
case("solve_batched", lambda a, b: np.linalg.solve(a, b), BATCH, T)
case("solve_complex", lambda a, b: np.linalg.solve(a, b), ZM, complexes(2, seed=111))
case("solve_normal_equations", lambda x, y: np.linalg.solve(x.T @ x, x.T @ y), TALL, reals(5, seed=112))
case("pinv", lambda a: np.linalg.pinv(a), TALL)
case("pinv_wide", lambda a: np.linalg.pinv(a), M)
case("lstsq", lambda a, b: np.linalg.lstsq(a, b)[0], TALL, reals(5, seed=113))
case("lstsq_residual", lambda a, b: np.linalg.lstsq(a, b, rcond=None)[1], TALL, reals(5, seed=114))
case("det", lambda a: np.linalg.det(a), A)
case("det_batched", lambda a: np.linalg.det(a), BATCH)
case("slogdet", lambda a: np.linalg.slogdet(a)[1], A)
case("slogdet_named", lambda a: np.linalg.slogdet(a).logabsdet * np.linalg.slogdet(a).sign, BATCH)
case("cond", lambda a: np.linalg.cond(a), A)
case("cond_one", lambda a: np.linalg.cond(a, 1), A)
case("tensorsolve", lambda a, b: np.linalg.tensorsolve(a, b), reals(2, 2, 4, seed=115), reals(2, 2, seed=116))
case("tensorinv", lambda a: np.linalg.tensorinv(a, ind=1), reals(4, 2, 2, seed=117))
case("trace", lambda a: np.trace(a @ a), A)
case("trace_axes", lambda a: np.trace(a, axis1=1, axis2=2), T)
case("linalg_trace", lambda a: np.linalg.trace(a) ** 2, BATCH)
case("linalg_diagonal", lambda a: np.linalg.diagonal(a) ** 2, BATCH)
case("linalg_matrix_transpose", lambda a: np.linalg.matrix_transpose(a) @ a, T)
case("matrix_rank_as_number", lambda a: np.linalg.matrix_rank(a) * a, A)

# Factorisations
case("cholesky", lambda a: np.linalg.cholesky(a @ a.T + np.eye(3)), B)
case("cholesky_batched", lambda a: np.linalg.cholesky(a @ a.mT + np.eye(3)), BATCH)
case("cholesky_logdet", lambda a: 2 * np.sum(np.log(np.diag(np.linalg.cholesky(a @ a.T + np.eye(3))))), B)
case("cholesky_complex", lambda a: np.linalg.cholesky(a @ a.conj().T + np.eye(2)), ZM)
case("qr_r", lambda a: np.linalg.qr(a)[1], TALL)
case("qr_q", lambda a: np.linalg.qr(a).Q, TALL)
case("qr_square", lambda a: np.linalg.qr(a)[0] @ np.arange(3.0), A)
case("qr_mode_r", lambda a: np.linalg.qr(a, mode="r"), TALL)
case("svd_values", lambda a: np.linalg.svd(a, compute_uv=False), M)
case("svdvals", lambda a: np.linalg.svdvals(a) ** 2, TALL)
case("eigh_values", lambda a: np.linalg.eigh(a + a.T)[0], B)
case("eigvalsh", lambda a: np.linalg.eigvalsh(a @ a.T), B)
case("eigvalsh_batched", lambda a: np.linalg.eigvalsh(a + a.mT), BATCH)
case("eigh_complex_values", lambda a: np.linalg.eigvalsh(a + a.conj().T), ZM)
case("eigvals_sum_of_squares", lambda a: np.sum(np.linalg.eigvals(a) ** 2).real, A)
case("eig_spectral_radius", lambda a: np.max(np.abs(np.linalg.eigvals(a @ a.T))), B)


@case.on(TALL)
def svd_low_rank(a):
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    return (u[:, :2] * s[:2]) @ vt[:2]


@case.on(B)
def eigh_projector(a):
    vector = np.linalg.eigh(a + a.T)[1][:, 0]
    return np.outer(vector, vector)


@case.on(M)
def svd_polar_factor(a):
    u, _, vt = np.linalg.svd(a, full_matrices=False)
    return u @ vt


@case.on(B)
def eigh_matrix_function(a):
    values, vectors = np.linalg.eigh(a + a.T)
    return vectors @ np.diag(np.exp(0.3 * values)) @ vectors.T


@case.on(A, V)
def eig_of_general_matrix(a, v):
    values, vectors = np.linalg.eig(a)
    return (vectors @ (np.exp(values) * np.linalg.solve(vectors, v.astype(complex)))).real
