"""Record what PyTorch gives on the cases of tests/nn/torch_inputs.py: values, and gradients by every floating-point input.

Run where torch is installed: ``python -m tools.record_torch_fixtures``. It writes tests/nn/torch_values.npz, inputs included.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from tests.nn.torch_inputs import ACTIVATIONS, CONVOLUTIONS, POOLS, TRANSPOSED, cases, weights

torch.set_default_dtype(torch.float64)

ELEMENTWISE = {
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "celu": lambda x: F.celu(x, 2.0),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "sigmoid": F.sigmoid,
    "log_sigmoid": F.logsigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "hard_swish": F.hardswish,
    "hard_tanh": F.hardtanh,
    "tanh": F.tanh,
    "softplus": lambda x: F.softplus(x, threshold=50.0),
    "softplus_sharp": lambda x: F.softplus(x, beta=2.5, threshold=50.0),
    "softsign": F.softsign,
}
CLASS_WEIGHTS = torch.tensor([1.0, 2.0, 0.5, 3.0])

LOSSES = {
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "glu": lambda x: F.glu(x, -1),
    "mse": F.mse_loss,
    "mse_sum": lambda x, y: F.mse_loss(x, y, reduction="sum"),
    "mse_none": lambda x, y: F.mse_loss(x, y, reduction="none"),
    "mae": F.l1_loss,
    "huber": lambda x, y: F.huber_loss(x, y, delta=0.7),
    "smooth_l1": lambda x, y: F.smooth_l1_loss(x, y, beta=0.7),
    "hinge": lambda x, y: torch.relu(1 - x * y).mean(),
    "cosine_similarity": lambda x, y: F.cosine_similarity(x, y, -1),
    "cosine_embedding": lambda x, y, targets: F.cosine_embedding_loss(x, y, targets, margin=0.2),
    "cross_entropy": lambda x, labels: F.cross_entropy(x, labels),
    "cross_entropy_sum": lambda x, labels: F.cross_entropy(x, labels, reduction="sum"),
    "cross_entropy_none": lambda x, labels: F.cross_entropy(x, labels, reduction="none"),
    "cross_entropy_smoothed": lambda x, labels: F.cross_entropy(x, labels, label_smoothing=0.1),
    "cross_entropy_weighted": lambda x, labels: F.cross_entropy(x, labels, CLASS_WEIGHTS),
    "cross_entropy_weighted_smoothed": lambda x, labels: F.cross_entropy(x, labels, CLASS_WEIGHTS, label_smoothing=0.1),
    "cross_entropy_ignored": lambda x, labels: F.cross_entropy(x, labels, ignore_index=-100),
    "cross_entropy_probabilities": lambda x, p: F.cross_entropy(x, p, label_smoothing=0.2),
    "cross_entropy_image": lambda x, labels: F.cross_entropy(x.movedim(-1, 1), labels),
    "cross_entropy_extreme": lambda x, labels: F.cross_entropy(x, labels),
    "nll": lambda x, labels: F.nll_loss(x, labels),
    "nll_weighted_ignored": lambda x, labels: F.nll_loss(x, labels, CLASS_WEIGHTS, ignore_index=-1),
    "binary_logits": F.binary_cross_entropy_with_logits,
    "binary_logits_weighted": lambda x, y: F.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(3.0)),
    "binary_logits_extreme": lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="none"),
    "binary_probabilities": F.binary_cross_entropy,
    "kl_div": lambda x, y: F.kl_div(x, y, reduction="batchmean"),
    "kl_div_logs": lambda x, y: F.kl_div(x, y, reduction="sum", log_target=True),
    "poisson_nll": F.poisson_nll_loss,
    "poisson_nll_full": lambda x, y: F.poisson_nll_loss(x, y, full=True),
    "poisson_nll_rates": lambda x, y: F.poisson_nll_loss(x, y, log_input=False),
    "gaussian_nll": lambda x, y, var: F.gaussian_nll_loss(x, y, var, full=True),
    "triplet": lambda x, y, z: F.triplet_margin_loss(x, y, z),
    "triplet_swap": lambda x, y, z: F.triplet_margin_loss(x, y, z, margin=2.0, swap=True),
    "triplet_p3": lambda x, y, z: F.triplet_margin_loss(x, y, z, margin=2.0, p=3.0),
    "ctc": lambda x, labels: _ctc(x, labels, [9, 9, 9], [4, 4, 4], "mean"),
    "ctc_none": lambda x, labels: _ctc(x, labels, [9, 9, 9], [4, 4, 4], "none"),
    "ctc_lengths": lambda x, labels: _ctc(x, labels, [9, 7, 4], [4, 2, 1], "mean"),
}


def _ctc(x, labels, steps, sizes, reduction):
    logs = F.log_softmax(x, -1).transpose(0, 1)
    return F.ctc_loss(logs, labels, torch.tensor(steps), torch.tensor(sizes), reduction=reduction)


def _first(x):
    return x.movedim(-1, 1)


def _last(x):
    return x.movedim(1, -1)


def _convolution(name, x, weight, bias):
    window, stride, padding, dilation, groups, *_ = CONVOLUTIONS[name]
    function = (F.conv1d, F.conv2d, F.conv3d)[len(window) - 1]
    kernel = weight.movedim((-1, -2), (0, 1))
    return _last(function(_first(x), kernel, bias, stride, padding, dilation, groups))


def _transposed(name, x, weight, bias):
    window, stride, padding, dilation, groups, extra, channels, *_ = TRANSPOSED[name]
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[len(window) - 1]
    # fad: (*window, out / groups, in); torch: (in, out / groups, *window)
    kernel = weight.movedim((-1, -2), (0, 1))
    return _last(function(_first(x), kernel, bias, stride, padding, extra, groups, dilation))


def _pool(name, x):
    window, stride, padding, _ = POOLS[name]
    kind = ("max", "avg")[name.startswith("avg")]
    function = getattr(F, f"{kind}_pool{len(window)}d")
    options = {"count_include_pad": False} if name.endswith("inside") else {}
    return _last(function(_first(x), window, stride, padding, **options))


def _affine(arrays, *names):
    return {f"{new}.{k}": arrays[f"{old}.{k}"] for new, old in names for k in ("weight", "bias")}


def _attention_state(arrays, new, old):
    projections = [arrays[f"{old}{name}.weight"].T for name in ("query", "key", "value")]
    return {
        f"{new}in_proj_weight": torch.cat(projections),
        f"{new}in_proj_bias": torch.cat([arrays[f"{old}{name}.bias"] for name in ("query", "key", "value")]),
        f"{new}out_proj.weight": arrays[f"{old}output.weight"].T,
        f"{new}out_proj.bias": arrays[f"{old}output.bias"],
    }


def _with(module, state, *args, **options):
    return torch.func.functional_call(module, state, args, options)


def _multi_head(x, memory=None, **arrays):
    memory = x if memory is None else memory
    module = torch.nn.MultiheadAttention(6, 2, batch_first=True)
    return _with(module, _attention_state(arrays, "", ""), x, memory, memory, need_weights=False)[0]


def _recurrent(kind, gates, x, **arrays):
    both = "forward.input.weight" in arrays
    module = getattr(torch.nn, kind)(3, 5, batch_first=True, bidirectional=both)
    state = {}
    for prefix, suffix in (("forward.", ""), ("backward.", "_reverse")) if both else (("", ""),):
        state[f"weight_ih_l0{suffix}"] = arrays[f"{prefix}input.weight"].T
        state[f"weight_hh_l0{suffix}"] = arrays[f"{prefix}hidden.weight"].T
        state[f"bias_ih_l0{suffix}"] = arrays[f"{prefix}input.bias"]
        state[f"bias_hh_l0{suffix}"] = arrays.get(f"{prefix}hidden.bias", torch.zeros(gates * 5))
    return _with(module, state, x)[0]


def _rnn_relu(x, **arrays):
    hidden, outs = torch.zeros(2, 5), []
    for t in range(x.shape[1]):
        hidden = torch.relu(x[:, t] @ arrays["input.weight"] + arrays["input.bias"] + hidden @ arrays["hidden.weight"])
        outs.append(hidden)
    return torch.stack(outs, 1)


def _encoder(norm_first, x, **arrays):
    module = torch.nn.TransformerEncoderLayer(6, 2, 8, 0.0, "gelu", batch_first=True, norm_first=norm_first)
    state = _attention_state(arrays, "self_attn.", "attention.")
    state |= _affine(arrays, ("norm1", "attention_norm"), ("norm2", "feed_norm"))
    return _with(module, state | _feed(arrays), x)


def _feed(arrays):
    return {
        "linear1.weight": arrays["feed_in.weight"].T,
        "linear1.bias": arrays["feed_in.bias"],
        "linear2.weight": arrays["feed_out.weight"].T,
        "linear2.bias": arrays["feed_out.bias"],
    }


def _decoder(norm_first, x, encoded, **arrays):
    module = torch.nn.TransformerDecoderLayer(6, 2, 8, 0.0, "gelu", batch_first=True, norm_first=norm_first)
    state = _attention_state(arrays, "self_attn.", "attention.") | _attention_state(
        arrays, "multihead_attn.", "memory."
    )
    state |= _affine(arrays, ("norm1", "attention_norm"), ("norm2", "memory_norm"), ("norm3", "feed_norm"))
    causal = torch.nn.Transformer.generate_square_subsequent_mask(x.shape[1])
    return _with(module, state | _feed(arrays), x, encoded, tgt_mask=causal, tgt_is_causal=True)


def _attend(q, k, v, **options):
    q, k, v = (a.transpose(-3, -2) for a in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, **options).transpose(-3, -2)


NETWORKS = {
    "linear": lambda x, weight, bias: F.linear(x, weight.T, bias),
    "bilinear": lambda x, y, weight, bias: F.bilinear(x, y, weight.movedim(-1, 0), bias),
    "embedding": lambda labels, weight: F.embedding(labels, weight),
    "prelu": lambda x, weight: F.prelu(x, weight),
    "batch_norm_train": lambda x, **a: _last(
        F.batch_norm(_first(x), None, None, a["affine.weight"], a["affine.bias"], training=True)
    ),
    "batch_norm_eval": lambda x, **a: _last(
        F.batch_norm(_first(x), torch.arange(4.0), torch.arange(4.0) + 1, a["affine.weight"], a["affine.bias"])
    ),
    "layer_norm": lambda x, **a: F.layer_norm(x, (4,), a["affine.weight"], a["affine.bias"]),
    "layer_norm_axes": lambda x, weight, bias: F.layer_norm(x, (2, 4), weight, bias),
    "rms_norm": lambda x, weight: F.rms_norm(x, (4,), weight, 1e-6),
    "group_norm": lambda x, **a: _last(F.group_norm(_first(x), 2, a["affine.weight"], a["affine.bias"])),
    "instance_norm": lambda x, **a: _last(F.instance_norm(_first(x), weight=a["affine.weight"], bias=a["affine.bias"])),
    "attention": _attend,
    "attention_causal": lambda **a: _attend(**a, is_causal=True),
    "attention_masked": lambda **a: _attend(**a, attn_mask=torch.arange(4) < torch.tensor([2, 3])[:, None, None, None]),
    "attention_grouped": lambda **a: _attend(**a, enable_gqa=True),
    "multi_head": _multi_head,
    "multi_head_memory": _multi_head,
    "rnn": lambda **a: _recurrent("RNN", 1, **a),
    "rnn_relu": _rnn_relu,
    "lstm": lambda **a: _recurrent("LSTM", 4, **a),
    "gru": lambda **a: _recurrent("GRU", 3, **a),
    "gru_bidirectional": lambda **a: _recurrent("GRU", 3, **a),
    "encoder_first": lambda **a: _encoder(True, **a),
    "encoder_last": lambda **a: _encoder(False, **a),
    "decoder_first": lambda **a: _decoder(True, **a),
    "decoder_last": lambda **a: _decoder(False, **a),
    "adaptive_avg_pool": lambda x: _last(F.adaptive_avg_pool2d(_first(x), (3, 2))),
    "adaptive_max_pool": lambda x: _last(F.adaptive_max_pool2d(_first(x), (3, 2))),
}


def torch_function(name):
    """What PyTorch computes in a case."""
    if name in ACTIVATIONS:
        return ELEMENTWISE[name]
    for table, function in ((CONVOLUTIONS, _convolution), (TRANSPOSED, _transposed), (POOLS, _pool)):
        if name in table:
            return lambda **arrays: function(name, **arrays)
    return LOSSES[name] if name in LOSSES else NETWORKS[name]


def evaluate(name, arrays):
    """The result of a case, and the gradients by its floating-point inputs."""
    tensors = {k: torch.tensor(v, requires_grad=v.dtype.kind == "f") for k, v in arrays.items()}
    function = torch_function(name)
    named = name not in ACTIVATIONS and name not in LOSSES
    out = function(**tensors) if named else function(*tensors.values())
    (out.reshape(-1) * torch.tensor(weights(out.numel()))).sum().backward()
    gradients = {k: t.grad.numpy() for k, t in tensors.items() if t.requires_grad and t.grad is not None}
    return out.detach().numpy(), gradients


def main():
    """Evaluate every case and write the numbers."""
    found = {"torch": np.array(torch.__version__)}
    for name, arrays in cases().items():
        out, gradients = evaluate(name, arrays)
        found |= {f"{name}/in/{k}": v for k, v in arrays.items()}
        found |= {f"{name}/out": out} | {f"{name}/gradient/{k}": v for k, v in gradients.items()}
    np.savez_compressed(Path(__file__).parent.parent / "tests" / "nn" / "torch_values.npz", **found)


if __name__ == "__main__":
    main()
