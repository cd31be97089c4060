"""The protocol of every layer, the values of activations and the gradients of losses, generated from tables."""

import numpy as np
import pytest

import fad
import fad.nn as nn
import fad.numpy as fnp
from fad.testing import check_grads

KEY = fad.random.key(0)


def draw(*shape):
    """Values away from kinks, the same each time."""
    values = np.random.default_rng(len(shape) + sum(shape)).normal(size=shape)
    return fnp.asarray(values + 0.05 * np.sign(values))


LAYERS = {
    "linear": (nn.Linear(4, 3), draw(2, 4)),
    "conv": (nn.Conv(4, 6, 3, stride=2, groups=2), draw(2, 5, 5, 4)),
    "conv 1d": (nn.Conv(2, 3, 3, axes=1, dilation=2), draw(2, 7, 2)),
    "conv transpose": (nn.ConvTranspose(2, 3, 3, stride=2), draw(1, 3, 3, 2)),
    "batch norm": (nn.BatchNorm(3), draw(4, 3)),
    "layer norm": (nn.LayerNorm(4), draw(2, 4)),
    "rms norm": (nn.RMSNorm(4), draw(2, 4)),
    "group norm": (nn.GroupNorm(2, 4), draw(2, 3, 3, 4)),
    "instance norm": (nn.InstanceNorm(2), draw(2, 3, 3, 2)),
    "dropout": (nn.Dropout(0.5), draw(3, 4)),
    "max pool": (nn.MaxPool(2), draw(1, 4, 4, 2)),
    "avg pool": (nn.AvgPool(2), draw(1, 4, 4, 2)),
    "adaptive max": (nn.AdaptiveMaxPool(2), draw(1, 4, 4, 2)),
    "adaptive avg": (nn.AdaptiveAvgPool(2), draw(1, 5, 4, 2)),
    "global avg": (nn.GlobalAvgPool(), draw(1, 3, 3, 2)),
    "global max": (nn.GlobalMaxPool(), draw(1, 3, 3, 2)),
    "flatten": (nn.Flatten(), draw(2, 3, 2)),
    "lambda": (nn.Lambda(lambda x: x * 2.0), draw(2, 3)),
    "activation": (nn.Activation(nn.gelu), draw(2, 3)),
    "prelu": (nn.PReLU(), draw(2, 3)),
    "attention": (nn.MultiHeadAttention(8, 4, key_heads=2, causal=True), draw(2, 3, 8)),
    "positions": (nn.SinusoidalPositions(4), draw(2, 3, 4)),
    "residual": (nn.Residual(nn.Linear(3, 3)), draw(2, 3)),
    "parallel": (nn.Parallel(nn.Linear(3, 2), nn.Linear(3, 4)), draw(2, 3)),
    "sequence": (
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm(4), nn.relu, nn.Dropout(0.1), nn.Linear(4, 2)),
        draw(5, 3),
    ),
    "encoder": (nn.TransformerEncoderBlock(8, 2), draw(2, 3, 8)),
}


def run(layer, params, x, train):
    """Result and new state of a layer in a mode."""
    state = layer.init_state(dtype=x.dtype) if hasattr(layer, "init_state") else None
    return nn.apply(layer, params, x, state=state or None, key=KEY, train=train)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_keeps_the_protocol(name, train):
    layer, x = LAYERS[name]
    hash(layer)
    params = layer.init(KEY)
    assert all(isinstance(leaf, fad.Array) for leaf in fad.tree.leaves(params))
    y, state = run(layer, params, x, train)
    compiled, compiled_state = fad.jit(lambda p, v: run(layer, p, v, train))(params, x)
    for a, b in zip(fad.tree.leaves((y, state)), fad.tree.leaves((compiled, compiled_state))):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
    check_grads(lambda p, v: run(layer, p, v, train)[0], (params, x), order=1)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_float32_and_empty_batches(name):
    layer, x = LAYERS[name]
    params = fad.tree.map(lambda leaf: leaf.astype(np.float32), layer.init(KEY))
    y, _ = run(layer, params, x.astype(np.float32), False)
    assert all(leaf.dtype == np.float32 for leaf in fad.tree.leaves(y))
    empty, _ = run(layer, params, x[:0].astype(np.float32), False)
    assert empty.shape[0] == 0


def test_recurrent_layers():
    x = draw(2, 4, 3)
    for layer in (nn.RNN(3, 5), nn.LSTM(3, 5), nn.GRU(3, 5), nn.Bidirectional(nn.GRU(3, 5))):
        params = layer.init(KEY)
        out = layer(params, x)
        leaves = fad.tree.leaves(out)
        assert leaves[0].shape[:2] == (2, 4)
        for a, b in zip(leaves, fad.tree.leaves(fad.jit(layer)(params, x))):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_layers_of_several_inputs():
    bilinear = nn.Bilinear(3, 2, 4)
    assert bilinear(bilinear.init(KEY), draw(5, 3), draw(5, 2)).shape == (5, 4)
    table = nn.Embedding(6, 3)
    params = table.init(KEY)
    np.testing.assert_array_equal(table(params, fnp.array([1, 5])), fad.tree.leaves(params)[0][fnp.array([1, 5])])
    decoder = nn.TransformerDecoderBlock(8, 2)
    assert decoder(decoder.init(KEY), draw(2, 3, 8), draw(2, 4, 8)).shape == (2, 3, 8)


def test_a_wrong_shape_names_the_layer():
    model = nn.Sequential(nn.Linear(3, 4), nn.Residual(nn.Linear(4, 4)), nn.Linear(5, 2))
    with pytest.raises(nn.LayerShapeError, match=r"model\.\S*2"):
        model(model.init(KEY), draw(1, 3))
    assert issubclass(nn.LayerShapeError, fad.errors.ShapeError)
    assert isinstance(model, nn.Layer)
    assert "parameters" in nn.summary(nn.Linear(3, 4), nn.Linear(3, 4).init(KEY)).lower()


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "celu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "log_sigmoid": lambda x: -np.log1p(np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "swish": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "tanh": np.tanh,
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "squareplus": lambda x: (x + np.sqrt(x**2 + 4)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x >= 1, x, (x + 1) ** 2 / 4)),
    "sparse_sigmoid": lambda x: np.clip(x + 1, 0, 2) / 2,
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "log_softmax": lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True)),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    function, x = getattr(nn, name), draw(3, 4)
    np.testing.assert_allclose(function(x), ACTIVATIONS[name](np.asarray(x)), rtol=1e-12, atol=1e-12)
    check_grads(function, (x,), order=2)
    extreme = fnp.array([-1e4, 0.0, 1e4])
    assert np.all(np.isfinite(fad.vmap(fad.grad(lambda v: fnp.sum(function(v[None]))))(extreme)))


def test_other_functional_forms():
    x = draw(2, 4)
    np.testing.assert_allclose(nn.gelu(x, approximate="tanh"), nn.gelu(x), atol=2e-3)
    np.testing.assert_allclose(nn.glu(x), np.asarray(x[:, :2]) * np.asarray(nn.sigmoid(x[:, 2:])), rtol=1e-12)
    np.testing.assert_allclose(nn.prelu(x, 0.1), nn.leaky_relu(x, 0.1))
    np.testing.assert_allclose(nn.logsumexp(x, axis=1), np.log(np.exp(np.asarray(x)).sum(1)), rtol=1e-12)
    np.testing.assert_array_equal(nn.one_hot(fnp.array([0, 2]), 3), np.eye(3)[[0, 2]])
    image = draw(1, 4, 4, 2)
    np.testing.assert_allclose(nn.avg_pool(image, 2) * 4, nn.sum_pool(image, 2), rtol=1e-12)
    np.testing.assert_allclose(nn.adaptive_avg_pool(image, 1)[:, 0, 0], nn.global_avg_pool(image), rtol=1e-12)
    np.testing.assert_allclose(nn.adaptive_max_pool(image, 1)[:, 0, 0], nn.global_max_pool(image))
    assert nn.max_pool(image, 2).shape == (1, 2, 2, 2)
    kernel = draw(3, 3, 2, 5)
    assert nn.conv(image, kernel, stride=2).shape == (1, 2, 2, 5)
    assert nn.conv_transpose(image, draw(3, 3, 2, 2), stride=2).shape == (1, 8, 8, 2)
    np.testing.assert_allclose(nn.standardize(x, 0, mean=1.0, variance=4.0, epsilon=0.0), (np.asarray(x) - 1) / 2)
    np.testing.assert_allclose(nn.standardize(x), nn.layer_norm(x), rtol=1e-12)
    normal = nn.layer_norm(x)
    np.testing.assert_allclose(fnp.mean(normal, axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(nn.group_norm(image, 1), nn.group_norm(image * 3.0, 1), rtol=1e-3)
    assert nn.instance_norm(image).shape == nn.rms_norm(image).shape == image.shape
    np.testing.assert_allclose(nn.batch_norm(x, 1.0, 4.0, eps=0.0), (np.asarray(x) - 1) / 2)
    assert float(fnp.mean(nn.dropout(KEY, fnp.ones(10000), 0.3))) == pytest.approx(1.0, abs=0.05)
    q = draw(2, 3, 2, 4)
    assert nn.dot_product_attention(q, q, q, causal=True).shape == q.shape
    assert nn.rotary(q).shape == q.shape
    assert nn.sinusoidal_positions(5, 4).shape == (5, 4)


LOSSES = {
    "mse": (lambda p: nn.mse(p, draw(3, 4)), draw(3, 4) + 1),
    "mae": (lambda p: nn.mae(p, draw(3, 4)), draw(3, 4) + 1),
    "huber": (lambda p: nn.huber(p, draw(3, 4)), draw(3, 4) + 0.3),
    "smooth_l1": (lambda p: nn.smooth_l1(p, draw(3, 4)), draw(3, 4) + 0.3),
    "cross_entropy": (lambda p: nn.cross_entropy(p, fnp.array([0, 3, 1]), label_smoothing=0.1), draw(3, 4)),
    "nll": (lambda p: nn.nll(nn.log_softmax(p), fnp.array([0, 3, 1])), draw(3, 4)),
    "binary_cross_entropy": (lambda p: nn.binary_cross_entropy(p, nn.sigmoid(draw(3, 4))), draw(3, 4)),
    "kl_div": (lambda p: nn.kl_div(nn.log_softmax(p), nn.softmax(draw(3, 4) * 2)), draw(3, 4)),
    "hinge": (lambda p: nn.hinge(p, fnp.sign(draw(3, 4))), draw(3, 4)),
    "cosine_similarity": (lambda p: fnp.sum(nn.cosine_similarity(p, draw(3, 4) + 1)), draw(3, 4)),
    "cosine_embedding": (lambda p: nn.cosine_embedding(p, draw(3, 4) + 1, fnp.array([1, -1, 1])), draw(3, 4)),
    "triplet": (lambda p: nn.triplet(p, draw(3, 4) + 1, draw(3, 4) - 1), draw(3, 4)),
    "poisson_nll": (lambda p: nn.poisson_nll(p, fnp.abs(draw(3, 4))), draw(3, 4)),
    "gaussian_nll": (lambda p: nn.gaussian_nll(p, draw(3, 4) + 1, fnp.exp(p)), draw(3, 4)),
    "ctc": (lambda p: nn.ctc(nn.log_softmax(p), fnp.array([[1, 2], [2, 2]])), draw(2, 6, 4)),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    loss, x = LOSSES[name]
    value = loss(x)
    assert value.shape == ()
    np.testing.assert_allclose(fad.jit(loss)(x), value, rtol=1e-10)
    check_grads(loss, (x,), order=1)


def test_losses_at_the_extremes():
    logits = fnp.array([[1e4, -1e4], [-1e4, 1e4]])
    for loss in (
        lambda z: nn.cross_entropy(z, fnp.array([0, 0])),
        lambda z: nn.binary_cross_entropy(z, fnp.array([[1.0, 0.0], [1.0, 0.0]])),
    ):
        value, gradient = fad.value_and_grad(loss)(logits)
        assert np.isfinite(value)
        assert np.all(np.isfinite(gradient))
