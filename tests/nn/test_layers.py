"""What every layer keeps, on one table: equality and hashes, dtypes, vmap over inputs and over parameters, second order, batches of 0 and 1, wrong shapes."""

from dataclasses import dataclass

import numpy as np
import pytest

import fad
import fad.nn as nn
import fad.numpy as fnp
from fad.testing import check_grads

KEY = fad.random.key(3)


def halved(x):
    return x * 0.5


def block():
    return nn.Sequential(
        nn.Conv(2, 4, 3),
        nn.BatchNorm(4),
        nn.relu,
        nn.Residual(nn.Sequential(nn.Conv(4, 4, 3), nn.BatchNorm(4)), nn.Conv(4, 4, 1)),
        nn.Parallel(nn.Lambda(halved), norm=nn.BatchNorm(4)),
        nn.Dropout(0.3, broadcast_axes=(1, 2)),
        nn.GlobalAvgPool(),
        head=nn.Linear(8, 3),
    )


@dataclass(frozen=True)
class Twice(nn.Layer):
    """A layer of two inputs, which are both made of one."""

    layer: nn.Layer

    def __call__(self, params, x, *, key=None, train=False):
        return self.call("layer", params, x, fnp.flip(x, axis=-2), key=key, train=train)[0]


@dataclass(frozen=True)
class Looked(nn.Layer):
    """A table of vectors, looked up at fixed places."""

    table: nn.Embedding

    def __call__(self, params, x):
        codes = np.arange(x.shape[1]) * 2 % self.table.entries
        return self.call("table", params, codes)[0] * x


# name -> (how it is made, the shape of an example without the batch, a shape that does not fit)
LAYERS = {
    "Linear": (lambda: nn.Linear(4, 3), (4,), (5,)),
    "Linear without bias": (lambda: nn.Linear(4, 3, bias=False), (4,), (5,)),
    "Conv 1-d": (lambda: nn.Conv(2, 3, (3,), stride=2, padding=1), (6, 2), (6, 3)),
    "Conv 2-d": (lambda: nn.Conv(4, 6, 3, stride=[2, 1], dilation=2, groups=2), (5, 5, 4), (5, 5, 3)),
    "Conv depthwise": (lambda: nn.Conv(3, 6, (2, 2), groups=3, padding="VALID"), (4, 3, 3), (4, 3)),
    "Conv 3-d": (lambda: nn.Conv(2, 2, (2, 2, 2)), (3, 3, 3, 2), (3, 3, 3, 1)),
    "Conv 2-d of even windows": (lambda: nn.Conv(2, 3, (2, 4), stride=(1, 2), bias=False), (3, 5, 2), (3, 5, 1)),
    "ConvTranspose 1-d": (lambda: nn.ConvTranspose(2, 3, (3,), stride=2, padding=1), (3, 2), (3, 3)),
    "ConvTranspose 3-d": (lambda: nn.ConvTranspose(2, 1, (2, 1, 2), dilation=(2, 1, 1)), (2, 2, 2, 2), (2, 2, 2)),
    "ConvTranspose": (lambda: nn.ConvTranspose(2, 4, 3, stride=2, groups=2), (3, 3, 2), (3, 3, 4)),
    "BatchNorm": (lambda: nn.BatchNorm(3), (2, 3), (2, 4)),
    "BatchNorm without affine": (lambda: nn.BatchNorm(3, affine=False), (3,), (4,)),
    "LayerNorm": (lambda: nn.LayerNorm((2, 3)), (2, 3), (3, 3)),
    "RMSNorm": (lambda: nn.RMSNorm(4), (4,), (5,)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (3, 3, 4), (3, 3, 6)),
    "InstanceNorm": (lambda: nn.InstanceNorm(2), (3, 2), (3, 3)),
    "Dropout": (lambda: nn.Dropout(0.4), (4,), None),
    "MaxPool": (lambda: nn.MaxPool([2, 2], stride=1), (3, 3, 2), (3, 2)),
    "MaxPool 1-d": (lambda: nn.MaxPool((3,), stride=2, padding=1, dilation=2), (7, 2), (7, 2, 2)),
    "MaxPool 3-d": (lambda: nn.MaxPool((2, 1, 2)), (2, 2, 3, 1), (2, 2)),
    "AvgPool 1-d": (lambda: nn.AvgPool((2,), stride=1, padding="SAME"), (4, 2), (4,)),
    "AvgPool 3-d": (lambda: nn.AvgPool((1, 2, 2)), (2, 2, 3, 1), (2, 2)),
    "AvgPool": (lambda: nn.AvgPool((2, 3), padding=(1, 0), count_include_pad=False), (4, 6, 2), (6, 2)),
    "AdaptiveAvgPool": (lambda: nn.AdaptiveAvgPool([2, 3]), (5, 6, 2), (5, 2)),
    "AdaptiveMaxPool": (lambda: nn.AdaptiveMaxPool((2, 3)), (5, 6, 2), (5, 2)),
    "GlobalAvgPool": (lambda: nn.GlobalAvgPool(keepdims=True), (3, 3, 2), ()),
    "GlobalMaxPool": (lambda: nn.GlobalMaxPool(), (3, 3, 2), (2,)),
    "Flatten": (lambda: nn.Flatten(), (2, 3), None),
    "Lambda": (lambda: nn.Lambda(halved), (3,), None),
    "PReLU": (lambda: nn.PReLU(3), (3,), (4,)),
    "MultiHeadAttention": (lambda: nn.MultiHeadAttention(8, 4, 2, rotary_base=100.0, causal=True), (3, 8), (3, 6)),
    "MultiHeadAttention with dropout": (lambda: nn.MultiHeadAttention(6, 2, dropout=0.2), (3, 6), (3, 8)),
    "MultiHeadAttention of a memory": (lambda: Twice(nn.MultiHeadAttention(4, 2, head_size=3)), (3, 4), (3, 6)),
    "TransformerDecoderBlock": (
        lambda: Twice(nn.TransformerDecoderBlock(4, 2, hidden=5, dropout=0.1)),
        (3, 4),
        (3, 6),
    ),
    "TransformerDecoderBlock, norms last": (
        lambda: Twice(nn.TransformerDecoderBlock(4, 2, hidden=5, norm_first=False)),
        (3, 4),
        (3, 6),
    ),
    "TransformerEncoderBlock, norms last": (
        lambda: nn.TransformerEncoderBlock(4, 2, hidden=5, norm_first=False, key_heads=1, rotary_base=50.0),
        (3, 4),
        (3, 6),
    ),
    "Bilinear": (lambda: Twice(nn.Bilinear(3, 3, 2)), (2, 3), (2, 4)),
    "Bilinear without bias": (lambda: Twice(nn.Bilinear(3, 3, 2, bias=False)), (2, 3), (2, 4)),
    "Embedding": (lambda: Looked(nn.Embedding(5, 3)), (4, 3), None),
    "SinusoidalPositions": (lambda: nn.SinusoidalPositions(4), (3, 4), (3, 5)),
    "RNN": (lambda: nn.RNN(3, 2), (4, 3), (4, 2)),
    "RNN of relus": (lambda: nn.RNN(3, 2, bias=False, nonlinearity="relu"), (4, 3), (4, 2)),
    "LSTM": (lambda: nn.LSTM(3, 2), (4, 3), (4, 2)),
    "GRU": (lambda: nn.GRU(3, 2), (4, 3), (4, 2)),
    "GRU without bias": (lambda: nn.GRU(3, 2, bias=False), (4, 3), (4, 2)),
    "Bidirectional": (lambda: nn.Bidirectional(nn.LSTM(3, 2)), (4, 3), (4, 2)),
    "TransformerEncoderBlock": (
        lambda: nn.TransformerEncoderBlock(4, 2, hidden=6, dropout=0.1, causal=True),
        (3, 4),
        (3, 6),
    ),
    "Residual": (lambda: nn.Residual(nn.Linear(3, 2), shortcut=nn.Linear(3, 2)), (3,), (2,)),
    "Parallel": (lambda: nn.Parallel(nn.Linear(3, 2), halved, combine="tuple"), (3,), (2,)),
    "Sequential": (block, (4, 4, 2), (4, 4, 3)),
}


def draw(*shape, dtype=np.float64):
    return fnp.asarray(np.random.default_rng(sum(shape)).normal(size=shape).astype(dtype))


def run(layer, params, x, train, state=None):
    state = layer.init_state(x.dtype) if state is None else state
    return nn.apply(layer, params, x, state=state, key=KEY, train=train)


def assert_close(a, b, rtol=1e-9):
    assert fad.tree.structure(a) == fad.tree.structure(b)
    for x, y in zip(fad.tree.leaves(a), fad.tree.leaves(b)):
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * 10)


@pytest.fixture(params=LAYERS)
def entry(request):
    return LAYERS[request.param]


def test_layers_are_values(entry):
    make, _, _ = entry
    one, two = make(), make()
    assert one == two
    assert hash(one) == hash(two)
    assert repr(one) == repr(two)
    assert one.stateful == bool(fad.tree.leaves(one.init_state()))
    with pytest.raises(AttributeError):
        one.something = 1  # type: ignore[attr-defined]


def test_parameters_have_readable_names_and_the_dtype_asked_for(entry):
    make, _, _ = entry
    layer = make()
    for dtype in (np.float32, np.float64):
        params, state = layer.init(KEY, dtype), layer.init_state(dtype)
        assert_close(layer.init(KEY, dtype), params, 0)

        def check_leaf(path, leaf, dtype=dtype):
            assert leaf.dtype == dtype
            assert path[-1] in ("weight", "bias", "mean", "var")

        fad.tree.map_with_path(check_leaf, (params, state))


@pytest.mark.parametrize("train", [False, True])
def test_state_is_given_where_it_was_taken(entry, train):
    make, shape, _ = entry
    layer = make()
    params, state, x = layer.init(KEY), layer.init_state(), draw(3, *shape)
    taken = {"key": KEY, "train": train, "state": state}
    out = layer(params, x, **{k: v for k, v in taken.items() if k in layer.accepted})
    y, new = run(layer, params, x, train)
    if layer.stateful:
        assert_close(out, (y, new), 0)
        assert fad.tree.structure(new) == fad.tree.structure(state)
        moved = not all(np.array_equal(a, b) for a, b in zip(fad.tree.leaves(new), fad.tree.leaves(state)))
        assert moved == train
    else:
        assert new is None
        assert_close(out, y, 0)


def test_precision_stays(entry):
    make, shape, _ = entry
    layer = make()
    x, params = draw(2, *shape), layer.init(KEY, np.float32)
    single = run(layer, params, x.astype(np.float32), True)
    wide = fad.tree.map(lambda p: p.astype(np.float64), params)
    double = run(layer, wide, x, True, layer.init_state())
    for a, b in zip(fad.tree.leaves(single), fad.tree.leaves(double)):
        assert (a.dtype, b.dtype) == (np.float32, np.float64)
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def test_vmap_maps_examples(entry):
    make, shape, _ = entry
    layer = make()
    params, x = layer.init(KEY), draw(3, *shape)

    def one(example):
        return run(layer, params, example[None], False)[0]

    mapped = fad.vmap(one)(x)
    loop = fad.tree.map(lambda *ys: fnp.stack(ys), *[one(example) for example in x])
    assert_close(mapped, loop, 1e-8)


def test_vmap_maps_parameters(entry):
    make, shape, _ = entry
    layer, x = make(), draw(2, *shape)
    keys = fad.random.split(KEY, 3)
    many = fad.vmap(layer.init)(keys)
    mapped = fad.vmap(lambda p: run(layer, p, x, True), axis_size=3)(many)
    loop = [run(layer, layer.init(k), x, True) for k in keys]
    assert_close(mapped, fad.tree.map(lambda *ys: fnp.stack(ys), *loop), 1e-8)


def test_jit_changes_nothing(entry):
    make, shape, _ = entry
    layer = make()
    params, state, x = layer.init(KEY), layer.init_state(), draw(3, *shape)
    compiled = fad.jit(lambda p, v, s, k: nn.apply(layer, p, v, state=s, key=k, train=True))
    expected = nn.apply(layer, params, x, state=state, key=KEY, train=True)
    assert_close(compiled(params, x, state, KEY), expected, 1e-10)


@pytest.mark.parametrize("train", [False, True])
def test_second_derivatives(entry, train):
    make, shape, _ = entry
    layer = make()
    params, x = layer.init(KEY), draw(2, *shape)
    moved = fad.tree.map(lambda p: p + 0.1 * draw(*p.shape), params)
    check_grads(lambda p, v: run(layer, p, v, train)[0], (moved, x), order=2, eps=1e-5)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("size", [0, 1])
def test_small_batches(entry, size, train):
    make, shape, _ = entry
    layer = make()
    params, x = layer.init(KEY), draw(size, *shape)

    def total(p):
        y, state = run(layer, p, x, train)
        return sum(fnp.sum(leaf) for leaf in fad.tree.leaves(y)), (y, state)

    gradient, (y, state) = fad.grad(total, has_aux=True)(params) if params else (params, total(params)[1])
    for leaf in fad.tree.leaves(y):
        assert leaf.shape[0] == size
    for leaf in fad.tree.leaves((y, state, gradient)):
        assert np.isfinite(leaf).all()
    if size == 0:
        assert not any(np.any(leaf) for leaf in fad.tree.leaves(gradient))


def test_wrong_shapes_name_the_layer(entry):
    make, _, wrong = entry
    if wrong is None:
        x = draw(2, 3)
        with pytest.raises(fad.errors.ShapeError, match=r"model\.layers\.first"):
            nn.apply(
                nn.Sequential(layers=nn.Sequential(first=nn.Linear(9, 9), second=make())), {"layers": {"first": {}}}, x
            )
        return
    layer = make()
    with pytest.raises(fad.errors.ShapeError) as caught:
        run(layer, layer.init(KEY), draw(2, *wrong), False)
    assert str((2, *wrong)) in str(caught.value)
    model = nn.Sequential(halved, inner=nn.Sequential(halved, layer))
    with pytest.raises(nn.LayerShapeError, match=r"^model\.inner\.1\b"):
        run(model, model.init(KEY), draw(2, *wrong), True)


def test_an_equal_layer_is_traced_once():
    calls = []

    def forward(layer, params, x):
        calls.append(layer)
        return layer(params, x)

    compiled = fad.jit(forward, static_argnums=0)
    params, x = nn.Linear(3, 2).init(KEY), draw(4, 3)
    assert_close(compiled(nn.Linear(3, 2), params, x), compiled(nn.Linear(3, 2), params, x))
    assert len(calls) == 1


@dataclass(frozen=True)
class Shift(nn.Layer):
    """A layer of one's own: ten lines."""

    size: int

    def init(self, key):
        return {"bias": fad.random.normal(key, (self.size,))}

    def __call__(self, params, x):
        return x + params["bias"]


@dataclass(frozen=True)
class Counter(nn.Layer):
    """A layer of one's own with state, random numbers and a mode."""

    def init_state(self, dtype=float):
        return {"calls": fnp.asarray(0)}

    def __call__(self, params, x, *, state, key, train):
        return x + train * fad.random.normal(key, x.shape), {"calls": state["calls"] + 1}


@dataclass(frozen=True)
class Mixture(nn.Layer):
    """Layers inside a layer of one's own."""

    first: nn.Linear
    second: nn.Sequential

    def __call__(self, params, x, *, state=None, key=None, train=False):
        y, _ = self.call("first", params, x)
        z, new = self.call("second", params, y, state=state, key=key, train=train)
        return y + z, {"second": new}


def test_layers_of_one_s_own_compose():
    model = nn.Sequential(
        Shift(3), Counter(), nn.Residual(Counter()), Mixture(nn.Linear(3, 4), nn.Sequential(Counter()))
    )
    assert model.stateful
    params, state, x = model.init(KEY, np.float32), model.init_state(), draw(2, 3)
    assert params["0"]["bias"].dtype == np.float32
    assert sorted(params["3"]) == ["first", "second"]
    y, new = model(params, x, state=state, key=KEY, train=True)
    assert y.shape == (2, 4)
    assert [int(leaf) for leaf in fad.tree.leaves(new)] == [1, 1, 1]
    assert fad.tree.structure(new) == fad.tree.structure(state)
    with pytest.raises(nn.LayerShapeError, match=r"model\.first \(Linear\): expected last axis 3"):
        model.layers[3](params["3"], draw(2, 5), state={})


def test_every_random_layer_has_its_own_numbers():
    model = nn.Parallel(nn.Dropout(0.5), nn.Dropout(0.5), combine="stack")
    first, second = model(model.init(KEY), fnp.ones((20, 20)), key=KEY, train=True)
    assert np.any(np.asarray(first) != np.asarray(second))
    again = model(model.init(KEY), fnp.ones((20, 20)), key=KEY, train=True)
    np.testing.assert_array_equal(first, again[0])


def test_what_is_missing_is_said():
    model = nn.Sequential(nn.Dropout(0.5))
    with pytest.raises(fad.errors.ArgumentError, match="key"):
        model(model.init(KEY), draw(2, 3), train=True)
    model = nn.Sequential(nn.BatchNorm(3))
    with pytest.raises(fad.errors.ArgumentError, match="init_state"):
        model(model.init(KEY), draw(2, 3))
    with pytest.raises(fad.errors.TreeError, match="no entry '1'"):
        nn.Sequential(halved, halved)({"0": {}}, draw(2))
    with pytest.raises(fad.errors.ArgumentError, match="create it"):
        nn.Sequential(nn.Flatten)
    with pytest.raises(fad.errors.ArgumentError, match="groups"):
        nn.Conv(3, 4, 3, groups=2)
    with pytest.raises(fad.errors.ArgumentError, match="kernel_size"):
        nn.Conv(3, 4, (1, 1, 1, 1))
    with pytest.raises(fad.errors.ArgumentError, match="key_heads"):
        nn.MultiHeadAttention(8, 4, 3)
    with pytest.raises(fad.errors.DTypeError, match="integers"):
        nn.Embedding(3, 2)({"weight": fnp.ones((3, 2))}, [0.5])


def test_running_statistics():
    layer = nn.BatchNorm(2, momentum=0.25)
    x = draw(6, 5, 2)
    _, state = layer(layer.init(KEY), x, state=layer.init_state(), train=True)
    flat = np.asarray(x).reshape(-1, 2)
    np.testing.assert_allclose(state["mean"], 0.25 * flat.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(state["var"], 0.75 + 0.25 * flat.var(axis=0, ddof=1), rtol=1e-12)


def test_statistics_shared_over_a_mapped_axis():
    shared, plain = nn.BatchNorm(2, axis_name="devices"), nn.BatchNorm(2)
    params, state, x = plain.init(KEY), plain.init_state(), draw(3, 4, 2)
    mapped = fad.vmap(lambda v: shared(params, v, state=state, train=True), axis_name="devices")(x)
    y, new = plain(params, x.reshape(12, 2), state=state, train=True)
    np.testing.assert_allclose(mapped[0].reshape(12, 2), y, rtol=1e-12)
    for name in ("mean", "var"):
        np.testing.assert_allclose(mapped[1][name], np.broadcast_to(new[name], (3, 2)), rtol=1e-12)


def _textbook_batch_norm(params, x, eps=1e-5):
    centred = x - x.mean(axis=(0, 1))
    return centred / fnp.sqrt((centred**2).mean(axis=(0, 1)) + eps) * params["weight"] + params["bias"]


@pytest.mark.parametrize("axis_name", [None, "devices"])
def test_derivatives_of_batch_norm_are_those_of_the_textbook_at_any_order(axis_name):
    layer, x, direction = nn.BatchNorm(2, axis_name=axis_name), draw(3, 4, 2), draw(4, 3, 2).reshape(3, 4, 2)
    state, params = layer.init_state(), {"weight": draw(2), "bias": fnp.flip(draw(2))}

    def ours(params, x):
        def apply(v):
            return layer(params, v, state=state, train=True)[0]

        return apply(x) if axis_name is None else fad.vmap(apply, axis_name=axis_name)(x)

    def derivatives(apply):
        def loss(params, x):
            return fnp.sum(fnp.sin(apply(params, x)) * direction)

        gradient = fad.grad(loss, argnums=(0, 1))
        second = fad.jvp(lambda x: gradient(params, x), (x,), (direction,))[1]
        third = fad.grad(lambda x: fnp.sum(fad.hvp(loss, (params, x), (params, direction))[1] ** 2))(x)
        return gradient(params, x), second, third

    expected = derivatives(_textbook_batch_norm)
    for found in (derivatives(ours), fad.jit(lambda: derivatives(ours))()):
        for a, b in zip(fad.tree.leaves(found), fad.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_the_gradient_of_batch_norm_sums_over_the_batch_twice_forward_and_twice_backward():
    layer, x = nn.BatchNorm(2), draw(6, 5, 2)
    state, params = layer.init_state(), layer.init(KEY)
    weights = draw(6, 5, 2)

    def loss(params, x):
        return fnp.sum(layer(params, x, state=state, train=True)[0] * weights)

    program = fad.make_program(fad.grad(loss, argnums=(0, 1)))(params, x)
    sums = [e for e in program.equations if e.primitive.name == "reduce_sum" and e.outputs[0].aval.shape == (2,)]
    assert len(sums) == 4


def test_initialisers():
    shape = (3, 3, 40, 60)
    fans = {"fan_in": 9 * 40, "fan_out": 9 * 60, "fan_avg": 9 * 50}
    table = {
        "glorot_normal": 1 / fans["fan_avg"],
        "glorot_uniform": 1 / fans["fan_avg"],
        "he_normal": 2 / fans["fan_in"],
        "he_uniform": 2 / fans["fan_in"],
        "lecun_normal": 1 / fans["fan_in"],
        "lecun_uniform": 1 / fans["fan_in"],
    }
    for name, variance in table.items():
        initializer = getattr(nn.initializers, name)()
        w = np.asarray(initializer(KEY, shape, np.float32))
        assert w.dtype == np.float32
        assert w.var() == pytest.approx(variance, rel=0.03)
        assert abs(w.mean()) < 4 * np.sqrt(variance / w.size)
        assert initializer == getattr(nn.initializers, name)()
    for mode, fan in fans.items():
        w = np.asarray(nn.initializers.variance_scaling(3.0, mode, "normal")(KEY, shape))
        assert w.var() == pytest.approx(3 / fan, rel=0.03)
    q = np.asarray(nn.initializers.orthogonal(2.0)(KEY, (3, 8)))
    np.testing.assert_allclose(q @ q.T, 4 * np.eye(3), atol=1e-12)
    w = np.asarray(nn.initializers.truncated_normal(0.5)(KEY, (10000,)))
    assert 0.99 < abs(w).max() <= 1.0
    assert abs(np.asarray(nn.initializers.uniform(0.5)(KEY, (1000,)))).max() <= 0.5
    assert np.asarray(nn.initializers.normal(3.0)(KEY, (10000,))).std() == pytest.approx(3, rel=0.05)
    assert np.all(np.asarray(nn.initializers.constant(2.0)(KEY, (3,))) == 2)
    with pytest.raises(fad.errors.ShapeError):
        nn.initializers.he_normal()(KEY, (3,))
    with pytest.raises(fad.errors.ArgumentError):
        nn.initializers.variance_scaling(1.0, "fan")


def test_summary_lists_paths_shapes_and_bytes():
    model = block()
    params, state = model.init(KEY, np.float32), model.init_state(np.float32)
    table = nn.summary(model, params, state)
    rows = {line.split()[0]: line.split() for line in table.splitlines()}
    assert rows["head.weight"][1] == "Linear"
    assert rows["3.layer.0.weight"][1] == "Conv"
    assert "(3, 3, 4, 4)" in " ".join(rows["3.layer.0.weight"])
    total = sum(leaf.size for leaf in fad.tree.leaves(params))
    assert rows["total"][1:] == [str(total), f"{4 * total:,}"]
    assert rows["state"][1:] == ["24", "96"]


def test_a_model_learns():
    model = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm(16), nn.tanh, nn.Dropout(0.05), nn.Linear(16, 2))
    x = draw(64, 2)
    labels = fnp.asarray((np.asarray(x)[:, 0] * np.asarray(x)[:, 1] > 0).astype(np.int64))

    @fad.jit
    def step(params, state, key):
        def objective(p):
            y, new = model(p, x, state=state, key=key, train=True)
            return nn.cross_entropy(y, labels), new

        (value, new), gradient = fad.value_and_grad(objective, has_aux=True)(params)
        return fad.tree.map(lambda p, g: p - 0.5 * g, params, gradient), new, value

    def train():
        params, state, key, values = model.init(KEY), model.init_state(), KEY, []
        for _ in range(120):
            key, own = fad.random.split(key)
            params, state, value = step(params, state, own)
            values.append(float(value))
        return values, params

    values, params = train()
    assert values[-1] < 0.5 * values[0]
    again, same = train()
    assert values == again
    for a, b in zip(fad.tree.leaves(params), fad.tree.leaves(same)):
        np.testing.assert_array_equal(a, b)
