"""Results of loops take the memory of temporary arrays that nothing reads later, and nothing is read after it was overwritten."""

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.donation import overwritten_temporaries
from fad.compiler.fusion import plan_steps
from fad.compiler.joined_in_place import parts_of
from fad.compiler.lifetimes import last_steps
from fad.compiler.passes.pipeline import simplified
from tests.compiler.compiled_programs import check_compiled

RNG = np.random.default_rng(0)


def overwritten(function, *args):
    """What takes the memory of what, by the names of the operations."""
    plan = plan_steps(simplified(fad.make_program(function)(*args)), has_own_results=True)
    taken = overwritten_temporaries(plan, last_steps(plan), parts_of(plan))
    return [tuple(plan.producers[v].primitive.name for v in pair) for pair in taken.items()]


def between(activation):
    """Something between two products: each of them must find what it reads in memory."""
    return lambda x, y: activation(x @ y, y) @ y


FUNCTIONS = {
    "elementwise": lambda h, y: fnp.tanh(h) * y,
    "read by later steps too": lambda h, y: (fnp.sin(h) @ y) * h,
    "two results": lambda h, y: (fnp.sin(h) @ y) * fnp.cos(h),
    "steps": lambda h, y: fnp.exp(-fnp.abs(fnp.sin(h) @ y)) @ y,
    "added to itself": lambda h, y: h.T + h,
    "reversed": lambda h, y: h[::-1] + h,
    "shifted": lambda h, y: fnp.roll(h, 1, axis=1) + h,
    "one row for all": lambda h, y: h + h[0],
    "columns": lambda h, y: h - h.mean(axis=0),
    "rows": lambda h, y: h - h.mean(axis=1, keepdims=True),
    "softmax": lambda h, y: fad.nn.softmax(h, axis=-1),
    "its sum beside": lambda h, y: (h * 2.0) * fnp.sum(h),
    "sum of the new one": lambda h, y: (h * 2.0) @ y + (h * 2.0).sum(axis=0),
    "padded": lambda h, y: fnp.pad(h, 1)[1:-1, 1:-1] + h,
    "padded and moved": lambda h, y: fnp.pad(h, ((1, 0), (0, 0)))[:-1] + h,
    "joined": lambda h, y: fnp.concatenate([h, fnp.sin(h @ y)])[: len(h)],
    "joined, and a part read later": lambda h, y: fnp.sin(fnp.tanh(fnp.concatenate([y, h]) * 2.0) @ y)[: len(h)] @ h,
    "flat": lambda h, y: (h.reshape(-1) * 2.0).reshape(h.shape) + h,
    "flat and reversed": lambda h, y: h.reshape(-1)[::-1].reshape(h.shape) * 2.0 + h,
    "gathered": lambda h, y: h[np.arange(len(y))[::-1]] * 2.0 + h,
    "sorted": lambda h, y: fnp.sort(h, axis=0) * h,
    "scattered": lambda h, y: h.at[3:5].add(1.0) * 2.0,
    "cumulative": lambda h, y: fnp.cumsum(h, axis=0) + h,
    "branch": lambda h, y: fad.cond(h[0, 0] > 0, lambda: fnp.sin(h) @ y, lambda: h - y),
    "loop": lambda h, y: fad.fori_loop(0, 3, lambda i, c: fnp.sin(c @ y) @ h, h),
    "scan": lambda h, y: fad.scan(lambda c, r: (fnp.tanh(c * r), c + r), h[0], h)[1],
    "complex": lambda h, y: fnp.abs(fnp.sin(h + 1j * y) @ (y - 1j * h)) * h,
    "complex parts read later": lambda h, y: fnp.real(((z := h + 1j * y) * z.T) @ (y - 1j * h)) * h,
    "other type": lambda h, y: (h > 0).astype(h.dtype) * fnp.where(h > 0, h, 0.1 * h),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("size", [7, 24, 70])
def test_nothing_is_read_after_it_was_overwritten(name, size):
    x, y = RNG.normal(size=(2, size, size)) / np.sqrt(size)
    f = between(FUNCTIONS[name])
    check_compiled(f, x, y, tolerance=1e-11)
    check_compiled(fad.grad(lambda x, y: fnp.sum(fnp.sin(f(x, y)))), x, y, tolerance=1e-10)
    check_compiled(lambda x, y: f(x.astype("f4"), y.astype("f4")), x, y, tolerance=1e-4)


def test_a_loop_between_products_overwrites_the_product():
    x = RNG.normal(size=(40, 40))
    assert overwritten(between(lambda h, y: fnp.tanh(h) * y), x, x) == [("multiply", "dot_general")]


def test_what_is_needed_later_stays():
    x = RNG.normal(size=(40, 40))
    assert overwritten(between(lambda h, y: (fnp.tanh(h) @ y) * h), x, x) == [("multiply", "dot_general")]
    assert overwritten(lambda x, y: ((h := x @ y), fnp.tanh(h) @ y), x, x) == []
    assert overwritten(between(lambda h, y: h[::-1] * 2.0), x, x) == []
    # Sums of short rows stay in registers, which loops that overwrite have no room for.
    assert overwritten(lambda x, y: ((h := fnp.tanh(x @ y)) @ y.T, h.sum(axis=0)), x, x[:, :8]) == []


def test_an_array_of_another_type_is_not_overwritten():
    x = RNG.normal(size=(40, 40))
    assert overwritten(between(lambda h, y: h.astype("f4")), x, x.astype("f4")) == []


def test_the_report_shows_both_names_in_one_place():
    x = RNG.normal(size=(40, 40))
    text = fad.jit(between(lambda h, y: fnp.tanh(h) * y)).lower(x, x).as_text("memory")
    assert [line.split()[:2] for line in text.splitlines() if "(40,40)" in line] == [["a,", "c"]]


def test_threads_overwrite_their_own_parts():
    x = RNG.normal(size=(700, 700)) / 30

    def f(x):
        h = x
        for _ in range(3):
            h = fnp.tanh(h @ x) + 0.5 * x
        return fnp.cumsum(h, axis=0)

    np.testing.assert_allclose(fad.jit(f)(x), f(x), rtol=1e-10, atol=1e-10)


def squashed(a):
    return a / (1.0 + fnp.abs(a))


STEPS = {
    "product": lambda a, b: a @ b / len(a),
    "loop": lambda a, b: squashed(a) * b,
    "one": lambda a, b: squashed(a),
    "joined": lambda a, b: squashed(fnp.concatenate([a, b]) * 2.0),
    "part": lambda a, b: (fnp.concatenate([a, b]) * 0.5)[len(a) // 2 : len(a) // 2 + len(a)],
    "turned": lambda a, b: (a.T - b) / 2,
    "moved": lambda a, b: fnp.roll(a, 1, axis=0) / 2 + b / 2,
    "reversed": lambda a, b: a[::-1] * b,
    "rows": lambda a, b: (a - b.mean(axis=1, keepdims=True)) / 2,
    "columns": lambda a, b: a * b.mean(axis=0),
    "flat": lambda a, b: squashed(a.reshape(-1)).reshape(a.shape) + b / 2,
    "scattered": lambda a, b: a.at[1:3].set(b[2:4]),
    "scan": lambda a, b: fad.scan(lambda c, r: (c / 2 + squashed(r), c * r), b[0], a)[1],
}


def random_program(seed, size):
    """Arrays made of earlier ones, the last of which are added up."""
    rng = np.random.default_rng(seed)
    names = [str(n) for n in rng.choice(list(STEPS), 14, p=[0.28, *[0.06] * (len(STEPS) - 1)])]
    chosen = rng.random((14, 2))

    def f(*arrays):
        made = list(arrays)
        for name, pair in zip(names, chosen, strict=True):
            # Mostly late ones: early ones that are read again and again would never be free.
            a, b = (made[-1 - int(len(made) * u**3)] for u in pair)
            made.append(STEPS[name](a, b)[:size])
        return made[-1] + made[-3] * made[-5], made[-2].sum()

    return f


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("size", [6, 20])
@pytest.mark.parametrize("seed", range(12))
def test_random_programs(seed, size, dtype):
    rng = np.random.default_rng(seed)
    arrays = rng.uniform(-1, 1, size=(3, size, size)).astype(dtype)
    if dtype == "complex128":
        arrays += 1j * rng.uniform(-1, 1, size=arrays.shape)
    check_compiled(random_program(seed, size), *arrays, tolerance=1e-10)
