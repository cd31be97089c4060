"""Operands of products whose contracted axis lies between free ones are multiplied matrix by matrix, without a transposed copy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fad
import fad.numpy as fnp
from fad.compiler.passes.pipeline import simplified
from fad.primitives.contraction import dot_general_p
from tests.compiler.compiled_programs import check_compiled, program_of

RNG = np.random.default_rng(0)
TOLERANCES = {"f8": 1e-12, "f4": 1e-5}


def numbers(*shape, dtype="f8"):
    return RNG.normal(size=shape).astype(dtype)


def is_copied(f, *args):
    return any(e.primitive.name == "transpose" for e in simplified(program_of(f, *args)).equations)


SPLIT = {
    "second factor": ("ab,cad->bcd", (64, 16), (30, 64, 16)),
    "second factor, two axes before": ("ab,cead->bced", (64, 3), (6, 5, 64, 16)),
    "second factor, two axes behind": ("ab,cade->bcde", (64, 3), (7, 64, 4, 5)),
    "second factor, two axes contracted": ("axb,caxd->bcd", (8, 9, 3), (7, 8, 9, 12)),
    "first factor": ("cab,ad->cbd", (30, 64, 16), (64, 20)),
    "both": ("cab,ead->cbed", (5, 40, 16), (6, 40, 17)),
    "both, in a batch": ("zcab,zead->zcbed", (3, 5, 40, 16), (3, 6, 40, 17)),
    "batch axes within": ("czab,eazd->zcbed", (5, 3, 40, 16), (6, 40, 3, 17)),
    "axes of one element": ("ab,cxayd->bcxyd", (64, 16), (30, 1, 64, 1, 16)),
    "first factor, whose rows are contracted last": ("ab,cbd->acd", (10, 40), (12, 40, 16)),
}


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", SPLIT)
def test_split_operands_are_not_copied(name, dtype):
    spec, *shapes = SPLIT[name]
    args = [numbers(*shape, dtype=dtype) for shape in shapes]

    def f(*args):
        return fnp.einsum(spec, *args)

    assert not is_copied(f, *args)
    check_compiled(f, *args, tolerance=TOLERANCES[dtype])
    gradient = fad.grad(lambda *args: fnp.sum(fnp.sin(f(*args))), argnums=(0, 1))
    check_compiled(gradient, *args, tolerance=10 * TOLERANCES[dtype])


@pytest.mark.parametrize("shapes", [((6, 3), (100, 6, 9)), ((64, 3), (20, 64, 4)), ((64, 3), (5, 64, 300))])
def test_small_thin_and_large_matrices_are_copied_and_multiplied_at_once(shapes):
    args = [numbers(*shape) for shape in shapes]
    assert is_copied(lambda x, y: fnp.einsum("ab,cad->bcd", x, y), *args)
    check_compiled(lambda x, y: fnp.einsum("ab,cad->bcd", x, y), *args)


def test_results_do_not_depend_on_the_number_of_threads():
    x, y = numbers(64, 16), numbers(900, 64, 16)
    f = fad.jit(lambda x, y: (fnp.einsum("ab,cad->bcd", x, y), fnp.einsum("cad,ab->cdb", y, x)))
    found = []
    for threads in (1, 2, 4):
        with fad.config.using(threads=threads):
            found.append([np.array(a) for a in f(x, y)])
    for results in found[1:]:
        for seen, wanted in zip(results, found[0], strict=True):
            np.testing.assert_array_equal(seen, wanted)


def test_hessians_of_networks_copy_no_operand_of_a_product():
    w, v, x = numbers(20, 16), numbers(16, 16), numbers(64, 20)
    loss = fad.hessian(lambda v: fnp.sum(fnp.tanh(fnp.tanh(x @ w) @ v) ** 2))
    program = simplified(program_of(loss, v))
    turned = {e.outputs[0] for e in program.equations if e.primitive.name == "transpose"}
    products = [e for e in program.equations if e.primitive.name == "dot_general"]
    assert products
    assert not turned & {a for e in products for a in e.inputs}
    check_compiled(loss, v, tolerance=1e-11)


SIZES = st.sampled_from([1, 2, 8, 16, 20])


@st.composite
def products(draw):
    """Operands with their axes in any order: batch, contracted and free axes of each."""
    batch = draw(st.lists(st.sampled_from([1, 2, 3]), max_size=1))
    inner = draw(st.lists(SIZES, min_size=1, max_size=2))
    operands, roles = [], []
    for _ in range(2):
        free = draw(st.lists(SIZES, min_size=1, max_size=3))
        sizes = [*batch, *inner, *free]
        order = draw(st.permutations(range(len(sizes))))
        operands.append(
            numbers(*[sizes[a] for a in order], dtype=draw(st.shared(st.sampled_from(["f8", "f4"]), key="dtype")))
        )
        place = [order.index(a) for a in range(len(sizes))]
        roles.append((tuple(place[: len(batch)]), tuple(place[len(batch) : len(batch) + len(inner)])))
    params = {"batch": (roles[0][0], roles[1][0]), "contract": (roles[0][1], roles[1][1])}
    return operands, params


@given(products())
@settings(max_examples=40, deadline=None)
def test_operands_may_have_their_axes_in_any_order(case):
    operands, params = case
    tolerance = TOLERANCES[operands[0].dtype.str[1:]]
    check_compiled(lambda x, y: dot_general_p.bind(x, y, **params), *operands, tolerance=tolerance)
