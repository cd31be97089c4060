"""Loops over the math library and the scalar builder become vector code."""

import ctypes
import re

import numpy as np
import pytest

from fad.compiler.llvm.linking import Source, engine
from fad.compiler.llvm.math_library import FUNCTIONS, host_target, variant_source
from fad.compiler.llvm.symbols import link
from fad.core.errors import DTypeError
from tests.compiler.math_loops import Loop

BITS = host_target().vector_bits
ELEMENT = {"f8": ("double", BITS // 64), "f4": ("float", BITS // 32)}


def vector_calls(text: str) -> set[str]:
    return set(re.findall(r"call (<\d+ x \w+>) @fad_\w+_v\d+\(", text))


@pytest.mark.parametrize("external", [False, True], ids=["defined", "linked"])
@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_is_called_on_whole_registers(name, dtype, external):
    dtypes = [dtype] * FUNCTIONS[name][1]
    loop = Loop(lambda k, *v: getattr(k, name)(*v), dtypes, dtype, external=external)
    element, lanes = ELEMENT[dtype]
    assert f"<{lanes} x {element}>" in vector_calls(loop.text)
    inner = re.search(rf"define (?:internal|hidden|dso_local)?.*<{lanes} x {element}> @fad_{name}_", loop.text)
    assert (inner is None) == external, "the vector version is defined here, or declared"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_linked_and_defined_agree(name):
    rng = np.random.default_rng(1)
    for dtype in ("f8", "f4"):
        dtypes = [dtype] * FUNCTIONS[name][1]
        arguments = [rng.normal(size=101).astype(dtype) for _ in dtypes]
        here, linked = (
            Loop(lambda k, *v: getattr(k, name)(*v), dtypes, dtype, external=external)(*arguments)
            for external in (False, True)
        )
        np.testing.assert_array_equal(here, linked)


def test_constants_of_vectors_lie_in_one_table():
    """Each use has its own entry, as long as the vector, so that the value is an operand in memory."""
    text = variant_source(f"fad_tanh_f64_v{BITS // 32}")
    numbers = [int(n) for n in re.findall(r"ptr %table, i64 (\d+)$", text, re.MULTILINE)]
    (size,) = re.findall(r"@fad_tanh_f64_v\d+_constants = private constant \[(\d+) x", text)
    assert numbers == list(range(int(size)))
    assert "%table" not in variant_source("fad_tanh_f64")


def test_float32_beside_float64_becomes_vector_code():
    loop = Loop(lambda k, a, b: k.add(k.astype(k.exp(a), "f8"), b), ["f4", "f8"], "f8")
    # As many lanes as a register has float64 or as it has float32: LLVM's costs for the processor at hand decide.
    calls = vector_calls(loop.text)
    assert calls and calls <= {f"<{BITS // 64} x float>", f"<{BITS // 32} x float>"}
    x = np.linspace(-3, 3, 37, dtype="f4")
    np.testing.assert_allclose(loop(x, x), np.exp(x).astype("f8") + x, rtol=3e-7)


def test_a_function_is_defined_once():
    loop = Loop(lambda k, x: k.exp(k.exp(k.sin(k.exp(k.sin(x))))), ["f8"], "f8")
    assert loop.source.count("define internal double @fad_exp_f64(") == 1
    assert loop.source.count("define internal double @fad_circle_huge(") == 1
    x = np.linspace(-1, 1, 33)
    np.testing.assert_allclose(loop(x), np.exp(np.exp(np.sin(np.exp(np.sin(x))))), rtol=1e-14)


CASTS = "? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split()


@pytest.mark.parametrize("source", CASTS)
def test_conversions_become_vector_code(source):
    for target in CASTS:
        if np.dtype(source).kind + np.dtype(target).kind in ("ui", "iu") and source[1] == target[1] or source == target:
            continue  # the same bits: a copy
        loop = Loop(lambda k, x, target=target: k.astype(x, target), [source], target)
        assert "vector.body" in loop.text, f"{source} -> {target}"


def test_arithmetic_becomes_vector_code():
    def body(k, x, y):
        low = k.minimum(k.maximum(x, y), k.add(y, 1.0))
        chosen = k.where(k.logical_and(k.less(x, y), k.isfinite(y)), low, k.negative(k.floor(x)))
        return k.copysign(k.sqrt(k.absolute(chosen)), k.fmax(x, k.sign(y)))

    loop = Loop(body, ["f8", "f8"], "f8")
    assert f"<{BITS // 64} x double>" in loop.text
    x, y = np.random.default_rng(0).normal(size=(2, 100))
    low = np.minimum(np.maximum(x, y), y + 1)
    expected = np.copysign(np.sqrt(np.abs(np.where(x < y, low, -np.floor(x)))), np.fmax(x, np.sign(y)))
    np.testing.assert_array_equal(loop(x, y), expected)


def test_wrong_dtypes_are_explained():
    with pytest.raises(DTypeError, match="exp takes float16, float32 or float64, and got int32"):
        Loop(lambda k, x: k.exp(x), ["i4"], "i4")
    with pytest.raises(DTypeError, match="add got operands of dtypes float32 and float64"):
        Loop(lambda k, x, y: k.add(x, y), ["f4", "f8"], "f8")
    with pytest.raises(AttributeError, match="no function 'no_such_function'"):
        Loop(lambda k, x: k.no_such_function(x), ["f8"], "f8")


CALLS = """
declare <{lanes} x {real}> @{symbol}({types})
define void @{name}(ptr %out, ptr %x, ptr %y, i64 %count) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %x_at = getelementptr {real}, ptr %x, i64 %i
  %y_at = getelementptr {real}, ptr %y, i64 %i
  %out_at = getelementptr {real}, ptr %out, i64 %i
  %a = load <{lanes} x {real}>, ptr %x_at, align 4
  %b = load <{lanes} x {real}>, ptr %y_at, align 4
  %result = call <{lanes} x {real}> @{symbol}({arguments})
  store <{lanes} x {real}> %result, ptr %out_at, align 4
  %next = add i64 %i, {lanes}
  %more = icmp slt i64 %next, %count
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


def called_with_lanes(name: str, dtype: np.dtype, lanes: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What a function of the math library gives for so many lanes at once."""
    short, real = ("f64", "double") if dtype.itemsize == 8 else ("f32", "float")
    symbol, loop = f"fad_{name}_{short}_v{lanes}", f"fad_test_{name}_{short}_{lanes}"
    vectors = [f"<{lanes} x {real}> %{v}" for v in "ab"[: FUNCTIONS[name][1]]]
    types = ", ".join(v.rpartition(" ")[0] for v in vectors)
    text = CALLS.format(lanes=lanes, real=real, symbol=symbol, name=loop, types=types, arguments=", ".join(vectors))
    code = engine().compile(Source(text))
    address = link([([loop], code)], [symbol], loop)
    out = np.empty_like(x)
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)
    kind(address)(out.ctypes.data, x.ctypes.data, y.ctypes.data, x.size)
    return out


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_two_registers_at_once_give_the_same_bits(name, dtype):
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(5)
    info = np.finfo(dtype)
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, info.max, -info.max, info.tiny, info.smallest_subnormal]
    usual = np.concatenate([rng.normal(size=1000), rng.uniform(0, 20, 1000), 10 ** rng.uniform(-30, 30, 1000)])
    x = rng.permutation(np.concatenate([usual, np.tile(special, 8)]))[:3072].astype(dtype)
    y = rng.permutation(x)
    one = host_target().vector_bits // (8 * dtype.itemsize)
    found, expected = [called_with_lanes(name, dtype, n, x, y) for n in (2 * one, one)]
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    same = found.view(f"u{dtype.itemsize}") == expected.view(f"u{dtype.itemsize}")
    assert np.all(same | np.isnan(found))
