"""What every loss keeps, on one table: reductions, masks, empty batches, dtypes, derivatives, wrong shapes; and its values at the extremes."""

import itertools

import numpy as np
import pytest

import fad
import fad.nn as nn
import fad.numpy as fnp
from fad.testing import check_grads

GENERATOR = np.random.default_rng(11)
N = 5


def reals(*shape):
    return GENERATOR.normal(size=shape)


LABELS = np.array([0, 3, 1, 1, 2])
SIGNS = np.array([1.0, -1, -1, 1, 1])
# name -> (loss of predictions and targets, predictions, targets); one loss for each of N examples
LOSSES = {
    "mse": (nn.mse, reals(N), reals(N)),
    "mae": (nn.mae, reals(N), reals(N)),
    "huber": (nn.huber, 2 * reals(N), reals(N)),
    "smooth_l1": (nn.smooth_l1, 2 * reals(N), reals(N)),
    "cross_entropy": (nn.cross_entropy, reals(N, 4), LABELS),
    "cross_entropy smoothed": (lambda x, y, **o: nn.cross_entropy(x, y, label_smoothing=0.2, **o), reals(N, 4), LABELS),
    "cross_entropy of probabilities": (nn.cross_entropy, reals(N, 4), np.abs(reals(N, 4))),
    "binary_cross_entropy": (nn.binary_cross_entropy, reals(N), (SIGNS + 1) / 2),
    "binary_cross_entropy weighted": (
        lambda x, y, **o: nn.binary_cross_entropy(x, y, pos_weight=2.0, **o),
        reals(N),
        (SIGNS + 1) / 2,
    ),
    "binary_cross_entropy of probabilities": (
        lambda x, y, **o: nn.binary_cross_entropy(x, y, from_logits=False, **o),
        GENERATOR.uniform(0.1, 0.9, N),
        (SIGNS + 1) / 2,
    ),
    "nll": (nn.nll, reals(N, 4), LABELS),
    "kl_div": (nn.kl_div, reals(N), np.abs(reals(N))),
    "hinge": (nn.hinge, reals(N), SIGNS),
    "poisson_nll": (lambda x, y, **o: nn.poisson_nll(x, y, full=True, **o), reals(N), LABELS.astype(float)),
    "gaussian_nll": (lambda x, y, **o: nn.gaussian_nll(x, y, fnp.exp(x), **o), reals(N), reals(N)),
    "cosine_embedding": (
        lambda x, y, **o: nn.cosine_embedding(x, y, fnp.asarray(SIGNS[: len(x)]), **o),
        reals(N, 3),
        reals(N, 3),
    ),
    "triplet": (lambda x, y, **o: nn.triplet(x, y, -y, margin=3.0, **o), reals(N, 3), reals(N, 3)),
    "ctc": (
        lambda x, y, **o: nn.ctc(nn.log_softmax(x), y, **o),
        reals(N, 6, 4),
        np.stack([LABELS, LABELS[::-1]], 1) % 3 + 1,
    ),
}


@pytest.fixture(params=LOSSES)
def entry(request):
    loss, predictions, targets = LOSSES[request.param]
    return request.param, loss, fnp.asarray(predictions), fnp.asarray(targets)


def test_reductions_and_masks(entry):
    name, loss, x, y = entry
    each = np.asarray(loss(x, y, reduction="none"))
    assert each.shape == (N,)
    scale = 2 if name == "ctc" else 1  # its mean is per label
    np.testing.assert_allclose(loss(x, y), each.mean() / scale, rtol=1e-12)
    np.testing.assert_allclose(loss(x, y, reduction="sum"), each.sum(), rtol=1e-12)
    mask = np.array([True, False, True, True, False])
    np.testing.assert_allclose(loss(x, y, where=mask), each[mask].mean() / scale, rtol=1e-12)
    np.testing.assert_allclose(loss(x, y, where=mask, reduction="sum"), each[mask].sum(), rtol=1e-12)
    np.testing.assert_allclose(loss(x, y, where=mask, reduction="none"), np.where(mask, each, 0), rtol=1e-12)
    gradient = np.asarray(fad.grad(lambda v: loss(v, y, where=mask))(x))
    assert not gradient[~mask].any()
    assert gradient[mask].any()
    with pytest.raises(fad.errors.ArgumentError, match="reduction"):
        loss(x, y, reduction="average")
    with pytest.raises(fad.errors.ShapeError, match="where"):
        loss(x, y, where=np.ones(N + 1, bool))


def test_derivatives(entry):
    _, loss, x, y = entry
    check_grads(lambda v: loss(v, y, reduction="none"), (x,), order=2)


def test_jit_vmap_and_precision(entry):
    name, loss, x, y = entry
    expected = loss(x, y, reduction="none")
    gradient = fad.grad(lambda v, t: loss(v, t))
    for a, b in ((fad.jit(loss)(x, y), loss(x, y)), (fad.jit(gradient)(x, y), gradient(x, y))):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
    if name != "cosine_embedding":  # whose signs belong to the places in the batch
        mapped = fad.vmap(lambda v, t: loss(v[None], t[None], reduction="sum"))(x, y)
        np.testing.assert_allclose(mapped, expected, rtol=1e-10)
    single = loss(x.astype(np.float32), y if y.dtype.kind == "i" else y.astype(np.float32), reduction="none")
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("size", [0, 1])
def test_small_batches(entry, size):
    _, loss, x, y = entry
    value, gradient = fad.value_and_grad(lambda v: loss(v, y[:size]))(x[:size])
    assert value.shape == ()
    assert np.isfinite(value)
    assert gradient.shape == x[:size].shape
    assert np.isfinite(gradient).all()
    nothing = fad.value_and_grad(lambda v: loss(v, y, where=np.zeros(N, bool)))(x)
    assert nothing[0] == 0
    assert not np.asarray(nothing[1]).any()


def test_wrong_shapes(entry):
    _, loss, x, y = entry
    with pytest.raises(fad.errors.ShapeError, match=r"nn\.\w+:"):
        loss(x, y[:-1])


# --- extremes ------------------------------------------------------------------------------------------------------------------

FAR = np.array([-1e4, -800.0, -40.0, 0.0, 40.0, 800.0, 1e4])


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("compiled", [False, True])
def test_binary_cross_entropy_at_extreme_logits(dtype, compiled):
    x = FAR.astype(dtype)
    for target, exact in ((1.0, softplus(-FAR)), (0.0, softplus(FAR))):

        def each(v, target=target):
            return nn.binary_cross_entropy(v, fnp.full(v.shape, target, v.dtype), reduction="none")

        gradient = fad.grad(lambda v: fnp.sum(each(v)))  # noqa: B023
        curvature = fad.grad(lambda v: fnp.sum(gradient(v)))  # noqa: B023
        each, gradient = (fad.jit(each), fad.jit(gradient)) if compiled else (each, gradient)
        np.testing.assert_allclose(each(x), exact, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-42)
        np.testing.assert_allclose(gradient(x), 1 / (1 + np.exp(-FAR.clip(-700, 700))) - target, atol=1e-7)
        np.testing.assert_allclose(curvature(x)[[0, 3, -1]], [0, 0.25, 0], atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_at_extreme_logits(dtype):
    x = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [0, 0, 0]], dtype)
    labels = np.array([1, 2, 0])
    np.testing.assert_allclose(nn.cross_entropy(x, labels, reduction="none"), [2e4, np.log(2), np.log(3)], rtol=1e-6)
    gradient = fad.jit(fad.grad(lambda v: nn.cross_entropy(v, labels, reduction="sum")))(x)
    np.testing.assert_allclose(gradient, [[1, -1, 0], [0, 0.5, -0.5], [-2 / 3, 1 / 3, 1 / 3]], atol=1e-6)
    # A class that is excluded altogether costs nothing where it is not the target.
    excluded = np.array([[0.0, -np.inf, 0.0]], dtype)
    value, gradient = fad.value_and_grad(lambda v: nn.cross_entropy(v, [2]))(excluded)
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.5, 0, -0.5]], atol=1e-6)
    value = nn.cross_entropy(excluded, np.array([[0.5, 0.0, 0.5]], dtype))
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)


def test_probabilities_of_zero_and_one():
    p = fnp.array([0.0, 1.0, 0.0, 1.0])
    targets = fnp.array([0.0, 1.0, 1.0, 0.0])
    value, gradient = fad.value_and_grad(
        lambda v: nn.binary_cross_entropy(v, targets, from_logits=False, reduction="sum")
    )(p)
    assert value == 200
    np.testing.assert_allclose(gradient, [1, -1, -1e12, 1e12])
    q = fnp.array([[0.0, 1.0]])
    value, gradient = fad.value_and_grad(lambda v: nn.kl_div(v, q, reduction="sum"))(fnp.array([[-1e4, 0.0]]))
    assert value == 0
    np.testing.assert_array_equal(gradient, [[0, -1]])
    gradient = fad.grad(lambda v: nn.kl_div(fnp.log(v), q, reduction="sum"), argnums=0)(fnp.array([[0.5, 0.5]]))
    np.testing.assert_array_equal(gradient, [[0, -2]])


def test_losses_at_their_kinks():
    zero = fnp.zeros(3)
    for loss in (nn.mse, nn.mae, nn.huber, nn.smooth_l1):
        value, gradient = fad.value_and_grad(loss)(zero, zero)
        assert value == 0
        assert not np.asarray(gradient).any()
    assert not np.asarray(fad.grad(lambda v: nn.huber(v, zero, delta=1e-3, reduction="sum"))(zero)).any()
    far = fnp.array([1e200])
    np.testing.assert_allclose(fad.grad(lambda v: nn.huber(v, 0.0))(far), [1.0])
    same = fnp.ones((2, 3))
    gradient = fad.grad(lambda v: fnp.sum(nn.cosine_similarity(v, same)))(fnp.zeros((2, 3)))
    assert np.isfinite(gradient).all()
    assert np.isfinite(fad.grad(lambda v: nn.triplet(v, same, same))(same)).all()
    np.testing.assert_allclose(nn.smooth_l1([2.0], [0.0], beta=0.0), 2.0)


def test_labels_are_checked():
    x = fnp.zeros((2, 3))
    with pytest.raises(fad.errors.IndexOutOfBoundsError, match="0 ... 2, got 3"):
        nn.cross_entropy(x, [0, 3])
    with pytest.raises(fad.errors.IndexOutOfBoundsError):
        nn.nll(x, [-1, 0])
    with pytest.raises(fad.errors.DTypeError, match="integers"):
        nn.nll(x, [0.0, 1.0])
    with pytest.raises(fad.errors.ShapeError, match="class_weights"):
        nn.cross_entropy(x, [0, 1], class_weights=[1.0, 2.0])
    with pytest.raises(fad.errors.ArgumentError, match="label_smoothing"):
        nn.cross_entropy(x, [0, 1], label_smoothing=2.0)
    with pytest.raises(fad.errors.ArgumentError, match="ignore_index"):
        nn.cross_entropy(x, x, ignore_index=0)
    np.testing.assert_allclose(nn.cross_entropy(x.T, [0, 1], axis=0), np.log(3))
    np.testing.assert_allclose(nn.cross_entropy(x.T, nn.one_hot([0, 1], 3).T, axis=0), np.log(3))


# --- ctc ---------------------------------------------------------------------------------------------------------------------------


def alignments(labels, time):
    """Every sequence with blanks (0) that collapses to the labels."""
    for path in itertools.product(range(3), repeat=time):
        merged = [k for k, _ in itertools.groupby(path)]
        if [k for k in merged if k] == list(labels):
            yield path


@pytest.mark.parametrize("labels", [[1], [1, 2], [1, 1], [2, 1, 2], []])
def test_ctc_sums_over_all_alignments(labels):
    logs = np.asarray(nn.log_softmax(np.random.default_rng(5).normal(size=(1, 5, 3))))
    total = sum(np.exp(sum(logs[0, t, k] for t, k in enumerate(path))) for path in alignments(labels, 5))
    found = nn.ctc(logs, np.array([labels], dtype=np.int64), reduction="sum")
    np.testing.assert_allclose(found, -np.log(total), rtol=1e-12)


def test_ctc_of_what_cannot_be():
    logs = nn.log_softmax(fnp.zeros((1, 2, 3)))
    labels = np.array([[1, 1]])  # needs a blank between, so three steps
    assert nn.ctc(logs, labels, reduction="sum") == np.inf
    value, gradient = fad.value_and_grad(lambda v: nn.ctc(v, labels, zero_infinity=True))(logs)
    assert value == 0
    assert not np.asarray(gradient).any()
    extreme = nn.log_softmax(fnp.asarray([[[1e4, 0, -1e4], [-1e4, 1e4, 0], [0, 0, 1e4]]]))
    value, gradient = fad.value_and_grad(lambda v: nn.ctc(v, [[1, 2]], reduction="sum"))(extreme)
    assert value == 0
    assert np.isfinite(gradient).all()
    with pytest.raises(fad.errors.ArgumentError, match="blank"):
        nn.ctc(logs, labels, blank=3)
    with pytest.raises(fad.errors.ShapeError, match="lengths"):
        nn.ctc(logs, labels, [2, 2])
