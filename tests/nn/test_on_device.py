"""Layers on a CUDA device: results and gradients are the CPU's."""

import numpy as np
import pytest

import fad
import fad.nn as nn
import fad.numpy as fnp
from tests import cuda_device
from tests.nn.test_surface import KEY, LAYERS, LOSSES, draw, run

pytestmark = cuda_device.marks()


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_layer_on_device(name, train):
    layer, x = LAYERS[name]
    params = layer.init(KEY, dtype=x.dtype)

    def loss(params, x):
        out = run(layer, params, x, train)[0]
        return fnp.sum(fnp.sin(out) * fnp.arange(float(out.size)).reshape(out.shape))

    expected = fad.value_and_grad(loss, argnums=(0, 1))(params, x)
    seen = fad.value_and_grad(loss, argnums=(0, 1))(*fad.device_put((params, x), "cuda:0"))
    for s, e in zip(fad.tree.leaves(seen), fad.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(s, e, rtol=1e-9, atol=1e-9)
        assert s.device != "cpu"


RECURRENT = {
    "rnn": nn.RNN(3, 5),
    "lstm": nn.LSTM(3, 5),
    "gru": nn.GRU(3, 5),
    "both ways": nn.Bidirectional(nn.GRU(3, 5)),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layer_on_device(name):
    layer, x = RECURRENT[name], draw(2, 4, 3)
    params = layer.init(KEY, dtype=x.dtype)

    def loss(params, x):
        return sum(fnp.sum(fnp.sin(leaf)) for leaf in fad.tree.leaves(layer(params, x)))

    expected = fad.value_and_grad(loss)(params, x)
    moved = fad.device_put((params, x), "cuda:0")
    for seen in (fad.value_and_grad(loss)(*moved), fad.jit(fad.value_and_grad(loss))(*moved)):
        for s, e in zip(fad.tree.leaves(seen), fad.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(s, e, rtol=1e-9, atol=1e-9)
            assert s.device != "cpu"


@pytest.mark.parametrize("name", LOSSES)
def test_loss_on_device(name):
    loss, x = LOSSES[name]
    expected = fad.value_and_grad(lambda x: fnp.sum(loss(x)))(x)
    seen = fad.value_and_grad(lambda x: fnp.sum(loss(x)))(fad.device_put(x, "cuda:0"))
    for s, e in zip(seen, expected, strict=True):
        np.testing.assert_allclose(s, e, rtol=1e-9, atol=1e-9)
        assert s.device != "cpu"
