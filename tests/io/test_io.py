"""Saving and loading: exact round trips, atomic writing, and errors that name the leaf."""

import json
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

import fad
import fad.io
import fad.numpy as fnp
import fad.optim as optim
from fad import errors


class Pair(NamedTuple):
    first: object
    second: object


@fad.tree.register_dataclass
@dataclass
class Box:
    inside: object


def assert_same(first, second):
    assert fad.tree.structure(first) == fad.tree.structure(second)
    for a, b in zip(fad.tree.leaves(first), fad.tree.leaves(second)):
        assert type(a) is type(b)
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128 bfloat16"


@pytest.mark.parametrize("dtype", DTYPES.split())
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_every_dtype_and_shape(path, dtype, shape):
    value = fnp.asarray(np.arange(np.prod(shape, dtype=int)).reshape(shape)).astype(dtype)
    fad.io.save(path, {"x": value})
    assert_same(fad.io.load(path), {"x": value})
    assert_same(fad.io.load(path, like={"x": value}), {"x": value})


def test_extreme_values_bit_for_bit(path):
    values = fnp.asarray([np.nan, np.inf, -np.inf, -0.0, 5e-324, np.finfo(float).max])
    fad.io.save(path, values)
    assert_same(fad.io.load(path), values)


def test_structures_without_like(path):
    values = {
        "list": [fnp.ones(2), (fnp.zeros(1), None)],
        "pair": Pair(fnp.ones(()), {"deep": 1.5}),
        "numbers": (1, True, 2.5, 1 + 2j),
        "empty": {"list": [], "dict": {}, "tuple": ()},
    }
    fad.io.save(path, values)
    assert_same(fad.io.load(path), values)


def test_integer_keys_and_a_single_leaf(path):
    values = {0: fnp.ones(1), 1: fnp.zeros(1)}
    fad.io.save(path, values)
    assert_same(fad.io.load(path), values)
    fad.io.save(path, fnp.ones(3))
    assert_same(fad.io.load(path), fnp.ones(3))


def test_other_nodes_need_like(path):
    values = {"box": Box([fnp.ones(2)])}
    fad.io.save(path, values)
    with pytest.raises(errors.TreeError, match="Box.*like="):
        fad.io.load(path)
    assert_same(fad.io.load(path, like={"box": Box([fnp.zeros(2)])}), values)


def test_a_file_cannot_have_anything_imported_or_called(path):
    fad.io.save(path, Pair(1.0, 2.0))
    for name in ("os:system", "collections:OrderedDict", "antigravity:Pair"):
        data = path.read_bytes()
        changed = rewritten(data, lambda own, name=name: own["tree"].update(namedtuple=name))
        other = path.with_name("other.safetensors")
        other.write_bytes(changed)
        with pytest.raises(errors.TreeError, match="not imported here"):
            fad.io.load(other)


def test_optimizer_state_and_key_go_on_as_if_nothing_happened(path):
    optimizer = optim.chain(optim.clip_by_global_norm(1.0), optim.adam(optim.cosine_decay_schedule(0.1, 10)))

    def step(params, state, key):
        key, own = fad.random.split(key)
        gradient = fad.grad(lambda p: fnp.sum((p["w"] - fad.random.normal(own, (3,))) ** 2))(params)
        updates, state = optimizer.update(gradient, state, params)
        return optim.apply_updates(params, updates), state, key

    params = {"w": fnp.zeros(3)}
    now = (params, optimizer.init(params), fad.random.key(7))
    for _ in range(3):
        now = step(*now)
    fad.io.save(path, now)
    again = fad.io.load(path, like=now)
    for _ in range(3):
        now, again = step(*now), step(*again)
    assert_same(now, again)


def test_like_may_be_types_only(path):
    make = lambda: {"w": fnp.ones((2, 3)), "b": fnp.zeros(3, dtype="float32")}  # noqa: E731
    fad.io.save(path, make())
    assert_same(fad.io.load(path, like=fad.eval_shape(make)), make())


@pytest.mark.parametrize(
    "like, message",
    [
        ({"a": {"w": np.zeros((2, 3))}}, r"has a\.b, which like= lacks"),
        ({"a": {"w": np.zeros((2, 3)), "b": np.zeros(3), "c": np.zeros(1)}}, r"lacks a\.c"),
        ({"a": {"w": np.zeros((3, 2)), "b": np.zeros(3)}}, r"leaf a\.w .*float64\[2, 3\].*float64\[3, 2\]"),
        ({"a": {"w": np.zeros((2, 3), np.float32), "b": np.zeros(3)}}, r"leaf a\.w .*float64.*float32"),
    ],
)
def test_what_does_not_fit_is_named(path, like, message):
    fad.io.save(path, {"a": {"w": fnp.ones((2, 3)), "b": fnp.zeros(3)}})
    with pytest.raises(errors.FileFormatError, match=message):
        fad.io.load(path, like=like)


def rewritten(data, change):
    """The file with another description of the tree."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    own = json.loads(header["__metadata__"]["fad"])
    change(own)
    header["__metadata__"]["fad"] = json.dumps(own)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def test_every_truncation_is_an_error(path):
    fad.io.save(path, {"first": fnp.arange(4.0), "second": fnp.arange(3.0)})
    data = path.read_bytes()
    for size in [0, 1, 7, 8, 9, 40, *range(len(data) - 56, len(data))]:
        path.write_bytes(data[:size])
        with pytest.raises(errors.FileFormatError) as caught:
            fad.io.load(path)
        assert str(path) in str(caught.value)
    assert "the leaf second ends at byte 56" in str(caught.value)


def test_every_changed_byte_of_the_data_is_noticed(path):
    fad.io.save(path, {"first": fnp.arange(4.0), "second": fnp.arange(3.0)})
    data = bytearray(path.read_bytes())
    for back in range(1, 57):
        changed = bytearray(data)
        changed[-back] ^= 16
        path.write_bytes(changed)
        with pytest.raises(errors.FileFormatError, match=f"leaf {'second' if back <= 24 else 'first'} .* checksum"):
            fad.io.load(path)


def test_changed_headers_never_load_silently(path):
    values = {"first": fnp.arange(4.0), "second": fnp.arange(3.0)}
    fad.io.save(path, values)
    data = path.read_bytes()
    start = int.from_bytes(data[:8], "little")
    outcomes = set()
    for at in range(8, 8 + start, 3):
        changed = bytearray(data)
        changed[at] ^= 1
        path.write_bytes(changed)
        try:
            loaded = fad.io.load(path)
        except errors.FadError as error:
            outcomes.add(type(error).__name__)
            continue
        # A changed key of a dict, or white space, is no harm to the numbers.
        assert sorted(np.asarray(v).size for v in fad.tree.leaves(loaded)) == [3, 4]
    assert "FileFormatError" in outcomes


def test_not_a_safetensors_file(path):
    path.write_bytes(b"\x80\x04\x95 this could be a pickle " * 10)
    with pytest.raises(errors.FileFormatError, match="cut off or not a safetensors file"):
        fad.io.load(path)
    with pytest.raises(errors.FileFormatError):
        fad.io.load_metadata(path)


def test_a_later_format_is_refused(path):
    fad.io.save(path, [1.0])
    path.write_bytes(rewritten(path.read_bytes(), lambda own: own.update(version=99)))
    with pytest.raises(errors.FileFormatError, match="format 99"):
        fad.io.load(path)


def test_a_leaf_that_is_no_array_is_named(path):
    with pytest.raises(errors.DTypeError, match=r"leaf layers\.1\.name is a str"):
        fad.io.save(path, {"layers": [fnp.ones(1), {"name": "dense"}]})
    assert not path.exists()
    with pytest.raises(errors.ArgumentError, match=r"two leaves are called 'a\.b'"):
        fad.io.save(path, {"a.b": 1.0, "a": {"b": 2.0}})


def test_an_interrupted_save_leaves_the_old_file(path, monkeypatch):
    fad.io.save(path, [1.0])

    def no_replace(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", no_replace)
    with pytest.raises(KeyboardInterrupt):
        fad.io.save(path, [2.0])
    monkeypatch.undo()
    assert fad.io.load(path) == [1.0]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_metadata(path):
    fad.io.save(path, [1.0], metadata={"note": "best of five"})
    assert fad.io.load_metadata(path) == {"note": "best of five"}
    for wrong in ({"n": 1}, {"fad": "x"}):
        with pytest.raises(errors.ArgumentError, match="text to text"):
            fad.io.save(path, [1.0], metadata=wrong)


def test_other_programs_read_and_write_the_files(path):
    from safetensors.numpy import load_file, save_file

    fad.io.save(path, {"layers": [{"w": fnp.ones((2, 3))}], "half": fnp.ones(2, dtype="float16")})
    theirs = load_file(path)
    assert sorted(theirs) == ["half", "layers.0.w"]
    np.testing.assert_array_equal(theirs["layers.0.w"], np.ones((2, 3)))
    save_file({"a.b": np.arange(3.0)}, path)
    assert_same(fad.io.load(path), {"a.b": fnp.arange(3.0)})
    assert_same(fad.io.load(path, like={"a": {"b": np.zeros(3)}}), {"a": {"b": fnp.arange(3.0)}})


def to_torch(name, array):
    return name.replace("w", "weight").replace("b", "bias"), array.T if name.endswith("w") else array


def from_torch(name, array):
    if name == "steps":
        return None
    return name.replace("weight", "w").replace("bias", "b"), array.T if name.endswith("weight") else array


def test_state_dicts(path):
    params = {"0": {"w": fnp.arange(6.0).reshape(2, 3), "b": fnp.zeros(3)}}
    fad.io.save_state_dict(path, params, to_torch)
    assert sorted(fad.io.load(path)) == ["0.bias", "0.weight"]
    assert_same(fad.io.load_state_dict(path, params, from_torch), params)
    with pytest.raises(errors.FileFormatError, match=r"lacks 0\.b, 0\.w"):
        fad.io.load_state_dict(path, params)
    with pytest.raises(errors.ArgumentError, match="two arrays get the name 'same'"):
        fad.io.save_state_dict(path, params, lambda name, x: ("same", x))


@pytest.mark.peer
def test_weights_travel_to_torch_and_back(path):
    torch = pytest.importorskip("torch", reason="compares with PyTorch, of the bench extra")
    from safetensors.torch import load_file, save_file

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).double()
    save_file({**model.state_dict(), "steps": torch.zeros(1)}, path)
    like = {"0": {"w": np.zeros((3, 4)), "b": np.zeros(4)}, "2": {"w": np.zeros((4, 2)), "b": np.zeros(2)}}
    params = fad.io.load_state_dict(path, like, from_torch)
    x = np.random.default_rng(0).normal(size=(5, 3))
    ours = fnp.tanh(x @ params["0"]["w"] + params["0"]["b"]) @ params["2"]["w"] + params["2"]["b"]
    theirs = model(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    fad.io.save_state_dict(path, fad.tree.map(lambda p: p * 2, params), to_torch)
    model.load_state_dict(load_file(path))
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), 2 * np.asarray(params["0"]["w"]).T)


@pytest.mark.peer
def test_a_convolutional_network_of_torch_computes_the_same_here(path):
    torch = pytest.importorskip("torch", reason="compares with PyTorch, of the bench extra")
    from safetensors.torch import save_file

    import fad.nn as nn

    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 3, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 5),
    ).double()  # fmt: skip
    x = np.random.default_rng(0).normal(size=(6, 2, 8, 8))
    theirs(torch.from_numpy(x))  # so that the running statistics are not those of the start
    save_file(theirs.eval().state_dict(), path)

    ours = nn.Sequential(
        nn.Conv(2, 4, 3), nn.BatchNorm(4), nn.relu, nn.MaxPool(2), nn.Conv(4, 3, 3, padding="VALID"),
        nn.GlobalAvgPool(), nn.Flatten(), nn.Linear(3, 5),
    )  # fmt: skip

    def in_our_layout(name, array):
        if "running" in name or "batches" in name:
            return None
        if array.ndim == 4:
            return name, array.transpose(
                2, 3, 1, 0
            )  # (outputs, inputs, height, width) to (height, width, inputs, outputs)
        return name, array.T if array.ndim == 2 else array

    def statistics(name, array):
        return (name.replace("running_", ""), array) if "running" in name else None

    params = fad.io.load_state_dict(path, fad.eval_shape(ours.init, fad.random.key(0)), in_our_layout)
    state = fad.io.load_state_dict(path, fad.eval_shape(ours.init_state), statistics)
    found, _ = ours(params, x.transpose(0, 2, 3, 1), state=state)
    np.testing.assert_allclose(found, theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-10)


def test_a_missing_package_is_named(path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (
        lambda: fad.io.save(path, [1.0]),
        lambda: fad.io.load(path),
        lambda: fad.io.save_state_dict(path, [1.0]),
    ):
        with pytest.raises(errors.MissingPackageError, match=r"safetensors: pip install 'fad-autodiff\[io\]'"):
            call()
