"""Values and gradients of fad.nn against PyTorch's, recorded by tools/record_torch_fixtures.py; against the installed one where there is one."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import fad
import fad.nn as nn
import fad.numpy as fnp
from tests.nn.torch_inputs import ACTIVATIONS, CONVOLUTIONS, POOLS, TRANSPOSED, cases, weights

CASES = cases()
RECORDED = dict(np.load(Path(__file__).parent / "torch_values.npz"))
CLASS_WEIGHTS = np.array([1.0, 2.0, 0.5, 3.0])

ELEMENTWISE = {
    "celu": lambda x: nn.celu(x, 2.0),
    "gelu_tanh": lambda x: nn.gelu(x, approximate="tanh"),
    "softplus_sharp": lambda x: nn.softplus(x, beta=2.5),
}

LOSSES = {
    "softmax": nn.softmax,
    "log_softmax": nn.log_softmax,
    "glu": nn.glu,
    "mse": nn.mse,
    "mse_sum": lambda x, y: nn.mse(x, y, reduction="sum"),
    "mse_none": lambda x, y: nn.mse(x, y, reduction="none"),
    "mae": nn.mae,
    "huber": lambda x, y: nn.huber(x, y, delta=0.7),
    "smooth_l1": lambda x, y: nn.smooth_l1(x, y, beta=0.7),
    "hinge": nn.hinge,
    "cosine_similarity": nn.cosine_similarity,
    "cosine_embedding": lambda x, y, targets: nn.cosine_embedding(x, y, targets, margin=0.2),
    "cross_entropy": nn.cross_entropy,
    "cross_entropy_sum": lambda x, labels: nn.cross_entropy(x, labels, reduction="sum"),
    "cross_entropy_none": lambda x, labels: nn.cross_entropy(x, labels, reduction="none"),
    "cross_entropy_smoothed": lambda x, labels: nn.cross_entropy(x, labels, label_smoothing=0.1),
    "cross_entropy_weighted": lambda x, labels: nn.cross_entropy(x, labels, class_weights=CLASS_WEIGHTS),
    "cross_entropy_weighted_smoothed": lambda x, labels: nn.cross_entropy(
        x, labels, class_weights=CLASS_WEIGHTS, label_smoothing=0.1
    ),
    "cross_entropy_ignored": lambda x, labels: nn.cross_entropy(x, labels, ignore_index=-100),
    "cross_entropy_probabilities": lambda x, p: nn.cross_entropy(x, p, label_smoothing=0.2),
    "cross_entropy_image": nn.cross_entropy,
    "cross_entropy_extreme": nn.cross_entropy,
    "nll": nn.nll,
    "nll_weighted_ignored": lambda x, labels: nn.nll(x, labels, class_weights=CLASS_WEIGHTS, ignore_index=-1),
    "binary_logits": nn.binary_cross_entropy,
    "binary_logits_weighted": lambda x, y: nn.binary_cross_entropy(x, y, pos_weight=3.0),
    "binary_logits_extreme": lambda x, y: nn.binary_cross_entropy(x, y, reduction="none"),
    "binary_probabilities": lambda x, y: nn.binary_cross_entropy(x, y, from_logits=False),
    "kl_div": lambda x, y: nn.kl_div(x, y, reduction="batchmean"),
    "kl_div_logs": lambda x, y: nn.kl_div(x, y, reduction="sum", log_target=True),
    "poisson_nll": nn.poisson_nll,
    "poisson_nll_full": lambda x, y: nn.poisson_nll(x, y, full=True),
    "poisson_nll_rates": lambda x, y: nn.poisson_nll(x, y, log_input=False),
    "gaussian_nll": lambda x, y, var: nn.gaussian_nll(x, y, var, full=True),
    "triplet": nn.triplet,
    "triplet_swap": lambda x, y, z: nn.triplet(x, y, z, margin=2.0, swap=True),
    "triplet_p3": lambda x, y, z: nn.triplet(x, y, z, margin=2.0, p=3.0),
    "ctc": lambda x, labels: nn.ctc(nn.log_softmax(x), labels),
    "ctc_none": lambda x, labels: nn.ctc(nn.log_softmax(x), labels, reduction="none"),
    "ctc_lengths": lambda x, labels: nn.ctc(nn.log_softmax(x), labels, [9, 7, 4], [4, 2, 1]),
}


def nested(arrays):
    """Parameters from names with dots."""
    tree = {}
    for name, value in arrays.items():
        *path, last = name.split(".")
        inner = tree
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return tree


def with_params(layer, *names):
    """A function of all arrays of a case: some are inputs, the rest are parameters."""

    def function(**arrays):
        inputs = [arrays.pop(name) for name in names]
        params = nested(arrays)
        return layer(params.get("affine", params), *inputs)

    return function


def convolution(name):
    window, stride, padding, dilation, groups, channels, features, _ = CONVOLUTIONS[name]
    return with_params(nn.Conv(channels, features, window, stride, padding, dilation, groups), "x")


def transposed(name):
    window, stride, padding, dilation, groups, extra, channels, features, _ = TRANSPOSED[name]
    return with_params(nn.ConvTranspose(channels, features, window, stride, padding, dilation, groups, extra), "x")


def pool(name):
    window, stride, padding, _ = POOLS[name]
    if name.startswith("max"):
        return with_params(nn.MaxPool(window, stride, padding), "x")
    return with_params(nn.AvgPool(window, stride, padding, count_include_pad=not name.endswith("inside")), "x")


def batch_norm(train):
    layer, numbers = nn.BatchNorm(4), fnp.arange(4.0)
    state = {"mean": numbers, "var": numbers + 1}
    return with_params(lambda params, x: layer(params, x, state=state, train=train)[0], "x")


MASK = np.arange(4) < np.array([2, 3])[:, None, None, None]
NETWORKS = {
    "linear": with_params(nn.Linear(4, 2), "x"),
    "bilinear": with_params(nn.Bilinear(4, 2, 5), "x", "y"),
    "embedding": with_params(nn.Embedding(4, 3), "labels"),
    "prelu": with_params(nn.PReLU(4), "x"),
    "batch_norm_train": batch_norm(True),
    "batch_norm_eval": batch_norm(False),
    "layer_norm": with_params(nn.LayerNorm(4), "x"),
    "layer_norm_axes": with_params(nn.LayerNorm((2, 4)), "x"),
    "rms_norm": with_params(nn.RMSNorm(4), "x"),
    "group_norm": with_params(nn.GroupNorm(2, 4), "x"),
    "instance_norm": with_params(nn.InstanceNorm(4), "x"),
    "attention": lambda q, k, v: nn.dot_product_attention(q, k, v),
    "attention_causal": lambda q, k, v: nn.dot_product_attention(q, k, v, causal=True),
    "attention_masked": lambda q, k, v: nn.dot_product_attention(q, k, v, mask=MASK),
    "attention_grouped": lambda q, k, v: nn.dot_product_attention(q, k, v),
    "multi_head": with_params(nn.MultiHeadAttention(6, 2), "x"),
    "multi_head_memory": with_params(nn.MultiHeadAttention(6, 2), "x", "memory"),
    "rnn": with_params(nn.RNN(3, 5), "x"),
    "rnn_relu": with_params(nn.RNN(3, 5, nonlinearity="relu"), "x"),
    "lstm": with_params(nn.LSTM(3, 5), "x"),
    "gru": with_params(nn.GRU(3, 5), "x"),
    "gru_bidirectional": with_params(nn.Bidirectional(nn.GRU(3, 5)), "x"),
    "encoder_first": with_params(nn.TransformerEncoderBlock(6, 2, hidden=8), "x"),
    "encoder_last": with_params(nn.TransformerEncoderBlock(6, 2, hidden=8, norm_first=False), "x"),
    "decoder_first": with_params(nn.TransformerDecoderBlock(6, 2, hidden=8), "x", "encoded"),
    "decoder_last": with_params(nn.TransformerDecoderBlock(6, 2, hidden=8, norm_first=False), "x", "encoded"),
    "adaptive_avg_pool": lambda x: nn.adaptive_avg_pool(x, (3, 2)),
    "adaptive_max_pool": lambda x: nn.adaptive_max_pool(x, (3, 2)),
}
# Where PyTorch has the derivative of the middle piece and fad that of the outer ones.
OTHER_KINKS = {"hard_swish": [-3.0, 3.0]}
# PyTorch's slope of 1/6 is a number in single precision.
SINGLE_PRECISION_IN_TORCH = {"hard_sigmoid"}


def function_of(name):
    for table, maker in ((CONVOLUTIONS, convolution), (TRANSPOSED, transposed), (POOLS, pool)):
        if name in table:
            return maker(name)
    if name in ACTIVATIONS:
        return ELEMENTWISE[name] if name in ELEMENTWISE else getattr(nn, name)
    return LOSSES[name] if name in LOSSES else NETWORKS[name]


def evaluate(name, arrays, compiled):
    """The result, and the gradients by every floating-point input of the case."""
    function, keyword = function_of(name), name not in ACTIVATIONS and name not in LOSSES

    def objective(moving):
        given = {k: moving.get(k, fnp.asarray(v)) for k, v in arrays.items()}
        out = function(**given) if keyword else function(*given.values())
        return fnp.sum(out.ravel() * weights(out.size)), out

    moving = {k: fnp.asarray(v) for k, v in arrays.items() if v.dtype.kind == "f"}
    gradient = fad.grad(objective, has_aux=True)
    gradients, out = (fad.jit(gradient) if compiled else gradient)(moving)
    return np.asarray(out), {k: np.asarray(v) for k, v in gradients.items()}


def check_agreement(name, arrays, out, gradients, expected, expected_gradients):
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-11)
    for k, value in expected_gradients.items():
        kept = ~np.isin(arrays[k], OTHER_KINKS[name]) if name in OTHER_KINKS else slice(None)
        rounding = 5e-8 if name in SINGLE_PRECISION_IN_TORCH else 1e-8
        np.testing.assert_allclose(gradients[k][kept], value[kept], rtol=rounding, atol=1e-10, err_msg=k)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_agree_with_the_recorded_ones(name, compiled):
    arrays = {k.split("/")[2]: v for k, v in RECORDED.items() if k.startswith(f"{name}/in/")}
    assert set(arrays) == set(CASES[name])
    arrays = {k: arrays[k] for k in CASES[name]}
    expected_gradients = {k.split("/")[2]: v for k, v in RECORDED.items() if k.startswith(f"{name}/gradient/")}
    assert expected_gradients
    out, gradients = evaluate(name, arrays, compiled)
    check_agreement(name, arrays, out, gradients, RECORDED[f"{name}/out"], expected_gradients)


@pytest.mark.peer
@pytest.mark.skipif(find_spec("torch") is None, reason="compares with PyTorch itself, which is not installed")
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_agree_with_the_installed_ones(name):
    from tools import record_torch_fixtures

    expected, expected_gradients = record_torch_fixtures.evaluate(name, CASES[name])
    check_agreement(name, CASES[name], *evaluate(name, CASES[name], False), expected, expected_gradients)
