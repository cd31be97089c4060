"""Machine learning and statistics, as people write them with NumPy."""

import numpy as np

from tests.plain_numpy.collection import Collection, positives, reals

case = Collection("models")

FEATURES = reals(6, 3, seed=141)
LABELS = np.array([0, 1, 1, 0, 1, 0])
SIGNS = 2.0 * LABELS - 1.0
CLASSES = np.array([0, 2, 1, 1, 0, 2])
TARGETS = reals(6, seed=142)
WEIGHTS = reals(3, seed=143)
WIDE = reals(3, 4, seed=144)
SEQUENCE = reals(4, 3, seed=145)
IMAGE = reals(5, 6, seed=146)
KERNEL = reals(3, 3, seed=147)
COUNTS = np.array([0, 2, 1, 4, 3, 1])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    shifted = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def erf(x):
    # Abramowitz and Stegun 7.1.26
    t = 1 / (1 + 0.3275911 * np.abs(x))
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return np.sign(x) * (1 - poly * np.exp(-(x**2)))


# Activations
case("sigmoid", sigmoid, WEIGHTS)
case("stable_sigmoid", lambda x: np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), 1 - 1 / (1 + np.exp(-np.abs(x)))), WIDE)
case("softplus", lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))), WIDE)
case("relu", lambda x: x * (x > 0), WIDE)
case("leaky_relu", lambda x: np.where(x > 0, x, 0.01 * x), WEIGHTS)
case("elu", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), WIDE)
case("gelu", lambda x: 0.5 * x * (1 + erf(x / np.sqrt(2))), WIDE)
case("gelu_tanh", lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), WIDE)
case("swish", lambda x: x * sigmoid(x), WIDE)
case("mish", lambda x: x * np.tanh(np.log1p(np.exp(x))), WIDE)
case("softmax", softmax, WIDE)
case("softmax_axis_zero", lambda x: softmax(x, axis=0), WIDE)
case("log_softmax", log_softmax, WIDE)
case("softmax_temperature", lambda x, t: softmax(x / t), WIDE, 0.7)

# Losses
case("squared_error", lambda w: np.mean((FEATURES @ w - TARGETS) ** 2), WEIGHTS)
case("absolute_error", lambda w: np.mean(np.abs(FEATURES @ w - TARGETS)), WEIGHTS)
case("hinge", lambda w: np.mean(np.maximum(0, 1 - SIGNS * (FEATURES @ w))), WEIGHTS)
case("squared_hinge", lambda w: np.mean(np.maximum(0, 1 - SIGNS * (FEATURES @ w)) ** 2), WEIGHTS)
case("cross_entropy", lambda w: -np.mean(log_softmax(FEATURES @ w)[np.arange(6), CLASSES]), WIDE)
case("cross_entropy_one_hot", lambda w: -np.sum(np.eye(4)[CLASSES] * log_softmax(FEATURES @ w)) / 6, WIDE)
case("poisson_loss", lambda w: np.sum(np.exp(FEATURES @ w) - COUNTS * (FEATURES @ w)), WEIGHTS)
case("elastic_net", lambda w: np.mean((FEATURES @ w - TARGETS) ** 2) + 0.1 * np.abs(w).sum() + 0.2 * w @ w, WEIGHTS)
case("kl_divergence", lambda p, q: np.sum(softmax(p) * (log_softmax(p) - log_softmax(q))), WEIGHTS, reals(3, seed=148))
case("cosine_similarity", lambda a, b: a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), WEIGHTS, reals(3, seed=149))


@case.on(WEIGHTS, 0.3)
def logistic_regression(w, bias):
    logits = FEATURES @ w + bias
    return np.mean(np.logaddexp(0, -SIGNS * logits)) + 0.01 * np.sum(w**2)


@case.on(WEIGHTS)
def binary_cross_entropy(w):
    p = sigmoid(FEATURES @ w)
    return -np.mean(LABELS * np.log(p) + (1 - LABELS) * np.log(1 - p))


@case.on(WEIGHTS)
def huber(w):
    error = np.abs(FEATURES @ w - TARGETS)
    return np.where(error < 1, 0.5 * error**2, error - 0.5).mean()


@case.on(WEIGHTS)
def quantile_loss(w):
    error = TARGETS - FEATURES @ w
    return np.maximum(0.9 * error, -0.1 * error).sum()


@case.on(FEATURES)
def triplet_loss(x):
    anchor, near, far = x[:2], x[2:4], x[4:]
    gap = np.sum((anchor - near) ** 2, axis=1) - np.sum((anchor - far) ** 2, axis=1)
    return np.sum(np.maximum(gap + 6.0, 0))


@case.on(SEQUENCE, reals(4, 3, seed=150))
def contrastive_loss(a, b):
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    return -np.trace(log_softmax(a @ b.T / 0.5)) / len(a)


@case.on(WIDE)
def focal_loss(w):
    p = softmax(FEATURES @ w)[np.arange(6), CLASSES]
    return -np.sum((1 - p) ** 2 * np.log(p))


# Layers
@case.on(WIDE, positives(4, seed=151), reals(4, seed=152))
def layer_norm(x, scale, shift):
    mean = x.mean(axis=-1, keepdims=True)
    variance = x.var(axis=-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift


@case.on(FEATURES)
def batch_norm(x):
    return (x - np.mean(x, axis=0)) / (np.std(x, axis=0) + 1e-3)


@case.on(WIDE, positives(4, seed=153))
def rms_norm(x, scale):
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-6) * scale


@case.on(WIDE, reals(4, seed=154), reals(4, 2, seed=155))
def two_layer_network(w1, b1, w2):
    hidden = np.tanh(FEATURES @ w1 + b1)
    return hidden @ w2


@case.on(reals(3, 3, seed=156), reals(3, 3, seed=157), reals(3, 3, seed=158))
def attention(wq, wk, wv):
    q, k, v = SEQUENCE @ wq, SEQUENCE @ wk, SEQUENCE @ wv
    return softmax(q @ k.T / np.sqrt(q.shape[-1])) @ v


@case.on(SEQUENCE)
def causal_attention(x):
    scores = x @ x.T / np.sqrt(3)
    scores = np.where(np.tri(4, dtype=bool), scores, -1e9)
    return softmax(scores) @ x


@case.on(reals(2, 4, 6, seed=159))
def multi_head_attention(x):
    heads = x.reshape(2, 4, 2, 3).transpose(0, 2, 1, 3)
    scores = np.einsum("bhqd,bhkd->bhqk", heads, heads) / np.sqrt(3)
    mixed = np.einsum("bhqk,bhkd->bhqd", softmax(scores), heads)
    return mixed.transpose(0, 2, 1, 3).reshape(2, 4, 6)[:, 0]


@case.on(WIDE[:, :3].copy(), reals(3, 3, seed=160), reals(3, seed=161))
def recurrent_network(wx, wh, bias):
    hidden = np.zeros(3)
    for x in SEQUENCE:
        hidden = np.tanh(x @ wx + hidden @ wh + bias)
    return hidden


@case.on(reals(5, 8, seed=162), reals(8, seed=163))
def lstm(weights, bias):
    hidden, cell = np.zeros(2), np.zeros(2)
    for x in SEQUENCE:
        gates = np.concatenate([x, hidden]) @ weights + bias
        i, f, o, g = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
    return hidden


@case.on(reals(5, 6, seed=164))
def gru(weights):
    hidden = np.full(2, 0.1)
    for x in SEQUENCE:
        reset, update, candidate = np.hsplit(np.hstack([x, hidden]) @ weights, 3)
        candidate = np.tanh(candidate * sigmoid(reset))
        hidden = (1 - sigmoid(update)) * hidden + sigmoid(update) * candidate
    return hidden


@case.on(IMAGE, KERNEL)
def convolution_by_windows(image, kernel):
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape)
    return np.einsum("ijkl,kl->ij", windows, kernel)


@case.on(IMAGE, KERNEL)
def convolution_by_loops(image, kernel):
    out = 0
    for i in range(3):
        for j in range(3):
            out = out + kernel[i, j] * image[i : i + 3, j : j + 4]
    return np.maximum(out, 0)


@case.on(IMAGE)
def max_pooling(image):
    return image[:4].reshape(2, 2, 3, 2).max(axis=(1, 3))


@case.on(IMAGE)
def average_pooling(image):
    return image[:4, :6].reshape(2, 2, 3, 2).mean(axis=(1, 3)) ** 2


@case.on(reals(3, 5, seed=165))
def mixture_of_experts(x):
    gate = softmax(x[:, :2])
    experts = np.stack([np.tanh(x), np.sin(x)], axis=1)
    return np.einsum("ne,ned->nd", gate, experts)


@case.on(reals(4, seed=166))
def dropout_with_fixed_mask(x):
    keep = np.random.default_rng(3).uniform(size=4) > 0.3
    return np.tanh(x) * keep / 0.7


@case.on(reals(6, seed=167))
def flat_parameters(theta):
    w, b = theta[:4].reshape(2, 2), theta[4:]
    return np.sum(np.tanh(np.array([[0.5, -1.0], [1.5, 0.3]]) @ w + b) ** 2)


@case.on(WIDE)
def positional_encoding(x):
    position = np.arange(3)[:, None] / 10000 ** (np.arange(0, 4, 2) / 4)
    return x + np.concatenate([np.sin(position), np.cos(position)], axis=1) * x


@case.on(WEIGHTS)
def gradient_descent_unrolled(w):
    for _ in range(3):
        w = w - 0.1 * FEATURES.T @ (FEATURES @ w - TARGETS) / 6
    return w


@case.on(WEIGHTS, 0.05)
def momentum_unrolled(w, rate):
    velocity = np.zeros_like(w)
    for _ in range(3):
        velocity = 0.9 * velocity + 2 * FEATURES.T @ (FEATURES @ w - TARGETS)
        w = w - rate * velocity
    return w


# Statistics
@case.on(reals(2, 3, seed=168), positives(2, seed=169), reals(2, seed=170))
def gaussian_mixture(means, scales, logits):
    weights = np.exp(logits) / np.exp(logits).sum()
    squared = np.sum((FEATURES[:, None] - means) ** 2, axis=-1)
    log_density = np.log(weights) - 1.5 * np.log(2 * np.pi * scales**2) - squared / (2 * scales**2)
    top = log_density.max(axis=1)
    return np.sum(top + np.log(np.exp(log_density - top[:, None]).sum(axis=1)))


@case.on(WEIGHTS, reals(3, 3, seed=171))
def multivariate_normal_log_density(mean, factor):
    covariance = factor @ factor.T + np.eye(3)
    centred = FEATURES - mean
    mahalanobis = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    return -0.5 * (mahalanobis + np.linalg.slogdet(2 * np.pi * covariance)[1])


@case.on(np.array([0.4, 0.9, 0.2]))
def gaussian_process_likelihood(hyper):
    length, amplitude, noise = hyper
    distance = (FEATURES[:, 0][:, None] - FEATURES[:, 0]) ** 2
    covariance = amplitude**2 * np.exp(-distance / (2 * length**2)) + noise**2 * np.eye(6)
    factor = np.linalg.cholesky(covariance)
    alpha = np.linalg.solve(factor.T, np.linalg.solve(factor, TARGETS))
    return -0.5 * TARGETS @ alpha - np.log(np.diagonal(factor)).sum() - 3 * np.log(2 * np.pi)


@case.on(0.8, 0.3)
def gaussian_process_mean(length, noise):
    x, query = np.linspace(0, 2, 5), np.array([0.3, 1.1])

    def kernel(a, b):
        return np.exp(-(np.subtract.outer(a, b) ** 2) / (2 * length**2))

    return kernel(query, x) @ np.linalg.solve(kernel(x, x) + noise * np.eye(5), np.sin(x))


case("rbf_kernel", lambda x, g: np.exp(-g * np.sum((x[:, None] - x[None]) ** 2, -1)), SEQUENCE, 0.4)
case("polynomial_kernel", lambda x: (1 + x @ x.T) ** 3, SEQUENCE)
case("laplace_kernel", lambda x, y: np.exp(-np.abs(x[:, None] - y).sum(-1)), SEQUENCE, reals(2, 3, seed=172))
case("matern_kernel", lambda r: (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r), positives(5, seed=173))


@case.on(0.6)
def ridge_regression(penalty):
    return np.linalg.solve(FEATURES.T @ FEATURES + penalty * np.eye(3), FEATURES.T @ TARGETS)


@case.on(FEATURES)
def pca_reconstruction(x):
    centred = x - x.mean(axis=0)
    _, _, components = np.linalg.svd(centred, full_matrices=False)
    return np.sum((centred - centred @ components[:2].T @ components[:2]) ** 2)


@case.on(FEATURES)
def pca_explained_variance(x):
    values = np.linalg.eigvalsh(np.cov(x.T))
    return values / values.sum()


@case.on(FEATURES)
def whitening(x):
    centred = x - x.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(x))
    return centred @ vectors @ np.diag(values**-0.5) @ vectors.T


@case.on(reals(2, 3, seed=174))
def kmeans_loss(centres):
    distance = np.linalg.norm(FEATURES[:, None, :] - centres[None], axis=2)
    return np.sum(np.min(distance, axis=1) ** 2)


@case.on(reals(4, 2, seed=175), reals(3, 2, seed=176))
def matrix_factorisation(users, items):
    observed = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1]])
    return np.sum(observed * (users @ items.T - 1.5) ** 2) + 0.1 * (np.sum(users**2) + np.sum(items**2))


@case.on(reals(2, seed=177), reals(2, seed=178))
def variational_bound(mean, log_scale):
    noise = np.random.default_rng(1).normal(size=(4, 2))
    sample = mean + np.exp(log_scale) * noise
    log_joint = -0.5 * np.sum(sample**2, axis=1) - np.cosh(sample).sum(axis=1)
    return np.mean(log_joint) + np.sum(log_scale)


@case.on(positives(3, seed=179))
def dirichlet_like_normalisation(a):
    p = a / a.sum()
    return -np.sum(p * np.log(p))


@case.on(reals(3, seed=180), reals(3, 3, seed=181), reals(3, 2, seed=182))
def hidden_markov_forward(start, transition, emission):
    start, transition, emission = softmax(start), softmax(transition), softmax(emission)
    alpha = start * emission[:, 0]
    for observed in [1, 0, 0, 1]:
        alpha = (alpha @ transition) * emission[:, observed]
    return np.log(alpha.sum())


@case.on(reals(4, seed=183))
def survival_partial_likelihood(risk):
    ordered = risk[np.argsort([3.0, 1.0, 2.0, 4.0])]
    at_risk = np.log(np.cumsum(np.exp(ordered)[::-1]))[::-1]
    return -np.sum((ordered - at_risk)[np.array([True, False, True, True])])


@case.on(positives(5, seed=184))
def gini_coefficient(x):
    x = np.sort(x)
    return np.sum((2 * np.arange(1, 6) - 6) * x) / (5 * np.sum(x))


@case.on(TARGETS)
def autocorrelation(x):
    x = x - x.mean()
    full = np.correlate(x, x, mode="full")
    return full[len(x) - 1 :] / full[len(x) - 1]


@case.on(TARGETS, 0.3)
def exponential_smoothing(x, a):
    level, levels = x[0], []
    for value in x:
        level = a * value + (1 - a) * level
        levels.append(level)
    return np.stack(levels)


@case.on(np.array([0.5, -0.3]))
def autoregressive_likelihood(phi):
    residual = TARGETS[2:] - phi[0] * TARGETS[1:-1] - phi[1] * TARGETS[:-2]
    return -0.5 * len(residual) * np.log(np.mean(residual**2))


@case.on(FEATURES, reals(3, seed=185))
def sinkhorn(x, y):
    plan = np.exp(-np.abs(x[:, :1] - y) / 0.5)
    for _ in range(3):
        plan = plan / plan.sum(axis=1, keepdims=True)
        plan = plan / plan.sum(axis=0, keepdims=True)
    return plan
