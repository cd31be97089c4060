"""Results that are reshapes of what a step computes: it is computed in their memory."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp

A = np.random.default_rng(0).normal(size=(24, 36))


def both(x):
    x = fnp.sort(x)
    return fnp.ravel(x), x


def three(x):
    x = fnp.sort(x)
    return fnp.ravel(x), fnp.reshape(x, (2, -1)), fnp.sum(x)


def read_again(x):
    x = fnp.cumsum(x, axis=0)
    return fnp.ravel(x), x[None] * A, fnp.concatenate([x, 2.0 * x])


def in_a_loop(x):
    return fad.fori_loop(0, 3, lambda i, a: fnp.ravel(fnp.sort(fnp.reshape(a, A.shape), axis=0)), fnp.ravel(x))


CASES = {
    "of a sort": lambda x: fnp.ravel(fnp.sort(x)),
    "of a product": lambda x: fnp.ravel(x @ x.T),
    "of a running sum": lambda x: fnp.reshape(fnp.cumsum(x, axis=1), (36, 24)),
    "of a reshape": lambda x: fnp.reshape(fnp.ravel(fnp.sort(x)), (6, -1)),
    "of an elementwise operation": lambda x: fnp.ravel(fnp.sin(x)),
    "of a sum": lambda x: fnp.ravel(fnp.sum(fnp.reshape(x, (4, 6, 36)), axis=0)),
    "of an argument": fnp.ravel,
    "of what is written into": lambda x: fnp.ravel((x * 2.0).at[3].add(x[1])),
    "of a loop's result": lambda x: fnp.ravel(fad.fori_loop(0, 3, lambda i, a: fnp.sin(a), x)),
    "beside what it is made of": both,
    "two of one": three,
    "of what others read": read_again,
    "inside a loop": in_a_loop,
    "of a gradient": fad.grad(lambda x: fnp.sum(fnp.sin(fnp.reshape(x, (36, 24)) @ x))),
    "of a vector's few numbers": lambda x: fnp.reshape(x[0, :4] * 2.0, (2, 2)),
    "of nothing": lambda x: fnp.reshape(fnp.sort(x[:, :0]), (0, 24)),
}


@pytest.mark.parametrize("name", CASES)
def test_same_as_evaluated(name):
    function = CASES[name]
    compiled = fad.jit(function)
    for x in (A, A[::-1], 2.0 * A):  # compiled, run by the native caller, run again
        found, wanted = fad.tree.leaves(compiled(x)), fad.tree.leaves(function(fad.Array(x)))
        for a, b in zip(found, wanted, strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["of a sort", "of a product", "of a running sum", "of a reshape", "of a sum"])
def test_nothing_is_copied(name):
    lowered = fad.jit(CASES[name]).lower(A)
    kernels = [line for line in lowered.as_text("kernels").splitlines() if line.startswith("kernel ")]
    assert len(kernels) == 1, kernels


def test_a_donated_argument_is_not_taken_for_another_shape():
    function = fad.jit(CASES["of an elementwise operation"], donate_argnums=0)
    for _ in range(3):
        found = function(fad.Array(A.copy()))
        assert found.shape == (A.size,)
        np.testing.assert_allclose(found, np.sin(A).ravel())
