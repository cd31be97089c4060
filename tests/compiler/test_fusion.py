"""What is fused, as text: a lost fusion shows here."""

import re

import numpy as np
import pytest

import fad
import fad.numpy as fnp
from fad.compiler.canonical import program_form
from fad.compiler.llvm.lowering import lower_segment
from fad.compiler.memory_plan import MemoryPlan
from tests.compiler.compiled_programs import check_compiled, kernels
from tests.compiler.test_native_programs import layer_norm, softmax

X = np.random.default_rng(0).normal(size=(200, 300))
V = X[0]


def test_softmax_is_one_pass_over_the_rows():
    (text,) = kernels(check_compiled(softmax, X))
    assert text.splitlines()[0] == "for i < 200:"
    assert text.count("for j < 300:") == 3


def test_layer_norm_and_its_gradient_are_one_kernel_each():
    assert len(kernels(check_compiled(layer_norm, X, V, V))) == 1
    gradient = fad.grad(lambda x, g, b: fnp.sum(fnp.sin(layer_norm(x, g, b))), argnums=(0, 1, 2))
    assert len(kernels(check_compiled(gradient, X, V, V, tolerance=1e-10))) == 1


def test_chains_share_one_loop():
    assert len(kernels(check_compiled(lambda x: (fnp.sin(x) * 2.0, fnp.sum(fnp.cos(x)), fnp.max(x)), X))) == 1


def test_cross_entropy_and_its_gradient_are_one_pass():
    labels = np.eye(300)[np.arange(200)]

    def loss(x, y):
        return fnp.mean(fnp.sum(y * (fnp.log(fnp.sum(fnp.exp(x), axis=1, keepdims=True)) - x), axis=1))

    assert len(kernels(check_compiled(fad.value_and_grad(loss), X, labels))) == 1


def test_a_product_is_followed_by_one_loop():
    texts = kernels(check_compiled(lambda x, w, v: fnp.tanh(x @ w + v) * 2.0, X, X.T, X[:, 0]))
    assert len(texts) == 1


def test_small_values_need_no_loop():
    assert kernels(check_compiled(fad.grad(lambda x: fnp.sum(fnp.sin(x) * x)), np.ones(4))) == []


def test_arrays_that_are_never_alive_together_share_memory():
    compiled = check_compiled(lambda x: (x @ x.T) @ x @ x.T @ x, X)
    sizes = [step.arena_size for step in compiled.steps]
    assert sizes == [200 * 200 * 8 + 200 * 300 * 8]


def test_plan_of_other_sizes():
    plan = MemoryPlan()
    first, second = plan.new((32, 10), 8), plan.new((40, 8), 8)
    plan.extend(first, plan.tick())
    third = plan.new((32,), 8)
    plan.extend(second, plan.tick())
    plan.extend(third, plan.now)
    assert plan.offsets({}) == ([0, 2560, 0], 5120)
    offsets, size = plan.offsets({32: 3200, 40: 4})
    assert size == 3200 * 80 + 256
    assert offsets[0] != offsets[1]


def updates(params, gradients, count):
    """What an optimizer does to each of many arrays."""
    factor = 1.0 - 0.9**count
    return [(p - 0.1 * g / factor, 0.9 * p + 0.1 * g) for p, g in zip(params, gradients, strict=True)]


def many(number, *shape):
    return [np.random.default_rng(k).normal(size=shape) for k in range(number)]


def functions_of(compiled):
    """The names of the loops that are written, in all segments."""
    names = []
    for step in compiled.steps:
        lower_segment("inspected", step.program, program_form(step.program), lambda name, *_: names.append(name))
    return [name for name in names if name.startswith("kernel")]


def test_loops_over_many_arrays_share_their_code():
    compiled = check_compiled(updates, many(30, 200, 300), many(30, 200, 300), 3.0)
    loops = kernels(compiled)
    assert len(loops) == 15  # two parameters share a loop, no more: eight arrays pass through it
    assert len(functions_of(compiled)) == 1
    shapes = [(200, 300), (150,), (7, 8, 40)]
    compiled = check_compiled(updates, *[[a for s in shapes for a in many(6, *s)]] * 2, 3.0)
    assert len(functions_of(compiled)) == len(shapes)


def test_what_differs_in_a_constant_or_a_type_shares_no_code():
    double = many(8, 200, 300)
    single = [x.astype(np.float32) for x in double]

    def mapped(xs, factors):
        return [f * x - fnp.sin(x) for x, f in zip(xs, factors, strict=True)]

    for xs, factors, count in (
        (double, [0.3] * 8, 1),
        (double, [0.3] * 4 + [0.7] * 4, 2),
        (double + single, [0.3] * 16, 2),
    ):
        compiled = check_compiled(lambda xs, f=factors: mapped(xs, f), xs, tolerance=1e-6)
        assert len(functions_of(compiled)) == count


@pytest.mark.parametrize("seed", range(4))
def test_independent_loops_run_as_one_job_and_dependent_ones_in_order(seed):
    rng = np.random.default_rng(seed)
    choices = rng.integers(0, 100, size=(60, 3))

    def program(*xs):
        values = list(xs)
        for kind, a, b in choices:
            x, y = values[a % len(values)], values[b % len(values)]
            if kind < 60:
                values.append(fnp.sin(x) + 0.5 * y[::-1])
            elif kind < 80:
                values.append(x.T @ y * 1e-2 + fnp.max(y))
            else:
                values.append(x / (1.0 + fnp.sum(y * y, axis=1, keepdims=True)))
        return values[-3], sum(fnp.sum(v) for v in values)

    check_compiled(program, *many(6, 160, 160), tolerance=1e-9)


def test_cross_entropy_of_labels_makes_no_array_of_the_logits_size_but_its_gradient():
    labels = np.arange(200) % 7

    def loss(x, y):
        shifted = x - fad.stop_gradient(fnp.max(x, axis=1, keepdims=True))
        return fnp.mean(fnp.log(fnp.sum(fnp.exp(shifted), axis=1)) - shifted[fnp.arange(200), y])

    compiled = check_compiled(fad.value_and_grad(loss), X, labels)
    # The maximum, the exponentials, their sum and the gradient are one pass over the rows.
    assert kernels(compiled)[0].endswith("* g[j] + 0.0")
    assert sum(step.arena_size for step in compiled.steps) < X.nbytes / 4


def test_scatters_work_in_memory_that_nothing_else_reads():
    rows = np.array([3, 3, -1, 0])

    def twice(x, y):
        first = (x * 2.0).at[rows].add(y)
        return (first @ first.T).at[rows, rows].set(0.0)

    check_compiled(twice, X, X[:4])
    kept = check_compiled(lambda x, y: ((z := fnp.sin(x)).at[rows].mul(y), z), X, X[:4])
    assert kept is not None
    sizes = [step.arena_size for step in check_compiled(lambda x, y: (x * 2.0).at[rows].add(y) + 1.0, X, X[:4]).steps]
    assert sizes == [X.nbytes]


def test_few_elements_that_are_gathered_are_computed_where_they_are_read():
    rows = np.array([3, 3, -1, 0])
    compiled = check_compiled(lambda x: (fnp.abs(x - 1.0) * 2.0)[rows, rows], X)
    assert kernels(compiled) == []
    assert kernels(check_compiled(lambda x: (fnp.abs(x - 1.0) * 2.0)[rows], X)) == []
    many = check_compiled(lambda x: fnp.exp(x)[rows], X)
    assert sum("exp(" in text for text in kernels(many)) == 1


def stencil(x):
    return fnp.concatenate([x[:1], x[1:] * x[:-1] * 2.0]) + 1.0


def test_what_a_gather_computes_again_of_a_row_lives_until_then():
    z, column = X[:64, :8] + 1j * X[:64, 8:16], np.int64(7)
    check_compiled(lambda z, k: (fnp.exp(z) / fnp.sum(fnp.exp(z), axis=1, keepdims=True))[:, k], z, column)


def test_elements_added_at_an_end_part_no_loop():
    (text,) = kernels(check_compiled(stencil, V))
    assert text.splitlines()[0] == "for i < 300:"
    # The cotangent is read beside its own place, and so is kept between two loops.
    assert len(kernels(check_compiled(fad.grad(lambda x: fnp.sum(fnp.sin(stencil(x)))), V))) == 2
    assert len(kernels(check_compiled(lambda x: fnp.pad(x * 2.0, (1, 2)) * 3.0, V))) == 1
    # Two long parts are copied one after the other.
    assert len(kernels(check_compiled(lambda x: fnp.concatenate([x * 2.0, x]) * 3.0, V))) == 2


def test_the_inner_part_of_a_split_loop_asks_for_nothing():
    code = fad.jit(stencil).lower(V).as_text("optimised_llvm")
    kernel = code[: code.index("ret void")]
    inner = next(
        block for block in kernel.split("\n\n") if " x double>" in block and "br i1" in block and "fmul" in block
    )
    assert "select" not in inner and "masked" not in inner


def test_a_few_operations_on_an_array_in_memory_are_done_again():
    def turn(c, a):
        c = c * 2.0
        return fnp.concatenate([c[1:] * a[1:], c[:1]]), None

    compiled = check_compiled(lambda x: fad.scan(turn, x[0], x)[0], X)
    (body,) = [k for k in kernels(compiled) if "* 2.0" in k]
    assert body.count("for") == 1


def test_results_that_would_be_kept_for_their_readers_anyway_are_computed_once():
    def f(x):
        a, b = fnp.sin(x), fnp.cos(x)
        return fnp.pad(a * b, (1, 1)) + 1.0

    # One array, the product, is kept between the loops, not its two factors.
    (segment,) = check_compiled(f, V).steps
    assert segment.arena_size == -(-V.nbytes // 64) * 64


def test_there_and_back_is_the_same_place():
    def f(x):
        y = fnp.sin(x)
        return fnp.pad(y[1:], (1, 0)) + y

    assert len(kernels(check_compiled(f, V))) == 1
    code = fad.jit(f).lower(V).as_text("llvm")
    # The sine is at hand at that index: the inner part computes it once.
    assert len(re.findall(r"call <\d+ x double>", code[: code.index("ret void")])) == 1


def test_near_an_end_a_row_needs_no_other_one():
    def scaled(x):
        s = fnp.sum(x * x, axis=1)[:, None]
        # Each row is read in its own turn, and the reduction is known in that turn alone.
        return fnp.pad(fnp.cos((fnp.sin(x) * s)[2:-1, 1:]), ((2, 1), (1, 0))) * s

    def joined(x):
        s = fnp.sum(x * x, axis=1)[:, None]
        return fnp.concatenate([x[:2], (fnp.sin(x) * s)[2:]]) + s

    for x in (X[:9, :7], X[:9], X):
        check_compiled(scaled, x)
        check_compiled(joined, x)
    assert len(kernels(check_compiled(scaled, X))) == 1
