"""Attention and what stands around it: masks, groups, caches, positions, recurrent carries."""

import numpy as np
import pytest

import fad
import fad.nn as nn
import fad.numpy as fnp
from fad.testing import check_grads

KEY = fad.random.key(5)


def draw(*shape):
    return fnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape))


def test_attention_is_a_weighted_mean():
    q, k, v = draw(2, 3, 2, 4), draw(2, 5, 2, 4), draw(2, 5, 2, 6)
    bias = draw(2, 3, 5)
    scores = np.einsum("nqhd,nkhd->nhqk", q, k) * 0.3 + np.asarray(bias)
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    expected = np.einsum("nhqk,nkhd->nqhd", weights, v)
    np.testing.assert_allclose(nn.dot_product_attention(q, k, v, bias=bias, scale=0.3), expected, rtol=1e-12)


def test_grouped_queries_share_keys():
    q, k, v = draw(2, 3, 6, 4), draw(2, 5, 2, 4), draw(2, 5, 2, 3)
    mask = np.random.default_rng(0).random((2, 6, 3, 5)) < 0.7
    repeated = (fnp.repeat(a, 3, axis=-2) for a in (k, v))
    np.testing.assert_allclose(
        nn.dot_product_attention(q, k, v, mask=mask),
        nn.dot_product_attention(q, *repeated, mask=mask),
        rtol=1e-12,
        atol=1e-14,
    )


def test_what_is_masked_has_no_influence():
    q, k, v = draw(1, 4, 2, 3), draw(1, 4, 2, 3), draw(1, 4, 2, 3)
    mask = np.arange(4) < 2

    def total(k, v):
        return fnp.sum(nn.dot_product_attention(q, k, v, mask=mask) ** 2)

    for gradient in fad.grad(total, argnums=(0, 1))(k, v):
        assert np.asarray(gradient)[:, :2].any()
        assert not np.asarray(gradient)[:, 2:].any()
    wild = k.at[:, 2:].set(1e4)
    np.testing.assert_allclose(total(wild, v), total(k, v), rtol=1e-12)


def test_a_query_that_sees_nothing_gets_zero():
    q = draw(1, 2, 1, 3)
    mask = np.array([[True, True], [False, False]])
    y, gradient = fad.value_and_grad(lambda a: fnp.sum(nn.dot_product_attention(a, a, a, mask=mask)[0, 1]))(q)
    assert y == 0
    assert not np.asarray(gradient).any()
    check_grads(lambda a: nn.dot_product_attention(a, a, a, mask=mask), (q,), order=2)


def test_extreme_scores():
    q = 1e4 * draw(1, 3, 1, 2)
    y, gradient = fad.value_and_grad(lambda a: fnp.sum(nn.dot_product_attention(a, a, a, causal=True)))(q)
    assert np.isfinite(y)
    assert np.isfinite(gradient).all()


def test_attention_says_what_does_not_fit():
    q = draw(2, 3, 4, 5)
    with pytest.raises(fad.errors.ShapeError, match="key heads"):
        nn.dot_product_attention(q, draw(2, 3, 3, 5), draw(2, 3, 3, 5))
    with pytest.raises(fad.errors.DTypeError, match="boolean"):
        nn.dot_product_attention(q, q, q, mask=np.zeros((3, 3)))
    model = nn.Sequential(nn.relu, block=nn.TransformerEncoderBlock(8, 2))
    with pytest.raises(nn.LayerShapeError, match=r"^model\.block\.attention_norm"):
        model(model.init(KEY), draw(2, 3, 6))
    layer = nn.MultiHeadAttention(8, 2, memory_features=6)
    with pytest.raises(nn.LayerShapeError, match=r"^model\.key \(Linear\): expected last axis 6"):
        layer(layer.init(KEY), draw(2, 3, 8))


def test_dropped_weights_need_a_key():
    layer = nn.MultiHeadAttention(8, 2, dropout=0.5)
    params, x = layer.init(KEY), draw(1, 6, 8)
    with pytest.raises(fad.errors.ArgumentError, match="key"):
        layer(params, x, train=True)
    first, second = (layer(params, x, key=fad.random.key(k), train=True) for k in (0, 1))
    assert np.any(np.asarray(first) != np.asarray(second))


@pytest.mark.parametrize(
    "layer",
    [
        nn.MultiHeadAttention(8, 4, 2, causal=True, rotary_base=50.0),
        nn.MultiHeadAttention(6, 3, causal=True, head_size=4, bias=False),
        nn.TransformerEncoderBlock(8, 2, causal=True, rotary_base=50.0),
        nn.TransformerEncoderBlock(8, 2, causal=True, norm_first=False),
    ],
    ids=["grouped", "plain", "block", "block norm last"],
)
def test_decoding_token_by_token_is_the_causal_layer(layer):
    params, x = layer.init(KEY), draw(2, 6, layer.features)
    expected = layer(params, x)
    step = fad.jit(layer.decode)
    cache, found = layer.init_cache(2, 8), []
    first, cache = step(params, x[:, :3], cache)
    found.append(first)
    for t in range(3, 6):
        y, cache = step(params, x[:, t : t + 1], cache)
        found.append(y)
    np.testing.assert_allclose(fnp.concatenate(found, axis=1), expected, rtol=1e-9, atol=1e-12)
    assert int(cache["position"]) == 6
    with pytest.raises(fad.errors.ShapeError, match="room for 8"):
        layer.decode(params, x[:, :3], cache)


def test_a_decoder_block_decodes_with_its_memory():
    layer = nn.TransformerDecoderBlock(8, 2)
    params, x, memory = layer.init(KEY), draw(2, 4, 8), draw(2, 3, 8)
    mask = np.array([True, True, False])
    expected = layer(params, x, memory, memory_mask=mask)
    cache, found = layer.init_cache((2,), 4), []
    for t in range(4):
        y, cache = layer.decode(params, x[:, t : t + 1], cache, memory, memory_mask=mask)
        found.append(y)
    np.testing.assert_allclose(fnp.concatenate(found, axis=1), expected, rtol=1e-9, atol=1e-12)


def test_rotations_depend_on_distances_only():
    q, k = draw(1, 1, 1, 6), draw(1, 1, 1, 6)

    def score(a, b):
        return float(fnp.sum(nn.rotary(q, [a]) * nn.rotary(k, [b])))

    assert score(3, 7) == pytest.approx(score(13, 17), rel=1e-12)
    assert score(3, 7) != pytest.approx(score(3, 8), rel=1e-3)
    np.testing.assert_allclose(fnp.linalg.norm(nn.rotary(q, [9])), fnp.linalg.norm(q), rtol=1e-12)
    check_grads(nn.rotary, (draw(3, 2, 4),), order=1)
    with pytest.raises(fad.errors.ShapeError, match="even"):
        nn.rotary(draw(3, 2, 5))


def test_sinusoids():
    table = np.asarray(nn.sinusoidal_positions(50, 6))
    for column in range(6):
        wave = np.sin if column % 2 == 0 else np.cos
        angle = np.arange(50) / 10000 ** (column // 2 * 2 / 6)
        np.testing.assert_allclose(table[:, column], wave(angle), atol=1e-12)
    assert nn.sinusoidal_positions(3, 5, dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize(
    "layer", [nn.RNN(3, 2, nonlinearity="relu"), nn.LSTM(3, 2), nn.GRU(3, 2, bias=False)], ids=repr
)
def test_recurrent_layers_go_on_from_a_carry(layer):
    params, x = layer.init(KEY), draw(2, 6, 3)
    whole, last = layer.run(params, x)
    first, carry = layer.run(params, x[:, :4])
    second, same = layer.run(params, x[:, 4:], carry)
    np.testing.assert_allclose(fnp.concatenate([first, second], axis=1), whole, rtol=1e-12)
    for a, b in zip(fad.tree.leaves(same), fad.tree.leaves(last)):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    carry = layer.init_carry((2,))
    for t in range(6):
        y, carry = layer.step(params, x[:, t], carry)
        np.testing.assert_allclose(y, whole[:, t], rtol=1e-12)
    backwards, _ = layer.run(params, x, reverse=True)
    np.testing.assert_allclose(backwards[:, ::-1], layer.run(params, x[:, ::-1])[0], rtol=1e-12)


def test_tied_embeddings():
    table = nn.Embedding(5, 3)
    params = table.init(KEY)
    np.testing.assert_allclose(
        table.attend(params, table(params, [1, 2])), params["weight"][[1, 2]] @ params["weight"].T
    )
    gradient = fad.grad(lambda p: fnp.sum(table(p, [[1, 1], [4, 1]])))(params)["weight"]
    np.testing.assert_array_equal(gradient, np.array([[0.0], [3], [0], [0], [1]]) * np.ones(3))


def test_softmax_with_masks():
    x = draw(3, 4)
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0]], bool)
    y = np.asarray(nn.softmax(x, where=mask))
    np.testing.assert_allclose(y.sum(axis=1), [1, 0, 1], rtol=1e-12)
    assert not y[~mask].any()
    logs = np.asarray(nn.log_softmax(x, where=mask))
    np.testing.assert_allclose(np.exp(logs), y, rtol=1e-12)
    np.testing.assert_allclose(nn.softmax(x, axis=(0, 1)).sum(), 1, rtol=1e-12)
    check_grads(lambda v: nn.softmax(v, where=mask), (x,), order=2)
    huge = nn.softmax(fnp.asarray([1e38, -1e38], dtype=np.float32))
    np.testing.assert_array_equal(huge, [1, 0])
