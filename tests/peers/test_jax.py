"""Values, both modes and second order of fad beside JAX's, on programs written once for both; with the `bench` extra."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

import fad
import fad.nn
import fad.numpy
import fad.scipy.linalg
import fad.scipy.special
from tests.peers.programs import CASES, directions

jax = pytest.importorskip("jax", reason="compares with JAX, of the bench extra")
pytestmark = pytest.mark.peer
# Condition numbers, cancellation and JAX's float32 approximations of special functions, over the rounding of the dtype.
TOLERANCE = {"float32": 2e-4, "float64": 1e-9, "complex128": 1e-9}


def same_names(library):
    return {name: getattr(library, name) for name in ("vmap", "jit", "vjp", "jvp", "hessian", "checkpoint")}


FAD = SimpleNamespace(
    jax=False,
    unique={},
    np=fad.numpy,
    fft=fad.numpy.fft,
    linalg=fad.numpy.linalg,
    special=fad.scipy.special,
    slinalg=fad.scipy.linalg,
    lax=SimpleNamespace(
        scan=fad.scan,
        cond=fad.cond,
        switch=fad.switch,
        fori_loop=fad.fori_loop,
        associative_scan=fad.associative_scan,
        top_k=fad.numpy.top_k,
    ),
    segment_sum=fad.numpy.segment_sum,
    conv=fad.nn.conv,
    **same_names(fad),
    leaves=fad.tree.leaves,
)


def jax_convolution(x, w, stride, padding, dilation):
    return jax.lax.conv_general_dilated(
        x, w, stride, padding, rhs_dilation=dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


JAX = SimpleNamespace(
    jax=True,
    unique={"unique_indices": True},  # JAX differentiates no other product into an array
    np=jax.numpy,
    fft=jax.numpy.fft,
    linalg=jax.numpy.linalg,
    special=importlib.import_module("jax.scipy.special"),
    slinalg=importlib.import_module("jax.scipy.linalg"),
    lax=jax.lax,
    segment_sum=jax.ops.segment_sum,
    conv=jax_convolution,
    **same_names(jax),
    leaves=jax.tree.leaves,
)


@pytest.fixture(scope="module", autouse=True)
def wide_types():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def all_modes(m, function, arrays):
    """Values, pullback, pushforward, and the pushforward of the pullback (second order), as named lists of NumPy arrays."""

    def flat(*arrays):
        return tuple(m.leaves(function(m, *arrays)))

    arrays = [m.np.asarray(a) for a in arrays]
    tangents = tuple(m.np.asarray(d) for d in directions(arrays, 1))

    def pulled(*arrays):
        values, pullback = m.vjp(flat, *arrays)
        return values, pullback(tuple(m.np.asarray(d) for d in directions(values, 2)))

    (values, cotangents), (pushed, second) = m.jvp(pulled, tuple(arrays), tangents)
    compiled = m.jit(pulled)(*arrays)
    named = {"values": values, "cotangents": cotangents, "tangents": pushed, "second order": second}
    named |= {"compiled values": compiled[0], "compiled cotangents": compiled[1]}
    return {name: [np.asarray(leaf) for leaf in leaves] for name, leaves in named.items()}


@pytest.mark.parametrize("case, kind", [pytest.param(c, k, id=f"{c.name}-{k}") for c in CASES for k in c.kinds])
def test_programs_agree_with_jax(case, kind):
    ours = all_modes(FAD, case.function, case.arrays(kind))
    theirs = all_modes(JAX, case.function, case.arrays(kind))
    for mode, expected in theirs.items():
        assert len(ours[mode]) == len(expected)
        for position, (a, b) in enumerate(zip(ours[mode], expected, strict=True)):
            assert a.shape == b.shape, (mode, position)
            assert a.dtype == b.dtype, (mode, position)
            scale = np.abs(b).max(initial=1.0)
            np.testing.assert_allclose(
                a, b, rtol=TOLERANCE[kind], atol=TOLERANCE[kind] * scale, err_msg=f"{mode} {position}"
            )
