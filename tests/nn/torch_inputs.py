"""The inputs on which fad.nn is compared with PyTorch: name of the case -> arrays, in fad's layout (channels last)."""

import numpy as np

ACTIVATIONS = (
    "relu relu6 leaky_relu elu selu celu gelu gelu_tanh silu mish sigmoid log_sigmoid hard_sigmoid hard_swish hard_tanh tanh softplus softplus_sharp "
    "softsign"
).split()

POINTS = np.array([-1e4, -30.0, -6.0, -3.0, -1.3, -1.0, -0.2, 0.0, 0.4, 1.0, 2.5, 3.0, 6.0, 30.0, 1e4])


def _classes(generator):
    return {"x": generator.normal(size=(5, 4)) * 3, "labels": np.array([0, 3, 1, 1, 2])}


def _pairs(generator):
    return {"x": generator.normal(size=(4, 3)), "y": generator.normal(size=(4, 3))}


def _probabilities(generator):
    logs = generator.normal(size=(4, 3))
    return np.exp(logs) / np.exp(logs).sum(axis=-1, keepdims=True)


def _linear(generator, n, m):
    return generator.normal(size=(n, m)) * 0.4, generator.normal(size=m) * 0.3


def _attention(generator, *names, features=6):
    arrays = {}
    for name in names:
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = _linear(generator, features, features)
    return arrays


def _norm(generator, name, features=6):
    return {
        f"{name}.weight": 1 + 0.2 * generator.normal(size=features),
        f"{name}.bias": 0.2 * generator.normal(size=features),
    }


def _feed(generator, features=6, hidden=8):
    arrays = _norm(generator, "feed_norm")
    arrays["feed_in.weight"], arrays["feed_in.bias"] = _linear(generator, features, hidden)
    arrays["feed_out.weight"], arrays["feed_out.bias"] = _linear(generator, hidden, features)
    return arrays


def _recurrent(generator, gates, directions=("",)):
    arrays = {"x": generator.normal(size=(2, 4, 3))}
    for direction in directions:
        arrays[f"{direction}input.weight"], arrays[f"{direction}input.bias"] = _linear(generator, 3, gates * 5)
        arrays[f"{direction}hidden.weight"], bias = _linear(generator, 5, gates * 5)
        if gates == 3:
            arrays[f"{direction}hidden.bias"] = bias
    return arrays


# window, stride, padding, dilation, groups, channels in and out, space
CONVOLUTIONS = {
    "conv1": ((3,), (1,), (1,), (1,), 1, 2, 3, (6,)),
    "conv1_wide": ((4,), (2,), (3,), (2,), 2, 4, 6, (9,)),
    "conv2": ((3, 2), (1, 2), (1, 0), (1, 1), 1, 3, 4, (5, 6)),
    "conv2_dilated": ((2, 3), (2, 1), (2, 1), (2, 1), 1, 2, 3, (6, 5)),
    "conv2_depthwise": ((3, 3), (1, 1), (1, 1), (1, 1), 4, 4, 8, (4, 4)),
    "conv3": ((2, 2, 2), (1, 2, 1), (0, 1, 1), (1, 1, 1), 1, 2, 2, (3, 4, 3)),
}
# window, stride, padding, dilation, groups, output padding, channels in and out, space
TRANSPOSED = {
    "conv_transpose1": ((3,), (2,), (1,), (1,), 1, (1,), 2, 3, (4,)),
    "conv_transpose2": ((2, 3), (2, 1), (0, 1), (1, 2), 1, (0, 0), 3, 2, (3, 4)),
    "conv_transpose2_grouped": ((3, 3), (2, 2), (1, 1), (1, 1), 2, (1, 0), 4, 6, (3, 3)),
    "conv_transpose3": ((2, 2, 1), (2, 1, 1), (0, 0, 0), (1, 1, 1), 1, (0, 0, 0), 2, 2, (2, 3, 2)),
}
# window, stride, padding, shape
POOLS = {
    "max_pool1": ((2,), (2,), (0,), (2, 7, 3)),
    "max_pool2": ((3, 2), (2, 1), (1, 1), (2, 5, 6, 3)),
    "max_pool3": ((2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 4, 4, 5, 2)),
    "avg_pool1": ((3,), (2,), (1,), (2, 7, 3)),
    "avg_pool2": ((3, 2), (2, 1), (1, 1), (2, 5, 6, 3)),
    "avg_pool2_inside": ((3, 2), (2, 1), (1, 1), (2, 5, 6, 3)),
    "avg_pool3": ((2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 4, 4, 5, 2)),
}


def _convolutions(generator):
    cases = {}
    for name, (window, _, _, _, groups, channels, features, space) in CONVOLUTIONS.items():
        cases[name] = {
            "x": generator.normal(size=(2, *space, channels)),
            "weight": generator.normal(size=(*window, channels // groups, features)),
            "bias": generator.normal(size=features),
        }
    for name, (window, _, _, _, groups, _, channels, features, space) in TRANSPOSED.items():
        cases[name] = {
            "x": generator.normal(size=(2, *space, channels)),
            "weight": generator.normal(size=(*window, features // groups, channels)),
            "bias": generator.normal(size=features),
        }
    for name, (_, _, _, shape) in POOLS.items():
        cases[name] = {"x": generator.normal(size=shape)}
    for name in ("adaptive_avg_pool", "adaptive_max_pool"):
        cases[name] = {"x": generator.normal(size=(2, 7, 6, 3))}
    return cases


def _losses(generator):
    cases = {name: _pairs(generator) for name in ("mse", "mae", "huber", "smooth_l1", "cosine_embedding", "hinge")}
    cases["cosine_embedding"] |= {"targets": np.array([1, -1, -1, 1])}
    cases["hinge"] |= {"y": np.where(generator.normal(size=(4, 3)) > 0, 1.0, -1.0)}
    cases["mse_sum"], cases["mse_none"] = _pairs(generator), _pairs(generator)
    for name in (
        "cross_entropy cross_entropy_sum cross_entropy_none cross_entropy_smoothed cross_entropy_weighted cross_entropy_weighted_smoothed "
        "cross_entropy_ignored nll nll_weighted_ignored"
    ).split():
        cases[name] = _classes(generator)
    cases["cross_entropy_ignored"]["labels"] = np.array([0, -100, 1, -100, 2])
    cases["nll_weighted_ignored"]["labels"] = np.array([0, 3, -1, 1, 2])
    cases["cross_entropy_probabilities"] = {"x": generator.normal(size=(4, 3)), "p": _probabilities(generator)}
    cases["cross_entropy_image"] = {
        "x": generator.normal(size=(2, 3, 2, 4)),
        "labels": generator.integers(0, 4, (2, 3, 2)),
    }
    cases["cross_entropy_extreme"] = {
        "x": np.array([[1e4, -1e4, 0.0], [0.0, 1e4, 0.0]]),
        "labels": np.array([0, 2]),
    }
    binary = {"x": generator.normal(size=(4, 3)) * 4, "y": generator.integers(0, 2, (4, 3)).astype(float)}
    cases["binary_logits"] = cases["binary_logits_weighted"] = binary
    cases["binary_logits_extreme"] = {"x": np.array([1e4, -1e4, 1e4, -1e4, 0.0]), "y": np.array([1.0, 1, 0, 0, 1])}
    cases["binary_probabilities"] = {"x": generator.uniform(0.05, 0.95, (4, 3)), "y": binary["y"]}
    cases["kl_div"] = {"x": np.log(_probabilities(generator)), "y": _probabilities(generator)}
    cases["kl_div_logs"] = {"x": np.log(_probabilities(generator)), "y": np.log(_probabilities(generator))}
    counts = generator.integers(0, 6, (4, 3)).astype(float)
    cases["poisson_nll"] = cases["poisson_nll_full"] = {"x": generator.normal(size=(4, 3)), "y": counts}
    cases["poisson_nll_rates"] = {"x": generator.uniform(0.5, 3, (4, 3)), "y": counts}
    cases["gaussian_nll"] = _pairs(generator) | {"var": generator.uniform(0.3, 2, (4, 3))}
    cases["cosine_similarity"] = _pairs(generator)
    for name in ("triplet", "triplet_swap", "triplet_p3"):
        cases[name] = _pairs(generator) | {"z": generator.normal(size=(4, 3))}
    labels = np.array([[1, 2, 2, 3], [4, 1, 0, 0], [2, 0, 0, 0]])
    for name in ("ctc", "ctc_none", "ctc_lengths"):
        cases[name] = {"x": generator.normal(size=(3, 9, 5)), "labels": np.where(labels == 0, 1, labels)}
    return cases


def _networks(generator):
    normal = generator.normal
    cases = {
        "linear": {"x": normal(size=(3, 4)), "weight": normal(size=(4, 2)), "bias": normal(size=2)},
        "bilinear": {
            "x": normal(size=(3, 4)),
            "y": normal(size=(3, 2)),
            "weight": normal(size=(4, 2, 5)),
            "bias": normal(size=5),
        },
        "embedding": {"labels": np.array([[1, 2], [2, 0]]), "weight": normal(size=(4, 3))},
        "prelu": {"x": normal(size=(3, 4)), "weight": np.array([0.1, 0.2, 0.3, 0.4])},
        "batch_norm_train": {"x": normal(size=(3, 2, 4)), **_norm(generator, "affine", 4)},
        "batch_norm_eval": {"x": normal(size=(3, 2, 4)), **_norm(generator, "affine", 4)},
        "layer_norm": {"x": normal(size=(3, 2, 4)), **_norm(generator, "affine", 4)},
        "layer_norm_axes": {"x": normal(size=(3, 2, 4)), "weight": normal(size=(2, 4)), "bias": normal(size=(2, 4))},
        "rms_norm": {"x": normal(size=(3, 4)), "weight": normal(size=4)},
        "group_norm": {"x": normal(size=(3, 5, 4)), **_norm(generator, "affine", 4)},
        "instance_norm": {"x": normal(size=(3, 5, 4)), **_norm(generator, "affine", 4)},
        "attention": {name: normal(size=(2, 4, 2, 3)) for name in ("q", "k", "v")},
        "attention_causal": {name: normal(size=(2, 4, 2, 3)) for name in ("q", "k", "v")},
        "attention_masked": {name: normal(size=(2, 4, 2, 3)) for name in ("q", "k", "v")},
        "attention_grouped": {
            "q": normal(size=(2, 5, 4, 3)),
            "k": normal(size=(2, 6, 2, 3)),
            "v": normal(size=(2, 6, 2, 3)),
        },
        "multi_head": {"x": normal(size=(2, 4, 6)), **_attention(generator, "query", "key", "value", "output")},
        "multi_head_memory": {
            "x": normal(size=(2, 4, 6)),
            "memory": normal(size=(2, 3, 6)),
            **_attention(generator, "query", "key", "value", "output"),
        },
        "rnn": _recurrent(generator, 1),
        "rnn_relu": _recurrent(generator, 1),
        "lstm": _recurrent(generator, 4),
        "gru": _recurrent(generator, 3),
        "gru_bidirectional": _recurrent(generator, 3, ("forward.", "backward.")),
    }
    for name in ("encoder_first", "encoder_last"):
        parts = ["attention.query", "attention.key", "attention.value", "attention.output"]
        cases[name] = {
            "x": normal(size=(2, 4, 6)),
            **_attention(generator, *parts),
            **_norm(generator, "attention_norm"),
            **_feed(generator),
        }
    for name in ("decoder_first", "decoder_last"):
        parts = [f"{a}.{b}" for a in ("attention", "memory") for b in ("query", "key", "value", "output")]
        cases[name] = {
            "x": normal(size=(2, 4, 6)),
            "encoded": normal(size=(2, 3, 6)),
            **_attention(generator, *parts),
            **_norm(generator, "attention_norm"),
            **_norm(generator, "memory_norm"),
            **_feed(generator),
        }
    return cases


def cases():
    """Every case; the same on every call."""
    generator = np.random.default_rng(7)
    found = {name: {"x": POINTS} for name in ACTIVATIONS}
    for name in ("softmax", "log_softmax", "glu"):
        found[name] = {"x": generator.normal(size=(3, 4)) * 3}
    return found | _losses(generator) | _convolutions(generator) | _networks(generator)


def weights(size):
    """The cotangent that makes one number of a result."""
    return np.sin(np.arange(size) + 1.0)
