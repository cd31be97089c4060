"""Arrays that are computed where they stand in an array that joins them."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from tests.compiler.compiled_programs import check_compiled

X, V = np.random.default_rng(0).normal(size=(300, 40)), np.linspace(-1.0, 1.0, 40)


def copied(f, *args):
    """The bytes that concatenations write."""
    text = str(fad.jit(f).lower(*args).as_text("kernels"))
    heads = [line for line in text.splitlines() if ", concatenate: " in line]
    return [line.partition("writes ")[2] for line in heads]


def flattened(x, v):
    return fnp.concatenate([fnp.ravel(fnp.sin(x)), v * 2.0])


def repeated(x, v):
    s = fnp.sin(x)
    return fnp.concatenate([s, s, x @ x.T[:, :40], x])


def read_before_and_after(x, v):
    s = fnp.sin(x)
    c = fnp.concatenate([s, fnp.cos(x) * v])
    return c, fnp.sum(s * 2.0), fnp.cumsum(c, axis=0), fnp.sort(s, axis=0)


def returned_itself(x, v):
    s = fnp.sin(x)
    return s, fnp.concatenate([s, fnp.cos(x) * v]) @ v


def joined_twice(x, v):
    s = fnp.sin(x)
    c = fnp.concatenate([s, fnp.sum(x, axis=0, keepdims=True) * v + s[:1]])
    d = fnp.concatenate([c, s @ fnp.outer(v, v), c])
    return d.at[3].add(1.0), fnp.sort(c, axis=0), c.at[2].set(0.0)


def in_turns(x, v):
    def turn(c, _):
        a = fnp.concatenate([fnp.sin(c[150:]), c[:150] * 0.5 + c[150:]])
        return a, fnp.concatenate([a, a * 2.0])

    return fad.scan(turn, x, None, length=3)


def in_branches(x, v):
    return fad.cond(
        v[0] < 0, lambda x: fnp.concatenate([fnp.sin(x), x * 2]), lambda x: fnp.concatenate([x, fnp.cos(x)]), x
    )


def results_of_other_operations(x, v):
    ends, sums = fad.scan(lambda c, row: (c + row, c * row), v, x)
    chosen = fad.cond(v[0] < 0, lambda x: x * 2, fnp.cos, x)
    turned = fad.fori_loop(0, 3, lambda _, x: x * 0.5 + 1, x)
    places = fnp.arange(40) % 7
    parts = [
        sums,
        chosen,
        x @ fnp.outer(v, v),
        turned,
        x[places],
        fnp.sort(x, axis=1),
        x.at[places].add(1.0),
        fnp.cumsum(x, 0),
    ]
    return fnp.concatenate([*parts, ends[None]]), fnp.concatenate([fnp.linalg.inv(x[:40] + 9 * fnp.eye(40)), x])


def of_other_types(x, v):
    return fnp.concatenate([fnp.sin(x), (x * 3).astype("f4"), x > 0]), fnp.concatenate([x[:0] * 2, x + 1, x[:0]])


CASES = [
    flattened,
    repeated,
    read_before_and_after,
    returned_itself,
    joined_twice,
    in_turns,
    in_branches,
    of_other_types,
]


@pytest.mark.parametrize("f", CASES, ids=lambda f: f.__name__)
def test_values(f):
    check_compiled(f, X, V)
    compiled = fad.jit(f)
    for _ in range(2):  # the second call finds memory that is not clear
        for found, expected in zip(fad.tree.leaves(compiled(X, V)), fad.tree.leaves(f(X, V)), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("donated", [(0,), (1,), (0, 1)], ids=str)
def test_given_memory_is_not_overwritten_early(donated):
    def f(x, v):
        return fnp.concatenate([fnp.sin(x[150:]), fnp.cos(x[:150]) * v + x[150:]])

    found = fad.jit(f, donate_argnums=donated)(fad.Array(X), fad.Array(V))
    np.testing.assert_allclose(found, f(fad.Array(X), fad.Array(V)), rtol=1e-12)


def test_nothing_is_copied_that_is_computed_in_place():
    assert copied(flattened, X, V) == ["0 B"]
    assert copied(lambda x, v: fnp.concatenate([x @ x.T, fnp.cos(x @ x.T)]), X, V) == ["0 B"]
    assert copied(lambda x, v: fnp.concatenate([fnp.sin(x), x]), X, V) == ["93.8 KiB"]
