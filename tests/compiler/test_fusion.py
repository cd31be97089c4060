"""What is fused, as text: a lost fusion shows here."""

import numpy as np

import fad
import fad.numpy as fnp
from fad.compiler.memory_plan import MemoryPlan
from tests.compiler.compiled_programs import check_compiled, kernels
from tests.compiler.test_native_programs import layer_norm, softmax

X = np.random.default_rng(0).normal(size=(200, 300))
V = X[0]


def test_softmax_is_one_pass_over_the_rows():
    (text,) = kernels(check_compiled(softmax, X))
    assert text.splitlines()[0] == "for i < 200:"
    assert text.count("for j < 300:") == 3


def test_layer_norm_and_its_gradient_are_one_kernel_each():
    assert len(kernels(check_compiled(layer_norm, X, V, V))) == 1
    gradient = fad.grad(lambda x, g, b: fnp.sum(fnp.sin(layer_norm(x, g, b))), argnums=(0, 1, 2))
    assert len(kernels(check_compiled(gradient, X, V, V, tolerance=1e-10))) == 1


def test_chains_share_one_loop():
    assert len(kernels(check_compiled(lambda x: (fnp.sin(x) * 2.0, fnp.sum(fnp.cos(x)), fnp.max(x)), X))) == 1


def test_cross_entropy_and_its_gradient_are_one_pass():
    labels = np.eye(300)[np.arange(200)]

    def loss(x, y):
        return fnp.mean(fnp.sum(y * (fnp.log(fnp.sum(fnp.exp(x), axis=1, keepdims=True)) - x), axis=1))

    assert len(kernels(check_compiled(fad.value_and_grad(loss), X, labels))) == 1


def test_a_product_is_followed_by_one_loop():
    texts = kernels(check_compiled(lambda x, w, v: fnp.tanh(x @ w + v) * 2.0, X, X.T, X[:, 0]))
    assert len(texts) == 1


def test_small_values_need_no_loop():
    assert kernels(check_compiled(fad.grad(lambda x: fnp.sum(fnp.sin(x) * x)), np.ones(4))) == []


def test_arrays_that_are_never_alive_together_share_memory():
    compiled = check_compiled(lambda x: (x @ x.T) @ x @ x.T @ x, X)
    sizes = [step.arena_size for step in compiled.steps]
    assert sizes == [200 * 200 * 8 + 200 * 300 * 8]


def test_plan_of_other_sizes():
    plan = MemoryPlan()
    first, second = plan.new((32, 10), 8), plan.new((40, 8), 8)
    plan.extend(first, plan.tick())
    third = plan.new((32,), 8)
    plan.extend(second, plan.tick())
    plan.extend(third, plan.now)
    assert plan.offsets({}) == ([0, 2560, 0], 5120)
    offsets, size = plan.offsets({32: 3200, 40: 4})
    assert size == 3200 * 80 + 256
    assert offsets[0] != offsets[1]
