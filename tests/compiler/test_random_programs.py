"""Random Programs: compiled and evaluated results agree, whatever is fused, merged, broadcast, sliced or reduced."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fad
import fad.numpy as fnp
from fad.compiler.dispatch import run_program
from fad.core.errors import FadError, NonFiniteError
from fad.core.program import evaluate
from tests.compiler import program_steps
from tests.compiler.compiled_programs import compile_program, program_of

SIZES = [1, 2, 3, 9, 17]
UNARY = [
    fnp.sin,
    fnp.tanh,
    fnp.exp,
    fnp.negative,
    fnp.abs,
    lambda x: x * x,
    lambda x: x + 1.5,
    lambda x: 0.5 * x,
    lambda x: fnp.sqrt(fnp.abs(x)),
]
BINARY = [fnp.add, fnp.subtract, fnp.multiply, fnp.maximum, fnp.arctan2, lambda x, y: fnp.where(x > y, x, y * 0.3)]
REDUCTIONS = [fnp.sum, fnp.max, fnp.min, fnp.mean]


def broadcastable(x, y):
    return all(m == n or 1 in (m, n) for m, n in zip(x.shape[::-1], y.shape[::-1]))


@st.composite
def steps(draw):
    """A list of random choices; what they mean is decided while the function runs."""
    return draw(
        st.lists(
            st.tuples(st.integers(0, 11), st.integers(0, 999), st.integers(0, 999), st.integers(0, 999)),
            min_size=2,
            max_size=9,
        )
    )


def apply(values, step):
    """Append one more value, computed as the step says from some of the values so far."""
    kind, a, b, c = step
    x, y = values[-1 - a % min(len(values), 3)], values[b % len(values)]
    axis = c % max(x.ndim, 1)
    if kind <= 2:
        out = UNARY[c % len(UNARY)](x)
    elif kind <= 5 and broadcastable(x, y):
        out = BINARY[c % len(BINARY)](x, y)
    elif kind == 6 and x.ndim:
        out = REDUCTIONS[b % len(REDUCTIONS)](x, axis=axis, keepdims=bool(a % 2))
    elif kind == 7 and x.ndim > 1:
        out = fnp.moveaxis(x, axis, 0) if a % 2 else x.T
    elif kind == 8 and x.ndim:
        out = x.reshape(-1) if a % 2 else x.reshape(x.shape[0], -1)
    elif kind == 9 and x.ndim:
        index = [slice(None)] * x.ndim
        index[axis] = [slice(1, None), slice(None, None, -1), slice(None, None, 2), slice(0, 1)][a % 4]
        out = x[tuple(index)] if x.shape[axis] > 1 else x
    elif kind == 10 and x.ndim:
        out = fnp.concatenate([x, x * 2.0], axis=axis) if x.size < 3000 else x
    elif kind == 11 and x.ndim == 2 and y.ndim == 2 and x.shape[1] == y.shape[0]:
        out = x @ y
    else:
        out = x * 0.7 + 0.1
    values.append(out)


def function_of(program):
    def f(*inputs):
        values = list(inputs)
        for step in program:
            apply(values, step)
        return values[-1], values[-2], fnp.sum(values[len(values) // 2])

    return f


def compare(function, args):
    program = program_of(function, *args)
    with np.errstate(all="ignore"):
        expected = evaluate(program, *args)
    found = compile_program(program)(*args)
    for seen, wanted in zip(found, expected, strict=True):
        wanted = np.asarray(wanted)
        assert (seen.shape, seen.dtype) == (wanted.shape, wanted.dtype)
        finite = np.isfinite(wanted)
        scale = max(1.0, np.max(np.abs(wanted), initial=0.0, where=finite))
        np.testing.assert_allclose(seen, wanted, rtol=1e-9, atol=1e-11 * scale)


shapes = st.lists(st.sampled_from(SIZES), min_size=0, max_size=3).map(tuple)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(shapes, shapes, steps(), st.integers(0, 10))
def test_values(first, second, program, seed):
    generator = np.random.default_rng(seed)
    compare(function_of(program), [generator.normal(size=first), generator.normal(size=second)])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(shapes, steps(), st.integers(0, 10))
def test_gradients(shape, program, seed):
    f = function_of(program)

    def loss(x):
        return sum(fnp.sum(fnp.sin(out)) for out in f(x))

    compare(fad.grad(loss), [np.random.default_rng(seed).normal(size=shape)])


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(shapes, steps(), st.integers(0, 10))
def test_single_precision_and_batches(shape, program, seed):
    x = np.random.default_rng(seed).normal(size=(11, *shape))
    compare(fad.vmap(lambda x: function_of(program)(x)), [x])
    outs = fad.jit(function_of(program))(x.astype("f4"))
    assert all(o.dtype == np.float32 for o in outs)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(steps(), st.integers(0, 10))
def test_loops_over_random_bodies(program, seed):
    generator = np.random.default_rng(seed)
    xs = generator.normal(size=(6, 9))

    def loop(xs):
        def body(c, x):
            values = [c, x]
            for step in program:
                apply(values, step)
            return fnp.tanh(c + fnp.sum(values[-1]) * 0.01), fnp.sum(values[-2])

        return fad.scan(body, xs[0], xs)

    compare(loop, [xs])
    compare(fad.grad(lambda xs: sum(fnp.sum(o) for o in loop(xs))), [xs])


def complaint(run):
    """What a check says of a NaN or an infinity; None if it says nothing."""
    with fad.config.using(check_nans=True, check_infs=True), np.errstate(all="ignore"):
        try:
            run()
        except NonFiniteError as error:
            return str(error)
    return None


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(shapes, shapes, steps(), st.booleans(), st.integers(0, 10))
def test_checks_of_compiled_code_find_what_evaluation_finds(first, second, program, differentiated, seed):
    def f(*inputs):
        # Roots of negative numbers, and infinite slopes at zero; some of them chosen, cut off or reduced by what follows.
        return function_of(program)(*[fnp.sqrt(x) for x in inputs])

    def loss(*inputs):
        return sum(fnp.sum(out) for out in f(*inputs))

    generator = np.random.default_rng(seed)
    args = [np.maximum(generator.normal(size=s) + 1.0, float(generator.integers(-1, 2))) for s in (first, second)]
    staged = program_of(fad.value_and_grad(loss) if differentiated else f, *args)
    with fad.config.using(compile=False):
        expected = complaint(lambda: evaluate(staged, *args))
    assert complaint(lambda: run_program(staged, args)) == expected


# --- Programs of all operations ----------------------------------------------------------------------------------------------------------

SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e300, -1e-310, 0.5])
DTYPES = ["f8", "f8", "f8", "f4", "f4", "i8", "i8", "i4", "u4", "u1", "i1", "?", "f2"]


def array_of(shape, dtype, seed):
    """Multiples of a quarter; every third seed has special values among them."""
    generator, dtype = np.random.default_rng(seed), np.dtype(dtype)
    x = generator.integers(-12, 13, size=shape) / 4
    rare = generator.random(shape) < (0.2 if seed % 3 == 0 else 0.0)
    with np.errstate(all="ignore"):
        if dtype.kind == "f":
            return np.asarray(np.where(rare, generator.choice(SPECIAL, size=shape), x), dtype)
        if dtype.kind == "b":
            return np.asarray(x > 0)
        limits = np.iinfo(dtype)
        extremes = np.array([limits.min, limits.max, limits.min + 1, limits.max - 1], dtype)
        return np.where(rare, generator.choice(extremes, size=shape), np.asarray(x).astype(int).astype(dtype))


def check_steps(steps, inputs):
    with np.errstate(all="ignore"):
        try:
            values = program_steps.run_steps(steps, inputs)
        except FadError as error:
            with pytest.raises(type(error)):
                fad.jit(program_steps.function_of(steps))(*inputs)
            return
    with fad.config.using(verify_programs=True):
        found = fad.jit(program_steps.function_of(steps))(*inputs)
    for seen, value in zip(found, values, strict=True):
        assert program_steps.disagreement(seen, value) is None


any_shape = st.lists(st.sampled_from([0, 1, 1, 2, 3, 5, 8, 9, 9, 12, 17, 40]), max_size=3).map(tuple)
any_steps = st.lists(
    st.tuples(
        st.integers(0, len(program_steps.STEPS) - 1),
        st.integers(0, 99),
        st.integers(0, 99),
        st.tuples(*[st.integers(0, 999)] * 4),
    ),
    min_size=2,
    max_size=9,
)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(any_shape, any_shape, st.booleans(), st.tuples(*[st.sampled_from(DTYPES)] * 3), any_steps, st.integers(0, 99))
def test_all_operations(first, second, alike, dtypes, steps, seed):
    shapes = (first, first if alike else second, first[-1:])
    check_steps(steps, [array_of(s, d, seed + k) for k, (s, d) in enumerate(zip(shapes, dtypes, strict=True))])
