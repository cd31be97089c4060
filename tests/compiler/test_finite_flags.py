"""Which operations hand NaNs and infinities on: what the tests of compiled code rely on, held against NumPy and against compiled code."""

import functools
import importlib
import pkgutil

import numpy as np
import pytest

import fad
import fad.numpy as fnp
import fad.primitives
import fad.transforms.checkpointing  # registers checkpoint_name
from fad.compiler.execution import CompiledProgram
from fad.compiler.finite_flags import _BOTH, _FIRST, _NANS, flagged
from fad.compiler.nested import body_program
from fad.core.avals import is_inexact
from fad.core.primitive import REGISTRY
from fad.core.program import nested_in
from tests.compiler.compiled_programs import program_of

for module in pkgutil.iter_modules(fad.primitives.__path__, "fad.primitives."):
    importlib.import_module(module.name)

NAMES = sorted((_BOTH | _NANS | set(_FIRST)) - {"copy"})


def claimed(name):
    """Pairs of what is handed on and from which arguments, None for all."""
    pairs = []
    if name in _BOTH or name in _NANS:
        pairs.append((np.nan, None))
    if name in _BOTH:
        pairs += [(np.inf, None), (-np.inf, None)]
    if name in _FIRST:
        pairs += [(v, (_FIRST[name],)) for v in (np.nan, np.inf, -np.inf)]
    return pairs


def samples_with(name, value, numbers):
    """Calls of an operation, one element of one argument replaced by the value: the sample and the arguments."""
    for sample in REGISTRY[name].samples:
        args = sample.make()
        for k, arg in enumerate(args):
            if isinstance(arg, np.ndarray) and is_inexact(arg.dtype) and (numbers is None or k in numbers):
                for place in np.ndindex(arg.shape):
                    changed = arg.copy()
                    changed[place] = value
                    yield sample, [*args[:k], changed, *args[k + 1 :]]


@functools.cache
def compiled(name, sample):
    """The operation on a sample's arguments as native code."""
    staged = fad.make_program(lambda *args: REGISTRY[name].bind(*args, **sample.params))(*sample.make())
    return CompiledProgram(staged)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NaNs and infinities are what is computed with
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_is_handed_on(name):
    impl, tried = REGISTRY[name].impl_for(np), 0
    for value, numbers in claimed(name):
        lost = np.isfinite if np.isinf(value) else lambda out: ~np.isnan(out)
        for sample, args in samples_with(name, value, numbers):
            for out in (impl(*args, **sample.params), compiled(name, sample)(*args)):
                outs = [np.asarray(o) for o in (out if isinstance(out, list | tuple) else [out])]
                if all(o.size and is_inexact(o.dtype) for o in outs):
                    assert not all(lost(o).all() for o in outs), (sample, args)
                    tried += 1
    assert tried


def reductions(program):
    """How many sums a Program holds, those of nested Programs too."""
    count = sum(e.primitive.name == "reduce_sum" for e in program.equations)
    return count + sum(reductions(p) for e in program.equations for _, p in nested_in(e))


def added(function, *args, infs=False):
    """How many tests of arrays a function gets."""
    program = program_of(function, *args)
    return reductions(flagged(program, infs)) - reductions(body_program(program))


def test_only_what_is_lost_is_tested():
    x, w = np.ones((4, 3)), np.ones((3, 3))
    assert added(lambda x, w: fnp.tanh(x @ w + 1.0) * 2.0, x, w) == 1
    # An exponential may turn an infinity into zero.
    assert added(lambda x, w: fnp.exp(x @ w + 1.0), x, w, infs=True) == 2
    # What is not chosen is lost.
    assert added(lambda x, w: fnp.where(x > 0, fnp.log(x), 0.0) @ w, x, w) == 2
    assert added(lambda x, w: fnp.log(x)[0], x, w) == 2


def test_loops_test_in_each_turn_only_what_the_next_turn_does_not_hand_on():
    xs = np.ones((5, 8))

    def last(step):
        return lambda xs: fad.scan(step, np.ones(8), xs)[0]

    assert added(last(lambda c, x: (fnp.tanh(c + x), None)), xs) == 1
    assert added(last(lambda c, x: (fnp.where(x > 0, c, x * 2.0), None)), xs) == 3
    # Neither turn reads what the one before it made.
    assert added(last(lambda c, x: (fnp.tanh(x), None)), xs) == 2


def test_a_flag_may_be_raised_without_need_but_never_missing():
    program = program_of(lambda x: x * 2.0, np.ones(2))
    run = CompiledProgram(flagged(program, True))
    assert run(np.array([1.0, 2.0]))[-1] == np.False_
    assert run(np.array([np.inf, 2.0]))[-1] == np.True_
    assert run(np.array([8e307, 8e307]))[-1] == np.True_  # the sum of the two overflows
    assert CompiledProgram(flagged(program, False))(np.array([np.inf, 1.0]))[-1] == np.False_


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_every_dtype_raises_the_flag(dtype):
    x = np.ones(3, dtype)
    program = program_of(lambda x: (x * x)[:2], x)
    run = CompiledProgram(flagged(program, False))
    assert run(x)[-1] == np.False_
    x[2] = np.nan
    assert run(x)[-1] == np.True_


def test_complex_parts_raise_the_flag_where_nothing_hands_them_on():
    x = np.ones(3, complex)
    for function in (lambda x: x * 0, lambda x: (x * 0, x), lambda x: x - x, lambda x: fnp.stack([x * 0, x])[0]):
        run = CompiledProgram(flagged(program_of(function, x), False))
        assert run(x)[-1] == np.False_
        assert run(np.array([1.0, np.inf, 1.0], complex))[-1] == np.True_


def test_large_float16_values_do_not_overflow_their_test():
    x = np.full(100, 60000.0, np.float16)
    assert CompiledProgram(flagged(program_of(lambda x: -x, x), True))(x)[-1] == np.False_
