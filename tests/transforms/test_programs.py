"""make_program, eval_shape, Programs and types; where arrays live."""

import pickle

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.dispatch import derivations
from fad.core.errors import ArgumentError
from fad.transforms.calling import vjp_programs


def f(params, x):
    return {"y": fnp.tanh(x @ params["w"]), "n": x.shape[0]}


PARAMS = {"w": np.ones((3, 2), np.float32)}
X = np.ones((4, 3), np.float32)


def test_a_program_is_typed_code():
    program = fad.make_program(f)(PARAMS, X)
    assert isinstance(program, fad.Program)
    assert [str(a) for a in program.in_avals] == ["float32[3,2]", "float32[4,3]"]
    assert [str(a) for a in program.out_avals][-1] == "float32[4,2]"
    text = str(program)
    assert text.startswith("f(a:float32[3,2], b:float32[4,3])")
    assert "tanh" in text
    assert "return" in text.splitlines()[-1]


def test_dead_code_is_not_recorded():
    def wasteful(x):
        fnp.exp(x)
        return x * 2.0

    assert "exp" not in str(fad.make_program(wasteful)(1.0))


def test_nested_programs_are_shown_inside():
    text = str(fad.make_program(lambda xs: fad.scan(lambda c, x: (c + fnp.sin(x), c), 0.0, xs))(np.ones(3)))
    assert "scan(" in text
    assert any(line.startswith("      ") and "sin(" in line for line in text.splitlines())


def test_eval_shape_computes_nothing():
    calls = []

    def g(params, x):
        fad.debug.print("computed {}", x)
        calls.append(1)
        return f(params, x)["y"]

    out = fad.eval_shape(g, PARAMS, X)
    assert out == fad.ShapedArray((4, 2), np.float32)
    assert calls == [1]


def test_eval_shape_takes_stand_ins():
    stand_in = fad.ShapedArray((1000, 1000), np.float64)
    assert fad.eval_shape(lambda a, b: a @ b, stand_in, stand_in).shape == (1000, 1000)


def test_types_print_and_compare():
    aval = fad.ShapedArray((2, 3), np.int32)
    assert (str(aval), aval.ndim, aval.size, aval.nbytes) == ("int32[2,3]", 2, 6, 24)
    assert aval == fad.ShapedArray((2, 3), "int32")
    assert aval != fad.ShapedArray((2, 3), "int64")
    assert hash(aval) == hash(fad.ShapedArray((2, 3), "int32"))


def test_arrays_are_copied_to_devices():
    assert "cpu" in fad.devices()
    x = np.ones(3)
    tree = fad.device_put({"x": x, "n": 2.0}, "cpu")
    x[0] = 7.0
    assert tree["x"].tolist() == [1.0, 1.0, 1.0]
    assert isinstance(tree["n"], fad.Array)
    assert tree["x"].device == "cpu"
    with pytest.raises(ArgumentError, match=r"there is no device 'tpu' here; fad.devices\(\) gives"):
        fad.device_put(x, "tpu")


def test_device_put_is_the_identity_inside_transforms():
    assert float(fad.grad(lambda x: fad.device_put(x) ** 2)(3.0)) == 6.0


def test_block_until_ready_gives_its_argument():
    tree = {"x": fad.Array([1.0]), "y": 2}
    assert fad.block_until_ready(tree)["x"] is tree["x"]
    assert fad.Array([1.0]).block_until_ready().tolist() == [1.0]


def test_the_caller_may_write_into_an_array_after_vjp_and_linearize():
    x = np.array([1.0, 2.0])
    _, pullback = fad.vjp(lambda x: x * x, x)
    _, pushforward = fad.linearize(lambda x: x * x, x)
    x[:] = 100.0
    assert pullback(np.ones(2))[0].tolist() == [2.0, 4.0]
    assert pushforward(np.ones(2)).tolist() == [2.0, 4.0]


def test_the_caller_may_write_into_a_captured_array_after_staging():
    constant = np.array([1.0, 2.0])
    g = fad.jit(lambda x: x * constant)
    assert g(np.ones(2)).tolist() == [1.0, 2.0]
    constant[:] = 100.0
    assert g(np.ones(2)).tolist() == [1.0, 2.0]


def test_results_share_no_memory_with_arguments():
    x = np.array([1.0, 2.0])
    for function in (lambda x: x, lambda x: x.T, lambda x: x.reshape(2, 1)):
        for way in (fad.jit, lambda g: fad.jit(fad.jit(g))):
            out = np.asarray(way(function)(x))
            assert not np.shares_memory(out, x)


def test_arrays_pickle():
    x = fad.Array([[1.0, 2.0]])
    assert pickle.loads(pickle.dumps(x)).tolist() == x.tolist()


def test_small_programs_of_higher_derivatives_are_compiled_when_that_pays():
    f = fad.jit(lambda x: fnp.sin(x) * x)
    plain, nested = (lambda x: fnp.sin(x) * x), f
    for _ in range(5):
        plain, nested = fad.grad(plain), fad.grad(nested)
    np.testing.assert_allclose(nested(0.7), plain(0.7), rtol=1e-12)
    (program, _) = next(iter(f._cache.values()))
    forward, backward, *_ = vjp_programs(program, (True,))
    second, _, *_ = vjp_programs(forward, (True,))
    assert [derivations(p) for p in (program, forward, backward, second)] == [0, 1, 1, 2]
    fad.grad(f)(0.7)
    assert "compiled" in forward._cache
    assert "compiled" not in second._cache
    g = fad.grad(fad.grad(f))
    for _ in range(10_000):
        wanted = g(0.7)
        if "compiled" in second._cache:
            break
    assert "compiled" in second._cache
    np.testing.assert_allclose(g(0.7), wanted, rtol=1e-12)
