"""Each pass keeps the meaning of a Program and does what it is for."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fad
import fad.numpy as fnp
from fad.compiler.passes.folding import fold
from fad.compiler.passes.inlining import inline
from fad.compiler.passes.pipeline import PASSES, narrow_scans, simplified
from fad.compiler.passes.products import expand_products
from fad.compiler.passes.redundancy import merge_equal, remove_dead
from fad.compiler.passes.verifier import verify
from fad.core.errors import FadError
from fad.core.program import Equation, Program, Var, evaluate
from tests.compiler.compiled_programs import check_compiled
from tests.compiler.program_steps import STEPS, Known, disagreement, function_of, run_steps

X = np.linspace(-1.0, 2.0, 12).reshape(3, 4)


def staged(function, *args):
    return fad.make_program(function)(*args)


def names(program):
    return [e.primitive.name for e in program.equations]


FUNCTIONS = [
    lambda x: fad.jit(lambda y: fnp.sin(y) * fnp.sin(y))(x) + fnp.sin(x),
    fad.grad(lambda x: fnp.sum(fnp.tanh(x @ x.T) ** 2) / x.shape[0]),
    fad.grad(fad.checkpoint(lambda x: fnp.sum(fnp.sin(fnp.cos(x))))),
    lambda x: (x.T.T.reshape(12).reshape(2, 6) * 1.0 - 0.0) / 1.0,
    lambda x: fnp.einsum("ij,kj->ik", x, x[:1]) + x @ x[0],
    fad.hessian(lambda x: fnp.sum(x[0] * fnp.exp(x[1]))),
    lambda x: fnp.concatenate([x[3:], x, x[:0]]) + fnp.pad(x[:0], ((1, 2), (0, 0))),
    fad.grad(lambda x: fnp.sum(fad.associative_scan(fnp.multiply, x) ** 2)),
]


@pytest.mark.parametrize("number", range(len(PASSES)))
@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_pass_keeps_the_meaning(function, number):
    program = staged(function, X)
    before = evaluate(program, X)
    for transform in PASSES[: number + 1]:
        program = verify(transform(program), transform.__name__)
    for seen, expected in zip(evaluate(program, X), before, strict=True):
        np.testing.assert_allclose(seen, expected, rtol=1e-13, atol=1e-13)


def test_loops_stack_what_a_slice_is_taken_of_and_slice_rows_inside():
    def f(x):
        def turn(c, a):
            c = fnp.sin(c) * a
            return c, (c[1:], c[:-1], c[:2])

        c, (tails, heads, few) = fad.scan(turn, x[0], x)
        return fad.scan(lambda d, row: (d + row[0] * row[1], None), c[1:], (tails, heads))[0], few

    rows = np.linspace(-1.0, 2.0, 36).reshape(3, 12)
    first, second = [e for e in narrow_scans(staged(f, rows)).equations if e.primitive.name == "scan"]
    # The rows themselves instead of two of their slices; what is much smaller, or given to the user, is stacked as it is.
    assert [v.aval.shape for v in first.outputs] == [(12,), (3, 12), (3, 2)]
    assert [a.aval.shape for a in second.inputs if a in first.outputs] == [(3, 12)]
    check_compiled(f, rows)
    check_compiled(fad.grad(lambda x: sum(fnp.sum(fnp.sin(out)) for out in f(x))), rows)


def test_a_loop_reads_a_value_once_that_it_needs_in_many_operations():
    """Each product of the loop leaves the same residual."""
    factors = np.linspace(0.5, 1.0, 20)

    def f(x):
        def turn(c, _):
            for _ in range(3):
                c = fnp.concatenate([c[:1], x[1:] * c[:-1]])
            return c, None

        return fad.scan(turn, x, None, length=4)[0].sum()

    program = simplified(staged(fad.grad(f), factors))
    scans = [e for e in program.equations if e.primitive.name == "scan"]
    assert [e.params["constants"] for e in scans] == [1, 1]
    np.testing.assert_allclose(fad.jit(fad.grad(f))(factors), fad.grad(f)(factors), rtol=1e-12)


def test_inlining_writes_out_nested_calls():
    inner = fad.jit(fad.jit(fnp.sin))
    assert names(inline(staged(lambda x: inner(inner(x)), X))) == ["sin", "sin"]


def test_dead_code_is_removed():
    def f(x):
        fnp.exp(x)
        return fnp.sin(x)

    program = staged(f, X)
    with_dead = Program(program.inputs, [*staged(f, X).equations, *program.equations], program.outputs)
    assert names(remove_dead(with_dead)) == ["sin"]


def test_empty_arrays_are_neither_joined_nor_padded():
    def f(x):
        return fnp.concatenate([x[3:], x, x[:0]]) * 2.0 + fnp.pad(x[:0], ((1, 2), (0, 0)))

    assert names(simplified(staged(f, X))) == ["multiply", "full", "add"]


def test_equal_values_are_computed_once():
    assert names(merge_equal(staged(lambda x: fnp.sin(x) * fnp.sin(x), X))) == ["sin", "multiply"]


def test_literals_of_different_types_are_not_equal():
    program = merge_equal(staged(lambda x: (x * 1, x * 1.0, x * 1, x * True), np.arange(3)))
    assert len(program.equations) == 3


def test_what_a_checkpoint_computes_again_stays():
    f = fad.checkpoint(lambda x: fnp.sum(fnp.sin(fnp.exp(x)) ** 2))
    with_checkpoint = simplified(staged(fad.value_and_grad(f), X))
    without = simplified(staged(fad.value_and_grad(lambda x: fnp.sum(fnp.sin(fnp.exp(x)) ** 2)), X))
    assert names(with_checkpoint).count("exp") == 2
    assert names(without).count("exp") == 1


def test_folding_computes_scalars():
    program = fold(staged(lambda x: x * (fnp.sqrt(fnp.float64(2.0) * 8.0) + 1.0), X))
    assert len(program.equations) == 1


@pytest.mark.parametrize(
    "function",
    [lambda x: x * 1.0, lambda x: 1.0 * x, lambda x: x / 1.0, lambda x: x - 0.0, lambda x: +x, fad.stop_gradient],
)
def test_neutral_operations_vanish(function):
    assert names(fold(staged(function, X))) == []


@pytest.mark.parametrize("function", [lambda x: x + 0.0, lambda x: x * 0.0, lambda x: x - (-0.0), lambda x: 0.0 - x])
def test_what_changes_signed_zeros_or_nan_stays(function):
    assert len(fold(staged(function, X)).equations) == 1


def test_views_of_views_become_one():
    assert names(remove_dead(fold(staged(lambda x: x.reshape(12).reshape(2, 6), X)))) == ["reshape"]
    assert names(remove_dead(fold(fold(staged(lambda x: x.T.T, X))))) in ([], ["transpose"])


def test_vector_products_become_sums():
    assert "dot_general" not in names(expand_products(staged(lambda x: x @ x[0], X)))
    large = np.ones((20, 30))
    assert "dot_general" in names(expand_products(staged(lambda x: x @ x.T, large)))


def test_the_verifier_finds_broken_programs():
    program = staged(lambda x: fnp.sin(x) + 1.0, X)
    first, second = program.equations
    with pytest.raises(FadError, match="reads a variable that is not defined"):
        verify(Program(program.inputs, [second, first], program.outputs), "a test")
    with pytest.raises(FadError, match="its shape rule gives"):
        wrong = Equation(first.primitive, first.inputs, {}, [Var(first.outputs[0].aval.update((7,)))], None)
        verify(Program(program.inputs, [wrong], wrong.outputs), "a test")
    with pytest.raises(FadError, match="defined already"):
        verify(Program(program.inputs, [first, first], first.outputs), "a test")
    with pytest.raises(FadError, match="is not defined"):
        verify(Program(program.inputs, [], program.outputs), "a test")
    with pytest.raises(FadError, match="named twice"):
        verify(Program([*program.inputs, *program.inputs], [], program.inputs), "a test")
    with pytest.raises(FadError, match="outputs where its shape rule"):
        verify(Program(program.inputs, [Equation(first.primitive, first.inputs, {}, [], None)], []), "a test")


def test_cotangents_of_gathered_values_are_added_in_place():
    rows = np.array([2, 0, 0])
    program = staged(fad.grad(lambda x: fnp.sum(fnp.sin(x[rows])) + fnp.sum(x**2)), X)
    result = simplified(program)
    assert "scatter_add" in names(result)
    assert "gather_transpose" not in names(result)
    np.testing.assert_allclose(evaluate(result, X)[0], evaluate(program, X)[0], rtol=1e-14)


def test_zeros_that_are_added_make_negative_zeros_positive():
    x = np.array([-0.0, -0.0, 1.0])
    gradient = fad.grad(lambda x: fnp.sum(x[np.array([0])]) + fnp.sum(x * x))
    eager, compiled = gradient(x), fad.jit(gradient)(x)
    np.testing.assert_array_equal(np.signbit(np.asarray(compiled)), np.signbit(np.asarray(eager)))


def test_transposed_gathers_that_are_read_twice_stay():
    rows = np.array([1, 1])

    def function(x):
        ct = fad.vjp(lambda v: v[rows], x)[1](x[:2])[0]
        return ct + x, ct

    result = simplified(staged(function, X))
    assert "gather_transpose" in names(result)


# --- random Programs ---------------------------------------------------------------------------------------------------------------------

drawn_steps = st.lists(
    st.tuples(
        st.integers(0, len(STEPS) - 1), st.integers(0, 99), st.integers(0, 99), st.tuples(*[st.integers(0, 999)] * 4)
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from([0, 1, 2, 3, 9]), min_size=1, max_size=3), st.sampled_from(["f8", "f4", "i8"]), drawn_steps
)
def test_every_pass_keeps_the_meaning_of_random_programs(shape, dtype, steps):
    size = int(np.prod(shape))
    inputs = [(np.arange(size) % 7 / 2 - 1).reshape(shape).astype(dtype), np.arange(shape[-1]) % 3]
    with np.errstate(all="ignore"):
        errors = [known.error for known in run_steps(steps, inputs)]
        program = staged(function_of(steps), *inputs)
        before = evaluate(program, *inputs)
        for transform in PASSES:
            program = verify(transform(program), transform.__name__)
            for seen, wanted, error in zip(evaluate(program, *inputs), before, errors, strict=True):
                assert disagreement(seen, Known(wanted, error)) is None


def branch_effect(x, note):
    return fad.scan(lambda c, k: (c + fad.cond(x[0] >= 0, lambda: note(x[1]), lambda: 1.0), None), 0.0, x)[0]


EFFECTS = {
    "of what does not change": lambda x, note: fad.scan(lambda c, _: (c + note(x[0]), None), 0.0, None, length=3)[0],
    "in a branch": branch_effect,
    "in a call": lambda x, note: fad.scan(lambda c, k: (c + fad.jit(note)(x[2]), k), 0.0, x),
    "in an inner loop": lambda x, note: fad.scan(
        lambda c, k: (c + fad.scan(lambda d, _: (d + note(x[1]), None), 0.0, None, length=2)[0], k), 0.0, x
    ),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_in_loops_happen_in_every_turn(name, capsys):
    def note(value):
        fad.debug.print("saw {}", value)
        return value * 2

    x, printed = fnp.arange(3.0), []
    for run in (lambda x: EFFECTS[name](x, note), fad.jit(lambda x: EFFECTS[name](x, note))):
        run(x)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert printed[0].count("saw") == (6 if "inner" in name else 3)


WIDE = np.linspace(-1.0, 1.0, 3 * 20).reshape(3, 20)


def test_products_that_are_read_transposed_are_written_that_way():
    def of_matrices(x, y):
        return fnp.tanh((x @ y).T)

    def of_batches(x, y):
        turned = fnp.swapaxes(x @ y, 1, 2)
        return fnp.tanh(turned) + turned @ fnp.ones((3, 3))

    y = np.linspace(0.5, 1.5, 20 * 15).reshape(20, 15)
    assert names(simplified(staged(of_matrices, WIDE, y))) == ["dot_general", "tanh"]
    check_compiled(of_matrices, WIDE, y)
    batches = np.stack([WIDE, WIDE + 0.5]), np.stack([y, y - 1.0])
    assert "transpose" not in names(simplified(staged(of_batches, *batches)))
    check_compiled(of_batches, *batches)


def test_products_are_turned_where_their_rows_stay_apart():
    def heads(x, y):
        return fnp.tanh(fnp.transpose(x @ y, (2, 0, 1)).reshape(15, 6))

    batches = np.stack([WIDE, WIDE + 0.5]), np.linspace(0.5, 1.5, 2 * 20 * 15).reshape(2, 20, 15)
    (product, turned) = simplified(staged(heads, *batches)).equations[:2]
    assert product.outputs[0].aval.shape == (2, 15, 3)
    assert turned.params["axes"] == (1, 0, 2)
    check_compiled(heads, *batches)


@pytest.mark.parametrize("function", [lambda p: fnp.sin(p) + fnp.cos(p.T), lambda p: (p, fnp.cos(p.T))])
def test_products_that_are_read_both_ways_stay(function):
    result = names(simplified(staged(lambda x: function(x @ x.T), WIDE)))
    assert result.count("transpose") == result.count("dot_general") == 1
    check_compiled(lambda x: function(x @ x.T), WIDE)


def test_a_transposed_product_that_only_another_product_reads_stays_as_it_is():
    result = simplified(staged(lambda x, y: (x @ y).T @ x, WIDE, np.ones((20, 15))))
    products = [e for e in result.equations if e.primitive.name == "dot_general"]
    assert [e.outputs[0].aval.shape for e in products] == [(3, 15), (15, 20)]
