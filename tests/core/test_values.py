"""Arrays, abstract values, settings, Programs and devices: what everything else stands on."""

import copy
import pickle

import numpy as np
import pytest

import fad
import fad.numpy as fnp


def test_an_array_is_immutable_and_shares_no_writeable_buffer():
    source = np.arange(3.0)
    x = fad.Array(source)
    source[0] = 9.0
    assert x.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(fad.errors.ImmutableArrayError, match=r"x\.at\[i\]\.set\(v\)"):
        x[0] = 1.0
    view = np.asarray(x)
    assert np.shares_memory(view, np.asarray(x))
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1.0


def test_in_place_operators_rebind():
    x = y = fad.Array([1.0])
    x += 1
    assert (x.tolist(), y.tolist()) == ([2.0], [1.0])


def test_copies_and_pickles():
    x = fad.Array([[1.0, 2.0]], dtype=np.float32)
    assert copy.copy(x) is x
    assert copy.deepcopy(x) is x
    again = pickle.loads(pickle.dumps(x))
    assert again.dtype == np.float32
    assert again.tolist() == x.tolist()


def test_dlpack_both_ways():
    exported = np.from_dlpack(fad.Array([1.0, 2.0]))
    assert not exported.flags.writeable
    assert fnp.from_dlpack(np.arange(3.0)).tolist() == [0.0, 1.0, 2.0]


def test_byte_order_and_strides_of_inputs():
    swapped = np.arange(4.0).astype(">f8")
    assert fad.Array(swapped).dtype.isnative
    assert fad.Array(np.arange(6.0)[::-2]).tolist() == [5.0, 3.0, 1.0]
    assert fad.grad(lambda x: fnp.sum(x**2))(np.arange(6.0)[::-2]).tolist() == [10.0, 6.0, 2.0]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([[1.0], [1.0, 2.0]], fad.errors.ShapeError, "ragged"),
        (np.array([object()]), fad.errors.DTypeError, "not supported"),
        (np.ma.masked_array([1.0], [True]), fad.errors.DTypeError, "masked"),
        (["text"], fad.errors.DTypeError, "not supported"),
    ],
)
def test_what_cannot_be_an_array_is_refused(value, error, message):
    with pytest.raises(error, match=message):
        fad.Array(value)


def test_shaped_arrays_are_values():
    a = fad.ShapedArray((2, 3), np.float32)
    assert a == fad.ShapedArray((2, 3), "float32")
    assert hash(a) == hash(fad.ShapedArray((2, 3), "float32"))
    assert (a.size, a.nbytes, a.ndim, repr(a)) == (6, 24, 2, "float32[2,3]")
    assert a != a.update(dtype=np.float64)


def test_a_program_is_typed_text():
    program = fad.make_program(lambda x: fnp.sin(x) * 2.0)(fnp.ones(3))
    assert isinstance(program, fad.Program)
    assert str(program).splitlines() == [
        "<lambda>(a:float64[3])",
        "  b:float64[3] = sin(a)",
        "  c:float64[3] = b * 2.0",
        "  return c",
    ]
    assert program.in_avals == [fad.ShapedArray((3,), np.float64)]
    assert program.cached("key", lambda: 1) == program.cached("key", lambda: 2) == 1


def test_devices():
    assert fad.devices()[0] == "cpu"
    moved = fad.device_put({"a": [1.0, 2.0]})
    assert fad.block_until_ready(moved)["a"][1].item() == 2.0
    with pytest.raises(fad.errors.ArgumentError, match="no device 'tpu:0'"):
        fad.device_put(1.0, "tpu:0")


def test_settings():
    with pytest.raises(fad.errors.ArgumentError, match="no setting 'sped'"):
        fad.config.update("sped", True)
    with pytest.raises(fad.errors.ArgumentError, match="takes a bool"):
        fad.config.update("check_nans", 1)
    with fad.config.using(strict_derivatives=True):
        assert fad.config.strict_derivatives
    assert not fad.config.strict_derivatives


def test_export_source_is_a_public_name():
    assert "np.cos" in fad.export_source(fad.grad(fnp.sin), 1.0)
